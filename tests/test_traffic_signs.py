"""The installed table of networks trained on traffic signs: whole, consistent, what its card says, and made again."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

import nasbench_mo as nmo
from nasbench_mo import artifacts
from nasbench_mo.benchmark.catalogue import CATALOGUE, TRAFFIC_SIGN_TABLE
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.table import Table

NB: Any = nmo.space("nb201")
X = NB.enumerate()
DEAD = NB.degenerate(X)
SEEDS = (0, 1)
PROBLEMS = [name for name in CATALOGUE if name.startswith("nb201-gtsrb16-")]


@pytest.fixture(scope="module")
def table() -> Table:
    return nmo.table(TRAFFIC_SIGN_TABLE)


@pytest.fixture(scope="module")
def card(table: Table) -> dict[str, Any]:
    return artifacts.read_card(table.path.parent)


def test_every_architecture_has_every_value_and_the_folder_is_small(table: Table) -> None:
    values = table.query(X, columns=table.columns)
    assert values.shape == (15_625, len(table.columns))
    assert np.isfinite(values).all()
    assert sum(path.stat().st_size for path in table.path.parent.iterdir()) < 5_000_000


def test_cells_that_are_one_network_share_every_value(table: Table) -> None:
    same = NB.codes(NB.canonical(X, equivalence="function"))
    live = NB.live(X)
    counts = np.stack([(live == op).sum(axis=1) for op in (2, 3, 4)], axis=1)
    groups, first, group = np.unique(np.column_stack([same, counts]), axis=0, return_index=True, return_inverse=True)
    assert len(groups) < 6_500
    values = table.query(X, columns=table.columns)
    np.testing.assert_array_equal(values, values[first[group]])


def test_cells_without_a_path_have_chance_level_and_no_training(table: Table) -> None:
    for seed in SEEDS:
        curve = table.query(X[DEAD], columns=[f"valid_error_ep{k}_s{seed}_percent" for k in range(1, 11)])
        assert len(np.unique(curve)) == 1
        assert 90 < curve[0, 0] < 100 * 42 / 43  # the most frequent of 43 classes
        assert (table.query(X[DEAD], columns=[f"train_time_s{seed}_s"]) == 0).all()
        assert (table.query(X[~DEAD], columns=[f"train_time_s{seed}_s"]) > 0).all()


def test_means_are_those_of_the_seeds_and_scores_are_percentages(table: Table) -> None:
    for quantity in (*(f"valid_error_ep{k}" for k in (1, 10)), "test_error", "test_f1", "test_recall"):
        seeds = table.query(X, columns=[f"{quantity}_s{seed}_percent" for seed in SEEDS])
        mean = table.query(X, columns=[f"{quantity}_mean_percent"])[:, 0]
        np.testing.assert_allclose(mean, seeds.mean(axis=1), rtol=1e-6)
        assert (seeds >= 0).all()
        assert (seeds <= 100).all()
        assert (seeds[~DEAD, 0] != seeds[~DEAD, 1]).mean() > 0.9


def test_counts_are_those_of_the_space(table: Table) -> None:
    skeleton = Skeleton.for_dataset("gtsrb16")
    counted = table.query(X, columns=["params_count", "macs_count"])
    np.testing.assert_array_equal(counted[:, 0], NB.n_parameters(X, skeleton=skeleton, convention="live"))
    np.testing.assert_array_equal(counted[:, 1], NB.n_flops(X, skeleton=skeleton, convention="live"))


def test_training_taught_the_networks_something(table: Table) -> None:
    first, last, test = table.query(
        X[~DEAD], columns=["valid_error_ep1_mean_percent", "valid_error_ep10_mean_percent", "test_error_mean_percent"]
    ).T
    assert (last < first).mean() > 0.95
    assert last.min() < 35
    assert kendalltau(last, test).statistic > 0.85


def test_the_card_has_the_figures_of_the_table(table: Table, card: dict[str, Any]) -> None:
    figures = card["figures"]
    _, one_each = np.unique(
        table.query(X, columns=["valid_error_ep10_s0_percent", "latency_cpu_ms"]), axis=0, return_index=True
    )
    one_each = one_each[~DEAD[one_each]]
    assert abs(len(one_each) - figures["n_topologies"]) <= 5
    seeds = table.query(X[one_each], columns=[f"valid_error_ep10_s{s}_percent" for s in SEEDS])
    assert kendalltau(*seeds.T).statistic == pytest.approx(figures["kendall_tau_b"], abs=1e-3)
    deviation = np.sqrt(((seeds[:, 0] - seeds[:, 1]) ** 2).mean() / 2)
    assert deviation == pytest.approx(figures["seed_deviation_percent"], rel=0.02)
    assert card["trainings"] == 2 * figures["n_topologies"]


@pytest.mark.parametrize("identifier", PROBLEMS)
def test_problems_see_one_seed_are_scored_on_the_mean_and_have_test_values(identifier: str, table: Table) -> None:
    problem = nmo.problem(identifier)
    rows = X[::97]
    seeds = table.query(rows, columns=[f"valid_error_ep10_s{s}_percent" for s in SEEDS])
    seen = problem.observation(3).evaluate(rows)
    assert ((seen[:, :1] == seeds).any(axis=1)).all()
    np.testing.assert_array_equal(
        problem.evaluate(rows)[:, 0], table.query(rows, columns=["valid_error_ep10_mean_percent"])[:, 0]
    )
    np.testing.assert_array_equal(
        problem.evaluate(rows, on="test")[:, 0], table.query(rows, columns=["test_error_mean_percent"])[:, 0]
    )
    assert problem.fidelities == tuple(range(1, 11))
    early = problem.evaluate(rows, epochs=3)[:, 0]
    np.testing.assert_array_equal(early, table.query(rows, columns=["valid_error_ep3_mean_percent"])[:, 0])


@pytest.mark.parametrize("identifier", PROBLEMS)
def test_what_is_counted_or_modelled_is_known_to_a_searcher_and_what_is_measured_is_not(identifier: str) -> None:
    problem = nmo.problem(identifier)
    known = set(problem.known_objectives())
    assert known == {j for j, o in enumerate(problem.objectives) if o.name != "error" and o.kind != "measured"}
    assert problem.noisy


@pytest.mark.parametrize("identifier", PROBLEMS)
def test_a_problem_says_of_a_cost_what_the_table_says(identifier: str, table: Table) -> None:
    for objective in nmo.problem(identifier).objectives[1:]:
        stored = table.objectives[objective.column]
        for field in ("unit", "kind", "device", "precision", "runtime", "batch", "convention", "note"):
            assert getattr(objective, field) == getattr(stored, field), field


def test_rows_are_made_again(table: Table, shared: Path) -> None:
    from nasbench_mo.errors import MissingDependencyError
    from nasbench_mo.validation import verify_table

    try:
        found = verify_table(table, n_rows=2, seed=4, images=shared / "gtsrb32")
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert found.passed
    assert found.equal or platform.machine() != "x86_64"
    assert len({row.arch for row in found.rows}) == 2
