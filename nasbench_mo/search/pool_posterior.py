"""A Gaussian process's view of a fixed pool of candidates, kept up to date as observations come in one by one."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.relevance import Relevance, covariance

Floats = NDArray[np.float64]

#: Added to the diagonal, as a share of the kernel's variance, so that equal rows can be factorised.
_JITTER = 1e-8
#: Observations that there is room for at first.
_ROOM = 32


@final
class PoolPosterior:
    """Mean and variance of every candidate, given the observations so far.

    A new observation adds a row to the Cholesky factor and a row to the candidates' explained part: O(n p) for p
    candidates after n observations, where computing them afresh costs O(n^2 p). Rasmussen & Williams, "Gaussian
    Processes for Machine Learning", 2006, algorithm 2.1, and appendix A.4 row by row.

    What has a value a candidate is held in single precision, as memory is what limits the speed; the factor is not. A
    deviation of a candidate is then off by about 1e-3 of the target's own at most, where it was evaluated already.

    Parameters
    ----------
    relevance
        The fitted kernel.
    pool
        (p, k) standardised features of the candidates.
    """

    def __init__(self, relevance: Relevance, pool: NDArray[Any]) -> None:
        self._relevance = relevance
        self._pool = relevance.view(pool.astype(np.float32, copy=False))
        self._left = self._pool.prior_variance().astype(np.float64)
        self._mean = np.zeros(len(pool))
        self._inputs = relevance.view(np.empty((0, pool.shape[1])))
        self._factor = np.empty((0, 0))
        self._solved = np.empty(0)
        self._explained = np.empty((0, len(pool)), dtype=np.float32)  # rows beyond len(self) are room for more

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
        inputs = self._relevance.view(np.asarray(Z, dtype=np.float64))
        own = covariance(inputs, inputs)
        own[np.diag_indices_from(own)] += self._relevance.noise + _JITTER
        lower = _solve_lower(self._factor, covariance(self._inputs, inputs)).T
        corner = np.asarray(np.linalg.cholesky(own - lower @ lower.T), dtype=np.float64)
        solved = _solve_lower(corner, scores - lower @ self._solved)
        n, j = len(self), len(Z)
        self._make_room(n + j)
        explained = covariance(inputs.single(), self._pool)
        explained -= lower.astype(np.float32) @ self._explained[:n]
        explained = _solve_lower(corner.astype(np.float32), explained)
        self._explained[n : n + j] = explained
        factor = np.zeros((n + j, n + j))
        factor[:n, :n] = self._factor
        factor[n:, :n] = lower
        factor[n:, n:] = corner
        self._factor = factor
        self._inputs = self._inputs.joined(inputs)
        self._solved = np.concatenate([self._solved, solved])
        self._left = self._left - np.einsum("ij,ij->j", explained, explained)
        self._mean = self._mean + solved.astype(np.float32) @ explained

    def forget(self, n: int) -> None:
        """Keep the first n observations only."""
        dropped = self._explained[n : len(self)]
        self._left = self._left + np.einsum("ij,ij->j", dropped, dropped)
        self._mean = self._mean - self._solved[n:].astype(np.float32) @ dropped
        self._inputs = self._inputs.take(slice(n))
        self._factor = self._factor[:n, :n]
        self._solved = self._solved[:n]

    def _make_room(self, n: int) -> None:
        if n > len(self._explained):
            grown = np.empty((max(n, 2 * len(self._explained), _ROOM), self._explained.shape[1]), dtype=np.float32)
            grown[: len(self)] = self._explained[: len(self)]
            self._explained = grown


def _solve_lower(factor: Floats, right: Floats) -> Floats:
    from scipy.linalg import solve_triangular

    if not len(factor):
        return np.empty_like(right)
    if len(factor) == 1:  # the usual corner; the solver would copy the candidates' row twice
        return np.asarray(right / factor[0, 0])
    return np.asarray(solve_triangular(factor, right, lower=True, check_finite=False))
