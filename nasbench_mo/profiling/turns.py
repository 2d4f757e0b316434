"""Measured turns on disk, one JSON line each: safe against kill, and against mixing two machines or protocols."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from nasbench_mo import artifacts
from nasbench_mo.bounded import parse_json, read_json
from nasbench_mo.errors import ArtifactError, FormatError, SpecError

_TURNS = "turns.jsonl"
_IDENTITY = "identity.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a task.

    Parameters
    ----------
    key
        The task.
    number, round
        Pass and round in it, from 0.
    """

    key: str
    number: int
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """When a block of measurements began, and the machine's load then (mean runnable processes of the last minute)."""

    at: str
    load: float | None


class TurnJournal:
    """The turns of one campaign in one folder. Use it as a context manager: it is locked meanwhile.

    A line is handed to the system at once, so that killing the process loses nothing; :meth:`sync` forces the lines to
    the disk. A last line that was cut off is dropped when the journal is opened again.

    Parameters
    ----------
    folder
        Made where it does not exist.
    identity
        What all turns have in common: machine, versions, protocol. Of types that JSON has.

    Raises
    ------
    SpecError
        The folder was begun with another identity, or another builder works in it.
    ArtifactError
        A file is damaged.
    """

    def __init__(self, folder: Path, *, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))
        self.beginnings: list[Beginning] = []
        self._values: dict[Turn, float] = {}
        self._lock = FileLock(folder / ".lock")
        self._stream: BinaryIO | None = None

    def __enter__(self) -> TurnJournal:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SpecError(
                f"another builder works in {self.folder}; wait for it, or give this one another --work"
            ) from None
        try:
            self._check_identity()
            self._read()
            self._stream = (self.folder / _TURNS).open("ab", buffering=0)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self.sync()
            self._stream.close()
            self._stream = None
        self._lock.release()

    def __contains__(self, turn: Turn) -> bool:
        return turn in self._values

    def __getitem__(self, turn: Turn) -> float:
        return self._values[turn]

    def __len__(self) -> int:
        return len(self._values)

    def begin(self) -> None:
        """Note the time and the machine's load."""
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        beginning = Beginning(at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), load=load)
        self._write({"at": beginning.at, "load": beginning.load})
        self.beginnings.append(beginning)

    def add(self, turn: Turn, value: float) -> None:
        """Keep a turn's value.

        Raises
        ------
        ArtifactError
            It is not a finite number: a measurement that failed is not a value.
        """
        if not math.isfinite(value):
            raise ArtifactError(f"measuring {turn.key!r} gave {value}; expected a finite number")
        self._write({"key": turn.key, "pass": turn.number, "round": turn.round, "value": value})
        self._values[turn] = value

    def sync(self) -> None:
        """Force what was written to the disk."""
        if self._stream is not None:
            os.fsync(self._stream.fileno())

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._stream is None:
            raise SpecError("a journal is written inside its 'with' block")
        data = json.dumps(line).encode() + b"\n"
        if self._stream.write(data) != len(data):  # unbuffered: what does not fit on the disk is no error by itself
            raise OSError(errno.ENOSPC, "the disk is full; the last turn is measured again", str(self.folder / _TURNS))

    def _check_identity(self) -> None:
        path = self.folder / _IDENTITY
        if not path.is_file():
            if (self.folder / _TURNS).exists():
                raise ArtifactError(
                    f"{self.folder} has turns but no {_IDENTITY}, so where they were measured is not known; begin in "
                    "an empty folder"
                )
            artifacts.write_atomic(path, (json.dumps(self.identity, indent=1) + "\n").encode())
            return
        try:
            begun = read_json(path)
        except FormatError as error:
            raise ArtifactError(f"{path} is damaged: {error}; begin in an empty folder") from error
        changed = _difference(begun, self.identity, place="")
        if changed:
            raise SpecError(
                f"{self.folder} was begun under other conditions: {changed}. Measurements of two machines, versions or "
                "protocols are not one table; begin in an empty folder, or go on where it was begun"
            )

    def _read(self) -> None:
        path = self.folder / _TURNS
        data = path.read_bytes() if path.is_file() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            artifacts.write_atomic(path, whole)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._take(parse_json(line))
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                raise ArtifactError(
                    f"{path}, line {number} is damaged ({error!r}); delete the line, and it is measured again"
                ) from error

    def _take(self, fields: Mapping[str, Any]) -> None:
        if "at" in fields:
            load = fields["load"]
            self.beginnings.append(Beginning(at=str(fields["at"]), load=None if load is None else float(load)))
            return
        value = float(fields["value"])
        if not math.isfinite(value):
            raise ValueError(f"value {value}")
        self._values[Turn(key=fields["key"], number=int(fields["pass"]), round=int(fields["round"]))] = value


def _difference(old: Any, new: Any, *, place: str) -> str:
    """The first field in which two identities differ, in words; empty where they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            found = _difference(old.get(key), new.get(key), place=f"{place}.{key}" if place else key)
            if found:
                return found
        return ""
    return "" if old == new else f"{place} was {old!r} and is {new!r}"
