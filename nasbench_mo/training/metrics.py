"""Scores of a classifier from its confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores on one split, in percent.

    Parameters
    ----------
    error_percent
        Share of images with a wrong class.
    precision_percent, recall_percent, f1_percent
        Unweighted means over the classes that occur in the truth; a class that is never predicted has precision 0.
    """

    error_percent: float
    precision_percent: float
    recall_percent: float
    f1_percent: float


def scores(truth: NDArray[np.int64], predicted: NDArray[np.int64], *, n_classes: int) -> Scores:
    """Error and macro-averaged precision, recall and F1 of (n,) predicted classes.

    Raises
    ------
    SpecError
        There is no image, or the lengths differ.
    """
    if truth.shape != predicted.shape or truth.ndim != 1 or not truth.size:
        raise SpecError(f"expected two equally long vectors of classes, got {truth.shape} and {predicted.shape}")
    confusion = np.bincount(truth * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
    hits = np.diagonal(confusion).astype(np.float64)
    n_true, n_predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    occurs = n_true > 0
    recall = hits[occurs] / n_true[occurs]
    precision = hits[occurs] / np.maximum(n_predicted[occurs], 1)
    f1 = 2 * hits[occurs] / (n_true[occurs] + n_predicted[occurs])
    return Scores(
        error_percent=float(100 * (1 - hits.sum() / truth.size)),
        precision_percent=float(100 * precision.mean()),
        recall_percent=float(100 * recall.mean()),
        f1_percent=float(100 * f1.mean()),
    )
