"""Regularised evolution: mutation only, and the oldest dies, not the worst.

Real, Aggarwal, Huang, Le, "Regularized evolution for image classifier architecture search", AAAI 2019, Algorithm 1.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.ranking import crowding_distance, pareto_rank
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace


@final
class RegularizedEvolutionSearcher(Searcher):
    """Regularised (ageing) evolution, its tournament held by dominance.

    A population of the ``population`` architectures told last is kept. Each child is a one-variable mutation of the
    winner of a tournament among ``sample`` members drawn with replacement; it enters, and the oldest member leaves.
    There is no crossover.

    The paper has one objective; with several, the winner is the one of the best nondominated front, and within that
    front of the largest crowding distance, as in NSGA-II's tournament. Front and distance are those in the whole
    living population, not in the sample: there, the two ends of nearly every sample's front would win.

    Parameters
    ----------
    population
        Number of members alive, all random at first. The paper's 100 is for 20,000 evaluations; at a budget of 100 it
        is random search. The default is for some hundreds.
    sample
        Size of a tournament; the paper's is 25 of 100, and the default is about the same share.
    batch
        Children proposed before any of them has to be told: the number of parallel workers.

    Notes
    -----
    Departures from the paper: a mutation changes one variable of the encoding to another value, and there is no
    identity mutation. A child that was seen before is drawn again, up to ``RETRIES`` times, because repeated values
    would tell nothing new; then it is proposed again, which lets it live on. The space is exhausted when all of it
    was proposed.
    """

    name = "regularized-evolution"
    #: Children drawn before one that was seen already is proposed again.
    RETRIES = 10

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        population: int = 30,
        sample: int = 8,
        batch: int = 1,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.population = self._integer("population", population, least=1)
        self.sample = self._integer("sample", sample, least=1)
        self.batch = self._integer("batch", batch, least=1)
        self._rng = np.random.default_rng(self.seed)
        self._unseen = Unseen(space, rng=self._rng)
        self._n_random = min(self.population, space.size)
        # The living, oldest first.
        self._X = space.from_codes([])
        self._F = np.empty((0, self.n_objectives))
        self._rank: NDArray[np.intp] | None = None

    def options(self) -> dict[str, float | int | str]:
        """Population, tournament and batch sizes."""
        return {"population": self.population, "sample": self.sample, "batch": self.batch}

    def _ask(self, n: int | None) -> NDArray[Any]:
        if not self._unseen.n_left:
            raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
        if self.n_asked < self._n_random:
            left = self._n_random - self.n_asked
            return self._unseen.draw(left if n is None else min(n, left))
        if not len(self._X):
            raise SearcherError(f"searcher {self.name!r}: tell values before asking for children of what was proposed")
        size = self.batch if n is None else min(n, self.batch)
        return self._child() if size == 1 else np.concatenate([self._child() for _ in range(size)])

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self._unseen.take(X)
        self._X = np.concatenate([self._X, X])[-self.population :]
        self._F = np.concatenate([self._F, F])[-self.population :]
        self._rank = None

    def _child(self) -> NDArray[Any]:
        for _ in range(self.RETRIES):
            child = self.space.mutate(self._X[[self._parent()]], rng=self._rng)
            if len(self._unseen.take(child)):
                break
        return child

    def _parent(self) -> int:
        """Index of a tournament's winner among the living."""
        if self._rank is None:
            self._rank = pareto_rank(self._F)
        ranks = self._rank.tolist()  # plain lists: with a dozen members they are faster than arrays
        drawn = self._rng.integers(0, len(ranks), size=self.sample).tolist()
        lowest = min(ranks[i] for i in drawn)
        best: list[int] = [i for i in drawn if ranks[i] == lowest]
        if len(best) == 1:
            return best[0]
        front = np.flatnonzero(self._rank == lowest)
        distance = dict(zip(front.tolist(), crowding_distance(self._F[front]).tolist(), strict=True))
        return max(best, key=distance.__getitem__)
