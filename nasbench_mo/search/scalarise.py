"""Several objectives as one number: observed scale, random weights, the augmented Chebyshev function.

Knowles, "ParEGO", IEEE TEC 10(1), 2006, equation 2; Steuer & Choo 1983 for the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]

#: Weight of the sum that keeps weakly dominated points from being optimal; Knowles' choice.
RHO = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Ideal point and range of each objective.

    Parameters
    ----------
    ideal, span
        (m,) each; every span is positive.
    """

    ideal: Floats
    span: Floats

    @classmethod
    def of(cls, F: Floats) -> Self:
        """Scale of (n, m) values: best and worst of each objective. An objective without a range has the span 1."""
        ideal = F.min(axis=0)
        span = F.max(axis=0) - ideal
        return cls(ideal=ideal, span=np.where(span > 0, span, 1.0))

    @classmethod
    def observed(cls, space: SearchSpace, X: NDArray[Any], F: Floats) -> Self:
        """Scale of told architectures that compute something of their input; of all, where none does.

        It is the worst value seen, not the nadir of the front seen: a young front is too narrow, and a reference point
        at its nadir hides the ends of the true front. Architectures that compute nothing would stretch the errors.
        """
        counted = ~space.degenerate(X)
        return cls.of(F[counted] if counted.any() else F)

    def scaled(self, F: Floats) -> Floats:
        """(n, m) values with the ideal at 0 and the worst at 1."""
        Z: Floats = (F - self.ideal) / self.span
        return Z


def random_weights(rng: np.random.Generator, *, n: int, n_objectives: int) -> Floats:
    """(n, m) weights drawn uniformly from the simplex."""
    return rng.dirichlet(np.ones(n_objectives), size=n)


def chebyshev(Z: Floats, weights: Floats) -> Floats:
    """Augmented Chebyshev function, minimised: ``max_j w_j z_j + rho sum_j w_j z_j``.

    Parameters
    ----------
    Z
        (..., m) scaled values.
    weights
        (..., m) weights that broadcast against Z.

    Returns
    -------
    (...,) values.
    """
    weighted = weights * Z
    value: Floats = weighted.max(axis=-1) + RHO * weighted.sum(axis=-1)
    return value
