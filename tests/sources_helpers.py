"""What the tests of several readers share: small archives in published layouts, and comparisons with tables."""

from __future__ import annotations

import bz2
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_mo.sources.base import SourceTable

CELLS = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|skip_connect~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
]


def shared(*parts: str) -> Path:
    """A file of the shared data; the test is skipped where it is missing."""
    root = Path(os.environ.get("NASBENCH_MO_SHARED", Path(__file__).parents[1] / ".." / "shared" / "data"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is missing; set NASBENCH_MO_SHARED to the folder with the shared data")
    return path


def value(table: SourceTable, column: str, arch: str) -> float:
    """Value of one architecture in a column."""
    assert table.space is not None
    assert table.encodings is not None
    rows = table.space.decode(table.encodings)
    return float(values(table)[column][rows.index(arch)])


def values(table: SourceTable) -> dict[str, np.ndarray]:
    """Column name to values."""
    return {c.objective.column: np.asarray(c.values) for c in table.columns}


def objective(table: SourceTable, column: str) -> Any:
    """Objective of a column."""
    return next(c.objective for c in table.columns if c.objective.column == column)


def trial(package: Any, *, arch: str, seed: int, epochs: int, evaluations: list[str], rng: Any) -> Any:
    """A ResultsCount with random accuracies, as the package's own authors fill it."""
    run = package.ResultsCount(
        "a run", None, {}, {}, 0.3, 40.0, {"arch_str": arch, "channel": 16, "num_cells": 5}, seed, epochs, [0.01, 0.02]
    )
    steps = range(epochs)
    run.update_train_info(
        {i: float(a) for i, a in enumerate(rng.uniform(10, 100, epochs))},
        {i: float(a) for i, a in enumerate(rng.uniform(50, 100, epochs))},
        {i: float(a) for i, a in enumerate(rng.uniform(0, 2, epochs))},
        {i: float(a) for i, a in enumerate(rng.uniform(5, 20, epochs))},
    )
    keys = [f"{name}@{i}" for name in evaluations for i in steps]
    run.update_eval(
        {k: float(a) for k, a in zip(keys, rng.uniform(10, 100, len(keys)), strict=True)},
        {k: float(a) for k, a in zip(keys, rng.uniform(0, 2, len(keys)), strict=True)},
        {k: float(a) for k, a in zip(keys, rng.uniform(0, 1, len(keys)), strict=True)},
    )
    return run


EVALUATIONS = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["x-valid", "x-test", "ori-test"],
    "ImageNet16-120": ["x-valid", "x-test", "ori-test"],
}


def architecture(package: Any, *, index: int, arch: str, epochs: int, seeds: dict[str, list[int]], rng: Any) -> Any:
    """An ArchResults of one architecture with some seeds per dataset."""
    results = package.ArchResults(index, arch)
    for dataset, of_dataset in seeds.items():
        for seed in of_dataset:
            run = trial(package, arch=arch, seed=seed, epochs=epochs, evaluations=EVALUATIONS[dataset], rng=rng)
            results.update(dataset, seed, run)
    return results


def write_pbz2(path: Path, content: object) -> None:
    """A compressed pickle as NATS-Bench publishes it."""
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))


class Exploit:
    """A pickle of this object runs a shell command that makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)
