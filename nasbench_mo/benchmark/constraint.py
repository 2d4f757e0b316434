"""Constraints of a problem, such as ``latency_ms <= 5``: their text, their columns, and how far values violate them.

A constraint bounds one column in the column's own unit. The column is one of the problem's objectives, or one of those
beside them that cost nothing to know (:mod:`.side_costs`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Self, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark.values import Values
from nasbench_mo.errors import ObjectiveError, SpecError, did_you_mean
from nasbench_mo.hardware import check_joinable
from nasbench_mo.objective import UNITS, Objective
from nasbench_mo.pareto.violation import bound_violation

Relation = Literal["<=", ">="]

_FORM = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*(<=|>=)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A bound of one column. It says nothing of where the column's values come from.

    Parameters
    ----------
    column
        Name with unit, ``latency_eyeriss_ms``.
    relation
        ``"<="`` or ``">="``; the bound itself is allowed.
    bound
        In the column's unit; finite.

    Raises
    ------
    SpecError
        The relation is another one, or the bound is no finite number.

    Examples
    --------
    >>> print(Constraint.parse("latency_ms<=5.0"))
    latency_ms <= 5
    """

    column: str
    relation: Relation
    bound: float

    def __post_init__(self) -> None:
        if self.relation not in ("<=", ">="):
            raise SpecError(f"constraint on {self.column}: the relation is '<=' or '>='; got {self.relation!r}")
        if isinstance(self.bound, bool) or not isinstance(self.bound, (int, float)) or not math.isfinite(self.bound):
            raise SpecError(f"constraint on {self.column}: the bound must be a finite number; got {self.bound!r}")

    def __str__(self) -> str:
        return f"{self.column} {self.relation} {number_text(self.bound)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``COLUMN <= NUMBER`` or ``COLUMN >= NUMBER``.

        Raises
        ------
        SpecError
            The text has another form.
        """
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        try:
            bound = float(found[3]) if found is not None else math.nan
        except ValueError:
            bound = math.nan
        if found is None or not math.isfinite(bound):
            raise SpecError(
                f"a constraint is 'COLUMN <= NUMBER' or 'COLUMN >= NUMBER', such as 'latency_ms <= 5'; got {text!r}"
            )
        return cls(column=found[1], relation="<=" if found[2] == "<=" else ">=", bound=bound)


def number_text(value: float) -> str:
    """The shortest text that reads as the same float64: ``5`` for 5.0."""
    return repr(float(value)).removesuffix(".0")


def named_column(name: str, objectives: Sequence[Objective], *, what: str) -> str | None:
    """The column that a name means; None where no column is like it.

    A name is a column (``latency_eyeriss_ms``), a column without its unit (``latency_eyeriss``, ``error``), or their
    beginning where only one column has it (``latency_ms``, ``latency``).

    Parameters
    ----------
    name
        As the user wrote it.
    objectives
        What the columns are.
    what
        Beginning of an error message.

    Raises
    ------
    ObjectiveError
        The name has another unit than the column, or fits several columns.
    """
    for o in objectives:
        if name in (o.column, o.name):
            return o.column
    unit = max((u for u in UNITS if name.endswith(f"_{u}")), key=len, default=None)
    stem = name if unit is None else name.removesuffix(f"_{unit}")
    family = [o for o in objectives if o.name == stem or o.name.startswith(f"{stem}_")]
    fitting = [o for o in family if unit in (None, o.unit)]
    if len(fitting) == 1:
        return fitting[0].column
    if fitting:
        raise ObjectiveError(f"{what}: {name!r} may be {' or '.join(o.column for o in fitting)}; write one of them")
    if family:
        columns = " or ".join(o.column for o in family)
        raise ObjectiveError(
            f"{what}: {stem} is in {UNITS[family[0].unit]}, and {name!r} in {UNITS[str(unit)]}; convert the number and "
            f"write {columns}"
        )
    return None


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConstraintSet:
    """The constraints of one problem: at most one lower and one upper bound a column, in a fixed order.

    Parameters
    ----------
    constraints
        On columns that exist; those of the objectives first, in column order.
    objectives
        Of the problem.
    beside
        Values of the bounded columns that are no objectives.
    """

    constraints: tuple[Constraint, ...]
    objectives: tuple[Objective, ...]
    beside: Mapping[str, Values]

    @classmethod
    def of(
        cls,
        given: Sequence[Constraint | str],
        *,
        objectives: Sequence[Objective],
        beside: Mapping[str, Values],
        problem: str,
    ) -> Self:
        """Name columns, keep the tightest bound of each, and order them.

        Parameters
        ----------
        given
            Constraints or their texts.
        objectives, beside
            Columns that may be bounded: the objectives, and the values of those beside them.
        problem
            Its id, for messages.

        Raises
        ------
        SpecError
            A text is no constraint, or two bounds of a column contradict each other.
        ObjectiveError
            A column is unknown, ambiguous or of another unit, or counts dead operations where an objective does not.
        """
        origins = tuple(values.origin for values in beside.values())
        known = [o.column for o in (*objectives, *origins)]
        bounds: dict[tuple[int, Relation], float] = {}
        for one in given:
            parsed = one if isinstance(one, Constraint) else Constraint.parse(one)
            what = f"problem {problem!r}, constraint '{parsed}'"
            exact = parsed.column if parsed.column in known else None
            column = exact or named_column(parsed.column, objectives, what=what)
            column = column or named_column(parsed.column, origins, what=what)
            if column is None:
                raise ObjectiveError(
                    f"{what}: the columns are {', '.join(known)}; got {parsed.column!r}."
                    f"{did_you_mean(parsed.column, [*known, *(o.name for o in (*objectives, *origins))])}"
                )
            key = (known.index(column), parsed.relation)
            tightest = min if parsed.relation == "<=" else max
            bounds[key] = tightest(bounds.get(key, float(parsed.bound)), float(parsed.bound))
        made = tuple(
            Constraint(column=known[j], relation=relation, bound=bounds[j, relation]) for j, relation in sorted(bounds)
        )
        for at_most, at_least in pairwise(made):  # of one column, "<=" sorts before ">="
            if at_most.column == at_least.column and at_least.bound > at_most.bound:
                raise SpecError(f"problem {problem!r}: '{at_most}' and '{at_least}' contradict each other")
        used = {c.column for c in made}
        check_joinable(*objectives, *(origin for origin in origins if origin.column in used))
        return cls(
            constraints=made,
            objectives=tuple(objectives),
            beside={column: values for column, values in beside.items() if column in used},
        )

    def __bool__(self) -> bool:
        return bool(self.constraints)

    @property
    def texts(self) -> tuple[str, ...]:
        """Canonical texts, which identify the constraints."""
        return tuple(str(c) for c in self.constraints)

    @property
    def upper(self) -> NDArray[np.float64]:
        """Largest allowed value of each objective, (m,); infinite where there is no bound."""
        return self._bounds([o.column for o in self.objectives], relation="<=")

    @property
    def lower(self) -> NDArray[np.float64]:
        """Least allowed value of each objective, (m,); minus infinity where there is no bound."""
        return self._bounds([o.column for o in self.objectives], relation=">=")

    @property
    def keeps_fronts(self) -> bool:
        """Whether the front of what is feasible is the feasible part of the front.

        So it is with upper bounds of objectives alone: what dominates a feasible point is feasible too.
        """
        return not self.beside and not np.isfinite(self.lower).any()

    def violation(self, F: NDArray[np.float64], *, X: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Sum of the scaled excesses over the bounds, (n,), at least 0 (:func:`.bound_violation`).

        Parameters
        ----------
        F
            (n, m) objective values.
        X
            (n, d) encodings; None leaves the columns beside the objectives out.
        """
        total = bound_violation(F, lower=self.lower, upper=self.upper)
        return total if X is None or not self.beside else total + self.violation_beside(X)

    def violation_beside(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The part of :meth:`violation` that comes from columns beside the objectives, (n,)."""
        columns = list(self.beside)
        values = np.stack([self.beside[column].score(X) for column in columns], axis=1)
        return bound_violation(
            values, lower=self._bounds(columns, relation=">="), upper=self._bounds(columns, relation="<=")
        )

    def excess(self, F: NDArray[np.float64], *, X: NDArray[Any]) -> NDArray[np.float64]:
        """How far each constraint is exceeded, (n, c) in the order of :attr:`constraints`: at most 0 where it is kept.

        Scaled as in :meth:`violation`, which is the sum of the positive ones.

        Parameters
        ----------
        F, X
            (n, m) objective values and (n, d) encodings of the same architectures.
        """
        objectives = [o.column for o in self.objectives]
        found = np.empty((len(F), len(self.constraints)))
        for i, one in enumerate(self.constraints):
            beside = self.beside.get(one.column)
            values = F[:, objectives.index(one.column)] if beside is None else beside.score(X)
            sign = 1.0 if one.relation == "<=" else -1.0
            found[:, i] = sign * (values - one.bound) / (abs(one.bound) or 1.0)
        return found

    def satisfied(self, column: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values of one column keep its bounds, (n,); a missing value keeps none."""
        low, high = (self._bounds([column], relation=relation)[0] for relation in (">=", "<="))
        return np.asarray((values >= low) & (values <= high))

    def data_lines(self) -> list[str]:
        """What belongs to the problem's data hash: the columns beside its objectives."""
        return [f"{column} {values.data_hash()}\n" for column, values in sorted(self.beside.items())]

    def _bounds(self, columns: Sequence[str], *, relation: Relation) -> NDArray[np.float64]:
        open_ = math.inf if relation == "<=" else -math.inf
        found = {c.column: c.bound for c in self.constraints if c.relation == relation}
        return np.array([found.get(column, open_) for column in columns], dtype=np.float64)
