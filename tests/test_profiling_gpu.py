"""Graphs in torch and the GPU's protocol, on CPU tensors with a clock and an energy counter that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from profiling_helpers import SMALL, gpu_fields, write_spec

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, FormatError, SpecError
from nasbench_mo.hardware.shapes import LayerShape, shape_name
from nasbench_mo.hardware.workload import workload
from nasbench_mo.profiling import LatencyProtocol, energy, gpu, onnx_network
from nasbench_mo.profiling.campaign import Setting
from nasbench_mo.profiling.chains import CONTEXTS, chain_plan
from nasbench_mo.profiling.device_spec import DeviceTableSpec, EnergySpec
from nasbench_mo.profiling.device_table import build_device_table, default_backend
from nasbench_mo.profiling.gpu import TorchBackend, cuda_backend
from nasbench_mo.profiling.torch_graph import _OPERATORS, TorchGraph
from nasbench_mo.table import Table

torch = pytest.importorskip("torch", reason="the GPU's tables need the extra 'train'")
onnx = pytest.importorskip("onnx", reason="profiling needs the extra 'profile'")

ROOT = Path(__file__).parents[1]
LAYER_US = {"avg_pool": 3.0, "add": 1.5, "global_pool": 6.0, "linear": 2.0}
CALL_US = 5.0
IDLE_W, BUSY_W = 70.0, 320.0


def layer_us(shape: LayerShape, *, batch: int) -> float:
    return 4.0 + batch * shape.macs / 1e4 if shape.operator == "conv" else LAYER_US[shape.operator]


def node_us(kind: str, weight: Any, *, size: int) -> float:
    """The same from a node of a graph; the normalisation at the end is a part of the global pooling."""
    if kind == "Conv":
        return 4.0 + size * weight[0].numel() / 1e4
    return {"AveragePool": 3.0, "GlobalAveragePool": 6.0, "Gemm": 2.0}.get(kind, 0.0)


class Abacus:
    """A device that computes on CPU tensors and keeps its own time: the sum of what its nodes cost."""

    torch_device = "cpu"
    name = "abacus"

    def __init__(self, *, joules_stuck: bool = False) -> None:
        self.now_us = 0.0
        self.joules = 0.0
        self.joules_stuck = joules_stuck
        self.runs = 0
        self.captured = 0

    def identity(self) -> dict[str, Any]:
        return {"beads": 10}

    def capture(self, run: Callable[[], object]) -> Callable[[], object]:
        outputs = run()  # really computed, once
        assert all(torch.isfinite(values).all() for values in outputs)  # type: ignore[attr-defined]
        self.captured += 1
        us = self._cost_us(run.__self__)  # type: ignore[attr-defined]

        def replay() -> None:
            self.runs += 1
            self._pass(us, watts=BUSY_W)

        return replay

    def durations_us(self, run: Callable[[], object], *, runs: int) -> list[float]:
        found = []
        for i in range(runs):
            began = self.now_us
            run()
            found.append(self.now_us - began + (10.0 if i == 0 else 0.0))  # the first is disturbed
        return found

    def window(self, work: Callable[[], None]) -> tuple[float, float]:
        joules, now_us = self.joules, self.now_us
        work()
        return 0.0 if self.joules_stuck else self.joules - joules, (self.now_us - now_us) / 1e6

    def wait(self, seconds: float) -> None:
        self._pass(1e6 * seconds, watts=IDLE_W)

    def _pass(self, us: float, *, watts: float) -> None:
        self.now_us += us
        self.joules += watts * us / 1e6

    def _cost_us(self, graph: TorchGraph) -> float:
        total = CALL_US
        n_adds = n_scalings = 0
        with torch.inference_mode():
            values = {**graph._weights, graph._input: graph.images}
            for kind, inputs, output, attributes in graph._nodes:
                values[output] = _OPERATORS[kind](torch, [values[name] for name in inputs], attributes)
                n_adds += kind == "Add"
                n_scalings += kind == "Mul"
                pixels = values[output].shape[0] * values[output][0, 0].numel()
                total += node_us(kind, [values[name] for name in inputs[1:]], size=pixels)
        return total + 1.5 * (n_adds - n_scalings)


# ---------------------------------------------------------------------- graphs


def test_torch_computes_what_onnxruntime_computes() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the oracle is onnxruntime")
    models = [onnx_network(cell, skeleton=SMALL, batch=3) for cell in CONTEXTS]
    models += [graph.model(3) for graph in chain_plan(SMALL, short=1, layers=1).graphs if "stage" not in graph.name]
    for model in models:
        graph = TorchGraph(model, device="cpu", precision="fp32")
        images = np.ascontiguousarray(graph.images.numpy())
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        (expected,) = session.run(None, {"images": images})
        (found,) = graph.run()
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.02), ("bf16", 0.1)])
def test_half_precision_is_half_precision_throughout(precision: str, tolerance: float) -> None:
    model = onnx_network(CONTEXTS[3], skeleton=SMALL, batch=2)
    (whole,) = TorchGraph(model, device="cpu", precision="fp32").run()
    graph = TorchGraph(model, device="cpu", precision=precision)
    (half,) = graph.run()
    assert half.dtype == graph.images.dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    assert (half.float() - whole).abs().max() < tolerance * whole.abs().max()


def test_images_and_kernels_are_channels_last() -> None:
    graph = TorchGraph(onnx_network(CONTEXTS[0], skeleton=SMALL, batch=2), device="cpu", precision="fp32")
    assert graph.images.is_contiguous(memory_format=torch.channels_last)


def test_an_operator_that_is_not_known_is_refused_and_not_skipped() -> None:
    helper = onnx.helper
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Sigmoid", ["x"], ["y"])],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [1])],
        [value("y", onnx.TensorProto.FLOAT, [1])],
    )
    with pytest.raises(FormatError, match=r"the operators Conv, .*; got Sigmoid"):
        TorchGraph(helper.make_model(graph).SerializeToString(), device="cpu", precision="fp32")


# ---------------------------------------------------------------------- protocol


def backend(device: Abacus, *, energy: EnergySpec | None = None) -> TorchBackend:
    return TorchBackend(device, protocol=LatencyProtocol(runs=3, warm_up=4), energy=energy)


ENERGY = EnergySpec(networks=2, window_s=0.5, idle_s=0.25)
FP32 = Setting(precision="fp32")


def test_a_turn_warms_up_and_takes_the_shortest_run() -> None:
    device = Abacus()
    probe = backend(device).probe(onnx_network(CONTEXTS[1], skeleton=SMALL), FP32, quantity="latency")
    assert device.captured == 1
    counts = workload("nb201", skeleton=SMALL)
    row = counts.counts(counts.space.encode([CONTEXTS[1]]))[0]
    expected = CALL_US + sum(n * layer_us(s, batch=1) for s, n in zip(counts.shapes, row, strict=True))
    assert probe() == pytest.approx(expected)
    assert device.runs == 4 + 3


def test_energy_is_that_above_idle_of_one_run() -> None:
    device = Abacus()
    timed = backend(device).probe(onnx_network(CONTEXTS[1], skeleton=SMALL), FP32, quantity="latency")()
    probe = backend(device, energy=ENERGY).probe(onnx_network(CONTEXTS[1], skeleton=SMALL), FP32, quantity="energy")
    began = device.now_us
    assert probe() == pytest.approx((BUSY_W - IDLE_W) * timed)  # W us = uJ
    assert device.now_us - began >= 1e6 * (ENERGY.window_s + ENERGY.idle_s)


def test_a_counter_that_does_not_move_is_not_zero_energy() -> None:
    probe = backend(Abacus(joules_stuck=True), energy=ENERGY).probe(
        onnx_network(CONTEXTS[1], skeleton=SMALL), FP32, quantity="energy"
    )
    with pytest.raises(ArtifactError, match=r"energy counter of abacus gave 0.0 J .* make window_s and idle_s longer"):
        probe()


def test_what_a_gpu_does_not_have_is_refused() -> None:
    model = onnx_network(CONTEXTS[1], skeleton=SMALL)
    for setting in (Setting(precision="int8"), Setting(precision="fp32", n_threads=1)):
        with pytest.raises(SpecError, match="torch on a GPU runs fp32, fp16, bf16 and has no threads"):
            backend(Abacus()).probe(model, setting, quantity="latency")
    for quantity in ("energy", "memory"):
        with pytest.raises(SpecError, match="energy where the specification asks for it"):
            backend(Abacus()).probe(model, FP32, quantity=quantity)  # type: ignore[arg-type]


def test_without_a_gpu_there_is_an_error_and_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SpecError, match=r"no CUDA device 0: torch .* build the CPU table instead"):
        cuda_backend(LatencyProtocol(), energy=None)
    path = write_spec(tmp_path, gpu_fields())
    spec = DeviceTableSpec.read(path)
    with pytest.raises(SpecError, match="no CUDA device"):
        default_backend(spec)
    with pytest.raises(SpecError, match="no CUDA device"):
        build_device_table(spec, root=tmp_path / "out", command="a command", spec_file=path)
    assert not (tmp_path / "out").exists()


def test_zeus_measures_the_window_of_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls that are made of Zeus, whose interface is that of its ``monitor.energy``."""
    made: list[Any] = []

    class Monitor:
        def __init__(self, **options: Any) -> None:
            made.append(options)

        def begin_window(self, key: str, *, sync_execution: bool) -> None:
            assert sync_execution  # torch returns before the GPU is done
            made.append(("begin", key))

        def end_window(self, key: str, *, sync_execution: bool) -> Any:
            assert sync_execution
            made.append(("end", key))
            return type("Measurement", (), {"gpu_energy": {1: 12.5}, "time": 0.5})()

    real = energy.require
    monkeypatch.setattr(
        energy,
        "require",
        lambda module, *, extra: (
            type("zeus", (), {"ZeusMonitor": Monitor}) if module == "zeus.monitor" else real(module, extra=extra)
        ),
    )
    device = gpu.CudaDevice(1, with_energy=True)
    for _ in range(2):
        assert device.window(lambda: made.append("work")) == (12.5, 0.5)
    assert made[0] == {"gpu_indices": [1], "cpu_indices": []}
    assert made[1:] == [x for i in (1, 2) for x in (("begin", f"window {i}"), "work", ("end", f"window {i}"))]
    assert device.torch_device == "cuda:1"


# ---------------------------------------------------------------------- tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    folder = tmp_path_factory.mktemp("gpu")
    energy = {"networks": 2, "window_s": 0.5, "idle_s": 0.25}
    path = write_spec(folder, gpu_fields(energy=energy, protocol={"runs": 2, "rounds": 1, "layer_rounds": 1}))
    spec = DeviceTableSpec.read(path)
    made = TorchBackend(Abacus(), protocol=spec.protocol.latency, energy=spec.energy)
    return build_device_table(spec, root=folder / "out", command="a command", spec_file=path, backend=made)


def test_a_gpu_of_known_costs_is_tabulated_exactly(tables: dict[str, Table]) -> None:
    layers = tables["tiny-v1"]
    shapes = workload("nb201", skeleton=SMALL).shapes
    assert layers.archs == [shape_name(shape) for shape in shapes]
    for setting, batch in (("fp32_b1", 1), ("fp16_b2", 2), ("bf16_b1", 1)):
        expected = [layer_us(s, batch=batch) + (CALL_US if i == 0 else 0) for i, s in enumerate(shapes)]
        np.testing.assert_allclose(layers[f"latency_{setting}_us"], expected, rtol=1e-6)
        energy = (BUSY_W - IDLE_W) * np.array(expected)
        np.testing.assert_allclose(layers[f"energy_{setting}_uj"], energy, rtol=1e-6)
    objective = layers.objectives["energy_fp16_b2_uj"]
    assert (objective.device, objective.batch, objective.precision) == ("abacus", 2, "fp16")
    assert "of a batch of 2 images" in str(objective.note)


def test_a_gpu_table_meets_its_networks(tables: dict[str, Table]) -> None:
    card = artifacts.read_card(tables["tiny-v1"].path.parent)
    assert [f["column"] for f in card["figures"]] == [
        f"{quantity}_{setting}_{unit}"
        for quantity, unit in (("latency", "us"), ("energy", "uj"))
        for setting in ("fp32_b1", "fp16_b2", "bf16_b1")
    ]
    for figures in card["figures"]:
        assert figures["table_against_networks"]["mape_percent"] < 1e-3
        assert figures["networks_with_merged_layers"] == 0  # torch merges nothing
        assert figures["table_against_networks_counting_all"] is None
    text = (tables["tiny-v1"].path.parent / "card.md").read_text()
    assert "per run of a batch" in text
    assert "CUDA graphs" in text
