"""A board as one self-contained, interactive HTML file, and the index of all boards.

A page is a function of the results alone: no date, numbers rounded to a fixed number of significant digits, everything
in the order of the board. What submitters wrote is embedded as data, see :mod:`nasbench_mo.leaderboard.embedding`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nasbench_mo.errors import FormatError
from nasbench_mo.leaderboard.embedding import fill_template
from nasbench_mo.leaderboard.results import BoardProblem, BoardResults, Entry, Estimate, Floats, ProblemResult

__all__ = ["render_board", "render_index"]

#: Significant digits of values of objectives, hypervolumes and statistics.
_DIGITS = 7
#: Significant digits of what curves miss of HV*; a pixel is a thousandth of a plot.
_CURVE_DIGITS = 4
#: Decimals of the same: what is less comes from the last bits of a hypervolume, which differ between processors.
_CURVE_DECIMALS = 12
#: Most points of one exact front; a longer one is thinned evenly along its first objective.
_MAX_FRONT_POINTS = 500
#: Most points of all curves, all fronts found and all surfaces of one level together, and the least and the most of
#: each: a page stays under 3 MB with twenty searchers on fifty problems.
_ALL_POINTS = 18_000
_POINTS_OF_ONE = (12, 160)
_INDEX_CURVES = 5


def render_board(results: BoardResults, *, with_index: bool = False) -> str:
    """Return the page of a board as HTML text.

    Parameters
    ----------
    results
        What to show; every searcher of the standings has one entry and the other way round.
    with_index
        Whether the page links to ``../index.html``.

    Returns
    -------
    str
        A complete document, the same bytes for the same results.

    Raises
    ------
    FormatError
        The standings, the entries and the problems do not name the same searchers, or a number is NaN.

    Notes
    -----
    Curves are given by their steps, at most 160 of each, fewer on a large board; fronts likewise; the page says where
    points of a front were left out.
    """
    template = resources.files("nasbench_mo.leaderboard").joinpath("board.html").read_text(encoding="utf-8")
    return fill_template(template, title=results.title, payload=_payload(results, with_index=with_index))


def render_index(boards: Sequence[BoardResults]) -> str:
    """Return the page that lists boards, each linked as ``<id>/index.html``.

    Parameters
    ----------
    boards
        In the order to list them.

    Returns
    -------
    str
        A complete document, the same bytes for the same results.

    Raises
    ------
    FormatError
        As :func:`render_board`.
    """
    template = resources.files("nasbench_mo.leaderboard").joinpath("index.html").read_text(encoding="utf-8")
    return fill_template(template, title="Leaderboards of nasbench-mo", payload={"boards": [_card(b) for b in boards]})


def _card(results: BoardResults) -> dict[str, Any]:
    """What the index says about a board."""
    entries = _entries(results)
    return {
        "id": results.id,
        "title": results.title,
        "about": results.about,
        "budget": results.budget,
        "problems": len(results.problems),
        "verified": sum(entry.verified for entry in results.entries),
        "searchers": [
            {
                "name": s.searcher,
                "rank": _round(s.rank),
                "area": _round(s.ecdf_area),
                "ok": entries[s.searcher].verified,
            }
            for s in results.standings
        ],
        "ecdf": [_ecdf(results.ecdf.get(s.searcher)) for s in results.standings[:_INDEX_CURVES]],
    }


def _payload(results: BoardResults, *, with_index: bool) -> dict[str, Any]:
    """The JSON that the script of the page reads; searchers are numbers, by their place in the standings."""
    entries = _entries(results)
    place = {standing.searcher: i for i, standing in enumerate(results.standings)}
    archs: dict[str, int] = {}
    comparison = results.comparison
    return {
        "id": results.id,
        "index": with_index,
        "title": results.title,
        "about": results.about,
        "rules": results.rules,
        "budget": results.budget,
        "targets": [_round(target) for target in results.targets],
        "searchers": [
            {
                "name": standing.searcher,
                **_described(entries[standing.searcher]),
                "rank": _round(standing.rank),
                "wins": standing.wins,
                "area": _round(standing.ecdf_area),
                "reached": [_optional(standing.reached.get(target)) for target in results.targets],
                "ecdf": _ecdf(results.ecdf.get(standing.searcher)),
            }
            for standing in results.standings
        ],
        "problems": [_problem(p, results=results, place=place, archs=archs) for p in results.problems],
        "archs": list(archs),
        "friedman": _optional(comparison.friedman_p),
        "cd": _optional(comparison.critical_difference),
        "pairs": sorted(
            [_place_of(a, place), _place_of(b, place), _round(p), _round(a12)]
            for (a, b), (p, a12) in comparison.pairs.items()
        ),
        "cliques": [sorted(_place_of(name, place) for name in clique) for clique in comparison.cliques],
    }


def _entries(results: BoardResults) -> dict[str, Entry]:
    """Entries by name, after checking that the results speak of the same searchers everywhere."""
    entries = {entry.searcher: entry for entry in results.entries}
    ranked = {standing.searcher for standing in results.standings}
    if set(entries) != ranked or len(entries) != len(results.entries) or len(ranked) != len(results.standings):
        raise FormatError(
            f"board {results.id!r}: expected one entry and one standing a searcher; only entries: "
            f"{sorted(set(entries) - ranked)}, only standings: {sorted(ranked - set(entries))}. Rank the board again"
        )
    for problem in results.problems:
        unknown = sorted((set(problem.results) | set(problem.ranks)) - ranked)
        if unknown:
            raise FormatError(f"board {results.id!r}, problem {problem.id!r}: {unknown} are not in the standings")
    return entries


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "source": entry.source,
        "software": entry.software,
        "submitted": entry.submitted,
        "options": [[key, _setting(value)] for key, value in sorted(entry.options.items())],
        "ok": entry.verified,
    }


def _setting(value: float | int | str) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _problem(
    problem: BoardProblem, *, results: BoardResults, place: Mapping[str, int], archs: dict[str, int]
) -> dict[str, Any]:
    front, left_out = _thinned_front(problem.true_front, at_most=_MAX_FRONT_POINTS)
    least, most = _POINTS_OF_ONE
    at_most = min(most, max(least, _ALL_POINTS // max(1, sum(len(p.results) for p in results.problems))))
    by_place: list[dict[str, Any] | None] = [None] * len(place)
    for name, i in place.items():
        if name in problem.results:
            by_place[i] = _result(problem.results[name], targets=results.targets, archs=archs, at_most=at_most)
    ranks = {i: _optional(problem.ranks.get(name)) for name, i in place.items()}
    return {
        "id": problem.id,
        "about": problem.about,
        "objectives": list(problem.objectives),
        "hv": _round(problem.reference_hypervolume),
        "exact": problem.exact,
        "front": _points(front),
        "left_out": left_out,
        "ranks": [ranks[i] for i in range(len(place))],
        "results": by_place,
    }


def _result(result: ProblemResult, *, targets: Iterable[float], archs: dict[str, int], at_most: int) -> dict[str, Any]:
    """One searcher on one problem. Shares of HV* travel as what is missing, so that digits near 1 are kept."""
    if len(result.front_archs) != len(result.front):
        raise FormatError(
            f"expected an architecture for each of {len(result.front)} points of a front; got {len(result.front_archs)}"
        )
    missing_share = _missing(result.hypervolume_share).reshape(-1, 3)
    evaluations, missing = _steps(np.asarray(result.evaluations), missing_share, at_most=at_most)
    found = np.asarray(result.front, dtype=float)
    kept = _thinned_order(found, at_most=at_most)
    surfaces = {level: _thinned_front(surface, at_most=at_most)[0] for level, surface in result.attainment.items()}
    return {
        "runs": result.n_runs,
        "e": [int(e) for e in evaluations],
        "gap": [[_round(v, digits=_CURVE_DIGITS) for v in column] for column in missing.T.tolist()],
        "final": sorted(_round(v, digits=_CURVE_DIGITS) for v in _missing(result.final).tolist()),
        "to": [_estimate(result.to_target.get(target)) for target in targets],
        "ind": {name: _estimate(value) for name, value in sorted(result.indicators.items())},
        "ms": _optional(result.overhead_ms),
        "front": _points(found[kept]),
        "left_out": len(found) - len(kept),
        "archs": [archs.setdefault(result.front_archs[i], len(archs)) for i in kept],
        "att": [[_round(level), _points(surface)] for level, surface in sorted(surfaces.items())],
    }


def _missing(shares: ArrayLike) -> Floats:
    """What shares of HV* lack of the whole."""
    missing: Floats = np.round(1.0 - np.asarray(shares, dtype=float), _CURVE_DECIMALS) + 0.0  # no zero has a sign
    return missing


def _steps(evaluations: np.ndarray[Any, Any], missing: Floats, *, at_most: int) -> tuple[np.ndarray[Any, Any], Floats]:
    """Evaluations at which a curve changes, with its first and last, thinned evenly in their logarithm."""
    if len(evaluations) == 0:
        return evaluations, missing
    changes = np.any(np.diff(missing, axis=0) != 0, axis=1)
    kept = np.flatnonzero(np.concatenate(([True], changes)))
    if len(kept) > at_most:
        wanted = np.geomspace(1, evaluations[-1], at_most)
        places = np.searchsorted(evaluations[kept], wanted, side="right") - 1
        kept = kept[np.unique(np.clip(places, 0, len(kept) - 1))]
    kept = np.union1d(kept, [len(evaluations) - 1])
    return evaluations[kept], missing[kept]


def _thinned_front(front: Floats, *, at_most: int) -> tuple[Floats, int]:
    """A front by its first objective, every so many-th point of it where it is long, and how many are left out."""
    values = np.asarray(front, dtype=float)
    kept = _thinned_order(values, at_most=at_most)
    return values[kept], len(values) - len(kept)


def _thinned_order(front: Floats, *, at_most: int) -> list[int]:
    """Rows of a front in the order of its objectives, every so many-th where there are more than so many."""
    if len(front) == 0:
        return []
    order = np.lexsort(front.T[::-1])
    if len(order) > at_most:
        order = order[np.unique(np.linspace(0, len(order) - 1, at_most).round().astype(int))]
    return [int(i) for i in order]


def _points(front: Floats) -> list[list[float]]:
    return [[_round(value) for value in row] for row in np.asarray(front, dtype=float).tolist()]


def _ecdf(curve: Floats | None) -> list[list[float]]:
    return [] if curve is None else [[_round(v, digits=5) for v in row] for row in np.asarray(curve).T.tolist()]


def _estimate(estimate: Estimate | None) -> list[float | None] | None:
    """Median and interval; an infinite one is null, for JSON has no infinity."""
    if estimate is None:
        return None
    return [None if math.isinf(v) else _round(v) for v in (estimate.value, estimate.low, estimate.high)]


def _optional(value: float | None) -> float | None:
    return None if value is None else _round(value)


def _place_of(name: str, place: Mapping[str, int]) -> int:
    if name not in place:
        raise FormatError(f"the comparison names {name!r}, which is not in the standings")
    return place[name]


def _round(value: float, *, digits: int = _DIGITS) -> float | int:
    """A number to so many significant digits; a whole one without a point, so that the page stays small."""
    if not math.isfinite(value):
        raise FormatError(f"a board shows finite numbers; got {value}")
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
