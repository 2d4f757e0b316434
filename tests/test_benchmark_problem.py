"""Problems, their views (observed, scored, tested) and their manifests."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import (
    ACCURACY_TABLE,
    ERROR,
    LATENCY,
    PREDICTED,
    ROOT,
    accuracy_column,
    curve_problem,
    opposed,
    slow_front,
    slow_hypervolume,
    store_synthetic_nb201,
    store_table,
    toy_problem,
    toy_space,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

import nasbench_mo as nmo
from nasbench_mo import artifacts
from nasbench_mo.benchmark import (
    CountedValues,
    Fidelity,
    FrontFacts,
    FunctionValues,
    Manifest,
    Problem,
    ProblemSpec,
    TableValues,
    Term,
    compute_manifest,
    differences,
    manifest_report,
    problem_names,
    published_manifest,
)
from nasbench_mo.benchmark.catalogue import CATALOGUE, DEMO_PROBLEM, SOURCE_OF, open_unchecked
from nasbench_mo.benchmark.manifest import REFERENCE
from nasbench_mo.errors import (
    ArchitectureError,
    ArtifactError,
    FrontError,
    ManifestError,
    MissingValueError,
    ObjectiveError,
    SpecError,
    UnknownNameError,
)
from nasbench_mo.objective import Objective
from nasbench_mo.sources import SOURCES, import_source
from nasbench_mo.space import space
from nasbench_mo.table import Column

EMBEDDED = [name for name in CATALOGUE if name.startswith(("nb201s-", "nb201-gtsrb16-"))]
IMPORTED = [
    name for name in CATALOGUE if name.startswith("nb201-") and not name.startswith(("nb201-x-", "nb201-gtsrb16-"))
]
# co-design: test_codesign; spaces without an exact front: test_large_spaces


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Path]:
    """A cache with the real NAS-Bench-201 accuracies and latencies, imported once."""
    cache = tmp_path_factory.mktemp("real-cache")
    specs = ROOT / "tests" / "specs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_MO_CACHE", str(cache))
        import_source("columns", shared / "nasbench201" / "nasbench201.npz", spec=specs / "nasbench201.yaml")
        import_source("columns", shared / "help-latency" / "help_nasbench201.npz", spec=specs / "help_nasbench201.yaml")
    yield cache


# ---------------------------------------------------------------------- functions and forms of an architecture


def test_scores_are_the_functions_values_in_order() -> None:
    problem = toy_problem(4, 4, 3)
    X = problem.space.enumerate()
    np.testing.assert_array_equal(problem.evaluate(X), opposed(X.astype(int)))


@settings(deadline=None, max_examples=40)
@given(codes=st.lists(st.integers(0, 47), min_size=1, max_size=20))
def test_strings_encodings_and_single_architectures_agree(codes: list[int]) -> None:
    problem = toy_problem(4, 4, 3)
    X = problem.space.from_codes(codes)
    strings = problem.space.decode(X)
    F = problem.evaluate(X)
    for same in (strings, tuple(strings), np.array(strings), X.astype(np.int64), X.tolist()):
        np.testing.assert_array_equal(problem.evaluate(same), F)
    for i, (string, row) in enumerate(zip(strings, X, strict=True)):
        for one in (string, tuple(row.tolist()), row.tolist(), row):
            np.testing.assert_array_equal(problem.evaluate_one(one), F[i])


@pytest.mark.parametrize("form", ["string", "tuple", "row"])
def test_one_architecture_of_an_embedded_problem(form: str) -> None:
    """All 15,625 codes exceed int8: a code computed in the encoding's own type would overflow."""
    problem = nmo.problem(DEMO_PROBLEM)
    X = problem.space.enumerate()[::701]
    F = problem.evaluate(X)
    for string, row, expected in zip(problem.space.decode(X), X, F, strict=True):
        one = {"string": string, "tuple": tuple(row.tolist()), "row": row}[form]
        found = problem.evaluate_one(one)
        np.testing.assert_array_equal(found, expected)
        assert not found.flags.writeable


def test_evaluation_does_not_write_into_its_argument_nor_share_memory_with_the_problem() -> None:
    problem = nmo.problem(DEMO_PROBLEM)
    X = problem.space.enumerate()[:50]
    before = X.copy()
    F = problem.evaluate(X)
    first = F.copy()
    F[:] = -1.0
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(problem.evaluate(X), first)


def test_a_function_gets_int64_that_it_may_modify() -> None:
    def careless(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        assert X.dtype == np.int64
        X *= 100  # overflows int8, the type of the space's own encodings
        return np.stack([X.sum(axis=1), -X.sum(axis=1)], axis=1)

    problem = Problem.from_function("t-v1", careless, search_space=toy_space(4, 4), objectives=[ERROR, LATENCY])
    X = problem.space.enumerate()
    before = X.copy()
    np.testing.assert_array_equal(problem.evaluate(X)[:, 0], 100 * before.astype(int).sum(axis=1))
    np.testing.assert_array_equal(X, before)


def test_a_function_is_called_once_a_query_and_only_for_what_is_asked() -> None:
    calls: list[int] = []

    def counted(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        calls.append(len(X))
        return opposed(X)

    problem = Problem.from_function("t-v1", counted, search_space=toy_space(4, 4), objectives=[ERROR, LATENCY])
    problem.evaluate(problem.space.from_codes([0, 5]))
    problem.observation(3).evaluate(problem.space.from_codes([1, 2, 3]))
    assert calls == [2, 3]
    assert problem.hypervolume_share(problem.evaluate(problem.space.enumerate())) == pytest.approx(1)
    assert calls == [2, 3, 16, 16]  # the query, then the manifest


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (4, 2)])
def test_a_function_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    problem = Problem.from_function(
        "t-v1", lambda X: np.zeros(shape), search_space=toy_space(4, 4), objectives=[ERROR, LATENCY]
    )
    with pytest.raises(ObjectiveError, match=r"error_percent, latency_ms must return shape \(5, 2\), got"):
        problem.evaluate(problem.space.from_codes(range(5)))
    single = Problem(
        "t-v1",
        search_space=toy_space(4, 4),
        terms=[Term(objective=ERROR, values=FunctionValues(objective=ERROR, function=lambda X: np.zeros((5, 2))))],
    )
    with pytest.raises(ObjectiveError, match=r"must return shape \(5,\), got \(5, 2\)"):
        single.evaluate(single.space.from_codes(range(5)))


def test_a_space_too_large_to_enumerate_is_evaluated_on_demand_and_has_no_hypervolume() -> None:
    problem = toy_problem(*[9] * 10)
    assert not problem.space.enumerable
    X = problem.space.sample(7, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(problem.evaluate(X), opposed(X.astype(int)))
    np.testing.assert_array_equal(problem.observation(0).evaluate(X), problem.evaluate(X))
    np.testing.assert_array_equal(problem.evaluate_one(problem.space.decode(X)[0]), problem.evaluate(X)[0])
    with pytest.raises(ManifestError, match=r"toy-v1.*no manifest.*compute_manifest"):
        problem.hypervolume(problem.evaluate(X))


@pytest.mark.parametrize(
    ("archs", "message"),
    [
        (["v0=0,v1=0,v2=0", "v0=9,v1=0,v2=0"], r"'v0=9,v1=0,v2=0' is not an architecture of 'toy'"),
        ([[0, 0, 0], [0, 4, 0]], r"row 1, variable 1: expected 0\.\.3, got 4"),
        ([[0, 0, -1]], r"row 0, variable 2: expected 0\.\.2, got -1"),
        (np.array([[0, 0, 3]], dtype=np.int8), r"variable 2: expected 0\.\.2, got 3"),
        ([[0, 0]], r"expected encodings of shape \(n, 3\), got shape \(1, 2\)"),
        ([0, 0, 0], r"expected encodings of shape \(n, 3\), got shape \(3,\)"),
        ([[0.0, 0.0, 0.0]], "expected integer encodings, got dtype float64"),
        (np.zeros((1, 3), dtype=bool), "expected integer encodings, got dtype bool"),
    ],
)
def test_an_architecture_outside_the_space_is_named(archs: Any, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        toy_problem(4, 4, 3).evaluate(archs)


@pytest.mark.parametrize("arch", ["v0=9", (0, 0), (0, 0, 3), (0, 0, -1)])
def test_one_architecture_outside_the_space_is_refused(arch: Any) -> None:
    with pytest.raises(ArchitectureError):
        toy_problem(4, 4, 3).evaluate_one(arch)
    with pytest.raises(ArchitectureError):
        nmo.problem(DEMO_PROBLEM).evaluate_one(arch)


# ---------------------------------------------------------------------- what a search may not see


@pytest.mark.parametrize("split", ["test", "validtest"])
def test_an_objective_of_a_hidden_split_is_refused(split: Any) -> None:
    hidden = dataclasses.replace(ERROR, split=split)
    with pytest.raises(ObjectiveError, match=rf"split '{split}'; a search may not see test"):
        Problem.from_function("t-v1", opposed, search_space=toy_space(4, 4), objectives=[hidden, LATENCY])


def _toy_columns(**splits: str | None) -> list[Column]:
    values = np.arange(16.0)
    return [accuracy_column(name, values, split=split) for name, split in splits.items()]


@pytest.mark.parametrize("split", ["test", "validtest"])
@pytest.mark.parametrize("place", ["column", "seed_columns"])
def test_a_table_column_of_a_hidden_split_is_refused_whatever_the_objective_says(split: str, place: str) -> None:
    toy = toy_space(4, 4)
    columns = _toy_columns(shown_accuracy="valid", hidden_accuracy=split)
    store_table("t-v1", columns, search_space=toy, encodings=toy.enumerate())
    values = (
        TableValues(table="t-v1", column="hidden_accuracy_percent")
        if place == "column"
        else TableValues(table="t-v1", column="shown_accuracy_percent", seed_columns=("hidden_accuracy_percent",))
    )
    objective = Objective(name="error", unit="percent", kind="measured", split="valid")
    with pytest.raises(ObjectiveError, match=rf"hidden_accuracy_percent is of split '{split}'"):
        Problem("p-v1", search_space=toy, terms=[Term(objective=objective, values=values)])


def test_a_maximised_objective_is_refused() -> None:
    better = Objective(name="accuracy", unit="percent", kind="measured", direction="max")
    with pytest.raises(ObjectiveError, match="accuracy_percent must be minimised"):
        Problem.from_function("t-v1", opposed, search_space=toy_space(4, 4), objectives=[better, LATENCY])


def test_an_objective_that_labels_values_of_another_unit_is_refused() -> None:
    toy = toy_space(4, 4)
    slow = Column(objective=Objective(name="latency", unit="us", kind="measured"), values=np.arange(16.0))
    store_table("t-v1", [slow], search_space=toy, encodings=toy.enumerate())
    with pytest.raises(ObjectiveError, match=r"latency_ms is in ms, but its values \(latency_us\) are in us"):
        Problem(
            "p-v1",
            search_space=toy,
            terms=[Term(objective=LATENCY, values=TableValues(table="t-v1", column="latency_us"))],
        )


def test_a_problem_needs_objectives_of_different_names() -> None:
    with pytest.raises(SpecError, match="no objectives"):
        Problem("p-v1", search_space=toy_space(2), terms=[])
    with pytest.raises(SpecError, match="different names; got error_percent, error_percent"):
        Problem.from_function("p-v1", opposed, search_space=toy_space(4, 4), objectives=[ERROR, ERROR])


# ---------------------------------------------------------------------- tables: direction, missing values, test


def test_an_accuracy_column_is_scored_as_an_error_and_tested_on_its_test_column() -> None:
    problem = _seeded_problem(n_missing=0)
    X = problem.space.enumerate()
    table = nmo.table("seeded-v1")
    np.testing.assert_allclose(problem.evaluate(X)[:, 0], 100 - table["valid_accuracy_mean_percent"])
    np.testing.assert_allclose(problem.evaluate(X, on="test")[:, 0], 100 - table["test_accuracy_percent"])
    np.testing.assert_array_equal(problem.evaluate(X)[:, 1], table["latency_ms"])
    np.testing.assert_array_equal(problem.evaluate(X, on="test")[:, 1], table["latency_ms"])


@pytest.mark.parametrize("problem_of", [lambda: nmo.problem(PREDICTED), lambda: toy_problem(4, 4)])
def test_test_values_that_do_not_exist_are_refused(problem_of: Any) -> None:
    problem = problem_of()
    X = problem.space.from_codes([0])
    for view in ("test", "score "):
        with pytest.raises(ObjectiveError):
            problem.evaluate(X, on=view)
    with pytest.raises(ObjectiveError, match="has no test values"):
        problem.hypervolume(problem.evaluate(X), on="test")
    assert problem.manifest.test is None


def test_a_validation_column_is_not_its_own_test_column() -> None:
    toy = toy_space(4, 4)
    store_table("t-v1", _toy_columns(valid_accuracy="valid"), search_space=toy, encodings=toy.enumerate())
    values = TableValues(table="t-v1", column="valid_accuracy_percent")
    problem = Problem("p-v1", search_space=toy, terms=[Term(objective=ERROR, values=values)])
    with pytest.raises(ObjectiveError, match="no test values of error_percent"):
        problem.evaluate(toy.enumerate(), on="test")


def _table_problem(values: np.ndarray[Any, Any], *, encodings: np.ndarray[Any, Any]) -> Problem:
    toy = toy_space(4, 4)
    column = Column(objective=LATENCY, values=values)
    store_table("t-v1", [column], search_space=toy, encodings=encodings)
    return Problem(
        "p-v1",
        search_space=toy,
        terms=[Term(objective=LATENCY, values=TableValues(table="t-v1", column="latency_ms"))],
    )


@pytest.mark.parametrize("absent", ["NaN", "row"])
def test_a_missing_value_is_named_and_the_others_are_answered(absent: str) -> None:
    X = toy_space(4, 4).enumerate()
    values = np.arange(16.0)
    if absent == "NaN":
        values[6] = np.nan
        problem = _table_problem(values, encodings=X)
    else:
        shuffled = np.random.default_rng(0).permutation(np.delete(np.arange(16), 6))
        problem = _table_problem(values[shuffled], encodings=X[shuffled])
    present = np.delete(np.arange(16), 6)
    np.testing.assert_array_equal(problem.evaluate(X[present])[:, 0], values[present])
    np.testing.assert_array_equal(problem.evaluate_one("v0=1,v1=1"), [5.0])
    for query in (lambda: problem.evaluate(X), lambda: problem.evaluate_one((1, 2))):
        with pytest.raises(MissingValueError, match=r"no latency_ms for 'v0=1,v1=2' \(1 values missing"):
            query()


def test_measured_layers_are_summed_over_the_live_operations() -> None:
    problem = nmo.problem("nb201s-c10-epyc-v1")
    nb201 = problem.space
    dead = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"  # the convolution leads nowhere
    skip = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    column = problem.evaluate(nb201.encode([dead, skip]))[:, 1]
    assert column[0] == column[1] > 0
    twice = "|avg_pool_3x3~0|+|avg_pool_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|"
    once = "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|skip_connect~1|skip_connect~2|"
    assert problem.evaluate([twice])[0, 1] == problem.evaluate([once])[0, 1]  # the runtime merges equal poolings
    assert problem.objectives[1].kind == "derived"  # the layers were measured, not the network
    assert set(problem.known_objectives()) == {1}


def test_costs_that_count_dead_operations_are_not_joined_with_those_that_do_not() -> None:
    ours, theirs = (nmo.problem(f"nb201s-c10-{name}-v1").terms[1] for name in ("epyc", "fpga"))
    with pytest.raises(
        ObjectiveError, match="'latency_epyc_us' counts live operations and 'latency_fpga_ms' counts all"
    ):
        Problem("mixed", search_space=space("nb201"), terms=[ours, theirs])


def test_counted_values_are_of_nb201_only() -> None:
    with pytest.raises(SpecError, match="'params' or 'flops'"):
        CountedValues(quantity="depth", dataset="cifar10").score(space("nb201").from_codes([0]))


# ---------------------------------------------------------------------- the noise protocol


def _seeded_problem(*, n_missing: int, id: str = "noisy-v1") -> Problem:
    """7,776 architectures with three training seeds; the accuracy of run s of architecture i is unique to both."""
    toy = toy_space(*[6] * 5)
    n = toy.size
    runs = (np.arange(n)[:, None] + np.array([0.0, 0.2, 0.5])) / n
    missing = np.random.default_rng(1).permutation(n)[:n_missing]
    runs[missing, np.arange(n_missing) % 3] = np.nan
    columns = [accuracy_column(f"valid_accuracy_s{s}", runs[:, s], seed=s) for s in range(3)]
    columns += [
        accuracy_column("valid_accuracy_mean", np.nanmean(runs, axis=1), seed="mean"),
        accuracy_column("test_accuracy", np.arange(n)[::-1] / n, split="test"),
        Column(objective=LATENCY, values=np.arange(n)[::-1].astype(float)),
    ]
    store_table("seeded-v1", columns, search_space=toy, encodings=toy.enumerate())
    values = TableValues(
        table="seeded-v1",
        column="valid_accuracy_mean_percent",
        seed_columns=tuple(f"valid_accuracy_s{s}_percent" for s in range(3)),
        test_column="test_accuracy_percent",
    )
    cost = TableValues(table="seeded-v1", column="latency_ms")
    terms = [Term(objective=ERROR, values=values), Term(objective=LATENCY, values=cost)]
    return Problem(id, search_space=toy, terms=terms)


def _drawn_run(problem: Problem, noise_seed: int) -> np.ndarray[Any, Any]:
    """Which of the three runs is seen of each architecture; -1 where the value is none of them."""
    X = problem.space.enumerate()
    runs = problem.terms[0].values.seeds(X)
    assert runs is not None
    seen = problem.observation(noise_seed).evaluate(X)[:, :1]
    return np.where((runs == seen).any(axis=1), np.argmax(runs == seen, axis=1), -1)


def test_a_search_sees_one_existing_run_of_each_architecture() -> None:
    problem = _seeded_problem(n_missing=4000)
    runs = problem.terms[0].values.seeds(problem.space.enumerate())
    assert runs is not None
    for noise_seed in (0, 1, 2**40):
        drawn = _drawn_run(problem, noise_seed)
        assert (drawn >= 0).all()
        assert np.isfinite(runs[np.arange(len(drawn)), drawn]).all()


def test_existing_runs_are_drawn_uniformly() -> None:
    problem = _seeded_problem(n_missing=4000)
    runs = problem.terms[0].values.seeds(problem.space.enumerate())
    assert runs is not None
    exists = np.isfinite(runs)
    drawn = np.stack([_drawn_run(problem, noise_seed) for noise_seed in range(5)])
    for pattern in np.unique(exists, axis=0):
        group = (exists == pattern).all(axis=1)
        counts = np.bincount(drawn[:, group].ravel(), minlength=3)[pattern]
        expected = counts.sum() / len(counts)
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < 13.8, (pattern, counts)  # 0.1 % point of chi-square with 2 degrees of freedom


def test_draws_of_different_architectures_and_noise_seeds_are_independent() -> None:
    problem = _seeded_problem(n_missing=0)
    first, second = _drawn_run(problem, 0), _drawn_run(problem, 1)
    for a, b in ((first, second), (first[:-1], first[1:])):
        joint = np.bincount(3 * a + b, minlength=9)
        expected = len(a) / 9
        assert float(((joint - expected) ** 2 / expected).sum()) < 26.1  # 0.1 % point, 8 degrees of freedom


def test_an_observation_depends_on_the_noise_seed_only() -> None:
    problem = _seeded_problem(n_missing=1000)
    X = problem.space.enumerate()
    whole = problem.observation(7).evaluate(X)
    other = _seeded_problem(n_missing=1000, id="another-v1")
    nmo.run(other, "random", budget=40, seed=11, noise_seed=7)  # a search in between changes nothing
    np.testing.assert_array_equal(other.observation(7).evaluate(X[::-1])[::-1], whole)
    for i in (0, 500, 7775):
        np.testing.assert_array_equal(other.observation(7).evaluate_one(tuple(X[i].tolist())), whole[i])
    assert (problem.observation(8).evaluate(X)[:, 0] != whole[:, 0]).mean() > 0.5


def test_observations_beside_a_users_function_are_the_same_in_any_order() -> None:
    """With a function among the objectives nothing is computed ahead; the draws must not notice."""
    tabulated = _seeded_problem(n_missing=1000)
    cost = FunctionValues(objective=LATENCY, function=lambda X: X.sum(axis=1).astype(float))
    mixed = Problem(
        "mixed-v1", search_space=tabulated.space, terms=[tabulated.terms[0], Term(objective=LATENCY, values=cost)]
    )
    X = mixed.space.enumerate()
    whole = tabulated.observation(7).evaluate(X)[:, 0]
    picked = np.array([4000, 3, 7775])
    np.testing.assert_array_equal(mixed.observation(7).evaluate(X[picked])[:, 0], whole[picked])
    np.testing.assert_array_equal(mixed.observation(7).evaluate(X[picked])[:, 1], X[picked].sum(axis=1))
    assert mixed.has_test
    np.testing.assert_array_equal(
        mixed.evaluate(X[picked], on="test")[:, 0], tabulated.evaluate(X[picked], on="test")[:, 0]
    )


def test_score_is_the_mean_and_costs_are_not_noisy() -> None:
    problem = _seeded_problem(n_missing=1000)
    X = problem.space.enumerate()
    runs = problem.terms[0].values.seeds(X)
    assert runs is not None and problem.noisy
    np.testing.assert_allclose(problem.evaluate(X)[:, 0], np.nanmean(runs, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(problem.observation(3).evaluate(X)[:, 1], problem.evaluate(X)[:, 1])
    assert (problem.observation(3).evaluate(X)[:, 0] != problem.evaluate(X)[:, 0]).mean() > 0.9


def test_without_single_runs_the_observation_is_the_score() -> None:
    for problem in (nmo.problem(PREDICTED), toy_problem(4, 4)):
        X = problem.space.enumerate()
        assert not problem.noisy
        np.testing.assert_array_equal(problem.observation(5).evaluate(X), problem.evaluate(X))


def test_an_architecture_without_any_run_is_missing_when_observed() -> None:
    toy = toy_space(4, 4)
    runs = np.ones((16, 2))
    runs[3] = np.nan
    columns = [accuracy_column(f"valid_accuracy_s{s}", runs[:, s], seed=s) for s in range(2)]
    columns.append(accuracy_column("valid_accuracy_mean", np.ones(16), seed="mean"))
    store_table("t-v1", columns, search_space=toy, encodings=toy.enumerate())
    names = tuple(f"valid_accuracy_s{s}_percent" for s in range(2))
    values = TableValues(table="t-v1", column="valid_accuracy_mean_percent", seed_columns=names)
    problem = Problem("p-v1", search_space=toy, terms=[Term(objective=ERROR, values=values)])
    assert problem.evaluate_one((0, 3)) == 99.0
    with pytest.raises(MissingValueError, match="'v0=0,v1=3'"):
        problem.observation(0).evaluate_one((0, 3))


def test_a_negative_noise_seed_is_refused() -> None:
    with pytest.raises(SpecError, match="noise seed must not be negative, got -1"):
        toy_problem(4, 4).observation(-1)


def test_evaluation_is_deterministic() -> None:
    first, second = nmo.problem(DEMO_PROBLEM), nmo.problem(DEMO_PROBLEM)
    X = first.space.enumerate()
    np.testing.assert_array_equal(first.evaluate(X), second.evaluate(X))
    np.testing.assert_array_equal(first.evaluate(X), first.evaluate(X))
    assert first.data_hash == second.data_hash


# ---------------------------------------------------------------------- manifests


def test_a_manifest_of_a_closed_form() -> None:
    """(x, 3 - x) for x = 0..3: a straight front; each of the four points adds a step of the staircase."""
    problem = Problem.from_function(
        "t-v1",
        lambda X: np.stack([X[:, 0] + X[:, 1], 3 - X[:, 0] + X[:, 1]], axis=1),
        search_space=toy_space(4, 5),
        objectives=[ERROR, LATENCY],
    )
    facts = problem.manifest.score
    assert (facts.ideal, facts.nadir, facts.front_size) == ((0.0, 0.0), (3.0, 3.0), 4)
    # Scaled front (0, 1), (1/3, 2/3), (2/3, 1/3), (1, 0) to (1.1, 1.1).
    assert facts.hypervolume == pytest.approx(0.1 / 3 + (0.1 + 1 / 3) / 3 + (0.1 + 2 / 3) / 3 + 1.1 * 0.1, rel=1e-12)
    assert (problem.manifest.n_architectures, problem.manifest.n_degenerate) == (20, 0)
    assert problem.manifest.reference_point == (1.1, 1.1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), m=st.integers(2, 3))
def test_the_exact_hypervolume_equals_that_of_the_enumerated_front(seed: int, m: int) -> None:
    table = np.random.default_rng(seed).integers(1, 7, size=(24, m)).astype(float)
    table[:m] = 7 * (1 - np.eye(m))  # the best of each objective, so that each has a range
    toy = toy_space(4, 6)
    objectives = [dataclasses.replace(LATENCY, name=f"cost_{j}") for j in range(m)]
    problem = Problem.from_function("t-v1", lambda X: table[toy.codes(X)], search_space=toy, objectives=objectives)
    best = slow_front(table)
    ideal, nadir = best.min(axis=0), best.max(axis=0)
    np.testing.assert_array_equal(problem.true_front(), best)
    np.testing.assert_array_equal(problem.manifest.score.ideal, ideal)
    np.testing.assert_array_equal(problem.manifest.score.nadir, nadir)
    scaled = (best - ideal) / (nadir - ideal)
    expected = slow_hypervolume(scaled, reference=[REFERENCE] * m)
    assert problem.manifest.score.hypervolume == pytest.approx(expected, rel=1e-9)
    assert problem.hypervolume_share(problem.evaluate(toy.enumerate())) == pytest.approx(1.0, rel=1e-12)


def test_hypervolume_is_refused_without_a_manifest() -> None:
    problem = open_unchecked(CATALOGUE[DEMO_PROBLEM])
    F = problem.evaluate(problem.space.from_codes([0]))
    for use in (problem.hypervolume, problem.hypervolume_share, problem.normalize):
        with pytest.raises(ManifestError, match="no manifest, so hypervolume has no reference"):
            use(F)


def test_a_constant_objective_has_values_but_no_hypervolume() -> None:
    problem = Problem.from_function(
        "t-v1", lambda X: np.ones((len(X), 2)), search_space=toy_space(4, 4), objectives=[ERROR, LATENCY]
    )
    F = problem.evaluate(problem.space.enumerate())
    assert F.shape == (16, 2)
    with pytest.raises(FrontError, match="constant objective"):
        problem.hypervolume(F)


def _check_published(identifier: str) -> None:
    published = published_manifest(identifier)
    assert published is not None, f"{identifier} has no manifest"
    assert published.problem == identifier
    assert manifest_report(identifier) == []
    problem = open_unchecked(CATALOGUE[identifier])
    assert published.data_hash == problem.data_hash
    assert published.objectives == tuple(o.column for o in problem.objectives)
    local = compute_manifest(problem)
    assert differences(published, local) == []
    assert (published.test is None) == (not problem.has_test)
    X = problem.space.enumerate()
    live = X[~problem.space.degenerate(X)]
    assert published.constraints == problem.constraint_set.texts
    live = live[problem.feasible(live)] if problem.constraints else live
    assert (published.n_architectures, published.n_degenerate) == (15_625, 341)
    for view, facts in (("score", published.score), ("test", published.test)):
        if facts is not None:
            _check_facts(facts, problem.evaluate(live, on=view))
    opened = nmo.problem(identifier)
    assert (opened.id, opened.manifest) == (identifier, published)


def _check_facts(facts: FrontFacts, F: np.ndarray[Any, Any]) -> None:
    """Recompute facts without the package: thin by one objective at a time, then compare all pairs."""
    distinct = np.unique(F, axis=0)
    alive = np.ones(len(distinct), dtype=bool)
    for i in range(len(distinct)):
        if alive[i]:
            worse = (distinct >= distinct[i]).all(axis=1)
            worse[i] = False
            alive &= ~worse
    best = distinct[alive]
    ideal, nadir = best.min(axis=0), best.max(axis=0)
    np.testing.assert_allclose(facts.ideal, ideal, rtol=1e-6)
    np.testing.assert_allclose(facts.nadir, nadir, rtol=1e-6)
    assert facts.front_size == len(best)
    scaled, reference = (best - ideal) / (nadir - ideal), [REFERENCE] * F.shape[1]
    if F.shape[1] <= 3:
        assert facts.hypervolume == pytest.approx(slow_hypervolume(scaled, reference=reference), rel=1e-6)
    else:  # the oracle takes hours: the share of random points that are dominated, within five standard errors
        points = np.random.default_rng(0).uniform(0, REFERENCE, (100_000, F.shape[1]))
        share = np.mean([(scaled <= p).all(axis=1).any() for p in points])
        error = 5 * np.sqrt(share * (1 - share) / len(points))
        assert facts.hypervolume / REFERENCE ** F.shape[1] == pytest.approx(share, abs=error)


@pytest.mark.parametrize("identifier", EMBEDDED)
def test_the_published_manifest_of_an_embedded_problem_is_right(identifier: str) -> None:
    _check_published(identifier)


@pytest.mark.parametrize("identifier", IMPORTED)
def test_the_published_manifest_of_an_imported_problem_is_right(
    identifier: str, real_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(real_cache))
    _check_published(identifier)


@pytest.mark.parametrize("identifier", [name for name in EMBEDDED if len(CATALOGUE[name].terms) > 3])
def test_no_two_costs_of_a_problem_with_many_objectives_rank_alike(identifier: str) -> None:
    problem = nmo.problem(identifier)
    X = problem.space.enumerate()
    F = problem.evaluate(X[~problem.space.degenerate(X)])[::9]
    for a, b in itertools.combinations(range(problem.n_objectives), 2):
        assert abs(kendalltau(F[:, a], F[:, b]).statistic) < 0.75


def test_the_board_of_many_objectives_has_three_to_five() -> None:
    names = [f"nb201s-c10-{costs}-v1" for costs in ("1080ti_1-raspi4", "1080ti_256-epyc")]
    assert {len(CATALOGUE[name].terms) for name in names} == {3}
    assert sorted({len(CATALOGUE[name].terms) for name in EMBEDDED}) == [2, 3, 4, 5]


def test_a_source_is_named_for_every_table_to_import() -> None:
    wanted = {table for spec in CATALOGUE.values() for table in spec.missing()}
    assert wanted == set(SOURCE_OF)
    assert set(SOURCE_OF.values()) <= set(SOURCES)


def test_every_manifest_file_belongs_to_a_published_problem() -> None:
    folder = ROOT / "nasbench_mo" / "benchmark" / "manifests"
    assert sorted(p.stem for p in folder.glob("*.json")) == sorted(CATALOGUE)


def test_a_manifest_survives_its_file() -> None:
    store_synthetic_nb201()
    for manifest in (toy_problem(4, 4).manifest, nmo.problem("nb201-c10-fpga-v1").manifest):
        assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "x": 0}'])
def test_what_is_not_a_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_degenerate": 3}, "n_degenerate: published 0, these data 3"),
        ({"objectives": ("a", "b")}, "objectives: published"),
        ({"test": "score"}, "test values: published absent"),
        ({"ideal": (0.5, 0.0)}, "score ideal of objective 0: published 0, these data 0.5"),
        ({"nadir": (0.0, 7.0)}, "score nadir of objective 1"),
        ({"hypervolume": 0.5}, "score HV\\*: published"),
        ({"front_size": 9}, "score front size: published"),
    ],
)
def test_a_difference_between_manifests_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    published = toy_problem(4, 4).manifest
    if "test" in change:
        local = dataclasses.replace(published, test=published.score)
    elif set(change) <= {"n_degenerate", "objectives"}:
        local = dataclasses.replace(published, **change)
    else:
        filled = {**change}
        for name in ("ideal", "nadir"):
            if name in change:
                old = getattr(published.score, name)
                filled[name] = tuple(v or o for v, o in zip(change[name], old, strict=True))
        local = dataclasses.replace(published, score=dataclasses.replace(published.score, **filled))
    found = differences(published, local)
    assert len(found) == 1
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(found[0])


def test_rounding_is_no_difference() -> None:
    manifest = toy_problem(4, 4).manifest
    facts = manifest.score
    close = dataclasses.replace(
        facts, nadir=tuple(v * (1 + 1e-8) for v in facts.nadir), hypervolume=facts.hypervolume * (1 - 1e-8)
    )
    assert differences(manifest, dataclasses.replace(manifest, score=close)) == []


# ---------------------------------------------------------------------- the catalogue


def test_data_that_differ_make_another_problem(caplog: pytest.LogCaptureFixture) -> None:
    store_synthetic_nb201()
    with caplog.at_level(logging.WARNING, logger="nasbench_mo"):
        problem = nmo.problem("nb201-c10-fpga-v1")
    assert problem.id == f"nb201-c10-fpga-v1+local.{problem.data_hash[:8]}"
    assert problem.manifest.problem == problem.id
    assert problem.manifest.data_hash == problem.data_hash
    (warning,) = [r.getMessage() for r in caplog.records]
    for part in ("nb201-c10-fpga-v1", "score nadir of objective 1: published", "these data", "HV*"):
        assert part in warning
    assert manifest_report("nb201-c10-fpga-v1")
    run = nmo.run(problem, "random", budget=20)
    assert run.identity.problem == problem.id
    assert run.problem.data_hash == run.identity.data_hash


def test_other_data_make_yet_another_problem() -> None:
    store_synthetic_nb201(accuracy_seed=0)
    first = nmo.problem("nb201-c10-fpga-v1").id
    store_synthetic_nb201(accuracy_seed=1)
    assert nmo.problem("nb201-c10-fpga-v1").id != first


def test_data_that_differ_only_behind_the_front_are_noticed() -> None:
    """One architecture, far from the front, 0.05 points off; and two that swap their values."""
    toy = toy_space(16, 16)
    values = np.random.default_rng(0).uniform(20, 30, size=(256, 2))
    values[0] = 0, 1
    values[255] = 1, 0

    def manifest(F: np.ndarray[Any, Any]) -> Manifest:
        def look_up(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return F[toy.codes(X)]

        return Problem.from_function("t-v1", look_up, search_space=toy, objectives=[ERROR, LATENCY]).manifest

    published = manifest(values)
    shifted, swapped, rounded = values.copy(), values.copy(), values.astype(np.float32).astype(np.float64)
    shifted[100, 0] += 0.05
    swapped[[100, 101]] = swapped[[101, 100]]
    assert manifest(shifted).score.ideal == published.score.ideal
    assert any("score mean of objective 0" in d for d in differences(published, manifest(shifted)))
    assert any("weighted mean" in d for d in differences(published, manifest(swapped)))
    assert differences(published, manifest(rounded)) == []


def test_seeds_are_drawn_only_where_the_space_can_be_enumerated() -> None:
    huge = space("mnasnet")
    values = TableValues(table="t-v1", column="valid_accuracy_percent", seed_columns=("valid_accuracy_s1_percent",))
    with pytest.raises(SpecError, match="enumerated"):
        Problem("t-v1", search_space=huge, terms=[Term(objective=ERROR, values=values)])


def test_a_column_of_the_other_direction_is_other_data() -> None:
    toy = toy_space(4, 4)

    def hash_of(direction: str) -> str:
        column = accuracy_column("valid_accuracy", np.arange(16.0), direction=direction)
        store_table("t-v1", [column], search_space=toy, encodings=toy.enumerate())
        return TableValues(table="t-v1", column="valid_accuracy_percent").data_hash()

    assert hash_of("max") == hash_of("max")
    assert hash_of("max") != hash_of("min")


def test_degenerate_architectures_are_never_on_a_front() -> None:
    """The synthetic tables give degenerate cells the least error and the least latency of all."""
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    X = problem.space.enumerate()
    dead = problem.evaluate(X[problem.space.degenerate(X)])
    assert (dead.max(axis=0) < problem.manifest.score.ideal).all()
    assert (problem.true_front().min(axis=0) > dead.max(axis=0)).all()
    run = nmo.run(problem, "random", budget=300, seed=1)
    assert run.degenerate.sum() > 0
    assert not problem.space.degenerate(run.front().X).any()


def test_an_unknown_problem_suggests_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean .*'nb201s-c10-fpga-v1'.*nasbench-mo list problems"):
        nmo.problem("nb201s-c10-fgpa-v1")


def test_a_problem_without_its_tables_names_the_import_command() -> None:
    with pytest.raises(
        ArtifactError, match=r"nb201-help-latency-v1.*not imported.*nasbench-mo import help PATH.*nb201s-"
    ):
        nmo.problem("nb201-c10-2080ti_1-v1")
    assert ACCURACY_TABLE in CATALOGUE["nb201-c10-2080ti_1-v1"].missing()


def test_the_catalogue_opens_no_data_and_its_ids_say_what_they_are() -> None:
    assert problem_names()[: len(CATALOGUE)] == list(CATALOGUE)
    for identifier, spec in CATALOGUE.items():
        assert spec.id == identifier
        assert identifier.rpartition("-")[2] == "v1"
        offline = not spec.missing()
        assert offline == identifier.startswith(("nb201-gtsrb16-", "nb201s-", "nb201-x-", "mnasnets-", "fbnets-")), (
            identifier
        )
        assert spec.description.endswith("works offline" if offline else "imported tables")
        for term in spec.terms:
            assert term.objective.direction == "min"
    assert list(artifacts.cache_dir().iterdir()) == []


def test_the_real_noise_is_that_of_the_published_seeds(
    real_cache: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(real_cache))
    problem = nmo.problem("nb201-c10-2080ti_1-v1")
    with np.load(shared / "nasbench201" / "nasbench201.npz", allow_pickle=False) as source:
        archs = [a.decode() for a in source["arch_str"]]
        runs = 100 - source["c10_valid_200"].astype(float)
        test = 100 - source["c10_test_200_mean"].astype(float)
    seen = problem.observation(0).evaluate(archs)[:, :1]
    assert (np.abs(runs - seen) < 1e-4).any(axis=1).all()
    np.testing.assert_allclose(problem.evaluate(archs)[:, 0], np.nanmean(runs, axis=1), atol=1e-4)
    np.testing.assert_allclose(problem.evaluate(archs, on="test")[:, 0], test, atol=1e-4)
    third = np.isfinite(runs[:, 2])
    share = float((np.abs(runs[third] - seen[third]).argmin(axis=1) == 2).mean())
    assert third.sum() == 8169
    assert abs(share - 1 / 3) < 0.03


# ---------------------------------------------------------------------- what a search sees, and plug-ins


def test_a_search_says_that_it_sees_one_drawn_seed() -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    error, latency = problem.observed_objectives
    assert (problem.objectives[0].seed, error.seed, error.kind) == ("mean", "drawn", "measured")
    assert problem.objectives[0].kind == "derived"
    assert latency == problem.objectives[1]
    assert nmo.run(problem, "random", budget=5).identity.objectives == problem.observed_objectives


def test_a_published_problem_over_a_huge_space_opens_without_a_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    values = FunctionValues(objective=ERROR, function=lambda X: X.sum(axis=1) + 1.0)
    spec = ProblemSpec(id="huge-v1", space="mnasnet", terms=(Term(objective=ERROR, values=values),), description="x")
    monkeypatch.setitem(CATALOGUE, "huge-v1", spec)
    problem = nmo.problem("huge-v1")
    assert not problem.has_manifest
    assert len(nmo.run(problem, "random", budget=10)) == 10
    with pytest.raises(ManifestError):
        problem.hypervolume(np.ones((1, 1)))


@pytest.mark.parametrize("answer", [1j, "abc"])
def test_a_function_that_returns_no_real_numbers_is_refused(answer: Any) -> None:
    problem = Problem.from_function(
        "t-v1", lambda X: np.full((len(X), 2), answer), search_space=toy_space(3, 3), objectives=[ERROR, LATENCY]
    )
    with pytest.raises(ObjectiveError, match="real numbers"):
        problem.evaluate(problem.space.from_codes([0]))


def test_one_objective_has_no_hypervolume_scale() -> None:
    problem = Problem.from_function("t-v1", lambda X: X[:, :1] + 1.0, search_space=toy_space(4, 4), objectives=[ERROR])
    assert len(nmo.run(problem, "nsga2", budget=10, seed=0)) == 10
    with pytest.raises(ManifestError, match="two or more"):
        problem.hypervolume(np.ones((1, 1)))


@pytest.mark.parametrize("open_it", [nmo.problem, nmo.table, nmo.predictor, nmo.space])
@pytest.mark.parametrize("name", [None, 3])
def test_a_name_that_is_no_text_is_unknown(open_it: Any, name: Any) -> None:
    with pytest.raises(UnknownNameError, match="is text"):
        open_it(name)


# ---------------------------------------------------------------------- shorter trainings


def test_a_shorter_training_has_its_own_errors_and_the_same_costs() -> None:
    made = curve_problem()
    X = made.space.enumerate()
    own = np.arange(6)
    assert made.fidelities == (1, 2, 3)
    for epochs in (1, 2, 3):
        np.testing.assert_allclose(made.evaluate(X, epochs=epochs)[:, 0], 50 - 10 * epochs + own + 0.5)
        np.testing.assert_allclose(made.evaluate(X, epochs=epochs)[:, 1], 10 - own)
        assert made.evaluator("score", epochs=epochs).objectives[0].epochs == epochs
        np.testing.assert_allclose(made.simulated_seconds(X, epochs=epochs), (60 + own) * epochs / 3)
    np.testing.assert_array_equal(made.evaluate(X), made.evaluate(X, epochs=3))
    assert made.evaluator("score") is made.evaluator("score", epochs=3)


def test_a_shorter_training_is_the_start_of_the_same_run() -> None:
    made = curve_problem()
    X = made.space.enumerate()
    seed = made.observation(5).evaluate(X)[:, 0] - 20 - np.arange(6)
    assert set(seed.tolist()) == {0.0, 1.0}
    for epochs in (1, 2):
        early = made.observation(5, epochs=epochs).evaluate(X)[:, 0]
        np.testing.assert_allclose(early, 50 - 10 * epochs + np.arange(6) + seed)


def test_other_epochs_and_early_tests_are_refused() -> None:
    made = curve_problem()
    with pytest.raises(ObjectiveError, match="after 1, 2, 3 epochs; got 4"):
        made.evaluate(made.space.enumerate(), epochs=4)
    with pytest.raises(ObjectiveError, match="got 0"):
        made.observation(0, epochs=0)
    with pytest.raises(ObjectiveError, match="no values of shorter trainings"):
        toy_problem().evaluate(toy_space(4, 4, 3).enumerate(), epochs=1)
    assert toy_problem().fidelities == ()


def test_data_that_differ_in_a_curve_alone_are_noticed() -> None:
    published = compute_manifest(curve_problem())
    assert Manifest.from_json(published.to_json()) == published
    assert "curves" not in compute_manifest(toy_problem()).to_json()
    other = compute_manifest(curve_problem(shift=1e-3))
    assert other.data_hash != published.data_hash
    found = differences(published, other)
    assert found
    assert all(sentence.startswith("curves") for sentence in found)


def test_a_curve_of_test_values_is_refused() -> None:
    made = curve_problem()
    hidden = dataclasses.replace(ERROR, name="hidden", split="test", dataset="toy")
    X = made.space.enumerate()
    store_table(
        "toy-hidden-v1",
        [Column(objective=hidden, values=np.arange(6.0)), Column(objective=ERROR, values=np.arange(6.0))],
        search_space=made.space,
        encodings=X,
    )
    values = TableValues(table="toy-hidden-v1", column=ERROR.column, curve=(Fidelity(epochs=1, column=hidden.column),))
    with pytest.raises(ObjectiveError, match="a search may not see test values"):
        Problem("toy", search_space=made.space, terms=[Term(objective=ERROR, values=values)])
