"""Train one network on one image set, the same way each time.

Everything random comes from one seed: initial weights and the order of images. On a CPU, with the same torch and the
same number of threads, the same seed gives the same bits.
"""

from __future__ import annotations

import time
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

_EVALUATION_BATCH = 1000


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
        Wall seconds of the training steps alone.
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
    """Train the (pruned) network of a NAS-Bench-201 cell.

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
    torch = require("torch", extra="train")
    meter = EnergyMeter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(cell, skeleton=recipe.skeleton(images)).to(device)
    order = np.random.default_rng([seed, _ORDER_STREAM])
    prepared = {
        name: _prepared(getattr(images, name), statistics=_statistics(images.train), device=device)
        for name in ("train", "valid", "test")
    }
    steps_per_epoch = -(-len(images.train) // recipe.batch_size)
    optimiser, schedule = _optimiser(network, recipe=recipe, n_steps=recipe.epochs * steps_per_epoch)
    seconds = 0.0
    curve: dict[str, list[float]] = {"train_loss": [], "valid_loss": [], "valid_error": []}
    meter.start()
    for _ in range(recipe.epochs):
        began = time.perf_counter()
        permutation = torch.from_numpy(order.permutation(len(images.train))).to(device)
        curve["train_loss"].append(
            _one_epoch(network, prepared["train"], permutation, optimiser=optimiser, schedule=schedule, recipe=recipe)
        )
        seconds += time.perf_counter() - began
        predicted, loss = _predict(network, prepared["valid"])
        curve["valid_loss"].append(loss)
        curve["valid_error"].append(float(100 * np.mean(predicted != images.valid.labels)))
    energy = meter.stop()
    tested, _ = _predict(network, prepared["test"])
    return TrainingResult(
        valid_error_percent=np.array(curve["valid_error"]),
        valid_loss=np.array(curve["valid_loss"]),
        train_loss=np.array(curve["train_loss"]),
        valid=scores(images.valid.labels, predicted, n_classes=images.n_classes),
        test=scores(images.test.labels, tested, n_classes=images.n_classes),
        train_seconds=seconds,
        energy=energy,
        n_parameters=sum(p.numel() for p in network.parameters()),
    )


#: Keeps the order of images apart from other uses of the same seed.
_ORDER_STREAM = 0x6F726465


def _statistics(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel of the training images, (c,) each, in grey levels."""
    pixels = images.pixels.reshape(-1, images.pixels.shape[3]).astype(np.float64)
    return pixels.mean(axis=0).astype(np.float32), pixels.std(axis=0).astype(np.float32)


def _prepared(images: Images, *, statistics: tuple[Any, Any], device: str) -> tuple[Any, Any]:
    """Normalised images (n, c, h, w) and labels (n,) as tensors."""
    torch = require("torch", extra="train")
    mean, deviation = statistics
    normalised = (images.pixels.astype(np.float32) - mean) / np.maximum(deviation, 1e-6)
    pixels = torch.from_numpy(np.ascontiguousarray(normalised.transpose(0, 3, 1, 2)))
    return pixels.to(device), torch.from_numpy(images.labels).to(device)


def _optimiser(network: Any, *, recipe: Recipe, n_steps: int) -> tuple[Any, Any]:
    torch = require("torch", extra="train")
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.learning_rate, total_steps=n_steps)
    return optimiser, schedule


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
        for start in range(0, len(labels), _EVALUATION_BATCH):
            part = slice(start, start + _EVALUATION_BATCH)
            logits = network(pixels[part])
            total += float(torch.nn.functional.cross_entropy(logits, labels[part], reduction="sum"))
            predicted.append(logits.argmax(dim=1).cpu().numpy())
    return np.concatenate(predicted), total / len(labels)
