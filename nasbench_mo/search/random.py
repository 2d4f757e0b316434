"""Random search without replacement: the baseline everything must beat."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError
from nasbench_mo.search.base import Searcher
from nasbench_mo.space import SearchSpace

_BATCH = 64
#: Spaces up to this size are permuted; larger ones are sampled and repetitions dropped.
_PERMUTATION_LIMIT = 1_000_000


@final
class RandomSearcher(Searcher):
    """Architectures drawn uniformly without replacement.

    Bergstra & Bengio, "Random search for hyper-parameter optimization", JMLR 2012.
    """

    name = "random"

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._rng = np.random.default_rng(seed)
        self._order = self._rng.permutation(space.size) if space.size <= _PERMUTATION_LIMIT else None
        self._seen: set[bytes] = set()

    def _ask(self, n: int | None) -> NDArray[Any]:
        wanted = n or _BATCH
        left = self.space.size - self.n_asked
        if not left:
            raise ExhaustedError(f"searcher 'random': all {self.space.size} architectures have been proposed")
        if self._order is None:
            return self._fresh(min(wanted, left))
        return self.space.from_codes(self._order[self.n_asked : self.n_asked + wanted])

    def _fresh(self, wanted: int) -> NDArray[Any]:
        kept: list[NDArray[Any]] = []
        while len(kept) < wanted:
            for row in self.space.sample(wanted - len(kept), rng=self._rng):
                key = row.tobytes()
                if key not in self._seen:
                    self._seen.add(key)
                    kept.append(row)
        return np.stack(kept)

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        pass
