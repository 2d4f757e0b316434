"""Cost of a network from a device's costs per layer shape: ``counts (n, s) @ costs (s,)``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, MissingValueError, ObjectiveError, SpecError
from nasbench_mo.hardware.shapes import shape_name
from nasbench_mo.hardware.workload import Workload, compose, workload
from nasbench_mo.objective import Convention, Objective
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.specification import mapping_of
from nasbench_mo.table import Table


@final
class ShapeCosts:
    """A device's cost per layer shape, and with it the cost of every network of a space in any skeleton.

    It is *not* a measurement of networks: what a sum over layers leaves out (a layer that the runtime fuses, merges
    with an equal one or slows down through its memory) is on the table's card.

    Parameters
    ----------
    table
        Table of one row a layer shape, named as :func:`~nasbench_mo.hardware.shapes.shape_name` names it, and one
        column a cost.
    workload
        The networks whose shapes are looked up.
    merged_precisions
        Precisions in which equal layers of a network cost once, because the device's runtime merges them.

    Raises
    ------
    ArtifactError
        The table holds architectures, or costs of another space.
    """

    def __init__(self, table: Table, *, workload: Workload, merged_precisions: Collection[str] = ()) -> None:
        if table.header.rows != "operator":
            raise ArtifactError(f"table {table.id!r} holds {table.header.rows}s; expected layer shapes")
        if table.header.space != workload.space.name:
            raise ArtifactError(
                f"table {table.id!r} costs the layers of the space {table.header.space!r}; got the networks of "
                f"{workload.space.name!r}"
            )
        self.table = table
        self.workload = workload
        self.merged_precisions = tuple(merged_precisions)

    @classmethod
    def load(cls, identifier: str | Path, *, skeleton: object | None = None, dataset: str | None = None) -> Self:
        """Load a table of layer costs by its id or its folder.

        Parameters
        ----------
        identifier
            Id of an embedded or cached table, or a folder.
        skeleton, dataset
            The networks, as of :func:`~nasbench_mo.hardware.workload.workload`; by default the skeleton that the
            table's card names, and without one the first that the space was published with. Another skeleton will do
            if the table has a row for each of its shapes.
        """
        folder = identifier if isinstance(identifier, Path) else artifacts.resolve("hw_tables", identifier)
        table, card = Table.open(folder), artifacts.read_card(folder)
        if skeleton is None and dataset is None and card.get("skeleton") is not None:
            skeleton = _skeleton(card["skeleton"], place=f"{folder}/card.md: skeleton")
        return cls(
            table,
            workload=workload(table.header.space, skeleton=skeleton, dataset=dataset),
            merged_precisions=_words(card.get("equal_layers_merged_in", []), place=f"{folder}/card.md"),
        )

    def __repr__(self) -> str:
        return f"ShapeCosts({self.table.id!r}, {self.workload.name!r})"

    @property
    def objectives(self) -> dict[str, Objective]:
        """Columns and what they mean."""
        return self.table.objectives

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of shapes and costs."""
        return self.table.content_hash(self.table.columns)

    def evaluate(
        self, X: ArrayLike, *, column: str | Objective, joined_with: Objective | None = None
    ) -> NDArray[np.float64]:
        """Cost of (n, d) encodings, (n,), in the column's unit.

        Parameters
        ----------
        X
            (n, d) encodings.
        column
            Which cost.
        joined_with
            An objective that the cost is to be compared or combined with: both must follow one convention.

        Raises
        ------
        MissingValueError
            A network has a layer whose shape the table does not cost. Such a layer never costs zero.
        ObjectiveError
            The column states no convention, or ``joined_with`` follows another.

        Notes
        -----
        O(n s), rounded so that equal counts give equal costs (:func:`~nasbench_mo.hardware.workload.compose`).
        """
        name = self.table.check_column(column)
        convention = self._convention(name)
        if joined_with is not None:
            check_joinable(self.objectives[name], joined_with)
        merges = self.objectives[name].precision in self.merged_precisions
        counts = self.workload.counts(X, convention=convention, merge_equal=merges)
        costs = self._costs(name)
        self._refuse_uncosted(counts, costs, column=name)
        return compose(counts, costs)

    def _convention(self, name: str) -> Convention:
        convention = self.objectives[name].convention
        if convention is None:
            raise ObjectiveError(f"column {name!r} of table {self.table.id!r} must say convention live or all")
        return convention

    def _costs(self, name: str) -> NDArray[np.float64]:
        """Cost of each shape of the workload, (s,); NaN where the table has none."""
        stored = dict(zip(self.table.archs, self.table[name].tolist(), strict=True))
        return np.array([stored.get(shape_name(shape), np.nan) for shape in self.workload.shapes])

    def _refuse_uncosted(self, counts: NDArray[np.float64], costs: NDArray[np.float64], *, column: str) -> None:
        used = np.flatnonzero((counts > 0).any(axis=0) & ~np.isfinite(costs))
        if used.size:
            shape = shape_name(self.workload.shapes[used[0]])
            raise MissingValueError(
                f"table {self.table.id!r} has no {column} for the layer {shape!r} ({used.size} such layers in these "
                f"networks of {self.workload.name}); it has {', '.join(self.table.archs[:3])}, ... Build a table for "
                "this skeleton: a layer without a cost is not free"
            )


def check_joinable(*objectives: Objective) -> None:
    """Refuse to compare or combine costs that count layers by different conventions.

    Raises
    ------
    ObjectiveError
        Of two objectives one counts live operations, the other all.

    Examples
    --------
    >>> ours = Objective(name="latency_fp32_t1", unit="us", kind="measured", convention="live")
    >>> check_joinable(ours, Objective(name="latency_fpga", unit="ms", kind="modelled", convention="all"))
    Traceback (most recent call last):
        ...
    nasbench_mo.errors.ObjectiveError: 'latency_fp32_t1_us' counts live operations and 'latency_fpga_ms' counts all...
    """
    stated: dict[Convention, Objective] = {}
    for objective in objectives:
        if objective.convention is not None:
            stated.setdefault(objective.convention, objective)
    if len(stated) > 1:
        raise ObjectiveError(
            f"{stated['live'].column!r} counts live operations and {stated['all'].column!r} counts all of them, dead "
            "ones too; costs of two conventions cannot be joined. Take a table of the same convention"
        )


def skeleton_fields(skeleton: Skeleton) -> dict[str, int]:
    """A skeleton as a card's mapping, which :meth:`ShapeCosts.load` reads."""
    return {name: int(getattr(skeleton, name)) for name in Skeleton.__dataclass_fields__}


def _words(value: object, *, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ArtifactError(f"{place}: equal_layers_merged_in must be a list of precisions, got {value!r}")
    return tuple(value)


def _skeleton(fields: Mapping[str, Any], *, place: str) -> Skeleton:
    names = list(Skeleton.__dataclass_fields__)
    try:
        return Skeleton(**mapping_of(fields, place=place, allowed=names, required=names))
    except SpecError as error:
        raise ArtifactError(str(error)) from error
