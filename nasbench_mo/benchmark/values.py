"""Where the values of one objective come from: a table, a predictor, a cost table, a count, or a function.

Four answers to one question, behind one interface: ``score`` is what an architecture is judged by, ``seeds`` are
the single training runs a search may see instead, ``test`` is what the chosen ones are reported on.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import ObjectiveError, SpecError
from nasbench_mo.hardware import OperatorCosts, ShapeCosts
from nasbench_mo.hardware.workload import Workload, workload
from nasbench_mo.objective import Objective, to_minimised
from nasbench_mo.predictor import describe_predictor, load_predictor
from nasbench_mo.sources import load_table
from nasbench_mo.space import space
from nasbench_mo.space.fbnet import BLOCKS, N_LAYERS
from nasbench_mo.space.nb201 import NB201, Skeleton

#: Splits that a search may never see.
HIDDEN_SPLITS = ("test", "validtest")


class Values(ABC):
    """Values of one minimised objective over one space. Abstract; each source is one final class."""

    @property
    @abstractmethod
    def origin(self) -> Objective:
        """Identity of what is read, before it is minimised; its split decides whether a search may see it."""

    @abstractmethod
    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Minimised values of (n, d) encodings, (n,); NaN where the source has none."""

    @abstractmethod
    def data_hash(self) -> str:
        """SHA-256 of the data that decide the values."""

    def seeds(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        """Minimised values of single training runs, (n, s), NaN for a run that does not exist; None without noise."""
        return None

    def test(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        """Minimised test values, (n,); None where there are none. A cost is its own test value."""
        return self.score(X)

    def fidelities(self) -> tuple[int, ...]:
        """Epochs after which values are known, ascending, the last being what is scored; empty for a cost."""
        return ()

    def at(self, epochs: int) -> Values:
        """The values after fewer epochs; a cost is the same at every fidelity."""
        return self

    def trained_epochs(self, epochs: int) -> int:
        """Epochs of training that go into a value after so many epochs: more where it is a mean of several runs."""
        return epochs

    def continues(self) -> bool:
        """Whether a longer training goes on where a shorter one ended, so that only the difference is paid."""
        return True

    def fidelity_hash(self) -> str:
        """SHA-256 of the values after fewer epochs that :meth:`data_hash` leaves out; empty where there are none."""
        return ""

    def seen(self) -> tuple[Objective, ...]:
        """Identities of everything a search sees: none of them may be of a hidden split."""
        return (self.origin,)

    def has_test(self) -> bool:
        """Whether :meth:`test` has values."""
        return True

    def noisy(self) -> bool:
        """Whether :meth:`seeds` has values."""
        return False

    def tabulated(self) -> bool:
        """Whether valuing a whole enumerable space at once is cheap."""
        return True

    def cheap(self) -> bool:
        """Whether a search may take the values for known: whether in earnest, too, they would cost nothing to find out.

        True of what is counted or modelled from the architecture. A table or a predictor stands for a measurement or a
        training, however fast it is read, and a function may do either.
        """
        return False

    def missing(self) -> list[str]:
        """Ids of artefacts that have to be imported first."""
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Where the values after fewer epochs are.

    Parameters
    ----------
    epochs
        After how many.
    column, seed_columns
        The mean over the seeds and, where a search sees single ones, each of them.
    n_trainings
        Trainings that have to be paid for what a search sees: more than one where it is their mean.
    """

    epochs: int
    column: str
    seed_columns: tuple[str, ...] = ()
    n_trainings: int = 1


@final
@dataclass(frozen=True, kw_only=True)
class TableValues(Values):
    """A column of an imported table, with the columns of its single seeds and its test counterpart.

    Parameters
    ----------
    table, column
        What an architecture is scored on: a mean over training seeds, or a cost.
    seed_columns
        One column a training seed; a search sees one of them.
    test_column
        What the chosen architectures are reported on; None for a cost.
    curve
        Columns after fewer epochs of the same trainings, ascending: what is trained on goes on from there.
    shorter
        Instead of a curve, columns of trainings of their own that end earlier, with a schedule of their own: whoever
        wants the full training pays it from the start. They do not change what the full training is worth, so
        :meth:`data_hash` does not cover them, :meth:`fidelity_hash` does. Columns that the table lacks are left out.
    """

    table: str
    column: str
    seed_columns: tuple[str, ...] = ()
    test_column: str | None = None
    curve: tuple[Fidelity, ...] = ()
    shorter: tuple[Fidelity, ...] = ()

    def __post_init__(self) -> None:
        if self.curve and self.shorter:
            raise SpecError(f"column {self.column!r}: expected a curve or shorter trainings of their own, got both")

    @property
    def origin(self) -> Objective:
        """The column's identity."""
        table = load_table(self.table)
        return table.objectives[table.check_column(self.column)]

    def seen(self) -> tuple[Objective, ...]:
        """The column, those of the single seeds, and both after fewer epochs."""
        table = load_table(self.table)
        columns = (*self._seen_columns(), *self._shorter_columns())
        return tuple(table.objectives[table.check_column(c)] for c in columns)

    def _seen_columns(self) -> tuple[str, ...]:
        earlier = [c for step in self.curve for c in (step.column, *step.seed_columns)]
        return (self.column, *self.seed_columns, *earlier)

    def fidelities(self) -> tuple[int, ...]:
        """Epochs of the curve and of the column; empty without a curve."""
        last = self.origin.epochs
        steps = self._steps()
        if not steps or last is None:
            return ()
        return (*(step.epochs for step in steps), last)

    def at(self, epochs: int) -> Values:
        """The values of an earlier column; there is no test value before the last epoch."""
        for step in self._steps():
            if step.epochs == epochs:
                return TableValues(table=self.table, column=step.column, seed_columns=step.seed_columns)
        return self

    def trained_epochs(self, epochs: int) -> int:
        """Epochs times trainings whose mean is seen."""
        return epochs * next((step.n_trainings for step in self._steps() if step.epochs == epochs), 1)

    def continues(self) -> bool:
        """Whether the shorter trainings are the beginning of the full one: a curve."""
        return not self.shorter

    def fidelity_hash(self) -> str:
        """Hash of the columns of the shorter trainings that are no curve."""
        columns = self._shorter_columns()
        return load_table(self.table).content_hash(columns) if columns else ""

    def _steps(self) -> tuple[Fidelity, ...]:
        """The curve, or the shorter trainings that the table has."""
        if not self.shorter:
            return self.curve
        known = load_table(self.table).objectives
        return tuple(step for step in self.shorter if {step.column, *step.seed_columns} <= known.keys())

    def _shorter_columns(self) -> list[str]:
        return [c for step in self._steps() for c in (step.column, *step.seed_columns)] if self.shorter else []

    def has_test(self) -> bool:
        """Whether there is a test column, or the column is a cost."""
        return self.test_column is not None or self.origin.split is None

    def noisy(self) -> bool:
        """Whether there are columns of single seeds."""
        return bool(self.seed_columns)

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Values of the column."""
        return self._read((self.column,), X)[:, 0]

    def seeds(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        """Values of the seed columns."""
        return self._read(self.seed_columns, X) if self.seed_columns else None

    def test(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        """Values of the test column; of the column itself where it is a cost."""
        if self.test_column is not None:
            return self._read((self.test_column,), X)[:, 0]
        return self.score(X) if self.has_test() else None

    def data_hash(self) -> str:
        """Hash of the architectures and of the values and directions of the columns used."""
        columns = [*self._seen_columns()]
        if self.test_column is not None:
            columns.append(self.test_column)
        table = load_table(self.table)
        directions = "".join(f"\n{table.objectives[table.check_column(c)].direction}" for c in columns)
        return hashlib.sha256(f"{table.content_hash(columns)}{directions}".encode()).hexdigest()

    def missing(self) -> list[str]:
        """The table, unless it is imported."""
        present = artifacts.find("tables", self.table) or artifacts.find("hw_tables", self.table)
        return [] if present else [self.table]

    def _read(self, columns: tuple[str, ...], X: NDArray[Any]) -> NDArray[np.float64]:
        table = load_table(self.table)
        rows = table.locate(X)
        found = np.where(rows[:, None] < 0, np.nan, table.matrix(columns)[rows])
        minimised = [to_minimised(found[:, j], table.objectives[c]) for j, c in enumerate(columns)]
        return np.stack(minimised, axis=1)


@final
@dataclass(frozen=True, kw_only=True)
class PredictedValues(Values):
    """What a trained predictor says; it has no noise and no test value of its own."""

    predictor: str

    @property
    def origin(self) -> Objective:
        """The predictor's objective."""
        return describe_predictor(self.predictor).objective

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Predictions."""
        return load_predictor(self.predictor).predict(X)

    def has_test(self) -> bool:
        """False: a prediction of validation error says nothing of test error."""
        return False

    def test(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        """None."""
        return None

    def data_hash(self) -> str:
        """Hash of the model file."""
        return describe_predictor(self.predictor).sha256


@final
@dataclass(frozen=True, kw_only=True)
class OperatorValues(Values):
    """A column of an operator cost table."""

    table: str
    column: str

    @property
    def origin(self) -> Objective:
        """The column's identity."""
        return self._costs.objectives[self._costs.table.check_column(self.column)]

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Counts times costs."""
        return self._costs.evaluate(X, column=self.column)

    def cheap(self) -> bool:
        """True: counts times costs."""
        return True

    def data_hash(self) -> str:
        """Hash of the operator table, and of which operations it counts."""
        return hashlib.sha256(f"{self._costs.data_hash} {self.origin.convention}".encode()).hexdigest()

    @cached_property
    def _costs(self) -> OperatorCosts:
        return OperatorCosts.load(self.table)


@final
@dataclass(frozen=True, kw_only=True)
class LayerValues(Values):
    """Sums over a network's layers of what each was measured to cost on a device.

    Parameters
    ----------
    table
        Table of costs per layer shape (:class:`~nasbench_mo.hardware.ShapeCosts`); its card names the skeleton.
    column
        Which cost.
    """

    table: str
    column: str

    @property
    def origin(self) -> Objective:
        """The column's identity. A sum of measured layers is derived: the network itself was not measured."""
        found = self._costs.objectives[self._costs.table.check_column(self.column)]
        return dataclasses.replace(found, kind="derived", note="sum over layers that were measured on the device")

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Counts times costs."""
        return self._costs.evaluate(X, column=self.column)

    def cheap(self) -> bool:
        """True: counts times costs."""
        return True

    def data_hash(self) -> str:
        """Hash of the table, of the networks, and of which layers are counted."""
        costs = self._costs
        text = f"{costs.data_hash} {costs.workload.name} {self.origin.convention} {costs.merged_precisions}"
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _costs(self) -> ShapeCosts:
        return ShapeCosts.load(self.table)


@final
@dataclass(frozen=True, kw_only=True)
class CountedValues(Values):
    """Parameters or multiply-accumulates of a NAS-Bench-201 network, counted from the architecture.

    Parameters
    ----------
    quantity
        ``"params"`` or ``"flops"``.
    dataset
        Dataset whose skeleton (image size, classes) is counted.
    """

    quantity: str
    dataset: str

    @property
    def origin(self) -> Objective:
        """Counted, in millions, dead operations included as in the published counts."""
        return Objective(name=self.quantity, unit="millions", kind="derived", dataset=self.dataset, convention="all")

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Counts in millions."""
        nb201 = space("nb201")
        if not isinstance(nb201, NB201) or self.quantity not in ("params", "flops"):
            raise SpecError(f"counted values are 'params' or 'flops' of nb201; got {self.quantity!r}")
        count = nb201.n_parameters if self.quantity == "params" else nb201.n_flops
        return count(X, skeleton=Skeleton.for_dataset(self.dataset)) / 1e6

    def cheap(self) -> bool:
        """True: a count."""
        return True

    def data_hash(self) -> str:
        """Hash of the definition: the counts follow from it."""
        return hashlib.sha256(f"counted/nb201/{self.quantity}/{self.dataset}/1".encode()).hexdigest()


@final
@dataclass(frozen=True, kw_only=True)
class MissingMacsValues(Values):
    """Multiply-accumulates that an FBNet network has fewer than the largest one of its space, in millions.

    Nobody published accuracies of this space's networks, and the least latency alone is that of the network that skips
    every layer it can. What is given up for it is computation; how much of it is counted here. It stands for capacity,
    not for accuracy.

    Parameters
    ----------
    dataset
        Whose skeleton is counted: ``"cifar100"`` or ``"imagenet"``.
    """

    dataset: str

    @property
    def origin(self) -> Objective:
        """Counted, in millions."""
        return Objective(
            name="macs_missing",
            unit="millions",
            kind="derived",
            dataset=self.dataset,
            note="multiply-accumulates fewer than those of the largest network; stands for capacity, is no accuracy",
        )

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Counts in millions."""
        missing: NDArray[np.float64] = (self._most - self._workload.macs(X)) / 1e6
        return missing

    def cheap(self) -> bool:
        """True: a count."""
        return True

    def data_hash(self) -> str:
        """Hash of the definition: the counts follow from it."""
        return hashlib.sha256(f"macs missing/fbnet/{self.dataset}/1".encode()).hexdigest()

    @cached_property
    def _workload(self) -> Workload:
        return workload(space("fbnet"), dataset=self.dataset)

    @cached_property
    def _most(self) -> int:
        """Of the network whose layers all have the widest block and the largest kernel."""
        return int(self._workload.macs(np.full((1, N_LAYERS), BLOCKS.index("k5_e6")))[0])


@final
@dataclass(frozen=True, kw_only=True)
class FunctionValues(Values):
    """Values computed by a function of the user's.

    Parameters
    ----------
    objective
        What the function returns; minimised.
    function
        (n, d) int64 encodings to (n,) values. It is only asked for architectures that are needed.
    """

    objective: Objective
    function: Callable[[NDArray[Any]], NDArray[np.float64]]

    @property
    def origin(self) -> Objective:
        """The objective as given."""
        return self.objective

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The function's values."""
        values = as_real(self.function(np.array(X, dtype=np.int64)), of=self.objective.column)
        if values.shape != (len(X),):
            raise ObjectiveError(
                f"the function of {self.objective.column!r} must return shape ({len(X)},), got {values.shape}"
            )
        return values

    def has_test(self) -> bool:
        """Whether it is a cost: a validation result is not its own test value."""
        return self.objective.split is None

    def tabulated(self) -> bool:
        """False: a function may train or measure."""
        return False

    def test(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        """The function's values where it is a cost."""
        return self.score(X) if self.has_test() else None

    def data_hash(self) -> str:
        """Hash of the objective's identity; a function has no other."""
        return hashlib.sha256(repr(self.objective.to_dict()).encode()).hexdigest()


def as_real(values: object, *, of: str) -> NDArray[np.float64]:
    """What a user's function returned, as float64, or an :class:`ObjectiveError` where it is no array of numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise ObjectiveError(f"the function of {of} must return real numbers, got dtype {array.dtype}")
    return array.astype(np.float64)
