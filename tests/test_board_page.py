"""The page, the index and the README of a board: complete, reproducible, and deaf to what is written in submissions."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_page_helpers import NAMES, TARGETS, board, renamed
from typer.testing import CliRunner

from nasbench_mo.cli.app import app
from nasbench_mo.cli.board_page import render, write_pages
from nasbench_mo.errors import FormatError, UnknownNameError
from nasbench_mo.leaderboard.markdown import board_markdown
from nasbench_mo.leaderboard.page import render_board, render_index
from nasbench_mo.leaderboard.results import BoardResults, Comparison, Estimate, Standing

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]> & &lt; \u2028 \\u003c \" ' `${1}` {{data}} {{title}}",
)


@pytest.fixture(scope="module")
def six() -> BoardResults:
    return board()


@pytest.fixture(scope="module")
def page(six: BoardResults) -> str:
    return render_board(six)


class Reader(HTMLParser):
    """Elements with their attributes and the text of scripts, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)


def payload(html: str) -> Any:
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    assert block is not None
    assert not set("<>&") & set(block[1])
    return json.loads(block[1])


def changed(results: BoardResults, name: str, **values: Any) -> BoardResults:
    """The results with another outcome of a searcher on the first problem."""
    first = results.problems[0]
    result = dataclasses.replace(first.results[name], **values)
    problem = dataclasses.replace(first, results={**first.results, name: result})
    return dataclasses.replace(results, problems=(problem, *results.problems[1:]))


def test_same_results_give_the_same_bytes() -> None:
    one, two = board(seed=3), board(seed=3)
    assert render_board(one) == render_board(two) != render_board(board(seed=4))
    assert board_markdown(one) == board_markdown(two)
    assert render_index([one]) == render_index([two])
    # Not even the order in which mappings were filled matters.
    entries = tuple(dataclasses.replace(e, options=dict(reversed(e.options.items()))) for e in one.entries)
    shuffled = dataclasses.replace(
        one,
        entries=entries[::-1],
        ecdf=dict(reversed(one.ecdf.items())),
        comparison=dataclasses.replace(one.comparison, pairs=dict(reversed(one.comparison.pairs.items()))),
    )
    assert render_board(shuffled) == render_board(one)
    assert board_markdown(shuffled) == board_markdown(one)


def test_page_shows_the_numbers_of_the_results(six: BoardResults, page: str) -> None:
    data = payload(page)
    assert [q["name"] for q in data["searchers"]] == [s.searcher for s in six.standings]
    assert [q["rank"] for q in data["searchers"]] == pytest.approx([s.rank for s in six.standings], rel=1e-6)
    assert data["budget"] == six.budget
    assert data["targets"] == list(six.targets)
    entries = {e.searcher: e for e in six.entries}
    for shown in data["searchers"]:
        entry = entries[shown["name"]]
        assert (shown["source"], shown["software"], shown["ok"]) == (entry.source, entry.software, entry.verified)
        assert shown["options"] == [
            [k, f"{v:.10g}" if isinstance(v, float) else str(v)] for k, v in sorted(entry.options.items())
        ]
    for p, problem in zip(data["problems"], six.problems, strict=True):
        assert (p["id"], p["exact"], len(p["front"])) == (problem.id, problem.exact, len(problem.true_front))
        for shown, made in zip(data["searchers"], p["results"], strict=True):
            result = problem.results[shown["name"]]
            assert made["runs"] == result.n_runs
            np.testing.assert_allclose(1 - np.array(made["final"]), np.sort(result.final)[::-1], atol=1e-4)
            order = np.lexsort(result.front.T[::-1])
            np.testing.assert_allclose(made["front"], result.front[order], rtol=1e-6)
            assert [data["archs"][k] for k in made["archs"]] == [result.front_archs[i] for i in order]


def test_curve_is_its_steps(six: BoardResults, page: str) -> None:
    """Read as a step function, what the page has of a curve is the curve, to the digits that are drawn."""
    data = payload(page)
    for p, problem in zip(data["problems"], six.problems, strict=True):
        for shown, made in zip(data["searchers"], p["results"], strict=True):
            result = problem.results[shown["name"]]
            at = np.searchsorted(made["e"], result.evaluations, side="right") - 1
            drawn = 1 - np.array(made["gap"]).T[at]
            np.testing.assert_allclose(drawn, result.hypervolume_share, atol=6e-5)
            assert len(made["e"]) <= 160
            assert made["e"][-1] == six.budget


def test_a_long_curve_is_thinned_but_keeps_its_ends() -> None:
    results = board(3)
    e = np.arange(1, 5001)
    shares = np.repeat((e / 5000.0)[:, None], 3, axis=1)
    long = changed(results, NAMES[0], evaluations=e, hypervolume_share=shares)
    made = next(r for r in payload(render_board(long))["problems"][0]["results"] if len(r["e"]) > 100)
    assert len(made["e"]) <= 161
    assert made["e"][0] == 1
    assert made["e"][-1] == 5000
    assert made["gap"][1][-1] == 0


def test_the_last_bits_of_a_hypervolume_do_not_reach_the_page() -> None:
    """They differ between kinds of processors, and a page is the same on all."""
    pages = set()
    for bits in (-2, 0, 1, 3):
        shares = np.array([[0.5, 0.7, 0.9], [0.8, 0.9, 1.0]]) + bits * 2.0**-53
        final = np.array([0.7, 0.9, 1.0, 1.0]) + bits * 2.0**-53
        made = changed(board(3), NAMES[0], evaluations=np.array([1, 500]), hypervolume_share=shares, final=final)
        pages.add(render_board(made))
    assert len(pages) == 1
    assert payload(pages.pop())["problems"][0]["results"][0]["final"] == [0, 0, 0.1, 0.3]


def test_what_was_never_reached_is_null_on_the_page_and_over_budget_in_words(six: BoardResults, page: str) -> None:
    worst = six.standings[-1].searcher
    assert math.isinf(six.problems[0].results[worst].to_target[0.999].value)
    assert payload(page)["problems"][0]["results"][-1]["to"][-1] == [None, None, None]
    rows = [line for line in board_markdown(six).splitlines() if line.startswith(f"| {worst} |")]
    assert rows
    assert "| > 500 |" in rows[0]


def test_a_problem_that_a_searcher_did_not_run_is_left_empty() -> None:
    results = board()
    gone = NAMES[2]
    first = results.problems[0]
    partial = dataclasses.replace(
        first,
        results={k: v for k, v in first.results.items() if k != gone},
        ranks={k: v for k, v in first.ranks.items() if k != gone},
    )
    data = payload(render_board(dataclasses.replace(results, problems=(partial, *results.problems[1:]))))
    place = [q["name"] for q in data["searchers"]].index(gone)
    assert data["problems"][0]["results"][place] is None
    assert data["problems"][0]["ranks"][place] is None
    assert data["problems"][1]["results"][place] is not None


def test_contradictory_results_are_refused() -> None:
    results = board()
    with pytest.raises(FormatError, match=r"only entries: \['mo_bananas'\]"):
        render_board(dataclasses.replace(results, standings=results.standings[1:]))
    with pytest.raises(FormatError, match="not in the standings"):
        short = dataclasses.replace(
            results,
            standings=results.standings[1:],
            entries=tuple(e for e in results.entries if e.searcher != NAMES[0]),
        )
        render_board(short)
    with pytest.raises(FormatError, match="an architecture for each"):
        render_board(changed(results, NAMES[0], front_archs=()))
    with pytest.raises(FormatError, match="finite numbers; got nan"):
        render_board(changed(results, NAMES[0], final=np.array([0.5, np.nan])))
    pairs = {("nobody", NAMES[0]): (0.5, 0.5)}
    with pytest.raises(FormatError, match="'nobody'"):
        render_board(dataclasses.replace(results, comparison=dataclasses.replace(results.comparison, pairs=pairs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_strings_of_a_submission_cannot_become_markup(six: BoardResults, page: str, text: str) -> None:
    attacked = dataclasses.replace(renamed(six, "tpe", text), title=text, about=text, rules=text)
    plain, hostile = Reader(page), Reader(render_board(attacked))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert hostile.scripts[-1] == plain.scripts[-1]
    data = payload(render_board(attacked))
    assert [q["source"] for q in data["searchers"] if q["name"] == text] == [text]
    assert text in data["archs"]
    index = Reader(render_index([attacked]))
    assert [tag for tag, _ in index.elements] == [tag for tag, _ in Reader(render_index([six])).elements]


@pytest.mark.parametrize("text", [*HOSTILE, "a|b", "[x](https://example.org)", "**bold**", "`code`", "two\nlines"])
def test_strings_of_a_submission_are_plain_text_in_the_readme(six: BoardResults, text: str) -> None:
    plain, attacked = board_markdown(six), board_markdown(renamed(six, "tpe", text))
    assert len(attacked.splitlines()) == len(plain.splitlines())
    assert "<" not in attacked.replace("< 0.001", "")
    for mine, theirs in zip(plain.splitlines(), attacked.splitlines(), strict=True):
        if mine.startswith("|"):  # as many cells: an unescaped bar would add one
            assert len(re.findall(r"(?<!\\)\|", theirs)) == len(re.findall(r"(?<!\\)\|", mine))
    assert "](https://example" not in attacked.replace("\\]", "")


def test_script_puts_strings_on_the_page_as_text_only(page: str, six: BoardResults) -> None:
    for html in (page, render_index([six])):
        code = Reader(html).scripts[-1]
        for door in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert door not in code


def test_pages_are_self_contained(page: str, six: BoardResults) -> None:
    for html in (page, render_index([six])):
        assert "{{" not in html
        assert "http://" not in html
        assert "https://" not in html
        assert not re.search(r"@import|url\((?!#)|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|\bimport\(", html)
        for tag, attrs in Reader(html).elements:
            assert "src" not in attrs, tag
            assert (attrs.get("href") or "#").startswith(("#", "data:,", "../index.html")), tag


def test_only_its_own_style_and_script_may_run(page: str, six: BoardResults) -> None:
    for html in (page, render_index([six])):
        policy = next(
            a["content"] for _, a in Reader(html).elements if a.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy is not None
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for opening, closing in (("<script>", "</script>"), ("<style>", "</style>")):
            source = html.split(opening)[1].split(closing)[0]
            assert f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'" in policy


def test_every_id_of_the_script_exists_once(page: str) -> None:
    reader = Reader(page)
    ids = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'\$\("([\w-]+)"\)', reader.scripts[-1]))
    assert len(used) > 30
    assert used <= {*ids, "fronts-over", "searcher-title"}


#: G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A physiologically-based model for simulation of color vision
#: deficiency", IEEE TVCG 15(6), 2009: no deficiency, then protanopia, deuteranopia and tritanopia on linear RGB.
VISION = (
    np.eye(3),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
)
RGB_TO_XYZ = np.array([[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07218], [0.01933, 0.11919, 0.95030]])


def linear(colour: str) -> np.ndarray[Any, Any]:
    c = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    v = RGB_TO_XYZ @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_seven_colours_stay_apart_in_every_vision(page: str, scheme: int) -> None:
    colours = [pair[scheme] for pair in re.findall(r"--c\d: light-dark\((#\w{6}), (#\w{6})\)", page)]
    card = re.search(r"--card: light-dark\((#\w{6}), (#\w{6})\)", page)
    assert card is not None
    assert len(colours) == 7
    for matrix in VISION:
        seen = [lab(matrix @ linear(colour)) for colour in colours]
        nearest = min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i])
        assert nearest > 20  # CIE 1976; 2 is just noticeable side by side, and lines are thin and apart
    background = float(RGB_TO_XYZ[1] @ linear(card[scheme + 1]))
    for colour in colours:
        light, dark = sorted((float(RGB_TO_XYZ[1] @ linear(colour)), background), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3  # WCAG 2.2, 1.4.11


def test_the_largest_board_stays_under_three_megabytes() -> None:
    results = board(20, n_problems=3)
    problems = tuple(dataclasses.replace(results.problems[k % 3], id=f"problem-{k}-v1") for k in range(50))
    large = dataclasses.replace(results, problems=problems)
    assert len(render_board(large).encode()) < 3_000_000
    assert len(render_board(results).encode()) < 800_000


def test_a_board_of_one_searcher_and_one_of_none_are_pages() -> None:
    one = payload(render_board(board(1, n_problems=1)))
    assert one["friedman"] is None
    assert "No test over all searchers" in board_markdown(board(1, n_problems=1))
    nothing = dataclasses.replace(
        board(2),
        problems=(),
        entries=(),
        standings=(),
        ecdf={},
        comparison=Comparison(friedman_p=None, critical_difference=None, pairs={}, cliques=()),
    )
    assert payload(render_board(nothing))["searchers"] == []
    assert board_markdown(nothing).startswith("# A board nobody ran")


def test_readme_says_who_does_not_differ(six: BoardResults) -> None:
    text = board_markdown(six)
    assert "the searchers differ (Friedman test, p = 0.003)" in text
    assert r"No significant difference between mo\_bananas, nsga2 and local\_search." in text
    alike = dataclasses.replace(six, comparison=dataclasses.replace(six.comparison, friedman_p=0.4))
    assert "No significant difference between the searchers over all problems" in board_markdown(alike)
    assert r"mo\_bananas shows no significant difference from nsga2, local\_search" in text
    first, second = (s.searcher for s in six.standings[:2])
    pairs = {(second, first): (0.01, 0.2)}  # the other way round: the second is rarely better
    beaten = dataclasses.replace(six, comparison=dataclasses.replace(six.comparison, pairs=pairs))
    assert r"mo\_bananas is significantly better than nsga2." in board_markdown(beaten)


def test_readme_has_the_standings_in_order(six: BoardResults) -> None:
    lines = board_markdown(six).splitlines()
    rows = [line for line in lines if re.match(r"\| \d+ \|", line)]
    assert [row.split("|")[2].replace("\\", "").replace("✓", "").strip() for row in rows] == [
        s.searcher for s in six.standings
    ]
    assert all(len(row.split("|")) == 7 + len(TARGETS) for row in rows)
    assert "[index.html](index.html)" in "\n".join(lines)


def test_index_lists_boards_in_order_with_their_leaders(six: BoardResults) -> None:
    other = dataclasses.replace(board(9), id="other-v1", title="Another")
    cards = payload(render_index([six, other]))["boards"]
    assert [(c["id"], c["title"], len(c["searchers"]), len(c["ecdf"])) for c in cards] == [
        ("made-up-v1", "A board nobody ran", 6, 5),
        ("other-v1", "Another", 9, 5),
    ]
    assert payload(render_index([]))["boards"] == []


def test_files_are_written_beside_each_other_and_again_the_same(six: BoardResults, tmp_path: Path) -> None:
    made = write_pages([six], out=tmp_path, index=True)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in made) == [
        "index.html",
        "made-up-v1/README.md",
        "made-up-v1/index.html",
        "made-up-v1/standings.csv",
    ]
    before = {path: path.read_bytes() for path in made}
    assert {path: path.read_bytes() for path in write_pages([six], out=tmp_path, index=True)} == before
    assert payload((tmp_path / "made-up-v1" / "index.html").read_text())["index"] is True
    alone = write_pages([six], out=tmp_path / "alone", index=False)
    assert len(alone) == 3
    assert payload((tmp_path / "alone" / "made-up-v1" / "index.html").read_text())["index"] is False


def test_the_command_writes_what_it_says(six: BoardResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasbench_mo.cli.board_page._ranked", lambda name: dataclasses.replace(six, id=name))
    done = CliRunner().invoke(app, ["board", "render", "one-v1", "two-v1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")) == [
        f"{board}/{name}" for board in ("one-v1", "two-v1") for name in ("README.md", "index.html", "standings.csv")
    ]
    assert done.output.count("wrote") == 6
    monkeypatch.setattr("nasbench_mo.cli.board_page.available", lambda kind: [])
    with pytest.raises(UnknownNameError, match="there is no board to render"):
        render([], out=tmp_path)


def test_missing_estimates_are_dashes() -> None:
    results = changed(board(3), NAMES[0], to_target={0.9: Estimate(value=3.0, low=2.0, high=math.inf)}, indicators={})
    text = board_markdown(results)
    assert "3 [2, > 500] | – | – | – |" in text
    assert payload(render_board(results))["problems"][0]["results"][0]["to"] == [[3, 2, None], None, None, None]


def test_a_standing_without_a_target_is_a_dash() -> None:
    results = board(2)
    standings = tuple(
        Standing(searcher=s.searcher, rank=s.rank, wins=s.wins, ecdf_area=s.ecdf_area, reached={})
        for s in results.standings
    )
    bare = dataclasses.replace(results, standings=standings)
    assert payload(render_board(bare))["searchers"][0]["reached"] == [None] * len(TARGETS)
    assert "| – | – | – | – |" in board_markdown(bare)
