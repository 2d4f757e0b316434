"""A small share of the damaged inputs of ``python -m fuzz``; ``make test-all`` tries ten thousand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz.mutations import any_bytes, json_tree
from fuzz.readers import READERS, Harness, Reader, plan

ROOT = Path(__file__).parents[1]
SHARE = 400
NUMBERS = plan(SHARE)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_is_read_or_refused_in_words_and_soon(reader: Reader, cache: Path) -> None:
    with Harness(reader) as damaged:
        for number in range(NUMBERS[reader.name]):
            damaged.prepare(number)
            began = time.process_time()
            outcome = damaged.read()
            seconds = time.process_time() - began
            assert outcome.kind != "crash", f"python -m fuzz --only {reader.name!r} {number}: {outcome.error!r}"
            assert seconds < 1.0, f"python -m fuzz --only {reader.name!r} {number}: {seconds:.1f} s"


def made_up(path: Path) -> None:
    (path / "a.json").write_text('{"a": [1, 2, 3], "b": "text"}', encoding="utf-8")


def test_a_reader_that_lets_other_errors_out_is_found() -> None:
    def read(folder: Path) -> None:
        fields = json.loads((folder / "a.json").read_text(encoding="utf-8"))
        sum(fields["a"])

    reader = Reader(name="careless", make=made_up, read=read, damage={"a.json": (any_bytes, json_tree)})
    with Harness(reader) as damaged:
        kinds = set()
        for number in range(40):
            damaged.prepare(number)
            kinds.add(damaged.read().kind)
    assert kinds == {"crash", "accepted"}


def test_an_input_is_the_same_each_time() -> None:
    reader = Reader(name="any", make=made_up, read=lambda folder: None, damage={"a.json": (any_bytes, json_tree)})
    with Harness(reader) as first, Harness(reader) as second:
        made = [(h.prepare(i) / "a.json").read_bytes() for h in (first, second) for i in range(20)]
    assert made[:20] == made[20:]
    assert len(set(made)) > 10


def test_ten_thousand_are_planned_and_every_reader_has_a_share() -> None:
    numbers = plan(10_000)
    assert sum(numbers.values()) >= 10_000
    assert min(numbers.values()) >= 100
    assert len(numbers) == len(READERS)  # no name twice


@pytest.mark.slow
def test_five_hundred_kills_leave_no_half_file() -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "killing.py", "500"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
