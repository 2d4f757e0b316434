"""Monotone transforms of a target: what an estimator learns instead of the value, and the way back.

They are monotone, so ranks are untouched; they decide which errors count. The logarithm makes a spread relative;
normal quantiles of the ranks (van der Waerden scores) keep a few failed architectures from deciding the scale of all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError, did_you_mean

Floats = NDArray[np.float64]

#: How far in z the secant reaches that extrapolates :class:`RankGauss`: about the outer 15 % of 100 samples.
_TAIL_REACH = 1.0


class TargetTransform(ABC):
    """A strictly increasing function of the target. Abstract: a kind gives ``forward`` and ``backward``.

    :meth:`inverse` takes a normal distribution N(mean, std) of the transformed target back: the value is the median
    (the transform of the mean), the deviation is half the width of the central 68.27 % interval, that is
    ``(backward(mean + std) - backward(mean - std)) / 2``. This equals ``std`` for the identity and ``value sinh(std)``
    for the logarithm, and agrees with the delta method, ``std backward'(mean)``, where ``std`` is small.
    """

    #: Name in specifications and in :meth:`state`.
    kind: ClassVar[str]

    @abstractmethod
    def forward(self, y: ArrayLike) -> Floats:
        """Transformed target, (n,), of (n,) values in the target's unit."""

    @abstractmethod
    def backward(self, z: ArrayLike) -> Floats:
        """Values in the target's unit, (n,), of (n,) transformed ones: the inverse function of :meth:`forward`."""

    def fit(self, y: ArrayLike) -> Self:
        """Check (n,) targets and learn what the transform needs of them.

        Raises
        ------
        SpecError
            Fewer than two targets, one that is not finite, or all of them equal.
        """
        _checked_targets(y)
        return self

    def inverse(self, mean: ArrayLike, std: ArrayLike) -> tuple[Floats, Floats]:
        """Median and deviation in the target's unit, (n,) each, of normal distributions of the transformed target."""
        centre, spread = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
        return self.backward(centre), (self.backward(centre + spread) - self.backward(centre - spread)) / 2

    def state(self) -> dict[str, Any]:
        """What :meth:`from_state` needs, of types that JSON has."""
        return {"kind": self.kind}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TargetTransform:
        """Rebuild a transform from its :meth:`state`, of whichever kind it is.

        Raises
        ------
        SpecError
            It is not the state of a transform.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("kind"), str):
            raise SpecError(f"the state of a target transform is a mapping with a 'kind'; got {state!r}")
        return target_transform(state["kind"])._restored(state)

    def _restored(self, state: Mapping[str, Any]) -> Self:
        """This transform with what a state says :meth:`fit` had learnt: nothing, where it learns nothing."""
        return self


@final
class Identity(TargetTransform):
    """The target itself."""

    kind = "identity"

    def forward(self, y: ArrayLike) -> Floats:
        """Copy of y, (n,)."""
        return np.array(y, dtype=np.float64)

    def backward(self, z: ArrayLike) -> Floats:
        """Copy of z, (n,)."""
        return np.array(z, dtype=np.float64)


@final
class LogTarget(TargetTransform):
    """Natural logarithm of a positive target: errors, latencies, energies.

    Examples
    --------
    >>> value, deviation = LogTarget().inverse([0.0], [0.1])
    >>> value.tolist(), round(float(deviation[0]), 4)
    ([1.0], 0.1002)
    """

    kind = "log"

    def fit(self, y: ArrayLike) -> Self:
        """Check (n,) targets, as :meth:`TargetTransform.fit` and :meth:`forward` do."""
        self.forward(_checked_targets(y))
        return self

    def forward(self, y: ArrayLike) -> Floats:
        """log(y), (n,).

        Raises
        ------
        SpecError
            A value is not positive.
        """
        values = np.asarray(y, dtype=np.float64)
        bad = np.flatnonzero(~(values > 0))
        if bad.size:
            raise SpecError(
                f"the log target needs positive values; row {bad[0]} is {values.ravel()[bad[0]]}. "
                "Drop such rows or take target 'rank-gauss'"
            )
        return np.log(values)

    def backward(self, z: ArrayLike) -> Floats:
        """exp(z), (n,)."""
        return np.exp(np.asarray(z, dtype=np.float64))


@final
class LogExcess(TargetTransform):
    """Logarithm of what lies above a floor a little below the least training value.

    For an error that levels off: near its floor, the last points are worth more than the first ones were.

    Examples
    --------
    >>> target = LogExcess().fit([33.0, 40.0, 57.0])
    >>> round(target.floor, 2), target.backward(target.forward([33.0, 45.0])).round(6).tolist()
    (30.6, [33.0, 45.0])
    """

    kind = "log-excess"

    #: The floor's distance below the least training value, as a share of the training values' range. Chosen on
    #: Accel-NASBench's top-1 error by Kendall's tau on held-out networks: flat between 0.04 and 0.3, less beyond.
    MARGIN: ClassVar[float] = 0.1

    def __init__(self) -> None:
        self.floor = float("nan")

    def fit(self, y: ArrayLike) -> Self:
        """Check (n,) targets, as :meth:`TargetTransform.fit` does, and place the floor."""
        checked = _checked_targets(y)
        self.floor = float(checked.min() - self.MARGIN * np.ptp(checked))
        return self

    def forward(self, y: ArrayLike) -> Floats:
        """log(y - floor), (n,).

        Raises
        ------
        SpecError
            A value is not above the floor, or :meth:`fit` has not been called.
        """
        values = np.asarray(y, dtype=np.float64)
        bad = np.flatnonzero(~(values > self.floor))
        if bad.size:
            raise SpecError(f"target 'log-excess' needs values above {self.floor:g}; row {bad[0]} is {values[bad[0]]}")
        return np.log(values - self.floor)

    def backward(self, z: ArrayLike) -> Floats:
        """floor + exp(z), (n,)."""
        return self.floor + np.exp(np.asarray(z, dtype=np.float64))

    def state(self) -> dict[str, Any]:
        """Kind and floor."""
        return {"kind": self.kind, "floor": self.floor}

    def _restored(self, state: Mapping[str, Any]) -> Self:
        floor = state.get("floor")
        if not isinstance(floor, (int, float)) or not np.isfinite(floor):
            raise SpecError(f"the state of target 'log-excess' needs a finite 'floor'; got {floor!r}")
        self.floor = float(floor)
        return self


@final
class RankGauss(TargetTransform):
    """Standard normal quantiles of the ranks of the training targets.

    The k distinct training values sit at ``z = Phi^-1((r - 1/2) / n)``, r their mid-ranks among the n. Between them
    both directions interpolate linearly, so they are exact inverses of each other; beyond them they go on along the
    secant over the outermost unit of z (the whole range where it is shorter). A value far outside the training targets
    is thus extrapolated at the slope of the tail, not clipped.

    Examples
    --------
    >>> target = RankGauss().fit([1.0, 2.0, 4.0, 100.0])
    >>> target.forward([1.0, 2.0, 4.0, 100.0]).round(3).tolist()
    [-1.15, -0.319, 0.319, 1.15]
    >>> target.inverse([0.0], [0.0])[0].tolist()
    [3.0]
    """

    kind = "rank-gauss"

    def __init__(self) -> None:
        self._values: Floats | None = None
        self._scores: Floats | None = None

    def fit(self, y: ArrayLike) -> Self:
        """Check (n,) targets, as :meth:`TargetTransform.fit` does, and keep their quantiles."""
        from scipy.special import ndtri  # here, so that serving a stored process does not load SciPy

        checked = _checked_targets(y)
        self._values, count = np.unique(checked, return_counts=True)
        mid_rank = np.cumsum(count) - (count - 1) / 2
        self._scores = np.asarray(ndtri((mid_rank - 0.5) / len(checked)), dtype=np.float64)
        return self

    def forward(self, y: ArrayLike) -> Floats:
        """Normal quantiles, (n,)."""
        values, scores = self._knots()
        return _piecewise_linear(np.asarray(y, dtype=np.float64), at=values, to=scores, tails=self._tails())

    def backward(self, z: ArrayLike) -> Floats:
        """Values whose normal quantiles these are, (n,)."""
        values, scores = self._knots()
        low, high = self._tails()
        return _piecewise_linear(np.asarray(z, dtype=np.float64), at=scores, to=values, tails=(1.0 / low, 1.0 / high))

    def state(self) -> dict[str, Any]:
        """Kind, the distinct training values and their quantiles."""
        values, scores = self._knots()
        return {"kind": self.kind, "values": values.tolist(), "scores": scores.tolist()}

    def _restored(self, state: Mapping[str, Any]) -> Self:
        try:
            values = np.array(state["values"], dtype=np.float64)
            scores = np.array(state["scores"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"the state of target 'rank-gauss' needs lists 'values' and 'scores': {error}") from error
        increasing = values.shape == scores.shape and values.ndim == 1 and values.size > 1
        if not (increasing and (np.diff(values) > 0).all() and (np.diff(scores) > 0).all()):
            raise SpecError("the state of target 'rank-gauss' needs increasing 'values' and 'scores' of one length")
        self._values, self._scores = values, scores
        return self

    def _knots(self) -> tuple[Floats, Floats]:
        if self._values is None or self._scores is None:
            raise SpecError("target 'rank-gauss' has not seen training values; call fit(y) first")
        return self._values, self._scores

    def _tails(self) -> tuple[float, float]:
        """Slope dz/dy below the least and above the greatest training value."""
        values, scores = self._knots()
        last = len(scores) - 1
        reach = min(_TAIL_REACH, scores[-1] - scores[0])
        inner = min(int(np.searchsorted(scores, scores[0] + reach)), last)  # rounding may step over the last knot
        outer = max(int(np.searchsorted(scores, scores[-1] - reach, side="right")) - 1, 0)
        low = (scores[inner] - scores[0]) / (values[inner] - values[0])
        high = (scores[-1] - scores[outer]) / (values[-1] - values[outer])
        return float(low), float(high)


#: Every transform by its name in specifications.
TARGETS: Mapping[str, type[TargetTransform]] = {made.kind: made for made in (Identity, LogTarget, LogExcess, RankGauss)}


def target_transform(kind: str) -> TargetTransform:
    """Return a new transform by name: ``"identity"``, ``"log"``, ``"log-excess"`` or ``"rank-gauss"``.

    Raises
    ------
    SpecError
        There is no such transform.
    """
    if kind not in TARGETS:
        raise SpecError(f"unknown target {kind!r}.{did_you_mean(str(kind), TARGETS)} Known: {', '.join(TARGETS)}")
    return TARGETS[kind]()


def resolved_target(kind: str, y: ArrayLike) -> TargetTransform:
    """Return a fitted transform by name; ``"auto"`` is the logarithm of positive targets, else themselves.

    Raises
    ------
    SpecError
        There is no such transform, or the (n,) targets are not usable for it.
    """
    if kind != "auto":
        return target_transform(kind).fit(y)
    checked = _checked_targets(y)
    return (LogTarget() if checked.min() > 0 else Identity()).fit(checked)


def _checked_targets(y: ArrayLike) -> Floats:
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise SpecError(f"expected a vector of at least two targets, got shape {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise SpecError(f"expected finite targets; row {bad[0]} is {values[bad[0]]}. Drop rows without a value")
    if values.min() == values.max():
        raise SpecError(f"all {values.size} targets are {values[0]}; there is nothing to learn")
    return values


def _piecewise_linear(x: Floats, *, at: Floats, to: Floats, tails: tuple[float, float]) -> Floats:
    """Linear interpolation through increasing knots, with one slope below and one above them."""
    inside = np.interp(x, at, to)
    inside += tails[0] * np.minimum(x - at[0], 0.0) + tails[1] * np.maximum(x - at[-1], 0.0)
    return np.asarray(inside, dtype=np.float64)
