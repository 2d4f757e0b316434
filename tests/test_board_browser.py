"""The page of a board in a headless Chromium: it draws, and sorting, pointing, filtering and choosing work."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_page_helpers import board, renamed
from browser_helpers import Browser, browser, needs_chromium

from nasbench_mo.cli.board_page import write_pages

pytestmark = needs_chromium

ATTACK = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("boards")
    hostile = dataclasses.replace(renamed(board(), "tpe", ATTACK), id="hostile-v1", title=ATTACK)
    many = dataclasses.replace(board(20, n_problems=8, budget=1000), id="many-v1")
    single = dataclasses.replace(board(1, n_problems=1), id="single-v1")
    write_pages([board(), hostile, many, single], out=out, index=True)
    return out


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(chromium: Browser, folder: Path) -> Iterator[Browser]:
    """The board of six searchers, freshly opened; afterwards nothing may have gone wrong or left the file system."""
    chromium.problems.clear()
    chromium.requests.clear()
    chromium.open(folder / "made-up-v1" / "index.html")
    yield chromium
    assert chromium.problems == []
    assert chromium.requests
    assert all(url.startswith("file://") for url in chromium.requests)


def names(page: Browser, table: str = "standings") -> list[str]:
    found: list[str] = page.js(
        f"[...document.querySelectorAll('#{table} tbody tr .link span')].map(e => e.textContent)"
    )
    return found


def text(page: Browser, selector: str) -> str:
    found: str = page.js(f"document.querySelector('{selector}').innerText")
    return found


def count(page: Browser, selector: str) -> int:
    found: int = page.js(f"document.querySelectorAll('{selector}').length")
    return found


def test_everything_is_drawn(page: Browser) -> None:
    assert text(page, "h1") == "A board nobody ran"
    assert len(names(page)) == 6
    assert count(page, "#ecdf path.line") == count(page, "#curves path.line") == 6
    assert count(page, "#curves path.bandarea") == 6
    assert count(page, "#fronts circle.exact") > 10
    assert count(page, "#panels button") == 3
    assert count(page, "#cd path.clique") == 4
    assert "no significant difference from nsga2 and local_search" in text(page, "#words")
    assert "> 500" in text(page, "#targets")
    assert (
        page.js(
            "[...document.querySelectorAll('svg [d]')].some(e => /NaN|undefined|Infinity/.test(e.getAttribute('d')))"
        )
        is False
    )


def test_a_click_on_a_heading_sorts_and_says_so(page: Browser) -> None:
    first = names(page)
    page.click('#standings th button[data-key="name"]')
    assert names(page) == sorted(first)
    assert (
        page.js("""document.querySelector('#standings th button[data-key="name"]').parentNode.ariaSort""")
        == "ascending"
    )
    assert page.js("document.activeElement.dataset.key") == "name"
    page.press("Enter")
    page.js("document.activeElement.click()")
    assert names(page) == sorted(first, reverse=True)
    assert count(page, '#standings [aria-sort="descending"]') == 1
    page.click('#targets th button[data-key="t3"]')  # those that never got there stay below
    column = page.js("[...document.querySelectorAll('#targets tbody tr')].map(r => r.lastChild.innerText)")
    assert column[-1].startswith("> 500")
    assert not column[0].startswith(">")


def test_pointing_at_curves_lists_the_values(page: Browser) -> None:
    for chart in ("curves", "ecdf"):
        page.point_at(f"#{chart}", across=0.5)
        assert page.js(f"document.getElementById('{chart}-tip').hidden") is False
        assert text(page, f"#{chart}-tip").startswith("after ")
        assert count(page, f"#{chart}-tip .row") == 6
        page.point(2, 2)
        assert page.js(f"document.getElementById('{chart}-tip').hidden") is True


def test_arrow_keys_move_along_a_chart_and_a_front(page: Browser) -> None:
    page.js("document.getElementById('curves').focus()")
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert "mo_bananas" in text(page, "#curves-tip")
    assert "evaluations: " in page.js("document.getElementById('live').textContent")
    page.press("Escape")
    assert page.js("document.getElementById('curves-tip').hidden") is True
    page.js("document.getElementById('fronts').focus()")
    page.press("ArrowRight")
    assert "error on CIFAR-10" in text(page, "#fronts-tip")


def test_pointing_at_a_front_shows_values_and_architecture(page: Browser) -> None:
    at = page.js(
        """(() => { document.getElementById('fronts').scrollIntoView({block: 'center'});
        const r = document.querySelector('#fronts .front [data-i="0"] path[fill]:not(.line)').getBoundingClientRect();
        return [r.x + r.width / 2, r.y + r.height / 2]; })()"""
    )
    page.point(*at)
    tip = text(page, "#fronts-tip")
    assert "latency on an FPGA" in tip
    assert "~0|+|" in tip
    assert count(page, "#fronts-tip .cell .edge") == 6


def test_the_filter_narrows_tables_and_legend(page: Browser) -> None:
    page.click("#filter")
    page.type("nsga2")
    assert names(page) == ["nsga2"] == names(page, "final") == names(page, "targets")
    assert count(page, "#legend li") == 1
    page.type(" no such searcher")
    assert names(page) == []
    assert text(page, "#legend-note") == "No searcher matches."


def test_the_legend_shows_and_hides_curves(page: Browser) -> None:
    page.click("#legend li:nth-child(2) .name")
    assert count(page, "#curves path.line") == count(page, "#ecdf path.line") == 5
    assert page.js("document.querySelector('#legend li:nth-child(2) .name').ariaPressed") == "false"
    page.click("#show-none")
    assert count(page, "#curves path.line") == 0
    page.click("#show-all")
    assert count(page, "#curves path.line") == 6


def test_a_searcher_opens_is_brought_forward_and_closes(page: Browser) -> None:
    page.click("#standings tbody tr:nth-child(3) .link")
    shown = text(page, "#searcher")
    for part in ("local_search", "A searcher of that name", "nasbench-mo 0.1.0", "population", "verified"):
        assert part in shown
    assert "No significant difference from" in shown
    assert count(page, "#curves .strong path.line") == 1
    assert count(page, "#curves .dim") >= 5
    assert "searcher=local_search" in page.js("location.hash")
    page.point(2, 2)
    page.press("Escape")
    assert page.js("document.getElementById('searcher').hidden") is True
    assert count(page, "#curves .dim") == 0


def test_pairs_are_compared_in_words(page: Browser) -> None:
    assert text(page, "#pair-words").startswith("No significant difference between mo_bananas and nsga2 (Wilcoxon")
    page.click(".all summary")
    page.settle()
    assert count(page, "#matrix circle") == 6
    page.click('#matrix [data-pair="0 5"]')
    assert text(page, "#pair-words").startswith("mo_bananas is significantly better than random (Wilcoxon")
    assert page.js("document.getElementById('pair-b').selectedOptions[0].textContent") == "random"


def test_problems_axes_views_and_scales(page: Browser) -> None:
    page.click('[data-scale="linear"]')
    assert "higher is better" in page.js("document.getElementById('curves').textContent")
    page.click('[data-xscale="log"]')
    assert page.js("""document.querySelector('[data-xscale="log"]').ariaPressed""") == "true"
    assert page.js("document.getElementById('axes').hidden") is True
    page.click('#views [data-view="0.5"]')
    assert "50 % of the runs attain" in text(page, "#fronts-note")
    page.click("#next")
    assert text(page, "#problem-title") == "Problem nb201-c10-made-up-1-v1"
    assert page.js("document.getElementById('axes').hidden") is False
    assert count(page, "#views button") == 1
    page.js(
        "(() => { const a = document.getElementById('axis-x'); a.value = 2; a.dispatchEvent(new Event('change')); })()"
    )
    assert "energy [mJ], predicted →" in page.js("document.getElementById('fronts').textContent")
    page.click("#panels li:nth-child(3) button")
    assert "best front known" in text(page, "#problem-note")
    assert count(page, "#fronts circle.exact") == 0


def test_colours_follow_the_system_and_the_button(page: Browser, folder: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.js(background)
    page.click("#theme")
    dark = page.js(background)
    assert dark != light
    page.click("#theme")
    assert page.js(background) == light
    page.js("localStorage.clear()")
    page.open(folder / "made-up-v1" / "index.html", dark=True)
    assert page.js(background) == dark


def test_nothing_is_wider_than_a_phone(page: Browser, folder: Path) -> None:
    for name in ("made-up-v1/index.html", "many-v1/index.html", "index.html"):
        page.open(folder / name, width=390, height=844)
        assert page.js("document.documentElement.scrollWidth") <= 390
        page.js("for (const e of document.querySelectorAll('details')) e.open = true")
        page.settle()
        assert page.js("document.documentElement.scrollWidth") <= 390


def test_an_address_opens_its_problem_and_searcher(page: Browser) -> None:
    page.js("location.hash = '#problem=nb201-c10-made-up-2-v1&searcher=random'")
    page.settle()
    assert text(page, "#problem-title") == "Problem nb201-c10-made-up-2-v1"
    assert text(page, "#searcher-title") == "random"


def test_a_hostile_name_is_text(page: Browser, folder: Path) -> None:
    page.js("1")
    page.open(folder / "hostile-v1" / "index.html")
    assert ATTACK in names(page)
    assert text(page, "h1") == ATTACK
    assert count(page, "script") == 2
    place = names(page).index(ATTACK) + 1
    page.click(f"#standings tbody tr:nth-child({place}) .link")
    assert text(page, "#searcher-title") == ATTACK
    page.open(folder / "index.html")
    assert count(page, "#boards li") == 4
    assert count(page, "script") == 2


def test_twenty_searchers_look_different_and_one_is_enough(page: Browser, folder: Path) -> None:
    page.open(folder / "many-v1" / "index.html")
    assert count(page, "#curves path.line") == 8
    page.click("#show-all")
    assert count(page, "#curves path.line") == 20
    keys = page.js("[...document.querySelectorAll('#standings .key')].map(e => e.innerHTML)")
    assert len(set(keys)) == 20
    page.open(folder / "single-v1" / "index.html")
    assert count(page, "#curves path.line") == 1
    assert page.js("document.getElementById('pair-part').hidden") is True
