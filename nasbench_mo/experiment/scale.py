"""What the runs of a problem are judged by: the box of its manifest, or a stricter one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import ObjectiveError
from nasbench_mo.pareto import hypervolume, ideal_and_nadir

#: Error of the strict box, in percent, and the quantile of each cost over the space that bounds it there.
STRICT_ERROR_PERCENT, STRICT_QUANTILE = 20.0, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How objective values become a share of the exact front's hypervolume.

    Parameters
    ----------
    ideal, span
        (m,) in the units of the objectives: what becomes 0, and how much more becomes 1.
    reference
        (m,) reference point, scaled.
    best
        Hypervolume of the exact front, scaled.
    """

    ideal: NDArray[np.float64]
    span: NDArray[np.float64]
    reference: NDArray[np.float64]
    best: float

    def scaled(self, F: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, m) values, scaled."""
        values: NDArray[np.float64] = (F - self.ideal) / self.span
        return values

    @property
    def corner(self) -> str:
        """The reference point in the units of the objectives, as a searcher's option ``reference`` takes it."""
        return ",".join(f"{value:.6g}" for value in self.ideal + self.reference * self.span)


def published_scale(problem: Problem) -> Scale:
    """The scale of the problem's manifest: nadir + 10 % unless the problem says otherwise.

    Raises
    ------
    ManifestError
        The problem has none.
    """
    manifest = problem.manifest
    ideal, nadir = np.asarray(manifest.score.ideal), np.asarray(manifest.score.nadir)
    reference = np.asarray(manifest.reference_point)
    return Scale(ideal=ideal, span=nadir - ideal, reference=reference, best=manifest.score.hypervolume)


def strict_scale(problem: Problem) -> Scale:
    """The box of at most 20 % error and each cost's 90th percentile over the architectures that work.

    Raises
    ------
    ObjectiveError
        The first objective is no error in percent, or nothing lies in the box.
    """
    first = problem.objectives[0]
    if first.unit != "percent":
        raise ObjectiveError(
            f"problem {problem.id!r}: a strict box needs an error in percent first, got {first.column}"
        )
    X = problem.space.enumerate()
    F = problem.evaluate(X[~problem.space.degenerate(X)])
    corner = np.quantile(F, STRICT_QUANTILE, axis=0)
    corner[0] = STRICT_ERROR_PERCENT
    inside = F[(F < corner).all(axis=1)]
    if not len(inside):
        raise ObjectiveError(f"problem {problem.id!r}: no architecture has less than {STRICT_ERROR_PERCENT:g} % error")
    ideal, _ = ideal_and_nadir(inside)
    span, reference = corner - ideal, np.ones(len(corner))
    best = hypervolume((inside - ideal) / span, reference=reference)
    return Scale(ideal=ideal, span=span, reference=reference, best=best)
