"""``manifest``: the fixed scale of a problem, exact or from the best front known."""

from __future__ import annotations

from pathlib import Path

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.benchmark import compute_manifest, problem_spec
from nasbench_mo.benchmark.catalogue import open_unchecked
from nasbench_mo.benchmark.manifest import front_text, has_exact_front
from nasbench_mo.cli.progress import progress_bar


def make_manifest(identifier: str, *, out: Path | None) -> None:
    """Compute a manifest; print it, or write it as ``<id>.json``, beside a best known front as ``<id>.front``."""
    opened = open_unchecked(problem_spec(identifier))
    if has_exact_front(opened.space):
        texts = {".json": compute_manifest(opened).to_json()}
    else:
        from nasbench_mo.experiment.best_known import MOST_EVALUATIONS, SEARCHERS, best_known

        with progress_bar(f"searching the front of {identifier}", hidden=out is None) as progress:
            found = best_known(
                opened, progress=progress and (lambda n, _: progress(min(n, MOST_EVALUATIONS), MOST_EVALUATIONS))
            )
        made = found.manifest(opened, command=f"nasbench-mo manifest {identifier}", searchers=SEARCHERS)
        texts = {".json": made.to_json(), ".front": front_text(found.kept())}
    if out is None:
        print(texts[".json"], end="")
        return
    for suffix, text in texts.items():
        write_atomic(out / f"{identifier}{suffix}", text.encode())
        print(f"wrote {out / f'{identifier}{suffix}'}")
