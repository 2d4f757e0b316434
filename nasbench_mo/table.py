"""The native table: one row an architecture (or an operator), one Parquet column a quantity with its identity.

The unit stands in the column name *and* in the field metadata. Columns are read when they are asked for; queries
are vectorised over (n, d) integer encodings. A missing value is missing: asking for it raises an error that names
the architecture and the column.

A table knows its encoding (the cardinality of each variable) but not the search space's rules: whether a string is
a valid architecture is decided by the space, before the table is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.bounded import open_parquet, parse_json, read_columns
from nasbench_mo.encoding import byte_keys, check_encodings, from_mixed_radix, mixed_radix
from nasbench_mo.errors import (
    ArchitectureError,
    FormatError,
    MissingValueError,
    ObjectiveError,
    SpecError,
    did_you_mean,
)
from nasbench_mo.objective import Objective

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
FILE_NAME = "table.parquet"
_META = b"nasbench_mo"
_FIELD_META = b"objective"
#: Up to this many architectures a sparse table keeps a direct row index (4 bytes each).
_DIRECT_INDEX_LIMIT = 1 << 22
#: Up to this many rows a table keeps a dict from encoding to row, for single queries.
_ROW_DICT_LIMIT = 1 << 16

RowKind = Literal["architecture", "operator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Values of one quantity, one per row of a table to be written.

    Parameters
    ----------
    objective
        What the values are.
    values
        (n,) array; NaN marks a missing value.
    """

    objective: Objective
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableHeader:
    """What a table says of itself in the Parquet schema metadata."""

    id: str
    space: str
    rows: RowKind
    cardinalities: tuple[int, ...]
    dense: bool
    n_rows: int


@final
class Table:
    """A native table on disk, opened for reading. Build one with :func:`write_table`.

    Examples
    --------
    >>> import nasbench_mo as nmo
    >>> table = nmo.table("nb201-eyeriss-latency-modelled-v1")
    >>> table.columns
    ('latency_eyeriss_ms',)
    """

    def __init__(self, path: Path, header: TableHeader, objectives: dict[str, Objective]) -> None:
        self.path = path
        self.header = header
        self.objectives = objectives
        self._cache: dict[tuple[str | Objective, ...], tuple[NDArray[np.float64], bool]] = {}

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open ``folder/table.parquet``, or a Parquet file of another name; only the schema is read.

        Raises
        ------
        FormatError
            The file is not a native table of a version this package reads.
        """
        path = folder if folder.suffix == ".parquet" else folder / FILE_NAME
        try:
            with open_parquet(path) as file:
                schema, n_rows = file.schema_arrow, file.metadata.num_rows
        except (FormatError, OSError) as error:
            raise FormatError(f"{path} is not a readable Parquet file: {error}") from error
        try:
            meta = parse_json((schema.metadata or {}).get(_META, b"{}"))
            if meta.get("format") != FORMAT_VERSION:
                raise FormatError(
                    f"{path}: expected a native table of format {FORMAT_VERSION}, got {meta.get('format')!r}; "
                    "import the original file again with this version of nasbench-mo"
                )
            objectives = {}
            for field in schema:
                if field.metadata and _FIELD_META in field.metadata:
                    objectives[field.name] = Objective.from_dict(parse_json(field.metadata[_FIELD_META]))
            header = TableHeader(
                id=meta["id"],
                space=meta["space"],
                rows=meta["rows"],
                cardinalities=tuple(meta["cardinalities"]),
                dense=meta["dense"],
                n_rows=meta["n_rows"],
            )
            damage = _damage(header, schema=schema, objectives=objectives, n_rows=n_rows)
        except (AttributeError, KeyError, TypeError, SpecError) as error:
            raise FormatError(f"{path}: the header of this native table is damaged: {error!r}") from error
        except FormatError as error:
            raise FormatError(f"{path}: {error}; the header of this native table is damaged") from error
        if damage:
            raise FormatError(f"{path}: the header of this native table is damaged: {damage}")
        return cls(path, header, objectives)

    def __repr__(self) -> str:
        return f"Table({self.id!r}, {len(self)} rows, {len(self.columns)} columns)"

    def __len__(self) -> int:
        return self.header.n_rows

    @property
    def id(self) -> str:
        """Identity, with its version."""
        return self.header.id

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the value columns, in file order."""
        return tuple(self.objectives)

    def __getitem__(self, column: str | Objective) -> NDArray[np.float64]:
        """Return one whole column, (rows,) float64, NaN where a value is missing. Read-only."""
        values: NDArray[np.float64] = self.matrix((self.check_column(column),))[:, 0]
        return values

    def matrix(self, columns: Sequence[str | Objective]) -> NDArray[np.float64]:
        """Return (rows, k) float64 values of some columns, NaN where missing. Read-only, kept in memory.

        Raises
        ------
        ObjectiveError
            The table has no such column.
        """
        return self._matrix(columns)[0]

    def _matrix(self, columns: Sequence[str | Objective]) -> tuple[NDArray[np.float64], bool]:
        """Values of some columns, and whether none is missing; kept under the columns as they were given."""
        if isinstance(columns, (str, Objective)):
            raise ObjectiveError(f"table {self.id!r}: expected a list of columns, got {columns!r} alone")
        given = tuple(columns)
        if given not in self._cache:
            names = tuple(self.check_column(c) for c in given)
            if names != given:
                self._cache[given] = self._matrix(names)
            else:
                values = self._read_matrix(names)
                self._cache[given] = values, not bool(np.isnan(values).any())
        return self._cache[given]

    def _read_matrix(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        frame = self._read(list(dict.fromkeys(names)))
        values = np.empty((len(self), len(names)))
        for j, name in enumerate(names):
            values[:, j] = frame.column(name).to_numpy()
        values.flags.writeable = False
        return values

    def query(self, archs: ArrayLike | Sequence[str], columns: Sequence[str | Objective]) -> NDArray[np.float64]:
        """Return the values of some architectures, (n, k) float64.

        Parameters
        ----------
        archs
            (n, d) integer encodings, or n strings in the published form.
        columns
            k column names or objectives.

        Raises
        ------
        ArchitectureError
            An encoding is outside the space.
        MissingValueError
            The table has no row for an architecture, or no value in a column.

        Notes
        -----
        One mixed-radix Horner pass and one gather: O(n (d + k)).
        """
        values, complete = self._matrix(columns)
        rows = self.rows(archs)
        found = values[rows] if values.shape[1] == 1 else values.take(rows, axis=0)
        if not complete:
            self._refuse_missing(found, rows, columns)
        return found

    def query_one(self, arch: str | Sequence[int], columns: Sequence[str | Objective]) -> NDArray[np.float64]:
        """Return the values of one architecture, (k,) float64, read-only: :meth:`query` without array overhead."""
        values, complete = self._matrix(columns)
        row = self.row(arch)
        found: NDArray[np.float64] = values[row]
        if not complete:
            self._refuse_missing(found[None, :], np.array([row]), columns)
        return found

    def row(self, arch: str | Sequence[int]) -> int:
        """Row of one architecture, given as published string or as d integers."""
        if isinstance(arch, str):
            return self._row_named(arch)
        if len(self) <= _ROW_DICT_LIMIT and isinstance(arch, tuple):
            try:
                row = self._row_of_tuple.get(arch)
            except TypeError as error:  # an unhashable item
                raise ArchitectureError(f"table {self.id!r}: expected integers; {error}") from None
            if row is not None:
                return row
        return int(self.rows(np.asarray([arch]))[0])

    def rows(self, archs: ArrayLike | Sequence[str]) -> NDArray[np.intp]:
        """Rows of some architectures, (n,) integers. See :meth:`query` for the errors."""
        if isinstance(archs, str):
            archs = [archs]
        if isinstance(archs, Sequence) and (not archs or isinstance(archs[0], str)):
            return np.array([self._row_named(a) for a in archs], dtype=np.intp)
        if hasattr(archs, "dtype"):  # an array, or a series of a data frame
            array = np.asarray(archs)
            if array.dtype.kind in "UTO" and array.ndim == 1:
                return self.rows(array.tolist())
        self._refuse_operators()
        rows = self.locate(archs)
        if not self.header.dense:
            self._refuse_absent(rows, archs)
        return rows

    def locate(self, X: ArrayLike) -> NDArray[np.intp]:
        """Rows of (n, d) encodings, (n,) integers, -1 where the table has no row."""
        checked = check_encodings(X, cardinalities=self.header.cardinalities, owner=f"table {self.id!r}")
        if self.header.dense:
            return mixed_radix(checked, cardinalities=self.header.cardinalities)
        if self._direct_index is not None:
            return self._direct_index[mixed_radix(checked, cardinalities=self.header.cardinalities)].astype(np.intp)
        keys, order = self._sorted_keys
        wanted = byte_keys(checked)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, order[at], -1)

    @cached_property
    def archs(self) -> list[str]:
        """Published strings of the rows, in row order; operator names in an operator table."""
        strings: list[str] = self._read(["arch"]).column("arch").to_pylist()
        return strings

    def encodings(self) -> NDArray[np.int16]:
        """Encodings of the rows, (rows, d). Not for a table of operators, which have none."""
        self._refuse_operators()
        if self.header.dense:
            return from_mixed_radix(np.arange(len(self)), cardinalities=self.header.cardinalities).astype(np.int16)
        return self._encodings

    def content_hash(self, columns: Sequence[str | Objective]) -> str:
        """SHA-256 over the architectures and the float64 values of some columns: the data, not the file."""
        digest = hashlib.sha256()
        for arch in self.archs:
            digest.update(arch.encode() + b"\n")
        for column in columns:
            digest.update(self.check_column(column).encode() + b"\n")
            values = np.where(np.isnan(self[column]), np.nan, self[column])  # one bit pattern for missing
            digest.update(values.astype("<f8").tobytes())
        return digest.hexdigest()

    def to_pandas(self) -> pd.DataFrame:
        """All rows and columns as a data frame indexed by the architecture string."""
        import pandas as pd

        index = pd.Index(self.archs, name="arch")
        return pd.DataFrame(self.matrix(self.columns), columns=list(self.columns), index=index, copy=True)

    def _read(self, names: list[str]) -> Any:
        try:
            frame = read_columns(self.path, names)
        except (FormatError, OSError) as error:
            raise FormatError(f"{self.path} is damaged: {error}") from error
        if frame.num_rows != len(self):
            raise FormatError(f"{self.path} is damaged: expected {len(self)} rows, got {frame.num_rows}")
        return frame

    def _refuse_operators(self) -> None:
        if self.header.rows != "architecture":
            raise ArchitectureError(f"table {self.id!r} holds operators, not architectures; ask for them by name")

    def check_column(self, column: str | Objective) -> str:
        """Name of a column the table has, or an :class:`ObjectiveError` that suggests one."""
        name = column if isinstance(column, str) else column.column
        if name not in self.objectives:
            raise ObjectiveError(
                f"table {self.id!r} has {', '.join(self.columns)}; got {name!r}.{did_you_mean(name, self.columns)}"
            )
        return name

    def _row_named(self, arch: object) -> int:
        row = self._row_of_string.get(arch) if isinstance(arch, str) else None
        if row is None:
            raise MissingValueError(f"table {self.id!r} has no row for the architecture {arch!r}")
        return row

    @cached_property
    def _row_of_tuple(self) -> dict[tuple[int, ...], int]:
        return {tuple(x): row for row, x in enumerate(self.encodings().tolist())}

    @cached_property
    def _row_of_string(self) -> dict[str, int]:
        return {arch: row for row, arch in enumerate(self.archs)}

    @cached_property
    def _encodings(self) -> NDArray[np.int16]:
        column = self._read(["encoding"]).column("encoding").combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False)
        shape = (len(self), len(self.header.cardinalities))
        if flat.size != shape[0] * shape[1]:
            raise FormatError(f"{self.path} is damaged: expected {shape} encodings, got {flat.size} numbers")
        found = np.asarray(flat, dtype=np.int16).reshape(shape)
        if ((found < 0) | (found >= np.asarray(self.header.cardinalities))).any():
            raise FormatError(f"{self.path} is damaged: an encoding is outside its space")
        return found

    @cached_property
    def _direct_index(self) -> NDArray[np.int32] | None:
        """Row of every code, -1 where absent; None for spaces too large for it."""
        size = prod(self.header.cardinalities)
        if size > _DIRECT_INDEX_LIMIT:
            return None
        index = np.full(size, -1, dtype=np.int32)
        index[mixed_radix(self._encodings, cardinalities=self.header.cardinalities)] = np.arange(len(self))
        return index

    @cached_property
    def _sorted_keys(self) -> tuple[NDArray[np.bytes_], NDArray[np.intp]]:
        keys = byte_keys(self._encodings)
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    def _refuse_absent(self, rows: NDArray[np.intp], X: ArrayLike) -> None:
        absent = np.flatnonzero(rows < 0)
        if absent.size:
            raise MissingValueError(
                f"table {self.id!r} holds {len(self)} architectures of {self.header.space!r}; it has no row for "
                f"encoding {np.asarray(X)[absent[0]].tolist()} (row {absent[0]} of the query; {absent.size} absent "
                "in all)"
            )

    def _refuse_missing(self, found: NDArray[np.float64], rows: NDArray[np.intp], columns: Sequence[Any]) -> None:
        missing = np.argwhere(np.isnan(found))
        if missing.size:
            i, j = missing[0]
            raise MissingValueError(
                f"table {self.id!r} has no {self.check_column(columns[j])} for {self.archs[rows[i]]!r} "
                f"({len(missing)} missing values in this query)"
            )


def _damage(header: TableHeader, *, schema: Any, objectives: Mapping[str, Objective], n_rows: int) -> str:
    """What of a header is not as :func:`write_table` makes it, in words; empty where nothing is."""
    import pyarrow as pa

    d = len(header.cardinalities)
    types = {field.name: field.type for field in schema}
    if not all(isinstance(text, str) for text in (header.id, header.space)) or header.rows not in get_args(RowKind):
        return f"it is of {header.rows!r}"
    if not all(type(c) is int and 1 <= c <= 1 << 15 for c in header.cardinalities):
        return f"cardinalities {header.cardinalities!r}"[:200]
    if type(header.n_rows) is not int or header.n_rows != n_rows:
        return f"it announces {header.n_rows!r} rows of {n_rows}"[:200]
    if header.rows == "architecture":
        dense = n_rows == prod(header.cardinalities)
        if header.dense is not dense or not d:
            return f"dense is {header.dense!r} with {n_rows} rows of {prod(header.cardinalities)} architectures"[:200]
        kind = types.get("encoding")
        if not dense and kind != pa.list_(pa.int16(), d):
            return f"expected a column of {d} 16-bit integers an encoding, got {kind}"
    if types.get("arch") != pa.string():
        return f"expected a column 'arch' of text, got {types.get('arch')}"
    for name, objective in objectives.items():
        if objective.column != name or not (pa.types.is_integer(types[name]) or pa.types.is_floating(types[name])):
            return f"expected numbers of {objective.column!r} in the column {name!r}, got {types[name]}"
    return ""


def write_table(
    folder: Path,
    columns: Sequence[Column],
    *,
    id: str,
    space: str,
    archs: Sequence[str],
    cardinalities: Sequence[int] = (),
    encodings: NDArray[Any] | None = None,
    rows: RowKind = "architecture",
) -> Path:
    """Write ``folder/table.parquet`` and return its path.

    Parameters
    ----------
    folder
        Existing folder; use :func:`nasbench_mo.artifacts.staged_folder` to make the whole artefact atomic.
    columns
        Quantities, each with (n,) values. Integer values stay integers; float32 stays float32.
    archs
        n published strings (operator names where ``rows="operator"``).
    cardinalities, encodings
        The space's cardinalities (d,) and the (n, d) encodings of the rows. A table that holds every architecture
        exactly once is stored dense, in lexicographic order, and needs no encoding column.

    Raises
    ------
    FormatError
        There is no row, lengths disagree, a column, an operator or an architecture appears twice, or a column has no
        value at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = len(archs)
    cardinalities = tuple(int(c) for c in cardinalities)
    if n == 0:
        raise FormatError(f"table {id!r} has no rows")
    _check_columns(columns, n=n)
    if rows == "operator" and len(set(archs)) != n:
        raise FormatError(f"table {id!r}: an operator appears twice among {', '.join(archs)}")
    order = np.arange(n)
    dense = False
    if rows == "architecture":
        if encodings is None or not cardinalities:
            raise FormatError(f"table {id!r}: a table of architectures needs encodings and cardinalities")
        if max(cardinalities) > 1 << 15:
            raise FormatError(f"table {id!r}: a variable has {max(cardinalities)} values, more than 32768")
        X = check_encodings(encodings, cardinalities=cardinalities, owner=f"table {id!r}")
        if len(X) != n:
            raise FormatError(f"table {id!r}: {n} architecture strings but {len(X)} encodings")
        order, dense = _row_order(X, archs=archs, cardinalities=cardinalities, id=id)
    fields = [pa.field("arch", pa.string(), nullable=False)]
    arrays = [pa.array([archs[i] for i in order.tolist()], pa.string())]
    if rows == "architecture" and not dense:
        flat = pa.array(np.ascontiguousarray(X[order], dtype=np.int16).ravel())
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, X.shape[1]))
        fields.append(pa.field("encoding", arrays[-1].type, nullable=False))
    for column in columns:
        values = np.asarray(column.values)[order]
        array = pa.array(values, from_pandas=True) if values.dtype.kind == "f" else pa.array(values)
        arrays.append(array)
        meta = {_FIELD_META: json.dumps(column.objective.to_dict()).encode(), b"unit": column.objective.unit.encode()}
        fields.append(pa.field(column.objective.column, array.type, metadata=meta))
    header = {
        "format": FORMAT_VERSION,
        "id": id,
        "space": space,
        "rows": rows,
        "cardinalities": cardinalities,
        "dense": dense,
        "n_rows": n,
    }
    schema = pa.schema(fields, metadata={_META: json.dumps(header).encode()})
    path = folder / FILE_NAME
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd", write_page_checksum=True)
    return path


def _check_columns(columns: Sequence[Column], *, n: int) -> None:
    names = [c.objective.column for c in columns]
    if not names:
        raise FormatError("a table needs at least one column of values")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(f"columns appear twice: {', '.join(twice)}; give each its own name")
    for column in columns:
        values = np.asarray(column.values)
        if values.shape != (n,):
            raise FormatError(f"column {column.objective.column!r}: expected {n} values, got shape {values.shape}")
        if values.dtype.kind not in "iuf":
            raise FormatError(f"column {column.objective.column!r}: expected numbers, got dtype {values.dtype}")
        if values.dtype.kind == "f" and bool(np.isnan(values).all()):
            raise FormatError(f"column {column.objective.column!r}: every value is missing")


def _row_order(
    X: NDArray[Any], *, archs: Sequence[str], cardinalities: Sequence[int], id: str
) -> tuple[NDArray[np.intp], bool]:
    keys = byte_keys(X)
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if same.size:
        raise FormatError(
            f"table {id!r}: architecture {archs[int(order[same[0]])]!r} appears more than once "
            f"({same.size} repeated rows); keep one row an architecture"
        )
    return order, len(X) == prod(cardinalities)
