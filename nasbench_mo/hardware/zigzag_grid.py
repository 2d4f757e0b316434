"""ZigZag's costs of some layer shapes on a grid of accelerators: a journal that survives a kill, then two tables.

Each table has one row a layer shape and one column an accelerator. So a network's counts over the shapes, (n, s),
times the table's matrix, (s, h), is the cost of n networks on h accelerators in one product, with no pivot before it;
and a column's identity (device, precision) says which accelerator it is. Where ZigZag finds no mapping the value is
missing.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.bounded import parse_json, read_json
from nasbench_mo.errors import ArtifactError, FormatError, SpecError
from nasbench_mo.hardware import asic, zigzag_builder
from nasbench_mo.hardware.asic import AsicConfig
from nasbench_mo.hardware.asic_comparison import agreement
from nasbench_mo.hardware.asic_mapping import Dataflow
from nasbench_mo.hardware.shapes import LayerShape, shape_name
from nasbench_mo.hardware.workload import workload
from nasbench_mo.objective import Objective
from nasbench_mo.specification import folder_name_of, mapping_of, peek_specification, read_specification, text_of
from nasbench_mo.table import Column, Table, write_table

#: Called with (done, total) layers.
Progress = Callable[[int, int], None]
Cost = Literal["cycles", "energy"]

_JOURNAL = "journal.jsonl"
_IDENTITY = "identity.json"
_PJ_PER_UJ = 1e6
#: Networks of a space too large to enumerate on which the closed form is compared.
_COMPARED = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSpec:
    """What to cost: the fields of ``spec.yaml``.

    Parameters
    ----------
    id
        Identity of the two tables, with ``{cost}`` where they differ and a version, e.g.
        ``nb201-asicgrid-{cost}-modelled-v1``.
    space
        Space whose layers the shapes are.
    arrays
        (rows, columns) of the arrays.
    buffer_kb, bits, dataflows
        Values of these axes.
    bandwidths
        (buffer, DRAM) bits per cycle.
    shapes
        Layer shapes, the rows of the tables; in a file they may be left out for those of the space's workload.
    about
        One paragraph for the cards.
    """

    id: str
    space: str
    arrays: tuple[tuple[int, int], ...]
    buffer_kb: tuple[int, ...]
    bits: tuple[int, ...]
    dataflows: tuple[Dataflow, ...]
    bandwidths: tuple[tuple[int, int], ...]
    shapes: tuple[LayerShape, ...]
    about: str

    def __post_init__(self) -> None:
        if "{cost}" not in self.id:
            raise SpecError(f"id {self.id!r} must contain '{{cost}}': there is one table for each")
        for name in ("arrays", "buffer_kb", "bits", "dataflows", "bandwidths", "shapes"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise SpecError(f"{name} must be a list of distinct values, got {values!r}")
        self.configs()

    @classmethod
    def read(cls, path: Path) -> GridSpec:
        """Read and check a YAML specification."""
        names = [f.name for f in dataclasses.fields(cls)]
        fields = read_specification(path, allowed=names, required=[name for name in names if name != "shapes"])
        folder_name_of(str(fields["id"]).replace("{cost}", ""), place=f"{path.name}: id")
        if "shapes" not in fields:
            work = workload(text_of(fields["space"], place=f"{path.name}: space"))
            fields["shapes"] = [dataclasses.asdict(shape) for shape in work.shapes]
        for name in ("arrays", "buffer_kb", "bits", "dataflows", "bandwidths", "shapes"):
            if not isinstance(fields[name], list):
                raise SpecError(f"{path.name}: {name} must be a list, got {fields[name]!r}")
        for name in ("arrays", "bandwidths"):
            fields[name] = tuple(_pair(pair, place=f"{path.name}: {name}") for pair in fields[name])
        for name in ("buffer_kb", "bits", "dataflows"):
            fields[name] = tuple(fields[name])
        shape_fields = [f.name for f in dataclasses.fields(LayerShape)]
        required = [f.name for f in dataclasses.fields(LayerShape) if f.default is dataclasses.MISSING]
        fields["shapes"] = tuple(
            LayerShape(**mapping_of(shape, place=f"{path.name}: shapes", allowed=shape_fields, required=required))
            for shape in fields["shapes"]
        )
        return cls(**fields)

    def configs(self) -> list[AsicConfig]:
        """Every accelerator of the grid, the last axis fastest."""
        axes = itertools.product(self.arrays, self.buffer_kb, self.bits, self.dataflows, self.bandwidths)
        return [
            AsicConfig(
                pe_rows=array[0],
                pe_cols=array[1],
                buffer_kb=buffer_kb,
                bits=bits,
                dataflow=dataflow,
                buffer_bits_per_cycle=bandwidth[0],
                dram_bits_per_cycle=bandwidth[1],
            )
            for array, buffer_kb, bits, dataflow, bandwidth in axes
        ]


class Journal:
    """Costs that are already there, one JSON line each, in one folder. Use it as a context manager: it is locked.

    A line is written and synced at once. One that a kill cut off is dropped when the journal is opened again.

    Parameters
    ----------
    folder
        Made where it does not exist.
    identity
        What all costs in it have in common: the versions and constants of the model.

    Raises
    ------
    SpecError
        The folder was begun with another identity, or another builder works in it.
    ArtifactError
        A line in the middle is damaged.
    """

    def __init__(self, folder: Path, *, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.identity = dict(identity)
        self.costs: dict[tuple[str, str], zigzag_builder.Mapped | None] = {}
        self._lock = FileLock(folder / ".lock")

    def __enter__(self) -> Journal:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SpecError(
                f"another builder works in {self.folder}; wait for it, or give this one another folder"
            ) from None
        try:
            self._check_identity()
            self._read()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def add(self, key: tuple[str, str], mapped: zigzag_builder.Mapped | None) -> None:
        """Keep the cost of one layer on one accelerator; None where it is infeasible."""
        line = {"config": key[0], "shape": key[1], "cost": None if mapped is None else dataclasses.asdict(mapped)}
        with (self.folder / _JOURNAL).open("ab") as stream:
            stream.write(json.dumps(line).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.costs[key] = mapped

    def _check_identity(self) -> None:
        path = self.folder / _IDENTITY
        if not path.is_file():
            artifacts.write_atomic(path, (json.dumps(self.identity, indent=1) + "\n").encode())
            return
        try:
            begun = read_json(path)
        except FormatError as error:
            raise ArtifactError(f"{path} is damaged: {error}; begin in an empty folder") from error
        if begun != self.identity:
            raise SpecError(
                f"{self.folder} was begun with another model, see {path.name} there; its costs are not comparable. "
                "Begin in an empty folder"
            )

    def _read(self) -> None:
        path = self.folder / _JOURNAL
        data = path.read_bytes() if path.is_file() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            artifacts.write_atomic(path, whole)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                fields = parse_json(line)
                cost = fields["cost"]
                mapped = None if cost is None else zigzag_builder.Mapped(**cost)
                self.costs[fields["config"], fields["shape"]] = mapped
            except (ValueError, KeyError, TypeError) as error:
                raise ArtifactError(
                    f"{path}, line {number} is damaged ({error!r}); delete the line, and it is computed again"
                ) from error


def identity() -> dict[str, Any]:
    """What the costs of a journal depend on besides accelerator and layer, in types that JSON and YAML have."""
    names = (
        "MAC_PJ",
        "ADD_PJ",
        "SUM_BITS",
        "REGISTER_WORDS",
        "REGISTER_PJ_PER_BIT",
        "BUFFER_PJ_PER_ROOT_KB",
        "DRAM_PJ",
    )
    fields: dict[str, Any] = {
        "zigzag": zigzag_builder.version(),
        "unrollings": zigzag_builder.N_UNROLLINGS,
        "loop_factors": zigzag_builder.LOOP_FACTORS,
        "constants": {name: getattr(asic, name) for name in names},
    }
    plain: dict[str, Any] = json.loads(json.dumps(fields))
    return plain


def is_grid(path: Path) -> bool:
    """Whether a specification file is one of a grid of accelerators."""
    return "dataflows" in peek_specification(path)


def build_grid(
    spec: GridSpec,
    *,
    out: Path,
    work: Path,
    command: str,
    spec_file: Path | None = None,
    progress: Progress | None = None,
) -> dict[Cost, Table]:
    """Cost every layer on every accelerator, and store ``out/<id>/`` for cycles and for energy.

    Parameters
    ----------
    out
        Root folder of the tables.
    work
        Folder of the journal. What is in it is not computed again, so an interrupted build goes on.
    command
        The command that makes the tables again, for the cards.

    Raises
    ------
    SpecError
        A table exists already: published artefacts are frozen.
    """
    targets: dict[Cost, Path] = {cost: out / spec.id.replace("{cost}", cost) for cost in get_args(Cost)}
    for target in targets.values():
        if (target / "card.md").exists():
            raise SpecError(f"{target} exists and published artefacts are frozen; give the new one the next version")
    spec_text = spec_file.read_text(encoding="utf-8") if spec_file is not None else None
    model = identity()
    with Journal(work, identity=model) as journal:
        fill(journal, spec.configs(), shapes=spec.shapes, progress=progress)
        costs = collected(journal, spec.configs(), shapes=spec.shapes)
    figures = _closed_form(spec, costs)
    for cost, target in targets.items():
        columns = list(_columns(cost, costs[cost], configs=spec.configs(), model=model["zigzag"]))
        rows = [shape_name(shape) for shape in spec.shapes]
        with artifacts.staged_folder(target) as stage:
            if spec_text is not None:
                (stage / "spec.yaml").write_text(spec_text, encoding="utf-8")
            write_table(stage, columns, id=target.name, space=spec.space, archs=rows, rows="operator")
            own = command
            for other in targets.values():  # the folder of either table holds the specification of both
                own = own.replace(other.name, target.name)
            card = _card(
                spec, id=target.name, cost=cost, values=costs[cost], model=model, command=own, closed_form=figures[cost]
            )
            (stage / "card.md").write_text(card, encoding="utf-8")
    return {cost: Table.open(target) for cost, target in targets.items()}


def fill(
    journal: Journal,
    configs: Sequence[AsicConfig],
    *,
    shapes: Sequence[LayerShape],
    progress: Progress | None = None,
) -> None:
    """Compute what a journal does not have yet, one accelerator after the other."""
    wanted = {_key(shape, config): (shape, config) for config in configs for shape in shapes}
    missing = [key for key in wanted if key not in journal.costs]
    for done, key in enumerate(missing, start=len(wanted) - len(missing)):
        if progress is not None:
            progress(done, len(wanted))
        journal.add(key, zigzag_builder.evaluate(*wanted[key]))
    if progress is not None:
        progress(len(wanted), len(wanted))


def collected(
    journal: Journal, configs: Sequence[AsicConfig], *, shapes: Sequence[LayerShape]
) -> dict[Cost, NDArray[np.float64]]:
    """Cycles, and energy in uJ, (s, h) each; NaN where a layer is infeasible or not computed yet."""
    found: dict[Cost, NDArray[np.float64]] = {
        cost: np.full((len(shapes), len(configs)), np.nan) for cost in get_args(Cost)
    }
    for j, config in enumerate(configs):
        for i, shape in enumerate(shapes):
            mapped = journal.costs.get(_key(shape, config))
            if mapped is not None:
                found["cycles"][i, j] = mapped.cycles
                found["energy"][i, j] = mapped.energy_pj / _PJ_PER_UJ
    return found


def _key(shape: LayerShape, config: AsicConfig) -> tuple[str, str]:
    """Name of a cost in the journal. Where no DRAM is used, its bandwidth is left out, and the cost is shared."""
    name = config.name
    return (f"{name.rpartition('_')[0]}_any" if config.fits(shape) else name), shape_name(shape)


def _columns(cost: Cost, values: NDArray[np.float64], *, configs: Sequence[AsicConfig], model: str) -> Iterator[Column]:
    """One column an accelerator; one on which no layer is feasible has none."""
    for config, column in zip(configs, values.T, strict=True):
        if not np.isnan(column).all():
            objective = Objective(
                name=f"{'latency' if cost == 'cycles' else 'energy'}_{config.name}",
                unit="cycles" if cost == "cycles" else "uj",
                kind="modelled",
                device=f"asic {config.name}",
                batch=1,
                precision=f"int{config.bits}",
                runtime=model,
                convention="live",
                note="one layer; DRAM only where it does not fit in the buffer; dynamic energy only",
            )
            yield Column(objective=objective, values=column)


def _closed_form(spec: GridSpec, costs: Mapping[Cost, NDArray[np.float64]]) -> Mapping[Cost, Mapping[str, Any] | None]:
    """How well :mod:`.asic` agrees with the grid on whole networks; nothing where the shapes do not make one."""
    work = workload(spec.space)
    if set(work.shapes) != set(spec.shapes):
        return dict.fromkeys(costs)
    few = work.space.enumerable
    X = work.space.enumerate() if few else work.space.sample(_COMPARED, rng=np.random.default_rng(0))
    counts = work.counts(X[~work.space.degenerate(X)])[:, [work.shapes.index(shape) for shape in spec.shapes]]
    cycles, energy = agreement(
        counts, spec.shapes, spec.configs(), cycles=costs["cycles"], energy_pj=costs["energy"] * _PJ_PER_UJ
    )
    return {"cycles": cycles.summary(), "energy": energy.summary()}


def _closed_form_text(figures: Mapping[str, Any] | None) -> str:
    if figures is None:
        return ""
    tau = f"{figures['tau_median']:.3f} (median; worst {figures['tau_worst']:.3f})"
    off = f"{100 * figures['mape_median']:.1f} % (worst {100 * figures['mape_worst']:.1f} %)"
    return f"""## The closed form of `nasbench_mo.hardware.asic` against this table

Over {figures["networks"]} networks, on the {figures["accelerators"]} accelerators that can map every layer: Kendall's
tau-b {tau}, mean error of a network {off}. Both are models, neither was compared with a chip, and both get their
spatial mapping from one rule. One constant of the closed form was fitted to ZigZag, on layers that exceed the buffer of
20 development configurations.
"""


def _pair(value: object, *, place: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise SpecError(f"{place}: expected pairs of integers, got {value!r}")
    return value[0], value[1]


def _card(
    spec: GridSpec,
    *,
    id: str,
    cost: Cost,
    values: NDArray[np.float64],
    model: Mapping[str, Any],
    command: str,
    closed_form: Mapping[str, Any] | None,
) -> str:
    infeasible = np.isnan(values)
    some = [bool(column.any()) for column in infeasible.T]
    every = [bool(column.all()) for column in infeasible.T]
    names = [config.name for config in spec.configs()]
    front = {
        "id": id,
        "what": "layer cost table",
        "kind": "modelled",
        "space": spec.space,
        "objective": {
            "name": "latency" if cost == "cycles" else "energy",
            "unit": "cycles" if cost == "cycles" else "uj",
            "kind": "modelled",
            "device": f"asic, a grid of {len(names)}",
            "batch": 1,
            "precision": " or ".join(f"int{bits}" for bits in spec.bits),
            "runtime": model["zigzag"],
            "convention": "live",
        },
        "rows": len(spec.shapes),
        "accelerators": len(names),
        "infeasible_layers": int(infeasible.sum()),
        "accelerators_with_infeasible_layers": [n for n, bad in zip(names, some, strict=True) if bad],
        "accelerators_without_feasible_layer": [n for n, bad in zip(names, every, strict=True) if bad],
        "model": dict(model),
        "closed_form_against_this": None if closed_form is None else dict(closed_form),
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: installed(name) for name in ("nasbench-mo", "numpy")}
        | {"python": platform.python_version()},
        "superseded_by": None,
    }
    body = f"""
# {id}

{spec.about}

One row a layer shape, one column an accelerator, named `<rows>x<columns>_<buffer>kb_<bits>b_<dataflow>_<buffer bits per
cycle>_<DRAM bits per cycle>`; {"clock cycles" if cost == "cycles" else "dynamic energy in uJ"} of one layer, batch 1.
Modelled by {model["zigzag"]}, not measured on hardware. A missing value is a layer that the model cannot map there.

{_closed_form_text(closed_form)}"""
    return artifacts.render_card(front, body=body)
