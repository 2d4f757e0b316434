"""The command line: what it prints, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer
from benchmark_helpers import PREDICTED

from nasbench_mo.cli import main
from nasbench_mo.cli.app import app
from nasbench_mo.experiment import Run

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.fixture
def call(monkeypatch, capsys, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)

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


@pytest.mark.parametrize("kind", ["spaces", "problems", "predictors", "tables", "searchers", "sources", "boards"])
def test_list_prints_rows_for_people_and_for_programs(call, kind):
    code, text, _ = call("list", kind)
    assert code == 0
    _, machine, _ = call("list", kind, "--json")
    rows = json.loads(machine)
    assert len(text.splitlines()) == len(rows) + 1
    assert all(next(iter(row.values())) in text for row in rows)


def test_list_problems_tells_what_needs_an_import(call):
    rows = {r["problem"]: r["ready"] for r in json.loads(call("list", "problems", "--json")[1])}
    assert rows[PREDICTED] == "yes"
    assert rows["nb201-c10-2080ti_1-v1"] == "needs import"


@pytest.mark.parametrize(
    "identifier",
    [
        PREDICTED,
        "nb201",
        "nb201-c10-valerr-xgb-v1",
        "nb201-fpga-latency-modelled-v1",
        "nsga2",
        "columns",
        "nats-bench-size",
    ],
)
def test_show_explains_every_kind_of_thing(call, identifier):
    code, text, _ = call("show", identifier)
    assert code == 0
    assert text.strip()
    assert json.loads(call("show", identifier, "--json")[1])


def test_show_says_what_a_searcher_knows_of_a_problem(call):
    assert "known to a searcher beforehand: latency_epyc_us" in call("show", "nb201s-c10-epyc-v1")[1]


def test_query_gives_values_with_unit_and_split(call):
    code, text, _ = call("query", PREDICTED, CELL, DEAD)
    assert code == 0
    assert "error_percent" in text
    assert "split valid" in text
    assert "degenerate" in text
    rows = json.loads(call("query", PREDICTED, CELL, "--json")[1])
    latency = rows[0]["objectives"]["latency_eyeriss_ms"]
    assert latency["value"] == pytest.approx(1.67954 + 5 * 1.47456)
    assert (latency["unit"], latency["kind"], latency["convention"]) == ("ms", "modelled", "all")


def test_predict_states_its_deviation(call):
    rows = json.loads(call("predict", "nb201-c10-valerr-xgb-v1", CELL, "--json")[1])
    assert 5 < rows[0]["value"] < 15
    assert 0 < rows[0]["std"] < 2
    assert "+-" in call("predict", "nb201-c10-valerr-xgb-v1", CELL)[1]


def test_search_writes_a_run_and_prints_its_share(call, tmp_path):
    code, text, _ = call("search", PREDICTED, "--budget", "60", "--seed", "3", "--html", "page.html")
    assert code == 0
    assert "HV/HV*" in text
    run = Run.load(tmp_path / "run.parquet")
    assert (len(run), run.identity.seed) == (60, 3)
    assert f"{run.hypervolume_share():.4f}" in text
    assert CELL[:14] in (tmp_path / "page.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == ["page.html", "run.parquet"]


def test_search_does_not_replace_a_run_unless_told(call, tmp_path):
    call("search", PREDICTED, "--budget", "5", "--searcher", "random")
    before = (tmp_path / "run.parquet").read_bytes()
    code, _, message = call("search", PREDICTED, "--budget", "5", "--searcher", "random")
    assert code == 2
    assert "--force" in message
    assert (tmp_path / "run.parquet").read_bytes() == before
    assert call("search", PREDICTED, "--budget", "6", "--searcher", "random", "--force")[0] == 0
    assert len(Run.load(tmp_path / "run.parquet")) == 6


def test_search_json_is_one_document(call):
    facts = json.loads(call("search", PREDICTED, "--budget", "30", "--option", "population=10", "--json")[1])
    assert facts["evaluations"] == 30
    assert 0 < facts["hypervolume_share"]["score"] <= 1
    assert Run.load(facts["run"]).identity.searcher_options["population"] == 10


def test_demo_draws_the_front_and_writes_both_files(call, tmp_path):
    code, text, _ = call("demo", "--budget", "50")
    assert code == 0
    assert "error [percent, measured, one drawn seed]" in text
    assert "latency cpu [ms, measured]" in text
    assert "HV/HV*" in text
    assert (tmp_path / "front.html").stat().st_size > 20_000
    assert call("demo", "--budget", "50")[0] == 0  # again, over the old files


def test_demo_does_not_replace_what_is_not_its_own(call, tmp_path):
    (tmp_path / "run.parquet").write_text("precious")
    assert call("demo", "--budget", "20")[0] == 2
    assert (tmp_path / "run.parquet").read_text() == "precious"
    assert call("demo", "--budget", "20", "--force")[0] == 0
    code, _, message = call("demo", "--budget", "25")
    assert code == 2
    assert "--force" in message


def test_search_names_a_page_that_cannot_be_written_before_it_searches(call, tmp_path):
    (tmp_path / "file").write_text("x")
    assert call("search", PREDICTED, "--budget", "20", "--html", "file/page.html")[0] == 2
    assert not (tmp_path / "run.parquet").exists()


def test_a_damaged_card_does_not_hide_the_other_tables(call, tmp_path):
    folder = tmp_path / "cache" / "tables" / "broken-v1"
    folder.mkdir(parents=True)
    (folder / "card.md").write_bytes(b"---\nid: \xff\n---\n")
    code, text, _ = call("list", "tables")
    assert code == 0
    assert "damaged" in text
    assert "nb201-fpga-latency-modelled-v1" in text


def test_manifest_recomputes_the_published_one(call):
    from nasbench_mo.benchmark import Manifest, differences, published_manifest

    made = Manifest.from_json(call("manifest", PREDICTED)[1])
    published = published_manifest(PREDICTED)
    assert published is not None
    assert differences(published, made) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("query", "nb201s-c10-eyeris-v1", CELL), ["nb201s-c10-eyeriss-v1"]),
        (("query", PREDICTED, "|nor_conv_9x9~0|"), ["|nor_conv_9x9~0|", "not an architecture"]),
        (("show", "nsga4"), ["nsga2"]),
        (("predict", "nb201-c10-valerr-xgb-v9", CELL), ["nb201-c10-valerr-xgb-v1"]),
        (("search", PREDICTED, "--searcher", "nsga"), ["nsga2"]),
        (("search", PREDICTED, "--option", "population"), ["NAME=VALUE"]),
        (("search", PREDICTED, "--option", "popsize=5"), ["popsize"]),
        (("search", PREDICTED, "--out", "."), ["folder"]),
        (("search", PREDICTED, "--option", "seed=3"), ["--seed"]),
        (("search", PREDICTED, "--option", "population=99999999999"), ["population"]),
        (("search", PREDICTED, "--out", "a.parquet", "--html", "a.parquet"), ["same file"]),
        (("search", "nb201-c10-2080ti_1-v1"), ["nasbench-mo import"]),
        (("import", "colums", "file.csv"), ["columns"]),
        (("import", "columns", "absent.csv"), ["absent.csv"]),
        (("fetch", "nats"), ["nats"]),
        (("predictor", "train", "absent.yaml"), ["absent.yaml"]),
    ],
)
def test_wrong_input_is_one_sentence_exit_2_and_nothing_written(call, tmp_path, arguments, words):
    code, out, message = call(*arguments)
    assert code == 2
    assert out == ""
    assert message.startswith("error: ")
    assert "Traceback" not in message
    assert all(word in message for word in words), message
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(
    "arguments", [("search",), ("search", PREDICTED, "--budget", "0"), ("list", "things"), ("nonsense",)]
)
def test_wrong_usage_is_exit_2(call, arguments):
    code, _, message = call(*arguments)
    assert code == 2
    assert message


def test_our_own_fault_is_not_exit_2(call, monkeypatch):
    import nasbench_mo.cli.reading as reading

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(reading, "print_list", broken)
    with pytest.raises(ZeroDivisionError):
        call("list", "spaces")


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of commands, with the words that call it."""
    group = typer.main.get_command(app) if group is None else group
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def test_every_command_and_every_option_is_explained_within_80_columns(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    found = dict(commands())
    assert len(found) > 25
    for path, command in found.items():
        assert command.help, path
        hints = get_type_hints(command.callback, include_extras=True) if command.callback else {}
        for name, hint in hints.items():
            assert name == "return" or hint.__metadata__[0].help, (path, name)
        code, text, _ = call(*path, "--help")
        assert code == 0
        assert max(len(line) for line in text.splitlines()) <= 80, path
        cut = [line for line in text.partition("Commands:")[2].splitlines() if line.endswith("...")]
        assert not cut, (path, cut)


def test_installed_command_keeps_stdout_clean_in_a_pipe(tmp_path):
    command = Path(sys.executable).with_name("nasbench-mo")
    done = subprocess.run(
        [command, "search", PREDICTED, "--budget", "25", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["evaluations"] == 25
    assert done.stderr == ""


def test_real_tables_from_import_to_front(call, shared, tmp_path):
    specs = Path(__file__).parent / "specs"
    for folder, name in (("nasbench201", "nasbench201"), ("help-latency", "help_nasbench201")):
        code, text, message = call(
            "import", "columns", str(shared / folder / f"{name}.npz"), "--spec", str(specs / f"{name}.yaml")
        )
        assert (code, message) == (0, "")
    assert "equal to the published manifest" in text
    assert "+local" not in text
    problem = "nb201-c10-2080ti_1-v1"
    code, text, _ = call("query", problem, CELL)
    assert "91.5533" in text  # validation accuracy, mean of seeds 777, 888, 999
    assert "94.3633" in text
    assert "seed 888" in text
    facts = json.loads(call("search", problem, "--budget", "500", "--json")[1])
    assert facts["problem"] == problem
    assert facts["hypervolume_share"]["score"] > 0.98
    assert facts["hypervolume_share"]["test"] > 0.97
