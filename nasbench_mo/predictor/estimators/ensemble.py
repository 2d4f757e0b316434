"""Averages of several estimators on a scale that does not depend on their units or tails."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, final

import numpy as np
from sklearn.base import clone

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.base import DeviationRegressor, Floats
from nasbench_mo.predictor.estimators.targets import RankGauss
from nasbench_mo.predictor.estimators.xgb_estimator import XGBoostRegressor


@final
class RankAverageEnsemble(DeviationRegressor):
    """Average of the rank-Gauss scores of some estimators' predictions.

    A prediction's score is the normal quantile of the rank it would have among the training targets, so it does not
    depend on the other rows predicted, and the average is taken back to the target's unit. The deviation, likewise
    of scores, is that of a mixture of the members: the average of their variances and of their squared distances
    from the mean. A member without deviations counts with none of its own.

    Parameters
    ----------
    members
        Estimators, cloned before they are fitted; None for boosted trees on the logarithm and on the target itself.
        A Gaussian process beside them errs in other places.
    weights
        Weight of each member, not negative; None for equal ones.

    Attributes
    ----------
    members_, weights_, scores_
        Fitted members, weights that sum to 1, and the training targets' :class:`RankGauss`.
    """

    def __init__(self, members: Sequence[Any] | None = None, *, weights: Sequence[float] | None = None) -> None:
        self.members = members
        self.weights = weights

    def _fit(self, X: Floats, y: Floats) -> None:
        members = self.members
        if members is None:
            members = (XGBoostRegressor(), XGBoostRegressor(target="identity"))
        if not len(members):
            raise SpecError("RankAverageEnsemble: expected at least one member, got none")
        weights = np.ones(len(members)) if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        if weights.shape != (len(members),) or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.sum():
            raise SpecError(
                f"RankAverageEnsemble: expected {len(members)} weights of at least 0, not all 0; got {self.weights!r}"
            )
        self.weights_: Floats = weights / weights.sum()
        self.scores_ = RankGauss().fit(y)
        self.members_ = [clone(member).fit(X, y) for member in members]

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        if not with_std:
            scores = np.stack([self.scores_.forward(member.predict(X)) for member in self.members_])
            return self.scores_.backward(self.weights_ @ scores), None
        each = [self._score(member, X) for member in self.members_]
        means, deviations = np.stack([m for m, _ in each]), np.stack([d for _, d in each])
        mean = self.weights_ @ means
        variance = self.weights_ @ (deviations**2 + (means - mean) ** 2)
        return self.scores_.inverse(mean, np.sqrt(variance))

    def _score(self, member: Any, X: Floats) -> tuple[Floats, Floats]:
        """Score of a member's predictions and their deviation: half the score's width of value ± deviation."""
        if not _has_deviation(member):
            score = self.scores_.forward(member.predict(X))
            return score, np.zeros_like(score)
        value, deviation = member.predict(X, return_std=True)
        upper, lower = self.scores_.forward(value + deviation), self.scores_.forward(value - deviation)
        return self.scores_.forward(value), (upper - lower) / 2


def _has_deviation(member: Any) -> bool:
    """Whether ``predict`` takes ``return_std``; a pipeline hands it on to its last step."""
    last = member.steps[-1][1] if hasattr(member, "steps") else member
    return "return_std" in inspect.signature(last.predict).parameters
