"""NAS-Bench-201 as first published: one ``.pth`` file with the results of all 15,625 cells.

Dong & Yang, "NAS-Bench-201", ICLR 2020; files ``NAS-Bench-201-v1_0-e61699.pth`` and ``NAS-Bench-201-v1_1-096897.pth``.
The newer NATS-Bench archive holds more runs of the same cells and is read one record at a time: prefer it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from nasbench_mo.errors import FormatError, require
from nasbench_mo.sources.arch_results import NOTES, ResultColumns, encode_listed
from nasbench_mo.sources.base import Provenance, SourceTable
from nasbench_mo.sources.foreign import integer, mapping, member, refuse_spec, require_file
from nasbench_mo.sources.torch_file import load_torch
from nasbench_mo.space import space

#: Training recipes by their name in the records.
_RECIPES: Final = {"less": 12, "full": 200}


def read(path: Path, spec: Path | None = None) -> list[SourceTable]:
    """Read a NAS-Bench-201 ``.pth`` file, v1_0 or v1_1.

    Parameters
    ----------
    path
        The file.
    spec
        None; this source takes no specification.

    Returns
    -------
    One table, with the columns of the NATS-Bench topology table.

    Raises
    ------
    FormatError
        The file is damaged, has another layout, or asks for anything but data.
    ArchitectureError
        The file lists something that is not a cell.
    MissingDependencyError
        torch or the package nas-bench-201 is not installed.

    Notes
    -----
    Memory: the format allows no partial reading, so the whole file is loaded (several GB); records are dropped as
    they are read.
    """
    refuse_spec(spec, source="nas-bench-201")
    require_file(path, expected="NAS-Bench-201-v1_1-096897.pth")
    content = mapping(load_torch(path, name=str(path)), where=str(path))
    results = require("nas_201_api.api_utils", extra="sources").ArchResults
    searched = space("nb201")
    listed = member(content, "meta_archs", where=str(path))
    encodings = encode_listed(listed, searched=searched, where=f"{path}, meta_archs")
    records = mapping(member(content, "arch2infos", where=str(path)), where=f"{path}, arch2infos")
    columns = ResultColumns(len(encodings))
    found = []
    for key in list(records):
        index = integer(key, where=f"{path}, key of arch2infos")
        place = f"{path}, architecture {index}"
        if not 0 <= index < len(encodings):
            raise FormatError(f"{place}: expected an index 0..{len(encodings) - 1}")
        record = mapping(records.pop(key), where=place)
        for recipe, epochs in _RECIPES.items():
            state = member(record, recipe, where=place)
            columns.add(index, state, results=results, epochs=epochs, where=f"{place}, recipe {recipe}")
        found.append(index)
    if not found:
        raise FormatError(f"{path}: expected the results of some architectures in arch2infos, found none")
    rows = np.array(sorted(found), dtype=np.intp)
    return [
        SourceTable(
            id="nb201-accuracy-measured-v1",
            space=searched,
            encodings=encodings[rows],
            columns=columns.columns(rows),
            provenance=Provenance(
                source=f"NAS-Bench-201, {path.name}",
                licence="MIT",
                url="https://github.com/D-X-Y/NAS-Bench-201",
                citation=(
                    "Dong, Yang: NAS-Bench-201: Extending the scope of reproducible neural architecture search. "
                    "ICLR 2020"
                ),
                notes=f"{NOTES} v1_0 and v1_1 have fewer runs than NATS-Bench.",
            ),
        )
    ]
