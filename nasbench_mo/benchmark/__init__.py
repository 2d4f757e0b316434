"""Problems, their published catalogue and their manifests. This floor never imports a searcher."""

from nasbench_mo.benchmark.catalogue import (
    DEMO_PROBLEM,
    ProblemSpec,
    manifest_report,
    problem,
    problem_names,
    problem_spec,
    problems_over,
)
from nasbench_mo.benchmark.constraint import Constraint
from nasbench_mo.benchmark.manifest import (
    FrontFacts,
    HypervolumeReference,
    Manifest,
    best_known_manifest,
    compute_manifest,
    differences,
    published_manifest,
)
from nasbench_mo.benchmark.search_problem import Evaluator, Problem, Term
from nasbench_mo.benchmark.values import (
    CountedValues,
    Fidelity,
    FunctionValues,
    LayerValues,
    MissingMacsValues,
    OperatorValues,
    PredictedValues,
    TableValues,
    Values,
)

__all__ = [
    "DEMO_PROBLEM",
    "Constraint",
    "CountedValues",
    "Evaluator",
    "Fidelity",
    "FrontFacts",
    "FunctionValues",
    "HypervolumeReference",
    "LayerValues",
    "Manifest",
    "MissingMacsValues",
    "OperatorValues",
    "PredictedValues",
    "Problem",
    "ProblemSpec",
    "TableValues",
    "Term",
    "Values",
    "best_known_manifest",
    "compute_manifest",
    "differences",
    "manifest_report",
    "problem",
    "problem_names",
    "problem_spec",
    "problems_over",
    "published_manifest",
]
