"""A predictor from table to artefact and back: the split, the card, and everything that is refused at load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau

import nasbench_mo as nmo
from nasbench_mo import artifacts
from nasbench_mo.errors import ArchitectureError, ArtifactError, ObjectiveError, SpecError, UnknownNameError
from nasbench_mo.objective import Objective
from nasbench_mo.predictor import describe_predictor
from nasbench_mo.predictor.artifact import REFERENCE_FILE, Predictor, ReferenceFile
from nasbench_mo.predictor.training import TrainingSpec, one_per_topology, split_by_topology, train
from nasbench_mo.predictor.xgb import MODEL_FILE, Z90
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.table import Column, Table, write_table

SPACE = NB201()
X = SPACE.enumerate()
TABLE = "nb201-made-up-v1"
ACCURACY = Objective(
    name="c10_valid_accuracy_200ep_mean",
    unit="percent",
    kind="derived",
    direction="max",
    dataset="cifar10",
    split="valid",
    epochs=200,
    seed="mean",
    note="made up",
)
SPEC = TrainingSpec(
    id="nb201-made-up-xgb-v1",
    space="nb201",
    table=TABLE,
    column=ACCURACY.column,
    name="c10_valid_error_200ep",
    degenerate_value=90.0,
    parameters={"n_rounds": 40, "max_depth": 5, "learning_rate": 0.2},
)


def made_up_accuracy() -> NDArray[np.float64]:
    """Accuracy in percent, (15625,): better with more live convolutions, and equal for cells of one function."""
    counts = SPACE.operation_counts(SPACE.canonical(X, equivalence="function"), convention="live")
    error = 40.0 * np.exp(-0.25 * counts[:, 3] - 0.15 * counts[:, 2] + 0.1 * counts[:, 4])
    classes, member = np.unique(SPACE.equivalence_class(X), return_inverse=True)
    noise = 0.04 * np.random.default_rng(0).laplace(size=len(classes))
    accuracy: NDArray[np.float64] = 100.0 - error * np.exp(noise[member])
    return np.where(SPACE.degenerate(X), 10.0, accuracy)


def store_table(root: Path, values: NDArray[np.float64], *, rows: NDArray[np.intp] | None = None) -> Table:
    kept = np.arange(len(X)) if rows is None else rows
    with artifacts.staged_folder(root / "tables" / TABLE) as stage:
        write_table(
            stage,
            [Column(objective=ACCURACY, values=values[kept])],
            id=TABLE,
            space="nb201",
            archs=SPACE.decode(X[kept]),
            cardinalities=SPACE.cardinalities.tolist(),
            encodings=X[kept],
        )
        (stage / "card.md").write_text(
            artifacts.render_card({"id": TABLE, "source": "made up", "licence": "MIT"}, body="x"), encoding="utf-8"
        )
    return Table.open(root / "tables" / TABLE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with the made-up table and the predictor trained on it; not to be changed by a test."""
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_MO_CACHE", str(root))
        store_table(root, made_up_accuracy())
        train(SPEC, root=root / "predictors", command="made by the tests")
        yield root


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    """A copy of the predictor's folder, to be damaged."""
    return Path(shutil.copytree(home / "predictors" / SPEC.id, tmp_path / SPEC.id))


def change_reference(folder: Path, **changes: Any) -> None:
    path = folder / REFERENCE_FILE
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


# ---------------------------------------------------------------------- the split


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("held_out", "calibration"), [(0.2, 0.05), (0.5, 0.3)])
def test_no_equivalence_class_is_in_two_folds(seed: int, held_out: float, calibration: float) -> None:
    spec = TrainingSpec(
        id="s-v1", space="nb201", table="t", column="c", name="n", held_out=held_out, calibration=calibration, seed=seed
    )
    fold = split_by_topology(SPACE, X, spec=spec)
    classes = SPACE.equivalence_class(X)
    members = [set(classes[fold == k].tolist()) for k in range(3)]
    assert not members[0] & members[1] | members[0] & members[2] | members[1] & members[2]
    assert len(members[2]) == np.ceil(held_out * 4930)
    assert len(members[1]) == np.ceil(calibration * 4930)
    assert sum(map(len, members)) == 4930
    np.testing.assert_array_equal(split_by_topology(SPACE, X, spec=spec), fold)


def test_isomorphic_cells_share_a_fold() -> None:
    fold = split_by_topology(SPACE, X, spec=SPEC)
    for equivalence in ("published", "function"):
        codes = SPACE.codes(SPACE.canonical(X, equivalence=equivalence))  # type: ignore[arg-type]
        np.testing.assert_array_equal(fold, fold[codes])


def test_one_row_is_kept_of_every_class() -> None:
    rows = np.flatnonzero(split_by_topology(SPACE, X, spec=SPEC) == 2)
    kept = one_per_topology(SPACE, X, rows=rows, seed=0)
    classes = SPACE.equivalence_class(X)
    assert set(kept.tolist()) <= set(rows.tolist())
    assert sorted(classes[kept].tolist()) == sorted(set(classes[rows].tolist()))
    assert one_per_topology(SPACE, X, rows=rows, seed=1).tolist() != kept.tolist()


def test_only_rows_of_the_fit_fold_are_fitted_and_none_that_is_degenerate(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value changed in a held-out class changes the figures on the card but not the model."""
    fold = split_by_topology(SPACE, X, spec=SPEC)
    other = home.parent / "other"
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(other))
    values = made_up_accuracy()
    values[(fold == 2) | SPACE.degenerate(X)] = 37.0
    store_table(other, values)
    again = train(SPEC, root=other / "predictors", command="made by the tests")
    assert again.data_hash == Predictor.load(home / "predictors" / SPEC.id).data_hash
    cards = [artifacts.read_card(root / "predictors" / SPEC.id)["held_out"] for root in (home, other)]
    assert cards[0] != cards[1]


# ---------------------------------------------------------------------- the artefact


def test_the_folder_holds_model_reference_and_card(home: Path) -> None:
    assert {p.name for p in (home / "predictors" / SPEC.id).iterdir()} == {MODEL_FILE, REFERENCE_FILE, "card.md"}


def test_a_predictor_is_found_by_its_id_and_says_what_it_predicts(home: Path) -> None:
    model = nmo.predictor(SPEC.id)
    assert model is nmo.predictor(SPEC.id)
    assert model.folder == home / "predictors" / SPEC.id
    assert model.objective == Objective(
        name="c10_valid_error_200ep",
        unit="percent",
        kind="predicted",
        direction="min",
        dataset="cifar10",
        split="valid",
        epochs=200,
        seed="mean",
    )
    assert repr(model) == f"Predictor('{SPEC.id}': c10_valid_error_200ep_percent, predicted)"
    assert describe_predictor(SPEC.id) == model.reference
    with pytest.raises(UnknownNameError, match=f"Did you mean '{SPEC.id}'"):
        nmo.predictor("nb201-made-up-xgb-v2")


def test_strings_and_encodings_are_predicted_alike(home: Path) -> None:
    model = Predictor.load(home / "predictors" / SPEC.id)
    cells = X[::400]
    value, deviation = model.predict(cells, return_std=True)
    assert value.shape == deviation.shape == (len(cells),)
    for archs in (SPACE.decode(cells), cells.tolist(), cells.astype(np.int64)):
        np.testing.assert_array_equal(model.predict(archs), value)
    np.testing.assert_array_equal(model.predict(SPACE.canonical(cells, equivalence="function")), value)
    assert model.predict([]).shape == (0,)
    with pytest.raises(ArchitectureError):
        model.predict(["|none~0|"])


def test_a_cell_without_a_path_gets_chance_level(home: Path) -> None:
    model = Predictor.load(home / "predictors" / SPEC.id)
    value, deviation = model.predict(X, return_std=True)
    dead = SPACE.degenerate(X)
    assert set(value[dead].tolist()) == {90.0}
    assert set(deviation[dead].tolist()) == {0.0}
    assert (deviation[~dead] > 0).all()


def test_the_card_says_what_the_stored_model_does_on_the_held_out_cells(home: Path) -> None:
    model = Predictor.load(home / "predictors" / SPEC.id)
    card = artifacts.read_card(home / "predictors" / SPEC.id)
    fold = split_by_topology(SPACE, X, spec=SPEC)
    rows = one_per_topology(SPACE, X, rows=np.flatnonzero((fold == 2) & ~SPACE.degenerate(X)), seed=SPEC.seed)
    y = 100.0 - made_up_accuracy()[rows]
    value, deviation = model.predict(X[rows], return_std=True)
    held_out = card["held_out"]
    assert card["rows"]["held_out"] == len(rows)
    assert held_out["kendall_tau_b"] == pytest.approx(kendalltau(value, y).statistic, abs=1e-4)
    assert held_out["rmse_percent"] == pytest.approx(float(np.sqrt(np.mean((value - y) ** 2))), abs=1e-3)
    coverage = float((np.abs(value - y) <= Z90 * deviation).mean())
    assert held_out["coverage_of_90_percent_intervals"] == pytest.approx(coverage, abs=2e-3)
    # nominal 0.9; about 246 calibration and 980 held-out classes: a standard error of 0.02
    assert 0.84 < coverage < 0.96
    assert held_out["kendall_tau_b"] > 0.7


def test_the_card_says_where_the_model_comes_from(home: Path) -> None:
    card = artifacts.read_card(home / "predictors" / SPEC.id)
    assert card["id"] == SPEC.id
    assert card["trained_on"] == {"table": TABLE, "column": ACCURACY.column, "source": "made up", "licence": "MIT"}
    assert card["command"] == "made by the tests"
    assert card["model_sha256"] == artifacts.sha256(home / "predictors" / SPEC.id / MODEL_FILE)
    assert card["objective"]["kind"] == "predicted"
    assert {"nasbench-mo", "numpy", "xgboost", "python"} <= set(card["versions"])
    assert card["superseded_by"] is None


def test_the_card_counts_rows_of_the_fit_and_classes_of_the_rest_and_no_degenerate_cell(home: Path) -> None:
    alive = ~SPACE.degenerate(X)
    fold, classes = split_by_topology(SPACE, X, spec=SPEC), SPACE.equivalence_class(X)
    expected = {
        "fit": int((alive & (fold == 0)).sum()),
        "calibration": len(set(classes[alive & (fold == 1)].tolist())),
        "held_out": len(set(classes[alive & (fold == 2)].tolist())),
    }
    assert artifacts.read_card(home / "predictors" / SPEC.id)["rows"] == expected


def test_reference_architectures_are_held_out(home: Path) -> None:
    reference = describe_predictor(SPEC.id)
    fold = split_by_topology(SPACE, X, spec=SPEC)
    codes = SPACE.codes(SPACE.encode(reference.archs))
    assert len(set(codes.tolist())) == 24
    assert set(fold[codes].tolist()) == {2}
    assert not SPACE.degenerate(X[codes]).any()
    np.testing.assert_allclose(Predictor.load(home / "predictors" / SPEC.id).predict(X[codes]), reference.values)


def test_the_reference_file_survives_its_own_text(home: Path) -> None:
    reference = describe_predictor(SPEC.id)
    assert ReferenceFile.from_json(reference.to_json(), path=home) == reference


def test_a_published_folder_is_frozen(home: Path) -> None:
    before = {p.name: p.read_bytes() for p in (home / "predictors" / SPEC.id).iterdir()}
    with pytest.raises(
        SpecError, match=r"exists and published artefacts are frozen; give the new one the next version"
    ):
        train(SPEC, root=home / "predictors", command="again")
    assert {p.name: p.read_bytes() for p in (home / "predictors" / SPEC.id).iterdir()} == before


def test_training_again_gives_the_same_model(home: Path, tmp_path: Path) -> None:
    again = train(SPEC, root=tmp_path, command="again")
    assert again.data_hash == describe_predictor(SPEC.id).sha256
    assert again.reference == describe_predictor(SPEC.id)


# ---------------------------------------------------------------------- refused at load


def test_an_undamaged_copy_is_loaded(folder: Path) -> None:
    assert Predictor.load(folder).id == SPEC.id


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / MODEL_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / MODEL_FILE).write_bytes(bytes(data))


def other_value(folder: Path) -> None:
    values = json.loads((folder / REFERENCE_FILE).read_text(encoding="utf-8"))["values"]
    change_reference(folder, values=[*values[:-1], values[-1] * 1.001])


def other_model_with_its_own_hash(folder: Path) -> None:
    """A consistent hash does not help: the model does not say what it said when it was made."""
    import xgboost

    booster = xgboost.Booster(model_file=folder / MODEL_FILE)
    booster[:20].save_model(folder / MODEL_FILE)
    change_reference(folder, sha256=artifacts.sha256(folder / MODEL_FILE))


def without_field(folder: Path) -> None:
    path = folder / REFERENCE_FILE
    fields = json.loads(path.read_text(encoding="utf-8"))
    del fields["relative_sd"]
    path.write_text(json.dumps(fields), encoding="utf-8")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another model": (flip_a_byte, "expected SHA-256 .*, got .*; reinstall"),
    "no model": (lambda f: (f / MODEL_FILE).unlink(), "has no readable model"),
    "another hash": (lambda f: change_reference(f, sha256="0" * 64), "expected SHA-256 0000"),
    "another value": (other_value, r"reference prediction for \|.* should be .*, got .*disagree"),
    "another model with its hash": (other_model_with_its_own_hash, "should be .*, got"),
    "a value that is no number": (lambda f: change_reference(f, values=[float("nan")] * 24), "got: the number NaN"),
    "no reference value": (lambda f: change_reference(f, values=[], archs=[]), "one reference value for each"),
    "a value too few": (lambda f: change_reference(f, values=[1.0]), "one reference value for each .* got 1 for 24"),
    "another feature map": (lambda f: change_reference(f, features="nb201-graph-v9"), "unknown feature map"),
    "another encoding": (lambda f: change_reference(f, encoding_version=2), "encoding version 2 of 'nb201', .* has 1"),
    "another estimator": (lambda f: change_reference(f, estimator="svm"), "unknown estimator 'svm'; known: xgb, gp"),
    "another format": (lambda f: change_reference(f, format=2), "expected predictor format 1"),
    "an unknown field": (lambda f: change_reference(f, colour="blue"), "is not a predictor's reference file.*colour"),
    "a missing field": (without_field, "is not a predictor's reference file.*relative_sd"),
    "an impossible objective": (lambda f: change_reference(f, objective={"name": "x"}), "reference file.*needs unit"),
    "no JSON": (lambda f: (f / REFERENCE_FILE).write_text("{", encoding="utf-8"), "is not a predictor's reference"),
    "a JSON list": (
        lambda f: (f / REFERENCE_FILE).write_text("[]", encoding="utf-8"),
        "is not a predictor's reference",
    ),
    "no reference": (lambda f: (f / REFERENCE_FILE).unlink(), "is not a predictor"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_predictor_is_refused(folder: Path, damage: str) -> None:
    break_it, message = DAMAGES[damage]
    break_it(folder)
    with pytest.raises(ArtifactError, match=rf"(?s){message}"):
        Predictor.load(folder)


def test_a_predictor_of_an_unknown_space_is_refused(folder: Path) -> None:
    change_reference(folder, space="nb202")
    with pytest.raises(UnknownNameError, match="no search space is called 'nb202'"):
        Predictor.load(folder)


# ---------------------------------------------------------------------- specifications


def spec_file(folder: Path, **changes: Any) -> Path:
    fields = {"id": "p-v1", "space": "nb201", "table": TABLE, "column": ACCURACY.column, "name": "error"} | changes
    path = folder / "spec.yaml"
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}), encoding="utf-8")
    return path


def test_a_specification_is_read(tmp_path: Path) -> None:
    spec = TrainingSpec.read(spec_file(tmp_path, held_out=0.3, degenerate_value=90.0))
    assert spec == TrainingSpec(
        id="p-v1",
        space="nb201",
        table=TABLE,
        column=ACCURACY.column,
        name="error",
        held_out=0.3,
        degenerate_value=90.0,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heldout": 0.2}, r"unknown field 'heldout'.* Did you mean 'held_out'"),
        ({"table": None}, "the field 'table' is missing"),
        ({"estimator": "svm"}, "unknown estimator 'svm'; known: xgb, gp"),
        ({"held_out": 0.1}, "held_out must be at least 0.2"),
        ({"held_out": 0.9, "calibration": 0.1}, "leave room for calibration and training"),
        ({"calibration": 0}, "leave room for calibration"),
    ],
)
def test_an_impossible_specification_is_refused_with_its_path(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = spec_file(tmp_path, **changes)
    with pytest.raises(SpecError, match=message) as caught:
        TrainingSpec.read(path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("- a\n", "expected a mapping with"), ("a: [", "not readable as YAML")])
def test_a_file_that_is_no_specification_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        TrainingSpec.read(tmp_path / "spec.yaml")


def test_an_unknown_table_or_column_is_refused_and_nothing_is_written(home: Path, tmp_path: Path) -> None:
    fields = {"id": "p-v1", "space": "nb201", "name": "error"}
    with pytest.raises(UnknownNameError, match=f"Did you mean '{TABLE}'"):
        train(TrainingSpec(**fields, table="nb201-made-up-v2", column="x"), root=tmp_path, command="x")
    with pytest.raises(ObjectiveError, match="Did you mean"):
        train(TrainingSpec(**fields, table=TABLE, column=ACCURACY.column + "s"), root=tmp_path, command="x")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("cache")
def test_too_few_architectures_are_refused(cache: Path, tmp_path: Path) -> None:
    store_table(cache, made_up_accuracy(), rows=np.array([3, 15_000]))
    with pytest.raises(SpecError, match="no architecture with a value is left for"):
        train(SPEC, root=tmp_path / "predictors", command="x")
    assert not list((tmp_path / "predictors").glob("*"))
