"""Fronts and their indicators: dominance, hypervolume, IGD+, additive epsilon, attainment.

Every objective is minimised. F is (n, m): one row a point, one column an objective. Inputs are never modified;
wrong ones raise :class:`~nasbench_mo.errors.FrontError`. Values are compared and computed as float64, so integers
beyond 2**53 are rounded.
"""

from __future__ import annotations

from nasbench_mo.pareto.attainment import attainment_surface
from nasbench_mo.pareto.distance import additive_epsilon, igd_plus
from nasbench_mo.pareto.dominance import front, nondominated
from nasbench_mo.pareto.hypervolume import hypervolume, hypervolume_contributions, hypervolume_curve
from nasbench_mo.pareto.scaling import ideal_and_nadir, normalize

__all__ = [
    "additive_epsilon",
    "attainment_surface",
    "front",
    "hypervolume",
    "hypervolume_contributions",
    "hypervolume_curve",
    "ideal_and_nadir",
    "igd_plus",
    "nondominated",
    "normalize",
]
