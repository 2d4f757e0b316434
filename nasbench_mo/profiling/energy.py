"""Energy of one run of a network, by a counter that knows nothing of networks: many runs, less the idle device.

A counter moves in steps. So a window is made long against the time between two of its steps, which is measured first:
with a hundred steps in a window, what is cut off at its two ends is a hundredth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, final

from nasbench_mo.errors import ArtifactError, require

#: Steps of the counter in a window, and in the idle window before it.
STEPS = 100
#: A window is never shorter (the device's power has to settle) nor longer than so many seconds.
SHORTEST_S, LONGEST_S = 0.5, 20.0
#: Steps from which the time between two is taken, how often is looked, and for how long at most.
_STEPS_SEEN, _LOOK_S, _LONGEST_LOOK_S = 8, 0.001, 3.0


class EnergyCounter(Protocol):
    """Joules of a device over some work."""

    @property
    def name(self) -> str:
        """The device, for a message."""

    def window(self, work: Callable[[], None]) -> tuple[float, float]:
        """Joules of the whole device, and seconds, from before to after some work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long energy is counted.

    Parameters
    ----------
    busy_s, idle_s
        Seconds of the runs, and of the idle device before them.
    """

    busy_s: float
    idle_s: float

    @classmethod
    def of_step(cls, step_s: float) -> Windows:
        """Windows that hold :data:`STEPS` steps, within the limits."""
        length = min(max(STEPS * step_s, SHORTEST_S), LONGEST_S)
        return cls(busy_s=length, idle_s=length)


def windows_for(
    counter: EnergyCounter,
    *,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Windows:
    """Watch a counter, and choose windows that suit its steps.

    Raises
    ------
    ArtifactError
        It does not move.
    """
    began = clock()
    moved_at: list[float] = []
    while len(moved_at) <= _STEPS_SEEN and clock() - began < _LONGEST_LOOK_S:
        joules, _ = counter.window(lambda: wait(_LOOK_S))
        if joules > 0:
            moved_at.append(clock())
    if len(moved_at) < 2:
        raise ArtifactError(
            f"the energy counter of {counter.name} did not move within {_LONGEST_LOOK_S:g} s; leave energy out"
        )
    return Windows.of_step((moved_at[-1] - moved_at[0]) / (len(moved_at) - 1))


def energy_uj(
    run: Callable[[], object],
    *,
    counter: EnergyCounter,
    windows: Windows,
    one_us: float,
    wait: Callable[[float], None] = time.sleep,
) -> float:
    """Microjoules of one run above those of the idle device in the same time; noise can make it negative.

    Parameters
    ----------
    run
        One run.
    counter, windows
        What counts, and how long.
    one_us
        Microseconds of one run, about.
    wait
        Leaves the device idle for some seconds.

    Raises
    ------
    ArtifactError
        The counter did not move in the window.
    """
    n = max(1, math.ceil(1e6 * windows.busy_s / one_us))
    idle_j, idle_s = counter.window(lambda: wait(windows.idle_s))

    def repeat() -> None:
        for _ in range(n):
            run()

    total_j, total_s = counter.window(repeat)
    if total_j <= 0 or idle_s <= 0:
        raise ArtifactError(
            f"the energy counter of {counter.name} gave {total_j} J in {total_s:.3g} s, after {idle_j} J in "
            f"{idle_s:.3g} s idle; make window_s and idle_s longer than its updates, or leave energy out"
        )
    return 1e6 * (total_j - idle_j / idle_s * total_s) / n


@final
class ZeusCounter:
    """The energy counter of a GPU, through Zeus.

    Parameters
    ----------
    index
        Which GPU, of those that CUDA sees.
    wait_for_torch
        Whether work is torch's, which returns before it is done.

    Raises
    ------
    MissingDependencyError
        Zeus is not installed.
    """

    def __init__(self, index: int, *, wait_for_torch: bool) -> None:
        zeus: Any = require("zeus.monitor", extra="energy")
        self._monitor = zeus.ZeusMonitor(gpu_indices=[index], cpu_indices=[])
        self._index = index
        self._sync = wait_for_torch
        self._windows = 0

    @property
    def name(self) -> str:
        """The device."""
        return f"GPU {self._index}"

    def window(self, work: Callable[[], None]) -> tuple[float, float]:
        """One window of Zeus."""
        self._windows += 1
        key = f"window {self._windows}"
        self._monitor.begin_window(key, sync_execution=self._sync)
        work()
        found = self._monitor.end_window(key, sync_execution=self._sync)
        return float(sum(found.gpu_energy.values())), float(found.time)
