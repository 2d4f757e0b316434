"""YAML from strangers: small, flat, without aliases. What passes is read like every other specification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nasbench_mo.bounded import read_yaml
from nasbench_mo.errors import FormatError, SpecError
from nasbench_mo.specification import mapping_of

#: A board of 50 problems, or the times of 50 x 100 runs, is shorter.
MAX_YAML_BYTES = 256 * 1024
_MAX_DEPTH = 8


def read_small_yaml(path: Path, *, allowed: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    """The mapping of a YAML file that nobody vouches for.

    An alias, of which a few lines can unfold to gigabytes, is refused before anything is built.

    Raises
    ------
    SpecError
        The file is missing, too large, too deep, uses anchors or aliases, or has the wrong fields.
    """
    if not path.is_file():
        raise SpecError(f"{path} does not exist")
    size = path.stat().st_size
    if size > MAX_YAML_BYTES:
        raise SpecError(f"{path.name}: expected at most {MAX_YAML_BYTES} bytes of YAML, got {size}")
    try:
        value = read_yaml(path, max_depth=_MAX_DEPTH, aliases=False)
    except FormatError as error:
        raise SpecError(f"{path.name}: {error}") from error
    return mapping_of(value, place=path.name, allowed=allowed, required=required)
