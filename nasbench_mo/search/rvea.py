"""RVEA by pymoo, with the space's own categorical moves.

Cheng, Jin, Olhofer, Sendhoff, "A reference vector guided evolutionary algorithm for many-objective optimization", IEEE
TEC 20(5), 2016. Mating and the loop are pymoo's; the selection is written here, because pymoo's takes the arc cosine
of numbers that rounding has lifted above 1.
"""

from __future__ import annotations

from math import ceil
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.directions import lattice
from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.space import SearchSpace

#: Smallest distance and angle that are divided by.
_TINY = 1e-64


@final
class RVEASearcher(PymooSearcher):
    """RVEA on categorical variables.

    Every member belongs to the reference vector that is nearest in angle, and one survives for each vector that has
    members: the one of the least angle-penalised distance from the ideal point. The weight of the angle grows over the
    run, (t / t_max)^alpha, so convergence comes first and an even spread last. Therefore RVEA alone has to know how
    long the run is. Parents are drawn at random, always crossed uniformly (p_c = 1, as in the paper), and an offspring
    then changes one variable with probability ``p_mutation``.

    Parameters
    ----------
    population
        Number of reference vectors and of offspring: this many, or the next number that makes a Das-Dennis lattice (21
        with three objectives for the default). There are fewer survivors where vectors have no members. The paper's
        hundred and more are for tens of thousands of evaluations; the default is for some hundreds, as that of
        ``nsga2``.
    budget
        Evaluations after which the angle has its full weight: give the budget of the run. A longer run goes on with
        the full weight, a shorter one ends before it.
    alpha
        Rate at which the weight of the angle grows; 2 in the paper.
    adaptation
        Share of the generations between two adaptations of the vectors to the ranges of the objectives, f_r; 0.1 in
        the paper.
    p_mutation
        Probability that an offspring changes one variable.
    """

    name = "rvea"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        population: int = 20,
        budget: int = 300,
        alpha: float = 2.0,
        adaptation: float = 0.1,
        p_mutation: float = 0.9,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.population = self._population(population)
        self.budget = self._integer("budget", budget, least=1)
        self.alpha = self._real("alpha", alpha, least=0, most=100)
        self.adaptation = self._real("adaptation", adaptation, least=1e-6, most=1)
        self.p_mutation = self._real("p_mutation", p_mutation, least=0, most=1)

    def options(self) -> dict[str, float | int | str]:
        """Population size, budget, rate and frequency of the two schedules, and mutation probability."""
        return {
            "population": self.population,
            "budget": self.budget,
            "alpha": self.alpha,
            "adaptation": self.adaptation,
            "p_mutation": self.p_mutation,
        }

    def _directions(self) -> NDArray[np.float64]:
        return lattice(self.population, n_objectives=self.n_objectives)

    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        from pymoo.algorithms.moo.rvea import RVEA

        directions = self._directions()
        moves = space_operators(self.space, p_crossover=1.0, p_mutation=self.p_mutation)
        return RVEA(
            directions,
            pop_size=max(self.population, len(directions)),
            adapt_freq=self.adaptation,
            survival=_survival(directions, alpha=self.alpha),
            **{**operators, **moves},
        )

    def _make_termination(self) -> Any:
        """A number of generations that the schedules are measured by, and that ends nothing."""
        from pymoo.termination.max_gen import MaximumGenerationTermination

        class Horizon(MaximumGenerationTermination):  # type: ignore[misc, unused-ignore]
            def _update(self, algorithm: Any) -> float:
                return 0.0

        return Horizon(max(1, ceil(self.budget / max(self.population, len(self._directions())))))


def unit_vectors(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to length one, (k, m)."""
    vectors: NDArray[np.float64] = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return vectors


def smallest_angles(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle of each unit vector to its nearest neighbour, (k,), gamma in the paper; never 0."""
    cosines = np.clip(vectors @ vectors.T, -1.0, 1.0)
    np.fill_diagonal(cosines, -1.0)
    angles: NDArray[np.float64] = np.maximum(np.arccos(cosines.max(axis=1)), _TINY)
    return angles


def angle_penalized_selection(
    F: NDArray[np.float64], vectors: NDArray[np.float64], *, gamma: NDArray[np.float64], progress: float
) -> NDArray[np.intp]:
    """Indices of the survivors, one for each reference vector that has members.

    Parameters
    ----------
    F
        (n, m) objective values less the ideal point.
    vectors
        (k, m) reference vectors of length one.
    gamma
        (k,) angle of each to its nearest neighbour.
    progress
        (t / t_max)^alpha, 0..1.

    Notes
    -----
    The angle-penalised distance of the paper. pymoo's weighs the angle with two objectives by 1 instead of m = 2.
    """
    m = F.shape[1]
    distance = np.maximum(np.linalg.norm(F, axis=1), _TINY)
    angles = np.arccos(np.clip((F / distance[:, None]) @ vectors.T, -1.0, 1.0))
    niche = angles.argmin(axis=1)
    theta = angles[np.arange(len(F)), niche]
    penalized = distance * (1.0 + m * progress * theta / gamma[niche])
    order = np.lexsort((penalized, niche))  # stable: the first of equals
    _, first = np.unique(niche[order], return_index=True)
    survivors: NDArray[np.intp] = order[first]
    return survivors


def _survival(directions: NDArray[np.float64], *, alpha: float) -> Any:
    from pymoo.core.survival import Survival

    class AnglePenalizedSurvival(Survival):  # type: ignore[misc, unused-ignore]
        """Keeps what pymoo's loop asks for: ``adapt`` is called by it once in so many generations."""

        def __init__(self) -> None:
            super().__init__(filter_infeasible=True)
            self.ideal = np.full(directions.shape[1], np.inf)
            self.vectors = unit_vectors(directions)
            self.gamma = smallest_angles(self.vectors)
            self.span = np.ones(directions.shape[1])

        def adapt(self) -> None:
            scaled = unit_vectors(directions) * np.where(self.span > 0, self.span, 1.0)
            self.vectors = unit_vectors(scaled)
            self.gamma = smallest_angles(self.vectors)

        def _do(self, problem: Any, pop: Any, *args: Any, algorithm: Any = None, **kwargs: Any) -> Any:
            F = pop.get("F")
            self.ideal = np.minimum(self.ideal, F.min(axis=0))
            progress = min(1.0, (algorithm.n_gen - 1) / algorithm.termination.n_max_gen) ** alpha
            kept = angle_penalized_selection(F - self.ideal, self.vectors, gamma=self.gamma, progress=progress)
            self.span = F[kept].max(axis=0) - self.ideal
            return pop[kept]

    return AnglePenalizedSurvival()
