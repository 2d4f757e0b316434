"""REINFORCE: a policy over the variables, moved along the gradient of the expected reward.

Zoph & Le, "Neural architecture search with reinforcement learning", ICLR 2017, equations 2 to 4; Williams, Machine
Learning 8, 1992. The factorised softmax policy in place of the recurrent controller is that of the NAS-Bench-201
baseline (Dong & Yang, ICLR 2020, appendix), whose Adam and moving-average baseline are taken over.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SearcherError
from nasbench_mo.search._options import number
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.scalarise import Scale, chebyshev, random_weights
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]

#: Adam's constants (Kingma & Ba, ICLR 2015).
_BETA_1, _BETA_2, _TINY = 0.9, 0.999, 1e-8
#: Spread of the first logits, as in the NAS-Bench-201 baseline.
_INITIAL_SPREAD = 1e-3


@final
class ReinforceSearcher(Searcher):
    """A categorical distribution for each variable, trained by the likelihood-ratio gradient.

    Every episode (one architecture) draws weights uniformly from the simplex; its reward is the negative augmented
    Chebyshev function of the objectives, scaled by the observed range. One policy cannot serve all weights, so its
    logits are an affine function of them: ``theta_j(w) = theta_j + V_j (m w - 1)``. With one objective this is the
    plain policy.

    Parameters
    ----------
    learning_rate
        Of Adam. It is far above that of Zoph & Le, 0.0006, who trained thousands of networks; here the budget is some
        hundreds.
    baseline_decay
        Of the exponential moving average of rewards that is subtracted: for each episode it is taken over earlier
        architectures under the episode's own weights.
    entropy
        Weight of the policy's entropy in the objective.
    batch
        Episodes of one gradient step.

    Notes
    -----
    An architecture may be proposed again, as a policy that has learnt something does.
    """

    name = "reinforce"
    accepts_foreign: ClassVar[bool] = False

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        learning_rate: float = 0.05,
        baseline_decay: float = 0.9,
        entropy: float = 0.02,
        batch: int = 1,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.learning_rate = number(self.name, "learning_rate", learning_rate, least=0.0, open_=True)
        self.baseline_decay = number(self.name, "baseline_decay", baseline_decay, least=0.0, most=1.0)
        self.entropy = number(self.name, "entropy", entropy, least=0.0)
        self.batch = self._integer("batch", batch, least=1)
        self._rng = np.random.default_rng(self.seed)
        # values that a variable does not have get probability 0
        self._allowed = np.arange(space.cardinalities.max()) < space.cardinalities[:, None]
        self._theta = _INITIAL_SPREAD * self._rng.standard_normal((1 + self.n_objectives, *self._allowed.shape))
        self._moments = np.zeros((2, *self._theta.shape))
        self._n_steps = 0
        self._asked: list[tuple[NDArray[Any], Floats]] = []
        self._seen_X: list[NDArray[Any]] = []
        self._history: list[Floats] = []
        self._episodes: list[tuple[NDArray[Any], Floats, Floats]] = []

    def options(self) -> dict[str, float | int | str]:
        """Settings of the gradient step."""
        return {
            "learning_rate": self.learning_rate,
            "baseline_decay": self.baseline_decay,
            "entropy": self.entropy,
            "batch": self.batch,
        }

    # ------------------------------------------------------------------ ask and tell

    def _ask(self, n: int | None) -> NDArray[Any]:
        wanted = min(n or self.batch, self.batch)
        weights = random_weights(self._rng, n=wanted, n_objectives=self.n_objectives)
        X = np.stack([self._sampled(w) for w in weights]).astype(self.space.dtype)
        self._asked += zip(X, weights, strict=True)
        return X

    def _tell(self, X: NDArray[Any], F: Floats) -> None:
        if len(X) > len(self._asked) or any(
            not np.array_equal(row, asked) for row, (asked, _) in zip(X, self._asked, strict=False)
        ):
            raise SearcherError(
                f"searcher {self.name!r} learns from its own proposals alone: tell what was asked, in that order"
            )
        for row, values in zip(X, F, strict=True):
            _, weights = self._asked.pop(0)
            self._episodes.append((row, weights, values))
            if len(self._episodes) == self.batch:
                self._step()

    # ------------------------------------------------------------------ policy

    def _probabilities(self, weights: Floats) -> Floats:
        """(d, largest cardinality) under the weights of an episode; rows sum to 1."""
        logits = np.where(self._allowed, np.tensordot(self._inputs(weights), self._theta, axes=1), -np.inf)
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    def _inputs(self, weights: Floats) -> Floats:
        """What the logits are linear in: a constant, and the weights around their mean."""
        return np.concatenate([[1.0], self.n_objectives * weights - 1.0])

    def _sampled(self, weights: Floats) -> NDArray[np.intp]:
        p = self._probabilities(weights)
        below = np.cumsum(p, axis=1) <= self._rng.random((len(p), 1))
        row: NDArray[np.intp] = np.minimum(below.sum(axis=1), self.space.cardinalities - 1)
        return row

    # ------------------------------------------------------------------ learning

    def _step(self) -> None:
        """One Adam step up the gradient of reward and entropy, averaged over the batch."""
        earlier, batch = self._history, [values for *_, values in self._episodes]
        self._seen_X += [row for row, *_ in self._episodes]
        scale = Scale.observed(self.space, np.array(self._seen_X), np.array(earlier + batch))
        gradient = np.zeros_like(self._theta)
        for row, weights, values in self._episodes:
            reward = -float(chebyshev(scale.scaled(values), weights))
            advantage = reward - self._baseline(scale, weights)
            p = self._probabilities(weights)
            # d log p(x) / d logits = indicator - p;  d entropy / d logits = -p (log p + entropy)
            taken = np.zeros_like(p)
            taken[np.arange(len(row)), row] = 1.0
            log_p = np.log(np.where(p > 0, p, 1.0))
            spread = -p * (log_p - (p * log_p).sum(axis=1, keepdims=True))
            up = advantage * (taken - p) + self.entropy * spread
            gradient += self._inputs(weights)[:, None, None] * up
        self._history += batch
        self._adam(gradient / len(self._episodes))
        self._episodes = []

    def _baseline(self, scale: Scale, weights: Floats) -> float:
        """Moving average of what earlier architectures would have earned under these weights."""
        if not self._history:
            return 0.0
        # beyond so many the decay has left less than a thousandth
        reach = 1 if self.baseline_decay <= 0 else int(min(500, 7.0 / max(1.0 - self.baseline_decay, 1e-9))) + 1
        recent = np.array(self._history[-reach:])
        share = self.baseline_decay ** np.arange(len(recent) - 1, -1, -1, dtype=np.float64)
        rewards = -chebyshev(scale.scaled(recent), weights)
        return float((share * rewards).sum() / share.sum())

    def _adam(self, gradient: Floats) -> None:
        self._n_steps += 1
        self._moments[0] += (1.0 - _BETA_1) * (gradient - self._moments[0])
        self._moments[1] += (1.0 - _BETA_2) * (gradient**2 - self._moments[1])
        mean = self._moments[0] / (1.0 - _BETA_1**self._n_steps)
        square = self._moments[1] / (1.0 - _BETA_2**self._n_steps)
        self._theta += self.learning_rate * mean / (np.sqrt(square) + _TINY)
