"""Predicted against measured values of a few networks: ranks, levels, and what so few can and cannot tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.profiling.agreement import tau_b

#: Resamples of the bootstrap, and the share of them that its interval holds.
RESAMPLES = 2000
INTERVAL = 0.90
#: Half the width of a 90 % interval of a normal distribution, in standard deviations.
Z90 = 1.6448536269514722
#: Networks that an affine correction needs, so that leaving one out still determines it with one to spare.
LEAST_FOR_CORRECTION = 4
#: Below so many networks a bootstrap interval is too narrow to be trusted.
FEW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RankAgreement:
    """Kendall's tau-b of n networks.

    Parameters
    ----------
    n
        Networks.
    tau_b
        NaN where one of the two orders has a single value, or there is one network.
    low, high
        Percentile bootstrap over the networks: 90 % of the resamples lie between. NaN where tau is.
    p_value
        Two-sided, of no association; NaN where tau is.
    """

    n: int
    tau_b: float
    low: float
    high: float
    p_value: float

    @property
    def perfect_by_chance(self) -> float:
        """Probability that a random order of n networks is the right one."""
        return 1 / math.factorial(self.n)

    @classmethod
    def of(
        cls, predicted: NDArray[np.float64], measured: NDArray[np.float64], *, rng: np.random.Generator
    ) -> RankAgreement:
        """Of (n,) predicted and (n,) measured values, all known."""
        from scipy.stats import kendalltau

        n = len(predicted)
        if n < 2 or not np.ptp(predicted) or not np.ptp(measured):
            return cls(n=n, tau_b=math.nan, low=math.nan, high=math.nan, p_value=math.nan)
        taus = resampled_taus(predicted, measured, rng.integers(n, size=(RESAMPLES, n)))
        taus = taus[np.isfinite(taus)]
        tail = (1 - INTERVAL) / 2
        low, high = np.quantile(taus, [tail, 1 - tail]) if len(taus) else (math.nan, math.nan)
        return cls(
            n=n,
            tau_b=tau_b(predicted, measured),
            low=float(low),
            high=float(high),
            p_value=float(kendalltau(predicted, measured).pvalue),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAgreement:
    """Errors of predictions whose levels mean the same as the measured ones.

    Parameters
    ----------
    mape_percent
        Mean absolute error relative to the measured values.
    mean_error, bias_percent
        Mean of predicted minus measured, in the measured unit and relative to the measured values: below 0 where the
        prediction is too small.
    worst_percent
        Largest absolute relative error.
    """

    mape_percent: float
    mean_error: float
    bias_percent: float
    worst_percent: float

    @classmethod
    def of(cls, predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> LevelAgreement:
        """Of (n,) predicted and (n,) measured values of at least one network; relative figures are NaN at a 0."""
        error = predicted - measured
        positive = bool((measured > 0).all())
        relative = 100 * error / measured if positive else np.full(len(error), np.nan)
        return cls(
            mape_percent=float(np.abs(relative).mean()),
            mean_error=float(error.mean()),
            bias_percent=float(relative.mean()),
            worst_percent=float(np.abs(relative).max()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Measured values as an affine function of predicted ones, by least squares.

    Parameters
    ----------
    intercept, slope
        Measured is about intercept + slope * predicted.
    left_out_error
        Mean absolute error of each network's value by the line through the others, in the measured unit.
    mean_error
        The same where the mean of the others is predicted: a correction that does not beat it knows nothing.
    left_out
        (n,) each network's value by the line through the others.
    """

    intercept: float
    slope: float
    left_out_error: float
    mean_error: float
    left_out: tuple[float, ...]

    @property
    def useful(self) -> bool:
        """Whether it keeps the order and beats the mean."""
        return self.slope > 0 and self.left_out_error < self.mean_error

    def __call__(self, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Corrected values."""
        return self.intercept + self.slope * predicted

    @classmethod
    def of(cls, predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> Correction | None:
        """Of (n,) values; None for fewer than four networks, or where predictions without one of them are all equal."""
        n = len(predicted)
        others = [np.arange(n) != i for i in range(n)]
        if n < LEAST_FOR_CORRECTION or not all(np.ptp(predicted[o]) > 0 for o in others):
            return None
        intercept, slope = _line(predicted, measured)
        left_out = np.empty(n)
        for i, other in enumerate(others):
            a, b = _line(predicted[other], measured[other])
            left_out[i] = a + b * predicted[i]
        means = np.array([measured[o].mean() for o in others])
        return cls(
            intercept=intercept,
            slope=slope,
            left_out_error=float(np.abs(left_out - measured).mean()),
            mean_error=float(np.abs(means - measured).mean()),
            left_out=tuple(left_out.tolist()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many measured values fall into 90 % intervals of predictions.

    Parameters
    ----------
    inside, n
        Networks inside, and networks.
    corrected
        Whether the intervals are those of the affine correction that leaves each network out, scaled by its slope.
    """

    inside: int
    n: int
    corrected: bool

    @classmethod
    def of(
        cls,
        predicted: NDArray[np.float64],
        measured: NDArray[np.float64],
        *,
        deviation: NDArray[np.float64],
        corrected: bool,
    ) -> Coverage:
        """Of (n,) values and standard deviations."""
        inside = np.abs(measured - predicted) <= Z90 * deviation
        return cls(inside=int(inside.sum()), n=len(inside), corrected=corrected)


def resampled_taus(a: NDArray[np.float64], b: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Kendall's tau-b of (r, n) resamples of two (n,) vectors, (r,); NaN where a resample has a single value.

    Notes
    -----
    O(r n^2). A resample is how often it holds each network; a network is tied with its copies in both vectors, and
    tied pairs count neither in the numerator nor under their own root: tau-b is a ratio of quadratic forms.
    """
    n_times = (draws[:, :, None] == np.arange(len(a))).sum(axis=1).astype(np.float64)
    first, second = (np.sign(v[:, None] - v[None, :]) for v in (_rounded(a), _rounded(b)))

    def form(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("ri,ij,rj->r", n_times, matrix, n_times))

    scale = np.sqrt(form(first**2) * form(second**2))
    return np.where(scale > 0, form(first * second) / np.where(scale > 0, scale, 1.0), np.nan)


def ranks(values: NDArray[np.float64]) -> list[int]:
    """Ranks from 1, the best first; equal values share the better rank."""
    from scipy.stats import rankdata

    return [int(r) for r in rankdata(values, method="min")]


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums differ in their last bits, networks do not."""
    largest = float(np.abs(values).max())
    return values if largest == 0 else np.round(values / largest, 9)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    centred = x - x.mean()
    slope = float((centred * (y - y.mean())).sum() / (centred**2).sum())
    return float(y.mean() - slope * x.mean()), slope
