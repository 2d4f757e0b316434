"""Bridges to other tools' interfaces; each is imported when it is asked for, and imports its tool only when used."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "NaslibPredictor": "naslib",
    "OptunaObjective": "optuna",
    "PymooAlgorithm": "pymoo",
    "SyneTuneBlackbox": "syne_tune",
    "from_configspace": "configspace",
    "from_naslib": "naslib",
    "to_botorch": "botorch",
    "to_configspace": "configspace",
    "to_pymoo": "pymoo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)


__all__ = [
    "NaslibPredictor",
    "OptunaObjective",
    "PymooAlgorithm",
    "SyneTuneBlackbox",
    "from_configspace",
    "from_naslib",
    "to_botorch",
    "to_configspace",
    "to_pymoo",
]
