"""Estimators: scikit-learn's contract, closed forms, slow oracles, refusals, and figures on real cells."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import kendalltau, norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor import feature_map
from nasbench_mo.predictor.estimators.boosted_linear import BoostedLinearRegressor
from nasbench_mo.predictor.estimators.conformal import ConformalRegressor
from nasbench_mo.predictor.estimators.ensemble import RankAverageEnsemble
from nasbench_mo.predictor.estimators.forest import ForestRegressor
from nasbench_mo.predictor.estimators.linear import LinearPlusResidual, LinearRegressor, column_groups
from nasbench_mo.predictor.estimators.targets import (
    TARGETS,
    Identity,
    LogTarget,
    RankGauss,
    TargetTransform,
    resolved_target,
    target_transform,
)
from nasbench_mo.predictor.estimators.xgb_estimator import XGBoostRegressor, default_parameters
from nasbench_mo.space import space

FAST_TREES = {"n_rounds": 60, "learning_rate": 0.2}


def made() -> list[Any]:
    """One small estimator of every kind and mode."""
    return [
        XGBoostRegressor(n_members=3, parameters=FAST_TREES),
        ForestRegressor(n_trees=10),
        ForestRegressor(n_trees=10, kind="random"),
        LinearRegressor(),
        LinearRegressor(robust=True),
        LinearRegressor(non_negative=True),
        LinearPlusResidual(residual=ForestRegressor(n_trees=10)),
        BoostedLinearRegressor(trees=FAST_TREES),
        BoostedLinearRegressor(trees={"n_rounds": 0}, target="identity", robust=True),
        RankAverageEnsemble([LinearRegressor(), ForestRegressor(n_trees=10)]),
        ConformalRegressor(LinearRegressor(), n_folds=3),
        ConformalRegressor(LinearRegressor(), n_folds=3, method="cv+"),
        ConformalRegressor(LinearRegressor(), method="split"),
    ]


def rows(n: int, *, seed: int = 0, noise: float = 0.05) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features and a positive target that is not linear in them."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 5))
    return X, np.exp(2 * X[:, 0] - X[:, 1] + (X[:, 2] > 0.5) + noise * rng.standard_normal(n))


@parametrize_with_checks([*made()[:2], *made()[3:11]])
def test_scikit_learns_contract(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", made(), ids=repr)
class TestEveryEstimator:
    def test_deviations_are_positive_and_do_not_depend_on_the_batch(self, estimator: Any) -> None:
        estimator.fit(*rows(60))
        X, _ = rows(20, seed=1)
        value, deviation = estimator.predict(X, return_std=True)
        assert (deviation > 0).all()
        np.testing.assert_allclose(estimator.predict(X), value, rtol=1e-12)
        alone = [estimator.predict(X[i : i + 1], return_std=True) for i in range(20)]
        np.testing.assert_allclose(np.concatenate([v for v, _ in alone]), value, rtol=1e-9)
        np.testing.assert_allclose(np.concatenate([d for _, d in alone]), deviation, rtol=1e-9)

    def test_arguments_are_not_modified_and_a_seed_repeats_itself(self, estimator: Any) -> None:
        X, y = rows(40)
        kept = X.copy(), y.copy()
        X.flags.writeable = y.flags.writeable = False
        first = estimator.fit(X, y).predict(X, return_std=True)
        second = estimator.fit(X, y).predict(X, return_std=True)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(X, kept[0])
        np.testing.assert_array_equal(y, kept[1])

    def test_errors_are_the_packages_own(self, estimator: Any) -> None:
        X, y = rows(20)
        with pytest.raises(NotFittedError):
            type(estimator)().predict(X)
        with pytest.raises(SpecError, match="there is nothing to learn"):
            estimator.fit(X, np.full(20, 3.0))
        with pytest.raises(SpecError, match="NaN"):
            estimator.fit(np.where(X == X[3, 2], np.nan, X), y)
        with pytest.raises(SpecError, match="NaN"):
            estimator.fit(X, np.where(y == y[3], np.nan, y))
        with pytest.raises(SpecError, match="features"):
            estimator.fit(X, y).predict(X[:, :3])


# ---------------------------------------------------------------------- target transforms

finite = st.floats(-1e6, 1e6).map(lambda v: round(v, 3))
targets = st.lists(finite, min_size=2, max_size=40).filter(lambda y: len(set(y)) > 1)


@settings(deadline=None)
@given(y=targets, queries=st.lists(finite, min_size=1, max_size=10))
def test_rank_gauss_is_increasing_and_its_own_inverse(y: list[float], queries: list[float]) -> None:
    target = RankGauss().fit(y)
    points = np.unique(queries)
    z = target.forward(points)
    assert (np.diff(z) > 0).all()
    np.testing.assert_allclose(target.backward(z), points, rtol=1e-6, atol=1e-6 * np.ptp(y))


def test_rank_gauss_equals_normal_quantiles_of_mid_ranks() -> None:
    y = np.array([3.0, 1.0, 3.0, 7.0, 5.0])
    ranks = [2.5, 1.0, 2.5, 5.0, 4.0]
    np.testing.assert_allclose(RankGauss().fit(y).forward(y), [norm.ppf((r - 0.5) / 5) for r in ranks])


def test_rank_gauss_goes_on_beyond_the_training_targets_at_the_slope_of_the_tail() -> None:
    # of normal quantiles themselves the transform is the identity, of a multiple of them the multiple
    normal = norm.ppf((np.arange(1, 100) - 0.5) / 99)
    np.testing.assert_allclose(RankGauss().fit(normal).forward([-5, -4, 4, 5]), [-5, -4, 4, 5])
    np.testing.assert_allclose(RankGauss().fit(3 * normal).backward([-5, -4, 4, 5]), [-15, -12, 12, 15])


def test_the_deviation_is_half_the_width_of_the_central_interval() -> None:
    value, deviation = LogTarget().fit([1.0, 2.0]).inverse([0.7], [0.3])
    assert value == pytest.approx(np.exp(0.7))
    assert deviation == pytest.approx(np.exp(0.7) * np.sinh(0.3))
    value, deviation = Identity().fit([1.0, 2.0]).inverse([0.7], [0.3])
    assert (value, deviation) == (pytest.approx(0.7), pytest.approx(0.3))
    target = RankGauss().fit(np.random.default_rng(0).exponential(size=300))
    value, deviation = target.inverse([0.4], [1.1])
    assert deviation == pytest.approx((target.backward([1.5]) - target.backward([-0.7])) / 2)
    assert value == pytest.approx(target.backward([0.4]))


@pytest.mark.parametrize("kind", TARGETS)
def test_a_transform_survives_json(kind: str) -> None:
    y = np.random.default_rng(0).exponential(size=30)
    target = target_transform(kind).fit(y)
    copy = TargetTransform.from_state(json.loads(json.dumps(target.state())))
    assert type(copy) is type(target)
    z = np.linspace(-4, 4, 50)
    np.testing.assert_array_equal(copy.backward(z), target.backward(z))
    np.testing.assert_array_equal(copy.forward(y), target.forward(y))


@pytest.mark.parametrize("kind", [*TARGETS, "auto"])
def test_targets_that_nothing_can_be_learnt_from_are_refused(kind: str) -> None:
    for bad, message in (
        ([1.0, np.nan], "row 1 is nan"),
        ([1.0, 2.0, np.inf], "row 2 is inf"),
        ([2.0, 2.0], "nothing to learn"),
        ([1.0], "at least two targets"),
        ([[1.0, 2.0]], "at least two targets"),
    ):
        with pytest.raises(SpecError, match=message):
            resolved_target(kind, bad)


def test_the_logarithm_is_taken_of_positive_targets_only() -> None:
    with pytest.raises(SpecError, match=r"positive values; row 1 is 0\.0"):
        LogTarget().fit([1.0, 0.0])
    assert isinstance(resolved_target("auto", [1.0, 0.5]), LogTarget)
    assert isinstance(resolved_target("auto", [1.0, 0.0]), Identity)


def test_unknown_transforms_and_states_are_refused() -> None:
    with pytest.raises(SpecError, match="Did you mean 'rank-gauss'"):
        target_transform("rank_gauss")
    with pytest.raises(SpecError, match="call fit"):
        RankGauss().forward([1.0])
    for state in ({}, [], {"kind": "rank-gauss"}, {"kind": "rank-gauss", "values": [1, 1], "scores": [0, 1]}):
        with pytest.raises(SpecError):
            TargetTransform.from_state(state)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- linear


def test_an_exact_table_is_recovered() -> None:
    X = np.random.default_rng(0).integers(0, 6, (50, 4)).astype(float)
    for model in (LinearRegressor(), LinearRegressor(robust=True), LinearRegressor(non_negative=True)):
        model.fit(X, X @ [3.0, 0.0, 1.0, 2.0] + 5.0)
        np.testing.assert_allclose(model.coef_, [3.0, 0.0, 1.0, 2.0], atol=1e-4)
        assert model.intercept_ == pytest.approx(5.0, abs=1e-3)


@pytest.mark.parametrize("robust", [False, True])
def test_leave_one_out_residuals_equal_those_of_refitting(robust: bool) -> None:
    X, y = rows(25)
    model = LinearRegressor(robust=robust).fit(X, y)
    if robust:
        return  # the weights would be chosen anew: only the plain form is exact, and its code is shared
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    design = np.hstack([np.ones((25, 1)), scaled])
    ridge = np.diag([0.0] + [model.penalty_ * 25] * 5)
    for i in range(25):
        others = np.arange(25) != i
        solution = np.linalg.solve(design[others].T @ design[others] + ridge, design[others].T @ y[others])
        assert model.loo_residuals_[i] == pytest.approx(y[i] - design[i] @ solution)


def test_the_penalty_minimises_generalised_cross_validation() -> None:
    X, y = rows(30, noise=1.0)
    penalties = [1e-4, 1e-2, 1.0]
    scaled = np.hstack([np.ones((30, 1)), (X - X.mean(axis=0)) / X.std(axis=0)])
    criteria = []
    for penalty in penalties:
        hat = scaled @ np.linalg.solve(scaled.T @ scaled + np.diag([0.0] + [penalty * 30] * 5), scaled.T)
        criteria.append(np.mean((y - hat @ y) ** 2) / (1 - np.trace(hat) / 30) ** 2)
    assert LinearRegressor(penalties=penalties).fit(X, y).penalty_ == penalties[int(np.argmin(criteria))]


def test_stray_measurements_do_not_move_the_robust_fit() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, (80, 3)).astype(float)
    y = X @ [1.0, 2.0, 3.0] + 0.01 * rng.standard_normal(80)
    y[:8] += 50.0
    plain, robust = LinearRegressor().fit(X, y), LinearRegressor(robust=True).fit(X, y)
    assert np.abs(robust.coef_ - [1, 2, 3]).max() < 0.01 < np.abs(plain.coef_ - [1, 2, 3]).max()


def test_costs_are_not_negative_on_request_and_cost_least_error_so() -> None:
    X = np.random.default_rng(0).random((60, 3))
    y = X @ [2.0, -1.0, 1.0] + 4.0
    model = LinearRegressor(non_negative=True).fit(X, y)
    assert (model.coef_ >= 0).all()
    assert model.coef_[1] == 0
    best = LinearRegression(positive=True).fit(X, y)
    assert np.mean((model.predict(X) - y) ** 2) == pytest.approx(np.mean((best.predict(X) - y) ** 2), rel=1e-3)


def test_intervals_of_the_linear_model_hold_their_share() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(40):
        X = rng.random((30, 3))
        y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(30)
        model = LinearRegressor().fit(X[:25], y[:25])
        value, deviation = model.predict(X[25:], return_std=True)
        inside.append(np.abs(y[25:] - value) <= 1.645 * deviation)
    assert abs(np.mean(inside) - 0.9) < 0.07  # 200 rows: three standard errors


def test_the_convention_with_the_least_leave_one_out_error_is_kept() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, (60, 6)).astype(float)
    names = ["live_a", "live_b", "live_c", "all_a", "all_b", "all_c"]
    groups = column_groups(names, ["live_", "all_"])
    for name, columns in groups.items():
        y = X[:, columns] @ [1.0, 5.0, 2.0] + 0.1 * rng.standard_normal(60)
        model = LinearPlusResidual(groups=groups).fit(X, y)
        assert model.group_ == name
        assert model.group_errors_[name] == min(model.group_errors_.values()) < 0.2
        alone = LinearRegressor(robust=True).fit(X[:, columns], y)
        np.testing.assert_allclose(model.predict(X), alone.predict(X[:, columns]))


def test_a_residual_is_believed_where_it_is_structure_and_not_where_it_is_noise() -> None:
    rng = np.random.default_rng(0)
    X = rng.random((150, 3))
    straight = X @ [3.0, 1.0, 2.0]
    bumps = np.sin(12 * X[:, 0])
    noise = rng.standard_normal(150)
    forest = ForestRegressor(target="identity", n_trees=50, max_features=1.0)
    found = LinearPlusResidual(residual=forest).fit(X, straight + bumps)
    assert found.residual_share_ > 0.7
    base_alone = LinearPlusResidual().fit(X, straight + bumps)
    queries = rng.random((200, 3))
    truth = queries @ [3.0, 1.0, 2.0] + np.sin(12 * queries[:, 0])
    assert np.std(found.predict(queries) - truth) < 0.6 * np.std(base_alone.predict(queries) - truth)
    assert found.predict(queries, return_std=True)[1].mean() < base_alone.predict(queries, return_std=True)[1].mean()
    assert LinearPlusResidual(residual=forest).fit(X, straight + noise).residual_share_ == 0
    exact = LinearPlusResidual(residual=forest).fit(X, straight)
    assert exact.residual_share_ == 0  # rounding is no structure


def test_a_gain_within_its_standard_error_is_not_believed() -> None:
    believed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.random((60, 3))
        y = 3 * X[:, 0] + rng.standard_normal(60)
        model = LinearPlusResidual(residual=LinearRegressor(), groups={"a": [0]}, residual_columns=[1, 2])
        believed += model.set_params(random_state=seed).fit(X, y).residual_share_ > 0
    assert believed <= 3  # 2; without the comparison 6


def test_wrong_parameters_of_linear_models_are_refused() -> None:
    X, y = rows(20)
    for model, message in (
        (LinearRegressor(robust=True, non_negative=True), "cannot be combined"),
        (LinearRegressor(penalties=[]), "list of positive numbers"),
        (LinearRegressor(penalties=[0.0]), "list of positive numbers"),
        (LinearPlusResidual(groups={}), "names no column"),
        (LinearPlusResidual(groups={"a": []}), "must list column indices"),
        (LinearPlusResidual(groups={"a": [5]}), "has column 5; there are 5"),
        (LinearPlusResidual(residual=LinearRegressor(), residual_columns=[0.5]), "must list column indices"),
        (LinearPlusResidual(n_folds=1), "n_folds must be an integer of at least 2"),
    ):
        with pytest.raises(SpecError, match=message):
            model.fit(X, y)
    with pytest.raises(SpecError, match="no column begins with 'used_'"):
        column_groups(["live_a"], ["used_"])


# ---------------------------------------------------------------------- trees


def test_a_forests_deviation_is_the_total_variance_over_trees_and_leaves() -> None:
    X, y = rows(80)
    model = ForestRegressor(kind="random", target="identity", n_trees=7, min_samples_leaf=5, random_state=3).fit(X, y)
    queries, _ = rows(10, seed=1)
    value, deviation = model.predict(queries, return_std=True)
    forest = RandomForestRegressor(7, min_samples_leaf=5, max_features=0.3, random_state=3).fit(X, y)
    np.testing.assert_allclose(value, forest.predict(queries))
    for i, query in enumerate(queries):
        each = []
        for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
            leaf = tree.apply(query[None].astype(np.float32))
            members = y[drawn[tree.apply(X[drawn].astype(np.float32)) == leaf]]
            each.append((members.mean(), members.var()))
        means, variances = np.array(each).T
        assert deviation[i] ** 2 == pytest.approx(means.var() + variances.mean())


def test_every_row_is_kept_from_two_boosters(monkeypatch: pytest.MonkeyPatch) -> None:
    from nasbench_mo.predictor.estimators import xgb_estimator

    X, y = rows(23)
    seen: list[set[float]] = []

    def remember(features: Any, z: Any, *, parameters: Any, seed: int) -> Any:
        seen.append(set(z.tolist()))
        return original(features, z, parameters=parameters, seed=seed)

    original = xgb_estimator._boosted
    monkeypatch.setattr(xgb_estimator, "_boosted", remember)
    XGBoostRegressor(target="identity", n_members=5, parameters=FAST_TREES).fit(X, y)
    assert len(seen) == 5
    assert [sum(value not in found for found in seen) for value in y.tolist()] == [2] * 23


def test_the_boosters_deviation_matches_their_errors_and_follows_them() -> None:
    X, y = rows(300, noise=0.3)
    queries, truth = rows(1000, seed=1, noise=0.3)
    value, deviation = XGBoostRegressor(parameters=FAST_TREES, n_members=6).fit(X, y).predict(queries, return_std=True)
    error = np.abs(truth - value)
    assert 0.82 < (error <= 1.645 * deviation).mean() < 0.96
    # on a log target the error is relative, so it grows with the value
    assert error[deviation > np.median(deviation)].mean() > 1.3 * error[deviation < np.median(deviation)].mean()


def test_boosters_take_the_defaults_of_their_number_of_rows_and_overrides() -> None:
    assert default_parameters(50) != default_parameters(2000) != default_parameters(11000)
    assert set(default_parameters(50)) == set(default_parameters(11000))
    X, y = rows(30)
    model = XGBoostRegressor(parameters={"n_rounds": 3}, n_members=4).fit(X, y)
    assert [booster.num_boosted_rounds() for booster in model.members_] == [3] * 4


def test_wrong_parameters_of_trees_are_refused() -> None:
    X, y = rows(20)
    for model, message in (
        (XGBoostRegressor(n_members=2), "n_members must be an integer of at least 3"),
        (XGBoostRegressor(random_state=-1), "random_state must be an integer of at least 0"),
        (XGBoostRegressor(target="logarithm"), "unknown target 'logarithm'"),
        (XGBoostRegressor(parameters={"n_rounds": 0}), "n_rounds must be an integer of at least 1"),
        (ForestRegressor(kind="wild"), "must be 'extra' or 'random'"),  # type: ignore[arg-type]
        (ForestRegressor(max_features=0.0), "share of the columns"),
        (ForestRegressor(n_trees=True), "n_trees must be an integer"),
    ):
        with pytest.raises(SpecError, match=message):
            model.fit(X, y)


# ---------------------------------------------------------------------- ensemble


class Told(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that predicts a multiple of its first feature, with a given deviation."""

    def __init__(self, deviation: float = 0.5, factor: float = 1.0) -> None:
        self.deviation = deviation
        self.factor = factor

    def fit(self, X: Any, y: Any) -> Told:
        self.fitted_ = True
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        value = self.factor * np.asarray(X)[:, 0]
        return (value, np.full(len(value), self.deviation)) if return_std else value


def test_one_member_alone_is_itself() -> None:
    X, y = rows(60)
    member = ForestRegressor(n_trees=10).fit(X, y)
    ensemble = RankAverageEnsemble([member]).fit(X, y)
    np.testing.assert_allclose(ensemble.predict(X), member.predict(X))


def test_the_average_is_of_scores_and_the_deviation_of_their_mixture() -> None:
    # targets whose rank-Gauss scores are known: y = exp(z) at normal quantiles
    z = norm.ppf((np.arange(1, 100) - 0.5) / 99)
    y = np.exp(z)
    ensemble = RankAverageEnsemble([LinearRegressor(), Told(0.2, 1.5)], weights=[1, 3]).fit(y[:, None], y)
    query = y[[10, 50, 90]][:, None]
    scores = RankGauss().fit(y)
    line, line_deviation = LinearRegressor().fit(y[:, None], y).predict(query, return_std=True)
    told = 1.5 * query[:, 0]
    first, second = scores.forward(line), scores.forward(told)
    mean = 0.25 * first + 0.75 * second
    pairs = ((line, line_deviation), (told, 0.2))
    own = [(scores.forward(v + d) - scores.forward(v - d)) / 2 for v, d in pairs]
    variance = 0.25 * (own[0] ** 2 + (first - mean) ** 2) + 0.75 * (own[1] ** 2 + (second - mean) ** 2)
    value, deviation = ensemble.predict(query, return_std=True)
    np.testing.assert_allclose(value, scores.backward(mean))
    np.testing.assert_allclose(
        deviation, (scores.backward(mean + np.sqrt(variance)) - scores.backward(mean - np.sqrt(variance))) / 2
    )


def test_members_may_be_pipelines_and_may_lack_a_deviation() -> None:
    X, y = rows(40)
    ensemble = RankAverageEnsemble(
        [make_pipeline(StandardScaler(), GaussianProcessRegressor(alpha=0.1)), LinearRegression()]
    ).fit(X, y)
    value, deviation = ensemble.predict(X, return_std=True)
    assert (deviation > 0).all()
    assert kendalltau(value, y).statistic > 0.8


def test_members_are_cloned_and_wrong_ones_refused() -> None:
    X, y = rows(20)
    member = LinearRegressor()
    RankAverageEnsemble([member]).fit(X, y)
    assert not hasattr(member, "coef_")
    with pytest.raises(SpecError, match="at least one member"):
        RankAverageEnsemble([]).fit(X, y)
    for weights in ([1.0, 2.0], [-1.0], [0.0], [np.nan]):
        with pytest.raises(SpecError, match="expected 1 weights"):
            RankAverageEnsemble([member], weights=weights).fit(X, y)


# ---------------------------------------------------------------------- the package, and real cells


def test_asking_for_one_estimator_loads_no_other() -> None:
    script = (
        "import sys; import nasbench_mo.predictor.estimators as e; assert 'sklearn' not in sys.modules;"
        "e.LinearRegressor;"
        "print(sorted(m for m in ('torch', 'gpytorch', 'xgboost', 'sklearn') if m in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found == "['sklearn']\n"


def test_an_unknown_estimator_is_an_attribute_error() -> None:
    from nasbench_mo.predictor import estimators

    with pytest.raises(AttributeError, match="has no attribute 'Forest'"):
        estimators.Forest  # noqa: B018
    assert dir(estimators) == sorted(estimators.__all__)


def measured(shared: Path, *, file: str, column: str) -> NDArray[np.float64]:
    """A published column in the order of the space's codes, (15625,)."""
    nb201 = space("nb201")
    with np.load(shared / "nasbench201" / "nasbench201.npz") as data:
        codes = nb201.codes(nb201.encode([arch.decode() for arch in data["arch_str"]]))
    with np.load(shared / file) as data:
        values = np.empty(len(codes))
        values[codes] = data[column]
    return values


@pytest.mark.parametrize(
    ("device", "group", "least"),
    [("2080ti_1", "all_", 0.865), ("gold_6226", "all_", 0.92), ("raspi4", "used_", 0.85), ("pixel3", "used_", 0.86)],
)
def test_latency_from_a_hundred_measurements(shared: Path, device: str, group: str, least: float) -> None:
    latency = measured(shared, file="help-latency/help_nasbench201.npz", column=f"lat_{device}")
    counts = feature_map("nb201-counts-v1")
    X = counts.compute(space("nb201").enumerate())
    groups = column_groups(counts.columns, ["live_", "used_", "all_"])
    order = np.random.default_rng(0).permutation(len(X))
    train, rest = order[:100], order[100:3100]
    model = LinearPlusResidual(groups=groups, residual=ForestRegressor(target="identity", n_trees=30))
    model.fit(X[train], latency[train])
    assert model.group_ == group
    assert kendalltau(model.predict(X[rest]), latency[rest]).statistic > least


def test_accuracy_from_a_hundred_cells(shared: Path) -> None:
    error = 100 - measured(shared, file="nasbench201/nasbench201.npz", column="c10_test_200_mean")
    X = feature_map("nb201-graph-v2").compute(space("nb201").enumerate())
    order = np.random.default_rng(0).permutation(len(X))
    train, rest = order[:100], order[100:3100]
    value, deviation = XGBoostRegressor(n_members=5).fit(X[train], error[train]).predict(X[rest], return_std=True)
    assert kendalltau(value, error[rest]).statistic > 0.78
    assert 0.8 < (np.abs(value - error[rest]) <= 1.645 * deviation).mean() < 0.98
