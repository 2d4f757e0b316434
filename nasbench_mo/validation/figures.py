"""How much a measured benchmark can be trusted: agreement of its seeds, what noise allows, agreement with others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Networks of similar error share an estimate of their seed noise.
_NOISE_BINS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAgreement:
    """How far training seeds agree on (t,) topologies.

    Parameters
    ----------
    n_topologies
        Topologies, each counted once.
    kendall_tau_b
        Mean over all pairs of seeds.
    kendall_tau_b_top
        Of one seed with another among the tenth that is best by the first; mean over all ordered pairs.
    seed_deviation_percent
        Standard deviation between seeds, in points of error: the root of the mean variance.
    ceiling_tau_b
        Estimated tau-b of a predictor that knows every network's expected error, against the mean over the seeds.
    """

    n_topologies: int
    kendall_tau_b: float
    kendall_tau_b_top: float
    seed_deviation_percent: float
    ceiling_tau_b: float


def seed_agreement(errors: NDArray[np.float64], *, rng: np.random.Generator) -> SeedAgreement:
    """Agreement of the seeds in (t, s) errors in percent, s of at least 2.

    Notes
    -----
    The ceiling is a simulation. Expected errors are the means over the seeds, shrunk towards their common mean until
    their variance is that of the means less that of the noise; noise of the deviation that the seeds show among
    networks of similar error is added to them, divided by the root of s.
    The best tenth is that of a single seed: among those that are best on average, one seed is good where the other is
    bad, and their tau is below zero by selection alone.
    """
    n_seeds = errors.shape[1]
    mean = errors.mean(axis=1)
    variance = errors.var(axis=1, ddof=1)
    return SeedAgreement(
        n_topologies=len(errors),
        kendall_tau_b=_mean_tau(errors),
        kendall_tau_b_top=_tau_of_the_best(errors, n=max(2, len(mean) // 10)),
        seed_deviation_percent=float(np.sqrt(variance.mean())),
        ceiling_tau_b=_ceiling(mean, variance, n_seeds=n_seeds, rng=rng),
    )


def kendall_tau_b(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Kendall's tau-b of two vectors."""
    from scipy.stats import kendalltau

    return float(kendalltau(a, b).statistic)


def _mean_tau(errors: NDArray[np.float64]) -> float:
    n_seeds = errors.shape[1]
    pairs = [(i, j) for i in range(n_seeds) for j in range(i)]
    return float(np.mean([kendall_tau_b(errors[:, i], errors[:, j]) for i, j in pairs]))


def _tau_of_the_best(errors: NDArray[np.float64], *, n: int) -> float:
    taus = []
    for i, chosen in enumerate(np.argsort(errors, axis=0, kind="stable")[:n].T):
        taus += [kendall_tau_b(errors[chosen, i], errors[chosen, j]) for j in range(errors.shape[1]) if j != i]
    return float(np.mean(taus))


def _ceiling(
    mean: NDArray[np.float64], variance: NDArray[np.float64], *, n_seeds: int, rng: np.random.Generator
) -> float:
    order = np.argsort(mean, kind="stable")
    noise = np.empty(len(mean))
    for part in np.array_split(order, min(_NOISE_BINS, len(order))):
        noise[part] = variance[part].mean() / n_seeds
    reliability = max(0.0, 1.0 - float(noise.mean()) / float(mean.var()))
    expected = mean.mean() + np.sqrt(reliability) * (mean - mean.mean())
    taus = [kendall_tau_b(expected, expected + rng.standard_normal(len(mean)) * np.sqrt(noise)) for _ in range(5)]
    return float(np.mean(taus))
