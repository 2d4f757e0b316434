"""The exact front of every network on every accelerator, in bounded memory.

Costs depend on a network through its counts of layer shapes alone and never fall when a count rises. So of all networks
with the same counts only those of least error can be on the front, and a network is out everywhere if another one has
no larger error and no larger count. What is left, a few dozen networks of 15,284 for NAS-Bench-201, meets every
accelerator; the front is gathered chunk by chunk. Nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.accelerators import AcceleratorModel
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.pareto import nondominated

Floats = NDArray[np.float64]

#: Values that are held at a time, of each objective: 32 MB.
_CELLS = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesignFront:
    """A front of pairs.

    Parameters
    ----------
    F
        (k, m) distinct objective vectors, sorted: error, then the quantities asked for.
    network, accelerator
        One pair that has each vector, as row numbers of what was given, (k,) each.
    """

    F: Floats
    network: NDArray[np.intp]
    accelerator: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductMoments:
    """Sums over all pairs, network after network, each on every accelerator.

    Parameters
    ----------
    mean
        Mean of each objective, (m,).
    weighted_mean
        Mean with weights that rise linearly from 0 for the first pair to 1 for the last, (m,).
    """

    mean: Floats
    weighted_mean: Floats


def exact_front(
    error: ArrayLike,
    counts: ArrayLike,
    A: ArrayLike,
    *,
    shapes: Sequence[LayerShape],
    model: AcceleratorModel,
    quantities: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> CodesignFront:
    """The nondominated pairs of n networks and h accelerators.

    Parameters
    ----------
    error
        (n,) minimised values that depend on the network alone.
    counts
        (n, s) counts of the networks over the shapes.
    A
        (h, d) encodings of accelerators.
    shapes, model
        The s shapes, and what they cost.
    quantities
        Of the model, in the order of the objectives after the error.
    progress
        Called with the accelerators that are done, and all.

    Raises
    ------
    SpecError
        Shapes do not fit, or an error is not finite.

    Notes
    -----
    O(n log n + u^2 s) for the u networks of distinct counts, then O(r h) costs for the r that remain; memory bounded.
    """
    errors, tallies = _checked(error, counts)
    accelerators = model.space.check(A)
    remaining = candidates(errors, tallies)
    best_F = np.empty((0, 1 + len(quantities)))
    best_pairs = np.empty((0, 2), dtype=np.intp)
    step = max(1, _CELLS // (16 * max(1, len(remaining))))
    for start in range(0, len(accelerators), step):
        part = accelerators[start : start + step]
        made = model.costs(tallies[remaining], part, shapes=shapes)
        columns = [np.repeat(errors[remaining], len(part)), *(made[name].ravel() for name in quantities)]
        pairs = np.stack(
            [np.repeat(remaining, len(part)), np.tile(np.arange(start, start + len(part)), len(remaining))], axis=1
        )
        F = np.concatenate([best_F, np.stack(columns, axis=1)])
        found = np.concatenate([best_pairs, pairs])
        kept = nondominated(F)
        best_F, best_pairs = F[kept], found[kept]
        if progress is not None:
            progress(start + len(part), len(accelerators))
    best_F, first = np.unique(best_F, axis=0, return_index=True)
    best_pairs = best_pairs[first]
    return CodesignFront(F=best_F, network=best_pairs[:, 0], accelerator=best_pairs[:, 1])


def candidates(error: Floats, counts: Floats) -> NDArray[np.intp]:
    """Networks that can be on a front with costs that never fall when a count rises, as ascending row numbers.

    Of networks with equal counts and equal error, one.
    """
    distinct, member = np.unique(counts, axis=0, return_inverse=True)
    order = np.lexsort((np.arange(len(error)), error))
    _, first = np.unique(member[order], return_index=True)
    best = order[first]  # of each distinct row of counts, the first network of least error
    least = error[best]
    no_larger = (distinct[:, None, :] <= distinct[None, :, :]).all(axis=2)  # row i is within row j
    beats = no_larger & (least[:, None] <= least[None, :])
    np.fill_diagonal(beats, False)  # distinct rows of counts: no two beat each other
    return np.sort(best[~beats.any(axis=0)])


def moments(
    error: ArrayLike,
    counts: ArrayLike,
    A: ArrayLike,
    *,
    shapes: Sequence[LayerShape],
    model: AcceleratorModel,
    quantities: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> ProductMoments:
    """Compose every network with every accelerator and sum up: a fingerprint of all n h pairs.

    Parameters are those of :func:`exact_front`. Memory is bounded; time is O(n h s).
    """
    errors, tallies = _checked(error, counts)
    accelerators = model.space.check(A)
    n, h = len(errors), len(accelerators)
    rows = np.arange(n, dtype=np.float64)
    step = max(1, _CELLS // max(1, n))
    total, weighted = np.zeros(1 + len(quantities)), np.zeros(1 + len(quantities))
    total[0], weighted[0] = h * errors.sum(), errors @ (h * h * rows + h * (h - 1) / 2)
    for start in range(0, h, step):
        made = model.costs(tallies, accelerators[start : start + step], shapes=shapes)
        for i, name in enumerate(quantities, start=1):
            values = made[name]
            per_column = values.sum(axis=0)
            place = np.arange(start, start + len(per_column))
            total[i] += per_column.sum()
            weighted[i] += h * (rows @ values).sum() + per_column @ place
        if progress is not None:
            progress(min(start + step, h), h)
    return ProductMoments(mean=total / (n * h), weighted_mean=weighted / max(n * h - 1, 1) / (n * h))


def _checked(error: ArrayLike, counts: ArrayLike) -> tuple[Floats, Floats]:
    errors, tallies = np.asarray(error, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if errors.ndim != 1 or tallies.ndim != 2 or len(errors) != len(tallies) or not len(errors):
        raise SpecError(f"expected (n,) errors and (n, s) counts, got {errors.shape} and {tallies.shape}")
    bad: NDArray[Any] = np.flatnonzero(~np.isfinite(errors))
    if bad.size:
        raise SpecError(f"expected finite errors; network {bad[0]} has {errors[bad[0]]}")
    return errors, tallies
