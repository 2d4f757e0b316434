"""A NASLib predictor as a scikit-learn regressor; :func:`nasbench_mo.adapters.naslib.from_naslib` makes one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, Self, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from nasbench_mo.adapters.naslib import (
    ACCURACY,
    Floats,
    OpIndices,
    Representation,
    as_encodings,
    check_foreign,
    represented,
)
from nasbench_mo.errors import SpecError
from nasbench_mo.objective import Objective, to_minimised
from nasbench_mo.space import space as find_space


@final
class NaslibRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A NASLib predictor under scikit-learn's interface, minimised.

    Parameters
    ----------
    predictor, space, objective, representation
        As of :func:`~nasbench_mo.adapters.naslib.from_naslib`.

    Attributes
    ----------
    predictor_
        The fitted copy of ``predictor``.
    """

    def __init__(
        self,
        *,
        predictor: Any,
        space: str = "nb201",
        objective: Objective = ACCURACY,
        representation: Representation | Callable[[OpIndices], Any] = "graph",
    ) -> None:
        self.predictor = predictor
        self.space = space
        self.objective = objective
        self.representation = representation

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Fit a copy of the foreign predictor.

        Parameters
        ----------
        X
            n published strings, (n, d) encodings (as whole floats too, as ``<space>-ordinal-v1`` gives them where no
            variable is numeric), or graphs.
        y
            (n,) minimised values, in the objective's unit.

        Raises
        ------
        ArchitectureError, SpecError
            An architecture or target is not usable.
        """
        check_foreign(self.predictor)
        archs, targets = self._represented(X), np.asarray(y, dtype=np.float64)
        if targets.shape != (len(archs),) or not np.isfinite(targets).all():
            raise SpecError(f"expected {len(archs)} finite targets, one an architecture; got shape {targets.shape}")
        foreign = copy.deepcopy(self.predictor)
        if callable(getattr(foreign, "pre_process", None)):
            foreign.pre_process()
        foreign.fit(archs, to_minimised(targets, self.objective).tolist())  # lists, as NASLib's evaluator passes them
        self.predictor_ = foreign
        return self

    @overload
    def predict(self, X: Any, return_std: Literal[False] = False) -> Floats: ...
    @overload
    def predict(self, X: Any, return_std: Literal[True]) -> tuple[Floats, Floats]: ...
    def predict(self, X: Any, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Predict n architectures.

        Returns
        -------
        (n,) minimised values, the mean over the members where the predictor is an ensemble; and on request (n,)
        standard deviations: those of the predictor's ``query_with_std`` where it has one, else the spread of an
        ensemble's members, as NASLib's acquisition functions take it.

        Raises
        ------
        NotFittedError
            ``fit`` has not been called.
        SpecError
            A deviation is asked for and the predictor gives none, or its answer has an unusable shape.
        """
        check_is_fitted(self)
        archs = self._represented(X)
        if return_std and callable(getattr(self.predictor_, "query_with_std", None)):
            value, deviation = self.predictor_.query_with_std(archs)
            return to_minimised(_members(value, n=len(archs))[0], self.objective), _members(deviation, n=len(archs))[0]
        members = _members(self.predictor_.query(archs, None), n=len(archs))
        value = to_minimised(members.mean(axis=0), self.objective)
        if not return_std:
            return value
        if len(members) < 2:
            raise SpecError(
                f"{type(self.predictor_).__name__} gives one value an architecture and no deviation; wrap an ensemble "
                "of NASLib, or a predictor with query_with_std(xtest), or ask with return_std=False"
            )
        return value, members.std(axis=0)

    def _represented(self, X: Any) -> list[Any]:
        search_space = find_space(self.space)
        encodings = as_encodings(_whole(X), search_space=search_space)
        return represented(encodings, kind=self.representation, space_name=self.space)


def _whole(X: Any) -> Any:
    """Encodings that a feature matrix holds as floats, as integers again; anything else as it is."""
    if isinstance(X, np.ndarray) and X.dtype.kind == "f" and np.isfinite(X).all() and (X == np.rint(X)).all():
        return X.astype(np.int64)
    return X


def _members(answer: Any, *, n: int) -> NDArray[np.float64]:
    """What ``query`` returned as (members, n). NASLib squeezes: a single architecture may come without its axis."""
    values = np.asarray(answer, dtype=np.float64)
    if values.ndim <= 1 and n == 1:
        return values.reshape(-1, 1)  # one value, or one a member
    if values.shape == (n,):
        return values[None]
    if values.ndim == 2 and values.shape[1] == n:
        return values
    raise SpecError(
        f"expected {n} predictions, or (members, {n}) of an ensemble, from the foreign predictor's query; got an array "
        f"of shape {values.shape}"
    )
