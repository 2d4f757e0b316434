"""pymoo both ways: values, constraints and noise as it sees them, its algorithms on our problems and as searchers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmark_helpers import ERROR, LATENCY, opposed, store_synthetic_nb201, toy_problem, toy_space
from pymoo.algorithms.moo.ctaea import CTAEA
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.algorithms.moo.spea2 import SPEA2
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.pso import PSO
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

import nasbench_mo as nmo
from nasbench_mo.adapters.pymoo import PymooAlgorithm, space_operators, to_pymoo
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import ArchitectureError, SearcherError
from nasbench_mo.testing import check_searcher

FLOPS = "nb201s-c10-flops-v1"
BOUNDS = ("flops_millions <= 60", "params_millions <= 0.5")


def directions(n: int) -> Any:
    return get_reference_directions("das-dennis", 2, n_partitions=n - 1)


# ---------------------------------------------------------------------- our problems in pymoo


def test_values_bounds_and_names_are_the_problems() -> None:
    problem = toy_problem(5, 4, 3)
    theirs = to_pymoo(problem)
    X = problem.space.enumerate()
    assert (theirs.n_var, theirs.n_obj, theirs.n_constr, theirs.name()) == (3, 2, 0, "toy-v1")
    np.testing.assert_array_equal(theirs.xl, [0, 0, 0])
    np.testing.assert_array_equal(theirs.xu, [4, 3, 2])
    np.testing.assert_array_equal(theirs.evaluate(X), opposed(X))
    np.testing.assert_array_equal(theirs.evaluate(X.astype(float)), opposed(X))
    np.testing.assert_array_equal(theirs.evaluate(X.astype(object)), opposed(X))
    np.testing.assert_array_equal(theirs.evaluate(X[7]), opposed(X[7:8])[0])


@pytest.mark.parametrize(
    ("row", "said"), [([0.0, 1.5, 0.0], "variable 1: expected a whole"), ([0.0, 4.0, 0.0], "0..3")]
)
def test_what_is_no_architecture_is_refused(row: list[float], said: str) -> None:
    with pytest.raises(ArchitectureError, match=said):
        to_pymoo(toy_problem(5, 4, 3)).evaluate(np.array([[0.0, 0.0, 0.0], row]))


def test_constraints_are_inequalities_in_order_and_at_most_zero_where_they_are_kept() -> None:
    problem = nmo.problem(FLOPS).constrained(*BOUNDS)
    X = problem.space.sample(500, rng=np.random.default_rng(0))
    F, G = to_pymoo(problem).evaluate(X)
    flops = F[:, 1]
    assert [c.column for c in problem.constraints] == ["flops_millions", "params_millions"]
    np.testing.assert_allclose(G[:, 0], (flops - 60) / 60)
    np.testing.assert_array_equal((G <= 0).all(axis=1), problem.feasible(X))
    np.testing.assert_allclose(np.maximum(G, 0).sum(axis=1), problem.violation(X))
    assert 0 < problem.feasible(X).mean() < 1


def test_a_lower_bound_is_an_inequality_too() -> None:
    problem = nmo.problem(FLOPS).constrained("flops_millions >= 30")
    F, G = to_pymoo(problem).evaluate(problem.space.enumerate())
    np.testing.assert_array_equal(G[:, 0] <= 0, F[:, 1] >= 30)


@pytest.mark.usefixtures("cache")
def test_a_search_sees_the_drawn_training_run() -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    X = problem.space.sample(50, rng=np.random.default_rng(0))
    seen = [to_pymoo(problem, noise_seed=seed).evaluate(X) for seed in (3, 4)]
    np.testing.assert_array_equal(seen[0], problem.observation(3).evaluate(X))
    assert (seen[0] != seen[1]).any()
    assert (seen[0] != problem.evaluate(X)).any()


def test_the_exact_front_is_known_where_it_costs_nothing() -> None:
    problem = nmo.problem(FLOPS).constrained(*BOUNDS)
    np.testing.assert_array_equal(to_pymoo(problem).pareto_front(), problem.true_front())
    asked: list[int] = []

    def dear(X: Any) -> Any:
        asked.append(len(X))
        return opposed(X)

    mine = Problem.from_function("dear-v1", dear, search_space=toy_space(4, 4), objectives=[ERROR, LATENCY])
    minimize(to_pymoo(mine), NSGA2(4, **space_operators(mine.space)), ("n_eval", 8), seed=0)
    assert to_pymoo(mine).pareto_front() is None
    assert sum(asked) <= 8


def test_a_history_does_not_copy_the_problem() -> None:
    theirs = to_pymoo(toy_problem(5, 4, 3))
    found = minimize(theirs, NSGA2(6, **space_operators(toy_space(5, 4, 3))), ("n_gen", 3), seed=0, save_history=True)
    assert all(entry.problem is theirs for entry in found.history)


@pytest.mark.parametrize("bounds", [(), BOUNDS])
def test_pymoos_nsga2_comes_near_the_front(bounds: tuple[str, ...]) -> None:
    problem = nmo.problem(FLOPS).constrained(*bounds)
    for seed in range(3):
        algorithm = NSGA2(20, **space_operators(problem.space))
        found = minimize(to_pymoo(problem), algorithm, ("n_eval", 500), seed=seed)
        F = problem.evaluate(found.X)
        np.testing.assert_array_equal(F, found.F)
        assert problem.feasible(found.X).all()
        assert 0.9 < problem.hypervolume_share(F) <= 1


# ---------------------------------------------------------------------- pymoo's algorithms as searchers


def test_an_algorithm_of_pymoo_keeps_the_contract() -> None:
    check_searcher(
        lambda s, m, seed: PymooAlgorithm(s, m, algorithm=NSGA2, seed=seed, pop_size=20),
        space=nmo.space("nb201"),
        other_process=False,  # it is around a class of the caller's
    )


def test_it_proposes_what_the_searcher_of_that_algorithm_does() -> None:
    problem = nmo.problem(FLOPS)
    ours = nmo.run(problem, nmo.searcher("nsga2", problem.space, 2, seed=3), budget=150)
    theirs = nmo.run(problem, PymooAlgorithm(problem.space, 2, algorithm=NSGA2, seed=3, pop_size=20), budget=150)
    np.testing.assert_array_equal(theirs.X, ours.X)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (SPEA2, {"pop_size": 16}),
        (NSGA3, {"ref_dirs": directions(16)}),
        (SMSEMOA, {"pop_size": 16}),
        (MOEAD, {"ref_dirs": directions(16), "n_neighbors": 4}),
        (CTAEA, {"ref_dirs": directions(16)}),
    ],
)
def test_any_multi_objective_algorithm_searches(algorithm: Any, settings: dict[str, Any]) -> None:
    problem = nmo.problem(FLOPS)
    run = nmo.run(problem, PymooAlgorithm(problem.space, 2, algorithm=algorithm, **settings), budget=250)
    assert len(run) == 250
    assert 0.85 < run.hypervolume_share() <= 1


@pytest.mark.parametrize("algorithm", [DE, PSO])
def test_an_algorithm_that_moves_in_real_numbers_is_rounded(algorithm: Any) -> None:
    def total(X: Any) -> Any:
        return X.sum(axis=1, keepdims=True).astype(float)

    problem = Problem.from_function("sum-v1", total, search_space=toy_space(9, 9, 9), objectives=[ERROR])
    run = nmo.run(problem, PymooAlgorithm(problem.space, 1, algorithm=algorithm, pop_size=10), budget=120)
    assert run.F.min() <= 1  # of 0..24: it minimises


def test_an_algorithm_without_constraints_is_told_values_in_which_they_show() -> None:
    problem = nmo.problem(FLOPS).constrained(*BOUNDS)
    searcher = PymooAlgorithm(
        problem.space, 2, algorithm=MOEAD, heeds_constraints=False, ref_dirs=directions(16), n_neighbors=4
    )
    run = nmo.run(problem, searcher, budget=200)
    by_chance = problem.feasible(problem.space.enumerate()).mean()
    assert problem.feasible(run.X[100:]).mean() > by_chance


def test_it_is_identified_by_its_settings() -> None:
    space = nmo.space("nb201")
    made = PymooAlgorithm(space, 2, algorithm=MOEAD, ref_dirs=directions(4), n_neighbors=2, heeds_constraints=False)
    other = PymooAlgorithm(space, 2, algorithm=MOEAD, ref_dirs=directions(5), n_neighbors=2, heeds_constraints=False)
    assert made.name == "pymoo-moead"
    assert made.options()["n_neighbors"] == 2
    assert made.options()["ref_dirs"] != other.options()["ref_dirs"]


@pytest.mark.parametrize(
    ("algorithm", "settings", "said"),
    [
        (NSGA2(pop_size=10), {}, "got an instance of NSGA2. Give algorithm=NSGA2"),
        (MOEAD, {}, "searcher 'pymoo-moead'"),
    ],
)
def test_what_makes_no_algorithm_is_refused(algorithm: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SearcherError, match=said):
        PymooAlgorithm(nmo.space("nb201"), 2, algorithm=algorithm, **settings)
