"""A searcher: random sampling with replacement."""

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search import Searcher
from nasbench_mo.space import SearchSpace


@final
class Sampler(Searcher):
    """Architectures drawn uniformly with replacement."""

    name = "example-sampler"

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._rng = np.random.default_rng(self.seed)

    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample(n or 8, rng=self._rng)

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        pass
