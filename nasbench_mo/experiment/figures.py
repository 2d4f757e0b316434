"""How soon searchers find the front, from run files: evaluations to shares of HV*, shares after some evaluations.

A run that ends before it reaches a share says only that it takes more than its budget. Such a number is censored: it
counts as larger than all others, is never averaged with them, and a quantile that falls on one is printed as a bound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.benchmark import problem as published
from nasbench_mo.errors import RunError
from nasbench_mo.experiment.scale import Scale, published_scale
from nasbench_mo.experiment.storage import read_identity
from nasbench_mo.experiment.trajectory import Identity, Run
from nasbench_mo.pareto import hypervolume, nondominated

if TYPE_CHECKING:
    import pandas as pd

#: Shares of HV* to reach, and evaluations after which the share is looked at.
TARGETS = (0.90, 0.95, 0.99, 0.999)
CHECKPOINTS = (50, 100, 200, 300)
#: Paid evaluations are sums of shares of one.
_ROUNDING = 1e-9
#: The quantiles that are given of everything.
_QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A quantile over seeds, or what is known of one that falls on runs which ended too early.

    Parameters
    ----------
    value
        The quantile, or the bound.
    bound
        ``""`` for the quantile itself; ``">"``: it is more than the value, the budget; ``">="``: it lies between a run
        that reached the share and one that did not, so it is at least the value.
    """

    value: float
    bound: Literal["", ">", ">="] = ""

    @property
    def known(self) -> float:
        """The quantile, infinite where there is a bound only."""
        return np.inf if self.bound else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Quartiles and median over seeds."""

    low: Quantile
    median: Quantile
    high: Quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Distinct evaluations until a share of HV* was reached for the first time; shorter trainings count as their share.

    Parameters
    ----------
    share
        Of HV*, 0..1.
    n_reached
        Runs that reached it.
    evaluations
        Over all runs, those that did not reach it included.
    """

    share: float
    n_reached: int
    evaluations: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Share of HV* after so many distinct evaluations."""

    evaluations: int
    share: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class SearcherFigures:
    """One searcher on one problem, over its seeds.

    Parameters
    ----------
    problem, searcher
        Their names.
    settings
        The searcher's options.
    known
        Columns that it was told beforehand.
    noisy
        Whether the searcher saw single training seeds.
    seeds
        One a run, ascending.
    budget
        Evaluations of each run.
    reaches
        One for each of :data:`TARGETS`.
    checkpoints
        One for each of :data:`CHECKPOINTS` within the budget.
    searcher_cpu_ms
        Median CPU milliseconds that the searcher itself took per evaluation; NaN in runs that did not record it.
    n_failed
        Evaluations that failed, of all runs together.
    cpus
        Processors the runs were made on.
    exhaustive
        Where searchers saw single training seeds of a problem that can be enumerated: the share that evaluating
        everything reaches, with the noise of the same runs (:func:`exhaustive_share`).
    """

    problem: str
    searcher: str
    settings: Mapping[str, float | int | str]
    known: tuple[str, ...]
    noisy: bool
    seeds: tuple[int, ...]
    budget: int
    reaches: tuple[Reach, ...]
    checkpoints: tuple[Checkpoint, ...]
    searcher_cpu_ms: float
    n_failed: int
    cpus: tuple[str, ...]
    exhaustive: Spread | None = None


def searcher_figures(
    folder: str | Path,
    *,
    problems: Iterable[Problem] = (),
    scale: Callable[[Problem], Scale] = published_scale,
) -> list[SearcherFigures]:
    """Figures of all runs in the folder of an experiment, by problem and searcher.

    Parameters
    ----------
    folder
        What :func:`.experiment` filled.
    problems
        Problems of the runs that are not published ones.
    scale
        What the runs are judged by; :func:`.strict_scale` for the stricter box.

    Raises
    ------
    RunError
        There is no run, one is damaged, or runs beside each other differ in more than their seeds.
    ManifestError
        A problem has no exact front to compare with.
    """
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(Path(folder).glob("*/*/*.parquet")):
        groups[path.parent.parent.name, path.parent.name].append(path)
    if not groups:
        raise RunError(f"{folder} holds no run of an experiment: no <problem>/<searcher>/<seed>.parquet")
    given = {problem.id: problem for problem in problems}
    opened: tuple[Problem, Scale] | None = None
    rows = []
    for paths in groups.values():
        identity = _common_identity(paths)
        if opened is None or opened[0].id != identity.problem:
            found = given.get(identity.problem) or published(identity.problem.partition("+local.")[0])
            opened = found, scale(found)
        problem, judged_by = opened
        rows.append(_figures([Run.load(path, problem=problem) for path in paths], scale=judged_by))
    return rows


def to_frame(rows: Sequence[SearcherFigures]) -> pd.DataFrame:
    """One row a problem and searcher; a median that is known as a bound only is infinite, a missing number NaN."""
    import pandas as pd

    return pd.DataFrame([_flat(row) for row in rows])


def _flat(row: SearcherFigures) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "problem": row.problem,
        "searcher": row.searcher,
        "settings": ", ".join(f"{k}={v}" for k, v in row.settings.items()),
        "known": ", ".join(row.known),
        "noisy": row.noisy,
        "runs": len(row.seeds),
        "budget": row.budget,
    }
    for reach in row.reaches:
        name = f"evaluations_to_{100 * reach.share:g}_percent"
        flat[f"{name}_runs"] = reach.n_reached
        flat |= _columns(name, reach.evaluations)
    if row.exhaustive is not None:
        flat |= _columns("share_of_exhaustive_search", row.exhaustive)
    for checkpoint in row.checkpoints:
        flat |= _columns(f"share_after_{checkpoint.evaluations}", checkpoint.share)
    return flat | {"searcher_cpu_ms": row.searcher_cpu_ms, "failed_evaluations": row.n_failed}


def _columns(name: str, spread: Spread) -> dict[str, float]:
    return {
        f"{name}_q25": spread.low.known,
        f"{name}_median": spread.median.known,
        f"{name}_q75": spread.high.known,
    }


def exhaustive_share(problem: Problem, *, noise_seed: int, scale: Scale) -> float:
    """Share of HV* of the front that is observed when every architecture is evaluated under the noise of one seed.

    It is below one: what looks best in one training is not always what is best on average. It is no bound: a search
    that misses a lucky architecture does not lose a better one to it.

    Parameters
    ----------
    problem
        One whose space can be enumerated.
    noise_seed
        Which training of each architecture is seen.
    scale
        What the front is judged by.

    Raises
    ------
    MissingValueError
        The data lack an architecture.
    """
    X = problem.space.enumerate()
    X = X[~problem.space.degenerate(X)]
    front = nondominated(problem.observation(noise_seed).evaluate(X))
    return float(hypervolume(scale.scaled(problem.evaluate(X[front])), reference=scale.reference) / scale.best)


def _exhaustive(problem: Problem, *, noise_seeds: Sequence[int], scale: Scale) -> Spread | None:
    """Where there is no noise, nothing to enumerate, or a constraint, exhaustive search says nothing new."""
    if not problem.noisy or not problem.space.enumerable or problem.constraints:
        return None
    shares = [exhaustive_share(problem, noise_seed=seed, scale=scale) for seed in noise_seeds]
    return censored_spread(np.array(shares), budget=problem.space.size)


def _common_identity(paths: Sequence[Path]) -> Identity:
    """Identity of the first run; the others may differ in their seeds only."""
    identities = [read_identity(path) for path in paths]
    first = identities[0]
    for path, one in zip(paths, identities, strict=True):
        for field in Identity.__dataclass_fields__:
            if field not in ("seed", "noise_seed") and getattr(one, field) != getattr(first, field):
                raise RunError(
                    f"{path} differs from {paths[0].name} beside it in its {field}: {getattr(one, field)!r} and "
                    f"{getattr(first, field)!r}; figures are of runs that differ in their seeds only"
                )
    seeds = [one.seed for one in identities]
    if len(set(seeds)) != len(seeds):
        raise RunError(f"{paths[0].parent} holds two runs of the same seed")
    return first


def _figures(runs: Sequence[Run], *, scale: Scale) -> SearcherFigures:
    runs = sorted(runs, key=lambda run: run.identity.seed)
    identity, problem = runs[0].identity, runs[0].problem
    budget = identity.budget_evaluations
    if budget is None:
        raise RunError(
            f"the runs of {identity.searcher!r} on {identity.problem!r} have a budget of {identity.budget()}; figures "
            "are of runs with a budget of evaluations"
        )
    curves = [_Curve.of(run, scale=scale) for run in runs]
    noisy = problem.noisy and identity.objectives != problem.objectives
    noise_seeds = [run.identity.noise_seed for run in runs]
    reaches = []
    for share in TARGETS:
        first = np.array([curve.first_at(share) for curve in curves])
        reaches.append(
            Reach(
                share=share, n_reached=int(np.isfinite(first).sum()), evaluations=censored_spread(first, budget=budget)
            )
        )
    return SearcherFigures(
        problem=identity.problem,
        searcher=identity.searcher,
        settings=dict(identity.searcher_options),
        known=identity.known_objectives,
        noisy=noisy,
        seeds=tuple(run.identity.seed for run in runs),
        budget=budget,
        reaches=tuple(reaches),
        checkpoints=tuple(
            Checkpoint(
                evaluations=n,
                share=censored_spread(np.array([curve.after(n) for curve in curves]), budget=budget),
            )
            for n in CHECKPOINTS
            if n <= budget
        ),
        searcher_cpu_ms=float(np.median([_cpu_ms(run) for run in runs])),
        n_failed=sum(int(run.failed.sum()) for run in runs),
        cpus=tuple(sorted({str(run.environment["machine"]["cpu"]) for run in runs})),
        exhaustive=_exhaustive(problem, noise_seeds=noise_seeds, scale=scale) if noisy else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """Share of HV* of one run, (n,), and the evaluations paid until then, (n,): a shorter training is its share of one.

    A run that ended early stays where it was.
    """

    shares: NDArray[np.float64]
    paid: NDArray[np.float64]

    @classmethod
    def of(cls, run: Run, *, scale: Scale) -> _Curve:
        shares = run.observed_curve(scale.scaled, reference=scale.reference) / scale.best
        return cls(shares=shares, paid=run.cost_evaluations)

    def first_at(self, share: float) -> float:
        """Evaluations until a share is reached for the first time, infinite where it is not."""
        reached = np.flatnonzero(self.shares >= share)
        return float(self.paid[reached[0]]) if reached.size else np.inf

    def after(self, evaluations: int) -> float:
        """Share after so many evaluations."""
        seen = int((self.paid <= evaluations * (1 + _ROUNDING)).sum())
        return float(self.shares[seen - 1]) if seen else 0.0


def _cpu_ms(run: Run) -> float:
    spent = run.environment.get("searcher_cpu_s")
    return 1e3 * float(spent) / float(run.cost_evaluations[-1]) if spent is not None and len(run) else np.nan


def censored_spread(values: NDArray[np.float64], *, budget: int) -> Spread:
    """Quartiles and median of (n,) numbers, n >= 1, that are infinite where only more than the budget is known."""
    low, median, high = (_censored_quantile(np.sort(values), q, budget=budget) for q in _QUANTILES)
    return Spread(low=low, median=median, high=high)


def _censored_quantile(ordered: NDArray[np.float64], q: float, *, budget: int) -> Quantile:
    """The usual quantile (linear between neighbours) of ascending numbers.

    Between a run that reached a share and one that did not, the latter is known to be at least budget + 1.
    """
    position = q * (len(ordered) - 1)
    below = int(position)
    weight = position - below
    left = float(ordered[below])
    right = float(ordered[below + 1]) if weight > 0 else left
    if np.isinf(left):
        return Quantile(value=budget, bound=">")
    if np.isinf(right):
        return Quantile(value=left + weight * (budget + 1 - left), bound=">=")
    return Quantile(value=left + weight * (right - left))
