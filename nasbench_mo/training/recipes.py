"""Recipes by name, and shortened forms of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasbench_mo.errors import SpecError, did_you_mean
from nasbench_mo.training.trainer import Recipe

#: Names and recipes. ``nb201`` is that of Dong & Yang, "NAS-Bench-201", ICLR 2020, table 1: 200 epochs of SGD with
#: Nesterov momentum and a cosine from 0.1 to 0, batches of 256, random crops and mirroring, five cells a stage and 16
#: channels. What is validated on is this package's split and not the paper's, whose CIFAR-10 halves the training set.
RECIPES: Mapping[str, Recipe] = {
    "short": Recipe(),
    "nb201": Recipe(
        n_cells=5,
        channels=16,
        epochs=200,
        batch_size=256,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="cosine",
        augmentation="crop-flip",
    ),
}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def find_recipe(text: str) -> Recipe:
    """The recipe that a name stands for, shortened or changed as the text says.

    Parameters
    ----------
    text
        A name of :data:`RECIPES`, then fields of :class:`.Recipe` with commas between.

    Raises
    ------
    SpecError
        There is no such recipe or field, or a value is wrong.

    Examples
    --------
    >>> find_recipe("nb201,epochs=12,n_train=5000,channels=8").batch_size
    256
    """
    name, *changes = (part.strip() for part in text.split(","))
    if name not in RECIPES:
        raise SpecError(f"the recipes are {', '.join(RECIPES)}; got {name!r}.{did_you_mean(name, RECIPES)}")
    return dataclasses.replace(RECIPES[name], **dict(_field(change) for change in changes))


def _field(change: str) -> tuple[str, Any]:
    types = {field.name: str(field.type) for field in dataclasses.fields(Recipe)}
    name, equals, value = (part.strip() for part in change.partition("="))
    if not equals or name not in types:
        raise SpecError(
            f"recipe: expected FIELD=VALUE with a field of {', '.join(types)}; got {change!r}."
            f"{did_you_mean(name, types)}"
        )
    try:
        return name, _value(value, kind=types[name])
    except ValueError:
        raise SpecError(f"recipe: {name} is {types[name]}; got {value!r}") from None


def _value(text: str, *, kind: str) -> Any:
    if kind == "bool":
        if text.lower() not in (*_TRUE, *_FALSE):
            raise ValueError(text)
        return text.lower() in _TRUE
    if kind.startswith("int"):
        return int(text)
    return float(text) if kind == "float" else text
