"""YAML from strangers: small, flat, without aliases. What passes is read like every other specification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nasbench_mo.errors import SpecError
from nasbench_mo.specification import read_specification

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
    import yaml

    if not path.is_file():
        raise SpecError(f"{path} does not exist")
    size = path.stat().st_size
    if size > MAX_YAML_BYTES:
        raise SpecError(f"{path.name}: expected at most {MAX_YAML_BYTES} bytes of YAML, got {size}")
    depth = 0
    try:
        for event in yaml.parse(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise SpecError(
                    f"{path.name}: line {_line(event)} has an anchor or alias (& or *); write the value out"
                )
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                raise SpecError(f"{path.name}: nested more than {_MAX_DEPTH} deep at line {_line(event)}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path.name}: not readable as YAML: {' '.join(str(error).split())}") from error
    return read_specification(path, allowed=allowed, required=required)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
