"""A problem: the predictor's error against the device's latency."""

from nasbench_mo.benchmark import PredictedValues, ProblemSpec, TableValues, Term
from nasbench_mo.objective import Objective

ERROR = Objective(name="error", unit="percent", kind="predicted", dataset="made-up", split="valid")
LATENCY = Objective(name="latency_cpu", unit="ms", kind="measured", device="cpu of the example", batch=1)

SPEC = ProblemSpec(
    id="example-mlp-cpu-v1",
    space="example-mlp",
    terms=(
        Term(objective=ERROR, values=PredictedValues(predictor="example-mlp-error-v1")),
        Term(objective=LATENCY, values=TableValues(table="example-cpu-latency-v1", column=LATENCY.column)),
    ),
    description="predicted error against latency of made-up perceptrons",
)
