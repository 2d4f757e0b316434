"""A board's worth of runs on one local process and on two: the throughput of the executor, starting them included.

Both put the same runs into an empty folder. With one process the runs are made in this one, which is warm; with two,
fresh interpreters have to start and open the problem first. The target is 1.8 times the throughput, so 1 / 1.8 of the
time: on a machine with two cores that do nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nasbench_mo.experiment import experiment

PROBLEM = "nb201s-c10-eyeriss-fpga-v1"
SEARCHERS = ("default", "nsga2", "local-search", "random")
SEEDS = range(16)
BUDGET = 200
TARGET_THROUGHPUT = 1.8


@pytest.mark.benchmark(group="9 a board's worth of runs")
class TestScale:
    @pytest.mark.parametrize("processes", [1, 2])
    def test_processes(self, benchmark: Any, processes: int, tmp_path: Path) -> None:
        n_runs = len(SEARCHERS) * len(SEEDS)
        benchmark.extra_info.update(
            role="floor" if processes == 1 else "ours",
            note=f"{n_runs} runs of {BUDGET} evaluations",
            **({} if processes == 1 else {"target_ratio": round(1 / TARGET_THROUGHPUT, 3)}),
        )

        def runs() -> list[Path]:
            out = tmp_path / str(len(list(tmp_path.iterdir())))
            return experiment([PROBLEM], SEARCHERS, seeds=SEEDS, budget=BUDGET, out=out, processes=processes)

        assert len(benchmark.pedantic(runs, rounds=1, iterations=1)) == n_runs
