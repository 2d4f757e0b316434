"""NATS-Bench, topology and size: the published 'simple' archives, one record at a time.

Dong et al., "NATS-Bench: Benchmarking NAS algorithms for architecture topology and size", TPAMI 2021. The archives are
folders: ``NATS-tss-v1_0-3ffb9-simple`` and ``NATS-sss-v1_0-50262-simple``, with ``meta.pickle.pbz2`` and one
``000000.pickle.pbz2`` an architecture. The package's own loader trusts them; this one loads plain data only and then
lets the package's classes interpret it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nasbench_mo.errors import FormatError, require
from nasbench_mo.sources.arch_results import NOTES, ResultColumns, encode_listed
from nasbench_mo.sources.base import Provenance, SourceTable
from nasbench_mo.sources.foreign import mapping, member, refuse_spec, sequence
from nasbench_mo.sources.safe_pickle import load_file
from nasbench_mo.space import SearchSpace, space

_META: Final = "meta.pickle.pbz2"
_RECORD: Final = re.compile(r"(\d{1,6})\.pickle\.pbz2")
#: Largest record that is read, decompressed: a record without weights has a few hundred kB.
_MAX_RECORD_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Benchmark:
    """One of the two archives: its table, its space, and the training recipes by their name in the records."""

    table: str
    space: str
    recipes: dict[str, int]
    archive: str


_TOPOLOGY: Final = _Benchmark(
    table="nb201-accuracy-measured-v1",
    space="nb201",
    recipes={"12": 12, "200": 200},
    archive="NATS-tss-v1_0-3ffb9-simple",
)
_SIZE: Final = _Benchmark(
    table="natssize-accuracy-measured-v1",
    space="nats-size",
    recipes={"01": 1, "12": 12, "90": 90},
    archive="NATS-sss-v1_0-50262-simple",
)


def read(path: Path, spec: Path | None = None) -> list[SourceTable]:
    """Read a NATS-Bench archive folder.

    Parameters
    ----------
    path
        The folder with ``meta.pickle.pbz2``. Which of the two benchmarks it is follows from the architectures.
    spec
        None; this source takes no specification.

    Returns
    -------
    One table: accuracies in percent and training times in seconds of every architecture whose record is there.

    Raises
    ------
    FormatError
        A file is missing, damaged, or asks for anything but data.
    ArchitectureError
        The meta file lists something that is not an architecture.
    MissingDependencyError
        The package nats-bench is not installed.

    Notes
    -----
    Memory: one record, and one float64 per architecture and column (15,625 x about 80, 10 MB).
    """
    refuse_spec(spec, source="nats-bench")
    path.stat()
    if not path.is_dir():
        raise FormatError(
            f"{path}: expected a folder such as {_TOPOLOGY.archive} with {_META} and one file an architecture, got a "
            "file; the single-file archive must be loaded whole, so download and unpack the '-simple' one"
        )
    results = require("nats_bench.api_utils", extra="sources").ArchResults
    meta = path / _META
    listed = _listed(meta)
    benchmark = _SIZE if ":" in str(listed[0]) else _TOPOLOGY
    searched = space(benchmark.space)
    encodings = encode_listed(listed, searched=searched, where=f"{meta}, meta_archs")

    columns = ResultColumns(len(encodings))
    found = _records(path, n=len(encodings))
    for index, file in found.items():
        record = mapping(load_file(file, compressed=True, max_bytes=_MAX_RECORD_BYTES), where=str(file))
        for recipe, state in record.items():
            if recipe not in benchmark.recipes:
                raise FormatError(
                    f"{file}: expected the training recipes {', '.join(benchmark.recipes)}, got {recipe!r}"
                )
            columns.add(
                index,
                state,
                results=results,
                epochs=benchmark.recipes[recipe],
                where=f"{file}, recipe {recipe}",
            )
    rows = np.array(sorted(found), dtype=np.intp)
    return [_table(benchmark, searched, encodings=encodings[rows], columns=columns, rows=rows)]


def _listed(meta: Path) -> list[Any]:
    """The meta file's list of architectures, at least one."""
    if not meta.is_file():
        raise FormatError(f"{meta.parent}: expected a NATS-Bench archive with {_META}, which is not there")
    content = mapping(load_file(meta, compressed=True, max_bytes=_MAX_RECORD_BYTES), where=str(meta))
    listed = sequence(member(content, "meta_archs", where=str(meta)), where=f"{meta}, meta_archs")
    if not listed:
        raise FormatError(f"{meta}, meta_archs: expected a list of architecture strings, got an empty one")
    return listed


def _records(folder: Path, *, n: int) -> dict[int, Path]:
    """Record file of each architecture index that has one."""
    found: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        match = _RECORD.fullmatch(file.name)
        if match is None:
            continue
        index = int(match.group(1))
        if index >= n or index in found:
            raise FormatError(
                f"{file}: expected one record for each architecture 0..{n - 1}; this one is "
                + ("a second one" if index in found else "outside")
            )
        found[index] = file
    if not found:
        raise FormatError(f"{folder}: expected records such as 000000.pickle.pbz2 beside {_META}, found none")
    return found


def _table(
    benchmark: _Benchmark, searched: SearchSpace, *, encodings: Any, columns: ResultColumns, rows: Any
) -> SourceTable:
    return SourceTable(
        id=benchmark.table,
        space=searched,
        encodings=encodings,
        columns=columns.columns(rows),
        provenance=Provenance(
            source=f"NATS-Bench, archive {benchmark.archive}",
            licence="MIT",
            url="https://github.com/D-X-Y/NATS-Bench",
            citation=(
                "Dong, Liu, Musial, Gabrys: NATS-Bench: Benchmarking NAS algorithms for architecture topology and "
                "size. TPAMI 2021"
            ),
            notes=NOTES,
        ),
    )
