"""Where a model-assisted search begins: a few architectures, spread over what orders them most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


#: Designs drawn, of which the most balanced is taken.
_DRAWS = 300


def stratified(
    Z: NDArray[Any], n: int, *, X: NDArray[Any], rng: np.random.Generator, along: Floats | None = None
) -> NDArray[np.intp]:
    """Rows drawn one from each of n equal shares of the candidates in the order of their size: (min(n, p),).

    Size is the first principal component of the features, which in a space of networks is roughly how much is computed:
    what cost, and error too, depends on most. Strata are McKay, Beckman, Conover's (Technometrics 21(2), 1979). Of many
    such draws the one is taken in which the values of every variable occur most evenly: a value that no architecture of
    the start has is one that the model may never come to try.

    Parameters
    ----------
    Z
        (p, k) standardised features.
    n
        How many.
    X
        (p, d) encodings.
    rng
        Source of the draws.
    along
        (p,) values to order by instead, such as a cost that is known.
    """
    n = min(n, len(Z))
    if n == 0:
        return np.empty(0, dtype=np.intp)
    order = np.lexsort((rng.random(len(Z)), _first_component(Z) if along is None else along))
    edges = np.linspace(0, len(Z), n + 1).astype(np.intp)
    designs = order[rng.integers(edges[:-1], edges[1:], size=(_DRAWS, n))]
    chosen: NDArray[np.intp] = designs[np.argmin([_imbalance(X[rows]) for rows in designs])]
    return chosen[rng.permutation(n)]


def _imbalance(X: NDArray[Any]) -> int:
    """Sum of the squared numbers of times that the values of the variables occur in (n, d) encodings."""
    return int((X[:, None] == X[None]).sum())


def _first_component(Z: NDArray[Any]) -> Floats:
    """Coordinate along the direction of greatest variance, (p,), rounded, so that its sign alone is open."""
    centred = Z - Z.mean(axis=0)
    if centred.shape[1] == 0:
        return np.zeros(len(Z))
    _, vectors = np.linalg.eigh(centred.T @ centred)
    made: Floats = np.round(centred @ vectors[:, -1], 9)
    return made
