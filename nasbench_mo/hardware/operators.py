"""Cost of a network as operator counts times cost per operator: ``counts (n, s) @ costs (s,)``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, MissingValueError, ObjectiveError, SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.space.nb201 import NB201, NONE, OPERATIONS, Counting
from nasbench_mo.table import Table

#: Row of an operator table that every network has once: stem, reductions, classifier.
BASE = "base"
#: Decimals kept of a summed cost, so that equal counts give equal numbers and ties stay ties.
_DECIMALS = 9
#: The one operator that costs nothing without a row: the absent edge of NAS-Bench-201.
_FREE = OPERATIONS[NONE]


def operator_names(search_space: SearchSpace) -> list[str]:
    """Operators of a space: the distinct values of its variables, in order of appearance.

    Raises
    ------
    ArtifactError
        A value is a mere number (a kernel size, a depth, a width), which is no operator.
    """
    names = list(dict.fromkeys(v for variable in search_space.variables for v in variable.values))
    numbers = [name for name in names if name.isdigit()]
    if numbers:
        raise ArtifactError(
            f"space {search_space.name!r} has numbers as values ({', '.join(numbers[:4])}, ...) and not operators, so "
            "a cost per operator does not exist"
        )
    return names


def operator_counts(
    search_space: SearchSpace, X: ArrayLike, *, operators: Sequence[str], convention: Counting
) -> NDArray[np.float64]:
    """How often each operator of a cost table occurs in each network, (n, s).

    :data:`BASE` occurs once in every network.

    Raises
    ------
    ArtifactError
        The space does not have one of the operators, or no operators at all.
    """
    checked = search_space.check(X)
    names = operator_names(search_space)
    if isinstance(search_space, NB201):
        per_name: NDArray[Any] = search_space.operation_counts(checked, convention=convention)
    else:
        per_name = np.zeros((len(checked), len(names)))
        for j, variable in enumerate(search_space.variables):
            position = np.array([names.index(v) for v in variable.values])
            per_name[np.arange(len(checked)), position[checked[:, j]]] += 1
    columns = []
    for operator in operators:
        if operator != BASE and operator not in names:
            raise ArtifactError(f"space {search_space.name!r} has the operators {', '.join(names)}; got {operator!r}")
        columns.append(np.ones(len(checked)) if operator == BASE else per_name[:, names.index(operator)])
    return np.stack(columns, axis=1).astype(np.float64)


@final
class OperatorCosts:
    """A device's cost per operator, and with it the cost of every network of a space.

    Parameters
    ----------
    table
        Operator table: one row an operator, one column a cost.
    search_space
        Space whose operators the rows are.
    """

    def __init__(self, table: Table, *, search_space: SearchSpace) -> None:
        if table.header.rows != "operator":
            raise ArtifactError(f"table {table.id!r} holds {table.header.rows}s; expected operators")
        self.table = table
        self.space = search_space

    @classmethod
    def load(cls, identifier: str) -> Self:
        """Load an embedded or cached operator table by its id."""
        folder = artifacts.resolve("hw_tables", identifier)
        table = Table.open(folder)
        return cls(table, search_space=space(str(artifacts.read_card(folder)["space"])))

    @property
    def objectives(self) -> dict[str, Objective]:
        """Columns and what they mean."""
        return self.table.objectives

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of operators and costs."""
        return self.table.content_hash(self.table.columns)

    def evaluate(self, X: ArrayLike, *, column: str | Objective) -> NDArray[np.float64]:
        """Cost of (n, d) encodings, (n,), in the column's unit.

        Raises
        ------
        MissingValueError
            The table has no cost for an operator that occurs; only NAS-Bench-201's ``none`` is free without a row.
        """
        name = self.table.check_column(column)
        convention = self.objectives[name].convention
        if convention is None:
            raise ObjectiveError(f"column {name!r} of table {self.table.id!r} must say convention live or all")
        self._refuse_uncosted(X, convention=convention)
        counts = operator_counts(self.space, X, operators=self.table.archs, convention=convention)
        costs = self.table.query(self.table.archs, (name,))[:, 0]
        return np.round(counts @ costs, _DECIMALS)

    def _refuse_uncosted(self, X: ArrayLike, *, convention: Counting) -> None:
        """An operator without a row must not be counted as zero."""
        uncosted = [o for o in operator_names(self.space) if o not in self.table.archs and o != _FREE]
        if not uncosted:
            return
        counts = operator_counts(self.space, X, operators=uncosted, convention=convention)
        used = np.flatnonzero(counts.any(axis=0))
        if used.size:
            raise MissingValueError(
                f"table {self.table.id!r} has no cost for the operator {uncosted[used[0]]!r}; "
                "give it a row, with 0 where it is free"
            )


def fit_costs(counts: NDArray[np.float64], y: NDArray[np.float64], *, decimals: int) -> NDArray[np.float64]:
    """Least-squares cost per operator, (s,), rounded to the decimals the source has.

    Parameters
    ----------
    counts
        (n, s) operator counts.
    y
        (n,) published costs of the same networks.

    Raises
    ------
    SpecError
        A cost is missing, or the counts do not determine the costs: some operators always occur together.
    """
    if not np.isfinite(y).all():
        raise SpecError(f"a fit needs a published cost for every network; {int((~np.isfinite(y)).sum())} have none")
    solution, _, rank, _ = np.linalg.lstsq(counts, y, rcond=None)
    if rank < counts.shape[1]:
        raise SpecError(
            f"{counts.shape[1]} operators but only {rank} independent counts, so their costs are not determined; "
            "leave out one that follows from the others"
        )
    return np.round(solution, decimals) + 0.0
