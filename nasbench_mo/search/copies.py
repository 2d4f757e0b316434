"""Whether architectures that compute the same function are worth evaluating twice: found out from what was told."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.space import SearchSpace

#: Of the copies so many have to have had the very values of an earlier one.
_SHARE = 1 / 8


@final
class Copies:
    """Copies of evaluated architectures: of one equivalence class of the space, and of equal known values.

    Where each was trained and measured by itself, a copy is another draw, and the luckiest is on the front. Where the
    same trainings and measurements stand for all of them, or their values follow from the architecture, a copy is an
    evaluation lost. Which of the two holds shows in what was told: separate trainings do not end in the very same
    values, while one of a few that are shared comes back soon.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._values: dict[bytes, set[bytes]] = {}
        self._n_seen = self._n_copies = self._n_equal = 0

    @property
    def idle(self) -> bool:
        """Whether an evaluation of a copy is lost, as far as is known."""
        return self._n_equal > _SHARE * self._n_copies

    def update(self, X: NDArray[Any], F: NDArray[np.float64], *, known: NDArray[np.float64]) -> None:
        """Take all that was told: (n, d) encodings, (n, m) values, of these (n, k) that were known beforehand."""
        new = slice(self._n_seen, len(X))
        for key, values in zip(self._keys(X[new], known[new]), F[new], strict=True):
            before = self._values.setdefault(key, set())
            self._n_copies += bool(before)
            self._n_equal += values.tobytes() in before
            before.add(values.tobytes())
        self._n_seen = len(X)

    def of_evaluated(self, X: NDArray[Any], *, known: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of (n, d) encodings are copies of something told, (n,)."""
        return np.array([key in self._values for key in self._keys(X, known)], dtype=bool)

    def _keys(self, X: NDArray[Any], known: NDArray[np.float64]) -> list[bytes]:
        classes = self._space.equivalence_class(X)
        return [c.tobytes() + k.tobytes() for c, k in zip(classes, known, strict=True)]
