"""MO-ASHA: asynchronous successive halving, promotion by nondominated fronts and the epsilon-net."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.search.multi_fidelity import Floats, MultiFidelitySearcher, Rung
from nasbench_mo.space import SearchSpace


@final
class MOASHASearcher(MultiFidelitySearcher):
    """Asynchronous successive halving with several objectives.

    Whenever a worker is free, it promotes: from the highest rung downwards, the first architecture among the best
    1/eta of those told on a rung that has not gone on yet. If there is none, a random new architecture starts on the
    lowest rung. Best is: nondominated front by front and, inside a front, the point farthest from those taken
    (epsilon-net, greedy farthest point). Nothing ever waits.

    Parameters
    ----------
    eta
        One of so many is promoted, and rungs are about so many times as long as the one below; the paper's is 4, and
        Hyperband's 3. Where two fidelities lie farther apart than that, as 12 and 200 epochs do, an ``eta`` of their
        ratio spends as much on either rung.
    least_epochs
        No rung is shorter (r).

    Notes
    -----
    Departures from the papers: an architecture whose output does not depend on its input is promoted after all others;
    an architecture is never drawn twice; and once the whole space has been started, the quota is lifted and the next
    best goes on, so that a budget without end ends in the exact front. Without shorter trainings this is random search.

    References
    ----------
    L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, J. Ben-tzur, M. Hardt, B. Recht, A. Talwalkar, "A system for
    massively parallel hyperparameter tuning", MLSys 2020, Algorithm 2. R. Schmucker, M. Donini, M. B. Zafar, D.
    Salinas, C. Archambeau, "Multi-objective asynchronous successive halving", 2021.
    """

    name = "mo-asha"

    def __init__(
        self, space: SearchSpace, n_objectives: int, *, seed: int = 0, eta: int = 3, least_epochs: int = 1
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, eta=eta, least_epochs=least_epochs)
        self._at: dict[int, Rung] = {}
        #: Architectures that went on from a rung.
        self._promoted: dict[int, set[bytes]] = {}
        self._in_flight: set[tuple[bytes, int]] = set()

    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        rows: list[NDArray[Any]] = []
        rungs: list[int] = []
        while len(rows) < (n or 1):
            try:
                x, rung = self._job()
            except SearcherError:
                if not rows:
                    raise
                break
            self._in_flight.add((x.tobytes(), rung))
            rows.append(x)
            rungs.append(rung)
        return np.stack(rows), np.array(rungs, dtype=np.intp)

    def _take(self, X: NDArray[Any], F: Floats, rungs: NDArray[np.intp]) -> None:
        self._unseen.take(X)
        for x, values, rung in zip(X, F, rungs.tolist(), strict=True):
            self._in_flight.discard((x.tobytes(), rung))
            self._rung(rung).tell(x, values)

    def _job(self) -> tuple[NDArray[Any], int]:
        """The paper's get_job: an architecture and its rung."""
        for rung in reversed(range(self.n_rungs - 1)):
            x = self._promotable(rung, most=len(self._rung(rung)) // self.eta)
            if x is not None:
                return self._promote(x, rung)
        if self._unseen.n_left:
            return self._unseen.draw(1)[0], 0
        if any(rung < self.n_rungs - 1 for _, rung in self._in_flight):
            raise SearcherError(f"searcher {self.name!r}: the whole space has been started; tell values first")
        for rung in reversed(range(self.n_rungs - 1)):
            x = self._promotable(rung, most=len(self._rung(rung)))
            if x is not None:
                return self._promote(x, rung)
        raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")

    def _promotable(self, rung: int, *, most: int) -> NDArray[Any] | None:
        """The first of the best so many on a rung that has not gone on."""
        gone = self._promoted.setdefault(rung, set())
        while (x := self._rung(rung).first_but(gone, most=most)) is not None:
            if x.tobytes() not in self._rung(rung + 1):
                return x
            gone.add(x.tobytes())  # its value above was told unasked
        return None

    def _promote(self, x: NDArray[Any], rung: int) -> tuple[NDArray[Any], int]:
        self._promoted[rung].add(x.tobytes())
        return x, rung + 1

    def _rung(self, rung: int) -> Rung:
        return self._at.setdefault(rung, Rung(self.space, n_objectives=self.n_objectives))
