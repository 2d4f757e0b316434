"""How long a query takes: from a native table, from a problem, from a bare array, and from other benchmarks' archives.

Every time is divided by the number of architectures it answers for. Values are synthetic; the archives of the peers
have their own formats, the same number of architectures, and as many metrics and training runs as the published ones.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from benchmark_helpers import store_table
from numpy.typing import NDArray
from sources_helpers import architecture, write_pbz2

from nasbench_mo.benchmark import Problem, TableValues, Term
from nasbench_mo.objective import Objective
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.table import Column, Table

N = 15_625
OBJECTIVES = (
    Objective(name="error", unit="percent", kind="measured", split="valid"),
    Objective(name="latency", unit="ms", kind="measured"),
    Objective(name="energy", unit="mj", kind="measured"),
)
COLUMNS = tuple(o.column for o in OBJECTIVES)
CELL = (2, 2, 2, 2, 2, 1)
#: HW-NAS-Bench's metrics of one data set.
HW_METRICS = (
    "edgegpu_latency", "edgegpu_energy", "raspi4_latency", "edgetpu_latency", "pixel3_latency",
    "eyeriss_latency", "eyeriss_energy", "eyeriss_arithmetic_intensity", "fpga_latency", "fpga_energy",
)  # fmt: skip


class Made(NamedTuple):
    table: Table
    wide: Path
    problem: Problem
    X: NDArray[np.int8]
    F: NDArray[np.float64]


@pytest.fixture(scope="module")
def nb201() -> SearchSpace:
    return space("nb201")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, nb201: SearchSpace) -> Any:
    """A table of 3 columns, one of 40, and a problem over the first, all 15,625 architectures."""
    X = nb201.enumerate()
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASBENCH_MO_CACHE", str(tmp_path_factory.mktemp("bench-cache")))
        F = rng.random((N, 3))
        columns = [Column(objective=o, values=F[:, j]) for j, o in enumerate(OBJECTIVES)]
        table = store_table("bench-v1", columns, search_space=nb201, encodings=X)
        many = [
            Column(objective=Objective(name=f"metric_{j}", unit="ms", kind="measured"), values=rng.random(N))
            for j in range(40)
        ]
        wide = store_table("bench-wide-v1", many, search_space=nb201, encodings=X).path.parent
        terms = [Term(objective=o, values=TableValues(table="bench-v1", column=o.column)) for o in OBJECTIVES]
        problem = Problem("bench-v1", search_space=nb201, terms=terms)
        np.testing.assert_array_equal(problem.evaluate(X), F)  # also: everything is in memory before a clock runs
        np.testing.assert_array_equal(table.query(X, COLUMNS), F)
        problem.evaluate_one(nb201.decode(X[:1])[0])
        table.query_one(nb201.decode(X[:1])[0], COLUMNS)
        yield Made(table=table, wide=wide, problem=problem, X=X, F=F)


def _note(benchmark: Any, *, role: str, n: int = 1, target_s: float | None = None) -> None:
    benchmark.extra_info.update(role=role, architectures=n)
    if target_s is not None:
        benchmark.extra_info["target_s"] = target_s


def horner_gather(X: NDArray[np.int8], F: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least work that answers the question: a mixed-radix code and a gather, nothing checked."""
    codes = X[:, 0].astype(np.int16)
    for j in range(1, 6):
        codes *= 5
        codes += X[:, j]
    return F.take(codes, axis=0)


# ---------------------------------------------------------------------- all architectures


@pytest.mark.benchmark(group="1 all 15,625 architectures, 3 objectives")
class TestAll:
    def test_floor_horner_gather(self, benchmark: Any, made: Made) -> None:
        _note(benchmark, role="floor", n=N)
        benchmark(horner_gather, made.X, made.F)

    def test_numpy_fancy_index_of_ready_rows(self, benchmark: Any, made: Made) -> None:
        _note(benchmark, role="peer", n=N)
        rows = np.arange(N)
        benchmark(lambda: made.F[rows])

    def test_table_query(self, benchmark: Any, made: Made) -> None:
        _note(benchmark, role="ours", n=N, target_s=N * 10e-9)
        benchmark(made.table.query, made.X, COLUMNS)

    def test_problem_evaluate(self, benchmark: Any, made: Made) -> None:
        _note(benchmark, role="ours", n=N, target_s=N * 10e-9)
        benchmark(made.problem.evaluate, made.X)

    def test_problem_evaluate_strings(self, benchmark: Any, made: Made, nb201: SearchSpace) -> None:
        _note(benchmark, role="ours", n=N)
        benchmark(made.problem.evaluate, nb201.decode(made.X))

    def test_peer_dict_of_lists(self, benchmark: Any, hw_pickle: Path) -> None:
        _note(benchmark, role="peer", n=N)
        metrics = pickle.loads(hw_pickle.read_bytes())["nasbench201"]["cifar10"]
        chosen = [metrics[m] for m in HW_METRICS[:3]]
        benchmark(lambda: [[values[i] for values in chosen] for i in range(N)])


# ---------------------------------------------------------------------- one architecture


def _repeat(
    benchmark: Any, function: Callable[..., Any], *arguments: Any, role: str, target_s: float | None = None
) -> None:
    """Time a call of about a microsecond: a thousand of them between two looks at the clock."""
    _note(benchmark, role=role, target_s=target_s)
    benchmark.pedantic(function, arguments, rounds=200, iterations=1000, warmup_rounds=5)


@pytest.mark.benchmark(group="2 one architecture, 3 objectives")
class TestOne:
    def test_floor_numpy_fancy_index_of_one_row(self, benchmark: Any, made: Made) -> None:
        _repeat(benchmark, made.F.__getitem__, [7811], role="floor")

    def test_problem_evaluate_one_tuple(self, benchmark: Any, made: Made) -> None:
        _repeat(benchmark, made.problem.evaluate_one, CELL, role="ours", target_s=1e-6)

    def test_problem_evaluate_one_string(self, benchmark: Any, made: Made, nb201: SearchSpace) -> None:
        _repeat(benchmark, made.problem.evaluate_one, nb201.decode([CELL])[0], role="ours", target_s=3e-6)

    def test_table_query_one_tuple(self, benchmark: Any, made: Made) -> None:
        _repeat(benchmark, made.table.query_one, CELL, COLUMNS, role="ours", target_s=1e-6)

    def test_table_query_one_string(self, benchmark: Any, made: Made, nb201: SearchSpace) -> None:
        _repeat(benchmark, made.table.query_one, nb201.decode([CELL])[0], COLUMNS, role="ours", target_s=3e-6)

    def test_peer_dict_of_lists(self, benchmark: Any, hw_pickle: Path) -> None:
        metrics = pickle.loads(hw_pickle.read_bytes())["nasbench201"]["cifar10"]
        _repeat(benchmark, lambda i: {m: metrics[m][i] for m in HW_METRICS[:3]}, 7811, role="peer")

    def test_peer_nats_bench_in_memory_accuracy(self, benchmark: Any, nats_api: Callable[[], Any]) -> None:
        _note(benchmark, role="peer")
        api = nats_api()
        benchmark(api.get_more_info, 7811, "cifar10-valid", hp="200", is_random=False)

    def test_peer_nats_bench_in_memory_accuracy_and_cost(self, benchmark: Any, nats_api: Callable[[], Any]) -> None:
        _note(benchmark, role="peer")
        api = nats_api()
        _ask_nats(api, 7811)
        benchmark(_ask_nats, api, 7811)

    def test_peer_nats_bench_from_disk_accuracy_and_cost(self, benchmark: Any, nats_api: Callable[[], Any]) -> None:
        """In fast mode the first query of an architecture unpacks its file."""
        _note(benchmark, role="peer")
        api = nats_api()
        unseen = iter(range(N))
        benchmark.pedantic(lambda: _ask_nats(api, next(unseen)), rounds=30, iterations=1)

    @pytest.mark.filterwarnings("ignore")  # the peer's own
    def test_peer_syne_tune(self, benchmark: Any, made: Made, nb201: SearchSpace) -> None:
        tabular = pytest.importorskip(
            "syne_tune.blackbox_repository.blackbox_tabular", reason="syne-tune is not installed"
        )
        pandas = pytest.importorskip("pandas")
        config_space = pytest.importorskip("syne_tune.config_space")
        names = [v.name for v in nb201.variables]
        blackbox = tabular.BlackboxTabular(
            hyperparameters=pandas.DataFrame(made.X.astype(int), columns=names),
            configuration_space={name: config_space.choice(list(range(5))) for name in names},
            fidelity_space={"epoch": config_space.randint(1, 1)},
            objectives_evaluations=made.F[:, None, None, :],
            objectives_names=list(COLUMNS),
            fidelity_values=np.arange(1, 2),
        )
        _note(benchmark, role="peer")
        benchmark(blackbox.objective_function, dict(zip(names, CELL, strict=True)), fidelity={"epoch": 1}, seed=0)


# ---------------------------------------------------------------------- load


@pytest.mark.benchmark(group="3 open and answer the first query")
class TestLoad:
    def test_table_of_40_columns(self, benchmark: Any, made: Made) -> None:
        _note(benchmark, role="ours", target_s=10e-3)
        names = ("metric_3_ms", "metric_17_ms", "metric_39_ms")
        benchmark(lambda: Table.open(made.wide).query(made.X[7811:7812], names))

    def test_table_of_40_columns_asked_for_all(self, benchmark: Any, made: Made) -> None:
        _note(benchmark, role="ours", target_s=50e-3)

        def load() -> NDArray[np.float64]:
            table = Table.open(made.wide)
            return table.query(made.X[7811:7812], table.columns)

        benchmark(load)

    def test_floor_npy_of_15625_by_40(self, benchmark: Any, tmp_path: Path) -> None:
        _note(benchmark, role="floor")
        path = tmp_path / "values.npy"
        np.save(path, np.random.default_rng(0).random((N, 40)))
        benchmark(lambda: np.load(path)[7811])

    def test_peer_dict_of_lists(self, benchmark: Any, hw_pickle: Path) -> None:
        _note(benchmark, role="peer")

        def load() -> list[float]:
            with hw_pickle.open("rb") as stream:
                metrics = pickle.load(stream)["nasbench201"]["cifar10"]
            return [metrics[m][7811] for m in HW_METRICS]

        benchmark(load)

    def test_peer_nats_bench(self, benchmark: Any, nats_api: Callable[[], Any]) -> None:
        _note(benchmark, role="peer")
        benchmark.pedantic(lambda: _ask_nats(nats_api(), 7811), rounds=10, iterations=1)


# ---------------------------------------------------------------------- the peers' archives


@pytest.fixture(scope="module")
def hw_pickle(tmp_path_factory: pytest.TempPathFactory, nb201: SearchSpace) -> Path:
    """Lists of Python floats in nested dicts, with a configuration of each architecture."""
    rng = np.random.default_rng(0)
    archs = nb201.decode(nb201.enumerate())
    content: dict[str, list[Any]] = {name: rng.random(N).tolist() for name in HW_METRICS}
    content["config"] = [{"name": "infer.tiny", "C": 16, "N": 5, "arch_str": a, "num_classes": 10} for a in archs]
    path = tmp_path_factory.mktemp("hw") / "HW-NAS-Bench.pickle"
    path.write_bytes(pickle.dumps({"nasbench201": {"cifar10": content}}, protocol=4))
    return path


@pytest.fixture(scope="module")
def nats_api(tmp_path_factory: pytest.TempPathFactory, nb201: SearchSpace) -> Callable[[], Any]:
    """Opens an archive of 15,625 files, links to four full records of 12 and 200 epochs."""
    api_utils = pytest.importorskip("nats_bench.api_utils", reason="nats-bench is not installed")
    api = pytest.importorskip("nats_bench")
    folder = tmp_path_factory.mktemp("nats") / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    archs = nb201.decode(nb201.enumerate())
    write_pbz2(folder / "meta.pickle.pbz2", {"meta_archs": archs, "total_archs": N})
    rng = np.random.default_rng(0)
    short = {"cifar10-valid": [777], "cifar10": [777], "cifar100": [777], "ImageNet16-120": [777]}
    long = {"cifar10-valid": [777, 888, 999], "cifar10": [777, 888, 999], "cifar100": [777, 888, 999]}
    long["ImageNet16-120"] = [777, 888, 999]
    for i in range(4):
        record = {
            hp: architecture(api_utils, index=i, arch=archs[i], epochs=int(hp), seeds=seeds, rng=rng).state_dict()
            for hp, seeds in (("12", short), ("200", long))
        }
        write_pbz2(folder / f"{i:06d}.pickle.pbz2", record)
    for i in range(4, N):
        os.link(folder / f"{i % 4:06d}.pickle.pbz2", folder / f"{i:06d}.pickle.pbz2")
    return lambda: api.create(str(folder), "tss", fast_mode=True, verbose=False)


def _ask_nats(api: Any, index: int) -> tuple[float, float]:
    accuracy = api.get_more_info(index, "cifar10-valid", hp="200", is_random=False)["valid-accuracy"]
    return accuracy, api.get_cost_info(index, "cifar10-valid", hp="200")["latency"]
