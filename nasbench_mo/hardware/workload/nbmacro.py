"""Layers of NAS-Bench-Macro's networks.

Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021. Widths, strides and blocks are
those of the authors' ``train/model.py`` (xiusu/NAS-Bench-Macro, Apache-2.0); parameters and multiply-accumulates of all
6,561 networks equal the published ones.
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
from nasbench_mo.space.nbmacro import BLOCKS, NBMacro

#: Searched layers of each stage; the first halves the pixels and doubles the channels.
LAYERS: Final = (2, 3, 3)
SKELETONS: Final = {
    "cifar10": MobileSkeleton(
        image_size=32,
        n_classes=10,
        stem_channels=32,
        stem_stride=1,
        channels=(64, 128, 256),
        strides=(2, 2, 2),
        head_channels=1280,
    )
}
#: Expansion and kernel of a block; the identity has none.
EXPANSION_KERNEL: Final = {"MB3_K3": (3, 3), "MB6_K5": (6, 5)}


def nbmacro_workload(search_space: SearchSpace, *, dataset: str | None, skeleton: object | None) -> Workload:
    """Workload of NAS-Bench-Macro: data set ``cifar10``, or a skeleton of three stages."""
    check_space(search_space, NBMacro)
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
    if block in EXPANSION_KERNEL:
        expansion, kernel = EXPANSION_KERNEL[block]
        return tape.piece(inverted_residual(tape, INPUT, place, expansion=expansion, kernel=kernel))
    return tape.piece(INPUT if place.keeps_shape else tape.run(pointwise(place), INPUT))
