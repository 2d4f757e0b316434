"""Statistics: against published tables, textbook numbers, slow oracles and SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo.errors import SpecError
from nasbench_mo.leaderboard.statistics import (
    a12,
    cliques,
    critical_difference,
    friedman_p,
    holm,
    mean_ranks,
    median_estimate,
    wilcoxon_p,
)

#: Demsar 2006, table 5 (a): critical values q of the two-tailed Nemenyi test at 5 %, for 2 to 10 classifiers.
DEMSAR_Q = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)

#: Demsar 2006, table 6: AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets; ranks 3.143, 2.000, 2.893, 1.964.
DEMSAR_AUC = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_ranks_and_friedman_are_those_of_demsars_example() -> None:
    np.testing.assert_allclose(mean_ranks(DEMSAR_AUC), [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    # Chi-square 9.28 without correction; ties of 4, 2, 2 and 2 divide it by 1 - (60 + 3 * 6) / (14 * 4 * 15).
    expected = scipy.stats.chi2.sf(9.28 / (1 - 78 / 840), 3)
    assert friedman_p(-DEMSAR_AUC) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(("k", "q"), list(enumerate(DEMSAR_Q, start=2)))
def test_the_critical_difference_is_demsars(k: int, q: float) -> None:
    found = critical_difference(n_searchers=k, n_problems=14)
    assert found == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), rel=4e-4)


def test_friedman_needs_three_searchers_and_two_problems() -> None:
    assert friedman_p(np.ones((5, 2))) is None
    assert friedman_p(np.ones((1, 5))) is None
    assert friedman_p(np.ones((5, 5))) == 1.0


def test_ties_share_their_rank_and_roundings_are_ties() -> None:
    assert mean_ranks([[1.0, 0.5, 0.5 + 1e-13, 0.0]]).tolist() == [1, 2.5, 2.5, 4]


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_ranks_equal_counting(rows: list[list[int]]) -> None:
    expected = [
        np.mean([sum(o > r[j] for o in r) + (1 + sum(o == r[j] for o in r)) / 2 for r in rows]) for j in range(4)
    ]
    np.testing.assert_allclose(mean_ranks(rows), expected)


def test_cliques_are_the_longest_groups_within_the_difference() -> None:
    ranks = {"a": 1.0, "b": 1.5, "c": 2.2, "d": 2.6, "e": 5.0}
    assert cliques(ranks, difference=1.2) == (("a", "b", "c"), ("b", "c", "d"))
    assert cliques(ranks, difference=0.1) == ()
    assert cliques(ranks, difference=np.inf) == (("a", "b", "c", "d", "e"),)


def test_holm_is_the_textbooks() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_holm_is_monotone_and_between_none_and_bonferroni(p: list[float]) -> None:
    found = holm(p)
    for i, j in itertools.combinations(range(len(p)), 2):
        if p[i] < p[j]:
            assert found[i] <= found[j]
    assert all(raw <= c <= min(1.0, raw * len(p)) + 1e-12 for raw, c in zip(p, found, strict=True))


def test_wilcoxon_of_equal_results_is_one_and_of_a_clear_winner_small() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(40)
    assert wilcoxon_p(a, a) == 1.0
    assert wilcoxon_p(a, a + 1e-13) == 1.0
    assert wilcoxon_p(a, a - 0.1 - 0.01 * rng.random(40)) < 1e-6
    assert wilcoxon_p(a, rng.permutation(a)) > 0.05


@pytest.mark.parametrize("decimals", [1, 6])
def test_wilcoxon_is_scipys(decimals: int) -> None:
    a, b = np.round(np.random.default_rng(decimals).random((2, 40)), decimals)
    for shift in (0.0, 0.1, 0.3):
        d = np.round(a - b - shift, 10)  # equal in decimal, not always in binary
        expected = scipy.stats.wilcoxon(d, zero_method="pratt", correction=True, mode="approx").pvalue
        assert wilcoxon_p(a, b + shift) == pytest.approx(expected, rel=1e-9)


def test_wilcoxon_rejects_no_more_often_than_it_should() -> None:
    rng = np.random.default_rng(1)
    p = [wilcoxon_p(*np.round(rng.random((2, 30)), 1)) for _ in range(300)]  # with ties and zeros
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.09


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(0, 5), min_size=1, max_size=9))
@settings(max_examples=40, deadline=None)
def test_a12_counts_pairs(a: list[int], b: list[int]) -> None:
    expected = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    assert a12(a, b) == pytest.approx(expected)
    assert a12(a, b) + a12(b, a) == pytest.approx(1)


def test_the_interval_of_a_median_covers_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(150):
        found = median_estimate(rng.exponential(size=31))
        inside += found.low <= np.log(2) <= found.high
    assert 0.88 <= inside / 150 <= 1.0


def test_the_median_is_infinite_where_half_of_the_runs_are_censored() -> None:
    inf = np.inf
    assert median_estimate([5, 6, inf]).value == 6
    assert median_estimate([5, 6, inf, inf]).value == inf
    none = median_estimate([inf] * 5)
    assert (none.value, none.low, none.high) == (inf, inf, inf)
    some = median_estimate([1.0] * 10 + [inf] * 5)
    assert (some.value, some.low) == (1, 1)
    assert some.high in (1, inf)
    all_same = median_estimate([3.0])
    assert (all_same.value, all_same.low, all_same.high) == (3, 3, 3)


def test_an_estimate_depends_on_the_runs_alone() -> None:
    values = np.random.default_rng(0).random(1001)  # many possible medians
    first = median_estimate(values)
    median_estimate(np.arange(7.0))
    assert median_estimate(values) == first
    assert first.low <= first.value <= first.high


@pytest.mark.parametrize("values", [[], [[1.0]], [float("nan")]])
def test_no_estimate_without_results(values: list[float]) -> None:
    with pytest.raises(SpecError, match="at least one run"):
        median_estimate(values)
