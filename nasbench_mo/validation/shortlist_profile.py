"""What a shortlist's networks cost on a device: latency quantiles of runs that take turns, and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import NasbenchMoError
from nasbench_mo.profiling.campaign import Probe, Quantity, Setting
from nasbench_mo.profiling.cpu import OrtBackend
from nasbench_mo.profiling.gpu import cuda_backend
from nasbench_mo.profiling.latency import LatencyProtocol
from nasbench_mo.profiling.onnx_graph import onnx_network
from nasbench_mo.space.nb201 import Skeleton

#: Quantiles of the single runs that are reported.
QUANTILES = (10, 50, 90, 99)
#: The trained networks: single runs, as many as a 99 % quantile needs at least.
DEPLOYED = LatencyProtocol(rounds=200, runs=1, warm_up=2, quantile=0.5)
#: The networks that the problem predicts, as the device tables measure them: the shortest of some runs in each turn.
AS_PREDICTED = LatencyProtocol(rounds=12, runs=3, warm_up=2, quantile=0.1)
#: What a network can do wrong while it is built, loaded or run.
FAILURES = (NasbenchMoError, RuntimeError, ValueError, ArithmeticError, MemoryError, OSError)

#: Called with the turns that are done and their number.
Progress = Callable[[int, int], None]


class Backend(Protocol):
    """Where a graph runs: :class:`.OrtBackend` or :class:`.TorchBackend`."""

    @property
    def device(self) -> str:
        """Name of the device."""

    @property
    def runtime(self) -> str:
        """Name and version of what runs the graph."""

    def probe(self, model: bytes, setting: Setting, *, quantity: Quantity) -> Probe:
        """A function that measures once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Costs of n networks on one device, one image at a time in single precision.

    Parameters
    ----------
    device, runtime
        Where and with what they ran.
    latency_us
        Name, ``p10`` for the 10 % quantile, to (n,) microseconds of the trained networks; NaN where one failed.
    noise_percent
        Median relative difference between the medians over the even and over the odd runs.
    as_predicted_us
        (n,) microseconds of the same cells in the skeleton that the problem predicts; None where that is not known.
    memory_mib
        (n,) memory that a process grows by to run a trained network; NaN where not known.
    failures
        Architecture to what went wrong.
    no_memory_because
        Why no memory is known, where none is.
    """

    device: str
    runtime: str
    latency_us: Mapping[str, NDArray[np.float64]]
    noise_percent: float
    as_predicted_us: NDArray[np.float64] | None
    memory_mib: NDArray[np.float64]
    failures: Mapping[str, str]
    no_memory_because: str | None

    def to_dict(self) -> dict[str, Any]:
        """Types that JSON has; a missing value is null."""
        return {
            "device": self.device,
            "runtime": self.runtime,
            "latency_us": {name: _plain(values) for name, values in self.latency_us.items()},
            "noise_percent": _plain(np.array([self.noise_percent]))[0],
            "as_predicted_us": None if self.as_predicted_us is None else _plain(self.as_predicted_us),
            "memory_mib": _plain(self.memory_mib),
            "failures": dict(self.failures),
            "no_memory_because": self.no_memory_because,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Profile:
        """Of :meth:`to_dict`."""
        predicted = fields["as_predicted_us"]
        return cls(
            device=fields["device"],
            runtime=fields["runtime"],
            latency_us={name: np.array(values, dtype=np.float64) for name, values in fields["latency_us"].items()},
            noise_percent=float("nan") if fields["noise_percent"] is None else fields["noise_percent"],
            as_predicted_us=None if predicted is None else np.array(predicted, dtype=np.float64),
            memory_mib=np.array(fields["memory_mib"], dtype=np.float64),
            failures=fields["failures"],
            no_memory_because=fields["no_memory_because"],
        )


def backend_of(device: str, *, protocol: LatencyProtocol) -> Backend:
    """What measures on a torch device: onnxruntime on the processor, torch's captured graphs on a GPU.

    Raises
    ------
    SpecError
        There is no such GPU.
    MissingDependencyError
        A library is not installed.
    """
    if device.startswith("cuda"):
        _, _, index = device.partition(":")
        return cuda_backend(protocol, energy=None, index=int(index or 0))
    return OrtBackend(protocol)


def profile(
    archs: Sequence[str],
    *,
    skeleton: Skeleton,
    as_predicted: Skeleton | None,
    device: str,
    seed: int = 0,
    progress: Progress | None = None,
) -> Profile:
    """Measure n networks, which take turns in a new random order every round.

    Weights are random ones: they cost the same time.

    Parameters
    ----------
    archs
        Published strings of NAS-Bench-201.
    skeleton, as_predicted
        Of the trained networks, and of those that the problem predicts latencies of.
    device
        torch device; everything but a GPU is measured on the processor.
    """
    backend = backend_of(device, protocol=DEPLOYED)
    failures: dict[str, str] = {}
    deployed = _Turns(archs, backend=backend, skeleton=skeleton, failures=failures)
    turns_us = deployed.measure(rounds=DEPLOYED.rounds, seed=seed, progress=progress)
    predicted_us = None
    if as_predicted is not None:
        other = _Turns(
            archs, backend=backend_of(device, protocol=AS_PREDICTED), skeleton=as_predicted, failures=failures
        )
        predicted_us = _quantile(other.measure(rounds=AS_PREDICTED.rounds, seed=seed), AS_PREDICTED.quantile)
    memory_mib, why = _memory(archs, backend=backend, skeleton=skeleton, device=device)
    return Profile(
        device=backend.device,
        runtime=backend.runtime,
        latency_us={f"p{q}": _quantile(turns_us, q / 100) for q in QUANTILES},
        noise_percent=_noise_percent(turns_us),
        as_predicted_us=predicted_us,
        memory_mib=memory_mib,
        failures=failures,
        no_memory_because=why,
    )


class _Turns:
    """The networks that could be loaded, and their turns."""

    def __init__(self, archs: Sequence[str], *, backend: Backend, skeleton: Skeleton, failures: dict[str, str]) -> None:
        self._n = len(archs)
        self._probes: dict[int, Probe] = {}
        for i, arch in enumerate(archs):
            try:
                model = onnx_network(arch, skeleton=skeleton)
                self._probes[i] = backend.probe(model, _setting(backend), quantity="latency")
            except FAILURES as error:
                failures[arch] = reason(error)

    def measure(self, *, rounds: int, seed: int, progress: Progress | None = None) -> NDArray[np.float64]:
        """Microseconds of every turn, (n, rounds); NaN for networks that could not be loaded."""
        turns_us = np.full((self._n, rounds), np.nan)
        rng = np.random.default_rng(seed)
        loaded = np.array(sorted(self._probes), dtype=int)
        for r in range(rounds):
            for i in rng.permutation(loaded).tolist():
                turns_us[i, r] = self._probes[i]()
            if progress is not None:
                progress(r + 1, rounds)
        return turns_us


def reason(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _setting(backend: Backend) -> Setting:
    return Setting(precision="fp32", n_threads=1 if isinstance(backend, OrtBackend) else None)


def _memory(
    archs: Sequence[str], *, backend: Backend, skeleton: Skeleton, device: str
) -> tuple[NDArray[np.float64], str | None]:
    memory_mib = np.full(len(archs), np.nan)
    if not isinstance(backend, OrtBackend):
        return memory_mib, f"memory is measured on a processor only, not on {device}"
    why = None
    for i, arch in enumerate(archs):
        try:
            model = onnx_network(arch, skeleton=skeleton)
            memory_mib[i] = backend.probe(model, _setting(backend), quantity="memory")()
        except FAILURES as error:
            why = reason(error)
    return memory_mib, why


def _quantile(turns_us: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """Of each row; a row of missing values has a missing quantile."""
    return np.array([np.nan if np.isnan(row).any() else np.quantile(row, q) for row in turns_us])


def _noise_percent(turns_us: NDArray[np.float64]) -> float:
    known = turns_us[~np.isnan(turns_us).any(axis=1)]
    if not len(known) or known.shape[1] < 2:
        return float("nan")
    first, second = np.median(known[:, ::2], axis=1), np.median(known[:, 1::2], axis=1)
    return float(100 * np.median(np.abs(first - second) / np.minimum(first, second)))


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]
