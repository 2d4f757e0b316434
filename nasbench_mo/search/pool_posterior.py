"""A Gaussian process's view of a fixed pool of candidates, kept up to date as observations come in one by one."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.relevance import Relevance, covariance

Floats = NDArray[np.float64]

#: Added to the diagonal, as a share of the kernel's variance, so that equal rows can be factorised.
_JITTER = 1e-8


@final
class PoolPosterior:
    """Mean and variance of every candidate, given the observations so far.

    A new observation adds a row to the Cholesky factor and a row to the candidates' explained part: O(n p) for p
    candidates after n observations, where computing them afresh costs O(n^2 p). Rasmussen & Williams, "Gaussian
    Processes for Machine Learning", 2006, algorithm 2.1, and appendix A.4 row by row.

    Parameters
    ----------
    relevance
        The fitted kernel.
    pool
        (p, k) standardised features of the candidates.
    """

    def __init__(self, relevance: Relevance, pool: NDArray[Any]) -> None:
        self._relevance = relevance
        self._pool = relevance.view(pool)
        self._left = self._pool.prior_variance()
        self._mean = np.zeros(len(pool))
        self._inputs = relevance.view(pool[:0])
        self._factor = np.empty((0, 0))
        self._solved = np.empty(0)
        self._explained = np.empty((0, len(pool)))

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def mean(self) -> Floats:
        """Of the standardised target, (p,)."""
        return self._mean

    @property
    def variance(self) -> Floats:
        """Of the standardised target without noise, (p,)."""
        made: Floats = np.maximum(self._left, 0.0) * self._relevance.variance
        return made

    @property
    def noise_variance(self) -> float:
        """Of an observation about the target."""
        return self._relevance.noise * self._relevance.variance

    def expected(self, Z: NDArray[Any]) -> Floats:
        """Mean of the standardised target at (j, k) features, (j,)."""
        cross = covariance(self._inputs, self._relevance.view(Z))
        made: Floats = _solve_lower(self._factor, cross).T @ self._solved
        return made

    def observe(self, Z: NDArray[Any], scores: Floats) -> None:
        """Add (j, k) inputs with their (j,) standardised targets."""
        inputs = self._relevance.view(Z)
        own = covariance(inputs, inputs)
        own[np.diag_indices_from(own)] += self._relevance.noise + _JITTER
        fresh = covariance(inputs, self._pool)
        lower = _solve_lower(self._factor, covariance(self._inputs, inputs)).T
        corner = np.asarray(np.linalg.cholesky(own - lower @ lower.T), dtype=np.float64)
        explained = _solve_lower(corner, fresh - lower @ self._explained)
        solved = _solve_lower(corner, scores - lower @ self._solved)
        n, j = len(self), len(Z)
        factor = np.zeros((n + j, n + j))
        factor[:n, :n] = self._factor
        factor[n:, :n] = lower
        factor[n:, n:] = corner
        self._factor = factor
        self._inputs = self._inputs.joined(inputs)
        self._solved = np.concatenate([self._solved, solved])
        self._explained = np.concatenate([self._explained, explained])
        self._left = self._left - np.einsum("ij,ij->j", explained, explained)
        self._mean = self._mean + solved @ explained

    def forget(self, n: int) -> None:
        """Keep the first n observations only."""
        dropped = self._explained[n:]
        self._left = self._left + np.einsum("ij,ij->j", dropped, dropped)
        self._mean = self._mean - self._solved[n:] @ dropped
        self._inputs = self._inputs.take(slice(n))
        self._factor = self._factor[:n, :n]
        self._solved = self._solved[:n]
        self._explained = self._explained[:n]


def _solve_lower(factor: Floats, right: Floats) -> Floats:
    from scipy.linalg import solve_triangular

    if not len(factor):
        return np.empty_like(right)
    return np.asarray(solve_triangular(factor, right, lower=True, check_finite=False))
