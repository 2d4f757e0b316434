"""MO-BANANAS: an ensemble of predictors, independent Thompson sampling, mutations of the best.

White, Neiswanger & Savani, "BANANAS: Bayesian optimization with neural architectures for neural architecture search",
AAAI 2021; for several objectives Guerrero-Viu et al., "Bag of baselines for multi-objective joint neural architecture
search and hyperparameter optimization", 2021.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.archive_base import ArchiveSearcher, Floats
from nasbench_mo.search.epsilon_net import by_front_and_spread
from nasbench_mo.search.surrogate import features
from nasbench_mo.space import SearchSpace

#: Boosting of a member: small trees, for the tens to hundreds of architectures that a search knows.
_ROUNDS = 60
_BOOSTING = {"max_depth": 4, "eta": 0.15, "min_child_weight": 2, "subsample": 0.9, "colsample_bytree": 0.6, "lambda": 1}


@final
class MOBananasSearcher(ArchiveSearcher):
    """BANANAS for several objectives, with boosted trees as its predictors.

    A batch: each objective is learnt by an ensemble on bootstrap samples; candidates are mutations of the best
    architectures; of each candidate and objective a value is drawn independently from the normal of the ensemble's mean
    and deviation (independent Thompson sampling); the candidates are taken front by front of these values, within a
    front widely spread.

    Parameters
    ----------
    n_initial, batch
        Random architectures at the start, and proposals from one ensemble; ten each in the paper.
    n_members
        Predictors of an ensemble.
    n_candidates
        Mutations from which a batch is chosen.
    n_parents
        Best architectures that are mutated.
    features
        ``"auto"``: the path encoding where the space has one (``nb201-path-v1``), as in the paper, one-hot elsewhere;
        else ``"onehot"``, ``"default"`` for the space's own map, or the name of a feature map.

    Notes
    -----
    The paper's members are neural networks; here they are XGBoost's, which need no extra package and a hundredth of the
    time, and which rank better at this number of architectures (White et al., "How powerful are performance predictors
    in neural architecture search?", NeurIPS 2021). A parent is mutated in one variable, with a chance of one in two in
    another one besides.
    """

    name = "mo-bananas"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        n_initial: int = 10,
        batch: int = 10,
        n_members: int = 5,
        n_candidates: int = 100,
        n_parents: int = 10,
        features: str = "auto",
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, n_initial=n_initial, batch=batch)
        self.n_members = self._integer("n_members", n_members, least=2)
        self.n_candidates = self._integer("n_candidates", n_candidates, least=1)
        self.n_parents = self._integer("n_parents", n_parents, least=1)
        self.features = features
        chosen = _path_encoding(space) if features == "auto" else features
        self._features = _features_of(self.name, chosen, space=space)

    def options(self) -> dict[str, float | int | str]:
        """Design and batch, the ensemble and the candidates."""
        return {
            **super().options(),
            "n_members": self.n_members,
            "n_candidates": self.n_candidates,
            "n_parents": self.n_parents,
            "features": self.features,
        }

    def _propose(self, n: int) -> NDArray[Any]:
        candidates = self._candidates()
        if not len(candidates):
            return candidates
        drawn = np.stack([self._drawn(y, candidates) for y in self._F.T], axis=1)
        return candidates[by_front_and_spread(drawn, most=n)]

    def _candidates(self) -> NDArray[Any]:
        """Unseen mutations of the best architectures, (c, d)."""
        best = self._X[by_front_and_spread(self._F, most=self.n_parents)]
        parents = best[np.arange(2 * self.n_candidates) % len(best)]
        once = self.space.mutate(parents, rng=self._rng)
        twice = self.space.mutate(once, rng=self._rng)
        mutants = np.where(self._rng.random((len(once), 1)) < 0.5, once, twice)
        return self._unseen(mutants)[: self.n_candidates]

    def _drawn(self, y: Floats, candidates: NDArray[Any]) -> Floats:
        """An independent sample of each candidate's objective, (c,)."""
        if np.ptp(y) == 0:
            return np.full(len(candidates), y[0])
        # logarithms of positive values: a dead network must not decide the scale of all the others
        positive = bool(y.min() > 0)
        z = np.log(y) if positive else y
        each = self._ensemble((z - z.mean()) / z.std(), candidates)
        return np.asarray(each.mean(axis=0) + each.std(axis=0) * self._rng.standard_normal(len(candidates)))

    def _ensemble(self, z: Floats, candidates: NDArray[Any]) -> Floats:
        """(members, c) predictions by boosted trees, each trained on a bootstrap sample of the archive."""
        import xgboost

        known, wanted = (self._features(X).astype(np.float32) for X in (self._X, candidates))
        predictions = []
        for _ in range(self.n_members):
            rows = self._rng.integers(len(z), size=len(z))
            settings = {**_BOOSTING, "seed": int(self._rng.integers(1 << 31)), "nthread": 1, "base_score": 0.0}
            booster = xgboost.train(settings, xgboost.DMatrix(known[rows], label=z[rows]), num_boost_round=_ROUNDS)
            predictions.append(booster.inplace_predict(wanted))
        return np.array(predictions, dtype=np.float64)


def _path_encoding(space: SearchSpace) -> str:
    return "nb201-path-v1" if space.name == "nb201" else "onehot"


#: Under another name, as the option is called ``features`` too.
_features_of = features
