"""Whether what was rendered of a board is still what would be rendered now, without ranking it again.

A page is a function of the board, its entries, the problems' published data and the code. ``rendered.json`` beside the
boards holds SHA-256 of these inputs and of the files that were made of them. While the inputs are the same and the
files are the same, nothing is stale; where the code is another, only ranking again can tell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from nasbench_mo.artifacts import sha256
from nasbench_mo.bounded import parse_json
from nasbench_mo.errors import FormatError

NAME = "rendered.json"
#: What decides the figures and the files: parts of the package, and libraries that compute.
_SOURCES = (
    "leaderboard",
    "benchmark",
    "pareto",
    "hardware",
    "predictor",
    "space",
    "sources",
    "artifacts.py",
    "encoding.py",
    "objective.py",
    "specification.py",
    "table.py",
    "cli/board_page.py",
)
_LIBRARIES = ("numpy", "scipy", "moocore", "pyarrow", "xgboost", "xgboost-cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a board's files were made of.

    Parameters
    ----------
    entries
        Digest of ``board.yaml`` and every submission.
    code
        Digest of the package's parts and the versions of the libraries that decide figures and files.
    files
        Name of each file that was made, relative to the board's folder, to its SHA-256.
    """

    entries: str
    code: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, *, files: Iterable[str]) -> Self:
        """The stamp of a board's folder as it is.

        Raises
        ------
        FileNotFoundError
            One of the files is not there.
        """
        return cls(
            entries=entries_digest(folder), code=code_digest(), files={name: sha256(folder / name) for name in files}
        )


def entries_digest(folder: Path) -> str:
    """Digest of a board and of all that its entries hold."""
    return _digest(folder, [folder / "board.yaml", *folder.glob("submissions/*/*")])


def code_digest() -> str:
    """Digest of what decides the figures beside the entries."""
    package = Path(__file__).parents[1]
    files = [
        file
        for part in _SOURCES
        for file in (sorted((package / part).rglob("*")) if (package / part).is_dir() else [package / part])
        if file.is_file() and file.suffix != ".pyc"
    ]
    libraries = " ".join(filter(None, map(_installed, _LIBRARIES)))
    return hashlib.sha256(f"{_digest(package, files)}\n{libraries}".encode()).hexdigest()


def _installed(library: str) -> str:
    """Name and version; empty where it is not installed: one library has two names."""
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return ""


def stamps_text(stamps: Mapping[str, Stamp]) -> str:
    """The file of stamps by board."""
    return json.dumps({name: asdict(stamps[name]) for name in sorted(stamps)}, indent=1) + "\n"


def read_stamps(text: str) -> dict[str, Stamp]:
    """Stamps by board.

    Raises
    ------
    FormatError
        It is no such file.
    """
    try:
        return {name: Stamp(**fields) for name, fields in parse_json(text).items()}
    except (AttributeError, TypeError, FormatError) as error:
        raise FormatError(f"{NAME} is not a file of stamps: {error}") from error


def _digest(root: Path, files: Iterable[Path]) -> str:
    lines = sorted(f"{file.relative_to(root).as_posix()} {sha256(file)}" for file in files if file.is_file())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
