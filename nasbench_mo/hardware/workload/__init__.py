"""Workloads: which layers the networks of a space have, one file a space, found by the space's name.

A network is a vector of counts over its space's few distinct layer shapes and a device a vector of costs over the same
shapes, so the cost of every network on every device is one product: ``counts (n, s) @ costs (s, h)``.
"""

from __future__ import annotations

from nasbench_mo.errors import SpecError, UnknownNameError
from nasbench_mo.hardware.workload.base import Workload, compose
from nasbench_mo.registry import Registry
from nasbench_mo.space import SearchSpace
from nasbench_mo.space import space as space_named

#: Space to what makes its workload: a callable ``(search_space, *, dataset, skeleton) -> Workload``.
WORKLOADS = Registry(
    "workload",
    builtins={
        "nb201": "nasbench_mo.hardware.workload.nb201:nb201_workload",
        "nbmacro": "nasbench_mo.hardware.workload.nbmacro:nbmacro_workload",
        "mnasnet": "nasbench_mo.hardware.workload.mnasnet:mnasnet_workload",
        "fbnet": "nasbench_mo.hardware.workload.fbnet:fbnet_workload",
    },
    group="nasbench_mo.workloads",
)


def workload(space: str | SearchSpace, *, dataset: str | None = None, skeleton: object | None = None) -> Workload:
    """Return the layers of a space's networks inside one skeleton.

    Parameters
    ----------
    space
        Registered name of a space, or the space.
    dataset
        Takes the skeleton published for this data set; by default the first that the space was published with.
    skeleton
        Any other skeleton: :class:`~nasbench_mo.space.nb201.Skeleton` for ``nb201``,
        :class:`~nasbench_mo.hardware.workload.mobile.MobileSkeleton` for the others. Give it or a data set.

    Raises
    ------
    UnknownNameError
        There is no such space, or its networks' layers are not known here.
    SpecError
        The data set is not one of the space's, or the skeleton is of another kind or not a possible network.

    Examples
    --------
    >>> net = workload("nb201", dataset="cifar10")
    >>> net.name, len(net.shapes)
    ('nb201-n5c16-cifar10', 21)
    >>> cell = "|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    >>> net.macs(net.space.encode(cell)).tolist()
    [43172480]
    """
    search_space = space_named(space) if isinstance(space, str) else space
    if search_space.name not in WORKLOADS:
        raise UnknownNameError(
            f"space {search_space.name!r} has no known skeleton, so what layers its networks have is not known; "
            f"spaces with one: {', '.join(WORKLOADS)}"
        )
    if dataset is not None and skeleton is not None:
        raise SpecError(f"a data set stands for its skeleton; give {dataset!r} or the skeleton, not both")
    made = WORKLOADS.get(search_space.name)(search_space, dataset=dataset, skeleton=skeleton)
    if not isinstance(made, Workload):
        raise SpecError(f"the plug-in {search_space.name!r} must make a Workload, got {type(made).__name__}")
    return made


__all__ = ["WORKLOADS", "Workload", "compose", "workload"]
