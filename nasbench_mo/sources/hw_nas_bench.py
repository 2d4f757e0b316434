"""HW-NAS-Bench: latency and energy of NAS-Bench-201 cells on six devices, and a look-up table of FBNet's blocks.

Li et al., "HW-NAS-Bench: Hardware-aware neural architecture search benchmark", ICLR 2021. The file is
``HW-NAS-Bench-v1_0.pickle``: ``[space][dataset][metric][architecture index]`` for ``nasbench201``, where the entry
``config`` beside the metrics holds the configuration of each network, and ``["fbnet"][metric][block]``.

The specification
-----------------
A file that lists the cells in index order, for copies of the data without ``config``: text with one string a line, or
an ``.npz`` with the array ``arch_str``. Where both are there they must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nasbench_mo.bounded import load_arrays, read_text
from nasbench_mo.errors import FormatError, SpecError
from nasbench_mo.objective import Convention, Direction, Kind, Objective
from nasbench_mo.sources.base import Provenance, SourceTable
from nasbench_mo.sources.foreign import DATASETS, mapping, member, number, numbers, require_file, sequence
from nasbench_mo.sources.safe_pickle import load_file
from nasbench_mo.space import space
from nasbench_mo.table import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metric:
    """What one metric of the file is, without its dataset."""

    name: str
    unit: str
    device: str
    kind: Kind
    convention: Convention | None = None
    direction: Direction = "min"
    batch: int | None = None
    note: str | None = None

    def objective(self, *, prefix: str = "", dataset: str | None = None) -> Objective:
        return Objective(
            name=prefix + self.name,
            unit=self.unit,
            kind=self.kind,
            direction=self.direction,
            dataset=dataset,
            device=self.device,
            batch=self.batch,
            convention=self.convention,
            note=self.note,
        )


def _metrics() -> dict[str, _Metric]:
    """Metric of the file to its meaning. Units are those that the repository's example prints."""
    described: dict[str, _Metric] = {}
    for device in ("edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga"):
        simulated = device in ("eyeriss", "fpga")
        for quantity, unit in (("latency", "ms"), ("energy", "mj")):
            described[f"{device}_{quantity}"] = _Metric(
                name=f"{quantity}_{device}",
                unit=unit,
                device=device,
                kind="modelled" if simulated else "measured",
                convention="all" if simulated else None,
                # The published measuring script of the Edge GPU uses batches of one; the others are not published.
                batch=1 if device == "edgegpu" else None,
                note="Jetson TX2 with TensorRT, mean of 50 repeats" if device == "edgegpu" else None,
            )
    described["eyeriss_arithmetic_intensity"] = _Metric(
        name="eyeriss_arithmetic_intensity",
        unit="score",
        device="eyeriss",
        kind="modelled",
        convention="all",
        direction="max",
        note="the source states no unit",
    )
    return described


_METRICS: Final = _metrics()
#: Largest list of cells: fifty times that of NAS-Bench-201.
_MAX_LIST_BYTES: Final = 64 << 20
_NOT_METRICS: Final = ("config", "average_hw_metric")
_PROVENANCE: Final = {
    "source": "HW-NAS-Bench v1.0",
    "licence": "MIT",
    "url": "https://github.com/GATECH-EIC/HW-NAS-Bench",
    "citation": "Li et al.: HW-NAS-Bench: Hardware-aware neural architecture search benchmark. ICLR 2021",
}


def read(path: Path, spec: Path | None = None) -> list[SourceTable]:
    """Read ``HW-NAS-Bench-v1_0.pickle``.

    Parameters
    ----------
    path
        The file.
    spec
        None, or a list of the cells in index order; see the module.

    Returns
    -------
    ``nb201-hwnasbench-cost-v1`` (latency in ms, energy in mJ) and ``fbnet-hwnasbench-operators-v1`` (the same of single
    blocks, one row a block), as far as the file has them.

    Raises
    ------
    FormatError
        The file is damaged, has another layout, or asks for anything but data.
    SpecError
        The list of cells is needed and missing, or has another length.
    ArchitectureError
        A listed string is not a cell.
    """
    require_file(path, expected="HW-NAS-Bench-v1_0.pickle")
    content = mapping(load_file(path), where=str(path))
    tables = []
    if "nasbench201" in content:
        tables.append(_nasbench201(mapping(content["nasbench201"], where=f"{path}, nasbench201"), path, spec))
    if "fbnet" in content:
        tables.append(_fbnet(mapping(content["fbnet"], where=f"{path}, fbnet"), path))
    if not tables:
        member(content, "nasbench201", where=str(path))
    return tables


def _nasbench201(datasets: dict[Any, Any], path: Path, spec: Path | None) -> SourceTable:
    archs = None if spec is None else _listed(spec)
    columns = []
    for source, (prefix, dataset) in DATASETS.items():
        if source not in datasets:
            continue
        where = f"{path}, nasbench201, {source}"
        metrics = mapping(datasets[source], where=where)
        configured = _configured(metrics, where=where)
        if archs is None and configured is None:
            raise SpecError(
                f"{where}: there is no 'config' with the architecture strings; give a file that lists the cells in "
                "index order: --spec cells.txt (one string a line) or --spec nasbench201.npz (array arch_str)"
            )
        archs = archs if archs is not None else configured
        assert archs is not None  # one of the two is there
        if configured is not None and configured != archs:
            raise FormatError(
                f"{where}: the strings in 'config' differ from those of "
                f"{'the other datasets' if spec is None else spec}; expected the same cells in the same order"
            )
        for name, metric in _METRICS.items():
            if name in metrics:
                values = numbers(metrics[name], length=len(archs), where=f"{where}, {name}")
                columns.append(Column(objective=metric.objective(prefix=f"{prefix}_", dataset=dataset), values=values))
        _refuse_unknown(metrics, where=where)
    if archs is None:
        raise FormatError(f"{path}, nasbench201: expected the datasets {', '.join(DATASETS)}, got none of them")
    searched = space("nb201")
    return SourceTable(
        id="nb201-hwnasbench-cost-v1",
        space=searched,
        encodings=searched.encode(archs),
        columns=tuple(columns),
        provenance=Provenance(
            **_PROVENANCE,
            notes=(
                "Eyeriss and FPGA figures are simulations that count dead operations too; FPGA energy is 7.0 W times "
                "FPGA latency. Raspberry Pi 4 and Pixel 3 have about 300 near-zero values, nearly all of networks at "
                "chance level."
            ),
        ),
    )


def _configured(metrics: dict[Any, Any], *, where: str) -> list[str] | None:
    """Architecture strings of the configurations; None where the file has none."""
    if "config" not in metrics:
        return None
    archs = []
    for config in sequence(metrics["config"], where=f"{where}, config"):
        arch = config.get("arch_str") if isinstance(config, dict) else None
        if not isinstance(arch, str):
            return None
        archs.append(arch)
    return archs


def _listed(spec: Path) -> list[str]:
    """Architecture strings in index order from a text file or an NPZ file."""
    if spec.suffix != ".npz":
        try:
            return read_text(spec, at_most=_MAX_LIST_BYTES).split()
        except FormatError as error:
            raise SpecError(f"{spec}: expected text with one architecture string a line, got: {error}") from error
    try:
        strings = load_arrays(spec, ("arch_str",), at_most=_MAX_LIST_BYTES)["arch_str"]
    except FormatError as error:
        raise SpecError(f"{spec}: expected an NPZ file with the array arch_str, got: {error}") from error
    if strings.dtype.kind not in "SU" or strings.ndim != 1:
        raise SpecError(f"{spec}: expected strings in the array arch_str, got {strings.shape} of dtype {strings.dtype}")
    try:
        listed: list[str] = strings.astype(str).tolist()
    except UnicodeDecodeError as error:
        raise SpecError(f"{spec}: expected ASCII strings in the array arch_str, got: {error}") from error
    return listed


def _fbnet(metrics: dict[Any, Any], path: Path) -> SourceTable:
    """One row a block of the look-up table, NaN where a metric lacks the block."""
    known = {name: metric for name, metric in _METRICS.items() if name in metrics}
    where = f"{path}, fbnet"
    if not known:
        raise FormatError(f"{where}: expected metrics such as {', '.join(list(_METRICS)[:3])}, got none of them")
    tables = {name: mapping(metrics[name], where=f"{where}, {name}") for name in known}
    blocks = list(dict.fromkeys(block for table in tables.values() for block in table))
    for block in blocks:
        if not isinstance(block, str):
            raise FormatError(f"{where}: expected names of blocks as keys, got {block!r}")
    columns = tuple(
        Column(
            objective=metric.objective(),
            values=np.array([number(tables[name].get(b), where=f"{where}, {name}, {b}") for b in blocks]),
        )
        for name, metric in known.items()
    )
    _refuse_unknown(metrics, where=where)
    return SourceTable(
        id="fbnet-hwnasbench-operators-v1",
        operators=tuple(blocks),
        columns=columns,
        provenance=Provenance(
            **_PROVENANCE,
            notes=(
                "Cost of each block of FBNet's networks for CIFAR-100 and ImageNet; the cost of a network is the sum "
                "over its blocks. H, W: size of the input; Cin, Cout: channels; exp: expansion."
            ),
        ),
    )


def _refuse_unknown(metrics: dict[Any, Any], *, where: str) -> None:
    unknown = [str(name) for name in metrics if name not in _METRICS and name not in _NOT_METRICS]
    if unknown:
        raise FormatError(
            f"{where}: expected the metrics {', '.join(_METRICS)}, got {', '.join(unknown[:5])} too; "
            "this is not version 1.0 of the file"
        )
