"""R-NSGA-II by pymoo, with the space's own categorical moves: the part of the front nearest to what is aspired to.

Deb & Sundar, "Reference point based multi-objective optimization using evolutionary algorithms", GECCO 2006. Ranking,
preference distance and survival are pymoo's.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SearcherError
from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.space import SearchSpace


@final
class RNSGA2Searcher(PymooSearcher):
    """R-NSGA-II on categorical variables: NSGA-II that crowds around aspiration points instead of spreading out.

    An aspiration point is what one would like to have, reached or not, such as 8 % error in 5 ms. Nondominated sorting
    comes first; within a front those nearest to an aspiration point survive, distances being scaled by the range of the
    first front. Of points nearer to each other than ``epsilon`` one is preferred, so that they do not all become the
    same. An offspring is a uniform crossover of two parents chosen by tournament, then with probability ``p_mutation``
    a change of one variable.

    Parameters
    ----------
    aspiration
        One number an objective, in its unit, with commas: ``"8,5"``; several points with semicolons between. Without
        any it is the best value of each objective in the first generation, which looks for a compromise.
    population
        Number of survivors, and of offspring in a generation. The paper's 100 is for tens of thousands of evaluations;
        the default is for some hundreds, as that of ``nsga2``.
    epsilon
        Least distance that is kept, as a share of the front's range: how wide a part of the front is wanted. 0.001 to
        0.01 in the paper.
    p_mutation
        Probability that an offspring changes one variable.
    """

    name = "r-nsga2"
    preference_option: ClassVar[str | None] = "aspiration"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        aspiration: str = "",
        population: int = 20,
        epsilon: float = 0.01,
        p_mutation: float = 0.9,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.aspiration = aspiration
        self._points = self._parsed(aspiration)
        self.population = self._population(population)
        self.epsilon = self._real("epsilon", epsilon, least=0, most=1)
        self.p_mutation = self._real("p_mutation", p_mutation, least=0, most=1)

    def options(self) -> dict[str, float | int | str]:
        """Aspiration points, population size, least distance and mutation probability."""
        return {
            "aspiration": self.aspiration,
            "population": self.population,
            "epsilon": self.epsilon,
            "p_mutation": self.p_mutation,
        }

    def _parsed(self, aspiration: object) -> NDArray[np.float64]:
        """The aspiration points, (k, m); none where they are left to the searcher."""
        if aspiration == "":
            return np.empty((0, self.n_objectives))
        try:
            points = [[float(number) for number in point.split(",")] for point in str(aspiration).split(";")]
            wrong = not isinstance(aspiration, str) or any(len(point) != self.n_objectives for point in points)
        except ValueError:
            wrong = True
        if wrong or not np.isfinite(points).all():
            raise SearcherError(
                f"searcher {self.name!r}: aspiration must be {self.n_objectives} numbers with commas between, one for "
                f"every objective (none may be left open); got {aspiration!r}"
            )
        return np.array(points)

    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        from pymoo.algorithms.moo.rnsga2 import RNSGA2

        moves = space_operators(self.space, p_mutation=self.p_mutation)
        return RNSGA2(
            self._points if len(self._points) else np.zeros((1, self.n_objectives)),
            pop_size=self.population,
            epsilon=self.epsilon,
            **{**operators, **moves},
        )

    def _finish_generation(self) -> None:
        if not len(self._points):
            self._points = np.concatenate(self._told).min(axis=0)[None]
            self._algorithm.survival.ref_points = self._points
        with np.errstate(divide="ignore", invalid="ignore"):  # an objective may have one value on the first front
            super()._finish_generation()
