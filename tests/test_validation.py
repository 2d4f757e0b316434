"""Real trainings of a shortlist: what is chosen, what is kept, what the report says, and every way to go wrong."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import kendalltau
from validation_helpers import NB, fake_run, write_images

import nasbench_mo as nmo
from nasbench_mo.benchmark.constraint import Constraint
from nasbench_mo.cli import main
from nasbench_mo.errors import (
    ArtifactError,
    DownloadError,
    FormatError,
    ObjectiveError,
    RunError,
    SearcherError,
    SpecError,
    UnknownNameError,
)
from nasbench_mo.objective import Objective
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.table import Table
from nasbench_mo.training import datasets
from nasbench_mo.training.datasets import check_image_size, find_dataset, read_cifar10, read_digits
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.metrics import Scores
from nasbench_mo.training.trainer import Recipe
from nasbench_mo.validation.comparison import Correction, Coverage, LevelAgreement, RankAgreement, ranks, resampled_taus
from nasbench_mo.validation.shortlist import Chosen, choose
from nasbench_mo.validation.shortlist_profile import Profile
from nasbench_mo.validation.study import Study, Trained, _Job

PROBLEM = "nb201s-c10-epyc-v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 evaluations and tiny images."""
    root = tmp_path_factory.mktemp("validation")
    nmo.run(nmo.problem(PROBLEM), "random", budget=40, seed=1).save(root / "run.parquet")
    write_images(root / "toy.npz")
    return root


def command(capsys: Any, monkeypatch: Any, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["nasbench-mo", "validate", *map(str, arguments)])
    try:
        main()
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# ---------------------------------------------------------------------- image sets


def test_digits_are_split_by_class_and_always_the_same():
    pytest.importorskip("sklearn")
    digits = read_digits()
    sizes = [len(digits.train), len(digits.valid), len(digits.test)]
    assert sum(sizes) == 1797
    assert digits.train.pixels.shape[1:] == (8, 8, 1)
    assert digits.train.pixels.max() == 255
    for part in (digits.valid, digits.test):
        share = np.bincount(part.labels) / sum(np.bincount(p.labels) for p in (digits.train, digits.valid, digits.test))
        assert np.all(np.abs(share - 0.2) < 0.005)
    everything = np.concatenate([p.pixels.reshape(len(p), -1) for p in (digits.train, digits.valid, digits.test)])
    assert len(np.unique(everything, axis=0)) == 1797  # so the three parts share no image
    assert digits.fingerprint == read_digits().fingerprint


def test_cifar10_is_read_from_the_binary_version(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 30, 3, 32, 32), dtype=np.uint8)
    labels = np.tile(np.arange(10, dtype=np.uint8), (6, 3))
    for name, x, y in zip(datasets.CIFAR10_BINARY, pixels, labels, strict=True):
        np.concatenate([y[:, None], x.reshape(30, -1)], axis=1).tofile(tmp_path / name)
    found = find_dataset("cifar10", folder=tmp_path).read()
    assert [len(found.train), len(found.valid), len(found.test)] == [130, 20, 30]
    assert np.bincount(found.valid.labels).tolist() == [2] * 10
    assert np.array_equal(found.test.pixels[7], pixels[5, 7].transpose(1, 2, 0))
    (tmp_path / "data_batch_3.bin").write_bytes(b"\x01" * 3000)
    with pytest.raises(FormatError, match="records of 3073 bytes"):
        read_cifar10(tmp_path)


def test_cifar10_is_read_from_the_python_version_and_runs_nothing(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 30, 3072), dtype=np.uint8)
    labels = list(range(10)) * 3
    for name, x in zip(datasets.CIFAR10_PYTHON, pixels, strict=True):
        (tmp_path / name).write_bytes(pickle.dumps({b"data": x, b"labels": labels, b"batch_label": b"made up"}))
    found = find_dataset("cifar10", folder=tmp_path).read()
    assert [len(found.train), len(found.valid), len(found.test)] == [130, 20, 30]
    assert np.array_equal(found.test.pixels[7], pixels[5, 7].reshape(3, 32, 32).transpose(1, 2, 0))
    assert found.test.labels.tolist() == labels
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps({"data": pixels[0][:, :99], "labels": labels}))
    with pytest.raises(FormatError, match="expected 'data' of"):
        read_cifar10(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(Path))
    with pytest.raises(FormatError):
        read_cifar10(tmp_path)


def test_openml_is_asked_once_and_split_by_class(monkeypatch, cache):
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    asked: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (50, 3 * 64)).astype(np.float64)

    def fetch(**given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(data=rows, target=np.array(["cat", "dog"] * 25))

    monkeypatch.setattr(sklearn_datasets, "fetch_openml", fetch)
    found = find_dataset("openml:animals").read()
    assert [len(found.train), len(found.valid), len(found.test)] == [30, 10, 10]
    assert (found.name, found.n_classes) == ("openml:animals", 2)
    assert np.bincount(found.valid.labels).tolist() == [5, 5]
    everything = np.concatenate([p.pixels for p in (found.train, found.valid, found.test)])
    expected = rows.astype(np.uint8).reshape(50, 3, 8, 8).transpose(0, 2, 3, 1)
    assert sorted(e.tobytes() for e in everything) == sorted(np.ascontiguousarray(e).tobytes() for e in expected)
    assert asked[0]["name"] == "animals"
    assert asked[0]["data_home"] == str(cache / "openml")
    find_dataset("openml:554").read()
    assert asked[1]["data_id"] == 554
    rows = rows[:, :100] + 200
    with pytest.raises(FormatError, match="square images"):
        find_dataset("openml:animals").read()

    def offline(**given: Any) -> Any:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(sklearn_datasets, "fetch_openml", offline)
    with pytest.raises(DownloadError, match="Network is unreachable"):
        find_dataset("openml:animals").read()


def test_cifar10_is_read_from_jpegs(tmp_path, monkeypatch):
    pillow = pytest.importorskip("PIL.Image")
    encoded = []
    for i in range(40):
        buffer = io.BytesIO()
        pillow.fromarray(np.full((32, 32, 3), 6 * i, np.uint8)).save(buffer, "JPEG")
        encoded.append(np.frombuffer(buffer.getvalue(), np.uint8))
    path = tmp_path / datasets.CIFAR10_JPEG
    offsets = np.concatenate([[0], np.cumsum([len(e) for e in encoded])])
    arrays = {
        "jpeg": np.concatenate(encoded),
        "offsets": offsets,
        "label": np.arange(40) % 2,
        "is_test": np.arange(40) > 29,
    }
    np.savez(path, **arrays)
    with pytest.raises(ArtifactError, match="another image set"):
        read_cifar10(tmp_path)
    monkeypatch.setattr(datasets, "CIFAR10_JPEG_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    found = read_cifar10(tmp_path)
    assert [len(found.train), len(found.valid), len(found.test)] == [26, 4, 10]
    assert found.test.pixels[:, 5, 5, 0].tolist() == pytest.approx([6 * i for i in range(30, 40)], abs=2)


def test_unknown_and_missing_image_sets_are_refused(tmp_path):
    with pytest.raises(SpecError, match="Did you mean 'digits'"):
        find_dataset("digit")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_dataset(str(tmp_path / "none.npz"))
    with pytest.raises(FileNotFoundError, match="--images FOLDER"):
        find_dataset("cifar10", folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="gtsrb32_labels"):
        find_dataset("gtsrb16", folder=tmp_path)


def test_gtsrb16_is_that_of_the_embedded_table(shared):
    found = find_dataset("gtsrb16")
    assert found.recipe == Recipe(batch_size=50)
    assert found.path == (shared / "gtsrb32").resolve()


def test_all_traffic_signs_hold_the_table_s_sample_and_validate_on_the_same_signs(shared):
    pytest.importorskip("PIL", reason="images need the extra 'train'")
    sample, everything = (find_dataset(name).read() for name in ("gtsrb16", "gtsrb16-all"))
    assert everything.name == "gtsrb16-all"
    assert (len(everything.train), len(everything.valid), len(everything.test)) == (6671, 1170, 12630)
    np.testing.assert_array_equal(everything.valid.pixels, sample.valid.pixels)
    known = {image.tobytes() for image in everything.train.pixels}
    assert all(image.tobytes() in known for image in sample.train.pixels)
    assert find_dataset("gtsrb32-all").read().train.pixels.shape == (6671, 32, 32, 3)


def test_images_that_the_network_cannot_halve_are_refused(tmp_path):
    images = find_dataset(str(write_images(tmp_path / "odd.npz", size=10))).read()
    with pytest.raises(SpecError, match="multiple of 4"):
        check_image_size(images, recipe=Recipe())


# ---------------------------------------------------------------------- shortlist


#: Two ends, a knee, a point beside the knee, and two dominated ones.
VALUES = [[0.0, 1.0], [1.0, 0.0], [0.4, 0.4], [0.41, 0.39], [0.9, 0.9], [0.8, 1.0]]


def test_the_shortlist_takes_the_knee_and_the_ends_before_a_neighbour():
    chosen = choose(fake_run(VALUES), top=3, controls=0)
    assert [c.evaluation for c in chosen] == [2, 0, 1]
    # scaled by the front's range, 1.1 as reference: the knee's box is 0.7 x 0.7
    assert chosen[0].gain == 1.0
    assert chosen[1].gain == pytest.approx(1.0)  # an end adds 0.1 x 0.4, more than the neighbour
    volume = 1.1 * 0.1 + 0.7 * 0.6 + 0.69 * 0.01 + 0.1 * 0.39  # slabs from the left end downwards
    assert chosen[0].contribution == pytest.approx(0.01 * 0.6 / volume)  # the rest of its box is its neighbour's too


def test_uncertain_predictions_come_first_among_equals(monkeypatch):
    sure = fake_run(VALUES, deviation=[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], monkeypatch=monkeypatch)
    assert [c.evaluation for c in choose(sure, top=2, controls=0)][1] == 0
    unsure = fake_run(VALUES, deviation=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], monkeypatch=monkeypatch)
    chosen = choose(unsure, top=2, controls=0)
    assert [c.evaluation for c in chosen][1] == 1
    assert chosen[1].uncertainty == 1.0
    assert chosen[1].deviation == (1.0, None)


def test_controls_are_off_the_front_seeded_and_a_third_by_default():
    run = fake_run(VALUES)
    assert [c.role for c in choose(run, top=4)] == ["front"] * 4 + ["control"]
    drawn = {
        tuple(c.evaluation for c in choose(run, top=1, controls=1, seed=s) if c.role == "control") for s in range(9)
    }
    assert drawn == {(4,), (5,)}
    assert choose(run, top=4, controls=2, seed=3) == choose(run, top=4, controls=2, seed=3)
    assert len(choose(run, top=9, controls=9)) == 6  # all there are


def test_twins_count_once():
    run = fake_run([[0.0, 1.0], [1.0, 0.0], [0.4, 0.4]])
    twin = NB.encode("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")  # its convolution is dead
    other = NB.encode("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    run.X = np.concatenate([run.X[:1], twin, other])
    run.archs = NB.decode(run.X)
    assert len(choose(run, top=3, controls=0)) == 2
    run = fake_run([[0.0, 1.0], [1.0, 2.0]])  # one on the front, and its twin with a worse cost off it
    run.X = np.concatenate([twin, NB.encode("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")])
    run.archs = NB.decode(run.X)
    assert [c.role for c in choose(run, top=1, controls=1)] == ["front"]


def test_an_impossible_choice_is_refused():
    run = fake_run(VALUES)
    with pytest.raises(RunError, match="at least 1"):
        choose(run, top=0)
    run.front = lambda: SimpleNamespace(evaluation=np.zeros(0, dtype=int))
    with pytest.raises(RunError, match="no front"):
        choose(run, top=1)


# ---------------------------------------------------------------------- figures


def test_rank_agreement_of_a_known_order():
    rng = np.random.default_rng(0)
    found = RankAgreement.of(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0]), rng=rng)
    assert found.tau_b == pytest.approx(4 / 6)  # five concordant pairs, one discordant
    assert found.low < found.tau_b < found.high == 1.0
    assert found.perfect_by_chance == 1 / 24
    x, y, draws = rng.integers(5, size=9), rng.integers(5, size=9), rng.integers(9, size=(50, 9))
    fast = resampled_taus(x.astype(float), y.astype(float), draws)
    slow = [kendalltau(x[draw], y[draw]).statistic for draw in draws]
    assert fast == pytest.approx(slow)
    equal = RankAgreement.of(np.ones(3), np.arange(3.0), rng=rng)
    assert np.isnan([equal.tau_b, equal.low, equal.high]).all()


def test_level_agreement_by_hand():
    found = LevelAgreement.of(np.array([9.0, 22.0]), np.array([10.0, 20.0]))
    assert found == LevelAgreement(mape_percent=10.0, mean_error=0.5, bias_percent=0.0, worst_percent=10.0)


def test_correction_agrees_with_least_squares_and_leaves_each_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=6)
    y = 3 + 2 * x + 0.1 * rng.normal(size=6)
    found = Correction.of(x, y)
    slope, intercept = np.polyfit(x, y, 1)
    assert (found.slope, found.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    for i in range(6):
        assert found.left_out[i] == pytest.approx(np.polyval(np.polyfit(np.delete(x, i), np.delete(y, i), 1), x[i]))
    assert found.useful
    assert not Correction.of(x, -y).useful
    assert Correction.of(x[:3], y[:3]) is None
    assert Correction.of(np.array([0.0, 0, 0, 1]), np.arange(4.0)) is None  # without the last one no line


def test_coverage_and_ranks():
    found = Coverage.of(np.zeros(3), np.array([1.6, 1.7, -1.6]), deviation=np.ones(3), corrected=False)
    assert (found.inside, found.n) == (2, 3)
    assert ranks(np.array([5.0, 1.0, 5.0, 7.0])) == [2, 1, 2, 4]


# ---------------------------------------------------------------------- report


def made_study(*, failed: bool = False, dataset: str = "toy") -> tuple[Study, Any]:
    """Five networks whose measured errors and latencies are known; the third is the fourth's better."""
    pytest.importorskip("onnxruntime")
    predicted = [[10.0, 4.0], [11.0, 3.0], [12.0, 2.0], [13.0, 1.0], [14.0, 5.0], [12.5, 1.8]]
    run = fake_run(predicted)
    objectives = (
        Objective(name="error", unit="percent", kind="predicted", dataset="toy", split="valid", epochs=3),
        Objective(name="latency_x", unit="ms", kind="derived", dataset="toy", device="X1", batch=1, precision="fp32"),
    )
    run.identity.objectives = objectives
    roles = ["front", "front", "front", "front", "control"]
    networks = tuple(
        Chosen(
            arch=run.archs[i],
            role=roles[i],
            evaluation=i,
            predicted=tuple(predicted[i]),
            deviation=(1.0, None),
        )
        for i in range(5)
    )
    errors = [20.0, 22.0, 24.0, 26.0, 28.0]
    latency_us = np.array([5000.0, 4000.0, 1000.0, 2000.0, 5000.0])

    def trained(i: int) -> Trained:
        found = Scores(error_percent=errors[i], precision_percent=70.0, recall_percent=70.0, f1_percent=70.0)
        return Trained(
            arch=run.archs[i], seed=0, failure=None, environment="here", valid=found, test=found, train_seconds=1.0
        )

    trainings = [trained(i) for i in range(5)]
    if failed:
        trainings[0] = Trained(arch=run.archs[0], seed=0, failure="RuntimeError: no luck", environment="here")
    costs = Profile(
        device="X1",
        runtime="onnxruntime 0",
        latency_us={"p10": latency_us, "p50": 1.1 * latency_us},
        noise_percent=1.0,
        as_predicted_us=None,
        memory_mib=np.full(5, np.nan),
        failures={},
        no_memory_because="not asked",
    )
    study = Study(
        problem="toy-v1",
        run_hash="0" * 64,
        objectives=objectives,
        networks=networks,
        trained=tuple(trainings),
        profile=costs,
        dataset=dataset,
        images_sha256="1" * 64,
        n_images={"train": 100, "valid": 10_000, "test": 100},
        recipe=Recipe(epochs=3),
        skeleton=Skeleton(n_cells=1, channels=8, image_size=8),
        as_predicted=None,
        seeds=(0,),
        device="cpu",
    )
    return study, run


def test_the_report_says_what_was_computed_by_hand():
    from nasbench_mo.validation import make_report

    report = make_report(*made_study())
    error, latency = report.objectives
    assert error.counterpart.levels_comparable
    assert error.levels.mean_error == pytest.approx(-12.0)  # 10 to 14 predicted, 20 to 28 measured
    assert (error.correction.slope, error.correction.intercept) == (pytest.approx(2.0), pytest.approx(0.0))
    assert error.agreement.tau_b == pytest.approx(1.0)
    assert (error.coverage.inside, error.coverage.n, error.coverage.corrected) == (0, 5, False)
    assert (error.mean_measured_front, error.mean_measured_controls) == (23.0, 28.0)
    assert latency.measured == (5.0, 4.0, 1.0, 2.0, 5.0)  # in the objective's milliseconds
    assert latency.predicted_rank == (4, 3, 2, 1, 5)
    assert latency.measured_rank == (4, 3, 1, 2, 4)
    assert latency.levels.mape_percent == pytest.approx(np.mean([20, 25, 100, 50, 0]))
    assert latency.levels.bias_percent == pytest.approx(np.mean([-20, -25, 100, -50, 0]))
    # (26 %, 2 ms) is dominated by (24 %, 1 ms); the control by all but nobody equal
    assert [n.dominated_by for n in report.networks] == [(), (), (), (2,), (0, 1, 2, 3)]
    assert (report.n_front, report.n_still_nondominated) == (4, 3)
    assert "Of the 4 networks of the predicted front that were measured, 3 remain nondominated" in report.statements[0]


def test_the_corrected_front_mixes_measured_values_with_corrected_predictions():
    from nasbench_mo.validation import make_report

    study, run = made_study()
    report = make_report(study, run)
    # the sixth network was not measured; its error is corrected to 25 %, its latency is not: no line is of use
    latency = report.objectives[1]
    sixth = [25.0, 1.8 if not latency.correction.useful else float(latency.correction(np.array([1.8]))[0])]
    candidates = np.array([[20, 5], [22, 4], [24, 1], [26, 2], [28, 5], sixth])
    expected = {i for i in range(6) if nmo.nondominated(candidates)[i]}
    assert {n.evaluation for n in report.corrected_front} == expected
    assert all(n.measured == (n.evaluation != 5) for n in report.corrected_front)


def test_other_image_sets_have_no_comparable_levels():
    from nasbench_mo.validation import make_report

    error = make_report(*made_study(dataset="other")).objectives[0]
    assert not error.counterpart.levels_comparable
    assert error.levels is None
    assert "the levels are not comparable, the ranks are" in error.counterpart.because
    assert error.coverage.corrected  # the line is exact, so every left-out value is inside
    assert error.coverage.inside == 5


@pytest.mark.parametrize("channels", [8, 16])
def test_latencies_are_compared_where_the_networks_are_the_same_ones_whatever_the_images_are(channels):
    from nasbench_mo.validation import make_report

    study, run = made_study(dataset="gtsrb16-all")
    study = dataclasses.replace(
        study,
        objectives=tuple(dataclasses.replace(o, dataset="gtsrb16") for o in study.objectives),
        skeleton=dataclasses.replace(Skeleton.for_dataset("gtsrb16"), channels=channels),
    )
    error, latency = make_report(study, run).objectives
    same = channels == 8
    assert not error.counterpart.levels_comparable  # trained on other images
    assert ("in another skeleton" in error.counterpart.because) == (not same)
    assert latency.counterpart.levels_comparable == same
    assert latency.counterpart.column == ("latency_p10_us" if same else "latency_p50_us")
    assert ("of the same networks" in latency.counterpart.because) == same


def test_the_predicted_networks_are_profiled_where_they_are_others_than_the_trained_ones():
    from nasbench_mo.validation.study import _predicted_skeleton

    published = Skeleton.for_dataset("cifar10")
    [latency] = [dataclasses.replace(o, dataset="cifar10") for o in made_study()[0].objectives[1:]]
    assert _predicted_skeleton([latency], skeleton=dataclasses.replace(published, n_cells=1)) == published
    assert _predicted_skeleton([latency], skeleton=published) is None


def test_a_failed_network_is_left_out_and_named():
    from nasbench_mo.validation import make_report
    from nasbench_mo.validation.document import render_markdown

    report = make_report(*made_study(failed=True))
    assert report.objectives[0].networks == (1, 2, 3, 4)
    assert report.networks[0].dominated_by is None
    assert report.networks[0].failures == ("training with seed 0: RuntimeError: no luck",)
    assert report.n_front == 3
    assert "no luck" in report.statements[0]
    assert "failed" in render_markdown(report)


def test_constraints_are_judged_by_measured_values():
    from nasbench_mo.validation import make_report

    study, run = made_study()
    run.problem = SimpleNamespace(
        space=run.problem.space,
        constraints=tuple(
            Constraint.parse(text) for text in ("latency_x_ms <= 2", "error_percent >= 22", "params_millions <= 1")
        ),
    )
    upper, lower, beside = make_report(study, run).constraints
    assert (upper.constraint, upper.violated_by) == ("latency_x_ms <= 2", (0, 1, 4))
    assert lower.violated_by == (0,)
    assert beside.violated_by is None
    assert "no objective" in beside.because


def test_a_report_without_noise_of_sampling_says_so():
    from nasbench_mo.validation import make_report

    study, run = made_study()
    assert not any("largely chance" in text for text in make_report(study, run).statements)
    few = dataclasses.replace(study, n_images={**study.n_images, "valid": 20})
    assert any("largely chance" in text for text in make_report(few, run).statements)
    assert any("5 networks are few" in text for text in make_report(study, run).statements)


# ---------------------------------------------------------------------- from end to end


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    """A finished validation of two networks and a control, two seeds."""
    pytest.importorskip("torch", reason="training needs the extra 'train'")
    pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nasbench-mo", *arguments(folder, folder / "done", seeds="0,1")])
        main_or_fail()
    return folder / "done"


def arguments(folder: Path, out: Path, *, seeds: str = "0", top: int = 2) -> list[str]:
    return [
        *("validate", str(folder / "run.parquet"), "--top", str(top), "--dataset", str(folder / "toy.npz")),
        *("--device", "cpu", "--out", str(out), "--epochs", "2", "--seeds", seeds),
    ]


def main_or_fail() -> None:
    try:
        main()
    except SystemExit as leaving:
        assert not leaving.code


def test_a_validation_leaves_a_whole_report(done):
    report = json.loads((done / "report.json").read_text())
    assert [n["role"] for n in report["networks"]] == ["front", "front", "control"]
    for network in report["networks"]:
        assert len(network["trained"]) == 2
        assert len(network["trained"][0]["valid_error_percent"]) == 2
        assert network["trained"][0]["joules"] is not None or network["trained"][0]["no_joules_because"]
        measured = network["measured"]
        quantiles = [measured[f"latency_p{q}_us"] for q in (10, 50, 90, 99)]
        assert quantiles == sorted(quantiles)
        assert measured["params_count"] == network["trained"][0]["n_parameters"]
        seeds = [measured[f"valid_error_s{s}_percent"] for s in (0, 1)]
        assert measured["valid_error_mean_percent"] == pytest.approx(np.mean(seeds))
    page = (done / "report.html").read_text()
    style = re.search(r"<style>(.*?)</style>", page, flags=re.DOTALL)[1]
    assert f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    pictures = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)]
    assert len(pictures) == 2 + 2 + 2  # two objectives, two fronts, two training curves
    assert [len(picture.findall("polyline")) for picture in pictures[4:]] == [6, 6]
    for picture in pictures[:4]:
        _, _, width, height = map(float, picture.attrib["viewBox"].split())
        dots = picture.findall("circle")
        assert [dot.attrib["class"] for dot in dots] == ["front", "front", "control"]
        assert all(0 < float(d.attrib["cx"]) < width and 0 < float(d.attrib["cy"]) < height for d in dots)
    markdown = (done / "report.md").read_text()
    assert all(text in markdown for text in report["statements"])


def test_the_measured_values_are_a_native_table(done):
    path = done / "measured.parquet"
    table = nmo.table(path)
    assert nmo.table(str(path)).columns == table.columns == Table.open(path).columns
    report = json.loads((done / "report.json").read_text())
    for network in report["networks"]:
        found = table.query_one(network["arch"], ["latency_p50_us", "test_f1_mean_percent"])
        assert found.tolist() == [network["measured"]["latency_p50_us"], network["measured"]["test_f1_mean_percent"]]
    assert table.objectives["latency_p50_us"].device == report["study"]["profile"]["device"]
    with pytest.raises(UnknownNameError, match="does not exist"):
        nmo.table(done / "none.parquet")


def test_measured_values_are_told_to_a_searcher(done):
    from nasbench_mo.validation import measured_values, tell_measured

    table = nmo.table(done / "measured.parquet")
    columns = ["valid_error_mean_percent", "latency_p50_us"]
    searcher = nmo.searcher("random", NB, 2, seed=0)
    assert tell_measured(searcher, table, columns) == searcher.n_told == 3
    X, F = measured_values(table, ["test_f1_mean_percent"])
    assert np.array_equal(F[:, 0], -table["test_f1_mean_percent"])  # minimised
    assert NB.decode(X) == table.archs
    with pytest.raises(ObjectiveError, match="2 objectives; got 1"):
        tell_measured(searcher, table, columns[:1])
    with pytest.raises(SearcherError, match="not asked for"):
        tell_measured(nmo.searcher("nsga2", NB, 2, seed=0), table, columns)


def test_the_same_command_trains_nothing_again(done, folder, monkeypatch, capsys):
    before = {path: path.stat().st_mtime_ns for path in (done / "work").glob("*.json")}
    assert len(before) == 6 + 2  # trainings, identity, profile
    first = (done / "report.json").read_text()
    code, text, _ = command(capsys, monkeypatch, *arguments(folder, done, seeds="0,1")[1:], "--json")
    assert code == 0
    assert json.loads(text) == json.loads(first)
    assert {path: path.stat().st_mtime_ns for path in (done / "work").glob("*.json")} == before


def test_a_network_that_fails_is_reported_and_tried_again(folder, tmp_path, monkeypatch, capsys):
    import torch  # noqa: F401  # without it every network fails, and that is not what is tested

    from nasbench_mo.training import trainer

    monkeypatch.setattr("nasbench_mo.profiling.cpu.resident_mib", lambda model, n_threads: 1.0)
    chosen = choose(nmo.Run.load(folder / "run.parquet"), top=2)
    real = trainer.Trainer.train

    def failing(self: Any, cell: str, **kwargs: Any) -> Any:
        if cell == chosen[0].arch:
            raise RuntimeError("out of luck")
        return real(self, cell, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train", failing)
        code, text, _ = command(capsys, patch, *arguments(folder, tmp_path / "out")[1:])
    assert code == 0
    assert "1 of 3 networks failed" in text
    assert "out of luck" in text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [n["measured"]["valid_error_mean_percent"] is None for n in report["networks"]] == [True, False, False]
    assert report["networks"][0]["measured"]["latency_p50_us"] > 0
    code, text, _ = command(capsys, monkeypatch, *arguments(folder, tmp_path / "out")[1:])
    assert code == 0
    assert "failed" not in text


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="this machine has no C++ compiler")
def test_the_native_engine_trains_the_same_networks_and_is_another_study(folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx", reason="profiles need the extra 'profile'")
    write_images(tmp_path / "toy.npz", size=16)
    monkeypatch.setattr("nasbench_mo.profiling.cpu.resident_mib", lambda model, n_threads: 1.0)
    call = with_changes(arguments(folder, tmp_path / "native"), dataset=tmp_path / "toy.npz", engine="native")
    code, _, error = command(capsys, monkeypatch, *call[1:])
    assert code == 0, error
    code, _, error = command(capsys, monkeypatch, *with_changes(call, engine="torch", out=tmp_path / "torch")[1:])
    assert code == 0, error
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("native", "torch")]
    for native, torch in zip(*(report["networks"] for report in reports), strict=True):
        assert native["arch"] == torch["arch"]
        assert native["trained"][0]["environment"].startswith("native ")
        assert native["trained"][0]["n_parameters"] == torch["trained"][0]["n_parameters"]
        first = [run["trained"][0]["train_loss"][0] for run in (native, torch)]  # later epochs part: chaos
        assert first[0] == pytest.approx(first[1], rel=1e-2)
    assert "by the native engine" in (tmp_path / "native" / "report.md").read_text()
    code, _, error = command(capsys, monkeypatch, *with_changes(call, engine="torch")[1:])
    assert code == 2
    assert "holds another study" in error


def test_a_killed_validation_goes_on(folder, tmp_path, monkeypatch, capsys):
    """SIGKILL after the first finished training: it is kept, and the same command makes the others."""
    import torch  # noqa: F401  # the child process needs it too

    monkeypatch.setattr("nasbench_mo.profiling.cpu.resident_mib", lambda model, n_threads: 1.0)
    write_images(tmp_path / "toy.npz", n_train=2000)
    call = [*arguments(folder, tmp_path / "out")]
    call[call.index(str(folder / "toy.npz"))] = str(tmp_path / "toy.npz")
    environment = os.environ | {"PYTHONPATH": str(Path(nmo.__file__).parents[1])}
    program = "from nasbench_mo.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *call], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    work = tmp_path / "out" / "work"
    try:
        deadline = time.monotonic() + 120
        while not list(work.glob("*-seed0.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*-seed0.json")}
    assert 0 < len(kept) < 3
    assert not (tmp_path / "out" / "report.json").exists()
    code, text, error = command(capsys, monkeypatch, *call[1:])
    assert (code, "training: 3 of 3" in error) == (0, True)
    assert "remain nondominated" in text
    assert len(list(work.glob("*-seed0.json"))) == 3
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())


def test_jobs_and_results_travel_between_processes(folder):
    job = _Job(
        arch="a",
        seed=0,
        dataset=find_dataset(str(folder / "toy.npz")),
        images_sha256="0",
        recipe=Recipe(),
        device="cpu",
        engine="torch",
        file=folder / "a.json",
    )
    assert pickle.loads(pickle.dumps(job)) == job
    found = made_study()[0].trained[0]
    assert pickle.loads(pickle.dumps(found)) == found
    assert Trained.from_dict(json.loads(json.dumps(dataclasses.asdict(found)))) == found


# ---------------------------------------------------------------------- every way to go wrong


def with_changes(call: list[str], **changes: object) -> list[str]:
    changed = list(call)
    for name, value in changes.items():
        if name == "run":
            changed[1] = str(value)
        elif f"--{name}" in changed:
            changed[changed.index(f"--{name}") + 1] = str(value)
        else:
            changed += [f"--{name}", str(value)]
    return changed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run": "nowhere.parquet"}, "nowhere.parquet does not exist"),
        ({"run": "toy.npz"}, "not a readable run file"),
        ({"dataset": "none.npz"}, "none.npz does not exist"),
        ({"dataset": "mnist"}, "the image sets are digits, gtsrb16, gtsrb16-all, gtsrb32-all, cifar10, openml:NAME"),
        ({"dataset": "cifar10", "images": "."}, "has neither cifar10_jpeg.npz"),
        ({"dataset": "odd.npz"}, "must be a multiple of 4"),
        ({"dataset": "flat.npz"}, "must be square"),
        ({"device": "cuda"}, "no device 'cuda' here"),
        ({"device": "toaster"}, "no device 'toaster' here"),
        ({"engine": "jax"}, "engine is one of torch, native; got 'jax'"),
        ({"seeds": "0,x"}, "--seeds expects integers"),
        ({"seeds": "0,0"}, "different seeds"),
        ({"out": "toy.npz"}, "is a file"),
        ({"run": "codesign.parquet"}, "trainable networks for the space nb201"),
    ],
)
def test_wrong_input_is_one_sentence(folder, tmp_path, monkeypatch, capsys, changes, says):
    torch = pytest.importorskip("torch")
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    (tmp_path / "run.parquet").write_bytes((folder / "run.parquet").read_bytes())
    write_images(tmp_path / "toy.npz")
    write_images(tmp_path / "odd.npz", size=10)
    flat = {f"{s}_pixels": np.zeros((3, 8, 12, 3), np.uint8) for s in ("train", "valid", "test")}
    np.savez(tmp_path / "flat.npz", **flat, **{f"{s}_labels": np.arange(3) for s in ("train", "valid", "test")})
    if changes.get("run") == "codesign.parquet":
        nmo.run(nmo.problem("nb201-x-fpga-v1"), "random", budget=5).save(tmp_path / "codesign.parquet")
    monkeypatch.chdir(tmp_path)
    call = with_changes(arguments(tmp_path, tmp_path / "out"), **changes)
    code, text, error = command(capsys, monkeypatch, *call[1:])
    assert code == 2
    assert says in error
    assert error.count("\n") == 1
    assert not text
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("changes", [{"epochs": 3}, {"seeds": "0"}, {"top": 3}, {"dataset": "digits"}])
def test_another_study_in_the_folder_is_refused(done, folder, monkeypatch, capsys, changes):
    if "dataset" in changes:
        pytest.importorskip("sklearn")
    before = (done / "report.json").read_bytes()
    call = with_changes(arguments(folder, done, seeds="0,1"), **changes)
    code, _, error = command(capsys, monkeypatch, *call[1:])
    assert code == 2
    assert "holds another study" in error
    assert (done / "report.json").read_bytes() == before


def test_damaged_work_is_named(done, folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(done, tmp_path / "copy")
    victim = next((tmp_path / "copy" / "work").glob("*-seed1.json"))
    victim.write_text(victim.read_text()[:40])
    code, _, error = command(capsys, monkeypatch, *arguments(folder, tmp_path / "copy", seeds="0,1")[1:])
    assert code == 2
    assert victim.name in error
    assert "delete it" in error


def test_image_sets_are_made_of_disjoint_parts():
    """What the split helper promises: every k-th image of each class."""
    labels = np.array([0] * 10 + [1] * 5)
    position = datasets._position_in_class(labels, seed=0)
    assert sorted(position[:10].tolist()) == list(range(10))
    assert sorted(position[10:].tolist()) == list(range(5))


def test_an_image_set_keeps_its_identity():
    part = Images(pixels=np.zeros((3, 8, 8, 1), np.uint8), labels=np.arange(3))
    images = ImageSet(name="x", n_classes=3, train=part, valid=part, test=part)
    assert check_image_size(images, recipe=Recipe()).image_size == 8
