"""ParEGO with BoTorch's models: a new random scalarisation for each proposal.

Knowles, "ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective optimization
problems", IEEE TEC 10(1), 2006; Daulton, Balandat & Bakshy, NeurIPS 2020, for qNParEGO, which models the objectives
rather than their scalarisation; Ament et al., "Unexpected improvements to expected improvement", NeurIPS 2023, for the
soft improvement, which still tells choices apart where none is likely to improve on anything.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.pareto import nondominated
from nasbench_mo.search.botorch_base import BoTorchSearcher
from nasbench_mo.search.posterior_samples import PosteriorSamples
from nasbench_mo.search.scalarise import Scale, chebyshev, random_weights

#: Width of the bend of the soft improvement, on the scale of the front.
_SOFTNESS = 1e-3


@final
class ParEGOSearcher(BoTorchSearcher):
    """qNParEGO: noisy expected improvement of the augmented Chebyshev function, weights from the simplex.

    Each proposal of a batch has weights of its own and takes the earlier ones as pending. The function scales the
    objectives by the observed front of what computes something of its input, not by all that was seen: a few dead
    networks would leave the errors of all others indistinguishable.
    """

    name = "parego"

    def _chosen(self, samples: PosteriorSamples, *, n: int, n_choices: int) -> list[int]:
        scale = Scale.of(samples.known[:, self._scaling_rows()].mean(axis=0))
        chosen: list[int] = []
        for weights in random_weights(self._rng, n=n, n_objectives=self.n_objectives):
            if chosen:
                samples.choose(chosen[-1])
            best = chebyshev(scale.scaled(samples.known), weights).min(axis=1, keepdims=True)
            values = chebyshev(scale.scaled(samples.at(np.arange(n_choices))), weights)
            gains = np.logaddexp(0.0, (best - values) / _SOFTNESS).mean(axis=0)
            gains[chosen] = -1.0
            chosen.append(int(gains.argmax()))
        return chosen

    def _scaling_rows(self) -> NDArray[np.intp]:
        """Rows of the archive on its front, dead ones left out; all rows where that front has no range."""
        counted = np.flatnonzero(~self.space.degenerate(self._X))
        front = counted[nondominated(self._F[counted])] if len(counted) else counted
        ranged = len(front) > 1 and bool((np.ptp(self._F[front], axis=0) > 0).all())
        return front if ranged else np.arange(len(self._F))
