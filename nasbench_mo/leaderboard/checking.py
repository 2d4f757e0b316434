"""Checking a submission: every evaluation is asked for again, and the first row that is wrong is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.encoding import byte_keys
from nasbench_mo.errors import (
    ArchitectureError,
    MissingDependencyError,
    MissingValueError,
    SearcherError,
    SubmissionError,
    UnknownNameError,
)
from nasbench_mo.leaderboard.board import Board
from nasbench_mo.leaderboard.rows import Rows
from nasbench_mo.leaderboard.submission import Submission, Trace
from nasbench_mo.search import SEARCHERS
from nasbench_mo.search import searcher as make_searcher

#: Largest relative difference between a submitted value and the answer: single precision on another machine.
#: Scores are computed from the answers, so nothing can be gained within it.
TOLERANCE = 1e-6
#: An entry that claims it names a searcher that everybody can make again.
OWN_SOFTWARE = "nasbench-mo"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSubmission:
    """A submission whose every row agreed.

    Parameters
    ----------
    submission
        What was checked.
    traces
        Problem id to its runs in order of the seeds, with encodings and the values that the problem answered.
    """

    submission: Submission
    traces: Mapping[str, tuple[Trace, ...]]


def check(submission: Submission, board: Board, *, problems: Mapping[str, Problem] | None = None) -> CheckedSubmission:
    """Ask a board's problems for every evaluation of a submission again.

    Parameters
    ----------
    submission, board
        What is checked against what.
    problems
        The board's problems, where they are open already.

    Raises
    ------
    SubmissionError
        A run is missing or too long, a row is out of order, an architecture comes twice in a run or is none, a value
        is not what the problem says, or the software that is claimed has no such searcher. The first wrong row and
        column are named.
    """
    if submission.board != board.id:
        raise SubmissionError(
            f"{submission.name}: expected a submission to {board.id!r}, got one to {submission.board!r}"
        )
    opened = problems if problems is not None else {p: board.problem(p) for p in board.problems}
    _check_software(submission, problem=opened[board.problems[0]])
    rows = submission.rows
    starts = _check_order(rows, board=board, name=submission.name)
    traces = {}
    for k, identifier in enumerate(board.problems):
        mine = np.flatnonzero(rows.problem == k)
        X = _encodings(rows, mine=mine, problem=opened[identifier], name=submission.name)
        _check_distinct(X, rows=rows, mine=mine, problem=opened[identifier], name=submission.name)
        F = _answers(X, seeds=rows.seed[mine], problem=opened[identifier], name=submission.name)
        _check_values(F, rows=rows, mine=mine, problem=opened[identifier], name=submission.name)
        _check_seconds(X, rows=rows, mine=mine, problem=opened[identifier], name=submission.name)
        cuts = starts[k * board.seeds + 1 : (k + 1) * board.seeds] - mine[0]
        cpu_s = submission.searcher_cpu_s.get(identifier, (None,) * board.seeds)
        parts = zip(np.split(X, cuts), np.split(F, cuts), cpu_s, strict=True)
        traces[identifier] = tuple(Trace(X=x, F=f, cpu_s=s) for x, f, s in parts)
    return CheckedSubmission(submission=submission, traces=traces)


def refuse_shorter_trainings(searcher: str, *, board: str) -> None:
    """Refuse a registered searcher that lives on values after fewer epochs: a board has full trainings alone.

    Raises
    ------
    SubmissionError
        It is one. Given nothing but full trainings it would be another algorithm under its name.
    """
    if searcher in SEARCHERS and getattr(SEARCHERS.get(searcher), "wants_fidelities", False):
        raise SubmissionError(
            f"{searcher!r} is not for board {board!r}: it lives on trainings of fewer epochs, and a board's "
            "evaluations are full trainings; compare such searchers with 'nasbench-mo experiment run' on problems with "
            "epochs"
        )


def _check_software(submission: Submission, *, problem: Problem) -> None:
    """A registered searcher must exist with the settings that are claimed; other software is taken at its word."""
    p = submission.particulars
    if p.software != OWN_SOFTWARE:
        return
    refuse_shorter_trainings(p.searcher, board=submission.board)
    try:
        make_searcher(p.searcher, problem.space, problem.n_objectives, seed=0, **p.options)
    except MissingDependencyError:
        return  # it exists; its library is not installed here
    except (UnknownNameError, SearcherError) as error:
        raise SubmissionError(f"{submission.name}: it claims {OWN_SOFTWARE}, but {error}") from error


def _check_order(rows: Rows, *, board: Board, name: str) -> NDArray[np.intp]:
    """First row of each run, (problems * seeds,): rows by problem, seed and evaluation, no run missing or too long."""
    n = len(rows)
    _first(rows.problem != np.clip(rows.problem, 0, len(board.problems) - 1), "problem", name=name, why="is unknown")
    outside = (rows.seed < 0) | (rows.seed >= board.seeds)
    _first(outside, "seed", name=name, why=f"is none of the board's seeds 0..{board.seeds - 1}", values=rows.seed)
    run = rows.problem.astype(np.int64) * board.seeds + rows.seed
    _first(
        np.diff(run, prepend=run[:1]) < 0,
        "seed",
        name=name,
        why="is out of order: rows are sorted by problem (as the board lists them), seed and evaluation",
        values=rows.seed,
    )
    starts = np.searchsorted(run, np.arange(len(board.problems) * board.seeds))
    lengths = np.diff(starts, append=n)
    expected = np.arange(n) - starts[run] if n else np.empty(0, dtype=np.intp)
    wrong = np.flatnonzero(rows.evaluation != expected)
    if wrong.size:
        row = int(wrong[0])
        raise SubmissionError(
            f"{name}: row {row}, column 'evaluation': expected {expected[row]}, got {rows.evaluation[row]}"
        )
    for k in np.flatnonzero((lengths == 0) | (lengths > board.budget)).tolist():
        of = f"{board.problems[k // board.seeds]!r} with seed {k % board.seeds}"
        if lengths[k] == 0:
            raise SubmissionError(f"{name}: no run of {of}; every problem needs the seeds 0..{board.seeds - 1}")
        row = int(starts[k] + board.budget)
        raise SubmissionError(
            f"{name}: row {row}, column 'evaluation': {of} has {lengths[k]} evaluations, the budget is {board.budget}"
        )
    return starts


def _encodings(rows: Rows, *, mine: NDArray[np.intp], problem: Problem, name: str) -> NDArray[Any]:
    archs = rows.archs[mine]
    column = rows.arch_column
    if column == "x":
        d, most = problem.space.n_variables, problem.space.cardinalities - 1
        if archs.shape[1] < d:
            raise SubmissionError(
                f"{name}: row {mine[0]}, column 'x': expected {d} integers for {problem.space.name!r}, got "
                f"{archs.shape[1]}"
            )
        beyond = np.any(np.hstack([archs[:, :d] > most, archs[:, d:] > 0]), axis=1)
        why = f"is no architecture of {problem.space.name!r}: {d} integers of at most {most.tolist()}, then zeros"
        _first(beyond, column, name=name, why=why, values=archs, rows=mine)
        return archs[:, :d].astype(problem.space.dtype)
    if column == "code":
        bad = (archs < 0) | (archs >= min(problem.space.size, 1 << 62))
        why = f"is no index of the {problem.space.size} architectures of {problem.space.name!r}"
        _first(bad, column, name=name, why=why, values=archs, rows=mine)
        return problem.space.from_codes(archs)
    try:
        return problem.space.encode(archs.tolist())
    except ArchitectureError:
        for row, arch in zip(mine.tolist(), archs.tolist(), strict=True):
            try:
                problem.space.encode_one(arch)
            except ArchitectureError as error:
                raise SubmissionError(f"{name}: row {row}, column {column!r}: {error}") from error
        raise


def _check_distinct(X: NDArray[Any], *, rows: Rows, mine: NDArray[np.intp], problem: Problem, name: str) -> None:
    keys: NDArray[Any] = problem.space.codes(X) if problem.space.size < 1 << 62 else byte_keys(X)
    _, key = np.unique(keys, return_inverse=True)
    seed = rows.seed[mine]
    order = np.lexsort((mine, key, seed))
    again = (np.diff(key[order]) == 0) & (np.diff(seed[order]) == 0)
    if again.any():
        second = order[1:][again]
        at = int(second.min())
        arch = problem.space.decode(X[at][None])[0]
        column = rows.arch_column
        raise SubmissionError(
            f"{name}: row {mine[at]}, column {column!r}: {arch!r} was evaluated before in the run of {problem.id!r} "
            f"with seed {seed[at]}; a repeated architecture costs nothing and makes no row"
        )


def _answers(X: NDArray[Any], *, seeds: NDArray[np.int32], problem: Problem, name: str) -> NDArray[np.float64]:
    """What a searcher sees of each row: with training noise, the noise seed is the run's seed."""
    try:
        if not problem.noisy:
            return problem.observation(0).evaluate(X)
        F = np.empty((len(X), problem.n_objectives))
        for seed in np.unique(seeds).tolist():
            F[seeds == seed] = problem.observation(seed).evaluate(X[seeds == seed])
        return F
    except MissingValueError as error:
        raise SubmissionError(f"{name}: {problem.id!r} cannot be asked: {error}") from error


def _check_values(F: NDArray[np.float64], *, rows: Rows, mine: NDArray[np.intp], problem: Problem, name: str) -> None:
    given = rows.values[mine]
    m = problem.n_objectives
    if given.shape[1] < m:
        raise SubmissionError(f"{name}: {problem.id!r} has {m} objectives; the column 'f{given.shape[1]}' is missing")
    # not (<=), so that a missing value is wrong too
    wrong = np.ones(given.shape, dtype=bool)
    wrong[:, :m] = ~(np.abs(given[:, :m] - F) <= TOLERANCE * np.abs(F))
    wrong[:, m:] = ~np.isnan(given[:, m:])
    if not wrong.any():
        return
    i, j = np.argwhere(wrong)[0].tolist()
    expected = f"{float(F[i, j])!r} ({problem.objectives[j].column})" if j < m else f"nothing, {problem.id!r} has {m}"
    raise SubmissionError(
        f"{name}: row {mine[i]}, column 'f{j}': expected {expected}, got {float(given[i, j])!r} "
        f"({int(wrong.any(axis=1).sum())} of {len(mine)} rows of {problem.id!r} differ)"
    )


def _check_seconds(X: NDArray[Any], *, rows: Rows, mine: NDArray[np.intp], problem: Problem, name: str) -> None:
    if rows.simulated_s is None:
        return
    given = rows.simulated_s[mine]
    total = np.cumsum(problem.simulated_seconds(X))
    first = np.flatnonzero(rows.evaluation[mine] == 0)
    before = np.concatenate([[0.0], total])[first]
    expected = total - np.repeat(before, np.diff(first, append=len(mine)))
    wrong = ~(np.abs(given - expected) <= TOLERANCE * np.abs(total)) & ~(np.isnan(given) & np.isnan(expected))
    _first(wrong, "simulated_s", name=name, why="is not the sum of the published trainings", values=given, rows=mine)


def _first(
    wrong: NDArray[np.bool_],
    column: str,
    *,
    name: str,
    why: str,
    values: NDArray[Any] | None = None,
    rows: NDArray[np.intp] | None = None,
) -> None:
    """Name the first wrong row, if there is one."""
    if not wrong.any():
        return
    i = int(np.flatnonzero(wrong)[0])
    got = "" if values is None else f"{values[i]} "
    raise SubmissionError(f"{name}: row {i if rows is None else rows[i]}, column {column!r}: {got}{why}")
