"""Random forests whose deviation is the law of total variance over trees and leaves.

Hutter, Hoos & Leyton-Brown, "Sequential Model-Based Optimization for General Algorithm Configuration", LION 2011,
section 4.1, and Hutter et al., "Algorithm runtime prediction", Artificial Intelligence 2014, section 4.3.2, whose
variance of a forest counts the spread inside the leaves too.
"""

from __future__ import annotations

from typing import Any, Literal, final

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.base import DeviationRegressor, Floats, check_positive_int
from nasbench_mo.predictor.estimators.targets import TargetTransform, resolved_target

Kind = Literal["random", "extra"]


@final
class ForestRegressor(DeviationRegressor):
    """A forest of a transformed target.

    Parameters
    ----------
    kind
        ``"extra"``: extremely randomised trees on all rows (Geurts et al. 2006); ``"random"``: Breiman's forest.
    target
        ``"auto"``, ``"log"``, ``"rank-gauss"`` or ``"identity"``: see :func:`.targets.resolved_target`.
    n_trees
        Number of trees.
    min_samples_leaf
        Least number of rows in a leaf; with 1 the leaves have no spread of their own.
    max_features
        Share of the columns tried at each split.
    random_state
        Seed.

    Attributes
    ----------
    forest_
        scikit-learn's forest.
    """

    def __init__(
        self,
        *,
        kind: Kind = "extra",
        target: str = "auto",
        n_trees: int = 200,
        min_samples_leaf: int = 2,
        max_features: float = 0.3,
        random_state: int = 0,
    ) -> None:
        self.kind = kind
        self.target = target
        self.n_trees = n_trees
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.random_state = random_state

    def _fit(self, X: Floats, y: Floats) -> None:
        kinds = {"extra": ExtraTreesRegressor, "random": RandomForestRegressor}
        if self.kind not in kinds:
            raise SpecError(f"ForestRegressor: kind must be 'extra' or 'random'; got {self.kind!r}")
        if not 0 < self.max_features <= 1:
            raise SpecError(f"ForestRegressor: max_features is a share of the columns; got {self.max_features!r}")
        self.target_: TargetTransform = resolved_target(self.target, y)
        self.forest_: Any = kinds[self.kind](
            n_estimators=check_positive_int(self.n_trees, name="n_trees", least=2),
            min_samples_leaf=check_positive_int(self.min_samples_leaf, name="min_samples_leaf"),
            max_features=float(self.max_features),
            random_state=check_positive_int(self.random_state, name="random_state", least=0),
            n_jobs=1,
        ).fit(X, self.target_.forward(y))

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        leaves = self.forest_.apply(X)  # (n, trees)
        trees = [tree.tree_ for tree in self.forest_.estimators_]
        means = np.stack([t.value[leaves[:, i], 0, 0] for i, t in enumerate(trees)], axis=1)
        mean = means.mean(axis=1)
        if not with_std:
            return self.target_.backward(mean), None
        inside = np.stack([t.impurity[leaves[:, i]] for i, t in enumerate(trees)], axis=1)  # leaf variances
        variance = means.var(axis=1) + inside.mean(axis=1)  # rounding can leave a pure leaf's impurity below 0
        return self.target_.inverse(mean, np.sqrt(np.maximum(variance, 0.0)))
