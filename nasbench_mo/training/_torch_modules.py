"""The torch classes of :mod:`nasbench_mo.training.network`. Importing this file imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nasbench_mo.errors import ArchitectureError
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.nb201 import AVG_POOL, CONV1X1, CONV3X3, EDGES, NB201, NONE, SKIP, Skeleton


def nb201_network(search_space: SearchSpace, encoding: tuple[int, ...], *, skeleton: Skeleton, pruned: bool) -> Network:
    """The network of a cell, without its dead operations or as published."""
    if not isinstance(search_space, NB201):
        raise ArchitectureError("the space registered as 'nb201' is not NAS-Bench-201")
    built = search_space.live([encoding])[0].tolist() if pruned else encoding
    return Network(tuple(built), skeleton, published=not pruned)


class Network(nn.Module):  # type: ignore[misc, unused-ignore]
    """Stem, stages of cells with reductions between, classifier.

    Parameters
    ----------
    cell
        Six operation codes.
    skeleton
        What stands around the cells.
    published
        Compute every edge, zeros included; see :class:`Cell`.
    """

    def __init__(self, cell: tuple[int, ...], skeleton: Skeleton, *, published: bool = False) -> None:
        super().__init__()
        self.skeleton = skeleton
        width = skeleton.channels
        self.stem = nn.Sequential(
            nn.Conv2d(skeleton.image_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        blocks: list[nn.Module] = []
        for stage in range(skeleton.n_stages):
            if stage:
                blocks.append(Reduction(width))
                width *= 2
            blocks += [Cell(cell, width, published=published) for _ in range(skeleton.n_cells)]
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(width, skeleton.n_classes)

    def forward(self, images: Any) -> Any:
        """Logits (b, classes) of images (b, c, h, w)."""
        return self.classifier(self.last(self.blocks(self.stem(images))))


class Cell(nn.Module):  # type: ignore[misc, unused-ignore]
    """Four nodes; a node is the sum of its incoming operations.

    Parameters
    ----------
    operations
        Codes of the six edges.
    width
        Channels.
    published
        ``none`` is an operation that puts out zeros, as in the published code, so every node has a value and every
        parameter a gradient. Otherwise an edge without an operation, or from a node that gets nothing, is left out.
    """

    def __init__(self, operations: tuple[int, ...], width: int, *, published: bool = False) -> None:
        super().__init__()
        self.plan = [(edge, op) for edge, op in zip(EDGES, operations, strict=True) if published or op != NONE]
        for (source, target), op in self.plan:
            self.add_module(f"edge_{source}_{target}", operation(op, width))

    def forward(self, x: Any) -> Any:
        """The value of the last node, of x's shape."""
        nodes: list[Any] = [x, None, None, None]
        for (source, target), _ in self.plan:
            if nodes[source] is None:
                continue
            value = self.get_submodule(f"edge_{source}_{target}")(nodes[source])
            nodes[target] = value if nodes[target] is None else nodes[target] + value
        return torch.zeros_like(x) if nodes[3] is None else nodes[3]


class Zeros(nn.Module):  # type: ignore[misc, unused-ignore]
    """The published ``none``: a product with zero, through which gradients flow as zeros."""

    def forward(self, x: Any) -> Any:
        """Zeros of x's shape."""
        return x * 0.0


class Reduction(nn.Module):  # type: ignore[misc, unused-ignore]
    """The residual block between two stages: half the pixels, twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = relu_conv_bn(width, 2 * width, kernel=3, stride=2)
        self.second = relu_conv_bn(2 * width, 2 * width, kernel=3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(width, 2 * width, 1, bias=False))

    def forward(self, x: Any) -> Any:
        """Two convolutions plus the pooled shortcut."""
        return self.second(self.first(x)) + self.shortcut(x)


def operation(code: int, width: int) -> nn.Module:
    """One operation between two nodes."""
    if code == NONE:
        return Zeros()
    if code == SKIP:
        return nn.Identity()
    if code == AVG_POOL:
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return relu_conv_bn(width, width, kernel={CONV1X1: 1, CONV3X3: 3}[code])


def relu_conv_bn(narrow: int, wide: int, *, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution without bias, batch normalisation."""
    convolution = nn.Conv2d(narrow, wide, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(wide))
