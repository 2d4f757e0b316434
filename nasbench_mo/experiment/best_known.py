"""The best front anybody can find of a problem whose space is too large for an exact one.

Three sources, of which the union is taken. Long runs of several searchers. Where every objective is a sum over the
variables, the exact front of those sums, one variable after another. And a Pareto local search from all of these, until
no architecture that differs from one of the front in one or two variables is better, or until it was enough: Paquete,
Chiarandini, Stützle, "Pareto local optimum sets in the biobjective traveling salesman problem", 2004.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import HypervolumeReference, Manifest, Problem, best_known_manifest
from nasbench_mo.benchmark.manifest import BEST_KNOWN
from nasbench_mo.encoding import byte_keys
from nasbench_mo.errors import RunError
from nasbench_mo.experiment.running import run
from nasbench_mo.pareto import nondominated
from nasbench_mo.search.epsilon_net import epsilon_net
from nasbench_mo.search.scalarise import Scale
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]
Encodings = NDArray[np.int64]

SEARCHERS = ("nsga2", "sms-emoa", "local-search")
#: Points of a front whose architectures are published.
MOST_KEPT = 500
#: Largest front of sums that is followed; beyond it, every so many-th point goes on.
MOST_SUMS = 4_000
#: Evaluations after which the local search ends even if it could go on.
MOST_EVALUATIONS = 1_000_000
#: Architectures evaluated at once.
CHUNK = 20_000
#: Largest difference from a sum, as a share of an objective's range, at which the sums are still worth a start.
NEARLY_ADDITIVE = 0.02
_N_PROBES = 256
#: Most variables that the local search changes at once.
RADIUS = 2
_CLOSED = ("", " until no change of one variable improves it", " until no change of one or two variables improves it")

#: Called with (architectures evaluated, points of the front).
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestKnown:
    """The best front known of a problem.

    Parameters
    ----------
    X, F
        (k, d) architectures and (k, m) values of the front, one architecture a value, in the order of the values.
    evaluations
        Distinct architectures that were evaluated.
    additive
        Whether the objectives are nearly sums over the variables, so that the front of the sums was a start.
    closed
        In so many variables, at most, an architecture may differ from one of the front, and would not enter it.
    """

    X: Encodings
    F: Floats
    evaluations: int
    additive: bool
    closed: int

    def kept(self, *, most: int = MOST_KEPT) -> Encodings:
        """Architectures of points spread over the front, at most so many, (j, d): the extremes, then the farthest."""
        if len(self.X) <= most:
            return self.X
        scaled = Scale.of(self.F).scaled(self.F)
        rows = np.arange(len(self.F))
        chosen = {int(i) for i in self.F.argmin(axis=0)}
        return self.X[sorted(chosen | set(epsilon_net(rows, Z=scaled, most=most - len(chosen))))]

    def manifest(self, problem: Problem, *, command: str, searchers: Sequence[str], version: int = 1) -> Manifest:
        """The problem's manifest with this front."""
        parts = [f"long runs of {', '.join(searchers)}"]
        if self.additive:
            parts.append("the front of sums over variables")
        parts.append("Pareto local search" + _CLOSED[self.closed])
        reference = HypervolumeReference(
            kind=BEST_KNOWN,
            version=version,
            made="nondominated union of " + "; ".join(parts),
            command=command,
            evaluations=self.evaluations,
            front_kept=len(self.kept()),
        )
        return best_known_manifest(problem, self.F, reference=reference)


def best_known(
    problem: Problem,
    *,
    searchers: Sequence[str] = SEARCHERS,
    seeds: Sequence[int] = (0, 1, 2),
    budget: int = 3_000,
    most: int = MOST_EVALUATIONS,
    progress: Progress | None = None,
) -> BestKnown:
    """Search a problem's front as long as it pays.

    Parameters
    ----------
    problem
        Without constraints and training noise. Values are asked for by tens of thousands, so they come from predictors
        or cost models.
    searchers, seeds, budget
        Runs whose evaluations are the start.
    most
        Evaluations after which the local search ends even if it could go on.
    progress
        Called now and then.

    Raises
    ------
    RunError
        The problem has constraints or training noise, or no start is given.
    """
    if problem.constraints or problem.noisy:
        raise RunError(f"problem {problem.id!r}: a best known front is searched without constraints and training noise")
    if not searchers or not seeds:
        raise RunError("a best known front needs at least one searcher and one seed to start from")
    union = _Union(problem)
    for name in searchers:
        for seed in seeds:
            made = run(problem, name, budget=budget, seed=seed)
            union.add(made.X.astype(np.int64))
            if progress is not None:
                progress(union.evaluations, len(union.X))
    sums = additive_front(problem)
    if sums is not None:
        union.add(sums)
    closed = union.close(most=most, progress=progress)
    X, F = union.front()
    return BestKnown(X=X, F=F, evaluations=union.evaluations, additive=sums is not None, closed=closed)


def additive_front(problem: Problem) -> Encodings | None:
    """Architectures of the exact front of a problem whose objectives are sums over the variables, (k, d).

    The front of the first i variables' sums is all that the first i variables contribute to a front, so it is built
    variable by variable. Equal sums keep one architecture; a front of more than :data:`MOST_SUMS` points is thinned,
    and objectives that are only nearly sums (:data:`NEARLY_ADDITIVE`) give a good start, no exact front.

    Returns
    -------
    None where an objective is no such sum.
    """
    space = problem.space
    rng = np.random.default_rng(0)
    probes = space.sample(_N_PROBES, rng=rng).astype(np.int64)
    base = probes[0]
    F = problem.evaluate(probes)
    effects = [
        problem.evaluate(_varied(base, i, n)) - F[0] for i, n in enumerate(space.cardinalities.tolist())
    ]  # (n_i, m) each
    sums = F[0] + np.sum([e[probes[:, i]] for i, e in enumerate(effects)], axis=0)
    spread = F.max(axis=0) - F.min(axis=0)
    if (np.abs(F - sums).mean(axis=0) > NEARLY_ADDITIVE * spread).any():
        return None
    values = np.zeros((1, problem.n_objectives))
    chosen = np.empty((1, 0), dtype=np.int64)
    for effect in effects:
        values = np.round((values[:, None] + effect[None]).reshape(-1, values.shape[1]), 9)
        choices = np.tile(np.arange(len(effect)), len(chosen))[:, None]
        chosen = np.hstack([np.repeat(chosen, len(effect), axis=0), choices])
        keep = np.flatnonzero(nondominated(values, keep_duplicates=False))
        keep = keep[np.lexsort(values[keep].T[::-1])]
        if len(keep) > MOST_SUMS:
            keep = keep[np.unique(np.linspace(0, len(keep) - 1, MOST_SUMS).astype(int))]
        values, chosen = values[keep], chosen[keep]
    return chosen


class _Union:
    """Everything evaluated, as far as it is nondominated."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.X: Encodings = np.empty((0, problem.space.n_variables), dtype=np.int64)
        self._F = np.empty((0, problem.n_objectives))
        self._seen: set[bytes] = set()
        self._expanded: dict[int, set[bytes]] = {radius: set() for radius in range(1, RADIUS + 1)}

    @property
    def evaluations(self) -> int:
        return len(self._seen)

    def add(self, X: Encodings) -> None:
        """Evaluate what is new, and keep what is nondominated and not degenerate."""
        fresh = []
        for row, key in zip(X, byte_keys(X).tolist(), strict=True):
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(row)
        for start in range(0, len(fresh), CHUNK):
            part = np.stack(fresh[start : start + CHUNK])
            part = part[~self.problem.space.degenerate(part)]
            if len(part):
                self._enter(part, self.problem.evaluate(part))

    def _enter(self, X: Encodings, F: Floats) -> None:
        own = nondominated(F, keep_duplicates=False)
        both_X, both_F = np.vstack([self.X, X[own]]), np.vstack([self._F, F[own]])
        keep = nondominated(both_F, keep_duplicates=False)
        self.X, self._F = both_X[keep], both_F[keep]

    def close(self, *, most: int, progress: Progress | None) -> int:
        """Evaluate all neighbours of the front, near ones first, until none enters or so many were evaluated.

        Returns
        -------
        The radius within which no neighbour is left.
        """
        rng = np.random.default_rng(0)
        while (radius := self._closed()) < RADIUS and self.evaluations < most:
            waiting = rng.permutation(self._waiting(radius + 1))
            batch = self.X[waiting[: max(1, CHUNK // self._n_neighbours(radius + 1))]]
            self._expanded[radius + 1].update(byte_keys(batch).tolist())
            self.add(_neighbours(self.problem.space, batch, radius=radius + 1))
            if progress is not None:
                progress(self.evaluations, len(self.X))
        return self._closed()

    def _closed(self) -> int:
        return next((radius - 1 for radius in range(1, RADIUS + 1) if self._waiting(radius)), RADIUS)

    def _waiting(self, radius: int) -> list[int]:
        """Rows of the front whose neighbours at this radius were not evaluated yet."""
        return [i for i, key in enumerate(byte_keys(self.X).tolist()) if key not in self._expanded[radius]]

    def _n_neighbours(self, radius: int) -> int:
        others = self.problem.space.cardinalities - 1
        one = int(others.sum())
        return one if radius == 1 else (one * one - int((others * others).sum())) // 2

    def front(self) -> tuple[Encodings, Floats]:
        order = np.lexsort(self._F.T[::-1])
        return self.X[order], self._F[order]


def _varied(base: Encodings, index: int, n: int) -> Encodings:
    """An architecture with all values of one variable, (n, d)."""
    X = np.repeat(base[None], n, axis=0)
    X[:, index] = np.arange(n)
    return X


def _neighbours(space: SearchSpace, X: Encodings, *, radius: int) -> Encodings:
    """All architectures that differ from one of (n, d) in exactly one or two variables, as often as they come."""
    cardinalities = space.cardinalities.tolist()
    parts = []
    for variables in itertools.combinations(range(len(cardinalities)), radius):
        for steps in itertools.product(*(range(1, cardinalities[i]) for i in variables)):
            moved = X.copy()
            for i, step in zip(variables, steps, strict=True):
                moved[:, i] = (moved[:, i] + step) % cardinalities[i]
            parts.append(moved)
    return np.vstack(parts)
