"""Work on this machine: in this process, or in some others that are replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar, final

from nasbench_mo.cluster.outcome import Outcome
from nasbench_mo.errors import WorkerDiedError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: So many processes may die over one item before it is given up.
DEATHS = 3


def outcomes_here(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Result]]:
    """One item after the other, in this process."""
    for index, item in enumerate(items):
        try:
            value = function(item)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome of this item alone
            yield Outcome(index=index, error=error)
        else:
            yield Outcome(index=index, value=value)


def outcomes_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], *, n_processes: int
) -> Iterator[Outcome[Result]]:
    """As they come, from so many processes.

    Every process is a pool of its own: when one dies it is known over which item, and no other is lost.
    """
    slots = [_Slot() for _ in range(n_processes)]
    waiting = deque(range(len(items)))
    running: dict[Future[Result], tuple[int, _Slot]] = {}
    deaths: Counter[int] = Counter()

    def fill() -> None:
        busy = {slot for _, slot in running.values()}
        for slot in slots:
            if slot not in busy and waiting:
                index = waiting.popleft()
                running[slot.submit(function, items[index])] = (index, slot)

    try:
        fill()
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            outcomes: list[Outcome[Result]] = []
            for future in finished:
                index, slot = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    slot.close()
                    deaths[index] += 1
                    if deaths[index] < DEATHS:
                        waiting.appendleft(index)
                        continue
                    error = _given_up(index)
                if error is None:
                    outcomes.append(Outcome(index=index, value=future.result()))
                elif isinstance(error, Exception):
                    outcomes.append(Outcome(index=index, error=error))
                else:  # KeyboardInterrupt reaches all processes of a terminal
                    raise error
            fill()  # before the caller is heard: its work on an outcome shall not leave a process idle
            yield from outcomes
    finally:
        for slot in slots:
            slot.close()


@final
class _Slot:
    """One process that does one item at a time; a new one takes the place of one that died."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[[Any], Result], item: Any) -> Future[Result]:
        """Start an item."""
        if self._pool is not None:
            try:
                return self._pool.submit(function, item)
            except BrokenProcessPool:  # it died while it was idle
                self.close()
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(
            max_workers=1, mp_context=context, initializer=_end_with, initargs=(os.getpid(),)
        )
        return self._pool.submit(function, item)

    def close(self) -> None:
        """End the process, after the item it is working on."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _given_up(index: int) -> WorkerDiedError:
    return WorkerDiedError(
        f"the process that worked on item {index} died {DEATHS} times: killed, out of memory, or a crash of compiled "
        "code. Look at the system's log, and give it more memory or fewer processes"
    )


def _end_with(parent: int) -> None:
    """Watch the parent, and end when it is gone: a killed parent cannot say so, and its pipes never close."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
