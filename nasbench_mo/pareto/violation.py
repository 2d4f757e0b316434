"""How far values lie outside bounds: the constraint violation that Deb's feasibility rules compare.

K. Deb, "An efficient constraint handling method for genetic algorithms", Computer Methods in Applied Mechanics and
Engineering 186, 2000: constraints are divided by their bounds, so that their excesses may be added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bound_violation(values: ArrayLike, *, lower: ArrayLike = -np.inf, upper: ArrayLike = np.inf) -> NDArray[np.float64]:
    """Sum of the scaled excesses of each row over its bounds, (n,); 0 where it keeps all of them.

    Parameters
    ----------
    values
        (n, k) values in the units of the bounds; a missing one (NaN) makes the violation NaN.
    lower, upper
        (k,) bounds, both allowed values; infinite where there is none.

    Returns
    -------
    NDArray[np.float64]
        (n,) at least 0. An excess is divided by the absolute value of its bound, or stays in its unit where the bound
        is 0: half a millisecond above five counts 0.1.

    Examples
    --------
    >>> bound_violation([[5.0, 1.0], [5.5, 1.0]], upper=[5.0, np.inf])
    array([0. , 0.1])
    """
    found = np.asarray(values, dtype=np.float64)
    total = np.zeros(len(found))
    for bound, sign in ((np.asarray(upper, dtype=np.float64), 1.0), (np.asarray(lower, dtype=np.float64), -1.0)):
        scale = np.where(np.isfinite(bound) & (bound != 0), np.abs(bound), 1.0)
        with np.errstate(over="ignore"):
            total += (np.maximum(sign * (found - bound), 0.0) / scale).sum(axis=1)
    return total
