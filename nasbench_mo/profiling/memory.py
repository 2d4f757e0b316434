"""Memory that a model needs in onnxruntime: by how much a process grows that loads and runs it.

A process of its own for each model, which has run a tiny model before: the runtime's libraries and its start are not
counted. What is counted is what a deployment pays, the runtime's copies of weights included, and not what the network
needs in theory.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nasbench_mo.errors import SpecError, require

_RUNS = 3
_STATUS = Path("/proc/self/status")


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
        command = [sys.executable, "-m", "nasbench_mo.profiling.memory", str(path), str(n_threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SpecError(f"the process that measures memory failed: {last}")
    return float(json.loads(done.stdout)["resident_kib"]) / 1024


def _growth_kib(path: Path, *, n_threads: int) -> int:
    """Run in the process of its own."""
    _run(_tiny_model(), n_threads=n_threads)
    before = _status_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak of the start
    _run(str(path), n_threads=n_threads)
    return _status_kib("VmHWM") - before


def _run(model: bytes | str, *, n_threads: int) -> None:
    from nasbench_mo.profiling.latency import LatencyProtocol, Session

    session = Session(model, n_threads=n_threads, seed=0)
    session.turn_ms(LatencyProtocol(runs=_RUNS, warm_up=0, n_threads=n_threads), clock=lambda: 0)


def _tiny_model() -> bytes:
    onnx: Any = require("onnx", extra="profile")
    value, real = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "tiny", [value("x", real, [1])], [value("y", real, [1])]
    )
    opset = onnx.helper.make_opsetid("", 13)
    made: bytes = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return made


def _status_kib(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), flags=re.MULTILINE)
    if found is None:
        raise SpecError(f"{_STATUS} has no {field}")
    return int(found[1])


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"resident_kib": _growth_kib(Path(sys.argv[1]), n_threads=int(sys.argv[2]))}))
