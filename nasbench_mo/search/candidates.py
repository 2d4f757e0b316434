"""What the default searcher may propose next: the whole of a small space, or a population bred for the moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.search.candidate_features import CandidateFeatures
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]
#: Values of the known objectives, (n, j), of (n, d) encodings.
Known = Callable[[NDArray[Any]], Floats]

#: Spaces up to this size are scored as a whole.
WHOLE_LIMIT = 50_000
#: Children bred at a time, and the share of them that is random.
N_CHILDREN = 300
_RANDOM_SHARE = 0.1
#: A child of one parent differs from it in one variable; of these shares, in one and two more.
_MORE_CHANGES = (0.4, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Candidates, none degenerate.

    Parameters
    ----------
    X
        (p, d) an architecture of each.
    Z
        (p, k) standardised features.
    known
        (p, j) values of the known objectives.
    """

    X: NDArray[Any]
    Z: Floats
    known: Floats

    def __len__(self) -> int:
        return len(self.Z)

    def take(self, rows: NDArray[Any]) -> Candidates:
        """Some of the candidates."""
        return Candidates(X=self.X[rows], Z=self.Z[rows], known=self.known[rows])

    def joined(self, other: Candidates) -> Candidates:
        """These candidates, then the others."""
        return Candidates(
            X=np.concatenate([self.X, other.X]),
            Z=np.concatenate([self.Z, other.Z]),
            known=np.concatenate([self.known, other.known]),
        )


@final
class WholeSpace:
    """Every architecture that is not degenerate, those with equal features and equal known values in one row.

    To the model, architectures of one row are one; their values differ by what training or measuring adds.

    Parameters
    ----------
    space
        A space of at most :data:`WHOLE_LIMIT` architectures.
    features, known
        Features and known values of encodings.
    """

    def __init__(self, space: SearchSpace, *, features: CandidateFeatures, known: Known) -> None:
        X = space.enumerate()
        self._X = X[~space.degenerate(X)]
        Z, values = features(self._X), known(self._X)
        _, first, row = np.unique(_codes(np.concatenate([Z, values], axis=1)), return_index=True, return_inverse=True)
        # columns side by side in memory: a kernel takes some of them
        self.candidates = Candidates(X=self._X[first], Z=np.asfortranarray(Z[first]), known=values[first])
        self._space = space
        self._row = np.full(space.size, -1)
        self._row[space.codes(self._X)] = row
        self._members = np.argsort(row, kind="stable")
        self._ends = np.cumsum(np.bincount(row, minlength=len(first)))

    def features(self, X: NDArray[Any]) -> Floats:
        """Standardised features of (n, d) encodings, none degenerate, (n, k): looked up."""
        made: Floats = self.candidates.Z[self._row[self._space.codes(X)]]
        return made

    def members(self, row: int) -> NDArray[Any]:
        """The architectures of a row, (j, d)."""
        start = self._ends[row - 1] if row else 0
        return self._X[self._members[start : self._ends[row]]]


@final
class Nursery:
    """Breeds candidates in a space that is too large to be scored as a whole.

    Parameters
    ----------
    space, features, known
        As for :class:`WholeSpace`.
    unseen
        What may still be proposed.
    rng
        Source of the draws.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        features: CandidateFeatures,
        known: Known,
        unseen: Unseen,
        rng: np.random.Generator,
    ) -> None:
        self._space = space
        self._features = features
        self._known = known
        self._unseen = unseen
        self._rng = rng

    def breed(self, parents: NDArray[Any], *, without: NDArray[Any]) -> Candidates:
        """Children of (n, d) parents: mutants, crossings, and a few random ones.

        They are new: neither proposed before nor among the (j, d) ``without``.
        """
        n_random = int(_RANDOM_SHARE * N_CHILDREN) if len(parents) else N_CHILDREN
        parts = [self._space.sample(n_random, rng=self._rng)]
        if len(parents):
            half = (N_CHILDREN - n_random) // 2
            mothers, fathers = (parents[self._rng.integers(len(parents), size=half)] for _ in range(2))
            crossed = self._space.crossover(mothers, fathers, rng=self._rng)
            mutants = self._space.mutate(parents[self._rng.integers(len(parents), size=half)], rng=self._rng)
            for share in _MORE_CHANGES:
                again = self._rng.random(half) < share
                mutants[again] = self._space.mutate(mutants[again], rng=self._rng)
            parts += [crossed, mutants]
        X = self._unseen.left(np.concatenate(parts))
        present = {row.tobytes() for row in without}
        X = X[[row.tobytes() not in present for row in X]]
        return self.candidates(X[~self._space.degenerate(X)])

    def candidates(self, X: NDArray[Any]) -> Candidates:
        """The (n, d) encodings with their features and known values."""
        return Candidates(X=X, Z=self._features(X), known=self._known(X))


def _codes(rows: Floats) -> NDArray[Any]:
    """A number for each row, equal for rows that are equal but for rounding: a fixed random projection."""
    weights = np.random.default_rng(0).standard_normal(rows.shape[1])
    scale = np.maximum(np.abs(rows).max(axis=0, initial=0.0), 1e-300)
    made: NDArray[Any] = np.round((rows / scale) @ weights, 9)
    return made
