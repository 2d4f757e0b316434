"""Problems over network and accelerator together: where their values come from, and their exact manifest.

Such a space is too large to write out, and need not be: the error depends on the network alone, and of the networks
only a few dozen can be on the front (:mod:`nasbench_mo.hardware.codesign`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.benchmark.manifest import REFERENCE, Fingerprint, FrontFacts, Manifest, feasible_rows, scale_of
from nasbench_mo.benchmark.values import Values
from nasbench_mo.errors import ManifestError, SpecError
from nasbench_mo.hardware.accelerators import AcceleratorModel, accelerators
from nasbench_mo.hardware.codesign import exact_front, moments
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.hardware.workload import workload
from nasbench_mo.objective import Objective
from nasbench_mo.pareto import hypervolume, normalize
from nasbench_mo.space import space
from nasbench_mo.space.product import ProductSpace

if TYPE_CHECKING:
    from nasbench_mo.benchmark.search_problem import Problem

#: Raised when a cost model changes its numbers: it is part of the data hash.
MODEL_VERSION = 1


def product_space(name: str) -> ProductSpace:
    """The space of that name, which must be a product of a network and an accelerator.

    Raises
    ------
    SpecError
        It is another space.
    """
    found = space(name)
    if not isinstance(found, ProductSpace) or len(found.parts) != 2:
        raise SpecError(f"space {name!r} is no product of a network and an accelerator")
    return found


@final
@dataclass(frozen=True, kw_only=True)
class NetworkValues(Values):
    """Values that depend on the network of a pair alone.

    Parameters
    ----------
    values
        Of the network.
    space
        Name of the product space.
    """

    values: Values
    space: str

    @property
    def origin(self) -> Objective:
        """The network's objective."""
        return self.values.origin

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Values of the networks."""
        return self.values.score(product_space(self.space).split(X)[0])

    def has_test(self) -> bool:
        """As the network's values."""
        return self.values.has_test()

    def test(self, X: NDArray[Any]) -> NDArray[np.float64] | None:
        """Test values of the networks."""
        return self.values.test(product_space(self.space).split(X)[0])

    def seen(self) -> tuple[Objective, ...]:
        """As the network's values."""
        return self.values.seen()

    def tabulated(self) -> bool:
        """As the network's values."""
        return self.values.tabulated()

    def cheap(self) -> bool:
        """As the network's values."""
        return self.values.cheap()

    def missing(self) -> list[str]:
        """As the network's values."""
        return self.values.missing()

    def data_hash(self) -> str:
        """Hash of the network's values."""
        return self.values.data_hash()


@final
@dataclass(frozen=True, kw_only=True)
class AcceleratorValues(Values):
    """A modelled cost of a network on an accelerator.

    Parameters
    ----------
    quantity
        One of the accelerator model's quantities.
    space
        Name of the product space.
    """

    quantity: str
    space: str

    @property
    def origin(self) -> Objective:
        """The model's objective."""
        return self.model.objective(self.quantity)

    @cached_property
    def model(self) -> AcceleratorModel:
        """What the accelerators cost."""
        return accelerators(product_space(self.space).parts[1].name)

    def score(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Costs of the pairs. All quantities are computed when one is asked for, and remembered for the others."""
        checked = product_space(self.space).check(X)
        return _pair_costs(self.space, checked.tobytes())[self.quantity].copy()

    def cheap(self) -> bool:
        """True: an analytic model."""
        return True

    def data_hash(self) -> str:
        """Hash of the definition: the costs follow from it."""
        text = f"accelerator/{self.space}/{self.quantity}/{MODEL_VERSION}"
        return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=4)
def _pair_costs(name: str, encodings: bytes) -> dict[str, NDArray[np.float64]]:
    """Costs by quantity, (n,), of the pairs of a product space."""
    pairs = product_space(name)
    X = np.frombuffer(encodings, dtype=pairs.dtype).reshape(-1, pairs.n_variables)
    networks, designs = pairs.split(X)
    work = workload(pairs.parts[0])
    return accelerators(pairs.parts[1].name).pair_costs(work.counts(networks), designs, shapes=work.shapes)


def codesign_front(problem: Problem) -> NDArray[np.float64]:
    """Values of the exact front over all networks and accelerators, (k, m), sorted.

    Raises
    ------
    ManifestError
        As :func:`codesign_manifest`.
    """
    return feasible_rows(problem, _front(problem, _Product.of(problem)), X=None)


def codesign_manifest(problem: Problem, *, progress: Callable[[int, int], None] | None = None) -> Manifest:
    """The exact manifest of a problem over networks and accelerators, without writing its space out.

    Raises
    ------
    ManifestError
        The first objective does not come from the network alone, or another one not from one accelerator model; or a
        constraint is not an upper bound of an objective, or no pair keeps the constraints.
    """
    product = _Product.of(problem)
    everywhere = _front(problem, product)
    best = feasible_rows(problem, everywhere, X=None)
    ideal, nadir = scale_of(best, everywhere=everywhere)
    reference = tuple(REFERENCE for _ in problem.objectives)
    scaled = normalize(best, ideal=ideal, nadir=nadir)
    known = problem.unconstrained_manifest
    same = known is not None and known.data_hash == problem.data_hash
    # the summary is over all pairs, whatever the constraints, and takes long
    fingerprint = known.score.fingerprint if known is not None and same else product.fingerprint(progress=progress)
    return Manifest(
        problem=problem.id,
        objectives=tuple(o.column for o in problem.objectives),
        score=FrontFacts(
            ideal=tuple(ideal.tolist()),
            nadir=tuple(nadir.tolist()),
            hypervolume=hypervolume(scaled, reference=np.asarray(reference)),
            front_size=len(best),
            fingerprint=fingerprint,
        ),
        test=None,
        observed=fingerprint,
        reference_point=reference,
        n_architectures=problem.space.size,
        n_degenerate=product.n_degenerate * len(product.A),
        data_hash=problem.data_hash,
        constraints=problem.constraint_set.texts,
    )


def _front(problem: Problem, product: _Product) -> NDArray[np.float64]:
    """The front of all pairs, of which the feasible part is the front of the feasible ones."""
    if not problem.constraint_set.keeps_fronts:
        raise ManifestError(
            f"problem {problem.id!r}: its front is only known under upper bounds of its objectives; got "
            f"{' and '.join(problem.constraint_set.texts)}"
        )
    return product.front()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Product:
    """A co-design problem, taken apart: errors and counts of its networks, and its accelerators."""

    error: NDArray[np.float64]
    counts: NDArray[np.float64]
    A: NDArray[Any]
    shapes: tuple[LayerShape, ...]
    model: AcceleratorModel
    quantities: tuple[str, ...]
    n_degenerate: int

    @classmethod
    def of(cls, problem: Problem) -> Self:
        first, *others = (term.values for term in problem.terms)
        costs = [values for values in others if isinstance(values, AcceleratorValues)]
        if not isinstance(first, NetworkValues) or not costs or len(costs) < len(others):
            raise ManifestError(
                f"problem {problem.id!r}: expected one objective of the network, then costs of the accelerator"
            )
        networks, designs = product_space(first.space).parts
        X = networks.enumerate()
        alive = ~networks.degenerate(X)
        work = workload(networks)
        return cls(
            error=first.values.score(X[alive]),
            counts=work.counts(X[alive]),
            A=designs.enumerate(),
            shapes=work.shapes,
            model=costs[0].model,
            quantities=tuple(values.quantity for values in costs),
            n_degenerate=int((~alive).sum()),
        )

    def front(self) -> NDArray[np.float64]:
        found = exact_front(
            self.error, self.counts, self.A, shapes=self.shapes, model=self.model, quantities=self.quantities
        )
        return found.F

    def fingerprint(self, *, progress: Callable[[int, int], None] | None) -> Fingerprint:
        found = moments(
            self.error,
            self.counts,
            self.A,
            shapes=self.shapes,
            model=self.model,
            quantities=self.quantities,
            progress=progress,
        )
        return Fingerprint(mean=tuple(found.mean.tolist()), weighted_mean=tuple(found.weighted_mean.tolist()))
