"""Train one network on one image set, the same way each time.

Everything random comes from one seed: initial weights and the order of images. On a CPU, with the same torch and the
same number of threads, the same seed gives the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError, require
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.energy import Energy, EnergyMeter
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.metrics import Scores, scores
from nasbench_mo.training.network import build_network

#: Small enough for the activations of one layer to stay in a core's cache.
EVALUATION_BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum, one-cycle learning rate, cross-entropy.

    Smith & Topin, "Super-convergence", 2018, for the one-cycle schedule (torch's defaults: warm-up over 30 %).

    Parameters
    ----------
    n_cells, channels
        Skeleton: cells in a stage, channels of the first stage.
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


def train(cell: str, images: ImageSet, *, recipe: Recipe, seed: int, device: str = "cpu") -> TrainingResult:
    """Train the (pruned) network of a NAS-Bench-201 cell. For many cells, keep a :class:`Trainer`.

    Parameters
    ----------
    cell
        Published string.
    images
        Training, validation and test images. The test images are looked at once, after the last epoch.
    recipe
        How.
    seed
        Of initial weights and order of images.
    device
        torch device.

    Raises
    ------
    ArchitectureError
        The cell is not in the space.
    MissingDependencyError
        torch is not installed.
    """
    return Trainer(images, recipe=recipe, device=device).train(cell, seed=seed)


class Trainer:
    """Trains one cell after another on the same images, which are normalised once.

    Parameters
    ----------
    images, recipe, device
        As in :func:`train`.
    """

    def __init__(self, images: ImageSet, *, recipe: Recipe, device: str = "cpu") -> None:
        self.images = images
        self.recipe = recipe
        self.device = device
        statistics = channel_statistics(images.train)
        self._train, self._valid, self._test = (
            prepared(split, statistics=statistics, device=device) for split in (images.train, images.valid, images.test)
        )

    def train(self, cell: str, *, seed: int) -> TrainingResult:
        """Train the network of a cell; see :func:`train`."""
        torch = require("torch", extra="train")
        meter = EnergyMeter()
        network = seeded_network(cell, skeleton=self.recipe.skeleton(self.images), seed=seed)
        network = network.to(device=self.device, memory_format=torch.channels_last)
        optimiser, schedule = sgd_one_cycle(network.parameters(), recipe=self.recipe, n_images=len(self.images.train))
        orders = image_orders(self.recipe, n_images=len(self.images.train), seed=seed)
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        seconds = 0.0
        curve: dict[str, list[float]] = {"train_loss": [], "valid_loss": [], "valid_error": []}
        meter.start()
        for order in orders:
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
        energy = meter.stop()
        tested, _ = _predict(network, self._test)
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


def seeded_network(cell: str, *, skeleton: Skeleton, seed: int) -> Any:
    """The network of a cell with the initial weights of a seed; the global generator is left alone."""
    torch = require("torch", extra="train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(cell, skeleton=skeleton)


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
