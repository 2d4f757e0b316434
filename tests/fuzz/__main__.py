"""Damage the files of every reader many times, and print what came of it as a Markdown table.

    PYTHONPATH=tests python -m fuzz 10000

Each reader has a process of its own, so that a crash of the interpreter is a finding and not the end. An input is a
failure where reading it ends in anything but success or a NasbenchMoError, takes a second of processor time, or 500 MB.
The exit status is 1 where there is one. An input can be repeated: ``python -m fuzz --only READER NUMBER``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.readers import READERS, Harness, Reader, plan

#: Limits of one input.
MOST_SECONDS = 1.0
MOST_KIB = 500 * 1024
#: Wall-clock seconds after which a process is taken to hang.
_PATIENCE_S = 300


@dataclass(kw_only=True)
class Tally:
    """What came of a reader's inputs."""

    reader: str
    tried: int = 0
    clean: int = 0
    accepted: int = 0
    slowest_ms: float = 0.0
    failures: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Of the table."""
        return (
            f"| {self.reader} | {self.tried:,} | {self.clean:,} | {self.accepted:,} | {len(self.failures)} | "
            f"{self.slowest_ms:.0f} |"
        )


def _say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def inputs_of(reader: Reader, *, start: int, stop: int) -> None:
    """Try some inputs in this process; one JSON line before and one after each."""
    with Harness(reader) as made:
        for number in range(start, stop):
            folder = made.prepare(number)
            _say(json.dumps({"number": number}))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.process_time()
            outcome = made.read()
            seconds = time.process_time() - began
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            trace = "".join(traceback.format_exception(outcome.error)) if outcome.kind == "crash" else ""
            line = {"kind": outcome.kind, "ms": 1000 * seconds, "kib": grown, "trace": trace, "folder": str(folder)}
            _say(json.dumps(line))


def tally(reader: Reader, *, n: int) -> Tally:
    """Try inputs 0 to n - 1 of a reader, in other processes."""
    made = Tally(reader=reader.name)
    while made.tried < n:
        command = [sys.executable, "-m", "fuzz", "--child", reader.name, str(made.tried), str(n)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
            output, status, complaint = done.stdout, done.returncode, done.stderr
        except subprocess.TimeoutExpired as error:
            output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
            status, complaint = -1, f"no answer within {_PATIENCE_S} s"
        open_input: int | None = None
        for text in output.splitlines():
            line = json.loads(text)
            if "number" in line:
                open_input = int(line["number"])
                continue
            _count(made, line, number=open_input)
            open_input = None
        if open_input is not None:
            made.tried += 1
            made.failures.append(f"input {open_input}: the process ended with status {status}\n{complaint[-2000:]}")
        elif status:
            raise RuntimeError(f"{reader.name}: no inputs could be made\n{complaint}")
    return made


def _count(made: Tally, line: dict[str, object], *, number: int | None) -> None:
    made.tried += 1
    ms, kib = float(str(line["ms"])), int(str(line["kib"]))
    made.slowest_ms = max(made.slowest_ms, ms)
    if line["kind"] == "crash":
        made.failures.append(f"input {number}:\n{line['trace']}")
    elif ms > 1000 * MOST_SECONDS or kib > MOST_KIB:
        made.failures.append(f"input {number}: {ms:.0f} ms, {kib / 1024:.0f} MiB")
    elif line["kind"] == "clean":
        made.clean += 1
    else:
        made.accepted += 1


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("total", type=int, nargs="?", default=10_000, help="inputs in all")
    parser.add_argument("--only", nargs=2, metavar=("READER", "NUMBER"), help="repeat one input in this process")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--failures", type=Path, help="file to which the traces of failures are added")
    given = parser.parse_args()
    by_name = {reader.name: reader for reader in READERS}
    if given.child:
        name, start, stop = given.child
        inputs_of(by_name[name], start=int(start), stop=int(stop))
        os._exit(0)  # threads of libraries that are torn down in the wrong order are nobody's finding
    if given.only:
        with Harness(by_name[given.only[0]]) as made:
            _say(made.prepare(int(given.only[1])))
            error = made.read().error
            if error is not None:
                traceback.print_exception(error)
        return 0
    _say("| reader | inputs tried | clean errors | accepted | crashes | slowest ms |")
    _say("|---|--:|--:|--:|--:|--:|")
    tallies = []
    numbers = plan(given.total)
    for reader in READERS:
        tallies.append(tally(reader, n=numbers[reader.name]))
        _say(tallies[-1].row())
        if given.failures is not None:
            with given.failures.open("a", encoding="utf-8") as stream:
                stream.writelines(f"{reader.name}, {failure}\n" for failure in tallies[-1].failures)
    whole = Tally(reader="all", slowest_ms=max(t.slowest_ms for t in tallies))
    for each in tallies:
        whole.tried, whole.clean, whole.accepted = (
            whole.tried + each.tried, whole.clean + each.clean, whole.accepted + each.accepted
        )  # fmt: skip
        whole.failures += [f"{each.reader}, {failure}" for failure in each.failures]
    _say(whole.row())
    return 1 if whole.failures else 0


if __name__ == "__main__":
    sys.exit(main())
