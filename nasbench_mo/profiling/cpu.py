"""onnxruntime on this machine: latency of loaded graphs, and the memory that one needs."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from nasbench_mo.errors import MissingDependencyError, SpecError, did_you_mean, require
from nasbench_mo.hardware import processor_name
from nasbench_mo.profiling.campaign import Probe, Quantity, Setting
from nasbench_mo.profiling.latency import LatencyProtocol, Session
from nasbench_mo.profiling.memory import resident_mib
from nasbench_mo.profiling.ondevice import PROVIDERS
from nasbench_mo.profiling.quantised import quantised

PRECISIONS = ("fp32", "int8")
#: Lines of /proc/cpuinfo that tell processors of one model name apart.
_CPU_FIELDS = ("cpu family", "model", "stepping", "cache size")


@final
class OrtBackend:
    """onnxruntime's CPU provider, or another one of those that it has here.

    Parameters
    ----------
    protocol
        How a turn is taken. The number of threads comes from the setting.
    clock
        Nanoseconds.
    provider
        Execution provider, of :data:`.ondevice.PROVIDERS`.

    Raises
    ------
    SpecError
        onnxruntime does not have the provider here.
    MissingDependencyError
        onnx or onnxruntime is not installed.
    """

    def __init__(
        self,
        protocol: LatencyProtocol,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        provider: str = "cpu",
    ) -> None:
        require("onnx", extra="profile")
        runtime: Any = require("onnxruntime", extra="profile")
        check_provider(provider, present=runtime.get_available_providers(), where="here")
        self._protocol = protocol
        self._clock = clock
        self._provider = provider

    @property
    def device(self) -> str:
        """Name of the processor, or of the GPU."""
        return _gpu_name() if self._provider in ("cuda", "tensorrt") else processor_name()

    @property
    def runtime(self) -> str:
        """onnxruntime with its version, and the provider where it is not that of the processor."""
        return runtime_name(version("onnxruntime"), provider=self._provider)

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
            if self._provider != "cpu":
                raise SpecError(f"memory is measured with the provider cpu, not with {self._provider}")
            return lambda: resident_mib(ready, n_threads=n_threads)
        if quantity != "latency":
            raise SpecError(f"onnxruntime measures latency and memory here; got {quantity!r}")
        session = Session(ready, n_threads=n_threads, seed=0, provider=self._provider)
        protocol = dataclasses.replace(self._protocol, n_threads=n_threads)
        return lambda: 1000 * session.turn_ms(protocol, clock=self._clock)


@lru_cache(maxsize=1)
def _quantised(model: bytes) -> bytes:
    """The last one is kept, for the next number of threads."""
    return quantised(model)


def check_provider(provider: str, *, present: Sequence[str], where: str) -> None:
    """Refuse an execution provider that onnxruntime does not have.

    Parameters
    ----------
    provider
        Short name.
    present
        Providers as onnxruntime names them.
    where
        ``"here"``, or the device; for the message.

    Raises
    ------
    SpecError
        It is unknown, or absent; the message lists those that are present.
    """
    if provider not in PROVIDERS:
        raise SpecError(
            f"the execution providers are {', '.join(PROVIDERS)}; got {provider!r}.{did_you_mean(provider, PROVIDERS)}"
        )
    if PROVIDERS[provider][0] not in present:
        known = [name for name, (first, *_) in PROVIDERS.items() if first in present]
        raise SpecError(
            f"onnxruntime has no provider {provider!r} {where}; present: {', '.join(known) or 'none'}. Take one of "
            f"them, or install a build of onnxruntime with {PROVIDERS[provider][0]}"
        )


def runtime_name(found: str, *, provider: str) -> str:
    """onnxruntime with a version and a provider, as objectives name it."""
    return f"onnxruntime {found}" + ("" if provider == "cpu" else f", {PROVIDERS[provider][0]}")


def _gpu_name() -> str:
    """What torch calls the GPU, where torch sees it."""
    try:
        torch: Any = require("torch", extra="train")
        return str(torch.cuda.get_device_name(0))
    except (MissingDependencyError, RuntimeError, AssertionError):
        return "NVIDIA GPU"


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
