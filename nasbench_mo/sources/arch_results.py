"""Training results of NAS-Bench-201 and NATS-Bench, as the packages of both benchmarks interpret their own records.

The two packages (``nas_201_api``, ``nats_bench``) share the classes ``ArchResults`` (one architecture, one training
recipe) and ``ResultsCount`` (one trained network: dataset and seed). This module asks them for accuracies and training
times and sorts those into columns; it never reads the records itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError
from nasbench_mo.objective import Objective, Split
from nasbench_mo.sources.foreign import number, sequence
from nasbench_mo.space import SearchSpace
from nasbench_mo.table import Column

#: What the packages' classes raise when a record is malformed.
_RECORD_ERRORS: Final = (
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    ZeroDivisionError,
    OverflowError,
)


#: What the card of a table of these columns says.
NOTES: Final = (
    "Accuracies after the last epoch, per training seed and as the mean over the seeds that an architecture has; "
    "architectures differ in their number of seeds. c10_valid, c10half_test, c10half_train: the network was trained on "
    "half of the CIFAR-10 training images; c10_test, c10_train: on all of them. validtest: the official test set, "
    "which the validation and the test half make up. Training times are the benchmark's own."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """What a network was trained on, and the evaluation sets that the benchmark recorded for it.

    Parameters
    ----------
    source
        Name in the records.
    dataset
        Name in objectives.
    splits
        (prefix of the column name, split, evaluation set in the records) of each accuracy.
    time_prefix
        Prefix of the training-time column, or None where it would only repeat another one.
    note, time_note
        What a reader of an accuracy or of the training time must know.
    """

    source: str
    dataset: str
    splits: tuple[tuple[str, Split, str], ...]
    time_prefix: str | None = None
    note: str | None = None
    time_note: str | None = None


#: NAS-Bench-201 section 2.2: CIFAR-10 networks were trained twice, on half of the training images (validated on the
#: other half) and on all of them; for the others the official test set was cut in two, a validation and a test half.
TRAINING_SETS: Final = (
    TrainingSet(
        source="cifar10-valid",
        dataset="cifar10",
        splits=(("c10", "valid", "x-valid"), ("c10half", "test", "ori-test"), ("c10half", "train", "train")),
        time_prefix="c10",
        note="network trained on half of the CIFAR-10 training images",
        time_note="mean over seeds; on half of the CIFAR-10 training images, all of them take twice that",
    ),
    TrainingSet(
        source="cifar10",
        dataset="cifar10",
        splits=(("c10", "test", "ori-test"), ("c10", "train", "train")),
        note="network trained on all CIFAR-10 training images",
    ),
    *(
        TrainingSet(
            source=source,
            dataset=source.lower(),
            splits=(
                (prefix, "valid", "x-valid"),
                (prefix, "test", "x-test"),
                (prefix, "validtest", "ori-test"),
                (prefix, "train", "train"),
            ),
            time_prefix=prefix,
            time_note="mean over seeds",
        )
        for source, prefix in (("cifar100", "c100"), ("ImageNet16-120", "in16"))
    ),
)


def encode_listed(listed: Any, *, searched: SearchSpace, where: str) -> NDArray[Any]:
    """Encodings (n, d) of a benchmark's list of architectures, whose order is its index.

    Raises
    ------
    FormatError
        It is not a list of strings, or lists an architecture twice.
    ArchitectureError
        A string is not an architecture of the space.
    """
    archs = sequence(listed, where=where)
    if not archs or not all(isinstance(arch, str) for arch in archs):
        raise FormatError(f"{where}: expected a list of architecture strings, got something else")
    encodings = searched.encode(archs)
    if len(np.unique(encodings, axis=0)) != len(encodings):
        raise FormatError(f"{where}: expected each architecture once, some are listed twice")
    return encodings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """Identity of one column before it has values; training time has neither split nor seed."""

    prefix: str
    epochs: int
    dataset: str
    note: str | None
    split: Split | None = None
    seed: int | str | None = None

    def objective(self) -> Objective:
        if self.split is None:
            return Objective(
                name=f"{self.prefix}_train_time_{self.epochs}ep",
                unit="s",
                kind="measured",
                dataset=self.dataset,
                epochs=self.epochs,
                note=self.note,
            )
        tag = self.seed if isinstance(self.seed, str) else f"s{self.seed}"
        return Objective(
            name=f"{self.prefix}_{self.split}_accuracy_{self.epochs}ep_{tag}",
            unit="percent",
            kind="derived" if self.seed == "mean" else "measured",
            direction="max",
            dataset=self.dataset,
            split=self.split,
            epochs=self.epochs,
            seed=self.seed,
            note=self.note,
        )

    def order(self) -> tuple[Any, ...]:
        prefixes = ("c10", "c10half", "c100", "in16")
        splits = ("valid", "test", "validtest", "train", None)
        seed = self.seed if isinstance(self.seed, int) else math.inf
        return (prefixes.index(self.prefix), splits.index(self.split), self.epochs, seed)


@final
class ResultColumns:
    """Accuracy and training-time columns, filled one architecture at a time.

    Memory is one float64 per architecture and column; the records themselves are not kept.

    Parameters
    ----------
    n
        Number of architectures of the benchmark.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._values: dict[_Key, NDArray[np.float64]] = {}

    def add(self, row: int, state: Any, *, results: Any, epochs: int, where: str) -> None:
        """Take what one record says about one architecture.

        Parameters
        ----------
        row
            Index of the architecture in the benchmark.
        state
            The record: the state of an ``ArchResults``, a dictionary of plain data.
        results
            The package's ``ArchResults`` class.
        epochs
            Length of the training recipe that the record is filed under.
        where
            Place, for errors.

        Raises
        ------
        FormatError
            The package cannot interpret the record, it belongs to another architecture or recipe, or an accuracy
            lies outside 0..100.
        """
        if not isinstance(state, dict):
            # A string would make create_from_state_dict open that path with the package's own, trusting loader.
            raise FormatError(f"{where}: expected the state of an ArchResults, got {type(state).__name__}")
        try:
            interpreted = results.create_from_state_dict(state)
            if int(interpreted.arch_index) != row:
                raise FormatError(f"{where}: expected architecture {row}, the record says {interpreted.arch_index}")
            for key, value in _measurements(interpreted, epochs=epochs, where=where):
                self._column(key)[row] = value
        except FormatError:
            raise
        except _RECORD_ERRORS as error:
            raise FormatError(
                f"{where}: the benchmark's own package cannot interpret this record: {type(error).__name__}: {error}; "
                "download the file again"
            ) from error

    def columns(self, rows: NDArray[np.intp]) -> tuple[Column, ...]:
        """Columns that have a value, restricted to some architectures, in a fixed order."""
        keys = sorted(self._values, key=_Key.order)
        return tuple(Column(objective=k.objective(), values=self._values[k][rows]) for k in keys)

    def _column(self, key: _Key) -> NDArray[np.float64]:
        if key not in self._values:
            self._values[key] = np.full(self._n, np.nan)
        return self._values[key]


def _measurements(result: Any, *, epochs: int, where: str) -> Iterator[tuple[_Key, float]]:
    """All accuracies and the training time of an ``ArchResults``, seed by seed and as means over its seeds."""
    present = result.get_dataset_names()
    for trained in TRAINING_SETS:
        if trained.source not in present:
            continue
        runs = {int(seed): result.query(trained.source, seed) for seed in result.get_dataset_seeds(trained.source)}
        for seed, run in runs.items():
            if run.get_total_epoch() != epochs:
                raise FormatError(
                    f"{where}, {trained.source}, seed {seed}: expected a run of {epochs} epochs, "
                    f"got {run.get_total_epoch()}"
                )
        for prefix, split, evaluation in trained.splits:
            place = f"{where}, {trained.source}, {evaluation}"
            values: dict[int | str, float] = {
                seed: _accuracy(run, evaluation, where=f"{place}, seed {seed}") for seed, run in runs.items()
            }
            values["mean"] = _mean(values.values())
            for tag, value in values.items():
                if not math.isnan(value):
                    key = _Key(
                        prefix=prefix,
                        split=split,
                        epochs=epochs,
                        seed=tag,
                        dataset=trained.dataset,
                        note=trained.note,
                    )
                    yield key, value
        if trained.time_prefix is not None:
            place = f"{where}, {trained.source}, training time"
            time = _mean(_train_time(run, where=f"{place}, seed {seed}") for seed, run in runs.items())
            if not math.isnan(time):
                key = _Key(prefix=trained.time_prefix, epochs=epochs, dataset=trained.dataset, note=trained.time_note)
                yield key, time


def _accuracy(run: Any, evaluation: str, *, where: str) -> float:
    """Percent after the last epoch; NaN where the run was not evaluated on this set."""
    if evaluation == "train":
        recorded = run.get_train()["accuracy"]
    elif evaluation in run.get_eval_set():
        try:
            recorded = run.get_eval(evaluation)["accuracy"]
        except (KeyError, ValueError):  # no value for the last epoch; the packages' own queries leave it out too
            return math.nan
    else:
        return math.nan
    value = number(recorded, where=where)
    if not math.isnan(value) and not 0.0 <= value <= 100.0:
        raise FormatError(f"{where}: expected an accuracy of 0..100 percent, got {value}")
    return value


def _train_time(run: Any, *, where: str) -> float:
    """Seconds of training over all epochs; NaN where the benchmark did not record them."""
    value = number(run.get_train()["all_time"], where=where)
    if value < 0:
        raise FormatError(f"{where}: expected a training time of at least 0 s, got {value}")
    return value


def _mean(values: Iterable[float]) -> float:
    """Mean of the values that are not missing; NaN where there is none."""
    present = [v for v in values if not math.isnan(v)]
    return sum(present) / len(present) if present else math.nan
