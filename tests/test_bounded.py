"""Hostile and broken bytes: each guard of the bounded readers, and of the trees that XGBoost would trust."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo import bounded
from nasbench_mo.errors import ArtifactError, FormatError, SpecError
from nasbench_mo.predictor.booster_file import check_booster, load_booster, parse_ubjson
from nasbench_mo.predictor.models import StoredXGBoost
from nasbench_mo.predictor.xgb import XGBoostPredictor
from nasbench_mo.sources.columns import read as read_columns
from nasbench_mo.specification import folder_name_of, read_specification

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


# ---------------------------------------------------------------------- files


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert bounded.read_bytes(path, at_most=5) == b"12345"
    with pytest.raises(FormatError, match="at most 4 bytes, got 5"):
        bounded.read_bytes(path, at_most=4)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="a device or a pipe"):
        bounded.read_bytes(tmp_path / "pipe", at_most=10)
    with pytest.raises(FormatError, match="a device or a pipe"):
        bounded.read_bytes(Path("/dev/zero"), at_most=10)


# ---------------------------------------------------------------------- JSON


@given(value=plain)
@settings(deadline=None)
def test_json_comes_back(value: Any) -> None:
    assert bounded.parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "the number NaN"),
        ("[-Infinity]", "the number -Infinity"),
        ("1e999", "the number 1e999"),
        ("9" * 400, "a number of 400 digits"),
        ("9" * 5000, "digits"),
        ("[" * 100_000, "recursion"),
        ('{"a":' * 100_000, "recursion"),
        (r'"\ud800"', "surrogates not allowed"),
        (b"\xff\xfe\x00", "expected a JSON document"),
        ("", "expected a JSON document"),
    ],
)
def test_hostile_json_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        bounded.parse_json(text)


def test_nan_passes_only_where_it_is_asked_for() -> None:
    assert np.isnan(bounded.parse_json("NaN", finite=False))
    assert bounded.parse_json(r'"\ud83d\ude00"') == "\U0001f600"  # both halves make a character


# ---------------------------------------------------------------------- YAML


@given(value=plain)
@settings(deadline=None)
def test_yaml_comes_back(value: Any) -> None:
    assert bounded.parse_yaml(yaml.safe_dump(value)) == value


def bomb(levels: int) -> str:
    """Ten aliases of ten aliases of ...: 10^levels values in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(9), "at most 200,000 values"),
        ("a: &a 'long " + "x" * 100_000 + "'\nb: [" + "*a," * 1000 + "]", "at most 200,000 values"),
        ("a: &a [*a]", "refers to itself"),
        ("a: &a {b: *a}", "refers to itself"),
        ("[" * 5000, "nested more than 50 deep"),
        ("{a: " * 5000, "nested more than 50 deep"),
        ("a: 1\nb: 2\na: 3", "'a' is given twice"),
        ("? [a]\n: b", "unhashable"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 2001-99-99", "month must be in"),
        ("!!int ''", "not readable as YAML"),
        ("!!bool x", "not readable as YAML"),
        ("!!timestamp x", "not readable as YAML"),
        ("a: 0x" + "f" * 5000, "a number of 20000 bits"),
        ("a: " + "9" * 5000, "not readable as YAML"),
        (r'"\uD800"', "surrogates not allowed"),
        ("a" * (bounded.MAX_YAML_BYTES + 1), "at most 262,144 characters"),
    ],
    ids=lambda text: text[:30],
)
def test_hostile_yaml_is_refused_soon(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(SpecError):
        read_specification(tmp_path / "spec.yaml", allowed=("a", "b"), required=())
    assert time.process_time() - began < 1.0
    with pytest.raises(FormatError, match=message):
        bounded.parse_yaml(text)


def test_an_alias_bomb_does_not_unfold() -> None:
    tracemalloc.start()
    with pytest.raises(FormatError, match="at most 200,000 values"):
        bounded.parse_yaml(bomb(9))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 << 20


def test_aliases_are_counted_as_what_they_unfold_to() -> None:
    assert bounded.parse_yaml("a: &a [1, 2]\nb: [*a, *a]") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    with pytest.raises(FormatError, match="anchor or alias"):
        bounded.parse_yaml("a: &a [1, 2]", aliases=False)
    bounded.parse_yaml(bomb(4))
    assert bounded.parse_yaml("a: [[1]]", max_depth=3) == {"a": [[1]]}
    with pytest.raises(FormatError, match="more than 2 deep"):
        bounded.parse_yaml("a: [[1]]", max_depth=2)


def test_many_keys_are_compared_in_linear_time() -> None:
    """Counted, not timed: keys that say how often they are compared."""
    compared = 0

    class Key(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    loader = bounded._yaml_loader(50, True)
    loader.add_constructor("!key", lambda made, node: Key(node.value))
    n = 500
    text = "\n".join(f"!key k{i}: 1" for i in range(n))
    assert len(yaml.load(text, loader)) == n
    assert compared < 4 * n  # each with each would be 125,000


@pytest.mark.parametrize(
    "name", ["", "..", "../x-v1", "/etc/x-v1", "a/b", ".hidden", "a\x00b", "a\nb", "x" * 200, None]
)
def test_an_id_cannot_lead_out_of_its_folder(name: object) -> None:
    with pytest.raises(SpecError, match="id must be"):
        folder_name_of(name, place="spec.yaml: id")
    assert folder_name_of("nb201-x-v1", place="id") == "nb201-x-v1"


# ---------------------------------------------------------------------- NPZ


def npz(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return out.getvalue()


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def described(shape: str, *, descr: str = "'<f8'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def saved(values: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(described("(1000000000000,)")), "its header announces 8,000,000,000,000"),
        (npy(described("(1000000000,)"), bytes(64)), "at most|announces 8,000,000,000"),
        (npy(described("(4,)"), bytes(8)), "announces 32 bytes, the file holds 8"),
        (npy(described("(1,)"), bytes(80)), "announces 8 bytes, the file holds 80"),
        (npy(described("(-1,)")), "shape"),
        (npy(described("(1,)", descr="'|O'"), bytes(8)), "Python objects, which can hide anything"),
        (npy(described("(1,)", descr="[('a', '<f8')]"), bytes(8)), "expected numbers or text"),
        (npy(described("(1,)", descr="'<U2000000000'"), bytes(8)), "announces 8,000,000,000|dtype|at most"),
        (npy(described("(1,1,1,1,1,1,1,1,1)"), bytes(8)), "at most .* bytes"),
        (npy("{'descr': __import__('os').system('true')}"), "not a readable NPZ file"),
        (npy("(" * 60), "not a readable NPZ file"),
        (npy("{'shape': (1,) L"), "not a readable NPZ file"),
        (saved(np.array([{"a": 1}], dtype=object)), "Python objects"),
        (saved(np.array(["2001-01-01"], dtype="M8[s]")), "expected numbers or text"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "version"),
        (b"", "not a readable NPZ file"),
        (b"\x80\x04.", "not a readable NPZ file"),
    ],
)
def test_lying_arrays_are_refused_before_memory_is_asked_for(content: bytes, message: str) -> None:
    tracemalloc.start()
    with pytest.raises(FormatError, match=message):
        bounded.load_arrays(npz(x=content), ["x"])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 << 20


def test_a_zip_bomb_is_refused_by_what_it_would_unpack_to() -> None:
    data = npz(x=npy(described(f"({64 << 20},)", descr="'|u1'"), bytes(64 << 20)))
    assert len(data) < 1 << 20
    with pytest.raises(FormatError, match="at most 1,048,576 bytes"):
        bounded.load_arrays(data, ["x"], at_most=1 << 20)
    half = npz(x=saved(np.zeros(100)), y=saved(np.zeros(100)))
    with pytest.raises(FormatError, match=r"'y'.*at most 200 bytes"):
        bounded.load_arrays(half, ["x", "y"], at_most=1000)


def test_arrays_come_back_and_others_are_left_alone(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(6).reshape(2, 3), s=np.array(["a", "bc"]), o=np.array([None]))
    found = bounded.load_arrays(tmp_path / "a.npz", ["x", "s"])
    assert found["x"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["s"].tolist() == ["a", "bc"]
    assert bounded.array_names(tmp_path / "a.npz") == ("x", "s", "o")
    with pytest.raises(FormatError, match="expected one array 'z', got 0"):
        bounded.load_arrays(tmp_path / "a.npz", ["z"])
    with pytest.raises(FormatError, match="expected numbers or text"):
        bounded.load_arrays(tmp_path / "a.npz", ["s"], kinds="iuf")
    with pytest.raises(FileNotFoundError):
        bounded.load_arrays(tmp_path / "b.npz", ["x"])


# ---------------------------------------------------------------------- Parquet


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_columns_come_back_as_they_are(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", None, "z"], "b": [1.5, 2.5, None], "c": [[1], [2], [3]]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    assert bounded.read_columns(tmp_path / "t.parquet").equals(table)
    assert bounded.read_columns(tmp_path / "t.parquet", ["b", "a"]).equals(table.select(["b", "a"]))
    with pytest.raises(FormatError, match="expected a column 'z', got a, b, c"):
        bounded.read_columns(tmp_path / "t.parquet", ["z"])
    with pytest.raises(FileNotFoundError):
        bounded.read_columns(tmp_path / "none.parquet")


def test_one_long_string_for_many_rows_is_refused_before_it_is_repeated(tmp_path: Path) -> None:
    text = pa.array(["x" * (1 << 20)]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), text.dictionary)
    path = write(tmp_path / "t.parquet", {"a": column}, store_schema=False)
    assert path.stat().st_size < 4 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(FormatError, match="unpacks to more than"):
        bounded.read_columns(path)
    assert pa.total_allocated_bytes() - before < 50 << 20


def test_ten_million_rows_are_refused_by_the_footer(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"a": pa.array(np.zeros(10_000_000))})
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FormatError, match=r"10,000,000 rows of 1 columns are more than"):
        bounded.read_columns(path, at_most=1 << 20)


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-20], lambda d: d[:200] + bytes(100) + d[300:], lambda d: b"", bytes.lower]
)
def test_damaged_parquet_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path / "t.parquet", {"a": np.arange(1000.0)}, write_page_checksum=True)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FormatError):
        bounded.read_columns(path)


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(FormatError, match="columns appear twice: a"):
        bounded.open_parquet(tmp_path / "t.parquet")


# ---------------------------------------------------------------------- the same through a reader


def test_a_users_arrays_are_guarded(tmp_path: Path) -> None:
    spec = {
        "id": "macro-test-v1",
        "space": "nbmacro",
        "source": {"source": "a test", "licence": "CC0"},
        "architecture": {"column": "arch"},
        "objectives": [{"column": "lat_ms", "unit": "ms", "direction": "min", "kind": "measured"}],
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    arrays = npz(arch=saved(np.array(["00012012"])), lat_ms=npy(described("(1000000000000,)")))
    (tmp_path / "d.npz").write_bytes(arrays)
    with pytest.raises(FormatError, match=r"d\.npz: array 'lat_ms' .*announces 8,000,000,000,000"):
        read_columns(tmp_path / "d.npz", tmp_path / "spec.yaml")


def test_arrays_that_are_saved_are_read_again_and_nothing_else_is_in_the_file(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.frombuffer(b"{}", dtype=np.uint8)}
    bounded.save_arrays(tmp_path / "x.bin", arrays)
    with np.load(tmp_path / "x.bin") as held:
        assert sorted(held.files) == ["a", "b"]
    read = bounded.load_arrays(tmp_path / "x.bin", ["a", "b"])
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)


def test_python_objects_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'b' holds Python objects"):
        bounded.save_arrays(tmp_path / "x.npz", {"a": np.zeros(2), "b": np.array([{}], dtype=object)})
    assert not (tmp_path / "x.npz").exists()


# ---------------------------------------------------------------------- trees


@pytest.fixture(scope="module")
def trees() -> bytes:
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    model = XGBoostPredictor(parameters={"n_rounds": 3, "max_depth": 3}, seed=0).fit(X, np.exp(X[:, 0] + X[:, 1]))
    return bytes(model._booster.save_raw("ubj"))


def test_trees_are_read_as_xgboost_writes_them(trees: bytes) -> None:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(trees))
    ours, theirs = parse_ubjson(trees)["learner"], json.loads(bytes(booster.save_raw("json")))["learner"]
    assert ours["learner_model_param"] == theirs["learner_model_param"]
    ours, theirs = (side["gradient_booster"]["model"]["trees"] for side in (ours, theirs))
    assert len(ours) == len(theirs) == 3
    for mine, other in zip(ours, theirs, strict=True):
        for name, values in other.items():
            if isinstance(values, list):
                np.testing.assert_allclose(mine[name], values, rtol=1e-6)


def tree_of(fields: Any) -> Any:
    return fields["learner"]["gradient_booster"]["model"]["trees"][1]


def edit(name: str, index: int, value: int) -> Callable[[Any], None]:
    def change(fields: Any) -> None:
        values = np.array(tree_of(fields)[name])
        values[index] = value
        tree_of(fields)[name] = values

    return change


def shorten(name: str) -> Callable[[Any], None]:
    return lambda fields: tree_of(fields).update({name: tree_of(fields)[name][:-1]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit("left_children", 0, 1_000_000), "child is outside"),
        (edit("left_children", 1, 0), "child is outside|two parents"),
        (edit("right_children", 0, 1), "two parents"),
        (edit("right_children", 0, -1), "outside|one child|two parents"),
        (edit("parents", 1, 2), "parents and children contradict"),
        (edit("split_indices", 0, 4), "a feature is outside the 4"),
        (edit("split_indices", 0, -1), "a feature is outside the 4"),
        (edit("split_type", 0, 1), "categories"),
        (shorten("left_children"), "values of left_children"),
        (shorten("split_conditions"), "values of split_conditions"),
        (shorten("default_left"), "values of default_left"),
        (lambda f: tree_of(f).pop("parents"), "not a model of XGBoost: KeyError"),
        (lambda f: tree_of(f)["tree_param"].update(num_nodes="999999"), "expected 999999 values"),
        (lambda f: tree_of(f)["tree_param"].update(size_leaf_vector="7"), "other parameters"),
        (lambda f: f["learner"]["learner_model_param"].update(num_class="3"), "one target"),
        (lambda f: f["learner"]["gradient_booster"].update(name="gblinear"), "expected boosted trees"),
        (lambda f: f["learner"]["gradient_booster"]["model"].update(tree_info=[0]), "expected 3 trees"),
        (lambda f: f["learner"]["gradient_booster"]["model"].update(tree_info=[0, 5, 0]), "one target"),
        (lambda f: f["learner"]["gradient_booster"]["model"].update(iteration_indptr=[0, 9]), "rounds"),
        (lambda f: f.clear(), "not a model of XGBoost"),
    ],
)
def test_trees_that_contradict_themselves_are_refused(
    trees: bytes, change: Callable[[Any], None], message: str
) -> None:
    fields = parse_ubjson(trees)
    check_booster(fields)
    change(fields)
    with pytest.raises(FormatError, match=message):
        check_booster(fields)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "cut off"),
        (b"[" * 1000, "without a length"),
        (b"[#L" + bytes(7) + b"\x01" + (b"[#L" + bytes(7) + b"\x01") * 100, "nested more than"),
        (b"[#L" + b"\x7f" * 8, "cut off"),
        (b"[$d#L" + b"\x7f" * 8, "cut off"),
        (b"[$d#L" + b"\xff" * 8, "the length -1"),
        (b"{L" + bytes(8) + b"Z" + b"L" + bytes(8) + b"Z}", "the key '' twice"),
        (b"Zmore", "ends at byte 1 of 5"),
        (b"{l", "expected a length"),
        (b"q", "the marker"),
        (b"SL" + bytes(7) + b"\x01\xff", "not UBJSON"),
    ],
)
def test_what_is_no_ubjson_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_ubjson(raw)


def test_a_model_file_that_would_kill_the_process_is_refused_and_the_process_lives(
    trees: bytes, tmp_path: Path
) -> None:
    """A child far outside its tree: without the check, XGBoost reads memory that is not its own."""
    at = trees.index(b"left_children") + len(b"left_children[$l#L") + 8
    hostile = trees[:at] + struct.pack(">i", 0x7FFFFFF) + trees[at + 4 :]
    (tmp_path / "model.ubj").write_bytes(hostile)
    with pytest.raises(ArtifactError, match=r"model\.ubj is damaged: tree 0: .*; reinstall"):
        StoredXGBoost.load(tmp_path, spread=0.1)
    script = (
        "import sys, numpy, xgboost; b = xgboost.Booster(); b.load_model(bytearray(open(sys.argv[1], 'rb').read()));"
        "b.inplace_predict(numpy.full((4096, 4), -9, dtype=numpy.float32))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "model.ubj"], capture_output=True, check=False)
    assert done.returncode < 0  # a signal: what the check is for
    load_booster(trees)
