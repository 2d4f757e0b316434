"""Quasi-random search: points that fill the space more evenly than random ones."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace

_BATCH = 64
#: Points drawn at once: a Sobol sequence is balanced at powers of two.
_BLOCK = 256
#: Blocks in a row without a new architecture before the rest is drawn at random.
_PATIENCE = 4


@final
class QuasiRandomSearcher(Searcher):
    """A scrambled Sobol sequence over the space, without repetition. It learns nothing from what it is told.

    A point of the unit cube falls into one of the equal cells of each variable. Any stretch of the sequence spreads
    its points evenly over every variable and, less so, over pairs and triples of them; the seed scrambles it, so that
    its average over seeds is fair. Architectures that come again are skipped; when almost all have come, the few that
    are left follow in random order.

    References
    ----------
    I. M. Sobol', USSR Comput. Math. Math. Phys. 7(4), 1967; A. B. Owen, "Scrambling Sobol' and Niederreiter-Xing
    points", J. Complexity 14(4), 1998; for the tuning of networks: Bergstra & Bengio, JMLR 2012, and
    Bousquet et al., "Critical hyper-parameters: no random, no cry", 2017. The sequence is SciPy's.
    """

    name = "quasi-random"

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._rng = np.random.default_rng(self.seed)
        self._unseen = Unseen(space, rng=self._rng)
        self._queue = space.from_codes([])
        self._sequence: Any = None
        self._idle = 0

    def _ask(self, n: int | None) -> NDArray[Any]:
        wanted = n or _BATCH
        while not len(self._queue) and self._idle < _PATIENCE and self._unseen.n_left:
            self._queue = self._unseen.take(self._next_block())
            self._idle = 0 if len(self._queue) else self._idle + 1
        if not len(self._queue):
            self._queue = self._unseen.draw(wanted)
        if not len(self._queue):
            raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
        proposed, self._queue = self._queue[:wanted], self._queue[wanted:]
        return proposed

    def _next_block(self) -> NDArray[Any]:
        from scipy.stats import qmc

        if self._sequence is None:
            self._sequence = qmc.Sobol(self.space.n_variables, scramble=True, seed=self._rng)
        points = self._sequence.random(_BLOCK)
        # min: a coordinate rounded up to 1 belongs to the last cell.
        cells = np.minimum((points * self.space.cardinalities).astype(np.int64), self.space.cardinalities - 1)
        block: NDArray[Any] = cells.astype(self.space.dtype)
        return block

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        pass
