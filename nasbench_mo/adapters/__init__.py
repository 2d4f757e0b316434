"""Bridges to other tools' interfaces; each is imported when it is asked for, and imports its tool only when used."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "NaslibPredictor": "naslib",
    "from_naslib": "naslib",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)


__all__ = ["NaslibPredictor", "from_naslib"]
