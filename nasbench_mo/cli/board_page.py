"""``board render``: what is made of boards and their entries, and the page that lists them all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_mo.artifacts import available, write_atomic
from nasbench_mo.errors import UnknownNameError
from nasbench_mo.leaderboard import stamp
from nasbench_mo.leaderboard.board import RULES
from nasbench_mo.leaderboard.markdown import board_markdown, boards_markdown, rules_markdown
from nasbench_mo.leaderboard.page import render_board, render_index

if TYPE_CHECKING:
    from nasbench_mo.leaderboard.results import BoardResults

_PART = re.compile(r"(<!-- (boards|rules) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def render(boards: Sequence[str], *, out: Path | None) -> None:
    """Rank boards and write what is made of them; all of them where none is named, with their index.

    Parameters
    ----------
    boards
        Ids or folders; empty for every installed board.
    out
        Folder that gets a folder a board and the index; by default ``leaderboards``. The folder that holds the boards
        themselves gets ``rendered.json`` as well, see :mod:`nasbench_mo.leaderboard.stamp`.

    Raises
    ------
    UnknownNameError
        No board is named and none is installed.
    """
    names = list(boards) or available("leaderboards")
    if not names:
        raise UnknownNameError("there is no board to render; give the folder of one: nasbench-mo board render FOLDER")
    for path in write_pages([_ranked(name) for name in names], out=out or Path("leaderboards"), index=not boards):
        print(f"wrote {path} ({path.stat().st_size / 1e3:.0f} kB)")


def write_pages(results: Sequence[BoardResults], *, out: Path, index: bool) -> list[Path]:
    """Write what is rendered of boards, each file whole or not at all; the same results give the same bytes.

    Parameters
    ----------
    results
        Of the boards.
    out
        Folder that gets a folder a board: ``README.md`` and, if the board has entries, ``index.html`` and
        ``standings.csv``.
    index
        Whether to write ``index.html``, which lists the boards, and the lists in ``README.md``, where there is one with
        places for them. Pages link to the index if it is there.

    Returns
    -------
    list of Path
        The files written.
    """
    texts: dict[Path, str] = {}
    with_index = index or (out / "index.html").is_file()
    for board in results:
        for name, text in rendered(board, with_index=with_index).items():
            texts[out / board.id / name] = text
    if index:
        texts[out / "index.html"] = render_index(results)
        if (out / "README.md").is_file():
            texts[out / "README.md"] = filled((out / "README.md").read_text(encoding="utf-8"), boards=results)
    for path, text in texts.items():
        write_atomic(path, text.encode("utf-8", errors="replace"))
    stamped = [board for board in results if (out / board.id / "board.yaml").is_file()]
    if stamped:
        texts[out / stamp.NAME] = _stamped(stamped, out=out)
        write_atomic(out / stamp.NAME, texts[out / stamp.NAME].encode())
    return list(texts)


def rendered(board: BoardResults, *, with_index: bool) -> dict[str, str]:
    """Files of one board by name."""
    from nasbench_mo.leaderboard import standings_csv

    make = {
        "README.md": lambda: board_markdown(board),
        "index.html": lambda: render_board(board, with_index=with_index),
        "standings.csv": lambda: standings_csv(board),
    }
    return {name: make[name]() for name in files_of(board)}


def files_of(board: BoardResults) -> list[str]:
    """Names of the files of one board."""
    return ["README.md", *(("index.html", "standings.csv") if board.standings else ())]


def filled(readme: str, *, boards: Sequence[BoardResults]) -> str:
    """A README with its lists of boards and rules, between ``<!-- boards -->`` and ``<!-- /boards -->``, made anew."""
    made = {"boards": boards_markdown(boards), "rules": rules_markdown(RULES)}
    return _PART.sub(lambda match: f"{match[1]}{made[match[2]]}\n{match[3]}", readme)


def _stamped(boards: Sequence[BoardResults], *, out: Path) -> str:
    """The stamps of all boards, those of these boards anew."""
    file = out / stamp.NAME
    stamps = stamp.read_stamps(file.read_text(encoding="utf-8")) if file.is_file() else {}
    stamps = {name: known for name, known in stamps.items() if (out / name / "board.yaml").is_file()}
    for board in boards:
        stamps[board.id] = stamp.Stamp.of(out / board.id, files=files_of(board))
    return stamp.stamps_text(stamps)


def _ranked(name: str) -> BoardResults:
    """The results of a board; checking every evaluation again takes a while, so it is loaded only here."""
    from nasbench_mo.cli.boards import ranked, submissions_folder
    from nasbench_mo.leaderboard.board import load_board
    from nasbench_mo.leaderboard.ranking import unranked

    board = load_board(name)
    empty = not any(submissions_folder(board).glob("*/submission.yaml"))
    return unranked(board) if empty else ranked(board)
