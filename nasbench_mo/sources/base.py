"""What every reader of published files produces, and how it becomes a native table in the cache."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.space import SearchSpace
from nasbench_mo.table import Column, Table, write_table

#: A card lists this many files one by one.
_MOST_FILES_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the numbers of an imported table come from."""

    source: str
    licence: str
    url: str | None = None
    citation: str | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """One table read from published files, before it is stored.

    Parameters
    ----------
    id
        Identity with version, e.g. ``"nb201-help-latency-v1"``.
    space
        The search space, or None for a table of operators.
    encodings
        (n, d) encodings of the rows; None for a table of operators.
    columns
        Quantities with (n,) values, NaN where the source has none.
    operators
        n operator names of a table of operators.
    files
        Files that were read besides those the user named; their SHA-256 goes on the card too.
    """

    id: str
    columns: tuple[Column, ...]
    provenance: Provenance
    space: SearchSpace | None = None
    encodings: NDArray[Any] | None = None
    operators: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)


#: A reader takes the path the user gave and the path of a specification or None.
Reader = Callable[[Path, Path | None], list[SourceTable]]


def store(table: SourceTable, *, files: Mapping[str, Path], command: str, root: Path | None = None) -> Table:
    """Write a source table with its card into the cache and open it. Atomic: the old table stays until the end.

    Parameters
    ----------
    table
        What a reader returned.
    files
        Name to path of the files that were read; their SHA-256 goes on the card.
    command
        The command that makes this table again.
    root
        Folder that holds tables; the cache's by default.
    """
    target = (root or artifacts.cache_dir() / "tables") / table.id
    with artifacts.staged_folder(target) as stage:
        if table.space is None:
            write_table(stage, table.columns, id=table.id, space="", archs=table.operators, rows="operator")
        else:
            encodings = table.space.check(table.encodings if table.encodings is not None else [])
            write_table(
                stage,
                table.columns,
                id=table.id,
                space=table.space.name,
                archs=table.space.decode(encodings),
                cardinalities=table.space.cardinalities.tolist(),
                encodings=encodings,
            )
        (stage / "card.md").write_text(_card(table, files=files, command=command), encoding="utf-8")
    return Table.open(target)


def _card(table: SourceTable, *, files: Mapping[str, Path], command: str) -> str:
    facts = table.provenance
    front = {
        "id": table.id,
        "what": "imported table",
        "space": table.space.name if table.space else None,
        "source": facts.source,
        "url": facts.url,
        "licence": facts.licence,
        "citation": facts.citation,
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "files_sha256": _hashes({**files, **table.files}),
        "versions": {"nasbench-mo": version("nasbench-mo"), "python": platform.python_version()},
    }
    rows = "\n".join(f"| `{c.objective.column}` | {c.objective.describe()} |" for c in table.columns)
    body = f"# {table.id}\n\n{facts.notes}\n\n| column | meaning |\n|---|---|\n{rows}\n"
    return artifacts.render_card({k: v for k, v in front.items() if v is not None}, body=body)


def _hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file; of a folder of many files the SHA-256 of their sorted ``name hash`` lines."""
    hashes = {name: artifacts.sha256(path) for name, path in files.items()}
    if len(hashes) <= _MOST_FILES_LISTED:
        return hashes
    lines = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    return {f"{len(hashes)} files, sorted 'name sha256' lines": hashlib.sha256(lines.encode()).hexdigest()}
