"""What joins training and profiling: measured benchmark tables, and checks of what was predicted or stored."""

from nasbench_mo.validation.figures import SeedAgreement, seed_agreement
from nasbench_mo.validation.measured_table import build_measured_table, measure_topologies
from nasbench_mo.validation.verification import Verification, VerifiedRow, verify_table

__all__ = [
    "SeedAgreement",
    "Verification",
    "VerifiedRow",
    "build_measured_table",
    "measure_topologies",
    "seed_agreement",
    "verify_table",
]
