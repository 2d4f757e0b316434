"""Experiments on local processes and on Dask: nothing lost, nothing run twice, resumed after a kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import ERROR, LATENCY, PREDICTED, opposed, store_synthetic_nb201, toy_problem, toy_space
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.cli import main
from nasbench_mo.errors import ArtifactError, RunError, SearcherError, SpecError, UnknownNameError
from nasbench_mo.experiment import Run, experiment, run
from nasbench_mo.experiment import many as many_module

pytestmark = pytest.mark.usefixtures("cache")

#: Where the evaluations of :func:`logged_problem` are written down: it is made in other processes, too.
LOG = "NASBENCH_MO_TEST_LOG"
BUDGET = 24
BATCH = 4
OPTIONS = {"nsga2": {"population": BATCH}}


def logged(X: NDArray[Any]) -> NDArray[np.float64]:
    """Write down who evaluated what; die where ``<log>.die-at-<n>`` says so, once, before the n-th evaluation."""
    log = Path(os.environ[LOG])
    with log.open("ab", buffering=0) as stream:
        for row in X:
            stream.write(f"{os.getpid()} {'-'.join(map(str, row))}\n".encode())
    for order in log.parent.glob(f"{log.name}.die-at-*"):
        if len(log.read_bytes().splitlines()) >= int(order.name.rpartition("-")[2]):
            try:
                order.unlink()
            except FileNotFoundError:
                continue  # another process was faster to die
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return opposed(X)


def logged_problem() -> Problem:
    return Problem.from_function("logged-v1", logged, search_space=toy_space(6, 6, 6, 6), objectives=[ERROR, LATENCY])


def quiet_problem() -> Problem:
    return toy_problem(6, 6, 6, 6)


def changed_problem() -> Problem:
    """Under the id of another, over other objectives."""
    return Problem.from_function("toy-v1", opposed, search_space=toy_space(6, 6, 6, 6), objectives=[LATENCY, ERROR])


def slashed_problem() -> Problem:
    return toy_problem(3, 3, id="../elsewhere")


def fails_with_seed_one(X: NDArray[Any]) -> NDArray[np.float64]:
    raise NameError("name 'trian' is not defined")


def broken_problem() -> Problem:
    return Problem.from_function("broken-v1", fails_with_seed_one, search_space=toy_space(4, 4), objectives=[ERROR])


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "log"
    monkeypatch.setenv(LOG, str(file))
    return file


def evaluations(log: Path) -> list[tuple[str, str]]:
    return [tuple(line.split()) for line in log.read_text().splitlines()]  # type: ignore[misc]


@contextmanager
def dask_workers(n: int) -> Iterator[Any]:
    """A real cluster: a scheduler, and so many worker processes that are started again when they die."""
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    with distributed.LocalCluster(
        n_workers=n, threads_per_worker=1, dashboard_address=":0", silence_logs=50, host="127.0.0.1"
    ) as cluster:
        yield cluster


def assert_as_if_run_alone(paths: list[Path], *, seeds: range) -> None:
    """Every file holds what one process without an interruption makes of its seed."""
    os.environ[LOG] = os.devnull
    problem = logged_problem()
    assert [int(path.stem) for path in paths] == list(seeds)
    for path in paths:
        found = Run.load(path, problem=problem)
        alone = run(
            problem,
            many_module._searcher("nsga2", problem, seed=int(path.stem), options=OPTIONS["nsga2"]),
            budget=BUDGET,
        )
        assert found.identity == alone.identity
        assert found.archs == alone.archs
        np.testing.assert_array_equal(found.F, alone.F)
    leftovers = [p.name for p in paths[0].parent.iterdir() if p not in paths]
    assert leftovers == []


# ---------------------------------------------------------------------- what is run


def test_every_problem_searcher_and_seed_is_one_file_and_is_not_made_again(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    arguments: dict[str, Any] = {"seeds": range(3), "budget": 20, "out": tmp_path / "runs"}
    paths = experiment(
        [quiet_problem, PREDICTED], ["random", "nsga2"], **arguments, progress=lambda d, n: seen.append((d, n))
    )
    assert [str(p.relative_to(tmp_path / "runs")) for p in paths] == [
        f"{problem}/{name}/{seed}.parquet"
        for problem in ("toy-v1", PREDICTED)
        for name in ("random", "nsga2")
        for seed in range(3)
    ]
    assert seen == [(i, 12) for i in range(13)]
    before = [p.stat().st_mtime_ns for p in paths]
    seen.clear()
    again = experiment(
        [quiet_problem, PREDICTED], ["random", "nsga2"], **arguments, progress=lambda d, n: seen.append((d, n))
    )
    assert again == paths
    assert seen == [(12, 12)]
    assert [p.stat().st_mtime_ns for p in paths] == before
    paths[4].unlink()
    experiment([quiet_problem, PREDICTED], ["random", "nsga2"], **arguments)
    assert [p.stat().st_mtime_ns != b for p, b in zip(paths, before, strict=True)] == [i == 4 for i in range(12)]


def test_runs_record_the_searchers_own_cpu_time(tmp_path: Path) -> None:
    fast, slow = experiment([PREDICTED], ["random", "default"], seeds=[0], budget=20, out=tmp_path / "runs")
    spent = [Run.load(path).environment["searcher_cpu_s"] for path in (fast, slow)]
    assert 0 <= spent[0] < spent[1]


def test_options_reach_the_searcher_and_the_strict_box_those_that_can_use_it(tmp_path: Path) -> None:
    paths = experiment(
        [PREDICTED],
        ["nsga2", "default"],
        seeds=[0],
        budget=8,
        out=tmp_path / "runs",
        options={"nsga2": {"population": 4}},
        strict=True,
    )
    nsga2, default = (Run.load(path).identity.searcher_options for path in paths)
    assert nsga2["population"] == 4
    assert re.fullmatch(r"20(,[\d.]+){2}", str(default["reference"]))


def test_noise_and_knowledge_are_part_of_a_runs_identity(tmp_path: Path) -> None:
    store_synthetic_nb201()
    arguments: dict[str, Any] = {"seeds": [0], "budget": 10}
    noisy, plain = (
        experiment(["nb201-c10-fpga-v1"], ["random"], **arguments, out=tmp_path / str(noise), noise=noise)[0]
        for noise in (True, False)
    )
    assert Run.load(noisy).identity.objectives[0].seed == "drawn"
    assert Run.load(plain).identity.objectives[0].seed == "mean"
    with pytest.raises(RunError, match="holds another run: its objectives differ"):
        experiment(["nb201-c10-fpga-v1"], ["random"], **arguments, out=tmp_path / "True", noise=False)


# ---------------------------------------------------------------------- processes that die


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_local_process_loses_nothing(log: Path, tmp_path: Path) -> None:
    Path(f"{log}.die-at-30").touch()
    paths = experiment(
        [logged_problem], ["nsga2"], seeds=range(4), budget=BUDGET, out=tmp_path / "runs", processes=2, options=OPTIONS
    )
    assert not list(tmp_path.glob("log.die-at-*")), "no process was killed"
    done = evaluations(log)
    assert len({pid for pid, _ in done}) == 3
    assert 4 * BUDGET < len(done) <= 4 * BUDGET + BATCH  # the batch that was not yet in a journal is evaluated again
    assert_as_if_run_alone(paths, seeds=range(4))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_on_two_dask_workers_one_is_killed_and_the_experiment_restarted(log: Path, tmp_path: Path) -> None:
    Path(f"{log}.die-at-30").touch()
    seeds = range(6)
    arguments: dict[str, Any] = {"seeds": seeds, "budget": BUDGET, "out": tmp_path / "runs", "options": OPTIONS}

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with dask_workers(2) as cluster, pytest.raises(KeyboardInterrupt):
        experiment([logged_problem], ["nsga2"], **arguments, cluster=cluster.scheduler_address, progress=interrupt)
    assert not list(tmp_path.glob("log.die-at-*")), "no worker was killed"
    killed = len(evaluations(log))
    present = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").glob("*/*/*.parquet")}
    assert 3 <= len(present) < 6
    with dask_workers(2) as cluster:
        paths = experiment([logged_problem], ["nsga2"], **arguments, cluster=cluster.scheduler_address)
    assert {p: p.stat().st_mtime_ns for p in present} == present  # what was there was not run again
    done = evaluations(log)
    # A batch is evaluated again where a worker was killed, and where the cluster was closed under both workers.
    assert 6 * BUDGET < len(done) <= 6 * BUDGET + 3 * BATCH
    assert len(done) > killed
    assert_as_if_run_alone(paths, seeds=seeds)


COMMAND = [
    "experiment",
    "run",
    "--problems",
    PREDICTED,
    "--searchers",
    "nsga2",
    "--seeds",
    "0-2",
    "--budget",
    "2000",
]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_command_goes_on_when_it_is_given_again(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    command = [sys.executable, "-c", "from nasbench_mo.cli import main; main()", *COMMAND, "--out", str(out)]
    process = subprocess.Popen([*command, "--processes", "2"])
    folder = out / PREDICTED / "nsga2"
    deadline = time.monotonic() + 90
    while not list(folder.glob("*.parquet")) or not list(folder.glob("*.jsonl")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    present = {p: p.stat().st_mtime_ns for p in folder.glob("*.parquet")}
    assert len(present) < 3
    # Its orphans may still be at a run; the new command waits for them or takes over.
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert '"runs": 3' in done.stdout
    assert {p: p.stat().st_mtime_ns for p in present} == present
    assert sorted(p.name for p in folder.iterdir()) == [f"{seed}.parquet" for seed in range(3)]
    alone = run(many_module._opened(PREDICTED), "nsga2", budget=2000, seed=2)
    assert Run.load(folder / "2.parquet").archs == alone.archs


def test_a_run_that_another_process_is_making_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "runs" / "toy-v1" / "random" / "0.parquet"
    finish = []

    def while_waiting(_: float) -> None:
        finish.pop()()

    def other(done: int, budget: int) -> None:
        if done == 64:  # in the middle of the other's run, which holds the lock
            finish.append(lambda: (_ for _ in ()).throw(InterruptedError("waited")))
            experiment([quiet_problem], ["random"], seeds=[0], budget=100, out=tmp_path / "runs")

    monkeypatch.setattr(many_module.time, "sleep", while_waiting)
    with pytest.raises(RunError, match=r"1 of 1 runs could not be made.*waited \(InterruptedError\)"):
        run(quiet_problem(), "random", budget=100, out=out, progress=other)
    monkeypatch.undo()


# ---------------------------------------------------------------------- wrong input


def test_one_run_that_cannot_be_made_does_not_stop_the_others(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"2 of 4 runs could not be made; the first, .*broken-v1.*trian.*The others"):
        experiment([broken_problem, quiet_problem], ["random"], seeds=[0, 1], budget=10, out=tmp_path / "runs")
    assert len(list((tmp_path / "runs").glob("*/*/*.parquet"))) == 2


def test_another_run_in_the_place_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"out": tmp_path / "runs"}
    experiment([quiet_problem], ["random"], seeds=[5], budget=10, **arguments)
    with pytest.raises(RunError, match=r"budget_evaluations differ .* is 10, asked for is 11"):
        experiment([quiet_problem], ["random"], seeds=range(6), budget=11, **arguments)
    with pytest.raises(RunError, match="its data_hash, objectives differ"):
        experiment([changed_problem], ["random"], seeds=range(6), budget=10, **arguments)
    assert len(list((tmp_path / "runs").glob("*/*/*.parquet"))) == 1
    (tmp_path / "runs" / "toy-v1" / "random" / "5.parquet").write_text("damaged")
    with pytest.raises(RunError, match="not a readable run file"):
        experiment([quiet_problem], ["random"], seeds=range(6), budget=10, **arguments)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"problems": []}, RunError, "problems must be some, each once"),
        ({"seeds": [1, 1]}, RunError, "seeds must be some, each once"),
        ({"searchers": ["nsga2", "nsga2"]}, RunError, "searchers must be some"),
        ({"searchers": ["nsga3000"]}, UnknownNameError, "nsga3000"),
        ({"problems": ["nb201-c10-fpga-v1"]}, ArtifactError, "not imported"),
        ({"problems": [slashed_problem]}, RunError, "becomes the name of a folder"),
        ({"options": {"nsga2": {"size": 3}}}, SearcherError, "population"),
        ({"options": {"nsga3": {"population": 4}}}, RunError, "none of nsga2"),
        ({"seeds": [-1]}, SearcherError, "seed"),
        ({"processes": 0}, SpecError, "at least one process"),
        ({"budget": 0}, RunError, "budget must be an integer"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    change: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"problems": [quiet_problem], "searchers": ["nsga2"], "seeds": [0], "budget": 10}
    arguments |= change
    problems, searchers = arguments.pop("problems"), arguments.pop("searchers")
    with pytest.raises(error, match=words):
        experiment(problems, searchers, **arguments, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_worker_with_other_data_is_refused() -> None:
    many_module._kept.clear()
    with pytest.raises(RunError, match="import the same tables on every worker"):
        many_module._opened(quiet_problem, data_hash="0" * 64)


# ---------------------------------------------------------------------- the command line


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", "experiment", *arguments])
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_one_command_runs_and_writes_the_figures_and_another_prints_them(call: Any, tmp_path: Path) -> None:
    asked = ("--problems", PREDICTED, "--searchers", "random,nsga2", "--seeds", "0-2,4", "--budget", "60")
    code, text, message = call(
        "run", *asked, "--out", "runs", "--option", "nsga2.population=10", "--figures", "page.md"
    )
    assert (code, message) == (0, "")
    assert "8 runs in runs, 8 of them made now" in text
    page = (tmp_path / "page.md").read_text()
    assert "--seeds 0-2,4 --budget 60" in page
    assert re.search(r"\| nsga2 \| population=10, p_mutation=0.9 \| 4 \| 60 \| ", page)
    code, text, _ = call("figures", "runs")
    assert text.splitlines()[4:] == page.splitlines()[4:]  # but for the command, the same numbers
    code, text, _ = call("figures", "runs", "--json", "--strict")
    assert code == 0
    assert '"runs": 4' in text
    assert (
        call("run", *asked, "--out", "runs", "--option", "nsga2.population=10", "--json")[1].count('"made_now": 0') == 1
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("figures", "nowhere"), "holds no run of an experiment"),
        (("run", "--seeds", "a-3"), "expects numbers and ranges"),
        (("run", "--seeds", "3-1"), "seeds must be some"),
        (("run", "--option", "population=4"), "expects SEARCHER.NAME=VALUE"),
        (("run", "--cluster", "cluster.yaml"), "cluster.yaml"),
    ],
)
def test_wrong_commands_are_one_sentence_and_exit_2(call: Any, arguments: tuple[str, ...], words: str) -> None:
    if "--cluster" in arguments:
        pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    rest = ("--problems", PREDICTED, "--searchers", "random", "--out", "runs") if arguments[0] == "run" else ()
    code, text, message = call(*arguments, *rest)
    assert (code, text) == (2, "")
    assert words in message
    assert message.count("\n") == 1
