"""Small steps that every reader of foreign files takes, with errors that name the file, the place and the find."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import bounded
from nasbench_mo.errors import FormatError, SpecError, did_you_mean

#: How the published files call a dataset: prefix of column names, and the name in objectives.
DATASETS: Final[dict[str, tuple[str, str]]] = {
    "cifar10": ("c10", "cifar10"),
    "cifar100": ("c100", "cifar100"),
    "ImageNet16-120": ("in16", "imagenet16-120"),
}

_SHOWN: Final = 8


def refuse_spec(spec: Path | None, *, source: str) -> None:
    """Raise SpecError where a source that takes no specification was given one."""
    if spec is not None:
        raise SpecError(f"source {source!r} takes no specification, got {spec}; leave it out")


def require_file(path: Path, *, expected: str) -> None:
    """Raise FileNotFoundError where there is nothing, FormatError where there is a folder."""
    path.stat()
    if not path.is_file():
        raise FormatError(f"{path}: expected the file {expected}, got a folder")


def mapping(value: Any, *, where: str) -> dict[Any, Any]:
    """Return value if it is a dictionary.

    Raises
    ------
    FormatError
        It is something else.
    """
    if not isinstance(value, dict):
        raise FormatError(f"{where}: expected a mapping, got {describe(value)}")
    return value


def sequence(value: Any, *, where: str) -> list[Any]:
    """Return the items of a list, tuple or array, or of a dictionary whose keys are 0..n-1."""
    if isinstance(value, Mapping) and set(value) == set(range(len(value))):
        return [value[i] for i in range(len(value))]
    if isinstance(value, np.ndarray) or hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise FormatError(f"{where}: expected a list, got {describe(value)}")
    return list(value)


def member(container: Mapping[Any, Any], key: object, *, where: str) -> Any:
    """Return ``container[key]``.

    Raises
    ------
    FormatError
        There is no such key; the message lists those present.
    """
    if key not in container:
        present = [str(k) for k in container]
        shown = ", ".join(present[:_SHOWN]) + (", ..." if len(present) > _SHOWN else "")
        raise FormatError(
            f"{where}: expected the key {key!r}, got {shown or 'no keys at all'}.{did_you_mean(str(key), present)} "
            "Is this the published file?"
        )
    return container[key]


def number(value: Any, *, where: str) -> float:
    """Return value as a float; None and NaN become NaN, a missing value.

    Raises
    ------
    FormatError
        It is not a number, or it is infinite.
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise FormatError(f"{where}: expected a number, got {describe(value)}")
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if math.isinf(converted):
        raise FormatError(f"{where}: expected a finite number, got {describe(value)}")
    return converted


def integer(value: Any, *, where: str) -> int:
    """Return value as an int; a float without fraction counts as one."""
    converted = number(value, where=where)
    if not converted.is_integer():
        raise FormatError(f"{where}: expected an integer, got {describe(value)}")
    if abs(converted) >= 1 << 63:
        raise FormatError(f"{where}: expected an integer of at most 64 bits, got {describe(value)}")
    return int(converted)


def numbers(values: Any, *, length: int | None = None, where: str) -> NDArray[np.float64]:
    """Return a list, tuple, array or tensor of numbers as (n,) float64.

    Parameters
    ----------
    values
        The numbers; None and NaN are missing values.
    length
        Expected n.
    where
        Place, for errors.
    """
    items = sequence(values, where=where)
    if length is not None and len(items) != length:
        raise FormatError(f"{where}: expected {length} values, got {len(items)}")
    return np.array([number(v, where=f"{where}, entry {i}") for i, v in enumerate(items)], dtype=np.float64)


def permutation(order: Sequence[int], *, where: str) -> NDArray[np.intp]:
    """Return indices that are 0..n-1 in some order as an array."""
    indices = np.asarray(order, dtype=np.intp)
    if not np.array_equal(np.sort(indices), np.arange(len(indices))):
        raise FormatError(f"{where}: expected each index 0..{len(indices) - 1} once; some are missing or repeated")
    return indices


def parse_json(data: bytes, *, where: str) -> Any:
    """Parse a JSON document.

    Raises
    ------
    FormatError
        It is not JSON in UTF-8, or nested beyond reason.
    """
    try:
        return bounded.parse_json(data, finite=False)  # a missing value may be a NaN
    except FormatError as error:
        raise FormatError(f"{where}: {error}; download the file again") from error


def describe(value: object) -> str:
    """Type and beginning of a value, for error messages."""
    text = repr(value)[:40] if isinstance(value, str | float | bool) or value is None else ""
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if value.bit_length() < 128 else f"of {value.bit_length()} bits"
    return f"{type(value).__name__} {text}".strip()
