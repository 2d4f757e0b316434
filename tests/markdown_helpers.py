"""Blocks of a Markdown page, run as a reader would run them."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from nasbench_mo.cli import main

#: A block, and the name of the file that it is: a line "`name`:" above it.
_FENCE = re.compile(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A fenced block: its kind, its text, and the file that it is to be saved as, if any."""

    kind: str
    text: str
    file: str | None


def fences(page: str) -> list[Fence]:
    """Every fenced block of a page, in order."""
    return [Fence(kind=kind, text=text, file=file or None) for file, kind, text in _FENCE.findall(page)]


def printed(code: str, names: dict[str, Any], *, page: str) -> str:
    """What a block of Python prints; names are kept for the next block."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, page, "exec"), names)
    return out.getvalue()


def called(command: str) -> tuple[int, str, str]:
    """Run a ``nasbench-mo ...`` command in this process: (exit code, stdout, stderr)."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", shlex.split(command)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return code, out.getvalue(), err.getvalue()


def run_page(page: str, *, name: str) -> int:
    """Do in the current folder what a page says, and return how many blocks were run.

    A named block is saved as a file. Python runs in one namespace; console lines run one after the other. A block of
    text behind either is what they print, with ``...`` for anything.

    Raises
    ------
    AssertionError
        A command failed, something else was printed, or a block is neither a file, nor run, nor output.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    output: str | None = None
    blocks = fences(page)
    for block in blocks:
        if block.file is not None:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            output = None
        elif block.kind == "python":
            output = printed(block.text, names, page=name)
        elif block.kind == "console":
            output = "".join(_console(line) for line in block.text.splitlines())
        else:
            assert block.kind == "text" and output is not None, f"{name}: this block is not run:\n{block.text}"
            same = doctest.OutputChecker().check_output(block.text, output, doctest.ELLIPSIS)
            assert same, f"{name} says\n{block.text}\nbut it is\n{output}"
            output = None
    return len(blocks)


def _console(line: str) -> str:
    if line == "pip install --editable .":
        _announce(Path())
        return ""
    assert line.startswith("nasbench-mo "), f"a page may run nasbench-mo and 'pip install --editable .': {line}"
    code, out, err = called(line)
    assert code == 0, f"{line}: {err}"
    return out


def _announce(folder: Path) -> None:
    """Write the metadata that an installation of the package in a folder, which is on the path, would write."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
