"""What networks cost on accelerators that are searched too: an encoding becomes a design, a design has costs.

Everything here is modelled. Energy is that of one image, batch 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError, did_you_mean
from nasbench_mo.hardware import asic as asic_model
from nasbench_mo.hardware import fpga as fpga_model
from nasbench_mo.hardware.asic import AsicConfig
from nasbench_mo.hardware.fpga_design import FpgaConfig
from nasbench_mo.hardware.fpga_parts import fpga_part
from nasbench_mo.hardware.fpga_resources import resources
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.hardware.workload import Workload
from nasbench_mo.objective import Objective
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.space.accelerator import DATAFLOWS
from nasbench_mo.table import Column

Floats = NDArray[np.float64]

#: Decimals kept of a cost, so that equal work gives equal numbers and ties stay ties.
_DECIMALS = 9
#: Designs that are composed with all networks of a call at a time.
_DESIGNS = 256
#: Supply voltage at a clock, V. Assumption: 0.9 V, the voltage of the energy constants, is needed at 400 MHz, and
#: voltage falls linearly to 0.7 V at 100 MHz; dynamic energy goes with its square.
_VOLTAGE = {100: 0.7, 200: 0.7 + 0.2 / 3, 400: 0.9}
_NOMINAL_VOLTAGE = 0.9


class AcceleratorModel(ABC):
    """Costs of networks on the accelerators of one search space. Abstract: a kind of accelerator is a final class."""

    #: Name of the accelerators' search space.
    name: str
    #: What it costs: name to unit. ``latency`` and ``energy`` depend on the network, the others on the design alone.
    quantities: Mapping[str, str]

    @cached_property
    def space(self) -> SearchSpace:
        """The accelerators."""
        return space(self.name)

    def objective(self, quantity: str) -> Objective:
        """Identity of one of :attr:`quantities`.

        Raises
        ------
        SpecError
            There is no such quantity.
        """
        if quantity not in self.quantities:
            raise SpecError(
                f"accelerators {self.name!r} have {', '.join(self.quantities)}; got {quantity!r}."
                f"{did_you_mean(quantity, self.quantities)}"
            )
        depends = quantity in ("latency", "energy")
        return Objective(
            name=f"{quantity}_{self.name}",
            unit=self.quantities[quantity],
            kind="modelled",
            device=self.name,
            batch=1 if depends else None,
            convention="live" if depends else None,
        )

    def costs(self, counts: ArrayLike, A: ArrayLike, *, shapes: Sequence[LayerShape]) -> dict[str, Floats]:
        """Costs of every network on every accelerator.

        Parameters
        ----------
        counts
            (n, s) counts of networks over layer shapes.
        A
            (h, d) encodings of accelerators.
        shapes
            The s shapes.

        Returns
        -------
        (n, h) by quantity; a quantity that does not depend on the network has equal rows.
        """
        made = self._costs(np.asarray(counts, dtype=np.float64), self.space.check(A), shapes=shapes)
        n = len(np.asarray(counts))
        return {
            name: np.broadcast_to(np.round(values, _DECIMALS), (n, values.shape[1])) for name, values in made.items()
        }

    def pair_costs(self, counts: ArrayLike, A: ArrayLike, *, shapes: Sequence[LayerShape]) -> dict[str, Floats]:
        """Costs of n networks, each on an accelerator of its own, (n,) by quantity: the diagonal of :meth:`costs`.

        Designs that occur several times are costed once, in chunks, so that memory stays bounded.
        """
        tallies, designs = np.asarray(counts, dtype=np.float64), self.space.check(A)
        if len(tallies) != len(designs):
            raise SpecError(f"expected one accelerator for each network, got {len(designs)} for {len(tallies)}")
        distinct_n, i = np.unique(tallies, axis=0, return_inverse=True)
        distinct_h, j = np.unique(designs, axis=0, return_inverse=True)
        found = {name: np.empty(len(tallies)) for name in self.quantities}
        for start in range(0, len(distinct_h), _DESIGNS):
            here = np.flatnonzero((j >= start) & (j < start + _DESIGNS))
            made = self.costs(distinct_n, distinct_h[start : start + _DESIGNS], shapes=shapes)
            for name, values in made.items():
                found[name][here] = values[i[here], j[here] - start]
        return found

    @abstractmethod
    def _costs(self, counts: Floats, A: NDArray[Any], *, shapes: Sequence[LayerShape]) -> dict[str, Floats]:
        """Costs by quantity, (n, h) or (1, h)."""

    def _values(self, A: NDArray[Any]) -> list[list[str]]:
        """Value of each variable of (h, d) encodings, as text."""
        variables = self.space.variables
        return [[variables[j].values[code] for j, code in enumerate(row)] for row in A.tolist()]


@final
class AsicAccelerators(AcceleratorModel):
    """Arrays of processing elements, by :mod:`nasbench_mo.hardware.asic`.

    Eight bits cost less than sixteen and nothing here says what they do to the error.
    """

    name = "asic"
    quantities = {"latency": "ms", "energy": "uj", "area": "mm2"}  # noqa: RUF012

    def configs(self, A: ArrayLike) -> list[AsicConfig]:
        """The designs of (h, d) encodings."""
        return [
            AsicConfig(
                pe_rows=int(rows),
                pe_cols=int(cols),
                buffer_kb=int(buffer_kb),
                bits=int(bits),  # type: ignore[arg-type, unused-ignore]
                dataflow=DATAFLOWS[dataflow],  # type: ignore[arg-type]
                buffer_bits_per_cycle=int(buffer_bits),
                dram_bits_per_cycle=int(dram_bits),
                clock_mhz=float(clock),
            )
            for rows, cols, buffer_kb, bits, dataflow, buffer_bits, dram_bits, clock in self._values(
                self.space.check(A)
            )
        ]

    def _costs(self, counts: Floats, A: NDArray[Any], *, shapes: Sequence[LayerShape]) -> dict[str, Floats]:
        latency_ms, energy_uj, area_mm2 = self._all_designs(tuple(shapes))
        which = self.space.codes(A)
        return {
            "latency": counts @ latency_ms[:, which],
            "energy": counts @ energy_uj[:, which],
            "area": area_mm2[None, which],
        }

    @staticmethod
    @lru_cache(maxsize=4)
    def _all_designs(shapes: tuple[LayerShape, ...]) -> tuple[Floats, Floats, Floats]:
        """Latency and energy of each shape on every design of the space, (s, H), and the designs' areas, (H,).

        The model needs a second for all designs and 20 ms for one, so they are all computed once.
        """
        model = AsicAccelerators()
        configs = model.configs(model.space.enumerate())
        cycles, energy_pj = asic_model.costs(shapes, configs)
        clock_mhz = np.array([config.clock_mhz for config in configs])
        voltage = np.array([_VOLTAGE[int(clock)] for clock in clock_mhz])
        latency_ms = cycles / (clock_mhz * 1e3)
        energy_uj = energy_pj * (voltage / _NOMINAL_VOLTAGE) ** 2 * 1e-6
        return latency_ms, energy_uj, asic_model.area_mm2(configs)


@final
class FpgaAccelerators(AcceleratorModel):
    """Designs on evaluation boards, by :mod:`nasbench_mo.hardware.fpga`."""

    name = "fpga"
    quantities = {"latency": "ms", "energy": "mj", "dsp": "count"}  # noqa: RUF012

    def configs(self, A: ArrayLike) -> list[FpgaConfig]:
        """The designs of (h, d) encodings."""
        return [
            FpgaConfig(
                part=fpga_part(part),
                style=style,  # type: ignore[arg-type]
                unroll_out=int(unroll_out),
                unroll_in=int(unroll_in),
                unroll_kernel=int(unroll_kernel),
                unroll_depthwise=1,  # these networks have no depthwise layers
                bits=int(bits),
                buffer_kib=int(buffer_kib),
                clock_mhz=float(clock),
            )
            for part, style, unroll_out, unroll_in, unroll_kernel, bits, buffer_kib, clock in self._values(
                self.space.check(A)
            )
        ]

    def _costs(self, counts: Floats, A: NDArray[Any], *, shapes: Sequence[LayerShape]) -> dict[str, Floats]:
        configs = self.configs(A)
        return {
            "latency": fpga_model.latency_ms(counts, shapes, configs),
            "energy": fpga_model.energy_mj(counts, shapes, configs),
            "dsp": resources(shapes, configs).dsp.astype(np.float64)[None],
        }


#: Every kind of accelerator by the name of its space.
ACCELERATORS: Mapping[str, type[AcceleratorModel]] = {made.name: made for made in (AsicAccelerators, FpgaAccelerators)}


def accelerators(name: str) -> AcceleratorModel:
    """The model of a space of accelerators.

    Raises
    ------
    SpecError
        There is none of that name.
    """
    if name not in ACCELERATORS:
        known = ", ".join(ACCELERATORS)
        raise SpecError(f"unknown accelerators {name!r}; known: {known}.{did_you_mean(str(name), ACCELERATORS)}")
    return ACCELERATORS[name]()


def design_columns(name: str, design: str, *, work: Workload) -> list[Column]:
    """Latency and energy of every network of a workload's space on one accelerator, in lexicographic order.

    Parameters
    ----------
    name, design
        Kind of accelerator, and one of its space by its string.
    work
        The networks.

    Raises
    ------
    SpecError
        There is no such kind.
    ArchitectureError
        The design is not of its space.
    """
    model = accelerators(name)
    A = model.space.encode([design])
    costs = model.costs(work.counts(work.space.enumerate()), A, shapes=work.shapes)
    settings = dict(setting.split("=") for setting in design.split(","))
    return [
        Column(
            objective=replace(
                model.objective(quantity),
                device=f"{name} {design.replace(',', ' ')}",
                precision=f"int{settings['bits']}",
                note="dynamic energy" if quantity == "energy" and name == "asic" else None,
            ),
            values=costs[quantity][:, 0].copy(),
        )
        for quantity in ("latency", "energy")
    ]
