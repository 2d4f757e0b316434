"""ParEGO by BoTorch: a new random scalarisation for each proposal.

Knowles, "ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective optimization
problems", IEEE TEC 10(1), 2006; Daulton, Balandat & Bakshy, NeurIPS 2020, for qNParEGO, which models the objectives
rather than their scalarisation; Ament et al., "Unexpected improvements to expected improvement", NeurIPS 2023, for the
logarithm.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import require
from nasbench_mo.pareto import nondominated
from nasbench_mo.search.botorch_base import BoTorchSearcher
from nasbench_mo.search.scalarise import random_weights


@final
class ParEGOSearcher(BoTorchSearcher):
    """qLogNParEGO: noisy expected improvement of the augmented Chebyshev function, weights from the simplex.

    Each proposal of a batch has weights of its own and takes the earlier ones as pending. The function scales the
    objectives by the observed front of what computes something of its input, not by all that was seen: a few dead
    networks would leave the errors of all others indistinguishable.
    """

    name = "parego"

    def _chosen(self, model: Any, *, n: int) -> list[int]:
        parego = require("botorch.acquisition.multi_objective.parego", extra="bayes")
        baseline = model.known[self._scaling_rows()]  # BoTorch scales by the range of what it improves on
        chosen: list[int] = []
        left = np.arange(len(model.choices))
        for weights in random_weights(self._rng, n=n, n_objectives=self.n_objectives):
            acquisition = parego.qLogNParEGO(
                model=model,
                X_baseline=baseline,
                scalarization_weights=self._tensor(weights),
                sampler=self._sampler(),
                X_pending=model.choices[chosen] if chosen else None,
                prune_baseline=True,
            )
            best = left[self._best(acquisition, model.choices[left])]
            chosen.append(int(best))
            left = left[left != best]
            if len(chosen) < n:
                model.hold(model.choices[chosen])
        return chosen

    def _scaling_rows(self) -> NDArray[np.intp]:
        """Rows of the archive on its front, dead ones left out; all rows where that front has no range."""
        counted = np.flatnonzero(~self.space.degenerate(self._X))
        front = counted[nondominated(self._F[counted])] if len(counted) else counted
        ranged = len(front) > 1 and bool((np.ptp(self._F[front], axis=0) > 0).all())
        return front if ranged else np.arange(len(self._F))
