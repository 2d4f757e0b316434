"""HELP's repository, rebuilt with torch.save: folder and zip, real latencies where the shared data are there."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources_helpers import CELLS, Exploit, objective, shared, value, values

from nasbench_mo.errors import ArchitectureError, FormatError, SpecError
from nasbench_mo.sources import store
from nasbench_mo.sources.help_latency import read

torch = pytest.importorskip("torch", reason="torch is not installed")

FBNET = [[0] * 22, [8] * 22, [i % 9 for i in range(22)]]
OFA = [
    {"wid": None, "ks": [3, 5, 7, 3] * 5, "e": [3, 4, 6, 6] * 5, "d": [2, 3, 4, 2, 3], "r": [224]},
    {"wid": None, "ks": [7] * 20, "e": [6] * 20, "d": [4] * 5, "r": 128},
]
DEVICES = {
    "nasbench201": [
        "1080ti_1",
        "2080ti_32",
        "titan_rtx_256",
        "essential_ph_1",
        "raspi4",
        "eyeriss",
        "fpga",
        "gold_6226",
    ],
    "fbnet": ["titanxp_64", "pixel2", "fpga"],
    "ofa": ["titan_xp_1", "v100_64"],
}
SIZES = {"nasbench201": len(CELLS), "fbnet": len(FBNET), "ofa": len(OFA)}


def latencies(part: str, device: str) -> list[float]:
    seed = [ord(c) for c in part + device]
    return [float(v) for v in np.random.default_rng(seed).uniform(1, 50, SIZES[part])]


def build(root: Path) -> Path:
    """A checkout of the repository with few architectures."""
    shuffled = {CELLS[i]: i for i in (2, 0, 3, 1)}
    numpy_arch = {**OFA[1], "d": [np.int64(4)] * 5}
    archs: dict[str, tuple[str, Any]] = {
        "nasbench201": ("str_arch2idx.pt", shuffled),
        "fbnet": ("metainfo.pt", {"arch": [{"op_idx_list": row} for row in FBNET]}),
        "ofa": ("ofa_archs.pt", {"arch": [OFA[0], numpy_arch]}),
    }
    for part, (name, content) in archs.items():
        folder = root / "data" / part / "latency"
        folder.mkdir(parents=True)
        torch.save(content, folder.parent / name)
        torch.save([0, 1], folder.parent / "hardware_embedding_index.pt")
        for i, device in enumerate(DEVICES[part]):
            listed: Any = latencies(part, device)
            if i == 1:
                listed = torch.tensor(listed, dtype=torch.float64)
            if i == 2:
                listed = [np.float64(v) for v in listed]
            torch.save(listed, folder / f"{device}.pt", _use_new_zipfile_serialization=bool(i % 2))
    (root / "README.md").write_text("HELP")
    return root


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return build(tmp_path / "HELP")


def zipped(checkout: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(checkout.rglob("*")):
            if file.is_file():
                archive.write(file, f"HELP-main/{file.relative_to(checkout)}")
    return path


@pytest.mark.parametrize("form", ["checkout", "data", "parent", "zip"])
def test_every_latency_lands_in_its_column(checkout: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "parent").mkdir()
    path = {
        "checkout": checkout,
        "data": checkout / "data",
        "zip": tmp_path / "help.zip",
        "parent": tmp_path / "parent",
    }
    zipped(checkout, path["zip"])
    if form == "parent":
        checkout.rename(tmp_path / "parent" / "HELP-main")
    tables = {table.id: table for table in read(path[form])}
    assert list(tables) == ["nb201-help-latency-v1", "fbnet-help-latency-v1", "ofa-help-latency-v1"]
    for part, short in (("nasbench201", "nb201"), ("fbnet", "fbnet"), ("ofa", "ofa")):
        table = tables[f"{short}-help-latency-v1"]
        assert sorted(values(table)) == sorted(f"latency_{d}_ms" for d in DEVICES[part])
        for device in DEVICES[part]:
            assert values(table)[f"latency_{device}_ms"].tolist() == latencies(part, device)


def test_architectures_follow_the_index(checkout: Path) -> None:
    cells, fbnet, ofa = read(checkout)
    assert cells.space is not None and fbnet.encodings is not None and ofa.space is not None
    assert cells.space.decode(cells.encodings) == CELLS
    assert fbnet.encodings.tolist() == FBNET
    first, second = ofa.space.decode(ofa.encodings)
    assert first.startswith("ks0=3,ks1=5,ks2=7,ks3=3,") and first.endswith("d3=2,d4=3,r=224")
    assert second == ",".join(
        [*(f"ks{i}=7" for i in range(20)), *(f"e{i}=6" for i in range(20)), *(f"d{i}=4" for i in range(5)), "r=128"]
    )


def test_batch_sizes_are_read_from_the_names_of_gpus_only(checkout: Path) -> None:
    cells, _, ofa = read(checkout)
    gpu = objective(cells, "latency_titan_rtx_256_ms")
    assert (gpu.device, gpu.batch, gpu.kind, gpu.dataset) == ("titan_rtx", 256, "measured", "cifar10")
    phone = objective(cells, "latency_essential_ph_1_ms")
    assert (phone.device, phone.batch) == ("essential_ph_1", None)
    assert objective(cells, "latency_gold_6226_ms").batch is None
    for device in ("eyeriss", "fpga"):
        simulated = objective(cells, f"latency_{device}_ms")
        assert (simulated.kind, simulated.convention) == ("modelled", "all")
    assert (objective(ofa, "latency_titan_xp_1_ms").device, objective(ofa, "latency_titan_xp_1_ms").batch) == (
        "titan_xp",
        1,
    )


def test_the_tables_can_be_stored_and_asked(checkout: Path, tmp_path: Path) -> None:
    for table in read(checkout):
        opened = store(table, files={}, command="a test", root=tmp_path / "tables")
        assert table.space is not None
        column = opened.columns[0]
        archs = table.space.decode(table.encodings)
        assert opened.query(table.encodings, [column])[:, 0].tolist() == [value(table, column, a) for a in archs]


def test_the_files_of_a_checkout_are_on_the_card(checkout: Path, tmp_path: Path) -> None:
    _, fbnet, _ = read(checkout)
    latency = checkout / "data" / "fbnet" / "latency"
    expected = {"fbnet/metainfo.pt": latency.parent / "metainfo.pt"}
    assert fbnet.files == expected | {f"fbnet/latency/{d}.pt": latency / f"{d}.pt" for d in DEVICES["fbnet"]}
    assert [table.files for table in read(zipped(checkout, tmp_path / "help.zip"))] == [{}, {}, {}]


def test_parts_may_be_missing(checkout: Path) -> None:
    for part in ("nasbench201", "ofa"):
        (checkout / "data" / part).rename(checkout / part)
    assert [table.id for table in read(checkout)] == ["fbnet-help-latency-v1"]
    (checkout / "data" / "fbnet").rename(checkout / "fbnet")
    (checkout / "nasbench201" / "latency").rename(checkout / "a")
    (checkout / "fbnet" / "latency").rename(checkout / "b")
    (checkout / "ofa" / "latency").rename(checkout / "c")
    with pytest.raises(FormatError, match="found none of them"):
        read(checkout)


def test_an_exploit_is_refused(checkout: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    torch.save([1.0, Exploit(marker)], checkout / "data" / "fbnet" / "latency" / "fpga.pt")
    for path in (checkout, zipped(checkout, tmp_path / "help.zip")):
        with pytest.raises(FormatError, match=r"fpga\.pt asks for '\w+\.system'"):
            read(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("nasbench201/latency/raspi4.pt", [1.0], "raspi4.pt: expected 4 values, got 1"),
        ("nasbench201/latency/raspi4.pt", {"a": 1}, "raspi4.pt: expected a list, got dict"),
        ("nasbench201/latency/raspi4.pt", [1.0, 2.0, "x", 3.0], "entry 2: expected a number, got str 'x'"),
        ("nasbench201/latency/raspi4.pt", [1.0, 2.0, -1.0, 3.0], "got the negative value -1.0"),
        ("nasbench201/latency/raspi4.pt", [1.0, 2.0, float("inf"), 3.0], "expected a finite number"),
        ("nasbench201/latency/Raspi 4.pt", [1.0] * 4, "expected a device name"),
        ("nasbench201/str_arch2idx.pt", [1, 2], "str_arch2idx.pt: expected a mapping, got list"),
        ("nasbench201/str_arch2idx.pt", dict.fromkeys(CELLS, 0), r"expected each index 0\.\.3 once"),
        ("fbnet/metainfo.pt", {"archs": []}, "expected the key 'arch', got archs"),
        ("fbnet/metainfo.pt", {"arch": [{"ops": []}]}, "arch 0: expected the key 'op_idx_list'"),
        ("fbnet/metainfo.pt", {"arch": [{"op_idx_list": [0, 1]}]}, "expected 22 operation indices, got 2"),
        ("fbnet/metainfo.pt", {"arch": [{"op_idx_list": [0.5] * 22}]}, "expected an integer, got float 0.5"),
        ("ofa/ofa_archs.pt", {"arch": [{**OFA[0], "ks": [3]}]}, "ks: expected 20 values, got 1"),
    ],
)
def test_malformed_files_are_named(checkout: Path, file: str, content: object, message: str) -> None:
    torch.save(content, checkout / "data" / file)
    with pytest.raises(FormatError, match=message) as refused:
        read(checkout)
    assert file.rpartition("/")[2] in str(refused.value)


def test_architectures_outside_their_space_are_refused(checkout: Path) -> None:
    torch.save({"arch": [{"op_idx_list": [9] * 22}] * 3}, checkout / "data" / "fbnet" / "metainfo.pt")
    with pytest.raises(ArchitectureError, match=r"expected 0\.\.8, got 9"):
        read(checkout)
    (checkout / "data" / "fbnet").rename(checkout / "fbnet")
    torch.save({"arch": [{**OFA[0], "r": 100}]}, checkout / "data" / "ofa" / "ofa_archs.pt")
    with pytest.raises(ArchitectureError, match="r=100"):
        read(checkout)


def test_damaged_files_and_wrong_paths_are_named(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="takes no specification"):
        read(checkout, checkout / "README.md")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(FormatError, match=r"text\.zip: expected the folder of HELP's repository or a zip"):
        read(tmp_path / "text.zip")
    archive = zipped(checkout, tmp_path / "help.zip")
    data = bytearray(archive.read_bytes())
    at = data.find(b"str_arch2idx")  # first the local header, then the content
    data[at + 40 : at + 80] = bytes(40)
    archive.write_bytes(data)
    with pytest.raises(FormatError, match=r"str_arch2idx\.pt"):
        read(archive)
    (checkout / "data" / "fbnet" / "latency" / "fpga.pt").write_bytes(b"no torch file")
    with pytest.raises(FormatError, match=r"fpga\.pt: expected a complete file of torch\.save"):
        read(checkout)


def test_real_latencies_come_back(tmp_path: Path) -> None:
    """HELP's published latencies, put into the published layout and read again."""
    published = np.load(shared("help-latency", "help_nasbench201.npz"))
    archs = np.load(shared("nasbench201", "nasbench201.npz"))["arch_str"].astype(str).tolist()
    folder = tmp_path / "data" / "nasbench201" / "latency"
    folder.mkdir(parents=True)
    torch.save({arch: i for i, arch in enumerate(archs)}, folder.parent / "str_arch2idx.pt")
    for device in ("raspi4", "1080ti_1"):
        torch.save(published[f"lat_{device}"].tolist(), folder / f"{device}.pt")
    (table,) = read(tmp_path)
    opened = store(table, files={}, command="a test", root=tmp_path / "tables")
    assert opened.header.dense
    for device in ("raspi4", "1080ti_1"):
        got = opened.query(archs, [f"latency_{device}_ms"])[:, 0]
        np.testing.assert_array_equal(got, published[f"lat_{device}"].astype(float))
