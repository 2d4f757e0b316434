"""Whether searchers differ: ranks, Friedman and Nemenyi, Wilcoxon with Holm's correction, A12, bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.leaderboard.results import Estimate

Floats = NDArray[np.float64]

N_BOOTSTRAP = 2_000
_BOOTSTRAP_SEED = 20_240_501
#: Results that differ by less are ties: the sums of two libraries' versions differ by more than nothing.
_DECIMALS = 10


def mean_ranks(results: ArrayLike) -> Floats:
    """Mean rank of each column over the rows, 1 being the largest value; ties share their average rank.

    Parameters
    ----------
    results
        (blocks, searchers), larger is better.
    """
    from scipy.stats import rankdata

    values = np.round(np.asarray(results, dtype=np.float64), _DECIMALS)
    ranks: Floats = rankdata(-values, axis=1).mean(axis=0)
    return ranks


def friedman_p(ranks: ArrayLike) -> float | None:
    """P value of the Friedman test that all searchers are alike, ties corrected.

    Parameters
    ----------
    ranks
        (problems, searchers), smaller is better; ranked again within each problem.

    Returns
    -------
    None with fewer than three searchers or two problems; 1 where all are tied everywhere.

    References
    ----------
    J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
    """
    from scipy.stats import friedmanchisquare

    values = np.round(np.asarray(ranks, dtype=np.float64), _DECIMALS)
    n_problems, n_searchers = values.shape
    if n_searchers < 3 or n_problems < 2:
        return None
    if (values == values[:, :1]).all():
        return 1.0
    return float(friedmanchisquare(*values.T).pvalue)


def critical_difference(*, n_searchers: int, n_problems: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks: ``q_alpha * sqrt(k (k + 1) / (6 N))``.

    References
    ----------
    J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, section 3.2.2; q is the
    studentised range for infinite degrees of freedom over the square root of 2 (his table 5).
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.isf(alpha, n_searchers, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(n_searchers * (n_searchers + 1) / (6.0 * n_problems))


def cliques(ranks: Mapping[str, float], *, difference: float) -> tuple[tuple[str, ...], ...]:
    """Largest groups of searchers whose mean ranks are within a difference, best first; single ones are left out."""
    names = sorted(ranks, key=lambda name: (ranks[name], name))
    groups: list[tuple[str, ...]] = []
    for i, first in enumerate(names):
        group = tuple(n for n in names[i:] if ranks[n] - ranks[first] <= difference + 1e-12)
        if len(group) > 1 and (not groups or names.index(groups[-1][-1]) < names.index(group[-1])):
            groups.append(group)
    return tuple(groups)


def wilcoxon_p(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p value of the Wilcoxon signed-rank test of paired results.

    Zero differences are ranked and then left out; the normal approximation has the exact variance of the ranks at hand,
    ties included, and a continuity correction. 1 where all differences are zero.

    References
    ----------
    F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945.
    J. W. Pratt, "Remarks on zeros and ties in the Wilcoxon signed rank procedures", JASA 54, 1959.
    """
    from scipy.stats import norm, rankdata

    difference = np.round(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), _DECIMALS)
    if not difference.any():
        return 1.0
    ranks = rankdata(np.abs(difference))[difference != 0.0]
    excess = abs(float(np.sign(difference[difference != 0.0]) @ ranks) / 2.0)
    z = max(0.0, excess - 0.5) / math.sqrt(float(ranks @ ranks) / 4.0)
    return float(2.0 * norm.sf(z))


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm's step-down procedure, in the order given.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, stepped)
    return [float(v) for v in corrected]


def a12(a: ArrayLike, b: ArrayLike) -> float:
    """Probability that a result of a is larger than one of b, ties counted half.

    References
    ----------
    A. Vargha, H. D. Delaney, "A critique and improvement of the CL common language effect size statistics of McGraw
    and Wong", Journal of Educational and Behavioral Statistics 25(2), 2000.
    """
    first, second = (np.round(np.asarray(v, dtype=np.float64), _DECIMALS) for v in (a, b))
    return float(((first[:, None] > second).mean() + (first[:, None] >= second).mean()) / 2)


def median_estimate(values: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Median of runs with a percentile bootstrap interval; the same resamples for the same number of runs.

    Censored runs are infinite: they count as worse than every other one, and the median is infinite where at least
    half never got there. Interval ends are order statistics of the resampled medians, never means with infinity.

    References
    ----------
    B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    runs = np.asarray(values, dtype=np.float64)
    if runs.ndim != 1 or not runs.size or np.isnan(runs).any():
        raise SpecError(f"expected the results of at least one run, without NaN; got shape {runs.shape}")
    medians = np.sort(np.median(runs[_resamples(len(runs))], axis=1))
    tail = (1.0 - confidence) / 2.0
    low = medians[math.floor(tail * (N_BOOTSTRAP - 1))]
    high = medians[math.ceil((1.0 - tail) * (N_BOOTSTRAP - 1))]
    return Estimate(value=float(np.median(runs)), low=float(low), high=float(high))


@lru_cache(maxsize=8)
def _resamples(n: int) -> NDArray[np.int64]:
    rows = np.random.default_rng([_BOOTSTRAP_SEED, n]).integers(0, n, size=(N_BOOTSTRAP, n))
    rows.flags.writeable = False
    return rows
