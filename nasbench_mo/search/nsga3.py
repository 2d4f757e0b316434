"""NSGA-III by pymoo, with the space's own categorical moves.

Deb & Jain, "An evolutionary many-objective optimization algorithm using reference-point-based nondominated sorting
approach, part I", IEEE TEC 18(4), 2014. Normalisation, niching and survival are pymoo's.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.directions import lattice
from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.space import SearchSpace


@final
class NSGA3Searcher(PymooSearcher):
    """NSGA-III on categorical variables.

    Survivors are the best nondominated fronts; the last one that fits in part is thinned so that the reference
    directions, a Das-Dennis lattice, are served evenly. Parents are drawn at random (under constraints, of two the one
    that violates them less), always crossed uniformly (p_c = 1, as in the paper), and an offspring then changes one
    variable with probability ``p_mutation``.

    Parameters
    ----------
    population
        Number of survivors and of offspring: this many, or the next number that makes a lattice (21 with three
        objectives for the default). The paper's 91 directions for three objectives are for hundreds of
        generations; the default is for some hundreds of evaluations, as that of ``nsga2``.
    p_mutation
        Probability that an offspring changes one variable.

    Notes
    -----
    pymoo counts a distance below 0.001 from the ideal point as none, in the units of the objective. So each objective
    is measured in its range among the first generation, which the algorithm itself, being invariant to units, does
    not notice.
    """

    name = "nsga3"
    rescales: ClassVar[bool] = True

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        population: int = 20,
        p_mutation: float = 0.9,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.population = self._population(population)
        self.p_mutation = self._real("p_mutation", p_mutation, least=0, most=1)

    def options(self) -> dict[str, float | int | str]:
        """Population size and mutation probability."""
        return {"population": self.population, "p_mutation": self.p_mutation}

    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        from pymoo.algorithms.moo.nsga3 import NSGA3
        from pymoo.operators.selection.tournament import TournamentSelection

        directions = lattice(self.population, n_objectives=self.n_objectives)
        moves = space_operators(self.space, p_crossover=1.0, p_mutation=self.p_mutation)
        return NSGA3(
            ref_dirs=directions,
            pop_size=max(self.population, len(directions)),
            selection=TournamentSelection(func_comp=_less_violating),
            **{**operators, **moves},
        )

    def _finish_generation(self) -> None:
        with warnings.catch_warnings():  # pymoo's survival switches all warnings of the process off
            super()._finish_generation()


def _less_violating(pop: Any, P: NDArray[np.intp], random_state: Any = None, **kwargs: Any) -> NDArray[np.intp]:
    """Winner of each of (n, 2) pairs, (n, 1): what violates the constraints less, a random one of equals.

    pymoo's own does the same, but draws between equally infeasible ones from an unseeded generator (0.6.2).
    """
    violation = pop.get("CV")[:, 0]
    winners = [
        random_state.choice(pair) if violation[pair[0]] == violation[pair[1]] else pair[violation[pair].argmin()]
        for pair in P
    ]
    return np.array(winners, dtype=np.intp)[:, None]
