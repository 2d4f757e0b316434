"""How a layer lies on a two-dimensional array of processing elements: its loops, and which of them run in space.

A dataflow says which loops each side of the array may unroll. Of these, the unrolling with the fewest steps is
taken; edges may be ragged, so ``n`` iterations over ``u`` elements take ``ceil(n / u)`` steps.

References
----------
Chen, Emer & Sze, "Eyeriss: a spatial architecture for energy-efficient dataflow for convolutional neural networks",
ISCA 2016, section III: row, weight and output stationary.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.hardware.shapes import LayerShape

Dataflow = Literal["row_stationary", "weight_stationary", "output_stationary"]
#: The loops of a layer: groups, output and input channels of a group, output columns and rows, kernel columns and rows.
Loop = Literal["G", "K", "C", "OX", "OY", "FX", "FY"]
Operand = Literal["I", "W", "O"]

Sides = tuple[tuple[Loop, ...], tuple[Loop, ...]]

#: Loops that the rows and the columns of the array may unroll for a convolution without groups. Row stationary
#: after Chen et al. 2016, figure 6 (kernel rows down, output rows across); the others as in figure 4 there.
_CONVOLUTION: dict[Dataflow, Sides] = {
    "row_stationary": (("FY", "K", "C"), ("OY", "K")),
    "weight_stationary": (("C", "FY"), ("K",)),
    "output_stationary": (("OX", "OY"), ("K", "OY")),
}
#: Pooling and addition have no weights to keep, so every dataflow lays them out alike (assumption).
_POOLING: Sides = (("G", "FY"), ("OY", "OX"))
_ADDITION: Sides = (("G",), ("OY", "OX"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrolling:
    """Which loops run in space, and how far.

    Parameters
    ----------
    rows, cols
        (loop, factor) pairs of each side.
    steps
        Steps that remain in time.
    """

    rows: tuple[tuple[Loop, int], ...]
    cols: tuple[tuple[Loop, int], ...]
    steps: int


def loop_sizes(shape: LayerShape) -> dict[Loop, int]:
    """Iterations of each loop of a layer, those of one included."""
    size = shape.out_size
    if shape.operator == "add":
        return {"G": shape.in_channels, "OX": size, "OY": size}
    if shape.operator in ("avg_pool", "global_pool"):
        kernel = shape.in_size if shape.operator == "global_pool" else shape.kernel
        return {"G": shape.in_channels, "OX": size, "OY": size, "FX": kernel, "FY": kernel}
    return {
        "G": shape.groups,
        "K": shape.out_channels // shape.groups,
        "C": shape.in_channels // shape.groups,
        "OX": size,
        "OY": size,
        "FX": shape.kernel,
        "FY": shape.kernel,
    }


def relevant_loops(shape: LayerShape, operand: Operand) -> tuple[Loop, ...]:
    """Loops over which an operand changes; over the others it stays as it is and can be reused."""
    if shape.operator == "add":
        return ("G", "OX", "OY")
    if shape.operator in ("avg_pool", "global_pool"):
        pooling: dict[Operand, tuple[Loop, ...]] = {
            "I": ("G", "OX", "OY", "FX", "FY"),
            "W": ("FX", "FY"),
            "O": ("G", "OX", "OY"),
        }
        return pooling[operand]
    convolution: dict[Operand, tuple[Loop, ...]] = {
        "I": ("G", "C", "OX", "OY", "FX", "FY"),
        "W": ("G", "K", "C", "FX", "FY"),
        "O": ("G", "K", "OX", "OY"),
    }
    return convolution[operand]


def sides(shape: LayerShape, dataflow: Dataflow) -> Sides:
    """Loops that the rows and the columns may unroll."""
    if shape.operator in ("avg_pool", "global_pool"):
        return _POOLING
    if shape.operator == "add":
        return _ADDITION
    rows, cols = _CONVOLUTION[dataflow]
    if shape.groups > 1:
        rows = (*rows, "G")
        cols = (*cols, "G") if dataflow == "weight_stationary" else cols
    return rows, cols


#: Loops that are tried with every factor where both sides may unroll them.
_DIVIDED: frozenset[Loop] = frozenset({"G"})


def unrollings(shape: LayerShape, dataflow: Dataflow, *, pe_rows: int, pe_cols: int, top: int) -> list[Unrolling]:
    """The ``top`` unrollings with the fewest steps, at most two loops a side.

    Every factor of the first loop is tried, with the most that then fits of the second; of a loop on both sides the
    columns take what the rows leave.
    Among equals the one that unrolls its loops most evenly comes first: it shares most data on the array.
    """
    sizes = loop_sizes(shape)
    row_loops, col_loops = sides(shape, dataflow)
    found = set()
    shared = frozenset(row_loops) & frozenset(col_loops) & _DIVIDED
    for rows in _one_side(row_loops, sizes, limit=pe_rows, shared=shared):
        for able in _one_side(col_loops, sizes, limit=pe_cols, shared=shared):
            # a loop on both sides: the columns take what the rows leave
            left = {loop: min(factor, sizes[loop] // rows.get(loop, 1)) for loop, factor in able.items()}
            cols = {loop: factor for loop, factor in left.items() if factor > 1}
            factors = {loop: rows.get(loop, 1) * cols.get(loop, 1) for loop in sizes}
            steps = math.prod(math.ceil(size / factors[loop]) for loop, size in sizes.items())
            unevenness = max(factors.values()) / math.prod(factors.values())
            found.add((steps, unevenness, len(rows) + len(cols), tuple(rows.items()), tuple(cols.items())))
    return [Unrolling(rows=rows, cols=cols, steps=steps) for steps, _, _, rows, cols in sorted(found)[:top]]


def _one_side(
    loops: tuple[Loop, ...], sizes: dict[Loop, int], *, limit: int, shared: frozenset[Loop]
) -> list[dict[Loop, int]]:
    """Ways of filling one side. Only factors that change the number of steps are tried.

    A loop takes the largest factor that fits; one that is ``shared`` with the other side is tried with all of them,
    because the largest need not be the one that divides what the other side leaves.
    """
    able = [loop for loop in loops if sizes.get(loop, 1) > 1]
    if not able:
        return [{}]
    options: list[dict[Loop, int]] = [
        {loop: factor}
        for loop in able
        for factor in _factors(sizes[loop], limit=limit)[1 if loop in shared else -1 :] or [1]
    ]
    for first, second in itertools.combinations(able, 2):
        for a in _factors(sizes[first], limit=limit)[1:]:
            fitting = _factors(sizes[second], limit=limit // a)[1:] if a <= limit else []
            options += [{first: a, second: b} for b in (fitting if second in shared else fitting[-1:])]
    return options


def _factors(size: int, *, limit: int) -> list[int]:
    """Smallest factor for each number of steps, up to a limit; begins with 1."""
    return sorted({math.ceil(size / steps) for steps in range(1, size + 1)} & set(range(1, max(limit, 1) + 1)))


def fewest_steps(
    shape: LayerShape, dataflow: Dataflow, *, pe_rows: NDArray[np.int64], pe_cols: NDArray[np.int64], top: int
) -> dict[Loop, NDArray[np.int64]]:
    """Unrolled factor of each loop, (top, m), for m arrays at once: :func:`unrollings`, but coarser.

    It does *not* try every factor: of two loops on a side either is unrolled fully, by a half, a quarter and so on,
    and the other takes what is left. Where there are fewer than ``top`` unrollings, one is repeated.

    Notes
    -----
    O(m o) for o pairs of options, about 10 to 100.
    """
    sizes = loop_sizes(shape)
    row_loops, col_loops = sides(shape, dataflow)
    cols = _one_side_each(col_loops, sizes, limits=pe_cols)
    rows = _one_side_each(row_loops, sizes, limits=pe_rows)
    keys = np.empty((len(rows) * len(cols), len(pe_rows)))
    for index, (row, col) in enumerate(itertools.product(rows, cols)):
        steps = row.steps * col.steps
        total = row.total * col.total
        largest = np.maximum(row.largest, col.largest)
        usable = row.usable & col.usable
        for loop in row.factors.keys() & col.factors.keys():
            # both sides counted this loop: the columns take what the rows leave, and together they leave fewer steps
            size, in_rows, in_cols = sizes[loop], row.factors[loop], col.factors[loop]
            left = np.minimum(in_cols, size // in_rows)
            apart = -(-size // in_rows) * -(-size // in_cols) / size
            steps *= -(-size // (in_rows * left)) / apart
            total = total * left / in_cols
            np.maximum(largest, in_rows * left, out=largest)
            usable &= left > 1
        # as in `unrollings`: steps first, then evenness, which is less than one step
        key = np.rint(steps * math.prod(sizes.values())) + 0.9 * largest / total
        keys[index] = np.where(usable, key, np.inf)
    # a stable sort leaves equals in the order of the options, so the choice for one array ignores the other arrays
    ranked = np.argsort(keys, axis=0, kind="stable")[:top]
    ranked = np.where(np.take_along_axis(keys, ranked, axis=0) == np.inf, ranked[0], ranked)
    ranked = ranked[np.minimum(np.arange(top), len(ranked) - 1)]
    everywhere = np.arange(len(pe_rows))
    chosen: dict[Loop, NDArray[np.int64]] = {}
    for loop in sizes:
        in_rows = np.stack([np.broadcast_to(row.factors.get(loop, 1), pe_rows.shape) for row in rows])
        in_cols = np.stack([np.broadcast_to(col.factors.get(loop, 1), pe_cols.shape) for col in cols])
        by_rows = in_rows[ranked // len(cols), everywhere]
        chosen[loop] = by_rows * np.minimum(in_cols[ranked % len(cols), everywhere], sizes[loop] // by_rows)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One way of filling one side of m arrays.

    Parameters
    ----------
    factors
        Factor of each unrolled loop, (m,).
    usable
        Where it fits, unrolls something and is not another way over again, (m,).
    steps
        Steps left in time over iterations, (m,).
    total, largest
        Product of the factors, and the largest of them, (m,).
    """

    factors: dict[Loop, NDArray[np.int64]]
    usable: NDArray[np.bool_]
    steps: NDArray[np.float64]
    total: NDArray[np.float64]
    largest: NDArray[np.float64]


def _side(factors: dict[Loop, NDArray[np.int64]], sizes: dict[Loop, int], *, usable: NDArray[np.bool_]) -> _Side:
    steps = np.ones(len(usable))
    total = np.ones(len(usable))
    largest = np.ones(len(usable))
    for loop, factor in factors.items():
        steps *= -(-sizes[loop] // factor) / sizes[loop]
        total *= factor
        np.maximum(largest, factor, out=largest)
    return _Side(factors=factors, usable=usable, steps=steps, total=total, largest=largest)


def _one_side_each(loops: tuple[Loop, ...], sizes: dict[Loop, int], *, limits: NDArray[np.int64]) -> list[_Side]:
    able = [loop for loop in loops if sizes.get(loop, 1) > 1]
    options = [_side({}, sizes, usable=np.ones(len(limits), dtype=bool))]
    for loop in able:
        factor = _largest_factor(sizes[loop], limits=limits)
        options.append(_side({loop: factor}, sizes, usable=factor > 1))
    for first, second in itertools.combinations(able, 2):
        for a in _halves(sizes[first]):
            rest = _largest_factor(sizes[second], limits=limits // a)
            usable = (rest > 1) & (a <= limits)
            options.append(_side({first: np.full_like(limits, a), second: rest}, sizes, usable=usable))
        for b in _halves(sizes[second]):
            rest = _largest_factor(sizes[first], limits=limits // b)
            again = np.isin(rest, _halves(sizes[first]))
            again &= _largest_factor(sizes[second], limits=limits // rest) == b
            usable = (rest > 1) & (b <= limits) & ~again
            options.append(_side({first: rest, second: np.full_like(limits, b)}, sizes, usable=usable))
    return [option for option in options if option.usable.any()]


def _largest_factor(size: int, *, limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Smallest factor that needs as few steps as the limit allows, (m,)."""
    steps = -(-size // np.clip(limits, 1, size))
    return -(-size // steps)


def _halves(size: int) -> list[int]:
    """The size, half of it, a quarter of it and so on, rounded up, down to 2."""
    return [math.ceil(size / 2**k) for k in range(size.bit_length()) if math.ceil(size / 2**k) > 1]
