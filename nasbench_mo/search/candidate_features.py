"""Features of candidates as the default searcher sees them: of any space, standardised over the space."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.predictor.features import counts, feature_map, one_hot, ordinal
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
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        few = space.size <= _SAMPLE
        X = space.from_codes(np.arange(space.size)) if few else space.sample(_SAMPLE, rng=np.random.default_rng(0))
        alive = X[~space.degenerate(X)]
        raw = _columns(space, alive if len(alive) else X)
        deviation = raw.std(axis=0)
        # a column that repeats another one would only weigh it twice
        _, first = np.unique(np.round((raw - raw.mean(axis=0)) / np.maximum(deviation, 1e-9), 6), axis=1, return_index=True)
        distinct = np.zeros(raw.shape[1], dtype=bool)
        distinct[first] = True
        self._kept = np.flatnonzero(distinct & (deviation > 1e-9))
        self._mean, self._deviation = raw[:, self._kept].mean(axis=0), deviation[self._kept]

    def __call__(self, X: NDArray[Any]) -> Floats:
        """Standardised features, (n, k), of (n, d) encodings."""
        made: Floats = (_columns(self._space, X)[:, self._kept] - self._mean) / self._deviation
        return made


def _columns(space: SearchSpace, X: NDArray[Any]) -> Floats:
    if isinstance(space, ProductSpace):
        return np.concatenate([_columns(p, part) for p, part in zip(space.parts, space.split(X), strict=True)], axis=1)
    if isinstance(space, NB201):
        maps = [feature_map("nb201-counts-v1"), feature_map("nb201-graph-v2")]
    else:
        maps = [one_hot(space), ordinal(space), counts(space)]
    return np.concatenate([m.compute(X) for m in maps], axis=1).astype(np.float64)
