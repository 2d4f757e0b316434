"""Constraints on the way to a searcher: as bounds where it takes them, else as values in which they show.

A searcher that knows nothing of constraints compares architectures by dominance, or learns their values. Deb's
feasibility rules (K. Deb, "An efficient constraint handling method for genetic algorithms", Computer Methods in Applied
Mechanics and Engineering 186, 2000; constrained domination, Deb et al., "A fast and elitist multiobjective genetic
algorithm: NSGA-II", IEEE TEC 6(2), 2002, section VI) are therefore written into the values it is told:

1. of two feasible architectures one dominates the other if and only if it does by its true values;
2. every feasible architecture dominates every infeasible one;
3. of two infeasible ones, the one that violates less dominates the other.

The original takes the worst feasible value of the population as what the infeasible must be worse than. What was told
cannot be taken back here, and what is still to come is not known, so the scale is fixed by the first values that are
told: with their greatest value h and their range s, in each objective,

- a feasible value f is told as it is up to c = h + s; beyond, it is squeezed into the next s, strictly rising:
  c + s r / (1 + r) with r = (f - c) / s;
- an infeasible architecture of violation v is told h + 3 s + s v / (1 + v) in every objective.

So every feasible value lies below h + 2 s and every infeasible one from h + 3 s to h + 4 s, whatever comes.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import SearcherError
from nasbench_mo.search import Searcher

Floats = NDArray[np.float64]

#: A range below this share of the values' size counts as none.
_LEAST_RANGE = 1e-9


@final
class PenalisedValues:
    """Turns true values into values in which constraints show, by a scale that the first ones fix.

    Parameters
    ----------
    problem
        Whose constraints they are; None where violations are given.
    """

    def __init__(self, problem: Problem | None = None) -> None:
        self.problem = problem
        self._high: Floats | None = None
        self._range: Floats | None = None

    def told(self, F: Floats, *, violation: Floats) -> Floats:
        """Values to tell of some architectures, (n, m), finite.

        Parameters
        ----------
        F
            (n, m) true, finite values; n may be 0.
        violation
            (n,) at least 0, 0 where an architecture is feasible.
        """
        if not len(F):
            return F.copy()
        if self._high is None or self._range is None:
            self._high, size = F.max(axis=0), np.abs(F).max(axis=0)
            found = np.ptp(F, axis=0)
            self._range = np.where(found > _LEAST_RANGE * size, found, np.where(size > 0, size, 1.0))
        ceiling = self._high + self._range
        told = np.where(F > ceiling, ceiling + self._range * _share((F - ceiling) / self._range), F)
        penalty = self._high + self._range * (3.0 + _share(violation)[:, None])
        return np.where((violation > 0)[:, None], penalty, told)


def hand_over(problem: Problem, searcher: Searcher) -> PenalisedValues | None:
    """Give a searcher the problem's constraints; where it does not take any, return what has to be done to its values.

    Raises
    ------
    SearcherError
        The searcher was told something before it had the constraints.
    """
    bounds = problem.constraint_set
    if not bounds:
        return None
    if not searcher.wants_constraints:
        return PenalisedValues(problem)
    if not searcher.n_told:
        searcher.set_constraints(
            bounds.upper, lower=bounds.lower, known=bounds.violation_beside if bounds.beside else None
        )
    elif not searcher.constrained:
        raise SearcherError(
            f"{searcher!r} was told values before it had the constraints of {problem.id!r}; call set_constraints first"
        )
    return None


def as_told(penalised: PenalisedValues | None, X: NDArray[Any], F: Floats) -> Floats:
    """What a searcher is told of the observed values (k, m) of architectures: as they are, or penalised."""
    if penalised is None or penalised.problem is None:
        return F
    return penalised.told(F, violation=penalised.problem.violation(X, F=F))


def _share(ratio: NDArray[Any]) -> Floats:
    """``r / (1 + r)`` of values of at least 0, 1 for infinity; 0 where they are below 0."""
    kept = np.maximum(ratio, 0.0)
    made: Floats = np.where(np.isinf(kept), 1.0, kept / (1.0 + np.where(np.isinf(kept), 0.0, kept)))
    return made
