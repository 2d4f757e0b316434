"""Train and profile a shortlist for real: one file a finished training, to be continued after any interruption.

A folder belongs to one study: one run's values, one image set, one recipe, the same seeds and networks. A network that
fails is written down as failed, and tried again when the same study is given again.

A training leaves a checkpoint after every epoch, so whatever ends it (a kill, a worker that dies, a full disk) costs at
most one epoch, and on a CPU its curve is the same to the bit. A checkpoint that is damaged, or of another training, is
set aside as ``*.damaged`` with a warning, and the training starts over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.bounded import read_json
from nasbench_mo.cluster import Executor
from nasbench_mo.errors import ArtifactError, FormatError, RunError, SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.building import check_engine, environment, nb201, one_thread
from nasbench_mo.training.datasets import Dataset, check_image_size
from nasbench_mo.training.images import ImageSet
from nasbench_mo.training.metrics import Scores
from nasbench_mo.training.native import NativeTrainer
from nasbench_mo.training.table_spec import Engine, engine_named
from nasbench_mo.training.trainer import Recipe, Trainer, TrainingResult, channel_statistics
from nasbench_mo.validation.deployment import calibration_images, scores_at, trained_model
from nasbench_mo.validation.shortlist import Chosen, SearchedRun, fingerprint
from nasbench_mo.validation.shortlist_profile import FAILURES, Profile, profile, reason
from nasbench_mo.validation.target import Target

FORMAT_VERSION = 1
WORK = "work"
#: Folders in it, of the trainings that are not finished and of single measurements; and beside it, of trained networks.
CHECKPOINTS, TURNS, NETWORKS = "checkpoints", "turns", "networks"
_IDENTITY = "identity.json"
_PROFILE = "profile.json"

_log = logging.getLogger(__name__)

#: Called with what is being done, how much of it is finished, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One training of one network: what came of it, or why nothing did.

    Parameters
    ----------
    arch, seed
        What was trained.
    failure
        What went wrong, on one line; None where nothing did. Everything below is then known.
    valid, test
        Scores after the last epoch.
    valid_error_percent, valid_loss, train_loss
        After each epoch.
    train_seconds, joules, no_joules_because, n_parameters
        As in :class:`~nasbench_mo.training.TrainingResult`.
    environment
        Versions and machine, as one line; None where it failed.
    deployed_valid, deployed_test
        Scores in the precision of the measurements, where that is another than the one trained in.
    """

    arch: str
    seed: int
    failure: str | None
    environment: str | None
    valid: Scores | None = None
    test: Scores | None = None
    valid_error_percent: tuple[float, ...] = ()
    valid_loss: tuple[float | None, ...] = ()
    train_loss: tuple[float | None, ...] = ()
    train_seconds: float | None = None
    joules: float | None = None
    no_joules_because: str | None = None
    n_parameters: int | None = None
    deployed_valid: Scores | None = None
    deployed_test: Scores | None = None

    @classmethod
    def of(
        cls,
        result: TrainingResult,
        *,
        arch: str,
        seed: int,
        environment: str,
        deployed: tuple[Scores | None, Scores | None] = (None, None),
    ) -> Trained:
        """What the trainer gave. A loss that is not finite is missing."""
        return cls(
            arch=arch,
            seed=seed,
            failure=None,
            environment=environment,
            valid=result.valid,
            test=result.test,
            valid_error_percent=tuple(result.valid_error_percent.tolist()),
            valid_loss=_finite(result.valid_loss.tolist()),
            train_loss=_finite(result.train_loss.tolist()),
            train_seconds=result.train_seconds,
            joules=result.energy.joules,
            no_joules_because=result.energy.why_not,
            n_parameters=result.n_parameters,
            deployed_valid=deployed[0],
            deployed_test=deployed[1],
        )

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Trained:
        """Of :func:`dataclasses.asdict`, after JSON."""
        made: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        for split in ("valid", "test", "deployed_valid", "deployed_test"):
            found = fields.get(split)
            made[split] = None if found is None else Scores(**found)
        return cls(**made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A shortlist that was trained and profiled.

    Parameters
    ----------
    problem, run_hash, objectives
        What was searched: the problem's id, a hash of the run's values, and what the searcher saw.
    networks
        The shortlist.
    trained
        Every training, network by network, seed by seed.
    profile
        Costs of the networks, in their order.
    dataset, images_sha256, n_images
        What they were trained on: name, fingerprint, and numbers of images by split.
    recipe, skeleton, seeds
        How.
    as_predicted
        Skeleton whose latency the problem predicts, where known.
    device
        torch device of the trainings.
    engine
        What trained.
    """

    problem: str
    run_hash: str
    objectives: tuple[Objective, ...]
    networks: tuple[Chosen, ...]
    trained: tuple[Trained, ...]
    profile: Profile
    dataset: str
    images_sha256: str
    n_images: Mapping[str, int]
    recipe: Recipe
    skeleton: Skeleton
    as_predicted: Skeleton | None
    seeds: tuple[int, ...]
    device: str
    engine: Engine = "torch"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One training for one process."""

    arch: str
    seed: int
    dataset: Dataset
    images_sha256: str
    recipe: Recipe
    device: str
    engine: Engine
    file: Path
    precision: str = "fp32"

    @property
    def checkpoint(self) -> Path:
        """Where the training stands while it is not finished."""
        return self.file.parent / CHECKPOINTS / f"{self.file.stem}.ckpt"

    @property
    def model(self) -> Path:
        """Where the trained network is left as an ONNX model."""
        return self.file.parent.parent / NETWORKS / f"{self.file.stem}.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measurement:
    """The measurements of all networks, for one process."""

    archs: tuple[str, ...]
    skeleton: Skeleton
    as_predicted: Skeleton | None
    target: Target
    calibration: NDArray[np.float32] | None
    work: Path


def validate(
    run: SearchedRun,
    networks: Sequence[Chosen],
    *,
    dataset: Dataset,
    out: Path,
    recipe: Recipe | None = None,
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    engine: str = "torch",
    n_processes: int = 1,
    scheduler: str | None = None,
    target: Target | None = None,
    progress: Progress | None = None,
) -> Study:
    """Train and profile the networks of a shortlist; go on where an earlier call was interrupted.

    Parameters
    ----------
    run, networks
        A run over NAS-Bench-201, and networks of it, as of :func:`.choose`.
    dataset
        Images to train on.
    out
        Folder; finished and unfinished work is kept in ``out/work``, trained networks in ``out/networks`` as ONNX
        models.
    recipe
        How to train; by default the image set's.
    seeds
        Of weights and order of images: one training of each network for each.
    device
        torch device.
    engine
        What trains: ``"torch"``, or ``"native"`` (:class:`nasbench_mo.training.native.NativeTrainer`), on a processor
        three times as fast for small networks.
    n_processes, scheduler
        Local processes with one thread each, or a Dask cluster (see :class:`nasbench_mo.cluster.Executor`), whose
        workers must see the image files and ``out``, where their checkpoints are. When all trainings are done, one of
        the workers measures all networks, so the device is that worker's.
    target
        Where and how the networks are measured; by default on ``device``. A device behind SSH is reached from here.
        Trainings do not depend on it but for its precision: given again with another one, they are kept.
    progress
        Called after every training, and while latency is measured.

    Raises
    ------
    SpecError
        The space has no trainable networks, the images do not fit the network, there is no such device, or another
        study was begun in the folder.
    ArtifactError
        A file in the folder is damaged, or the images are others.
    """
    problem = run.problem
    if problem.space.name != "nb201":
        raise SpecError(
            f"there are trainable networks for the space nb201; the run searched {problem.space.name!r} "
            f"(problem {problem.id!r}), whose networks cannot be trained here"
        )
    trains = engine_named(engine)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise SpecError(f"expected different seeds of at least 0, got {list(seeds)}")
    check_engine(trains, device=device)
    target = target or Target(device=device)
    if scheduler is None or target.remote:
        target.bench()  # every error about the device comes before the first training
    images = dataset.read()  # every error about images comes before the first training
    recipe = recipe or dataset.recipe
    skeleton = check_image_size(images, recipe=recipe)
    identity = _identity(run, networks, images=images, recipe=recipe, seeds=seeds, device=device.partition(":")[0])
    if trains != "torch":
        identity["engine"] = trains
    if target.precision != "fp32":
        identity["precision"] = target.precision
    archs = [network.arch for network in networks]
    with _opened(out.resolve() / WORK, identity=identity) as work:  # a worker may be in another folder
        jobs = [
            _Job(
                arch=arch,
                seed=seed,
                dataset=dataset,
                images_sha256=images.fingerprint,
                recipe=recipe,
                device=device,
                engine=trains,
                file=work / f"{int(nb201().code(arch)):05d}-seed{seed}.json",
                precision=target.precision,
            )
            for seed in seeds
            for arch in archs
        ]
        as_predicted = _predicted_skeleton(run.identity.objectives, skeleton=skeleton)
        drawn = recipe.images(images)
        measurement = _Measurement(
            archs=tuple(archs),
            skeleton=skeleton,
            as_predicted=as_predicted,
            target=target,
            calibration=calibration_images(drawn, statistics=channel_statistics(drawn.train))
            if target.precision == "int8"
            else None,
            work=work / TURNS,
        )
        with Executor(n_processes=n_processes, cluster=scheduler) as executor:
            trained = _train(jobs, executor=executor, progress=progress)
            elsewhere = executor if scheduler is not None and not target.remote else None
            costs = _profiled(measurement, path=work / _PROFILE, executor=elsewhere, progress=progress)
    return Study(
        problem=problem.id,
        run_hash=fingerprint(run),
        objectives=tuple(run.identity.objectives),
        networks=tuple(networks),
        trained=tuple(trained),
        profile=costs,
        dataset=images.name,
        images_sha256=images.fingerprint,
        n_images={name: len(getattr(drawn, name)) for name in ("train", "valid", "test")},
        recipe=recipe,
        skeleton=skeleton,
        as_predicted=as_predicted,
        seeds=tuple(seeds),
        device=device,
        engine=trains,
    )


def _identity(
    run: SearchedRun, networks: Sequence[Chosen], *, images: ImageSet, recipe: Recipe, seeds: Sequence[int], device: str
) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "run": fingerprint(run),
        "problem": run.identity.problem,
        "dataset": images.name,
        "images_sha256": images.fingerprint,
        "recipe": recipe.identity,
        "seeds": list(seeds),
        "device": device,
        "networks": [[network.arch, network.role] for network in networks],
    }


@contextlib.contextmanager
def _opened(work: Path, *, identity: dict[str, Any]) -> Iterator[Path]:
    """The folder of one study, locked."""
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SpecError(f"another validation works in {work}; wait for it, or give this one another --out") from None
    try:
        path = work / _IDENTITY
        if not path.is_file():
            write_atomic(path, (json.dumps(identity, indent=1) + "\n").encode())
        elif (begun := _read_json(path)) != identity:
            begun = begun if isinstance(begun, dict) else {}
            changed = next((k for k in identity if begun.get(k) != identity[k]), "format")
            raise SpecError(
                f"{work.parent} holds another study: its {changed} was {_short(begun.get(changed))} and is now "
                f"{_short(identity.get(changed))}; give this one another --out, or repeat the command that began it"
            )
        yield work
    finally:
        lock.release()


def _train(jobs: Sequence[_Job], *, executor: Executor, progress: Progress | None) -> list[Trained]:
    """Every job once; finished ones are read."""
    found: dict[Path, Trained] = {}
    for job in jobs:
        if job.file.is_file():
            done = _read_training(job.file)
            if done.failure is None:
                found[job.file] = done
    missing = [job for job in jobs if job.file not in found]
    unwritten: dict[Path, Trained] = {}
    if progress is not None:
        progress("training", len(found), len(jobs))
    for outcome in executor.as_completed(_run_job, missing):
        job = missing[outcome.index]
        if outcome.error is not None and not isinstance(outcome.error, FAILURES):
            raise outcome.error
        done = outcome.value or Trained(
            arch=job.arch, seed=job.seed, failure=reason(outcome.error or RuntimeError()), environment=None
        )
        found[job.file] = done
        try:
            _keep(job, done)
        except OSError as error:  # a full disk: what is in memory is tried again in the end
            _log.warning("%s could not be written (%s); the other trainings go on", job.file, error.strerror)
            unwritten[job.file] = done
        if progress is not None:
            progress("training", len(found), len(jobs))
    for job in jobs:
        if job.file in unwritten:
            _keep_or_say(job, unwritten[job.file])
    return [found[job.file] for job in jobs]


def _keep(job: _Job, done: Trained) -> None:
    """Write what came of a training, and only then forget its checkpoint."""
    _write_training(job.file, done)
    if done.failure is None:
        job.checkpoint.unlink(missing_ok=True)


def _keep_or_say(job: _Job, done: Trained) -> None:
    try:
        _keep(job, done)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror}; make it possible to write there and give the same command again: trainings go on from "
            "their checkpoints",
            str(job.file),
        ) from error


def _run_job(job: _Job) -> Trained:
    """Train one network."""
    with one_thread():
        result, deployed = _continued(job)
    here = environment(job.device, engine=job.engine)
    return Trained.of(result, arch=job.arch, seed=job.seed, environment=here, deployed=deployed)


#: Scores on validation and test in another precision.
_Deployed = tuple[Scores | None, Scores | None]


def _continued(job: _Job) -> tuple[TrainingResult, _Deployed]:
    """Train from the checkpoint where there is one that can be used."""
    trainer = _trainer(job)
    try:
        return _train_network(trainer, job)
    except (ArtifactError, RunError) as error:
        if not job.checkpoint.exists():
            raise
        aside = job.checkpoint.with_suffix(".damaged")
        job.checkpoint.replace(aside)
        _log.warning("%s. It was set aside as %s, and the training starts over", error, aside.name)
        return _train_network(trainer, job)


def _train_network(trainer: Trainer | NativeTrainer, job: _Job) -> tuple[TrainingResult, _Deployed]:
    deployed: _Deployed = (None, None)

    def export(network: Any) -> None:
        nonlocal deployed
        skeleton = trainer.skeleton
        assert isinstance(skeleton, Skeleton)  # the space was checked
        write_atomic(job.model, trained_model(network, arch=job.arch, skeleton=skeleton))
        if job.precision in ("int8", "fp16"):
            deployed = scores_at(
                network,
                trainer.images,
                arch=job.arch,
                skeleton=skeleton,
                precision=job.precision,
                statistics=trainer.statistics,
            )

    result = trainer.train(job.arch, seed=job.seed, checkpoint=job.checkpoint, stop_when_diverged=True, keep=export)
    return result, deployed


_kept: dict[tuple[str, ...], Trainer | NativeTrainer] = {}


def _trainer(job: _Job) -> Trainer | NativeTrainer:
    """One trainer a process, with its images normalised once."""
    key = (job.images_sha256, repr(job.recipe), job.device, job.engine)
    if key not in _kept:
        _kept.clear()
        images = job.dataset.read()
        if images.fingerprint != job.images_sha256:
            raise ArtifactError(
                f"the images of {job.dataset.name!r} have the fingerprint {images.fingerprint} here; expected "
                f"{job.images_sha256}: this machine sees other files, or its NumPy draws another split"
            )
        if job.engine == "native":
            _kept[key] = NativeTrainer(images, recipe=job.recipe)
        else:
            _kept[key] = Trainer(images, recipe=job.recipe, device=job.device)
    return _kept[key]


def _profiled(wanted: _Measurement, *, path: Path, executor: Executor | None, progress: Progress | None) -> Profile:
    """Costs as an earlier call left them, or measured now: here, or by a worker where an executor is given."""
    key = {"networks": list(wanted.archs), "target": dataclasses.asdict(wanted.target)}
    found = _kept_profile(path, key=key) if path.is_file() else None
    if found is not None and not found.failures:
        return found
    if executor is None:
        made = _measured(wanted, progress=progress)
    else:
        (made,) = executor.ordered(_measured, [wanted])
    text = json.dumps({**key, "profile": made.to_dict()}, indent=1, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())
    return made


def _kept_profile(path: Path, *, key: Mapping[str, Any]) -> Profile | None:
    """What an earlier call measured; None where it was of other networks, or of another target."""
    fields = _read_json(path)
    if not isinstance(fields, dict) or {name: fields.get(name) for name in key} != key:
        return None
    try:
        return Profile.from_dict(fields["profile"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error!r}); delete it, and latency is measured again") from error


def _measured(wanted: _Measurement, progress: Progress | None = None) -> Profile:
    """Measure; what an earlier call, or another worker like this one, has measured is kept."""
    return profile(
        wanted.archs,
        skeleton=wanted.skeleton,
        as_predicted=wanted.as_predicted,
        target=wanted.target,
        calibration=wanted.calibration,
        work=wanted.work,
        progress=None if progress is None else lambda done, total: progress("latency", done, total),
    )


def _predicted_skeleton(objectives: Sequence[Objective], *, skeleton: Skeleton) -> Skeleton | None:
    """The networks whose latency a problem predicts, where it says so and they are others than those trained."""
    datasets = {o.dataset for o in objectives if o.name.startswith("latency") and o.dataset is not None}
    if len(datasets) != 1:
        return None
    try:
        found = Skeleton.for_dataset(str(datasets.pop()))
    except SpecError:
        return None
    return None if found == skeleton else found


def _write_training(path: Path, done: Trained) -> None:
    write_atomic(path, (json.dumps(dataclasses.asdict(done), indent=1, allow_nan=False) + "\n").encode())


def _read_training(path: Path) -> Trained:
    fields = _read_json(path)
    try:
        return Trained.from_dict(fields)
    except (LookupError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error!r}); delete it, and the network is trained again") from error


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except FormatError as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it, and what it held is made again") from error


def _finite(values: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(v if np.isfinite(v) else None for v in values)


def _short(value: object) -> str:
    return (value[:12] if isinstance(value, str) else json.dumps(value))[:120]
