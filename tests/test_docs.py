"""Every block of every page in docs is run, in the order in which a reader meets it."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_helpers import fences, run_page

from nasbench_mo.registry import Registry

ROOT = Path(__file__).parents[1]
#: What can be added from outside, each with a page.
WHAT = ("space", "problem", "table", "device", "predictor", "searcher", "board-entry")
PAGES = [ROOT / "docs" / f"extending-{what}.md" for what in WHAT]
#: The example of this page is a package, tests/plugin_example, which test_plugins.py installs.
ELSEWHERE = ROOT / "docs" / "extending-plugins.md"
#: Reports of what was measured; they show no code, and the commands they name take hours.
STUDIES = sorted((ROOT / "docs" / "studies").glob("*.md"))


def _forget_plugins() -> None:
    """Look for entry points again: a page may just have installed one."""
    for registry in gc.get_objects():
        if type(registry) is Registry:
            registry._plugins = None
            registry._reported.clear()


@pytest.fixture
def scratch(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, empty and on the path."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("COLUMNS", "100")
    before = set(sys.modules)
    _forget_plugins()
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
    monkeypatch.undo()
    _forget_plugins()


def test_every_page_is_run_by_some_test() -> None:
    assert set((ROOT / "docs").glob("*.md")) == {*PAGES, ELSEWHERE}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_does_what_it_says(page: Path, scratch: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert run_page(text, name=page.name) == text.count("```") // 2


@pytest.mark.parametrize("page", [*PAGES, ELSEWHERE, *STUDIES], ids=lambda page: page.stem)
def test_links_of_a_page_point_at_files_and_its_files_are_named_once(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link
    files = [block.file for block in fences(text) if block.file]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "but it is"),
        ("```console\nnasbench-mo show no-such-thing\n```\n", "no-such-thing"),
        ("```console\nrm -rf /\n```\n", "a page may run"),
        ("```bash\nls\n```\n", "this block is not run"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(page: str, says: str, scratch: Path) -> None:
    with pytest.raises(AssertionError, match=says):
        run_page(page, name="page")
