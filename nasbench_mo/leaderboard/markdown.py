"""A board as Markdown: its tables for readers of the folder, every number of which is on the page too."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nasbench_mo.leaderboard.results import BoardProblem, BoardResults, Entry, Estimate

__all__ = ["board_markdown", "boards_markdown", "rules_markdown"]

#: Level of the tests that the words speak of.
_LEVEL = 0.05
#: Characters that Markdown reads as markup anywhere in a line.
_MARKUP = re.compile(r"([\\`*_\[\]{}|~#@])")


def board_markdown(results: BoardResults) -> str:
    """Return the README of a board; it is not the page, which has the curves and fronts.

    Parameters
    ----------
    results
        What to write.

    Returns
    -------
    str
        GitHub-flavoured Markdown, the same bytes for the same results. Text of submissions is escaped, so that it is
        text and neither markup nor HTML.
    """
    parts = [
        f"# {_text(results.title)}",
        _text(results.about),
        f"Budget: {results.budget} evaluations a run. Targets: {_list(_share(t) for t in results.targets)} of HV*. "
        + (
            "Curves, fronts and every comparison are on the page, [index.html](index.html); both are written by "
            "`nasbench-mo board render`."
            if results.standings
            else f"No entry yet; `nasbench-mo board run {results.id} --searcher NAME` makes one."
        ),
        "## Rules",
        "\n".join(f"> {_text(line)}" for line in results.rules.splitlines() or [""]),
        *(_compared(results) if results.standings else ()),
        "## Problems",
        *(_problem(problem, results=results) for problem in results.problems),
        *(("## Searchers", _entries(results.entries)) if results.entries else ()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def boards_markdown(boards: Sequence[BoardResults]) -> str:
    """Return a table of boards with their first three searchers, the same bytes for the same results."""
    head = ["board", "about", "problems", "evaluations a run", "searchers", "first three, by mean rank"]
    rows = [
        [
            f"[{_text(board.id)}]({board.id}/README.md)",
            _text(board.title),
            str(len(board.problems)),
            str(board.budget),
            str(len(board.standings)),
            _text(", ".join(s.searcher for s in board.standings[:3])) or "no entry yet",
        ]
        for board in boards
    ]
    return _table(head, rows, right=frozenset({2, 3, 4}))


def rules_markdown(rules: Mapping[str, str]) -> str:
    """Return versions of the rules as Markdown; each board names its own."""
    return "\n\n".join(f"Version {_text(version)}:\n\n> {_text(text)}" for version, text in rules.items())


def _compared(results: BoardResults) -> list[str]:
    return [
        "## Standings",
        _standings(results),
        "Mean rank over the problems (1 is best), wins (best median hypervolume on a problem), area under the ECDF of "
        "targets over the logarithm of evaluations, and the share of all runs that reached each target.",
        "## Who differs from whom",
        "\n".join(f"- {line}" for line in _comparison(results)),
    ]


def _standings(results: BoardResults) -> str:
    head = ["#", "searcher", "mean rank", "wins", "ECDF area", *(f"≥ {_share(t)}" for t in results.targets)]
    verified = {entry.searcher for entry in results.entries if entry.verified}
    rows = [
        [
            str(place),
            _text(standing.searcher) + (" ✓" if standing.searcher in verified else ""),
            f"{standing.rank:.2f}",
            str(standing.wins),
            f"{standing.ecdf_area:.3f}",
            *(f"{100 * standing.reached[t]:.1f} %" if t in standing.reached else "–" for t in results.targets),
        ]
        for place, standing in enumerate(results.standings, start=1)
    ]
    return _table(head, rows, right=frozenset(range(len(head))) - {1})


def _comparison(results: BoardResults) -> list[str]:
    """The statistics in words; where nothing is significant, that is said."""
    found = results.comparison
    lines = []
    if found.friedman_p is None:
        lines.append("No test over all searchers: it needs at least three searchers and two problems.")
    elif found.friedman_p < _LEVEL:
        lines.append(f"Over all problems the searchers differ (Friedman test, {_p(found.friedman_p)}).")
    else:
        test = f"Friedman test, {_p(found.friedman_p)}"
        lines.append(f"No significant difference between the searchers over all problems ({test}).")
    lines += [
        f"No significant difference between {_list(_text(name) for name in clique)}."
        for clique in found.cliques
        if len(clique) > 1
    ]
    if found.critical_difference is not None:
        lines.append(
            f"Mean ranks that differ by less than {found.critical_difference:.2f}, the critical difference (Nemenyi, "
            "5 %), are not told apart by so many problems."
        )
    return lines + _against_the_first(results)


def _against_the_first(results: BoardResults) -> list[str]:
    """Whom the first searcher beats on these problems, run by run."""
    if not results.standings:
        return []
    first, *others = (standing.searcher for standing in results.standings)
    pairs = results.comparison.pairs
    found = {}
    for name in others:
        if (first, name) in pairs:
            found[name] = pairs[first, name]
        elif (name, first) in pairs:
            p, a12 = pairs[name, first]
            found[name] = (p, 1 - a12)
    groups = {
        "is significantly better than": [n for n, (p, a12) in found.items() if p < _LEVEL and a12 >= 0.5],
        "is significantly worse than": [n for n, (p, a12) in found.items() if p < _LEVEL and a12 < 0.5],
        "shows no significant difference from": [n for n, (p, _) in found.items() if p >= _LEVEL],
    }
    return [
        f"Run by run on these problems (Wilcoxon, Holm-corrected), {_text(first)} {words} {_list(map(_text, names))}."
        for words, names in groups.items()
        if names
    ]


def _problem(problem: BoardProblem, *, results: BoardResults) -> str:
    known = "of the exact front"
    if not problem.exact:
        known = "of the best front known, not of the exact one: shares above 100 % are possible"
    facts = (
        f"Objectives, minimised: {_list(_text(label) for label in problem.objectives)}. "
        f"HV* = {problem.reference_hypervolume:.6g}, {known}."
    )
    head = ["searcher", "mean rank", "share of HV*, median [quartiles]"]
    head += [f"evaluations to {_share(t)}" for t in results.targets]
    named = [s.searcher for s in results.standings if s.searcher in problem.results]
    ordered = sorted(named, key=lambda name: problem.ranks.get(name, math.inf))
    rows = []
    for name in ordered:
        result = problem.results[name]
        rank = problem.ranks.get(name)
        to = [_evaluations(result.to_target.get(t), budget=results.budget) for t in results.targets]
        rows.append([_text(name), "–" if rank is None else f"{rank:.2f}", _final(result.final), *to])
    heading = f"### {_text(problem.id)}\n\n{_text(problem.about)}\n\n{facts}"
    return f"{heading}\n\n{_table(head, rows, right=frozenset(range(1, len(head))))}" if rows else heading


def _final(final: Iterable[float]) -> str:
    values = np.asarray(final, dtype=float)
    if len(values) == 0:
        return "–"
    low, middle, high = (100 * float(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
    return f"{middle:.3f} % [{low:.3f}, {high:.3f}]"


def _evaluations(estimate: Estimate | None, *, budget: int) -> str:
    if estimate is None:
        return "–"
    value, low, high = (
        f"> {budget}" if math.isinf(v) else f"{v:.6g}" for v in (estimate.value, estimate.low, estimate.high)
    )
    return value if math.isinf(estimate.value) and math.isinf(estimate.low) else f"{value} [{low}, {high}]"


def _entries(entries: Sequence[Entry]) -> str:
    head = ["searcher", "verified", "source", "software", "submitted", "options"]
    rows = [
        [
            _text(entry.searcher),
            "yes" if entry.verified else "no",
            _text(entry.source),
            _text(entry.software),
            _text(entry.submitted),
            _text(", ".join(f"{key} = {_setting(value)}" for key, value in sorted(entry.options.items())))
            or "as they come",
        ]
        for entry in sorted(entries, key=lambda entry: entry.searcher)
    ]
    return _table(head, rows) + "\n\nVerified: every evaluation was asked for again and agreed."


def _setting(value: float | int | str) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    rule = ["---:" if i in right else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def _text(text: str) -> str:
    """Text that Markdown shows as it is: one line, no markup, no HTML."""
    line = " ".join(text.split())
    return _MARKUP.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _list(texts: Iterable[str]) -> str:
    parts = list(texts)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "none"


def _share(target: float) -> str:
    return f"{100 * target:.6g} %"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
