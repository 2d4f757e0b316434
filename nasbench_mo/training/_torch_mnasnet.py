"""Accel-NASBench's MnasNet-like networks as torch modules. Importing this file imports torch.

Tan et al., "MnasNet", CVPR 2019; Ahmad et al., "Accel-NASBench". Layers, activation (SiLU, which they have on GPUs),
dropout, stochastic depth and initial weights are those of ``models/accelbenchnet.py`` of afzalxo/ANB-DatasetCollection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from nasbench_mo.hardware.workload.base import check_space
from nasbench_mo.hardware.workload.mnasnet import PER_BLOCK, SQUEEZE
from nasbench_mo.hardware.workload.mobile import MobileSkeleton, stage_places
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.mnasnet import MnasNet
from nasbench_mo.training._torch_mobile import InvertedResidual, MobileNetwork, initialise

_DROPOUT = 0.2
#: Of a layer behind the last one; it grows linearly from 0 at the first.
_STOCHASTIC_DEPTH = 0.2


def mnasnet_network(
    search_space: SearchSpace, encoding: tuple[int, ...], *, skeleton: MobileSkeleton, pruned: bool
) -> MobileNetwork:
    """The network of seven blocks of layers. Nothing in it is ever dead, so ``pruned`` changes nothing."""
    check_space(search_space, MnasNet)
    values = [int(v.values[code]) for v, code in zip(search_space.variables, encoding, strict=True)]
    network = MobileNetwork(skeleton, list(_layers(skeleton, values)), activation=nn.SiLU, dropout=_DROPOUT)
    initialise(network, classifier=_uniform)
    return network


def _layers(skeleton: MobileSkeleton, values: list[int]) -> Iterator[InvertedResidual]:
    """Every block's layers; an expansion of 1 has no 1x1 convolution before it."""
    chosen = [values[i : i + PER_BLOCK] for i in range(0, len(values), PER_BLOCK)]
    n_all = sum(n_layers for _, _, n_layers, _ in chosen)
    before = 0
    for (expansion, kernel, n_layers, excited), (first, other) in zip(chosen, stage_places(skeleton), strict=True):
        for place in (first, *[other] * (n_layers - 1)):
            yield InvertedResidual(
                place,
                expansion=expansion,
                kernel=kernel,
                squeezed=max(1, place.in_channels // SQUEEZE) if excited else 0,
                expands_by_one=False,
                activation=nn.SiLU,
                drop=_STOCHASTIC_DEPTH * before / n_all,
            )
            before += 1


def _uniform(weight: Any) -> None:
    bound = weight.shape[0] ** -0.5
    nn.init.uniform_(weight, -bound, bound)
