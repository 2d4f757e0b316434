"""Where independent work runs: one executor, local processes or a Dask cluster.

Results do not depend on how many processes there are, nor on where they are. A process that is killed costs the item
it was working on a fresh start, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, final

from nasbench_mo.cluster.dask import closing, connected, outcomes_on_dask
from nasbench_mo.cluster.local import outcomes_here, outcomes_in_processes
from nasbench_mo.cluster.outcome import Outcome
from nasbench_mo.errors import SpecError

Item = TypeVar("Item")
Result = TypeVar("Result")


@final
class Executor:
    """Local processes, or a Dask cluster, for work whose items do not need each other. Use it as a context manager.

    Parameters
    ----------
    n_processes
        Local processes: 1 runs here, without another process; more use fresh (spawned) interpreters, which end with
        this one. A script that uses them needs its ``if __name__ == "__main__":``.
    cluster
        A Dask cluster instead, ``n_processes`` is then without effect: the address of a scheduler, e.g.
        ``"tcp://127.0.0.1:8786"``, or a YAML file that says how to start one (:mod:`nasbench_mo.cluster.deployment`:
        Slurm, OAR, PBS, or local). Its workers have to see the same files, and do one item at a time
        (``threads_per_worker=1``).

    Raises
    ------
    SpecError
        ``n_processes`` is below 1; on entering, no scheduler answers or the YAML file is wrong.
    MissingDependencyError
        A cluster is given, but Dask is not installed; on entering.
    """

    def __init__(self, *, n_processes: int = 1, cluster: str | Path | None = None) -> None:
        if n_processes < 1:
            raise SpecError(f"expected at least one process, got {n_processes}")
        self._n_processes = n_processes
        self._cluster = cluster
        self._client: Any = None

    def __enter__(self) -> Self:
        if self._cluster is not None and self._client is None:
            self._client = connected(self._cluster)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            closing(self._client)
            self._client = None

    def as_completed(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
        """Iterate over what comes of every item as soon as it comes: a slow item holds nothing up.

        An item that raises is an outcome with an error, and the others go on. So is an item whose process died
        :data:`~nasbench_mo.cluster.local.DEATHS` times over it (a :class:`WorkerDiedError`); before that it is begun
        again in a new process.

        Parameters
        ----------
        function
            A module-level function, so that other processes can import it. Where a process dies, it is called again
            with the same item.
        items
            Picklable arguments.
        """
        if self._client is not None:
            return outcomes_on_dask(self._client, function, items)
        if self._cluster is not None:
            raise SpecError("an executor on a cluster works within its 'with' block only")
        if self._n_processes == 1 or len(items) <= 1:
            return outcomes_here(function, items)
        return outcomes_in_processes(function, items, n_processes=min(self._n_processes, len(items)))

    def ordered(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Iterate over ``function(item)`` for every item, in order; the first error in that order is raised."""
        early: dict[int, Outcome[Result]] = {}
        awaited = 0
        for outcome in self.as_completed(function, items):
            early[outcome.index] = outcome
            while awaited in early:
                yield early.pop(awaited).result()
                awaited += 1


def run_ordered(
    function: Callable[[Item], Result], items: Sequence[Item], *, n_processes: int = 1, scheduler: str | None = None
) -> Iterator[Result]:
    """Iterate over ``function(item)`` for every item, in order.

    Parameters
    ----------
    function
        A module-level function, so that other processes can import it.
    items
        Picklable arguments.
    n_processes
        1 runs here, without another process; more use fresh (spawned) interpreters, which end with this one.
    scheduler
        Address of a Dask scheduler, e.g. ``"tcp://127.0.0.1:8786"``, or a YAML file, as for :class:`Executor`;
        ``n_processes`` is then without effect.

    Raises
    ------
    SpecError
        ``n_processes`` is below 1, or no scheduler answers.
    MissingDependencyError
        A scheduler is given, but Dask is not installed.
    """
    executor = Executor(n_processes=n_processes, cluster=scheduler)
    return _ordered_on(executor.__enter__(), function, items)  # entered now: a wrong address is refused at once


def _ordered_on(executor: Executor, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    with executor:
        yield from executor.ordered(function, items)


__all__ = ["Executor", "Outcome", "run_ordered"]
