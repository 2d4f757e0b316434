"""A workload: the counts of layer shapes in every network of a space, and what follows from the counts alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Final, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.nb201 import Counting

#: Digits that a composed cost keeps, of the 15 that a float has: sums that are equal on paper come out equal.
_DIGITS = 12

_Space = TypeVar("_Space", bound=SearchSpace)


class Workload(ABC):
    """The layers of every network of a search space inside one skeleton. Abstract: a space says how to count.

    It knows shapes and how often they occur; what a shape costs is a device's business.

    Parameters
    ----------
    search_space
        The space whose encodings are counted.
    name
        Identity: space, skeleton and data set, e.g. ``"nb201-n5c16-cifar10"``.
    shapes
        The s distinct layer shapes, in the order of the columns of :meth:`counts`.
    unnormalised
        Convolutions that no batch normalisation follows.
    other_parameters
        Trainable parameters that belong to no layer shape: a normalisation that stands alone.

    Notes
    -----
    Convention ``"live"`` counts operations that lie on an input-output path, ``"all"`` every operation that the
    encoding names. Only ``nb201`` has dead operations; elsewhere the two agree.
    """

    def __init__(
        self,
        search_space: SearchSpace,
        *,
        name: str,
        shapes: Sequence[LayerShape],
        unnormalised: Collection[LayerShape] = (),
        other_parameters: int = 0,
    ) -> None:
        assert len(set(shapes)) == len(shapes), "shapes are distinct"
        self.name: Final = name
        self.space: Final = search_space
        self.shapes: Final = tuple(shapes)
        self._macs = np.array([shape.macs for shape in shapes], dtype=np.float64)
        self._parameters = np.array(
            [_parameters(shape, normalised=shape not in unnormalised) for shape in shapes], dtype=np.float64
        )
        self._other_parameters = other_parameters

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self.shapes)} layer shapes)"

    @abstractmethod
    def _counts(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.float64]:
        """(n, s) counts of checked encodings."""

    @abstractmethod
    def _activation_peak(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.int64]:
        """(n,) elements of checked encodings."""

    def _repeated(self, X: NDArray[Any], *, convention: Counting) -> NDArray[np.float64]:
        """(n, s) layers of checked encodings that compute what another one has computed; none by default."""
        return np.zeros((len(X), len(self.shapes)))

    def counts(self, X: ArrayLike, *, convention: Counting = "live", merge_equal: bool = False) -> NDArray[np.float64]:
        """How often each shape occurs in each network, (n, s): whole numbers, in :attr:`shapes`' order.

        Parameters
        ----------
        X
            (n, d) encodings.
        convention
            Whether dead operations count.
        merge_equal
            Count layers that compute the same of the same tensor once, as a runtime does that merges common
            subexpressions. Only layers without weights can be equal: poolings.

        Raises
        ------
        ArchitectureError
            X is not of the space.
        SpecError
            The convention is neither ``"live"`` nor ``"all"``.
        """
        _check_convention(convention)
        encodings = self.space.check(X)
        counts = self._counts(encodings, convention=convention)
        return counts - self._repeated(encodings, convention=convention) if merge_equal else counts

    def macs(self, X: ArrayLike, *, convention: Counting = "live") -> NDArray[np.int64]:
        """Multiply-accumulates of convolutions and linear layers for one image, (n,).

        Biases, additions, pooling, normalisation and activation are not counted.
        """
        macs: NDArray[np.int64] = (self.counts(X, convention=convention) @ self._macs).astype(np.int64)
        return macs

    def parameters(self, X: ArrayLike, *, convention: Counting = "live") -> NDArray[np.int64]:
        """Trainable parameters, (n,): weights, scale and shift of each normalisation, biases of linear layers."""
        held = self.counts(X, convention=convention) @ self._parameters
        parameters: NDArray[np.int64] = held.astype(np.int64) + self._other_parameters
        return parameters

    def activation_peak(self, X: ArrayLike, *, convention: Counting = "live") -> NDArray[np.int64]:
        """Most activation elements that are alive at once, batch 1, (n,). Weights are not counted.

        Layers run one after the other in the order of the published code. While one runs, its inputs, its output and
        every tensor that a later layer reads are alive (the working set of Liberis & Lane, arXiv:1910.05110,
        section 3). No layer writes over its input, additions included; a skip is another name for its tensor;
        normalisation and activation are part of the layer beside them.
        """
        _check_convention(convention)
        return self._activation_peak(self.space.check(X), convention=convention)


def compose(counts: ArrayLike, costs: ArrayLike) -> NDArray[np.float64]:
    """Cost of n networks on h devices, (n, h), from counts (n, s) and costs per shape (s, h); (n,) from costs (s,).

    More than the product in two ways. The sums are rounded to 12 digits of a device's largest one, so that ties stay
    ties. A cost that is not finite (a shape that the device cannot run, or was not measured on) makes not finite those
    networks alone that have the shape; in a plain product 0 times NaN spoils them all.

    Raises
    ------
    SpecError
        The two do not have the same number of shapes.

    Examples
    --------
    >>> compose([[1, 2], [3, 0]], [[0.1, 1.0], [0.1, float("inf")]]).tolist()
    [[0.3, inf], [0.3, 3.0]]
    """
    n, c = np.asarray(counts, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if n.ndim != 2 or c.ndim not in (1, 2) or n.shape[1] != len(c):
        raise SpecError(
            f"expected counts (n, s) and costs (s,) or (s, h) of the same s shapes; got {n.shape}, {c.shape}"
        )
    columns = c.reshape(len(c), -1)
    finite = np.isfinite(columns)
    totals = _rounded(n @ np.where(finite, columns, 0.0))
    for shape in np.flatnonzero(~finite.all(axis=1)):
        has = n[:, shape] > 0
        totals[np.ix_(has, ~finite[shape])] += columns[shape, ~finite[shape]]
    return totals.reshape(len(n), *c.shape[1:])


def check_positive(name: str, value: object) -> None:
    """Refuse what is not a positive integer.

    Raises
    ------
    SpecError
        It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"skeleton: {name} must be a positive integer, got {value!r}")


def check_space(search_space: SearchSpace, expected: type[_Space]) -> _Space:
    """The space as the class whose variables a workload counts.

    Raises
    ------
    SpecError
        It is another space of the same name.
    """
    if not isinstance(search_space, expected):
        raise SpecError(f"the workload of {expected.__name__} cannot count {search_space!r}; rename that space")
    return search_space


def _check_convention(convention: str) -> None:
    if convention not in get_args(Counting):
        raise SpecError(f"convention must be 'live' or 'all'; got {convention!r}")


def _parameters(shape: LayerShape, *, normalised: bool) -> int:
    """Weights, and scale and shift of the normalisation behind a convolution or the bias of a linear layer."""
    if shape.operator == "conv":
        return shape.weights + (2 * shape.out_channels if normalised else 0)
    return shape.weights + (shape.out_channels if shape.operator == "linear" else 0)


def _rounded(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column to the decimals that give its largest value ``_DIGITS`` digits."""
    rounded = totals.copy()
    for j, largest in enumerate(np.abs(totals).max(axis=0, initial=0.0).tolist()):
        if largest > 0:
            rounded[:, j] = np.round(totals[:, j], _DIGITS - 1 - int(np.floor(np.log10(largest))))
    return rounded
