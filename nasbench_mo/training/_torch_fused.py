"""Many networks of one skeleton as one: grouped operations over (b, k, c, h, w). Importing this file imports torch.

Network i owns block i of the channels of every tensor. An operation on an edge runs once for all networks that have it
there: a convolution with one group a network, a batch normalisation over all their channels. No network sees another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from nasbench_mo.space.nb201 import AVG_POOL, EDGES, NONE, SKIP, Skeleton


class FusedNetworks(nn.Module):  # type: ignore[misc, unused-ignore]
    """K networks of :class:`nasbench_mo.training._torch_modules.Network` with their weights, side by side."""

    def __init__(self, networks: Sequence[Any], cells: Sequence[tuple[int, ...]], skeleton: Skeleton) -> None:
        super().__init__()
        self.k = len(networks)
        self.stem = FusedConvBN([n.stem for n in networks], shared_input=True)
        blocks: list[nn.Module] = []
        for position, first in enumerate(networks[0].blocks):
            parts = [n.blocks[position] for n in networks]
            blocks.append(FusedReduction(parts) if hasattr(first, "shortcut") else FusedCell(parts, cells))
        self.blocks = nn.ModuleList(blocks)
        self.last = FusedBatchNorm([n.last[0] for n in networks])
        self.weight = nn.Parameter(torch.stack([n.classifier.weight.detach() for n in networks]))
        self.bias = nn.Parameter(torch.stack([n.classifier.bias.detach() for n in networks]))

    def forward(self, images: Any) -> Any:
        """Logits (b, k, classes) of images (b, c, h, w)."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        pooled = functional.relu(self.last(x)).mean(dim=(2, 3)).unflatten(1, (self.k, -1))
        return torch.einsum("bkc,koc->bko", pooled, self.weight) + self.bias


class FusedCell(nn.Module):  # type: ignore[misc, unused-ignore]
    """One cell of each network; a node is the sum of its incoming operations, in the order of a single network."""

    def __init__(self, parts: Sequence[Any], cells: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.k = len(parts)
        self.plan: list[tuple[int, int, int, str]] = []
        for edge, (source, target) in enumerate(EDGES):
            for op in sorted({cell[edge] for cell in cells} - {NONE}):
                members = [i for i, cell in enumerate(cells) if cell[edge] == op]
                name = f"edge_{source}_{target}_{op}"
                self.register_buffer(f"{name}_members", torch.tensor(members), persistent=False)
                if op not in (SKIP, AVG_POOL):
                    self.add_module(name, FusedConvBN([parts[i].get_submodule(name[:8]) for i in members]))
                self.plan.append((source, target, op, name))

    def forward(self, x: Any) -> Any:
        """The values of the last nodes, (b, k * c, h, w)."""
        nodes: list[Any] = [x.unflatten(1, (self.k, -1)), None, None, None]
        for source, target, op, name in self.plan:
            members = getattr(self, f"{name}_members")
            whole = len(members) == self.k
            value = (nodes[source] if whole else nodes[source].index_select(1, members)).flatten(1, 2)
            if op == AVG_POOL:
                value = functional.avg_pool2d(value, 3, stride=1, padding=1, count_include_pad=False)
            elif op != SKIP:
                value = self.get_submodule(name)(functional.relu(value))
            value = value.unflatten(1, (len(members), -1))
            if whole:
                nodes[target] = value if nodes[target] is None else nodes[target] + value
            else:
                base = torch.zeros_like(nodes[0]) if nodes[target] is None else nodes[target]
                nodes[target] = base.index_add(1, members, value)
        return nodes[3].flatten(1, 2)


class FusedReduction(nn.Module):  # type: ignore[misc, unused-ignore]
    """The residual blocks between two stages."""

    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__()
        self.first = FusedConvBN([p.first for p in parts])
        self.second = FusedConvBN([p.second for p in parts])
        self.shortcut = FusedConvBN([p.shortcut for p in parts])

    def forward(self, x: Any) -> Any:
        """Two convolutions plus the pooled shortcut."""
        inner = self.second(functional.relu(self.first(functional.relu(x))))
        return inner + self.shortcut(functional.avg_pool2d(x, 2))


class FusedConvBN(nn.Module):  # type: ignore[misc, unused-ignore]
    """The convolution, and the batch normalisation where there is one, of some sequences."""

    def __init__(self, parts: Sequence[Any], *, shared_input: bool = False) -> None:
        super().__init__()
        convolutions = [next(m for m in p if isinstance(m, nn.Conv2d)) for p in parts]
        norms = [m for p in parts for m in p if isinstance(m, nn.BatchNorm2d)]
        self.weight = nn.Parameter(torch.cat([c.weight.detach() for c in convolutions]))
        self.stride, self.padding = convolutions[0].stride, convolutions[0].padding
        self.groups = 1 if shared_input else len(parts)
        self.norm = FusedBatchNorm(norms) if norms else nn.Identity()

    def forward(self, x: Any) -> Any:
        """Values (b, k * c', h', w') of (b, k * c, h, w), or of (b, c, h, w) where all share their input."""
        return self.norm(
            functional.conv2d(x, self.weight, stride=self.stride, padding=self.padding, groups=self.groups)
        )


class FusedBatchNorm(nn.BatchNorm2d):  # type: ignore[misc, unused-ignore]
    """Batch normalisations side by side."""

    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__(sum(p.num_features for p in parts), eps=parts[0].eps, momentum=parts[0].momentum)
        with torch.no_grad():
            self.weight.copy_(torch.cat([p.weight for p in parts]))
            self.bias.copy_(torch.cat([p.bias for p in parts]))
