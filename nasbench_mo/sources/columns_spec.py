"""The YAML specification of :mod:`nasbench_mo.sources.columns`: parsed and checked before any data is read.

The keys are documented there. Every mistake is one :class:`~nasbench_mo.errors.SpecError` that names the file, the
place in it, what was expected and what came.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nasbench_mo.errors import SpecError, UnknownNameError, did_you_mean
from nasbench_mo.objective import Objective
from nasbench_mo.sources.base import Provenance
from nasbench_mo.space import SPACES, CategoricalSpace, SearchSpace, space
from nasbench_mo.specification import (
    Scalar,
    Where,
    is_integer,
    listed,
    mapping_of,
    read_specification,
    scalars_of,
    text_of,
    where_of,
    word_of,
)

Form = Literal["strings", "codes", "values"]
Duplicates = Literal["error", "first", "mean"]

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,119}-v[0-9]{1,6}")
_TOP_KEYS = ("id", "space", "source", "architecture", "where", "duplicates", "objectives")
_TOP_REQUIRED = ("id", "space", "source", "architecture", "objectives")
_ARCHITECTURE_KEYS = ("column", "columns", "file", "form", "parse", "order", "values")
_READING_KEYS = ("column", "index", "missing", "scale", "where", "mean_of")
_IDENTITY_KEYS = tuple(f.name for f in dataclasses.fields(Objective))
_TEXT_FIELDS = (
    "name",
    "unit",
    "direction",
    "kind",
    "dataset",
    "split",
    "device",
    "precision",
    "runtime",
    "convention",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureColumn:
    """One column that holds (a part of) the architecture, and its map from file value to published value."""

    name: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureSpec:
    """Where the architectures stand and how they are written.

    Parameters
    ----------
    columns
        Columns laid side by side.
    file
        File that holds them, relative to the data file; None for the data file itself.
    form
        ``"strings"``, ``"codes"`` or ``"values"``.
    parse_integers
        Whether the columns are text such as ``"(0,2,3)"`` whose integers are laid side by side.
    order
        Position, side by side, of each variable of the space; None for one after the other.
    """

    columns: tuple[ArchitectureColumn, ...]
    form: Form
    file: str | None = None
    parse_integers: bool = False
    order: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveSpec:
    """One column of the table to be made: its identity, and where its values come from.

    Either ``column`` is set (with ``index``, ``missing``, ``scale`` and ``where``) or ``mean_of``.
    """

    objective: Objective
    column: str | None = None
    index: int | None = None
    missing: tuple[float | str, ...] = ()
    scale: float | None = None
    where: Where = dataclasses.field(default_factory=dict)
    mean_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnsSpec:
    """A whole specification."""

    path: Path
    id: str
    space: SearchSpace
    provenance: Provenance
    architecture: ArchitectureSpec
    objectives: tuple[ObjectiveSpec, ...]
    where: Where
    duplicates: Duplicates


def load_spec(path: Path) -> ColumnsSpec:
    """Read and check a specification.

    Raises
    ------
    SpecError
        The file is not YAML, or anything in it is missing, unknown or contradictory.
    """
    top = read_specification(path, allowed=_TOP_KEYS, required=_TOP_REQUIRED)
    return ColumnsSpec(
        path=path,
        id=_identifier(top["id"], place=path.name),
        space=_space(top["space"], place=f"{path.name}: space"),
        provenance=_provenance(top["source"], place=f"{path.name}: source"),
        architecture=_architecture(top["architecture"], place=f"{path.name}: architecture"),
        objectives=_objectives(top["objectives"], place=path.name),
        where=where_of(top.get("where", {}), place=f"{path.name}: where"),
        duplicates=word_of(
            top.get("duplicates", "error"), place=f"{path.name}: duplicates", allowed=get_args(Duplicates)
        ),
    )


# ---------------------------------------------------------------------- the blocks


def _identifier(value: object, *, place: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise SpecError(
            f"{place}: id must be lower-case letters, digits, '.', '_' and '-' that end in a version, such as "
            f"'my-space-latency-measured-v1'; got {value!r}"
        )
    return value


def _provenance(value: object, *, place: str) -> Provenance:
    known = tuple(f.name for f in dataclasses.fields(Provenance))
    facts = mapping_of(value, place=place, allowed=known, required=("source", "licence"))
    return Provenance(**{key: text_of(text, place=f"{place}: {key}") for key, text in facts.items()})


def _space(value: object, *, place: str) -> SearchSpace:
    if isinstance(value, str):
        try:
            return space(value)
        except UnknownNameError as error:
            raise SpecError(f"{place}: {error}; or describe your own: {{name: ..., variables: ...}}") from error
    inline = mapping_of(value, place=place, allowed=("name", "variables"), required=("name", "variables"))
    name = text_of(inline["name"], place=f"{place}: name")
    if name in SPACES:
        raise SpecError(f"{place}: {name!r} is a registered space; write 'space: {name}' or choose another name")
    variables = inline["variables"]
    if not isinstance(variables, Mapping) or not variables:
        raise SpecError(f"{place}: variables must map each variable to the list of its values; got {variables!r}")
    choices: dict[str, Sequence[object]] = {}
    for key, entry in variables.items():
        choices |= _variable(str(key), entry, place=f"{place}: variable {key!r}")
    try:
        return CategoricalSpace(name, choices)
    except SpecError as error:
        raise SpecError(f"{place}: {error}") from error


def _variable(key: str, entry: object, *, place: str) -> dict[str, Sequence[object]]:
    """One variable, or ``repeat`` equal ones called key0, key1, ..."""
    if isinstance(entry, list):
        return {key: scalars_of(entry, place=place)}
    block = mapping_of(entry, place=place, allowed=("values", "repeat"), required=("values", "repeat"))
    repeat = block["repeat"]
    if not is_integer(repeat) or repeat < 1:
        raise SpecError(f"{place}: repeat must be a positive integer, got {repeat!r}")
    values = scalars_of(block["values"], place=place)
    return {f"{key}{i}": values for i in range(repeat)}


def _architecture(value: object, *, place: str) -> ArchitectureSpec:
    block = mapping_of(value, place=place, allowed=_ARCHITECTURE_KEYS, required=())
    if ("column" in block) == ("columns" in block):
        raise SpecError(f"{place}: expected either 'column' or 'columns', got {listed(block)}")
    parse = block.get("parse")
    if parse not in (None, "integers"):
        raise SpecError(f"{place}: parse must be 'integers' or be left out, got {parse!r}")
    plain = "column" in block and not {"parse", "order", "values"} & set(block)
    if "form" not in block and not plain:
        raise SpecError(f"{place}: form must be stated: one of {', '.join(get_args(Form))}")
    form: Form = word_of(block.get("form", "strings"), place=f"{place}: form", allowed=get_args(Form))
    entries = block["columns"] if "columns" in block else [block["column"]]
    if not isinstance(entries, list) or not entries:
        raise SpecError(f"{place}: columns must be a list of column names, got {entries!r}")
    common = _value_map(block.get("values", {}), place=place)
    columns = tuple(_architecture_column(entry, common, place=place) for entry in entries)
    if form == "strings" and (len(columns) > 1 or not plain):
        raise SpecError(f"{place}: form 'strings' reads one column as it stands: no columns, parse, order or values")
    order = block.get("order")
    if order is not None and not (isinstance(order, list) and order and all(is_integer(i) and i >= 0 for i in order)):
        raise SpecError(f"{place}: order must be a list of positions from 0, one a variable; got {order!r}")
    return ArchitectureSpec(
        columns=columns,
        form=form,
        file=text_of(block["file"], place=f"{place}: file") if "file" in block else None,
        parse_integers=parse is not None,
        order=None if order is None else tuple(order),
    )


def _architecture_column(entry: object, common: Mapping[str, str], *, place: str) -> ArchitectureColumn:
    if isinstance(entry, str):
        return ArchitectureColumn(name=entry, values=common)
    block = mapping_of(entry, place=f"{place}: columns", allowed=("column", "values"), required=("column", "values"))
    name = text_of(block["column"], place=f"{place}: column")
    return ArchitectureColumn(name=name, values=_value_map(block["values"], place=f"{place}: column {name!r}"))


def _value_map(value: object, *, place: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise SpecError(f"{place}: values must map a value of the file to a published value, got {value!r}")
    for part in (*value, *value.values()):
        if not isinstance(part, Scalar):
            raise SpecError(f"{place}: values must map plain values, got {part!r}")
    return {str(key): str(target) for key, target in value.items()}


# ---------------------------------------------------------------------- objectives


def _objectives(value: object, *, place: str) -> tuple[ObjectiveSpec, ...]:
    if not isinstance(value, list) or not value:
        raise SpecError(f"{place}: objectives must be a list with at least one entry, got {value!r}")
    specs = tuple(_objective(entry, place=f"{place}: objective {i}") for i, entry in enumerate(value, start=1))
    by_name: dict[str, ObjectiveSpec] = {}
    for spec in specs:
        name = spec.objective.name
        if name in by_name:
            raise SpecError(f"{place}: two objectives are called {name!r}; give each its own name")
        by_name[name] = spec
    for spec in specs:
        _check_mean(spec, by_name, place=f"{place}: objective {spec.objective.name!r}")
    return specs


def _check_mean(spec: ObjectiveSpec, by_name: Mapping[str, ObjectiveSpec], *, place: str) -> None:
    for member in spec.mean_of:
        if member not in by_name:
            raise SpecError(f"{place}: mean_of: no objective is called {member!r}.{did_you_mean(member, by_name)}")
        other = by_name[member]
        if other.mean_of:
            raise SpecError(f"{place}: mean_of: {member!r} is itself a mean; name the objectives it averages")
        for field in ("unit", "direction"):
            mine, theirs = getattr(spec.objective, field), getattr(other.objective, field)
            if mine != theirs:
                raise SpecError(f"{place}: mean_of: {field} is {mine!r}, but {member!r} has {theirs!r}")


def _objective(entry: object, *, place: str) -> ObjectiveSpec:
    allowed = (*_READING_KEYS, *_IDENTITY_KEYS)
    if isinstance(entry, Mapping):
        called = entry.get("name", entry.get("column"))
        place = f"{place} ({called!r})" if called is not None else place
    block = mapping_of(entry, place=place, allowed=allowed, required=("unit", "direction", "kind"))
    for field in _TEXT_FIELDS:
        if field in block:
            text_of(block[field], place=f"{place}: {field}")
    if "mean_of" in block:
        return _mean_objective(block, place=place)
    if "column" not in block:
        raise SpecError(f"{place}: the field 'column' (or 'mean_of') is missing")
    column = text_of(block["column"], place=f"{place}: column")
    index = block.get("index")
    if index is not None and (not is_integer(index) or index < 0):
        raise SpecError(f"{place}: index must be an integer from 0, got {index!r}")
    missing = block.get("missing", [])
    scale = block.get("scale")
    identity = {"name": column.removesuffix(f"_{block['unit']}"), **_identity(block)}
    return ObjectiveSpec(
        objective=_identified(identity, place=place),
        column=column,
        index=index,
        missing=tuple(_sentinel(m, place=place) for m in (missing if isinstance(missing, list) else [missing])),
        scale=None if scale is None else _factor(scale, place=f"{place}: scale"),
        where=where_of(block.get("where", {}), place=f"{place}: where"),
    )


def _mean_objective(block: Mapping[str, Any], *, place: str) -> ObjectiveSpec:
    extra = [key for key in _READING_KEYS if key in block and key != "mean_of"]
    if extra:
        raise SpecError(f"{place}: mean_of averages other objectives and takes no {', '.join(extra)}")
    if "name" not in block:
        raise SpecError(f"{place}: the field 'name' is missing")
    members = block["mean_of"]
    if not isinstance(members, list) or len(members) < 2 or not all(isinstance(m, str) for m in members):
        raise SpecError(f"{place}: mean_of must list the names of two or more objectives, got {members!r}")
    return ObjectiveSpec(objective=_identified(_identity(block), place=place), mean_of=tuple(members))


def _identity(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key in _IDENTITY_KEYS}


def _identified(fields: Mapping[str, Any], *, place: str) -> Objective:
    seed = fields.get("seed")
    if seed is not None and not is_integer(seed) and seed != "mean":
        raise SpecError(f"{place}: seed must be an integer or 'mean', got {seed!r}")
    try:
        return Objective.from_dict(fields)
    except SpecError as error:
        raise SpecError(f"{place}: {error}") from error


def _sentinel(value: object, *, place: str) -> float | str:
    """A value that stands for a missing one: a number where it reads as one (YAML takes '-1e8' for text)."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SpecError(f"{place}: missing must list numbers or words, got {value!r}")
    try:
        return float(value)
    except ValueError:
        return str(value)


def _factor(value: object, *, place: str) -> float:
    try:
        factor = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        factor = 0.0
    if factor == 0.0 or factor - factor != 0.0:  # zero, infinite or NaN
        raise SpecError(f"{place} must be a finite number other than 0, got {value!r}")
    return factor
