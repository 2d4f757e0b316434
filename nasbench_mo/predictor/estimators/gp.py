"""An exact Gaussian process whose kernel is mostly known beforehand.

With 50 training rows and 100 features nothing can be learnt of the single length scales, and with one length for all
columns most of them are noise. So the relevance of the columns is a prior (:class:`.gp_prior.KernelPrior`), and fitting
finds three numbers only: a factor on the lengths, the noise and the variance. Rasmussen & Williams, "Gaussian
Processes for Machine Learning", 2006, chapters 2 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from nasbench_mo.errors import SpecError, did_you_mean
from nasbench_mo.predictor.estimators.base import Z90, DeviationRegressor, Floats, check_positive_int
from nasbench_mo.predictor.estimators.gp_kernel import KernelTerm, covariance
from nasbench_mo.predictor.estimators.gp_prior import LEAST_NOISE, KernelPrior, scaled
from nasbench_mo.predictor.estimators.stored_gp import StoredGP
from nasbench_mo.predictor.estimators.targets import target_transform

FIT_METHODS = ("grid", "gradient", "prior")
#: Where the grid looks, in standard deviations of the prior.
_LENGTH_STEPS = (-1.5, -0.75, 0.0, 0.75, 1.5)
#: Rows that speak for the deviations of the posterior.
_FACTOR_STRENGTH = 50
#: Of targets that the process reproduces to the last digit.
_LEAST_FACTOR = 0.01
_NOISE_STEPS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


@final
class GPRegressor(DeviationRegressor):
    """Exact Gaussian process regression of a transformed target.

    It is for few rows, up to a few thousand: fitting costs n³ and a deviation n² a point.

    Parameters
    ----------
    kernel
        A :class:`.gp_prior.KernelPrior` for the columns, or terms joined by ``+`` that hold all columns for equally
        relevant: ``"matern52"``, ``"linear"``, ``"tanimoto"``, ``"hamming"``, e.g. ``"matern52+linear"``.
    target
        ``"rank-gauss"``, ``"log"`` or ``"identity"``: see :mod:`.targets`.
    fit_method
        ``"grid"``: the most probable of 35 combinations of length and noise, in NumPy. ``"gradient"``: L-BFGS in
        GPyTorch on the same posterior, with a length and a weight of its own for each term. ``"prior"``: the centre of
        the prior, only the variance is fitted.
    n_select
        Rows that the grid and the gradient look at; all rows enter the prediction.
    random_state
        Seed of the choice of those rows.
    calibrate
        Multiply the deviations by one factor, with which 90 % intervals hold 90 % of the training rows when each is
        predicted from all others. Rows that are twins of each other make it too small.

    Attributes
    ----------
    gp_
        The fitted process as a :class:`.stored_gp.StoredGP`, whose deviations are those of the posterior.
    deviation_factor_
        Factor of the deviations, one where they are not calibrated.

    Notes
    -----
    The deviation is that of an observation, noise included. The posterior's own is right on average over functions that
    are drawn from the prior; accuracies are not, their residuals have heavier tails and a narrower middle.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0.0, 6.0, 30)[:, None]
    >>> model = GPRegressor(target="identity").fit(X, np.sin(X[:, 0]))
    >>> value, deviation = model.predict([[1.5]], return_std=True)
    >>> bool(abs(value[0] - np.sin(1.5)) < 2 * deviation[0])
    True
    """

    def __init__(
        self,
        *,
        kernel: str | KernelPrior = "matern52",
        target: str = "rank-gauss",
        fit_method: str = "grid",
        n_select: int = 300,
        random_state: int = 0,
        calibrate: bool = True,
    ) -> None:
        self.kernel = kernel
        self.target = target
        self.fit_method = fit_method
        self.n_select = n_select
        self.random_state = random_state
        self.calibrate = calibrate

    def _fit(self, X: Floats, y: Floats) -> None:
        if self.fit_method not in FIT_METHODS:
            raise SpecError(
                f"unknown fit_method {self.fit_method!r}.{did_you_mean(str(self.fit_method), FIT_METHODS)} "
                f"Known: {', '.join(FIT_METHODS)}"
            )
        prior = self._prior(X)
        target = target_transform(self.target).fit(y)
        transformed = target.forward(y)
        centre, spread = float(transformed.mean()), float(transformed.std())
        scores = (transformed - centre) / spread
        rows = self._selected(len(y))
        if self.fit_method == "gradient":
            from nasbench_mo.predictor.estimators._gpytorch_models import most_probable

            terms, noise = most_probable(prior, inputs=X[rows], scores=scores[rows])
        else:
            terms, noise = on_grid(prior, inputs=X[rows], scores=scores[rows], search=self.fit_method == "grid")
        self.gp_ = StoredGP(
            terms=terms, inputs=X, scores=scores, noise=noise, target=target, centre=centre, spread=spread
        )
        self.deviation_factor_ = leave_one_out_factor(self.gp_, y=y) if self.calibrate else 1.0

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        if not with_std:
            return self.gp_.predict(X), None
        value, deviation = self.gp_.predict(X, return_std=True)
        return value, self.deviation_factor_ * deviation

    def _prior(self, X: Floats) -> KernelPrior:
        if not isinstance(self.kernel, KernelPrior):
            return KernelPrior.plain([kind for kind in str(self.kernel).split("+") if kind], X=X)
        expected = len(self.kernel.terms[0].scales)
        if expected != X.shape[1]:
            raise SpecError(f"the kernel prior is for {expected} columns; the features have {X.shape[1]}")
        return self.kernel.completed(X)

    def _selected(self, n: int) -> Any:
        size = check_positive_int(self.n_select, name="n_select", least=2)
        seed = check_positive_int(self.random_state, name="random_state", least=0)
        return np.sort(np.random.default_rng(seed).permutation(n)[:size])


def leave_one_out_factor(gp: StoredGP, *, y: Floats) -> float:
    """Factor on the deviations of a process that makes its leave-one-out 90 % intervals hold 90 % of its rows.

    It is drawn towards one as if :data:`_FACTOR_STRENGTH` more rows had said that the deviations are right, because the
    quantile of a few rows says little.

    Parameters
    ----------
    gp
        A fitted process.
    y
        (n,) targets that it was fitted to, in their unit.
    """
    value, deviation = gp.leave_one_out()
    inside = np.sort(np.abs(y - value) / np.maximum(deviation, np.finfo(np.float64).tiny))
    rank = min(len(y), int(np.ceil(0.9 * (len(y) + 1))))
    factor = max(float(inside[rank - 1]) / Z90, _LEAST_FACTOR)
    return float(factor ** (len(y) / (len(y) + _FACTOR_STRENGTH)))


def on_grid(
    prior: KernelPrior, *, inputs: Floats, scores: Floats, search: bool = True
) -> tuple[tuple[KernelTerm, ...], float]:
    """Kernel and noise at the greatest posterior density on the grid of lengths and noises.

    One eigendecomposition a length gives every noise; the variance is integrated out (Rasmussen & Williams, section
    5.4.1, with an inverse gamma prior on the variance) and then set to its posterior mean of the precision.

    Parameters
    ----------
    prior
        Centre and spreads.
    inputs, scores
        (n, k) features and (n,) standardised targets.
    search
        False keeps length and noise at the prior's centre.
    """
    n = len(scores)
    best: tuple[float, float, float, float] | None = None
    for u in _steps(_LENGTH_STEPS, spread=prior.length_spread, search=search):
        length = float(np.exp(prior.length_spread * u))
        terms = scaled(prior.terms, length=length)
        eigenvalues, vectors = np.linalg.eigh(covariance(terms, inputs, inputs))
        power = (vectors.T @ scores) ** 2
        for v in _steps(_NOISE_STEPS, spread=prior.noise_spread, search=search):
            noise = max(float(prior.noise * np.exp(prior.noise_spread * v)), LEAST_NOISE)
            total = np.maximum(eigenvalues, 0.0) + noise
            variance = (float((power / total).sum()) + prior.strength) / (n + prior.strength)
            density = -0.5 * ((n + prior.strength) * np.log(variance) + np.log(total).sum() + u * u + v * v)
            if best is None or density > best[0]:
                best = (float(density), length, noise, variance)
    assert best is not None
    _, length, noise, variance = best
    return scaled(prior.terms, length=length, weight=variance), noise * variance


def _steps(steps: Sequence[float], *, spread: float, search: bool) -> Sequence[float]:
    return steps if search and spread > 0 else (0.0,)
