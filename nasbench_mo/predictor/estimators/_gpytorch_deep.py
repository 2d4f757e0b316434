"""The two-layer Gaussian process in GPyTorch. Importing this file imports torch.

Damianou & Lawrence, "Deep Gaussian Processes", AISTATS 2013, trained by the doubly stochastic bound of Salimbeni &
Deisenroth, NeurIPS 2017: samples pass through the hidden layer, each layer has inducing points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nasbench_mo.errors import require
from nasbench_mo.predictor.estimators.gp_kernel import Floats

torch = require("torch", extra="fit")
gpytorch = require("gpytorch", extra="fit")

_LEARNING_RATE = 0.02
_TRAINING_SAMPLES = 4
#: Samples of the hidden layer that a prediction averages over.
_PREDICTION_SAMPLES = 16
_CHUNK = 4096
#: As GPyTorch's own for float64 in the same place.
_JITTER = 1e-6


class TwoLayers(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Inputs -> a few hidden functions -> the score.

    The hidden functions have projections of the inputs as their prior mean: the ridge regression of the scores, then
    principal components. From a constant the second layer could not tell anything.

    Parameters
    ----------
    inputs, scores
        (n, j) training inputs, scaled so that their length is about 1, and (n,) standardised targets.
    n_hidden
        Number of hidden functions.
    inducing
        Rows of the inputs where the inducing points of both layers start.
    noise
        Noise variance at the start.
    """

    def __init__(self, inputs: Floats, *, scores: Floats, n_hidden: int, inducing: Any, noise: float) -> None:
        super().__init__()
        components = _projection(inputs - inputs.mean(axis=0), scores=scores, n_hidden=n_hidden)
        self.register_buffer("origin", _tensor(inputs.mean(axis=0)))
        self.register_buffer("components", _tensor(components))
        start = _tensor(inputs[inducing])
        self.first = _Layer(start, n_functions=components.shape[1], deviation=0.1)
        self.second = _Layer(self._projected(start), n_functions=None, deviation=1.0)
        self.likelihood = gpytorch.likelihoods.GaussianLikelihood()
        self.double()
        self.likelihood.noise = noise

    def start_second(self, x: Any, z: Any) -> None:
        """Let the second layer start from the exact posterior of a single layer on the projected inputs."""
        strategy = self.second.variational_strategy
        points, hidden = strategy.inducing_points, self._projected(x)
        with torch.no_grad():
            kernel, noise = self.second.covar_module, self.likelihood.noise
            K = kernel(hidden, hidden).to_dense() + noise * torch.eye(len(x), dtype=x.dtype)
            mean = kernel(points, hidden).to_dense() @ torch.linalg.solve(K, z)
            own = kernel(points, points).to_dense() + _JITTER * torch.eye(len(points), dtype=x.dtype)
            whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(own), mean[:, None], upper=False)[:, 0]
            distribution = strategy._variational_distribution
            distribution.variational_mean.copy_(whitened)
            distribution.chol_variational_covar.copy_(0.1 * torch.eye(len(points), dtype=x.dtype))
            strategy.variational_params_initialized.fill_(1)

    def forward(self, x: Any, normals: Any) -> Any:
        """Score of (n, j) inputs given (s, n or 1, h) standard normals: s marginal Gaussians of each, (s, n)."""
        hidden = self.first(x)
        mean = hidden.mean.transpose(-1, -2) + self._projected(x)
        deviation = hidden.variance.clamp_min(1e-12).sqrt().transpose(-1, -2)
        return self.second(mean + deviation * normals)

    def fitted(self, x: Any, z: Any, *, n_steps: int, generator: Any) -> None:
        """Maximise the evidence lower bound with Adam."""
        optimiser = torch.optim.Adam(self.parameters(), lr=_LEARNING_RATE)
        n_hidden = self.components.shape[1]
        self.train()
        for _ in range(n_steps):
            optimiser.zero_grad()
            normals = torch.randn(_TRAINING_SAMPLES, len(x), n_hidden, generator=generator, dtype=torch.float64)
            expected = self.likelihood.expected_log_prob(z, self(x, normals)).sum(-1).mean()
            bound = expected - sum(
                layer.variational_strategy.kl_divergence().sum() for layer in (self.first, self.second)
            )
            (-bound).backward()
            optimiser.step()
        self.eval()

    def predicted(self, inputs: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of an observation, (m,) each, of the mixture over the hidden samples.

        All points share the same few normals, so a point's prediction does not depend on the others.
        """
        generator = torch.Generator().manual_seed(0)
        normals = torch.randn(_PREDICTION_SAMPLES // 2, 1, self.components.shape[1], generator=generator).double()
        normals = torch.cat([normals, -normals])
        means, deviations = [], []
        with torch.no_grad():
            for start in range(0, len(inputs), _CHUNK):
                each = self(_tensor(inputs[start : start + _CHUNK]), normals)
                mean = each.mean.mean(0)
                variance = each.variance.mean(0) + each.mean.var(0, unbiased=False) + self.likelihood.noise
                means.append(mean.numpy())
                deviations.append(variance.sqrt().numpy())
        return np.concatenate(means), np.concatenate(deviations)

    def _projected(self, x: Any) -> Any:
        return (x - self.origin) @ self.components


class _Layer(gpytorch.models.ApproximateGP):  # type: ignore[misc, name-defined, unused-ignore]
    """Zero-mean sparse Gaussian processes of smoothness 5/2, one or a batch of them."""

    def __init__(self, inducing: Any, *, n_functions: int | None, deviation: float) -> None:
        batch = torch.Size([] if n_functions is None else [n_functions])
        points = inducing.clone() if n_functions is None else inducing.expand(n_functions, -1, -1).clone()
        distribution = gpytorch.variational.CholeskyVariationalDistribution(points.shape[-2], batch_shape=batch)
        super().__init__(gpytorch.variational.VariationalStrategy(self, points, distribution))
        self.mean_module = gpytorch.means.ZeroMean(batch_shape=batch)
        matern = gpytorch.kernels.MaternKernel(nu=2.5, batch_shape=batch)
        self.covar_module = gpytorch.kernels.ScaleKernel(matern, batch_shape=batch)
        matern.lengthscale = 1.0
        self.covar_module.outputscale = deviation**2

    def forward(self, x: Any) -> Any:
        """Prior at the inputs."""
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def trained(
    inputs: Floats, *, scores: Floats, n_hidden: int, inducing: Any, noise: float, n_steps: int, seed: int
) -> TwoLayers:
    """A model fitted to (n, j) inputs and (n,) standardised scores; the global generator is left alone."""
    model = TwoLayers(inputs, scores=scores, n_hidden=n_hidden, inducing=inducing, noise=noise)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # GPyTorch perturbs the variational mean from the global generator
        model.start_second(_tensor(inputs), _tensor(scores))
        model.fitted(_tensor(inputs), _tensor(scores), n_steps=n_steps, generator=generator)
    return model


def _projection(centred: Floats, *, scores: Floats, n_hidden: int) -> Floats:
    """(j, h) directions of unit variance: the ridge regression, then principal components of what is orthogonal."""
    gram = centred.T @ centred
    ridge = np.linalg.solve(gram + 0.1 * max(np.trace(gram), 1e-12) * np.eye(len(gram)) / len(gram), centred.T @ scores)
    first = ridge[:, None] / max(float(np.linalg.norm(ridge)), 1e-300)
    others = np.linalg.svd(centred - (centred @ first) @ first.T, full_matrices=False)[2]
    components = np.hstack([first, others[: n_hidden - 1].T])[:, : centred.shape[1]]
    made: Floats = components / np.maximum((centred @ components).std(axis=0), 1e-6)
    return made


def _tensor(values: Floats) -> Any:
    return torch.from_numpy(np.array(values, dtype=np.float64))
