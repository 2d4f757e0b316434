"""Constraints of a problem: their text and columns, fronts and scales under them, and runs that have them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import (
    ERROR,
    LATENCY,
    opposed,
    slow_front,
    slow_hypervolume,
    store_synthetic_nb201,
    toy_problem,
    toy_space,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.benchmark import CountedValues, Manifest, OperatorValues, Problem, Term, differences
from nasbench_mo.benchmark.constraint import Constraint
from nasbench_mo.errors import ManifestError, ObjectiveError, RunError, SpecError
from nasbench_mo.experiment import Run, run_many
from nasbench_mo.experiment.storage import identity_from_dict, identity_to_dict
from nasbench_mo.objective import Objective
from nasbench_mo.pareto import front, hypervolume
from nasbench_mo.pareto.violation import bound_violation
from nasbench_mo.space import space

pytestmark = pytest.mark.usefixtures("cache")

DEMO = "nb201s-c10-eyeriss-fpga-v1"
PUBLISHED = "nb201s-c10-fpga-eyeriss5-v1"


def _named(*columns: tuple[str, str]) -> Problem:
    """A problem whose objectives have these names and units."""
    objectives = [Objective(name=name, unit=unit, kind="modelled") for name, unit in columns]
    return Problem.from_function(
        "named-v1",
        lambda X: np.stack([X[:, 0] * (j + 1.0) for j in range(len(columns))], axis=1),
        search_space=toy_space(5, 5),
        objectives=objectives,
    )


# ---------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("latency_ms <= 5", "latency_ms <= 5"),
        ("latency_ms<=5.0", "latency_ms <= 5"),
        ("  energy_mj>=2.5e-1 ", "energy_mj >= 0.25"),
        ("x_ms <= -3", "x_ms <= -3"),
        ("x_ms <= 0.1", "x_ms <= 0.1"),
    ],
)
def test_a_constraint_is_read_and_written(text: str, canonical: str) -> None:
    assert str(Constraint.parse(text)) == canonical
    assert Constraint.parse(canonical) == Constraint.parse(text)


@given(bound=st.floats(allow_nan=False, allow_infinity=False), relation=st.sampled_from(["<=", ">="]))
def test_every_bound_survives_its_text(bound: float, relation: Any) -> None:
    made = Constraint(column="latency_ms", relation=relation, bound=bound)
    assert Constraint.parse(str(made)) == made


@pytest.mark.parametrize(
    "text", ["", "latency_ms", "latency_ms < 5", "latency_ms = 5", "<= 5", "latency_ms <= five", "a b <= 5",
             "latency_ms <= 5 ms", "latency_ms <= nan", "latency_ms <= inf", "latency_ms <= 5 <= 6", 5, None]
)  # fmt: skip
def test_what_is_no_constraint_is_refused_with_the_form(text: Any) -> None:
    with pytest.raises(SpecError, match=r"COLUMN <= NUMBER.*got"):
        toy_problem().constrained(text)


@pytest.mark.parametrize(("field", "value"), [("relation", "<"), ("bound", float("inf")), ("bound", True)])
def test_an_impossible_constraint_is_refused(field: str, value: Any) -> None:
    with pytest.raises(SpecError, match="constraint on latency_ms"):
        dataclasses.replace(Constraint.parse("latency_ms <= 5"), **{field: value})


# ---------------------------------------------------------------------- columns and units


@pytest.mark.parametrize("name", ["latency_eyeriss_ms", "latency_eyeriss", "latency_ms", "latency"])
def test_a_name_may_be_a_beginning_where_one_column_has_it(name: str) -> None:
    problem = _named(("error", "percent"), ("latency_eyeriss", "ms"))
    assert str(problem.constrained(f"{name} <= 5").constraints[0]) == "latency_eyeriss_ms <= 5"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("latency_eyeriss_us", "latency_eyeriss is in milliseconds, and 'latency_eyeriss_us' in microseconds"),
        ("latency_s", "in milliseconds, and 'latency_s' in seconds; convert the number and write latency_eyeriss_ms"),
        ("eror_percent", "the columns are error_percent, latency_eyeriss_ms.* Did you mean 'error_percent'"),
        ("energy_mj", "the columns are error_percent, latency_eyeriss_ms.*got 'energy_mj'"),
        ("params_m", "got 'params_m'"),
    ],
)
def test_a_column_that_is_not_there_or_of_another_unit_is_named(name: str, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        _named(("error", "percent"), ("latency_eyeriss", "ms")).constrained(f"{name} <= 5")


def test_a_name_that_fits_two_columns_is_refused_with_both() -> None:
    with pytest.raises(ObjectiveError, match="may be latency_eyeriss_ms or latency_fpga_ms; write one"):
        nmo.problem(DEMO).constrained("latency_ms <= 5")


def test_columns_beside_the_objectives_are_counted_or_modelled() -> None:
    problem = nmo.problem("nb201s-c10-flops-v1")
    X = problem.space.sample(50, rng=np.random.default_rng(0))
    bounded = problem.constrained("params_millions <= 0.5", "latency_eyeriss_ms <= 4")
    params = CountedValues(quantity="params", dataset="cifar10").score(X)
    latency = OperatorValues(table="nb201-eyeriss-latency-modelled-v1", column="latency_eyeriss_ms").score(X)
    expected = np.maximum(params / 0.5 - 1, 0) + np.maximum(latency / 4 - 1, 0)
    np.testing.assert_allclose(bounded.violation(X), expected)
    np.testing.assert_array_equal(bounded.feasible(X), (params <= 0.5) & (latency <= 4))
    with pytest.raises(ObjectiveError, match="which is no objective; give architectures"):
        bounded.violation(problem.evaluate(X))
    assert bounded.data_hash != problem.data_hash  # the added columns decide what is feasible
    assert problem.constrained("flops <= 50").data_hash == problem.data_hash


def test_a_suggestion_names_columns_beside_the_objectives() -> None:
    with pytest.raises(ObjectiveError, match=r"Did you mean .*'params_millions'"):
        nmo.problem("nb201s-c10-flops-v1").constrained("params_m <= 0.5")


def test_counts_depend_on_the_dataset_and_none_is_guessed() -> None:
    assert "params_millions" in nmo.problem("nb201s-in16-flops-v1").constrained("params <= 0.5").constraint_set.beside
    with pytest.raises(ObjectiveError, match="the columns are error_percent, flops_millions, params_millions"):
        nmo.problem("nb201s-c100-flops-v1").constrained("latency_eyeriss_ms <= 5")  # modelled for CIFAR-10 images
    function = Problem.from_function("f-v1", opposed, search_space=space("nb201"), objectives=[ERROR, LATENCY])
    with pytest.raises(ObjectiveError, match="the columns are error_percent, latency_ms; got"):
        function.constrained("params <= 1")


# ---------------------------------------------------------------------- what holds


def test_constraints_are_in_a_fixed_order_and_the_tightest_holds() -> None:
    problem = toy_problem(6, 6)
    one = problem.constrained("latency_ms <= 9", "error_percent >= 1", "error_percent <= 5")
    other = problem.constrained("error <= 5", "latency <= 12").constrained("latency <= 9", "error>=0", "error>=1.0")
    assert one.constraint_set.texts == ("error_percent <= 5", "error_percent >= 1", "latency_ms <= 9")
    assert other.constraint_set.texts == one.constraint_set.texts
    assert one.constrained("latency_ms <= 10") is one
    assert problem.constraints == () and not problem.violation(problem.space.enumerate()).any()
    assert "subject to error_percent <= 5 and" in repr(one)


def test_constraints_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SpecError, match=r"'latency_ms <= 3' and 'latency_ms >= 4' contradict"):
        toy_problem().constrained("latency_ms <= 3").constrained("latency_ms >= 4")
    assert toy_problem().constrained("latency_ms <= 3", "latency_ms >= 3").constraints


def test_constraints_that_nothing_keeps_are_refused_with_the_ranges() -> None:
    with pytest.raises(SpecError, match=r"no architecture keeps latency_eyeriss_ms <= 1; .* lies in 1\.67954\.\."):
        nmo.problem(DEMO).constrained("latency_eyeriss_ms <= 1")
    with pytest.raises(SpecError, match="no architecture keeps error_percent <= 9 and latency_fpga_ms <= 2"):
        nmo.problem(DEMO).constrained("error <= 9", "latency_fpga <= 2")


def test_a_function_is_not_called_to_see_whether_constraints_can_be_kept() -> None:
    def never(X: NDArray[Any]) -> NDArray[np.float64]:
        raise AssertionError("called")

    made = Problem.from_function("f-v1", never, search_space=toy_space(4, 4), objectives=[ERROR, LATENCY])
    assert made.constrained("latency_ms <= 1").constraints
    with pytest.raises(ManifestError, match="no architecture keeps latency_ms <= -1; loosen"):
        toy_problem().constrained("latency_ms <= -1").manifest  # noqa: B018


@given(
    F=st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=8),
    low=st.floats(-9, 0),
    high=st.floats(0, 9),
)
def test_violation_is_zero_inside_and_grows_outside(F: list[tuple[float, float]], low: float, high: float) -> None:
    values = np.array(F)
    found = bound_violation(values, lower=[low, -np.inf], upper=[high, high])
    inside = (values[:, 0] >= low) & (values <= high).all(axis=1)
    np.testing.assert_array_equal(found == 0, inside)
    farther = bound_violation(values + 1.0, lower=[-np.inf] * 2, upper=[high, high])
    assert (farther >= bound_violation(values, upper=[high, high])).all()


def test_excesses_are_shares_of_their_bounds() -> None:
    values = [[5.5, -1.0], [4.0, 3.0], [11.0, 0.0]]
    np.testing.assert_allclose(bound_violation(values, upper=[5.0, 0.0]), [0.1, 3.0, 1.2])
    np.testing.assert_allclose(bound_violation(values, lower=[5.0, 0.0]), [1.0, 0.2, 0.0])


def test_violation_of_values_of_architectures_and_of_observed_values_agree() -> None:
    problem = toy_problem(6, 6).constrained("latency_ms <= 9", "error >= 2")
    X = problem.space.enumerate()
    F = problem.evaluate(X)
    expected = np.maximum(F[:, 1] / 9 - 1, 0) + np.maximum(1 - F[:, 0] / 2, 0)
    np.testing.assert_allclose(problem.violation(F), expected)
    np.testing.assert_allclose(problem.violation(X), expected)
    np.testing.assert_allclose(problem.violation(problem.space.decode(X)), expected)
    np.testing.assert_array_equal(problem.violation(X, F=F + 100), problem.violation(F + 100))
    assert problem.feasible(X).sum() == (expected == 0).sum() > 0


# ---------------------------------------------------------------------- fronts and manifests


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), m=st.integers(2, 3), q=st.floats(0.2, 0.9), at_least=st.booleans())
def test_front_scale_and_hypervolume_are_those_of_what_is_feasible(seed: int, m: int, q: float, at_least: bool) -> None:
    table = np.random.default_rng(seed).integers(1, 9, size=(30, m)).astype(float)
    table[:m] = 9 * (1 - np.eye(m))
    toy = toy_space(5, 6)
    objectives = [dataclasses.replace(LATENCY, name=f"cost_{j}") for j in range(m)]
    problem = Problem.from_function("t-v1", lambda X: table[toy.codes(X)], search_space=toy, objectives=objectives)
    bounds = [f"cost_0_ms <= {np.quantile(table[:, 0], q)}"] + ["cost_1_ms >= 2"] * at_least
    made = problem.constrained(*bounds)
    kept = (table[:, 0] <= np.quantile(table[:, 0], q)) & ((table[:, 1] >= 2) | (not at_least))
    best = slow_front(table[kept])
    whole = slow_front(table)
    ideal, nadir = best.min(axis=0), best.max(axis=0)
    nadir = np.where(nadir > ideal, nadir, ideal + np.ptp(whole, axis=0))  # one value: the range of the whole front
    facts = made.manifest.score
    np.testing.assert_array_equal(made.true_front(), best)
    np.testing.assert_array_equal(facts.ideal, ideal)
    np.testing.assert_allclose(facts.nadir, nadir)
    assert (facts.front_size, made.manifest.n_infeasible) == (len(best), (~kept).sum())
    expected = slow_hypervolume((best - ideal) / (nadir - ideal), reference=[1.1] * m)
    assert facts.hypervolume == pytest.approx(expected, rel=1e-9)
    assert made.hypervolume_share(problem.evaluate(toy.enumerate())) == pytest.approx(1.0, rel=1e-12)
    assert made.hypervolume(table[~kept]) == 0
    assert problem.manifest.constraints == ()  # the problem itself stays as it was


def test_a_manifest_keeps_its_constraints_and_one_without_is_written_as_before() -> None:
    plain = toy_problem(5, 5)
    made = plain.constrained("latency_ms <= 9").manifest
    assert Manifest.from_json(made.to_json()) == made
    assert made.constraints == ("latency_ms <= 9",)
    assert not {"constraints", "n_infeasible"} & set(json.loads(plain.manifest.to_json()))
    assert any("constraints: published" in d for d in differences(plain.manifest, made))


def test_a_published_problem_may_have_constraints() -> None:
    problem = nmo.problem(PUBLISHED)
    assert problem.constraint_set.texts == problem.manifest.constraints == ("latency_eyeriss_ms <= 5",)
    unconstrained = nmo.problem("nb201s-c10-fpga-v1")
    assert problem.manifest.score.hypervolume != unconstrained.manifest.score.hypervolume
    made = unconstrained.constrained("latency_eyeriss_ms <= 5").manifest
    assert (made.score, made.data_hash) == (problem.manifest.score, problem.manifest.data_hash)
    run = nmo.run(problem, "nsga2", budget=40)
    assert run.identity.constraints == problem.constraint_set.texts


def test_noisy_and_test_values_are_judged_by_their_own() -> None:
    store_synthetic_nb201()
    base = nmo.problem("nb201-c10-fpga-v1")
    bound = float(base.true_front()[7, 0])  # the front ends where what is infeasible begins
    problem = base.constrained(f"error_percent <= {bound}")
    X = problem.space.enumerate()
    X = X[~problem.space.degenerate(X)]
    for view, facts in (("score", problem.manifest.score), ("test", problem.manifest.test)):
        F = problem.evaluate(X, on=view)
        assert facts is not None
        assert facts.front_size == len(front(F[F[:, 0] <= bound]))
    lucky = []
    for noise_seed in range(4):
        run = nmo.run(problem, "random", budget=400, noise_seed=noise_seed)
        np.testing.assert_array_equal(run.infeasible, ~run.degenerate & (run.F[:, 0] > bound))
        assert (run.front().F[:, 0] <= bound).all()
        scored = problem.evaluate(run.front().X)
        kept = scored[scored[:, 0] <= bound]  # one that was only lucky does not count
        reference = np.asarray(problem.manifest.reference_point)
        expected, naive = (hypervolume(problem.normalize(F), reference=reference) for F in (kept, scored))
        lucky.append(naive - expected)
        assert run.hypervolume() == pytest.approx(expected)
        assert run.hypervolume_curve()[-1] == pytest.approx(run.hypervolume_share())
    assert max(lucky) > 1e-4


def test_networks_with_accelerators_are_constrained_without_writing_them_out() -> None:
    problem = nmo.problem("nb201-x-fpga-v1")
    column = problem.objectives[1].column
    middle = float(np.median(problem.true_front()[:, 1]))
    made = problem.constrained(f"{column} <= {middle!r}")
    best = problem.true_front()
    best = best[best[:, 1] <= middle]
    np.testing.assert_array_equal(made.true_front(), best)
    np.testing.assert_array_equal(made.manifest.score.nadir, best.max(axis=0))
    assert made.manifest.score.fingerprint == problem.manifest.score.fingerprint
    assert made.hypervolume_share(problem.true_front()) == pytest.approx(1.0)
    from_below = problem.constrained(f"{column} >= {middle!r}")
    assert not from_below.has_manifest
    assert nmo.run(from_below, "random", budget=20).infeasible.any()
    with pytest.raises(ManifestError, match="only known under upper bounds"):
        from_below.true_front()


# ---------------------------------------------------------------------- runs


@pytest.mark.parametrize("searcher", ["random", "nsga2"])
def test_a_run_has_its_constraints_survives_its_file_and_is_resumed(searcher: str, tmp_path: Path) -> None:
    problem = nmo.problem(DEMO).constrained("latency_eyeriss_ms <= 3", "params_millions <= 0.5")

    def interrupt(done: int, budget: int) -> None:
        if done > 50:
            raise KeyboardInterrupt

    whole = nmo.run(problem, searcher, budget=80, seed=2)
    out = tmp_path / "run.parquet"
    with pytest.raises(KeyboardInterrupt):
        nmo.run(problem, searcher, budget=80, seed=2, out=out, progress=interrupt)
    with pytest.raises(RunError, match="journal of another run"):
        nmo.run(nmo.problem(DEMO), searcher, budget=80, seed=2, out=out)
    resumed = nmo.run(problem, searcher, budget=80, seed=2, out=out)
    assert resumed.archs == whole.archs
    loaded = Run.load(out)
    assert loaded.identity == whole.identity
    assert loaded.identity.constraints == ("latency_eyeriss_ms <= 3", "params_millions <= 0.5")
    np.testing.assert_array_equal(loaded.infeasible, whole.infeasible)
    np.testing.assert_array_equal(loaded.infeasible, ~loaded.degenerate & ~problem.feasible(loaded.X))
    np.testing.assert_array_equal(loaded.F, problem.evaluate(loaded.X))  # true values, whatever the searcher was told
    assert loaded.front().archs == whole.front().archs
    assert loaded.hypervolume_share() == whole.hypervolume_share()  # the file says which problem, and its constraints
    assert loaded.problem.constraints == problem.constraints
    assert set(loaded.to_pandas()["status"]) <= {"ok", "infeasible", "degenerate"}


def test_the_front_of_a_run_is_that_of_its_feasible_evaluations() -> None:
    problem = nmo.problem(DEMO).constrained("latency_fpga_ms <= 3")
    run = nmo.run(problem, "random", budget=300, seed=1)
    usable = ~problem.space.degenerate(run.X) & (run.F[:, 2] <= 3)
    np.testing.assert_array_equal(np.unique(run.front().F, axis=0), slow_front(run.F[usable]))
    facts = problem.manifest.score
    scaled = (slow_front(run.F[usable]) - facts.ideal) / (np.array(facts.nadir) - facts.ideal)
    assert run.hypervolume() == pytest.approx(slow_hypervolume(scaled, reference=[1.1] * 3))
    assert run.hypervolume_curve()[-1] == pytest.approx(run.hypervolume_share())


def test_the_curve_is_that_of_the_feasible_evaluations_so_far() -> None:
    """What is infeasible dominates much of what is not, and must neither count nor push it out."""
    problem = nmo.problem(DEMO).constrained("error >= 10", "latency_fpga >= 2.5", "flops <= 60")
    run = nmo.run(problem, "random", budget=120, seed=1)
    usable = ~run.degenerate & problem.feasible(run.X)
    for n in (5, 20, 50, 120):
        expected = problem.hypervolume_share(run.F[:n][usable[:n]])
        assert run.hypervolume_curve()[n - 1] == pytest.approx(expected)
    assert run.hypervolume_share() == pytest.approx(expected) and expected > 0.1


def test_a_run_that_found_nothing_feasible_has_no_front() -> None:
    problem = toy_problem(9, 9, 9).constrained("latency_ms <= 0")
    run = nmo.run(problem, "random", budget=3, seed=1)
    assert run.infeasible.all() and len(run.front()) == 0
    assert run.hypervolume() == run.hypervolume_share() == 0.0
    assert not run.hypervolume_curve().any()


def test_a_run_without_constraints_is_written_as_before_there_were_any() -> None:
    old = identity_to_dict(nmo.run(toy_problem(), "random", budget=3).identity)
    assert "constraints" not in old
    assert identity_from_dict(old).constraints == ()


def test_a_file_that_calls_evaluations_infeasible_without_constraints_is_refused(tmp_path: Path) -> None:
    run = nmo.run(nmo.problem(DEMO), "random", budget=5)
    run.infeasible[:] = True
    run.save(tmp_path / "run.parquet")
    with pytest.raises(RunError, match="status column"):
        Run.load(tmp_path / "run.parquet")


def test_a_problem_under_other_constraints_does_not_fit_the_run(tmp_path: Path) -> None:
    problem = nmo.problem(DEMO)
    nmo.run(problem, "random", budget=5, out=tmp_path / "run.parquet")
    loaded = Run.load(tmp_path / "run.parquet", problem=problem.constrained("latency_fpga_ms <= 3"))
    with pytest.raises(RunError, match="made under no constraints; the problem has latency_fpga_ms <= 3"):
        loaded.hypervolume()


def test_many_runs_may_be_constrained() -> None:
    one, other = run_many(DEMO, "nsga2", seeds=[0, 1], budget=30, constraints=["latency_fpga_ms <= 3"])
    assert one.identity.constraints == other.identity.constraints == ("latency_fpga_ms <= 3",)
    assert one.archs == nmo.run(nmo.problem(DEMO).constrained("latency_fpga_ms <= 3"), "nsga2", budget=30).archs


def test_a_problem_may_be_made_with_constraints() -> None:
    terms = [
        Term(objective=values.origin, values=values)
        for values in (CountedValues(quantity=quantity, dataset="cifar10") for quantity in ("params", "flops"))
    ]
    made = Problem("p-v1", search_space=space("nb201"), terms=terms, constraints=["params <= 0.5"])
    assert made.constraint_set.texts == ("params_millions <= 0.5",)
    assert made.has_manifest
    with pytest.raises(SpecError, match="no architecture keeps"):
        Problem("p-v1", search_space=space("nb201"), terms=terms, constraints=["params <= 0"])


# ---------------------------------------------------------------------- command line


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        from nasbench_mo.cli import main

        monkeypatch.setattr(sys, "argv", ["nasbench-mo", *arguments])
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_command_searches_under_constraints_and_towards_a_preference(call: Callable[..., Any]) -> None:
    bounds = ("--constraint", "latency_eyeriss_ms <= 4", "--constraint", "params<=0.7")
    code, text, _ = call("search", DEMO, "--budget", "60", *bounds, "--html", "front.html")
    assert code == 0
    assert "subject to latency_eyeriss_ms <= 4 and params_millions <= 0.7: " in text
    assert "HV/HV*" in text
    assert "params_millions" in Path("front.html").read_text(encoding="utf-8")
    made = Run.load("run.parquet")
    assert (made.front().F[:, 1] <= 4).all()
    arguments = ("--searcher", "r-nsga2", "--prefer", "error=9, latency_eyeriss_ms=3,latency_fpga=2", "--json")
    facts = json.loads(call("search", DEMO, "--budget", "30", *arguments, *bounds, "--out", "b.parquet")[1])
    assert facts["constraints"] == ["latency_eyeriss_ms <= 4", "params_millions <= 0.7"]
    assert facts["infeasible"] == int(Run.load("b.parquet").infeasible.sum())
    assert Run.load("b.parquet").identity.searcher_options["aspiration"] == "9,3,2"


def test_show_says_what_a_problem_is_subject_to(call: Callable[..., Any]) -> None:
    assert "subject to: latency_eyeriss_ms <= 5" in call("show", PUBLISHED)[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--constraint", "latency_fpga_ms < 5"), ["COLUMN <= NUMBER", "latency_fpga_ms < 5"]),
        (("--constraint", "latency_fpga_us <= 5"), ["microseconds", "latency_fpga_ms"]),
        (("--constraint", "latency_tpu_ms <= 5"), ["Did you mean", "latency_fpga_ms"]),
        (("--constraint", "latency_fpga_ms <= 0.1"), ["no architecture keeps", "lies in"]),
        (("--constraint", "error <= 9", "--constraint", "error >= 10"), ["contradict"]),
        (("--prefer", "error=9"), ["takes no preference", "'default'", "'r-nsga2'"]),
        (("--searcher", "r-nsga2", "--prefer", "error=9"), ["3 numbers", "every objective"]),
        (("--searcher", "default", "--prefer", "error"), ["COLUMN=NUMBER"]),
        (("--searcher", "default", "--prefer", "error=9,error=10"), ["each column once"]),
        (("--searcher", "default", "--prefer", "eror=9"), ["error_percent"]),
        (("--searcher", "default", "--prefer", "error=nan"), ["finite"]),
        (("--searcher", "default", "--prefer", "error=9", "--option", "reference=9,-,-"), ["one of the two"]),
    ],
)
def test_wrong_constraints_and_preferences_are_one_sentence_and_exit_2(
    call: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    code, out, message = call("search", DEMO, "--budget", "10", *arguments)
    assert (code, out) == (2, "")
    assert message.startswith("error: ") and message.count("\n") == 1
    assert all(word in message for word in words), message
    assert [p for p in tmp_path.iterdir() if p.suffix == ".parquet"] == []
