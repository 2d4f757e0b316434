"""Measure ONNX models on the device that this file lies on. It needs Python 3.8, NumPy and onnxruntime, nothing else.

``python3 ondevice.py --identity`` says what the device is, in one JSON line. ``python3 ondevice.py FOLDER`` does what
``FOLDER/request.json`` asks for and says each reading at once, one JSON line each, so that whoever listens has it.

The package uses the same functions for the machine it runs on: a network is measured alike here and far away.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: Short name to onnxruntime's execution providers, the wanted one first.
PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "openvino": ("OpenVINOExecutionProvider",),
    "coreml": ("CoreMLExecutionProvider",),
}
#: A model is warm when two medians in succession, each of so many runs, differ by no more than this share of the one
#: before; after so many seconds it is measured as it is.
SETTLE_RUNS, SETTLE_SHARE, SETTLE_S = 5, 0.02, 2.0
_MEMORY_RUNS = 3
_STATUS = Path("/proc/self/status")


def session(model: bytes | str, *, provider: str, n_threads: int) -> Any:
    """A model that onnxruntime has loaded for one execution provider and for no other.

    Raises
    ------
    RuntimeError
        onnxruntime took another provider, whose latencies would go under the wanted one's name.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if n_threads > 1:  # or idle threads of one session keep a core busy while the next one has its turn
        options.add_session_config_entry("session.force_spinning_stop", "1")
    wanted = PROVIDERS[provider]
    if provider != "cpu":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    made = onnxruntime.InferenceSession(model, options, providers=list(wanted))
    if made.get_providers()[0] != wanted[0]:
        raise RuntimeError(
            f"onnxruntime took {made.get_providers()[0]} instead of {wanted[0]}: a library of the latter is missing "
            "or does not fit"
        )
    return made


def feed_of(loaded: Any, *, seed: int) -> dict[str, Any]:
    """Standard normal values for the one input of a loaded model."""
    (given,) = loaded.get_inputs()
    kind = np.float16 if given.type == "tensor(float16)" else np.float32
    return {given.name: np.random.default_rng(seed).standard_normal(given.shape).astype(kind)}


def shortest_us(
    run: Callable[[], object], *, warm_up: int, runs: int, clock: Callable[[], int] = time.perf_counter_ns
) -> float:
    """Microseconds of the shortest of some timed runs, after some that are not timed."""
    for _ in range(warm_up):
        run()
    best = np.inf
    for _ in range(runs):
        began = clock()
        run()
        best = min(best, clock() - began)
    return best / 1e3


def settle(run: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> bool:
    """Run until the time of a run no longer changes; whether it came to that."""
    before, agreed, began = np.inf, 0, clock()
    while agreed < 2:
        times = []
        for _ in range(SETTLE_RUNS):
            start = clock()
            run()
            times.append(clock() - start)
        median = sorted(times)[SETTLE_RUNS // 2]
        agreed = agreed + 1 if abs(median - before) <= SETTLE_SHARE * before else 0
        if agreed < 2 and clock() - began > SETTLE_S:
            return False
        before = median
    return True


@contextlib.contextmanager
def pinned(n_threads: int) -> Iterator[tuple[int, ...] | None]:
    """Keep this thread, and those it starts, on as many cores as there are threads; None where that cannot be.

    They are the last of the cores that may be used: the first one serves the system's interrupts, and where cores are
    of two kinds the fast ones come last.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    chosen = tuple(sorted(before)[-n_threads:])
    try:
        os.sched_setaffinity(0, chosen)
    except OSError:
        chosen = ()
    try:
        yield chosen if len(chosen) == n_threads else None
    finally:
        os.sched_setaffinity(0, before)


def turns(
    probes: Mapping[str, Callable[[], float]], rounds: Iterable[int], *, seed: int
) -> Iterator[tuple[int, str, float | Exception]]:
    """Round, key and value of every turn: each round a new order, of a seed and a round always the same.

    What a probe raises takes the value's place, and it has no more turns.
    """
    left = dict(probes)
    for r in rounds:
        keys = list(probes)
        for i in np.random.default_rng([seed, r]).permutation(len(keys)).tolist():
            if keys[i] not in left:
                continue
            try:
                yield r, keys[i], left[keys[i]]()
            except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no other base
                del left[keys[i]]
                yield r, keys[i], error


def growth_kib(model: str, *, tiny: bytes | str, n_threads: int) -> int:
    """By how much this process grows that loads and runs a model, having run a tiny one before.

    To be called once in a process. Needs /proc.
    """
    _run(tiny, n_threads=n_threads)
    before = status_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak of the start
    _run(model, n_threads=n_threads)
    return status_kib("VmHWM") - before


def status_kib(field: str) -> int:
    """A figure of this process in KiB."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_STATUS} has no {field}")
    return int(found[1])


def reason(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def identity() -> dict[str, Any]:
    """What this device is, of types that JSON has."""
    import onnxruntime

    return {
        "device": device_name(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "versions": {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
        "providers": list(onnxruntime.get_available_providers()),
    }


def device_name() -> str:
    """The model of the board or phone where it has one, else of the processor."""
    board = Path("/proc/device-tree/model")  # Raspberry Pi, Jetson
    if board.is_file():
        return board.read_text(encoding="utf-8", errors="replace").strip("\x00 \n")
    with contextlib.suppress(OSError):  # Android
        found = subprocess.run(["getprop", "ro.product.model"], capture_output=True, text=True, check=False)
        if found.stdout.strip():
            return found.stdout.strip()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.partition(":")[0].strip() == "model name":
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _run(model: bytes | str, *, n_threads: int) -> None:
    loaded = session(model, provider="cpu", n_threads=n_threads)
    feed = feed_of(loaded, seed=0)
    for _ in range(_MEMORY_RUNS):
        loaded.run(None, feed)


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _measure(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    n_threads, provider = request["n_threads"], request["provider"]
    with pinned(n_threads) as cores:
        _say(cores=cores)
        for series in request["series"]:
            probes = {}
            for key, file in series["models"].items():
                try:
                    run = _runner(str(folder / file), provider=provider, n_threads=n_threads)
                    if series["settle"] and not settle(run):
                        _say(series="unsteady", key=key, round=0, value=1.0)
                    probes[key] = _timed(run, series)
                except Exception as error:  # noqa: BLE001 - as above
                    _say(series=series["name"], key=key, failure=reason(error))
            for r, key, value in turns(probes, series["rounds"], seed=request["seed"]):
                if isinstance(value, Exception):
                    _say(series=series["name"], key=key, failure=reason(value))
                else:
                    _say(series=series["name"], key=key, round=r, value=value)
    for key, file in request["memory"].items():
        command = [sys.executable, str(Path(__file__).resolve()), "--memory", str(folder), file, str(n_threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            _say(series="memory", key=key, failure=last)
        else:
            _say(series="memory", key=key, round=0, value=float(done.stdout) / 1024)
    _say(end=True)


def _runner(model: str, *, provider: str, n_threads: int) -> Callable[[], object]:
    loaded = session(model, provider=provider, n_threads=n_threads)
    feed = feed_of(loaded, seed=0)
    return lambda: loaded.run(None, feed)


def _timed(run: Callable[[], object], series: Mapping[str, Any]) -> Callable[[], float]:
    return lambda: shortest_us(run, warm_up=series["warm_up"], runs=series["runs"])


def _main(arguments: list[str]) -> None:
    if arguments == ["--identity"]:
        _say(**identity())
    elif arguments[0] == "--memory":
        folder, file, n_threads = Path(arguments[1]), arguments[2], int(arguments[3])
        tiny = str(folder / "tiny.onnx")
        sys.stdout.write(str(growth_kib(str(folder / file), tiny=tiny, n_threads=n_threads)))
    else:
        _measure(Path(arguments[0]))


if __name__ == "__main__":
    try:
        _main(sys.argv[1:])
    except ImportError as missing:
        _say(error=f"Python {platform.python_version()} there has no {missing.name}")
        sys.exit(3)
