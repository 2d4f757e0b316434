"""Layers of FBNet's networks, in HW-NAS-Bench's skeletons for CIFAR-100 and ImageNet.

Wu et al., "FBNet", CVPR 2019; Li et al., "HW-NAS-Bench", ICLR 2021. Widths, strides and blocks are those of the
latter's ``hw_nas_bench_api/fbnet_models/model_infer.py`` (GATECH-EIC/HW-NAS-Bench, MIT), which calls its CIFAR strides
unofficial. No source publishes parameters or operations of this space's networks one by one, so the skeletons rest on
that code; FBNet-A comes within 1 % of the 249 million multiply-accumulates that Wu et al. state.
"""

from __future__ import annotations

from typing import Final

from nasbench_mo.hardware.workload.base import Workload, check_space
from nasbench_mo.hardware.workload.chain import ChainWorkload, Position
from nasbench_mo.hardware.workload.mobile import (
    MobileSkeleton,
    Place,
    choose_skeleton,
    head,
    inverted_residual,
    pointwise,
    stage_places,
    stem,
)
from nasbench_mo.hardware.workload.tape import INPUT, Piece, Tape
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.fbnet import BLOCKS, FBNet

#: Searched layers of each stage.
LAYERS: Final = (1, 4, 4, 4, 4, 4, 1)
SKELETONS: Final = {
    "cifar100": MobileSkeleton(
        image_size=32,
        n_classes=100,
        stem_channels=16,
        stem_stride=1,
        channels=(16, 24, 32, 64, 112, 184, 352),
        strides=(1, 1, 2, 2, 1, 2, 1),
        head_channels=1504,
    ),
    "imagenet": MobileSkeleton(
        image_size=224,
        n_classes=1000,
        stem_channels=16,
        stem_stride=2,
        channels=(16, 24, 32, 64, 112, 184, 352),
        strides=(1, 2, 2, 2, 1, 2, 1),
        head_channels=1984,
    ),
}
#: Kernel, expansion and groups of a block; a skip has none.
KERNEL_EXPANSION_GROUPS: Final = {
    "k3_e1": (3, 1, 1),
    "k3_e1_g2": (3, 1, 2),
    "k3_e3": (3, 3, 1),
    "k3_e6": (3, 6, 1),
    "k5_e1": (5, 1, 1),
    "k5_e1_g2": (5, 1, 2),
    "k5_e3": (5, 3, 1),
    "k5_e6": (5, 6, 1),
}


def fbnet_workload(search_space: SearchSpace, *, dataset: str | None, skeleton: object | None) -> Workload:
    """Workload of FBNet: data sets ``cifar100`` and ``imagenet``, or a skeleton of seven stages."""
    check_space(search_space, FBNet)
    name, net = choose_skeleton(search_space.name, SKELETONS, dataset=dataset, skeleton=skeleton)
    places = [
        place
        for n_layers, (first, other) in zip(LAYERS, stage_places(net), strict=True)
        for place in (first, *[other] * (n_layers - 1))
    ]
    blocks = [
        Position(columns=(layer,), choices=tuple(_block(block, place) for block in BLOCKS))
        for layer, place in enumerate(places)
    ]
    return ChainWorkload(search_space, name=name, positions=[stem(net), *blocks, head(net)])


def _block(block: str, place: Place) -> Piece:
    tape = Tape(place.elements)
    if block in KERNEL_EXPANSION_GROUPS:
        kernel, expansion, groups = KERNEL_EXPANSION_GROUPS[block]
        return tape.piece(inverted_residual(tape, INPUT, place, expansion=expansion, kernel=kernel, groups=groups))
    return tape.piece(INPUT if place.keeps_shape else tape.run(pointwise(place), INPUT))
