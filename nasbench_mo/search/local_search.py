"""Pareto local search: the neighbours of what is nondominated, until nothing new is.

Paquete, Chiarandini, Stuetzle, "Pareto local optimum sets in the biobjective traveling salesman problem: an
experimental study", in Metaheuristics for Multiobjective Optimisation, LNEMS 535, 2004. White, Nolen, Savani,
"Exploring the loss landscape in neural architecture search", UAI 2021 (one objective).
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.pareto import nondominated
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace


@final
class LocalSearchSearcher(Searcher):
    """Pareto local search with restarts.

    It keeps the nondominated architectures of the current climb. A member whose neighbourhood (the space's
    ``neighbors``: all that differ in one variable) is unexplored is drawn at random, and all of its neighbours that
    were not proposed before are proposed, in random order. When every member is explored the set is a Pareto local
    optimum, and the climb starts again from new random architectures; the run keeps the front of all climbs.

    Parameters
    ----------
    starts
        Random architectures that a climb starts from.

    Notes
    -----
    It never repeats itself, and ends when the whole space was proposed. What is told without having been proposed
    joins the climb. A neighbourhood is large where there are many variables (176 in ``fbnet``): a small budget then
    sees few of them.
    """

    name = "local-search"

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0, starts: int = 10) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.starts = self._integer("starts", starts, least=1)
        self._rng = np.random.default_rng(self.seed)
        self._unseen = Unseen(space, rng=self._rng)
        self._awaited: set[bytes] = set()
        self._started = False
        self._queue = space.from_codes([])
        self._forget()

    def options(self) -> dict[str, float | int | str]:
        """Number of random starts."""
        return {"starts": self.starts}

    def _forget(self) -> None:
        """Begin with no members."""
        self._X = self.space.from_codes([])
        self._F = np.empty((0, self.n_objectives))
        self._explored = np.empty(0, dtype=bool)

    def _ask(self, n: int | None) -> NDArray[Any]:
        if not self._started:
            self._queue = self._unseen.draw(self.starts)
            self._started = True
        while not len(self._queue) and not self._explored.all():
            self._explore()
        if not len(self._queue):
            if self._awaited:
                raise SearcherError(f"searcher {self.name!r}: tell the values of the last proposals first")
            if not self._unseen.n_left:
                raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
            self._forget()
            self._queue = self._unseen.draw(self.starts)
        proposed, self._queue = self._queue[:n], self._queue[n:] if n is not None else self._queue[:0]
        self._awaited.update(row.tobytes() for row in proposed)
        return proposed

    def _explore(self) -> None:
        """Queue the neighbours of an unexplored member that were not proposed before."""
        i = self._rng.choice(np.flatnonzero(~self._explored))
        self._explored[i] = True
        self._queue = self._unseen.take(self._rng.permutation(self.space.neighbors(self._X[i])))

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self._unseen.take(X)
        self._awaited.difference_update(row.tobytes() for row in X)
        self._X = np.concatenate([self._X, X])
        self._F = np.concatenate([self._F, F])
        self._explored = np.concatenate([self._explored, np.zeros(len(X), dtype=bool)])
        keep = nondominated(self._F)
        self._X, self._F, self._explored = self._X[keep], self._F[keep], self._explored[keep]
