"""Evaluations that may fail: which of a batch did, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Evaluator
from nasbench_mo.errors import MissingValueError, NasbenchMoError

#: Characters of a reason that are kept.
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of evaluating some architectures.

    Parameters
    ----------
    F
        (k, m) values; a row of NaN where the evaluation failed.
    reasons
        Published string of each architecture that failed, and why.
    """

    F: NDArray[np.float64]
    reasons: dict[str, str]


def attempt(evaluator: Evaluator, X: NDArray[Any], archs: list[str]) -> Attempt:
    """Evaluate (k, d) encodings with their k published strings.

    An evaluation fails where the user's function raises, or where a value is missing or not finite. A function that
    raises on a batch is called again for each architecture of it, to know which it was.

    Raises
    ------
    OSError
        As it came: a full disk or a lost connection says nothing of an architecture. The run ends, and goes on there.
    NasbenchMoError
        As it came, unless it is a missing value: the problem or the installation is wrong, not the architecture.
    """
    try:
        F = evaluator.attempt(X)
    except Exception as error:
        if isinstance(error, (OSError, NasbenchMoError)) and not isinstance(error, MissingValueError):
            raise
        if len(X) > 1:
            each = [attempt(evaluator, X[i : i + 1], archs[i : i + 1]) for i in range(len(X))]
            return Attempt(
                F=np.concatenate([one.F for one in each]),
                reasons={a: r for one in each for a, r in one.reasons.items()},
            )
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST_REASON]
        return Attempt(F=np.full((1, len(evaluator.objectives)), np.nan), reasons={archs[0]: reason})
    failed = np.asarray(~np.isfinite(F).all(axis=1))
    reasons = {archs[i]: _not_finite(evaluator, F[i]) for i in np.flatnonzero(failed)}
    return Attempt(F=np.where(failed[:, None], np.nan, F), reasons=reasons)


def _not_finite(evaluator: Evaluator, values: NDArray[np.float64]) -> str:
    bad = [f"{o.column} is {v}" for o, v in zip(evaluator.objectives, values, strict=True) if not np.isfinite(v)]
    return ", ".join(bad)
