"""``board render``: the page and the README of boards, and the page that lists them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_mo.artifacts import available, write_atomic
from nasbench_mo.errors import UnknownNameError
from nasbench_mo.leaderboard.markdown import board_markdown
from nasbench_mo.leaderboard.page import render_board, render_index

if TYPE_CHECKING:
    from nasbench_mo.leaderboard.results import BoardResults


def render(boards: Sequence[str], *, out: Path | None) -> None:
    """Rank boards and write their pages; all of them where none is named, with their index.

    Parameters
    ----------
    boards
        Ids or folders; empty for every installed board.
    out
        Folder that gets ``<id>/index.html``, ``<id>/README.md`` and the index; by default ``leaderboards``.

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
        Folder that gets a folder a board.
    index
        Whether to write ``index.html``, which lists the boards, and to link to it.

    Returns
    -------
    list of Path
        The files written.
    """
    texts: dict[Path, str] = {}
    for board in results:
        texts[out / board.id / "index.html"] = render_board(board, with_index=index)
        texts[out / board.id / "README.md"] = board_markdown(board)
    if index:
        texts[out / "index.html"] = render_index(results)
    for path, text in texts.items():
        write_atomic(path, text.encode("utf-8", errors="replace"))
    return list(texts)


def _ranked(name: str) -> BoardResults:
    """The results of a board; checking every evaluation again takes a while, so it is loaded only here."""
    from nasbench_mo.cli.boards import ranked
    from nasbench_mo.leaderboard.board import load_board

    return ranked(load_board(name))
