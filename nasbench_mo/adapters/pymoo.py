"""pymoo both ways: our problems for its algorithms, and its algorithms as searchers.

Both sides minimise, so no sign is turned; objectives keep their order and units.

>>> import nasbench_mo as nmo
>>> from pymoo.algorithms.moo.nsga2 import NSGA2
>>> from pymoo.algorithms.moo.spea2 import SPEA2
>>> from pymoo.optimize import minimize
>>> problem = nmo.problem("nb201s-c10-flops-v1")
>>> found = minimize(to_pymoo(problem), NSGA2(20, **space_operators(problem.space)), ("n_eval", 400), seed=0)
>>> problem.hypervolume_share(found.F) > 0.9
True
>>> searcher = PymooAlgorithm(problem.space, problem.n_objectives, algorithm=SPEA2, pop_size=20)
>>> nmo.run(problem, searcher, budget=300).hypervolume_share() > 0.9
True
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.adapters._values import whole_numbers
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import SearcherError
from nasbench_mo.search.pymoo_base import PymooSearcher, space_operators
from nasbench_mo.space import SearchSpace


def to_pymoo(problem: Problem, *, noise_seed: int = 0) -> Any:
    """A ``pymoo.core.problem.Problem`` of one of our problems.

    Variables are the integers of our encodings, from ``xl`` = 0 to ``xu`` = cardinality - 1, and categorical: give an
    algorithm :func:`space_operators`, or other operators that keep integers. Constraints are inequalities ``G <= 0``,
    one a constraint, in its order.

    Parameters
    ----------
    problem
        Ours. It is not copied, so that a history that pymoo keeps does not hold its data once a generation.
    noise_seed
        Draws the training runs that the search sees, as in :meth:`.Problem.observation`.

    Raises
    ------
    ArchitectureError
        While it is evaluated: a variable is no integer.

    Notes
    -----
    ``pareto_front()`` is the exact front of the scored values where that costs next to nothing, else None.
    """
    from pymoo.core.problem import Problem as PymooProblem

    seen = problem.observation(noise_seed)
    exact = problem.space.enumerable and all(term.values.tabulated() for term in problem.terms)

    class NasProblem(PymooProblem):  # type: ignore[misc, unused-ignore]
        def name(self) -> str:
            return problem.id

        def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            rows = whole_numbers(X, search_space=problem.space)
            out["F"] = seen.evaluate(rows)
            if self.n_ieq_constr:
                out["G"] = problem.constraint_set.excess(out["F"], X=rows)

        def _calc_pareto_front(self, *args: Any, **kwargs: Any) -> NDArray[np.float64] | None:
            return problem.true_front() if exact else None

        def __deepcopy__(self, memo: dict[int, Any]) -> NasProblem:
            return self

    return NasProblem(
        n_var=problem.space.n_variables,
        n_obj=problem.n_objectives,
        n_ieq_constr=len(problem.constraints),
        xl=0,
        xu=problem.space.cardinalities - 1,
        vtype=int,
    )


@final
class PymooAlgorithm(PymooSearcher):
    """Any algorithm of pymoo as a searcher.

    An algorithm that takes ``sampling``, ``crossover`` or ``mutation`` gets the search space's own moves for those that
    are not among the settings. What it proposes is rounded to the nearest architecture, so that one which moves in real
    numbers (differential evolution, particle swarms) searches too; for categorical variables it is a poor choice.

    Parameters
    ----------
    space, n_objectives
        What is searched.
    algorithm
        Class of the algorithm, or a function that makes one. Each searcher makes an algorithm of its own.
    seed
        Of all randomness.
    heeds_constraints
        Whether the algorithm takes inequality constraints; pymoo's ``MOEAD`` does not.
    **settings
        Of the algorithm, e.g. ``pop_size=20`` or ``ref_dirs=...``.

    Raises
    ------
    SearcherError
        The algorithm is an instance, or does not have one of the settings.

    Examples
    --------
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from nasbench_mo.space import space
    >>> searcher = PymooAlgorithm(space("nb201"), 2, algorithm=NSGA2, pop_size=10)
    >>> searcher.name, searcher.options(), searcher.ask().shape
    ('pymoo-nsga2', {'pop_size': 10}, (10, 6))
    """

    name = "pymoo"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        algorithm: Callable[..., Any],
        seed: int = 0,
        heeds_constraints: bool = True,
        **settings: Any,
    ) -> None:
        if not callable(algorithm):
            raise SearcherError(
                f"expected the class of a pymoo algorithm, or a function that makes one; got an instance of "
                f"{type(algorithm).__name__}. Give algorithm={type(algorithm).__name__} and its settings"
            )
        self.name = f"pymoo-{getattr(algorithm, '__name__', type(algorithm).__name__).lower()}"
        super().__init__(space, n_objectives, seed=seed)
        self._make = algorithm
        self._settings = settings
        self.wants_constraints = heeds_constraints  # type: ignore[misc]  # the algorithm's, not the class's
        self._make_algorithm(space_operators(space))  # a wrong setting is an error now, not at the first ask

    def options(self) -> dict[str, float | int | str]:
        """The settings: numbers and words as they are, an array as its hash, anything else as the name of its type."""
        return {name: _described(value) for name, value in self._settings.items()}

    def _make_algorithm(self, operators: dict[str, Any]) -> Any:
        takes = inspect.signature(self._make).parameters
        moves = {name: operators[name] for name in ("sampling", "crossover", "mutation") if name in takes}
        try:
            return self._make(**{**moves, **self._settings})
        except TypeError as error:
            raise SearcherError(f"searcher {self.name!r}: {error}") from error

    def _start_generation(self) -> None:
        from pymoo.core.individual import Individual

        super()._start_generation()
        largest = self.space.cardinalities - 1
        self._X = np.rint(self._X.astype(np.float64)).clip(0, largest).astype(np.int64)
        single = isinstance(self._generation, Individual)
        self._generation.set("X", self._X[0] if single else self._X)


def _described(value: Any) -> float | int | str:
    """A setting as a plain value that identifies it."""
    if isinstance(value, (int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:12]}"
    return f"{type(value).__module__}.{type(value).__qualname__}"


__all__ = ["PymooAlgorithm", "space_operators", "to_pymoo"]
