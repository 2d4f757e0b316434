"""Ask and tell: the only door between a searcher and a problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SearcherError
from nasbench_mo.space import SearchSpace


class Searcher(ABC):
    """A multi-objective optimiser over a search space. Abstract; each algorithm is one final class.

    It proposes architectures and is told their minimised objective values; it never sees a problem. The same seed
    and the same answers give the same proposals, in every process.

    Parameters
    ----------
    space
        Where architectures come from.
    n_objectives
        Number of objectives m.
    seed
        Seed of all its randomness.
    """

    #: Registered name.
    name: str

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        self.space = space
        self.n_objectives = self._integer("n_objectives", n_objectives, least=1)
        self.seed = self._integer("seed", seed, least=0)
        self.n_asked = 0
        self.n_told = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(space={self.space.name!r}, n_objectives={self.n_objectives}, seed={self.seed})"

    def _integer(self, option: str, value: object, *, least: int) -> int:
        """Value of an option as a plain int, NumPy's integers included, or a :class:`SearcherError`."""
        whole = int(value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None
        if whole is None or whole < least:
            raise SearcherError(
                f"searcher {self.name!r}: {option} must be an integer of at least {least}, got {value!r}"
            )
        return whole

    def options(self) -> dict[str, float | int | str]:
        """Settings that identify the searcher besides its name and seed."""
        return {}

    def ask(self, n: int | None = None) -> NDArray[Any]:
        """Propose architectures, (k, d) with 1 <= k <= n.

        Parameters
        ----------
        n
            At most so many; None for the searcher's natural batch. Fewer come where a generation ends.

        Raises
        ------
        ExhaustedError
            Nothing is left to propose.
        SearcherError
            ``n`` is below 1, the last proposals have to be told first, or the algorithm broke this contract.
        """
        if n is not None and n < 1:
            raise SearcherError(f"searcher {self.name!r}: ask for at least one architecture, got {n}")
        X = self.space.check(self._ask(n))
        if not len(X) or (n is not None and len(X) > n):
            wanted = "at least 1" if n is None else f"1..{n}"
            raise SearcherError(f"searcher {self.name!r} proposed {len(X)} architectures where {wanted} were asked for")
        self.n_asked += len(X)
        return X

    def tell(self, X: ArrayLike, F: ArrayLike) -> None:
        """Report the values of proposed architectures.

        Parameters
        ----------
        X
            (k, d) encodings, rows of what was asked, in that order.
        F
            (k, m) minimised, finite values.

        Raises
        ------
        SearcherError
            The shapes do not fit or a value is not finite.
        """
        encodings = np.array(self.space.check(X))  # copies: the caller may reuse its arrays
        values = np.array(F, dtype=np.float64)
        expected = (len(encodings), self.n_objectives)
        if values.shape != expected:
            raise SearcherError(f"searcher {self.name!r}: expected values of shape {expected}, got {values.shape}")
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            raise SearcherError(
                f"searcher {self.name!r}: values must be finite; row {bad[0][0]}, objective {bad[0][1]} is "
                f"{values[tuple(bad[0])]}"
            )
        self._tell(encodings, values)
        self.n_told += len(encodings)

    @abstractmethod
    def _ask(self, n: int | None) -> NDArray[Any]: ...

    @abstractmethod
    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None: ...
