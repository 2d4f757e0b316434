"""Population-based training: members that do badly copy one that does well, and change the copy."""

from __future__ import annotations

from collections import deque
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.search.multi_fidelity import Floats, MultiFidelitySearcher, best_rows
from nasbench_mo.space import SearchSpace


@final
class PBTSearcher(MultiFidelitySearcher):
    """Population-based training as a baseline: truncation selection and mutation of architectures.

    ``population`` members, random at first, are trained rung by rung. A member that has been told is compared with what
    the others were told on the same rung. *Exploit*: one among the worst ``quantile`` copies one drawn from the best
    ``quantile``; order is by nondominated fronts, the epsilon-net inside a front. *Explore*: the copy's architecture
    changes in one variable. It goes on to the next rung; one that had the full training starts over on the lowest rung,
    with an architecture that is mutated in any case.

    In a table weights cannot be inherited. The values of a changed architecture are those of its own training from the
    start, and it is paid for as such: what makes population-based training cheap is missing, and what is left is its
    selection. It is meant for problems with training curves.

    Parameters
    ----------
    population
        Number of members; the paper's are 20 to 80.
    quantile
        Share of the members that copy, and that are copied; the paper's truncation selection takes 0.2.
    eta, least_epochs
        Rungs are about ``eta`` times as long as the one below, and none is shorter than ``least_epochs``.

    Notes
    -----
    A mutation that gives an architecture seen before is drawn again, up to ``RETRIES`` times. Values that are told of
    what was not asked give the architecture a seat while there are any, and are passed over afterwards.

    References
    ----------
    M. Jaderberg et al., "Population based training of neural networks", 2017, Algorithm 1 and Section 4.1.
    """

    name = "pbt"
    #: Mutations drawn before an architecture that was seen already is taken.
    RETRIES = 10

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        population: int = 20,
        quantile: float = 0.2,
        eta: int = 3,
        least_epochs: int = 1,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, eta=eta, least_epochs=least_epochs)
        self.population = self._integer("population", population, least=2)
        self.quantile = self._real("quantile", quantile, least=0.0, most=0.5)
        self._members: list[NDArray[Any]] = []
        #: Members whose value was told, and the rung on which it was.
        self._ready: deque[tuple[int, int]] = deque()
        #: Members that wait for the value of an architecture on a rung.
        self._awaited: dict[tuple[bytes, int], list[int]] = {}
        #: Of each rung, what each member was told last there: architecture and values.
        self._told: dict[int, dict[int, tuple[NDArray[Any], Floats]]] = {}

    def options(self) -> dict[str, float | int | str]:
        """Population, quantile, ratio of the rungs and the shortest."""
        return {"population": self.population, "quantile": self.quantile, **super().options()}

    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        if self.n_rungs == 1 and not self._unseen.n_left:
            raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
        rows: list[NDArray[Any]] = []
        rungs: list[int] = []
        while len(rows) < (n or self.population):
            if len(self._members) < self.population:
                member, rung = self._seat(self._newcomer()), 0
            elif self._ready:
                member, rung = self._go_on(*self._ready.popleft())
            else:
                break
            x = self._members[member]
            self._awaited.setdefault((x.tobytes(), rung), []).append(member)
            rows.append(x)
            rungs.append(rung)
        if not rows:
            raise SearcherError(f"searcher {self.name!r}: all {self.population} members are in training; tell first")
        return np.stack(rows), np.array(rungs, dtype=np.intp)

    def _take(self, X: NDArray[Any], F: Floats, rungs: NDArray[np.intp]) -> None:
        self._unseen.take(X)
        for x, values, rung in zip(X, F, rungs.tolist(), strict=True):
            waiting = self._awaited.get((x.tobytes(), rung))
            if waiting:
                member = waiting.pop(0)
            elif len(self._members) < self.population:
                member = self._seat(x)
            else:
                continue
            self._told.setdefault(rung, {})[member] = (x, values)
            self._ready.append((member, rung))

    def _seat(self, x: NDArray[Any]) -> int:
        self._members.append(x)
        return len(self._members) - 1

    def _newcomer(self) -> NDArray[Any]:
        drawn = self._unseen.draw(1)
        row: NDArray[Any] = (drawn if len(drawn) else self.space.sample(1, rng=self._rng))[0]
        return row

    def _go_on(self, member: int, rung: int) -> tuple[int, int]:
        """Exploit, explore, and the rung that comes next."""
        last = rung == self.n_rungs - 1
        model = self._exploited(member, rung)
        if model is not None or last:
            self._members[member] = self._explored(self._members[member] if model is None else model)
        return member, 0 if last else rung + 1

    def _exploited(self, member: int, rung: int) -> NDArray[Any] | None:
        """The architecture that a member copies; None where it keeps its own."""
        told = self._told[rung]
        k = int(self.quantile * len(told))
        members = list(told)
        X, F = np.stack([told[i][0] for i in members]), np.stack([told[i][1] for i in members])
        order = best_rows(X, F, space=self.space, most=len(told))
        if member not in {members[i] for i in order[len(order) - k :]}:
            return None
        model: NDArray[Any] = X[order[self._rng.integers(k)]]
        return model

    def _explored(self, x: NDArray[Any]) -> NDArray[Any]:
        """A mutation of an architecture, one not seen before if that is soon found."""
        for _ in range(self.RETRIES):
            child = self.space.mutate(x[None], rng=self._rng)
            if len(self._unseen.take(child)):
                break
        row: NDArray[Any] = child[0]
        return row
