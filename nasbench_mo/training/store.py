"""Finished trainings on disk: shards that come one by one, packed into one file; safe against kill and against mixing.

A folder belongs to one recipe and to one builder at a time. A shard appears whole or not at all; packing writes the
new file before it removes the shards, so that a training is never lost, at worst held twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.bounded import parse_json, read_columns, read_json
from nasbench_mo.errors import ArtifactError, FormatError, SpecError
from nasbench_mo.training.metrics import Scores
from nasbench_mo.training.trainer import TrainingResult

PACKED = "trainings.parquet"
_IDENTITY = "identity.json"
_SHARDS = "shards"
#: Unpacked columns of one file: ten times those of all 15,625 cells with ten seeds each.
_MAX_BYTES = 1 << 30
_SCORES = tuple(f.name for f in dataclasses.fields(Scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One finished training of one architecture.

    Parameters
    ----------
    code
        Integer code of the architecture that was trained.
    seed
        Training seed.
    result
        What came of it. Values are kept as 32-bit numbers.
    environment
        Versions and machine, as one line.
    """

    code: int
    seed: int
    result: TrainingResult
    environment: str


class TrainingStore:
    """The trainings in one folder. Use it as a context manager: it is locked meanwhile.

    Parameters
    ----------
    folder
        Made where it does not exist.
    identity
        What all trainings in it have in common.

    Raises
    ------
    SpecError
        The folder was begun with another identity, or another builder works in it.
    """

    def __init__(self, folder: Path, *, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = identity
        self._lock = FileLock(folder / ".lock")

    def __enter__(self) -> TrainingStore:
        (self.folder / _SHARDS).mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SpecError(
                f"another builder works in {self.folder}; wait for it, or give this one another --out"
            ) from None
        try:
            self._check_identity()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def add(self, trainings: Sequence[Training]) -> None:
        """Write some trainings as one shard."""
        first = trainings[0]
        path = self.folder / _SHARDS / f"seed{first.seed}-{first.code:05d}.parquet"
        write_atomic(path, _to_parquet(trainings, identity=self.identity))

    def trainings(self) -> list[Training]:
        """Every finished training once, by seed and code.

        Raises
        ------
        ArtifactError
            A file is damaged or of another recipe; the message says what to do.
        """
        found = {(t.seed, t.code): t for path in self._files() for t in _from_parquet(path, identity=self.identity)}
        return [found[key] for key in sorted(found)]

    def pack(self) -> None:
        """Join all shards into one file."""
        shards = [path for path in self._files() if path.name != PACKED]
        if shards:
            write_atomic(self.folder / PACKED, _to_parquet(self.trainings(), identity=self.identity))
            for path in shards:
                path.unlink()

    def _files(self) -> list[Path]:
        packed = self.folder / PACKED
        shards = sorted((self.folder / _SHARDS).glob("seed*.parquet"))
        return [packed, *shards] if packed.is_file() else shards

    def _check_identity(self) -> None:
        path = self.folder / _IDENTITY
        if not path.is_file():
            write_atomic(path, (json.dumps(self.identity, indent=1) + "\n").encode())
            return
        try:
            begun = read_json(path)
        except FormatError as error:
            raise ArtifactError(f"{path} is damaged: {error}; restore it or begin in another folder") from error
        changed = _difference(begun, self.identity)
        if changed:
            raise SpecError(
                f"{self.folder} was begun with another recipe: {changed}. A recipe is part of a table's identity: "
                "give the new one another id, or restore the old specification"
            )


@contextlib.contextmanager
def opened(folder: Path, *, identity: dict[str, Any]) -> Iterator[TrainingStore]:
    """Open a store and pack it in the end, also after an error or an interruption."""
    with TrainingStore(folder, identity=identity) as store:
        try:
            yield store
        finally:
            store.pack()


def _difference(old: Any, new: Any, *, place: str = "") -> str:
    """The first field in which two identities differ, in words; empty where they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            found = _difference(old.get(key), new.get(key), place=f"{place}.{key}" if place else key)
            if found:
                return found
        return ""
    return "" if old == new else f"{place} was {old!r} and is {new!r}"


def _to_parquet(trainings: Sequence[Training], *, identity: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    results = [t.result for t in trainings]
    columns: dict[str, Any] = {
        "code": pa.array([t.code for t in trainings], pa.int32()),
        "seed": pa.array([t.seed for t in trainings], pa.int32()),
        "environment": pa.array([t.environment for t in trainings], pa.string()),
        "n_parameters": pa.array([r.n_parameters for r in results], pa.int32()),
        "train_seconds": pa.array([r.train_seconds for r in results], pa.float32()),
        "joules": pa.array([r.energy.joules for r in results], pa.float32()),
        "no_joules_because": pa.array([r.energy.why_not for r in results], pa.string()),
    }
    for name in ("valid_error_percent", "valid_loss", "train_loss"):
        columns[f"{name}_curve"] = pa.array([getattr(r, name).tolist() for r in results], pa.list_(pa.float32()))
    for split in ("valid", "test"):
        for name in _SCORES:
            columns[f"{split}_{name}"] = pa.array([getattr(getattr(r, split), name) for r in results], pa.float32())
    table = pa.table(columns).replace_schema_metadata({b"identity": json.dumps(identity, sort_keys=True).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _from_parquet(path: Path, *, identity: dict[str, Any]) -> list[Training]:
    try:
        table = read_columns(path, at_most=_MAX_BYTES)
        kept = parse_json((table.schema.metadata or {})[b"identity"])
        made = [_training(row) for row in table.to_pylist()]
    except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ArtifactError(
            f"{path} is damaged ({' '.join(str(error).split())[:120]}); delete it, and the trainings it held are "
            "made again"
        ) from error
    changed = _difference(kept, identity)
    if changed:
        raise ArtifactError(f"{path} belongs to another recipe: {changed}; take it out of this folder")
    return made


def _training(row: dict[str, Any]) -> Training:
    from nasbench_mo.training.energy import Energy

    result = TrainingResult(
        valid_error_percent=np.array(row["valid_error_percent_curve"]),
        valid_loss=np.array(row["valid_loss_curve"]),
        train_loss=np.array(row["train_loss_curve"]),
        valid=Scores(**{name: row[f"valid_{name}"] for name in _SCORES}),
        test=Scores(**{name: row[f"test_{name}"] for name in _SCORES}),
        train_seconds=row["train_seconds"],
        energy=Energy(joules=row["joules"], why_not=row["no_joules_because"]),
        n_parameters=row["n_parameters"],
    )
    return Training(code=row["code"], seed=row["seed"], result=result, environment=row["environment"])
