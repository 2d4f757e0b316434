"""NAS-Bench-101 cells of up to five vertices, the part of which EC-NAS measured training energy.

Ying et al., "NAS-Bench-101", ICML 2019; Bakhtiarifard et al., "EC-NAS", 2024.
"""

from __future__ import annotations

from itertools import combinations
from typing import final

from nasbench_mo.space.base import SearchSpace, Variable, concatenated

N_VERTICES = 5
OPERATIONS = ("input", "output", "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3", "absent")


@final
class NB101Small(SearchSpace):
    """2^10 * 6^5 = 7,962,624 encodings: the upper triangle of the adjacency matrix, and each vertex's operation.

    A smaller cell has absent vertices behind its own. Most combinations are no NAS-Bench-101 cell: the first vertex is
    the input, the last that is present the output, and every vertex lies between them. The string is
    ``"edge_0_1=1,...,op0=input,..."``.
    """

    name = "nb101-5v"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Ten edges, row by row, then five operations."""
        edges = combinations(range(N_VERTICES), 2)
        return (
            *(Variable(name=f"edge_{a}_{b}", values=("0", "1")) for a, b in edges),
            *(Variable(name=f"op{i}", values=OPERATIONS) for i in range(N_VERTICES)),
        )

    def _fragments(self, index: int) -> tuple[str, ...]:
        variable = self.variables[index]
        return concatenated(f"{',' if index else ''}{variable.name}=", variable.values, "")
