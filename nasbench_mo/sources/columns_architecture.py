"""The architectures of a file's rows, from the columns that a specification names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArchitectureError, FormatError, SpecError, did_you_mean
from nasbench_mo.sources.columns_file import ColumnFile, open_columns
from nasbench_mo.sources.columns_spec import ArchitectureSpec, ColumnsSpec

_INTEGER_LIST = re.compile(r"[\s()\[\]{},;]*-?\d+(?:[\s()\[\]{},;]+-?\d+)*[\s()\[\]{},;]*")


def architecture_cells(spec: ArchitectureSpec, file: ColumnFile) -> list[NDArray[Any]]:
    """Arrays (n, ...) of the architecture's columns, equally long."""
    source = file
    if spec.file is not None:
        other = file.path.parent / spec.file
        if not other.is_file():
            raise SpecError(
                f"architecture: file {spec.file!r} is looked for beside the data file and does not exist: {other}"
            )
        source = open_columns(other)
    cells = [source.column(c.name, wanted_by="the architecture") for c in spec.columns]
    for column, cell in zip(spec.columns, cells, strict=True):
        if cell.ndim == 0 or len(cell) != len(cells[0]):
            raise FormatError(
                f"{source.path.name}: column {column.name!r} of the architecture has shape {cell.shape}; expected "
                f"{len(cells[0]) if cells[0].ndim else 'n'} rows, as column {spec.columns[0].name!r}"
            )
    return cells


def encode_rows(
    cells: Sequence[NDArray[Any]], plan: ColumnsSpec, *, rows: NDArray[np.intp], place: str
) -> NDArray[Any]:
    """(r, d) encodings of the selected rows; ``rows`` are their numbers in the file."""
    spec = plan.architecture
    if spec.form == "strings":
        return _encode_strings(cells[0], plan, rows=rows, place=place)
    positions = []
    for column, cell in zip(spec.columns, cells, strict=True):
        where = f"{place}: column {column.name!r}"
        block = _parsed_integers(cell, rows=rows, place=where) if spec.parse_integers else cell.reshape(len(rows), -1)
        positions += [(column.values, block[:, j], where) for j in range(block.shape[1])]
    order = spec.order if spec.order is not None else tuple(range(len(positions)))
    d = plan.space.n_variables
    if len(order) != d or (spec.order is None and len(positions) != d) or max(order) >= len(positions):
        raise SpecError(
            f"{plan.path.name}: architecture: space {plan.space.name!r} has {d} variables; got {len(positions)} "
            f"values a row" + ("" if spec.order is None else f" and an order of {len(order)} up to {max(order)}")
        )
    X = np.empty((len(rows), d), dtype=plan.space.dtype)
    for j, p in enumerate(order):
        X[:, j] = _codes(*positions[p], variable=j, plan=plan, rows=rows)
    for p in set(range(len(positions))).difference(order):
        labels, _ = _labels(*positions[p], rows=rows)
        if len(set(labels)) > 1:
            raise SpecError(
                f"{positions[p][2]}: 'order' leaves out position {p}, which is not the same in every row "
                f"({', '.join(sorted(set(labels))[:5])}); give it a variable"
            )
    return X


def _encode_strings(cell: NDArray[Any], plan: ColumnsSpec, *, rows: NDArray[np.intp], place: str) -> NDArray[Any]:
    place = f"{place}: column {plan.architecture.columns[0].name!r}"
    if cell.ndim != 1 or cell.dtype.kind != "O":
        raise SpecError(
            f"{place} holds numbers of shape {cell.shape}, not published strings; state form: codes or form: values"
        )
    strings = [s.strip() if isinstance(s, str) else s for s in cell.tolist()]
    try:
        return plan.space.encode(strings)
    except ArchitectureError:
        for row, string in zip(rows.tolist(), strings, strict=True):
            try:
                plan.space.encode([string])
            except ArchitectureError as error:
                raise ArchitectureError(f"{place}, row {row}: {error}") from None
        raise


def _parsed_integers(cell: NDArray[Any], *, rows: NDArray[np.intp], place: str) -> NDArray[np.int64]:
    """(r, k) integers that stand in r texts."""
    parsed: list[list[int]] = []
    for row, text in zip(rows.tolist(), cell.tolist(), strict=True):
        if not isinstance(text, str) or not _INTEGER_LIST.fullmatch(text):
            raise ArchitectureError(f"{place}, row {row}: expected text that lists integers, got {text!r}")
        parsed.append([int(word) for word in re.findall(r"-?\d+", text)])
        if len(parsed[-1]) != len(parsed[0]):
            raise ArchitectureError(
                f"{place}, row {row}: expected {len(parsed[0])} integers as in row {rows[0]}, got {len(parsed[-1])}"
            )
    return np.array(parsed, dtype=np.int64).reshape(len(rows), -1)


def _labels(
    translation: Mapping[str, str], values: NDArray[Any], place: str, *, rows: NDArray[np.intp]
) -> tuple[list[str], NDArray[np.intp]]:
    """Distinct values as translated text, and for each row which of them it has."""
    absent = [v is None or v == "" for v in values.tolist()] if values.dtype.kind == "O" else values != values
    if np.any(absent):
        raise ArchitectureError(f"{place}, row {rows[np.flatnonzero(absent)[0]]}: the value is missing")
    distinct, inverse = np.unique(values, return_inverse=True)
    written = [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip() for v in distinct.tolist()]
    return [translation.get(w, w) for w in written], inverse.reshape(-1)


def _codes(
    translation: Mapping[str, str],
    values: NDArray[Any],
    place: str,
    *,
    variable: int,
    plan: ColumnsSpec,
    rows: NDArray[np.intp],
) -> NDArray[np.int64]:
    """(r,) codes of one variable."""
    labels, inverse = _labels(translation, values, place, rows=rows)
    published = plan.space.variables[variable].values
    words = tuple(str(i) for i in range(len(published))) if plan.architecture.form == "codes" else published
    code_of = {word: code for code, word in enumerate(words)}
    for k, label in enumerate(labels):
        if label not in code_of:
            row = rows[np.flatnonzero(inverse == k)[0]]
            raise ArchitectureError(
                f"{place}, row {row}: {label!r} is not a {'code' if words is not published else 'value'} of variable "
                f"{plan.space.variables[variable].name!r} of {plan.space.name!r}, which has {', '.join(words)}."
                f"{did_you_mean(label, words)}"
            )
    return np.array([code_of[label] for label in labels], dtype=np.int64)[inverse]
