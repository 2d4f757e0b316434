"""What training eight small networks costs: one after another by each engine, and side by side in one torch module.

The cells are random ones with an input-output path, the skeleton is that of the traffic-sign table (one cell a stage,
8, 16 and 32 channels, 16x16 pixels). The floor is a matrix product of as many multiplications: three times a forward
pass for an image that is trained on, one for an image that is predicted. Times are of the processor, on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import nasbench_mo as nmo
from nasbench_mo.errors import MissingDependencyError
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.trainer import Recipe

K = 8
RECIPE = Recipe(epochs=2, batch_size=50)
N_TRAIN, N_PREDICTED = 500, 250


class Task(NamedTuple):
    """Cells, images, and multiplications of all trainings."""

    cells: list[str]
    images: ImageSet
    products: int


def noise(n: int, *, seed: int) -> Images:
    rng = np.random.default_rng(seed)
    return Images(pixels=rng.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8), labels=np.arange(n) % 43)


@pytest.fixture(scope="module")
def task() -> Task:
    pytest.importorskip("threadpoolctl")
    nb201: Any = nmo.space("nb201")
    X = nb201.enumerate()
    X = X[~nb201.degenerate(X)]
    chosen = X[np.random.default_rng(0).choice(len(X), K, replace=False)]
    parts = {"train": noise(N_TRAIN, seed=0), "valid": noise(N_PREDICTED, seed=1), "test": noise(50, seed=2)}
    images = ImageSet(name="noise", n_classes=43, **parts)
    forward = nb201.n_flops(chosen, skeleton=RECIPE.skeleton(images), convention="live").sum()
    passes = 3 * RECIPE.epochs * N_TRAIN + RECIPE.epochs * N_PREDICTED + 50
    return Task(nb201.decode(chosen), images, int(forward * passes))


def measure(benchmark: Any, run: Callable[[], object], *, role: str, note: str = "") -> None:
    benchmark.extra_info.update(role=role, architectures=K, note=note)
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="9 train eight small networks", timer=time.process_time)
class TestTraining:
    def test_floor_matrix_product(self, benchmark: Any, task: Task) -> None:
        from threadpoolctl import threadpool_limits

        n = 512
        a, b = np.random.default_rng(0).normal(size=(2, n, n)).astype(np.float32)

        def run() -> None:
            with threadpool_limits(1):
                for _ in range(round(task.products / n**3)):
                    a @ b

        measure(benchmark, run, role="floor", note=f"{task.products / 1e9:.0f} billion multiplications")

    def test_native_engine_one_after_another(self, benchmark: Any, task: Task) -> None:
        from nasbench_mo.training.native import NativeTrainer

        try:
            trainer = NativeTrainer(task.images, recipe=RECIPE)
        except MissingDependencyError as error:
            pytest.skip(str(error))
        measure(benchmark, lambda: [trainer.train(cell, seed=0) for cell in task.cells], role="ours")

    def test_peer_torch_one_after_another(self, benchmark: Any, task: Task) -> None:
        pytest.importorskip("torch")
        from nasbench_mo.training import Trainer
        from nasbench_mo.training.building import one_thread

        trainer = Trainer(task.images, recipe=RECIPE)

        def run() -> None:
            with one_thread():
                for cell in task.cells:
                    trainer.train(cell, seed=0)

        measure(benchmark, run, role="peer")

    def test_peer_torch_side_by_side(self, benchmark: Any, task: Task) -> None:
        pytest.importorskip("torch")
        from nasbench_mo.training.building import one_thread
        from nasbench_mo.training.fused import FusedTrainer

        trainer = FusedTrainer(task.images, recipe=RECIPE)

        def run() -> None:
            with one_thread():
                trainer.train(task.cells, seed=0)

        measure(benchmark, run, role="peer")
