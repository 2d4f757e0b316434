"""Gaussian processes: dense formulas, GPyTorch and scikit-learn as oracles, closed forms, storage, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_mo.errors import ArtifactError, SpecError

pytest.importorskip("sklearn", reason="the estimators need the extra 'fit'")

from nasbench_mo.predictor.estimators.base import Z90
from nasbench_mo.predictor.estimators.deep_gp import DeepGPRegressor
from nasbench_mo.predictor.estimators.gp import GPRegressor, on_grid
from nasbench_mo.predictor.estimators.gp_kernel import KernelTerm, covariance, variance
from nasbench_mo.predictor.estimators.gp_prior import KernelPrior, scaled
from nasbench_mo.predictor.estimators.nb201_prior import nb201_accuracy_prior
from nasbench_mo.predictor.estimators.stored_gp import Posterior, StoredGP, inverse_lower
from nasbench_mo.predictor.features import feature_map
from nasbench_mo.space import space

Floats = NDArray[np.float64]
KINDS = ("matern52", "linear", "tanimoto", "hamming")
KERNELS = (*KINDS, "matern52+linear", "matern52+tanimoto+hamming")


def counts(n: int, *, k: int = 6, seed: int = 0) -> Floats:
    """Features as graphs give them: small counts, with twins among the rows."""
    return np.random.default_rng(seed).integers(0, 4, (n, k)).astype(np.float64)


def rows(n: int, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Features and a smooth positive target of the first three columns, with noise."""
    X = counts(n, seed=seed)
    noise = np.random.default_rng(seed + 100).normal(size=n)
    return X, np.exp(0.4 * X[:, 0] - 0.2 * X[:, 1] + 0.3 * np.sin(2 * X[:, 2]) + 0.05 * noise)


def terms_of(kernel: str, *, X: Floats) -> tuple[KernelTerm, ...]:
    return KernelPrior.plain(kernel.split("+"), X=X).terms


def dense_posterior(model: StoredGP, X: Floats) -> tuple[Floats, Floats]:
    """Rasmussen & Williams, equations 2.23 and 2.24, by a general solver and with the joint covariance."""
    K = covariance(model.terms, model.inputs, model.inputs) + model.noise * np.eye(len(model.inputs))
    cross = covariance(model.terms, X, model.inputs)
    mean = cross @ np.linalg.solve(K, model.scores)
    joint = covariance(model.terms, X, X) - cross @ np.linalg.solve(K, cross.T)
    return mean, np.sqrt(np.diag(joint) + model.noise)


# ---------------------------------------------------------------------- kernels


@given(seed=st.integers(0, 10_000), n=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("kind", KINDS)
def test_a_covariance_is_symmetric_positive_and_has_its_variance_on_the_diagonal(kind: str, seed: int, n: int) -> None:
    X = counts(n, seed=seed)
    terms = terms_of(kind, X=counts(50, seed=1))
    K = covariance(terms, X, X)
    np.testing.assert_allclose(K, K.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(K), variance(terms, X), atol=1e-7)  # a distance of 0 is known to 1e-8
    assert np.linalg.eigvalsh(K).min() > -1e-7


def test_the_matern_term_equals_scikit_learns() -> None:
    from sklearn.gaussian_process.kernels import Matern

    A, B, scales = counts(7, seed=1), counts(9, seed=2), np.array([0.1, 0.5, 0.0, 1.0, 2.0, 0.3])
    term = KernelTerm(kind="matern52", scales=scales, weight=1.7, offset=np.arange(6.0))
    expected = 1.7 * Matern(nu=2.5)(A * scales, B * scales)
    np.testing.assert_allclose(covariance([term], A, B), expected, rtol=1e-7)


def test_discrete_terms_by_hand() -> None:
    A, B = np.array([[1.0, 0.0, 2.0]]), np.array([[1.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    tanimoto = KernelTerm(kind="tanimoto", scales=np.ones(3))
    np.testing.assert_allclose(covariance([tanimoto], A, B), [[3 / (5 + 11 - 3), 0.0]])
    assert covariance([tanimoto], B[1:], B[1:]) == 1.0
    hamming = KernelTerm(kind="hamming", scales=np.array([0.5, 0.0, 2.0]), weight=3.0)
    np.testing.assert_allclose(covariance([hamming], A, B), 3 * np.exp([[-2.0, -2.5]]))


def test_a_column_without_relevance_has_no_effect() -> None:
    X = counts(10)
    other = X.copy()
    other[:, 3] = np.random.default_rng(5).normal(size=10)
    for kind in ("matern52", "linear", "tanimoto", "hamming"):
        term = KernelTerm(kind=kind, scales=np.array([1.0, 0.5, 1.0, 0.0, 0.2, 0.1]))
        np.testing.assert_array_equal(covariance([term], X, X), covariance([term], other, other))


# ---------------------------------------------------------------------- posterior


@pytest.mark.parametrize("kernel", KERNELS)
def test_prediction_equals_the_dense_formulas(kernel: str) -> None:
    model = GPRegressor(kernel=kernel, target="identity").fit(*rows(60)).gp_
    X = counts(40, seed=9)
    mean, std = dense_posterior(model, X)
    value, deviation = model.predict(X, return_std=True)
    np.testing.assert_allclose(value, model.centre + model.spread * mean, rtol=1e-8)
    np.testing.assert_allclose(deviation, model.spread * std, rtol=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_prediction_equals_gpytorchs(kernel: str) -> None:
    pytest.importorskip("gpytorch")
    from nasbench_mo.predictor.estimators._gpytorch_models import ExactModel

    model = GPRegressor(kernel=kernel).fit(*rows(80)).gp_
    X = counts(600, seed=9)  # more than GPyTorch is asked for at a time
    peer = ExactModel(model.terms, inputs=model.inputs, scores=model.scores, noise=model.noise)
    mean, std = peer.predicted(X)
    value, deviation = model.target.inverse(model.centre + model.spread * mean, model.spread * std)
    found = model.predict(X, return_std=True)
    np.testing.assert_allclose(found[0], value, rtol=1e-6)
    np.testing.assert_allclose(found[1], deviation, rtol=1e-6)


def test_the_linear_kernel_is_ridge_regression() -> None:
    X, y = rows(40)
    term = KernelTerm(kind="linear", scales=np.full(6, 0.3), offset=X.mean(axis=0))
    centred, scores = X - X.mean(axis=0), y - y.mean()
    posterior = Posterior.of([term], inputs=X, scores=scores, noise=0.5)
    ridge = np.linalg.solve(centred.T @ centred + 0.5 / 0.09 * np.eye(6), centred.T @ scores)
    Q = counts(10, seed=3)
    np.testing.assert_allclose(posterior.mean(Q), (Q - X.mean(axis=0)) @ ridge, rtol=1e-9)


def test_far_away_nothing_is_known() -> None:
    X, y = rows(30)
    model = GPRegressor(kernel="matern52", target="identity").fit(X, y)
    value, deviation = model.predict(X[:1] + 1e6, return_std=True)
    assert value[0] == pytest.approx(y.mean())
    prior_variance = model.gp_.terms[0].weight + model.gp_.noise
    assert deviation[0] == pytest.approx(model.deviation_factor_ * y.std() * np.sqrt(prior_variance))


def test_a_further_observation_never_raises_the_deviation() -> None:
    X, y = rows(50)
    terms, Q = terms_of("matern52+linear", X=X), counts(30, seed=4)
    few = Posterior.of(terms, inputs=X[:30], scores=y[:30], noise=0.1).mean_and_std(Q)[1]
    many = Posterior.of(terms, inputs=X, scores=y, noise=0.1).mean_and_std(Q)[1]
    assert (many <= few + 1e-12).all()
    assert (many < few - 1e-3).any()


def test_twins_and_chunks_change_nothing() -> None:
    model = GPRegressor(kernel="matern52+linear").fit(*rows(50))
    X = counts(5000, k=6, seed=2)  # 4,096 distinct rows at most: twins are predicted once, in more than one chunk
    value, deviation = model.predict(X, return_std=True)
    pieces = [model.predict(X[i : i + 500], return_std=True) for i in range(0, 5000, 500)]
    np.testing.assert_allclose(value, np.concatenate([p[0] for p in pieces]), rtol=1e-10)
    np.testing.assert_allclose(deviation, np.concatenate([p[1] for p in pieces]), rtol=1e-10)
    _, twin = np.unique(X, axis=0, return_inverse=True)
    assert len(np.unique(value)) <= twin.max() + 1 < len(X)


def test_rows_that_a_projection_confuses_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zero:
        def standard_normal(self, k: int) -> Floats:
            return np.zeros(k)

    model, X = GPRegressor().fit(*rows(50)), counts(3000, seed=2)
    expected = model.predict(X)
    monkeypatch.setattr("numpy.random.default_rng", lambda _: Zero())
    np.testing.assert_allclose(model.gp_.predict(X), expected, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 64, 65, 130, 333])
def test_a_triangle_is_inverted_in_halves(n: int) -> None:
    rng = np.random.default_rng(n)
    K = rng.normal(size=(n, n + 2)) @ rng.normal(size=(n + 2, n))
    factor = np.linalg.cholesky(K @ K.T / n + np.eye(n))
    inverse = inverse_lower(factor)
    np.testing.assert_allclose(inverse @ factor, np.eye(n), atol=1e-10)
    assert not np.triu(inverse, 1).any()


def test_equal_training_rows_do_not_break_the_factorisation() -> None:
    X, y = rows(20)
    model = GPRegressor(target="identity").fit(np.repeat(X, 5, axis=0), np.repeat(y, 5) + np.tile([0, 1, 2, 3, 4], 20))
    assert np.isfinite(model.predict(X)).all()


# ---------------------------------------------------------------------- deviations


@pytest.mark.parametrize("kernel", KERNELS)
def test_leaving_one_out_equals_predicting_it_from_the_others(kernel: str) -> None:
    model = GPRegressor(kernel=kernel).fit(*rows(30)).gp_
    value, deviation = model.leave_one_out()
    for i in (0, 7, 29):
        others = np.arange(30) != i
        left = StoredGP(
            terms=model.terms,
            inputs=model.inputs[others],
            scores=model.scores[others],
            noise=model.noise,
            target=model.target,
            centre=model.centre,
            spread=model.spread,
        )
        expected = left.predict(model.inputs[[i]], return_std=True)
        np.testing.assert_allclose((value[i], deviation[i]), np.ravel(expected), rtol=1e-6)


def heavy_tailed(n: int, *, seed: int) -> tuple[Floats, Floats]:
    """A smooth function with noise of a t distribution: the deviations of a normal posterior are too wide."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 6, size=(n, 1))
    return X, np.sin(X[:, 0]) + 0.1 * rng.standard_t(2, size=n)


def test_calibrated_intervals_hold_nine_in_ten_where_the_posteriors_do_not() -> None:
    X, y = heavy_tailed(400, seed=0)
    Q, truth = heavy_tailed(2000, seed=1)
    covered = {}
    for calibrate in (False, True):
        value, deviation = GPRegressor(target="identity", calibrate=calibrate).fit(X, y).predict(Q, return_std=True)
        covered[calibrate] = float(np.mean(np.abs(truth - value) <= Z90 * deviation))
    assert covered[False] > 0.93
    assert 0.87 < covered[True] < 0.925


def test_a_few_rows_hardly_move_the_deviations() -> None:
    X, y = heavy_tailed(400, seed=0)
    factor = {n: GPRegressor(target="identity").fit(X[:n], y[:n]).deviation_factor_ for n in (5, 400)}
    assert abs(np.log(factor[5])) < abs(np.log(factor[400]))
    assert GPRegressor(calibrate=False).fit(X[:5], y[:5]).deviation_factor_ == 1.0


# ---------------------------------------------------------------------- fitting


def log_density(prior: KernelPrior, *, inputs: Floats, scores: Floats, at: tuple[float, float]) -> float:
    """Log posterior of two grid coordinates up to a constant; the variance integrated out as a multivariate t."""
    u, v = at
    n, a = len(scores), prior.strength / 2
    noise = prior.noise * np.exp(prior.noise_spread * v)
    K = covariance(scaled(prior.terms, length=float(np.exp(prior.length_spread * u))), inputs, inputs)
    K += noise * np.eye(n)
    quadratic = scores @ np.linalg.solve(K, scores)
    t_density = -0.5 * np.linalg.slogdet(K)[1] - (a + n / 2) * np.log(a + quadratic / 2)
    return float(t_density - (u * u + v * v) / 2)


def test_the_grid_finds_the_most_probable_of_its_points() -> None:
    X, y = rows(40)
    scores = (y - y.mean()) / y.std()
    prior = KernelPrior.plain(["matern52"], X=X)
    points = [(u, v) for u in (-1.5, -0.75, 0, 0.75, 1.5) for v in (-2, -1, -0.5, 0, 0.5, 1, 2)]
    best = max(points, key=lambda at: log_density(prior, inputs=X, scores=scores, at=at))
    terms, noise = on_grid(prior, inputs=X, scores=scores)
    length = prior.terms[0].scales[0] / terms[0].scales[0]
    share = noise / (terms[0].weight / prior.terms[0].weight)
    assert np.log(length) / prior.length_spread == pytest.approx(best[0])
    assert np.log(share / prior.noise) / prior.noise_spread == pytest.approx(best[1])


def test_no_small_step_from_the_gradients_result_is_more_probable() -> None:
    pytest.importorskip("gpytorch")
    from nasbench_mo.predictor.estimators._gpytorch_models import most_probable

    X = np.random.default_rng(0).uniform(0, 3, (80, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.4 * np.random.default_rng(1).normal(size=80)
    scores = (y - y.mean()) / y.std()
    prior = KernelPrior.plain(["matern52", "linear"], X=X)
    terms, noise = most_probable(prior, inputs=X, scores=scores, steps=100)

    def density(at: Floats) -> float:
        """Log posterior of the logarithms of length, weights and noise relative to the prior's centre."""
        length, weight, linear_weight, noise = np.exp(at)
        matern = scaled(prior.terms[:1], length=float(length), weight=float(weight))
        linear = scaled(prior.terms[1:], weight=float(linear_weight))
        K = covariance(matern + linear, X, X) + prior.noise * noise * np.eye(len(X))
        fit = -0.5 * (scores @ np.linalg.solve(K, scores) + np.linalg.slogdet(K)[1])
        return float(fit - 0.5 * ((at / [prior.length_spread, 1.0, 1.0, prior.noise_spread]) ** 2).sum())

    length = prior.terms[0].scales[0] / terms[0].scales[0]
    weights = [term.weight / centre.weight for term, centre in zip(terms, prior.terms, strict=True)]
    found = np.log([length, *weights, noise / prior.noise])
    assert np.sqrt(noise) * y.std() == pytest.approx(0.4, abs=0.1)
    assert density(found) > density(np.zeros(4)) + 1
    for step in np.vstack([np.eye(4), -np.eye(4)]) * 0.05:
        assert density(found + step) < density(found)


def test_a_prior_of_no_spread_is_kept() -> None:
    pytest.importorskip("gpytorch")
    X, y = rows(40)
    loose = KernelPrior.plain(["matern52"], X=X)
    fixed = KernelPrior(terms=loose.terms, noise=0.1, length_spread=0.0, noise_spread=0.0)
    for method in ("grid", "gradient", "prior"):
        model = GPRegressor(kernel=fixed, fit_method=method).fit(X, y).gp_
        np.testing.assert_allclose(model.terms[0].scales, loose.terms[0].scales)


def test_a_prior_that_knows_the_relevant_columns_needs_fewer_rows() -> None:
    rng = np.random.default_rng(0)
    X, Q = rng.normal(size=(40, 30)), rng.normal(size=(500, 30))

    def truth(Z: Floats) -> Floats:
        return np.asarray(Z[:, 0] + np.sin(2 * Z[:, 1]))

    scales = np.where(np.arange(30) < 2, 0.7, 0.0)
    knowing = KernelPrior(terms=(KernelTerm(kind="matern52", scales=scales),))
    errors = {
        name: np.abs(GPRegressor(kernel=kernel, target="identity").fit(X, truth(X)).predict(Q) - truth(Q)).mean()
        for name, kernel in (("knowing", knowing), ("plain", "matern52"))
    }
    assert errors["knowing"] < 0.5 * errors["plain"]


def test_intervals_hold_their_share_on_draws_of_the_prior() -> None:
    rng = np.random.default_rng(3)
    X = rng.uniform(0, 4, (700, 2))
    term = KernelTerm(kind="matern52", scales=np.full(2, 1.0))
    K = covariance([term], X, X) + 0.02 * np.eye(700)
    y = 5 + np.linalg.cholesky(K) @ rng.normal(size=700)
    model = GPRegressor(kernel=KernelPrior(terms=(term,)), target="identity").fit(X[:200], y[:200])
    value, deviation = model.predict(X[200:], return_std=True)
    assert abs((np.abs(value - y[200:]) < 1.645 * deviation).mean() - 0.9) < 0.05


@pytest.mark.parametrize("target", ["identity", "log", "rank-gauss"])
def test_every_target_ranks_held_out_rows_well(target: str) -> None:
    from scipy.stats import kendalltau

    model = GPRegressor(target=target).fit(*rows(200))
    X, y = rows(300, seed=1)
    value, deviation = model.predict(X, return_std=True)
    assert kendalltau(value, y).statistic > 0.8
    assert (deviation > 0).all()


def test_only_some_rows_are_looked_at_but_all_enter() -> None:
    X, y = rows(120)
    few, all_rows = GPRegressor(n_select=30).fit(X, y), GPRegressor(n_select=120).fit(X, y)
    assert len(few.gp_.inputs) == len(all_rows.gp_.inputs) == 120
    again = GPRegressor(n_select=30).fit(X, y)
    np.testing.assert_array_equal(few.predict(X), again.predict(X))


def test_constant_columns_are_left_out() -> None:
    X, y = rows(40)
    wide = np.column_stack([X, np.full(40, 0.1)])
    model = GPRegressor().fit(wide, y)
    assert model.gp_.terms[0].scales[-1] == 0
    np.testing.assert_allclose(model.predict(wide), GPRegressor().fit(X, y).predict(X), rtol=1e-9)


def test_arguments_are_not_modified() -> None:
    X, y = rows(40)
    kept = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    GPRegressor(kernel="matern52+linear").fit(X, y).predict(X, return_std=True)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(y, kept[1])


# ---------------------------------------------------------------------- NAS-Bench-201's prior


def test_the_accuracy_prior_follows_the_names_of_the_columns() -> None:
    names = feature_map("nb201-graph-v2").columns
    prior, turned = nb201_accuracy_prior(names), nb201_accuracy_prior((*names[::-1], "another"))
    for term, other in zip(prior.terms, turned.terms, strict=True):
        np.testing.assert_array_equal(term.scales, other.scales[-2::-1])
        assert other.scales[-1] == 0
        assert (term.scales > 0).sum() > 20
    with pytest.raises(SpecError, match=r"nb201-graph-v2.*missing"):
        nb201_accuracy_prior(feature_map("nb201-graph-v1").columns)


def test_the_rest_sees_columns_that_the_terms_leave_out() -> None:
    X, y = rows(30)
    nothing = KernelTerm(kind="matern52", scales=np.zeros(6))
    with_rest = KernelPrior(terms=(nothing,), rest=1.0)
    assert np.ptp(GPRegressor(kernel=KernelPrior(terms=(nothing,))).fit(X, y).predict(X)) == pytest.approx(0)
    assert np.ptp(GPRegressor(kernel=with_rest).fit(X, y).predict(X)) > 0.5 * np.ptp(y)


def test_the_origin_of_the_columns_does_not_matter() -> None:
    X, y = rows(40)
    prior = KernelPrior(terms=(KernelTerm(kind="linear", scales=np.full(6, 0.3)),), length_spread=0.0)
    here = GPRegressor(kernel=prior).fit(X, y)
    there = GPRegressor(kernel=prior).fit(X + 50, y)
    np.testing.assert_allclose(there.predict(X + 50), here.predict(X), rtol=1e-6)


def test_a_hundred_cells_rank_the_others(shared: Path) -> None:
    """Topologies apart; the mean over ten splits is 0.868 with the prior and 0.75 without."""
    from scipy.stats import kendalltau

    with np.load(shared / "nasbench201" / "nasbench201.npz") as file:
        X, accuracy = file["ops"], file["c10_test_200_mean"].astype(np.float64)
    nb201 = space("nb201")
    usable = np.flatnonzero(~nb201.degenerate(X))
    _, topology = np.unique(nb201.equivalence_class(X), return_inverse=True)
    features = feature_map("nb201-graph-v2")
    V = features.compute(X)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(usable)
    _, first = np.unique(topology[shuffled], return_index=True)
    train = shuffled[rng.permutation(first)[:100]]
    test = usable[~np.isin(topology[usable], topology[train])]
    taus = {}
    for name, kernel in (("prior", nb201_accuracy_prior(features.columns)), ("plain", "matern52")):
        model = GPRegressor(kernel=kernel).fit(V[train], accuracy[train])
        value, deviation = model.predict(V[test], return_std=True)
        taus[name] = kendalltau(value, accuracy[test]).statistic
        assert (deviation > 0).all()
    assert taus["prior"] > 0.84
    assert taus["prior"] > taus["plain"] + 0.05


# ---------------------------------------------------------------------- two layers


def staircase(n: int, *, seed: int) -> tuple[Floats, Floats]:
    """Flat, then a jump, then fast waves: no one length fits."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, 1))
    return X, np.where(X[:, 0] > 0.6, 1 + 0.3 * np.sin(40 * X[:, 0]), 0.0) + 0.02 * rng.normal(size=n)


def test_two_layers_learn_a_jump_and_repeat_themselves() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("gpytorch")
    X, y = staircase(60, seed=0)
    before = torch.random.get_rng_state().clone()
    model = DeepGPRegressor(target="identity", n_steps=60, n_inducing=20).fit(X, y)
    Q, truth = staircase(300, seed=1)
    value, deviation = model.predict(Q, return_std=True)
    assert np.sqrt(np.mean((value - truth) ** 2)) < 0.4 * truth.std()
    assert 0.75 < (np.abs(value - truth) < 1.645 * deviation).mean() <= 1.0
    again = DeepGPRegressor(target="identity", n_steps=60, n_inducing=20).fit(X, y)
    np.testing.assert_array_equal(again.predict(Q), value)
    np.testing.assert_allclose(model.predict(Q[7:8]), value[7:8], rtol=1e-9)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_two_layers_use_the_relevance_of_the_columns() -> None:
    pytest.importorskip("gpytorch")
    X, y = rows(40)
    prior = KernelPrior(terms=(KernelTerm(kind="matern52", scales=np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])),))
    model = DeepGPRegressor(kernel=prior, n_steps=10).fit(X, y)
    other = X.copy()
    other[:, 3:] = 0
    np.testing.assert_array_equal(model.predict(X), model.predict(other))


def test_scikit_learns_contract_holds_for_two_layers() -> None:
    pytest.importorskip("gpytorch")
    from sklearn.utils.estimator_checks import check_estimator

    model = DeepGPRegressor(n_steps=2, n_inducing=20)
    outcomes = check_estimator(model, on_skip=None, on_fail=None)
    assert [o["check_name"] for o in outcomes if o["status"] == "failed"] == []


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_hidden": 0}, "n_hidden"),
        ({"n_inducing": 1}, "n_inducing"),
        ({"n_steps": 0}, "n_steps"),
        ({"kernel": "linear"}, "matern52"),
        ({"kernel": KernelPrior(terms=(KernelTerm(kind="matern52", scales=np.ones(3)),))}, "for 3 columns"),
    ],
)
def test_unusable_parameters_of_two_layers_are_refused(parameters: dict[str, Any], words: str) -> None:
    pytest.importorskip("gpytorch")
    with pytest.raises(SpecError, match=words):
        DeepGPRegressor(**parameters).fit(*rows(20))


# ---------------------------------------------------------------------- contract


def test_scikit_learns_contract_holds() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    outcomes = check_estimator(GPRegressor(), on_skip=None, on_fail=None)
    assert len(outcomes) > 30
    assert [o["check_name"] for o in outcomes if o["status"] == "failed"] == []


def test_a_clone_of_an_estimator_with_a_prior_predicts_the_same() -> None:
    from sklearn.base import clone

    X, y = rows(30)
    model = GPRegressor(kernel=KernelPrior.plain(["matern52", "linear"], X=X))
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.fit(X, y).predict(X))


# ---------------------------------------------------------------------- storage


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("target", ["rank-gauss", "log"])
def test_a_stored_process_predicts_the_same_to_the_bit(kernel: str, target: str, tmp_path: Path) -> None:
    model = GPRegressor(kernel=kernel, target=target).fit(*rows(50)).gp_
    state = json.loads(json.dumps(model.save(tmp_path / "model.npz"), allow_nan=False))
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]
    loaded = StoredGP.load(tmp_path / "model.npz", state=state)
    X = counts(200, seed=3)
    np.testing.assert_array_equal(loaded.predict(X, return_std=True), model.predict(X, return_std=True))


def test_serving_imports_neither_torch_nor_scikit_learn(tmp_path: Path) -> None:
    state = GPRegressor().fit(*rows(30)).gp_.save(tmp_path / "model.npz")
    code = (
        "import json, sys; from pathlib import Path; import numpy as np\n"
        "from nasbench_mo.predictor.estimators.stored_gp import StoredGP\n"
        f"model = StoredGP.load(Path({str(tmp_path / 'model.npz')!r}), state=json.loads({json.dumps(state)!r}))\n"
        "assert model.predict(np.ones((3, 6)), return_std=True)[1].shape == (3,)\n"
        "assert not {'torch', 'gpytorch', 'sklearn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 99},
        {"kinds": ["matern52"]},
        {"kinds": ["rbf", "linear"]},
        {"weights": [1.0, -1.0]},
        {"noise": 0.0},
        {"noise": "much"},
        {"spread": -1.0},
        {"target": {"kind": "square"}},
        {"target": None},
    ],
)
def test_a_state_that_does_not_fit_is_refused(damage: dict[str, Any], tmp_path: Path) -> None:
    state = GPRegressor(kernel="matern52+linear").fit(*rows(30)).gp_.save(tmp_path / "model.npz")
    with pytest.raises(ArtifactError, match=r"model\.npz"):
        StoredGP.load(tmp_path / "model.npz", state={**state, **damage})


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    state = GPRegressor().fit(*rows(30)).gp_.save(path)
    whole = path.read_bytes()
    with pytest.raises(ArtifactError, match=r"none\.npz"):
        StoredGP.load(tmp_path / "none.npz", state=state)
    with pytest.raises(ArtifactError, match="stored Gaussian process"):
        StoredGP.load(path, state={k: v for k, v in state.items() if k != "noise"})
    for text in (b"", whole[:100], b"not a zip archive"):
        path.write_bytes(text)
        with pytest.raises(ArtifactError, match="stored Gaussian process"):
            StoredGP.load(path, state=state)
    np.savez(path, inputs=np.ones((2, 6)))
    with pytest.raises(ArtifactError, match="scores"):
        StoredGP.load(path, state=state)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"kernel": "rbf"}, "unknown kernel term 'rbf'"),
        ({"kernel": "matern52+linera"}, "Did you mean 'linear'"),
        ({"kernel": ""}, "one term or more"),
        ({"target": "sqrt"}, "unknown target"),
        ({"fit_method": "grad"}, "Did you mean"),
        ({"n_select": 0}, "n_select"),
        ({"random_state": -1}, "random_state"),
        ({"kernel": KernelPrior(terms=(KernelTerm(kind="linear", scales=np.ones(3)),))}, "for 3 columns"),
    ],
)
def test_unusable_parameters_are_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        GPRegressor(**parameters).fit(*rows(20))


def test_unusable_features_are_refused() -> None:
    X, y = rows(20)
    with pytest.raises(SpecError, match="counts"):
        GPRegressor(kernel="tanimoto").fit(X - 1, y)
    model = GPRegressor().fit(X, y)
    for bad in (X[:, :3], X[0], np.full_like(X, np.nan)):
        with pytest.raises(SpecError):
            model.predict(bad)
        with pytest.raises(SpecError, match="expected"):
            model.gp_.predict(bad)


@pytest.mark.parametrize(
    "fields", [{"scales": [-1.0]}, {"scales": [np.nan]}, {"weight": 0.0}, {"offset": [1.0, 2.0]}, {"kind": "periodic"}]
)
def test_unusable_terms_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        KernelTerm(**{"kind": "linear", "scales": np.ones(1), **fields})


@pytest.mark.parametrize("fields", [{"noise": 0.0}, {"length_spread": -1.0}, {"strength": np.inf}, {"terms": ()}])
def test_unusable_priors_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        KernelPrior(**{"terms": (KernelTerm(kind="linear", scales=np.ones(1)),), **fields})
