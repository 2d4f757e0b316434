"""The rows of a submission as Parquet: limits first, then the schema, then the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.bounded import read_columns
from nasbench_mo.errors import SubmissionError, did_you_mean

if TYPE_CHECKING:
    from nasbench_mo.leaderboard.board import Board

#: Objective slots of the format.
MAX_OBJECTIVES = 5
_KEYS = ("problem", "seed", "evaluation")
_SLOTS = tuple(f"f{j}" for j in range(MAX_OBJECTIVES))
_KNOWN = (*_KEYS, "arch", "code", *_SLOTS, "simulated_s")

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
        (n,) published strings (object) or lexicographic codes (int64).
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
    def coded(self) -> bool:
        """Whether architectures are lexicographic codes."""
        return self.archs.dtype.kind in "iu"


def write_rows(rows: Rows, stream: IO[bytes]) -> None:
    """Write the rows compactly: evaluations as differences, values and strings by dictionary, all by zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    problem = pa.DictionaryArray.from_arrays(pa.array(rows.problem.astype(np.int32)), pa.array(rows.problems))
    columns: dict[str, Any] = {"problem": problem, "seed": rows.seed, "evaluation": rows.evaluation}
    if rows.coded:
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
        compression="zstd",
        compression_level=19,
        # a space's integers are as short as the indices of a dictionary, which would come on top
        use_dictionary=[c for c in columns if c not in ("evaluation", "code")],
        column_encoding={"evaluation": "DELTA_BINARY_PACKED"},
        dictionary_pagesize_limit=64 << 20,
        data_page_size=16 << 20,
        row_group_size=max(1, len(rows)),
        write_statistics=False,
        store_schema=False,
    )


def check_file(path: Path, *, board: Board) -> None:
    """Refuse a file by its sizes and its schema, from the footer alone.

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
            _within(meta.num_columns, most=len(_KNOWN), what="columns", path=path)
            _within(meta.num_rows, most=most, what="rows", path=path)
            _within(meta.num_row_groups, most=1 + most // 1000, what="row groups", path=path)
            groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
            unpacked = sum(g.total_byte_size for g in groups)
            _within(unpacked, most=_FIXED_BYTES + _UNPACKED_BYTES_A_ROW * most, what="unpacked bytes", path=path)
            if sum(g.num_rows for g in groups) != meta.num_rows:
                raise SubmissionError(f"{path.name}: the footer contradicts itself about the number of rows")
            _check_schema(file.schema_arrow, name=path.name)
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


def _rebuilt(table: Any, *, board: Board, name: str) -> Rows:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = table.column_names
    key = "code" if "code" in names else "arch"
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
    values = np.column_stack([table.column(s).to_numpy() for s in slots]).astype(np.float64)
    archs = table.column(key).cast(pa.int64() if key == "code" else pa.string()).to_numpy()
    simulated = table.column("simulated_s").to_numpy().astype(np.float64) if "simulated_s" in names else None
    return Rows(
        problem=problem.astype(np.int16),
        seed=table.column("seed").cast(pa.int32()).to_numpy(),
        evaluation=table.column("evaluation").cast(pa.int32()).to_numpy(),
        archs=archs,
        values=values.reshape(len(table), len(slots)),
        simulated_s=simulated,
        problems=board.problems,
    )


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
    if ("arch" in columns) == ("code" in columns):
        raise SubmissionError(f"{name}: expected one of the columns 'arch' and 'code', got {', '.join(columns)}")
    slots = [c for c in columns if c in _SLOTS]
    for column in (*_KEYS, *_SLOTS[: max(2, len(slots))]):
        if column not in columns:
            raise SubmissionError(f"{name}: the column {column!r} is missing; got {', '.join(columns)}")
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if field.name in ("problem", "arch"):
            fits, wanted = text, "text"
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
