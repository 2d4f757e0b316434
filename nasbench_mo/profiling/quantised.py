"""Static quantisation to int8 as ONNX graphs state it: pairs of QuantizeLinear and DequantizeLinear round tensors.

Activations are uint8 with one scale and zero point a tensor, weights int8 with one scale an output channel, biases
int32. The graphs become those of ``onnxruntime.quantization.quantize_static`` (QDQ, per channel, QUInt8 activations),
which a test checks, in a tenth of its time. Signed activations would leave most operators of these graphs unfused on
x86: onnxruntime 1.31 then runs convolutions in single precision between the pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError, require
from nasbench_mo.profiling.onnx_graph import OPSET, parsed_model

#: Operators with a weight tensor and a bias as second and third input.
_WEIGHTED = ("Conv", "Gemm")
_LEVELS = 255

#: Least and largest value of a tensor.
Range = tuple[float, float]


def quantised(model: bytes, *, seed: int = 0, images: NDArray[np.float32] | None = None) -> bytes:
    """The int8 form of a float model, calibrated on images.

    Parameters
    ----------
    model
        Serialised model of Conv, Gemm, Relu, Add, Mul, AveragePool, GlobalAveragePool and Flatten, with one input.
    seed
        Of the standard normal images that it is calibrated on where none are given.
    images
        Calibration images, (k b, c, h, w) for a model of b images at once, prepared as for the network.

    Raises
    ------
    FormatError
        The graph has no single input, or the images do not fit it.
    MissingDependencyError
        onnx or onnxruntime is not installed.
    """
    onnx: Any = require("onnx", extra="profile")
    parsed = parsed_model(model)
    shape = [d.dim_value for d in parsed.graph.input[0].type.tensor_type.shape.dim]
    if images is None:
        images = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    if list(images.shape[1:]) != shape[1:] or not len(images) or len(images) % shape[0]:
        raise FormatError(f"expected calibration images of {shape}, or several times as many; got {images.shape}")
    return _Quantiser(onnx, parsed.graph, ranges=activation_ranges(model, images)).model()


def activation_ranges(model: bytes, images: NDArray[np.float32]) -> dict[str, Range]:
    """Least and largest value of the images and of every tensor that a model computes from them, 0 included."""
    onnx: Any = require("onnx", extra="profile")
    runtime: Any = require("onnxruntime", extra="profile")
    parsed = parsed_model(model)
    names = [name for node in parsed.graph.node for name in node.output]
    del parsed.graph.output[:]
    make, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    parsed.graph.output.extend([make(name, real, None) for name in names])
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL  # else tensors are fused away
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    given = parsed.graph.input[0].name
    at_once = parsed.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    found: dict[str, Range] = {}
    try:
        session = runtime.InferenceSession(parsed.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for start in range(0, len(images), at_once):
            part = images[start : start + at_once]
            for name, values in zip([given, *names], [part, *session.run(names, {given: part})], strict=True):
                low, high = _range(values)
                least, most = found.get(name, (low, high))
                found[name] = (min(low, least), max(high, most))
    except FormatError:
        raise
    except Exception as error:  # onnxruntime's errors have no common base of their own
        raise FormatError(f"onnxruntime does not run the graph: {' '.join(str(error).split())[:300]}") from error
    return found


#: Largest float32 that is a 32-bit integer.
_INT32 = 2147483520.0


class _Quantiser:
    """Rewrites one graph. A tensor's reader reads the output of the pair that follows it."""

    def __init__(self, onnx: Any, graph: Any, *, ranges: Mapping[str, Range]) -> None:
        self._onnx = onnx
        self._graph = graph
        self._ranges = dict(ranges)
        self._arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._readers = Counter(name for node in graph.node for name in node.input)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._read_as: dict[str, str] = {}
        self._dequantised_names: set[str] = set()

    def model(self) -> bytes:
        given = self._graph.input[0].name
        self._round(given)
        absorbed = self._absorbed_relus()
        outputs = {output.name for output in self._graph.output}
        for node in self._graph.node:
            if node.output[0] not in absorbed.values():
                out = absorbed.get(node.output[0], node.output[0])
                self._operator(node, out=out, is_output=out in outputs)
        made = self._onnx.helper.make_graph(
            self._nodes, "int8", list(self._graph.input), list(self._graph.output), self._constants
        )
        opset = self._onnx.helper.make_opsetid("", OPSET)
        model = self._onnx.helper.make_model(made, opset_imports=[opset], ir_version=8, producer_name="nasbench-mo")
        serialised: bytes = model.SerializeToString()
        return serialised

    def _absorbed_relus(self) -> dict[str, str]:
        """Input to output of the ReLUs that alone read it: rounding to a range from 0 upwards does their work."""
        computed = {node.output[0] for node in self._graph.node}
        return {
            node.input[0]: node.output[0]
            for node in self._graph.node
            if node.op_type == "Relu" and node.input[0] in computed and self._readers[node.input[0]] == 1
        }

    def _operator(self, node: Any, *, out: str, is_output: bool) -> None:
        if node.op_type in _WEIGHTED:
            inputs = self._weighted_inputs(node)
        else:
            inputs = [self._read_as.get(name) or self._constant(name) for name in node.input]
        if node.op_type == "Flatten":
            self._ranges[out] = self._ranges[node.input[0]]
        raw = f"{out}_raw" if is_output else out
        made = self._onnx.helper.make_node(node.op_type, inputs, [raw])
        made.attribute.extend(node.attribute)
        self._nodes.append(made)
        self._ranges[raw] = self._ranges[out]
        self._round(raw, rounded=out if is_output else None)

    def _weighted_inputs(self, node: Any) -> list[str]:
        x, weight, bias = node.input
        values = self._arrays[weight]
        largest = np.abs(values).reshape(len(values), -1).max(axis=1)
        scales = np.maximum(largest / 127, 1e-8).astype(np.float32)
        steps = np.round(values / scales.reshape(-1, *[1] * (values.ndim - 1)))
        quantised_weight = self._dequantised(weight, np.clip(steps, -127, 127).astype(np.int8), scales=scales)
        products = (_scale(self._ranges[x]) * scales).astype(np.float32)
        steps = np.clip(np.round(self._arrays[bias] / products), -_INT32, _INT32)
        quantised_bias = self._dequantised(bias, steps.astype(np.int32), scales=products)
        return [self._read_as[x], quantised_weight, quantised_bias]

    def _constant(self, name: str) -> str:
        """A factor or summand a channel, rounded like an activation."""
        values = self._arrays[name]
        scale, zero = _scale(_range(values)), _zero_point(_range(values))
        steps = np.clip(np.round(values / scale) + zero, 0, _LEVELS).astype(np.uint8)
        return self._dequantised(name, steps, scales=np.asarray(scale), zero=np.asarray(zero, np.uint8))

    def _dequantised(
        self, name: str, steps: NDArray[Any], *, scales: NDArray[Any], zero: NDArray[Any] | None = None
    ) -> str:
        out = f"{name}_dequantised"
        if out not in self._dequantised_names:
            self._dequantised_names.add(out)
            zeros = np.zeros(scales.shape, steps.dtype) if zero is None else zero
            parts = [
                self._store(f"{name}_{what}", values)
                for what, values in (("steps", steps), ("scale", scales), ("zero", zeros))
            ]
            attributes = {"axis": 0} if scales.ndim else {}
            self._nodes.append(self._onnx.helper.make_node("DequantizeLinear", parts, [out], **attributes))
        return out

    def _round(self, name: str, *, rounded: str | None = None) -> None:
        """A pair behind a tensor."""
        found = self._ranges[name]
        scale = self._store(f"{name}_scale", np.asarray(_scale(found)))
        zero = self._store(f"{name}_zero", np.asarray(_zero_point(found), np.uint8))
        out = rounded or f"{name}_rounded"
        make = self._onnx.helper.make_node
        self._nodes.append(make("QuantizeLinear", [name, scale, zero], [f"{name}_steps"]))
        self._nodes.append(make("DequantizeLinear", [f"{name}_steps", scale, zero], [out]))
        self._read_as[name] = out

    def _store(self, name: str, values: NDArray[Any]) -> str:
        self._constants.append(self._onnx.numpy_helper.from_array(values, name))
        return name


def _range(values: NDArray[Any]) -> Range:
    if not np.isfinite(values).all():
        raise FormatError("expected a model whose activations are finite, got one that overflows")
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)


def _scale(found: Range) -> np.float32:
    return np.float32(max((found[1] - found[0]) / _LEVELS, 1e-8))


def _zero_point(found: Range) -> int:
    return int(np.clip(round(-found[0] / float(_scale(found))), 0, _LEVELS))
