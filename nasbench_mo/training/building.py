"""Train every topology of a table once for each seed: in parts, in many processes, to be continued at any time.

Cells that stand for the same network share one training. A cell without an input-output path puts out the same
classes for every image; it is not trained.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.cluster import run_ordered
from nasbench_mo.errors import SpecError, require
from nasbench_mo.hardware import processor_name
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import CONV1X1, NB201
from nasbench_mo.training.compiled import library, native_environment
from nasbench_mo.training.fused import FusedTrainer
from nasbench_mo.training.images import ImageSet
from nasbench_mo.training.native import NativeTrainer
from nasbench_mo.training.store import Training, TrainingStore, opened
from nasbench_mo.training.table_spec import Engine, TrainedTableSpec
from nasbench_mo.training.trainer import Recipe, Trainer, TrainingResult

#: Trainings in a shard: what a kill can cost a process. Elsewhere than on a processor, a shard is trained at once.
SHARD = 8
FUSED_SHARD = 128
#: Shards between two packings.
_PACK_EVERY = 64

#: Called with the trainings that are finished and their number in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """Work for one process: some cells, one seed."""

    spec: TrainedTableSpec
    images: Path
    seed: int
    codes: tuple[int, ...]
    device: str


def trained_codes(search_space: NB201) -> NDArray[np.int64]:
    """For the code of every cell, the code of the cell whose training it shares, (15625,); -1 for degenerate cells.

    Cells share a training when they compute the same function with the same numbers of convolutions and poolings:
    isomorphic ones, and those that differ in dead or skipped edges. NAS-Bench-201's own 6,466 classes go further and
    further apart at once: they put two parallel convolutions of one input with one that is added twice, and keep cells
    apart that differ in a term that is zero.
    """
    X = search_space.enumerate()
    live = search_space.live(X)
    operations = search_space.operation_counts(X, convention="live")[:, CONV1X1:]
    keys = np.column_stack([search_space.equivalence_class(X), operations])
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    shared = search_space.codes(live)[first][group.reshape(-1)]
    return np.where(search_space.degenerate(X), -1, shared)


def topologies(search_space: NB201) -> NDArray[np.int64]:
    """Codes of the cells that are trained, in a fixed random order; one for each function comes first.

    Random, so that a table made half way holds a fair sample.
    """
    codes = trained_codes(search_space)
    shuffled = np.random.default_rng(0).permutation(np.unique(codes[codes >= 0]))
    functions = search_space.equivalence_class(search_space.from_codes(shuffled))
    _, first = np.unique(functions, return_index=True)
    leads = np.isin(np.arange(len(shuffled)), first)
    return np.concatenate([shuffled[leads], shuffled[~leads]])


def train_topologies(
    spec: TrainedTableSpec,
    *,
    work: Path,
    images: Path | None = None,
    n_processes: int = 1,
    scheduler: str | None = None,
    device: str = "cpu",
    at_most: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Train what is still missing, and return how many trainings are missing after that.

    Parameters
    ----------
    spec
        What to train.
    work
        Folder of the finished trainings, made or continued.
    images
        Folder of the image files.
    n_processes, scheduler
        Local processes with one thread each, or the address of a Dask scheduler (see
        :func:`nasbench_mo.cluster.run_ordered`), whose workers must see the image folder.
    device
        torch device. On ``"cuda"`` many cells are trained at once.
    at_most
        Stop after about so many trainings.
    progress
        Called after every shard.

    Raises
    ------
    SpecError
        The folder was begun with another recipe, another builder works in it, or torch has no such device here.
    ArtifactError
        A file in the folder is damaged, or the images are others.
    FileNotFoundError
        The images are missing.
    """
    check_engine(spec.engine, device=device)
    folder = spec.image_folder(images)
    spec.read_images(folder)  # every error about images comes before the first process
    wanted = [(seed, int(code)) for seed in spec.seeds for code in topologies(nb201())]
    with opened(work, identity=spec.identity) as store:
        finished = {(t.seed, t.code) for t in store.trainings()}
        missing = [job for job in wanted if job not in finished]
        shards = _shards(missing[:at_most], spec=spec, images=folder, device=device)
        done = len(wanted) - len(missing)
        if progress is not None:
            progress(done, len(wanted))
        for i, trainings in enumerate(
            run_ordered(_train_shard, shards, n_processes=n_processes, scheduler=scheduler), start=1
        ):
            store.add(trainings)
            done += len(trainings)
            if i % _PACK_EVERY == 0:
                store.pack()
            if progress is not None:
                progress(done, len(wanted))
    return len(wanted) - done


def check_engine(engine: Engine, *, device: str) -> None:
    """Refuse a device on which an engine does not train, and a machine that lacks the engine.

    Raises
    ------
    SpecError
        As :func:`check_device`; or the engine is native and the device is no processor.
    MissingDependencyError
        torch is not installed, or there is no C++ compiler.
    """
    if engine == "torch":
        check_device(device)
    elif device != "cpu":
        raise SpecError(f"the native engine trains on the device 'cpu'; got {device!r}: train there with torch")
    else:
        library()


def check_device(device: str) -> None:
    """Refuse a torch device that this machine, or this build of torch, does not have.

    Raises
    ------
    SpecError
        The device cannot hold a number.
    MissingDependencyError
        torch is not installed.
    """
    torch = require("torch", extra="train")
    try:
        torch.zeros(1).to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise SpecError(f"torch {torch.__version__} has no device {device!r} here ({reason}); take 'cpu'") from error


def finished_trainings(spec: TrainedTableSpec, *, work: Path) -> list[Training]:
    """The trainings in a folder."""
    with TrainingStore(work, identity=spec.identity) as store:
        return store.trainings()


def _shards(jobs: Sequence[tuple[int, int]], *, spec: TrainedTableSpec, images: Path, device: str) -> list[_Shard]:
    size = SHARD if device == "cpu" else FUSED_SHARD
    shards = []
    for seed in spec.seeds:
        codes = [code for job_seed, code in jobs if job_seed == seed]
        parts = [tuple(codes[start : start + size]) for start in range(0, len(codes), size)]
        shards += [_Shard(spec=spec, images=images.resolve(), seed=seed, codes=part, device=device) for part in parts]
    return shards


def _train_shard(shard: _Shard) -> list[Training]:
    cells = nb201().decode(nb201().from_codes(np.array(shard.codes)))
    results = train_cells(_kept_trainer(shard), cells, seed=shard.seed)
    here = environment(shard.device, engine=shard.spec.engine)
    return [
        Training(code=code, seed=shard.seed, result=result, environment=here)
        for code, result in zip(shard.codes, results, strict=True)
    ]


AnyTrainer = Trainer | FusedTrainer | NativeTrainer


def trainer_of(engine: Engine, images: ImageSet, *, recipe: Recipe, device: str = "cpu") -> AnyTrainer:
    """What trains networks of NAS-Bench-201 one after another; on another device than a processor, all at once."""
    if engine == "native":
        return NativeTrainer(images, recipe=recipe)
    kind = Trainer if device == "cpu" else FusedTrainer
    return kind(images, recipe=recipe, device=device)


def train_cells(trainer: AnyTrainer, cells: Sequence[str], *, seed: int) -> list[TrainingResult]:
    """Train some cells."""
    if isinstance(trainer, NativeTrainer):
        return [trainer.train(cell, seed=seed) for cell in cells]
    with one_thread():
        if isinstance(trainer, FusedTrainer):
            return trainer.train(cells, seed=seed)
        return [trainer.train(cell, seed=seed) for cell in cells]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """torch keeps to one thread: sums in another order would be other bits."""
    torch = require("torch", extra="train")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


_kept: dict[tuple[str, ...], AnyTrainer] = {}


def _kept_trainer(shard: _Shard) -> AnyTrainer:
    """One trainer a process, with its images normalised once."""
    spec = shard.spec
    key = (spec.engine, spec.images_sha256, repr(spec.recipe), str(shard.images), shard.device)
    if key not in _kept:
        _kept.clear()
        images = spec.read_images(shard.images)
        _kept[key] = trainer_of(spec.engine, images, recipe=spec.recipe, device=shard.device)
    return _kept[key]


@lru_cache(maxsize=2)
def environment(device: str, *, engine: Engine = "torch") -> str:
    """Versions and machine that a training depends on, as one line."""
    if engine == "native":
        return native_environment()
    torch = require("torch", extra="train")
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor_name()
    return f"torch {torch.__version__}, numpy {version('numpy')}, python {platform.python_version()}, {name}"


def nb201() -> NB201:
    """The one space with trainable networks."""
    found = space("nb201")
    assert isinstance(found, NB201)  # the specification was checked
    return found
