"""What is preferred, in the objectives' units, as the option of a searcher that can use it.

A preferred point is a region for one searcher and an aspiration for another; their docstrings say which. It becomes an
option of the searcher, so a run's identity has it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping

from nasbench_mo.benchmark import Problem
from nasbench_mo.benchmark.constraint import named_column, number_text
from nasbench_mo.errors import NasbenchMoError, ObjectiveError, SearcherError, SpecError, did_you_mean
from nasbench_mo.search import SEARCHERS


def preference_options(problem: Problem, searcher: str, prefer: Mapping[str, float]) -> dict[str, str]:
    """The searcher's option for a preferred point.

    Parameters
    ----------
    problem
        Whose objectives are meant.
    searcher
        Name of the searcher.
    prefer
        Column, or its beginning, to a value in its unit: ``{"error": 8, "latency_ms": 5}``. Objectives that are not
        named are left open.

    Returns
    -------
    dict
        One option, such as ``{"reference": "8,5"}``; ``"-"`` stands for an objective that is left open.

    Raises
    ------
    SearcherError
        The searcher takes no preference; the message names those that do.
    ObjectiveError
        A name is no objective of the problem, or two names are the same one.
    SpecError
        A value is no finite number, or there is none.
    """
    option = SEARCHERS.get(searcher).preference_option
    if option is None:
        raise SearcherError(f"searcher {searcher!r} takes no preference; {' and '.join(_with_preference())} do")
    point: dict[str, float] = {}
    columns = [o.column for o in problem.objectives]
    for name, value in prefer.items():
        what = f"problem {problem.id!r}, preference {name!r}"
        column = named_column(name, problem.objectives, what=what)
        if column is None:
            raise ObjectiveError(f"{what}: the objectives are {', '.join(columns)}.{_meant(name, problem)}")
        if column in point:
            raise ObjectiveError(f"{what}: {column} has a value already")
        if isinstance(value, (bool, str)) or not math.isfinite(float(value)):
            raise SpecError(f"{what}: expected a finite number in the column's unit; got {value!r}")
        point[column] = float(value)
    if not point:
        raise SpecError(f"problem {problem.id!r}: a preference names one of {', '.join(columns)} at least")
    return {option: ",".join(number_text(point[c]) if c in point else "-" for c in columns)}


def _meant(name: str, problem: Problem) -> str:
    return did_you_mean(name, [text for o in problem.objectives for text in (o.column, o.name)])


def _with_preference() -> list[str]:
    """Names of the searchers that take a preference; one whose library is missing is left out."""
    found = []
    for name in SEARCHERS:
        with contextlib.suppress(NasbenchMoError, ImportError):
            if SEARCHERS.get(name).preference_option is not None:
                found.append(repr(name))
    return found
