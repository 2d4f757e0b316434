"""Skeleton and blocks that mobile networks share: stem, stages of inverted residuals, 1x1 head, classifier.

Sandler et al., "MobileNetV2", CVPR 2018 (the inverted residual); Hu et al., "Squeeze-and-Excitation Networks", CVPR
2018.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.hardware.workload.base import check_positive
from nasbench_mo.hardware.workload.chain import Position
from nasbench_mo.hardware.workload.tape import INPUT, Tape


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileSkeleton:
    """What a mobile network has around its searched blocks.

    Parameters
    ----------
    image_size, image_channels, n_classes
        Of the data; images are square.
    stem_channels, stem_stride
        Of the first 3x3 convolution.
    channels, strides
        Output channels of each stage, and the stride of its first layer.
    head_channels
        Of the 1x1 convolution before global pooling.

    Raises
    ------
    SpecError
        A size is not a positive integer, or channels and strides are not of equal length.
    """

    image_size: int
    n_classes: int
    stem_channels: int
    stem_stride: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    head_channels: int
    image_channels: int = 3

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                check_positive(field.name, item)
        if len(self.channels) != len(self.strides):
            raise SpecError(f"skeleton: {len(self.channels)} stages have channels but {len(self.strides)} have strides")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a layer stands: the tensor it reads and the one it must leave.

    Parameters
    ----------
    in_channels, out_channels
        Channels before and after.
    size
        Height and width of the input in pixels.
    stride
        Of the layer's one step down.
    """

    in_channels: int
    out_channels: int
    size: int
    stride: int

    @property
    def elements(self) -> int:
        """Elements of the input."""
        return self.in_channels * self.size**2

    @property
    def out_size(self) -> int:
        """Height and width of the output."""
        return -(-self.size // self.stride)

    @property
    def keeps_shape(self) -> bool:
        """Whether output and input can be added."""
        return self.stride == 1 and self.in_channels == self.out_channels


def inverted_residual(
    tape: Tape,
    x: int,
    place: Place,
    *,
    expansion: int,
    kernel: int,
    groups: int = 1,
    squeezed: int = 0,
    expands_by_one: bool = True,
) -> int:
    """Append 1x1 expansion, depthwise convolution and 1x1 projection, with a residual where the shapes agree.

    Parameters
    ----------
    tape, x, place
        Where to append, the tensor to read, and its shape.
    expansion, kernel
        Of the depthwise convolution in the middle.
    groups
        Of both 1x1 convolutions. The channel shuffle between them moves data and is not counted.
    squeezed
        Channels in the middle of squeeze-and-excitation, which stands before the projection: global pooling and two
        linear layers with biases. The multiplication by its result is taken to happen while the projection reads its
        input, as activations are: the factors are alive then, but no layer is counted. 0: there is none.
    expands_by_one
        Whether an expansion of 1 is a 1x1 convolution too; else it is left out.
    """
    middle = place.in_channels * expansion
    inner = x
    if expansion > 1 or expands_by_one:
        inner = tape.run(
            LayerShape(
                operator="conv",
                in_channels=place.in_channels,
                out_channels=middle,
                in_size=place.size,
                groups=groups,
            ),
            inner,
        )
    inner = tape.run(
        LayerShape(
            operator="conv",
            in_channels=middle,
            out_channels=middle,
            in_size=place.size,
            kernel=kernel,
            stride=place.stride,
            groups=middle,
        ),
        inner,
    )
    factors = (_excitation(tape, inner, channels=middle, squeezed=squeezed, size=place.out_size),) if squeezed else ()
    inner = tape.run(
        LayerShape(
            operator="conv",
            in_channels=middle,
            out_channels=place.out_channels,
            in_size=place.out_size,
            groups=groups,
        ),
        inner,
        *factors,
    )
    return tape.run(addition(place), inner, x) if place.keeps_shape else inner


def pointwise(place: Place) -> LayerShape:
    """The 1x1 convolution that stands for a skip where the tensor must change its shape."""
    return LayerShape(
        operator="conv",
        in_channels=place.in_channels,
        out_channels=place.out_channels,
        in_size=place.size,
        stride=place.stride,
    )


def addition(place: Place) -> LayerShape:
    """The addition of a residual."""
    return LayerShape(
        operator="add",
        in_channels=place.out_channels,
        out_channels=place.out_channels,
        in_size=place.out_size,
    )


def stage_places(skeleton: MobileSkeleton) -> Iterator[tuple[Place, Place]]:
    """Of each stage: the place of its first layer, and that of all the others."""
    channels, size = skeleton.stem_channels, -(-skeleton.image_size // skeleton.stem_stride)
    for wide, stride in zip(skeleton.channels, skeleton.strides, strict=True):
        first = Place(in_channels=channels, out_channels=wide, size=size, stride=stride)
        channels, size = wide, first.out_size
        yield first, Place(in_channels=wide, out_channels=wide, size=size, stride=1)


def stem(skeleton: MobileSkeleton) -> Position:
    """The 3x3 convolution that reads the image."""
    shape = LayerShape(
        operator="conv",
        in_channels=skeleton.image_channels,
        out_channels=skeleton.stem_channels,
        in_size=skeleton.image_size,
        kernel=3,
        stride=skeleton.stem_stride,
    )
    tape = Tape(shape.inputs)
    return Position(choices=(tape.piece(tape.run(shape, INPUT)),))


def head(skeleton: MobileSkeleton) -> Position:
    """1x1 convolution, global pooling and classifier."""
    *_, (_, last) = stage_places(skeleton)
    wide = skeleton.head_channels
    tape = Tape(last.elements)
    x = tape.run(LayerShape(operator="conv", in_channels=last.in_channels, out_channels=wide, in_size=last.size), INPUT)
    x = tape.run(LayerShape(operator="global_pool", in_channels=wide, out_channels=wide, in_size=last.size), x)
    x = tape.run(LayerShape(operator="linear", in_channels=wide, out_channels=skeleton.n_classes, in_size=1), x)
    return Position(choices=(tape.piece(x),))


def choose_skeleton(
    space: str,
    published: Mapping[str, MobileSkeleton],
    *,
    dataset: str | None,
    skeleton: object | None,
) -> tuple[str, MobileSkeleton]:
    """Name of the workload and its skeleton: the given one, or a data set's, or the first published.

    Raises
    ------
    SpecError
        The data set is not known, or the skeleton is none for mobile networks or has another number of stages.
    """
    if skeleton is None:
        known = next(iter(published)) if dataset is None else dataset
        if known not in published:
            raise SpecError(f"space {space!r} has skeletons for {', '.join(published)}; got data set {known!r}")
        return f"{space}-{known}", published[known]
    if not isinstance(skeleton, MobileSkeleton):
        raise SpecError(f"space {space!r} needs a MobileSkeleton, got {type(skeleton).__name__}")
    n_stages = len(next(iter(published.values())).channels)
    if len(skeleton.channels) != n_stages:
        raise SpecError(f"space {space!r} has {n_stages} stages; the skeleton has {len(skeleton.channels)}")
    for name, other in published.items():
        if skeleton == other:
            return f"{space}-{name}", skeleton
    digest = hashlib.sha256(repr(dataclasses.astuple(skeleton)).encode()).hexdigest()[:8]
    return f"{space}-{skeleton.image_size}px{skeleton.n_classes}c-{digest}", skeleton


def _excitation(tape: Tape, x: int, *, channels: int, squeezed: int, size: int) -> int:
    """Factors of the channels of x: global pooling and two linear layers."""
    pooled = tape.run(LayerShape(operator="global_pool", in_channels=channels, out_channels=channels, in_size=size), x)
    narrow = tape.run(LayerShape(operator="linear", in_channels=channels, out_channels=squeezed, in_size=1), pooled)
    return tape.run(LayerShape(operator="linear", in_channels=squeezed, out_channels=channels, in_size=1), narrow)
