"""Optuna: what a trial is told, which trials are feasible, and Optuna's samplers on our problems."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import optuna
import pytest
from benchmark_helpers import opposed, store_synthetic_nb201, toy_problem

import nasbench_mo as nmo
from nasbench_mo.adapters.optuna import OptunaObjective
from nasbench_mo.errors import ArchitectureError

FLOPS = "nb201s-c10-flops-v1"
BOUNDS = ("flops_millions <= 60", "params_millions <= 0.5")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def test_every_architecture_has_its_values_in_order_and_sign() -> None:
    problem = toy_problem(3, 4, 2)
    objective = OptunaObjective(problem)
    X = problem.space.enumerate()
    for row, values in zip(X, opposed(X), strict=True):
        chosen = {f"v{j}": str(code) for j, code in enumerate(row)}
        assert objective(optuna.trial.FixedTrial(chosen)) == tuple(values)
    assert objective.directions == ["minimize", "minimize"]
    assert objective.metric_names == ["error_percent", "latency_ms"]


def test_a_study_of_told_trials_finds_the_exact_front() -> None:
    problem = toy_problem(3, 4, 2)
    objective = OptunaObjective(problem)
    study = optuna.create_study(directions=objective.directions)
    for row in problem.space.enumerate():
        params = {f"v{j}": str(code) for j, code in enumerate(row)}
        values = problem.evaluate(row[None])[0].tolist()
        study.add_trial(optuna.create_trial(params=params, distributions=objective.distributions, values=values))
    best = np.unique([trial.values for trial in study.best_trials], axis=0)
    np.testing.assert_array_equal(best, problem.true_front())
    np.testing.assert_array_equal(
        problem.evaluate(objective.encodings(study.trials)), opposed(problem.space.enumerate())
    )


def test_asking_with_the_distributions_is_the_same_as_suggesting() -> None:
    objective = OptunaObjective(toy_problem(3, 4, 2))
    study = optuna.create_study(directions=objective.directions, sampler=optuna.samplers.RandomSampler(seed=0))
    asked = study.ask(objective.distributions)
    values = objective(asked)
    study.tell(asked, values)
    assert study.trials[0].values == list(values)
    assert study.trials[0].user_attrs["arch"] == objective.problem.space.decode(objective.encodings(study.trials))[0]


def test_constraints_are_at_most_zero_where_they_are_kept() -> None:
    problem = nmo.problem(FLOPS).constrained(*BOUNDS)
    objective = OptunaObjective(problem)
    study = optuna.create_study(directions=objective.directions, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=60)
    X = objective.encodings(study.trials)
    excess = np.array([objective.constraints(trial) for trial in study.trials])
    np.testing.assert_array_equal((excess <= 0).all(axis=1), problem.feasible(X))
    np.testing.assert_allclose(np.maximum(excess, 0).sum(axis=1), problem.violation(X))
    assert 0 < problem.feasible(X).sum() < len(X)
    assert list(study.trials[0].constraints) == [str(c) for c in problem.constraints]
    np.testing.assert_array_equal([list(trial.constraints.values()) for trial in study.trials], excess)
    assert problem.feasible(objective.encodings(study.best_trials)).all()


@pytest.mark.filterwarnings("ignore:.*constraints_func:FutureWarning")  # how it was done before Optuna 5
def test_the_constraints_function_of_earlier_versions_says_the_same() -> None:
    problem = nmo.problem(FLOPS).constrained(*BOUNDS)
    objective = OptunaObjective(problem)
    sampler = optuna.samplers.NSGAIISampler(population_size=10, seed=0, constraints_func=objective.constraints)
    study = optuna.create_study(directions=objective.directions, sampler=sampler)
    study.optimize(objective, n_trials=60)
    assert problem.feasible(objective.encodings(study.best_trials)).all()


@pytest.mark.usefixtures("cache")
def test_a_study_sees_the_drawn_training_run() -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    objective = OptunaObjective(problem, noise_seed=3)
    study = optuna.create_study(directions=objective.directions, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=30)
    X = objective.encodings(study.trials)
    seen = np.array([trial.values for trial in study.trials])
    np.testing.assert_array_equal(seen, problem.observation(3).evaluate(X))
    assert (seen != problem.evaluate(X)).any()


def test_a_trial_that_is_no_architecture_is_refused() -> None:
    objective = OptunaObjective(toy_problem(3, 4, 2))
    made = optuna.create_trial(
        params={"v0": "0"}, distributions={"v0": objective.distributions["v0"]}, values=[0.0, 0.0]
    )
    with pytest.raises(ArchitectureError, match="expected a value for each of v0, v1, v2; got v0"):
        objective.constraints(made)


@pytest.mark.parametrize("bounds", [(), BOUNDS])
def test_optunas_nsga2_comes_near_the_front(bounds: tuple[str, ...]) -> None:
    problem = nmo.problem(FLOPS).constrained(*bounds)
    objective = OptunaObjective(problem)
    for seed in (0, 1):
        sampler = optuna.samplers.NSGAIISampler(population_size=20, seed=seed)
        study = optuna.create_study(directions=objective.directions, sampler=sampler)
        study.optimize(objective, n_trials=300)
        X = objective.encodings(study.best_trials)
        assert problem.feasible(X).all()
        assert 0.85 < problem.hypervolume_share(problem.evaluate(X)) <= 1
