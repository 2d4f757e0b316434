"""Predictors with measured inputs: twelve epochs, a proxy. What they need, what they refuse, and what it costs."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau
from test_predictor_artifact import ACCURACY, SPACE, SPEC, TABLE, X, change_reference, made_up_accuracy

from nasbench_mo import artifacts
from nasbench_mo.cli import main
from nasbench_mo.errors import ArtifactError, SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.predictor.artifact import Predictor
from nasbench_mo.predictor.inputs import MeasuredInput
from nasbench_mo.predictor.training import TrainingSpec, learnt, split_by_topology, train
from nasbench_mo.table import Column, Table, write_table

SHORT = Objective(
    name="c10_valid_accuracy_12ep", unit="percent", kind="measured", direction="max", dataset="cifar10", split="valid",
    epochs=12,
)  # fmt: skip
LONG = made_up_accuracy()
#: What no feature of the cell tells, but a short training does.
SECRET = np.random.default_rng(3).standard_normal(len(X))
ACCURACIES = np.where(SPACE.degenerate(X), 10.0, np.minimum(LONG - 2 + SECRET, 99.9))
TWELVE = np.where(SPACE.degenerate(X), 10.0, ACCURACIES - 20 + 0.2 * np.random.default_rng(4).standard_normal(len(X)))
WITH = dataclasses.replace(
    SPEC,
    id="nb201-from12-xgb-v1",
    features="nb201-graph-v1",
    inputs=(SHORT.column,),
    query_cost="a training of 12 epochs",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_MO_CACHE", str(root))
        with artifacts.staged_folder(root / "tables" / TABLE) as stage:
            columns = [Column(objective=ACCURACY, values=ACCURACIES), Column(objective=SHORT, values=TWELVE)]
            write_table(
                stage, columns, id=TABLE, space="nb201", archs=SPACE.decode(X),
                cardinalities=SPACE.cardinalities.tolist(), encodings=X,
            )  # fmt: skip
            card = artifacts.render_card({"id": TABLE, "source": "made up", "licence": "MIT"}, body="x")
            (stage / "card.md").write_text(card, encoding="utf-8")
        train(WITH, root=root / "predictors", command="made by the tests")
        without = dataclasses.replace(WITH, id="nb201-alone-xgb-v1", inputs=(), query_cost=None)
        train(without, root=root / "predictors", command="made by the tests")
        yield root


@pytest.fixture
def model(home: Path) -> Predictor:
    return Predictor.load(home / "predictors" / WITH.id)


def test_a_short_training_tells_what_the_cell_does_not(home: Path, model: Predictor) -> None:
    rows = np.flatnonzero((split_by_topology(SPACE, X, spec=WITH) == 2) & ~SPACE.degenerate(X))
    truth = 100 - ACCURACIES[rows]
    alone = Predictor.load(home / "predictors" / "nb201-alone-xgb-v1").predict(X[rows])
    helped = model.predict(X[rows], inputs={SHORT.column: TWELVE[rows]})
    assert kendalltau(helped, truth).statistic > kendalltau(alone, truth).statistic + 0.03
    assert [one.column for one in model.inputs] == [SHORT.column]


def test_inputs_come_as_values_or_from_a_table(home: Path, model: Predictor) -> None:
    archs = SPACE.decode(X[1000:1010])
    from_values = model.predict(archs, return_std=True, inputs={SHORT.column: TWELVE[1000:1010].tolist()})
    from_table = model.predict(archs, return_std=True, inputs=Table.open(home / "tables" / TABLE))
    np.testing.assert_array_equal(from_values, from_table)


def test_the_card_says_what_a_query_costs(home: Path) -> None:
    card = artifacts.read_card(home / "predictors" / WITH.id)
    assert card["inputs"] == [SHORT.column]
    assert card["query_cost"] == "a training of 12 epochs"
    assert "Its cost: a training of 12 epochs" in (home / "predictors" / WITH.id / "card.md").read_text(
        encoding="utf-8"
    )


def test_wrong_inputs_are_refused(home: Path, model: Predictor) -> None:
    archs = SPACE.decode(X[1000:1003])
    with pytest.raises(SpecError, match=r"needs inputs=\{'c10_valid_accuracy_12ep_percent'"):
        model.predict(archs)
    with pytest.raises(SpecError, match="takes c10_valid_accuracy_12ep_percent; got 'accuracy'"):
        model.predict(archs, inputs={"accuracy": [70.0] * 3})
    with pytest.raises(SpecError, match="needs the input"):
        model.predict(archs, inputs={})
    with pytest.raises(SpecError, match="expected 3 values, one an architecture; got shape"):
        model.predict(archs, inputs={SHORT.column: [70.0]})
    with pytest.raises(SpecError, match="value 1 is nan"):
        model.predict(archs, inputs={SHORT.column: [70.0, np.nan, 70.0]})
    with pytest.raises(SpecError, match="value 2 is 100"):
        model.predict(archs, inputs={SHORT.column: [70.0, 71.0, 100.0]})
    alone = Predictor.load(home / "predictors" / "nb201-alone-xgb-v1")
    with pytest.raises(SpecError, match="takes no inputs; got 'c10_valid_accuracy_12ep_percent'"):
        alone.predict(archs, inputs={SHORT.column: [70.0] * 3})


def test_a_specification_gives_inputs_and_their_cost_together(tmp_path: Path) -> None:
    lines = "id: a-v1\nspace: nb201\ntable: t\ncolumn: c\nname: n\n"
    (tmp_path / "spec.yaml").write_text(lines + "inputs: [x]\n", encoding="utf-8")
    with pytest.raises(SpecError, match="inputs and query_cost together"):
        TrainingSpec.read(tmp_path / "spec.yaml")
    (tmp_path / "spec.yaml").write_text(lines + "inputs: x\nquery_cost: y\n", encoding="utf-8")
    with pytest.raises(SpecError, match="inputs must list columns"):
        TrainingSpec.read(tmp_path / "spec.yaml")


def test_an_input_that_says_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="is the same for all training rows"):
        MeasuredInput.fitted([70.0] * 5, objective=SHORT, place="a-v1")
    with pytest.raises(SpecError, match="has no value for 1 training rows"):
        MeasuredInput.fitted([70.0, np.nan, 71.0], objective=SHORT, place="a-v1")
    score = Objective(name="synflow", unit="score", kind="measured", direction="max")
    made = MeasuredInput.fitted([-1.0, 0.0, 4.0], objective=score, place="a-v1")
    assert not made.log
    np.testing.assert_allclose(made.column([-1.0, 0.0, 4.0], n=3).mean(), 0, atol=1e-6)
    assert made.feature == "input_neg_synflow_score"


def test_damaged_inputs_of_a_reference_file_are_refused(home: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(home / "predictors" / WITH.id, tmp_path / WITH.id))
    change_reference(folder, input_values=[[70.0]])
    with pytest.raises(ArtifactError, match="expected inputs of each reference architecture"):
        Predictor.load(folder)
    change_reference(folder, inputs=[{"objective": 3}])
    with pytest.raises(ArtifactError, match="damaged inputs"):
        Predictor.load(folder)


def test_a_throughput_is_learnt_as_the_time_of_an_image() -> None:
    column = Objective(name="throughput_a100", unit="images_per_s", kind="measured", direction="max", device="a100")
    objective, y = learnt(column, np.array([100.0, 2000.0]), name="image_time_a100")
    assert (objective.column, objective.direction, objective.kind) == ("image_time_a100_ms", "min", "predicted")
    np.testing.assert_allclose(y, [10.0, 0.5])
    same, error = learnt(ACCURACY, np.array([90.0]), name="c10_valid_error")
    assert same.column == "c10_valid_error_percent"
    assert error.tolist() == [10.0]


def test_the_command_line_takes_inputs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path))
    cell = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    command = ["nasbench-mo", "predict", "nb201-c10-valerr-from12-gp-v1", cell]
    column = "c10_valid_accuracy_12ep_mean_percent"

    def called(*more: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [*command, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    code, text = called()
    assert code == 2
    assert f"--input COLUMN=V,V,... with one value an architecture, or --inputs-from TABLE; columns: {column}" in text
    good, bad = (float(called("--input", f"{column}={v}")[1].split()[-4]) for v in (86.0, 60.0))
    assert good < bad  # a cell that learns well in twelve epochs is expected to err less
    assert called("--input", f"{column}=x")[0] == 2
    assert called("--input", f"{column}=80", "--inputs-from", "a-v1")[0] == 2
    assert called("--inputs-from", "no-such-table-v1")[0] == 2
