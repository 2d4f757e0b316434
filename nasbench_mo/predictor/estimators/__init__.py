"""Estimators with scikit-learn's interface; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "ConformalRegressor": "conformal",
    "DeepGPRegressor": "deep_gp",
    "ForestRegressor": "forest",
    "GPRegressor": "gp",
    "LinearPlusResidual": "linear",
    "LinearRegressor": "linear",
    "RankAverageEnsemble": "ensemble",
    "XGBoostRegressor": "xgb_estimator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)


__all__ = [
    "ConformalRegressor",
    "DeepGPRegressor",
    "ForestRegressor",
    "GPRegressor",
    "LinearPlusResidual",
    "LinearRegressor",
    "RankAverageEnsemble",
    "XGBoostRegressor",
]
