"""A submission: every evaluation of one searcher on one board, and who says so.

A folder holds ``submission.yaml`` (particulars, own processor times, hashes of the rows) and ``runs.parquet``: one row
an evaluation, ordered by problem (as the board lists them), seed and evaluation, with the columns (format 1)

    problem      id                           seed          integer
    evaluation   integer from 0 in each run   arch | code   published string | index in the space's lexicographic order
    f0, f1, ...  float64 observed values, minimised, in the problem's objective order; null beyond its objectives
    simulated_s  float64, optional: seconds of the published trainings one after the other

Format 1 is easily written in any language and stays readable. This package writes format 2, about half as long, whose
values are in ``values.parquet``: :mod:`.compact`.
"""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.artifacts import sha256, staged_folder
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import SpecError, SubmissionError
from nasbench_mo.leaderboard.board import Board
from nasbench_mo.leaderboard.compact import Columns
from nasbench_mo.leaderboard.reading import read_small_yaml
from nasbench_mo.leaderboard.rows import (
    MAX_OBJECTIVES,
    Rows,
    check_file,
    read_compact,
    read_rows,
    write_compact,
    write_rows,
)
from nasbench_mo.specification import Scalar, text_of

#: A value beside each evaluation, and one for each architecture.
PLAIN, COMPACT = 1, 2
YAML_NAME = "submission.yaml"
ROWS_NAME = "runs.parquet"
VALUES_NAME = "values.parquet"

#: How architectures are written: as integers (format 2), or as lexicographic codes or published strings (format 1).
Form = Literal["compact", "codes", "strings"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_REQUIRED = (
    "format",
    "board",
    "name",
    "searcher",
    "source",
    "software",
    "version",
    "author",
    "submitted",
    "runs_sha256",
)
_ALLOWED = (*_REQUIRED, "options", "known", "searcher_cpu_s", "values_sha256", "columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """Who says what ran.

    Parameters
    ----------
    name
        Of the entry on the board, unique there: lower-case letters, digits, ``.``, ``_`` and ``-``.
    searcher, options
        The algorithm and its settings; a registered searcher where ``software`` is ``"nasbench-mo"``.
    source
        Paper or address that describes the algorithm.
    software, version
        What ran it.
    author
        Who submits.
    submitted
        Date, ``YYYY-MM-DD``.
    known
        Whether the searcher was told the objectives that cost nothing beforehand.

    Raises
    ------
    SubmissionError
        A field is blank or has the wrong form.
    """

    name: str
    searcher: str
    source: str
    software: str
    version: str
    author: str
    submitted: str
    options: Mapping[str, float | int | str]
    known: bool = False

    def __post_init__(self) -> None:
        for field in ("name", "searcher", "source", "software", "version", "author", "submitted"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip():
                raise SubmissionError(f"submission: {field} must be text, got {value!r}; put it in quotes")
        if not _NAME.fullmatch(self.name):
            raise SubmissionError(
                f"submission name {self.name!r}: expected at most 64 lower-case letters, digits, '.', '_' and '-', "
                "the first a letter or digit"
            )
        if not _DATE.fullmatch(self.submitted):
            raise SubmissionError(f"submission {self.name!r}: expected a date YYYY-MM-DD, got {self.submitted!r}")
        if not isinstance(self.known, bool):
            raise SubmissionError(f"submission {self.name!r}: known must be true or false, got {self.known!r}")
        for option, value in self.options.items():
            if not isinstance(option, str) or not isinstance(value, Scalar):
                raise SubmissionError(f"submission {self.name!r}: option {option!r} must be plain, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run of a submission.

    Parameters
    ----------
    X, F
        (n, d) encodings and (n, m) observed values, in the order of evaluation.
    cpu_s
        The searcher's own processor seconds, evaluations not included; None where nobody measured.
    """

    X: NDArray[Any]
    F: NDArray[np.float64]
    cpu_s: float | None = None


class RunLike(Protocol):
    """What :func:`from_runs` reads of a :class:`nasbench_mo.experiment.Run`."""

    X: NDArray[Any]
    F: NDArray[np.float64]
    environment: Mapping[str, Any]

    @property
    def identity(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An entry of a board, not yet checked; :func:`nasbench_mo.leaderboard.check` does that.

    Parameters
    ----------
    board
        Id of the board.
    particulars
        Who says what ran.
    rows
        Every evaluation.
    searcher_cpu_s
        Problem to the searcher's own processor seconds of each seed; empty where nobody measured.
    """

    board: str
    particulars: Particulars
    rows: Rows
    searcher_cpu_s: Mapping[str, tuple[float, ...]]

    @property
    def name(self) -> str:
        """Name of the entry."""
        return self.particulars.name

    @classmethod
    def read(cls, folder: Path, *, board: Board) -> Self:
        """Read a submission folder. Sizes and the schema are checked before rows are loaded; the values are not.

        Raises
        ------
        SubmissionError
            A file is missing, too large for the board, of another hash or schema, or of another board.
        """
        try:
            fields = read_small_yaml(folder / YAML_NAME, allowed=_ALLOWED, required=_REQUIRED)
            particulars = _particulars(fields)
        except SpecError as error:
            raise SubmissionError(f"{folder.name}: {error}") from error
        if type(fields["format"]) is not int or fields["format"] not in (PLAIN, COMPACT):
            raise SubmissionError(f"{folder.name}: expected format {PLAIN} or {COMPACT}, got {fields['format']!r}")
        if fields["board"] != board.id:
            raise SubmissionError(
                f"{folder.name}: expected a submission to {board.id!r}, got one to {fields['board']!r}"
            )
        if particulars.name != folder.resolve().name:
            raise SubmissionError(f"{folder}: the entry is called {particulars.name!r}; its folder must have that name")
        check_file(folder / ROWS_NAME, board=board)
        _check_hash(folder / ROWS_NAME, claimed=fields["runs_sha256"])
        if fields["format"] == PLAIN:
            rows = read_rows(folder / ROWS_NAME, board=board)
            if rows.arch_column == "x":
                raise SubmissionError(f"{folder.name}: the column 'x' belongs to format {COMPACT}, not {PLAIN}")
        else:
            columns = _columns(fields.get("columns"), name=folder.name, board=board)
            check_file(folder / VALUES_NAME, board=board, columns=columns)
            _check_hash(folder / VALUES_NAME, claimed=fields.get("values_sha256"))
            rows = read_compact(folder / ROWS_NAME, folder / VALUES_NAME, board=board, columns=columns)
        return cls(
            board=board.id,
            particulars=particulars,
            rows=rows,
            searcher_cpu_s=_times(fields.get("searcher_cpu_s") or {}, name=folder.name, board=board),
        )

    def write(self, folder: str | Path) -> Path:
        """Write ``<folder>/<name>/``, the whole or nothing, and return it. An older one is replaced."""
        import yaml

        target = Path(folder) / self.name
        compact = self.rows.arch_column == "x"
        runs, values = io.BytesIO(), io.BytesIO()
        columns: Columns = {}
        if compact:
            columns = write_compact(self.rows, runs=runs, values=values)
        else:
            write_rows(self.rows, runs)
        p = self.particulars
        with staged_folder(target) as stage:
            (stage / ROWS_NAME).write_bytes(runs.getvalue())
            if compact:
                (stage / VALUES_NAME).write_bytes(values.getvalue())
            fields = {
                "format": COMPACT if compact else PLAIN,
                "board": self.board,
                **{f: getattr(p, f) for f in ("name", "searcher")},
                "options": dict(p.options),
                **{f: getattr(p, f) for f in ("known", "source", "software", "version", "author", "submitted")},
                "runs_sha256": sha256(stage / ROWS_NAME),
                **({"values_sha256": sha256(stage / VALUES_NAME)} if compact else {}),
                **({"columns": {k: list(v) for k, v in columns.items()}} if compact else {}),
                "searcher_cpu_s": {k: [float(f"{s:.4g}") for s in v] for k, v in self.searcher_cpu_s.items()},
            }
            text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
            (stage / YAML_NAME).write_text(text, encoding="utf-8")
        return target


def from_traces(
    traces: Mapping[tuple[str, int], Trace], *, board: Board, particulars: Particulars, form: Form = "compact"
) -> Submission:
    """Make a submission of one trace for each problem and seed of a board.

    Parameters
    ----------
    traces
        (problem id, seed) to the run.
    board, particulars
        What it is for, and who says what ran.
    form
        How architectures are written. Where a space has too many of them for codes, ``"codes"`` means strings.

    Raises
    ------
    SubmissionError
        A run is missing, or is not one of the board's.
    """
    wanted = [(problem, seed) for problem in board.problems for seed in range(board.seeds)]
    for problem, seed in wanted:
        if (problem, seed) not in traces:
            raise SubmissionError(
                f"submission {particulars.name!r}: no run of {problem!r} with seed {seed}; board {board.id!r} wants "
                f"the seeds 0..{board.seeds - 1} on each problem"
            )
    extra = [key for key in traces if key not in set(wanted)]
    if extra:
        raise SubmissionError(f"submission {particulars.name!r}: run {extra[0]} is not one of board {board.id!r}")
    problems = {p: board.problem(p) for p in board.problems}
    cpu = {p: [traces[p, s].cpu_s for s in range(board.seeds)] for p in board.problems}
    return Submission(
        board=board.id,
        particulars=particulars,
        rows=_joined([traces[key] for key in wanted], keys=wanted, problems=problems, form=form),
        searcher_cpu_s={p: tuple(v for v in c if v is not None) for p, c in cpu.items() if None not in c},
    )


def from_runs(runs: Sequence[RunLike], *, board: Board, particulars: Particulars) -> Submission:
    """Make a submission of runs, in any order.

    Raises
    ------
    SubmissionError
        Runs are missing, or differ in the searcher, its options, the budget or the noise protocol.
    """
    traces: dict[tuple[str, int], Trace] = {}
    for run in runs:
        identity = run.identity
        claimed = (particulars.searcher, dict(particulars.options))
        found = (identity.searcher, dict(identity.searcher_options))
        of = f"run of {identity.problem!r} with seed {identity.seed}"
        if found != claimed:
            raise SubmissionError(
                f"{of}: expected searcher {claimed[0]!r} with {claimed[1]}, got {found[0]!r} with {found[1]}"
            )
        if identity.budget_evaluations != board.budget or identity.noise_seed != identity.seed:
            raise SubmissionError(
                f"{of}: expected a budget of {board.budget} and the noise seed {identity.seed}; got "
                f"{identity.budget_evaluations} and {identity.noise_seed}"
            )
        if identity.fidelities or identity.workers != 1:
            raise SubmissionError(f"{of}: a board takes full trainings, one after the other")
        if (identity.problem, identity.seed) in traces:
            raise SubmissionError(f"{of} is given twice; keep one")
        cpu_s = run.environment.get("searcher_cpu_s")
        traces[identity.problem, identity.seed] = Trace(X=run.X, F=run.F, cpu_s=cpu_s)
    return from_traces(traces, board=board, particulars=particulars)


def _joined(
    traces: Sequence[Trace], *, keys: Sequence[tuple[str, int]], problems: Mapping[str, Problem], form: Form
) -> Rows:
    names = list(problems)
    lengths = [len(t.X) for t in traces]
    width = max(p.n_objectives for p in problems.values())
    values = np.full((sum(lengths), width), np.nan)
    start = 0
    for trace, n in zip(traces, lengths, strict=True):
        values[start : start + n, : trace.F.shape[1]] = trace.F
        start += n
    coded = form == "codes" and all(p.space.size < 1 << 31 for p in problems.values())
    spaces = [problems[p].space for p, _ in keys]
    archs: NDArray[Any]
    if form == "compact":
        archs = np.zeros((sum(lengths), max(s.n_variables for s in spaces)), dtype=np.uint8)
        ends = np.cumsum(lengths)
        for trace, end, n in zip(traces, ends.tolist(), lengths, strict=True):
            archs[end - n : end, : trace.X.shape[1]] = trace.X
    elif coded:
        archs = np.concatenate([s.codes(t.X) for s, t in zip(spaces, traces, strict=True)]).astype(np.int64)
    else:
        archs = np.array([a for s, t in zip(spaces, traces, strict=True) for a in s.decode(t.X)], dtype=object)
    return Rows(
        problem=np.repeat(np.array([names.index(p) for p, _ in keys], dtype=np.int16), lengths),
        seed=np.repeat(np.array([s for _, s in keys], dtype=np.int32), lengths),
        evaluation=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        archs=archs,
        values=values,
        simulated_s=None,
        problems=tuple(names),
    )


def _particulars(fields: Mapping[str, Any]) -> Particulars:
    options = fields.get("options") or {}
    if not isinstance(options, Mapping):
        raise SpecError(f"options must map names to values, got {options!r}")
    submitted = fields["submitted"]
    if isinstance(submitted, datetime.date):  # YAML reads an unquoted date as one
        submitted = submitted.isoformat()
    texts = {f: text_of(fields[f], place=f) for f in ("name", "searcher", "source", "software", "author")}
    return Particulars(
        **texts, version=str(fields["version"]), submitted=submitted, options=options, known=fields.get("known", False)
    )


def _check_hash(path: Path, *, claimed: object) -> None:
    found = sha256(path)
    if found != claimed:
        raise SubmissionError(
            f"{path.parent.name}: {path.name} has SHA-256 {found[:12]}..., {YAML_NAME} says "
            f"{str(claimed)[:12]}...: the rows were changed after they were written"
        )


def _columns(value: Any, *, name: str, board: Board) -> dict[str, tuple[int | None, ...]]:
    """Column of each objective by problem: a number, or None for one that is in the rows."""
    if not isinstance(value, Mapping) or set(value) != set(board.problems):
        raise SubmissionError(f"{name}: columns must map each problem of the board to a list of numbers, got {value!r}")
    for problem, places in value.items():
        whole = isinstance(places, list) and all(p is None or (type(p) is int and p >= 0) for p in places)
        if not whole or not 1 <= len(places) <= MAX_OBJECTIVES:
            raise SubmissionError(
                f"{name}: columns of {problem!r} must be 1 to {MAX_OBJECTIVES} numbers or nulls, got {places!r}"
            )
    return {problem: tuple(value[problem]) for problem in board.problems}


def _times(value: Any, *, name: str, board: Board) -> dict[str, tuple[float, ...]]:
    """Own processor seconds by problem: one finite number a seed."""
    if not isinstance(value, Mapping):
        raise SubmissionError(f"{name}: searcher_cpu_s must map problems to lists of seconds, got {value!r}")
    times = {}
    for problem, seconds in value.items():
        if problem not in board.problems:
            raise SubmissionError(f"{name}: searcher_cpu_s has {problem!r}, which is no problem of the board")
        numbers = isinstance(seconds, list) and all(type(s) in (int, float) and 0 <= s < float("inf") for s in seconds)
        if not numbers or len(seconds) != board.seeds:
            raise SubmissionError(f"{name}: searcher_cpu_s of {problem!r} must be {board.seeds} numbers of seconds")
        times[problem] = tuple(float(s) for s in seconds)
    return times
