"""NASLib's interface both ways, on fakes that behave as its sources do: edges, signs, shapes, order of calls."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from nasbench_mo import adapters
from nasbench_mo.adapters.naslib import (
    NASLIB_EDGES,
    NASLIB_OPERATIONS,
    NaslibPredictor,
    StandInGraph,
    as_encodings,
    from_naslib,
    from_op_indices,
    to_op_indices,
)
from nasbench_mo.errors import ArchitectureError, SpecError, UnknownNameError
from nasbench_mo.objective import Objective
from nasbench_mo.predictor import feature_map
from nasbench_mo.predictor.recipes import ModelRecipe
from nasbench_mo.space.nb201 import NB201

SPACE = NB201()
X_ALL = SPACE.enumerate()
SPEC = Path(__file__).parent / "specs" / "zc_nasbench201.yaml"


def accuracies(X: NDArray[Any]) -> NDArray[np.float64]:
    """A made-up accuracy in percent: better with more live convolutions, and not symmetric in the edges."""
    live = SPACE.live(X)
    gain = np.array([0.0, 0.3, 0.7, 1.0, -0.4])[live] @ np.array([1.0, 0.8, 0.9, 1.3, 0.7, 1.1])
    return np.where(SPACE.degenerate(X), 10.0, 94.0 - 20.0 * np.exp(-0.5 * gain))


def cells(n: int, *, seed: int) -> NDArray[Any]:
    return X_ALL[np.random.default_rng(seed).permutation(len(X_ALL))[:n]]


# ---------------------------------------------------------------------- fakes of NASLib


class EncodingType(Enum):
    """As in naslib/utils/encodings.py."""

    ADJACENCY_ONE_HOT = "adjacency_one_hot"
    PATH = "path"


class Graph:
    """NASLib's NasBench201SearchSpace as far as predictors see it: a graph of nodes 1 to 4 with named operations."""

    NAMES = ("Identity", "Zero", "ReLUConvBN3x3", "ReLUConvBN1x1", "AvgPool1x1")
    EDGES = ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4))
    PUBLISHED: ClassVar[Mapping[str, str]] = {
        "Identity": "skip_connect",
        "Zero": "none",
        "ReLUConvBN3x3": "nor_conv_3x3",
        "ReLUConvBN1x1": "nor_conv_1x1",
        "AvgPool1x1": "avg_pool_3x3",
    }

    def __init__(self, op_indices: Any) -> None:
        self.ops = {edge: self.NAMES[op] for edge, op in zip(self.EDGES, op_indices, strict=True)}

    @classmethod
    def of_string(cls, string: str) -> Graph:
        """From the published string, read edge by edge: 'op~source' stands at the node it enters."""
        back = {published: cls.NAMES.index(name) for name, published in cls.PUBLISHED.items()}
        ops = {}
        for target, node in enumerate(string.split("+"), start=2):
            for term in node.strip("|").split("|"):
                op, source = term.split("~")
                ops[int(source) + 1, target] = back[op]
        return cls([ops[edge] for edge in cls.EDGES])

    def published(self) -> str:
        nodes = ["".join(f"|{self.PUBLISHED[self.ops[i, j]]}~{i - 1}" for i in range(1, j)) + "|" for j in range(2, 5)]
        return "+".join(nodes)

    def get_op_indices(self) -> list[int]:
        return [self.NAMES.index(self.ops[edge]) for edge in self.EDGES]

    def get_hash(self) -> tuple[int, ...]:
        return tuple(self.get_op_indices())

    def encode(self, encoding_type: EncodingType = EncodingType.ADJACENCY_ONE_HOT) -> list[int]:
        assert encoding_type is EncodingType.ADJACENCY_ONE_HOT
        return [int(op == k) for op in self.get_op_indices() for k in range(5)]


def graphs(X: NDArray[Any]) -> list[Graph]:
    return [Graph.of_string(string) for string in SPACE.decode(X)]


class Ridge:
    """A NASLib predictor: one-hot adjacency of graphs, higher is better, squeezed answers."""

    def __init__(self, penalty: float = 1.0) -> None:
        self.penalty = penalty

    def pre_process(self) -> None:
        self.processed = True

    def features(self, archs: Any) -> NDArray[np.float64]:
        return np.array([arch.encode(encoding_type=EncodingType.ADJACENCY_ONE_HOT) for arch in archs], dtype=float)

    def fit(self, xtrain: Any, ytrain: Any, train_info: Any = None, params: Any = None, **kwargs: Any) -> float:
        assert type(xtrain) is list  # what NASLib's trees ask before they encode
        assert self.processed
        self.mean, self.std = np.mean(ytrain), np.std(ytrain)
        A = self.features(xtrain)
        b = (np.array(ytrain) - self.mean) / self.std
        self.weights = np.linalg.solve(A.T @ A + self.penalty * np.eye(A.shape[1]), A.T @ b)
        return float(np.mean(np.abs(self.query(xtrain) - ytrain)))

    def query(self, xtest: Any, info: Any = None) -> NDArray[np.float64]:
        return np.asarray(np.squeeze(self.features(xtest) @ self.weights) * self.std + self.mean)

    def get_data_reqs(self) -> dict[str, Any]:
        return {"requires_partial_lc": False, "requires_hyperparameters": False, "unlabeled": False}


class FlatRidge(Ridge):
    """As NASLib's newer trees: rows of numbers as they come."""

    def features(self, archs: Any) -> NDArray[np.float64]:
        return np.array(archs, dtype=float)


class Ensemble:
    """As NASLib's: a stack of its members' answers, (members, n); no get_data_reqs of its own here."""

    def __init__(self, n: int) -> None:
        self.members = [Ridge(penalty=10.0**k) for k in range(n)]

    def fit(self, xtrain: Any, ytrain: Any, train_info: Any = None) -> list[float]:
        for member in self.members:
            member.pre_process()
        return [member.fit(xtrain, ytrain) for member in self.members]

    def query(self, xtest: Any, info: Any = None) -> NDArray[np.float64]:
        return np.array([member.query(xtest) for member in self.members])


def evaluate(predictor: Any, *, train: NDArray[Any], test: NDArray[Any], max_hpo_time: int = 0) -> dict[str, Any]:
    """The calls of NASLib's PredictorEvaluator, in its order and with its types."""
    xtrain, xtest = graphs(train), graphs(test)
    ytrain, ytest = accuracies(train).tolist(), accuracies(test).tolist()
    predictor.set_ss_type("nasbench201")
    predictor.pre_process()
    reqs = predictor.get_data_reqs()
    assert not reqs["requires_partial_lc"]
    assert not reqs["requires_hyperparameters"]
    assert not reqs["unlabeled"]
    predictor.pre_compute(xtrain, xtest)
    predictor.reset_hyperparams()
    if max_hpo_time > 0 and len(xtrain) > 5 and predictor.get_hpo_wrapper():
        trial = copy.deepcopy(predictor)
        tried = []
        for _ in range(6):
            hyperparams = trial.set_random_hyperparams()
            trial.fit(xtrain, ytrain)
            tried.append((kendalltau(ytrain, trial.query(xtrain)).statistic, hyperparams))
        best = max(tried, key=lambda pair: pair[0])[1]
        predictor.hyperparams = best
        predictor.set_hyperparams(best.copy())
    predictor.fit(xtrain, ytrain, [])
    hyperparams = predictor.get_hyperparams()
    pred = predictor.query(xtest, [])
    if len(pred.shape) > 1:
        pred = np.mean(pred, axis=0)
    results = {
        "mae": float(np.mean(np.abs(pred - np.array(ytest)))),
        "kendalltau": float(kendalltau(ytest, pred).statistic),
    }
    if hyperparams:
        results |= {f"hp_{key}": hyperparams[key] for key in hyperparams}
    for value in results.values():
        if type(value) not in (str, set, bool):
            np.round(value, 4)
    json.dumps(results)
    return results


# ---------------------------------------------------------------------- the order of edges and operations


def test_every_cell_survives_the_way_through_naslibs_graph() -> None:
    indices = to_op_indices(X_ALL)
    assert len(set(indices)) == len(X_ALL)
    np.testing.assert_array_equal(from_op_indices(indices), X_ALL)
    for row, string in list(zip(indices, SPACE.decode(X_ALL), strict=True))[::37]:
        graph = Graph(row)
        assert graph.published() == string
        assert graph.get_hash() == row
        stand_in = StandInGraph(op_indices=row)
        assert stand_in.get_arch_str() == string
        assert stand_in.get_op_indices() == graph.get_op_indices()
        assert stand_in.encode(encoding_type=EncodingType.ADJACENCY_ONE_HOT) == graph.encode()


def test_the_order_is_that_of_the_zero_cost_files_specification() -> None:
    architecture = yaml.safe_load(SPEC.read_text(encoding="utf-8"))["architecture"]
    assert tuple(architecture["values"][k] for k in range(5)) == NASLIB_OPERATIONS
    ours = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert [NASLIB_EDGES.index(edge) for edge in ours] == architecture["order"]


def test_real_scores_belong_to_the_cells_that_we_read_them_for(shared: Path) -> None:
    """NASLib's tuples and its parameter counts: only the right order of edges and operations gives these."""
    pandas = pytest.importorskip("pandas")
    rows = pandas.read_parquet(shared / "naslib-zerocost" / "zc_nasbench201.parquet")
    rows = rows[(rows["task"] == "cifar10") & rows["params"].notna()]
    X = from_op_indices([tuple(int(op) for op in arch.strip("()").split(",")) for arch in rows["arch"]])
    assert len(X) > 700
    np.testing.assert_allclose(SPACE.n_parameters(X) / 1e6, rows["params"], atol=1e-6)
    accuracy = np.load(shared / "nasbench201" / "nasbench201.npz")
    codes = SPACE.codes(SPACE.encode([s.decode() for s in accuracy["arch_str"]]))
    of_code = dict(zip(codes.tolist(), accuracy["c10half_test_200_s888"].tolist(), strict=True))
    np.testing.assert_allclose([of_code[c] for c in SPACE.codes(X).tolist()], rows["val_accuracy"], atol=1e-4)


def test_graphs_strings_and_encodings_are_the_same_architectures() -> None:
    X = cells(30, seed=0)
    for given in (graphs(X), [Graph.of_string(s) for s in SPACE.decode(X)], SPACE.decode(X), X, X.tolist()):
        np.testing.assert_array_equal(as_encodings(given, search_space=SPACE), X)

    class HashOnly:
        def __init__(self, row: Any) -> None:
            self.row = row

        def get_hash(self) -> Any:
            return self.row

    class StringOnly(HashOnly):
        get_hash = None  # type: ignore[assignment]

        def get_arch_str(self) -> Any:
            return self.row

    np.testing.assert_array_equal(as_encodings([HashOnly(r) for r in to_op_indices(X)], search_space=SPACE), X)
    np.testing.assert_array_equal(as_encodings([StringOnly(s) for s in SPACE.decode(X)], search_space=SPACE), X)


@pytest.mark.parametrize("row", [(0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, -1), (0, 1, 2, 3, 4, 1.0)])
def test_wrong_indices_are_refused(row: Any) -> None:
    with pytest.raises(ArchitectureError, match="six integers from 0 to 4"):
        from_op_indices([row])


def test_a_list_of_graphs_and_something_else_or_a_single_graph_is_refused() -> None:
    graph = Graph((0, 1, 2, 3, 4, 0))
    with pytest.raises(ArchitectureError, match="NASLib graphs only"):
        as_encodings([graph, "x"], search_space=SPACE)
    with pytest.raises(ArchitectureError, match="put it into a list"):
        as_encodings(graph, search_space=SPACE)
    with pytest.raises(ArchitectureError, match="not for 'fbnet'"):
        NaslibPredictor(estimator="linear", space="fbnet").fit([graph], [1.0])


# ---------------------------------------------------------------------- ours in NASLib


@pytest.mark.parametrize(
    ("estimator", "parameters"), [("gp", None), ("xgb", {"n_members": 3}), ("linear", {"robust": True})]
)
def test_our_estimators_rank_in_naslibs_evaluator(estimator: str, parameters: Any) -> None:
    predictor = NaslibPredictor(estimator=estimator, parameters=parameters)
    results = evaluate(predictor, train=cells(150, seed=0), test=cells(400, seed=1))
    assert results["kendalltau"] > 0.7  # positive: higher is better on both sides
    assert results["mae"] < 3.0
    assert ("hp_n_members" in results) == (estimator == "xgb")


def test_it_answers_what_the_estimator_answers_without_naslib() -> None:
    train, test = cells(80, seed=2), cells(50, seed=3)
    predictor = NaslibPredictor(estimator="gp", features="nb201-graph-v2", parameters={"kernel": "nb201-accuracy"})
    error = predictor.fit(graphs(train), accuracies(train).tolist())
    features = feature_map("nb201-graph-v2")
    recipe = ModelRecipe(estimator="gp", features=features.name, parameters={"kernel": "nb201-accuracy"})
    ours = recipe.build(SPACE).fit(features.compute(train), 100 - accuracies(train))
    value, deviation = ours.predict(features.compute(test), return_std=True)
    answer, spread = predictor.query_with_std(graphs(test))
    np.testing.assert_allclose(answer, 100 - value, rtol=1e-12)
    np.testing.assert_allclose(spread, deviation, rtol=1e-12)
    np.testing.assert_allclose(predictor.query(graphs(test)), answer, rtol=1e-12)
    np.testing.assert_allclose(error, np.abs(100 - ours.predict(features.compute(train)) - accuracies(train)).mean())
    assert predictor.query(graphs(test[:1])).shape == (1,)  # the evaluator reads .shape


def test_a_fraction_and_a_minimised_target_keep_naslibs_direction() -> None:
    train, test = cells(80, seed=4), cells(60, seed=5)
    fraction = Objective(name="accuracy", unit="fraction", kind="measured", direction="max")
    predictor = NaslibPredictor(estimator="gp", objective=fraction)
    predictor.fit(graphs(train), accuracies(train) / 100)
    assert kendalltau(predictor.query(graphs(test)), accuracies(test)).statistic > 0.6
    assert predictor.query(graphs(test)).max() < 1.0
    latency = Objective(name="latency", unit="ms", kind="measured")
    predictor = NaslibPredictor(estimator="gp", objective=latency)
    predictor.fit(graphs(train), accuracies(train) / 10)
    assert kendalltau(predictor.query(graphs(test)), accuracies(test)).statistic > 0.6


def test_hyperparameters_are_set_drawn_and_taken_back() -> None:
    predictor = NaslibPredictor(
        estimator="xgb", parameters={"n_members": 3}, choices={"n_members": [3, 4, 5], "target": ["log"]}, seed=1
    )
    assert predictor.get_hpo_wrapper()
    assert predictor.set_random_hyperparams() == {"n_members": 3} == predictor.default_hyperparams
    drawn = [predictor.set_random_hyperparams() for _ in range(20)]
    assert {d["n_members"] for d in drawn} == {3, 4, 5}
    assert drawn[-1] == predictor.get_hyperparams()
    again = NaslibPredictor(
        estimator="xgb", parameters={"n_members": 3}, choices={"n_members": [3, 4, 5], "target": ["log"]}, seed=1
    )
    again.set_random_hyperparams()
    assert [again.set_random_hyperparams() for _ in range(20)] == drawn
    predictor.reset_hyperparams()
    assert predictor.get_hyperparams() == {"n_members": 3}
    predictor.set_hyperparams({"n_membrs": 3})
    with pytest.raises(SpecError, match="n_membrs"):
        predictor.fit(cells(20, seed=0), np.arange(20.0))
    assert not NaslibPredictor(estimator="gp").get_hpo_wrapper()


def test_the_evaluators_search_of_hyperparameters_reaches_the_estimator() -> None:
    predictor = NaslibPredictor(estimator="gp", choices={"fit_method": ["prior", "grid"]}, seed=0)
    results = evaluate(predictor, train=cells(60, seed=0), test=cells(60, seed=1), max_hpo_time=1)
    assert predictor.get_hyperparams().get("fit_method") in (None, "prior", "grid")
    assert results["kendalltau"] > 0.6


def test_misuse_of_ours_is_refused() -> None:
    predictor = NaslibPredictor(estimator="linear")
    with pytest.raises(SpecError, match="has not been fitted"):
        predictor.query(cells(3, seed=0))
    with pytest.raises(SpecError, match="a target for each of 3"):
        predictor.fit(cells(3, seed=0), [1.0, 2.0])
    with pytest.raises(SpecError, match=r"made for the space 'nb201', NASLib searches 'nasbench301'"):
        predictor.set_ss_type("nasbench301")
    with pytest.raises(UnknownNameError, match="Did you mean 'linear'"):
        NaslibPredictor(estimator="linaer")
    with pytest.raises(SpecError, match="wrong"):
        NaslibPredictor(estimator="linear", parameters={"wrong": 1})
    with pytest.raises(SpecError, match="not both"):
        NaslibPredictor(estimator=ModelRecipe(estimator="gp"), features="nb201-onehot-v1")
    with pytest.raises(SpecError, match="a value to draw from"):
        NaslibPredictor(estimator="linear", choices={"robust": []})
    with pytest.raises(SpecError, match="robst"):
        NaslibPredictor(estimator="linear", choices={"robst": [True]})


def test_what_naslib_calls_besides_has_no_effect() -> None:
    predictor = NaslibPredictor(estimator="linear")
    train, test = cells(40, seed=0), cells(10, seed=1)
    predictor.fit(graphs(train), accuracies(train))
    before = predictor.query(test)
    predictor.set_pre_computations(unlabeled=graphs(test), xtrain_zc_info={"zero_cost_scores": []}, xtest_zc_info=None)
    predictor.pre_compute(graphs(train), graphs(test), unlabeled=[])
    np.testing.assert_array_equal(predictor.query(test), before)


# ---------------------------------------------------------------------- NASLib's among ours


@pytest.mark.parametrize(
    ("predictor", "representation"),
    [(Ridge(), "graph"), (FlatRidge(), "one-hot"), (Ridge(), Graph), (FlatRidge(), "op-indices")],
)
def test_a_foreign_predictor_learns_what_it_would_learn_in_naslib(predictor: Any, representation: Any) -> None:
    train, test = cells(200, seed=6), cells(300, seed=7)
    theirs = copy.deepcopy(predictor)
    theirs.pre_process()
    seen = {"one-hot": lambda X: [g.encode() for g in graphs(X)], "op-indices": to_op_indices}.get(
        representation if isinstance(representation, str) else "", graphs
    )
    theirs.fit(seen(train), accuracies(train).tolist())
    wrapped = from_naslib(predictor, representation=representation)
    wrapped.fit(train, 100 - accuracies(train))
    np.testing.assert_allclose(wrapped.predict(test), 100 - theirs.query(seen(test)), rtol=1e-9)
    np.testing.assert_allclose(wrapped.predict(SPACE.decode(test)), wrapped.predict(test))
    assert not hasattr(predictor, "weights")  # the one given is not touched
    if representation != "op-indices":
        assert kendalltau(wrapped.predict(test), 100 - accuracies(test)).statistic > 0.5


def test_strings_and_our_encodings_reach_a_foreign_predictor_that_wants_them() -> None:
    class Recorder:
        def fit(self, xtrain: Any, ytrain: Any) -> None:
            self.seen = (xtrain, ytrain)

        def query(self, xtest: Any, info: Any) -> list[float]:
            return [50.0] * len(xtest)

    X = cells(5, seed=0)
    for kind, expected in (("strings", SPACE.decode(X)), ("encodings", X.tolist())):
        wrapped = from_naslib(Recorder(), representation=kind).fit(X, np.arange(5.0))  # type: ignore[arg-type]
        assert wrapped.predictor_.seen == (expected, [100.0, 99.0, 98.0, 97.0, 96.0])
        np.testing.assert_array_equal(wrapped.predict(X), np.full(5, 50.0))


def test_ours_as_naslibs_wrapped_back_as_ours_is_the_same_model() -> None:
    train, test = cells(100, seed=8), cells(300, seed=9)
    features = feature_map("nb201-graph-v2")
    direct = ModelRecipe(estimator="gp").build(SPACE).fit(features.compute(train), 100 - accuracies(train))
    back = from_naslib(NaslibPredictor(estimator="gp")).fit(train, 100 - accuracies(train))
    value, deviation = direct.predict(features.compute(test), return_std=True)
    again, spread = back.predict(test, return_std=True)
    np.testing.assert_allclose(again, value, rtol=1e-6)
    np.testing.assert_allclose(spread, deviation, rtol=1e-6)
    np.testing.assert_array_equal(np.argsort(again, kind="stable"), np.argsort(value, kind="stable"))
    np.testing.assert_array_equal(back.predict(test), again)
    assert kendalltau(again, 100 - accuracies(test)).statistic > 0.7


def test_an_ensemble_gives_the_mean_and_spread_of_its_members() -> None:
    train, test = cells(60, seed=0), cells(20, seed=1)
    wrapped = from_naslib(Ensemble(3)).fit(train, 100 - accuracies(train))
    members = wrapped.predictor_.query(graphs(test))
    value, deviation = wrapped.predict(test, return_std=True)
    np.testing.assert_allclose(value, 100 - members.mean(axis=0))
    np.testing.assert_allclose(deviation, members.std(axis=0))
    one, its = wrapped.predict(test[:1], return_std=True)  # the members squeeze their single answers
    np.testing.assert_allclose([one[0], its[0]], [value[0], deviation[0]])
    three = wrapped.predict(test[:3])  # as many architectures as members
    np.testing.assert_allclose(three, value[:3])


def test_a_deviation_that_does_not_exist_is_refused() -> None:
    for predictor in (Ridge(), Ensemble(1)):
        wrapped = from_naslib(predictor).fit(cells(40, seed=0), np.arange(40.0) + 1)
        assert wrapped.predict(cells(1, seed=1)).shape == (1,)
        for n in (1, 4):
            with pytest.raises(SpecError, match="gives one value an architecture and no deviation"):
                wrapped.predict(cells(n, seed=1), return_std=True)


def test_it_is_a_scikit_learn_regressor_of_the_ordinal_features() -> None:
    wrapped = from_naslib(Ridge(penalty=3.0))
    twin = clone(wrapped).set_params(representation=Graph)
    assert twin.get_params(deep=False)["representation"] is Graph
    assert twin.predictor.penalty == 3.0
    train = cells(60, seed=0)
    features = feature_map("nb201-ordinal-v1").compute(train)
    np.testing.assert_allclose(
        twin.fit(features, 100 - accuracies(train)).predict(features),
        wrapped.fit(train, 100 - accuracies(train)).predict(train),
    )
    with pytest.raises(NotFittedError):
        clone(wrapped).predict(train)


def test_predictors_that_cannot_be_served_are_refused() -> None:
    class Curves(Ridge):
        def get_data_reqs(self) -> dict[str, Any]:
            return {"requires_partial_lc": True}

    class Short(Ridge):
        def fit(self, xtrain: Any, ytrain: Any, *_: Any, **__: Any) -> float:
            return 0.0

        def query(self, xtest: Any, info: Any = None) -> NDArray[np.float64]:
            return np.zeros(len(xtest) - 1)

    with pytest.raises(SpecError, match=r"Curves asks for more.*requires_partial_lc"):
        from_naslib(Curves())
    with pytest.raises(SpecError, match="object has no fit"):
        from_naslib(object())
    with pytest.raises(SpecError, match="Did you mean 'one-hot'"):
        from_naslib(Ridge(), representation="onehot")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="take representation 'strings'"):
        from_naslib(Ridge(), space="fbnet")
    train = cells(20, seed=0)
    with pytest.raises(SpecError, match=r"expected 20 predictions.*\(19,\)"):
        from_naslib(Short()).fit(train, accuracies(train)).predict(train)
    with pytest.raises(SpecError, match="20 finite targets"):
        from_naslib(Ridge()).fit(train, np.full(20, np.nan))
    with pytest.raises(SpecError, match="asked for 'path'"):
        StandInGraph(op_indices=(0,) * 6).encode(EncodingType.PATH)


def test_the_folder_is_lazy_and_imports_no_naslib() -> None:
    assert dir(adapters) == sorted(adapters.__all__)
    assert adapters.NaslibPredictor is NaslibPredictor
    with pytest.raises(AttributeError, match="no attribute 'x'"):
        _ = adapters.x
    script = (
        "import sys, nasbench_mo.adapters; assert 'nasbench_mo.adapters.naslib' not in sys.modules\n"
        "from nasbench_mo.adapters import from_naslib, NaslibPredictor\n"
        "print([m for m in ('naslib', 'torch', 'sklearn', 'xgboost') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
