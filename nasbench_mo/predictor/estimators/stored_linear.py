"""A fitted linear model with boosted trees on top, without the library that fitted it.

NumPy serves the linear model; XGBoost is imported where there are trees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.bounded import load_arrays, parse_json, save_arrays
from nasbench_mo.errors import ArtifactError, NasbenchMoError, SpecError
from nasbench_mo.predictor.booster_file import load_booster
from nasbench_mo.predictor.estimators.targets import TargetTransform

Floats = NDArray[np.float64]

FORMAT_VERSION = 1
#: Arrays of a file; the largest published one has 2 MB.
_MAX_BYTES = 1 << 28


@final
@dataclass(frozen=True, kw_only=True)
class StoredLinear:
    """Linear model of a transformed target plus trees on its residuals. It cannot be fitted.

    Parameters
    ----------
    n_columns
        Number of feature columns k.
    linear_columns, tree_columns
        Indices of the columns that the linear model and the trees see.
    coefficients, intercept
        Of the linear model, one for each of ``linear_columns``.
    booster
        An XGBoost booster, or None.
    tree_share
        Weight of the trees.
    step
        Multiple to which the transformed prediction is rounded; 0 for none.
    least
        Least transformed prediction.
    deviation
        Standard deviation of an observation of the transformed target.
    target
        Transform of the target, fitted.
    """

    n_columns: int
    linear_columns: NDArray[np.intp]
    tree_columns: NDArray[np.intp]
    coefficients: Floats
    intercept: float
    booster: Any
    tree_share: float
    step: float
    least: float
    deviation: float
    target: TargetTransform

    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[False] = False) -> Floats: ...
    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[True]) -> tuple[Floats, Floats]: ...
    def predict(self, X: ArrayLike, *, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Predict (m, k) features.

        Returns
        -------
        (m,) values in the target's unit, and on request (m,) standard deviations of an observation in that unit.

        Raises
        ------
        SpecError
            The features have another number of columns, or one of them is not finite.
        """
        features = np.asarray(X, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != self.n_columns:
            raise SpecError(f"expected features of shape (m, {self.n_columns}), got {features.shape}")
        if not np.isfinite(features).all():
            raise SpecError("expected finite features; got NaN or infinity")
        # no product of matrices: the sum of a row must not depend on how many rows come with it, or ties would break
        products = np.ascontiguousarray(features[:, self.linear_columns]) * self.coefficients
        z = products.sum(axis=1) + self.intercept
        if self.booster is not None:
            z = z + self.tree_share * tree_values(self.booster, features[:, self.tree_columns])
        if self.step:
            z = np.round(z / self.step) * self.step
        z = np.maximum(z, self.least)
        if not return_std:
            return self.target.backward(z)
        return self.target.inverse(z, np.full(len(z), self.deviation))

    def save(self, path: Path) -> None:
        """Write one compressed ``.npz``: arrays, the trees in XGBoost's UBJSON, the rest as JSON."""
        state = {
            "format": FORMAT_VERSION,
            "n_columns": self.n_columns,
            "intercept": self.intercept,
            "tree_share": self.tree_share,
            "step": self.step,
            "least": self.least,
            "deviation": self.deviation,
            "target": self.target.state(),
        }
        trees = b"" if self.booster is None else bytes(self.booster.save_raw("ubj"))
        save_arrays(
            path,
            {
                "linear_columns": self.linear_columns,
                "tree_columns": self.tree_columns,
                "coefficients": self.coefficients,
                "trees": np.frombuffer(trees, dtype=np.uint8),
                "state": np.frombuffer(json.dumps(state).encode(), dtype=np.uint8),
            },
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtifactError
            The file is missing or damaged.
        """
        try:
            arrays = load_arrays(path, _ARRAYS, kinds="iuf", at_most=_MAX_BYTES)
            state = parse_json(arrays["state"].tobytes())
            if state["format"] != FORMAT_VERSION:
                raise ArtifactError(f"{path}: expected format {FORMAT_VERSION}, got {state['format']!r}")
            return cls._restored(arrays, state)
        except ArtifactError:
            raise
        except (OSError, KeyError, TypeError, ValueError, OverflowError, NasbenchMoError) as error:
            raise ArtifactError(f"{path} is not a stored linear model: {error}; reinstall") from error

    @classmethod
    def _restored(cls, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> Self:
        numbers = {name: float(state[name]) for name in ("intercept", "tree_share", "step", "least", "deviation")}
        n_columns = int(state["n_columns"])
        linear, trees = (arrays[name].astype(np.intp) for name in ("linear_columns", "tree_columns"))
        coefficients = arrays["coefficients"].astype(np.float64)
        for columns in (linear, trees):
            if columns.ndim != 1 or not columns.size or columns.min() < 0 or columns.max() >= n_columns:
                raise ValueError(f"columns outside 0..{n_columns - 1}")
        if coefficients.shape != linear.shape or not np.isfinite([*coefficients, *numbers.values()]).all():
            raise ValueError("expected one finite coefficient for each linear column")
        return cls(
            n_columns=n_columns,
            linear_columns=linear,
            tree_columns=trees,
            coefficients=coefficients,
            booster=_booster(arrays["trees"]),
            target=TargetTransform.from_state(state["target"]),
            **numbers,
        )


_ARRAYS = ("linear_columns", "tree_columns", "coefficients", "trees", "state")


def tree_values(booster: Any, X: NDArray[Any]) -> Floats:
    """Values of boosted trees, (n,), of (n, k) features."""
    return np.asarray(booster.inplace_predict(X.astype(np.float32)), dtype=np.float64)


def _booster(raw: NDArray[Any]) -> Any:
    """The booster of its stored bytes; None where there are none."""
    if not raw.size:
        return None
    return load_booster(raw.astype(np.uint8).tobytes())
