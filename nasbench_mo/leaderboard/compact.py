"""Rows of a submission without what they repeat: a value is claimed once for each architecture.

Format 2 is two files. ``runs.parquet`` has one row an evaluation, in order, with the columns

    problem, seed, evaluation    as in format 1
    x                            the architecture's integers, one byte each, padded with zeros to the widest space
    f0, f1, ...                  float64, only for values that depend on the run: those of problems with training noise

``values.parquet`` has the columns v0, v1, ... . Each holds, from the top, one value for each distinct architecture of
the problems it belongs to, the architectures in ascending order of ``x``, then nulls. ``columns`` in
``submission.yaml`` has the number of the column of every objective of a problem, or null for one that is in
``runs.parquet``. Problems share a column where they agree, such as on the error of the same networks. Values are kept
to single precision, of which the check asks for less; scores are computed from the problem's own answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.encoding import byte_keys
from nasbench_mo.errors import SubmissionError

Floats = NDArray[np.float64]
#: Problem to the column of each of its objectives; None for one that stays with its rows.
Columns = Mapping[str, tuple[int | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Values by architecture, and those that stay with their rows.

    Parameters
    ----------
    by_architecture
        Values from the top, one array a column.
    columns
        Where the values of each problem are.
    by_row
        (n, k) values by objective slot, NaN where they are in a column.
    """

    by_architecture: tuple[Floats, ...]
    columns: Columns
    by_row: Floats


def pack(archs: NDArray[np.uint8], *, problem: NDArray[np.int16], values: Floats, problems: Sequence[str]) -> Packed:
    """Take values apart.

    Parameters
    ----------
    archs, problem, values
        (n, w) padded encodings, (n,) index in ``problems``, and (n, k) values, NaN beyond a problem's objectives.
    problems
        Ids.
    """
    keys, at = np.unique(byte_keys(archs), return_inverse=True)
    found: list[Floats] = []
    columns: dict[str, tuple[int | None, ...]] = {}
    by_row = np.full_like(values, np.nan)
    for k, name in enumerate(problems):
        mine = np.flatnonzero(problem == k)
        places: list[int | None] = []
        for j in range(_n_objectives(values[mine])):
            one = np.full(len(keys), np.nan)
            one[at[mine]] = values[mine, j]
            if np.array_equal(one[at[mine]], values[mine, j], equal_nan=True):
                places.append(_place(one, found=found))
            else:
                places.append(None)
                by_row[mine, j] = values[mine, j]
        columns[name] = tuple(places)
    members = _members(at, problem=problem, columns=columns, problems=problems, n_columns=len(found))
    return Packed(
        by_architecture=tuple(one[rows] for one, rows in zip(found, members, strict=True)),
        columns=columns,
        by_row=by_row,
    )


def unpack(packed: Packed, *, archs: NDArray[np.uint8], problem: NDArray[np.int16], problems: Sequence[str]) -> Floats:
    """Values of every row, (n, k); the opposite of :func:`pack`.

    Raises
    ------
    SubmissionError
        A column has not one value for each of its architectures.
    """
    keys, at = np.unique(byte_keys(archs), return_inverse=True)
    given = packed.by_architecture
    members = _members(at, problem=problem, columns=packed.columns, problems=problems, n_columns=len(given))
    values = packed.by_row.copy()
    whole = np.full((len(keys), len(given)), np.nan)
    for g, (one, rows) in enumerate(zip(given, members, strict=True)):
        if len(one) != len(rows):
            raise SubmissionError(
                f"column 'v{g}' of the values: expected one value for each of {len(rows)} architectures, got {len(one)}"
            )
        whole[rows, g] = one
    for k, name in enumerate(problems):
        mine = np.flatnonzero(problem == k)
        for j, place in enumerate(packed.columns[name]):
            if place is not None:
                values[mine, j] = whole[at[mine], place]
    return values


def _n_objectives(values: Floats) -> int:
    """Slots up to the last that has a value."""
    used = np.flatnonzero(~np.isnan(values).all(axis=0)) if len(values) else np.empty(0, dtype=np.intp)
    return int(used[-1]) + 1 if used.size else 0


def _place(one: Floats, *, found: list[Floats]) -> int:
    """The column that says the same of some of the architectures and nothing else of any, or a new one."""
    for g, known in enumerate(found):
        both = ~np.isnan(one) & ~np.isnan(known)
        if both.any() and np.array_equal(one[both], known[both]):
            found[g] = np.where(np.isnan(known), one, known)
            return g
    found.append(one)
    return len(found) - 1


def _members(
    at: NDArray[np.intp],
    *,
    problem: NDArray[np.int16],
    columns: Columns,
    problems: Sequence[str],
    n_columns: int,
) -> list[NDArray[np.intp]]:
    """Of each column the distinct architectures of its problems, ascending."""
    of: list[list[int]] = [[] for _ in range(n_columns)]
    for k, name in enumerate(problems):
        for g in columns[name]:
            if g is not None:
                of[g].append(k)
    return [np.unique(at[np.isin(problem, ks)]) for ks in of]


def narrowed(values: Floats) -> NDArray[Any]:
    """Values in single precision; in double where that would lose more than a rounding."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    lost = np.abs(single.astype(np.float64) - values) > 2.0**-24 * np.abs(values)
    return values if lost.any() else single
