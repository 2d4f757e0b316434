"""Our problems as objectives of Optuna studies.

Optuna minimises where a study's direction says so, and :attr:`OptunaObjective.directions` does, so no sign is turned;
objectives keep their order and units.

>>> import nasbench_mo as nmo
>>> import optuna
>>> optuna.logging.set_verbosity(optuna.logging.ERROR)
>>> problem = nmo.problem("nb201s-c10-flops-v1")
>>> objective = OptunaObjective(problem)
>>> sampler = optuna.samplers.NSGAIISampler(population_size=20, seed=0)
>>> study = optuna.create_study(directions=objective.directions, sampler=sampler)
>>> study.optimize(objective, n_trials=200)
>>> problem.hypervolume_share([trial.values for trial in study.best_trials]) > 0.8
True
>>> objective.encodings(study.best_trials).shape[1]
6
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.adapters._values import from_named_values
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import require


@final
class OptunaObjective:
    """An objective function for ``study.optimize`` of one of our problems.

    Every variable is a categorical parameter of its own name, its values named as the search space names them. A trial
    carries the architecture's string as the user attribute ``"arch"``.

    Constraints, if the problem has any, are told by ``trial.set_constraint`` where Optuna has it (from version 5 on).
    For earlier versions give a sampler ``constraints_func=objective.constraints``.

    Parameters
    ----------
    problem
        Ours.
    noise_seed
        Draws the training runs that the study sees, as in :meth:`.Problem.observation`.
    """

    def __init__(self, problem: Problem, *, noise_seed: int = 0) -> None:
        self.problem = problem
        self._seen = problem.observation(noise_seed)

    def __repr__(self) -> str:
        return f"OptunaObjective({self.problem.id!r})"

    @property
    def directions(self) -> list[str]:
        """``"minimize"`` for each objective: what ``optuna.create_study`` wants."""
        return ["minimize"] * self.problem.n_objectives

    @property
    def metric_names(self) -> list[str]:
        """Columns of the objectives, for ``study.set_metric_names``."""
        return [objective.column for objective in self.problem.objectives]

    @cached_property
    def distributions(self) -> dict[str, Any]:
        """Categorical distribution of every parameter, for ``study.ask`` and ``optuna.create_trial``.

        Raises
        ------
        MissingDependencyError
            Optuna is not installed.
        """
        categorical = require("optuna.distributions", extra="adapters").CategoricalDistribution
        return {variable.name: categorical(variable.values) for variable in self.problem.space.variables}

    def __call__(self, trial: Any) -> tuple[float, ...]:
        """Minimised values of the architecture that a trial suggests, (m,)."""
        variables = self.problem.space.variables
        chosen = {variable.name: trial.suggest_categorical(variable.name, variable.values) for variable in variables}
        X = from_named_values([chosen], search_space=self.problem.space)
        trial.set_user_attr("arch", self.problem.space.decode(X)[0])
        F = self._seen.evaluate(X)
        if hasattr(trial, "set_constraint"):
            excess = self.problem.constraint_set.excess(F, X=X)[0]
            for constraint, value in zip(self.problem.constraints, excess.tolist(), strict=True):
                trial.set_constraint(str(constraint), value)
        return tuple(F[0].tolist())

    def constraints(self, trial: Any) -> list[float]:
        """How far a trial exceeds each constraint, in the problem's order: at most 0 where it is kept.

        Raises
        ------
        ArchitectureError
            The trial's parameters are not an architecture.
        """
        X = self.encodings([trial])
        found: list[float] = self.problem.constraint_set.excess(self._seen.evaluate(X), X=X)[0].tolist()
        return found

    def encodings(self, trials: Sequence[Any]) -> NDArray[np.integer[Any]]:
        """(n, d) encodings of n trials.

        Raises
        ------
        ArchitectureError
            A trial's parameters are not an architecture.
        """
        return from_named_values([trial.params for trial in trials], search_space=self.problem.space)


__all__ = ["OptunaObjective"]
