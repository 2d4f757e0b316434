"""BoTorch's own test mixins, the sign of values and reference point, and BoTorch's search on one of our problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from benchmark_helpers import ERROR, LATENCY, opposed, store_synthetic_nb201, toy_problem, toy_space
from botorch.acquisition.multi_objective import logei
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.test_functions.base import ConstrainedBaseTestProblem, MultiObjectiveTestProblem
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.testing import (
    BaseTestProblemTestCaseMixIn,
    BotorchTestCase,
    ConstrainedTestProblemTestCaseMixin,
    MultiObjectiveTestProblemTestCaseMixin,
)
from botorch.utils.transforms import unnormalize
from gpytorch.mlls import ExactMarginalLogLikelihood

import nasbench_mo as nmo
from nasbench_mo.adapters.botorch import to_botorch
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import ManifestError, SpecError

FLOPS = "nb201s-c10-flops-v1"
BOUNDS = ("flops_millions <= 60", "params_millions <= 0.5")


def tensor(X: Any) -> torch.Tensor:
    return torch.tensor(X, dtype=torch.float64)


# ---------------------------------------------------------------------- BoTorch's own tests


class TestMinimised(BotorchTestCase, BaseTestProblemTestCaseMixIn, MultiObjectiveTestProblemTestCaseMixin):
    @property
    def functions(self) -> Sequence[Any]:
        own_point = to_botorch(toy_problem(), negate=False, reference_point=[9.0, 30.0])
        return [to_botorch(nmo.problem(FLOPS), negate=False), own_point]


class TestMaximised(BotorchTestCase, BaseTestProblemTestCaseMixIn):
    @property
    def functions(self) -> Sequence[Any]:
        return [to_botorch(nmo.problem(FLOPS)), to_botorch(nmo.problem("nb201s-c10-eyeriss-fpga-v1"))]


class TestConstrained(
    BotorchTestCase,
    BaseTestProblemTestCaseMixIn,
    MultiObjectiveTestProblemTestCaseMixin,
    ConstrainedTestProblemTestCaseMixin,
):
    @property
    def functions(self) -> Sequence[Any]:
        return [to_botorch(nmo.problem(FLOPS).constrained(*BOUNDS), negate=False)]

    def test_evaluate_slack(self) -> None:
        # the mixin draws reals, which BoTorch refuses for categorical variables
        with mock.patch(
            "botorch.utils.testing.unnormalize", side_effect=lambda X, bounds: unnormalize(X, bounds).round()
        ) as whole:
            super().test_evaluate_slack()  # holds the assertions about the slack's shape and sign
        assert whole.called


# ---------------------------------------------------------------------- signs, order, reference point


@pytest.mark.parametrize(("negate", "sign"), [(True, -1), (False, 1)])
def test_values_and_reference_point_turn_their_sign_together(negate: bool, sign: int) -> None:
    problem = toy_problem(5, 4, 3)
    theirs = to_botorch(problem, negate=negate)
    X = problem.space.enumerate()
    assert isinstance(theirs, MultiObjectiveTestProblem)
    assert theirs.categorical_inds == [0, 1, 2]
    np.testing.assert_array_equal(theirs(tensor(X)).numpy(), sign * opposed(X))
    np.testing.assert_array_equal(theirs.evaluate_true(tensor(X)).numpy(), opposed(X))
    facts = problem.manifest.score
    reference = np.asarray(facts.ideal) + 1.1 * (np.asarray(facts.nadir) - np.asarray(facts.ideal))
    np.testing.assert_allclose(theirs.ref_point.numpy(), sign * reference)
    np.testing.assert_array_equal(theirs.bounds.numpy(), [[0, 0, 0], [4, 3, 2]])


@pytest.mark.parametrize("bounds", [(), BOUNDS])
def test_the_maximal_hypervolume_is_that_of_the_exact_front(bounds: tuple[str, ...]) -> None:
    problem = nmo.problem(FLOPS).constrained(*bounds)
    theirs = to_botorch(problem)
    volume = Hypervolume(theirs.ref_point).compute(-tensor(problem.true_front()))
    assert volume == pytest.approx(theirs.max_hv)
    assert Hypervolume(-theirs.ref_point).compute(-tensor(problem.true_front())) == 0  # a point of the other sign


def test_a_best_known_front_is_no_maximal_hypervolume() -> None:
    theirs = to_botorch(nmo.problem("mnasnets-in1k-a100-v1"))
    assert len(theirs.ref_point) == 2
    with pytest.raises(NotImplementedError):
        _ = theirs.max_hv


def test_batches_keep_their_shape() -> None:
    problem = toy_problem(5, 4, 3)
    X = problem.space.enumerate()[:24].reshape(2, 4, 3, 3)
    np.testing.assert_array_equal(
        to_botorch(problem)(tensor(X)).numpy(), -opposed(X.reshape(-1, 3)).reshape(2, 4, 3, 2)
    )


def test_slack_is_at_least_zero_where_the_constraints_are_kept() -> None:
    problem = nmo.problem(FLOPS).constrained(*BOUNDS)
    theirs = to_botorch(problem)
    X = problem.space.sample(500, rng=np.random.default_rng(0))
    assert isinstance(theirs, ConstrainedBaseTestProblem)
    assert theirs.num_constraints == 2
    slack = theirs.evaluate_slack(tensor(X)).numpy()
    np.testing.assert_array_equal(theirs.is_feasible(tensor(X)).numpy(), problem.feasible(X))
    np.testing.assert_allclose(np.maximum(-slack, 0).sum(axis=1), problem.violation(X))
    np.testing.assert_allclose(slack[:, 0], (60 - problem.evaluate(X)[:, 1]) / 60)


@pytest.mark.usefixtures("cache")
def test_noise_is_the_drawn_training_run() -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1").constrained("error <= 50")
    theirs = to_botorch(problem, noise_seed=3)
    X = problem.space.sample(50, rng=np.random.default_rng(0))
    seen, true = problem.observation(3).evaluate(X), problem.evaluate(X)
    assert (seen != true).any()
    np.testing.assert_array_equal(theirs(tensor(X)).numpy(), -seen)
    np.testing.assert_array_equal(theirs(tensor(X), noise=False).numpy(), -true)
    np.testing.assert_allclose(theirs.evaluate_slack(tensor(X)).numpy()[:, 0], (50 - seen[:, 0]) / 50)
    np.testing.assert_allclose(theirs.evaluate_slack(tensor(X), noise=False).numpy()[:, 0], (50 - true[:, 0]) / 50)


# ---------------------------------------------------------------------- refusals


def test_a_problem_without_manifest_needs_a_reference_point() -> None:
    huge = Problem.from_function("huge-v1", opposed, search_space=nmo.space("mnasnet"), objectives=[ERROR, LATENCY])
    with pytest.raises(ManifestError, match="no manifest"):
        to_botorch(huge)
    theirs = to_botorch(huge, reference_point=[90.0, 400.0])
    np.testing.assert_array_equal(theirs.ref_point.numpy(), [-90, -400])
    with pytest.raises(NotImplementedError):
        _ = theirs.max_hv


@pytest.mark.parametrize("point", [[1.0], [1.0, np.nan]])
def test_an_impossible_reference_point_is_refused(point: list[float]) -> None:
    with pytest.raises(SpecError, match="2 finite numbers"):
        to_botorch(toy_problem(), reference_point=point)


def test_a_single_objective_is_refused() -> None:
    one = Problem.from_function("one-v1", lambda X: opposed(X)[:, :1], search_space=toy_space(3, 3), objectives=[ERROR])
    with pytest.raises(SpecError, match="two or more"):
        to_botorch(one)


def test_a_fraction_is_refused_as_botorch_does() -> None:
    with pytest.raises(ValueError, match="integer values"):
        to_botorch(toy_problem())(tensor([[0.5, 0, 0]]))


# ---------------------------------------------------------------------- BoTorch's search


def noisy_hypervolume_search(problem: Problem, *, negate: bool, seed: int) -> torch.Tensor:
    """Twenty architectures drawn by chance and, of random ones and the front's neighbours, forty chosen by BoTorch."""
    theirs = to_botorch(problem, negate=negate)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    X = tensor(problem.space.sample(20, rng=rng))

    def one_hot(X: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(X.long(), 5).flatten(-2).double()

    for _ in range(4):
        Y = theirs(X)
        model = SingleTaskGP(one_hot(X), Y, outcome_transform=Standardize(2))
        mll = ExactMarginalLogLikelihood(model.likelihood, model)
        fit_gpytorch_mll(mll, optimizer_kwargs={"options": {"maxiter": 10}})
        acquisition = logei.qLogNoisyExpectedHypervolumeImprovement(
            model,
            theirs.ref_point,
            one_hot(X),
            sampler=SobolQMCNormalSampler(torch.Size([16]), seed=seed),
            prune_baseline=True,
        )
        best = X[torch.tensor(nmo.nondominated(-Y.numpy()))].int().numpy()
        near = np.concatenate([problem.space.neighbors(x) for x in best])
        choices = tensor(np.unique(np.concatenate([near, problem.space.sample(100, rng=rng)]), axis=0))
        with torch.no_grad():
            gain = acquisition(one_hot(choices)[:, None, :])
        X = torch.cat([X, choices[gain.topk(10).indices]])
    return X


@pytest.mark.filterwarnings("ignore::Warning")  # of its optimiser, which is stopped early
def test_botorch_finds_the_front_by_maximising(monkeypatch: pytest.MonkeyPatch) -> None:
    # BoTorch would compile a kernel, and wait without end for the lock of a process that was killed when it did
    monkeypatch.setattr(logei, "_load_attempted", True, raising=False)
    problem = nmo.problem(FLOPS)
    found, reverse = (
        problem.evaluate(noisy_hypervolume_search(problem, negate=negate, seed=0).int().numpy())
        for negate in (True, False)
    )
    share = problem.hypervolume_share(found)
    assert 0.8 < share <= 1
    assert problem.hypervolume_share(reverse) < share
    chosen, backwards = (problem.normalize(F[20:]).sum(axis=1).mean() for F in (found, reverse))
    assert chosen < backwards / 2
