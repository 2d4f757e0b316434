"""A table of what every network of a space costs on chosen accelerators, by the closed-form models.

The models are in :mod:`.asic` and :mod:`.fpga`; a measured table has the same columns where its specification names
accelerators.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.accelerators import ACCELERATORS, design_columns
from nasbench_mo.hardware.workload import Workload, workload
from nasbench_mo.objective import Objective
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.specification import folder_name_of, mapping_of, peek_specification, read_specification, text_of
from nasbench_mo.table import Column, Table, write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignSpec:
    """What to model: the fields of ``spec.yaml``.

    Parameters
    ----------
    id
        Identity of the artefact, with version.
    space
        An enumerable space whose networks' layers are known.
    dataset
        Data set of the networks, which the columns name.
    accelerators
        A design for each kind of accelerator, as ``nasbench-mo show asic`` and ``show fpga`` write them.
    skeleton
        Fields of :class:`~nasbench_mo.space.nb201.Skeleton`, where the network is not the one published for the data
        set.
    about
        One paragraph for the card.
    """

    id: str
    space: str
    dataset: str
    accelerators: Mapping[str, str]
    about: str
    skeleton: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> DesignSpec:
        """Read and check a YAML specification.

        Raises
        ------
        SpecError
            A field is missing, unknown or of another type.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        fields = read_specification(path, allowed=names, required=[name for name in names if name != "skeleton"])
        texts = {name: text_of(fields[name], place=f"{path}: {name}") for name in names if name in _TEXTS}
        folder_name_of(texts["id"], place=f"{path}: id")
        designs = mapping_of(
            fields["accelerators"], place=f"{path}: accelerators", allowed=list(ACCELERATORS), required=[]
        )
        if not designs:
            raise SpecError(f"{path}: accelerators: expected at least one of {', '.join(ACCELERATORS)}")
        skeleton = mapping_of(
            fields.get("skeleton", {}),
            place=f"{path}: skeleton",
            allowed=[f.name for f in dataclasses.fields(Skeleton)],
            required=[],
        )
        return cls(
            **texts,
            accelerators={
                name: text_of(design, place=f"{path}: accelerators: {name}") for name, design in designs.items()
            },
            skeleton=skeleton,
        )

    def workload(self) -> Workload:
        """The layers of the networks.

        Raises
        ------
        SpecError
            The skeleton is not a possible network, or the space has none of this kind.
        """
        if not self.skeleton:
            return workload(self.space, dataset=self.dataset)
        return workload(self.space, skeleton=Skeleton(**self.skeleton))


_TEXTS = ("id", "space", "dataset", "about")


def is_design_table(path: Path) -> bool:
    """Whether a specification file is one of modelled accelerators: it names some, and measures nothing."""
    fields = peek_specification(path)
    return "accelerators" in fields and "measures" not in fields


def build_design_table(spec: DesignSpec, *, root: Path, command: str, spec_file: Path) -> Table:
    """Compute the costs and store them in ``root/<id>/``, one row an architecture.

    Raises
    ------
    SpecError
        ``root/<id>`` exists: published artefacts are frozen. Or the space is too large to be enumerated.
    ArchitectureError
        A design is not of its space of accelerators.
    """
    target = root / spec.id
    if (target / "card.md").exists():
        raise SpecError(f"{target} exists and published artefacts are frozen; give the new one the next version")
    work = spec.workload()
    if not work.space.enumerable:
        raise SpecError(f"space {spec.space!r} has {work.space.size:.2g} architectures; a table holds all of a space")
    columns = [
        Column(objective=dataclasses.replace(column.objective, dataset=spec.dataset), values=column.values)
        for name, design in spec.accelerators.items()
        for column in design_columns(name, design, work=work)
    ]
    X = work.space.enumerate()
    with artifacts.staged_folder(target) as stage:
        (stage / "spec.yaml").write_text(spec_file.read_text(encoding="utf-8"), encoding="utf-8")
        write_table(
            stage,
            columns,
            id=spec.id,
            space=spec.space,
            archs=work.space.decode(X),
            cardinalities=work.space.cardinalities.tolist(),
            encodings=X,
        )
        card = _card(spec, columns=columns, work=work, command=command)
        (stage / "card.md").write_text(card, encoding="utf-8")
    return Table.open(target)


def _card(spec: DesignSpec, *, columns: Sequence[Column], work: Workload, command: str) -> str:
    front: dict[str, Any] = {
        "id": spec.id,
        "what": "costs of every network on chosen accelerators",
        "kind": "modelled",
        "convention": "live",
        "space": spec.space,
        "objectives": [column.objective.to_dict() for column in columns],
        "networks": work.name,
        "source": "closed-form models of this package: nasbench_mo.hardware.asic, nasbench_mo.hardware.fpga",
        "licence": "Apache-2.0",
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("nasbench-mo", "numpy")} | {"python": platform.python_version()},
        "superseded_by": None,
    }
    rows = "\n".join(f"| {name} | `{design}` |" for name, design in spec.accelerators.items())
    quantities = "\n".join(_range(column.objective, column) for column in columns)
    return artifacts.render_card(
        front,
        body=f"""
# {spec.id}

{spec.about}

| accelerator | design |
|---|---|
{rows}

Only operations on an input-output path are counted. Nothing was measured: the models and their sources are described in
`nasbench_mo.hardware.asic` and `nasbench_mo.hardware.fpga`.

| column | least | median | most |
|---|---|---|---|
{quantities}
""",
    )


def _range(objective: Objective, column: Column) -> str:
    least, median, most = np.quantile(column.values, (0.0, 0.5, 1.0))
    return f"| {objective.column} | {least:.4g} | {median:.4g} | {most:.4g} |"
