"""Small problems and slow oracles shared by the tests of problems, runs and figures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Fidelity, Problem, TableValues, Term
from nasbench_mo.objective import Objective
from nasbench_mo.sources.base import Provenance, SourceTable, store
from nasbench_mo.space import CategoricalSpace, SearchSpace, space
from nasbench_mo.table import Column, Table

ROOT = Path(__file__).parents[1]

ERROR = Objective(name="error", unit="percent", kind="derived")
LATENCY = Objective(name="latency", unit="ms", kind="modelled")

ACCURACY_TABLE = "nb201-accuracy-measured-v1"
LATENCY_TABLE = "nb201-help-latency-v1"
#: An embedded problem, predicted and modelled: without noise, test values or seconds of training.
PREDICTED = "nb201s-c10-eyeriss-fpga-v1"


def toy_space(*cardinalities: int) -> CategoricalSpace:
    return CategoricalSpace("toy", {f"v{j}": range(c) for j, c in enumerate(cardinalities)})


def opposed(X: NDArray[Any]) -> NDArray[np.float64]:
    """Two objectives that fight: the sum, and the squared distance of each variable from 3."""
    return np.stack([X.sum(axis=1), ((X - 3) ** 2).sum(axis=1)], axis=1).astype(float)


def toy_problem(*cardinalities: int, id: str = "toy-v1") -> Problem:
    return Problem.from_function(
        id, opposed, search_space=toy_space(*(cardinalities or (4, 4, 3))), objectives=[ERROR, LATENCY]
    )


def store_table(id: str, columns: Sequence[Column], *, search_space: SearchSpace, encodings: NDArray[Any]) -> Table:
    """A native table in the cache of the moment."""
    table = SourceTable(
        id=id,
        columns=tuple(columns),
        provenance=Provenance(source="synthetic", licence="none"),
        space=search_space,
        encodings=encodings,
    )
    return store(table, files={}, command="made by a test")


def accuracy_column(name: str, values: NDArray[Any], **fields: Any) -> Column:
    identity = {"unit": "percent", "kind": "measured", "direction": "max", "dataset": "cifar10", "split": "valid"}
    return Column(objective=Objective(name=name, **{**identity, **fields}), values=values)


def store_synthetic_nb201(*, accuracy_seed: int = 0) -> None:
    """Tables with the ids and columns of the real CIFAR-10 and FPGA ones. Degenerate cells are the best of all."""
    nb201 = space("nb201")
    X = nb201.enumerate()
    rng = np.random.default_rng(accuracy_seed)
    seeds = np.clip(40 + 6 * (X == 3).sum(axis=1)[:, None] + rng.normal(0, 3, (len(X), 3)), 1, 99)
    seeds[rng.random(len(X)) < 0.5, 2] = np.nan
    latency = 1.0 + (X == 3).sum(axis=1) + 0.25 * (X == 2).sum(axis=1)
    degenerate = nb201.degenerate(X)
    seeds[degenerate] = 99.5
    latency[degenerate] = 0.5
    mean = np.nanmean(seeds, axis=1)
    columns = [
        accuracy_column("c10_valid_accuracy_200ep_mean", mean, seed="mean"),
        accuracy_column("c10_test_accuracy_200ep_mean", mean - rng.random(len(X)), seed="mean", split="test"),
        Column(
            objective=Objective(name="c10_train_time_200ep", unit="s", kind="measured"),
            values=1000 + 10 * X.sum(axis=1),
        ),
    ]
    for j, seed in enumerate((777, 888, 999)):
        columns.append(accuracy_column(f"c10_valid_accuracy_200ep_s{seed}", seeds[:, j], seed=seed))
    store_table(ACCURACY_TABLE, columns, search_space=nb201, encodings=X)
    cost = Objective(name="latency_fpga", unit="ms", kind="modelled", device="fpga", convention="all")
    store_table(LATENCY_TABLE, [Column(objective=cost, values=latency)], search_space=nb201, encodings=X)


def curve_problem(*, shift: float = 0.0) -> Problem:
    """Two seeds and three epochs over a small space; after epoch e the error is 30 - 10 e plus the architecture's."""
    small = toy_space(3, 2)
    X = small.enumerate()
    own = np.arange(len(X), dtype=float)

    def error(epochs: int, seed: int) -> Column:
        fields = {"dataset": "toy", "split": "valid", "epochs": epochs}
        return Column(
            objective=Objective(name=f"error_ep{epochs}_s{seed}", unit="percent", kind="measured", seed=seed, **fields),
            values=50 - 10 * epochs + own + seed + (shift if epochs == 1 and seed == 0 else 0),
        )

    columns = [error(epochs, seed) for epochs in (1, 2, 3) for seed in (0, 1)]
    for epochs in (1, 2, 3):
        objective = Objective(
            name=f"error_ep{epochs}_mean",
            unit="percent",
            kind="derived",
            dataset="toy",
            split="valid",
            epochs=epochs,
            seed="mean",
        )
        values = np.mean([c.values for c in columns if f"ep{epochs}_s" in c.objective.name], axis=0)
        columns.append(Column(objective=objective, values=values))
    columns.append(Column(objective=LATENCY, values=10 - own))
    columns.append(Column(objective=Objective(name="seconds", unit="s", kind="measured"), values=60 + own))
    store_table("toy-curves-v1", columns, search_space=small, encodings=X)
    curve = tuple(
        Fidelity(
            epochs=e,
            column=f"error_ep{e}_mean_percent",
            seed_columns=(f"error_ep{e}_s0_percent", f"error_ep{e}_s1_percent"),
        )
        for e in (1, 2)
    )
    values = TableValues(
        table="toy-curves-v1",
        column="error_ep3_mean_percent",
        seed_columns=("error_ep3_s0_percent", "error_ep3_s1_percent"),
        curve=curve,
    )
    error_objective = Objective(name="error", unit="percent", kind="derived", dataset="toy", split="valid", epochs=3)
    return Problem(
        "toy-curves-v1",
        search_space=small,
        terms=[
            Term(objective=error_objective, values=values),
            Term(objective=LATENCY, values=TableValues(table="toy-curves-v1", column=LATENCY.column)),
        ],
        simulated_seconds=TableValues(table="toy-curves-v1", column="seconds_s"),
    )


def slow_front(F: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distinct nondominated rows, sorted; every pair is compared."""
    distinct = np.unique(F, axis=0)
    keep = [not ((distinct <= f).all(axis=1) & (distinct < f).any(axis=1)).any() for f in distinct]
    return distinct[keep]


def slow_hypervolume(F: NDArray[np.float64], *, reference: Sequence[float]) -> float:
    """Volume of the grid cells, spanned by all coordinates, whose lower corner some point weakly dominates."""
    m = F.shape[1]
    axes = [np.unique(np.append(F[:, j][F[:, j] < reference[j]], reference[j])) for j in range(m)]
    volume = 0.0
    for cell in itertools.product(*(range(len(a) - 1) for a in axes)):
        lower = np.array([axes[j][c] for j, c in enumerate(cell)])
        if (F <= lower).all(axis=1).any():
            volume += float(np.prod([axes[j][c + 1] - axes[j][c] for j, c in enumerate(cell)]))
    return volume
