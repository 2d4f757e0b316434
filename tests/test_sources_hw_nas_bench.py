"""HW-NAS-Bench in its published layout, filled with the printed examples and with synthetic values."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources_helpers import CELLS, Exploit, objective, shared, value, values

from nasbench_mo.errors import ArchitectureError, FormatError, SpecError
from nasbench_mo.sources import store
from nasbench_mo.sources.hw_nas_bench import read

METRICS = [
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "eyeriss_arithmetic_intensity",
    "fpga_latency",
    "fpga_energy",
]
BLOCKS = [
    "ConvNorm_H32_W32_Cin3_Cout16_kernel3_stride1_group1",
    "Skip_H32_W32_Cin16_Cout16_stride1",
    "FC_Cin1504_Cout100",
]


def configs(archs: list[str]) -> list[dict[str, Any]]:
    return [{"name": "infer.tiny", "C": 16, "N": 5, "arch_str": a, "num_classes": 10} for a in archs]


def content(*, archs: list[str] = CELLS) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    return {
        "nasbench201": {
            dataset: {"config": configs(archs), **{m: rng.uniform(1, 50, len(archs)).tolist() for m in METRICS}}
            for dataset in ("cifar10", "cifar100", "ImageNet16-120")
        },
        "fbnet": {m: {b: float(rng.uniform(0.1, 2)) for b in BLOCKS} for m in METRICS if "edgetpu" not in m},
    }


def write(path: Path, held: object) -> Path:
    path.write_bytes(pickle.dumps(held))
    return path


def test_every_value_lands_in_its_column(tmp_path: Path) -> None:
    held = content()
    table, _ = read(write(tmp_path / "HW-NAS-Bench-v1_0.pickle", held))
    assert table.id == "nb201-hwnasbench-cost-v1"
    prefixes = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}
    for dataset, prefix in prefixes.items():
        for metric in METRICS:
            device, _, quantity = metric.partition("_")
            name, unit = {
                "latency": (f"latency_{device}", "ms"),
                "energy": (f"energy_{device}", "mj"),
                "arithmetic_intensity": (metric, "score"),
            }[quantity]
            for i, arch in enumerate(CELLS):
                got = value(table, f"{prefix}_{name}_{unit}", arch)
                assert got == held["nasbench201"][dataset][metric][i]
    assert len(table.columns) == 30


def test_columns_say_what_they_are(tmp_path: Path) -> None:
    table, _ = read(write(tmp_path / "hw.pickle", content()))
    fpga = objective(table, "in16_latency_fpga_ms")
    assert (fpga.device, fpga.kind, fpga.convention, fpga.dataset) == ("fpga", "modelled", "all", "imagenet16-120")
    raspi = objective(table, "c10_latency_raspi4_ms")
    assert (raspi.device, raspi.kind, raspi.convention, raspi.batch) == ("raspi4", "measured", None, None)
    assert objective(table, "c10_energy_edgegpu_mj").batch == 1
    assert objective(table, "c10_eyeriss_arithmetic_intensity_score").direction == "max"


def test_the_look_up_table_has_one_row_a_block(tmp_path: Path) -> None:
    held = content()
    del held["fbnet"]["raspi4_latency"][BLOCKS[1]]
    _, table = read(write(tmp_path / "hw.pickle", held))
    assert table.id == "fbnet-hwnasbench-operators-v1"
    assert table.space is None
    assert list(table.operators) == BLOCKS
    assert values(table)["energy_fpga_mj"].tolist() == [held["fbnet"]["fpga_energy"][b] for b in BLOCKS]
    assert np.isnan(values(table)["latency_raspi4_ms"]).tolist() == [False, True, False]
    opened = store(table, files={}, command="a test", root=tmp_path / "tables")
    assert opened.archs == BLOCKS
    assert opened.header.rows == "operator"


def test_numpy_values_and_indexed_dictionaries_are_read_too(tmp_path: Path) -> None:
    held = content()
    metrics = held["nasbench201"]["cifar10"]
    expected = metrics["raspi4_latency"]
    metrics["raspi4_latency"] = np.array(expected)
    metrics["pixel3_latency"] = dict(enumerate(np.array(expected)))
    metrics["fpga_latency"] = [np.float64(v) for v in expected]
    metrics["config"] = dict(enumerate(metrics["config"]))
    table, _ = read(write(tmp_path / "hw.pickle", held))
    for device in ("raspi4", "pixel3", "fpga"):
        assert values(table)[f"c10_latency_{device}_ms"].tolist() == expected


def test_the_printed_examples_come_back(tmp_path: Path) -> None:
    """The nine NAS-Bench-201 entries that HW-NAS-Bench's own example prints."""
    samples = json.loads(shared("hw-nas-bench-samples", "documented_samples.json").read_text())["nasbench201"]
    archs = np.load(shared("nasbench201", "nasbench201.npz"))["arch_str"].astype(str).tolist()[:3]
    held: dict[str, Any] = {"nasbench201": {}}
    for sample in samples:
        metrics = held["nasbench201"].setdefault(sample["dataset"], {"config": configs(archs)})
        for metric, measured in sample["metrics"].items():
            metrics.setdefault(metric, {})[sample["arch"]] = measured
    (table,) = read(write(tmp_path / "hw.pickle", held))
    assert value(table, "c10_latency_edgegpu_ms", archs[0]) == 5.807418537139893
    for sample in samples:
        prefix = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}[sample["dataset"]]
        energy = value(table, f"{prefix}_energy_fpga_mj", archs[sample["arch"]])
        assert energy == sample["metrics"]["fpga_energy"]
        assert energy == pytest.approx(7.0 * value(table, f"{prefix}_latency_fpga_ms", archs[sample["arch"]]))


def test_the_specification_stands_in_for_config(tmp_path: Path) -> None:
    held = content()
    for metrics in held["nasbench201"].values():
        del metrics["config"]
    path = write(tmp_path / "hw.pickle", held)
    with pytest.raises(SpecError, match="--spec"):
        read(path)
    (tmp_path / "cells.txt").write_text("\n".join(CELLS) + "\n")
    np.savez(tmp_path / "cells.npz", arch_str=np.array(CELLS, dtype="S"))
    for spec in (tmp_path / "cells.txt", tmp_path / "cells.npz"):
        table = read(path, spec)[0]
        assert value(table, "c10_energy_fpga_mj", CELLS[2]) == held["nasbench201"]["cifar10"]["fpga_energy"][2]
    (tmp_path / "few.txt").write_text("\n".join(CELLS[:2]))
    with pytest.raises(FormatError, match="expected 2 values, got 4"):
        read(path, tmp_path / "few.txt")
    (tmp_path / "wrong.txt").write_text("\n".join(["|conv~0|", *CELLS[1:]]))
    with pytest.raises(ArchitectureError, match="conv"):
        read(path, tmp_path / "wrong.txt")


def test_bad_specifications_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "hw.pickle", content())
    np.savez(tmp_path / "other.npz", names=np.array(CELLS))
    np.savez(tmp_path / "numbers.npz", arch_str=np.arange(4))
    np.savez(tmp_path / "objects.npz", arch_str=np.array(CELLS, dtype=object))
    (tmp_path / "text.npz").write_text("not a zip")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("other.npz", "numbers.npz", "objects.npz", "text.npz", "bytes.txt"):
        with pytest.raises(SpecError, match=name):
            read(path, tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read(path, tmp_path / "absent.npz")
    (tmp_path / "swapped.txt").write_text("\n".join(CELLS[::-1]))
    with pytest.raises(FormatError, match=r"differ from those of .*swapped\.txt"):
        read(path, tmp_path / "swapped.txt")


def test_an_exploit_is_refused(tmp_path: Path) -> None:
    held = content()
    marker = tmp_path / "marker"
    held["nasbench201"]["cifar10"]["config"][1]["arch_str"] = Exploit(marker)
    with pytest.raises(FormatError, match=r"hw\.pickle asks for '\w+\.system'"):
        read(write(tmp_path / "hw.pickle", held))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c.clear(), "expected the key 'nasbench201', got no keys"),
        (lambda c: c.update(nasbench201=[1]), "nasbench201: expected a mapping, got list"),
        (lambda c: c.update(nasbench201={"mnist": {}}), "expected the datasets cifar10"),
        (lambda c: c["nasbench201"].update(cifar10=3), "cifar10: expected a mapping, got int 3"),
        (lambda c: c["nasbench201"]["cifar10"]["fpga_energy"].pop(), "fpga_energy: expected 4 values, got 3"),
        (lambda c: c["nasbench201"]["cifar10"].update(fpga_energy="x"), "fpga_energy: expected a list, got str"),
        (lambda c: c["nasbench201"]["cifar10"]["fpga_energy"].__setitem__(1, "x"), "entry 1: expected a number"),
        (lambda c: c["nasbench201"]["cifar10"].update(tpu9_latency=[]), "got tpu9_latency too"),
        (lambda c: c["nasbench201"]["cifar100"]["config"].reverse(), "differ from those of the other datasets"),
        (lambda c: c.update(fbnet={"latency": {}}), "fbnet: expected metrics such as"),
        (
            lambda c: c["fbnet"]["fpga_energy"].update({BLOCKS[0]: "x"}),
            "Cout16_kernel3_stride1_group1: expected a number",
        ),
        (lambda c: c["fbnet"]["fpga_energy"].update({3: 1.0}), "expected names of blocks"),
    ],
)
def test_malformed_content_is_named(tmp_path: Path, damage: Any, message: str) -> None:
    held = content()
    damage(held)
    with pytest.raises(FormatError, match=message) as refused:
        read(write(tmp_path / "hw.pickle", held))
    assert "hw.pickle" in str(refused.value)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = pickle.dumps(content())
    (tmp_path / "cut.pickle").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"cut\.pickle: expected a complete pickle"):
        read(tmp_path / "cut.pickle")
    with pytest.raises(FormatError, match="got a folder"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.pickle")
