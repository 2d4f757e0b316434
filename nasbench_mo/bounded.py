"""Reading bytes that may be broken or hostile: size, depth and shape are checked before anything large is built.

What a library makes of hostile bytes is anything from a ``KeyError`` to a request for terabytes. Each function here
ends in plain data or in one :class:`.FormatError`, whose message says what is wrong with the content; whoever calls it
knows the path and what to do. Nothing here executes anything.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import stat
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError

#: Largest YAML: fifty times the longest specification of this package.
MAX_YAML_BYTES: Final = 256 << 10
#: Values of a YAML once its aliases are written out.
MAX_YAML_VALUES: Final = 200_000
MAX_YAML_DEPTH: Final = 50
#: Characters of text that weigh as much as a value.
_LONG_SCALAR: Final = 100
#: Largest JSON that is small by nature: identities, manifests, reference files.
MAX_JSON_BYTES: Final = 16 << 20
#: Unpacked arrays of an NPZ, or columns of a Parquet file, that are read at once.
MAX_ARRAY_BYTES: Final = 4 << 30
#: Dimensions of an array that anything here reads, and then some.
_MAX_DIMENSIONS: Final = 8
#: Bounds on what a Parquet footer may ask to be allocated before it is believed; the widest table here has 5,000
#: columns.
_FOOTER_ITEMS: Final = 1_000_000
_FOOTER_STRING_BYTES: Final = 64 << 20
#: What libraries raise over hostile bytes, beside errors of their own.
_ANY_CAUSE: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    EOFError,
    OSError,
    RuntimeError,  # encrypted zip
    NotImplementedError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,  # of NumPy's parser of old headers
)


def read_bytes(path: Path, *, at_most: int) -> bytes:
    """The content of a file.

    Raises
    ------
    FormatError
        It is larger; nothing was read.
    OSError
        There is no such file, or it may not be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise FormatError("expected a file, got a device or a pipe")
    if found.st_size > at_most:
        raise FormatError(f"expected at most {at_most:,} bytes, got {found.st_size:,}")
    with path.open("rb") as stream:
        content = stream.read(at_most + 1)  # it may grow
    if len(content) > at_most:
        raise FormatError(f"expected at most {at_most:,} bytes, got more")
    return content


def read_text(path: Path, *, at_most: int = MAX_JSON_BYTES) -> str:
    """The content of a UTF-8 text file, its lines ended by a newline alone; see :func:`read_bytes`."""
    try:
        text = read_bytes(path, at_most=at_most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"expected UTF-8 text, got something else ({error})") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


# ---------------------------------------------------------------------- JSON

#: Digits of an integer: with more it is beyond float64, and one with 4,300 cannot even be printed.
_MAX_DIGITS: Final = 300
#: An escape for half a character: text with one cannot be written to a file.
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """Parse a JSON document.

    Parameters
    ----------
    text
        The document.
    finite
        Whether NaN, Infinity and numbers beyond float64 are refused. The standard has none of them.

    Raises
    ------
    FormatError
        It is not JSON in UTF-8, is nested beyond reason, or has text that cannot be written.
    """
    try:
        written = text if isinstance(text, str) else text.decode(json.detect_encoding(text))
        options: dict[str, Any] = {}
        if finite:
            options = {"parse_constant": _no_constant, "parse_float": _finite_float, "parse_int": _finite_int}
        value = json.loads(written, **options)
        if _SURROGATE.search(written):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise FormatError(f"expected a JSON document, got: {_reason(error)}") from error
    return value


def read_json(path: Path, *, at_most: int = MAX_JSON_BYTES, finite: bool = True) -> Any:
    """Parse a JSON file; see :func:`parse_json` and :func:`read_bytes`."""
    return parse_json(read_bytes(path, at_most=at_most), finite=finite)


def _no_constant(name: str) -> float:
    raise ValueError(f"the number {name}")


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]}")
    return value


def _finite_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


# ---------------------------------------------------------------------- YAML


def parse_yaml(text: str, *, max_depth: int = MAX_YAML_DEPTH, aliases: bool = True) -> Any:
    """Parse a YAML document of plain values, whose mappings have no key twice.

    Parameters
    ----------
    text
        The document.
    max_depth
        Deepest nesting.
    aliases
        Whether anchors and aliases are allowed; then a value counts as often as it is referred to.

    Raises
    ------
    FormatError
        It is not YAML, too long, too deep, unfolds to too many values, refers to itself, or gives a key twice.
    """
    import yaml

    if len(text) > MAX_YAML_BYTES:
        raise FormatError(f"expected at most {MAX_YAML_BYTES:,} characters of YAML, got {len(text):,}")
    try:
        value = yaml.load(text, _yaml_loader(max_depth, aliases))
        str(value).encode()  # half a character, or a number with more digits than Python prints
    except FormatError:
        raise
    except (yaml.YAMLError, *_ANY_CAUSE) as error:
        raise FormatError(f"not readable as YAML: {_reason(error)}") from error
    return value


def read_yaml(path: Path, *, max_depth: int = MAX_YAML_DEPTH, aliases: bool = True) -> Any:
    """Parse a YAML file; see :func:`parse_yaml` and :func:`read_bytes`."""
    try:
        text = read_text(path, at_most=MAX_YAML_BYTES)
    except FormatError as error:
        raise FormatError(f"not readable as YAML: {error}") from error
    return parse_yaml(text, max_depth=max_depth, aliases=aliases)


def _yaml_loader(max_depth: int, aliases: bool) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe, and counts what it composes before it constructs any of it."""

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.depth = 0
            self.values = 0
            self.sizes: dict[int, int] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1
            if not aliases and getattr(event, "anchor", None):
                raise FormatError(f"line {line} has an anchor or alias (& or *); write the value out")
            before = self.values
            self.depth += 1
            if self.depth > max_depth + (not isinstance(event, yaml.CollectionStartEvent)):
                raise FormatError(f"nested more than {max_depth} deep at line {line}")
            self.values += 1 + len(getattr(event, "value", "")) // _LONG_SCALAR
            node: Any = super().compose_node(parent, index)
            self.depth -= 1
            if isinstance(event, yaml.AliasEvent):
                if id(node) not in self.sizes:
                    raise FormatError(f"line {line} refers to itself")
                self.values += self.sizes[id(node)]
            else:
                self.sizes[id(node)] = self.values - before
            if self.values > MAX_YAML_VALUES:
                raise FormatError(f"expected at most {MAX_YAML_VALUES:,} values, got more at line {line}")
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                name: Any = self.construct_object(key, deep=True)
                try:
                    if name in seen:
                        raise FormatError(f"the field {name!r} is given twice; keep one")
                    seen.add(name)
                except TypeError:
                    break  # the base class says what an unhashable key is
            return super().construct_mapping(node, deep=deep)

        def construct_integer(self, node: Any) -> Any:
            value = super().construct_yaml_int(node)
            if value.bit_length() > _MAX_DIGITS * 10 // 3:
                raise FormatError(f"line {node.start_mark.line + 1} has a number of {value.bit_length()} bits")
            return value

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_integer)
    return Loader


# ---------------------------------------------------------------------- NPZ


def array_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an NPZ file.

    Raises
    ------
    FormatError
        It is no NPZ file.
    OSError
        There is no such file.
    """
    with path.open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                return tuple(n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy"))
        except _ANY_CAUSE as error:
            raise FormatError(f"not an NPZ file: {_reason(error)}") from error


def load_arrays(
    file: Path | bytes, names: Sequence[str], *, kinds: str = "biufSU", at_most: int = MAX_ARRAY_BYTES
) -> dict[str, NDArray[Any]]:
    """Some arrays of an NPZ file, by name.

    The header of an array is compared with the bytes that are there before memory is asked for: a file of a few bytes
    can announce 10^12 elements. Python objects are never read.

    Parameters
    ----------
    file
        Path, or the content.
    names
        The arrays that must be there; others are left alone.
    kinds
        Kinds of dtype that are allowed, as :attr:`numpy.dtype.kind` calls them.
    at_most
        Bytes of all of them together.

    Raises
    ------
    FormatError
        An array is missing, damaged, too large, or of another kind.
    OSError
        There is no such file.
    """
    with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers that Python 2 wrote
                left = at_most
                made = {}
                for name in names:
                    made[name] = _array(archive, name, kinds=kinds, at_most=left)
                    left -= made[name].nbytes
                return made
        except FormatError:
            raise
        except _ANY_CAUSE as error:
            raise FormatError(f"not a readable NPZ file: {_reason(error)}") from error


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an NPZ file that :func:`load_arrays` reads; arrays of Python objects are refused.

    An older NumPy takes ``allow_pickle=False`` for an array of that name.

    Raises
    ------
    TypeError
        An array holds Python objects.
    """
    for name, values in arrays.items():
        if np.asarray(values).dtype.hasobject:
            raise TypeError(f"array {name!r} holds Python objects")
    with path.open("wb") as file:  # given a path, NumPy would append a suffix of its own
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type, unused-ignore]


def _array(archive: zipfile.ZipFile, name: str, *, kinds: str, at_most: int) -> NDArray[Any]:
    members = [info for info in archive.infolist() if info.filename == f"{name}.npy"]
    if len(members) != 1:
        present = ", ".join(n.removesuffix(".npy")[:40] for n in archive.namelist()[:8])
        raise FormatError(f"expected one array {name!r}, got {len(members)} of that name; there are {present}")
    with archive.open(members[0]) as stream:
        shape, dtype, header_bytes = _array_header(stream)
    if dtype.kind not in kinds or dtype.subdtype is not None:
        what = "Python objects, which can hide anything," if dtype.hasobject else f"dtype {dtype}"
        raise FormatError(f"array {name!r}: expected numbers or text of fixed width, got {what}"[:200])
    size = prod(shape) * dtype.itemsize
    if len(shape) > _MAX_DIMENSIONS or not 0 <= size <= at_most:  # NumPy's item size may overflow
        raise FormatError(f"array {name!r}: expected at most {at_most:,} bytes, its header announces {size:,}"[:200])
    held = members[0].file_size - header_bytes
    if size != held:
        raise FormatError(f"array {name!r}: its header announces {size:,} bytes, the file holds {held:,}")
    with archive.open(members[0]) as stream:
        values: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return values


def _array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and length in bytes of the header of an NPY stream."""
    readers: dict[tuple[int, int], Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise FormatError(f"expected version 1 or 2 of the NPY format, got {version}")
    shape, _, dtype = readers[version](stream)
    if any(n < 0 for n in shape):
        raise FormatError(f"an array has the shape {shape}"[:200])
    return shape, dtype, stream.tell()


# ---------------------------------------------------------------------- Parquet


def open_parquet(path: Path | IO[bytes], *, memory_map: bool = False, as_dictionary: Sequence[str] = ()) -> Any:
    """A ``pyarrow.parquet.ParquetFile`` whose footer was checked; whoever opened it closes it.

    Raises
    ------
    FormatError
        It is no readable Parquet file, or its footer contradicts itself.
    FileNotFoundError
        There is no such file.
    """
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(
            path,
            memory_map=memory_map,
            read_dictionary=list(as_dictionary),
            thrift_string_size_limit=_FOOTER_STRING_BYTES,
            thrift_container_size_limit=_FOOTER_ITEMS,
            page_checksum_verification=True,
        )
        meta = file.metadata
        names = file.schema_arrow.names
        groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    except FileNotFoundError:
        raise
    except _arrow_errors() as error:
        raise FormatError(f"not a Parquet file: {_reason(error)}") from error
    if sum(groups) != meta.num_rows or min(groups, default=0) < 0:
        raise FormatError("the footer of the Parquet file contradicts itself about the number of rows")
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise FormatError(f"columns appear twice: {', '.join(twice)}; give each its own name")
    return file


def read_columns(path: Path, names: Sequence[str] | None = None, *, at_most: int = MAX_ARRAY_BYTES) -> Any:
    """Some columns of a Parquet file, or all, as a ``pyarrow.Table``.

    Text is decoded only when its length is known: a dictionary of one long string can stand for any number of rows.

    Raises
    ------
    FormatError
        The file is damaged, lacks a column, or unpacks to more than so many bytes.
    FileNotFoundError
        There is no such file.
    """
    with open_parquet(path, memory_map=True) as file:
        return _columns(file, path, names=names, at_most=at_most)


def _columns(first: Any, path: Path, *, names: Sequence[str] | None, at_most: int) -> Any:
    import pyarrow as pa

    schema, n_rows = first.schema_arrow, first.metadata.num_rows
    wanted = list(schema.names if names is None else names)
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        raise FormatError(f"expected a column {missing[0]!r}, got {', '.join(schema.names)}"[:500])
    if n_rows * 8 * len(wanted) > at_most:
        raise FormatError(f"{n_rows:,} rows of {len(wanted)} columns are more than {at_most:,} bytes")
    plain = {name: schema.field(name).type for name in wanted}
    lengthy = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    text = [name for name, kind in plain.items() if kind in lengthy]
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_parquet(path, memory_map=True, as_dictionary=text)) if text else first
        try:
            table = file.read(columns=wanted, use_threads=False)
            for name in text:
                _refuse_long_text(table.column(name), name=name, at_most=at_most)
                index = table.column_names.index(name)
                table = table.set_column(index, schema.field(name), table.column(name).cast(plain[name]))
        except FormatError:
            raise
        except _arrow_errors() as error:
            raise FormatError(f"the Parquet file is damaged: {_reason(error)}") from error
    if table.num_rows != n_rows or table.column_names != wanted:
        raise FormatError(f"the Parquet file is damaged: expected {n_rows} rows, got {table.num_rows}")
    return table


def _refuse_long_text(column: Any, *, name: str, at_most: int) -> None:
    import pyarrow.compute as pc

    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary)
        total += pc.sum(lengths.take(chunk.indices)).as_py() or 0
        if total > at_most:
            raise FormatError(f"the text of column {name!r} unpacks to more than {at_most:,} bytes")


def _arrow_errors() -> tuple[type[BaseException], ...]:
    import pyarrow as pa

    return (pa.ArrowException, *_ANY_CAUSE)


def _reason(error: BaseException) -> str:
    """What went wrong, on one line that is not too long."""
    return " ".join(str(error).split())[:300] or type(error).__name__
