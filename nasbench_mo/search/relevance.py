"""How relevant each feature is to an objective, learnt from few evaluations: the kernel of the default searcher.

A Gaussian process with a length of its own for every column has more lengths than there are evaluations. Here every
column's relevance has a log-normal prior around one common value, and the most probable relevances are taken (MAP), so
that columns stay alike until the data speak: with ten evaluations this is nearly an isotropic kernel, with a hundred
the few columns that matter stand out. Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, sections
4.2.1, 5.1 and 5.4.1; the idea that most columns do not matter: Eriksson & Jankowiak, "High-dimensional Bayesian
optimization with sparse axis-aligned subspaces", UAI 2021.

Nothing here was fitted to a benchmark: all columns start alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Deviation of the logarithm of a column's relevance about that of its group.
_SPREAD = 1.5
#: Centres and deviations of the normal priors of the logarithms of: a group's length, in standard deviations of the
#: columns; a group's variance in the linear part; the curved part's amplitude; the noise variance, a share of that.
_LENGTH = (0.5, 0.7)
_LINEAR = (-1.0, 2.5)
_AMPLITUDE = (0.0, 0.5)
_NOISE = (-4.5, 1.5)
#: So many observations' worth of belief that the kernel has the target's own variance.
_STRENGTH = 5.0
#: Columns whose relevance adds less than this share of the total are left out of predictions.
_NEGLIGIBLE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """Columns that are believed to matter together.

    Parameters
    ----------
    of
        (k,) group of each column, from 0 to g - 1, every one with a column.
    additive
        (g,) whether a group's columns are counts or indicators, in which costs add up: only these enter the linear
        part. A line through other columns would be trusted far from where anything was evaluated.
    """

    of: NDArray[np.intp]
    additive: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relevance:
    """A fitted kernel: ``variance * (amplitude * matern52(|a - b|) + a . b)``, a and b scaled column by column.

    Parameters
    ----------
    parameters
        What was fitted: logarithms, standardised; the start of the next fit.
    curved, linear
        (k,) weights of the columns in the squared distance and in the product.
    amplitude, noise
        Variances of the curved part and of the noise, shares of ``variance``.
    variance
        Of the whole, in units of the standardised target.
    cost
        Negative logarithm of the posterior density, up to a constant: smaller fits better.
    """

    parameters: Floats
    curved: Floats
    linear: Floats
    amplitude: float
    noise: float
    variance: float
    cost: float

    def view(self, Z: NDArray[Any]) -> View:
        """(n, k) standardised features as the kernel sees them."""
        curved = np.flatnonzero(self.curved > _NEGLIGIBLE * self.curved.sum())
        linear = np.flatnonzero(self.linear > _NEGLIGIBLE * self.linear.sum())
        # columns are gathered as rows of the transpose, which is many times faster where those are contiguous
        scaled = (Z.T[curved] * np.sqrt(self.curved[curved]).astype(Z.dtype)[:, None]).T
        return View(
            amplitude=self.amplitude,
            curved=scaled,
            squares=np.einsum("ij,ij->i", scaled, scaled),
            linear=(Z.T[linear] * np.sqrt(self.linear[linear]).astype(Z.dtype)[:, None]).T,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Rows of features, scaled by a kernel's weights, and what of them every covariance needs.

    Parameters
    ----------
    amplitude
        Variance of the curved part.
    curved, linear
        (n, j) scaled columns of the curved and of the linear part.
    squares
        (n,) squared norms of ``curved``.
    """

    amplitude: float
    curved: Floats
    squares: Floats
    linear: Floats

    def __len__(self) -> int:
        return len(self.squares)

    def joined(self, other: View) -> View:
        """These rows, then the others."""
        return View(
            amplitude=self.amplitude,
            curved=np.concatenate([self.curved, other.curved]),
            squares=np.concatenate([self.squares, other.squares]),
            linear=np.concatenate([self.linear, other.linear]),
        )

    def take(self, rows: slice) -> View:
        """Some of the rows."""
        return View(
            amplitude=self.amplitude,
            curved=self.curved[rows],
            squares=self.squares[rows],
            linear=self.linear[rows],
        )

    def single(self) -> View:
        """The same in single precision."""
        return View(
            amplitude=self.amplitude,
            curved=self.curved.astype(np.float32),
            squares=self.squares.astype(np.float32),
            linear=self.linear.astype(np.float32),
        )

    def prior_variance(self) -> Floats:
        """Covariance of each row with itself, a share of the kernel's variance, (n,)."""
        made: Floats = self.amplitude + np.einsum("ij,ij->i", self.linear, self.linear)
        return made


def covariance(A: View, B: View) -> Floats:
    """Covariance of two views of one kernel, a share of its variance: (n, m)."""
    r = A.curved @ B.curved.T
    r *= -2.0
    r += A.squares[:, None]
    r += B.squares
    np.maximum(r, 0.0, out=r)
    polynomial = r / 3.0
    np.sqrt(r, out=r)
    polynomial += r
    polynomial += 1.0
    np.negative(r, out=r)
    np.exp(r, out=r)
    r *= polynomial
    r *= A.amplitude
    r += A.linear @ B.linear.T
    return r


def fit_relevance(
    Z: NDArray[Any],
    scores: Floats,
    *,
    groups: Groups,
    even: bool = False,
    start: Floats | None = None,
    iterations: int = 40,
) -> Relevance:
    """The most probable kernel of standardised targets.

    Parameters
    ----------
    Z
        (n, k) standardised features.
    scores
        (n,) standardised targets.
    groups
        Which columns matter together.
    even
        Hold the columns of a group for equally relevant.
    start
        ``parameters`` of an earlier fit to begin with; the centre of the prior if not given.
    iterations
        Most steps of L-BFGS.

    Notes
    -----
    O(n^3 + n^2 k) a step. The variance is integrated out under an inverse gamma prior.
    """
    from scipy.optimize import minimize

    objective = _Objective(np.asarray(Z, dtype=np.float64), scores, groups=groups)
    begin = np.zeros(objective.n_parameters) if start is None else start
    found = minimize(
        objective,
        begin,
        jac=True,
        method="L-BFGS-B",
        bounds=objective.bounds(even=even),
        options={"maxiter": iterations, "ftol": 1e-5},
    )
    best = found.x if np.isfinite(found.fun) and found.fun < _IMPOSSIBLE else np.zeros(objective.n_parameters)
    cost, _, variance = objective.evaluate(best)
    weights = objective.weights(best)
    return Relevance(
        parameters=best,
        curved=weights.curved,
        linear=weights.linear,
        amplitude=weights.amplitude,
        noise=weights.noise,
        variance=variance,
        cost=cost,
    )


#: Cost of a kernel whose covariance cannot be factorised.
_IMPOSSIBLE = 1e10
#: No parameter goes further from its prior's centre than so many deviations.
_LIMIT = 4.0
#: The linear part of a group may vanish, but not explain more than the target varies: great coefficients that cancel
#: out where there are evaluations do not where there are none.
_LINEAR_LIMIT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Weights:
    curved: Floats
    linear: Floats
    amplitude: float
    noise: float


class _Objective:
    """Negative logarithm of the posterior density of the parameters, and its gradient.

    Parameters are standardised logarithms: k relevances, g lengths, g linear weights, the amplitude, the noise.
    """

    def __init__(self, Z: Floats, scores: Floats, *, groups: Groups) -> None:
        self.Z = Z
        self.squares = Z * Z
        self.scores = scores
        self.groups = groups.of
        self.k, self.g = len(groups.of), len(groups.additive)
        size = np.bincount(groups.of, minlength=self.g)
        self.share = 1.0 / (size[groups.of] * max(self.g, 1))
        self.additive = groups.additive[groups.of]
        self.n_parameters = self.k + 2 * self.g + 2

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        cost, gradient, _ = self.evaluate(parameters)
        return cost, gradient

    def bounds(self, *, even: bool) -> list[tuple[float, float]]:
        """Least and greatest value of each parameter."""
        columns = 0.0 if even else _LIMIT
        rest = [(-_LIMIT, high) for high in [_LIMIT] * self.g + [_LINEAR_LIMIT] * self.g + [_LIMIT] * 2]
        return [(-columns, columns)] * self.k + rest

    def weights(self, parameters: Floats) -> _Weights:
        """Weights of the columns in the squared distance (times 5, as Matern 5/2 wants it) and in the product."""
        k, g = self.k, self.g
        length = _LENGTH[0] + _LENGTH[1] * parameters[k : k + g]
        linear = _LINEAR[0] + _LINEAR[1] * parameters[k + g : k + 2 * g]
        relevance = np.exp(_SPREAD * parameters[:k]) * self.share
        amplitude = float(np.exp(_AMPLITUDE[0] + _AMPLITUDE[1] * parameters[-2]))
        return _Weights(
            curved=5.0 * relevance * np.exp(-2.0 * length)[self.groups],
            linear=relevance * np.exp(linear)[self.groups] * self.additive,
            amplitude=amplitude,
            noise=amplitude * float(np.exp(_NOISE[0] + _NOISE[1] * parameters[-1])),
        )

    def evaluate(self, parameters: Floats) -> tuple[float, Floats, float]:
        """Cost, gradient, and the variance that goes with the parameters."""
        from scipy.linalg.lapack import dpotrf, dpotri

        Z, n, k, g = self.Z, len(self.scores), self.k, self.g
        weights = self.weights(parameters)
        scaled = Z * np.sqrt(weights.curved)
        square = np.einsum("ij,ij->i", scaled, scaled)
        r2 = np.maximum(square[:, None] + square - 2.0 * (scaled @ scaled.T), 0.0)
        r = np.sqrt(r2)
        decay = weights.amplitude * np.exp(-r)
        curved = (1.0 + r + r2 / 3.0) * decay
        K = curved + (Z * weights.linear) @ Z.T
        K[np.diag_indices(n)] += weights.noise + 1e-10
        factor, failed = dpotrf(K, lower=1)
        if failed:
            return _IMPOSSIBLE, np.zeros_like(parameters), 1.0
        inverse = np.tril(dpotri(factor, lower=1)[0])
        inverse += np.tril(inverse, -1).T
        alpha = inverse @ self.scores
        strength = n + _STRENGTH
        variance = float(self.scores @ alpha + _STRENGTH) / strength
        cost = 0.5 * strength * np.log(variance) + np.log(np.diag(factor)).sum() + 0.5 * parameters @ parameters
        # derivative by K, then by the logarithms of the columns' weights: dK/dr2 = -amplitude (1 + r) exp(-r) / 6
        by_K = 0.5 * (inverse - np.outer(alpha, alpha) / variance)
        by_r2 = by_K * decay
        by_r2 *= (1.0 + r) / -6.0
        by_curved = 2.0 * (by_r2.sum(axis=1) @ self.squares - np.einsum("ij,ij->j", by_r2 @ Z, Z)) * weights.curved
        by_linear = np.einsum("ij,ij->j", by_K @ Z, Z) * weights.linear
        by_noise = weights.noise * np.trace(by_K)
        gradient = parameters.copy()
        gradient[:k] += _SPREAD * (by_curved + by_linear)
        gradient[k : k + g] += -2.0 * _LENGTH[1] * np.bincount(self.groups, by_curved, minlength=g)
        gradient[k + g : k + 2 * g] += _LINEAR[1] * np.bincount(self.groups, by_linear, minlength=g)
        gradient[-2] += _AMPLITUDE[1] * (float((by_K * curved).sum()) + by_noise)
        gradient[-1] += _NOISE[1] * by_noise
        return float(cost), gradient, variance
