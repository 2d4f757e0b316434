"""A hostile or broken world: names that are markup, links, full disks, two writers, a clock that runs backwards."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import killing
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from benchmark_helpers import toy_problem
from board_helpers import submission, toy_board

import nasbench_mo as nmo
from nasbench_mo import artifacts
from nasbench_mo.errors import (
    ArtifactError,
    FormatError,
    ManifestError,
    NasbenchMoError,
    SpecError,
    SubmissionError,
    UnknownNameError,
)
from nasbench_mo.experiment.figures import searcher_figures
from nasbench_mo.experiment.figures_page import figures_markdown
from nasbench_mo.experiment.storage import Journal
from nasbench_mo.leaderboard.submission import Submission
from nasbench_mo.predictor.artifact import Predictor
from nasbench_mo.profiling.turns import Turn, TurnJournal
from nasbench_mo.sources import load_table
from nasbench_mo.table import Table

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nasbench_mo"
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "\"' onmouseover=alert(1) x='",
    "]]> &amp; </title></style><svg/onload=alert(1)>",
)


# ---------------------------------------------------------------------- markup


class Elements(HTMLParser):
    """Tags and attribute names of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_names_in_a_validation_report_are_text(text: str) -> None:
    from test_validation import made_study

    from nasbench_mo.validation import make_report
    from nasbench_mo.validation.page import render_html

    def page(name: str) -> str:
        study, run = made_study(failed=True)
        profile = dataclasses.replace(study.profile, device=name, runtime=name)
        trained = tuple(dataclasses.replace(t, failure=t.failure and name, environment=name) for t in study.trained)
        objectives = tuple(dataclasses.replace(o, device=name, note=name) for o in study.objectives)
        changes = {"problem": name, "dataset": name, "profile": profile, "trained": trained, "objectives": objectives}
        run.identity.objectives = objectives
        return render_html(make_report(dataclasses.replace(study, **changes), run), shown={"x": name})

    assert Elements(page(text)).found == Elements(page("plain")).found
    assert text not in page(text)


@pytest.mark.parametrize("text", [*HOSTILE, "a|b", "two\nlines", "`code`"])
def test_names_in_the_figures_of_searchers_are_text(tmp_path: Path, text: str) -> None:
    from test_experiment_figures import LINE, line_problem, made_run

    made_run([50, 20, 8], folder=tmp_path, seed=0)
    (row,) = searcher_figures(tmp_path, problems=[line_problem()], scale=lambda _: LINE)

    def page(name: str) -> list[str]:
        changed = dataclasses.replace(row, problem=name, searcher=name, settings={name: name}, known=(name,))
        return figures_markdown([changed], command="c", judged_by="a line").splitlines()

    plain, attacked = page("plain"), page(text)
    assert len(attacked) == len(plain)
    for mine, theirs in zip(plain, attacked, strict=True):
        assert theirs.count("<") == mine.count("<")
        assert len(re.findall(r"(?<!\\)\|", theirs)) == len(re.findall(r"(?<!\\)\|", mine))


# ---------------------------------------------------------------------- links and names


@pytest.fixture
def linked(cache: Path, tmp_path: Path) -> Path:
    """A folder that the cache has by a link."""
    elsewhere = tmp_path / "elsewhere"
    killing._table(elsewhere, 0)
    (cache / "tables").mkdir()
    (cache / "tables" / "toy-v1").symlink_to(elsewhere / "toy-v1")
    return elsewhere / "toy-v1"


def test_a_linked_table_is_read_and_replaced_without_touching_what_it_points_to(cache: Path, linked: Path) -> None:
    assert load_table("toy-v1")["latency_ms"][0] == 0
    killing._table(cache / "tables", 1)
    assert not (cache / "tables" / "toy-v1").is_symlink()
    assert load_table("toy-v1")["latency_ms"][0] == 1
    assert Table.open(linked)["latency_ms"][0] == 0
    assert [p.name for p in (cache / "tables").iterdir()] == ["toy-v1"]


def test_links_that_lead_nowhere_or_in_circles_are_no_artefacts(cache: Path) -> None:
    (cache / "tables").mkdir()
    (cache / "tables" / "nowhere-v1").symlink_to(cache / "gone")
    (cache / "tables" / "circle-v1").symlink_to(cache / "tables" / "circle-v1")
    assert "nowhere-v1" not in artifacts.available("tables") and "circle-v1" not in artifacts.available("tables")
    for name in ("nowhere-v1", "circle-v1"):
        with pytest.raises(UnknownNameError):
            load_table(name)
    with artifacts.staged_folder(cache / "tables" / "nowhere-v1") as stage:
        (stage / "card.md").write_text("---\na: 1\n---\n", encoding="utf-8")
    assert artifacts.read_card(cache / "tables" / "nowhere-v1") == {"a": 1}


@pytest.mark.parametrize("name", ["../x", "..", "/etc", "a\x00b", "x" * 5000, "é" * 200, "", ".", "a\nb", "\u202e"])
def test_no_name_leads_out_of_the_cache_or_breaks_the_search(cache: Path, name: str) -> None:
    assert artifacts.find("tables", name) is None
    with pytest.raises(UnknownNameError):
        load_table(name)


def test_a_submission_made_of_links_is_read_as_what_it_is_or_refused(tmp_path: Path) -> None:
    board = toy_board()
    written = submission(board, "toy-entry").write(tmp_path)
    (tmp_path / "other").symlink_to(written)
    assert Submission.read(tmp_path / "other", board=board).name == "toy-entry"  # as its own folder is called
    (tmp_path / "copy").mkdir()
    shutil.copytree(written, tmp_path / "copy" / "toy-entry")
    rows = tmp_path / "copy" / "toy-entry" / "runs.parquet"
    rows.unlink()
    rows.symlink_to("/dev/zero")
    with pytest.raises(SubmissionError, match="does not exist"):
        Submission.read(rows.parent, board=board)


def test_a_submission_of_one_long_architecture_for_every_row_is_refused(tmp_path: Path) -> None:
    """A megabyte in the file, a gigabyte in memory: the text is measured before it is repeated."""
    board = toy_board()
    folder = submission(board, "toy-entry", form="strings").write(tmp_path)
    rows = pq.read_table(folder / "runs.parquet")
    long = pa.DictionaryArray.from_arrays(pa.array([0] * len(rows), pa.int32()), pa.array(["x" * (1 << 20)]))
    rows = rows.set_column(rows.column_names.index("arch"), "arch", long)
    pq.write_table(rows, folder / "runs.parquet", compression="zstd", store_schema=False)
    text = yaml.safe_load((folder / "submission.yaml").read_text(encoding="utf-8"))
    text["runs_sha256"] = artifacts.sha256(folder / "runs.parquet")
    (folder / "submission.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(SubmissionError, match="text of column 'arch' unpacks to more than"):
        Submission.read(folder, board=board)
    assert pa.default_memory_pool().max_memory() - before < 64 << 20


# ---------------------------------------------------------------------- damaged artefacts, by path too


@pytest.mark.parametrize("identifier", ["nb201-eyeriss-latency-linear-v1", "nb201-in16-valerr12-xgb-v1"])
def test_every_flipped_or_missing_byte_of_a_model_is_refused_by_its_hash(
    cache: Path, tmp_path: Path, identifier: str
) -> None:
    folder = cache / "predictors" / "copy-v1"
    shutil.copytree(ROOT / "predictors" / identifier, folder)
    model = next(path for path in folder.iterdir() if path.name.startswith("model."))
    whole = model.read_bytes()
    rng = random.Random(0)
    for _ in range(20):
        at = rng.randrange(len(whole))
        flipped = whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
        for damaged in (flipped, whole[:at], whole + b"\0"):
            model.write_bytes(damaged)
            with pytest.raises(ArtifactError, match="expected SHA-256"):
                Predictor.load(folder)
    with pytest.raises(ArtifactError, match="expected SHA-256"):
        nmo.predictor("copy-v1")
    model.write_bytes(whole)
    assert Predictor.load(folder).reference.sha256 == artifacts.sha256(model)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("archs", [1, 2]),
        ("values", ["a"]),
        ("values", [10**400]),
        ("relative_tolerance", "much"),
        ("relative_sd", None),
        ("estimator", ["xgb"]),
        ("features", {}),
        ("sha256", 0),
        ("encoding_version", "1"),
        ("degenerate_value", "low"),
        ("input_values", [["a"]]),
    ],
)
def test_a_reference_file_with_another_type_is_refused(tmp_path: Path, field: str, value: object) -> None:
    shutil.copytree(ROOT / "predictors" / "nb201-eyeriss-latency-linear-v1", tmp_path / "copy")
    path = tmp_path / "copy" / "reference.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(fields | {field: value}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"reference\.json"):
        Predictor.load(tmp_path / "copy")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("score", "ideal"), ["a", "b"]),
        (("score", "nadir"), [1.0]),
        (("score", "fingerprint", "mean"), [1.0, None]),
        (("observed", "weighted_mean"), [1.0, 2.0, 3.0]),
        (("score", "hypervolume"), "much"),
        (("score", "front_size"), 1.5),
        (("reference_point",), 1.1),
        (("objectives",), [1, 2]),
        (("data_hash",), None),
        (("score",), None),
    ],
)
def test_a_manifest_with_another_type_is_refused(keys: tuple[str, ...], value: object) -> None:
    from nasbench_mo.benchmark.manifest import Manifest

    fields = json.loads((PACKAGE / "benchmark" / "manifests" / "nb201-c10-eyeriss-v1.json").read_text("utf-8"))
    assert Manifest.from_json(json.dumps(fields)).problem
    place = fields
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(ManifestError, match="not a manifest"):
        Manifest.from_json(json.dumps(fields))


@pytest.mark.parametrize("identifier", ["../../evil-v1", "/evil-v1", "a/b-v1", "x" * 200, "a\nb"])
def test_no_specification_names_a_folder_outside(tmp_path: Path, identifier: str) -> None:
    from nasbench_mo.hardware.building import FitSpec
    from nasbench_mo.hardware.design_table import DesignSpec
    from nasbench_mo.hardware.zigzag_grid import GridSpec
    from nasbench_mo.predictor.training import TrainingSpec
    from nasbench_mo.profiling.device_spec import DeviceTableSpec
    from nasbench_mo.training.table_spec import TrainedTableSpec

    readers: dict[str, Any] = {
        "predictors/nb201-eyeriss-latency-linear-v1": TrainingSpec,
        "hw_tables/nb201-fpga-latency-modelled-v1": FitSpec,
        "hw_tables/nb201-asicgrid-cycles-modelled-v1": GridSpec,
        "hw_tables/nb201-cpu-ort-epyc-v1": DeviceTableSpec,
        "hw_tables/nb201-gtsrb16-v1": TrainedTableSpec,
        "hw_tables/nb201-gtsrb16-accelerators-modelled-v1": DesignSpec,
    }
    for folder, reader in readers.items():
        fields = yaml.safe_load((ROOT / folder / "spec.yaml").read_text(encoding="utf-8"))
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump(fields | {"id": f"{identifier}{{cost}}" if reader is GridSpec else identifier}))
        with pytest.raises(SpecError, match="id must be at most 128 letters"):
            reader.read(path)


def test_a_flipped_bit_of_an_onnx_model_is_refused_or_runs(tmp_path: Path) -> None:
    from fuzz.readers import _onnx

    from nasbench_mo.profiling.latency import Session
    from nasbench_mo.profiling.onnx_graph import parsed_model

    whole = _onnx()
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        with contextlib.suppress(NasbenchMoError):
            parsed_model(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
    for damaged in (b"", whole[: len(whole) // 2], b"\xff" * 50):
        with pytest.raises(FormatError, match="valid ONNX model"):
            parsed_model(damaged)
    with pytest.raises(FormatError, match="onnxruntime does not load"):
        Session(whole[:-40], n_threads=1, seed=0)


def test_a_zip_whose_names_lead_out_writes_nothing(tmp_path: Path) -> None:
    from nasbench_mo.sources.help_latency import read

    before = set(tmp_path.parent.iterdir())
    with zipfile.ZipFile(tmp_path / "help.zip", "w") as archive:
        absolute = str(tmp_path.parent / "evil.pt")
        for name in ("../evil.pt", absolute, "data/fbnet/latency/../../../../evil.pt", "data/fbnet/metainfo.pt"):
            archive.writestr(name, b"x")
    with pytest.raises(FormatError):
        read(tmp_path / "help.zip")
    assert set(tmp_path.parent.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["help.zip"]


# ---------------------------------------------------------------------- full and read-only disks


@contextlib.contextmanager
def full_after(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: what the system does to a write on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    for writer in killing.writers():
        if writer.allowed is killing._between:
            continue  # appended files are below
        folder = tmp_path / writer.name.replace(" ", "-")
        writer.write(folder, 0)
        old = writer.read(folder)
        before = sorted(folder.rglob("*"))
        with full_after(100), pytest.raises(OSError, match=r"too large|File too large|EFBIG"):
            writer.write(folder, 1)
        assert writer.read(folder) == old, writer.name
        assert sorted(folder.rglob("*")) == before, writer.name


def test_a_journal_of_turns_survives_a_full_disk(tmp_path: Path) -> None:
    """An unbuffered write that does not fit is no error of the system's: half a line, and the next one behind it."""
    turns = [Turn(key="task", number=0, round=i) for i in range(6)]
    with TurnJournal(tmp_path, identity={"machine": "toy"}) as journal:
        journal.add(turns[0], 0.0)
        with full_after((tmp_path / "turns.jsonl").stat().st_size + 20):
            for turn in turns[1:3]:
                with pytest.raises(OSError, match=r"full|large"):
                    journal.add(turn, 1.0)
    with TurnJournal(tmp_path, identity={"machine": "toy"}) as journal:
        assert len(journal) == 1
        for i, turn in enumerate(turns):
            journal.add(turn, float(i))
    with TurnJournal(tmp_path, identity={"machine": "toy"}) as journal:
        assert [journal[turn] for turn in turns] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_run_on_a_full_disk_keeps_its_journal_lets_go_of_it_and_goes_on(tmp_path: Path) -> None:
    problem = toy_problem(5, 5, 5)
    whole = nmo.run(problem, "random", budget=30, seed=0)
    out = tmp_path / "run.parquet"
    with full_after(1500), pytest.raises(OSError, match="large"):
        nmo.run(problem, "random", budget=30, seed=0, out=out)
    assert not out.exists()
    assert not list(tmp_path.glob("*.lock"))
    resumed = nmo.run(problem, "random", budget=30, seed=0, out=out)
    assert resumed.archs == whole.archs
    np.testing.assert_array_equal(resumed.F, whole.F)


def test_a_journal_that_cannot_be_closed_is_let_go_of(tmp_path: Path) -> None:
    run = nmo.run(toy_problem(5, 5, 5), "random", budget=6, seed=0)
    journal = Journal(tmp_path / "run.journal", identity=run.identity)
    with full_after(10):
        with pytest.raises(OSError, match="large"):
            journal.append(run.archs, F=run.F, wall_s=run.wall_s, simulated_s=run.wall_s)
        with contextlib.suppress(OSError):
            journal.close()
    Journal(tmp_path / "run.journal", identity=run.identity).close()  # nobody else holds it


def test_a_read_only_cache_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Root may write anywhere, so the system's refusal is played."""
    import tempfile

    from nasbench_mo.cli import main

    def refuse(*_: object, **options: object) -> None:
        raise OSError(30, os.strerror(30), str(options.get("dir")))

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    (cache / "data.csv").write_text("arch,lat_ms\n00012012,1.5\n", encoding="utf-8")
    (cache / "spec.yaml").write_text(
        "id: toy-v1\nspace: nbmacro\nsource: {source: a, licence: b}\narchitecture: {column: arch}\n"
        "objectives: [{column: lat_ms, unit: ms, kind: measured, direction: min}]\n",
        encoding="utf-8",
    )
    command = ["nasbench-mo", "import", "columns", str(cache / "data.csv"), "--spec", str(cache / "spec.yaml")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Read-only file system" in capsys.readouterr().err
    assert artifacts.available("tables") == [] or "toy-v1" not in artifacts.available("tables")


# ---------------------------------------------------------------------- two writers, and kill -9


def test_two_processes_store_the_same_table_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import killing; from nasbench_mo.table import Table\n"
        "for i in range(25):\n"
        "    killing._table(Path(sys.argv[1]), int(sys.argv[2]))\n"
        "    assert killing._read_table(Path(sys.argv[1]))[0] in (0, 1)\n"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path, str(i)],
            env={**os.environ, "PYTHONPATH": paths},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]
    ends = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert [path.name for path in tmp_path.iterdir()] == ["toy-v1"]


def test_fifty_kills_leave_no_half_file() -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "killing.py", "50"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "50 kills, 0 half files\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux exchanges two names in one step")
def test_a_table_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that looks at every step sees the old table or the new one."""
    killing._table(tmp_path, 0)
    seen = []
    real = artifacts._replace_folder

    def watched(stage: Path, target: Path) -> None:
        def look(frame: Any, event: str, argument: Any) -> Any:
            seen.append((target / "card.md").is_file())
            return look

        sys.settrace(look)
        try:
            real(stage, target)
        finally:
            sys.settrace(None)

    monkeypatch.setattr(artifacts, "_replace_folder", watched)
    killing._table(tmp_path, 1)
    assert len(seen) > 5 and all(seen)
    assert killing._read_table(tmp_path) == (1, 1.0)


def test_without_an_exchange_of_names_a_folder_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_exchanged", lambda one, other: False)
    for version in (0, 1):
        killing._table(tmp_path, version)
    assert killing._read_table(tmp_path) == (1, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["toy-v1"]


# ---------------------------------------------------------------------- the clock


def test_no_duration_is_taken_from_the_clock_on_the_wall() -> None:
    """time.time() may go back; durations come from perf_counter, monotonic and process_time."""
    asked = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("time", "time_ns")
                and ast.unparse(node.value) == "time"
            ):
                asked.append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                asked.append(f"{path.name}:{node.lineno}")
    assert asked == []


def test_a_run_under_a_clock_that_goes_back_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = toy_problem(5, 5, 5)
    usual = nmo.run(problem, "nsga2", budget=20, seed=0)
    now = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    out = tmp_path / "run.parquet"
    run = nmo.run(problem, "nsga2", budget=20, seed=0, out=out)
    assert run.archs == usual.archs
    assert (np.diff(run.wall_s) >= 0).all() and run.wall_s[0] >= 0
    killing._table(tmp_path, 0)
    with TurnJournal(tmp_path / "turns", identity={}) as journal:
        journal.begin()
        journal.begin()
    assert nmo.Run.load(out, problem=problem).archs == usual.archs


# ---------------------------------------------------------------------- paths


def test_paths_may_have_any_characters_and_some_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Größe 測定 \U0001f4a9 'a\"b' %s {x}" / ("d" * 200) / ("e" * 200)
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(folder))
    killing._table(artifacts.cache_dir() / "tables", 1)
    assert load_table("toy-v1")["latency_ms"][0] == 1
    problem = toy_problem(5, 5, 5)
    out = folder / "löuf.parquet"
    run = nmo.run(problem, "random", budget=5, seed=0, out=out)
    assert nmo.Run.load(out, problem=problem).archs == run.archs
    board = toy_board()
    assert Submission.read(submission(board, "toy-entry").write(folder), board=board).name == "toy-entry"


def test_a_path_that_is_too_long_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from nasbench_mo.cli import main

    out = tmp_path / f"{'x' * 300}.parquet"
    command = ["nasbench-mo", "search", "nb201-c10-eyeriss-v1", "--budget", "5", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    complaint = capsys.readouterr().err
    assert ended.value.code == 2 and "too long" in complaint and "Traceback" not in complaint
    assert list(tmp_path.iterdir()) == []


def test_markup_in_text_stays_in_the_card(tmp_path: Path) -> None:
    """A card's front matter ends where it ends, whatever its texts say."""
    card = artifacts.render_card({"about": "a\n---\nb: 2\n", "é": "<!--"}, body="# x\n\n---\nid: other\n---\n")
    (tmp_path / "card.md").write_text(card, encoding="utf-8")
    assert artifacts.read_card(tmp_path) == {"about": "a\n---\nb: 2\n", "é": "<!--"}
