"""Where independent work runs: one executor, local processes today.

Work items are given and returned in order; results do not depend on how many processes there are.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from nasbench_mo.errors import SpecError

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_ordered(function: Callable[[Item], Result], items: Sequence[Item], *, n_processes: int = 1) -> Iterator[Result]:
    """Iterate over ``function(item)`` for every item, in order.

    Parameters
    ----------
    function
        A module-level function, so that other processes can import it.
    items
        Picklable arguments.
    n_processes
        1 runs here, without another process; more use fresh (spawned) interpreters.

    Raises
    ------
    SpecError
        ``n_processes`` is below 1.
    """
    if n_processes < 1:
        raise SpecError(f"expected at least one process, got {n_processes}")
    if n_processes == 1 or len(items) <= 1:
        return map(function, items)
    return _in_processes(function, items, n_processes=min(n_processes, len(items)))


def _in_processes(function: Callable[[Item], Result], items: Sequence[Item], *, n_processes: int) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=n_processes, mp_context=context) as pool:
        yield from pool.map(function, items)
