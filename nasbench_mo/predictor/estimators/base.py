"""What every estimator shares: scikit-learn's interface, checks of the input, and a deviation on request.

Parameters are only stored in ``__init__`` and checked in ``fit``, as scikit-learn's developer guide asks.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nasbench_mo.errors import SpecError

Floats = NDArray[np.float64]

#: Two-sided standard normal quantile of a 90 % interval.
Z90 = 1.6448536269514722


class InputTypeError(SpecError, TypeError):
    """Features or targets are of a type that holds no numbers; scikit-learn's contract wants a TypeError there."""


class DeviationRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A regressor whose predictions come with a deviation. Abstract: a kind gives ``_fit`` and ``_predict``."""

    n_features_in_: int

    @abstractmethod
    def _fit(self, X: Floats, y: Floats) -> None:
        """Learn from checked (n, k) features and (n,) targets."""

    @abstractmethod
    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        """Value and, where asked for, deviation of checked (n, k) features, (n,) each."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on (n, k) features and (n,) targets.

        Raises
        ------
        SpecError
            A shape or value is not usable, all targets are equal, or a parameter is out of its range.
        """
        features, targets = checked_training(self, X, y)
        self._fit(features, targets)
        return self

    @overload
    def predict(self, X: ArrayLike, return_std: Literal[False] = False) -> Floats: ...
    @overload
    def predict(self, X: ArrayLike, return_std: Literal[True]) -> tuple[Floats, Floats]: ...
    def predict(self, X: ArrayLike, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Predict (n, k) features.

        Returns
        -------
        (n,) values in the target's unit, and on request (n,) standard deviations of an observation in that unit.

        Raises
        ------
        NotFittedError
            ``fit`` has not been called.
        SpecError
            A shape or value is not usable.
        """
        check_is_fitted(self)
        value, deviation = self._predict(checked_queries(self, X), with_std=return_std)
        return (value, np.asarray(deviation, dtype=np.float64)) if return_std else value


def checked_training(estimator: Any, X: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """(n, k) features and (n,) targets as float64, two rows or more; the estimator notes number and names of columns.

    Raises
    ------
    SpecError
        A shape or value is not usable, or all targets are equal.
    """
    try:
        features, targets = validate_data(
            estimator, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2, ensure_min_features=1
        )
    except TypeError as error:
        raise InputTypeError(f"{type(estimator).__name__}.fit: {error}") from error
    except ValueError as error:
        raise SpecError(f"{type(estimator).__name__}.fit: {error}") from error
    targets = np.asarray(targets, dtype=np.float64)
    if targets.min() == targets.max():
        raise SpecError(
            f"{type(estimator).__name__}.fit: all {targets.size} targets are {targets[0]}; there is nothing to learn"
        )
    return features, targets


def checked_queries(estimator: Any, X: ArrayLike) -> Floats:
    """(n, k) features as float64, with the columns that were fitted.

    Raises
    ------
    SpecError
        A shape or value is not usable, or the columns are others than in ``fit``.
    """
    try:
        features: Floats = validate_data(estimator, X, dtype=np.float64, reset=False)
    except TypeError as error:
        raise InputTypeError(f"{type(estimator).__name__}.predict: {error}") from error
    except ValueError as error:
        raise SpecError(f"{type(estimator).__name__}.predict: {error}") from error
    return features


def check_positive_int(value: object, *, name: str, least: int = 1) -> int:
    """Return a parameter that must be an integer of some size, or raise :class:`SpecError`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise SpecError(f"{name} must be an integer of at least {least}; got {value!r}")
    return int(value)
