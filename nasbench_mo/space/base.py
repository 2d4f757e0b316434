"""The search space: a finite product of categorical variables with a published string form.

A space turns architectures between their string form and rows of small integers, both ways and vectorised, and
knows the moves searchers need. It does not know any objective.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.encoding import byte_keys, check_encodings, from_mixed_radix, mixed_radix
from nasbench_mo.errors import ArchitectureError, SpaceSizeError

#: Spaces up to this size keep their strings in memory (one dict look-up per string).
_STRING_TABLE_LIMIT = 1 << 16
#: The largest space that :meth:`SearchSpace.enumerate` will write out.
ENUMERATION_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One categorical decision: its name and the published names of its values, in code order."""

    name: str
    values: tuple[str, ...]


class SearchSpace(ABC):
    """A finite set of architectures. Abstract: a space gives its variables and its string form.

    Encodings are (n, d) integer arrays; value ``X[i, j]`` lies in ``0 .. cardinalities[j] - 1``. Lexicographic
    order, first variable most significant, is the order of :meth:`enumerate` and of dense tables.

    Examples
    --------
    >>> from nasbench_mo import space
    >>> macro = space("nbmacro")
    >>> X = macro.encode(["22212220", "00000000"])
    >>> X.shape, macro.size, macro.decode(X)
    ((2, 8), 6561, ['22212220', '00000000'])
    >>> macro.neighbors(X[0]).shape
    (16, 8)
    """

    #: Registered name, e.g. ``"nb201"``.
    name: str
    #: Raised when the meaning of the integers changes; predictors refuse another version.
    encoding_version: int = 1

    @property
    @abstractmethod
    def variables(self) -> tuple[Variable, ...]:
        """The d decisions, in encoding order."""

    @abstractmethod
    def _fragments(self, index: int) -> tuple[str, ...]:
        """String of each value of one variable; an architecture's string is the concatenation over variables."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.n_variables} variables, {self.size} architectures)"

    @property
    def n_variables(self) -> int:
        """Number of variables d."""
        return len(self.variables)

    @cached_property
    def cardinalities(self) -> NDArray[np.int64]:
        """Number of values of each variable, (d,). Read-only."""
        values = np.array(self._cardinalities, dtype=np.int64)
        values.flags.writeable = False
        return values

    @cached_property
    def _cardinalities(self) -> tuple[int, ...]:
        return tuple(len(v.values) for v in self.variables)

    @cached_property
    def size(self) -> int:
        """Number of architectures, as an unbounded integer."""
        return prod(self._cardinalities)

    @property
    def enumerable(self) -> bool:
        """Whether :meth:`enumerate` is allowed."""
        return self.size <= ENUMERATION_LIMIT

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Integer type of encodings made by this space: int8 wherever every code fits, else int16."""
        largest = max(self._cardinalities)
        if largest > 1 << 15:
            raise SpaceSizeError(f"space {self.name!r}: a variable has {largest} values, more than the 32768 of int16")
        return np.dtype(np.int8 if largest <= 127 else np.int16)

    # ------------------------------------------------------------------ strings and integers

    def decode(self, X: ArrayLike) -> list[str]:
        """Published strings of (n, d) encodings.

        Raises
        ------
        ArchitectureError
            Shape, type or a value is outside the space.
        """
        checked = self.check(X)
        if self.size <= _STRING_TABLE_LIMIT:
            table = self._all_strings
            return [table[code] for code in self.codes(checked).tolist()]
        columns = [[f[v] for v in checked[:, j].tolist()] for j, f in enumerate(self._all_fragments)]
        return ["".join(parts) for parts in zip(*columns, strict=True)]

    def encode(self, strings: Iterable[str] | str) -> NDArray[Any]:
        """(n, d) encodings of n published strings.

        Raises
        ------
        ArchitectureError
            A string is not an architecture of this space; it is named.
        """
        if isinstance(strings, str):
            strings = [strings]
        if self.size <= _STRING_TABLE_LIMIT:
            code_of = self._code_of_string
            try:
                codes = np.array([code_of[s] for s in strings], dtype=np.int64)
            except KeyError as error:
                raise self._not_an_architecture(error.args[0]) from None
            except TypeError as error:
                raise ArchitectureError(f"space {self.name!r}: expected architecture strings; {error}") from None
            return self.from_codes(codes)
        return np.array([self._parse(s) for s in strings], dtype=self.dtype).reshape(-1, self.n_variables)

    def encode_one(self, arch: str) -> tuple[int, ...]:
        """The d integers of one published string."""
        return tuple(self.encode([arch])[0].tolist())

    def as_encodings(self, archs: Iterable[str] | ArrayLike) -> NDArray[Any]:
        """(n, d) encodings of architectures given as n strings or as encodings already."""
        if isinstance(archs, Sequence) and (not archs or isinstance(archs[0], str)):
            return self.encode(cast("Iterable[str]", archs))
        if hasattr(archs, "dtype"):  # an array, or a series of a data frame
            array = np.asarray(archs)
            if array.dtype.kind in "UTO" and array.ndim == 1:
                return self.encode(array.tolist())
        return self.check(cast("ArrayLike", archs))

    def check(self, X: ArrayLike) -> NDArray[Any]:
        """Return X as an (n, d) integer array of valid encodings, or raise :class:`ArchitectureError`."""
        checked = check_encodings(X, cardinalities=self._cardinalities, owner=f"space {self.name!r}")
        return checked.astype(self.dtype, copy=False)

    def codes(self, X: ArrayLike) -> NDArray[np.intp]:
        """Index of each architecture in lexicographic order, (n,).

        Raises
        ------
        SpaceSizeError
            The space has 2**63 architectures or more.
        """
        checked = self.check(X)
        if self.size >= 1 << 63:
            raise SpaceSizeError(f"space {self.name!r} has {self.size} architectures: their index exceeds 63 bits")
        return mixed_radix(checked, cardinalities=self._cardinalities)

    def code(self, arch: str | Sequence[int]) -> int:
        """Index of one architecture, given as string or as d integers: :meth:`codes` without array overhead.

        Raises
        ------
        ArchitectureError
            It is not an architecture of this space.
        SpaceSizeError
            The space has 2**63 architectures or more.
        """
        if self.size <= _STRING_TABLE_LIMIT:
            known = self._code_of_string if isinstance(arch, str) else self._code_of_row
            code = known.get(arch if isinstance(arch, (str, tuple)) else tuple(arch))  # type: ignore[arg-type]
            if code is not None:
                return code
        row = self.encode([arch]) if isinstance(arch, str) else np.asarray([arch])
        return int(self.codes(row)[0])

    def from_codes(self, codes: ArrayLike) -> NDArray[Any]:
        """(n, d) encodings of indices in lexicographic order: the inverse of :meth:`codes`."""
        indices = np.asarray(codes)
        if indices.ndim != 1 or (
            indices.size and (indices.dtype.kind not in "iu" or indices.min() < 0 or int(indices.max()) >= self.size)
        ):
            raise ArchitectureError(f"space {self.name!r}: expected a vector of indices in 0..{self.size - 1}")
        return from_mixed_radix(indices, cardinalities=self._cardinalities).astype(self.dtype)

    # ------------------------------------------------------------------ moves

    def enumerate(self) -> NDArray[Any]:
        """Every architecture in lexicographic order, (size, d).

        Raises
        ------
        SpaceSizeError
            The space has more than ``ENUMERATION_LIMIT`` architectures.
        """
        if not self.enumerable:
            raise SpaceSizeError(
                f"space {self.name!r} has {self.size:.3g} architectures, more than the {ENUMERATION_LIMIT:,} that can "
                "be enumerated; use sample(n, rng=...) instead"
            )
        return self.from_codes(np.arange(self.size))

    def sample(self, n: int, *, rng: np.random.Generator) -> NDArray[Any]:
        """n architectures drawn independently and uniformly, (n, d)."""
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
            raise ArchitectureError(f"space {self.name!r}: expected a number of architectures, got {n!r}")
        return rng.integers(0, self.cardinalities, size=(n, self.n_variables)).astype(self.dtype)

    def neighbors(self, x: ArrayLike) -> NDArray[Any]:
        """All architectures that differ from x, (d,), in exactly one variable: (sum(cardinalities - 1), d)."""
        origin = self.check(np.asarray(x)[None])[0]
        changes = [
            (j, value)
            for j, cardinality in enumerate(self.cardinalities)
            for value in range(cardinality)
            if value != origin[j]
        ]
        X = np.repeat(origin[None, :], len(changes), axis=0)
        for row, (j, value) in enumerate(changes):
            X[row, j] = value
        return X

    def mutate(self, X: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
        """A random neighbour of each row, (n, d): one variable, drawn uniformly, takes another value."""
        child = self.check(X).copy()
        free = np.flatnonzero(self.cardinalities > 1)
        if not free.size:
            return child
        rows = np.arange(len(child))
        j = free[rng.integers(0, free.size, size=len(child))]
        shift = rng.integers(1, self.cardinalities[j])
        child[rows, j] = (child[rows, j] + shift) % self.cardinalities[j]
        return child

    def crossover(self, A: ArrayLike, B: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
        """Uniform crossover of paired parents, (n, d): each variable comes from A or B with equal chance."""
        first, second = self.check(A), self.check(B)
        if first.shape != second.shape:
            raise ArchitectureError(
                f"space {self.name!r}: crossover pairs parents row by row; got {len(first)} and {len(second)} rows"
            )
        return np.where(rng.random(first.shape) < 0.5, first, second)

    # ------------------------------------------------------------------ equivalence, overridden where it exists

    def degenerate(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Which architectures compute nothing of their input, (n,). False for spaces that have none."""
        return np.zeros(len(self.check(X)), dtype=bool)

    def canonical(self, X: ArrayLike) -> NDArray[Any]:
        """A representative of each architecture's equivalence class, (n, d): itself where no two are equal."""
        return self.check(X).copy()

    def equivalence_class(self, X: ArrayLike) -> NDArray[Any]:
        """A key of each architecture's strictest equivalence class, (n,): equal keys mean equal functions.

        Data are split by this key, so that no twin of a held-out architecture is trained on.
        """
        return byte_keys(self.canonical(X))

    # ------------------------------------------------------------------ string machinery

    @cached_property
    def _all_fragments(self) -> list[tuple[str, ...]]:
        return [self._fragments(j) for j in range(self.n_variables)]

    @cached_property
    def _all_strings(self) -> list[str]:
        strings = [""]
        for fragments in self._all_fragments:
            strings = [s + f for s in strings for f in fragments]
        return strings

    @cached_property
    def _code_of_string(self) -> dict[str, int]:
        return {s: i for i, s in enumerate(self._all_strings)}

    @cached_property
    def _code_of_row(self) -> dict[tuple[int, ...], int]:
        return {row: i for i, row in enumerate(product(*map(range, self._cardinalities)))}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        groups = ("(" + "|".join(re.escape(f) for f in fragments) + ")" for fragments in self._all_fragments)
        return re.compile("".join(groups))

    def _parse(self, string: str) -> list[int]:
        match = self._pattern.fullmatch(string) if isinstance(string, str) else None
        if match is None:
            raise self._not_an_architecture(string)
        return [f.index(g) for f, g in zip(self._all_fragments, match.groups(), strict=True)]

    def _not_an_architecture(self, string: object) -> ArchitectureError:
        example = "".join(f[-1] for f in self._all_fragments)
        return ArchitectureError(f"{string!r} is not an architecture of {self.name!r}; one looks like {example!r}")


def concatenated(prefix: str, values: Sequence[str], suffix: str) -> tuple[str, ...]:
    """Fragments of one variable: each value between a prefix and a suffix."""
    return tuple(f"{prefix}{value}{suffix}" for value in values)
