"""NAS-Bench-Suite-Zero's zero-cost proxies of NAS-Bench-201 cells, as distributed with NASLib.

Krishnakumar et al., "NAS-Bench-Suite-Zero", NeurIPS 2022 (datasets and benchmarks). The file is
``zc_nasbench201.json``: dataset to architecture tuple to ``{proxy: {score, time}, ..., val_accuracy}``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError
from nasbench_mo.objective import Objective
from nasbench_mo.sources.base import Provenance, SourceTable
from nasbench_mo.sources.foreign import (
    DATASETS,
    describe,
    mapping,
    member,
    number,
    parse_json,
    refuse_spec,
    require_file,
)
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.space.nb201 import EDGES, OPERATIONS
from nasbench_mo.table import Column

#: NASLib's numbers of operations, and its order of edges.
_OPERATIONS: Final = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_EDGES: Final = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
_CODES: Final = np.array([OPERATIONS.index(name) for name in _OPERATIONS])
_ORDER: Final = [_EDGES.index(edge) for edge in EDGES]

#: Score that NASLib writes where a proxy failed on a degenerate network.
_FAILED: Final = -1e8
_ACCURACY: Final = "val_accuracy"
_PROXY: Final = re.compile(r"[a-z0-9][a-z0-9_]*")
_KEY: Final = re.compile(r"\(\s*\d+(\s*,\s*\d+)*\s*,?\s*\)")


def read(path: Path, spec: Path | None = None) -> list[SourceTable]:
    """Read ``zc_nasbench201.json``.

    Parameters
    ----------
    path
        The file.
    spec
        None; this source takes no specification.

    Returns
    -------
    One table, ``nb201-naslib-zerocost-v1``, with the cells of all datasets; a cell that a dataset lacks is missing
    there. Scores of -1e8 and infinite ones, which mark networks on which a proxy failed, are missing.

    Raises
    ------
    FormatError
        The file is not JSON, has another layout, or belongs to another search space.
    """
    refuse_spec(spec, source="naslib-zerocost")
    require_file(path, expected="zc_nasbench201.json")
    content = mapping(parse_json(path.read_bytes(), where=str(path)), where=str(path))
    present = [dataset for dataset in DATASETS if dataset in content]
    if not present:
        member(content, next(iter(DATASETS)), where=str(path))
    scores: dict[tuple[str, str], dict[tuple[int, ...], float]] = {}
    for dataset in present:
        where = f"{path}, {dataset}"
        for key, entry in mapping(content[dataset], where=where).items():
            encoding = _encoding(key, where=where)
            for name, value in _scores(mapping(entry, where=f"{where}, {key}"), where=f"{where}, {key}").items():
                column = scores.setdefault((dataset, name), {})
                if encoding in column:
                    raise FormatError(f"{where}, {key}: this cell stands twice; expected each once")
                column[encoding] = value
    cells = list(dict.fromkeys(cell for column in scores.values() for cell in column))
    if not cells:
        raise FormatError(f"{path}: expected cells such as '(0, 2, 3, 2, 3, 1)', got none")
    searched = space("nb201")
    return [
        SourceTable(
            id="nb201-naslib-zerocost-v1",
            space=searched,
            encodings=_encodings(cells, searched),
            columns=tuple(
                Column(objective=_objective(dataset, name), values=values)
                for dataset in present
                for name in sorted({n for d, n in scores if d == dataset}, key=_column_order)
                if not np.isnan(values := np.array([scores[dataset, name].get(c, math.nan) for c in cells])).all()
            ),
            provenance=Provenance(
                source="NAS-Bench-Suite-Zero, as distributed with NASLib",
                licence="Apache-2.0",
                url="https://github.com/automl/NASLib",
                citation=(
                    "Krishnakumar, White, Zela, Tu, Safari, Hutter: NAS-Bench-Suite-Zero: Accelerating research on "
                    "zero cost proxies. NeurIPS 2022"
                ),
                notes=(
                    "Proxies are scores of the untrained network. NASLib's field val_accuracy is the test accuracy of "
                    "seed 888 and is imported as that. Scores of -1e8 and infinite scores mark networks on which a "
                    "proxy failed and are missing here."
                ),
            ),
        )
    ]


def _encoding(key: Any, *, where: str) -> tuple[int, ...]:
    """NASLib's tuple of six operations, as text, in the space's order and numbers."""
    codes = [int(code) for code in re.findall(r"\d+", key)] if isinstance(key, str) and _KEY.fullmatch(key) else []
    if len(codes) != len(EDGES) or max(codes) >= len(_OPERATIONS):
        raise FormatError(
            f"{where}: expected cells such as '(0, 2, 3, 2, 3, 1)', six numbers 0..4, got {describe(key)}; "
            "only zc_nasbench201.json can be read"
        )
    return tuple(int(_CODES[codes[position]]) for position in _ORDER)


def _encodings(cells: list[tuple[int, ...]], searched: SearchSpace) -> NDArray[Any]:
    return searched.check(np.array(cells, dtype=np.int64))


def _scores(entry: dict[str, Any], *, where: str) -> dict[str, float]:
    """Proxy scores and the accuracy of one cell; fields that are neither are left out."""
    found = {}
    for name, value in entry.items():
        if name == _ACCURACY:
            accuracy = number(value, where=f"{where}, {name}")
            if accuracy < 0 or accuracy > 100:
                raise FormatError(f"{where}, {name}: expected 0..100 percent, got {accuracy}")
            found[name] = accuracy
        elif isinstance(value, dict):
            if not _PROXY.fullmatch(name):
                raise FormatError(f"{where}: expected a proxy name of lower-case letters and digits, got {name!r}")
            found[name] = _score(member(value, "score", where=f"{where}, {name}"), where=f"{where}, {name}")
    return found


def _score(value: Any, *, where: str) -> float:
    if isinstance(value, float) and (math.isinf(value) or value == _FAILED):
        return math.nan
    score = number(value, where=where)
    return math.nan if score == _FAILED else score


def _column_order(name: str) -> tuple[bool, bool, str]:
    """Accuracy first, then proxies, then sizes."""
    return (name != _ACCURACY, name in ("flops", "params"), name)


def _objective(source: str, name: str) -> Objective:
    prefix, dataset = DATASETS[source]
    if name == _ACCURACY:
        half = "; trained on half of the CIFAR-10 training images" if prefix == "c10" else ""
        return Objective(
            name=f"{prefix}_test_accuracy_200ep_s888",
            unit="percent",
            kind="measured",
            direction="max",
            dataset=dataset,
            split="test",
            epochs=200,
            seed=888,
            note=f"NASLib calls it val_accuracy, but it is test accuracy{half}",
        )
    if name in ("flops", "params"):
        return Objective(
            name=f"{prefix}_{name}",
            unit="millions",
            kind="modelled",
            dataset=dataset,
            note="counts more than convolutions" if name == "flops" else None,
        )
    return Objective(name=f"{prefix}_{name}", unit="score", kind="measured", direction="max", dataset=dataset)
