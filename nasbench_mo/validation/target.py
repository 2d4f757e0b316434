"""Where and how a shortlist's networks are measured: a device, an execution provider, a precision, threads."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from nasbench_mo.errors import DeviceError, MissingDependencyError, SpecError, did_you_mean
from nasbench_mo.profiling.bench import Bench, LocalBench, RemoteBench, ort_bench
from nasbench_mo.profiling.campaign import Setting
from nasbench_mo.profiling.device_spec import EnergySpec
from nasbench_mo.profiling.energy import EnergyCounter, ZeusCounter
from nasbench_mo.profiling.gpu import cuda_backend
from nasbench_mo.profiling.latency import LatencyProtocol
from nasbench_mo.profiling.remote import SCHEME, Address, RemoteDevice
from nasbench_mo.training.energy import EnergyMeter

#: Execution provider, or torch on a GPU, to the precisions in which it really computes. CUDA's convolutions between
#: pairs of int8 roundings are in single precision, and TensorRT and Core ML do not take such graphs.
PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("fp32", "int8", "fp16"),
    "cuda": ("fp32", "fp16"),
    "tensorrt": ("fp32", "fp16"),
    "openvino": ("fp32", "int8", "fp16"),
    "coreml": ("fp32", "fp16"),
    "torch": ("fp32", "fp16", "bf16"),
}
#: Runs of a turn from which the length of an energy window follows.
_SINGLE = LatencyProtocol(rounds=1, runs=1, warm_up=2)
_X86 = ("x86_64", "amd64", "i386", "i686")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where and how networks are measured.

    Parameters
    ----------
    device
        torch device, ``cpu`` or ``cuda``, or a device behind SSH as of :class:`.Address`.
    provider
        Execution provider of onnxruntime: ``cpu``, ``cuda``, ``tensorrt``, ``openvino`` or ``coreml``. By default the
        processor's; on ``cuda``, torch's captured graphs instead of onnxruntime.
    precision
        ``fp32``, ``int8`` (static quantisation, calibrated on training images), ``fp16`` or ``bf16``.
    n_threads
        Threads inside an operator, kept on as many cores; of no effect on a GPU.

    Raises
    ------
    SpecError
        There is no such provider, or it does not compute in the precision.
    """

    device: str = "cpu"
    provider: str | None = None
    precision: str = "fp32"
    n_threads: int = 1

    def __post_init__(self) -> None:
        if self.n_threads < 1:
            raise SpecError(f"expected at least one thread, got {self.n_threads}")
        if self.remote:
            Address.parse(self.device)
        known = [name for name in PRECISIONS if name != "torch"]
        if self.provider is not None and self.provider not in known:
            raise SpecError(
                f"the execution providers are {', '.join(known)}; got {self.provider!r}."
                f"{did_you_mean(self.provider, known)}"
            )
        if self.precision not in PRECISIONS[self.runs_on]:
            raise SpecError(
                f"{self.runs_on} computes in {', '.join(PRECISIONS[self.runs_on])}; got precision {self.precision!r}"
            )

    @property
    def remote(self) -> bool:
        """Whether the device is behind SSH."""
        return self.device.startswith(SCHEME)

    @property
    def runs_on(self) -> str:
        """Key of :data:`PRECISIONS`."""
        if self.provider is not None:
            return self.provider
        return "torch" if self.device.startswith("cuda") else "cpu"

    def bench(self) -> Bench:
        """What measures there.

        Raises
        ------
        SpecError
            There is no such provider or GPU, or the processor does not compute in the precision.
        DeviceError
            The device does not answer, or lacks something.
        MissingDependencyError
            A library is not installed.
        """
        if self.remote:
            remote = RemoteBench(RemoteDevice(self.device), provider=self.runs_on, n_threads=self.n_threads)
            self._check_half(str(remote.identity()["machine"]), where=f"on {self.device}")
            return remote
        if self.runs_on == "torch":
            return self._torch_bench()
        self._check_half(platform.machine(), where="here")
        on_gpu = self.runs_on in ("cuda", "tensorrt")
        counter, why = _gpu_counter(self._index, wait_for_torch=False) if on_gpu else _processor_counter()
        return ort_bench(provider=self.runs_on, n_threads=self.n_threads, counter=counter, no_energy_because=why)

    def _check_half(self, machine: str, *, where: str) -> None:
        if self.runs_on == "cpu" and self.precision == "fp16" and machine.lower() in _X86:
            raise SpecError(
                f"the processor {where} ({machine}) computes fp16 in fp32, which tells nothing; take int8, or another "
                "provider"
            )

    @property
    def _index(self) -> int:
        """Which GPU."""
        return int(self.device.partition(":")[2] or 0) if self.device.startswith("cuda") else 0

    def _torch_bench(self) -> LocalBench:
        index = self._index
        counter, why = _gpu_counter(index, wait_for_torch=True)
        return LocalBench(
            lambda protocol: cuda_backend(protocol, energy=None, index=index),
            setting=Setting(precision=self.precision),
            counter=counter,
            no_energy_because=why,
            energy_backend_of=lambda windows: cuda_backend(
                _SINGLE,
                energy=EnergySpec(networks=1, window_s=windows.busy_s, idle_s=windows.idle_s),
                index=index,
            ),
        )


def _gpu_counter(index: int, *, wait_for_torch: bool) -> tuple[EnergyCounter | None, str | None]:
    """Zeus's counter of a GPU, or why there is none."""
    try:
        return ZeusCounter(index, wait_for_torch=wait_for_torch), None
    except (MissingDependencyError, RuntimeError, OSError) as error:
        return None, str(error)


def _processor_counter() -> tuple[EnergyCounter | None, str | None]:
    """The counter of this machine's processor packages, or why there is none."""
    counter = PackageCounter(EnergyMeter())
    why = counter.why_not
    return (counter, None) if why is None else (None, why)


@final
class PackageCounter:
    """The energy of the processor packages, everything that runs on them included.

    Parameters
    ----------
    meter
        Reads their counters.
    clock
        Seconds.
    """

    name = "the processor packages"

    def __init__(self, meter: EnergyMeter, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._meter = meter
        self._clock = clock

    @property
    def why_not(self) -> str | None:
        """Why the counters cannot be read; None where they can."""
        self._meter.start()
        return self._meter.stop().why_not

    def window(self, work: Callable[[], None]) -> tuple[float, float]:
        """Joules and seconds from before to after some work.

        Raises
        ------
        DeviceError
            The counters can no longer be read.
        """
        self._meter.start()
        began = self._clock()
        work()
        seconds = self._clock() - began
        energy = self._meter.stop()
        if energy.joules is None:
            raise DeviceError(f"{self.name} counted no energy: {energy.why_not}; measure again")
        return energy.joules, seconds
