"""The replay command: a run is made again from its own file, and the first difference is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from nasbench_mo.cli.progress import progress_bar
from nasbench_mo.cli.reading import print_json
from nasbench_mo.experiment import Replay, Run, replay


def replay_run(path: Path, *, as_json: bool) -> bool:
    """Replay a run file and print what came of it; whether every row is the same."""
    published = Run.load(path)
    with progress_bar(f"replaying {path.name}", hidden=as_json) as progress:
        found = replay(published, progress=progress)
    if as_json:
        print_json(_facts(found, path=path))
    else:
        print(_text(found, path=path))
    return found.equal


def _facts(found: Replay, *, path: Path) -> dict[str, Any]:
    return {
        "run": str(path),
        "equal": found.equal,
        "evaluations": len(found.replayed),
        "difference": None if found.difference is None else dataclasses.asdict(found.difference),
        "other_versions": {name: {"then": was, "now": now} for name, (was, now) in found.other_versions.items()},
    }


def _text(found: Replay, *, path: Path) -> str:
    i = found.published.identity
    what = f"{i.searcher} on {i.problem}, seed {i.seed}"
    if found.difference is None:
        lines = [f"{path}: {what}: {len(found.replayed)} evaluations, the same bit for bit"]
    else:
        lines = [f"{path}: {what}: not the same run", f"first difference: {found.difference}"]
    if found.other_versions:
        lines += [f"{name}: {was} then, {now} now" for name, (was, now) in found.other_versions.items()]
    elif found.difference is not None:
        lines.append("Python, libraries and processor are those of the run, so this is our fault; please report it")
    return "\n".join(lines)
