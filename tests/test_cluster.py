"""Work is done in order, in as many processes as asked for, with the same results."""

from __future__ import annotations

import gc
import operator
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nasbench_mo.cluster import Executor, run_ordered
from nasbench_mo.cluster.deployment import Deployment
from nasbench_mo.cluster.local import DEATHS
from nasbench_mo.errors import ArchitectureError, MissingDependencyError, SpecError, WorkerDiedError


def square(value: int) -> int:
    return value * value


def process_id(_: int) -> int:
    return os.getpid()


def refuse_three(value: int) -> int:
    if value == 3:
        raise ArchitectureError("three is no architecture")
    return value


def wait_for_file(item: tuple[str, str]) -> str:
    """Write the second file, then wait for the first if there is one to wait for."""
    awaited, written = item
    Path(written).touch()
    if awaited:
        wait_for(Path(awaited))
    return Path(written).name


def die(marker: str) -> str:
    """Kill this process, as often as there are files ``<marker>.<n>`` to delete; a path without them is harmless."""
    left = sorted(Path(marker).parent.glob(f"{Path(marker).name}.*"))
    if left:
        left[0].unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return Path(marker).name


def test_results_come_in_order_whatever_the_number_of_processes() -> None:
    items = list(range(8))
    expected = [square(i) for i in items]
    assert list(run_ordered(square, items)) == expected
    assert list(run_ordered(square, items, n_processes=2)) == expected


def test_one_process_is_this_one_and_two_are_others() -> None:
    assert set(run_ordered(process_id, [0, 1])) == {os.getpid()}
    assert os.getpid() not in set(run_ordered(process_id, [0, 1], n_processes=2))


def test_one_item_needs_no_other_process() -> None:
    assert list(run_ordered(process_id, [0], n_processes=4)) == [os.getpid()]
    assert list(run_ordered(process_id, [], n_processes=4)) == []


def test_one_process_works_item_by_item() -> None:
    done: list[int] = []
    results: Iterator[None] = run_ordered(done.append, [1, 2, 3])
    assert done == []
    next(results)
    assert done == [1]


@pytest.mark.parametrize("n_processes", [1, 2])
def test_an_error_of_the_work_is_the_callers(n_processes: int) -> None:
    with pytest.raises(ArchitectureError, match="three is no architecture"):
        list(run_ordered(refuse_three, range(5), n_processes=n_processes))


@pytest.mark.parametrize("n_processes", [0, -1])
def test_no_process_is_refused_at_once(n_processes: int) -> None:
    with pytest.raises(SpecError, match="at least one process, got"):
        run_ordered(square, [1], n_processes=n_processes)


def test_a_killed_parent_takes_its_processes_with_it() -> None:
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from test_cluster import report_and_wait; "
        "from nasbench_mo.cluster import run_ordered\n"
        "if __name__ == '__main__': list(run_ordered(report_and_wait, [sys.argv[2] + str(i) for i in range(2)], "
        "n_processes=2))"
    )
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(script)
        here = str(Path(__file__).parent)
        parent = subprocess.Popen([sys.executable, str(program), here, f"{folder}/worker"])
        try:
            pids = [int(wait_for(Path(f"{folder}/worker{i}"))) for i in range(2)]
        finally:
            parent.kill()
            parent.wait()
        deadline = time.monotonic() + 20
        while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(is_running(pid) for pid in pids)


def report_and_wait(path: str) -> None:
    Path(f"{path}.part").write_text(str(os.getpid()))
    Path(f"{path}.part").replace(path)
    time.sleep(60)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path.read_text()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_slow_item_holds_nothing_up(tmp_path: Path) -> None:
    """The first item can end only after the last has begun: in order, two processes would wait for ever."""
    last = str(tmp_path / "3")
    items = [(last, str(tmp_path / "0")), *(("", str(tmp_path / str(i))) for i in (1, 2)), ("", last)]
    with Executor(n_processes=2) as executor:
        outcomes = list(executor.as_completed(wait_for_file, items))
        assert sorted(o.index for o in outcomes) == [0, 1, 2, 3]
        assert outcomes[0].index != 0
        assert {o.index: o.result() for o in outcomes} == {0: "0", 1: "1", 2: "2", 3: "3"}


@pytest.mark.parametrize("n_processes", [1, 2])
def test_an_error_is_the_outcome_of_its_item_alone(n_processes: int) -> None:
    with Executor(n_processes=n_processes) as executor:
        outcomes = {o.index: o for o in executor.as_completed(refuse_three, range(6))}
    assert sorted(outcomes) == list(range(6))
    assert [i for i, o in outcomes.items() if o.error is not None] == [3]
    with pytest.raises(ArchitectureError, match="three is no architecture"):
        outcomes[3].result()


def test_a_killed_process_costs_its_item_a_fresh_start_and_nothing_else(tmp_path: Path) -> None:
    items = [str(tmp_path / name) for name in ("a", "killed-twice", "b", "killed-always", "c", "d")]
    for i in range(DEATHS - 1):
        Path(f"{items[1]}.{i}").touch()
    for i in range(DEATHS + 1):
        Path(f"{items[3]}.{i}").touch()
    with Executor(n_processes=2) as executor:
        outcomes = {o.index: o for o in executor.as_completed(die, items)}
    assert sorted(outcomes) == list(range(6))
    assert [o.value for _, o in sorted(outcomes.items())] == ["a", "killed-twice", "b", None, "c", "d"]
    with pytest.raises(WorkerDiedError, match=f"item 3 died {DEATHS} times"):
        outcomes[3].result()
    assert len(list(tmp_path.glob("killed-*"))) == 1  # tried so often, and no oftener


def test_a_process_killed_while_idle_is_replaced(tmp_path: Path) -> None:
    killed: list[int] = []
    with Executor(n_processes=2) as executor:
        for outcome in executor.as_completed(process_id, range(12)):
            if not killed:
                killed.append(outcome.result())
                os.kill(killed[0], signal.SIGKILL)
                while is_running(killed[0]):
                    time.sleep(0.01)
        # the item it had been given meanwhile was begun again elsewhere; all twelve came, or the loop had not ended
    assert killed


def test_ordered_results_wait_for_the_slow_one(tmp_path: Path) -> None:
    last = str(tmp_path / "3")
    items = [(last, str(tmp_path / "0")), *(("", str(tmp_path / str(i))) for i in (1, 2)), ("", last)]
    assert list(run_ordered(wait_for_file, items, n_processes=2)) == ["0", "1", "2", "3"]


# ---------------------------------------------------------------------- Dask


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp", host="127.0.0.1"
    ) as cluster:
        yield cluster.scheduler_address


def test_dask_gives_the_same_results_in_order(scheduler: str) -> None:
    items = list(range(20))
    assert list(run_ordered(square, items, scheduler=scheduler)) == [square(i) for i in items]
    assert list(run_ordered(square, [], scheduler=scheduler)) == []


def test_an_error_on_dask_is_the_callers(scheduler: str) -> None:
    with pytest.raises(ArchitectureError, match="three is no architecture"):
        list(run_ordered(refuse_three, range(5), scheduler=scheduler))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere at all"])
def test_an_address_without_a_scheduler_is_refused_at_once(address: str) -> None:
    pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    with pytest.raises(SpecError, match="no Dask scheduler answers"):
        run_ordered(square, [1], scheduler=address)


def test_a_client_that_could_not_connect_has_ended_when_the_error_comes() -> None:
    """Left to the collector, it could end while another client holds the lock which it takes, and wait for ever."""
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    gc.disable()
    try:
        others = [thing for thing in gc.get_objects() if type(thing) is distributed.Client]
        with pytest.raises(SpecError, match="no Dask scheduler answers"):
            run_ordered(square, [1], scheduler="nowhere at all")
        left = [thing for thing in gc.get_objects() if type(thing) is distributed.Client and thing not in others]
        assert [client.status for client in left] == ["closed"]
    finally:
        gc.enable()


def test_dask_outcomes_come_as_they_are_ready(scheduler: str) -> None:
    with Executor(cluster=scheduler) as executor:
        outcomes = {o.index: o for o in executor.as_completed(refuse_three, range(6))}
        assert sorted(outcomes) == list(range(6))
        assert isinstance(outcomes[3].error, ArchitectureError)
        assert outcomes[4].result() == 4
        assert list(executor.ordered(square, [1, 2, 3])) == [1, 4, 9]  # the same cluster again


def test_an_event_loop_that_starts_late_is_waited_for(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    client, refused = distributed.Client, []

    def late(*given: Any, **options: Any) -> Any:
        if not refused:
            refused.append(given)
            raise AssertionError
        return client(*given, **options)

    monkeypatch.setattr(distributed, "Client", late)
    assert list(run_ordered(square, [1, 2], scheduler=scheduler)) == [1, 4]
    assert refused == [(scheduler,)]


def test_an_executor_on_a_cluster_has_to_be_entered(scheduler: str) -> None:
    with pytest.raises(SpecError, match="within its 'with' block"):
        Executor(cluster=scheduler).as_completed(square, [1])


def test_an_item_that_kills_worker_after_worker_is_given_up(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    items = [str(tmp_path / name) for name in ("a", "killed-once", "b", "killed-always")]
    Path(f"{items[1]}.0").touch()
    for i in range(20):
        Path(f"{items[3]}.{i:02}").touch()
    file = tmp_path / "cluster.yaml"
    file.write_text("scheduler: local\njobs: 2\noptions: {silence_logs: 50}\n")
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), Executor(cluster=file) as executor:
        outcomes = {o.index: o for o in executor.as_completed(die, items)}
    assert distributed
    assert [o.value for _, o in sorted(outcomes.items())] == ["a", "killed-once", "b", None]
    assert isinstance(outcomes[3].error, WorkerDiedError)


# ---------------------------------------------------------------------- cluster files


class StandIn:
    """In place of dask-jobqueue's clusters: keeps what it is told."""

    made: list[StandIn]

    def __init__(self, **options: Any) -> None:
        if "nonsense" in options:
            raise TypeError("unexpected keyword argument 'nonsense'")
        self.options = options
        self.jobs = 0
        StandIn.made.append(self)

    def scale(self, *, jobs: int) -> None:
        self.jobs = jobs


@pytest.fixture
def jobqueue(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    StandIn.made = []
    module = ModuleType("dask_jobqueue")
    for name in ("SLURMCluster", "OARCluster", "PBSCluster"):
        setattr(module, name, type(name, (StandIn,), {}))
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    return module


@pytest.mark.parametrize(("name", "kind"), [("slurm", "SLURMCluster"), ("oar", "OARCluster"), ("pbs", "PBSCluster")])
def test_a_cluster_file_starts_the_batch_systems_cluster(
    name: str, kind: str, jobqueue: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(f'scheduler: {name}\njobs: 8\noptions:\n  memory: 4GB\n  walltime: "04:00:00"\n  cores: 2\n')
    cluster = Deployment.read(file).started()
    assert isinstance(cluster, getattr(jobqueue, kind))
    assert cluster.options == {"cores": 2, "processes": 1, "memory": "4GB", "walltime": "04:00:00"}
    assert cluster.jobs == 8
    assert len(StandIn.made) == 1


def test_a_local_cluster_of_a_file_is_used_and_closed(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    file = tmp_path / "cluster.yaml"
    file.write_text("scheduler: local\njobs: 2\noptions: {processes: false, silence_logs: 50}\n")
    with Executor(cluster=file) as executor:
        assert list(executor.ordered(square, range(5))) == [0, 1, 4, 9, 16]
        workers = executor._client.nasbench_mo_cluster
        assert len(workers.workers) == 2
    assert workers.status.name == "closed"
    assert list(run_ordered(square, [3, 4], scheduler=str(file))) == [9, 16]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scheduler: slurm\n", "'jobs' is missing"),
        ("scheduler: slrum\njobs: 2\n", "Did you mean 'slurm'"),
        ("scheduler: slurm\njobs: 0\n", "at least 1, got 0"),
        ("scheduler: slurm\njobs: two\n", "at least 1, got 'two'"),
        ("scheduler: slurm\njobs: 2\noptions: [1]\n", "options must map names"),
        ("scheduler: slurm\njobs: 2\nqueue: x\n", "unknown field 'queue'"),
        (
            "scheduler: slurm\njobs: 2\noptions: {nonsense: 1}\n",
            "does not start with the options: unexpected keyword",
        ),
        ("[", "not readable as YAML"),
    ],
)
def test_a_wrong_cluster_file_is_refused(text: str, words: str, jobqueue: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=words), Executor(cluster=str(file)):
        pass
    assert not StandIn.made


#: A batch system of one machine: a job is run at once, in the background, and has a number.
_SUBMIT = """#!/bin/sh
[ "$1" = "-S" ] && exec "$2"
cp "$1" {folder}/job.$$
nohup sh {folder}/job.$$ >{folder}/job.$$.log 2>&1 </dev/null &
echo "Submitted batch job $!"
"""


def test_a_slurm_file_submits_jobs_that_do_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dask-jobqueue itself, and commands in Slurm's place that run the job's script here."""
    pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue comes with the extra 'cluster'")
    for name, text in (("sbatch", _SUBMIT.format(folder=tmp_path)), ("scancel", "#!/bin/sh\nkill $1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "scheduler: slurm\njobs: 1\noptions: {memory: 1GB, queue: batch, walltime: '00:10:00', interface: lo}\n"
    )
    with Executor(cluster=file) as executor:
        assert list(executor.ordered(operator.neg, range(5))) == [0, -1, -2, -3, -4]
    (script,) = tmp_path.glob("job.*[0-9]")
    text = script.read_text()
    assert "#SBATCH -p batch" in text
    assert "#SBATCH -t 00:10:00" in text


def test_a_batch_system_without_dask_jobqueue_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    file = tmp_path / "cluster.yaml"
    file.write_text("scheduler: slurm\njobs: 2\n")
    with pytest.raises(MissingDependencyError, match=r"nasbench-mo\[cluster\]"):
        Deployment.read(file).started()
