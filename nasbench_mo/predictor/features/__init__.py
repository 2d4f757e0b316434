"""Feature maps: architectures to named numeric columns, versioned. A stored predictor names the one it learnt from.

Every space has ``<space>-onehot-v1``, ``<space>-ordinal-v1`` and ``<space>-counts-v1`` without code of its own;
NAS-Bench-201 has maps of the graph besides.
"""

from __future__ import annotations

from nasbench_mo.predictor.features.base import (
    FEATURE_MAPS,
    FeatureMap,
    default_feature_map,
    feature_map,
    feature_map_names,
)
from nasbench_mo.predictor.features.generic import counts, one_hot, ordinal

__all__ = [
    "FEATURE_MAPS",
    "FeatureMap",
    "counts",
    "default_feature_map",
    "feature_map",
    "feature_map_names",
    "one_hot",
    "ordinal",
]
