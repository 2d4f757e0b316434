"""A stored predictor as an ONNX file that has passed a comparison with the predictor itself.

The file is an export, not a home: it cannot be loaded back. It maps features to the value and its deviation; making
features of an architecture stays with the feature map that the file's metadata name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.errors import ArtifactError, require
from nasbench_mo.predictor.artifact import Predictor
from nasbench_mo.predictor.onnx_models import (
    INPUT,
    IR_VERSION,
    ML_OPSET,
    OPSET,
    OUTPUTS,
    GraphBuilder,
    add_model,
    add_overrides,
)

#: Greatest relative difference of value and of deviation. Rounding alone, 300 trees summed in float32 in another order
#: included, stays below 4e-6 on all cells of NAS-Bench-201; a predictor's own deviation is a hundredth of its value or
#: more. 1e-4 lies between: no rounding fails it, and no wrong leaf, shift or kernel that matters passes.
TOLERANCE = 1e-4
#: Distinct rows of features that are compared.
N_COMPARED = 1000
#: Greatest space that is written out to find its degenerate architectures.
_ENUMERATED = 1 << 16
#: Greatest number of feature rows of degenerate architectures that a graph holds.
_OVERRIDES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a graph is from its predictor, over ``n`` distinct rows of features."""

    n: int
    worst_value: float
    worst_deviation: float
    tolerance: float


def export_onnx(
    predictor: Predictor, path: Path, *, tolerance: float = TOLERANCE, n_compared: int = N_COMPARED
) -> Parity:
    """Write a predictor as an ONNX file, if the graph predicts the same.

    Input ``features``: (n, k) float32, the columns of the predictor's feature map and then of its measured inputs, as
    :meth:`.Predictor.matrix` gives them. Outputs ``value`` and
    ``deviation``: (n,) float32, in the objective's unit, as :meth:`.Predictor.predict` gives them.

    Parameters
    ----------
    predictor
        The predictor.
    path
        File to write; an existing one is replaced.
    tolerance
        Greatest relative difference of any value or deviation.
    n_compared
        Distinct rows of features that are compared; all of the space where it has fewer.

    Returns
    -------
    The differences found.

    Raises
    ------
    ArtifactError
        The graph predicts something else, or the model cannot be expressed. Nothing is written.
    MissingDependencyError
        onnx or onnxruntime is not installed.
    """
    require("onnxruntime", extra="profile")
    model = onnx_model(predictor)
    parity = check_parity(model, predictor, tolerance=tolerance, n_compared=n_compared)
    write_atomic(path, model)
    return parity


def onnx_model(predictor: Predictor) -> bytes:
    """The predictor as a serialised ONNX model with its metadata, not compared with anything.

    Raises
    ------
    ArtifactError
        The model cannot be expressed.
    MissingDependencyError
        onnx is not installed.
    """
    builder = GraphBuilder()
    onnx = builder.onnx
    outputs = add_model(builder, predictor.model)
    degenerate_value = predictor.reference.degenerate_value
    if degenerate_value is not None:
        rows = _degenerate_features(predictor)
        if len(rows):
            outputs = add_overrides(builder, outputs, rows=rows, value=degenerate_value)
    for inner, name in zip(outputs, OUTPUTS, strict=True):
        builder.node("Identity", inner, output=name)
    info, single = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        builder.nodes,
        "predictor",
        [info(INPUT, single, ["n", len(predictor.columns)])],
        [info(name, single, ["n"]) for name in OUTPUTS],
        builder.initializers,
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name="nasbench-mo",
    )
    onnx.helper.set_model_props(model, metadata(predictor))
    serialised: bytes = model.SerializeToString()
    return serialised


def metadata(predictor: Predictor) -> dict[str, str]:
    """What the file says of itself: identity, features, objective and origin; structures as JSON."""
    reference = predictor.reference
    return {
        "id": reference.id,
        "space": reference.space,
        "encoding_version": str(reference.encoding_version),
        "features": reference.features,
        "columns": json.dumps(predictor.columns),
        "objective": json.dumps(predictor.objective.to_dict()),
        "estimator": reference.estimator,
        "degenerate_value": json.dumps(reference.degenerate_value),
        "data_sha256": predictor.data_hash,
    }


def check_parity(
    model: bytes, predictor: Predictor, *, tolerance: float = TOLERANCE, n_compared: int = N_COMPARED
) -> Parity:
    """Run a serialised model in onnxruntime and compare it with the predictor.

    Raises
    ------
    ArtifactError
        A value or deviation differs by more than the tolerance; the first such architecture is named.
    MissingDependencyError
        onnxruntime is not installed.
    """
    X = _distinct(predictor, n=n_compared)
    inputs = _drawn_inputs(predictor, n=len(X))
    expected = predictor.predict(X, return_std=True, inputs=inputs)
    found = _run(model, predictor.matrix(X, inputs=inputs))
    worst = []
    for name, ours, theirs in zip(OUTPUTS, expected, found, strict=True):
        size = np.abs(ours)
        # where ours is 0 theirs must be
        off = np.divide(np.abs(theirs - ours), size, out=np.where(theirs == ours, 0.0, np.inf), where=size > 0)
        i = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
        if not off[i] <= tolerance:
            raise ArtifactError(
                f"predictor {predictor.id!r} is not exported: the graph's {name} for "
                f"{predictor.space.decode(X[i : i + 1])[0]} should be {ours[i]:.9g}, onnxruntime "
                f"gives {theirs[i]:.9g}; relative difference {off[i]:.2g}, allowed {tolerance:.2g}"
            )
        worst.append(float(off[i]))
    return Parity(n=len(X), worst_value=worst[0], worst_deviation=worst[1], tolerance=tolerance)


def _run(model: bytes, features: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    runtime: Any = require("onnxruntime", extra="profile")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        made = session.run(list(OUTPUTS), {INPUT: features})
    except Exception as error:  # onnxruntime's errors have no common base of their own
        raise ArtifactError(f"onnxruntime does not run the graph: {' '.join(str(error).split())}") from error
    for name, values in zip(OUTPUTS, made, strict=True):
        if values.shape != (len(features),):
            raise ArtifactError(f"expected {len(features)} of the graph's {name}, got shape {values.shape}")
    return [np.asarray(values, dtype=np.float64) for values in made]


def _distinct(predictor: Predictor, *, n: int) -> NDArray[Any]:
    """Up to n architectures with different features; a degenerate one among them where there are any."""
    search_space = predictor.space
    rng = np.random.default_rng(0)
    small = search_space.size <= _ENUMERATED
    X = search_space.enumerate() if small else search_space.sample(4 * n, rng=rng)
    _, first = np.unique(predictor.features.compute(X), axis=0, return_index=True)
    X = X[first]
    dead = np.flatnonzero(search_space.degenerate(X))[:1]
    others = np.setdiff1d(rng.permutation(len(X))[:n], dead, assume_unique=True)
    chosen: NDArray[Any] = X[np.concatenate([dead, others])[:n]]
    return chosen


def _drawn_inputs(predictor: Predictor, *, n: int) -> dict[str, NDArray[np.float64]] | None:
    """Values of measured inputs for n architectures, (n,) each, drawn from the reference file's; None for no inputs."""
    held = np.array(predictor.reference.input_values, dtype=np.float64)
    if not held.size:
        return None
    drawn = held[np.random.default_rng(1).integers(len(held), size=n)]
    return {one.column: drawn[:, j] for j, one in enumerate(predictor.inputs)}


def _degenerate_features(predictor: Predictor) -> NDArray[np.float32]:
    """Feature rows, (r, k), of the space's degenerate architectures."""
    search_space = predictor.space
    if search_space.size > _ENUMERATED:
        raise ArtifactError(
            f"predictor {predictor.id!r} gives degenerate architectures a value of their own, and the "
            f"{search_space.size:.3g} of {search_space.name!r} are too many to find them all by their features"
        )
    X = search_space.enumerate()
    dead = search_space.degenerate(X)
    features = predictor.features.compute(X)
    rows = np.unique(features[dead], axis=0)
    if len(rows) > _OVERRIDES or np.isin(_keys(features[~dead]), _keys(rows)).any():
        raise ArtifactError(
            f"predictor {predictor.id!r} gives degenerate architectures a value of their own, which its features "
            f"{predictor.features.name!r} do not tell from others in at most {_OVERRIDES} rows"
        )
    return rows


def _keys(features: NDArray[np.float32]) -> NDArray[Any]:
    """(n,) one opaque value a row, equal for equal rows."""
    rows = np.ascontiguousarray(features + np.float32(0.0))  # -0.0 becomes 0.0
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
