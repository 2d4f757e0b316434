"""The Gaussian process in GPyTorch: the same kernel, prior and posterior. Importing this file imports torch.

Gardner et al., "GPyTorch", NeurIPS 2018. All is float64: the factor of a nearly singular covariance needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from nasbench_mo.errors import require
from nasbench_mo.predictor.estimators.gp_kernel import Floats, KernelTerm
from nasbench_mo.predictor.estimators.gp_prior import LEAST_NOISE, KernelPrior, scaled

torch = require("torch", extra="fit")
gpytorch = require("gpytorch", extra="fit")

_STEPS = 25
#: Standard deviation of the logarithm of a term's variance, for the gradient: a factor of e either way is unremarkable.
_WEIGHT_SPREAD = 1.0
#: Points for which GPyTorch is asked at a time; it builds their joint covariance.
_CHUNK = 512


class ExactModel(gpytorch.models.ExactGP):  # type: ignore[misc, name-defined, unused-ignore]
    """Zero-mean Gaussian process with a kernel of :class:`.gp_kernel.KernelTerm`.

    Parameters
    ----------
    terms
        The kernel; weights and lengths are parameters of the model.
    inputs, scores
        (n, k) features and (n,) standardised targets.
    noise
        Noise variance.
    """

    def __init__(self, terms: Sequence[KernelTerm], *, inputs: Floats, scores: Floats, noise: float) -> None:
        likelihood = gpytorch.likelihoods.GaussianLikelihood(
            noise_constraint=gpytorch.constraints.GreaterThan(LEAST_NOISE / 10)
        ).double()
        super().__init__(_tensor(inputs), _tensor(scores), likelihood)
        self.mean_module = gpytorch.means.ZeroMean()
        self.parts = torch.nn.ModuleList([gpytorch.kernels.ScaleKernel(_Viewed(term)) for term in terms])
        self.double()
        for part, term in zip(self.parts, terms, strict=True):
            part.outputscale = term.weight
        likelihood.noise = noise

    def forward(self, x: Any) -> Any:
        """Prior at (n, k) inputs."""
        covariance = self.parts[0](x)
        for part in list(self.parts)[1:]:
            covariance = covariance + part(x)
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), covariance)

    def predicted(self, X: Floats) -> tuple[Floats, Floats]:
        """GPyTorch's own posterior mean and standard deviation of an observation, (m,) each, of (m, k) inputs."""
        self.eval()
        self.likelihood.eval()
        means, deviations = [], []
        with torch.no_grad(), _exact():
            for start in range(0, len(X), _CHUNK):
                found = self.likelihood(self(_tensor(X[start : start + _CHUNK])))
                means.append(found.mean.numpy())
                deviations.append(found.variance.sqrt().numpy())
        return np.concatenate(means), np.concatenate(deviations)


def most_probable(
    prior: KernelPrior, *, inputs: Floats, scores: Floats, steps: int = _STEPS
) -> tuple[tuple[KernelTerm, ...], float]:
    """Kernel and noise at the greatest posterior density, by L-BFGS from the prior's centre.

    Each term has a length and a weight of its own; all are log-normal around the prior.
    """
    model = ExactModel(prior.terms, inputs=inputs, scores=scores, noise=prior.noise)
    model.train()
    model.likelihood.train()
    beliefs = _beliefs(model, prior)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for raw, _, _, _ in beliefs:
        raw.requires_grad_(True)
    optimiser = torch.optim.LBFGS([raw for raw, *_ in beliefs], max_iter=steps, line_search_fn="strong_wolfe")
    likelihood = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    target = _tensor(scores)

    def loss() -> Any:
        optimiser.zero_grad()
        fit = -likelihood(model(model.train_inputs[0]), target) * len(scores)
        surprise = [((read().log().sum() - centre) / spread) ** 2 / 2 for _, read, centre, spread in beliefs]
        total = fit + sum(surprise)
        total.backward()
        return total

    with _exact():
        optimiser.step(loss)
    with torch.no_grad():
        noise = float(model.likelihood.noise.sum())
        fitted = []
        for part, term in zip(model.parts, prior.terms, strict=True):
            length = float(part.base_kernel.length())
            alone = scaled([term], length=length, weight=float(part.outputscale) / term.weight)
            fitted.append(alone[0])
    return tuple(fitted), noise


def _beliefs(model: ExactModel, prior: KernelPrior) -> list[tuple[Any, Any, float, float]]:
    """Raw parameter, its value, and centre and spread of the logarithm, of each parameter that is fitted."""
    made: list[tuple[Any, Any, float, float]] = []
    for part, term in zip(model.parts, prior.terms, strict=True):
        made.append(
            (part.raw_outputscale, lambda part=part: part.outputscale, float(np.log(term.weight)), _WEIGHT_SPREAD)
        )
        if term.stationary and prior.length_spread > 0:
            inner = part.base_kernel
            made.append((inner.raw_length(), inner.length, 0.0, prior.length_spread))
    if prior.noise_spread > 0:
        lk = model.likelihood
        made.append((lk.noise_covar.raw_noise, lambda: lk.noise, float(np.log(prior.noise)), prior.noise_spread))
    return made


class _Viewed(gpytorch.kernels.Kernel):  # type: ignore[misc, name-defined, unused-ignore]
    """One of GPyTorch's kernels, or one of the two below, on the columns of a term."""

    def __init__(self, term: KernelTerm) -> None:
        super().__init__()
        enters = np.flatnonzero(term.scales)
        self.register_buffer("columns", torch.from_numpy(enters))
        self.register_buffer("scales", _tensor(term.scales[enters]))
        self.register_buffer("offset", _tensor(np.asarray(term.offset)[enters]))
        self.base_kernel = _BASES[term.kind](self.scales)
        if term.kind == "linear":
            self.base_kernel.variance = 1.0

    def length(self) -> Any:
        """Factor on the lengths; 1 where the kernel has none."""
        return self.base_kernel.lengthscale if self.base_kernel.has_lengthscale else torch.ones(1, 1)

    def raw_length(self) -> Any:
        """The parameter behind :meth:`length`."""
        return self.base_kernel.raw_lengthscale

    def forward(self, x1: Any, x2: Any, diag: bool = False, **settings: Any) -> Any:
        """Covariance of (n, k) and (m, k) inputs."""
        return self.base_kernel.forward(self._view(x1), self._view(x2), diag=diag, **settings)

    def _view(self, x: Any) -> Any:
        return (x[..., self.columns] - self.offset) * self.scales


class _Tanimoto(gpytorch.kernels.Kernel):  # type: ignore[misc, name-defined, unused-ignore]
    def __init__(self, _: Any) -> None:
        super().__init__()

    def forward(self, x1: Any, x2: Any, diag: bool = False, **_: Any) -> Any:
        if diag:
            return torch.ones(x1.shape[:-1], dtype=x1.dtype)
        common = x1 @ x2.transpose(-1, -2)
        union = (x1 * x1).sum(-1)[..., :, None] + (x2 * x2).sum(-1)[..., None, :] - common
        return torch.where(union > 0, common / union.clamp_min(1e-300), torch.ones_like(common))


class _Hamming(gpytorch.kernels.Kernel):  # type: ignore[misc, name-defined, unused-ignore]
    has_lengthscale = True

    def __init__(self, scales: Any) -> None:
        super().__init__()
        self.register_buffer("column_scales", scales)

    def forward(self, x1: Any, x2: Any, diag: bool = False, **_: Any) -> Any:
        if diag:
            return torch.ones(x1.shape[:-1], dtype=x1.dtype)
        differs = (x1[..., :, None, :] != x2[..., None, :, :]).to(x1.dtype)
        return torch.exp(-(differs @ self.column_scales) / self.lengthscale.reshape(()))


def _matern(_: Any) -> Any:
    made = gpytorch.kernels.MaternKernel(nu=2.5)
    made.lengthscale = 1.0
    return made


def _hamming(scales: Any) -> Any:
    made = _Hamming(scales)
    made.lengthscale = 1.0
    return made


_BASES: dict[str, Any] = {
    "matern52": _matern,
    "linear": lambda _: gpytorch.kernels.LinearKernel(),
    "tanimoto": _Tanimoto,
    "hamming": _hamming,
}


def _tensor(values: Floats) -> Any:
    return torch.from_numpy(np.array(values, dtype=np.float64))


@contextmanager
def _exact() -> Iterator[None]:
    """Cholesky at every size and no stochastic estimate of a determinant or a root."""
    with (
        gpytorch.settings.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False),
        gpytorch.settings.max_cholesky_size(1_000_000),
    ):
        yield
