"""How far a set of points is from a reference front: IGD+ and the additive epsilon indicator."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto._check import as_points, finite_result


def igd_plus(F: ArrayLike, *, reference_front: ArrayLike) -> float:
    """Return the mean distance by which F falls short of the reference front; not a distance of F to itself.

    For each reference point r the shortfall is the least, over the points a of F, of the Euclidean length of
    ``max(a - r, 0)``. The mean runs over all rows of the reference front as given: dominated or repeated rows count
    too. Objectives with large numbers weigh more, so scale them first.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n may be 0.
    reference_front
        (k, m) points to be reached, in the units of F; k >= 1.

    Returns
    -------
    float
        0 when every reference point is weakly dominated by a point of F; infinite for an empty F.

    Raises
    ------
    FrontError
        The reference front is empty, a shape does not fit, a value is not finite, or the result overflows.

    Notes
    -----
    O(n k m).

    References
    ----------
    H. Ishibuchi, H. Masuda, Y. Tanigaki, Y. Nojima, "Modified distance calculation in generational distance and
    inverted generational distance", EMO 2015.

    Examples
    --------
    >>> igd_plus([[1, 1]], reference_front=[[0, 1], [1, 0]])
    1.0
    """
    import moocore

    points, targets = _both_sets(F, reference_front=reference_front)
    if len(points) == 0:
        return math.inf
    with np.errstate(over="ignore"):
        value = float(moocore.igd_plus(points, ref=targets))
    return finite_result(value, what="IGD+")


def additive_epsilon(F: ArrayLike, *, reference_front: ArrayLike) -> float:
    """Return the least amount to subtract from F so that it weakly dominates the reference front.

    The same amount is subtracted from every objective, so scale the objectives first.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n may be 0.
    reference_front
        (k, m) points to be dominated, in the units of F; k >= 1.

    Returns
    -------
    float
        ``max over r of min over a of max over j of (a_j - r_j)``. Negative when F is strictly better than every
        reference point; infinite for an empty F.

    Raises
    ------
    FrontError
        The reference front is empty, a shape does not fit, a value is not finite, or the result overflows.

    Notes
    -----
    O(n k m).

    References
    ----------
    E. Zitzler, L. Thiele, M. Laumanns, C. M. Fonseca, V. Grunert da Fonseca, "Performance assessment of
    multiobjective optimizers: an analysis and review", IEEE TEVC 7(2), 2003.

    Examples
    --------
    >>> additive_epsilon([[1, 3]], reference_front=[[0, 1], [1, 0]])
    3.0
    """
    import moocore

    points, targets = _both_sets(F, reference_front=reference_front)
    if len(points) == 0:
        return math.inf
    with np.errstate(over="ignore"):
        value = float(moocore.epsilon_additive(points, ref=targets))
    return finite_result(value, what="the additive epsilon")


def _both_sets(F: ArrayLike, *, reference_front: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = as_points(F)
    targets = as_points(reference_front, name="reference_front", n_objectives=points.shape[1])
    if len(targets) == 0:
        raise FrontError(f"reference_front must have at least one row; got shape {targets.shape}")
    return points, targets
