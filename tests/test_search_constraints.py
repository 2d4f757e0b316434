"""Searchers under constraints and preferences: what they are told, what they find, and where it concentrates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmark_helpers import ERROR, LATENCY, opposed, toy_problem, toy_space
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import ObjectiveError, SearcherError, SpecError
from nasbench_mo.experiment import run_many
from nasbench_mo.experiment.constraint_handling import PenalisedValues
from nasbench_mo.experiment.preference import preference_options
from nasbench_mo.pareto import hypervolume, nondominated
from nasbench_mo.pareto.violation import bound_violation
from nasbench_mo.search import SEARCHERS, Searcher, searcher
from nasbench_mo.search.acquisition import expected_improvement
from nasbench_mo.search.candidates import Candidates
from nasbench_mo.search.default import DefaultSearcher
from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.truncated import Truncated, truncated
from nasbench_mo.space import space

pytestmark = pytest.mark.usefixtures("cache")

DEMO = "nb201s-c10-eyeriss-fpga-v1"


# ---------------------------------------------------------------------- values in which constraints show


def _dominates(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return bool((a <= b).all() and (a < b).any())


_SIZES = st.sampled_from([1e-6, 1.0, 1e9])


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 10_000), m=st.integers(1, 4), size=_SIZES, growth=st.sampled_from([1.0, 3.0, 1e3]))
def test_penalised_values_keep_debs_rules_whatever_comes_later(seed: int, m: int, size: float, growth: float) -> None:
    rng = np.random.default_rng(seed)
    penalised = PenalisedValues()
    F, violation, told = np.empty((0, m)), np.empty(0), np.empty((0, m))
    for i in range(4):  # later batches may lie far outside the first one's range
        batch = size * rng.choice([-1.0, 0.0, 1.0, 2.0, 5.0], size=(rng.integers(1, 6), m)) * growth**i
        bad = np.where(rng.random(len(batch)) < 0.5, 0.0, rng.choice([1e-9, 0.1, 2.0, 1e12], size=len(batch)))
        F, violation = np.vstack([F, batch]), np.append(violation, bad)
        told = np.vstack([told, penalised.told(batch, violation=bad)])
    assert np.isfinite(told).all()
    for i in range(len(F)):
        for j in range(len(F)):
            if violation[i] == 0 and violation[j] == 0:
                assert _dominates(told[i], told[j]) == _dominates(F[i], F[j])
            elif violation[i] == 0:
                assert (told[i] < told[j]).all()
            elif violation[i] > 0 and violation[j] > 0 and violation[i] <= violation[j]:
                assert (told[i] <= told[j]).all()
                assert (
                    violation[i] * (1 + 1e-6) + 1e-7 > violation[j] or violation[j] > 1e7 or (told[i] < told[j]).all()
                )


def test_feasible_values_in_the_first_range_are_told_as_they_are() -> None:
    penalised = PenalisedValues()
    F = np.array([[1.0, 10.0], [3.0, 30.0]])
    np.testing.assert_array_equal(penalised.told(F, violation=np.zeros(2)), F)
    later = np.array([[5.0, 50.0], [7.0, 1e9], [-9.0, 20.0]])
    told = penalised.told(later, violation=np.zeros(3))
    np.testing.assert_array_equal(told[0], [5.0, 50.0])
    np.testing.assert_allclose(told[1], [5.0 + 2 * 0.5, 70.0], rtol=1e-6)  # c + s r / (1 + r)
    np.testing.assert_array_equal(told[2], [-9.0, 20.0])
    np.testing.assert_allclose(penalised.told(later[:2], violation=np.array([1.0, np.inf])), [[10.0, 100.0], [11, 110]])


def test_penalised_values_of_nothing_and_of_equal_values() -> None:
    penalised = PenalisedValues()
    assert penalised.told(np.empty((0, 2)), violation=np.empty(0)).shape == (0, 2)
    told = penalised.told(np.array([[0.0, 5.0], [0.0, 5.0]]), violation=np.array([0.0, 0.5]))
    np.testing.assert_array_equal(told[0], [0.0, 5.0])
    assert (told[1] > told[0]).all()


class _Recorder(Searcher):
    """Random, and remembers what it is told and offered."""

    name = "recorder"
    wants_known = True

    def __init__(self, space: Any, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._rng = np.random.default_rng(seed)
        self.X: list[NDArray[Any]] = []
        self.F: list[NDArray[np.float64]] = []

    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample(n or 7, rng=self._rng)[:7]

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self.X.append(X)
        self.F.append(F)


class _Heeding(_Recorder):
    wants_constraints = True


def test_a_searcher_without_constraints_is_told_penalised_values_and_the_run_holds_the_true_ones() -> None:
    problem = nmo.problem(DEMO).constrained("latency_eyeriss_ms <= 4", "params <= 0.6")
    made = _Recorder(problem.space, 3)
    run = nmo.run(problem, made, budget=60)
    X, told = np.concatenate(made.X), np.concatenate(made.F)
    kept = problem.feasible(X)
    assert 0 < kept.sum() < len(X)
    np.testing.assert_array_equal(run.F, problem.evaluate(run.X))
    worst_kept, best_bad = told[kept].max(axis=0), told[~kept].min(axis=0)
    assert (worst_kept < best_bad).all()
    order = np.argsort(problem.violation(X)[~kept], kind="stable")
    assert (np.diff(told[~kept][order], axis=0) >= 0).all()
    assert made.known_objectives == () == run.identity.known_objectives  # known values are not what it is told


def test_a_searcher_with_constraints_is_told_the_truth_and_given_the_bounds() -> None:
    problem = nmo.problem(DEMO).constrained("latency_eyeriss_ms <= 4", "error >= 9", "params <= 0.6")
    made = _Heeding(problem.space, 3)
    nmo.run(problem, made, budget=30)
    X, told = np.concatenate(made.X), np.concatenate(made.F)
    np.testing.assert_array_equal(told, problem.evaluate(X))
    np.testing.assert_array_equal(made._upper, [np.inf, 4, np.inf])
    np.testing.assert_array_equal(made._lower, [9, -np.inf, -np.inf])
    np.testing.assert_array_equal(made._violation(X, told), problem.violation(X))
    assert made.known_objectives == (1, 2)


def test_a_searcher_that_was_told_before_needs_its_constraints_before() -> None:
    problem = nmo.problem(DEMO).constrained("latency_eyeriss_ms <= 4")
    X = problem.space.sample(3, rng=np.random.default_rng(0))
    for prepared in (False, True):
        made = _Heeding(problem.space, 3)
        if prepared:
            made.set_constraints(problem.constraint_set.upper)
        made.tell(X, problem.evaluate(X))
        if prepared:
            assert len(nmo.run(problem, made, budget=5)) == 5
        else:
            with pytest.raises(SearcherError, match="call set_constraints first"):
                nmo.run(problem, made, budget=5)


@pytest.mark.parametrize("values", [np.array([-1.0, 0.0]), np.zeros(3), np.array([np.nan, 0.0])])
def test_a_known_violation_is_checked(values: NDArray[Any]) -> None:
    made = searcher("nsga2", toy_space(4, 4), 2, population=2)
    made.set_constraints([np.inf, np.inf], known=lambda X: values)
    X = made.ask(2)
    with pytest.raises(SearcherError, match="known violation must be 2 values"):
        made.tell(X, opposed(X))
    with pytest.raises(SearcherError, match="must be a function"):
        searcher("nsga2", toy_space(4, 4), 2).set_constraints([1.0, 1.0], known=values)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- what is found


@pytest.mark.parametrize(
    "name", [n for n in SEARCHERS.names() if n not in ("tpe", "parego", "qlognehvi", "smac-forest")]
)
def test_every_searcher_runs_under_constraints(name: str) -> None:
    problem = toy_problem(6, 6, 6, 6).constrained("latency_ms <= 12", "error >= 8")
    run = nmo.run(problem, name, budget=30, seed=1)
    assert len(run) == 30
    np.testing.assert_array_equal(run.F, opposed(run.X.astype(int)))


#: 2.8 % of the architectures keep these: of 150 random ones four.
TIGHT = ("latency_eyeriss_ms <= 2.5", "latency_fpga_ms <= 2.2")


@pytest.mark.parametrize(
    ("name", "budget", "least", "share"),
    [
        ("random", 150, 1, 0.0),
        ("nsga2", 150, 10, 0.3),
        ("r-nsga2", 150, 10, 0.3),
        ("regularized-evolution", 150, 4, 0.3),
    ],
)
def test_a_tight_constraint_is_kept(name: str, budget: int, least: int, share: float) -> None:
    problem = nmo.problem(DEMO).constrained(*TIGHT)
    runs = run_many(DEMO, name, seeds=range(4), budget=budget, constraints=TIGHT)
    kept = [int((~r.infeasible & ~r.degenerate).sum()) for r in runs]
    assert np.mean(kept) >= least
    assert np.mean([r.hypervolume_share() for r in runs]) >= share
    for run in runs:
        assert problem.feasible(run.front().X).all()


@pytest.mark.parametrize("known", [True, False])
def test_the_default_searcher_keeps_constraints_known_or_not(known: bool) -> None:
    problem = nmo.problem(DEMO).constrained(*TIGHT, "params <= 0.6")
    run = nmo.run(problem, "default", budget=30, seed=0, known=known)
    late = run.infeasible[10:].mean()
    assert late == 0 if known else late < 0.5  # what is known beforehand is never evaluated in vain
    assert run.hypervolume_share() > 0.9
    free = nmo.run(nmo.problem(DEMO), "default", budget=30, seed=0, known=known)
    assert problem.feasible(free.X).mean() < (~run.infeasible).mean() - 0.15


def test_the_default_searcher_keeps_constraints_in_a_large_space() -> None:
    fbnet = space("fbnet")

    def far(X: NDArray[Any]) -> NDArray[np.float64]:
        return np.stack([((X - 2 * j) ** 2 % 17).sum(axis=1) / 10 for j in range(2)], axis=1).astype(np.float64)

    drawn = far(fbnet.sample(4000, rng=np.random.default_rng(0)))
    bound = float(np.quantile(drawn[:, 0], 0.01))
    made = DefaultSearcher(fbnet, 2, seed=0, batch=5)
    made.set_constraints([bound, np.inf])
    F = np.empty((0, 2))
    while len(F) < 60:
        X = made.ask()
        F = np.concatenate([F, far(X)])
        made.tell(X, F[-len(X) :])
    assert (F[30:, 0] <= bound).mean() > 0.3


def test_the_default_searcher_never_evaluates_what_a_column_beside_the_objectives_forbids() -> None:
    problem = nmo.problem("nb201s-c10-fpga-v1").constrained("params <= 0.25")  # a quarter of the architectures
    assert not nmo.run(problem, "default", budget=25, seed=0, known=False).infeasible.any()
    assert problem.feasible(nmo.run(nmo.problem("nb201s-c10-fpga-v1"), "default", budget=25, seed=0).X).mean() < 0.7


def test_the_default_searcher_values_what_keeps_the_bounds_alone() -> None:
    """Two candidates gain the same; one of them lies outside the bounds nine times in ten."""
    nb201 = space("nb201")
    X = nb201.from_codes([5, 6])
    candidates = Candidates(X=X, Z=np.zeros((2, 1)), known=np.empty((2, 0)))
    beliefs = [
        Marginals(mean=np.array([0.5, 0.9]), std=np.full(2, 0.1)),
        Marginals(mean=np.array([0.5, 0.1]), std=np.full(2, 0.1)),
    ]
    ratio = []
    for upper in (np.inf, 0.7):
        made = DefaultSearcher(nb201, 2, seed=0, reference="1.2,1.2")
        made.set_constraints([upper, np.inf])
        made._begin()
        made._archive.F = np.array([[0.6, 1.0]])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DefaultSearcher, "_beliefs", lambda self, _: beliefs)
            scores = made._scores(candidates, front=made._archive.F, open_=np.ones(2, dtype=bool))
        ratio.append(scores[1] / scores[0])
    assert ratio[1] < 0.3 * ratio[0]


def test_an_expected_point_outside_the_bounds_is_not_on_the_front() -> None:
    made = DefaultSearcher(space("nb201"), 2, seed=0)
    made.set_constraints([0.7, np.inf], lower=[-np.inf, 0.1])
    front = np.array([[0.6, 1.0]])
    np.testing.assert_array_equal(made._joined(front, np.array([0.8, 0.5])), front)
    np.testing.assert_array_equal(made._joined(front, np.array([0.5, 0.0])), front)
    assert len(made._joined(front, np.array([0.7, 0.1]))) == 2


def test_bounds_that_bound_nothing_change_nothing() -> None:
    problem = nmo.problem(DEMO)
    for name in ("default", "nsga2", "rvea"):
        free, made = (searcher(name, problem.space, 3, seed=3) for _ in range(2))
        made.set_constraints([np.inf] * 3)
        for _ in range(12):
            X = free.ask()
            np.testing.assert_array_equal(made.ask(), X)
            free.tell(X, problem.evaluate(X))
            made.tell(X, problem.evaluate(X))


def test_an_architecture_on_its_bound_is_as_good_as_one_below() -> None:
    """All that keep the bound lie on it: a reference point there would leave nothing to gain."""
    toy = toy_space(8, 8, 8)
    objectives = [ERROR, LATENCY]

    def whole(X: NDArray[Any]) -> NDArray[np.float64]:
        return np.stack([X[:, 1:].sum(axis=1) + 8.0 * (X[:, 0] < 4), 5.0 + (X[:, 0] >= 4)], axis=1)

    problem = Problem.from_function("t-v1", whole, search_space=toy, objectives=objectives)
    run = nmo.run(problem.constrained("latency_ms <= 5"), "default", budget=40, seed=0)
    assert run.front().F[0].tolist() == [8.0, 5.0]
    assert run.infeasible[20:].mean() < 0.5


# ---------------------------------------------------------------------- improvement within bounds

_BELIEFS = [
    Marginals(mean=np.array([0.5, 1.4]), std=np.array([0.3, 0.2])),
    Marginals(mean=np.array([-1.0, 0.2]), std=np.array([0.5, 0.3]), origin=0.1),
    Marginals.certain(np.array([0.4, 0.9])),
]


def _draws(belief: Marginals, *, n: int) -> NDArray[np.float64]:
    """(n, 2) values that the beliefs allow."""
    normal = np.random.default_rng(0).standard_normal((n, 2))
    shifted = belief.mean + normal * belief.std
    return shifted if belief.origin is None else belief.origin + np.exp(shifted)


@pytest.mark.parametrize("belief", _BELIEFS)
@pytest.mark.parametrize(("lower", "upper"), [(-np.inf, 0.9), (0.45, np.inf), (0.4, 0.9), (-np.inf, np.inf)])
def test_a_truncated_put_is_the_mean_over_draws(belief: Marginals, lower: float, upper: float) -> None:
    made = Truncated(belief=belief, lower=lower, upper=upper)
    levels = np.array([0.2, 0.42, 0.8, 1.3, 3.0])
    Y = _draws(belief, n=40_000)[:, :, None]
    inside = (lower <= Y) & (upper >= Y)
    np.testing.assert_allclose(made.put(levels), (np.maximum(levels - Y, 0) * inside).mean(axis=0), atol=0.01)
    np.testing.assert_allclose(made.below(levels), ((levels > Y) & inside).mean(axis=0), atol=0.01)
    np.testing.assert_allclose(made.inside(), inside.mean(axis=0)[:, 0], atol=0.01)


def test_without_bounds_truncation_changes_no_bit() -> None:
    levels = np.array([0.2, 0.8, 3.0])
    for belief in _BELIEFS:
        made = Truncated(belief=belief, lower=-np.inf, upper=np.inf)
        np.testing.assert_array_equal(made.put(levels), belief.put(levels))
        np.testing.assert_array_equal(made.below(levels), belief.below(levels))
        assert made.hopeful(1.0).all() and len(made) == 2


@pytest.mark.parametrize("m", [1, 2, 3])
def test_improvement_within_bounds_of_certain_candidates_is_theirs_if_they_keep_them(m: int) -> None:
    rng = np.random.default_rng(m)
    front, points, reference = rng.random((8, m)), rng.random((60, m)), np.full(m, 1.1)
    upper = np.full(m, 0.7)
    points[:5] = 0.7  # exactly on the bounds
    front = front[(front <= upper).all(axis=1)]
    beliefs = [Marginals.certain(points[:, j]) for j in range(m)]
    bounded = truncated(beliefs, lower=np.full(m, 0.05), upper=upper)
    found = expected_improvement(bounded, front=front, reference=reference)
    kept = ((points <= upper) & (points >= 0.05)).all(axis=1)
    base = hypervolume(front, reference=reference)
    gains = [hypervolume(np.vstack([front, p]), reference=reference) - base for p in points]
    np.testing.assert_allclose(found, np.where(kept, gains, 0.0), atol=1e-12)


# ---------------------------------------------------------------------- preferences


def test_a_preference_becomes_an_option_in_the_objectives_units() -> None:
    problem = nmo.problem(DEMO)
    assert preference_options(problem, "default", {"error": 8, "latency_fpga_ms": 2.5}) == {"reference": "8,-,2.5"}
    point = {"latency_eyeriss": 3.0, "error_percent": 8, "latency_fpga": 0.1}
    assert preference_options(problem, "r-nsga2", point) == {"aspiration": "8,3,0.1"}
    run = nmo.run(problem, "r-nsga2", budget=25, prefer=point)
    assert run.identity.searcher_options["aspiration"] == "8,3,0.1"  # so the run can be made again
    again = nmo.run(problem, searcher("r-nsga2", problem.space, 3, **run.identity.searcher_options), budget=25)
    assert again.archs == run.archs
    assert run_many(DEMO, "r-nsga2", seeds=[0], budget=25, prefer=point)[0].archs == run.archs


@pytest.mark.parametrize(
    ("name", "prefer", "error", "message"),
    [
        ("nsga2", {"error": 8}, SearcherError, r"'nsga2' takes no preference; 'r-nsga2' and 'default' do"),
        ("default", {"eror": 8}, ObjectiveError, "Did you mean 'error'"),
        ("default", {"latency_ms": 8}, ObjectiveError, "may be latency_eyeriss_ms or latency_fpga_ms"),
        ("default", {"latency_fpga_us": 8}, ObjectiveError, "in microseconds"),
        ("default", {"error": 8, "error_percent": 9}, ObjectiveError, "has a value already"),
        ("default", {"error": float("inf")}, SpecError, "finite number"),
        ("default", {"error": "8"}, SpecError, "finite number"),
        ("default", {}, SpecError, "names one of error_percent"),
        ("r-nsga2", {"error": 8}, SearcherError, "one for every objective"),
    ],
)
def test_a_preference_that_cannot_be_used_is_refused(name: str, prefer: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        nmo.run(nmo.problem(DEMO), name, budget=5, prefer=prefer)


def test_a_preference_is_not_for_a_searcher_that_was_made() -> None:
    problem = nmo.problem(DEMO)
    with pytest.raises(SearcherError, match="make this one with reference='8,-,-'"):
        nmo.run(problem, searcher("default", problem.space, 3), budget=5, prefer={"error": 8})


def _distance(run: nmo.Run, point: list[float]) -> float:
    """Mean distance of the later evaluations to a point, in ranges of the front."""
    facts = run.problem.manifest.score
    span = np.subtract(facts.nadir, facts.ideal)
    return float(np.linalg.norm((run.F[len(run) // 2 :] - point) / span, axis=1).mean())


@pytest.mark.parametrize("point", [[8.4, 6.0, 5.5], [12.0, 2.0, 2.0]])
def test_r_nsga2_crowds_where_it_is_asked_to(point: list[float]) -> None:
    prefer = dict(zip(("error", "latency_eyeriss", "latency_fpga"), point, strict=True))
    ours = run_many(DEMO, "r-nsga2", seeds=range(4), budget=200, prefer=prefer)
    plain = run_many(DEMO, "nsga2", seeds=range(4), budget=200)
    assert np.mean([_distance(r, point) for r in ours]) < 0.7 * np.mean([_distance(r, point) for r in plain])


def test_r_nsga2_serves_several_points_and_looks_for_a_compromise_without_any() -> None:
    problem = nmo.problem(DEMO)
    points = [[8.4, 6.0, 5.5], [12.0, 2.0, 2.0]]
    text = ";".join(",".join(map(str, p)) for p in points)
    made = nmo.run(problem, searcher("r-nsga2", problem.space, 3, seed=1, aspiration=text), budget=200)
    facts = problem.manifest.score
    span = np.subtract(facts.nadir, facts.ideal)
    for point in points:
        assert np.linalg.norm((made.front().F - point) / span, axis=1).min() < 0.25
    runs = {name: run_many(DEMO, name, seeds=range(3), budget=200) for name in ("r-nsga2", "nsga2")}
    ideal = list(facts.ideal)
    nearer, plain = (np.mean([_distance(r, ideal) for r in runs[name]]) for name in ("r-nsga2", "nsga2"))
    assert nearer < 0.9 * plain


@pytest.mark.parametrize("text", ["8", "8,x", "8,5,3", "8,inf", 8, "8,-", ";", "8,5;"])
def test_an_impossible_aspiration_is_refused(text: Any) -> None:
    with pytest.raises(SearcherError, match="aspiration must be 2 numbers"):
        searcher("r-nsga2", space("nb201"), 2, aspiration=text)


def test_a_preferred_region_holds_more_of_the_default_searchers_evaluations() -> None:
    box = [11.5, 4.0, 3.5]
    prefer = dict(zip(("error", "latency_eyeriss", "latency_fpga"), box, strict=True))
    problem = nmo.problem(DEMO)
    inside = [
        np.mean((nmo.run(problem, "default", budget=30, seed=0, prefer=wish).F[10:] <= box).all(axis=1))
        for wish in (prefer, None)
    ]
    assert inside[0] > inside[1] + 0.1


def test_r_nsga2_under_constraints_keeps_them() -> None:
    problem = nmo.problem(DEMO).constrained("latency_eyeriss_ms <= 3")
    run = nmo.run(problem, "r-nsga2", budget=150, prefer={"error": 9, "latency_eyeriss": 5, "latency_fpga": 3})
    late = run.F[100:]  # 4 % of all architectures keep the bound
    assert (bound_violation(late, upper=[np.inf, 3, np.inf]) == 0).mean() > 0.3
    assert nondominated(run.front().F).all()
