"""Ideal and nadir points, and the scaling that maps them to 0 and 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto._check import as_point, as_points
from nasbench_mo.pareto.dominance import nondominated


def ideal_and_nadir(F: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the best and the worst value of each objective on the front of F; not over all rows of F.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n >= 1.

    Returns
    -------
    tuple of two NDArray[np.float64]
        (m,) ideal and (m,) nadir: column minima and maxima of the nondominated rows.

    Raises
    ------
    FrontError
        F is empty, or not a finite, numeric (n, m) array.

    Notes
    -----
    The complexity of :func:`~nasbench_mo.pareto.nondominated`.

    References
    ----------
    K. Miettinen, "Nonlinear Multiobjective Optimization", Kluwer, 1999.

    Examples
    --------
    >>> ideal, nadir = ideal_and_nadir([[1, 4], [3, 2], [9, 9]])
    >>> ideal, nadir
    (array([1., 2.]), array([3., 4.]))
    """
    points = as_points(F)
    if len(points) == 0:
        raise FrontError(f"F must have at least one row to have an ideal and a nadir; got shape {points.shape}")
    best = points[nondominated(points)]
    return best.min(axis=0), best.max(axis=0)


def normalize(F: ArrayLike, *, ideal: ArrayLike, nadir: ArrayLike) -> NDArray[np.float64]:
    """Scale objective values so that the ideal point becomes 0 and the nadir point 1; values are not clipped.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n may be 0.
    ideal, nadir
        (m,) in the units of F; nadir is greater than ideal in every objective.

    Returns
    -------
    NDArray[np.float64]
        (n, m) new array, ``(F - ideal) / (nadir - ideal)``.

    Raises
    ------
    FrontError
        An objective has nadir <= ideal, a shape does not fit, a value is not finite, or the result overflows.

    Notes
    -----
    O(n m).

    Examples
    --------
    >>> normalize([[1, 4], [2, 2]], ideal=[1, 2], nadir=[3, 4])
    array([[0. , 1. ],
           [0.5, 0. ]])
    """
    points = as_points(F)
    low = as_point(ideal, name="ideal", n_objectives=points.shape[1])
    high = as_point(nadir, name="nadir", n_objectives=points.shape[1])
    flat = np.flatnonzero(high <= low)
    if flat.size:
        objective = flat[0]
        raise FrontError(
            f"nadir must be greater than ideal in every objective; objective {objective} has "
            f"ideal {low[objective]} and nadir {high[objective]}: leave a constant objective out"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        scaled: NDArray[np.float64] = (points - low) / (high - low)
    # The whole range and every distance from the ideal must be representable, or 0 and 1 lose their meaning.
    if not (np.isfinite(scaled).all() and _range_is_finite(low, high=high)):
        raise FrontError("F scaled by ideal and nadir must fit into float64; got an overflow: change the units")
    return scaled


def _range_is_finite(low: NDArray[np.float64], *, high: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(high - low).all())
