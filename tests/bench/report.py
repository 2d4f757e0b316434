"""Turn the JSON of one ``pytest-benchmark`` run into a Markdown table of medians and ratios.

    pytest tests/bench -o python_files='bench_*.py' --benchmark-only --benchmark-json=bench.json
    python tests/bench/report.py bench.json > bench.md

Ratios are taken within a group and within the run: to the group's first floor, and of each peer to the group's first
own entry. Times are medians, divided by the number of architectures an entry answers for.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One benchmark of a run."""

    group: str
    name: str
    role: str
    median_s: float
    architectures: int
    target_s: float | None
    target_ratio: float | None
    note: str = ""

    @property
    def each_s(self) -> float:
        """Median seconds for one architecture."""
        return self.median_s / self.architectures


def read(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Machine and entries of a run, in the order in which they ran."""
    content = json.loads(path.read_text(encoding="utf-8"))
    entries = [
        Entry(
            group=b["group"] or "",
            name=_plain(b["name"]),
            role=b["extra_info"].get("role", "ours"),
            median_s=b["stats"]["median"],
            architectures=b["extra_info"].get("architectures", 1),
            target_s=b["extra_info"].get("target_s"),
            target_ratio=b["extra_info"].get("target_ratio"),
            note=b["extra_info"].get("note", ""),
        )
        for b in content["benchmarks"]
    ]
    return content["machine_info"], entries


def markdown(machine: dict[str, Any], entries: list[Entry]) -> str:
    """The report."""
    cpu = machine.get("cpu", {})
    lines = [f"Python {machine.get('python_version')}, {cpu.get('brand_raw', 'unknown CPU')}, {cpu.get('count')} cores"]
    for group in sorted({e.group for e in entries}, key=_order):
        members = [e for e in entries if e.group == group]
        floor = next((e for e in members if e.role == "floor"), None)
        ours = next((e for e in members if e.role == "ours"), None)
        lines += [
            "",
            f"### {group.partition(' ')[2]}",
            "",
            "| | median | per architecture | / floor | / ours | target |",
            "|---|--:|--:|--:|--:|:--|",
        ]
        for e in members:
            to_floor = f"{e.each_s / floor.each_s:.2f}" if floor is not None else ""
            to_ours = f"{e.each_s / ours.each_s:.2f}" if ours is not None and e.role == "peer" else ""
            each = _time(e.each_s) if e.architectures > 1 else ""
            verdict = _verdict(e, floor=floor)
            name = f"{e.name} ({e.role}{'; ' if e.note else ''}{e.note})"
            lines.append(f"| {name} | {_time(e.median_s)} | {each} | {to_floor} | {to_ours} | {verdict} |")
    return "\n".join(lines) + "\n"


def _order(group: str) -> tuple[int, str]:
    number, _, words = group.partition(" ")
    return (int(number), words) if number.isdigit() else (0, group)


def _verdict(entry: Entry, *, floor: Entry | None) -> str:
    if entry.target_s is not None:
        met = entry.median_s <= entry.target_s
        return f"{_time(entry.target_s)}: {'met' if met else 'missed'}"
    if entry.target_ratio is not None and floor is not None:
        met = entry.median_s <= entry.target_ratio * floor.median_s
        return f"{entry.target_ratio} x floor: {'met' if met else 'missed'}"
    return ""


def _plain(name: str) -> str:
    name = name.removeprefix("test_start[").removesuffix("]")
    for prefix in ("test_", "floor_", "peer_"):
        name = name.removeprefix(prefix)
    return name.replace("_", " ")


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python report.py BENCHMARK_JSON")
    sys.stdout.write(markdown(*read(Path(sys.argv[1]))))
