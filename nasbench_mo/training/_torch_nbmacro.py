"""NAS-Bench-Macro's networks as torch modules. Importing this file imports torch.

Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021. Layers, activations and initial
weights (torch's own) are those of the authors' ``train/model.py`` (xiusu/NAS-Bench-Macro, Apache-2.0).
"""

from __future__ import annotations

from torch import nn

from nasbench_mo.hardware.workload.base import check_space
from nasbench_mo.hardware.workload.mobile import MobileSkeleton, Place
from nasbench_mo.hardware.workload.nbmacro import EXPANSION_KERNEL, LAYERS
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.nbmacro import BLOCKS, NBMacro
from nasbench_mo.training._torch_mobile import InvertedResidual, MobileNetwork, conv_norm, layer_places


def nbmacro_network(
    search_space: SearchSpace, encoding: tuple[int, ...], *, skeleton: MobileSkeleton, pruned: bool
) -> MobileNetwork:
    """The network of eight blocks. Nothing in it is ever dead, so ``pruned`` changes nothing."""
    check_space(search_space, NBMacro)
    places = layer_places(skeleton, LAYERS)
    blocks = [_block(BLOCKS[code], place) for code, place in zip(encoding, places, strict=True)]
    return MobileNetwork(skeleton, blocks, activation=nn.ReLU)


def _block(block: str, place: Place) -> nn.Module:
    if block in EXPANSION_KERNEL:
        expansion, kernel = EXPANSION_KERNEL[block]
        return InvertedResidual(place, expansion=expansion, kernel=kernel)
    if place.keeps_shape:
        return nn.Identity()
    return conv_norm(place.in_channels, place.out_channels, stride=place.stride, activation=None)
