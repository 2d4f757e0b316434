"""Where artefacts are found, how cards are read, and that writing is all or nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, UnknownNameError


def put(root: Path, kind: str, identifier: str, *, text: str = "---\nid: x\n---\n") -> Path:
    folder = root / kind / identifier
    folder.mkdir(parents=True)
    (folder / "card.md").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of what the package ships."""
    root = tmp_path / "embedded"
    root.mkdir()
    monkeypatch.setattr(artifacts, "embedded_root", lambda: root)
    return root


# ---------------------------------------------------------------------- where


def test_the_environment_names_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path / "here"))
    assert artifacts.cache_dir() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NASBENCH_MO_CACHE", "~/there")
    assert artifacts.cache_dir() == tmp_path / "there"


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("NASBENCH_MO_CACHE", raising=False)
    else:
        monkeypatch.setenv("NASBENCH_MO_CACHE", value)
    assert artifacts.cache_dir().name == "nasbench-mo"
    assert artifacts.cache_dir().is_absolute()


def test_asking_for_the_cache_does_not_make_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path / "missing"))
    assert artifacts.available("tables") == []
    assert not (tmp_path / "missing").exists()


def test_the_embedded_folders_of_this_checkout_or_wheel_are_found() -> None:
    root = artifacts.embedded_root()
    assert root is not None
    assert all((root / kind).is_dir() for kind in artifacts.EMBEDDED_KINDS)


def test_an_embedded_artefact_wins_over_a_cached_one(embedded: Path, cache: Path) -> None:
    ours = put(embedded, "predictors", "p-v1")
    put(cache, "predictors", "p-v1")
    other = put(cache, "predictors", "q-v1")
    assert artifacts.resolve("predictors", "p-v1") == ours
    assert artifacts.resolve("predictors", "q-v1") == other
    assert artifacts.available("predictors") == ["p-v1", "q-v1"]


def test_tables_are_looked_for_in_the_cache_only(embedded: Path, cache: Path) -> None:
    put(embedded, "tables", "t-v1")
    assert artifacts.find("tables", "t-v1") is None
    assert artifacts.find("tables", "t-v1") is None
    assert put(cache, "tables", "t-v1") == artifacts.find("tables", "t-v1")


def test_an_unknown_artefact_suggests_its_neighbour_and_says_where_was_looked(embedded: Path, cache: Path) -> None:
    put(embedded, "hw_tables", "nb201-eyeriss-v1")
    with pytest.raises(UnknownNameError) as caught:
        artifacts.resolve("hw_tables", "nb201-eyeris-v1")
    message = str(caught.value)
    assert "no table is called 'nb201-eyeris-v1'. Did you mean 'nb201-eyeriss-v1'?" in message
    assert str(cache / "hw_tables") in message


@pytest.mark.usefixtures("embedded", "cache")
def test_without_any_artefact_the_message_says_none() -> None:
    with pytest.raises(UnknownNameError, match="Present: none"):
        artifacts.resolve("tables", "t-v1")


def test_a_folder_without_a_card_is_no_artefact(cache: Path) -> None:
    (cache / "tables" / "t-v1").mkdir(parents=True)
    (cache / "tables" / "note.txt").write_text("", encoding="utf-8")
    assert artifacts.available("tables") == []
    assert artifacts.find("tables", "t-v1") is None


@pytest.mark.parametrize(
    "identifier", ["../secret", "..", ".", "", "a/b", "a\\b", ".hidden", "/etc", "../../predictors/p-v1", "p\0q"]
)
def test_an_id_that_leaves_the_folder_is_unknown(cache: Path, identifier: str) -> None:
    put(cache, "tables", "t-v1")
    put(cache, ".", "secret")
    put(cache, "tables", ".hidden")
    (cache / "tables" / "a").mkdir()
    put(cache / "tables", "a", "b")
    (cache / "tables" / "card.md").write_text("---\nid: x\n---\n", encoding="utf-8")
    assert artifacts.find("tables", identifier) is None
    with pytest.raises(UnknownNameError):
        artifacts.resolve("tables", identifier)


def test_sha256_equals_that_of_the_bytes(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "file").write_bytes(data)
    assert artifacts.sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------------- cards

#: PyYAML does not keep every line separator of Unicode.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.just("\n"), max_size=20)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts
fronts = st.dictionaries(
    texts,
    st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)),
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(front=fronts, body=texts)
def test_a_card_says_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, front: dict[str, object], body: str
) -> None:
    folder = tmp_path_factory.mktemp("card")
    (folder / "card.md").write_bytes(artifacts.render_card(front, body=body).encode("utf-8"))
    assert artifacts.read_card(folder) == front


@pytest.mark.parametrize("about", ["ends in dashes ---", "---", "a\n---\nb", "--- starts"])
def test_dashes_in_a_value_do_not_end_the_front_matter(tmp_path: Path, about: str) -> None:
    card = artifacts.render_card({"about": about, "last": 1}, body="# body\n\n---\n\nmore")
    (tmp_path / "card.md").write_text(card, encoding="utf-8")
    assert artifacts.read_card(tmp_path) == {"about": about, "last": 1}


def test_a_value_that_ends_in_dashes_on_its_line_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("---\nabout: before ---\nlast: 1\n---\nbody\n", encoding="utf-8")
    assert artifacts.read_card(tmp_path) == {"about": "before ---", "last": 1}


def test_a_card_with_the_line_ends_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_bytes(b"---\r\nid: x\r\n---\r\n\r\n# x\r\n")
    assert artifacts.read_card(tmp_path) == {"id": "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a YAML front matter between two '---' lines"),
        ("# no front matter\n", "expected a YAML front matter"),
        ("---\nid: x\n", "expected a YAML front matter"),
        ("# title\n---\nid: x\n---\n", "expected a YAML front matter"),
        ("---\nid: [x\n---\n", "the front matter is not YAML"),
        ("---\n- a\n---\n", "must be a mapping, got list"),
        ("---\n---\n", "must be a mapping, got NoneType"),
        ("---\na: !!python/object/apply:os.getcwd []\n---\n", "the front matter is not YAML"),
    ],
)
def test_a_card_without_front_matter_is_refused_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "card.md").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=message) as caught:
        artifacts.read_card(tmp_path)
    assert str(tmp_path / "card.md") in str(caught.value)


# ---------------------------------------------------------------------- writing


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_write_atomic_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    artifacts.write_atomic(path, b"old")
    artifacts.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file.bin"]  # noqa: PTH208


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.bin"
    artifacts.write_atomic(path, b"old")

    def fail(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        artifacts.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_what_is_written_has_the_permissions_of_the_users_umask(tmp_path: Path, umask: int) -> None:
    artifacts.write_atomic(tmp_path / "file", b"x")
    with artifacts.staged_folder(tmp_path / "folder") as stage:
        (stage / "inside").write_text("x", encoding="utf-8")
    assert permissions(tmp_path / "file") == 0o666 & ~umask
    assert permissions(tmp_path / "folder") == 0o777 & ~umask
    assert permissions(tmp_path / "folder" / "inside") == 0o666 & ~umask
    assert os.umask(umask) == umask


def test_a_staged_folder_appears_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "tables" / "t-v1"
    with artifacts.staged_folder(target) as stage:
        (stage / "table.parquet").write_text("x", encoding="utf-8")
        assert not target.exists()
    assert (target / "table.parquet").read_text(encoding="utf-8") == "x"
    assert [p.name for p in target.parent.iterdir()] == ["t-v1"]


def test_a_staged_folder_replaces_an_existing_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "t-v1"
    target.mkdir()
    (target / "old").write_text("old", encoding="utf-8")
    with artifacts.staged_folder(target) as stage:
        (stage / "new").write_text("new", encoding="utf-8")
        assert (target / "old").is_file()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["t-v1"]


@pytest.mark.parametrize("error", [ArtifactError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("exists", [False, True])
def test_an_error_inside_leaves_the_target_untouched_and_nothing_behind(
    tmp_path: Path, error: type[BaseException], exists: bool
) -> None:
    target = tmp_path / "t-v1"
    if exists:
        target.mkdir()
        (target / "old").write_text("old", encoding="utf-8")
    with pytest.raises(error), artifacts.staged_folder(target) as stage:
        (stage / "new").write_text("new", encoding="utf-8")
        raise error("stop")
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == (
        ["t-v1", "t-v1/old"] if exists else []
    )


def test_a_failed_replacement_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "t-v1"
    target.mkdir()
    (target / "old").write_text("old", encoding="utf-8")
    replace = Path.replace

    def fail_to_install(self: Path, destination: Path) -> Path:
        if destination == target and self.name != "old":
            raise PermissionError("the disk says no")
        return replace(self, destination)

    monkeypatch.setattr(artifacts, "_exchanged", lambda one, other: False)  # as where the system cannot
    monkeypatch.setattr(Path, "replace", fail_to_install)
    with pytest.raises(PermissionError), artifacts.staged_folder(target) as stage:
        (stage / "new").write_text("new", encoding="utf-8")
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["t-v1", "t-v1/old"]


def test_an_unfinished_folder_is_not_listed(cache: Path) -> None:
    with artifacts.staged_folder(cache / "tables" / "t-v1") as stage:
        (stage / "card.md").write_text("---\nid: t-v1\n---\n", encoding="utf-8")
        assert artifacts.available("tables") == []
        assert artifacts.find("tables", stage.name) is None
    assert artifacts.available("tables") == ["t-v1"]
