"""Which networks of a run are worth a real training: some of its front, and a few controls off the front.

A shortlist of the front alone cannot tell a good prediction from a flattering one: everything on it was chosen for
its predicted values. The controls are what it is compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import PredictedValues, Problem
from nasbench_mo.errors import RunError
from nasbench_mo.objective import Objective
from nasbench_mo.pareto import hypervolume, hypervolume_contributions, ideal_and_nadir
from nasbench_mo.space import SearchSpace

Role = Literal["front", "control"]

#: Weights of a network's spread and of its uncertainty against the hypervolume that it adds, each scaled to at most 1.
SPREAD_WEIGHT = 0.5
UNCERTAINTY_WEIGHT = 0.5
#: The front's range and a tenth of it: the reference point of this package's manifests.
_REFERENCE = 1.1
#: Keeps the draw of the controls apart from other uses of the same seed.
_CONTROL_STREAM = 0x636F6E74


class RunIdentity(Protocol):
    """What a run says of itself."""

    @property
    def problem(self) -> str:
        """Id of the problem."""

    @property
    def data_hash(self) -> str:
        """Hash of the problem's data."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the searcher saw."""


class SearchedRun(Protocol):
    """What is needed of a run: :class:`nasbench_mo.Run` is one."""

    @property
    def identity(self) -> Any:
        """A :class:`RunIdentity`."""

    @property
    def problem(self) -> Problem:
        """The problem that was searched."""

    X: NDArray[Any]
    F: NDArray[np.float64]
    archs: list[str]
    degenerate: NDArray[np.bool_]
    infeasible: NDArray[np.bool_]

    @property
    def full(self) -> NDArray[np.bool_]:
        """Rows that had the full training, (n,)."""

    def front(self) -> Any:
        """The front that the searcher would hand over, with ``evaluation``, the rows of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One network of a shortlist, and why it is there.

    Parameters
    ----------
    arch
        Published string.
    role
        ``"front"`` or ``"control"``.
    evaluation
        Row of the run.
    predicted
        (m,) values that the search saw.
    deviation
        (m,) standard deviations of the predictions; None where an objective is not predicted.
    contribution
        Hypervolume that the run's front loses without it, as a share of the front's; 0 for a control.
    gain, spread, uncertainty
        What it was chosen for, each relative to the best candidate of its turn: the hypervolume it adds to those
        chosen before, its distance from them, and its predictions' deviation. 0 for a control.
    """

    arch: str
    role: Role
    evaluation: int
    predicted: tuple[float, ...]
    deviation: tuple[float | None, ...]
    contribution: float = 0.0
    gain: float = 0.0
    spread: float = 0.0
    uncertainty: float = 0.0


def choose(run: SearchedRun, *, top: int, controls: int | None = None, seed: int = 0) -> tuple[Chosen, ...]:
    """Choose networks of a run's front, and controls among the other evaluated ones.

    Parameters
    ----------
    run
        A finished run.
    top
        Networks of the front. Twins, which compute the same function, count once; where the front has fewer, all of
        it is taken.
    controls
        Networks off the front that keep the problem's constraints, drawn at random; a third of ``top`` by default, at
        least 1. Where fewer were evaluated, all of them.
    seed
        Of the draw of the controls.

    Raises
    ------
    RunError
        There is nothing on the front, or a number is impossible.

    Notes
    -----
    The front's networks are chosen one after the other. Each turn takes the candidate with the largest sum of the
    exact hypervolume it adds to those chosen before, half its distance from the nearest of them and half its
    predictions' deviation, each divided by the largest among the candidates; values are scaled by the front's ideal
    and nadir, the reference point is 1.1. With the first term alone this is greedy hypervolume subset selection, which
    reaches at least 1 - 1/e of the best subset (Guerreiro, Fonseca & Paquete, Evolutionary Computation 24(3), 2016).
    """
    n_controls = max(1, top // 3) if controls is None else controls
    if top < 1 or n_controls < 0:
        raise RunError(f"expected at least 1 network of the front and 0 controls, got {top} and {n_controls}")
    rows = np.asarray(run.front().evaluation, dtype=np.intp)
    if not rows.size:
        raise RunError("the run has no front: no network that it evaluated is usable")
    problem = run.problem
    rows = rows[_first_of_twins(problem.space, run.X[rows])]
    deviation = deviations(problem, run.X)
    order, parts = _greedy(run.F[rows], deviation=deviation[rows], top=top)
    contribution = _contributions(run.F[rows])
    chosen = [
        _chosen(run, int(rows[i]), role="front", deviation=deviation, contribution=float(contribution[i]), parts=part)
        for i, part in zip(order, parts, strict=True)
    ]
    drawn = _controls(run, taken=rows, n=n_controls, seed=seed)
    return (*chosen, *(_chosen(run, row, role="control", deviation=deviation) for row in drawn))


def deviations(problem: Problem, X: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviations of a problem's predicted objectives, (n, m); NaN for those that are not predicted."""
    from nasbench_mo.predictor import load_predictor

    found = np.full((len(X), problem.n_objectives), np.nan)
    for j, term in enumerate(problem.terms):
        if isinstance(term.values, PredictedValues) and len(X):
            found[:, j] = load_predictor(term.values.predictor).predict(X, return_std=True)[1]
    return found


def fingerprint(run: SearchedRun) -> str:
    """SHA-256 over what a shortlist is chosen from: problem, data, architectures and values of a run."""
    identity: RunIdentity = run.identity
    digest = hashlib.sha256(f"{identity.problem}\n{identity.data_hash}\n".encode())
    digest.update("\n".join(run.archs).encode())
    digest.update(np.ascontiguousarray(run.F, dtype="<f8").tobytes())
    return digest.hexdigest()


def scaled(F: NDArray[np.float64], *, by: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (n, m) in units of a front's (k, m) range: its ideal is 0, its nadir 1; a constant objective stays 0."""
    ideal, nadir = ideal_and_nadir(by)
    extent = np.where(nadir > ideal, nadir - ideal, 1.0)
    values: NDArray[np.float64] = (F - ideal) / extent
    return values


def _greedy(
    F: NDArray[np.float64], *, deviation: NDArray[np.float64], top: int
) -> tuple[list[int], list[tuple[float, float, float]]]:
    """Rows of (n, m) nondominated values in the order in which they are chosen, and what each was chosen for."""
    points = scaled(F, by=F)
    reference = np.full(F.shape[1], _REFERENCE)
    extent = np.ptp(F, axis=0)
    relative = deviation / np.where(extent > 0, extent, 1.0)
    unsure = _share(np.where(np.isnan(relative), 0.0, relative).sum(axis=1))
    chosen: list[int] = []
    parts: list[tuple[float, float, float]] = []
    left = list(range(len(F)))
    volume = 0.0
    while left and len(chosen) < top:
        gained = np.array([hypervolume(points[[*chosen, i]], reference=reference) - volume for i in left])
        apart = np.array([np.linalg.norm(points[chosen] - points[i], axis=1).min() if chosen else 0.0 for i in left])
        gain, spread = _share(np.maximum(gained, 0.0)), _share(apart)
        score = gain + SPREAD_WEIGHT * spread + UNCERTAINTY_WEIGHT * unsure[left]
        best = int(np.argmax(np.round(score, 12)))  # the first of equal ones: rounding must not decide
        parts.append((float(gain[best]), float(spread[best]), float(unsure[left[best]])))
        chosen.append(left.pop(best))
        volume = hypervolume(points[chosen], reference=reference)
    return chosen, parts


def _contributions(F: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exclusive hypervolume of (n, m) values as a share of their common one, (n,)."""
    points, reference = scaled(F, by=F), np.full(F.shape[1], _REFERENCE)
    return hypervolume_contributions(points, reference=reference) / hypervolume(points, reference=reference)


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = float(values.max(initial=0.0))
    return values / largest if largest > 0 else np.zeros_like(values)


def _controls(run: SearchedRun, *, taken: NDArray[np.intp], n: int, seed: int) -> list[int]:
    """Rows off the front, no twin of one on it or of each other."""
    on_front = np.zeros(len(run.archs), dtype=bool)
    on_front[np.asarray(run.front().evaluation)] = True
    rows = np.flatnonzero(~run.degenerate & ~run.infeasible & run.full & ~on_front)
    rows = np.random.default_rng([seed, _CONTROL_STREAM]).permutation(rows)
    if not rows.size:
        return []
    keys = run.problem.space.equivalence_class(run.X)
    rows = rows[~np.isin(keys[rows], keys[taken])]
    return [int(row) for row in rows[_first_of_twins(run.problem.space, run.X[rows])][:n]]


def _first_of_twins(space: SearchSpace, X: NDArray[Any]) -> NDArray[np.intp]:
    """Indices of the first architecture of each function, ascending."""
    if not len(X):
        return np.zeros(0, dtype=np.intp)
    _, first = np.unique(space.equivalence_class(X), return_index=True)
    return np.sort(first)


def _chosen(
    run: SearchedRun,
    row: int,
    *,
    role: Role,
    deviation: NDArray[np.float64],
    contribution: float = 0.0,
    parts: Sequence[float] = (0.0, 0.0, 0.0),
) -> Chosen:
    gain, spread, uncertainty = parts
    return Chosen(
        arch=run.archs[row],
        role=role,
        evaluation=row,
        predicted=tuple(run.F[row].tolist()),
        deviation=tuple(None if np.isnan(d) else float(d) for d in deviation[row]),
        contribution=contribution,
        gain=gain,
        spread=spread,
        uncertainty=uncertainty,
    )
