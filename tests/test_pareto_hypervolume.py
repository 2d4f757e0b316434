"""Hypervolume, contributions and curves against inclusion-exclusion, closed forms and recomputation."""

from __future__ import annotations

from itertools import combinations

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto import (
    front,
    hypervolume,
    hypervolume_contributions,
    hypervolume_curve,
)

Floats = NDArray[np.float64]

relaxed = settings(deadline=None, max_examples=60)

#: The reference value of every objective in the tests: some of the drawn points lie on it or beyond it.
CORNER = 5.0


@st.composite
def point_sets(draw: st.DrawFn, *, max_rows: int = 7, min_rows: int = 0) -> Floats:
    """Sets of 1 to 6 objectives: small integers (ties, duplicates, exact volumes) or floats of the same range."""
    shape = (draw(st.integers(min_rows, max_rows)), draw(st.integers(1, 6)))
    ties = st.integers(0, 6).map(float)
    smooth = st.floats(0, 6, allow_nan=False, width=32)
    return draw(arrays(np.float64, shape, elements=draw(st.sampled_from([ties, smooth]))))


def corner_of(F: Floats) -> Floats:
    return np.full(F.shape[1], CORNER)


def inclusion_exclusion(F: Floats, *, reference: Floats) -> float:
    """Volume of the union of the boxes between each point and the reference, from its definition."""
    inside = [row for row in F if np.all(row < reference)]
    volume = 0.0
    for size in range(1, len(inside) + 1):
        for chosen in combinations(inside, size):
            volume -= (-1.0) ** size * float(np.prod(reference - np.max(chosen, axis=0)))
    return volume


def close(value: float) -> object:
    # The oracle itself cancels terms of up to 6**6, so its own rounding sets the absolute tolerance.
    return pytest.approx(value, rel=1e-9, abs=1e-8)


@relaxed
@given(F=point_sets())
def test_hypervolume_equals_inclusion_exclusion(F: Floats) -> None:
    assert hypervolume(F, reference=corner_of(F)) == close(inclusion_exclusion(F, reference=corner_of(F)))


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4, 5, 6])
def test_hypervolume_of_many_points_equals_a_count_of_unit_cells(n_objectives: int) -> None:
    rng = np.random.default_rng(n_objectives)
    F = rng.integers(0, 6, size=(80, n_objectives)).astype(np.float64)
    F = F[F.sum(axis=1) >= 2 * n_objectives]
    reference = np.full(n_objectives, 5.0)
    cells = np.indices((5,) * n_objectives).reshape(n_objectives, -1).T
    inside = F[(F < reference).all(axis=1)]
    dominated = np.zeros(len(cells), dtype=bool)
    for row in inside:
        dominated |= (row <= cells).all(axis=1)
    assert 0 < dominated.sum() < len(cells)
    assert hypervolume(F, reference=reference) == dominated.sum()


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4, 5, 6, 7])
def test_one_point_dominates_one_box(n_objectives: int) -> None:
    sides = np.arange(1.0, n_objectives + 1)
    assert hypervolume(-sides[np.newaxis], reference=np.zeros(n_objectives)) == np.prod(sides)


def test_a_staircase_has_a_triangular_number_of_cells() -> None:
    steps = 20
    F = np.array([[i, steps - 1 - i] for i in range(steps)])
    assert hypervolume(F, reference=[steps, steps]) == steps * (steps + 1) / 2


def test_a_three_objective_corner_has_three_boxes_less_their_overlaps() -> None:
    F = np.array([[1, 2, 2], [2, 1, 2], [2, 2, 1]])
    assert hypervolume(F, reference=[3, 3, 3]) == 3 * 2 - 3 * 1 + 1


@pytest.mark.parametrize("outside", [[5.0, 0.0], [0.0, 5.0], [5.0, 5.0], [6.0, -100.0], [-100.0, 6.0], [9.0, 9.0]])
def test_a_point_not_strictly_better_than_the_reference_adds_nothing(outside: list[float]) -> None:
    reference = [5.0, 5.0]
    assert hypervolume([outside], reference=reference) == 0.0
    assert hypervolume([[1.0, 2.0], outside], reference=reference) == 12.0
    assert hypervolume_contributions([[1.0, 2.0], outside], reference=reference).tolist() == [12.0, 0.0]
    assert hypervolume_curve([outside, [1.0, 2.0], outside], reference=reference).tolist() == [
        0.0,
        12.0,
        12.0,
    ]


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 6])
def test_an_empty_set_has_volume_zero(n_objectives: int) -> None:
    empty = np.empty((0, n_objectives))
    reference = np.ones(n_objectives)
    assert hypervolume(empty, reference=reference) == 0.0
    assert hypervolume_contributions(empty, reference=reference).shape == (0,)
    assert hypervolume_curve(empty, reference=reference).shape == (0,)


@relaxed
@given(F=point_sets(min_rows=1))
def test_a_further_point_never_lowers_the_hypervolume(F: Floats) -> None:
    reference = corner_of(F)
    before = hypervolume(F[:-1], reference=reference)
    after = hypervolume(F, reference=reference)
    assert after >= before * (1 - 1e-12)


@relaxed
@given(F=point_sets())
def test_a_new_nondominated_point_inside_the_box_raises_the_hypervolume(F: Floats) -> None:
    F = np.round(F)
    reference = corner_of(F)
    better = F.min(axis=0, initial=1.0, keepdims=True) - 1.0
    assert hypervolume(np.vstack([F, better]), reference=reference) > hypervolume(F, reference=reference)


@relaxed
@given(F=point_sets(max_rows=20), seed=st.integers(0, 1000))
def test_hypervolume_depends_on_neither_order_nor_copies_nor_dominated_points(F: Floats, seed: int) -> None:
    reference = corner_of(F)
    expected = close(hypervolume(F, reference=reference))
    rng = np.random.default_rng(seed)
    assert hypervolume(F[rng.permutation(len(F))], reference=reference) == expected
    assert hypervolume(np.vstack([F, F]), reference=reference) == expected
    assert hypervolume(front(F), reference=reference) == expected
    columns = rng.permutation(F.shape[1])
    assert hypervolume(F[:, columns], reference=reference) == expected


@relaxed
@given(F=point_sets(max_rows=20), factor=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_hypervolume_scales_with_each_unit_and_ignores_a_shift(F: Floats, factor: float, shift: float) -> None:
    F = np.round(F)
    reference = corner_of(F)
    moved = F.copy()
    moved[:, 0] = factor * (F[:, 0] + shift)
    new_reference = reference.copy()
    new_reference[0] = factor * (CORNER + shift)
    # A point on the reference may end a rounding error inside it: an error of the volume, not a wrong volume.
    scale = factor * 6.0 ** F.shape[1]
    expected = factor * hypervolume(F, reference=reference)
    assert hypervolume(moved, reference=new_reference) == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale)


@relaxed
@given(F=point_sets(min_rows=1))
def test_a_contribution_is_what_removing_the_row_loses(F: Floats) -> None:
    reference = corner_of(F)
    total = inclusion_exclusion(F, reference=reference)
    expected = [total - inclusion_exclusion(np.delete(F, i, axis=0), reference=reference) for i in range(len(F))]
    contributions = hypervolume_contributions(F, reference=reference)
    assert contributions == pytest.approx(expected, rel=1e-9, abs=1e-8)
    assert (contributions >= 0).all()


@relaxed
@given(F=point_sets(min_rows=1, max_rows=20))
def test_contributions_of_a_front_are_those_of_removal(F: Floats) -> None:
    best = front(F)
    reference = corner_of(F)
    total = hypervolume(best, reference=reference)
    expected = [total - hypervolume(np.delete(best, i, axis=0), reference=reference) for i in range(len(best))]
    contributions = hypervolume_contributions(best, reference=reference)
    assert contributions == pytest.approx(expected, rel=1e-9, abs=1e-8)


def test_contributions_of_copies_are_zero_and_a_dominated_row_takes_its_share() -> None:
    F = np.array([[5, 1], [1, 5], [4, 2], [4, 4], [5, 1]])
    # (4, 2) alone holds [4, 5) x [2, 5), of which the dominated (4, 4) would keep [4, 5) x [4, 5).
    assert hypervolume_contributions(F, reference=[6, 6]).tolist() == [0.0, 3.0, 2.0, 0.0, 0.0]
    assert hypervolume_contributions(F[[0, 1, 2, 4]], reference=[6, 6]).tolist() == [0.0, 3.0, 3.0, 0.0]


def test_contributions_of_one_objective() -> None:
    assert hypervolume_contributions([[3], [1], [2], [9]], reference=[5]).tolist() == [0.0, 1.0, 0.0, 0.0]
    assert hypervolume_contributions([[1], [1]], reference=[5]).tolist() == [0.0, 0.0]
    assert hypervolume_contributions([[1], [6]], reference=[5]).tolist() == [4.0, 0.0]


@pytest.mark.parametrize("n_objectives", [2, 3, 4, 5, 6])
def test_contributions_of_copies_are_exactly_zero(n_objectives: int) -> None:
    rng = np.random.default_rng(n_objectives)
    for _ in range(20):
        point = rng.random(n_objectives)
        F = np.vstack([point, point, point + 0.1])
        assert hypervolume_contributions(F, reference=np.full(n_objectives, 1.7)).tolist() == [0.0] * 3


@relaxed
@given(F=point_sets(max_rows=25))
def test_a_curve_equals_recomputation_from_scratch(F: Floats) -> None:
    reference = corner_of(F)
    curve = hypervolume_curve(F, reference=reference)
    expected = [hypervolume(F[: k + 1], reference=reference) for k in range(len(F))]
    assert curve == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert (np.diff(curve) >= 0).all()


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("n_levels", [6, 40])
def test_a_long_curve_with_ties_equals_recomputation(n_objectives: int, n_levels: int) -> None:
    rng = np.random.default_rng(n_levels + n_objectives)
    # The cloud drifts towards the origin, so that the front changes, and loses several points, until the end.
    drift = np.linspace(n_levels, 0, 400)[:, np.newaxis]
    F = np.floor(rng.random((400, n_objectives)) * n_levels + drift)
    reference = np.full(n_objectives, 1.5 * n_levels)
    curve = hypervolume_curve(F, reference=reference)
    expected = [hypervolume(F[: k + 1], reference=reference) for k in range(len(F))]
    assert curve.tolist() == expected
    assert len(set(expected)) > 5


@pytest.mark.parametrize("shape", ["cloud", "shell"])
def test_a_curve_of_three_objectives_equals_recomputation_on_real_numbers(shape: str) -> None:
    rng = np.random.default_rng(3)
    F = rng.random((300, 3))
    if shape == "shell":  # nobody dominates anybody
        F = 1.2 - F / np.linalg.norm(F, axis=1, keepdims=True)
    expected = [hypervolume(F[: k + 1], reference=[1.1] * 3) for k in range(len(F))]
    np.testing.assert_allclose(hypervolume_curve(F, reference=[1.1] * 3), expected, rtol=1e-12)


def test_a_curve_computes_a_hypervolume_only_when_the_front_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(points: Floats, *, ref: Floats) -> float:
        sizes.append(len(points))
        return float(np.prod(ref - points.min(axis=0)))

    monkeypatch.setattr(moocore, "hypervolume", counted)
    # New, equal, dominated, tied and dominated, outside, on the edge of the box, new, equal to the former best.
    F = [[2, 2, 2], [2, 2, 2], [3, 3, 3], [2, 2, 3], [9, 0, 0], [5, 0, 0], [1, 1, 1], [2, 2, 2]]
    four = [[*f, 2] for f in F[:-2]] + [[1, 1, 1, 1], [2, 2, 2, 2]]
    assert hypervolume_curve(four, reference=[5] * 4).tolist() == [81.0] * 6 + [256.0] * 2
    assert sizes == [1, 1]
    # Three objectives need none where a box or two are the whole gain.
    assert hypervolume_curve(F, reference=[5] * 3).tolist() == [27.0] * 6 + [64.0] * 2
    assert sizes == [1, 1]


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_a_point_equal_to_the_front_leaves_the_curve_flat(n_objectives: int) -> None:
    F = np.zeros((3, n_objectives))
    assert hypervolume_curve(F, reference=np.ones(n_objectives)).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
@pytest.mark.parametrize("function", [hypervolume, hypervolume_contributions, hypervolume_curve])
def test_a_volume_beyond_float64_is_an_error(function: object, n_objectives: int) -> None:
    assert callable(function)
    F = np.full((1, n_objectives), -1.5e308)
    with pytest.raises(FrontError, match=r"must fit into float64.*normalize"):
        function(F, reference=np.full(n_objectives, 1.5e308))


@pytest.mark.parametrize("function", [hypervolume, hypervolume_contributions, hypervolume_curve])
def test_too_many_objectives_are_an_error(function: object) -> None:
    assert callable(function)
    with pytest.raises(FrontError, match=r"at most 31 objectives.*\(2, 32\)"):
        function(np.zeros((2, 32)), reference=np.ones(32))
    assert np.max(function(np.zeros((1, 31)), reference=np.ones(31))) == 1.0
