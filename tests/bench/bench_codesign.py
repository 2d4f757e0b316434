"""Every NAS-Bench-201 network on 100, 1,000 and 10,000 accelerators: composing the costs, and the exact front.

The floor is the matrix product of counts and costs alone, in the same chunks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nasbench_mo as nmo
from nasbench_mo.hardware.accelerators import accelerators
from nasbench_mo.hardware.codesign import exact_front, moments
from nasbench_mo.hardware.workload import workload

SIZES = (100, 1_000, 10_000)
CHUNK = 256


@pytest.fixture(scope="module")
def networks() -> tuple[Any, Any, Any]:
    """Errors, counts and layer shapes of the 15,284 networks that are not degenerate."""
    space = nmo.space("nb201")
    X = space.enumerate()
    X = X[~space.degenerate(X)]
    work = workload(space)
    return nmo.predictor("nb201-c10-valerr-xgb-v1").predict(X), work.counts(X), work.shapes


def designs(h: int) -> Any:
    """h of the accelerators, spread over their space."""
    space = nmo.space("asic")
    return space.from_codes(np.random.default_rng(0).permutation(space.size)[:h])


@pytest.mark.benchmark(group="8 networks x accelerators")
@pytest.mark.parametrize("h", SIZES)
class TestCodesign:
    def test_floor_matrix_product(self, benchmark: Any, networks: tuple[Any, Any, Any], h: int) -> None:
        _, counts, shapes = networks
        costs = np.random.default_rng(0).random((len(shapes), h))

        def product() -> float:
            parts = range(0, h, CHUNK)
            return sum(float((counts @ costs[:, start : start + CHUNK]).sum()) for start in parts for _ in range(2))

        benchmark.extra_info.update(role="floor", architectures=len(counts) * h)
        benchmark.pedantic(product, rounds=3, iterations=1)

    def test_ours_latency_and_energy_of_every_pair(
        self, benchmark: Any, networks: tuple[Any, Any, Any], h: int
    ) -> None:
        error, counts, shapes = networks
        arguments = {"shapes": shapes, "model": accelerators("asic"), "quantities": ("latency", "energy")}
        benchmark.extra_info.update(role="ours", architectures=len(counts) * h)
        benchmark.pedantic(lambda: moments(error, counts, designs(h), **arguments), rounds=3, iterations=1)

    def test_ours_exact_front_of_three_objectives(self, benchmark: Any, networks: tuple[Any, Any, Any], h: int) -> None:
        error, counts, shapes = networks
        arguments = {"shapes": shapes, "model": accelerators("asic"), "quantities": ("latency", "energy")}
        benchmark.extra_info.update(role="ours", architectures=len(counts) * h)
        found = benchmark.pedantic(
            lambda: exact_front(error, counts, designs(h), **arguments), rounds=3, iterations=1, warmup_rounds=1
        )
        assert len(found.F) > 10
