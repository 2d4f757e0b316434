"""Image sets for real training: arrays in memory, in three disjoint splits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.bounded import load_arrays
from nasbench_mo.errors import FormatError, SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Pixels and classes of one split.

    Parameters
    ----------
    pixels
        (n, h, w, c) uint8.
    labels
        (n,) classes.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Three disjoint splits of a classification task."""

    name: str
    n_classes: int
    train: Images
    valid: Images
    test: Images

    @property
    def fingerprint(self) -> str:
        """SHA-256 over pixels and labels of the three splits: part of the identity of every result."""
        digest = hashlib.sha256()
        for split in (self.train, self.valid, self.test):
            digest.update(np.ascontiguousarray(split.pixels).tobytes())
            digest.update(split.labels.astype("<i8").tobytes())
        return digest.hexdigest()


_PARTS = ("pixels", "labels")
_SPLITS = ("train", "valid", "test")


def read_arrays(path: Path, *, name: str) -> ImageSet:
    """Read images that are split already.

    Parameters
    ----------
    path
        NPZ file with ``{train,valid,test}_pixels``, (n, h, w, c) uint8, and ``{train,valid,test}_labels``, (n,).
    name
        Of the image set.

    Raises
    ------
    FormatError
        An array is missing, of another shape or type, or a class of validation or test is not trained.
    """
    try:
        arrays = load_arrays(path, [f"{split}_{part}" for split in _SPLITS for part in _PARTS], kinds="iuf")
    except (FormatError, OSError) as error:
        raise FormatError(
            f"{path}: expected an NPZ file with pixels and labels of train, valid and test; {error}"
        ) from error
    splits = {split: (arrays[f"{split}_pixels"], arrays[f"{split}_labels"]) for split in _SPLITS}
    shape = splits["train"][0].shape[1:]
    for split, (pixels, labels) in splits.items():
        of_one_shape = pixels.ndim == 4 and pixels.shape[1:] == shape and shape[0] == shape[1] and 0 not in shape
        if pixels.dtype != np.uint8 or not of_one_shape:
            raise FormatError(
                f"{path}: {split}_pixels must be square (n, h, w, c) uint8, got {pixels.shape} {pixels.dtype}"
            )
        if labels.shape != pixels.shape[:1] or labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0:
            raise FormatError(f"{path}: {split}_labels must be {len(pixels)} classes from 0, got {labels.shape}")
    known = set(splits["train"][1].tolist())
    for split in ("valid", "test"):
        unknown = set(splits[split][1].tolist()) - known
        if unknown:
            raise FormatError(f"{path}: class {min(unknown)} occurs in {split} but not in train")
    made = {k: Images(pixels=p, labels=y.astype(np.int64)) for k, (p, y) in splits.items()}
    return ImageSet(name=name, n_classes=max(known) + 1, **made)


def subset(images: Images, *, n: int, seed: int) -> Images:
    """n images drawn without replacement, classes in proportion to their numbers (largest remainders).

    Raises
    ------
    SpecError
        There are fewer than n images.
    """
    if not 1 <= n <= len(images):
        raise SpecError(f"cannot draw {n} of {len(images)} images")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(images))
    by_class = shuffled[np.argsort(images.labels[shuffled], kind="stable")]
    chosen = np.sort(by_class[(np.arange(n) * len(images)) // n])  # every k-th image of the class-sorted order
    return Images(pixels=images.pixels[chosen], labels=images.labels[chosen])
