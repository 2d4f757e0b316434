"""IGD+ and additive epsilon against their definitions, worked cases and order properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto import additive_epsilon, front, igd_plus

Floats = NDArray[np.float64]

relaxed = settings(deadline=None, max_examples=60)
INDICATORS = [igd_plus, additive_epsilon]


@st.composite
def set_pairs(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """A set of points and a reference front of 1 to 6 objectives, with ties or without."""
    m = draw(st.integers(1, 6))
    elements = draw(st.sampled_from([st.integers(-2, 4).map(float), st.floats(-100, 100, allow_nan=False)]))
    F = draw(arrays(np.float64, (draw(st.integers(1, 8)), m), elements=elements))
    R = draw(arrays(np.float64, (draw(st.integers(1, 8)), m), elements=elements))
    return F, R


def slow_igd_plus(F: Floats, *, reference_front: Floats) -> float:
    shortfalls = []
    for target in reference_front:
        lengths = [math.sqrt(sum(max(a - r, 0.0) ** 2 for a, r in zip(point, target, strict=True))) for point in F]
        shortfalls.append(min(lengths))
    return float(np.mean(shortfalls))


def slow_additive_epsilon(F: Floats, *, reference_front: Floats) -> float:
    return max(min(float(np.max(point - target)) for point in F) for target in reference_front)


@relaxed
@given(pair=set_pairs())
def test_igd_plus_equals_its_definition(pair: tuple[Floats, Floats]) -> None:
    F, R = pair
    expected = slow_igd_plus(F, reference_front=R)
    assert igd_plus(F, reference_front=R) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@relaxed
@given(pair=set_pairs())
def test_additive_epsilon_equals_its_definition(pair: tuple[Floats, Floats]) -> None:
    F, R = pair
    assert additive_epsilon(F, reference_front=R) == slow_additive_epsilon(F, reference_front=R)


def test_igd_plus_of_a_single_pair_counts_only_what_is_worse() -> None:
    assert igd_plus([[3, 4]], reference_front=[[0, 0]]) == 5.0
    assert igd_plus([[3, -4]], reference_front=[[0, 0]]) == 3.0
    assert igd_plus([[-3, -4]], reference_front=[[0, 0]]) == 0.0


def test_igd_plus_prefers_the_set_that_dominates() -> None:
    # Three points each, those of the second set dominated by the first's; plain IGD prefers the second.
    R = np.array([[10, 0], [6, 1], [2, 2], [1, 6], [0, 10]])
    better, worse = np.array([[4, 2], [3, 3], [2, 4]]), np.array([[8, 2], [4, 4], [2, 8]])
    assert igd_plus(better, reference_front=R) < igd_plus(worse, reference_front=R)
    # From (10, 0), (6, 1), (2, 2) and mirrored: shortfalls 2, 1, sqrt(2), 1, 2.
    assert igd_plus([[3, 3], [4, 2], [2, 4]], reference_front=R) == pytest.approx((6 + math.sqrt(2)) / 5)


def test_additive_epsilon_of_worked_cases() -> None:
    assert additive_epsilon([[1, 3]], reference_front=[[0, 1], [1, 0]]) == 3.0
    assert additive_epsilon([[1, 1]], reference_front=[[1, 1]]) == 0.0
    assert additive_epsilon([[0, 0]], reference_front=[[2, 3]]) == -2.0


def test_the_indicators_are_not_symmetric() -> None:
    good, bad = [[0, 0]], [[1, 2]]
    assert igd_plus(good, reference_front=bad) == 0.0
    assert igd_plus(bad, reference_front=good) == math.sqrt(5)
    assert additive_epsilon(good, reference_front=bad) == -1.0
    assert additive_epsilon(bad, reference_front=good) == 2.0


@pytest.mark.parametrize("indicator", INDICATORS)
@relaxed
@given(pair=set_pairs())
def test_a_set_is_at_no_distance_from_itself_and_from_its_front(indicator: object, pair: tuple[Floats, Floats]) -> None:
    assert callable(indicator)
    F, _ = pair
    assert indicator(F, reference_front=front(F)) == 0.0
    assert indicator(front(F), reference_front=front(F)) == 0.0


@pytest.mark.parametrize("indicator", INDICATORS)
@relaxed
@given(pair=set_pairs(), seed=st.integers(0, 1000))
def test_order_copies_and_dominated_points_change_nothing(
    indicator: object, pair: tuple[Floats, Floats], seed: int
) -> None:
    assert callable(indicator)
    F, R = pair
    rng = np.random.default_rng(seed)
    expected = pytest.approx(indicator(F, reference_front=R), rel=1e-12, abs=1e-12)
    shuffled = indicator(F[rng.permutation(len(F))], reference_front=R[rng.permutation(len(R))])
    assert shuffled == expected
    assert indicator(np.vstack([F, F]), reference_front=R) == expected
    assert indicator(front(F), reference_front=R) == expected


@pytest.mark.parametrize("indicator", INDICATORS)
@relaxed
@given(pair=set_pairs())
def test_a_further_point_never_makes_it_worse(indicator: object, pair: tuple[Floats, Floats]) -> None:
    assert callable(indicator)
    F, R = pair
    assert indicator(F, reference_front=R) <= indicator(F[:1], reference_front=R)


@relaxed
@given(pair=set_pairs(), amount=st.integers(-5, 5))
def test_additive_epsilon_moves_with_the_set(pair: tuple[Floats, Floats], amount: int) -> None:
    F, R = pair
    moved = additive_epsilon(F + amount, reference_front=R)
    assert moved == pytest.approx(additive_epsilon(F, reference_front=R) + amount, abs=1e-9)


@relaxed
@given(pair=set_pairs())
def test_subtracting_the_additive_epsilon_gives_weak_dominance(pair: tuple[Floats, Floats]) -> None:
    F, R = np.round(pair[0]), np.round(pair[1])
    moved = F - additive_epsilon(F, reference_front=R)
    assert (moved[:, None, :] <= R[None, :, :]).all(axis=2).any(axis=0).all()


@pytest.mark.parametrize("indicator", INDICATORS)
@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_an_empty_set_is_infinitely_far(indicator: object, n_objectives: int) -> None:
    assert callable(indicator)
    assert indicator(np.empty((0, n_objectives)), reference_front=np.zeros((2, n_objectives))) == math.inf


@pytest.mark.parametrize("indicator", INDICATORS)
@pytest.mark.parametrize("n_rows", [0, 2])
def test_an_empty_reference_front_is_an_error(indicator: object, n_rows: int) -> None:
    assert callable(indicator)
    with pytest.raises(FrontError, match=r"reference_front must have at least one row; got shape \(0, 2\)"):
        indicator(np.zeros((n_rows, 2)), reference_front=np.empty((0, 2)))


@pytest.mark.parametrize("indicator", INDICATORS)
@pytest.mark.parametrize("n_objectives", [1, 2])
def test_a_distance_beyond_float64_is_an_error(indicator: object, n_objectives: int) -> None:
    assert callable(indicator)
    far = np.full((1, n_objectives), 1.5e308)
    with pytest.raises(FrontError, match="must fit into float64"):
        indicator(far, reference_front=-far)
