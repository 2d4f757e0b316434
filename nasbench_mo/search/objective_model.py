"""What the default searcher believes of one objective: a transform of its values, and a Gaussian process of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.pool_posterior import PoolPosterior
from nasbench_mo.search.relevance import Relevance, fit_relevance

Floats = NDArray[np.float64]

#: A fit is repeated when the observations have grown by this share.
_GROWTH = 0.15
#: The logarithm of the excess starts this share of the distance from the least value to the median below the least.
_MARGIN = 0.3
_KINDS = ("identity", "log", "log-excess")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Standardised, transformed values of an objective and the way back.

    Parameters
    ----------
    origin
        Where the logarithm starts; None for the value itself.
    centre, spread
        Mean and deviation of the transformed values it was made of.
    """

    origin: float | None
    centre: float
    spread: float

    @classmethod
    def of(cls, values: Floats, *, kind: str) -> Scale | None:
        """Of (n,) values; None where the transform is not defined for them."""
        least, middle = float(values.min()), float(np.median(values))
        origin = {"identity": None, "log": 0.0, "log-excess": least - _MARGIN * (middle - least)}[kind]
        if origin is not None and not least - origin > 1e-12 * max(abs(least), abs(middle)):
            return None
        transformed = values if origin is None else np.log(values - origin)
        spread = float(transformed.std())
        return cls(origin=origin, centre=float(transformed.mean()), spread=spread if spread > 0 else 1.0)

    def scores(self, values: Floats) -> Floats:
        """Standardised transformed values, (n,)."""
        transformed = values if self.origin is None else np.log(np.maximum(values - self.origin, self._least_excess))
        made: Floats = (transformed - self.centre) / self.spread
        return made

    @property
    def _least_excess(self) -> float:
        """A value that came after the origin was set may lie below it; it counts as six deviations below the mean."""
        return float(np.exp(self.centre - 6.0 * self.spread))

    def volume(self, values: Floats) -> float:
        """Logarithm of how much the transform stretches the values together: densities differ by it."""
        stretch = 0.0 if self.origin is None else float(np.log(values - self.origin).sum())
        return stretch + len(values) * float(np.log(self.spread))

    def beliefs(self, mean: Floats, std: Floats) -> Marginals:
        """Beliefs of the values, of normal beliefs of the scores."""
        return Marginals(mean=self.centre + self.spread * mean, std=self.spread * std, origin=self.origin)


@final
class ObjectiveModel:
    """A Gaussian process of one objective, refitted now and then, and its view of a pool of candidates.

    The transform (the value, its logarithm, or the logarithm of its excess over a little less than the least) is the
    one with the greatest posterior density, the change of variables counted (Snelson, Rasmussen, Ghahramani, "Warped
    Gaussian processes", NIPS 2003); it is chosen anew whenever the observations have doubled.
    """

    def __init__(self) -> None:
        self._kind = _KINDS[0]
        self._chosen_at = 0
        self._fitted_at = 0
        self._scale: Scale | None = None
        self._relevance: Relevance | None = None
        self._posterior: PoolPosterior | None = None

    def update(self, Z: NDArray[Any], values: Floats, *, pool: NDArray[Any]) -> None:
        """Take (n, k) features and (n,) values, the old ones first, and a pool: anew if it is not the last one's."""
        n = len(values)
        if self._relevance is None or n >= self._fitted_at + max(2, int(_GROWTH * self._fitted_at)):
            self._fit(Z, values)
            self._posterior = None
        assert self._scale is not None and self._relevance is not None
        if self._posterior is None or self._pool is not pool or len(self._posterior) > n:
            self._pool = pool
            self._posterior = PoolPosterior(self._relevance, pool)
        done = len(self._posterior)
        if done < n:
            self._posterior.observe(Z[done:], self._scale.scores(values[done:]))

    def forget_posterior(self) -> None:
        """Let the next update begin with the observations anew: an old value has changed."""
        self._posterior = None

    def beliefs(self) -> Marginals:
        """Of an observation at each candidate, noise included."""
        assert self._scale is not None and self._posterior is not None
        std = np.sqrt(self._posterior.variance + self._posterior.noise_variance)
        return self._scale.beliefs(self._posterior.mean, std)

    def imagine(self, Z: NDArray[Any]) -> float:
        """Add an observation at (k,) features, at its expected value, and return the value."""
        assert self._scale is not None and self._posterior is not None
        expected = self._posterior.expected(Z[None])
        value = float(self._scale.beliefs(expected, np.zeros(1)).at(0.0)[0])
        self._posterior.observe(Z[None], expected)
        return value

    def forget_imagined(self, n: int) -> None:
        """Keep the first n observations, the real ones."""
        assert self._posterior is not None
        if len(self._posterior) > n:
            self._posterior.forget(n)

    def _fit(self, Z: NDArray[Any], values: Floats) -> None:
        n = len(values)
        choose = n >= 2 * self._chosen_at
        best: tuple[float, str, Scale, Relevance] | None = None
        start = self._relevance.parameters if self._relevance is not None else None
        for kind in _KINDS if choose else (self._kind,):
            scale = Scale.of(values, kind=kind) or (None if choose else Scale.of(values, kind="identity"))
            if scale is None:
                continue
            fitted = fit_relevance(Z, scale.scores(values), start=start, iterations=40 if choose else 15)
            cost = fitted.cost + scale.volume(values)
            if best is None or cost < best[0]:
                best = (cost, kind, scale, fitted)
        assert best is not None  # the identity is always defined
        _, self._kind, self._scale, self._relevance = best
        self._fitted_at = n
        if choose:
            self._chosen_at = n
