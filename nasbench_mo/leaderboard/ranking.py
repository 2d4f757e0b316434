"""Ranking a board: every submission is checked, every run scored by itself, and only ranks look at the others.

An entry's own numbers (curves, evaluations to targets, indicators) are computed from its runs and the problem alone, so
they do not change when another one comes; ranks, wins and tests do.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem, ProblemSpec, problem_spec, published_manifest
from nasbench_mo.errors import SpecError, SubmissionError
from nasbench_mo.leaderboard import statistics
from nasbench_mo.leaderboard.board import RULES, Board
from nasbench_mo.leaderboard.checking import CheckedSubmission, check
from nasbench_mo.leaderboard.indicators import (
    Judge,
    at_evaluations,
    ecdf,
    ecdf_area,
    evaluation_grid,
    evaluations_to,
)
from nasbench_mo.leaderboard.results import (
    BoardProblem,
    BoardResults,
    Comparison,
    Entry,
    Estimate,
    ProblemResult,
    Standing,
)
from nasbench_mo.leaderboard.submission import Submission, Trace
from nasbench_mo.objective import Objective
from nasbench_mo.pareto import attainment_surface, front

Floats = NDArray[np.float64]
ATTAINMENT_LEVELS = (0.25, 0.5, 0.75)
ALPHA = 0.05
#: Called with (submissions done, all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """One searcher on one problem, and the evaluations to each target by run, (runs, targets)."""

    result: ProblemResult
    hits: Floats


def rank(board: Board, submissions: Sequence[Submission], *, progress: Progress | None = None) -> BoardResults:
    """Check submissions and rank them.

    Parameters
    ----------
    board
        The rules.
    submissions
        At least one, in any order; results do not depend on it.
    progress
        Called after each submission.

    Raises
    ------
    SubmissionError
        There is none, two have one name, or one does not pass :func:`~nasbench_mo.leaderboard.check`.
    """
    ordered = sorted(submissions, key=lambda s: s.name)
    if not ordered:
        raise SubmissionError(f"board {board.id!r} has no submission to rank; make one with 'nasbench-mo board run'")
    for a, b in itertools.pairwise(ordered):
        if a.name == b.name:
            raise SubmissionError(f"board {board.id!r}: two submissions are called {a.name!r}; rename one")
    problems = {p: board.problem(p) for p in board.problems}
    judges = {p: Judge(opened) for p, opened in problems.items()}
    scored: dict[str, dict[str, _Scored]] = {}
    for done, submission in enumerate(ordered, start=1):
        checked = check(submission, board, problems=problems)
        scored[submission.name] = {p: _score(checked.traces[p], judge=judges[p], board=board) for p in board.problems}
        if progress is not None:
            progress(done, len(ordered))
    return _results(board, ordered, scored=scored, judges=judges)


def unranked(board: Board) -> BoardResults:
    """What there is to say of a board before it has an entry; its problems are not opened."""
    return BoardResults(
        id=board.id,
        title=board.title,
        about=board.about,
        rules=RULES[board.rules],
        budget=board.budget,
        targets=board.targets,
        problems=tuple(_described(identifier, board=board) for identifier in board.problems),
        entries=(),
        standings=(),
        ecdf={},
        comparison=Comparison(friedman_p=None, critical_difference=None, pairs={}, cliques=()),
    )


def _described(identifier: str, *, board: Board) -> BoardProblem:
    """A problem from its definition and its published manifest."""
    given = board.given.get(identifier)
    manifest = given.manifest if given else published_manifest(identifier)
    if manifest is None:
        raise SpecError(f"board {board.id!r}: {identifier!r} has no manifest, so no share of HV* to rank by")
    known: Problem | ProblemSpec = given or problem_spec(identifier)
    return BoardProblem(
        id=identifier,
        about=known.description,
        objectives=tuple(_label(term.objective) for term in known.terms),
        reference_hypervolume=manifest.score.hypervolume,
        exact=manifest.exact,
        true_front=np.empty((0, len(known.terms))),
        results={},
        ranks={},
    )


def _label(objective: Objective) -> str:
    return f"{objective.name} [{objective.unit}], {objective.kind}"


def score(checked: CheckedSubmission, board: Board) -> dict[str, ProblemResult]:
    """An entry's own numbers on each problem of a board, without the others."""
    return {p: _score(checked.traces[p], judge=Judge(board.problem(p)), board=board).result for p in board.problems}


def standings_csv(results: BoardResults) -> str:
    """Standings as CSV: rank, wins, ECDF area, shares of targets reached, and the median share on each problem."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    targets = [f"reached_{t:g}" for t in results.targets]
    medians = [f"median_share_{p.id}" for p in results.problems]
    writer.writerow(["searcher", "mean_rank", "wins", "ecdf_area", *targets, *medians])
    for s in results.standings:
        shares = [float(np.median(p.results[s.searcher].final)) for p in results.problems]
        numbers = [s.ecdf_area, *(s.reached[t] for t in results.targets), *shares]
        writer.writerow([s.searcher, f"{s.rank:.6g}", s.wins, *(f"{v:.6f}" for v in numbers)])
    return stream.getvalue()


# ---------------------------------------------------------------------- one searcher on one problem


def _score(traces: Sequence[Trace], *, judge: Judge, board: Board) -> _Scored:
    curves = [judge.share_curve(t.X, t.F) for t in traces]
    final = np.array([c[-1] if c.size else 0.0 for c in curves])
    hits = np.stack([evaluations_to(c, board.targets) for c in curves])
    grid = evaluation_grid(board.budget)
    shares = np.stack([at_evaluations(c, grid) for c in curves])
    fronts = [t.X[judge.front_rows(t.X, t.F)] for t in traces]
    values = [judge.problem.evaluate(X) for X in fronts]
    middle = int(np.argsort(final, kind="stable")[(len(final) - 1) // 2])
    shown, archs = _shown(fronts[middle], values[middle], problem=judge.problem)
    per_evaluation = [1e3 * t.cpu_s / len(t.X) for t in traces if t.cpu_s is not None]
    return _Scored(
        hits=hits,
        result=ProblemResult(
            n_runs=len(traces),
            evaluations=grid,
            hypervolume_share=np.quantile(shares, (0.25, 0.5, 0.75), axis=0).T,
            final=final,
            to_target={t: statistics.median_estimate(hits[:, i]) for i, t in enumerate(board.targets)},
            indicators=_indicators(fronts, judge=judge, names=board.indicators),
            overhead_ms=float(np.median(per_evaluation)) if len(per_evaluation) == len(traces) else None,
            front=shown,
            front_archs=archs,
            attainment=_attainment(values) if judge.problem.n_objectives == 2 else {},
        ),
    )


def _indicators(fronts: Sequence[NDArray[np.int8]], *, judge: Judge, names: Sequence[str]) -> dict[str, Estimate]:
    found = {}
    for name in names:
        values = [v for v in (judge.indicator(name, X) for X in fronts) if v is not None]
        if len(values) == len(fronts):
            found[name] = statistics.median_estimate(values)
    return found


def _shown(X: NDArray[np.int8], F: Floats, *, problem: Problem) -> tuple[Floats, tuple[str, ...]]:
    """Distinct nondominated scored values of a front, sorted, with an architecture of each."""
    best = front(F) if len(F) else F
    rows = [int(np.flatnonzero((f == F).all(axis=1))[0]) for f in best]
    return best, tuple(problem.space.decode(X[rows])) if rows else ()


def _attainment(values: Sequence[Floats]) -> dict[float, Floats]:
    return {level: attainment_surface(list(values), quantile=level) for level in ATTAINMENT_LEVELS}


# ---------------------------------------------------------------------- all together


def _results(
    board: Board,
    submissions: Sequence[Submission],
    *,
    scored: Mapping[str, Mapping[str, _Scored]],
    judges: Mapping[str, Judge],
) -> BoardResults:
    names = list(scored)
    finals = {p: np.column_stack([scored[n][p].result.final for n in names]) for p in board.problems}
    ranks = {p: statistics.mean_ranks(finals[p]) for p in board.problems}
    hits = {n: np.stack([scored[n][p].hits for p in board.problems]) for n in names}
    standings = _standings(board, names, ranks=ranks, finals=finals, hits=hits)
    grid = evaluation_grid(board.budget)
    return BoardResults(
        id=board.id,
        title=board.title,
        about=board.about,
        rules=RULES[board.rules],
        budget=board.budget,
        targets=board.targets,
        problems=tuple(
            BoardProblem(
                id=p,
                about=judges[p].problem.description,
                objectives=tuple(map(_label, judges[p].problem.objectives)),
                reference_hypervolume=judges[p].best_hypervolume,
                exact=judges[p].exact,
                true_front=judges[p].reference_front,
                results={n: scored[n][p].result for n in names},
                ranks={n: float(r) for n, r in zip(names, ranks[p], strict=True)},
            )
            for p in board.problems
        ),
        entries=tuple(_entry(s) for s in submissions),
        standings=standings,
        ecdf={n: ecdf(hits[n], grid) for n in names},
        comparison=_comparison({s.searcher: s.rank for s in standings}, names, ranks=ranks, finals=finals),
    )


def _entry(submission: Submission) -> Entry:
    p = submission.particulars
    options = dict(p.options) if p.searcher == p.name else {"searcher": p.searcher, **p.options}
    return Entry(
        searcher=p.name,
        source=p.source,
        software=f"{p.software} {p.version}",
        submitted=p.submitted,
        options=options,
        verified=True,
    )


def _standings(
    board: Board,
    names: Sequence[str],
    *,
    ranks: Mapping[str, Floats],
    finals: Mapping[str, Floats],
    hits: Mapping[str, Floats],
) -> tuple[Standing, ...]:
    mean_rank = np.mean([ranks[p] for p in board.problems], axis=0)
    medians = np.round([np.median(finals[p], axis=0) for p in board.problems], 10)
    wins = (medians == medians.max(axis=1, keepdims=True)).sum(axis=0)
    found = [
        Standing(
            searcher=n,
            rank=float(mean_rank[i]),
            wins=int(wins[i]),
            ecdf_area=ecdf_area(hits[n], budget=board.budget),
            reached={t: float(np.isfinite(hits[n][:, :, j]).mean()) for j, t in enumerate(board.targets)},
        )
        for i, n in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda s: (round(s.rank, 10), s.searcher)))


def _comparison(
    standing: Mapping[str, float], names: Sequence[str], *, ranks: Mapping[str, Floats], finals: Mapping[str, Floats]
) -> Comparison:
    """Tests over a board.

    Friedman and Nemenyi treat problems as blocks and say what holds beyond these problems. The signed-rank tests pair
    runs of one problem and seed and say what holds for these problems. A12 is the mean over problems, as shares of
    different problems do not compare.
    """
    p_value = statistics.friedman_p(np.stack(list(ranks.values())))
    pairs = list(itertools.combinations(range(len(names)), 2))
    raw = [
        statistics.wilcoxon_p(*(np.concatenate([f[:, i] for f in finals.values()]) for i in (a, b))) for a, b in pairs
    ]
    effects = [float(np.mean([statistics.a12(f[:, a], f[:, b]) for f in finals.values()])) for a, b in pairs]
    corrected = statistics.holm(raw)
    difference = None
    if p_value is not None:
        difference = statistics.critical_difference(n_searchers=len(names), n_problems=len(ranks), alpha=ALPHA)
    together: tuple[tuple[str, ...], ...] = ()
    if difference is not None and p_value is not None:
        # Nemenyi's test follows a significant Friedman test; without one nobody differs from anybody
        together = statistics.cliques(standing, difference=difference if p_value < ALPHA else np.inf)
    elif len(names) == 2 and corrected[0] >= ALPHA:
        together = (tuple(sorted(names, key=lambda n: standing[n])),)
    return Comparison(
        friedman_p=p_value,
        critical_difference=difference,
        pairs={(names[a], names[b]): (p, e) for (a, b), p, e in zip(pairs, corrected, effects, strict=True)},
        cliques=together,
    )
