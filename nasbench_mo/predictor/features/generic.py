"""Feature maps that any search space has, made from its variables alone.

Variables of one kind, ``layer0`` to ``layer21`` say, are recognised by their names without digits.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArtifactError
from nasbench_mo.predictor.features.base import FeatureMap
from nasbench_mo.space import SearchSpace, Variable

#: Costs that a space may offer as a method of its encodings, (n, d) to (n,), and the column that reports them.
_OFFERED_COSTS = {"n_parameters": "params_millions", "n_flops": "flops_millions"}


#: Most combinations of one group of variables.
_LARGEST_GROUP = 1024


def one_hot(search_space: SearchSpace) -> FeatureMap:
    """One indicator column for each value of each variable, of any space."""
    columns = tuple(f"{v.name}={value}" for v in search_space.variables for value in v.values)

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        checked = search_space.check(X)
        blocks = [checked[:, j, None] == np.arange(c) for j, c in enumerate(search_space.cardinalities)]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    return FeatureMap(name=f"{search_space.name}-onehot-v1", columns=columns, compute=compute)


def ordinal(search_space: SearchSpace) -> FeatureMap:
    """One column for each variable: its value where all its values are numbers, else the value's position.

    For variables with an order: channels, depths, kernel sizes. Positions of unordered operations mean nothing to a
    linear model or a Gaussian process.
    """
    variables = search_space.variables
    scales = [_numbers(v) for v in variables]

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        checked = search_space.check(X)
        return np.stack([scale[checked[:, j]] for j, scale in enumerate(scales)], axis=1).astype(np.float32)

    return FeatureMap(name=f"{search_space.name}-ordinal-v1", columns=tuple(v.name for v in variables), compute=compute)


def counts(search_space: SearchSpace) -> FeatureMap:
    """How many variables of each kind have each value; sums of numeric kinds; parameters and FLOPs where offered.

    A cost that adds up over layers, whatever their place, is linear in these.
    """
    variables = search_space.variables
    kinds: dict[str, list[int]] = {}
    for j, variable in enumerate(variables):
        kinds.setdefault(_kind(variable), []).append(j)
    values = {
        kind: tuple(dict.fromkeys(w for j in members for w in variables[j].values)) for kind, members in kinds.items()
    }
    numeric = [kind for kind, members in kinds.items() if all(_is_numeric(variables[j]) for j in members)]
    costs: dict[str, Callable[[Any], NDArray[Any]]] = {
        column: getattr(search_space, method)
        for method, column in _OFFERED_COSTS.items()
        if callable(getattr(search_space, method, None))
    }
    columns = [f"count_{kind}={value}" for kind in kinds for value in values[kind]]
    columns += [f"sum_{kind}" for kind in numeric] + list(costs)
    indicator = one_hot(search_space)
    place = {name: i for i, name in enumerate(columns)}
    collect = np.zeros((len(indicator.columns), len(columns)))
    row = 0
    for variable in variables:
        kind, scale = _kind(variable), _numbers(variable)
        for code, value in enumerate(variable.values):
            collect[row, place[f"count_{kind}={value}"]] = 1.0
            if kind in numeric:
                collect[row, place[f"sum_{kind}"]] = scale[code]
            row += 1

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        checked = search_space.check(X)
        features = indicator.compute(checked) @ collect
        for column, cost in costs.items():
            features[:, place[column]] = np.asarray(cost(checked)) / 1e6
        return np.asarray(features, dtype=np.float32)

    return FeatureMap(name=f"{search_space.name}-counts-v1", columns=tuple(columns), compute=compute)


def groups(search_space: SearchSpace) -> FeatureMap:
    """One indicator column for each combination of values within a group of variables.

    A group is the variables whose names agree up to the underscore: ``block3_e``, ``block3_k``, ``block3_l`` say. A
    cost that adds up over groups, whatever it does within one, is linear in these: the latency of a chain of blocks,
    where a block's shape depends on its own variables alone. A variable without a group has its own indicators.

    Raises
    ------
    ArtifactError
        A group has more than 1,024 combinations.
    """
    variables = search_space.variables
    members: dict[str, list[int]] = {}
    for j, variable in enumerate(variables):
        members.setdefault(variable.name.rpartition("_")[0] or variable.name, []).append(j)
    sizes = {group: tuple(len(variables[j].values) for j in js) for group, js in members.items()}
    columns = []
    for group, js in members.items():
        if np.prod(sizes[group]) > _LARGEST_GROUP:
            raise ArtifactError(
                f"feature map {search_space.name}-groups-v1: the variables of {group!r} have "
                f"{np.prod(sizes[group])} combinations, more than {_LARGEST_GROUP}; take "
                f"'{search_space.name}-onehot-v1' or '-quadratic-v1'"
            )
        for combination in itertools.product(*(variables[j].values for j in js)):
            letters = (variables[j].name.rpartition("_")[2] for j in js)
            columns.append(f"{group}:" + ",".join(f"{a}{v}" for a, v in zip(letters, combination, strict=True)))

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        checked = search_space.check(X)
        blocks = []
        for group, js in members.items():
            code = np.ravel_multi_index(tuple(checked[:, j].astype(np.intp) for j in js), sizes[group])
            blocks.append(code[:, None] == np.arange(np.prod(sizes[group])))
        return np.concatenate(blocks, axis=1).astype(np.float32)

    return FeatureMap(name=f"{search_space.name}-groups-v1", columns=tuple(columns), compute=compute)


def quadratic(search_space: SearchSpace) -> FeatureMap:
    """Products of every two variables and squares, the variables' :func:`ordinal` values scaled to -1..1.

    Beside indicators, what a ridge regression needs to see that two variables help each other less than they do alone.
    """
    variables = search_space.variables
    scales = []
    for variable in variables:
        numbers = _numbers(variable)
        middle, half = (numbers.max() + numbers.min()) / 2, max(np.ptp(numbers) / 2, 1e-12)
        scales.append((numbers - middle) / half)
    first, second = np.triu_indices(len(variables))
    columns = tuple(f"{variables[i].name}*{variables[j].name}" for i, j in zip(first, second, strict=True))

    def compute(X: NDArray[Any]) -> NDArray[np.float32]:
        checked = search_space.check(X)
        scaled = np.stack([scale[checked[:, j]] for j, scale in enumerate(scales)], axis=1).astype(np.float32)
        return np.asarray(scaled[:, first] * scaled[:, second], dtype=np.float32)

    return FeatureMap(name=f"{search_space.name}-quadratic-v1", columns=columns, compute=compute)


def _kind(variable: Variable) -> str:
    """Name without digits, ``"layer"`` of ``"layer7"``; the whole name where nothing else is left."""
    return re.sub(r"_+", "_", re.sub(r"\d+", "", variable.name)).strip("_") or variable.name


def _is_numeric(variable: Variable) -> bool:
    return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in variable.values)


def _numbers(variable: Variable) -> NDArray[np.float64]:
    """Number of each value of a variable: itself where all are numeric, else its position."""
    values = variable.values if _is_numeric(variable) else range(len(variable.values))
    return np.array([float(v) for v in values], dtype=np.float64)
