"""MOEA/D by pymoo, with the space's own categorical moves and the paper's scaling of the objectives.

Zhang & Li, "MOEA/D: a multiobjective evolutionary algorithm based on decomposition", IEEE TEC 11(6), 2007.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SearcherError
from nasbench_mo.search.directions import lattice
from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.space import SearchSpace

DECOMPOSITIONS = ("tchebycheff", "pbi")
#: Weights of zero become this, so that an objective without weight still breaks ties.
_LEAST_WEIGHT = 1e-5
#: Penalty of PBI in Zhang & Li.
_THETA = 5.0


@final
class MOEADSearcher(PymooSearcher):
    """MOEA/D on categorical variables.

    Each weight vector of a Das-Dennis lattice is a scalar problem with one current member. A sweep visits the problems
    in random order; each visit mates two members of the problem's neighbourhood, and the child replaces whichever
    current members of that neighbourhood it beats. Scalar problems see objectives scaled to 0..1 between the best value
    so far and the worst one among the current members, as the paper proposes for differing units.

    A child is a uniform crossover (p_c = 1, as in the paper), then with probability ``p_mutation`` a change of one
    variable. Repeated children are proposed again, as in the paper.

    Parameters
    ----------
    population
        Number of weight vectors: this many, or the next number that makes a lattice (21 with three objectives for the
        default). The paper's 100 to 300 are for 25,000 evaluations and more; the default is for some hundreds, as that
        of ``nsga2``.
    neighbours
        Size T of a neighbourhood, the problem itself included. The paper's is 20 of 100 to 300; the default is a
        quarter of the default population.
    decomposition
        ``"tchebycheff"`` or ``"pbi"`` (boundary intersection with a penalty of 5), both in the paper.
    batch
        Children proposed before any of them has to be told. The paper's is 1: a child may mate at the next visit.
    p_mutation
        Probability that a child changes one variable.

    Notes
    -----
    Mating is pymoo's; its own loop asks for one child at a time without scaling, and its parallel variant for a whole
    sweep. Weights of zero are raised to 1e-5, as usual, so that of two members equal in the objective that counts the
    better one in the others stays. All evaluations are recorded by the run, which is the paper's external population.
    """

    name = "moead"
    wants_constraints: ClassVar[bool] = False  # pymoo's MOEA/D has no constraints

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        population: int = 20,
        neighbours: int = 5,
        decomposition: str = "tchebycheff",
        batch: int = 1,
        p_mutation: float = 0.9,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.population = self._population(population)
        self.neighbours = self._integer("neighbours", neighbours, least=2)
        if self.neighbours > self.population:
            raise SearcherError(
                f"searcher {self.name!r}: neighbours must be at most population, got {neighbours} of {population}"
            )
        if decomposition not in DECOMPOSITIONS:
            raise SearcherError(
                f"searcher {self.name!r}: decomposition must be one of {', '.join(DECOMPOSITIONS)}, "
                f"got {decomposition!r}"
            )
        self.decomposition = decomposition
        self.batch = self._integer("batch", batch, least=1)
        self.p_mutation = self._real("p_mutation", p_mutation, least=0, most=1)

    def options(self) -> dict[str, float | int | str]:
        """Population, neighbourhood and batch sizes, decomposition and mutation probability."""
        return {
            "population": self.population,
            "neighbours": self.neighbours,
            "decomposition": self.decomposition,
            "batch": self.batch,
            "p_mutation": self.p_mutation,
        }

    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        weights = lattice(self.population, n_objectives=self.n_objectives)
        if len(weights) < self.population:  # one objective: one problem, which all members share
            weights = np.repeat(weights, self.population, axis=0)
        moves = space_operators(self.space, p_crossover=1.0, p_mutation=self.p_mutation)
        return _sweeping_moead(
            weights, batch=self.batch, n_neighbors=self.neighbours, scalar=_SCALARS[self.decomposition], moves=moves
        )


def tchebycheff(F: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted Chebyshev distance of each row from the origin, (n,)."""
    distances: NDArray[np.float64] = (weights * F).max(axis=1)
    return distances


def penalty_boundary_intersection(F: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each row along its weight vector plus theta times that from it, (n,)."""
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    along = (F * unit).sum(axis=1)
    aside = np.linalg.norm(F - along[:, None] * unit, axis=1)
    result: NDArray[np.float64] = along + _THETA * aside
    return result


_SCALARS = {"tchebycheff": tchebycheff, "pbi": penalty_boundary_intersection}


def _sweeping_moead(
    weights: NDArray[np.float64], *, batch: int, n_neighbors: int, scalar: Any, moves: dict[str, Any]
) -> Any:
    """pymoo's MOEA/D, asked for ``batch`` children at a time."""
    from pymoo.algorithms.moo.moead import MOEAD

    class SweepingMOEAD(MOEAD):  # type: ignore[misc, unused-ignore]
        def _initialize_advance(self, infills: Any = None, **kwargs: Any) -> None:
            super()._initialize_advance(infills, **kwargs)
            self.values: NDArray[np.float64] = self.pop.get("F")
            self.ideal: NDArray[np.float64] = self.values.min(axis=0)
            self.visits = np.empty(0, dtype=np.intp)  # problems left in this sweep

        def _infill(self) -> Any:
            if not len(self.visits):
                self.visits = self.random_state.permutation(len(self.pop))
            visited = self.visits[:batch]
            neighbors = self.neighbors[visited]
            mates = self.selection.do(
                self.problem, self.pop, len(visited), 2, neighbors=neighbors, random_state=self.random_state
            )
            return self.mating.do(
                self.problem,
                self.pop,
                len(visited),
                parents=mates,
                n_max_iterations=1,
                random_state=self.random_state,
            )

        def _advance(self, infills: Any = None, **kwargs: Any) -> bool:
            visited, self.visits = self.visits[:batch], self.visits[batch:]
            F = infills.get("F")
            self.ideal = np.minimum(self.ideal, F.min(axis=0))
            for problem, child, values in zip(visited, infills, F, strict=True):
                self._replace_neighbors(self.neighbors[problem], child, values)
            return not len(self.visits)  # pymoo counts a sweep as a generation

        def _replace_neighbors(self, near: NDArray[np.intp], child: Any, values: NDArray[np.float64]) -> None:
            span = self.values.max(axis=0) - self.ideal
            span[span <= 0] = 1.0
            now = scalar((self.values[near] - self.ideal) / span, self.ref_dirs[near])
            new = scalar(np.broadcast_to((values - self.ideal) / span, (len(near), len(span))), self.ref_dirs[near])
            beaten = near[new < now]
            self.pop[beaten] = child
            self.values[beaten] = values

    return SweepingMOEAD(np.maximum(weights, _LEAST_WEIGHT), n_neighbors=n_neighbors, prob_neighbor_mating=1.0, **moves)
