"""A device that is reached by SSH: a Raspberry Pi, a Jetson, a phone with Termux.

It needs a shell and Python with NumPy and onnxruntime, and nothing of this package. Everything goes through the
system's ``ssh``, whose configuration says how to log in; it is never asked for a password. :mod:`.ondevice` and the
models travel in one archive and run there, and each reading comes back at once over the same connection: when it
breaks, what was measured is here.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from nasbench_mo.errors import DeviceError, SpecError
from nasbench_mo.profiling import ondevice

SCHEME = "ssh://"
#: Environment variable with the command in place of ``ssh``, such as ``ssh -i ~/.ssh/board``.
COMMAND = "NASBENCH_MO_SSH"
#: A silent host is given up after three of these.
_ALIVE_S = 5
_OPTIONS = (
    *("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", f"ServerAliveInterval={_ALIVE_S}", "-o", "ServerAliveCountMax=3"),
)
_URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9._][A-Za-z0-9._-]*)@)?(?P<host>[A-Za-z0-9._][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<python>/[^\s]+)?/?"
)
_UNPACK = "import sys,tarfile; tarfile.open(fileobj=sys.stdin.buffer,mode='r|').extractall(sys.argv[1])"
#: Exit code of ssh when the connection fails, and of a shell that finds no such program.
_NO_CONNECTION, _NO_PROGRAM = 255, 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a device is: ``ssh://user@host:port``, and behind it the path of its Python where that is not python3.

    Parameters
    ----------
    user, port
        None where ssh's configuration says them.
    host
        Name or number.
    python
        Interpreter on the device.
    """

    user: str | None
    host: str
    port: int | None
    python: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL.

        Raises
        ------
        SpecError
            It has another form.
        """
        found = _URL.fullmatch(url)
        port = int(found["port"]) if found and found["port"] else None
        if found is None or (port is not None and not 0 < port < 65536):
            raise SpecError(
                f"expected ssh://user@host:port, with the path of a Python behind it if need be, such as "
                f"ssh://pi@raspberrypi:22/home/pi/venv/bin/python; got {url!r}"
            )
        return cls(user=found["user"], host=found["host"].strip("[]"), port=port, python=found["python"] or "python3")


@final
class RemoteDevice:
    """Runs :mod:`.ondevice` on a device.

    Parameters
    ----------
    url
        As of :class:`Address`.

    Raises
    ------
    SpecError
        The URL has another form.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = Address.parse(url)

    def identity(self) -> dict[str, Any]:
        """What the device is; see :func:`.ondevice.identity`.

        Raises
        ------
        DeviceError
            It does not answer, or lacks something.
        """
        python = shlex.quote(self._address.python)
        for line in self._said(f"exec {python} - --identity", given=Path(ondevice.__file__).read_bytes()):
            if "providers" in line:
                return line
        raise DeviceError(f"{self.url} did not say what it is; expected one line of JSON: try it by hand with ssh")

    def lines(self, files: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
        """What the device says while it measures, line by line, without the last one, which says that it is done.

        Parameters
        ----------
        files
            Name to content: ``request.json`` and the models that it names.

        Raises
        ------
        DeviceError
            It does not answer, lacks something, or goes away.
        """
        archive = _archive({**files, Path(ondevice.__file__).name: Path(ondevice.__file__).read_bytes()})
        python = shlex.quote(self._address.python)
        script = (
            f'd=$(mktemp -d) && {python} -c {shlex.quote(_UNPACK)} "$d" && {python} "$d"/ondevice.py "$d"; s=$?; '
            'rm -rf "$d"; exit $s'
        )
        command = f"exec sh -c {shlex.quote(script)}"  # whatever the login shell is
        ended = False
        try:
            for line in self._said(command, given=archive):
                if line.get("end"):
                    ended = True  # but it still tidies up
                else:
                    yield line
        except DeviceError:
            if not ended:
                raise
        if not ended:
            raise DeviceError(
                f"{self.url} ended before it was done; what was measured is kept, and the same command goes on"
            )

    def _said(self, command: str, *, given: bytes) -> Iterator[dict[str, Any]]:
        """Run a command there with some input, and yield the JSON lines that it says."""
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as errors:
            stdin.write(given)
            stdin.seek(0)
            try:
                process = subprocess.Popen(self._ssh(command), stdin=stdin, stdout=subprocess.PIPE, stderr=errors)
            except OSError as error:
                raise DeviceError(
                    f"ssh could not be started ({error.strerror}); install OpenSSH's client, or name another one in "
                    f"{COMMAND}"
                ) from error
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    said = self._parsed(line)
                    if "error" in said:
                        raise DeviceError(
                            f"{self.url}: {said['error']}; install it there (pip install numpy onnxruntime), or name "
                            "the Python that has it: ssh://user@host/path/to/python"
                        )
                    yield said
                code = process.wait()
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
            if code:
                errors.seek(0)
                raise DeviceError(self._explained(code, errors.read().decode("utf-8", errors="replace")))

    def _ssh(self, command: str) -> list[str]:
        where = self._address
        target = where.host if where.user is None else f"{where.user}@{where.host}"
        port = [] if where.port is None else ["-p", str(where.port)]
        return [*shlex.split(os.environ.get(COMMAND, "ssh")), *_OPTIONS, *port, "--", target, command]

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise DeviceError(
                f"{self.url} said {line.decode('utf-8', errors='replace').strip()[:120]!r}, which is no reading; its "
                "login shell must print nothing of its own"
            )
        return said

    def _explained(self, code: int, errors: str) -> str:
        last = (errors.strip().splitlines() or [f"exit code {code}"])[-1].strip()
        if code == _NO_CONNECTION:
            return (
                f"{self.url} does not answer, or went away ({last}); what was measured is kept, and the same command "
                "goes on. Check that ssh logs in there without a password"
            )
        if code == _NO_PROGRAM:
            return (
                f"{self.url} has no {self._address.python} ({last}); install it there, or name the Python: "
                "ssh://user@host/path/to/python"
            )
        return f"measuring on {self.url} failed ({last}); what was measured is kept, and the same command goes on"


def _archive(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
