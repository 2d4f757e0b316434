"""MnasNet as in Accel-NASBench: expansion, kernel, layers and squeeze-excitation of seven blocks.

Tan et al., "MnasNet", CVPR 2019; Ahmad et al., "Accel-NASBench", whose README gives block 5 up to four layers.
"""

from __future__ import annotations

from typing import final

from nasbench_mo.space.base import SearchSpace, Variable, concatenated

N_BLOCKS = 7
EXPANSIONS = ("1", "4", "6")
KERNELS = ("3", "5")
LAYERS = ("1", "2", "3")
#: Index 5 is the only block that may have four layers.
DEEP_BLOCK = 5
SQUEEZE_EXCITATION = ("0", "1")


@final
class MnasNet(SearchSpace):
    """36^6 * 48 = 1.0e11 architectures of 28 variables, block by block.

    Accel-NASBench publishes no string, only four lists; the string here is
    ``"e1k3l1se1-e6k3l2se1-..."``, one group a block.
    """

    name = "mnasnet"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """e, k, l, se of block 0, then of block 1, ..."""
        return tuple(
            Variable(name=f"block{b}_{letter}", values=values)
            for b in range(N_BLOCKS)
            for letter, values in (
                ("e", EXPANSIONS),
                ("k", KERNELS),
                ("l", (*LAYERS, "4") if b == DEEP_BLOCK else LAYERS),
                ("se", SQUEEZE_EXCITATION),
            )
        )

    def _fragments(self, index: int) -> tuple[str, ...]:
        variable = self.variables[index]
        letter = variable.name.partition("_")[2]
        separator = "-" if letter == "e" and index else ""
        return concatenated(separator + letter, variable.values, "")
