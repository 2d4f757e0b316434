"""Boosted trees with a log target: closed forms, calibration against a brute-force quantile, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.xgb import DEFAULT_PARAMETERS, MODEL_FILE, Z90, XGBoostPredictor

EXACT = {"learning_rate": 1.0, "subsample": 1.0, "colsample_bynode": 1.0, "min_child_weight": 0, "reg_lambda": 0.0}


def rows(n: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features and a positive target with noise whose tails are heavier than a normal distribution's."""
    rng = np.random.default_rng(seed)
    features = rng.random((n, 5)).astype(np.float32)
    y = np.exp(features[:, 0] * 2 - features[:, 1] + 0.05 * rng.standard_t(3, size=n))
    return features, y


def fitted(*, n_rounds: int = 40, seed: int = 0) -> XGBoostPredictor:
    return XGBoostPredictor(parameters={"n_rounds": n_rounds, "max_depth": 4}, seed=seed).fit(*rows(800))


def test_a_step_function_is_learnt_exactly() -> None:
    features = np.array([[0], [0], [1], [1], [2], [2]], dtype=np.float32)
    y = np.array([0.5, 0.5, 90.0, 90.0, 1000.0, 1000.0])
    model = XGBoostPredictor(parameters={**EXACT, "n_rounds": 3}).fit(features, y)
    np.testing.assert_allclose(model.predict(features), y, rtol=1e-5)


def test_two_equal_rows_get_their_geometric_mean() -> None:
    features = np.zeros((2, 1), dtype=np.float32)
    model = XGBoostPredictor(parameters={**EXACT, "n_rounds": 2}).fit(features, np.array([1.0, 100.0]))
    np.testing.assert_allclose(model.predict(features), [10.0, 10.0], rtol=1e-5)


def test_predictions_are_positive_and_better_than_the_median() -> None:
    features, y = rows(400, seed=1)
    value = np.asarray(fitted().predict(features))
    assert (value > 0).all()
    assert np.abs(value - y).mean() < 0.5 * np.abs(np.median(y) - y).mean()


def test_a_seed_repeats_itself_and_seeds_differ() -> None:
    features, _ = rows(50, seed=1)
    np.testing.assert_array_equal(fitted(seed=3).predict(features), fitted(seed=3).predict(features))
    assert not np.array_equal(fitted(seed=3).predict(features), fitted(seed=4).predict(features))


def test_a_row_alone_is_predicted_as_among_others() -> None:
    features, _ = rows(50, seed=1)
    model = fitted()
    whole = np.asarray(model.predict(features))
    assert [float(np.asarray(model.predict(features[i : i + 1]))[0]) for i in range(50)] == whole.tolist()


@pytest.mark.parametrize("n", [1, 2, 9, 10, 50])
def test_calibration_equals_the_brute_force_conformal_quantile(n: int) -> None:
    model, (features, y) = fitted(), rows(n, seed=5)
    model.calibrate(features, y)
    residuals = np.abs(y / np.asarray(model.predict(features)) - 1)
    # the least width that holds ceil(0.9 (n + 1)) of the n residuals, all of them where there are too few
    widths = [w for w in residuals if (residuals <= w).sum() >= min(n, np.ceil(0.9 * (n + 1)))]
    assert model.relative_sd * Z90 == pytest.approx(min(widths))


def test_intervals_of_heavy_tailed_noise_hold_their_share() -> None:
    model = fitted().calibrate(*rows(600, seed=5))
    features, y = rows(2000, seed=6)
    value, deviation = model.predict(features, return_std=True)
    # nominal 0.9; the calibration set of 600 and the judged set of 2000 have a standard error of 0.014 together
    assert abs((np.abs(y - value) <= Z90 * deviation).mean() - 0.9) < 0.045


def test_the_deviation_is_one_share_of_the_prediction() -> None:
    model = fitted().calibrate(*rows(100, seed=5))
    features, _ = rows(30, seed=6)
    value, deviation = model.predict(features, return_std=True)
    np.testing.assert_array_equal(value, model.predict(features))
    np.testing.assert_allclose(deviation / value, model.relative_sd)
    assert model.relative_sd > 0


def test_a_stored_model_predicts_the_same(tmp_path: Path) -> None:
    model = fitted().calibrate(*rows(100, seed=5))
    model.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [MODEL_FILE]
    loaded = XGBoostPredictor.load(tmp_path, relative_sd=model.relative_sd)
    features, _ = rows(30, seed=6)
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))
    np.testing.assert_array_equal(loaded.predict(features, return_std=True), model.predict(features, return_std=True))


def test_parameters_override_the_defaults() -> None:
    assert XGBoostPredictor().parameters == DEFAULT_PARAMETERS
    assert XGBoostPredictor(parameters={"max_depth": 2}).parameters == {**DEFAULT_PARAMETERS, "max_depth": 2}
    features, _ = rows(30, seed=6)
    assert not np.array_equal(fitted(n_rounds=1).predict(features), fitted(n_rounds=2).predict(features))


def test_a_parameter_that_xgboost_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"XGBoost has no 'max_dept'. Did you mean 'max_depth'"):
        XGBoostPredictor(parameters={"n_rounds": 2, "max_dept": 3}).fit(*rows(20))


def test_arguments_are_not_modified() -> None:
    features, y = rows(60)
    kept = features.copy(), y.copy()
    features.flags.writeable = y.flags.writeable = False
    XGBoostPredictor(parameters={"n_rounds": 2}).fit(features, y).calibrate(features, y).predict(features)
    np.testing.assert_array_equal(features, kept[0])
    np.testing.assert_array_equal(y, kept[1])


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_target_without_logarithm_is_refused_with_its_row(bad: float) -> None:
    features, y = rows(20)
    y[7] = bad
    with pytest.raises(SpecError, match="positive finite values; row 7 is"):
        XGBoostPredictor().fit(features, y)
    with pytest.raises(SpecError, match="positive finite values; row 7 is"):
        fitted().calibrate(features, y)
