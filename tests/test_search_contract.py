"""Every searcher keeps the public contract, and the contract catches searchers that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import MissingDependencyError, SearcherError
from nasbench_mo.search import SEARCHERS, Searcher, searcher
from nasbench_mo.space import CategoricalSpace, SearchSpace, space
from nasbench_mo.testing import check_searcher

#: A searcher runs forty times here: those with a costly model get a long random start, so that they fit it rarely.
LIGHT: dict[str, dict[str, float | int | str]] = {
    "lamoo": {"n_initial": 40},
    "q-learning": {"replay": 8},
    "tpe": {"n_initial": 55},
    "parego": {"n_initial": 68, "n_candidates": 20, "mc_samples": 4, "fit_iterations": 2},
    "qlognehvi": {"n_initial": 68, "n_candidates": 20, "mc_samples": 4, "fit_iterations": 2},
    "smac-forest": {"n_initial": 64, "batch": 3, "n_trees": 3, "n_random": 50},
    "mo-bananas": {"n_initial": 55, "n_members": 2, "n_candidates": 30},
}


def _searcher(name: str, s: SearchSpace, m: int, seed: int) -> Searcher:
    try:
        return searcher(name, s, m, seed=seed, **LIGHT.get(name, {}))
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", SEARCHERS.names())
@pytest.mark.parametrize("where", ["nb201", "fbnet"])
def test_a_registered_searcher_keeps_the_contract(name: str, where: str) -> None:
    check_searcher(lambda s, m, seed: _searcher(name, s, m, seed), space=space(where))


def test_the_contract_wants_a_space_on_which_seeds_can_differ() -> None:
    with pytest.raises(SearcherError, match="at least 1000"):
        check_searcher(lambda s, m, seed: searcher("random", s, m, seed=seed), space=CategoricalSpace("s", {"a": [1]}))


class Sampler(Searcher):
    """Draws with replacement: the simplest searcher there is."""

    name = "sampler"

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._rng = np.random.default_rng(seed)

    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample(n or 3, rng=self._rng)

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        pass


_GLOBAL = np.random.default_rng(0)


class _Unseeded(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample(n or 3, rng=np.random.default_rng())


class _SharedGenerator(Sampler):
    """Restarts its generator, which all of its kind share, in the constructor: alone, a seed repeats itself."""

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        global _GLOBAL
        super().__init__(space, n_objectives, seed=seed)
        _GLOBAL = np.random.default_rng(seed)

    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample(n or 3, rng=_GLOBAL)


class _DeafToItsSeed(Sampler):
    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._rng = np.random.default_rng(0)


class _TooMany(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample((n or 3) + 1, rng=self._rng)


class _Nothing(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample(0, rng=self._rng)


class _OutsideTheSpace(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        return super()._ask(n) + 1


class _AcceptsAnything(Sampler):
    def tell(self, X: ArrayLike, F: ArrayLike) -> None:
        self.n_told += len(np.asarray(X))


class _Overwrites(Sampler):
    def tell(self, X: ArrayLike, F: ArrayLike) -> None:
        super().tell(X, F)
        if isinstance(F, np.ndarray) and F.flags.writeable:
            F -= F.min()


class _KeepsTheCallersArray(Sampler):
    """Chooses its next proposals by an array that still belongs to the caller."""

    def tell(self, X: ArrayLike, F: ArrayLike) -> None:
        super().tell(X, F)
        self._told = np.asarray(F)

    def _ask(self, n: int | None) -> NDArray[Any]:
        told = getattr(self, "_told", np.zeros(1))
        return self.space.sample(n or 3, rng=np.random.default_rng([self.seed, self.n_told, int(1e6 + told.sum())]))


class _RefusalLeavesTrace(Sampler):
    def tell(self, X: ArrayLike, F: ArrayLike) -> None:
        self._rng.random()
        super().tell(X, F)


class _TwoObjectivesOnly(Sampler):
    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        if n_objectives > 2:
            raise SearcherError("two objectives at most")


class _Divides(Sampler):
    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        if not np.ptp(F, axis=0).any() and len(F) > 1:
            raise SearcherError("all values are equal")


class _WantsRoom(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        if self.space.size < 5:
            raise SearcherError("too small")
        return super()._ask(n)


BROKEN = {
    _Unseeded: "a seed repeats itself",
    _SharedGenerator: "a second searcher beside it",
    _DeafToItsSeed: "two seeds gave the same",
    _TooMany: " 2 architectures",
    _Nothing: " 0 architectures",
    _OutsideTheSpace: "architectures of the space",
    _AcceptsAnything: "NaN: expected SearcherError",
    _Overwrites: "values after tell",
    _KeepsTheCallersArray: "overwritten",
    _RefusalLeavesTrace: "a refusal left a trace",
    _TwoObjectivesOnly: "searches with 3 objectives",
    _Divides: "equal objective values",
    _WantsRoom: "a space of 1 architectures",
}


def test_the_simplest_searcher_keeps_the_contract() -> None:
    check_searcher(lambda s, m, seed: Sampler(s, m, seed=seed), space=space("nb201"))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda c: c.__name__)
def test_the_contract_names_the_law_a_broken_searcher_breaks(broken: type[Sampler]) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)searcher 'sampler' breaks the law '.*{BROKEN[broken]}"):
        check_searcher(lambda s, m, seed: broken(s, m, seed=seed), space=space("nb201"))
