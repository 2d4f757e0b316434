"""What a column of numbers means: name, unit, direction, and where it comes from.

An :class:`Objective` is the identity of a quantity. "Which split, which unit, which direction, which seed?" is
answered by the object in hand, and it travels in the metadata of every Parquet column.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError, did_you_mean

Direction = Literal["min", "max"]
Kind = Literal["measured", "modelled", "predicted", "derived"]
Split = Literal["train", "valid", "test", "validtest"]
Convention = Literal["live", "all"]

#: Units a column may have; the key is the suffix of the column name.
UNITS: Mapping[str, str] = {
    "percent": "percent",
    "fraction": "fraction of one",
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "uj": "microjoules",
    "mj": "millijoules",
    "j": "joules",
    "kwh": "kilowatt hours",
    "w": "watts",
    "count": "a number of things",
    "millions": "millions of things",
    "mib": "mebibytes",
    "images_per_s": "images per second",
    "cycles": "clock cycles",
    "mm2": "square millimetres",
    "score": "a score without unit",
}

#: What people write for a unit.
_SPELLINGS: Mapping[str, str] = {"%": "percent", **{text: unit for unit, text in UNITS.items()}}

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A quantity that an architecture has, with everything that identifies it.

    It is *not* the values and not a function that computes them.

    Parameters
    ----------
    name
        Lower-case identifier without the unit, e.g. ``"latency_2080ti_1"``.
    unit
        One of :data:`UNITS`.
    direction
        ``"min"`` where smaller is better. A :class:`~nasbench_mo.benchmark.Problem` only has such objectives.
    kind
        ``"measured"``, ``"modelled"`` (analytic), ``"predicted"`` (learned) or ``"derived"`` (computed from
        measured values).
    dataset, split, epochs
        Identity of a training result. ``split`` is one of ``train``, ``valid``, ``test``, ``validtest``.
    seed
        Training seed, the string ``"mean"`` for a mean over all seeds the source has, or ``"drawn"`` for one of them,
        drawn anew for each architecture.
    device, batch, precision, runtime
        Identity of a cost.
    convention
        ``"live"`` where only operations on an input-output path are counted, ``"all"`` where dead ones are too.

    Raises
    ------
    SpecError
        A field is outside its vocabulary.

    Examples
    --------
    >>> error = Objective(name="error", unit="percent", kind="measured", dataset="cifar10", split="valid", epochs=200)
    >>> error.column, error.describe()
    ('error_percent', 'percent; measured; smaller is better; dataset cifar10; split valid; 200 epochs')
    """

    name: str
    unit: str
    kind: Kind
    direction: Direction = "min"
    dataset: str | None = None
    split: Split | None = None
    epochs: int | None = None
    seed: int | str | None = None
    device: str | None = None
    batch: int | None = None
    precision: str | None = None
    runtime: str | None = None
    convention: Convention | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise SpecError(
                f"objective name {self.name!r}: expected lower-case letters, digits and '_' "
                "(the unit is a field of its own)"
            )
        _check_word("unit", self.unit, tuple(UNITS))
        _check_word("kind", self.kind, get_args(Kind))
        _check_word("direction", self.direction, get_args(Direction))
        if self.split is not None:
            _check_word("split", self.split, get_args(Split))
        if self.convention is not None:
            _check_word("convention", self.convention, get_args(Convention))
        for field in ("epochs", "batch"):
            value = getattr(self, field)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise SpecError(f"objective {self.name!r}: {field} must be a positive integer, got {value!r}")

        if (
            self.seed is not None
            and self.seed not in ("mean", "drawn")
            and (isinstance(self.seed, bool) or not isinstance(self.seed, int))
        ):
            raise SpecError(f"objective {self.name!r}: seed must be an integer, 'mean' or 'drawn', got {self.seed!r}")

    @property
    def column(self) -> str:
        """Column name in tables and runs: ``<name>_<unit>``."""
        return f"{self.name}_{self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, ready for JSON or YAML."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Build an objective from :meth:`to_dict`'s output or from a specification.

        Raises
        ------
        SpecError
            A field is unknown or a required one is missing.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        for field in fields:
            if field not in known:
                raise SpecError(
                    f"an objective has the fields {', '.join(known)}; got {field!r}.{did_you_mean(field, known)}"
                )
        missing = [f for f in ("name", "unit", "kind") if f not in fields]
        if missing:
            raise SpecError(f"an objective needs {', '.join(missing)}; got only {', '.join(fields) or 'nothing'}")
        return cls(**fields)

    def describe(self) -> str:
        """One line for people: the identity in words, unit first."""
        words = [UNITS[self.unit], self.kind, f"{'smaller' if self.direction == 'min' else 'larger'} is better"]
        if self.dataset:
            words.append(f"dataset {self.dataset}")
        if self.split:
            words.append(f"split {self.split}")
        if self.epochs:
            words.append(f"{self.epochs} epochs")
        if self.seed is not None:
            words.append(
                {"mean": "mean over seeds", "drawn": "one drawn seed"}.get(str(self.seed), f"seed {self.seed}")
            )
        for field in ("device", "batch", "precision", "runtime", "convention"):
            value = getattr(self, field)
            if value is not None:
                words.append(f"{field} {value}")
        if self.note:
            words.append(self.note)
        return "; ".join(words)


def minimised(objective: Objective) -> Objective:
    """Return the identity of the minimised form of an objective.

    An accuracy in percent or as a fraction becomes an error; any other maximised quantity gets the prefix
    ``neg_``. An objective that is already minimised is returned as it is.
    """
    if objective.direction == "min":
        return objective
    if _complement(objective) is not None:
        name = objective.name.replace("accuracy", "error")
    else:
        name = f"neg_{objective.name}"
    return dataclasses.replace(objective, name=name, direction="min")


def to_minimised(values: NDArray[np.float64], objective: Objective) -> NDArray[np.float64]:
    """Map the published values of an objective to its minimised form. The one place where a sign is flipped.

    Parameters
    ----------
    values
        Array of any shape, in the objective's unit and direction. Not modified.
    objective
        What the values are.

    Returns
    -------
    Array of the same shape: unchanged, ``100 - values`` or ``1 - values`` for an accuracy, else ``-values``.
    """
    if objective.direction == "min":
        return values
    whole = _complement(objective)
    return -values if whole is None else whole - values


def _complement(objective: Objective) -> float | None:
    """100 or 1 for an accuracy, whose complement is an error; None for any other quantity."""
    if "accuracy" not in objective.name:
        return None
    return {"percent": 100.0, "fraction": 1.0}.get(objective.unit)


def _check_word(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(
            f"objective field {field!r} must be one of {', '.join(allowed)}; got {value!r}."
            f"{did_you_mean(_SPELLINGS.get(str(value), str(value)), allowed)}"
        )
