"""A validation report as one self-contained HTML file: no script, nothing from the network.

Style and colours are those of the page of a front. The content security policy names the style by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.validation.statements import in_epochs, number

if TYPE_CHECKING:
    from nasbench_mo.validation.report import ObjectiveReport, Report

_STYLE = """
:root { --bg: #f5f6f8; --card: #ffffff; --text: #16202c; --muted: #4a5868; --line: #d4dae2; --grid: #e8ecf1;
  --accent: #b93a06; --link: #0b57a4; color-scheme: light dark; }
@media screen and (prefers-color-scheme: dark) { :root { --bg: #0e131a; --card: #161d27; --text: #e9eef4;
  --muted: #a9b5c4; --line: #323d4c; --grid: #222b37; --accent: #ff9a52; --link: #7fb8f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1160px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: clamp(22px, 2.6vw, 30px); line-height: 1.2; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 32px 0 10px; }
h3 { font-size: 14px; margin: 0 0 2px; overflow-wrap: anywhere; }
p { margin: 0 0 8px; max-width: 95ch; }
.note { color: var(--muted); font-size: 13px; }
ul { margin: 0; padding-left: 20px; max-width: 95ch; }
li { margin: 0 0 6px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 16px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; min-width: 0; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
.left { text-align: left; }
code { font-size: 12px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font-size: 11px; }
.axis { stroke: var(--line); stroke-width: 1; fill: none; }
.ideal { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 3 3; fill: none; }
.stairs { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
.front { fill: var(--accent); stroke: var(--card); stroke-width: 1.5; }
.control { fill: none; stroke: var(--link); stroke-width: 2; }
.curve { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-opacity: .8; }
.curve.off { stroke: var(--link); stroke-dasharray: 5 3; }
svg text.tag { fill: var(--text); font-size: 11px; }
"""

_WIDTH, _HEIGHT = 380, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 44


def render_html(report: Report, *, shown: Mapping[str, str]) -> str:
    """The report as a complete document.

    Parameters
    ----------
    report
        What to show.
    shown
        Measured column to its heading, for the table of the networks.
    """
    study = report.study
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    title = f"Validation of a run on {study.problem}"
    subtitle = (
        f"{len(report.networks)} networks trained on {study.dataset} for {in_epochs(study.recipe.epochs)}; latency on "
        f"{study.profile.device}, {study.profile.runtime}, {study.profile.precision}."
    )
    scatters = "".join(_scatter_card(report, o) for o in report.objectives)
    fronts = "".join(_front_cards(report))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{digest}'; img-src data:; \
base-uri 'none'; form-action 'none'">
<meta name="generator" content="nasbench-mo">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body><main>
<h1>{html.escape(title)}</h1>
<p class="note">{html.escape(subtitle)} Filled dots are networks of the predicted front, rings are controls off it; \
numbers are those of the table below.</p>
<h2>Findings</h2>
<ul>{"".join(f"<li>{html.escape(text)}</li>" for text in report.statements)}</ul>
<h2>Predicted against measured</h2>
<div class="cards">{scatters}</div>
<h2>The two fronts</h2>
<div class="cards">{fronts}</div>
<h2>Training curves</h2>
<div class="cards">{_curves(report)}</div>
<h2>Networks</h2>
{_networks(report, shown=shown)}
<h2>Identity</h2>
<p class="note">run {study.run_hash}<br>images {study.images_sha256}<br>\
{html.escape("; ".join(sorted({done.environment for done in study.trained if done.environment})))}</p>
</main></body>
</html>
"""


def _scatter_card(report: Report, objective: ObjectiveReport) -> str:
    o = objective.objective
    head = f'<div class="card"><h3>{html.escape(o.column)}</h3><p class="note">{html.escape(o.describe())}</p>'
    if not objective.networks:
        return f"{head}<p>{html.escape(objective.counterpart.because)}</p></div>"
    picture = _scatter(
        np.array(objective.predicted),
        np.array(objective.measured),
        labels=(f"predicted, {o.unit}", f"measured, {o.unit}"),
        roles=[report.networks[i].role for i in objective.networks],
        tags=[str(i + 1) for i in objective.networks],
        diagonal=objective.counterpart.levels_comparable,
        title=f"{o.column}: predicted against measured",
    )
    found = objective.agreement
    tau = "" if found is None or math.isnan(found.tau_b) else f"tau-b {found.tau_b:.2f} over {found.n}"
    return f'{head}{picture}<p class="note">{tau}</p></div>'


def _curves(report: Report) -> str:
    """Validation error and training loss after each epoch, one line a training; dashed for controls."""
    roles = {network.arch: network.role for network in report.networks}
    done = [t for t in report.study.trained if t.failure is None]
    cards = []
    for what, unit in (("valid_error_percent", "validation error, percent"), ("train_loss", "training loss")):
        lines = [(np.array([np.nan if v is None else v for v in getattr(t, what)]), roles[t.arch]) for t in done]
        lines = [(values, role) for values, role in lines if len(values) and np.isfinite(values).all()]
        if lines:
            cards.append(f'<div class="card"><h3>{unit}</h3>{_lines(lines, unit=unit)}</div>')
    return "".join(cards) or "<p>No training was finished.</p>"


def _lines(lines: Sequence[tuple[NDArray[np.float64], str]], *, unit: str) -> str:
    n_epochs = max(len(values) for values, _ in lines)
    low, high = _range(np.concatenate([values for values, _ in lines]))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    step = (right - _LEFT) / max(n_epochs - 1, 1)
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
    for values, role in lines:
        at = [
            f"{_LEFT + i * step:.1f},{bottom - (v - low) / (high - low) * (bottom - _TOP):.1f}"
            for i, v in enumerate(values.tolist())
        ]
        parts.append(f'<polyline class="curve{"" if role == "front" else " off"}" points="{" ".join(at)}"/>')
    for value, y in ((low, bottom), (high, _TOP + 8)):
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{number(value)}</text>')
    parts.append(f'<text x="{_LEFT}" y="{bottom + 15}">epoch 1</text>')
    parts.append(f'<text x="{right}" y="{bottom + 15}" text-anchor="end">{n_epochs}</text>')
    label = html.escape(f"{unit} after each epoch")
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">' + "".join(parts) + "</svg>"


def _front_cards(report: Report) -> list[str]:
    """Predicted and measured values of the same networks: the first objective against each other one."""
    networks = [i for i, n in enumerate(report.networks) if n.dominated_by is not None]
    if not networks:
        return ["<p>No network has measured values.</p>"]
    predicted = np.array([report.networks[i].predicted for i in networks])
    measured = predicted.copy()
    for j, (o, is_measured) in enumerate(zip(report.objectives, report.compared_on, strict=True)):
        if is_measured:
            value = dict(zip(o.networks, o.measured, strict=True))
            measured[:, j] = [value[i] for i in networks]
    cards = []
    roles, tags = [report.networks[i].role for i in networks], [str(i + 1) for i in networks]
    for j in range(1, predicted.shape[1]):
        for what, F, new in (("predicted", predicted, False), ("measured", measured, True)):
            names = []
            for k in (j, 0):
                column = report.objectives[k].objective.column
                names.append(f"{column}{'' if not new or report.compared_on[k] else ' (predicted)'}")
            picture = _scatter(
                F[:, j],
                F[:, 0],
                labels=(names[0], names[1]),
                roles=roles,
                tags=tags,
                stairs=True,
                title=f"{what} {names[1]} against {names[0]}",
            )
            cards.append(f'<div class="card"><h3>{what}</h3>{picture}</div>')
    return cards


def _scatter(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    labels: tuple[str, str],
    roles: Sequence[str],
    tags: Sequence[str],
    title: str,
    diagonal: bool = False,
    stairs: bool = False,
) -> str:
    """A picture of n points; on request with the line of equal values, or the staircase of the nondominated ones."""
    x_range, y_range = _range(x), _range(y)
    if diagonal:
        x_range = y_range = _range(np.concatenate([x, y]))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at(a: float, b: float) -> tuple[float, float]:
        u = (a - x_range[0]) / (x_range[1] - x_range[0])
        v = (b - y_range[0]) / (y_range[1] - y_range[0])
        return round(_LEFT + u * (right - _LEFT), 1), round(bottom - v * (bottom - _TOP), 1)

    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
    for share in (0.0, 0.5, 1.0):
        a, b = (low + share * (high - low) for low, high in (x_range, y_range))
        px, py = at(a, b)
        anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[share]
        parts.append(f'<text x="{px}" y="{bottom + 15}" text-anchor="{anchor}">{number(a)}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{py + 4}" text-anchor="end">{number(b)}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{html.escape(labels[0])}</text>'
    )
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">'
        f"{html.escape(labels[1])}</text>"
    )
    if diagonal:
        (x0, y0), (x1, y1) = at(x_range[0], x_range[0]), at(x_range[1], x_range[1])
        parts.append(f'<path class="ideal" d="M{x0} {y0}L{x1} {y1}"/>')
    if stairs:
        parts.append(_staircase([at(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)], right=right))
    for a, b, role, tag in zip(x.tolist(), y.tolist(), roles, tags, strict=True):
        px, py = at(a, b)
        parts.append(f'<circle class="{role}" cx="{px}" cy="{py}" r="5"/>')
        parts.append(f'<text class="tag" x="{px + 8}" y="{py - 6}">{tag}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )


def _staircase(points: Sequence[tuple[float, float]], *, right: float) -> str:
    """Along the points with nothing further left and lower on the page's values, y growing downwards."""
    front: list[tuple[float, float]] = []
    for px, py in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or py > front[-1][1]:
            front.append((px, py))
    path = f"M{front[0][0]} {_TOP}"
    for px, py in front:
        path += f"H{px}V{py}"
    return f'<path class="stairs" d="{path}H{right}"/>'


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """A little more than the values span."""
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _networks(report: Report, *, shown: Mapping[str, str]) -> str:
    columns = [name for name in shown if any(n.measured.get(name) is not None for n in report.networks)]
    heads = "".join(f"<th>{html.escape(shown[name])}</th>" for name in columns)
    rows = []
    for i, network in enumerate(report.networks):
        values = [network.measured.get(name) for name in columns]
        cells = "".join(f"<td>{number(math.nan if v is None else v)}</td>" for v in values)
        dominated = network.dominated_by
        verdict = "failed" if dominated is None else ", ".join(str(k + 1) for k in dominated) or "none"
        rows.append(
            f'<tr><td>{i + 1}</td><td class="left">{network.role}</td><td class="left"><code>'
            f"{html.escape(network.arch)}</code></td>{cells}<td>{verdict}</td></tr>"
        )
    return (
        '<div class="scroll"><table><thead><tr><th></th><th class="left">role</th><th class="left">architecture</th>'
        f"{heads}<th>dominated by</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
