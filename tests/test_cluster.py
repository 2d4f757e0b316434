"""Work is done in order, in as many processes as asked for, with the same results."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nasbench_mo.cluster import run_ordered
from nasbench_mo.errors import ArchitectureError, SpecError


def square(value: int) -> int:
    return value * value


def process_id(_: int) -> int:
    return os.getpid()


def refuse_three(value: int) -> int:
    if value == 3:
        raise ArchitectureError("three is no architecture")
    return value


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


# ---------------------------------------------------------------------- Dask


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
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
