"""Expected hypervolume improvement of many candidates at once, for beliefs that are independent between objectives.

By Fubini the expected improvement of a candidate is an integral over the part of the box that the front leaves open, of
the probability that the candidate dominates the place. The open part is cut into boxes, and over a box the integral is
a product of differences of puts (:mod:`.marginals`). Emmerich, Deutz, Klinkenberg, "Hypervolume-based expected
improvement: monotonicity properties and exact computation", CEC 2011; Yang, Emmerich, Deutz, Baeck, "Efficient
computation of expected hypervolume improvement using box decomposition algorithms", J. Global Optimization 75, 2019.

With two objectives the boxes are the strips of the staircase; with three, strips within slabs; with more, the slabs of
the objectives behind the second are drawn by a low-discrepancy sequence, the same for all candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.pareto import nondominated
from nasbench_mo.search.truncated import Belief

Floats = NDArray[np.float64]

#: Slabs that are drawn where there are four objectives or more.
N_SLABS = 64


def expected_improvement(beliefs: Sequence[Belief], *, front: Floats, reference: Floats) -> Floats:
    """Expected growth of the hypervolume by each candidate, (n,).

    Exact for up to three objectives.

    Parameters
    ----------
    beliefs
        Of each of the m objectives, for n candidates.
    front
        (k, m) values that are there already; dominated ones do no harm.
    reference
        (m,) corner of the hypervolume.

    Notes
    -----
    O(n k) for two objectives, O(n k^2) for three, O(n k) times the slabs for more.
    """
    inside = front[(front < reference).all(axis=1)]
    points = inside[nondominated(inside, keep_duplicates=False)] if len(inside) else inside
    match len(beliefs):
        case 1:
            return beliefs[0].put(np.array([min(float(points.min()) if len(points) else np.inf, reference[0])]))[:, 0]
        case 2:
            return _Strips(beliefs[0], beliefs[1], points=points, reference=reference).over(points)
        case 3:
            return _over_slabs(beliefs, points=points, reference=reference)
        case _:
            return _over_drawn_slabs(beliefs, points=points, reference=reference)


class _Strips:
    """Two objectives: puts at every coordinate that a staircase of some of the points can have."""

    def __init__(self, first: Belief, second: Belief, *, points: Floats, reference: Floats) -> None:
        self._xs = np.append(np.unique(points[:, 0]), reference[0])
        self._ys = np.append(np.unique(points[:, 1]), reference[1])
        self._first = first.put(self._xs)
        self._second = second.put(self._ys)
        self._reference = reference

    def over(self, points: Floats) -> Floats:
        """Expected area gained over the staircase of (j, 2) points, (n,)."""
        order = points[np.lexsort((points[:, 1], points[:, 0]))]
        lowest = np.minimum.accumulate(order[:, 1]) if len(order) else order[:, 1]
        step = np.ones(len(order), dtype=bool)
        step[1:] = lowest[1:] < lowest[:-1]
        x = np.searchsorted(self._xs, np.append(order[step, 0], self._reference[0]))
        y = np.searchsorted(self._ys, np.append(self._reference[1], order[step, 1]))
        widths = self._first[:, x]
        widths[:, 1:] -= widths[:, :-1].copy()
        made: Floats = np.einsum("ij,ij->i", widths, self._second[:, y])
        return made


def _over_slabs(beliefs: Sequence[Belief], *, points: Floats, reference: Floats) -> Floats:
    """Three objectives: between two levels of the third, the points below the slab make one staircase."""
    strips = _Strips(beliefs[0], beliefs[1], points=points[:, :2], reference=reference[:2])
    levels = np.append(np.unique(points[:, 2]), reference[2])
    heights = np.diff(beliefs[2].put(levels), axis=1, prepend=0.0)
    total = np.zeros(len(beliefs[0]))
    for i in range(len(levels)):
        below = points[points[:, 2] < levels[i], :2]
        total += heights[:, i] * strips.over(below)
    return total


def _over_drawn_slabs(beliefs: Sequence[Belief], *, points: Floats, reference: Floats) -> Floats:
    """Four objectives or more: places of the third to the last are drawn, the first two are exact."""
    rest = len(beliefs) - 2
    low = np.array([min(float(b.at(-2.0).min()), float(r)) for b, r in zip(beliefs[2:], reference[2:], strict=True)])
    if len(points):
        low = np.minimum(low, points[:, 2:].min(axis=0))
    places = low + low_discrepancy(N_SLABS, rest) * (reference[2:] - low)
    strips = _Strips(beliefs[0], beliefs[1], points=points[:, :2], reference=reference[:2])
    reached = np.prod([b.below(places[:, j]) for j, b in enumerate(beliefs[2:])], axis=0)
    total = np.zeros(len(beliefs[0]))
    for i, place in enumerate(places):
        below = (points[:, 2:] < place).all(axis=1)
        total += reached[:, i] * strips.over(points[below, :2])
    made: Floats = total * np.prod(reference[2:] - low) / len(places)
    return made


def low_discrepancy(n: int, d: int) -> Floats:
    """(n, d) points of the additive recurrence R_d in the unit cube (Roberts 2018): the same at every call."""
    golden = 1.5
    for _ in range(40):
        golden = (1.0 + golden) ** (1.0 / (d + 1))
    steps = golden ** -np.arange(1.0, d + 1)
    made: Floats = (0.5 + np.arange(1.0, n + 1)[:, None] * steps) % 1.0
    return made


def dominated(values: NDArray[Any], *, by: Floats) -> NDArray[np.bool_]:
    """Which of (n, m) values some point of a (k, m) front is at most in every objective, (n,)."""
    if values.shape[1] == 2:
        stairs = by[np.lexsort((by[:, 1], by[:, 0]))]
        lowest = np.append(np.inf, np.minimum.accumulate(stairs[:, 1]))
        made: NDArray[np.bool_] = values[:, 1] >= lowest[np.searchsorted(stairs[:, 0], values[:, 0], side="right")]
        return made
    found = np.zeros(len(values), dtype=bool)
    left = np.arange(len(values))
    for point in by:
        below = (values[left] >= point).all(axis=1)
        found[left[below]] = True
        left = left[~below]
    return found
