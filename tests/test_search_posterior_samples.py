"""What searchers with BoTorch's models choose by: samples of the joint posterior, acquisitions against BoTorch's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.search.posterior_samples import PosteriorSamples

N_KNOWN, N_CHOICES = 8, 40


def _posterior(seed: int, *, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size)) / np.sqrt(size)
    return rng.standard_normal(size), root @ root.T + 0.05 * np.eye(size)


def _drawn(seed: int, *, n_known: int, n_choices: int, n_chosen: int, n_samples: int) -> tuple[PosteriorSamples, Any]:
    posterior = _posterior(seed, size=n_known + n_choices)
    base = np.random.default_rng(seed + 1).standard_normal((n_samples, n_known + n_chosen + 1, 1))
    return PosteriorSamples(posterior[:1], posterior[1:], base=base, n_known=n_known), posterior


def test_samples_have_the_moments_of_the_joint_posterior() -> None:
    samples, (mean, covariance) = _drawn(0, n_known=3, n_choices=4, n_chosen=2, n_samples=40_000)
    samples.choose(2)
    samples.choose(0)
    order = [0, 1, 2, 3 + 2, 3 + 0, 3 + 3]
    joint = np.hstack([samples.known[..., 0], samples.at(np.array([3]))[..., 0]])
    np.testing.assert_allclose(joint.mean(axis=0), mean[order], atol=0.03)
    np.testing.assert_allclose(np.cov(joint.T), covariance[np.ix_(order, order)], atol=0.05)


def test_a_choice_turns_out_as_it_was_sampled_and_stays_so() -> None:
    samples, _ = _drawn(1, n_known=3, n_choices=5, n_chosen=3, n_samples=16)
    for choice in (4, 1):
        announced = samples.at(np.array([choice]))
        samples.choose(choice)
        np.testing.assert_array_equal(samples.known[:, -1:], announced)
        np.testing.assert_allclose(samples.at(np.array([choice])), announced, atol=1e-7)


def test_points_that_are_the_same_do_no_harm() -> None:
    mean, covariance = _posterior(2, size=6)
    same = np.array([0, 0, 1, 1, 2, 2])  # known twice, known and to choose, to choose twice
    base = np.random.default_rng(0).standard_normal((32, 6, 1))
    samples = PosteriorSamples([mean[same]], [covariance[np.ix_(same, same)]], base=base, n_known=3)
    np.testing.assert_allclose(samples.known[:, 0], samples.known[:, 1], atol=1e-3)
    np.testing.assert_allclose(samples.known[:, 2, 0], samples.at(np.array([0]))[:, 0, 0], atol=1e-3)
    samples.choose(1)
    np.testing.assert_allclose(samples.known[:, 3, 0], samples.at(np.array([2]))[:, 0, 0], atol=1e-3)
    samples.choose(2)
    assert np.isfinite(samples.known).all()


# ---------------------------------------------------------------------- against BoTorch


class _Told:
    """A searcher that was told noisy values, its fitted model, and choices."""

    def __init__(self, name: str, m: int, *, mc_samples: int) -> None:
        pytest.importorskip("botorch", reason="comes with the extra 'bayes'")
        from botorch.models import ModelListGP

        from nasbench_mo.search.parego import ParEGOSearcher
        from nasbench_mo.search.qlognehvi import QLogNEHVISearcher

        self.problem = nmo.problem(
            {2: "nb201s-c10-epyc-v1", 3: "nb201s-c10-1080ti_1-raspi4-v1", 4: "nb201s-c10-1080ti_1-raspi4-eyeriss-v1"}[m]
        )
        made = {"parego": ParEGOSearcher, "qlognehvi": QLogNEHVISearcher}[name]
        self.searcher = made(self.problem.space, m, mc_samples=mc_samples)
        X = self.problem.space.sample(30 + N_CHOICES, rng=np.random.default_rng(3))
        X = X[~self.problem.space.degenerate(X)]
        F = self.problem.evaluate(X)
        self.searcher.tell(X[:30], F[:30])
        self.choices = X[30:]
        self.known = self.searcher._tensor(self.searcher._features(X[:30]))
        self.open = self.searcher._tensor(self.searcher._features(self.choices))
        parts = self.searcher._fitted(self.known)
        self.searcher._fitted = lambda known: parts  # type: ignore[method-assign]
        self.model = ModelListGP(*parts)
        with self.searcher._own_randomness():
            self.samples = self.searcher._samples(self.choices, n=2)


@pytest.mark.parametrize(("m", "mc_samples", "tolerance"), [(2, 4096, 0.1), (3, 256, 0.2), (4, 256, 0.3)])
def test_the_gains_are_those_of_botorchs_noisy_expected_hypervolume_improvement(
    m: int, mc_samples: int, tolerance: float
) -> None:
    told = _Told("qlognehvi", m, mc_samples=mc_samples)
    import torch
    from botorch.acquisition.multi_objective.monte_carlo import qNoisyExpectedHypervolumeImprovement
    from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
    from botorch.sampling.normal import SobolQMCNormalSampler

    assert m == told.model.num_outputs
    ours = [told.searcher._gains(told.samples, np.arange(len(told.choices)))]
    told.samples.choose(3)
    ours.append(told.searcher._gains(told.samples, np.arange(len(told.choices))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BoTorch recommends the logarithm
        theirs = qNoisyExpectedHypervolumeImprovement(
            model=told.model,
            ref_point=[-1.1] * m,
            X_baseline=told.known,
            objective=GenericMCMultiOutputObjective(lambda Y, X=None: -Y),
            sampler=SobolQMCNormalSampler(torch.Size([mc_samples]), seed=0),
        )
        for own, pending in zip(ours, (None, told.open[[3]]), strict=True):
            theirs.set_X_pending(pending)
            with torch.no_grad():
                gains = theirs(told.open[:, None]).numpy()
            assert np.abs(own - gains).max() < tolerance * gains.max()
            assert np.corrcoef(own, gains)[0, 1] > 0.98


def test_the_scalarised_gains_are_those_of_botorchs_parego(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _Told("parego", 2, mc_samples=4096)
    import torch
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.sampling.normal import SobolQMCNormalSampler
    from botorch.utils.multi_objective.scalarization import get_chebyshev_scalarization

    weights = np.array([0.4, 0.6])
    monkeypatch.setattr("nasbench_mo.search.parego.random_weights", lambda rng, *, n, n_objectives: weights[None])
    mean = -told.model.posterior(told.known[told.searcher._scaling_rows()]).mean.detach()
    scalarise = get_chebyshev_scalarization(torch.tensor(weights), mean)
    theirs = qLogNoisyExpectedImprovement(
        model=told.model,
        X_baseline=told.known,
        objective=GenericMCObjective(lambda Y, X=None: scalarise(-Y)),
        sampler=SobolQMCNormalSampler(torch.Size([256]), seed=0),
    )
    with torch.no_grad():
        gains = theirs(told.open[:, None]).numpy()
    chosen = told.searcher._chosen(told.samples, n=1, n_choices=len(told.choices))
    assert chosen[0] in np.argsort(-gains)[:2]  # the draws differ
    assert np.exp(gains[chosen[0]] - gains.max()) > 0.9


def test_a_batch_chosen_lazily_is_that_chosen_by_looking_at_everything() -> None:
    told = _Told("qlognehvi", 2, mc_samples=64)
    with told.searcher._own_randomness():
        samples = told.searcher._samples(told.choices, n=6)
    everything = np.arange(len(told.choices))
    lazily = told.searcher._chosen(samples, n=1, n_choices=len(everything))
    gains = told.searcher._gains(samples, everything)
    for _ in range(5):
        samples.choose(lazily[-1])
        gains[lazily[-1]] = -1.0
        lazily.append(told.searcher._greatest(samples, gains))
        now = told.searcher._gains(samples, everything)
        now[lazily[:-1]] = -1.0
        assert now[lazily[-1]] > 0.95 * now.max()
    assert len(set(lazily)) == 6


def test_a_fit_begins_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botorch", reason="comes with the extra 'bayes'")
    import torch

    from nasbench_mo.search.parego import ParEGOSearcher

    problem = nmo.problem("nb201s-c10-params-v1")
    X = problem.space.sample(30, rng=np.random.default_rng(0))
    searcher = ParEGOSearcher(problem.space, 2, n_initial=5)
    searcher.tell(X, problem.evaluate(X))
    known = searcher._tensor(searcher._features(searcher._X))
    searcher._fitted(known)
    ended = searcher._hyperparameters
    monkeypatch.setattr("botorch.fit.fit_gpytorch_mll", lambda *args, **kwargs: None)
    begun = searcher._fitted(known)
    for model, last in zip(begun, ended, strict=True):
        found = dict(model.named_parameters())
        assert found.keys() == last.keys()
        assert all(torch.equal(found[name], last[name]) for name in last)
    anew = ParEGOSearcher(problem.space, 2, n_initial=5)
    anew.tell(X, problem.evaluate(X))
    centre = dict(anew._fitted(known)[0].named_parameters())
    assert not all(torch.equal(centre[name], ended[0][name]) for name in centre)


def test_more_points_than_the_quasi_random_sequence_has_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botorch", reason="comes with the extra 'bayes'")
    from nasbench_mo.search.parego import ParEGOSearcher

    monkeypatch.setattr("torch.quasirandom.SobolEngine.MAXDIM", 4)
    searcher = ParEGOSearcher(nmo.problem("nb201s-c10-params-v1").space, 2, mc_samples=500)
    few, many = searcher._draws(2), searcher._draws(30)
    assert (few.shape, many.shape) == ((500, 2, 2), (500, 30, 2))
    for draws in (few, many):
        assert abs(draws.mean()) < 0.05
        assert draws.std() == pytest.approx(1.0, abs=0.05)
