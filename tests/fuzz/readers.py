"""Every reader of the package with small valid files, and the ways in which they are damaged.

A reader is given a folder. It reads the files in it and uses what it got, as far as use goes before work begins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pickle
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fuzz.mutations import (
    Mutator,
    any_bytes,
    any_text,
    compressed_bz2,
    compressed_gzip,
    json_lines,
    json_tree,
    npy,
    parquet,
    tar_member,
    yaml_tree,
    zip_member,
)

from nasbench_mo import artifacts
from nasbench_mo.errors import NasbenchMoError

ROOT = Path(__file__).parents[2]

JSON: tuple[Mutator, ...] = (any_bytes, any_text, json_tree, json_tree)
YAML: tuple[Mutator, ...] = (any_bytes, any_text, yaml_tree, yaml_tree)
LINES: tuple[Mutator, ...] = (any_bytes, any_text, json_lines, json_lines)
NPZ: tuple[Mutator, ...] = (any_bytes, zip_member(npy), zip_member(npy), zip_member(any_bytes))
STATE_NPZ: tuple[Mutator, ...] = (*NPZ, zip_member(any_text))
PARQUET: tuple[Mutator, ...] = (any_bytes, parquet, parquet)
TORCH: tuple[Mutator, ...] = (any_bytes, zip_member(any_bytes))


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A reader under test.

    Parameters
    ----------
    name
        In the table.
    make
        Writes valid files into an empty folder.
    read
        Reads and uses them.
    damage
        File in the folder to the mutators it is given.
    seal
        Brings hashes in line with the damaged files, as whoever made them on purpose would.
    share
        Of the inputs, relative to other readers: less where reading is slow.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    damage: Mapping[str, tuple[Mutator, ...]] = field(default_factory=dict)
    seal: Callable[[Path], object] | None = None
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one input: ``error`` is None where it was accepted."""

    error: BaseException | None

    @property
    def kind(self) -> str:
        """accepted, clean or crash."""
        if self.error is None:
            return "accepted"
        return "clean" if isinstance(self.error, NasbenchMoError) else "crash"


class Harness:
    """Damages the files of a reader again and again; use it as a context manager."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._valid: dict[str, bytes] = {}

    def __enter__(self) -> Harness:
        self.reader.make(self._folder)
        files = (path for path in self._folder.rglob("*") if path.is_file())
        self._valid = {str(path.relative_to(self._folder)): path.read_bytes() for path in files}
        self.reader.read(self._folder)  # what is valid is read, or nothing below means anything
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)

    def prepare(self, number: int) -> Path:
        """The folder with input ``number``."""
        rng = random.Random(f"{self.reader.name} {number}")
        shutil.rmtree(self._folder)
        for name, content in self._valid.items():
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_bytes(content)
        name = rng.choice(list(self.reader.damage))
        mutate = rng.choice(self.reader.damage[name])
        (self._folder / name).write_bytes(mutate(self._valid[name], rng))
        if self.reader.seal is not None:
            self.reader.seal(self._folder)
        return self._folder

    def read(self) -> Outcome:
        """Read what was prepared; a warning is an error."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
            try:
                self.reader.read(self._folder)
            except Exception as error:  # noqa: BLE001 - any of them is the finding
                return Outcome(error=error)
        return Outcome(error=None)


# ---------------------------------------------------------------------- the user's own columns

_COLUMNS = """
id: macro-test-v1
space: nbmacro
source: {source: a test, licence: CC0}
architecture: {column: arch}
objectives:
  - {column: lat_ms, unit: ms, direction: min, kind: measured}
  - {column: acc, name: c10_valid_accuracy, unit: percent, direction: max, kind: measured, split: valid}
"""


def _frame() -> Any:
    import pandas as pd

    return pd.DataFrame(
        {"arch": ["00012012", "00000000", "22212220"], "lat_ms": [1.5, np.nan, 3.25], "acc": [90.0, 91.5, 12.0]}
    )


def _columns(suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "spec.yaml").write_text(_COLUMNS, encoding="utf-8")
        frame = _frame()
        if suffix == "csv":
            frame.to_csv(folder / "data.csv", index=False)
        elif suffix == "parquet":
            frame.to_parquet(folder / "data.parquet")
        else:
            arrays = {n: frame[n].to_numpy(dtype="S8" if n == "arch" else float) for n in frame.columns}
            np.savez(folder / "data.npz", **arrays)

    return make


def _read_columns(suffix: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        from nasbench_mo.sources.columns import read as read_columns

        _stored(folder, read_columns(folder / f"data.{suffix}", folder / "spec.yaml"))

    return read


def _stored(folder: Path, tables: Any) -> None:
    """Keep what a source reader gave as a native table, as an import does."""
    from nasbench_mo.sources.base import store

    for table in tables:
        store(table, files={}, command="fuzz", root=folder / "stored")


def _make_specs(folder: Path) -> None:
    shutil.copy(ROOT / "tests" / "specs" / "nasbench201.yaml", folder / "spec.yaml")


def _read_columns_spec(folder: Path) -> None:
    from nasbench_mo.sources.columns_spec import load_spec

    load_spec(folder / "spec.yaml")


# ---------------------------------------------------------------------- published files


def _source(module: str, name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        import importlib

        _stored(folder, importlib.import_module(f"nasbench_mo.sources.{module}").read(folder / name))

    return read


def _make_hw_nas_bench(folder: Path) -> None:
    from test_sources_hw_nas_bench import content

    (folder / "hw.pickle").write_bytes(pickle.dumps(content()))


def _make_listed(folder: Path) -> None:
    from sources_helpers import CELLS
    from test_sources_hw_nas_bench import content

    held = content()
    for dataset in held["nasbench201"].values():
        del dataset["config"]
    (folder / "hw.pickle").write_bytes(pickle.dumps(held))
    np.savez(folder / "cells.npz", arch_str=np.array(CELLS))


def _read_listed(folder: Path) -> None:
    from nasbench_mo.sources.hw_nas_bench import read

    read(folder / "hw.pickle", folder / "cells.npz")


def _make_help(folder: Path) -> None:
    import torch

    part = folder / "data" / "fbnet"
    (part / "latency").mkdir(parents=True)
    torch.save({"arch": [{"op_idx_list": [i % 9] * 22} for i in range(3)]}, part / "metainfo.pt")
    torch.save([1.0, 2.0, 3.5], part / "latency" / "pixel2.pt")
    torch.save(torch.tensor([4.0, 2.0, 3.5]), part / "latency" / "titanxp_64.pt", _use_new_zipfile_serialization=False)


def _make_nats(folder: Path) -> None:
    import nats_bench
    from sources_helpers import CELLS, architecture, write_pbz2

    rng = np.random.default_rng(0)
    write_pbz2(folder / "meta.pickle.pbz2", {"meta_archs": CELLS[:1], "evaluated_indexes": {0}})
    record = architecture(
        nats_bench, index=0, arch=CELLS[0], epochs=12, seeds={"cifar10-valid": [777], "cifar100": [777]}, rng=rng
    )
    write_pbz2(folder / "000000.pickle.pbz2", {"12": record.state_dict()})


def _make_nas_bench_201(folder: Path) -> None:
    import nas_201_api
    import torch
    from sources_helpers import CELLS, architecture

    rng = np.random.default_rng(0)
    record = architecture(nas_201_api, index=0, arch=CELLS[0], epochs=12, seeds={"cifar100": [777]}, rng=rng)
    full = architecture(nas_201_api, index=0, arch=CELLS[0], epochs=200, seeds={"cifar100": [777]}, rng=rng)
    infos = {0: {"less": record.state_dict(), "full": full.state_dict()}}
    torch.save({"meta_archs": CELLS[:1], "arch2infos": infos, "evaluated_indexes": {0}}, folder / "nb201.pth")


def _make_macro(folder: Path) -> None:
    from test_sources_json import macro_entry

    content = {"00012012": macro_entry([90.0, 91.0, 92.0]), "22212220": macro_entry([10.0, 11.0, 12.0])}
    (folder / "macro.json").write_text(json.dumps(content))


def _make_zerocost(folder: Path) -> None:
    from test_sources_json import zerocost_entry

    entry = {"(0, 2, 3, 2, 3, 1)": zerocost_entry(np.random.default_rng(14))}
    (folder / "zc_nasbench201.json").write_text(json.dumps({"cifar10": entry, "ImageNet16-120": entry}))


def _make_accel(folder: Path) -> None:
    from test_sources_json import record, write_tar

    rng = np.random.default_rng(0)
    write_tar(folder / "anb.tar.gz", [record(rng) for _ in range(2)])


# ---------------------------------------------------------------------- tables and cards


def _make_table(*, dense: bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        from nasbench_mo.objective import Objective
        from nasbench_mo.table import Column, write_table

        X = np.array([[i, j] for i in range(3) for j in range(4)])[: None if dense else 7]
        columns = [
            Column(objective=Objective(name=name, unit="ms", kind="measured"), values=np.arange(len(X)) + 0.5)
            for name in ("latency_a", "latency_b")
        ]
        archs = [f"{i}-{j}" for i, j in X.tolist()]
        write_table(folder, columns, id="toy-v1", space="toy", archs=archs, cardinalities=(3, 4), encodings=X)

    return make


def _read_table(folder: Path) -> None:
    from nasbench_mo.table import Table

    table = Table.open(folder)
    table.matrix(table.columns)
    for arch in table.archs[:3]:
        table.row(arch)
    if table.header.rows == "architecture":
        table.locate(table.encodings()[:5])
    table.content_hash(table.columns)


def _make_card(folder: Path) -> None:
    shutil.copy(ROOT / "hw_tables" / "nb201-cpu-ort-epyc-v1" / "card.md", folder / "card.md")


def _make_notes(folder: Path) -> None:
    (folder / "file.bin").write_bytes(b"content")
    artifacts._record_hash(folder / "file.bin", url="https://example.org/file.bin")
    artifacts._PartNote(url="https://example.org/file.bin", total_bytes=7, validator='"v1"').write(folder / "file.part")


def _read_notes(folder: Path) -> None:
    artifacts._recorded_hash(folder / "file.bin")
    note = artifacts._PartNote.read(folder / "file.part")
    if note is not None:
        note.continuable("https://example.org/file.bin", size=3)


# ---------------------------------------------------------------------- predictors


def _predictor(identifier: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        import xgboost  # noqa: F401 - a second that is not the reader's

        for file in (ROOT / "predictors" / identifier).iterdir():
            if file.suffix in (".json", ".npz", ".ubj", ".md"):
                shutil.copy(file, folder / file.name)

    return make


def _seal_predictor(folder: Path) -> None:
    path = folder / "reference.json"
    model = next(folder / name for name in ("model.npz", "model.ubj") if (folder / name).exists())
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"sha256": artifacts.sha256(model)}))


def _read_predictor(folder: Path) -> None:
    from nasbench_mo.predictor.artifact import Predictor

    predictor = Predictor.load(folder)
    predictor.predict(predictor.space.sample(4, rng=np.random.default_rng(0)), return_std=True)


@cache
def _features() -> Any:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 5)).astype(np.float32)


def _make_trees(folder: Path) -> None:
    from nasbench_mo.predictor.xgb import XGBoostPredictor

    X = _features()
    XGBoostPredictor(parameters={"n_rounds": 4, "max_depth": 3}, seed=0).fit(X, np.exp(X[:, 0])).save(folder)


def _read_trees(folder: Path) -> None:
    from nasbench_mo.predictor.models import StoredXGBoost

    StoredXGBoost.load(folder, spread=0.1).predict(_features(), return_std=True)


def _make_process(folder: Path) -> None:
    from nasbench_mo.predictor.estimators.gp_kernel import KernelTerm
    from nasbench_mo.predictor.estimators.stored_gp import StoredGP
    from nasbench_mo.predictor.estimators.targets import LogTarget
    from nasbench_mo.predictor.models import StoredGaussianProcess

    X = _features()[:12].astype(float)
    terms = [KernelTerm(kind="matern52", scales=np.ones(5)), KernelTerm(kind="linear", scales=np.full(5, 0.1))]
    process = StoredGP(terms=terms, inputs=X, scores=X[:, 0] / 2, noise=0.1, target=LogTarget(), centre=0.0, spread=1.0)
    StoredGaussianProcess(process).save(folder)


def _read_process(folder: Path) -> None:
    from nasbench_mo.predictor.models import StoredGaussianProcess

    StoredGaussianProcess.load(folder, spread=1.0).predict(_features(), return_std=True)


def _specification(source: str, reader: str) -> tuple[Callable[[Path], None], Callable[[Path], None]]:
    """A file of the repository, and the class that reads it."""

    def make(folder: Path) -> None:
        shutil.copy(ROOT / source, folder / "spec.yaml")

    def read(folder: Path) -> None:
        import importlib

        module, name = reader.split(":")
        getattr(importlib.import_module(f"nasbench_mo.{module}"), name).read(folder / "spec.yaml")

    return make, read


def _read_kinds(folder: Path) -> None:
    """What the command line asks of a specification before it is read."""
    from nasbench_mo.cli.predictors import _protocol
    from nasbench_mo.hardware.design_table import is_design_table
    from nasbench_mo.hardware.zigzag_grid import is_grid
    from nasbench_mo.profiling.device_spec import is_device_table
    from nasbench_mo.training.table_spec import is_trained_table

    path = folder / "spec.yaml"
    for asked in (is_design_table, is_grid, is_device_table, is_trained_table):
        asked(path)
    _protocol(path)


def _text(name: str, text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return make


_PART = "name: mine\ndsp: 220\ndsp_kind: E1\nbram18: 280\nlut: 53200\nff: 106400\nddr_gb_per_s: 4.2\nstatic_w: 1\n"
_CLUSTER = 'scheduler: slurm\njobs: 8\noptions:\n  memory: 4GB\n  queue: batch\n  walltime: "04:00:00"\n  cores: 1\n'


def _read_part(folder: Path) -> None:
    from nasbench_mo.hardware.fpga_parts import FpgaPart

    FpgaPart.read(folder / "spec.yaml")


def _read_cluster(folder: Path) -> None:
    from nasbench_mo.cluster.deployment import Deployment

    Deployment.read(folder / "spec.yaml")


# ---------------------------------------------------------------------- runs and boards


@cache
def _toy() -> Any:
    from benchmark_helpers import toy_problem

    return toy_problem(5, 5, 5)


@cache
def _run() -> Any:
    import nasbench_mo as nmo

    return nmo.run(_toy(), "random", budget=6, seed=0)


def _make_run(folder: Path) -> None:
    _run().save(folder / "run.parquet")


def _read_run(folder: Path) -> None:
    from nasbench_mo.experiment import Run
    from nasbench_mo.experiment.storage import read_identity

    read_identity(folder / "run.parquet")
    run = Run.load(folder / "run.parquet", problem=_toy())
    run.front()


def _make_journal(folder: Path) -> None:
    from nasbench_mo.experiment.storage import Journal

    run = _run()
    journal = Journal(folder / "run.journal", identity=run.identity)
    journal.append(run.archs, F=run.F, wall_s=run.wall_s, simulated_s=run.wall_s)
    journal.close()


def _read_journal(folder: Path) -> None:
    from nasbench_mo.experiment.storage import Journal

    Journal(folder / "run.journal", identity=_run().identity).close()


@cache
def _board() -> Any:
    from board_helpers import toy_board

    return toy_board()


def _submission(form: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        from board_helpers import submission

        submission(_board(), "toy-entry", luck=1, form=form).write(folder)

    return make


def _seal_submission(folder: Path) -> None:
    path = folder / "toy-entry" / "submission.yaml"
    fields = yaml.safe_load(path.read_text())
    for name in ("runs", "values"):
        if f"{name}_sha256" in fields:
            fields[f"{name}_sha256"] = artifacts.sha256(path.with_name(f"{name}.parquet"))
    path.write_text(yaml.safe_dump(fields))


def _read_submission(folder: Path) -> None:
    from nasbench_mo.leaderboard import check
    from nasbench_mo.leaderboard.submission import Submission

    check(Submission.read(folder / "toy-entry", board=_board()), board=_board())


def _make_board(folder: Path) -> None:
    (folder / "nb201s-hardware-v1").mkdir()
    shutil.copy(ROOT / "leaderboards" / "nb201s-hardware-v1" / "board.yaml", folder / "nb201s-hardware-v1")


def _read_board(folder: Path) -> None:
    from nasbench_mo.leaderboard.board import Board

    Board.read(folder / "nb201s-hardware-v1")


def _make_manifest(folder: Path) -> None:
    shutil.copy(next((ROOT / "nasbench_mo" / "benchmark" / "manifests").glob("*.json")), folder / "manifest.json")


def _read_manifest(folder: Path) -> None:
    from nasbench_mo.benchmark.manifest import Manifest, differences

    text = next((ROOT / "nasbench_mo" / "benchmark" / "manifests").glob("*.json")).read_text(encoding="utf-8")
    path = folder / "manifest.json"
    differences(Manifest.from_json(text), Manifest.from_json(path.read_bytes().decode("utf-8", errors="replace")))


# ---------------------------------------------------------------------- trainings, profiles, validations

_IDENTITY = {"id": "toy", "recipe": {"epochs": 2}}


def _make_checkpoint(folder: Path) -> None:
    from nasbench_mo.training.checkpoint import Checkpoint, write_checkpoint

    import torch  # isort: skip

    write_checkpoint(
        folder / "last.ckpt",
        Checkpoint(
            identity={"arch": "x"}, epochs=2, seconds=1.5, curve={"loss": [1.0, 0.5]}, state={"w": torch.zeros(3)}
        ),
    )


def _seal_checkpoint(folder: Path) -> None:
    from nasbench_mo.training.checkpoint import _HEADER

    data = (folder / "last.ckpt").read_bytes()
    header, payload = data[: len(_HEADER)], data[len(_HEADER) + 65 :]
    (folder / "last.ckpt").write_bytes(header + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def _read_checkpoint(folder: Path) -> None:
    from nasbench_mo.training.checkpoint import read_checkpoint

    read_checkpoint(folder / "last.ckpt", identity={"arch": "x"})


def _make_store(folder: Path) -> None:
    from test_measured_table import invented

    from nasbench_mo.training.store import TrainingStore

    with TrainingStore(folder, identity=_IDENTITY) as store:
        store.add([invented(code, seed=0) for code in (3, 9)])
        store.pack()
        store.add([invented(11, seed=1)])


def _read_store(folder: Path) -> None:
    from nasbench_mo.training.store import TrainingStore

    with TrainingStore(folder, identity=_IDENTITY) as store:
        store.trainings()


def _make_images(folder: Path) -> None:
    arrays: dict[str, Any] = {}
    for split in ("train", "valid", "test"):
        arrays[f"{split}_pixels"] = np.zeros((4, 8, 8, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.array([0, 1, 0, 1])
    np.savez(folder / "images.npz", **arrays)


def _read_images(folder: Path) -> None:
    from nasbench_mo.training.images import read_arrays

    _ = read_arrays(folder / "images.npz", name="toy").fingerprint


def _make_turns(folder: Path) -> None:
    from nasbench_mo.profiling.turns import Turn, TurnJournal

    with TurnJournal(folder, identity=_IDENTITY) as journal:
        journal.begin()
        for i in range(3):
            journal.add(Turn(key="a", number=0, round=i), 1.5 + i)


def _read_turns(folder: Path) -> None:
    from nasbench_mo.profiling.turns import TurnJournal

    with TurnJournal(folder, identity=_IDENTITY):
        pass


def _make_latency(folder: Path) -> None:
    from nasbench_mo.training.table_spec import LatencySpec
    from nasbench_mo.validation.measured_table import MeasuredLatency

    protocol = LatencySpec(rounds=2, runs=1, warm_up=0, n_threads=1, quantile=0.1, block=10)
    MeasuredLatency(
        codes=(1, 0), latency_ms=(1.5, 0.5), noise_percent=1.0, device="a", runtime="b", protocol=protocol
    ).write(folder / "latency.json")


def _read_latency(folder: Path) -> None:
    from nasbench_mo.validation.measured_table import MeasuredLatency

    MeasuredLatency.read(folder / "latency.json")


def _make_trained(folder: Path) -> None:
    from nasbench_mo.training.metrics import Scores
    from nasbench_mo.validation.study import Trained, _write_training

    scores = Scores(error_percent=20.0, precision_percent=70.0, recall_percent=70.0, f1_percent=70.0)
    done = Trained(
        arch="x", seed=0, failure=None, environment="here", valid=scores, test=scores, train_seconds=1.0,
        valid_error_percent=(30.0, 20.0), valid_loss=(1.0, None), train_loss=(1.0, 0.5), n_parameters=7,
    )  # fmt: skip
    _write_training(folder / "00001-seed0.json", done)


def _read_trained(folder: Path) -> None:
    from nasbench_mo.validation.study import _read_training

    _read_training(folder / "00001-seed0.json")


def _make_profile(folder: Path) -> None:
    from nasbench_mo.validation.shortlist_profile import Profile

    made = Profile(
        device="X1", runtime="onnxruntime 0", latency_us={"p50": np.array([1.0, 2.0])}, noise_percent=1.0,
        as_predicted_us=None, memory_mib=np.full(2, np.nan), failures={}, no_memory_because=None,
    )  # fmt: skip
    content = {"networks": ["a", "b"], "profile": made.to_dict()}
    (folder / "profile.json").write_text(json.dumps(content), encoding="utf-8")


def _read_profile(folder: Path) -> None:
    from nasbench_mo.validation.study import _kept_profile

    _kept_profile(folder / "profile.json", key={"networks": ["a", "b"]})


def _make_study(folder: Path) -> None:
    (folder / "identity.json").write_text(json.dumps(_IDENTITY), encoding="utf-8")


def _read_study(folder: Path) -> None:
    from nasbench_mo.validation.study import _opened

    with _opened(folder, identity=_IDENTITY):
        pass


def _make_costs(folder: Path) -> None:
    from nasbench_mo.hardware.zigzag_builder import Mapped
    from nasbench_mo.hardware.zigzag_grid import Journal

    with Journal(folder, identity=_IDENTITY) as journal:
        journal.add(("2x3", "conv"), Mapped(cycles=10, energy_pj=5.0))
        journal.add(("2x3", "add"), None)


def _read_costs(folder: Path) -> None:
    from nasbench_mo.hardware.zigzag_grid import Journal

    with Journal(folder, identity=_IDENTITY):
        pass


@cache
def _onnx() -> bytes:
    from nasbench_mo.profiling.onnx_graph import onnx_network
    from nasbench_mo.space.nb201 import Skeleton

    skeleton = dataclasses.replace(
        Skeleton.for_dataset("cifar10"), channels=2, n_cells=1, n_stages=1, image_size=8, n_classes=3
    )
    return onnx_network("|nor_conv_1x1~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|", skeleton=skeleton)


def _make_onnx(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(_onnx())


def _read_onnx(folder: Path) -> None:
    from nasbench_mo.profiling.quantised import quantised
    from nasbench_mo.profiling.torch_graph import TorchGraph

    model = (folder / "model.onnx").read_bytes()
    TorchGraph(model, device="cpu", precision="fp32")
    quantised(model)


# ---------------------------------------------------------------------- all of them


def _yaml_reader(name: str, source: str, reader: str) -> Reader:
    make, read = _specification(source, reader)
    return Reader(name=name, make=make, read=read, damage={"spec.yaml": YAML})


_BZ2: tuple[Mutator, ...] = (any_bytes, compressed_bz2(any_bytes), compressed_bz2(any_bytes))
_LINEAR = "nb201-eyeriss-latency-linear-v1"
_GRID = "hw_tables/nb201-asicgrid-cycles-modelled-v1/spec.yaml"

READERS: tuple[Reader, ...] = (
    Reader(
        name="columns: CSV",
        make=_columns("csv"),
        read=_read_columns("csv"),
        damage={"data.csv": (any_bytes, any_text), "spec.yaml": YAML},
    ),
    Reader(
        name="columns: Parquet",
        make=_columns("parquet"),
        read=_read_columns("parquet"),
        damage={"data.parquet": PARQUET},
    ),
    Reader(name="columns: NPZ", make=_columns("npz"), read=_read_columns("npz"), damage={"data.npz": NPZ}),
    Reader(name="columns: specification", make=_make_specs, read=_read_columns_spec, damage={"spec.yaml": YAML}),
    Reader(
        name="HW-NAS-Bench pickle",
        make=_make_hw_nas_bench,
        read=_source("hw_nas_bench", "hw.pickle"),
        damage={"hw.pickle": (any_bytes,)},
    ),
    Reader(name="list of cells, NPZ", make=_make_listed, read=_read_listed, damage={"cells.npz": NPZ}),
    Reader(
        name="HELP .pt",
        make=_make_help,
        read=_source("help_latency", ""),
        damage={
            "data/fbnet/metainfo.pt": TORCH,
            "data/fbnet/latency/pixel2.pt": TORCH,
            "data/fbnet/latency/titanxp_64.pt": (any_bytes,),
        },
    ),
    Reader(
        name="NATS-Bench pickles",
        make=_make_nats,
        read=_source("nats_bench", ""),
        damage={"meta.pickle.pbz2": _BZ2, "000000.pickle.pbz2": _BZ2},
    ),
    Reader(
        name="NAS-Bench-201 .pth",
        make=_make_nas_bench_201,
        read=_source("nas_bench_201", "nb201.pth"),
        damage={"nb201.pth": TORCH},
    ),
    Reader(
        name="NAS-Bench-Macro JSON",
        make=_make_macro,
        read=_source("nas_bench_macro", "macro.json"),
        damage={"macro.json": JSON},
    ),
    Reader(
        name="NASLib zero-cost JSON",
        make=_make_zerocost,
        read=_source("naslib_zerocost", "zc_nasbench201.json"),
        damage={"zc_nasbench201.json": JSON},
    ),
    Reader(
        name="Accel-NASBench tar.gz",
        make=_make_accel,
        read=_source("accel_nasbench", "anb.tar.gz"),
        damage={"anb.tar.gz": (any_bytes, compressed_gzip(any_bytes), tar_member, tar_member)},
    ),
    Reader(
        name="native table, dense", make=_make_table(dense=True), read=_read_table, damage={"table.parquet": PARQUET}
    ),
    Reader(
        name="native table, sparse", make=_make_table(dense=False), read=_read_table, damage={"table.parquet": PARQUET}
    ),
    Reader(name="card", make=_make_card, read=artifacts.read_card, damage={"card.md": (any_bytes, any_text, any_text)}),
    Reader(
        name="notes of a download",
        make=_make_notes,
        read=_read_notes,
        damage={"file.bin.sha256.json": JSON, "file.part.json": JSON},
    ),
    Reader(
        name="predictor: reference.json",
        make=_predictor(_LINEAR),
        read=_read_predictor,
        damage={"reference.json": JSON},
    ),
    Reader(
        name="predictor: model, own hash",
        make=_predictor(_LINEAR),
        read=_read_predictor,
        damage={"model.npz": STATE_NPZ},
        seal=_seal_predictor,
    ),
    Reader(
        name="predictor: model, old hash", make=_predictor(_LINEAR), read=_read_predictor, damage={"model.npz": NPZ}
    ),
    Reader(name="trees .ubj", make=_make_trees, read=_read_trees, damage={"model.ubj": (any_bytes,)}, share=4),
    Reader(name="Gaussian process .npz", make=_make_process, read=_read_process, damage={"model.npz": STATE_NPZ}),
    _yaml_reader("predictor specification", f"predictors/{_LINEAR}/spec.yaml", "predictor.training:TrainingSpec"),
    _yaml_reader(
        "evaluation protocol", "predictors/protocols/nb201-accuracy.yaml", "predictor.evaluation:EvaluationSpec"
    ),
    _yaml_reader(
        "transfer protocol", "predictors/protocols/help-transfer.yaml", "predictor.transfer_benchmark:TransferSpec"
    ),
    _yaml_reader(
        "fitted table specification",
        "hw_tables/nb201-fpga-latency-modelled-v1/spec.yaml",
        "hardware.building:FitSpec",
    ),
    _yaml_reader("grid specification", _GRID, "hardware.zigzag_grid:GridSpec"),
    _yaml_reader(
        "device table specification",
        "hw_tables/nb201-cpu-ort-epyc-v1/spec.yaml",
        "profiling.device_spec:DeviceTableSpec",
    ),
    _yaml_reader(
        "trained table specification",
        "hw_tables/nb201-gtsrb16-v1/spec.yaml",
        "training.table_spec:TrainedTableSpec",
    ),
    _yaml_reader(
        "design table specification",
        "hw_tables/nb201-gtsrb16-accelerators-modelled-v1/spec.yaml",
        "hardware.design_table:DesignSpec",
    ),
    Reader(name="FPGA part", make=_text("spec.yaml", _PART), read=_read_part, damage={"spec.yaml": YAML}),
    Reader(name="cluster file", make=_text("spec.yaml", _CLUSTER), read=_read_cluster, damage={"spec.yaml": YAML}),
    Reader(
        name="kind of a specification",
        make=_specification("predictors/protocols/nb201-accuracy.yaml", ":")[0],
        read=_read_kinds,
        damage={"spec.yaml": YAML},
    ),
    Reader(name="run.parquet", make=_make_run, read=_read_run, damage={"run.parquet": PARQUET}),
    Reader(name="journal of a run", make=_make_journal, read=_read_journal, damage={"run.journal": LINES}),
    Reader(
        name="submission",
        make=_submission("compact"),
        read=_read_submission,
        damage={"toy-entry/submission.yaml": YAML},
    ),
    Reader(
        name="submission's rows, own hash",
        make=_submission("strings"),
        read=_read_submission,
        damage={"toy-entry/runs.parquet": PARQUET},
        seal=_seal_submission,
    ),
    Reader(
        name="submission's compact rows, own hash",
        make=_submission("compact"),
        read=_read_submission,
        damage={"toy-entry/runs.parquet": PARQUET, "toy-entry/values.parquet": PARQUET},
        seal=_seal_submission,
    ),
    Reader(name="board", make=_make_board, read=_read_board, damage={"nb201s-hardware-v1/board.yaml": YAML}),
    Reader(name="manifest", make=_make_manifest, read=_read_manifest, damage={"manifest.json": JSON}),
    Reader(
        name="checkpoint, own hash",
        make=_make_checkpoint,
        read=_read_checkpoint,
        damage={"last.ckpt": (any_bytes,)},
        seal=_seal_checkpoint,
    ),
    Reader(
        name="trainings",
        make=_make_store,
        read=_read_store,
        damage={"trainings.parquet": PARQUET, "shards/seed1-00011.parquet": PARQUET, "identity.json": JSON},
    ),
    Reader(name="images", make=_make_images, read=_read_images, damage={"images.npz": NPZ}),
    Reader(
        name="measured turns", make=_make_turns, read=_read_turns, damage={"turns.jsonl": LINES, "identity.json": JSON}
    ),
    Reader(name="measured latency", make=_make_latency, read=_read_latency, damage={"latency.json": JSON}),
    Reader(name="training of a study", make=_make_trained, read=_read_trained, damage={"00001-seed0.json": JSON}),
    Reader(name="profile of a study", make=_make_profile, read=_read_profile, damage={"profile.json": JSON}),
    Reader(name="identity of a study", make=_make_study, read=_read_study, damage={"identity.json": JSON}),
    Reader(
        name="costs of a grid",
        make=_make_costs,
        read=_read_costs,
        damage={"journal.jsonl": LINES, "identity.json": JSON},
    ),
    Reader(name="ONNX graph", make=_make_onnx, read=_read_onnx, damage={"model.onnx": (any_bytes,)}),
)


@contextlib.contextmanager
def harness(reader: Reader) -> Iterator[Harness]:
    """A harness whose files are gone afterwards."""
    with Harness(reader) as made:
        yield made


def plan(total: int) -> dict[str, int]:
    """Reader to its number of inputs, so that they are at least so many in all."""
    shares = sum(reader.share for reader in READERS)
    return {reader.name: ceil(total * reader.share / shares) for reader in READERS}
