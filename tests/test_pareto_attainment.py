"""Attainment surfaces against a count over the grid of all coordinates."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto import attainment_surface, front

Floats = NDArray[np.float64]

relaxed = settings(deadline=None, max_examples=60)


@st.composite
def runs(draw: st.DrawFn, *, max_objectives: int = 3) -> list[Floats]:
    """One to six runs of 0 to 5 points, with ties, duplicates and dominated points."""
    m = draw(st.integers(2, max_objectives))
    elements = st.integers(0, 4).map(float)
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    return [draw(arrays(np.float64, (n, m), elements=elements)) for n in sizes]


def attained_by(point: Floats, *, fronts: list[Floats]) -> int:
    return sum(any(np.all(row <= point) for row in run) for run in fronts)


def counted_surface(fronts: list[Floats], *, n_needed: int) -> list[list[float]]:
    """Minimal grid points that enough runs attain; the surface can only bend at coordinates of the input."""
    rows = np.concatenate(fronts)
    axes = [np.unique(rows[:, j]) for j in range(rows.shape[1])]
    grid = [np.array(node) for node in product(*axes)]
    attained = [node for node in grid if attained_by(node, fronts=fronts) >= n_needed]
    minimal = [
        node for node in attained if not any(np.all(other <= node) and np.any(other < node) for other in attained)
    ]
    return sorted(node.tolist() for node in minimal)


@relaxed
@given(fronts=runs(max_objectives=2), data=st.data())
def test_a_surface_of_two_objectives_equals_the_count_on_the_grid(fronts: list[Floats], data: st.DataObject) -> None:
    n_needed = data.draw(st.integers(1, len(fronts)))
    surface = attainment_surface(fronts, quantile=n_needed / len(fronts))
    assert surface.tolist() == counted_surface(fronts, n_needed=n_needed)


@settings(deadline=None, max_examples=30)
@given(fronts=runs(), data=st.data())
def test_a_surface_of_two_or_three_objectives_equals_the_count_on_the_grid(
    fronts: list[Floats], data: st.DataObject
) -> None:
    n_needed = data.draw(st.integers(1, len(fronts)))
    surface = attainment_surface(fronts, quantile=n_needed / len(fronts))
    assert surface.tolist() == counted_surface(fronts, n_needed=n_needed)


@relaxed
@given(fronts=runs(), quantile=st.floats(0.01, 1.0))
def test_every_point_of_a_surface_is_attained_by_the_share(fronts: list[Floats], quantile: float) -> None:
    surface = attainment_surface(fronts, quantile=quantile)
    assert surface.shape[1] == fronts[0].shape[1]
    for point in surface:
        assert attained_by(point, fronts=fronts) >= quantile * len(fronts) - 1e-6
    assert np.array_equal(front(surface), surface)


@relaxed
@given(fronts=runs(), low=st.floats(0.01, 1.0), high=st.floats(0.01, 1.0))
def test_a_larger_share_attains_no_more(fronts: list[Floats], low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    easy = attainment_surface(fronts, quantile=low)
    for point in attainment_surface(fronts, quantile=high):
        assert (easy <= point).all(axis=1).any()


@relaxed
@given(fronts=runs(), quantile=st.floats(0.01, 1.0), seed=st.integers(0, 1000))
def test_the_order_of_runs_and_rows_does_not_matter(fronts: list[Floats], quantile: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = [fronts[i][rng.permutation(len(fronts[i]))] for i in rng.permutation(len(fronts))]
    expected = attainment_surface(fronts, quantile=quantile)
    assert np.array_equal(attainment_surface(shuffled, quantile=quantile), expected)


@relaxed
@given(fronts=runs())
def test_the_smallest_share_is_the_front_of_all_runs_together(fronts: list[Floats]) -> None:
    best = attainment_surface(fronts, quantile=1 / len(fronts))
    assert np.array_equal(best, front(np.concatenate(fronts)))


def test_one_run_has_its_own_front_as_every_surface() -> None:
    F = np.array([[1.0, 3.0], [2.0, 1.0], [2.0, 3.0]])
    for quantile in (0.01, 0.5, 1.0):
        assert attainment_surface([F], quantile=quantile).tolist() == [[1.0, 3.0], [2.0, 1.0]]


def test_three_runs_of_one_point() -> None:
    fronts = [[[1, 3]], [[2, 2]], [[3, 1]]]
    assert attainment_surface(fronts, quantile=1 / 3).tolist() == [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]
    assert attainment_surface(fronts, quantile=2 / 3).tolist() == [[2.0, 3.0], [3.0, 2.0]]
    assert attainment_surface(fronts, quantile=1.0).tolist() == [[3.0, 3.0]]


def test_an_empty_run_counts_as_a_run_that_attains_nothing() -> None:
    fronts = [np.array([[1.0, 1.0]]), np.empty((0, 2))]
    assert attainment_surface(fronts, quantile=0.5).tolist() == [[1.0, 1.0]]
    assert attainment_surface(fronts, quantile=1.0).shape == (0, 2)
    assert attainment_surface([np.empty((0, 3))], quantile=0.1).shape == (0, 3)


@pytest.mark.parametrize("n_runs", [1, 3, 7, 10, 29, 30, 49])
def test_a_share_that_is_whole_up_to_rounding_needs_that_many_runs(n_runs: int) -> None:
    # Run i reaches only (i, 0), so the surface of k runs is the single point (k - 1, 0).
    fronts = [[[i, 0]] for i in range(n_runs)]
    for k in range(1, n_runs + 1):
        for quantile in (k / n_runs, k * (1 / n_runs), float(np.float32(k / n_runs))):
            surface = attainment_surface(fronts, quantile=min(quantile, 1.0))
            assert surface.tolist() == [[k - 1.0, 0.0]]
    between = attainment_surface(fronts, quantile=0.5 / n_runs)
    assert between.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("quantile", [0.0, -0.5, 1.0001, float("nan"), float("inf"), True, "0.5", None])
def test_a_share_outside_its_range_is_an_error(quantile: object) -> None:
    with pytest.raises(FrontError, match="quantile must be a number greater than 0 and at most 1; got"):
        attainment_surface([[[1, 2]]], quantile=quantile)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_objectives", [1, 4])
def test_other_numbers_of_objectives_are_an_error(n_objectives: int) -> None:
    with pytest.raises(FrontError, match=rf"only 2 and 3 objectives; fronts\[0\] has {n_objectives}"):
        attainment_surface([np.zeros((2, n_objectives))], quantile=0.5)


def test_no_fronts_are_an_error() -> None:
    with pytest.raises(FrontError, match="at least one front"):
        attainment_surface([], quantile=0.5)


def test_fronts_of_different_objectives_are_an_error_that_names_the_run() -> None:
    with pytest.raises(FrontError, match=r"fronts\[1\] must have shape \(n, 2\); got shape \(1, 3\)"):
        attainment_surface([[[1, 2]], [[1, 2, 3]]], quantile=0.5)


def test_a_single_front_in_place_of_a_list_is_an_error() -> None:
    with pytest.raises(FrontError, match=r"fronts\[0\] must be two-dimensional.*\(2,\)"):
        attainment_surface(list(np.zeros((4, 2))), quantile=0.5)


def test_nan_in_a_front_is_an_error_that_names_the_run() -> None:
    with pytest.raises(FrontError, match=r"fronts\[1\] must be finite; got nan at row 0, column 1"):
        attainment_surface([[[1, 2]], [[1, np.nan]]], quantile=0.5)
