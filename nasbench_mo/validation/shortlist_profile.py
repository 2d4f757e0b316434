"""What a shortlist's networks cost on a device: latency quantiles of runs that take turns, memory and energy.

Each reading is kept as soon as it is there, so that a kill, or a device that goes away, loses nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import NasbenchMoError
from nasbench_mo.profiling.bench import ENERGY, MEMORY, UNSTEADY, Bench, Failed, Reading, Series
from nasbench_mo.profiling.latency import LatencyProtocol
from nasbench_mo.profiling.ondevice import reason
from nasbench_mo.profiling.onnx_graph import onnx_network
from nasbench_mo.profiling.turns import Turn, TurnJournal
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.validation.deployment import at_precision
from nasbench_mo.validation.target import Target

__all__ = ["AS_PREDICTED", "DEPLOYED", "FAILURES", "QUANTILES", "Profile", "profile", "reason"]

#: Quantiles of the single runs that are reported.
QUANTILES = (10, 50, 90, 99)
#: The trained networks: single runs, as many as a 99 % quantile needs at least.
DEPLOYED = LatencyProtocol(rounds=200, runs=1, warm_up=2, quantile=0.5)
#: The networks that the problem predicts, as the device tables measure them: the shortest of some runs in each turn.
AS_PREDICTED = LatencyProtocol(rounds=12, runs=3, warm_up=2, quantile=0.1)
#: What a network can do wrong while it is built, loaded or run.
FAILURES = (NasbenchMoError, RuntimeError, ValueError, ArithmeticError, MemoryError, OSError)

#: Names of the two series of turns: the trained networks, and those that the problem predicts.
_TRAINED, _PREDICTED = "trained", "predicted"
#: What has no threads to choose.
_ON_GPU = ("torch", "cuda", "tensorrt")

#: Called with the rounds that are done and their number.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Costs of n networks on one device, one image at a time.

    Parameters
    ----------
    device, runtime
        Where and with what they ran.
    precision, n_threads
        In which precision, and with how many threads; None where a GPU has none to choose.
    cores
        Cores that the threads were kept on; None where they were not.
    unsteady
        Architectures whose time of a run still changed after the warm-up.
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
    energy_uj
        (n,) microjoules of one run above those of the idle device; NaN where not known.
    no_energy_because
        Why no energy is known, where none is.
    """

    device: str
    runtime: str
    latency_us: Mapping[str, NDArray[np.float64]]
    noise_percent: float
    as_predicted_us: NDArray[np.float64] | None
    memory_mib: NDArray[np.float64]
    failures: Mapping[str, str]
    no_memory_because: str | None
    energy_uj: NDArray[np.float64] | None = None
    no_energy_because: str | None = None
    precision: str = "fp32"
    n_threads: int | None = 1
    cores: tuple[int, ...] | None = None
    unsteady: tuple[str, ...] = ()

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
            "energy_uj": None if self.energy_uj is None else _plain(self.energy_uj),
            "no_energy_because": self.no_energy_because,
            "precision": self.precision,
            "n_threads": self.n_threads,
            "cores": None if self.cores is None else list(self.cores),
            "unsteady": list(self.unsteady),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Profile:
        """Of :meth:`to_dict`."""
        predicted, energy = fields["as_predicted_us"], fields["energy_uj"]
        return cls(
            device=fields["device"],
            runtime=fields["runtime"],
            latency_us={name: np.array(values, dtype=np.float64) for name, values in fields["latency_us"].items()},
            noise_percent=float("nan") if fields["noise_percent"] is None else fields["noise_percent"],
            as_predicted_us=None if predicted is None else np.array(predicted, dtype=np.float64),
            memory_mib=np.array(fields["memory_mib"], dtype=np.float64),
            failures=fields["failures"],
            no_memory_because=fields["no_memory_because"],
            energy_uj=None if energy is None else np.array(energy, dtype=np.float64),
            no_energy_because=fields["no_energy_because"],
            precision=fields["precision"],
            n_threads=fields["n_threads"],
            cores=None if fields["cores"] is None else tuple(fields["cores"]),
            unsteady=tuple(fields["unsteady"]),
        )


def profile(
    archs: Sequence[str],
    *,
    skeleton: Skeleton,
    as_predicted: Skeleton | None,
    target: Target,
    calibration: NDArray[np.float32] | None = None,
    work: Path | None = None,
    bench: Bench | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Measure n networks, which take turns in a new random order every round.

    Weights are random ones: they cost the same time. Each network first runs until its time no longer changes, and
    threads are kept on as many cores, where the system can do that.

    Parameters
    ----------
    archs
        Published strings of NAS-Bench-201.
    skeleton, as_predicted
        Of the trained networks, and of those that the problem predicts latencies of.
    target
        Where and how.
    calibration
        Normalised images (k, c, h, w) that ``int8`` is calibrated on; standard normal ones by default, as for
        ``as_predicted``, whose images may be of another size.
    work
        Folder in which readings are kept, one subfolder for each device and way of measuring; what it has is not
        measured again.
    bench
        What measures; by default the target's.
    progress
        Called after every round.

    Raises
    ------
    DeviceError
        A device behind SSH does not answer, or goes away.
    SpecError, MissingDependencyError
        As of :meth:`.Target.bench`.
    """
    bench = bench or target.bench()
    failures: dict[str, str] = {}
    precision = "fp32" if target.runs_on == "torch" else target.precision  # torch rounds a float model itself
    shapes = {_TRAINED: (skeleton, DEPLOYED, calibration)}
    if as_predicted is not None:
        shapes[_PREDICTED] = (as_predicted, AS_PREDICTED, None)
    series = tuple(
        Series(
            name=name,
            models=_models(archs, skeleton=shape, precision=precision, images=images, failures=failures),
            rounds=tuple(range(protocol.rounds)),
            protocol=protocol,
            settle=name == _TRAINED,
        )
        for name, (shape, protocol, images) in shapes.items()
    )
    identity = {
        "bench": dict(bench.identity()),
        "runtime": bench.runtime,
        "target": dataclasses.asdict(target),
        "calibration": None if calibration is None else hashlib.sha256(calibration.tobytes()).hexdigest(),
        "series": {name: [repr(part) for part in shape[:2]] for name, shape in shapes.items()},
    }
    with _journal(work, identity=identity) as journal:
        why = _measure(bench, series, journal=journal, failures=failures, progress=progress)
        turns_us = _turns(journal, _TRAINED, archs, rounds=DEPLOYED.rounds)
        predicted_us = None
        if as_predicted is not None:
            predicted_us = _quantile(
                _turns(journal, _PREDICTED, archs, rounds=AS_PREDICTED.rounds), AS_PREDICTED.quantile
            )
        memory_mib, energy_uj, unsteady = (
            _turns(journal, name, archs, rounds=1)[:, 0] for name in (MEMORY, ENERGY, UNSTEADY)
        )
    return Profile(
        device=bench.device,
        runtime=bench.runtime,
        latency_us={f"p{q}": _quantile(turns_us, q / 100) for q in QUANTILES},
        noise_percent=_noise_percent(turns_us),
        as_predicted_us=predicted_us,
        memory_mib=memory_mib,
        failures=failures,
        no_memory_because=why.get(MEMORY),
        energy_uj=energy_uj,
        no_energy_because=why.get(ENERGY),
        precision=target.precision,
        n_threads=None if target.runs_on in _ON_GPU else target.n_threads,
        cores=bench.cores,
        unsteady=tuple(arch for arch, flag in zip(archs, unsteady, strict=True) if flag == 1),
    )


def _models(
    archs: Sequence[str],
    *,
    skeleton: Skeleton,
    precision: str,
    images: NDArray[np.float32] | None,
    failures: dict[str, str],
) -> dict[str, bytes]:
    """The networks that could be built, ready to be loaded."""
    models = {}
    for arch in archs:
        try:
            models[arch] = at_precision(onnx_network(arch, skeleton=skeleton), precision=precision, images=images)
        except FAILURES as error:
            failures[arch] = reason(error)
    return models


@contextlib.contextmanager
def _journal(work: Path | None, *, identity: Mapping[str, Any]) -> Iterator[TurnJournal]:
    """Readings of one device and one way of measuring, apart from those of others."""
    with contextlib.ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        yield stack.enter_context(TurnJournal(folder / digest[:16], identity=identity))


def _measure(
    bench: Bench,
    series: Sequence[Series],
    *,
    journal: TurnJournal,
    failures: dict[str, str],
    progress: Progress | None,
) -> dict[str, str]:
    """Fill a journal with what it lacks; why there is no memory or energy, where there is none."""
    left = tuple(
        dataclasses.replace(one, rounds=rounds) for one in series if (rounds := _missing(journal, one)) and one.models
    )
    models = series[0].models
    memory, energy = (
        {arch: model for arch, model in models.items() if Turn(key=f"{name}|{arch}", number=0, round=0) not in journal}
        for name in (MEMORY, ENERGY)
    )
    why: dict[str, str] = {}
    rounds_done = 0
    journal.begin()
    for found in bench.readings(left, memory=memory, energy=energy):
        if isinstance(found, Reading):
            journal.add(Turn(key=f"{found.series}|{found.key}", number=0, round=found.round), found.value)
            if found.series == _TRAINED and found.round >= rounds_done:
                rounds_done = found.round + 1
                if progress is not None:
                    progress(rounds_done, DEPLOYED.rounds)
        elif isinstance(found, Failed) and found.series in (MEMORY, ENERGY):
            why[found.series] = found.why
        else:
            failures[found.key] = found.why
    return why


def _missing(journal: TurnJournal, series: Series) -> tuple[int, ...]:
    """Rounds that some model has not had."""
    return tuple(
        r
        for r in series.rounds
        if any(Turn(key=f"{series.name}|{key}", number=0, round=r) not in journal for key in series.models)
    )


def _turns(journal: TurnJournal, series: str, archs: Sequence[str], *, rounds: int) -> NDArray[np.float64]:
    """(n, rounds) readings of a series; NaN for those that are missing."""
    found = np.full((len(archs), rounds), np.nan)
    for i, arch in enumerate(archs):
        for r in range(rounds):
            turn = Turn(key=f"{series}|{arch}", number=0, round=r)
            if turn in journal:
                found[i, r] = journal[turn]
    return found


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
