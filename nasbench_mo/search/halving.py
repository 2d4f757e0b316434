"""Brackets of synchronous successive halving: what it and Hyperband have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.search.multi_fidelity import Floats, MultiFidelitySearcher, best_rows
from nasbench_mo.space import SearchSpace


@final
class Bracket:
    """Some architectures that are halved rung by rung.

    Parameters
    ----------
    X
        (n, d) architectures of its first rung, each once.
    rung
        Index of that rung.
    sizes
        How many are trained on it and on each rung above.
    start
        Objective with whose best point a front starts when the survivors are chosen.
    """

    def __init__(self, X: NDArray[Any], *, rung: int, sizes: Sequence[int], start: int) -> None:
        self.rung = rung
        self._sizes = list(sizes)
        self._start = start
        self._enter(X)

    def _enter(self, X: NDArray[Any]) -> None:
        self._X = X
        self._waiting = list(range(len(X)))  # rows that were not handed out
        self._row_of = {x.tobytes(): i for i, x in enumerate(X)}
        self._F: dict[int, Floats] = {}

    @property
    def spent(self) -> bool:
        """Whether its last rung has been handed out."""
        return len(self._sizes) == 1 and not self._waiting

    def take(self, n: int | None) -> NDArray[Any]:
        """Hand out at most n rows of the rung, (k, d); none where values have to be told first."""
        k = len(self._waiting) if n is None else min(n, len(self._waiting))
        given, self._waiting = self._waiting[:k], self._waiting[k:]
        return self._X[given]

    def tell(self, x: NDArray[Any], values: Floats, *, rung: int) -> None:
        """Values of an architecture on a rung; those that the bracket does not wait for are of no use to it."""
        row = self._row_of.get(x.tobytes()) if rung == self.rung else None
        if row is None:
            return
        self._F[row] = values
        if row in self._waiting:  # told before it was asked for
            self._waiting.remove(row)

    def rise(self, space: SearchSpace) -> None:
        """Go on to the next rung with the best, once all of this one are told."""
        if self._waiting or len(self._F) < len(self._X) or len(self._sizes) == 1:
            return
        F = np.stack([self._F[i] for i in range(len(self._X))])
        self._sizes.pop(0)
        best = best_rows(self._X, F, space=space, most=min(self._sizes[0], len(self._X)), start=self._start)
        self.rung += 1
        self._enter(self._X[best])


class HalvingSearcher(MultiFidelitySearcher):
    """One bracket of successive halving after another. Abstract: a searcher says how large they are.

    All of a rung has to be told before its best go on: asking earlier is refused. The last rung of a bracket need not
    be waited for. New architectures are drawn at random, none twice.
    """

    def __init__(
        self, space: SearchSpace, n_objectives: int, *, seed: int = 0, eta: int = 3, least_epochs: int = 1
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, eta=eta, least_epochs=least_epochs)
        self._bracket: Bracket | None = None
        self._n_brackets = 0

    @abstractmethod
    def sizes(self, number: int) -> tuple[int, ...]:
        """How many architectures the bracket of this number (from 0) trains on its rungs; the last is the full one."""

    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        if self._bracket is not None:
            self._bracket.rise(self.space)
        if self._bracket is None or self._bracket.spent:
            self._bracket = self._next_bracket()
        X = self._bracket.take(n)
        if not len(X):
            raise SearcherError(f"searcher {self.name!r}: tell the values of this rung before asking for the next")
        return X, np.full(len(X), self._bracket.rung)

    def _take(self, X: NDArray[Any], F: Floats, rungs: NDArray[np.intp]) -> None:
        self._unseen.take(X)
        if self._bracket is not None:
            for x, values, rung in zip(X, F, rungs.tolist(), strict=True):
                self._bracket.tell(x, values, rung=rung)

    def _next_bracket(self) -> Bracket:
        if not self._unseen.n_left:
            raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
        sizes = self.sizes(self._n_brackets)
        # An epsilon-net of one or two points would always hold the best of the first objective.
        start = self._n_brackets % self.n_objectives
        self._n_brackets += 1
        return Bracket(self._unseen.draw(sizes[0]), rung=self.n_rungs - len(sizes), sizes=sizes, start=start)


def halved(n: int, *, eta: int, n_rungs: int) -> tuple[int, ...]:
    """Sizes of a bracket of n architectures: floor(n / eta^i) on its i-th rung, at least one."""
    return tuple(max(1, n // eta**i) for i in range(n_rungs))
