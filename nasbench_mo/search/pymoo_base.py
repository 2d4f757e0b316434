"""A pymoo algorithm behind ask/tell, its variation made by the search space."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.search.base import Searcher
from nasbench_mo.space import SearchSpace

#: pymoo compares every pair of a population.
LARGEST_POPULATION = 10_000


class PymooSearcher(Searcher):
    """One pymoo algorithm on categorical variables. Abstract: a searcher names its algorithm.

    A generation is asked for in parts of any size; pymoo advances when all of it has been told. Hence it takes only
    what it proposed, in that order.

    Constraints are pymoo's: the violation is one inequality, and what is feasible survives, and wins a tournament,
    before what is not; of the infeasible, what violates less (Deb et al. 2002, section VI).
    """

    accepts_foreign: ClassVar[bool] = False
    wants_constraints: ClassVar[bool] = True
    #: Whether pymoo sees each objective in its range among the first generation instead of its unit.
    rescales: ClassVar[bool] = False

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._algorithm: Any = None
        self._problem: Any = None
        self._generation: Any = None
        self._X: NDArray[Any] = np.empty((0, space.n_variables), dtype=np.int64)
        self._n_given = 0
        self._told: list[NDArray[np.float64]] = []
        self._exhausted = False
        self._scale: NDArray[np.float64] | None = None

    @abstractmethod
    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        """The pymoo algorithm, given ``sampling``, ``crossover``, ``mutation`` and ``eliminate_duplicates``."""

    def _make_termination(self) -> Any:
        """What pymoo is told about the end of the run: nothing, unless the algorithm has to plan for it."""
        from pymoo.core.termination import NoTermination

        return NoTermination()

    def _presented(self, F: NDArray[np.float64]) -> NDArray[np.float64]:
        """Objective values as pymoo is to see them, (k, ``_n_presented``)."""
        if not self.rescales:
            return F
        if self._scale is None:
            span = np.ptp(F, axis=0)
            self._scale = np.where(span > 0, span, 1.0)
        return F / self._scale

    @property
    def _n_presented(self) -> int:
        """Number of objectives that pymoo sees."""
        return self.n_objectives

    def _population(self, value: object) -> int:
        """Size of a population, checked."""
        size = self._integer("population", value, least=2)
        if size > LARGEST_POPULATION:
            raise SearcherError(
                f"searcher {self.name!r}: population must be at most {LARGEST_POPULATION}, got {value!r}"
            )
        return size

    def _ask(self, n: int | None) -> NDArray[Any]:
        if self._generation is None:
            self._start_generation()
        if self._n_given == len(self._X):
            raise SearcherError(f"searcher {self.name!r}: tell this generation's values before asking for the next")
        stop = len(self._X) if n is None else min(len(self._X), self._n_given + n)
        rows: NDArray[Any] = self._X[self._n_given : stop].astype(self.space.dtype)
        self._n_given = stop
        return rows

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        n_told = sum(len(values) for values in self._told)
        if self._generation is None or n_told + len(F) > self._n_given:
            raise SearcherError(f"searcher {self.name!r}: told {len(F)} architectures that were not asked for")
        if not np.array_equal(self._X[n_told : n_told + len(F)], X):
            raise SearcherError(f"searcher {self.name!r}: tell architectures in the order in which they were asked")
        self._told.append(F)
        if n_told + len(F) == len(self._X):
            self._finish_generation()

    def _start_generation(self) -> None:
        if self._algorithm is None:
            self._setup()
        # Once mating has failed a hundred times, it is not tried again.
        generation = None if self._exhausted else self._algorithm.ask()
        if generation is None or not np.size(generation.get("X")):
            self._exhausted = True
            raise ExhaustedError(f"searcher {self.name!r}: no offspring differs from the population")
        self._generation = generation
        self._X = np.atleast_2d(generation.get("X"))  # a single individual, where an algorithm asks for one
        self._n_given = 0
        self._told = []

    def _finish_generation(self) -> None:
        told = np.concatenate(self._told)
        self._problem.values = self._presented(told)
        if self._problem.n_ieq_constr:
            self._problem.violation = self._violation(self._X.astype(self.space.dtype), told)
        self._algorithm.evaluator.eval(self._problem, self._generation)
        self._algorithm.tell(infills=self._generation)
        self._generation = None

    def _setup(self) -> None:
        from pymoo.core.duplicate import DefaultDuplicateElimination
        from pymoo.core.problem import Problem

        class ToldProblem(Problem):  # type: ignore[misc, unused-ignore]
            """Its values are the ones told; pymoo's StaticProblem is the same, but copied for every generation."""

            values: NDArray[np.float64]
            violation: NDArray[np.float64]

            def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
                out["F"] = self.values
                if self.n_ieq_constr:
                    out["G"] = self.violation[:, None]

        self._problem = ToldProblem(
            n_var=self.space.n_variables,
            n_obj=self._n_presented,
            n_ieq_constr=int(self.wants_constraints and self.constrained),
            xl=0,
            xu=self.space.cardinalities - 1,
            vtype=int,
        )
        operators = {**space_operators(self.space), "eliminate_duplicates": DefaultDuplicateElimination()}
        self._algorithm = self._make_algorithm(operators)
        self._algorithm.setup(self._problem, termination=self._make_termination(), seed=self.seed)


def space_operators(space: SearchSpace, *, p_crossover: float = 0.9, p_mutation: float = 0.9) -> dict[str, Any]:
    """pymoo ``sampling``, ``crossover`` and ``mutation`` that draw a space's own moves.

    Parameters
    ----------
    p_crossover, p_mutation
        Probability that two parents are crossed, and that an offspring then changes one variable.
    """
    from pymoo.core.crossover import Crossover
    from pymoo.core.mutation import Mutation
    from pymoo.core.sampling import Sampling

    class SpaceSampling(Sampling):  # type: ignore[misc, unused-ignore]
        def _do(self, problem: Any, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
            return space.sample(n_samples, rng=random_state).astype(np.int64)

    class SpaceCrossover(Crossover):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__(2, 1, prob=p_crossover)

        def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
            return space.crossover(X[0], X[1], rng=random_state)[None, :, :]

    class SpaceMutation(Mutation):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__(prob=p_mutation)

        def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
            return space.mutate(X, rng=random_state)

    return {"sampling": SpaceSampling(), "crossover": SpaceCrossover(), "mutation": SpaceMutation()}
