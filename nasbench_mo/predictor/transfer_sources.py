"""Source devices that need no data file: the latency predictors that are installed with the package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.artifact import Predictor, read_reference
from nasbench_mo.space import SearchSpace

#: Architectures on which the predictors are asked, at most.
_MAX_ARCHS = 2048


def latency_predictors(search_space: SearchSpace) -> list[str]:
    """Ids of the installed predictors of a latency over a space, those that need no measured input."""
    found = []
    for identifier in artifacts.available("predictors"):
        reference = read_reference(artifacts.resolve("predictors", identifier))
        if reference.space == search_space.name and reference.objective.name.startswith("latency"):
            found += [identifier] if not reference.inputs else []
    return found


def predicted_costs(
    search_space: SearchSpace, *, predictors: Sequence[str] | None = None, seed: int = 0
) -> tuple[list[str], NDArray[np.float64]]:
    """What installed predictors say of random architectures: sources for :func:`nasbench_mo.adapt`.

    Parameters
    ----------
    search_space
        Where the architectures come from.
    predictors
        Ids; all latency predictors of the space where None.
    seed
        Draws the architectures.

    Returns
    -------
    n architectures with a path from input to output, at most 2,048, and (n, k) predicted latencies.

    Raises
    ------
    SpecError
        The space has no such predictor.
    """
    chosen = latency_predictors(search_space) if predictors is None else list(predictors)
    if not chosen:
        raise SpecError(
            f"no latency predictor of space {search_space.name!r} is installed; give sources=: a table of latencies on "
            "known devices, a frame, or (archs, matrix)"
        )
    rng = np.random.default_rng(seed)
    X = search_space.sample(_MAX_ARCHS, rng=rng)
    X = np.unique(X[~search_space.degenerate(X)], axis=0)
    columns = [Predictor.load(artifacts.resolve("predictors", one)).predict(X) for one in chosen]
    return search_space.decode(X), np.stack(columns, axis=1)
