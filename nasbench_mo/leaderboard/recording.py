"""A recorder for ask/tell loops of any library: it answers, counts, and writes the submission."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import ExhaustedError, SubmissionError
from nasbench_mo.leaderboard.board import Board
from nasbench_mo.leaderboard.submission import Particulars, Trace, from_traces


class _Tape:
    """What one run has evaluated: rows, and the row of each architecture."""

    def __init__(self, problem: Any, *, seed: int) -> None:
        self.problem = problem
        self.evaluator = problem.observation(seed)
        self.row_of: dict[bytes, int] = {}
        self.X: list[NDArray[Any]] = []
        self.F = np.empty((0, problem.n_objectives))
        self.cpu_s = 0.0


class Recorder:
    """Answers for the problems of a board, one run for each problem and seed, and remembers every evaluation.

    The processor time between two answers is taken for the searcher's own, so make the runs one after the other and in
    one process.

    Parameters
    ----------
    board
        The board.

    Examples
    --------
    >>> from nasbench_mo.leaderboard import Recorder, load_board
    >>> recorder = Recorder(load_board("nb201s-hardware-v1"))
    >>> space = recorder.problem("nb201s-c10-params-v1").space
    >>> X = space.sample(5, rng=np.random.default_rng(0))
    >>> recorder.evaluate("nb201s-c10-params-v1", X, seed=0).shape
    (5, 2)
    >>> recorder.left("nb201s-c10-params-v1", seed=0)
    295
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._problems: dict[str, Any] = {}
        self._tapes: dict[tuple[str, int], _Tape] = {}
        self._clock = time.process_time()

    def problem(self, identifier: str) -> Any:
        """A problem of the board: its space, its objectives, its :meth:`~.Problem.known_objectives`."""
        if identifier not in self._problems:
            self._problems[identifier] = self.board.problem(identifier)
            self._clock = time.process_time()  # opening it was not the searcher's work
        return self._problems[identifier]

    def left(self, problem: str, *, seed: int) -> int:
        """Evaluations that a run has left."""
        return self.board.budget - len(self._tape(problem, seed=seed).row_of)

    def evaluate(self, problem: str, archs: Sequence[str] | ArrayLike, *, seed: int) -> NDArray[np.float64]:
        """Observed values, (n, m), minimised. A repeated architecture is answered from memory and costs nothing.

        Parameters
        ----------
        problem, seed
            The run.
        archs
            n published strings or (n, d) encodings.

        Raises
        ------
        ExhaustedError
            The budget does not cover all new architectures; the first ones, as many as it does, were recorded. The run
            is then complete.
        SubmissionError
            The board does not have this seed.
        """
        tape = self._tape(problem, seed=seed)
        tape.cpu_s += time.process_time() - self._clock
        try:
            X = tape.problem.space.as_encodings(archs)
            keys = [row.tobytes() for row in X]
            first: dict[bytes, int] = {}
            for i, key in enumerate(keys):
                if key not in tape.row_of:
                    first.setdefault(key, i)
            fresh = list(first.values())
            affordable = fresh[: self.board.budget - len(tape.row_of)]
            if affordable:
                tape.F = np.concatenate([tape.F, tape.evaluator.evaluate(X[affordable])])
                tape.X.append(X[affordable])
                tape.row_of |= {keys[i]: len(tape.row_of) + k for k, i in enumerate(affordable)}
            if len(affordable) < len(fresh):
                raise ExhaustedError(
                    f"the {self.board.budget} evaluations of {problem!r} with seed {seed} are spent; end this run"
                )
            return tape.F[[tape.row_of[key] for key in keys]]
        finally:
            self._clock = time.process_time()

    def write(
        self,
        folder: str | Path,
        *,
        name: str,
        source: str,
        software: str,
        version: str,
        author: str,
        searcher: str | None = None,
        options: dict[str, float | int | str] | None = None,
        known: bool = False,
        submitted: str | None = None,
    ) -> Path:
        """Write the submission to ``<folder>/<name>/`` and return it; see :class:`.Particulars` for the fields.

        Raises
        ------
        SubmissionError
            A run of the board is missing, or a field has the wrong form.
        """
        particulars = Particulars(
            name=name,
            searcher=searcher or name,
            source=source,
            software=software,
            version=version,
            author=author,
            options=options or {},
            known=known,
            submitted=submitted or datetime.now(UTC).date().isoformat(),
        )
        traces = {
            key: Trace(X=np.concatenate(tape.X), F=tape.F, cpu_s=tape.cpu_s)
            for key, tape in self._tapes.items()
            if tape.X
        }
        return from_traces(traces, board=self.board, particulars=particulars).write(folder)

    def _tape(self, problem: str, *, seed: int) -> _Tape:
        if (problem, seed) not in self._tapes:
            if not 0 <= seed < self.board.seeds:
                raise SubmissionError(f"board {self.board.id!r} has the seeds 0..{self.board.seeds - 1}, got {seed}")
            self._tapes[problem, seed] = _Tape(self.problem(problem), seed=seed)
        return self._tapes[problem, seed]
