"""The contract of a searcher, law by law."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArchitectureError, ExhaustedError, SearcherError
from nasbench_mo.objective import Objective
from nasbench_mo.search import Searcher
from nasbench_mo.search.multi_fidelity import MultiFidelitySearcher
from nasbench_mo.space import CategoricalSpace, SearchSpace
from nasbench_mo.testing._elsewhere import ElsewhereError, call_elsewhere
from nasbench_mo.testing._law import Law, law, read_only
from nasbench_mo.testing.multi_fidelity import MakeMultiFidelity, check_multi_fidelity_searcher

if TYPE_CHECKING:
    from nasbench_mo.benchmark import Problem
    from nasbench_mo.experiment import Run

#: Makes a searcher from a space, a number of objectives and a seed.
Make = Callable[[SearchSpace, int, int], Searcher]
#: How many architectures are asked for, in turn; None is the searcher's own batch.
_SIZES = (1, 4, None, 7)
_BUDGET = 70
#: Asks of a tiny space: enough for any searcher to come to its end, if it has one.
_ASKS_OF_A_TINY_SPACE = 300


def check_searcher(make: Make, *, space: SearchSpace, n_objectives: int = 2, other_process: bool = True) -> None:
    """Check every law that a searcher promises.

    It does *not* judge how well it searches. Where searchers may differ, the law is what the class declares:

    - *foreign points*: with ``accepts_foreign`` it takes architectures that it has not proposed, before the first ask
      and later, and the same one twice; without, it refuses them with a :class:`SearcherError` and goes on as if
      nothing had happened;
    - *ask before tell*: asking again yields proposals or a :class:`SearcherError`, after which telling what was asked
      still works and the search goes on;
    - *known objectives*: offered before the first ask they do no harm, and change nothing unless ``wants_known``;
      offered later they are refused;
    - *constraints*: set before the first ask they do no harm, even where nothing keeps them, and change nothing unless
      ``wants_constraints``; with it, what is proposed keeps tight bounds more often than chance does; set later they
      are refused;
    - *fidelities*: shorter trainings offered before the first ask change nothing unless ``wants_fidelities``; with it,
      what :func:`check_multi_fidelity_searcher` says holds as well;
    - *exhausted space*: it may repeat itself for ever, or raise :class:`ExhaustedError` once all of a tiny space was
      proposed, and then at every further ask.

    Parameters
    ----------
    make
        Makes a fresh searcher from a space, a number of objectives and a seed.
    space
        Space on which it is tried, with at least a thousand architectures, so that seeds can differ.
    n_objectives
        Number of objectives of most trials; one to three are tried besides.
    other_process
        Also make it again from its class and its options, here and in a new interpreter, and demand the same
        proposals. False for one that is more than these, such as one around an object of the caller's.

    Raises
    ------
    AssertionError
        A law is broken; the message says which and by what.

    Notes
    -----
    Runs the searcher about 45 times for 70 evaluations, and starts one Python process.

    Examples
    --------
    >>> from nasbench_mo.search import searcher
    >>> from nasbench_mo.space import space
    >>> check_searcher(lambda s, m, seed: searcher("random", s, m, seed=seed), space=space("nb201"))
    """
    if space.size < 1000:
        raise SearcherError(f"check a searcher on at least 1000 architectures; space {space.name!r} has {space.size}")
    fresh = partial(make, space, n_objectives)
    subject = f"searcher {fresh(0).name!r}"
    with law(subject, "it describes itself and refuses an impossible number of objectives") as promise:
        _describes_itself(make, promise, space=space, n_objectives=n_objectives)
    with law(subject, "ask(n) proposes between one and n architectures of the space") as promise:
        _asks(fresh, promise, space=space)
    with law(subject, "a seed repeats itself, whatever else draws random numbers, and seeds differ") as promise:
        _repeats(fresh, promise)
    with law(subject, "what was asked may be told in parts") as promise:
        _tells_in_parts(fresh, promise)
    with law(subject, "it can be asked for one architecture at a time") as promise:
        rows = _transcript(fresh(0), sizes=(1,))
        promise.holds(len(rows) == _BUDGET, f"{len(rows)} came of {_BUDGET}")
    with law(subject, "asking again before telling is answered or refused, and nothing is lost") as promise:
        _asks_before_telling(fresh, promise)
    with law(subject, "it takes architectures that it has not proposed, or refuses them, as it declares") as promise:
        _meets_foreign(fresh, promise, space=space)
    with law(subject, "known objectives may be offered before the first ask, and only then") as promise:
        _is_offered_known(fresh, promise, n_objectives=n_objectives)
    with law(subject, "constraints may be set before the first ask, and are heeded as it declares") as promise:
        _is_constrained(fresh, promise, space=space, n_objectives=n_objectives)
    with law(subject, "shorter trainings may be offered before the first ask, and only then") as promise:
        _is_offered_fidelities(fresh, promise)
    with law(subject, "values that are not finite or have the wrong shape are refused without a trace") as promise:
        _refuses(fresh, promise, space=space, n_objectives=n_objectives)
    for m in (1, 2, 3):
        with law(subject, f"it searches with {m} objectives") as promise:
            rows = _transcript(make(space, m, 0))
            promise.holds(len(rows) >= _BUDGET, f"stopped after {len(rows)} of {space.size} architectures")
    with law(subject, "equal objective values do no harm") as promise:
        rows = _transcript(fresh(0), value=lambda X: np.zeros((len(X), n_objectives)))
        promise.holds(len(rows) >= _BUDGET, f"stopped after {len(rows)} of {space.size} architectures")
    for n in (1, 2, 6):
        with law(subject, f"a space of {n} architectures does no harm") as promise:
            _exhausts(make(CategoricalSpace("tiny", {"a": range(n), "b": ["only"]}), n_objectives, 0), promise)
    with law(subject, "what it is told is not modified, and later changes to it do not matter") as promise:
        _leaves_arguments_alone(fresh, promise)
    with law(subject, "it neither uses nor changes what the process shares") as promise:
        _leaves_process_alone(fresh, promise)
    with law(subject, "a run of one evaluation ends, and an interrupted run resumes on the same trajectory") as promise:
        _resumes(fresh, promise, space=space, n_objectives=n_objectives)
    if other_process:
        with law(subject, "its class and its options make it again, here and in another process") as promise:
            _is_made_again(fresh, promise)
    if fresh(0).wants_fidelities:
        check_multi_fidelity_searcher(cast(MakeMultiFidelity, make), space=space, n_objectives=n_objectives)


def _describes_itself(make: Make, promise: Law, *, space: SearchSpace, n_objectives: int) -> None:
    made = make(space, n_objectives, 3)
    promise.holds(isinstance(made, Searcher), f"expected a Searcher, got {type(made).__name__}")
    promise.holds(made.space is space and made.n_objectives == n_objectives and made.seed == 3, f"it is {made!r}")
    promise.holds(made.n_told == 0, f"n_told starts at {made.n_told}")
    promise.holds(json.loads(json.dumps(made.options())) == made.options(), f"options {made.options()!r} are not plain")
    promise.refuses(lambda: make(space, 0, 0), SearcherError, what="no objective")


def _asks(fresh: Callable[[int], Searcher], promise: Law, *, space: SearchSpace) -> None:
    for n in (1, 2, 5, None):
        X = fresh(0).ask(n)
        promise.holds(X.ndim == 2 and X.shape[1] == space.n_variables, f"ask({n}) has shape {X.shape}")
        promise.holds(len(X) >= 1 and (n is None or len(X) <= n), f"ask({n}) gave {len(X)} architectures")
        promise.equal(space.check(X), X, what=f"ask({n}) in the space")
    for n in (0, -1):
        promise.refuses(partial(fresh(0).ask, n), SearcherError, what=f"ask({n})")


def _repeats(fresh: Callable[[int], Searcher], promise: Law) -> None:
    first = _transcript(fresh(0))
    promise.holds(len(first) >= _BUDGET, f"stopped after {len(first)} architectures")
    promise.holds(_transcript(fresh(0)) == first, "the same seed and answers gave other proposals")
    in_step = [list(itertools.chain.from_iterable(both)) for both in zip(*_two_in_step(fresh), strict=True)]
    promise.holds(in_step == [2 * list(row) for row in first], "a second searcher beside it changes its proposals")
    others = [_transcript(fresh(seed)) for seed in (1, 2)]
    promise.holds(first not in others and others[0] != others[1], "two seeds gave the same proposals")


def _two_in_step(fresh: Callable[[int], Searcher]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Proposals of two searchers of one seed that take turns: a shared generator would part them."""
    rows: tuple[list[tuple[int, ...]], list[tuple[int, ...]]] = ([], [])
    for pair in zip(_rounds(fresh(0)), _rounds(fresh(0)), strict=True):
        for kept, X in zip(rows, pair, strict=True):
            kept.extend(tuple(row) for row in X.tolist())
    return rows


def _tells_in_parts(fresh: Callable[[int], Searcher], promise: Law) -> None:
    searcher = fresh(0)
    n_told = 0
    while n_told < _BUDGET:
        X = searcher.ask(6)
        F = _values(X, n_objectives=searcher.n_objectives)
        for start in range(0, len(X), 2):
            searcher.tell(X[start : start + 2], F[start : start + 2])
            n_told += len(X[start : start + 2])
            promise.holds(searcher.n_told == n_told, f"n_told is {searcher.n_told} after {n_told}")


def _refuses(fresh: Callable[[int], Searcher], promise: Law, *, space: SearchSpace, n_objectives: int) -> None:
    searcher = fresh(0)
    X = searcher.ask(2)
    F = _values(X, n_objectives=n_objectives)
    bad: dict[str, Any] = {
        "NaN": np.where(np.arange(n_objectives) == n_objectives - 1, np.nan, F),
        "infinity": np.where(np.arange(n_objectives) == 0, np.inf, F),
        "an objective too many": np.hstack([F, F[:, :1]]),
        "an objective too few": F[:, 1:],
        "a row too many": np.vstack([F, F[:1]]),
        "a vector": F[:, 0],
    }
    for what, values in bad.items():
        promise.refuses(partial(searcher.tell, X, values), SearcherError, what=what)
    outside = np.broadcast_to(space.cardinalities, X.shape)
    promise.refuses(partial(searcher.tell, outside, F), ArchitectureError, what="architectures outside the space")
    promise.holds(searcher.n_told == 0, f"n_told is {searcher.n_told} after refusals")
    searcher.tell(X, F)
    promise.holds(searcher.n_told == len(X), f"n_told is {searcher.n_told} after {len(X)}")
    after = [X.tolist(), *(rows.tolist() for rows in _rounds(searcher))]
    untroubled = fresh(0)
    X = untroubled.ask(2)
    untroubled.tell(X, F)
    promise.holds(after == [X.tolist(), *(rows.tolist() for rows in _rounds(untroubled))], "a refusal left a trace")


def _asks_before_telling(fresh: Callable[[int], Searcher], promise: Law) -> None:
    eager, patient = fresh(0), fresh(0)
    asked: list[NDArray[Any]] = []
    while sum(map(len, asked)) < _BUDGET:
        try:
            asked.append(eager.ask(3))
        except ExhaustedError:
            promise.holds(False, f"exhausted after {sum(map(len, asked))} architectures")
        except SearcherError as error:
            promise.holds(asked, f"the first ask was refused: {error}")
            break
        promise.equal(patient.ask(3), asked[-1], what="the same ask of its twin")
    for X in asked:  # the twin was asked as often, but never refused
        F = _values(X, n_objectives=eager.n_objectives)
        eager.tell(X, F)
        patient.tell(X, F)
    promise.holds(_transcript(eager) == _transcript(patient), "a refused ask left a trace")


def _meets_foreign(fresh: Callable[[int], Searcher], promise: Law, *, space: SearchSpace) -> None:
    first, second = fresh(0), fresh(0)
    promise.holds(isinstance(first.accepts_foreign, bool), f"accepts_foreign is {first.accepts_foreign!r}")
    foreign = space.sample(4, rng=np.random.default_rng(99))
    F = _values(foreign, n_objectives=first.n_objectives)
    if not first.accepts_foreign:
        promise.refuses(partial(first.tell, foreign, F), SearcherError, what="foreign points before the first ask")
        for searcher in (first, second):
            X = searcher.ask(2)
            searcher.tell(X, _values(X, n_objectives=searcher.n_objectives))
        promise.refuses(partial(first.tell, foreign, F), SearcherError, what="foreign points after a tell")
        promise.refuses(
            partial(first.tell, X, _values(X, n_objectives=first.n_objectives)), SearcherError, what="a second tell"
        )
        promise.holds(first.n_told == second.n_told, f"n_told is {first.n_told} after refusals")
        promise.holds(_transcript(first) == _transcript(second), "a refusal left a trace")
        return
    for searcher in (first, second):
        searcher.tell(foreign, F)
        promise.holds(searcher.n_told == len(foreign), f"n_told is {searcher.n_told} after {len(foreign)}")
        X = searcher.ask(2)
        for rows in (X, foreign, X):  # what was proposed, what was not, and what was told before
            searcher.tell(rows, _values(rows, n_objectives=searcher.n_objectives))
    after = _transcript(first)
    promise.holds(len(after) >= _BUDGET, f"stopped after {len(after)} of {space.size} architectures")
    promise.holds(_transcript(second) == after, "the same foreign points gave other proposals")


def _is_offered_known(fresh: Callable[[int], Searcher], promise: Law, *, n_objectives: int) -> None:
    def column(j: int, X: NDArray[Any]) -> NDArray[np.float64]:
        return _values(X, n_objectives=n_objectives)[:, j]

    promise.holds(isinstance(fresh(0).wants_known, bool), f"wants_known is {fresh(0).wants_known!r}")
    for columns in ({}, {n_objectives - 1: partial(column, n_objectives - 1)}, {0: partial(column, 0)}):
        rows = []
        for searcher in (fresh(0), fresh(0)):
            searcher.set_known(columns)
            rows.append(_transcript(searcher))
        promise.holds(len(rows[0]) >= _BUDGET, f"stopped after {len(rows[0])} architectures with {list(columns)} known")
        promise.holds(rows[0] == rows[1], "the same known objectives gave other proposals")
        if not (columns and searcher.wants_known):
            promise.holds(rows[0] == _transcript(fresh(0)), "known objectives that it does not want changed proposals")
        promise.refuses(
            partial(searcher.set_known, columns), SearcherError, what="known objectives after the first ask"
        )
    impossible: tuple[dict[int, Any], ...] = ({n_objectives: partial(column, 0)}, {-1: partial(column, 0)}, {0: [1.0]})
    for wrong in impossible:
        promise.refuses(partial(fresh(0).set_known, wrong), SearcherError, what=f"known objectives {wrong}")


#: Shares of a space that lie below the bounds of the trial: what is best lies outside.
_BAND = (0.7, 0.85)


def _is_constrained(fresh: Callable[[int], Searcher], promise: Law, *, space: SearchSpace, n_objectives: int) -> None:
    first = _values(space.sample(2000, rng=np.random.default_rng(7)), n_objectives=n_objectives)[:, 0]
    low, high = np.quantile(first, _BAND)
    none = np.full(n_objectives, np.inf)
    band = {"upper": none.copy(), "lower": -none}
    band["upper"][0], band["lower"][0] = high, low

    def kept(values: NDArray[np.float64]) -> float:
        return float(((values >= low) & (values <= high)).mean())

    def known(X: NDArray[Any]) -> NDArray[np.float64]:
        excess: NDArray[np.float64] = np.maximum(_values(X, n_objectives=n_objectives)[:, 0] - high, 0.0)
        return excess

    def transcript(seed: int, **bounds: Any) -> list[tuple[int, ...]]:
        searcher = fresh(seed)
        searcher.set_constraints(**{"upper": none, **bounds})
        return _transcript(searcher)

    wants = fresh(0).wants_constraints
    promise.holds(isinstance(wants, bool), f"wants_constraints is {wants!r}")
    free = _transcript(fresh(0))
    promise.holds(transcript(0) == free, "bounds that bound nothing changed proposals")
    under = transcript(0, **band)
    impossible = {"upper": np.full(n_objectives, first.min() - 1e6)}
    for what, rows in (
        ("tight bounds", under),
        ("bounds that nothing keeps", transcript(0, **impossible)),
        ("a known violation", transcript(0, known=known)),
    ):
        promise.holds(len(rows) >= _BUDGET, f"stopped after {len(rows)} architectures under {what}")
        if not wants:
            promise.holds(rows == free, f"{what} that it does not want changed proposals")
    if wants:
        promise.holds(transcript(0, **band) == under, "the same bounds gave other proposals")
        late = [row for rows in (under, transcript(1, **band)) for row in rows[_BUDGET // 2 :]]
        found, by_chance = kept(_values(np.array(late), n_objectives=n_objectives)[:, 0]), kept(first)
        promise.holds(
            under != free and found > by_chance,
            f"{found:.0%} of its later proposals keep bounds that {by_chance:.0%} of all keep",
        )
    asked = fresh(0)
    asked.ask(1)
    promise.refuses(partial(asked.set_constraints, none), SearcherError, what="constraints after the first ask")
    wrong: tuple[Any, ...] = (none[:-1], np.full(n_objectives, np.nan), -none, "tight")
    for upper in wrong:
        promise.refuses(partial(fresh(0).set_constraints, upper), SearcherError, what=f"bounds {upper}")
    above = np.where(np.isinf(band["lower"]), -none, high + 1.0)
    crossed = partial(fresh(0).set_constraints, band["upper"], lower=above)
    promise.refuses(crossed, SearcherError, what="a lower bound above the upper one")


def _is_offered_fidelities(fresh: Callable[[int], Searcher], promise: Law) -> None:
    promise.holds(isinstance(fresh(0).wants_fidelities, bool), f"wants_fidelities is {fresh(0).wants_fidelities!r}")
    searcher = fresh(0)
    searcher.ask(1)
    promise.refuses(partial(searcher.set_fidelities, (12, 200)), SearcherError, what="fidelities after the first ask")
    if searcher.wants_fidelities:
        promise.holds(isinstance(searcher, MultiFidelitySearcher), f"it is no {MultiFidelitySearcher.__name__}")
        return
    offered = fresh(0)
    offered.set_fidelities((12, 200))
    promise.holds(_transcript(offered) == _transcript(fresh(0)), "shorter trainings that it does not want changed it")


def _exhausts(searcher: Searcher, promise: Law) -> None:
    proposed: set[tuple[int, ...]] = set()
    for _ in range(_ASKS_OF_A_TINY_SPACE):
        try:
            X = searcher.ask(2)
        except ExhaustedError:
            promise.holds(len(proposed) == searcher.space.size, f"it gave up after {len(proposed)} architectures")
            for n in (1, None):
                promise.refuses(partial(searcher.ask, n), ExhaustedError, what=f"ask({n}) once it is exhausted")
            return
        proposed.update(map(tuple, X.tolist()))
        searcher.tell(X, _values(X, n_objectives=searcher.n_objectives))


def _leaves_process_alone(fresh: Callable[[int], Searcher], promise: Law) -> None:
    transcripts = []
    with _kept_global_state():
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            # A filter of its own in front, so that any other that is put there shows.
            warnings.filterwarnings("ignore", message=f"mark {seed} of the contract suite")
            before = _global_state()
            transcripts.append(_transcript(fresh(0)))
            for (what, was), now in zip(before.items(), _global_state().values(), strict=True):
                promise.holds(was == now, f"it changed {what}")
    promise.holds(transcripts[0] == transcripts[1], "proposals depend on a global random generator")


def _global_state() -> dict[str, str]:
    return {
        "NumPy's global random generator": repr(np.random.get_state(legacy=False)),  # noqa: NPY002
        "Python's global random generator": repr(random.getstate()),
        "NumPy's floating-point error handling": repr(np.geterr()),
        "the warning filters": repr(warnings.filters),
    }


@contextmanager
def _kept_global_state() -> Iterator[None]:
    numpy_state, python_state, float_errors = np.random.get_state(), random.getstate(), np.geterr()  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        np.seterr(**float_errors)


class _InterruptedError(Exception):
    """Stands for whatever ends a run before its time."""


def _resumes(fresh: Callable[[int], Searcher], promise: Law, *, space: SearchSpace, n_objectives: int) -> None:
    # Imported here, as the other process has no use for it and would wait for it.
    from nasbench_mo.benchmark import Problem
    from nasbench_mo.experiment import run

    problem = Problem.from_function(
        "check-searcher-v1",
        lambda X: _values(X, n_objectives=n_objectives),
        search_space=space,
        objectives=[Objective(name=f"objective_{j}", unit="score", kind="modelled") for j in range(n_objectives)],
    )
    promise.holds(len(run(problem, fresh(0), budget=1)) == 1, "a budget of one evaluation was not met")
    whole = run(problem, fresh(0), budget=_BUDGET)
    promise.holds(len(whole) == _BUDGET, f"a budget of {_BUDGET} evaluations ended after {len(whole)}")
    with tempfile.TemporaryDirectory() as folder:
        resumed = _interrupted_run(problem, fresh, out=Path(folder) / "run.parquet")
    promise.equal(resumed.X, whole.X, what="architectures of the resumed run")
    promise.equal(resumed.F, whole.F, what="values of the resumed run")


def _interrupted_run(problem: Problem, fresh: Callable[[int], Searcher], *, out: Path) -> Run:
    from nasbench_mo.experiment import run

    def interrupt(done: int, budget: int) -> None:
        if 2 * done >= budget:
            raise _InterruptedError

    with suppress(_InterruptedError):
        run(problem, fresh(0), budget=_BUDGET, out=out, progress=interrupt)
    return run(problem, fresh(0), budget=_BUDGET, out=out)


def _is_made_again(fresh: Callable[[int], Searcher], promise: Law) -> None:
    made = fresh(5)
    recipe = (type(made), made.space, made.n_objectives, made.seed, made.options())
    expected = _transcript(made)
    promise.holds(_repeated(*recipe) == [list(row) for row in expected], "its options gave other proposals here")
    try:
        elsewhere = call_elsewhere(_repeated, *recipe)
    except ElsewhereError as error:
        promise.holds(False, f"{error}")
    promise.holds(elsewhere == [list(row) for row in expected], "another process gave other proposals")


def _repeated(
    kind: type[Searcher], space: SearchSpace, n_objectives: int, seed: int, options: dict[str, Any]
) -> list[list[int]]:
    """Everything that a searcher made of its class and options proposes."""
    return [list(row) for row in _transcript(kind(space, n_objectives, seed=seed, **options))]


def _leaves_arguments_alone(fresh: Callable[[int], Searcher], promise: Law) -> None:
    untroubled, searcher = fresh(0), fresh(0)
    for size in (2, 3, None, 5) * 4:
        expected = untroubled.ask(size)
        X = searcher.ask(size)
        promise.equal(X, expected, what="proposals after the told arrays were overwritten")
        F = _values(X, n_objectives=searcher.n_objectives)
        untroubled.tell(read_only(expected), read_only(F))
        kept_X, kept_F = X.copy(), F.copy()
        searcher.tell(X, F)
        promise.equal(X, kept_X, what="architectures after tell")
        promise.equal(F, kept_F, what="values after tell")
        X[:] = 0
        F[:] = -1.0


def _transcript(
    searcher: Searcher,
    *,
    value: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None,
    sizes: tuple[int | None, ...] = _SIZES,
) -> list[tuple[int, ...]]:
    """Everything a searcher proposes within the budget."""
    return [tuple(row) for X in _rounds(searcher, value=value, sizes=sizes) for row in X.tolist()]


def _rounds(
    searcher: Searcher,
    *,
    value: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None,
    sizes: tuple[int | None, ...] = _SIZES,
) -> Iterator[NDArray[Any]]:
    """Ask and tell until the budget is spent or nothing is left to propose."""
    n_evaluated = 0
    for size in itertools.cycle(sizes):
        if n_evaluated >= _BUDGET:
            return
        try:
            X = searcher.ask(size)
        except ExhaustedError:
            return
        yield X
        searcher.tell(X, value(X) if value is not None else _values(X, n_objectives=searcher.n_objectives))
        n_evaluated += len(X)


def _values(X: NDArray[Any], *, n_objectives: int) -> NDArray[np.float64]:
    """Objectives that fight each other: distances to different corners."""
    weights = np.arange(1, X.shape[1] + 1, dtype=np.float64)
    corners = [np.abs(X - j * X.shape[1] % 5) @ np.roll(weights, j) for j in range(n_objectives)]
    return np.stack(corners, axis=1)
