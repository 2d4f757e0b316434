"""Ranks of dominance and crowding distances: how NSGA-II orders a population."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto_rank(F: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the nondominated front of each row, (n,): 0 for the front of all, 1 for that of the rest, and so on.

    Parameters
    ----------
    F
        (n, m) minimised, finite values.

    References
    ----------
    K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
    TEC 6(2), 2002. The sorting is moocore's.
    """
    import moocore

    if len(F) == 0:
        return np.empty(0, dtype=np.intp)
    ranks: NDArray[np.intp] = moocore.pareto_rank(F).astype(np.intp)
    return ranks


def crowding_distance(F: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the crowding distance of each row of one front, (n,): infinite at the ends of an objective.

    Parameters
    ----------
    F
        (n, m) minimised, finite values of one front.

    Notes
    -----
    The sum over the objectives of the gap between a row's two neighbours, as a share of the range (Deb et al. 2002,
    Section III-B). An objective with one value only is left out. O(m n log n).
    """
    distance = np.zeros(len(F))
    if not len(F):
        return distance
    for values in F.T:
        order = values.argsort(kind="stable")
        ordered = values[order]
        span = ordered[-1] - ordered[0]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
    return distance
