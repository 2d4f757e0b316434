"""From finished trainings to the columns of a table: one row an architecture, one column a seed, an epoch, a score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArtifactError
from nasbench_mo.objective import Objective
from nasbench_mo.space.nb201 import NB201, Skeleton
from nasbench_mo.table import Column
from nasbench_mo.training.building import trained_codes
from nasbench_mo.training.images import ImageSet
from nasbench_mo.training.metrics import Scores, scores
from nasbench_mo.training.store import Training
from nasbench_mo.training.table_spec import TrainedTableSpec
from nasbench_mo.training.trainer import TrainingResult

#: Scores of a test split that become columns, and the direction in which each is better.
_TEST_SCORES = {"error": "min", "precision": "max", "recall": "max", "f1": "max"}


def training_columns(
    spec: TrainedTableSpec, trainings: Sequence[Training], *, search_space: NB201, images: ImageSet
) -> list[Column]:
    """Columns of every seed and their means, each with a value for all architectures in lexicographic order.

    Degenerate cells get the scores of the class that occurs most often in training, and no seconds of training.

    Raises
    ------
    ArtifactError
        A training is missing.
    """
    shared = trained_codes(search_space)
    columns: list[Column] = []
    for seed in spec.seeds:
        results = {t.code: t.result for t in trainings if t.seed == seed}
        lacking = sorted(set(shared[shared >= 0].tolist()) - set(results))
        if lacking:
            raise ArtifactError(f"{spec.id}: {len(lacking):,} trainings of seed {seed} are missing; build the table on")
        columns += _of_seed(spec, seed, results, shared=shared, images=images)
    return [*_means(spec, columns), *columns]


def size_columns(search_space: NB201, *, skeleton: Skeleton, dataset: str) -> list[Column]:
    """Parameters and multiply-accumulates of the pruned networks, in lexicographic order."""
    X = search_space.enumerate()
    counted = {
        "params": search_space.n_parameters(X, skeleton=skeleton, convention="live"),
        "macs": search_space.n_flops(X, skeleton=skeleton, convention="live"),
    }
    return [
        Column(
            objective=Objective(name=name, unit="count", kind="derived", dataset=dataset, convention="live"),
            values=values,
        )
        for name, values in counted.items()
    ]


def constant_scores(images: ImageSet, *, split: str) -> Scores:
    """Scores of a network that puts out the most frequent class of the training images, whatever it sees."""
    labels = getattr(images, split).labels
    most = int(np.bincount(images.train.labels, minlength=images.n_classes).argmax())
    return scores(labels, np.full(len(labels), most), n_classes=images.n_classes)


def _of_seed(
    spec: TrainedTableSpec,
    seed: int,
    results: dict[int, TrainingResult],
    *,
    shared: NDArray[np.int64],
    images: ImageSet,
) -> list[Column]:
    dataset, epochs = images.name, spec.recipe.epochs
    chance = {split: constant_scores(images, split=split) for split in ("valid", "test")}

    def spread(value: Callable[[TrainingResult], float], *, degenerate: float) -> NDArray[np.float32]:
        return np.array([degenerate if code < 0 else value(results[code]) for code in shared.tolist()], np.float32)

    def error_after(epoch: int) -> NDArray[np.float32]:
        return spread(lambda r: r.valid_error_percent[epoch - 1], degenerate=chance["valid"].error_percent)

    columns = [
        Column(
            objective=Objective(
                name=f"valid_error_ep{epoch}_s{seed}",
                unit="percent",
                kind="measured",
                dataset=dataset,
                split="valid",
                epochs=epoch,
                seed=seed,
            ),
            values=error_after(epoch),
        )
        for epoch in range(1, epochs + 1)
    ]
    for name, direction in _TEST_SCORES.items():
        field = f"{name}_percent"
        objective = Objective(
            name=f"test_{name}_s{seed}",
            unit="percent",
            kind="measured",
            direction="min" if direction == "min" else "max",
            dataset=dataset,
            split="test",
            epochs=epochs,
            seed=seed,
        )
        values = spread(lambda r, field=field: getattr(r.test, field), degenerate=getattr(chance["test"], field))  # type: ignore[misc]
        columns.append(Column(objective=objective, values=values))
    seconds = Objective(
        name=f"train_time_s{seed}",
        unit="s",
        kind="measured",
        dataset=dataset,
        epochs=epochs,
        seed=seed,
        note="processor time; 0 for degenerate cells, which are known without training",
    )
    columns.append(Column(objective=seconds, values=spread(lambda r: r.train_seconds, degenerate=0.0)))
    return columns


def _means(spec: TrainedTableSpec, columns: Sequence[Column]) -> list[Column]:
    """Means over the seeds of every quantity that the seeds have."""
    first = spec.seeds[0]
    means = []
    for column in columns:
        if column.objective.seed != first:
            continue
        stem = column.objective.name.removesuffix(f"_s{first}")
        of_seeds = [c.values for c in columns if c.objective.name in {f"{stem}_s{seed}" for seed in spec.seeds}]
        objective = dataclasses.replace(column.objective, name=f"{stem}_mean", kind="derived", seed="mean")
        means.append(
            Column(objective=objective, values=np.stack(of_seeds).astype(np.float64).mean(axis=0).astype(np.float32))
        )
    return means
