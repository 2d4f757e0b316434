"""Operator counts times operator costs: against counting by hand, and with costs that are known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo import artifacts
from nasbench_mo.errors import ArchitectureError, ArtifactError, MissingValueError, ObjectiveError, SpecError
from nasbench_mo.hardware import BASE, OperatorCosts, fit_costs, operator_counts
from nasbench_mo.hardware.building import FitSpec, build
from nasbench_mo.objective import Objective
from nasbench_mo.space import CategoricalSpace, SearchSpace, space
from nasbench_mo.space.nb201 import EDGES, NB201, NONE, OPERATIONS
from nasbench_mo.table import Column, Table, write_table

SPACE = NB201()
X = SPACE.enumerate()
COSTS = {BASE: 2.5, "skip_connect": 0.25, "nor_conv_1x1": 1.0, "nor_conv_3x3": 3.125, "avg_pool_3x3": 0.0}


def latency(**changes: Any) -> Objective:
    fields = {"name": "latency_toy", "unit": "ms", "kind": "modelled", "device": "toy", "convention": "all"} | changes
    return Objective.from_dict({k: v for k, v in fields.items() if v is not None})


def costs_table(
    root: Path,
    costs: dict[str, float],
    *,
    searched: SearchSpace = SPACE,
    objectives: Sequence[Objective] = (latency(),),
    id: str = "toy-v1",
) -> OperatorCosts:
    """Store the same costs under each objective, as an artefact of a cache, and open it."""
    with artifacts.staged_folder(root / "hw_tables" / id) as stage:
        columns = [Column(objective=o, values=np.array(list(costs.values()))) for o in objectives]
        write_table(stage, columns, id=id, space=searched.name, archs=list(costs), rows="operator")
        card = artifacts.render_card({"id": id, "space": searched.name}, body="made up")
        (stage / "card.md").write_text(card, encoding="utf-8")
    return OperatorCosts(Table.open(root / "hw_tables" / id), search_space=searched)


def live(cell: tuple[int, ...]) -> tuple[int, ...]:
    """The cell without operations that are on no path from input to output, by recursion."""

    def paths(node: int) -> list[list[int]]:
        if node == 3:
            return [[]]
        return [[e, *p] for e, (a, b) in enumerate(EDGES) if a == node and cell[e] != NONE for p in paths(b)]

    kept = {edge for path in paths(0) for edge in path}
    return tuple(op if edge in kept else NONE for edge, op in enumerate(cell))


# ---------------------------------------------------------------------- counts


@settings(deadline=None, max_examples=60)
@given(cell=st.tuples(*[st.integers(0, 4)] * 6), operators=st.permutations([BASE, *OPERATIONS]))
def test_counts_equal_counting_one_by_one(cell: tuple[int, ...], operators: list[str]) -> None:
    for convention in ("all", "live"):
        counted = Counter(OPERATIONS[op] for op in (cell if convention == "all" else live(cell)))
        found = operator_counts(SPACE, [cell], operators=operators, convention=convention)  # type: ignore[arg-type]
        assert found.tolist() == [[1.0 if o == BASE else counted[o] for o in operators]]


def test_counts_of_other_spaces_equal_counting_values() -> None:
    for name in ("nbmacro", "fbnet"):
        searched = space(name)
        blocks = searched.variables[0].values
        cells = searched.sample(20, rng=np.random.default_rng(0))
        found = operator_counts(searched, cells, operators=[*blocks, BASE], convention="all")
        expected = [[*(row.count(v) for v in range(len(blocks))), 1] for row in cells.tolist()]
        assert found.tolist() == expected


def test_a_value_is_one_operator_in_whatever_variable_and_position_it_stands() -> None:
    searched = CategoricalSpace("s", {"first": ["conv", "pool"], "second": ["skip", "pool", "conv"]})
    found = operator_counts(searched, [[0, 2], [1, 1], [0, 0]], operators=["conv", "pool", "skip"], convention="all")
    assert found.tolist() == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]


def test_no_network_has_no_counts() -> None:
    assert operator_counts(SPACE, X[:0], operators=[BASE, "none"], convention="live").shape == (0, 2)


def test_an_operator_the_space_does_not_have_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"space 'nb201' has the operators none, .*; got 'nor_conv_5x5'"):
        operator_counts(SPACE, X[:1], operators=[BASE, "nor_conv_5x5"], convention="all")


# ---------------------------------------------------------------------- costs of networks


@pytest.mark.parametrize("convention", ["all", "live"])
def test_the_cost_of_a_network_is_the_sum_over_its_operators(tmp_path: Path, convention: Any) -> None:
    costs = costs_table(tmp_path, COSTS, objectives=[latency(convention=convention)])
    rows = np.random.default_rng(0).choice(len(X), size=300, replace=False)
    found = costs.evaluate(X[rows], column="latency_toy_ms")
    for row, cost in zip(X[rows].tolist(), found.tolist(), strict=True):
        cell = live(tuple(row)) if convention == "live" else tuple(row)
        expected = COSTS[BASE] + sum(COSTS[OPERATIONS[op]] for op in cell if op != NONE)
        assert cost == pytest.approx(expected, abs=1e-9)


def test_the_convention_decides_whether_a_dead_operation_costs(tmp_path: Path) -> None:
    objectives = [latency(name="every", convention="all"), latency(name="working", convention="live")]
    costs = costs_table(tmp_path, COSTS, objectives=objectives)
    dead = SPACE.encode("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert costs.evaluate(dead, column="every_ms").tolist() == [2.5 + 3.125 + 0.25]
    assert costs.evaluate(dead, column=objectives[1]).tolist() == [2.5 + 0.25]
    assert costs.objectives == {o.column: o for o in objectives}


def test_equal_counts_give_equal_costs(tmp_path: Path) -> None:
    awkward = {name: value / 3 + 0.1 for name, value in COSTS.items()}
    costs = costs_table(tmp_path, awkward).evaluate(X, column="latency_toy_ms")
    counts = operator_counts(SPACE, X, operators=list(COSTS), convention="all")
    n_distinct = len(np.unique(counts, axis=0))
    assert len(np.unique(costs)) <= n_distinct
    assert len({(*c, v) for c, v in zip(counts.tolist(), costs.tolist(), strict=True)}) == n_distinct


def test_a_table_is_loaded_by_its_id_with_its_space(cache: Path) -> None:
    macro = space("nbmacro")
    costs_table(cache, {BASE: 1.0, "identity": 0.0, "MB3_K3": 2.0, "MB6_K5": 4.0}, searched=macro, id="macro-v1")
    loaded = OperatorCosts.load("macro-v1")
    assert loaded.space is macro
    assert loaded.evaluate([[0, 1, 2, 2, 0, 0, 0, 0]], column="latency_toy_ms").tolist() == [11.0]
    assert len(loaded.data_hash) == 64


def test_the_hash_is_of_operators_and_costs(tmp_path: Path) -> None:
    base = costs_table(tmp_path / "a", COSTS).data_hash
    assert costs_table(tmp_path / "b", COSTS).data_hash == base
    assert costs_table(tmp_path / "c", {**COSTS, "avg_pool_3x3": 0.5}).data_hash != base


# ---------------------------------------------------------------------- what is not known is not zero


def test_an_operator_without_a_row_is_not_counted_as_zero(tmp_path: Path) -> None:
    partial = {k: v for k, v in COSTS.items() if k != "nor_conv_1x1"}
    costs = costs_table(
        tmp_path, partial, objectives=[latency(name="every"), latency(name="working", convention="live")]
    )
    without = SPACE.encode("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    dead = SPACE.encode("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert costs.evaluate(without, column="every_ms").tolist() == [5.875]
    with pytest.raises(MissingValueError, match="'toy-v1' has no cost for the operator 'nor_conv_1x1'; give it a row"):
        costs.evaluate(np.vstack([without, dead]), column="every_ms")
    assert costs.evaluate(dead, column="working_ms").tolist() == [2.75]


def test_an_operator_without_a_value_is_missing(tmp_path: Path) -> None:
    costs = costs_table(tmp_path, {**COSTS, "avg_pool_3x3": float("nan")})
    with pytest.raises(MissingValueError, match="no latency_toy_ms for 'avg_pool_3x3'"):
        costs.evaluate(X[:1], column="latency_toy_ms")


def test_a_column_without_convention_is_refused(tmp_path: Path) -> None:
    costs = costs_table(tmp_path, COSTS, objectives=[latency(convention=None)])
    with pytest.raises(ObjectiveError, match="'latency_toy_ms' of table 'toy-v1' must say convention live or all"):
        costs.evaluate(X[:1], column="latency_toy_ms")


def test_a_table_for_another_space_is_refused(tmp_path: Path) -> None:
    costs = OperatorCosts(costs_table(tmp_path, COSTS).table, search_space=space("nbmacro"))
    with pytest.raises(MissingValueError, match="operator 'identity'"):
        costs.evaluate([[0] * 8], column="latency_toy_ms")


def test_a_table_of_architectures_is_no_cost_table(tmp_path: Path) -> None:
    column = Column(objective=latency(), values=np.array([1.0]))
    fields: dict[str, Any] = {"archs": SPACE.decode(X[:1]), "cardinalities": [5] * 6, "encodings": X[:1]}
    write_table(tmp_path, [column], id="t-v1", space="nb201", **fields)
    with pytest.raises(ArtifactError, match="table 't-v1' holds architectures; expected operators"):
        OperatorCosts(Table.open(tmp_path), search_space=SPACE)


def test_an_unknown_column_or_architecture_is_refused(tmp_path: Path) -> None:
    costs = costs_table(tmp_path, COSTS)
    with pytest.raises(ObjectiveError, match="got 'latency_toy_s'"):
        costs.evaluate(X[:1], column="latency_toy_s")
    with pytest.raises(ArchitectureError, match="space 'nb201'"):
        costs.evaluate([[0] * 5], column="latency_toy_ms")


# ---------------------------------------------------------------------- fitting


def test_known_costs_are_recovered_exactly() -> None:
    counts = operator_counts(SPACE, X, operators=list(COSTS), convention="all")
    y = counts @ np.array(list(COSTS.values()))
    assert fit_costs(counts, y, decimals=5).tolist() == list(COSTS.values())


def test_known_costs_are_recovered_through_noise() -> None:
    counts = operator_counts(SPACE, X, operators=list(COSTS), convention="live")
    truth = np.array(list(COSTS.values()))
    y = counts @ truth + np.random.default_rng(0).normal(scale=0.1, size=len(X))
    # standard errors are below 0.1 * sqrt(diag((C' C)^-1)) < 0.003
    np.testing.assert_allclose(fit_costs(counts, y, decimals=6), truth, atol=0.015)


def test_costs_are_rounded_to_the_decimals_of_the_source_and_never_minus_zero() -> None:
    counts = np.eye(3)
    found = fit_costs(counts, np.array([1.23456, -1e-9, 2.0]), decimals=2)
    assert found.tolist() == [1.23, 0.0, 2.0]
    assert not np.signbit(found[1])


def test_costs_that_the_counts_do_not_determine_are_refused() -> None:
    # every cell has six edges, so the five operations together are six times the base
    counts = operator_counts(SPACE, X, operators=[BASE, *OPERATIONS], convention="all")
    with pytest.raises(SpecError, match="6 operators but only 5 independent counts"):
        fit_costs(counts, np.ones(len(X)), decimals=3)


def test_a_missing_cost_cannot_be_fitted() -> None:
    counts = operator_counts(SPACE, X[:100], operators=[BASE, "none"], convention="all")
    y = np.ones(100)
    y[3] = np.nan
    with pytest.raises(SpecError, match="for every network; 1 have none"):
        fit_costs(counts, y, decimals=3)


# ---------------------------------------------------------------------- from table to artefact


FIT = FitSpec(
    id="nb201-toy-latency-modelled-v1",
    space="nb201",
    table="nb201-toy-latency-v1",
    column="latency_toy_ms",
    device="toy",
    name="latency_toy",
    convention="all",
    operators=("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    decimals=4,
    about="A made-up device.",
)


@pytest.fixture
def published(cache: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Costs of every network, stored as a table in the cache."""
    y = operator_counts(SPACE, X, operators=list(COSTS), convention="all") @ np.array(list(COSTS.values()))
    with artifacts.staged_folder(cache / "tables" / FIT.table) as stage:
        write_table(
            stage,
            [Column(objective=latency(kind="measured", convention=None, batch=1), values=y)],
            id=FIT.table,
            space="nb201",
            archs=SPACE.decode(X),
            cardinalities=[5] * 6,
            encodings=X,
        )
        card = artifacts.render_card({"id": FIT.table, "source": "made up", "licence": "MIT"}, body="x")
        (stage / "card.md").write_text(card, encoding="utf-8")
    return y


def test_a_cost_table_is_built_from_a_published_table(
    cache: Path, published: np.ndarray[Any, np.dtype[np.float64]]
) -> None:
    built = build(FIT, root=cache / "hw_tables", command="made by the tests")
    np.testing.assert_allclose(built.evaluate(X, column="latency_toy_ms"), published, atol=1e-9)
    loaded = OperatorCosts.load(FIT.id)
    assert loaded.data_hash == built.data_hash
    assert dict(zip(loaded.table.archs, loaded.table["latency_toy_ms"].tolist(), strict=True)) == COSTS
    objective = loaded.objectives["latency_toy_ms"]
    assert (objective.kind, objective.convention, objective.device) == ("modelled", "all", "toy")
    card = artifacts.read_card(cache / "hw_tables" / FIT.id)
    assert card["fitted_to"] == {"table": FIT.table, "column": FIT.column, "source": "made up", "licence": "MIT"}
    assert card["rows_fitted"] == 15_625
    assert card["largest_error_ms"] < 1e-9
    assert card["command"] == "made by the tests"


@pytest.mark.usefixtures("published")
def test_a_published_cost_table_is_frozen(cache: Path) -> None:
    build(FIT, root=cache / "hw_tables", command="first")
    before = {p.name: p.read_bytes() for p in (cache / "hw_tables" / FIT.id).iterdir()}
    with pytest.raises(SpecError, match="published artefacts are frozen"):
        build(FIT, root=cache / "hw_tables", command="second")
    assert {p.name: p.read_bytes() for p in (cache / "hw_tables" / FIT.id).iterdir()} == before


def fit_file(folder: Path, **changes: Any) -> Path:
    names = ("id", "space", "table", "column", "device", "name", "convention", "operators", "decimals", "about")
    fields = {name: getattr(FIT, name) for name in names} | changes
    path = folder / "spec.yaml"
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}), encoding="utf-8")
    return path


def test_a_fit_specification_is_read(tmp_path: Path) -> None:
    assert FitSpec.read(fit_file(tmp_path)) == FIT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tabel": "x"}, r"unknown field 'tabel'.* Did you mean 'table'"),
        ({"convention": None, "decimals": None}, "the field 'convention' is missing"),
    ],
)
def test_an_impossible_fit_specification_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        FitSpec.read(fit_file(tmp_path, **changes))


@pytest.mark.parametrize(("text", "message"), [("- a\n", "expected a mapping with"), ("a: [", "not readable as YAML")])
def test_a_file_that_is_no_fit_specification_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        FitSpec.read(tmp_path / "spec.yaml")


def test_numbers_are_no_operators():
    mnasnet = space("mnasnet")
    with pytest.raises(ArtifactError, match=r"no.* operators|not operators"):
        operator_counts(mnasnet, mnasnet.from_codes([0]), operators=["1"], convention="all")
