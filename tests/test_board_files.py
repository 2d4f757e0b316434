"""Files that are made of boards are those that ``board render`` makes now, byte for byte."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from board_helpers import submission, toy_board
from board_page_helpers import board as made_up

from nasbench_mo.cli.board_page import filled, rendered, write_pages
from nasbench_mo.errors import ArtifactError, FormatError, SubmissionError
from nasbench_mo.leaderboard import load_board, rank, stamp
from nasbench_mo.leaderboard.board import RULES
from nasbench_mo.leaderboard.markdown import board_markdown, boards_markdown, rules_markdown
from nasbench_mo.leaderboard.page import render_index
from nasbench_mo.leaderboard.ranking import unranked
from nasbench_mo.leaderboard.results import BoardResults
from nasbench_mo.leaderboard.stamp import Stamp, code_digest, entries_digest, read_stamps, stamps_text
from nasbench_mo.leaderboard.submission import Submission

ROOT = Path(__file__).parents[1] / "leaderboards"
BOARDS = sorted(p.parent.name for p in ROOT.glob("*/board.yaml"))
AGAIN = "run 'nasbench-mo board render' and commit what it writes"


def stamps() -> dict[str, Stamp]:
    return read_stamps((ROOT / stamp.NAME).read_text(encoding="utf-8"))


def ranked_now(name: str) -> BoardResults:
    board = load_board(ROOT / name)
    folders = sorted(p.parent for p in (ROOT / name).glob("submissions/*/submission.yaml"))
    return rank(board, [Submission.read(f, board=board) for f in folders]) if folders else unranked(board)


# ---------------------------------------------------------------------- the boards of this package


def test_every_board_was_rendered() -> None:
    assert sorted(stamps()) == BOARDS, AGAIN


@pytest.mark.parametrize("name", BOARDS)
def test_nothing_that_is_made_of_a_board_is_stale(name: str) -> None:
    """The stamp spares the ranking while code and entries are those that it was made with."""
    known = stamps()[name]
    assert known.entries == entries_digest(ROOT / name), f"{name} has other entries than were rendered; {AGAIN}"
    assert dict(known.files) == dict(Stamp.of(ROOT / name, files=known.files).files), f"{name} was edited; {AGAIN}"
    if known.code == code_digest():
        return
    try:
        made = rendered(ranked_now(name), with_index=True)
    except ArtifactError as error:
        pytest.skip(f"its published tables are not imported here: {error}")
    assert set(made) == set(known.files)
    for file, text in made.items():
        assert (ROOT / name / file).read_text(encoding="utf-8") == text, f"{name}/{file} is stale; {AGAIN}"


def test_the_lists_of_boards_name_every_board() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    index = (ROOT / "index.html").read_text(encoding="utf-8")
    for name in BOARDS:
        assert f"[{name}]({name}/README.md)" in readme, AGAIN
        assert f'"id":"{name}"' in index, AGAIN
        n_entries = len(list((ROOT / name).glob("submissions/*/submission.yaml")))
        assert f" {n_entries} | " in next(line for line in readme.splitlines() if f"[{name}](" in line), AGAIN
    assert rules_markdown(RULES) in readme, AGAIN


# ---------------------------------------------------------------------- stamps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A board with an entry and its files."""
    board = toy_board(folder=tmp_path / "toy-board-v1")
    submission(board, "entry", form="compact").write(tmp_path / board.id / "submissions")
    (tmp_path / board.id / "board.yaml").write_text("made up")
    write_pages([rank(board, [submission(board, "entry")])], out=tmp_path, index=True)
    return tmp_path / board.id


def test_a_stamp_holds_until_something_changes(folder: Path) -> None:
    known = read_stamps((folder.parent / stamp.NAME).read_text())["toy-board-v1"]
    files = ["README.md", "index.html", "standings.csv"]
    assert sorted(known.files) == files
    assert Stamp.of(folder, files=files) == known
    (folder / "standings.csv").write_text("rank 1: me")
    assert Stamp.of(folder, files=files).files != known.files
    assert Stamp.of(folder, files=files).entries == known.entries


@pytest.mark.parametrize(
    "file", ["board.yaml", "submissions/entry/values.parquet", "submissions/entry/submission.yaml"]
)
def test_another_entry_is_another_digest(folder: Path, file: str) -> None:
    before = entries_digest(folder)
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    assert entries_digest(folder) != before


def test_a_new_entry_is_another_digest_and_a_moved_board_is_not(folder: Path) -> None:
    before = entries_digest(folder)
    moved = folder.parent / "elsewhere"
    shutil.copytree(folder, moved)
    assert entries_digest(moved) == before
    shutil.copytree(folder / "submissions" / "entry", folder / "submissions" / "other")
    assert entries_digest(folder) != before


def test_code_and_libraries_decide_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest()
    assert code_digest() == before
    monkeypatch.setattr(stamp, "version", lambda name: "0.0")
    other_libraries = code_digest()
    assert other_libraries != before
    monkeypatch.setattr(stamp, "_SOURCES", stamp._SOURCES[1:])
    assert code_digest() != other_libraries


def test_stamps_survive_their_file_and_others_are_refused() -> None:
    known = {
        "b-v1": Stamp(entries="1", code="2", files={"README.md": "3"}),
        "a-v1": Stamp(entries="", code="", files={}),
    }
    assert read_stamps(stamps_text(known)) == known
    assert list(json.loads(stamps_text(known))) == ["a-v1", "b-v1"]
    for text in ("", "[1]", '{"a": {"entries": 1}}', '{"a": 3}'):
        with pytest.raises(FormatError, match="not a file of stamps"):
            read_stamps(text)


def test_the_stamps_of_other_boards_stay(folder: Path) -> None:
    file = folder.parent / stamp.NAME
    other = Stamp(entries="1", code="2", files={})
    (folder.parent / "other-v1").mkdir()
    (folder.parent / "other-v1" / "board.yaml").write_text("made up")
    file.write_text(stamps_text({**read_stamps(file.read_text()), "other-v1": other, "gone-v1": other}))
    board = toy_board(folder=folder)
    write_pages([rank(board, [submission(board, "entry")])], out=folder.parent, index=False)
    assert sorted(read_stamps(file.read_text())) == ["other-v1", "toy-board-v1"]


# ---------------------------------------------------------------------- boards without entries, and the lists


def test_a_board_without_entries_has_a_readme_alone(tmp_path: Path) -> None:
    board = unranked(load_board(ROOT / "large-spaces-v1"))
    made = write_pages([board], out=tmp_path, index=True)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in made) == ["index.html", "large-spaces-v1/README.md"]
    text = (tmp_path / "large-spaces-v1" / "README.md").read_text()
    assert "No entry yet" in text
    assert "## Standings" not in text
    assert "of the best front known, not of the exact one: shares above 100 % are possible" in text
    assert '"searchers":[]' in render_index([board])


def test_an_unopened_board_says_the_same_of_its_problems_as_a_ranked_one() -> None:
    board = toy_board()
    before, after = unranked(board), rank(board, [submission(board, "entry")])
    for a, b in zip(before.problems, after.problems, strict=True):
        assert (a.id, a.about, a.objectives, a.exact) == (b.id, b.about, b.objectives, b.exact)
        assert a.reference_hypervolume == pytest.approx(b.reference_hypervolume, rel=1e-5)
    assert (before.id, before.rules, before.budget) == (after.id, after.rules, after.budget)


def test_lists_are_filled_where_there_is_a_place_and_nothing_else_changes() -> None:
    readme = "# A\n\n<!-- boards -->\nold\n<!-- /boards -->\n\nwords <!-- kept -->\n\n<!-- rules -->\n<!-- /rules -->\n"
    six = made_up()
    once = filled(readme, boards=[six])
    assert filled(once, boards=[six]) == once
    assert "old" not in once
    assert once.startswith("# A\n\n<!-- boards -->\n| board |")
    assert "\n\nwords <!-- kept -->\n\n<!-- rules -->\nVersion 1:" in once
    assert filled("nothing", boards=[six]) == "nothing"


def test_the_first_three_of_each_board_are_listed() -> None:
    six = made_up()
    row = boards_markdown([six]).splitlines()[-1]
    first = [s.searcher for s in six.standings[:3]]
    assert all(name in row.replace("\\", "") for name in first)
    assert six.standings[3].searcher not in row.replace("\\", "")
    hostile = dataclasses.replace(six, title="a | b <script>")
    assert "a \\| b &lt;script&gt;" in boards_markdown([hostile])


def test_a_page_links_to_the_index_where_there_is_one(tmp_path: Path) -> None:
    six = made_up()
    alone = write_pages([six], out=tmp_path, index=False)
    assert '"index":false' in (tmp_path / six.id / "index.html").read_text()
    (tmp_path / "index.html").write_text("a list")
    assert write_pages([six], out=tmp_path, index=False) == alone
    assert '"index":true' in (tmp_path / six.id / "index.html").read_text()


def test_a_readme_says_of_each_problem_whether_its_front_is_exact() -> None:
    six = made_up()
    text = board_markdown(six)
    assert text.count("shares above 100 % are possible") == sum(not p.exact for p in six.problems)


# ---------------------------------------------------------------------- rules


@pytest.mark.parametrize("searcher", ["mo-asha", "mo-hyperband"])
def test_a_searcher_that_lives_on_shorter_trainings_is_not_entered(searcher: str) -> None:
    from nasbench_mo.leaderboard import check

    board = toy_board(rules="2")
    entry = submission(board, "entry", searcher=searcher, software="nasbench-mo")
    with pytest.raises(SubmissionError, match=f"'{searcher}' is not for board 'toy-board-v1': it lives on trainings"):
        check(entry, board)


def test_new_boards_are_under_the_rules_of_today() -> None:
    versions = {name: load_board(ROOT / name).rules for name in BOARDS}
    assert versions.pop("nb201s-hardware-v1") == "1"
    assert set(versions.values()) == {max(RULES)}
