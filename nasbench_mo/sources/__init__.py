"""Readers that turn published files into native tables. No reader executes a pickle."""

from __future__ import annotations

from pathlib import Path

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError, UnknownNameError, did_you_mean
from nasbench_mo.registry import Registry
from nasbench_mo.sources.base import Provenance, Reader, SourceTable, store
from nasbench_mo.table import Table

SOURCES = Registry(
    "source",
    builtins={
        "columns": "nasbench_mo.sources.columns:read",
        "nats-bench": "nasbench_mo.sources.nats_bench:read",
        "nas-bench-201": "nasbench_mo.sources.nas_bench_201:read",
        "hw-nas-bench": "nasbench_mo.sources.hw_nas_bench:read",
        "help": "nasbench_mo.sources.help_latency:read",
        "accel-nasbench": "nasbench_mo.sources.accel_nasbench:read",
        "nas-bench-macro": "nasbench_mo.sources.nas_bench_macro:read",
        "naslib-zerocost": "nasbench_mo.sources.naslib_zerocost:read",
    },
    group="nasbench_mo.sources",
)


def load_table(identifier: str | Path) -> Table:
    """Open an embedded or imported table, or one of a plug-in, by its id, or one in a ``.parquet`` file by its path.

    Raises
    ------
    UnknownNameError
        There is no such table; the message lists those present.
    """
    if isinstance(identifier, Path) or (isinstance(identifier, str) and identifier.endswith(".parquet")):
        if not Path(identifier).is_file():
            raise UnknownNameError(f"{identifier} does not exist; give the path of a table's Parquet file, or an id")
        return Table.open(Path(identifier))
    if not isinstance(identifier, str):
        raise UnknownNameError(f"the id of a table is text, got {identifier!r}")
    folder = artifacts.find("hw_tables", identifier) or artifacts.find("tables", identifier)
    if folder is None:
        present = [*artifacts.available("hw_tables"), *artifacts.available("tables")]
        names = sorted({*present, *artifacts.each_plugged("hw_tables", str)})
        raise UnknownNameError(
            f"no table {identifier!r} is embedded or imported.{did_you_mean(identifier, names)} "
            f"Present: {', '.join(names)}; imported ones are looked for in {artifacts.cache_dir() / 'tables'}"
        )
    return Table.open(folder)


def import_source(source: str, path: Path, *, spec: Path | None = None) -> list[Table]:
    """Read published files and store what they hold as native tables in the cache.

    Parameters
    ----------
    source
        A name of :data:`SOURCES`.
    path
        File or folder, as the source's reader documents it.
    spec
        YAML specification, for the sources that take one.
    """
    reader: Reader = SOURCES.get(source)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of the downloaded {source} file")
    command = f"nasbench-mo import {source} {path}" + (f" --spec {spec}" if spec else "")
    files = {path.name: path} if path.is_file() else {p.name: p for p in sorted(path.iterdir()) if p.is_file()}
    if spec is not None:
        files[spec.name] = spec
    tables = reader(path, spec)
    for table in tables:
        if artifacts.find("hw_tables", table.id):
            raise SpecError(f"{table.id!r} is the id of an embedded table, which would hide it; choose another id")
    return [store(table, files=files, command=command) for table in tables]


__all__ = ["SOURCES", "Provenance", "SourceTable", "import_source", "load_table", "store"]
