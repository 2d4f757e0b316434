"""The restricted unpickler: data comes through unchanged, everything else is refused by name and nothing runs."""

from __future__ import annotations

import builtins
import bz2
import collections
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sources_helpers import Exploit

from nasbench_mo.errors import FormatError
from nasbench_mo.sources import safe_pickle
from nasbench_mo.sources.safe_pickle import GLOBALS, PlainArray, PlainDtype, StandIn, load_file, loads

PLAIN_TYPES = (type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
INERT_TYPES = (StandIn, PlainDtype, PlainArray, np.ndarray)


class Calls:
    """An object whose pickle asks to call something with something."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def named(module: str, name: str) -> bytes:
    """A pickle that only mentions a name."""
    return f"c{module}\n{name}\n.".encode()


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.binary(max_size=5).map(bytearray)
    | st.frozensets(st.integers(), max_size=3)
    | st.sets(st.text(max_size=3), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(content=plain, protocol=st.integers(0, 5))
def test_plain_data_survives_every_protocol(content: Any, protocol: int) -> None:
    assert loads(pickle.dumps(content, protocol=protocol), name="a file") == content


@settings(deadline=None, max_examples=60)
@given(
    array=hnp.arrays(
        dtype=hnp.boolean_dtypes()
        | hnp.integer_dtypes(endianness="?")
        | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
        | hnp.complex_number_dtypes(sizes=(64, 128))
        | hnp.unicode_string_dtypes(max_len=4)
        | hnp.byte_string_dtypes(max_len=4),
        shape=hnp.array_shapes(max_dims=3, max_side=3, min_side=0),
    ),
    protocol=st.integers(0, 5),
    fortran=st.booleans(),
)
def test_numpy_arrays_survive_every_protocol(array: np.ndarray, protocol: int, fortran: bool) -> None:
    if fortran:
        array = np.asfortranarray(array)
    stream = pickle.dumps({"values": array}, protocol=protocol)
    got = loads(stream, name="a file")["values"]
    assert got.dtype == pickle.loads(stream)["values"].dtype  # NumPy's own loader turns some into native byte order
    assert got.shape == array.shape
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("scalar", [np.float64(0.1), np.float32(0.1), np.int64(-7), np.bool_(True), np.str_("op")])
def test_numpy_scalars_become_python_values(scalar: Any, protocol: int) -> None:
    got = loads(pickle.dumps([scalar], protocol=protocol), name="a file")[0]
    assert got == scalar
    assert type(got) in PLAIN_TYPES


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_both_spellings_of_numpy_are_known(module: str) -> None:
    stream = pickle.dumps([np.arange(3.0), np.float64(2.5)], protocol=2)
    current = np.zeros(1).__reduce__()[0].__module__
    array, scalar = loads(stream.replace(current.encode(), module.encode()), name="a file")
    assert array.tolist() == [0.0, 1.0, 2.0]
    assert scalar == 2.5


@pytest.mark.parametrize("protocol", range(6))
def test_ordered_and_default_dictionaries_become_plain_ones(protocol: int) -> None:
    default = collections.defaultdict(list, {"a": [1]})
    got = loads(pickle.dumps([collections.OrderedDict(b=1, a=2), default], protocol=protocol), name="a file")
    assert got == [{"b": 1, "a": 2}, {"a": [1]}]
    assert [type(d) for d in got] == [dict, dict]
    assert list(got[0]) == ["b", "a"]


@pytest.mark.parametrize("protocol", range(6))
def test_an_exploit_is_refused_by_name_and_leaves_no_trace(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "marker"
    stream = pickle.dumps({"values": [1.0], "extra": Exploit(marker)}, protocol=protocol)
    with pytest.raises(FormatError, match=r"evil\.pickle asks for '\w+\.system', which a data file does not need"):
        loads(stream, name="evil.pickle")
    assert not marker.exists()
    pickle.loads(stream)  # the exploit is real: Python's own loader runs it
    assert marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("builtins", "open"),
        ("builtins", "__import__"),
        ("__builtin__", "eval"),
        ("builtins", "type"),
        ("builtins", "object"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("copyreg", "_reconstructor"),
        ("collections", "namedtuple"),
        ("collections", "OrderedDict.fromkeys"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy", "dtype.type"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy.testing._private.utils", "runstring"),
        ("torch", "load"),
        ("nasbench_mo.sources.safe_pickle", "load_file"),
    ],
)
def test_other_names_are_refused(module: str, name: str) -> None:
    with pytest.raises(FormatError) as refused:
        loads(named(module, name), name="a file")
    assert f"asks for '{module}.{name}'" in str(refused.value)
    assert "nothing was executed" in str(refused.value)
    with pytest.raises(FormatError):  # protocol 4 names its globals on the stack
        loads(
            b"\x80\x04" + b"".join(b"\x8c" + bytes([len(w)]) + w.encode() for w in (module, name)) + b"\x93.", name="f"
        )


@pytest.mark.parametrize(
    "stream",
    [
        pickle.dumps(Calls(builtins.list, "abc")),  # types that may only be mentioned
        pickle.dumps(Calls(builtins.bytearray, 1 << 60)),  # a length instead of content
        pickle.dumps(Calls(builtins.bytes, 1 << 60)),
        pickle.dumps(Calls(np.ndarray, (1 << 40,))),
        pickle.dumps(Calls(np.dtype, [("a", "O")])),
        pickle.dumps(Calls(collections.defaultdict, Exploit(Path("never")))),
        b"c_codecs\nencode\n(Vtext\nVrot13\ntR.",
        b"cnumpy\nndarray\n}S'values'\nI1\nsb.",  # BUILD on a stand-in: sets attributes
        b"ccollections\nOrderedDict\n(N}S'_make'\nI1\nstb.",  # the same with a slot state
        b"ccollections\nOrderedDict\n)R}S'items'\nI1\nsb.",  # BUILD on the dictionary it makes
        b"ccollections\nOrderedDict\n)\x81.",  # NEWOBJ wants a class
        b"\x82\x01.",  # extension registry
        b"\x97.",  # out-of-band buffer
    ],
)
def test_tricks_with_allowed_names_are_refused(stream: bytes) -> None:
    with pytest.raises(FormatError, match="nothing was executed"):
        loads(stream, name="a file")


def test_stand_ins_are_not_changed_by_a_stream() -> None:
    before = {key: maker._make for key, maker in GLOBALS.items()}
    for module, name in GLOBALS:
        for state in (b"}S'_make'\nNs", b"N}S'_make'\nNs\x86"):
            with pytest.raises(FormatError):
                loads(f"c{module}\n{name}\n".encode() + state + b"b.", name="a file")
    assert {key: maker._make for key, maker in GLOBALS.items()} == before
    with pytest.raises(TypeError, match="may not change"):
        GLOBALS["numpy", "dtype"]._make = print


@pytest.mark.parametrize("protocol", range(6))
def test_object_arrays_are_refused(protocol: int) -> None:
    for array in (np.array([1, "a", None], dtype=object), np.zeros(2, dtype=[("a", "O")]), np.zeros(2, dtype="M8[s]")):
        with pytest.raises(FormatError, match=r"expected (numbers|the bytes)|has fields"):
            loads(pickle.dumps(array, protocol=protocol), name="a file")


def pointers(dtype_code: bytes, dtype_state: tuple[Any, ...]) -> bytes:
    """A crafted array: eight bytes that claim to be of some dtype."""
    out = io.BytesIO()
    out.write(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")
    out.write(b"(K\x01K\x01\x85cnumpy\ndtype\nX" + struct.pack("<I", len(dtype_code)) + dtype_code + b"K\x00K\x01\x87R")
    out.write(pickle.dumps(dtype_state, protocol=2)[2:-1] + b"b\x89c_codecs\nencode\nX\x08\x00\x00\x00AAAAAAAA")
    out.write(b"X\x06\x00\x00\x00latin1\x86Rtb.")
    return out.getvalue()


def test_the_crafted_array_is_well_formed() -> None:
    good = loads(pointers(b"i8", (3, "<", None, None, None, -1, -1, 0)), name="a file")
    assert good.tolist() == [int.from_bytes(b"A" * 8, "little")]


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (b"O8", (3, "|", None, None, None, -1, -1, 63)),
        (b"O8", (3, "|", None, None, None, -1, -1, 0)),  # object pointers with the flags of numbers
        (b"O", (3, "|", None, None, None, -1, -1, 0)),
        (b"V8", (3, "|", None, ("a",), {"a": 1}, 8, 1, 16)),
        (b"i8", (3, "<", ("O", (1,)), None, None, 8, 1, 0)),
        (b"i8", (4, "<", None, None, None, -1, -1, 0, {"metadata": 1})),
        (b"i8", (3, "O", None, None, None, -1, -1, 0)),
        (b"i8,O", (3, "|", None, None, None, -1, -1, 0)),
        (b"i4", (3, "<", None, None, None, -1, -1, 0)),  # eight bytes are not one i4
        (b"M8[s]", (3, "<", None, None, None, -1, -1, 0)),
    ],
)
def test_bytes_never_become_object_pointers(code: bytes, state: tuple[Any, ...]) -> None:
    with pytest.raises(FormatError, match="nothing was executed") as refused:
        loads(pointers(code, state), name="a file")
    assert "a pickled NumPy" in str(refused.value)  # this reader's own check, before NumPy sees anything


def test_persistent_ids_are_refused() -> None:
    for stream in (b"Pstorage\n.", b"\x80\x02U\x07storageQ."):
        with pytest.raises(FormatError, match="persistent id 'storage'"):
            loads(stream, name="a file")


def test_every_truncation_is_refused() -> None:
    stream = pickle.dumps({"a": [1.5, "text", (2, 3)], "b": np.arange(4)}, protocol=4)
    for length in range(len(stream)):
        with pytest.raises(FormatError, match="a file"):
            loads(stream[:length], name="a file")


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"PK\x03\x04 a zip", b'{"json": 1}', b"arch,accuracy\n", b"." * 9])
def test_what_is_no_pickle_is_refused(garbage: bytes) -> None:
    with pytest.raises(FormatError, match=r"expected a complete pickle of plain data"):
        loads(garbage, name="a file")


# 'r' and 'p' (memo indices) and the sizes of long strings are left out: they only let a stream fill the memory.
OPCODES = [bytes([c]) for c in b"(0)N]}l(d(t.sabeuQRibo\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94"]


@settings(deadline=None, max_examples=60)
@given(
    parts=st.lists(
        st.sampled_from(OPCODES)
        | st.sampled_from(sorted(GLOBALS)).map(lambda pair: f"c{pair[0]}\n{pair[1]}\n".encode())
        | st.sampled_from([b"K\x01", b"U\x02i8", b"U\x01b", b"U\x06latin1", b"cos\nsystem\n", b"cbuiltins\neval\n"]),
        max_size=12,
    )
)
def test_random_programs_give_plain_data_or_an_error(parts: list[bytes]) -> None:
    try:
        result = loads(b"".join(parts) + b".", name="a file")
    except FormatError:
        return
    pending = [result]
    while pending:
        item = pending.pop()
        assert isinstance(item, (*PLAIN_TYPES, *INERT_TYPES))
        if isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            pending += list(item)


def test_files_are_read_compressed_or_not(tmp_path: Path) -> None:
    content = {"values": [1.0, 2.0]}
    (tmp_path / "plain.pickle").write_bytes(pickle.dumps(content))
    (tmp_path / "small.pbz2").write_bytes(bz2.compress(pickle.dumps(content)))
    assert load_file(tmp_path / "plain.pickle") == load_file(tmp_path / "small.pbz2", compressed=True) == content
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "absent.pickle")


def test_damaged_and_oversized_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.pbz2"
    whole = bz2.compress(pickle.dumps(list(range(1000))))
    for damaged in (whole[: len(whole) // 2], b"BZh9 not bzip2", pickle.dumps([1])):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"record\.pbz2"):
            load_file(path, compressed=True)
    path.write_bytes(bz2.compress(pickle.dumps(bytes(1 << 20))))  # 50 bytes that unpack to a mebibyte
    with pytest.raises(FormatError, match="at most 1,000 bytes"):
        load_file(path, compressed=True, max_bytes=1000)


def test_the_list_of_names_is_short_and_has_no_code_runner() -> None:
    assert len(GLOBALS) <= 40
    assert {module for module, _ in GLOBALS} <= {
        "builtins",
        "__builtin__",
        "collections",
        "_codecs",
        "numpy",
        "numpy.core.multiarray",
        "numpy._core.multiarray",
        "numpy.core.numeric",
        "numpy._core.numeric",
    }
    assert all(isinstance(made, StandIn) for made in GLOBALS.values())
    assert not {"eval", "exec", "getattr", "open", "type", "object"} & {name for _, name in GLOBALS}
    assert all(isinstance(name, str) for _, name in safe_pickle.TORCH_GLOBALS)
