"""Beliefs of which only values within bounds count: what expected improvement under constraints needs.

With a constraint on an objective the gain of a candidate is that of the values that keep it. As the acquisition is made
of puts, it is enough to take puts of the values within the bounds, and the expectation stays exact; so too where an
architecture may lie exactly on its bound. Feliot, Bect, Vazquez, "A Bayesian approach to constrained single- and
multi-objective optimization", J. Global Optimization 67, 2017, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.marginals import Marginals

Floats = NDArray[np.float64]


class Belief(Protocol):
    """What the acquisition asks of the beliefs of n values."""

    def __len__(self) -> int: ...

    def at(self, deviations: float) -> Floats:
        """Values so many standard deviations above the median, (n,)."""

    def put(self, levels: Floats) -> Floats:
        """Expected distance of each value below each of (k,) levels, (n, k)."""

    def below(self, levels: Floats) -> Floats:
        """Probability of each value to lie below each of (k,) levels, (n, k)."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truncated:
    """Independent beliefs of n values that count only within bounds, both of which are inside.

    Parameters
    ----------
    belief
        Of the values, wherever they lie.
    lower, upper
        Infinite where there is no bound.
    """

    belief: Marginals
    lower: float
    upper: float

    def __len__(self) -> int:
        return len(self.belief)

    def at(self, deviations: float) -> Floats:
        """Values so many standard deviations above the median, (n,), of the belief without bounds."""
        return self.belief.at(deviations)

    def put(self, levels: Floats) -> Floats:
        """Expected distance below each of (k,) levels of the values within the bounds, (n, k)."""
        capped = np.minimum(levels, self.upper)
        found = self.belief.put(capped)
        if np.isfinite(self.upper):
            found = found + (levels - capped) * self._at_most(self.upper)
        if np.isfinite(self.lower):
            reached = np.maximum(levels - self.lower, 0.0)
            floor = np.array([self.lower])
            found = np.where(reached > 0, found - self.belief.put(floor) - reached * self.belief.below(floor), 0.0)
        return np.maximum(found, 0.0)

    def below(self, levels: Floats) -> Floats:
        """Probability to lie within the bounds and below each of (k,) levels, (n, k)."""
        found = self.belief.below(np.minimum(levels, np.nextafter(self.upper, np.inf)))
        if np.isfinite(self.lower):
            found = found - self.belief.below(np.array([self.lower]))
        return np.maximum(found, 0.0)

    def inside(self) -> Floats:
        """Probability to lie within the bounds, (n,)."""
        return self.below(np.array([np.inf]))[:, 0]

    def hopeful(self, deviations: float) -> NDArray[np.bool_]:
        """Which may lie within the bounds: they do, or come in at so many standard deviations from the median, (n,)."""
        return np.asarray((self.belief.at(-deviations) <= self.upper) & (self.belief.at(deviations) >= self.lower))

    def _at_most(self, bound: float) -> Floats:
        """Probability to lie at the bound or below, (n, 1)."""
        return self.belief.below(np.array([np.nextafter(bound, np.inf)]))


def truncated(beliefs: list[Marginals], *, lower: NDArray[Any], upper: NDArray[Any]) -> list[Truncated]:
    """Beliefs of the m objectives, each with its bounds."""
    return [
        Truncated(belief=belief, lower=float(low), upper=float(high))
        for belief, low, high in zip(beliefs, lower, upper, strict=True)
    ]
