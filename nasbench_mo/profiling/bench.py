"""Where the networks of a shortlist are measured, and what comes of it: one reading after the other.

A bench says each reading as soon as it has it, so that whoever listens can keep it before anything goes wrong.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, final

from nasbench_mo.errors import ArtifactError, DeviceError, NasbenchMoError
from nasbench_mo.profiling import ondevice
from nasbench_mo.profiling.campaign import Backend, Probe, Quantity, Setting
from nasbench_mo.profiling.cpu import OrtBackend, check_provider, runtime_name
from nasbench_mo.profiling.energy import EnergyCounter, Windows, energy_uj, windows_for
from nasbench_mo.profiling.latency import LatencyProtocol
from nasbench_mo.profiling.memory import TINY, tiny_model
from nasbench_mo.profiling.remote import RemoteDevice

#: Series of readings that are not latencies.
MEMORY, ENERGY, UNSTEADY = "memory", "energy", "unsteady"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Models that take turns.

    Parameters
    ----------
    name
        Of the series.
    models
        Key to serialised model.
    rounds
        Numbers of the rounds to measure: a number stands for an order of the models.
    protocol
        Runs and warm-up of a turn.
    settle
        Whether each model is run before its first turn until its time no longer changes.
    """

    name: str
    models: Mapping[str, bytes]
    rounds: tuple[int, ...]
    protocol: LatencyProtocol
    settle: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A value: microseconds, microjoules or mebibytes; of the series :data:`UNSTEADY`, 1 for a model that never was."""

    series: str
    key: str
    round: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A model that could not be loaded or run, or a quantity of it that could not be measured."""

    series: str
    key: str
    why: str


class Bench(Protocol):
    """A device with a runtime."""

    @property
    def device(self) -> str:
        """Name of the device."""

    @property
    def runtime(self) -> str:
        """Name and version of the runtime."""

    @property
    def cores(self) -> tuple[int, ...] | None:
        """Cores that the runs were kept on; None where they were not, or before they began."""

    def identity(self) -> Mapping[str, Any]:
        """Machine and versions: readings of two identities must not be mixed. Of types that JSON has."""

    def readings(
        self, series: tuple[Series, ...], *, memory: Mapping[str, bytes], energy: Mapping[str, bytes]
    ) -> Iterator[Reading | Failed]:
        """Latencies of some series, then memory and energy of some models."""


@final
class LocalBench:
    """This machine.

    Parameters
    ----------
    backend_of
        Makes a backend for a protocol.
    setting
        How models run.
    counter
        Of energy; None where there is none.
    no_energy_because
        Why not.
    energy_backend_of
        Makes a backend that measures energy in some windows; by default runs are counted one after the other.
    """

    def __init__(
        self,
        backend_of: Callable[[LatencyProtocol], Backend],
        *,
        setting: Setting,
        counter: EnergyCounter | None,
        no_energy_because: str | None,
        energy_backend_of: Callable[[Windows], Backend] | None = None,
    ) -> None:
        self._energy_backend_of = energy_backend_of
        self._backend_of = backend_of
        self._backend = backend_of(LatencyProtocol())
        self._setting = setting
        self._counter = counter
        self._no_energy_because = no_energy_because
        self.cores: tuple[int, ...] | None = None

    @property
    def device(self) -> str:
        """Name of the device."""
        return self._backend.device

    @property
    def runtime(self) -> str:
        """Name and version of the runtime."""
        return self._backend.runtime

    def identity(self) -> Mapping[str, Any]:
        """Machine and versions."""
        return self._backend.identity()

    def readings(
        self, series: tuple[Series, ...], *, memory: Mapping[str, bytes], energy: Mapping[str, bytes]
    ) -> Iterator[Reading | Failed]:
        """Latencies, memory, energy."""
        with self._kept_on_cores():
            for one in series:
                yield from self._latencies(one)
        for key, model in memory.items():
            yield from self._once(MEMORY, key, partial(self._memory, model))
        if energy and self._counter is None:
            why = self._no_energy_because or "no counter"
            yield from (Failed(series=ENERGY, key=key, why=why) for key in energy)
        elif energy and self._counter is not None:
            with self._kept_on_cores():
                yield from self._energies(energy, counter=self._counter)

    @contextlib.contextmanager
    def _kept_on_cores(self) -> Iterator[None]:
        if self._setting.n_threads is None:  # the work is a GPU's
            yield
            return
        with ondevice.pinned(self._setting.n_threads) as cores:
            self.cores = cores
            yield

    def _latencies(self, series: Series) -> Iterator[Reading | Failed]:
        backend = self._backend_of(series.protocol)
        probes: dict[str, Probe] = {}
        for key, model in series.models.items():
            try:
                probe = backend.probe(model, self._setting, quantity="latency")
                if series.settle and not ondevice.settle(probe):
                    yield Reading(series=UNSTEADY, key=key, round=0, value=1.0)
            except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no other base
                yield Failed(series=series.name, key=key, why=ondevice.reason(error))
            else:
                probes[key] = probe
        for r, key, value in ondevice.turns(probes, series.rounds, seed=0):
            if isinstance(value, Exception):
                yield Failed(series=series.name, key=key, why=ondevice.reason(value))
            else:
                yield Reading(series=series.name, key=key, round=r, value=value)

    def _energies(self, models: Mapping[str, bytes], *, counter: EnergyCounter) -> Iterator[Reading | Failed]:
        try:
            windows = windows_for(counter)
        except NasbenchMoError as error:
            yield from (Failed(series=ENERGY, key=key, why=str(error)) for key in models)
            return
        for key, model in models.items():
            yield from self._once(ENERGY, key, partial(self._energy, model, counter=counter, windows=windows))

    def _energy(self, model: bytes, *, counter: EnergyCounter, windows: Windows) -> float:
        if self._energy_backend_of is not None:
            found = self._energy_backend_of(windows).probe(model, self._setting, quantity="energy")()
        else:
            probe = self._probe(model, "latency")  # turns of one run
            probe()
            began = time.perf_counter()
            probe()
            one_us = 1e6 * (time.perf_counter() - began)
            found = energy_uj(probe, counter=counter, windows=windows, one_us=one_us)
        if found <= 0:
            raise ArtifactError(
                f"the runs took no more energy than {counter.name} takes idle; leave nothing else running"
            )
        return found

    def _memory(self, model: bytes) -> float:
        return self._probe(model, "memory")()

    def _probe(self, model: bytes, quantity: Quantity) -> Probe:
        single = LatencyProtocol(rounds=1, runs=1, warm_up=0)
        return self._backend_of(single).probe(model, self._setting, quantity=quantity)

    @staticmethod
    def _once(series: str, key: str, measure: Callable[[], float]) -> Iterator[Reading | Failed]:
        try:
            value = measure()
        except Exception as error:  # noqa: BLE001 - as above
            yield Failed(series=series, key=key, why=ondevice.reason(error))
        else:
            yield Reading(series=series, key=key, round=0, value=value)


@final
class RemoteBench:
    """A device that is reached by SSH and has Python, NumPy and onnxruntime.

    Parameters
    ----------
    remote
        The device.
    provider, n_threads
        How models run there.

    Raises
    ------
    DeviceError
        It does not answer, or lacks something.
    SpecError
        Its onnxruntime has no such provider.
    """

    def __init__(self, remote: RemoteDevice, *, provider: str, n_threads: int) -> None:
        self._remote = remote
        self._found = remote.identity()
        check_provider(provider, present=self._found["providers"], where=f"on {remote.url}")
        self._provider = provider
        self._n_threads = n_threads
        self.cores: tuple[int, ...] | None = None

    @property
    def device(self) -> str:
        """What the device calls itself."""
        return str(self._found["device"])

    @property
    def runtime(self) -> str:
        """onnxruntime there."""
        return runtime_name(self._found["versions"]["onnxruntime"], provider=self._provider)

    def identity(self) -> Mapping[str, Any]:
        """Machine and versions, as the device says them."""
        return self._found

    def readings(
        self, series: tuple[Series, ...], *, memory: Mapping[str, bytes], energy: Mapping[str, bytes]
    ) -> Iterator[Reading | Failed]:
        """Latencies and memory."""
        files: dict[str, bytes] = {TINY: tiny_model()}
        asked = []
        for one in series:
            names = {key: f"{one.name}-{i}.onnx" for i, key in enumerate(one.models)}
            files |= {names[key]: model for key, model in one.models.items()}
            protocol = {"runs": one.protocol.runs, "warm_up": one.protocol.warm_up, "settle": one.settle}
            asked.append({"name": one.name, "rounds": list(one.rounds), "models": names, **protocol})
        in_memory = {key: f"memory-{i}.onnx" for i, key in enumerate(memory)}
        files |= {in_memory[key]: model for key, model in memory.items()}
        request = {"provider": self._provider, "n_threads": self._n_threads, "seed": 0, "series": asked}
        files["request.json"] = json.dumps({**request, "memory": in_memory}).encode()
        for line in self._remote.lines(files):
            yield from self._reading(line)
        yield from (Failed(series=ENERGY, key=key, why=f"it is not read on {self._remote.url}") for key in energy)

    def _reading(self, line: Mapping[str, Any]) -> Iterator[Reading | Failed]:
        if "cores" in line:
            self.cores = None if line["cores"] is None else tuple(line["cores"])
        elif "failure" in line:
            yield Failed(series=line["series"], key=line["key"], why=line["failure"])
        elif "value" in line:
            yield Reading(series=line["series"], key=line["key"], round=line["round"], value=line["value"])
        else:
            raise DeviceError(f"{self._remote.url} said {json.dumps(line)[:120]}; expected a reading")


def ort_bench(
    *, provider: str, n_threads: int, counter: EnergyCounter | None, no_energy_because: str | None
) -> LocalBench:
    """onnxruntime on this machine; see :class:`.OrtBackend` for the errors. Models run as they are."""
    return LocalBench(
        lambda protocol: OrtBackend(protocol, provider=provider),
        setting=Setting(precision="fp32", n_threads=n_threads),
        counter=counter,
        no_energy_because=no_energy_because,
    )
