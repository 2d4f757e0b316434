"""What the networks of a shortlist cost: turns that are kept, precisions, providers, pinned threads, energy."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from validation_helpers import NB

from nasbench_mo.errors import ArtifactError, DeviceError, SpecError
from nasbench_mo.profiling import LatencyProtocol, ondevice, onnx_network
from nasbench_mo.profiling.bench import ENERGY, MEMORY, UNSTEADY, Bench, Failed, LocalBench, Reading, Series, ort_bench
from nasbench_mo.profiling.campaign import Setting
from nasbench_mo.profiling.cpu import OrtBackend, check_provider
from nasbench_mo.profiling.energy import LONGEST_S, SHORTEST_S, STEPS, Windows, energy_uj, windows_for
from nasbench_mo.profiling.half import half
from nasbench_mo.profiling.quantised import quantised
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.validation import Target, shortlist_profile
from nasbench_mo.validation.shortlist_profile import Profile, profile
from nasbench_mo.validation.target import PRECISIONS, PackageCounter, _gpu_counter

pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")

SMALL = Skeleton(n_cells=1, channels=4, image_size=8, n_classes=5)
CELLS = NB.decode(NB.sample(3, rng=np.random.default_rng(4)))


class KnownBench:
    """A device on which round r of the i-th network takes 100 i + r microseconds."""

    device, runtime, cores = "X1", "fake 1", (3,)

    def __init__(self, *, at_most: int | None = None, failing: str = "", machine: str = "one") -> None:
        self.at_most = at_most
        self.failing = failing
        self.machine = machine
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.said = 0

    def identity(self) -> dict[str, Any]:
        return {"machine": self.machine}

    def readings(
        self, series: tuple[Series, ...], *, memory: Mapping[str, bytes], energy: Mapping[str, bytes]
    ) -> Iterator[Reading | Failed]:
        for one in series:
            self.asked.append((one.name, one.rounds))
            if self.failing in one.models:
                yield Failed(series=one.name, key=self.failing, why="RuntimeError: does not load")
            for r in one.rounds:
                for i, key in enumerate(one.models):
                    if key != self.failing:
                        yield self._said(Reading(series=one.name, key=key, round=r, value=100.0 * i + r + 1))
        yield Reading(series=UNSTEADY, key=CELLS[2], round=0, value=1.0)
        yield from (self._said(Reading(series=MEMORY, key=key, round=0, value=8.0)) for key in memory)
        yield from (Failed(series=ENERGY, key=key, why="no counter") for key in energy)

    def _said(self, reading: Reading) -> Reading:
        self.said += 1
        if self.at_most is not None and self.said > self.at_most:
            raise ConnectionError("gone")
        return reading


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_profile, "DEPLOYED", LatencyProtocol(rounds=101, runs=1, warm_up=0))


def profiled(bench: Bench, *, work: Path | None = None, **changes: Any) -> Profile:
    return profile(CELLS, skeleton=SMALL, as_predicted=SMALL, target=Target(**changes), bench=bench, work=work)


def test_quantiles_are_of_the_single_turns() -> None:
    found = profiled(KnownBench())
    assert found.latency_us["p50"].tolist() == [51.0, 151.0, 251.0]  # of 1, 2, ..., 101
    assert [found.latency_us[f"p{q}"][0] for q in (10, 90, 99)] == [11.0, 91.0, 100.0]
    assert found.as_predicted_us is not None
    assert found.as_predicted_us[0] == pytest.approx(2.1)  # the 10 % quantile of 1, 2, ..., 12
    assert found.memory_mib.tolist() == [8.0] * 3
    assert found.energy_uj is not None
    assert np.isnan(found.energy_uj).all()
    assert (found.no_energy_because, found.no_memory_because) == ("no counter", None)
    assert found.unsteady == (CELLS[2],)
    assert (found.cores, found.n_threads, found.precision) == ((3,), 1, "fp32")
    same = Profile.from_dict(json.loads(json.dumps(found.to_dict())))
    assert same.to_dict() == found.to_dict()


def test_a_network_that_cannot_be_measured_fails_alone() -> None:
    found = profiled(KnownBench(failing=CELLS[1]))
    assert found.failures == {CELLS[1]: "RuntimeError: does not load"}
    assert found.latency_us["p50"].tolist() == pytest.approx([51.0, np.nan, 251.0], nan_ok=True)


def test_what_was_measured_before_a_device_went_away_is_not_measured_again(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        profiled(KnownBench(at_most=3 * 40 + 1), work=tmp_path)
    bench = KnownBench()
    found = profiled(bench, work=tmp_path)
    assert bench.asked == [("trained", tuple(range(40, 101))), ("predicted", tuple(range(12)))]
    assert found.to_dict() == profiled(KnownBench()).to_dict()
    again = KnownBench()
    profiled(again, work=tmp_path)
    assert again.asked == []


@pytest.mark.parametrize("changes", [{"machine": "two"}, {"n_threads": 2}])
def test_another_device_or_setting_begins_of_its_own(changes: dict[str, Any], tmp_path: Path) -> None:
    profiled(KnownBench(), work=tmp_path)
    other = KnownBench(machine=changes.pop("machine", "one"))
    profiled(other, work=tmp_path, **changes)
    assert [rounds for _, rounds in other.asked] == [tuple(range(101)), tuple(range(12))]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_that_does_not_load_or_run_fails_alone_in_the_runtime() -> None:
    """onnxruntime's errors descend from Exception alone."""
    models = {"good": onnx_network(CELLS[0], skeleton=SMALL), "bad": b"not a model"}
    protocol = LatencyProtocol(rounds=2, runs=1, warm_up=0)
    series = Series(name="trained", models=models, rounds=(0, 1), protocol=protocol, settle=False)
    bench = ort_bench(provider="cpu", n_threads=1, counter=None, no_energy_because="none here")
    found = list(bench.readings((series,), memory={}, energy={"good": models["good"]}))
    assert [f.key for f in found if isinstance(f, Failed) and f.series == "trained"] == ["bad"]
    assert "INVALID_PROTOBUF" in found[0].why  # type: ignore[union-attr]
    assert [f.round for f in found if isinstance(f, Reading)] == [0, 1]
    assert found[-1] == Failed(series=ENERGY, key="good", why="none here")


@pytest.mark.parametrize(
    ("changes", "inputs"),
    [
        ({"precision": "int8"}, {"QuantizeLinear"}),
        ({"precision": "fp16"}, {"Cast"}),
        ({"device": "cuda", "precision": "fp16"}, set()),  # torch takes the float model
    ],
)
def test_models_come_in_the_precision_that_the_bench_wants(changes: dict[str, str], inputs: set[str]) -> None:
    onnx = pytest.importorskip("onnx")
    seen: list[set[str]] = []

    class Looking(KnownBench):
        def readings(self, series: tuple[Series, ...], **given: Any) -> Iterator[Reading | Failed]:
            for one in series:
                seen.extend({n.op_type for n in onnx.load_from_string(m).graph.node} for m in one.models.values())
            return super().readings(series, **given)

    found = profiled(Looking(), **changes)
    assert len(seen) == 6
    assert all(inputs <= kinds for kinds in seen)
    if not inputs:
        assert not any({"Cast", "QuantizeLinear"} & kinds for kinds in seen)
    assert found.precision == changes["precision"]
    assert found.n_threads == (None if "device" in changes else 1)


# ---------------------------------------------------------------------- turns, warm-up, cores


def test_turns_are_in_a_new_order_every_round_and_the_same_after_a_break() -> None:
    probes: dict[str, Callable[[], float]] = {name: (lambda name=name: float(ord(name))) for name in "abcde"}  # type: ignore[misc]
    whole = list(ondevice.turns(probes, range(6), seed=0))
    orders = ["".join(key for r, key, _ in whole if r == i) for i in range(6)]
    assert len(set(orders)) > 1
    assert all(sorted(order) == list("abcde") for order in orders)
    assert list(ondevice.turns(probes, range(3, 6), seed=0)) == whole[15:]


def test_a_probe_that_raises_has_no_more_turns() -> None:
    calls: list[None] = []

    def bad() -> float:
        calls.append(None)
        raise ValueError("no")

    found = list(ondevice.turns({"bad": bad, "good": lambda: 1.0}, range(3), seed=0))
    assert len(calls) == 1
    assert sum(key == "good" for _, key, _ in found) == 3
    assert [str(value) for _, key, value in found if key == "bad"] == ["no"]


class Clock:
    """Time that passes only while something runs: each run takes the next of some durations, the last one for ever."""

    def __init__(self, durations: list[float]) -> None:
        self.now = 0.0
        self.durations = iter(durations)
        self.last = 0.0
        self.runs = 0

    def __call__(self) -> float:
        return self.now

    def run(self) -> None:
        self.last = next(self.durations, self.last)
        self.now += self.last
        self.runs += 1


def test_a_network_is_warm_when_its_time_no_longer_changes() -> None:
    cooling = Clock([1.0 / (1 + i) for i in range(200)])
    clock = Clock([0.01] * 5 + [0.005] * 5 + [0.002])
    assert ondevice.settle(clock.run, clock=clock)
    assert clock.runs == 5 * 5  # 10 ms, 5 ms, 2 ms, and two that agree with it
    assert not ondevice.settle(cooling.run, clock=cooling)
    assert cooling.now > ondevice.SETTLE_S


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin threads")
def test_threads_are_kept_on_as_many_cores_and_let_go() -> None:
    before = os.sched_getaffinity(0)
    with ondevice.pinned(1) as cores:
        assert cores == (max(before),)
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before
    with ondevice.pinned(len(before) + 1) as cores:
        assert cores is None  # fewer cores than threads


# ---------------------------------------------------------------------- precisions and providers


def test_calibration_on_many_images_is_the_range_over_all_of_them() -> None:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((6, 3, 8, 8)).astype(np.float32)
    images[4] *= 5
    one, six = (onnx_network(CELLS[0], skeleton=SMALL, batch=b) for b in (1, 6))

    def scales(model: bytes) -> list[float]:
        onnx = pytest.importorskip("onnx")
        graph = onnx.load_from_string(model).graph
        return [float(onnx.numpy_helper.to_array(t).max()) for t in graph.initializer if "scale" in t.name]

    assert scales(quantised(one, images=images)) == pytest.approx(scales(quantised(six, images=images)), rel=1e-5)
    assert scales(quantised(one, images=images)) != pytest.approx(scales(quantised(one, images=images[:4])), rel=1e-2)
    with pytest.raises(Exception, match="calibration images"):
        quantised(six, images=images[:5])


def test_half_precision_rounds_and_no_more() -> None:
    model = onnx_network(CELLS[0], skeleton=SMALL)
    images = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    whole, rounded = (
        ondevice.session(m, provider="cpu", n_threads=1).run(None, {"images": images})[0] for m in (model, half(model))
    )
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - whole).max() < 0.01 * np.abs(whole).max()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"provider": "tensort"}, "Did you mean 'tensorrt'"),
        ({"precision": "int4"}, "cpu computes in fp32, int8, fp16"),
        ({"provider": "cuda", "precision": "int8"}, "cuda computes in fp32, fp16"),
        ({"device": "cuda", "precision": "int8"}, "torch computes in fp32, fp16, bf16"),
        ({"n_threads": 0}, "at least one thread"),
        ({"device": "ssh://user@host:port"}, "expected ssh://user@host:port"),
    ],
)
def test_a_target_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Target(**changes)


def test_a_provider_that_is_absent_is_an_error_that_lists_those_present() -> None:
    present = ["CPUExecutionProvider", "OpenVINOExecutionProvider"]
    with pytest.raises(SpecError, match=r"no provider 'cuda' here; present: cpu, openvino\."):
        check_provider("cuda", present=present, where="here")
    with pytest.raises(SpecError, match="execution providers are cpu, cuda"):
        check_provider("gpu", present=present, where="here")
    check_provider("openvino", present=present, where="here")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(SpecError, match=r"no provider 'cuda' here; present: cpu"):
            Target(provider="cuda").bench()
    assert set(PRECISIONS) - {"torch"} == set(ondevice.PROVIDERS)


def test_a_provider_that_falls_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime goes on with the processor where a library of the GPU is missing; its latencies are not the GPU's."""
    import onnxruntime

    asked: list[Any] = []

    class FallsBack:
        def __init__(self, model: bytes, options: Any, *, providers: list[str]) -> None:
            asked.append((providers, options.get_session_config_entry("session.disable_cpu_ep_fallback")))

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", FallsBack)
    with pytest.raises(RuntimeError, match="CPUExecutionProvider instead of CUDAExecutionProvider"):
        ondevice.session(b"", provider="cuda", n_threads=1)
    assert asked == [(["CUDAExecutionProvider"], "1")]


def test_half_precision_on_an_x86_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(SpecError, match="computes fp16 in fp32"):
        Target(precision="fp16").bench()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert Target(precision="fp16").bench().runtime.startswith("onnxruntime")


def test_the_provider_is_a_part_of_the_runtimes_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["OpenVINOExecutionProvider"])
    backend = OrtBackend(LatencyProtocol(), provider="openvino")
    assert backend.runtime == f"onnxruntime {onnxruntime.__version__}, OpenVINOExecutionProvider"
    with pytest.raises(SpecError, match="memory is measured with the provider cpu"):
        backend.probe(b"", Setting(precision="fp32", n_threads=1), quantity="memory")


# ---------------------------------------------------------------------- energy


class Counter:
    """A counter with steps: joules at so many watts are told only at every step, on a clock of its own."""

    name = "the abacus"

    def __init__(self, *, step_s: float, idle_w: float = 10.0, run_j: float = 0.0, run_s: float = 0.001) -> None:
        self.now = 0.0
        self.joules = 0.0
        self.step_s, self.idle_w, self.run_j, self.run_s = step_s, idle_w, run_j, run_s
        self._told = (0.0, 0.0)

    def wait(self, seconds: float) -> None:
        self._pass(seconds, joules=0.0)

    def run(self) -> None:
        self._pass(self.run_s, joules=self.run_j)

    def clock(self) -> float:
        return self.now

    def window(self, work: Callable[[], None]) -> tuple[float, float]:
        before, began = self._read(), self.now
        work()
        return self._read() - before, self.now - began

    def _pass(self, seconds: float, *, joules: float) -> None:
        self.now += seconds
        self.joules += self.idle_w * seconds + joules
        if self.step_s > 0 and self.now >= self._told[0] + self.step_s:
            self._told = (self.step_s * (self.now // self.step_s), self.joules)

    def _read(self) -> float:
        return self._told[1]


@pytest.mark.parametrize("step_s", [0.002, 0.02, 0.1])
def test_windows_are_as_long_as_the_counters_steps_ask_for(step_s: float) -> None:
    counter = Counter(step_s=step_s)
    windows = windows_for(counter, wait=counter.wait, clock=counter.clock)
    assert windows.busy_s == windows.idle_s == pytest.approx(max(STEPS * step_s, SHORTEST_S), rel=0.3)
    assert Windows.of_step(99.0).busy_s == LONGEST_S


@pytest.mark.parametrize("step_s", [0.002, 0.02, 0.1])
def test_energy_of_a_run_is_what_it_takes_above_idle(step_s: float) -> None:
    counter = Counter(step_s=step_s, run_j=0.005)
    windows = windows_for(counter, wait=counter.wait, clock=counter.clock)
    found = energy_uj(counter.run, counter=counter, windows=windows, one_us=1000.0, wait=counter.wait)
    assert found == pytest.approx(5000.0, rel=0.06)  # a step at each end of a hundred, and the idle ones'


def test_a_counter_that_stands_still_is_an_error_and_not_0_joules() -> None:
    counter = Counter(step_s=0.0)
    with pytest.raises(ArtifactError, match="the abacus did not move"):
        windows_for(counter, wait=counter.wait, clock=counter.clock)


def test_a_bench_counts_energy_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"good": onnx_network(CELLS[0], skeleton=SMALL)}

    def measured(*, run_j: float) -> Reading | Failed:
        counter = Counter(step_s=0.01, run_j=run_j)
        monkeypatch.setattr("nasbench_mo.profiling.bench.windows_for", lambda _: Windows(busy_s=0.5, idle_s=0.5))

        class Backend:
            device, runtime = "X1", "fake 1"

            def identity(self) -> dict[str, Any]:
                return {}

            def probe(self, model: bytes, setting: Setting, *, quantity: str) -> Callable[[], float]:
                return lambda: counter.run() or 1000.0  # type: ignore[func-returns-value]

        monkeypatch.setattr("nasbench_mo.profiling.bench.energy_uj", _on(counter))
        bench = LocalBench(
            lambda protocol: Backend(),
            setting=Setting(precision="fp32", n_threads=1),
            counter=counter,
            no_energy_because=None,
        )
        (found,) = bench.readings((), memory={}, energy=model)
        return found

    def _on(counter: Counter) -> Callable[..., float]:
        return lambda run, **given: energy_uj(run, **{**given, "wait": counter.wait, "one_us": 1000.0})

    found = measured(run_j=0.005)
    assert isinstance(found, Reading)
    assert (found.series, found.value) == (ENERGY, pytest.approx(5000.0, rel=0.06))
    nothing = measured(run_j=-0.001)
    assert isinstance(nothing, Failed)
    assert "no more energy than the abacus takes idle" in nothing.why


def test_the_processors_counter_is_read_or_says_why_not(tmp_path: Path) -> None:
    from nasbench_mo.training.energy import EnergyMeter

    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text("1000000")
    (zone / "energy_uj").write_text("100000")
    counter = PackageCounter(EnergyMeter(tmp_path), clock=iter([1.0, 3.5]).__next__)
    assert counter.why_not is None
    assert counter.window(lambda: (zone / "energy_uj").write_text("350000") and None) == (0.25, 2.5)
    lost = PackageCounter(EnergyMeter(tmp_path), clock=iter([1.0, 3.5]).__next__)
    with pytest.raises(DeviceError, match=r"counted no energy: .*; measure again"):
        lost.window((zone / "energy_uj").unlink)
    assert "no RAPL counter" in str(PackageCounter(EnergyMeter(tmp_path / "absent")).why_not)


def test_a_gpu_without_zeus_has_no_energy_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeus.monitor", None)
    counter, why = _gpu_counter(0, wait_for_torch=False)
    assert counter is None
    assert "nasbench-mo[energy]" in str(why)


def test_zeus_is_not_asked_to_wait_for_torch_where_the_runtime_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    class Monitor:
        def __init__(self, **options: Any) -> None:
            told.append(options)

        def begin_window(self, key: str, *, sync_execution: bool) -> None:
            told.append((key, sync_execution))

        def end_window(self, key: str, *, sync_execution: bool) -> Any:
            told.append((key, sync_execution))
            return SimpleNamespace(gpu_energy={2: 3.5}, time=0.25)

    monkeypatch.setitem(sys.modules, "zeus", ModuleType("zeus"))
    monkeypatch.setitem(sys.modules, "zeus.monitor", SimpleNamespace(ZeusMonitor=Monitor))
    counter, why = _gpu_counter(2, wait_for_torch=False)
    assert counter is not None
    assert why is None
    assert counter.window(lambda: told.append("work")) == (3.5, 0.25)
    assert told == [{"gpu_indices": [2], "cpu_indices": []}, ("window 1", False), "work", ("window 1", False)]


def test_a_gpu_is_timed_and_counted_by_its_own_means() -> None:
    """torch's graphs on CPU tensors, with a clock and a counter that are known."""
    pytest.importorskip("torch", reason="the GPU's path needs the extra 'train'")
    from test_profiling_gpu import BUSY_W, IDLE_W, Abacus

    from nasbench_mo.profiling.device_spec import EnergySpec
    from nasbench_mo.profiling.gpu import TorchBackend

    device = Abacus()
    asked: list[Windows] = []

    def with_energy(windows: Windows) -> TorchBackend:
        asked.append(windows)
        spec = EnergySpec(networks=1, window_s=windows.busy_s, idle_s=windows.idle_s)
        return TorchBackend(device, protocol=LatencyProtocol(runs=1, warm_up=0), energy=spec)

    class Steps:
        """A counter that moves at once."""

        name = "abacus"

        def window(self, work: Callable[[], None]) -> tuple[float, float]:
            return 1.0, 0.001

    bench = LocalBench(
        lambda protocol: TorchBackend(device, protocol=protocol, energy=None),
        setting=Setting(precision="fp16"),
        counter=Steps(),
        no_energy_because=None,
        energy_backend_of=with_energy,
    )
    models = {"good": onnx_network(CELLS[0], skeleton=SMALL), "bad": b"not a model"}
    protocol = LatencyProtocol(rounds=2, runs=3, warm_up=1)
    series = Series(name="trained", models=models, rounds=(0, 1), protocol=protocol, settle=False)
    found = list(bench.readings((series,), memory={}, energy={"good": models["good"]}))
    assert [f.key for f in found if isinstance(f, Failed)] == ["bad"]
    first, second, energy = [f for f in found if isinstance(f, Reading)]
    assert first.value == second.value
    assert energy.value == pytest.approx((BUSY_W - IDLE_W) * first.value, rel=1e-6)  # watts times microseconds
    assert [w.busy_s for w in asked] == [SHORTEST_S]
    assert bench.cores is None


def test_a_gpu_that_is_not_there_is_refused() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SpecError, match="no CUDA device 1"):
        Target(device="cuda:1").bench()


def test_the_script_for_devices_needs_nothing_of_this_package() -> None:
    """It runs in an interpreter that sees only NumPy and onnxruntime, in the grammar of Python 3.8."""
    import ast

    text = Path(ondevice.__file__).read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    modules = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "nasbench_mo" not in modules
    assert modules - sys.stdlib_module_names == {"numpy", "onnxruntime"}
