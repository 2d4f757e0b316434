"""A run: problem x searcher x seed, and the trajectory of evaluations that came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem, problem
from nasbench_mo.benchmark.search_problem import View
from nasbench_mo.errors import RunError
from nasbench_mo.objective import Objective
from nasbench_mo.pareto import hypervolume, nondominated

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything that identifies the numbers of a run.

    ``noise_seed`` chose the training seeds that were seen, apart from ``seed``, which is the searcher's.
    ``known_objectives`` are the columns that the searcher was told beforehand for every architecture; none where it
    has no use for them, and in runs of versions that could not. ``fidelities`` are the epochs that it was offered, none
    where it has no use for shorter trainings; ``fidelities_hash`` covers their values where ``data_hash`` does not. A
    budget that was not set is None. ``constraints`` are those of the problem, as texts.
    """

    problem: str
    data_hash: str
    space: str
    objectives: tuple[Objective, ...]
    searcher: str
    searcher_options: Mapping[str, float | int | str]
    seed: int
    noise_seed: int
    budget_evaluations: int | None
    known_objectives: tuple[str, ...] = ()
    fidelities: tuple[int, ...] = ()
    fidelities_hash: str = ""
    workers: int = 1
    budget_seconds: float | None = None
    budget_joules: float | None = None
    constraints: tuple[str, ...] = ()

    def budget(self) -> str:
        """The budget in words."""
        parts = (
            (self.budget_evaluations, "evaluations"),
            (self.budget_seconds, "simulated seconds"),
            (self.budget_joules, "joules"),
        )
        return " and ".join(f"{amount:g} {unit}" for amount, unit in parts if amount is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Nondominated, feasible, non-degenerate evaluations of a run, best first objective first.

    Parameters
    ----------
    evaluation
        (k,) index of each in the run.
    archs, X, F
        Published strings, encodings (k, d) and observed values (k, m).

    Examples
    --------
    >>> import nasbench_mo as nmo
    >>> front = nmo.run(nmo.problem("nb201s-c10-flops-v1"), "random", budget=30).front()
    >>> len(front) == len(front.archs) == len(front.F), bool((np.diff(front.F[:, 0]) >= 0).all())
    (True, True)
    """

    evaluation: NDArray[np.intp]
    archs: tuple[str, ...]
    X: NDArray[Any]
    F: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.archs)


@final
class Run:
    """What a search evaluated, in order.

    Parameters
    ----------
    identity
        What was run.
    X, F
        Encodings (n, d) and the values that were observed (n, m), minimised; a row of NaN where the evaluation failed.
    archs
        n published strings.
    degenerate
        (n,) whether an architecture's output does not depend on its input; such rows are never on a front.
    infeasible
        (n,) whether an architecture violates a constraint by the values that were seen; such rows are never on a front.
        None where the problem has no constraints.
    wall_s, simulated_s
        (n,) seconds from the start until a value was known: of this machine, and of the published trainings, one
        after the other or side by side on simulated workers (NaN where unknown).
    environment
        Versions, machine, times, and how the run ended.
    epochs
        (n,) after how many epochs each row was evaluated; None where all had the full training.
    cost_evaluations
        (n,) what had been paid when a value was known, in full trainings; None where that is one a row.

    Examples
    --------
    >>> import nasbench_mo as nmo
    >>> made = nmo.run(nmo.problem("nb201s-c10-flops-v1"), "random", budget=30, seed=2)
    >>> made.X.shape, made.F.shape, made.identity.searcher
    ((30, 6), (30, 2), 'random')
    >>> made.to_pandas().columns.tolist()
    ['evaluation', 'arch', 'error_percent', 'flops_millions', 'status', 'wall_s', 'simulated_s']
    """

    def __init__(
        self,
        *,
        identity: Identity,
        X: NDArray[Any],
        F: NDArray[np.float64],
        archs: list[str],
        degenerate: NDArray[np.bool_],
        wall_s: NDArray[np.float64],
        simulated_s: NDArray[np.float64],
        environment: Mapping[str, Any],
        infeasible: NDArray[np.bool_] | None = None,
        source: Problem | None = None,
        epochs: NDArray[np.intp] | None = None,
        cost_evaluations: NDArray[np.float64] | None = None,
    ) -> None:
        self.identity = identity
        self.X = X
        self.F = F
        self.archs = archs
        self.degenerate = degenerate
        judged = ~degenerate & ~self.failed
        self.infeasible = np.zeros(len(archs), dtype=bool) if infeasible is None else infeasible & judged
        self.wall_s = wall_s
        self.simulated_s = simulated_s
        self.environment = environment
        self.epochs = epochs
        self.cost_evaluations = np.arange(1.0, len(archs) + 1) if cost_evaluations is None else cost_evaluations
        self._problem = source

    def __getstate__(self) -> dict[str, Any]:
        """Between processes only numbers travel; the receiver opens the problem itself."""
        return {k: v for k, v in self.__dict__.items() if k != "problem"} | {"_problem": None}

    def __len__(self) -> int:
        return len(self.archs)

    def __repr__(self) -> str:
        i = self.identity
        if i.fidelities or i.budget_evaluations is None:
            return f"Run({i.problem!r}, {i.searcher!r}, seed={i.seed}, {len(self)} rows for {i.budget()})"
        return f"Run({i.problem!r}, {i.searcher!r}, seed={i.seed}, {len(self)} of {i.budget_evaluations} evaluations)"

    @property
    def full(self) -> NDArray[np.bool_]:
        """Rows that had the full training, (n,): only they count for a front and its hypervolume."""
        if self.epochs is None:
            return np.ones(len(self), dtype=bool)
        return np.asarray(self.epochs == self.identity.fidelities[-1])

    @cached_property
    def problem(self) -> Problem:
        """The problem that was searched.

        Raises
        ------
        RunError
            The data at hand are not those of the run.
        """
        found = self._problem or problem(self.identity.problem.partition("+local.")[0])
        found = found.constrained(*self.identity.constraints)
        if found.constraint_set.texts != self.identity.constraints:
            ours, theirs = (" and ".join(t) for t in (self.identity.constraints, found.constraint_set.texts))
            raise RunError(f"the run was made under {ours or 'no constraints'}; the problem has {theirs}")
        if found.data_hash != self.identity.data_hash:
            raise RunError(
                f"the run was made on data {self.identity.data_hash[:12]} of {self.identity.problem!r}; "
                f"the data at hand are {found.data_hash[:12]}. Import the same files to score it"
            )
        return found

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether an evaluation failed and so has no values, (n,); such rows are never on a front."""
        return np.asarray(np.isnan(self.F).any(axis=1))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows that may be on a front, (n,): fully trained, neither degenerate, nor failed, nor infeasible."""
        return ~self.degenerate & ~self.failed & ~self.infeasible & self.full

    def front(self) -> Front:
        """The front of the full trainings as the searcher saw it: what it would hand over."""
        usable = np.flatnonzero(self.usable)
        index = usable[nondominated(self.F[usable], keep_duplicates=True)] if usable.size else usable
        index = index[np.lexsort(self.F[index].T[::-1])]
        return Front(evaluation=index, archs=tuple(self.archs[i] for i in index), X=self.X[index], F=self.F[index])

    def hypervolume(self, *, on: View = "score") -> float:
        """Hypervolume of :meth:`front`, valued on the mean over training seeds or on the test split.

        Scaled by the problem's manifest; the searcher's own noisy values choose the front but do not score it. What is
        infeasible by the values it is scored on does not count.
        """
        chosen = self.front()
        return self.problem.hypervolume(self.problem.evaluate(chosen.X, on=on), on=on) if len(chosen) else 0.0

    def hypervolume_share(self, *, on: View = "score") -> float:
        """:meth:`hypervolume` as a share of the exact front's: HV / HV*."""
        chosen = self.front()
        return self.problem.hypervolume_share(self.problem.evaluate(chosen.X, on=on), on=on) if len(chosen) else 0.0

    def hypervolume_curve(self, *, on: View = "score") -> NDArray[np.float64]:
        """HV / HV* after each evaluation, (n,): the front observed so far, valued as :meth:`hypervolume` does.

        It may fall where noise makes the searcher prefer a worse architecture. A row of fewer epochs leaves it as it
        was, but had its price: :attr:`cost_evaluations` and :attr:`simulated_s` are what to draw it against.

        Notes
        -----
        The front is recomputed at evaluations that enter it: O(changes * front size).
        """
        reference = np.asarray(self.problem.manifest.reference_point)
        exact = self.problem.manifest.score if on == "score" else self.problem.manifest.test
        curve = self.observed_curve(lambda F: self.problem.normalize(F, on=on), reference=reference, on=on)
        return curve / exact.hypervolume if exact is not None else curve

    def observed_curve(
        self,
        scaled: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        *,
        reference: NDArray[np.float64],
        on: View = "score",
    ) -> NDArray[np.float64]:
        """Hypervolume of the front observed so far after each evaluation, (n,), valued on any scale.

        Parameters
        ----------
        scaled
            From (k, m) values in their units to those the hypervolume is taken of.
        reference
            (m,) reference point, scaled.
        on
            What the front's members are valued by.
        """
        usable = self.usable
        values = np.full(self.F.shape, np.nan)
        if usable.any():
            X = self.X[usable]
            F = self.problem.evaluate(X, on=on)
            feasible = self.problem.feasible(X, F=F)[:, None]  # by what scores it; what is not adds nothing
            values[usable] = np.where(feasible, scaled(F), reference)
        curve = np.zeros(len(self))
        members: list[int] = []
        current = 0.0
        for i in range(len(self)):
            if usable[i] and self._enters(i, members):
                members = [k for k in members if not _dominates(self.F[i], self.F[k])] + [i]
                current = hypervolume(values[members], reference=reference)
            curve[i] = current
        return curve

    def to_pandas(self) -> pd.DataFrame:
        """One row an evaluation, with the columns of ``run.parquet``."""
        from nasbench_mo.experiment.storage import to_arrow

        frame: pd.DataFrame = to_arrow(self).to_pandas()
        return frame

    def save(self, path: str | Path) -> None:
        """Write ``run.parquet``, atomically."""
        from nasbench_mo.experiment.storage import write_run

        write_run(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, *, problem: Problem | None = None) -> Self:
        """Read ``run.parquet``.

        Parameters
        ----------
        path
            The file.
        problem
            The problem that was searched, where it is not a published one over a registered space.

        Raises
        ------
        RunError
            The file is not a run, is damaged, or is of another problem.
        """
        from nasbench_mo.experiment.storage import read_run

        return read_run(Path(path), cls, problem=problem)

    def _enters(self, i: int, members: list[int]) -> bool:
        return not any(_dominates(self.F[k], self.F[i]) for k in members)


def _dominates(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool((a <= b).all() and (a < b).any())
