"""LEMONADE: children of the front, chosen where the cheap objectives are sparse.

Elsken, Metzen, Hutter, "Efficient multi-objective neural architecture search via Lamarckian evolution", ICLR 2019,
Algorithm 1.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.pareto import nondominated
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.density import log_density
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace


@final
class LemonadeSearcher(Searcher):
    """LEMONADE, in the form that a table of trained architectures allows.

    The population is the set of nondominated architectures. In each generation a kernel density is fitted to its
    cheap objectives; parents are drawn with probability proportional to the inverse of their density, each makes a
    child, and of the ``children`` so made, ``accepted`` are drawn with probability proportional to the inverse of
    theirs. Only these are evaluated. So sparse parts of the cheap objectives' range are filled first, and the
    expensive ones decide who stays.

    Which objectives are cheap is told by :meth:`set_known`. Where none is, all densities are equal: parents and
    children are drawn uniformly, and what remains is a random walk from the front.

    Parameters
    ----------
    initial
        Random architectures to start from.
    children
        Children made in a generation, n_pc in the paper.
    accepted
        Children evaluated in a generation, n_ac in the paper.

    Notes
    -----
    Departures from the paper: a child is a random neighbour of its parent in the space, where the paper's network
    morphisms also hand down the parent's weights (a table has no weights to hand down); the first population is random
    instead of a few hand-made trivial networks; children that were seen before are left out. Where no child of the
    front is new, random architectures are proposed. Defaults are sized for some hundreds of evaluations. Bandwidths
    are Scott's.
    """

    name = "lemonade"
    wants_known: ClassVar[bool] = True

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        initial: int = 10,
        children: int = 100,
        accepted: int = 10,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.initial = self._integer("initial", initial, least=1)
        self.children = self._integer("children", children, least=1)
        self.accepted = self._integer("accepted", accepted, least=1)
        if self.accepted > self.children:
            raise SearcherError(
                f"searcher {self.name!r}: accepted must be at most children, got {accepted} of {children}"
            )
        self._rng = np.random.default_rng(self.seed)
        self._unseen = Unseen(space, rng=self._rng)
        self._queue = space.from_codes([])
        self._started = False
        self._awaited: set[bytes] = set()
        # The population: the front of all that was told.
        self._X = space.from_codes([])
        self._F = np.empty((0, self.n_objectives))

    def options(self) -> dict[str, float | int | str]:
        """Sizes of the first population and of a generation, before and after acceptance."""
        return {"initial": self.initial, "children": self.children, "accepted": self.accepted}

    def _ask(self, n: int | None) -> NDArray[Any]:
        if not len(self._queue):
            self._start_generation()
        proposed = self._queue[:n]
        self._queue = self._queue[len(proposed) :]
        self._awaited.update(row.tobytes() for row in proposed)
        return proposed

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self._unseen.take(X)
        self._awaited.difference_update(row.tobytes() for row in X)
        self._X = np.concatenate([self._X, X])
        self._F = np.concatenate([self._F, F])
        keep = nondominated(self._F)
        self._X, self._F = self._X[keep], self._F[keep]

    def _start_generation(self) -> None:
        if self._awaited:
            raise SearcherError(f"searcher {self.name!r}: tell this generation's values before asking for the next")
        if not self._unseen.n_left:
            raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
        if not self._started:
            self._started = True
            self._queue = self._unseen.draw(self.initial)
            return
        cheap = self._known_values(self._X)
        children = self._unseen.left(self._generate_children(cheap))
        if not len(children):
            self._queue = self._unseen.draw(self.accepted)
            return
        self._queue = self._unseen.take(self._accept_subset(children, cheap=cheap))

    def _generate_children(self, cheap: NDArray[np.float64]) -> NDArray[Any]:
        """Neighbours of parents drawn, with replacement, inversely to their density."""
        log_weights = -log_density(cheap, at=cheap)
        weights = np.exp(log_weights - log_weights.max())
        parents = self._rng.choice(len(self._X), size=self.children, p=weights / weights.sum())
        return self.space.mutate(self._X[parents], rng=self._rng)

    def _accept_subset(self, children: NDArray[Any], *, cheap: NDArray[np.float64]) -> NDArray[Any]:
        """Children drawn, without replacement, inversely to the density of the population at them."""
        log_weights = -log_density(cheap, at=self._known_values(children))
        # The k largest of log w + Gumbel noise are a weighted draw without replacement, for weights of any size
        # (Efraimidis & Spirakis, IPL 97(5), 2006, in logarithms).
        keys = log_weights + self._rng.gumbel(size=len(children))
        return children[np.argsort(-keys, kind="stable")[: self.accepted]]
