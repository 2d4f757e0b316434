"""Boosted trees with a deviation of their own: several boosters, each held back from a few rows.

Chen & Guestrin, "XGBoost", KDD 2016. The rows are dealt into as many blocks as there are members; each member leaves
two neighbouring blocks out, so every row is predicted by two members that have not seen it. Those predictions measure
the error (as cross-validation does) and teach how much of the members' disagreement to believe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from nasbench_mo.predictor.estimators.base import DeviationRegressor, Floats, check_positive_int
from nasbench_mo.predictor.estimators.targets import TargetTransform, resolved_target

#: Shares of the variance that may follow the members' disagreement.
_SHARES = (0.0, 0.25, 0.5, 0.75)

#: Defaults by the greatest number of rows they are for: random search (33 draws at 50, 100, 400 and 1,000 rows, six at
#: 11,000) on NAS-Bench-201's CIFAR-100 error with nb201-graph-v2, by Kendall's tau-b on the other rows.
_BY_ROWS: tuple[tuple[float, Mapping[str, float]], ...] = (
    (700, {"max_depth": 4, "min_child_weight": 1, "colsample_bynode": 0.3, "reg_lambda": 1.0, "n_rounds": 600}),
    (5000, {"max_depth": 6, "min_child_weight": 2, "colsample_bynode": 0.3, "reg_lambda": 2.0, "n_rounds": 400}),
    (np.inf, {"max_depth": 8, "min_child_weight": 4, "colsample_bynode": 0.4, "reg_lambda": 2.0, "n_rounds": 400}),
)
_ALWAYS: Mapping[str, float | str] = {"learning_rate": 0.05, "subsample": 0.8, "tree_method": "hist"}


def default_parameters(n_rows: int) -> dict[str, float | str]:
    """XGBoost's parameters for a number of training rows; ``n_rounds`` is the number of trees of a member."""
    return {**_ALWAYS, **next(found for most, found in _BY_ROWS if n_rows <= most)}


@final
class XGBoostRegressor(DeviationRegressor):
    """A small bag of XGBoost models of a transformed target.

    Parameters
    ----------
    target
        ``"auto"``, ``"log"``, ``"rank-gauss"`` or ``"identity"``: see :func:`.targets.resolved_target`.
    n_members
        Number of boosters, 3 or more.
    parameters
        Overrides of :func:`default_parameters`, which depend on the number of rows.
    random_state
        Seed of the blocks and of XGBoost's row and column sampling.

    Attributes
    ----------
    members_
        The boosters.
    variance_
        Error variance of the transformed target, from the predictions of members that had not seen the row.
    spread_share_, spread_scale_
        Share of that variance that follows the members' disagreement, and the disagreement's mean over the rows.
    """

    def __init__(
        self,
        *,
        target: str = "auto",
        n_members: int = 10,
        parameters: Mapping[str, float | str] | None = None,
        random_state: int = 0,
    ) -> None:
        self.target = target
        self.n_members = n_members
        self.parameters = parameters
        self.random_state = random_state

    def _fit(self, X: Floats, y: Floats) -> None:
        seed = check_positive_int(self.random_state, name="random_state", least=0)
        n_members = min(check_positive_int(self.n_members, name="n_members", least=3), max(3, len(y) // 2))
        self.target_: TargetTransform = resolved_target(self.target, y)
        z = self.target_.forward(y)
        parameters = {**default_parameters(len(y)), **(self.parameters or {})}
        block = np.random.default_rng(seed).permutation(len(y)) % n_members
        unseen = np.full((2, len(y)), np.nan)
        self.members_: list[Any] = []
        for k in range(n_members):
            following = (k + 1) % n_members
            kept = (block != k) & (block != following)
            rows = kept if kept.any() else block >= 0  # two or three rows cannot be spared
            booster = _boosted(X[rows], z[rows], parameters=parameters, seed=seed * 1000 + k)
            for slot, left_out in enumerate((block == k, block == following)):
                unseen[slot, left_out] = _predictions([booster], X[left_out])[0]
            self.members_.append(booster)
        self._learn_spread(z, unseen)

    def _learn_spread(self, z: Floats, unseen: Floats) -> None:
        """Set variance, share and scale from two predictions of every row, (2, n), by members that had not seen it."""
        squared = (z - unseen.mean(axis=0)) ** 2
        disagreement = (unseen[0] - unseen[1]) ** 2 / 2
        spread = (disagreement + disagreement.mean()) / 2  # of two members only: half noise, so half believed
        self.variance_ = max(float(squared.mean()), 1e-12)
        self.spread_scale_ = float(spread.mean())
        losses = []
        for share in _SHARES:
            variance = self.variance_ * _mixture(spread, scale=self.spread_scale_, share=share)
            losses.append(np.mean(np.log(variance) + squared / variance))
        self.spread_share_ = _SHARES[int(np.argmin(losses))]

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        each = _predictions(self.members_, X)
        mean = each.mean(axis=0)
        if not with_std:
            return self.target_.backward(mean), None
        spread = each.var(axis=0, ddof=1)
        mixed = _mixture(spread, scale=self.spread_scale_, share=self.spread_share_)
        return self.target_.inverse(mean, np.sqrt(self.variance_ * mixed))


def _mixture(spread: Floats, *, scale: float, share: float) -> Floats:
    """Variance relative to its mean: a constant part and one that follows the spread."""
    relative = spread / scale if scale > 0 else np.ones_like(spread)
    return (1.0 - share) + share * relative


def _boosted(X: Floats, z: Floats, *, parameters: Mapping[str, float | str], seed: int) -> Any:
    """One booster of (n, k) features and (n,) transformed targets."""
    import xgboost

    settings = {name: value for name, value in parameters.items() if name != "n_rounds"}
    return xgboost.train(
        {**settings, "objective": "reg:squarederror", "seed": seed, "nthread": 1, "base_score": float(z.mean())},
        xgboost.DMatrix(X.astype(np.float32), label=z),
        num_boost_round=check_positive_int(parameters["n_rounds"], name="n_rounds"),
    )


def _predictions(boosters: list[Any], X: Floats) -> Floats:
    """(members, n) predictions of the transformed target."""
    features = X.astype(np.float32)
    return np.stack([np.asarray(b.inplace_predict(features), dtype=np.float64) for b in boosters])
