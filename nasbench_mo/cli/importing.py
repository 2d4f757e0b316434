"""The import and fetch commands, and what they say of the published manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasbench_mo.benchmark import manifest_report, problems_over
from nasbench_mo.cli.progress import progress_bar, spinner
from nasbench_mo.cli.reading import print_json
from nasbench_mo.sources import import_source
from nasbench_mo.table import Table


def import_files(source: str, path: Path, *, spec: Path | None, as_json: bool) -> None:
    """Import files and report the tables and the problems that are ready now."""
    with spinner(f"reading {path}", hidden=as_json):
        tables = import_source(source, path, spec=spec)
    _report(tables, as_json=as_json)


def fetch_files(identifier: str, *, as_json: bool) -> None:
    """Download, import and report."""
    from nasbench_mo.sources.fetch import fetch, fetchable

    with progress_bar(f"fetching {identifier}", hidden=as_json) as progress:
        path = fetch(identifier, progress=progress)
    import_files(fetchable(identifier).source, path, spec=None, as_json=as_json)


def _report(tables: list[Table], *, as_json: bool) -> None:
    ready = {name: manifest_report(name) for name in problems_over({t.id for t in tables})}
    if as_json:
        print_json({"tables": [_facts(t) for t in tables], "problems": ready})
        return
    for table in tables:
        print(f"imported {table.id}: {len(table):,} {table.header.rows}s, {len(table.columns)} columns")
        print(f"  in {table.path.parent}")
    same = [name for name, found in ready.items() if not found]
    if same:
        print(f"ready, equal to the published manifest: {', '.join(same)}")
    for name, found in ready.items():
        if found:
            print(f"ready as {name}+local.*, because these data are not the published ones:")
            for difference in found:
                print(f"  {difference}")


def _facts(table: Table) -> dict[str, Any]:
    return {"table": table.id, "rows": len(table), "columns": list(table.columns), "folder": str(table.path.parent)}
