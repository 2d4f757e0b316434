"""The experiment commands: run what is missing, and put the runs' figures into a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.cli.progress import progress_bar
from nasbench_mo.cli.reading import print_json
from nasbench_mo.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRequest:
    """What ``experiment run`` was asked for."""

    problems: str
    searchers: str
    seeds: str
    budget: int
    out: Path
    processes: int
    cluster: str | None
    options: Mapping[str, Mapping[str, float | int | str]]
    strict: bool
    noise: bool
    known: bool


def run(request: ExperimentRequest, *, figures_to: Path | None, command: str, as_json: bool) -> None:
    """Make the runs that are missing; on request also the table of figures."""
    from nasbench_mo.experiment import experiment

    n_before: list[int] = []
    with progress_bar("running", hidden=as_json) as bar:

        def progress(done: int, total: int) -> None:
            if not n_before:
                n_before.append(done)
            if bar is not None:
                bar(done, total)

        paths = experiment(
            _names(request.problems),
            _names(request.searchers),
            seeds=seeds_of(request.seeds),
            budget=request.budget,
            out=request.out,
            processes=request.processes,
            cluster=request.cluster,
            options=request.options,
            strict=request.strict,
            noise=request.noise,
            known=request.known,
            progress=progress,
        )
    made = len(paths) - n_before[0]
    if as_json:
        print_json({"runs": len(paths), "made_now": made, "folder": str(request.out)})
    else:
        print(f"{len(paths)} runs in {request.out}, {made} of them made now")
    if figures_to is not None:
        figures(request.out, out=figures_to, strict=request.strict, command=command, as_json=False, quiet=as_json)


def figures(folder: Path, *, out: Path | None, strict: bool, command: str, as_json: bool, quiet: bool = False) -> None:
    """The figures of the runs in a folder as Markdown, or as JSON."""
    from nasbench_mo.experiment.figures import searcher_figures, to_frame
    from nasbench_mo.experiment.figures_page import figures_markdown
    from nasbench_mo.experiment.scale import STRICT_ERROR_PERCENT, STRICT_QUANTILE, published_scale, strict_scale

    rows = searcher_figures(folder, scale=strict_scale if strict else published_scale)
    if as_json:
        records = to_frame(rows).to_dict(orient="records")
        print_json([{k: None if v in (float("inf"),) or v != v else v for k, v in one.items()} for one in records])
        return
    judged_by = (
        f"the box of at most {STRICT_ERROR_PERCENT:g} % error and each cost's {100 * STRICT_QUANTILE:g}th percentile"
        if strict
        else "the published reference point"
    )
    text = figures_markdown(rows, command=command, judged_by=judged_by)
    if out is None:
        print(text, end="")
        return
    write_atomic(out, text.encode())
    if not quiet:
        print(f"wrote {out}")


def seeds_of(text: str) -> list[int]:
    """Seeds from ``0-30`` or ``0,1,5-8``."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isascii() or not first.isdecimal() or (dash and not last.isdecimal()):
            raise SpecError(f"--seeds expects numbers and ranges such as 0-30 or 0,1,5-8; got {text!r}")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]
