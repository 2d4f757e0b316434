"""Published files that ``nasbench-mo fetch ID`` brings to the cache, and where to get those it cannot.

The addresses are pinned to commits. They were *not* tried by the tests, which have no network: those run against a
server of their own. Where the publisher's SHA-256 was known it is demanded; elsewhere the first fetch records it and
every later one demands the same (:func:`nasbench_mo.artifacts.download`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nasbench_mo import artifacts
from nasbench_mo.errors import DownloadError, UnknownNameError, did_you_mean
from nasbench_mo.sources import import_source
from nasbench_mo.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetchable:
    """A published file and the reader that understands it.

    Parameters
    ----------
    id
        What the user asks for.
    source
        Name of the reader in :data:`nasbench_mo.sources.SOURCES`.
    file_name
        Name of the file (by hand: of what the reader takes).
    licence
        Licence of the repository that publishes it.
    home
        Page from which a person gets the file.
    url
        Pinned address, or None where the file must be got by hand.
    sha256
        Hash of the file as published, or None where it was not known.
    by_hand
        What a person does with the page.
    """

    id: str
    source: str
    file_name: str
    licence: str
    home: str
    url: str | None = None
    sha256: str | None = None
    by_hand: str = "download {file_name} from {home}"

    @property
    def command(self) -> str:
        """The command that imports the file once it is there."""
        return f"nasbench-mo import {self.source} {self.file_name}"

    @property
    def instructions(self) -> str:
        """How to get and import the file by hand, in one sentence."""
        return f"{self.by_hand.format(file_name=self.file_name, home=self.home)}, then run: {self.command}"


_RAW: Final = "https://raw.githubusercontent.com"

_TABLE: Final = (
    Fetchable(
        id="hw-nas-bench",
        source="hw-nas-bench",
        file_name="HW-NAS-Bench-v1_0.pickle",
        licence="MIT",
        home="https://github.com/GATECH-EIC/HW-NAS-Bench",
        url=f"{_RAW}/GATECH-EIC/HW-NAS-Bench/393bb8a02554dcd28e091fbbdb4d7aefe590018a/HW-NAS-Bench-v1_0.pickle",
    ),
    Fetchable(
        id="help",
        source="help",
        file_name="HELP-45f70eb92d0d735970a33b608d1544ad3c52f285.zip",
        licence="MIT",
        home="https://github.com/HayeonLee/HELP",
        # GitHub makes the zip on demand; its bytes, unlike its content, are not promised to stay the same.
        url="https://codeload.github.com/HayeonLee/HELP/zip/45f70eb92d0d735970a33b608d1544ad3c52f285",
        by_hand="download the repository {home} as {file_name}",
    ),
    Fetchable(
        id="accel-nasbench",
        source="accel-nasbench",
        file_name="anb_dataset_jsons.tar.gz",
        licence="Apache-2.0",
        home="https://github.com/afzalxo/Accel-NASBench",
        url=(
            f"{_RAW}/afzalxo/Accel-NASBench/42603572d530310e6bac7191d00cf45625a6b197/"
            "anb_dataset/anb_dataset_jsons.tar.gz"
        ),
        sha256="3520992d42e368b7c08c99fc3f6612855b5b366bf98668a7f19d49f3131aa4ae",
    ),
    Fetchable(
        id="nas-bench-macro",
        source="nas-bench-macro",
        file_name="nas-bench-macro_cifar10.json",
        licence="Apache-2.0",
        home="https://github.com/xiusu/NAS-Bench-Macro",
        url=f"{_RAW}/xiusu/NAS-Bench-Macro/61a2bfc2ca0dce04d0997e6cf498047c27d6acf2/data/nas-bench-macro_cifar10.json",
        sha256="686dee8363cc21cca8c1f321ad5749454f2d9b9ca5972682e137e539bc522297",
    ),
    Fetchable(
        id="naslib-zerocost",
        source="naslib-zerocost",
        file_name="zc_nasbench201.json",
        licence="Apache-2.0",
        home="https://github.com/automl/NASLib",
        url=f"{_RAW}/automl/NASLib/6639fd1579010457885c641553c55b0c153045aa/naslib/data/zc_nasbench201.json",
        sha256="5dcbbcd56812a9f62164a376bc7df4082ab3af612082b6d26a845930e6eb8641",
    ),
    Fetchable(
        id="nats-bench-topology",
        source="nats-bench",
        file_name="NATS-tss-v1_0-3ffb9-simple",
        licence="MIT",
        home="https://github.com/D-X-Y/NATS-Bench",
        by_hand="download {file_name}.tar from the Google Drive folder that {home} links to and unpack it",
    ),
    Fetchable(
        id="nats-bench-size",
        source="nats-bench",
        file_name="NATS-sss-v1_0-50262-simple",
        licence="MIT",
        home="https://github.com/D-X-Y/NATS-Bench",
        by_hand="download {file_name}.tar from the Google Drive folder that {home} links to and unpack it",
    ),
    Fetchable(
        id="nas-bench-201",
        source="nas-bench-201",
        file_name="NAS-Bench-201-v1_1-096897.pth",
        licence="MIT",
        home="https://github.com/D-X-Y/NAS-Bench-201",
        by_hand="download {file_name} from the Google Drive folder that {home} links to",
    ),
)

#: Everything ``nasbench-mo fetch`` knows, by id; those without a ``url`` must be got by hand.
FETCHABLE: Final[Mapping[str, Fetchable]] = {entry.id: entry for entry in _TABLE}


def fetchable(id: str) -> Fetchable:
    """The entry with an id.

    Raises
    ------
    UnknownNameError
        There is none; the message lists the closest ones.
    """
    if id not in FETCHABLE:
        raise UnknownNameError(
            f"no published file is called {id!r}.{did_you_mean(id, FETCHABLE)} Known: {', '.join(FETCHABLE)}"
        )
    return FETCHABLE[id]


def fetch(id: str, *, base_url: str | None = None, progress: artifacts.Progress | None = None) -> Path:
    """Bring a published file to the cache and return its path. Nothing is imported.

    Parameters
    ----------
    id
        A key of :data:`FETCHABLE`.
    base_url
        Folder of a mirror that holds the file under its own name; the publisher's address by default. The same hash
        is demanded.
    progress
        See :func:`nasbench_mo.artifacts.download`.

    Raises
    ------
    UnknownNameError
        Nothing has this id.
    DownloadError
        The file must be got by hand (the message says where, and how to import it), or could not be fetched.
    """
    entry = fetchable(id)
    if entry.url is None:
        raise DownloadError(
            f"{id!r} has no address that a program can fetch ({entry.licence} licence); {entry.instructions}"
        )
    url = entry.url if base_url is None else f"{base_url.rstrip('/')}/{entry.file_name}"
    return artifacts.download(url, file_name=entry.file_name, sha256=entry.sha256, progress=progress)


def fetch_and_import(
    id: str, *, base_url: str | None = None, progress: artifacts.Progress | None = None
) -> list[Table]:
    """Fetch a published file and store what it holds as native tables. See :func:`fetch` and ``import_source``."""
    path = fetch(id, base_url=base_url, progress=progress)
    return import_source(fetchable(id).source, path)
