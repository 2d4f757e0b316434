"""The source 'columns': any CSV, Parquet or NPZ file with a YAML specification."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo.errors import ArchitectureError, FormatError, MissingValueError, SpecError
from nasbench_mo.sources import import_source
from nasbench_mo.sources.base import SourceTable
from nasbench_mo.sources.columns import read
from nasbench_mo.sources.columns_spec import load_spec
from nasbench_mo.space import space
from nasbench_mo.table import Table

SPECS = Path(__file__).parent / "specs"
SHARED = Path(os.environ.get("NASBENCH_MO_SHARED", Path(__file__).parents[2] / "shared" / "data"))
#: Two NAS-Bench-Macro architectures whose leading zeros a number would lose, and one more.
MACRO = ["00012012", "00000000", "22212220"]

BASE = """
id: macro-test-v1
space: nbmacro
source: {source: a test, licence: CC0}
architecture: {column: arch}
objectives:
  - {column: lat_ms, unit: ms, direction: min, kind: measured}
"""


def write_spec(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return path


def only(path: Path, spec: Path) -> SourceTable:
    (table,) = read(path, spec)
    return table


def by_arch(table: SourceTable) -> dict[str, list[float]]:
    """Published string to the values of every column."""
    assert table.space is not None and table.encodings is not None
    strings = table.space.decode(table.encodings)
    return {s: [float(c.values[i]) for c in table.columns] for i, s in enumerate(strings)}


# ---------------------------------------------------------------------- the three suffixes, the same table


def _as_csv(folder: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def _as_parquet(folder: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(folder / "data.parquet")
    return folder / "data.parquet"


def _as_npz(folder: Path, frame: pd.DataFrame) -> Path:
    arrays = {n: frame[n].to_numpy(dtype="S8" if n == "arch" else float) for n in frame.columns}
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


@pytest.mark.parametrize("write", [_as_csv, _as_parquet, _as_npz])
def test_csv_parquet_and_npz_give_the_same_table(tmp_path: Path, write: Callable[[Path, pd.DataFrame], Path]) -> None:
    frame = pd.DataFrame({"arch": MACRO, "lat_ms": [1.5, np.nan, 3.25]})
    table = only(write(tmp_path, frame), write_spec(tmp_path, BASE))
    assert table.id == "macro-test-v1"
    assert table.columns[0].objective.column == "lat_ms"
    found = by_arch(table)
    assert found["00012012"] == [1.5] and found["22212220"] == [3.25]
    assert np.isnan(found["00000000"][0])


@settings(deadline=None, max_examples=30)
@given(
    rows=st.dictionaries(
        st.text("012", min_size=8, max_size=8), st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=20
    )
)
def test_every_value_stays_with_its_architecture(
    rows: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    path = _as_csv(folder, pd.DataFrame({"arch": list(rows), "lat_ms": list(rows.values())}))
    assert by_arch(only(path, write_spec(folder, BASE))) == {a: [v] for a, v in rows.items()}


def test_integers_stay_and_float32_becomes_its_shortest_decimal(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "d.npz",
        arch=np.array(MACRO),
        n=np.array([1, 2, 3]),
        f=np.array([91.408, 2, 3], np.float32),
    )
    spec = write_spec(
        tmp_path,
        BASE.replace("column: lat_ms, unit: ms", "column: n, unit: count")
        + "  - {column: f, unit: ms, direction: min, kind: measured}\n",
    )
    count, value = only(tmp_path / "d.npz", spec).columns
    assert count.values.dtype.kind == "i"
    assert value.values.dtype == np.float64
    assert 91.408 in value.values.tolist()


# ---------------------------------------------------------------------- forms of the architecture


def test_integer_arrays_side_by_side_are_codes(tmp_path: Path) -> None:
    codes = np.array([[int(c) for c in a] for a in MACRO], np.int8)
    np.savez(tmp_path / "d.npz", left=codes[:, :3], right=codes[:, 3:], lat_ms=np.arange(3.0))
    spec = write_spec(tmp_path, BASE.replace("column: arch", "columns: [left, right], form: codes"))
    assert list(by_arch(only(tmp_path / "d.npz", spec))) == sorted(MACRO)


def test_naslib_text_is_parsed_translated_and_reordered(tmp_path: Path) -> None:
    path = write_csv(tmp_path, 'arch,lat_ms\n"(0, 2, 3, 2, 3, 1)",7\n')
    spec = write_spec(
        tmp_path,
        BASE.replace("nbmacro", "nb201").replace(
            "{column: arch}",
            "{column: arch, parse: integers, form: values, order: [0, 1, 3, 2, 4, 5], values: {0: skip_connect, "
            "1: none, 2: nor_conv_3x3, 3: nor_conv_1x1, 4: avg_pool_3x3}}",
        ),
    )
    # edges 0->1, 0->2, 0->3, 1->2, 1->3, 2->3 of the tuple: skip, 3x3, 1x1, 3x3, 1x1, none
    expected = "|skip_connect~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|nor_conv_1x1~1|none~2|"
    assert by_arch(only(path, spec)) == {expected: [7.0]}


INLINE = """
id: mlp-latency-measured-v1
space: {name: mlp, variables: {depth: [1, 2], act: [relu, gelu], width: {values: [32, 64], repeat: 2}}}
source: {source: a test, licence: CC0}
architecture: {columns: [depth, act, w0, w1], form: values}
objectives:
  - {column: lat_ms, unit: ms, direction: min, kind: measured}
"""


def test_a_space_of_ones_own_from_columns_of_values(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "depth,act,w0,w1,lat_ms\n1,relu,32,64,1\n2,gelu,64,64,2\n")
    assert by_arch(only(path, write_spec(tmp_path, INLINE))) == {
        "depth=1,act=relu,width0=32,width1=64": [1.0],
        "depth=2,act=gelu,width0=64,width1=64": [2.0],
    }


def test_a_column_has_its_own_map_and_order_may_leave_out_constants(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", act=np.array([0, 1]), rest=np.array([[9, 32, 1], [9, 64, 2]]), lat_ms=[1.0, 2.0])
    text = INLINE.replace("width: {values: [32, 64], repeat: 2}", "width: [32, 64]").replace(
        "columns: [depth, act, w0, w1]",
        "order: [3, 0, 2], columns: [{column: act, values: {0: relu, 1: gelu}}, rest]",
    )
    spec = write_spec(tmp_path, text)
    assert list(by_arch(only(tmp_path / "d.npz", spec))) == [
        "depth=1,act=relu,width=32",
        "depth=2,act=gelu,width=64",
    ]
    np.savez(tmp_path / "d.npz", act=np.array([0, 1]), rest=np.array([[8, 32, 1], [9, 64, 2]]), lat_ms=[1.0, 2.0])
    with pytest.raises(SpecError, match=r"'order' leaves out position 1, which is not the same in every row \(8, 9\)"):
        read(tmp_path / "d.npz", spec)


def test_architectures_may_stand_in_a_file_beside_the_data(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    np.savez(tmp_path / "a" / "archs.npz", arch=np.array(MACRO, dtype="S8"))
    np.savez(tmp_path / "b" / "lat.npz", lat_ms=np.array([1.0, 2.0, 3.0]))
    spec = write_spec(tmp_path, BASE.replace("{column: arch}", "{file: ../a/archs.npz, column: arch}"))
    table = only(tmp_path / "b" / "lat.npz", spec)
    assert by_arch(table)["22212220"] == [3.0]
    assert [path.name for path in table.files.values()] == ["archs.npz"]
    np.savez(tmp_path / "b" / "lat.npz", lat_ms=np.array([1.0, 2.0]))
    with pytest.raises(FormatError, match="'lat_ms' has 2 rows, but there are 3 architectures"):
        read(tmp_path / "b" / "lat.npz", spec)


# ---------------------------------------------------------------------- rows and values

LONG = """
id: macro-long-v1
space: nbmacro
source: {source: a test, licence: CC0}
architecture: {column: arch}
where: {run: [1, 2]}
objectives:
  - {column: v, name: a, unit: ms, direction: min, kind: measured, where: {task: a}}
  - {column: v, name: b, unit: ms, direction: min, kind: measured, where: {task: b}, scale: 0.5}
  - {mean_of: [a, b], name: both, unit: ms, direction: min, kind: derived}
"""
LONG_CSV = """
arch,task,run,v
00012012,a,1,10
00012012,b,1.0,20
22212220,a,2,30
22212220,b,3,99
00000000,c,1,5
"""


def test_long_becomes_wide_and_means_ignore_missing_values(tmp_path: Path) -> None:
    found = by_arch(only(write_csv(tmp_path, LONG_CSV), write_spec(tmp_path, LONG)))
    assert found["00012012"] == [10.0, 10.0, 10.0]
    assert found["22212220"][0] == found["22212220"][2] == 30.0
    assert np.isnan(found["22212220"][1])  # its only row of task b is of run 3
    assert "00000000" not in found  # no objective has a row for it


@pytest.mark.parametrize(("rule", "expected"), [("first", 1.0), ("mean", 2.0)])
def test_duplicates_rule(tmp_path: Path, rule: str, expected: float) -> None:
    path = write_csv(tmp_path, "arch,lat_ms\n00012012,1\n22212220,9\n00012012,3\n00012012,\n")
    found = by_arch(only(path, write_spec(tmp_path, f"{BASE}duplicates: {rule}\n")))
    assert found == {"00012012": [expected], "22212220": [9.0]}


def test_duplicates_are_an_error_unless_told_otherwise(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "arch,lat_ms\n22212220,9\n00012012,1\n00012012,3\n")
    with pytest.raises(FormatError, match=r"'00012012' has 2 rows \(1, 2\).*duplicates: first"):
        read(path, write_spec(tmp_path, BASE))


@pytest.mark.parametrize("sentinel", ["-1", "-1.0", "[-1e0]", "[oom, -1]"])
def test_sentinels_and_empty_fields_are_missing(tmp_path: Path, sentinel: str) -> None:
    word = "OOM" if "oom" in sentinel else "nan"
    path = write_csv(tmp_path, f"arch,lat_ms\n00012012,-1\n22212220,4\n00000000,{word}\n")
    spec = write_spec(tmp_path, BASE.replace("kind: measured", f"kind: measured, missing: {sentinel}"))
    found = by_arch(only(path, spec))
    assert found["22212220"] == [4.0]
    assert np.isnan(found["00012012"][0]) and np.isnan(found["00000000"][0])


def test_one_column_of_a_matrix(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", arch=np.array(MACRO), lat_ms=np.arange(6.0).reshape(3, 2))
    spec = write_spec(tmp_path, BASE.replace("lat_ms,", "lat_ms, index: 1,"))
    assert by_arch(only(tmp_path / "d.npz", spec)) == {
        "00012012": [1.0],
        "00000000": [3.0],
        "22212220": [5.0],
    }


def test_a_list_column_of_parquet_is_a_matrix(tmp_path: Path) -> None:
    frame = pd.DataFrame({"arch": MACRO, "lat_ms": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]})
    spec = write_spec(tmp_path, BASE.replace("lat_ms,", "lat_ms, index: 1,"))
    assert by_arch(only(_as_parquet(tmp_path, frame), spec))["22212220"] == [5.0]


# ---------------------------------------------------------------------- errors

CSV = "arch,lat_ms,task\n00012012,1,a\n22212220,2,b\n"


def _objective(text: str) -> str:
    return BASE.replace("{column: lat_ms, unit: ms, direction: min, kind: measured}", text)


@pytest.mark.parametrize(
    ("spec", "csv", "error", "message"),
    [
        # the specification alone
        (BASE + "objectivs: []\n", CSV, SpecError, "unknown field 'objectivs'.*Did you mean 'objectives'"),
        (BASE.replace("id: macro-test-v1", ""), CSV, SpecError, "the field 'id' is missing"),
        (BASE.replace("macro-test-v1", "../x-v1"), CSV, SpecError, "id must be .* got '../x-v1'"),
        (BASE.replace("macro-test-v1", "macro"), CSV, SpecError, "end in a version"),
        (BASE.replace("nbmacro", "nbmarco"), CSV, SpecError, "Did you mean 'nbmacro'"),
        (BASE.replace("licence: CC0", "license: CC0"), CSV, SpecError, "'license'.*Did you mean 'licence'"),
        (BASE.replace(", licence: CC0", ""), CSV, SpecError, "the field 'licence' is missing"),
        (BASE + "duplicates: last\n", CSV, SpecError, "duplicates must be one of error, first, mean; got 'last'"),
        (BASE.replace("{column: arch}", "{columns: [arch]}"), CSV, SpecError, "form must be stated"),
        (BASE.replace("{column: arch}", "{form: codes}"), CSV, SpecError, "either 'column' or 'columns', got form"),
        (BASE.replace("{column: arch}", "{column: arch, colour: red}"), CSV, SpecError, "unknown field 'colour'"),
        ("id: [\n", CSV, SpecError, "not readable as YAML"),
        ("just text\n", CSV, SpecError, "expected a mapping"),
        (INLINE.replace("name: mlp", "name: nb201"), CSV, SpecError, "'nb201' is a registered space"),
        (INLINE.replace("[relu, gelu]", "[relu, relu]"), CSV, SpecError, "repeats a value"),
        (INLINE.replace("repeat: 2", "repeat: 0"), CSV, SpecError, "repeat must be a positive integer, got 0"),
        # one objective
        (_objective("{unit: ms, direction: min, kind: measured}"), CSV, SpecError, "objective 1: .*'column'"),
        (_objective("{column: lat_ms, direction: min, kind: measured}"), CSV, SpecError, "'lat_ms'.*'unit' is missing"),
        (_objective("{column: lat_ms, unit: ms, kind: measured}"), CSV, SpecError, "'lat_ms'.*'direction' is missing"),
        (_objective("{column: lat_ms, unit: ms, direction: min}"), CSV, SpecError, "'lat_ms'.*'kind' is missing"),
        (BASE.replace("unit: ms", "unit: msec"), CSV, SpecError, "'lat_ms'.*'unit'.*'msec'.*Did you mean"),
        (BASE.replace("min,", "down,"), CSV, SpecError, "'direction' must be one of min, max; got 'down'"),
        (BASE.replace("unit:", "sead: 1, unit:"), CSV, SpecError, "'sead'.*Did you mean 'seed'"),
        (BASE.replace("unit:", "seed: many, unit:"), CSV, SpecError, "seed must be an integer or 'mean'"),
        (BASE.replace("unit:", "epochs: 0, unit:"), CSV, SpecError, "epochs must be a positive integer"),
        (BASE.replace("unit:", "device: 2080, unit:"), CSV, SpecError, "device must be text, got 2080"),
        (BASE.replace("unit:", "scale: much, unit:"), CSV, SpecError, "scale must be a finite number.*'much'"),
        (BASE.replace("unit:", "index: -1, unit:"), CSV, SpecError, "index must be an integer from 0, got -1"),
        (BASE + BASE.splitlines()[-1] + "\n", CSV, SpecError, "two objectives are called 'lat'"),
        (
            BASE + "  - {mean_of: [lat, lut], name: m, unit: ms, direction: min, kind: derived}\n",
            CSV,
            SpecError,
            "no objective is called 'lut'.*Did you mean 'lat'",
        ),
        (
            BASE + "  - {mean_of: [lat, lat], name: m, unit: s, direction: min, kind: derived}\n",
            CSV,
            SpecError,
            "unit is 's', but 'lat' has 'ms'",
        ),
        # the specification against the file
        (BASE.replace("lat_ms", "lat_sm"), CSV, FormatError, "column 'lat_sm'.*Did you mean 'lat_ms'"),
        (BASE.replace("{column: arch}", "{column: arhc}"), CSV, FormatError, "the architecture needs a column 'arhc'"),
        (BASE.replace("unit:", "index: 1, unit:"), CSV, SpecError, r"index 1 is out of range; .* shape \(2,\)"),
        (BASE + "where: {task: c}\n", CSV, SpecError, "no row has task = 'c'; 'task' holds 'a', 'b'"),
        (BASE + "where: {tusk: c}\n", CSV, FormatError, "where needs a column 'tusk'.*Did you mean 'task'"),
        (
            BASE.replace("kind: measured", "kind: measured, where: {task: b}") + "where: {task: a}\n",
            CSV,
            SpecError,
            "'where' task = 'b' selects none of the rows",
        ),
        (BASE.replace("{column: arch}", "{column: arch, file: none.npz}"), CSV, SpecError, "'none.npz'.*not exist"),
        (BASE.replace("{column: arch}", "{column: arch, form: codes}"), CSV, SpecError, "has 8 variables; got 1"),
        # the file
        (BASE, CSV.replace("22212220", "22212229"), ArchitectureError, "data.csv: column 'arch', row 1: '22212229'"),
        (BASE, CSV.replace("22212220", ""), ArchitectureError, "row 1: '' is not an architecture"),
        (BASE, CSV.replace(",2,", ",fast,"), FormatError, "row 1: expected a number, got 'fast'"),
        (BASE, CSV.replace(",2,", ",-inf,"), FormatError, "row 1: -inf is not a number one can rank"),
        (BASE, CSV.replace(",1,", ",,").replace(",2,", ",,"), FormatError, "'lat'.*every value is missing"),
        (BASE, CSV.replace("task", "lat_ms"), FormatError, "columns appear twice: lat_ms"),
        (BASE, CSV + "00000000,3\n", FormatError, "row 2: expected 3 fields as in the header, got 2"),
        (BASE, CSV + "00000000,3,a,4\n", FormatError, "row 2: expected 3 fields as in the header, got 4"),
        (BASE, CSV + '"00000000,3,a\n', FormatError, "not a CSV file"),
        (BASE, "", FormatError, "got an empty file"),
        (BASE, "arch,lat_ms\n", FormatError, "expected at least one row"),
        (INLINE, "depth,act,w0,w1,lat_ms\n1,relu,32,64,1\n2,gelo,64,64,2\n", ArchitectureError, "row 1: 'gelo' .*gelu"),
        (INLINE, "depth,act,w0,w1,lat_ms\n1,relu,,64,1\n", ArchitectureError, "'w0', row 0: the value is missing"),
        (
            INLINE.replace("columns: [depth, act, w0, w1]", "column: depth, parse: integers"),
            'depth,lat_ms\n"(1,1,0,1)",1\n"(1,1,0)",2\n',
            ArchitectureError,
            "row 1: expected 4 integers as in row 0, got 3",
        ),
        (
            INLINE.replace("columns: [depth, act, w0, w1]", "column: depth, parse: integers"),
            "depth,lat_ms\n1.5,1\n",
            ArchitectureError,
            "row 0: expected text that lists integers, got '1.5'",
        ),
    ],
)  # fmt: skip
def test_every_mistake_is_named(tmp_path: Path, spec: str, csv: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(write_csv(tmp_path, csv), write_spec(tmp_path, spec))


def test_without_a_specification(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="add --spec"):
        read(write_csv(tmp_path, CSV), None)


def test_other_suffixes_and_damaged_files(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, BASE)
    for name, message in (
        ("d.xlsx", r"expected a \.csv, \.parquet or \.npz file, got suffix '\.xlsx'"),
        ("d.npz", "not an NPZ file"),
        ("d.parquet", "not a Parquet file"),
        ("d.csv", "not a CSV file in UTF-8"),
    ):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(FormatError, match=message):
            read(tmp_path / name, spec)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", arch=np.array(MACRO, dtype=object), lat_ms=np.arange(3.0))
    with pytest.raises(FormatError, match="'arch' cannot be read without unpickling"):
        read(tmp_path / "d.npz", write_spec(tmp_path, BASE))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", arch=np.array([b"\xff\xfe", b"00000000"]), lat_ms=np.arange(2.0))
    with pytest.raises(FormatError, match="column 'arch' must hold text in UTF-8"):
        read(tmp_path / "d.npz", write_spec(tmp_path, BASE))


def test_numbers_are_not_published_strings(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", arch=np.array([12012, 0, 22212220]), lat_ms=np.arange(3.0))
    with pytest.raises(SpecError, match=r"holds numbers .* state form: codes"):
        read(tmp_path / "d.npz", write_spec(tmp_path, BASE))


def test_a_matrix_needs_an_index_and_truth_values_are_no_numbers(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, BASE)
    np.savez(tmp_path / "d.npz", arch=np.array(MACRO), lat_ms=np.zeros((3, 2)))
    with pytest.raises(SpecError, match=r"has shape \(3, 2\); state its 'index'"):
        read(tmp_path / "d.npz", spec)
    np.savez(tmp_path / "d.npz", arch=np.array(MACRO), lat_ms=np.ones(3, dtype=bool))
    with pytest.raises(FormatError, match="expected numbers, got true and false"):
        read(tmp_path / "d.npz", spec)


# ---------------------------------------------------------------------- the published files

#: Specification to (data file, table id, rows, dense).
PUBLISHED = {
    "nasbench201": ("nasbench201/nasbench201.npz", "nb201-accuracy-measured-v1", 15625, True),
    "help_nasbench201": ("help-latency/help_nasbench201.npz", "nb201-help-latency-v1", 15625, True),
    "help_fbnet": ("help-latency/help_fbnet.npz", "fbnet-help-latency-v1", 5000, False),
    "help_ofa": ("help-latency/help_ofa.npz", "ofa-help-latency-v1", 5000, False),
    "accel_nasbench": ("accel-nasbench/accel_nasbench.npz", "mnasnet-accelnasbench-v1", 5138 - 13, False),
    "nasbench_macro": (
        "nasbench-macro/nasbench_macro_cifar10.npz",
        "nbmacro-c10-accuracy-measured-v1",
        6561,
        True,
    ),
    "ec_nas": ("ec-nas/ec_nas_energy.npz", "nb101-ecnas-energy-v1", 2532, False),
    "zc_nasbench101": ("naslib-zerocost/zc_nasbench101.parquet", "nb101-naslib-zerocost-v1", 500, False),
    "zc_nasbench201": ("naslib-zerocost/zc_nasbench201.parquet", "nb201-naslib-zerocost-v1", 725, False),
    "zc_nasbench301": ("naslib-zerocost/zc_nasbench301.parquet", "nb301-naslib-zerocost-v1", 725, False),
}


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no {name} under {SHARED}; set NASBENCH_MO_SHARED to the folder of the published data")
    return path


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Table]:
    """Import a published file once and open it again for each test."""
    cache = tmp_path_factory.mktemp("cache")
    tables: dict[str, Table] = {}

    def get(name: str) -> Table:
        if name not in tables:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("NASBENCH_MO_CACHE", str(cache))
                (tables[name],) = import_source("columns", shared(PUBLISHED[name][0]), spec=SPECS / f"{name}.yaml")
        return tables[name]

    return get


def test_there_is_a_specification_for_every_published_file() -> None:
    assert {p.stem for p in SPECS.glob("*.yaml")} >= set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_specification_is_valid_without_the_data(name: str) -> None:
    spec = load_spec(SPECS / f"{name}.yaml")
    assert spec.id == PUBLISHED[name][1]
    accuracies = [o.objective for o in spec.objectives if "accuracy" in o.objective.name]
    assert all(o.split and o.dataset and o.direction == "max" for o in accuracies)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_file_imports(name: str, imported: Callable[[str], Table]) -> None:
    table = imported(name)
    _, identity, rows, dense = PUBLISHED[name]
    assert (table.id, len(table), table.header.dense) == (identity, rows, dense)
    assert len(table.columns) == len(yaml.safe_load((SPECS / f"{name}.yaml").read_text())["objectives"])


def _raw(name: str) -> dict[str, Any]:
    with np.load(shared(PUBLISHED[name][0]), allow_pickle=False) as arrays:
        return {k: _shortest_decimals(v) if v.dtype == np.float32 else v for k, v in arrays.items()}


def _shortest_decimals(values: np.ndarray) -> np.ndarray:
    """Each float32 as its printed decimal: 91.408 and not 91.40800476."""
    return np.array([float(str(v)) for v in values.ravel()]).reshape(values.shape)


def test_nasbench201_values_equal_the_file(imported: Callable[[str], Table]) -> None:
    table, raw = imported("nasbench201"), _raw("nasbench201")
    rows = np.random.default_rng(0).choice(15625, 200, replace=False)
    archs = [raw["arch_str"][i].decode() for i in rows]
    X = raw["ops"][rows]
    for column, expected in {
        "c10_valid_accuracy_200ep_s777_percent": raw["c10_valid_200"][:, 0],
        "in16_validtest_accuracy_200ep_s888_percent": raw["in16_validtest_200"][:, 1],
        "c10_test_accuracy_200ep_mean_percent": raw["c10_test_200_mean"],
        "c100_valid_accuracy_200ep_mean_percent": raw["c100_valid_200_mean_derived"],
        "c10_train_time_200ep_s": raw["c10half_train_time_200_s"],
        "c10_flops_millions": raw["flops_m_c10"],
    }.items():
        np.testing.assert_array_equal(table.query(archs, [column])[:, 0], expected[rows])
        np.testing.assert_array_equal(table.query(X, [column])[:, 0], expected[rows])
    three = raw["c10_valid_200"][rows].astype(np.float64)
    mean = table.query(archs, ["c10_valid_accuracy_200ep_mean_percent"])[:, 0]
    np.testing.assert_allclose(mean, np.nanmean(three, axis=1), rtol=1e-12)
    degenerate = raw["zen_c10"] == -1e8
    assert degenerate.any() and np.isnan(table["c10_zen_score"]).sum() == degenerate.sum()


def test_known_optimum_of_nasbench201(imported: Callable[[str], Table]) -> None:
    # NAS-Bench-201 paper: best CIFAR-10 test accuracy 94.37.
    assert round(float(imported("nasbench201")["c10_test_accuracy_200ep_mean_percent"].max()), 2) == 94.37


def test_a_seed_that_was_not_run_is_missing_by_name(imported: Callable[[str], Table]) -> None:
    table, raw = imported("nasbench201"), _raw("nasbench201")
    arch = raw["arch_str"][np.flatnonzero(raw["n_seeds"] == 2)[0]].decode()
    with pytest.raises(MissingValueError) as caught:
        table.query([arch], ["c10_valid_accuracy_200ep_s999_percent"])
    assert arch in str(caught.value) and "c10_valid_accuracy_200ep_s999_percent" in str(caught.value)
    assert np.isnan(table["c10_valid_accuracy_200ep_s999_percent"]).sum() == 7456


def test_help_rows_are_in_the_order_of_nasbench201(imported: Callable[[str], Table]) -> None:
    table, raw = imported("help_nasbench201"), _raw("help_nasbench201")
    archs = [a.decode() for a in _raw("nasbench201")["arch_str"]]
    rows = np.random.default_rng(1).choice(15625, 100, replace=False)
    found = table.query([archs[i] for i in rows], ["latency_2080ti_1_ms", "latency_eyeriss_ms"])
    np.testing.assert_array_equal(found, np.stack([raw["lat_2080ti_1"], raw["lat_eyeriss"]], axis=1)[rows])
    gpu = table.objectives["latency_titan_rtx_256_ms"]
    assert (gpu.device, gpu.batch, gpu.kind) == ("titan_rtx", 256, "measured")
    asic = table.objectives["latency_eyeriss_ms"]
    assert (asic.kind, asic.convention, asic.batch) == ("modelled", "all", None)
    assert table.objectives["latency_essential_ph_1_ms"].batch is None
    assert "near-zero" in (table.objectives["latency_raspi4_ms"].note or "")


def test_values_of_the_other_latency_files(imported: Callable[[str], Table]) -> None:
    rng = np.random.default_rng(2)
    fbnet, raw = imported("help_fbnet"), _raw("help_fbnet")
    rows = rng.choice(5000, 50, replace=False)
    np.testing.assert_array_equal(
        fbnet.query(raw["op_idx"][rows], ["latency_pixel3_ms"])[:, 0], raw["lat_pixel3"][rows]
    )
    ofa, raw = imported("help_ofa"), _raw("help_ofa")
    i = int(rng.integers(5000))
    words = [f"ks{k}={v}" for k, v in enumerate(raw["ks"][i])] + [f"e{k}={v}" for k, v in enumerate(raw["e"][i])]
    words += [f"d{k}={v}" for k, v in enumerate(raw["d"][i])] + [f"r={raw['r'][i]}"]
    assert ofa.query([",".join(words)], ["latency_v100_1_ms"])[0, 0] == raw["lat_v100_1"][i]


def test_accel_nasbench_averages_its_thirteen_pairs(imported: Callable[[str], Table]) -> None:
    table, raw = imported("accel_nasbench"), _raw("accel_nasbench")
    groups, counts = np.unique(raw["dup_group"], return_counts=True)
    pair = np.flatnonzero(raw["dup_group"] == groups[counts == 2][0])
    single = int(np.flatnonzero(raw["dup_group"] == groups[counts == 1][0])[0])

    def arch(i: int) -> str:
        blocks = zip(*(raw[f"arch_{k}"][i] for k in ("e", "k", "l", "se")), strict=True)
        return "-".join(f"e{e}k{k}l{n}se{s}" for e, k, n, s in blocks)

    column = ["throughput_a100_images_per_s"]
    assert table.query([arch(single)], column)[0, 0] == raw["throughput_a100_mean"][single]
    values = raw["throughput_a100_mean"][pair].astype(np.float64)
    assert table.query([arch(int(pair[0]))], column)[0, 0] == pytest.approx(values.mean(), rel=1e-12)


def test_nasbench_macro_and_ec_nas_values(imported: Callable[[str], Table]) -> None:
    macro, raw = imported("nasbench_macro"), _raw("nasbench_macro")
    rows = np.random.default_rng(3).choice(6561, 50, replace=False)
    archs = [raw["arch"][i].decode() for i in rows]
    found = macro.query(archs, ["test_accuracy_r2_percent", "params_count"])
    np.testing.assert_array_equal(found[:, 0], raw["test_acc"][rows, 2])
    np.testing.assert_array_equal(found[:, 1], raw["params"][rows])
    energy, raw = imported("ec_nas"), _raw("ec_nas")
    long = pd.DataFrame(
        {k: raw[k] for k in ("source", "epochs", "module_hash", "total_energy_kwh")}
    )  # the mean over repeats, by other means
    means = long[(long.source == b"4V9E") & (long.epochs == 108)].groupby("module_hash").total_energy_kwh.mean()
    found = energy["train_energy_4v_108ep_kwh"]
    np.testing.assert_allclose(np.sort(found[~np.isnan(found)]), np.sort(means.to_numpy()), rtol=1e-6)
    assert (~np.isnan(energy["train_energy_rtx3060_4ep_kwh"])).sum() == 88
    assert (~np.isnan(energy["train_energy_5v_4ep_kwh"])).sum() == 2532


def test_naslib_val_accuracy_is_test_accuracy_of_seed_888(imported: Callable[[str], Table]) -> None:
    table = imported("zc_nasbench201")
    for key, n in (("c10", 725), ("c100", 725), ("in16", 724)):
        objective = table.objectives[f"{key}_test_accuracy_200ep_s888_percent"]
        assert (objective.split, objective.seed, objective.epochs) == ("test", 888, 200)
        assert (~np.isnan(table[objective])).sum() == n
    assert not any("valid" in column for column in table.columns)
    # The same numbers stand in nasbench201.npz: the translation of NASLib's tuples is right.
    raw = _raw("nasbench201")
    at = {a.decode(): i for i, a in enumerate(raw["arch_str"])}
    rows = [at[a] for a in table.archs]
    for column, key in (("c100_test_accuracy_200ep_s888_percent", "c100_test_200_s888"),
                        ("c10_test_accuracy_200ep_s888_percent", "c10half_test_200_s888")):  # fmt: skip
        values = table[column]
        there = ~np.isnan(values)
        np.testing.assert_allclose(values[there], raw[key][rows][there], atol=2e-5)
    assert space("nb201").encode(table.archs).shape == (725, 6)


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("arch,lat_ms\n00000000,1\n")
    spec = write_spec(tmp_path, BASE + "duplicates: first\nduplicates: mean\n")
    with pytest.raises(SpecError, match="'duplicates' is given twice"):
        only(tmp_path / "d.csv", spec)
