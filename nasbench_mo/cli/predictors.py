"""The predictor commands beside training: judge estimators by a protocol, export a predictor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.bounded import read_yaml
from nasbench_mo.cli.progress import progress_bar, spinner
from nasbench_mo.cli.reading import print_json
from nasbench_mo.errors import FormatError, SpecError


def evaluate(path: Path, *, out: Path | None, plot: Path | None, as_json: bool) -> None:
    """Run the protocol of a specification and report it as Markdown or JSON."""
    command = f"nasbench-mo predictor evaluate {path}"
    if _protocol(path) == "transfer":
        if plot is not None:
            raise SpecError(f"{path.name}: a transfer protocol has no training sizes to plot; leave --plot out")
        _evaluate_transfer(path, command=command, out=out, as_json=as_json)
        return
    from nasbench_mo.hardware import processor_name
    from nasbench_mo.predictor.evaluation import EvaluationSpec, summarise
    from nasbench_mo.predictor.evaluation import evaluate as run
    from nasbench_mo.predictor.report import evaluation_markdown, plot_evaluation

    spec = EvaluationSpec.read(path)
    with progress_bar(spec.title, hidden=as_json) as progress:
        summaries = summarise(run(spec, progress=progress))
    if plot is not None:
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot_evaluation(spec, summaries, plot)
    if as_json:
        print_json([dataclasses.asdict(summary) for summary in summaries])
    else:
        _write(evaluation_markdown(spec, summaries, command=command, machine=processor_name()), out=out)


def figures(*, out: Path | None, as_json: bool) -> None:
    """Held-out figures of the installed predictors as Markdown, or as JSON with what each predicts."""
    from nasbench_mo import artifacts

    folders = [artifacts.resolve("predictors", name) for name in artifacts.available("predictors")]
    if as_json:
        cards = [artifacts.read_card(folder) for folder in folders]
        print_json([{key: card[key] for key in ("id", "objective", "rows", "held_out")} for card in cards])
        return
    from nasbench_mo.predictor.report import figures_markdown

    _write(figures_markdown(folders, command="nasbench-mo predictor figures"), out=out)


def _evaluate_transfer(path: Path, *, command: str, out: Path | None, as_json: bool) -> None:
    from nasbench_mo.predictor.report import transfer_markdown
    from nasbench_mo.predictor.transfer_benchmark import TransferSpec, evaluate_transfer_spec

    spec = TransferSpec.read(path)
    with spinner(spec.title, hidden=as_json):
        rows = evaluate_transfer_spec(spec)
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
    else:
        _write(transfer_markdown(spec, rows, command=command), out=out)


def export(identifier: str, path: Path, *, as_json: bool) -> None:
    """Write a predictor as an ONNX file that predicts the same, and say how nearly."""
    from nasbench_mo.predictor import load_predictor
    from nasbench_mo.predictor.export import export_onnx

    model = load_predictor(identifier)
    parity = export_onnx(model, path)
    if as_json:
        print_json({"predictor": model.id, "file": str(path), **dataclasses.asdict(parity)})
        return
    print(
        f"wrote {path}; over {parity.n:,} distinct inputs onnxruntime differs from {model.id} by at most "
        f"{parity.worst_value:.1g} of the value and {parity.worst_deviation:.1g} of the deviation"
    )


def _write(text: str, *, out: Path | None) -> None:
    if out is None:
        print(text, end="")
    else:
        write_atomic(out, text.encode())
        print(f"wrote {out}")


def _protocol(path: Path) -> str:
    """The protocol a file names; its reader says what is wrong with the rest."""
    try:
        fields = read_yaml(path)
    except FormatError as error:
        raise SpecError(f"{path.name}: {error}") from error
    protocol = fields.get("protocol") if isinstance(fields, dict) else None
    if protocol not in ("training-size", "transfer"):
        raise SpecError(f"{path.name}: expected 'protocol: training-size' or 'protocol: transfer', got {protocol!r}")
    return str(protocol)
