"""Whether architectures that compute the same function are worth evaluating twice: found out from what was told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.candidates import Candidates
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

    Parameters
    ----------
    space
        Whose equivalence classes count.
    known
        Indices of the objectives that are known beforehand, in the order of the candidates' columns.
    """

    def __init__(self, space: SearchSpace, *, known: Sequence[int]) -> None:
        self._space = space
        self._known = list(known)
        self._values: dict[bytes, set[bytes]] = {}
        self._n_seen = self._n_copies = self._n_equal = 0
        self._asked: Candidates | None = None
        self._rows: dict[bytes, list[int]] = {}
        self._found = np.empty(0, dtype=bool)
        self._n_looked_up = 0

    @property
    def idle(self) -> bool:
        """Whether an evaluation of a copy is lost, as far as is known."""
        return self._n_equal > _SHARE * self._n_copies

    def update(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        """Take all that was told: (n, d) encodings and (n, m) values."""
        new = slice(self._n_seen, len(X))
        for key, values in zip(self._keys(X[new], F[new][:, self._known]), F[new], strict=True):
            before = self._values.setdefault(key, set())
            self._n_copies += bool(before)
            self._n_equal += values.tobytes() in before
            before.add(values.tobytes())
        self._n_seen = len(X)

    def of_evaluated(self, candidates: Candidates) -> NDArray[np.bool_]:
        """Which candidates are copies of something told, (p,); cheap where the same ones are asked for again."""
        if self._asked is not candidates:
            self._asked, self._rows, self._n_looked_up = candidates, {}, 0
            self._found = np.zeros(len(candidates), dtype=bool)
            for row, key in enumerate(self._keys(candidates.X, candidates.known[:, : len(self._known)])):
                self._rows.setdefault(key, []).append(row)
        for key in islice(self._values, self._n_looked_up, None):
            self._found[self._rows.get(key, [])] = True
        self._n_looked_up = len(self._values)
        return self._found

    def _keys(self, X: NDArray[Any], known: NDArray[np.float64]) -> list[bytes]:
        classes = self._space.equivalence_class(X)
        return [c.tobytes() + k.tobytes() for c, k in zip(classes, known, strict=True)]
