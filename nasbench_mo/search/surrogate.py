"""What searchers with a model share: how an architecture becomes numbers for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import NasbenchMoError, SearcherError
from nasbench_mo.predictor.features import default_feature_map, feature_map, one_hot
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]

#: Architectures whose range of a column decides its scale.
_SCALE_SAMPLE = 2000


def features(searcher: str, name: object, *, space: SearchSpace) -> Callable[[NDArray[Any]], Floats]:
    """Feature function of a searcher's option: (n, d) encodings to (n, k) values.

    Columns are scaled to 0..1 by their range over a fixed random sample of the space (values may lie a little outside),
    and those without a range are left out.

    Parameters
    ----------
    searcher
        Its name, for the error.
    name
        ``"onehot"``, ``"default"`` for the space's own map, or the name of a feature map.

    Raises
    ------
    SearcherError
        There is no such map, or it belongs to another space.
    """
    try:
        if name == "onehot":
            compute = one_hot(space).compute
        elif name == "default":
            compute = default_feature_map(space).compute
        else:
            compute = feature_map(str(name)).compute
        sample = compute(space.sample(_SCALE_SAMPLE, rng=np.random.default_rng(0))).astype(np.float64)
    except NasbenchMoError as error:
        raise SearcherError(
            f"searcher {searcher!r}: features is 'onehot', 'default' or a feature map of space {space.name!r}; "
            f"got {name!r} ({error})"
        ) from error
    low, span = sample.min(axis=0), np.ptp(sample, axis=0)
    kept = np.flatnonzero(span > 0)
    if not len(kept):  # a space of one architecture: one constant column
        return lambda X: np.zeros((len(X), 1))

    def scaled(X: NDArray[Any]) -> Floats:
        values: Floats = (compute(X)[:, kept].astype(np.float64) - low[kept]) / span[kept]
        return values

    return scaled
