"""Kill -9 at a step of every writer: what is on the disk afterwards is what was there before or what was written.

    PYTHONPATH=. python tests/killing.py 50

Steps are the lines of the package that a writer executes; the kill comes before one of them, drawn from a seed. A
process is forked for each round, so that one import serves all. Exit status 1 where a file is half.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import nasbench_mo
from nasbench_mo import artifacts

PACKAGE = str(Path(nasbench_mo.__file__).parent)


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A writer under test.

    Parameters
    ----------
    name
        For the report.
    write
        Writes version 0 or 1 of a thing into a folder.
    read
        Reads it with the package's own reader and says what it holds; it raises where it is half.
    allowed
        What may be found when version 1 was being written over version 0; by default either of the two.
    """

    name: str
    write: Callable[[Path, int], object]
    read: Callable[[Path], Any]
    allowed: Callable[[Any, Any, Any], bool] = lambda found, old, new: found in (old, new)


def counted(action: Callable[[], object]) -> int:
    """Lines of the package that an action executes."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        lines += event == "line"
        return trace

    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(None)
    return lines


def killed_at(action: Callable[[], object], *, step: int) -> None:
    """Do an action in a forked process that kills itself before a line."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        lines += event == "line"
        if lines == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    try:
        action()
    finally:
        os._exit(0)


def round_of(writer: Writer, *, rng: random.Random) -> str:
    """One kill; what is wrong afterwards, empty where nothing is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer.write(folder / "new", 0)
        writer.write(folder / "new", 1)
        new = writer.read(folder / "new")
        writer.write(folder / "here", 0)
        old = writer.read(folder / "here")
        shutil.copytree(folder / "here", folder / "copy")
        steps = counted(lambda: writer.write(folder / "copy", 1))
        step = rng.randint(1, steps)
        killed_at(lambda: writer.write(folder / "here", 1), step=step)
        try:
            found = writer.read(folder / "here")
            if not writer.allowed(found, old, new):
                return f"{writer.name}, step {step} of {steps}: neither old nor new: {found!r}"[:500]
            writer.write(folder / "here", 1)  # no lock and no rest stands in the way
            if not writer.allowed(writer.read(folder / "here"), new, new):
                return f"{writer.name}, step {step} of {steps}: it cannot be written again"
        except Exception as error:  # noqa: BLE001 - any of them is the finding
            return f"{writer.name}, step {step} of {steps}: {error!r}"
    return ""


# ---------------------------------------------------------------------- the writers


def _write_bytes(folder: Path, version: int) -> None:
    artifacts.write_atomic(folder / "file.bin", bytes([version]) * 100_000)


def _table(folder: Path, version: int) -> None:
    from nasbench_mo.objective import Objective
    from nasbench_mo.table import Column, write_table

    X = np.array([[i, j] for i in range(3) for j in range(4)])
    column = Column(objective=Objective(name="latency", unit="ms", kind="measured"), values=np.arange(12.0) + version)
    with artifacts.staged_folder(folder / "toy-v1") as stage:
        archs = [f"{i}-{j}" for i, j in X.tolist()]
        write_table(stage, [column], id="toy-v1", space="toy", archs=archs, cardinalities=(3, 4), encodings=X)
        (stage / "card.md").write_text(f"---\nversion: {version}\n---\n", encoding="utf-8")


def _read_table(folder: Path) -> tuple[int, float]:
    from nasbench_mo.table import Table

    version = artifacts.read_card(folder / "toy-v1")["version"]
    return version, float(Table.open(folder / "toy-v1")["latency_ms"][0])


def _runs() -> list[Any]:
    from benchmark_helpers import toy_problem

    import nasbench_mo as nmo

    return [nmo.run(toy_problem(5, 5, 5), "random", budget=6, seed=seed) for seed in (0, 1)]


def _run_writer() -> Writer:
    from benchmark_helpers import toy_problem

    from nasbench_mo.experiment import Run

    runs, problem = _runs(), toy_problem(5, 5, 5)
    return Writer(
        name="run.parquet",
        write=lambda folder, version: runs[version].save(folder / "run.parquet"),
        read=lambda folder: Run.load(folder / "run.parquet", problem=problem).archs,
    )


def _journal_writer() -> Writer:
    from nasbench_mo.experiment.storage import Journal

    run = _runs()[0]

    def write(folder: Path, version: int) -> None:
        journal = Journal(folder / "run.journal", identity=run.identity)
        done = len(journal.order)
        for i in range(done, (3, 6)[version]):
            part = slice(i, i + 1)
            journal.append(run.archs[part], F=run.F[part], wall_s=run.wall_s[part], simulated_s=run.wall_s[part])
        journal.close()

    def read(folder: Path) -> list[str]:
        journal = Journal(folder / "run.journal", identity=run.identity)
        journal.close()
        return journal.order

    return Writer(name="journal of a run", write=write, read=read, allowed=_between)


def _between(found: list[Any], old: list[Any], new: list[Any]) -> bool:
    """Of an appended file: all that was there, and a beginning of what was added."""
    return found[: len(old)] == old and found == new[: len(found)]


def _turns_writer() -> Writer:
    from nasbench_mo.profiling.turns import Turn, TurnJournal

    def write(folder: Path, version: int) -> None:
        with TurnJournal(folder, identity={"machine": "toy"}) as journal:
            for i in range(len(journal), (2, 5)[version]):
                journal.add(Turn(key="a", number=0, round=i), float(i))

    def read(folder: Path) -> list[float]:
        with TurnJournal(folder, identity={"machine": "toy"}) as journal:
            return [journal[Turn(key="a", number=0, round=i)] for i in range(len(journal))]

    return Writer(name="measured turns", write=write, read=read, allowed=_between)


def _costs_writer() -> Writer:
    from nasbench_mo.hardware.zigzag_builder import Mapped
    from nasbench_mo.hardware.zigzag_grid import Journal

    def write(folder: Path, version: int) -> None:
        with Journal(folder, identity={"model": "toy"}) as journal:
            for i in range(len(journal.costs), (2, 5)[version]):
                journal.add(("2x3", f"shape{i}"), Mapped(cycles=i, energy_pj=1.0))

    def read(folder: Path) -> list[Any]:
        with Journal(folder, identity={"model": "toy"}) as journal:
            return sorted(journal.costs)

    return Writer(name="costs of a grid", write=write, read=read, allowed=_between)


def _trainings_writer() -> Writer:
    from nasbench_mo.training.energy import Energy
    from nasbench_mo.training.metrics import Scores
    from nasbench_mo.training.store import Training, opened
    from nasbench_mo.training.trainer import TrainingResult

    score = Scores(error_percent=1.0, precision_percent=2.0, recall_percent=3.0, f1_percent=4.0)
    result = TrainingResult(
        valid_error_percent=np.array([90.0]),
        valid_loss=np.zeros(1),
        train_loss=np.zeros(1),
        valid=score,
        test=score,
        train_seconds=1.5,
        energy=Energy(joules=None, why_not="toy"),
        n_parameters=7,
    )
    made = Training(code=0, seed=0, result=result, environment="nowhere")

    def write(folder: Path, version: int) -> None:
        with opened(folder, identity={"recipe": "toy"}) as store:
            have = {training.code for training in store.trainings()}
            for code in range((2, 4)[version]):
                if code not in have:
                    store.add([dataclasses.replace(made, code=code)])

    def read(folder: Path) -> list[int]:
        with opened(folder, identity={"recipe": "toy"}) as store:
            return [training.code for training in store.trainings()]

    return Writer(name="trainings", write=write, read=read, allowed=_between)


def _submission_writer() -> Writer:
    from board_helpers import submission, toy_board

    from nasbench_mo.leaderboard.submission import Submission

    board = toy_board()
    made = [submission(board, "toy-entry", luck=1, author=author) for author in ("first", "second")]
    return Writer(
        name="submission",
        write=lambda folder, version: made[version].write(folder),
        read=lambda folder: Submission.read(folder / "toy-entry", board=board).particulars.author,
    )


def _page_writer() -> Writer:
    from nasbench_mo.cli.page import Axis, FrontPage, write_page

    def write(folder: Path, version: int) -> None:
        page = FrontPage(
            title=f"version {version}",
            subtitle="",
            axes=tuple(Axis(label=n, column=n, unit="ms", kind="measured") for n in ("a", "b")),
            architectures=("x",),
            F=np.ones((1, 2)),
            on_front=np.array([True]),
            true_front=None,
            hypervolume_share=None,
            facts=(),
        )
        write_page(page, folder / "front.html")

    def read(folder: Path) -> str:
        text = (folder / "front.html").read_text(encoding="utf-8")
        if not text.rstrip().endswith("</html>"):
            raise ValueError("half a page")
        return text

    return Writer(name="page", write=write, read=read)


def writers() -> list[Writer]:
    """Every writer, in an order that is the same each time."""
    return [
        Writer(name="bytes", write=_write_bytes, read=lambda folder: (folder / "file.bin").read_bytes()),
        Writer(name="table and card", write=_table, read=_read_table),
        _run_writer(),
        _journal_writer(),
        _turns_writer(),
        _costs_writer(),
        _trainings_writer(),
        _submission_writer(),
        _page_writer(),
    ]


def main(n: int) -> int:
    """So many rounds in all, the writers in turn."""
    every = writers()
    rng = random.Random(0)
    found = [round_of(every[i % len(every)], rng=rng) for i in range(n)]
    for line in filter(None, found):
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"{n} kills, {sum(map(bool, found))} half files\n")
    return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
