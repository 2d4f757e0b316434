"""Which whole networks are measured."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.space.nb201 import NB201


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


@cache
def _nb201() -> NB201:
    """One space, which remembers what its cells compute."""
    return NB201()
