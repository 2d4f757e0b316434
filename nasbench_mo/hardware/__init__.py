"""Hardware cost: tables of cost per operator or layer shape, and what they say of whole networks."""

from nasbench_mo.hardware.machine import blas_kernels, processor_name
from nasbench_mo.hardware.operators import BASE, OperatorCosts, fit_costs, operator_counts
from nasbench_mo.hardware.shape_costs import ShapeCosts, check_joinable

__all__ = [
    "BASE",
    "OperatorCosts",
    "ShapeCosts",
    "blas_kernels",
    "check_joinable",
    "fit_costs",
    "operator_counts",
    "processor_name",
]
