"""Experiments: every problem with every searcher and every seed, in one folder, on as many processes as there are.

A run is one file, ``<folder>/<problem>/<searcher>/<seed>.parquet``, which appears whole or not at all, with the journal
of an unfinished one beside it. So a folder is all there is to an experiment: what it holds is not run again, and an
experiment that was killed goes on when it is given again, each unfinished run where it stopped.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasbench_mo.benchmark import Problem
from nasbench_mo.benchmark import problem as published
from nasbench_mo.cluster import Executor
from nasbench_mo.errors import BusyError, RunError
from nasbench_mo.experiment.running import prepare, run
from nasbench_mo.experiment.scale import strict_scale
from nasbench_mo.experiment.scheduling import Budget
from nasbench_mo.experiment.storage import read_identity
from nasbench_mo.experiment.trajectory import Identity
from nasbench_mo.search import SEARCHERS, Searcher
from nasbench_mo.search import searcher as make_searcher

_log = logging.getLogger(__name__)

#: The id of a published problem, or a module-level function that makes one.
ProblemSource = str | Callable[[], Problem]
Options = Mapping[str, float | int | str]
#: Called with the runs that are finished and their number in all.
Progress = Callable[[int, int], None]

#: Seconds between two looks at a run that another process is making.
_WAIT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run of an experiment.

    Parameters
    ----------
    source, data_hash
        The problem, and the data that the process which runs it has to have.
    identity
        What the run file has to say.
    options
        Settings of the searcher.
    known, noise
        As for :func:`.run`.
    target
        The run file.
    """

    source: ProblemSource
    data_hash: str
    identity: Identity
    options: Options
    known: bool
    noise: bool
    target: Path


def experiment(
    problems: Sequence[ProblemSource],
    searchers: Sequence[str],
    *,
    seeds: Sequence[int],
    budget: int,
    out: str | Path,
    processes: int = 1,
    cluster: str | Path | None = None,
    options: Mapping[str, Options] | None = None,
    strict: bool = False,
    noise: bool = True,
    known: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Run what is still missing of every problem with every searcher and every seed.

    Parameters
    ----------
    problems
        Ids of published problems, or module-level functions that make a problem.
    searchers
        Their names.
    seeds
        A run's noise seed is its seed.
    budget
        Distinct architectures that a run evaluates.
    out
        Folder of the runs, made where it does not exist.
    processes, cluster
        Local processes, or a Dask cluster: see :class:`~nasbench_mo.cluster.Executor`. Its workers have to see ``out``
        under the same path, and the same imported tables.
    options
        Settings of a searcher, by its name.
    strict
        Tell searchers with an option ``reference`` the strict box (:func:`.strict_scale`).
    noise, known
        As for :func:`.run`.
    progress
        Called first with what was there already, then after each run.

    Returns
    -------
    The run files, by problem, searcher and seed.

    Raises
    ------
    RunError
        Something is asked for twice, the folder holds another run in the place of one that is asked for, or some runs
        could not be made. The others are there then; the same command tries the missing ones again.
    SpecError
        There is no process, or no such cluster.

    Notes
    -----
    A worker that dies costs a run at most a batch of evaluations: another takes it up from its journal. Two processes
    never write one run: the second waits for the first.
    """
    plan = _planned(
        problems,
        searchers,
        seeds=seeds,
        budget=budget,
        out=Path(out).resolve(),
        options=options or {},
        strict=strict,
        noise=noise,
        known=known,
    )
    missing = [planned for planned in plan if not _is_there(planned)]
    done = len(plan) - len(missing)
    if progress is not None:
        progress(done, len(plan))
    failures: list[tuple[PlannedRun, Exception]] = []
    with Executor(n_processes=processes, cluster=cluster) as executor:
        for outcome in executor.as_completed(_make, missing):
            if outcome.error is not None:
                failures.append((missing[outcome.index], outcome.error))
                continue
            done += 1
            if progress is not None:
                progress(done, len(plan))
    if failures:
        planned, error = failures[0]
        raise RunError(
            f"{len(failures)} of {len(plan)} runs could not be made; the first, {planned.target}: {error} "
            f"({type(error).__name__}). The others are there; the same command makes what is missing"
        ) from error
    return [planned.target for planned in plan]


def _planned(
    problems: Sequence[ProblemSource],
    searchers: Sequence[str],
    *,
    seeds: Sequence[int],
    budget: int,
    out: Path,
    options: Mapping[str, Options],
    strict: bool,
    noise: bool,
    known: bool,
) -> list[PlannedRun]:
    """Every run, checked as far as can be without running it."""
    for name, values in (("problems", problems), ("searchers", searchers), ("seeds", seeds)):
        if not len(values) or len(set(values)) != len(values):
            raise RunError(f"{name} must be some, each once; got {list(values)!r}")
    for searcher in options:
        if searcher not in searchers:
            raise RunError(f"options are given for {searcher!r}, which is none of {', '.join(searchers)}")
    plan = []
    for source in problems:
        problem = _opened(source)
        if {"/", "\\"} & set(problem.id):
            raise RunError(f"the problem's id {problem.id!r} becomes the name of a folder; take the slash out of it")
        corner = {"reference": strict_scale(problem).corner} if strict else {}
        for name in searchers:
            settings = {**(corner if _takes_reference(name) else {}), **options.get(name, {})}
            for seed in seeds:
                made = _searcher(name, problem, seed=seed, options=settings)
                identity, _ = prepare(
                    problem, made, budget=Budget(evaluations=budget), noise_seed=seed, known=known, noise=noise
                )
                plan.append(
                    PlannedRun(
                        source=source,
                        data_hash=problem.data_hash,
                        identity=identity,
                        options=settings,
                        known=known,
                        noise=noise,
                        target=out / identity.problem / name / f"{seed}.parquet",
                    )
                )
    return plan


def _searcher(name: str, problem: Problem, *, seed: int, options: Options) -> Searcher:
    return make_searcher(name, problem.space, problem.n_objectives, seed=seed, **options)


def _takes_reference(searcher: str) -> bool:
    return "reference" in inspect.signature(SEARCHERS.get(searcher)).parameters


def _is_there(planned: PlannedRun) -> bool:
    """Whether the run was made; another one in its place is refused."""
    if not planned.target.exists():
        return False
    found = read_identity(planned.target)
    if found == planned.identity:
        return True
    differing = [f for f in Identity.__dataclass_fields__ if getattr(found, f) != getattr(planned.identity, f)]
    was, asked = (getattr(one, differing[0]) for one in (found, planned.identity))
    raise RunError(
        f"{planned.target} holds another run: its {', '.join(differing)} differ ({differing[0]} is {was!r}, asked for "
        f"is {asked!r}); choose another folder for this experiment"
    )


def _make(planned: PlannedRun) -> None:
    """Make one run, in whatever process this is; wait where another process is making it."""
    problem = _opened(planned.source, data_hash=planned.data_hash)
    identity = planned.identity
    while not _is_there(planned):
        searcher = _searcher(identity.searcher, problem, seed=identity.seed, options=planned.options)
        try:
            run(
                problem,
                searcher,
                budget=identity.budget_evaluations,
                noise_seed=identity.noise_seed,
                out=planned.target,
                known=planned.known,
                noise=planned.noise,
            )
        except BusyError:
            # A cluster that lost sight of a worker, or a killed experiment whose workers are still at it.
            _log.info("%s is being made by another process; waiting for it", planned.target)
            time.sleep(_WAIT_S)
        except RunError:
            if not planned.target.exists():  # it was finished elsewhere between the two looks
                raise


_kept: dict[ProblemSource, Problem] = {}


def _opened(source: ProblemSource, *, data_hash: str | None = None) -> Problem:
    """The problem, kept open for the next run of this process.

    Raises
    ------
    RunError
        This process has other data than those of the experiment.
    """
    found = _kept.get(source) if data_hash is not None else None  # planning looks at the data as they are now
    if found is None or found.data_hash != data_hash:
        found = published(source) if isinstance(source, str) else source()
        _kept.clear()
        _kept[source] = found
    if data_hash is not None and found.data_hash != data_hash:
        raise RunError(
            f"problem {found.id!r} has other data in this process ({found.data_hash[:12]}) than where the "
            f"experiment was started ({data_hash[:12]}); import the same tables on every worker"
        )
    return found
