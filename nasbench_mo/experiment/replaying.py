"""Replaying a run: what its file says is searched again, and every row is compared bit for bit.

A run's identity is all that its numbers depend on besides the software and the machine: problem, data, searcher,
options, seeds, budgets, constraints. So a run that replays differently was made by other software, on a machine that
rounds differently, or by a searcher that does not keep its promise; versions that differ are named.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import RunError, UnknownNameError
from nasbench_mo.experiment.running import Progress, environment, prepare, run
from nasbench_mo.experiment.scheduling import Budget
from nasbench_mo.experiment.trajectory import Identity, Run
from nasbench_mo.search import Searcher
from nasbench_mo.search import searcher as make_searcher
from nasbench_mo.versions import loaded_versions

#: What a run says of itself that a replay has to repeat too.
_REPEATED = ("ended", "n_duplicate_proposals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a replayed run first differs.

    Parameters
    ----------
    evaluation
        Row, from 0; None where every row agrees and a fact about the whole run does not.
    column
        Column of the run file, or name of the fact.
    published, replayed
        What the file says and what came now; None where there is no such row.
    """

    evaluation: int | None
    column: str
    published: str | float | None
    replayed: str | float | None

    def __str__(self) -> str:
        where = self.column if self.evaluation is None else f"evaluation {self.evaluation}, column {self.column!r}"
        was, now = ("no such row" if v is None else repr(v) for v in (self.published, self.replayed))
        return f"{where}: {was} in the file, {now} now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A run beside the one that its file describes.

    Parameters
    ----------
    published, replayed
        The run of the file, and the one made now.
    difference
        The first difference; None where every row is the same, bit for bit.
    other_versions
        Name of a library or of a part of the machine to what it was and is, where that differs.
    """

    published: Run
    replayed: Run
    difference: Difference | None
    other_versions: Mapping[str, tuple[str, str]]

    @property
    def equal(self) -> bool:
        """Whether every row is the same, bit for bit."""
        return self.difference is None


def replay(published: Run, *, progress: Progress | None = None) -> Replay:
    """Make a run again from what it says of itself, and compare.

    Wall seconds are not compared; simulated ones are.

    Parameters
    ----------
    published
        ``Run.load("run.parquet")``; with ``problem=`` where the problem is not a published one.
    progress
        As for :func:`.run`.

    Raises
    ------
    UnknownNameError
        The problem or the searcher is not known here.
    RunError
        The data are not those of the run, or the problem or the searcher is another one today. What differs is named.
    MissingDependencyError
        The searcher's library is not installed.

    Examples
    --------
    >>> import nasbench_mo as nmo
    >>> made = nmo.run(nmo.problem("nb201s-c10-flops-v1"), "random", budget=20, seed=1)
    >>> replay(made).equal
    True
    """
    identity = published.identity
    try:
        problem = published.problem
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{error}. For a problem of your own: replay(Run.load(path, problem=...)) in Python"
        ) from error
    noise = _with_noise(identity, problem)
    budget = Budget(
        evaluations=identity.budget_evaluations, seconds=identity.budget_seconds, joules=identity.budget_joules
    )
    known, fidelities = bool(identity.known_objectives), bool(identity.fidelities)
    today, _ = prepare(
        problem,
        _searcher(identity, problem),
        budget=budget,
        noise_seed=identity.noise_seed,
        known=known,
        noise=noise,
        fidelities=fidelities,
        workers=identity.workers,
    )
    _check_identity(identity, today)
    replayed = run(
        problem,
        _searcher(identity, problem),
        budget=budget.evaluations,
        noise_seed=identity.noise_seed,
        known=known,
        noise=noise,
        fidelities=fidelities,
        workers=identity.workers,
        budget_seconds=budget.seconds,
        budget_joules=budget.joules,
        progress=progress,
    )
    return Replay(
        published=published,
        replayed=replayed,
        difference=first_difference(published, replayed),
        other_versions=_other_versions(published.environment),
    )


def first_difference(published: Run, replayed: Run) -> Difference | None:
    """The first row and column in which two runs differ, bit for bit; None where they do not."""
    n = min(len(published), len(replayed))
    theirs, ours = _columns(published), _columns(replayed)
    firsts = []
    for order, name in enumerate(theirs):
        differs = np.flatnonzero(~_same(theirs[name][:n], ours[name][:n]))
        if differs.size:
            firsts.append((int(differs[0]), order, name))
    if firsts:
        row, _, name = min(firsts)
        was, now = theirs[name][row].item(), ours[name][row].item()
        return Difference(evaluation=row, column=name, published=was, replayed=now)
    if len(published) != len(replayed):
        was, now = ((one.archs[n] if len(one) > n else None) for one in (published, replayed))
        return Difference(evaluation=n, column="arch", published=was, replayed=now)
    for name in _REPEATED:
        was, now = published.environment.get(name), replayed.environment.get(name)
        if was is not None and was != now:
            return Difference(evaluation=None, column=name, published=was, replayed=now)
    return None


def _columns(one: Run) -> dict[str, NDArray[Any]]:
    """Columns of a run file that do not depend on how fast the machine is, in the order in which they arise."""
    columns = {"arch": np.array(one.archs, dtype=str)}
    if one.epochs is not None:
        columns["epochs"] = one.epochs
    columns |= {o.column: one.F[:, j] for j, o in enumerate(one.identity.objectives)}
    return columns | {
        "infeasible": one.infeasible,
        "simulated_s": one.simulated_s,
        "cost_evaluations": one.cost_evaluations,
    }


def _same(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) whether two columns hold the same bits; one missing value is as good as another."""
    if a.dtype.kind != "f":
        return np.asarray(a == b)
    bits = (np.ascontiguousarray(a).view(np.int64), np.ascontiguousarray(b).view(np.int64))
    return np.asarray((bits[0] == bits[1]) | (np.isnan(a) & np.isnan(b)))


def _searcher(identity: Identity, problem: Problem) -> Searcher:
    return make_searcher(
        identity.searcher, problem.space, problem.n_objectives, seed=identity.seed, **identity.searcher_options
    )


def _with_noise(identity: Identity, problem: Problem) -> bool:
    """Whether the run saw one training seed of each architecture."""
    for noise, objectives in ((True, problem.observed_objectives), (False, problem.objectives)):
        if identity.objectives == objectives:
            return noise
    ours, theirs = (", ".join(o.describe() for o in objectives) for objectives in (identity.objectives, objectives))
    raise RunError(f"the run's objectives were {ours}; those of {problem.id!r} are now {theirs}")


def _check_identity(published: Identity, today: Identity) -> None:
    """Refuse to replay a run whose recipe would be another one today."""
    for name in Identity.__dataclass_fields__:
        was, now = getattr(published, name), getattr(today, name)
        if was != now:
            raise RunError(
                f"the run cannot be replayed: its {name} was {was!r} and would be {now!r} with the installed version"
            )


def _other_versions(then: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What a run's environment says of libraries and machine, and what is here, where that differs."""
    now = environment()
    named: Mapping[str, str] = then.get("versions", {})
    here = {"python": platform.python_version(), **loaded_versions(tuple(named), if_loaded=())}
    pairs = {name: (was, here.get(name, "not installed")) for name, was in named.items()}
    machine: Mapping[str, str] = then.get("machine", {})
    pairs |= {name: (was, now["machine"].get(name, "unknown")) for name, was in machine.items()}
    pairs["implementation"] = (then.get("implementation", now["implementation"]), now["implementation"])
    return {name: (was, is_now) for name, (was, is_now) in pairs.items() if was != is_now}
