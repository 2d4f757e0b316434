"""ONNX exports: they predict what the predictor predicts, say what they are, and are refused where they do not."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.cli import main
from nasbench_mo.errors import ArtifactError, MissingDependencyError
from nasbench_mo.objective import Objective
from nasbench_mo.predictor import export
from nasbench_mo.predictor.artifact import Predictor, ReferenceFile
from nasbench_mo.predictor.estimators.gp_kernel import KernelTerm
from nasbench_mo.predictor.estimators.stored_gp import StoredGP
from nasbench_mo.predictor.estimators.targets import target_transform
from nasbench_mo.predictor.export import check_parity, export_onnx, onnx_model
from nasbench_mo.predictor.features import FeatureMap, one_hot
from nasbench_mo.predictor.models import StoredGaussianProcess, StoredModel, StoredXGBoost
from nasbench_mo.predictor.onnx_models import GraphBuilder, add_model, tree_attributes
from nasbench_mo.predictor.xgb import XGBoostPredictor
from nasbench_mo.space import CategoricalSpace
from nasbench_mo.space.nb201 import NB201

onnx = pytest.importorskip("onnx", reason="exports need the extra 'profile'")
onnxruntime = pytest.importorskip("onnxruntime", reason="exports need the extra 'profile'")

XGB, GP = "nb201-c10-valerr-xgb-v1", "nb201-c10-valerr-gp-v1"
#: One of every kind, target and shape: exact sum, trees on a log-excess target, a space too large to list, inputs.
EVERY = (
    XGB, GP, "nb201-fpga-latency-linear-v1", "nbmacro-c10-testerr-linxgb-v1", "ofa-v100_32-latency-linxgb-v1",
    "nb201-c10-valerr-from12-gp-v1",
)  # fmt: skip
SPACE = NB201()
X = SPACE.enumerate()
OBJECTIVE = Objective(name="made_up_error", unit="percent", kind="predicted", dataset="cifar10", split="valid")


def run(model: bytes, features: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    value, deviation = session.run(["value", "deviation"], {"features": features})
    return value, deviation


def predictor_of(
    model: StoredModel, *, features: str = "nb201-onehot-v1", degenerate_value: float | None = None
) -> Predictor:
    reference = ReferenceFile(
        id="nb201-made-up-v1",
        space="nb201",
        encoding_version=1,
        features=features,
        estimator=model.kind,
        objective=OBJECTIVE,
        relative_sd=model.spread,
        degenerate_value=degenerate_value,
        sha256="0" * 64,
        archs=(),
        values=(),
        relative_tolerance=1e-6,
    )
    return Predictor(reference=reference, model=model)


def small_trees(*, n_rounds: int = 20) -> StoredXGBoost:
    """Trees on one-hot features of cells."""
    rows = np.random.default_rng(0).permutation(len(X))[:300]
    model = XGBoostPredictor(parameters={"n_rounds": n_rounds, "max_depth": 4, "learning_rate": 0.2})
    features = one_hot(SPACE).compute(X[rows])
    y = 5.0 + X[rows].astype(float) @ np.arange(1.0, 7.0)
    return StoredXGBoost(model.fit(features, y).calibrate(features, y * 1.1))


def process(kind: str, *, target: str = "identity", k: int = 30) -> StoredGaussianProcess:
    """A process of two terms, one of them of this kind."""
    rng = np.random.default_rng(1)
    inputs = one_hot(SPACE).compute(X[rng.permutation(len(X))[:60]])[:, :k].astype(np.float64)
    inputs[0] = 0.0  # an empty set, for the Tanimoto term
    y = np.exp(inputs @ rng.normal(size=k) / 3) + 1.0
    fitted = target_transform(target).fit(y)
    z = fitted.forward(y)
    scales = rng.random(k)
    scales[::4] = 0.0
    terms = [
        KernelTerm(kind=kind, scales=scales, weight=0.7, offset=rng.random(k) if kind == "linear" else None),
        KernelTerm(kind="matern52", scales=np.full(k, 0.4), weight=0.2),
    ]
    stored = StoredGP(
        terms=terms,
        inputs=inputs,
        scores=(z - z.mean()) / z.std(),
        noise=0.01,
        target=fitted,
        centre=float(z.mean()),
        spread=float(z.std()),
    )
    return StoredGaussianProcess(stored, spread=1.3)


def bare(model: StoredModel, *, k: int) -> bytes:
    """The graph of a model alone, with ``features`` (n, k)."""
    builder = GraphBuilder()
    outputs = add_model(builder, model)
    info = onnx.helper.make_tensor_value_info
    for inner, name in zip(outputs, ("value", "deviation"), strict=True):
        builder.node("Identity", inner, output=name)
    graph = onnx.helper.make_graph(
        builder.nodes,
        "bare",
        [info("features", onnx.TensorProto.FLOAT, ["n", k])],
        [info(name, onnx.TensorProto.FLOAT, ["n"]) for name in ("value", "deviation")],
        builder.initializers,
    )
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    made: bytes = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return made


# ---------------------------------------------------------------------- what an export is


@pytest.mark.parametrize("identifier", EVERY[2:])
def test_every_kind_and_shape_of_predictor_is_exported(identifier: str, tmp_path: Path) -> None:
    predictor = nmo.predictor(identifier)
    parity = export_onnx(predictor, tmp_path / "model.onnx")
    assert parity.n == 1000
    assert max(parity.worst_value, parity.worst_deviation) < 1e-6
    Y = predictor.space.sample(50, rng=np.random.default_rng(7))
    held = np.array(predictor.reference.input_values)
    inputs = {one.column: np.resize(held[:, j], len(Y)) for j, one in enumerate(predictor.inputs)} or None
    value, deviation = run((tmp_path / "model.onnx").read_bytes(), predictor.matrix(Y, inputs=inputs))
    expected, expected_deviation = predictor.predict(Y, return_std=True, inputs=inputs)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(deviation, expected_deviation, rtol=1e-5)


@pytest.mark.parametrize("identifier", [XGB, GP])
def test_an_exported_predictor_predicts_the_cells_of_the_space(identifier: str, tmp_path: Path) -> None:
    predictor = nmo.predictor(identifier)
    parity = export_onnx(predictor, tmp_path / "model.onnx")
    assert parity.n == 1000
    assert max(parity.worst_value, parity.worst_deviation) < 1e-6  # the last digits of float32; the limit is 1e-4
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == (
        "features",
        "tensor(float)",
        ["n", len(predictor.columns)],
    )
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [
        ("value", "tensor(float)", ["n"]),
        ("deviation", "tensor(float)", ["n"]),
    ]
    cells = X if identifier == XGB else X[::7]
    value, deviation = run((tmp_path / "model.onnx").read_bytes(), predictor.features.compute(cells))
    expected, expected_deviation = predictor.predict(cells, return_std=True)
    # of many rows at once onnxruntime sums the trees in another order than XGBoost: 3e-6
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(deviation, expected_deviation, rtol=1e-5)
    dead = SPACE.degenerate(cells)
    assert set(value[dead].tolist()) == {90.0}
    assert set(deviation[dead].tolist()) == {0.0}


@pytest.mark.parametrize("identifier", [XGB, GP])
def test_the_file_says_what_it_is(identifier: str) -> None:
    predictor = nmo.predictor(identifier)
    session = onnxruntime.InferenceSession(onnx_model(predictor), providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert said["id"] == identifier
    assert said["space"] == "nb201"
    assert said["features"] == predictor.features.name
    assert json.loads(said["columns"]) == list(predictor.features.columns)
    assert Objective.from_dict(json.loads(said["objective"])) == predictor.objective
    assert said["data_sha256"] == predictor.data_hash
    assert json.loads(said["degenerate_value"]) == 90.0
    assert session.get_modelmeta().producer_name == "nasbench-mo"


# ---------------------------------------------------------------------- graphs against their models


@pytest.mark.parametrize("kind", ["matern52", "linear", "tanimoto", "hamming"])
def test_a_graph_has_the_kernel_of_its_process(kind: str) -> None:
    model = process(kind)
    rng = np.random.default_rng(2)
    features = np.abs(rng.normal(size=(200, 30))).astype(np.float32)
    features[:60] = model.process.inputs  # distance 0, and for the Tanimoto term the empty set
    value, deviation = run(bare(model, k=30), features)
    expected, expected_deviation = model.predict(features, return_std=True)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(deviation, expected_deviation, rtol=1e-6)


@pytest.mark.parametrize("target", ["identity", "log", "rank-gauss"])
def test_a_graph_takes_its_target_back(target: str) -> None:
    model = process("linear", target=target)
    features = np.random.default_rng(3).normal(size=(300, 30), scale=3.0).astype(np.float32)  # far beyond the knots
    value, deviation = run(bare(model, k=30), features)
    expected, expected_deviation = model.predict(features, return_std=True)
    assert expected.min() < 0.9 or target == "log"
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(deviation, expected_deviation, rtol=1e-6)


def test_trees_go_left_below_a_split_and_where_a_missing_value_does() -> None:
    rng = np.random.default_rng(4)
    features = rng.integers(0, 4, size=(500, 5)).astype(np.float32)  # splits lie on values that occur
    features[rng.random(features.shape) < 0.1] = np.nan
    y = 1.0 + np.nansum(features * np.arange(1, 6), axis=1)
    model = StoredXGBoost(XGBoostPredictor(parameters={"n_rounds": 30}).fit(features, y).calibrate(features, y * 1.05))
    value, deviation = run(bare(model, k=5), features)
    expected, expected_deviation = model.predict(features, return_std=True)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(deviation, expected_deviation, rtol=1e-6)


def test_a_constant_of_all_trees_is_not_lost() -> None:
    import xgboost

    model = small_trees()
    features = one_hot(SPACE).compute(X[:300])
    y = 3.0 + X[:300].sum(axis=1)
    model.model._booster = xgboost.train({"base_score": 2.5}, xgboost.DMatrix(features, label=np.log(y)), 3)
    value, _ = run(bare(model, k=30), features)
    np.testing.assert_allclose(value, model.predict(features), rtol=1e-6)


def test_degenerate_cells_are_told_by_whichever_features_there_are() -> None:
    predictor = predictor_of(small_trees(), degenerate_value=77.0)
    model = onnx_model(predictor)
    assert check_parity(model, predictor, n_compared=300).n == 300
    dead = SPACE.degenerate(X)
    cells = np.concatenate([X[dead], X[~dead][::40]])
    features = predictor.features.compute(cells)
    value, _ = run(model, features)
    assert ((value == 77.0) == SPACE.degenerate(cells)).all()
    noisy, _ = run(model, features * np.float32(1 + 1e-6))  # another implementation's last digit
    assert ((noisy == 77.0) == SPACE.degenerate(cells)).all()


def test_of_a_small_space_everything_is_compared() -> None:
    predictor = predictor_of(small_trees())
    predictor.space = CategoricalSpace("small", {f"v{j}": list("abcde") for j in range(2)})
    made = one_hot(predictor.space)

    def widened(rows: NDArray[Any]) -> NDArray[np.float32]:
        return np.tile(made.compute(rows), 3)

    predictor._features = FeatureMap(name="x", columns=tuple(f"c{i}" for i in range(30)), compute=widened)
    assert check_parity(onnx_model(predictor), predictor).n == 25


# ---------------------------------------------------------------------- refusals


def broken_leaf(model: bytes) -> bytes:
    """The same trees with one leaf of the first 1 % off in the logarithm."""
    loaded = onnx.load_from_string(model)
    (trees,) = [node for node in loaded.graph.node if node.op_type == "TreeEnsembleRegressor"]
    (weights,) = [attribute for attribute in trees.attribute if attribute.name == "target_weights"]
    weights.floats[0] += 0.01
    made: bytes = loaded.SerializeToString()
    return made


def scaled_output(model: bytes, *, output: str, factor: float) -> bytes:
    loaded = onnx.load_from_string(model)
    (last,) = [node for node in loaded.graph.node if node.output[0] == output]
    last.output[0] = "before"
    loaded.graph.initializer.append(onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor"))
    loaded.graph.node.append(onnx.helper.make_node("Mul", ["before", "factor"], [output]))
    made: bytes = loaded.SerializeToString()
    return made


def test_a_wrong_leaf_is_refused_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = predictor_of(small_trees())
    honest = onnx_model(predictor)
    monkeypatch.setattr(export, "onnx_model", lambda _: broken_leaf(honest))
    with pytest.raises(
        ArtifactError, match=r"'nb201-made-up-v1' is not exported: the graph's value for \|.*allowed 0.0"
    ):
        export_onnx(predictor, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    old = tmp_path / "model.onnx"
    old.write_bytes(b"old")
    with pytest.raises(ArtifactError, match="is not exported"):
        export_onnx(predictor, old)
    assert old.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    monkeypatch.undo()
    export_onnx(predictor, old)
    assert old.read_bytes() == honest


@pytest.mark.parametrize("factor", [1.0002, float("nan")])
@pytest.mark.parametrize("output", ["value", "deviation"])
def test_a_shifted_output_is_refused_by_name(output: str, factor: float) -> None:
    predictor = predictor_of(process("matern52"), degenerate_value=50.0)
    model = onnx_model(predictor)
    check_parity(model, predictor)
    with pytest.raises(ArtifactError, match=f"the graph's {output} for"):
        check_parity(scaled_output(model, output=output, factor=factor), predictor)
    if factor == 1.0002:
        check_parity(scaled_output(model, output=output, factor=factor), predictor, tolerance=1e-3)


def test_a_degenerate_cell_must_be_certain() -> None:
    predictor = predictor_of(small_trees(), degenerate_value=77.0)
    loaded = onnx.load_from_string(onnx_model(predictor))
    for node in loaded.graph.node:
        if (
            node.op_type == "Where"
            and node.output[0] == next(n for n in loaded.graph.node if n.output[0] == "deviation").input[0]
        ):
            node.op_type, node.input[:] = "Identity", [node.input[2]]
    with pytest.raises(ArtifactError, match=r"the graph's deviation for .* should be 0, "):
        check_parity(loaded.SerializeToString(), predictor)


def test_what_a_graph_cannot_express_is_refused() -> None:
    import xgboost

    features, y = one_hot(SPACE).compute(X[:200]), X[:200].sum(axis=1) + 1.0
    for changed, message in (
        ({"booster": "dart"}, "got 'dart'"),
        ({"objective": "reg:pseudohubererror"}, "pseudohuber"),
    ):
        model = small_trees()
        model.model._booster = xgboost.train(changed, xgboost.DMatrix(features, label=y), 2)
        with pytest.raises(ArtifactError, match=message):
            onnx_model(predictor_of(model))
    with pytest.raises(ArtifactError, match="tree 0 splits a categorical column"):
        tree_attributes([{"split_type": [1, 0, 0]}])

    class Other(StoredModel):
        kind = "other"

    Other.__abstractmethods__ = frozenset()
    with pytest.raises(ArtifactError, match="kind 'other' has no ONNX form; those of xgb, gp, linear-xgb have"):
        add_model(GraphBuilder(), Other())  # type: ignore[abstract]


def test_features_that_hide_degenerate_cells_are_refused() -> None:
    predictor = predictor_of(small_trees(), degenerate_value=77.0)
    columns = predictor.features.columns

    def blind(rows: NDArray[Any]) -> NDArray[np.float32]:
        return np.zeros((len(rows), len(columns)), np.float32)

    predictor._features = FeatureMap(name="blind-v1", columns=columns, compute=blind)
    with pytest.raises(ArtifactError, match=r"'blind-v1' do not tell from others"):
        onnx_model(predictor)
    predictor.space = CategoricalSpace("wide", {f"v{j}": list("abcde") for j in range(8)})
    with pytest.raises(ArtifactError, match="too many to find them all"):
        onnx_model(predictor)


def test_a_graph_that_does_not_run_is_refused() -> None:
    predictor = predictor_of(small_trees())
    loaded = onnx.load_from_string(onnx_model(predictor))
    loaded.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ArtifactError, match="onnxruntime does not run the graph"):
        check_parity(loaded.SerializeToString(), predictor)
    with pytest.raises(ArtifactError, match="onnxruntime does not run the graph"):
        check_parity(b"nonsense", predictor)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_library_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=rf"'{missing}'.*pip install 'nasbench-mo\[profile\]'"):
        export_onnx(predictor_of(small_trees()), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- the command


def test_the_command_writes_the_file_or_leaves_by_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "deep" / "model.onnx"

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", "predictor", "export", *arguments])
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    code, text, _ = call(XGB, str(path))
    assert code == 0
    assert text.startswith(f"wrote {path}; over 1,000 distinct inputs onnxruntime differs from {XGB} by at most")
    said = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
    assert said["id"] == XGB
    path.unlink()
    code, text, _ = call(XGB, str(path), "--json")
    assert code == 0
    assert {"predictor": XGB, "file": str(path), "n": 1000}.items() <= json.loads(text).items()
    path.unlink()
    code, text, complaint = call("nb201-c10-valerr-xbg-v1", str(path))
    assert (code, text) == (2, "")
    assert "Did you mean" in complaint
    honest = onnx_model(nmo.predictor(XGB))
    monkeypatch.setattr(export, "onnx_model", lambda _: scaled_output(honest, output="value", factor=1.01))
    code, text, complaint = call(XGB, str(path))
    assert (code, text) == (2, "")
    assert complaint.startswith(f"error: predictor '{XGB}' is not exported")
    assert not list(path.parent.iterdir())


def test_parity_is_a_value_object() -> None:
    parity = check_parity(onnx_model(nmo.predictor(XGB)), nmo.predictor(XGB), n_compared=50)
    assert dataclasses.asdict(parity) | {"n": 50, "tolerance": 1e-4} == dataclasses.asdict(parity)
