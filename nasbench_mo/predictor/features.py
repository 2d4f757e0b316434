"""Feature maps: architectures to named numeric columns, versioned.

For NAS-Bench-201 the features are taken on the canonical live cell, so isomorphic cells have equal features and
dead operations do not count. They follow the idea of neural graph features (Kadlecova et al., "Surprisingly Strong
Performance Prediction with Neural Graph Features", ICML 2024): operation counts, node degrees, and the least and
most operations of every operation subset along an input-output path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArtifactError, did_you_mean
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.space.nb201 import EDGES, NB201, NONE, OPERATIONS, PATHS


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMap:
    """Named columns computed from encodings of one space.

    Parameters
    ----------
    name
        Identity with version; a stored predictor names the one it was trained on.
    columns
        k column names.
    compute
        (n, d) encodings to (n, k) float32.
    """

    name: str
    columns: tuple[str, ...]
    compute: Callable[[NDArray[Any]], NDArray[np.float32]]


def feature_map(name: str) -> FeatureMap:
    """Return a feature map by name: ``"nb201-graph-v1"`` or ``"<space>-onehot-v1"``.

    Raises
    ------
    ArtifactError
        This version of the package does not have the map.
    """
    if name == "nb201-graph-v1":
        return _nb201_graph()
    if name.endswith("-onehot-v1"):
        return one_hot(space(name.removesuffix("-onehot-v1")))
    raise ArtifactError(
        f"unknown feature map {name!r}.{did_you_mean(name, ['nb201-graph-v1', '<space>-onehot-v1'])} "
        "The predictor was made by another version of nasbench-mo"
    )


def default_feature_map(search_space: SearchSpace) -> FeatureMap:
    """The feature map a new predictor of a space gets when none is named."""
    return _nb201_graph() if search_space.name == "nb201" else one_hot(search_space)


def one_hot(search_space: SearchSpace) -> FeatureMap:
    """One indicator column for each value of each variable, of any space."""
    columns = tuple(f"{v.name}={value}" for v in search_space.variables for value in v.values)

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        checked = search_space.check(X)
        blocks = [checked[:, j, None] == np.arange(c) for j, c in enumerate(search_space.cardinalities)]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    return FeatureMap(name=f"{search_space.name}-onehot-v1", columns=columns, compute=compute)


def _nb201_graph() -> FeatureMap:
    nb201 = space("nb201")
    if not isinstance(nb201, NB201):
        raise ArtifactError("the space registered as 'nb201' is not NAS-Bench-201")
    live_operations = [op for op in range(len(OPERATIONS)) if op != NONE]
    subsets = [s for size in range(1, 5) for s in combinations(live_operations, size)]

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        cells = nb201.live(nb201.canonical(X, equivalence="function"))
        indicator = cells[:, :, None] == np.asarray(live_operations)  # (n, 6, 4)
        blocks = [indicator.reshape(len(cells), len(EDGES) * len(live_operations)), indicator.sum(axis=1)]
        blocks += [_degrees(indicator, node=node) for node in range(4)]
        blocks.append(_path_extremes(cells, indicator, subsets=subsets, operations=live_operations))
        blocks.append(nb201.n_parameters(cells)[:, None] / 1e6)
        blocks.append(nb201.n_flops(cells)[:, None] / 1e6)
        return np.concatenate(blocks, axis=1).astype(np.float32)

    short = [OPERATIONS[op] for op in live_operations]
    columns = [f"edge_{a}_{b}={op}" for a, b in EDGES for op in short]
    columns += [f"count_{op}" for op in short]
    columns += [f"degree_node{node}_{op}" for node in range(4) for op in short]
    columns += ["n_paths"]
    for subset in subsets:
        words = "+".join(OPERATIONS[op] for op in subset)
        columns += [f"path_min_{words}", f"path_max_{words}"]
    columns += ["params_millions", "flops_millions"]
    return FeatureMap(name="nb201-graph-v1", columns=tuple(columns), compute=compute)


def _degrees(indicator: NDArray[np.bool_], *, node: int) -> NDArray[np.int64]:
    """(n, 4): live edges of each operation that touch a node, incoming and outgoing together."""
    touching = [e for e, edge in enumerate(EDGES) if node in edge]
    counts: NDArray[np.int64] = indicator[:, touching].sum(axis=1)
    return counts


def _path_extremes(
    cells: NDArray[Any], indicator: NDArray[np.bool_], *, subsets: list[tuple[int, ...]], operations: list[int]
) -> NDArray[np.float64]:
    """Number of live paths, then least and most operations of every subset on a live path; -1 without a path."""
    alive = np.stack([(cells[:, path] != NONE).all(axis=1) for path in PATHS], axis=1)  # (n, 4 paths)
    on_path = np.stack([indicator[:, path].sum(axis=1) for path in PATHS], axis=1)  # (n, 4 paths, 4 operations)
    columns = [alive.sum(axis=1)]
    for subset in subsets:
        members = [operations.index(op) for op in subset]
        lengths = on_path[:, :, members].sum(axis=2)
        least = np.where(alive, lengths, 99).min(axis=1)
        columns += [np.where(least == 99, -1, least), np.where(alive, lengths, -1).max(axis=1)]
    return np.stack(columns, axis=1).astype(np.float64)
