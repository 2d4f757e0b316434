"""SMS-EMOA by pymoo, with the space's own categorical moves.

Beume, Naujoks, Emmerich, "SMS-EMOA: multiobjective selection based on dominated hypervolume", EJOR 181(3), 2007.
Ranking, hypervolume contributions and survival are pymoo's (moocore's).
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.space import SearchSpace


@final
class SMSEMOASearcher(PymooSearcher):
    """SMS-EMOA on categorical variables.

    Steady state, as in the paper: one offspring at a time, and of the worst nondominated front the member that adds
    least to the hypervolume leaves. An offspring is a uniform crossover of two parents chosen by a tournament of
    dominance, then with probability ``p_mutation`` a change of one variable.

    Parameters
    ----------
    population
        Number of survivors. The paper's 100 is for tens of thousands of evaluations; the default is for some hundreds,
        as that of ``nsga2``.
    offspring
        Offspring proposed before any of them has to be told: the paper's is 1. As many as the population make it
        generational, which is pymoo's default and several times faster.
    p_mutation
        Probability that an offspring changes one variable.

    Notes
    -----
    pymoo scales the objectives by the range of the population and takes 10 ranges beyond its worst value as the
    reference point, where the paper adds 1 to the worst value in the objective's own unit. So units do not matter, and
    the ends of the front stay. A single objective is presented twice: contributions are defined from two on.
    """

    name = "sms-emoa"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        population: int = 20,
        offspring: int = 1,
        p_mutation: float = 0.9,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.population = self._population(population)
        self.offspring = self._integer("offspring", offspring, least=1)
        self.p_mutation = self._real("p_mutation", p_mutation, least=0, most=1)

    def options(self) -> dict[str, float | int | str]:
        """Population size, offspring in a step and mutation probability."""
        return {"population": self.population, "offspring": self.offspring, "p_mutation": self.p_mutation}

    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        from pymoo.algorithms.moo.sms import SMSEMOA

        moves = space_operators(self.space, p_mutation=self.p_mutation)
        return SMSEMOA(pop_size=self.population, n_offsprings=self.offspring, **{**operators, **moves})

    def _presented(self, F: NDArray[np.float64]) -> NDArray[np.float64]:
        return F if self.n_objectives > 1 else np.hstack([F, F])

    @property
    def _n_presented(self) -> int:
        return max(2, self.n_objectives)
