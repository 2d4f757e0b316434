"""Fractal decomposition: balls within balls, the best of them searched intensively.

Nakib, Souquet & Talbi, "Parallel fractal decomposition based algorithm for big continuous optimization problems",
Journal of Parallel and Distributed Computing 133, 2019, and the sequential FDA of Nakib et al., Applied Soft Computing
61, 2017. The quality of a ball is the corrected one of Firmin & Talbi, "A comparative study of fractal-based
decomposition optimization", OLA 2023, whose library is Zellij.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.scalarise import Scale, chebyshev, random_weights
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]

#: Fractals in a row without a new architecture after which the search says that it has ended.
_PATIENCE = 50


@dataclass(slots=True, kw_only=True, eq=False)
class _Ball:
    """Hamming ball: a centre, a radius, the points that stand for it, and the balls inside it once it is split."""

    centre: NDArray[Any]
    radius: int
    points: NDArray[Any]
    children: list[_Ball] = field(default_factory=list)
    closed: bool = False


@final
class FractalSearcher(Searcher):
    """FDA on products of categorical variables, several objectives through scalarisations.

    What is adapted, for d variables with more than one value:

    - a hypersphere is a Hamming ball; the first has a random centre and radius d, so it holds the whole space;
    - a ball of radius r is split into 2d balls of radius r' = max(1, round(r / (1 + sqrt 2))). Where FDA moves the
      centre by r - r' along an axis, up and down, r - r' variables of a cyclic block take other values; there is a
      block for each axis and two random changes of it;
    - a ball is judged, as there, by its centre and two opposite points: the centre with r' variables changed, by some
      shift and by the opposite one. Its quality is the least ``(g - g best) / distance to the best`` of the three;
    - the intensive local search goes from variable to variable and moves to the best of all its values, until a whole
      round brings nothing: categories have no step that could be halved;
    - depth first, each leaf (radius 1) once. Before each descent weights are drawn uniformly from the simplex, and g is
      the augmented Chebyshev function under them of the objectives scaled by the observed range. All descents share
      the tree and its evaluations. When every leaf is closed, a new fractal starts elsewhere.

    Parameters
    ----------
    leaf_radius
        Balls of this radius or less are not split.

    Notes
    -----
    An architecture is evaluated once. Those told without being asked for are known from then on. The points of all
    balls of a level are asked for together, which is the parallelism of the 2019 paper.
    """

    name = "fractal"

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0, leaf_radius: int = 1) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.leaf_radius = self._integer("leaf_radius", leaf_radius, least=1)
        self._rng = np.random.default_rng(self.seed)
        self._free = np.flatnonzero(space.cardinalities > 1)
        self._values: dict[bytes, Floats] = {}
        self._waiting: list[NDArray[Any]] = []
        self._n_given = 0
        self._course = self._fractals()

    def options(self) -> dict[str, float | int | str]:
        """Radius of the leaves."""
        return {"leaf_radius": self.leaf_radius}

    # ------------------------------------------------------------------ ask and tell

    def _ask(self, n: int | None) -> NDArray[Any]:
        self._forget_known()
        if not self._waiting:
            self._advance()
        if self._n_given == len(self._waiting):
            raise SearcherError(f"searcher {self.name!r}: tell the values of this level before asking for the next")
        stop = len(self._waiting) if n is None else min(len(self._waiting), self._n_given + n)
        rows = np.stack(self._waiting[self._n_given : stop])
        self._n_given = stop
        return rows

    def _tell(self, X: NDArray[Any], F: Floats) -> None:
        for row, values in zip(X, F, strict=True):
            self._values[row.tobytes()] = values
        self._forget_known()

    def _forget_known(self) -> None:
        """Drop from what is waiting the architectures whose values have come."""
        given = self._waiting[: self._n_given]
        later = self._waiting[self._n_given :]
        given, later = ([row for row in rows if row.tobytes() not in self._values] for rows in (given, later))
        self._waiting, self._n_given = given + later, len(given)

    def _advance(self) -> None:
        """Run the algorithm until it wants values that are not known."""
        try:
            wanted = next(self._course)
        except StopIteration:
            raise ExhaustedError(f"searcher {self.name!r}: {_PATIENCE} fractals held nothing new") from None
        self._waiting, self._n_given = wanted, 0

    # ------------------------------------------------------------------ the algorithm, which yields what it has to know

    def _fractals(self) -> Generator[list[NDArray[Any]], None, None]:
        idle = 0
        while idle < _PATIENCE and len(self._values) < self.space.size:
            known = len(self._values)
            centre = self.space.sample(1, rng=self._rng)[0]
            root = _Ball(centre=centre, radius=len(self._free), points=centre[None])
            yield from self._evaluated(root.points)
            while not root.closed:
                weights = random_weights(self._rng, n=1, n_objectives=self.n_objectives)[0]
                yield from self._descend(root, weights)
            idle = idle + 1 if len(self._values) == known else 0

    def _descend(self, ball: _Ball, weights: Floats) -> Generator[list[NDArray[Any]], None, None]:
        """Go down to the best open leaf, search it and close what has no open leaf left."""
        if ball.radius <= self.leaf_radius:
            g = self._scalarised(ball.points, weights)
            yield from self._intensify(ball.points[int(np.argmin(g))], weights)
            ball.closed = True
            return
        if not ball.children:
            ball.children = self._split(ball)
            yield from self._evaluated(np.concatenate([child.points for child in ball.children]))
        still_open = [child for child in ball.children if not child.closed]
        quality = [self._quality(child, weights) for child in still_open]
        yield from self._descend(still_open[int(np.argmin(quality))], weights)
        ball.closed = all(child.closed for child in ball.children)

    def _intensify(self, start: NDArray[Any], weights: Floats) -> Generator[list[NDArray[Any]], None, None]:
        """Intensive local search: variable by variable to the best of its values."""
        best = start
        improved = True
        while improved:
            improved = False
            for j in self._rng.permutation(self._free):
                line = np.repeat(best[None], self.space.cardinalities[j], axis=0)
                line[:, j] = np.arange(len(line))
                yield from self._evaluated(line)
                g = self._scalarised(line, weights)
                if g.min() < g[best[j]]:
                    best, improved = line[int(np.argmin(g))], True

    def _evaluated(self, X: NDArray[Any]) -> Generator[list[NDArray[Any]], None, None]:
        """Come back when all rows are known; ask for nothing where they are."""
        fresh = {row.tobytes(): row for row in X if row.tobytes() not in self._values}
        if fresh:
            yield list(fresh.values())

    # ------------------------------------------------------------------ geometry and quality

    def _split(self, ball: _Ball) -> list[_Ball]:
        radius = max(1, round(ball.radius / (1.0 + np.sqrt(2.0))))
        order = self._rng.permutation(self._free)
        children = []
        for axis in range(len(order)):
            block = np.roll(order, -axis)[: ball.radius - radius]
            for centre in self._opposite(ball.centre, block):
                moved = self._rng.permutation(self._free)[:radius]
                points = np.stack([centre, *self._opposite(centre, moved)])
                children.append(_Ball(centre=centre, radius=radius, points=points))
        return children

    def _opposite(self, x: NDArray[Any], variables: NDArray[np.intp]) -> list[NDArray[Any]]:
        """x with these variables shifted by random steps, and by the same steps the other way."""
        cardinality = self.space.cardinalities[variables]
        steps = self._rng.integers(1, cardinality)
        both = []
        for sign in (1, -1):
            moved = x.copy()
            moved[variables] = (x[variables] + sign * steps) % cardinality
            both.append(moved)
        return both

    def _quality(self, ball: _Ball, weights: Floats) -> float:
        """Least slope from the best architecture of all to the ball's points; smaller is better."""
        X, F = self._told_values()
        g = chebyshev(Scale.observed(self.space, X, F).scaled(F), weights)
        distance = np.maximum((ball.points != X[int(np.argmin(g))]).sum(axis=1), 1)
        return float(((self._scalarised(ball.points, weights) - g.min()) / distance).min())

    def _scalarised(self, X: NDArray[Any], weights: Floats) -> Floats:
        """(n,) values of known architectures."""
        own = np.array([self._values[row.tobytes()] for row in X])
        return chebyshev(Scale.observed(self.space, *self._told_values()).scaled(own), weights)

    def _told_values(self) -> tuple[NDArray[Any], Floats]:
        """Everything that was told, (n, d) and (n, m)."""
        X = np.frombuffer(b"".join(self._values), dtype=self.space.dtype).reshape(len(self._values), -1)
        return X, np.array(list(self._values.values()))
