"""How long a fresh interpreter takes to import the package and to answer the first command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.benchmark(group="4 a fresh process")
@pytest.mark.parametrize(
    ("role", "arguments", "target_s"),
    [
        ("floor", ["-c", "pass"], None),
        ("floor", ["-c", "import numpy"], None),
        ("ours", ["-c", "import nasbench_mo"], 0.3),
        ("ours", ["-c", "import nasbench_mo as nmo; nmo.problem"], None),
        ("ours", ["-c", "import nasbench_mo as nmo; nmo.predictor('nb201-c10-valerr-gp-v1')"], None),
        ("ours", ["-c", "from nasbench_mo.cli import main; main()", "list", "problems"], 0.6),
        ("peer", ["-c", "import nats_bench"], None),
    ],
    ids=[
        "python",
        "import-numpy",
        "import-nasbench_mo",
        "first-use-of-problem",
        "load-a-stored-gp",
        "list-problems",
        "import-nats_bench",
    ],
)
def test_start(benchmark: Any, role: str, arguments: list[str], target_s: float | None, tmp_path: Path) -> None:
    benchmark.extra_info.update(role=role, architectures=1)
    if target_s is not None:
        benchmark.extra_info["target_s"] = target_s
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "NASBENCH_MO_CACHE": str(tmp_path)}

    def start() -> None:
        subprocess.run([sys.executable, *arguments], env=env, check=True, stdout=subprocess.DEVNULL)

    if "nats_bench" in arguments[1]:
        pytest.importorskip("nats_bench", reason="nats-bench is not installed")
    start()  # byte-code is compiled once
    benchmark.pedantic(start, rounds=7, iterations=1)
