"""What a measured benchmark table is made of: images, splits, recipe, seeds. All of it is the table's identity."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, SpecError
from nasbench_mo.hardware.accelerators import ACCELERATORS, accelerators
from nasbench_mo.specification import (
    folder_name_of,
    is_integer,
    mapping_of,
    peek_specification,
    read_specification,
    text_of,
)
from nasbench_mo.training.gtsrb import GTSRB_FILES, OFFICIAL, official_folder, read_gtsrb
from nasbench_mo.training.images import Images, ImageSet, read_arrays, subset
from nasbench_mo.training.trainer import Recipe

_SHARED = "NASBENCH_MO_SHARED"

Engine = Literal["torch", "native"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GtsrbImages:
    """German traffic signs, reduced and split how.

    Parameters
    ----------
    name
        ``"gtsrb"``.
    image_size
        Side of the reduced images.
    valid_share, split_seed
        Share of each class's tracks that become validation, and the seed that chooses them.
    n_train, train_seed
        Training images, drawn from the remaining tracks, and the seed that draws them.
    test_step
        Every how manieth of the official test images is tested on; 1 for all of them.
    """

    name: str
    image_size: int
    valid_share: float
    split_seed: int
    n_train: int
    train_seed: int
    test_step: int

    #: Subfolder of $NASBENCH_MO_SHARED, and what has to be in it.
    folder: ClassVar[str] = "gtsrb32"
    wanted: ClassVar[str] = f"GTSRB's unpacked archives ({', '.join(OFFICIAL)}), or with {', '.join(GTSRB_FILES)}"
    about: ClassVar[str] = (
        "The test images are official ones. Training and validation share no track, the some 30 frames of one physical "
        "sign, six of which the image set holds: validation errors of two networks are correlated through the signs."
    )

    def __post_init__(self) -> None:
        if self.test_step < 1:
            raise SpecError(f"images: test_step must be at least 1, got {self.test_step}")

    def is_in(self, folder: Path) -> bool:
        """Whether a folder has the files, in either form."""
        return official_folder(folder) is not None or all((folder / name).is_file() for name in GTSRB_FILES)

    def read(self, folder: Path) -> ImageSet:
        """Read and split the images; see :func:`nasbench_mo.training.read_gtsrb` for the errors."""
        whole = read_gtsrb(folder, image_size=self.image_size, valid_share=self.valid_share, split_seed=self.split_seed)
        tested = Images(
            pixels=whole.test.pixels[:: self.test_step].copy(), labels=whole.test.labels[:: self.test_step].copy()
        )
        drawn = subset(whole.train, n=self.n_train, seed=self.train_seed)
        return dataclasses.replace(whole, train=drawn, test=tested)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayImages:
    """The user's own images, split already: ``images.npz``.

    It holds ``{train,valid,test}_pixels``, (n, h, w, c) uint8, and ``{train,valid,test}_labels``, (n,) classes from 0.

    Parameters
    ----------
    name
        ``"arrays"``.
    dataset
        What the images are, for the columns' identity.
    """

    name: str
    dataset: str

    folder: ClassVar[str] = "images"
    wanted: ClassVar[str] = "images.npz"
    about: ClassVar[str] = "The images were split by whoever made the file."

    def is_in(self, folder: Path) -> bool:
        """Whether a folder has the file."""
        return (folder / self.wanted).is_file()

    def read(self, folder: Path) -> ImageSet:
        """Read the images; see :func:`nasbench_mo.training.read_arrays` for the errors."""
        return read_arrays(folder / self.wanted, name=self.dataset)


#: Name in a specification to the images it describes.
IMAGES: Mapping[str, type[GtsrbImages] | type[ArrayImages]] = {"gtsrb": GtsrbImages, "arrays": ArrayImages}


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySpec:
    """How the latency column is measured: one image at a time, in single precision.

    Parameters
    ----------
    rounds, runs, warm_up
        Turns of each network, timed runs of a turn (the shortest counts), and runs before them.
    n_threads
        Threads of the runtime.
    quantile
        Of the turns, the statistic that becomes the column.
    block
        Networks that take turns with each other.
    """

    rounds: int
    runs: int
    warm_up: int
    n_threads: int
    quantile: float
    block: int


@dataclass(frozen=True, kw_only=True)
class TrainedTableSpec:
    """The fields of a ``spec.yaml`` that has ``measures: training``.

    Parameters
    ----------
    id
        Identity of the table, with version.
    space
        Search space; its every architecture becomes a row.
    images, recipe, seeds
        What is trained, how, and with which seeds.
    images_sha256
        Fingerprint of the three splits (:attr:`ImageSet.fingerprint`).
    latency
        How the networks' latency on this machine's processor is measured.
    about
        One paragraph for the card.
    accelerators
        Kind of accelerator to a design of its space: what the networks cost on it is modelled.
    engine
        What trains: ``"torch"``, or ``"native"``, the program of :mod:`nasbench_mo.training.native`.
    """

    id: str
    space: str
    images: GtsrbImages | ArrayImages
    images_sha256: str
    recipe: Recipe
    seeds: tuple[int, ...]
    latency: LatencySpec
    about: str
    accelerators: Mapping[str, str] = field(default_factory=dict)
    engine: Engine = "torch"

    def __post_init__(self) -> None:
        if self.space != "nb201":
            raise SpecError(f"{self.id}: there are trainable networks for the space nb201; got {self.space!r}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise SpecError(f"{self.id}: expected different seeds, got {list(self.seeds)}")
        if not all(is_integer(seed) and seed >= 0 for seed in self.seeds):
            raise SpecError(f"{self.id}: a seed is an integer of at least 0; got {list(self.seeds)}")
        engine_named(self.engine)

    @classmethod
    def read(cls, path: Path) -> TrainedTableSpec:
        """Read and check a YAML specification."""
        if not is_trained_table(path):
            raise SpecError(f"{path} has no 'measures: training': it is not the specification of a measured table")
        names = [f.name for f in dataclasses.fields(cls)]
        required = [name for name in names if name not in ("accelerators", "engine")]
        fields = read_specification(path, allowed=[*names, "measures"], required=required)
        if fields.pop("measures", None) != "training":
            raise SpecError(f"{path}: expected 'measures: training'")
        folder_name_of(fields["id"], place=f"{path.name}: id")
        if not isinstance(fields["seeds"], list):
            raise SpecError(f"{path}: seeds must be a list of integers, got {fields['seeds']!r}")
        return cls(
            **{
                **fields,
                "seeds": tuple(fields["seeds"]),
                "accelerators": _designs(fields.get("accelerators", {}), place=f"{path.name}: accelerators"),
                "images": _images(fields["images"], place=f"{path.name}: images"),
                "recipe": Recipe(**_typed(Recipe, fields["recipe"], place=f"{path.name}: recipe")),
                "latency": LatencySpec(**_typed(LatencySpec, fields["latency"], place=f"{path.name}: latency")),
            }
        )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What may not change while the table is made; seeds may be added."""
        engine = {} if self.engine == "torch" else {"engine": self.engine}
        return {
            "id": self.id,
            "space": self.space,
            "images": dataclasses.asdict(self.images),
            "images_sha256": self.images_sha256,
            "recipe": self.recipe.identity,
            **engine,
        }

    def read_images(self, folder: Path | None = None, *, others: bool = False) -> ImageSet:
        """The very images of this specification.

        Parameters
        ----------
        folder
            Where the files are; by default a folder of the images' name in ``$NASBENCH_MO_SHARED``, and where that is
            not set in ``../shared/data``.
        others
            Whether images with another fingerprint will do, such as the same ones scaled by another program.

        Raises
        ------
        FileNotFoundError
            A file is missing; the message says which files are needed.
        ArtifactError
            The files or the splits are not those of the specification.
        """
        found = self.image_folder(folder)
        images = self.images.read(found)
        if images.fingerprint != self.images_sha256 and not others:
            raise ArtifactError(
                f"the images of {found}, split as {self.id} says, have the fingerprint {images.fingerprint}; expected "
                f"{self.images_sha256}. Pictures scaled elsewhere are others by a grey level or so (nasbench-mo table "
                "verify compares within its tolerance with --other-images), and another NumPy may draw other splits"
            )
        return images

    def image_folder(self, folder: Path | None) -> Path:
        """The folder that holds every image file; see :meth:`read_images`."""
        shared = Path(os.environ.get(_SHARED, "../shared/data"))
        found = folder if folder is not None else shared / self.images.folder
        if not self.images.is_in(found):
            raise FileNotFoundError(
                f"{found} does not hold the images of {self.id}: give the folder with {self.images.wanted} as --images "
                f"FOLDER, or set {_SHARED} to the folder that holds {self.images.folder}/"
            )
        return found


def engine_named(name: str) -> Engine:
    """An engine by its name.

    Raises
    ------
    SpecError
        There is none of that name.
    """
    found: Engine | None = next((known for known in get_args(Engine) if known == name), None)
    if found is None:
        raise SpecError(f"engine is one of {', '.join(get_args(Engine))}; got {name!r}")
    return found


def is_trained_table(path: Path) -> bool:
    """Whether a specification file is one of a measured table, by its field ``measures``."""
    return "measures" in peek_specification(path)


def find_specification(name: str) -> Path:
    """The specification file that a path or the name of an embedded table (with or without version) stands for.

    Raises
    ------
    SpecError
        There is none.
    """
    if Path(name).is_file():
        return Path(name)
    found = (
        [
            path
            for root in artifacts.roots("hw_tables")
            for path in (*root.glob(f"{name}/spec.yaml"), *root.glob(f"{name}-v*/spec.yaml"))
        ]
        if name and "/" not in name
        else []
    )
    if not found:
        known = sorted(p.parent.name for root in artifacts.roots("hw_tables") for p in root.glob("*/spec.yaml"))
        raise SpecError(
            f"{name!r} is neither a file nor a table with a specification; known: {', '.join(known) or 'none'}"
        )
    return max(found, key=_version)


def _version(path: Path) -> tuple[int, str]:
    name = path.parent.name
    number = name.rpartition("-v")[2]
    return (int(number) if number.isdigit() else 0, name)


def _images(value: object, *, place: str) -> GtsrbImages | ArrayImages:
    name = value.get("name") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or name not in IMAGES:
        raise SpecError(f"{place}: name must be one of {', '.join(IMAGES)}; got {name!r}")
    return IMAGES[name](**_typed(IMAGES[name], value, place=place))


def _designs(value: object, *, place: str) -> dict[str, str]:
    """Kinds of accelerators and their designs, each of its space."""
    designs = mapping_of(value, place=place, allowed=list(ACCELERATORS), required=[])
    for name, design in designs.items():
        accelerators(name).space.encode([text_of(design, place=f"{place}: {name}")])
    return designs


def _typed(cls: Any, value: object, *, place: str) -> dict[str, Any]:
    """The fields of a dataclass out of a mapping; numbers must be numbers of the declared kind."""
    fields = dataclasses.fields(cls)
    required = [f.name for f in fields if f.name not in getattr(cls, "LATER", ())]
    known = mapping_of(value, place=place, allowed=[f.name for f in fields], required=required)
    for wanted in fields:
        if wanted.name not in known:
            continue
        given = known[wanted.name]
        if wanted.type == "bool" and not isinstance(given, bool):
            raise SpecError(f"{place}: {wanted.name} must be true or false, got {given!r}")
        if wanted.type == "int | None" and given is not None and not is_integer(given):
            raise SpecError(f"{place}: {wanted.name} must be an integer, got {given!r}")
        if wanted.type == "int" and not is_integer(given):
            raise SpecError(f"{place}: {wanted.name} must be an integer, got {given!r}")
        if wanted.type == "float" and (isinstance(given, bool) or not isinstance(given, int | float)):
            raise SpecError(f"{place}: {wanted.name} must be a number, got {given!r}")
    return known
