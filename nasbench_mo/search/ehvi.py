"""Expected hypervolume improvement of independent normal predictions, exact.

The region that a front leaves undominated is cut into boxes; over a box the expectation is a product of one-dimensional
ones. Emmerich et al., "The computation of the expected improvement in dominated hypervolume of Pareto front
approximations", 2008; Yang et al., "Efficient computation of expected hypervolume improvement using box decomposition
algorithms", Journal of Global Optimization 75, 2019.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from nasbench_mo.pareto import hypervolume_contributions, nondominated

Floats = NDArray[np.float64]

_LEAST_STD = 1e-9
#: The slices are at most (front)^(m - 1) boxes; larger fronts are thinned.
_MOST_BOXES = 4000
#: Candidates are taken in parts of at most so many numbers.
_CHUNK = 4_000_000


def expected_improvement(mean: Floats, std: Floats, *, front: Floats, reference: Floats) -> Floats:
    """Expected gain in hypervolume of each candidate alone, (c,).

    Parameters
    ----------
    mean, std
        (c, m) normal predictions of minimised objectives.
    front
        (k, m) known values; k may be 0.
    reference
        (m,) reference point.

    Notes
    -----
    O(c k^(m-1)). With three or more objectives the front is thinned to the points with the greatest contributions so
    that this stays small, and the gain is then an upper bound.
    """
    lower, upper = undominated_boxes(_thinned(front, reference), reference)
    std = np.maximum(std, _LEAST_STD)
    levels = [np.unique(np.concatenate([lower[:, j], upper[:, j]])) for j in range(len(reference))]
    gain = np.empty(len(mean))
    step = max(1, _CHUNK // max(1, len(lower)))
    for start in range(0, len(mean), step):
        part = slice(start, start + step)
        product = np.ones((len(mean[part]), len(lower)))
        for j, at in enumerate(levels):
            below = _expected_shortfall(at, mean=mean[part, j, None], std=std[part, j, None])
            product *= below[:, np.searchsorted(at, upper[:, j])] - below[:, np.searchsorted(at, lower[:, j])]
        gain[part] = product.sum(axis=1)
    return gain


def undominated_boxes(front: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Lower and upper corners, (b, m) each, of disjoint boxes that no front point dominates, below the reference.

    A lower corner may be minus infinity. The boxes are slices between the values of the last objective, each divided in
    the same way in the other objectives.
    """
    m = len(reference)
    inside = front[(front < reference).all(axis=1)]
    if m == 1:
        best = min(inside.min(), reference[0]) if len(inside) else reference[0]
        return np.array([[-np.inf]]), np.array([[best]])
    inside = inside[nondominated(inside, keep_duplicates=False)]
    inside = inside[np.argsort(inside[:, -1], kind="stable")]
    edges = np.concatenate([[-np.inf], inside[:, -1], reference[-1:]])
    lowers, uppers = [], []
    for i, (low, high) in enumerate(pairwise(edges)):
        if low == high:
            continue
        lower, upper = undominated_boxes(inside[:i, :-1], reference[:-1])
        lowers.append(np.column_stack([lower, np.full(len(lower), low)]))
        uppers.append(np.column_stack([upper, np.full(len(upper), high)]))
    return np.concatenate(lowers), np.concatenate(uppers)


def _expected_shortfall(at: Floats, *, mean: Floats, std: Floats) -> Floats:
    """E max(0, t - Y) of normal Y for each level t, (c, levels); 0 at minus infinity."""
    z = (at - mean) / std
    density = np.exp(-0.5 * np.minimum(z * z, 1400.0)) / np.sqrt(2.0 * np.pi)
    with np.errstate(invalid="ignore"):
        expected = std * (z * ndtr(z) + density)
    return np.where(np.isfinite(at), expected, 0.0)


def _thinned(front: Floats, reference: Floats) -> Floats:
    m = len(reference)
    if m < 3:
        return front
    most = int(_MOST_BOXES ** (1.0 / (m - 1)))
    inside = front[(front < reference).all(axis=1)]
    inside = inside[nondominated(inside, keep_duplicates=False)] if len(inside) else inside
    if len(inside) <= most:
        return inside
    order = np.argsort(-hypervolume_contributions(inside, reference=reference), kind="stable")
    return inside[order[:most]]
