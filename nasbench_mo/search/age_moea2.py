"""AGE-MOEA-II: survival by the estimated geometry of the front, in pymoo's loop.

Panichella, "An improved Pareto front modeling algorithm for large-scale many-objective optimization", GECCO 2022; its
frame is AGE-MOEA, Panichella, GECCO 2019. Mating, tournament and the loop are pymoo's; the survival is written here,
because pymoo's needs numba, and compiles with reordered arithmetic that need not give the same bits on two machines.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.search.ranking import pareto_rank
from nasbench_mo.space import SearchSpace

#: Smallest length and distance that are divided by.
_TINY = 1e-8
#: Newton's method stops at a step of this size, or after so many steps.
_PRECISION, _STEPS = 1e-3, 100
#: Curvatures outside these are not believed: below, a flat front is assumed; above, the limit.
_LEAST_P, _MOST_P = 0.1, 20.0


@final
class AGEMOEA2Searcher(PymooSearcher):
    """AGE-MOEA-II on categorical variables.

    The first nondominated front is modelled as the curve where the p-th powers of the scaled objectives sum to one; p
    is found by Newton's method at its most central member. Members of that front are valued by their spread along the
    curve (geodesic distances to the two nearest that are better) over their distance from the ideal point; those of
    other fronts by their nearness to it. An offspring is a uniform crossover of two parents chosen by tournament on
    front and value, then with probability ``p_mutation`` a change of one variable.

    Parameters
    ----------
    population
        Number of survivors, and of offspring in a generation. The paper's 100 is for tens of thousands of evaluations;
        the default is for some hundreds, as that of ``nsga2``.
    p_mutation
        Probability that an offspring changes one variable.

    Notes
    -----
    Departures from pymoo's implementation: a member's spread is divided by its own distance from the ideal point, where
    pymoo's indices are swapped and divide by that of its neighbours; fronts after the first are shifted by the ideal
    point before their distance to it is taken, as the first one is; and the last front that fits in part is valued too
    when it is not the first, where pymoo leaves its order to chance. Corners are looked for before the axes are scaled,
    so each objective is measured in its range among the first generation.
    """

    name = "age-moea2"
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
        from pymoo.algorithms.base.genetic import GeneticAlgorithm
        from pymoo.algorithms.moo.nsga2 import binary_tournament
        from pymoo.core.survival import Survival
        from pymoo.operators.selection.tournament import TournamentSelection

        class GeometrySurvival(Survival):  # type: ignore[misc, unused-ignore]
            def _do(self, problem: Any, pop: Any, *args: Any, n_survive: int | None = None, **kwargs: Any) -> Any:
                rank, value = front_and_value(pop.get("F"))
                pop.set("rank", rank)
                pop.set("crowding", value)
                return pop[np.lexsort((-value, rank))[:n_survive]]

        moves = space_operators(self.space, p_mutation=self.p_mutation)
        algorithm = GeneticAlgorithm(
            pop_size=self.population,
            selection=TournamentSelection(func_comp=binary_tournament),
            survival=GeometrySurvival(),
            advance_after_initial_infill=True,
            **{**operators, **moves},
        )
        algorithm.tournament_type = "comp_by_rank_and_crowding"
        return algorithm


def front_and_value(F: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Nondominated front of each row, (n,), and its value within that front, (n,): large survives.

    Parameters
    ----------
    F
        (n, m) minimised, finite values; n >= 1.
    """
    rank = pareto_rank(F)
    first = rank == 0
    ideal = F[first].min(axis=0)
    value = np.empty(len(F))
    value[first], p, scale = survival_score(F[first] - ideal)
    value[~first] = 1.0 / np.maximum(_length((F[~first] - ideal) / scale, p=p), _TINY)
    return rank, value


def survival_score(front: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Values of the members of the first front, (n,), its curvature p, and the length of each axis, (m,).

    Parameters
    ----------
    front
        (n, m) nondominated values less their ideal point.
    """
    n, m = front.shape
    if n < m:
        return np.zeros(n), 1.0, _positive(front.max(axis=0))
    corners = corner_members(front)
    scale = _intercepts(front, corners=corners)
    front = front / scale
    p = curvature(front, corners=corners)
    distances = np.maximum(_geodesics(front, p=p), _TINY) / _at_least_tiny(_length(front, p=p))[:, None]
    value = np.zeros(n)
    value[corners] = np.inf
    left = np.setdiff1d(np.arange(n), corners)
    # Distances to the nearest and the second nearest of those chosen so far.
    two = np.sort(distances[:, np.unique(corners)], axis=1)[:, :2]
    while len(left):
        spread = two[left].sum(axis=1)
        best = left[spread.argmax()]
        value[best] = spread.max()
        left = left[left != best]
        two = np.sort(np.column_stack([two, distances[:, best]]), axis=1)[:, :2]
    return value, p, scale


def corner_members(front: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the member nearest to each axis, (m,), no member twice; all where there are no more than axes."""
    n, m = front.shape
    if n <= m:
        return np.arange(n)
    corners: list[int] = []
    for axis in 1e-6 + np.eye(m):
        along = (front @ axis / (axis @ axis))[:, None] * axis
        distance = ((front - along) ** 2).sum(axis=1)
        distance[corners] = np.inf
        corners.append(int(distance.argmin()))
    return np.array(corners)


def curvature(front: NDArray[np.float64], *, corners: NDArray[np.intp]) -> float:
    """The p for which the most central member lies on the curve, where its coordinates' p-th powers sum to one."""
    distance = np.linalg.norm(front, axis=1)
    distance[corners] = np.inf
    p = _newton(front[distance.argmin()])
    return 1.0 if not p > _LEAST_P else min(p, _MOST_P)


def _newton(point: NDArray[np.float64]) -> float:
    """Root of log(sum of coordinates^x) by Newton's method from 1; 1 where it is lost."""
    logs = np.log(point[point > 0] + 1e-10)
    x = 1.0
    for _ in range(_STEPS):
        powers = np.exp(np.minimum(x * logs, 700.0))
        total = float(powers.sum())
        if total == 0.0:
            return 1.0
        slope = float((powers * logs).sum()) / total
        if slope == 0.0:
            return 1.0
        step = float(np.log(total)) / slope
        x -= step
        if not np.isfinite(x):
            return 1.0
        if abs(step) <= _PRECISION:
            break
    return x


def _geodesics(front: NDArray[np.float64], *, p: float) -> NDArray[np.float64]:
    """Length between each two members along the curve, (n, n): straight if it is flat, else over the middle point."""
    on_curve = _project(front, p=p)
    if 0.95 < p < 1.05:
        return np.asarray(np.linalg.norm(on_curve[:, None] - on_curve, axis=2))
    middle = _project((on_curve[:, None] + on_curve) / 2, p=p)
    return np.asarray(
        np.linalg.norm(on_curve[:, None] - middle, axis=2) + np.linalg.norm(on_curve[None] - middle, axis=2)
    )


def _project(points: NDArray[np.float64], *, p: float) -> NDArray[np.float64]:
    """Points moved along their ray from the ideal point onto the curve; the ideal point itself stays."""
    return points / _positive(_length(points, p=p))[..., None]


def _length(points: NDArray[np.float64], *, p: float) -> NDArray[np.float64]:
    """The p-norm of each row of nonnegative coordinates."""
    lengths: NDArray[np.float64] = (points**p).sum(axis=-1) ** (1.0 / p)
    return lengths


def _intercepts(front: NDArray[np.float64], *, corners: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where the plane through the corner members meets the axes, (m,); else the largest value of each."""
    largest = _positive(front.max(axis=0))
    try:
        plane = np.linalg.solve(front[corners], np.ones(front.shape[1]))
    except np.linalg.LinAlgError:
        return largest
    if not (np.isfinite(plane).all() and (plane > 0).all()):
        return largest
    scale = 1.0 / np.asarray(plane, dtype=np.float64)
    return scale if np.isfinite(scale).all() else largest


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values > 0, values, 1.0)


def _at_least_tiny(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(lengths < _TINY, 1.0, lengths)
