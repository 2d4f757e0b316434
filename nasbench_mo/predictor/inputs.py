"""Measured inputs of a predictor: a short training's accuracy, a zero-cost proxy, as features beside the architecture.

They make a predictor better and a query dearer: somebody has to train those few epochs, or compute the proxy. The
card says what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import ArtifactError, SpecError, did_you_mean
from nasbench_mo.objective import Objective, minimised, to_minimised
from nasbench_mo.table import Table

Floats = NDArray[np.float64]

#: Begins the name of every feature column that is an input.
PREFIX = "input_"

#: What :meth:`Predictor.predict` takes: columns by name, or a table that holds them for the architectures.
InputValues = Mapping[str, ArrayLike] | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredInput:
    """One input: what it is, and how it becomes a feature.

    Parameters
    ----------
    objective
        What the values are, as a table publishes them.
    log
        Whether the logarithm of the minimised values is taken: they were all positive in training.
    centre, scale
        Mean and deviation of those in training, which the feature is standardised with.
    """

    objective: Objective
    log: bool
    centre: float
    scale: float

    @property
    def feature(self) -> str:
        """Name of the feature column."""
        return PREFIX + minimised(self.objective).column

    @classmethod
    def fitted(cls, values: ArrayLike, *, objective: Objective, place: str) -> Self:
        """Learn the standardisation from (n,) published values of the training rows.

        Raises
        ------
        SpecError
            A value is missing, or all are equal.
        """
        published = np.asarray(values, dtype=np.float64)
        missing = np.flatnonzero(~np.isfinite(published))
        if missing.size:
            raise SpecError(f"{place}: input {objective.column!r} has no value for {missing.size} training rows")
        smaller = to_minimised(published, objective)
        log = bool((smaller > 0).all())
        raw = np.log(smaller) if log else smaller
        if raw.std() <= 1e-12 * max(1.0, float(np.abs(raw).max())):
            raise SpecError(f"{place}: input {objective.column!r} is the same for all training rows; leave it out")
        return cls(objective=objective, log=log, centre=float(raw.mean()), scale=float(raw.std()))

    def column(self, values: ArrayLike, *, n: int) -> NDArray[np.float32]:
        """The feature, (n,), of (n,) published values.

        Raises
        ------
        SpecError
            The shape does not fit, a value is missing, or the logarithm of one does not exist.
        """
        published = np.asarray(values, dtype=np.float64)
        name = self.objective.column
        if published.shape != (n,):
            raise SpecError(f"input {name!r}: expected {n} values, one an architecture; got shape {published.shape}")
        smaller = to_minimised(published, self.objective)
        bad = np.flatnonzero(~(np.isfinite(smaller) & ((smaller > 0) | (not self.log))))
        if bad.size:
            raise SpecError(f"input {name!r}: value {bad[0]} is {published[bad[0]]}; {self.objective.describe()}")
        raw = np.log(smaller) if self.log else smaller
        return np.asarray((raw - self.centre) / self.scale, dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {**asdict(self), "objective": self.objective.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild :meth:`to_dict`'s output."""
        return cls(**{**fields, "objective": Objective.from_dict(fields["objective"])})


def input_features(
    inputs: Sequence[MeasuredInput], values: InputValues | None, *, archs: Sequence[str], predictor: str
) -> NDArray[np.float32]:
    """Feature columns of a predictor's inputs, (n, number of inputs), in their order.

    Raises
    ------
    SpecError
        Values are missing, of a name that the predictor does not have, or not usable.
    """
    wanted = [one.objective.column for one in inputs]
    if values is None:
        if wanted:
            raise SpecError(
                f"predictor {predictor!r} needs inputs={{{wanted[0]!r}: ...}}, one value an architecture, or a table "
                f"with {'this column' if len(wanted) == 1 else 'the columns ' + ', '.join(wanted)}"
            )
        return np.empty((len(archs), 0), dtype=np.float32)
    if isinstance(values, Table):
        held: Mapping[str, ArrayLike] = {
            name: values.query(archs, (values.check_column(name),))[:, 0] for name in wanted
        }
    else:
        held = values
    unknown = [name for name in held if name not in wanted]
    if unknown:
        known = f"takes {', '.join(wanted)}" if wanted else "takes no inputs"
        raise SpecError(f"predictor {predictor!r} {known}; got {unknown[0]!r}.{did_you_mean(unknown[0], wanted)}")
    for name in wanted:
        if name not in held:
            raise SpecError(f"predictor {predictor!r} needs the input {name!r} too; got {', '.join(held) or 'none'}")
    columns = [one.column(held[one.objective.column], n=len(archs)) for one in inputs]
    return np.stack(columns, axis=1) if columns else np.empty((len(archs), 0), dtype=np.float32)


def parsed_inputs(value: object, *, place: str) -> tuple[MeasuredInput, ...]:
    """Inputs of a reference file.

    Raises
    ------
    ArtifactError
        They are not what :meth:`MeasuredInput.to_dict` gives.
    """
    try:
        return tuple(MeasuredInput.from_dict(fields) for fields in value)  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, SpecError) as error:
        raise ArtifactError(f"{place}: damaged inputs: {error}") from error
