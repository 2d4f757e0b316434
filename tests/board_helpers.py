"""A small board over synthetic problems, one of them noisy, and submissions to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_helpers import toy_problem, toy_space
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem, Term, Values, compute_manifest
from nasbench_mo.leaderboard import Board, Particulars, Submission, Trace, from_traces
from nasbench_mo.leaderboard.submission import Form
from nasbench_mo.objective import Objective

ERROR = Objective(name="error", unit="percent", kind="measured", dataset="toy", split="valid", seed="mean")
LATENCY = Objective(name="latency", unit="ms", kind="modelled")
PARAMS = Objective(name="params", unit="count", kind="modelled")
BUDGET = 40
SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Drawn(Values):
    """Random values of a toy space, on request with three training runs and a test value."""

    objective: Objective
    seed: int
    with_runs: bool = False

    @property
    def origin(self) -> Objective:
        return self.objective

    def _all(self, X: NDArray[Any], *, columns: int) -> NDArray[np.float64]:
        rows = np.ravel_multi_index(X.T, (5, 5, 5))
        table: NDArray[np.float64] = np.random.default_rng(self.seed).random((125, columns))[rows]
        return table

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self._all(X, columns=3).mean(axis=1)

    def seeds(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        return self._all(X, columns=3) if self.with_runs else None

    def test(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self.score(X) + 0.1

    def noisy(self) -> bool:
        return self.with_runs

    def data_hash(self) -> str:
        return hashlib.sha256(f"{self.seed}".encode()).hexdigest()


def drawn_problem(id: str, *, noisy: bool, n_objectives: int = 2) -> Problem:
    objectives = (ERROR, LATENCY, PARAMS)[:n_objectives]
    terms = [
        Term(objective=o, values=Drawn(objective=o, seed=j, with_runs=noisy and not j))
        for j, o in enumerate(objectives)
    ]
    made = Problem(id, search_space=toy_space(5, 5, 5), terms=terms)
    return Problem(id, search_space=made.space, terms=terms, manifest=compute_manifest(made))


def toy_board(*, folder: Path | None = None, **changes: Any) -> Board:
    problems = {
        "toy-v1": toy_problem(5, 5, 5),
        "noisy-v1": drawn_problem("noisy-v1", noisy=True),
        "three-v1": drawn_problem("three-v1", noisy=False, n_objectives=3),
    }
    fields: dict[str, Any] = {
        "id": "toy-board-v1",
        "title": "Toys",
        "about": "for tests",
        "problems": tuple(problems),
        "budget": BUDGET,
        "seeds": SEEDS,
        "given": problems,
        "folder": folder,
    }
    return Board(**(fields | changes))


def particulars(name: str, **changes: Any) -> Particulars:
    fields: dict[str, Any] = {
        "name": name,
        "searcher": name,
        "source": "nowhere",
        "software": "by hand",
        "version": "1",
        "author": "nobody",
        "submitted": "2026-01-31",
        "options": {},
    }
    return Particulars(**(fields | changes))


def traces(board: Board, *, luck: int, length: int | None = None) -> dict[tuple[str, int], Trace]:
    """Random searches that pick the best of some draws first, the more luck the better."""
    found = {}
    for k, identifier in enumerate(board.problems):
        problem = board.problem(identifier)
        for seed in range(board.seeds):
            rng = np.random.default_rng([luck, k, seed])
            codes = rng.permutation(problem.space.size)
            F = problem.evaluate(problem.space.from_codes(codes))
            order = np.argsort(F.sum(axis=1) + rng.normal(0, 3.0 / (1 + luck), len(F)), kind="stable")
            X = problem.space.from_codes(codes[order][: length or board.budget])
            observed = problem.observation(seed).evaluate(X)
            found[identifier, seed] = Trace(X=X, F=observed, cpu_s=0.001 * (1 + luck + seed))
    return found


def submission(board: Board, name: str, *, luck: int = 0, form: Form = "codes", **changes: Any) -> Submission:
    made = traces(board, luck=luck)
    return from_traces(made, board=board, particulars=particulars(name, **changes), form=form)
