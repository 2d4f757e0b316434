"""What ranking a board finds, ready to be written or drawn: plain numbers, no runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A median over seeds with a bootstrap interval of it.

    Parameters
    ----------
    value
        The median; infinite where at least half of the runs never got there.
    low, high
        95 % bootstrap interval of the median; ``high`` may be infinite.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemResult:
    """One searcher on one problem.

    Parameters
    ----------
    n_runs
        Seeds.
    evaluations
        (k,) numbers of evaluations at which the curves below are given, ascending, the last being the budget.
    hypervolume_share
        (k, 3) lower quartile, median and upper quartile over seeds of the share of HV*.
    final
        Share of HV* at the budget of each run, (n_runs,).
    to_target
        Evaluations to each target of the board, share of HV* to estimate.
    indicators
        Other indicators at the budget by name (``"igd_plus"``, ``"epsilon"``, ``"test_hypervolume_share"``), where the
        problem has them.
    overhead_ms
        The searcher's own processor time for an evaluation, median over runs; None where it was not recorded.
    front
        (j, m) nondominated values of the run with the median hypervolume, and ``front_archs`` its architectures.
    attainment
        Two objectives: empirical attainment surfaces by level (0.25, 0.5, 0.75), (i, 2) each; else empty.
    """

    n_runs: int
    evaluations: NDArray[np.int64]
    hypervolume_share: Floats
    final: Floats
    to_target: Mapping[float, Estimate]
    indicators: Mapping[str, Estimate]
    overhead_ms: float | None
    front: Floats
    front_archs: tuple[str, ...]
    attainment: Mapping[float, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardProblem:
    """A problem of a board and everybody's results on it.

    Parameters
    ----------
    id, about
        Of the problem.
    objectives
        Labels of the objectives with units, e.g. ``"error [percent], predicted"``.
    reference_hypervolume
        HV*, or the best known where the exact front is not, and ``exact`` says which. Of the best known one shares
        above 1 are possible.
    true_front
        (j, m) the exact front, or what is published of the best known, or an empty one.
    results
        Searcher to its result.
    ranks
        Searcher to its mean rank over paired seeds on this problem, 1 being best.
    """

    id: str
    about: str
    objectives: tuple[str, ...]
    reference_hypervolume: float
    exact: bool
    true_front: Floats
    results: Mapping[str, ProblemResult]
    ranks: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A searcher on a board.

    Parameters
    ----------
    searcher, source, software, submitted
        Name, paper, name and version of what ran, and the date.
    options
        Its settings.
    verified
        Whether every evaluation was asked for again and agreed.
    """

    searcher: str
    source: str
    software: str
    submitted: str
    options: Mapping[str, float | int | str]
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One line of the standings.

    Parameters
    ----------
    rank
        Mean rank over the problems.
    wins
        Problems on which its median hypervolume is the best.
    ecdf_area
        Share of (problem, target, run) triples reached, averaged over the logarithm of evaluations (COCO).
    reached
        Targets of the board: share of runs, over all problems, that reached each.
    """

    searcher: str
    rank: float
    wins: int
    ecdf_area: float
    reached: Mapping[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Statistics over all searchers of a board.

    Parameters
    ----------
    friedman_p
        Of the Friedman test over problems; None with fewer than three searchers or two problems.
    critical_difference
        Nemenyi's, of mean ranks at 5 %; None where ``friedman_p`` is.
    pairs
        (a, b) to Holm-corrected p of the Wilcoxon test and Vargha and Delaney's A12, the probability that a's result is
        better than b's.
    cliques
        Groups of searchers between which there is no significant difference.
    """

    friedman_p: float | None
    critical_difference: float | None
    pairs: Mapping[tuple[str, str], tuple[float, float]]
    cliques: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardResults:
    """Everything a board's page shows.

    Parameters
    ----------
    id, title, about, rules
        Of the board.
    budget, targets
        Evaluations of a run, and shares of HV* that are targets.
    problems, entries, standings
        In the board's order; entries by name; standings by rank.
    ecdf
        Searcher to (k, 2): evaluations (log-spaced), share of (problem, target, run) triples reached.
    comparison
        Who differs from whom.
    """

    id: str
    title: str
    about: str
    rules: str
    budget: int
    targets: tuple[float, ...]
    problems: tuple[BoardProblem, ...]
    entries: tuple[Entry, ...]
    standings: tuple[Standing, ...]
    ecdf: Mapping[str, Floats]
    comparison: Comparison
