"""The contract of a searcher, law by law."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArchitectureError, ExhaustedError, SearcherError
from nasbench_mo.search import Searcher
from nasbench_mo.space import CategoricalSpace, SearchSpace
from nasbench_mo.testing._law import Law, law, read_only

#: Makes a searcher from a space, a number of objectives and a seed.
Make = Callable[[SearchSpace, int, int], Searcher]
#: How many architectures are asked for, in turn; None is the searcher's own batch.
_SIZES = (1, 4, None, 7)
_BUDGET = 70


def check_searcher(make: Make, *, space: SearchSpace, n_objectives: int = 2) -> None:
    """Check every law that a searcher promises.

    It does *not* judge how well it searches.

    Parameters
    ----------
    make
        Makes a fresh searcher from a space, a number of objectives and a seed.
    space
        Space on which it is tried, with at least a thousand architectures, so that seeds can differ.
    n_objectives
        Number of objectives of most trials; one to three are tried besides.

    Raises
    ------
    AssertionError
        A law is broken; the message says which and by what.

    Notes
    -----
    Runs the searcher about 20 times for 70 evaluations.

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
            tiny = CategoricalSpace("tiny", {"a": range(n), "b": ["only"]})
            rows = _transcript(make(tiny, n_objectives, 0))
            promise.holds(rows, "it proposed nothing")
    with law(subject, "what it is told is not modified, and later changes to it do not matter") as promise:
        _leaves_arguments_alone(fresh, promise)


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
    searcher: Searcher, *, value: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None
) -> list[tuple[int, ...]]:
    """Everything a searcher proposes within the budget."""
    return [tuple(row) for X in _rounds(searcher, value=value) for row in X.tolist()]


def _rounds(
    searcher: Searcher, *, value: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None
) -> Iterator[NDArray[Any]]:
    """Ask and tell until the budget is spent or nothing is left to propose."""
    n_evaluated = 0
    for size in itertools.cycle(_SIZES):
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
