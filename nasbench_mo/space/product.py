"""The product of two or more spaces: an architecture of each, chosen together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.space.base import SearchSpace, Variable

#: Between the strings of two parts.
SEPARATOR = "@"


@final
class ProductSpace(SearchSpace):
    """Every combination of architectures of some spaces, e.g. of a network and of the accelerator it runs on.

    The string is those of the parts with ``@`` between; the encoding is those of the parts side by side. A combination
    is degenerate where one of its parts is.

    Parameters
    ----------
    name
        What tables and runs call the space.
    parts
        Two spaces or more, of different names.

    Raises
    ------
    SpecError
        There are fewer than two parts, or two of one name.

    Examples
    --------
    >>> from nasbench_mo.space import space
    >>> both = ProductSpace("nets", [space("nb201"), space("nbmacro")])
    >>> X = both.encode("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|@01201201")
    >>> [part.tolist() for part in both.split(X)]
    [[[3, 0, 0, 1, 0, 0]], [[0, 1, 2, 0, 1, 2, 0, 1]]]
    """

    def __init__(self, name: str, parts: Sequence[SearchSpace]) -> None:
        self.name = name
        self.parts = tuple(parts)
        names = [part.name for part in self.parts]
        if len(self.parts) < 2 or len(set(names)) != len(names):
            raise SpecError(f"space {name!r}: a product has two spaces or more, of different names; got {names}")

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The parts' variables, their names after the part's: ``nb201.edge_0_1``."""
        return tuple(
            Variable(name=f"{part.name}.{variable.name}", values=variable.values)
            for part in self.parts
            for variable in part.variables
        )

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Columns of each part in an encoding."""
        ends = np.cumsum([part.n_variables for part in self.parts]).tolist()
        return tuple(slice(end - part.n_variables, end) for part, end in zip(self.parts, ends, strict=True))

    def split(self, X: ArrayLike) -> list[NDArray[Any]]:
        """Encodings of each part, (n, d of the part) each."""
        checked = self.check(X)
        return [checked[:, columns].astype(part.dtype) for part, columns in zip(self.parts, self.slices, strict=True)]

    def join(self, *encodings: ArrayLike) -> NDArray[Any]:
        """(n, d) encodings of (n, d of the part) encodings of each part, row by row: the inverse of :meth:`split`."""
        if len(encodings) != len(self.parts):
            raise SpecError(f"space {self.name!r} has {len(self.parts)} parts; got {len(encodings)} arrays")
        checked = [part.check(X) for part, X in zip(self.parts, encodings, strict=True)]
        if len({len(X) for X in checked}) != 1:
            raise SpecError(f"space {self.name!r}: parts of {[len(X) for X in checked]} rows cannot be joined")
        return self.check(np.concatenate([X.astype(np.int64) for X in checked], axis=1))

    def degenerate(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Which combinations have a degenerate part, (n,)."""
        split = self.split(X)
        found = [part.degenerate(one) for part, one in zip(self.parts, split, strict=True)]
        return np.asarray(np.any(found, axis=0))

    def canonical(self, X: ArrayLike) -> NDArray[Any]:
        """The parts' representatives side by side, (n, d)."""
        split = self.split(X)
        return self.join(*(part.canonical(one) for part, one in zip(self.parts, split, strict=True)))

    def _fragments(self, index: int) -> tuple[str, ...]:
        for part, columns in zip(self.parts, self.slices, strict=True):
            if index < columns.stop:
                first = index == columns.start
                fragments = part._fragments(index - columns.start)
                return tuple(SEPARATOR + f for f in fragments) if first and columns.start else fragments
        raise IndexError(index)
