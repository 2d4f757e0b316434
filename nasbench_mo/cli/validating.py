"""The validate command: train and profile networks of a run's front, and say how wrong the predictions were."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from nasbench_mo.cli.reading import columns_text, relative
from nasbench_mo.cli.tables import progress_lines
from nasbench_mo.errors import RunError, SpecError
from nasbench_mo.experiment import Run
from nasbench_mo.table import Table
from nasbench_mo.training.datasets import find_dataset
from nasbench_mo.training.recipes import find_recipe
from nasbench_mo.validation.statements import number


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateRequest:
    """What the validate command was asked for."""

    run: Path
    top: int
    controls: int | None
    dataset: str
    device: str
    out: Path
    epochs: int | None
    seeds: str
    n_processes: int
    scheduler: str | None
    images: Path | None
    train_on: str | None = None
    provider: str | None = None
    precision: str = "fp32"
    threads: int = 1
    recipe: str | None = None
    engine: str = "torch"
    append_to: Path | None = None


def validate(request: ValidateRequest, *, as_json: bool) -> None:
    """Validate as asked, write the report, and print its findings."""
    from nasbench_mo.validation import Target, append_measured, choose, make_report, write_report
    from nasbench_mo.validation import validate as train_and_profile
    from nasbench_mo.validation.measured_rows import MEASURED, own_table

    if request.out.exists() and not request.out.is_dir():
        raise RunError(f"--out {request.out} is a file; give the name of a folder")
    seeds = _seeds(request.seeds)
    finished = Run.load(request.run)
    _check_space(finished)
    dataset = find_dataset(request.dataset, folder=request.images)
    recipe = dataset.recipe if request.recipe is None else find_recipe(request.recipe)
    recipe = recipe if request.epochs is None else dataclasses.replace(recipe, epochs=request.epochs)
    target = Target(
        device=request.device, provider=request.provider, precision=request.precision, n_threads=request.threads
    )
    if request.append_to is not None:
        own_table(request.append_to)
    networks = choose(finished, top=request.top, controls=request.controls)
    with progress_lines(f"validating {len(networks)} networks", hidden=as_json) as progress:
        study = train_and_profile(
            finished,
            networks,
            dataset=dataset,
            out=request.out,
            recipe=recipe,
            seeds=seeds,
            device=request.train_on or ("cpu" if target.remote else request.device),
            engine=request.engine,
            n_processes=request.n_processes,
            scheduler=request.scheduler,
            target=target,
            progress=progress,
        )
    report = make_report(study, finished)
    written = write_report(report, request.out)
    if request.append_to is not None and request.out / MEASURED in written:
        append_measured(Table.open(request.out / MEASURED), request.append_to)
        written.append(request.append_to)
    if as_json:
        print(json.dumps(json.loads(report.to_json()), indent=1))
        return
    shown = {"valid_error_mean_percent": "valid error %", "test_error_mean_percent": "test error %"}
    shown |= {"latency_p50_us": "latency us", "params_count": "parameters"}
    rows = [
        {
            "network": str(i + 1),
            "role": network.role,
            **{head: _cell(network.measured.get(column)) for column, head in shown.items()},
            "dominated by": "failed"
            if network.dominated_by is None
            else ", ".join(str(k + 1) for k in network.dominated_by) or "none",
            "architecture": network.arch,
        }
        for i, network in enumerate(report.networks)
    ]
    print(columns_text(rows, cut=False))
    print()
    for text in report.statements:
        print(f"- {text}")
    print()
    print("wrote " + ", ".join(relative(path) for path in written))


def _check_space(finished: Run) -> None:
    """Refuse, before anything is read or chosen, a run whose networks cannot be trained."""
    name = finished.problem.space.name
    if name != "nb201":
        raise SpecError(
            f"there are trainable networks for the space nb201; the run searched {name!r} "
            f"(problem {finished.identity.problem!r}), whose networks cannot be trained here"
        )


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--seeds expects integers with commas between, such as 0,1,2; got {text!r}") from None


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)
