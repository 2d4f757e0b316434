"""Accelerators as search spaces: which array, which buffer, which precision. What they cost is not said here.

:mod:`nasbench_mo.hardware.accelerators` turns encodings into designs. Every combination is a valid design, and every
FPGA design fits its part with the layers of NAS-Bench-201 (a test builds them all).
"""

from __future__ import annotations

from nasbench_mo.space.categorical import CategoricalSpace
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.space.product import ProductSpace

#: Dataflows by the letters usual for them: row, weight and output stationary.
DATAFLOWS = {"rs": "row_stationary", "ws": "weight_stationary", "os": "output_stationary"}


def asic() -> CategoricalSpace:
    """Arrays of 4 x 4 to 32 x 32 processing elements with one buffer: 12,960 accelerators."""
    return CategoricalSpace(
        "asic",
        {
            "rows": [4, 8, 12, 16, 24, 32],
            "cols": [4, 8, 14, 16, 24, 32],
            "buffer_kb": [32, 64, 108, 256, 512],
            "bits": [8, 16],
            "dataflow": list(DATAFLOWS),
            "buffer_bits": [128, 256],
            "dram_bits": [32, 64],
            "clock_mhz": [100, 200, 400],
        },
    )


def fpga() -> CategoricalSpace:
    """Designs on two evaluation boards, pipelined or a single engine: 1,728 designs."""
    return CategoricalSpace(
        "fpga",
        {
            "part": ["zc706", "zcu102"],
            "style": ["single_engine", "pipelined"],
            "unroll_out": [4, 8, 16],
            "unroll_in": [2, 4, 8, 16],
            "unroll_kernel": [1, 3],
            "bits": [8, 16],
            "buffer_kib": [32, 64, 128],
            "clock_mhz": [100, 150, 200],
        },
    )


def nb201_x_asic() -> ProductSpace:
    """A NAS-Bench-201 cell and the ASIC it runs on: 2.0e8 combinations."""
    return ProductSpace("nb201-x-asic", [NB201(), asic()])


def nb201_x_fpga() -> ProductSpace:
    """A NAS-Bench-201 cell and the FPGA design it runs on: 2.7e7 combinations."""
    return ProductSpace("nb201-x-fpga", [NB201(), fpga()])
