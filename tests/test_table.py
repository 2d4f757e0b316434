"""The native table against a dictionary, and every way in which a file or a question can be wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_mo.errors import ArchitectureError, FormatError, MissingValueError, NasbenchMoError, ObjectiveError
from nasbench_mo.objective import Objective
from nasbench_mo.space import CategoricalSpace, SearchSpace, space
from nasbench_mo.table import FILE_NAME, Column, Table, write_table

LATENCY = Objective(name="latency", unit="ms", kind="measured", device="cpu", batch=1, convention="all")
ENERGY = Objective(name="energy", unit="mj", kind="modelled", device="cpu")
PARAMS = Objective(name="params", unit="count", kind="derived")

SMALL = CategoricalSpace("small", {"a": range(3), "b": range(4), "c": range(2)})
#: 72 variables of three values: no integer has a code for every architecture.
HUGE = CategoricalSpace("huge", {f"v{i}": range(3) for i in range(72)})


def write(
    folder: Path,
    X: NDArray[Any],
    columns: Sequence[tuple[Objective, Any]],
    *,
    searched: SearchSpace = SMALL,
    id: str = "t-v1",
) -> Table:
    write_table(
        folder,
        [Column(objective=o, values=np.asarray(v)) for o, v in columns],
        id=id,
        space=searched.name,
        archs=searched.decode(X),
        cardinalities=searched.cardinalities.tolist(),
        encodings=X,
    )
    return Table.open(folder)


def write_operators(folder: Path, names: Sequence[str] = ("base", "conv"), values: Any = (1.5, 2.5)) -> Table:
    column = Column(objective=LATENCY, values=np.asarray(values))
    write_table(folder, [column], id="ops-v1", space="small", archs=names, rows="operator")
    return Table.open(folder)


@pytest.fixture
def dense(tmp_path: Path) -> Table:
    (tmp_path / "dense").mkdir()
    X = SMALL.enumerate()[::-1]
    return write(tmp_path / "dense", X, [(LATENCY, np.arange(24.0)[::-1] / 10), (ENERGY, np.arange(24.0)[::-1] ** 2)])


@pytest.fixture
def sparse(tmp_path: Path) -> Table:
    (tmp_path / "sparse").mkdir()
    X = SMALL.from_codes([20, 3, 11])
    return write(tmp_path / "sparse", X, [(LATENCY, [2.0, 0.3, 1.1]), (ENERGY, [400.0, np.nan, 121.0])])


# ---------------------------------------------------------------------- values equal a dictionary


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_query_equals_a_dictionary(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    searched = data.draw(st.sampled_from([SMALL, HUGE, space("fbnet"), space("nb201"), space("mnasnet")]))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    X = np.unique(searched.sample(data.draw(st.integers(1, 60)), rng=rng), axis=0)
    X = X[rng.permutation(len(X))]
    F = rng.normal(size=(len(X), 2))
    table = write(tmp_path_factory.mktemp("t"), X, [(LATENCY, F[:, 0]), (ENERGY, F[:, 1])], searched=searched)
    oracle = {tuple(row): values for row, values in zip(X.tolist(), F.tolist(), strict=True)}

    asked = X[rng.integers(0, len(X), size=20)]
    expected = np.array([oracle[tuple(row)] for row in asked.tolist()])
    both = [LATENCY, "energy_mj"]
    np.testing.assert_array_equal(table.query(asked, both), expected)
    np.testing.assert_array_equal(table.query(asked.tolist(), both), expected)
    np.testing.assert_array_equal(table.query(searched.decode(asked), both), expected)
    np.testing.assert_array_equal(table.query(asked, [ENERGY]), expected[:, 1:])
    for row, string, values in zip(asked, searched.decode(asked), expected, strict=True):
        for arch in (row, tuple(row), row.tolist(), string):
            np.testing.assert_array_equal(table.query_one(arch, both), values)


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_columns_are_in_the_order_of_the_encodings_and_strings(name: str, request: pytest.FixtureRequest) -> None:
    table: Table = request.getfixturevalue(name)
    codes = SMALL.codes(table.encodings())
    assert table.header.dense == (name == "dense")
    assert codes.tolist() == sorted(codes.tolist())
    assert table.archs == SMALL.decode(table.encodings())
    assert table["latency_ms"].tolist() == (codes / 10).tolist()
    assert table.rows(table.encodings()).tolist() == list(range(len(table)))


def test_a_dense_table_of_a_real_space_holds_every_value(tmp_path: Path) -> None:
    nb201 = space("nb201")
    values = np.random.default_rng(0).normal(size=nb201.size)
    order = np.random.default_rng(1).permutation(nb201.size)
    table = write(tmp_path, nb201.from_codes(order), [(LATENCY, values[order])], searched=nb201)
    assert table.header.dense
    np.testing.assert_array_equal(table[LATENCY], values)
    rows = nb201.from_codes([15_624, 12_345])
    assert rows.dtype == np.int8
    assert [table.row(row) for row in rows] == [15_624, 12_345]


def test_a_table_of_a_space_beyond_63_bits_tells_near_architectures_apart(tmp_path: Path) -> None:
    X = np.vstack([HUGE.neighbors([0] * 72), [[0] * 72], [[2] * 72]])
    table = write(tmp_path, X, [(LATENCY, np.arange(len(X), dtype=float))], searched=HUGE)
    np.testing.assert_array_equal(table.query(X, [LATENCY])[:, 0], np.arange(len(X)))
    with pytest.raises(MissingValueError, match="no row for encoding"):
        table.query([[1] * 72], [LATENCY])


# ---------------------------------------------------------------------- identity


def test_the_unit_is_in_the_field_metadata_and_in_the_column_name(dense: Table) -> None:
    schema = pq.read_schema(dense.path)
    for objective in (LATENCY, ENERGY):
        field = schema.field(objective.column)
        assert field.name.endswith(f"_{objective.unit}")
        assert field.metadata[b"unit"].decode() == objective.unit
        assert Objective.from_dict(json.loads(field.metadata[b"objective"])) == objective
    assert dense.objectives == {"latency_ms": LATENCY, "energy_mj": ENERGY}
    assert dense.columns == ("latency_ms", "energy_mj")


def test_a_table_says_what_it_is(dense: Table, tmp_path: Path) -> None:
    assert dense.id == "t-v1"
    assert len(dense) == 24
    assert repr(dense) == "Table('t-v1', 24 rows, 2 columns)"
    assert dense.header.space == "small"
    assert dense.header.cardinalities == (3, 4, 2)
    assert dense.path == tmp_path / "dense" / FILE_NAME


def test_number_types_are_kept_in_the_file_and_read_as_float64(tmp_path: Path) -> None:
    X = SMALL.from_codes([1, 2])
    columns = [(PARAMS, np.array([3, 2**40])), (LATENCY, np.array([0.1, np.nan], dtype=np.float32))]
    table = write(tmp_path, X, columns)
    types = pq.read_schema(table.path)
    assert types.field("params_count").type == pa.int64()
    assert types.field("latency_ms").type == pa.float32()
    assert pq.read_table(table.path).column("latency_ms").null_count == 1
    assert table["params_count"].dtype == np.float64
    assert table["params_count"].tolist() == [3.0, 2.0**40]
    np.testing.assert_array_equal(table["latency_ms"], np.array([0.1, np.nan], dtype=np.float32).astype(float))


# ---------------------------------------------------------------------- what is not there


def test_a_missing_value_names_architecture_and_column(sparse: Table) -> None:
    arch = SMALL.decode(SMALL.from_codes([3]))[0]
    message = rf"table 't-v1' has no energy_mj for '{arch}' \(1 missing"
    with pytest.raises(MissingValueError, match=message):
        sparse.query(SMALL.from_codes([20, 3]), ["latency_ms", "energy_mj"])
    with pytest.raises(MissingValueError, match=message):
        sparse.query_one(arch, [ENERGY])
    assert sparse.query_one(arch, [LATENCY]).tolist() == [0.3]
    assert sparse.query(SMALL.from_codes([20]), [ENERGY]).tolist() == [[400.0]]


def test_a_missing_value_of_a_dense_table_is_missing(tmp_path: Path) -> None:
    values = np.arange(24.0)
    values[7] = np.nan
    table = write(tmp_path, SMALL.enumerate(), [(LATENCY, values)])
    assert np.flatnonzero(np.isnan(table[LATENCY])).tolist() == [7]
    with pytest.raises(MissingValueError, match="no latency_ms for 'a=0,b=3,c=1'"):
        table.query_one([0, 3, 1], [LATENCY])


def test_an_absent_row_is_named(sparse: Table) -> None:
    with pytest.raises(
        MissingValueError, match=r"holds 3 architectures of 'small'; .* \[0, 0, 1\] \(row 1 of .* 2 absent"
    ):
        sparse.query(SMALL.from_codes([3, 1, 2]), [LATENCY])
    with pytest.raises(MissingValueError, match="no row for the architecture 'a=0,b=0,c=1'"):
        sparse.query(["a=0,b=0,c=1"], [LATENCY])
    with pytest.raises(MissingValueError, match="no row for"):
        sparse.query_one((0, 0, 1), [LATENCY])


@pytest.mark.parametrize("name", ["dense", "sparse"])
@pytest.mark.parametrize(
    "archs", [[[0, 0, 2]], [[0, -1, 0]], [[0, 0]], [0, 0, 0], [[0.0, 0.0, 0.0]], [[0, 0, 2**70]], None]
)
def test_what_is_no_encoding_is_refused(name: str, archs: Any, request: pytest.FixtureRequest) -> None:
    table: Table = request.getfixturevalue(name)
    with pytest.raises(ArchitectureError, match="table 't-v1'"):
        table.query(archs, [LATENCY])


@pytest.mark.parametrize("name", ["dense", "sparse"])
@pytest.mark.parametrize("arch", [(0, 0, 2), (0, -1, 0), (0, 0), (0.5, 0, 0), (0, 0, 2**70)])
def test_one_that_is_no_encoding_is_refused(name: str, arch: Any, request: pytest.FixtureRequest) -> None:
    table: Table = request.getfixturevalue(name)
    with pytest.raises(ArchitectureError, match="table 't-v1'"):
        table.query_one(arch, [LATENCY])


def test_an_unknown_column_suggests_its_neighbour(dense: Table) -> None:
    message = r"table 't-v1' has latency_ms, energy_mj; got 'latency_us'\. Did you mean 'latency_ms'\?"
    for ask in (lambda c: dense[c], lambda c: dense.query([[0, 0, 0]], [c]), lambda c: dense.content_hash([c])):
        with pytest.raises(ObjectiveError, match=message):
            ask("latency_us")
    with pytest.raises(ObjectiveError, match="got 'latency_s'"):
        dense[dataclasses.replace(LATENCY, unit="s")]


def test_asking_for_nothing_gives_nothing(dense: Table, sparse: Table) -> None:
    for table in (dense, sparse):
        for nothing in ([], (), np.empty((0, 3), dtype=int)):
            assert table.query(nothing, [LATENCY, ENERGY]).shape == (0, 2)


def test_strings_may_come_as_a_list_an_array_or_a_series(sparse: Table) -> None:
    strings = SMALL.decode(SMALL.from_codes([3, 20]))
    for archs in (strings, tuple(strings), np.array(strings), pd.Series(strings), pd.Index(strings)):
        assert sparse.query(archs, [LATENCY])[:, 0].tolist() == [0.3, 2.0]


# ---------------------------------------------------------------------- nothing can be overwritten


def test_what_a_table_keeps_in_memory_cannot_be_written(dense: Table) -> None:
    for kept in (dense["latency_ms"], dense.matrix(["energy_mj"]), dense.query_one([0, 0, 0], ["latency_ms"])):
        with pytest.raises(ValueError, match="read-only"):
            kept[...] = 0


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_what_is_given_away_is_the_callers(name: str, request: pytest.FixtureRequest) -> None:
    table: Table = request.getfixturevalue(name)
    arch = table.encodings()[:1].copy()
    before = table.query(arch, [LATENCY]).copy()
    table.query(arch, [LATENCY])[...] = -1
    frame = table.to_pandas()
    frame.iloc[0, 0] = -1
    encodings = table.encodings()
    if encodings.flags.writeable:
        encodings[...] = 0
    assert table.query(arch, [LATENCY]).tolist() == before.tolist()


def test_a_question_is_not_modified(sparse: Table) -> None:
    X = SMALL.from_codes([20, 3])
    X.flags.writeable = False
    sparse.query(X, [LATENCY])
    assert SMALL.codes(X).tolist() == [20, 3]


def test_to_pandas_has_the_strings_as_index(sparse: Table) -> None:
    frame = sparse.to_pandas()
    assert frame.index.name == "arch"
    assert frame.index.tolist() == sparse.archs
    assert frame.columns.tolist() == ["latency_ms", "energy_mj"]
    assert frame.loc[SMALL.decode(SMALL.from_codes([11]))[0]].tolist() == [1.1, 121.0]
    assert frame["energy_mj"].isna().tolist() == [True, False, False]


# ---------------------------------------------------------------------- the hash is of the data


def test_the_hash_is_of_values_and_architectures_not_of_the_file(tmp_path: Path) -> None:
    def hash_of(name: str, codes: list[int], values: list[float], *, objective: Objective = LATENCY) -> str:
        (tmp_path / name).mkdir()
        return write(tmp_path / name, SMALL.from_codes(codes), [(objective, values)]).content_hash([objective])

    base = hash_of("base", [3, 11], [0.5, np.nan])
    assert hash_of("rows in another order", [11, 3], [np.nan, 0.5]) == base
    assert hash_of("another value", [3, 11], [0.5, 1.0]) != base
    assert hash_of("another architecture", [3, 12], [0.5, np.nan]) != base
    assert hash_of("another unit", [3, 11], [0.5, np.nan], objective=dataclasses.replace(LATENCY, unit="s")) != base

    compressed = tmp_path / "compressed"
    compressed.mkdir()
    content = pq.read_table(tmp_path / "base" / FILE_NAME)
    pq.write_table(content, compressed / FILE_NAME, compression="gzip", use_dictionary=False)
    assert (compressed / FILE_NAME).read_bytes() != (tmp_path / "base" / FILE_NAME).read_bytes()
    assert Table.open(compressed).content_hash([LATENCY]) == base


def test_the_hash_is_of_the_columns_asked_for_in_their_order(dense: Table) -> None:
    hashes = [dense.content_hash(c) for c in ([LATENCY], [ENERGY], [LATENCY, ENERGY], [ENERGY, LATENCY])]
    assert len(set(hashes)) == 4
    assert dense.content_hash(["latency_ms"]) == hashes[0]
    assert all(len(h) == 64 for h in hashes)


def test_the_hash_is_sha256_of_strings_column_and_little_endian_doubles(tmp_path: Path) -> None:
    # the data hash of every published problem is made of these: the recipe must not move
    table = write(tmp_path, SMALL.from_codes([3, 11]), [(LATENCY, [0.5, np.nan])])
    content = b"a=0,b=1,c=1\na=1,b=1,c=1\nlatency_ms\n" + struct.pack("<2d", 0.5, float("nan"))
    assert table.content_hash([LATENCY]) == hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------------- operators


def test_an_operator_table_is_asked_by_name(tmp_path: Path) -> None:
    table = write_operators(tmp_path)
    assert table.archs == ["base", "conv"]
    assert table.header.rows == "operator"
    assert table.query(["conv", "base"], [LATENCY])[:, 0].tolist() == [2.5, 1.5]
    assert table.query_one("conv", [LATENCY]).tolist() == [2.5]
    with pytest.raises(MissingValueError, match="no row for the architecture 'pool'"):
        table.query(["pool"], [LATENCY])
    for ask in (table.encodings, lambda: table.rows([[0]]), lambda: table.row([0])):
        with pytest.raises(ArchitectureError, match="holds operators"):
            ask()


# ---------------------------------------------------------------------- what cannot be written


def test_an_architecture_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"'a=0,b=1,c=1' appears more than once \(2 repeated rows\)"):
        write(tmp_path, SMALL.from_codes([3, 11, 3, 3]), [(LATENCY, [1.0, 2.0, 3.0, 4.0])])
    twice = np.vstack([HUGE.sample(1, rng=np.random.default_rng(0))] * 2)
    with pytest.raises(FormatError, match="appears more than once"):
        write(tmp_path, twice, [(LATENCY, [1.0, 2.0])], searched=HUGE)
    with pytest.raises(FormatError, match="an operator appears twice among base, base"):
        write_operators(tmp_path, names=("base", "base"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], "at least one column"),
        ([(LATENCY, [1.0, 2.0]), (LATENCY, [1.0, 2.0])], "columns appear twice: latency_ms"),
        ([(LATENCY, [1.0])], r"'latency_ms': expected 2 values, got shape \(1,\)"),
        ([(LATENCY, [[1.0], [2.0]])], r"expected 2 values, got shape \(2, 1\)"),
        ([(LATENCY, ["1", "2"])], "expected numbers, got dtype <U1"),
        ([(LATENCY, [True, False])], "expected numbers, got dtype bool"),
        ([(LATENCY, [np.nan, np.nan])], "every value is missing"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, columns: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        write(tmp_path, SMALL.from_codes([1, 2]), columns)
    assert not (tmp_path / FILE_NAME).exists()


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    column = [Column(objective=LATENCY, values=np.array([1.0, 2.0]))]
    X = SMALL.from_codes([1, 2])

    def attempt(**changes: Any) -> None:
        arguments = {"archs": SMALL.decode(X), "cardinalities": [3, 4, 2], "encodings": X} | changes
        write_table(tmp_path, column, id="t-v1", space="small", **arguments)

    with pytest.raises(FormatError, match="needs encodings and cardinalities"):
        attempt(encodings=None)
    with pytest.raises(FormatError, match="needs encodings and cardinalities"):
        attempt(cardinalities=[])
    with pytest.raises(FormatError, match="2 architecture strings but 3 encodings"):
        attempt(encodings=SMALL.from_codes([1, 2, 3]))
    with pytest.raises(ArchitectureError, match=r"row 0, variable 2: expected 0\.\.0"):
        attempt(cardinalities=[3, 4, 1])
    with pytest.raises(FormatError, match="40000 values"):
        attempt(cardinalities=[3, 4, 40_000])
    with pytest.raises(FormatError, match="has no rows"):
        attempt(archs=[], encodings=X[:0])
    attempt(cardinalities=SMALL.cardinalities)
    assert Table.open(tmp_path).header.cardinalities == (3, 4, 2)


def test_what_is_written_is_not_modified(tmp_path: Path) -> None:
    X, values = SMALL.from_codes([20, 3, 11]), np.array([2.0, 0.3, 1.1])
    X.flags.writeable = values.flags.writeable = False
    write(tmp_path, X, [(LATENCY, values)])
    assert values.tolist() == [2.0, 0.3, 1.1]


# ---------------------------------------------------------------------- files that are no tables


def rewrite_header(table: Table, change: Any) -> None:
    """Store a table again with another header."""
    content = pq.read_table(table.path)
    metadata = dict(content.schema.metadata)
    metadata[b"nasbench_mo"] = change(json.loads(metadata[b"nasbench_mo"]))
    pq.write_table(content.replace_schema_metadata(metadata), table.path)


def without(header: dict[str, Any], key: str) -> bytes:
    return json.dumps({k: v for k, v in header.items() if k != key}).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: json.dumps(h | {"format": 2}).encode(), "expected a native table of format 1, got 2; import the"),
        (lambda h: without(h, "format"), "of format 1, got None"),
        (lambda h: without(h, "cardinalities"), "header of this native table is damaged: KeyError"),
        (lambda h: b"{not json", "expected a JSON document.*damaged"),
        (lambda h: b"[1]", "damaged: AttributeError"),
        (lambda h: json.dumps(h | {"cardinalities": 5}).encode(), "damaged: TypeError"),
    ],
)
def test_a_header_of_another_version_or_a_damaged_one_is_refused(sparse: Table, change: Any, message: str) -> None:
    rewrite_header(sparse, change)
    with pytest.raises(FormatError, match=message):
        Table.open(sparse.path.parent)


def test_a_column_without_a_known_identity_is_refused(sparse: Table) -> None:
    content = pq.read_table(sparse.path)
    index = content.schema.get_field_index("latency_ms")
    wrong = content.schema.field(index).with_metadata({b"objective": b'{"name": "latency", "unit": "parsec"}'})
    pq.write_table(content.cast(content.schema.set(index, wrong)), sparse.path)
    with pytest.raises(FormatError, match=r"damaged: SpecError.*needs kind"):
        Table.open(sparse.path.parent)


def test_an_ordinary_parquet_file_is_no_native_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"latency_ms": [1.0]}), tmp_path / FILE_NAME)
    with pytest.raises(FormatError, match="expected a native table of format 1, got None"):
        Table.open(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 200, -1, -8])
def test_a_truncated_file_is_refused_with_its_path(sparse: Table, keep: int) -> None:
    sparse.path.write_bytes(sparse.path.read_bytes()[:keep])
    with pytest.raises(FormatError, match=r"table\.parquet is not a readable Parquet file"):
        Table.open(sparse.path.parent)


def test_garbage_and_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a readable Parquet file"):
        Table.open(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"PAR1" + bytes(range(256)) * 4 + b"PAR1")
    with pytest.raises(FormatError, match="not a readable Parquet file"):
        Table.open(tmp_path)


def test_damaged_pages_are_refused_when_they_are_read(dense: Table) -> None:
    data = bytearray(dense.path.read_bytes())
    start = pq.read_metadata(dense.path).row_group(0).column(1).dictionary_page_offset or 4
    data[start : start + 60] = b"\xff" * 60
    dense.path.write_bytes(bytes(data))
    opened = Table.open(dense.path.parent)
    with pytest.raises(FormatError, match=r"table\.parquet is damaged"):
        opened["latency_ms"]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    table = write(tmp_path, SMALL.enumerate(), [(LATENCY, np.random.default_rng(0).random(SMALL.size))])
    content = bytearray(table.path.read_bytes())
    start = content.find(b"PAR1") + 4
    noticed = 0
    for at in range(start, len(content) // 2, 7):
        damaged = bytearray(content)
        damaged[at] ^= 1
        table.path.write_bytes(damaged)
        try:
            found = Table.open(table.path.parent)["latency_ms"]
        except NasbenchMoError:  # in a page a FormatError, in a column's name an ObjectiveError
            noticed += 1
        else:
            np.testing.assert_array_equal(found, table["latency_ms"])
    assert noticed > 0


def test_one_string_is_one_architecture(tmp_path: Path) -> None:
    table = write(tmp_path, SMALL.enumerate(), [(LATENCY, np.arange(SMALL.size, dtype=float))])
    arch = SMALL.decode(SMALL.from_codes([3]))[0]
    np.testing.assert_array_equal(table.query(arch, ["latency_ms"]), [[3.0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h | {"n_rows": h["n_rows"] + 1}, "it announces"),
        (lambda h: h | {"n_rows": 10**12}, "it announces 1000000000000 rows"),
        (lambda h: h | {"n_rows": True}, "it announces True rows"),
        (lambda h: h | {"dense": not h["dense"]}, "dense is"),
        (lambda h: h | {"dense": None}, "dense is None"),
        (lambda h: h | {"cardinalities": [10**9] * 3}, "cardinalities"),
        (lambda h: h | {"cardinalities": ["a", "b"]}, "cardinalities"),
        (lambda h: h | {"cardinalities": []}, "dense is|encoding"),
        (lambda h: h | {"rows": "planet"}, "it is of 'planet'"),
        (lambda h: h | {"id": 7}, "it is of"),
    ],
)
def test_a_header_that_lies_about_its_rows_is_refused(sparse: Table, change: Any, message: str) -> None:
    rewrite_header(sparse, lambda h: json.dumps(change(h)).encode())
    with pytest.raises(FormatError, match=rf"header of this native table is damaged: .*{message}"):
        Table.open(sparse.path.parent)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("arch", [1], "a column 'arch' of text, got int64"),
        ("latency_ms", ["x"], "numbers of 'latency_ms' in the column 'latency_ms', got string"),
        ("latency_ms", [[1.0]], "got list"),
        ("encoding", ["x"], "16-bit integers an encoding, got string"),
    ],
)
def test_a_column_of_another_type_is_refused_when_the_table_is_opened(
    sparse: Table, name: str, values: list[Any], message: str
) -> None:
    content = pq.read_table(sparse.path)
    index = content.schema.get_field_index(name)
    array = pa.array(values * len(content))
    field = pa.field(name, array.type, metadata=content.schema.field(index).metadata)
    pq.write_table(content.set_column(index, field, array), sparse.path)
    with pytest.raises(FormatError, match=message):
        Table.open(sparse.path.parent)


def test_encodings_outside_the_space_are_refused_when_they_are_read(sparse: Table) -> None:
    content = pq.read_table(sparse.path)
    index = content.schema.get_field_index("encoding")
    d = len(sparse.header.cardinalities)
    array = pa.FixedSizeListArray.from_arrays(pa.array([30_000] * (d * len(content)), pa.int16()), d)
    pq.write_table(content.set_column(index, content.schema.field(index), array), sparse.path)
    with pytest.raises(FormatError, match="an encoding is outside its space"):
        Table.open(sparse.path.parent).encodings()
