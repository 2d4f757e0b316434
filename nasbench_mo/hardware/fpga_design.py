"""One FPGA design: a part, a style of execution, how far the loops are unrolled, precision and clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError, did_you_mean
from nasbench_mo.hardware.fpga_parts import DspKind, FpgaPart
from nasbench_mo.hardware.shapes import LayerShape

Style = Literal["single_engine", "pipelined"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Precisions in bits; 32 is floating point, the others are fixed point.
BITS = (4, 8, 16, 32)

#: DSP slices per multiply-accumulate, by kind of DSP and precision.
DSP_PER_MAC: dict[DspKind, dict[int, float]] = {
    # 16 bit fills one 25 x 18 multiplier. 8 bit: 1, conservative: the second product of Xilinx WP486 needs the wider
    # input of the E2. 4 bit: assumption, two products a slice. 32 bit: 3 for the product and 2 for the sum (Zhang et
    # al., FPGA 2015: 2,240 DSP for 64 x 7 floating-point lanes; unverified).
    "E1": {4: 0.5, 8: 1.0, 16: 1.0, 32: 5.0},
    # 8 bit: 2 products a slice (Xilinx WP486); 4 bit: 4 (the scheme that "DSP-Packing", Sommer et al., FPL 2022,
    # starts from). fpgaConvNet's resource regression, as measured for this project, gives the same 0.25, 0.5 and 1.
    "E2": {4: 0.25, 8: 0.5, 16: 1.0, 32: 5.0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaConfig:
    """A design on a part.

    Parameters
    ----------
    part
        What the design must fit.
    style
        ``"single_engine"``: one array of multipliers executes layer after layer. ``"pipelined"``: dense convolutions,
        depthwise convolutions and multiplier-free layers (pooling, addition) have a stage each, and the stages work at
        the same time on different rows of the feature maps.
    unroll_out, unroll_in, unroll_kernel
        Tm, Tn, Tk: output channels, input channels and window elements that are multiplied in one cycle. All three
        are of the only array, or of the dense stage; Tm also is the number of channels that the other stages take.
    unroll_depthwise
        Window elements a cycle of the depthwise stage; the single engine has none and ignores it.
    bits
        4, 8 or 16 (fixed point) or 32 (floating point), of weights and activations.
    clock_mhz
        Clock rate. Whether it can be reached is not modelled.
    buffer_kib
        On-chip buffer of one feature map, twice present (read one, write the other). A map that exceeds it lives in
        external memory.

    Raises
    ------
    SpecError
        A number is not positive, or precision or style are unknown.
    """

    part: FpgaPart
    style: Style
    unroll_out: int
    unroll_in: int
    unroll_kernel: int = 1
    unroll_depthwise: int = 9
    bits: int = 16
    clock_mhz: float = 200.0
    buffer_kib: int = 128

    def __post_init__(self) -> None:
        if not isinstance(self.part, FpgaPart):
            raise SpecError(f"FPGA design: part must be an FpgaPart, e.g. fpga_part('zc706'); got {self.part!r}")
        if self.style not in get_args(Style):
            raise SpecError(
                f"FPGA design: style must be one of {', '.join(get_args(Style))}; got {self.style!r}."
                f"{did_you_mean(str(self.style), get_args(Style))}"
            )
        for field in ("unroll_out", "unroll_in", "unroll_kernel", "unroll_depthwise", "buffer_kib"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpecError(f"FPGA design: {field} must be a positive integer, got {value!r}")
        if isinstance(self.bits, bool) or self.bits not in BITS:
            raise SpecError(
                f"FPGA design: bits must be one of {', '.join(map(str, BITS))}, where 32 is floating point; "
                f"got {self.bits!r}"
            )
        clock = self.clock_mhz
        if isinstance(clock, bool) or not isinstance(clock, int | float) or not 0 < clock < math.inf:
            raise SpecError(f"FPGA design: clock_mhz must be a positive number, got {clock!r}")

    def __str__(self) -> str:
        unrolls = f"{self.unroll_out}x{self.unroll_in}x{self.unroll_kernel}"
        if self.style == "pipelined":
            unrolls += f"+{self.unroll_out}x{self.unroll_depthwise}"
        return f"{self.style} {unrolls}, {self.bits} bit, {self.clock_mhz:g} MHz"


class Designs:
    """Configurations as columns (h,), so that formulas are written once and hold for all of them."""

    def __init__(self, configs: Sequence[FpgaConfig]) -> None:
        if not isinstance(configs, Sequence) or not configs:
            raise SpecError(f"expected a list of at least one FpgaConfig, got {configs!r}")
        for config in configs:
            if not isinstance(config, FpgaConfig):
                raise SpecError(f"expected a list of FpgaConfig, got {config!r} in it")

        def integers(path: str) -> Ints:
            read = attrgetter(path)
            return np.array([read(c) for c in configs], dtype=np.int64)

        def numbers(path: str) -> Floats:
            read = attrgetter(path)
            return np.array([read(c) for c in configs], dtype=np.float64)

        self.configs = tuple(configs)
        self.unroll_out, self.unroll_in = integers("unroll_out"), integers("unroll_in")
        self.unroll_kernel, self.unroll_depthwise = integers("unroll_kernel"), integers("unroll_depthwise")
        self.bits = integers("bits")
        self.clock_mhz = numbers("clock_mhz")
        self.buffer_bits = integers("buffer_kib") * 8192
        self.pipelined = np.array([c.style == "pipelined" for c in configs])
        self.ddr_gb_per_s = numbers("part.ddr_gb_per_s")
        self.static_w = numbers("part.static_w")
        self.power_scale = numbers("part.dynamic_power_scale")
        self.available = {name: integers(f"part.{name}") for name in ("dsp", "bram18", "lut", "ff")}
        self.dsp_per_mac: Floats = np.array([DSP_PER_MAC[c.part.dsp_kind][c.bits] for c in configs])

    def __len__(self) -> int:
        return len(self.configs)


class Layers:
    """Layer shapes as columns (s, 1), to be broadcast against designs (h,)."""

    def __init__(self, shapes: Sequence[LayerShape]) -> None:
        if not isinstance(shapes, Sequence) or not shapes:
            raise SpecError(f"expected a list of at least one LayerShape, got {shapes!r}")
        for shape in shapes:
            if not isinstance(shape, LayerShape):
                raise SpecError(f"expected a list of LayerShape, got {shape!r} in it")

        def column(name: str) -> Ints:
            return np.array([[getattr(s, name)] for s in shapes], dtype=np.int64)

        self.channels_in, self.channels_out = column("in_channels"), column("out_channels")
        self.groups, self.window = column("groups"), column("kernel") ** 2
        self.kernel, self.in_size, self.out_size = column("kernel"), column("in_size"), column("out_size")
        self.weights, self.inputs, self.outputs = column("weights"), column("inputs"), column("outputs")
        self.operator = np.array([[s.operator] for s in shapes])
        padding = np.maximum((self.out_size - 1) * column("stride") + self.kernel - self.in_size, 0)
        #: Rows and columns that pass through a line buffer: the input and its padding.
        self.padded_size = self.in_size + padding
        self.depthwise = (self.operator == "conv") & (self.groups == self.channels_in)
        self.dense = np.isin(self.operator, ("conv", "linear")) & ~self.depthwise
        #: Without multipliers: pooling and addition.
        self.light = ~self.dense & ~self.depthwise

    def __len__(self) -> int:
        return len(self.operator)


def ceil_div(a: Ints, b: Ints) -> Ints:
    """The quotient of positive integers, rounded up."""
    return -(-a // b)
