"""Pareto dominance: which rows no other row beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.pareto._check import as_points


def nondominated(F: ArrayLike, *, keep_duplicates: bool = True) -> NDArray[np.bool_]:
    """Mark the rows that no other row dominates.

    A row is dominated if and only if another row is less than or equal to it in every objective and less in at
    least one. Equal rows therefore do not dominate each other. Values are compared exactly; no tolerance is used.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n may be 0.
    keep_duplicates
        True marks every copy of a nondominated row, False only the copy with the lowest index.

    Returns
    -------
    NDArray[np.bool_]
        (n,) mask; empty for an empty F.

    Raises
    ------
    FrontError
        F is not a finite, numeric (n, m) array.

    Notes
    -----
    O(n log n) for m <= 3, O(n log^(m-2) n) for a larger m and many rows, O(m n^2) otherwise.

    References
    ----------
    H. T. Kung, F. Luccio, F. P. Preparata, "On finding the maxima of a set of vectors", JACM 22(4), 1975.

    Examples
    --------
    >>> nondominated([[1, 2], [2, 1], [2, 2], [1, 2]])
    array([ True,  True, False,  True])
    """
    import moocore

    points = as_points(F)
    mask: NDArray[np.bool_] = moocore.is_nondominated(points, keep_weakly=keep_duplicates)
    return mask


def front(F: ArrayLike) -> NDArray[np.float64]:
    """Return the distinct nondominated rows in lexicographic order; not a mask, and not in the order of F.

    Parameters
    ----------
    F
        (n, m) objective values, minimised; n may be 0.

    Returns
    -------
    NDArray[np.float64]
        (k, m) new array, sorted by the first objective, then by the second, and so on.

    Raises
    ------
    FrontError
        F is not a finite, numeric (n, m) array.

    Notes
    -----
    The complexity of :func:`nondominated`, and O(m k log k) for sorting the k rows of the front.

    Examples
    --------
    >>> front([[2, 1], [1, 2], [2, 2], [1, 2]])
    array([[1., 2.],
           [2., 1.]])
    """
    points = as_points(F)
    return sort_rows(points[nondominated(points, keep_duplicates=False)])


def sort_rows(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows of a (k, m) array in lexicographic order, first column first."""
    return points[np.lexsort(points.T[::-1])]
