"""How well two profiles of the same thirty networks agree: two calls of what ``nasbench-mo validate`` measures with.

The cells are random ones with an input-output path, the skeleton is NAS-Bench-201's for CIFAR-10; one thread, single
precision. The second call begins from nothing: new sessions, another order. Rounds are the two calls, and the note says
how far apart they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nasbench_mo as nmo
from nasbench_mo.space.nb201 import Skeleton

N = 30


@pytest.mark.benchmark(group="10 profile thirty networks")
def test_two_profiles_of_the_same_networks(benchmark: Any) -> None:
    pytest.importorskip("onnxruntime")
    from nasbench_mo.profiling.agreement import tau_b
    from nasbench_mo.validation.shortlist_profile import profile
    from nasbench_mo.validation.target import Target

    nb201: Any = nmo.space("nb201")
    X = nb201.enumerate()
    X = X[~nb201.degenerate(X)]
    cells = nb201.decode(X[np.random.default_rng(0).choice(len(X), N, replace=False)])
    found: list[Any] = []

    def run() -> None:
        found.append(profile(cells, skeleton=Skeleton(), as_predicted=None, target=Target()))

    benchmark.extra_info.update(role="ours", architectures=N)
    benchmark.pedantic(run, rounds=2)
    notes = []
    for name in ("p10", "p50"):
        first, second = (one.latency_us[name] for one in found[-2:])
        apart = 100 * np.median(np.abs(second / first - 1))
        notes.append(f"{name} {apart:.1f} % apart, tau-b {tau_b(first, second):.3f}")
    benchmark.extra_info["note"] = "; ".join(notes)
