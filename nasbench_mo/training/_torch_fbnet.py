"""FBNet's networks as torch modules. Importing this file imports torch.

Wu et al., "FBNet", CVPR 2019; Li et al., "HW-NAS-Bench", ICLR 2021. Layers, activations and initial weights are those
of the latter's ``hw_nas_bench_api/fbnet_models/model_infer.py`` (GATECH-EIC/HW-NAS-Bench, MIT).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from nasbench_mo.hardware.workload.base import check_space
from nasbench_mo.hardware.workload.fbnet import KERNEL_EXPANSION_GROUPS, LAYERS
from nasbench_mo.hardware.workload.mobile import MobileSkeleton, Place
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.fbnet import BLOCKS, FBNet
from nasbench_mo.training._torch_mobile import InvertedResidual, MobileNetwork, conv_norm, initialise, layer_places

#: Standard deviation of the classifier's initial weights.
_CLASSIFIER_DEVIATION = 0.001


def fbnet_network(
    search_space: SearchSpace, encoding: tuple[int, ...], *, skeleton: MobileSkeleton, pruned: bool
) -> MobileNetwork:
    """The network of 22 blocks. Nothing in it is ever dead, so ``pruned`` changes nothing."""
    check_space(search_space, FBNet)
    places = layer_places(skeleton, LAYERS)
    blocks = [_block(BLOCKS[code], place) for code, place in zip(encoding, places, strict=True)]
    network = MobileNetwork(skeleton, blocks, activation=nn.ReLU)
    initialise(network, classifier=_narrow_normal)
    return network


def _block(block: str, place: Place) -> nn.Module:
    if block in KERNEL_EXPANSION_GROUPS:
        kernel, expansion, groups = KERNEL_EXPANSION_GROUPS[block]
        return InvertedResidual(place, expansion=expansion, kernel=kernel, groups=groups)
    if place.keeps_shape:
        return nn.Identity()
    return conv_norm(place.in_channels, place.out_channels, stride=place.stride, activation=nn.ReLU)


def _narrow_normal(weight: Any) -> None:
    nn.init.normal_(weight, std=_CLASSIFIER_DEVIATION)
