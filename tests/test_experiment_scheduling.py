"""Runs with shorter trainings, budgets of seconds and joules, and workers on a virtual clock."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmark_helpers import ERROR, LATENCY, store_synthetic_nb201, store_table, toy_problem, toy_space
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.benchmark import Problem, compute_manifest
from nasbench_mo.benchmark.search_problem import Term
from nasbench_mo.benchmark.values import Fidelity, TableValues, Values
from nasbench_mo.cli import main
from nasbench_mo.errors import ExhaustedError, ObjectiveError, RunError, SearcherError, SpecError
from nasbench_mo.experiment import Run, replay, run, run_many
from nasbench_mo.experiment.storage import identity_from_dict, identity_to_dict
from nasbench_mo.objective import Objective
from nasbench_mo.search import Searcher, searcher
from nasbench_mo.space import CategoricalSpace
from nasbench_mo.table import Column

pytestmark = pytest.mark.usefixtures("cache")

SECONDS = Objective(name="time", unit="s", kind="measured")
KWH = Objective(name="energy", unit="kwh", kind="measured")
SPACE = toy_space(6, 6, 6)
FULL = 9


@dataclass(frozen=True, kw_only=True)
class Curve(Values):
    """``base + slope * sum of the encoding``, rougher after fewer epochs; counts what it is asked for."""

    objective: Objective
    base: float = 0.0
    slope: float = 1.0
    epochs: int = FULL
    steps: tuple[int, ...] = (1, 3, 9)
    own_trainings: bool = False
    rough: float = 1.0
    asked: ClassVar[Counter[tuple[bytes, int]]] = Counter()

    @property
    def origin(self) -> Objective:
        return self.objective

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        Curve.asked.update((row.astype(np.int8).tobytes(), self.epochs) for row in X)
        total = X.sum(axis=1).astype(float)
        return self.base + self.slope * total + self.rough * (total * 7 % 5) / self.epochs

    def fidelities(self) -> tuple[int, ...]:
        return self.steps

    def at(self, epochs: int) -> Values:
        return dataclasses.replace(self, epochs=epochs)

    def continues(self) -> bool:
        return not self.own_trainings

    def tabulated(self) -> bool:
        return False

    def data_hash(self) -> str:
        return f"{self.objective.column} {self.base} {self.slope}"


@dataclass(frozen=True, kw_only=True)
class Line(Values):
    """``base + slope * sum of the encoding``: a cost."""

    objective: Objective
    base: float
    slope: float

    @property
    def origin(self) -> Objective:
        return self.objective

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self.base + self.slope * X.sum(axis=1)

    def data_hash(self) -> str:
        return f"{self.objective.column} {self.base} {self.slope}"


def curves(*, own_trainings: bool = False, seconds: bool = True, joules: bool = True) -> Problem:
    """Full trainings last 90 s and more, 9 s for each unit of the sum; they take a tenth of that in kWh."""
    return Problem(
        "curves-v1",
        search_space=SPACE,
        terms=[
            Term(objective=ERROR, values=Curve(objective=ERROR, own_trainings=own_trainings)),
            Term(objective=LATENCY, values=Line(objective=LATENCY, base=20.0, slope=-1.0)),
        ],
        simulated_seconds=Line(objective=SECONDS, base=90.0, slope=9.0) if seconds else None,
        simulated_joules=Line(objective=KWH, base=9.0, slope=0.9) if joules else None,
    )


class Listed(Searcher):
    """Proposes given codes of a line in order, as many at a time as it is asked for."""

    name = "listed"

    def __init__(self, codes: Sequence[int], *, generation: int = 0) -> None:
        super().__init__(CLOCK_SPACE, 2)
        self.codes = list(codes)
        self.generation = generation
        self.told: list[int] = []
        self.told_before_ask: list[int] = []

    def _ask(self, n: int | None) -> NDArray[Any]:
        k = min(n or 1, len(self.codes) - self.n_asked)
        if self.generation:
            begun = self.n_asked // self.generation * self.generation
            if self.n_told < begun:
                raise SearcherError("tell this generation first")
            k = min(k, begun + self.generation - self.n_asked)
        if k == 0:
            raise ExhaustedError("all were proposed")
        self.told_before_ask.append(self.n_told)
        return self.space.from_codes(self.codes[self.n_asked : self.n_asked + k])

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self.told += self.space.codes(X).tolist()


class InOrder(Listed):
    accepts_foreign = False


CLOCK_SPACE = toy_space(10)


def clocked() -> Problem:
    """The architecture of code c trains for c seconds."""
    return Problem(
        "clock-v1",
        search_space=CLOCK_SPACE,
        terms=[
            Term(objective=ERROR, values=Line(objective=ERROR, base=0.0, slope=1.0)),
            Term(objective=LATENCY, values=Line(objective=LATENCY, base=9.0, slope=-1.0)),
        ],
        simulated_seconds=Line(objective=SECONDS, base=0.0, slope=1.0),
    )


def finished_at(found: Run) -> list[tuple[int, float]]:
    return list(zip(CLOCK_SPACE.codes(found.X).tolist(), found.simulated_s.tolist(), strict=True))


def assert_same_run(a: Run, b: Run) -> None:
    assert (a.archs, a.identity) == (b.archs, b.identity)
    for name in ("X", "F", "epochs", "simulated_s", "cost_evaluations"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for fact in ("ended", "n_duplicate_proposals", "spent"):
        assert a.environment[fact] == b.environment[fact]


# ---------------------------------------------------------------------- the clock


@pytest.mark.parametrize(
    ("workers", "finished"),
    [
        (1, [(5, 5), (3, 8), (4, 12), (2, 14), (6, 20), (1, 21)]),
        # 3 is done at 3, then 4 starts; 5 at 5, then 2; 4 and 2 are both done at 7, then 6 and 1 start.
        (2, [(3, 3), (5, 5), (4, 7), (2, 7), (1, 8), (6, 13)]),
        # 2 is done at 2, then 6 starts; 3 at 3, then 1; 4 and 1 are done at 4.
        (4, [(2, 2), (3, 3), (4, 4), (1, 4), (5, 5), (6, 8)]),
    ],
)
def test_results_come_in_the_order_in_which_workers_finish_them(
    workers: int, finished: list[tuple[int, float]]
) -> None:
    made = Listed([5, 3, 4, 2, 6, 1])
    found = run(clocked(), made, budget_seconds=21, workers=workers)
    assert finished_at(found) == finished
    assert made.told == [code for code, _ in finished]
    assert found.environment["spent"] == {"evaluations": 6.0, "seconds": 21.0}
    if workers > 1:
        assert (found.environment["workers"], found.environment["scheduling"]) == (workers, "asynchronous")


@pytest.mark.parametrize("kind", [Listed, InOrder])
def test_a_searcher_that_wants_to_be_told_first_makes_workers_wait(kind: type[Listed]) -> None:
    """Generations of three: 5 and 3 start, 4 follows at 3 and is done at 7; only then come 2 and 6, and 1 at 9."""
    made = kind([5, 3, 4, 2, 6, 1], generation=3)
    found = run(clocked(), made, budget=6, workers=2)
    assert finished_at(found) == [(3, 3), (5, 5), (4, 7), (2, 9), (1, 10), (6, 13)]
    assert found.environment["scheduling"].startswith("synchronous")
    assert made.told == ([5, 3, 4, 2, 6, 1] if kind is InOrder else [3, 5, 4, 2, 1, 6])


def test_what_comes_at_the_same_time_is_told_before_anything_is_asked() -> None:
    """Of two workers' 5, 3, 4, 2, the last two are both done at 7: then 6 and 1 are asked for together."""
    made = Listed([5, 3, 4, 2, 6, 1])
    run(clocked(), made, budget=6, workers=2)
    assert made.told_before_ask == [0, 1, 2, 4]


def test_a_generation_is_the_same_whoever_works_on_it() -> None:
    problem = curves()
    alone, many = (run(problem, "nsga2", budget=80, seed=2, workers=w) for w in (1, 4))
    assert alone.archs != many.archs
    assert sorted(alone.archs) == sorted(many.archs)
    assert many.environment["scheduling"].startswith("synchronous")
    assert many.simulated_s[-1] < alone.simulated_s[-1] / 3


def test_what_is_proposed_twice_is_evaluated_once_and_told_as_often() -> None:
    made = Listed([5, 3, 3, 5, 3, 2])
    found = run(clocked(), made, budget=3, workers=2)
    assert finished_at(found) == [(3, 3), (5, 5), (2, 5)]
    # 3 and 5 are proposed while they are under way; 3 is proposed again once it is known.
    assert sorted(made.told) == [2, 3, 3, 3, 5, 5]
    assert found.environment["n_duplicate_proposals"] == 3


def test_a_searcher_without_anything_new_ends_the_run() -> None:
    made = Listed([4] * 1000)
    found = run(clocked(), made, budget_seconds=100)
    assert finished_at(found) == [(4, 4)]
    assert found.environment["ended"] == "nothing new in 200 batches"
    ended = run(clocked(), Listed([4, 5]), budget_seconds=100, workers=3)
    assert (len(ended), ended.environment["ended"]) == (2, "searcher exhausted")


def test_an_error_of_a_searcher_nobody_works_for_is_not_hidden() -> None:
    class Broken(Listed):
        def _ask(self, n: int | None) -> NDArray[Any]:
            raise SearcherError("broken for good")

    with pytest.raises(SearcherError, match="broken for good"):
        run(clocked(), Broken([1]), budget=1, workers=2)


# ---------------------------------------------------------------------- budgets


def test_a_budget_of_seconds_is_not_exceeded_and_what_does_not_fit_ends_the_run() -> None:
    for budget, expected in ((9, [5, 3]), (8, [5, 3]), (7.9, [5]), (12, [5, 3, 4]), (4, [])):
        made = Listed([5, 3, 4, 2, 6, 1])
        found = run(clocked(), made, budget_seconds=budget)
        assert CLOCK_SPACE.codes(found.X).tolist() == expected
        assert found.environment["ended"] == "budget"
        assert found.environment["spent"]["seconds"] == sum(expected)
        assert found.identity.budget_evaluations is None
        assert len(found.front()) == len(expected)


def test_the_budget_counts_the_work_of_all_workers() -> None:
    for workers in (1, 2, 4):
        found = run(curves(), "random", budget_seconds=5000, workers=workers)
        assert 5000 - 225 < found.environment["spent"]["seconds"] <= 5000
        assert found.environment["spent"]["seconds"] == pytest.approx(curves().simulated_seconds(found.X).sum())


def test_a_budget_of_joules_stops_where_it_should() -> None:
    problem = curves()
    found = run(problem, "random", budget_joules=2e9, seed=3)
    spent = problem.simulated_joules(found.X)
    np.testing.assert_allclose(spent, (9 + 0.9 * found.X.sum(axis=1)) * 3.6e6)
    assert 2e9 - 22.5 * 3.6e6 < spent.sum() <= 2e9
    assert found.environment["spent"]["joules"] == pytest.approx(spent.sum())
    assert found.simulated_s[-1] == pytest.approx(problem.simulated_seconds(found.X).sum())


def test_the_first_budget_that_is_spent_ends_a_run() -> None:
    short = run(curves(), "random", budget=4, budget_seconds=5000)
    assert len(short) == 4
    assert len(run(curves(), "random", budget=400, budget_seconds=5000, budget_joules=1e8)) < 4
    assert short.identity.budget() == "4 evaluations and 5000 simulated seconds"


def test_one_worker_with_a_plain_budget_is_the_loop_of_always() -> None:
    """The virtual clock proposes and evaluates the same where nothing is decided between the members of a batch."""
    plain = run(curves(), "random", budget=30)
    clock = run(curves(), "random", budget=30, budget_seconds=1e9)
    assert plain.archs == clock.archs
    np.testing.assert_array_equal(plain.F, clock.F)
    np.testing.assert_allclose(plain.simulated_s, clock.simulated_s)
    assert "spent" not in plain.environment
    np.testing.assert_array_equal(plain.cost_evaluations, np.arange(1, 31))


@pytest.mark.parametrize("own_trainings", [False, True])
def test_a_promoted_architecture_pays_what_its_training_adds(own_trainings: bool) -> None:
    found = run(curves(own_trainings=own_trainings), "mo-asha", budget=12, seed=1)
    assert found.epochs is not None
    paid, seconds, before = [], [], dict[str, int]()
    for arch, x, e in zip(found.archs, found.X, found.epochs.tolist(), strict=True):
        added = e if own_trainings else e - before.get(arch, 0)
        assert e > before.get(arch, 0)
        before[arch] = e
        paid.append(added / 9)
        seconds.append((90 + 9 * x.sum()) * added / 9)
    np.testing.assert_allclose(found.cost_evaluations, np.cumsum(paid))
    np.testing.assert_allclose(found.simulated_s, np.cumsum(seconds))
    assert 11 < found.cost_evaluations[-1] <= 12
    assert found.environment["spent"]["evaluations"] == pytest.approx(found.cost_evaluations[-1])
    full = [before[arch] == 9 for arch in before]
    assert sum(full) == found.full.sum() > 0


def test_a_mean_of_several_short_trainings_pays_for_all_of_them() -> None:
    X = CLOCK_SPACE.enumerate()
    fields = {"unit": "percent", "kind": "measured", "split": "valid", "dataset": "toy"}
    columns = [
        Column(objective=Objective(name="error_12ep", epochs=12, **fields), values=np.arange(10.0)),
        Column(objective=Objective(name="error_200ep", epochs=200, **fields), values=np.arange(10.0)),
        Column(objective=SECONDS, values=np.full(10, 400.0)),
        Column(objective=KWH, values=np.full(10, 2.0)),
        Column(objective=dataclasses.replace(KWH, name="energy_12ep", epochs=12), values=np.full(10, 0.2)),
    ]
    store_table("toy-short-v1", columns, search_space=CLOCK_SPACE, encodings=X)
    short = Fidelity(epochs=12, column="error_12ep_percent", n_trainings=2)
    error = TableValues(table="toy-short-v1", column="error_200ep_percent", shorter=(short,))
    made = Problem(
        "short-v1",
        search_space=CLOCK_SPACE,
        terms=[
            Term(objective=dataclasses.replace(ERROR, epochs=200), values=error),
            Term(objective=LATENCY, values=Line(objective=LATENCY, base=9.0, slope=-1.0)),
        ],
        simulated_seconds=TableValues(table="toy-short-v1", column="time_s"),
        simulated_joules=TableValues(table="toy-short-v1", column="energy_kwh"),
    )
    assert (made.fidelities, made.continues, made.trained_epochs(12), made.trained_epochs(200)) == (
        (12, 200),
        False,
        24,
        200,
    )
    np.testing.assert_allclose(made.simulated_seconds(X[:2], epochs=12), 400 * 24 / 200)
    np.testing.assert_allclose(made.simulated_seconds(X[:2]), 400)
    np.testing.assert_allclose(made.simulated_joules(X[:2], epochs=12), 2 * 3.6e6 * 24 / 200)
    found = run(made, "mo-asha", budget=2)
    assert found.cost_evaluations[-1] <= 2
    np.testing.assert_allclose(np.diff(found.cost_evaluations, prepend=0), np.where(found.full, 1.0, 0.12))
    # Shorter trainings of their own are no part of what the problem is, but of what a run saw.
    without = dataclasses.replace(error, shorter=())
    plain = Problem(
        "short-v1", search_space=CLOCK_SPACE, terms=[dataclasses.replace(made.terms[0], values=without), made.terms[1]]
    )
    assert plain.data_hash == made.data_hash
    assert compute_manifest(plain) == compute_manifest(made)
    assert plain.fidelities_hash == "" != made.fidelities_hash == found.identity.fidelities_hash
    # A table that lacks the column has no shorter trainings.
    lacking = dataclasses.replace(error, shorter=(dataclasses.replace(short, column="elsewhere_percent"),))
    assert (lacking.fidelities(), lacking.fidelity_hash()) == ((), "")
    with pytest.raises(SpecError, match="got both"):
        dataclasses.replace(error, curve=(short,))


def test_energy_that_was_measured_after_fewer_epochs_is_not_a_share() -> None:
    made = Problem(
        "measured-v1",
        search_space=SPACE,
        terms=curves(own_trainings=True).terms,
        simulated_joules=Curve(objective=KWH, base=5.0, slope=0.0, rough=2.0),
    )
    X = SPACE.from_codes([1])  # its sum is 1
    np.testing.assert_allclose(made.simulated_joules(X, epochs=3), (5 + 2 * 2 / 3) * 3.6e6)
    assert made.knows_joules
    assert not made.knows_seconds


# ---------------------------------------------------------------------- runs with several fidelities


def test_front_and_hypervolume_are_those_of_the_full_trainings() -> None:
    problem = curves()
    problem._manifest = compute_manifest(problem)
    found = run(problem, "mo-asha", budget=20, seed=4)
    assert found.epochs is not None
    assert set(found.epochs[found.front().evaluation].tolist()) == {9}
    full = found.F[found.full]
    assert len(found.front()) == nmo.nondominated(full).sum()
    curve = found.hypervolume_curve()
    assert len(curve) == len(found)
    changed = np.flatnonzero(np.diff(curve, prepend=0.0))
    assert changed.size > 1
    assert found.full[changed].all()
    assert curve[-1] == pytest.approx(found.hypervolume_share())
    for x, f, e in zip(found.X, found.F, found.epochs.tolist(), strict=True):
        np.testing.assert_array_equal(problem.evaluate(x[None], epochs=e)[0], f)


@pytest.mark.parametrize("limits", [{"budget": 10, "workers": 2}, {"budget_seconds": 900.0}, {"budget_joules": 4e8}])
@pytest.mark.parametrize("name", ["mo-asha", "nsga2"])
def test_a_run_with_epochs_workers_or_another_budget_is_replayed(name: str, limits: Any, tmp_path: Path) -> None:
    problem = curves()
    found = run(problem, name, seed=4, out=tmp_path / "run.parquet", **limits)
    published = Run.load(tmp_path / "run.parquet", problem=problem)
    again = replay(published)
    assert again.equal, str(again.difference)
    assert_same_run(again.replayed, found)
    if published.epochs is not None:
        published.epochs = published.epochs.copy()
        published.epochs[3] = next(e for e in (1, 3) if e != published.epochs[3])
        changed = replay(published).difference
        assert changed is not None
        assert (changed.evaluation, changed.column) == (3, "epochs")


def test_a_run_with_epochs_is_written_and_read(tmp_path: Path) -> None:
    problem = curves()
    out = tmp_path / "run.parquet"
    found = run(problem, "mo-asha", budget=10, seed=4, workers=2, out=out)
    table = pq.read_table(out)
    assert table.schema.names[-2:] == ["epochs", "cost_evaluations"]
    read = Run.load(out, problem=problem)
    assert_same_run(read, found)
    assert read.identity.fidelities == (1, 3, 9)
    assert read.identity.workers == 2
    np.testing.assert_array_equal(read.full, found.full)
    assert len(read.archs) > len(set(read.archs))
    assert "rows for 10 evaluations" in repr(read)
    frame = read.to_pandas()
    assert frame["epochs"].tolist() == table.column("epochs").to_pylist()
    once = next(i for i, arch in enumerate(found.archs) if found.archs.count(arch) == 1)
    changed = found.epochs.copy()
    changed[once] = 3
    at = table.schema.names.index("epochs")
    pq.write_table(table.set_column(at, table.schema.field("epochs"), [changed]), out)
    with pytest.raises(RunError, match="rows are missing or were changed"):
        Run.load(out, problem=problem)
    changed[once] = 2
    pq.write_table(table.set_column(at, table.schema.field("epochs"), [changed]), out)
    with pytest.raises(RunError, match="expected epochs of 1, 3, 9"):
        Run.load(out, problem=problem)


def test_a_run_of_the_full_training_alone_is_written_as_ever(tmp_path: Path) -> None:
    problem = curves()
    found = run(problem, "mo-asha", budget=10, fidelities=False, out=tmp_path / "run.parquet")
    assert pq.read_table(tmp_path / "run.parquet").schema.names[-2:] == ["wall_s", "simulated_s"]
    assert found.epochs is None
    assert found.full.all()
    later = {"fidelities", "fidelities_hash", "workers", "budget_seconds", "budget_joules"}
    assert not later & identity_to_dict(found.identity).keys()
    assert identity_from_dict(identity_to_dict(found.identity)) == found.identity
    other = dataclasses.replace(found.identity, workers=3, fidelities=(1, 9), budget_seconds=5.0)
    assert identity_from_dict(json.loads(json.dumps(identity_to_dict(other)))) == other


def test_fidelities_are_offered_to_none_that_has_no_use_for_them() -> None:
    assert run(curves(), "random", budget=5).identity.fidelities == ()
    assert run(curves(), "mo-asha", budget=5).identity.fidelities == (1, 3, 9)
    assert run(toy_problem(), "mo-asha", budget=5).identity.fidelities == ()
    elsewhere = searcher("mo-asha", SPACE, 2)
    elsewhere.set_fidelities((12, 200))
    with pytest.raises(SearcherError, match="offered trainings of 12, 200 epochs; problem 'curves-v1' has 1, 3, 9"):
        run(curves(), elsewhere, budget=5, fidelities=False)


@pytest.mark.parametrize(("name", "door"), [("mo-asha", "tell_at"), ("regularized-evolution", "tell")])
def test_constraints_hold_on_the_clock_and_after_fewer_epochs(
    name: str, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = curves().constrained("error_percent <= 9", "latency_ms <= 14")
    made = searcher(name, problem.space, 2, seed=1)
    heard = []
    tell = getattr(made, door)
    monkeypatch.setattr(made, door, lambda X, F, *more: (heard.append((X, F)), tell(X, F, *more)))
    found = run(problem, made, budget=20, workers=3)
    np.testing.assert_array_equal(found.infeasible, (found.F > [9, 14]).any(axis=1))
    assert 0 < found.infeasible.sum() < len(found)
    assert (found.front().F <= [9, 14]).all()
    told = np.concatenate([F for _, F in heard])
    cost = 20.0 - np.concatenate([X for X, _ in heard]).sum(axis=1)
    penalised = told[:, 1] != cost  # the truth is far from what an infeasible one is said to cost
    assert penalised.sum() >= found.infeasible.sum()
    assert told[penalised].min(axis=0)[1] > told[~penalised].max(axis=0)[1]
    assert found.identity == run(problem, name, budget=20, workers=3, seed=1).identity


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", ["mo-asha", "successive-halving", "mo-hyperband", "pbt", "nsga2"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(name: str, workers: int, tmp_path: Path) -> None:
    problem = curves()
    budget: dict[str, Any] = {"budget_seconds": 4000.0, "workers": workers, "seed": 5}
    whole = run(problem, name, **budget)
    out = tmp_path / "run.parquet"
    for stop in (1500, 2600):

        def kill(done: int, _: int, *, stop: int = stop) -> None:
            if done >= stop:
                raise _KilledError

        with pytest.raises(_KilledError):
            run(problem, name, out=out, progress=kill, **budget)
    partial = out.with_name("run.parquet.partial.jsonl")
    journalled = len(partial.read_text().splitlines()) - 1
    assert 0 < journalled < len(whole)
    Curve.asked.clear()
    resumed = run(problem, name, out=out, **budget)
    assert sum(Curve.asked.values()) == len(whole) - journalled
    assert_same_run(resumed, whole)
    assert_same_run(Run.load(out, problem=problem), whole)
    assert not partial.exists()


def test_a_journal_of_another_trajectory_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run.parquet"
    partial = out.with_name("run.parquet.partial.jsonl")

    def kill(done: int, _: int) -> None:
        if done >= 5:
            raise _KilledError

    with pytest.raises(_KilledError):
        run(curves(), "mo-asha", budget=12, out=out, progress=kill)
    lines = partial.read_text().splitlines()
    row = json.loads(lines[2])
    partial.write_text("\n".join([*lines[:2], json.dumps([*row[:4], 9 if row[4] == 1 else 1]), *lines[3:]]) + "\n")
    with pytest.raises(RunError, match="has changed since"):
        run(curves(), "mo-asha", budget=12, out=out)
    partial.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(RunError, match="is damaged at evaluation"):
        run(curves(), "mo-asha", budget=12, out=out)
    with pytest.raises(RunError, match="journal of another run"):
        run(curves(), "mo-asha", budget=12, out=out, workers=2)


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "budget must be an integer of at least 1, got None"),
        ({"budget": 0}, "budget must be an integer"),
        ({"budget": 5, "workers": 0}, "workers must be an integer"),
        ({"budget_seconds": 0.0}, "budget_seconds must be a positive number"),
        ({"budget_seconds": float("nan")}, "budget_seconds must be a positive number"),
        ({"budget_joules": float("inf")}, "budget_joules must be a positive number"),
        ({"budget_joules": "9"}, "budget_joules must be a positive number"),
        ({"budget_seconds": 9.0}, "'toy-v1' has no training seconds; give its budget in evaluations"),
        ({"budget": 5, "budget_joules": 9.0}, "'toy-v1' has no training joules"),
        ({"budget": 5, "workers": 2}, "'toy-v1' has no training seconds, so workers cannot be simulated"),
    ],
)
def test_what_cannot_be_counted_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        run(toy_problem(), "random", **settings)


def test_seconds_that_are_missing_for_one_architecture_are_named() -> None:
    problem = clocked()
    problem._training_costs["seconds"] = Line(objective=SECONDS, base=np.nan, slope=1.0)
    for settings in ({"budget_seconds": 9.0}, {"budget": 3, "workers": 2}):
        with pytest.raises(RunError, match=r"the training seconds of '.*' are unknown"):
            run(problem, "random", **settings)  # type: ignore[arg-type]


def test_training_costs_have_a_unit_of_theirs() -> None:
    for quantity in ("simulated_seconds", "simulated_joules"):
        with pytest.raises(ObjectiveError, match="latency_ms is in ms"):
            Problem(
                "units-v1",
                search_space=SPACE,
                terms=curves().terms,
                **{quantity: Line(objective=LATENCY, base=1.0, slope=0.0)},  # type: ignore[arg-type]
            )


# ---------------------------------------------------------------------- the command


def test_the_command_takes_seconds_and_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store_synthetic_nb201()
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", "search", "nb201-c10-fpga-v1", "--searcher", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out + printed.err

    code, text = call("random", "--budget-seconds", "30000", "--workers", "2", "--json")
    facts = json.loads(text)
    assert code == 0
    assert facts["spent"]["evaluations"] == facts["evaluations"] > 20
    assert facts["spent"]["seconds"] / 2 <= facts["clock_s"] < facts["spent"]["seconds"] <= 30000
    code, text = call("mo-asha", "--budget", "30", "--workers", "2", "--force", "--html", "page.html")
    assert code == 0
    assert "2 workers, asynchronous" in text
    code, text = call("random", "--budget-joules", "5", "--force")
    assert code == 2
    assert "no training joules" in text


# ---------------------------------------------------------------------- real tables


def test_nas_bench_201_with_12_and_200_epochs(shared: Path) -> None:
    specs = Path(__file__).parent / "specs"
    for folder, name in (("nasbench201", "nasbench201"), ("help-latency", "help_nasbench201")):
        nmo.import_source("columns", shared / folder / f"{name}.npz", spec=specs / f"{name}.yaml")
    problem = nmo.problem("nb201-c10-2080ti_1-v1")
    assert problem.id == "nb201-c10-2080ti_1-v1"  # the shorter trainings do not make it another problem
    assert (problem.fidelities, problem.continues, problem.trained_epochs(12)) == ((12, 200), False, 24)
    assert nmo.problem("nb201-c100-params-v1").trained_epochs(12) == 12
    X = problem.space.enumerate()
    early, late = (problem.evaluate(X, epochs=e)[:, 0] for e in (12, 200))
    assert 0.7 < np.corrcoef(early.argsort().argsort(), late.argsort().argsort())[0, 1] < 0.9
    found = run(problem, "mo-asha", budget_seconds=60_000, seed=0)
    assert found.epochs is not None
    np.testing.assert_allclose(np.diff(found.cost_evaluations, prepend=0), np.where(found.epochs == 12, 0.12, 1.0))
    assert found.environment["spent"]["seconds"] <= 60_000
    shares = {
        name: np.mean(
            [r.hypervolume_share() for r in run_many(problem.id, name, seeds=range(3), budget_seconds=60_000)]
        )
        for name in ("mo-asha", "random")
    }
    assert 0.8 < shares["mo-asha"] < 1.0
    assert shares["mo-asha"] > shares["random"]


def test_ec_nas_has_joules_after_4_12_36_and_108_epochs(shared: Path) -> None:
    """Its 91 cells of up to four vertices as a space of their own: most of its encodings are no cell."""
    data = np.load(shared / "ec-nas" / "ec_nas_energy.npz")
    rows = data["source"].astype(str) == "4V9E"
    names = data["module_hash"].astype(str)[rows]
    cells = sorted(set(names.tolist()))
    assert len(cells) == 91
    ecnas = CategoricalSpace("ecnas-4v", {"cell": cells})
    which = np.searchsorted(cells, names)

    def column(name: str, source: str, e: int, **fields: Any) -> Column:
        values = data[source][rows]
        here = data["epochs"][rows] == e
        means = [values[here & (which == i)].mean() for i in range(91)]
        return Column(
            objective=Objective(name=f"{name}_{e}ep", kind="measured", epochs=e, **fields), values=np.array(means)
        )

    steps = (4, 12, 36, 108)
    columns = [column("energy", "total_energy_kwh", e, unit="kwh") for e in steps]
    columns += [
        column("accuracy", "val_acc", e, unit="fraction", split="valid", direction="max", dataset="cifar10")
        for e in steps
    ]
    store_table("ecnas-4v-v1", columns, search_space=ecnas, encodings=ecnas.enumerate())

    columns_unit = {"energy": "kwh", "accuracy": "fraction"}

    def values(kind: str) -> TableValues:
        short = tuple(Fidelity(epochs=e, column=f"{kind}_{e}ep_{columns_unit[kind]}") for e in steps[:-1])
        return TableValues(table="ecnas-4v-v1", column=f"{kind}_108ep_{columns_unit[kind]}", shorter=short)

    error = Objective(name="error", unit="fraction", kind="measured", dataset="cifar10", split="valid", epochs=108)
    cost = Line(objective=LATENCY, base=0.0, slope=1.0)
    made = Problem(
        "ecnas-4v-v1",
        search_space=ecnas,
        terms=[Term(objective=error, values=values("accuracy")), Term(objective=LATENCY, values=cost)],
        simulated_joules=values("energy"),
    )
    assert made.fidelities == steps
    joules = [made.simulated_joules(ecnas.enumerate(), epochs=e).mean() for e in steps]
    assert joules[-1] == pytest.approx(0.412 * 3.6e6, rel=0.01)  # as its PROVENANCE states
    assert joules == sorted(joules)
    found = run(made, "mo-asha", budget_joules=1e7, seed=0)
    assert found.epochs is not None
    assert set(found.epochs.tolist()) == set(steps)
    paid = [made.simulated_joules(x[None], epochs=e)[0] for x, e in zip(found.X, found.epochs.tolist(), strict=True)]
    assert found.environment["spent"]["joules"] == pytest.approx(sum(paid))
    assert sum(paid) <= 1e7
