"""Architectures as other tools write them, a value by name for every variable, and as our encodings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import ArchitectureError, did_you_mean
from nasbench_mo.space import SearchSpace


def to_named_values(X: ArrayLike, *, search_space: SearchSpace) -> list[dict[str, str]]:
    """Name of every variable to the name of its value, for each of (n, d) encodings.

    Raises
    ------
    ArchitectureError
        An encoding is not of the space.
    """
    variables = search_space.variables
    return [
        {variable.name: variable.values[code] for variable, code in zip(variables, row, strict=True)}
        for row in search_space.check(X).tolist()
    ]


def from_named_values(rows: Iterable[Mapping[str, Any]], *, search_space: SearchSpace) -> NDArray[Any]:
    """(n, d) encodings of n mappings from every variable's name to its value: the inverse of :func:`to_named_values`.

    A value is compared as text, so the integer 3 is the value ``"3"``.

    Raises
    ------
    ArchitectureError
        A mapping lacks a variable, has one that the space does not have, or gives one a value that it does not have.
    """
    codes = [{value: code for code, value in enumerate(variable.values)} for variable in search_space.variables]
    names = [variable.name for variable in search_space.variables]
    encodings = []
    for row in rows:
        if set(row) != set(names):
            raise ArchitectureError(
                f"space {search_space.name!r}: expected a value for each of {', '.join(names)}; got {', '.join(row)}"
            )
        for name, known in zip(names, codes, strict=True):
            if str(row[name]) not in known:
                raise ArchitectureError(
                    f"space {search_space.name!r}: variable {name!r} has the values {', '.join(known)}; "
                    f"got {row[name]!r}.{did_you_mean(str(row[name]), known)}"
                )
        encodings.append([known[str(row[name])] for name, known in zip(names, codes, strict=True)])
    return np.array(encodings, dtype=search_space.dtype).reshape(-1, search_space.n_variables)


def whole_numbers(X: ArrayLike, *, search_space: SearchSpace) -> NDArray[Any]:
    """(n, d) encodings of rows whose integers came as floats.

    Raises
    ------
    ArchitectureError
        A number has a fraction, or a row is not of the space.
    """
    array = np.asarray(X)
    if array.dtype.kind == "O":
        array = array.astype(np.float64)
    if array.dtype.kind == "f":
        rounded = np.rint(array)
        if not np.array_equal(rounded, array):
            i, j = np.argwhere(rounded != array)[0]
            raise ArchitectureError(
                f"space {search_space.name!r}: row {i}, variable {j}: expected a whole number, got {array[i, j]}; "
                "every variable is categorical, so give the algorithm operators that keep integers"
            )
        array = rounded.astype(np.int64)
    return search_space.check(array)
