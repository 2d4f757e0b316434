"""Joint samples of Gaussian processes at evaluated points and, given these, at the choices that are left.

What was evaluated with noise is not known either: an acquisition averages over what it may be, with the same draws for
all choices. Balandat et al., "BoTorch", NeurIPS 2020, section 4; Daulton, Balandat & Bakshy, "Parallel Bayesian
optimization of multiple noisy objectives with expected hypervolume improvement", NeurIPS 2021, section 5, for a factor
that grows by a row with each point chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular

Floats = NDArray[np.float64]

#: What is added to the variances, as a share of their mean, until the matrix has a factor.
_JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)


class PosteriorSamples:
    """s samples of m independent processes.

    Parameters
    ----------
    means, covariances
        Of each process (n + c,) and (n + c, n + c): n evaluated points, then c choices.
    base
        (s, n + q, m) standard normal draws, for at most q choices.
    n_known
        n.
    """

    def __init__(self, means: Sequence[Floats], covariances: Sequence[Floats], *, base: Floats, n_known: int) -> None:
        self._processes = [
            _Process(mean, covariance, base=base[:, :, j], n_known=n_known)
            for j, (mean, covariance) in enumerate(zip(means, covariances, strict=True))
        ]
        everything = self.at(np.arange(len(means[0]) - n_known))
        #: (m,) least values at any point in any sample, before a choice was made.
        self.lowest: Floats = np.concatenate([self.known, everything], axis=1).min(axis=(0, 1))

    @property
    def known(self) -> Floats:
        """(s, n + k, m) at the evaluated points and, behind them, the k chosen ones."""
        return np.stack([process.known for process in self._processes], axis=-1)

    def at(self, choices: NDArray[Any]) -> Floats:
        """(s, k, m) at some of the choices, each as if it were the next one."""
        return np.stack([process.at(choices) for process in self._processes], axis=-1)

    def choose(self, choice: int) -> None:
        """Sample what a choice will turn out to be."""
        for process in self._processes:
            process.choose(choice)


class _Process:
    def __init__(self, mean: Floats, covariance: Floats, *, base: Floats, n_known: int) -> None:
        n = n_known
        self._base = base
        self._among = covariance[n:, n:]
        factor = _factor(covariance[:n, :n])
        #: Each column, times the draws, moves a choice's mean.
        self._rows = solve_triangular(factor, covariance[:n, n:], lower=True, check_finite=False)
        self._given = mean[n:] + base[:, :n] @ self._rows
        self._left = self._among.diagonal() - (self._rows**2).sum(axis=0)
        self.known = mean[:n] + base[:, :n] @ factor.T

    def at(self, choices: NDArray[Any]) -> Floats:
        spread = np.sqrt(np.maximum(self._left[choices], 0.0))
        sampled: Floats = self._given[:, choices] + spread * self._base[:, len(self._rows), None]
        return sampled

    def choose(self, choice: int) -> None:
        sampled, draws = self.at(np.array([choice])), self._base[:, len(self._rows), None]
        row = np.zeros(len(self._among))
        if self._left[choice] > 0:
            row = (self._among[choice] - self._rows[:, choice] @ self._rows) / np.sqrt(self._left[choice])
        self._rows = np.vstack([self._rows, row])
        self._given = self._given + draws * row
        self._left = self._left - row**2
        self.known = np.hstack([self.known, sampled])


def _factor(covariance: Floats) -> Floats:
    """Lower triangular factor of a matrix that rounding may have made indefinite."""
    for share in _JITTERS:
        try:
            jitter = share * covariance.diagonal().mean() * np.eye(len(covariance))
            return np.asarray(cholesky(covariance + jitter, lower=True, check_finite=False))
        except LinAlgError:
            continue
    raise LinAlgError("the posterior's covariance has no factor")
