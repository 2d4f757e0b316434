"""torch on a CUDA GPU: latency of captured graphs by CUDA events, energy by the GPU's own counter through Zeus.

A captured graph is replayed by one call, so the time is the GPU's and not that of Python launching kernels. What reads
the time and the energy is a part of its own, so that everything else runs, and is tested, on CPU tensors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol, final

from nasbench_mo.errors import SpecError, require
from nasbench_mo.profiling.campaign import Probe, Quantity, Setting
from nasbench_mo.profiling.device_spec import PRECISIONS, EnergySpec
from nasbench_mo.profiling.energy import Windows, ZeusCounter, energy_uj
from nasbench_mo.profiling.latency import LatencyProtocol
from nasbench_mo.profiling.torch_graph import TorchGraph

#: Starts one run of a graph; on a GPU it returns before the run ends.
Run = Callable[[], object]


class Device(Protocol):
    """What a backend needs of a GPU: to capture, to time, to count energy, and to say what it is."""

    @property
    def torch_device(self) -> str:
        """Where tensors live."""

    @property
    def name(self) -> str:
        """Model of the GPU."""

    def identity(self) -> dict[str, Any]:
        """Device, driver and versions, of types that JSON has."""

    def capture(self, run: Run) -> Run:
        """The same work as one call."""

    def durations_us(self, run: Run, *, runs: int) -> list[float]:
        """Microseconds of each of some runs, on the device's own clock."""

    def window(self, work: Callable[[], None]) -> tuple[float, float]:
        """Joules of the whole device, and seconds, from before to after some work."""

    def wait(self, seconds: float) -> None:
        """Leave the device idle."""


@final
class TorchBackend:
    """Graphs in torch on a device.

    Parameters
    ----------
    device
        The device.
    protocol
        Runs and warm-up of a turn.
    energy
        How energy is measured; None where it is not.
    """

    def __init__(self, device: Device, *, protocol: LatencyProtocol, energy: EnergySpec | None) -> None:
        self._device = device
        self._protocol = protocol
        self._energy = energy

    @property
    def device(self) -> str:
        """Model of the GPU."""
        return self._device.name

    @property
    def runtime(self) -> str:
        """torch with its version, and how the graphs run."""
        return f"torch {version('torch')}, CUDA graphs, channels_last"

    def identity(self) -> dict[str, Any]:
        """Device and versions."""
        return {"device": self.device, **self._device.identity()}

    def probe(self, model: bytes, setting: Setting, *, quantity: Quantity) -> Probe:
        """A captured graph."""
        known = PRECISIONS["torch-cuda"]
        if setting.precision not in known or setting.n_threads is not None:
            raise SpecError(f"torch on a GPU runs {', '.join(known)} and has no threads to choose; got {setting}")
        graph = TorchGraph(model, device=self._device.torch_device, precision=setting.precision)
        replay = self._device.capture(graph.run)
        if quantity == "latency":
            return lambda: self._turn_us(graph, replay)
        if quantity != "energy" or self._energy is None:
            raise SpecError(f"a GPU has latency, and energy where the specification asks for it; got {quantity!r}")
        return lambda: self._energy_uj(graph, replay)

    def _turn_us(self, graph: TorchGraph, replay: Run) -> float:
        """Shortest of the timed runs of one turn. The graph is held alive: a captured one reads its tensors."""
        del graph
        for _ in range(self._protocol.warm_up):
            replay()
        return min(self._device.durations_us(replay, runs=self._protocol.runs))

    def _energy_uj(self, graph: TorchGraph, replay: Run) -> float:
        """Energy of one run above that of the waiting device.

        Raises
        ------
        ArtifactError
            The counter did not move in the window.
        """
        spec = self._energy
        assert spec is not None  # or there was no such probe
        one_us = self._turn_us(graph, replay)
        return energy_uj(
            replay,
            counter=self._device,
            windows=Windows(busy_s=spec.window_s, idle_s=spec.idle_s),
            one_us=one_us,
            wait=self._device.wait,
        )


def cuda_backend(protocol: LatencyProtocol, *, energy: EnergySpec | None, index: int = 0) -> TorchBackend:
    """The GPU of this machine.

    Parameters
    ----------
    protocol
        Runs and warm-up of a turn.
    energy
        How energy is measured; None where it is not.
    index
        Which GPU, of those that CUDA sees.

    Raises
    ------
    SpecError
        There is no CUDA device.
    MissingDependencyError
        torch or onnx is not installed, or Zeus where energy is asked for.
    """
    torch: Any = require("torch", extra="train")
    require("onnx", extra="profile")
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise SpecError(
            f"no CUDA device {index}: torch {torch.__version__} sees {torch.cuda.device_count()} here; build the CPU "
            "table instead (runtime: onnxruntime), or give the same command on a machine with a GPU"
        )
    return TorchBackend(CudaDevice(index, with_energy=energy is not None), protocol=protocol, energy=energy)


@final
class CudaDevice:
    """A CUDA GPU.

    Single precision is single precision: TF32 is off while graphs are captured. cuDNN chooses its algorithms by trial.

    Parameters
    ----------
    index
        Which GPU, of those that CUDA sees.
    with_energy
        Whether energy will be asked for, which needs Zeus.
    """

    def __init__(self, index: int, *, with_energy: bool) -> None:
        self._torch: Any = require("torch", extra="train")
        self._index = index
        self._counter = ZeusCounter(index, wait_for_torch=True) if with_energy else None

    @property
    def torch_device(self) -> str:
        """Where tensors live."""
        return f"cuda:{self._index}"

    @property
    def name(self) -> str:
        """Model of the GPU."""
        return str(self._torch.cuda.get_device_name(self._index))

    def identity(self) -> dict[str, Any]:
        """Model, memory, driver and versions."""
        found = self._torch.cuda.get_device_properties(self._index)
        names = ["torch", "onnx", "nasbench-mo", *(["zeus-ml"] if self._counter is not None else [])]
        return {
            "capability": f"{found.major}.{found.minor}",
            "multiprocessors": int(found.multi_processor_count),
            "memory_mib": int(found.total_memory) >> 20,
            "cuda": str(self._torch.version.cuda),
            "cudnn": int(self._torch.backends.cudnn.version() or 0),
            "versions": {name: version(name) for name in names},
        }

    def capture(self, run: Run) -> Run:
        """Capture some work in a CUDA graph, after trial runs on a side stream, as torch's manual asks."""
        cuda = self._torch.cuda
        with cuda.device(self._index), self._torch.backends.cudnn.flags(benchmark=True, allow_tf32=False):
            side = cuda.Stream()
            side.wait_stream(cuda.current_stream())
            with cuda.stream(side):
                for _ in range(3):
                    run()
            cuda.current_stream().wait_stream(side)
            graph = cuda.CUDAGraph()
            with cuda.graph(graph):
                run()
        replay: Run = graph.replay
        return replay

    def durations_us(self, run: Run, *, runs: int) -> list[float]:
        """By a pair of events around each run."""
        cuda = self._torch.cuda
        with cuda.device(self._index):
            pairs = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(runs)]
            for begin, end in pairs:
                begin.record()
                run()
                end.record()
            cuda.synchronize()
        return [1000 * begin.elapsed_time(end) for begin, end in pairs]

    def window(self, work: Callable[[], None]) -> tuple[float, float]:
        """One window of Zeus, which waits for the GPU at both ends."""
        assert self._counter is not None  # or nobody asks for energy
        return self._counter.window(work)

    def wait(self, seconds: float) -> None:
        """Sleep, when all work has ended."""
        self._torch.cuda.synchronize(self._index)
        time.sleep(seconds)
