"""Downloads against a server of our own on 127.0.0.1; no test leaves the machine."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nasbench_mo.artifacts import download
from nasbench_mo.errors import ArtifactError, DownloadError, UnknownNameError
from nasbench_mo.sources import SOURCES
from nasbench_mo.sources.fetch import FETCHABLE, fetch, fetch_and_import

BODY = np.random.default_rng(0).bytes(700_001)
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Site:
    """What the server does, and what it was asked."""

    body: bytes = BODY
    cut_after: int | None = None  # bytes of the answer that are sent before the connection closes
    ranges: bool = True
    etag: str | None = None
    status: int = 200
    delay_s: float = 0.0
    requests: list[str | None] = field(default_factory=list)  # the Range header of each
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *args: object) -> None:
        self.site = site
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers.get("Range")
        site.requests.append(wanted)
        if site.status != 200:
            self.send_error(site.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and site.ranges else 0
        if site.etag is not None and self.headers.get("If-Range") not in (None, site.etag):
            start = 0
        if start >= len(site.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        if site.etag is not None:
            self.send_header("ETag", site.etag)
        self.send_header("Content-Length", str(len(site.body) - start))
        self.end_headers()
        threading.Event().wait(site.delay_s)
        self.wfile.write(site.body[start:][: site.cut_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    site = Site()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_address[1]}/data.bin"
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def names(folder: Path) -> set[str]:
    """Files in the folder but the lock."""
    return {p.name for p in folder.iterdir() if p.suffix != ".lock"}


# ---------------------------------------------------------------------- a download that works


def test_a_file_is_fetched_once(site: Site, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download(site.url, file_name="data.bin", sha256=SHA256, progress=lambda *a: seen.append(a))
    assert path == folder / "data.bin" and path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY)) and len(seen) > 1
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert download(site.url, file_name="data.bin", sha256=SHA256.upper()) == path
    assert site.requests == [None]
    assert names(folder) == {"data.bin", "data.bin.sha256.json"}


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs some code with the package at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_nothing_on_the_terminal(site: Site) -> None:
    code = "import sys; from nasbench_mo.artifacts import download; download(sys.argv[1], file_name='data.bin')"
    assert python(code, site.url).communicate(timeout=60) == ("", "")
    assert len(site.requests) == 1


def test_the_logger_of_pooch_is_left_as_it_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch

    monkeypatch.setattr(pooch.get_logger(), "level", logging.ERROR)
    download(site.url, file_name="data.bin")
    assert pooch.get_logger().level == logging.ERROR


def test_a_name_may_have_folders_but_not_leave(site: Site, folder: Path) -> None:
    assert download(site.url, file_name="help/a.pt") == folder / "help" / "a.pt"
    for bad in ("../a", "/a", "a/../../b", "", "a\\b"):
        with pytest.raises(ArtifactError, match="expected a relative path"):
            download(site.url, file_name=bad)


def test_the_first_hash_is_recorded_and_demanded_afterwards(site: Site, folder: Path) -> None:
    path = download(site.url, file_name="data.bin")
    record = folder / "data.bin.sha256.json"
    assert json.loads(record.read_text()) == {"url": site.url, "sha256": SHA256, "bytes": len(BODY)}
    path.unlink()
    site.body = BODY[:-1] + bytes([BODY[-1] ^ 1])
    with pytest.raises(DownloadError, match=f"expected SHA-256 {SHA256}, got .*deleting .*data.bin.sha256.json"):
        download(site.url, file_name="data.bin")
    assert names(folder) == {record.name}
    record.unlink()
    assert download(site.url, file_name="data.bin").read_bytes() == site.body


def test_a_file_that_was_damaged_on_disk_is_fetched_again(site: Site) -> None:
    path = download(site.url, file_name="data.bin")
    path.write_bytes(b"damaged")
    assert download(site.url, file_name="data.bin").read_bytes() == BODY
    assert len(site.requests) == 2


def test_a_damaged_record_is_named(site: Site, folder: Path) -> None:
    download(site.url, file_name="data.bin")
    for text in ("{", "[]", "{}"):
        (folder / "data.bin.sha256.json").write_text(text)
        with pytest.raises(ArtifactError, match=r"data\.bin\.sha256\.json: expected .*delete it"):
            download(site.url, file_name="data.bin")


# ---------------------------------------------------------------------- a download that fails


def test_wrong_hash(site: Site, folder: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        download(site.url, file_name="data.bin", sha256="0" * 64)
    message = str(caught.value)
    assert site.url in message and "0" * 64 in message and SHA256 in message and "try again" in message
    assert names(folder) == set()
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refusals_of_the_server(site: Site, folder: Path, status: int) -> None:
    site.status = status
    with pytest.raises(
        DownloadError, match=f"data.bin: expected the file, got HTTP status {status} .*nasbench-mo import"
    ):
        download(site.url, file_name="data.bin", sha256=SHA256)
    assert names(folder) == set()
    site.status = 200
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY


def test_an_answer_that_is_no_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "send_response", partial_status(204))
    with pytest.raises(DownloadError, match="expected HTTP status 200, got 204"):
        download(site.url, file_name="data.bin")


def partial_status(status: int) -> object:
    def send_response(self: Handler, code: int, message: str | None = None) -> None:
        BaseHTTPRequestHandler.send_response(self, status, message)

    return send_response


def test_no_network(site: Site, folder: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_address[1]
    with pytest.raises(DownloadError, match=f"127.0.0.1:{port}/x: expected a connection, got .*check the network"):
        download(f"http://127.0.0.1:{port}/x", file_name="data.bin")
    assert names(folder) == set()


def test_a_server_that_hangs(site: Site) -> None:
    site.delay_s = 1.0
    with pytest.raises(DownloadError, match=r"expected 700001 bytes, got 0 bytes \(TimeoutError\)"):
        download(site.url, file_name="data.bin", timeout_s=0.2)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data.bin"])
def test_only_http(site: Site, url: str) -> None:
    with pytest.raises(DownloadError, match="expected an http or https address"):
        download(url, file_name="data.bin")


# ---------------------------------------------------------------------- interrupted


def interrupt(site: Site, *, after: int) -> None:
    site.cut_after = after
    with pytest.raises(DownloadError, match=f"expected {len(BODY)} bytes, got {after} bytes.*try again"):
        download(site.url, file_name="data.bin", sha256=SHA256)
    site.cut_after = None


@pytest.mark.parametrize("etag", [None, '"v1"'])
def test_a_truncated_download_is_continued(site: Site, folder: Path, etag: str | None) -> None:
    site.etag = etag
    interrupt(site, after=300_000)
    assert names(folder) == {"data.bin.part", "data.bin.part.json"}
    assert (folder / "data.bin.part").read_bytes() == BODY[:300_000]
    seen: list[int] = []
    path = download(site.url, file_name="data.bin", sha256=SHA256, progress=lambda done, total: seen.append(done))
    assert path.read_bytes() == BODY
    assert site.requests == [None, "bytes=300000-"]
    assert min(seen) > 300_000 and max(seen) == len(BODY)
    assert names(folder) == {"data.bin", "data.bin.sha256.json"}


def test_it_may_be_interrupted_again_and_again(site: Site) -> None:
    for after in (100_000, 100_000):
        site.cut_after = after
        with pytest.raises(DownloadError):
            download(site.url, file_name="data.bin", sha256=SHA256)
    site.cut_after = None
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY
    assert site.requests == [None, "bytes=100000-", "bytes=200000-"]


def test_a_keyboard_interrupt_keeps_the_part(site: Site, folder: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(site.url, file_name="data.bin", sha256=SHA256, progress=stop)
    kept = (folder / "data.bin.part").stat().st_size
    assert 0 < kept < len(BODY)
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY
    assert site.requests == [None, f"bytes={kept}-"]


def test_a_server_without_ranges_starts_over(site: Site) -> None:
    interrupt(site, after=300_000)
    site.ranges = False
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY
    assert site.requests == [None, "bytes=300000-"]


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(site: Site) -> None:
    interrupt(site, after=300_000)
    site.body = b"x" * 100 + BODY  # 206, but of a file of another size
    assert download(site.url, file_name="data.bin").read_bytes() == site.body
    assert site.requests == [None, "bytes=300000-", None]


def test_a_file_of_the_same_size_with_another_etag_is_fetched_from_the_start(site: Site) -> None:
    site.etag = '"v1"'
    interrupt(site, after=300_000)
    site.etag, site.body = '"v2"', BODY[::-1]
    assert download(site.url, file_name="data.bin").read_bytes() == BODY[::-1]


def test_a_file_that_became_shorter_than_the_part(site: Site) -> None:
    interrupt(site, after=300_000)
    site.body = b"short"  # the range is refused with 416
    assert download(site.url, file_name="data.bin").read_bytes() == b"short"
    assert site.requests == [None, "bytes=300000-", None]


def test_a_part_of_another_address_or_without_its_note_is_not_continued(site: Site, folder: Path) -> None:
    interrupt(site, after=300_000)
    assert download(f"{site.url}?mirror", file_name="data.bin", sha256=SHA256).read_bytes() == BODY
    (folder / "data.bin").unlink()
    (folder / "data.bin.part").write_bytes(b"junk")
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY
    assert site.requests == [None, None, None]


def test_a_complete_part_needs_no_second_request(site: Site, folder: Path) -> None:
    interrupt(site, after=300_000)
    (folder / "data.bin.part").write_bytes(BODY)  # stopped between the last byte and the renaming
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY
    assert site.requests == [None]


def test_a_continued_part_with_a_wrong_hash_is_thrown_away(site: Site, folder: Path) -> None:
    interrupt(site, after=300_000)
    (folder / "data.bin.part").write_bytes(b"?" * 300_000)
    with pytest.raises(DownloadError, match="expected SHA-256"):
        download(site.url, file_name="data.bin", sha256=SHA256)
    assert names(folder) == set()
    assert download(site.url, file_name="data.bin", sha256=SHA256).read_bytes() == BODY


# ---------------------------------------------------------------------- two at once


def test_two_processes_at_once_fetch_once(site: Site, folder: Path) -> None:
    site.delay_s = 0.5
    code = (
        "import sys; from nasbench_mo.artifacts import download; "
        "print(download(sys.argv[1], file_name='data.bin').read_bytes() != b'')"
    )
    processes = [python(code, site.url) for _ in range(2)]
    assert [p.communicate(timeout=60) for p in processes] == [("True\n", ""), ("True\n", "")]
    assert site.requests == [None]
    assert (folder / "data.bin").read_bytes() == BODY


# ---------------------------------------------------------------------- the table of published files


def test_every_published_file_is_pinned_and_has_a_reader() -> None:
    for entry in FETCHABLE.values():
        assert entry.source in SOURCES and entry.licence and entry.command in entry.instructions
        if entry.url is not None:
            commit = [
                part for part in entry.url.split("/") if len(part) == 40 and not set(part) - set("0123456789abcdef")
            ]
            assert entry.url.startswith("https://") and commit, f"{entry.id} is not pinned to a commit"
        assert entry.sha256 is None or len(entry.sha256) == 64


@pytest.mark.parametrize("id", [e.id for e in FETCHABLE.values() if e.url is None])
def test_files_behind_a_web_page_say_where_they_are(site: Site, id: str) -> None:
    with pytest.raises(DownloadError, match=rf"Google Drive.*nasbench-mo import {FETCHABLE[id].source} "):
        fetch(id)
    assert site.requests == []


def test_an_unknown_id_suggests_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hw-nas-bench'"):
        fetch("hw-nasbench")


def test_a_mirror_must_have_the_published_bytes(site: Site) -> None:
    base = site.url.removesuffix("data.bin")
    with pytest.raises(DownloadError, match=FETCHABLE["nas-bench-macro"].sha256):
        fetch("nas-bench-macro", base_url=base)
    assert fetch("hw-nas-bench", base_url=base).read_bytes() == BODY


def test_fetch_and_import(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"test_acc": [90.0, 91.0, 92.0], "mean_acc": 91.0, "std": 0.8, "params": 7, "flops": 9}
    site.body = json.dumps({"00012012": record}).encode()
    entry = FETCHABLE["nas-bench-macro"]
    changed = type(entry)(
        **{name: getattr(entry, name) for name in entry.__slots__} | {"sha256": hashlib.sha256(site.body).hexdigest()}
    )
    monkeypatch.setitem(FETCHABLE, "nas-bench-macro", changed)  # type: ignore[arg-type]
    (table,) = fetch_and_import("nas-bench-macro", base_url=site.url.removesuffix("/data.bin"))
    assert table.query(["00012012"], ["test_accuracy_mean_percent"])[0, 0] == pytest.approx(91.0)
