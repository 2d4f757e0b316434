"""Latency of ONNX models on this machine's processor, through onnxruntime.

Models take turns in a new random order every round, so that a slow minute of the machine falls on all of them alike; a
low quantile over the rounds is robust against interruptions, which only ever add time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError, SpecError, require
from nasbench_mo.profiling import ondevice

#: Called with the rounds that are done and their number.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyProtocol:
    """How latency is measured.

    Parameters
    ----------
    rounds
        Turns that each model gets.
    runs
        Timed runs in a turn; their shortest counts.
    warm_up
        Runs in a turn before the timed ones.
    n_threads
        Threads inside an operator.
    quantile
        Of the turns, the statistic that is reported.
    block
        Models that take turns with each other; a block is finished before the next one begins, which bounds memory.
    """

    rounds: int = 20
    runs: int = 5
    warm_up: int = 2
    n_threads: int = 1
    quantile: float = 0.10
    block: int = 500

    def __post_init__(self) -> None:
        for name in ("rounds", "runs", "n_threads", "block"):
            if getattr(self, name) < 1:
                raise SpecError(f"latency protocol: {name} must be at least 1, got {getattr(self, name)}")
        if self.warm_up < 0 or not 0 <= self.quantile <= 1:
            raise SpecError(
                f"latency protocol: expected warm_up >= 0 and a quantile of 0 to 1, got {self.warm_up} and "
                f"{self.quantile}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Measured latencies of n models.

    Parameters
    ----------
    latency_ms
        (n,) quantile over all rounds.
    halves_ms
        (n, 2) the same over the even and over the odd rounds: two measurements, whose difference is the noise.
    """

    latency_ms: NDArray[np.float64]
    halves_ms: NDArray[np.float64]

    @property
    def noise_percent(self) -> float:
        """Median relative difference of the two halves, in percent."""
        first, second = self.halves_ms.T
        return float(100 * np.median(np.abs(first - second) / np.minimum(first, second)))


def measure_latency(
    models: Sequence[Callable[[], bytes]],
    *,
    protocol: LatencyProtocol,
    seed: int = 0,
    progress: Progress | None = None,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Latencies:
    """Measure models in blocks that take turns.

    Parameters
    ----------
    models
        n functions, each of which makes a serialised ONNX model when its block begins.
    protocol
        How.
    seed
        Of the order in each round and of the input.
    clock
        Nanoseconds.

    Raises
    ------
    MissingDependencyError
        onnxruntime is not installed.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(models))  # so that a block is a fair sample, not a neighbourhood
    turns_ms = np.empty((len(models), protocol.rounds))
    n_blocks = -(-len(models) // protocol.block)
    for b in range(n_blocks):
        members = order[b * protocol.block : (b + 1) * protocol.block]
        sessions = [Session(models[i](), n_threads=protocol.n_threads, seed=seed) for i in members]
        for r in range(protocol.rounds):
            for i in rng.permutation(len(members)):
                turns_ms[members[i], r] = sessions[i].turn_ms(protocol, clock=clock)
            if progress is not None:
                progress(b * protocol.rounds + r + 1, n_blocks * protocol.rounds)
    return Latencies(
        latency_ms=np.quantile(turns_ms, protocol.quantile, axis=1),
        halves_ms=np.stack([np.quantile(turns_ms[:, k::2], protocol.quantile, axis=1) for k in (0, 1)], axis=1)
        if protocol.rounds > 1
        else np.full((len(models), 2), np.nan),
    )


class Session:
    """A model that onnxruntime has loaded, with an input of its own.

    Parameters
    ----------
    model
        Serialised ONNX model with one input, or the file that holds it.
    n_threads
        Threads inside an operator.
    seed
        Of the input's values.
    provider
        Execution provider, of :data:`.ondevice.PROVIDERS`.

    Raises
    ------
    FormatError
        It is no model that onnxruntime loads.
    MissingDependencyError
        onnxruntime is not installed.
    RuntimeError
        onnxruntime takes another provider than the one asked for.
    """

    def __init__(self, model: bytes | str, *, n_threads: int, seed: int, provider: str = "cpu") -> None:
        require("onnxruntime", extra="profile")
        try:
            self._session: Any = ondevice.session(model, provider=provider, n_threads=n_threads)
        except RuntimeError:
            raise
        except Exception as error:  # onnxruntime's errors have no common base of their own
            raise FormatError(f"onnxruntime does not load the model: {' '.join(str(error).split())[:300]}") from error
        self._feed = ondevice.feed_of(self._session, seed=seed)

    def run(self) -> object:
        """Run once."""
        return self._session.run(None, self._feed)

    def turn_ms(self, protocol: LatencyProtocol, *, clock: Callable[[], int]) -> float:
        """Shortest of the timed runs of one turn."""
        run, feed = self._session.run, self._feed
        return (
            ondevice.shortest_us(lambda: run(None, feed), warm_up=protocol.warm_up, runs=protocol.runs, clock=clock)
            / 1e3
        )
