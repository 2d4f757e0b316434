"""Workload of a chain: pieces one after the other, each chosen by a few variables of the encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.encoding import mixed_radix
from nasbench_mo.hardware.workload.base import Workload
from nasbench_mo.hardware.workload.tape import Piece
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.nb201 import Counting


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in the chain.

    Parameters
    ----------
    columns
        The variables that decide what stands here; none where it is always the same.
    choices
        The piece for each combination of their values, in lexicographic order.
    """

    columns: tuple[int, ...] = ()
    choices: tuple[Piece, ...]


@final
class ChainWorkload(Workload):
    """Networks whose pieces hand on a single tensor; nothing is ever dead.

    Parameters
    ----------
    search_space, name
        As of :class:`Workload`.
    positions
        The chain from image to logits.
    """

    def __init__(self, search_space: SearchSpace, *, name: str, positions: Sequence[Position]) -> None:
        cardinalities = search_space.cardinalities.tolist()
        for position in positions:
            assert len(position.choices) == prod(cardinalities[j] for j in position.columns)
        shapes = dict.fromkeys(shape for p in positions for piece in p.choices for shape in piece.counts)
        super().__init__(search_space, name=name, shapes=tuple(shapes))
        column = {shape: j for j, shape in enumerate(self.shapes)}
        self._columns = [list(position.columns) for position in positions]
        self._cardinalities = [[cardinalities[j] for j in position.columns] for position in positions]
        self._tables = [np.zeros((len(position.choices), len(shapes))) for position in positions]
        for table, position in zip(self._tables, positions, strict=True):
            for row, piece in zip(table, position.choices, strict=True):
                for shape, count in piece.counts.items():
                    row[column[shape]] = count
        self._peaks = [np.array([piece.peak for piece in position.choices]) for position in positions]

    def _counts(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.float64]:
        counts = np.zeros((len(X), len(self.shapes)))
        for table, choice in zip(self._tables, self._choices(X), strict=True):
            counts += table[choice]
        return counts

    def _activation_peak(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.int64]:
        peak = np.zeros(len(X), dtype=np.int64)
        for peaks, choice in zip(self._peaks, self._choices(X), strict=True):
            np.maximum(peak, peaks[choice], out=peak)
        return peak

    def _choices(self, X: NDArray[Any]) -> list[NDArray[np.intp]]:
        """What stands at each position, (n,) each."""
        return [
            mixed_radix(X[:, columns], cardinalities=cardinalities) if columns else np.zeros(len(X), dtype=np.intp)
            for columns, cardinalities in zip(self._columns, self._cardinalities, strict=True)
        ]
