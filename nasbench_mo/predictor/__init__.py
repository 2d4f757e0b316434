"""Trained predictors: features, estimators, and stored models that are checked when they are loaded."""

from __future__ import annotations

from functools import lru_cache

from nasbench_mo import artifacts
from nasbench_mo.predictor.artifact import Predictor, ReferenceFile, read_reference
from nasbench_mo.predictor.features import FeatureMap, default_feature_map, feature_map, one_hot


@lru_cache(maxsize=16)
def load_predictor(identifier: str) -> Predictor:
    """Load a predictor by its id, checked; kept in memory for the next call.

    Raises
    ------
    UnknownNameError
        There is no such predictor; the message lists those present.
    ArtifactError
        The stored model is damaged or of an unknown version.

    Examples
    --------
    >>> model = load_predictor("nb201-fpga-latency-linear-v1")
    >>> cell = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    >>> value, deviation = model.predict([cell], return_std=True)
    >>> value.round(3).tolist(), model.objective.column
    ([4.906], 'latency_fpga_ms')
    """
    return Predictor.load(artifacts.resolve("predictors", identifier))


def describe_predictor(identifier: str) -> ReferenceFile:
    """What a stored predictor says of itself, without loading the model or XGBoost."""
    return read_reference(artifacts.resolve("predictors", identifier))


__all__ = [
    "FeatureMap",
    "Predictor",
    "ReferenceFile",
    "describe_predictor",
    "default_feature_map",
    "feature_map",
    "load_predictor",
    "one_hot",
]
