"""Cycles and energy of a layer on an accelerator by the ZigZag cost model (extra ``asic``). A model, run offline.

The accelerator is that of :mod:`nasbench_mo.hardware.asic`, with the same constants: registers in every processing
element, one buffer with a read port and a write port, DRAM with one port. ZigZag counts accesses and stalls of every
loop order that it allocates to these memories; the mapping with the smallest product of energy and cycles is taken.

What is decided here, and differs from ``zigzag.api``:

- **Inter-layer locality**: DRAM is left out where a layer's data fit in the buffer, see
  :mod:`nasbench_mo.hardware.asic`.
- **Unrollings** are the three with the fewest steps (:func:`~nasbench_mo.hardware.asic_mapping.unrollings`). ZigZag's
  generator ranks by the share of elements in use, and tries divisors only of what fits: of 16 channels on 14 columns
  it unrolls 14 or 7.
- **Ragged edges**: ZigZag 3.9.1 rounds a fractional unrolling *down* where it counts the data of a transfer (32 rows
  over 3 elements in 11 steps: 2.9 becomes 2), so ragged mappings look too fast. Here it is rounded up.
- **Loop orders**: kernel rows stay inside kernel columns, and for convolutions the shorter of output rows and columns
  stays inside the longer. Against all orders this left 36 of 37 results as they were and one 2 % higher.
- Pooling and addition are given to ZigZag as layers of their own: from ONNX they would cost nothing.

References
----------
Mei et al., "ZigZag", IEEE Transactions on Computers 70(8), 2021; Mei et al., "A uniform latency model", DATE 2022;
Symons et al., "LOMA", AICAS 2021.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nasbench_mo.errors import require
from nasbench_mo.hardware.asic import (
    ADD_PJ,
    BUFFER_PJ_PER_ROOT_KB,
    DRAM_PJ,
    MAC_PJ,
    REGISTER_PJ_PER_BIT,
    REGISTER_WORDS,
    SUM_BITS,
    AsicConfig,
)
from nasbench_mo.hardware.asic_mapping import Unrolling, loop_sizes, unrollings
from nasbench_mo.hardware.shapes import LayerShape

#: Unrollings that are evaluated for each layer.
N_UNROLLINGS = 3
#: Prime factors of the loops that ZigZag permutes; where there are more loops, each is kept whole.
LOOP_FACTORS = 3
_EXTRA = "asic"
_ACCESS_BITS = 64
_DRAM_SIZE_BITS = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What ZigZag says of a layer on an accelerator.

    Parameters
    ----------
    cycles
        Clock cycles, loading and offloading included.
    energy_pj
        Dynamic energy in pJ.
    """

    cycles: float
    energy_pj: float


def evaluate(shape: LayerShape, config: AsicConfig) -> Mapped | None:
    """Cost of one layer on one accelerator, or None where ZigZag finds no way to map it: infeasible.

    It does not depend on the clock, and on DRAM only where :meth:`AsicConfig.fits` is false. The same call gives the
    same numbers. Nothing is printed and no file is written.

    Raises
    ------
    MissingDependencyError
        ZigZag is not installed.

    Notes
    -----
    Seconds for a 3x3 convolution, well below one for the rest; about 15 s for the 21 shapes of NAS-Bench-201.
    """
    engine = require("zigzag.opt.loma.engine", extra=_EXTRA)
    best: Mapped | None = None
    with _silent():
        for unrolling in unrollings(
            shape, config.dataflow, pe_rows=config.pe_rows, pe_cols=config.pe_cols, top=N_UNROLLINGS
        ):
            try:
                for found in _mappings(shape, config, unrolling):
                    if best is None or _rank(found) < _rank(best):
                        best = found
            except engine.NoValidLoopOrderingFoundException:
                continue  # with this unrolling the registers' content does not fit in the buffer
    return best


def version() -> str:
    """Version of ZigZag, e.g. ``zigzag-dse 3.9.1``."""
    from importlib.metadata import version as installed

    require("zigzag", extra=_EXTRA)
    return f"zigzag-dse {installed('zigzag-dse')}"


def _rank(mapped: Mapped) -> tuple[float, float]:
    return mapped.cycles * mapped.energy_pj, mapped.cycles


def _mappings(shape: LayerShape, config: AsicConfig, unrolling: Unrolling) -> Iterator[Mapped]:
    """Every loop order that fits in the memories, evaluated."""
    locality = require("zigzag.stages.exploit_data_locality_stages", extra=_EXTRA)
    iterator = require("zigzag.stages.workload_iterator", extra=_EXTRA)
    evaluation = require("zigzag.stages.evaluation.cost_model_evaluation", extra=_EXTRA)
    types = require("zigzag.mapping.temporal_mapping", extra=_EXTRA)
    stages = [
        locality.SearchInterLayerDataLocalityStage,
        iterator.WorkloadStage,
        locality.ExploitInterLayerDataLocalityStage,
        _conversion_stage(),
        _ordering_stage(shape),
        evaluation.CostModelStage,
    ]
    pipeline = stages[0](
        stages[1:],
        accelerator=_accelerator(shape, config),
        workload=_workload(shape, config, unrolling),
        loma_lpf_limit=LOOP_FACTORS,
        loma_show_progress_bar=False,
        access_same_data_considered_as_no_access=True,
        temporal_mapping_type=types.TemporalMappingType.UNEVEN,
    )
    for found, _ in pipeline.run():
        yield Mapped(cycles=float(found.latency_total2), energy_pj=float(found.energy_total))


def _conversion_stage() -> Any:
    """ZigZag's stage that applies a given unrolling, with ragged factors rounded up."""
    conversion = require("zigzag.stages.mapping.spatial_mapping_conversion", extra=_EXTRA)

    class Conversion(conversion.SpatialMappingConversionStage):  # type: ignore[misc, name-defined]
        def __init__(self, callables: Any, *, accelerator: Any, layer: Any, **rest: Any) -> None:
            layer.spatial_mapping.initialize_oa_dims(accelerator.operational_array.dimension_sizes)
            super().__init__(callables, accelerator=accelerator, layer=layer, **rest)

        def generate_limited_user_spatial_mapping(
            self, *given: Any, allow_decimal_sm_loop_size: bool = True, **named: Any
        ) -> Any:
            if len(given) == 6:  # ZigZag passes the switch by position
                *first, allow_decimal_sm_loop_size = given
                given = tuple(first)
            loop, factor = super().generate_limited_user_spatial_mapping(*given, **named)
            return loop, factor if allow_decimal_sm_loop_size else math.ceil(factor - 1e-9)

    return Conversion


def _ordering_stage(shape: LayerShape) -> Any:
    """ZigZag's stage that permutes the loops, without orders that mirror others and without repetitions."""
    engine = require("zigzag.opt.loma.engine", extra=_EXTRA)
    generator = require("zigzag.stages.mapping.temporal_mapping_generator_stage", extra=_EXTRA)

    class Engine(engine.LomaEngine):  # type: ignore[misc, name-defined]
        def ordering_generator(self) -> Iterator[Any]:
            sizes: dict[str, int] = {}
            for loop, factor in self.lpfs:
                sizes[loop.name] = sizes.get(loop.name, 1) * factor
            for order in super().ordering_generator():
                if not _mirrored([loop.name for loop, _ in order], sizes, convolution=shape.macs > 0):
                    yield order

    class Ordering(generator.TemporalMappingGeneratorStage):  # type: ignore[misc, name-defined]
        def generate_temporal_mappings(self) -> Iterator[Any]:
            seen = set()
            orders = Engine(
                accelerator=self.accelerator,
                layer=self.layer,
                spatial_mapping=self.spatial_mapping,
                mapping_type=self.mapping_type,
                **self.kwargs,
            )
            for mapping in orders.run():
                key = _what_matters(mapping)
                if key not in seen:
                    seen.add(key)
                    yield mapping

    return Ordering


def _mirrored(order: list[str], sizes: Mapping[str, int], *, convolution: bool) -> bool:
    """Whether another order, with rows and columns exchanged, stands for this one."""
    first = {name: position for position, name in reversed(list(enumerate(order)))}
    if "FX" in first and "FY" in first and first["FY"] > first["FX"]:
        return True
    if not convolution or "OX" not in first or "OY" not in first or sizes["OX"] == sizes["OY"]:
        return False
    inner, outer = ("OY", "OX") if sizes["OY"] < sizes["OX"] else ("OX", "OY")
    return first[inner] > first[outer]


def _what_matters(mapping: Any) -> tuple[Any, ...]:
    """The part of a loop order that the cost model uses: what each memory holds, not the order inside of it."""
    return tuple(
        (
            tuple(
                tuple(sorted((loop.name, n) for loop, n in level)) for level in mapping.mapping_dic_stationary[operand]
            ),
            mapping.mac_level_data_stationary_cycle[operand],
            tuple(mapping.top_r_loop_size[operand]),
            tuple(mapping.top_ir_loop_size[operand]),
        )
        for operand in mapping.operand_list
    )


# ---------------------------------------------------------------------- what ZigZag is given


def _accelerator(shape: LayerShape, config: AsicConfig) -> Any:
    """The accelerator as ZigZag's object. Memories stand from the lowest to the highest."""
    validator = require("zigzag.parser.accelerator_validator", extra=_EXTRA)
    factory = require("zigzag.parser.accelerator_factory", extra=_EXTRA)
    bits, width = config.bits, config.buffer_bits_per_cycle
    inputs, weights, sums = REGISTER_WORDS[config.dataflow]
    if shape.operator == "add":
        weights = inputs  # both operands are streamed; the weight registers are for weights
    buffer_pj = BUFFER_PJ_PER_ROOT_KB * math.sqrt(config.buffer_kb) / _ACCESS_BITS
    both = ["I1", "I2", "O"]
    to_low = ["I1, tl", "I2, tl", "O, tl"]
    from_high = ["I1, fh", "I2, fh", "O, fh"]
    dram_width = config.dram_bits_per_cycle
    memories = {
        "input_registers": _registers("I1", words=inputs, bits=bits, least_bits=bits),
        "weight_registers": _registers("I2", words=weights, bits=bits, least_bits=bits),
        "sum_registers": _registers("O", words=sums, bits=SUM_BITS, least_bits=bits),
        "buffer": _memory(
            config.buffer_kb * 8192,
            pj=buffer_pj * width,
            operands=both,
            ports=[
                _port("r_port_1", "read", [*to_low, "O, th"], bits=width, least_bits=bits),
                _port("w_port_1", "write", [*from_high, "O, fl"], bits=width, least_bits=bits),
            ],
        ),
        "dram": _memory(
            _DRAM_SIZE_BITS,
            pj=DRAM_PJ / _ACCESS_BITS * dram_width,
            operands=both,
            ports=[
                _port(
                    "rw_port_1",
                    "read_write",
                    [*to_low, "O, th", *from_high, "O, fl"],
                    bits=dram_width,
                    least_bits=min(bits, dram_width),
                )
            ],
        ),
    }
    array = {
        "unit_energy": MAC_PJ[bits] if shape.macs else ADD_PJ,
        "unit_area": 0.0,
        "dimensions": ["D1", "D2"],
        "sizes": [config.pe_rows, config.pe_cols],
    }
    checked = validator.AcceleratorValidator({"name": "asic", "memories": memories, "operational_array": array})
    assert checked.validate()
    return factory.AcceleratorFactory(checked.normalized_data).create()


def _registers(operand: str, *, words: int, bits: int, least_bits: int) -> dict[str, Any]:
    read = [f"{operand}, tl", *(["O, th"] if operand == "O" else [])]
    written = [f"{operand}, fh", *(["O, fl"] if operand == "O" else [])]
    memory = _memory(
        words * bits,
        pj=REGISTER_PJ_PER_BIT * bits,
        operands=[operand],
        ports=[
            _port("r_port_1", "read", read, bits=bits, least_bits=least_bits),
            _port("w_port_1", "write", written, bits=bits, least_bits=least_bits),
        ],
    )
    return {**memory, "served_dimensions": []}


def _memory(size_bits: int, *, pj: float, operands: list[str], ports: list[dict[str, Any]]) -> dict[str, Any]:
    """A memory of the whole array; ``pj`` for an access of the full width, narrower ones cost their share."""
    return {
        "size": size_bits,
        "r_cost": pj,
        "w_cost": pj,
        "area": 0.0,
        "latency": 1,
        "operands": operands,
        "ports": ports,
        "served_dimensions": ["D1", "D2"],
    }


def _port(name: str, kind: str, allocation: list[str], *, bits: int, least_bits: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "bandwidth_min": min(least_bits, bits),
        "bandwidth_max": bits,
        "allocation": allocation,
    }


def _workload(shape: LayerShape, config: AsicConfig, unrolling: Unrolling) -> Any:
    """The layer, and how it is unrolled, as ZigZag's workload of one layer."""
    workloads = require("zigzag.parser.workload_factory", extra=_EXTRA)
    layers = require("zigzag.parser.workload_validator", extra=_EXTRA)
    mappings = require("zigzag.parser.mapping_validator", extra=_EXTRA)
    layer = layers.WorkloadValidator([layer_fields(shape, bits=config.bits)])
    any_loop = next(iter(loop_sizes(shape)))
    mapping = mappings.MappingValidator(
        [
            {
                "name": "default",
                "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
                "spatial_mapping": {
                    side: [f"{loop}, {factor}" for loop, factor in factors or ((any_loop, 1),)]
                    for side, factors in (("D1", unrolling.rows), ("D2", unrolling.cols))
                },
            }
        ]
    )
    assert layer.validate() and mapping.validate()
    return workloads.WorkloadFactory(layer.normalized_data, mapping.normalized_data).create()


def layer_fields(shape: LayerShape, *, bits: int) -> dict[str, Any]:
    """A layer as an entry of ZigZag's dict workload."""
    sizes: dict[str, int] = {"B": 1}
    sizes.update({str(loop): n for loop, n in loop_sizes(shape).items()})
    fields: dict[str, Any] = {
        "id": 0,
        "name": "layer",
        "operand_source": {},
        "dimension_relations": [],
        "loop_dims": list(sizes),
        "loop_sizes": list(sizes.values()),
        "operand_precision": {"I": bits, "W": bits, "O": SUM_BITS, "O_final": bits},
    }
    if shape.operator == "add":
        precision = {**fields["operand_precision"], "O": bits}  # nothing is accumulated
        equation = "O[b][g][oy][ox]=W[b][g][oy][ox]+I[b][g][oy][ox]"
        return {**fields, "operator_type": "Add", "equation": equation, "operand_precision": precision}
    stride, kernel = shape.stride, sizes["FX"]
    padding = max((shape.out_size - 1) * stride + kernel - shape.in_size, 0)
    fields |= {
        "operand_source": {"W": 0},  # its own layer: weights are constants
        "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [shape.in_size, shape.in_size],
        "padding": [[padding // 2, padding - padding // 2]] * 2,
    }
    if shape.operator in ("avg_pool", "global_pool"):
        precision = {**fields["operand_precision"], "W": 0}
        equation = "O[b][g][oy][ox]+=W[fx][fy]*I[b][g][iy][ix]"
        return {**fields, "operator_type": "Pooling", "equation": equation, "operand_precision": precision}
    equation = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
    return {**fields, "operator_type": "Conv", "equation": equation}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep ZigZag's log lines away; what is infeasible is reported by the result."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
