"""Which whole networks are measured."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.space.nb201 import AVG_POOL, EDGES, NB201, NONE, SKIP


def sampled_cells(n: int, *, seed: int) -> NDArray[np.int16]:
    """Random cells with a path from input to output, no two of which compute the same function, (n, 6).

    A smaller n gives the first of them.

    Raises
    ------
    SpecError
        There are not so many.
    """
    nb201 = _nb201()
    X = nb201.enumerate()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~nb201.degenerate(X)))
    _, first = np.unique(nb201.equivalence_class(X)[order], return_index=True)
    if n > len(first):
        raise SpecError(f"nb201 has {len(first)} functions with a path from input to output; asked for {n}")
    return np.asarray(X[order[np.sort(first)[:n]]], dtype=np.int16)


def pools_twice(cell: NDArray[np.int16]) -> bool:
    """Whether a cell averages one tensor twice: a runtime that merges equal computations does it once.

    Convolutions of one tensor are not equal, for they have weights of their own.
    """
    live = _nb201().live([cell.tolist()])[0].tolist()
    values: list[int | None] = [0, None, None, None]
    pooled: set[int] = set()
    n_values = 1
    for (source, target), op in zip(EDGES, live, strict=True):
        origin = values[source]
        if op == NONE or origin is None:
            continue
        if op == AVG_POOL:
            if origin in pooled:
                return True
            pooled.add(origin)
        if op == SKIP and values[target] is None:
            values[target] = origin
        else:  # the result of an operation, or a sum
            values[target] = n_values
            n_values += 1
    return False


@cache
def _nb201() -> NB201:
    """One space, which remembers what its cells compute."""
    return NB201()
