"""The contract of a searcher that trains for fewer epochs, law by law: what it promises besides the ordinary one."""

from __future__ import annotations

import heapq
import itertools
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArchitectureError, ExhaustedError, SearcherError
from nasbench_mo.objective import Objective
from nasbench_mo.search.multi_fidelity import MultiFidelitySearcher
from nasbench_mo.space import CategoricalSpace, SearchSpace
from nasbench_mo.testing._law import Law, law, read_only

if TYPE_CHECKING:
    from nasbench_mo.benchmark import Problem
    from nasbench_mo.benchmark.values import Values

#: Makes a searcher from a space, a number of objectives and a seed.
MakeMultiFidelity = Callable[[SearchSpace, int, int], MultiFidelitySearcher]

#: Offered on most trials.
_EPOCHS = (1, 3, 9)
_JOBS = 130
#: One row of a transcript: architecture and epochs.
_Job = tuple[tuple[int, ...], int]


def check_multi_fidelity_searcher(make: MakeMultiFidelity, *, space: SearchSpace, n_objectives: int = 2) -> None:
    """Check what a :class:`.MultiFidelitySearcher` promises besides :func:`.check_searcher`, which calls this.

    It does *not* judge how well it searches, nor that it promotes the right ones.

    Parameters
    ----------
    make
        Makes a fresh searcher from a space, a number of objectives and a seed.
    space
        Space on which it is tried, with at least a thousand architectures.
    n_objectives
        Number of objectives of most trials.

    Raises
    ------
    AssertionError
        A law is broken; the message says which and by what.

    Examples
    --------
    >>> from nasbench_mo.search import searcher
    >>> from nasbench_mo.space import space
    >>> check_multi_fidelity_searcher(lambda s, m, seed: searcher("mo-asha", s, m, seed=seed), space=space("nb201"))
    """
    if space.size < 1000:
        raise SearcherError(f"check a searcher on at least 1000 architectures; space {space.name!r} has {space.size}")

    def fresh(seed: int = 0, *, m: int = n_objectives) -> MultiFidelitySearcher:
        made = make(space, m, seed)
        made.set_fidelities(_EPOCHS)
        return made

    subject = f"searcher {fresh().name!r}"
    with law(subject, "shorter trainings are offered before the first ask, in ascending order") as promise:
        _is_offered(partial(make, space, n_objectives), promise)
    with law(
        subject, "ask_at(n) proposes between one and n architectures, each with epochs that were offered"
    ) as promise:
        _asks(fresh, promise, space=space)
    with law(subject, "once shorter trainings were offered, it is asked by ask_at alone") as promise:
        promise.refuses(fresh().ask, SearcherError, what="ask() after set_fidelities")
    with law(subject, "a seed repeats itself, and seeds differ") as promise:
        first = _transcript(fresh())
        promise.holds(_transcript(fresh()) == first, "the same seed and answers gave other proposals")
        promise.holds(_transcript(fresh(1)) != first, "two seeds gave the same proposals")
    with law(subject, "architectures come to the full training, and most trainings are shorter") as promise:
        epochs = [e for _, e in _transcript(fresh())]
        n_full = epochs.count(_EPOCHS[-1])
        promise.holds(0 < n_full <= len(epochs) / 2, f"{n_full} of {len(epochs)} trainings were full ones")
    with law(subject, "several jobs may be under way, told in any order; asking too early is refused") as promise:
        for workers in (2, 5):
            first = _transcript(fresh(), workers=workers)
            promise.holds(len(first) >= _JOBS, f"{workers} workers came to an end after {len(first)} jobs")
            promise.holds(_transcript(fresh(), workers=workers) == first, f"{workers} workers: other proposals")
    with law(subject, "it takes architectures that it has not proposed, after any of its epochs") as promise:
        _meets_foreign(fresh, promise, space=space)
    with law(subject, "impossible values, shapes and epochs are refused without a trace") as promise:
        _refuses(fresh, promise, space=space)
    with law(subject, "what it is told is not modified, and later changes to it do not matter") as promise:
        _leaves_arguments_alone(fresh, promise)
    for m in (1, 3):
        with law(subject, f"it searches with {m} objectives") as promise:
            n = len(_transcript(fresh(m=m)))
            promise.holds(n >= _JOBS, f"stopped after {n} jobs")
    with law(subject, "equal objective values do no harm") as promise:
        n = len(_transcript(fresh(), value=lambda X, _: np.zeros((len(X), n_objectives))))
        promise.holds(n >= _JOBS, f"stopped after {n} jobs")
    for size in (1, 2, 6):
        with law(subject, f"a space of {size} architectures does no harm") as promise:
            _exhausts(make(CategoricalSpace("tiny", {"a": range(size), "b": ["only"]}), n_objectives, 0), promise)
    with law(subject, "an interrupted run resumes on the same trajectory, with several workers, too") as promise:
        for workers in (1, 3):
            _resumes(
                partial(make, space, n_objectives), promise, problem=_problem(space, n_objectives), workers=workers
            )


def _is_offered(bare: Callable[[int], MultiFidelitySearcher], promise: Law) -> None:
    made = bare(0)
    promise.holds(isinstance(made, MultiFidelitySearcher), f"it is a {type(made).__name__}")
    promise.holds(made.n_rungs == 1 and not made.rungs, f"it has the rungs {made.rungs} before any were offered")
    promise.refuses(made.ask_at, SearcherError, what="ask_at() before set_fidelities")
    wrongs: tuple[Any, ...] = ((), (9, 3), (3, 3), (0, 3), (-1,), (1.5, 3), (True, 3), ("1",))
    for wrong in wrongs:
        promise.refuses(partial(made.set_fidelities, wrong), SearcherError, what=f"the epochs {wrong}")
    numpy_integers: Any = np.array([12, 200])
    made.set_fidelities(numpy_integers)
    promise.holds(made.fidelities == (12, 200), f"fidelities are {made.fidelities} after 12 and 200 were offered")
    promise.holds(made.rungs[-1] == 200 and set(made.rungs) <= {12, 200}, f"rungs are {made.rungs}")
    made.ask_at(1)
    promise.refuses(partial(made.set_fidelities, (12, 200)), SearcherError, what="fidelities after the first ask")
    alone = bare(0)
    alone.set_fidelities([200])
    X, epochs = alone.ask_at(3)
    promise.equal(epochs, [200] * len(X), what="epochs where the full training is the only one")
    promise.equal(bare(0).ask(3), X, what="proposals with and without the full training as the only one offered")


def _asks(fresh: Callable[..., MultiFidelitySearcher], promise: Law, *, space: SearchSpace) -> None:
    for n in (1, 2, 5, None):
        X, epochs = fresh().ask_at(n)
        promise.holds(X.ndim == 2 and X.shape[1] == space.n_variables, f"ask_at({n}) has shape {X.shape}")
        promise.holds(len(X) >= 1 and (n is None or len(X) <= n), f"ask_at({n}) gave {len(X)} architectures")
        promise.holds(epochs.shape == (len(X),), f"ask_at({n}) gave epochs of shape {epochs.shape}")
        promise.holds(set(epochs.tolist()) <= set(_EPOCHS), f"ask_at({n}) gave the epochs {epochs.tolist()}")
        promise.equal(space.check(X), X, what=f"ask_at({n}) in the space")
    for n in (0, -1):
        promise.refuses(partial(fresh().ask_at, n), SearcherError, what=f"ask_at({n})")


def _meets_foreign(fresh: Callable[..., MultiFidelitySearcher], promise: Law, *, space: SearchSpace) -> None:
    foreign = space.sample(4, rng=np.random.default_rng(99))
    transcripts = []
    for _ in range(2):
        made = fresh()
        for e in made.rungs:
            made.tell_at(foreign, _values(foreign, e, n_objectives=made.n_objectives), [e] * 4)
        made.tell(foreign, _values(foreign, _EPOCHS[-1], n_objectives=made.n_objectives))  # the full training
        promise.holds(made.n_told == 4 * (len(made.rungs) + 1), f"n_told is {made.n_told}")
        transcripts.append(_transcript(made))
    promise.holds(transcripts[0] == transcripts[1], "the same foreign points gave other proposals")
    promise.holds(len(transcripts[0]) >= _JOBS, f"stopped after {len(transcripts[0])} jobs")


def _refuses(fresh: Callable[..., MultiFidelitySearcher], promise: Law, *, space: SearchSpace) -> None:
    made, untroubled = fresh(), fresh()
    X, epochs = made.ask_at(1)
    untroubled.ask_at(1)
    F = _values(X, int(epochs[0]), n_objectives=made.n_objectives)
    bad: dict[str, tuple[Any, Any, Any]] = {
        "NaN": (X, F * np.nan, epochs),
        "an objective too many": (X, np.hstack([F, F]), epochs),
        "epochs that were not offered": (X, F, [2]),
        "an epoch too many": (X, F, [1, 1]),
        "a single number of epochs": (X, F, 1),
        "no number of epochs": (X, F, ["many"]),
    }
    for what, arguments in bad.items():
        promise.refuses(partial(made.tell_at, *arguments), SearcherError, what=what)
    outside = np.broadcast_to(space.cardinalities, X.shape)
    promise.refuses(
        partial(made.tell_at, outside, F, epochs), ArchitectureError, what="architectures outside the space"
    )
    promise.holds(made.n_told == 0, f"n_told is {made.n_told} after refusals")
    for one in (made, untroubled):
        one.tell_at(X, F, epochs)
    promise.holds(_transcript(made) == _transcript(untroubled), "a refusal left a trace")


def _leaves_arguments_alone(fresh: Callable[..., MultiFidelitySearcher], promise: Law) -> None:
    untroubled, made = fresh(), fresh()
    for _ in range(60):
        expected, epochs = untroubled.ask_at(1)
        X, told = made.ask_at(1)
        promise.equal(X, expected, what="proposals after the told arrays were overwritten")
        promise.equal(told, epochs, what="epochs after the told arrays were overwritten")
        F = _values(X, int(epochs[0]), n_objectives=made.n_objectives)
        untroubled.tell_at(read_only(expected), read_only(F), read_only(epochs))
        kept = F.copy()
        made.tell_at(X, F, told)
        promise.equal(F, kept, what="values after tell_at")
        X[:], F[:], told[:] = 0, -1.0, 1


def _exhausts(made: MultiFidelitySearcher, promise: Law) -> None:
    made.set_fidelities(_EPOCHS)
    for _ in range(300):
        try:
            X, epochs = made.ask_at(2)
        except ExhaustedError:
            for n in (1, None):
                promise.refuses(partial(made.ask_at, n), ExhaustedError, what=f"ask_at({n}) once it is exhausted")
            return
        for x, e in zip(X, epochs.tolist(), strict=True):
            made.tell_at(x[None], _values(x[None], e, n_objectives=made.n_objectives), [e])


class _InterruptedError(Exception):
    """Stands for whatever ends a run before its time."""


def _resumes(bare: Callable[[int], MultiFidelitySearcher], promise: Law, *, problem: Problem, workers: int) -> None:
    from nasbench_mo.experiment import run

    def interrupt(done: int, budget: int) -> None:
        if 2 * done >= budget:
            raise _InterruptedError

    whole = run(problem, bare(0), budget=25, workers=workers)
    promise.holds(whole.epochs is not None and whole.cost_evaluations[-1] <= 25, "it spent more than its budget")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.parquet"
        with suppress(_InterruptedError):
            run(problem, bare(0), budget=25, workers=workers, out=out, progress=interrupt)
        resumed = run(problem, bare(0), budget=25, workers=workers, out=out)
    for what in ("X", "F", "epochs", "simulated_s", "cost_evaluations"):
        promise.equal(
            getattr(resumed, what), getattr(whole, what), what=f"{what} of the run resumed, {workers} workers"
        )


def _problem(space: SearchSpace, n_objectives: int) -> Problem:
    """A problem whose first objective has a curve; trainings last between one and two seconds an epoch."""
    from nasbench_mo.benchmark import Problem
    from nasbench_mo.benchmark.search_problem import Term

    names = [Objective(name=f"objective_{j}", unit="score", kind="modelled") for j in range(n_objectives)]
    return Problem(
        "check-multi-fidelity-v1",
        search_space=space,
        terms=[Term(objective=o, values=_curve(o, j, n_objectives=n_objectives)) for j, o in enumerate(names)],
        simulated_seconds=_curve(Objective(name="time", unit="s", kind="measured"), None, n_objectives=n_objectives),
    )


def _curve(objective: Objective, column: int | None, *, n_objectives: int) -> Values:
    """Values of the toy law below, with a curve; seconds where there is no column."""
    from nasbench_mo.benchmark.values import Values

    @dataclass(frozen=True, kw_only=True)
    class Curve(Values):
        epochs: int = _EPOCHS[-1]

        @property
        def origin(self) -> Objective:
            return objective

        def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
            if column is None:
                return self.epochs * (1.0 + np.asarray(X.sum(axis=1) % 7) / 7)
            return _values(X, self.epochs, n_objectives=n_objectives)[:, column]

        def fidelities(self) -> tuple[int, ...]:
            return _EPOCHS

        def at(self, epochs: int) -> Values:
            return Curve(epochs=epochs)

        def data_hash(self) -> str:
            return f"{objective.column} {column}"

    return Curve()


def _transcript(
    made: MultiFidelitySearcher,
    *,
    value: Callable[[NDArray[Any], int], NDArray[np.float64]] | None = None,
    workers: int = 1,
) -> list[_Job]:
    """Everything proposed to some workers within :data:`_JOBS`; a job lasts as long as its epochs."""
    jobs: list[_Job] = []
    under_way: list[tuple[int, int, NDArray[Any], int]] = []
    number = itertools.count()
    clock = 0
    told = value or partial(_values, n_objectives=made.n_objectives)
    while len(jobs) < _JOBS:
        with suppress(SearcherError):  # exhausted, or too early: then a result has to come first
            while len(under_way) < workers:
                X, epochs = made.ask_at(1)
                jobs.append((tuple(X[0].tolist()), int(epochs[0])))
                heapq.heappush(under_way, (clock + int(epochs[0]), next(number), X, int(epochs[0])))
        if not under_way:
            return jobs
        clock, _, X, e = heapq.heappop(under_way)
        made.tell_at(X, told(X, e), [e])
    return jobs


def _values(X: NDArray[Any], epochs: int, *, n_objectives: int) -> NDArray[np.float64]:
    """Objectives that fight each other, distances to different corners; the first is rough after few epochs."""
    weights = np.arange(1, X.shape[1] + 1, dtype=np.float64)
    corners = [np.abs(X - j * X.shape[1] % 5) @ np.roll(weights, j) for j in range(n_objectives)]
    F = np.stack(corners, axis=1)
    F[:, 0] += 10.0 / epochs * (X.sum(axis=1) % 3)
    return F
