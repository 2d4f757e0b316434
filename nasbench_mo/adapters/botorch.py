"""Our problems as test problems of BoTorch.

BoTorch maximises and we minimise. As with BoTorch's own test problems the flag ``negate`` turns the sign, of the
objectives and of the reference point alike; here it is set unless said otherwise, so that acquisition functions can
take the values as they are. Objectives keep their order and units.

>>> import nasbench_mo as nmo
>>> import torch
>>> from botorch.utils.multi_objective.hypervolume import Hypervolume
>>> problem = nmo.problem("nb201s-c10-flops-v1")
>>> test_problem = to_botorch(problem)
>>> X = torch.tensor(problem.space.enumerate()[:3], dtype=torch.float64)
>>> bool((test_problem(X).numpy() == -problem.evaluate(X.numpy().astype(int))).all())
True
>>> front = -torch.tensor(problem.true_front())
>>> round(Hypervolume(test_problem.ref_point).compute(front) / test_problem.max_hv, 6)
1.0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.adapters._values import whole_numbers
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import SpecError, require


def to_botorch(
    problem: Problem, *, negate: bool = True, noise_seed: int = 0, reference_point: Sequence[float] | None = None
) -> Any:
    """A ``botorch.test_functions.base.MultiObjectiveTestProblem`` of one of our problems.

    Every variable is categorical, from 0 to its cardinality - 1. With constraints it is a
    ``ConstrainedBaseTestProblem`` too, whose slack is at least 0 where a constraint is kept.

    Parameters
    ----------
    problem
        Ours, of two objectives or more.
    negate
        Whether values and ``ref_point`` have their sign turned, to be maximised. Without it both are minimised, as in
        our problem.
    noise_seed
        Draws the training runs that ``forward`` shows, as in :meth:`.Problem.observation`; ``forward(X, noise=False)``
        and ``evaluate_true`` give the scored values. There is no other noise.
    reference_point
        (m,) in the objectives' units, minimised; that of the manifest by default. With another one the maximal
        hypervolume is not known.

    Returns
    -------
    The test problem. ``max_hv`` is that of the exact front, of the values in their units: its unit is the product of
    theirs. Where only a best front is known, there is no ``max_hv``: BoTorch would take it for what cannot be exceeded.

    Raises
    ------
    SpecError
        There is only one objective, or the reference point is not m finite numbers.
    ManifestError
        The problem has no manifest, and no reference point is given.
    MissingDependencyError
        BoTorch is not installed.
    """
    base = require("botorch.test_functions.base", extra="adapters")
    torch = require("torch", extra="adapters")
    if problem.n_objectives < 2:
        raise SpecError(f"problem {problem.id!r} has one objective; a multi-objective test problem has two or more")
    largest = (problem.space.cardinalities - 1).tolist()
    reference, best = _reference_and_best(problem, given=reference_point)
    scored, seen = problem.evaluator("score"), problem.observation(noise_seed)

    def encodings(X: Any) -> NDArray[Any]:
        rows = X.detach().cpu().numpy().reshape(-1, problem.space.n_variables)
        return whole_numbers(rows, search_space=problem.space)

    def answer(values: NDArray[np.float64], X: Any) -> Any:
        """(n, k) values in the shape, type and place of X, (..., d)."""
        return torch.as_tensor(values.copy(), dtype=X.dtype, device=X.device).reshape(*X.shape[:-1], values.shape[1])

    class NasProblem(base.MultiObjectiveTestProblem):  # type: ignore[misc, name-defined, unused-ignore]
        dim = problem.space.n_variables
        num_objectives = problem.n_objectives
        categorical_inds = list(range(problem.space.n_variables))  # noqa: RUF012
        _bounds = [(0.0, float(most)) for most in largest]  # noqa: RUF012
        _ref_point = reference
        _max_hv = best
        _check_grad_at_opt = False

        def forward(self, X: Any, noise: bool = True) -> Any:
            true = super().forward(X, noise=noise)
            if not (noise and problem.noisy):
                return true
            observed = answer(seen.evaluate(encodings(X)), X)
            return -observed if self.negate else observed

        def _evaluate_true(self, X: Any) -> Any:
            return answer(scored.evaluate(encodings(X)), X)

    if not problem.constraints:
        return NasProblem(negate=negate)

    class ConstrainedNasProblem(NasProblem, base.ConstrainedBaseTestProblem):  # type: ignore[misc, name-defined, unused-ignore]
        num_constraints = len(problem.constraints)

        def evaluate_slack(self, X: Any, noise: bool = True) -> Any:
            true = super().evaluate_slack(X, noise=noise)
            return self._slack(X, seen.evaluate(encodings(X))) if noise and problem.noisy else true

        def _evaluate_slack_true(self, X: Any) -> Any:
            return self._slack(X, scored.evaluate(encodings(X)))

        def _slack(self, X: Any, F: NDArray[np.float64]) -> Any:
            return answer(-problem.constraint_set.excess(F, X=encodings(X)), X)

    return ConstrainedNasProblem(negate=negate)


def _reference_and_best(problem: Problem, *, given: Sequence[float] | None) -> tuple[list[float], float | None]:
    """Reference point in the objectives' units, minimised, and the exact hypervolume, if it is known."""
    if given is not None:
        point = np.asarray(given, dtype=np.float64)
        if point.shape != (problem.n_objectives,) or not np.isfinite(point).all():
            raise SpecError(f"the reference point must be {problem.n_objectives} finite numbers, got {given!r}")
        return point.tolist(), None
    manifest = problem.manifest
    ideal, nadir = np.asarray(manifest.score.ideal), np.asarray(manifest.score.nadir)
    reference = ideal + np.asarray(manifest.reference_point) * (nadir - ideal)
    best = float(manifest.score.hypervolume * np.prod(nadir - ideal)) if manifest.exact else None
    return reference.tolist(), best


__all__ = ["to_botorch"]
