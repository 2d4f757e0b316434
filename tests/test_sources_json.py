"""The readers of JSON files: Accel-NASBench, NAS-Bench-Macro and NASLib's zero-cost proxies."""

from __future__ import annotations

import gzip
import io
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_helpers import objective, shared, value, values

from nasbench_mo.errors import ArchitectureError, FormatError, SpecError
from nasbench_mo.sources import accel_nasbench, naslib_zerocost, store
from nasbench_mo.sources.accel_nasbench import read as read_accel
from nasbench_mo.sources.nas_bench_macro import read as read_macro
from nasbench_mo.sources.naslib_zerocost import read as read_zerocost
from nasbench_mo.space import space

# ---------------------------------------------------------------------- Accel-NASBench


def record(
    rng: np.random.Generator, *, devices: tuple[str, ...] = ("a100", "3090", "tpuv2", "tpuv3")
) -> dict[str, Any]:
    """One result in the published layout."""
    arch: dict[str, Any] = {}
    for block in range(7):
        arch[f"block{block}_k"] = int(rng.choice([3, 5]))
        arch[f"block{block}_e"] = int(rng.choice([1, 4, 6]))
        arch[f"block{block}_l"] = int(rng.integers(1, 5 if block == 5 else 4))
        arch[f"block{block}_se"] = bool(rng.integers(2))
    number = lambda low, high: float(rng.uniform(low, high))  # noqa: E731
    perf: dict[str, Any] = {
        f"throughput_{d}": {"throughput_mean": number(400, 9000), "throughput_std": number(0, 9)} for d in devices
    }
    for device in ("zcu102", "vck190"):
        perf[f"throughput_{device}"] = {"throughput_mean": number(300, 3000)}
        perf[f"latency_{device}"] = {"latency_mean": number(2, 9)}
    return {
        "architecture": arch,
        "metrics": {"val_top1": number(42, 67), "val_top5": number(70, 90), "train_time": number(1000, 9000)},
        "model_info": {"macs": number(80, 700), "params": number(2, 8)},
        "platform_perf": perf,
    }


def string_of(arch: dict[str, Any]) -> str:
    """The space's string of a record's architecture."""
    return "-".join(
        f"e{arch[f'block{b}_e']}k{arch[f'block{b}_k']}l{arch[f'block{b}_l']}se{int(arch[f'block{b}_se'])}"
        for b in range(7)
    )


def write_tar(path: Path, records: list[dict[str, Any]], *, folder: str = "anb_dataset_jsons/") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        add(archive, f"{folder}README.md", b"read me")
        add(archive, f"{folder}._result_0.json", b"\x00 a file of macOS")
        for i, content in enumerate(records):
            add(archive, f"{folder}result_{i}.json", json.dumps(content).encode())
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


ACCEL_COLUMNS = {
    "in1k_valid_accuracy_top1_percent": ("metrics", "val_top1"),
    "in1k_valid_accuracy_top5_percent": ("metrics", "val_top5"),
    "in1k_train_time_s": ("metrics", "train_time"),
    "in1k_macs_millions": ("model_info", "macs"),
    "in1k_params_millions": ("model_info", "params"),
    "throughput_a100_images_per_s": ("platform_perf", "throughput_a100", "throughput_mean"),
    "throughput_3090_images_per_s": ("platform_perf", "throughput_3090", "throughput_mean"),
    "throughput_tpuv2_images_per_s": ("platform_perf", "throughput_tpuv2", "throughput_mean"),
    "throughput_tpuv3_images_per_s": ("platform_perf", "throughput_tpuv3", "throughput_mean"),
    "throughput_zcu102_images_per_s": ("platform_perf", "throughput_zcu102", "throughput_mean"),
    "throughput_vck190_images_per_s": ("platform_perf", "throughput_vck190", "throughput_mean"),
    "latency_zcu102_ms": ("platform_perf", "latency_zcu102", "latency_mean"),
    "latency_vck190_ms": ("platform_perf", "latency_vck190", "latency_mean"),
}


def at(content: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        content = content[key]
    return content


def test_accel_values_land_in_their_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    records = [record(rng) for _ in range(6)]
    (table,) = read_accel(write_tar(tmp_path / "anb_dataset_jsons.tar.gz", records))
    assert table.id == "mnasnet-accelnasbench-v1"
    assert list(values(table)) == list(ACCEL_COLUMNS)
    for content in records:
        for column, keys in ACCEL_COLUMNS.items():
            assert value(table, column, string_of(content["architecture"])) == at(content, keys)
    throughput = objective(table, "throughput_a100_images_per_s")
    assert (throughput.direction, throughput.device, throughput.kind) == ("max", "a100", "measured")
    assert objective(table, "in1k_valid_accuracy_top1_percent").split == "valid"


def test_accel_reads_an_unpacked_folder_and_names_of_truth_values(tmp_path: Path) -> None:
    content = record(np.random.default_rng(6))
    arch = string_of(content["architecture"])
    for key, given_value in content["architecture"].items():
        if key.endswith("_se"):
            content["architecture"][key] = str(given_value)
    (tmp_path / "jsons").mkdir()
    (tmp_path / "jsons" / "result_7.json").write_text(json.dumps(content))
    (table,) = read_accel(tmp_path)
    assert value(table, "latency_zcu102_ms", arch) == content["platform_perf"]["latency_zcu102"]["latency_mean"]


def test_accel_repeated_architectures_are_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    first, other = record(rng), record(rng)
    again = {**record(rng), "architecture": first["architecture"]}
    del again["platform_perf"]["throughput_tpuv2"]
    (table,) = read_accel(write_tar(tmp_path / "anb.tar.gz", [first, other, again]))
    arch = string_of(first["architecture"])
    top1 = "in1k_valid_accuracy_top1_percent"
    expected = (first["metrics"]["val_top1"] + again["metrics"]["val_top1"]) / 2
    assert value(table, top1, arch) == pytest.approx(expected, rel=1e-12)
    only = first["platform_perf"]["throughput_tpuv2"]["throughput_mean"]
    assert value(table, "throughput_tpuv2_images_per_s", arch) == only
    assert "3 records of 2 architectures; 1 architectures have several" in table.provenance.notes
    assert len(values(table)[top1]) == 2


def test_accel_missing_measurements_are_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    records = [record(rng), record(rng, devices=("a100", "3090")), record(rng)]
    records[2]["platform_perf"]["throughput_tpuv3"]["throughput_mean"] = None
    records[2]["platform_perf"]["latency_zcu102"] = None
    (table,) = read_accel(write_tar(tmp_path / "anb.tar.gz", records))
    missing = {name: np.isnan(column).tolist() for name, column in values(table).items()}
    assert missing["throughput_tpuv2_images_per_s"] == [False, True, False]
    assert missing["throughput_tpuv3_images_per_s"] == [False, True, True]
    assert missing["latency_zcu102_ms"] == [False, False, True]
    for content in records:
        content["platform_perf"].pop("throughput_tpuv2", None)
    (table,) = read_accel(write_tar(tmp_path / "anb.tar.gz", records))
    assert "throughput_tpuv2_images_per_s" not in values(table)
    store(table, files={}, command="a test", root=tmp_path / "tables")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: r.pop("architecture"), "expected the key 'architecture'"),
        (lambda r: r["architecture"].pop("block3_l"), "expected the key 'block3_l'"),
        (lambda r: r["architecture"].update(block3_l=4), "block3_l: expected one of 1, 2, 3, got int 4"),
        (lambda r: r["architecture"].update(block0_e="4"), "block0_e: expected a number, got str '4'"),
        (lambda r: r["metrics"].pop("val_top1"), "expected the key 'val_top1'.*Did you mean 'val_top5'"),
        (lambda r: r["metrics"].update(val_top1="high"), "val_top1: expected a number"),
        (lambda r: r.update(model_info=[1]), "expected a mapping, got list"),
        (lambda r: r["platform_perf"].update(throughput_a100=7), "throughput_a100: expected a mapping, got int 7"),
        (lambda r: r["model_info"].update(macs=10**400), "macs: expected a finite number, got int of 1329 bits"),
    ],
)
def test_accel_malformed_records_are_named(tmp_path: Path, damage: Any, message: str) -> None:
    content = record(np.random.default_rng(9))
    damage(content)
    with pytest.raises(FormatError, match=message) as refused:
        read_accel(write_tar(tmp_path / "anb.tar.gz", [content]))
    assert "result_0.json" in str(refused.value)


def test_accel_names_in_the_archive_are_never_paths(tmp_path: Path) -> None:
    """Absolute names and names that climb are only names: nothing is written, and the record is read."""
    content = record(np.random.default_rng(10))
    inside = tmp_path / "inside"
    inside.mkdir()
    for folder in ("../", f"{tmp_path}/outside/"):
        path = write_tar(inside / "anb.tar.gz", [content], folder=folder)
        before = sorted(tmp_path.rglob("*"))
        assert len(values(read_accel(path)[0])["in1k_macs_millions"]) == 1
        assert sorted(tmp_path.rglob("*")) == before


def test_accel_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
        with tarfile.open(tmp_path / "anb.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo("result_0.json")
            entry.type = kind
            entry.linkname = str(tmp_path / "secret.json")
            archive.addfile(entry)
        with pytest.raises(FormatError, match="expected an ordinary file"):
            read_accel(tmp_path / "anb.tar.gz")


def test_accel_oversized_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "anb.tar.gz", [record(np.random.default_rng(11)) for _ in range(3)])
    for limit, message in (
        ("_MAX_RECORD_BYTES", "expected a record of at most 100 bytes"),
        ("_MAX_TOTAL_BYTES", "100 bytes in the archive"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(accel_nasbench, limit, 100)
            with pytest.raises(FormatError, match=message):
                read_accel(path)
    monkeypatch.setattr(accel_nasbench, "_MAX_MEMBERS", 4)
    with pytest.raises(FormatError, match="at most 4 files"):
        read_accel(path)


def test_accel_damaged_archives_are_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "anb.tar.gz", [record(np.random.default_rng(12)) for _ in range(50)])
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no archive", gzip.compress(b"no archive"), whole[:20] + b"\xff" * 99):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"expected the archive anb_dataset_jsons\.tar\.gz"):
            read_accel(path)
    with pytest.raises(FormatError, match="found none"):
        read_accel(write_tar(path, []))
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "result_0.json", b"{")
    with pytest.raises(FormatError, match=r"result_0\.json: expected a JSON document"):
        read_accel(path)
    with pytest.raises(FileNotFoundError):
        read_accel(tmp_path / "absent.tar.gz")
    with pytest.raises(SpecError):
        read_accel(path, path)


def test_accel_published_values_come_back(tmp_path: Path) -> None:
    arrays = np.load(shared("accel-nasbench", "accel_nasbench.npz"))
    repeated = np.flatnonzero(arrays["dup_group"] == arrays["dup_group"][_first_repeated(arrays["dup_group"])])
    rows = [*range(5), *repeated.tolist()]
    records = []
    for i in rows:
        arch = {
            f"block{b}_{letter}": (bool if letter == "se" else int)(arrays[f"arch_{letter}"][i, b])
            for b in range(7)
            for letter in ("e", "k", "l", "se")
        }
        perf: dict[str, Any] = {}
        for name in arrays.files:
            if name.endswith("_mean") and not np.isnan(arrays[name][i]):
                quantity, device, _ = name.split("_")
                perf[f"{quantity}_{device}"] = {f"{quantity}_mean": float(arrays[name][i])}
        metrics = {k: float(arrays[k][i]) for k in ("val_top1", "val_top5", "train_time")}
        info = {k: float(arrays[f"{k}_m"][i]) for k in ("macs", "params")}
        records.append({"architecture": arch, "metrics": metrics, "model_info": info, "platform_perf": perf})
    (table,) = read_accel(write_tar(tmp_path / "anb.tar.gz", records))
    for i, content in zip(rows[:5], records, strict=False):
        arch = string_of(content["architecture"])
        assert value(table, "in1k_valid_accuracy_top1_percent", arch) == float(arrays["val_top1"][i])
        assert value(table, "throughput_a100_images_per_s", arch) == float(arrays["throughput_a100_mean"][i])
        assert value(table, "latency_vck190_ms", arch) == float(arrays["latency_vck190_mean"][i])
    assert len(values(table)["in1k_macs_millions"]) == 6
    both = value(table, "in1k_valid_accuracy_top1_percent", string_of(records[-1]["architecture"]))
    assert both == pytest.approx(float(arrays["val_top1"][repeated].mean()), rel=1e-6)


def _first_repeated(groups: np.ndarray) -> int:
    seen: set[int] = set(groups[:5].tolist())
    for i, group in enumerate(groups.tolist()[5:], start=5):
        if group in seen and group not in groups[:5]:
            return i
        seen.add(group)
    raise AssertionError("the published file has repeated architectures")


# ---------------------------------------------------------------------- NAS-Bench-Macro


def macro_entry(accuracies: list[float]) -> dict[str, Any]:
    mean = sum(accuracies) / 3
    return {"test_acc": accuracies, "mean_acc": mean, "std": 0.1, "params": 123456, "flops": 7890123}


@settings(deadline=None, max_examples=40)
@given(
    content=st.dictionaries(
        st.text("012", min_size=8, max_size=8),
        st.lists(st.floats(0, 100), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_macro_values_land_in_their_columns(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("macro") / "nas-bench-macro_cifar10.json"
    path.write_text(json.dumps({arch: macro_entry(acc) for arch, acc in content.items()}))
    (table,) = read_macro(path)
    assert table.id == "nbmacro-c10-accuracy-measured-v1"
    for arch, accuracies in content.items():
        for run in range(3):
            assert value(table, f"test_accuracy_r{run}_percent", arch) == accuracies[run]
        assert value(table, "test_accuracy_mean_percent", arch) == pytest.approx(sum(accuracies) / 3)
        assert value(table, "params_count", arch) == 123456
        assert value(table, "flops_count", arch) == 7890123
    assert objective(table, "test_accuracy_mean_percent").kind == "derived"
    assert all(c.objective.split == "test" for c in table.columns if "accuracy" in c.objective.name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "expected a mapping, got list"),
        ("{", "expected a JSON document"),
        ("{}", "got none"),
        ("[" * 100_000, "expected a JSON document"),
        ({"00000000": []}, "00000000: expected a mapping, got list"),
        ({"00000000": {"test_acc": [1, 2, 3]}}, "expected the key 'params', got test_acc"),
        ({"00000000": {**macro_entry([1, 2, 3]), "mean_acc": None}}, "mean of test_acc, 2.000000, got nan"),
        ({"00000000": {**macro_entry([1, 2, 3]), "mean_acc": 3}}, "expected mean_acc to be the mean"),
        ({"00000000": {**macro_entry([1, 2, 3]), "test_acc": [2, 2]}}, "test_acc: expected 3 values, got 2"),
        ({"00000000": macro_entry([1, 2, 300])}, r"expected accuracies of 0\.\.100"),
        ({"00000000": {**macro_entry([1, 2, 3]), "params": 0.5}}, "params: expected an integer"),
        ({"00000000": {**macro_entry([1, 2, 3]), "flops": True}}, "flops: expected a number, got bool True"),
        ({"00000000": {k: v for k, v in macro_entry([1, 2, 3]).items() if k != "flops"}}, "expected the key 'flops'"),
    ],
)
def test_macro_malformed_files_are_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "macro.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(FormatError, match=message) as refused:
        read_macro(path)
    assert "macro.json" in str(refused.value)


def test_macro_refuses_other_architectures_and_paths(tmp_path: Path) -> None:
    path = tmp_path / "macro.json"
    path.write_text(json.dumps({"00000003": macro_entry([1, 2, 3])}))
    with pytest.raises(ArchitectureError, match="00000003"):
        read_macro(path)
    with pytest.raises(FormatError, match="got a folder"):
        read_macro(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_macro(tmp_path / "absent.json")
    with pytest.raises(SpecError):
        read_macro(path, path)


def test_macro_published_values_come_back(tmp_path: Path) -> None:
    arrays = np.load(shared("nasbench-macro", "nasbench_macro_cifar10.npz"))
    archs = arrays["arch"].astype(str).tolist()
    content = {
        arch: {
            "test_acc": [float(a) for a in accuracies],
            "mean_acc": float(np.mean(accuracies.astype(float))),
            "params": int(params),
            "flops": int(flops),
        }
        for arch, accuracies, params, flops in zip(
            archs, arrays["test_acc"], arrays["params"], arrays["flops"], strict=True
        )
    }
    path = tmp_path / "nas-bench-macro_cifar10.json"
    path.write_text(json.dumps(content))
    (table,) = read_macro(path)
    opened = store(table, files={path.name: path}, command="a test", root=tmp_path / "tables")
    assert opened.header.dense
    for run in range(3):
        got = opened.query(archs, [f"test_accuracy_r{run}_percent"])[:, 0]
        np.testing.assert_array_equal(got, arrays["test_acc"][:, run].astype(float))
    np.testing.assert_array_equal(opened.query(archs, ["flops_count"])[:, 0], arrays["flops"])
    assert archs[int(opened.query(archs, ["test_accuracy_mean_percent"])[:, 0].argmax())] == "22212220"


# ---------------------------------------------------------------------- NASLib


def zerocost_entry(rng: np.random.Generator) -> dict[str, Any]:
    proxies = {p: {"score": float(rng.normal()), "time": 0.1} for p in ("synflow", "nwot", "jacov", "flops", "params")}
    return {"id": 7, **proxies, "val_accuracy": float(rng.uniform(10, 95))}


def naslib_key(arch: str) -> str:
    """NASLib's tuple of a cell, written down edge by edge from the published string."""
    operations = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
    into = [[part.split("~")[0] for part in node.strip("|").split("|")] for node in arch.split("+")]
    by_edge = {(source, target + 1): op for target, node in enumerate(into) for source, op in enumerate(node)}
    edges = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    return str(tuple(operations.index(by_edge[edge]) for edge in edges))


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@settings(deadline=None, max_examples=30)
@given(codes=st.lists(st.integers(0, 15624), min_size=1, max_size=4, unique=True), spaces=st.booleans())
def test_zerocost_architectures_are_translated(
    tmp_path_factory: pytest.TempPathFactory, codes: list[int], spaces: bool
) -> None:
    searched = space("nb201")
    archs = searched.decode(searched.from_codes(codes))
    rng = np.random.default_rng(13)
    content = {"cifar10": {naslib_key(a).replace(" ", " " if spaces else ""): zerocost_entry(rng) for a in archs}}
    (table,) = read_zerocost(write_json(tmp_path_factory.mktemp("zc") / "zc_nasbench201.json", content))
    assert table.space is not None
    assert table.space.decode(table.encodings) == archs
    for arch, entry in zip(archs, content["cifar10"].values(), strict=True):
        assert value(table, "c10_synflow_score", arch) == entry["synflow"]["score"]
        assert value(table, "c10_flops_millions", arch) == entry["flops"]["score"]
        assert value(table, "c10_test_accuracy_200ep_s888_percent", arch) == entry["val_accuracy"]


def test_zerocost_accuracy_is_called_what_it_is(tmp_path: Path) -> None:
    entry = {"(0, 2, 3, 2, 3, 1)": zerocost_entry(np.random.default_rng(14))}
    content = {"cifar10": entry, "ImageNet16-120": entry}
    (table,) = read_zerocost(write_json(tmp_path / "zc.json", content))
    accuracy = objective(table, "in16_test_accuracy_200ep_s888_percent")
    assert (accuracy.split, accuracy.seed, accuracy.epochs, accuracy.dataset) == ("test", 888, 200, "imagenet16-120")
    assert "val_accuracy" in accuracy.note
    assert "half of the CIFAR-10" in objective(table, "c10_test_accuracy_200ep_s888_percent").note
    assert not [c for c in values(table) if "valid" in c or "time" in c or c.startswith("c100")]


def test_zerocost_cells_of_several_datasets_share_a_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    one, two = "(0, 2, 3, 2, 3, 1)", "(4, 4, 4, 4, 4, 4)"
    content = {"cifar10": {one: zerocost_entry(rng)}, "cifar100": {two: zerocost_entry(rng), one: zerocost_entry(rng)}}
    (table,) = read_zerocost(write_json(tmp_path / "zc.json", content))
    assert np.isnan(values(table)["c10_nwot_score"]).tolist() == [False, True]
    assert not np.isnan(values(table)["c100_nwot_score"]).any()
    store(table, files={}, command="a test", root=tmp_path / "tables")


def test_zerocost_failed_proxies_are_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(16)
    keys = [f"(0, 0, 0, 0, 0, {i})" for i in range(4)]
    content = {"cifar10": {key: zerocost_entry(rng) for key in keys}}
    for key, bad in zip(keys, (-math.inf, -1e8, None, -100000000), strict=True):
        content["cifar10"][key]["nwot"]["score"] = bad
    del content["cifar10"][keys[0]]["jacov"]
    (table,) = read_zerocost(write_json(tmp_path / "zc.json", content))
    assert "c10_nwot_score" not in values(table)  # no value is left
    assert np.isnan(values(table)["c10_jacov_score"]).tolist() == [True, False, False, False]
    assert "proxy failed" in table.provenance.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected a mapping, got list"),
        ({"mnist": {}}, "expected the key 'cifar10', got mnist"),
        ({"cifar10": {}}, "expected cells such as"),
        ({"cifar10": {"(0, 2, 3)": {}}}, "six numbers 0..4"),
        ({"cifar10": {"(0, 2, 3, 2, 3, 5)": {}}}, "six numbers 0..4"),
        ({"cifar10": {"[0, 2, 3, 2, 3, 1]": {}}}, "six numbers 0..4"),
        ({"cifar10": {"(0, 2, 3, 2, 3, 1)": 3}}, "expected a mapping, got int 3"),
        ({"cifar10": {"(0, 2, 3, 2, 3, 1)": {"snip": {"time": 1}}}}, "snip: expected the key 'score'"),
        ({"cifar10": {"(0, 2, 3, 2, 3, 1)": {"snip": {"score": "x"}}}}, "snip: expected a number, got str 'x'"),
        ({"cifar10": {"(0, 2, 3, 2, 3, 1)": {"Bad name": {"score": 1}}}}, "expected a proxy name"),
        ({"cifar10": {"(0, 2, 3, 2, 3, 1)": {"val_accuracy": 101}}}, r"0\.\.100 percent, got 101"),
        (
            {"cifar10": {k: {"val_accuracy": 1} for k in ("(0,2,3,2,3,1)", "(0, 2, 3, 2, 3, 1)")}},
            "this cell stands twice",
        ),
    ],
)
def test_zerocost_malformed_files_are_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message) as refused:
        read_zerocost(write_json(tmp_path / "zc.json", content))
    assert "zc.json" in str(refused.value)
    with pytest.raises(FormatError, match="got a folder"):
        read_zerocost(tmp_path)
    with pytest.raises(SpecError):
        read_zerocost(tmp_path / "zc.json", tmp_path)


def test_zerocost_published_values_come_back(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(shared("naslib-zerocost", "zc_nasbench201.parquet"))
    benchmark = np.load(shared("nasbench201", "nasbench201.npz"))
    proxies = [c for c in frame.columns if c not in ("task", "arch", "val_accuracy")]
    content: dict[str, Any] = {}
    for row in frame.to_dict("records"):
        scores = {p: {"score": row[p], "time": 0.0} for p in proxies if not math.isnan(row[p])}
        content.setdefault(row["task"], {})[row["arch"]] = {**scores, "val_accuracy": row["val_accuracy"]}
    (table,) = read_zerocost(write_json(tmp_path / "zc_nasbench201.json", content))
    opened = store(table, files={}, command="a test", root=tmp_path / "tables")
    archs = benchmark["arch_str"].astype(str).tolist()
    rows = [archs.index(a) for a in opened.archs]
    for prefix, published in (("c10", "c10half"), ("c100", "c100"), ("in16", "in16")):
        accuracy = opened[f"{prefix}_test_accuracy_200ep_s888_percent"]
        expected = benchmark[f"{published}_test_200_s888"][rows]
        there = ~np.isnan(accuracy)
        assert there.sum() >= 724
        np.testing.assert_allclose(accuracy[there], expected[there], atol=1e-4)
        size = opened[f"{prefix}_params_millions"]
        np.testing.assert_allclose(size[there], benchmark[f"params_m_{prefix}"][rows][there], atol=1e-5)
        assert np.isfinite(opened[f"{prefix}_nwot_score"][there]).sum() < there.sum()
    assert naslib_zerocost._ORDER == [0, 1, 3, 2, 4, 5]


def test_a_count_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "macro.json"
    path.write_text(json.dumps({"00012012": {**macro_entry([90.0, 91.0, 92.0]), "flops": 1 << 70}}))
    with pytest.raises(FormatError, match=r"00012012, flops: expected an integer of at most 64 bits, got int"):
        read_macro(path)
