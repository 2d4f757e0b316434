"""Estimators with scikit-learn's interface; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "BoostedLinearRegressor": "boosted_linear",
    "ConformalRegressor": "conformal",
    "DeepGPRegressor": "deep_gp",
    "ForestRegressor": "forest",
    "GPRegressor": "gp",
    "LinearPlusResidual": "linear",
    "LinearRegressor": "linear",
    "KernelPrior": "gp_prior",
    "RankAverageEnsemble": "ensemble",
    "StoredGP": "stored_gp",
    "StoredLinear": "stored_linear",
    "XGBoostRegressor": "xgb_estimator",
    "nb201_accuracy_prior": "nb201_prior",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)


__all__ = [
    "BoostedLinearRegressor",
    "ConformalRegressor",
    "DeepGPRegressor",
    "ForestRegressor",
    "GPRegressor",
    "LinearPlusResidual",
    "LinearRegressor",
    "KernelPrior",
    "RankAverageEnsemble",
    "StoredGP",
    "StoredLinear",
    "XGBoostRegressor",
    "nb201_accuracy_prior",
]
