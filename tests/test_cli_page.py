"""The HTML page of a front: complete, self-contained, and safe against what is written in its strings."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo.cli.page import KINDS, Axis, FrontPage, render_page, write_page
from nasbench_mo.errors import FormatError, FrontError, NasbenchMoError, ObjectiveError

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script x=1 ><script>alert(1)</script >",
    "</SCRIPT/",
    "<!--<script>",
    "]]> & &lt; \u2028 \u2029 \\u003c \" ' `${1}` {{data}} {{title}}",
)


def cell(rng: np.random.Generator) -> str:
    op = [OPS[k] for k in rng.integers(len(OPS), size=6)]
    return f"|{op[0]}~0|+|{op[1]}~0|{op[2]}~1|+|{op[3]}~0|{op[4]}~1|{op[5]}~2|"


def page(n: int = 30, *, m: int = 2, seed: int = 0) -> FrontPage:
    rng = np.random.default_rng(seed)
    F = rng.gamma(2.0, size=(n, m))
    on_front = np.array([not any((F <= f).all(1) & (F < f).any(1)) for f in F], dtype=bool)
    axes = (
        Axis(label="error on CIFAR-10", column="error_percent", unit="percent", kind="measured"),
        Axis(label="latency", column="latency_ms", unit="ms", kind="predicted"),
        Axis(label="energy", column="energy_mj", unit="mJ", kind="modelled"),
        Axis(label="size", column="params_count", unit="count", kind="derived"),
        Axis(label="second latency", column="latency_b_ms", unit="ms", kind="measured"),
    )
    return FrontPage(
        title="nb201-c10-x-v1",
        subtitle="searched by random",
        axes=axes[:m],
        architectures=tuple(cell(rng) for _ in range(n)),
        F=F,
        on_front=on_front,
        true_front=F[on_front] * 0.9,
        hypervolume_share=np.linspace(0.1, 0.97, n),
        facts=(("seed", "0"),),
    )


class Reader(HTMLParser):
    """Collects what a browser would see: elements with attributes, and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: dict[str, str] = {}
        self._inside: tuple[str, dict[str, str | None]] = ("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = (tag, dict(attrs))
        self.elements.append(self._inside)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ("", {})

    def handle_data(self, data: str) -> None:
        tag, attrs = self._inside
        if tag == "script":
            self.scripts.append((attrs, data))
        self.text[tag] = self.text.get(tag, "") + data

    @classmethod
    def of(cls, text: str) -> Reader:
        reader = cls()
        reader.feed(text)
        reader.close()
        return reader

    @property
    def payload(self) -> Any:
        texts = [data for attrs, data in self.scripts if attrs.get("type") == "application/json"]
        assert len(texts) == 1
        return json.loads(texts[0])


def hostile_page(text: str) -> FrontPage:
    base = page(4)
    return dataclasses.replace(
        base,
        title=text,
        subtitle=text,
        architectures=(text,) * 4,
        axes=tuple(dataclasses.replace(axis, label=text, column=text, unit=text) for axis in base.axes),
        facts=((text, text),),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_strings_cannot_become_markup(text: str) -> None:
    plain, attacked = Reader.of(render_page(page(4))), Reader.of(render_page(hostile_page(text)))
    assert attacked.elements[-1] == plain.elements[-1]
    assert [tag for tag, _ in attacked.elements] == [tag for tag, _ in plain.elements]
    assert not [name for _, attrs in attacked.elements for name in attrs if name.startswith("on")]
    assert attacked.text["title"].strip() == text
    assert attacked.payload["architectures"] == [text] * 4
    assert attacked.payload["facts"] == [[text, text]]
    assert attacked.payload["axes"][0]["label"] == text


markup = st.sampled_from(["<", ">", "&", "/", "!--", "script", " ", "=", '"', "'", "\\", "u003c", "é", "\u2028", "\0"])


@given(text=st.text(max_size=30) | st.lists(markup, max_size=20).map("".join))
@settings(deadline=None, max_examples=40)
def test_any_text_survives_the_json_block_and_opens_no_element(text: str) -> None:
    html = render_page(hostile_page(text))
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    assert block is not None
    assert not set("<>&") & set(block[1])
    assert json.loads(block[1])["title"] == text


def test_script_puts_strings_on_the_page_as_text_only() -> None:
    code = Reader.of(render_page(page())).scripts[-1][1]
    assert "textContent" in code
    for door in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert door not in code


@pytest.mark.parametrize("m", [2, 3, 5])
def test_numbers_come_back_exactly(m: int) -> None:
    shown = page(25, m=m)
    data = Reader.of(render_page(shown)).payload
    np.testing.assert_array_equal(np.array(data["F"]), shown.F)
    np.testing.assert_array_equal(np.array(data["true_front"]), shown.true_front)
    np.testing.assert_array_equal(np.array(data["hypervolume_share"]), shown.hypervolume_share)
    np.testing.assert_array_equal(np.isin(np.arange(25), data["on_front"]), shown.on_front)
    assert data["axes"] == [dataclasses.asdict(axis) for axis in shown.axes]
    assert tuple(data["architectures"]) == shown.architectures


def test_unknown_front_and_share_are_null_and_an_empty_run_is_a_page() -> None:
    data = Reader.of(render_page(dataclasses.replace(page(), true_front=None, hypervolume_share=None))).payload
    assert data["true_front"] is None
    assert data["hypervolume_share"] is None
    nothing = dataclasses.replace(
        page(),
        architectures=(),
        F=np.empty((0, 2)),
        on_front=np.empty(0, dtype=bool),
        true_front=None,
        hypervolume_share=None,
    )
    assert Reader.of(render_page(nothing)).payload["F"] == []


def test_page_is_self_contained() -> None:
    html = render_page(page())
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"@import|url\((?!#)|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|\bimport\(", html)
    for tag, attrs in Reader.of(html).elements:
        assert "src" not in attrs, tag
        assert (attrs.get("href") or "#").startswith(("#", "data:,")), tag


def test_only_its_own_style_and_script_may_run() -> None:
    html = render_page(page())
    policy = next(
        attrs["content"]
        for tag, attrs in Reader.of(html).elements
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for opening, closing in (("<script>", "</script>"), ("<style>", "</style>")):
        source = html.split(opening)[1].split(closing)[0]
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_every_marker_is_filled_and_every_id_of_the_script_exists() -> None:
    html = render_page(page())
    assert "{{" not in html
    reader = Reader.of(html)
    ids = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    made_by_script = {"over", "curve-over"}
    used = set(re.findall(r'\$\("([\w-]+)"\)', reader.scripts[-1][1]))
    assert len(used) > 20
    assert used <= set(ids) | made_by_script


def test_script_explains_every_kind() -> None:
    code = Reader.of(render_page(page())).scripts[-1][1]
    for kind in KINDS:
        assert f'{kind}: "{kind}:' in code


@pytest.mark.parametrize("m", [2, 3, 5])
def test_page_of_500_evaluations_stays_small(m: int) -> None:
    rng = np.random.default_rng(1)
    shown = dataclasses.replace(page(500, m=m), true_front=rng.random((300, m)))
    assert len(render_page(shown).encode()) < 250_000


def test_page_is_a_pure_function_of_its_input() -> None:
    assert render_page(page(seed=3)) == render_page(page(seed=3))
    assert render_page(page(seed=3)) != render_page(page(seed=4))


def test_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "front.html"
    write_page(page(seed=1), target)
    write_page(page(seed=2), target)
    assert target.read_bytes() == render_page(page(seed=2)).encode()
    assert [path.name for path in target.parent.iterdir()] == ["front.html"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "front.html"
    target.write_text("old")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError("no")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write_page(page(), target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["front.html"]


def test_writing_to_a_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="expected the name of an HTML file"):
        write_page(page(), tmp_path)


def test_unknown_kind_suggests_the_known_one() -> None:
    with pytest.raises(ObjectiveError, match=r"got 'modeled'.*Did you mean 'modelled'"):
        Axis(label="a", column="a_ms", unit="ms", kind="modeled")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"F": np.zeros((30, 3))}, r"F must have shape \(30, 2\); got \(30, 3\)"),
        ({"F": np.full((30, 2), np.nan)}, "F must be finite; 60 values"),
        ({"on_front": np.zeros(29, dtype=bool)}, r"on_front must have shape \(30,\)"),
        ({"on_front": np.zeros(30, dtype=int)}, "on_front must be boolean"),
        ({"true_front": np.zeros((4, 3))}, r"true_front must have shape \(4, 2\)"),
        ({"hypervolume_share": np.zeros(2)}, r"hypervolume_share must have shape \(30,\)"),
        ({"axes": ()}, "2 to 5 objectives; got 0"),
    ],
)
def test_values_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FrontError, match=message) as caught:
        dataclasses.replace(page(), **change)
    assert isinstance(caught.value, NasbenchMoError)
