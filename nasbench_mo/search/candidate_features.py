"""Features of candidates as the default searcher sees them: of any space, standardised over the space."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.predictor.features import counts, feature_map, one_hot, ordinal
from nasbench_mo.search.relevance import Groups
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.space.product import ProductSpace

Floats = NDArray[np.float64]

#: Architectures that means and deviations of the columns are taken over where the space is larger.
_SAMPLE = 4096


@final
class CandidateFeatures:
    """Columns of the predictor floor: operation counts and graph of NAS-Bench-201, indicators, numbers and counts else.

    A product of spaces has the columns of its parts. Columns are standardised over the space, not over what was
    evaluated: a search sees good architectures mostly, and their spread says little.

    Parameters
    ----------
    space
        Where architectures come from.

    Attributes
    ----------
    groups
        Which columns matter together.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        few = space.size <= _SAMPLE
        X = space.from_codes(np.arange(space.size)) if few else space.sample(_SAMPLE, rng=np.random.default_rng(0))
        alive = X[~space.degenerate(X)]
        blocks = _blocks(space, alive if len(alive) else X)
        raw = np.concatenate([block for block, _ in blocks], axis=1)
        group = np.repeat(np.arange(len(blocks)), [block.shape[1] for block, _ in blocks])
        deviation = raw.std(axis=0)
        # a column that repeats another one would only weigh it twice
        scaled = np.round((raw - raw.mean(axis=0)) / np.maximum(deviation, 1e-9), 6)
        _, first = np.unique(scaled, axis=1, return_index=True)
        distinct = np.zeros(raw.shape[1], dtype=bool)
        distinct[first] = True
        self._kept = np.flatnonzero(distinct & (deviation > 1e-9))
        present, members = np.unique(group[self._kept], return_inverse=True)
        self.groups = Groups(of=members, additive=np.array([blocks[b][1] for b in present], dtype=bool))
        self._mean, self._deviation = raw[:, self._kept].mean(axis=0), deviation[self._kept]

    def __call__(self, X: NDArray[Any]) -> Floats:
        """Standardised features, (n, k), of (n, d) encodings."""
        raw = np.concatenate([block for block, _ in _blocks(self._space, X)], axis=1)[:, self._kept]
        made: Floats = (raw - self._mean) / self._deviation
        return made


def _blocks(space: SearchSpace, X: NDArray[Any]) -> list[tuple[Floats, bool]]:
    """Blocks of columns that matter together, (n, k of the block), and whether costs add up over them."""
    if isinstance(space, ProductSpace):
        return [b for p, part in zip(space.parts, space.split(X), strict=True) for b in _blocks(p, part)]
    if isinstance(space, NB201):
        sums = feature_map("nb201-counts-v1")
        counted = sums.compute(X).astype(np.float64)
        # operations that count for one runtime do not for another: each convention is a block
        convention = np.array([column.partition("_")[0] for column in sums.columns])
        parts = [(counted[:, convention == name], True) for name in dict.fromkeys(convention)]
        return [*parts, (feature_map("nb201-graph-v2").compute(X).astype(np.float64), False)]
    maps = ([one_hot(space)], [ordinal(space), counts(space)])
    return [(np.concatenate([m.compute(X) for m in some], axis=1).astype(np.float64), True) for some in maps]
