"""The table commands: build one from its specification, verify a measured one."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.cli.progress import progress_bar
from nasbench_mo.cli.reading import print_json
from nasbench_mo.errors import ArtifactError
from nasbench_mo.hardware.design_table import DesignSpec, build_design_table, is_design_table
from nasbench_mo.hardware.zigzag_grid import is_grid
from nasbench_mo.profiling.device_spec import DeviceTableSpec, is_device_table
from nasbench_mo.table import Table
from nasbench_mo.training.table_spec import TrainedTableSpec, find_specification, is_trained_table

if TYPE_CHECKING:
    from nasbench_mo.validation import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What ``table build`` was asked for."""

    spec: str
    out: Path
    work: Path | None
    images: Path | None
    n_processes: int
    scheduler: str | None
    device: str
    at_most: int | None


def build(request: BuildRequest) -> None:
    """Build the table of a specification, whatever kind it is."""
    path = find_specification(request.spec)
    if is_device_table(path):
        _measure(request, path)
        return
    if is_trained_table(path):
        _train(request, path)
        return
    if is_grid(path):
        _simulate(request, path)
        return
    command = f"nasbench-mo table build {request.spec}"
    if is_design_table(path):
        table = build_design_table(DesignSpec.read(path), root=request.out, command=command, spec_file=path)
        print(f"wrote {table.path.parent}")
        return
    from nasbench_mo.hardware.building import FitSpec
    from nasbench_mo.hardware.building import build as fit

    made = fit(FitSpec.read(path), root=request.out, command=command, spec_file=path)
    print(f"wrote {request.out / made.table.id}")


def devices(*, out: Path | None, plot: Path | None) -> None:
    """Every device as a Markdown page, and the fronts on some of them as a picture."""
    from nasbench_mo.benchmark.device_fronts import plot_device_fronts
    from nasbench_mo.benchmark.devices import devices_markdown

    if plot is not None:
        plot_device_fronts(plot)
        print(f"wrote {plot}")
    text = devices_markdown(command="nasbench-mo table devices")
    if out is None:
        print(text, end="")
    else:
        write_atomic(out, text.encode())
        print(f"wrote {out}")


def _simulate(request: BuildRequest, path: Path) -> None:
    from nasbench_mo.hardware.zigzag_grid import GridSpec, build_grid

    spec = GridSpec.read(path)
    with progress_bar(f"simulating {spec.id}") as bar:
        tables = build_grid(
            spec,
            out=request.out,
            work=request.work or request.out / "unfinished" / spec.id.replace("{cost}", "costs"),
            command=f"nasbench-mo table build {request.spec}",
            spec_file=path,
            progress=bar,
        )
    for table in tables.values():
        print(f"wrote {table.path.parent}")


def _measure(request: BuildRequest, path: Path) -> None:
    from nasbench_mo.profiling.device_table import build_device_table

    spec = DeviceTableSpec.read(path)
    with progress_bar(f"measuring {spec.id}") as bar:
        tables = build_device_table(
            spec,
            root=request.out,
            command=f"nasbench-mo table build {request.spec}",
            spec_file=path,
            work=request.work,
            progress=bar,
        )
    for table in tables.values():
        print(f"wrote {table.path.parent}")


def _train(request: BuildRequest, path: Path) -> None:
    from nasbench_mo.validation import build_measured_table

    spec = TrainedTableSpec.read(path)
    with progress_lines(f"building {spec.id}") as progress:
        table = build_measured_table(
            spec,
            root=request.out,
            command=f"nasbench-mo table build {request.spec}",
            spec_file=path,
            work=request.work,
            images=request.images,
            n_processes=request.n_processes,
            scheduler=request.scheduler,
            device=request.device,
            at_most=request.at_most,
            progress=progress,
        )
    if table is None:
        print("trainings are still missing; the same command goes on where this one stopped")
    else:
        print(f"wrote {table.path.parent}")


def verify(
    identifier: str,
    *,
    rows: int,
    seed: int,
    images: Path | None,
    engine: str | None,
    other_images: bool,
    as_json: bool,
) -> None:
    """Train rows of a measured table again and say how far they are from what is stored."""
    from nasbench_mo.sources import load_table
    from nasbench_mo.validation import verify_table

    table = Table.open(Path(identifier)) if Path(identifier).is_dir() else load_table(identifier)
    with progress_bar(f"training {rows} rows of {table.id}", hidden=as_json) as bar:
        found = verify_table(
            table, n_rows=rows, seed=seed, images=images, engine=engine, other_images=other_images, progress=bar
        )
    if as_json:
        print_json({**dataclasses.asdict(found), "equal": found.equal, "passed": found.passed})
    else:
        print(_verification_text(found))
    if not found.passed:
        worst = max(found.rows, key=lambda row: row.difference_percent)
        raise ArtifactError(
            f"{found.table}: expected every row within {found.tolerance_percent:g} points of error, got "
            f"{worst.difference_percent:.2f} for {worst.arch} (seed {worst.seed}); the table or the training code "
            "is not what the card says"
        )


def _verification_text(found: Verification) -> str:
    lines = [
        f"{row.arch}  seed {row.seed}  validation error {row.stored_valid_error_percent:.2f} % stored, "
        f"{row.valid_error_percent:.2f} % now; test error {row.stored_test_error_percent:.2f} % stored, "
        f"{row.test_error_percent:.2f} % now{'  (equal to the bit)' if row.equal else ''}"
        for row in found.rows
    ]
    n_equal = sum(row.equal for row in found.rows)
    worst = max(row.difference_percent for row in found.rows)
    lines.append(
        f"{n_equal} of {len(found.rows)} rows equal to the bit; largest difference {worst:.2f} points of error, "
        f"{found.tolerance_percent:g} allowed"
    )
    if not found.same_images:
        lines.append("the images are not the table's to the bit, so rows cannot be")
    if not found.same_environment:
        lines.append(f"trained on: {'; '.join(found.trained_on)}")
        lines.append(f"here:       {found.environment}")
    return "\n".join(lines)


@contextlib.contextmanager
def progress_lines(title: str, *, hidden: bool = False) -> Iterator[Callable[[str, int, int], None] | None]:
    """Bars on a terminal, one for each kind of work; in a pipe a line a minute; nothing where it is hidden."""
    if hidden:
        yield None
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    with contextlib.ExitStack() as stack:
        bars: dict[str, Callable[[int, int | None], None] | None] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in bars:
                stack.close()  # the bar of the work before
                bars[what] = stack.enter_context(progress_bar(f"{title}: {what}"))
            bar = bars[what]
            if bar is not None:
                bar(done, total)

        yield show


class _Lines:
    """For a log: a line with the time left, at most one a minute."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, int]] = {}
        self._said = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        began, at_start = self._began.setdefault(what, (now, done))
        if now - self._said < 60 and done < total:
            return
        self._said = now
        left = ""
        if at_start < done < total:
            hours, minutes = divmod(round((now - began) / (done - at_start) * (total - done) / 60), 60)
            left = f", {hours} h {minutes:02d} min left"
        print(f"{what}: {done:,} of {total:,}{left}", file=sys.stderr, flush=True)
