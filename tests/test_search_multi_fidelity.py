"""Searchers that train for fewer epochs: who is promoted, how large rungs and brackets are, who copies whom."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import toy_space
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.search import searcher
from nasbench_mo.search.mo_asha import MOASHASearcher
from nasbench_mo.search.mo_hyperband import MOHyperbandSearcher
from nasbench_mo.search.multi_fidelity import MultiFidelitySearcher, Rung, best_rows, thinned
from nasbench_mo.search.pbt import PBTSearcher
from nasbench_mo.search.successive_halving import SuccessiveHalvingSearcher
from nasbench_mo.space import space
from nasbench_mo.testing import check_multi_fidelity_searcher

LINE = toy_space(2000)
R81 = range(1, 82)
NAMES = ("mo-asha", "successive-halving", "mo-hyperband", "pbt")


def rows(*codes: int) -> NDArray[Any]:
    return LINE.from_codes(list(codes))


def codes(X: NDArray[Any]) -> list[int]:
    found: list[int] = LINE.codes(X).tolist()
    return found


# ---------------------------------------------------------------------- rungs


@pytest.mark.parametrize(
    ("epochs", "eta", "least", "rungs"),
    [
        (R81, 3, 1, (1, 3, 9, 27, 81)),
        (R81, 3, 5, (9, 27, 81)),
        ((12, 200), 3, 1, (12, 200)),
        ((12, 200), 17, 1, (200,)),
        ((4, 12, 36, 108), 3, 1, (4, 12, 36, 108)),
        ((4, 12, 36, 108), 4, 1, (12, 108)),
        (range(1, 201), 3, 1, (2, 7, 22, 66, 200)),
        ((200,), 3, 1, (200,)),
        ((12, 200), 3, 201, (200,)),
    ],
)
def test_rungs_are_thinned_from_the_full_training_down(
    epochs: Any, eta: int, least: int, rungs: tuple[int, ...]
) -> None:
    assert thinned(epochs, eta=eta, least=least) == rungs


@given(st.sets(st.integers(1, 400), min_size=1), st.integers(2, 8))
def test_rungs_lie_eta_apart_and_none_that_would_fit_is_left_out(offered: set[int], eta: int) -> None:
    epochs = sorted(offered)
    rungs = thinned(epochs, eta=eta)
    assert rungs[-1] == epochs[-1]
    assert all(b >= eta * a for a, b in itertools.pairwise(rungs))
    for above in rungs[1:]:
        fitting = [e for e in epochs if e * eta <= above]
        assert not fitting or max(fitting) in rungs
    assert not [e for e in epochs if e * eta <= rungs[0]]


# ---------------------------------------------------------------------- promotion

#: Two fronts: A, B, C and then D, E, F. Ranges are 10 and 10.
HAND = {10: (0, 10), 11: (10, 0), 12: (4, 4), 13: (5, 6), 14: (8, 5), 15: (9, 9)}


def test_promotion_is_by_front_and_by_distance_inside_a_front() -> None:
    """A is best in the first objective, B farthest from it, C is left; then of the second front D is best in the
    first objective, at (0.5, 0.6), and E = (0.8, 0.5) is the other one."""
    X, F = rows(*HAND), np.array(list(HAND.values()), dtype=float)
    assert codes(X[best_rows(X, F, space=LINE, most=6)]) == [10, 11, 12, 13, 14, 15]
    assert codes(X[best_rows(X, F, space=LINE, most=2)]) == [10, 11]
    # In the second objective B is best, and A is farthest.
    assert codes(X[best_rows(X, F, space=LINE, most=6, start=1)]) == [11, 10, 12, 14, 13, 15]


def test_asha_promotes_the_best_third_of_a_rung_once_each() -> None:
    made = MOASHASearcher(LINE, 2)
    made.set_fidelities((12, 200))
    X, F = rows(*HAND), np.array(list(HAND.values()), dtype=float)
    made.tell_at(X[:2], F[:2], [12, 12])
    assert made.ask_at()[1].tolist() == [12]  # a third of two is none
    made.tell_at(X[2:], F[2:], [12] * 4)
    promoted, epochs = made.ask_at(3)
    assert epochs.tolist() == [200, 200, 12]  # two of six; then a new one
    assert codes(promoted[:2]) == [10, 11]
    worst = rows(20, 21, 22)
    made.tell_at(worst, np.full((3, 2), 50.0), [12] * 3)
    promoted, epochs = made.ask_at(2)
    assert codes(promoted[:1]) == [12]  # three of nine
    assert epochs.tolist() == [200, 12]


def test_asha_does_not_promote_what_is_known_above() -> None:
    made = MOASHASearcher(LINE, 2)
    made.set_fidelities((12, 200))
    X, F = rows(*HAND), np.array(list(HAND.values()), dtype=float)
    made.tell_at(X[:1], F[:1], [200])
    made.tell_at(X, F, [12] * 6)
    promoted, epochs = made.ask_at(2)
    assert (codes(promoted)[0], epochs.tolist()) == (11, [200, 12])


def test_asha_fills_its_rungs_as_the_paper_does() -> None:
    """One worker, values that rise with every new architecture, so that the first ones stay the best."""
    made = MOASHASearcher(LINE, 1)
    made.set_fidelities((1, 3, 9))
    worth: dict[int, float] = {}
    jobs = []
    for _ in range(26):
        X, epochs = made.ask_at(1)
        jobs.append(int(epochs[0]))
        made.tell_at(X, [[worth.setdefault(codes(X)[0], float(len(worth)))]], epochs)
    cycle = [1, 1, 1, 3]
    assert jobs == [*cycle * 3, 9, *cycle * 3, 9]
    assert Counter(jobs) == {1: 18, 3: 6, 9: 2}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_next_to_be_promoted_is_the_first_of_the_best_that_is_not_gone(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 25))
    values = st.lists(st.integers(0, 5), min_size=2, max_size=2)
    F = np.array(data.draw(st.lists(values, min_size=n, max_size=n)), dtype=float)
    X = rows(*range(n))
    rung = Rung(LINE, n_objectives=2)
    for x, f in zip(X, F, strict=True):
        rung.tell(x, f)
    most = data.draw(st.integers(0, n))
    gone = {X[i].tobytes() for i in data.draw(st.sets(st.integers(0, n - 1)))}
    expected = [x for x in X[best_rows(X, F, space=LINE, most=most)] if x.tobytes() not in gone] if most else []
    found = rung.first_but(gone, most=most)
    assert (found is None) == (not expected)
    if found is not None:
        np.testing.assert_array_equal(found, expected[0])


def test_architectures_that_compute_nothing_come_last() -> None:
    nb201 = space("nb201")
    X = nb201.enumerate()
    degenerate = nb201.degenerate(X)
    pair = np.stack([X[degenerate][0], X[~degenerate][0]])
    assert best_rows(pair, np.array([[0.0, 0.0], [1.0, 1.0]]), space=nb201, most=2).tolist() == [1, 0]


def test_a_value_told_again_replaces_the_first() -> None:
    rung = Rung(LINE, n_objectives=1)
    for code, value in ((1, 5.0), (2, 3.0), (1, 1.0)):
        rung.tell(rows(code)[0], np.array([value]))
    assert len(rung) == 2
    first = rung.first_but(set(), most=1)
    assert first is not None
    assert codes(first[None]) == [1]


def test_asha_ends_in_the_full_training_of_a_small_space() -> None:
    small = toy_space(7)
    made = MOASHASearcher(small, 1)
    made.set_fidelities((1, 3, 9))
    trained: Counter[int] = Counter()
    with pytest.raises(ExhaustedError):
        for _ in range(100):
            X, epochs = made.ask_at(1)
            trained.update(epochs.tolist())
            made.tell_at(X, X.astype(float), epochs)
    assert trained == {1: 7, 3: 7, 9: 7}


def test_asha_in_a_space_that_is_all_under_way_wants_to_be_told() -> None:
    made = MOASHASearcher(toy_space(2), 1)
    made.set_fidelities((1, 9))
    X, epochs = made.ask_at(2)
    with pytest.raises(SearcherError, match="tell values first") as refused:
        made.ask_at(1)
    assert not isinstance(refused.value, ExhaustedError)
    made.tell_at(X, X.astype(float), epochs)
    assert made.ask_at(2)[1].tolist() == [9, 9]


# ---------------------------------------------------------------------- halving


def bracket_sizes(made: MOHyperbandSearcher) -> list[list[tuple[int, int]]]:
    """(architectures, epochs) of each rung of each bracket, as they are asked for."""
    brackets: list[list[tuple[int, int]]] = [[]]
    while len(brackets) <= 5:
        X, epochs = made.ask_at()
        brackets[-1].append((len(X), int(epochs[0])))
        made.tell_at(X, np.linspace(0, 1, 2 * len(X)).reshape(-1, 2), epochs)
        if epochs[0] == 81:
            brackets.append([])
    return brackets[:5]


def test_hyperband_has_the_brackets_of_the_papers_table() -> None:
    """Li et al. 2018, Table 1: R = 81, eta = 3."""
    made = MOHyperbandSearcher(LINE, 2)
    made.set_fidelities(R81)
    assert bracket_sizes(made) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert made.sizes(5) == (81, 27, 9, 3, 1)


def test_hyperband_on_two_fidelities_and_scaled() -> None:
    made = MOHyperbandSearcher(LINE, 2, scale=4)
    made.set_fidelities((12, 200))
    assert [made.sizes(i) for i in range(3)] == [(12, 4), (8,), (12, 4)]


def test_successive_halving_waits_for_its_rung_and_takes_the_best() -> None:
    made = SuccessiveHalvingSearcher(LINE, 2, n=9)
    made.set_fidelities((1, 3, 9))
    X, epochs = made.ask_at(20)
    assert epochs.tolist() == [1] * 9
    F = np.array([[i, 8 - i] for i in range(9)], dtype=float)  # one front: ends first, then the middle
    made.tell_at(X[:5], F[:5], epochs[:5])
    with pytest.raises(SearcherError, match="tell the values of this rung"):
        made.ask_at(1)
    made.tell_at(X[:4:-1], F[:4:-1], epochs[5:])  # in another order
    best, epochs = made.ask_at(2)
    assert (codes(best), epochs.tolist()) == (codes(X[[0, 8]]), [3, 3])
    best, epochs = made.ask_at(2)
    assert (codes(best), epochs.tolist()) == (codes(X[[4]]), [3])


def test_a_bracket_starts_while_the_full_trainings_of_the_last_are_under_way() -> None:
    made = SuccessiveHalvingSearcher(LINE, 1, n=3)
    made.set_fidelities((1, 3))
    X, epochs = made.ask_at()
    made.tell_at(X, np.arange(3.0)[:, None], epochs)
    assert [made.ask_at()[1].tolist() for _ in range(2)] == [[3], [1, 1, 1]]


def test_brackets_take_turns_in_the_objective_that_starts_a_front() -> None:
    made = SuccessiveHalvingSearcher(LINE, 2, n=3)
    made.set_fidelities((1, 3))
    survivors = []
    for _ in range(2):
        X, epochs = made.ask_at()
        made.tell_at(X, [[0, 9], [5, 5], [9, 0]], epochs)
        best, _ = made.ask_at()
        survivors.append(codes(X).index(codes(best)[0]))
    assert survivors == [0, 2]


# ---------------------------------------------------------------------- population-based training


def test_the_worst_members_copy_the_best_and_change_one_variable() -> None:
    cube = toy_space(50, 50, 50)
    made = PBTSearcher(cube, 1, population=10, quantile=0.2)
    made.set_fidelities((1, 3))
    X, epochs = made.ask_at(10)
    assert epochs.tolist() == [1] * 10
    made.tell_at(X, np.arange(10.0)[:, None], epochs)  # member 0 is best
    after, epochs = made.ask_at(10)
    assert epochs.tolist() == [3] * 10
    np.testing.assert_array_equal(after[:8], X[:8])
    for copy in after[8:]:
        changed = [(copy != best).sum() for best in X[:2]]
        assert min(changed) == 1
    assert not {x.tobytes() for x in after[8:]} & {x.tobytes() for x in X}


def test_a_member_that_had_the_full_training_starts_over_with_another_architecture() -> None:
    cube = toy_space(50, 50, 50)
    made = PBTSearcher(cube, 1, population=4, quantile=0.0)
    made.set_fidelities((1, 3))
    X = cube.from_codes([])
    for expected in (1, 3, 1):
        before = X
        X, epochs = made.ask_at(4)
        assert epochs.tolist() == [expected] * 4
        made.tell_at(X, np.arange(4.0)[:, None], epochs)
    assert ((X != before).sum(axis=1) == 1).all()


def test_members_are_compared_on_the_same_rung() -> None:
    """One that is alone on its rung copies nobody, however much better others were elsewhere."""
    cube = toy_space(50, 50, 50)
    made = PBTSearcher(cube, 1, population=5, quantile=0.2)
    made.set_fidelities((1, 3))
    X, epochs = made.ask_at(5)
    made.tell_at(X, np.arange(5.0)[:, None], epochs)
    again, epochs = made.ask_at(5)
    np.testing.assert_array_equal(again[:4], X[:4])
    made.tell_at(again[:1], [[100.0]], epochs[:1])
    child, epochs = made.ask_at(1)
    assert epochs.tolist() == [1]
    assert (child[0] != X[0]).sum() == 1


# ---------------------------------------------------------------------- the door


@pytest.mark.parametrize("name", NAMES)
def test_without_shorter_trainings_it_is_asked_as_any_other(name: str) -> None:
    made = searcher(name, LINE, 2)
    X = made.ask(5)
    made.tell(X, np.zeros((len(X), 2)))
    with pytest.raises(SearcherError, match="before the first ask"):
        made.set_fidelities((12, 200))


def test_options_are_checked() -> None:
    for name, option in (
        ("mo-asha", "eta"),
        ("mo-hyperband", "scale"),
        ("successive-halving", "n"),
        ("pbt", "quantile"),
    ):
        with pytest.raises(SearcherError, match=option):
            searcher(name, LINE, 2, **{option: -1})


class _Base(MultiFidelitySearcher):
    """Random architectures on random rungs: the simplest there is."""

    name = "random-rungs"

    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        X = self._unseen.draw(n or 3)
        return X, self._rng.integers(0, self.n_rungs, len(X)) * (self._rng.random(len(X)) < 0.5)

    def _take(self, X: NDArray[Any], F: NDArray[np.float64], rungs: NDArray[np.intp]) -> None:
        pass


class _AlwaysFull(_Base):
    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        X, rungs = super()._propose(n)
        return X, np.full_like(rungs, self.n_rungs - 1)


class _NeverFull(_Base):
    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        X, rungs = super()._propose(n)
        return X, np.zeros_like(rungs)


class _TellsAnything(_Base):
    def tell_at(self, X: Any, F: Any, epochs: Any) -> None:
        self.n_told += len(X)


class _StillAsks(_Base):
    def ask(self, n: int | None = None) -> NDArray[Any]:
        return self.ask_at(n)[0] if self.rungs else super().ask(n)


class _Overwrites(_Base):
    def tell_at(self, X: Any, F: Any, epochs: Any) -> None:
        super().tell_at(X, F, epochs)
        if isinstance(F, np.ndarray) and F.flags.writeable:
            F += 1.0


class _Unseeded(_Base):
    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        self._rng = np.random.default_rng()
        return super()._propose(n)


BROKEN = {
    _AlwaysFull: "of .* trainings were full ones",
    _NeverFull: "0 of .* trainings were full ones",
    _TellsAnything: "NaN: expected SearcherError",
    _StillAsks: "ask\\(\\) after set_fidelities: expected SearcherError",
    _Overwrites: "values after tell_at",
    _Unseeded: "gave other proposals",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda c: c.__name__)
def test_the_contract_names_the_law_a_broken_searcher_breaks(broken: type[MultiFidelitySearcher]) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)'random-rungs' breaks the law '.*{BROKEN[broken]}"):
        check_multi_fidelity_searcher(lambda s, m, seed: broken(s, m, seed=seed), space=space("nb201"))
