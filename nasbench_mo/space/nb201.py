"""NAS-Bench-201's topology space: cells of four nodes, six edges and five operations.

Dong & Yang, "NAS-Bench-201", ICLR 2020. Edge order is that of the published string: 0->1, 0->2, 1->2, 0->3,
1->3, 2->3; operation order is that of the published code.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.space.base import SearchSpace, Variable, concatenated

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NONE, SKIP, CONV1X1, CONV3X3, AVG_POOL = range(5)
#: (from, to) of each variable, in encoding order.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
#: The four input-output paths, as edge indices.
PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))

Equivalence = Literal["published", "function"]
Counting = Literal["live", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """The network around a cell: a 3x3 stem, stages of equal cells with a residual reduction between, a classifier.

    The default is NAS-Bench-201's own (section 2.1 of the paper): 5 cells a stage, 16 / 32 / 64 channels.
    """

    n_cells: int = 5
    channels: int = 16
    n_stages: int = 3
    image_size: int = 32
    image_channels: int = 3
    n_classes: int = 10

    @classmethod
    def for_dataset(cls, dataset: str) -> Skeleton:
        """Skeleton of a dataset: cifar10, cifar100, imagenet16-120, or gtsrb16 of the table nb201-gtsrb16-v1."""
        known = {
            "cifar10": cls(),
            "cifar100": cls(n_classes=100),
            "imagenet16-120": cls(image_size=16, n_classes=120),
            "gtsrb16": cls(n_cells=1, channels=8, image_size=16, n_classes=43),
        }
        if dataset not in known:
            raise SpecError(f"there are skeletons for the datasets {', '.join(known)}; got {dataset!r}")
        return known[dataset]


@final
class NB201(SearchSpace):
    """5^6 = 15,625 cells; the string is ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

    341 of them have no path of live operations from input to output: :meth:`degenerate`.

    Examples
    --------
    >>> space = NB201()
    >>> X = space.encode("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    >>> X.tolist(), space.decode(space.live(X))
    ([[3, 0, 0, 1, 0, 0]], ['|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|'])
    """

    name = "nb201"

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The operation on each edge."""
        return tuple(Variable(name=f"edge_{a}_{b}", values=OPERATIONS) for a, b in EDGES)

    def _fragments(self, index: int) -> tuple[str, ...]:
        source, target = EDGES[index]
        opens = "+|" if source == 0 and target > 1 else "|" if source == 0 else ""
        return concatenated(opens, OPERATIONS, f"~{source}|")

    # ------------------------------------------------------------------ live operations

    def live(self, X: ArrayLike) -> NDArray[Any]:
        """Copy of X, (n, 6), in which every dead operation is ``none``.

        An operation is live when it lies on an input-output path without a ``none``.
        """
        checked = self.check(X)
        return np.where(_on_live_path(checked != NONE), checked, NONE).astype(self.dtype)

    def degenerate(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Which cells have no live input-output path, (n,): their output does not depend on the input."""
        alive = self.check(X) != NONE
        return np.logical_not(_live_paths(alive).any(axis=1))

    def operation_counts(self, X: ArrayLike, *, convention: Counting) -> NDArray[np.int64]:
        """How often each operation of :data:`OPERATIONS` occurs in a cell, (n, 5).

        ``convention="all"`` counts every edge; ``"live"`` counts dead operations as ``none``.
        """
        cells = self.live(X) if _checked_counting(convention) == "live" else self.check(X)
        counts: NDArray[np.int64] = (cells[:, :, None] == np.arange(len(OPERATIONS))).sum(axis=1)
        return counts

    # ------------------------------------------------------------------ equivalence

    def canonical(self, X: ArrayLike, *, equivalence: Equivalence = "published") -> NDArray[Any]:
        """Representative of each cell's isomorphism class, (n, 6).

        The representative is the member with the fewest operations, first in lexicographic order among those, so
        dead operations are gone wherever the class has a member without them.

        Parameters
        ----------
        X
            (n, 6) encodings.
        equivalence
            ``"published"``: the 6,466 classes of NAS-Bench-201's unique strings. They keep a zeroised input of a
            node as a term of its sum, so some cells that compute the same function stay apart.
            ``"function"``: 4,930 classes; zero terms are dropped, operations fed by nothing are dead, and sums are
            associative. Use it to split data so that no twin leaks.
        """
        return self.from_codes(self._representatives(equivalence)[self.codes(X)])

    def equivalence_class(self, X: ArrayLike) -> NDArray[Any]:
        """Code of the representative under ``"function"`` equivalence, (n,)."""
        return self.codes(self.canonical(X, equivalence="function"))

    def _representatives(self, equivalence: Equivalence) -> NDArray[np.int64]:
        """Code of the representative for every code, (15625,)."""
        if _checked_equivalence(equivalence) not in self._tables:
            everything = self.enumerate()
            expression = {"published": _published_expression, "function": _function_expression}[equivalence]
            expressions = [expression(row) for row in everything.tolist()]
            n_operations = (everything != NONE).sum(axis=1)
            best: dict[str, int] = {}
            for code in np.lexsort((np.arange(self.size), n_operations)).tolist():
                best.setdefault(expressions[code], code)
            self._tables[equivalence] = np.array([best[e] for e in expressions], dtype=np.int64)
        return self._tables[equivalence]

    @cached_property
    def _tables(self) -> dict[Equivalence, NDArray[np.int64]]:
        """What :meth:`_representatives` has found; serving a predictor needs one of the two."""
        return {}

    # ------------------------------------------------------------------ size

    def n_parameters(
        self, X: ArrayLike, *, skeleton: Skeleton | None = None, convention: Counting = "all"
    ) -> NDArray[np.int64]:
        """Trainable parameters of each network, (n,), batch normalisation included.

        The published counts include dead operations, hence the default convention.
        """
        net = skeleton or Skeleton()
        counts = self.operation_counts(X, convention=convention)
        total = np.full(len(counts), _fixed_parameters(net), dtype=np.int64)
        for width in _widths(net):
            per_cell = counts[:, CONV1X1] * (width * width + 2 * width)
            per_cell += counts[:, CONV3X3] * (9 * width * width + 2 * width)
            total += net.n_cells * per_cell
        return total

    def n_flops(
        self, X: ArrayLike, *, skeleton: Skeleton | None = None, convention: Counting = "all"
    ) -> NDArray[np.int64]:
        """Multiply-accumulates of convolutions and the classifier for one image, (n,).

        The field calls this number FLOPs; additions, pooling and normalisation are not counted, the classifier's bias
        is. The published counts include dead operations, hence the default convention.
        """
        net = skeleton or Skeleton()
        counts = self.operation_counts(X, convention=convention)
        total = np.full(len(counts), _fixed_flops(net), dtype=np.int64)
        for stage, width in enumerate(_widths(net)):
            pixels = (net.image_size >> stage) ** 2
            total += net.n_cells * pixels * width * width * (counts[:, CONV1X1] + 9 * counts[:, CONV3X3])
        return total


def _live_paths(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n, 4): which of PATHS has no ``none``."""
    return np.stack([alive[:, path].all(axis=1) for path in PATHS], axis=1)


def _on_live_path(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n, 6): which edges lie on a live path."""
    live = np.zeros_like(alive)
    for path, whole in zip(PATHS, _live_paths(alive).T, strict=True):
        live[:, path] |= whole[:, None]
    return live


def _published_expression(ops: list[int]) -> str:
    """The cell as the expression that NAS-Bench-201 compares: '#' is zero, a skip passes its node on."""
    nodes = ["0"]
    for node in range(1, 4):
        terms = []
        for (source, target), op in zip(EDGES, ops, strict=True):
            if target != node:
                continue
            if op == NONE or nodes[source] == "#":
                terms.append("#")
            elif op == SKIP:
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{OPERATIONS[op]}")
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


def _function_expression(ops: list[int]) -> str:
    """The cell as a sum of terms without zeros; nested sums behind a skip are flattened."""
    to_1, to_2, from_1_to_2, to_3, from_1_to_3, from_2_to_3 = ops
    return "+".join(
        sorted(
            (
                *_function_terms((), to_3),
                *_function_terms((to_1,), from_1_to_3),
                *_function_terms((to_1, to_2, from_1_to_2), from_2_to_3),
            )
        )
    )


@cache
def _function_terms(source: tuple[int, ...], op: int) -> tuple[str, ...]:
    """What an operation makes of a node, which is told by the operations on all edges into it and before it."""
    if not source:
        terms: tuple[str, ...] = ("0",)
    elif len(source) == 1:
        terms = _function_terms((), source[0])
    else:
        terms = tuple(sorted((*_function_terms((), source[1]), *_function_terms(source[:1], source[2]))))
    if op == NONE or not terms:
        return ()
    return terms if op == SKIP else (f"({'+'.join(terms)})@{OPERATIONS[op]}",)


def _widths(net: Skeleton) -> list[int]:
    return [net.channels << stage for stage in range(net.n_stages)]


def _fixed_parameters(net: Skeleton) -> int:
    """Stem, reductions, last normalisation and classifier."""
    widths = _widths(net)
    total = 9 * net.image_channels * widths[0] + 2 * widths[0]
    for narrow, wide in itertools.pairwise(widths):
        total += 9 * narrow * wide + 2 * wide  # first 3x3, stride 2
        total += 9 * wide * wide + 2 * wide  # second 3x3
        total += narrow * wide  # 1x1 of the shortcut, after average pooling, without normalisation
    return total + 2 * widths[-1] + widths[-1] * net.n_classes + net.n_classes


def _fixed_flops(net: Skeleton) -> int:
    widths = _widths(net)
    total = 9 * net.image_channels * widths[0] * net.image_size**2
    for stage, (narrow, wide) in enumerate(itertools.pairwise(widths), start=1):
        pixels = (net.image_size >> stage) ** 2
        total += pixels * (9 * narrow * wide + 9 * wide * wide + narrow * wide)
    return total + widths[-1] * net.n_classes + net.n_classes  # the published count includes the classifier's bias


def _checked_counting(convention: str) -> str:
    if convention not in ("live", "all"):
        raise SpecError(f"convention must be 'live' or 'all'; got {convention!r}")
    return convention


def _checked_equivalence(equivalence: Equivalence) -> Equivalence:
    if equivalence not in ("published", "function"):
        raise SpecError(f"equivalence must be 'published' or 'function'; got {equivalence!r}")
    return equivalence
