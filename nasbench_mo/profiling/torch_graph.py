"""The ONNX graphs of this package executed by torch: the same networks and chains on any device torch has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np

from nasbench_mo.errors import FormatError, require
from nasbench_mo.profiling.onnx_graph import parsed_model

#: Computes a node's output from torch, its inputs and its attributes.
_Operator = Callable[[Any, list[Any], Mapping[str, Any]], Any]


@final
class TorchGraph:
    """A graph with weights and an input of its own on one device.

    Tensors of images are in the memory format ``channels_last``, which tensor cores want.

    Parameters
    ----------
    model
        Serialised float model, as of :func:`~nasbench_mo.profiling.onnx_graph.onnx_network`.
    device
        torch device.
    precision
        ``fp32``, ``fp16`` or ``bf16``, of weights and activations.
    seed
        Of the input's values.

    Raises
    ------
    FormatError
        The graph has an operator that these networks do not have, or not one input.
    MissingDependencyError
        torch or onnx is not installed.
    """

    def __init__(self, model: bytes, *, device: str, precision: str, seed: int = 0) -> None:
        onnx: Any = require("onnx", extra="profile")
        self._torch: Any = require("torch", extra="train")
        graph = parsed_model(model).graph
        unknown = sorted({node.op_type for node in graph.node} - set(_OPERATORS))
        if unknown:
            raise FormatError(f"expected the operators {', '.join(_OPERATORS)}; got {', '.join(unknown)}")
        self._device = device
        self._dtype = {"fp32": self._torch.float32, "fp16": self._torch.float16, "bf16": self._torch.bfloat16}[
            precision
        ]
        self._weights = {t.name: self._tensor(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
        self._nodes = [
            (
                node.op_type,
                tuple(node.input),
                node.output[0],
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
        ]
        self._input = graph.input[0].name
        self._outputs = tuple(output.name for output in graph.output)
        shape = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
        self.images = self._tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))

    def run(self) -> list[Any]:
        """The outputs for :attr:`images`, tensors on the device."""
        with self._torch.inference_mode():
            values = {**self._weights, self._input: self.images}
            for kind, inputs, output, attributes in self._nodes:
                values[output] = _OPERATORS[kind](self._torch, [values[name] for name in inputs], attributes)
            return [values[name] for name in self._outputs]

    def _tensor(self, array: Any) -> Any:
        tensor = self._torch.from_numpy(array).to(device=self._device, dtype=self._dtype)
        return tensor.contiguous(memory_format=self._torch.channels_last) if tensor.ndim == 4 else tensor


def _convolution(torch: Any, inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
    stride, padding = attributes["strides"][0], attributes["pads"][0]
    return torch.nn.functional.conv2d(*inputs, stride=stride, padding=padding)


def _average(torch: Any, inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
    return torch.nn.functional.avg_pool2d(
        inputs[0],
        attributes["kernel_shape"][0],
        stride=attributes["strides"][0],
        padding=attributes.get("pads", [0])[0],
        count_include_pad=False,
    )


_OPERATORS: Mapping[str, _Operator] = {
    "Conv": _convolution,
    "AveragePool": _average,
    "Relu": lambda torch, inputs, _: torch.relu(inputs[0]),
    "Add": lambda torch, inputs, _: torch.add(*inputs),
    "Mul": lambda torch, inputs, _: torch.mul(*inputs),
    "GlobalAveragePool": lambda torch, inputs, _: torch.mean(inputs[0], (2, 3), keepdim=True),
    "Flatten": lambda torch, inputs, _: torch.flatten(inputs[0], 1),
    "Gemm": lambda torch, inputs, _: torch.nn.functional.linear(*inputs),
}
