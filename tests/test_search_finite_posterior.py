"""The looked-up posterior is the model's own, and so are the acquisitions over it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import nasbench_mo as nmo

torch = pytest.importorskip("torch")
pytest.importorskip("botorch")

from botorch.acquisition.multi_objective import logei  # noqa: E402
from botorch.exceptions.errors import UnsupportedError  # noqa: E402
from botorch.models import ModelListGP, SingleTaskGP  # noqa: E402
from botorch.sampling.normal import SobolQMCNormalSampler  # noqa: E402

from nasbench_mo.search.finite_posterior import FinitePosterior  # noqa: E402
from nasbench_mo.search.parego import ParEGOSearcher  # noqa: E402
from nasbench_mo.search.qlognehvi import QLogNEHVISearcher, uncompiled  # noqa: E402

N_KNOWN = 12


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda m: f"{m} objectives")
def model(request: pytest.FixtureRequest) -> Any:
    rng = np.random.default_rng(request.param)
    X = torch.tensor(rng.random((N_KNOWN, 4)))
    return ModelListGP(*[SingleTaskGP(X, torch.tensor(rng.random((N_KNOWN, 1)))) for _ in range(request.param)])


@pytest.fixture
def points(model: Any) -> Any:
    choices = torch.tensor(np.random.default_rng(7).random((700, 4)))  # more than are computed at a time
    return torch.cat([model.train_inputs[0][0], choices])


@pytest.fixture
def finite(model: Any, points: Any) -> FinitePosterior:
    return FinitePosterior(model, known=points[:N_KNOWN], choices=points[N_KNOWN:])


def _numbers(*which: int) -> Any:
    return torch.tensor(which, dtype=torch.float64)[:, None]


@pytest.mark.parametrize("which", [[0], [N_KNOWN], [3, 0, 11], [3, N_KNOWN + 600, 1], [N_KNOWN + 650, 0, 5]])
def test_it_is_the_models_own_joint_posterior(
    model: Any, points: Any, finite: FinitePosterior, which: list[int]
) -> None:
    ours, theirs = finite.posterior(_numbers(*which)), model.posterior(points[which])
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(ours.variance, theirs.variance, rtol=1e-6, atol=1e-8)
    own, other = (p.distribution.covariance_matrix for p in (ours, theirs))
    torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-8)


def test_many_sets_at_once_and_choices_that_are_held(model: Any, points: Any, finite: FinitePosterior) -> None:
    held = [N_KNOWN + 5, N_KNOWN + 699]
    finite.hold(_numbers(*held))
    finite.hold(_numbers(*held[:1]))  # held already
    sets = torch.tensor([[0, held[0], held[1], N_KNOWN + i] for i in range(10, 50)])
    ours = finite.posterior(sets.to(torch.float64)[..., None])
    theirs = model.posterior(points[sets])
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(
        ours.distribution.covariance_matrix, theirs.distribution.covariance_matrix, rtol=1e-6, atol=1e-8
    )


def test_two_choices_that_are_not_held_are_refused(finite: FinitePosterior) -> None:
    with pytest.raises(UnsupportedError, match="one point at most"):
        finite.posterior(_numbers(N_KNOWN, N_KNOWN + 1))


def test_what_it_does_not_have_is_refused(finite: FinitePosterior) -> None:
    with pytest.raises(UnsupportedError, match="without noise"):
        finite.posterior(_numbers(0), observation_noise=True)
    with pytest.raises(UnsupportedError, match="all objectives"):
        finite.posterior(_numbers(0), output_indices=[0])


def test_an_acquisition_has_the_same_values_over_it(model: Any, points: Any, finite: FinitePosterior) -> None:
    if model.num_outputs == 1:
        pytest.skip("one objective has no hypervolume")
    pending = [N_KNOWN + 3]
    finite.hold(_numbers(*pending))
    values = []
    for which, known, held, choices in (
        (finite, finite.known, _numbers(*pending), finite.choices),
        (model, points[:N_KNOWN], points[pending], points[N_KNOWN:]),
    ):
        with uncompiled(logei):
            acquisition = logei.qLogNoisyExpectedHypervolumeImprovement(
                model=which,
                ref_point=[-0.5] * model.num_outputs,
                X_baseline=known,
                sampler=SobolQMCNormalSampler(torch.Size([16]), seed=3),
                prune_baseline=False,  # which points are pruned depends on draws from torch's own generator
            )
        acquisition.set_X_pending(held)
        with torch.no_grad():
            values.append(acquisition(choices[10:60, None, :]))
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-4)


def test_a_point_told_twice_does_no_harm(finite: FinitePosterior) -> None:
    drawn = finite.posterior(_numbers(0, 0, N_KNOWN)).rsample(torch.Size([4]))
    assert drawn.isfinite().all()


def test_a_fit_begins_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = nmo.problem("nb201s-c10-params-v1")
    X = problem.space.sample(30, rng=np.random.default_rng(0))
    searcher = ParEGOSearcher(problem.space, 2, n_initial=5)
    searcher.tell(X, problem.evaluate(X))
    known = searcher._tensor(searcher._features(searcher._X))
    searcher._fitted(known)
    ended = searcher._hyperparameters
    monkeypatch.setattr("botorch.fit.fit_gpytorch_mll", lambda *args, **kwargs: None)
    begun = searcher._fitted(known).models
    for model, last in zip(begun, ended, strict=True):
        found = dict(model.named_parameters())
        assert found.keys() == last.keys()
        assert all(torch.equal(found[name], last[name]) for name in last)
    anew = ParEGOSearcher(problem.space, 2, n_initial=5)
    anew.tell(X, problem.evaluate(X))
    centre = dict(anew._fitted(known).models[0].named_parameters())
    assert not all(torch.equal(centre[name], ended[0][name]) for name in centre)


def test_no_kernel_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(logei, "_load_attempted"):
        pytest.skip("this BoTorch has no kernel")
    compiled = []
    monkeypatch.setattr("torch.utils.cpp_extension.load", lambda **given: compiled.append(given["name"]))
    monkeypatch.setattr(logei, "_load_attempted", False)
    problem = nmo.problem("nb201s-c10-params-v1")
    searcher = QLogNEHVISearcher(problem.space, 2, n_initial=5, n_candidates=10)
    X = problem.space.sample(6, rng=np.random.default_rng(0))
    searcher.tell(X, problem.evaluate(X))
    assert len(searcher.ask(2)) == 2
    assert not compiled
    assert logei._load_attempted is False  # somebody's own acquisition may still have it
    logei._try_load_fused_kernel()
    assert compiled == ["logei_fused_ext"]
