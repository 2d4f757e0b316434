"""Every device that something here speaks of: which class, measured or modelled, what is known of it and what is not.

Read off the cards of cost tables and predictors, and the accelerator models. A field that a source does not state is
said to be not stated; energy that nobody published is said to be not available, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from functools import partial
from typing import Any, Literal

from nasbench_mo import artifacts
from nasbench_mo.hardware.accelerators import ACCELERATORS
from nasbench_mo.objective import Objective

DeviceClass = Literal["GPU", "CPU", "phone", "FPGA", "ASIC"]

NOT_STATED = "not stated"
NOT_AVAILABLE = "not available"

#: Class of a device by the beginning of its name.
CLASSES: Mapping[str, DeviceClass] = {
    "1080ti": "GPU", "2080ti": "GPU", "3090": "GPU", "titan": "GPU", "v100": "GPU", "a100": "GPU", "nvidia": "GPU",
    "gold": "CPU", "silver": "CPU", "raspi": "CPU", "cpu": "CPU", "epyc": "CPU", "amd": "CPU", "intel": "CPU",
    "pixel": "phone", "samsung": "phone", "essential": "phone",
    "fpga": "FPGA", "zcu102": "FPGA", "vck190": "FPGA", "zc706": "FPGA",
    "eyeriss": "ASIC", "asic": "ASIC", "tpu": "ASIC",
}  # fmt: skip

#: Quantities of an objective's name by its beginning.
_TIME = ("latency", "image_time", "throughput")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """One column of one artefact, or one accelerator model."""

    device: str
    device_class: str
    space: str
    objective: str
    unit: str
    kind: str
    precision: str
    batch: str
    runtime: str
    noise: str
    energy: str
    source: str
    artefact: str


def device_class(device: str) -> str:
    """GPU, CPU, phone, FPGA or ASIC; a device that is not known says so."""
    name = device.lower()
    return next((found for start, found in CLASSES.items() if name.startswith(start)), NOT_STATED)


def device_rows(*, plugins: bool = False) -> list[DeviceRow]:
    """All of them: classes together, devices and spaces in order.

    Parameters
    ----------
    plugins
        With those of other packages.
    """
    rows = [*_of_tables(plugins=plugins), *_of_predictors(plugins=plugins), *_of_models()]
    order = list(dict.fromkeys(CLASSES.values()))
    return sorted(
        rows,
        key=lambda r: (
            order.index(r.device_class) if r.device_class in order else 9,
            r.device,
            r.batch.zfill(6),
            r.space,
            r.objective,
        ),
    )


def devices_markdown(*, command: str) -> str:
    """The rows as a Markdown page."""
    head = [f.name.replace("device_class", "class") for f in fields(DeviceRow)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(astuple(row))} |" for row in device_rows()]
    return "\n\n".join(["# Devices", f"`{command}`", _ABOUT, _FRONTS, "\n".join(lines)]) + "\n"


_ABOUT = """What is known of each device, and from whom. `measured` was timed on the device by the source; `modelled`
comes from an analytic model or a simulator; `predicted` is our predictor of such a column, whose held-out figures are
in [predictors/README.md](../predictors/README.md). What a source does not state is not guessed. Energy is not
available where it was not published: a latency says nothing about it."""
_FRONTS = """![Fronts of error and cost on a GPU, a CPU, an FPGA and an ASIC](fronts.png)

Fronts of NAS-Bench-201's networks on one device of each class, for a look: kinds, precisions and batch sizes differ.
`nasbench-mo table devices --plot hw_tables/fronts.png`"""


def _of_tables(*, plugins: bool) -> Iterator[DeviceRow]:
    cards = _cards("hw_tables", plugins=plugins)
    objectives = {name: card.get("objectives") or [card["objective"]] for name, card in cards.items()}
    energy = {
        o.get("device"): name for name in cards for o in objectives[name] if str(o["name"]).startswith("energy")
    }  # which table has the energy of a device
    for name, card in cards.items():
        for objective in objectives[name]:
            if objective.get("device"):
                source = (card.get("fitted_to") or {}).get("source") or card.get("source") or "this project"
                where = energy.get(objective["device"], NOT_AVAILABLE)
                yield _row(objective, card=card, source=str(source), artefact=name, energy=where)


def _of_predictors(*, plugins: bool) -> Iterator[DeviceRow]:
    for identifier, card in _cards("predictors", plugins=plugins).items():
        objective = card["objective"]
        if objective.get("device") and str(objective["name"]).startswith(_TIME):
            source = str((card.get("trained_on") or {}).get("source", NOT_STATED))
            yield _row(objective, card=card, source=source, artefact=identifier, energy=NOT_AVAILABLE)


def _cards(kind: artifacts.Kind, *, plugins: bool) -> dict[str, dict[str, Any]]:
    """Cards by id; those of plug-ins are checked, so that a broken one is reported and left out."""
    cards = {name: artifacts.read_card(artifacts.resolve(kind, name)) for name in artifacts.available(kind)}
    return cards | dict(artifacts.each_plugged(kind, partial(_checked_card, kind))) if plugins else cards


def _checked_card(kind: artifacts.Kind, name: str) -> tuple[str, dict[str, Any]]:
    card = artifacts.read_card(artifacts.resolve(kind, name))
    for said in card.get("objectives") or [card["objective"]]:
        objective = Objective.from_dict(said)
        if objective.device:
            _row(objective.to_dict(), card=card, source="", artefact=name, energy="")
    return name, card


def _of_models() -> Iterator[DeviceRow]:
    for name, made in ACCELERATORS.items():
        model = made()
        for quantity, unit in model.quantities.items():
            yield DeviceRow(
                device=f"any {name.upper()} of space {name}",
                device_class=name.upper(),
                space=f"nb201-x-{name}",
                objective=quantity,
                unit=unit,
                kind="modelled",
                precision="8 or 16 bit, chosen",
                batch="1",
                runtime="none",
                noise="none: a formula",
                energy="modelled",
                source="this project",
                artefact=f"nasbench_mo.hardware.{name}",
            )


def _row(
    objective: Mapping[str, Any], *, card: Mapping[str, Any], source: str, artefact: str, energy: str
) -> DeviceRow:
    device = str(objective["device"])
    modelled = objective["kind"] == "modelled" or device in ("eyeriss", "fpga")
    return DeviceRow(
        device=device,
        device_class=device_class(device),
        space=str(card["space"]),
        objective=str(objective["name"]),
        unit=str(objective["unit"]),
        kind=f"{objective['kind']}, of a simulation"
        if modelled and objective["kind"] == "predicted"
        else str(objective["kind"]),
        precision=str(objective.get("precision") or NOT_STATED),
        batch=str(objective.get("batch") or NOT_STATED),
        runtime=str(objective.get("runtime") or NOT_STATED),
        noise=_noise(objective, card=card, modelled=modelled),
        energy=energy,
        source=source,
        artefact=artefact,
    )


def _noise(objective: Mapping[str, Any], *, card: Mapping[str, Any], modelled: bool) -> str:
    """Of the column itself where the card has its figures, else of the whole table."""
    column = f"{objective['name']}_{objective['unit']}"
    figures = card.get("figures")
    if isinstance(figures, list):  # of a measured device: one entry a column that was measured twice
        own = [f["second_pass_against_first"] for f in figures if f["column"] == column]
        return f"{own[0]['mape_percent']:.1f} % between two passes" if own else NOT_STATED
    if objective["kind"] == "modelled":
        return "none: a formula"
    return str(card.get("noise_floor") or ("none: a formula" if modelled else NOT_STATED))
