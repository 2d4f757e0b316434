"""Prediction intervals that cover with the stated share, whatever the estimator believes of itself.

Split-conformal prediction (Lei et al., JASA 2018), its residuals normalised by the estimator's deviation (Papadopoulos
et al., ICTAI 2008). For few rows, where none can be spared, cross-validated residuals: CV+ (Barber et al., "Predictive
inference with the jackknife+", Annals of Statistics 2021), or around the one model that has seen every row.
"""

from __future__ import annotations

from typing import Any, Literal, Self, final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.base import (
    DeviationRegressor,
    Floats,
    check_positive_int,
    checked_queries,
    checked_training,
)
from nasbench_mo.predictor.estimators.xgb_estimator import XGBoostRegressor

Method = Literal["auto", "split", "cv", "cv+"]

#: Up to this many groups ``"auto"`` cross-validates; a fifth of more calibrates to a standard error below 2.2 points.
_FEW_GROUPS = 1000
#: Cells of the matrix of queries by calibration scores that are held at a time.
_CELLS = 4_000_000


@final
class ConformalRegressor(DeviationRegressor):
    """An estimator with calibrated intervals.

    Rows of one group (isomorphic architectures) are not exchangeable, so the folds keep groups together and each group
    calibrates with one row, drawn at random. The statement is then about a row of a new group.

    Parameters
    ----------
    estimator
        Estimator, cloned, with ``fit`` and ``predict(X, return_std=True)``; None for :class:`XGBoostRegressor`.
    coverage
        Share of true values that the intervals hold.
    method
        ``"split"``: fit on some groups, calibrate on the others. The coverage of a new row is at least the stated one,
        on average over the draw of both.
        ``"cv+"``: every group calibrates the model that has not seen it, and the interval is taken over all those
        models. At least ``2 coverage - 1`` is proven (less a term that vanishes with the number of groups); what one
        sees is somewhat more than the stated coverage.
        ``"cv"``: the same residuals around the model of all rows. One model to keep and to ask, no proof; close to the
        stated coverage wherever leaving out a fold changes little.
        ``"auto"``: ``"cv"`` up to 1,000 groups, else ``"split"``.
    calibration
        Share of the groups kept for calibration by ``"split"``.
    n_folds
        Folds of ``"cv"`` and ``"cv+"``.
    random_state
        Seed of the folds and of the row drawn from a group.

    Attributes
    ----------
    estimator_
        The estimator whose value :meth:`predict` returns; fitted on all rows unless the method is ``"split"``.
    method_
        The method taken.
    scores_
        Normalised absolute residuals ``|y - value| / deviation``, one a group, of models that had not seen the group.

    Notes
    -----
    With fewer than ``coverage / (1 - coverage)`` calibration groups no finite interval has the stated coverage;
    :meth:`predict_interval` then returns infinite ones.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        coverage: float = 0.9,
        method: Method = "auto",
        calibration: float = 0.2,
        n_folds: int = 10,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.coverage = coverage
        self.method = method
        self.calibration = calibration
        self.n_folds = n_folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit and calibrate on (n, k) features, (n,) targets and (n,) keys of groups; None for one group a row.

        Raises
        ------
        SpecError
            A shape or value is not usable, a parameter is out of its range, or there are fewer than two groups.
        """
        features, targets = checked_training(self, X, y)
        keys = np.arange(len(targets)) if groups is None else np.asarray(groups)
        if keys.shape != targets.shape:
            raise SpecError(f"ConformalRegressor: expected {len(targets)} groups, one a row; got shape {keys.shape}")
        self._calibrate(features, targets, group=np.unique(keys, return_inverse=True)[1])
        return self

    def _fit(self, X: Floats, y: Floats) -> None:
        self._calibrate(X, y, group=np.arange(len(y)))

    def _calibrate(self, X: Floats, y: Floats, *, group: NDArray[np.intp]) -> None:
        if not (0 < self.coverage < 1 and 0 < self.calibration < 1):
            raise SpecError(
                "ConformalRegressor: coverage and calibration are shares between 0 and 1; "
                f"got {self.coverage!r} and {self.calibration!r}"
            )
        if self.method not in get_args(Method):
            raise SpecError(f"ConformalRegressor: method must be one of {get_args(Method)}; got {self.method!r}")
        n_groups = int(group.max()) + 1
        n_folds = min(check_positive_int(self.n_folds, name="n_folds", least=2), n_groups)
        if n_groups < 2:
            raise SpecError(
                "ConformalRegressor: expected at least two groups, got one; nothing is left to calibrate on"
            )
        rng = np.random.default_rng(check_positive_int(self.random_state, name="random_state", least=0))
        self.method_: str = self.method
        if self.method == "auto":
            self.method_ = "cv" if n_groups <= _FEW_GROUPS else "split"
        cross = self.method_ != "split"
        if cross:
            fold_of_group = rng.permutation(n_groups) % n_folds
        else:
            n_calibration = min(max(1, round(self.calibration * n_groups)), n_groups - 1)
            fold_of_group = np.where(rng.permutation(n_groups) < n_calibration, 0, -1)
        fold = fold_of_group[group]
        shuffled = rng.permutation(len(y))
        one_a_group = shuffled[np.unique(group[shuffled], return_index=True)[1]]
        self._models: list[Any] = []
        scores, model_of_score = [], []
        for k in range(n_folds if cross else 1):
            model = clone(self.estimator if self.estimator is not None else XGBoostRegressor())
            model.fit(X[fold != k], y[fold != k])
            rows = one_a_group[fold[one_a_group] == k]
            value, deviation = _predicted(model, X[rows])
            scores.append(np.abs(y[rows] - value) / deviation)
            model_of_score.append(np.full(len(rows), k))
            self._models.append(model)
        self.scores_: Floats = np.concatenate(scores)
        self._model_of_score = np.concatenate(model_of_score)
        self.estimator_ = clone(model).fit(X, y) if cross else model
        if self.method_ == "cv":
            self._models = [self.estimator_]

    def predict_interval(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """Lower and upper ends of the intervals of (n, k) features, (n,) each, in the target's unit."""
        check_is_fitted(self)
        return self._interval(checked_queries(self, X))

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        """The estimator's value; the deviation is that of a normal distribution with the interval's width."""
        value = np.asarray(self.estimator_.predict(X), dtype=np.float64)
        if not with_std:
            return value, None
        lower, upper = self._interval(X)
        return value, (upper - lower) / (2.0 * float(ndtri((1.0 + self.coverage) / 2.0)))

    def _interval(self, X: Floats) -> tuple[Floats, Floats]:
        """Of the n scores' bounds the ceil(coverage (n + 1))-th least upper and greatest lower one."""
        rank = _conformal_rank(len(self.scores_), coverage=self.coverage)
        if rank is None:
            return np.full(len(X), -np.inf), np.full(len(X), np.inf)
        predictions = [_predicted(model, X) for model in self._models]
        if len(self._models) == 1:
            value, deviation = predictions[0]
            reach = np.sort(self.scores_)[rank] * deviation
            return value - reach, value + reach
        values = np.stack([value for value, _ in predictions], axis=1)
        deviations = np.stack([deviation for _, deviation in predictions], axis=1)
        lower, upper = np.empty(len(X)), np.empty(len(X))
        step = max(1, _CELLS // len(self.scores_))
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            centre = values[part][:, self._model_of_score]
            reach = deviations[part][:, self._model_of_score] * self.scores_
            upper[part] = np.partition(centre + reach, rank, axis=1)[:, rank]
            lower[part] = -np.partition(reach - centre, rank, axis=1)[:, rank]
        return lower, upper


def _conformal_rank(n: int, *, coverage: float) -> int | None:
    """Index of the ceil(coverage (n + 1))-th least of n scores; None where that exceeds n."""
    rank = int(np.ceil(coverage * (n + 1) - 1e-9))
    return rank - 1 if rank <= n else None


def _predicted(model: Any, X: Floats) -> tuple[Floats, Floats]:
    """Value and a deviation that is never 0, so that a score is finite."""
    value, deviation = model.predict(X, return_std=True)
    least = np.finfo(np.float64).tiny ** 0.5
    return np.asarray(value, dtype=np.float64), np.maximum(np.asarray(deviation, dtype=np.float64), least)
