"""What joins training and profiling: measured benchmark tables, real trainings of a run's front, checks of both."""

from nasbench_mo.validation.document import write_report
from nasbench_mo.validation.figures import SeedAgreement, seed_agreement
from nasbench_mo.validation.measured_rows import append_measured, measured_values, tell_measured
from nasbench_mo.validation.measured_table import build_measured_table, measure_topologies
from nasbench_mo.validation.report import Report, make_report
from nasbench_mo.validation.shortlist import Chosen, choose
from nasbench_mo.validation.study import Study, validate
from nasbench_mo.validation.target import Target
from nasbench_mo.validation.verification import Verification, VerifiedRow, verify_table

__all__ = [
    "Chosen",
    "Report",
    "SeedAgreement",
    "Study",
    "Target",
    "Verification",
    "VerifiedRow",
    "append_measured",
    "build_measured_table",
    "choose",
    "make_report",
    "measure_topologies",
    "measured_values",
    "seed_agreement",
    "tell_measured",
    "validate",
    "verify_table",
    "write_report",
]
