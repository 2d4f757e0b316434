"""What an FPGA design takes of its part, whether it fits, and what power it draws.

Not modelled: processor interface, DMA and control logic, routing congestion, the clock rate that can be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import DesignError
from nasbench_mo.hardware.fpga_design import Designs, Floats, FpgaConfig, Ints, Layers, ceil_div
from nasbench_mo.hardware.fpga_parts import PARTS
from nasbench_mo.hardware.shapes import LayerShape

#: Width and depth of the memories that one 18 Kbit block RAM can be (Xilinx UG473, as fpgaConvNet uses them).
BRAM18_SHAPES = ((1, 16_384), (2, 8_192), (4, 4_096), (9, 2_048), (18, 1_024), (36, 512))
#: Smaller memories are made of look-up tables, as in fpgaConvNet; those look-up tables are not counted.
LUTRAM_BITS = 1_024

#: LUT and FF of a pair of input and output streams at 16 bit: fixed part, and part per unrolled window element. Solved
#: from two points measured on fpgaConvNet's resource regression, per multiplier: 460 LUT and 285 FF where the window is
#: not unrolled; 60 to 90 LUT and 68 to 104 FF (middle: 75 and 86) where 9 elements are. Hence a + b = 460 and
#: a + 9 b = 9 * 75, and the same for FF.
LUT_PER_PAIR, LUT_PER_ELEMENT = 433.125, 26.875
FF_PER_PAIR, FF_PER_ELEMENT = 223.875, 61.125
#: The figures above are of 16 bit; other precisions are taken as proportional (assumption).
REFERENCE_BITS = 16

# Power. Assumption, all of it, but for one number: in HW-NAS-Bench (Li et al., ICLR 2021) energy / latency on its ZC706
# is exactly 7.0 W in all 15 printed samples. We take that as the power of a design that uses every DSP, block RAM and
# LUT of the ZC706 at 200 MHz with idle external memory, and share its dynamic part among them.
FULL_DESIGN_W = 7.0
FULL_DESIGN_MHZ = 200.0
#: Shares of DSP, block RAM and LUT in dynamic power (assumption).
POWER_SHARES = {"dsp": 0.5, "bram18": 0.25, "lut": 0.25}
_DYNAMIC_W_PER_MHZ = (FULL_DESIGN_W - PARTS["zc706"].static_w) / FULL_DESIGN_MHZ
#: Watts per MHz and resource.
WATTS_PER_MHZ = {
    name: share * _DYNAMIC_W_PER_MHZ / getattr(PARTS["zc706"], name) for name, share in POWER_SHARES.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaResources:
    """What each design needs; every column is (h,) integers."""

    dsp: Ints
    bram18: Ints
    lut: Ints
    ff: Ints


def bram18_of_memory(width_bits: Ints, depth: Ints) -> Ints:
    """Block RAMs of memories of some width and depth (broadcast), in the shape that takes fewest.

    Memories of fewer than :data:`LUTRAM_BITS` bits take none.
    """
    counts = [-(-width_bits // w) * -(-depth // d) for w, d in BRAM18_SHAPES]
    return np.where(width_bits * depth < LUTRAM_BITS, 0, np.min(counts, axis=0))


def resources(shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> FpgaResources:
    """What each design needs to run each of the shapes, (h,).

    Memories are as large as the most demanding shape asks. A single engine holds the weights of Tm output channels; a
    pipelined design, which goes through a layer row by row, holds all weights of a layer. Both hold them twice, so
    that the next ones arrive meanwhile.
    """
    return _resources(Layers(shapes), Designs(configs))


def feasible(shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> NDArray[np.bool_]:
    """Which designs fit their part, (h,)."""
    _, ratio = _shortage(Layers(shapes), Designs(configs))
    fits: NDArray[np.bool_] = np.max(ratio, axis=0) <= 1
    return fits


def check_feasible(shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> None:
    """Refuse designs that do not fit their part.

    Raises
    ------
    DesignError
        The first design that does not fit, with the binding resource: the one that is exceeded by the largest factor.
    """
    refuse_infeasible(Layers(shapes), Designs(configs))


def refuse_infeasible(layers: Layers, designs: Designs) -> None:
    """:func:`check_feasible` on columns."""
    names, ratio = _shortage(layers, designs)
    failing = np.flatnonzero((ratio > 1).any(axis=0))
    if not failing.size:
        return
    h = int(failing[0])
    need = _resources(layers, designs)
    name = names[int(np.argmax(ratio[:, h]))]
    config = designs.configs[h]
    others = f" ({failing.size:,} of {len(designs):,} designs do not fit)" if failing.size > 1 else ""
    raise DesignError(
        f"design {h} ({config}) needs {int(getattr(need, name)[h]):,} {name.upper()}, {config.part.name} has "
        f"{int(designs.available[name][h]):,}; unroll less, lower the precision or take a larger part{others}"
    )


def power_w(shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> Floats:
    """Power of each design at work, (h,) watts, without what external memory adds per byte.

    P = P_static + f (k_dsp DSP + k_bram BRAM18 + k_lut LUT). Modelled; the coefficients are assumptions with one
    anchor, a full ZC706 at 7.0 W.

    Raises
    ------
    DesignError
        A design does not fit its part.
    """
    layers, designs = Layers(shapes), Designs(configs)
    refuse_infeasible(layers, designs)
    return design_power_w(_resources(layers, designs), designs)


def design_power_w(need: FpgaResources, designs: Designs) -> Floats:
    """:func:`power_w` of known resources."""
    per_mhz = sum((k * getattr(need, name) for name, k in WATTS_PER_MHZ.items()), np.zeros(len(designs)))
    return designs.static_w + designs.clock_mhz * designs.power_scale * per_mhz


def columns_power_w(layers: Layers, designs: Designs) -> Floats:
    """:func:`power_w` on columns, of designs that are known to fit."""
    return design_power_w(_resources(layers, designs), designs)


def _shortage(layers: Layers, designs: Designs) -> tuple[tuple[str, ...], Floats]:
    """Names of the resources, and how many times its part a design needs of each, (4, h)."""
    need = _resources(layers, designs)
    names = tuple(designs.available)
    return names, np.stack([getattr(need, name) / designs.available[name] for name in names])


def _resources(layers: Layers, designs: Designs) -> FpgaResources:
    tm, tn, tk, td = designs.unroll_out, designs.unroll_in, designs.unroll_kernel, designs.unroll_depthwise
    lanes = tm * tn * tk + np.where(designs.pipelined, tm * td, 0)
    scale = designs.bits / REFERENCE_BITS
    # The depthwise stage is Tm pairs of streams. Sums of pooling and addition run on the array of a single engine; a
    # pipelined design has one adder per element of the largest window for them, of one LUT and one FF a bit (the carry
    # chain of Xilinx' slices has one LUT a bit).
    window = np.max(np.where(layers.operator == "avg_pool", layers.window, layers.light))
    adders = tm * window * designs.bits

    def logic(per_pair: float, per_element: float) -> Ints:
        dense = tm * tn * (per_pair + per_element * tk)
        stages = tm * (per_pair + per_element * td) * scale + adders
        return np.ceil(dense * scale + np.where(designs.pipelined, stages, 0.0)).astype(np.int64)

    return FpgaResources(
        dsp=np.ceil(lanes * designs.dsp_per_mac).astype(np.int64),
        bram18=np.where(designs.pipelined, _pipelined_bram18(layers, designs), _engine_bram18(layers, designs)),
        lut=logic(LUT_PER_PAIR, LUT_PER_ELEMENT),
        ff=logic(FF_PER_PAIR, FF_PER_ELEMENT),
    )


def _engine_bram18(layers: Layers, designs: Designs) -> Ints:
    """Weights of Tm output channels, and the feature maps in as many banks as elements are read in one cycle."""
    passes = np.where(layers.dense, ceil_div(layers.channels_in // layers.groups, designs.unroll_in), 1)
    words = np.where(layers.light, 0, passes * ceil_div(layers.window, designs.unroll_kernel))
    lanes = designs.unroll_out * designs.unroll_in * designs.unroll_kernel
    # A depthwise layer reads Tm channels at once, a dense one Tn.
    channels = np.maximum(designs.unroll_out, designs.unroll_in)
    maps = _buffer_bram18(designs, banks=channels * designs.unroll_kernel)
    return 2 * bram18_of_memory(designs.bits * lanes, words.max(axis=0)) + maps


def _pipelined_bram18(layers: Layers, designs: Designs) -> Ints:
    """Weights of whole layers in two stages, line buffers of three, and the feature maps between blocks."""
    tm, tn, tk, td = designs.unroll_out, designs.unroll_in, designs.unroll_kernel, designs.unroll_depthwise
    bits = designs.bits
    per_group_in = ceil_div(layers.channels_in // layers.groups, tn)
    per_group_out = ceil_div(layers.channels_out // layers.groups, tm)
    dense_words = layers.groups * per_group_in * per_group_out * ceil_div(layers.window, tk)
    depthwise_words = ceil_div(layers.channels_out, tm) * ceil_div(layers.window, td)
    weights = bram18_of_memory(bits * tm * tn * tk, np.where(layers.dense, dense_words, 0).max(axis=0))
    weights = weights + bram18_of_memory(bits * tm * td, np.where(layers.depthwise, depthwise_words, 0).max(axis=0))
    lines = np.zeros(len(designs), dtype=np.int64)
    for stage, streams in ((layers.dense, tn), (layers.depthwise, tm), (layers.light, tm)):
        # One memory a stream holds the k - 1 rows above the current one; a global pooling needs none of them.
        rows = np.where(stage & np.isin(layers.operator, ("conv", "avg_pool")), layers.kernel - 1, 0)
        depth = layers.in_size * ceil_div(layers.channels_in, streams)
        lines = lines + streams * bram18_of_memory(bits * rows, depth).max(axis=0)
    return 2 * weights + lines + _buffer_bram18(designs, banks=tn)


def _buffer_bram18(designs: Designs, *, banks: Ints) -> Ints:
    """Two buffers of a feature map that deliver one element of each bank in a cycle."""
    width = designs.bits * banks
    return 2 * bram18_of_memory(width, ceil_div(designs.buffer_bits, width))
