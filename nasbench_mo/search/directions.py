"""Evenly spread weight vectors: the lattice on the simplex of Das and Dennis."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray


def lattice(n_points: int, *, n_objectives: int) -> NDArray[np.float64]:
    """Return the smallest simplex lattice with at least so many points; not exactly so many for m >= 3.

    Its points are all vectors of multiples of 1/H that sum to one. There are C(H + m - 1, m - 1) of them: with two
    objectives every number from 2 up can be met, with three 3, 6, 10, 15, 21, ...

    Parameters
    ----------
    n_points
        At least 1.
    n_objectives
        m, at least 1.

    Returns
    -------
    NDArray[np.float64]
        (k, m) rows in lexicographic order, k >= n_points; the one row ``[1.0]`` for m = 1.

    References
    ----------
    I. Das, J. E. Dennis, "Normal-boundary intersection: a new method for generating the Pareto surface in nonlinear
    multicriteria optimization problems", SIAM J. Optimization 8(3), 1998.

    Examples
    --------
    >>> lattice(3, n_objectives=2)
    array([[0. , 1. ],
           [0.5, 0.5],
           [1. , 0. ]])
    """
    m = n_objectives
    if m == 1:
        return np.ones((1, 1))
    n_divisions = 1
    while comb(n_divisions + m - 1, m - 1) < n_points:
        n_divisions += 1
    # Stars and bars: m - 1 bars among H + m - 1 places; a coordinate is the number of stars between two bars.
    bars = np.array(list(combinations(range(n_divisions + m - 1), m - 1)))
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, n_divisions + m - 1)))
    return (np.diff(edges, axis=1) - 1) / n_divisions
