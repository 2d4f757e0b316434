"""Image sets by name: where their files are, how they are split, and the recipe that suits them.

A name travels to other processes and machines; the images themselves are read there.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.bounded import load_arrays
from nasbench_mo.errors import ArtifactError, DownloadError, FormatError, SpecError, did_you_mean, require
from nasbench_mo.sources.safe_pickle import load_file
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.gtsrb import read_gtsrb
from nasbench_mo.training.images import Images, ImageSet, read_arrays
from nasbench_mo.training.table_spec import GtsrbImages, TrainedTableSpec, find_specification
from nasbench_mo.training.trainer import Recipe

_SHARED = "NASBENCH_MO_SHARED"
#: Seed of the splits that a source does not come with. Part of an image set's identity through its fingerprint.
_SPLIT_SEED = 0

DIGITS, GTSRB16, CIFAR10 = "digits", "gtsrb16", "cifar10"
#: All traffic signs of the files, not the table's sample of them; the same signs are validated on. Name to size.
GTSRB_ALL: Mapping[str, int] = {"gtsrb16-all": 16, "gtsrb32-all": 32}
DATASETS: tuple[str, ...] = (DIGITS, GTSRB16, *GTSRB_ALL, CIFAR10)
#: What a name begins with that OpenML is asked for: ``openml:mnist_784``, or ``openml:554`` by number.
OPENML = "openml:"

#: Recipes of the named image sets; the user's own arrays get the default one.
_RECIPES: Mapping[str, Recipe] = {DIGITS: Recipe(batch_size=50)}

#: The table whose splits and recipe are those of the name gtsrb16: what is trained here is comparable with it.
_GTSRB16_TABLE = "nb201-gtsrb16-v1"

#: CIFAR-10 as one file of JPEGs: its folder in $NASBENCH_MO_SHARED, its name and its SHA-256.
CIFAR10_FOLDER = "cifar10-jpeg"
CIFAR10_JPEG = "cifar10_jpeg.npz"
CIFAR10_JPEG_SHA256 = "628e1d31177d18bb26d0e95b1533db3bd661f3a3b1365d0aeb1544e0a703e699"
#: CIFAR-10 in its authors' binary version (cs.toronto.edu/~kriz/cifar.html): one byte of class, 3 x 32 x 32 of pixels.
CIFAR10_BINARY = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
_CIFAR10_RECORD = 1 + 3 * 32 * 32
#: Its Python version: pickles of dicts with the same pixels and with the classes; read without running any of them.
CIFAR10_PYTHON = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
#: One in so many official training images is validated on.
_CIFAR10_VALID_STEP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An image set that can be read, here or on another machine that sees the same files.

    Parameters
    ----------
    name
        One of :data:`DATASETS`, ``openml:...``, or the stem of the user's NPZ file.
    path
        Folder of the image files, or the user's NPZ file; None where no file is needed.
    recipe
        How its networks are trained unless the user says otherwise.
    """

    name: str
    path: Path | None
    recipe: Recipe

    def read(self) -> ImageSet:
        """Read and split the images.

        Raises
        ------
        FileNotFoundError
            A file is missing.
        ArtifactError, FormatError
            A file is another one than expected.
        MissingDependencyError
            The library that reads them is not installed.
        """
        if self.name.startswith(OPENML):
            return read_openml(self.name.removeprefix(OPENML))
        if self.path is None:
            return read_digits()
        if self.path.suffix == ".npz":
            return read_arrays(self.path, name=self.name)
        if self.name == GTSRB16:
            return _gtsrb16().read_images(self.path)
        if self.name in GTSRB_ALL:
            return read_all_gtsrb(self.path, name=self.name)
        return read_cifar10(self.path)


def find_dataset(name: str, *, folder: Path | None = None) -> Dataset:
    """The image set that a name or the path of an NPZ file stands for; its files exist.

    Parameters
    ----------
    name
        One of :data:`DATASETS`, ``openml:`` with a name or number there, or a file as of :func:`.read_arrays`.
    folder
        Folder of the image files; by default one of the image set's name in ``$NASBENCH_MO_SHARED``, and where that
        is not set in ``../shared/data``.

    Raises
    ------
    SpecError
        There is no such image set.
    FileNotFoundError
        Its files are missing; the message says which.
    """
    if name == DIGITS:
        return Dataset(name=name, path=None, recipe=_RECIPES[DIGITS])
    if name == GTSRB16 or name in GTSRB_ALL:
        specification = _gtsrb16()
        return Dataset(name=name, path=specification.image_folder(folder).resolve(), recipe=specification.recipe)
    if name == CIFAR10:
        return Dataset(name=name, path=_cifar10_folder(folder).resolve(), recipe=Recipe())
    if name.startswith(OPENML) and len(name) > len(OPENML):
        return Dataset(name=name, path=None, recipe=Recipe())
    if not name.endswith(".npz"):
        raise SpecError(
            f"the image sets are {', '.join(DATASETS)}, {OPENML}NAME, or the path of an NPZ file; got {name!r}."
            f"{did_you_mean(name, DATASETS)}"
        )
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give one of {', '.join(DATASETS)}, or an existing NPZ file")
    return Dataset(name=path.stem, path=path.resolve(), recipe=Recipe())


def check_image_size(images: ImageSet, *, recipe: Recipe) -> Skeleton:
    """The network around the cells for an image set, which can be built and run.

    Raises
    ------
    SpecError
        The images' side is not a multiple of what the reductions divide it by.
    """
    skeleton = recipe.skeleton(images)
    divisor = 2 ** (skeleton.n_stages - 1)
    if skeleton.image_size % divisor:
        raise SpecError(
            f"the images of {images.name!r} are {skeleton.image_size} pixels wide; the network halves them "
            f"{skeleton.n_stages - 1} times, so the side must be a multiple of {divisor}: pad or crop them"
        )
    return skeleton


def read_digits() -> ImageSet:
    """scikit-learn's handwritten digits: 1,797 grey images of 8x8, which come with the library.

    Three in five of each class are trained on, one in five validated on and one in five tested on. Who wrote an image
    is not known, so one writer's images fall on all sides: errors on new writers are higher. (They are the test part
    of Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998.)

    Raises
    ------
    MissingDependencyError
        scikit-learn is not installed.
    """
    found = require("sklearn.datasets", extra="fit").load_digits()
    pixels = np.round(found.images * (255 / 16)).astype(np.uint8)[..., None]  # grey levels are 0 to 16
    labels = found.target.astype(np.int64)
    return _split_in_fifths(pixels, labels, name=DIGITS, n_classes=10)


def read_openml(name: str) -> ImageSet:
    """Images of OpenML (openml.org), downloaded once by scikit-learn and kept in the cache directory.

    Three in five of each class are trained on, one in five validated on and one in five tested on, whatever split the
    publisher has: OpenML does not tell it.

    Parameters
    ----------
    name
        Name, such as ``mnist_784`` or ``Fashion-MNIST``, or number. Its rows are grey levels of 0 to 255, of square
        images: n pixels, or 3 n with one channel after the other.

    Raises
    ------
    DownloadError
        It could not be fetched.
    FormatError
        Its rows are no images.
    MissingDependencyError
        scikit-learn is not installed.
    """
    datasets = require("sklearn.datasets", extra="fit")
    which = {"data_id": int(name)} if name.isdecimal() else {"name": name}
    try:
        found = datasets.fetch_openml(**which, as_frame=False, data_home=str(artifacts.cache_dir() / "openml"))
    except (OSError, ValueError) as error:  # OpenMLError is a ValueError
        reason = " ".join(str(error).split())[:200]
        raise DownloadError(
            f"OpenML's {name!r} could not be fetched ({reason}); check the name on openml.org and the network, or give "
            "your own images as an NPZ file"
        ) from error
    values = np.asarray(found.data)
    side, channels = _image_side(values, name=name)
    pixels = values.astype(np.uint8).reshape(-1, channels, side, side).transpose(0, 2, 3, 1).copy()
    classes, labels = np.unique(np.asarray(found.target).astype(str), return_inverse=True)
    return _split_in_fifths(pixels, labels.astype(np.int64), name=f"{OPENML}{name}", n_classes=len(classes))


def _image_side(values: NDArray[Any], *, name: str) -> tuple[int, int]:
    """Side and channels of the images that rows are."""
    if values.dtype.kind in "iuf" and values.ndim == 2 and values.size and 0 <= values.min() and values.max() <= 255:
        for channels in (1, 3):
            side = math.isqrt(values.shape[1] // channels)
            if side > 1 and channels * side * side == values.shape[1]:
                return side, channels
    raise FormatError(
        f"OpenML's {name!r} has rows of {values.shape[1:]} {values.dtype} values; expected square images of one or "
        "three channels, in grey levels of 0 to 255"
    )


def _split_in_fifths(pixels: NDArray[np.uint8], labels: NDArray[np.int64], *, name: str, n_classes: int) -> ImageSet:
    """Three fifths of each class to train, one to validate, one to test."""
    fifth = _position_in_class(labels, seed=_SPLIT_SEED) % 5
    return ImageSet(
        name=name,
        n_classes=n_classes,
        train=_chosen(pixels, labels, fifth > 1),
        valid=_chosen(pixels, labels, fifth == 0),
        test=_chosen(pixels, labels, fifth == 1),
    )


def read_cifar10(folder: Path) -> ImageSet:
    """CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), 32x32 in colour.

    The test images are the official ones; one in ten training images of each class is validated on.

    Parameters
    ----------
    folder
        Folder with :data:`CIFAR10_JPEG`, or with the files of the authors' binary version, :data:`CIFAR10_BINARY`, or
        of their Python version, :data:`CIFAR10_PYTHON`: the same images.
        The JPEGs lost a little: their errors are not strictly comparable with published ones.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ArtifactError, FormatError
        A file is another one.
    MissingDependencyError
        Pillow is not installed, which reads the JPEGs.
    """
    if (folder / CIFAR10_JPEG).is_file():
        pixels, labels, is_test = _cifar10_from_jpeg(folder / CIFAR10_JPEG)
    else:
        binary = (folder / CIFAR10_BINARY[0]).is_file()
        parts = (
            [_cifar10_batch(folder / name) for name in CIFAR10_BINARY]
            if binary
            else [_cifar10_pickle(folder / name) for name in CIFAR10_PYTHON]
        )
        pixels, labels = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        is_test = np.arange(len(labels)) >= sum(len(part[1]) for part in parts[:-1])
    trained, trained_labels = pixels[~is_test], labels[~is_test].astype(np.int64)
    valid = _position_in_class(trained_labels, seed=_SPLIT_SEED) % _CIFAR10_VALID_STEP == 0
    return ImageSet(
        name=CIFAR10,
        n_classes=10,
        train=_chosen(trained, trained_labels, ~valid),
        valid=_chosen(trained, trained_labels, valid),
        test=Images(pixels=pixels[is_test], labels=labels[is_test].astype(np.int64)),
    )


def read_all_gtsrb(folder: Path, *, name: str) -> ImageSet:
    """All traffic signs of the files, split by the same tracks as the table's sample.

    Parameters
    ----------
    folder
        As in :func:`.read_gtsrb`, whose errors these are.
    name
        One of :data:`GTSRB_ALL`.
    """
    sample = _gtsrb16().images
    assert isinstance(sample, GtsrbImages)
    found = read_gtsrb(folder, image_size=GTSRB_ALL[name], valid_share=sample.valid_share, split_seed=sample.split_seed)
    return dataclasses.replace(found, name=name)


def _gtsrb16() -> TrainedTableSpec:
    return TrainedTableSpec.read(find_specification(_GTSRB16_TABLE))


def _cifar10_folder(folder: Path | None) -> Path:
    found = folder if folder is not None else Path(os.environ.get(_SHARED, "../shared/data")) / CIFAR10_FOLDER
    forms = ((CIFAR10_JPEG,), CIFAR10_BINARY, CIFAR10_PYTHON)
    if any(all((found / name).is_file() for name in form) for form in forms):
        return found
    raise FileNotFoundError(
        f"{found} has neither {CIFAR10_JPEG} nor CIFAR-10's binary or Python version ({', '.join(CIFAR10_BINARY)}, or "
        f"{', '.join(CIFAR10_PYTHON)}); give the folder that has it as --images FOLDER, or set {_SHARED} to the folder "
        f"that holds {CIFAR10_FOLDER}/"
    )


def _cifar10_from_jpeg(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    pillow = require("PIL.Image", extra="train")
    found = artifacts.sha256(path)
    if found != CIFAR10_JPEG_SHA256:
        raise ArtifactError(
            f"{path}: expected SHA-256 {CIFAR10_JPEG_SHA256}, got {found}; this is another image set. Give your own "
            "images as an NPZ file: --dataset PATH.npz"
        )
    arrays = load_arrays(path, ("jpeg", "offsets", "label", "is_test"), kinds="biu")
    data, offsets = arrays["jpeg"], arrays["offsets"]
    labels, is_test = arrays["label"].astype(np.int64), arrays["is_test"].astype(bool)
    pixels = np.empty((len(labels), 32, 32, 3), dtype=np.uint8)
    for i in range(len(labels)):
        with pillow.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())) as picture:
            pixels[i] = np.asarray(picture.convert("RGB"))
    return pixels, labels, is_test


def _cifar10_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (n, 32, 32, 3) and classes (n,) of one binary file."""
    data = np.fromfile(path, dtype=np.uint8)
    if not data.size or data.size % _CIFAR10_RECORD:
        raise FormatError(f"{path}: expected records of {_CIFAR10_RECORD} bytes, got {data.size} bytes in all")
    records = data.reshape(-1, _CIFAR10_RECORD)
    if int(records[:, 0].max()) > 9:
        raise FormatError(f"{path}: expected classes of 0 to 9, got {int(records[:, 0].max())}")
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy(), records[:, 0].copy()


def _cifar10_pickle(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (n, 32, 32, 3) and classes (n,) of one file of the Python version."""
    found = load_file(path)
    fields = {k.decode() if isinstance(k, bytes) else k: v for k, v in found.items()} if isinstance(found, dict) else {}
    pixels, labels = np.asarray(fields.get("data", [])), np.asarray(fields.get("labels", []))
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), _CIFAR10_RECORD - 1) or not len(labels):
        raise FormatError(
            f"{path}: expected 'data' of (n, {_CIFAR10_RECORD - 1}) bytes and n 'labels', got {pixels.dtype} values "
            f"{pixels.shape} and {len(labels)} labels"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) <= 9:
        raise FormatError(f"{path}: expected classes of 0 to 9, got {int(labels.min())} to {int(labels.max())}")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy(), labels.astype(np.uint8)


def _position_in_class(labels: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Position of each image among those of its class in a random order, (n,): every k-th one is a fair part."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, first, n_of_class = np.unique(labels[order], return_index=True, return_counts=True)
    position = np.empty(len(labels), dtype=np.int64)
    position[order] = np.arange(len(labels)) - np.repeat(first, n_of_class)
    return position


def _chosen(pixels: NDArray[np.uint8], labels: NDArray[np.int64], mask: NDArray[np.bool_]) -> Images:
    return Images(pixels=pixels[mask], labels=labels[mask])
