"""ONNX graphs against torch, and latency with a clock that is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nasbench_mo.errors import ArchitectureError, SpecError
from nasbench_mo.profiling import (
    LatencyProtocol,
    folded_weights,
    latency,
    measure_latency,
    onnx_network,
    random_weights,
)
from nasbench_mo.space.nb201 import NB201, Skeleton

onnx = pytest.importorskip("onnx", reason="profiling needs the extra 'profile'")
onnxruntime = pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")


NB = NB201()
SMALL = Skeleton(n_cells=1, channels=4, image_size=8, n_classes=5)
CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
DEAD = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"


def run(model: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"images": images})[0]
    return found


@pytest.mark.parametrize("n_cells", [1, 2])
def test_graphs_compute_what_torch_computes(n_cells: int) -> None:
    torch = pytest.importorskip("torch", reason="training needs the extra 'train'")
    from nasbench_mo.training import build_network

    skeleton = Skeleton(n_cells=n_cells, channels=4, image_size=8, n_classes=5)
    cells = [*NB.sample(25, rng=np.random.default_rng(0)), NB.encode_one(CELL), NB.encode_one(DEAD)]
    torch.manual_seed(0)
    for cell in cells:
        network = build_network(cell, skeleton=skeleton)
        for _ in range(3):
            network(torch.randn(16, 3, 8, 8))  # running statistics that are not the initial ones
        network.eval()
        state = {name: value.numpy() for name, value in network.state_dict().items()}
        images = torch.randn(3, 3, 8, 8)
        model = onnx_network(cell, skeleton=skeleton, weights=folded_weights(state), batch=3)
        with torch.inference_mode():
            np.testing.assert_allclose(run(model, images.numpy()), network(images).numpy(), atol=2e-5)


def test_graphs_are_valid_and_hold_live_operations_only() -> None:
    model = onnx.load_from_string(onnx_network(CELL, skeleton=SMALL))
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    # the average pooling of CELL is live, and each of 3 stages has its 3 convolutions; stem, 2 x 3 of reductions
    assert kinds.count("Conv") == 3 * 3 + 1 + 2 * 3
    assert kinds.count("AveragePool") == 3 + 2
    dead = onnx.load_from_string(onnx_network(DEAD, skeleton=SMALL))
    assert [node.op_type for node in dead.graph.node].count("Conv") == 1 + 2 * 3


def test_a_degenerate_graph_does_not_see_its_input() -> None:
    model = onnx_network(DEAD, skeleton=SMALL, batch=2)
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    first, second = run(model, images)
    np.testing.assert_array_equal(first, second)


def test_isomorphic_cells_are_the_same_graph() -> None:
    dead_branch = "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"
    pruned = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    assert onnx_network(dead_branch, skeleton=SMALL) == onnx_network(pruned, skeleton=SMALL)


def test_random_weights_keep_activations_of_order_one() -> None:
    weights = random_weights(0)
    kernel = weights("a.weight", (64, 32, 3, 3))
    assert kernel.std() == pytest.approx(1 / np.sqrt(32 * 9), rel=0.05)
    assert (weights("a.scale", (4, 1, 1)) != 0).all()
    assert (weights("a.bias", (4,)) == 0).all()


def test_an_unknown_cell_has_no_graph() -> None:
    with pytest.raises(ArchitectureError):
        onnx_network("|nor_conv_5x5~0|", skeleton=SMALL)


# ---------------------------------------------------------------------- latency


def ticking(durations_ns: Iterator[int]) -> Callable[[], int]:
    """A clock of which every second reading is later by the next duration."""
    now = 0
    readings = 0

    def read() -> int:
        nonlocal now, readings
        readings += 1
        if readings % 2 == 0:
            now += next(durations_ns)
        return now

    return read


class Fake:
    """Stands for a loaded model: a run takes no time of its own."""

    def __init__(self, model: bytes, *, n_threads: int, seed: int) -> None:
        self.model = model
        self._session = self
        self._feed: dict[str, int] = {}
        self.runs = 0

    def run(self, *_: object) -> None:
        self.runs += 1

    turn_ms = latency.Session.turn_ms


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "Session", Fake)


def test_a_turn_is_the_shortest_run_and_the_statistic_a_low_quantile(fake: None) -> None:
    durations = iter((5, 3, 9, 7, 8, 6, 100, 200, 300, 4, 4, 4))
    protocol = LatencyProtocol(rounds=4, runs=3, warm_up=1, quantile=0.0)
    found = measure_latency([lambda: b"m"], protocol=protocol, clock=ticking(i * 1_000_000 for i in durations))
    assert found.latency_ms.tolist() == [3.0]
    assert found.halves_ms.tolist() == [[3.0, 4.0]]
    assert found.noise_percent == pytest.approx(100 / 3)


def test_the_statistic_is_the_quantile_of_the_turns(fake: None) -> None:
    protocol = LatencyProtocol(rounds=11, runs=1, warm_up=0, quantile=0.1)
    clock = ticking(i * 1_000_000 for i in itertools.count(1))
    found = measure_latency([lambda: b"m"], protocol=protocol, clock=clock)
    assert found.latency_ms.tolist() == [2.0]  # of 1, 2, ..., 11


def test_models_take_turns_in_blocks_and_every_one_is_measured(fake: None) -> None:
    made: list[int] = []

    def maker(i: int) -> Callable[[], bytes]:
        return lambda: made.append(i) or b""

    done: list[tuple[int, int]] = []
    found = measure_latency(
        [maker(i) for i in range(7)],
        protocol=LatencyProtocol(rounds=2, runs=1, warm_up=0, block=3),
        progress=lambda *x: done.append(x),
    )
    assert sorted(made) == list(range(7))
    assert made != sorted(made)  # blocks are random samples
    assert done == [(i, 6) for i in range(1, 7)]
    assert np.isfinite(found.latency_ms).all()


def test_real_models_are_measured_and_a_larger_one_takes_longer() -> None:
    small = onnx_network(DEAD, skeleton=SMALL)
    large = onnx_network([3] * 6, skeleton=Skeleton(n_cells=3, channels=16, image_size=32))
    found = measure_latency([lambda: small, lambda: large], protocol=LatencyProtocol(rounds=5, runs=2))
    assert 0 < found.latency_ms[0] < found.latency_ms[1]
    assert found.halves_ms.shape == (2, 2)


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"runs": 0}, {"n_threads": 0}, {"block": 0}, {"warm_up": -1}, {"quantile": 1.5}]
)
def test_an_impossible_protocol_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="latency protocol"):
        LatencyProtocol(**wrong)  # type: ignore[arg-type]
