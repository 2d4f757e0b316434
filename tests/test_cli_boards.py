"""The board commands on a small board over embedded data: run, interrupted and resumed, check, rank, list and show."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nasbench_mo import leaderboard
from nasbench_mo.cli import boards, main

Call = Callable[..., tuple[int, str, str]]

TEXT = """\
format: 1
id: small-v1
title: Small
about: Two embedded problems.
rules: "1"
problems: [nb201s-c10-params-v1, nb201s-c10-flops-v1]
budget: 30
seeds: 3
targets: [0.5, 0.9, 1.0]
indicators: [igd_plus]
noise: seed
"""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path) -> Call:
    """Run the command in this process, beside a cache that holds the board: (exit code, stdout, stderr)."""
    folder = cache / "leaderboards" / "small-v1"
    folder.mkdir(parents=True)
    (folder / "board.yaml").write_text(TEXT)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(cache.parent)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", *arguments])
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def folder(cache: Path) -> Path:
    return cache / "leaderboards" / "small-v1" / "submissions"


def test_a_board_is_run_checked_and_ranked(call: Call, folder: Path) -> None:
    for searcher in ("random", "local-search", "nsga2"):
        code, out, _ = call("board", "run", "small-v1", "--searcher", searcher, "--author", "me")
        assert code == 0
        assert "180 evaluations, every one checked" in out
    assert sorted(p.name for p in folder.iterdir()) == ["local-search", "nsga2", "random"]
    code, out, _ = call("board", "check", "small-v1")
    assert code == 0
    assert len(out.splitlines()) == 4
    code, out, _ = call("board", "rank", "small-v1", "--out", "standings.csv")
    assert code == 0
    assert "Friedman p" in out
    assert Path("standings.csv").read_text().count("\n") == 4
    facts = json.loads(call("board", "rank", "small-v1", "--json")[1])
    assert {s["searcher"] for s in facts["standings"]} == {"random", "local-search", "nsga2"}
    assert len(facts["pairs"]) == 3
    found = leaderboard.Submission.read(folder / "nsga2", board=leaderboard.load_board("small-v1"))
    assert found.particulars.source.startswith("Deb et al., ")
    assert (found.particulars.author, found.particulars.options["population"]) == ("me", 20)


def test_some_runs_are_made_again(call: Call, folder: Path) -> None:
    assert call("board", "run", "small-v1", "--searcher", "nsga2")[0] == 0
    rows = json.loads(call("board", "check", "small-v1", "--again", "4", "--json")[1])
    assert [(r["submission"], r["runs made again"]) for r in rows] == [("nsga2", 4)]
    # the same evaluations under another searcher's name: every value is right, and the claim is not
    text = (folder / "nsga2" / "submission.yaml").read_text()
    claim = text.replace("searcher: nsga2", "searcher: random").replace("{population: 20, p_mutation: 0.9}", "{}")
    (folder / "nsga2" / "submission.yaml").write_text(claim)
    assert call("board", "check", "small-v1")[0] == 0
    code, _, err = call("board", "check", "small-v1", "--again", "1")
    assert (code, "proposes another architecture at " in err) == (2, True)


def test_an_interrupted_board_goes_on_where_it_stopped(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = call("board", "run", "small-v1", "--searcher", "nsga2", "--out", "whole")
    assert whole[0] == 0
    made: list[str] = []
    really = boards.run

    def counted(*args: object, **kwargs: object) -> object:
        if len(made) == 4 and "stop" not in made:
            made.append("stop")
            raise KeyboardInterrupt
        made.append("run")
        return really(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(boards, "run", counted)
    assert call("board", "run", "small-v1", "--searcher", "nsga2")[0] == 130
    assert [p.name for p in folder.iterdir()] == ["unfinished"]
    assert call("board", "run", "small-v1", "--searcher", "nsga2")[0] == 0
    assert made.count("run") == 6
    assert (folder / "nsga2" / "runs.parquet").read_bytes() == Path("whole/nsga2/runs.parquet").read_bytes()


def test_seeds_may_come_in_parts(call: Call, folder: Path) -> None:
    code, out, _ = call("board", "run", "small-v1", "--searcher", "random", "--seeds", "0,1")
    assert (code, "4 of 6 runs" in out) == (0, True)
    assert not (folder / "random").exists()
    code, out, _ = call("board", "run", "small-v1", "--searcher", "random", "--seeds", "2")
    assert (code, "wrote" in out) == (0, True)


@pytest.mark.parametrize("seeds", ["3", "a", "0-9", "-1"])
def test_seeds_that_the_board_lacks_are_refused(call: Call, seeds: str) -> None:
    code, _, err = call("board", "run", "small-v1", "--searcher", "random", f"--seeds={seeds}")
    assert (code, "--seeds" in err) == (2, True)


def test_an_entry_is_not_overwritten_and_options_are_not_mixed(call: Call, folder: Path) -> None:
    arguments = ("board", "run", "small-v1", "--searcher", "nsga2")
    assert call(*arguments, "--seeds", "0")[0] == 0
    code, _, err = call(*arguments, "--option", "population=10")
    assert (code, "holds another run" in err) == (2, True)
    assert call(*arguments)[0] == 0
    code, _, err = call(*arguments)
    assert (code, "exists; move it away" in err) == (2, True)
    assert call(*arguments, "--option", "population=10", "--name", "nsga2-10")[0] == 0
    facts = json.loads(call("board", "rank", "small-v1", "--json")[1])
    assert {s["searcher"] for s in facts["standings"]} == {"nsga2", "nsga2-10"}


def test_a_wrong_submission_ends_with_two_and_one_sentence(call: Call, folder: Path) -> None:
    assert call("board", "run", "small-v1", "--searcher", "random")[0] == 0
    path = folder / "random" / "values.parquet"
    table = pq.read_table(path)
    values = table.column("v0").to_pylist()
    values[3] -= 1
    pq.write_table(table.set_column(0, "v0", pa.array(values, pa.float32())), path)
    for arguments in (("check", "small-v1"), ("rank", "small-v1"), ("check", "small-v1", str(folder / "random"))):
        code, out, err = call("board", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "changed after they were written" in err


def test_boards_are_listed_and_shown(call: Call) -> None:
    rows = {r["board"]: r for r in json.loads(call("list", "boards", "--json")[1])}
    assert rows["small-v1"]["entries"] == "0"
    assert rows["nb201s-hardware-v1"]["budget"] == "300"
    shown = call("show", "small-v1")[1]
    assert "50 %, 90 %, 100 % of HV*" in shown
    code, _, err = call("show", "nb201s-hardware-v2")
    assert (code, "Did you mean 'nb201s-hardware-v1'" in err) == (2, True)
    code, _, err = call("board", "rank", "small-v1")
    assert (code, "no submission to rank" in err) == (2, True)


def test_a_board_over_published_tables_says_how_to_import_them(call: Call, tmp_path: Path) -> None:
    run = ("run", "nb201-hardware-v1", "--searcher", "random", "--out", str(tmp_path / "mine"))
    for arguments in (run, ("check", "nb201-hardware-v1")):
        code, _, err = call("board", *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert "'nasbench-mo import nats-bench PATH' for nb201-accuracy-measured-v1" in err
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("searcher", ["mo-asha", "successive-halving"])
def test_a_searcher_of_shorter_trainings_is_refused_before_it_runs(call: Call, folder: Path, searcher: str) -> None:
    code, out, err = call("board", "run", "small-v1", "--searcher", searcher)
    assert (code, out) == (2, "")
    assert f"'{searcher}' is not for board 'small-v1'" in err
    assert not folder.exists()


def test_a_problem_says_whether_its_front_is_exact(call: Call) -> None:
    assert "HV*: of the exact front" in call("show", "nb201s-c10-flops-v1")[1]
    assert "HV*: of the best front known (version 1)" in call("show", "mnasnets-in1k-tpuv3-v1")[1]
