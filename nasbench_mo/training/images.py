"""Image sets for real training: arrays in memory, split so that nothing leaks.

GTSRB (Stallkamp et al., Neural Networks 2012) holds about 30 nearly equal frames of each traffic sign, a *track*.
Training and validation are split by track, never by image.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.bounded import load_arrays
from nasbench_mo.errors import ArtifactError, FormatError, SpecError, require


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


#: The 32x32 WebP sheets of GTSRB: file to SHA-256.
GTSRB_FILES = {
    "gtsrb32_labels.npz": "bdf16b38f9e2648aa4c3aadbcee673abf94c8eccea73271a8442d78b1090b2b2",
    "gtsrb32_train.webp": "1d7b37a54e1f320cad47a6dad51fd84c88007680bccda3c70790c231d0da3936",
    "gtsrb32_test.webp": "e1a2e93cdcc00e9833f65499d9d82071c5da92333ce1b4484a12bc5269980910",
}
GTSRB_CLASSES = 43
_PARTS = ("pixels", "labels")
_SPLITS = ("train", "valid", "test")
_TILE = 32
_TILES_IN_ROW = 64


def read_gtsrb(folder: Path, *, image_size: int, valid_share: float, split_seed: int) -> ImageSet:
    """Read GTSRB from its sheets, reduced to smaller images.

    Parameters
    ----------
    folder
        Folder with the files of :data:`GTSRB_FILES`.
    image_size
        Side of the reduced images; a divisor of 32. Pixels are means over whole blocks.
    valid_share
        Share of each class's tracks that become validation; at least one track stays on either side.
    split_seed
        Chooses the tracks.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ArtifactError
        A file is another one: its SHA-256 differs.
    SpecError
        The size or the share is impossible.
    """
    if image_size < 1 or _TILE % image_size:
        raise SpecError(f"image_size must divide {_TILE}, got {image_size}")
    if not 0 < valid_share < 1:
        raise SpecError(f"valid_share must lie between 0 and 1, got {valid_share}")
    for name, expected in GTSRB_FILES.items():
        _check_hash(folder / name, expected=expected)
    arrays = load_arrays(folder / "gtsrb32_labels.npz", ("y_train", "track_train", "y_test"), kinds="iu")
    labels = {name: values.astype(np.int64) for name, values in arrays.items()}
    held = tracks_for_validation(
        labels["y_train"], labels["track_train"], valid_share=valid_share, split_seed=split_seed
    )
    pixels = _read_sheet(folder / "gtsrb32_train.webp", n=len(labels["y_train"]), image_size=image_size)
    test = _read_sheet(folder / "gtsrb32_test.webp", n=len(labels["y_test"]), image_size=image_size)
    return ImageSet(
        name=f"gtsrb{image_size}",
        n_classes=GTSRB_CLASSES,
        train=Images(pixels=pixels[~held], labels=labels["y_train"][~held]),
        valid=Images(pixels=pixels[held], labels=labels["y_train"][held]),
        test=Images(pixels=test, labels=labels["y_test"]),
    )


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


def tracks_for_validation(
    labels: NDArray[np.int64], tracks: NDArray[np.int64], *, valid_share: float, split_seed: int
) -> NDArray[np.bool_]:
    """Which images belong to validation, (n,): all of a track or none, the same share of tracks in every class."""
    rng = np.random.default_rng(split_seed)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        of_class = np.unique(tracks[labels == label])
        if len(of_class) < 2:
            raise SpecError(f"class {label} has {len(of_class)} track; two are needed to split by track")
        n_held = min(len(of_class) - 1, max(1, round(valid_share * len(of_class))))
        chosen = rng.permutation(of_class)[:n_held]
        held |= (labels == label) & np.isin(tracks, chosen)
    return held


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


def _check_hash(path: Path, *, expected: str) -> None:
    found = artifacts.sha256(path)
    if found != expected:
        raise ArtifactError(f"{path}: expected SHA-256 {expected}, got {found}; this is another image set")


def _read_sheet(path: Path, *, n: int, image_size: int) -> NDArray[np.uint8]:
    """(n, image_size, image_size, 3) images of a sheet of 32x32 tiles, 64 in a row."""
    pillow = require("PIL.Image", extra="train")
    with pillow.open(path) as picture:
        sheet = np.asarray(picture.convert("RGB"))
    rows, columns = sheet.shape[0] // _TILE, sheet.shape[1] // _TILE
    if columns != _TILES_IN_ROW or rows * columns < n:
        raise FormatError(f"{path}: expected {n} tiles of {_TILE}x{_TILE}, {_TILES_IN_ROW} in a row; got {sheet.shape}")
    tiles = (
        sheet[: rows * _TILE].reshape(rows, _TILE, columns, _TILE, 3).swapaxes(1, 2).reshape(-1, _TILE, _TILE, 3)[:n]
    )
    block = _TILE // image_size
    blocks = tiles.reshape(n, image_size, block, image_size, block, 3).astype(np.float32)
    reduced: NDArray[np.uint8] = np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return reduced
