"""onnxruntime on this machine's processor: latency of loaded graphs, and the memory that one needs."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from nasbench_mo.errors import SpecError, require
from nasbench_mo.hardware import processor_name
from nasbench_mo.profiling.campaign import Probe, Quantity, Setting
from nasbench_mo.profiling.latency import LatencyProtocol, Session
from nasbench_mo.profiling.memory import resident_mib
from nasbench_mo.profiling.quantised import quantised

PRECISIONS = ("fp32", "int8")
#: Lines of /proc/cpuinfo that tell processors of one model name apart.
_CPU_FIELDS = ("cpu family", "model", "stepping", "cache size")


@final
class OrtBackend:
    """onnxruntime's CPU provider.

    Parameters
    ----------
    protocol
        How a turn is taken. The number of threads comes from the setting.
    clock
        Nanoseconds.

    Raises
    ------
    MissingDependencyError
        onnx or onnxruntime is not installed.
    """

    def __init__(self, protocol: LatencyProtocol, *, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        require("onnx", extra="profile")
        require("onnxruntime", extra="profile")
        self._protocol = protocol
        self._clock = clock

    @property
    def device(self) -> str:
        """Name of the processor."""
        return processor_name()

    @property
    def runtime(self) -> str:
        """onnxruntime with its version."""
        return f"onnxruntime {version('onnxruntime')}"

    def identity(self) -> dict[str, Any]:
        """Processor, cores that this process may use, system and versions."""
        return {
            "device": self.device,
            "processor": _cpu_fields(),
            "cores": n_cores(),
            "system": f"{platform.system()} {platform.machine()}",
            "versions": {name: version(name) for name in ("onnxruntime", "onnx", "nasbench-mo")},
        }

    def probe(self, model: bytes, setting: Setting, *, quantity: Quantity) -> Probe:
        """A loaded model; for memory, one that another process is going to load."""
        if setting.precision not in PRECISIONS or setting.n_threads is None:
            raise SpecError(f"onnxruntime runs {', '.join(PRECISIONS)} with some threads; got {setting}")
        ready = _quantised(model) if setting.precision == "int8" else model
        n_threads = setting.n_threads
        if quantity == "memory":
            return lambda: resident_mib(ready, n_threads=n_threads)
        if quantity != "latency":
            raise SpecError(f"onnxruntime measures latency and memory here; got {quantity!r}")
        session = Session(ready, n_threads=n_threads, seed=0)
        protocol = dataclasses.replace(self._protocol, n_threads=n_threads)
        return lambda: 1000 * session.turn_ms(protocol, clock=self._clock)


@lru_cache(maxsize=1)
def _quantised(model: bytes) -> bytes:
    """The last one is kept, for the next number of threads."""
    return quantised(model)


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_fields() -> Mapping[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = {}
    for name in _CPU_FIELDS:
        line = next((line for line in lines if line.partition(":")[0].strip() == name), None)
        if line is not None:
            found[name] = line.partition(":")[2].strip()
    return found
