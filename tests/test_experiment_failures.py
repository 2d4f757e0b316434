"""Evaluations that fail: recorded, counted, told by the rule, resumed; and an error where nothing else is left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmark_helpers import ERROR, LATENCY, accuracy_column, opposed, store_table, toy_space
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem, TableValues, Term
from nasbench_mo.benchmark.values import Values
from nasbench_mo.errors import ArchitectureError, ExhaustedError, ObjectiveError, RunError
from nasbench_mo.experiment import Run, run
from nasbench_mo.objective import Objective
from nasbench_mo.search import SEARCHERS, Searcher, searcher

pytestmark = pytest.mark.usefixtures("cache")

SPACE = toy_space(6, 6, 6, 6)


def fails(X: NDArray[Any]) -> NDArray[np.bool_]:
    """A third of the architectures."""
    return (X.sum(axis=1) % 3) == 0


def raising(X: NDArray[Any]) -> NDArray[np.float64]:
    if fails(X).any():
        raise RuntimeError("out of\nmemory")
    return opposed(X)


def with_values(value: float, *, objective: int | None = None) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    def function(X: NDArray[Any]) -> NDArray[np.float64]:
        F = opposed(X)
        columns = slice(None) if objective is None else objective
        F[fails(X), columns] = value
        return F

    return function


def breaking_after(calls: int) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    left = iter(range(calls))

    def function(X: NDArray[Any]) -> NDArray[np.float64]:
        if next(left, None) is None:
            raise OSError("the machine broke")
        return raising(X)

    return function


def problem_of(function: Callable[[NDArray[Any]], NDArray[np.float64]], *, search_space: Any = SPACE) -> Problem:
    return Problem.from_function("failing-v1", function, search_space=search_space, objectives=[ERROR, LATENCY])


class Recording(Searcher):
    """Proposes given architectures in batches of two, and keeps what it was told."""

    name = "recording"

    def __init__(self, X: NDArray[Any]) -> None:
        super().__init__(SPACE, 2)
        self.proposals = X
        self.heard: list[NDArray[np.float64]] = []

    def _ask(self, n: int | None) -> NDArray[Any]:
        if self.n_asked == len(self.proposals):
            raise ExhaustedError("no more")
        k = min(2, n or 2)
        return self.proposals[self.n_asked : self.n_asked + k]

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self.heard += list(F)


FAILING = [raising, with_values(np.nan), with_values(np.inf, objective=1), with_values(-np.inf, objective=0)]


@pytest.mark.parametrize("function", FAILING, ids=["raises", "nan", "inf", "-inf"])
@pytest.mark.parametrize("name", ["random", "nsga2", "default"])
def test_a_search_goes_on_after_failures_and_counts_them(name: str, function: Any, tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    finished = run(problem_of(function), name, budget=40, seed=1, out=out)
    assert len(finished) == len(set(finished.archs)) == 40
    bad = fails(finished.X.astype(int))
    assert 0 < bad.sum() < 40
    np.testing.assert_array_equal(finished.failed, bad)
    assert np.isnan(finished.F[bad]).all()
    np.testing.assert_array_equal(finished.F[~bad], opposed(finished.X[~bad].astype(int)))
    assert not bad[finished.front().evaluation].any()
    table = pq.read_table(out)
    assert table.column("status").to_pylist() == ["failed" if b else "ok" for b in bad]
    assert table.column("error_percent").null_count == bad.sum()
    loaded = Run.load(out, problem=problem_of(function))
    np.testing.assert_array_equal(loaded.F, finished.F)
    assert set(loaded.environment["failed_because"]) == {a for a, b in zip(finished.archs, bad, strict=True) if b}


@pytest.mark.parametrize("name", list(SEARCHERS))
def test_every_searcher_goes_on(name: str) -> None:
    if name in ("qlognehvi",):
        pytest.importorskip("botorch", reason="comes with the extra 'bayes'")
    options = {"population": 8} if name in ("nsga2", "nsga3", "moead", "sms-emoa", "age-moea2", "rvea") else {}
    made = searcher(name, SPACE, 2, seed=2, **options)
    finished = run(problem_of(raising), made, budget=20)
    assert 0 < finished.failed.sum() < len(finished) == 20


def test_a_failure_is_told_as_the_worst_that_succeeded_so_far() -> None:
    X = SPACE.check(np.array([[1, 0, 0, 0], [3, 0, 0, 0], [5, 5, 0, 0], [2, 1, 0, 0], [4, 0, 0, 0], [0, 0, 0, 0]]))
    assert fails(X).tolist() == [False, True, False, True, False, True]
    recording = Recording(X)
    run(problem_of(raising), recording, budget=6)
    F = opposed(X.astype(int))
    first, second, third = F[0], np.maximum(F[0], F[2]), F[[0, 2, 4]].max(axis=0)
    expected = [F[0], first, F[2], second, F[4], third]
    np.testing.assert_array_equal(recording.heard, expected)


def test_until_something_succeeds_random_architectures_are_drawn_and_count() -> None:
    X = SPACE.check(np.array([[3, 0, 0, 0], [0, 3, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]]))
    recording = Recording(X)
    finished = run(problem_of(raising), recording, budget=12)
    assert finished.failed[:2].all()
    drawn = 3 + int(np.argmin(finished.failed[2:]))  # up to the first success
    assert finished.failed[2 : drawn - 1].all()
    assert not finished.failed[drawn - 1]
    np.testing.assert_array_equal(recording.heard[0], finished.F[drawn - 1])
    np.testing.assert_array_equal(recording.heard[1], finished.F[drawn - 1])


def test_one_that_raises_does_not_spoil_its_batch_and_the_reason_is_kept() -> None:
    finished = run(problem_of(raising), "random", budget=64, seed=0)
    np.testing.assert_array_equal(finished.failed, fails(finished.X.astype(int)))
    assert set(finished.environment["failed_because"].values()) == {"RuntimeError: out of memory"}
    missing = run(problem_of(with_values(np.nan, objective=1)), "random", budget=64, seed=0)
    assert set(missing.environment["failed_because"].values()) == {"latency_ms is nan"}


@pytest.mark.parametrize("name", ["random", "nsga2", "default"])
def test_a_run_with_failures_resumes_as_if_nothing_had_been(name: str, tmp_path: Path) -> None:
    whole = run(problem_of(raising), name, budget=40, seed=3)
    out = tmp_path / "run.parquet"
    for calls in (2, 5):
        with pytest.raises(OSError, match="the machine broke"):
            run(problem_of(breaking_after(calls)), name, budget=40, seed=3, out=out)
    resumed = run(problem_of(raising), name, budget=40, seed=3, out=out)
    assert resumed.archs == whole.archs
    np.testing.assert_array_equal(resumed.F, whole.F)
    assert resumed.environment["failed_because"] == whole.environment["failed_because"]


@pytest.mark.parametrize("cardinalities", [(6, 6, 6, 6), (3, 2)])
def test_where_everything_fails_the_run_ends_with_the_reason_and_leaves_nothing(
    cardinalities: tuple[int, ...], tmp_path: Path
) -> None:
    def broken(X: NDArray[Any]) -> NDArray[np.float64]:
        raise NameError("name 'trian' is not defined")

    problem = problem_of(broken, search_space=toy_space(*cardinalities))
    n = min(20, problem.space.size)
    with pytest.raises(RunError, match=rf"all {n} evaluations of 'failing-v1' failed.*NameError: name 'trian'"):
        run(problem, "nsga2", budget=20, out=tmp_path / "run.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_errors_of_the_problem_are_not_failures_of_an_architecture() -> None:
    with pytest.raises(ObjectiveError, match="must return shape"):
        run(problem_of(lambda X: opposed(X)[:, :1]), "random", budget=5)

    def misused(X: NDArray[Any]) -> NDArray[np.float64]:
        raise ArchitectureError("no such architecture")

    with pytest.raises(ArchitectureError, match="no such architecture"):
        run(problem_of(misused), "random", budget=5)


def test_a_value_that_a_table_lacks_is_a_failure() -> None:
    toy = toy_space(4, 4)
    X = toy.enumerate()
    accuracy = 50.0 + X.sum(axis=1)
    accuracy[[3, 7]] = np.nan
    column = accuracy_column("valid_accuracy", accuracy)
    store_table("holes-v1", [column], search_space=toy, encodings=X)
    values = TableValues(table="holes-v1", column="valid_accuracy_percent")
    problem = Problem("holes-v1", search_space=toy, terms=[Term(objective=ERROR, values=values)])
    finished = run(problem, "random", budget=16)
    assert sorted(toy.codes(finished.X[finished.failed]).tolist()) == [3, 7]


def test_a_damaged_status_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    run(problem_of(raising), "random", budget=20, out=out)
    table = pq.read_table(out)
    place = table.column_names.index("status")
    for status in (["ok"] * 20, ["failed"] * 20):
        pq.write_table(table.set_column(place, "status", [status]), out)
        with pytest.raises(RunError, match="missing or not finite"):
            Run.load(out, problem=problem_of(raising))


# ---------------------------------------------------------------------- shorter trainings, and workers


@dataclass(frozen=True, kw_only=True)
class Holes(Values):
    """The sum of the encoding, after e of 9 epochs rougher; none for some architectures, or for all at once."""

    epochs: int = 9
    hopeless: bool = False
    fails_from: int = 0

    @property
    def origin(self) -> Objective:
        return ERROR

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        lost = (fails(X) & (self.epochs >= self.fails_from)) | self.hopeless
        return np.where(lost, np.nan, X.sum(axis=1) + 1.0 / self.epochs)

    def fidelities(self) -> tuple[int, ...]:
        return (1, 3, 9)

    def at(self, epochs: int) -> Values:
        return dataclasses.replace(self, epochs=epochs)

    def tabulated(self) -> bool:
        return False

    def data_hash(self) -> str:
        return "holes"


@dataclass(frozen=True, kw_only=True)
class Opposite(Values):
    """A cost that falls where the error rises; also the seconds of a training."""

    objective: Objective

    @property
    def origin(self) -> Objective:
        return self.objective

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return 40.0 - X.sum(axis=1)

    def data_hash(self) -> str:
        return "opposite"


def training_problem(**holes: Any) -> Problem:
    return Problem(
        "trainings-v1",
        search_space=SPACE,
        terms=[
            Term(objective=ERROR, values=Holes(**holes)),
            Term(objective=LATENCY, values=Opposite(objective=LATENCY)),
        ],
        simulated_seconds=Opposite(objective=Objective(name="time", unit="s", kind="measured")),
    )


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", ["random", "nsga2", "mo-asha", "mo-hyperband", "successive-halving", "pbt"])
def test_simulated_workers_and_shorter_trainings_go_on_after_failures(name: str, workers: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": 24, "seed": 1, "workers": workers}
    problem = training_problem()
    whole = run(problem, name, **options)
    np.testing.assert_array_equal(whole.failed, fails(whole.X.astype(int)))
    assert 0 < whole.failed.sum() < len(whole)
    assert not whole.failed[whole.front().evaluation].any()
    assert set(whole.environment["failed_because"].values()) == {"error_percent is nan"}

    out = tmp_path / "run.parquet"

    def interrupt(done: int, budget: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(problem, name, **options, out=out, progress=interrupt)
    resumed = run(problem, name, **options, out=out)
    loaded = Run.load(out, problem=problem)
    for one in (resumed, loaded):
        assert one.archs == whole.archs
        np.testing.assert_array_equal(one.F, whole.F)
        assert one.environment["failed_because"] == whole.environment["failed_because"]


def test_one_that_fails_at_the_full_training_only_keeps_its_shorter_ones(tmp_path: Path) -> None:
    finished = run(training_problem(fails_from=9), "mo-asha", budget=30, seed=0, out=tmp_path / "run.parquet")
    assert finished.epochs is not None
    np.testing.assert_array_equal(finished.failed, fails(finished.X.astype(int)) & (finished.epochs == 9))
    assert finished.failed.any()
    np.testing.assert_array_equal(Run.load(tmp_path / "run.parquet", problem=training_problem()).F, finished.F)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_draw_at_random_until_something_succeeds(workers: int) -> None:
    X = SPACE.check(np.array([[3, 0, 0, 0], [0, 3, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]]))
    recording = Recording(X)
    finished = run(training_problem(), recording, budget=12, workers=workers, fidelities=False, budget_seconds=1e9)
    first = int(np.argmin(finished.failed))
    assert first >= 1
    np.testing.assert_array_equal(recording.heard[0], finished.F[first])  # the first failure, as the first success
    assert len(recording.heard) == 4
    assert finished.archs[first] not in SPACE.decode(X) or workers > 1


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", ["random", "nsga2", "mo-asha"])
def test_trainings_that_all_fail_end_with_the_reason(name: str, workers: int, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"all \d+ evaluations of 'trainings-v1' failed.*error_percent is nan"):
        run(
            training_problem(hopeless=True),
            name,
            budget=12,
            workers=workers,
            budget_seconds=1e9,
            out=tmp_path / "run.parquet",
        )
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]
