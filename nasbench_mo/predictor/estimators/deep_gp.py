"""A Gaussian process of a Gaussian process: for targets whose length scale changes over the space.

Hebbal, Brevault, Balesdent, Talbi & Melab, "Efficient global optimization using deep Gaussian processes", IEEE CEC
2018: a hidden layer bends the inputs so that the second layer may be stationary.
"""

from __future__ import annotations

from typing import final

import numpy as np

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.base import DeviationRegressor, Floats, check_positive_int
from nasbench_mo.predictor.estimators.gp_prior import KernelPrior
from nasbench_mo.predictor.estimators.targets import target_transform


@final
class DeepGPRegressor(DeviationRegressor):
    """Two-layer deep Gaussian process, by variational inference.

    It is for targets with jumps or plateaus in few input dimensions and enough rows to see them. Where a
    :class:`.gp.GPRegressor` with a good prior or a rank transform of the target exists, as for NAS-Bench-201's
    accuracy, it costs a hundred times more and ranks worse.

    Parameters
    ----------
    kernel
        ``"matern52"``, or a :class:`.gp_prior.KernelPrior` whose first Matern term says how relevant the columns are.
    target
        ``"rank-gauss"``, ``"log"`` or ``"identity"``: see :mod:`.targets`.
    n_hidden
        Hidden functions, at most the number of columns.
    n_inducing
        Inducing points of each layer, at most the number of rows.
    n_steps
        Steps of Adam.
    random_state
        Seed of the inducing points and of the samples.

    Attributes
    ----------
    model_
        The fitted GPyTorch module.

    Notes
    -----
    A step costs ``n m²`` for m inducing points, times the number of samples. The deviation is that of an observation,
    of a mixture of Gaussians, whose tails are heavier than one Gaussian's.
    """

    def __init__(
        self,
        *,
        kernel: str | KernelPrior = "matern52",
        target: str = "rank-gauss",
        n_hidden: int = 2,
        n_inducing: int = 50,
        n_steps: int = 300,
        random_state: int = 0,
    ) -> None:
        self.kernel = kernel
        self.target = target
        self.n_hidden = n_hidden
        self.n_inducing = n_inducing
        self.n_steps = n_steps
        self.random_state = random_state

    def _fit(self, X: Floats, y: Floats) -> None:
        from nasbench_mo.predictor.estimators._gpytorch_deep import trained

        n_hidden = check_positive_int(self.n_hidden, name="n_hidden")
        n_inducing = check_positive_int(self.n_inducing, name="n_inducing", least=2)
        n_steps = check_positive_int(self.n_steps, name="n_steps")
        seed = check_positive_int(self.random_state, name="random_state", least=0)
        prior = self._prior(X)
        self.target_ = target_transform(self.target).fit(y)
        transformed = self.target_.forward(y)
        self.centre_, self.spread_ = float(transformed.mean()), float(transformed.std())
        self.view_ = next(term for term in prior.terms if term.kind == "matern52")
        self.model_ = trained(
            self.view_.view(X),
            scores=(transformed - self.centre_) / self.spread_,
            n_hidden=n_hidden,
            inducing=np.random.default_rng(seed).permutation(len(y))[:n_inducing],
            noise=prior.noise,
            n_steps=n_steps,
            seed=seed,
        )

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        mean, std = self.model_.predicted(self.view_.view(X))
        return self.target_.inverse(self.centre_ + self.spread_ * mean, self.spread_ * std)

    def _prior(self, X: Floats) -> KernelPrior:
        prior = self.kernel
        if not isinstance(prior, KernelPrior):
            prior = KernelPrior.plain([str(prior)], X=X)
        if all(term.kind != "matern52" for term in prior.terms):
            raise SpecError("a deep GP needs a kernel with a 'matern52' term, whose scales it takes")
        if len(prior.terms[0].scales) != X.shape[1]:
            raise SpecError(
                f"the kernel prior is for {len(prior.terms[0].scales)} columns; the features have {X.shape[1]}"
            )
        return prior
