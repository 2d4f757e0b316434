"""NAS-Bench-Macro: test accuracies of 6,561 macro architectures on CIFAR-10.

Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021. The file is
``nas-bench-macro_cifar10.json``: architecture to ``test_acc`` (three runs), ``mean_acc``, ``std``, ``params`` and
``flops``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from nasbench_mo.errors import FormatError
from nasbench_mo.objective import Objective
from nasbench_mo.sources.base import Provenance, SourceTable
from nasbench_mo.sources.foreign import integer, mapping, member, number, numbers, parse_json, refuse_spec, require_file
from nasbench_mo.space import space
from nasbench_mo.table import Column

_N_RUNS: Final = 3
#: The published mean has all digits of a double.
_MEAN_TOLERANCE: Final = 1e-6


def read(path: Path, spec: Path | None = None) -> list[SourceTable]:
    """Read ``nas-bench-macro_cifar10.json``.

    Parameters
    ----------
    path
        The file.
    spec
        None; this source takes no specification.

    Returns
    -------
    One table, ``nbmacro-c10-accuracy-measured-v1``: accuracies in percent, counts of parameters and FLOPs.

    Raises
    ------
    FormatError
        The file is not JSON, has another layout, or its published mean is not that of its runs.
    ArchitectureError
        A key is not an architecture.
    """
    refuse_spec(spec, source="nas-bench-macro")
    require_file(path, expected="nas-bench-macro_cifar10.json")
    content = mapping(parse_json(path.read_bytes(), where=str(path)), where=str(path))
    if not content:
        raise FormatError(f"{path}: expected architectures such as '22212220', got none")
    runs, params, flops = [], [], []
    for arch, entry in content.items():
        where = f"{path}, {arch}"
        record = mapping(entry, where=where)
        accuracies = numbers(member(record, "test_acc", where=where), length=_N_RUNS, where=f"{where}, test_acc")
        if not ((accuracies >= 0) & (accuracies <= 100)).all():
            raise FormatError(f"{where}, test_acc: expected accuracies of 0..100 percent, got {accuracies.tolist()}")
        if "mean_acc" in record:
            published = number(record["mean_acc"], where=f"{where}, mean_acc")
            if not abs(published - accuracies.mean()) <= _MEAN_TOLERANCE:
                raise FormatError(
                    f"{where}: expected mean_acc to be the mean of test_acc, {accuracies.mean():.6f}, got {published}"
                )
        runs.append(accuracies)
        params.append(integer(member(record, "params", where=where), where=f"{where}, params"))
        flops.append(integer(member(record, "flops", where=where), where=f"{where}, flops"))
    searched = space("nbmacro")
    table = np.array(runs)
    accuracy = {"unit": "percent", "direction": "max", "dataset": "cifar10", "split": "test"}
    return [
        SourceTable(
            id="nbmacro-c10-accuracy-measured-v1",
            space=searched,
            encodings=searched.encode(list(content)),
            columns=(
                *(
                    Column(
                        objective=Objective.from_dict(
                            {
                                **accuracy,
                                "name": f"test_accuracy_r{r}",
                                "kind": "measured",
                                "note": f"independent run {r}; its seed is not published",
                            }
                        ),
                        values=table[:, r],
                    )
                    for r in range(_N_RUNS)
                ),
                Column(
                    objective=Objective.from_dict(
                        {**accuracy, "name": "test_accuracy_mean", "kind": "derived", "seed": "mean"}
                    ),
                    values=table.mean(axis=1),
                ),
                *(
                    Column(
                        objective=Objective(name=name, unit="count", kind="modelled", dataset="cifar10"),
                        values=np.array(values, dtype=np.int64),
                    )
                    for name, values in (("params", params), ("flops", flops))
                ),
            ),
            provenance=Provenance(
                source="NAS-Bench-Macro",
                licence="Apache-2.0",
                url="https://github.com/xiusu/NAS-Bench-Macro",
                citation=(
                    "Su, Huang, Li, You, Wang, Qian, Zhang, Xu: Prioritized architecture sampling with Monto-Carlo "
                    "tree search. CVPR 2021"
                ),
                notes=(
                    "Test accuracies only: the benchmark has no validation split. Architectures that differ only in "
                    "where the identities of a stage stand share one training, and so all values."
                ),
            ),
        )
    ]
