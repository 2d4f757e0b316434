"""Load someone's pickle without running any of it: numbers, strings, containers and plain NumPy arrays only.

A pickle is a program: it names functions and calls them. :class:`DataUnpickler` answers a short list of exact names
with inert stand-ins of its own and refuses every other name. Not even NumPy's own reconstruction functions are handed
out, because a crafted dtype can make them take bytes for object pointers.

Whatever the stream holds, the result consists of None, bool, int, float, complex, str, bytes, bytearray, list,
tuple, dict, set, frozenset, numeric or string arrays, and at worst of the inert stand-ins themselves. It is *not* a
defence against a file that only wants to fill the memory: sizes are limited, but a small pickle can still describe
large containers.
"""

from __future__ import annotations

import bz2
import io
import pickle
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, Final, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError

#: Largest pickle that is read, after decompression: 2 GiB. The largest published one here, HW-NAS-Bench's, has
#: about 20 MB.
MAX_BYTES: Final = 1 << 31
_CHUNK_BYTES: Final = 1 << 18

#: What malformed streams make the unpickler raise (documentation of ``pickle.UnpicklingError``: "other exceptions may
#: also be raised during unpickling, including (but not necessarily limited to) AttributeError, EOFError, ImportError,
#: and IndexError").
_STREAM_ERRORS: Final = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RecursionError,
    AssertionError,
    struct.error,
)


#: Kinds without pointers: bool, signed, unsigned, float, complex, bytes, str; and their size.
_PLAIN_CODE: Final = re.compile(r"[biufcSU][0-9]{1,9}")


def loads(data: bytes, *, name: str) -> Any:
    """Return what a pickle describes, without executing anything.

    Parameters
    ----------
    data
        The pickle stream.
    name
        What errors call it, usually the file's path.

    Returns
    -------
    Plain Python containers and numbers, and NumPy arrays. ``OrderedDict`` and ``defaultdict`` come out as ``dict``,
    NumPy scalars as Python numbers.

    Raises
    ------
    FormatError
        The stream asks for anything but data, is truncated, or is not a pickle.

    Notes
    -----
    One pass of the C unpickler: O(len(data)).
    """
    return _load(io.BytesIO(data), name=name)


def load_file(path: Path, *, compressed: bool = False, max_bytes: int = MAX_BYTES) -> Any:
    """Read one pickle file; see :func:`loads`.

    Parameters
    ----------
    path
        The file.
    compressed
        Whether it is compressed with bzip2 (``.pbz2``).
    max_bytes
        A larger content, after decompression, is refused.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FormatError
        It is too large, damaged, or holds anything but data.
    """
    with path.open("rb") as raw:
        try:
            data = _read_at_most(bz2.BZ2File(raw) if compressed else raw, max_bytes + 1)
        except (OSError, EOFError, ValueError) as error:
            kind = "a complete bzip2 file" if compressed else "a readable file"
            raise FormatError(f"{path}: expected {kind}, got: {error}; download it again") from error
    if len(data) > max_bytes:
        raise FormatError(f"{path}: expected at most {max_bytes:,} bytes of pickle, got more; it is not read")
    return loads(data, name=str(path))


def _read_at_most(stream: IO[bytes], n_bytes: int) -> bytes:
    """Up to n_bytes, in steps: one read of n_bytes would reserve them all at once."""
    content = bytearray()
    while len(content) < n_bytes and (chunk := stream.read(min(_CHUNK_BYTES, n_bytes - len(content)))):
        content += chunk
    return bytes(content)


def _load(stream: io.BytesIO, *, name: str) -> Any:
    try:
        return DataUnpickler(stream, name=name).load()
    except FormatError as error:
        if str(error).startswith(name):
            raise
        raise FormatError(f"{name}: {error}; nothing was executed") from error
    except _STREAM_ERRORS as error:
        raise FormatError(
            f"{name}: expected a complete pickle of plain data, got a stream that fails with "
            f"{type(error).__name__}: {error}; nothing was executed; download the file again"
        ) from error


@final
class DataUnpickler(pickle.Unpickler):
    """An unpickler that knows the names in :data:`GLOBALS` and no other.

    Parameters
    ----------
    stream
        Binary stream positioned at the pickle.
    name
        What errors call it.
    """

    def __init__(self, stream: io.BytesIO, *, name: str) -> None:
        super().__init__(stream, fix_imports=True, encoding="latin1")
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for an exact (module, name) pair; refuse anything else."""
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in GLOBALS:
            raise FormatError(
                f"{self._name} asks for '{module}.{name}', which a data file does not need; refused; "
                "nothing was executed"
            )
        return GLOBALS[module, name]

    def persistent_load(self, pid: object) -> Any:
        """Refuse: persistent ids point to data outside the stream."""
        raise FormatError(
            f"{self._name} points to data outside the pickle (persistent id {str(pid)[:60]!r}); refused; "
            "nothing was executed"
        )


# ---------------------------------------------------------------------- stand-ins


@final
class StandIn:
    """An immutable callable: what a stream gets in place of the class or function it names.

    A plain function would not do, because a stream may set attributes of any object it can reach.
    """

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *args: Any) -> Any:
        """Make the data that the stream asks for."""
        return self._make(*args)

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("a pickle may not change its reader")

    def __delattr__(self, name: str) -> None:
        raise TypeError("a pickle may not change its reader")


@final
class PlainDtype:
    """A dtype as a pickle describes it, limited to fixed-size numbers, booleans and strings."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str) -> None:
        self._code = code
        self._order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order from a pickled dtype's state; refuse records, sub-arrays and metadata."""
        if not isinstance(state, tuple) or len(state) != 8 or any(part is not None for part in state[2:5]):
            raise FormatError(
                f"a pickled NumPy dtype, {self._code[:60]!r}, has fields, a sub-array or metadata; refused"
            )
        if state[1] not in ("<", ">", "|", "="):
            raise FormatError(f"a pickled NumPy dtype has the byte order {state[1]!r}; expected one of < > | =")
        self._order = state[1]

    def resolve(self) -> np.dtype[Any]:
        """Return the NumPy dtype."""
        if not _PLAIN_CODE.fullmatch(self._code):
            raise FormatError(
                f"a pickled NumPy array has the dtype {self._code[:60]!r}; expected numbers, booleans or strings, "
                "because an array of Python objects can hide anything; refused"
            )
        return np.dtype(self._code if self._order in "|=" else self._order + self._code)


class PlainArray(np.ndarray[Any, Any]):
    """An array that only accepts a state whose bytes, shape and plain dtype agree."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Fill the array from (version, shape, dtype, is_fortran, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise FormatError("a pickled NumPy array has a state this reader does not know; refused")
        _, shape, dtype, fortran, raw = state
        values = _array(raw, dtype, shape, "F" if fortran else "C")
        content = values.tobytes("F") if fortran else values.tobytes("C")
        checked: Any = (1, values.shape, values.dtype, bool(fortran), content)
        super().__setstate__(checked)


def _array(raw: object, dtype: object, shape: object, order: str) -> NDArray[Any]:
    if isinstance(raw, str):  # bytes of Python 2
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, PlainDtype):
        raise FormatError(
            f"a pickled NumPy array holds {type(raw).__name__} with {type(dtype).__name__}; expected the bytes of "
            "numbers or strings, because an array of Python objects can hide anything; refused"
        )
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise FormatError(f"a pickled NumPy array has the shape {shape!r}; expected non-negative integers")
    resolved = dtype.resolve()
    expected = int(np.prod([1, *shape], dtype=object)) * resolved.itemsize
    if len(raw) != expected:
        raise FormatError(f"a pickled NumPy array of shape {shape} has {len(raw)} bytes; expected {expected}")
    return np.frombuffer(bytes(raw), dtype=resolved).reshape(shape, order="F" if order == "F" else "C")


def _make_dtype(code: object, *_flags: object) -> PlainDtype:
    if not isinstance(code, str):
        raise FormatError(f"a pickled NumPy dtype is described by {type(code).__name__}; expected a string; refused")
    return PlainDtype(code)


def _reconstruct(*_args: object) -> PlainArray:
    """An empty array; its content comes with the state."""
    return PlainArray((0,))


def _scalar(dtype: object, raw: object = b"") -> Any:
    return _array(raw, dtype, (), "C").item()


def _frombuffer(raw: object, dtype: object, shape: object, order: str = "C", *_axes: object) -> NDArray[Any]:
    return _array(raw, dtype, shape, order).copy()


def _encode(text: object, codec: object = "utf-8") -> bytes:
    """What protocol 2 uses to write bytes: latin-1 text. Other codecs are refused."""
    if not isinstance(text, str) or str(codec).lower().replace("-", "") not in ("latin1", "utf8", "ascii"):
        raise FormatError(f"a pickle asks for the codec {codec!r}; expected latin1; refused")
    return text.encode(str(codec))


def _make_dict(*args: object) -> dict[Any, Any]:
    """OrderedDict, from nothing or from pairs."""
    pairs: Any = args[0] if args else ()
    return dict(pairs)


def _make_bytes(*args: object) -> bytes:
    """``bytes()`` or ``bytearray(text, codec)`` or ``bytearray(bytes)``; never a length, which could fill memory."""
    if not args:
        return b""
    if len(args) == 1 and isinstance(args[0], bytes | bytearray):
        return bytes(args[0])
    return _encode(*args)


def _no_call(*_args: object) -> Any:
    raise FormatError("a pickle calls a type that it may only mention; refused; nothing was executed")


_TYPE_ONLY: Final = StandIn(_no_call)
_MAKERS: Final[dict[str, StandIn]] = {
    "array": StandIn(_reconstruct),
    "scalar": StandIn(_scalar),
    "buffer": StandIn(_frombuffer),
    "dtype": StandIn(_make_dtype),
    "encode": StandIn(_encode),
    "set": StandIn(lambda items=(): set(items)),
    "frozenset": StandIn(lambda items=(): frozenset(items)),
    "complex": StandIn(lambda real=0.0, imag=0.0: complex(float(real), float(imag))),
    "bytes": StandIn(_make_bytes),
    "bytearray": StandIn(lambda *args: bytearray(_make_bytes(*args))),
    "ordered": StandIn(_make_dict),
    # The factory is dropped: a dictionary read from a file needs no default.
    "defaultdict": StandIn(lambda _factory=None, *args: _make_dict(*args)),
}


def _numpy(spellings: Iterable[str], name: str, maker: StandIn) -> dict[tuple[str, str], StandIn]:
    return {(module, name): maker for module in spellings}


#: The exact names a data file may ask for, and what it gets. NumPy 1 wrote ``numpy.core``, NumPy 2 ``numpy._core``;
#: protocols 0 to 2 wrote ``__builtin__``.
GLOBALS: Final[dict[tuple[str, str], StandIn]] = {
    **_numpy(("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct", _MAKERS["array"]),
    **_numpy(("numpy.core.multiarray", "numpy._core.multiarray"), "scalar", _MAKERS["scalar"]),
    **_numpy(("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer", _MAKERS["buffer"]),
    ("numpy", "ndarray"): _TYPE_ONLY,
    ("numpy", "dtype"): _MAKERS["dtype"],
    ("_codecs", "encode"): _MAKERS["encode"],
    ("collections", "OrderedDict"): _MAKERS["ordered"],
    ("collections", "defaultdict"): _MAKERS["defaultdict"],
    **{
        (module, name): _MAKERS[name]
        for module in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "complex", "bytes", "bytearray")
    },
    # Only as the factory of a defaultdict.
    **{
        (module, name): _TYPE_ONLY
        for module in ("builtins", "__builtin__")
        for name in ("list", "dict", "int", "float", "str")
    },
}

#: The same stand-ins for ``torch.serialization.safe_globals``: (object, dotted name) pairs. The unpickler of torch
#: only fills objects of listed types, so the type of a pickled dtype is listed too, under a name of our own.
TORCH_GLOBALS: Final[tuple[tuple[Any, str], ...]] = (
    *((maker, f"{module}.{name}") for (module, name), maker in GLOBALS.items() if module.startswith("numpy")),
    (PlainDtype, f"{PlainDtype.__module__}.{PlainDtype.__qualname__}"),
    (PlainArray, f"{PlainArray.__module__}.{PlainArray.__qualname__}"),
)
