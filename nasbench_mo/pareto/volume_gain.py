"""A three-objective front that grows one point at a time, and the volume that each new point gains."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray


def entering(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows that no earlier row weakly dominates, ascending: what changes the front of the rows so far.

    Notes
    -----
    Such rows are the nondominated ones when the row number is one objective more, so one call for all of them.
    """
    import moocore

    timed = np.column_stack([points, np.arange(len(points), dtype=np.float64)])
    return np.flatnonzero(moocore.is_nondominated(timed))


@final
class GrowingFront3:
    """A front of three objectives inside the reference box.

    Notes
    -----
    A point takes a few passes over the front of k points, O(k) without a Python loop, and one hypervolume of its
    neighbours. The box that the point could gain is cut down first: a front point that is no worse in two objectives
    bounds it in the third. What is left to subtract are the few front points whose limit lies inside that box.

    References
    ----------
    L. While, L. Bradstreet, L. Barone, "A fast way of calculating exact hypervolumes", IEEE TEVC 16(1), 2012 (the
    limited set). A. P. Guerreiro, C. M. Fonseca, "Computing and updating hypervolume contributions in up to four
    dimensions", IEEE TEVC 22(3), 2018 (the delimiting points).
    """

    __slots__ = ("_columns", "_corner", "_size")

    def __init__(self, *, corner: NDArray[np.float64]) -> None:
        self._corner = corner
        self._columns = np.empty((3, 64))
        self._size = 0

    def add(self, point: NDArray[np.float64]) -> float:
        """Add a point of the box that no front point weakly dominates, and return the volume gained."""
        front = self._columns[:, : self._size]
        no_worse = front <= point[:, None]
        upper = self._bounds(front, no_worse=no_worse)
        near = np.flatnonzero((front < upper[:, None]).all(axis=0))
        limited = np.maximum(front[:, near], point[:, None])
        gain = _box(point, upper=upper) - _limited_volume(limited, upper=upper)
        dominated: NDArray[np.bool_] = np.all(front >= point[:, None], axis=0)
        self._replace(dominated, point=point)
        return max(0.0, gain)

    def _bounds(self, front: NDArray[np.float64], *, no_worse: NDArray[np.bool_]) -> NDArray[np.float64]:
        upper = self._corner.copy()
        for j, (a, b) in enumerate(((1, 2), (0, 2), (0, 1))):
            bounding = front[j][no_worse[a] & no_worse[b]]
            if bounding.size:
                upper[j] = min(upper[j], bounding.min())
        return upper

    def _replace(self, dominated: NDArray[np.bool_], *, point: NDArray[np.float64]) -> None:
        if dominated.any():
            kept = self._columns[:, : self._size][:, ~dominated]
            self._size = kept.shape[1]
            self._columns[:, : self._size] = kept
        if self._size == self._columns.shape[1]:
            self._columns = np.concatenate([self._columns, np.empty_like(self._columns)], axis=1)
        self._columns[:, self._size] = point
        self._size += 1


def _box(lower: NDArray[np.float64], *, upper: NDArray[np.float64]) -> float:
    with np.errstate(over="ignore"):
        return float(np.prod(upper - lower))


def _limited_volume(limited: NDArray[np.float64], *, upper: NDArray[np.float64]) -> float:
    """Hypervolume of (3, k) points strictly inside the box; one point is a box and needs no sweep."""
    import moocore

    if limited.shape[1] <= 1:
        return _box(limited[:, 0], upper=upper) if limited.size else 0.0
    with np.errstate(over="ignore"):
        return float(moocore.hypervolume(np.ascontiguousarray(limited.T), ref=upper))
