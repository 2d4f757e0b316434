"""Problems without an exact front: how the best known one is found, what is published of it, and what follows."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from benchmark_helpers import ERROR, LATENCY, opposed, toy_problem, toy_space

import nasbench_mo as nmo
from nasbench_mo.benchmark import (
    HypervolumeReference,
    Manifest,
    MissingMacsValues,
    Problem,
    best_known_manifest,
    manifest_report,
    published_manifest,
)
from nasbench_mo.benchmark import manifest as manifests
from nasbench_mo.benchmark.catalogue import CATALOGUE
from nasbench_mo.benchmark.manifest import front_text, published_front, read_front
from nasbench_mo.errors import ManifestError, RunError
from nasbench_mo.experiment import best_known as module
from nasbench_mo.experiment.best_known import additive_front, best_known
from nasbench_mo.hardware.workload import workload
from nasbench_mo.leaderboard.indicators import Judge
from nasbench_mo.pareto import front, hypervolume, nondominated
from nasbench_mo.space import space

LARGE = [name for name in CATALOGUE if name.startswith(("mnasnets-", "fbnets-"))]
SMALL = ["mnasnets-in1k-tpuv3-v1"]  # whose front is published as a whole
ANY = "mnasnets-in1k-tpuv3-v1"


def product_of_sums(X: np.ndarray) -> np.ndarray:
    """Two objectives that fight and are no sums over the variables."""
    return np.stack([(X + 1).prod(axis=1), ((4 - X) ** 2).prod(axis=1)], axis=1).astype(float)


def function_problem(function: object, *cardinalities: int) -> Problem:
    return Problem.from_function(
        "t-v1",
        function,
        search_space=toy_space(*cardinalities),
        objectives=[ERROR, LATENCY],  # type: ignore[arg-type]
    )


# ---------------------------------------------------------------------- the search for a front


@pytest.mark.parametrize("cardinalities", [(4, 4, 3), (2, 5, 3, 3), (6,), (3, 1, 4)])
def test_the_front_of_sums_is_the_exact_one(cardinalities: tuple[int, ...]) -> None:
    problem = toy_problem(*cardinalities)
    X = additive_front(problem)
    assert X is not None
    np.testing.assert_array_equal(front(problem.evaluate(X)), problem.true_front())


def test_what_is_no_sum_has_no_front_of_sums() -> None:
    assert additive_front(function_problem(product_of_sums, 4, 4, 3)) is None


@pytest.mark.parametrize("function", [opposed, product_of_sums])
def test_the_local_search_ends_at_the_exact_front_of_a_small_space(function: object) -> None:
    problem = function_problem(function, 4, 4, 3, 3)
    found = best_known(problem, searchers=("random",), seeds=(0,), budget=5)
    np.testing.assert_array_equal(found.F, problem.true_front())
    np.testing.assert_array_equal(problem.evaluate(found.X), found.F)
    assert found.closed == module.RADIUS
    assert found.additive is (function is opposed)
    assert 5 < found.evaluations <= problem.space.size


def test_two_variables_are_changed_where_one_is_not_enough() -> None:
    """The only architecture better than (1, 1, 1) differs from it in two variables, and those between are worse."""

    def trap(X: np.ndarray) -> np.ndarray:
        ones = X.sum(axis=1)
        value = np.where(ones == 3, 1.0, np.where(ones == 1, 0.0, 5.0 + ones))
        return np.stack([value, value], axis=1)

    problem = function_problem(trap, 2, 2, 2)
    union = module._Union(problem)
    union.add(np.array([[1, 1, 1]]))
    assert union.close(most=100, progress=None) == 2
    assert union.front()[1].tolist() == [[0.0, 0.0]]


def test_neighbours_are_all_architectures_at_that_distance() -> None:
    of = toy_space(3, 2, 4)
    everything = of.enumerate()
    x = np.array([[1, 0, 3]])
    for radius in (1, 2):
        found = module._neighbours(of, x, radius=radius)
        wanted = everything[(everything != x).sum(axis=1) == radius]
        np.testing.assert_array_equal(np.unique(found, axis=0), wanted)
        assert len(found) == len(wanted) == module._Union(toy_problem(3, 2, 4))._n_neighbours(radius)


def test_a_search_that_is_cut_short_says_how_far_it_got() -> None:
    problem = toy_problem(5, 5, 5, 5)
    cut = best_known(problem, searchers=("random",), seeds=(0,), budget=3, most=4)
    assert cut.closed == 0
    again = best_known(problem, searchers=("random",), seeds=(0,), budget=3, most=4)
    np.testing.assert_array_equal(cut.X, again.X)


def test_a_long_front_is_published_in_part_with_its_ends() -> None:
    problem = toy_problem(6, 6, 6)
    found = best_known(problem, searchers=("random",), seeds=(0,), budget=5)
    kept = found.kept(most=6)
    assert len(kept) <= 6 < len(found.X)
    F = problem.evaluate(kept)
    np.testing.assert_array_equal(F.min(axis=0), found.F.min(axis=0))
    assert found.kept() is found.X


def test_a_start_is_needed_and_constraints_are_refused() -> None:
    with pytest.raises(RunError, match="at least one searcher"):
        best_known(toy_problem(4, 4), searchers=())
    with pytest.raises(RunError, match="without constraints"):
        best_known(toy_problem(4, 4).constrained("latency_ms <= 10"))


# ---------------------------------------------------------------------- what is published


@pytest.mark.parametrize("identifier", LARGE)
def test_the_published_reference_is_what_its_architectures_say(identifier: str) -> None:
    problem = nmo.problem(identifier)
    manifest = published_manifest(identifier)
    X = published_front(identifier)
    assert problem.id == identifier  # the data hash is the published one
    assert manifest is not None and manifest.hv_reference is not None and X is not None
    assert not manifest.exact
    assert manifest.hv_reference.front_kept == len(X) <= module.MOST_KEPT
    assert manifest.hv_reference.command == f"nasbench-mo manifest {identifier}"
    F = problem.evaluate(X)
    assert nondominated(F, keep_duplicates=False).all()
    np.testing.assert_allclose(F.min(axis=0), manifest.score.ideal, rtol=1e-9)
    share = hypervolume(problem.normalize(F), reference=manifest.reference_point) / manifest.score.hypervolume
    if len(X) == manifest.score.front_size:
        assert share == pytest.approx(1.0, rel=1e-9)
    else:
        assert 0.9 < share < 1.0
    np.testing.assert_array_equal(problem.reference_front(), front(F))


@pytest.mark.parametrize("identifier", SMALL)
def test_no_neighbour_of_the_published_front_enters_it(identifier: str) -> None:
    problem = nmo.problem(identifier)
    X = published_front(identifier)
    assert X is not None
    F = problem.evaluate(X)
    some = X[np.random.default_rng(0).choice(len(X), 4, replace=False)]
    G = problem.evaluate(module._neighbours(problem.space, some, radius=1))
    worse = (F[None] <= G[:, None]).all(axis=2).any(axis=1)
    assert worse.all()


def test_the_summary_is_of_the_same_architectures_again() -> None:
    problem = nmo.problem(ANY)
    published = published_manifest(ANY)
    X = published_front(ANY)
    assert published is not None and published.hv_reference is not None and X is not None
    made = best_known_manifest(problem, problem.evaluate(X), reference=published.hv_reference)
    assert nmo.benchmark.differences(published, made) == []


def test_no_random_architecture_beats_a_published_front() -> None:
    for identifier in LARGE:
        problem = nmo.problem(identifier)
        X = problem.space.sample(300, rng=np.random.default_rng(1))
        assert problem.hypervolume_share(problem.evaluate(X)) < 1.0


def test_a_manifest_says_that_it_is_not_exact_and_survives_its_file() -> None:
    for identifier in LARGE:
        manifest = published_manifest(identifier)
        assert manifest is not None
        assert Manifest.from_json(manifest.to_json()) == manifest
        assert '"kind": "best known"' in manifest.to_json()
    exact = published_manifest("nb201s-c10-flops-v1")
    assert exact is not None and exact.exact
    assert "hv_reference" not in exact.to_json()
    with pytest.raises(ManifestError, match="'best known', or absent"):
        HypervolumeReference(kind="exact", version=1, made="", command="", evaluations=1, front_kept=1)


def test_architectures_survive_their_file() -> None:
    X = space("fbnet").sample(7, rng=np.random.default_rng(0)).astype(np.int64)
    np.testing.assert_array_equal(read_front(front_text(X)), X)


def test_a_best_known_manifest_is_for_what_has_no_exact_front() -> None:
    reference = HypervolumeReference(kind="best known", version=1, made="", command="", evaluations=1, front_kept=1)
    with pytest.raises(ManifestError, match="the exact front of space 'toy' can be computed"):
        best_known_manifest(toy_problem(4, 4), np.zeros((1, 2)), reference=reference)
    bound = nmo.problem(ANY).constrained("error_percent <= 50")
    with pytest.raises(ManifestError, match="without constraints"):
        best_known_manifest(bound, np.zeros((1, 2)), reference=reference)


def test_other_data_are_another_problem_without_a_scale(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    published = published_manifest(ANY)
    assert published is not None
    other = dataclasses.replace(published, data_hash="0" * 64)
    monkeypatch.setattr("nasbench_mo.benchmark.catalogue.published_manifest", lambda _: other)
    with caplog.at_level(logging.WARNING):
        problem = nmo.problem(ANY)
    assert problem.id.startswith(f"{ANY}+local.")
    assert "not the published ones" in caplog.text
    assert not problem.has_manifest
    with pytest.raises(ManifestError, match="has no front"):
        problem.reference_front()
    assert manifest_report(ANY) == [f"data hash: published 00000000, these data {published.data_hash[:8]}"]


def test_a_front_that_is_not_published_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = nmo.problem(ANY)
    monkeypatch.setattr(manifests, "published_front", lambda _: None)
    with pytest.raises(ManifestError, match="are not published"):
        problem.reference_front()
    assert Judge(problem).reference_front.shape == (0, 2)


def test_a_share_may_exceed_one() -> None:
    """Against a reference that lacks the best of the front."""
    problem = nmo.problem(ANY)
    X = published_front(ANY)
    manifest = published_manifest(ANY)
    assert X is not None and manifest is not None and manifest.hv_reference is not None
    worse = problem.evaluate(X)[::9]
    problem._manifest = best_known_manifest(problem, worse, reference=manifest.hv_reference)
    judge = Judge(problem)
    curve = judge.share_curve(X.astype(problem.space.dtype), problem.evaluate(X))
    assert curve[-1] > 1.0
    assert not judge.exact
    assert judge.best_hypervolume == problem.manifest.score.hypervolume
    assert judge.indicator("igd_plus", X) == 0.0


# ---------------------------------------------------------------------- what FBNet gives up


def test_missing_macs_count_down_from_the_largest_network() -> None:
    values = MissingMacsValues(dataset="cifar100")
    of = space("fbnet")
    X = of.sample(500, rng=np.random.default_rng(0))
    missing = values.score(X)
    macs = workload(of, dataset="cifar100").macs(X)
    assert (missing > 0).all()
    np.testing.assert_allclose(missing + macs / 1e6, missing[0] + macs[0] / 1e6)
    largest = np.full((1, of.n_variables), 7)
    assert values.score(largest).tolist() == [0.0]
    skipping = np.full((1, of.n_variables), 8)
    assert values.score(skipping)[0] == values.score(np.vstack([X, skipping])).max()
    assert values.cheap()


def test_no_network_of_the_space_has_more_macs_than_the_largest() -> None:
    """Layer by layer: a layer's cost depends on its block alone, so the largest network has the largest blocks."""
    values = MissingMacsValues(dataset="cifar100")
    of = space("fbnet")
    largest = np.full((1, of.n_variables), 7)
    assert (values.score(module._neighbours(of, largest, radius=1)) >= 0).all()


def test_a_manifest_is_made_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nasbench_mo.cli.manifests import make_manifest

    monkeypatch.setattr(
        module.best_known, "__kwdefaults__", {**module.best_known.__kwdefaults__, "budget": 20, "most": 50}
    )
    make_manifest(ANY, out=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{ANY}.front", f"{ANY}.json"]
    made = Manifest.from_json((tmp_path / f"{ANY}.json").read_text())
    kept = read_front((tmp_path / f"{ANY}.front").read_text())
    assert made.hv_reference is not None
    assert made.hv_reference.front_kept == len(kept)
    published = published_manifest(ANY)
    assert published is not None
    assert made.score.fingerprint == published.score.fingerprint
    problem = nmo.problem(ANY)
    assert problem.hypervolume_share(problem.evaluate(kept)) < 1.0
