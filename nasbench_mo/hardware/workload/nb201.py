"""Layers of NAS-Bench-201's networks: one cell, repeated, inside any skeleton.

Dong & Yang, "NAS-Bench-201", ICLR 2020, section 2.1.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.shapes import LayerShape, Operator
from nasbench_mo.hardware.workload.base import Workload, check_positive, check_space
from nasbench_mo.hardware.workload.tape import INPUT, Piece, Tape
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.nb201 import AVG_POOL, CONV1X1, CONV3X3, EDGES, NB201, NONE, SKIP, Counting, Skeleton

#: Data sets whose skeletons have names: see :meth:`Skeleton.for_dataset`.
DATASETS: Final = ("cifar10", "cifar100", "imagenet16-120")
#: Operations that are layers, in the order of a stage's shapes; the addition of two of their results comes last.
_LAYERS: Final = (CONV3X3, CONV1X1, AVG_POOL)
#: What an edge means for memory: nothing, another name for a tensor, or a tensor of its own.
_ABSENT, _ALIAS, _TENSOR = range(3)


def nb201_workload(search_space: SearchSpace, *, dataset: str | None, skeleton: object | None) -> Workload:
    """Workload of NAS-Bench-201: a data set of :meth:`Skeleton.for_dataset`, or any skeleton."""
    nb201 = check_space(search_space, NB201)
    net = Skeleton.for_dataset(DATASETS[0] if dataset is None else dataset) if skeleton is None else skeleton
    if not isinstance(net, Skeleton):
        raise SpecError(f"space 'nb201' needs a nasbench_mo.space.nb201.Skeleton, got {type(net).__name__}")
    return CellWorkload(nb201, skeleton=net)


@final
class CellWorkload(Workload):
    """Networks of one repeated cell.

    ``live`` counts operations on an input-output path; a node with k > 1 live inputs, skips among them, takes k - 1
    additions, and a skip costs nothing. ``all`` counts every operation that is not ``none`` and k - 1 additions for
    every node with k of them, whether the node is fed or read or not. Neither counts the zeros that the published
    code adds for a ``none``. Stem, reductions and classifier are counted in every network, also where the cell has no
    path from input to output. For memory, ``all`` lets an operation that nothing feeds read a tensor of zeros.

    Parameters
    ----------
    search_space, skeleton
        The cells and the network around them.

    Raises
    ------
    SpecError
        A size is not a positive integer, or a reduction would have to halve an odd number of pixels.
    """

    def __init__(self, search_space: NB201, *, skeleton: Skeleton) -> None:
        _check(skeleton)
        stages = _stages(skeleton)
        stem, classifier = _stem(skeleton), _classifier(stages[-1], n_classes=skeleton.n_classes)
        reductions = [_reduction(before, after) for before, after in itertools.pairwise(stages)]
        ordered = [*stem.counts]
        for stage, reduction in zip(stages, [None, *reductions], strict=True):
            ordered += [*(reduction.counts if reduction else ()), *stage.shapes]
        shapes = tuple(dict.fromkeys([*ordered, *classifier.counts]))
        super().__init__(
            search_space,
            name=_name(skeleton),
            shapes=shapes,
            unnormalised={_shortcut(before, after) for before, after in itertools.pairwise(stages)},
            other_parameters=2 * stages[-1].channels,  # the normalisation behind the last cell
        )
        self._cells = search_space
        fixed: Counter[LayerShape] = Counter()
        for piece in (stem, *reductions, classifier):
            fixed.update(piece.counts)
        self._fixed = np.array([fixed[shape] for shape in shapes], dtype=np.float64)
        self._per_cell = np.zeros((len(_LAYERS) + 1, len(shapes)))
        for stage in stages:
            for row, shape in enumerate(stage.shapes):
                self._per_cell[row, shapes.index(shape)] += skeleton.n_cells
        self._fixed_peak = max(piece.peak for piece in (stem, *reductions, classifier))
        self._tensor = max(stage.elements for stage in stages)

    def _counts(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.float64]:
        cells = self._cells.live(X) if convention == "live" else X
        layers = [(cells == operation).sum(axis=1) for operation in _LAYERS]
        counts: NDArray[np.float64] = np.stack([*layers, _additions(cells)], axis=1) @ self._per_cell
        return counts + self._fixed

    def _repeated(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.float64]:
        """Average poolings of a tensor that is pooled already."""
        cells = self._cells.live(X) if convention == "live" else X
        repeated = np.zeros((len(cells), len(_LAYERS) + 1))
        repeated[:, _LAYERS.index(AVG_POOL)] = _equal_poolings(cells)
        counts: NDArray[np.float64] = repeated @ self._per_cell
        return counts

    def _activation_peak(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.int64]:
        cells = self._cells.live(X) if convention == "live" else X
        role = np.where(cells == NONE, _ABSENT, np.where(cells == SKIP, _ALIAS, _TENSOR))
        pattern = role @ 3 ** np.arange(len(EDGES) - 1, -1, -1)
        peak: NDArray[np.int64] = np.maximum(_cell_peaks()[pattern] * self._tensor, self._fixed_peak)
        return peak


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Width and size of a stage's tensors, and the shapes of the layers between them."""

    channels: int
    size: int

    @property
    def elements(self) -> int:
        return self.channels * self.size**2

    def layer(self, operator: Operator, *, kernel: int = 1) -> LayerShape:
        c = self.channels
        return LayerShape(operator=operator, in_channels=c, out_channels=c, in_size=self.size, kernel=kernel)

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Of the cells: in the order of _LAYERS, the addition last."""
        return (
            self.layer("conv", kernel=3),
            self.layer("conv"),
            self.layer("avg_pool", kernel=3),
            self.layer("add"),
        )


def _stages(skeleton: Skeleton) -> list[_Stage]:
    return [_Stage(channels=skeleton.channels << i, size=skeleton.image_size >> i) for i in range(skeleton.n_stages)]


def _stem(skeleton: Skeleton) -> Piece:
    shape = LayerShape(
        operator="conv",
        in_channels=skeleton.image_channels,
        out_channels=skeleton.channels,
        in_size=skeleton.image_size,
        kernel=3,
    )
    tape = Tape(shape.inputs)
    return tape.piece(tape.run(shape, INPUT))


def _reduction(before: _Stage, after: _Stage) -> Piece:
    """Two 3x3 convolutions, the first with stride 2, plus the pooled shortcut."""
    c = before.channels
    first = LayerShape(
        operator="conv", in_channels=c, out_channels=after.channels, in_size=before.size, kernel=3, stride=2
    )
    pool = LayerShape(operator="avg_pool", in_channels=c, out_channels=c, in_size=before.size, kernel=2, stride=2)
    tape = Tape(before.elements)
    inner = tape.run(after.layer("conv", kernel=3), tape.run(first, INPUT))
    shortcut = tape.run(_shortcut(before, after), tape.run(pool, INPUT))
    return tape.piece(tape.run(after.layer("add"), inner, shortcut))


def _shortcut(before: _Stage, after: _Stage) -> LayerShape:
    """The reduction's 1x1 convolution, which no normalisation follows."""
    return LayerShape(operator="conv", in_channels=before.channels, out_channels=after.channels, in_size=after.size)


def _classifier(last: _Stage, *, n_classes: int) -> Piece:
    tape = Tape(last.elements)
    x = tape.run(last.layer("global_pool"), INPUT)
    return tape.piece(
        tape.run(LayerShape(operator="linear", in_channels=last.channels, out_channels=n_classes, in_size=1), x)
    )


def _additions(cells: NDArray[Any]) -> NDArray[np.int64]:
    """Additions in each cell, (n,): one less than the inputs of each node that has any."""
    total = np.zeros(len(cells), dtype=np.int64)
    for node in range(1, 4):
        edges = [edge for edge, (_, target) in enumerate(EDGES) if target == node]
        total += np.maximum((cells[:, edges] != NONE).sum(axis=1) - 1, 0)
    return total


def _equal_poolings(cells: NDArray[Any]) -> NDArray[np.int64]:
    """Average poolings in each cell that read a tensor which is pooled already, (n,).

    A tensor has a name: that of the node that first held it. A node that a single skip feeds holds its source's tensor;
    any other holds one of its own.
    """
    tensor = np.tile(np.arange(4), (len(cells), 1))
    inputs = np.zeros((len(cells), 4), dtype=np.int64)
    for edge, (_, target) in enumerate(EDGES):
        inputs[:, target] += cells[:, edge] != NONE
    for edge, (source, target) in enumerate(EDGES):  # in the order of targets: a source's name is settled
        alias = (cells[:, edge] == SKIP) & (inputs[:, target] == 1)
        tensor[alias, target] = tensor[alias, source]
    sources = [source for source, _ in EDGES]
    pooled = cells == AVG_POOL
    names = 1 << tensor[:, sources]
    distinct = np.bitwise_or.reduce(np.where(pooled, names, 0), axis=1)
    total: NDArray[np.int64] = pooled.sum(axis=1) - np.bitwise_count(distinct)
    return total


@cache
def _cell_peaks() -> NDArray[np.int64]:
    """Most tensors alive at once in a cell of each of the 3^6 patterns of edges, (729,)."""
    patterns = itertools.product((_ABSENT, _ALIAS, _TENSOR), repeat=len(EDGES))
    return np.array([_cell_peak(pattern) for pattern in patterns])


def _cell_peak(pattern: tuple[int, ...]) -> int:
    """Run a cell whose tensors have one element. A node that is read but gets nothing holds zeros."""
    layer = LayerShape(operator="conv", in_channels=1, out_channels=1, in_size=1)
    add = dataclasses.replace(layer, operator="add")
    tape = Tape(1)
    nodes: list[int | None] = [INPUT, None, None, None]
    for (source, target), role in zip(EDGES, pattern, strict=True):
        if role == _ABSENT:
            continue
        origin = nodes[source]
        if origin is None:
            origin = nodes[source] = tape.zeros(1)
        value = tape.run(layer, origin) if role == _TENSOR else origin
        before = nodes[target]
        nodes[target] = value if before is None else tape.run(add, before, value)
    last = nodes[3]
    return tape.piece(tape.zeros(1) if last is None else last).peak


def _check(skeleton: Skeleton) -> None:
    for field in dataclasses.fields(skeleton):
        check_positive(field.name, getattr(skeleton, field.name))
    halvings = skeleton.n_stages - 1
    if skeleton.image_size % (1 << halvings):
        raise SpecError(
            f"skeleton: {skeleton.n_stages} stages halve the image {halvings} times, so image_size must be a multiple "
            f"of {1 << halvings}; got {skeleton.image_size}"
        )


def _name(skeleton: Skeleton) -> str:
    """Identity: every field that is not the benchmark's own is said."""
    usual = Skeleton(n_cells=skeleton.n_cells, channels=skeleton.channels)
    data = f"{skeleton.image_size}px{skeleton.n_classes}c"
    for dataset in DATASETS:
        known = Skeleton.for_dataset(dataset)
        if (skeleton.image_size, skeleton.n_classes) == (known.image_size, known.n_classes):
            data = dataset
    parts = ["nb201", f"n{skeleton.n_cells}c{skeleton.channels}"]
    parts += [f"s{skeleton.n_stages}"] if skeleton.n_stages != usual.n_stages else []
    parts += [data]
    parts += [f"{skeleton.image_channels}ch"] if skeleton.image_channels != usual.image_channels else []
    return "-".join(parts)
