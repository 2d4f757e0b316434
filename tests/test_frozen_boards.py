"""Published boards never change: other rules are another version. Entries are added; one that stands stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nasbench_mo import artifacts
from nasbench_mo.leaderboard import load_board

ROOT = Path(__file__).parents[1] / "leaderboards"
#: Board to its files, relative to its folder, and their SHA-256. Standings and page are made from these.
FROZEN = json.loads((Path(__file__).parent / "frozen_boards.json").read_text(encoding="utf-8"))


def kept(folder: Path) -> dict[str, str]:
    files = [
        folder / "board.yaml",
        *folder.glob("submissions/*/submission.yaml"),
        *folder.glob("submissions/*/*.parquet"),
    ]
    return {p.relative_to(folder).as_posix(): artifacts.sha256(p) for p in files}


def test_every_board_is_listed() -> None:
    assert {p.parent.name for p in ROOT.glob("*/board.yaml")} == set(FROZEN)


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_board_and_entries_are_as_published(name: str) -> None:
    assert kept(ROOT / name) == FROZEN[name]


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_board_can_be_opened(name: str) -> None:
    board = load_board(ROOT / name)
    assert board.id == name
    assert board.folder == ROOT / name
