"""What measuring a device gave: costs of layers, costs of networks, how far they agree, and the columns they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.hardware.workload import workload
from nasbench_mo.objective import Objective
from nasbench_mo.profiling.agreement import Agreement
from nasbench_mo.profiling.campaign import UNITS, Quantity, Setting
from nasbench_mo.profiling.turns import Beginning
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.table import Column

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One quantity under one setting.

    Parameters
    ----------
    quantity, setting
        Which.
    layers, layer_passes
        (s,) cost of each layer shape, and (s, passes) that of each pass alone. Empty for a quantity that no layer has.
    networks, network_passes
        (n,) cost of the first n networks of the sample, and (n, passes).
    """

    quantity: Quantity
    setting: Setting
    layers: Floats
    layer_passes: Floats
    networks: Floats
    network_passes: Floats

    @property
    def name(self) -> str:
        """Name of the objective, without unit."""
        return f"{self.quantity}_{self.setting.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The sum over layers against whole networks.

    Parameters
    ----------
    column
        Of both tables.
    table
        Sum over layers against networks; equal layers count once where the runtime merges them.
    n_merged
        Networks that have equal layers which the runtime merges.
    table_counting_all
        As ``table`` with equal layers counted each; None where no network has any that are merged.
    repeat
        Second pass of the networks against the first.
    layer_repeat_percent
        Median relative difference of a layer's cost between two passes.
    flops_tau_b
        Order by multiply-accumulates against networks.
    """

    column: str
    table: Agreement
    n_merged: int
    table_counting_all: Agreement | None
    repeat: Agreement
    layer_repeat_percent: float
    flops_tau_b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceResults:
    """Everything that was measured on one device, ready to be written."""

    device: str
    runtime: str
    identity: Mapping[str, Any]
    shapes: tuple[LayerShape, ...]
    cells: NDArray[np.int16]
    measured: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]
    beginnings: tuple[Beginning, ...]


def layer_columns(results: DeviceResults) -> Iterator[Column]:
    """Columns of the table of layers."""
    for found in results.measured:
        if len(found.layers):
            note = "one layer, from differences of graphs"
            yield from _of_both(results, found, values=found.layers, passes=found.layer_passes, note=note)


def network_columns(results: DeviceResults, skeleton: Skeleton) -> Iterator[Column]:
    """Columns of the table of networks; those beyond a setting's number have no value."""
    n = len(results.cells)
    for found in results.measured:
        values = np.full((n, 1 + found.network_passes.shape[1]), np.nan)
        values[: len(found.networks), 0] = found.networks
        values[: len(found.networks), 1:] = found.network_passes
        if len(found.networks):
            yield from _of_both(results, found, values=values[:, 0], passes=values[:, 1:], note="whole network")
    macs = workload("nb201", skeleton=skeleton).macs(results.cells)
    yield Column(objective=Objective(name="macs", unit="count", kind="derived", convention="live"), values=macs)


def _objective(results: DeviceResults, found: Measured, *, name: str, note: str) -> Objective:
    setting = found.setting
    threads = "" if setting.n_threads is None else f"; {setting.n_threads} thread{'s' * (setting.n_threads > 1)}"
    batch = "" if setting.batch == 1 else f"; of a batch of {setting.batch} images"
    return Objective(
        name=name,
        unit=UNITS[found.quantity],
        kind="measured",
        device=results.device,
        batch=setting.batch,
        precision=setting.precision,
        runtime=results.runtime,
        convention="live",
        note=note + threads + batch,
    )


def _of_both(results: DeviceResults, found: Measured, *, values: Floats, passes: Floats, note: str) -> Iterator[Column]:
    yield Column(objective=_objective(results, found, name=found.name, note=note), values=values)
    for p, of_pass in enumerate(passes.T, start=1):
        name = f"{found.name}_pass{p}"
        yield Column(objective=_objective(results, found, name=name, note=f"{note}; pass {p} alone"), values=of_pass)
