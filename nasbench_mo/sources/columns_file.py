"""CSV, Parquet and NPZ files seen alike: named columns with one row an architecture."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.bounded import array_names, load_arrays, open_parquet, read_columns
from nasbench_mo.errors import FormatError, SpecError, did_you_mean
from nasbench_mo.specification import Scalar, Where

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFile:
    """An open file of named columns.

    It does *not* promise that all columns have the same length: an NPZ may hold other arrays beside the rows.

    Parameters
    ----------
    path
        The file.
    names
        Its columns (arrays), in file order.
    load
        Reads one of them.
    """

    path: Path
    names: tuple[str, ...]
    load: Callable[[str], NDArray[Any]]

    def column(self, name: str, *, wanted_by: str) -> NDArray[Any]:
        """One column: numbers as they are stored, or text as an object array of str (None where empty).

        Parameters
        ----------
        name
            A column or array of the file.
        wanted_by
            What the column is for, as it appears in errors.

        Raises
        ------
        FormatError
            The file has no such column, or it holds neither numbers nor text.
        """
        if name not in self.names:
            raise FormatError(
                f"{self.path.name}: {wanted_by} needs a column {name!r}; the file has {', '.join(self.names)}."
                f"{did_you_mean(name, self.names)}"
            )
        values = self.load(name)
        if values.dtype.kind == "S":
            try:
                values = np.char.decode(values, "utf-8")
            except UnicodeDecodeError as error:
                raise FormatError(f"{self.path.name}: column {name!r} must hold text in UTF-8: {error}") from error
        if values.dtype.kind == "U":
            values = values.astype(object)
        if values.dtype.kind not in "iufbO":
            raise FormatError(
                f"{self.path.name}: column {name!r} must hold numbers or text, got dtype {values.dtype}; convert it"
            )
        return values


def open_columns(path: Path) -> ColumnFile:
    """Open a file by its suffix: ``.csv``, ``.parquet`` or ``.npz``.

    Raises
    ------
    FormatError
        The suffix is another one, or the content is not what the suffix says.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise FormatError(f"{path.name}: expected a .csv, .parquet or .npz file, got suffix {path.suffix!r}")
    return opener(path)


def matching_rows(file: ColumnFile, where: Where, *, n_rows: int, place: str) -> NDArray[np.bool_]:
    """Which rows of the file fulfil every condition, (n_rows,).

    Raises
    ------
    SpecError
        No row does; the message lists what the columns hold.
    """
    if not where:
        return np.ones(n_rows, dtype=bool)
    mask = np.ones(n_rows, dtype=bool)
    for name, wanted in where.items():
        values = rows_of(file, name, n_rows=n_rows, wanted_by=place)
        if values.ndim != 1:
            raise FormatError(
                f"{file.path.name}: {place}: column {name!r} has shape {values.shape}, expected one value"
            )
        mask &= np.any([_equal(values, w) for w in wanted], axis=0)
    if not mask.any():
        held = {name: _sample_of(file.column(name, wanted_by=place)) for name in where}
        raise SpecError(
            f"{file.path.name}: {place}: no row has {conditions(where)}"
            + "".join(f"; {name!r} holds {values}" for name, values in held.items())
        )
    return mask


def rows_of(file: ColumnFile, name: str, *, n_rows: int, wanted_by: str) -> NDArray[Any]:
    """One column, whose length must be the number of architectures."""
    values = file.column(name, wanted_by=wanted_by)
    if values.ndim == 0 or len(values) != n_rows:
        raise FormatError(
            f"{file.path.name}: {wanted_by}: column {name!r} has {len(values) if values.ndim else 0} rows, "
            f"but there are {n_rows} architectures"
        )
    return values


def _equal(values: NDArray[Any], wanted: Scalar) -> NDArray[np.bool_]:
    """Which values are the wanted one; text compares as text, and with a number also as a number."""
    if values.dtype.kind == "O":
        as_text = [str(v).strip().lower() for v in values.tolist()]
        equal = np.array([t == str(wanted).lower() for t in as_text])
        if isinstance(wanted, int | float) and not isinstance(wanted, bool):
            equal |= np.array([number_in(t) == wanted for t in as_text])
        return equal
    if isinstance(wanted, str) or isinstance(wanted, bool) != (values.dtype.kind == "b"):
        return np.zeros(len(values), dtype=bool)
    return np.asarray(values == wanted, dtype=bool)


def conditions(where: Where) -> str:
    """A row filter in words."""
    return " and ".join(f"{name} = {' or '.join(map(repr, wanted))}" for name, wanted in where.items())


def _sample_of(values: NDArray[Any]) -> str:
    distinct = list(dict.fromkeys(values.ravel().tolist()))
    return ", ".join(map(repr, distinct[:6])) + (", ..." if len(distinct) > 6 else "")


def number_in(text: str) -> float | None:
    """The number that a text is; Python's '1_000' is not one."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _open_npz(path: Path) -> ColumnFile:
    try:
        names = array_names(path)
    except FormatError as error:
        raise FormatError(f"{path.name}: {error}; write it with numpy.savez") from error

    def load(name: str) -> NDArray[Any]:
        try:
            return load_arrays(path, [name])[name]
        except FormatError as error:
            raise FormatError(
                f"{path.name}: array {name!r} cannot be read without unpickling ({error}); store numbers or "
                "fixed-width text, not Python objects"
            ) from error

    return ColumnFile(path=path, names=names, load=load)


def _open_parquet(path: Path) -> ColumnFile:
    try:
        with open_parquet(path) as file:
            names = tuple(file.schema_arrow.names)
    except FormatError as error:
        raise FormatError(f"{path.name}: {error}") from error

    def load(name: str) -> NDArray[Any]:
        try:
            return _arrow_values(read_columns(path, [name]).column(name))
        except (FormatError, ValueError, TypeError, NotImplementedError, OverflowError) as error:
            raise FormatError(f"{path.name}: column {name!r} cannot be read: {error}") from error

    return ColumnFile(path=path, names=names, load=load)


def _arrow_values(column: pa.ChunkedArray) -> NDArray[Any]:
    """NumPy values of an Arrow column; a list column whose rows are equally long becomes a matrix."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        rows = column.to_pylist()
        if len({-1 if row is None else len(row) for row in rows}) == 1 and rows[0] is not None:
            return np.array(rows)
    values: NDArray[Any] = column.to_numpy()
    return values


def _open_csv(path: Path) -> ColumnFile:
    """Everything is read as text, so that '00012' stays an architecture; numbers are made where they are asked for.

    pandas would fill up a row that is too short; such a row is refused here.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = [line for line in csv.reader(stream, strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path.name}: not a CSV file in UTF-8 ({error})") from error
    if not lines:
        raise FormatError(f"{path.name}: expected a CSV file with a header line, got an empty file")
    names = tuple(name.strip() for name in lines[0])
    _refuse_repeated(names, path=path)
    for row, line in enumerate(lines[1:]):
        if len(line) != len(names):
            raise FormatError(f"{path.name}: row {row}: expected {len(names)} fields as in the header, got {len(line)}")
    columns = zip(*lines[1:], strict=True) if len(lines) > 1 else ((),) * len(names)
    texts: Final = {name: np.array(column, dtype=object) for name, column in zip(names, columns, strict=True)}
    return ColumnFile(path=path, names=names, load=texts.__getitem__)


def _refuse_repeated(names: tuple[str, ...], *, path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(f"{path.name}: columns appear twice: {', '.join(twice)}; give each its own name")


_OPENERS: Final[dict[str, Callable[[Path], ColumnFile]]] = {
    ".csv": _open_csv,
    ".parquet": _open_parquet,
    ".npz": _open_npz,
}
