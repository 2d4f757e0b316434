"""Costs of layers from costs of graphs: two graphs that differ in a few layers differ in the cost of those layers.

A graph that is timed alone also pays for being called, for its input and its output; in a difference of two graphs that
share them these costs cancel. Summed costs of single layers were 97 % off whole networks, differences of chains 4 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.shapes import LayerShape, shape_name

#: How often each layer shape occurs in a graph.
LayerCounts = Mapping[LayerShape, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two graphs whose costs are subtracted.

    Parameters
    ----------
    longer, shorter
        Names of the graphs. Without a shorter one the whole cost of the longer is spread, that of the call included.
    counts
        Layers that the longer graph has more than the shorter: the difference of their counts, zeros left out.
    """

    longer: str
    shorter: str | None
    counts: LayerCounts

    @classmethod
    def between(cls, longer: str, shorter: str | None, *, counts: Mapping[str, LayerCounts]) -> Difference:
        """The difference of two graphs whose counts are known by name."""
        more = dict(counts[longer])
        for shape, count in (counts[shorter] if shorter is not None else {}).items():
            more[shape] = more.get(shape, 0) - count
        return cls(longer=longer, shorter=shorter, counts={s: n for s, n in more.items() if n})


def layer_costs(groups: Sequence[Sequence[Difference]], graph_costs: Mapping[str, float]) -> dict[LayerShape, float]:
    """Cost of each layer shape, from the costs of graphs.

    Parameters
    ----------
    groups
        Differences that determine the costs of some shapes together, given those of the groups before. Where a group
        has more differences than unknown shapes, the squared relative errors are least.
    graph_costs
        Cost of each graph, in any unit.

    Returns
    -------
    Cost of a shape in the same unit. A layer that costs nothing can come out slightly negative: that is noise.

    Raises
    ------
    SpecError
        The differences of a group do not tell some of its shapes apart.
    """
    known: dict[LayerShape, float] = {}
    for group in groups:
        unknown = [s for s in dict.fromkeys(s for d in group for s in d.counts) if s not in known]
        A = np.array([[d.counts.get(s, 0) for s in unknown] for d in group], dtype=np.float64)
        if np.linalg.matrix_rank(A) < len(unknown):
            names = ", ".join(map(shape_name, unknown))
            raise SpecError(
                f"{len(group)} differences of graphs do not determine the costs of {names}; add a context in which "
                "they occur in another proportion"
            )
        whole = np.array([_cost(d, graph_costs) for d in group])
        rest = whole - np.array([sum(n * known[s] for s, n in d.counts.items() if s in known) for d in group])
        weights = 1 / np.maximum(whole, np.median(np.abs(whole)) / 100 or 1.0)
        solution, *_ = np.linalg.lstsq(A * weights[:, None], rest * weights, rcond=None)
        known.update(zip(unknown, solution.tolist(), strict=True))
    return known


def _cost(difference: Difference, graph_costs: Mapping[str, float]) -> float:
    shorter = 0.0 if difference.shorter is None else graph_costs[difference.shorter]
    return graph_costs[difference.longer] - shorter
