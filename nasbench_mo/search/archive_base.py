"""A searcher that remembers everything it was told and never proposes the same architecture twice."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError
from nasbench_mo.pareto import nondominated
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.scalarise import Scale
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]

#: Rounds of sampling after which what is left of a space is listed instead.
_SAMPLING_ROUNDS = 20


class ArchiveSearcher(Searcher):
    """An initial random design, then proposals from what is known. Abstract: a searcher gives ``_propose``.

    Whatever is told enters the archive, whether it was asked for or not and in any order. Architectures that were
    asked for and not told yet are not proposed again.

    Parameters
    ----------
    n_initial
        Architectures drawn at random before the first proposal of the model; those told unasked count.
    batch
        Proposals made from the same state of knowledge.
    """

    def __init__(
        self, space: SearchSpace, n_objectives: int, *, seed: int = 0, n_initial: int = 10, batch: int = 1
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.n_initial = self._integer("n_initial", n_initial, least=1)
        self.batch = self._integer("batch", batch, least=1)
        self._rng = np.random.default_rng(self.seed)
        self._seen: set[bytes] = set()
        self._row_of: dict[bytes, int] = {}
        self._X: NDArray[Any] = np.empty((0, space.n_variables), dtype=space.dtype)
        self._F: Floats = np.empty((0, self.n_objectives))

    def options(self) -> dict[str, float | int | str]:
        """Size of the initial design and of a batch."""
        return {"n_initial": self.n_initial, "batch": self.batch}

    @abstractmethod
    def _propose(self, n: int) -> NDArray[Any]:
        """About n rows in order of preference, given that the archive is not empty; seen ones are passed over."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        left = self.space.size - len(self._seen)
        if left <= 0:
            raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
        wanted = min(n or self.batch, self.batch, left)
        initial = self.n_initial - len(self._seen)
        if initial > 0 or not len(self._F):
            rows = self._fresh(min(wanted, initial) if initial > 0 else wanted)
        else:
            rows = self._unseen(self._propose(wanted))[:wanted]
            if len(rows) < wanted:
                self._seen.update(_keys(rows))
                rows = np.concatenate([rows, self._fresh(wanted - len(rows))])
        self._seen.update(_keys(rows))
        return rows

    def _tell(self, X: NDArray[Any], F: Floats) -> None:
        fresh: list[int] = []
        for i, row in enumerate(X):
            key = row.tobytes()
            if key in self._row_of:
                self._update(self._row_of[key], F[i], fresh=fresh, told=F)
            else:
                self._row_of[key] = len(self._X) + len(fresh)
                self._seen.add(key)
                fresh.append(i)
        self._X = np.concatenate([self._X, X[fresh]])
        self._F = np.concatenate([self._F, F[fresh]])

    def _update(self, row: int, values: Floats, *, fresh: list[int], told: Floats) -> None:
        """An architecture told again: its last values hold. ``told`` is the searcher's own copy."""
        if row < len(self._F):
            self._F[row] = values
        else:
            told[fresh[row - len(self._F)]] = values

    def _observed_scale(self) -> Scale:
        return Scale.observed(self.space, self._X, self._F)

    def _targets(self) -> Floats:
        """What a model learns, (n, m): logarithms where all values of an objective are positive, on the observed scale.

        The order of architectures is the same; a dead network's error no longer hides the differences of the others'.
        """
        positive = self._F.min(axis=0) > 0
        Y = np.where(positive, np.log(np.where(positive, self._F, 1.0)), self._F)
        return Scale.observed(self.space, self._X, Y).scaled(Y)

    def _front(self) -> NDArray[Any]:
        """(k, d) nondominated architectures of the archive."""
        front: NDArray[Any] = self._X[nondominated(self._F)]
        return front

    def _unseen(self, X: NDArray[Any]) -> NDArray[Any]:
        """Rows of X, each once and in their order, that were neither asked for nor told."""
        X = X.astype(self.space.dtype, copy=False)
        rows = {key: i for i, key in enumerate(_keys(X))}  # in the order of first places; rows of one key are alike
        return X[[i for key, i in rows.items() if key not in self._seen]]

    def _fresh(self, n: int) -> NDArray[Any]:
        """At most n random unseen architectures; fewer only where the space has no more."""
        found = self._unseen(self.space.sample(n, rng=self._rng))
        for _ in range(_SAMPLING_ROUNDS):
            if len(found) >= n:
                return found[:n]
            found = self._unseen(np.concatenate([found, self.space.sample(2 * n, rng=self._rng)]))
        if len(found) < n and self.space.enumerable:
            rest = self._unseen(self.space.enumerate())
            return rest[self._rng.permutation(len(rest))[:n]]
        return found[:n]

    def _neighbours_of_front(self, most: int) -> NDArray[Any]:
        """Unseen neighbours of the front, (k, d), at most so many, drawn at random if there are more."""
        around = self._unseen(np.concatenate([self.space.neighbors(x) for x in self._front()]))
        return around if len(around) <= most else around[self._rng.permutation(len(around))[:most]]


def _keys(X: NDArray[Any]) -> list[bytes]:
    """The bytes of each row, as ``row.tobytes()`` has them, all rows at once."""
    whole_rows = np.dtype((np.void, X.dtype.itemsize * X.shape[1]))
    keys: list[Any] = np.ascontiguousarray(X).view(whole_rows).ravel().tolist()
    return keys
