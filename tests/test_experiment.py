"""Runs: the budget, reproducibility, interruption and resumption, ``run.parquet`` and what a run says of itself."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmark_helpers import (
    ERROR,
    LATENCY,
    PREDICTED,
    ROOT,
    opposed,
    slow_front,
    slow_hypervolume,
    store_synthetic_nb201,
    toy_problem,
    toy_space,
)
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.benchmark import Problem
from nasbench_mo.benchmark.catalogue import DEMO_PROBLEM
from nasbench_mo.errors import NasbenchMoError, ObjectiveError, RunError, SearcherError, UnknownNameError
from nasbench_mo.experiment import Run, environment, run, run_many
from nasbench_mo.experiment import running as running_module
from nasbench_mo.search import Searcher, searcher
from nasbench_mo.space import space

pytestmark = pytest.mark.usefixtures("cache")

NOISY = "nb201-c10-fpga-v1"


def assert_same_run(a: Run, b: Run) -> None:
    assert a.archs == b.archs
    np.testing.assert_array_equal(a.X, b.X)
    np.testing.assert_array_equal(a.F, b.F)
    np.testing.assert_array_equal(a.simulated_s, b.simulated_s)
    assert a.identity == b.identity
    assert a.environment["n_duplicate_proposals"] == b.environment["n_duplicate_proposals"]
    assert a.environment["ended"] == b.environment["ended"]


class Counting:
    """A function of two objectives that counts what it has answered, and fails once when told to."""

    def __init__(self, *, fail_at: int | None = None) -> None:
        self.answered: Counter[bytes] = Counter()
        self.fail_at = fail_at

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float64]:
        if self.fail_at is not None and sum(self.answered.values()) + len(X) > self.fail_at:
            self.fail_at = None
            raise OSError("the machine broke")
        self.answered.update(row.tobytes() for row in X)
        return opposed(X)

    def problem(self, *cardinalities: int) -> Problem:
        toy = toy_space(*(cardinalities or (6, 6, 6, 6)))
        return Problem.from_function("counted-v1", self, search_space=toy, objectives=[ERROR, LATENCY])


class Repeating(Searcher):
    """Proposes from a fixed list, again and again."""

    name = "repeating"
    codes: tuple[int, ...] = (3, 3, 5, 3, 7, 5, 9)
    batch = 3

    def __init__(self, search_space: Any, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(search_space, n_objectives, seed=seed)
        self.at = 0
        self.told: list[tuple[int, tuple[float, ...]]] = []

    def _ask(self, n: int | None) -> NDArray[Any]:
        k = min(self.batch, n or self.batch)
        picked = [self.codes[(self.at + i) % len(self.codes)] for i in range(k)]
        self.at += k
        # Another integer type each time: the same architecture all the same.
        return self.space.from_codes(picked).astype([np.int8, np.int64][self.at % 2])

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self.told += list(zip(self.space.codes(X).tolist(), map(tuple, F.tolist()), strict=True))


# ---------------------------------------------------------------------- budget


@pytest.mark.parametrize("name", ["random", "nsga2"])
@pytest.mark.parametrize("budget", [1, 19, 64, 65, 150])
def test_the_budget_counts_distinct_architectures_and_none_is_evaluated_twice(name: str, budget: int) -> None:
    counting = Counting()
    finished = run(counting.problem(), name, budget=budget, seed=1)
    assert len(finished) == len(set(finished.archs)) == len(counting.answered) == budget
    assert set(counting.answered.values()) == {1}
    assert finished.environment["ended"] == "budget"
    np.testing.assert_array_equal(finished.F, opposed(finished.X.astype(int)))


def test_duplicates_are_free_answered_from_memory_and_counted() -> None:
    counting = Counting()
    problem = counting.problem()
    repeating = Repeating(problem.space, 2)
    finished = run(problem, repeating, budget=4)
    assert problem.space.codes(finished.X).tolist() == [3, 5, 7, 9]
    assert sorted(counting.answered.values()) == [1, 1, 1, 1]
    assert [code for code, _ in repeating.told] == [3, 3, 5, 3, 7, 5, 9][: len(repeating.told)]
    for code, values in repeating.told:
        assert values == tuple(opposed(problem.space.from_codes([code]).astype(int))[0])
    assert finished.environment["n_duplicate_proposals"] == len(repeating.told) - 4 == 3


def test_a_searcher_that_proposes_nothing_new_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "PATIENCE", 7)
    problem = Counting().problem()
    finished = run(problem, Repeating(problem.space, 2), budget=10)
    assert len(finished) == 4
    assert finished.environment["ended"] == "nothing new in 7 batches"


@pytest.mark.parametrize("name", ["random", "nsga2"])
def test_an_exhausted_space_ends_the_run_early_and_says_so(name: str) -> None:
    problem = toy_problem(4, 3)
    finished = run(problem, name, budget=1000)
    assert len(finished) == 12
    assert finished.identity.budget_evaluations == 1000
    assert finished.environment["ended"] == "searcher exhausted"
    assert finished.hypervolume_share() == pytest.approx(1.0)
    assert "12 of 1000 evaluations" in repr(finished)


@pytest.mark.parametrize("budget", [0, -3, 1.5, float("nan"), "10", None, True])
def test_a_budget_that_is_not_positive_is_refused(budget: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="budget must be an integer of at least 1"):
        run(toy_problem(), "random", budget=budget, out=tmp_path / "run.parquet")
    assert not (tmp_path / "run.parquet").exists()


def test_progress_rises_to_the_budget() -> None:
    seen: list[tuple[int, int]] = []
    run(toy_problem(9, 9, 9), "random", budget=150, progress=lambda done, budget: seen.append((done, budget)))
    done = [d for d, _ in seen]
    assert done == sorted(set(done))
    assert seen[-1] == (150, 150)
    assert len(seen) >= 3  # also a searcher that would propose all at once reports on the way


# ---------------------------------------------------------------------- a searcher that does not fit


def test_a_searcher_of_another_problem_is_refused() -> None:
    problem = toy_problem(4, 4)
    for other in (
        searcher("random", space("nb201"), 2),
        searcher("random", problem.space, 3),
        searcher("random", toy_space(4, 5), 2),
    ):
        with pytest.raises(SearcherError, match=r"does not fit Problem\('toy-v1'.*nmo.searcher\('random'"):
            run(problem, other, budget=3)


def test_a_used_searcher_is_refused() -> None:
    problem = toy_problem(4, 4)
    for use in (lambda s: s.ask(2), lambda s: run(problem, s, budget=3)):
        used = searcher("random", problem.space, 2)
        use(used)
        with pytest.raises(SearcherError, match=r"has made \d proposals already; a run needs a new one"):
            run(problem, used, budget=3)


def test_a_seed_that_contradicts_the_searchers_is_refused() -> None:
    problem = toy_problem(4, 4)
    with pytest.raises(SearcherError, match=r"was made with seed 3; run\(\) was given seed 4"):
        run(problem, searcher("random", problem.space, 2, seed=3), budget=3, seed=4)
    assert run(problem, searcher("random", problem.space, 2, seed=3), budget=3, seed=3).identity.seed == 3


# ---------------------------------------------------------------------- reproducibility

IN_A_SUBPROCESS = """
import sys
import nasbench_mo as nmo
problem = nmo.problem(sys.argv[1])
nmo.run(problem, sys.argv[2], budget=90, seed=5, out=sys.argv[3])
"""


def _python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code, *arguments], env=env, **options)


@pytest.mark.parametrize("name", ["random", "nsga2"])
def test_the_same_seed_makes_the_same_run_here_and_in_another_process(name: str, tmp_path: Path) -> None:
    store_synthetic_nb201()
    problem = nmo.problem(NOISY)
    first = run(problem, name, budget=90, seed=5)
    np.random.default_rng().random(100)
    assert_same_run(run(nmo.problem(NOISY), name, budget=90, seed=5), first)
    out = tmp_path / "there.parquet"
    assert _python(IN_A_SUBPROCESS, NOISY, name, str(out)).wait(60) == 0
    assert_same_run(Run.load(out), first)
    assert run(problem, name, budget=90, seed=6).archs != first.archs


def test_a_longer_budget_continues_the_shorter_run() -> None:
    problem = toy_problem(9, 9, 9)
    for name in ("random", "nsga2"):
        short, long = (run(problem, name, budget=b, seed=2) for b in (70, 140))
        assert long.archs[:70] == short.archs


def test_the_noise_seed_changes_values_and_the_searchers_seed_does_not() -> None:
    store_synthetic_nb201()
    problem = nmo.problem(NOISY)
    one, two = (run(problem, "random", budget=200, seed=0, noise_seed=n) for n in (1, 2))
    assert one.archs == two.archs
    assert (one.F[:, 0] != two.F[:, 0]).mean() > 0.3
    np.testing.assert_array_equal(one.F[:, 1], two.F[:, 1])
    np.testing.assert_array_equal(one.F, problem.observation(1).evaluate(one.X))
    assert (one.identity.noise_seed, two.identity.noise_seed) == (1, 2)
    assert run(problem, "random", budget=2, seed=9).identity.noise_seed == 9


def test_many_runs_are_the_same_in_one_process_and_in_two() -> None:
    here = run_many(DEMO_PROBLEM, "nsga2", seeds=[3, 1, 2], budget=45, population=8)
    there = run_many(DEMO_PROBLEM, "nsga2", seeds=[3, 1, 2], budget=45, n_processes=2, population=8)
    assert [r.identity.seed for r in here] == [3, 1, 2]
    for a, b in zip(here, there, strict=True):
        assert_same_run(a, b)
        assert a.identity.searcher_options == {"population": 8, "p_mutation": 0.9}
        assert b.hypervolume_share() == a.hypervolume_share() > 0
    alone = run(nmo.problem(DEMO_PROBLEM), searcher("nsga2", space("nb201"), 2, seed=1, population=8), budget=45)
    assert_same_run(here[1], alone)


def test_many_runs_report_wrong_input_of_the_caller() -> None:
    with pytest.raises(UnknownNameError):
        run_many("nothing-v1", "nsga2", seeds=[0], budget=5)
    with pytest.raises(SearcherError, match="has the options"):
        run_many(DEMO_PROBLEM, "nsga2", seeds=[0, 1], budget=5, n_processes=2, size=8)


# ---------------------------------------------------------------------- interruption


def _partial(out: Path) -> Path:
    return out.with_name(out.name + ".partial.jsonl")


@pytest.mark.parametrize("name", ["random", "nsga2"])
@pytest.mark.parametrize("fail_at", [0, 64, 97])
def test_a_run_resumes_after_an_exception(name: str, fail_at: int, tmp_path: Path) -> None:
    whole = run(Counting().problem(), name, budget=150, seed=4)
    out = tmp_path / "run.parquet"
    counting = Counting(fail_at=fail_at)
    problem = counting.problem()
    with pytest.raises(OSError, match="the machine broke"):
        run(problem, name, budget=150, seed=4, out=out)
    assert not out.exists()
    journalled = len(_partial(out).read_text().splitlines()) - 1 if _partial(out).exists() else 0
    assert journalled == sum(counting.answered.values())  # nothing that was answered is lost
    resumed = run(problem, name, budget=150, seed=4, out=out)
    assert_same_run(resumed, whole)
    assert set(counting.answered.values()) == {1}
    assert len(counting.answered) == 150
    assert (np.diff(resumed.wall_s) >= 0).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "run.parquet"]


def test_a_run_resumes_after_several_interruptions_on_noisy_data(tmp_path: Path) -> None:
    store_synthetic_nb201()
    problem = nmo.problem(NOISY)
    whole = run(problem, "nsga2", budget=120, seed=4)
    out = tmp_path / "run.parquet"
    for stop in (30, 60, 90):

        def interrupt(done: int, budget: int, stop: int = stop) -> None:
            if done >= stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(problem, "nsga2", budget=120, seed=4, out=out, progress=interrupt)
    resumed = run(problem, "nsga2", budget=120, seed=4, out=out)
    assert_same_run(resumed, whole)
    assert_same_run(Run.load(out), whole)


@pytest.mark.parametrize("cut", [1, 5, 40])
@pytest.mark.parametrize("name", ["random", "nsga2"])
def test_a_truncated_last_line_of_the_journal_is_evaluated_again(cut: int, name: str, tmp_path: Path) -> None:
    whole = run(Counting().problem(), name, budget=150, seed=4)
    out = tmp_path / "run.parquet"
    with pytest.raises(OSError, match="broke"):
        run(Counting(fail_at=100).problem(), name, budget=150, seed=4, out=out)
    lines = _partial(out).read_bytes().splitlines(keepends=True)
    _partial(out).write_bytes(b"".join(lines)[:-cut])
    counting = Counting()
    assert_same_run(run(counting.problem(), name, budget=150, seed=4, out=out), whole)
    kept = len(lines) - 2  # the head and the line that was cut
    assert sum(counting.answered.values()) == 150 - kept


def test_a_truncated_journal_survives_a_second_interruption(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    with pytest.raises(OSError, match="broke"):
        run(Counting(fail_at=70).problem(), "random", budget=150, seed=4, out=out)
    _partial(out).write_bytes(_partial(out).read_bytes()[:-7])
    second = Counting(fail_at=70)
    with pytest.raises(OSError, match="broke"):
        run(second.problem(), "random", budget=150, seed=4, out=out)
    assert sum(second.answered.values()) > 0
    assert_same_run(
        run(Counting().problem(), "random", budget=150, seed=4, out=out),
        run(Counting().problem(), "random", budget=150, seed=4),
    )


def test_seconds_go_on_where_an_interrupted_run_stopped(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    counting = Counting(fail_at=100)
    problem = counting.problem()
    with pytest.raises(OSError, match="broke"):
        run(problem, "random", budget=150, seed=4, out=out)
    # The journal holds the 64 evaluations of the first batch; make them late ones.
    head, *lines = _partial(out).read_text().splitlines()
    late = [json.dumps([*json.loads(line)[:2], 1000.0 + i, float("nan")]) for i, line in enumerate(lines)]
    _partial(out).write_text("\n".join([head, *late]) + "\n")
    resumed = run(problem, "random", budget=150, seed=4, out=out)
    assert len(late) == 64
    np.testing.assert_array_equal(resumed.wall_s[:64], 1000.0 + np.arange(64))
    assert ((resumed.wall_s[64:] > 1063) & (resumed.wall_s[64:] < 1063 + 60)).all()


@pytest.mark.parametrize("keep", [0, 10])
def test_a_journal_whose_head_was_cut_is_started_over(keep: int, tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    with pytest.raises(OSError, match="broke"):
        run(Counting(fail_at=100).problem(), "random", budget=150, seed=4, out=out)
    _partial(out).write_bytes(_partial(out).read_bytes()[:keep])
    counting = Counting()
    assert_same_run(
        run(counting.problem(), "random", budget=150, seed=4, out=out),
        run(Counting().problem(), "random", budget=150, seed=4),
    )
    assert sum(counting.answered.values()) == 150


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[]\n",
        b'["v0=0,v1=0,v2=0,v3=0", [1.0], 0.0, 0.0]\n',
        b'["v0=0,v1=0,v2=0,v3=0", ["a", 1.0], 0.0, 0.0]\n',
        b'["v0=0,v1=0,v2=0,v3=0", null, 0.0, 0.0]\n',
        b"\xff\xfe\n",
    ],
)
def test_a_damaged_journal_is_refused_and_kept(line: bytes, tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    with pytest.raises(OSError, match="broke"):
        run(Counting(fail_at=100).problem(), "random", budget=150, seed=4, out=out)
    lines = _partial(out).read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:5], line, *lines[6:]])
    _partial(out).write_bytes(damaged)
    with pytest.raises(RunError, match=r"partial\.jsonl is damaged at evaluation 4.*delete the file"):
        run(Counting().problem(), "random", budget=150, seed=4, out=out)
    assert _partial(out).read_bytes() == damaged


@pytest.mark.parametrize("other", [{"seed": 5}, {"budget": 151}, {"noise_seed": 1}, {"searcher": "nsga2"}])
def test_the_journal_of_another_run_is_refused_unless_it_may_be_overwritten(
    other: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run.parquet"
    arguments = {"searcher": "random", "budget": 150, "seed": 4, "out": out}
    with pytest.raises(OSError, match="broke"):
        run(Counting(fail_at=100).problem(), **arguments)
    before = _partial(out).read_bytes()
    with pytest.raises(RunError, match="is the journal of another run"):
        run(Counting().problem(), **{**arguments, **other})
    assert _partial(out).read_bytes() == before
    assert not out.exists()
    replaced = run(Counting().problem(), **{**arguments, **other}, overwrite=True)
    assert len(replaced) == replaced.identity.budget_evaluations
    assert not _partial(out).exists()


def test_a_searcher_that_changed_since_is_refused_by_the_first_architecture_that_differs(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    with pytest.raises(OSError, match="broke"):
        run(Counting(fail_at=100).problem(), "random", budget=150, seed=4, out=out)
    lines = _partial(out).read_text().splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    _partial(out).write_text("".join(lines))
    with pytest.raises(RunError, match=r"evaluation 2 was 'v0=.*' and is now 'v0=.*the searcher or a library has chan"):
        run(Counting().problem(), "random", budget=150, seed=4, out=out)


def test_a_run_that_exists_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    run(toy_problem(), "random", budget=5, out=out)
    before = out.read_bytes()
    counting = Counting()
    with pytest.raises(RunError, match=r"run\.parquet exists; move it away or choose another name"):
        run(counting.problem(), "random", budget=5, out=out)
    assert out.read_bytes() == before
    assert not counting.answered
    assert not _partial(out).exists()
    run(toy_problem(), "random", budget=6, out=out, overwrite=True)
    assert len(pq.read_table(out)) == 6


def test_a_failure_while_writing_leaves_the_journal_and_no_part_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "folder" / "run.parquet"
    counting = Counting()
    problem = counting.problem()

    def full_disk(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", full_disk)
        with pytest.raises(OSError, match="No space left"):
            run(problem, "random", budget=80, out=out)
    assert [p.name for p in out.parent.iterdir()] == [_partial(out).name]
    assert len(run(problem, "random", budget=80, out=out)) == 80
    assert set(counting.answered.values()) == {1}


SLOW_RUN = """
import sys, time
from pathlib import Path
import numpy as np
import nasbench_mo as nmo
from benchmark_helpers import ERROR, LATENCY, opposed, toy_space

def slow(X):
    time.sleep(0.002 * len(X))
    with open(sys.argv[2], "ab") as stream:
        stream.write(X.astype(np.int8).tobytes())
    return opposed(X)

problem = nmo.Problem.from_function(
    "counted-v1", slow, search_space=toy_space(6, 6, 6, 6), objectives=[ERROR, LATENCY]
)
nmo.run(problem, "nsga2", budget=300, seed=4, out=sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_resumes(tmp_path: Path) -> None:
    out, log = tmp_path / "run.parquet", tmp_path / "evaluated"
    process = _python(SLOW_RUN, str(out), str(log))
    deadline = time.monotonic() + 60
    while not log.exists() or log.stat().st_size // 4 < 60:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    assert not out.exists()
    journalled = [line[0] for line in map(json.loads, _partial(out).read_text().splitlines()[1:])]
    lost = log.stat().st_size // 4 - len(journalled)
    assert lost <= 20  # one population: each batch is on disk before the next is evaluated
    log.unlink()
    assert _python(SLOW_RUN, str(out), str(log)).wait(60) == 0
    assert not _partial(out).exists()
    problem = Counting().problem()
    assert_same_run(Run.load(out, problem=problem), run(problem, "nsga2", budget=300, seed=4))
    again = problem.space.decode(np.frombuffer(log.read_bytes(), dtype=np.int8).reshape(-1, 4))
    assert len(again) == 300 - len(journalled)
    assert not set(again) & set(journalled)


# ---------------------------------------------------------------------- run.parquet


def test_the_file_has_the_documented_schema_and_identity(tmp_path: Path) -> None:
    store_synthetic_nb201()
    problem = nmo.problem(NOISY)
    out = tmp_path / "run.parquet"
    made = searcher("nsga2", problem.space, 2, seed=7, population=12)
    finished = run(problem, made, budget=30, noise_seed=3, out=out)
    table = pq.read_table(out)
    assert table.schema.names == [
        "evaluation",
        "arch",
        "error_percent",
        "latency_fpga_ms",
        "status",
        "wall_s",
        "simulated_s",
    ]
    types = [pa.int64(), pa.string(), pa.float64(), pa.float64(), pa.string(), pa.float64(), pa.float64()]
    assert table.schema.types == types
    units = {f.name: f.metadata[b"unit"] for f in table.schema if f.metadata}
    assert units == {"error_percent": b"percent", "latency_fpga_ms": b"ms", "wall_s": b"s", "simulated_s": b"s"}
    for objective in problem.observed_objectives:
        field = table.schema.field(objective.column)
        assert json.loads(field.metadata[b"objective"]) == objective.to_dict()
    assert table.column("evaluation").to_pylist() == list(range(30))
    assert table.column("arch").to_pylist() == finished.archs == problem.space.decode(finished.X)
    meta = json.loads(table.schema.metadata[b"nasbench_mo_run"])
    assert meta["format"] == 1
    assert meta["identity"] == {
        "problem": problem.id,
        "data_hash": problem.data_hash,
        "space": "nb201",
        "objectives": [o.to_dict() for o in problem.observed_objectives],
        "searcher": "nsga2",
        "searcher_options": {"population": 12, "p_mutation": 0.9},
        "seed": 7,
        "noise_seed": 3,
        "budget_evaluations": 30,
    }
    found = meta["environment"]
    assert {"versions", "machine", "started_utc", "ended", "n_duplicate_proposals"} <= set(found)
    assert {"python", "nasbench-mo", "numpy", "pymoo"} <= set(found["versions"])
    assert set(found["machine"]) == {"system", "architecture", "cpu", "blas"}
    assert all(found["machine"].values())
    assert json.loads(json.dumps(environment())) == environment()


def test_degenerate_rows_are_marked_and_kept_out_of_the_front(tmp_path: Path) -> None:
    store_synthetic_nb201()
    problem = nmo.problem(NOISY)
    finished = run(problem, "random", budget=400, seed=1, out=tmp_path / "run.parquet")
    status = pq.read_table(tmp_path / "run.parquet").column("status").to_pylist()
    expected = ["degenerate" if d else "ok" for d in problem.space.degenerate(finished.X)]
    assert status == expected
    assert 0 < status.count("degenerate") < 40
    front = finished.front()
    live = finished.F[~finished.degenerate]
    np.testing.assert_array_equal(np.unique(front.F, axis=0), slow_front(live))
    assert not finished.degenerate[front.evaluation].any()


def test_a_run_of_degenerate_architectures_only_has_no_front() -> None:
    store_synthetic_nb201()
    problem = nmo.problem(NOISY)

    class Dead(Repeating):
        codes = tuple(np.flatnonzero(problem.space.degenerate(problem.space.enumerate()))[:5].tolist())

    finished = run(problem, Dead(problem.space, 2), budget=5)
    assert finished.degenerate.all()
    assert len(finished.front()) == 0
    assert finished.front().F.shape == (0, 2)
    assert finished.hypervolume() == finished.hypervolume_share() == 0.0
    np.testing.assert_array_equal(finished.hypervolume_curve(), np.zeros(5))


@pytest.mark.parametrize("problem_id", [DEMO_PROBLEM, PREDICTED, NOISY])
def test_a_run_survives_its_file(problem_id: str, tmp_path: Path) -> None:
    store_synthetic_nb201()
    finished = run(nmo.problem(problem_id), "nsga2", budget=40, seed=3)
    finished.save(tmp_path / "run.parquet")
    loaded = Run.load(tmp_path / "run.parquet")
    assert_same_run(loaded, finished)
    np.testing.assert_array_equal(loaded.wall_s, finished.wall_s)
    np.testing.assert_array_equal(loaded.degenerate, finished.degenerate)
    assert loaded.environment == finished.environment
    assert loaded.hypervolume_share() == finished.hypervolume_share()
    loaded.save(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "run.parquet").read_bytes()
    frame = loaded.to_pandas()
    assert list(frame.columns) == pq.read_schema(tmp_path / "run.parquet").names
    assert len(frame) == 40


def test_a_run_over_a_space_of_the_users_own_is_loaded_with_its_problem(tmp_path: Path) -> None:
    problem = toy_problem(5, 5)
    finished = run(problem, "random", budget=10, out=tmp_path / "run.parquet")
    with pytest.raises(
        RunError, match=r"'toy' of problem 'toy-v1' is not registered.*Run.load\(path, problem=\.\.\.\)"
    ):
        Run.load(tmp_path / "run.parquet")
    with pytest.raises(RunError, match="is of problem 'toy-v1'; it was given 'other-v1'"):
        Run.load(tmp_path / "run.parquet", problem=toy_problem(5, 5, id="other-v1"))
    loaded = Run.load(tmp_path / "run.parquet", problem=problem)
    assert_same_run(loaded, finished)
    assert loaded.hypervolume() == finished.hypervolume() > 0


def _rewrite(path: Path, change: Callable[[pa.Table, dict[str, Any]], pa.Table | None]) -> None:
    """Change a run file's columns or metadata behind the package's back."""
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"nasbench_mo_run"])
    changed = change(table, meta)
    table = table if changed is None else changed
    pq.write_table(table.replace_schema_metadata({b"nasbench_mo_run": json.dumps(meta).encode()}), path)


def _replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.names.index(name), table.schema.field(name), pa.array(values))


def _first(table: pa.Table, name: str, value: Any) -> pa.Table:
    return _replaced(table, name, [value, *table[name].to_pylist()[1:]])


def _second_is_first(table: pa.Table) -> pa.Table:
    archs = table["arch"].to_pylist()
    return _replaced(table, "arch", [archs[0], archs[0], *archs[2:]])


#: Change of a run file, and what the error says of it.
CHANGES: dict[str, tuple[Callable[[pa.Table, dict[str, Any]], pa.Table | None], str]] = {
    "another version": (lambda t, m: m.update(format=2), "expected a run of format 1, got 2"),
    "no identity": (lambda t, m: m.pop("identity") and None, "'identity'"),
    "no seed": (lambda t, m: m["identity"].pop("seed") and None, "'seed'"),
    "an unknown field": (lambda t, m: m["identity"].update(colour="red"), "'colour'"),
    "an identity that is no mapping": (lambda t, m: m.update(identity=[1, 2]), "not a complete run file"),
    "no environment": (lambda t, m: m.pop("environment") and None, "'environment'"),
    "an unknown unit": (lambda t, m: m["identity"]["objectives"][0].update(unit="furlongs"), "'furlongs'"),
    "an unknown space": (lambda t, m: m["identity"].update(space="nowhere"), "space 'nowhere'.*not registered"),
    "another space": (lambda t, m: m["identity"].update(space="fbnet"), "not an architecture of 'fbnet'"),
    "no architectures": (lambda t, m: t.drop_columns(["arch"]), "arch"),
    "no objective": (lambda t, m: t.drop_columns(["latency_fpga_ms"]), "latency_fpga_ms"),
    "no status": (lambda t, m: t.drop_columns(["status"]), "status"),
    "no seconds": (lambda t, m: t.drop_columns(["wall_s"]), "wall_s"),
    "a wrong architecture": (lambda t, m: _first(t, "arch", "|nothing~0|"), "'|nothing~0|' is not an architecture"),
    "a missing architecture": (lambda t, m: _first(t, "arch", None), "None is not an architecture"),
    "an architecture twice": (lambda t, m: _second_is_first(t), "distinct architectures"),
    "a missing value": (lambda t, m: _first(t, "error_percent", None), "missing or not finite"),
    "an infinite value": (lambda t, m: _first(t, "error_percent", np.inf), "missing or not finite"),
    "another order": (lambda t, m: t.take(pa.array([*range(1, len(t)), 0])), "the evaluations 0, 1, 2"),
    "a part of the rows": (lambda t, m: t.slice(3), "the evaluations 0, 1, 2"),
    "a degenerate one as live": (lambda t, m: _replaced(t, "status", ["ok"] * len(t)), "the status column does not"),
}


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    out = tmp_path / "run.parquet"
    store_synthetic_nb201()
    finished = run(nmo.problem(NOISY), "random", budget=300, seed=1, out=out)
    assert finished.degenerate.any()
    return out


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_file_with_a_wrong_part_is_refused(name: str, run_file: Path) -> None:
    change, message = CHANGES[name]
    _rewrite(run_file, change)
    with pytest.raises(RunError, match=rf"run\.parquet.*{message.replace('|', '[|]')}"):
        Run.load(run_file)


@pytest.mark.parametrize("content", ["nothing", "text", "cut", "foreign", "foreign metadata"])
def test_a_file_that_is_no_run_is_refused(content: str, run_file: Path) -> None:
    whole = run_file.read_bytes()
    match content:
        case "nothing":
            run_file.write_bytes(b"")
        case "text":
            run_file.write_text("evaluation,arch\n")
        case "cut":
            run_file.write_bytes(whole[: len(whole) // 2])
        case "foreign":
            pq.write_table(pa.table({"a": [1, 2]}), run_file)
        case "foreign metadata":
            pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({b"nasbench_mo_run": b"[1]"}), run_file)
    with pytest.raises(RunError, match=r"run\.parquet"):
        Run.load(run_file)


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.parquet", tmp_path):
        with pytest.raises(RunError, match="does not exist"):
            Run.load(path)


def test_a_run_on_other_data_can_be_read_but_not_scored(run_file: Path) -> None:
    def tamper(table: pa.Table, meta: dict[str, Any]) -> None:
        meta["identity"]["data_hash"] = "0" * 64

    _rewrite(run_file, tamper)
    loaded = Run.load(run_file)
    assert len(loaded.front()) > 0
    for score in (loaded.hypervolume, loaded.hypervolume_share, loaded.hypervolume_curve):
        with pytest.raises(RunError, match=r"made on data 000000000000 of .*the data at hand are [0-9a-f]{12}"):
            score()


def test_a_run_is_not_scored_after_its_table_was_imported_from_other_data(run_file: Path) -> None:
    assert Run.load(run_file).hypervolume_share() > 0
    store_synthetic_nb201(accuracy_seed=1)
    with pytest.raises(RunError, match="Import the same files to score it"):
        Run.load(run_file).hypervolume_share()


# ---------------------------------------------------------------------- front, hypervolume, curve


@pytest.fixture
def noisy_run() -> Run:
    store_synthetic_nb201()
    return run(nmo.problem(NOISY), "nsga2", budget=150, seed=2)


def _share_by_hand(problem: Problem, X: NDArray[Any], *, on: Any) -> float:
    facts = problem.manifest.score if on == "score" else problem.manifest.test
    assert facts is not None
    low, high = np.array(facts.ideal), np.array(facts.nadir)
    scaled = (problem.evaluate(X, on=on) - low) / (high - low)
    return slow_hypervolume(scaled, reference=problem.manifest.reference_point) / facts.hypervolume


def test_the_front_is_that_of_the_observed_values(noisy_run: Run) -> None:
    front = noisy_run.front()
    live = np.flatnonzero(~noisy_run.degenerate)
    dominated = [
        any((noisy_run.F[k] <= noisy_run.F[i]).all() and (noisy_run.F[k] < noisy_run.F[i]).any() for k in live)
        for i in live
    ]
    assert sorted(front.evaluation.tolist()) == live[~np.array(dominated)].tolist()
    assert list(front.archs) == [noisy_run.archs[i] for i in front.evaluation]
    np.testing.assert_array_equal(front.F, noisy_run.F[front.evaluation])
    np.testing.assert_array_equal(front.X, noisy_run.X[front.evaluation])
    assert front.F.tolist() == sorted(front.F.tolist())
    assert len(front) == len(front.archs)


@pytest.mark.parametrize("on", ["score", "test"])
def test_hypervolume_values_the_observed_front_by_mean_or_test(on: Any, noisy_run: Run) -> None:
    problem = noisy_run.problem
    by_hand = _share_by_hand(problem, noisy_run.front().X, on=on)
    assert noisy_run.hypervolume_share(on=on) == pytest.approx(by_hand, rel=1e-9)
    facts = problem.manifest.score if on == "score" else problem.manifest.test
    assert facts is not None
    assert noisy_run.hypervolume(on=on) == pytest.approx(by_hand * facts.hypervolume, rel=1e-9)


@pytest.mark.parametrize("on", ["score", "test"])
def test_the_curve_equals_the_share_of_every_prefix(on: Any, noisy_run: Run) -> None:
    curve = noisy_run.hypervolume_curve(on=on)
    assert curve.shape == (150,)
    for n in (1, 2, 5, 20, 21, 60, 149, 150):
        prefix = Run(
            identity=noisy_run.identity,
            X=noisy_run.X[:n],
            F=noisy_run.F[:n],
            archs=noisy_run.archs[:n],
            degenerate=noisy_run.degenerate[:n],
            wall_s=noisy_run.wall_s[:n],
            simulated_s=noisy_run.simulated_s[:n],
            environment=noisy_run.environment,
            source=noisy_run.problem,
        )
        assert curve[n - 1] == pytest.approx(prefix.hypervolume_share(on=on), rel=1e-9, abs=1e-12)
        assert curve[n - 1] == pytest.approx(_share_by_hand(noisy_run.problem, prefix.front().X, on=on), rel=1e-9)


@pytest.mark.parametrize("name", ["random", "nsga2"])
@pytest.mark.parametrize("cardinalities", [(6, 6, 6), (4, 3)])
def test_without_noise_the_curve_never_falls_and_ends_at_the_share(name: str, cardinalities: tuple[int, ...]) -> None:
    finished = run(toy_problem(*cardinalities), name, budget=100, seed=3)
    curve = finished.hypervolume_curve()
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == pytest.approx(finished.hypervolume_share(), rel=1e-12)
    assert 0 <= curve[0] < curve[-1] <= 1 + 1e-12


def test_with_noise_the_curve_may_fall() -> None:
    store_synthetic_nb201()
    problem = nmo.problem(NOISY)
    falls = [(np.diff(run(problem, "random", budget=200, seed=s).hypervolume_curve()) < 0).any() for s in range(5)]
    assert any(falls)


def test_test_values_that_do_not_exist_are_refused() -> None:
    finished = run(nmo.problem(PREDICTED), "random", budget=10)
    for score in (finished.hypervolume, finished.hypervolume_share, finished.hypervolume_curve):
        with pytest.raises(ObjectiveError, match="no test values"):
            score(on="test")


def test_seconds_are_cumulative(noisy_run: Run) -> None:
    training = 1000 + 10 * noisy_run.X.astype(float).sum(axis=1)
    np.testing.assert_allclose(noisy_run.simulated_s, np.cumsum(training), rtol=1e-12)
    assert (np.diff(noisy_run.wall_s) >= 0).all()
    assert noisy_run.wall_s[0] > 0
    unknown = run(toy_problem(), "random", budget=5)
    assert np.isnan(unknown.simulated_s).all()


def test_unknown_seconds_are_null_in_the_file(tmp_path: Path) -> None:
    run(nmo.problem(PREDICTED), "random", budget=5, out=tmp_path / "run.parquet")
    assert pq.read_table(tmp_path / "run.parquet").column("simulated_s").null_count == 5
    assert np.isnan(Run.load(tmp_path / "run.parquet").simulated_s).all()


def test_a_run_of_local_data_says_so_in_its_file(run_file: Path) -> None:
    meta = json.loads(pq.read_schema(run_file).metadata[b"nasbench_mo_run"])
    assert meta["identity"]["problem"].startswith(f"{NOISY}+local.{meta['identity']['data_hash'][:8]}")


def test_every_error_is_one_of_the_packages_own() -> None:
    assert issubclass(RunError, NasbenchMoError)
    assert issubclass(SearcherError, NasbenchMoError)


def test_an_identity_cannot_be_changed(noisy_run: Run) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        noisy_run.identity.seed = 1  # type: ignore[misc]


# ---------------------------------------------------------------------- two at once, and honest labels


def test_two_searches_into_one_file_do_not_lose_a_run(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    refused: list[str] = []

    def second(done: int, budget: int) -> None:
        if done < budget and not refused:
            with pytest.raises(RunError, match="another process is writing") as caught:
                run(toy_problem(9, 9, 9), "random", budget=5, seed=2, out=out)
            refused.append(str(caught.value))

    run(toy_problem(9, 9, 9), "random", budget=200, seed=1, out=out, progress=second)
    assert refused
    assert Run.load(out, problem=toy_problem(9, 9, 9)).identity.seed == 1
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["run.parquet"]
    with pytest.raises(RunError, match="exists"):
        run(toy_problem(9, 9, 9), "random", budget=5, seed=2, out=out)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["run.parquet"]


def test_numpy_integers_are_numbers(tmp_path: Path) -> None:
    finished = run(
        toy_problem(9, 9), "random", budget=np.int64(5), seed=np.int64(3), noise_seed=np.int64(2), out=tmp_path / "r"
    )
    assert (finished.identity.budget_evaluations, finished.identity.seed, finished.identity.noise_seed) == (5, 3, 2)


def test_a_value_changed_behind_the_back_of_a_run_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    run(toy_problem(9, 9), "random", budget=20, out=out)
    table = pq.read_table(out)
    name = next(f.name for f in table.schema if f.metadata and b"objective" in f.metadata)
    values = table.column(name).to_numpy().copy()
    values[7] += 1e-9
    changed = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(values))
    pq.write_table(changed, out)
    with pytest.raises(RunError, match="not those that were written"):
        Run.load(out, problem=toy_problem(9, 9))
