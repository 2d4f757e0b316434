"""Train one network on one image set, the same way each time.

Everything random comes from one seed: initial weights and the order of images. On a CPU, with the same torch and the
same number of threads, the same seed gives the same bits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import DivergedError, SpecError, require
from nasbench_mo.hardware.workload.mobile import MobileSkeleton
from nasbench_mo.space import SearchSpace
from nasbench_mo.space import space as space_named
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.checkpoint import CheckpointFile, accelerators
from nasbench_mo.training.energy import Energy, EnergyMeter
from nasbench_mo.training.images import Images, ImageSet, subset
from nasbench_mo.training.metrics import Scores, scores
from nasbench_mo.training.network import build_network
from nasbench_mo.training.skeletons import final_size, network_skeleton

#: Small enough for the activations of one layer to stay in a core's cache.
EVALUATION_BATCH = 250
#: Pixels that a randomly cropped image is padded with on each side, as NAS-Bench-201 does.
CROP_PADDING = 4

Schedule = Literal["one-cycle", "cosine"]
Augmentation = Literal["none", "crop-flip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum, a learning-rate schedule, cross-entropy.

    Parameters
    ----------
    n_cells, channels
        Skeleton of NAS-Bench-201: cells in a stage, channels of the first stage. Other spaces do not read them.
    epochs, batch_size
        Passes over the training images, and images in a step.
    learning_rate
        Peak of the one-cycle schedule, beginning of the cosine.
    momentum, weight_decay
        Of SGD.
    schedule
        ``"one-cycle"`` (Smith & Topin, "Super-convergence", 2018; torch's defaults: warm-up over 30 %), or
        ``"cosine"`` from the learning rate to 0 (Loshchilov & Hutter, "SGDR", ICLR 2017, without restarts). Both move
        at every step.
    augmentation
        ``"none"``, or ``"crop-flip"``: each image is padded with four black pixels, cropped at random to its size, and
        mirrored every other time.
    mixed_precision
        Convolutions and products in half precision, weights in single: float16 with a scaled loss on a GPU, bfloat16
        on a CPU.
    n_train
        Training images that are drawn, each class's share kept; all by default.
    """

    n_cells: int = 1
    channels: int = 8
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "one-cycle"
    augmentation: Augmentation = "none"
    mixed_precision: bool = False
    n_train: int | None = None

    #: Fields that came later: a specification may leave them out, and an identity does where they have no effect.
    LATER: ClassVar[tuple[str, ...]] = ("schedule", "augmentation", "mixed_precision", "n_train")

    def __post_init__(self) -> None:
        for name in ("n_cells", "channels", "epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise SpecError(f"recipe: {name} must be positive, got {getattr(self, name)}")
        if self.n_train is not None and self.n_train < 1:
            raise SpecError(f"recipe: n_train must be positive, got {self.n_train}")
        for name, known in (("schedule", get_args(Schedule)), ("augmentation", get_args(Augmentation))):
            if getattr(self, name) not in known:
                raise SpecError(f"recipe: {name} is one of {', '.join(known)}; got {getattr(self, name)!r}")

    @property
    def identity(self) -> dict[str, Any]:
        """What trainings with this recipe have in common, of types that JSON has."""
        usual = {field.name: field.default for field in fields(self)}
        return {k: v for k, v in asdict(self).items() if k not in self.LATER or v != usual[k]}

    def images(self, images: ImageSet) -> ImageSet:
        """An image set with the training images that are drawn.

        Raises
        ------
        SpecError
            It has fewer.
        """
        if self.n_train is None:
            return images
        return replace(images, train=subset(images.train, n=self.n_train, seed=0))

    def skeleton(self, images: ImageSet) -> Skeleton:
        """The network around the cells for an image set."""
        return Skeleton(
            n_cells=self.n_cells,
            channels=self.channels,
            image_size=images.train.pixels.shape[1],
            image_channels=images.train.pixels.shape[3],
            n_classes=images.n_classes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What came of one training.

    Parameters
    ----------
    valid_error_percent, valid_loss, train_loss
        After each epoch, (epochs,); the training loss is the mean over its steps.
    valid, test
        Scores after the last epoch.
    train_seconds
        Seconds of the training steps alone: processor time on a CPU, so that other work on the machine does not count;
        wall time elsewhere.
    energy
        Of the whole training, or why it is not available.
    n_parameters
        Trainable parameters of the network that was trained.
    """

    valid_error_percent: NDArray[np.float64]
    valid_loss: NDArray[np.float64]
    train_loss: NDArray[np.float64]
    valid: Scores
    test: Scores
    train_seconds: float
    energy: Energy
    n_parameters: int


def train(
    arch: str,
    images: ImageSet,
    *,
    recipe: Recipe,
    seed: int,
    device: str = "cpu",
    space: str = "nb201",
    checkpoint: Path | None = None,
) -> TrainingResult:
    """Train the (pruned) network of an architecture. For many of them, keep a :class:`Trainer`.

    Parameters
    ----------
    arch
        Published string.
    images
        Training, validation and test images. The test images are looked at once, after the last epoch.
    recipe
        How.
    seed
        Of initial weights, order of images and what dropout drops.
    device
        torch device.
    space
        Of the architecture: one of those of :func:`~nasbench_mo.training.build_network`.
    checkpoint
        As in :meth:`Trainer.train`.

    Raises
    ------
    ArchitectureError
        The architecture is not in the space.
    UnknownNameError
        The networks of the space are not known.
    ArtifactError, RunError
        As in :meth:`Trainer.train`.
    MissingDependencyError
        torch is not installed.
    """
    trainer = Trainer(images, recipe=recipe, device=device, space=space)
    return trainer.train(arch, seed=seed, checkpoint=checkpoint)


class Trainer:
    """Trains one architecture after another on the same images, which are normalised once.

    Parameters
    ----------
    images, recipe, device, space
        As in :func:`train`.
    skeleton
        The network around what is searched. By default the recipe's for NAS-Bench-201, for other spaces the published
        one with the image set's classes.

    Raises
    ------
    UnknownNameError
        There is no such space, or its networks are not known.
    SpecError
        The last batch would be one image whose last tensors are one pixel.
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        recipe: Recipe,
        device: str = "cpu",
        space: str = "nb201",
        skeleton: Skeleton | MobileSkeleton | None = None,
    ) -> None:
        self.images = images = recipe.images(images)
        self.recipe = recipe
        self.device = device
        self.space = space_named(space)
        self.skeleton = skeleton or _skeleton(self.space, images, recipe=recipe)
        if len(images.train) % recipe.batch_size == 1 and final_size(self.skeleton) == 1:
            raise SpecError(
                f"the last of {len(images.train)} images is a batch of its own, and a batch normalisation needs more "
                f"than one value, but its tensors end at one pixel; take another batch_size than {recipe.batch_size}"
            )
        self.statistics = channel_statistics(images.train)
        self._train, self._valid, self._test = (
            prepared(split, statistics=self.statistics, device=device)
            for split in (images.train, images.valid, images.test)
        )

    def train(
        self,
        arch: str,
        *,
        seed: int,
        checkpoint: Path | None = None,
        stop_when_diverged: bool = False,
        keep: Callable[[Any], None] | None = None,
    ) -> TrainingResult:
        """Train the network of an architecture; see :func:`train`.

        Parameters
        ----------
        arch, seed
            As in :func:`train`.
        checkpoint
            File that holds the training after each epoch. Where it is there, the training goes on from it; on a CPU,
            with the same torch and number of threads, to the bits that it would have had without a break. It is kept
            at the end. Energy is not told where a training was continued. A checkpoint that cannot be written (a full
            disk) is warned of, and the training goes on: a later one may fit.
        stop_when_diverged
            End with an error after an epoch whose mean training loss is not finite.
        keep
            Called with the trained network before it is dropped.

        Raises
        ------
        DivergedError
            As asked for.
        ArtifactError
            The checkpoint is damaged, or no checkpoint.
        RunError
            The checkpoint is of another training.
        """
        torch = require("torch", extra="train")
        network = seeded_network(arch, skeleton=self.skeleton, seed=seed, space=self.space)
        network = network.to(device=self.device, memory_format=torch.channels_last)
        passes = _TorchPasses(self, network, seed=seed)
        stored = CheckpointFile(
            checkpoint,
            identity=self._identity(arch, seed=seed) if checkpoint else {},
            parts=passes.parts,
            device=self.device,
        )
        with _own_generators(self.device, seed=seed):
            result = follow(
                passes,
                stored,
                arch=arch,
                images=self.images,
                recipe=self.recipe,
                seed=seed,
                stop_when_diverged=stop_when_diverged,
            )
        if keep is not None:
            keep(network)
        return result

    def _identity(self, arch: str, *, seed: int) -> dict[str, str]:
        """What a checkpoint continues."""
        return {
            "space": self.space.name,
            "architecture": self.space.decode(self.space.encode([arch]))[0],
            "seed": str(seed),
            "recipe": repr(self.recipe),
            "skeleton": repr(self.skeleton),
            "images": self._fingerprint,
        }

    @cached_property
    def _fingerprint(self) -> str:
        return self.images.fingerprint


class Passes(Protocol):
    """One network on its images, whatever computes it."""

    @property
    def n_parameters(self) -> int:
        """Trainable parameters."""

    def epoch(self, epoch: int, order: NDArray[np.int64]) -> tuple[float, float]:
        """Train on all images in an order; the mean loss of the steps, and their seconds."""

    def predict(self, split: Literal["valid", "test"]) -> tuple[NDArray[np.int64], float]:
        """Classes (n,) and mean loss of a split."""


def follow(
    passes: Passes,
    stored: CheckpointFile,
    *,
    arch: str,
    images: ImageSet,
    recipe: Recipe,
    seed: int,
    stop_when_diverged: bool,
) -> TrainingResult:
    """Train a network from its beginning, or from its checkpoint, to its scores.

    Raises
    ------
    DivergedError, ArtifactError, RunError
        As in :meth:`Trainer.train`.
    """
    meter = EnergyMeter()
    seconds, finished = 0.0, 0
    curve: dict[str, list[float]] = {"train_loss": [], "valid_loss": [], "valid_error": []}
    if (done := stored.restore()) is not None:
        seconds, finished = done.seconds, done.epochs
        curve = {name: list(values) for name, values in done.curve.items()}
    meter.start()
    for epoch, order in enumerate(image_orders(recipe, n_images=len(images.train), seed=seed), start=1):
        if epoch <= finished:
            continue
        loss, spent = passes.epoch(epoch, order)
        seconds += spent
        curve["train_loss"].append(loss)
        if stop_when_diverged and not np.isfinite(loss):
            raise DivergedError(
                f"the training loss of {arch} with seed {seed} is {loss} after epoch {epoch} of {recipe.epochs}; "
                "expected a finite number: take a smaller learning rate"
            )
        predicted, loss = passes.predict("valid")
        curve["valid_loss"].append(loss)
        curve["valid_error"].append(float(100 * np.mean(predicted != images.valid.labels)))
        stored.save(epochs=epoch, seconds=seconds, curve=curve)
    energy = meter.stop()
    if finished == recipe.epochs:  # the checkpoint is of the last epoch
        predicted, _ = passes.predict("valid")
    tested, _ = passes.predict("test")
    if done is not None:
        energy = Energy(joules=None, why_not="the training was continued from a checkpoint")
    return TrainingResult(
        valid_error_percent=np.array(curve["valid_error"]),
        valid_loss=np.array(curve["valid_loss"]),
        train_loss=np.array(curve["train_loss"]),
        valid=scores(images.valid.labels, predicted, n_classes=images.n_classes),
        test=scores(images.test.labels, tested, n_classes=images.n_classes),
        train_seconds=seconds,
        energy=energy,
        n_parameters=passes.n_parameters,
    )


class _TorchPasses:
    """A torch network with its optimiser, on a trainer's images."""

    def __init__(self, trainer: Trainer, network: Any, *, seed: int) -> None:
        self._trainer = trainer
        self._network = network
        self._seed = seed
        recipe, self._n_images = trainer.recipe, len(trainer.images.train)
        self._optimiser, self._schedule = sgd(network.parameters(), recipe=recipe, n_images=self._n_images)
        self._scaler = loss_scaler(recipe, device=trainer.device)
        self._clock = time.process_time if trainer.device == "cpu" else time.perf_counter

    @property
    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts = {"network": self._network, "optimiser": self._optimiser, "schedule": self._schedule}
        return parts | ({"scaler": self._scaler} if self._scaler.is_enabled() else {})

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self._network.parameters())

    def epoch(self, epoch: int, order: NDArray[np.int64]) -> tuple[float, float]:
        torch = require("torch", extra="train")
        trainer = self._trainer
        began = self._clock()
        loss = _one_epoch(
            self._network,
            trainer._train,
            torch.from_numpy(order).to(trainer.device),
            optimiser=self._optimiser,
            schedule=self._schedule,
            recipe=trainer.recipe,
            scaler=self._scaler,
            augment=self._augmenter(epoch),
        )
        return loss, self._clock() - began

    def predict(self, split: Literal["valid", "test"]) -> tuple[NDArray[np.int64], float]:
        return _predict(self._network, {"valid": self._trainer._valid, "test": self._trainer._test}[split])

    def _augmenter(self, epoch: int) -> Augmenter | None:
        """What changes the images of an epoch: of a seed and an epoch the same, wherever a training was continued."""
        if self._trainer.recipe.augmentation == "none":
            return None
        crops = drawn_crops(seed=self._seed, epoch=epoch, n_images=self._n_images)
        return Augmenter(*crops, black=black_pixel(self._trainer.statistics), device=self._trainer.device)


def _skeleton(search_space: SearchSpace, images: ImageSet, *, recipe: Recipe) -> Any:
    """The skeleton for an image set where none is given."""
    if search_space.name == "nb201":
        return recipe.skeleton(images)
    _, size, _, channels = images.train.pixels.shape
    return network_skeleton(search_space.name, image_size=size, image_channels=channels, n_classes=images.n_classes)


def seeded_network(arch: str, *, skeleton: Any, seed: int, space: str | SearchSpace = "nb201") -> Any:
    """The network of an architecture with the initial weights of a seed; the global generator is left alone."""
    torch = require("torch", extra="train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(arch, space=space, skeleton=skeleton)


@contextlib.contextmanager
def _own_generators(device: str, *, seed: int) -> Iterator[None]:
    """What a network draws while it trains (dropout) comes from the seed; the global generators are left alone."""
    torch = require("torch", extra="train")
    with torch.random.fork_rng(devices=accelerators(device)):
        drawn = np.random.SeedSequence([seed, _DROPOUT_STREAM]).generate_state(1, np.uint64)
        torch.default_generator.manual_seed(int(drawn[0]))
        for accelerator in accelerators(device):
            with torch.cuda.device(accelerator):
                torch.cuda.manual_seed(int(drawn[0]))
        yield


def image_orders(recipe: Recipe, *, n_images: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """The order of the training images in each epoch: of a seed the same for every cell."""
    rng = np.random.default_rng([seed, _ORDER_STREAM])
    return (rng.permutation(n_images) for _ in range(recipe.epochs))


def sgd(parameters: Iterable[Any], *, recipe: Recipe, n_images: int) -> tuple[Any, Any]:
    """Optimiser and learning-rate schedule of a recipe."""
    torch = require("torch", extra="train")
    optimiser = torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    n_steps = recipe.epochs * -(-n_images // recipe.batch_size)
    if recipe.schedule == "cosine":
        return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=n_steps)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.learning_rate, total_steps=n_steps)
    return optimiser, schedule


#: Keeps the order of images apart from other uses of the same seed.
_ORDER_STREAM = 0x6F726465
#: Likewise what dropout drops.
_DROPOUT_STREAM = 0x64726F70
#: Likewise how images are cropped and mirrored.
_AUGMENTATION_STREAM = 0x61756765
#: A channel that is the same everywhere is not divided by 0.
_LEAST_DEVIATION = 1e-6


def loss_scaler(recipe: Recipe, *, device: str) -> Any:
    """What keeps float16 gradients from vanishing on a GPU; elsewhere it does nothing."""
    torch = require("torch", extra="train")
    kind = torch.device(device).type
    return torch.amp.GradScaler(kind, enabled=recipe.mixed_precision and kind == "cuda")


def _autocast(recipe: Recipe, *, device: str) -> contextlib.AbstractContextManager[Any]:
    """Half precision where a recipe asks for it and the operation bears it."""
    if not recipe.mixed_precision:
        return contextlib.nullcontext()
    torch = require("torch", extra="train")
    kind = torch.device(device).type
    mixed: contextlib.AbstractContextManager[Any] = torch.autocast(
        kind, dtype=torch.float16 if kind == "cuda" else torch.bfloat16
    )
    return mixed


class Augmenter:
    """Crops and mirrors the images of one epoch, as NAS-Bench-201 does.

    Parameters
    ----------
    corners, mirrored
        (n, 2) row and column of each crop in the padded image; (n,) whether it is mirrored.
    black
        (c,) value of a black pixel after normalisation, of the padding.
    device
        torch device of the images.
    """

    def __init__(
        self, corners: NDArray[np.int64], mirrored: NDArray[np.bool_], *, black: NDArray[np.float32], device: str
    ) -> None:
        torch = require("torch", extra="train")
        self._corner = torch.from_numpy(corners).to(device)
        self._mirrored = torch.from_numpy(mirrored).to(device)
        self._black = torch.from_numpy(black).to(device)

    def __call__(self, pixels: Any, batch: Any) -> Any:
        """Images (b, c, h, w) of all (n, c, h, w), given their indices (b,); channels last in memory."""
        torch = require("torch", extra="train")
        chosen = pixels[batch].permute(0, 2, 3, 1)
        n, height, width, channels = chosen.shape
        edge = 2 * CROP_PADDING
        padded = self._black.expand(n, height + edge, width + edge, channels).clone()
        padded[:, CROP_PADDING:-CROP_PADDING, CROP_PADDING:-CROP_PADDING] = chosen
        top, left = self._corner[batch].T
        rows = top[:, None] + torch.arange(height, device=pixels.device)
        columns = left[:, None] + torch.arange(width, device=pixels.device)
        columns = torch.where(self._mirrored[batch][:, None], columns.flip(1), columns)
        image = torch.arange(n, device=pixels.device)[:, None, None]
        return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def drawn_crops(*, seed: int, epoch: int, n_images: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Corners (n, 2) of an epoch's crops in the padded images, and whether each is mirrored, (n,)."""
    rng = np.random.default_rng([seed, _AUGMENTATION_STREAM, epoch])
    corners = rng.integers(0, 2 * CROP_PADDING + 1, (n_images, 2))
    return corners, rng.integers(0, 2, n_images).astype(bool)


def black_pixel(statistics: tuple[NDArray[np.float32], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Value of a black pixel after normalisation, (c,)."""
    mean, deviation = statistics
    black: NDArray[np.float32] = (-mean / np.maximum(deviation, _LEAST_DEVIATION)).astype(np.float32)
    return black


def channel_statistics(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel of the training images, (c,) each, in grey levels."""
    pixels = images.pixels.reshape(-1, images.pixels.shape[3]).astype(np.float64)
    return pixels.mean(axis=0).astype(np.float32), pixels.std(axis=0).astype(np.float32)


def normalised(images: Images, *, statistics: tuple[Any, Any]) -> NDArray[np.float32]:
    """Images (n, c, h, w) with channels of mean 0 and deviation 1, a view of channels that are last in memory."""
    mean, deviation = statistics
    values: NDArray[np.float32] = (images.pixels.astype(np.float32) - mean) / np.maximum(deviation, _LEAST_DEVIATION)
    return values.transpose(0, 3, 1, 2)


def prepared(images: Images, *, statistics: tuple[Any, Any], device: str) -> tuple[Any, Any]:
    """Normalised images (n, c, h, w), channels last in memory, and labels (n,) as tensors."""
    torch = require("torch", extra="train")
    pixels = torch.from_numpy(normalised(images, statistics=statistics))  # in memory the channels stay last
    return pixels.to(device), torch.from_numpy(images.labels).to(device)


def _one_epoch(
    network: Any,
    data: tuple[Any, Any],
    permutation: Any,
    *,
    optimiser: Any,
    schedule: Any,
    recipe: Recipe,
    scaler: Any,
    augment: Augmenter | None,
) -> float:
    """One pass over the training images; the mean loss of its steps."""
    torch = require("torch", extra="train")
    pixels, labels = data
    network.train()
    losses = []
    for batch in permutation.split(recipe.batch_size):
        optimiser.zero_grad(set_to_none=True)
        images = pixels[batch] if augment is None else augment(pixels, batch)
        with _autocast(recipe, device=pixels.device.type):
            loss = torch.nn.functional.cross_entropy(network(images), labels[batch])
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        schedule.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def _predict(network: Any, data: tuple[Any, Any]) -> tuple[NDArray[np.int64], float]:
    """Predicted classes (n,) and mean loss of one split."""
    torch = require("torch", extra="train")
    pixels, labels = data
    network.eval()
    predicted, total = [], 0.0
    with torch.inference_mode():
        for start in range(0, len(labels), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            logits = network(pixels[part])
            total += float(torch.nn.functional.cross_entropy(logits, labels[part], reduction="sum"))
            predicted.append(logits.argmax(dim=1).cpu().numpy())
    return np.concatenate(predicted), total / len(labels)
