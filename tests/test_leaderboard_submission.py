"""Boards and submissions: what is written is read again, and every kind of tampering is refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pymoo.core.problem
import pytest
import yaml
from board_helpers import BUDGET, SEEDS, particulars, submission, toy_board, traces
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling

import nasbench_mo as nmo
from nasbench_mo import artifacts
from nasbench_mo.errors import ExhaustedError, SpecError, SubmissionError, UnknownNameError
from nasbench_mo.leaderboard import Board, Recorder, Submission, check, from_runs, from_traces, load_board
from nasbench_mo.leaderboard.compact import narrowed, pack, unpack
from nasbench_mo.leaderboard.rows import check_file
from nasbench_mo.leaderboard.submission import Form
from nasbench_mo.search import SEARCHERS
from nasbench_mo.search import searcher as make_searcher

BOMB = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.fixture(scope="module")
def board() -> Board:
    return toy_board()


@pytest.fixture
def written(board: Board, tmp_path: Path) -> Path:
    return submission(board, "entry").write(tmp_path)


def read(folder: Path, board: Board) -> Submission:
    return Submission.read(folder, board=board)


def rewrite(folder: Path, change: Callable[[pa.Table], pa.Table], *, honest: bool = True) -> None:
    """Change the rows, and on request the hash with them."""
    path = folder / "runs.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    if honest:
        fields = yaml.safe_load((folder / "submission.yaml").read_text())
        fields["runs_sha256"] = artifacts.sha256(path)
        (folder / "submission.yaml").write_text(yaml.safe_dump(fields))


def replaced(table: pa.Table, column: str, change: Callable[[list[Any]], list[Any]]) -> pa.Table:
    values = change(table.column(column).to_pylist())
    kind = table.schema.field(column).type
    kind = pa.string() if pa.types.is_dictionary(kind) else kind
    return table.set_column(table.column_names.index(column), column, pa.array(values, kind))


# ---------------------------------------------------------------------- boards

BOARD = {
    "format": 1,
    "id": "mine-v1",
    "title": "t",
    "about": "a",
    "rules": "1",
    "problems": ["nb201s-c10-params-v1"],
    "budget": 10,
    "seeds": 2,
    "targets": [0.5, 1.0],
    "noise": "seed",
}


def board_file(tmp_path: Path, **changes: Any) -> Path:
    folder = tmp_path / "mine-v1"
    folder.mkdir(exist_ok=True)
    fields = {k: v for k, v in (BOARD | changes).items() if v is not None}
    (folder / "board.yaml").write_text(yaml.safe_dump(fields))
    return folder


def test_a_board_is_read_by_folder_and_by_id(tmp_path: Path, cache: Path) -> None:
    made = load_board(board_file(tmp_path))
    assert (made.problems, made.budget, made.targets, made.indicators) == (
        ("nb201s-c10-params-v1",),
        10,
        (0.5, 1.0),
        (),
    )
    (cache / "leaderboards").mkdir()
    board_file(cache / "leaderboards")
    assert load_board("mine-v1").folder == cache / "leaderboards" / "mine-v1"
    with pytest.raises(UnknownNameError, match="nb201s-hardware-v1"):
        load_board("nb201s-hardware-v2")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"budget": 0}, "budget must be an integer in 1"),
        ({"budget": True}, "budget must be an integer in 1"),
        ({"seeds": 10**9}, "seeds must be an integer in 1"),
        ({"targets": [1.0, 0.5]}, "targets are ascending"),
        ({"targets": [0.5, 1.5]}, "targets are ascending"),
        ({"targets": ["0.5"]}, "expected numbers"),
        ({"rules": "7"}, "rules must be one of 1"),
        ({"indicators": ["hv"]}, "indicators must be one of"),
        ({"noise": "none"}, "noise must be one of seed"),
        ({"problems": ["a", "a"]}, "has 'a' twice"),
        ({"problems": None}, "'problems' is missing"),
        ({"budgets": 3}, "Did you mean 'budget'"),
        ({"id": "other-v1"}, "its folder must have that name"),
        ({"format": 2}, "expected format 1, got 2"),
    ],
)
def test_a_wrong_board_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_board(board_file(tmp_path, **changes))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "line 1 has an anchor or alias"),
        ("a: " + "[" * 5_000, "nested more than 8 deep"),
        ("a: " + "x" * 300_000, "at most 262144 bytes"),
        ("a: [1", "not readable as YAML"),
        ("!!python/object/apply:os.system ['true']", "not readable as YAML"),
    ],
    ids=["bomb", "deep", "long", "broken", "python"],
)
def test_hostile_yaml_is_refused_with_a_sentence_and_little_memory(
    tmp_path: Path, board: Board, text: str, says: str
) -> None:
    folder = tmp_path / "mine-v1"
    folder.mkdir()
    (folder / "board.yaml").write_text(text)
    (folder / "submission.yaml").write_text(text)
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match=says):
            load_board(folder)
        with pytest.raises(SubmissionError, match=says):
            read(folder, board)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_board_refuses_a_problem_without_a_scale() -> None:
    from benchmark_helpers import toy_problem

    other = toy_problem(3, 3, id="other-v1")
    renamed = toy_board(problems=("alias-v1",), given={"alias-v1": other})
    with pytest.raises(SpecError, match="are not the published ones"):
        renamed.problem("alias-v1")
    with pytest.raises(UnknownNameError, match="Did you mean 'alias-v1'"):
        renamed.problem("alias-v2")


# ---------------------------------------------------------------------- round trips


@pytest.mark.parametrize(("form", "column"), [("compact", "x"), ("codes", "code"), ("strings", "arch")])
def test_what_is_written_is_read_again_and_passes(board: Board, tmp_path: Path, form: Form, column: str) -> None:
    made = submission(board, "entry", form=form)
    found = read(made.write(tmp_path), board)
    assert found.particulars == made.particulars
    assert found.searcher_cpu_s == made.searcher_cpu_s
    assert found.rows.arch_column == column
    for name in ("problem", "seed", "evaluation", "archs"):
        np.testing.assert_array_equal(getattr(found.rows, name), getattr(made.rows, name))
    rounding = 2.0**-24 if form == "compact" else 0.0  # of single precision
    np.testing.assert_allclose(found.rows.values, made.rows.values, rtol=rounding, atol=0)
    checked = check(found, board)
    expected = traces(board, luck=0)
    for (identifier, seed), trace in expected.items():
        np.testing.assert_array_equal(checked.traces[identifier][seed].X, trace.X)
        np.testing.assert_array_equal(checked.traces[identifier][seed].F, trace.F)
        assert checked.traces[identifier][seed].cpu_s == pytest.approx(trace.cpu_s, rel=1e-3)


def test_a_run_may_end_early(board: Board) -> None:
    made = traces(board, luck=0)
    short = made["toy-v1", 1]
    made["toy-v1", 1] = dataclasses.replace(short, X=short.X[:7], F=short.F[:7])
    checked = check(from_traces(made, board=board, particulars=particulars("short")), board)
    assert [len(t.X) for t in checked.traces["toy-v1"]] == [BUDGET, 7, BUDGET]


def test_two_seeds_may_evaluate_the_same_architecture(board: Board) -> None:
    made = traces(board, luck=0)
    for key, trace in made.items():
        X = trace.X[:0].reshape(0, 3)
        X = np.concatenate([X, [[2, 2, 2]]]).astype(trace.X.dtype)
        made[key] = dataclasses.replace(trace, X=X, F=board.problem(key[0]).observation(key[1]).evaluate(X))
    check(from_traces(made, board=board, particulars=particulars("same")), board)


def test_a_run_over_the_budget_is_refused_even_where_another_is_shorter(board: Board) -> None:
    made = traces(board, luck=0, length=BUDGET + 1)
    made |= {k: dataclasses.replace(t, X=t.X[:5], F=t.F[:5]) for k, t in made.items() if k != ("noisy-v1", 1)}
    with pytest.raises(SubmissionError, match=f"'noisy-v1' with seed 1 has {BUDGET + 1} evaluations, the budget is 40"):
        check(from_traces(made, board=board, particulars=particulars("long")), board)


def test_an_entry_from_another_language_may_give_strings_and_plain_columns(board: Board, tmp_path: Path) -> None:
    folder = submission(board, "entry", form="strings").write(tmp_path)
    rewrite(folder, lambda t: pa.table({c: pa.array(t.column(c).to_pylist()) for c in t.column_names}))
    text = (folder / "submission.yaml").read_text().replace("'2026-01-31'", "2026-01-31")  # YAML's own date
    (folder / "submission.yaml").write_text(text)
    check(read(folder, board), board)


# ---------------------------------------------------------------------- a value for each architecture


def change_values(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the values of format 2, and their hash with them."""
    path = folder / "values.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    change_yaml(folder, values_sha256=artifacts.sha256(path))


def change_yaml(folder: Path, **changes: Any) -> None:
    fields = yaml.safe_load((folder / "submission.yaml").read_text())
    (folder / "submission.yaml").write_text(yaml.safe_dump(fields | changes))


def test_a_value_is_written_once_for_each_architecture(board: Board, tmp_path: Path) -> None:
    """Of three problems over one space: the noisy one's error stays with its rows, the others' values do not."""
    folder = submission(board, "entry", form="compact").write(tmp_path)
    runs, values = pq.read_table(folder / "runs.parquet"), pq.read_table(folder / "values.parquet")
    columns = yaml.safe_load((folder / "submission.yaml").read_text())["columns"]
    assert runs.column_names == ["problem", "seed", "evaluation", "x", "f0"]
    noisy = np.array([p == "noisy-v1" for p in runs.column("problem").to_pylist()])
    np.testing.assert_array_equal(runs.column("f0").is_null().to_numpy(), ~noisy)
    assert columns["noisy-v1"][0] is None
    # the latency is drawn alike in two problems, so they share its column
    assert columns["noisy-v1"][1] == columns["three-v1"][1]
    x = np.array(runs.column("x").to_pylist())
    for name, places in columns.items():
        mine = np.array([p == name for p in runs.column("problem").to_pylist()])
        for g in places:
            sharing = [p for p, c in columns.items() if g in c]
            n = len(np.unique(x[np.isin(runs.column("problem").to_pylist(), sharing)]))
            assert g is None or values.column(f"v{g}").null_count == len(values) - n
        assert mine.any()


def test_a_run_is_shorter_by_half_where_architectures_come_again(board: Board, tmp_path: Path) -> None:
    of_form = {form: submission(board, "entry", form=form).write(tmp_path / form) for form in ("compact", "codes")}
    sizes = {f: sum(p.stat().st_size for p in d.glob("*.parquet")) for f, d in of_form.items()}
    assert sizes["compact"] < 0.8 * sizes["codes"]


def test_values_beyond_single_precision_are_kept(tmp_path: Path) -> None:
    for values in ([1e300, 2e300], [1e-50, 2e-50], [1.0, 0.0]):
        kept = narrowed(np.array(values))
        assert kept.dtype == (np.float32 if values[0] == 1.0 else np.float64)
        np.testing.assert_array_equal(kept, values)


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_what_is_packed_is_unpacked(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 30))
    problem = np.sort(np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), dtype=np.int16))
    archs = np.array(data.draw(st.lists(st.integers(0, 3), min_size=2 * n, max_size=2 * n)), dtype=np.uint8)
    archs = archs.reshape(n, 2)
    cells = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=3 * n, max_size=3 * n))
    values = np.array(cells, dtype=np.float64).reshape(n, 3)
    values[problem == 1, 2] = np.nan  # a problem with two objectives
    names = ("a", "b", "c")
    packed = pack(archs, problem=problem, values=values, problems=names)
    np.testing.assert_array_equal(unpack(packed, archs=archs, problem=problem, problems=names), values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.slice(0, len(t) - 1), r"column 'v\d' of the values: expected one value for each of "),
        (lambda t: t.set_column(0, "v0", pa.array([1.0, *[None] * (len(t) - 2), 2.0])), "column 'v0' is missing"),
        (lambda t: t.set_column(0, "v0", pa.array(["1"] * len(t))), "column 'v0' must hold float32 or float64"),
        (lambda t: t.rename_columns(["w0", *t.column_names[1:]]), "expected the columns v0, v1"),
        (lambda t: t.append_column("v99", t.column("v0")), "expected the columns v0, v1"),
        (
            lambda t: t.set_column(0, "v0", pa.array([v and v + 1 for v in t.column("v0").to_pylist()])),
            "row 0, column 'f0': expected ",
        ),
    ],
)
def test_wrong_values_are_refused(
    board: Board, tmp_path: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    folder = submission(board, "entry", form="compact").write(tmp_path)
    change_values(folder, change)
    with pytest.raises(SubmissionError, match=message):
        check(read(folder, board), board)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "expected format 1 or 2, got 3"),
        ({"format": True}, "expected format 1 or 2, got True"),
        ({"format": 1}, "'x' belongs to format 2"),
        ({"columns": None}, "columns must map each problem"),
        ({"columns": {"toy-v1": [0, 1]}}, "columns must map each problem"),
        ({"columns": {"toy-v1": [0, -1], "noisy-v1": [0], "three-v1": [0]}}, "1 to 5 numbers or nulls"),
        ({"columns": {"toy-v1": [0, 1], "noisy-v1": [0] * 6, "three-v1": [0]}}, "1 to 5 numbers or nulls"),
        ({"columns": {"toy-v1": [0, 9], "noisy-v1": [None, 2], "three-v1": [3, 2, 4]}}, "numbered from v0"),
        ({"values_sha256": None}, "values.parquet has SHA-256 .* changed after they were written"),
    ],
)
def test_a_wrong_description_of_the_values_is_refused(
    board: Board, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = submission(board, "entry", form="compact").write(tmp_path)
    change_yaml(folder, **changes)
    with pytest.raises(SubmissionError, match=message):
        read(folder, board)


@pytest.mark.parametrize("x", [b"\x05\x00\x00", b"\xff\x00\x00"])
def test_an_encoding_outside_its_space_is_named(board: Board, tmp_path: Path, x: bytes) -> None:
    made = submission(board, "entry", form="compact")
    archs = made.rows.archs.copy()
    archs[7] = list(x)
    rows = dataclasses.replace(made.rows, archs=archs)
    with pytest.raises(SubmissionError, match=r"row 7, column 'x': .* is no architecture of 'toy'"):
        check(dataclasses.replace(made, rows=rows), board)


def test_encodings_are_padded_to_the_widest_space_and_no_further(board: Board) -> None:
    made = submission(board, "entry", form="compact")
    wide = np.pad(made.rows.archs, ((0, 0), (0, 2)))
    check(dataclasses.replace(made, rows=dataclasses.replace(made.rows, archs=wide)), board)
    wide[5, 4] = 1
    with pytest.raises(SubmissionError, match=r"row 5, column 'x': .* then zeros"):
        check(dataclasses.replace(made, rows=dataclasses.replace(made.rows, archs=wide)), board)
    narrow = made.rows.archs[:, :2]
    with pytest.raises(SubmissionError, match="row 0, column 'x'"):
        check(dataclasses.replace(made, rows=dataclasses.replace(made.rows, archs=narrow)), board)


# ---------------------------------------------------------------------- tampering


def _value(table: pa.Table) -> pa.Table:
    return replaced(table, "f1", lambda v: [*v[:17], v[17] * (1 + 1e-4), *v[18:]])


def _noise(table: pa.Table) -> pa.Table:
    """Every noisy value becomes the mean over seeds, as if there were no noise."""
    problem = toy_board().problem("noisy-v1")
    rows = [i for i, p in enumerate(table.column("problem").to_pylist()) if p == "noisy-v1"]
    X = problem.space.from_codes(np.array(table.column("code").to_pylist())[rows])
    scored = problem.evaluate(X)[:, 0]

    def change(v: list[Any]) -> list[Any]:
        for i, s in zip(rows, scored.tolist(), strict=True):
            v[i] = s
        return v

    return replaced(table, "f0", change)


def _extra_slot(table: pa.Table) -> pa.Table:
    return replaced(table, "f2", lambda v: [0.5, *v[1:]])


def _missing_slot(table: pa.Table) -> pa.Table:
    return replaced(table, "f0", lambda v: [*v[:3], None, *v[4:]])


def _unfinite(table: pa.Table) -> pa.Table:
    return replaced(table, "f0", lambda v: [float("-inf"), *v[1:]])


def _without_seed(table: pa.Table) -> pa.Table:
    return table.filter(pa.array([s != 1 or p != "noisy-v1" for p, s in _keys(table)]))


def _keys(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(table.column("problem").to_pylist(), table.column("seed").to_pylist(), strict=True))


def _repeated(table: pa.Table) -> pa.Table:
    for column in ("code", "f0", "f1", "f2"):
        table = replaced(table, column, lambda v: [*v[:9], v[4], *v[10:]])
    return table


def _swapped(table: pa.Table) -> pa.Table:
    return table.take([1, 0, *range(2, len(table))])


def _unsorted(table: pa.Table) -> pa.Table:
    return table.take([*range(BUDGET, 2 * BUDGET), *range(BUDGET), *range(2 * BUDGET, len(table))])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_value, "row 17, column 'f1': expected "),
        (_noise, f"row {BUDGET * SEEDS}, column 'f0': expected"),
        (_extra_slot, "row 0, column 'f2': expected nothing, 'toy-v1' has 2"),
        (_missing_slot, "row 3, column 'f0': expected "),
        (_unfinite, "row 0, column 'f0': expected .* got -inf"),
        (_without_seed, "no run of 'noisy-v1' with seed 1"),
        (_repeated, "row 9, column 'code': .* was evaluated before in the run of 'toy-v1' with seed 0"),
        (_swapped, "row 0, column 'evaluation': expected 0, got 1"),
        (_unsorted, f"row {BUDGET}, column 'seed': 0 is out of order"),
        (lambda t: t.slice(0, len(t) - BUDGET), "no run of 'three-v1' with seed 2"),
        (lambda t: replaced(t, "seed", lambda v: [*v[:-1], 99]), "column 'seed': 99 is none of the board's seeds"),
        (lambda t: replaced(t, "code", lambda v: [125, *v[1:]]), "row 0, column 'code': 125 is no index of the 125"),
        (lambda t: replaced(t, "code", lambda v: [-1, *v[1:]]), "row 0, column 'code': -1 is no index"),
        (lambda t: replaced(t, "code", lambda v: [None, *v[1:]]), "row 0, column 'code' is missing"),
        (lambda t: replaced(t, "problem", lambda v: ["toy-v2", *v[1:]]), "row 0, column 'problem': 'toy-v2' is no"),
        (
            lambda t: t.append_column("simulated_s", pa.array(np.ones(len(t)))),
            "row 0, column 'simulated_s': 1.0 is not the sum",
        ),
    ],
)
def test_changed_rows_are_refused_with_row_and_column(
    board: Board, written: Path, change: Callable[[pa.Table], pa.Table], says: str
) -> None:
    rewrite(written, change)
    with pytest.raises(SubmissionError, match=says) as caught:
        check(read(written, board), board)
    assert "\n" not in str(caught.value)


def test_a_string_that_is_no_architecture_is_named(board: Board, tmp_path: Path) -> None:
    folder = submission(board, "entry", form="strings").write(tmp_path)
    rewrite(folder, lambda t: replaced(t, "arch", lambda v: [*v[:5], "nonsense", *v[6:]]))
    with pytest.raises(SubmissionError, match="row 5, column 'arch': 'nonsense' is not an architecture"):
        check(read(folder, board), board)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.append_column("test_error_percent", pa.array(np.ones(len(t)))), "unknown column 'test_error_per"),
        (lambda t: t.rename_columns([c.replace("seed", "sead") for c in t.column_names]), "Did you mean 'seed'"),
        (lambda t: t.drop_columns(["f0"]), "the column 'f0' is missing"),
        (lambda t: t.append_column("arch", pa.array(["x"] * len(t))), "one of the columns 'arch', 'code' and 'x'"),
        (lambda t: t.append_column("f0", t.column("f0")), "'f0' is there twice"),
        (lambda t: t.set_column(4, "f0", t.column("f0").cast(pa.float32())), "'f0' must hold float64, got float"),
        (lambda t: t.set_column(1, "seed", t.column("seed").cast(pa.float64())), "'seed' must hold integers"),
        (lambda t: pa.concat_tables([t, t.slice(0, 1)]), f"at most {BUDGET * SEEDS * 3} rows"),
    ],
)
def test_another_schema_is_refused(
    board: Board, written: Path, change: Callable[[pa.Table], pa.Table], says: str
) -> None:
    rewrite(written, change)
    with pytest.raises(SubmissionError, match=says):
        read(written, board)


def test_a_changed_file_is_refused_by_its_hash(board: Board, written: Path) -> None:
    rewrite(written, lambda t: t, honest=False)
    with pytest.raises(SubmissionError, match="the rows were changed after they were written"):
        read(written, board)


@pytest.mark.parametrize("kept", [0, 3, 100, 1000])
def test_a_truncated_file_is_refused(board: Board, written: Path, kept: int) -> None:
    path = written / "runs.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:kept])
    with pytest.raises(SubmissionError, match="not a readable Parquet file"):
        read(written, board)
    path.write_bytes(data[:200] + bytes(64) + data[264:])  # a footer that fits, and rows that do not
    fields = yaml.safe_load((written / "submission.yaml").read_text())
    fields["runs_sha256"] = artifacts.sha256(path)
    (written / "submission.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(SubmissionError):
        check(read(written, board), board)


def test_ten_million_rows_are_refused_before_one_is_loaded(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    zeros = pa.table({c: pa.array(np.zeros(1_000_000, np.int64)) for c in ("seed", "evaluation", "code")})
    with pq.ParquetWriter(path, zeros.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(zeros)
    assert path.stat().st_size < 1e6
    before = pa.total_allocated_bytes()
    with pytest.raises(SubmissionError, match=r"at most 360 rows for this board, got 10,000,000; nothing was loaded"):
        check_file(path, board=board)
    assert pa.total_allocated_bytes() - before < 1e6


def test_a_file_that_unpacks_to_much_more_is_refused(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    pq.write_table(pa.table({"arch": ["x" * 30_000_000] * 2}), path, use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 1e5
    with pytest.raises(SubmissionError, match="unpacked bytes"):
        check_file(path, board=board)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"software": "nasbench-mo"}, "it claims nasbench-mo, but"),
        ({"software": "nasbench-mo", "searcher": "nsga2", "options": {"popul": 3}}, "Did you mean 'population'"),
        ({"software": "nasbench-mo", "searcher": "nsga2", "options": {"population": -3}}, "population"),
    ],
)
def test_software_that_has_no_such_searcher_is_refused(board: Board, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SubmissionError, match=says):
        check(submission(board, "entry", **changes), board)


@pytest.mark.parametrize("name", sorted(SEARCHERS))
def test_the_options_that_a_searcher_reports_make_it_again(board: Board, name: str) -> None:
    space = board.problem("toy-v1").space
    made = make_searcher(name, space, 2, seed=0)
    assert make_searcher(name, space, 2, seed=0, **made.options()).options() == made.options()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Entry"}, "lower-case letters"),
        ({"name": "../up"}, "lower-case letters"),
        ({"submitted": "yesterday"}, "YYYY-MM-DD"),
        ({"source": " "}, "source must be text"),
        ({"options": {"a": [1]}}, "must be plain"),
    ],
)
def test_particulars_have_a_form(board: Board, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SubmissionError, match=says):
        submission(board, changes.pop("name", "entry"), **changes)


def test_the_folder_and_the_board_must_be_those_that_are_named(board: Board, written: Path) -> None:
    with pytest.raises(SubmissionError, match="expected a submission to 'other-v1', got one to 'toy-board-v1'"):
        read(written, toy_board(id="other-v1"))
    moved = written.rename(written.with_name("renamed"))
    with pytest.raises(SubmissionError, match="its folder must have that name"):
        read(moved, board)


# ---------------------------------------------------------------------- the recorder and runs


def fill(recorder: Recorder, board: Board) -> None:
    for identifier in board.problems:
        space = recorder.problem(identifier).space
        for seed in range(board.seeds):
            rng = np.random.default_rng(seed)
            with pytest.raises(ExhaustedError, match="are spent"):
                while True:
                    recorder.evaluate(identifier, space.sample(16, rng=rng), seed=seed)


def test_a_recorder_writes_a_submission_that_passes(board: Board, tmp_path: Path) -> None:
    recorder = Recorder(board)
    fill(recorder, board)
    folder = recorder.write(tmp_path, name="mine", source="s", software="x", version="1", author="me")
    checked = check(read(folder, board), board)
    assert {len(t.X) for runs in checked.traces.values() for t in runs} == {BUDGET}
    assert all(t.cpu_s is not None and t.cpu_s >= 0 for runs in checked.traces.values() for t in runs)


def test_a_pymoo_script_makes_a_submission(board: Board, tmp_path: Path) -> None:
    recorder = Recorder(board)
    for identifier, seed in itertools.product(board.problems, range(board.seeds)):
        problem = recorder.problem(identifier)
        space, m = problem.space, problem.n_objectives
        bounds = {"n_var": space.n_variables, "xl": 0, "xu": space.cardinalities - 1, "vtype": int}
        repair = {"repair": RoundingRepair(), "vtype": float}
        algorithm = NSGA2(pop_size=10, sampling=IntegerRandomSampling(), crossover=SBX(**repair), mutation=PM(**repair))
        algorithm.setup(pymoo.core.problem.Problem(n_obj=m, **bounds), seed=seed)
        with contextlib.suppress(ExhaustedError):
            while True:
                pop = algorithm.ask()
                pop.set("F", recorder.evaluate(identifier, pop.get("X").astype(int), seed=seed))
                algorithm.tell(infills=pop)
    folder = recorder.write(tmp_path, name="pymoo-nsga2", source="s", software="pymoo", version="0.6", author="me")
    assert {len(t.X) for runs in check(read(folder, board), board).traces.values() for t in runs} == {BUDGET}


def test_a_recorder_answers_repeats_from_memory_and_what_the_problem_says(board: Board) -> None:
    recorder = Recorder(board)
    space = recorder.problem("noisy-v1").space
    X = space.sample(30, rng=np.random.default_rng(0))
    F = recorder.evaluate("noisy-v1", X, seed=2)
    np.testing.assert_array_equal(F, board.problem("noisy-v1").observation(2).evaluate(X))
    distinct = len(np.unique(X, axis=0))
    assert distinct < 30
    assert recorder.left("noisy-v1", seed=2) == BUDGET - distinct
    np.testing.assert_array_equal(recorder.evaluate("noisy-v1", space.decode(X), seed=2), F)
    assert recorder.left("noisy-v1", seed=2) == BUDGET - distinct
    assert recorder.left("noisy-v1", seed=1) == BUDGET


def test_a_recorder_names_what_is_missing(board: Board, tmp_path: Path) -> None:
    recorder = Recorder(board)
    recorder.evaluate("toy-v1", [[0, 0, 0]], seed=0)
    with pytest.raises(SubmissionError, match="no run of 'toy-v1' with seed 1"):
        recorder.write(tmp_path, name="mine", source="s", software="x", version="1", author="me")
    assert not list(tmp_path.iterdir())
    with pytest.raises(SubmissionError, match=r"seeds 0\.\.2, got 3"):
        recorder.evaluate("toy-v1", [[0, 0, 0]], seed=3)


def test_runs_become_a_submission(board: Board) -> None:
    runs = [
        nmo.run(board.problem(p), "random", budget=board.budget, seed=s) for p in board.problems for s in range(SEEDS)
    ]
    claims = particulars("random", software="nasbench-mo")
    made = from_runs(runs[::-1], board=board, particulars=claims)
    checked = check(made, board)
    for k, run in enumerate(runs):
        np.testing.assert_array_equal(checked.traces[run.identity.problem][k % SEEDS].X, run.X)
        assert made.searcher_cpu_s[run.identity.problem][k % SEEDS] == run.environment["searcher_cpu_s"] > 0
    other = nmo.run(board.problem("toy-v1"), "random", budget=5, seed=0)
    with pytest.raises(SubmissionError, match=f"expected a budget of {BUDGET}"):
        from_runs([other, *runs[1:]], board=board, particulars=claims)
    noise = nmo.run(board.problem("noisy-v1"), "random", budget=BUDGET, seed=0, noise_seed=1)
    with pytest.raises(SubmissionError, match="the noise seed 0; got 40 and 1"):
        from_runs([noise], board=board, particulars=claims)
    with pytest.raises(SubmissionError, match="given twice"):
        from_runs([*runs, runs[0]], board=board, particulars=claims)
    with pytest.raises(SubmissionError, match="expected searcher 'nsga2'"):
        from_runs(runs, board=board, particulars=particulars("nsga2"))
