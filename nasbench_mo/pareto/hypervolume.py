"""Hypervolume: the volume between a set of points and a reference point, its shares, and its growth over a run."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto._check import as_point, as_points, finite_result
from nasbench_mo.pareto.dominance import nondominated
from nasbench_mo.pareto.volume_gain import GrowingFront3, entering

#: Limit of moocore's hypervolume code.
_MAX_OBJECTIVES = 31


def hypervolume(F: ArrayLike, *, reference: ArrayLike) -> float:
    """Return the exact volume that F dominates within the reference point; not scaled, in the product of the units.

    Points that are not strictly less than the reference in every objective contribute 0. Dominated and repeated
    points change nothing.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n may be 0, m is at most 31.
    reference
        (m,) reference point in the units of F.

    Returns
    -------
    float
        At least 0; 0 for an empty F.

    Raises
    ------
    FrontError
        A shape does not fit, a value is not finite, or the volume overflows float64.

    Notes
    -----
    O(n log n) for m <= 3, O(n^2) for m = 4, O(n^(m-2)) in the worst case beyond, n counting the front only.

    References
    ----------
    C. M. Fonseca, L. Paquete, M. Lopez-Ibanez, "An improved dimension-sweep algorithm for the hypervolume
    indicator", CEC 2006. N. Beume, C. M. Fonseca, M. Lopez-Ibanez, L. Paquete, J. Vahrenhold, "On the complexity of
    computing the hypervolume indicator", IEEE TEVC 13(5), 2009.

    Examples
    --------
    >>> hypervolume([[1, 2], [2, 1]], reference=[3, 3])
    3.0
    """
    points, corner = _points_and_reference(F, reference=reference)
    return finite_result(_volume(_inside(points, corner=corner), corner=corner), what="the hypervolume")


def hypervolume_contributions(F: ArrayLike, *, reference: ArrayLike) -> NDArray[np.float64]:
    """Return the volume that each row alone dominates: what the hypervolume loses when only that row is removed.

    Repeated rows, dominated rows and rows that are not strictly less than the reference have 0. A dominated row
    still takes from the share of the one that dominates it, as it would appear if that one left.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n may be 0, m is at most 31.
    reference
        (m,) reference point in the units of F.

    Returns
    -------
    NDArray[np.float64]
        (n,) exclusive contributions, at least 0.

    Raises
    ------
    FrontError
        A shape does not fit, a value is not finite, or a volume overflows float64.

    Notes
    -----
    O(n log n) for m <= 3 when no row is dominated, else one hypervolume for each of the nondominated rows: the box
    of the row less the hypervolume of the other rows limited to that box.

    References
    ----------
    A. P. Guerreiro, C. M. Fonseca, "Computing and updating hypervolume contributions in up to four dimensions",
    IEEE TEVC 22(3), 2018. L. While, L. Bradstreet, L. Barone, "A fast way of calculating exact hypervolumes", IEEE
    TEVC 16(1), 2012 (the limited set).

    Examples
    --------
    >>> hypervolume_contributions([[1, 2], [2, 1], [2, 2]], reference=[3, 3])
    array([1., 1., 0.])
    """
    points, corner = _points_and_reference(F, reference=reference)
    contributions = np.zeros(len(points))
    inside = np.flatnonzero((points < corner).all(axis=1))
    contributions[inside] = _exclusive_volumes(points[inside], corner=corner)
    finite_result(float(contributions.max(initial=0.0)), what="the hypervolume contributions")
    return contributions


def hypervolume_curve(F: ArrayLike, *, reference: ArrayLike) -> NDArray[np.float64]:
    """Return the hypervolume after each evaluation: entry k is that of the first k + 1 rows.

    Parameters
    ----------
    F
        (n, m) objective values in the order of evaluation, minimised; n may be 0, m is at most 31.
    reference
        (m,) reference point in the units of F.

    Returns
    -------
    NDArray[np.float64]
        (n,) never decreasing; the last entry equals :func:`hypervolume` of F up to rounding.

    Raises
    ------
    FrontError
        A shape does not fit, a value is not finite, or the volume overflows float64.

    Notes
    -----
    O(n) for m = 1. For m = 2 an evaluation costs O(log k + removed) comparisons on a front of k points kept in a
    sorted list, plus moving its tail in memory. For m >= 3 one pass finds the evaluations that enter the front. Each
    of them costs O(k) and one hypervolume of its few neighbours for m = 3, see
    :class:`~nasbench_mo.pareto.volume_gain.GrowingFront3`; for a larger m one hypervolume of the front.

    Examples
    --------
    >>> hypervolume_curve([[2, 2], [1, 2], [2, 1], [2, 2]], reference=[3, 3])
    array([1., 2., 3., 3.])
    """
    points, corner = _points_and_reference(F, reference=reference)
    if len(points) == 0:
        return np.zeros(0)
    match points.shape[1]:
        case 1:
            volumes = _volumes_1d(points[:, 0], corner=float(corner[0]))
        case 2:
            volumes = _volumes_2d(points, corner=corner)
        case 3:
            volumes = _volumes_3d(points, corner=corner)
        case _:
            volumes = _volumes_many(points, corner=corner)
    curve = np.maximum.accumulate(volumes)
    finite_result(float(curve[-1]), what="the hypervolume")
    return curve


@final
class _Staircase:
    """A two-objective front inside the reference box: first objective ascending, second strictly descending."""

    __slots__ = ("_bottom", "_right", "_xs", "_ys")

    def __init__(self, *, right: float, bottom: float) -> None:
        self._right = right
        self._bottom = bottom
        self._xs: list[float] = []
        self._ys: list[float] = []

    def add(self, x: float, y: float) -> float:
        """Add a point of the box and return the volume gained: 0 if the front weakly dominates the point."""
        xs, ys = self._xs, self._ys
        after = bisect_right(xs, x)
        if after and ys[after - 1] <= y:
            return 0.0
        first = last = bisect_left(xs, x, 0, after)
        left, top = x, ys[first - 1] if first else self._bottom
        gain = 0.0
        # Strip by strip over the points that the new one dominates, then up to the next step of the staircase.
        while last < len(xs) and ys[last] >= y:
            gain += (xs[last] - left) * (top - y)
            left, top = xs[last], ys[last]
            last += 1
        gain += ((xs[last] if last < len(xs) else self._right) - left) * (top - y)
        xs[first:last] = [x]
        ys[first:last] = [y]
        return gain


def _points_and_reference(F: ArrayLike, *, reference: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = as_points(F)
    n_objectives = points.shape[1]
    if n_objectives > _MAX_OBJECTIVES:
        raise FrontError(
            f"the hypervolume supports at most {_MAX_OBJECTIVES} objectives; got F of shape {points.shape}"
        )
    return points, as_point(reference, name="reference", n_objectives=n_objectives)


def _inside(points: NDArray[np.float64], *, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[(points < corner).all(axis=1)]


def _volume(points: NDArray[np.float64], *, corner: NDArray[np.float64]) -> float:
    """Return the hypervolume of points that all lie strictly inside the box; may overflow to infinity."""
    import moocore

    if len(points) == 0:
        return 0.0
    best = points[nondominated(points, keep_duplicates=False)]
    with np.errstate(over="ignore"):
        return float(moocore.hypervolume(best, ref=corner))


def _exclusive_volumes(points: NDArray[np.float64], *, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    import moocore

    if len(points) == 0:
        return np.zeros(0)
    best = nondominated(points)
    if points.shape[1] > 1 and best.all():
        fast: NDArray[np.float64] = moocore.hv_contributions(points, ref=corner)
        return np.maximum(fast, 0.0)
    volumes = np.zeros(len(points))
    for i in np.flatnonzero(best):
        volumes[i] = _exclusive_volume(points, index=int(i), corner=corner)
    return volumes


def _exclusive_volume(points: NDArray[np.float64], *, index: int, corner: NDArray[np.float64]) -> float:
    """Return the box of one row less what the other rows dominate of it."""
    point = points[index]
    limited = np.maximum(np.delete(points, index, axis=0), point)
    if (limited == point).all(axis=1).any():
        return 0.0
    with np.errstate(over="ignore"):
        box = finite_result(float(np.prod(corner - point)), what="the hypervolume contributions")
    return max(0.0, box - _volume(limited, corner=corner))


def _volumes_1d(values: NDArray[np.float64], *, corner: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return np.maximum(corner - values, 0.0)


def _volumes_2d(points: NDArray[np.float64], *, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    right, bottom = corner.tolist()
    staircase = _Staircase(right=right, bottom=bottom)
    volumes = np.zeros(len(points))
    total = 0.0
    for k, (x, y) in enumerate(points.tolist()):
        if x < right and y < bottom:
            total += staircase.add(x, y)
        volumes[k] = total
    return volumes


def _volumes_3d(points: NDArray[np.float64], *, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.flatnonzero((points < corner).all(axis=1))
    front = GrowingFront3(corner=corner)
    gains = np.zeros(len(points))
    for k in inside[entering(points[inside])]:
        gains[k] = front.add(points[k])
    return np.cumsum(gains)


def _volumes_many(points: NDArray[np.float64], *, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    best = points[:0]
    volumes = np.zeros(len(points))
    inside = np.flatnonzero((points < corner).all(axis=1))
    for k in inside[entering(points[inside])]:
        point = points[k]
        best = np.vstack([best[~(point <= best).all(axis=1)], point])
        volumes[k] = _volume(best, corner=corner)
    return volumes
