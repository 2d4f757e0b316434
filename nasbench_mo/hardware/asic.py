"""Cycles, energy and area of a layer on an accelerator (ASIC): a closed form for any configuration. A model.

The accelerator is an array of processing elements (PEs), each with a multiplier, an adder and three small register
files for inputs, weights and partial sums; one on-chip buffer for all operands; DRAM. A layer is laid over the array
by :func:`~nasbench_mo.hardware.asic_mapping.fewest_steps`; what remains runs in time, in one of a few loop orders, of
which the one with the smallest product of energy and cycles is taken. The registers hold the innermost loops that
fit; data that change outside of them come from the buffer again.

**DRAM.** Layers follow each other on chip: a layer whose inputs, weights and outputs fit in the buffer together (sums
at full width) uses no DRAM at all, as in ZigZag with inter-layer locality. Any other reads inputs and weights from
DRAM once and writes the outputs there; if inputs and weights alone exceed the buffer, the rows between two tiles are
read again.

What is *not* in it: static power, the network on chip, control, sparsity, batches. It was compared with ZigZag
(:mod:`~nasbench_mo.hardware.asic_comparison`), which is a model too, and never with a chip.

References
----------
Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: 45 nm, 0.9 V.
Chen, Emer & Sze, "Eyeriss: a spatial architecture ...", ISCA 2016, table IV; Chen, Krishna, Emer & Sze, "Eyeriss: an
energy-efficient reconfigurable accelerator ...", JSSC 52(1), 2017.
Mei et al., "A uniform latency model for DNN accelerators with diverse architectures and dataflows", DATE 2022.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, get_args

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.asic_mapping import Dataflow, Loop, Operand, fewest_steps, loop_sizes, relevant_loops
from nasbench_mo.hardware.shapes import LayerShape

Array = NDArray[np.float64]

#: Energy of one multiply-accumulate, pJ: an integer multiplication (Horowitz 2014: 8 bit 0.2, 32 bit 3.1; 16 bit is
#: 0.8 by its square law, an assumption) and a 32-bit addition (Horowitz 2014: 0.1).
MAC_PJ: Mapping[int, float] = {8: 0.2 + 0.1, 16: 0.8 + 0.1}
#: Energy of one addition of pooling and of ``add``, pJ: 32 bit (Horowitz 2014).
ADD_PJ = 0.1
#: Width of a partial sum. Assumption, for both precisions: the usual accumulator of integer inference.
SUM_BITS = 32
#: Words in the registers of one PE: inputs, weights, sums. Row stationary: Eyeriss (JSSC 2017, 12 / 224 / 24). The
#: others keep one operand only, and two words of the rest, one in use and one arriving (assumption).
REGISTER_WORDS: Mapping[Dataflow, tuple[int, int, int]] = {
    "row_stationary": (12, 224, 24),
    "weight_stationary": (2, 224, 2),
    "output_stationary": (2, 2, 24),
}
#: Energy per bit of a register access, pJ: a 16-bit access costs as much as a 16-bit multiply-accumulate (ISCA 2016,
#: table IV, 65 nm: register 1, MAC 1), whatever the depth of the registers (assumption).
REGISTER_PJ_PER_BIT = MAC_PJ[16] / 16
#: Energy of a 64-bit buffer access, pJ, over the root of its size in KB: 10 at 8 KB, 20 at 32 KB, 113 at 1 MB against
#: Horowitz's 10, 20 and 100. Reads and writes alike (CACTI 7 at 45 nm: writes 0.8 to 1.3 times reads).
BUFFER_PJ_PER_ROOT_KB = 3.54
#: Energy of a 64-bit DRAM access, pJ: the lower end of Horowitz 2014 (1.3 to 2.6 nJ).
DRAM_PJ = 1300.0
_ACCESS_BITS = 64

#: How much of the shorter of computation and DRAM transfer is *not* hidden behind the longer. The one free constant,
#: fitted to ZigZag 3.9.1 on 71 layers that do not fit in the buffer, of 20 development configurations that no
#: comparison uses.
EXPOSED = 0.1

#: Area of a multiplier in um2 at 45 nm: 8 bit 282, 32 bit 3,495 (synthesis, TSMC 45 nm, as printed beside Horowitz's
#: energies in Hennessy & Patterson, 6th edition, figure 1.13); 16 bit by the power law through both (assumption).
MULTIPLIER_UM2: Mapping[int, float] = {8: 282.0, 16: 282.0 * 2 ** (math.log2(3495 / 282) / 2)}
#: Area of a 32-bit adder in um2 (same figure).
ADDER_UM2 = 137.0
#: Area of on-chip SRAM in mm2 per KB: CACTI 7, 45 nm, 32 KB 0.106 mm2 and 1 MB 3.57 mm2, both 0.0033 to 0.0035.
BUFFER_MM2_PER_KB = 0.0034
#: Area of registers over that of SRAM of the same capacity. Assumption: small memories are mostly periphery. CACTI 7
#: gives 1.07 at 8 KB, the smallest size it was asked for.
REGISTER_AREA_FACTOR = 4.0

#: Loop orders that are tried, innermost first: found by greedy selection from all orders of six loops, so that the
#: best of them comes within 1 % (geometric mean, 60 random configurations) of this model's best product of energy
#: and cycles over all orders. ZigZag had no part in it.
_CONVOLUTION_ORDERS: tuple[tuple[Loop, ...], ...] = (
    ("K", "C", "FY", "FX", "OX", "OY"),
    ("C", "K", "FY", "OX", "OY", "FX"),
    ("OY", "K", "FY", "FX", "C", "OX"),
    ("C", "FY", "FX", "OY", "OX", "K"),
    ("K", "C", "OY", "OX", "FY", "FX"),
    ("K", "OX", "FY", "FX", "C", "OY"),
    ("OX", "K", "FY", "FX", "C", "OY"),
    ("OY", "OX", "FY", "FX", "C", "K"),
)
_POOLING_ORDERS: tuple[tuple[Loop, ...], ...] = (
    ("FY", "FX", "OX", "OY", "G"),
    ("OY", "FY", "FX", "G", "OX"),
    ("G", "FY", "FX", "OX", "OY"),
)
_ADDITION_ORDERS: tuple[tuple[Loop, ...], ...] = (("OY", "G", "OX"), ("OX", "OY", "G"), ("G", "OX", "OY"))

#: Unrollings that are tried, those with the fewest steps.
_UNROLLINGS = 3
#: Configurations that are computed at a time; bounds the memory.
_CHUNK = 1 << 15
_SHORT: Mapping[Dataflow, str] = {"row_stationary": "rs", "weight_stationary": "ws", "output_stationary": "os"}
_NAME = re.compile(r"(\d+)x(\d+)_(\d+)kb_(\d+)b_(rs|ws|os)_(\d+)_(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsicConfig:
    """One accelerator.

    Parameters
    ----------
    pe_rows, pe_cols
        Processing elements of each side of the array.
    buffer_kb
        On-chip buffer in KB of 1,024 bytes, shared by all operands.
    bits
        Width of inputs, weights and outputs: 8 or 16. Partial sums have :data:`SUM_BITS`.
    dataflow
        Which data stay in the registers, see :mod:`nasbench_mo.hardware.asic_mapping`.
    buffer_bits_per_cycle
        Width of the buffer's read port, and of its write port.
    dram_bits_per_cycle
        What DRAM delivers or takes in a cycle.
    clock_mhz
        Clock. Cycles and energy do not depend on it.

    Raises
    ------
    SpecError
        A number is not positive, or the precision or the dataflow is not modelled.
    """

    pe_rows: int
    pe_cols: int
    buffer_kb: int
    bits: int
    dataflow: Dataflow
    buffer_bits_per_cycle: int
    dram_bits_per_cycle: int
    clock_mhz: float = 200.0

    def __post_init__(self) -> None:
        for field in ("pe_rows", "pe_cols", "buffer_kb", "buffer_bits_per_cycle", "dram_bits_per_cycle"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpecError(f"accelerator: {field} must be a positive integer, got {value!r}")
        if isinstance(self.bits, bool) or self.bits not in MAC_PJ:
            raise SpecError(f"accelerator: bits must be one of {', '.join(map(str, MAC_PJ))}; got {self.bits!r}")
        if self.dataflow not in get_args(Dataflow):
            raise SpecError(
                f"accelerator: dataflow must be one of {', '.join(get_args(Dataflow))}; got {self.dataflow!r}"
            )
        clock = self.clock_mhz
        if isinstance(clock, bool) or not isinstance(clock, (int, float)) or not 0 < clock < math.inf:
            raise SpecError(f"accelerator: clock_mhz must be a positive number, got {clock!r}")

    @property
    def name(self) -> str:
        """Everything but the clock, e.g. ``12x14_108kb_16b_rs_256_64``: fit for a column name."""
        return (
            f"{self.pe_rows}x{self.pe_cols}_{self.buffer_kb}kb_{self.bits}b_{_SHORT[self.dataflow]}_"
            f"{self.buffer_bits_per_cycle}_{self.dram_bits_per_cycle}"
        )

    @classmethod
    def from_name(cls, name: str, *, clock_mhz: float = 200.0) -> Self:
        """The configuration of a :attr:`name`.

        Raises
        ------
        SpecError
            It is no such name.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise SpecError(f"accelerator name {name!r}: expected one like 12x14_108kb_16b_rs_256_64")
        rows, cols, buffer_kb, bits, short, buffer, dram = match.groups()
        return cls(
            pe_rows=int(rows),
            pe_cols=int(cols),
            buffer_kb=int(buffer_kb),
            bits=int(bits),
            dataflow=next(dataflow for dataflow, s in _SHORT.items() if s == short),
            buffer_bits_per_cycle=int(buffer),
            dram_bits_per_cycle=int(dram),
            clock_mhz=clock_mhz,
        )

    def fits(self, shape: LayerShape) -> bool:
        """Whether a layer's data fit in the buffer together, so that it needs no DRAM."""
        return bool(_fits(shape, bits=np.array([self.bits]), buffer_kb=np.array([self.buffer_kb]))[0])


#: The Eyeriss of JSSC 2017 as far as this model knows it: 168 PEs, 108 KB, 16 bit, 200 MHz. Its bandwidths are
#: assumptions.
EYERISS_LIKE = AsicConfig(
    pe_rows=12,
    pe_cols=14,
    buffer_kb=108,
    bits=16,
    dataflow="row_stationary",
    buffer_bits_per_cycle=256,
    dram_bits_per_cycle=64,
)


def cycles(shapes: Sequence[LayerShape], configs: Sequence[AsicConfig]) -> Array:
    """Clock cycles of s layers on h accelerators, (s, h). See :func:`costs`."""
    return costs(shapes, configs)[0]


def energy_pj(shapes: Sequence[LayerShape], configs: Sequence[AsicConfig]) -> Array:
    """Dynamic energy of s layers on h accelerators in pJ, (s, h). See :func:`costs`."""
    return costs(shapes, configs)[1]


def latency_ms(shapes: Sequence[LayerShape], configs: Sequence[AsicConfig]) -> Array:
    """Milliseconds of s layers on h accelerators at their clocks, (s, h)."""
    cycles_per_ms = np.array([config.clock_mhz * 1e3 for config in configs])
    return np.asarray(cycles(shapes, configs) / cycles_per_ms)


def area_mm2(configs: Sequence[AsicConfig]) -> Array:
    """Area of multipliers, adders, registers and buffer at 45 nm in mm2, (h,). No wiring, no control, no pads."""
    n_pe = np.array([config.pe_rows * config.pe_cols for config in configs], dtype=np.float64)
    logic = np.array([MULTIPLIER_UM2[config.bits] + ADDER_UM2 for config in configs]) * 1e-6
    register_kb = np.array([_register_bits(config) / 8192 for config in configs])
    registers = register_kb * BUFFER_MM2_PER_KB * REGISTER_AREA_FACTOR
    buffers = np.array([config.buffer_kb for config in configs]) * BUFFER_MM2_PER_KB
    area: Array = n_pe * (logic + registers) + buffers
    return area


def costs(shapes: Sequence[LayerShape], configs: Sequence[AsicConfig]) -> tuple[Array, Array]:
    """Cycles and dynamic energy in pJ of s layers on h accelerators, each (s, h), of the same mapping.

    Notes
    -----
    O(s h o) for o loop orders, at most 8; memory O(s h + min(h, 32768)).
    """
    found_cycles = np.empty((len(shapes), len(configs)))
    found_energy = np.empty_like(found_cycles)
    for start in range(0, len(configs), _CHUNK):
        part = slice(start, start + _CHUNK)
        machines = _Machines.of(configs[part])
        for i, shape in enumerate(shapes):
            found_cycles[i, part], found_energy[i, part] = _layer(shape, machines)
    return found_cycles, found_energy


# ---------------------------------------------------------------------- one layer, many accelerators


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machines:
    """h accelerators as arrays, and the m distinct (dataflow, rows, columns) among them, on which traffic depends."""

    bits: Array
    buffer_kb: Array
    buffer_width: Array
    dram_width: Array
    mac_pj: Array
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    dataflow: NDArray[np.int64]
    which: NDArray[np.intp]

    @classmethod
    def of(cls, configs: Sequence[AsicConfig]) -> Self:
        flows = get_args(Dataflow)
        arrays = np.array([(flows.index(c.dataflow), c.pe_rows, c.pe_cols) for c in configs], dtype=np.int64)
        distinct, which = np.unique(arrays.reshape(-1, 3), axis=0, return_inverse=True)
        return cls(
            bits=np.array([c.bits for c in configs], dtype=np.float64),
            buffer_kb=np.array([c.buffer_kb for c in configs], dtype=np.float64),
            buffer_width=np.array([c.buffer_bits_per_cycle for c in configs], dtype=np.float64),
            dram_width=np.array([c.dram_bits_per_cycle for c in configs], dtype=np.float64),
            mac_pj=np.array([MAC_PJ[c.bits] for c in configs]),
            dataflow=distinct[:, 0],
            rows=distinct[:, 1],
            cols=distinct[:, 2],
            which=which.reshape(-1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traffic:
    """What an operand moves under one mapping, in elements, (m,) each.

    Parameters
    ----------
    periods
        How often the registers change their content.
    tile
        Distinct elements that move between buffer and array each time.
    register_tile
        Elements of it in one PE.
    fills
        Elements written to all registers in the whole layer; a broadcast counts once a PE.
    reads
        Elements read from the registers in the whole layer; one that stays in use is read once.
    real
        Share of the tiles that is not padding of ragged edges.
    """

    periods: Array
    tile: Array
    register_tile: Array
    fills: Array
    reads: Array
    real: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nest:
    """One loop order of a layer on the m arrays."""

    steps: Array
    passes: Array  # how often partial sums go out to the buffer: 1 where a sum is finished in the registers
    traffic: Mapping[Operand, _Traffic]


def _layer(shape: LayerShape, machines: _Machines) -> tuple[Array, Array]:
    """Cycles and energy of one layer, (h,) each: the best loop order for each accelerator."""
    sizes = loop_sizes(shape)
    best_cycles = best_energy = np.full(len(machines.bits), np.inf)
    for unrolled in _unrolled(shape, machines):
        in_time = {loop: np.ceil(sizes[loop] / factor) for loop, factor in unrolled.items()}
        dram = _dram(shape, machines, columns=unrolled["OX"])
        for order in _orders(shape):
            nest = _nest(shape, order, in_time=in_time, unrolled=unrolled, dataflow=machines.dataflow)
            found_cycles, found_energy = _cost(shape, nest, machines, dram=dram)
            better = found_cycles * found_energy < best_cycles * best_energy
            best_cycles = np.where(better, found_cycles, best_cycles)
            best_energy = np.where(better, found_energy, best_energy)
    return best_cycles, best_energy


def _orders(shape: LayerShape) -> tuple[tuple[Loop, ...], ...]:
    if shape.operator == "add":
        return _ADDITION_ORDERS
    if shape.operator in ("avg_pool", "global_pool"):
        return _POOLING_ORDERS
    if shape.operator == "linear":
        return (_CONVOLUTION_ORDERS[0], _CONVOLUTION_ORDERS[1])  # all others are one of these where K and C remain
    return _CONVOLUTION_ORDERS


def _unrolled(shape: LayerShape, machines: _Machines) -> list[dict[Loop, Array]]:
    """The best few unrollings on each of the m arrays: the factor of each loop, (m,)."""
    sizes = loop_sizes(shape)
    factors = {loop: np.ones((_UNROLLINGS, len(machines.rows))) for loop in sizes}
    for code, dataflow in enumerate(get_args(Dataflow)):
        here = np.flatnonzero(machines.dataflow == code)
        if here.size:
            rows, cols = machines.rows[here], machines.cols[here]
            found = fewest_steps(shape, dataflow, pe_rows=rows, pe_cols=cols, top=_UNROLLINGS)
            for loop, factor in found.items():
                factors[loop][:, here] = factor
    return [{loop: factor[k] for loop, factor in factors.items()} for k in range(_UNROLLINGS)]


def _nest(
    shape: LayerShape,
    order: tuple[Loop, ...],
    *,
    in_time: Mapping[Loop, Array],
    unrolled: Mapping[Loop, Array],
    dataflow: NDArray[np.int64],
) -> _Nest:
    sizes = loop_sizes(shape)
    steps = _product(in_time.values())
    iterations = math.prod(sizes.values())
    elements = _product(unrolled.values())
    words = np.array([REGISTER_WORDS[flow] for flow in get_args(Dataflow)], dtype=np.float64)[dataflow]
    traffic: dict[Operand, _Traffic] = {}
    passes = np.ones_like(steps)
    nested = [loop for loop in order if loop in sizes] + [loop for loop in sizes if loop not in order]
    operands: tuple[Operand, ...] = ("I", "W", "O")
    for position, operand in enumerate(operands):
        # an addition's second operand is streamed like the first: the weight registers are for weights
        capacity = words[:, 0 if shape.operator == "add" and operand == "W" else position]
        relevant = relevant_loops(shape, operand)
        inside, resting = _in_registers(shape, operand, nested, in_time=in_time, capacity=capacity)
        periods = steps / _product(inside.values())
        register_tile = _tile(shape, operand, inside)
        real = _product(sizes[loop] / (in_time[loop] * unrolled[loop]) for loop in relevant)
        real_everywhere = iterations / (steps * elements)
        traffic[operand] = _Traffic(
            periods=periods,
            tile=_tile(shape, operand, unrolled) * register_tile,
            register_tile=register_tile,
            fills=register_tile * elements * periods * real_everywhere,
            reads=iterations / resting,
            real=real,
        )
        if operand == "O":
            summed = [loop for loop in sizes if loop not in relevant]
            passes = _product([passes, *(in_time[loop] / inside[loop] for loop in summed)])
    return _Nest(steps=steps, passes=passes, traffic=traffic)


def _in_registers(
    shape: LayerShape,
    operand: Operand,
    order: Sequence[Loop],
    *,
    in_time: Mapping[Loop, Array],
    capacity: Array,
) -> tuple[dict[Loop, Array], Array]:
    """Loops over whose iterations the registers need no change, and those over which a PE uses the same word.

    The registers hold the longest run of innermost loops that fits, and keep it over every loop directly above that
    does not touch the operand.
    """
    relevant = relevant_loops(shape, operand)
    ones = np.ones_like(capacity)
    inside: dict[Loop, Array] = dict.fromkeys(in_time, ones)
    resting = ones
    fitting = np.ones(len(capacity), dtype=bool)
    kept = np.ones(len(capacity), dtype=bool)
    untouched = np.ones(len(capacity), dtype=bool)
    for loop in order:
        times = in_time[loop]
        once = times == 1
        if once.all():
            continue
        if loop in relevant:
            fitting = fitting & (_tile(shape, operand, {**inside, loop: times}) <= capacity)
            kept = kept & (fitting | once)
            untouched = untouched & once
            inside[loop] = np.where(fitting | kept, times, ones)
        else:
            inside[loop] = np.where(fitting | kept, times, ones)
            resting = np.where(untouched, resting * times, resting)
    return inside, resting


def _tile(shape: LayerShape, operand: Operand, loops: Mapping[Loop, Array]) -> Array:
    """Distinct elements of an operand under some iterations of each loop; a window of pixels overlaps with the next."""
    relevant = relevant_loops(shape, operand)
    if operand != "I" or shape.operator == "add":
        return _product(loops[loop] for loop in relevant)
    channels = loops["G"] * loops["C"] if "C" in loops else loops["G"]
    width = _window(loops["OX"], loops["FX"], stride=shape.stride)
    height = _window(loops["OY"], loops["FY"], stride=shape.stride)
    return channels * np.minimum(width, shape.in_size) * np.minimum(height, shape.in_size)


def _window(outputs: Array, kernel: Array, *, stride: int) -> Array:
    """Input pixels, along one axis, that some outputs and some kernel positions touch."""
    return np.where(kernel >= stride, (outputs - 1) * stride + kernel, outputs * kernel)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dram:
    """Bits of a layer that come from DRAM and go there, (h,) each; zero where the layer stays on chip."""

    read: Array
    written: Array


def _dram(shape: LayerShape, machines: _Machines, *, columns: Array) -> _Dram:
    """DRAM traffic where ``columns`` output columns are computed at a time, (m,).

    Inputs come more than once where the windows of neighbouring columns overlap and the buffer cannot hold them all.
    """
    bits = machines.bits
    on_chip = _fits(shape, bits=bits, buffer_kb=machines.buffer_kb)
    times: Array = np.ones_like(columns)
    if shape.kernel > shape.stride:
        window = _window(columns, np.full_like(columns, shape.kernel), stride=shape.stride)
        times = np.maximum(window / (columns * shape.stride), 1.0)
    held = (shape.inputs + shape.weights) * bits <= machines.buffer_kb * 8192
    inputs = shape.inputs * bits * np.where(held, 1.0, times[machines.which])
    return _Dram(
        read=np.where(on_chip, 0.0, inputs + shape.weights * bits),
        written=np.where(on_chip, 0.0, shape.outputs * bits),
    )


def _cost(shape: LayerShape, nest: _Nest, machines: _Machines, *, dram: _Dram) -> tuple[Array, Array]:
    """Cycles and energy of one loop order, (h,) each."""
    which = machines.which  # from m arrays to h accelerators
    bits = machines.bits
    sums = shape.operator != "add"
    weight_bits = bits if shape.operator in ("conv", "linear", "add") else np.zeros_like(bits)
    passes = nest.passes[which]
    out_bits = np.where(passes > 1, SUM_BITS, bits)  # what leaves the registers: a sum, or the finished output
    inputs, weights, outputs = (nest.traffic[operand] for operand in ("I", "W", "O"))
    iterations = math.prod(loop_sizes(shape).values())

    # energy
    per_bit = BUFFER_PJ_PER_ROOT_KB * np.sqrt(machines.buffer_kb) / _ACCESS_BITS
    register_bits = (
        (inputs.reads + inputs.fills)[which] * bits
        + (weights.reads + weights.fills)[which] * weight_bits
        + iterations * (2 * SUM_BITS if sums else bits)
        + outputs.fills[which] * out_bits
    )
    buffer_bits = (
        (inputs.tile * inputs.periods * inputs.real)[which] * bits
        + (weights.tile * weights.periods * weights.real)[which] * weight_bits
        + shape.outputs * (passes * out_bits + (passes - 1) * SUM_BITS)
        + dram.read
        + dram.written
    )
    energy = (
        iterations * (machines.mac_pj if shape.macs else ADD_PJ)
        + register_bits * REGISTER_PJ_PER_BIT
        + buffer_bits * per_bit
        + (dram.read + dram.written) * (DRAM_PJ / _ACCESS_BITS)
    )

    # cycles: the array, the buffer's two ports and DRAM work at the same time; the slowest counts
    width = machines.buffer_width
    periods = {operand: traffic.periods[which] for operand, traffic in nest.traffic.items()}
    per_period = {
        "I": np.ceil(inputs.tile[which] * bits / width),
        "W": np.ceil(weights.tile[which] * weight_bits / width),
        "O": np.ceil(outputs.tile[which] * out_bits / width),
    }
    # a PE reads and writes its sum in every cycle, so sending it on takes cycles of its own
    sending = (periods["O"] - 1) * np.ceil(outputs.register_tile[which] * out_bits / SUM_BITS) if sums else 0.0
    first = sum(np.where(periods[operand] > 1, per_period[operand], 0.0) for operand in ("I", "W"))
    last = np.where(periods["O"] > 1, per_period["O"], 0.0)
    written = per_period["O"] * periods["O"]
    read = per_period["I"] * periods["I"] + per_period["W"] * periods["W"] + written * (1 - 1 / passes)
    array = nest.steps[which] + sending + first + last
    chip = np.maximum(array, np.maximum(read + dram.written / width + last, written + dram.read / width + first))
    outside = (dram.read + dram.written) / machines.dram_width
    return np.maximum(chip, outside) + EXPOSED * np.minimum(chip, outside), energy


def _fits(
    shape: LayerShape, *, bits: Array | NDArray[np.int64], buffer_kb: Array | NDArray[np.int64]
) -> NDArray[np.bool_]:
    sum_bits = bits if shape.operator == "add" else SUM_BITS
    needed = (shape.inputs + shape.weights) * bits + shape.outputs * sum_bits
    return np.asarray(needed <= buffer_kb * 8192)


def _register_bits(config: AsicConfig) -> int:
    inputs, weights, sums = REGISTER_WORDS[config.dataflow]
    return (inputs + weights) * config.bits + sums * SUM_BITS


def _product(factors: Iterable[Array]) -> Array:
    """Product of one array or more."""
    first, *rest = factors
    for factor in rest:
        first = first * factor
    return first
