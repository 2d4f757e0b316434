"""Hypervolume after each of 100,000 evaluations, by gains and by recomputing it; checking and ranking a submission."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_mo.leaderboard import Particulars, Recorder, Submission, check, load_board
from nasbench_mo.pareto import hypervolume, hypervolume_curve

N = 100_000
REFERENCE = np.full(3, 1.3)


def trace(kind: str) -> NDArray[np.float64]:
    """A search: uniform draws, draws that get better, or 20,000 points of which none dominates another."""
    rng = np.random.default_rng(0)
    if kind == "uniform":
        return rng.random((N, 3))
    directions = np.abs(rng.normal(size=(N, 3)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    if kind == "shell":
        return 1.2 - directions[:20_000]
    reach = 0.3 + np.linspace(0, 1, N) * rng.random(N) ** 0.2
    return 1.5 - directions * reach[:, None]


@pytest.mark.benchmark(group="9 leaderboard")
@pytest.mark.parametrize("kind", ["uniform", "improving", "shell"])
def test_curve_of_three_objectives(benchmark: Any, kind: str) -> None:
    F = trace(kind)
    curve = benchmark.pedantic(hypervolume_curve, args=(F,), kwargs={"reference": REFERENCE}, rounds=3)
    # Recomputing every prefix takes minutes to hours: time 40 of them, evenly spaced, and scale.
    rows = np.linspace(1, len(F), 40).astype(int)
    started = time.process_time()
    expected = [hypervolume(F[:k], reference=REFERENCE) for k in rows]
    recomputing_s = (time.process_time() - started) * len(F) / len(rows)
    np.testing.assert_allclose(curve[rows - 1], expected, rtol=1e-10)
    times = recomputing_s / benchmark.stats.stats.median
    benchmark.extra_info |= {
        "target_s": 10.0,
        "note": f"{len(F):,} evaluations; recomputing every prefix {recomputing_s:.0f} s, {times:.0f} times as long",
    }


@pytest.fixture(scope="module")
def entry() -> Submission:
    board = load_board("nb201s-hardware-v1")
    recorder = Recorder(board)
    for identifier in board.problems:
        space = recorder.problem(identifier).space
        for seed in range(board.seeds):
            codes = np.random.default_rng(seed).permutation(space.size)[: board.budget]
            recorder.evaluate(identifier, space.from_codes(codes), seed=seed)
    from nasbench_mo.leaderboard import from_traces
    from nasbench_mo.leaderboard.submission import Trace

    traces = {key: Trace(X=np.concatenate(tape.X), F=tape.F) for key, tape in recorder._tapes.items()}
    who = Particulars(
        name="random", searcher="random", source="-", software="-", version="1", author="-", submitted="2026-01-01",
        options={},
    )  # fmt: skip
    return from_traces(traces, board=board, particulars=who)


@pytest.mark.benchmark(group="9 leaderboard")
def test_checking_a_submission(benchmark: Any, entry: Submission) -> None:
    board = load_board("nb201s-hardware-v1")
    problems = {p: board.problem(p) for p in board.problems}
    benchmark.extra_info |= {"architectures": len(entry.rows), "note": f"{len(entry.rows):,} evaluations"}
    benchmark.pedantic(check, args=(entry, board), kwargs={"problems": problems}, rounds=3)
