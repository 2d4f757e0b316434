"""Searchers: random is without replacement, NSGA-II is pymoo's own, and both are made by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmark_helpers import opposed, toy_space
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.errors import ArchitectureError, ExhaustedError, SearcherError, UnknownNameError
from nasbench_mo.search import Searcher, searcher
from nasbench_mo.search.pymoo_base import space_operators
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.testing import check_searcher

NB201 = space("nb201")


@pytest.mark.parametrize("name", ["random", "nsga2"])
@pytest.mark.parametrize("n_objectives", [2, 3])
def test_a_searcher_keeps_the_contract_on_a_space_of_the_users_own(name: str, n_objectives: int) -> None:
    own = toy_space(7, 2, 9, 1, 13)
    check_searcher(lambda s, m, seed: searcher(name, s, m, seed=seed), space=own, n_objectives=n_objectives)


# ---------------------------------------------------------------------- random


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30), seed=st.integers(0, 100))
def test_random_proposes_each_architecture_once_and_then_says_so(sizes: list[int], seed: int) -> None:
    toy = toy_space(4, 5, 6)
    made = searcher("random", toy, 2, seed=seed)
    rows: list[tuple[int, ...]] = []
    for size in [*sizes, toy.size, toy.size]:
        if len(rows) == toy.size:
            break
        rows += map(tuple, made.ask(size).tolist())
    assert len(rows) == len(set(rows)) == toy.size
    with pytest.raises(ExhaustedError, match="all 120 architectures have been proposed"):
        made.ask(1)


def test_random_exhausts_a_space_too_large_to_permute_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasbench_mo.search.random._PERMUTATION_LIMIT", 10)
    toy = toy_space(4, 5)
    made = searcher("random", toy, 2)
    rows = [tuple(r) for size in (7, 7, 7) for r in made.ask(size).tolist()]
    assert len(rows) == len(set(rows)) == 20
    with pytest.raises(ExhaustedError, match="all 20 architectures"):
        made.ask()


def test_random_on_a_space_too_large_to_permute_does_not_repeat_itself() -> None:
    rows = searcher("random", space("fbnet"), 2, seed=3).ask(5000)
    assert len(np.unique(rows, axis=0)) == 5000


def test_random_is_uniform_over_the_space() -> None:
    """Each architecture of 24 is equally often the first of 2,400 seeds: chi-square, 23 degrees of freedom."""
    toy = toy_space(4, 6)
    first = [int(toy.codes(searcher("random", toy, 1, seed=seed).ask(1))[0]) for seed in range(2400)]
    counts = np.bincount(first, minlength=24)
    assert ((counts - 100) ** 2 / 100).sum() < 49.7  # 0.1 % point


# ---------------------------------------------------------------------- NSGA-II


def _pymoo_generations(
    search_space: SearchSpace, *, seed: int, population: int, n_generations: int
) -> list[NDArray[Any]]:
    """What pymoo's own loop evaluates with the same operators, generation by generation."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.callback import Callback
    from pymoo.core.duplicate import DefaultDuplicateElimination
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    class Opposed(Problem):
        def __init__(self) -> None:
            upper = search_space.cardinalities - 1
            super().__init__(n_var=search_space.n_variables, n_obj=2, xl=0, xu=upper, vtype=int)

        def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            out["F"] = opposed(X)

    class Kept(Callback):
        def __init__(self) -> None:
            super().__init__()
            self.generations: list[NDArray[Any]] = []

        def notify(self, algorithm: Any) -> None:
            self.generations.append(algorithm.off.get("X").copy())

    kept = Kept()
    algorithm = NSGA2(
        pop_size=population, eliminate_duplicates=DefaultDuplicateElimination(), **space_operators(search_space)
    )
    minimize(Opposed(), algorithm, ("n_gen", n_generations), seed=seed, callback=kept, copy_algorithm=False)
    return kept.generations


@pytest.mark.parametrize(("seed", "population"), [(0, 20), (1, 20), (7, 6)])
def test_nsga2_proposes_what_pymoos_own_loop_evaluates(seed: int, population: int) -> None:
    expected = _pymoo_generations(NB201, seed=seed, population=population, n_generations=12)
    whole = searcher("nsga2", NB201, 2, seed=seed, population=population)
    parts = searcher("nsga2", NB201, 2, seed=seed, population=population)
    assert len(expected) == 12
    for generation in expected:
        X = whole.ask()
        np.testing.assert_array_equal(X, generation)
        whole.tell(X, opposed(X.astype(int)))
        asked = []
        while sum(map(len, asked)) < len(generation):
            asked.append(parts.ask(4))
            parts.tell(asked[-1], opposed(asked[-1].astype(int)))
        np.testing.assert_array_equal(np.concatenate(asked), generation)


def test_nsga2_does_not_touch_the_global_generator() -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    made = searcher("nsga2", NB201, 2)
    for _ in range(3):
        X = made.ask()
        made.tell(X, opposed(X.astype(int)))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("problem_id", ["nb201s-c10-eyeriss-fpga-v1", "nb201s-c10-fpga-v1"])
def test_nsga2_beats_random_search(problem_id: str, cache: object) -> None:
    problem = nmo.problem(problem_id)
    share = {
        name: np.array([nmo.run(problem, name, budget=300, seed=s).hypervolume_share() for s in range(5)])
        for name in ("random", "nsga2")
    }
    # Ten seeds gave random 0.88..0.96 and NSGA-II 0.967..0.992 on these problems; the bands leave room on both sides.
    assert share["nsga2"].mean() > share["random"].mean() + 0.03
    assert ((share["nsga2"] > 0.94) & (share["nsga2"] <= 1 + 1e-12)).all()
    assert ((share["random"] > 0.82) & (share["random"] < 0.98)).all()


def test_mutation_probability_matters_and_options_are_reported() -> None:
    still, busy = (searcher("nsga2", NB201, 2, population=10, p_mutation=p) for p in (0.0, 1.0))
    assert still.options() == {"population": 10, "p_mutation": 0.0}
    proposals = []
    for made in (still, busy):
        X = made.ask()
        made.tell(X, opposed(X.astype(int)))
        proposals.append(made.ask())
        values_of_parents = [set(column) for column in X.T.tolist()]
        new = [any(v not in p for v, p in zip(row, values_of_parents, strict=True)) for row in proposals[-1].tolist()]
        if made is still:
            assert not any(new)  # without mutation every value comes from a parent
    assert not np.array_equal(*proposals)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_nsga2_on_a_tiny_space_ends_by_saying_so(n: int) -> None:
    tiny = toy_space(n)
    made = searcher("nsga2", tiny, 2)
    seen = set()
    with pytest.raises(ExhaustedError, match="no offspring differs"):
        for _ in range(50):
            X = made.ask()
            seen |= set(map(tuple, X.tolist()))
            made.tell(X, opposed(X.astype(int)))
    assert len(seen) == n
    with pytest.raises(ExhaustedError):  # and again
        made.ask(1)


# ---------------------------------------------------------------------- the order of ask and tell


def _told(n: int) -> tuple[Searcher, NDArray[Any], NDArray[np.float64]]:
    made = searcher("nsga2", NB201, 2, population=6)
    X = made.ask(n)
    return made, X, opposed(X.astype(int))


def test_a_generation_must_be_told_before_the_next_is_asked() -> None:
    made, X, F = _told(6)
    with pytest.raises(SearcherError, match="tell this generation's values before asking for the next"):
        made.ask()
    made.tell(X[:5], F[:5])
    with pytest.raises(SearcherError, match="tell this generation's values"):
        made.ask()
    made.tell(X[5:], F[5:])
    assert len(made.ask()) == 6


def test_telling_in_another_order_is_refused() -> None:
    made, X, F = _told(6)
    with pytest.raises(SearcherError, match="in the order in which they were asked"):
        made.tell(X[::-1], F[::-1])
    with pytest.raises(SearcherError, match="in the order"):
        made.tell(X[1:], F[1:])
    made.tell(X, F)


def test_telling_what_was_not_asked_is_refused() -> None:
    made, X, F = _told(3)
    with pytest.raises(SearcherError, match="told 6 architectures that were not asked for"):
        made.tell(np.vstack([X, X]), np.vstack([F, F]))
    made.tell(X, F)
    with pytest.raises(SearcherError, match="told 3 architectures that were not asked for"):
        made.tell(X, F)
    fresh = searcher("nsga2", NB201, 2)
    with pytest.raises(SearcherError, match="not asked for"):
        fresh.tell(X, F)


@pytest.mark.parametrize("name", ["random", "nsga2"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, np.nan], [1.0, 1.0]], "values must be finite; row 0, objective 1 is nan"),
        ([[1.0, 1.0], [-np.inf, 1.0]], "row 1, objective 0 is -inf"),
        ([[1.0], [2.0]], r"expected values of shape \(2, 2\), got \(2, 1\)"),
        ([1.0, 2.0], r"expected values of shape \(2, 2\), got \(2,\)"),
    ],
)
def test_values_that_no_searcher_can_use_are_refused(name: str, values: Any, message: str) -> None:
    made = searcher(name, NB201, 2)
    X = made.ask(2)
    with pytest.raises(SearcherError, match=message):
        made.tell(X, values)
    with pytest.raises(ArchitectureError):
        made.tell(X + 100, np.ones((2, 2)))
    assert made.n_told == 0


def test_asking_for_nothing_is_refused() -> None:
    with pytest.raises(SearcherError, match="ask for at least one architecture, got 0"):
        searcher("random", NB201, 2).ask(0)


class _Breaks(Searcher):
    """Proposes rows that the contract forbids."""

    name = "breaks"
    rows: Any = None

    def _ask(self, n: int | None) -> NDArray[Any]:
        return np.asarray(self.rows)

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        pass


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((0, 6), dtype=int), r"proposed 0 architectures where 1\.\.2 were asked for"),
        (np.zeros((3, 6), dtype=int), r"proposed 3 architectures where 1\.\.2 were asked for"),
        ([[0, 0, 0, 0, 0, 5]], "variable 5: expected 0..4, got 5"),
        ([[0.5] * 6], "expected integer encodings"),
        ([[0] * 5], "shape"),
    ],
)
def test_a_searcher_that_breaks_its_contract_is_caught_when_it_proposes(rows: Any, message: str) -> None:
    made = _Breaks(NB201, 2)
    made.rows = rows
    with pytest.raises((SearcherError, ArchitectureError), match=message):
        made.ask(2)


# ---------------------------------------------------------------------- by name


def test_an_unknown_searcher_suggests_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match=r"no searcher is called 'nsga'. Did you mean .*'nsga2'"):
        searcher("nsga", NB201, 2)


def test_an_unknown_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        SearcherError, match=r"'nsga2' has the options population, p_mutation; got 'populaton'. Did you"
    ):
        searcher("nsga2", NB201, 2, populaton=10)
    with pytest.raises(SearcherError, match="'random' has no options; got 'population'"):
        searcher("random", NB201, 2, population=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 1}, "population must be an integer of at least 2, got 1"),
        ({"population": 20.5}, "population must be an integer of at least 2, got 20.5"),
        ({"population": "many"}, "population must be an integer of at least 2, got 'many'"),
        ({"population": True}, "population must be an integer"),
        ({"p_mutation": 1.5}, r"p_mutation must lie in 0\.\.1, got 1.5"),
        ({"p_mutation": float("nan")}, r"p_mutation must lie in 0\.\.1, got nan"),
        ({"p_mutation": "often"}, "searcher 'nsga2': "),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"seed": 0.5}, "seed must be an integer of at least 0, got 0.5"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearcherError, match=message):
        searcher("nsga2", NB201, 2, **options)


def test_options_and_seed_given_as_numpy_numbers_become_plain_ones() -> None:
    made = searcher("nsga2", NB201, 2, seed=np.int64(3), population=np.int32(8), p_mutation=np.float64(0.5))  # type: ignore[arg-type]
    assert [type(v) for v in (made.seed, *made.options().values())] == [int, int, float]


def test_a_searcher_needs_an_objective() -> None:
    with pytest.raises(SearcherError, match="n_objectives must be an integer of at least 1, got 0"):
        searcher("random", NB201, 0)


def test_a_searcher_needs_a_space_and_a_sane_population() -> None:
    with pytest.raises(SearcherError, match="expected a search space, got 'nb201'"):
        searcher("nsga2", "nb201", 2)  # type: ignore[arg-type]
    with pytest.raises(SearcherError, match="at most"):
        searcher("nsga2", NB201, 2, population=99_999_999_999)
