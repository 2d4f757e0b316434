"""Bayesian optimisation by BoTorch on a finite space. Abstract: a searcher names its acquisition.

Balandat et al., "BoTorch", NeurIPS 2020. torch is imported when a searcher is made.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import require
from nasbench_mo.search._options import number
from nasbench_mo.search.archive_base import ArchiveSearcher, Floats
from nasbench_mo.search.posterior_samples import PosteriorSamples
from nasbench_mo.search.surrogate import features
from nasbench_mo.space import SearchSpace
from nasbench_mo.threads import one_blas_thread

#: Reference point in units of the observed range: 10 % beyond the worst.
REFERENCE = 1.1


class BoTorchSearcher(ArchiveSearcher):
    """Exact Gaussian processes in double precision, one an objective, and a discrete choice among candidates.

    The candidates of a batch are random unseen architectures and the unseen neighbours of the front. Objectives are
    learnt as logarithms where they are positive, scaled by the observed range and standardised; the processes have
    BoTorch's own kernel and priors. A fit begins with the hyperparameters of the one before.

    Parameters
    ----------
    n_initial, batch
        Random architectures at the start, and proposals from one fit, chosen one after the other.
    n_candidates
        Random candidates; at most as many neighbours of the front are added. Their covariances take 8 bytes for each
        pair and objective.
    mc_samples
        Quasi-random samples that the acquisition averages over.
    fit_iterations, fit_tolerance
        Most steps of L-BFGS for the hyperparameters, and the relative gain of a step below which it ends.
    features
        What the processes see: ``"onehot"``, ``"default"`` for the space's own feature map, or the name of one.

    Notes
    -----
    Randomness is forked from torch's global generator, which is as before afterwards. One thread computes: for
    matrices as small as these, more of them wait for each other most of the time.
    """

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        n_initial: int = 20,
        batch: int = 5,
        n_candidates: int = 1000,
        mc_samples: int = 32,
        fit_iterations: int = 200,
        fit_tolerance: float = 1e-6,
        features: str = "onehot",
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, n_initial=n_initial, batch=batch)
        self.n_candidates = self._integer("n_candidates", n_candidates, least=1)
        self.mc_samples = self._integer("mc_samples", mc_samples, least=1)
        self.fit_iterations = self._integer("fit_iterations", fit_iterations, least=1)
        self.fit_tolerance = number(self.name, "fit_tolerance", fit_tolerance, least=0.0, most=1.0)
        self.features = features
        self._hyperparameters: list[dict[str, Any]] = []
        self._features = _features_of(self.name, features, space=space)
        self._torch = require("torch", extra="bayes")
        require("botorch", extra="bayes")

    def options(self) -> dict[str, float | int | str]:
        """Design and batch, candidates, samples, fit and features."""
        return {
            **super().options(),
            "n_candidates": self.n_candidates,
            "mc_samples": self.mc_samples,
            "fit_iterations": self.fit_iterations,
            "fit_tolerance": self.fit_tolerance,
            "features": self.features,
        }

    @abstractmethod
    def _chosen(self, samples: PosteriorSamples, *, n: int, n_choices: int) -> list[int]:
        """n choices, best first, given samples of the scaled objectives (:meth:`_targets`), which are minimised."""

    def _propose(self, n: int) -> NDArray[Any]:
        pool = np.concatenate([self._fresh(self.n_candidates), self._neighbours_of_front(self.n_candidates)])
        pool = self._unseen(pool)
        n = min(n, len(pool))
        with self._own_randomness():
            return pool[self._chosen(self._samples(pool, n=n), n=n, n_choices=len(pool))]

    def _samples(self, choices: NDArray[Any], *, n: int) -> PosteriorSamples:
        """Of what was told and (c, d) choices, n of which may be chosen."""
        known = self._tensor(self._features(self._X))
        points = self._torch.cat([known, self._tensor(self._features(choices))])
        fitted = self._fitted(known)
        with self._torch.no_grad():
            joint = [part.posterior(points).distribution for part in fitted]
            means = [part.mean.numpy() for part in joint]
            covariances = [part.covariance_matrix.numpy() for part in joint]
        base = self._draws(len(known) + n)
        return PosteriorSamples(means, covariances, base=base, n_known=len(known))

    def _draws(self, n_points: int) -> Floats:
        """Standard normal draws of each sample, point and objective: (s, n, m)."""
        sampling = require("botorch.utils.sampling", extra="bayes")
        d, seed = n_points * self.n_objectives, int(self._rng.integers(1 << 31))
        if d > self._torch.quasirandom.SobolEngine.MAXDIM:  # as many dimensions as the sequence is tabulated for
            return np.random.default_rng(seed).standard_normal((self.mc_samples, n_points, self.n_objectives))
        base = sampling.draw_sobol_normal_samples(d, self.mc_samples, seed=seed, dtype=self._torch.float64)
        return np.asarray(base).reshape(self.mc_samples, n_points, self.n_objectives)

    def _fitted(self, known: Any) -> list[Any]:
        """A process of each scaled objective, given (n, k) features."""
        models = require("botorch.models", extra="bayes")
        likelihoods = require("gpytorch.mlls", extra="bayes")
        fit = require("botorch.fit", extra="bayes").fit_gpytorch_mll
        parts = [models.SingleTaskGP(known, column[:, None]) for column in self._tensor(self._targets()).T]
        for part, last in zip(parts, self._hyperparameters, strict=False):  # none before the first fit
            part.load_state_dict(last, strict=False)
        for part in parts:
            mll = likelihoods.ExactMarginalLogLikelihood(part.likelihood, part)
            fit(mll, optimizer_kwargs={"options": {"maxiter": self.fit_iterations, "ftol": self.fit_tolerance}})
        self._hyperparameters = [
            {name: value.detach().clone() for name, value in part.named_parameters()} for part in parts
        ]
        return parts

    def _tensor(self, values: Floats) -> Any:
        return self._torch.tensor(values, dtype=self._torch.float64)

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Seed torch's generator, put it back afterwards; warnings of the numerics concern nobody outside."""
        n_threads = self._torch.get_num_threads()
        with self._torch.random.fork_rng(devices=[]), warnings.catch_warnings(), one_blas_thread():
            warnings.simplefilter("ignore")
            self._torch.manual_seed(int(self._rng.integers(1 << 31)))
            self._torch.set_num_threads(1)
            try:
                yield
            finally:
                self._torch.set_num_threads(n_threads)


#: Under another name, as the option is called ``features`` too.
_features_of = features
