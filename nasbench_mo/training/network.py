"""Architectures as torch modules: one door for the spaces whose networks are known, one file a space behind it.

NAS-Bench-201 (Dong & Yang, ICLR 2020, section 2.1): a 3x3 stem, stages of equal cells, a residual block with stride 2
between two stages, and a classifier after global average pooling. An operation with weights is ReLU, convolution, batch
normalisation. NAS-Bench-Macro, MnasNet and FBNet: chains of inverted residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nasbench_mo.errors import SpecError, UnknownNameError, require
from nasbench_mo.hardware.workload.mobile import MobileSkeleton, choose_skeleton
from nasbench_mo.registry import Registry
from nasbench_mo.space import SearchSpace
from nasbench_mo.space import space as space_named
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.skeletons import MOBILE_SKELETONS, network_skeleton

#: Space to what makes its networks: a callable ``(search_space, encoding, *, skeleton, pruned) -> torch.nn.Module``.
NETWORKS = Registry(
    "network",
    builtins={
        "nb201": "nasbench_mo.training._torch_modules:nb201_network",
        "nbmacro": "nasbench_mo.training._torch_nbmacro:nbmacro_network",
        "mnasnet": "nasbench_mo.training._torch_mnasnet:mnasnet_network",
        "fbnet": "nasbench_mo.training._torch_fbnet:fbnet_network",
    },
    group="nasbench_mo.networks",
)


def build_network(
    arch: str | Sequence[int],
    *,
    space: str | SearchSpace = "nb201",
    skeleton: Skeleton | MobileSkeleton | None = None,
    dataset: str | None = None,
    n_classes: int | None = None,
    pruned: bool = True,
) -> Any:
    """Make the network of an architecture, a ``torch.nn.Module`` from images (b, c, h, w) to logits (b, classes).

    Parameters
    ----------
    arch
        Published string or encoding.
    space
        Registered name of its space, or the space: ``nb201``, ``nbmacro``, ``mnasnet``, ``fbnet``.
    skeleton
        The network around what is searched; see :func:`~nasbench_mo.training.network_skeleton`.
    dataset, n_classes
        Instead of a skeleton: the one published for a data set, by default the first, with so many classes.
    pruned
        Leave out dead operations, which NAS-Bench-201 alone has. Otherwise they are built and computed, as published.
        Parameters are named by edge, so both forms share their names.

    Raises
    ------
    ArchitectureError
        The architecture is not in the space.
    UnknownNameError
        There is no such space, or its networks are not known here.
    SpecError
        The skeleton is of another space's kind, or given besides a data set or classes.
    MissingDependencyError
        torch is not installed.

    Notes
    -----
    A pruned cell whose output node gets nothing puts out zeros, as the published ``none`` does. With fresh weights the
    pruned and the published network compute the same. With trained ones they need not: the normalisation of a
    convolution of zeros puts out its shift, which training moves.
    """
    require("torch", extra="train")
    search_space = space_named(space) if isinstance(space, str) else space
    if search_space.name not in NETWORKS:
        raise UnknownNameError(
            f"space {search_space.name!r} has no torch networks; spaces with them: {', '.join(NETWORKS)}"
        )
    X = search_space.encode([arch]) if isinstance(arch, str) else search_space.check([list(arch)])
    chosen = _skeleton(search_space.name, skeleton, dataset=dataset, n_classes=n_classes)
    encoding = tuple(np.asarray(X)[0].tolist())
    return NETWORKS.get(search_space.name)(search_space, encoding, skeleton=chosen, pruned=pruned)


def _skeleton(space: str, skeleton: Any, *, dataset: str | None, n_classes: int | None) -> Any:
    """The given skeleton, if it can be one of the space, or the published one."""
    if skeleton is None:
        return network_skeleton(space, dataset=dataset, n_classes=n_classes)
    if dataset is not None or n_classes is not None:
        raise SpecError("a skeleton says its data set's classes itself; give it, or dataset and n_classes, not both")
    if space == "nb201" and not isinstance(skeleton, Skeleton):
        raise SpecError(f"space 'nb201' needs a Skeleton, got {type(skeleton).__name__}")
    if space in MOBILE_SKELETONS:
        choose_skeleton(space, MOBILE_SKELETONS[space], dataset=None, skeleton=skeleton)
    return skeleton
