"""Memory that a model needs in onnxruntime: by how much a process grows that loads and runs it.

A process of its own for each model, which has run a tiny model before: the runtime's libraries and its start are not
counted. What is counted is what a deployment pays, the runtime's copies of weights included, and not what the network
needs in theory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nasbench_mo.errors import SpecError, require
from nasbench_mo.profiling import ondevice

_STATUS = Path("/proc/self/status")
#: Where :mod:`.ondevice` finds the model that it runs first.
TINY = "tiny.onnx"


def resident_mib(model: bytes, *, n_threads: int) -> float:
    """Most resident memory while a model is loaded and run, above that of the process before, in MiB.

    Raises
    ------
    SpecError
        The system does not tell (it has no /proc/self/status), or the process failed.
    """
    if not _STATUS.is_file():
        raise SpecError(f"memory is read from {_STATUS}, which this system does not have; leave memory out")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        (Path(folder) / TINY).write_bytes(tiny_model())
        command = [sys.executable, ondevice.__file__, "--memory", folder, path.name, str(n_threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SpecError(f"the process that measures memory failed: {last}")
    return float(done.stdout) / 1024


def tiny_model() -> bytes:
    """The smallest model that starts the runtime."""
    onnx: Any = require("onnx", extra="profile")
    value, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "tiny", [value("x", real, [1])], [value("y", real, [1])]
    )
    opset = onnx.helper.make_opsetid("", 13)
    made: bytes = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return made
