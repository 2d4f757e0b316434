"""Evaluations that may fail: which did, why, and what a searcher is told of them.

An evaluation fails where the user's function raises, or where a value is missing or not finite. It counts, and it is
recorded as failed. The searcher is told the worst value that each objective had so far, whatever the epochs, as if the
architecture were as bad as the worst. Until something has succeeded there is no such value: the searcher waits for its
answer, and architectures are drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Evaluator, Problem
from nasbench_mo.errors import MissingValueError, NasbenchMoError, RunError

#: Characters of a reason that are kept.
_LONGEST_REASON = 300
#: Keeps the stream that draws while everything fails apart from a searcher's own.
_STREAM = 0x72657363


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
    reasons: Mapping[str, str]


def attempt(evaluator: Evaluator, X: NDArray[Any], archs: list[str]) -> Attempt:
    """Evaluate (k, d) encodings with their k published strings.

    A function that raises on a batch is called again for each architecture of it, to know which it was.

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
            reasons = {arch: reason for one in each for arch, reason in one.reasons.items()}
            return Attempt(F=np.concatenate([one.F for one in each]), reasons=reasons)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST_REASON]
        return Attempt(F=np.full((1, len(evaluator.objectives)), np.nan), reasons={archs[0]: reason})
    failed = np.asarray(~np.isfinite(F).all(axis=1))
    reasons = {archs[i]: _not_finite(evaluator, F[i]) for i in np.flatnonzero(failed)}
    return Attempt(F=np.where(failed[:, None], np.nan, F), reasons=reasons)


def _not_finite(evaluator: Evaluator, values: NDArray[np.float64]) -> str:
    bad = [f"{o.column} is {v}" for o, v in zip(evaluator.objectives, values, strict=True) if not np.isfinite(v)]
    return ", ".join(bad)


class Failures:
    """What failed in a run so far, and what stands in for it.

    Parameters
    ----------
    problem
        What is searched.
    seed
        The searcher's, for the architectures that are drawn while nothing has succeeded.
    """

    def __init__(self, problem: Problem, *, seed: int) -> None:
        self.reasons: dict[str, str] = {}
        self._problem = problem
        self._worst = np.full(problem.n_objectives, -np.inf)
        self._rng = np.random.default_rng([seed, _STREAM])

    def note(self, F: NDArray[np.float64], reasons: Mapping[str, str]) -> None:
        """Take (k, m) values, k >= 1, with NaN in what failed, and the reasons."""
        self._worst = np.fmax(self._worst, np.fmax.reduce(F, axis=0))
        self.reasons |= reasons

    @property
    def nothing_else(self) -> bool:
        """Whether nothing has succeeded yet."""
        return bool(np.isinf(self._worst).any())

    def stood_in_for(self, F: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k, m) values with the worst so far in place of what failed."""
        return np.where(np.isnan(F), self._worst, F)

    def draw(self, is_new: Callable[[NDArray[Any]], bool], *, patience: int) -> NDArray[Any] | None:
        """A random architecture (d,) that is new; None where so many draws in a row were not."""
        for _ in range(patience):
            x: NDArray[Any] = self._problem.space.check(self._problem.space.sample(1, rng=self._rng))[0]
            if is_new(x):
                return x
        return None

    def everything(self, n: int) -> RunError:
        """The error for a run in which all n evaluations failed."""
        arch, reason = next(iter(self.reasons.items()))
        return AllFailedError(
            f"all {n} evaluations of {self._problem.id!r} failed, so there is nothing to search by; the first, "
            f"{arch!r}: {reason}"
        )

    def environment(self) -> dict[str, dict[str, str]]:
        """What a run file says of it: nothing without failures."""
        return {"failed_because": dict(self.reasons)} if self.reasons else {}


class AllFailedError(RunError):
    """The budget is spent, and no evaluation has succeeded."""
