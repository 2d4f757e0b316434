"""NAS-Bench-201 architectures as torch modules: any skeleton, dead operations kept as published or pruned.

Dong & Yang, "NAS-Bench-201", ICLR 2020, section 2.1: a 3x3 stem, stages of equal cells, a residual block with stride 2
between two stages, and a classifier after global average pooling. An operation with weights is ReLU, convolution, batch
normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasbench_mo.errors import ArchitectureError, require
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import NB201, Skeleton


def build_network(cell: str | Sequence[int], *, skeleton: Skeleton | None = None, pruned: bool = True) -> Any:
    """Make the network of a cell, a ``torch.nn.Module`` from images (b, c, h, w) to logits (b, classes).

    Parameters
    ----------
    cell
        Published string or six operation codes of NAS-Bench-201.
    skeleton
        The network around the cells; NAS-Bench-201's own by default.
    pruned
        Leave dead operations out: same function, less work. Otherwise they are built, as published, and what they
        compute is thrown away. Parameters are named by edge, so both forms share their names.

    Raises
    ------
    ArchitectureError
        The cell is not in the space.
    MissingDependencyError
        torch is not installed.

    Notes
    -----
    A cell whose output node gets nothing puts out zeros, as the published ``none`` does.
    """
    require("torch", extra="train")
    nb201 = space("nb201")
    if not isinstance(nb201, NB201):
        raise ArchitectureError("the space registered as 'nb201' is not NAS-Bench-201")
    X = nb201.encode([cell]) if isinstance(cell, str) else nb201.check([list(cell)])
    built = nb201.live(X)[0] if pruned else X[0]
    return _modules().Network(tuple(built.tolist()), skeleton or Skeleton())


def _modules() -> Any:
    """The module classes, defined where torch is: importing this file must not import it."""
    from nasbench_mo.training import _torch_modules

    return _torch_modules
