"""Gaussian kernel density, in logarithms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_density(points: NDArray[np.float64], *, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of a kernel density estimate, (k,), up to a constant.

    The kernel is a product of Gaussians, one a column, whose bandwidths are Scott's: the column's standard deviation
    times n^(-1/(d + 4)). A column with one value among the points takes the deviation among ``at``; one that is
    constant there too does not matter. Columns may have any units.

    Parameters
    ----------
    points
        (n, d) observations, n >= 1; d may be 0, where every density is the same.
    at
        (k, d) where the density is wanted.

    Notes
    -----
    O(n k d). Logarithms, because the density ten bandwidths away is below the smallest number.

    References
    ----------
    D. W. Scott, "Multivariate density estimation", Wiley, 1992.
    """
    n, d = points.shape
    if d == 0:
        return np.zeros(len(at))
    spread = _spread(points)
    spread = np.where(spread > 0, spread, _spread(at))
    width = np.where(spread > 0, spread, 1.0) * n ** (-1.0 / (d + 4))
    z = (at[:, None, :] - points[None, :, :]) / width
    exponent = -0.5 * (z * z).sum(axis=2)
    largest = exponent.max(axis=1)
    log: NDArray[np.float64] = largest + np.log(np.exp(exponent - largest[:, None]).sum(axis=1))
    return log


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of each column, exactly 0 where it has one value only."""
    return np.where(np.ptp(values, axis=0) > 0, values.std(axis=0), 0.0)
