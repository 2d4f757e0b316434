"""How well predicted costs agree with measured ones, beside how well a measurement agrees with itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Digits by which values are told apart before they are ranked: sums differ in their last bits, measurements do not.
_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of n predictions with n measured values.

    Parameters
    ----------
    n
        Pairs.
    mape_percent
        Mean absolute error relative to the measured values.
    bias_percent
        Median signed relative error: below 0 where the prediction is too small.
    worst_percent
        Largest absolute relative error.
    kendall_tau_b
        Agreement of the two orders; NaN where one has a single value.
    """

    n: int
    mape_percent: float
    bias_percent: float
    worst_percent: float
    kendall_tau_b: float

    @classmethod
    def of(cls, predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> Agreement:
        """Agreement of (n,) predictions with (n,) positive measured values."""
        errors = 100 * (predicted - measured) / measured
        return cls(
            n=len(measured),
            mape_percent=float(np.abs(errors).mean()),
            bias_percent=float(np.median(errors)),
            worst_percent=float(np.abs(errors).max()),
            kendall_tau_b=tau_b(predicted, measured),
        )


def tau_b(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Kendall's tau-b of two vectors."""
    from scipy.stats import kendalltau

    return float(kendalltau(_rounded(a), _rounded(b)).statistic)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = float(np.abs(values).max(initial=0.0))
    return values if largest == 0 else np.round(values / largest, _DIGITS)
