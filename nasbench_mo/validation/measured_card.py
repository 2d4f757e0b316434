"""Card and plot of a measured benchmark table: everything needed to judge it, computed from the written table."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import MissingDependencyError, UnknownNameError, require
from nasbench_mo.pareto import nondominated
from nasbench_mo.table import Table
from nasbench_mo.training.building import nb201, trained_codes
from nasbench_mo.training.images import ImageSet
from nasbench_mo.training.table_spec import TrainedTableSpec
from nasbench_mo.validation.figures import SeedAgreement, kendall_tau_b, seed_agreement

if TYPE_CHECKING:
    from nasbench_mo.validation.measured_table import MeasuredLatency

PLOT = "error-latency.png"
#: NAS-Bench-201's own accuracies, where they are imported: table and columns.
_PUBLISHED = "nb201-accuracy-measured-v1"
_PUBLISHED_COLUMNS = {
    "cifar10": "c10_test_accuracy_200ep_mean_percent",
    "cifar100": "c100_test_accuracy_200ep_mean_percent",
    "imagenet16-120": "in16_test_accuracy_200ep_mean_percent",
}
#: A repeated training may differ by so many deviations between seeds, where machine or versions differ.
_TOLERANCE_DEVIATIONS = 4.0


def write_card(
    folder: Path,
    spec: TrainedTableSpec,
    *,
    images: ImageSet,
    latency: MeasuredLatency,
    environments: Sequence[str],
    energy: Sequence[str],
    command: str,
) -> None:
    """Write ``card.md`` and, where matplotlib is installed, the plot beside the table in a folder."""
    table = Table.open(folder)
    codes = trained_codes(nb201())
    trained, first = np.unique(codes, return_index=True)
    rows = first[trained >= 0]
    errors = np.stack([table[f"valid_error_ep{spec.recipe.epochs}_s{s}_percent"] for s in spec.seeds], axis=1)[rows]
    agreement = seed_agreement(errors, rng=np.random.default_rng(0)) if len(spec.seeds) > 1 else None
    figures = _figures(table, spec, rows=rows, agreement=agreement)
    plotted = _plot(folder / PLOT, table, spec, degenerate=codes < 0)
    front = {
        "id": spec.id,
        "what": "measured benchmark: every network trained and timed",
        "kind": "measured",
        "space": spec.space,
        "convention": "live",
        "objectives": [o.to_dict() for o in table.objectives.values() if o.device is not None],
        "source": f"measured by nasbench-mo on the images {images.name}",
        "licence": "Apache-2.0 (the table; it holds no image)",
        "recipe": {**dataclasses.asdict(spec.recipe), "optimiser": "SGD, Nesterov, one-cycle learning rate"},
        "images": {
            **dataclasses.asdict(spec.images),
            "classes": images.n_classes,
            "train": len(images.train),
            "valid": len(images.valid),
            "test": len(images.test),
            "fingerprint_sha256": spec.images_sha256,
        },
        "seeds": list(spec.seeds),
        "trainings": len(rows) * len(spec.seeds),
        "figures": figures,
        "verify_tolerance_percent": None
        if agreement is None
        else round(_TOLERANCE_DEVIATIONS * 2**0.5 * agreement.seed_deviation_percent, 2),
        "latency": {
            "device": latency.device,
            "runtime": latency.runtime,
            **dataclasses.asdict(latency.protocol),
            "batch": 1,
            "precision": "fp32",
            "noise_floor_percent": round(latency.noise_percent, 3),
        },
        "noise_floor": f"{latency.noise_percent:.1f} % between two halves of the turns",
        "energy": list(energy),
        "trained_on": list(environments),
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("nasbench-mo", "numpy")} | {"python": platform.python_version()},
        "superseded_by": None,
    }
    body = _body(
        table,
        spec,
        images=images,
        latency=latency,
        agreement=agreement,
        figures=figures,
        rows=rows,
        plotted=plotted,
    )
    (folder / "card.md").write_text(artifacts.render_card(front, body=body), encoding="utf-8")


def _figures(
    table: Table, spec: TrainedTableSpec, *, rows: NDArray[np.intp], agreement: SeedAgreement | None
) -> dict[str, Any]:
    mean = table[f"valid_error_ep{spec.recipe.epochs}_mean_percent"]
    figures: dict[str, Any] = {} if agreement is None else _rounded(dataclasses.asdict(agreement))
    figures["tau_b_validation_against_test"] = round(
        kendall_tau_b(mean[rows], table["test_error_mean_percent"][rows]), 4
    )
    figures["tau_b_with_nas_bench_201_test_accuracy"] = _published_taus(-table["test_error_mean_percent"], rows=rows)
    figures["tau_b_of_latency_and_macs"] = round(
        kendall_tau_b(table["latency_cpu_ms"][rows], table["macs_count"][rows]), 4
    )
    return figures


def _published_taus(accuracy: NDArray[np.float64], *, rows: NDArray[np.intp]) -> dict[str, float] | str:
    try:
        published = Table.open(artifacts.resolve("tables", _PUBLISHED))
    except UnknownNameError:
        return f"not computed: {_PUBLISHED} was not imported"
    at = published.locate(nb201().enumerate()[rows])
    return {
        name: round(kendall_tau_b(accuracy[rows], published[column][at]), 4)
        for name, column in _PUBLISHED_COLUMNS.items()
    }


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}


def _front_rows(table: Table, spec: TrainedTableSpec, *, degenerate: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows on the front of validation error and latency, by latency; the first of rows that are equal in both."""
    F = np.stack([table[f"valid_error_ep{spec.recipe.epochs}_mean_percent"], table["latency_cpu_ms"]], axis=1)
    live = np.flatnonzero(~degenerate)
    on_front = live[nondominated(F[live])]
    _, first = np.unique(F[on_front], axis=0, return_index=True)
    kept: NDArray[np.intp] = on_front[np.sort(first)]
    return kept[np.argsort(F[kept, 1], kind="stable")]


def _plot(path: Path, table: Table, spec: TrainedTableSpec, *, degenerate: NDArray[np.bool_]) -> bool:
    """Error against latency of all networks, coloured by parameters, with the front; False without matplotlib."""
    try:
        require("matplotlib", extra="notebooks")
    except MissingDependencyError:
        return False
    from matplotlib.figure import Figure

    error = table[f"valid_error_ep{spec.recipe.epochs}_mean_percent"]
    latency = table["latency_cpu_ms"] * 1000
    live = np.flatnonzero(~degenerate)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    dots = axes.scatter(latency[live], error[live], c=table["params_count"][live] / 1e3, s=4, cmap="viridis", alpha=0.6)
    front = _front_rows(table, spec, degenerate=degenerate)
    axes.step(latency[front], error[front], where="post", color="crimson", linewidth=1.2)
    axes.plot(latency[front], error[front], "o", color="crimson", markersize=4, label=f"front, {len(front)} networks")
    axes.set_xlabel("measured latency of one image, one thread [µs]")
    axes.set_ylabel(f"validation error, mean of {len(spec.seeds)} seeds [%]")
    axes.set_title(f"{spec.id}: {len(live):,} networks with an input-output path")
    figure.colorbar(dots, label="parameters [thousands]")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=90)
    return True


def _body(
    table: Table,
    spec: TrainedTableSpec,
    *,
    images: ImageSet,
    latency: MeasuredLatency,
    agreement: SeedAgreement | None,
    figures: Mapping[str, Any],
    rows: NDArray[np.intp],
    plotted: bool,
) -> str:
    degenerate = trained_codes(nb201()) < 0
    size = spec.recipe.skeleton(images).image_size
    parts = [
        f"# {spec.id}\n\n{spec.about}",
        f"""## How it was made

{len(rows):,} networks were trained for each of {len(spec.seeds)} seeds; the {len(table):,} architectures share them.
Architectures share a training when they compute the same function with the same numbers of convolutions and poolings,
so when they are isomorphic or differ in dead or skipped edges. The {int(degenerate.sum())} architectures without an
input-output path were not trained: they put out one class whatever they see, and got the scores of the most frequent
one, with 0 seconds of training.

Skeleton: {spec.recipe.n_cells} cell a stage, three stages of {spec.recipe.channels}, {2 * spec.recipe.channels} and
{4 * spec.recipe.channels} channels, images of {size}x{size} pixels. Dead operations are pruned.
{_engine(spec)}
{len(images.train):,} images to train, {len(images.valid):,} to validate, {len(images.test):,} to test.
{spec.images.about} A search sees validation error; the test columns are for what it found.

Latency: {latency.runtime}, one image, {latency.protocol.n_threads} thread, {latency.device}. Batch normalisation
is folded into the convolutions. Networks took turns in random order; the column is the
{100 * latency.protocol.quantile:g} % quantile over {latency.protocol.rounds} turns, each the shortest of
{latency.protocol.runs} runs. Two halves of the turns differ by {latency.noise_percent:.2f} % (median): the noise
floor.""",
        *_modelled(spec),
        "## What it holds\n\n" + _ranges(table, spec, rows=rows),
    ]
    parts.append("## How far to trust it\n\n" + _trust(figures, agreement=agreement))
    parts.append("## Best networks\n\n" + _best(table, spec, degenerate=degenerate))
    parts.append(
        """## Known flaws

- The trainings are short: a network that learns faster is not always the one that ends up better. Compare the figures
  with NAS-Bench-201's own accuracies above before drawing conclusions about long trainings.
- Few images: compare tau-b of validation with test error above with tau-b between seeds.
- Seconds of training are processor time of one core that shared its caches with another training; on a GPU, where many
  networks are trained at once, a network's share of the wall time."""
    )
    if plotted:
        parts.append(f"## Error against latency\n\n![Error against latency]({PLOT})")
    parts.append(f"Check rows yourself: `nasbench-mo table verify {spec.id} --rows 5 --seed 0`.")
    return "\n\n".join(parts)


def _engine(spec: TrainedTableSpec) -> str:
    if spec.engine == "torch":
        return "Trained with torch."
    return "Trained by this package's native engine, a C++ program that does what its torch trainer does."


def _trust(figures: Mapping[str, Any], *, agreement: SeedAgreement | None) -> str:
    found = {}
    if agreement is not None:
        found = {
            f"Kendall tau-b between two seeds, {agreement.n_topologies:,} topologies": f"{agreement.kendall_tau_b:.3f}",
            "the same among the best tenth by one of the two": f"{agreement.kendall_tau_b_top:.3f}",
            "standard deviation between seeds": f"{agreement.seed_deviation_percent:.2f} points of error",
            "estimated tau-b of a perfect predictor with the mean of the seeds": f"{agreement.ceiling_tau_b:.3f}",
        }
    found["tau-b of validation with test error"] = f"{figures['tau_b_validation_against_test']:.3f}"
    published = figures["tau_b_with_nas_bench_201_test_accuracy"]
    if not isinstance(published, str):
        values = ", ".join(f"{tau:.3f} ({name})" for name, tau in published.items())
        found["tau-b of test accuracy with NAS-Bench-201's after 200 epochs"] = values
    found["tau-b of latency with multiply-accumulates"] = f"{figures['tau_b_of_latency_and_macs']:.3f}"
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in found.items())])


def _modelled(spec: TrainedTableSpec) -> list[str]:
    if not spec.accelerators:
        return []
    designs = "; ".join(f"{name}: {design.replace(',', ', ')}" for name, design in spec.accelerators.items())
    return [
        f"""Latency and energy on accelerators are **modelled** by `nasbench_mo.hardware`, never measured; what their
precision does to the error is not in the table. {designs}."""
    ]


def _ranges(table: Table, spec: TrainedTableSpec, *, rows: NDArray[np.intp]) -> str:
    epochs = spec.recipe.epochs
    named = {
        "validation error, mean [%]": f"valid_error_ep{epochs}_mean_percent",
        "test error, mean [%]": "test_error_mean_percent",
        "macro F1 on test, mean [%]": "test_f1_mean_percent",
        "training [s]": "train_time_mean_s",
        "parameters": "params_count",
        "multiply-accumulates": "macs_count",
        "latency [ms]": "latency_cpu_ms",
    }
    lines = ["| of the trained networks | least | median | most |", "|---|---|---|---|"]
    for label, column in named.items():
        least, median, most = np.quantile(table[column][rows], [0, 0.5, 1])
        lines.append(f"| {label} | {_number(least)} | {_number(median)} | {_number(most)} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _best(table: Table, spec: TrainedTableSpec, *, degenerate: NDArray[np.bool_]) -> str:
    """The front of validation error and latency, at most a dozen networks spread over it."""
    front = _front_rows(table, spec, degenerate=degenerate)
    shown = front[np.unique(np.linspace(0, len(front) - 1, min(12, len(front))).astype(int))]
    lines = ["| architecture | latency [ms] | validation error [%] | test error [%] |", "|---|---|---|---|"]
    valid = table[f"valid_error_ep{spec.recipe.epochs}_mean_percent"]
    for row in shown.tolist():
        arch = table.archs[row].replace("|", "\\|")
        test = table["test_error_mean_percent"][row]
        lines.append(f"| {arch} | {table['latency_cpu_ms'][row]:.4f} | {valid[row]:.2f} | {test:.2f} |")
    return "\n".join(lines)
