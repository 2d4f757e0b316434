"""Any CSV, Parquet or NPZ file with one row an architecture, described by a YAML specification.

``nasbench-mo import columns FILE --spec spec.yaml`` makes one native table. The file is chosen by its suffix. NPZ
arrays are read without unpickling; an array (n, k) gives k columns, chosen by ``index``. Rows are counted from 0, a
CSV's header line not included. ``tests/specs`` holds a commented example for ten published files.

The specification
-----------------
::

    id: nb201-my-latency-measured-v1      # identity, ends in a version
    space: nb201                          # a registered space, or one's own:
    # space: {name: mlp, variables: {depth: [1, 2, 3], act: [relu, gelu], width: {values: [32, 64], repeat: 2}}}
    #                                       (width0 and width1: every combination of values is an architecture)
    source: {source: who measured, licence: MIT, url: ..., citation: ..., notes: ...}    # the first two are needed
    architecture: {column: arch}          # published strings; see below
    where: {task: cifar10}                # optional: only rows with this value, or with one of a list of values
    duplicates: error                     # rows of the same architecture: error (default), first, mean
    objectives:
      - {column: lat, unit: ms, direction: min, kind: measured}
      - {column: acc, index: 0, name: c10_valid_accuracy, unit: percent, direction: max, kind: measured,
         dataset: cifar10, split: valid, epochs: 200, seed: 777, missing: [-1], scale: 100, where: {task: cifar10}}
      - {mean_of: [first_name, second_name], name: both, unit: ms, direction: min, kind: derived}

``architecture``
    ``column`` names one column, ``columns`` several that are laid side by side; an array (n, k) counts k. ``file``
    names another file, relative to the data file, whose row i is row i here.

    - ``form: strings`` (the default for a lone column): the space's published strings.
    - ``form: codes``: each value is the code of a variable, ``0 .. cardinality - 1``.
    - ``form: values``: each value is a published value of its variable, compared as text.

    ``parse: integers`` takes the integers out of text such as ``"(0,2,3)"``. ``values: {file: published}`` translates
    first (codes to codes in form ``codes``); in ``columns`` an entry ``{column: c, values: {...}}`` has a map of its
    own. ``order`` gives, for each variable of the space in turn, its position side by side; what it leaves out must
    be the same in every row.

``objectives``
    ``column``, ``unit``, ``direction`` and ``kind`` must be stated; the other fields of
    :class:`~nasbench_mo.objective.Objective` may be. ``name`` is the column's without its unit by default. Empty
    fields, NaN and the values listed in ``missing`` are missing; an infinite value must be listed or is refused.
    float32 values are taken at their shortest decimal form. ``scale`` multiplies. ``where`` chooses this objective's
    rows: a file with one row for each architecture *and* task becomes wide; an architecture without such a row has a
    missing value. ``mean_of`` averages other objectives over those that are present.

``duplicates``
    Counts after ``where``, so objective by objective. ``first`` keeps the first row as it stands, ``mean`` averages
    the values that are present.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError, SpecError
from nasbench_mo.sources.base import SourceTable
from nasbench_mo.sources.columns_architecture import architecture_cells, encode_rows
from nasbench_mo.sources.columns_file import (
    ColumnFile,
    conditions,
    matching_rows,
    number_in,
    open_columns,
    rows_of,
)
from nasbench_mo.sources.columns_spec import (
    ColumnsSpec,
    Duplicates,
    ObjectiveSpec,
    load_spec,
)
from nasbench_mo.space import SearchSpace
from nasbench_mo.table import Column

#: Text that stands for a missing number.
_EMPTY = frozenset({"", "nan", "na", "null", "none"})


def read(path: Path, spec: Path | None) -> list[SourceTable]:
    """Read one file as its specification says.

    Parameters
    ----------
    path
        The CSV, Parquet or NPZ file.
    spec
        The YAML specification; see the module's documentation.

    Returns
    -------
    One table, with a row for each architecture that at least one objective has a row for.

    Raises
    ------
    SpecError
        There is no specification, or it is incomplete or contradicts itself or the file.
    FormatError
        The file is not what its suffix says, lacks a column, or holds a value that is not a number.
    ArchitectureError
        A row is not an architecture of the space.

    Notes
    -----
    O(n d log n) time for n rows and d variables, plus O(n) per objective.
    """
    if spec is None:
        raise SpecError(
            f"{path.name}: source 'columns' needs a specification of the columns; add --spec spec.yaml "
            "('nasbench-mo show columns' explains it)"
        )
    plan = load_spec(spec)
    file = open_columns(path)
    cells = architecture_cells(plan.architecture, file)
    n_rows = len(cells[0])
    if not n_rows:
        raise FormatError(f"{path.name}: expected at least one row, got none")
    rows = np.flatnonzero(matching_rows(file, plan.where, n_rows=n_rows, place="where"))
    place = (path.parent / plan.architecture.file).name if plan.architecture.file else path.name
    X = encode_rows([c[rows] for c in cells], plan, rows=rows, place=place)
    architectures, groups = np.unique(X, axis=0, return_inverse=True)
    grouped = _Grouped(
        file=file,
        space=plan.space,
        rows=rows,
        groups=groups.reshape(-1),
        architectures=architectures,
        nrows_of=n_rows,
        duplicates=plan.duplicates,
    )
    return [_assemble(plan, grouped)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Grouped:
    """The selected rows of a file, each with the number of its architecture.

    rows (r,) are row numbers of the file, groups (r,) numbers of architectures (g, d).
    """

    file: ColumnFile
    space: SearchSpace
    rows: NDArray[np.intp]
    groups: NDArray[np.intp]
    architectures: NDArray[Any]
    nrows_of: int
    duplicates: Duplicates


def _assemble(plan: ColumnsSpec, grouped: _Grouped) -> SourceTable:
    values: dict[str, NDArray[Any]] = {}
    seen = np.zeros(len(grouped.architectures), dtype=bool)
    for spec in plan.objectives:
        if not spec.mean_of:
            values[spec.objective.name], present = _objective_values(spec, grouped)
            seen |= present
    columns = []
    for spec in plan.objectives:
        name = spec.objective.name
        if spec.mean_of:
            values[name] = _mean_present(np.stack([values[m].astype(np.float64) for m in spec.mean_of]))
        if values[name].dtype.kind == "f" and bool(np.isnan(values[name]).all()):
            raise FormatError(
                f"{grouped.file.path.name}: objective {name!r} (column {spec.column!r}): every value is missing; "
                "leave the objective out or correct 'missing' and 'where'"
            )
        columns.append(Column(objective=spec.objective, values=values[name][seen]))
    return SourceTable(
        id=plan.id,
        space=plan.space,
        encodings=grouped.architectures[seen],
        columns=tuple(columns),
        provenance=plan.provenance,
        files=_architecture_file(plan, grouped.file),
    )


def _architecture_file(plan: ColumnsSpec, file: ColumnFile) -> dict[str, Path]:
    """The other file that architectures were read from, if any."""
    if plan.architecture.file is None:
        return {}
    other = file.path.parent / plan.architecture.file
    return {other.name: other}


# ---------------------------------------------------------------------- values


def _objective_values(spec: ObjectiveSpec, grouped: _Grouped) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values (g,) of one objective for each architecture, and which architectures have a row for it."""
    place = f"objective {spec.objective.name!r}"
    file, name = grouped.file, spec.column or ""
    values = rows_of(file, name, n_rows=grouped.nrows_of, wanted_by=place)
    if spec.index is None and values.ndim != 1:
        raise SpecError(f"{file.path.name}: {place}: column {name!r} has shape {values.shape}; state its 'index'")
    if spec.index is not None:
        if values.ndim != 2 or spec.index >= values.shape[1]:
            raise SpecError(
                f"{file.path.name}: {place}: index {spec.index} is out of range; "
                f"column {name!r} has shape {values.shape}"
            )
        values = values[:, spec.index]
    own = matching_rows(file, spec.where, n_rows=grouped.nrows_of, place=f"{place}: where")[grouped.rows]
    if not own.any():
        raise SpecError(
            f"{file.path.name}: {place}: 'where' {conditions(spec.where)} selects none of the rows that the table's "
            "own 'where' leaves"
        )
    rows, groups = grouped.rows[own], grouped.groups[own]
    numbers = _numbers(values[rows], spec, rows=rows, place=f"{file.path.name}: {place}, column {name!r}")
    present = np.bincount(groups, minlength=len(grouped.architectures))
    if present.max() > 1 and grouped.duplicates == "error":
        group = int(groups[np.flatnonzero(present[groups] > 1)[0]])
        raise FormatError(
            f"{file.path.name}: {place}: architecture {grouped.space.decode(grouped.architectures[[group]])[0]!r} has "
            f"{present[group]} rows ({', '.join(map(str, rows[groups == group][:5].tolist()))}); choose them with "
            "'where', or state 'duplicates: first' or 'duplicates: mean'"
        )
    if present.max() > 1 and grouped.duplicates == "mean":
        return _mean_of_groups(numbers, groups, n_groups=len(present)), present > 0
    if numbers.dtype.kind != "f" and not bool((present > 0).all()):
        numbers = numbers.astype(np.float64)
    filled = np.full(len(present), np.nan if numbers.dtype.kind == "f" else 0, dtype=numbers.dtype)
    filled[groups[::-1]] = numbers[::-1]  # the first row of an architecture is written last
    return filled, present > 0


def _numbers(values: NDArray[Any], spec: ObjectiveSpec, *, rows: NDArray[np.intp], place: str) -> NDArray[Any]:
    """Numbers of one column, NaN where missing, scaled. Integers stay so where they can."""
    if values.dtype.kind == "b":
        raise FormatError(f"{place}: expected numbers, got true and false")
    if values.dtype.kind == "O":
        words = {s.lower() for s in spec.missing if isinstance(s, str)}
        values = np.array(
            [_number_or_missing(v, words, place=f"{place}, row {r}") for v, r in zip(values, rows, strict=True)]
        )
    absent = np.zeros(len(values), dtype=bool)
    for sentinel in spec.missing:
        if not isinstance(sentinel, str):
            absent |= values == sentinel
    if absent.any():
        values = np.where(absent, np.nan, values.astype(values.dtype if values.dtype.kind == "f" else np.float64))
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise FormatError(
            f"{place}, row {rows[infinite[0]]}: {values[infinite[0]]} is not a number one can rank "
            f"({infinite.size} such rows); list it in 'missing' (in YAML: .inf or -.inf) or correct the file"
        )
    numbers = _decimals(values)
    return numbers if spec.scale is None else numbers.astype(np.float64) * spec.scale


def _decimals(values: NDArray[Any]) -> NDArray[Any]:
    """float32 as the float64 of its shortest decimal form: a file's 91.408 stays 91.408, not 91.40800476."""
    return values.astype(str).astype(np.float64) if values.dtype == np.float32 else values


def _number_or_missing(value: object, missing_words: set[str], *, place: str) -> float:
    text = "" if value is None else str(value).strip()
    if text.lower() in _EMPTY or text.lower() in missing_words:
        return float("nan")
    number = number_in(text) if not isinstance(value, bool) else None
    if number is None:
        raise FormatError(f"{place}: expected a number, got {value!r}; correct it or list it in 'missing'")
    return number


def _mean_of_groups(values: NDArray[Any], groups: NDArray[np.intp], *, n_groups: int) -> NDArray[np.float64]:
    """(n_groups,) means of the values that are present, NaN for none."""
    there = ~np.isnan(values)
    counts = np.bincount(groups[there], minlength=n_groups)
    sums = np.bincount(groups[there], weights=values[there].astype(np.float64), minlength=n_groups)
    return _ratio(sums, counts)


def _mean_present(stacked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis of the values that are present, NaN for none."""
    there = ~np.isnan(stacked)
    sums = np.where(there, stacked, 0.0).sum(axis=0)
    return _ratio(sums, there.sum(axis=0))


def _ratio(sums: NDArray[Any], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """sums / counts, NaN where nothing was counted."""
    means = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
