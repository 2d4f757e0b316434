"""Where stored things are: the only module that opens the data folders, the cache and the network.

Embedded artefacts travel inside the wheel (``nasbench_mo/_artifacts/<kind>/<id>/``); in a checkout they are the
root folders of the same names. What a user imports or fetches goes to the cache directory, which
``NASBENCH_MO_CACHE`` overrides. Other packages bring predictors and cost tables of devices as plug-ins
(:mod:`.registry`): a folder each, wherever their package keeps it.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from nasbench_mo.bounded import parse_yaml, read_json, read_text
from nasbench_mo.errors import ArtifactError, DownloadError, FormatError, PluginError, UnknownNameError, did_you_mean
from nasbench_mo.registry import Registry

if TYPE_CHECKING:
    from http.client import HTTPResponse

Kind = Literal["predictors", "hw_tables", "leaderboards", "tables"]

#: Kinds that ship with the package; "tables" exist in the cache only.
EMBEDDED_KINDS: tuple[Kind, ...] = ("predictors", "hw_tables", "leaderboards")

#: The file that makes a folder an artefact of a kind; a board's rules are its card.
_MARKERS: Mapping[Kind, str] = {"leaderboards": "board.yaml"}

#: What the kinds are called where people read of them.
_WORDS: Mapping[Kind, str] = {
    "predictors": "predictor",
    "hw_tables": "table",
    "tables": "table",
    "leaderboards": "board",
}
#: An error names so many of a kind one by one.
_MOST_NAMED = 20
#: What plug-ins bring: the folder of an artefact, or a function without parameters that returns it.
PLUGINS: Mapping[Kind, Registry] = {
    "predictors": Registry("predictor", builtins={}, group="nasbench_mo.predictors"),
    "hw_tables": Registry("device table", builtins={}, group="nasbench_mo.devices"),
}

_Made = TypeVar("_Made")

#: Of renameat2(2).
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: Longest name of a file or folder on the common file systems.
_LONGEST_NAME = 255


def cache_dir() -> Path:
    """Directory for imported and fetched files; it may not exist yet."""
    override = os.environ.get("NASBENCH_MO_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("nasbench-mo", appauthor=False)


@cache
def embedded_root() -> Path | None:
    """Folder that holds the embedded kinds: inside the package, else the checkout around it, else None."""
    package = Path(str(files("nasbench_mo")))
    inside = package / "_artifacts"
    if inside.is_dir():
        return inside
    checkout = package.parent
    return checkout if (checkout / "pyproject.toml").is_file() else None


def roots(kind: Kind) -> list[Path]:
    """Existing folders in which artefacts of a kind are looked for, embedded ones first."""
    candidates = [cache_dir() / kind]
    embedded = embedded_root()
    if kind in EMBEDDED_KINDS and embedded is not None:
        candidates.insert(0, embedded / kind)
    return [c for c in candidates if c.is_dir()]


def available(kind: Kind) -> list[str]:
    """Sorted ids of all artefacts of a kind, embedded and cached; those of plug-ins are :func:`each_plugged`."""
    folders = [p for root in roots(kind) for p in root.iterdir() if not p.name.startswith(".")]  # no unfinished ones
    return sorted({p.name for p in folders if (p / _MARKERS.get(kind, "card.md")).is_file()})


def each_plugged(kind: Kind, make: Callable[[str], _Made]) -> list[_Made]:
    """What a function makes of the id of every artefact that only a plug-in has.

    A plug-in with which it fails, or that has no such artefact, is left out, with one warning.
    """
    if kind not in PLUGINS:
        return []

    def made(identifier: str) -> _Made:
        _plugged_folder(kind, identifier)
        return make(identifier)

    return list(PLUGINS[kind].each(made, without=available(kind)))


def find(kind: Kind, identifier: str) -> Path | None:
    """Folder of an artefact, or None where it does not exist: embedded, cached, or of a plug-in, in this order.

    Raises
    ------
    PluginError
        Only a plug-in has this id, and it is broken.
    """
    if not identifier or "/" in identifier or "\\" in identifier or identifier.startswith("."):
        return None
    if not identifier.isprintable() or len(identifier.encode()) > _LONGEST_NAME:
        return None
    for root in roots(kind):
        if (root / identifier / _MARKERS.get(kind, "card.md")).is_file():
            return root / identifier
    if kind in PLUGINS and identifier in PLUGINS[kind]:
        return _plugged_folder(kind, identifier)
    return None


def _plugged_folder(kind: Kind, identifier: str) -> Path:
    """Folder that a plug-in brings, checked: its card has to bear the id under which it is announced."""
    announced = PLUGINS[kind].get(identifier)
    found = announced() if callable(announced) else announced
    folder = Path(str(found))
    try:
        said = read_card(folder).get("id")
    except (ArtifactError, OSError) as error:
        raise PluginError(
            f"the plug-in {identifier!r} must be a folder with a card.md, got {found!r}: {error}"
        ) from error
    if said != identifier:
        raise PluginError(f"the plug-in {identifier!r} holds {said!r}, says {folder / 'card.md'}; announce it as that")
    return folder


def resolve(kind: Kind, identifier: str) -> Path:
    """Folder of an artefact.

    Raises
    ------
    UnknownNameError
        No artefact of this kind has this id; the message lists the closest ones.
    """
    if not isinstance(identifier, str):
        raise UnknownNameError(f"the id of an artefact is text, got {identifier!r}")
    folder = find(kind, identifier)
    if folder is None:
        names = [*available(kind), *each_plugged(kind, str)]
        raise UnknownNameError(
            f"no {_WORDS[kind]} is called {identifier!r}{another_kind(identifier)}."
            f"{did_you_mean(identifier, names)} {_present(kind, names)}"
        )
    return folder


def another_kind(identifier: str) -> str:
    """``", which is a table"`` where an id is that of something else than was asked for, or ``""``."""
    found = [word for kind, word in _WORDS.items() if find(kind, identifier) is not None]
    return f", which is a {found[0]}" if found else ""


def _present(kind: Kind, names: Sequence[str]) -> str:
    """What there is of a kind: by name where that can be read, else by the command that lists it."""
    where = f"imported ones are looked for in {cache_dir() / kind}"
    if len(names) > _MOST_NAMED:
        return f"All {len(names)} are listed by: nasbench-mo list {_WORDS[kind]}s; {where}"
    return f"Present: {', '.join(names) or 'none'}; {where}"


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_card(folder: Path) -> dict[str, Any]:
    """Return the YAML front matter of ``card.md``.

    Raises
    ------
    ArtifactError
        The card has no front matter, or one that is not a YAML mapping.
    """
    card = folder / "card.md"
    try:
        text = read_text(card)
    except FormatError as error:
        raise ArtifactError(f"{card}: {error}") from error
    fenced = re.match(r"\s*^---\n(.*?)^---$", text, flags=re.DOTALL | re.MULTILINE)
    if fenced is None:
        raise ArtifactError(f"{card}: expected a YAML front matter between two '---' lines at the top")
    try:
        front = parse_yaml(fenced[1])
    except FormatError as error:
        raise ArtifactError(f"{card}: the front matter is not YAML: {error}") from error
    if not isinstance(front, dict):
        raise ArtifactError(f"{card}: the front matter must be a mapping, got {type(front).__name__}")
    return front


def render_card(front: Mapping[str, Any], *, body: str) -> str:
    """Text of a ``card.md``: YAML front matter, then Markdown."""
    import yaml

    text = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{text}---\n\n{body.strip()}\n"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        _give_default_permissions(Path(name))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block ends without an error.

    An existing target is replaced as a whole; after an error it is untouched and nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield stage
        stage.chmod(0o777 & ~_umask())
        try:
            stage.replace(target)
        except OSError:
            # there is one, or another process was faster; a link is replaced, not what it points to
            if not (target.exists() or target.is_symlink()):
                raise
            _replace_folder(stage, target)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise


def _replace_folder(stage: Path, target: Path) -> None:
    """Put a folder in the place of another one, or of a link, which is removed.

    Where the system can exchange two names at once, as Linux can, a kill leaves the old one or the new one. Elsewhere
    there is a moment without either, and the old one is then beside it under a name that begins with a dot.
    """
    if _exchanged(stage, target):
        if stage.is_symlink() or not stage.is_dir():
            stage.unlink()
        else:
            shutil.rmtree(stage)
        return
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    target.replace(old / "old")
    try:
        stage.replace(target)
    except OSError:
        (old / "old").replace(target)
        raise
    finally:
        shutil.rmtree(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two names were exchanged in one step: renameat2(2), which Python does not offer."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or a C library before glibc 2.28
        return False
    done = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return int(done) == 0  # a file system may not know it


def _give_default_permissions(path: Path) -> None:
    """mkstemp makes files private; give them what an ordinary open() would."""
    path.chmod(0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---------------------------------------------------------------------- the network

#: Called with the bytes that are there so far and the size of the whole file, None where the server does not say.
Progress = Callable[[int, int | None], None]

_CHUNK_BYTES = 1 << 18
_BY_HAND = "or get the file by hand and read it with 'nasbench-mo import'"


def download(
    url: str,
    *,
    file_name: str,
    sha256: str | None = None,
    progress: Progress | None = None,
    timeout_s: float = 30.0,
) -> Path:
    """Fetch a file into the cache's ``downloads`` folder, once, and return its path.

    It does *not* unpack or read the file. A file that is there with the right hash is not fetched again. Processes
    that ask for the same file at once wait for each other; one of them fetches it. An interrupted download leaves
    ``<file_name>.part``, which the next call continues where the server can.

    Parameters
    ----------
    url
        ``http`` or ``https`` address.
    file_name
        Name in the folder; it may have folders of its own, separated by ``/``.
    sha256
        Expected SHA-256 in hexadecimal. Without it, the first fetch writes the hash it found to
        ``<file_name>.sha256.json``, and every later call demands that one.
    progress
        Called after every chunk.
    timeout_s
        Longest wait for the connection and for each chunk, in seconds.

    Raises
    ------
    DownloadError
        The server cannot be reached or refuses, the body is cut short, or the hash is wrong. Nothing of it is ever
        seen under the final name, and a later call may succeed.
    ArtifactError
        ``file_name`` leaves the folder, or the recorded hash is damaged.
    """
    import pooch
    from filelock import FileLock

    parts = PurePosixPath(file_name).parts
    if not parts or ".." in parts or parts[0] == "/" or "\\" in file_name:
        raise ArtifactError(f"file name {file_name!r}: expected a relative path without '..'")
    if not url.lower().startswith(("http://", "https://")):
        raise _download_error(url, expected="an http or https address", got="another", todo="correct the address")
    target = cache_dir().joinpath("downloads", *parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        recorded = _recorded_hash(target)
        expected = sha256.lower() if sha256 is not None else recorded

        def fetch(address: str, output_file: str, _: object) -> None:
            part = target.with_name(f"{target.name}.part")
            _receive(address, part, progress=progress, timeout_s=timeout_s)
            _refuse_wrong_hash(address, part, expected=expected, recorded=None if sha256 is not None else target)
            part.replace(output_file)
            _PartNote.path_for(part).unlink()

        with _quiet(pooch.get_logger()):
            pooch.retrieve(
                url,
                known_hash=None if expected is None else f"sha256:{expected}",
                fname=target.name,
                path=target.parent,
                downloader=fetch,
            )
        if recorded is None or recorded != expected:
            _record_hash(target, url=url)
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartNote:
    """What a ``.part`` file is a part of; kept beside it, so that no two versions are ever joined."""

    url: str
    total_bytes: int | None
    validator: str | None  # ETag or Last-Modified, as If-Range wants it

    @property
    def whole(self) -> bool:
        """Whether the fields have their types: the file may be damaged."""
        return (
            isinstance(self.url, str)
            and (self.total_bytes is None or type(self.total_bytes) is int)
            and (self.validator is None or (isinstance(self.validator, str) and self.validator.isprintable()))
        )

    def continuable(self, url: str, *, size: int) -> bool:
        """Whether a part of this size may be continued from this address."""
        if self.url != url or (self.total_bytes is None and self.validator is None):
            return False
        return self.total_bytes is None or size <= self.total_bytes

    @staticmethod
    def path_for(part: Path) -> Path:
        return part.with_name(f"{part.name}.json")

    @classmethod
    def read(cls, part: Path) -> _PartNote | None:
        try:
            note = cls(**read_json(cls.path_for(part)))
        except (FileNotFoundError, FormatError, TypeError):
            return None
        return note if note.whole else None

    def write(self, part: Path) -> None:
        fields = {"url": self.url, "total_bytes": self.total_bytes, "validator": self.validator}
        write_atomic(self.path_for(part), json.dumps(fields).encode())


def _receive(url: str, part: Path, *, progress: Progress | None, timeout_s: float) -> None:
    """Bring ``part`` to the whole file: continue it where that is safe, start over where it is not."""
    note = _PartNote.read(part)
    start = part.stat().st_size if part.exists() else 0
    if note is None or not start or not note.continuable(url, size=start):
        note, start = None, 0
    elif start == note.total_bytes:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "nasbench-mo"}
    if note is not None:
        headers["Range"] = f"bytes={start}-"
        if note.validator is not None:
            headers["If-Range"] = note.validator
    response = _open(url, headers, timeout_s=timeout_s, resuming=note is not None)
    if note is not None and (
        response is None or (response.status == 206 and not _continues(response, note, start=start))
    ):
        if response is not None:
            response.close()
        part.unlink()
        _receive(url, part, progress=progress, timeout_s=timeout_s)
        return
    assert response is not None  # _open gives None only to a range
    with response:
        if response.status not in ((200,) if note is None else (200, 206)):
            raise _download_error(
                url, expected="HTTP status 200", got=str(response.status), todo=f"check the address, {_BY_HAND}"
            )
        if response.status == 200:
            start = 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        etag = response.headers.get("ETag")
        strong = etag if etag is not None and not etag.startswith("W/") else None
        _PartNote(url=url, total_bytes=total, validator=strong or response.headers.get("Last-Modified")).write(part)
        _write_body(response, part, url=url, start=start, total=total, progress=progress)


def _open(url: str, headers: Mapping[str, str], *, timeout_s: float, resuming: bool) -> HTTPResponse | None:
    """Open an address. None where the server refuses the range (416): the part is of no use to it."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    request = urllib.request.Request(url, headers=dict(headers))
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and resuming:
            return None
        raise _download_error(
            url,
            expected="the file",
            got=f"HTTP status {error.code} {error.reason}",
            todo=f"check the address, {_BY_HAND}",
        ) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _download_error(
            url,
            expected="a connection",
            got=f"{type(error).__name__} ({reason})",
            todo=f"check the network and its proxy settings and try again, {_BY_HAND}",
        ) from error
    return response


def _continues(response: HTTPResponse, note: _PartNote, *, start: int) -> bool:
    """Whether a partial answer begins where the part ends and belongs to a file of the same size."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != start:
        return False
    return note.total_bytes is None or found[2] == "*" or int(found[2]) == note.total_bytes


def _write_body(
    response: HTTPResponse,
    part: Path,
    *,
    url: str,
    start: int,
    total: int | None,
    progress: Progress | None,
) -> None:
    from http.client import HTTPException, IncompleteRead

    done = start
    broken: Exception | None = None
    with part.open("ab" if start else "wb") as stream:
        while True:
            try:
                chunk = response.read(_CHUNK_BYTES)
            except IncompleteRead as error:
                chunk, broken = error.partial, error
            except (OSError, HTTPException) as error:
                chunk, broken = b"", error
            stream.write(chunk)
            done += len(chunk)
            if progress is not None and chunk:
                progress(done, total)
            if not chunk or broken is not None:
                break
    if broken is not None or (total is not None and done != total):
        raise _download_error(
            url,
            expected="the whole file" if total is None else f"{total} bytes",
            got=f"{done} bytes" + (f" ({type(broken).__name__})" if broken is not None else ""),
            todo="try again: what came is kept and will be continued",
        ) from broken


def _refuse_wrong_hash(url: str, part: Path, *, expected: str | None, recorded: Path | None) -> None:
    """Throw a part with the wrong hash away. ``recorded`` is the file whose earlier hash was demanded, or None."""
    found = sha256(part)
    if expected is None or found == expected:
        return
    part.unlink()
    _PartNote.path_for(part).unlink()
    todo = "try again; if it comes back, the published file is another one now"
    if recorded is not None:
        todo += f", which you accept by deleting {_record_of(recorded)}"
    raise _download_error(url, expected=f"SHA-256 {expected}", got=found, todo=todo)


def _record_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256.json")


def _recorded_hash(target: Path) -> str | None:
    """SHA-256 that the first fetch found, or None before it."""
    record = _record_of(target)
    try:
        facts = read_json(record)
    except FileNotFoundError:
        return None
    except FormatError as error:
        raise ArtifactError(f"{record}: expected JSON, got {error}; delete it to fetch the file anew") from error
    found = facts.get("sha256") if isinstance(facts, dict) else None
    if not isinstance(found, str):
        raise ArtifactError(f"{record}: expected a field 'sha256'; delete it to fetch the file anew")
    return found


def _record_hash(target: Path, *, url: str) -> None:
    facts = {"url": url, "sha256": sha256(target), "bytes": target.stat().st_size}
    write_atomic(_record_of(target), json.dumps(facts, indent=1).encode())


def _download_error(url: str, *, expected: str, got: str, todo: str) -> DownloadError:
    return DownloadError(f"{url}: expected {expected}, got {got}; {todo}")


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch's own messages off the user's terminal; progress is the caller's business."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
