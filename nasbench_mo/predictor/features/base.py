"""What a feature map is, and how one is found by its versioned name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArtifactError, did_you_mean
from nasbench_mo.registry import Registry
from nasbench_mo.space import SearchSpace, space


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMap:
    """Named columns computed from encodings of one space.

    Parameters
    ----------
    name
        Identity with version; a stored predictor names the one it was trained on.
    columns
        k column names.
    compute
        (n, d) encodings to (n, k) float32.
    """

    name: str
    columns: tuple[str, ...]
    compute: Callable[[NDArray[Any]], NDArray[np.float32]]


#: Maps with a name of their own: functions without parameters that return a :class:`FeatureMap`.
FEATURE_MAPS = Registry(
    "feature map",
    builtins={
        "nb201-graph-v1": "nasbench_mo.predictor.features.nb201:graph_v1",
        "nb201-graph-v2": "nasbench_mo.predictor.features.nb201:graph_v2",
        "nb201-path-v1": "nasbench_mo.predictor.features.nb201:path_v1",
        "nb201-counts-v1": "nasbench_mo.predictor.features.nb201:counts_v1",
    },
    group="nasbench_mo.feature_maps",
)

#: Maps that every space has, by the end of their name: functions of the space, in :mod:`.generic`.
_OF_ANY_SPACE = {
    "-onehot-v1": "one_hot",
    "-ordinal-v1": "ordinal",
    "-counts-v1": "counts",
    "-groups-v1": "groups",
    "-quadratic-v1": "quadratic",
}


def feature_map(name: str) -> FeatureMap:
    """Return a feature map by name: ``"nb201-graph-v2"``, or ``"<space>-onehot-v1"`` and its like for any space.

    ``"nb201-counts-v1+nb201-graph-v2"`` has the columns of both, in this order.

    Raises
    ------
    ArtifactError
        This version of the package does not have the map, or joined maps share the name of a column.
    UnknownNameError
        It is a map of any space, and there is no such space.
    """
    if "+" in name:
        return _joined([feature_map(part) for part in name.split("+")])
    if name in FEATURE_MAPS:
        made: FeatureMap = FEATURE_MAPS.get(name)()
        return made
    for ending in _OF_ANY_SPACE:
        if name.endswith(ending):
            return _of_any_space(space(name.removesuffix(ending)), ending=ending)
    known = [*FEATURE_MAPS, *(f"<space>{ending}" for ending in _OF_ANY_SPACE)]
    raise ArtifactError(
        f"unknown feature map {name!r}.{did_you_mean(name, known)} "
        "The predictor was made by another version of nasbench-mo"
    )


def default_feature_map(search_space: SearchSpace) -> FeatureMap:
    """The feature map a new predictor of a space gets when none is named: one-hot where the space has no better."""
    return feature_map("nb201-graph-v2") if search_space.name == "nb201" else _of_any_space(search_space)


def feature_map_names(search_space: SearchSpace) -> list[str]:
    """Names of every feature map of a space."""
    own = [name for name in FEATURE_MAPS if name.startswith(f"{search_space.name}-")]
    return list(dict.fromkeys([*own, *(f"{search_space.name}{ending}" for ending in _OF_ANY_SPACE)]))


def _of_any_space(search_space: SearchSpace, *, ending: str = "-onehot-v1") -> FeatureMap:
    generic = import_module("nasbench_mo.predictor.features.generic")  # it imports this module
    made: FeatureMap = getattr(generic, _OF_ANY_SPACE[ending])(search_space)
    return made


def _joined(maps: list[FeatureMap]) -> FeatureMap:
    """Columns of several maps of one space side by side."""
    columns = tuple(column for part in maps for column in part.columns)
    name = "+".join(part.name for part in maps)
    if len(set(columns)) != len(columns):
        shared = next(column for i, column in enumerate(columns) if column in columns[:i])
        raise ArtifactError(
            f"the feature maps of {name!r} share the column {shared!r}; join maps without common columns"
        )

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        return np.concatenate([part.compute(X) for part in maps], axis=1)

    return FeatureMap(name=name, columns=columns, compute=compute)
