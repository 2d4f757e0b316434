"""FBNet as HW-NAS-Bench measured it: 22 layers, each one of nine blocks.

Wu et al., "FBNet", CVPR 2019; Li et al., "HW-NAS-Bench", ICLR 2021, whose order of blocks is used here.
"""

from __future__ import annotations

from typing import final

from nasbench_mo.space.base import SearchSpace, Variable, concatenated

#: k: kernel, e: expansion, g2: two groups.
BLOCKS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
N_LAYERS = 22


@final
class FBNet(SearchSpace):
    """9^22 architectures; the string joins the 22 block names with ``|``.

    The published form is a list of 22 block indices; those indices are this space's integers. Their number
    exceeds 63 bits, so architectures have no integer index here.
    """

    name = "fbnet"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """One block per layer."""
        return tuple(Variable(name=f"layer{i}", values=BLOCKS) for i in range(N_LAYERS))

    def _fragments(self, index: int) -> tuple[str, ...]:
        return concatenated("|" if index else "", BLOCKS, "")
