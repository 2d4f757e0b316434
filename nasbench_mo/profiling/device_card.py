"""Cards of a measured device table: everything needed to judge it."""

from __future__ import annotations

import dataclasses
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from nasbench_mo import artifacts
from nasbench_mo.hardware.shape_costs import skeleton_fields
from nasbench_mo.hardware.shapes import shape_name
from nasbench_mo.profiling.agreement import Agreement
from nasbench_mo.profiling.device_results import Comparison, DeviceResults, layer_columns, network_columns
from nasbench_mo.profiling.device_spec import DeviceTableSpec


def layers_card(results: DeviceResults, spec: DeviceTableSpec, *, command: str) -> str:
    """Card of the costs of layers."""
    front = {
        "id": spec.id,
        "what": "layer cost table, measured",
        **_front(results, spec, command=command),
        "objectives": [c.objective.to_dict() for c in layer_columns(results) if "_pass" not in c.objective.name],
        "rows": len(results.shapes),
        "networks": spec.networks_id,
    }
    front["objective"] = dict(front["objectives"][0])  # YAML would write a second mention as a reference
    parts = [
        f"# {spec.id}\n\n{spec.about}",
        _how(results, spec),
        f"""## How far to trust it

The sum over a network's layers against whole networks that were measured directly (`{spec.networks_id}`), beside how
well a second measurement of the same networks agrees with the first, and beside the order by multiply-accumulates.

{_comparison_table(results)}

{_merged(results, spec)}A layer's cost differs between two passes by {_layer_noise(results)} (median). The columns
`..._pass1` and `..._pass2` are the two measurements.""",
        "## What it holds\n\n" + _layers_table(results),
        _flaws(results, spec),
        f"""## Use

    from nasbench_mo.hardware import ShapeCosts
    costs = ShapeCosts.load("{spec.id}")
    costs.evaluate(X, column="{front["objectives"][0]["name"]}_{front["objectives"][0]["unit"]}")""",
    ]
    return artifacts.render_card(front, body="\n\n".join(parts))


def networks_card(results: DeviceResults, spec: DeviceTableSpec, *, command: str) -> str:
    """Card of the networks that were measured whole."""
    columns = [
        c.objective.to_dict() for c in network_columns(results, spec.skeleton) if "_pass" not in c.objective.name
    ]
    front = {
        "id": spec.networks_id,
        "what": "whole networks, measured",
        **_front(results, spec, command=command),
        "objective": dict(columns[0]),
        "objectives": columns,
        "rows": len(results.cells),
        "sample_seed": spec.sample_seed,
        "layers": spec.id,
    }
    lines = ["| column | networks | least | median | most |", "|---|---|---|---|---|"]
    for found in results.measured:
        if len(found.networks):
            least, median, most = np.quantile(found.networks, [0, 0.5, 1])
            unit = next(c["unit"] for c in columns if c["name"] == found.name)
            lines.append(f"| {found.name}_{unit} | {len(found.networks)} | {least:.4g} | {median:.4g} | {most:.4g} |")
    parts = [
        f"# {spec.networks_id}\n\n{spec.about}",
        f"""## Which networks

{len(results.cells)} cells drawn at random (seed {spec.sample_seed}) among those with a path from input to output, no
two of which compute the same function. A column that was measured on fewer networks holds the first of them.""",
        _how(results, spec),
        "## What it holds\n\n" + "\n".join(lines),
        "## How far to trust it\n\nThe second pass against the first, and the sums of the table "
        f"`{spec.id}` against these networks:\n\n" + _comparison_table(results),
    ]
    memory = _memory_note(results)
    return artifacts.render_card(front, body="\n\n".join([*parts, *([memory] if memory else [])]))


def _front(results: DeviceResults, spec: DeviceTableSpec, *, command: str) -> dict[str, Any]:
    loads = [b.load for b in results.beginnings if b.load is not None]
    return {
        "kind": "measured",
        "space": spec.space,
        "skeleton": skeleton_fields(spec.skeleton),
        "convention": "live",
        "equal_layers_merged_in": list(spec.merged_precisions),
        "source": "measured by nasbench-mo",
        "licence": "Apache-2.0",
        "device": results.device,
        "runtime": results.runtime,
        "machine": dict(results.identity),
        "protocol": {**dataclasses.asdict(spec.protocol), "statistic": f"{100 * spec.protocol.quantile:g} % quantile"},
        "noise_floor": _noise_floor(results),
        "figures": [_figures(c) for c in results.comparisons],
        "measured_from": results.beginnings[0].at if results.beginnings else None,
        "measured_until": results.beginnings[-1].at if results.beginnings else None,
        "load_of_the_machine": {"least": min(loads), "most": max(loads)} if loads else None,
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("nasbench-mo", "numpy")} | {"python": platform.python_version()},
        "superseded_by": None,
    }


def _figures(c: Comparison) -> dict[str, Any]:
    return {
        "column": c.column,
        "table_against_networks": _rounded(c.table),
        "networks_with_merged_layers": c.n_merged,
        "table_against_networks_counting_all": None if c.table_counting_all is None else _rounded(c.table_counting_all),
        "second_pass_against_first": _rounded(c.repeat),
        "layers_second_pass_against_first_percent": round(c.layer_repeat_percent, 3),
        "flops_kendall_tau_b": round(c.flops_tau_b, 4),
    }


def _rounded(agreement: Agreement) -> dict[str, float]:
    return {name: round(value, 4) for name, value in dataclasses.asdict(agreement).items()}


def _noise_floor(results: DeviceResults) -> str:
    first = results.comparisons[0]
    return f"{first.repeat.mape_percent:.2f} % between two passes ({first.column}, mean over networks)"


def _layer_noise(results: DeviceResults) -> str:
    return ", ".join(f"{c.layer_repeat_percent:.2f} % ({c.column})" for c in results.comparisons)


def _comparison_table(results: DeviceResults) -> str:
    lines = [
        "| column | networks | table: MAPE | bias | worst | tau-b | repeat: MAPE | tau-b | FLOPs: tau-b |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for c in results.comparisons:
        t, r = c.table, c.repeat
        lines.append(
            f"| {c.column} | {t.n} | {t.mape_percent:.2f} % | {t.bias_percent:+.2f} % | {t.worst_percent:.1f} % | "
            f"{t.kendall_tau_b:.3f} | {r.mape_percent:.2f} % | {r.kendall_tau_b:.3f} | {c.flops_tau_b:.3f} |"
        )
    return "\n".join(lines)


def _merged(results: DeviceResults, spec: DeviceTableSpec) -> str:
    """What a runtime that merges equal computations does to the figures."""
    kept = [(c, c.table_counting_all) for c in results.comparisons if c.table_counting_all is not None]
    if not kept:
        return ""
    figures = "; ".join(f"{c.column} MAPE {a.mape_percent:.2f} %, tau-b {a.kendall_tau_b:.3f}" for c, a in kept)
    n_merged = max(c.n_merged for c, _ in kept)
    return f"""In {" and ".join(spec.merged_precisions)} the runtime computes equal average poolings of one tensor once,
and so the sum counts them once ({n_merged} of these networks have such). Counted each: {figures}.

"""


def _how(results: DeviceResults, spec: DeviceTableSpec) -> str:
    p, k = spec.protocol, spec.skeleton
    text = f"""## How it was measured

{results.runtime} on {results.device}. Networks: {k.n_cells} cells a stage, {k.n_stages} stages from {k.channels}
channels, images of {k.image_size}x{k.image_size} pixels, {k.n_classes} classes; pruned to live operations (convention
`live`), normalisation folded into convolutions.

Layers of the cells come from chains of cells: a chain of {spec.chains.short} cells subtracted from one with about
{spec.chains.layers} layers more, for {len(spec.chains.contexts)} kinds of cells at each stage, least relative squares.
Layers of the reductions and of the end come from graphs with and without them. The stem is what remains of the network
of skips alone, and so includes the call of the runtime.

{p.passes} passes, each with the graphs loaded afresh, of {p.rounds} turns of a network and {p.layer_rounds} of a
chain; a turn is the shortest of {p.runs} runs after {p.warm_up} to warm up. Graphs take turns in random order. The
value is the {100 * p.quantile:g} % quantile of all turns."""
    if spec.runtime == "torch-cuda":
        text += """

Graphs are captured once and replayed; a run is timed by CUDA events before and after it. Single precision is without
TF32, cuDNN chooses its algorithms by trial, tensors are `channels_last`. A value is that of the whole batch."""
    if spec.energy is not None:
        text += f"""

Energy is what the GPU's own counter gives for {spec.energy.window_s:g} s of repetitions, above that of the waiting
device in the {spec.energy.idle_s:g} s before, per run of a batch; the value is the median of the passes."""
    if any(found.setting.precision == "int8" for found in results.measured):
        text += """

int8 is static quantisation with QDQ pairs, uint8 activations, int8 weights per output channel, as onnxruntime's own
tool makes it, calibrated on random images; chains are quantised as a whole, so every layer was measured between
quantised ones."""
    return text


def _memory_note(results: DeviceResults) -> str:
    if not any(found.quantity == "memory" for found in results.measured):
        return ""
    return """Memory is by how much a process grows while it loads and runs a network, after it has run a tiny one: the
runtime's own copies of weights are in it, its libraries are not."""


def _layers_table(results: DeviceResults) -> str:
    found = [m for m in results.measured if len(m.layers)]
    units = {c.objective.name: c.objective.unit for c in layer_columns(results)}
    lines = [f"| layer | {' | '.join(f'{m.name}_{units[m.name]}' for m in found)} |", f"|---|{'---|' * len(found)}"]
    for i, shape in enumerate(results.shapes):
        lines.append(f"| {shape_name(shape)} | {' | '.join(f'{m.layers[i]:.3f}' for m in found)} |")
    return "\n".join(lines)


def _flaws(results: DeviceResults, spec: DeviceTableSpec) -> str:
    flaws = [
        "- A sum over layers knows nothing of the network around: which ReLU and addition the runtime fuses, how much "
        "of the weights the caches hold.",
        "- Layers that occur once (reductions, end) rest on single differences of graphs, and are noisier than those "
        "of the cells; their sum with the stem is right, for the network of skips was measured.",
    ]
    if any(m.setting.precision == "int8" for m in results.measured):
        flaws.append(
            "- int8 is a property of this version of the runtime: its quantised average pooling is slow, and networks "
            "with pooling can be slower than in single precision."
        )
    negative = [
        f"{shape_name(shape)} ({m.name})"
        for m in results.measured
        if len(m.layers)
        for shape, cost in zip(results.shapes, m.layers, strict=True)
        if cost <= 0
    ]
    if negative:
        flaws.append(f"- Not above zero, which is noise: {', '.join(negative)}.")
    return "## Known flaws\n\n" + "\n".join(flaws)
