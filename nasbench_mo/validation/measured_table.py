"""A measured benchmark table from one specification: train, profile, write.

Everything that was measured is kept in a folder of unfinished work until the table with its card is written whole.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.artifacts import write_atomic
from nasbench_mo.bounded import read_json
from nasbench_mo.errors import ArtifactError, SpecError
from nasbench_mo.hardware import processor_name
from nasbench_mo.hardware.accelerators import design_columns
from nasbench_mo.hardware.workload import workload
from nasbench_mo.objective import Objective
from nasbench_mo.profiling import LatencyProtocol, measure_latency, onnx_network
from nasbench_mo.table import Column, Table, write_table
from nasbench_mo.training.building import (
    finished_trainings,
    nb201,
    topologies,
    train_topologies,
    trained_codes,
)
from nasbench_mo.training.columns import size_columns, training_columns
from nasbench_mo.training.images import ImageSet
from nasbench_mo.training.table_spec import LatencySpec, TrainedTableSpec
from nasbench_mo.validation.measured_card import write_card

_LATENCY_FILE = "latency.json"
#: Called with a title, what is done and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLatency:
    """Latency of every trained topology on one machine.

    Parameters
    ----------
    codes
        (t + 1,) codes of the networks; the last is the degenerate one.
    latency_ms
        (t + 1,) the statistic of the protocol.
    noise_percent
        Median relative difference of two halves of the rounds.
    device, runtime
        Processor and onnxruntime's version.
    protocol
        How it was measured.
    """

    codes: tuple[int, ...]
    latency_ms: tuple[float, ...]
    noise_percent: float
    device: str
    runtime: str
    protocol: LatencySpec

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_atomic(path, (json.dumps(dataclasses.asdict(self)) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> MeasuredLatency:
        """Read what :meth:`write` wrote.

        Raises
        ------
        ArtifactError
            The file is damaged.
        """
        try:
            fields = read_json(path)
            fields["codes"], fields["latency_ms"] = tuple(fields["codes"]), tuple(fields["latency_ms"])
            fields["protocol"] = LatencySpec(**fields["protocol"])
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error}); delete it and latency is measured again") from error


def build_measured_table(
    spec: TrainedTableSpec,
    *,
    root: Path,
    command: str,
    spec_file: Path,
    work: Path | None = None,
    images: Path | None = None,
    n_processes: int = 1,
    scheduler: str | None = None,
    device: str = "cpu",
    at_most: int | None = None,
    progress: Progress | None = None,
) -> Table | None:
    """Train, measure latency, and write ``root/<id>/``; go on where an earlier call was interrupted.

    Parameters
    ----------
    spec, spec_file
        What to make, and the file that says so, which is stored with the table.
    root
        Folder that gets the table.
    command
        For the card: the command that makes the table again.
    work
        Folder of unfinished work, ``root/unfinished/<id>`` by default. It is left there when the table is written.
    images, n_processes, scheduler, device, at_most
        See :func:`nasbench_mo.training.train_topologies`.
    progress
        Called after every part of the work.

    Returns
    -------
    The table, or None where trainings are still missing because of ``at_most``.

    Raises
    ------
    SpecError
        ``root/<id>`` exists, or the work folder was begun with another recipe, or another builder works there.
    """
    target = root / spec.id
    if (target / "card.md").exists():
        raise SpecError(
            f"{target} exists and published artefacts are frozen; to make it again, give another folder as --out"
        )
    folder = work if work is not None else root / "unfinished" / spec.id
    missing = train_topologies(
        spec,
        work=folder,
        images=images,
        n_processes=n_processes,
        scheduler=scheduler,
        device=device,
        at_most=at_most,
        progress=None if progress is None else lambda done, total: progress("training", done, total),
    )
    if missing:
        return None
    image_set = spec.read_images(images)
    latency = _latency(spec, image_set, path=folder / _LATENCY_FILE, progress=progress)
    trainings = finished_trainings(spec, work=folder)
    skeleton = spec.recipe.skeleton(image_set)
    columns = [
        *training_columns(spec, trainings, search_space=nb201(), images=image_set),
        *size_columns(nb201(), skeleton=skeleton, dataset=image_set.name),
        latency_column(latency),
        *(
            column
            for name, design in spec.accelerators.items()
            for column in design_columns(name, design, work=workload(spec.space, skeleton=skeleton))
        ),
    ]
    X = nb201().enumerate()
    with artifacts.staged_folder(target) as stage:
        (stage / "spec.yaml").write_text(spec_file.read_text(encoding="utf-8"), encoding="utf-8")
        write_table(
            stage,
            columns,
            id=spec.id,
            space=spec.space,
            archs=nb201().decode(X),
            cardinalities=nb201().cardinalities.tolist(),
            encodings=X,
        )
        environments = sorted({t.environment for t in trainings})
        joules = sorted({t.result.energy.why_not or "measured" for t in trainings})
        write_card(
            stage, spec, images=image_set, latency=latency, environments=environments, energy=joules, command=command
        )
    return Table.open(target)


def latency_column(latency: MeasuredLatency) -> Column:
    """Latency of every architecture in lexicographic order; networks that are the same share it."""
    of_code = dict(zip(latency.codes, latency.latency_ms, strict=True))
    shared = trained_codes(nb201())
    values: NDArray[np.float64] = np.array([of_code[max(code, 0)] for code in shared.tolist()])
    objective = Objective(
        name="latency_cpu",
        unit="ms",
        kind="measured",
        device=latency.device,
        batch=1,
        precision="fp32",
        runtime=latency.runtime,
        convention="live",
        note=f"{latency.protocol.n_threads} thread",
    )
    return Column(objective=objective, values=values.astype(np.float32))


def _latency(spec: TrainedTableSpec, images: ImageSet, *, path: Path, progress: Progress | None) -> MeasuredLatency:
    """Latency as an earlier call left it, or measured now."""
    if path.is_file():
        found = MeasuredLatency.read(path)
        if found.protocol != spec.latency:
            raise SpecError(
                f"{path} was measured as {found.protocol}, and the specification says {spec.latency}; delete it to "
                "measure again"
            )
        return found
    measured = measure_topologies(spec, images, progress=progress)
    measured.write(path)
    return measured


def measure_topologies(
    spec: TrainedTableSpec, images: ImageSet, *, progress: Progress | None = None
) -> MeasuredLatency:
    """Measure the latency of every trained topology, and of the degenerate network, on this processor."""
    from importlib.metadata import version

    codes = [*topologies(nb201()).tolist(), 0]  # code 0 is the cell of absent edges alone
    cells = nb201().from_codes(np.array(codes)).tolist()
    skeleton = spec.recipe.skeleton(images)

    def maker(cell: list[int]) -> Callable[[], bytes]:
        return lambda: onnx_network(cell, skeleton=skeleton)

    measured = measure_latency(
        [maker(cell) for cell in cells],
        protocol=LatencyProtocol(**dataclasses.asdict(spec.latency)),
        progress=None if progress is None else lambda done, total: progress("latency", done, total),
    )
    return MeasuredLatency(
        codes=tuple(codes),
        latency_ms=tuple(measured.latency_ms.tolist()),
        noise_percent=measured.noise_percent,
        device=processor_name(),
        runtime=f"onnxruntime {version('onnxruntime')}",
        protocol=spec.latency,
    )


def spec_of(table: Table) -> TrainedTableSpec:
    """The specification a measured table was made from.

    Raises
    ------
    SpecError
        The table was not trained by this package.
    """
    path = table.path.parent / "spec.yaml"
    if not path.is_file():
        raise SpecError(f"table {table.id!r} has no specification of trainings; only tables made by 'table build' have")
    return TrainedTableSpec.read(path)
