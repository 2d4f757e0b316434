"""NATS-Bench size search space: the channel numbers of five layers.

Dong et al., "NATS-Bench: Benchmarking NAS algorithms for architecture topology and size", TPAMI 2021.
"""

from __future__ import annotations

from typing import final

from nasbench_mo.space.base import SearchSpace, Variable, concatenated

CHANNELS = tuple(str(c) for c in range(8, 65, 8))
N_LAYERS = 5


@final
class NATSSize(SearchSpace):
    """8^5 = 32,768 architectures; the string is ``"8:16:24:32:64"``."""

    name = "nats-size"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Channels of each layer."""
        return tuple(Variable(name=f"channels{i}", values=CHANNELS) for i in range(N_LAYERS))

    def _fragments(self, index: int) -> tuple[str, ...]:
        return concatenated(":" if index else "", CHANNELS, "")
