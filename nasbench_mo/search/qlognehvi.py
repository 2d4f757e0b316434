"""Noisy expected hypervolume improvement by BoTorch.

Daulton, Balandat & Bakshy, "Parallel Bayesian optimization of multiple noisy objectives with expected hypervolume
improvement", NeurIPS 2021; Ament et al., "Unexpected improvements to expected improvement", NeurIPS 2023, for the
logarithm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from nasbench_mo.errors import require
from nasbench_mo.search.botorch_base import REFERENCE, BoTorchSearcher


@final
class QLogNEHVISearcher(BoTorchSearcher):
    """qLogNEHVI with the reference point 10 % of the range beyond the worst observed value of each objective.

    A batch is chosen one by one, each proposal taking the earlier ones as pending. With one objective there is no
    volume to gain, and noisy expected improvement takes its place.
    """

    name = "qlognehvi"

    def _chosen(self, model: Any, *, n: int) -> list[int]:
        acquisition = self._acquisition(model)
        chosen: list[int] = []
        left = np.arange(len(model.choices))
        for _ in range(n):
            best = left[self._best(acquisition, model.choices[left])]
            chosen.append(int(best))
            left = left[left != best]
            if len(chosen) < n:
                model.hold(model.choices[chosen])
                acquisition.set_X_pending(model.choices[chosen])
        return chosen

    def _acquisition(self, model: Any) -> Any:
        if self.n_objectives == 1:
            single = require("botorch.acquisition.logei", extra="bayes")
            return single.qLogNoisyExpectedImprovement(
                model=model, X_baseline=model.known, sampler=self._sampler(), prune_baseline=True
            )
        several = require("botorch.acquisition.multi_objective.logei", extra="bayes")
        with uncompiled(several):
            return several.qLogNoisyExpectedHypervolumeImprovement(
                model=model,
                ref_point=[-REFERENCE] * self.n_objectives,
                X_baseline=model.known,
                sampler=self._sampler(),
                prune_baseline=True,
            )


@contextmanager
def uncompiled(logei: Any) -> Iterator[None]:
    """Make acquisitions that compute in PyTorch.

    BoTorch >= 0.18 compiles a kernel for the processor at hand when the first acquisition is made, in a folder of the
    user's. A process killed meanwhile leaves a lock behind, and every later one waits for it without end. The kernel
    saves a sixth of the time with two objectives.

    Parameters
    ----------
    logei
        The module ``botorch.acquisition.multi_objective.logei``.
    """
    attempted = getattr(logei, "_load_attempted", None)
    if attempted is None:  # a version without the kernel
        yield
        return
    logei._load_attempted = True
    try:
        yield
    finally:
        logei._load_attempted = attempted
