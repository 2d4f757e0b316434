"""The loop where evaluations differ in price: shorter trainings, budgets of seconds and joules, simulated workers.

*What an evaluation costs.* One of e epochs, where the full training has E, is e/E of an evaluation: the measure of
Hyperband and ASHA, in which one of the full training is 1 as everywhere else. Where a longer training goes on from a
shorter one (:attr:`.Problem.continues`), only the epochs that are added are paid; where each length was trained by
itself, as in NAS-Bench-201, all of them are. Seconds and joules follow the same rule. What was evaluated before is
answered from memory and costs nothing.

*When a run ends.* An evaluation that would exceed a budget is not started, and ends the run: a training for which
there is no time left says nothing. What is under way by then has been paid, and is finished.

*Workers.* A virtual clock, on which each evaluation lasts as long as its training did. A free worker asks for one
architecture; results are told in the order in which they come. A searcher that wants to be told before it is asked
again makes free workers wait: then they work in batches. Budgets count the work of all workers; the clock does not
enter them. Nothing depends on real time.

*Failures.* What :mod:`.attempting` says holds here, too. A failed training costs what a finished one does.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import ExhaustedError, RunError, SearcherError
from nasbench_mo.experiment.attempting import Failures, attempt
from nasbench_mo.experiment.constraint_handling import PenalisedValues, as_told
from nasbench_mo.experiment.trajectory import Identity, Run
from nasbench_mo.search import Searcher
from nasbench_mo.search.multi_fidelity import MultiFidelitySearcher

if TYPE_CHECKING:
    from nasbench_mo.experiment.storage import Journal

#: Sums of seconds may be so much over a budget, as a share of it: rounding.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may spend; the first limit that is reached ends it. None is no limit.

    Parameters
    ----------
    evaluations
        Evaluations, in full trainings.
    seconds, joules
        Simulated training seconds and training energy, of all workers together.
    """

    evaluations: int | None = None
    seconds: float | None = None
    joules: float | None = None

    def check(self, problem: Problem) -> None:
        """Refuse a budget that says nothing, or that the problem cannot count."""
        if self.evaluations is None and self.seconds is None and self.joules is None:
            raise RunError(
                "budget must be an integer of at least 1, got None; or give budget_seconds or budget_joules instead"
            )
        known = {"seconds": problem.knows_seconds, "joules": problem.knows_joules}
        for unit, limit in (("seconds", self.seconds), ("joules", self.joules)):
            if limit is None:
                continue
            number = isinstance(limit, (int, float, np.integer, np.floating)) and not isinstance(limit, bool)
            if not number or not 0 < limit < math.inf:
                raise RunError(f"budget_{unit} must be a positive number, got {limit!r}")
            if not known[unit]:
                raise RunError(f"problem {problem.id!r} has no training {unit}; give its budget in evaluations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one evaluation costs: units of an evaluation (epochs, or 1), seconds and joules (NaN where unknown)."""

    units: int
    seconds: float
    joules: float

    def __add__(self, other: Price) -> Price:
        """Both."""
        return Price(
            units=self.units + other.units, seconds=self.seconds + other.seconds, joules=self.joules + other.joules
        )

    def beyond(self, paid: Price) -> Price:
        """What is left to pay where a part has been paid; never below nothing, and NaN stays NaN."""
        return Price(
            units=max(self.units - paid.units, 0),
            seconds=max(self.seconds - paid.seconds, 0.0),  # max keeps its first argument where that is NaN
            joules=max(self.joules - paid.joules, 0.0),
        )


class Ledger:
    """What has been paid of a budget.

    Parameters
    ----------
    problem, budget
        Whose trainings, and the limits.
    full
        Epochs of the full training where there are shorter ones; None where there are not.
    """

    def __init__(self, problem: Problem, budget: Budget, *, full: int | None) -> None:
        self._problem = problem
        self._budget = budget
        self.full = full
        self.paid = Price(units=0, seconds=0.0, joules=0.0)
        self._longest: dict[bytes, int] = {}
        self._trained = {e: problem.trained_epochs(e) for e in problem.fidelities} if full else {}

    @property
    def evaluations(self) -> float:
        """Evaluations paid, in full trainings."""
        return self.paid.units / (self.full or 1)

    @property
    def left(self) -> int | None:
        """Units left; None without a limit of evaluations."""
        if self._budget.evaluations is None:
            return None
        return self._budget.evaluations * (self.full or 1) - self.paid.units

    def price(self, x: NDArray[Any], epochs: int | None) -> Price:
        """Price of an architecture (d,) after so many epochs, given what was paid of it before."""
        price = self._whole(x, epochs)
        before = self._longest.get(x.tobytes(), 0) if epochs is not None and self._problem.continues else 0
        if not before:
            return price
        return price.beyond(self._whole(x, before))

    def _whole(self, x: NDArray[Any], epochs: int | None) -> Price:
        X = x[None]
        return Price(
            units=1 if epochs is None else self._trained[epochs],
            seconds=float(self._problem.simulated_seconds(X, epochs=epochs)[0]),
            joules=float(self._problem.simulated_joules(X, epochs=epochs)[0]),
        )

    def affords(self, price: Price, *, arch: str) -> bool:
        """Whether what is left of every budget covers a price.

        Raises
        ------
        RunError
            A budget is to be counted in what is unknown of this architecture.
        """
        within = self.left is None or price.units <= self.left
        for unit, limit, spent, cost in (
            ("seconds", self._budget.seconds, self.paid.seconds, price.seconds),
            ("joules", self._budget.joules, self.paid.joules, price.joules),
        ):
            if limit is None:
                continue
            if math.isnan(cost):
                raise RunError(f"problem {self._problem.id!r}: the training {unit} of {arch!r} are unknown")
            within = within and spent + cost <= limit * (1 + _TOLERANCE)
        return within

    def pay(self, price: Price, *, x: NDArray[Any], epochs: int | None) -> None:
        """Note an evaluation."""
        self.paid += price
        if epochs is not None:
            key = x.tobytes()
            self._longest[key] = max(epochs, self._longest.get(key, 0))

    def spent(self) -> dict[str, float]:
        """Everything paid, by unit; what is unknown is left out."""
        amounts = {"evaluations": self.evaluations, "seconds": self.paid.seconds, "joules": self.paid.joules}
        return {unit: amount for unit, amount in amounts.items() if not math.isnan(amount)}


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    """One evaluation, under way or done."""

    x: NDArray[Any]
    arch: str
    epochs: int | None
    price: Price
    #: How often it was proposed since it was told last.
    n_untold: int = 1
    #: Observed values, (m,), NaN where the evaluation failed; None while it is under way.
    F: NDArray[np.float64] | None = None


class Scheduler:
    """State of one run on a virtual clock.

    Parameters
    ----------
    problem, searcher, journal
        As in :func:`.run`; the journal holds rows in the order in which they were finished.
    noise_seed
        Chooses the training seeds that are seen; None for the scored values.
    budget
        Limits, checked.
    workers
        How many evaluations are under way at a time.
    patience
        So many asks in a row without a new evaluation end the run.

    Raises
    ------
    RunError
        Several workers, and a problem without training seconds.
    """

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        noise_seed: int | None,
        budget: Budget,
        workers: int,
        patience: int,
        journal: Journal | None,
    ) -> None:
        if workers > 1 and not problem.knows_seconds:
            raise RunError(f"problem {problem.id!r} has no training seconds, so workers cannot be simulated; take one")
        self.problem = problem
        self.searcher = searcher
        self.budget = budget
        self.workers = workers
        self.patience = patience
        self.journal = journal
        self.penalised: PenalisedValues | None = None
        offered = searcher.fidelities if searcher.wants_fidelities else ()
        self.ledger = Ledger(problem, budget, full=offered[-1] if offered else None)
        self.clock = 0.0
        epochs = offered or (None,)
        self._evaluators = {
            e: problem.evaluator("score", epochs=e) if noise_seed is None else problem.observation(noise_seed, epochs=e)
            for e in epochs
        }
        self._failures = Failures(problem, seed=searcher.seed)
        self._searcher_cpu_s = 0.0
        self._jobs: dict[tuple[bytes, int | None], _Job] = {}
        self._under_way: list[tuple[float, int, _Job]] = []  # a heap: when each is finished, in order of start
        self._n_started = 0
        self._untold: deque[_Job] = deque()  # in the order asked, for a searcher that wants to be told in it
        self._done: list[tuple[_Job, float, float, float]] = []
        self._spent_done = Price(units=0, seconds=0.0, joules=0.0)
        self._idle = 0
        self._n_duplicates = 0
        self._n_waits = 0
        self._ended: str | None = None
        self._started = time.perf_counter()
        self._wall_offset = 0.0

    def run(
        self,
        identity: Identity,
        *,
        environment: Callable[[], Mapping[str, Any]],
        progress: Callable[[int, int], None] | None,
    ) -> Run:
        """Search until a budget is spent or nothing new comes."""
        started_utc = datetime.now(UTC).isoformat(timespec="seconds")
        while True:
            self._employ()
            if not self._under_way:
                break
            self._finish_next()
            if self._failures.nothing_else and not self._under_way:
                self._start_random()
            if progress is not None:
                progress(*self._progress())
        if self.journal is not None and len(self.journal.order) > len(self._done):
            raise RunError(f"{self.journal.path} holds more evaluations than the run; delete it to start over")
        return self._result(identity, environment={**environment(), "started_utc": started_utc})

    # ------------------------------------------------------------------ asking

    def _employ(self) -> None:
        """Give free workers something to do, as far as the searcher and the budget go."""
        while self._ended is None and len(self._under_way) < self.workers and not self._waiting_for_success:
            n = self.workers - len(self._under_way)
            if self.ledger.full is None and self.ledger.left is not None:
                n = min(n, self.ledger.left)
            if self.ledger.left == 0:
                self._ended = "budget"
                return
            try:
                X, epochs = self._ask(n)
            except ExhaustedError:
                if not self._under_way:  # else what comes may allow more
                    self._ended = "searcher exhausted"
                return
            except SearcherError:
                if not self._under_way:
                    raise
                self._n_waits += 1
                return
            if sum(self._start(x, e) for x, e in zip(X, epochs, strict=True)):
                self._idle = 0
                continue
            self._idle += 1
            if self._idle >= self.patience and self._ended is None:
                if not self._under_way:
                    self._ended = f"nothing new in {self.patience} batches"
                return

    @property
    def _waiting_for_success(self) -> bool:
        """Whether all that came so far has failed, so that there is nothing to tell."""
        return bool(self._done) and self._failures.nothing_else

    def _start_random(self) -> None:
        """Start a random architecture, which the searcher did not propose, at the least epochs."""
        epochs = next(iter(self._evaluators))
        x = self._failures.draw(lambda x: (x.tobytes(), epochs) not in self._jobs, patience=self.patience)
        if x is None or not self._start(x, epochs):
            raise self._failures.everything(len(self._done))
        job = self._untold.pop()
        job.n_untold = 0

    def _ask(self, n: int) -> tuple[NDArray[Any], list[int | None]]:
        began = time.process_time()
        try:
            if self.ledger.full is None:
                X = self.searcher.ask(n)
                return X, [None] * len(X)
            assert isinstance(self.searcher, MultiFidelitySearcher)  # fidelities were offered to no other
            X, epochs = self.searcher.ask_at(n)
            return X, epochs.tolist()
        finally:
            self._searcher_cpu_s += time.process_time() - began

    def _start(self, x: NDArray[Any], epochs: int | None) -> bool:
        """Start an evaluation; False where it is known or under way already, or the budget is spent."""
        if self._ended is not None:
            return False
        x = self.problem.space.check(x[None])[0]
        known = self._jobs.get((x.tobytes(), epochs))
        if known is not None:
            self._n_duplicates += 1
            known.n_untold += 1
            self._untold.append(known)
            if known.F is not None:
                self._deliver(known)
            return False
        arch = self.problem.space.decode(x[None])[0]
        price = self.ledger.price(x, epochs)
        if not self.ledger.affords(price, arch=arch):
            self._ended = "budget"
            return False
        if self.workers > 1 and math.isnan(price.seconds):
            raise RunError(f"problem {self.problem.id!r}: the training seconds of {arch!r} are unknown")
        self.ledger.pay(price, x=x, epochs=epochs)
        job = _Job(x=x, arch=arch, epochs=epochs, price=price)
        self._jobs[x.tobytes(), epochs] = job
        self._untold.append(job)
        heapq.heappush(self._under_way, (self.clock + price.seconds, self._n_started, job))
        self._n_started += 1
        return True

    # ------------------------------------------------------------------ telling

    def _finish_next(self) -> None:
        """Move the clock to the next result; what comes at the same time is told before anything is asked."""
        self._finish()
        while self._under_way and self._under_way[0][0] == self.clock:
            self._finish()

    def _finish(self) -> None:
        self.clock, _, job = heapq.heappop(self._under_way)
        nothing_before = self._failures.nothing_else
        if not self._replayed(job):
            attempted = attempt(self._evaluators[job.epochs], job.x[None], [job.arch])
            job.F = attempted.F[0]
            self._failures.note(attempted.F, attempted.reasons)
            self._record(job, wall_s=self._wall_offset + time.perf_counter() - self._started)
            if self.journal is not None:
                _, wall_s, simulated_s, _ = self._done[-1]
                self.journal.append(
                    [job.arch],
                    F=job.F[None],
                    wall_s=np.array([wall_s]),
                    simulated_s=np.array([simulated_s]),
                    epochs=job.epochs,
                    reasons=attempted.reasons,
                )
        if self._failures.nothing_else:
            return
        if nothing_before:  # now there is something to tell of what failed
            for failed in [waiting for waiting in self._untold if waiting.F is not None and waiting is not job]:
                self._deliver(failed)
        self._deliver(job)

    def _replayed(self, job: _Job) -> bool:
        """Take the result from the journal, if it holds it."""
        i = len(self._done)
        if self.journal is None or i >= len(self.journal.order):
            return False
        was = (self.journal.order[i], self.journal.epochs[i])
        if was != (job.arch, job.epochs):
            raise RunError(
                f"{self.journal.path}: evaluation {i} was {was[0]!r} and is now {job.arch!r}, or has other epochs: the "
                "searcher or a library has changed since; delete the journal to start over"
            )
        F, wall_s, _ = self.journal.at(i)
        job.F = np.array(F)
        reasons = self.journal.reasons
        failed = bool(np.isnan(job.F).any())
        self._failures.note(job.F[None], {job.arch: reasons[job.arch]} if failed and job.arch in reasons else {})
        self._wall_offset = wall_s - (time.perf_counter() - self._started)
        self._record(job, wall_s=wall_s)
        return True

    def _record(self, job: _Job, *, wall_s: float) -> None:
        self._spent_done += job.price
        self._done.append((job, wall_s, self.clock, self._spent_done.units / (self.ledger.full or 1)))

    def _deliver(self, job: _Job) -> None:
        """Tell a result that came, or as many as came in the order asked where the searcher wants that."""
        if self.searcher.accepts_foreign:
            ready = [job] * job.n_untold
            self._untold = deque(waiting for waiting in self._untold if waiting is not job)
        else:
            ready = []
            while self._untold and self._untold[0].F is not None:
                ready.append(self._untold.popleft())
        for told in ready:
            told.n_untold = 0
        if ready:
            self._tell(ready)

    def _tell(self, jobs: list[_Job]) -> None:
        X = np.stack([job.x for job in jobs])
        F = self._failures.stood_in_for(np.stack([job.F for job in jobs if job.F is not None]))
        F = as_told(self.penalised, X, F)
        began = time.process_time()
        if isinstance(self.searcher, MultiFidelitySearcher) and self.ledger.full is not None:
            self.searcher.tell_at(X, F, np.array([job.epochs for job in jobs]))
        else:
            self.searcher.tell(X, F)
        self._searcher_cpu_s += time.process_time() - began

    # ------------------------------------------------------------------ reporting

    def _progress(self) -> tuple[int, int]:
        """How much of the first budget is done."""
        done = self._spent_done
        if self.budget.evaluations is not None:
            return done.units // (self.ledger.full or 1), self.budget.evaluations
        if self.budget.seconds is not None:
            return int(done.seconds), math.ceil(self.budget.seconds)
        assert self.budget.joules is not None  # one of the three was given
        return int(done.joules), math.ceil(self.budget.joules)

    def _result(self, identity: Identity, *, environment: Mapping[str, Any]) -> Run:
        jobs = [job for job, *_ in self._done]
        X = np.stack([job.x for job in jobs]) if jobs else self.problem.space.from_codes([])
        F = np.stack([job.F for job in jobs if job.F is not None]) if jobs else np.empty((0, self.problem.n_objectives))
        many = self.ledger.full is not None
        workers = {"workers": self.workers, "scheduling": self._scheduling()} if self.workers > 1 else {}
        return Run(
            identity=identity,
            X=X,
            F=F,
            archs=[job.arch for job in jobs],
            degenerate=self.problem.space.degenerate(X),
            infeasible=~self.problem.feasible(X, F=F),
            wall_s=np.array([wall_s for _, wall_s, _, _ in self._done]),
            simulated_s=np.array([simulated_s for _, _, simulated_s, _ in self._done]),
            environment={
                **environment,
                "ended": self._ended or "budget",
                "n_duplicate_proposals": self._n_duplicates,
                "spent": self.ledger.spent(),
                "searcher_cpu_s": self._searcher_cpu_s,
                **workers,
                **self._failures.environment(),
            },
            source=self.problem,
            epochs=np.array([job.epochs for job in jobs], dtype=np.intp) if many else None,
            cost_evaluations=np.array([cost for *_, cost in self._done]) if many else None,
        )

    def _scheduling(self) -> str:
        if self._n_waits:
            return f"synchronous: the searcher wanted to be told first {self._n_waits} times, while workers were free"
        return "asynchronous"
