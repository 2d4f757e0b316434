"""Q-learning over the choices of an architecture, one after the other.

Zhong et al., "Practical block-wise neural network architecture generation" (BlockQNN), CVPR 2018; Baker et al.,
"Designing neural network architectures using reinforcement learning" (MetaQNN), ICLR 2017, for the replay.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search._options import number
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.scalarise import Scale, chebyshev, random_weights
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]

#: Exploration and how many of 178 iterations it lasts: BlockQNN, table 2.
_SCHEDULE = ((1.0, 95), (0.9, 7), (0.8, 7), (0.7, 7), (0.6, 10), (0.5, 10), (0.4, 10), (0.3, 10), (0.2, 10), (0.1, 12))
_ITERATIONS = sum(length for _, length in _SCHEDULE)


@final
class QLearningSearcher(Searcher):
    """Tabular Q-learning; the state is the variable at hand and the value of the one before it.

    There is a table for each of several weightings of the objectives. An episode draws one of them and follows its
    table epsilon-greedily; since Q-learning is off-policy, every architecture trains every table, with the reward it
    earns under that table's weights: the negative augmented Chebyshev function of the objectives, scaled by the
    observed range. As in BlockQNN the reward is shaped: each step gets an equal share.

    Parameters
    ----------
    horizon
        Proposals over which epsilon falls from 1 to 0.1, in the proportions of BlockQNN's schedule (over half of it is
        pure exploration); afterwards it stays at 0.1.
    learning_rate, discount
        Of the update.
    replay
        Remembered architectures that are replayed after each new one.
    tables
        Number of weightings, drawn at the start; the objectives alone come first.
    batch
        Proposals made from the same tables.

    Notes
    -----
    Whatever is told is learnt from, asked for or not. An architecture may be proposed again.
    """

    name = "q-learning"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        horizon: int = 100,
        learning_rate: float = 0.01,
        discount: float = 1.0,
        replay: int = 64,
        tables: int = 16,
        batch: int = 4,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.horizon = self._integer("horizon", horizon, least=1)
        self.learning_rate = number(self.name, "learning_rate", learning_rate, least=0.0, most=1.0, open_=True)
        self.discount = number(self.name, "discount", discount, least=0.0, most=1.0)
        self.replay = self._integer("replay", replay, least=0)
        self.tables = self._integer("tables", tables, least=1)
        self.batch = self._integer("batch", batch, least=1)
        self._rng = np.random.default_rng(self.seed)
        m = self.n_objectives
        corners = np.eye(m)[: min(m, self.tables)]
        inner = random_weights(self._rng, n=max(self.tables - m, 0), n_objectives=m)
        self._weights = np.concatenate([corners, inner])
        widest = int(space.cardinalities.max())
        self._allowed = np.arange(widest) < space.cardinalities[:, None]
        # Q[table, variable, value before, value]; the first variable has the one state 0
        self._Q = np.zeros((self.tables, space.n_variables, widest, widest))
        self._memory_X: list[NDArray[Any]] = []
        self._memory_F: list[Floats] = []

    def options(self) -> dict[str, float | int | str]:
        """Schedule, update, replay and weightings."""
        return {
            "horizon": self.horizon,
            "learning_rate": self.learning_rate,
            "discount": self.discount,
            "replay": self.replay,
            "tables": self.tables,
            "batch": self.batch,
        }

    @property
    def epsilon(self) -> float:
        """Share of random choices in the next proposal."""
        position = self.n_asked * _ITERATIONS / self.horizon
        for value, length in _SCHEDULE:
            position -= length
            if position < 0:
                return value
        return _SCHEDULE[-1][0]

    def _ask(self, n: int | None) -> NDArray[Any]:
        wanted = min(n or self.batch, self.batch)
        epsilon = self.epsilon
        rows = [self._episode(int(self._rng.integers(self.tables)), epsilon) for _ in range(wanted)]
        return np.array(rows, dtype=self.space.dtype)

    def _episode(self, table: int, epsilon: float) -> list[int]:
        """One value after the other; ties of the greedy choice are broken at random."""
        row: list[int] = []
        for j, cardinality in enumerate(self.space.cardinalities.tolist()):
            if self._rng.random() < epsilon:
                row.append(int(self._rng.integers(cardinality)))
                continue
            q = self._Q[table, j, row[-1] if row else 0, :cardinality]
            row.append(int(self._rng.choice(np.flatnonzero(q == q.max()))))
        return row

    def _tell(self, X: NDArray[Any], F: Floats) -> None:
        for row, values in zip(X, F, strict=True):
            self._memory_X.append(row)
            self._memory_F.append(values)
            replayed = self._rng.integers(len(self._memory_X), size=self.replay)
            self._learn(np.append(replayed, len(self._memory_X) - 1))

    def _learn(self, remembered: NDArray[Any]) -> None:
        """Update every table with remembered architectures, all at once.

        A state and choice that occurs k times moves to its mean target by 1 - (1 - rate)^k: what k updates in a row by
        one target amount to.
        """
        X = np.array([self._memory_X[i] for i in remembered])
        F = np.array([self._memory_F[i] for i in remembered])
        scale = Scale.observed(self.space, np.array(self._memory_X), np.array(self._memory_F))
        rewards = -chebyshev(scale.scaled(F)[:, None, :], self._weights)  # (replayed, tables)
        d, widest = self._allowed.shape
        for j in range(d - 1, -1, -1):  # from the last step, so that a reward travels in one pass
            target = rewards / d
            if j + 1 < d:
                following = self._Q[:, j + 1, :, : self.space.cardinalities[j + 1]].max(axis=2)
                target = target + self.discount * following[:, X[:, j]].T
            before = X[:, j - 1].astype(np.intp) if j else np.zeros(len(X), dtype=np.intp)
            hit = (before * widest + X[:, j])[:, None] == np.arange(widest * widest)  # (replayed, cells)
            times = hit.sum(axis=0)
            mean = (target.T @ hit / np.maximum(times, 1)).reshape(-1, widest, widest)
            share = (1.0 - (1.0 - self.learning_rate) ** times).reshape(widest, widest)
            self._Q[:, j] += share * (mean - self._Q[:, j])
