"""Searchers that learn: each does what its paper says, on problems small enough to know the answer."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from benchmark_helpers import opposed, toy_space
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.errors import ExhaustedError, MissingDependencyError, SearcherError
from nasbench_mo.pareto import hypervolume, nondominated
from nasbench_mo.predictor.features import one_hot
from nasbench_mo.search import Searcher, searcher
from nasbench_mo.search import lamoo as lamoo_module
from nasbench_mo.search.archive_base import ArchiveSearcher
from nasbench_mo.search.epsilon_net import by_front_and_spread
from nasbench_mo.search.scalarise import RHO, Scale, chebyshev, random_weights
from nasbench_mo.search.surrogate import features
from nasbench_mo.space import space

NB201 = space("nb201")
#: Options that make the costly ones quick.
LIGHT: dict[str, dict[str, Any]] = {
    "lamoo": {},
    "smac-forest": {"n_initial": 6, "batch": 4, "n_trees": 3, "n_random": 30},
    "mo-bananas": {"n_initial": 6, "n_members": 2, "n_candidates": 20},
    "parego": {"n_initial": 6, "n_candidates": 10, "mc_samples": 4, "fit_iterations": 2},
    "qlognehvi": {"n_initial": 6, "n_candidates": 10, "mc_samples": 4, "fit_iterations": 2},
}
NEEDS = {"lamoo": "sklearn", "smac-forest": "sklearn", "tpe": "optuna", "parego": "botorch", "qlognehvi": "botorch"}
LEARNERS = [*LIGHT, "reinforce", "q-learning", "fractal", "tpe"]


def made(name: str, where: Any = NB201, m: int = 2, **options: Any) -> Any:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"searcher {name!r} needs {NEEDS[name]}")
    return searcher(name, where, m, **{**LIGHT.get(name, {}), **options})


def told(a: Searcher, n: int) -> NDArray[Any]:
    """Ask and tell n times; everything that was asked."""
    rows = []
    for _ in range(n):
        rows.append(a.ask())
        a.tell(rows[-1], opposed(rows[-1].astype(int)))
    return np.concatenate(rows)


# ---------------------------------------------------------------------- scalarisation and order


def test_chebyshev_is_the_greatest_weighted_value_and_a_little_of_the_sum() -> None:
    Z = np.array([[0.2, 0.4], [1.0, 0.0]])
    expected = np.array([0.3 + RHO * 0.35, 0.25 + RHO * 0.25])
    np.testing.assert_allclose(chebyshev(Z, np.array([0.25, 0.75])), expected)


def test_random_weights_are_uniform_on_the_simplex() -> None:
    weights = random_weights(np.random.default_rng(0), n=20_000, n_objectives=3)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    # a coordinate of a uniform point of the simplex is Beta(1, 2): mean 1/3, variance 1/18
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(weights.var(axis=0), 1 / 18, atol=0.002)


def test_the_observed_scale_leaves_out_what_computes_nothing() -> None:
    dead = np.zeros((1, 6), dtype=np.int8)
    X = np.concatenate([dead, np.full((1, 6), 3), np.full((1, 6), 1)])
    F = np.array([[90.0, 1.0], [5.0, 9.0], [15.0, 9.0]])
    scale = Scale.observed(NB201, X, F)
    assert scale.ideal.tolist() == [5.0, 9.0]
    assert scale.span.tolist() == [10.0, 1.0]  # a flat objective has the span 1
    assert Scale.observed(NB201, dead, F[:1]).scaled(F[:1]).tolist() == [[0.0, 0.0]]


def test_the_order_goes_front_by_front_and_far_apart_first() -> None:
    F = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0], [5.0, 5.0], [2.0, 2.0]])
    assert by_front_and_spread(F, most=5).tolist() == [0, 2, 4, 1, 3]
    assert by_front_and_spread(F, most=2).tolist() == [0, 2]
    same = by_front_and_spread(np.zeros((4, 2)), most=4)
    assert sorted(same.tolist()) == [0, 1, 2, 3]


# ---------------------------------------------------------------------- features


def test_features_lie_between_0_and_1_and_none_is_constant() -> None:
    X = NB201.sample(500, rng=np.random.default_rng(1))
    for name, k in {"onehot": 30, "default": 0, "nb201-path-v1": 0}.items():
        values = features("x", name, space=NB201)(X)
        assert values.dtype == np.float64
        assert (np.ptp(values, axis=0) > 0).mean() > 0.9
        assert (values >= 0).all() and values.max() < 3
        assert not k or values.shape[1] == k
    one = toy_space(1)
    assert features("x", "onehot", space=one)(one.enumerate()).tolist() == [[0.0]]


@pytest.mark.parametrize("name", ["paths", "nb201-path-v9", "fbnet-onehot-v1", 3])
def test_unknown_features_and_those_of_another_space_are_refused(name: Any) -> None:
    with pytest.raises(SearcherError, match="features is 'onehot', 'default' or a feature map of space 'nb201'"):
        features("mo-bananas", name, space=NB201)


# ---------------------------------------------------------------------- the archive


class _Copies(ArchiveSearcher):
    """Proposes what it knows already: the base class must do better."""

    name = "copies"

    def _propose(self, n: int) -> NDArray[Any]:
        return np.concatenate([self._X, self._X])


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=20), seed=st.integers(0, 50))
def test_an_archive_never_repeats_itself_and_says_when_all_is_proposed(sizes: list[int], seed: int) -> None:
    toy = toy_space(3, 4, 2)
    a = _Copies(toy, 2, seed=seed, n_initial=5, batch=3)
    rows: list[tuple[int, ...]] = []
    for i, size in enumerate([*sizes, *[3] * 24]):
        if len(rows) == toy.size:
            break
        X = a.ask(size)
        rows += map(tuple, X.tolist())
        if i % 2:  # some are told late or never
            a.tell(X, opposed(X.astype(int)))
    assert len(rows) == len(set(rows)) == toy.size
    with pytest.raises(ExhaustedError, match="all 24 architectures have been proposed"):
        a.ask(1)


def test_an_archive_takes_foreign_points_in_any_order_and_the_last_value_of_a_repeated_one() -> None:
    toy = toy_space(3, 3, 3)
    a = _Copies(toy, 1, n_initial=2)
    a.tell([[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[5.0], [6.0], [7.0]])
    a.tell([[2, 2, 2], [1, 1, 1]], [[8.0], [9.0]])
    assert a._X.tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert a._F.tolist() == [[7.0], [9.0], [8.0]]
    later = [tuple(a.ask(1)[0].tolist()) for _ in range(24)]
    assert not {(0, 0, 0), (1, 1, 1), (2, 2, 2)} & set(later)


class _Wishes(ArchiveSearcher):
    """Proposes the same rows, best first, in another type and with repetitions."""

    name = "wishes"

    def _propose(self, n: int) -> NDArray[Any]:
        return np.array([[0, 0], [2, 1], [1, 2], [2, 1], [0, 1], [1, 2], [2, 1], [1, 1]])


def test_an_archive_asks_for_the_best_first_once_and_without_what_it_knows() -> None:
    toy = toy_space(3, 3)
    a = _Wishes(toy, 1, n_initial=1, batch=9)
    a.tell([[0, 0], [0, 1]], [[1.0], [2.0]])
    X = a.ask(3)
    assert X.tolist() == [[2, 1], [1, 2], [1, 1]]
    assert X.dtype == toy.dtype


def test_a_model_learns_logarithms_of_what_is_positive() -> None:
    toy = toy_space(3, 3)
    a = _Copies(toy, 3)
    a.tell(toy.enumerate()[:3], [[1.0, -1.0, 2.0], [10.0, 0.0, 2.0], [100.0, 1.0, 2.0]])
    np.testing.assert_allclose(a._targets(), [[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 1.0, 0.0]])


@pytest.mark.parametrize("name", [n for n in LEARNERS if n != "reinforce"])
def test_points_that_were_not_asked_for_are_learnt_from(name: str) -> None:
    toy = toy_space(4, 4, 4, 4)
    a = made(name, toy)
    X = toy.sample(20, rng=np.random.default_rng(5))
    a.tell(X, opposed(X.astype(int)))
    rows = told(a, 3)
    known = set(map(tuple, X.tolist()))
    if name not in ("q-learning", "tpe"):  # these two may propose an architecture again
        assert not known & set(map(tuple, rows.tolist()))
    assert a.n_told == 20 + len(rows)


# ---------------------------------------------------------------------- LaMOO


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 40), m=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_better_half_has_the_smaller_dominance_numbers(n: int, m: int, seed: int) -> None:
    Z = np.random.default_rng(seed).integers(0, 4, size=(n, m)).astype(float)
    number = [sum((a <= b).all() and (a < b).any() for a in Z) for b in Z]
    good = lamoo_module._better_half(Z)
    assert good.sum() == min(n // 2 + 1, n)
    assert max(np.array(number)[good]) <= min(np.array(number)[~good], default=np.inf)


def test_lamoo_proposes_from_the_chosen_region_and_follows_the_bounds() -> None:
    a = made("lamoo", c_p=0.0, n_initial=60, batch=60)
    told(a, 1)
    root = a._tree()
    assert len(root.rows) == 60 and root.children
    leaf = a._select(root)
    node = root
    while node.children:  # without exploration the greatest hypervolume wins
        good, bad = node.children
        assert sorted([*good.rows, *bad.rows]) == sorted(node.rows)
        assert good.value <= node.value + 1e-12
        node = good if good.value >= bad.value else bad
    assert node is leaf
    proposed = a._propose(5)
    assert len(proposed) == 5
    assert leaf.path
    for classifier, side in leaf.path:
        assert (classifier.predict(one_hot(NB201).compute(proposed)) == side).all()
    curious = made("lamoo", c_p=1e6, n_initial=60, batch=60)  # exploration alone: the region with the fewest samples
    told(curious, 1)
    node = curious._tree()
    chosen = curious._select(node)
    while node.children:
        node = min(node.children, key=lambda c: len(c.rows))
    assert len(chosen.rows) == len(node.rows)


def test_lamoo_splits_no_region_of_equal_values() -> None:
    a = made("lamoo", n_initial=40, batch=40)
    X = a.ask()
    a.tell(X, np.zeros((40, 2)))
    assert len(a.ask(5)) == 5
    assert made("lamoo", n_initial=40, batch=40, leaf_size=40)._svm is not None


# ---------------------------------------------------------------------- REINFORCE


def test_the_policy_gradient_is_the_derivative_of_the_expected_reward() -> None:
    """One step of plain ascent equals advantage times the numerical derivative of log p, plus that of the entropy."""
    toy = toy_space(3, 2)
    a = made("reinforce", toy, entropy=0.3, learning_rate=1.0)
    X = a.ask(1)
    (_, weights), theta = a._asked[0], a._theta.copy()
    gradients = []
    a._adam = gradients.append
    a._history, a._seen_X = [np.array([1.0, 2.0])], [np.array([0, 0])]
    values = np.array([[3.0, 1.0]])
    a.tell(X, values)
    scale = Scale.observed(toy, np.array([[0, 0], X[0]]), np.array([[1.0, 2.0], [3.0, 1.0]]))
    advantage = float(
        chebyshev(scale.scaled(np.array([[1.0, 2.0]])), weights)[0] - chebyshev(scale.scaled(values), weights)[0]
    )

    def objective(at: NDArray[np.float64]) -> float:
        a._theta = at
        p = a._probabilities(weights)
        entropy = -sum(q * np.log(q) for q in p.ravel() if q > 0)
        return advantage * float(np.log(p[np.arange(2), X[0]]).sum()) + 0.3 * entropy

    for index in np.ndindex(*theta.shape):
        step = np.zeros_like(theta)
        step[index] = 1e-6
        slope = (objective(theta + step) - objective(theta - step)) / 2e-6
        assert gradients[0][index] == pytest.approx(slope, abs=1e-6)


def test_reinforce_finds_the_best_value_of_each_variable() -> None:
    toy = toy_space(4, 3, 5, 2)
    a = made("reinforce", toy, m=1, entropy=0.0)
    for _ in range(600):
        X = a.ask()
        a.tell(X, X.astype(float).sum(axis=1, keepdims=True))
    assert a._probabilities(np.ones(1))[:, 0].min() > 0.9


def test_reinforce_conditions_its_policy_on_the_weights() -> None:
    toy = toy_space(5, 5)
    a = made("reinforce", toy, entropy=0.0)
    for _ in range(800):
        X = a.ask()
        a.tell(X, np.column_stack([X.sum(axis=1), 8 - X.sum(axis=1)]).astype(float))
    first, second = (a._probabilities(w) @ np.arange(5.0) for w in (np.array([0.95, 0.05]), np.array([0.05, 0.95])))
    assert first.sum() + 3 < second.sum()


def test_reinforce_refuses_what_its_policy_did_not_draw() -> None:
    a = made("reinforce", batch=3)
    X = a.ask()
    with pytest.raises(SearcherError, match="learns from its own proposals alone"):
        a.tell((X + 1) % 5, np.ones((3, 2)))
    a.tell(X, np.ones((3, 2)))
    with pytest.raises(SearcherError, match="learns from its own proposals alone"):
        a.tell(X, np.ones((3, 2)))


def test_an_invalid_value_is_never_drawn() -> None:
    toy = toy_space(1, 7, 2)
    a = made("reinforce", toy, m=1)
    p = a._probabilities(np.ones(1))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (p[0, 1:] == 0).all() and (p[2, 2:] == 0).all()


# ---------------------------------------------------------------------- Q-learning


def test_epsilon_falls_in_the_proportions_of_the_paper() -> None:
    a = made("q-learning", horizon=178)
    seen = []
    for n in range(200):
        a.n_asked = n
        seen.append(a.epsilon)
    values, counts = np.unique(seen[:178], return_counts=True)
    assert values.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert counts.tolist() == [12, 10, 10, 10, 10, 10, 7, 7, 7, 95]
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 0.1


def test_the_greedy_episode_of_each_table_is_optimal_for_its_weights() -> None:
    """Everything told often enough; interactions reach one variable back, so that the state is enough."""
    toy = toy_space(3, 3, 3)
    X = toy.enumerate()
    F = np.column_stack([(X[:, 0] != X[:, 1]) + X[:, 2], (X[:, 1] == X[:, 2]) * 2.0 + (2 - X[:, 2])]).astype(float)
    a = made("q-learning", toy, tables=2, learning_rate=0.3, replay=30)
    for _ in range(12):
        a.tell(X, F)
    scale = Scale.observed(toy, X, F)
    for table, weights in enumerate(np.eye(2)):
        g = chebyshev(scale.scaled(F), weights)
        greedy = a._episode(table, 0.0)
        assert g[toy.codes([greedy])[0]] == pytest.approx(g.min())


def test_a_choice_is_worth_what_its_best_continuation_is_worth() -> None:
    toy = toy_space(2, 3)
    a = made("q-learning", toy, m=1, learning_rate=0.3, replay=30)
    for _ in range(12):  # 5 against an average of 6, of which the shaped reward is one half and the best, 0, the other
        a.tell(toy.enumerate(), np.array([[5.0], [5.0], [5.0], [0.0], [9.0], [9.0]]))
    assert a._episode(0, 0.0) == [1, 0]


# ---------------------------------------------------------------------- fractal


@pytest.mark.parametrize("seed", range(3))
def test_balls_lie_in_their_ball(seed: int) -> None:
    a = made("fractal", space("fbnet"), seed=seed)
    centre = a.space.sample(1, rng=np.random.default_rng(seed))[0]
    from nasbench_mo.search.fractal import _Ball

    root = _Ball(centre=centre, radius=22, points=centre[None])
    children = a._split(root)
    assert len(children) == 2 * 22
    for child in children:
        assert child.radius == 9  # 22 / (1 + sqrt 2)
        assert (child.centre != centre).sum() == 22 - 9
        assert child.points[0].tolist() == child.centre.tolist()
        assert ((child.points[1:] != child.centre).sum(axis=1) == 9).all()
    assert a._split(children[0])[0].radius == 4


def test_the_intensive_search_ends_where_no_single_change_helps() -> None:
    toy = toy_space(4, 4, 4)
    a = made("fractal", toy)
    weights = np.array([0.6, 0.4])
    course = a._intensify(np.array([3, 3, 3], dtype=np.int8), weights)
    for rows in course:
        a.tell(rows, opposed(np.array(rows).astype(int)))
    X, F = a._told_values()
    g = chebyshev(Scale.observed(toy, X, F).scaled(F), weights)
    best = X[int(np.argmin(g))]
    around = toy.neighbors(best)
    keys = {row.tobytes() for row in X}
    assert all(row.tobytes() in keys for row in around)  # all were looked at


def test_fractal_evaluates_each_architecture_once_and_ends_when_the_space_is_known() -> None:
    toy = toy_space(3, 4, 2, 3)
    a = made("fractal", toy)
    rows: list[tuple[int, ...]] = []
    with pytest.raises(ExhaustedError):
        for _ in range(500):
            X = a.ask(7)
            a.tell(X, opposed(X.astype(int)))
            rows += map(tuple, X.tolist())
    assert len(rows) == len(set(rows))
    assert len(rows) > toy.size // 2


def test_fractal_wants_the_values_of_a_level_before_the_next() -> None:
    a = made("fractal")
    X = a.ask()
    with pytest.raises(SearcherError, match="tell the values of this level before asking for the next"):
        a.ask()
    a.tell(X, opposed(X.astype(int)))
    assert len(a.ask()) > 1


# ---------------------------------------------------------------------- TPE


def test_tpe_proposes_what_optunas_own_loop_evaluates() -> None:
    optuna = pytest.importorskip("optuna")
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=4, n_startup_trials=10, n_ei_candidates=24, multivariate=True)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    expected = []

    def objective(trial: Any) -> tuple[float, ...]:
        row = [trial.suggest_categorical(f"x{j:04d}", tuple(range(5))) for j in range(6)]
        expected.append(row)
        return tuple(opposed(np.array([row]))[0])

    study.optimize(objective, n_trials=25)
    optuna.logging.set_verbosity(level)
    # the define-by-run loop learns of its variables in the first trials, ask with distributions knows them at once
    assert told(made("tpe", seed=4), 25).tolist() == expected


def test_tpe_puts_optunas_level_back_and_ends_when_all_is_told() -> None:
    optuna = pytest.importorskip("optuna")
    level = optuna.logging.get_verbosity()
    toy = toy_space(2, 2)
    a = made("tpe", toy)
    told(a, 2)
    assert optuna.logging.get_verbosity() == level
    a.tell(toy.enumerate(), opposed(toy.enumerate().astype(int)))
    with pytest.raises(ExhaustedError, match="all 4 architectures have been told"):
        a.ask()


@pytest.mark.parametrize("name", ["tpe", "reinforce", "q-learning"])
def test_a_searcher_that_repeats_itself_ends_its_run(name: str, cache: object) -> None:
    from benchmark_helpers import toy_problem

    problem = toy_problem(2, 3)
    run = nmo.run(problem, made(name, problem.space), budget=50)
    assert 1 <= len(run.archs) <= 6


# ---------------------------------------------------------------------- models


@pytest.mark.parametrize("name", ["parego", "qlognehvi"])
def test_botorch_searchers_leave_torch_as_it_was(name: str) -> None:
    a = made(name)
    import torch

    torch.manual_seed(11)
    state, threads, dtype = torch.random.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    told(a, 4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)


@pytest.mark.parametrize("name", ["parego", "qlognehvi"])
def test_botorch_searchers_do_not_depend_on_torchs_generator(name: str) -> None:
    import torch

    rows = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        rows.append(told(made(name, seed=3), 4).tolist())
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", ["parego", "qlognehvi", "smac-forest", "mo-bananas"])
def test_a_model_prefers_what_it_has_seen_to_be_good(name: str) -> None:
    """Each variable has a best value, 0, for both objectives: proposals have far more of it than random ones."""
    toy = toy_space(*[4] * 6)
    heavier = {"parego": {"fit_iterations": 30}, "qlognehvi": {"fit_iterations": 30}, "mo-bananas": {"n_members": 5}}
    heavier["smac-forest"] = {"n_trees": 10, "n_random": 300}
    a = made(name, toy, **{"n_initial": 40, "batch": 8, **heavier.get(name, {})})
    for _ in range(9):
        X = a.ask()
        cost = X.astype(float) @ np.arange(1.0, 7.0)
        a.tell(X, np.column_stack([cost + 1, (X > 0).sum(axis=1) + 1.0]))
    share = (a._X[40:] == 0).mean()
    assert share > 0.4  # of random ones: 0.25


def test_parego_scales_by_the_front_without_dead_networks() -> None:
    a = made("parego")
    X = np.array([[0] * 6, [3] * 6, [1] * 6, [3, 1, 1, 3, 3, 3]])
    a.tell(X, [[90.0, 0.1], [5.0, 9.0], [15.0, 1.0], [20.0, 10.0]])
    assert a._scaling_rows().tolist() == [1, 2]
    a.tell(X, [[90.0, 0.1], [5.0, 1.0], [15.0, 1.0], [20.0, 10.0]])  # one point is the front: it has no range
    assert a._scaling_rows().tolist() == [0, 1, 2, 3]


def test_smac_draws_its_share_of_proposals_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    a = made("smac-forest", random_share=1.0)
    monkeypatch.setattr(type(a), "_fit", lambda self: pytest.fail("no model is needed"))
    told(a, 6)
    mixed = made("smac-forest", random_share=0.5, batch=1)
    asked = []
    monkeypatch.setattr(type(a), "_best", lambda self, n: asked.append(n) or self._fresh(n))
    told(mixed, 206)
    assert 70 < len(asked) < 130


def test_bananas_sees_paths_where_the_space_has_them() -> None:
    assert made("mo-bananas")._features(NB201.sample(3, rng=np.random.default_rng(0))).shape[1] > 30
    fbnet = space("fbnet")
    assert made("mo-bananas", fbnet)._features(fbnet.sample(3, rng=np.random.default_rng(0))).shape[1] == 22 * 9
    assert made("mo-bananas", features="onehot").options()["features"] == "onehot"


def test_bananas_mutates_the_best_in_one_or_two_variables() -> None:
    a = made("mo-bananas", n_initial=30, batch=30, n_parents=4, n_candidates=50)
    told(a, 1)
    best = a._X[by_front_and_spread(a._F, most=4)]
    distance = (a._candidates()[:, None] != best[None]).sum(axis=2).min(axis=1)
    assert set(distance.tolist()) == {1, 2}


# ---------------------------------------------------------------------- options and packages


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lamoo", {"kernel": "rfb"}, r"kernel is one of rbf, linear, poly; got 'rfb'. Did you mean 'rbf'"),
        ("lamoo", {"sampler": "cma"}, "sampler is one of evolution, random"),
        ("lamoo", {"c_p": -0.1}, "c_p must be a number of at least 0, got -0.1"),
        ("lamoo", {"leaf_size": 1}, "leaf_size must be an integer of at least 2"),
        ("lamoo", {"n_initial": 0}, "n_initial must be an integer of at least 1"),
        ("reinforce", {"learning_rate": 0.0}, "learning_rate must be a number of at least 0 and above 0, got 0.0"),
        ("reinforce", {"baseline_decay": 1.5}, r"baseline_decay must be a number in 0\.\.1"),
        ("reinforce", {"entropy": float("nan")}, "entropy must be a number of at least 0, got nan"),
        ("q-learning", {"discount": "all"}, r"discount must be a number in 0\.\.1, got 'all'"),
        ("q-learning", {"tables": 0}, "tables must be an integer of at least 1"),
        ("q-learning", {"horizon": 1.5}, "horizon must be an integer of at least 1"),
        ("fractal", {"leaf_radius": 0}, "leaf_radius must be an integer of at least 1"),
        ("tpe", {"multivariate": "maybe"}, "multivariate is one of auto, yes, no; got 'maybe'"),
        ("tpe", {"n_candidates": 0}, "n_candidates must be an integer of at least 1"),
        ("parego", {"features": "graph"}, "features is 'onehot', 'default' or a feature map"),
        ("parego", {"mc_samples": 0}, "mc_samples must be an integer of at least 1"),
        ("qlognehvi", {"fit_iterations": True}, "fit_iterations must be an integer of at least 1, got True"),
        ("qlognehvi", {"batch": 0}, "batch must be an integer of at least 1"),
        ("smac-forest", {"random_share": 1.1}, r"random_share must be a number in 0\.\.1, got 1.1"),
        ("smac-forest", {"max_features": 0}, r"max_features must be a number in 0\.\.1 and above 0"),
        ("mo-bananas", {"n_members": 1}, "n_members must be an integer of at least 2"),
        ("mo-bananas", {"features": "paths"}, "features is 'onehot', 'default' or a feature map"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearcherError, match=message):
        made(name, **options)


@pytest.mark.parametrize("name", LEARNERS)
def test_an_unknown_option_is_refused_and_the_known_ones_are_reported(name: str) -> None:
    with pytest.raises(SearcherError, match=f"'{name}' has the options .*got 'populaton'"):
        made(name, populaton=3)
    given_ = made(name)
    again = searcher(name, NB201, 2, **given_.options())
    assert again.options() == given_.options()


@pytest.mark.parametrize("name", NEEDS)
def test_a_missing_package_is_named_with_what_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = NEEDS[name]
    pytest.importorskip(package)
    for module in [m for m in sys.modules if m == package or m.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install 'nasbench-mo\[bayes\]'"):
        searcher(name, NB201, 2)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_global_generator_of_numpy_is_left_alone(name: str) -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    told(made(name), 4)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# ---------------------------------------------------------------------- how well they search


@pytest.mark.parametrize("name", ["lamoo", "fractal", "reinforce", "q-learning"])
def test_it_beats_random_search(name: str, cache: object) -> None:
    problem = nmo.problem("nb201s-c10-eyeriss-fpga-v1")

    def median(which: str) -> float:
        if which in NEEDS:
            pytest.importorskip(NEEDS[which])
        return float(np.median([nmo.run(problem, which, budget=150, seed=s).hypervolume_share() for s in range(3)]))

    # three seeds: random 0.88; LaMOO 0.98, fractal 0.97, REINFORCE 0.91, Q-learning 0.92
    assert median("random") < median(name) <= 1 + 1e-12


def test_proposals_of_a_model_are_not_dominated_by_random_ones() -> None:
    """A sanity check of the whole loop on the toy: after 60 evaluations the front is closer than a random one's."""
    toy = toy_space(5, 5, 5, 5, 5)
    shares = {}
    for name in ("random", "mo-bananas"):
        a = made(name, toy, m=2, **({"n_initial": 10} if name == "mo-bananas" else {}))
        rows: list[NDArray[Any]] = []
        while sum(map(len, rows)) < 60:
            X = a.ask(10)
            a.tell(X, opposed(X.astype(int)))
            rows.append(X)
        F = opposed(np.concatenate(rows)[:60].astype(int))
        shares[name] = hypervolume(F[nondominated(F)], reference=[20.0, 45.0])
    assert shares["mo-bananas"] > shares["random"]
