"""NAS-Bench-201's fronts of error and cost on one device of each class, side by side: for a look, not for a score.

What the columns are differs, and is said of each: the error is predicted; the GPU's latency is predicted from published
measurements, the CPU's a sum of layers that we measured, those of FPGA and ASIC are modelled. Energy is there for
the last two alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import require
from nasbench_mo.hardware import ShapeCosts
from nasbench_mo.hardware.accelerators import design_columns
from nasbench_mo.hardware.workload import workload
from nasbench_mo.pareto import nondominated
from nasbench_mo.predictor import load_predictor
from nasbench_mo.space import space

ERROR = "nb201-c10-valerr-xgb-v1"
GPU = "nb201-2080ti_1-latency-linear-v1"
CPU = ("nb201-cpu-ort-epyc-v1", "latency_fp32_t1_us")
#: Kind of accelerator: a design of its space, and what to call it.
DESIGNS = {
    "fpga": (
        "part=zcu102,style=pipelined,unroll_out=8,unroll_in=8,unroll_kernel=3,bits=8,buffer_kib=128,clock_mhz=200",
        "FPGA: pipeline on a ZCU102, 8 bit",
    ),
    "asic": (
        "rows=12,cols=14,buffer_kb=108,bits=16,dataflow=rs,buffer_bits=256,dram_bits=64,clock_mhz=200",
        "ASIC: 12x14 elements, like Eyeriss, 16 bit",
    ),
}
_COLOURS = {"GPU": "#4477aa", "CPU": "#ee6677", "FPGA": "#228833", "ASIC": "#aa3377"}
#: Errors above are not drawn.
_HIGHEST = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFront:
    """The nondominated networks of error and one cost on one device.

    Parameters
    ----------
    label
        Class, device, and whether the cost is predicted, derived or modelled.
    quantity
        ``"latency"``, in ms, or ``"energy"``, in mJ.
    values
        (k, 2) error in percent and cost, by cost.
    """

    label: str
    quantity: str
    values: NDArray[np.float64]


def device_fronts() -> list[DeviceFront]:
    """Fronts of the networks that compute something of their input, on embedded data alone."""
    nb201 = space("nb201")
    X = nb201.enumerate()
    live = ~nb201.degenerate(X)
    error = load_predictor(ERROR).predict(X)
    fronts = []
    for label, quantity, cost in _costs(X):
        F = np.unique(np.stack([error, cost], axis=1)[live], axis=0)
        F = F[nondominated(F)]
        fronts.append(DeviceFront(label=label, quantity=quantity, values=F[np.argsort(F[:, 1], kind="stable")]))
    return fronts


def _costs(X: NDArray[np.int64]) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    yield "GPU: 2080 Ti, batch 1 (predicted)", "latency", load_predictor(GPU).predict(X)
    table, column = CPU
    latency_ms = ShapeCosts.load(table).evaluate(X, column=column) / 1e3
    yield "CPU: EPYC, one core (sum of measured layers)", "latency", latency_ms
    work = workload("nb201")
    for name, (design, label) in DESIGNS.items():
        for column_ in design_columns(name, design, work=work):
            quantity = column_.objective.name.partition("_")[0]
            to_milli = 1e3 if column_.objective.unit == "uj" else 1.0
            yield f"{label} (modelled)", quantity, column_.values / to_milli


def plot_device_fronts(path: Path) -> None:
    """Write the fronts as a picture; the suffix says which format.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    require("matplotlib", extra="notebooks")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = dict(zip(("latency", "energy"), figure.subplots(1, 2, sharey=True), strict=True))
    for front in device_fronts():
        colour = _COLOURS[front.label.partition(":")[0]]
        error, cost = front.values.T
        panels[front.quantity].step(cost, error, where="post", color=colour, linewidth=1)
        panels[front.quantity].plot(cost, error, "o", color=colour, markersize=3.5, label=front.label)
    for quantity, unit in (("latency", "ms"), ("energy", "mJ")):
        axes = panels[quantity]
        axes.set_xscale("log")
        axes.set_xlabel(f"{quantity} of one image [{unit}]")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    panels["latency"].set_ylabel("CIFAR-10 validation error, predicted [%]")
    panels["latency"].set_ylim(7.5, _HIGHEST)  # of both panels
    panels["energy"].set_title("energy is not available for the GPU and the CPU", fontsize=9)
    figure.savefig(path, dpi=90)
