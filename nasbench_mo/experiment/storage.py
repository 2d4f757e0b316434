"""``run.parquet`` and the journal that makes an interrupted run resumable."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.benchmark import Problem
from nasbench_mo.bounded import open_parquet, parse_json, read_columns
from nasbench_mo.errors import BusyError, RunError
from nasbench_mo.experiment.trajectory import Identity, Run
from nasbench_mo.objective import Objective
from nasbench_mo.space import SPACES, SearchSpace, space

FORMAT_VERSION = 1
_META = b"nasbench_mo_run"
#: Unpacked columns of a run: ten million evaluations.
_MAX_BYTES = 1 << 30
AnyRun = TypeVar("AnyRun", bound=Run)

#: Fields of an identity that older runs do not have, and what their absence says.
_LATER: Mapping[str, object] = {
    "known_objectives": [],
    "constraints": [],
    "fidelities": [],
    "fidelities_hash": "",
    "workers": 1,
    "budget_seconds": None,
    "budget_joules": None,
}


def identity_to_dict(identity: Identity) -> dict[str, Any]:
    """Return an identity as plain types."""
    fields = {f.name: getattr(identity, f.name) for f in dataclasses.fields(identity)}
    fields["objectives"] = [o.to_dict() for o in identity.objectives]
    fields["searcher_options"] = dict(identity.searcher_options)
    for name in ("known_objectives", "constraints", "fidelities"):
        fields[name] = list(fields[name])
    # absent where they say nothing: so a run without them is written, and resumed, as before the fields existed
    return {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}


def identity_from_dict(fields: dict[str, Any]) -> Identity:
    """Rebuild an identity from plain types."""
    objectives = tuple(Objective.from_dict(o) for o in fields["objectives"])
    later = {name: tuple(fields.get(name, ())) for name in ("known_objectives", "constraints", "fidelities")}
    return Identity(**{**fields, "objectives": objectives, **later})


def to_arrow(run: Run) -> Any:
    """The run as an Arrow table: one row an evaluation, its identity in the schema metadata.

    A run that was offered several fidelities has the columns ``epochs`` and ``cost_evaluations`` besides.
    """
    import pyarrow as pa

    fields = [pa.field("evaluation", pa.int64()), pa.field("arch", pa.string())]
    arrays = [pa.array(np.arange(len(run))), pa.array(run.archs, pa.string())]
    for j, objective in enumerate(run.identity.objectives):
        field_meta = {b"objective": json.dumps(objective.to_dict()).encode(), b"unit": objective.unit.encode()}
        fields.append(pa.field(objective.column, pa.float64(), metadata=field_meta))
        arrays.append(pa.array(run.F[:, j], from_pandas=True))  # what failed has no value: null, not a number
    fields.append(pa.field("status", pa.string()))
    fields += [pa.field(name, pa.float64(), metadata={b"unit": b"s"}) for name in ("wall_s", "simulated_s")]
    arrays.append(pa.array(_status(run.degenerate, failed=run.failed, infeasible=run.infeasible), pa.string()))
    arrays += [pa.array(run.wall_s), pa.array(run.simulated_s, from_pandas=True)]
    if run.epochs is not None:
        fields += [pa.field("epochs", pa.int64()), pa.field("cost_evaluations", pa.float64())]
        arrays += [pa.array(run.epochs, pa.int64()), pa.array(run.cost_evaluations)]
    meta = {
        "format": FORMAT_VERSION,
        "identity": identity_to_dict(run.identity),
        "environment": dict(run.environment),
        "content_sha256": _content_hash(run.archs, run.F, epochs=run.epochs),
    }
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={_META: json.dumps(meta).encode()}))


def write_run(run: Run, path: Path) -> None:
    """Write ``run.parquet``: the old file or the whole new one, never a part."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(to_arrow(run), buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())


def read_run(path: Path, cls: type[AnyRun], *, problem: Problem | None = None) -> AnyRun:
    """Read ``run.parquet``. See :meth:`Run.load`."""
    import pyarrow as pa

    table, meta = _opened(path, read=lambda file: read_columns(file, at_most=_MAX_BYTES))
    try:
        return _rebuilt(table, meta, cls=cls, problem=problem)
    except RunError as error:
        raise RunError(f"{path}: {error}") from error
    except (pa.ArrowException, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is not a complete run file: {error}") from error


def read_identity(path: Path) -> Identity:
    """What a run file says it is, without its evaluations.

    Raises
    ------
    RunError
        The file is not a run.
    """
    _, meta = _opened(path, read=_schema_alone)
    try:
        return identity_from_dict(meta["identity"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is not a complete run file: {error}") from error


def _schema_alone(path: Path) -> Any:
    with open_parquet(path) as file:
        return file.schema_arrow.empty_table()


def _opened(path: Path, *, read: Callable[[Path], Any]) -> tuple[Any, dict[str, Any]]:
    """Arrow table and metadata of a run file of this format."""
    import pyarrow as pa

    if not path.is_file():
        raise RunError(
            f"{path} does not exist; expected a run file, which 'nasbench-mo search --out' and nmo.run(out=...) write"
        )
    try:
        table = read(path)
        meta = parse_json((table.schema.metadata or {}).get(_META, b"{}"))
        found = meta.get("format")
    except (pa.ArrowException, OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is not a readable run file: {error}") from error
    if found != FORMAT_VERSION:
        raise RunError(f"{path}: expected a run of format {FORMAT_VERSION}, got {found!r}")
    return table, meta


def _rebuilt(table: Any, meta: dict[str, Any], *, cls: type[AnyRun], problem: Problem | None) -> AnyRun:
    identity = identity_from_dict(meta["identity"])
    home = _space_of(identity, problem=problem)
    archs: list[str] = table.column("arch").to_pylist()
    X = home.encode(archs)
    degenerate = home.degenerate(X)
    F = np.empty((len(archs), len(identity.objectives)))
    for j, objective in enumerate(identity.objectives):
        F[:, j] = table.column(objective.column).to_numpy()
    failed = np.array([status == "failed" for status in table.column("status").to_pylist()], dtype=bool)
    if not np.isfinite(F[~failed]).all() or not np.isnan(F[failed]).all():
        raise RunError("an objective value is missing or not finite")
    epochs = table.column("epochs").to_numpy() if identity.fidelities else None
    if epochs is not None and not np.isin(epochs, identity.fidelities).all():
        raise RunError(f"expected epochs of {', '.join(map(str, identity.fidelities))}")
    distinct = set(archs) if epochs is None else set(zip(archs, epochs.tolist(), strict=True))
    if table.column("evaluation").to_pylist() != list(range(len(archs))) or len(distinct) != len(archs):
        raise RunError("expected the evaluations 0, 1, 2, ... of distinct architectures")
    status = np.array(table.column("status").to_pylist())
    infeasible = status == "infeasible" if identity.constraints else np.zeros(len(archs), dtype=bool)
    if status.tolist() != _status(degenerate, failed=failed, infeasible=infeasible):
        raise RunError(f"the status column does not say which architectures of {home.name!r} are degenerate")
    if meta["content_sha256"] != _content_hash(archs, F, epochs=epochs):
        raise RunError("architectures or values are not those that were written: rows are missing or were changed")
    return cls(
        identity=identity,
        X=X,
        F=F,
        archs=archs,
        degenerate=degenerate,
        infeasible=infeasible,
        wall_s=table.column("wall_s").to_numpy().astype(np.float64),
        simulated_s=table.column("simulated_s").to_numpy().astype(np.float64),
        environment=meta["environment"],
        source=problem,
        epochs=epochs,
        cost_evaluations=None if epochs is None else table.column("cost_evaluations").to_numpy(),
    )


def _space_of(identity: Identity, *, problem: Problem | None) -> SearchSpace:
    """The space of a run: that of the problem given, else the registered one of its name."""
    if problem is not None:
        if problem.id != identity.problem:
            raise RunError(f"the run is of problem {identity.problem!r}; it was given {problem.id!r}")
        return problem.space
    if identity.space not in SPACES:
        raise RunError(
            f"the search space {identity.space!r} of problem {identity.problem!r} is not registered; "
            "give the problem: Run.load(path, problem=...)"
        )
    return space(identity.space)


def _content_hash(archs: list[str], F: NDArray[np.float64], *, epochs: NDArray[np.intp] | None) -> str:
    """SHA-256 over the architectures, the values and, where there are several, the epochs, in order."""
    digest = hashlib.sha256("\n".join(archs).encode())
    digest.update(np.ascontiguousarray(F, dtype="<f8").tobytes())
    if epochs is not None:
        digest.update(np.ascontiguousarray(epochs, dtype="<i8").tobytes())
    return digest.hexdigest()


def _status(degenerate: NDArray[np.bool_], *, failed: NDArray[np.bool_], infeasible: NDArray[np.bool_]) -> list[str]:
    """One of ok, infeasible, degenerate, failed for each evaluation; what failed says so, degenerate or not."""
    of_live = np.where(infeasible, "infeasible", "ok")
    status: list[str] = np.where(failed, "failed", np.where(degenerate, "degenerate", of_live)).tolist()
    return status


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
        The journal belongs to another run, or is damaged other than by a cut last line.
    """

    def __init__(self, path: Path, *, identity: Identity, discard_other: bool = False) -> None:
        self.path = path
        self._head = json.dumps({"format": FORMAT_VERSION, "identity": identity_to_dict(identity)})
        self._n_objectives = len(identity.objectives)
        self.values: dict[str, tuple[list[float], float, float]] = {}
        self.order: list[str] = []
        #: Of the architectures whose evaluation failed, why.
        self.reasons: dict[str, str] = {}
        #: Of each evaluation after how many epochs it was made; None where there is only the full training.
        self.epochs: list[int | None] = []
        self._rows: list[tuple[list[float], float, float]] = []
        self._distinct: set[tuple[str, int | None]] = set()
        self._stream: io.TextIOWrapper | None = None
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(f"another process is writing {path}; wait for it, or choose another output file") from None
        try:
            if path.exists() and discard_other and not self._is_ours():
                path.unlink()
            if path.exists():
                self._read()
        except BaseException:
            self.close()
            raise

    def append(
        self,
        archs: list[str],
        *,
        F: Any,
        wall_s: Any,
        simulated_s: Any,
        epochs: int | None = None,
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        """Add evaluations, all after as many epochs, with the reasons of those that failed, and flush them to disk."""
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.path.exists()
            self._stream = self.path.open("a", encoding="utf-8")
            if fresh:
                self._stream.write(self._head + "\n")
        for row in zip(archs, F.tolist(), wall_s.tolist(), simulated_s.tolist(), strict=True):
            later = ([] if epochs is None else [epochs]) + ([reasons[row[0]]] if reasons and row[0] in reasons else [])
            self._stream.write(json.dumps([*row, *later]) + "\n")
        self._stream.flush()

    def at(self, index: int) -> tuple[list[float], float, float]:
        """Values, wall seconds and simulated seconds of an evaluation that it holds."""
        return self._rows[index]

    def columns(self, archs: list[str]) -> tuple[list[list[float]], list[float], list[float]]:
        """Values, wall seconds and simulated seconds of some architectures that it holds."""
        rows = [self.values[arch] for arch in archs]
        return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]

    def close(self) -> None:
        """Close the file and let others have it; it stays on disk."""
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.close()  # writes what is left, which a full disk refuses
        finally:
            if self._lock.is_locked:
                Path(self._lock.lock_file).unlink(missing_ok=True)
                self._lock.release()

    def remove(self) -> None:
        """Delete and close: the run is complete."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _read(self) -> None:
        """Take over what was written; a last line that was cut off is dropped from the file."""
        kept = 0
        for line in self._complete_lines():
            if kept == 0 and line.rstrip(b"\n") != self._head.encode():
                raise RunError(
                    f"{self.path} is the journal of another run (problem, data, searcher, seed or budget differ); "
                    "finish that run with its own settings, or delete the file"
                )
            if kept:
                self._take(line)
            kept += len(line)
        with self.path.open("r+b") as stream:
            stream.truncate(kept)
        if kept == 0:
            self.path.unlink()

    def _is_ours(self) -> bool:
        return next(self._complete_lines(), b"").rstrip(b"\n") == self._head.encode()

    def _take(self, line: bytes) -> None:
        try:
            arch, F, wall_s, simulated_s, *rest = parse_json(line, finite=False)  # what failed has no value
            numbers = [*F, wall_s, simulated_s]
            reason = rest.pop() if rest and isinstance(rest[-1], str) else None
            epochs = rest[0] if rest else None
            whole = isinstance(arch, str) and len(F) == self._n_objectives and len(rest) <= 1
            whole = whole and (not rest or type(epochs) is int) and (arch, epochs) not in self._distinct
            whole = whole and all(isinstance(v, float) for v in numbers)
        except (ValueError, TypeError):
            whole = False
        if not whole:
            shown = line[:60].decode(errors="replace").rstrip()
            raise RunError(
                f"{self.path} is damaged at evaluation {len(self.order)}: {shown!r}; delete the file to start over"
            )
        self.values[arch] = (F, wall_s, simulated_s)
        self.order.append(arch)
        self.epochs.append(epochs)
        self._rows.append((F, wall_s, simulated_s))
        self._distinct.add((arch, epochs))
        if reason is not None:
            self.reasons[arch] = reason

    def _complete_lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as stream:
            yield from (line for line in stream if line.endswith(b"\n"))
