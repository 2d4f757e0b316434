"""The predictor benchmark as Markdown and as a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nasbench_mo.artifacts import read_card
from nasbench_mo.errors import require
from nasbench_mo.predictor.evaluation import EvaluationSpec, Summary
from nasbench_mo.predictor.transfer_benchmark import TransferRow, TransferSpec


def evaluation_markdown(spec: EvaluationSpec, summaries: Sequence[Summary], *, command: str, machine: str) -> str:
    """One table of Kendall's tau-b for each target, published rows below ours, then one of the other figures."""
    parts = [f"## {spec.title}", f"`{command}`", spec.notes.strip()]
    for target in spec.targets:
        here = [s for s in summaries if s.target == target]
        sizes = list(dict.fromkeys(s.size for s in here))
        rows = [[label, *(_cell(here, label, size, figure="kendall_tau_b") for size in sizes)] for label in spec.models]
        rows += [
            [f"{row.method} [{i}]", *(_published(row.kendall_tau, size) for size in sizes)]
            for i, row in enumerate(spec.published, start=1)
            if row.target == target
        ]
        parts.append(f"### {target}: Kendall tau-b (mean ± deviation of {here[0].n_splits} splits)")
        parts.append(_table(["learnt from", *(f"{size:,}" for size in sizes)], rows))
        parts.append(_other_figures(here, spec, sizes=sizes))
    if spec.published:
        parts.append("\n".join(f"[{i}] {row.source}" for i, row in enumerate(spec.published, start=1)))
    parts.append(f"CPU seconds on {machine}, one thread: compare them with each other, not with other machines.")
    return "\n\n".join(parts) + "\n"


def figures_markdown(folders: Sequence[Path], *, command: str) -> str:
    """One line for each artefact: what it predicts, from how many architectures, and how well, as its card says."""
    lines = []
    for folder in folders:
        card = read_card(folder)
        objective, held_out = card["objective"], card["held_out"]
        rmse = next(value for name, value in held_out.items() if name.startswith("rmse_"))
        size = sum(path.stat().st_size for path in folder.iterdir())
        lines.append(
            [
                f"`{card['id']}`",
                f"{objective['name']}, {objective['unit']}",
                f"{card['rows']['fit']:,}",
                f"{held_out['kendall_tau_b']:.3f}",
                f"{rmse:.3g}" if rmse > 1e-9 else "0",
                f"{100 * held_out['coverage_of_90_percent_intervals']:.0f} %",
                f"{size / 1024:.0f}",
            ]
        )
    head = ["predictor", "predicts", "learnt from", "tau-b", "RMSE", "90 % intervals cover", "KiB"]
    return "\n\n".join(["## The artefacts", f"`{command}`", _ABOUT_ARTEFACTS, _table(head, lines)]) + "\n"


_ABOUT_ARTEFACTS = (
    "Figures are those of held-out topologies, one architecture of each; no isomorphic twin of them was trained on. "
    "RMSE is in the unit named. The latencies of `eyeriss`, `fpga` and, for FBNet, `pixel3` and `raspi4` are exact "
    "sums over operations in their source, so 1.000 proves nothing there. Phones (`pixel2`, `samsung_s7`, "
    "`essential_ph_1`) report whole milliseconds; some GPU columns of OFA are noisy. The settings of `linear` and "
    "`linxgb` were chosen among three to six on some of these columns."
)


def transfer_markdown(spec: TransferSpec, rows: Sequence[TransferRow], *, command: str) -> str:
    """Spearman of every unseen device, our lines by strategy and number of samples, then those of others."""
    lines: list[list[str]] = []
    for strategy, n_samples in dict.fromkeys((row.strategy, row.n_samples) for row in rows):
        here = [row for row in rows if (row.strategy, row.n_samples) == (strategy, n_samples)]
        mean = sum(row.spearman for row in here) / len(here)
        values = [f"{r.spearman:.3f} ± {r.spearman_sd:.3f}" if r.draws > 1 else f"{r.spearman:.3f}" for r in here]
        lines.append([f"nasbench-mo, {strategy}", str(n_samples), *values, f"**{mean:.3f}**"])
    for method, figures in spec.published.items():
        samples = f"{figures['samples']:g}" if "samples" in figures else "-"
        values = [_figure(figures.get(device)) for device in spec.test_devices]
        lines.append([method, samples, *values, _figure(figures.get("mean"))])
    head = ["method", "samples", *spec.test_devices, "mean"]
    return "\n\n".join([f"## {spec.title}", f"`{command}`", spec.notes.strip(), _table(head, lines)]) + "\n"


def plot_evaluation(spec: EvaluationSpec, summaries: Sequence[Summary], path: Path) -> None:
    """Kendall's tau-b against the number of architectures learnt from, one panel a target.

    Raises
    ------
    MissingDependencyError
        Matplotlib is not installed.
    """
    require("matplotlib", extra="notebooks")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(spec.targets), 3.6), layout="constrained")
    panels = figure.subplots(1, len(spec.targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(panels, spec.targets, strict=True):
        for label in spec.models:
            here = [s for s in summaries if s.target == target and s.model == label]
            axes.errorbar(
                [s.size for s in here],
                [s.mean["kendall_tau_b"] for s in here],
                yerr=[s.deviation["kendall_tau_b"] for s in here],
                marker="o",
                markersize=3,
                capsize=2,
                label=label,
            )
        for row in (r for r in spec.published if r.target == target):
            sizes = [float(size) for size in row.kendall_tau]
            axes.plot(sizes, list(row.kendall_tau.values()), linestyle=":", marker="x", label=row.method)
        axes.set_xscale("log")
        axes.set_title(target)
        axes.set_xlabel("architectures learnt from")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("Kendall tau-b on other topologies")
    panels[-1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=100)


def _other_figures(summaries: Sequence[Summary], spec: EvaluationSpec, *, sizes: Sequence[int]) -> str:
    columns: dict[str, Callable[[Summary], str]] = {
        "Spearman": lambda s: f"{s.mean['spearman']:.3f}",
        "RMSE": lambda s: f"{s.mean['rmse']:.3g}",
        "90 % intervals cover, of topologies": lambda s: f"{100 * s.mean['coverage_90_topologies']:.1f} %",
        "of architectures": lambda s: f"{100 * s.mean['coverage_90']:.1f} %",
        "fit, CPU s": lambda s: f"{s.mean['fit_s']:.2f}",
        "query of all, CPU s": lambda s: f"{s.mean['query_s']:.2f}",
    }
    rows = [
        [label, f"{size:,}", *(show(s) for show in columns.values())]
        for label in spec.models
        for size in sizes
        for s in summaries
        if (s.model, s.size) == (label, size)
    ]
    return _table(["model", "learnt from", *columns], rows)


def _cell(summaries: Sequence[Summary], model: str, size: int, *, figure: str) -> str:
    (found,) = [s for s in summaries if (s.model, s.size) == (model, size)]
    spread = f" ± {found.deviation[figure]:.3f}" if found.n_splits > 1 else ""
    return f"{found.mean[figure]:.3f}{spread}"


def _published(figures: Mapping[str, float], size: int) -> str:
    return _figure(figures.get(str(size)))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
