"""The loop that joins a problem and a searcher.

The budget counts distinct architectures (distinct strings). A proposal that was evaluated before is answered from
memory, costs nothing and makes no row; how often that happened is recorded. A searcher that proposes nothing new
many times in a row ends the run.
"""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Evaluator, Problem, problem
from nasbench_mo.cluster import run_ordered
from nasbench_mo.errors import ExhaustedError, RunError, SearcherError
from nasbench_mo.experiment.storage import Journal
from nasbench_mo.experiment.trajectory import Identity, Run
from nasbench_mo.search import Searcher
from nasbench_mo.search import searcher as make_searcher

#: So many asks in a row without a new architecture end a run.
PATIENCE = 200

#: Most architectures asked for at once: what an interruption can lose, as the journal is written after each batch.
LARGEST_BATCH = 64

#: Called with (evaluations done, budget) after each batch.
Progress = Callable[[int, int], None]


def run(
    problem: Problem,
    searcher: Searcher | str,
    *,
    budget: int,
    seed: int | None = None,
    noise_seed: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    known: bool = True,
    progress: Progress | None = None,
) -> Run:
    """Search a problem.

    Parameters
    ----------
    problem
        What is searched. The searcher sees its observations, never its test values.
    searcher
        A searcher that has not been told anything yet, or the name of one.
    budget
        Distinct architectures to evaluate.
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
    progress
        Called with (done, budget) after each batch.

    Returns
    -------
    The run. The same arguments give the same architectures and values in every process.

    Raises
    ------
    RunError
        The budget is not positive, ``out`` holds a run already, or its journal belongs to another run.
    SearcherError
        The searcher belongs to another space or number of objectives, or was used before.
    """
    budget = _whole("budget", budget, least=1)
    searcher = _ready_searcher(searcher, problem=problem, seed=seed)
    if known and searcher.wants_known and not searcher.n_told:  # one that was told keeps what it was offered before
        searcher.set_known(problem.known_objectives())
    noise_seed = searcher.seed if noise_seed is None else _whole("noise_seed", noise_seed, least=0)
    identity = Identity(
        problem=problem.id,
        data_hash=problem.data_hash,
        space=problem.space.name,
        objectives=problem.observed_objectives,
        searcher=searcher.name,
        searcher_options=searcher.options(),
        seed=searcher.seed,
        noise_seed=noise_seed,
        budget_evaluations=budget,
        known_objectives=_known_columns(searcher, problem),
    )
    target = Path(out) if out is not None else None
    journal = _open_journal(target, identity=identity, overwrite=overwrite) if target is not None else None
    loop = _Loop(problem, searcher, evaluator=problem.observation(noise_seed), journal=journal)
    try:
        finished = loop.until(budget, identity=identity, progress=progress)
        if target is not None and journal is not None:
            finished.save(target)
            journal.remove()
        return finished
    finally:
        if journal is not None:
            journal.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run of :func:`run_many`."""

    problem: str
    searcher: str
    seed: int
    budget: int
    options: Mapping[str, float | int | str]
    known: bool = True


def run_many(
    problem: str,
    searcher: str,
    *,
    seeds: Sequence[int],
    budget: int,
    n_processes: int = 1,
    known: bool = True,
    **options: float | int | str,
) -> list[Run]:
    """Run one searcher on one published problem with several seeds, in order of the seeds.

    The noise seed of each run is its seed. Results do not depend on ``n_processes``.
    """
    requests = [
        RunRequest(problem=problem, searcher=searcher, seed=s, budget=budget, options=options, known=known)
        for s in seeds
    ]
    return list(run_ordered(_run_request, requests, n_processes=n_processes))


def _run_request(request: RunRequest) -> Run:
    opened = problem(request.problem)
    searcher = make_searcher(request.searcher, opened.space, opened.n_objectives, seed=request.seed, **request.options)
    return run(opened, searcher, budget=request.budget, known=request.known)


class _Loop:
    """State of one run: what is known of each architecture, in order of evaluation."""

    def __init__(self, problem: Problem, searcher: Searcher, *, evaluator: Evaluator, journal: Journal | None) -> None:
        self.problem = problem
        self.searcher = searcher
        self.evaluator = evaluator
        self.journal = journal
        self.row_of: dict[bytes, int] = {}
        self.X: list[NDArray[Any]] = []
        self.archs: list[str] = []
        self.wall_s: list[NDArray[np.float64]] = []
        self.simulated_s: list[NDArray[np.float64]] = []
        self.all_F = np.empty((0, problem.n_objectives))
        self.n_duplicates = 0
        self.simulated_clock = 0.0
        self.wall_offset = 0.0
        self.searcher_cpu_s = 0.0
        self.started = time.perf_counter()

    def until(self, budget: int, *, identity: Identity, progress: Progress | None) -> Run:
        """Ask, evaluate, tell until the budget is spent or nothing new comes."""
        started_utc = datetime.now(UTC).isoformat(timespec="seconds")
        ended = "budget"
        idle = 0
        while len(self.archs) < budget:
            try:
                with self._searcher_clock():
                    X = self.searcher.ask(min(LARGEST_BATCH, budget - len(self.archs)))
            except ExhaustedError:
                ended = "searcher exhausted"
                break
            before = len(self.archs)
            F = self._values(X)
            with self._searcher_clock():
                self.searcher.tell(X, F)
            idle = 0 if len(self.archs) > before else idle + 1
            if progress is not None and len(self.archs) > before:
                progress(len(self.archs), budget)
            if idle >= PATIENCE:
                ended = f"nothing new in {PATIENCE} batches"
                break
        self._check_replayed()
        return self._finish(identity, started_utc=started_utc, ended=ended)

    @contextlib.contextmanager
    def _searcher_clock(self) -> Iterator[None]:
        """Add to the processor seconds of the searcher itself, on all threads of this process."""
        started = time.process_time()
        try:
            yield
        finally:
            self.searcher_cpu_s += time.process_time() - started

    def _values(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Observed values of proposals, (k, m): evaluated if new, from memory otherwise."""
        keys = [row.tobytes() for row in X]
        fresh = [i for i, key in enumerate(keys) if self._is_new(key)]
        self.n_duplicates += len(keys) - len(fresh)
        if fresh:
            self._evaluate(X[fresh])
        return self.all_F[[self.row_of[key] for key in keys]]

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
        F = self.evaluator.evaluate(X)
        simulated_s = self.simulated_clock + np.cumsum(self.problem.simulated_seconds(X))
        wall_s = np.full(len(X), self.wall_offset + time.perf_counter() - self.started)
        if self.journal is not None:
            self.journal.append(archs, F=F, wall_s=wall_s, simulated_s=simulated_s)
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
            wall_s=np.concatenate(self.wall_s) if self.wall_s else np.empty(0),
            simulated_s=np.concatenate(self.simulated_s) if self.simulated_s else np.empty(0),
            environment={
                **environment(),
                "started_utc": started_utc,
                "ended": ended,
                "n_duplicate_proposals": self.n_duplicates,
                "searcher_cpu_s": self.searcher_cpu_s,
            },
            source=self.problem,
        )


def environment() -> dict[str, Any]:
    """Versions and machine that a number depends on."""
    return {
        "versions": {"python": platform.python_version(), **dict(_versions())},
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cpu": _cpu_model()},
        "implementation": sys.implementation.name,
    }


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Installed version of each package that a number depends on; reading them takes milliseconds."""
    versions = []
    for name in ("nasbench-mo", "numpy", "pymoo", "moocore", "pyarrow", "xgboost-cpu", "xgboost"):
        with contextlib.suppress(PackageNotFoundError):
            versions.append((name, version(name)))
    return tuple(versions)


@cache
def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


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


def _whole(name: str, value: object, *, least: int) -> int:
    """A plain int of at least some value, NumPy's integers included."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise RunError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def _ready_searcher(searcher: Searcher | str, *, problem: Problem, seed: int | None) -> Searcher:
    if isinstance(searcher, str):
        return make_searcher(searcher, problem.space, problem.n_objectives, seed=seed or 0)
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
