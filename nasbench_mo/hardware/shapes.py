"""What a layer costs depends on its shape alone: operator, channels, pixels, kernel, stride, groups."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from nasbench_mo.errors import SpecError

Operator = Literal["conv", "avg_pool", "add", "global_pool", "linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """One layer of a network, batch 1. Normalisation and activation are taken to be folded into it.

    Parameters
    ----------
    operator
        ``conv`` (grouped and depthwise too), ``avg_pool``, ``add`` of two inputs of one shape, ``global_pool`` or
        ``linear``.
    in_channels, out_channels
        Channels C and K; equal for ``avg_pool``, ``add`` and ``global_pool``.
    in_size
        Height and width of the input in pixels.
    kernel, stride
        Of a convolution or a pooling; 1 elsewhere. Padding keeps ``out_size = ceil(in_size / stride)``.
    groups
        Of a convolution; C for a depthwise one.
    """

    operator: Operator
    in_channels: int
    out_channels: int
    in_size: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        if self.operator not in get_args(Operator):
            raise SpecError(f"unknown operator {self.operator!r}; known: {', '.join(get_args(Operator))}")
        for name, value in asdict(self).items():
            if name != "operator" and (not isinstance(value, int) or value < 1):
                raise SpecError(f"layer shape: {name} must be a positive integer, got {value!r}")
        if self.operator == "conv" and (self.in_channels % self.groups or self.out_channels % self.groups):
            raise SpecError(
                f"layer shape: {self.groups} groups must divide {self.in_channels} and {self.out_channels} channels"
            )

    @property
    def out_size(self) -> int:
        """Height and width of the output in pixels."""
        return 1 if self.operator == "global_pool" else -(-self.in_size // self.stride)

    @property
    def macs(self) -> int:
        """Multiply-accumulates; additions of pooling and ``add`` are not counted."""
        if self.operator not in ("conv", "linear"):
            return 0
        per_output = self.in_channels // self.groups * self.kernel**2
        return self.out_size**2 * self.out_channels * per_output

    @property
    def weights(self) -> int:
        """Weights without biases and normalisation."""
        if self.operator not in ("conv", "linear"):
            return 0
        return self.out_channels * self.in_channels // self.groups * self.kernel**2

    @property
    def inputs(self) -> int:
        """Elements read: one input, two for ``add``."""
        return self.in_channels * self.in_size**2 * (2 if self.operator == "add" else 1)

    @property
    def outputs(self) -> int:
        """Elements written."""
        return self.out_channels * self.out_size**2


def shape_name(shape: LayerShape) -> str:
    """A layer shape as the name of a table row, e.g. ``conv_16x32_in32_k3_s2``; groups only where there are some."""
    name = f"{shape.operator}_{shape.in_channels}x{shape.out_channels}_in{shape.in_size}"
    name += f"_k{shape.kernel}_s{shape.stride}"
    return name if shape.groups == 1 else f"{name}_g{shape.groups}"
