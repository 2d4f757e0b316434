"""The rows of a submission as Parquet: limits first, then the schema, then the data.

Format 1 has architectures as strings or codes, and a value beside each; format 2 is in :mod:`.compact`.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.bounded import read_columns
from nasbench_mo.errors import SubmissionError, did_you_mean
from nasbench_mo.leaderboard.compact import Columns, Packed, narrowed, pack, unpack

if TYPE_CHECKING:
    from nasbench_mo.leaderboard.board import Board

#: Objective slots of the format.
MAX_OBJECTIVES = 5
_KEYS = ("problem", "seed", "evaluation")
_SLOTS = tuple(f"f{j}" for j in range(MAX_OBJECTIVES))
_ARCHS = ("arch", "code", "x")
_KNOWN = (*_KEYS, *_ARCHS, *_SLOTS, "simulated_s")
#: Most variables of an architecture.
_MAX_VARIABLES = 1_024

#: Of a file and of its unpacked columns, for each row that the board allows, and for what is there anyway.
_FILE_BYTES_A_ROW = 256
_UNPACKED_BYTES_A_ROW = 2_048
_FIXED_BYTES = 4 << 20
#: Bounds on what the footer may ask to be allocated, before it is believed.
_FOOTER_ITEMS = 100_000
_FOOTER_STRING_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Columns of equal length n, one row an evaluation.

    Parameters
    ----------
    problem
        (n,) index in ``problems``.
    seed, evaluation
        (n,) seed of the run and number of the evaluation in it.
    archs
        (n,) published strings (object), (n,) lexicographic codes (int64), or (n, w) encodings (uint8), padded with
        zeros to the widest space of the board.
    values
        (n, k) observed values by objective slot; NaN where the problem has fewer objectives.
    simulated_s
        (n,) or None.
    problems
        Ids.
    """

    problem: NDArray[np.int16]
    seed: NDArray[np.int32]
    evaluation: NDArray[np.int32]
    archs: NDArray[Any]
    values: NDArray[np.float64]
    simulated_s: NDArray[np.float64] | None
    problems: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.problem)

    @property
    def arch_column(self) -> str:
        """How architectures are given: ``"arch"``, ``"code"`` or ``"x"``."""
        if self.archs.ndim == 2:
            return "x"
        return "code" if self.archs.dtype.kind in "iu" else "arch"


def write_rows(rows: Rows, stream: IO[bytes]) -> None:
    """Write rows in format 1: evaluations as differences, values and strings by dictionary, all by zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    problem = pa.DictionaryArray.from_arrays(pa.array(rows.problem.astype(np.int32)), pa.array(rows.problems))
    columns: dict[str, Any] = {"problem": problem, "seed": rows.seed, "evaluation": rows.evaluation}
    if rows.arch_column == "code":
        columns["code"] = rows.archs.astype(np.int32)
    else:
        columns["arch"] = pa.array(rows.archs, pa.string())
    for j in range(rows.values.shape[1]):
        columns[f"f{j}"] = pa.array(rows.values[:, j], from_pandas=True)
    if rows.simulated_s is not None:
        columns["simulated_s"] = pa.array(rows.simulated_s, from_pandas=True)
    pq.write_table(
        pa.table(columns),
        stream,
        # a space's integers are as short as the indices of a dictionary, which would come on top
        use_dictionary=[c for c in columns if c not in ("evaluation", "code")],
        column_encoding={"evaluation": "DELTA_BINARY_PACKED"},
        **_compression(len(rows)),
    )


def write_compact(rows: Rows, *, runs: IO[bytes], values: IO[bytes]) -> Columns:
    """Write rows in format 2, the (n, w) encodings and the values each in the shorter of two encodings of Parquet.

    Returns
    -------
    Problem to the column of each objective, for ``submission.yaml``.
    """
    import pyarrow as pa

    packed = pack(rows.archs, problem=rows.problem, values=rows.values, problems=rows.problems)
    n, width = rows.archs.shape
    buffer = pa.py_buffer(np.ascontiguousarray(rows.archs).tobytes())
    columns: dict[str, Any] = {
        "problem": pa.DictionaryArray.from_arrays(pa.array(rows.problem.astype(np.int32)), pa.array(rows.problems)),
        "seed": pa.array(rows.seed),
        "evaluation": pa.array(rows.evaluation),
        "x": pa.Array.from_buffers(pa.binary(width), n, [None, buffer]),
    }
    for j in np.flatnonzero(~np.isnan(packed.by_row).all(axis=0)).tolist():
        columns[f"f{j}"] = pa.array(packed.by_row[:, j], from_pandas=True)
    _write_shortest(columns, stream=runs, fixed={"evaluation": "DELTA_BINARY_PACKED"})
    longest = max(map(len, packed.by_architecture), default=0)
    by_architecture = {}
    for g, one in enumerate(packed.by_architecture):
        short = narrowed(one)
        padded = np.concatenate([short, np.full(longest - len(one), np.nan, dtype=short.dtype)])
        by_architecture[f"v{g}"] = pa.array(padded, from_pandas=True)
    _write_shortest(by_architecture, stream=values, fixed={})
    return packed.columns


def _write_shortest(columns: Mapping[str, Any], *, stream: IO[bytes], fixed: Mapping[str, str]) -> None:
    """Write columns, each by a dictionary or by streams of bytes, whichever is shorter."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    streamed = {}
    for name in table.column_names:
        if name in fixed or not _has_bytes(table.schema.field(name).type):
            continue
        sizes = []
        for options in ({"use_dictionary": True}, _streams([name], {name: "BYTE_STREAM_SPLIT"})):
            trial = io.BytesIO()
            pq.write_table(table.select([name]), trial, **options, **_compression(len(table)))
            sizes.append(trial.tell())
        if sizes[1] < sizes[0]:
            streamed[name] = "BYTE_STREAM_SPLIT"
    options = _streams(table.column_names, {**fixed, **streamed})
    pq.write_table(table, stream, **options, **_compression(len(table)))


def _streams(names: list[str], encodings: dict[str, str]) -> dict[str, Any]:
    return {"use_dictionary": [n for n in names if n not in encodings], "column_encoding": encodings}


def _has_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_fixed_size_binary(kind))


def _compression(n_rows: int) -> dict[str, Any]:
    return {
        "compression": "zstd",
        "compression_level": 19,
        "dictionary_pagesize_limit": 64 << 20,
        "data_page_size": 16 << 20,
        "row_group_size": max(1, n_rows),
        "write_statistics": False,
        "store_schema": False,
    }


def check_file(path: Path, *, board: Board, columns: Columns | None = None) -> None:
    """Refuse a file by its sizes and its schema, from the footer alone.

    Parameters
    ----------
    path, board
        The file, and what it is for.
    columns
        Given for the values of format 2: where each objective's are.

    Raises
    ------
    SubmissionError
        The file is missing, no Parquet, larger than the board allows, or has other columns.
    """
    import pyarrow as pa

    most = len(board.problems) * board.seeds * board.budget
    if not path.is_file():
        raise SubmissionError(f"{path} does not exist")
    _within(path.stat().st_size, most=_FIXED_BYTES + _FILE_BYTES_A_ROW * most, what="bytes", path=path)
    try:
        with _opened(path) as file:
            meta = file.metadata
            width = len(_KNOWN) if columns is None else len(board.problems) * MAX_OBJECTIVES
            _within(meta.num_columns, most=width, what="columns", path=path)
            _within(meta.num_rows, most=most, what="rows", path=path)
            _within(meta.num_row_groups, most=1 + most // 1000, what="row groups", path=path)
            groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
            unpacked = sum(g.total_byte_size for g in groups)
            _within(unpacked, most=_FIXED_BYTES + _UNPACKED_BYTES_A_ROW * most, what="unpacked bytes", path=path)
            if sum(g.num_rows for g in groups) != meta.num_rows:
                raise SubmissionError(f"{path.name}: the footer contradicts itself about the number of rows")
            if columns is None:
                _check_schema(file.schema_arrow, name=path.name)
            else:
                _check_values_schema(file.schema_arrow, columns=columns, name=path.name)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, SubmissionError):
            raise
        raise SubmissionError(f"{path.name} is not a readable Parquet file: {_first_line(error)}") from error


def read_rows(path: Path, *, board: Board) -> Rows:
    """Read a file that :func:`check_file` let pass.

    Raises
    ------
    SubmissionError
        The file is damaged, or a cell is missing or names no problem of the board.
    """
    import pyarrow as pa

    try:
        most = len(board.problems) * board.seeds * board.budget
        table = read_columns(path, at_most=_FIXED_BYTES + _UNPACKED_BYTES_A_ROW * most)
        return _rebuilt(table, board=board, name=path.name)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, SubmissionError):
            raise
        raise SubmissionError(f"{path.name} is damaged: {_first_line(error)}") from error


def read_compact(runs: Path, values: Path, *, board: Board, columns: Columns) -> Rows:
    """Read files of format 2 that :func:`check_file` let pass.

    Raises
    ------
    SubmissionError
        As :func:`read_rows`, or a column of the values has not one value for each of its architectures.
    """
    import pyarrow as pa

    rows = read_rows(runs, board=board)
    if rows.arch_column != "x":
        raise SubmissionError(f"{runs.name}: format 2 has architectures in the column 'x', got {rows.arch_column!r}")
    try:
        with _opened(values) as file:
            table = file.read(use_threads=False)
        by_architecture = tuple(
            _from_the_top(table.column(f"v{g}").to_numpy().astype(np.float64), column=f"v{g}", name=values.name)
            for g in range(table.num_columns)
        )
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, SubmissionError):
            raise
        raise SubmissionError(f"{values.name} is damaged: {_first_line(error)}") from error
    whole = np.full((len(rows), MAX_OBJECTIVES), np.nan)
    whole[:, : rows.values.shape[1]] = rows.values
    packed = Packed(by_architecture=by_architecture, columns=columns, by_row=whole)
    try:
        found = unpack(packed, archs=rows.archs, problem=rows.problem, problems=board.problems)
    except SubmissionError as error:
        raise SubmissionError(f"{values.name}: {error}") from error
    most = max(len(c) for c in columns.values())
    return dataclasses.replace(rows, values=found[:, :most])


def _from_the_top(values: NDArray[np.float64], *, column: str, name: str) -> NDArray[np.float64]:
    """A column without the nulls below its last value."""
    given = np.flatnonzero(~np.isnan(values))
    if len(given) and given[-1] != len(given) - 1:
        gap = int(np.flatnonzero(np.isnan(values))[0])
        raise SubmissionError(f"{name}: row {gap}, column {column!r} is missing")
    return values[: len(given)]


def _check_values_schema(schema: Any, *, columns: Columns, name: str) -> None:
    import pyarrow as pa

    wanted = sorted({g for places in columns.values() for g in places if g is not None})
    if list(schema.names) != [f"v{g}" for g in wanted] or wanted != list(range(len(wanted))):
        raise SubmissionError(
            f"{name}: expected the columns {', '.join(f'v{g}' for g in wanted) or 'none'}, numbered from v0, got "
            f"{', '.join(schema.names) or 'none'}"
        )
    for field in schema:
        if not (pa.types.is_float32(field.type) or pa.types.is_float64(field.type)):
            raise SubmissionError(f"{name}: column {field.name!r} must hold float32 or float64, got {field.type}")


def _rebuilt(table: Any, *, board: Board, name: str) -> Rows:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = table.column_names
    key = next(c for c in _ARCHS if c in names)
    for column in (*_KEYS, key):
        if table.column(column).null_count:
            row = int(np.flatnonzero(table.column(column).is_null().to_numpy(zero_copy_only=False))[0])
            raise SubmissionError(f"{name}: row {row}, column {column!r} is missing")
    strings = table.column("problem").cast(pa.string())
    problem = pc.index_in(strings, value_set=pa.array(board.problems)).fill_null(-1).to_numpy()
    unknown = np.flatnonzero(problem < 0)
    if unknown.size:
        row = int(unknown[0])
        got = strings[row].as_py()
        raise SubmissionError(
            f"{name}: row {row}, column 'problem': {got!r} is no problem of board {board.id!r}."
            f"{did_you_mean(got, board.problems)}"
        )
    slots = [s for s in _SLOTS if s in names]
    values = np.full((len(table), int(slots[-1][1:]) + 1 if slots else 0), np.nan)
    for slot in slots:
        values[:, int(slot[1:])] = table.column(slot).to_numpy()
    archs = (
        _digits(table.column(key))
        if key == "x"
        else table.column(key).cast(pa.int64() if key == "code" else pa.string()).to_numpy()
    )
    simulated = table.column("simulated_s").to_numpy().astype(np.float64) if "simulated_s" in names else None
    return Rows(
        problem=problem.astype(np.int16),
        seed=table.column("seed").cast(pa.int32()).to_numpy(),
        evaluation=table.column("evaluation").cast(pa.int32()).to_numpy(),
        archs=archs,
        values=values,
        simulated_s=simulated,
        problems=board.problems,
    )


def _digits(column: Any) -> NDArray[np.uint8]:
    """Encodings of a column of fixed-size binary, (n, w)."""
    width = column.type.byte_width
    raw = b"".join(chunk.cast("binary").buffers()[2].to_pybytes()[: len(chunk) * width] for chunk in column.chunks)
    return np.frombuffer(raw, dtype=np.uint8).reshape(len(column), width)


def _check_schema(schema: Any, *, name: str) -> None:
    import pyarrow as pa

    columns = list(schema.names)
    for column in columns:
        if column not in _KNOWN:
            raise SubmissionError(
                f"{name}: unknown column {column!r}; known: {', '.join(_KNOWN)}.{did_you_mean(column, _KNOWN)}"
            )
        if columns.count(column) > 1:
            raise SubmissionError(f"{name}: the column {column!r} is there twice; keep one")
    if sum(c in columns for c in _ARCHS) != 1:
        raise SubmissionError(f"{name}: expected one of the columns 'arch', 'code' and 'x', got {', '.join(columns)}")
    slots = [c for c in columns if c in _SLOTS]
    needed = () if "x" in columns else _SLOTS[: max(2, len(slots))]  # others may be in the table of values
    for column in (*_KEYS, *needed):
        if column not in columns:
            raise SubmissionError(f"{name}: the column {column!r} is missing; got {', '.join(columns)}")
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if field.name in ("problem", "arch"):
            fits, wanted = text, "text"
        elif field.name == "x":
            fits = pa.types.is_fixed_size_binary(kind) and 1 <= kind.byte_width <= _MAX_VARIABLES
            wanted = f"binary of a fixed size of at most {_MAX_VARIABLES} bytes"
        elif field.name in ("seed", "evaluation", "code"):
            fits, wanted = pa.types.is_integer(kind), "integers"
        else:
            fits, wanted = pa.types.is_float64(kind), "float64"
        if not fits:
            raise SubmissionError(f"{name}: column {field.name!r} must hold {wanted}, got {field.type}")


def _opened(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        path,
        thrift_string_size_limit=_FOOTER_STRING_BYTES,
        thrift_container_size_limit=_FOOTER_ITEMS,
    )


def _within(value: int, *, most: int, what: str, path: Path) -> None:
    if value > most:
        raise SubmissionError(f"{path.name}: at most {most:,} {what} for this board, got {value:,}; nothing was loaded")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
