"""What the default searcher believes of one objective: a transform of its values, and a Gaussian process of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.pool_posterior import PoolPosterior
from nasbench_mo.search.relevance import Groups, Relevance, fit_relevance

Floats = NDArray[np.float64]

#: A fit is repeated when the observations have grown by this share.
_GROWTH = 0.15
#: The logarithm of the excess starts at this share of the least value: near enough to tell the best apart, and far
#: enough that better ones can be believed in. An origin close below the least value is a trap: nothing can be better.
_SHARE = 0.5
#: Steps of a fit when the form is chosen, and in between, where it starts from the last one.
_FIRST_ITERATIONS, _LATER_ITERATIONS = 40, 15
#: The transform is chosen no more once it was with so many observations.
_CHOICE_ENDS = 60
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
        excess_from = _SHARE * least if least > 0 else least - (middle - least)
        origin = {"identity": None, "log": 0.0, "log-excess": excess_from}[kind]
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
    """Two Gaussian processes of one objective, refitted now and then, and their common view of a pool of candidates.

    One learns the relevance of every column, the other holds the columns of a group for equally relevant. The first is
    the better guess and the more overconfident one: what it takes for irrelevant it never tries. Where the two disagree
    the belief is wide.

    The transform (the value, its logarithm, or the logarithm of its excess over a little less than the least) is the
    one with the greatest posterior density, the change of variables counted (Snelson, Rasmussen, Ghahramani, "Warped
    Gaussian processes", NIPS 2003); it is chosen anew whenever the observations have doubled.

    Parameters
    ----------
    groups
        Which columns of the features matter together.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._kind = _KINDS[0]
        self._chosen_at = 0
        self._fitted_at = 0
        self._scale: Scale | None = None
        self._kernels: tuple[Relevance, ...] = ()
        self._posteriors: tuple[PoolPosterior, ...] = ()
        self._pool: NDArray[Any] | None = None

    def update(self, Z: NDArray[Any], values: Floats, *, pool: NDArray[Any]) -> None:
        """Take (n, k) features and (n,) values, the old ones first, and a pool: anew if it is not the last one's."""
        n = len(values)
        if not self._kernels or n >= self._fitted_at + max(2, int(_GROWTH * self._fitted_at)):
            self._fit(Z, values)
            self._posteriors = ()
        assert self._scale is not None
        if not self._posteriors or self._pool is not pool or len(self._posteriors[0]) > n:
            self._pool = pool
            self._posteriors = tuple(PoolPosterior(kernel, pool) for kernel in self._kernels)
        done = len(self._posteriors[0])
        if done < n:
            scores = self._scale.scores(values[done:])
            for posterior in self._posteriors:
                posterior.observe(Z[done:], scores)

    def forget_posterior(self) -> None:
        """Let the next update begin with the observations anew: an old value has changed."""
        self._posteriors = ()

    def beliefs(self) -> Marginals:
        """Of an observation at each candidate, noise included."""
        assert self._scale is not None
        means = np.stack([posterior.mean for posterior in self._posteriors])
        variances = np.stack([posterior.variance + posterior.noise_variance for posterior in self._posteriors])
        # the mixture's own mean and variance
        return self._scale.beliefs(means.mean(axis=0), np.sqrt(variances.mean(axis=0) + means.var(axis=0)))

    def imagine(self, Z: NDArray[Any]) -> float:
        """Add an observation at (k,) features, at its expected value, and return the value."""
        assert self._scale is not None
        expected = np.mean([posterior.expected(Z[None]) for posterior in self._posteriors], axis=0)
        value = float(self._scale.beliefs(expected, np.zeros(1)).at(0.0)[0])
        for posterior in self._posteriors:
            posterior.observe(Z[None], expected)
        return value

    def forget_imagined(self, n: int) -> None:
        """Keep the first n observations, the real ones."""
        for posterior in self._posteriors:
            if len(posterior) > n:
                posterior.forget(n)

    def _fit(self, Z: NDArray[Any], values: Floats) -> None:
        n = len(values)
        choose = n >= 2 * self._chosen_at and self._chosen_at < _CHOICE_ENDS
        iterations = _FIRST_ITERATIONS if choose else _LATER_ITERATIONS
        starts: list[Floats | None] = [kernel.parameters for kernel in self._kernels]
        starts = starts or [None, None]
        best: tuple[float, str, Scale, Relevance] | None = None
        for kind in _KINDS if choose else (self._kind,):
            scale = Scale.of(values, kind=kind) or (None if choose else Scale.of(values, kind="identity"))
            if scale is None:
                continue
            scores = scale.scores(values)
            fitted = fit_relevance(Z, scores, groups=self._groups, start=starts[0], iterations=iterations)
            cost = fitted.cost + scale.volume(values)
            if best is None or cost < best[0]:
                best = (cost, kind, scale, fitted)
        assert best is not None  # the identity is always defined
        _, self._kind, self._scale, first = best
        scores = self._scale.scores(values)
        others = [
            fit_relevance(Z, scores, groups=self._groups, even=True, start=start, iterations=iterations)
            for start in starts[1:]
        ]
        self._kernels = (first, *others)
        self._fitted_at = n
        if choose:
            self._chosen_at = n
