"""Linear models with trees on top: what is exact stays exact, what adds up is not left to trees; and stored models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from nasbench_mo.errors import ArtifactError, SpecError

pytest.importorskip("sklearn", reason="the estimators need the extra 'fit'")

from nasbench_mo.predictor.estimators.boosted_linear import BoostedLinearRegressor
from nasbench_mo.predictor.estimators.stored_linear import StoredLinear
from nasbench_mo.predictor.estimators.targets import LogExcess
from nasbench_mo.predictor.models import StoredBoostedLinear, conformal_factor
from nasbench_mo.predictor.recipes import resolved
from nasbench_mo.predictor.xgb import Z90

RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 7, (400, 6)).astype(np.float64)
COSTS = np.array([0.0, 0.25, 1.5, 0.125, 2.0, 0.7])
SMALL = {"n_rounds": 60, "learning_rate": 0.1}


def test_an_exact_sum_is_kept_exact_with_its_ties() -> None:
    y = (3.0 + COUNTS @ COSTS).astype(np.float32).astype(np.float64)  # published tables are often single precision
    model = BoostedLinearRegressor(target="identity").fit(COUNTS[:200], y[:200])
    assert model.exact_
    assert model.booster_ is None
    value = model.predict(COUNTS)
    np.testing.assert_allclose(value, y, rtol=1e-5)
    assert len(np.unique(value)) == len(np.unique(np.round(3.0 + COUNTS @ COSTS, 6)))
    assert kendalltau(value, y).statistic == pytest.approx(1.0)


def test_a_sum_with_noise_is_no_exact_sum() -> None:
    y = 3.0 + COUNTS @ COSTS + 1e-3 * RNG.standard_normal(400)
    model = BoostedLinearRegressor(target="identity", trees={"n_rounds": 0}).fit(COUNTS, y)
    assert not model.exact_
    assert model.deviation_ == pytest.approx(1e-3, rel=0.2)


def test_fewer_rows_than_columns_are_no_exact_sum() -> None:
    X = RNG.random((5, 6))
    assert not BoostedLinearRegressor(target="identity", trees=SMALL).fit(X, RNG.random(5)).exact_


def test_trees_learn_what_does_not_add_up_and_nothing_of_noise() -> None:
    X = RNG.random((600, 4))
    bump = 0.5 * ((X[:, 0] > 0.5) ^ (X[:, 1] > 0.5))
    straight = 3 + X @ [2.0, -1.0, 0.5, 0.0]
    noise = 0.05 * RNG.standard_normal(600)
    found = BoostedLinearRegressor(target="identity", trees=SMALL).fit(X[:400], (straight + bump + noise)[:400])
    alone = BoostedLinearRegressor(target="identity", trees={"n_rounds": 0}).fit(
        X[:400], (straight + bump + noise)[:400]
    )
    truth = (straight + bump)[400:]
    assert found.tree_share_ > 0.5
    error = [float(np.sqrt(np.mean((m.predict(X[400:]) - truth) ** 2))) for m in (found, alone)]
    assert error[0] < 0.7 * error[1]
    assert found.deviation_ < 0.7 * alone.deviation_
    assert BoostedLinearRegressor(target="identity", trees=SMALL).fit(X, straight + noise).tree_share_ < 0.3


def test_the_deviation_is_that_of_rows_not_seen() -> None:
    X = RNG.random((900, 4))
    y = np.exp(1 + X[:, 0] + 0.3 * np.sin(9 * X[:, 1]) + 0.1 * RNG.standard_normal(900))
    value, deviation = BoostedLinearRegressor(target="log", trees=SMALL).fit(X[:300], y[:300]).predict(X[300:], True)
    assert 0.85 < np.mean(np.abs(y[300:] - value) <= Z90 * deviation) < 0.95


def test_predictions_do_not_go_below_what_was_seen() -> None:
    X = np.arange(10.0)[:, None]
    model = BoostedLinearRegressor(target="identity", trees={"n_rounds": 0}).fit(X, 5 + X[:, 0] + 0.1 * RNG.random(10))
    assert model.predict([[-100.0]])[0] == pytest.approx(model.least_)
    assert model.predict([[20.0]])[0] > 20


def test_linear_model_and_trees_see_their_own_columns() -> None:
    X = RNG.random((100, 4))
    y = 1 + X[:, 0] + (X[:, 3] > 0.5) + 0.01 * RNG.standard_normal(100)
    model = BoostedLinearRegressor(linear_columns=[0, 1], tree_columns=[3], trees=SMALL).fit(X, y)
    assert len(model.coef_) == 2
    other = X.copy()
    other[:, 2] = 99.0
    np.testing.assert_array_equal(model.predict(other), model.predict(X))
    for columns in ([], [4], [-1], [0.5]):
        with pytest.raises(SpecError, match="linear_columns"):
            BoostedLinearRegressor(linear_columns=columns).fit(X, y)
    with pytest.raises(SpecError, match="n_rounds"):
        BoostedLinearRegressor(trees={"n_rounds": -1}).fit(X, y)


def test_names_in_specifications_become_columns() -> None:
    columns = ("a=0", "a=1", "live_x", "all_x")
    found = resolved({"linear_features": "nb201-onehot-v1"}, columns=("before", *_onehot(), "after"))
    assert found == {"linear_columns": tuple(range(1, 31))}
    with pytest.raises(SpecError, match="parameter tree_features: 'nb201-onehot-v1' has the column"):
        resolved({"tree_features": "nb201-onehot-v1"}, columns=columns)
    assert resolved({"groups": ["live_", "all_"]}, columns=columns)["groups"] == {"live_": (2,), "all_": (3,)}
    assert type(resolved({"residual": "gp"}, columns=columns)["residual"]).__name__ == "GPRegressor"


def _onehot() -> tuple[str, ...]:
    from nasbench_mo.predictor import feature_map

    return feature_map("nb201-onehot-v1").columns


# ---------------------------------------------------------------------- the target that levels off


def test_log_excess_stretches_what_is_near_the_floor() -> None:
    target = LogExcess().fit([33.0, 40.0, 57.0])
    near, far = (
        target.forward([34.0])[0] - target.forward([33.0])[0],
        target.forward([57.0])[0] - target.forward([56.0])[0],
    )
    assert near > 5 * far
    with pytest.raises(SpecError, match=r"values above 30\.6; row 1 is 30"):
        target.forward([50.0, 30.0])
    with pytest.raises(SpecError, match="needs a finite 'floor'"):
        LogExcess().from_state({"kind": "log-excess", "floor": None})


# ---------------------------------------------------------------------- stored


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, StoredLinear]:
    X = RNG.random((200, 4)).astype(np.float32)
    y = np.exp(X[:, 0].astype(float) + (X[:, 1] > 0.5) + 0.05 * RNG.standard_normal(200))
    model = BoostedLinearRegressor(target="log", trees=SMALL).fit(X, y).stored()
    model.save(tmp_path / "model.npz")
    return tmp_path / "model.npz", model


def test_a_stored_model_predicts_the_same(stored: tuple[Path, StoredLinear]) -> None:
    path, model = stored
    assert model.booster is not None
    X = RNG.random((50, 4))
    again = StoredLinear.load(path)
    np.testing.assert_array_equal(again.predict(X, return_std=True), model.predict(X, return_std=True))
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.npz"]
    one_by_one = np.concatenate([again.predict(X[i : i + 1]) for i in range(50)])
    np.testing.assert_array_equal(one_by_one, again.predict(X))
    with pytest.raises(SpecError, match=r"expected features of shape \(m, 4\), got \(3, 5\)"):
        again.predict(np.zeros((3, 5)))
    with pytest.raises(SpecError, match="finite"):
        again.predict(np.full((3, 4), np.nan))


def test_a_damaged_file_is_refused(stored: tuple[Path, StoredLinear]) -> None:
    path, _ = stored
    honest = path.read_bytes()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    path.write_bytes(honest[: len(honest) // 2])
    with pytest.raises(ArtifactError, match="is not a stored linear model"):
        StoredLinear.load(path)
    state = json.loads(arrays["state"].tobytes())
    for change in (
        {"trees": arrays["trees"][: len(arrays["trees"]) // 2]},
        {"coefficients": arrays["coefficients"][:-1]},
        {"coefficients": np.full_like(arrays["coefficients"], np.nan)},
        {"linear_columns": arrays["linear_columns"] + 9},
        {"state": np.frombuffer(json.dumps(state | {"target": {"kind": "cube"}}).encode(), np.uint8)},
        {"state": np.frombuffer(json.dumps(state | {"step": "x"}).encode(), np.uint8)},
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(ArtifactError, match="is not a stored linear model"):
            StoredLinear.load(path)
    np.savez(path, **{**arrays, "state": np.frombuffer(json.dumps(state | {"format": 2}).encode(), np.uint8)})
    with pytest.raises(ArtifactError, match="expected format 1, got 2"):
        StoredLinear.load(path)


def test_calibration_does_not_narrow_rounding_away() -> None:
    y = 3.0 + COUNTS @ COSTS
    features = COUNTS.astype(np.float32)
    model = StoredBoostedLinear.fit(
        features[:200], y[:200], columns=list("abcdef"), parameters={"target": "identity"}, seed=0
    )
    model.calibrate(features[200:], y[200:])
    assert model.spread == 1.0
    assert "exact" in model.about
    value, deviation = model.predict(features, return_std=True)
    assert (np.abs(value - y) <= Z90 * deviation).all()
    with pytest.raises(SpecError, match="parameters of estimator 'linear-xgb'"):
        StoredBoostedLinear.fit(features, y, columns=list("abcdef"), parameters={"depth": 3}, seed=0)


def test_the_conformal_factor_is_the_finite_sample_quantile() -> None:
    y = np.arange(1.0, 10.0)  # nine scores: the 90 % quantile of nine and one more is the ninth
    assert conformal_factor(y, value=np.zeros(9), deviation=np.ones(9)) == pytest.approx(9 / Z90)
    assert conformal_factor(y, value=np.zeros(9), deviation=y) == pytest.approx(1 / Z90)


def test_an_artefact_of_the_package_is_served_without_scikit_learn() -> None:
    script = (
        "import sys, nasbench_mo as nmo; model = nmo.predictor('nb201-2080ti_1-latency-linear-v1')\n"
        "assert model.predict(list(model.reference.archs)).min() > 0\n"
        "print([m for m in ('sklearn', 'torch', 'xgboost', 'pymoo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
