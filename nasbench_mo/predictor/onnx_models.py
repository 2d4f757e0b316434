"""Stored models as ONNX graphs, built node by node from what they hold; no converter in between.

Boosted trees become one ``TreeEnsembleRegressor`` of the operator set ``ai.onnx.ml`` and stay in float32, as XGBoost
itself sums. A Gaussian process needs double precision inside: its variance is a difference of nearly equal numbers, of
which float32 leaves two or three digits, and at a training row none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArtifactError, require
from nasbench_mo.predictor.estimators.gp_kernel import KernelTerm
from nasbench_mo.predictor.estimators.stored_gp import Posterior
from nasbench_mo.predictor.models import StoredBoostedLinear, StoredGaussianProcess, StoredModel, StoredXGBoost
from nasbench_mo.predictor.xgb import booster_fields

#: Operator sets of the graphs, which every runtime since 2021 reads.
OPSET = 13
ML_OPSET = 3
IR_VERSION = 8
INPUT = "features"
OUTPUTS = ("value", "deviation")

Floats = NDArray[np.float64]


@final
class GraphBuilder:
    """Collects nodes and constants of one graph. Every method returns the name of the tensor it made."""

    def __init__(self) -> None:
        self.onnx: Any = require("onnx", extra="profile")
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def node(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        """One operator with one output."""
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """A tensor of the graph's own."""
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, value: float) -> str:
        """A scalar in double precision."""
        return self.constant(np.array(value, dtype=np.float64))

    def row_sums(self, x: str) -> str:
        """(n, j) to (n,)."""
        return self.node("ReduceSum", x, self.constant(np.array([1], dtype=np.int64)), keepdims=0)

    def column(self, x: str) -> str:
        """(n,) to (n, 1)."""
        return self.node("Unsqueeze", x, self.constant(np.array([1], dtype=np.int64)))

    def cast(self, x: str, kind: str) -> str:
        """To ``"FLOAT"``, ``"DOUBLE"`` or ``"INT64"``."""
        return self.node("Cast", x, to=getattr(self.onnx.TensorProto, kind))


def add_model(builder: GraphBuilder, model: StoredModel) -> tuple[str, str]:
    """Value and deviation, (n,) float32 each, of a stored model, from the graph's input of (n, k) float32 features.

    Raises
    ------
    ArtifactError
        There is no graph of this kind of model, or the model holds what a graph does not express.
    """
    add = _KINDS.get(type(model))
    if add is None:
        raise ArtifactError(
            f"a stored model of kind {model.kind!r} has no ONNX form; those of {', '.join(_NAMES)} have"
        )
    return add(builder, model)


def add_overrides(
    builder: GraphBuilder, outputs: tuple[str, str], *, rows: NDArray[np.float32], value: float
) -> tuple[str, str]:
    """Outputs that are ``value`` with deviation 0 where the first k features are one of (r, k) rows.

    Equality allows for the last digits of features that another implementation computed: 1e-5, relative above 1.
    """
    width = np.maximum(np.abs(rows), 1.0) * np.float32(1e-5)
    first_k = builder.node("Gather", INPUT, builder.constant(np.arange(rows.shape[1])), axis=1)
    entry = builder.node("Unsqueeze", first_k, builder.constant(np.array([1], dtype=np.int64)))  # (n, 1, k)
    off = builder.node("Abs", builder.node("Sub", entry, builder.constant(rows[None])))
    excess = builder.node("Sub", off, builder.constant(width[None].astype(np.float32)))
    worst = builder.node("ReduceMax", excess, axes=[2], keepdims=0)
    nearest = builder.node("ReduceMin", worst, axes=[1], keepdims=0)
    hit = builder.node("LessOrEqual", nearest, builder.constant(np.array(0.0, dtype=np.float32)))
    first, second = (
        builder.node("Where", hit, builder.constant(np.array(instead, dtype=np.float32)), otherwise)
        for instead, otherwise in zip((value, 0.0), outputs, strict=True)
    )
    return first, second


# ---------------------------------------------------------------------- boosted trees


_NODE_FIELDS = (
    "treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true",
)  # fmt: skip
_LEAF_FIELDS = ("treeids", "nodeids", "ids", "weights")


def _add_trees(builder: GraphBuilder, model: Any) -> tuple[str, str]:
    value = builder.node("Exp", _tree_sum(builder, INPUT, model.model.to_dict()))
    relative = builder.constant(np.array(model.spread, dtype=np.float32))
    return value, builder.node("Mul", value, relative)


def _tree_sum(builder: GraphBuilder, x: str, stored: Mapping[str, Any]) -> str:
    """The sum of a booster's trees, (n,) float32, of (n, k) float32 features."""
    learner = stored["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree" or objective != "reg:squarederror":
        raise ArtifactError(
            f"expected boosted trees ('gbtree') of the squared error, got {booster['name']!r} of {objective!r}"
        )
    base = float(np.ravel(json.loads(str(learner["learner_model_param"]["base_score"])))[0])
    total = builder.node(
        "TreeEnsembleRegressor",
        x,
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=[base],
        **tree_attributes(booster["model"]["trees"]),
    )
    return builder.node("Squeeze", total, builder.constant(np.array([1], dtype=np.int64)))


def tree_attributes(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The nodes of XGBoost's trees as ``TreeEnsembleRegressor`` writes them; nodes that no row reaches are left out.

    XGBoost goes left where ``x < split``, and where a missing value is said to.

    Raises
    ------
    ArtifactError
        A tree splits a categorical column.
    """
    nodes: dict[str, list[Any]] = {name: [] for name in _NODE_FIELDS}
    targets: dict[str, list[Any]] = {name: [] for name in _LEAF_FIELDS}
    for number, tree in enumerate(trees):
        if any(tree.get("split_type", ())):
            raise ArtifactError(f"tree {number} splits a categorical column, which a graph of trees does not express")
        waiting = [0]
        while waiting:
            at = waiting.pop()
            left, right = tree["left_children"][at], tree["right_children"][at]
            number_at_node = tree["split_conditions"][at]  # the value of a leaf, the threshold of any other
            if left == -1:
                row: tuple[Any, ...] = (number, at, 0, 0.0, "LEAF", 0, 0, 0)
                _append(targets, (number, at, 0, number_at_node))
            else:
                column, missing_left = tree["split_indices"][at], int(tree["default_left"][at])
                row = (number, at, column, number_at_node, "BRANCH_LT", left, right, missing_left)
                waiting += [right, left]
            _append(nodes, row)
    return {f"nodes_{name}": entries for name, entries in nodes.items()} | {
        f"target_{name}": entries for name, entries in targets.items()
    }


def _append(lists: Mapping[str, list[Any]], row: Sequence[Any]) -> None:
    for entries, entry in zip(lists.values(), row, strict=True):
        entries.append(entry)


# ---------------------------------------------------------------------- linear model with trees


def _add_boosted_linear(builder: GraphBuilder, model: Any) -> tuple[str, str]:
    """As :meth:`.estimators.stored_linear.StoredLinear.predict` computes it."""
    linear = model.linear
    columns = builder.node("Gather", INPUT, builder.constant(linear.linear_columns.astype(np.int64)), axis=1)
    z = builder.node("MatMul", builder.cast(columns, "DOUBLE"), builder.constant(linear.coefficients))
    z = builder.node("Add", z, builder.number(linear.intercept))
    if linear.booster is not None:
        seen = builder.node("Gather", INPUT, builder.constant(linear.tree_columns.astype(np.int64)), axis=1)
        trees = builder.cast(_tree_sum(builder, seen, booster_fields(linear.booster)), "DOUBLE")
        z = builder.node("Add", z, builder.node("Mul", trees, builder.number(linear.tree_share)))
    if linear.step:
        step = builder.number(linear.step)
        z = builder.node("Mul", builder.node("Round", builder.node("Div", z, step)), step)
    z = builder.node("Max", z, builder.number(linear.least))
    return _value_and_deviation(builder, z, builder.number(linear.deviation), target=linear.target, spread=model.spread)


def _value_and_deviation(
    builder: GraphBuilder, centre: str, width: str, *, target: Any, spread: float
) -> tuple[str, str]:
    """As :meth:`.estimators.targets.TargetTransform.inverse` defines them, in float32."""
    back = _BACKWARD[target.kind]
    above, below = (back(builder, builder.node(sign, centre, width), target=target) for sign in ("Add", "Sub"))
    deviation = builder.node("Mul", builder.node("Sub", above, below), builder.number(spread / 2))
    return builder.cast(back(builder, centre, target=target), "FLOAT"), builder.cast(deviation, "FLOAT")


# ---------------------------------------------------------------------- Gaussian process


def _add_process(builder: GraphBuilder, model: Any) -> tuple[str, str]:
    """Rasmussen & Williams, algorithm 2.1, as :class:`.estimators.stored_gp.Posterior` computes it."""
    process = model.process
    posterior = Posterior.of(process.terms, inputs=process.inputs, scores=process.scores, noise=process.noise)
    x = builder.cast(INPUT, "DOUBLE")
    covariances, variances = [], []
    for term in process.terms:
        view = _view(builder, x, term=term)
        kept = term.view(process.inputs)
        weight = builder.number(term.weight)
        if term.kind == "linear":
            # onnxruntime fuses a product with one number into the matrix product before it, in single precision
            covariances.append(builder.node("MatMul", view, builder.constant(term.weight * kept.T)))
            variances.append(builder.node("Mul", builder.row_sums(builder.node("Mul", view, view)), weight))
        else:
            covariance = _STATIONARY[term.kind](builder, view, kept, term.scales[term.scales > 0])
            covariances.append(builder.node("Mul", covariance, weight))
            variances.append(weight)
    K = _sum(builder, covariances)
    mean = builder.node("MatMul", K, builder.constant(process.spread * posterior.coefficients))
    explained = builder.node("MatMul", K, builder.constant(posterior.inverse_factor.T))
    prior = _sum(builder, variances)
    left = builder.node("Sub", prior, builder.row_sums(builder.node("Mul", explained, explained)))
    noisy = builder.node("Add", builder.node("Max", left, builder.number(0.0)), builder.number(posterior.noise))
    centre = builder.node("Add", mean, builder.number(process.centre))
    width = builder.node("Mul", builder.node("Sqrt", noisy), builder.number(process.spread))
    return _value_and_deviation(builder, centre, width, target=process.target, spread=model.spread)


def _sum(builder: GraphBuilder, parts: Sequence[str]) -> str:
    total = parts[0]
    for part in parts[1:]:
        total = builder.node("Add", total, part)
    return total


def _view(builder: GraphBuilder, x: str, *, term: KernelTerm) -> str:
    """The columns that enter a term, shifted and scaled, (n, j)."""
    enters = np.flatnonzero(term.scales)
    offset = np.zeros_like(term.scales) if term.offset is None else term.offset
    columns = builder.node("Gather", x, builder.constant(enters.astype(np.int64)), axis=1)
    shifted = builder.node("Sub", columns, builder.constant(offset[enters]))
    return builder.node("Mul", shifted, builder.constant(term.scales[enters]))


def _squares(builder: GraphBuilder, view: str, kept: Floats) -> str:
    """``|a|² + |b|²``, (n, m)."""
    mine = builder.column(builder.row_sums(builder.node("Mul", view, view)))
    return builder.node("Add", mine, builder.constant((kept * kept).sum(axis=1)[None]))


def _matern52(builder: GraphBuilder, view: str, kept: Floats, _: Floats) -> str:
    twice = builder.node("MatMul", view, builder.constant(2.0 * kept.T))
    squared = builder.node("Max", builder.node("Sub", _squares(builder, view, kept), twice), builder.number(0.0))
    r = builder.node("Sqrt", builder.node("Mul", squared, builder.number(5.0)))
    third = builder.node("Div", builder.node("Mul", r, r), builder.number(3.0))
    polynomial = builder.node("Add", builder.node("Add", r, builder.number(1.0)), third)
    return builder.node("Mul", builder.node("Exp", builder.node("Neg", r)), polynomial)


def _tanimoto(builder: GraphBuilder, view: str, kept: Floats, _: Floats) -> str:
    common = builder.node("MatMul", view, builder.constant(kept.T))
    union = builder.node("Sub", _squares(builder, view, kept), common)
    empty = builder.cast(builder.node("LessOrEqual", union, builder.number(0.0)), "DOUBLE")
    # two empty sets are equal: 0 / 0 becomes (0 + 1) / (0 + 1)
    return builder.node("Div", builder.node("Add", common, empty), builder.node("Add", union, empty))


def _hamming(builder: GraphBuilder, view: str, kept: Floats, scales: Floats) -> str:
    distances = []
    for j, scale in enumerate(scales):
        column = builder.node("Gather", view, builder.constant(np.array([j], dtype=np.int64)), axis=1)
        equal = builder.node("Equal", column, builder.constant(kept[None, :, j]))
        differs = builder.cast(builder.node("Not", equal), "DOUBLE")
        distances.append(builder.node("Mul", differs, builder.number(scale)))
    return builder.node("Exp", builder.node("Neg", _sum(builder, distances)))


#: Terms whose covariance with themselves is 1.
_STATIONARY: Mapping[str, Callable[[GraphBuilder, str, Floats, Floats], str]] = {
    "matern52": _matern52,
    "tanimoto": _tanimoto,
    "hamming": _hamming,
}


def _back_identity(builder: GraphBuilder, z: str, *, target: Any) -> str:
    return z


def _back_log(builder: GraphBuilder, z: str, *, target: Any) -> str:
    return builder.node("Exp", z)


def _back_log_excess(builder: GraphBuilder, z: str, *, target: Any) -> str:
    return builder.node("Add", builder.node("Exp", z), builder.number(target.floor))


def _back_rank_gauss(builder: GraphBuilder, z: str, *, target: Any) -> str:
    """Piecewise linear through the knots: the number of knots at or below z tells its segment."""
    state = target.state()
    at, to = np.array(state["scores"]), np.array(state["values"])
    ends = target.backward(np.array([at[0] - 1.0, at[-1] + 1.0]))
    slopes = np.concatenate([[to[0] - ends[0]], np.diff(to) / np.diff(at), [ends[1] - to[-1]]])
    reached = builder.node("GreaterOrEqual", builder.column(z), builder.constant(at[None]))
    segment = builder.row_sums(builder.cast(reached, "INT64"))
    start, height, slope = (
        builder.node("Gather", builder.constant(table), segment, axis=0)
        for table in (np.concatenate([at[:1], at]), np.concatenate([to[:1], to]), slopes)
    )
    rise = builder.node("Mul", builder.node("Sub", z, start), slope)
    return builder.node("Add", height, rise)


_BACKWARD: Mapping[str, Callable[..., str]] = {
    "identity": _back_identity,
    "log": _back_log,
    "log-excess": _back_log_excess,
    "rank-gauss": _back_rank_gauss,
}

_KINDS: Mapping[type[StoredModel], Callable[[GraphBuilder, Any], tuple[str, str]]] = {
    StoredXGBoost: _add_trees,
    StoredGaussianProcess: _add_process,
    StoredBoostedLinear: _add_boosted_linear,
}
_NAMES = tuple(kind.kind for kind in _KINDS)
