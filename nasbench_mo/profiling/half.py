"""ONNX models in half precision."""

from __future__ import annotations

from typing import Any

from nasbench_mo.errors import require
from nasbench_mo.profiling.onnx_graph import parsed_model


def half(model: bytes) -> bytes:
    """The float16 form of a float model; what goes in and what comes out stays in single precision.

    Raises
    ------
    FormatError
        It is no valid model.
    MissingDependencyError
        onnx or onnxruntime is not installed.
    """
    parsed = parsed_model(model)
    converter: Any = require("onnxruntime.transformers.float16", extra="profile")
    made: bytes = converter.convert_float_to_float16(
        parsed, keep_io_types=True, disable_shape_infer=True
    ).SerializeToString()
    return made
