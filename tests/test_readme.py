"""Everything README shows is run here: its Python with its output, its commands, its files and its figures."""

from __future__ import annotations

import inspect
import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from markdown_helpers import called, fences, printed

from nasbench_mo import artifacts
from nasbench_mo.predictor.report import figures_markdown
from nasbench_mo.search import SEARCHERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = fences(README)
COMMANDS = [line for block in FENCES if block.kind == "console" for line in block.text.splitlines()]
#: Commands whose file the reader has to bring; here they must say so, in one sentence.
NEED_A_FILE = ("import", "fetch", "table")


def test_python_prints_what_readme_says():
    names: dict[str, Any] = {}
    pairs = [(a.text, b.text) for a, b in itertools.pairwise(FENCES) if (a.kind, b.kind) == ("python", "text")]
    assert len(pairs) == sum(block.kind == "python" for block in FENCES)
    for code, expected in pairs:
        assert printed(code, names, page="README.md") == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_do_what_readme_says(command, monkeypatch, tmp_path):
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(command)
    if arguments[1] == "fetch":
        pytest.skip("fetch reaches the network; the download itself is tested against a local server")
    code, out, err = called(command)
    if arguments[1] in NEED_A_FILE:
        assert code == 2
        assert arguments[3] in err or "FOLDER" in err
    else:
        assert code == 0, err
        assert out.strip()


def test_make_targets_of_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^ +make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_links_point_at_files():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_predictor_figures_are_those_of_the_cards():
    rows = re.findall(
        r"^\| `(nb201-\S+-(?:xgb|gp)-v1)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", README, flags=re.MULTILINE
    )
    assert {name for name, *_ in rows} == {
        name for name in artifacts.available("predictors") if "-valerr" in name and "nb201" in name
    }
    for name, tau, rmse, coverage in rows:
        held_out = artifacts.read_card(artifacts.resolve("predictors", name))["held_out"]
        assert float(tau) == pytest.approx(held_out["kendall_tau_b"], abs=6e-4)
        assert float(rmse) == pytest.approx(held_out["rmse_percent"], abs=6e-3)
        assert float(coverage) == pytest.approx(held_out["coverage_of_90_percent_intervals"], abs=6e-4)


def test_the_table_of_searchers_has_every_one_with_its_defaults():
    rows = re.findall(r"^\| (`[^|]+`) \|[^|]+\|[^|]+\| ([^|]+) \| (?:core|`bayes`)", README, flags=re.MULTILINE)
    named = [name for names, _ in rows for name in re.findall(r"`([\w-]+)`", names)]
    assert sorted(named) == sorted(SEARCHERS.names())
    for names, cell in rows:
        shown = re.findall(r"`(\w+)=([^`]+)`", cell)
        defaults = [(k, v) for name in re.findall(r"`([\w-]+)`", names) for k, v in _defaults(name).items()]
        for option, value in shown:
            assert (option, value) in defaults, (names, option)
        unnamed = {option for option, value in defaults if value} - {option for option, _ in shown}
        assert not unnamed, names


def _defaults(name: str) -> dict[str, str]:
    """Options of a searcher and what they are unless told, as README writes them."""
    parameters = inspect.signature(SEARCHERS.get(name)).parameters.values()
    options = {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "seed"}
    return {option: f"{v:.3g}" if isinstance(v, float) and v != round(v) else str(v) for option, v in options.items()}


def test_families_of_predictors_are_those_present():
    table = README.partition("| predicts | predictors |")[2].partition("\n\n")[0]
    n_installed = int(re.search(r"^(\d+) predictors are installed", README, flags=re.MULTILINE)[1])
    installed = set(artifacts.available("predictors"))
    assert len(installed) == n_installed
    for pattern, figures in re.findall(r"\| `([^`]+)` \| ([\d. to]+) \|$", table, flags=re.MULTILINE):
        expression = re.sub(r"\{device\}", r"[a-z0-9_]+", pattern)
        expression = re.sub(r"\{([^}]*)\}", lambda m: "(?:" + m[1].replace(",", "|") + ")", expression)
        members = {name for name in installed if re.fullmatch(expression, name)}
        assert members, pattern
        taus = [
            artifacts.read_card(artifacts.resolve("predictors", name))["held_out"]["kendall_tau_b"] for name in members
        ]
        shown = [float(v) for v in figures.split(" to ")]
        assert shown == pytest.approx([min(taus), max(taus)][: len(shown)], abs=6e-4), pattern
        installed -= members
    assert not installed


def test_the_table_of_all_predictors_is_current():
    text = (ROOT / "predictors" / "README.md").read_text(encoding="utf-8")
    folders = sorted((ROOT / "predictors").glob("*/card.md"))
    table = figures_markdown([path.parent for path in folders], command="nasbench-mo predictor figures")
    assert table.strip() in text
