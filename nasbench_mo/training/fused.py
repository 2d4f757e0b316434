"""Train many cells of one skeleton at once, with the curves that each would have had alone.

Small networks leave a GPU idle. Side by side they share the images, one optimiser step and each kernel launch; what a
network computes is the same up to rounding, because none sees another and the seed gives all of them the same images in
the same order, as :class:`~nasbench_mo.training.Trainer` does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError, require
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.training.energy import Energy
from nasbench_mo.training.images import ImageSet
from nasbench_mo.training.metrics import scores
from nasbench_mo.training.trainer import (
    EVALUATION_BATCH,
    Recipe,
    TrainingResult,
    channel_statistics,
    image_orders,
    prepared,
    seeded_network,
    sgd,
)


class FusedTrainer:
    """Trains lists of cells at once; :class:`~nasbench_mo.training.Trainer` trains one.

    Parameters
    ----------
    images, recipe, device
        As in :func:`nasbench_mo.training.train`.

    Notes
    -----
    The seconds of a result are its share of the seconds of all, and energy is not told apart: it is not available.

    Raises
    ------
    SpecError
        The recipe changes images or mixes precisions.
    """

    def __init__(self, images: ImageSet, *, recipe: Recipe, device: str = "cpu") -> None:
        if recipe.augmentation != "none" or recipe.mixed_precision:
            raise SpecError(
                "many networks at once are trained on unchanged images in single precision; expected a recipe with "
                f"augmentation 'none' and no mixed_precision, got {recipe}"
            )
        self.images = images = recipe.images(images)
        self.recipe = recipe
        self.device = device
        statistics = channel_statistics(images.train)
        self._train, self._valid, self._test = (
            prepared(split, statistics=statistics, device=device) for split in (images.train, images.valid, images.test)
        )

    def train(self, cells: Sequence[str], *, seed: int) -> list[TrainingResult]:
        """Train the networks of some cells, each as :func:`nasbench_mo.training.train` would.

        Raises
        ------
        ArchitectureError
            A cell is not in the space.
        SpecError
            There is no cell, or one has no input-output path: there is nothing to train.
        """
        torch = require("torch", extra="train")
        network, sizes = self._network(cells, seed=seed)
        n_images = len(self.images.train)
        optimiser, schedule = sgd(network.parameters(), recipe=self.recipe, n_images=n_images)
        curves: dict[str, list[NDArray[np.float64]]] = {"train_loss": [], "valid_loss": [], "valid_error": []}
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        seconds = 0.0
        for order in image_orders(self.recipe, n_images=n_images, seed=seed):
            began = clock()
            permutation = torch.from_numpy(order).to(self.device)
            curves["train_loss"].append(self._one_epoch(network, permutation, optimiser, schedule))
            seconds += clock() - began
            predicted, loss = self._predict(network, self._valid)
            curves["valid_loss"].append(loss)
            curves["valid_error"].append(100 * (predicted != self.images.valid.labels[:, None]).mean(axis=0))
        tested, _ = self._predict(network, self._test)
        stacked = {name: np.stack(rows) for name, rows in curves.items()}
        return [
            TrainingResult(
                valid_error_percent=stacked["valid_error"][:, i],
                valid_loss=stacked["valid_loss"][:, i],
                train_loss=stacked["train_loss"][:, i],
                valid=scores(self.images.valid.labels, predicted[:, i], n_classes=self.images.n_classes),
                test=scores(self.images.test.labels, tested[:, i], n_classes=self.images.n_classes),
                train_seconds=seconds / len(cells),
                energy=Energy(joules=None, why_not="many networks were trained at once"),
                n_parameters=n_parameters,
            )
            for i, n_parameters in enumerate(sizes)
        ]

    def _network(self, cells: Sequence[str], *, seed: int) -> tuple[Any, list[int]]:
        """The networks side by side, and the number of parameters of each."""
        from nasbench_mo.training import _torch_fused

        nb201 = space("nb201")
        assert isinstance(nb201, NB201)
        X = nb201.live(nb201.encode(list(cells)))
        if not len(X) or nb201.degenerate(X).any():
            raise SpecError("expected cells with an input-output path, at least one")
        skeleton = self.recipe.skeleton(self.images)
        singles = [seeded_network(cell, skeleton=skeleton, seed=seed) for cell in cells]
        sizes = [sum(p.numel() for p in single.parameters()) for single in singles]
        fused = _torch_fused.FusedNetworks(singles, [tuple(x) for x in X.tolist()], skeleton)
        return fused.to(self.device), sizes

    def _one_epoch(self, network: Any, permutation: Any, optimiser: Any, schedule: Any) -> NDArray[np.float64]:
        """One pass over the training images; the mean losses of its steps, (k,)."""
        torch = require("torch", extra="train")
        pixels, labels = self._train
        network.train()
        losses = []
        for batch in permutation.split(self.recipe.batch_size):
            optimiser.zero_grad(set_to_none=True)
            loss = self._losses(network(pixels[batch]), labels[batch], reduction="mean")
            loss.sum().backward()  # the gradient of each network is that of its own loss
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        means: NDArray[np.float64] = torch.stack(losses).mean(dim=0).double().cpu().numpy()
        return means

    def _predict(self, network: Any, data: tuple[Any, Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predicted classes (n, k) and mean losses (k,) of one split."""
        torch = require("torch", extra="train")
        pixels, labels = data
        network.eval()
        predicted, total = [], np.zeros(network.k)
        with torch.inference_mode():
            for start in range(0, len(labels), EVALUATION_BATCH):
                part = slice(start, start + EVALUATION_BATCH)
                logits = network(pixels[part])
                total += self._losses(logits, labels[part], reduction="sum").double().cpu().numpy()
                predicted.append(logits.argmax(dim=2).cpu().numpy())
        return np.concatenate(predicted), total / len(labels)

    @staticmethod
    def _losses(logits: Any, labels: Any, *, reduction: str) -> Any:
        """Cross-entropies (k,) of logits (b, k, classes), summed or averaged over the images."""
        torch = require("torch", extra="train")
        each = torch.nn.functional.cross_entropy(
            logits.permute(0, 2, 1), labels[:, None].expand(-1, logits.shape[1]), reduction="none"
        )
        return each.mean(dim=0) if reduction == "mean" else each.sum(dim=0)
