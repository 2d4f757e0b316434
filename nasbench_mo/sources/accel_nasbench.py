"""Accel-NASBench: ImageNet accuracy of MnasNet-like networks, and their speed on GPUs, TPUs and FPGAs.

Ahmad et al., "Accel-NASBench: Sustainable benchmarking for accelerator-aware NAS", DAC 2024. The data set is
``anb_dataset_jsons.tar.gz`` with one ``result_<number>.json`` a trained network: ``architecture`` (``block0_e`` ...
``block6_se``), ``metrics``, ``model_info`` and ``platform_perf``.
"""

from __future__ import annotations

import math
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from nasbench_mo.errors import FormatError
from nasbench_mo.objective import Objective
from nasbench_mo.sources.base import Provenance, SourceTable
from nasbench_mo.sources.foreign import describe, integer, mapping, member, number, parse_json, refuse_spec
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.table import Column

_RECORD: Final = re.compile(r"result_\d+\.json")
#: A record has about 2 kB; there are 5,138.
_MAX_RECORD_BYTES: Final = 1 << 20
_MAX_MEMBERS: Final = 200_000
_MAX_TOTAL_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quantity:
    """One column and the keys that lead to it in a record; an optional one may be absent."""

    objective: Objective
    keys: tuple[str, ...]
    optional: bool = False


def _quantities() -> tuple[_Quantity, ...]:
    trained = [
        _Quantity(
            objective=Objective(
                name=f"in1k_valid_accuracy_top{k}",
                unit="percent",
                kind="measured",
                direction="max",
                dataset="imagenet",
                split="valid",
                note="a shortened training proxy; one seed",
            ),
            keys=("metrics", f"val_top{k}"),
        )
        for k in (1, 5)
    ]
    described = [
        _Quantity(
            objective=Objective(name=f"in1k_{name}", unit=unit, kind=kind, dataset="imagenet"),  # type: ignore[arg-type]
            keys=keys,
        )
        for name, unit, kind, keys in (
            ("train_time", "s", "measured", ("metrics", "train_time")),
            ("macs", "millions", "modelled", ("model_info", "macs")),
            ("params", "millions", "modelled", ("model_info", "params")),
        )
    ]
    speeds = [
        _Quantity(
            objective=Objective(
                name=f"throughput_{device}",
                unit="images_per_s",
                kind="measured",
                direction="max",
                dataset="imagenet",
                device=device,
                note="per core" if device.startswith("tpu") else None,
            ),
            keys=("platform_perf", f"throughput_{device}", "throughput_mean"),
            optional=True,
        )
        for device in ("a100", "3090", "tpuv2", "tpuv3", "zcu102", "vck190")
    ]
    latencies = [
        _Quantity(
            objective=Objective(
                name=f"latency_{device}",
                unit="ms",
                kind="measured",
                dataset="imagenet",
                device=device,
                note="the data do not state the unit; the repository's plots say ms",
            ),
            keys=("platform_perf", f"latency_{device}", "latency_mean"),
            optional=True,
        )
        for device in ("zcu102", "vck190")
    ]
    return (*trained, *described, *speeds, *latencies)


_QUANTITIES: Final = _quantities()


def read(path: Path, spec: Path | None = None) -> list[SourceTable]:
    """Read Accel-NASBench's records.

    Parameters
    ----------
    path
        ``anb_dataset_jsons.tar.gz``, or a folder into which it was unpacked.
    spec
        None; this source takes no specification.

    Returns
    -------
    One table, ``mnasnet-accelnasbench-v1``. The values of an architecture with several records are averaged.

    Raises
    ------
    FormatError
        The archive is damaged or too large, or a record has another layout.

    Notes
    -----
    Nothing is unpacked to disk, and names in the archive are never used as paths.
    """
    refuse_spec(spec, source="accel-nasbench")
    searched = space("mnasnet")
    runs: dict[tuple[int, ...], list[list[float]]] = {}
    records = _folder_records(path) if path.is_dir() else _tar_records(path)
    for name, data in records:
        where = f"{path}, {name}"
        record = mapping(parse_json(data, where=where), where=where)
        encoding = _encoding(record, searched, where=where)
        runs.setdefault(encoding, []).append([_value(record, q, where=where) for q in _QUANTITIES])
    if not runs:
        raise FormatError(f"{path}: expected records named result_0.json, result_1.json, ..., found none")

    means = np.array([[_mean(column) for column in zip(*values, strict=True)] for values in runs.values()])
    repeated = sum(len(values) > 1 for values in runs.values())
    kept = [j for j in range(len(_QUANTITIES)) if not np.isnan(means[:, j]).all()]
    return [
        SourceTable(
            id="mnasnet-accelnasbench-v1",
            space=searched,
            encodings=np.array(list(runs), dtype=searched.dtype),
            columns=tuple(Column(objective=_QUANTITIES[j].objective, values=means[:, j]) for j in kept),
            provenance=Provenance(
                source="Accel-NASBench",
                licence="Apache-2.0",
                url="https://github.com/afzalxo/Accel-NASBench",
                citation=(
                    "Ahmad, Zhao, Deng, Chowdhury, Zhang: Accel-NASBench: Sustainable benchmarking for "
                    "accelerator-aware NAS. DAC 2024"
                ),
                notes=(
                    f"{sum(map(len, runs.values()))} records of {len(runs)} architectures; {repeated} architectures "
                    "have several records, whose values are averaged. Throughput on an FPGA is not one over latency: "
                    "several cores run at once."
                ),
            ),
        )
    ]


def _tar_records(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each record in the archive, read as a stream."""
    with path.open("rb") as raw:
        try:
            with tarfile.open(fileobj=raw, mode="r|gz") as archive:
                total = 0
                for count, entry in enumerate(archive):
                    total += entry.size
                    if count >= _MAX_MEMBERS or total > _MAX_TOTAL_BYTES:
                        raise FormatError(
                            f"{path}: expected at most {_MAX_MEMBERS:,} files and {_MAX_TOTAL_BYTES:,} bytes in the "
                            "archive, got more; it is not read"
                        )
                    name = PurePosixPath(entry.name).name
                    if not _RECORD.fullmatch(name):
                        continue
                    stream = archive.extractfile(entry) if entry.isreg() else None
                    if stream is None:
                        raise FormatError(f"{path}, {name}: expected an ordinary file in the archive, got a link")
                    yield name, _limited(stream.read(_MAX_RECORD_BYTES + 1), where=f"{path}, {name}")
        except FormatError:
            raise
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error) as error:
            raise FormatError(
                f"{path}: expected the archive anb_dataset_jsons.tar.gz, got one that cannot be read: {error}; "
                "download it again"
            ) from error


def _folder_records(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("result_*.json")):
        if _RECORD.fullmatch(file.name):
            with file.open("rb") as stream:
                yield file.name, _limited(stream.read(_MAX_RECORD_BYTES + 1), where=str(file))


def _limited(data: bytes, *, where: str) -> bytes:
    if len(data) > _MAX_RECORD_BYTES:
        raise FormatError(f"{where}: expected a record of at most {_MAX_RECORD_BYTES:,} bytes, got more")
    return data


def _encoding(record: dict[str, Any], searched: SearchSpace, *, where: str) -> tuple[int, ...]:
    """The d integers of a record's architecture; its keys are the names of the space's variables."""
    where = f"{where}, architecture"
    arch = mapping(member(record, "architecture", where=where), where=where)
    encoding = []
    for variable in searched.variables:
        raw = member(arch, variable.name, where=where)
        value = _published(raw, where=f"{where}, {variable.name}")
        if value not in variable.values:
            raise FormatError(
                f"{where}, {variable.name}: expected one of {', '.join(variable.values)}, got {describe(raw)}"
            )
        encoding.append(variable.values.index(value))
    return tuple(encoding)


def _published(raw: Any, *, where: str) -> str:
    """A value as the space writes it; squeeze-excitation is a truth value or its name."""
    if raw in ("True", "False"):
        raw = raw == "True"
    return str(int(raw) if isinstance(raw, bool) else integer(raw, where=where))


def _value(record: dict[str, Any], quantity: _Quantity, *, where: str) -> float:
    found: Any = record
    for key in quantity.keys:
        if quantity.optional and (found is None or (isinstance(found, dict) and key not in found)):
            return math.nan
        found = member(mapping(found, where=where), key, where=where)
        where = f"{where}, {key}"
    return number(found, where=where)


def _mean(values: tuple[float, ...]) -> float:
    """Mean of the values that are there; NaN where there is none."""
    present = [v for v in values if not math.isnan(v)]
    return sum(present) / len(present) if present else math.nan
