"""Rows of small integers: the checks and codes that search spaces and tables share.

Lexicographic order, first variable most significant, is the one order used everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import ArchitectureError


def check_encodings(archs: ArrayLike, *, cardinalities: Sequence[int], owner: str) -> NDArray[Any]:
    """Return archs as an (n, d) integer array whose values lie below the cardinalities.

    Parameters
    ----------
    archs
        Anything NumPy turns into an (n, d) integer array.
    cardinalities
        d numbers of values.
    owner
        Who checks, for the error: ``"space 'nb201'"``.

    Raises
    ------
    ArchitectureError
        The shape or type is wrong, or a value is out of range; the first offender is named.
    """
    d = len(cardinalities)
    try:
        X = np.asarray(archs)
    except ValueError as error:  # rows of unequal length
        raise ArchitectureError(f"{owner}: expected encodings of shape (n, {d}): {error}") from None
    if X.ndim != 2 or X.shape[1] != d:
        one = "; for a single one pass x[np.newaxis, :]" if X.shape == (d,) else ""
        raise ArchitectureError(f"{owner}: expected encodings of shape (n, {d}), got shape {X.shape}{one}")
    if X.dtype.kind not in "iu":
        raise ArchitectureError(f"{owner}: expected integer encodings, got dtype {X.dtype}")
    if X.size and (X.min() < 0 or (X.max() >= min(cardinalities) and bool((X >= np.asarray(cardinalities)).any()))):
        i, j = np.argwhere((X < 0) | (X >= np.asarray(cardinalities)))[0]
        raise ArchitectureError(f"{owner}: row {i}, variable {j}: expected 0..{cardinalities[j] - 1}, got {X[i, j]}")
    return X


def mixed_radix(X: NDArray[Any], *, cardinalities: Sequence[int]) -> NDArray[np.intp]:
    """Index in lexicographic order of each checked (n, d) encoding, (n,). The space must fit 63 bits.

    Notes
    -----
    Horner's scheme in the narrowest integer type that holds every code: n d multiply-adds.
    """
    size = prod(cardinalities)
    dtype: type[np.signedinteger[Any]] = np.int16 if size < 1 << 15 else np.int32 if size < 1 << 31 else np.int64
    codes = X[:, 0].astype(dtype)
    for j in range(1, len(cardinalities)):
        codes *= dtype(cardinalities[j])
        codes += X[:, j].astype(dtype, copy=False)
    return codes.astype(np.intp)


def from_mixed_radix(codes: ArrayLike, *, cardinalities: Sequence[int]) -> NDArray[np.int64]:
    """(n, d) encodings of n indices: the inverse of :func:`mixed_radix`."""
    rest = np.asarray(codes, dtype=np.int64)
    X = np.empty((len(rest), len(cardinalities)), dtype=np.int64)
    for j in range(len(cardinalities) - 1, -1, -1):
        rest, X[:, j] = np.divmod(rest, cardinalities[j])
    return X


def byte_keys(X: NDArray[Any]) -> NDArray[np.bytes_]:
    """(n,) fixed-width byte strings that sort like the rows of X and are equal only for equal rows.

    They replace an integer index where the space has more than 2**63 architectures.
    """
    big_endian = np.ascontiguousarray(X, dtype=">u2")
    keys: NDArray[np.bytes_] = big_endian.view(f"S{2 * X.shape[1]}").ravel()
    return keys
