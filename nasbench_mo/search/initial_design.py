"""Where a model-assisted search begins: a few architectures, spread over what orders them most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def stratified(Z: NDArray[Any], n: int, *, rng: np.random.Generator, along: Floats | None = None) -> NDArray[np.intp]:
    """Rows drawn one from each of n equal shares of the candidates in the order of their size: (min(n, p),).

    Size is the first principal component of the features, which in a space of networks is roughly how much is computed:
    what cost, and error too, depends on most. Strata are McKay, Beckman, Conover's (Technometrics 21(2), 1979).

    Parameters
    ----------
    Z
        (p, k) standardised features.
    n
        How many.
    rng
        Source of the draws.
    along
        (p,) values to order by instead, such as a cost that is known.
    """
    n = min(n, len(Z))
    order = np.lexsort((rng.random(len(Z)), _first_component(Z) if along is None else along))
    edges = np.linspace(0, len(Z), n + 1).astype(np.intp)
    drawn = np.array([order[rng.integers(a, b)] for a, b in zip(edges[:-1], edges[1:], strict=True)], dtype=np.intp)
    return drawn[rng.permutation(n)]


def _first_component(Z: NDArray[Any]) -> Floats:
    """Coordinate along the direction of greatest variance, (p,), rounded, so that its sign alone is open."""
    centred = Z - Z.mean(axis=0)
    if centred.shape[1] == 0:
        return np.zeros(len(Z))
    _, vectors = np.linalg.eigh(centred.T @ centred)
    made: Floats = np.round(centred @ vectors[:, -1], 9)
    return made
