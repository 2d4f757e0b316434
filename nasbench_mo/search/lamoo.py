"""LaMOO: Monte-Carlo tree search over learnt partitions of the space.

Zhao et al., "Multi-objective optimization by learning space partitions", ICLR 2022; its ancestor is LaNAS, Wang et
al., "Sample-efficient neural architecture search by learning actions for Monte Carlo tree search", TPAMI 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import require
from nasbench_mo.pareto import hypervolume, nondominated
from nasbench_mo.predictor.features import one_hot
from nasbench_mo.search._options import choice, number
from nasbench_mo.search.archive_base import ArchiveSearcher, Floats
from nasbench_mo.space import SearchSpace

#: Reference point of the hypervolumes in units of the observed range: 10 % beyond the worst.
_REFERENCE = 1.1
_MOST_NODES = 50
#: Rounds of a hundred candidates in which a region is looked for before the search leaves it.
_ROUNDS = 20
_CANDIDATES = 100


@dataclass(slots=True, kw_only=True, eq=False)
class _Node:
    """A region of the space: those architectures that every classifier on the way from the root sends here."""

    rows: NDArray[np.intp]
    value: float
    path: list[tuple[Any, bool]]
    classifier: Any = None
    children: list[_Node] = field(default_factory=list)


@final
class LaMOOSearcher(ArchiveSearcher):
    """LaMOO with an evolutionary or a random solver inside the chosen region.

    At every batch the tree is built anew: a region's samples are halved by their dominance number (how many of them
    dominate a sample), and a support vector machine on the one-hot encoding learns the border. A path is followed by
    the greatest ``HV(region) + 2 c_p HV(all) sqrt(2 ln n(parent) / n(region))``.

    Parameters
    ----------
    n_initial, batch
        Random architectures at the start, and proposals from one tree.
    leaf_size
        A region with so many samples or fewer is not split.
    c_p
        Exploration, as a share of the hypervolume of all samples; the paper recommends a tenth.
    kernel
        Of the support vector machine: ``"rbf"``, ``"linear"`` or ``"poly"``.
    sampler
        ``"evolution"``: crossover and mutation of the region's nondominated samples; ``"random"``: the space's uniform
        samples. Both keep what lies in the region.

    Notes
    -----
    The paper's own solvers inside a region, qEHVI and CMA-ES, are for continuous variables; evolution takes the
    place of CMA-ES. The classifier is scikit-learn's, as in the authors' code: an own one would be another method.
    """

    name = "lamoo"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        n_initial: int = 10,
        batch: int = 5,
        leaf_size: int = 15,
        c_p: float = 0.1,
        kernel: str = "rbf",
        sampler: str = "evolution",
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, n_initial=n_initial, batch=batch)
        self.leaf_size = self._integer("leaf_size", leaf_size, least=2)
        self.c_p = number(self.name, "c_p", c_p, least=0.0)
        self.kernel = choice(self.name, "kernel", kernel, known=("rbf", "linear", "poly"))
        self.sampler = choice(self.name, "sampler", sampler, known=("evolution", "random"))
        self._svm = require("sklearn.svm", extra="bayes")
        self._features = one_hot(space).compute

    def options(self) -> dict[str, float | int | str]:
        """Design and batch, tree and classifier, and the solver inside a region."""
        own: dict[str, float | int | str] = {"leaf_size": self.leaf_size, "c_p": self.c_p}
        return {**super().options(), **own, "kernel": self.kernel, "sampler": self.sampler}

    def _propose(self, n: int) -> NDArray[Any]:
        leaf = self._select(self._tree())
        found = self._X[:0]
        for _ in range(_ROUNDS):
            found = self._unseen(np.concatenate([found, self._inside(self._candidates(leaf), leaf)]))
            if len(found) >= n:
                break
        return found[self._rng.permutation(len(found))[:n]]

    # ------------------------------------------------------------------ the tree

    def _tree(self) -> _Node:
        """Root of a tree over the archive, its leaves as small as allowed."""
        Z = self._observed_scale().scaled(self._F)
        X = self._features(self._X)
        root = _Node(rows=np.arange(len(Z)), value=_volume(Z), path=[])
        nodes = [root]
        for node in nodes:  # grows while it is walked: breadth first, as the authors split
            if len(nodes) < _MOST_NODES and len(node.rows) > self.leaf_size:
                node.children = self._split(node, X, Z=Z)
                nodes += node.children
        return root

    def _split(self, node: _Node, X: NDArray[np.float32], *, Z: Floats) -> list[_Node]:
        """Good and bad child; none where the halves cannot be told apart."""
        good = _better_half(Z[node.rows])
        if good.all() or not good.any():
            return []
        classifier = self._svm.SVC(kernel=self.kernel, gamma="scale", random_state=0).fit(X[node.rows], good)
        predicted = classifier.predict(X[node.rows])
        if predicted.all() or not predicted.any():
            return []
        node.classifier = classifier
        return [
            _Node(
                rows=node.rows[good == side],
                value=_volume(Z[node.rows[good == side]]),
                path=[*node.path, (classifier, side)],
            )
            for side in (True, False)
        ]

    def _select(self, root: _Node) -> _Node:
        """The leaf that upper confidence bounds lead to."""
        node = root
        exploration = 2.0 * self.c_p * root.value
        while node.children:
            total = len(node.rows)
            node = max(node.children, key=lambda c: c.value + exploration * np.sqrt(2.0 * np.log(total) / len(c.rows)))
        return node

    # ------------------------------------------------------------------ samples of a region

    def _candidates(self, leaf: _Node) -> NDArray[Any]:
        if self.sampler == "random" or len(leaf.rows) < 2:
            return self.space.sample(_CANDIDATES, rng=self._rng)
        rows = leaf.rows[nondominated(self._F[leaf.rows])]
        parents = self._X[rows if len(rows) > 1 else leaf.rows]
        first, second = (parents[self._rng.integers(len(parents), size=_CANDIDATES)] for _ in range(2))
        return self.space.mutate(self.space.crossover(first, second, rng=self._rng), rng=self._rng)

    def _inside(self, X: NDArray[Any], leaf: _Node) -> NDArray[Any]:
        """Rows that every classifier on the path sends towards the leaf."""
        for classifier, side in leaf.path:
            if not len(X):
                break
            X = X[classifier.predict(self._features(X)) == side]
        return X


def _better_half(Z: Floats) -> NDArray[np.bool_]:
    """Which rows of (n, m) values belong to the half with the smaller dominance numbers; earlier rows win ties."""
    weakly = (Z[:, None, :] <= Z[None, :, :]).all(axis=2)
    dominates = weakly & ~weakly.T
    order = np.argsort(dominates.sum(axis=0), kind="stable")
    half = np.zeros(len(Z), dtype=bool)
    half[order[: len(Z) // 2 + 1]] = True
    return half


def _volume(Z: Floats) -> float:
    return hypervolume(Z, reference=np.full(Z.shape[1], _REFERENCE))
