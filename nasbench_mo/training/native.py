"""Train NAS-Bench-201 cells without torch: the same recipe in C++ (``native.cpp``).

Networks as small as those of our own tables keep a framework busy with everything but their products. The kernels here
keep the channels of a pixel in vector registers and come near a core's peak. Initial weights, order of images and
learning rates are those of :class:`~nasbench_mo.training.Trainer`. A training differs from torch's by rounding, which
a few hundred steps make as large as another seed does; among processors and vector lengths the bits are the same.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import CONV1X1, CONV3X3, NB201, NONE, Skeleton
from nasbench_mo.training.compiled import library
from nasbench_mo.training.energy import EnergyMeter
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.metrics import scores
from nasbench_mo.training.trainer import Recipe, TrainingResult, channel_statistics, image_orders, normalised

#: Channels of a first stage that there are kernels for.
CHANNELS = (8, 16)
_MAX_SEED = 2**32 - 1


class _Job(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in (
                *("image_size", "image_channels", "n_classes", "n_cells", "channels", "batch", "epochs"),
                *("n_train", "n_valid", "n_test"),
            )
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
        The recipe changes images or mixes precisions, its first stage is not 8 or 16 channels wide, or the images are
        not of three channels and a multiple of 16 pixels.
    MissingDependencyError
        There is no C++ compiler, or it refuses the program.
    """

    def __init__(self, images: ImageSet, *, recipe: Recipe) -> None:
        self.images = images = recipe.images(images)
        self.recipe = recipe
        self.skeleton = _checked(recipe.skeleton(images), recipe=recipe)
        self._library = library()
        statistics = channel_statistics(images.train)
        self._splits = [_prepared(split, statistics=statistics) for split in (images.train, images.valid, images.test)]

    def train(self, arch: str, *, seed: int) -> TrainingResult:
        """Train the (pruned) network of a cell.

        Parameters
        ----------
        arch
            Published string.
        seed
            Of initial weights and order of images, below 2**32.

        Raises
        ------
        ArchitectureError
            It is not in the space.
        SpecError
            It has no input-output path: there is nothing to train.
        """
        cell = _live(arch)
        meter = EnergyMeter()
        job = self._job(cell)
        (train, train_labels), (valid, valid_labels), (test, test_labels) = self._splits
        initial = initial_weights(cell, skeleton=self.skeleton, seed=seed)
        rates, momenta = learning_rates(self.recipe, n_images=len(train))
        orders = np.concatenate(list(image_orders(self.recipe, n_images=len(train), seed=seed))).astype(np.int32)
        epochs = self.recipe.epochs
        train_loss, valid_loss = np.zeros(epochs), np.zeros(epochs)
        classes = np.zeros((epochs, len(valid)), dtype=np.int32)
        tested = np.zeros(len(test), dtype=np.int32)
        seconds = ctypes.c_double()
        meter.start()
        failed = self._library.nb201_train(
            ctypes.byref(job),
            *_pointers(initial, rates, momenta, orders),
            *_pointers(train, train_labels, valid, valid_labels, test, test_labels),
            *_pointers(train_loss, valid_loss, classes, tested),
            ctypes.byref(seconds),
        )
        if failed:
            raise MemoryError(f"not enough memory to train {arch} with batches of {self.recipe.batch_size} images")
        energy = meter.stop()
        n_classes = self.images.n_classes
        return TrainingResult(
            valid_error_percent=100 * (classes != valid_labels).mean(axis=1),
            valid_loss=valid_loss,
            train_loss=train_loss,
            valid=scores(self.images.valid.labels, classes[-1].astype(np.int64), n_classes=n_classes),
            test=scores(self.images.test.labels, tested.astype(np.int64), n_classes=n_classes),
            train_seconds=seconds.value,
            energy=energy,
            n_parameters=int(self._counts(job)[1]),
        )

    def gradients(self, arch: str, *, seed: int, n_images: int) -> tuple[float, NDArray[np.float32]]:
        """Loss of the first training images with the initial weights, and its gradients in the order of
        :func:`initial_weights`."""
        cell = _live(arch)
        job = self._job(cell)
        job.batch = n_images
        initial = initial_weights(cell, skeleton=self.skeleton, seed=seed)
        gradients = np.zeros_like(initial)
        pixels, labels = self._splits[0]
        loss = self._library.nb201_gradients(
            ctypes.byref(job), *_pointers(initial, pixels[:n_images], labels[:n_images], gradients)
        )
        return float(loss), gradients

    def _job(self, cell: tuple[int, ...]) -> _Job:
        recipe, images, skeleton = self.recipe, self.images, self.skeleton
        return _Job(
            image_size=skeleton.image_size,
            image_channels=skeleton.image_channels,
            n_classes=skeleton.n_classes,
            n_cells=skeleton.n_cells,
            channels=skeleton.channels,
            batch=recipe.batch_size,
            epochs=recipe.epochs,
            n_train=len(images.train),
            n_valid=len(images.valid),
            n_test=len(images.test),
            weight_decay=recipe.weight_decay,
            operations=(ctypes.c_int32 * 6)(*cell),
        )

    def _counts(self, job: _Job) -> NDArray[np.int64]:
        counts = np.zeros(2, dtype=np.int64)
        self._library.nb201_counts(ctypes.byref(job), *_pointers(counts))
        return counts


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
    if recipe.augmentation != "none" or recipe.mixed_precision:
        raise SpecError(
            "the native trainer takes unchanged images and single precision; expected a recipe with augmentation "
            f"'none' and no mixed_precision, got {recipe}"
        )
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
