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

#: Deviation of the logarithm of a column's relevance about the common one.
_SPREAD = 1.5
#: Centres and deviations of the normal priors of the logarithms of: the common length, in standard deviations of the
#: columns; the noise variance and the variance of the linear part, as shares of the curved part's.
_LENGTH = (0.5, 0.7)
_NOISE = (-4.5, 1.2)
_LINEAR = (-1.0, 1.5)
#: So many observations' worth of belief that the curved part has the target's own variance.
_STRENGTH = 5.0
#: Least and greatest logarithm of the noise share.
_NOISE_LIMITS = (-16.0, 1.0)
#: Columns whose relevance adds less than this share of the total are left out of predictions.
_NEGLIGIBLE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relevance:
    """A fitted kernel: ``variance * (matern52(|a - b|) + a . b)``, a and b scaled by weights of the columns.

    Parameters
    ----------
    parameters
        (k + 3,) what was fitted: logarithms, standardised; the start of the next fit.
    curved, linear
        (k,) weights of the columns in the squared distance and in the product.
    noise
        Variance of the noise, a share of ``variance``.
    variance
        Of the curved part, in units of the standardised target.
    cost
        Negative logarithm of the posterior density, up to a constant: smaller fits better.
    """

    parameters: Floats
    curved: Floats
    linear: Floats
    noise: float
    variance: float
    cost: float

    def view(self, Z: NDArray[Any]) -> View:
        """(n, k) standardised features as the kernel sees them."""
        curved = np.flatnonzero(self.curved > _NEGLIGIBLE * self.curved.sum())
        linear = np.flatnonzero(self.linear > _NEGLIGIBLE * self.linear.sum())
        # columns are gathered as rows of the transpose, which is many times faster where those are contiguous
        scaled = (Z.T[curved] * np.sqrt(self.curved[curved])[:, None]).T
        return View(
            curved=scaled,
            squares=np.einsum("ij,ij->i", scaled, scaled),
            linear=(Z.T[linear] * np.sqrt(self.linear[linear])[:, None]).T,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Rows of features, scaled by a kernel's weights, and what of them every covariance needs.

    Parameters
    ----------
    curved, linear
        (n, j) scaled columns of the curved and of the linear part.
    squares
        (n,) squared norms of ``curved``.
    """

    curved: Floats
    squares: Floats
    linear: Floats

    def __len__(self) -> int:
        return len(self.squares)

    def joined(self, other: View) -> View:
        """These rows, then the others."""
        return View(
            curved=np.concatenate([self.curved, other.curved]),
            squares=np.concatenate([self.squares, other.squares]),
            linear=np.concatenate([self.linear, other.linear]),
        )

    def take(self, rows: slice) -> View:
        """Some of the rows."""
        return View(curved=self.curved[rows], squares=self.squares[rows], linear=self.linear[rows])

    def prior_variance(self) -> Floats:
        """Covariance of each row with itself, a share of the kernel's variance, (n,)."""
        made: Floats = 1.0 + np.einsum("ij,ij->i", self.linear, self.linear)
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
    r += A.linear @ B.linear.T
    return r


def fit_relevance(
    Z: NDArray[Any], scores: Floats, *, start: Floats | None = None, iterations: int = 40
) -> Relevance:
    """The most probable kernel of standardised targets.

    Parameters
    ----------
    Z
        (n, k) standardised features.
    scores
        (n,) standardised targets.
    start
        ``parameters`` of an earlier fit to begin with; the centre of the prior if not given.
    iterations
        Most steps of L-BFGS.

    Notes
    -----
    O(n^3 + n^2 k) a step. The variance is integrated out under an inverse gamma prior.
    """
    from scipy.optimize import minimize

    k = Z.shape[1]
    begin = np.zeros(k + 3) if start is None else start
    low = (_NOISE_LIMITS[0] - _NOISE[0]) / _NOISE[1]
    high = (_NOISE_LIMITS[1] - _NOISE[0]) / _NOISE[1]
    bounds = [(-4.0, 4.0)] * (k + 3)
    bounds[k + 1] = (low, high)
    objective = _Objective(np.asarray(Z, dtype=np.float64), scores)
    found = minimize(
        objective, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations, "ftol": 1e-5}
    )
    best = found.x if np.isfinite(found.fun) and found.fun < _IMPOSSIBLE else np.zeros(k + 3)
    cost, _, variance = objective.evaluate(best)
    curved, linear, noise = _unpack(best)
    return Relevance(parameters=best, curved=curved, linear=linear, noise=noise, variance=variance, cost=cost)


#: Cost of a kernel whose covariance cannot be factorised.
_IMPOSSIBLE = 1e10


class _Objective:
    """Negative logarithm of the posterior density of the parameters, and its gradient."""

    def __init__(self, Z: Floats, scores: Floats) -> None:
        self.Z = Z
        self.squares = Z * Z
        self.scores = scores

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        cost, gradient, _ = self.evaluate(parameters)
        return cost, gradient

    def evaluate(self, parameters: Floats) -> tuple[float, Floats, float]:
        """Cost, gradient (k + 3,), and the variance that goes with the parameters."""
        Z, n = self.Z, len(self.scores)
        curved, linear, noise = _unpack(parameters)
        scaled = Z * np.sqrt(curved)
        square = np.einsum("ij,ij->i", scaled, scaled)
        r2 = np.maximum(square[:, None] + square - 2.0 * (scaled @ scaled.T), 0.0)
        r = np.sqrt(r2)
        decay = np.exp(-r)
        K = (1.0 + r + r2 / 3.0) * decay + (Z * linear) @ Z.T
        K[np.diag_indices(n)] += noise + 1e-9
        try:
            factor = np.linalg.cholesky(K)
        except np.linalg.LinAlgError:
            return _IMPOSSIBLE, np.zeros_like(parameters), 1.0
        inverse = np.linalg.inv(K)
        alpha = inverse @ self.scores
        weight = n + _STRENGTH
        variance = float(self.scores @ alpha + _STRENGTH) / weight
        cost = 0.5 * weight * np.log(variance) + np.log(np.diag(factor)).sum() + 0.5 * parameters @ parameters
        # derivative by K, then by the columns' weights: dK/dr2 = -(1 + r) exp(-r) / 6
        by_K = 0.5 * (inverse - np.outer(alpha, alpha) / variance)
        by_r2 = by_K * decay
        by_r2 *= (1.0 + r) / -6.0
        by_curved = 2.0 * (by_r2.sum(axis=1) @ self.squares - np.einsum("ij,ij->j", by_r2 @ Z, Z)) * curved
        by_linear = np.einsum("ij,ij->j", by_K @ Z, Z) * linear
        gradient = parameters.copy()
        gradient[:-3] += _SPREAD * (by_curved + by_linear)
        gradient[-3] += -2.0 * _LENGTH[1] * by_curved.sum()
        gradient[-2] += _NOISE[1] * noise * np.trace(by_K)
        gradient[-1] += _LINEAR[1] * by_linear.sum()
        return float(cost), gradient, variance


def _unpack(parameters: Floats) -> tuple[Floats, Floats, float]:
    """Weights of the columns in the squared distance (times 5, as Matern 5/2 wants it) and in the product; noise."""
    k = len(parameters) - 3
    relevance = np.exp(_SPREAD * parameters[:k]) / max(k, 1)
    length = np.exp(_LENGTH[0] + _LENGTH[1] * parameters[-3])
    noise = float(np.exp(_NOISE[0] + _NOISE[1] * parameters[-2]))
    linear = np.exp(_LINEAR[0] + _LINEAR[1] * parameters[-1])
    return 5.0 * relevance / length**2, linear * relevance, noise
