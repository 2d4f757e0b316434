"""Fit an operator cost table to a published per-network table, one command from table to artefact."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import numpy as np

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.operators import BASE, OperatorCosts, fit_costs, operator_counts
from nasbench_mo.objective import Objective
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import Counting
from nasbench_mo.specification import folder_name_of, is_integer, read_specification, scalars_of, text_of, word_of
from nasbench_mo.table import Column, Table, write_table

#: float64 has no more.
_MAX_DECIMALS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSpec:
    """What to fit: the fields of ``spec.yaml``.

    Parameters
    ----------
    id
        Identity of the artefact, with version.
    space, table, column
        Where the per-network costs are.
    device, name
        Device and name of the modelled objective, e.g. ``"latency_eyeriss"``.
    convention
        Whether the source counts live operations or all.
    operators
        Operators that cost something; the base is always fitted.
    decimals
        Decimals of the source, to which coefficients are rounded.
    about
        One paragraph for the card: what the device is and what the numbers are not.
    """

    id: str
    space: str
    table: str
    column: str
    device: str
    name: str
    convention: Counting
    operators: tuple[str, ...]
    decimals: int
    about: str

    @classmethod
    def read(cls, path: Path) -> FitSpec:
        """Read and check a YAML specification."""
        names = [f.name for f in dataclasses.fields(cls)]
        fields = read_specification(path, allowed=names, required=names)
        folder_name_of(fields["id"], place=f"{path.name}: id")
        for name in ("space", "table", "column", "device", "name", "about"):
            text_of(fields[name], place=f"{path.name}: {name}")
        word_of(fields["convention"], place=f"{path.name}: convention", allowed=get_args(Counting))
        if not is_integer(fields["decimals"]) or not 0 <= fields["decimals"] <= _MAX_DECIMALS:
            raise SpecError(f"{path.name}: decimals must be 0 to {_MAX_DECIMALS}, got {fields['decimals']!r}")
        operators = scalars_of(fields["operators"], place=f"{path.name}: operators")
        return cls(**{**fields, "operators": tuple(text_of(o, place=f"{path.name}: operators") for o in operators)})


def build(spec: FitSpec, *, root: Path, command: str, spec_file: Path | None = None) -> OperatorCosts:
    """Fit the costs and store them in ``root/<id>/``, with the specification file they were made from.

    Raises
    ------
    SpecError
        ``root/<id>`` exists: published artefacts are frozen.
    UnknownNameError
        The source table is not there; import it first.
    """
    target = root / spec.id
    if (target / "card.md").exists():
        raise SpecError(f"{target} exists and published artefacts are frozen; give the new one the next version")
    search_space = space(spec.space)
    source = Table.open(artifacts.resolve("tables", spec.table))
    published = source.objectives[source.check_column(spec.column)]
    y = source[spec.column]
    operators = (BASE, *spec.operators)
    X = search_space.check(source.encodings())
    counts = operator_counts(search_space, X, operators=operators, convention=spec.convention)
    costs = fit_costs(counts, y, decimals=spec.decimals)
    objective = Objective(
        name=spec.name,
        unit=published.unit,
        kind="modelled",
        dataset=published.dataset,
        device=spec.device,
        precision=published.precision,
        convention=spec.convention,
        note="sum of fitted operator costs",
    )
    worst = float(np.max(np.abs(counts @ costs - y)))
    spec_text = spec_file.read_text(encoding="utf-8") if spec_file is not None else None
    with artifacts.staged_folder(target) as stage:
        if spec_text is not None:
            (stage / "spec.yaml").write_text(spec_text, encoding="utf-8")
        column = Column(objective=objective, values=costs)
        write_table(stage, [column], id=spec.id, space=spec.space, archs=operators, rows="operator")
        card = _card(spec, source=source, objective=objective, worst=worst, command=command, costs=costs.tolist())
        (stage / "card.md").write_text(card, encoding="utf-8")
    return OperatorCosts(Table.open(target), search_space=search_space)


def _card(spec: FitSpec, *, source: Table, objective: Objective, worst: float, command: str, costs: list[float]) -> str:
    origin = artifacts.read_card(source.path.parent)
    front = {
        "id": spec.id,
        "what": "operator cost table",
        "kind": "modelled",
        "convention": spec.convention,
        "space": spec.space,
        "objective": objective.to_dict(),
        "fitted_to": {
            "table": spec.table,
            "column": spec.column,
            "source": origin.get("source"),
            "licence": origin.get("licence"),
        },
        "rows_fitted": len(source),
        f"largest_error_{objective.unit}": float(f"{worst:.2g}"),
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("nasbench-mo", "numpy")} | {"python": platform.python_version()},
        "superseded_by": None,
    }
    rows = "\n".join(f"| {o} | {c:g} |" for o, c in zip((BASE, *spec.operators), costs, strict=True))
    body = f"""
# {spec.id}

{spec.about}

Least squares on the operator counts of {len(source):,} networks; the largest difference to the source is
{worst:.2g} {objective.unit}. Convention `{spec.convention}`: """
    body += (
        "dead operations are counted, as the source does.\n"
        if spec.convention == "all"
        else "only operations on an input-output path are counted.\n"
    )
    body += f"\n| operator | {objective.column} |\n|---|---|\n{rows}\n"
    return artifacts.render_card(front, body=body)
