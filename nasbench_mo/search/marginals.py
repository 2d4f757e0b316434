"""What is believed of one objective at each candidate: certain, normal, or shifted log-normal.

The acquisition needs one thing of a belief, its *put*: how far below a level the value is expected to lie,
``E[max(level - y, 0)]``, which all three have in closed form (the log-normal's is that of Black & Scholes, "The pricing
of options and corporate liabilities", Journal of Political Economy 81(3), 1973).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

_ROOT_TWO_PI = float(np.sqrt(2.0 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marginals:
    """Independent beliefs of n values.

    Parameters
    ----------
    mean, std
        (n,) of the value itself, or of the logarithm of its excess over ``origin``; std 0 for a certain value.
    origin
        Where the logarithm starts; None for normal beliefs.
    """

    mean: Floats
    std: Floats
    origin: float | None = None

    def __len__(self) -> int:
        return len(self.mean)

    @classmethod
    def certain(cls, values: Floats) -> Self:
        """Beliefs in (n,) known values."""
        return cls(mean=values, std=np.zeros(len(values)))

    def take(self, rows: NDArray[Any]) -> Marginals:
        """Beliefs of some of the values."""
        return Marginals(mean=self.mean[rows], std=self.std[rows], origin=self.origin)

    def widened(self, factor: float) -> Marginals:
        """The same beliefs with deviations so many times greater."""
        return Marginals(mean=self.mean, std=factor * self.std, origin=self.origin)

    def at(self, deviations: float) -> Floats:
        """Values so many standard deviations above the median, (n,)."""
        shifted: Floats = self.mean + deviations * self.std
        return shifted if self.origin is None else self.origin + np.exp(shifted)

    def put(self, levels: Floats) -> Floats:
        """Expected distance of each value below each of (k,) levels, 0 where it lies above: (n, k)."""
        if not self.std.any():
            return np.maximum(levels - self.at(0.0)[:, None], 0.0)
        std = np.maximum(self.std, 1e-12)[:, None]
        if self.origin is None:
            gap = levels - self.mean[:, None]
            u = gap / std
            put: Floats = gap * ndtr(u) + std * np.exp(-0.5 * u * u) / _ROOT_TWO_PI
            return np.maximum(put, 0.0)
        excess = levels - self.origin
        reached = excess > 0
        u = (np.log(np.where(reached, excess, 1.0)) - self.mean[:, None]) / std
        forward = np.exp(self.mean[:, None] + 0.5 * std * std)
        put = np.where(reached, excess, 0.0) * ndtr(u) - forward * ndtr(u - std)
        return np.where(reached, np.maximum(put, 0.0), 0.0)

    def below(self, levels: Floats) -> Floats:
        """Probability of each value to lie below each of (k,) levels: (n, k)."""
        if not self.std.any():
            return (self.at(0.0)[:, None] < levels).astype(np.float64)
        std = np.maximum(self.std, 1e-12)[:, None]
        if self.origin is None:
            return np.asarray(ndtr((levels - self.mean[:, None]) / std))
        excess = levels - self.origin
        reached = excess > 0
        u = (np.log(np.where(reached, excess, 1.0)) - self.mean[:, None]) / std
        return np.where(reached, ndtr(u), 0.0)
