"""Feature maps of NAS-Bench-201 cells.

The graph maps are taken on the canonical live cell, so isomorphic cells have equal features and dead operations do not
count. They follow the idea of neural graph features (Kadlecova et al., "Surprisingly Strong Performance Prediction
with Neural Graph Features", ICML 2024): operation counts, node degrees, and the least and most operations of every
operation subset along an input-output path. The path encoding is that of White et al., "BANANAS", AAAI 2021.
The maps of counts, for costs of the network as it is built, do without the canonical form.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArtifactError
from nasbench_mo.predictor.features.base import FeatureMap
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import AVG_POOL, CONV1X1, CONV3X3, EDGES, NB201, NONE, OPERATIONS, PATHS, SKIP

#: Operations other than ``none``, as codes and as words.
_LIVE = [op for op in range(len(OPERATIONS)) if op != NONE]
_WORDS = [OPERATIONS[op] for op in _LIVE]
_CONVOLUTIONS = (CONV1X1, CONV3X3)
_SUBSETS = [s for size in range(1, 5) for s in combinations(_LIVE, size)]
#: (4 operations, subsets): which operation is in which subset.
_MEMBERS = np.array([[op in subset for subset in _SUBSETS] for op in _LIVE], dtype=np.int64)


def graph_v1() -> FeatureMap:
    """``nb201-graph-v1``: operations of the canonical live cell, degrees, path extremes, parameters, FLOPs."""
    nb201 = _space()

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        return _graph_v1(nb201, nb201.live(nb201.canonical(X, equivalence="function")))

    return FeatureMap(name="nb201-graph-v1", columns=_graph_v1_columns(), compute=compute)


def graph_v2() -> FeatureMap:
    """``nb201-graph-v2``: v1, then paths counted by what is on them, then degrees, sizes and the share of the input.

    Added to v1, in this order:

    - ``path_sum_*``: operations of each subset summed over the live paths; ``paths_with_*``: live paths with any of it;
    - ``paths_*``: live paths by their sequence of operations. Skips are left out, for they compute nothing: the path
      encoding counted, of the function rather than of the drawing;
    - the same paths by coarser traits: number of convolutions, first and last operation, the sequence of classes (c
      convolution, p pooling), and convolutions of a path on average;
    - ``out_node1_*``, ``in_node2_*``: with v1's degrees (nodes 0 and 3 have one direction only) and edges, every in and
      out degree; then those of convolutions together;
    - ``input_coefficient``: weight with which the input itself arrives at the output along skips, poolings halving it;
    - concave functions of size: logarithms of parameters, FLOPs and counts of convolutions.

    Depth in operations is v1's ``path_max`` and ``path_min`` of all four; in convolutions, of both convolutions.
    """
    nb201 = _space()

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        # two in three cells are twins of another: compute each topology once
        codes, member = np.unique(nb201.codes(nb201.canonical(X, equivalence="function")), return_inverse=True)
        cells = nb201.live(nb201.from_codes(codes))
        indicator = _indicator(cells)
        first, paths = _graph_v1(nb201, cells), _path_counts(cells, skips=False)
        blocks: list[NDArray[Any]] = [first, _path_totals(cells, indicator), paths, _path_traits(paths)]
        blocks += [_directed_degrees(indicator), _input_coefficient(cells)[:, None], _sizes(first, indicator)]
        return np.concatenate(blocks, axis=1).astype(np.float32)[member]

    columns = [f"path_sum_{_joined(subset)}" for subset in _SUBSETS]
    columns += [f"paths_with_{_joined(subset)}" for subset in _SUBSETS[:-1]]  # the last is n_paths
    columns += [*_path_columns(skips=False), *_trait_columns()]
    columns += [f"{degree}_{op}" for degree in ("out_node1", "in_node2") for op in _WORDS]
    columns += [f"out_node{node}_convolution" for node in range(3)]
    columns += [f"in_node{node}_convolution" for node in range(1, 4)]
    columns += ["input_coefficient", *_SIZES]
    return FeatureMap(name="nb201-graph-v2", columns=(*_graph_v1_columns(), *columns), compute=compute)


def path_v1() -> FeatureMap:
    """``nb201-path-v1``: how many live paths of the canonical cell have each sequence of operations, skips included."""
    nb201 = _space()

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        cells = nb201.live(nb201.canonical(X, equivalence="function"))
        return _path_counts(cells, skips=True).astype(np.float32)

    return FeatureMap(name="nb201-path-v1", columns=tuple(_path_columns(skips=True)), compute=compute)


def counts_v1() -> FeatureMap:
    """``nb201-counts-v1``: what a cost that adds up over operations is linear in.

    Operation counts of the cell as given under three conventions, operations that do not count being counted as
    ``none``, and the additions where live operations meet in a node:

    - ``live_*``: operations on an input-output path, for runtimes that fold away whatever does not matter;
    - ``used_*``: operations from which the output is reached, fed by something or by zeros, in a cell that has an
      input-output path: TensorFlow Lite on raspi4 and pixel3 of HW-NAS-Bench runs these;
    - ``all_*``: every edge, for runtimes that fold nothing away, PyTorch among them.
    """
    nb201 = _space()

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        cells, live = nb201.check(X), nb201.live(X)
        used = np.where(_reaches_output(cells != NONE) & ~nb201.degenerate(X)[:, None], cells, NONE)
        inputs = [
            (live[:, [e for e, edge in enumerate(EDGES) if edge[1] == node]] != NONE).sum(axis=1) for node in (2, 3)
        ]
        blocks = [(found[:, :, None] == np.arange(len(OPERATIONS))).sum(axis=1) for found in (live, used, cells)]
        additions = np.maximum(np.stack(inputs, axis=1) - 1, 0).sum(axis=1)
        return np.concatenate([*blocks, additions[:, None]], axis=1).astype(np.float32)

    columns = [f"{convention}_{op}" for convention in ("live", "used", "all") for op in OPERATIONS]
    return FeatureMap(name="nb201-counts-v1", columns=(*columns, "live_additions"), compute=compute)


def _reaches_output(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n, 6): edges that are not ``none`` and have a way to the output behind them."""
    reached = np.zeros_like(alive)
    reaching = [np.zeros(len(alive), dtype=bool) for _ in range(3)] + [np.ones(len(alive), dtype=bool)]
    for edge, (source, target) in sorted(enumerate(EDGES), key=lambda found: -found[1][1]):
        reached[:, edge] = alive[:, edge] & reaching[target]
        reaching[source] = reaching[source] | reached[:, edge]
    return reached


def _graph_v1(nb201: NB201, cells: NDArray[Any]) -> NDArray[np.float32]:
    """(n, k) features of canonical live cells; stored predictors depend on every bit."""
    indicator = _indicator(cells)
    blocks = [indicator.reshape(len(cells), len(EDGES) * len(_LIVE)), indicator.sum(axis=1)]
    blocks += [_degrees(indicator, node=node) for node in range(4)]
    blocks.append(_path_extremes(cells, indicator))
    blocks.append(nb201.n_parameters(cells)[:, None] / 1e6)
    blocks.append(nb201.n_flops(cells)[:, None] / 1e6)
    return np.concatenate(blocks, axis=1).astype(np.float32)


def _graph_v1_columns() -> tuple[str, ...]:
    columns = [f"edge_{a}_{b}={op}" for a, b in EDGES for op in _WORDS]
    columns += [f"count_{op}" for op in _WORDS]
    columns += [f"degree_node{node}_{op}" for node in range(4) for op in _WORDS]
    columns += ["n_paths"]
    for subset in _SUBSETS:
        columns += [f"path_min_{_joined(subset)}", f"path_max_{_joined(subset)}"]
    return (*columns, "params_millions", "flops_millions")


def _space() -> NB201:
    nb201 = space("nb201")
    if not isinstance(nb201, NB201):
        raise ArtifactError("the space registered as 'nb201' is not NAS-Bench-201")
    return nb201


def _indicator(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """(n, 6, 4): which operation each edge has."""
    found: NDArray[np.bool_] = cells[:, :, None] == np.asarray(_LIVE)
    return found


def _degrees(indicator: NDArray[np.bool_], *, node: int) -> NDArray[np.int64]:
    """(n, 4): live edges of each operation that touch a node, incoming and outgoing together."""
    touching = [e for e, edge in enumerate(EDGES) if node in edge]
    counts: NDArray[np.int64] = indicator[:, touching].sum(axis=1)
    return counts


def _path_extremes(cells: NDArray[Any], indicator: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Number of live paths, then least and most operations of every subset on a live path; -1 without a path."""
    alive = np.stack([(cells[:, path] != NONE).all(axis=1) for path in PATHS], axis=1)  # (n, 4 paths)
    on_path = np.stack([indicator[:, path].sum(axis=1) for path in PATHS], axis=1)  # (n, 4 paths, 4 operations)
    lengths = on_path @ _MEMBERS  # (n, 4 paths, subsets)
    least = np.where(alive[:, :, None], lengths, 99).min(axis=1)
    extremes = np.empty((len(cells), 1 + 2 * len(_SUBSETS)))
    extremes[:, 0] = alive.sum(axis=1)
    extremes[:, 1::2] = np.where(least == 99, -1, least)
    extremes[:, 2::2] = np.where(alive[:, :, None], lengths, -1).max(axis=1)
    return extremes


def _path_totals(cells: NDArray[Any], indicator: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 29): operations of every subset summed over the live paths, then live paths with any of it."""
    alive = np.stack([(cells[:, path] != NONE).all(axis=1) for path in PATHS], axis=1)
    on_path = np.stack([indicator[:, path].sum(axis=1) for path in PATHS], axis=1) * alive[:, :, None]
    lengths = np.stack([on_path[:, :, [_LIVE.index(op) for op in subset]].sum(axis=2) for subset in _SUBSETS], axis=2)
    totals: NDArray[np.int64] = np.concatenate([lengths.sum(axis=1), (lengths > 0).sum(axis=1)[:, :-1]], axis=1)
    return totals


def _path_counts(cells: NDArray[Any], *, skips: bool) -> NDArray[np.int64]:
    """Live paths of each sequence of operations, (n, 84), or of each sequence without its skips, (n, 40)."""
    column_of = {sequence: j for j, sequence in enumerate(_sequences(skips=skips))}
    counts = np.zeros((len(cells), len(column_of)), dtype=np.int64)
    for path in PATHS:
        operations = cells[:, path].astype(np.int64)
        code = operations @ (len(OPERATIONS) ** np.arange(len(path)))
        column = np.full(len(OPERATIONS) ** len(path), -1)
        for sequence in product(_LIVE, repeat=len(path)):
            kept = sequence if skips else tuple(op for op in sequence if op != SKIP)
            column[int(np.dot(sequence, len(OPERATIONS) ** np.arange(len(path))))] = column_of[kept]
        alive = np.flatnonzero((operations != NONE).all(axis=1))
        counts[alive, column[code[alive]]] += 1  # one path a row: no index repeats
    return counts


def _sequences(*, skips: bool) -> list[tuple[int, ...]]:
    """Every sequence of operations that a path can have; without skips the empty one is a bare identity."""
    operations = _LIVE if skips else [op for op in _LIVE if op != SKIP]
    return [s for length in range(int(skips), 4) for s in product(operations, repeat=length)]


def _path_columns(*, skips: bool) -> list[str]:
    return ["paths_" + (">".join(OPERATIONS[op] for op in s) or "identity") for s in _sequences(skips=skips)]


_SIZES = (
    "log_params_millions",
    "log_flops_millions",
    "log_weights_in_3x3",  # log(0.05 + 3x3 + 1x1 / 9): a 1x1 has a ninth of a 3x3's weights
    "log_convolutions_1x1_as_half",  # log(0.3 + 3x3 + 1x1 / 2)
    "log_convolutions",  # log(0.5 + both)
    "sqrt_count_nor_conv_3x3",
    "any_nor_conv_3x3",
)


def _traits_of(sequence: tuple[int, ...]) -> dict[str, float]:
    """What one live path with this sequence of operations, skips left out, adds to each column that sums over paths."""
    n_convolutions = sum(op in _CONVOLUTIONS for op in sequence)
    classes = "".join("c" if op in _CONVOLUTIONS else "p" for op in sequence)
    traits: dict[str, float] = {f"paths_with_{d}_convolutions": n_convolutions == d for d in range(4)}
    traits["paths_without_avg_pool_3x3"] = AVG_POOL not in sequence
    traits["paths_with_1_spatial"] = sum(op in (CONV3X3, AVG_POOL) for op in sequence) == 1
    traits |= {f"paths_start_{OPERATIONS[op]}": sequence[:1] == (op,) for op in _LIVE if op != SKIP}
    traits |= {f"paths_end_{OPERATIONS[op]}": sequence[-1:] == (op,) for op in _LIVE if op != SKIP}
    known = ("c", "cc", "cp", "pc", "ccp", "cpc", "pcc", "cpp", "pcp", "ppc")
    traits |= {f"paths_class_{word}": classes == word for word in known}
    return traits


def _means_of(sequence: tuple[int, ...]) -> dict[str, float]:
    """What one live path adds to each column that is a mean over paths."""
    n_convolutions = sum(op in _CONVOLUTIONS for op in sequence)
    return {"path_mean_convolutions": n_convolutions, "path_mean_nor_conv_3x3": sequence.count(CONV3X3)}


def _trait_columns() -> list[str]:
    return [*_traits_of(()), *_means_of(())]


def _path_traits(paths: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, 24) traits from (n, 40) counts of paths without skips: sums over paths, then means over them."""
    sequences = _sequences(skips=False)
    sums = paths @ np.array([list(_traits_of(s).values()) for s in sequences], dtype=np.float64)
    means = paths @ np.array([list(_means_of(s).values()) for s in sequences], dtype=np.float64)
    return np.concatenate([sums, means / np.maximum(paths.sum(axis=1, keepdims=True), 1)], axis=1)


def _directed_degrees(indicator: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 14): operations out of node 1 and into node 2, then convolutions out of nodes 0-2 and into nodes 1-3."""
    leaving = [[e for e, edge in enumerate(EDGES) if edge[0] == node] for node in range(3)]
    entering = [[e for e, edge in enumerate(EDGES) if edge[1] == node] for node in range(1, 4)]
    convolution = indicator[:, :, [_LIVE.index(op) for op in _CONVOLUTIONS]].sum(axis=2)
    both = np.stack([convolution[:, edges].sum(axis=1) for edges in (*leaving, *entering)], axis=1)
    return np.concatenate([indicator[:, leaving[1]].sum(axis=1), indicator[:, entering[1]].sum(axis=1), both], axis=1)


def _input_coefficient(cells: NDArray[Any]) -> NDArray[np.float64]:
    """(n,): sum over the live paths of skips and poolings of one half for each pooling."""
    factor = np.zeros(len(OPERATIONS))
    factor[[SKIP, AVG_POOL]] = 1.0, 0.5
    weights: NDArray[np.float64] = np.stack([factor[cells[:, path]].prod(axis=1) for path in PATHS], axis=1)
    return np.asarray(weights.sum(axis=1))


def _sizes(first: NDArray[np.float32], indicator: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 7) concave functions of size; ``first`` ends in parameters and FLOPs in millions."""
    narrow, wide = indicator.sum(axis=1)[:, [_LIVE.index(op) for op in _CONVOLUTIONS]].T
    columns = [np.log(0.05 + wide + narrow / 9), np.log(0.3 + wide + narrow / 2), np.log(0.5 + wide + narrow)]
    columns += [np.sqrt(wide), (wide > 0).astype(np.float64)]
    return np.concatenate([np.log(first[:, -2:].astype(np.float64)), np.stack(columns, axis=1)], axis=1)


def _joined(subset: tuple[int, ...]) -> str:
    return "+".join(OPERATIONS[op] for op in subset)
