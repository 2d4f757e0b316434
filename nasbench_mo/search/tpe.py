"""Multi-objective tree-structured Parzen estimator, by Optuna.

Ozaki et al., "Multiobjective tree-structured Parzen estimator for computationally expensive optimization problems",
GECCO 2020, and "Multiobjective tree-structured Parzen estimator", JAIR 73, 2022; Akiba et al., "Optuna", KDD 2019.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError, require
from nasbench_mo.search.base import Searcher
from nasbench_mo.space import SearchSpace


@final
class TPESearcher(Searcher):
    """Optuna's ``TPESampler`` on categorical variables, through ask and tell in memory.

    Parameters
    ----------
    n_initial
        Random trials before the estimator is used (Optuna's ``n_startup_trials``).
    n_candidates
        Candidates of which the one with the greatest expected improvement is proposed (``n_ei_candidates``).
    multivariate
        ``"yes"``: the variables are modelled together, as in Falkner et al., "BOHB", ICML 2018; ``"no"``: each for
        itself; ``"auto"`` leaves it to Optuna, whose default is ``"no"``. On NAS-Bench-201 ``"no"`` is several times
        slower and repeats itself so often that a run can end early.

    Notes
    -----
    TPE proposes one architecture at a time and may repeat itself. Whatever is told enters the study, asked for or not.
    When every architecture of the space has been told, it says so.
    """

    name = "tpe"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        n_initial: int = 10,
        n_candidates: int = 24,
        multivariate: str = "yes",
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.n_initial = self._integer("n_initial", n_initial, least=1)
        self.n_candidates = self._integer("n_candidates", n_candidates, least=1)
        if multivariate not in _MULTIVARIATE:
            raise SearcherError(f"searcher 'tpe': multivariate is one of auto, yes, no; got {multivariate!r}")
        self.multivariate = multivariate
        self._optuna = require("optuna", extra="bayes")
        categorical = self._optuna.distributions.CategoricalDistribution
        self._distributions = {
            f"x{j:04d}": categorical(tuple(range(c))) for j, c in enumerate(space.cardinalities.tolist())
        }
        with _quiet(self._optuna):
            chosen = {} if multivariate == "auto" else {"multivariate": _MULTIVARIATE[multivariate]}
            sampler = self._optuna.samplers.TPESampler(
                seed=self.seed, n_startup_trials=self.n_initial, n_ei_candidates=self.n_candidates, **chosen
            )
            self._study = self._optuna.create_study(
                storage=self._optuna.storages.InMemoryStorage(),
                sampler=sampler,
                directions=["minimize"] * self.n_objectives,
            )
        self._pending: dict[bytes, list[Any]] = {}
        self._told: set[bytes] = set()

    def options(self) -> dict[str, float | int | str]:
        """Settings of the sampler."""
        return {"n_initial": self.n_initial, "n_candidates": self.n_candidates, "multivariate": self.multivariate}

    def _ask(self, n: int | None) -> NDArray[Any]:
        if len(self._told) == self.space.size:
            raise ExhaustedError(f"searcher 'tpe': all {self.space.size} architectures have been told")
        with _quiet(self._optuna):
            trial = self._study.ask(self._distributions)
        row = np.array([[trial.params[name] for name in self._distributions]], dtype=self.space.dtype)
        self._pending.setdefault(row[0].tobytes(), []).append(trial)
        return row

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        with _quiet(self._optuna):
            for row, values in zip(X, F.tolist(), strict=True):
                trials = self._pending.get(row.tobytes())
                if trials:
                    self._study.tell(trials.pop(0), values)
                else:
                    params = dict(zip(self._distributions, row.tolist(), strict=True))
                    made = self._optuna.trial.create_trial(
                        params=params, distributions=self._distributions, values=values
                    )
                    self._study.add_trial(made)
                self._told.add(row.tobytes())


_MULTIVARIATE = {"auto": None, "yes": True, "no": False}


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna's progress off the user's terminal; its level is put back afterwards."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
