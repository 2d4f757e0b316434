"""An order of points by front and, within a front, by how far apart they lie.

Deb et al. 2002 for the fronts; the epsilon-net order within one is that of Salinas et al., "A multi-objective
perspective on jointly tuning hardware and hyperparameters", 2021, which Guerrero-Viu et al., "Bag of baselines for
multi-objective joint neural architecture search and hyperparameter optimization", 2021, use in MO-BANANAS.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.pareto import nondominated
from nasbench_mo.search.scalarise import Scale

Floats = NDArray[np.float64]


def by_front_and_spread(F: Floats, *, most: int, start: int = 0) -> NDArray[np.intp]:
    """Indices of the first points, at most so many, of (n, m) minimised values.

    Front by front; a front starts with its best point in the objective ``start``, the first by default, and goes on
    with the point that is farthest from those taken of it, in units of the range of F.
    """
    chosen: list[int] = []
    Z = Scale.of(F).scaled(F)
    for front in fronts(F):
        chosen += epsilon_net(front, Z=Z, most=most - len(chosen), start=start)
        if len(chosen) >= most:
            break
    return np.array(chosen, dtype=np.intp)


def fronts(F: Floats) -> Iterator[NDArray[np.intp]]:
    """Indices of the nondominated points of (n, m) minimised values, then of those of the rest, and so on."""
    left = np.arange(len(F))
    while len(left):
        mask = nondominated(F[left])
        yield left[mask]
        left = left[~mask]


def epsilon_net(rows: NDArray[np.intp], *, Z: Floats, most: int, start: int = 0) -> list[int]:
    """The first of some points, at most so many: the best in an objective, then what is farthest from those taken.

    Parameters
    ----------
    rows
        Indices of the points.
    Z
        (n, m) scaled values of all points.
    most
        At most so many, at least one.
    start
        Objective in which the first is best.
    """
    points = Z[rows]
    taken = [int(np.argmin(points[:, start]))]
    distance = np.linalg.norm(points - points[taken[0]], axis=1)
    distance[taken[0]] = -1.0
    while len(taken) < min(most, len(rows)):
        far = int(np.argmax(distance))
        taken.append(far)
        distance = np.minimum(distance, np.linalg.norm(points - points[far], axis=1))
        distance[taken] = -1.0
    net: list[int] = rows[taken].tolist()
    return net
