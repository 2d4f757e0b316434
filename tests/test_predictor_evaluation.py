"""The predictor benchmark: splits that do not leak, figures against their definitions, reports, refusals."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from benchmark_helpers import ROOT, store_synthetic_nb201

from nasbench_mo.cli import main
from nasbench_mo.errors import SpecError, UnknownNameError
from nasbench_mo.space import space

pytest.importorskip("sklearn", reason="estimators need the extra 'fit'")

from nasbench_mo.predictor.evaluation import EvaluationSpec, evaluate, split_rows, summarise
from nasbench_mo.predictor.report import evaluation_markdown, plot_evaluation, transfer_markdown
from nasbench_mo.predictor.transfer_benchmark import TransferRow, TransferSpec

pytestmark = pytest.mark.usefixtures("cache")
NB = space("nb201")


def fields() -> dict[str, Any]:
    return {
        "protocol": "training-size",
        "title": "A toy",
        "notes": "Notes.",
        "space": "nb201",
        "table": "nb201-accuracy-measured-v1",
        "targets": {"CIFAR-10": "c10_valid_accuracy_200ep_mean_percent"},
        "models": {
            "linear": {"estimator": "linear", "features": "nb201-counts-v1"},
            "forest": {"estimator": "forest", "parameters": {"n_trees": 10}},
        },
        "sizes": [20, 60],
        "n_splits": 2,
        "published": [{"method": "PINAT", "target": "CIFAR-10", "source": "a paper", "kendall_tau": {20: 0.5}}],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def made(**changed: Any) -> Path:
        path = tmp_path / "protocol.yaml"
        path.write_text(yaml.safe_dump({**fields(), **changed}), encoding="utf-8")
        return path

    return made


@pytest.mark.parametrize("size", [30, 0.1])
def test_no_topology_is_learnt_from_and_judged(size: float) -> None:
    X = NB.enumerate()
    usable = ~NB.degenerate(X)
    usable[::7] = False
    rows, judged = split_rows(NB, X, usable=usable, size=size, seed=3)
    classes = NB.equivalence_class(X)
    assert len(np.unique(classes[rows])) == len(rows)
    assert not set(classes[rows].tolist()) & set(classes[judged].tolist())
    assert usable[rows].all()
    assert usable[judged].all()
    kept = usable & ~np.isin(classes, classes[rows])
    np.testing.assert_array_equal(judged, np.flatnonzero(kept))
    assert len(rows) == (30 if size == 30 else round(0.1 * len(np.unique(classes[usable]))))


def test_splits_differ_by_seed_alone() -> None:
    X = NB.enumerate()
    usable = ~NB.degenerate(X)
    first, again, other = (split_rows(NB, X, usable=usable, size=10, seed=s)[0].tolist() for s in (0, 0, 1))
    assert first == again != other


def test_too_many_topologies_are_refused() -> None:
    X = NB.enumerate()[:50]
    with pytest.raises(SpecError, match="topologies to learn from, got 500"):
        split_rows(NB, X, usable=np.ones(50, dtype=bool), size=500, seed=0)


def test_figures_are_what_they_say(write: Callable[..., Path]) -> None:
    store_synthetic_nb201()
    done: list[tuple[int, int]] = []
    found = evaluate(EvaluationSpec.read(write()), progress=lambda *x: done.append(x))
    assert len(found) == 2 * 2 * 2
    assert done[-1] == (8, 8)
    assert all(-1 <= one.kendall_tau_b <= 1 and one.rmse > 0 and 0 <= one.coverage_90 <= 1 for one in found)
    assert all(0 <= one.coverage_90_topologies <= 1 for one in found)
    assert any(one.coverage_90_topologies != one.coverage_90 for one in found)
    linear = {(s.model, s.size): s for s in summarise(found)}["linear", 60]
    members = [one for one in found if (one.model, one.size) == ("linear", 60)]
    assert linear.mean["kendall_tau_b"] == pytest.approx(np.mean([m.kendall_tau_b for m in members]))
    assert linear.deviation["rmse"] == pytest.approx(np.std([m.rmse for m in members], ddof=1))
    # the synthetic error falls with the number of 3x3 convolutions, which the counts hold
    assert linear.mean["kendall_tau_b"] > 0.5
    assert linear.n_splits == 2


def test_the_report_shows_ours_beside_theirs(write: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    store_synthetic_nb201()
    spec = EvaluationSpec.read(write())
    summaries = summarise(evaluate(spec))
    text = evaluation_markdown(spec, summaries, command="a command", machine="a machine")
    assert "`a command`" in text
    assert "| PINAT [1] | 0.500 |  |" in text
    assert "[1] a paper" in text
    elsewhere = dataclasses.replace(spec, published=(dataclasses.replace(spec.published[0], target="CIFAR-100"),))
    assert "| PINAT" not in evaluation_markdown(elsewhere, summaries, command="a command", machine="a machine")
    first = next(s for s in summaries if s.model == "forest" and s.size == 20)
    assert f"| forest | {first.mean['kendall_tau_b']:.3f} ± {first.deviation['kendall_tau_b']:.3f} |" in text
    plot_evaluation(spec, summaries, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_prints_writes_and_refuses(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store_synthetic_nb201()

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", "predictor", "evaluate", *arguments])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    path = str(write(sizes=[20], n_splits=1))
    code, text, _ = run(path)
    assert code == 0
    assert text.startswith("## A toy\n")
    assert run(path, "--out", str(tmp_path / "report.md"))[0] == 0
    assert (tmp_path / "report.md").read_text().startswith("## A toy\n")
    code, text, _ = run(path, "--json")
    assert code == 0
    assert {row["model"] for row in json.loads(text)} == {"linear", "forest"}
    code, _, complaint = run(str(write(protocol="other")))
    assert code == 2
    assert complaint.count("\n") == 1
    assert "expected 'protocol: training-size'" in complaint


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"sizes": [1]}, SpecError, "sizes must list"),
        ({"sizes": [1.5]}, SpecError, "sizes must list"),
        ({"sizes": []}, SpecError, "sizes must list"),
        ({"n_splits": 0}, SpecError, "n_splits must be"),
        ({"targets": []}, SpecError, "'targets' is missing|targets must map"),
        ({"models": {"a": {"features": "x"}}}, SpecError, "'estimator' is missing"),
        ({"models": {"a": {"estimator": "xbg"}}}, UnknownNameError, "Did you mean 'xgb'"),
        ({"models": {"a": {"estimator": "xgb", "parameters": 3}}}, SpecError, "parameters must be a mapping"),
        (
            {"published": [{"method": "x", "target": "t", "source": "y", "kendall_tau": 3}]},
            SpecError,
            "kendall_tau must map",
        ),
    ],
)
def test_a_wrong_protocol_is_refused(
    write: Callable[..., Path], changed: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        EvaluationSpec.read(write(**changed))


def test_an_unknown_parameter_is_named(write: Callable[..., Path]) -> None:
    store_synthetic_nb201()
    spec = EvaluationSpec.read(write(models={"a": {"estimator": "forest", "parameters": {"trees": 3}}}))
    with pytest.raises(SpecError, match=r"estimator 'forest': .*trees"):
        evaluate(spec)


def test_a_transfer_report_has_one_line_for_each_way_of_measuring() -> None:
    spec = TransferSpec(
        title="T",
        notes="N",
        table="t",
        train_devices=("a",),
        test_devices=("b", "c"),
        n_samples=(10,),
        strategies=("random",),
        draws=2,
        published={"HELP": {"samples": 10, "b": 0.9, "mean": 0.9}},
    )
    rows = [
        TransferRow(
            device=device,
            n_samples=10,
            draws=2,
            strategy="random",
            n_judged=5,
            spearman=value,
            spearman_sd=0.01,
            kendall_tau_b=0.5,
            kendall_tau_b_sd=0.1,
        )
        for device, value in (("b", 0.8), ("c", 0.6))
    ]
    text = transfer_markdown(spec, rows, command="x")
    assert "| nasbench-mo, random | 10 | 0.800 ± 0.010 | 0.600 ± 0.010 | **0.700** |" in text
    assert "| HELP | 10 | 0.900 |  | 0.900 |" in text


@pytest.mark.parametrize("path", sorted((ROOT / "predictors" / "protocols").glob("*.yaml")), ids=lambda p: p.stem)
def test_our_protocols_can_be_read(path: Path) -> None:
    import yaml

    kind = yaml.safe_load(path.read_text())["protocol"]
    spec = TransferSpec.read(path) if kind == "transfer" else EvaluationSpec.read(path)
    assert spec.title
