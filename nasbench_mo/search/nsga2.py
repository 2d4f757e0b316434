"""NSGA-II by pymoo, with the space's own categorical moves.

Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 2002. Ranking, crowding and
survival are pymoo's.
"""

from __future__ import annotations

from typing import Any, final

from nasbench_mo.errors import SearcherError
from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.space import SearchSpace


@final
class NSGA2Searcher(PymooSearcher):
    """NSGA-II on categorical variables.

    An offspring is a uniform crossover of two parents chosen by tournament, then with probability ``p_mutation`` a
    change of one variable.

    Parameters
    ----------
    population
        Number of survivors, and of offspring in a generation.
    p_mutation
        Probability that an offspring changes one variable.
    """

    name = "nsga2"

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
        if not 0 <= p_mutation <= 1:
            raise SearcherError(f"searcher 'nsga2': p_mutation must lie in 0..1, got {p_mutation}")
        self.population = self._population(population)
        self.p_mutation = float(p_mutation)

    def options(self) -> dict[str, float | int | str]:
        """Population size and mutation probability."""
        return {"population": self.population, "p_mutation": self.p_mutation}

    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        from pymoo.algorithms.moo.nsga2 import NSGA2

        mutation = space_operators(self.space, p_mutation=self.p_mutation)["mutation"]
        return NSGA2(pop_size=self.population, **{**operators, "mutation": mutation})
