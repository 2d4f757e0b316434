"""A Gaussian process from table to artefact and back, served without the libraries that fitted it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau
from test_predictor_artifact import SPACE, SPEC, X, change_reference, made_up_accuracy, store_table

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, SpecError
from nasbench_mo.predictor.artifact import Predictor
from nasbench_mo.predictor.models import MODELS, StoredGaussianProcess, model_kind
from nasbench_mo.predictor.recipes import KERNEL_NOTES, KERNELS
from nasbench_mo.predictor.training import TrainingSpec, split_by_topology, train
from nasbench_mo.predictor.xgb import Z90

pytest.importorskip("sklearn", reason="a Gaussian process is fitted with the extra 'fit'")

GP = dataclasses.replace(
    SPEC,
    id="nb201-made-up-gp-v1",
    estimator="gp",
    features="nb201-graph-v2",
    parameters={"kernel": "nb201-accuracy"},
    n_fit=150,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with the made-up table and the process trained on it; not to be changed by a test."""
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_MO_CACHE", str(root))
        store_table(root, made_up_accuracy())
        train(GP, root=root / "predictors", command="made by the tests")
        yield root


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    """A copy of the artefact, to be damaged."""
    return Path(shutil.copytree(home / "predictors" / GP.id, tmp_path / GP.id))


def test_it_ranks_what_it_has_not_seen_and_its_intervals_hold_it(home: Path) -> None:
    model = Predictor.load(home / "predictors" / GP.id)
    rows = np.flatnonzero((split_by_topology(SPACE, X, spec=GP) == 2) & ~SPACE.degenerate(X))
    truth = 100 - made_up_accuracy()[rows]
    value, deviation = model.predict(X[rows], return_std=True)
    assert kendalltau(value, truth).statistic > 0.8
    assert 0.8 < np.mean(np.abs(truth - value) <= Z90 * deviation) < 0.97
    assert len(np.unique(deviation)) > 100  # cell by cell, not one relative spread


def test_it_learns_from_as_many_topologies_as_asked_for(home: Path) -> None:
    card = artifacts.read_card(home / "predictors" / GP.id)
    assert card["rows"]["fit"] == 150
    assert card["estimator"] == "gp"
    text = (home / "predictors" / GP.id / "card.md").read_text(encoding="utf-8")
    assert "Gaussian process on 192 features" in text
    assert KERNEL_NOTES["nb201-accuracy"] in text
    assert set(KERNEL_NOTES) == set(KERNELS)


def test_it_is_served_without_the_libraries_that_fit_it(home: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from nasbench_mo.predictor.artifact import Predictor\n"
        "model = Predictor.load(Path(sys.argv[1])); model.predict([model.reference.archs[0]])\n"
        "heavy = ('sklearn', 'torch', 'gpytorch', 'xgboost', 'scipy', 'pandas', 'pyarrow')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    command = [sys.executable, "-c", script, str(home / "predictors" / GP.id)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("identifier", ["nb201-c10-valerr-gp-v1", "nb201-c100-valerr12-gp-v1"])
def test_an_embedded_process_answers_without_heavy_libraries(identifier: str) -> None:
    """SciPy's statistics alone took longer to import than the process takes to be read and factorised."""
    script = (
        "import sys, nasbench_mo as nmo; model = nmo.predictor(sys.argv[1])\n"
        "model.predict(model.reference.archs, return_std=True)\n"
        "print([m for m in ('torch', 'sklearn', 'gpytorch', 'scipy', 'scipy.stats', 'xgboost') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, identifier], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_reloaded_process_predicts_the_same(home: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3)).astype(np.float32)
    y = np.exp(features[:, 0].astype(float))
    fitted = StoredGaussianProcess.fit(features, y, columns=["a", "b", "c"], parameters={}, seed=0)
    fitted.calibrate(features, y * 1.1)
    fitted.save(tmp_path)
    again = StoredGaussianProcess.load(tmp_path, spread=fitted.spread)
    for one, other in zip(
        fitted.predict(features, return_std=True), again.predict(features, return_std=True), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.npz"]


def test_calibration_makes_intervals_hold_nine_tenths() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 2)).astype(np.float32)
    y = features[:, 0] + rng.standard_t(3, size=300)
    model = StoredGaussianProcess.fit(
        features[:60], y[:60], columns=["a", "b"], parameters={"target": "identity"}, seed=0
    )
    model.calibrate(features[60:], y[60:])
    value, deviation = model.predict(features[60:], return_std=True)
    inside = np.mean(np.abs(y[60:] - value) <= Z90 * deviation * (1 + 1e-9))
    assert 0.9 <= inside <= 0.91


def test_a_damaged_process_is_refused(folder: Path) -> None:
    model = folder / "model.npz"
    honest = model.read_bytes()
    model.write_bytes(honest[: len(honest) // 2])
    with pytest.raises(ArtifactError, match="expected SHA-256"):
        Predictor.load(folder)
    change_reference(folder, sha256=artifacts.sha256(model))
    with pytest.raises(ArtifactError, match="is damaged"):
        Predictor.load(folder)
    np.savez(model, inputs=np.zeros((2, 2)), state=np.frombuffer(json.dumps({"format": 9}).encode(), np.uint8))
    change_reference(folder, sha256=artifacts.sha256(model))
    with pytest.raises(ArtifactError, match="not a stored Gaussian process"):
        Predictor.load(folder)


def test_another_spread_of_the_deviations_does_not_pass_for_another_value(folder: Path) -> None:
    change_reference(folder, values=[v * 1.01 for v in json.loads((folder / "reference.json").read_text())["values"]])
    with pytest.raises(ArtifactError, match="reference prediction"):
        Predictor.load(folder)


def test_wrong_parameters_and_too_few_topologies_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"parameters of estimator 'gp': .*lengths"):
        train(dataclasses.replace(GP, id="a-v1", parameters={"lengths": 3}), root=tmp_path, command="x")
    with pytest.raises(SpecError, match="topologies to learn from, got 9999"):
        train(dataclasses.replace(GP, id="b-v1", n_fit=9999), root=tmp_path, command="x")
    with pytest.raises(SpecError, match="needs the columns of feature map 'nb201-graph-v2'"):
        train(dataclasses.replace(GP, id="c-v1", features="nb201-onehot-v1"), root=tmp_path, command="x")
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_of_model_is_named() -> None:
    with pytest.raises(SpecError, match=r"unknown estimator 'gpp'; known: xgb, gp.*Did you mean 'gp'"):
        model_kind("gpp")
    assert all(kind.kind == name for name, kind in MODELS.items())


def test_a_wrong_number_to_learn_from_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("id: a-v1\nspace: nb201\ntable: t\ncolumn: c\nname: n\nn_fit: 1\n", encoding="utf-8")
    with pytest.raises(SpecError, match="n_fit must be an integer of at least 2"):
        TrainingSpec.read(path)
