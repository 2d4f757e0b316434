"""Searchers that run on pymoo: they propose what pymoo's own loop would, units do not matter, and geometry is right."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from math import comb
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import opposed, toy_space
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.errors import SearcherError
from nasbench_mo.search import Searcher, searcher
from nasbench_mo.search.age_moea2 import curvature, front_and_value, survival_score
from nasbench_mo.search.directions import lattice
from nasbench_mo.search.moead import penalty_boundary_intersection, tchebycheff
from nasbench_mo.search.pymoo_base import space_operators
from nasbench_mo.search.rvea import angle_penalized_selection, smallest_angles, unit_vectors
from nasbench_mo.space import space

NB201 = space("nb201")
NAMES = ["nsga3", "moead", "sms-emoa", "age-moea2", "rvea"]


def three(X: NDArray[Any]) -> NDArray[np.float64]:
    """Three objectives that fight, without ties of the first with the others."""
    return np.hstack([opposed(X), (X * np.arange(1, X.shape[1] + 1)).sum(axis=1, keepdims=True) * -0.37])


def _proposals(made: Searcher, values: Callable[[NDArray[Any]], NDArray[np.float64]], *, n: int) -> NDArray[Any]:
    asked: list[NDArray[Any]] = []
    while sum(map(len, asked)) < n:
        asked.append(made.ask())
        made.tell(asked[-1], values(asked[-1].astype(int)))
    return np.concatenate(asked)[:n]


def _pymoo_evaluates(
    algorithm: Any,
    values: Callable[[NDArray[Any]], NDArray[np.float64]],
    *,
    termination: tuple[str, int],
    m: int = 2,
    violation: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None,
) -> NDArray[Any]:
    """Everything that pymoo's own loop evaluates, in order, given (n, m) values and, if any, (n, k) violations."""
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    evaluated: list[NDArray[Any]] = []

    class Recorded(Problem):
        def __init__(self) -> None:
            n_constraints = 0 if violation is None else violation(np.zeros((1, NB201.n_variables))).shape[1]
            limits = {"xl": 0, "xu": NB201.cardinalities - 1, "vtype": int}
            super().__init__(n_var=NB201.n_variables, n_obj=m, n_ieq_constr=n_constraints, **limits)

        def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            evaluated.append(X.copy())
            out["F"] = values(X)
            if violation is not None:
                out["G"] = violation(X)

    minimize(Recorded(), algorithm, termination, seed=3, copy_algorithm=False)
    return np.concatenate(evaluated)


def _operators(**probabilities: float) -> dict[str, Any]:
    from pymoo.core.duplicate import DefaultDuplicateElimination

    return {**space_operators(NB201, **probabilities), "eliminate_duplicates": DefaultDuplicateElimination()}


# ---------------------------------------------------------------------- pymoo's own loop is the oracle


@pytest.mark.parametrize("offspring", [1, 7])
def test_sms_emoa_proposes_what_pymoos_own_loop_evaluates(offspring: int) -> None:
    from pymoo.algorithms.moo.sms import SMSEMOA

    algorithm = SMSEMOA(pop_size=10, n_offsprings=offspring, **_operators())
    expected = _pymoo_evaluates(algorithm, opposed, termination=("n_eval", 80))
    made = searcher("sms-emoa", NB201, 2, seed=3, population=10, offspring=offspring)
    np.testing.assert_array_equal(_proposals(made, opposed, n=80), expected[:80])


@pytest.mark.parametrize("m", [2, 3])
def test_nsga3_proposes_what_pymoos_own_loop_evaluates_on_objectives_of_range_one(m: int) -> None:
    from pymoo.algorithms.moo.nsga3 import NSGA3

    values = opposed if m == 2 else three
    directions = lattice(10, n_objectives=m)
    made = searcher("nsga3", NB201, m, seed=3, population=10)
    first = made.ask()
    made.tell(first, values(first.astype(int)))
    scale = np.ptp(values(first.astype(int)), axis=0)
    expected = _pymoo_evaluates(
        NSGA3(directions, **_operators(p_crossover=1.0)), lambda X: values(X) / scale, termination=("n_gen", 12), m=m
    )
    n = len(directions) * 12
    np.testing.assert_array_equal(np.concatenate([first, _proposals(made, values, n=n - len(first))]), expected[:n])


def test_rvea_proposes_what_pymoos_own_loop_evaluates() -> None:
    from pymoo.algorithms.moo.rvea import RVEA

    directions = lattice(10, n_objectives=3)
    algorithm = RVEA(directions, **_operators(p_crossover=1.0))
    with np.errstate(invalid="ignore"):  # pymoo's arc cosine of 1.0000000000000002
        expected = _pymoo_evaluates(algorithm, three, termination=("n_gen", 20), m=3)
    made = searcher("rvea", NB201, 3, seed=3, population=10, budget=200)
    np.testing.assert_array_equal(_proposals(made, three, n=150), expected[:150])


def test_moead_proposes_what_pymoos_own_loop_evaluates_once_that_scales_objectives() -> None:
    from pymoo.algorithms.moo.moead import MOEAD

    class Scaled(MOEAD):
        def _replace(self, k: int, off: Any) -> None:
            F = self.pop.get("F")
            span = F.max(axis=0) - self.ideal
            for i in self.neighbors[k]:
                old, new = (np.max(self.ref_dirs[i] * (f - self.ideal) / span) for f in (F[i], off.F))
                if new < old:
                    self.pop[i] = off

    weights = np.maximum(lattice(12, n_objectives=2), 1e-5)
    algorithm = Scaled(weights, n_neighbors=4, prob_neighbor_mating=1.0, **space_operators(NB201, p_crossover=1.0))
    expected = _pymoo_evaluates(algorithm, opposed, termination=("n_gen", 10))
    made = searcher("moead", NB201, 2, seed=3, population=12, neighbours=4)
    np.testing.assert_array_equal(_proposals(made, opposed, n=120), expected[:120])


def _scaled_excess(X: NDArray[Any]) -> NDArray[np.float64]:
    """pymoo's G of two bounds: ``f_0 <= 11`` and ``f_1 <= 14``."""
    return opposed(X) / [11.0, 14.0] - 1.0


@pytest.mark.parametrize("name", ["nsga2", "sms-emoa", "r-nsga2"])
def test_bounds_are_pymoos_inequality_constraints(name: str) -> None:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.algorithms.moo.rnsga2 import RNSGA2
    from pymoo.algorithms.moo.sms import SMSEMOA

    operators = _operators()
    algorithm, options = {
        "nsga2": (NSGA2(pop_size=10, **operators), {}),
        "sms-emoa": (SMSEMOA(pop_size=10, n_offsprings=10, **operators), {"offspring": 10}),
        "r-nsga2": (RNSGA2(np.array([[7.0, 9.0]]), pop_size=10, epsilon=0.01, **operators), {"aspiration": "7,9"}),
    }[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = _pymoo_evaluates(algorithm, opposed, termination=("n_eval", 100), violation=_scaled_excess)
    made = searcher(name, NB201, 2, seed=3, population=10, **options)
    made.set_constraints([11.0, 14.0])
    found = _proposals(made, opposed, n=100)
    np.testing.assert_array_equal(found, expected[:100])
    free = _proposals(searcher(name, NB201, 2, seed=3, population=10, **options), opposed, n=100)
    assert not np.array_equal(found, free)


# ---------------------------------------------------------------------- what a searcher does with units and sizes


@pytest.mark.parametrize("name", ["nsga3", "moead", "sms-emoa", "age-moea2"])
def test_units_of_objectives_do_not_matter(name: str) -> None:
    tiny_units = np.array([2.0**-20, 2.0**30, 1.0])  # powers of two, so that nothing is rounded
    a = _proposals(searcher(name, NB201, 3, seed=1), three, n=160)
    b = _proposals(searcher(name, NB201, 3, seed=1), lambda X: three(X) * tiny_units, n=160)
    np.testing.assert_array_equal(a, b)


def test_rvea_heeds_its_budget() -> None:
    short, long = (
        _proposals(searcher("rvea", NB201, 2, seed=1, budget=budget), opposed, n=200) for budget in (100, 5000)
    )
    assert not np.array_equal(short, long)


@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("sms-emoa", {}, [20, 1, 1]),
        ("sms-emoa", {"offspring": 5}, [20, 5, 5]),
        ("moead", {}, [20, 1, 1]),
        ("moead", {"batch": 15}, [20, 15, 5, 15]),  # a sweep of 20 visits ends before the next begins
        ("nsga3", {"population": 7}, [7, 7]),
        ("rvea", {"population": 6}, [6, 6]),
    ],
)
def test_natural_batches(name: str, options: dict[str, Any], sizes: list[int]) -> None:
    big = toy_space(*[9] * 6)  # large enough that no first generation loses duplicates
    made = searcher(name, big, 2, seed=4, **options)
    found = []
    for _ in sizes:
        X = made.ask()
        made.tell(X, opposed(X.astype(int)))
        found.append(len(X))
    assert found == sizes


@pytest.mark.parametrize("name", ["nsga3", "rvea", "moead"])
def test_a_population_is_rounded_up_to_a_lattice(name: str) -> None:
    assert len(searcher(name, toy_space(*[9] * 6), 3, seed=4, population=16).ask()) == 21


@pytest.mark.parametrize("name", NAMES)
def test_it_beats_random_search(name: str) -> None:
    problem = nmo.problem("nb201s-c10-eyeriss-fpga-v1")
    share = [nmo.run(problem, name, budget=200, seed=s).hypervolume_share() for s in range(4)]
    # Eleven seeds of random search gave a mean of 0.894 at 200 evaluations; the worst of these searchers had 0.955.
    assert 0.92 < np.mean(share) <= 1 + 1e-12


def test_pbi_is_another_search_than_tchebycheff() -> None:
    a, b = (
        _proposals(searcher("moead", NB201, 2, seed=1, decomposition=d), opposed, n=150) for d in ("tchebycheff", "pbi")
    )
    assert not np.array_equal(a, b)


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize("name", NAMES)
def test_options_make_the_searcher_again(name: str) -> None:
    made = searcher(name, NB201, 2, p_mutation=0.4, population=14)
    assert made.options()["p_mutation"] == 0.4
    assert searcher(name, NB201, 2, **made.options()).options() == made.options()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 1}, "population must be an integer of at least 2, got 1"),
        ({"population": 10**6}, "population must be at most 10000, got 1000000"),
        ({"population": 8.0}, r"population must be an integer of at least 2, got 8\.0"),
        ({"p_mutation": 1.5}, r"p_mutation must lie in 0\.\.1, got 1.5"),
        ({"p_mutation": float("nan")}, r"p_mutation must lie in 0\.\.1, got nan"),
        ({"p_mutation": "often"}, r"p_mutation must lie in 0\.\.1, got 'often'"),
        ({"p_mutation": True}, r"p_mutation must lie in 0\.\.1, got True"),
        ({"populaton": 8}, "got 'populaton'. Did you mean 'population'"),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearcherError, match=message):
        searcher(name, NB201, 2, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("moead", {"neighbours": 1}, "neighbours must be an integer of at least 2, got 1"),
        ("moead", {"neighbours": 21}, "neighbours must be at most population, got 21 of 20"),
        ("moead", {"decomposition": "sum"}, "decomposition must be one of tchebycheff, pbi, got 'sum'"),
        ("moead", {"batch": 0}, "batch must be an integer of at least 1, got 0"),
        ("sms-emoa", {"offspring": 0}, "offspring must be an integer of at least 1, got 0"),
        ("rvea", {"budget": 0}, "budget must be an integer of at least 1, got 0"),
        ("rvea", {"alpha": -1}, r"alpha must lie in 0\.\.100, got -1"),
        ("rvea", {"adaptation": 0}, r"adaptation must lie in 1e-06\.\.1, got 0"),
    ],
)
def test_impossible_options_of_one_searcher_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearcherError, match=message):
        searcher(name, NB201, 2, **options)


# ---------------------------------------------------------------------- reference directions


@pytest.mark.parametrize(("n", "m", "size"), [(1, 2, 2), (20, 2, 20), (20, 3, 21), (91, 3, 91), (20, 5, 35), (5, 1, 1)])
def test_the_lattice_is_the_smallest_that_suffices(n: int, m: int, size: int) -> None:
    from pymoo.util.reference_direction import das_dennis

    points = lattice(n, n_objectives=m)
    assert points.shape == (size, m)
    np.testing.assert_allclose(points.sum(axis=1), 1.0)
    if m > 1:
        divisions = next(h for h in range(1, 99) if comb(h + m - 1, m - 1) == size)
        assert divisions == 1 or comb(divisions + m - 2, m - 1) < n
        np.testing.assert_allclose(points, das_dennis(divisions, m))


# ---------------------------------------------------------------------- MOEA/D


def test_scalar_functions_by_hand() -> None:
    F = np.array([[0.2, 0.6], [1.0, 0.0]])
    np.testing.assert_allclose(tchebycheff(F, np.array([[0.5, 0.5], [0.25, 0.75]])), [0.3, 0.25])
    # (1, 0) lies 45 degrees off the diagonal: 1/sqrt(2) along it and as much aside, times 5.
    np.testing.assert_allclose(penalty_boundary_intersection(F[1:], np.array([[0.5, 0.5]])), [6 / np.sqrt(2)])


# ---------------------------------------------------------------------- RVEA


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 25), seed=st.integers(0, 999), progress=st.floats(0, 1))
def test_angle_penalized_selection_is_that_of_a_slow_loop(n: int, seed: int, progress: float) -> None:
    F = np.random.default_rng(seed).random((n, 3))  # no ties, which rounding would decide
    vectors = unit_vectors(lattice(10, n_objectives=3))
    gamma = smallest_angles(vectors)
    best: dict[int, tuple[float, int]] = {}
    for i, f in enumerate(F):
        length = float(np.linalg.norm(f))
        angles = [float(np.arccos(v @ f / length)) for v in vectors]
        k = int(np.argmin(angles))
        penalized = length * (1 + 3 * progress * angles[k] / float(gamma[k]))
        best[k] = min(best.get(k, (np.inf, -1)), (penalized, i))
    found = angle_penalized_selection(F, vectors, gamma=gamma, progress=progress)
    assert found.tolist() == [best[k][1] for k in sorted(best)]


def test_points_on_a_reference_vector_and_the_ideal_point_itself_are_at_home() -> None:
    vectors = unit_vectors(np.random.default_rng(0).random((200, 3)))
    F = np.vstack([vectors * 3.3, np.zeros(3)])
    lengths = np.linalg.norm(F[:-1], axis=1, keepdims=True)
    assert ((F[:-1] / lengths) @ vectors.T).max() > 1.0  # a cosine that rounding has lifted above 1
    found = angle_penalized_selection(F, vectors, gamma=smallest_angles(vectors), progress=1.0)
    assert set(found.tolist()) == {*range(1, 200), 200}  # the ideal point beats the first, whose place it takes


def test_smallest_angles_of_a_quarter_circle() -> None:
    np.testing.assert_allclose(smallest_angles(unit_vectors(lattice(2, n_objectives=2))), np.pi / 2)
    assert smallest_angles(np.ones((1, 1))) > 0


# ---------------------------------------------------------------------- AGE-MOEA-II


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0])
def test_curvature_is_that_of_the_curve_the_front_lies_on(p: float) -> None:
    t = np.linspace(0, 1, 41)
    front = np.column_stack([t, (1 - t**p) ** (1 / p)])
    assert curvature(front, corners=np.array([0, 40])) == pytest.approx(p, rel=5e-3)


@pytest.fixture
def pymoos_survival(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """pymoo's survival, interpreted: a stand-in for numba compiles nothing."""

    def jit(*args: Any, **kwargs: Any) -> Any:
        return args[0] if args and callable(args[0]) else lambda f: f

    numba = types.ModuleType("numba")
    for name, value in {"jit": jit, "float64": np.float64, "intp": np.intp, "boolean": np.bool_}.items():
        setattr(numba, name, value)
    monkeypatch.setitem(sys.modules, "numba", numba)
    for name in ("pymoo.algorithms.moo.age", "pymoo.algorithms.moo.age2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from pymoo.algorithms.moo.age2 import AGEMOEA2Survival

    yield AGEMOEA2Survival()
    for name in ("pymoo.algorithms.moo.age", "pymoo.algorithms.moo.age2"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def _slow_values(distances: NDArray[Any], *, lengths: NDArray[Any], corners: NDArray[Any]) -> NDArray[np.float64]:
    """Algorithm of the paper, one member after the other: spread over the two nearest chosen, by own length."""
    value = np.zeros(len(lengths))
    chosen = [int(c) for c in corners]
    value[chosen] = np.inf
    while len(chosen) < len(lengths):
        left = [i for i in range(len(lengths)) if i not in chosen]
        spread = {i: sum(sorted(distances[i, j] for j in chosen)[:2]) / lengths[i] for i in left}
        best = max(left, key=lambda i: spread[i])
        value[best] = spread[best]
        chosen.append(best)
    return value


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("p", [0.6, 1.0, 2.0])
def test_the_value_of_a_front_is_that_of_pymoos_parts_in_a_slow_loop(pymoos_survival: Any, m: int, p: float) -> None:
    from pymoo.algorithms.moo.age import find_corner_solutions, normalize

    rng = np.random.default_rng(7)
    for n in (m + 2, 8, 25):
        directions = rng.random((n, m))
        front = directions / (directions**p).sum(axis=1, keepdims=True) ** (1 / p) * rng.uniform(3, 9, size=m)
        front -= front.min(axis=0)
        corners = find_corner_solutions(front)
        scaled, its_scale = normalize(front, corners)
        its_p = pymoos_survival.compute_geometry(scaled, corners, m)
        expected = _slow_values(
            pymoos_survival.pairwise_distances(scaled, its_p),
            lengths=np.linalg.norm(scaled, its_p, axis=1),
            corners=corners,
        )
        value, found_p, scale = survival_score(front)
        np.testing.assert_allclose(scale, its_scale, rtol=1e-9)
        assert found_p == pytest.approx(its_p, rel=1e-6)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(F=arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.integers(0, 4)))
def test_values_are_numbers_whatever_ties_there_are(F: NDArray[np.float64]) -> None:
    rank, value = front_and_value(F)
    assert not np.isnan(value).any()
    assert (value >= 0).all()
    worse = F.copy() + 1.0
    ranks, _ = front_and_value(np.vstack([F, worse]))
    assert (ranks[len(F) :] > 0).all()
    assert rank.min() == 0


def test_the_best_fronts_survive_and_of_the_last_the_most_valuable() -> None:
    made: Any = searcher("age-moea2", NB201, 2, seed=5, population=10)
    first, second = made.ask(), None
    made.tell(first, opposed(first.astype(int)))
    second = made.ask()
    made.tell(second, opposed(second.astype(int)))
    F = opposed(np.concatenate([first, second]).astype(int)) / made._scale
    rank, value = front_and_value(F)
    expected = sorted(range(20), key=lambda i: (rank[i], -value[i]))[:10]
    assert sorted(made._algorithm.pop.get("F").tolist()) == sorted(F[expected].tolist())
