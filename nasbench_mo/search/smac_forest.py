"""SMAC with several objectives: a random forest, expected hypervolume improvement, random configurations between.

Hutter, Hoos & Leyton-Brown, "Sequential model-based optimization for general algorithm configuration", LION 2011;
Lindauer et al., "SMAC3", JMLR 23, 2022, by the same group, for the settings of the forest and of the interleaving.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import require
from nasbench_mo.search._options import number
from nasbench_mo.search.acquisition import expected_improvement
from nasbench_mo.search.archive_base import ArchiveSearcher, Floats
from nasbench_mo.search.epsilon_net import by_front_and_spread
from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.surrogate import features
from nasbench_mo.space import SearchSpace

#: Reference point in units of the observed range: 10 % beyond the worst.
_REFERENCE = 1.1
#: Local searches start from so many architectures of the archive and so many of the best random ones (SMAC: ten each).
_STARTS = 10
#: Steps after which a local search is cut off.
_MOST_STEPS = 20


@final
class SMACForestSearcher(ArchiveSearcher):
    """Random forests of each objective, maximised expected hypervolume improvement.

    Candidates are random architectures and the ends of local searches over one-variable neighbours that climb the
    acquisition from the best architectures known. With some probability a random architecture is proposed instead.

    Parameters
    ----------
    n_initial
        Random architectures at the start.
    batch
        Proposals from one fit, the best distinct ones.
    n_trees, max_features, min_samples_leaf
        Of each forest; SMAC3's settings.
    n_random
        Random candidates.
    random_share
        Probability that a proposal is drawn at random. Hutter et al. 2011 take every second, SMAC3 every fifth.
    features
        What the forest sees: ``"onehot"``, ``"default"`` for the space's own feature map, or the name of one.

    Notes
    -----
    The original SMAC has one objective, and SMAC3 scalarises several by ParEGO. Its forests split on sets of
    categories, scikit-learn's on one indicator column at a time.
    """

    name = "smac-forest"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        n_initial: int = 10,
        batch: int = 1,
        n_trees: int = 10,
        max_features: float = 5 / 6,
        min_samples_leaf: int = 3,
        n_random: int = 1000,
        random_share: float = 0.2,
        features: str = "onehot",
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, n_initial=n_initial, batch=batch)
        self.n_trees = self._integer("n_trees", n_trees, least=2)
        self.max_features = number(self.name, "max_features", max_features, least=0.0, most=1.0, open_=True)
        self.min_samples_leaf = self._integer("min_samples_leaf", min_samples_leaf, least=1)
        self.n_random = self._integer("n_random", n_random, least=1)
        self.random_share = number(self.name, "random_share", random_share, least=0.0, most=1.0)
        self.features = features
        self._features = _features_of(self.name, features, space=space)
        self._sklearn = require("sklearn", extra="bayes")
        self._tree = require("sklearn.tree", extra="bayes")

    def options(self) -> dict[str, float | int | str]:
        """Design and batch, the forest, the candidates and the share of random proposals."""
        return {
            **super().options(),
            "n_trees": self.n_trees,
            "max_features": self.max_features,
            "min_samples_leaf": self.min_samples_leaf,
            "n_random": self.n_random,
            "random_share": self.random_share,
            "features": self.features,
        }

    def _propose(self, n: int) -> NDArray[Any]:
        interleaved = self._rng.random(n) < self.random_share
        n_model = int(n - interleaved.sum())
        if not n_model:
            return self._fresh(n)
        return np.concatenate([self._best(n_model), self._fresh(n - n_model)])

    # ------------------------------------------------------------------ model and acquisition

    def _best(self, n: int) -> NDArray[Any]:
        """About n unseen architectures with the greatest acquisition, best first."""
        self._fit()
        candidates = self._fresh(self.n_random)
        gain = self._acquisition(candidates)
        best_random = candidates[np.argsort(-gain, kind="stable")[:_STARTS]]
        known = self._X[by_front_and_spread(self._F, most=_STARTS)]
        met, gains = self._climb(np.concatenate([known, best_random]))
        candidates, gain = np.concatenate([candidates, met]), np.concatenate([gain, gains])
        order = np.argsort(-gain, kind="stable")
        return self._unseen(candidates[order])[:n]

    def _climb(self, starts: NDArray[Any]) -> tuple[NDArray[Any], Floats]:
        """Neighbours that the local searches met, and their acquisition, (k, d) and (k,).

        All searches take their step at once, each to the best neighbour, until none gains.
        """
        here, best = starts, self._acquisition(starts)
        met, gains = [self._X[:0]], [np.empty(0)]
        for _ in range(_MOST_STEPS):
            around = [self.space.neighbors(x) for x in here]
            if not len(here) or not len(around[0]):
                break
            gain = self._acquisition(np.concatenate(around)).reshape(len(here), -1)
            met.append(np.concatenate(around))
            gains.append(gain.ravel())
            top = gain.argmax(axis=1)
            value = gain[np.arange(len(here)), top]
            moves = value > best
            here = np.array([around[i][top[i]] for i in np.flatnonzero(moves)], dtype=self.space.dtype)
            best = value[moves]
        return np.concatenate(met), np.concatenate(gains)

    def _fit(self) -> None:
        """A forest of each objective, of its logarithm where all its values are positive, as SMAC has it."""
        X = self._features(self._X).astype(np.float32)
        self._told_values = self._targets()
        with self._sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
            self._forests = [self._forest(X, z) for z in self._told_values.T]

    def _forest(self, X: NDArray[np.float32], z: Floats) -> list[Any]:
        """Trees of bootstrap samples, as scikit-learn's forest has them; its own bookkeeping takes longer than they."""
        trees = []
        for _ in range(self.n_trees):
            drawn = np.bincount(self._rng.integers(len(X), size=len(X)), minlength=len(X)).astype(np.float64)
            tree = self._tree.DecisionTreeRegressor(
                max_features=self.max_features,
                min_samples_leaf=self.min_samples_leaf,
                random_state=int(self._rng.integers(1 << 31)),
            )
            trees.append(tree.fit(X, z, sample_weight=drawn, check_input=False).tree_)
        return trees

    def _acquisition(self, X: NDArray[Any]) -> Floats:
        """Expected hypervolume improvement of (c, d) architectures, (c,), in the space of the forests' targets."""
        rows = self._features(X).astype(np.float32)
        each = [np.stack([tree.predict(rows).ravel() for tree in trees]) for trees in self._forests]
        # the deviation is that between the trees, as in section 4.1 of the paper
        beliefs = [Marginals(mean=values.mean(axis=0), std=values.std(axis=0)) for values in each]
        reference = np.full(self.n_objectives, _REFERENCE)
        return expected_improvement(beliefs, front=self._told_values, reference=reference)


#: Under another name, as the option is called ``features`` too.
_features_of = features
