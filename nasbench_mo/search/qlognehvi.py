"""Noisy expected hypervolume improvement with BoTorch's models.

Daulton, Balandat & Bakshy, "Parallel Bayesian optimization of multiple noisy objectives with expected hypervolume
improvement", NeurIPS 2021. The logarithm of Ament et al., "Unexpected improvements to expected improvement", NeurIPS
2023, is there for gradients: the best of finitely many choices is the same with and without it.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.acquisition import expected_improvement
from nasbench_mo.search.archive_base import Floats
from nasbench_mo.search.botorch_base import REFERENCE, BoTorchSearcher
from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.point_gains import point_gains
from nasbench_mo.search.posterior_samples import PosteriorSamples

#: How much worse the front is taken to be, in ranges, until some choice gains.
_SLACKS = (0.0, 0.01, 0.1, 1.0)
#: Choices that are looked at together after the first one of a batch.
_AT_A_TIME = 64


@final
class QLogNEHVISearcher(BoTorchSearcher):
    """NEHVI with the reference point 10 % of the range beyond the worst observed value of each objective.

    A batch is chosen one by one, each proposal taking the earlier ones as pending. Where no choice gains in any sample,
    as at the end of a small space, the front is taken to be worse than it is: it stands in for the smoothing that goes
    with the logarithm. With four objectives or more the hypervolume is approximated, see :mod:`.point_gains`.
    """

    name = "qlognehvi"

    def _chosen(self, samples: PosteriorSamples, *, n: int, n_choices: int) -> list[int]:
        for slack in _SLACKS:
            gains = self._gains(samples, np.arange(n_choices), slack=slack)
            if gains.any():
                break
        chosen = [int(gains.argmax())]
        while len(chosen) < n:
            samples.choose(chosen[-1])
            gains[chosen[-1]] = -1.0
            chosen.append(self._greatest(samples, gains, slack=slack))
        return chosen

    def _greatest(self, samples: PosteriorSamples, gains: Floats, *, slack: float = 0.0) -> int:
        """The choice that gains most, of (c,) gains as they were before the last choice, which are brought up to date.

        A choice gains no more beside others than it did alone (the hypervolume is submodular: Minoux, "Accelerated
        greedy algorithms for maximizing submodular set functions", 1978), up to the noise of the draws: those that
        gained less than the best one does now need no look.
        """
        order = np.argsort(-gains, kind="stable")
        best = -1.0
        for start in range(0, len(order), _AT_A_TIME):
            part = order[start : start + _AT_A_TIME]
            if gains[part[0]] <= best:
                break
            part = part[gains[part] >= 0]
            gains[part] = self._gains(samples, part, slack=slack)
            best = max(best, gains[part].max())
        return int(gains.argmax())

    def _gains(self, samples: PosteriorSamples, choices: NDArray[Any], *, slack: float = 0.0) -> Floats:
        """Hypervolume that some of the choices add to what is known, mean over the samples, (k,)."""
        reference = np.full(self.n_objectives, REFERENCE + slack)
        total = np.zeros(len(choices))
        for known, values in zip(samples.known, samples.at(choices), strict=True):
            if self.n_objectives < 3:
                certain = [Marginals.certain(column) for column in values.T]
                total += expected_improvement(certain, front=known + slack, reference=reference)
            else:
                total += point_gains(values, front=known + slack, reference=reference, lowest=samples.lowest)
        return total / len(samples.known)
