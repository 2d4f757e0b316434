"""Dominance, fronts, ideal, nadir and scaling against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto import front, ideal_and_nadir, nondominated, normalize

Floats = NDArray[np.float64]

relaxed = settings(deadline=None, max_examples=60)


@st.composite
def point_sets(draw: st.DrawFn, *, min_rows: int = 0) -> Floats:
    """Sets of 1 to 6 objectives whose values are few integers (ties, duplicates) or arbitrary floats."""
    shape = (draw(st.integers(min_rows, 25)), draw(st.integers(1, 6)))
    few = st.integers(-1, 3).map(float)
    wide = st.floats(-1e6, 1e6, allow_nan=False)
    return draw(arrays(np.float64, shape, elements=draw(st.sampled_from([few, wide]))))


def slow_nondominated(F: Floats, *, keep_duplicates: bool) -> list[bool]:
    mask = []
    for i, row in enumerate(F):
        beaten = any(np.all(other <= row) and np.any(other < row) for other in F)
        seen = any(np.array_equal(other, row) for other in F[:i])
        mask.append(not beaten and (keep_duplicates or not seen))
    return mask


@relaxed
@given(F=point_sets(), keep_duplicates=st.booleans())
def test_nondominated_equals_the_quadratic_oracle(F: Floats, keep_duplicates: bool) -> None:
    mask = nondominated(F, keep_duplicates=keep_duplicates)
    assert mask.dtype == np.bool_
    assert mask.tolist() == slow_nondominated(F, keep_duplicates=keep_duplicates)


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("keep_duplicates", [True, False])
def test_nondominated_equals_the_oracle_on_many_rows_with_ties(n_objectives: int, keep_duplicates: bool) -> None:
    rng = np.random.default_rng(n_objectives)
    # Equal sums make most rows nondominated, few values make duplicates.
    F = rng.multinomial(9, np.full(n_objectives, 1 / n_objectives), size=1500).astype(np.float64)
    F[::7] += 1.0
    le = (F[:, None, :] <= F[None, :, :]).all(axis=2)
    lt = (F[:, None, :] < F[None, :, :]).any(axis=2)
    expected = ~(le & lt).any(axis=0)
    if not keep_duplicates:
        expected &= ~np.triu(le & le.T, k=1).any(axis=0)
    assert np.array_equal(nondominated(F, keep_duplicates=keep_duplicates), expected)


def test_equal_rows_are_all_kept_or_only_the_first() -> None:
    F = np.array([[3.0, 3.0], [1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])
    assert nondominated(F).tolist() == [False, True, True, True, True, True]
    assert nondominated(F, keep_duplicates=False).tolist() == [False, True, True, False, False, False]


def test_a_row_that_ties_in_one_objective_and_loses_in_another_is_dominated() -> None:
    assert nondominated([[1, 5], [1, 4], [2, 4]]).tolist() == [False, True, False]


def test_negative_zero_equals_zero() -> None:
    F = np.array([[0.0, 1.0], [-0.0, 1.0]])
    assert nondominated(F).tolist() == [True, True]
    assert nondominated(F, keep_duplicates=False).tolist() == [True, False]
    assert front(F).shape == (1, 2)


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 6])
def test_an_empty_set_has_an_empty_mask_and_an_empty_front(n_objectives: int) -> None:
    empty = np.empty((0, n_objectives))
    assert nondominated(empty).shape == (0,)
    assert nondominated(empty).dtype == np.bool_
    assert front(empty).shape == (0, n_objectives)


@relaxed
@given(F=point_sets(min_rows=1), seed=st.integers(0, 1000))
def test_nondominated_follows_a_permutation_of_the_rows(F: Floats, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(F))
    assert np.array_equal(nondominated(F[order]), nondominated(F)[order])


@relaxed
@given(F=point_sets(min_rows=1), seed=st.integers(0, 1000))
def test_nondominated_does_not_depend_on_the_order_of_the_objectives(F: Floats, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(F.shape[1])
    assert np.array_equal(nondominated(F[:, order]), nondominated(F))


@relaxed
@given(F=point_sets())
def test_front_is_the_sorted_set_of_the_nondominated_rows(F: Floats) -> None:
    expected = sorted({tuple(row) for row in F[slow_nondominated(F, keep_duplicates=True)].tolist()})
    assert [tuple(row) for row in front(F).tolist()] == expected


@relaxed
@given(F=point_sets())
def test_the_front_of_a_front_is_itself(F: Floats) -> None:
    once = front(F)
    assert np.array_equal(front(once), once)


@relaxed
@given(F=point_sets(min_rows=1))
def test_every_row_is_weakly_dominated_by_the_front(F: Floats) -> None:
    best = front(F)
    assert (best[:, None, :] <= F[None, :, :]).all(axis=2).any(axis=0).all()


def test_front_is_a_new_array() -> None:
    F = np.array([[1.0, 2.0]])
    front(F)[0, 0] = 9.0
    assert F[0, 0] == 1.0


def test_ideal_and_nadir_ignore_dominated_rows() -> None:
    ideal, nadir = ideal_and_nadir([[1, 4], [3, 2], [2, 3], [3, 9], [100, 100]])
    assert ideal.tolist() == [1.0, 2.0]
    assert nadir.tolist() == [3.0, 4.0]


@relaxed
@given(F=point_sets(min_rows=1))
def test_ideal_and_nadir_bound_the_front_tightly(F: Floats) -> None:
    ideal, nadir = ideal_and_nadir(F)
    best = front(F)
    assert np.array_equal(ideal, best.min(axis=0))
    assert np.array_equal(ideal, F.min(axis=0))
    assert np.array_equal(nadir, best.max(axis=0))


def test_an_empty_set_has_no_ideal() -> None:
    with pytest.raises(FrontError, match=r"at least one row.*\(0, 2\)"):
        ideal_and_nadir(np.empty((0, 2)))


def test_normalize_maps_ideal_to_zero_and_nadir_to_one() -> None:
    F = np.array([[1.0, 20.0], [3.0, 40.0], [2.0, 10.0]])
    scaled = normalize(F, ideal=[1, 20], nadir=[3, 40])
    assert scaled.tolist() == [[0.0, 0.0], [1.0, 1.0], [0.5, -0.5]]
    assert normalize(np.empty((0, 2)), ideal=[0, 0], nadir=[1, 1]).shape == (0, 2)


@relaxed
@given(F=point_sets(min_rows=1))
def test_normalize_keeps_dominance_of_integers(F: Floats) -> None:
    F = np.round(F)
    m = F.shape[1]
    scaled = normalize(F, ideal=np.full(m, -1.0), nadir=np.full(m, 3.0))
    assert np.array_equal(nondominated(scaled), nondominated(F))


@pytest.mark.parametrize("nadir", [[3.0, 2.0], [3.0, 1.0]])
def test_normalize_names_the_objective_without_a_range(nadir: list[float]) -> None:
    with pytest.raises(FrontError, match=rf"objective 1 has ideal 2\.0 and nadir {nadir[1]}"):
        normalize([[1, 2]], ideal=[1, 2], nadir=nadir)


@pytest.mark.parametrize(
    ("ideal", "nadir", "F"),
    [([-1.7e308], [1.7e308], [[0.0]]), ([0.0], [1e-300], [[1e300]]), ([-1e308], [1.0], [[1.7e308]])],
)
def test_normalize_says_when_it_overflows(ideal: list[float], nadir: list[float], F: list[list[float]]) -> None:
    with pytest.raises(FrontError, match="must fit into float64"):
        normalize(F, ideal=ideal, nadir=nadir)
