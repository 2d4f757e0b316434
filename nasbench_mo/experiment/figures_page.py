"""The figures of searchers as a Markdown page."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from nasbench_mo.experiment.figures import CHECKPOINTS, Quantile, SearcherFigures, Spread

_ABOUT = (
    "Medians over seeds with quartiles in brackets. *To 99 %*: distinct evaluations until the hypervolume of the "
    "observed front, valued by the mean over training seeds, is for the first time 99 % of the exact front's (HV\\*). "
    "`> 300`: fewer than half of the runs (for a quartile: fewer than that share) got there within 300 evaluations; "
    "`≥`: the number lies between a run that got there and one that did not, so it has a lower bound only. "
    "*HV 50*: share of HV\\* "
    "after 50 evaluations. *CPU*: the searcher's own milliseconds per evaluation, the evaluation left out; compare "
    "them with each other, not with other machines. Everything but the CPU time follows from the seeds; "
    "with Gaussian processes, whose last bits the processor decides, on the same kind of processor."
)


def figures_markdown(rows: Sequence[SearcherFigures], *, command: str, judged_by: str) -> str:
    """One table a problem.

    Parameters
    ----------
    rows
        Figures of :func:`.searcher_figures`.
    command
        What made the page.
    judged_by
        The scale, in words.
    """
    cpus = sorted({cpu for row in rows for cpu in row.cpus})
    parts = ["# Searchers", f"`{command}`", _ABOUT, f"Judged by {judged_by}. CPU: {', '.join(cpus)}."]
    for problem in dict.fromkeys(row.problem for row in rows):
        here = [row for row in rows if row.problem == problem]
        parts += [f"## {_text(problem)}", _seen(here), _table(here)]
    return "\n\n".join(parts) + "\n"


def _seen(rows: Sequence[SearcherFigures]) -> str:
    noisy = {row.noisy for row in rows}
    seen = {
        frozenset({True}): "Searchers see one drawn training seed of each architecture.",
        frozenset({False}): "Searchers see the values they are judged by.",
    }.get(frozenset(noisy), "Some searchers see one drawn training seed, others the values they are judged by.")
    whole = next((row.exhaustive for row in rows if row.exhaustive is not None), None)
    if whole is not None:
        seen += f" Evaluating every architecture under the same noise reaches {_spread(whole, digits=4)} of HV\\*."
    told = [row for row in rows if row.known]
    if told:
        names, known = (", ".join(map(_text, texts)) for texts in ([row.searcher for row in told], told[0].known))
        seen += f" Told beforehand, as they cost nothing: {known} (to {names}, which can use it)."
    return seen


def _table(rows: Sequence[SearcherFigures]) -> str:
    budgets = [n for n in CHECKPOINTS if any(n == c.evaluations for row in rows for c in row.checkpoints)]
    head = ["searcher", "settings", "runs", "budget", *(f"to {100 * r.share:g} %" for r in rows[0].reaches)]
    head += [*(f"HV {n}" for n in budgets), "CPU ms"]
    n_failed = any(row.n_failed for row in rows)
    head += ["failed"] if n_failed else []
    lines = []
    for row in rows:
        shares = {c.evaluations: _spread(c.share, digits=4) for c in row.checkpoints}
        cells = [
            _text(row.searcher),
            _text(", ".join(f"{k}={v}" for k, v in row.settings.items() if v != "")),
            _seeds(row.seeds),
            str(row.budget),
            *(_spread(reach.evaluations, digits=None) for reach in row.reaches),
            *(shares.get(n, "") for n in budgets),
            "" if np.isnan(row.searcher_cpu_ms) else f"{row.searcher_cpu_ms:.2g}",
            *([str(row.n_failed)] if n_failed else []),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines])


def _text(text: str) -> str:
    """Text of a run file as text: it opens no HTML element, and ends no cell and no line."""
    return " ".join(html.escape(text, quote=False).split()).replace("|", "\\|").replace("`", "\\`")


def _seeds(seeds: Sequence[int]) -> str:
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{len(seeds)} (seeds {seeds[0]}-{seeds[-1]})" if whole and len(seeds) > 1 else str(len(seeds))


def _spread(spread: Spread, *, digits: int | None) -> str:
    """``median [low, high]``; whole numbers are printed without digits."""
    low, median, high = (_number(q, digits=digits) for q in (spread.low, spread.median, spread.high))
    return f"{median} [{low}, {high}]"


def _number(quantile: Quantile, *, digits: int | None) -> str:
    text = f"{quantile.value:g}" if digits is None else f"{quantile.value:.{digits}f}"
    return f"{quantile.bound.replace('>=', '≥')} {text}".strip()
