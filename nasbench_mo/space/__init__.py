"""Search spaces: one file a space, found by name."""

from __future__ import annotations

from functools import cache

from nasbench_mo.errors import SpecError
from nasbench_mo.registry import Registry
from nasbench_mo.space.base import SearchSpace, Variable
from nasbench_mo.space.categorical import CategoricalSpace

SPACES = Registry(
    "search space",
    builtins={
        "nb201": "nasbench_mo.space.nb201:NB201",
        "nbmacro": "nasbench_mo.space.nbmacro:NBMacro",
        "mnasnet": "nasbench_mo.space.mnasnet:MnasNet",
        "fbnet": "nasbench_mo.space.fbnet:FBNet",
        "nats-size": "nasbench_mo.space.nats_size:NATSSize",
        "ofa-mbv3": "nasbench_mo.space.once_for_all:OnceForAll",
        "nb101-5v": "nasbench_mo.space.nb101_small:NB101Small",
        "asic": "nasbench_mo.space.accelerator:asic",
        "fpga": "nasbench_mo.space.accelerator:fpga",
        "nb201-x-asic": "nasbench_mo.space.accelerator:nb201_x_asic",
        "nb201-x-fpga": "nasbench_mo.space.accelerator:nb201_x_fpga",
    },
    group="nasbench_mo.spaces",
)


@cache
def space(name: str) -> SearchSpace:
    """Return the search space registered under a name; the same object each time.

    Examples
    --------
    >>> space("nb201").size
    15625
    """
    made = SPACES.get(name)()
    if not isinstance(made, SearchSpace):
        raise SpecError(f"the plug-in {name!r} must make a SearchSpace, got {type(made).__name__}")
    return made


__all__ = ["SPACES", "CategoricalSpace", "SearchSpace", "Variable", "space"]
