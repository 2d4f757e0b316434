"""The loop that joins a problem and a searcher.

The budget counts distinct architectures (distinct strings). A proposal that was evaluated before is answered from
memory, costs nothing and makes no row; how often that happened is recorded. A searcher that proposes nothing new
many times in a row ends the run. Shorter trainings, other budgets and simulated workers: :mod:`.scheduling`.
Evaluations that fail: :mod:`.attempting`.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Evaluator, Problem, problem
from nasbench_mo.cluster import run_ordered
from nasbench_mo.errors import ExhaustedError, RunError, SearcherError
from nasbench_mo.experiment.attempting import AllFailedError, Failures, attempt
from nasbench_mo.experiment.constraint_handling import PenalisedValues, as_told, hand_over
from nasbench_mo.experiment.preference import preference_options
from nasbench_mo.experiment.scheduling import Budget, Scheduler
from nasbench_mo.experiment.storage import Journal
from nasbench_mo.experiment.trajectory import Identity, Run
from nasbench_mo.hardware import blas_kernels, processor_name
from nasbench_mo.search import Searcher
from nasbench_mo.search import searcher as make_searcher
from nasbench_mo.versions import loaded_versions

#: So many asks in a row without a new architecture end a run.
PATIENCE = 200

#: Most architectures asked for at once: what an interruption can lose, as the journal is written after each batch.
LARGEST_BATCH = 64

#: Distributions that the numbers of every run depend on, and those that some searchers load.
_ALWAYS_USED = ("nasbench-mo", "numpy", "scipy", "pymoo", "moocore", "pyarrow", "xgboost-cpu", "xgboost")
_USED_BY_SEARCHERS = ("torch", "gpytorch", "botorch", "optuna", "scikit-learn")

#: Called with (evaluations done, budget) after each batch.
Progress = Callable[[int, int], None]


def run(
    problem: Problem,
    searcher: Searcher | str,
    *,
    budget: int | None = None,
    seed: int | None = None,
    noise_seed: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    known: bool = True,
    noise: bool = True,
    fidelities: bool = True,
    workers: int = 1,
    budget_seconds: float | None = None,
    budget_joules: float | None = None,
    prefer: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Search a problem, under its constraints if it has any.

    A searcher that takes constraints is given them. Another one is told values in which every feasible architecture
    dominates every infeasible one (:mod:`.constraint_handling`), and is offered no known objectives, as they would not
    be what it is told. The run holds the true values.

    Parameters
    ----------
    problem
        What is searched. The searcher sees its observations, never its test values.
    searcher
        A searcher that has not been told anything yet, or the name of one.
    budget
        Distinct architectures to evaluate; None where another budget is given. One of fewer epochs counts as its share
        of the full training: :mod:`.scheduling` says what exactly is paid.
    seed
        Seed of a searcher given by name; 0 if not given. A searcher object has its own.
    noise_seed
        Chooses which training seed of each architecture is seen; the searcher's seed if not given.
    out
        ``run.parquet`` to write. While the run lasts, a journal stands beside it (``<out>.partial.jsonl``), written
        after each batch; the same call resumes from it, and what it holds is not evaluated again.
    overwrite
        Replace a run that ``out`` holds, and start over where the journal is another run's.
    known
        Offer the searcher the objectives that cost nothing (:meth:`.Problem.known_objectives`) as known functions. A
        searcher that has no use for them is not affected.
    noise
        See one training seed of each architecture, as the problem is published; without it, the values it is judged
        by. The run's identity tells them apart by its objectives. Without effect where a problem has no noise.
    fidelities
        Offer the searcher trainings of fewer epochs (:attr:`.Problem.fidelities`), if it has a use for them.
    workers
        Simulated workers that evaluate side by side on a virtual clock.
    budget_seconds, budget_joules
        Simulated training seconds and training energy to spend, of all workers together.
    prefer
        What is preferred, in the objectives' units: ``{"error": 8, "latency_ms": 5}``. For a searcher given by name
        that can use it: the box below these values for ``default``, an aspiration point for ``r-nsga2``.
    progress
        Called with (done, budget) after each batch, in the unit of the first budget that is given.

    Returns
    -------
    The run. The same arguments give the same architectures and values in every process.

    Raises
    ------
    RunError
        The budget is not positive or the problem cannot count it, workers cannot be simulated for want of training
        seconds, ``out`` holds a run already, its journal belongs to another run, or every evaluation failed.
    OSError
        The user's function raised it: the machine's fault. The run goes on from there when it is given again.
    SearcherError
        The searcher belongs to another space or number of objectives, was used before, or takes no preference.

    Examples
    --------
    >>> import nasbench_mo as nmo
    >>> made = run(nmo.problem("nb201s-c10-flops-v1"), "random", budget=30, seed=1)
    >>> len(made), made.hypervolume_share() > 0.5
    (30, True)
    >>> made.archs[:2] == run(made.problem, "random", budget=2, seed=1).archs
    True
    """
    if not isinstance(problem, Problem):
        raise RunError(f"expected a problem, got {problem!r}; open it first: nmo.problem(ID)")
    budget = None if budget is None else _whole("budget", budget, least=1)
    workers = _whole("workers", workers, least=1)
    limits = Budget(evaluations=budget, seconds=budget_seconds, joules=budget_joules)
    limits.check(problem)
    searcher = _ready_searcher(searcher, problem=problem, seed=seed, prefer=prefer)
    noise_seed = searcher.seed if noise_seed is None else _whole("noise_seed", noise_seed, least=0)
    identity, penalised = prepare(
        problem,
        searcher,
        budget=limits,
        noise_seed=noise_seed,
        known=known,
        noise=noise,
        fidelities=fidelities,
        workers=workers,
    )
    target = Path(out) if out is not None else None
    journal = _open_journal(target, identity=identity, overwrite=overwrite) if target is not None else None
    try:
        if budget is not None and limits == Budget(evaluations=budget) and workers == 1 and not identity.fidelities:
            evaluator = problem.observation(noise_seed) if noise else problem.evaluator("score")
            loop = _Loop(problem, searcher, evaluator=evaluator, journal=journal)
            loop.penalised = penalised
            finished = loop.until(budget, identity=identity, progress=progress)
        else:
            scheduler = Scheduler(
                problem,
                searcher,
                noise_seed=noise_seed if noise else None,
                budget=limits,
                workers=workers,
                patience=PATIENCE,
                journal=journal,
            )
            scheduler.penalised = penalised
            finished = scheduler.run(identity, environment=environment, progress=progress)
        if target is not None and journal is not None:
            finished.save(target)
            journal.remove()
        return finished
    except AllFailedError:
        if journal is not None:
            journal.remove()  # it holds nothing but failures: a corrected function starts over
        raise
    finally:
        if journal is not None:
            journal.close()


def prepare(
    problem: Problem,
    searcher: Searcher,
    *,
    budget: Budget,
    noise_seed: int,
    known: bool = True,
    noise: bool = True,
    fidelities: bool = True,
    workers: int = 1,
) -> tuple[Identity, PenalisedValues | None]:
    """Offer a searcher what it may know and do.

    Returns
    -------
    The identity of the run it is about to make, and what has to be done to the values it is told, if anything.
    """
    penalised = hand_over(problem, searcher)
    known = known and penalised is None
    if known and searcher.wants_known and not searcher.n_told:  # one that was told keeps what it was offered before
        searcher.set_known(problem.known_objectives())
    if fidelities and searcher.wants_fidelities and problem.fidelities and not searcher.n_told:
        searcher.set_fidelities(problem.fidelities)
    _check_fidelities(searcher, problem)
    identity = Identity(
        problem=problem.id,
        data_hash=problem.data_hash,
        space=problem.space.name,
        objectives=problem.observed_objectives if noise else problem.objectives,
        searcher=searcher.name,
        searcher_options=searcher.options(),
        seed=searcher.seed,
        noise_seed=noise_seed,
        budget_evaluations=budget.evaluations,
        known_objectives=_known_columns(searcher, problem),
        fidelities=searcher.fidelities if searcher.wants_fidelities else (),
        fidelities_hash=problem.fidelities_hash if searcher.wants_fidelities and searcher.fidelities else "",
        workers=workers,
        budget_seconds=None if budget.seconds is None else float(budget.seconds),
        budget_joules=None if budget.joules is None else float(budget.joules),
        constraints=problem.constraint_set.texts,
    )
    return identity, penalised


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run of :func:`run_many`."""

    problem: str
    searcher: str
    seed: int
    budget: int | None
    options: Mapping[str, float | int | str]
    known: bool = True
    fidelities: bool = True
    workers: int = 1
    budget_seconds: float | None = None
    budget_joules: float | None = None
    constraints: tuple[str, ...] = ()
    prefer: Mapping[str, float] | None = None


def run_many(
    problem: str,
    searcher: str,
    *,
    seeds: Sequence[int],
    budget: int | None = None,
    n_processes: int = 1,
    known: bool = True,
    fidelities: bool = True,
    workers: int = 1,
    budget_seconds: float | None = None,
    budget_joules: float | None = None,
    constraints: Sequence[str] = (),
    prefer: Mapping[str, float] | None = None,
    **options: float | int | str,
) -> list[Run]:
    """Run one searcher on one published problem with several seeds, in order of the seeds.

    The noise seed of each run is its seed. Results do not depend on ``n_processes``.

    Examples
    --------
    >>> runs = run_many("nb201s-c10-flops-v1", "nsga2", seeds=range(2), budget=25, population=10)
    >>> [(r.identity.seed, len(r)) for r in runs]
    [(0, 25), (1, 25)]
    """
    if isinstance(seeds, (int, np.integer)):
        raise RunError(f"seeds must be a list, such as range({seeds}); got {seeds!r}")
    requests = [
        RunRequest(
            problem=problem,
            searcher=searcher,
            seed=s,
            budget=budget,
            options=options,
            known=known,
            fidelities=fidelities,
            workers=workers,
            budget_seconds=budget_seconds,
            budget_joules=budget_joules,
            constraints=tuple(constraints),
            prefer=prefer,
        )
        for s in seeds
    ]
    return list(run_ordered(_run_request, requests, n_processes=n_processes))


def _run_request(request: RunRequest) -> Run:
    opened = problem(request.problem).constrained(*request.constraints)
    options = {**request.options, **_preferred(request.searcher, opened, request.prefer)}
    searcher = make_searcher(request.searcher, opened.space, opened.n_objectives, seed=request.seed, **options)
    return run(
        opened,
        searcher,
        budget=request.budget,
        known=request.known,
        fidelities=request.fidelities,
        workers=request.workers,
        budget_seconds=request.budget_seconds,
        budget_joules=request.budget_joules,
    )


class _Loop:
    """State of one run: what is known of each architecture, in order of evaluation."""

    def __init__(self, problem: Problem, searcher: Searcher, *, evaluator: Evaluator, journal: Journal | None) -> None:
        self.problem = problem
        self.searcher = searcher
        self.evaluator = evaluator
        self.journal = journal
        self.penalised: PenalisedValues | None = None
        self.row_of: dict[bytes, int] = {}
        self.X: list[NDArray[Any]] = []
        self.archs: list[str] = []
        self.wall_s: list[NDArray[np.float64]] = []
        self.simulated_s: list[NDArray[np.float64]] = []
        self.all_F = np.empty((0, problem.n_objectives))
        self.n_duplicates = 0
        self.failures = Failures(problem, seed=searcher.seed)
        self.searcher_cpu_s = 0.0
        self.simulated_clock = 0.0
        self.wall_offset = 0.0
        self.started = time.perf_counter()

    def until(self, budget: int, *, identity: Identity, progress: Progress | None) -> Run:
        """Ask, evaluate, tell until the budget is spent or nothing new comes."""
        started_utc = datetime.now(UTC).isoformat(timespec="seconds")
        ended = "budget"
        idle = 0
        while len(self.archs) < budget:
            began = time.process_time()
            try:
                X = self.searcher.ask(min(LARGEST_BATCH, budget - len(self.archs)))
            except ExhaustedError:
                ended = "searcher exhausted"
                break
            self.searcher_cpu_s += time.process_time() - began
            before = len(self.archs)
            F = self._values(X)
            self._draw_until_success(budget)
            told = as_told(self.penalised, X, self.failures.stood_in_for(F))
            began = time.process_time()
            self.searcher.tell(X, told)
            self.searcher_cpu_s += time.process_time() - began
            idle = 0 if len(self.archs) > before else idle + 1
            if progress is not None and len(self.archs) > before:
                progress(len(self.archs), budget)
            if idle >= PATIENCE:
                ended = f"nothing new in {PATIENCE} batches"
                break
        self._check_replayed()
        return self._finish(identity, started_utc=started_utc, ended=ended)

    def _values(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Observed values of proposals, (k, m): evaluated if new, from memory otherwise."""
        keys = [row.tobytes() for row in X]
        fresh = [i for i, key in enumerate(keys) if self._is_new(key)]
        self.n_duplicates += len(keys) - len(fresh)
        if fresh:
            self._evaluate(X[fresh])
        return self.all_F[[self.row_of[key] for key in keys]]

    def _draw_until_success(self, budget: int) -> None:
        """Evaluate random architectures until one has succeeded; they count, and are in memory if proposed later."""
        while self.failures.nothing_else:
            left = len(self.archs) < budget
            x = self.failures.draw(lambda x: self._is_new(x.tobytes()), patience=PATIENCE) if left else None
            if x is None:
                raise self.failures.everything(len(self.archs))
            self._evaluate(x[None])

    def _is_new(self, key: bytes) -> bool:
        if key in self.row_of:
            return False
        self.row_of[key] = len(self.row_of)
        return True

    def _evaluate(self, X: NDArray[Any]) -> None:
        """Take what the journal holds of a batch from there, and evaluate the rest."""
        archs = self.problem.space.decode(X)
        n_replayed = self._replay(X, archs)
        if n_replayed == len(archs):
            return
        X, archs = X[n_replayed:], archs[n_replayed:]
        attempted = attempt(self.evaluator, X, archs)
        F = attempted.F
        simulated_s = self.simulated_clock + np.cumsum(self.problem.simulated_seconds(X))
        wall_s = np.full(len(X), self.wall_offset + time.perf_counter() - self.started)
        if self.journal is not None:
            self.journal.append(archs, F=F, wall_s=wall_s, simulated_s=simulated_s, reasons=attempted.reasons)
        self.failures.note(F, attempted.reasons)
        self._record(X, archs, F=F, wall_s=wall_s, simulated_s=simulated_s)

    def _record(
        self,
        X: NDArray[Any],
        archs: list[str],
        *,
        F: NDArray[np.float64],
        wall_s: NDArray[np.float64],
        simulated_s: NDArray[np.float64],
    ) -> None:
        self.simulated_clock = float(simulated_s[-1])
        self.X.append(X)
        self.archs += archs
        self.wall_s.append(wall_s)
        self.simulated_s.append(simulated_s)
        self.all_F = np.concatenate([self.all_F, F])

    def _replay(self, X: NDArray[Any], archs: list[str]) -> int:
        """Record the leading part of a batch that the journal holds, and return its length."""
        if self.journal is None:
            return 0
        done = len(self.archs)
        known = self.journal.order[done : done + len(archs)]
        if not known:
            return 0
        for i, (was, now) in enumerate(zip(known, archs, strict=False)):
            if was != now:
                raise RunError(
                    f"{self.journal.path}: evaluation {done + i} was {was!r} and is now {now!r}: the searcher or a "
                    "library has changed since; delete the journal to start over"
                )
        F, wall_s, simulated_s = (np.array(c, dtype=np.float64) for c in self.journal.columns(known))
        self.wall_offset = float(wall_s[-1]) - (time.perf_counter() - self.started)
        self.failures.note(F, {arch: self.journal.reasons[arch] for arch in known if arch in self.journal.reasons})
        self._record(X[: len(known)], known, F=F, wall_s=wall_s, simulated_s=simulated_s)
        return len(known)

    def _check_replayed(self) -> None:
        if self.journal is not None and len(self.journal.order) > len(self.archs):
            raise RunError(f"{self.journal.path} holds more evaluations than the run; delete it to start over")

    def _finish(self, identity: Identity, *, started_utc: str, ended: str) -> Run:
        X = np.concatenate(self.X) if self.X else self.problem.space.from_codes([])
        return Run(
            identity=identity,
            X=X,
            F=self.all_F,
            archs=self.archs,
            degenerate=self.problem.space.degenerate(X),
            infeasible=~self.problem.feasible(X, F=self.all_F),
            wall_s=np.concatenate(self.wall_s) if self.wall_s else np.empty(0),
            simulated_s=np.concatenate(self.simulated_s) if self.simulated_s else np.empty(0),
            environment={
                **environment(),
                "started_utc": started_utc,
                "ended": ended,
                "n_duplicate_proposals": self.n_duplicates,
                "searcher_cpu_s": self.searcher_cpu_s,
                **self.failures.environment(),
            },
            source=self.problem,
        )


def environment() -> dict[str, Any]:
    """Versions and machine that a number depends on."""
    return {
        "versions": {
            "python": platform.python_version(),
            **loaded_versions(_ALWAYS_USED, if_loaded=_USED_BY_SEARCHERS),
        },
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "cpu": processor_name(),
            "blas": blas_kernels(),
        },
        "implementation": sys.implementation.name,
    }


def _open_journal(target: Path, *, identity: Identity, overwrite: bool) -> Journal:
    """The journal beside a run file, locked for this process; refused where the file would be lost."""
    if target.is_dir():
        raise RunError(f"{target} is a folder; give the name of a file")
    journal = Journal(target.with_name(target.name + ".partial.jsonl"), identity=identity, discard_other=overwrite)
    if target.exists() and not overwrite:
        journal.close()
        raise RunError(f"{target} exists; move it away or choose another name, so that no run is lost")
    return journal


def _known_columns(searcher: Searcher, problem: Problem) -> tuple[str, ...]:
    """Columns that the searcher was offered as known; none where it has no use for them."""
    return tuple(problem.objectives[j].column for j in searcher.known_objectives) if searcher.wants_known else ()


def _check_fidelities(searcher: Searcher, problem: Problem) -> None:
    """Refuse a searcher that was offered other trainings beforehand than the problem has."""
    if searcher.wants_fidelities and searcher.fidelities and searcher.fidelities != problem.fidelities:
        raise SearcherError(
            f"{searcher!r} was offered trainings of {', '.join(map(str, searcher.fidelities))} epochs; problem "
            f"{problem.id!r} has {', '.join(map(str, problem.fidelities)) or 'the full one alone'}"
        )


def _whole(name: str, value: object, *, least: int) -> int:
    """A plain int of at least some value, NumPy's integers included."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise RunError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def _preferred(searcher: str, problem: Problem, prefer: Mapping[str, float] | None) -> dict[str, str]:
    """The option that a preference becomes; none without one."""
    return {} if prefer is None else preference_options(problem, searcher, prefer)


def _ready_searcher(
    searcher: Searcher | str, *, problem: Problem, seed: int | None, prefer: Mapping[str, float] | None
) -> Searcher:
    if isinstance(searcher, str):
        options = _preferred(searcher, problem, prefer)
        return make_searcher(searcher, problem.space, problem.n_objectives, seed=seed or 0, **options)
    if not isinstance(searcher, Searcher):
        raise SearcherError(f"expected a searcher or the name of one, got {searcher!r}; use nmo.searcher(...)")
    if prefer is not None:
        options = preference_options(problem, searcher.name, prefer)
        text = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise SearcherError(f"a preference is for a searcher given by name; make this one with {text}")
    if seed is not None and seed != searcher.seed:
        raise SearcherError(f"the searcher was made with seed {searcher.seed}; run() was given seed {seed}")
    same_space = searcher.space.name == problem.space.name and np.array_equal(
        searcher.space.cardinalities, problem.space.cardinalities
    )
    if not same_space or searcher.n_objectives != problem.n_objectives:
        raise SearcherError(
            f"{searcher!r} does not fit {problem!r}; make it with "
            f"nmo.searcher({searcher.name!r}, problem.space, problem.n_objectives)"
        )
    if searcher.n_asked:
        raise SearcherError(f"{searcher!r} has made {searcher.n_asked} proposals already; a run needs a new one")
    return searcher
