"""HELP's measured latencies: NAS-Bench-201, FBNet and Once-for-All networks on up to 27 device settings.

Lee et al., "HELP: Hardware-adaptive efficient latency prediction for NAS via meta-learning", NeurIPS 2021. The
repository keeps one file a device, ``data/<space>/latency/<device>.pt``, and the architectures in
``data/nasbench201/str_arch2idx.pt``, ``data/fbnet/metainfo.pt`` and ``data/ofa/ofa_archs.pt``.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError
from nasbench_mo.objective import Objective
from nasbench_mo.sources.base import Provenance, SourceTable
from nasbench_mo.sources.foreign import (
    integer,
    mapping,
    member,
    numbers,
    permutation,
    refuse_spec,
    sequence,
)
from nasbench_mo.sources.torch_file import load_torch
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.table import Column

#: GPUs; only their names end in a batch size. ``essential_ph_1`` is a telephone called PH-1.
_GPU: Final = re.compile(r"(1080ti|2080ti|titanx|titanxp|titan_xp|titan_rtx|v100)_(\d+)")
_DEVICE_FILE: Final = re.compile(r"[a-z0-9_]+\.pt")
_FROM_HW_NAS_BENCH: Final = ("eyeriss", "fpga", "raspi4", "pixel3")
_WHOLE_MILLISECONDS: Final = ("pixel2", "essential_ph_1", "samsung_a50", "samsung_s7")
#: Largest file read from a zip of the repository; the largest published one has about 1.5 MB.
_MAX_MEMBER_BYTES: Final = 64 << 20

#: A folder on disk or in a zip file.
_Folder = Path | zipfile.Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One of the three search spaces: where it is and how its architectures are written."""

    folder: str
    table: str
    dataset: str | None
    archs_file: str
    encode: Callable[[Any, str], tuple[SearchSpace, NDArray[Any]]]
    notes: str


def read(path: Path, spec: Path | None = None) -> list[SourceTable]:
    """Read the HELP repository.

    Parameters
    ----------
    path
        A checkout, its ``data`` folder, or a zip of the repository.
    spec
        None; this source takes no specification.

    Returns
    -------
    ``nb201-help-latency-v1``, ``fbnet-help-latency-v1`` and ``ofa-help-latency-v1``, as far as they are there.
    Latencies in ms.

    Raises
    ------
    FormatError
        No part of the data is there, or a file is damaged, has another length, or asks for anything but data.
    ArchitectureError
        A listed architecture is outside its space.
    MissingDependencyError
        torch is not installed, or older than 2.6.
    """
    refuse_spec(spec, source="help")
    with _opened(path) as root:
        data = _data_folder(root, where=str(path))
        return [_table(part, data / part.folder) for part in _PARTS if (data / part.folder).is_dir()]


@contextmanager
def _opened(path: Path) -> Iterator[_Folder]:
    if path.is_dir():
        yield path
        return
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path}: expected the folder of HELP's repository or a zip of it: {error}") from error
    with archive:
        yield zipfile.Path(archive)


def _data_folder(root: _Folder, *, where: str) -> _Folder:
    """The folder that holds nasbench201, fbnet or ofa: the root's data, the root, or those of the only folder in it."""
    candidates: list[_Folder] = [root / "data", root]
    inside = [child for child in root.iterdir() if child.is_dir()]
    if len(inside) == 1:
        candidates += [inside[0] / "data", inside[0]]
    for candidate in candidates:
        if any((candidate / part.folder / "latency").is_dir() for part in _PARTS):
            return candidate
    raise FormatError(
        f"{where}: expected HELP's repository with data/nasbench201/latency, data/fbnet/latency or data/ofa/latency, "
        "found none of them"
    )


def _load(file: _Folder) -> Any:
    if isinstance(file, Path):
        return load_torch(file, name=str(file))
    if not file.is_file():
        raise FormatError(f"{file}: expected a file, which is not there; is the zip complete?")
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_MEMBER_BYTES + 1)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise FormatError(f"{file}: cannot be unpacked: {error}; download the zip again") from error
    if len(content) > _MAX_MEMBER_BYTES:
        raise FormatError(f"{file}: expected at most {_MAX_MEMBER_BYTES:,} bytes, got more; it is not read")
    return load_torch(io.BytesIO(content), name=str(file))


def _table(part: _Part, folder: _Folder) -> SourceTable:
    listed = folder / part.archs_file
    searched, encodings = part.encode(_load(listed), str(listed))
    files = {file.name: file for file in (folder / "latency").iterdir() if file.name.endswith(".pt")}
    if not files:
        raise FormatError(f"{folder / 'latency'}: expected a file such as raspi4.pt for each device, found none")
    columns = []
    for name in sorted(files):
        if not _DEVICE_FILE.fullmatch(name):
            raise FormatError(f"{files[name]}: expected a device name of lower-case letters, digits and '_'")
        values = numbers(_load(files[name]), length=len(encodings), where=str(files[name]))
        if (values < 0).any():
            raise FormatError(f"{files[name]}: expected latencies in ms, got the negative value {values.min()}")
        columns.append(Column(objective=_objective(name.removesuffix(".pt"), part), values=values))
    return SourceTable(
        id=part.table,
        space=searched,
        encodings=encodings,
        columns=tuple(columns),
        files={
            file.relative_to(folder.parent).as_posix(): file
            for file in (listed, *files.values())
            if isinstance(file, Path) and isinstance(folder, Path)
        },
        provenance=Provenance(
            source="HELP; eyeriss, fpga, raspi4 and pixel3 are taken from HW-NAS-Bench",
            licence="MIT",
            url="https://github.com/HayeonLee/HELP",
            citation=(
                "Lee, Lee, Chong, Hwang: HELP: Hardware-adaptive efficient latency prediction for NAS via "
                "meta-learning. NeurIPS 2021"
            ),
            notes=part.notes,
        ),
    )


def _objective(device: str, part: _Part) -> Objective:
    gpu = _GPU.fullmatch(device)
    simulated = device in ("eyeriss", "fpga")
    notes = []
    if device in _FROM_HW_NAS_BENCH:
        notes.append("from HW-NAS-Bench")
        if part.folder == "fbnet":
            notes.append("the sum of a look-up table")
        elif simulated:
            notes.append("a linear table of operation counts")
        else:
            notes.append("near-zero values of networks at chance level are kept")
    if device in _WHOLE_MILLISECONDS:
        notes.append("whole milliseconds")
    if device.startswith(("gold_", "silver_")):
        notes.append("Intel Xeon CPU")
    return Objective(
        name=f"latency_{device}",
        unit="ms",
        kind="modelled" if simulated else "measured",
        dataset=part.dataset,
        device=gpu.group(1) if gpu else device,
        batch=int(gpu.group(2)) if gpu else None,
        convention="all" if simulated else None,
        note="; ".join(notes) or None,
    )


def _encode_nasbench201(content: Any, where: str) -> tuple[SearchSpace, NDArray[Any]]:
    """Cells in index order, from a mapping of strings to indices."""
    index_of = mapping(content, where=where)
    indices = [integer(i, where=f"{where}, {arch}") for arch, i in index_of.items()]
    order = np.argsort(permutation(indices, where=where))
    archs = list(index_of)
    searched = space("nb201")
    return searched, searched.encode([archs[i] for i in order])


def _encode_fbnet(content: Any, where: str) -> tuple[SearchSpace, NDArray[Any]]:
    listed = sequence(member(mapping(content, where=where), "arch", where=where), where=f"{where}, arch")
    rows = []
    for i, entry in enumerate(listed):
        place = f"{where}, arch {i}"
        codes = sequence(member(mapping(entry, where=place), "op_idx_list", where=place), where=place)
        rows.append([integer(code, where=f"{place}, op_idx_list") for code in codes])
    searched = space("fbnet")
    return searched, searched.check(_rectangle(rows, width=searched.n_variables, where=where))


def _encode_ofa(content: Any, where: str) -> tuple[SearchSpace, NDArray[Any]]:
    listed = sequence(member(mapping(content, where=where), "arch", where=where), where=f"{where}, arch")
    searched = space("ofa-mbv3")
    lengths = {"ks": 20, "e": 20, "d": 5, "r": 1}
    rows = []
    for i, entry in enumerate(listed):
        place = f"{where}, arch {i}"
        arch = mapping(entry, where=place)
        values = []
        for key, length in lengths.items():
            raw = member(arch, key, where=place)
            part = raw if isinstance(raw, list | tuple) else [raw]
            if len(part) != length:
                raise FormatError(f"{place}, {key}: expected {length} values, got {len(part)}")
            values += [integer(v, where=f"{place}, {key}") for v in part]
        rows.append(",".join(f"{v.name}={value}" for v, value in zip(searched.variables, values, strict=True)))
    return searched, searched.encode(rows)


def _rectangle(rows: list[list[int]], *, width: int, where: str) -> NDArray[np.int64]:
    for i, row in enumerate(rows):
        if len(row) != width:
            raise FormatError(f"{where}, arch {i}: expected {width} operation indices, got {len(row)}")
    return np.array(rows, dtype=np.int64).reshape(-1, width)


_PARTS: Final = (
    _Part(
        folder="nasbench201",
        table="nb201-help-latency-v1",
        dataset="cifar10",
        archs_file="str_arch2idx.pt",
        encode=_encode_nasbench201,
        notes=(
            "The last number in the name of a GPU is the batch size; that of other devices is not documented. Eyeriss "
            "and FPGA are simulations that count dead operations too. Phones report whole milliseconds. raspi4 and "
            "pixel3 have about 300 near-zero values, nearly all of networks at chance level."
        ),
    ),
    _Part(
        folder="fbnet",
        table="fbnet-help-latency-v1",
        dataset="cifar100",
        archs_file="metainfo.pt",
        encode=_encode_fbnet,
        notes=(
            "The last number in the name of a GPU is the batch size; that of other devices is not documented. Eyeriss, "
            "FPGA, Raspberry Pi 4 and Pixel 3 are sums of HW-NAS-Bench's look-up table. Phones report whole "
            "milliseconds."
        ),
    ),
    _Part(
        folder="ofa",
        table="ofa-help-latency-v1",
        dataset=None,
        archs_file="ofa_archs.pt",
        encode=_encode_ofa,
        notes=(
            "The last number in the name of a GPU is the batch size. ks, e: kernel size and expansion of 20 layers, "
            "four in each of five stages; d: depth of each stage; r: input resolution. Layers beyond a stage's depth "
            "are unused whatever ks and e say."
        ),
    ),
)
