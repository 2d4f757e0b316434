"""Reading and checking YAML specifications; each failure is one SpecError that names the place."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasbench_mo.bounded import read_yaml
from nasbench_mo.errors import FormatError, SpecError, did_you_mean

Scalar = str | int | float | bool
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
#: A row filter: column name to the values of which a row must have one.
Where = Mapping[str, tuple[Scalar, ...]]


def peek_specification(path: Path) -> dict[str, Any]:
    """The fields of a YAML file, unchecked, to tell which kind of specification it is; none where it is no mapping."""
    try:
        value = read_yaml(path)
    except FormatError:
        return {}  # its reader says what is wrong
    return value if isinstance(value, dict) else {}


def read_specification(path: Path, *, allowed: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    """The mapping that a YAML file holds, with the required fields and none that is not allowed.

    Raises
    ------
    SpecError
        The file is not YAML, not a mapping, or has the wrong fields.
    """
    try:
        value = read_yaml(path)
    except FormatError as error:
        raise SpecError(f"{path.name}: {error}") from error
    return mapping_of(value, place=path.name, allowed=allowed, required=required)


def where_of(value: object, *, place: str) -> dict[str, tuple[Scalar, ...]]:
    """A row filter."""
    if not isinstance(value, Mapping):
        raise SpecError(f"{place} must map a column to a value or a list of values, got {value!r}")
    return {
        str(column): tuple(scalars_of(wanted if isinstance(wanted, list) else [wanted], place=f"{place}: {column}"))
        for column, wanted in value.items()
    }


def mapping_of(value: object, *, place: str, allowed: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    """A mapping with the required keys (not null) and no key that is not allowed."""
    if not isinstance(value, Mapping):
        raise SpecError(f"{place}: expected a mapping with {', '.join(required or allowed)}; got {value!r}")
    for key in value:
        if key not in allowed:
            raise SpecError(
                f"{place}: unknown field {key!r}; known: {listed(allowed)}.{did_you_mean(str(key), allowed)}"
            )
    for key in required:
        if value.get(key) is None:
            raise SpecError(f"{place}: the field {key!r} is missing; it needs {', '.join(required)}")
    return dict(value)


def text_of(value: object, *, place: str) -> str:
    """Text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise SpecError(f"{place} must be text, got {value!r}; put it in quotes")
    return value.strip()


def folder_name_of(value: object, *, place: str) -> str:
    """An id that becomes the name of a folder: it cannot lead out of the folder that is to hold it."""
    if not isinstance(value, str) or not _FOLDER_NAME.fullmatch(value):
        raise SpecError(
            f"{place} must be at most 128 letters, digits, '.', '_' and '-', the first a letter or digit; "
            f"got {str(value)[:200]!r}"
        )
    return value


def number_of(value: object, *, place: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise SpecError(f"{place} must be a finite number, got {value!r}")
    return value


def word_of(value: object, *, place: str, allowed: tuple[str, ...]) -> Any:
    """One of some words; typed as Any so that it may become a Literal."""
    if value not in allowed:
        raise SpecError(
            f"{place} must be one of {', '.join(allowed)}; got {value!r}.{did_you_mean(str(value), allowed)}"
        )
    return value


def scalars_of(value: object, *, place: str) -> list[Scalar]:
    """A list, not empty, of text, numbers and truth values."""
    if not isinstance(value, list) or not value:
        raise SpecError(f"{place}: expected a list of plain values, got {value!r}")
    for item in value:
        if not isinstance(item, Scalar):
            raise SpecError(f"{place}: expected a plain value, got {item!r}")
    return value


def is_integer(value: object) -> bool:
    """Whether YAML gave an integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def listed(names: Iterable[str]) -> str:
    """Names for an error message."""
    return ", ".join(names) or "nothing"
