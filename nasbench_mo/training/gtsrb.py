"""German traffic signs (GTSRB): read from the official folders or from sheets of tiles, split by track.

GTSRB (Stallkamp et al., Neural Networks 2012) holds about 30 nearly equal frames of each traffic sign, a *track*.
Training and validation are split by track, never by image. Of each track the frames 4, 9, 14, ... are taken, 7,841 of
39,209 images, and all 12,630 official test images, each scaled to 32x32.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.bounded import load_arrays, read_text
from nasbench_mo.errors import ArtifactError, FormatError, SpecError, require
from nasbench_mo.training.images import Images, ImageSet

#: Sheets of 32x32 tiles, and labels: file to SHA-256.
GTSRB_FILES = {
    "gtsrb32_labels.npz": "bdf16b38f9e2648aa4c3aadbcee673abf94c8eccea73271a8442d78b1090b2b2",
    "gtsrb32_train.webp": "1d7b37a54e1f320cad47a6dad51fd84c88007680bccda3c70790c231d0da3936",
    "gtsrb32_test.webp": "e1a2e93cdcc00e9833f65499d9d82071c5da92333ce1b4484a12bc5269980910",
}
#: The official archives, unpacked into one folder.
OFFICIAL = ("Final_Training/Images", "Final_Test/Images")
#: The labels of the official test images.
TEST_LABELS = "GT-final_test.csv"
GTSRB_CLASSES = 43

_TILE = 32
_TILES_IN_ROW = 64
#: Of a track's 30 frames every fifth is taken: those whose number leaves this remainder.
_EVERY, _REMAINDER = 5, 4
_FRAME = re.compile(r"(?P<track>\d{5})_(?P<frame>\d{5})\.ppm")
_TEST_IMAGE = re.compile(r"\d{5}\.ppm")
#: No official image is wider or higher than 300 pixels; Pillow's own limit is far above.
_MAX_SIDE = 1_000


def read_gtsrb(folder: Path, *, image_size: int, valid_share: float, split_seed: int) -> ImageSet:
    """Read GTSRB, reduced to smaller images.

    Parameters
    ----------
    folder
        The unpacked official archives: a folder with those of :data:`OFFICIAL` and, in it or below ``Final_Test``, the
        file :data:`TEST_LABELS`; or a folder above, whose subfolder is called ``GTSRB``. Or the files of
        :data:`GTSRB_FILES`.
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
    ArtifactError, FormatError
        A file is another one: a sheet's SHA-256 differs, or a picture or label cannot be read.
    SpecError
        The size or the share is impossible.
    """
    if image_size < 1 or _TILE % image_size:
        raise SpecError(f"image_size must divide {_TILE}, got {image_size}")
    if not 0 < valid_share < 1:
        raise SpecError(f"valid_share must lie between 0 and 1, got {valid_share}")
    official = official_folder(folder)
    tiles, labels = _read_sheets(folder) if official is None else _read_official(official)
    held = tracks_for_validation(
        labels["y_train"], labels["track_train"], valid_share=valid_share, split_seed=split_seed
    )
    pixels, test = (_reduced(tiles[split], image_size=image_size) for split in ("train", "test"))
    return ImageSet(
        name=f"gtsrb{image_size}",
        n_classes=GTSRB_CLASSES,
        train=Images(pixels=pixels[~held], labels=labels["y_train"][~held]),
        valid=Images(pixels=pixels[held], labels=labels["y_train"][held]),
        test=Images(pixels=test, labels=labels["y_test"]),
    )


def official_folder(folder: Path) -> Path | None:
    """The folder of the unpacked official archives, this one or its subfolder ``GTSRB``; None where there is none."""
    for candidate in (folder, folder / "GTSRB"):
        if all((candidate / part).is_dir() for part in OFFICIAL):
            return candidate
    return None


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


def scaled(pixels: NDArray[np.uint8], *, size: int) -> NDArray[np.uint8]:
    """An (h, w, c) picture scaled to (size, size, c): bilinear between pixel centres, without anti-aliasing.

    In fixed-point arithmetic with the roundings of OpenCV's ``cv2.resize``, so that the pixels are the same.
    """
    h, w = pixels.shape[:2]
    wide = pixels.astype(np.int64)
    if h == w == 2 * size:  # OpenCV takes means of four pixels here
        corners = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
        return ((corners + 2) >> 2).astype(np.uint8)
    left, right, across = _neighbours(w, size=size, nearest_beyond=True)
    above, below, down = _neighbours(h, size=size, nearest_beyond=False)
    rows = (wide[:, left] * across[0, :, None] + wide[:, right] * across[1, :, None]) >> 4
    upper, lower = (rows[at] * weight[:, None, None] >> 16 for at, weight in zip((above, below), down, strict=True))
    mixed: NDArray[np.uint8] = ((upper + lower + 2) >> 2).astype(np.uint8)
    return mixed


def _neighbours(n: int, *, size: int, nearest_beyond: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The two old pixels beside each new one along an axis, (size,) each, and their weights in 1/2048, (2, size)."""
    centre = ((np.arange(size) + 0.5) * (1.0 / (size / n)) - 0.5).astype(np.float32)
    before = np.floor(centre).astype(np.int64)
    share = centre - before.astype(np.float32)
    if nearest_beyond:
        share[(before < 0) | (before >= n - 1)] = 0
    weights = np.rint(np.stack([1 - share, share]) * np.float32(2048)).astype(np.int64)
    return before.clip(0, n - 1), (before + 1).clip(0, n - 1), weights


def _read_official(folder: Path) -> tuple[dict[str, NDArray[np.uint8]], dict[str, NDArray[np.int64]]]:
    training, testing = (folder / part for part in OFFICIAL)
    frames = []
    for label in range(GTSRB_CLASSES):
        of_class = training / f"{label:05d}"
        if not of_class.is_dir():
            raise FileNotFoundError(f"{of_class} is missing: expected a folder for each of the {GTSRB_CLASSES} classes")
        for path in sorted(of_class.iterdir()):
            named = _FRAME.fullmatch(path.name)
            if named and int(named["frame"]) % _EVERY == _REMAINDER:
                frames.append((label, int(named["track"]), path))
    tests = sorted(path for path in testing.iterdir() if _TEST_IMAGE.fullmatch(path.name))
    answers = _test_labels(folder)
    unlabelled = [path.name for path in tests if path.name not in answers]
    if unlabelled or len(tests) != len(answers):
        raise FormatError(
            f"{testing}: {len(tests)} images, and {len(answers)} labels in {TEST_LABELS}"
            + (f"; {unlabelled[0]} has none" if unlabelled else "; images are missing")
        )
    if not frames or not tests:
        raise FormatError(
            f"{folder}: expected images TTTTT_FFFFF.ppm of tracks and frames, and NNNNN.ppm to test; got none"
        )
    tiles = {"train": _tiles([path for *_, path in frames]), "test": _tiles(tests)}
    return tiles, {
        "y_train": np.array([label for label, *_ in frames], dtype=np.int64),
        "track_train": np.array([track for _, track, _ in frames], dtype=np.int64),
        "y_test": np.array([answers[path.name] for path in tests], dtype=np.int64),
    }


def _tiles(paths: list[Path]) -> NDArray[np.uint8]:
    tiles = np.empty((len(paths), _TILE, _TILE, 3), dtype=np.uint8)
    for tile, path in zip(tiles, paths, strict=True):
        pixels = _picture(path)
        tile[:] = pixels if pixels.shape == tile.shape else scaled(pixels, size=_TILE)
    return tiles


def _picture(path: Path) -> NDArray[np.uint8]:
    """An (h, w, 3) picture; nothing is decoded of one that is too large."""
    pillow = require("PIL.Image", extra="train")
    try:
        with pillow.open(path) as picture:
            pixels: NDArray[np.uint8] | None = None
            if max(picture.size) <= _MAX_SIDE:
                pixels = np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise FormatError(f"{path} cannot be read as a picture: {error}") from error
    if pixels is None:
        raise FormatError(f"{path}: expected at most {_MAX_SIDE} pixels a side, got {picture.size}")
    return pixels


def _test_labels(folder: Path) -> dict[str, int]:
    """Name of an official test image to its class."""
    places = [folder / TEST_LABELS, folder / "Final_Test" / TEST_LABELS, folder / OFFICIAL[1] / TEST_LABELS]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{places[-1]} is missing: it comes in an archive of its own, GTSRB_Final_Test_GT.zip, beside the images'"
        )
    labels = {}
    try:
        text = read_text(path)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    for row in csv.DictReader(text.splitlines(), delimiter=";"):
        name, label = row.get("Filename"), row.get("ClassId") or ""
        if not name or not label.isdecimal() or int(label) >= GTSRB_CLASSES:
            raise FormatError(f"{path}: expected columns Filename and ClassId (0 to {GTSRB_CLASSES - 1}), got {row}")
        labels[name] = int(label)
    return labels


def _read_sheets(folder: Path) -> tuple[dict[str, NDArray[np.uint8]], dict[str, NDArray[np.int64]]]:
    for name, expected in GTSRB_FILES.items():
        found = artifacts.sha256(folder / name)
        if found != expected:
            raise ArtifactError(f"{folder / name}: expected SHA-256 {expected}, got {found}; this is another image set")
    arrays = load_arrays(folder / "gtsrb32_labels.npz", ("y_train", "track_train", "y_test"), kinds="iu")
    labels = {name: values.astype(np.int64) for name, values in arrays.items()}
    tiles = {
        split: _read_sheet(folder / f"gtsrb32_{split}.webp", n=len(labels[f"y_{split}"])) for split in ("train", "test")
    }
    return tiles, labels


def _read_sheet(path: Path, *, n: int) -> NDArray[np.uint8]:
    """(n, 32, 32, 3) images of a sheet of tiles, 64 in a row."""
    pillow = require("PIL.Image", extra="train")
    with pillow.open(path) as picture:
        sheet = np.asarray(picture.convert("RGB"))
    rows, columns = sheet.shape[0] // _TILE, sheet.shape[1] // _TILE
    if columns != _TILES_IN_ROW or rows * columns < n:
        raise FormatError(f"{path}: expected {n} tiles of {_TILE}x{_TILE}, {_TILES_IN_ROW} in a row; got {sheet.shape}")
    return sheet[: rows * _TILE].reshape(rows, _TILE, columns, _TILE, 3).swapaxes(1, 2).reshape(-1, _TILE, _TILE, 3)[:n]


def _reduced(tiles: NDArray[np.uint8], *, image_size: int) -> NDArray[np.uint8]:
    block = _TILE // image_size
    blocks = tiles.reshape(len(tiles), image_size, block, image_size, block, 3).astype(np.float32)
    reduced: NDArray[np.uint8] = np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return reduced
