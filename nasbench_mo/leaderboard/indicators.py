"""What a run is worth: its share of HV* over evaluations, when it reached the targets, how far its front is off."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.pareto import additive_epsilon, hypervolume, hypervolume_curve, igd_plus, nondominated
from nasbench_mo.pareto.volume_gain import entering

Floats = NDArray[np.float64]

#: A target counts as reached this far below it: HV* is a sum over the front in another order.
SLACK = 1e-9


@final
class Judge:
    """Scores the runs of one problem: opened once, asked often.

    A searcher chooses its front by what it saw; the front is scored by what the problem says, the mean over training
    seeds or the test split. Degenerate architectures, and those that violate a constraint, are never on a front.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._reference = np.asarray(problem.manifest.reference_point)

    @property
    def exact(self) -> bool:
        """Whether HV* is that of the exact front; otherwise it is the best known, and shares above 1 are possible."""
        return self.problem.manifest.exact

    @cached_property
    def reference_front(self) -> Floats:
        """The exact front or the best known one in the problem's units, (k, m); empty where there is neither."""
        from nasbench_mo.errors import ManifestError

        try:
            return self.problem.reference_front()
        except ManifestError:
            return np.empty((0, self.problem.n_objectives))

    @cached_property
    def best_hypervolume(self) -> float:
        """HV* of the data at hand, so that the exact front reaches all of it; the manifest's is equal to 1e-5.

        Of a best known front the manifest's: the front is published in part.
        """
        if not self.exact or not len(self._scaled_front):
            return self.problem.manifest.score.hypervolume
        return hypervolume(self._scaled_front, reference=self._reference)

    @cached_property
    def _scaled_front(self) -> Floats:
        return self.problem.normalize(self.reference_front) if len(self.reference_front) else self.reference_front

    def share_curve(self, X: NDArray[Any], observed: Floats) -> Floats:
        """Share of HV* of the front observed so far, after each evaluation, (n,).

        Without training noise it never falls, and costs one incremental hypervolume. With noise it may: a new
        architecture may look better than it is.

        Parameters
        ----------
        X, observed
            (n, d) encodings and (n, m) values that the searcher saw.
        """
        if not len(X):
            return np.zeros(0)
        F = self.problem.evaluate(X)
        feasible = self.problem.feasible(X, F=F)[:, None]  # by what scores it; what is not adds nothing
        scaled = np.where(feasible, self.problem.normalize(F), self._reference)
        usable = self._usable(X, observed)
        if self.problem.noisy:
            volumes = _scored_fronts(observed, scaled=scaled, usable=usable, reference=self._reference)
        else:
            volumes = hypervolume_curve(np.where(usable[:, None], scaled, self._reference), reference=self._reference)
        return volumes / self.best_hypervolume

    def front_rows(self, X: NDArray[Any], observed: Floats) -> NDArray[np.intp]:
        """Rows of the front that the searcher hands over, ascending."""
        usable = np.flatnonzero(self._usable(X, observed))
        return usable[nondominated(observed[usable])] if usable.size else usable

    def _usable(self, X: NDArray[Any], observed: Floats) -> NDArray[np.bool_]:
        """Rows that may be on a front, (n,)."""
        return ~self.problem.space.degenerate(X) & self.problem.feasible(X, F=observed)

    def indicator(self, name: str, X: NDArray[Any]) -> float | None:
        """An indicator of the architectures of a front, or None where the problem does not have it.

        Parameters
        ----------
        name
            ``"igd_plus"`` and ``"epsilon"``: of the scored front to the exact one, or to the best known, both scaled by
            the manifest. The latter is negative where all of the best known is beaten.
            ``"test_hypervolume_share"``: share of the test front's hypervolume.
        X
            (k, d) encodings.
        """
        if name == "test_hypervolume_share":
            if not self.problem.has_test or self.problem.manifest.test is None:
                return None
            return self.problem.hypervolume_share(self.problem.evaluate(X, on="test"), on="test") if len(X) else 0.0
        if not len(self._scaled_front):
            return None
        F = self.problem.normalize(self.problem.evaluate(X)) if len(X) else np.empty((0, self.problem.n_objectives))
        measure = {"igd_plus": igd_plus, "epsilon": additive_epsilon}[name]
        return measure(F, reference_front=self._scaled_front)


def _scored_fronts(observed: Floats, *, scaled: Floats, usable: NDArray[np.bool_], reference: NDArray[Any]) -> Floats:
    """Hypervolume of the scored values of the front by observed values, after each evaluation, (n,).

    Equal observed values are members together, so an evaluation enters unless an earlier one strictly dominates it.
    """
    rows = np.flatnonzero(usable)
    volumes = np.zeros(len(observed))
    distinct, group = np.unique(observed[rows], axis=0, return_inverse=True)
    first = set(rows[entering(observed[rows])].tolist())
    on_front: set[int] = set()
    members: list[int] = []
    current = 0.0
    previous = 0
    for row, g in zip(rows.tolist(), group.reshape(-1).tolist(), strict=True):
        volumes[previous:row] = current
        previous = row
        if row not in first and g not in on_front:
            continue
        if row in first:
            beaten = (distinct[g] <= observed[members]).all(axis=1) & (distinct[g] < observed[members]).any(axis=1)
            members = [k for k, b in zip(members, beaten.tolist(), strict=True) if not b]
            on_front.add(g)
        elif not (observed[members] == distinct[g]).all(axis=1).any():
            continue  # its equals were beaten in the meantime
        members.append(row)
        current = hypervolume(scaled[members], reference=reference)
    volumes[previous:] = current
    return volumes


def evaluations_to(curve: Floats, targets: Sequence[float]) -> Floats:
    """Evaluations until each share was first reached, (t,); infinite for one that never was (censored)."""
    reached = curve[None, :] >= (np.asarray(targets) - SLACK)[:, None]
    hit = reached.any(axis=1)
    first = reached.argmax(axis=1) + 1.0 if curve.size else np.inf
    found: Floats = np.where(hit, first, np.inf)
    return found


def at_evaluations(curve: Floats, evaluations: NDArray[np.int64]) -> Floats:
    """A curve at numbers of evaluations, (k,); a run that ended early keeps its last value."""
    if not curve.size:
        return np.zeros(len(evaluations))
    values: Floats = curve[np.minimum(evaluations, len(curve)) - 1]
    return values


def evaluation_grid(budget: int, *, n: int = 64) -> NDArray[np.int64]:
    """Distinct, ascending, log-spaced numbers of evaluations from 1 to the budget."""
    return np.unique(np.rint(np.geomspace(1, budget, n)).astype(np.int64))


def ecdf(hits: ArrayLike, evaluations: NDArray[np.int64]) -> Floats:
    """Share of (problem, target, run) triples reached by each number of evaluations, (k, 2) with the numbers.

    References
    ----------
    N. Hansen, A. Auger, R. Ros, O. Mersmann, T. Tusar, D. Brockhoff, "COCO: a platform for comparing continuous
    optimizers in a black-box setting", Optimization Methods and Software 36(1), 2021.
    """
    sorted_hits = np.sort(np.asarray(hits, dtype=np.float64), axis=None)
    share = np.searchsorted(sorted_hits, evaluations, side="right") / max(1, sorted_hits.size)
    return np.column_stack([evaluations.astype(np.float64), share])


def ecdf_area(hits: ArrayLike, *, budget: int) -> float:
    """Mean of the ECDF over the logarithm of evaluations from 1 to the budget, in [0, 1], exactly.

    A triple that is reached after e evaluations adds ``log(budget / e) / log(budget)``, a censored one nothing.
    """
    e = np.asarray(hits, dtype=np.float64).ravel()
    if budget == 1:
        return float((e <= 1).mean())
    worth = np.log(budget / np.minimum(e, budget)) / np.log(budget)
    return float(worth.mean())
