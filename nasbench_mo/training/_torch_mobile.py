"""What the networks of the mobile spaces share, as torch classes. Importing this file imports torch.

Sandler et al., "MobileNetV2", CVPR 2018 (the inverted residual); Hu et al., "Squeeze-and-Excitation Networks", CVPR
2018; Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016. The layers, their order and their sizes are those
that :mod:`nasbench_mo.hardware.workload.mobile` counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from nasbench_mo.hardware.workload.mobile import MobileSkeleton, Place, stage_places


class MobileNetwork(nn.Module):  # type: ignore[misc, unused-ignore]
    """Stem, searched blocks, 1x1 head, classifier after global average pooling.

    Parameters
    ----------
    skeleton
        What stands around the blocks.
    blocks
        From stem to head.
    activation
        Of stem and head.
    dropout
        Share of the classifier's inputs that training drops.
    """

    def __init__(
        self, skeleton: MobileSkeleton, blocks: Sequence[nn.Module], *, activation: type[nn.Module], dropout: float = 0
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.stem = conv_norm(
            skeleton.image_channels,
            skeleton.stem_channels,
            kernel=3,
            stride=skeleton.stem_stride,
            activation=activation,
        )
        self.blocks = nn.Sequential(*blocks)
        self.head = conv_norm(skeleton.channels[-1], skeleton.head_channels, activation=activation)
        self.last = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *([nn.Dropout(dropout)] if dropout else []))
        self.classifier = nn.Linear(skeleton.head_channels, skeleton.n_classes)

    def forward(self, images: Any) -> Any:
        """Logits (b, classes) of images (b, c, h, w)."""
        return self.classifier(self.last(self.head(self.blocks(self.stem(images)))))


class InvertedResidual(nn.Module):  # type: ignore[misc, unused-ignore]
    """1x1 expansion, depthwise convolution, 1x1 projection; the input is added where the shapes agree.

    Parameters
    ----------
    place
        The tensor it reads and the one it leaves.
    expansion, kernel, groups, squeezed, expands_by_one
        As of :func:`nasbench_mo.hardware.workload.mobile.inverted_residual`. Channels are shuffled between the groups.
    activation
        After the first two convolutions and inside squeeze-and-excitation.
    drop
        Probability that training leaves the block out for an image, where the input is added.
    """

    def __init__(
        self,
        place: Place,
        *,
        expansion: int,
        kernel: int,
        groups: int = 1,
        squeezed: int = 0,
        expands_by_one: bool = True,
        activation: type[nn.Module] = nn.ReLU,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        middle = place.in_channels * expansion
        layers: list[nn.Module] = []
        if expansion > 1 or expands_by_one:
            layers.append(conv_norm(place.in_channels, middle, groups=groups, activation=activation))
        if groups > 1:
            layers.append(Shuffle(groups))
        layers.append(
            conv_norm(middle, middle, kernel=kernel, stride=place.stride, groups=middle, activation=activation)
        )
        if squeezed:
            layers.append(Excitation(middle, squeezed, activation=activation))
        layers.append(conv_norm(middle, place.out_channels, groups=groups, activation=None))
        self.inner = nn.Sequential(*layers)
        self.drop = StochasticDepth(drop) if place.keeps_shape else None

    def forward(self, x: Any) -> Any:
        """The block's output, (b, out_channels, h', w')."""
        return self.inner(x) if self.drop is None else self.drop(self.inner(x)) + x


class Excitation(nn.Module):  # type: ignore[misc, unused-ignore]
    """Squeeze-and-excitation: every channel times a factor that global pooling and two linear layers give it."""

    def __init__(self, channels: int, squeezed: int, *, activation: type[nn.Module]) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),  # on one pixel: a linear layer
            activation(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Any) -> Any:
        """Scaled x."""
        return self.factors(x) * x


class Shuffle(nn.Module):  # type: ignore[misc, unused-ignore]
    """Interleave the channels of some groups, so that the next grouped layer sees all of them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Any) -> Any:
        """Channel i of group g becomes channel i * groups + g."""
        b, c, h, w = x.shape
        return x.reshape(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)


class StochasticDepth(nn.Module):  # type: ignore[misc, unused-ignore]
    """While training, zeros for an image with some probability; the others are scaled up to keep the mean."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.keep = 1.0 - drop

    def forward(self, x: Any) -> Any:
        """X, or x with some images zeroed."""
        if not self.training or self.keep == 1.0:
            return x
        kept = torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(self.keep)
        return x * (kept / self.keep)


def conv_norm(
    narrow: int,
    wide: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None,
) -> nn.Sequential:
    """Convolution without bias, batch normalisation, and an activation or none."""
    convolution = nn.Conv2d(narrow, wide, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide), *([activation()] if activation else []))


def layer_places(skeleton: MobileSkeleton, layers: Sequence[int]) -> Iterator[Place]:
    """Where each layer stands, given the layers of each stage."""
    for n_layers, (first, other) in zip(layers, stage_places(skeleton), strict=True):
        yield from (first, *[other] * (n_layers - 1))


def initialise(network: nn.Module, *, classifier: Any) -> None:
    """He et al.'s normal weights over the fan-out for convolutions, biases zero.

    Parameters
    ----------
    network
        Its weights are written.
    classifier
        Called with the weight of the linear layer.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if isinstance(module, nn.Linear):
                classifier(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
