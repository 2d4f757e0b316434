"""Hypervolume that points add to a front, each by itself: many points, three objectives or more.

The space that the front leaves open is cut into slabs of the objectives behind the second. Within a slab the front is
a staircase of the first two, and what a point adds to it is the area between the two, in prefix sums along the stairs.
All slabs and points are one computation. With three objectives the slabs end where the front's points lie, which is
exact; with more, they are drawn by a low-discrepancy sequence, as in :mod:`.acquisition`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.pareto import nondominated
from nasbench_mo.search.acquisition import N_SLABS, low_discrepancy

Floats = NDArray[np.float64]


def point_gains(points: Floats, *, front: Floats, reference: Floats, lowest: Floats) -> Floats:
    """Hypervolume gained by each point, (n,).

    Parameters
    ----------
    points
        (n, m) values, m at least 3.
    front
        (k, m) values that are there already; dominated ones do no harm.
    reference
        (m,) corner of the hypervolume.
    lowest
        (m,) corner on the other side, between which slabs are drawn with four objectives or more. Gains are comparable
        where it is the same.

    Notes
    -----
    O((n + k) s) for s slabs, besides the sorting: k of them with three objectives, 64 with more.
    """
    inside = front[(front < reference).all(axis=1)]
    inside = inside[nondominated(inside, keep_duplicates=False)] if len(inside) else inside
    inside = inside[np.argsort(inside[:, 0], kind="stable")]
    below: NDArray[np.bool_]
    if points.shape[1] == 3:
        levels = np.append(np.unique(inside[:, 2]), reference[2])
        heights = np.diff(np.maximum(levels[:, None] - points[:, 2], 0.0), axis=0, prepend=0.0)
        below = inside[:, 2] < levels[:, None]
    else:
        sides = reference[2:] - lowest[2:]
        places = (lowest[2:] + low_discrepancy(N_SLABS, len(sides)) * sides)[:, None]
        heights = np.all(points[:, 2:] < places, axis=2) * (sides.prod() / N_SLABS)
        below = np.all(inside[:, 2:] < places, axis=2)
    areas = _areas(points[:, :2], stairs=inside[:, :2], below=below, corner=reference[:2])
    gains: Floats = (heights * areas).sum(axis=0)
    return gains


def _areas(points: Floats, *, stairs: Floats, below: NDArray[np.bool_], corner: Floats) -> Floats:
    """Area that each of n points adds to the staircase of each of s slabs, (s, n).

    ``stairs`` are k points with ascending first objective, ``below`` says (s, k) which of them a slab has. From one to
    the next the staircase is level: interval 0 lies before the first point, interval j ends at ``edges[j]``.
    """
    slabs = np.arange(len(below))[:, None]
    x, y = points.T
    edges = np.append(stairs[:, 0], corner[0])
    steps, rank = np.unique(stairs[:, 1], return_inverse=True)
    n_steps = len(steps)
    # the stairs' heights by rank: the least second objective so far, the corner's before the first point
    ranks = np.full((len(below), len(edges)), n_steps)
    np.minimum.accumulate(np.where(below, rank, n_steps), axis=1, out=ranks[:, 1:])
    heights = np.append(steps, corner[1])[ranks]
    before = np.zeros((len(below), len(edges) + 1))  # area under the stairs from interval 1 up to an interval
    np.cumsum(heights[:, 1:] * np.diff(edges), axis=1, out=before[:, 2:])
    # heights descend: a point lies below those up to an interval, found by counting the ranks
    counted = np.bincount((slabs * (n_steps + 1) + ranks).ravel(), minlength=len(below) * (n_steps + 1))
    n_above = counted.reshape(len(below), -1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    stop = n_above[:, np.searchsorted(steps, y, side="right")]
    start = np.searchsorted(stairs[:, 0], x, side="right")
    area = before[slabs, stop] - before[:, start + 1] + (edges[start] - x) * heights[:, start]
    area -= y * (edges[stop - 1] - x)
    return np.where((stop > start) & (x < corner[0]) & (y < corner[1]), np.maximum(area, 0.0), 0.0)
