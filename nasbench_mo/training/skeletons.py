"""Which skeleton a space's networks have: the published one, fitted to other images or classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from nasbench_mo.errors import SpecError, UnknownNameError
from nasbench_mo.hardware.workload import fbnet, mnasnet, nbmacro
from nasbench_mo.hardware.workload.mobile import MobileSkeleton, choose_skeleton, stage_places
from nasbench_mo.space.nb201 import Skeleton

#: Published skeletons of the spaces of mobile networks: space, data set, skeleton.
MOBILE_SKELETONS: Final[Mapping[str, Mapping[str, MobileSkeleton]]] = {
    "nbmacro": nbmacro.SKELETONS,
    "mnasnet": mnasnet.SKELETONS,
    "fbnet": fbnet.SKELETONS,
}


def network_skeleton(
    space: str,
    *,
    dataset: str | None = None,
    image_size: int | None = None,
    image_channels: int | None = None,
    n_classes: int | None = None,
) -> Any:
    """Return the skeleton published for a space and a data set, with other images or classes where they are given.

    Parameters
    ----------
    space
        ``nb201``, ``nbmacro``, ``mnasnet`` or ``fbnet``.
    dataset
        One that the space was published with; the first by default: ``cifar10``, ``cifar10``, ``imagenet``,
        ``cifar100``.
    image_size, image_channels, n_classes
        Of one's own data; those of the data set by default. Strides stay as published: ImageNet's halve the pixels
        five times, so small images want a skeleton of one's own (``dataclasses.replace(..., stem_stride=1)``).

    Returns
    -------
    skeleton
        :class:`~nasbench_mo.space.nb201.Skeleton` for ``nb201``, else
        :class:`~nasbench_mo.hardware.workload.mobile.MobileSkeleton`.

    Raises
    ------
    UnknownNameError
        No skeleton of the space is known.
    SpecError
        The space was not published with this data set, or a size is not a positive integer.

    Examples
    --------
    >>> network_skeleton("nbmacro", n_classes=43).n_classes
    43
    """
    changes = {"image_size": image_size, "image_channels": image_channels, "n_classes": n_classes}
    chosen = {name: value for name, value in changes.items() if value is not None}
    for name, value in chosen.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SpecError(f"skeleton: {name} must be a positive integer, got {value!r}")
    return dataclasses.replace(_published(space, dataset), **chosen)


def final_size(skeleton: Skeleton | MobileSkeleton) -> int:
    """Pixels of a side of the tensor before global pooling."""
    if isinstance(skeleton, MobileSkeleton):
        *_, (_, last) = stage_places(skeleton)
        return last.size
    return skeleton.image_size >> (skeleton.n_stages - 1)


def _published(space: str, dataset: str | None) -> Any:
    if space == "nb201":
        return Skeleton() if dataset is None else Skeleton.for_dataset(dataset)
    if space not in MOBILE_SKELETONS:
        known = ", ".join(["nb201", *MOBILE_SKELETONS])
        raise UnknownNameError(f"space {space!r} has no known skeleton; spaces with one: {known}. Give the skeleton")
    return choose_skeleton(space, MOBILE_SKELETONS[space], dataset=dataset, skeleton=None)[1]
