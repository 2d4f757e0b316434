"""Where independent work runs: one executor, local processes or a Dask cluster.

Work items are given and returned in order; results do not depend on how many processes there are.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from nasbench_mo.errors import SpecError, require

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        Address of a Dask scheduler, e.g. ``"tcp://127.0.0.1:8786"``; ``n_processes`` is then without effect. Any of
        Dask's deployments (Slurm, OAR, PBS, Kubernetes, SSH) gives such an address.

    Raises
    ------
    SpecError
        ``n_processes`` is below 1, or no scheduler answers.
    MissingDependencyError
        A scheduler is given, but Dask is not installed.
    """
    if n_processes < 1:
        raise SpecError(f"expected at least one process, got {n_processes}")
    if scheduler is not None:
        return _on_dask(function, items, scheduler=scheduler)
    if n_processes == 1 or len(items) <= 1:
        return map(function, items)
    return _in_processes(function, items, n_processes=min(n_processes, len(items)))


def _in_processes(function: Callable[[Item], Result], items: Sequence[Item], *, n_processes: int) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        max_workers=n_processes, mp_context=context, initializer=_end_with, initargs=(os.getpid(),)
    )
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with(parent: int) -> None:
    """Watch the parent, and end when it is gone: a killed parent cannot say so, and its pipes never close."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_dask(function: Callable[[Item], Result], items: Sequence[Item], *, scheduler: str) -> Iterator[Result]:
    distributed = require("distributed", extra="cluster")
    try:
        client = distributed.Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise SpecError(
            f"no Dask scheduler answers at {scheduler!r} ({' '.join(str(error).split())[:120]}); start one, or leave "
            "the address out to use local processes"
        ) from error
    return _gathered(client, function, items)


def _gathered(client: Any, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    with client:
        futures = client.map(function, items, pure=False)
        while futures:
            yield futures.pop(0).result()  # let go of it, so that the cluster forgets the result
