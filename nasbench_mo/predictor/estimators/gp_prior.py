"""What is believed of a kernel before the data: its terms, how long, how noisy, and how firmly each is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.gp_kernel import KernelTerm, check_kind

#: Least noise variance, as a share of the target's: the benchmark's own noise is well above it, and it keeps the
#: factorisation safe.
LEAST_NOISE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelPrior:
    """Log-normal beliefs about a kernel of the standardised target.

    Parameters
    ----------
    terms
        The kernel at the centre of the prior.
    noise
        Centre of the noise variance; the target's own variance is 1.
    length_spread
        Standard deviation of the logarithm of one factor on all lengths. 0 fixes them.
    noise_spread
        Standard deviation of the logarithm of the noise variance. 0 fixes it.
    strength
        How many observations the belief that the kernel's variance is right is worth (an inverse gamma prior).
    rest
        Variance of a further Matern term, over all columns alike, for what the terms leave out; 0 is none.
    """

    terms: tuple[KernelTerm, ...]
    noise: float = 0.05
    length_spread: float = 0.6
    noise_spread: float = 1.0
    strength: float = 10.0
    rest: float = 0.0

    def __post_init__(self) -> None:
        if not self.terms or len({len(term.scales) for term in self.terms}) != 1:
            raise SpecError("a kernel prior has one term or more, all of them for the same number of columns")
        for name, value, least in (
            ("noise", self.noise, LEAST_NOISE),
            ("length_spread", self.length_spread, 0.0),
            ("noise_spread", self.noise_spread, 0.0),
            ("strength", self.strength, 0.0),
            ("rest", self.rest, 0.0),
        ):
            if not (np.isfinite(value) and value >= least):
                raise SpecError(f"{name} of a kernel prior must be finite and at least {least}; got {value}")

    @classmethod
    def plain(cls, kinds: Sequence[str], *, X: NDArray[Any]) -> Self:
        """A prior that holds all columns for equally relevant, from (n, k) training features.

        Matern and linear terms see standardised columns and share lengths of ``sqrt(k)`` standard deviations; a Hamming
        term falls to 1/e where all columns differ; a Tanimoto term sees the columns as they are. Terms weigh the same.

        Raises
        ------
        SpecError
            A kind is unknown, or the Tanimoto term meets a negative value.
        """
        if not kinds:
            raise SpecError("a kernel has one term or more, e.g. 'matern52+linear'; got none")
        weight = 1.0 / len(kinds)
        return cls(terms=tuple(_plain_term(kind, X, weight=weight) for kind in kinds))

    def completed(self, X: NDArray[Any]) -> Self:
        """This prior with what (n, k) training features decide.

        The linear terms get their origin at the mean of the features, where the standardised target is 0 too, and the
        rest becomes a term, of half the length of :meth:`plain`'s.
        """
        mean = np.asarray(X, dtype=np.float64).mean(axis=0)
        terms = [replace(term, offset=mean) if term.kind == "linear" else term for term in self.terms]
        if self.rest > 0:
            terms += scaled([_plain_term("matern52", X, weight=self.rest)], length=0.5)
        return replace(self, terms=tuple(terms), rest=0.0)


def scaled(terms: Sequence[KernelTerm], *, length: float = 1.0, weight: float = 1.0) -> tuple[KernelTerm, ...]:
    """The same kernel with other lengths (of the terms that have one) and another variance."""
    return tuple(
        replace(term, scales=term.scales / length if term.stationary else term.scales, weight=term.weight * weight)
        for term in terms
    )


def _plain_term(kind: str, X: NDArray[Any], *, weight: float) -> KernelTerm:
    check_kind(kind)
    values = np.asarray(X, dtype=np.float64)
    k = values.shape[1]
    if kind == "tanimoto":
        if (values < 0).any():
            raise SpecError(f"the Tanimoto term needs counts, not negative values; got {values.min()}")
        return KernelTerm(kind=kind, scales=np.ones(k), weight=weight)
    if kind == "hamming":
        return KernelTerm(kind=kind, scales=np.full(k, 1.0 / k), weight=weight)
    deviation = values.std(axis=0)
    # rounding leaves a constant column a deviation of its last bit; such a column has nothing to say
    varies = deviation > 1e-12 * np.maximum(np.abs(values).max(axis=0), 1e-300)
    scales = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0) / np.sqrt(max(1, varies.sum()))
    return KernelTerm(kind=kind, scales=scales, weight=weight, offset=values.mean(axis=0))
