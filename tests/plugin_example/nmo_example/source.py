"""A source: a text file with an architecture and an accuracy in percent in every line."""

from pathlib import Path

import numpy as np

from nasbench_mo.errors import FormatError, SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.sources import Provenance, SourceTable
from nasbench_mo.space import space
from nasbench_mo.table import Column

ACCURACY = Objective(
    name="accuracy", unit="percent", kind="measured", direction="max", dataset="made-up", split="valid"
)


def read(path: Path, spec: Path | None) -> list[SourceTable]:
    """One table, ``example-accuracy-v1``, of lines such as ``depth=1,width=32,act=relu,norm=none,skip=no 91.5``."""
    if spec is not None:
        raise SpecError(f"this source takes no specification, got {spec}")
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    if not all(len(row) == 2 for row in rows):
        raise FormatError(f"{path}: expected an architecture and a number in every line")
    mlp = space("example-mlp")
    return [
        SourceTable(
            id="example-accuracy-v1",
            space=mlp,
            encodings=mlp.encode([arch for arch, _ in rows]),
            columns=(Column(objective=ACCURACY, values=np.array([float(value) for _, value in rows])),),
            provenance=Provenance(source="made up", licence="none"),
        )
    ]
