"""What newcomers get wrong is answered with what was expected, what came and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_helpers import called

import nasbench_mo as nmo
from nasbench_mo.errors import did_you_mean

PROBLEM = "nb201s-c10-flops-v1"
PREDICTOR = "nb201-fpga-latency-linear-v1"


def function_problem(**changes: Any) -> nmo.Problem:
    """A small problem with something wrong in it."""
    given = {
        "search_space": nmo.CategoricalSpace("line", {"a": [1, 2, 3]}),
        "objectives": [nmo.Objective(name=n, unit="ms", kind="measured") for n in ("a", "b")],
        **changes,
    }
    return nmo.Problem.from_function("line-v1", lambda X: X * np.array([1.0, -1.0]), **given)


def objective(**changes: Any) -> nmo.Objective:
    return nmo.Objective(**{"name": "a", "unit": "ms", "kind": "measured", **changes})


#: In Python: what is tried, and what the answer has to say.
MISTAKES: list[tuple[Callable[[], object], list[str]]] = [
    (lambda: nmo.problem("nb201"), ["'nb201', which is a search space", "nasbench-mo list problems"]),
    (lambda: nmo.problem(PREDICTOR), ["which is a predictor"]),
    (lambda: nmo.problem(3), ["is text, got 3"]),  # type: ignore[arg-type]
    (lambda: nmo.predictor(PROBLEM), ["no predictor is called", "nasbench-mo list predictors"]),
    (lambda: nmo.predictor("NB201_fpga_latency_linear_v1"), [f"Did you mean {PREDICTOR!r}"]),
    (lambda: nmo.table("nb201-c10-valerr-xgb-v1"), ["which is a predictor", "Present: "]),
    (lambda: nmo.space("NB201"), ["Did you mean 'nb201'"]),
    (lambda: nmo.searcher("NSGA2", nmo.space("nb201"), 2), ["Did you mean 'nsga2'"]),
    (lambda: nmo.searcher("nsga2", "nb201", 2), ["expected a search space, got 'nb201'", "nmo.space(...)"]),  # type: ignore[arg-type]
    (lambda: nmo.searcher("nsga2", nmo.space("nb201"), 2, pop=3), ["population", "Did you mean 'population'"]),
    (lambda: nmo.run(PROBLEM, "nsga2", budget=9), [f"expected a problem, got {PROBLEM!r}", "nmo.problem("]),  # type: ignore[arg-type]
    (lambda: nmo.run(nmo.problem(PROBLEM), nmo.searcher, budget=9), ["expected a searcher or the name of one"]),  # type: ignore[arg-type]
    (lambda: nmo.run(nmo.problem(PROBLEM), "nsga2"), ["budget must be an integer of at least 1, got None"]),
    (lambda: nmo.run(nmo.problem(PROBLEM), "nsga2", budget=1e2), ["got 100.0"]),  # type: ignore[arg-type]
    (lambda: nmo.run_many(PROBLEM, "nsga2", seeds=3, budget=5), ["seeds must be a list, such as range(3)"]),  # type: ignore[arg-type]
    (lambda: nmo.compute_manifest(PROBLEM), ["expected a problem", "nmo.problem("]),  # type: ignore[arg-type]
    (lambda: nmo.problem(PROBLEM).evaluate("conv"), ["'conv' is not an architecture of 'nb201'", "one looks like"]),
    (lambda: nmo.problem(PROBLEM).evaluate([0] * 6), ["expected encodings of shape (n, 6)", "x[np.newaxis, :]"]),
    (lambda: nmo.problem(PROBLEM).constrained("flops < 3"), ["'COLUMN <= NUMBER'", "got 'flops < 3'"]),
    (lambda: function_problem(search_space="nb201"), ["expected a search space, got 'nb201'", "nmo.space(...)"]),
    (lambda: function_problem(objectives=objective()), ["expected a list of objectives, got one: a_ms"]),
    (lambda: function_problem(objectives=[objective(direction="max")]), ["must be minimised", "make an error"]),
    (lambda: objective(unit="milliseconds"), ["must be one of", "Did you mean 'ms'"]),
    (lambda: objective(unit="%"), ["Did you mean 'percent'"]),
    (lambda: objective(name="Latency (ms)"), ["lower-case letters", "the unit is a field of its own"]),
    (lambda: objective(split="validation"), ["Did you mean 'valid'"]),
    (lambda: nmo.Run.load("nope.parquet"), ["nope.parquet does not exist", "nasbench-mo search --out"]),
    (lambda: nmo.hypervolume([[1, 2]], reference=[3]), ["reference must have shape (2,)", "got shape (1,)"]),
]


@pytest.mark.parametrize(("mistake", "says"), MISTAKES, ids=[says[-1] for _, says in MISTAKES])
def test_a_mistake_in_python_is_answered_in_words(mistake: Callable[[], object], says: list[str], cache: Path) -> None:
    with pytest.raises(nmo.NasbenchMoError) as caught:
        mistake()
    for words in says:
        assert words in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("query nb201 x", ["'nb201', which is a search space", "nasbench-mo list problems"]),
        (f"query {PREDICTOR} x", ["which is a predictor", "nasbench-mo predict"]),
        (f"predict {PROBLEM} x", ["which is a problem", "nasbench-mo query"]),
        ("predict nb201-c10-valer-xgb-v1 x", ["Did you mean 'nb201-c10-valerr-xgb-v1'", "nasbench-mo list predictors"]),
        (f"search {PROBLEM} --searcher NSGA2", ["Did you mean 'nsga2'"]),
        (f"search {PROBLEM} --budget 5 --option pop=3", ["Did you mean 'population'"]),
        ("board run nb201 --searcher nsga2", ["no board is called 'nb201'", "Present: ", "nb201s-hardware-v1"]),
        (
            "validate nope.parquet --dataset digits --out out",
            ["nope.parquet does not exist", "nasbench-mo search --out"],
        ),
        ("import columns nope.csv", ["nope.csv does not exist"]),
        ("serch x", ["No such command 'serch'", "'search'"]),
        (f"search {PROBLEM} --budgte 5", ["--budgte", "--budget"]),
    ],
)
def test_a_mistake_at_the_command_line_is_answered_in_words(
    command: str, says: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cache)
    code, out, err = called(f"nasbench-mo {command}")
    assert (code, out) == (2, "")
    for words in says:
        assert words in err
    assert len(err) < 700
    assert list(cache.iterdir()) == []


def test_capitals_dashes_and_abbreviations_are_recognised() -> None:
    assert did_you_mean("REGULARIZED_EVOLUTION", ["regularized-evolution"]) == " Did you mean 'regularized-evolution'?"
    assert did_you_mean("pop", ["p_mutation", "population"]) == " Did you mean 'population'?"
    assert did_you_mean("p", ["population"]) == ""


def test_paths_may_be_text(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a.csv").write_text("arch,lat\na=1,2.5\n")
    (tmp_path / "a.yaml").write_text(
        "id: a-v1\nspace: {name: a, variables: {a: [1, 2]}}\nsource: {source: me, licence: MIT}\n"
        "architecture: {column: arch}\nobjectives: [{column: lat, unit: ms, direction: min, kind: measured}]\n"
    )
    tables = nmo.import_source("columns", str(tmp_path / "a.csv"), spec=str(tmp_path / "a.yaml"))
    assert tables[0]["lat_ms"].tolist() == [2.5]
