"""The one place where objective values and reference points are checked before anything is computed from them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import FrontError

_REAL_KINDS = "iuf"


def as_points(F: ArrayLike, *, name: str = "F", n_objectives: int | None = None) -> NDArray[np.float64]:
    """Return objective values as a finite (n, m) float64 array; may share memory with the input.

    Parameters
    ----------
    F
        (n, m) integers or floats; n may be 0, m is at least 1.
    name
        What the error messages call the argument.
    n_objectives
        The m that is expected, or None where any m will do.

    Raises
    ------
    FrontError
        Not numeric, not two-dimensional, another m, NaN or infinite.
    """
    values = _as_real_array(F, name=name)
    wanted = "(n, m)" if n_objectives is None else f"(n, {n_objectives})"
    if values.ndim != 2:
        raise FrontError(
            f"{name} must be two-dimensional with shape {wanted}, one row a point and one column an objective; "
            f"got shape {values.shape}{_reshape_hint(values, name=name)}"
        )
    if values.shape[1] == 0:
        raise FrontError(f"{name} must have at least one objective column; got shape {values.shape}")
    if n_objectives is not None and values.shape[1] != n_objectives:
        raise FrontError(f"{name} must have shape {wanted}; got shape {values.shape}")
    if not np.isfinite(values).all():
        nan = np.isnan(values)
        row, column = (int(i) for i in np.argwhere(nan if nan.any() else np.isinf(values))[0])
        raise FrontError(
            f"{name} must be finite; got {values[row, column]} at row {row}, column {column}: "
            "leave failed or missing evaluations out"
        )
    return values


def as_point(point: ArrayLike, *, name: str, n_objectives: int) -> NDArray[np.float64]:
    """Return a point in objective space as a finite (m,) float64 array; may share memory with the input.

    Raises
    ------
    FrontError
        Not numeric, not of shape (m,), NaN or infinite.
    """
    values = _as_real_array(point, name=name)
    if values.shape != (n_objectives,):
        raise FrontError(f"{name} must have shape ({n_objectives},), one value an objective; got shape {values.shape}")
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise FrontError(f"{name} must be finite; got {values[wrong[0]]} for objective {wrong[0]}")
    return values


def finite_result(value: float, *, what: str) -> float:
    """Return a computed value, or say that it left the range of float64.

    Raises
    ------
    FrontError
        The value is infinite or NaN although the input was finite.
    """
    if not math.isfinite(value):
        raise FrontError(
            f"{what} must fit into float64; got {value} because the objective values are too far apart: "
            "scale them first, see normalize"
        )
    return float(value)


def _as_real_array(values: ArrayLike, *, name: str) -> NDArray[np.float64]:
    if np.ma.is_masked(values):
        raise FrontError(f"{name} must have no masked entries; got a masked array: leave those rows out")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise FrontError(f"{name} must be a rectangular array of numbers; got {error}") from error
    if array.dtype.kind not in _REAL_KINDS:
        raise FrontError(f"{name} must hold integers or floats; got dtype {array.dtype}")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite and is then refused
        return array.astype(np.float64, order="C", copy=False)


def _reshape_hint(values: NDArray[np.float64], *, name: str) -> str:
    return f": for a single point pass {name}[np.newaxis, :]" if values.ndim == 1 else ""
