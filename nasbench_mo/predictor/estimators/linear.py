"""Linear models of counts: what a cost that adds up over operations needs, and a second model for what does not add up.

Ridge regression with generalised cross-validation (Golub, Heath & Wahba, Technometrics 1979), on request with Huber's
weights (Huber 1964) against stray measurements, or with costs that may not be negative (Lawson & Hanson's NNLS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.base import clone

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.base import Z90, DeviationRegressor, Floats, check_positive_int

#: Candidates of the penalty, as shares of the number of rows.
PENALTIES = tuple(float(p) for p in 10.0 ** np.arange(-6, 3.5, 0.5))
#: Residuals beyond this many robust deviations count less; 95 % efficient under normal errors (Huber 1964).
_HUBER = 1.345
#: Median absolute deviation to standard deviation of a normal distribution.
_MAD = 1.4826
_ITERATIONS = 50


@final
class LinearRegressor(DeviationRegressor):
    """Ridge regression on standardised columns, its penalty chosen by generalised cross-validation.

    Parameters
    ----------
    penalties
        Candidates; a column that is constant in training has coefficient 0 whatever the penalty.
    robust
        Weigh rows by Huber's function of their residuals, iteratively. For measurements with stray values.
    non_negative
        No coefficient below 0. Not together with ``robust``.

    Attributes
    ----------
    coef_, intercept_
        Cost of one unit of each column, (k,), and of none.
    penalty_
        The penalty chosen.
    loo_residuals_
        (n,) leave-one-out residuals: residual / (1 - leverage), exact for the chosen penalty and weights. With
        ``non_negative`` those of the ridge on the columns whose coefficient is positive.
    noise_variance_
        Variance of an observation about its mean, from the leave-one-out residuals: their mean square, or with
        ``robust`` that of the normal distribution whose central 90 % holds 90 % of them.

    Notes
    -----
    The deviation is that of an observation: ``noise_variance_ (1 + x'(X'WX + n penalty I)^-1 x)``, x the centred and
    scaled row with its intercept. O(n k^2) time.
    """

    def __init__(
        self, *, penalties: Sequence[float] = PENALTIES, robust: bool = False, non_negative: bool = False
    ) -> None:
        self.penalties = penalties
        self.robust = robust
        self.non_negative = non_negative

    def _fit(self, X: Floats, y: Floats) -> None:
        if self.robust and self.non_negative:
            raise SpecError("LinearRegressor: 'robust' and 'non_negative' cannot be combined; choose one")
        penalties = np.asarray(self.penalties, dtype=np.float64)
        if penalties.ndim != 1 or not penalties.size or not (np.isfinite(penalties) & (penalties > 0)).all():
            raise SpecError(f"LinearRegressor: penalties must be a list of positive numbers; got {self.penalties!r}")
        self._centre, scale = X.mean(axis=0), X.std(axis=0)
        varies = scale > 1e-12 * np.maximum(1.0, np.abs(self._centre))
        self._scale = np.where(varies, scale, 1.0)
        if self.non_negative:
            self._used, found = self._best_non_negative(X, y, varies=varies, penalties=penalties)
        else:
            self._used, design = varies, self._design(X, used=varies)
            found = _robust(design, y, penalties=penalties) if self.robust else _best(design, y, penalties=penalties)
        self._inverse = found.inverse
        self.penalty_ = found.penalty
        self.coef_ = np.zeros(X.shape[1])
        self.coef_[self._used] = found.coefficients[1:] / self._scale[self._used]
        self.intercept_ = float(found.coefficients[0] - self._centre @ self.coef_)
        self.loo_residuals_ = found.residuals / np.maximum(1.0 - found.leverage, 1e-9)
        spread = _spread_of_90_percent(self.loo_residuals_) if self.robust else _root_mean_square(self.loo_residuals_)
        self.noise_variance_ = max(spread**2, 1e-300)

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        value = X @ self.coef_ + self.intercept_
        if not with_std:
            return value, None
        design = self._design(X, used=self._used)
        return value, np.sqrt(self.noise_variance_ * (1.0 + ((design @ self._inverse) * design).sum(axis=1)))

    def _design(self, X: Floats, *, used: NDArray[np.bool_]) -> Floats:
        """Intercept and the used columns, centred and scaled, (n, 1 + used)."""
        scaled = (X[:, used] - self._centre[used]) / self._scale[used]
        return np.concatenate([np.ones((len(X), 1)), scaled], axis=1)

    def _best_non_negative(
        self, X: Floats, y: Floats, *, varies: NDArray[np.bool_], penalties: Floats
    ) -> tuple[NDArray[np.bool_], _Solution]:
        """Columns with a positive cost and the solution, of the penalty with the least criterion.

        On the columns that the penalised NNLS leaves positive its solution is the ridge's, so leverages are exact.
        """
        scaled = np.where(varies, (X - self._centre) / self._scale, 0.0)
        wanted = np.concatenate([y - y.mean(), np.zeros(X.shape[1])])
        found: list[tuple[NDArray[np.bool_], _Solution]] = []
        for penalty in penalties:
            extended = np.concatenate([scaled, np.sqrt(penalty * len(y)) * np.eye(X.shape[1])])
            used = nnls(extended, wanted)[0] > 0
            found.append((used, _ridge(self._design(X, used=used), y, penalty=penalty)))
        return min(found, key=lambda pair: pair[1].criterion)


@final
class LinearPlusResidual(DeviationRegressor):
    """A linear model, and another estimator on what it leaves over, believed as far as it has earned.

    For a latency from about a hundred measurements: operation counts explain most of it, and the convention under
    which they count (live, used, all) differs between runtimes. The linear model is fitted on each group of columns,
    and the group with the least mean absolute leave-one-out residual is kept. The residual estimator is then weighed
    by the share of those residuals that its cross-validated predictions explain (stacking, Wolpert 1992): none, where
    only noise is left.

    Parameters
    ----------
    base
        The linear model, cloned; None for a robust :class:`LinearRegressor`.
    residual
        Estimator of the residual, cloned, with ``fit`` and ``predict(X, return_std=True)``; None for the base alone.
    groups
        Candidate columns of the base: name to column indices, as :func:`column_groups` makes them. None for all.
    residual_columns
        Columns that the residual estimator sees; None for all.
    n_folds
        Folds of the cross-validation, 2 or more.
    random_state
        Seed of the folds.

    Attributes
    ----------
    group_
        Name of the group kept; None where there was no choice.
    group_errors_
        Mean absolute leave-one-out residual of every group.
    residual_share_
        Weight of the residual estimator, 0 to 1.
    """

    def __init__(
        self,
        *,
        base: LinearRegressor | None = None,
        residual: Any = None,
        groups: Mapping[str, Sequence[int]] | None = None,
        residual_columns: Sequence[int] | None = None,
        n_folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.base = base
        self.residual = residual
        self.groups = groups
        self.residual_columns = residual_columns
        self.n_folds = n_folds
        self.random_state = random_state

    def _fit(self, X: Floats, y: Floats) -> None:
        n_folds = min(check_positive_int(self.n_folds, name="n_folds", least=2), len(y))
        seed = check_positive_int(self.random_state, name="random_state", least=0)
        everything = range(X.shape[1])
        groups = self.groups if self.groups is not None else {"all columns": everything}
        if not groups:
            raise SpecError("LinearPlusResidual: groups names no column; give at least one group, or None for all")
        fitted: dict[str, LinearRegressor] = {}
        for name, members in groups.items():
            columns = _checked_columns(members, n_columns=X.shape[1], name=f"group {name!r}")
            fitted[name] = clone(self.base if self.base is not None else LinearRegressor(robust=True))
            fitted[name].fit(X[:, columns], y)
        self.group_errors_ = {name: float(np.mean(np.abs(model.loo_residuals_))) for name, model in fitted.items()}
        best = min(fitted, key=self.group_errors_.__getitem__)
        self.group_ = best if self.groups is not None else None
        self.base_ = fitted[best]
        self._base_columns = _checked_columns(groups[best], n_columns=X.shape[1], name=f"group {best!r}")
        seen = self.residual_columns if self.residual_columns is not None else everything
        self._residual_columns = _checked_columns(seen, n_columns=X.shape[1], name="residual_columns")
        self.residual_share_ = 0.0
        # an exact table leaves only rounding, which is not worth a model
        if self.residual is not None and np.abs(self.base_.loo_residuals_).max() > 1e-6 * np.ptp(y):
            self._fit_residual(X[:, self._residual_columns], n_folds=n_folds, seed=seed)

    def _fit_residual(self, X: Floats, *, n_folds: int, seed: int) -> None:
        left = self.base_.loo_residuals_
        # one stray measurement would otherwise decide the residual's scale
        reach = 3.0 * (_robust_spread(left) or float(left.std()))
        left = np.clip(left, -reach, reach)
        fold = np.random.default_rng(seed).permutation(len(left)) % n_folds
        unseen = np.zeros_like(left)
        for k in range(n_folds):
            rows = fold != k
            if left[rows].min() < left[rows].max():
                unseen[~rows] = clone(self.residual).fit(X[rows], left[rows]).predict(X[~rows])
        power = float(unseen @ unseen)
        self.residual_share_ = float(np.clip(unseen @ left / power, 0.0, 1.0)) if power > 0 else 0.0
        # as many rows as columns explain a few per cent of noise by chance: the gain must exceed its standard error
        gain = left**2 - (left - self.residual_share_ * unseen) ** 2
        if gain.mean() <= gain.std() / np.sqrt(len(gain)):
            self.residual_share_ = 0.0
        if self.residual_share_ > 0:
            self.residual_ = clone(self.residual).fit(X, left)
            unexplained = float(np.mean((left - self.residual_share_ * unseen) ** 2))
            self._variance_left = min(unexplained / float(np.mean(left**2)), 1.0)

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        value, deviation = self.base_._predict(X[:, self._base_columns], with_std=with_std)
        if self.residual_share_ > 0:
            value = value + self.residual_share_ * self.residual_.predict(X[:, self._residual_columns])
            deviation = None if deviation is None else deviation * np.sqrt(self._variance_left)
        return value, deviation


def column_groups(columns: Sequence[str], prefixes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Indices of the columns whose name begins with each prefix, for :class:`LinearPlusResidual`.

    Raises
    ------
    SpecError
        No column begins with one of them.

    Examples
    --------
    >>> column_groups(["live_skip", "live_conv", "all_skip"], ["live_", "all_"])
    {'live_': (0, 1), 'all_': (2,)}
    """
    groups = {prefix: tuple(j for j, name in enumerate(columns) if name.startswith(prefix)) for prefix in prefixes}
    for prefix, members in groups.items():
        if not members:
            raise SpecError(f"no column begins with {prefix!r}; there are {', '.join(columns[:12])}")
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class _Solution:
    """One penalised fit: coefficients with the intercept first, residuals and leverages of the rows."""

    penalty: float
    coefficients: Floats
    inverse: Floats
    residuals: Floats
    leverage: Floats
    criterion: float


def _ridge(design: Floats, y: Floats, *, penalty: float, weights: Floats | None = None) -> _Solution:
    """Solve ``(B'WB + n penalty I) b = B'Wy``, the intercept not penalised, and its generalised cross-validation."""
    weight = np.ones(len(y)) if weights is None else weights
    ridge = np.full(design.shape[1], penalty * len(y))
    ridge[0] = 0.0
    weighted = design * weight[:, None]
    inverse = np.asarray(np.linalg.inv(design.T @ weighted + np.diag(ridge)), dtype=np.float64)
    coefficients = inverse @ (weighted.T @ y)
    residuals = y - design @ coefficients
    leverage = ((design @ inverse) * weighted).sum(axis=1)
    freedom = max(1.0 - float(leverage.mean()), 1e-9)
    return _Solution(
        penalty=float(penalty),
        coefficients=coefficients,
        inverse=inverse,
        residuals=residuals,
        leverage=leverage,
        criterion=float(np.mean(weight * residuals**2)) / freedom**2,
    )


def _best(design: Floats, y: Floats, *, penalties: Floats, weights: Floats | None = None) -> _Solution:
    """The fit of the penalty with the least criterion."""
    return min((_ridge(design, y, penalty=p, weights=weights) for p in penalties), key=lambda s: s.criterion)


def _robust(design: Floats, y: Floats, *, penalties: Floats) -> _Solution:
    """Huber's weights by reweighting; the penalty is chosen anew when they have settled, twice."""
    least = 1e-9 * float(np.ptp(y))
    found = _best(design, y, penalties=penalties)
    for _ in range(2):
        weights = np.ones(len(y))
        for _ in range(_ITERATIONS):
            spread = max(_robust_spread(found.residuals), least)
            updated = np.minimum(1.0, _HUBER * spread / np.maximum(np.abs(found.residuals), least))
            settled = float(np.abs(updated - weights).max()) < 1e-6
            weights = updated
            found = _ridge(design, y, penalty=found.penalty, weights=weights)
            if settled:
                break
        found = _best(design, y, penalties=penalties, weights=weights)
    return found


def _robust_spread(residuals: Floats) -> float:
    return _MAD * float(np.median(np.abs(residuals)))


def _spread_of_90_percent(residuals: Floats) -> float:
    """Deviation of the normal distribution whose 90 % interval holds 90 % of the residuals."""
    rank = min(len(residuals), int(np.ceil(0.9 * (len(residuals) + 1))))
    return float(np.sort(np.abs(residuals))[rank - 1]) / Z90


def _root_mean_square(residuals: Floats) -> float:
    return float(np.sqrt(np.mean(residuals**2)))


def _checked_columns(members: Sequence[int], *, n_columns: int, name: str) -> NDArray[np.intp]:
    columns = np.asarray(list(members))
    if columns.ndim != 1 or not columns.size or columns.dtype.kind not in "iu":
        raise SpecError(f"LinearPlusResidual: {name} must list column indices; got {members!r}")
    if columns.min() < 0 or columns.max() >= n_columns:
        raise SpecError(f"LinearPlusResidual: {name} has column {int(columns.max())}; there are {n_columns}, from 0")
    return columns.astype(np.intp)
