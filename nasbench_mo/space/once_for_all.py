"""Once-for-All's MobileNetV3: kernel sizes and expansions of 20 layers, depths of five stages, input resolution.

Cai et al., "Once-for-All", ICLR 2020; HELP (Lee et al., NeurIPS 2021) published latencies of 5,000 of its networks and
added the resolution.
"""

from __future__ import annotations

from typing import final

from nasbench_mo.space.base import SearchSpace, Variable, concatenated

KERNELS = ("3", "5", "7")
EXPANSIONS = ("3", "4", "6")
DEPTHS = ("2", "3", "4")
RESOLUTIONS = tuple(str(side) for side in range(128, 225, 4))
N_STAGES = 5
#: Layers of a stage that may be used; depth says how many are.
STAGE_LAYERS = 4


@final
class OnceForAll(SearchSpace):
    """3^45 * 25 = 7.4e22 encodings of 46 variables; layers beyond a stage's depth are unused, whatever they say.

    The four published lists laid side by side give the string ``"ks0=3,...,e0=4,...,d0=2,...,r=224"``.
    """

    name = "ofa-mbv3"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Kernel sizes, expansions, depths, resolution."""
        layers = range(N_STAGES * STAGE_LAYERS)
        return (
            *(Variable(name=f"ks{i}", values=KERNELS) for i in layers),
            *(Variable(name=f"e{i}", values=EXPANSIONS) for i in layers),
            *(Variable(name=f"d{i}", values=DEPTHS) for i in range(N_STAGES)),
            Variable(name="r", values=RESOLUTIONS),
        )

    def _fragments(self, index: int) -> tuple[str, ...]:
        variable = self.variables[index]
        return concatenated(f"{',' if index else ''}{variable.name}=", variable.values, "")
