"""Attainment surfaces: what a given share of several runs reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import FrontError
from nasbench_mo.pareto._check import as_points
from nasbench_mo.pareto.dominance import sort_rows

#: Shares of runs are compared up to this relative slack, so that 0.1 + 0.2 of ten runs are three runs and not four;
#: it is above the rounding of a float32 quantile (6e-8).
_SHARE_SLACK = 1e-7


def attainment_surface(fronts: Sequence[ArrayLike], *, quantile: float) -> NDArray[np.float64]:
    """Return the minimal points that at least a share of the runs weakly attain; not a front of any one run.

    A run attains a point when one of its rows is less than or equal to it in every objective. The result holds the
    nondominated ones among all points that at least ``quantile * len(fronts)`` runs attain: the k%-attainment
    surface. An empty front is a run that attains nothing, and it counts as a run.

    Parameters
    ----------
    fronts
        One (n_i, m) array a run, minimised, m is 2 or 3; n_i may be 0, and dominated rows do no harm.
    quantile
        Share of the runs, in (0, 1]: 0.5 is the median surface, 1 what every run attains, and
        ``1 / len(fronts)`` what the best ones do.

    Returns
    -------
    NDArray[np.float64]
        (k, m) distinct rows in lexicographic order; k is 0 when too few runs attain anything.

    Raises
    ------
    FrontError
        No fronts, fronts of different m, m other than 2 or 3, a value that is not finite, or a quantile outside
        (0, 1].

    Notes
    -----
    With N rows in R runs: O(N log N + R N) for two objectives, O(R^2 N log N) for three.

    References
    ----------
    C. M. Fonseca, A. P. Guerreiro, M. Lopez-Ibanez, L. Paquete, "On the computation of the empirical attainment
    function", EMO 2011. V. Grunert da Fonseca, C. M. Fonseca, A. O. Hall, "Inferential performance assessment of
    stochastic optimisers and the attainment function", EMO 2001.

    Examples
    --------
    >>> attainment_surface([[[1, 3]], [[2, 2]], [[3, 1]]], quantile=0.5)
    array([[2., 3.],
           [3., 2.]])
    """
    import moocore

    runs = _checked_runs(fronts)
    needed = _runs_needed(quantile, n_runs=len(runs))
    n_objectives = runs[0].shape[1]
    filled = [run for run in runs if len(run)]
    if len(filled) < needed:
        return np.empty((0, n_objectives))
    # moocore counts only the runs that have rows, hence a percentage of those.
    data = moocore.eaf(
        np.concatenate(filled),
        np.repeat(np.arange(len(filled)), [len(run) for run in filled]),
        percentiles=[100.0 * needed / len(filled)],
    )
    return sort_rows(np.array(data[:, :n_objectives], dtype=np.float64))


def _checked_runs(fronts: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    if len(fronts) == 0:
        raise FrontError("fronts must hold at least one front, one a run; got none")
    first = as_points(fronts[0], name="fronts[0]")
    n_objectives = first.shape[1]
    if n_objectives not in (2, 3):
        raise FrontError(f"attainment surfaces support only 2 and 3 objectives; fronts[0] has {n_objectives}")
    others = [
        as_points(run, name=f"fronts[{i}]", n_objectives=n_objectives) for i, run in enumerate(fronts[1:], start=1)
    ]
    return [first, *others]


def _runs_needed(quantile: float, *, n_runs: int) -> int:
    if isinstance(quantile, bool) or not isinstance(quantile, Real) or not 0.0 < quantile <= 1.0:
        raise FrontError(f"quantile must be a number greater than 0 and at most 1; got {quantile!r}")
    return max(1, math.ceil(float(quantile) * n_runs * (1.0 - _SHARE_SLACK)))
