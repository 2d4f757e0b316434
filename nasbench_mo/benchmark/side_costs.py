"""Columns beside a problem's objectives that a constraint may bound, because they cost nothing to know.

They are counted, or modelled by an embedded cost table, from the architecture alone. What would have to be measured or
trained is not among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from nasbench_mo.benchmark.values import CountedValues, OperatorValues, Values
from nasbench_mo.objective import Objective
from nasbench_mo.space import SearchSpace

#: Datasets whose NAS-Bench-201 networks are counted.
_COUNTED = ("cifar10", "cifar100", "imagenet16-120")
#: Embedded cost tables of NAS-Bench-201 networks: dataset, table, column.
_MODELLED = (
    ("cifar10", "nb201-eyeriss-latency-modelled-v1", "latency_eyeriss_ms"),
    ("cifar10", "nb201-fpga-latency-modelled-v1", "latency_fpga_ms"),
)


def side_costs(search_space: SearchSpace, objectives: Sequence[Objective]) -> dict[str, Values]:
    """Values of the columns that cost nothing, by column name; the objectives' own columns are left out.

    Parameters
    ----------
    search_space, objectives
        Of the problem. What is counted depends on the dataset, so there is none where the objectives name none, or
        several.
    """
    datasets = {o.dataset for o in objectives if o.dataset is not None}
    if search_space.name != "nb201" or len(datasets) != 1:
        return {}
    (dataset,) = datasets
    found: dict[str, Values] = {}
    if dataset in _COUNTED:
        for quantity in ("params", "flops"):
            counted = CountedValues(quantity=quantity, dataset=dataset)
            found[counted.origin.column] = counted
    for of, table, column in _MODELLED:
        if of == dataset:
            found[column] = OperatorValues(table=table, column=column)
    taken = {o.column for o in objectives}
    return {column: values for column, values in found.items() if column not in taken}
