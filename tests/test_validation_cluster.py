"""Validations on Dask: the same bits, measurements by a worker, and a worker that is killed costs one epoch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from validation_helpers import chosen_of, fake_run, no_profile, same_training, write_images

from nasbench_mo.errors import FormatError
from nasbench_mo.profiling import LatencyProtocol
from nasbench_mo.training.datasets import find_dataset
from nasbench_mo.training.trainer import Recipe
from nasbench_mo.validation import Study, study, validate

pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")

RECIPE = Recipe(channels=4, epochs=6, batch_size=30)
VALUES = [[0.0, 1.0], [1.0, 0.0], [0.4, 0.4]]
CONTINUED = "the training was continued from a checkpoint"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("cluster") / "toy.npz", n_train=450)


def validated(out: Path, images: Path, **options: Any) -> Study:
    run = fake_run(VALUES)
    return validate(run, chosen_of(run, n=2), dataset=find_dataset(str(images)), out=out, recipe=RECIPE, **options)


def kill_once(pid: Callable[[], int], checkpoints: Path, killed: list[int], *, n_begun: int = 1) -> None:
    """Kill a worker as soon as so many trainings have written a checkpoint."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not killed:
        if len(list(checkpoints.glob("*.ckpt"))) >= n_begun:
            killed.append(pid())
            os.kill(killed[0], signal.SIGKILL)
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is of POSIX")
def test_a_killed_local_process_costs_one_epoch_and_no_bit(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "_profiled", lambda wanted, **_: no_profile(wanted.archs))
    whole = validated(tmp_path / "whole", images)
    killed: list[int] = []

    def a_worker() -> int:
        pid = multiprocessing.active_children()[0].pid
        assert pid is not None
        return pid

    checkpoints = tmp_path / "out" / "work" / study.CHECKPOINTS
    killer = threading.Thread(target=kill_once, args=(a_worker, checkpoints, killed), kwargs={"n_begun": 2})
    killer.start()
    found = validated(tmp_path / "out", images, n_processes=2)
    killer.join()
    assert len(killed) == 1
    assert all(same_training(a, b) for a, b in zip(found.trained, whole.trained, strict=True))
    continued = [done for done in found.trained if done.no_joules_because == CONTINUED]
    assert len(continued) == 1  # the killed one, and not from its start


def test_a_killed_dask_worker_costs_one_epoch_and_no_bit(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    monkeypatch.setattr(study, "_profiled", lambda wanted, **_: no_profile(wanted.archs))
    whole = validated(tmp_path / "whole", images)
    killed: list[int] = []
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as watcher,
    ):
        checkpoints = tmp_path / "out" / "work" / study.CHECKPOINTS
        (pid,) = watcher.run(os.getpid).values()
        killer = threading.Thread(target=kill_once, args=(lambda: pid, checkpoints, killed))
        killer.start()
        found = validated(tmp_path / "out", images, scheduler=cluster.scheduler_address)
        killer.join()
    assert len(killed) == 1
    assert all(same_training(a, b) for a, b in zip(found.trained, whole.trained, strict=True))
    continued = [done for done in found.trained if done.no_joules_because == CONTINUED]
    assert len(continued) == 1  # the killed one began where its checkpoint was, not at the start


def test_a_worker_trains_and_measures_and_a_failed_network_stops_nobody(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are threads here, so that one can see that it is they who measure."""
    distributed = pytest.importorskip("distributed", reason="Dask comes with the extra 'cluster'")
    from nasbench_mo.validation import shortlist_profile

    measured_by: list[str] = []
    honest, export = study.profile, study.trained_model

    def measuring(*args: Any, **kwargs: Any) -> Any:
        measured_by.append(threading.current_thread().name)
        return honest(*args, **kwargs)

    def refusing(network: Any, *, arch: str, **kwargs: Any) -> bytes:
        if arch == chosen_of(fake_run(VALUES), n=1)[0].arch:
            raise FormatError("opset 13 lacks this operator")
        return export(network, arch=arch, **kwargs)

    monkeypatch.setattr(study, "profile", measuring)
    monkeypatch.setattr(shortlist_profile, "DEPLOYED", LatencyProtocol(rounds=20, runs=1, warm_up=0))
    monkeypatch.setattr("nasbench_mo.profiling.cpu.resident_mib", lambda model, n_threads: 1.0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp", host="127.0.0.1"
    ) as cluster:
        with monkeypatch.context() as patch:
            patch.setattr(study, "trained_model", refusing)
            found = validated(tmp_path / "out", images, scheduler=cluster.scheduler_address)
        again = validated(tmp_path / "out", images, scheduler=cluster.scheduler_address)
    assert [done.failure for done in found.trained] == ["FormatError: opset 13 lacks this operator", None]
    assert (found.profile.latency_us["p50"] > 0).all()
    assert again.trained[0].no_joules_because == CONTINUED  # of its last epoch
    assert again.trained[1] == found.trained[1]
    assert len(measured_by) == 1
    assert measured_by[0] != threading.main_thread().name
