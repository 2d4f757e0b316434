"""Train NAS-Bench-201 cells without torch: the same recipe in C++ (``native.cpp``).

Networks as small as those of our own tables keep a framework busy with everything but their products. The kernels here
keep the channels of a pixel in vector registers and come near a core's peak. Initial weights, order of images and
learning rates are those of :class:`~nasbench_mo.training.Trainer`. A training differs from torch's by rounding, which
a few hundred steps make large for one network and leave nothing of on average; compilers and vector lengths give the
same bits.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError, require
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import CONV1X1, CONV3X3, NB201, NONE, Skeleton
from nasbench_mo.training.checkpoint import CheckpointFile
from nasbench_mo.training.compiled import VERSION, library
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.network import build_network
from nasbench_mo.training.trainer import (
    CROP_PADDING,
    Recipe,
    TrainingResult,
    black_pixel,
    channel_statistics,
    drawn_crops,
    follow,
    normalised,
)

#: Channels of a first stage that there are kernels for.
CHANNELS = (8, 16)
_MAX_SEED = 2**32 - 1


class _Job(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in ("image_size", "image_channels", "n_classes", "n_cells", "channels", "batch")
        ),
        ("weight_decay", ctypes.c_float),
        ("operations", ctypes.c_int32 * 6),
    )


class NativeTrainer:
    """Trains one cell after another on the same images; see :class:`~nasbench_mo.training.Trainer`.

    Parameters
    ----------
    images, recipe
        As in :func:`nasbench_mo.training.train`.

    Raises
    ------
    SpecError
        The recipe mixes precisions, its first stage is not 8 or 16 channels wide, or the images are not of three
        channels and a multiple of 16 pixels.
    MissingDependencyError
        There is no C++ compiler, or it refuses the program.
    """

    device = "cpu"

    def __init__(self, images: ImageSet, *, recipe: Recipe) -> None:
        self.images = images = recipe.images(images)
        self.recipe = recipe
        self.skeleton = _checked(recipe.skeleton(images), recipe=recipe)
        self.statistics = channel_statistics(images.train)
        self._library = library()
        self.splits = {
            name: _prepared(getattr(images, name), statistics=self.statistics) for name in ("train", "valid", "test")
        }

    def train(
        self,
        arch: str,
        *,
        seed: int,
        checkpoint: Path | None = None,
        stop_when_diverged: bool = False,
        keep: Callable[[Any], None] | None = None,
    ) -> TrainingResult:
        """Train the (pruned) network of a cell.

        Parameters
        ----------
        arch
            Published string.
        seed
            Of initial weights and order of images, below 2**32.
        checkpoint, stop_when_diverged, keep
            As in :meth:`Trainer.train <nasbench_mo.training.Trainer.train>`; with the first and the last, torch must be
            installed: it writes the checkpoint, and what is kept is a torch network with the trained weights.

        Raises
        ------
        ArchitectureError
            It is not in the space.
        SpecError
            It has no input-output path: there is nothing to train.
        DivergedError, ArtifactError, RunError, MissingDependencyError
            As in :meth:`Trainer.train <nasbench_mo.training.Trainer.train>`.
        """
        network = self._network(_live(arch), seed=seed)
        stored = CheckpointFile(
            checkpoint,
            identity=self._identity(arch, seed=seed) if checkpoint else {},
            parts={"network": network},
            device=self.device,
        )
        with _generators_kept(checkpoint):
            result = follow(
                _NativePasses(self, network, seed=seed),
                stored,
                arch=arch,
                images=self.images,
                recipe=self.recipe,
                seed=seed,
                stop_when_diverged=stop_when_diverged,
            )
        if keep is not None:
            keep(network.module(arch, skeleton=self.skeleton))
        return result

    def gradients(self, arch: str, *, seed: int, n_images: int) -> tuple[float, NDArray[np.float32]]:
        """Loss of the first training images, at most a batch, with the initial weights.

        With it its gradients in the order of :func:`initial_weights`.
        """
        pixels, labels = self.splits["train"]
        return self._network(_live(arch), seed=seed).gradients(pixels[:n_images], labels[:n_images])

    def _network(self, cell: tuple[int, ...], *, seed: int) -> _NativeNetwork:
        skeleton = self.skeleton
        sizes = ("image_size", "image_channels", "n_classes", "n_cells", "channels")
        job = _Job(
            **{name: getattr(skeleton, name) for name in sizes},
            batch=self.recipe.batch_size,
            weight_decay=self.recipe.weight_decay,
            operations=(ctypes.c_int32 * 6)(*cell),
        )
        return _NativeNetwork(self._library, job, initial_weights(cell, skeleton=skeleton, seed=seed))

    def _identity(self, arch: str, *, seed: int) -> dict[str, str]:
        """What a checkpoint continues."""
        return {
            "engine": f"native {VERSION}",
            "architecture": arch,
            "seed": str(seed),
            "recipe": repr(self.recipe),
            "skeleton": repr(self.skeleton),
            "images": self._fingerprint,
        }

    @cached_property
    def _fingerprint(self) -> str:
        return self.images.fingerprint


class _NativePasses:
    """A network of the program, on a trainer's images."""

    def __init__(self, trainer: NativeTrainer, network: _NativeNetwork, *, seed: int) -> None:
        self._trainer = trainer
        self._network = network
        self._seed = seed
        self._n_images = len(trainer.images.train)
        self._rates, self._momenta = (
            values.reshape(trainer.recipe.epochs, -1)
            for values in learning_rates(trainer.recipe, n_images=self._n_images)
        )

    @property
    def n_parameters(self) -> int:
        return self._network.n_parameters

    def epoch(self, epoch: int, order: NDArray[np.int64]) -> tuple[float, float]:
        return self._network.epoch(
            *self._trainer.splits["train"],
            order=order,
            rates=self._rates[epoch - 1],
            momenta=self._momenta[epoch - 1],
            crops=self._crops(epoch),
        )

    def predict(self, split: Literal["valid", "test"]) -> tuple[NDArray[np.int64], float]:
        return self._network.predict(*self._trainer.splits[split])

    def _crops(self, epoch: int) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """Where each image of an epoch is cropped, and a black pixel."""
        if self._trainer.recipe.augmentation == "none":
            return None
        corners, mirrored = drawn_crops(seed=self._seed, epoch=epoch, n_images=self._n_images)
        moves = np.column_stack([corners - CROP_PADDING, mirrored]).astype(np.int32)
        return moves, black_pixel(self._trainer.statistics)


class _NativeNetwork:
    """One network in the compiled program's memory."""

    def __init__(self, program: Any, job: _Job, initial: NDArray[np.float32]) -> None:
        self._program = program
        self._handle = ctypes.c_void_p(program.nb201_new(ctypes.byref(job), *_pointers(initial)))
        if not self._handle:
            raise MemoryError(f"not enough memory to train with batches of {job.batch} images")
        counts = np.zeros(4, dtype=np.int64)
        program.nb201_counts(self._handle, *_pointers(counts))
        self._n_weights, self.n_parameters, self._n_state, self._n_trained = counts.tolist()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._program.nb201_free(self._handle)

    def epoch(
        self,
        pixels: NDArray[np.float32],
        labels: NDArray[np.int32],
        *,
        order: NDArray[np.int64],
        rates: NDArray[np.float32],
        momenta: NDArray[np.float32],
        crops: tuple[NDArray[np.int32], NDArray[np.float32]] | None,
    ) -> tuple[float, float]:
        """Mean loss of the steps, and seconds."""
        seconds = ctypes.c_double()
        order, rates, momenta = order.astype(np.int32), np.ascontiguousarray(rates), np.ascontiguousarray(momenta)
        loss = self._program.nb201_epoch(
            self._handle,
            *_pointers(pixels, labels, order),
            ctypes.c_int(len(order)),
            *_pointers(rates, momenta),
            *(_pointers(*crops) if crops else (None, None)),
            ctypes.byref(seconds),
        )
        return float(loss), seconds.value

    def predict(self, pixels: NDArray[np.float32], labels: NDArray[np.int32]) -> tuple[NDArray[np.int64], float]:
        """Classes (n,) and mean loss."""
        classes = np.zeros(len(labels), dtype=np.int32)
        loss = self._program.nb201_predict(
            self._handle, *_pointers(pixels, labels), ctypes.c_int(len(labels)), *_pointers(classes)
        )
        return classes.astype(np.int64), float(loss)

    def gradients(self, pixels: NDArray[np.float32], labels: NDArray[np.int32]) -> tuple[float, NDArray[np.float32]]:
        gradients = np.zeros(self._n_weights, dtype=np.float32)
        loss = self._program.nb201_gradients(
            self._handle, *_pointers(pixels, labels), ctypes.c_int(len(labels)), *_pointers(gradients)
        )
        return float(loss), gradients

    def state_dict(self) -> dict[str, Any]:
        """Everything that training goes on from, as torch stores it."""
        torch = require("torch", extra="train")
        values = np.zeros(self._n_state, dtype=np.float32)
        steps = self._program.nb201_state(self._handle, *_pointers(values))
        return {"values": torch.from_numpy(values), "steps": steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        values = np.ascontiguousarray(state["values"].numpy(), dtype=np.float32)
        if len(values) != self._n_state:
            raise ValueError(f"expected {self._n_state} numbers, got {len(values)}")
        self._program.nb201_restore(self._handle, *_pointers(values), ctypes.c_int64(state["steps"]))

    def module(self, arch: str, *, skeleton: Skeleton) -> Any:
        """The torch network with these weights."""
        torch = require("torch", extra="train")
        values = np.zeros(self._n_trained, dtype=np.float32)
        self._program.nb201_trained(self._handle, *_pointers(values))
        left = torch.from_numpy(values)
        module = build_network(arch, skeleton=skeleton)
        norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        targets = [p for p in module.parameters() if p.ndim == 4] + list(module.classifier.parameters())
        targets += [part for n in norms for part in (n.weight, n.bias, n.running_mean, n.running_var)]
        with torch.no_grad():
            for target in targets:
                part, left = left[: target.numel()], left[target.numel() :]
                target.copy_(part.reshape(target.shape))
        return module


def _generators_kept(checkpoint: Path | None) -> contextlib.AbstractContextManager[Any]:
    """A checkpoint brings back torch's generators, too; outside they are left alone."""
    if checkpoint is None:
        return contextlib.nullcontext()
    kept: contextlib.AbstractContextManager[Any] = require("torch", extra="train").random.fork_rng(devices=[])
    return kept


def initial_weights(cell: tuple[int, ...], *, skeleton: Skeleton, seed: int) -> NDArray[np.float32]:
    """The weights that ``torch.manual_seed(seed)`` and torch's modules begin with, without torch.

    Parameters
    ----------
    cell
        Six live operation codes.
    skeleton
        What stands around the cells.
    seed
        Below 2**32.

    Returns
    -------
    The convolutions, (out, in, k, k) each, in the order of the torch module's parameters; the classifier's weights and
    biases. All are uniform between -1 / sqrt(inputs of a sum) and that (He et al., ICCV 2015, as torch takes it), drawn
    from 24 bits of a Mersenne twister each. Normalisations begin with 1 and 0 and are not among them.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise SpecError(f"expected a seed from 0 to {_MAX_SEED}, got {seed}")
    shapes = list(_convolutions(cell, skeleton))
    width = skeleton.channels << (skeleton.n_stages - 1)
    sizes = [*map(math.prod, shapes), width * skeleton.n_classes, skeleton.n_classes]
    fans = [*(math.prod(shape[1:]) for shape in shapes), width, width]
    drawn = np.frombuffer(np.random.RandomState(seed).bytes(4 * sum(sizes)), dtype="<u4")
    uniform = (drawn & 0xFFFFFF) * 2.0**-24
    bounds = np.repeat([np.float32(np.sqrt(3.0) * (np.sqrt(1 / 3) / np.sqrt(fan))) for fan in fans], sizes)
    weights: NDArray[np.float32] = (uniform * (bounds + bounds) - bounds).astype(np.float32)
    return weights


def _convolutions(cell: tuple[int, ...], skeleton: Skeleton) -> Iterator[tuple[int, int, int, int]]:
    """Shapes (out, in, k, k) of a network's convolutions."""
    width = skeleton.channels
    yield width, skeleton.image_channels, 3, 3
    for stage in range(skeleton.n_stages):
        if stage:
            yield 2 * width, width, 3, 3
            yield 2 * width, 2 * width, 3, 3
            yield 2 * width, width, 1, 1
            width *= 2
        for _ in range(skeleton.n_cells):
            for op in cell:
                if op in (CONV1X1, CONV3X3):
                    kernel = {CONV1X1: 1, CONV3X3: 3}[op]
                    yield width, width, kernel, kernel


def learning_rates(recipe: Recipe, *, n_images: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Learning rate and momentum of each step, (steps,) each, as torch's schedules of a recipe have them."""
    n_steps = recipe.epochs * -(-n_images // recipe.batch_size)
    step, peak = np.arange(n_steps), recipe.learning_rate
    if recipe.schedule == "cosine":
        rates = peak * (1 + np.cos(np.pi * step / n_steps)) / 2
        return rates.astype(np.float32), np.full(n_steps, recipe.momentum, dtype=np.float32)
    warm = 0.3 * n_steps - 1
    rising = step <= warm
    share = np.where(rising, step / warm, (step - warm) / (n_steps - 1 - warm))
    bend = (1 + np.cos(np.pi * share)) / 2  # from 1 to 0
    low, lowest = peak / 25, peak / 25 / 1e4
    rates = np.where(rising, peak + (low - peak) * bend, lowest + (peak - lowest) * bend)
    momenta = np.where(rising, 0.85 + (0.95 - 0.85) * bend, 0.95 + (0.85 - 0.95) * bend)
    return rates.astype(np.float32), momenta.astype(np.float32)


def _live(arch: str) -> tuple[int, ...]:
    """The live operations of a cell with an input-output path."""
    nb201 = space("nb201")
    assert isinstance(nb201, NB201)
    live = tuple(nb201.live(nb201.encode([arch]))[0].tolist())
    if all(op == NONE for op in live):
        raise SpecError(f"expected a cell with an input-output path, got {arch}: there is nothing to train")
    return live


def _checked(skeleton: Skeleton, *, recipe: Recipe) -> Skeleton:
    if recipe.mixed_precision:
        raise SpecError(f"the native trainer knows single precision; expected no mixed_precision, got {recipe}")
    if skeleton.channels not in CHANNELS:
        raise SpecError(f"the native trainer has kernels for {CHANNELS} channels, got {skeleton.channels}")
    if skeleton.image_channels != 3 or skeleton.image_size % 16:
        raise SpecError(
            "the native trainer takes images of three channels and a multiple of 16 pixels a side, got "
            f"{skeleton.image_channels} and {skeleton.image_size}"
        )
    return skeleton


def _prepared(images: Images, *, statistics: tuple[Any, Any]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Normalised images (n, h, w, c) and labels (n,)."""
    pixels = np.ascontiguousarray(normalised(images, statistics=statistics).transpose(0, 2, 3, 1), dtype=np.float32)
    return pixels, images.labels.astype(np.int32)


def _pointers(*arrays: NDArray[Any]) -> list[ctypes.c_void_p]:
    return [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
