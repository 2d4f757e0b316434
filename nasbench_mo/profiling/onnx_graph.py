"""NAS-Bench-201 networks as ONNX graphs, built node by node: no torch, no tracing.

A graph is what a deployed network is: pruned to its live operations, with every batch normalisation folded into the
convolution before it, the one after the last cell excepted, which stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArchitectureError, FormatError, require
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import AVG_POOL, CONV3X3, EDGES, NB201, NONE, SKIP, Skeleton

#: Version of the ONNX operator set that the graphs use; every runtime since 2021 reads it.
OPSET = 13
_IR_VERSION = 8
#: Names of what goes in and what comes out.
IMAGES, LOGITS = "images", "logits"

#: Numbers in the input of a model: 256 images of 1,024 x 1,024 pixels and three channels.
_MAX_INPUT = 1 << 30
#: Gives the values of a weight, given its name and shape.
Weights = Callable[[str, tuple[int, ...]], NDArray[np.float32]]


def onnx_network(
    cell: str | Sequence[int], *, skeleton: Skeleton, weights: Weights | None = None, batch: int = 1
) -> bytes:
    """The network of a cell as a serialised ONNX model, from ``images`` (b, c, h, w) to ``logits`` (b, classes).

    Parameters
    ----------
    cell
        Published string or six operation codes.
    skeleton
        The network around the cells.
    weights
        Gives each weight by name and shape; random ones by default, which cost the same time. See
        :func:`folded_weights` for those of a torch network.
    batch
        Images at once, fixed in the graph.

    Raises
    ------
    ArchitectureError
        The cell is not in the space.
    MissingDependencyError
        onnx is not installed.
    """
    nb201 = space("nb201")
    if not isinstance(nb201, NB201):
        raise ArchitectureError("the space registered as 'nb201' is not NAS-Bench-201")
    X = nb201.encode([cell]) if isinstance(cell, str) else nb201.check([list(cell)])
    builder = GraphBuilder(weights or random_weights(0))
    width = skeleton.channels
    x = builder.convolution("stem", IMAGES, shape=(width, skeleton.image_channels, 3, 3))
    block = 0
    live = nb201.live(X)[0].tolist()
    for stage in range(skeleton.n_stages):
        if stage:
            x = builder.reduction(f"blocks.{block}", x, width=width)
            width, block = 2 * width, block + 1
        for _ in range(skeleton.n_cells):
            x = builder.cell(f"blocks.{block}", x, operations=live, width=width)
            block += 1
    builder.classifier(builder.pooled(x, width=width), width=width, n_classes=skeleton.n_classes)
    return builder.model(
        images=(batch, skeleton.image_channels, skeleton.image_size, skeleton.image_size),
        outputs={LOGITS: (batch, skeleton.n_classes)},
    )


def parsed_model(model: bytes) -> Any:
    """A serialised ONNX model as its protocol buffer, checked.

    Raises
    ------
    FormatError
        It is no valid model, or has not one input of a fixed shape.
    MissingDependencyError
        onnx is not installed.
    """
    onnx: Any = require("onnx", extra="profile")
    try:
        parsed = onnx.load_from_string(model)
        onnx.checker.check_model(parsed, full_check=True)
        for tensor in parsed.graph.initializer:
            if not np.isfinite(onnx.numpy_helper.to_array(tensor).astype(np.float64)).all():
                raise FormatError(f"weights {tensor.name!r} that are not finite")
    except Exception as error:  # protobuf's, the checker's and the shapes' errors have no common base
        raise FormatError(f"expected a valid ONNX model, got: {' '.join(str(error).split())[:300]}") from error
    if len(parsed.graph.input) != 1:
        raise FormatError(f"expected a model with one input, got {len(parsed.graph.input)}")
    shape = [d.dim_value for d in parsed.graph.input[0].type.tensor_type.shape.dim]
    if min(shape, default=0) < 1 or prod(shape) > _MAX_INPUT:
        raise FormatError(f"expected a model with an input of a fixed shape, got {shape}")
    return parsed


def random_weights(seed: int) -> Weights:
    """Weights that keep activations of order one: normal, with a deviation of 1 / sqrt(fan-in)."""
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if len(shape) == 1:
            return np.full(shape, 1.0 if name.endswith("scale") else 0.0, np.float32)
        return np.asarray(rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])), np.float32)

    return draw


def folded_weights(state: Mapping[str, Any]) -> Weights:
    """Weights of a torch network of :func:`nasbench_mo.training.build_network`, normalisation folded in.

    Parameters
    ----------
    state
        Its ``state_dict()``, values convertible to arrays.
    """
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
    kernels = {name for name, value in arrays.items() if value.ndim == 4}

    def scale_of(prefix: str) -> NDArray[np.float64]:
        scale: NDArray[np.float64] = arrays[f"{prefix}.weight"] / np.sqrt(arrays[f"{prefix}.running_var"] + 1e-5)
        return scale

    def get(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        part, _, what = name.rpartition(".")
        if part == "classifier":
            return np.asarray(arrays[name], np.float32)
        if part == "last":
            scale = scale_of("last.0")
            shift = arrays["last.0.bias"] - arrays["last.0.running_mean"] * scale
            chosen = scale if what == "scale" else shift
            return np.asarray(chosen.reshape(shape), np.float32)
        kernel = next(k for k in kernels if k.rpartition(".")[0].rpartition(".")[0] == part)
        position = int(kernel.split(".")[-2])
        norm = f"{part}.{position + 1}"
        if f"{norm}.running_var" not in arrays:  # the shortcut of a reduction has none
            return np.asarray(arrays[kernel] if what == "weight" else np.zeros(shape), np.float32)
        scale = scale_of(norm)
        if what == "weight":
            return np.asarray(arrays[kernel] * scale[:, None, None, None], np.float32)
        return np.asarray(arrays[f"{norm}.bias"] - arrays[f"{norm}.running_mean"] * scale, np.float32)

    return get


class GraphBuilder:
    """Collects nodes and weights of one graph. A tensor is its name.

    Parameters
    ----------
    weights
        Gives each weight by name and shape.
    """

    def __init__(self, weights: Weights) -> None:
        self.onnx: Any = require("onnx", extra="profile")
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._relus: dict[str, str] = {}

    def model(self, *, images: tuple[int, ...], outputs: Mapping[str, tuple[int, ...]]) -> bytes:
        """The graph as a serialised model, given the shape of the images and the shapes of what it puts out."""
        value, real = self.onnx.helper.make_tensor_value_info, self.onnx.TensorProto.FLOAT
        graph = self.onnx.helper.make_graph(
            self.nodes,
            "nb201",
            [value(IMAGES, real, list(images))],
            [value(name, real, list(shape)) for name, shape in outputs.items()],
            self.initializers,
        )
        model = self.onnx.helper.make_model(
            graph,
            opset_imports=[self.onnx.helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="nasbench-mo",
        )
        serialised: bytes = model.SerializeToString()
        return serialised

    def node(self, kind: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """A node with one output."""
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        """A weight of a name and a shape."""
        self.initializers.append(self.onnx.numpy_helper.from_array(self.weights(name, shape), name))
        return name

    def relu(self, x: str) -> str:
        """One ReLU for a tensor, however many operations read it."""
        if x not in self._relus:
            self._relus[x] = self.node("Relu", [x])
        return self._relus[x]

    def convolution(self, name: str, x: str, *, shape: tuple[int, ...], stride: int = 1) -> str:
        """A convolution with bias, of kernels (out, in, k, k)."""
        kernel = shape[2]
        values = [self.weight(f"{name}.weight", shape), self.weight(f"{name}.bias", shape[:1])]
        pads = [kernel // 2] * 4
        return self.node("Conv", [x, *values], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)

    def affine(self, name: str, x: str, *, width: int) -> str:
        """The normalisation that no convolution precedes: one factor and one summand a channel."""
        scaled = self.node("Mul", [x, self.weight(f"{name}.scale", (width, 1, 1))])
        return self.node("Add", [scaled, self.weight(f"{name}.shift", (width, 1, 1))])

    def pooled(self, x: str, *, width: int) -> str:
        """What follows the last cell: normalisation, ReLU and the mean over all pixels, (b, width)."""
        x = self.affine("last", x, width=width)
        return self.node("Flatten", [self.node("GlobalAveragePool", [self.relu(x)])])

    def classifier(self, x: str, *, width: int, n_classes: int) -> str:
        """The linear layer, whose output is :data:`LOGITS`."""
        values = [self.weight("classifier.weight", (n_classes, width)), self.weight("classifier.bias", (n_classes,))]
        return self.node("Gemm", [x, *values], output=LOGITS, transB=1)

    def reduction(self, name: str, x: str, *, width: int) -> str:
        """Two convolutions, and beside them a pooled shortcut."""
        inner = self.reduction_convolutions(name, x, width=width)
        pooled = self.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
        return self.node("Add", [inner, self.reduction_shortcut(name, pooled, width=width)])

    def reduction_convolutions(self, name: str, x: str, *, width: int) -> str:
        """The main path of a reduction, from ``width`` channels to twice as many."""
        wide = 2 * width
        inner = self.convolution(f"{name}.first", self.relu(x), shape=(wide, width, 3, 3), stride=2)
        return self.convolution(f"{name}.second", self.relu(inner), shape=(wide, wide, 3, 3))

    def reduction_shortcut(self, name: str, pooled: str, *, width: int) -> str:
        """The convolution of the shortcut, which reads what was pooled."""
        return self.convolution(f"{name}.shortcut", pooled, shape=(2 * width, width, 1, 1))

    def cell(self, name: str, x: str, *, operations: Sequence[int], width: int) -> str:
        """A cell of six operations, in the order of the space's variables."""
        values: list[str | None] = [x, None, None, None]
        for (source, target), op in zip(EDGES, operations, strict=True):
            origin = values[source]
            if op == NONE or origin is None:
                continue
            value = self.operation(f"{name}.edge_{source}_{target}", origin, op=op, width=width)
            before = values[target]
            values[target] = value if before is None else self.node("Add", [before, value])
        last = values[3]
        if last is None:  # a degenerate cell puts out zeros
            zero = self.onnx.numpy_helper.from_array(np.zeros((), np.float32), f"{name}.zero")
            self.initializers.append(zero)
            last = self.node("Mul", [x, f"{name}.zero"])
        return last

    def operation(self, name: str, x: str, *, op: int, width: int) -> str:
        """What one edge of a cell computes."""
        if op == SKIP:
            return x
        if op == AVG_POOL:
            return self.node("AveragePool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=0)
        kernel = 3 if op == CONV3X3 else 1
        return self.convolution(name, self.relu(x), shape=(width, width, kernel, kernel))
