"""Train one network on one image set, the same way each time.

Everything random comes from one seed: initial weights and the order of images. On a CPU, with the same torch and the
same number of threads, the same seed gives the same bits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError, require
from nasbench_mo.hardware.workload.mobile import MobileSkeleton
from nasbench_mo.space import SearchSpace
from nasbench_mo.space import space as space_named
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.checkpoint import CheckpointFile, accelerators
from nasbench_mo.training.energy import Energy, EnergyMeter
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.metrics import Scores, scores
from nasbench_mo.training.network import build_network
from nasbench_mo.training.skeletons import final_size, network_skeleton

#: Small enough for the activations of one layer to stay in a core's cache.
EVALUATION_BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum, one-cycle learning rate, cross-entropy.

    Smith & Topin, "Super-convergence", 2018, for the one-cycle schedule (torch's defaults: warm-up over 30 %).

    Parameters
    ----------
    n_cells, channels
        Skeleton of NAS-Bench-201: cells in a stage, channels of the first stage. Other spaces do not read them.
    epochs, batch_size
        Passes over the training images, and images in a step.
    learning_rate
        Peak of the one-cycle schedule.
    momentum, weight_decay
        Of SGD.
    """

    n_cells: int = 1
    channels: int = 8
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0 and name not in ("momentum", "weight_decay"):
                raise SpecError(f"recipe: {name} must be positive, got {value}")

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
        self.images = images
        self.recipe = recipe
        self.device = device
        self.space = space_named(space)
        self.skeleton = skeleton or _skeleton(self.space, images, recipe=recipe)
        if len(images.train) % recipe.batch_size == 1 and final_size(self.skeleton) == 1:
            raise SpecError(
                f"the last of {len(images.train)} images is a batch of its own, and a batch normalisation needs more "
                f"than one value, but its tensors end at one pixel; take another batch_size than {recipe.batch_size}"
            )
        statistics = channel_statistics(images.train)
        self._train, self._valid, self._test = (
            prepared(split, statistics=statistics, device=device) for split in (images.train, images.valid, images.test)
        )

    def train(self, arch: str, *, seed: int, checkpoint: Path | None = None) -> TrainingResult:
        """Train the network of an architecture; see :func:`train`.

        Parameters
        ----------
        arch, seed
            As in :func:`train`.
        checkpoint
            File that holds the training after each epoch. Where it is there, the training goes on from it; on a CPU,
            with the same torch and number of threads, to the bits that it would have had without a break. It is kept
            at the end. Energy is not told where a training was continued.

        Raises
        ------
        ArtifactError
            The checkpoint is damaged, or no checkpoint.
        RunError
            The checkpoint is of another training.
        """
        torch = require("torch", extra="train")
        meter = EnergyMeter()
        network = seeded_network(arch, skeleton=self.skeleton, seed=seed, space=self.space)
        network = network.to(device=self.device, memory_format=torch.channels_last)
        optimiser, schedule = sgd_one_cycle(network.parameters(), recipe=self.recipe, n_images=len(self.images.train))
        orders = image_orders(self.recipe, n_images=len(self.images.train), seed=seed)
        stored = CheckpointFile(
            checkpoint,
            identity=self._identity(arch, seed=seed) if checkpoint else {},
            parts={"network": network, "optimiser": optimiser, "schedule": schedule},
            device=self.device,
        )
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        seconds, finished = 0.0, 0
        curve: dict[str, list[float]] = {"train_loss": [], "valid_loss": [], "valid_error": []}
        with _own_generators(self.device, seed=seed):
            if (done := stored.restore()) is not None:
                seconds, finished = done.seconds, done.epochs
                curve = {name: list(values) for name, values in done.curve.items()}
            meter.start()
            for epoch, order in enumerate(orders, start=1):
                if epoch <= finished:
                    continue
                began = clock()
                permutation = torch.from_numpy(order).to(self.device)
                curve["train_loss"].append(
                    _one_epoch(
                        network, self._train, permutation, optimiser=optimiser, schedule=schedule, recipe=self.recipe
                    )
                )
                seconds += clock() - began
                predicted, loss = _predict(network, self._valid)
                curve["valid_loss"].append(loss)
                curve["valid_error"].append(float(100 * np.mean(predicted != self.images.valid.labels)))
                stored.save(epochs=epoch, seconds=seconds, curve=curve)
            energy = meter.stop()
            if finished == self.recipe.epochs:  # the checkpoint is of the last epoch
                predicted, _ = _predict(network, self._valid)
            tested, _ = _predict(network, self._test)
        if done is not None:
            energy = Energy(joules=None, why_not="the training was continued from a checkpoint")
        return TrainingResult(
            valid_error_percent=np.array(curve["valid_error"]),
            valid_loss=np.array(curve["valid_loss"]),
            train_loss=np.array(curve["train_loss"]),
            valid=scores(self.images.valid.labels, predicted, n_classes=self.images.n_classes),
            test=scores(self.images.test.labels, tested, n_classes=self.images.n_classes),
            train_seconds=seconds,
            energy=energy,
            n_parameters=sum(p.numel() for p in network.parameters()),
        )

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


def sgd_one_cycle(parameters: Iterable[Any], *, recipe: Recipe, n_images: int) -> tuple[Any, Any]:
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
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.learning_rate, total_steps=n_steps)
    return optimiser, schedule


#: Keeps the order of images apart from other uses of the same seed.
_ORDER_STREAM = 0x6F726465
#: Likewise what dropout drops.
_DROPOUT_STREAM = 0x64726F70


def channel_statistics(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel of the training images, (c,) each, in grey levels."""
    pixels = images.pixels.reshape(-1, images.pixels.shape[3]).astype(np.float64)
    return pixels.mean(axis=0).astype(np.float32), pixels.std(axis=0).astype(np.float32)


def prepared(images: Images, *, statistics: tuple[Any, Any], device: str) -> tuple[Any, Any]:
    """Normalised images (n, c, h, w), channels last in memory, and labels (n,) as tensors."""
    torch = require("torch", extra="train")
    mean, deviation = statistics
    normalised = (images.pixels.astype(np.float32) - mean) / np.maximum(deviation, 1e-6)
    pixels = torch.from_numpy(normalised).permute(0, 3, 1, 2)  # in memory the channels stay last
    return pixels.to(device), torch.from_numpy(images.labels).to(device)


def _one_epoch(
    network: Any, data: tuple[Any, Any], permutation: Any, *, optimiser: Any, schedule: Any, recipe: Recipe
) -> float:
    """One pass over the training images; the mean loss of its steps."""
    torch = require("torch", extra="train")
    pixels, labels = data
    network.train()
    losses = []
    for batch in permutation.split(recipe.batch_size):
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(pixels[batch]), labels[batch])
        loss.backward()
        optimiser.step()
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
