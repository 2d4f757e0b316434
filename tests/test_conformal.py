"""Conformal intervals: coverage by simulation and on real cells, a slow oracle of each method, groups, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor import feature_map
from nasbench_mo.predictor.estimators.conformal import ConformalRegressor, Method
from nasbench_mo.predictor.estimators.forest import ForestRegressor
from nasbench_mo.predictor.estimators.linear import LinearRegressor
from nasbench_mo.space import space


class MeanOfTraining(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts the training mean; its deviation is the first feature, right or wrong."""

    def fit(self, X: Any, y: Any) -> MeanOfTraining:
        self.mean_ = float(np.mean(y))
        self.rows_ = {float(value) for value in np.asarray(y)}
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        value = np.full(len(X), self.mean_)
        return (value, np.asarray(X, dtype=np.float64)[:, 0]) if return_std else value


def rows(n: int, *, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line with skewed noise that grows with the first feature."""
    X = rng.random((n, 2)) + 0.1
    return X, X @ [1.0, 2.0] + X[:, 0] * (rng.exponential(size=n) - 1.0)


def brute_force(model: ConformalRegressor, X: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
    """Bounds of every query by the definitions, from the fitted models and their scores."""
    n = len(model.scores_)
    rank = int(np.ceil(model.coverage * (n + 1)))
    lowers, uppers = [], []
    for query in X:
        below, above = [], []
        for score, which in zip(model.scores_, model._model_of_score, strict=True):
            used = model._models[which] if len(model._models) > 1 else model._models[0]
            value, deviation = used.predict(query[None], return_std=True)
            below.append(float(value[0] - score * deviation[0]))
            above.append(float(value[0] + score * deviation[0]))
        uppers.append(sorted(above)[rank - 1])
        lowers.append(sorted(below, reverse=True)[rank - 1])
    return np.array(lowers), np.array(uppers)


@pytest.mark.parametrize("method", ["split", "cv", "cv+"])
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_intervals_equal_those_of_the_definition(method: Method, coverage: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rows(60, rng=rng)
    model = ConformalRegressor(LinearRegressor(), method=method, coverage=coverage, n_folds=4, calibration=0.4)
    model.fit(X, y)
    queries, _ = rows(7, rng=rng)
    np.testing.assert_allclose(model.predict_interval(queries), brute_force(model, queries, y))


def test_cv_plus_in_pieces_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    model = ConformalRegressor(LinearRegressor(), method="cv+", n_folds=4).fit(*rows(60, rng=rng))
    queries, _ = rows(20, rng=rng)
    whole = model.predict_interval(queries)
    monkeypatch.setattr("nasbench_mo.predictor.estimators.conformal._CELLS", 100)
    np.testing.assert_array_equal(model.predict_interval(queries), whole)


@pytest.mark.parametrize("method", ["split", "cv", "cv+"])
def test_scores_are_of_models_that_had_not_seen_the_row(method: Method) -> None:
    X, y = rows(40, rng=np.random.default_rng(0))
    told = MeanOfTraining()
    model = ConformalRegressor(told, method=method, n_folds=5).fit(X, y)
    expected = set()
    for fitted in model._models if method != "cv" else []:
        expected |= {round(abs(v - fitted.mean_) / X[i, 0], 9) for i, v in enumerate(y) if v not in fitted.rows_}
    if method == "cv":  # the one model has seen every row: the scores must not be its own residuals
        assert model.estimator_.rows_ == set(y.tolist())
        assert not np.allclose(np.sort(model.scores_), np.sort(np.abs(y - y.mean()) / X[:, 0]))
        expected = {round(s, 9) for s in ConformalRegressor(told, method="cv+", n_folds=5).fit(X, y).scores_}
    assert {round(s, 9) for s in model.scores_} == expected
    assert len(model.scores_) == (8 if method == "split" else 40)


@pytest.mark.parametrize("method", ["split", "cv", "cv+"])
def test_coverage_is_the_stated_one_on_average_over_draws(method: Method) -> None:
    rng = np.random.default_rng(0)
    inside = []
    for seed in range(120):
        X, y = rows(60, rng=rng)
        model = ConformalRegressor(LinearRegressor(), method=method, n_folds=6, random_state=seed).fit(X, y)
        queries, truth = rows(50, rng=rng)
        lower, upper = model.predict_interval(queries)
        inside.append(np.mean((lower <= truth) & (truth <= upper)))
    # split: between 0.9 and 0.9 + 1 / (n + 1), here 12 calibration rows; standard error of the mean about 0.006
    least, most = {"split": (0.885, 0.99), "cv": (0.87, 0.93), "cv+": (0.885, 0.95)}[method]
    assert least < np.mean(inside) < most


def test_normalised_intervals_are_wide_where_the_deviation_is() -> None:
    X, y = rows(100, rng=np.random.default_rng(0))
    model = ConformalRegressor(MeanOfTraining(), method="split").fit(X, y)
    lower, upper = model.predict_interval(X)
    np.testing.assert_allclose((upper - lower) / X[:, 0], (upper - lower)[0] / X[0, 0])


def test_the_deviation_has_the_width_of_the_interval() -> None:
    X, y = rows(100, rng=np.random.default_rng(0))
    for coverage in (0.6, 0.9):
        model = ConformalRegressor(LinearRegressor(), coverage=coverage).fit(X, y)
        value, deviation = model.predict(X, return_std=True)
        lower, upper = model.predict_interval(X)
        np.testing.assert_allclose(2 * norm.ppf((1 + coverage) / 2) * deviation, upper - lower)
        np.testing.assert_allclose((lower + upper) / 2, value)
        np.testing.assert_array_equal(value, model.estimator_.predict(X))


def test_too_few_scores_for_the_coverage_give_infinite_intervals() -> None:
    X, y = rows(8, rng=np.random.default_rng(0))
    lower, upper = ConformalRegressor(LinearRegressor()).fit(X, y).predict_interval(X)  # 9 scores would do
    assert np.isneginf(lower).all()
    assert np.isposinf(upper).all()
    X, y = rows(9, rng=np.random.default_rng(0))
    assert np.isfinite(ConformalRegressor(LinearRegressor(), n_folds=3).fit(X, y).predict_interval(X)).all()


@pytest.mark.parametrize("method", ["split", "cv", "cv+"])
def test_groups_are_never_split_and_calibrate_with_one_row_each(method: Method) -> None:
    rng = np.random.default_rng(0)
    X, y = rows(90, rng=rng)
    groups = rng.integers(0, 30, 90)
    names = np.array([f"group {g}" for g in groups])
    model = ConformalRegressor(MeanOfTraining(), method=method, n_folds=5, calibration=0.3)
    model.fit(X, y, groups=names)
    present = len(set(groups))
    assert len(model.scores_) == (round(0.3 * present) if method == "split" else present)
    for fitted in model._models if method != "cv" else []:
        seen = {g for g, value in zip(groups, y, strict=True) if value in fitted.rows_}
        unseen = {g for g, value in zip(groups, y, strict=True) if value not in fitted.rows_}
        assert unseen
        assert not seen & unseen


def test_auto_cross_validates_few_groups_and_splits_many() -> None:
    rng = np.random.default_rng(0)
    X, y = rows(1200, rng=rng)
    assert ConformalRegressor(LinearRegressor()).fit(X, y).method_ == "split"
    assert ConformalRegressor(LinearRegressor()).fit(X, y, groups=np.arange(1200) // 2).method_ == "cv"
    assert len(ConformalRegressor(LinearRegressor()).fit(X, y).scores_) == 240


def test_wrong_parameters_are_refused() -> None:
    X, y = rows(20, rng=np.random.default_rng(0))
    for model, message in (
        (ConformalRegressor(coverage=1.0), "shares between 0 and 1"),
        (ConformalRegressor(calibration=0.0), "shares between 0 and 1"),
        (ConformalRegressor(method="jackknife"), "must be one of"),  # type: ignore[arg-type]
        (ConformalRegressor(n_folds=1), "n_folds must be an integer of at least 2"),
    ):
        with pytest.raises(SpecError, match=message):
            model.fit(X, y)
    with pytest.raises(SpecError, match="expected 20 groups"):
        ConformalRegressor().fit(X, y, groups=[1, 2])
    with pytest.raises(SpecError, match="at least two groups"):
        ConformalRegressor().fit(X, y, groups=np.zeros(20))


def test_ninety_percent_intervals_hold_on_held_out_topologies(shared: Path) -> None:
    nb201 = space("nb201")
    with np.load(shared / "nasbench201" / "nasbench201.npz") as data:
        cells = nb201.encode([arch.decode() for arch in data["arch_str"]])
        error = 100.0 - data["c10_test_200_mean"].astype(np.float64)
    sound = np.flatnonzero(~nb201.degenerate(cells))
    X, topology = feature_map("nb201-graph-v2").compute(cells), nb201.equivalence_class(cells)
    inside = []
    for seed in range(4):
        # one cell of every topology, in random order
        order = np.random.default_rng(seed).permutation(sound)
        order = order[np.sort(np.unique(topology[order], return_index=True)[1])]
        order = np.random.default_rng(seed).permutation(order)
        train, held_out = order[:400], order[400:2400]
        model = ConformalRegressor(ForestRegressor(n_trees=40), n_folds=5)
        model.fit(X[train], error[train], groups=topology[train])
        lower, upper = model.predict_interval(X[held_out])
        inside.append(np.mean((lower <= error[held_out]) & (error[held_out] <= upper)))
    assert 0.87 < np.mean(inside) < 0.93  # 400 scores a draw: standard error of the mean 0.0075
