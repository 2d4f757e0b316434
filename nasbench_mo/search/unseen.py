"""The part of a search space that has not been proposed yet."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.space import SearchSpace

#: Spaces up to this size are permuted; larger ones are sampled and repetitions dropped.
_PERMUTATION_LIMIT = 1_000_000


@final
class Unseen:
    """What is left of a space, drawn from at random. It forgets nothing: one key an architecture is kept.

    Parameters
    ----------
    space
        The whole.
    rng
        Source of the draws.
    """

    def __init__(self, space: SearchSpace, *, rng: np.random.Generator) -> None:
        self._space = space
        self._rng = rng
        self._seen: set[bytes] = set()  # only ever asked for membership: its order depends on the process
        self._order: NDArray[np.intp] | None = None
        self._next = 0

    @property
    def n_left(self) -> int:
        """Number of architectures left."""
        return self._space.size - len(self._seen)

    def take(self, X: NDArray[Any]) -> NDArray[Any]:
        """Rows of X that are left, each once and in order, (k, d); from now on they are not."""
        fresh = []
        for i, row in enumerate(X):
            key = row.tobytes()
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(i)
        return X[fresh]

    def left(self, X: NDArray[Any]) -> NDArray[Any]:
        """Rows of X that are left, each once and in order, (k, d); they stay so."""
        fresh: dict[bytes, int] = {}
        for i, row in enumerate(X):
            key = row.tobytes()
            if key not in self._seen:
                fresh.setdefault(key, i)
        return X[list(fresh.values())]

    def draw(self, n: int) -> NDArray[Any]:
        """Take n architectures, or all that are left, uniformly at random: (k, d)."""
        wanted = min(n, self.n_left)
        parts = [self._space.from_codes([])]
        while wanted > 0:
            parts.append(self.take(self._candidates(wanted)))
            wanted -= len(parts[-1])
        return np.concatenate(parts)

    def _candidates(self, n: int) -> NDArray[Any]:
        if self._space.size > _PERMUTATION_LIMIT:
            return self._space.sample(n, rng=self._rng)
        if self._order is None:
            self._order = self._rng.permutation(self._space.size)
        self._next += n
        return self._space.from_codes(self._order[self._next - n : self._next])
