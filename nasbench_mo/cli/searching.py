"""The search command and the demo: progress, the front in the terminal, the share of HV*, the page."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem, problem
from nasbench_mo.cli.page import Axis, FrontPage, write_page
from nasbench_mo.cli.plot import draw_front, sparkline
from nasbench_mo.cli.progress import progress_bar
from nasbench_mo.cli.reading import columns_text, print_json, relative
from nasbench_mo.errors import RunError, SearcherError
from nasbench_mo.experiment import Run, run
from nasbench_mo.experiment.preference import preference_options
from nasbench_mo.objective import Objective
from nasbench_mo.search import searcher as make_searcher

_SHOWN_ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What the search command was asked for."""

    problem: str
    searcher: str
    budget: int | None
    seed: int
    noise_seed: int | None
    options: Mapping[str, float | int | str]
    out: Path
    html: Path | None
    force: bool
    known: bool = True
    fidelities: bool = True
    workers: int = 1
    budget_seconds: float | None = None
    budget_joules: float | None = None
    constraints: tuple[str, ...] = ()
    prefer: Mapping[str, float] = field(default_factory=dict)


def demo(request: SearchRequest) -> None:
    """Search as asked; a run that an earlier demo with the same settings left may be replaced."""
    if request.out.exists() and not request.force:
        old = Run.load(request.out).identity
        same = (old.problem, old.searcher, old.seed, old.budget_evaluations, old.constraints)
        if same != (request.problem, request.searcher, request.seed, request.budget, request.constraints):
            raise RunError(f"{request.out} holds another run; move it away, or add --force to replace it")
    search(dataclasses.replace(request, force=True), as_json=False)


def search(request: SearchRequest, *, as_json: bool) -> None:
    """Search, write the run, and print what came of it."""
    _check_outputs(request)
    opened = problem(request.problem).constrained(*request.constraints)
    made = make_searcher(
        request.searcher, opened.space, opened.n_objectives, seed=request.seed, **_settings(request, opened)
    )
    if request.out.exists() and not request.force:
        raise RunError(f"{request.out} exists; add --force to replace it, or choose another --out")
    with progress_bar(f"searching {request.problem}", hidden=as_json) as progress:
        finished = run(
            opened,
            made,
            budget=request.budget,
            noise_seed=request.noise_seed,
            out=request.out,
            overwrite=request.force,
            known=request.known,
            fidelities=request.fidelities,
            workers=request.workers,
            budget_seconds=request.budget_seconds,
            budget_joules=request.budget_joules,
            progress=progress,
        )
    if request.html is not None:
        write_page(front_page(finished, opened), request.html)
    if as_json:
        print_json(_facts(finished, opened, out=request.out))
    else:
        _print_run(finished, opened, request=request)


def _settings(request: SearchRequest, opened: Problem) -> dict[str, float | int | str]:
    """The searcher's options, that of a preference among them."""
    preferred = preference_options(opened, request.searcher, request.prefer) if request.prefer else {}
    for name in preferred:
        if name in request.options:
            raise SearcherError(
                f"--prefer is the option {name!r} of searcher {request.searcher!r}; give one of the two"
            )
    return {**request.options, **preferred}


def _check_outputs(request: SearchRequest) -> None:
    """Refuse outputs that cannot be written, before the search."""
    if request.html is not None and request.html.resolve() == request.out.resolve():
        raise RunError(f"--out and --html are the same file: {request.out}")
    for path in filter(None, (request.out, request.html)):
        if path.is_dir():
            raise RunError(f"{path} is a folder; give the name of a file")
        above = next(parent for parent in path.resolve().parents if parent.exists())
        if not above.is_dir():
            raise RunError(f"{path}: {above} is a file, not a folder")


def _shares(finished: Run, opened: Problem) -> dict[str, float]:
    if not opened.has_manifest:
        return {}
    shares = {"score": finished.hypervolume_share()}
    if opened.manifest.test is not None:
        shares["test"] = finished.hypervolume_share(on="test")
    return shares


def _facts(finished: Run, opened: Problem, *, out: Path) -> dict[str, Any]:
    front = finished.front()
    columns = [o.column for o in opened.objectives]
    seen = {o.column: o.describe() for o in opened.observed_objectives}
    return {
        "problem": opened.id,
        "searcher": finished.identity.searcher,
        "seed": finished.identity.seed,
        "noise_seed": finished.identity.noise_seed,
        "evaluations": len(finished),
        "failed": int(finished.failed.sum()),
        **_spent(finished),
        "constraints": list(finished.identity.constraints),
        "infeasible": int(finished.infeasible.sum()),
        "hypervolume_share": _shares(finished, opened),
        "values": seen,
        "front": [
            {"arch": arch, **dict(zip(columns, values, strict=True))}
            for arch, values in zip(front.archs, front.F.tolist(), strict=True)
        ],
        "run": str(out),
    }


def _spent(finished: Run) -> dict[str, Any]:
    """What was paid, and how it was scheduled: nothing of a plain run, in which every row is one evaluation."""
    facts: dict[str, Any] = {}
    if "spent" in finished.environment:
        facts["spent"] = finished.environment["spent"]
    if finished.epochs is not None:
        facts["evaluations_by_epochs"] = {
            str(e): int((finished.epochs == e).sum()) for e in finished.identity.fidelities if e in finished.epochs
        }
    if finished.identity.workers > 1:
        facts["workers"] = finished.identity.workers
        facts["scheduling"] = finished.environment["scheduling"]
        facts["clock_s"] = float(finished.simulated_s[-1]) if len(finished) else 0.0
    return facts


def _spent_text(finished: Run) -> str:
    facts = _spent(finished)
    if not facts:
        return ""
    parts = [f"{amount:.6g} {unit}" for unit, amount in facts.get("spent", {}).items()]
    lines = [f"spent  {', '.join(parts)}"]
    if "evaluations_by_epochs" in facts:
        counts = [f"{n} of {e} epochs" for e, n in facts["evaluations_by_epochs"].items()]
        lines.append(f"       trainings: {', '.join(counts)}; the front is that of the full ones")
    if "workers" in facts:
        lines.append(
            f"       {facts['workers']} workers, {facts['scheduling']}; the clock says {facts['clock_s']:.6g} s"
        )
    return "\n".join(lines)


def _print_run(finished: Run, opened: Problem, *, request: SearchRequest) -> None:
    width = min(100, max(40, shutil.get_terminal_size((90, 24)).columns))
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    true_front = opened.true_front() if opened.space.enumerable else None
    on_front, full = _front_mask(finished), finished.full & ~finished.failed
    for j in range(1, opened.n_objectives):
        print(
            draw_front(
                finished.F[full],
                on_front=on_front[full],
                true_front=true_front,
                x_label=_label(opened, j),
                y_label=_label(opened, 0),
                columns=(j, 0),
                width=width,
                height=18,
                colour=sys.stdout.isatty(),
                unicode=unicode,
            )
        )
        print()
    print(_front_text(finished, opened))
    if finished.identity.constraints:
        usable = int((~finished.degenerate & ~finished.infeasible).sum())
        print(f"subject to {' and '.join(finished.identity.constraints)}: {usable} of {len(finished)} keep them")
    print()
    shares = _shares(finished, opened)
    ended = f" ({finished.environment['ended']})" if finished.environment["ended"] != "budget" else ""
    if not shares:
        print(f"no hypervolume after {len(finished)} evaluations{ended}: {opened.id} has no manifest")
    else:
        of = "the exact front's" if opened.manifest.exact else "the best known front's"
        print(f"HV/HV* {shares['score']:.4f} of {of} hypervolume after {len(finished)} evaluations{ended}")
        if opened.noisy:
            print("       front chosen on one drawn training seed (shown above), scored on the mean over seeds")
        if "test" in shares:
            print(f"       {shares['test']:.4f} of the test front's hypervolume, for the same architectures")
        print(f"       anytime {sparkline(finished.hypervolume_curve(), width=min(60, width - 20), unicode=unicode)}")
    if spent := _spent_text(finished):
        print(spent)
    if finished.failed.any():
        arch, reason = next(iter(finished.environment["failed_because"].items()))
        print(f"{int(finished.failed.sum())} of {len(finished)} evaluations failed; the first, {arch}: {reason}")
    written = [request.out] + ([request.html] if request.html else [])
    print("wrote " + " and ".join(relative(path) for path in written))


def _label(opened: Problem, j: int) -> str:
    objective = opened.observed_objectives[j]
    seed = ", one drawn seed" if objective.seed == "drawn" else ""
    return f"{objective.name.replace('_', ' ')} [{objective.unit}, {objective.kind}{seed}]"


def _front_text(finished: Run, opened: Problem) -> str:
    front = finished.front()
    if not len(front):
        kept = "feasible, " if finished.identity.constraints else ""
        return f"no {kept}non-degenerate architecture was evaluated"
    _, distinct = np.unique(front.F, axis=0, return_index=True)
    shown = np.sort(distinct)
    if len(shown) > _SHOWN_ROWS:
        shown = shown[np.linspace(0, len(shown) - 1, _SHOWN_ROWS).round().astype(int)]
    rows = [
        {
            **{o.column: f"{front.F[i, j]:.5g}" for j, o in enumerate(opened.objectives)},
            "architecture": front.archs[i],
        }
        for i in shown
    ]
    n_distinct = len(distinct)
    head = f"front: {len(front)} architectures, {n_distinct} distinct points"
    return head + (f", {len(rows)} shown\n" if len(rows) < n_distinct else "\n") + columns_text(rows, cut=False)


def _axis(objective: Objective) -> str:
    return objective.name.replace("_", " ") + (" (one drawn seed)" if objective.seed == "drawn" else "")


def _front_mask(finished: Run) -> NDArray[np.bool_]:
    mask = np.zeros(len(finished), dtype=bool)
    mask[finished.front().evaluation] = True
    return mask


def front_page(finished: Run, opened: Problem) -> FrontPage:
    """The interactive page of a run."""
    identity = finished.identity
    full = finished.full & ~finished.failed
    shares = _shares(finished, opened)
    versions = ", ".join(f"{k} {v}" for k, v in finished.environment["versions"].items())
    facts = {
        "problem": identity.problem,
        "searcher": identity.searcher,
        "settings": ", ".join(f"{k}={v}" for k, v in identity.searcher_options.items()) or "none",
        **({"subject to": " and ".join(identity.constraints)} if identity.constraints else {}),
        "seed": str(identity.seed),
        "noise seed": str(identity.noise_seed),
        "evaluations": f"{len(finished)} distinct architectures"
        if finished.epochs is None
        else f"{full.sum()} of the full training shown; {len(finished)} in all, for the price of "
        f"{finished.environment['spent']['evaluations']:g}",
        "share of HV*": ", ".join(f"{k} {v:.4f}" for k, v in shares.items()),
        "data": identity.data_hash,
        "versions": versions,
        "machine": str(finished.environment["machine"]["cpu"]),
        "started": str(finished.environment["started_utc"]),
        **{f"objective {o.column}": o.describe() for o in opened.observed_objectives},
    }
    return FrontPage(
        title=f"{identity.searcher} on {identity.problem}",
        subtitle=opened.description,
        axes=tuple(Axis(label=_axis(o), column=o.column, unit=o.unit, kind=o.kind) for o in opened.observed_objectives),
        architectures=tuple(arch for arch, shown in zip(finished.archs, full, strict=True) if shown),
        F=finished.F[full],
        on_front=_front_mask(finished)[full],
        true_front=opened.true_front() if opened.space.enumerable else None,
        hypervolume_share=finished.hypervolume_curve()[full] if opened.has_manifest else None,
        facts=tuple(facts.items()),
    )
