"""A measured table from end to end: trained in parts, killed, resumed, written, verified; and every way to go wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nasbench_mo import artifacts
from nasbench_mo.cli import main
from nasbench_mo.errors import ArchitectureError, ArtifactError, FormatError, SpecError
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.table import Table
from nasbench_mo.training.energy import Energy
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.metrics import Scores

pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")

from nasbench_mo.hardware.accelerators import accelerators
from nasbench_mo.hardware.workload import workload
from nasbench_mo.training import building, train_topologies
from nasbench_mo.training.building import topologies, trained_codes
from nasbench_mo.training.columns import constant_scores
from nasbench_mo.training.store import PACKED, Training, TrainingStore
from nasbench_mo.training.table_spec import TrainedTableSpec, find_specification
from nasbench_mo.training.trainer import TrainingResult
from nasbench_mo.validation import build_measured_table, measured_table, seed_agreement, verify_table

NB = NB201()
EPOCHS = 2


def split(n: int, *, seed: int) -> Images:
    """Three classes told apart by their colour."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    colour = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]])[labels]
    pixels = np.clip(colour[:, None, None, :] + rng.normal(0, 60, (n, 8, 8, 3)), 0, 255)
    return Images(pixels=pixels.astype(np.uint8), labels=labels)


TOY = ImageSet(name="toy", n_classes=3, train=split(60, seed=0), valid=split(30, seed=1), test=split(31, seed=2))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    arrays = {}
    for name in ("train", "valid", "test"):
        part = getattr(TOY, name)
        arrays |= {f"{name}_pixels": part.pixels, f"{name}_labels": part.labels}
    np.savez(folder / "images.npz", **arrays)
    return folder


def fields() -> dict[str, Any]:
    return {
        "measures": "training",
        "id": "nb201-toy-v1",
        "space": "nb201",
        "images": {"name": "arrays", "dataset": "toy"},
        "images_sha256": TOY.fingerprint,
        "recipe": {
            "n_cells": 1,
            "channels": 2,
            "epochs": EPOCHS,
            "batch_size": 30,
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0005,
        },
        "seeds": [0, 1],
        "latency": {"rounds": 2, "runs": 1, "warm_up": 0, "n_threads": 1, "quantile": 0.1, "block": 1000},
        "about": "A toy.",
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def made(**changed: Any) -> Path:
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump({**fields(), **changed}), encoding="utf-8")
        return path

    return made


@pytest.fixture
def spec(write: Callable[..., Path]) -> TrainedTableSpec:
    return TrainedTableSpec.read(write())


# ---------------------------------------------------------------------- which networks are trained


def test_cells_share_a_training_exactly_when_function_and_operations_agree() -> None:
    X = NB.enumerate()
    codes = trained_codes(NB)
    dead = NB.degenerate(X)
    assert ((codes < 0) == dead).all()
    live = ~dead
    shared = NB.from_codes(codes[live])
    assert (NB.equivalence_class(shared) == NB.equivalence_class(X[live])).all()
    counts = [NB.operation_counts(Z, convention="live")[:, 2:] for Z in (shared, X[live])]
    np.testing.assert_array_equal(*counts)
    keys = {(c, *row) for c, row in zip(NB.equivalence_class(X[live]).tolist(), counts[1].tolist(), strict=True)}
    assert len(np.unique(codes[live])) == len(keys) == 5424


def test_a_shared_network_has_the_parameters_of_its_cells() -> None:
    X = NB.enumerate()
    live = ~NB.degenerate(X)
    shared = NB.from_codes(trained_codes(NB)[live])
    np.testing.assert_array_equal(
        NB.n_parameters(shared, convention="live"), NB.n_parameters(X[live], convention="live")
    )


def test_topologies_come_in_random_order_one_of_each_function_first() -> None:
    codes = topologies(NB)
    assert len(codes) == len(np.unique(codes)) == 5424
    functions = NB.equivalence_class(NB.from_codes(codes))
    assert len(np.unique(functions[:4929])) == 4929
    assert not (np.diff(codes[:100]) > 0).all()
    np.testing.assert_array_equal(codes, topologies(NB))


# ---------------------------------------------------------------------- trained in parts


def test_parts_add_up_to_the_same_trainings(spec: TrainedTableSpec, images: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    left = train_topologies(spec, work=tmp_path / "parts", images=images, at_most=3, progress=lambda *x: seen.append(x))
    assert left == 2 * 5424 - 3
    assert seen == [(0, 2 * 5424), (3, 2 * 5424)]
    train_topologies(spec, work=tmp_path / "parts", images=images, at_most=2)
    train_topologies(spec, work=tmp_path / "whole", images=images, at_most=5)
    parts, whole = (building.finished_trainings(spec, work=tmp_path / name) for name in ("parts", "whole"))
    assert [t.code for t in parts] == [t.code for t in whole] == sorted(topologies(NB)[:5].tolist())
    for a, b in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(a.result.valid_error_percent, b.result.valid_error_percent)
        assert a.result.test == b.result.test
        assert a.seed == 0
        assert "torch" in a.environment


def test_two_processes_train_what_one_does(spec: TrainedTableSpec, images: Path, tmp_path: Path) -> None:
    for n in (1, 2):
        train_topologies(spec, work=tmp_path / str(n), images=images, at_most=16, n_processes=n)
    one, two = (building.finished_trainings(spec, work=tmp_path / str(n)) for n in (1, 2))
    assert [t.code for t in one] == [t.code for t in two]
    assert [t.result.test for t in one] == [t.result.test for t in two]


def test_a_killed_build_goes_on_with_what_was_finished(
    spec: TrainedTableSpec, write: Callable[..., Path], images: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    command = [
        sys.executable,
        "-c",
        "from nasbench_mo.cli import main; main()",
        "table",
        "build",
        str(write()),
        "--images",
        str(images),
    ]
    command += ["--out", str(tmp_path / "out"), "--work", str(work)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while len(list((work / "shards").glob("*.parquet"))) < 2 and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    finished = len(building.finished_trainings(spec, work=work))
    assert finished >= 2 * building.SHARD
    left = train_topologies(spec, work=work, images=images, at_most=4)
    assert left == 2 * 5424 - finished - 4
    assert (work / PACKED).is_file()
    assert not list((work / "shards").glob("*.parquet"))


# ---------------------------------------------------------------------- bad input


def test_a_changed_recipe_is_refused(write: Callable[..., Path], images: Path, tmp_path: Path) -> None:
    train_topologies(TrainedTableSpec.read(write()), work=tmp_path / "w", images=images, at_most=1)
    other = TrainedTableSpec.read(write(recipe={**fields()["recipe"], "learning_rate": 0.2}))
    with pytest.raises(SpecError, match=r"recipe.learning_rate was 0.1 and is 0.2"):
        train_topologies(other, work=tmp_path / "w", images=images, at_most=1)
    more = TrainedTableSpec.read(write(seeds=[0, 1, 2]))
    assert train_topologies(more, work=tmp_path / "w", images=images, at_most=1) == 3 * 5424 - 2


def test_a_second_builder_in_a_folder_is_refused(spec: TrainedTableSpec, images: Path, tmp_path: Path) -> None:
    with (
        TrainingStore(tmp_path, identity=spec.identity),
        pytest.raises(SpecError, match="another builder works in"),
    ):
        train_topologies(spec, work=tmp_path, images=images, at_most=1)
    train_topologies(spec, work=tmp_path, images=images, at_most=1)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:60] + bytes([b[60] ^ 255]) + b[61:]]
)
def test_a_damaged_shard_is_named_and_can_be_deleted(
    spec: TrainedTableSpec, images: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    train_topologies(spec, work=tmp_path, images=images, at_most=2)
    packed = tmp_path / PACKED
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(ArtifactError, match=r"trainings.parquet is damaged .* delete it"):
        train_topologies(spec, work=tmp_path, images=images, at_most=1)
    packed.unlink()
    assert train_topologies(spec, work=tmp_path, images=images, at_most=1) == 2 * 5424 - 1


def test_a_shard_of_another_recipe_is_refused(write: Callable[..., Path], images: Path, tmp_path: Path) -> None:
    spec = TrainedTableSpec.read(write())
    other = TrainedTableSpec.read(write(recipe={**fields()["recipe"], "epochs": 3}))
    train_topologies(spec, work=tmp_path / "a", images=images, at_most=1)
    train_topologies(other, work=tmp_path / "b", images=images, at_most=1)
    (tmp_path / "a" / PACKED).replace(tmp_path / "b" / "shards" / "seed0-00001.parquet")
    with pytest.raises(ArtifactError, match=r"another recipe: recipe.epochs was 2 and is 3"):
        train_topologies(other, work=tmp_path / "b", images=images, at_most=1)


def test_missing_and_other_images_are_refused(
    spec: TrainedTableSpec, write: Callable[..., Path], images: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not hold the images of .*: give the folder with images.npz"):
        train_topologies(spec, work=tmp_path / "w", images=tmp_path)
    wrong = TrainedTableSpec.read(write(images_sha256="0" * 64))
    with pytest.raises(ArtifactError, match="fingerprint"):
        train_topologies(wrong, work=tmp_path / "w", images=images)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("device", ["tpu9000", "meta:x", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(
    spec: TrainedTableSpec, images: Path, tmp_path: Path, device: str
) -> None:
    with pytest.raises(SpecError, match=r"has no device .* here .*take 'cpu'"):
        train_topologies(spec, work=tmp_path / "w", images=images, device=device)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"measures": "accuracy"}, "expected 'measures: training'"),
        ({"space": "fbnet"}, "trainable networks for the space nb201"),
        ({"images": {"name": "mnist"}}, "name must be one of gtsrb, arrays; got 'mnist'"),
        ({"images": {"name": "arrays"}}, "'dataset' is missing"),
        ({"seeds": [0, 0]}, "different seeds"),
        ({"seeds": []}, "different seeds"),
        ({"seeds": [-1]}, "at least 0"),
        ({"seeds": 3}, "list of integers"),
        ({"recipe": {**fields()["recipe"], "epochs": 1.5}}, "epochs must be an integer"),
        ({"recipe": {**fields()["recipe"], "epochs": 0}}, "epochs must be positive"),
        ({"recipe": {**fields()["recipe"], "dropout": 0.1}}, "unknown field 'dropout'"),
        ({"latency": {"rounds": 3}}, "'runs' is missing"),
        ({"accelerators": {"gpu": "big"}}, "unknown field 'gpu'"),
        ({"accelerators": {"asic": 3}}, "accelerators: asic must be text"),
        ({"engine": "jax"}, "engine is one of torch, native; got 'jax'"),
    ],
)
def test_a_wrong_specification_is_refused(write: Callable[..., Path], changed: dict[str, Any], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        TrainedTableSpec.read(write(**changed))


def test_an_unknown_table_to_build_names_those_there_are() -> None:
    with pytest.raises(SpecError, match=r"'nb201-gtsrb99' is neither .*nb201-gtsrb16-v1"):
        find_specification("nb201-gtsrb99")
    assert find_specification("nb201-gtsrb16").parent.name == "nb201-gtsrb16-v1"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda a: a.pop("test_labels"), "test_labels"),
        (lambda a: a.update(valid_pixels=a["valid_pixels"].astype(float)), "valid_pixels must be square"),
        (lambda a: a.update(test_pixels=a["test_pixels"][:, :4]), "test_pixels must be square"),
        (lambda a: a.update(train_labels=a["train_labels"][1:]), "train_labels must be 60 classes"),
        (lambda a: a.update(valid_labels=a["valid_labels"] + 7), "class 7 occurs in valid but not in train"),
    ],
)
def test_wrong_arrays_are_refused(images: Path, tmp_path: Path, change: Callable[[Any], Any], match: str) -> None:
    from nasbench_mo.training import read_arrays

    with np.load(images / "images.npz") as arrays:
        held = dict(arrays)
    change(held)
    np.savez(tmp_path / "images.npz", **held)
    with pytest.raises(FormatError, match=match):
        read_arrays(tmp_path / "images.npz", name="toy")


# ---------------------------------------------------------------------- the finished table


def invented(code: int, *, seed: int) -> Training:
    """A training whose every number can be computed again."""
    base = 10 + code % 50
    score = Scores(error_percent=base + seed, precision_percent=2, recall_percent=3, f1_percent=4)
    result = TrainingResult(
        valid_error_percent=np.array([90.0, base + 2 * seed]),
        valid_loss=np.zeros(EPOCHS),
        train_loss=np.zeros(EPOCHS),
        valid=dataclasses.replace(score, error_percent=base + 2 * seed),
        test=score,
        train_seconds=1.5,
        energy=Energy(joules=None, why_not="invented"),
        n_parameters=7,
    )
    return Training(code=code, seed=seed, result=result, environment="nowhere")


@pytest.fixture
def finished(spec: TrainedTableSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder in which everything was trained, and a latency that costs nothing to measure."""
    codes = topologies(NB).tolist()
    with TrainingStore(tmp_path / "work", identity=spec.identity) as store:
        for seed in spec.seeds:
            store.add([invented(code, seed=seed) for code in codes])

    def quick(spec: TrainedTableSpec, images: ImageSet, *, progress: object = None) -> Any:
        return measured_table.MeasuredLatency(
            codes=(*codes, 0),
            latency_ms=tuple(1 + code / 1e5 for code in (*codes, 0)),
            noise_percent=0.5,
            device="a processor",
            runtime="a runtime",
            protocol=spec.latency,
        )

    monkeypatch.setattr(measured_table, "measure_topologies", quick)
    return tmp_path / "work"


def build(spec: TrainedTableSpec, *, spec_file: Path, work: Path, images: Path, root: Path) -> Table | None:
    return build_measured_table(spec, root=root, command="a command", spec_file=spec_file, work=work, images=images)


def test_the_table_holds_what_was_measured(
    spec: TrainedTableSpec, write: Callable[..., Path], finished: Path, images: Path, tmp_path: Path
) -> None:
    table = build(spec, spec_file=write(), work=finished, images=images, root=tmp_path / "out")
    assert table is not None
    assert len(table) == 15625
    codes = trained_codes(NB)
    live = codes >= 0
    for seed in (0, 1):
        np.testing.assert_array_equal(table[f"valid_error_ep2_s{seed}_percent"][live], 10 + codes[live] % 50 + 2 * seed)
        np.testing.assert_array_equal(table[f"test_error_s{seed}_percent"][live], 10 + codes[live] % 50 + seed)
    np.testing.assert_array_equal(table["valid_error_ep2_mean_percent"][live], 11 + codes[live] % 50)
    np.testing.assert_array_equal(table["valid_error_ep1_s0_percent"][live], 90)
    np.testing.assert_allclose(table["latency_cpu_ms"], 1 + np.maximum(codes, 0) / 1e5, rtol=1e-6)
    dead = ~live
    chance = constant_scores(TOY, split="valid")
    assert (table["valid_error_ep1_s1_percent"][dead] == np.float32(chance.error_percent)).all()
    assert (table["train_time_s0_s"][dead] == 0).all()
    X = NB.enumerate()
    skeleton = spec.recipe.skeleton(TOY)
    np.testing.assert_array_equal(table["params_count"], NB.n_parameters(X, skeleton=skeleton, convention="live"))
    np.testing.assert_array_equal(table["macs_count"], NB.n_flops(X, skeleton=skeleton, convention="live"))
    objective = table.objectives["valid_error_ep1_s1_percent"]
    assert (objective.split, objective.epochs, objective.seed, objective.kind) == ("valid", 1, 1, "measured")
    assert table.objectives["test_f1_mean_percent"].direction == "max"
    assert table.objectives["test_error_mean_percent"].split == "test"
    assert table.objectives["latency_cpu_ms"].runtime == "a runtime"


DESIGNS = {
    "asic": "rows=12,cols=14,buffer_kb=108,bits=16,dataflow=rs,buffer_bits=256,dram_bits=64,clock_mhz=200",
    "fpga": "part=zcu102,style=pipelined,unroll_out=8,unroll_in=8,unroll_kernel=3,bits=8,buffer_kib=32,clock_mhz=200",
}


def test_modelled_costs_of_the_same_networks_stand_beside_what_was_measured(
    spec: TrainedTableSpec, write: Callable[..., Path], finished: Path, images: Path, tmp_path: Path
) -> None:
    spec = dataclasses.replace(spec, accelerators=DESIGNS)
    table = build(spec, spec_file=write(accelerators=DESIGNS), work=finished, images=images, root=tmp_path / "out")
    assert table is not None
    X = NB.sample(20, rng=np.random.default_rng(0))
    work = workload("nb201", skeleton=spec.recipe.skeleton(TOY))
    for name, design in DESIGNS.items():
        model = accelerators(name)
        costs = model.costs(work.counts(X), model.space.encode([design]), shapes=work.shapes)
        for quantity in ("latency", "energy"):
            column = f"{quantity}_{name}_{model.quantities[quantity]}"
            np.testing.assert_allclose(table[column][NB.codes(X)], costs[quantity][:, 0])
            objective = table.objectives[column]
            assert (objective.kind, objective.convention) == ("modelled", "live")
            assert objective.device is not None and "clock_mhz=200" in objective.device
    assert "never measured" in (table.path.parent / "card.md").read_text(encoding="utf-8")


def test_a_design_outside_its_space_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(ArchitectureError, match="rows"):
        TrainedTableSpec.read(write(accelerators={"asic": DESIGNS["asic"].replace("rows=12", "rows=13")}))


def test_the_card_says_what_the_table_shows(
    spec: TrainedTableSpec, write: Callable[..., Path], finished: Path, images: Path, tmp_path: Path
) -> None:
    table = build(spec, spec_file=write(), work=finished, images=images, root=tmp_path / "out")
    assert table is not None
    folder = table.path.parent
    card = artifacts.read_card(folder)
    assert card["figures"]["kendall_tau_b"] == 1.0
    assert card["figures"]["seed_deviation_percent"] == pytest.approx(2**0.5, abs=1e-3)  # 0 and 2
    assert card["verify_tolerance_percent"] == pytest.approx(8.0, abs=0.01)
    assert card["trainings"] == 2 * 5424
    assert card["trained_on"] == ["nowhere"]
    assert card["energy"] == ["invented"]
    assert card["latency"]["noise_floor_percent"] == 0.5
    assert card["noise_floor"] == "0.5 % between two halves of the turns"
    assert [(o["name"], o["device"]) for o in card["objectives"]] == [("latency_cpu", "a processor")]
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert "table verify nb201-toy-v1" in text
    assert (folder / "spec.yaml").is_file()
    with pytest.raises(SpecError, match="exists and published artefacts are frozen"):
        build(spec, spec_file=write(), work=finished, images=images, root=tmp_path / "out")


def test_a_missing_training_is_no_table(spec: TrainedTableSpec, finished: Path) -> None:
    from nasbench_mo.training.columns import training_columns

    trainings = building.finished_trainings(spec, work=finished)[1:]
    with pytest.raises(ArtifactError, match="1 trainings of seed 0 are missing"):
        training_columns(spec, trainings, search_space=NB, images=TOY)


def test_latency_is_measured_once_and_not_under_another_protocol(
    spec: TrainedTableSpec, write: Callable[..., Path], finished: Path, images: Path, tmp_path: Path
) -> None:
    build(spec, spec_file=write(), work=finished, images=images, root=tmp_path / "out")
    kept = json.loads((finished / "latency.json").read_text())
    kept["latency_ms"] = [9.0] * len(kept["latency_ms"])
    (finished / "latency.json").write_text(json.dumps(kept))
    again = build(spec, spec_file=write(), work=finished, images=images, root=tmp_path / "again")
    assert again is not None
    assert (again["latency_cpu_ms"] == 9).all()
    other = TrainedTableSpec.read(write(latency={**fields()["latency"], "rounds": 5}))
    with pytest.raises(SpecError, match="delete it to measure again"):
        build(other, spec_file=write(), work=finished, images=images, root=tmp_path / "third")
    (finished / "latency.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"latency.json is damaged .* delete it"):
        build(spec, spec_file=write(), work=finished, images=images, root=tmp_path / "third")


def test_constant_scores_are_those_of_the_most_frequent_class() -> None:
    skewed = dataclasses.replace(TOY, train=Images(pixels=TOY.train.pixels[:3], labels=np.array([2, 2, 0])))
    found = constant_scores(skewed, split="test")
    assert found.error_percent == pytest.approx(100 * np.mean(TOY.test.labels != 2))
    assert found.recall_percent == pytest.approx(100 / 3)


# ---------------------------------------------------------------------- verified


@pytest.fixture
def small(
    spec: TrainedTableSpec, write: Callable[..., Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Table:
    """A table of which three topologies were really trained, the others being invented."""
    codes = topologies(NB)
    train_topologies(spec, work=tmp_path / "w", images=images, at_most=3)
    train_topologies(dataclasses.replace(spec, seeds=(1,)), work=tmp_path / "w", images=images, at_most=3)
    known = {(t.code, t.seed) for t in building.finished_trainings(spec, work=tmp_path / "w")}
    assert len(known) == 6
    with TrainingStore(tmp_path / "w", identity=spec.identity) as store:
        for seed in (0, 1):
            store.add([invented(c, seed=seed) for c in codes.tolist() if (c, seed) not in known])
    monkeypatch.setattr(
        measured_table,
        "measure_latency",
        lambda models, **_: type("L", (), {"latency_ms": np.ones(len(models)), "noise_percent": 0.0})(),
    )
    table = build(spec, spec_file=write(), work=tmp_path / "w", images=images, root=tmp_path / "out")
    assert table is not None
    trained = trained_codes(NB)
    from nasbench_mo.validation import verification

    only = np.where(np.isin(trained, codes[:3]), trained, -1)
    monkeypatch.setattr(verification, "trained_codes", lambda _: only)
    return table


def test_verified_rows_are_equal_to_the_bit_here(small: Table, images: Path) -> None:
    found = verify_table(small, n_rows=3, seed=0, images=images)
    assert found.equal
    assert found.passed
    assert len({row.arch for row in found.rows}) == 3
    assert all(row.difference_percent < 1e-4 for row in found.rows)


def test_rows_of_other_images_are_compared_where_that_is_asked_for(small: Table, images: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(images / "images.npz"))
    for part in ("train_pixels", "train_labels"):
        arrays[part] = arrays[part][::-1]
    np.savez(tmp_path / "images.npz", **arrays)
    with pytest.raises(ArtifactError, match="--other-images"):
        verify_table(small, n_rows=1, seed=0, images=tmp_path)
    found = verify_table(small, n_rows=1, seed=0, images=tmp_path, other_images=True)
    assert not found.same_images
    assert verify_table(small, n_rows=1, seed=0, images=images, other_images=True).same_images


def test_a_tampered_row_is_found(small: Table, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = small.query_one
    monkeypatch.setattr(small, "query_one", lambda arch, columns: honest(arch, columns) + 0.5)
    found = verify_table(small, n_rows=2, seed=0, images=images)
    assert not found.equal
    assert max(row.difference_percent for row in found.rows) == pytest.approx(0.5, abs=1e-4)
    assert not dataclasses.replace(found, tolerance_percent=0.4).passed
    assert dataclasses.replace(found, tolerance_percent=0.6).passed


def test_more_rows_than_topologies_are_refused(small: Table, images: Path) -> None:
    with pytest.raises(SpecError, match="has 3 trained topologies"):
        verify_table(small, n_rows=4, images=images)


def test_a_table_of_another_make_cannot_be_verified() -> None:
    table = Table.open(artifacts.resolve("hw_tables", "nb201-eyeriss-latency-modelled-v1"))
    with pytest.raises(SpecError, match="not the specification of a measured table"):
        verify_table(table, n_rows=1)


# ---------------------------------------------------------------------- agreement


def test_equal_seeds_agree_and_independent_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(50, 10, 2000)
    equal = seed_agreement(np.stack([truth, truth], axis=1), rng=rng)
    assert equal.kendall_tau_b == equal.ceiling_tau_b == pytest.approx(1.0)
    assert equal.seed_deviation_percent == 0
    apart = seed_agreement(rng.normal(50, 10, (2000, 2)), rng=rng)
    assert abs(apart.kendall_tau_b) < 0.05
    assert apart.ceiling_tau_b < 0.1


def test_the_best_tenth_is_that_of_one_seed() -> None:
    """Among the best by the mean, independent noise would seem opposed; among the best by one seed it is unrelated."""
    rng = np.random.default_rng(3)
    assert abs(seed_agreement(rng.normal(50, 10, (5000, 2)), rng=rng).kendall_tau_b_top) < 0.08
    truth = rng.normal(50, 10, 5000)
    found = seed_agreement(truth[:, None] + rng.normal(0, 2, (5000, 2)), rng=rng)
    assert 0.2 < found.kendall_tau_b_top < found.kendall_tau_b
    ranks = np.arange(20.0)
    swapped = ranks[[1, 0, *range(2, 20)]]  # the two best change places, the two worst do not
    assert seed_agreement(np.stack([ranks, swapped], axis=1), rng=rng).kendall_tau_b_top == pytest.approx(-1.0)


def test_the_ceiling_is_what_the_truth_reaches() -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(1)
    truth = rng.normal(50, 10, 3000)
    errors = truth[:, None] + rng.normal(0, 5, (3000, 3))
    found = seed_agreement(errors, rng=rng)
    assert found.seed_deviation_percent == pytest.approx(5, rel=0.05)
    assert found.ceiling_tau_b == pytest.approx(kendalltau(truth, errors.mean(axis=1)).statistic, abs=0.02)


def test_the_command_says_what_is_wrong_in_one_sentence(write: Callable[..., Path], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from nasbench_mo.cli import main; main()",
        "table",
        "build",
        str(write()),
        "--out",
        str(tmp_path),
    ]
    environment = {**os.environ, "NASBENCH_MO_SHARED": str(tmp_path / "none")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "give the folder with images.npz" in done.stderr
    assert not (tmp_path / "unfinished").exists()


def test_verify_prints_what_it_compared_and_refuses_what_is_off(
    small: Table, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(small.path.parent)
    arguments = ["nasbench-mo", "table", "verify", folder, "--rows", "2", "--images", str(images)]

    def run(*more: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    code, text, _ = run()
    assert code == 0
    assert "2 of 2 rows equal to the bit; largest difference 0.00" in text
    code, text, _ = run("--json")
    assert code == 0
    assert json.loads(text)["equal"] is True
    card = small.path.parent / "card.md"
    card.write_text(card.read_text().replace("verify_tolerance_percent: ", "verify_tolerance_percent: -"))
    code, _, complaint = run()
    assert code == 2
    assert complaint.count("\n") == 1
    assert "points of error, got 0.00" in complaint
