"""The board commands: run a searcher on a board, check submissions, rank them."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.benchmark import problem
from nasbench_mo.cli.experimenting import seeds_of
from nasbench_mo.cli.progress import progress_bar
from nasbench_mo.cli.reading import columns_text, print_json, relative
from nasbench_mo.cluster import run_ordered
from nasbench_mo.errors import SpecError, SubmissionError
from nasbench_mo.experiment import Run, run
from nasbench_mo.leaderboard import (
    Board,
    BoardResults,
    CheckedSubmission,
    Particulars,
    Submission,
    check,
    from_runs,
    load_board,
    rank,
    standings_csv,
)
from nasbench_mo.leaderboard.checking import OWN_SOFTWARE, refuse_shorter_trainings
from nasbench_mo.search import SEARCHERS
from nasbench_mo.search import searcher as make_searcher


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRunRequest:
    """What ``board run`` was asked for."""

    board: str
    searcher: str
    name: str | None
    options: Mapping[str, float | int | str]
    seeds: str | None
    out: Path | None
    author: str
    n_processes: int
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneRun:
    """A run of a board, for another process."""

    problem: str
    searcher: str
    options: Mapping[str, float | int | str]
    seed: int
    budget: int
    known: bool
    out: Path


def run_board(request: BoardRunRequest) -> None:
    """Make the runs that are missing, and the submission when none is."""
    board = load_board(request.board)
    name = request.name or request.searcher
    SEARCHERS.get(request.searcher)
    refuse_shorter_trainings(request.searcher, board=board.id)
    folder = request.out or _default_out(board)
    if (folder / name).exists():
        raise SubmissionError(f"{folder / name} exists; move it away, or choose another --name")
    work = folder / "unfinished" / name
    wanted = [
        _OneRun(
            problem=p,
            searcher=request.searcher,
            options=request.options,
            seed=seed,
            budget=board.budget,
            known=request.known,
            out=work / f"{p}-s{seed}.parquet",
        )
        for p in board.problems
        for seed in range(board.seeds)
    ]
    chosen = _seeds(request.seeds, board=board)
    now = [one for one in wanted if one.seed in chosen]
    with progress_bar(f"{request.searcher} on {board.id}") as progress:
        for done, _ in enumerate(run_ordered(_make_run, now, n_processes=request.n_processes), start=1):
            if progress is not None:
                progress(done, len(now))
    missing = [one for one in wanted if not one.out.exists()]
    if missing:
        print(
            f"{len(wanted) - len(missing)} of {len(wanted)} runs are in {relative(work)}; the submission is written "
            "when the other seeds are there too"
        )
        return
    runs = [Run.load(one.out) for one in wanted]
    submission = from_runs(runs, board=board, particulars=_particulars(runs[0], name=name, author=request.author))
    check(submission, board)
    written = submission.write(folder)
    shutil.rmtree(work)
    if not any(work.parent.iterdir()):
        work.parent.rmdir()
    size = sum(f.stat().st_size for f in written.iterdir())
    print(f"wrote {relative(written)} ({size / 1e3:.0f} kB, {len(submission.rows)} evaluations, every one checked)")


def check_board(board_name: str, *, submission: Path | None, again: int, as_json: bool) -> None:
    """Check one submission, or all that a board holds, and search again with some of the seeds of our own searchers."""
    board = load_board(board_name)
    folders = [submission] if submission is not None else _folders(submissions_folder(board))
    if not folders:
        raise SubmissionError(f"board {board.id!r} has no submissions in {submissions_folder(board)}")
    problems = {p: board.problem(p) for p in board.problems}
    rows = []
    with progress_bar(f"checking {board.id}", hidden=as_json) as progress:
        for done, folder in enumerate(folders, start=1):
            read = Submission.read(folder, board=board)
            checked = check(read, board, problems=problems)
            n_again = _search_again(checked, board, at_most=again)
            row = {"submission": read.name, "evaluations": str(len(read.rows)), "verified": "yes"}
            rows.append(row | {"runs made again": str(n_again)})
            if progress is not None:
                progress(done, len(folders))
    if as_json:
        numbers = ("evaluations", "runs made again")
        print_json([{**r, **{n: int(r[n]) for n in numbers}, "verified": True} for r in rows])
    else:
        print(columns_text(rows, cut=False))


def _search_again(checked: CheckedSubmission, board: Board, *, at_most: int) -> int:
    """Make some runs of an entry of this package again, which must propose the same; how many were made."""
    p = checked.submission.particulars
    if p.software != OWN_SOFTWARE or not at_most:
        return 0
    keys = [(identifier, seed) for identifier in board.problems for seed in range(board.seeds)]
    chosen = np.random.default_rng(len(keys)).permutation(len(keys))[:at_most]
    for identifier, seed in (keys[i] for i in chosen):
        opened = board.problem(identifier)
        made = make_searcher(p.searcher, opened.space, opened.n_objectives, seed=seed, **p.options)
        X = run(opened, made, budget=board.budget, known=p.known, fidelities=False).X
        claimed = checked.traces[identifier][seed].X
        same = min(len(X), len(claimed))
        differs = np.flatnonzero((X[:same] != claimed[:same]).any(axis=1))
        if differs.size or len(X) != len(claimed):
            raise SubmissionError(
                f"{p.name}: {p.searcher!r} on {identifier!r} with seed {seed} proposes another architecture at "
                f"evaluation {differs[0] if differs.size else same} than the entry says; it claims {p.software} "
                f"{p.version}, this is {version(OWN_SOFTWARE)}. Searchers with Gaussian processes repeat on the same "
                f"kind of processor only: try one like the entry's"
            )
    return len(chosen)


def rank_board(board_name: str, *, extra: Sequence[Path], out: Path | None, as_json: bool) -> None:
    """Rank a board's submissions and, on request, more of them; write or print the standings."""
    board = load_board(board_name)
    results = ranked(board, extra=extra, hidden=as_json)
    if out is not None:
        write_atomic(out, standings_csv(results).encode())
    if as_json:
        print_json(_facts(results))
        return
    rows = [_row(results, i) for i in range(len(results.standings))]
    print(columns_text(rows, cut=False))
    comparison = results.comparison
    if comparison.friedman_p is not None:
        print(
            f"Friedman p {comparison.friedman_p:.2g} over {len(results.problems)} problems; critical difference of "
            f"mean ranks {comparison.critical_difference:.2f} (Nemenyi, 5 %)"
        )
    if out is not None:
        print(f"wrote {relative(out)}")


def ranked(board: Board, *, extra: Sequence[Path] = (), hidden: bool = False) -> BoardResults:
    """Results of a board: its own submissions, and those in other folders."""
    folders = [*_folders(submissions_folder(board)), *extra]
    submissions = [Submission.read(folder, board=board) for folder in folders]
    with progress_bar(f"ranking {board.id}", hidden=hidden) as progress:
        return rank(board, submissions, progress=progress)


def submissions_folder(board: Board) -> Path:
    """Where a board's submissions are: beside its ``board.yaml``."""
    if board.folder is None:
        raise SpecError(f"board {board.id!r} has no folder")
    return board.folder / "submissions"


def _default_out(board: Board) -> Path:
    """The board's own submissions, but nothing is written into an installed package."""
    own = submissions_folder(board)
    return Path("submissions") if "_artifacts" in own.parts else own


def board_rows() -> list[dict[str, str]]:
    """All boards, for ``list``."""
    from nasbench_mo import artifacts

    boards = [load_board(name) for name in artifacts.available("leaderboards")]
    return [
        {
            "board": b.id,
            "problems": str(len(b.problems)),
            "budget": str(b.budget),
            "seeds": str(b.seeds),
            "entries": str(len(_folders(submissions_folder(b)))),
            "about": b.title,
        }
        for b in boards
    ]


def board_facts(identifier: str) -> dict[str, Any]:
    """A board, for ``show``."""
    from nasbench_mo.leaderboard.board import RULES

    b = load_board(identifier)
    return {
        "board": b.id,
        "title": b.title,
        "about": b.about,
        "problems": ", ".join(b.problems),
        "budget": b.budget,
        "seeds": b.seeds,
        "targets": ", ".join(f"{100 * t:g} %" for t in b.targets) + " of HV*",
        "indicators": ", ".join(("hypervolume share", *b.indicators)),
        "rules": RULES[b.rules],
        "submissions": ", ".join(f.name for f in _folders(submissions_folder(b))) or "none",
    }


def _make_run(one: _OneRun) -> None:
    """Make a run unless its file is there; a part of it is continued."""
    opened = problem(one.problem)
    made = make_searcher(one.searcher, opened.space, opened.n_objectives, seed=one.seed, **one.options)
    if one.out.exists():
        identity = Run.load(one.out).identity
        wanted = (one.problem, one.searcher, made.options(), one.seed, one.budget)
        found = (
            identity.problem,
            identity.searcher,
            dict(identity.searcher_options),
            identity.seed,
            identity.budget_evaluations,
        )
        if found != wanted:
            raise SubmissionError(f"{one.out} holds another run than {one.searcher!r} with these settings; delete it")
        return
    run(opened, made, budget=one.budget, out=one.out, known=one.known, fidelities=False)


def _seeds(text: str | None, *, board: Board) -> list[int]:
    seeds = list(range(board.seeds)) if text is None else seeds_of(text)
    beyond = [s for s in seeds if s >= board.seeds]
    if beyond:
        raise SpecError(f"--seeds {text}: board {board.id!r} has the seeds 0..{board.seeds - 1}, got {beyond[0]}")
    return seeds


def _particulars(made: Run, *, name: str, author: str) -> Particulars:
    identity = made.identity
    return Particulars(
        name=name,
        searcher=identity.searcher,
        options=identity.searcher_options,
        source=_source(identity.searcher),
        software=OWN_SOFTWARE,
        version=version(OWN_SOFTWARE),
        author=author,
        known=bool(identity.known_objectives),
        submitted=datetime.now(UTC).date().isoformat(),
    )


def _source(searcher: str) -> str:
    """The paper of a searcher: the first sentence of its module's docstring that names a year, else its first line."""
    module = inspect.getmodule(SEARCHERS.get(searcher))
    text = " ".join(((module and module.__doc__) or searcher).split())
    cited = re.search(r'(?:[A-Z][^."]*(?:et al\.)?, )?"[^"]+"[^."]*?\b(?:19|20)\d\d', text)
    return cited[0].strip() if cited else text.partition(". ")[0]


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p.parent for p in folder.glob("*/submission.yaml") if not p.parent.name.startswith("."))


def _row(results: BoardResults, i: int) -> dict[str, str]:
    s = results.standings[i]
    row = {"searcher": s.searcher, "rank": f"{s.rank:.2f}", "wins": str(s.wins), "ecdf": f"{s.ecdf_area:.3f}"}
    row |= {f"{100 * t:g}%": f"{share:.2f}" for t, share in s.reached.items()}
    shares = [float(np.median(p.results[s.searcher].final)) for p in results.problems]
    return row | {"least median hv": f"{min(shares):.4f}"}


def _facts(results: BoardResults) -> dict[str, Any]:
    return {
        "board": results.id,
        "standings": [
            {**dataclasses.asdict(s), "reached": {f"{t:g}": v for t, v in s.reached.items()}} for s in results.standings
        ],
        "friedman_p": results.comparison.friedman_p,
        "critical_difference": results.comparison.critical_difference,
        "pairs": [
            {"a": a, "b": b, "holm_p": p, "a12": effect} for (a, b), (p, effect) in results.comparison.pairs.items()
        ],
        "cliques": [list(c) for c in results.comparison.cliques],
    }
