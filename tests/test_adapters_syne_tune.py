"""Syne Tune's blackbox interface, on fakes that ask as its sources do: values, fidelities, seeds, the clock.

``metrics_for_configuration`` and the back end's corrections of time are those of Syne Tune 0.16.0
(``blackbox_repository/utils.py`` and ``simulated_tabular_backend.py``), which is not installed here; see the module.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import curve_problem, opposed, store_synthetic_nb201, toy_problem

import nasbench_mo as nmo
from nasbench_mo.adapters.syne_tune import ELAPSED_TIME, SyneTuneBlackbox
from nasbench_mo.errors import ArchitectureError, MissingDependencyError, ObjectiveError, SpecError


class Choice:
    """As ``syne_tune.config_space.Categorical``."""

    def __init__(self, categories: list[Any]) -> None:
        self.categories = categories

    def sample(self, rng: np.random.Generator) -> Any:
        return self.categories[int(rng.integers(len(self.categories)))]


@pytest.fixture
def syne_tune(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    domains = ModuleType("syne_tune.config_space")
    domains.choice = Choice  # type: ignore[attr-defined]
    domains.randint = lambda lower, upper: range(lower, upper + 1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "syne_tune", ModuleType("syne_tune"))
    monkeypatch.setitem(sys.modules, "syne_tune.config_space", domains)
    yield


def metrics_for_configuration(blackbox: Any, config: dict[str, Any], *, time_attr: str, seed: int | None) -> Any:
    values = blackbox.objective_function(config, seed=seed)
    found = []
    for i, value in enumerate(blackbox.fidelity_values):
        found.append({**dict(zip(blackbox.objectives_names, values[i], strict=True)), time_attr: value})
    return found


def simulated(blackbox: Any, config: dict[str, Any], *, seed: int | None = None) -> list[dict[str, float]]:
    """Results of one trial as the back end reports them."""
    known = {k: v for k, v in config.items() if k in blackbox.configuration_space}
    results = metrics_for_configuration(blackbox, known, time_attr=blackbox.fidelity_name(), seed=seed)
    results[0][ELAPSED_TIME] = max(results[0][ELAPSED_TIME], 0.01)
    for before, after in itertools.pairwise(results):
        after[ELAPSED_TIME] = max(after[ELAPSED_TIME], before[ELAPSED_TIME] + 0.01)
    return results


def configuration(X: Any) -> list[dict[str, str]]:
    return [{f"v{j}": str(code) for j, code in enumerate(row)} for row in X]


def test_every_architecture_has_its_values_in_order_and_sign() -> None:
    problem = toy_problem(3, 4, 2)
    blackbox = SyneTuneBlackbox(problem, seconds_per_evaluation=60)
    X = problem.space.enumerate()
    found = np.array([blackbox.objective_function(one) for one in configuration(X)])
    np.testing.assert_array_equal(found[:, 0, :2], opposed(X))
    np.testing.assert_array_equal(found[:, 0, 2], 60)
    assert blackbox.objectives_names == ["error_percent", "latency_ms", ELAPSED_TIME]
    assert blackbox(configuration(X)[5], 1) == dict(zip(blackbox.objectives_names, found[5, 0], strict=True))
    assert (blackbox.fidelity_name(), blackbox.fidelity_values.tolist()) == ("evaluation", [1])


@pytest.mark.usefixtures("cache")
def test_shorter_trainings_are_fidelities_and_take_their_time() -> None:
    problem = curve_problem()
    blackbox = SyneTuneBlackbox(problem, noise_seed=5)
    X = problem.space.enumerate()
    assert (blackbox.fidelity_name(), blackbox.fidelity_values.tolist()) == ("epochs", [1, 2, 3])
    for row, config in zip(X, configuration(X), strict=True):
        curve = blackbox.objective_function(config)
        for i, epochs in enumerate((1, 2, 3)):
            seen = problem.observation(5, epochs=epochs).evaluate(row[None])[0]
            seconds = problem.simulated_seconds(row[None], epochs=epochs)[0]
            np.testing.assert_array_equal(curve[i], [*seen, seconds])
            by_name = blackbox(config, {"epochs": epochs})
            assert list(by_name.values()) == [*seen, seconds]
        assert (np.diff(curve[:, 2]) > 0).all()


@pytest.mark.usefixtures("cache")
def test_a_seed_of_the_back_end_draws_the_training_run() -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    blackbox = SyneTuneBlackbox(problem, noise_seed=1)
    X = problem.space.sample(20, rng=np.random.default_rng(0))
    configs = [
        {name: values[code] for (name, values), code in zip(blackbox.choices.items(), x, strict=True)} for x in X
    ]
    for seed, drawn in ((None, 1), (1, 1), (7, 7)):
        found = np.array([blackbox.objective_function(one, seed=seed)[0, :2] for one in configs])
        np.testing.assert_array_equal(found, problem.observation(drawn).evaluate(X))
    assert (problem.observation(1).evaluate(X) != problem.observation(7).evaluate(X)).any()


@pytest.mark.usefixtures("syne_tune", "cache")
def test_spaces_are_syne_tunes_domains() -> None:
    blackbox = SyneTuneBlackbox(curve_problem())
    assert {k: v.categories for k, v in blackbox.configuration_space.items()} == blackbox.choices
    assert blackbox.fidelity_space == {"epochs": range(1, 4)}
    augmented = blackbox.configuration_space_with_max_resource_attr("max_epochs")
    assert augmented == {**blackbox.configuration_space, "max_epochs": 3}
    with pytest.raises(SpecError, match="'v0' is a hyperparameter"):
        blackbox.configuration_space_with_max_resource_attr("v0")


@pytest.mark.usefixtures("syne_tune", "cache")
def test_the_back_end_reports_rising_times_and_ignores_other_keys() -> None:
    blackbox = SyneTuneBlackbox(curve_problem())
    results = simulated(blackbox, {**configuration([[1, 1]])[0], "max_epochs": 3}, seed=2)
    assert [r["epochs"] for r in results] == [1, 2, 3]
    assert [r["error_percent"] for r in results] == sorted((r["error_percent"] for r in results), reverse=True)
    assert all(a[ELAPSED_TIME] < b[ELAPSED_TIME] for a, b in itertools.pairwise(results))


def regularised_evolution(blackbox: Any, *, n: int, seed: int) -> list[dict[str, Any]]:
    """Syne Tune's multi-objective regularised evolution in short: the best of a sample mutates, the oldest leaves."""
    rng = np.random.default_rng(seed)
    metrics = blackbox.objectives_names[:-1]
    alive: list[tuple[dict[str, Any], list[float]]] = []
    told: list[dict[str, Any]] = []
    while len(told) < n:
        if len(alive) < 20:
            config = {name: domain.sample(rng) for name, domain in blackbox.configuration_space.items()}
        else:
            drawn = [alive[int(i)] for i in rng.choice(len(alive), 6, replace=False)]
            front = nmo.nondominated([values for _, values in drawn])
            config = dict(drawn[int(rng.choice(np.flatnonzero(front)))][0])
            name = str(rng.choice(list(config)))
            config[name] = blackbox.configuration_space[name].sample(rng)
        result = simulated(blackbox, config)[-1]
        alive = [*alive, (config, [result[metric] for metric in metrics])][-20:]
        told.append(config)
    return told


@pytest.mark.usefixtures("syne_tune")
def test_a_scheduler_that_minimises_comes_near_the_front() -> None:
    problem = nmo.problem("nb201s-c10-flops-v1")
    blackbox = SyneTuneBlackbox(problem, seconds_per_evaluation=600)
    for seed in (0, 1):
        told = regularised_evolution(blackbox, n=300, seed=seed)
        F = np.array([list(blackbox(config, 1).values())[:2] for config in told])
        assert 0.85 < problem.hypervolume_share(F) <= 1


def test_what_is_no_architecture_or_fidelity_is_refused() -> None:
    blackbox = SyneTuneBlackbox(toy_problem(3, 4, 2), seconds_per_evaluation=1)
    with pytest.raises(ArchitectureError, match="'v0' has the values 0, 1, 2; got '3'"):
        blackbox({"v0": "3", "v1": "0", "v2": "0"})
    for fidelity in (2, {"epochs": 1}):
        with pytest.raises(ObjectiveError, match="has values after evaluation 1; got"):
            blackbox(configuration([[0, 0, 0]])[0], fidelity)


@pytest.mark.usefixtures("cache")
def test_the_clock_needs_one_source_of_time() -> None:
    with pytest.raises(SpecError, match="has no training times"):
        SyneTuneBlackbox(toy_problem())
    with pytest.raises(SpecError, match="leave seconds_per_evaluation out"):
        SyneTuneBlackbox(curve_problem(), seconds_per_evaluation=5)
    with pytest.raises(SpecError, match="positive number"):
        SyneTuneBlackbox(toy_problem(), seconds_per_evaluation=0)


def test_without_syne_tune_the_values_remain_and_the_domains_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "syne_tune", None)
    monkeypatch.setitem(sys.modules, "syne_tune.config_space", None)
    blackbox = SyneTuneBlackbox(toy_problem(3, 4, 2), seconds_per_evaluation=1)
    assert blackbox(configuration([[0, 0, 0]])[0], 1)["error_percent"] == 0
    with pytest.raises(MissingDependencyError, match="pip install syne-tune"):
        _ = blackbox.configuration_space
