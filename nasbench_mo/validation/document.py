"""A validation report for people: Markdown, and the files that belong together in one folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.validation.measured_rows import MEASURED, write_measured
from nasbench_mo.validation.page import render_html
from nasbench_mo.validation.report import ObjectiveReport, Report
from nasbench_mo.validation.shortlist_profile import Profile
from nasbench_mo.validation.statements import in_epochs, number

REPORT_JSON, REPORT_MD, REPORT_HTML = "report.json", "report.md", "report.html"

#: Measured columns of the networks' table, where they exist, and their headings.
SHOWN = {
    "valid_error_mean_percent": "validation error, %",
    "test_error_mean_percent": "test error, %",
    "test_f1_mean_percent": "test macro F1, %",
    "train_time_mean_s": "training, s",
    "train_energy_mean_j": "training, J",
    "valid_error_int8_mean_percent": "validation error in int8, %",
    "valid_error_fp16_mean_percent": "validation error in fp16, %",
    "latency_p10_us": "latency p10, us",
    "latency_p50_us": "latency p50, us",
    "latency_p90_us": "latency p90, us",
    "latency_p99_us": "latency p99, us",
    "memory_mib": "memory, MiB",
    "energy_uj": "energy of a run, uJ",
    "params_count": "parameters",
}


def write_report(report: Report, out: Path) -> list[Path]:
    """Write ``report.json``, ``report.md``, ``report.html`` and ``measured.parquet``, each whole or not at all.

    Returns
    -------
    The files. There is no ``measured.parquet`` where nothing could be measured.
    """
    texts = {
        REPORT_JSON: report.to_json(),
        REPORT_MD: render_markdown(report),
        REPORT_HTML: render_html(report, shown=SHOWN),
    }
    for name, text in texts.items():
        write_atomic(out / name, text.encode())
    table = write_measured(report.study, out / MEASURED)
    return [*(out / name for name in texts), *([] if table is None else [table.path])]


def render_markdown(report: Report) -> str:
    """The report as Markdown."""
    study = report.study
    recipe = study.recipe
    parts = [
        f"# Validation of a run on {study.problem}",
        f"{len(report.networks)} networks trained on {study.dataset} ({study.n_images['train']:,} training, "
        f"{study.n_images['valid']:,} validation, {study.n_images['test']:,} test images) for "
        f"{in_epochs(recipe.epochs)}, "
        f"{recipe.n_cells} cell{'s' if recipe.n_cells > 1 else ''} a stage, {recipe.channels} channels, seed"
        f"{'s' if len(study.seeds) > 1 else ''} {', '.join(map(str, study.seeds))}, on {study.device}"
        f"{'' if study.engine == 'torch' else f' by the {study.engine} engine'}; latency on "
        f"{study.profile.device} with {study.profile.runtime}, batch 1, {study.profile.precision}"
        f"{_threads(study.profile)} (noise {number(study.profile.noise_percent)} %).",
        "## Findings",
        "\n".join(f"- {text}" for text in report.statements),
        "## Predicted against measured",
        "\n\n".join(_objective(report, o) for o in report.objectives),
        "## Networks",
        _networks(report),
        "## Identity",
        "\n".join(
            f"- {name}: `{value}`"
            for name, value in {
                "run (hash of its values)": study.run_hash,
                "images (SHA-256)": study.images_sha256,
                "environment": "; ".join(sorted({done.environment for done in study.trained if done.environment})),
            }.items()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _threads(profile: Profile) -> str:
    if profile.n_threads is None:
        return ""
    threads = f", {profile.n_threads} thread{'s' if profile.n_threads > 1 else ''}"
    if profile.cores is None:
        return f"{threads} not kept on cores"
    return f"{threads} kept on core{'s' if len(profile.cores) > 1 else ''} {', '.join(map(str, profile.cores))}"


def _objective(report: Report, objective: ObjectiveReport) -> str:
    o, found = objective.objective, objective.counterpart
    head = f"### {o.column}\n\n{o.describe()}. Measured: "
    if found.column is None:
        return head + f"nothing; {found.because}."
    rows = [
        [str(i + 1), report.networks[i].role, number(p), number(y), str(rp), str(ry), _arrow(rp, ry)]
        for i, p, y, rp, ry in zip(
            objective.networks,
            objective.predicted,
            objective.measured,
            objective.predicted_rank,
            objective.measured_rank,
            strict=True,
        )
    ]
    unit = o.unit
    names = ["network", "role", f"predicted, {unit}", f"measured, {unit}", "predicted rank", "measured rank", "change"]
    return f"{head}`{found.column}`.\n\n{_table(names, rows)}"


def _arrow(before: int, after: int) -> str:
    return "=" if before == after else f"{before - after:+d}"


def _networks(report: Report) -> str:
    columns = [name for name in SHOWN if any(n.measured.get(name) is not None for n in report.networks)]
    rows = []
    for i, network in enumerate(report.networks):
        values = [network.measured.get(name) for name in columns]
        dominated = network.dominated_by
        verdict = "failed" if dominated is None else ", ".join(str(k + 1) for k in dominated) or "none"
        numbers = [number(math.nan if v is None else v) for v in values]
        rows.append([str(i + 1), network.role, f"`{network.arch}`", *numbers, verdict])
    return _table(["", "role", "architecture", *(SHOWN[name] for name in columns), "dominated by"], rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(names), "|" + " --- |" * len(names), *(line(row) for row in rows)])
