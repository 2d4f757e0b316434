"""A run file is enough to make the run again, bit for bit; a run that is not what it says is found out."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import store_synthetic_nb201

import nasbench_mo as nmo
from nasbench_mo.cli import main
from nasbench_mo.errors import RunError, SearcherError, UnknownNameError
from nasbench_mo.experiment import Run, replay
from nasbench_mo.hardware import blas_kernels
from nasbench_mo.space import CategoricalSpace

PROBLEM = "nb201s-c10-eyeriss-fpga-v1"
#: Searchers that compute with BLAS, with pymoo and with Optuna, each beyond its random start.
SEARCHERS: Mapping[str, Mapping[str, float | int | str]] = {
    "default": {"initial": 8},
    "nsga2": {"population": 10},
    "tpe": {"n_initial": 10},
}
#: Threads of BLAS that wait for each other make ``default`` slow on a busy machine.
BUDGETS = {"default": 12}
BUDGET = 40


def made(name: str, *, problem: str = PROBLEM, seed: int = 3, **more: Any) -> Run:
    opened = nmo.problem(problem)
    searcher = nmo.searcher(name, opened.space, opened.n_objectives, seed=seed, **SEARCHERS.get(name, {}))
    return nmo.run(opened, searcher, **{"budget": BUDGETS.get(name, BUDGET), **more})


def content(run: Run) -> list[list[Any]]:
    """Architectures and values as plain types that keep every bit."""
    return [[arch, *(value.hex() for value in row)] for arch, row in zip(run.archs, run.F.tolist(), strict=True)]


_CHILD = """
import json, sys
sys.path.insert(0, {tests!r})
from test_experiment_replay import SEARCHERS, content, made
print(json.dumps([content(made(name)) for name in SEARCHERS]))
"""


@pytest.fixture(scope="module")
def here() -> list[list[list[Any]]]:
    return [content(made(name)) for name in SEARCHERS]


def test_a_seed_is_the_same_run_in_another_process_and_folder_with_two_threads_and_other_hashes(here, tmp_path):
    assert os.environ["OMP_NUM_THREADS"] == "1"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    hashes = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {
        **os.environ,
        **threads,
        "PYTHONHASHSEED": hashes,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    script = _CHILD.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, ours, theirs in zip(SEARCHERS, here, json.loads(done.stdout), strict=True):
        assert len(ours) == BUDGETS.get(name, BUDGET)
        assert ours == theirs, name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("nsga2", {"budget": 25}),
        ("nsga2", {"noise_seed": 11}),
        ("default", {"known": False, "problem": "nb201s-c10-epyc-v1"}),
        ("default", {"known": True, "problem": "nb201s-c10-epyc-v1"}),
        ("random", {"budget": 70}),
    ],
)
def test_a_file_replays_to_the_same_rows(tmp_path, name, more):
    made(name, **more, out=tmp_path / "run.parquet")
    published = Run.load(tmp_path / "run.parquet")
    found = replay(published)
    assert found.equal
    assert found.other_versions == {}
    assert content(found.replayed) == content(published)
    assert found.replayed.identity == published.identity


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("name", ["nsga2", "mo-asha"])
def test_what_was_seen_of_training_noise_is_seen_again(cache, tmp_path, name, noise):
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    nmo.run(problem, name, budget=25, seed=2, noise_seed=5, noise=noise, out=tmp_path / "run.parquet")
    published = Run.load(tmp_path / "run.parquet")
    assert "+local." in published.identity.problem
    assert replay(published).equal
    store_synthetic_nb201(accuracy_seed=1)
    with pytest.raises(RunError, match="the data at hand are"):
        replay(Run.load(tmp_path / "run.parquet"))


def test_constraints_and_preferences_are_replayed():
    bounded = nmo.problem(PROBLEM).constrained("latency_eyeriss <= 4")
    assert replay(nmo.run(bounded, "nsga2", budget=30, seed=1)).equal
    preferred = nmo.run(
        nmo.problem(PROBLEM), "r-nsga2", budget=30, prefer={"error": 9, "latency_fpga": 3, "latency_eyeriss": 3}
    )
    assert replay(preferred).equal


def altered(run: Run, **changes: Any) -> Run:
    """The same run with something else in it."""
    fields = {
        name: getattr(run, name)
        for name in ("identity", "X", "F", "archs", "degenerate", "wall_s", "simulated_s", "environment")
    }
    return Run(**{**fields, **changes})


def test_the_first_row_that_differs_is_named():
    run = made("random", budget=12)
    archs = list(run.archs)
    archs[5], archs[7] = archs[7], archs[5]
    found = replay(altered(run, archs=archs))
    assert not found.equal
    assert (found.difference.evaluation, found.difference.column) == (5, "arch")
    assert (found.difference.published, found.difference.replayed) == (archs[5], archs[7])
    assert "evaluation 5, column 'arch'" in str(found.difference)


def test_one_bit_of_one_value_is_a_difference():
    run = made("random", budget=12)
    F = run.F.copy()
    F[9, 1] = np.nextafter(F[9, 1], np.inf)
    difference = replay(altered(run, F=F)).difference
    assert (difference.evaluation, difference.column) == (9, "latency_eyeriss_ms")


def test_a_row_less_is_a_difference_and_so_is_another_end():
    run = made("random", budget=12)
    cut = {name: getattr(run, name)[:10] for name in ("X", "F", "archs", "degenerate", "wall_s", "simulated_s")}
    difference = replay(altered(run, **cut)).difference
    assert (difference.evaluation, difference.published, difference.replayed) == (10, None, run.archs[10])
    ended = replay(altered(run, environment={**run.environment, "ended": "searcher exhausted"})).difference
    assert (ended.evaluation, ended.column, ended.replayed) == (None, "ended", "budget")


def test_versions_that_differ_are_named():
    run = made("random", budget=5)
    versions = {**run.environment["versions"], "numpy": "1.0", "botany": "2.0"}
    machine = {**run.environment["machine"], "cpu": "abacus", "blas": "openblas Beads"}
    found = replay(altered(run, environment={**run.environment, "versions": versions, "machine": machine}))
    assert found.equal
    assert set(found.other_versions) == {"numpy", "botany", "cpu", "blas"}
    assert found.other_versions["numpy"] == ("1.0", np.__version__)
    assert found.other_versions["blas"] == ("openblas Beads", blas_kernels())
    assert found.other_versions["botany"] == ("2.0", "not installed")


def test_a_run_records_the_libraries_that_its_searcher_loaded():
    assert "optuna" in made("tpe", budget=12).environment["versions"]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"data_hash": "0" * 64}, RunError, "the run was made on data 000000000000"),
        ({"problem": "mine-v1"}, UnknownNameError, "Run.load\\(path, problem=...\\)"),
        ({"searcher": "nsga22"}, UnknownNameError, "Did you mean 'nsga2'"),
        ({"searcher_options": {"populatoin": 3}}, SearcherError, "got 'populatoin'"),
        ({"fidelities_hash": "1"}, RunError, "its fidelities_hash was '1' and would be ''"),
        ({"space": "fbnet"}, RunError, "its space was 'fbnet'"),
    ],
)
def test_what_cannot_be_replayed_is_refused_by_name(changes, error, says):
    run = made("nsga2", budget=12)
    with pytest.raises(error, match=says):
        replay(altered(run, identity=dataclasses.replace(run.identity, **changes)))


def test_other_objectives_are_refused():
    run = made("random", budget=5)
    objectives = (dataclasses.replace(run.identity.objectives[0], epochs=12), *run.identity.objectives[1:])
    with pytest.raises(RunError, match="the run's objectives were"):
        replay(altered(run, identity=dataclasses.replace(run.identity, objectives=objectives)))


def test_a_problem_of_ones_own_is_replayed_when_it_is_given(tmp_path):
    space = CategoricalSpace("toy", {"a": list(range(8)), "b": list(range(8))})
    objectives = [nmo.Objective(name=n, unit="count", kind="modelled") for n in ("up", "down")]
    own = nmo.Problem.from_function(
        "toy-v1", lambda X: np.stack([X.sum(1), -X[:, 0]], 1) * 1.0, search_space=space, objectives=objectives
    )
    nmo.run(own, "nsga2", budget=30, out=tmp_path / "run.parquet")
    assert replay(Run.load(tmp_path / "run.parquet", problem=own)).equal


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", *arguments])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_the_command_says_whether_a_file_replays(call, tmp_path):
    run = made("random", budget=12)
    run.save(tmp_path / "same.parquet")
    code, text, _ = call("replay", "same.parquet")
    assert (code, text.count("\n")) == (0, 1)
    assert "12 evaluations, the same bit for bit" in text
    facts = json.loads(call("replay", "same.parquet", "--json")[1])
    assert (facts["equal"], facts["evaluations"], facts["difference"]) == (True, 12, None)

    F = run.F.copy()
    F[4, 0] += 1.0
    altered(run, F=F).save(tmp_path / "other.parquet")
    code, text, _ = call("replay", "other.parquet")
    assert code == 1
    assert "first difference: evaluation 4, column 'error_percent'" in text
    code, text, _ = call("replay", "other.parquet", "--json")
    assert (code, json.loads(text)["difference"]["evaluation"]) == (1, 4)


def test_the_command_refuses_what_is_no_run(call, tmp_path):
    (tmp_path / "none.parquet").write_text("x")
    for name in ("none.parquet", "missing.parquet"):
        code, text, message = call("replay", name)
        assert (code, text) == (2, "")
        assert name in message
