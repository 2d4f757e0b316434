"""Anytime shares, evaluations to targets, ECDFs: against slow oracles and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark_helpers import slow_front, slow_hypervolume
from board_helpers import ERROR, LATENCY, drawn_problem, toy_board
from hypothesis import given, settings
from hypothesis import strategies as st

import nasbench_mo as nmo
from nasbench_mo.benchmark import Problem
from nasbench_mo.leaderboard.indicators import (
    Judge,
    at_evaluations,
    ecdf,
    ecdf_area,
    evaluation_grid,
    evaluations_to,
)

PROBLEMS = {"plain": drawn_problem("plain-v1", noisy=False), "noisy": drawn_problem("noisy-v1", noisy=True)}
PROBLEMS["three"] = drawn_problem("three-v1", noisy=False, n_objectives=3)
PROBLEMS["three noisy"] = drawn_problem("three-noisy-v1", noisy=True, n_objectives=3)


@pytest.fixture(params=sorted(PROBLEMS))
def problem(request: pytest.FixtureRequest) -> Problem:
    return PROBLEMS[request.param]


def slow_curve(problem: Problem, X: np.ndarray, observed: np.ndarray) -> list[float]:
    """Every prefix by itself: its observed front, scored."""
    scaled = problem.normalize(problem.evaluate(X))
    curve = []
    for k in range(1, len(X) + 1):
        members = [
            i
            for i in range(k)
            if not ((observed[:k] <= observed[i]).all(1) & (observed[:k] < observed[i]).any(1)).any()
        ]
        curve.append(slow_hypervolume(scaled[members], reference=[1.1] * problem.n_objectives))
    return curve


@pytest.mark.parametrize("seed", range(3))
def test_the_anytime_share_equals_recomputing_every_prefix(problem: Problem, seed: int) -> None:
    X = problem.space.sample(35, rng=np.random.default_rng(seed))
    observed = problem.observation(seed).evaluate(X)
    expected = np.array(slow_curve(problem, X, observed)) / problem.manifest.score.hypervolume
    np.testing.assert_allclose(Judge(problem).share_curve(X, observed), expected, rtol=1e-12, atol=1e-14)


def test_ties_in_what_is_seen_stay_on_the_front_together() -> None:
    problem = PROBLEMS["noisy"]
    X = problem.space.sample(60, rng=np.random.default_rng(5))
    observed = np.round(problem.observation(0).evaluate(X), 1)
    expected = np.array(slow_curve(problem, X, observed)) / problem.manifest.score.hypervolume
    np.testing.assert_allclose(Judge(problem).share_curve(X, observed), expected, rtol=1e-12, atol=1e-14)
    assert (np.diff(expected) < 0).any()  # noise can make a front worse than it was


def test_the_share_is_that_of_a_run(problem: Problem) -> None:
    run = nmo.run(problem, "random", budget=60, seed=1)
    judge = Judge(problem)
    np.testing.assert_allclose(judge.share_curve(run.X, run.F), run.hypervolume_curve(), rtol=1e-12)
    found = judge.front_rows(run.X, run.F)
    np.testing.assert_array_equal(found, np.sort(run.front().evaluation))
    share = judge.indicator("test_hypervolume_share", run.X[found])
    assert share == pytest.approx(run.hypervolume_share(on="test"))


def test_degenerate_architectures_count_as_evaluations_and_are_on_no_front() -> None:
    def conflict(X: np.ndarray) -> np.ndarray:  # cells without operations would be the best of the first
        return np.stack([(X > 0).sum(axis=1), ((X - 3) ** 2).sum(axis=1)], axis=1).astype(float)

    objectives = [ERROR, LATENCY]
    problem = Problem.from_function("cells-v1", conflict, search_space=nmo.space("nb201"), objectives=objectives)
    X = problem.space.enumerate()
    dead_F = problem.evaluate(X[problem.space.degenerate(X)])
    assert problem.hypervolume(dead_F) > 0
    dead = X[problem.space.degenerate(X)]
    live = X[~problem.space.degenerate(X)][:50]
    both = np.concatenate([dead, live])
    judge = Judge(problem)
    F = problem.evaluate(both)
    curve = judge.share_curve(both, F)
    assert not curve[: len(dead)].any()
    np.testing.assert_allclose(curve[len(dead) :], judge.share_curve(live, F[len(dead) :]), rtol=1e-12)
    assert judge.front_rows(both, F).min() >= len(dead)


def test_architectures_that_violate_a_constraint_are_on_no_front() -> None:
    problem = PROBLEMS["plain"].constrained("error <= 0.5")
    run = nmo.run(problem, "random", budget=60, seed=1)
    judge = Judge(problem)
    np.testing.assert_allclose(judge.share_curve(run.X, run.F), run.hypervolume_curve(), rtol=1e-12)
    np.testing.assert_array_equal(judge.front_rows(run.X, run.F), np.sort(run.front().evaluation))
    assert (run.F[judge.front_rows(run.X, run.F), 0] <= 0.5).all()
    assert judge.share_curve(*_all(problem))[-1] == pytest.approx(1, abs=1e-12)


def _all(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    X = problem.space.enumerate()
    return X, problem.evaluate(X)


def test_the_exact_front_is_worth_everything(problem: Problem) -> None:
    X = problem.space.enumerate()
    F = problem.evaluate(X)
    judge = Judge(problem)
    best = [int(np.flatnonzero((F == f).all(axis=1))[0]) for f in slow_front(F)]
    assert judge.share_curve(X[best], F[best])[-1] == pytest.approx(1, abs=1e-12)
    assert judge.indicator("igd_plus", X[best]) == 0
    assert judge.indicator("epsilon", X[best]) == 0
    assert judge.indicator("epsilon", X[best][:1]) > 0
    assert judge.indicator("igd_plus", X[:0]) == np.inf


def test_a_problem_without_test_values_has_no_test_share() -> None:
    problem = toy_board().problem("toy-v1")
    assert Judge(problem).indicator("test_hypervolume_share", problem.space.enumerate()) is None


def test_evaluations_to_a_target_are_the_first_and_infinite_where_never() -> None:
    curve = np.array([0.1, 0.5, 0.4, 0.5, 1.0 - 1e-12])
    assert evaluations_to(curve, (0.1, 0.45, 0.5, 0.6, 1.0)).tolist() == [1, 2, 2, 5, 5]
    assert evaluations_to(curve[:4], (0.5, 0.6)).tolist() == [2, np.inf]
    assert evaluations_to(curve[:0], (0.5,)).tolist() == [np.inf]


def test_a_run_that_ended_early_keeps_its_last_value() -> None:
    assert at_evaluations(np.array([0.1, 0.2]), np.array([1, 2, 3, 9])).tolist() == [0.1, 0.2, 0.2, 0.2]
    assert at_evaluations(np.zeros(0), np.array([1, 2])).tolist() == [0, 0]


@pytest.mark.parametrize("budget", [1, 2, 50, 300, 10_000])
def test_the_grid_ascends_from_one_to_the_budget(budget: int) -> None:
    grid = evaluation_grid(budget)
    assert (grid[0], grid[-1]) == (1, budget)
    assert (np.diff(grid) > 0).all()


hits = st.lists(st.one_of(st.integers(1, 40).map(float), st.just(np.inf)), min_size=1, max_size=30)


@given(hits)
@settings(max_examples=50, deadline=None)
def test_the_ecdf_counts_what_was_reached(values: list[float]) -> None:
    grid = evaluation_grid(40)
    expected = [[e, sum(v <= e for v in values) / len(values)] for e in grid]
    np.testing.assert_allclose(ecdf(values, grid), expected)


@given(hits)
@settings(max_examples=25, deadline=None)
def test_the_area_is_the_integral_of_the_ecdf_over_log_evaluations(values: list[float]) -> None:
    edges = np.geomspace(1, 40, 40_001)
    middle = np.sqrt(edges[1:] * edges[:-1])
    integral = ecdf(values, middle)[:, 1].mean()
    assert ecdf_area(values, budget=40) == pytest.approx(integral, abs=1e-4)


def test_the_area_is_one_for_what_is_reached_at_once_and_zero_for_what_never_is() -> None:
    assert ecdf_area([1.0, 1.0], budget=300) == 1
    assert ecdf_area([np.inf, 300.0], budget=300) == 0
    assert ecdf_area([1.0, np.inf], budget=1) == 0.5
