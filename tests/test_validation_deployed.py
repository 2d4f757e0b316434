"""Trained networks as they are deployed: ONNX models, their error in int8, rows that are gathered and told."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from validation_helpers import NB, write_images

import nasbench_mo as nmo
from nasbench_mo.cli import main
from nasbench_mo.errors import ObjectiveError, SpecError
from nasbench_mo.profiling import LatencyProtocol, ondevice
from nasbench_mo.table import FILE_NAME, Table
from nasbench_mo.training.datasets import find_dataset
from nasbench_mo.training.trainer import channel_statistics, normalised
from nasbench_mo.validation import append_measured, shortlist_profile, study, tell_measured

pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")

PROBLEM = "nb201s-c10-epyc-v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("deployed")
    nmo.run(nmo.problem(PROBLEM), "random", budget=40, seed=1).save(root / "run.parquet")
    write_images(root / "toy.npz")
    return root


def validated(folder: Path, out: Path, *options: str, top: int = 2, patch: pytest.MonkeyPatch | None = None) -> Path:
    with pytest.MonkeyPatch.context() as own:
        changes = patch or own
        changes.setattr(shortlist_profile, "DEPLOYED", LatencyProtocol(rounds=20, runs=1, warm_up=0))
        changes.setattr("nasbench_mo.profiling.cpu.resident_mib", lambda model, n_threads: 1.0)
        call = ["validate", str(folder / "run.parquet"), "--dataset", str(folder / "toy.npz"), "--out", str(out)]
        recipe = ["--recipe", "short,epochs=2,channels=4", "--top", str(top), "--controls", "0"]
        changes.setattr(sys, "argv", ["nasbench-mo", *call, *recipe, *options])
        try:
            main()
        except SystemExit as leaving:
            assert not leaving.code
    return out


@pytest.fixture(scope="module")
def in_int8(folder: Path) -> Path:
    options = ("--precision", "int8", "--append-to", str(folder / "mine.parquet"))
    return validated(folder, folder / "int8", *options)


def test_a_trained_network_is_left_as_the_model_that_was_judged(in_int8: Path, folder: Path) -> None:
    report = json.loads((in_int8 / "report.json").read_text())
    images = find_dataset(str(folder / "toy.npz")).read()
    pixels = normalised(images.valid, statistics=channel_statistics(images.train))
    for network in report["networks"]:
        code = int(NB.code(network["arch"]))
        loaded = ondevice.session(str(in_int8 / "networks" / f"{code:05d}-seed0.onnx"), provider="cpu", n_threads=1)
        predicted = [int(loaded.run(None, {"images": np.ascontiguousarray(x[None])})[0].argmax()) for x in pixels]
        error = 100 * np.mean(np.array(predicted) != images.valid.labels)
        assert error == pytest.approx(network["measured"]["valid_error_mean_percent"], abs=100 / 30 + 1e-9)


def test_the_error_in_int8_is_told_beside_that_as_trained(in_int8: Path) -> None:
    table = nmo.table(in_int8 / "measured.parquet")
    objective = table.objectives["valid_error_int8_mean_percent"]
    assert (objective.precision, objective.dataset, objective.epochs) == ("int8", "toy", 2)
    assert np.isfinite(table["test_error_int8_s0_percent"]).all()
    difference = table["valid_error_int8_mean_percent"] - table["valid_error_mean_percent"]
    assert np.abs(difference).max() <= 20  # an image in 30 is 3.3 points
    assert table.objectives["latency_p50_us"].precision == "int8"
    assert (table["latency_p50_us"] > 0).all()
    report = json.loads((in_int8 / "report.json").read_text())
    assert any(text.startswith("In int8 the validation error is") for text in report["statements"])
    markdown = (in_int8 / "report.md").read_text()
    assert "batch 1, int8" in markdown
    assert "validation error in int8" in markdown
    cores = report["study"]["profile"]["cores"]
    assert (cores is None) == (not hasattr(__import__("os"), "sched_setaffinity"))


def test_energy_is_told_or_why_it_is_not(in_int8: Path) -> None:
    report = json.loads((in_int8 / "report.json").read_text())
    known = report["networks"][0]["measured"].get("energy_uj") is not None
    assert known != any("Energy of a run is not available here" in text for text in report["statements"])


def test_another_target_measures_again_and_trains_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated(folder, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "work").glob("*-seed0.json")}
    monkeypatch.delattr("nasbench_mo.training.trainer._one_epoch")
    with pytest.MonkeyPatch.context() as patch:
        validated(folder, tmp_path / "out", "--provider", "cpu", "--threads", "2", patch=patch)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    profile = json.loads((tmp_path / "out" / "report.json").read_text())["study"]["profile"]
    assert profile["n_threads"] == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--provider", "cud"), "Did you mean 'cuda'"),
        (("--precision", "int4"), "cpu computes in"),
        (("--recipe", "nb102"), "the recipes are short, nb201"),
        (("--device", "ssh://"), "expected ssh://user@host:port"),
        (("--append-to", "mine.csv"), "name of a Parquet file"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_trained(
    options: tuple[str, str],
    says: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(study, "_train", lambda *args, **kwargs: pytest.fail("it trains"))
    call = ["validate", str(folder / "run.parquet"), "--dataset", str(folder / "toy.npz"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["nasbench-mo", *call, *options])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 2
    assert says in capsys.readouterr().err


# ---------------------------------------------------------------------- the loop


def test_rows_of_several_validations_are_one_table_and_told_to_a_searcher(
    in_int8: Path, folder: Path, tmp_path: Path
) -> None:
    first = nmo.table(in_int8 / "measured.parquet")
    assert Table.open(folder / "mine.parquet").archs == first.archs
    second = nmo.table(validated(folder, folder / "more", "--precision", "int8", top=3) / "measured.parquet")
    both = append_measured(second, append_measured(first, tmp_path / "mine.parquet").path)
    assert set(both.archs) == set(first.archs) | set(second.archs)
    assert len(both) == 3
    assert both.id == "mine"
    for table in (first, second):  # a seed repeats itself, so both say the same of a network
        columns = ["valid_error_mean_percent", "test_error_int8_mean_percent"]
        np.testing.assert_array_equal(both.query(table.archs, columns), table.query(table.archs, columns))
    np.testing.assert_array_equal(  # the newer measurement counts
        both.query(second.archs, ["latency_p50_us"]), second.query(second.archs, ["latency_p50_us"])
    )
    searcher = nmo.searcher("random", NB, 2, seed=0)
    assert tell_measured(searcher, both, ["valid_error_mean_percent", "latency_p50_us"]) == searcher.n_told == 3


def other_column(table: Table, **changes: Any) -> Table:
    name = "latency_p50_us"
    return Table(
        table.path, table.header, {**table.objectives, name: dataclasses.replace(table.objectives[name], **changes)}
    )


def test_rows_of_another_device_or_a_published_table_are_refused(in_int8: Path, tmp_path: Path) -> None:
    measured = nmo.table(in_int8 / "measured.parquet")
    path = append_measured(measured, tmp_path / "mine.parquet").path
    before = path.read_bytes()
    with pytest.raises(ObjectiveError, match="not one column"):
        append_measured(other_column(measured, device="another"), path)
    published = tmp_path / "published" / FILE_NAME
    published.parent.mkdir()
    published.write_bytes(before)
    (published.parent / "card.md").write_text("frozen")
    with pytest.raises(SpecError, match="never edited"):
        append_measured(measured, published)
    with pytest.raises(SpecError, match="of 'mnasnet'; expected"):
        append_measured(measured, _relabelled(path, tmp_path / "other.parquet"))
    assert path.read_bytes() == before


def _relabelled(path: Path, to: Path) -> Path:
    """The same table, of another space by its header."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    meta = {k: v.replace(b'"space": "nb201"', b'"space": "mnasnet"') for k, v in table.schema.metadata.items()}
    pq.write_table(table.replace_schema_metadata(meta), to)
    return to
