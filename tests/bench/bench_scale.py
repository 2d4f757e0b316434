"""A board's worth of runs on one local process and on two: the throughput of the executor, starting them included.

Both put the same runs into an empty folder. One process is this one, which is warm; two are fresh interpreters, which
have to start and open the problem first. The target is 1.8 times the throughput, so 1 / 1.8 of the time, on a machine
with two cores that do nothing else. On one that is busy the CPU seconds in the note say more: twice the ratio of both
is the throughput that two free cores would give.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from nasbench_mo.experiment import experiment

PROBLEM = "nb201s-c10-eyeriss-fpga-v1"
SEARCHERS = ("default", "nsga2", "local-search", "random")
SEEDS = range(16)
BUDGET = 200
TARGET_THROUGHPUT = 1.8


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def measured(benchmark: Any, *, processes: int, folder: Path) -> None:
    """Time the runs once; they take minutes."""
    began = cpu_s()
    paths = benchmark.pedantic(
        lambda: experiment([PROBLEM], SEARCHERS, seeds=SEEDS, budget=BUDGET, out=folder, processes=processes),
        rounds=1,
        iterations=1,
    )
    assert len(paths) == len(SEARCHERS) * len(SEEDS)
    benchmark.extra_info["note"] = f"{len(paths)} runs of {BUDGET}, {cpu_s() - began:.1f} CPU s"


@pytest.mark.benchmark(group="9 a board's worth of runs")
class TestScale:
    def test_one_process(self, benchmark: Any, tmp_path: Path) -> None:
        benchmark.extra_info.update(role="floor")
        measured(benchmark, processes=1, folder=tmp_path)

    def test_two_processes(self, benchmark: Any, tmp_path: Path) -> None:
        benchmark.extra_info.update(role="ours", target_ratio=round(1 / TARGET_THROUGHPUT, 3))
        measured(benchmark, processes=2, folder=tmp_path)
