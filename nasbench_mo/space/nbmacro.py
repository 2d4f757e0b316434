"""NAS-Bench-Macro: eight layers, each an identity or one of two inverted-residual blocks.

Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021.
"""

from __future__ import annotations

from typing import final

from nasbench_mo.space.base import SearchSpace, Variable

#: Published code of each block is its digit: 0, 1, 2.
BLOCKS = ("identity", "MB3_K3", "MB6_K5")
N_LAYERS = 8


@final
class NBMacro(SearchSpace):
    """3^8 = 6,561 architectures; the string is eight digits, e.g. ``"22212220"``."""

    name = "nbmacro"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """One block choice per layer."""
        return tuple(Variable(name=f"layer{i}", values=BLOCKS) for i in range(N_LAYERS))

    def _fragments(self, index: int) -> tuple[str, ...]:
        return tuple(str(code) for code in range(len(BLOCKS)))
