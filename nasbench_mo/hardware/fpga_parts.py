"""FPGA parts: what a board offers to a design, and how a part of one's own joins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self, get_args

from nasbench_mo.errors import SpecError, UnknownNameError, did_you_mean
from nasbench_mo.specification import read_specification

DspKind = Literal["E1", "E2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaPart:
    """A board's device and memory. It is *not* a design: that is :class:`~nasbench_mo.hardware.fpga.FpgaConfig`.

    Parameters
    ----------
    name
        Name of the board or device, as it appears in errors.
    dsp
        Number of DSP slices.
    dsp_kind
        ``"E1"``: DSP48E1 of the 7 series (25 x 18 bit); ``"E2"``: DSP48E2 of UltraScale and UltraScale+ (27 x 18 bit).
    bram18
        Number of block RAMs of 18 Kbit; a RAMB36 is two of them.
    lut, ff
        Number of look-up tables and flip-flops.
    ddr_gb_per_s
        Peak rate of the external memory in 10^9 bytes per second.
    static_w
        Power in watts that does not depend on the design: leakage, processing system.
    dynamic_power_scale
        Dynamic power of one resource at one clock rate relative to the ZC706.
    source
        Where the numbers come from.

    Raises
    ------
    SpecError
        A number is not positive, or the kind of DSP is unknown.
    """

    name: str
    dsp: int
    dsp_kind: DspKind
    bram18: int
    lut: int
    ff: int
    ddr_gb_per_s: float
    static_w: float
    dynamic_power_scale: float = 1.0
    source: str = "the user's own"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise SpecError(f"an FPGA part needs a name, got {self.name!r}")
        if self.dsp_kind not in get_args(DspKind):
            raise SpecError(
                f"FPGA part {self.name!r}: dsp_kind must be one of {', '.join(get_args(DspKind))}; "
                f"got {self.dsp_kind!r}"
            )
        for field in ("dsp", "bram18", "lut", "ff"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpecError(f"FPGA part {self.name!r}: {field} must be a positive integer, got {value!r}")
        for field in ("ddr_gb_per_s", "static_w", "dynamic_power_scale"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise SpecError(f"FPGA part {self.name!r}: {field} must be a positive number, got {value!r}")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a part of one's own from a YAML file whose keys are the fields of this class.

        Raises
        ------
        SpecError
            A field is missing, unknown or not usable.
        """
        fields = dataclasses.fields(cls)
        required = [f.name for f in fields if f.default is dataclasses.MISSING]
        return cls(**read_specification(path, allowed=[f.name for f in fields], required=required))


#: Boards by name. Counts: the device tables of stanford-ppl/spatial (MIT), src/spatial/targets/xilinx/Zynq.scala and
#: ZCU.scala, which list DSPs, registers and RAMB36 directly, and slices of 4 LUT (7 series) or CLBs of 8 LUT
#: (UltraScale+). Xilinx' product tables (DS190, DS891) were not at hand to confirm them. static_w and
#: dynamic_power_scale: assumption, see nasbench_mo.hardware.fpga_resources for the calibration.
PARTS: Mapping[str, FpgaPart] = MappingProxyType(
    {
        "zc706": FpgaPart(
            name="zc706",
            dsp=900,
            dsp_kind="E1",
            bram18=2 * 545,
            lut=4 * 54_650,
            ff=437_200,
            ddr_gb_per_s=12.8,
            static_w=2.0,
            source="XC7Z045: stanford-ppl/spatial Zynq.scala. DDR3 SODIMM of the programmable logic, 8 byte x "
            "1,600 MT/s (UG954, unverified). static_w: assumption.",
        ),
        "zcu102": FpgaPart(
            name="zcu102",
            dsp=2_520,
            dsp_kind="E2",
            bram18=2 * 912,
            lut=8 * 34_260,
            ff=548_160,
            ddr_gb_per_s=17.064,
            static_w=3.0,
            dynamic_power_scale=0.6,
            source="XCZU9EG: stanford-ppl/spatial ZCU.scala. DDR4 of the processing system, 8 byte x 2,133 MT/s "
            "(UG1182, unverified). static_w and the step from 28 to 16 nm in dynamic_power_scale: assumption.",
        ),
    }
)


def fpga_part(name: str) -> FpgaPart:
    """The part of a name.

    Raises
    ------
    UnknownNameError
        There is none; the message lists those there are.
    """
    known = PARTS.get(name.lower()) if isinstance(name, str) else None
    if known is None:
        raise UnknownNameError(
            f"no FPGA part is called {name!r}.{did_you_mean(str(name).lower(), PARTS)} Known: {', '.join(PARTS)}; "
            "describe another one with FpgaPart(...) or FpgaPart.read(file)"
        )
    return known
