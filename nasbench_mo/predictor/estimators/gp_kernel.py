"""Covariance functions for features of discrete graphs, in NumPy: what fitting on a grid and serving share.

A kernel is a sum of terms, each a function of its own scaled view of the columns. :mod:`._gpytorch_models` builds the
same sum from GPyTorch's kernels; the tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError, did_you_mean

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelTerm:
    """One summand of a kernel: ``weight * k((x - offset) * scales, (x' - offset) * scales)``.

    Parameters
    ----------
    kind
        ``"matern52"``: Matern covariance of smoothness 5/2 of the Euclidean distance, so ``scales`` are inverse length
        scales. ``"linear"``: the dot product, that is linear regression whose coefficients have ``scales`` as prior
        standard deviations. ``"tanimoto"``: the share that two vectors of counts have in common. ``"hamming"``:
        ``exp(-sum(scales[differing columns]))``.
    scales
        (k,), not negative; a column with 0 does not enter.
    weight
        Prior variance of the term where its covariance with itself is 1.
    offset
        (k,) origin of the columns; only the linear and the Tanimoto term depend on it. Zeros where None.
    """

    kind: str
    scales: Floats
    weight: float = 1.0
    offset: Floats | None = None

    def __post_init__(self) -> None:
        check_kind(self.kind)
        scales = np.asarray(self.scales, dtype=np.float64)
        if scales.ndim != 1 or not (np.isfinite(scales) & (scales >= 0)).all():
            raise SpecError(f"scales of a kernel term are a vector of finite values, none negative; got {scales}")
        if not (np.isfinite(self.weight) and self.weight > 0):
            raise SpecError(f"the weight of a kernel term must be positive and finite; got {self.weight}")
        offset = np.zeros_like(scales) if self.offset is None else np.asarray(self.offset, dtype=np.float64)
        if offset.shape != scales.shape or not np.isfinite(offset).all():
            raise SpecError(f"the offset of a kernel term has {len(scales)} finite values, one a column; got {offset}")
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "offset", offset)

    @property
    def stationary(self) -> bool:
        """Whether the term has a length: whether shrinking ``scales`` makes it smoother at the same variance."""
        return self.kind in ("matern52", "hamming")

    def view(self, X: NDArray[Any]) -> Floats:
        """The columns that enter, shifted and scaled: (n, j) of (n, k)."""
        enters = np.flatnonzero(self.scales)
        offset = np.zeros_like(self.scales) if self.offset is None else self.offset
        made: Floats = (np.asarray(X)[:, enters].astype(np.float64) - offset[enters]) * self.scales[enters]
        return made


class Cross:
    """Covariances of many inputs with the same few, whose views are kept.

    Parameters
    ----------
    terms
        The kernel.
    inputs
        (n, k).
    """

    def __init__(self, terms: Sequence[KernelTerm], inputs: NDArray[Any]) -> None:
        self._terms = tuple(terms)
        self._views = [term.view(inputs) for term in self._terms]

    def __call__(self, X: NDArray[Any]) -> Floats:
        """Covariance matrix, (m, n), of (m, k) inputs with the kept ones."""
        total = np.zeros((len(X), len(self._views[0])))
        for term, view in zip(self._terms, self._views, strict=True):
            part = _COVARIANCES[term.kind](term.view(X), view, term.scales[term.scales > 0])
            part *= term.weight
            total += part
        return total


def covariance(terms: Sequence[KernelTerm], A: NDArray[Any], B: NDArray[Any]) -> Floats:
    """Covariance matrix, (n, m), of (n, k) and (m, k) inputs."""
    return Cross(terms, B)(A)


def variance(terms: Sequence[KernelTerm], X: NDArray[Any]) -> Floats:
    """Prior variance of each input, (n,): the diagonal of :func:`covariance`, in linear time."""
    total = np.zeros(len(X))
    for term in terms:
        total += term.weight * ((term.view(X) ** 2).sum(axis=1) if term.kind == "linear" else 1.0)
    return total


def check_kind(kind: str) -> None:
    """Refuse an unknown kind of term.

    Raises
    ------
    SpecError
        With the kinds there are.
    """
    if kind not in _COVARIANCES:
        raise SpecError(
            f"unknown kernel term {kind!r}.{did_you_mean(kind, _COVARIANCES)} Known: {', '.join(_COVARIANCES)}"
        )


def _matern52(A: Floats, B: Floats, _: Floats) -> Floats:
    """Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, equation 4.17."""
    twice = A @ B.T
    twice *= 2.0
    r: Floats = (A * A).sum(axis=1)[:, None] + (B * B).sum(axis=1)
    r -= twice
    np.maximum(r, 0.0, out=r)
    r *= 5.0
    np.sqrt(r, out=r)
    third = np.multiply(r, r, out=twice)  # in place throughout: new memory costs as much as the arithmetic
    third /= 3.0
    polynomial = 1.0 + r
    polynomial += third
    np.negative(r, out=r)
    np.exp(r, out=r)
    r *= polynomial
    return r


def _linear(A: Floats, B: Floats, _: Floats) -> Floats:
    made: Floats = A @ B.T
    return made


def _tanimoto(A: Floats, B: Floats, _: Floats) -> Floats:
    """Ralaivola et al., "Graph kernels for chemical informatics", Neural Networks 18, 2005, equation 8."""
    common = A @ B.T
    union = (A * A).sum(axis=1)[:, None] + (B * B).sum(axis=1) - common
    made: Floats = np.divide(common, union, out=np.ones_like(common), where=union > 0)  # two empty sets are equal
    return made


def _hamming(A: Floats, B: Floats, scales: Floats) -> Floats:
    """A product over the columns, of 1 where they are equal and exp(-scale) where not; one pass a column."""
    distance = np.zeros((len(A), len(B)))
    for j, scale in enumerate(scales):
        distance += scale * (A[:, j, None] != B[:, j])
    made: Floats = np.exp(-distance)
    return made


_COVARIANCES: Mapping[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "matern52": _matern52,
    "linear": _linear,
    "tanimoto": _tanimoto,
    "hamming": _hamming,
}
