"""Layers of the MnasNet-like networks of Accel-NASBench, for ImageNet.

Tan et al., "MnasNet", CVPR 2019; Ahmad et al., "Accel-NASBench". Widths and strides of the blocks are those of the
authors' ``configurationspaces/searchspaces.py`` (afzalxo/Accel-NASBench, Apache-2.0); stem, head and block are stated
in ``models/accelbenchnet.py`` of afzalxo/ANB-DatasetCollection. Parameters of all 5,138 published networks are
reproduced, and so are their published multiply-accumulates, once what these count besides :meth:`Workload.macs` is
added, at 224x224 pixels: four for each element of a batch normalisation, (pixels + 1) for each channel of a global
pooling. That rule was found from the values; the source does not state it.
"""

from __future__ import annotations

import itertools
from typing import Final

from nasbench_mo.hardware.workload.base import Workload, check_space
from nasbench_mo.hardware.workload.chain import ChainWorkload, Position
from nasbench_mo.hardware.workload.mobile import (
    MobileSkeleton,
    Place,
    choose_skeleton,
    head,
    inverted_residual,
    stage_places,
    stem,
)
from nasbench_mo.hardware.workload.tape import INPUT, Piece, Tape
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.mnasnet import MnasNet

SKELETONS: Final = {
    "imagenet": MobileSkeleton(
        image_size=224,
        n_classes=1000,
        stem_channels=32,
        stem_stride=2,
        channels=(16, 24, 40, 80, 112, 192, 320),
        strides=(1, 2, 2, 2, 1, 2, 1),
        head_channels=1280,
    )
}
#: Squeeze-and-excitation narrows to the layer's input channels over this.
SQUEEZE: Final = 4
#: Variables of one block: expansion, kernel, layers, squeeze-and-excitation.
PER_BLOCK: Final = 4


def mnasnet_workload(search_space: SearchSpace, *, dataset: str | None, skeleton: object | None) -> Workload:
    """Workload of Accel-NASBench's space: data set ``imagenet``, or a skeleton of seven stages."""
    check_space(search_space, MnasNet)
    name, net = choose_skeleton(search_space.name, SKELETONS, dataset=dataset, skeleton=skeleton)
    positions = [stem(net)]
    for block, (first, other) in enumerate(stage_places(net)):
        columns = tuple(range(PER_BLOCK * block, PER_BLOCK * (block + 1)))
        values = itertools.product(*(map(int, search_space.variables[j].values) for j in columns))
        choices = tuple(
            _block((first, *[other] * (n_layers - 1)), expansion=expansion, kernel=kernel, excited=bool(excited))
            for expansion, kernel, n_layers, excited in values
        )
        positions.append(Position(columns=columns, choices=choices))
    return ChainWorkload(search_space, name=name, positions=[*positions, head(net)])


def _block(places: tuple[Place, ...], *, expansion: int, kernel: int, excited: bool) -> Piece:
    """Layers of equal expansion, kernel and excitation; an expansion of 1 has no 1x1 convolution before it."""
    tape = Tape(places[0].elements)
    x = INPUT
    for place in places:
        squeezed = max(1, place.in_channels // SQUEEZE) if excited else 0
        x = inverted_residual(
            tape, x, place, expansion=expansion, kernel=kernel, squeezed=squeezed, expands_by_one=False
        )
    return tape.piece(x)
