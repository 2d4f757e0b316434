"""FPGA accelerators, modelled: latency, throughput, energy and resources of a design, for every network at once.

An analytic model of our own. Nothing here was measured on a board, and no design was synthesised.

Two styles. A *single engine* executes layer after layer, so the latency of a network is the sum over its layers and
composes as ``counts (n, s) @ costs (s, h)``. A *pipelined* design has three stages that work at the same time: dense
convolutions, depthwise convolutions, layers without multipliers. Its latency is a largest value over stages and not a
sum over layers; :func:`latency_ms` says what composes and what does not.

Loops and unrolls are in the manner of Zhang et al., "Optimizing FPGA-based accelerator design for deep convolutional
neural networks", FPGA 2015; that several engines share a part and overlap, in that of Shen et al., "Maximizing CNN
accelerator efficiency through resource partitioning", ISCA 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.fpga_design import BITS, DSP_PER_MAC, Designs, Floats, FpgaConfig, Ints, Layers, ceil_div
from nasbench_mo.hardware.fpga_parts import PARTS, FpgaPart, fpga_part
from nasbench_mo.hardware.fpga_resources import (
    FpgaResources,
    check_feasible,
    columns_power_w,
    feasible,
    power_w,
    refuse_infeasible,
    resources,
)
from nasbench_mo.hardware.shapes import LayerShape

__all__ = [
    "BITS",
    "DSP_PER_MAC",
    "PARTS",
    "FpgaConfig",
    "FpgaPart",
    "FpgaResources",
    "check_feasible",
    "cycles",
    "dram_bytes",
    "energy_mj",
    "feasible",
    "fpga_part",
    "latency_ms",
    "layer_latency_ms",
    "power_w",
    "resources",
    "throughput_per_s",
]

#: Share of the memory's peak rate that is reached (assumption; 0.7 to 0.9 is usual).
DDR_EFFICIENCY = 0.8
#: Energy of external memory. Assumption: 2,000 pJ per 64 bit, the middle of the 1,300 to 2,600 pJ of Horowitz, ISSCC
#: 2014 (unverified).
DRAM_PJ_PER_BYTE = 250.0
#: Decimals kept of a composed cost, so that equal work gives equal numbers and ties stay ties.
_DECIMALS = 9


def cycles(shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> Ints:
    """Clock cycles of each layer on each design if data are always there, (s, h).

    Feasibility is not checked. With OH the output size, K the kernel, g the groups, C and M the input and output
    channels:

    - dense: OH^2 g ceil(C/g / Tn) ceil(M/g / Tm) ceil(K^2 / Tk)
    - depthwise: OH^2 ceil(M / Tm) ceil(K^2 / T), where T is Tk of a single engine, ``unroll_depthwise`` of a pipeline
    - pooling: OH^2 ceil(C / Tm) ceil(K^2 / Tk) on a single engine, OH^2 ceil(C / Tm) with a line buffer; global pooling
      reads its input once
    - addition: OH^2 ceil(C / Tm)

    The stages of a pipeline read windows from line buffers, so that a layer also takes at least one cycle for every
    padded input pixel and group of channels.
    """
    return _cycles(Layers(shapes), Designs(configs))


def dram_bytes(shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> Floats:
    """Bytes that each layer moves to and from external memory, (s, h).

    Weights always come from there. A feature map does if it exceeds the on-chip buffer; a single engine then reads the
    input once for every Tm output channels. In a pipeline, depthwise and multiplier-free stages pass their maps on and
    move none; for a dense layer whose map exceeds the buffer the traffic is counted although a neighbouring stage may
    have taken it over, which is an upper bound.
    """
    return _dram_bytes(Layers(shapes), Designs(configs))


def layer_latency_ms(shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> Floats:
    """Time of each layer alone, (s, h): the larger of computing and moving data, which overlap.

    On single engines ``counts @ layer_latency_ms`` is the latency of networks; on pipelined designs it is what they
    would take without any overlap.

    Raises
    ------
    DesignError
        A design does not fit its part.
    """
    layers, designs = Layers(shapes), Designs(configs)
    refuse_infeasible(layers, designs)
    return np.maximum(_compute_ms(layers, designs), _memory_ms(layers, designs))


def latency_ms(counts: ArrayLike, shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> Floats:
    """Time from input to output of one image, (n, h), for networks given by their counts (n, s) over the shapes.

    Single engine: the sum of its layers, exactly. Pipelined: fill plus largest stage,

        max over stages e of ( sum of t over layers on e + sum of t / rows over layers elsewhere ),

    where t is a layer's computing time and rows its number of output rows: the stages work at the same time and a stage
    waits for one row of each layer that another one executes. External memory is a stage too, without fill. Hence
    max stage <= latency <= sum of layers. A layer that must be complete before the next can begin (a classifier) has
    one row, and global pooling takes in as many rows as its input has.

    Counts do not say which layers are neighbours. With counts of *whole networks*, all of a network's layers are taken
    to overlap, a lower bound. Where the blocks of a space are known, let the rows of ``counts`` be the blocks, which
    run one after the other: latencies of blocks (b, h) add up, and ``block_counts (n, b) @ latency_ms(...)`` is a
    matrix product again. A depthwise layer then hides behind the pointwise layers of its own block and no others.

    Raises
    ------
    DesignError
        A design does not fit its part.
    SpecError
        Counts are not (n, s) of finite numbers from 0.
    """
    layers, designs = Layers(shapes), Designs(configs)
    refuse_infeasible(layers, designs)
    return _latency_ms(_checked(counts, layers), layers, designs)


def throughput_per_s(counts: ArrayLike, shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> Floats:
    """Images per second, (n, h): 1 / latency of a single engine, 1 / max stage of a pipeline.

    The pipeline takes in the next image while it works on the last; a single engine does not. Larger is better: an
    objective made of it is a maximised one.

    Raises
    ------
    DesignError, SpecError
        As :func:`latency_ms`; SpecError also for a network without layers that take time.
    """
    layers, designs = Layers(shapes), Designs(configs)
    refuse_infeasible(layers, designs)
    checked = _checked(counts, layers)
    interval = np.where(
        designs.pipelined,
        _largest_stage_ms(checked, layers, designs, with_fill=False),
        _latency_ms(checked, layers, designs),
    )
    if not (interval > 0).all():
        raise SpecError("a network without layers has no throughput; leave out rows of counts that are all 0")
    return np.asarray(1e3 / interval, dtype=np.float64)


def energy_mj(counts: ArrayLike, shapes: Sequence[LayerShape], configs: Sequence[FpgaConfig]) -> Floats:
    """Energy of one image, (n, h): power times latency, and what external memory takes for every byte.

    Modelled, on power coefficients that are assumptions: compare designs and networks with it, do not quote it.

    Raises
    ------
    DesignError, SpecError
        As :func:`latency_ms`.
    """
    layers, designs = Layers(shapes), Designs(configs)
    refuse_infeasible(layers, designs)
    checked = _checked(counts, layers)
    board = columns_power_w(layers, designs) * _latency_ms(checked, layers, designs)
    memory = checked @ _dram_bytes(layers, designs) * DRAM_PJ_PER_BYTE * 1e-9
    return np.round(board + memory, _DECIMALS)


def _cycles(layers: Layers, designs: Designs) -> Ints:
    tm, tn, tk = designs.unroll_out, designs.unroll_in, designs.unroll_kernel
    pixels = layers.out_size**2
    steps = ceil_div(layers.window, tk)
    per_group_in = layers.groups * ceil_div(layers.channels_in // layers.groups, tn)
    dense = pixels * per_group_in * ceil_div(layers.channels_out // layers.groups, tm) * steps
    depthwise_steps = np.where(designs.pipelined, ceil_div(layers.window, designs.unroll_depthwise), steps)
    channel_groups = ceil_div(layers.channels_out, tm)
    depthwise = pixels * channel_groups * depthwise_steps
    pooling = pixels * channel_groups * np.where(designs.pipelined, 1, steps)
    reading = layers.in_size**2 * channel_groups
    computed = np.select(
        [layers.dense, layers.depthwise, layers.operator == "avg_pool", layers.operator == "global_pool"],
        [dense, depthwise, pooling, reading],
        default=pixels * channel_groups,
    )
    # Measured on fpgaConvNet for this project: of eleven foldings of one convolution, the one that computes fastest
    # took a cycle for each of its 34 x 34 padded pixels instead of its 32 x 32 outputs.
    streamed = layers.padded_size**2 * np.where(layers.dense, per_group_in, ceil_div(layers.channels_in, tm))
    return np.where(designs.pipelined, np.maximum(computed, streamed), computed)


def _dram_bytes(layers: Layers, designs: Designs) -> Floats:
    single = ~designs.pipelined
    reloads = np.where(layers.dense & single, ceil_div(layers.channels_out // layers.groups, designs.unroll_out), 1)
    stays = (~layers.dense) & designs.pipelined
    inputs = np.where(stays | (layers.inputs * designs.bits <= designs.buffer_bits), 0, layers.inputs * reloads)
    outputs = np.where(stays | (layers.outputs * designs.bits <= designs.buffer_bits), 0, layers.outputs)
    moved: Floats = (layers.weights + inputs + outputs) * designs.bits / 8
    return moved


def _compute_ms(layers: Layers, designs: Designs) -> Floats:
    return _cycles(layers, designs) / (designs.clock_mhz * 1e3)


def _memory_ms(layers: Layers, designs: Designs) -> Floats:
    return _dram_bytes(layers, designs) / (DDR_EFFICIENCY * designs.ddr_gb_per_s * 1e6)


def _latency_ms(counts: Floats, layers: Layers, designs: Designs) -> Floats:
    summed: Floats = counts @ np.maximum(_compute_ms(layers, designs), _memory_ms(layers, designs))
    if designs.pipelined.any():
        summed = np.where(designs.pipelined, _largest_stage_ms(counts, layers, designs, with_fill=True), summed)
    return summed.round(_DECIMALS)


def _largest_stage_ms(counts: Floats, layers: Layers, designs: Designs, *, with_fill: bool) -> Floats:
    """Time of the busiest of the stages, external memory among them, (n, h)."""
    compute = _compute_ms(layers, designs)
    rows = np.where(layers.operator == "global_pool", layers.in_size, layers.out_size)
    fill = compute / rows if with_fill else np.zeros_like(compute)
    # sum of t on e + sum of fill elsewhere = sum of (t - fill) on e + sum of fill everywhere
    all_fill = counts @ fill
    largest = counts @ _memory_ms(layers, designs)
    for stage in (layers.dense, layers.depthwise, layers.light):
        on = stage[:, 0]
        largest = np.maximum(largest, counts[:, on] @ (compute - fill)[on] + all_fill)
    return largest


def _checked(counts: ArrayLike, layers: Layers) -> Floats:
    try:
        checked = np.asarray(counts, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpecError(f"counts must be numbers (n, s), got {counts!r}") from error
    if checked.ndim != 2 or checked.shape[1] != len(layers):
        raise SpecError(f"counts must be (n, {len(layers)}), one column a layer shape; got shape {checked.shape}")
    if not (np.isfinite(checked) & (checked >= 0)).all():
        raise SpecError("counts must be finite numbers from 0; got a negative or missing one")
    return checked
