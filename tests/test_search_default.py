"""The default searcher: its parts against oracles, what it promises, and that it finds fronts sooner than chance."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import lognorm, norm

import nasbench_mo as nmo
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.objective import Objective
from nasbench_mo.pareto import hypervolume
from nasbench_mo.search import searcher
from nasbench_mo.search.acquisition import dominated, expected_improvement
from nasbench_mo.search.candidate_features import CandidateFeatures
from nasbench_mo.search.candidates import Nursery, WholeSpace
from nasbench_mo.search.default import DefaultSearcher
from nasbench_mo.search.initial_design import stratified
from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.objective_model import ObjectiveModel
from nasbench_mo.search.pool_posterior import PoolPosterior
from nasbench_mo.search.relevance import Groups, _Objective, covariance, fit_relevance
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace, Variable, space

PROBLEM = "nb201s-c10-eyeriss-fpga-v1"


# ---------------------------------------------------------------------- beliefs


@pytest.mark.parametrize("origin", [None, 0.0, -1.5])
def test_a_put_is_the_expected_distance_below_a_level(origin: float | None) -> None:
    belief = Marginals(mean=np.array([0.3, -0.4]), std=np.array([0.5, 1.2]), origin=origin)
    levels = np.array([-2.0, -0.5, 0.7, 3.0])
    found = belief.put(levels)
    for i in range(2):
        density = (
            norm(belief.mean[i], belief.std[i]).pdf
            if origin is None
            else lognorm(belief.std[i], loc=origin, scale=np.exp(belief.mean[i])).pdf
        )
        low = -np.inf if origin is None else origin
        for j, level in enumerate(levels):
            expected = quad(lambda y, c=level, f=density: (c - y) * f(y), low, level)[0] if level > low else 0.0
            assert found[i, j] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("origin", [None, 0.5])
def test_the_probability_below_a_level_is_the_slope_of_the_put(origin: float | None) -> None:
    belief = Marginals(mean=np.array([0.3, 1.1]), std=np.array([0.5, 0.2]), origin=origin)
    levels, step = np.array([0.9, 1.7, 4.0]), 1e-5
    slope = (belief.put(levels + step) - belief.put(levels - step)) / (2 * step)
    np.testing.assert_allclose(belief.below(levels), slope, atol=1e-6)


def test_a_certain_belief_is_its_value() -> None:
    belief = Marginals.certain(np.array([1.0, 3.0]))
    np.testing.assert_array_equal(belief.put(np.array([2.0, 4.0])), [[1.0, 3.0], [0.0, 1.0]])
    np.testing.assert_array_equal(belief.below(np.array([2.0, 4.0])), [[1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(belief.take(np.array([1])).at(-3.0), [3.0])


# ---------------------------------------------------------------------- acquisition


def _gain(point: NDArray[Any], *, front: NDArray[Any], reference: NDArray[Any]) -> float:
    return hypervolume(np.vstack([front, point]), reference=reference) - hypervolume(front, reference=reference)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_improvement_of_certain_candidates_is_the_hypervolume_they_add(m: int) -> None:
    rng = np.random.default_rng(m)
    front, points, reference = rng.random((12, m)), rng.random((40, m)) * 1.3, np.full(m, 1.1)
    found = expected_improvement([Marginals.certain(points[:, j]) for j in range(m)], front=front, reference=reference)
    expected = [_gain(point, front=front, reference=reference) for point in points]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_expected_improvement_is_the_mean_over_draws(m: int) -> None:
    rng = np.random.default_rng(10 + m)
    front, reference = rng.random((6, m)) + 0.2, np.full(m, 1.3)
    beliefs = [
        Marginals(mean=np.array([0.5]), std=np.array([0.2])),
        Marginals(mean=np.array([-1.0]), std=np.array([0.4]), origin=0.1),
        Marginals.certain(np.array([0.6])),
    ][:m]
    draws = rng.standard_normal((4000, m))
    points = np.stack([b.at(0.0) + 0 * draws[:, 0] for b in beliefs], axis=1)
    points[:, 0] = 0.5 + 0.2 * draws[:, 0]
    if m > 1:
        points[:, 1] = 0.1 + np.exp(-1.0 + 0.4 * draws[:, 1])
    gains = np.array([_gain(point, front=front, reference=reference) for point in points])
    found = expected_improvement(beliefs, front=front, reference=reference)[0]
    assert abs(found - gains.mean()) < 4 * gains.std() / np.sqrt(len(gains))


@pytest.mark.parametrize("m", [4, 5])
def test_drawn_slabs_rank_candidates_as_the_hypervolume_does(m: int) -> None:
    rng = np.random.default_rng(m)
    front, points, reference = rng.random((15, m)), rng.random((60, m)), np.full(m, 1.1)
    found = expected_improvement([Marginals.certain(points[:, j]) for j in range(m)], front=front, reference=reference)
    expected = np.array([_gain(point, front=front, reference=reference) for point in points])
    assert np.corrcoef(found, expected)[0, 1] > 0.9
    assert found.sum() == pytest.approx(expected.sum(), rel=0.2)


def test_an_empty_front_and_points_beyond_the_reference_leave_the_whole_box_open() -> None:
    beliefs = [Marginals.certain(np.array([0.5])), Marginals.certain(np.array([0.25]))]
    for front in (np.empty((0, 2)), np.array([[2.0, 0.0], [0.0, 1.0]])):
        found = expected_improvement(beliefs, front=front, reference=np.ones(2))
        assert found[0] == pytest.approx(0.5 * 0.75)


def test_dominated_marks_what_a_point_of_the_front_is_at_most() -> None:
    values = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    np.testing.assert_array_equal(dominated(values, by=np.array([[1.0, 1.0], [0.0, 3.5]])), [True, False, False])


# ---------------------------------------------------------------------- kernel and posterior


def _groups(of: NDArray[np.intp]) -> Groups:
    return Groups(of=of, additive=np.ones(of.max() + 1, dtype=bool))


def _data(n: int = 30, k: int = 6) -> tuple[NDArray[Any], NDArray[Any], Groups]:
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((n, k))
    return Z, np.sin(2 * Z[:, 0]) + 0.5 * Z[:, 4], _groups(np.array([0, 0, 0, 1, 1, 1])[:k])


def test_the_gradient_is_that_of_finite_differences() -> None:
    Z, y, groups = _data(12)
    objective = _Objective(Z, y, groups=groups)
    at = np.random.default_rng(1).standard_normal(objective.n_parameters) * 0.5
    gradient = objective(at)[1]
    for i in range(len(at)):
        step = np.zeros_like(at)
        step[i] = 1e-5
        assert gradient[i] == pytest.approx((objective(at + step)[0] - objective(at - step)[0]) / 2e-5, abs=1e-4)


def test_the_relevant_columns_are_found() -> None:
    Z, y, groups = _data(60)
    found = fit_relevance(Z, (y - y.mean()) / y.std(), groups=groups)
    assert set(np.argsort(-found.curved * found.amplitude - found.linear)[:2]) == {0, 4}


def test_a_start_at_the_optimum_stays_there() -> None:
    Z, y, groups = _data(40)
    first = fit_relevance(Z, y, groups=groups, iterations=200)
    again = fit_relevance(Z, y, groups=groups, iterations=1, start=first.parameters)
    assert again.cost == pytest.approx(first.cost, abs=0.05)


def test_the_pool_sees_what_the_textbook_formula_says_however_the_observations_come() -> None:
    Z, y, groups = _data(25)
    pool = np.random.default_rng(2).standard_normal((9, 6))
    fitted = fit_relevance(Z, y, groups=groups)
    a, b = fitted.view(Z), fitted.view(pool)
    K = covariance(a, a) + (fitted.noise + 1e-8) * np.eye(len(Z))
    across = covariance(b, a)
    mean = across @ np.linalg.solve(K, y)
    variance = fitted.variance * (b.prior_variance() - (across * np.linalg.solve(K, across.T).T).sum(axis=1))
    one_by_one, at_once = PoolPosterior(fitted, pool), PoolPosterior(fitted, pool)
    at_once.observe(Z, y)
    for i in range(len(Z)):
        one_by_one.observe(Z[i : i + 1], y[i : i + 1])
    for found in (at_once, one_by_one):
        np.testing.assert_allclose(found.mean, mean, atol=1e-4)
        np.testing.assert_allclose(found.variance, variance, atol=1e-4)
    np.testing.assert_allclose(at_once.expected(pool), mean, atol=1e-6)
    at_once.observe(pool[:2], np.array([3.0, -3.0]))
    assert abs(at_once.mean - mean).max() > 0.1
    at_once.forget(len(Z))
    np.testing.assert_allclose(at_once.mean, mean, atol=1e-4)
    np.testing.assert_allclose(at_once.variance, variance, atol=1e-4)


def _model(values: NDArray[Any], Z: NDArray[Any], *, pool: NDArray[Any]) -> Marginals:
    model = ObjectiveModel(_groups(np.zeros(Z.shape[1], dtype=np.intp)))
    model.update(Z, values, pool=pool)
    return model.beliefs()


def test_a_cost_that_adds_up_is_learnt_from_a_dozen_architectures() -> None:
    nb201 = space("nb201")
    problem = nmo.problem(PROBLEM)
    features = CandidateFeatures(nb201)
    X = nb201.sample(400, rng=np.random.default_rng(0))
    X = X[~nb201.degenerate(X)]
    Z, cost = features(X), problem.evaluate(X)[:, 2]
    model = ObjectiveModel(features.groups)
    model.update(Z[:16], cost[:16], pool=Z[16:])
    error = model.beliefs().at(0.0) - cost[16:]
    assert np.sqrt((error**2).mean()) < 0.1 * cost.std()


def test_the_transform_follows_the_data() -> None:
    rng = np.random.default_rng(3)
    Z, pool = rng.standard_normal((50, 3)), rng.standard_normal((5, 3))
    line = Z @ [1.0, 0.5, 0.0]
    assert _model(line, Z, pool=pool).origin is None
    assert _model(np.exp(3 * line), Z, pool=pool).origin == 0.0
    assert _model(-100.0 + np.exp(3 * line), Z, pool=pool).origin == pytest.approx(-100.0, abs=50)


def test_equal_values_are_believed_everywhere() -> None:
    Z = np.random.default_rng(0).standard_normal((6, 2))
    belief = _model(np.full(6, 7.0), Z, pool=Z + 0.1)
    np.testing.assert_allclose(belief.at(0.0), 7.0)


# ---------------------------------------------------------------------- start and candidates


def test_the_start_has_one_of_every_stratum() -> None:
    Z = np.random.default_rng(0).standard_normal((100, 3)) * [9.0, 1.0, 1.0]
    X = np.random.default_rng(2).integers(0, 5, size=(100, 6))
    rows = stratified(Z, 5, X=X, rng=np.random.default_rng(1))
    assert sorted((Z[:, 0].argsort().argsort()[rows] // 20).tolist()) == [0, 1, 2, 3, 4]
    along = np.arange(100.0)[::-1].copy()
    rows = stratified(Z, 4, X=X, rng=np.random.default_rng(1), along=along)
    assert sorted((along[rows] // 25).tolist()) == [0, 1, 2, 3]
    assert len(stratified(Z[:2], 5, X=X[:2], rng=np.random.default_rng(1))) == 2


def test_rows_of_the_whole_space_hold_every_architecture_that_works_once() -> None:
    nb201 = space("nb201")
    features = CandidateFeatures(nb201)
    whole = WholeSpace(nb201, features=features, known=lambda X: np.zeros((len(X), 0)))
    members = [whole.members(row) for row in range(len(whole.candidates))]
    codes = np.sort(nb201.codes(np.concatenate(members)))
    X = nb201.enumerate()
    np.testing.assert_array_equal(codes, np.flatnonzero(~nb201.degenerate(X)))
    for row in range(0, len(members), 500):
        Z = features(members[row])
        np.testing.assert_allclose(Z, np.broadcast_to(whole.candidates.Z[row], Z.shape), atol=1e-6)
        np.testing.assert_allclose(whole.features(members[row]), Z, atol=1e-6)
    assert len(members) < 0.6 * len(codes)


def test_what_is_bred_is_new() -> None:
    fbnet = space("fbnet")
    rng = np.random.default_rng(0)
    unseen = Unseen(fbnet, rng=rng)
    nursery = Nursery(
        fbnet, features=CandidateFeatures(fbnet), known=lambda X: np.zeros((len(X), 0)), unseen=unseen, rng=rng
    )
    parents = unseen.draw(5)
    children = nursery.breed(parents, without=parents)
    more = nursery.breed(children.X, without=children.X)
    rows = [x.tobytes() for x in np.concatenate([parents, children.X, more.X[:0]])]
    assert len(set(rows)) == len(rows)
    assert not {x.tobytes() for x in more.X} & set(rows)
    distance = (children.X[:, None] != parents[None]).sum(axis=2).min(axis=1)
    assert np.median(distance) <= 11


@pytest.mark.parametrize("name", ["nb201", "fbnet", "mnasnet", "nb201-x-asic"])
def test_features_are_standardised_over_the_space_and_none_repeats(name: str) -> None:
    where = space(name)
    features = CandidateFeatures(where)
    X = where.sample(4000, rng=np.random.default_rng(5))
    Z = features(X[~where.degenerate(X)])
    assert Z.shape[1] == len(features.groups.of)
    assert abs(Z.mean(axis=0)).max() < 0.2
    assert 0.5 < Z.std(axis=0).min() and Z.std(axis=0).max() < 2.0
    assert len(np.unique(np.round(Z, 6), axis=1).T) == Z.shape[1]


# ---------------------------------------------------------------------- the searcher


def _search(problem: Problem, made: Any, budget: int, *, size: int | None = None) -> NDArray[Any]:
    X = problem.space.from_codes([]) if problem.space.size < 1 << 63 else problem.space.sample(0, rng=made._rng)
    while len(X) < budget:
        asked = made.ask(size)
        made.tell(asked, problem.evaluate(asked))
        X = np.concatenate([X, asked])
    return X[:budget]


@pytest.fixture(scope="module")
def problem() -> Problem:
    return nmo.problem(PROBLEM)


def test_it_finds_the_front_sooner_than_chance(problem: Problem) -> None:
    ours = [nmo.run(problem, "default", budget=40, seed=seed, known=False).hypervolume_share() for seed in range(2)]
    chance = [nmo.run(problem, "random", budget=300, seed=seed).hypervolume_share() for seed in range(5)]
    assert min(ours) > np.median(chance)
    assert np.median(ours) > 0.9


def test_known_objectives_are_used_and_never_modelled(problem: Problem) -> None:
    made = DefaultSearcher(problem.space, 3, seed=0)
    made.set_known(problem.known_objectives())
    X = _search(problem, made, 25)
    assert list(made._models) == [0]
    assert problem.hypervolume_share(problem.evaluate(X)) > 0.7


@pytest.mark.parametrize("m", [1, 2, 4, 5])
def test_it_searches_a_large_space_with_any_number_of_objectives(m: int) -> None:
    fbnet = space("fbnet")

    def far(X: NDArray[Any]) -> NDArray[np.float64]:
        return np.stack([((X - 2 * j) ** 2 % 17).sum(axis=1) / 10 for j in range(m)], axis=1).astype(np.float64)

    made = searcher("default", fbnet, m, seed=0, batch=5)
    F, chance = np.empty((0, m)), far(fbnet.sample(50, rng=np.random.default_rng(0)))
    while len(F) < 50:
        X = made.ask()
        F = np.concatenate([F, far(X)])
        made.tell(X, F[-len(X) :])
    reference = np.full(m, far(fbnet.sample(500, rng=np.random.default_rng(1))).max())
    assert hypervolume(F, reference=reference) > 1.05 * hypervolume(chance, reference=reference)


def test_a_batch_is_diverse(problem: Problem) -> None:
    made = DefaultSearcher(problem.space, 3, seed=0, batch=6)
    _search(problem, made, 18)
    X = made.ask(6)
    assert len(X) == 6
    assert len(np.unique(problem.evaluate(X), axis=0)) >= 4
    more = made.ask(6)  # still awaited: the first batch is not proposed again
    assert len({x.tobytes() for x in np.concatenate([X, more])}) == 12


class _Half(SearchSpace):
    """6 x 5 architectures, half of which are degenerate."""

    name = "half"

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(Variable(name=n, values=tuple("012345"[:c])) for n, c in (("a", 6), ("b", 5)))

    def _fragments(self, index: int) -> tuple[str, ...]:
        return self.variables[index].values

    def degenerate(self, X: Any) -> NDArray[np.bool_]:
        return np.asarray(self.check(X)[:, 0] >= 3)


def test_degenerate_architectures_come_last() -> None:
    half = _Half()
    made = searcher("default", half, 2, seed=0)
    X = np.concatenate([_asked(made) for _ in range(30)])
    assert len({x.tobytes() for x in X}) == 30
    assert (X[:15, 0] < 3).all()
    with pytest.raises(ExhaustedError):
        made.ask()


def _asked(made: Any) -> NDArray[Any]:
    X = made.ask(1)
    made.tell(X, np.stack([X.sum(axis=1), X[:, 0] - X[:, 1]], axis=1).astype(np.float64))
    return np.asarray(X)


def test_a_reference_point_keeps_the_search_inside_a_box(problem: Problem) -> None:
    corner = "20,4,3"
    inside = []
    for reference in ("", corner):
        made = DefaultSearcher(problem.space, 3, seed=0, reference=reference)
        F = problem.evaluate(_search(problem, made, 30))[12:]
        inside.append((F < [20.0, 4.0, 3.0]).all(axis=1).mean())
    assert inside[1] > inside[0] + 0.15


@pytest.mark.parametrize("reference", ["1", "1,2,3", "1,x", "1,inf", 3, "1;2"])
def test_an_impossible_reference_is_refused(reference: Any) -> None:
    with pytest.raises(SearcherError, match="2 numbers with commas"):
        searcher("default", space("nb201"), 2, reference=reference)


def test_a_reference_may_be_open_in_one_objective() -> None:
    made = DefaultSearcher(space("nb201"), 2, reference="20, -")
    assert made._corner[0] == 20.0 and np.isnan(made._corner[1])


def test_an_architecture_that_is_told_twice_counts_with_its_mean() -> None:
    nb201 = space("nb201")
    made = DefaultSearcher(nb201, 2, seed=0)
    X = nb201.encode(["|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"])
    made.tell(X, [[1.0, 4.0]])
    made.tell(X, [[3.0, 2.0]])
    np.testing.assert_array_equal(made._archive.F, [[2.0, 3.0]])
    for _ in range(3):
        _asked(made)


def test_it_runs_with_the_core_install() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('sklearn', 'torch', 'gpytorch', 'pandas')))\n"
        "import nasbench_mo as nmo\n"
        "p = nmo.problem('nb201s-c10-flops-v1')\n"
        "print(len(nmo.run(p, 'default', budget=12)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "12", done.stderr


# ---------------------------------------------------------------------- known objectives, from problem to run


def test_a_problem_says_which_objectives_cost_nothing(problem: Problem) -> None:
    X = problem.space.sample(20, rng=np.random.default_rng(0))
    known = problem.known_objectives()
    assert list(known) == [1, 2]
    for j, column in known.items():
        np.testing.assert_allclose(column(X), problem.evaluate(X)[:, j])
    assert list(nmo.problem("nb201s-c10-params-v1").known_objectives()) == [1]
    assert list(nmo.problem("nb201-x-asic-v1").known_objectives()) == [1, 2, 3]


def test_a_term_may_say_otherwise(problem: Problem) -> None:
    terms = [dataclasses.replace(t, cheap=c) for t, c in zip(problem.terms, (True, None, False), strict=True)]
    made = Problem("other", search_space=problem.space, terms=terms)
    assert list(made.known_objectives()) == [0, 1]


def test_a_function_is_not_known() -> None:
    nb201 = space("nb201")
    made = Problem.from_function(
        "f",
        lambda X: X[:, :2].astype(np.float64),
        search_space=nb201,
        objectives=[Objective(name=n, unit="score", kind="modelled") for n in ("a", "b")],
    )
    assert made.known_objectives() == {}


def test_a_run_offers_known_objectives_and_records_them(problem: Problem, tmp_path: Any) -> None:
    columns = tuple(o.column for o in problem.objectives[1:])
    runs = {known: nmo.run(problem, "default", budget=14, known=known) for known in (True, False)}
    assert runs[True].identity.known_objectives == columns
    assert runs[False].identity.known_objectives == ()
    assert runs[True].archs != runs[False].archs
    for known, made in runs.items():
        path = tmp_path / f"{known}.parquet"
        made.save(path)
        assert nmo.Run.load(path).identity == made.identity
    indifferent = [nmo.run(problem, "random", budget=5, known=known) for known in (True, False)]
    assert indifferent[0].archs == indifferent[1].archs
    assert indifferent[0].identity == indifferent[1].identity


def test_a_run_without_known_objectives_is_written_as_before_there_were_any(problem: Problem) -> None:
    from nasbench_mo.experiment.storage import identity_from_dict, identity_to_dict

    old = identity_to_dict(nmo.run(problem, "random", budget=3).identity)
    assert "known_objectives" not in old
    assert identity_from_dict(old).known_objectives == ()


def test_a_searcher_that_was_told_before_keeps_what_it_was_offered(problem: Problem) -> None:
    made = searcher("default", problem.space, 3)
    X = problem.space.sample(3, rng=np.random.default_rng(0))
    made.tell(X, problem.evaluate(X))
    assert nmo.run(problem, made, budget=3).identity.known_objectives == ()
