"""Graphs that put every layer of NAS-Bench-201's networks into the context of other layers, for differences.

- Layers of the cells: one stage of equal cells, few of them and many. The two differ by whole cells, in which a
  runtime fuses, keeps its memory layout and quantises as it does in a network.
- Layers of a reduction, which changes the number of channels and cannot be repeated: the reduction with one of its
  paths left out, and with its shortcut's convolution several times on one pooled tensor.
- Global pooling and classifier: a network's end with the one and then the other left out. The normalisation and the
  ReLU behind the last cell belong to the global pooling.
- The stem takes what remains of the network whose cells are skips alone: its own convolution, the call of the runtime,
  reading the image. So that network's cost is met exactly.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.hardware.workload import Workload, workload
from nasbench_mo.profiling.differences import Difference, LayerCounts, layer_costs
from nasbench_mo.profiling.onnx_graph import IMAGES, LOGITS, GraphBuilder, onnx_network, random_weights
from nasbench_mo.space.nb201 import NB201, Skeleton

#: Cells of few distinct layers, in series, with a residual and in parallel; each has a convolution, for a runtime
#: chooses its layout, and whether pooling is quantised, by the convolutions around.
CONTEXTS = (
    "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
    "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
    "|avg_pool_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",
    "|avg_pool_3x3~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",
    "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|",
    "|skip_connect~0|+|none~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|none~2|",
    "|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|",
    "|skip_connect~0|+|none~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|none~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|avg_pool_3x3~1|none~2|",
)
#: Copies of a shortcut's convolution in the graph that has several.
_SHORTCUTS = 9
_SKIPS = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledGraph:
    """A graph to be measured.

    Parameters
    ----------
    name
        Unique among the graphs of one table.
    counts
        Its layers.
    model
        Makes the serialised ONNX model for a number of images at once.
    """

    name: str
    counts: LayerCounts
    model: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPlan:
    """The graphs of one skeleton's layers and the differences that give their costs."""

    graphs: tuple[ProfiledGraph, ...]
    groups: tuple[tuple[Difference, ...], ...]
    shapes: tuple[LayerShape, ...]


def network_graph(cell: str, *, skeleton: Skeleton, name: str | None = None) -> ProfiledGraph:
    """The whole network of a cell, pruned to its live operations; named by its cell where no name is given."""
    return ProfiledGraph(
        name=name or cell,
        counts=_counts(workload("nb201", skeleton=skeleton), cell),
        model=lambda batch: onnx_network(cell, skeleton=skeleton, batch=batch),
    )


def chain_plan(
    skeleton: Skeleton, *, contexts: Sequence[str] = CONTEXTS, short: int = 2, layers: int = 16
) -> ChainPlan:
    """Graphs and differences for every layer shape of a skeleton's networks.

    Parameters
    ----------
    skeleton
        The networks.
    contexts
        Cells that the chains are made of.
    short
        Cells of a short chain.
    layers
        Layers, roughly, that a long chain has more.

    Raises
    ------
    SpecError
        A context is degenerate, appears twice, or together they do not tell the layers apart.
    """
    nb201 = NB201()
    X = nb201.encode(list(contexts))
    if len(set(contexts)) != len(contexts) or nb201.degenerate(X).any():
        raise SpecError("contexts must be distinct cells, each with a path from input to output")
    if short < 1 or layers < 1:
        raise SpecError(
            f"a short chain has at least 1 cell and a long one at least 1 layer more; got {short}, {layers}"
        )
    graphs: dict[str, ProfiledGraph] = {}
    pairs: list[list[tuple[str, str | None]]] = []

    def add(graph: ProfiledGraph) -> str:
        graphs[graph.name] = graph
        return graph.name

    stages = [_one_stage(skeleton, stage) for stage in range(skeleton.n_stages)]
    for stage, one in enumerate(stages):
        pairs.append([])
        for cell in contexts:
            more = max(1, round(layers / _layers_of(cell, skeleton=one)))
            longer, shorter = (
                network_graph(cell, skeleton=_with_cells(one, n), name=f"stage{stage} {n}x {cell}")
                for n in (short + more, short)
            )
            pairs[-1].append((add(longer), add(shorter)))
    for stage, (one, after) in enumerate(itertools.pairwise(stages)):
        whole, main, shortcut, many = (
            add(_reduction_graph(f"reduction{stage} {what}", one, after, main=has_main, shortcuts=n))
            for what, has_main, n in (
                ("whole", True, 1),
                ("without shortcut", True, 0),
                ("shortcut alone", False, 1),
                (f"{_SHORTCUTS} shortcuts", False, _SHORTCUTS),
            )
        )
        pairs.append([(many, shortcut), (whole, main), (whole, shortcut)])
    ends = [add(_end_graph(f"end {what}", stages[-1], parts=n)) for n, what in enumerate(("bare", "pooled", "whole"))]
    pairs += [[(ends[2], ends[1])], [(ends[1], ends[0])]]
    pairs.append([(add(network_graph(_SKIPS, skeleton=skeleton, name="network of skips")), None)])
    counts = {name: graph.counts for name, graph in graphs.items()}
    groups = tuple(tuple(Difference.between(a, b, counts=counts) for a, b in group) for group in pairs)
    layer_costs(groups, dict.fromkeys(graphs, 0.0))  # refuses contexts that do not suffice, before anything is measured
    return ChainPlan(graphs=tuple(graphs.values()), groups=groups, shapes=workload("nb201", skeleton=skeleton).shapes)


def _one_stage(skeleton: Skeleton, stage: int) -> Skeleton:
    """A skeleton that is nothing but one stage of another, between a stem and an end."""
    return Skeleton(
        n_cells=skeleton.n_cells,
        channels=skeleton.channels << stage,
        n_stages=1,
        image_size=skeleton.image_size >> stage,
        image_channels=skeleton.image_channels,
        n_classes=skeleton.n_classes,
    )


def _with_cells(skeleton: Skeleton, n_cells: int) -> Skeleton:
    return Skeleton(**{name: getattr(skeleton, name) for name in Skeleton.__dataclass_fields__} | {"n_cells": n_cells})


def _counts(net: Workload, cell: str) -> dict[LayerShape, float]:
    found = net.counts(net.space.encode([cell]), convention="live")[0]
    return {net.shapes[i]: float(found[i]) for i in np.flatnonzero(found)}


def _layers_of(cell: str, *, skeleton: Skeleton) -> float:
    """Layers that one more cell adds."""
    one, two = (sum(_counts(workload("nb201", skeleton=_with_cells(skeleton, n)), cell).values()) for n in (1, 2))
    return max(1.0, two - one)


def _stem(one: Skeleton) -> LayerShape:
    return LayerShape(
        operator="conv", in_channels=one.image_channels, out_channels=one.channels, in_size=one.image_size, kernel=3
    )


def _end(one: Skeleton) -> tuple[LayerShape, LayerShape]:
    c = one.channels
    pooling = LayerShape(operator="global_pool", in_channels=c, out_channels=c, in_size=one.image_size)
    return pooling, LayerShape(operator="linear", in_channels=c, out_channels=one.n_classes, in_size=1)


def _reduction_graph(name: str, one: Skeleton, after: Skeleton, *, main: bool, shortcuts: int) -> ProfiledGraph:
    """Stem, a reduction with some of its parts, the end."""
    c, wide, size = one.channels, after.channels, after.image_size
    conv = LayerShape(operator="conv", in_channels=c, out_channels=wide, in_size=one.image_size, kernel=3, stride=2)
    counts: Counter[LayerShape] = Counter((_stem(one), *_end(after)))
    if main:
        counts[conv] += 1
        counts[LayerShape(operator="conv", in_channels=wide, out_channels=wide, in_size=size, kernel=3)] += 1
    if shortcuts:
        pool = LayerShape(
            operator="avg_pool", in_channels=c, out_channels=c, in_size=one.image_size, kernel=2, stride=2
        )
        counts[pool] += 1
        counts[LayerShape(operator="conv", in_channels=c, out_channels=wide, in_size=size)] += shortcuts
    n_added = int(main) + shortcuts - 1
    if n_added:
        counts[LayerShape(operator="add", in_channels=wide, out_channels=wide, in_size=size)] += n_added

    def model(batch: int) -> bytes:
        builder = GraphBuilder(random_weights(0))
        x = builder.convolution("stem", IMAGES, shape=(c, one.image_channels, 3, 3))
        parts = [builder.reduction_convolutions("reduction", x, width=c)] if main else []
        if shortcuts:
            pooled = builder.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            parts += [builder.reduction_shortcut(f"reduction{i}", pooled, width=c) for i in range(shortcuts)]
        total = parts[0]
        for part in parts[1:]:
            total = builder.node("Add", [total, part])
        builder.classifier(builder.pooled(total, width=wide), width=wide, n_classes=one.n_classes)
        return _finished(builder, one, outputs={LOGITS: (batch, one.n_classes)}, batch=batch)

    return ProfiledGraph(name=name, counts=dict(counts), model=model)


def _end_graph(name: str, one: Skeleton, *, parts: int) -> ProfiledGraph:
    """Stem, two 1x1 convolutions, and of global pooling and classifier the first 0, 1 or 2."""
    c, size = one.channels, one.image_size
    counts: Counter[LayerShape] = Counter((_stem(one), *_end(one)[:parts]))
    counts[LayerShape(operator="conv", in_channels=c, out_channels=c, in_size=size)] += 2

    def model(batch: int) -> bytes:
        builder = GraphBuilder(random_weights(0))
        x = builder.convolution("stem", IMAGES, shape=(c, one.image_channels, 3, 3))
        for i in range(2):
            x = builder.convolution(f"conv{i}", builder.relu(x), shape=(c, c, 1, 1))
        shape: tuple[int, ...] = (batch, c, size, size)
        if parts > 0:
            x, shape = builder.pooled(x, width=c), (batch, c)
        if parts > 1:
            x, shape = builder.classifier(x, width=c, n_classes=one.n_classes), (batch, one.n_classes)
        return _finished(builder, one, outputs={x: shape}, batch=batch)

    return ProfiledGraph(name=name, counts=dict(counts), model=model)


def _finished(builder: GraphBuilder, one: Skeleton, *, outputs: dict[str, tuple[int, ...]], batch: int) -> bytes:
    return builder.model(images=(batch, one.image_channels, one.image_size, one.image_size), outputs=outputs)
