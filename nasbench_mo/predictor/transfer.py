"""Few-shot transfer of a latency predictor: a new device, some known ones, and a handful of measurements.

A device is one draw of a Gaussian process over architectures. What is known before the first measurement, the prior,
is learnt from the source devices: the mean source, every source by itself, and what operations cost on their own,
each with a variance, and so is the work that can be counted, parameters and FLOPs of what is left of a network when
everything that does nothing is removed: that is what an optimising runtime spends its time on, and the sources may have
run the networks as they stand. Few measurements decide between the sources; many decide the single operations. The
noise is Student's t, so that one hiccup of a telephone does not turn the ordering round.

The setting, a few samples of an unseen device while others are known, is that of Lee et al., "HELP", NeurIPS 2021.
The parts are classical: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, section 2.1 (a prior on
weights) and section 5.4.1 (evidence); Lange, Little & Taylor, "Robust Statistical Modeling Using the t Distribution",
JASA 1989 (the noise).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.encoding import byte_keys
from nasbench_mo.errors import SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.predictor.transfer_sources import predicted_costs
from nasbench_mo.space import SearchSpace
from nasbench_mo.space import space as find_space
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.table import Table

if TYPE_CHECKING:
    import pandas as pd

    #: One column a device: a table, some of its columns, a frame indexed by architecture, architectures and a matrix.
    Costs = Table | pd.DataFrame | tuple[Table, Sequence[str | Objective]] | tuple[Sequence[str], ArrayLike]
    #: One value an architecture: a mapping, a series or one-column frame indexed by architecture, or a table's column.
    Measurements = Mapping[str, float] | pd.Series[Any] | pd.DataFrame | tuple[Table, str | Objective]

Floats = NDArray[np.float64]

#: Fewest different architectures that have to be measured; those without a path from input to output do not count.
MIN_MEASUREMENTS: Final = 3
#: Largest space whose designs are kept in memory, 5 MB for NAS-Bench-201.
_KEPT_SPACE_SIZE: Final = 1 << 15
#: Most columns of products of two variables; beyond, a space is described by single variables.
_MAX_PAIR_COLUMNS: Final = 512
#: Rows of a source table the smoother is fitted to, at most.
_MAX_SOURCE_ROWS: Final = 1 << 14
#: Ridge penalty of the smoother, in units of one indicator column's count.
_SMOOTHER_PENALTY: Final = 3.0
#: Expectation-maximisation ends after so many steps, or when the noise changes by less than this share.
_N_ITERATIONS: Final = 12
_SETTLED: Final = 1e-3

# The variances below are shares of the variance of the measurements. They were chosen by leaving out one device at a
# time among the nine meta-train devices of HELP (Spearman with 10, 30 and 300 samples); the optimum is flat: a factor
# of two or more moves the mean by 0.002 or less, but for the counts of all operations, whose double costs 0.005.
_VARIANCE: Final[Mapping[str, float]] = {
    "constant": 4.0,
    "mean_source": 3.0,
    "sources": 1.0,
    "counted_work": 1.0,
    "all_counts": 0.3,
    "live_counts": 0.05,
    "one_hot": 0.01,
    "pairs": 0.003,
}
#: Noise variance expected before the measurements, and how many measurements that expectation is worth.
_NOISE: Final = 0.2
_NOISE_WEIGHT: Final = 20.0
#: Degrees of freedom of the noise: 0.5 with a handful of measurements, where nothing else outvotes an outlier, then
#: one more for every 40 measurements, since many measurements tell an outlier from a kind of network.
_DEGREES: Final = (0.5, 8.0)
_MEASUREMENTS_PER_DEGREE: Final = 40
#: Power of a cost in which it is modelled, between additive time (1) and relative noise (0).
_POWER: Final = 0.5
#: Methods of a space that count work.
_WORK: Final = ("n_flops", "n_parameters")
#: Parts of the prior that decide what to measure; the others are too many to be learnt from few measurements.
_DECISIVE: Final = ("constant", "mean_source", "sources", "counted_work", "all_counts", "live_counts")
#: Largest misfit of a law that is taken to be exact, in standard deviations of the measurements (float32 data).
_EXACT_MISFIT: Final = 1e-5
#: Predictions of an exact law closer than so many times its misfit are equal.
_TIE_FACTOR: Final = 1024.0


def adapt(
    measurements: Measurements,
    *,
    sources: Costs | TransferPrior | None = None,
    space: str | SearchSpace = "nb201",
    seed: int = 0,
) -> AdaptedPredictor:
    """Predict a new device from a few measurements and from other devices.

    It is *not* meant for accuracies: costs are assumed to be no less than zero.

    Parameters
    ----------
    measurements
        Cost of at least :data:`MIN_MEASUREMENTS` architectures, in any unit: a mapping from the published string, a
        series or one-column frame indexed by it, or ``(table, column)``, whose missing values are left out.
        A repeated architecture is a repeated measurement.
    sources
        Costs on other devices, each in any unit: a table with one column a device, ``(table, columns)``, a frame
        indexed by architecture, ``(archs, matrix)`` with an (n, k) matrix, or a :class:`TransferPrior`. Missing values
        are NaN; architectures need not include the measured ones. None for the latency predictors of the space that
        are installed with the package, which needs no data.
    space
        Search space of the architectures.
    seed
        Draws the rows from which the prior is learnt, where the sources have more than 16,384.

    Raises
    ------
    SpecError
        Too few architectures, a value that is negative or not finite, measurements or sources that are all equal, or
        sources of another space.
    ArchitectureError
        A string is not an architecture of the space.

    Examples
    --------
    Two known devices, one that takes its time for multiplications and one that takes it for weights; the new one is a
    mixture of both, and three measurements say so:

    >>> nb201 = find_space("nb201")
    >>> X = nb201.sample(200, rng=np.random.default_rng(1))
    >>> X = np.unique(X, axis=0)
    >>> known = np.stack([nb201.n_flops(X), nb201.n_parameters(X)], axis=1) / 1e6
    >>> sources = (nb201.decode(X), known)
    >>> new = dict(zip(sources[0], known @ [0.2, 3.0]))
    >>> chosen = which_to_measure(3, sources=sources)
    >>> predictor = adapt({arch: new[arch] for arch in chosen}, sources=sources)
    >>> bool(np.allclose(predictor.predict(X), list(new.values())))
    True
    """
    prior = sources if isinstance(sources, TransferPrior) else TransferPrior(sources, space=space, seed=seed)
    return prior.adapt(measurements)


def which_to_measure(
    n: int, *, sources: Costs | TransferPrior | None = None, space: str | SearchSpace = "nb201", seed: int = 0
) -> list[str]:
    """Which n networks to measure on a new device, most informative first.

    The architectures are those of the sources, without any that have no path from input to output. Each next one
    lowers the mean variance of the prediction over all of them the most.

    Parameters
    ----------
    n
        Number of networks.
    sources, space, seed
        As for :func:`adapt`, which then takes the same :class:`TransferPrior` without learning it again.

    Raises
    ------
    SpecError
        n is less than :data:`MIN_MEASUREMENTS`, or the sources have fewer architectures; or as for :func:`adapt`.
    """
    prior = sources if isinstance(sources, TransferPrior) else TransferPrior(sources, space=space, seed=seed)
    return prior.which_to_measure(n)


@final
class TransferPrior:
    """What source devices say about any device of their kind; learnt once, conditioned as often as one likes.

    Parameters
    ----------
    sources, space, seed
        As for :func:`adapt`.

    Raises
    ------
    SpecError, ArchitectureError
        As for :func:`adapt`.
    """

    def __init__(self, sources: Costs | None = None, *, space: str | SearchSpace = "nb201", seed: int = 0) -> None:
        self.space: Final = find_space(space) if isinstance(space, str) else space
        if sources is None:
            sources = predicted_costs(self.space, seed=seed)
        archs, values = _read_sources(sources, self.space)
        self._X: Final = self.space.encode(archs)
        _check_sources(values, archs=archs, keys=byte_keys(self._X))
        usable = np.flatnonzero(~self.space.degenerate(self._X))
        if len(usable) < MIN_MEASUREMENTS:
            raise SpecError(
                f"expected sources with at least {MIN_MEASUREMENTS} architectures that have a path from input to "
                f"output, got {len(usable)}"
            )
        self._values: Final = values[:, _varying(values[usable])]
        rng = np.random.default_rng(seed)
        self._reference: Final = np.sort(rng.permutation(usable)[:_MAX_SOURCE_ROWS])
        self._designs: Final = _Design.of(self.space, self._X[self._reference])
        self._centres: Final = {name: _centre(getattr(self._designs, name)) for name in _DESIGN_PARTS}
        work = self._designs.counted_work
        self._work_centre: Final = (work.mean(axis=0), np.where(work.std(axis=0) > 0, work.std(axis=0), 1.0))

    def __repr__(self) -> str:
        return f"TransferPrior({self.space.name!r}, {self._values.shape[1]} devices, {len(self._X)} architectures)"

    def adapt(self, measurements: Measurements) -> AdaptedPredictor:
        """Condition on the measurements of a new device: :func:`adapt`."""
        archs, values = _read_measurements(measurements, self.space)
        X = self.space.encode(archs)
        alive = ~self.space.degenerate(X)
        _check_measurements(values, archs=archs, n_distinct=len(np.unique(byte_keys(X[alive]))), alive=alive)
        X, values = X[alive], values[alive]
        law = self._exact_law(X, values)
        posterior = _Posterior.condition(self.features(X), values) if law is None else law
        return AdaptedPredictor(prior=self, model=posterior, n_measurements=len(values))

    def which_to_measure(self, n: int) -> list[str]:
        """Return the n most informative networks: :func:`which_to_measure`."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < MIN_MEASUREMENTS:
            raise SpecError(f"expected a number of networks of at least {MIN_MEASUREMENTS}, got {n!r}")
        if n > len(self._reference):
            raise SpecError(
                f"the sources have {len(self._reference)} architectures to choose from; got n={n}; choose fewer"
            )
        X = self._X[self._reference]
        return self.space.decode(X[_most_informative(self.features(X, parts=_DECISIVE), n=int(n), noise=_NOISE)])

    def features(self, X: NDArray[Any], *, parts: Sequence[str] = tuple(_VARIANCE)) -> Floats:
        """Inputs of the weights, (n, k): the prior covariance of two architectures is the product of their rows."""
        design = _Design.of(self.space, X)
        devices = self._source_model.standardised(X, design=design)
        blocks: dict[str, Floats] = {
            "constant": np.ones((len(X), 1)),
            "mean_source": devices.mean(axis=1, keepdims=True),
            "sources": devices / np.sqrt(devices.shape[1]),
        }
        mean, spread = self._work_centre
        blocks["counted_work"] = (design.counted_work - mean) / (spread * np.sqrt(max(len(spread), 1)))
        for name in _DESIGN_PARTS:
            middle, scale = self._centres[name]
            blocks[name] = (getattr(design, name) - middle) / scale
        return np.concatenate([np.sqrt(_VARIANCE[name]) * blocks[name] for name in parts], axis=1)

    def law_inputs(self, X: NDArray[Any], *, law: str) -> Floats:
        """Inputs of an exact law, (n, k): costs on the sources, or a constant and a block of the design."""
        design = _Design.of(self.space, X)
        if law == "sources":
            return self._source_model.costs(X, design=design)
        return np.concatenate([np.ones((len(X), 1)), getattr(design, law)], axis=1)

    def _exact_law(self, X: NDArray[Any], values: Floats) -> _ExactLaw | None:
        """The simplest law that reproduces the measurements of (n, d) encodings, or None."""
        for law in ("sources", *_DESIGN_PARTS[:3]):
            found = _exact_weights(self.law_inputs(X, law=law), values)
            if found is not None:
                return _ExactLaw(law=law, weights=found[0], step=found[1])
        return None

    @cached_property
    def _source_model(self) -> _SourceModel:
        return _SourceModel.fit(
            self._values, rows=self._reference, smoother=_Smoother(self._designs.smoothing()), keys=byte_keys(self._X)
        )


@final
class AdaptedPredictor:
    """Predicts a new device; made by :func:`adapt`."""

    def __init__(self, *, prior: TransferPrior, model: _Posterior | _ExactLaw, n_measurements: int) -> None:
        self.space: Final = prior.space
        self.n_measurements: Final = n_measurements
        self._prior: Final = prior
        self._model: Final = model

    def __repr__(self) -> str:
        return f"AdaptedPredictor({self.space.name!r}, {self.n_measurements} measurements)"

    @overload
    def predict(self, archs: Sequence[str] | ArrayLike, *, return_std: Literal[False] = False) -> Floats: ...
    @overload
    def predict(self, archs: Sequence[str] | ArrayLike, *, return_std: Literal[True]) -> tuple[Floats, Floats]: ...
    def predict(self, archs: Sequence[str] | ArrayLike, *, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Predict the cost on the new device.

        Parameters
        ----------
        archs
            n published strings or (n, d) encodings, of any architectures of the space.
        return_std
            Also return the standard deviation of a measurement around the prediction.

        Returns
        -------
        (n,) values in the unit of the measurements, none below zero, and on request (n,) standard deviations: 0 where
        a law was found that reproduces every measurement. Architectures without a path from input to output are
        predicted as if they were run as they stand; a runtime that folds dead graphs may be faster.

        Raises
        ------
        ArchitectureError
            A string or encoding is not an architecture of the space.
        """
        X = self.space.as_encodings(archs)
        value, deviation = self._model.predict(X, prior=self._prior, with_std=return_std)
        return value if deviation is None else (value, deviation)


# ------------------------------------------------------------------ the new device


@dataclass(frozen=True, slots=True, kw_only=True)
class _ExactLaw:
    """A weighted sum without noise, such as a simulator's or a parameter count."""

    law: str
    weights: Floats
    step: float

    def predict(self, X: NDArray[Any], *, prior: TransferPrior, with_std: bool) -> tuple[Floats, Floats | None]:
        """Value and, on request, deviation of (n, d) encodings, (n,) each."""
        value = np.maximum(prior.law_inputs(X, law=self.law) @ self.weights, 0.0)
        value = np.round(value / self.step) * self.step  # equal costs must stay equal: such devices are full of ties
        return value, np.zeros(len(value)) if with_std else None


def _exact_weights(inputs: Floats, values: Floats) -> tuple[Floats, float] | None:
    """Weights with which (n, k) inputs give the n values, and the precision of that, if enough measurements agree.

    That is one different row more than weights, or three more for whole numbers, which can agree by accident.
    """
    k = inputs.shape[1]
    length = np.sqrt((inputs**2).mean(axis=0))
    if len(np.unique(inputs, axis=0)) < k + (3 if _resolution(values) else 1) or not length.all():
        return None
    weights, _, rank, _ = np.linalg.lstsq(inputs / length, values, rcond=1e-7)
    misfit = float(np.abs(inputs / length @ weights - values).max())
    if rank < k or misfit > _EXACT_MISFIT * float(values.std()):
        return None
    return weights / length, _TIE_FACTOR * max(misfit, float(np.spacing(values.max())))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posterior:
    """Weights after the measurements, in the space their r rows span: w = basis @ u, u ~ N(mean, covariance)."""

    basis: Floats
    mean: Floats
    covariance: Floats
    noise: float
    location: float
    scale: float

    @classmethod
    def condition(cls, features: Floats, values: Floats) -> _Posterior:
        """Posterior given (n, k) features and (n,) values of a new device.

        Notes
        -----
        Expectation-maximisation of Student's t noise (Lange et al. 1989, section 3) with a scaled-inverse-chi-squared
        prior on its scale. The algebra is done in the r = min(n, k) dimensions the rows span: O(n r^2) an iteration.
        """
        root = values**_POWER
        location, scale = float(np.median(root)), float(root.std())
        target = (root - location) / scale
        basis, triangle = np.linalg.qr(features.T)
        rows = triangle.T  # features = rows @ basis.T
        n = len(values)
        degrees = float(np.clip(n / _MEASUREMENTS_PER_DEGREE, *_DEGREES))
        noise, variance = _NOISE, np.full(n, _NOISE)
        for _ in range(_N_ITERATIONS):
            covariance, mean = _weights(rows, target, variance=variance)
            squared = (target - rows @ mean) ** 2 + ((rows @ covariance) * rows).sum(axis=1)
            weight = (degrees + 1.0) / (degrees + squared / noise)
            before, noise = noise, (float(weight @ squared) + _NOISE_WEIGHT * _NOISE) / (n + _NOISE_WEIGHT)
            variance = noise / weight
            if abs(noise - before) < _SETTLED * noise:
                break
        covariance, mean = _weights(rows, target, variance=variance)
        return cls(basis=basis, mean=mean, covariance=covariance, noise=noise, location=location, scale=scale)

    def predict(self, X: NDArray[Any], *, prior: TransferPrior, with_std: bool) -> tuple[Floats, Floats | None]:
        """Value and, on request, deviation of (n, d) encodings, (n,) each."""
        features = prior.features(X)
        inside = features @ self.basis if with_std else np.empty(0)
        standard = features @ (self.basis @ self.mean)
        root = np.maximum(self.location + self.scale * standard, 0.0)
        value: Floats = root ** (1.0 / _POWER)
        if not with_std:
            return value, None
        outside = np.maximum((features**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0)
        spread = outside + ((inside @ self.covariance) * inside).sum(axis=1) + self.noise
        return value, root ** (1.0 / _POWER - 1.0) / _POWER * self.scale * np.sqrt(spread)


def _weights(rows: Floats, target: Floats, *, variance: Floats) -> tuple[Floats, Floats]:
    """Covariance (r, r) and mean (r,) of standard normal weights given target = rows @ weights + noise."""
    weighted = rows / variance[:, None]
    covariance = np.asarray(np.linalg.inv(np.eye(rows.shape[1]) + rows.T @ weighted), dtype=np.float64)
    return covariance, covariance @ (weighted.T @ target)


def _resolution(values: Floats) -> float:
    """Step of which all values are multiples, such as a whole millisecond; 0 where there is none."""
    step = float(np.diff(np.unique(values)).min())
    multiples = values / step
    return step if bool((np.abs(multiples - np.round(multiples)) < 1e-6).all()) else 0.0


def _most_informative(features: Floats, *, n: int, noise: float) -> NDArray[np.intp]:
    """Rows of (N, k) features that, measured one after the other, lower the mean variance of all rows the most.

    Notes
    -----
    Greedy I-optimal design: measuring row x lowers the summed variance by |F C x|^2 / (noise + x C x). O(n N k^2).
    """
    covariance = np.eye(features.shape[1])
    second_moment = features.T @ features
    chosen: list[int] = []
    for _ in range(n):
        reach = features @ covariance
        variance = noise + (reach * features).sum(axis=1)
        gain = ((reach @ second_moment) * reach).sum(axis=1) / variance
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        covariance -= np.outer(reach[best], reach[best]) / variance[best]
    return np.array(chosen, dtype=np.intp)


# ------------------------------------------------------------------ the sources


@dataclass(frozen=True, slots=True, kw_only=True)
class _SourceModel:
    """The k source devices as columns that exist for every architecture of the space.

    A source is smoothed by a regression of its root on the operations, which fills its gaps and takes out the noise of
    its measurements; the share of its variance that the regression cannot explain is the weight of what was measured.
    """

    coefficients: Floats
    location: Floats
    scale: Floats
    residuals: Floats
    measured: Floats
    keys: NDArray[np.bytes_]

    @classmethod
    def fit(
        cls, values: Floats, *, rows: NDArray[np.intp], smoother: _Smoother, keys: NDArray[np.bytes_]
    ) -> _SourceModel:
        """Model (N, k) values, NaN where missing, of N keys; the smoother's design has the given rows."""
        roots = values[rows] ** _POWER
        coefficients, unexplained = smoother.fit(roots)
        smooth = smoother.design @ coefficients
        residuals = np.zeros(values.shape)
        residuals[rows] = np.nan_to_num(roots - smooth) * unexplained
        used = smooth + residuals[rows]
        order = np.argsort(keys, kind="stable")
        return cls(
            coefficients=coefficients,
            location=used.mean(axis=0),
            scale=used.std(axis=0),
            residuals=residuals[order],
            measured=values[order],
            keys=keys[order],
        )

    def standardised(self, X: NDArray[Any], *, design: _Design) -> Floats:
        """Smoothed roots of the costs of (n, d) encodings, (n, k), with mean 0 and deviation 1 over the rows."""
        at, known = self._find(X)
        smooth = design.smoothing() @ self.coefficients
        return (smooth + np.where(known, self.residuals[at], 0.0) - self.location) / self.scale

    def costs(self, X: NDArray[Any], *, design: _Design) -> Floats:
        """Costs of (n, d) encodings as measured, (n, k); smoothed where they were not."""
        at, known = self._find(X)
        measured = np.where(known, self.measured[at], np.nan)
        smooth = np.maximum(design.smoothing() @ self.coefficients, 0.0) ** (1.0 / _POWER)
        return np.where(np.isnan(measured), smooth, measured)

    def _find(self, X: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Row of each encoding, (n,), and whether there is one, (n, 1)."""
        wanted = byte_keys(X)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return at, (self.keys[at] == wanted)[:, None]


class _Smoother:
    """Ridge regression of sources on an (n, k) design whose first column is constant."""

    def __init__(self, design: Floats) -> None:
        self.design: Final = design

    def fit(self, values: Floats) -> tuple[Floats, Floats]:
        """Coefficients (k, m) of (n, m) values, and the share of each variance that is left unexplained, (m,)."""
        coefficients = np.empty((self.design.shape[1], values.shape[1]))
        unexplained = np.empty(values.shape[1])
        present = ~np.isnan(values)
        alike: dict[bytes, list[int]] = {}  # columns with the same gaps share one decomposition
        for j, column in enumerate(present.T):
            alike.setdefault(column.tobytes(), []).append(j)
        for columns in alike.values():
            pattern = present[:, columns[0]]
            found = self._fit_complete(self.design[pattern], values[pattern][:, columns])
            coefficients[:, columns], unexplained[columns] = found
        return coefficients, unexplained

    def _fit_complete(self, design: Floats, values: Floats) -> tuple[Floats, Floats]:
        gram = design.T @ design
        penalty = np.full(len(gram), _SMOOTHER_PENALTY)
        penalty[0] = 1e-9
        inverse = np.linalg.inv(gram + np.diag(penalty))
        middle = values.mean(axis=0)
        found = inverse @ (design.T @ (values - middle))
        degrees = float((inverse * gram).sum())  # trace of the hat matrix
        found[0] += middle
        left = ((values - design @ found) ** 2).sum(axis=0) / max(len(values) - degrees, 1.0)
        whole = ((values - middle) ** 2).sum(axis=0) / max(len(values) - 1.0, 1.0)
        return found, np.clip(np.divide(left, whole, out=np.zeros_like(left), where=whole > 0), 0.0, 1.0)


# ------------------------------------------------------------------ architectures as numbers

_DESIGN_PARTS: Final = ("all_counts", "live_counts", "one_hot", "pairs")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Design:
    """Architectures as numbers, n rows in each block; a block a space does not have is empty."""

    counted_work: Floats
    all_counts: NDArray[np.int8]
    live_counts: NDArray[np.int8]
    one_hot: NDArray[np.int8]
    pairs: NDArray[np.int8]
    all_one_hot: NDArray[np.int8]

    @classmethod
    def of(cls, space: SearchSpace, X: NDArray[Any]) -> _Design:
        """Design of (n, d) encodings."""
        if space.size > _KEPT_SPACE_SIZE:
            return _compute_design(space, X)
        kept = _whole_design(space)
        codes = space.codes(X)
        return cls(**{name: getattr(kept, name)[codes] for name in cls.__slots__})

    def smoothing(self) -> Floats:
        """Inputs of the smoother, (n, k): the first column is constant."""
        constant = np.ones((len(self.one_hot), 1))
        squares = [self.all_counts.astype(float) ** 2, self.live_counts.astype(float) ** 2]
        return np.concatenate([constant, self.all_one_hot, *squares, self.one_hot, self.pairs], axis=1)


@lru_cache(maxsize=4)
def _whole_design(space: SearchSpace) -> _Design:
    return _compute_design(space, space.enumerate())


def _compute_design(space: SearchSpace, X: NDArray[Any]) -> _Design:
    none = np.zeros((len(X), 0), dtype=np.int8)
    if isinstance(space, NB201):
        live = space.live(X)
        one_hot = _indicators(live, space)
        return _Design(
            counted_work=_counted_work(space, X),
            all_counts=space.operation_counts(X, convention="all")[:, 1:].astype(np.int8),
            live_counts=space.operation_counts(live, convention="all")[:, 1:].astype(np.int8),
            one_hot=one_hot,
            pairs=_products(one_hot, space),
            all_one_hot=_indicators(X, space),
        )
    one_hot = _indicators(X, space)
    alike = len({tuple(v.values) for v in space.variables}) == 1
    counts = one_hot.reshape(len(X), space.n_variables, -1).sum(axis=1, dtype=np.int8) if alike else none
    return _Design(
        counted_work=_counted_work(space, X),
        all_counts=counts,
        live_counts=none,
        one_hot=one_hot,
        pairs=_products(one_hot, space),
        all_one_hot=none,
    )


def _counted_work(space: SearchSpace, X: NDArray[Any]) -> Floats:
    """Powers, as costs are modelled in, of what a space offers to count, (n, k): parameters, FLOPs."""
    counted = [getattr(space, name, None) for name in _WORK]
    options = {"convention": "live"} if isinstance(space, NB201) else {}
    columns = [np.asarray(count(X, **options), dtype=np.float64) ** _POWER for count in counted if callable(count)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(X), 0))


def _indicators(X: NDArray[Any], space: SearchSpace) -> NDArray[np.int8]:
    """One column for every value but the first of each variable, (n, sum(cardinalities - 1))."""
    blocks = [X[:, j, None] == np.arange(1, c) for j, c in enumerate(space.cardinalities)]
    return np.concatenate(blocks, axis=1).astype(np.int8)


def _products(one_hot: NDArray[np.int8], space: SearchSpace) -> NDArray[np.int8]:
    """Products of the indicators of every two variables; empty where they are too many."""
    sizes = (space.cardinalities - 1).tolist()
    ends = np.cumsum(sizes).tolist()
    spans = [one_hot[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]
    if sum(a * b for a, b in combinations(sizes, 2)) > _MAX_PAIR_COLUMNS:
        return one_hot[:, :0]
    blocks = [(a[:, :, None] * b[:, None, :]).reshape(len(one_hot), -1) for a, b in combinations(spans, 2)]
    return np.concatenate([one_hot[:, :0], *blocks], axis=1)


def _centre(block: NDArray[np.int8]) -> tuple[Floats, float]:
    """Mean of the columns, (k,), and the root mean square length of a row around it."""
    middle = block.mean(axis=0) if block.size else np.zeros(block.shape[1])
    length = float(np.sqrt(((block - middle) ** 2).sum(axis=1).mean()))
    return middle, length or 1.0


# ------------------------------------------------------------------ reading what the user has


def _read_sources(sources: Any, space: SearchSpace) -> tuple[list[str], Floats]:
    """Architectures and their (n, k) values, NaN where missing."""
    if isinstance(sources, Table):
        return _read_table(sources, sources.columns, space=space)
    if _is_frame(sources):
        return [str(a) for a in sources.index], _as_floats(sources.to_numpy(), what="the sources")
    if isinstance(sources, tuple) and len(sources) == 2:
        first, second = sources
        if isinstance(first, Table):
            columns = [second] if isinstance(second, str | Objective) else list(second)
            return _read_table(first, columns, space=space)
        return list(first), _as_floats(second, what="the sources")
    raise SpecError(
        "sources are a table, (table, columns), a data frame indexed by architecture, or (archs, matrix); "
        f"got {type(sources).__name__}"
    )


def _read_table(table: Table, columns: Sequence[str | Objective], *, space: SearchSpace) -> tuple[list[str], Floats]:
    if table.header.space != space.name:
        raise SpecError(f"table {table.id!r} is of the space {table.header.space!r}; expected {space.name!r}")
    if table.header.rows != "architecture":
        raise SpecError(f"table {table.id!r} holds operators; expected one row an architecture")
    return table.archs, table.matrix(list(columns))


def _read_measurements(measurements: Any, space: SearchSpace) -> tuple[list[str], Floats]:
    """Architectures and their (n,) values."""
    if isinstance(measurements, Mapping):
        return list(measurements), _as_floats(list(measurements.values()), what="the measurements")
    if isinstance(measurements, tuple) and len(measurements) == 2 and isinstance(measurements[0], Table):
        archs, values = _read_table(measurements[0], [measurements[1]], space=space)
        there = np.flatnonzero(~np.isnan(values[:, 0]))
        return [archs[i] for i in there.tolist()], values[there, 0]
    if hasattr(measurements, "index") and hasattr(measurements, "to_numpy"):
        values = _as_floats(measurements.to_numpy(), what="the measurements")
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise SpecError(f"expected one column of measurements, got {values.shape[1]}; choose one")
        return list(measurements.index), values
    raise SpecError(
        "measurements are a mapping from architecture to value, a series or one-column frame indexed by architecture, "
        f"or (table, column); got {type(measurements).__name__}"
    )


def _is_frame(thing: Any) -> bool:
    return hasattr(thing, "index") and hasattr(thing, "columns") and hasattr(thing, "to_numpy")


def _as_floats(values: Any, *, what: str) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{what}: expected numbers; {error}") from None


def _check_sources(values: Floats, *, archs: Sequence[str], keys: NDArray[np.bytes_]) -> None:
    if values.ndim != 2 or values.shape[0] != len(archs) or not values.shape[1]:
        raise SpecError(
            f"expected a matrix of {len(archs)} rows, one an architecture, and a column for each device; got shape "
            f"{values.shape}"
        )
    bad = np.argwhere(np.isinf(values) | (values < 0))
    if bad.size:
        i, j = bad[0].tolist()
        raise SpecError(f"source column {j}: expected costs of at least 0, got {values[i, j]} for {archs[i]!r}")
    if len(np.unique(keys)) < len(keys):
        order = np.argsort(keys, kind="stable")
        twice = order[np.flatnonzero(keys[order][1:] == keys[order][:-1])[0]]
        raise SpecError(f"the sources have {archs[twice]!r} more than once; keep one row an architecture")


def _varying(values: Floats) -> NDArray[np.intp]:
    """Columns that are not constant or empty; the others say nothing."""
    lowest, highest = np.nanmin(values, axis=0, initial=np.inf), np.nanmax(values, axis=0, initial=-np.inf)
    columns = np.flatnonzero(lowest < highest)
    if not columns.size:
        raise SpecError("every source column is constant or empty: none says how devices order architectures")
    return columns


def _check_measurements(values: Floats, *, archs: Sequence[str], n_distinct: int, alive: NDArray[np.bool_]) -> None:
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if bad.size:
        raise SpecError(
            f"expected finite costs of at least 0, got {values[bad[0]]} for {archs[bad[0]]!r} ({bad.size} such); "
            "leave it out or measure it again"
        )
    if n_distinct < MIN_MEASUREMENTS:
        dead = int((~alive).sum())
        without = f", besides {dead} without a path from input to output, which do not count" if dead else ""
        raise SpecError(
            f"expected measurements of at least {MIN_MEASUREMENTS} architectures, got {n_distinct}{without}; "
            "which_to_measure() proposes some"
        )
    if np.ptp(values[alive]) == 0:
        raise SpecError(
            f"all measurements are {values[0]}: they do not say how the device orders architectures; measure others, "
            "or with a finer clock"
        )
