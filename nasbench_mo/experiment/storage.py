"""``run.parquet`` and the journal that makes an interrupted run resumable."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.errors import ArchitectureError, RunError
from nasbench_mo.experiment.trajectory import Identity, Run
from nasbench_mo.objective import Objective
from nasbench_mo.space import space

FORMAT_VERSION = 1
_META = b"nasbench_mo_run"
AnyRun = TypeVar("AnyRun", bound=Run)


def identity_to_dict(identity: Identity) -> dict[str, Any]:
    """Return an identity as plain types."""
    fields = {f.name: getattr(identity, f.name) for f in dataclasses.fields(identity)}
    fields["objectives"] = [o.to_dict() for o in identity.objectives]
    fields["searcher_options"] = dict(identity.searcher_options)
    return fields


def identity_from_dict(fields: dict[str, Any]) -> Identity:
    """Rebuild an identity from plain types."""
    return Identity(**{**fields, "objectives": tuple(Objective.from_dict(o) for o in fields["objectives"])})


def to_arrow(run: Run) -> Any:
    """The run as an Arrow table: one row an evaluation, its identity in the schema metadata."""
    import pyarrow as pa

    fields = [pa.field("evaluation", pa.int64()), pa.field("arch", pa.string())]
    arrays = [pa.array(np.arange(len(run))), pa.array(run.archs, pa.string())]
    for j, objective in enumerate(run.identity.objectives):
        field_meta = {b"objective": json.dumps(objective.to_dict()).encode(), b"unit": objective.unit.encode()}
        fields.append(pa.field(objective.column, pa.float64(), metadata=field_meta))
        arrays.append(pa.array(run.F[:, j]))
    fields += [pa.field("status", pa.string()), pa.field("wall_s", pa.float64()), pa.field("simulated_s", pa.float64())]
    arrays.append(pa.array(["degenerate" if d else "ok" for d in run.degenerate], pa.string()))
    arrays += [pa.array(run.wall_s), pa.array(run.simulated_s, from_pandas=True)]
    meta = {
        "format": FORMAT_VERSION,
        "identity": identity_to_dict(run.identity),
        "environment": dict(run.environment),
    }
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={_META: json.dumps(meta).encode()}))


def write_run(run: Run, path: Path) -> None:
    """Write ``run.parquet``: the old file or the whole new one, never a part."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(to_arrow(run), buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())


def read_run(path: Path, cls: type[AnyRun]) -> AnyRun:
    """Read ``run.parquet``. See :meth:`Run.load`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise RunError(f"{path} does not exist")
    try:
        table = pq.read_table(path)
        meta = json.loads((table.schema.metadata or {}).get(_META, b"{}"))
    except (pa.ArrowInvalid, OSError, json.JSONDecodeError) as error:
        raise RunError(f"{path} is not a readable run file: {error}") from error
    if meta.get("format") != FORMAT_VERSION:
        raise RunError(f"{path}: expected a run of format {FORMAT_VERSION}, got {meta.get('format')!r}")
    try:
        identity = identity_from_dict(meta["identity"])
        archs: list[str] = table.column("arch").to_pylist()
        columns = [table.column(o.column).to_numpy() for o in identity.objectives]
        return cls(
            identity=identity,
            X=space(identity.space).encode(archs),
            F=np.stack(columns, axis=1).astype(np.float64),
            archs=archs,
            degenerate=np.array([s == "degenerate" for s in table.column("status").to_pylist()], dtype=bool),
            wall_s=table.column("wall_s").to_numpy().astype(np.float64),
            simulated_s=table.column("simulated_s").to_numpy().astype(np.float64),
            environment=meta["environment"],
        )
    except (KeyError, TypeError, ArchitectureError) as error:
        raise RunError(f"{path} is not a complete run file: {error}") from error


class Journal:
    """Evaluations of an unfinished run, one JSON line each, beside the file that will hold the run.

    Parameters
    ----------
    path
        Journal file. Its first line is the identity of the run; a journal of another run is refused.
    identity
        The run that is being made.
    discard_other
        Delete the journal of another run instead of refusing it.

    Raises
    ------
    RunError
        The journal belongs to another run.
    """

    def __init__(self, path: Path, *, identity: Identity, discard_other: bool = False) -> None:
        self.path = path
        self._head = json.dumps({"format": FORMAT_VERSION, "identity": identity_to_dict(identity)})
        self.values: dict[str, tuple[list[float], float, float]] = {}
        self.order: list[str] = []
        self._stream: io.TextIOWrapper | None = None
        if path.exists() and discard_other and not self._is_ours():
            path.unlink()
        if path.exists():
            self._read()

    def append(self, archs: list[str], *, F: Any, wall_s: Any, simulated_s: Any) -> None:
        """Add evaluations and flush them to disk."""
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.path.exists()
            self._stream = self.path.open("a", encoding="utf-8")
            if fresh:
                self._stream.write(self._head + "\n")
        for row in zip(archs, F.tolist(), wall_s.tolist(), simulated_s.tolist(), strict=True):
            self._stream.write(json.dumps(row) + "\n")
        self._stream.flush()

    def keep_first(self, n: int) -> None:
        """Drop all but the first n evaluations, on disk too."""
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)[: n + 1]
        write_atomic(self.path, "".join(lines).encode())
        for arch in self.order[n:]:
            del self.values[arch]
        del self.order[n:]

    def close(self) -> None:
        """Close the file; it stays on disk."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def remove(self) -> None:
        """Close and delete: the run is complete."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        """Take over what was written; a last line that was cut off is dropped from the file."""
        kept = 0
        for line in self._complete_lines():
            if kept == 0 and line.rstrip("\n") != self._head:
                raise RunError(
                    f"{self.path} is the journal of another run (problem, data, searcher, seed or budget differ); "
                    "finish that run with its own settings, or delete the file"
                )
            if kept:
                arch, F, wall_s, simulated_s = json.loads(line)
                self.values[arch] = (F, wall_s, simulated_s)
                self.order.append(arch)
            kept += len(line.encode())
        with self.path.open("r+b") as stream:
            stream.truncate(kept)
        if kept == 0:
            self.path.unlink()

    def _is_ours(self) -> bool:
        return next(self._complete_lines(), "").rstrip("\n") == self._head

    def _complete_lines(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8", newline="\n") as stream:
            yield from (line for line in stream if line.endswith("\n"))
