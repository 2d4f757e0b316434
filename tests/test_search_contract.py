"""Every searcher keeps the public contract, and the contract catches searchers that do not."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import ArchitectureError, ExhaustedError, MissingDependencyError, SearcherError
from nasbench_mo.search import SEARCHERS, Searcher, searcher
from nasbench_mo.search.base import KnownColumn
from nasbench_mo.space import CategoricalSpace, SearchSpace, space
from nasbench_mo.testing import check_searcher

#: A searcher runs fifty times here: those with a costly model get a long random start, so that they fit it rarely.
LIGHT: dict[str, dict[str, float | int | str]] = {
    "default": {"initial": 50},
    "lamoo": {"n_initial": 40},
    "q-learning": {"replay": 8},
    "tpe": {"n_initial": 55},
    "parego": {"n_initial": 90, "n_candidates": 20, "mc_samples": 4, "fit_iterations": 2},
    "qlognehvi": {"n_initial": 90, "n_candidates": 20, "mc_samples": 4, "fit_iterations": 2},
    "smac-forest": {"n_initial": 64, "batch": 3, "n_trees": 3, "n_random": 50},
    "mo-bananas": {"n_initial": 55, "n_members": 2, "n_candidates": 30},
}


def _searcher(name: str, s: SearchSpace, m: int, seed: int) -> Searcher:
    try:
        return searcher(name, s, m, seed=seed, **LIGHT.get(name, {}))
    except MissingDependencyError as error:
        pytest.skip(str(error))


#: These take seconds for each of the fifty runs; what a second space would add is little.
COSTLY = ("default", "tpe", "parego", "qlognehvi", "smac-forest", "mo-bananas")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        (name, where)
        for name in SEARCHERS.names()
        for where in ("nb201", "fbnet")
        if where == "nb201" or name not in COSTLY
    ],
)
def test_a_registered_searcher_keeps_the_contract(name: str, where: str) -> None:
    # One new interpreter a searcher is enough: it costs as much as all the rest.
    check_searcher(lambda s, m, seed: _searcher(name, s, m, seed), space=space(where), other_process=where == "nb201")


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


class _NoSingles(Sampler):
    """Has nothing to say to one who asks for one architecture twice in a row."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        previous, self.__dict__["previous"] = self.__dict__.get("previous"), n
        return self.space.sample(0 if n == 1 and previous == 1 else n or 3, rng=self._rng)


class _NeedsTellFirst(Sampler):
    """Fails by an error that is no SearcherError, and so ends a run, where values have to be told first."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        if self.n_asked > self.n_told:
            raise ArchitectureError("tell first")
        return super()._ask(n)


class _LosesAsked(Sampler):
    """Its refusal costs a random number."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        X = super()._ask(n)
        if self.n_asked > self.n_told + 5:
            raise SearcherError("tell first")
        return X


class _EndsUntold(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        if self.n_asked > self.n_told + 30:
            raise ExhaustedError("enough")
        return super()._ask(n)


class _Jealous(Sampler):
    """Refuses what it has not proposed, and does not say so on its class."""

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._mine: list[bytes] = []

    def _ask(self, n: int | None) -> NDArray[Any]:
        X = super()._ask(n)
        self._mine += [row.tobytes() for row in X]
        return X

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        if any(row.tobytes() not in self._mine for row in X):
            raise SearcherError("not mine")


class _SaysJealous(Sampler):
    """Takes what it says it refuses."""

    accepts_foreign = False


class _JealousOnce(_Jealous):
    """Refuses what it has not proposed, and takes what it has proposed any number of times."""

    accepts_foreign = False


class _HatesRepeats(Sampler):
    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        told = self.__dict__.setdefault("told", set())
        for row in X:
            if self.n_told < 20 and row.tobytes() in told:
                raise SearcherError("told before")
            told.add(row.tobytes())


class _Curious(Sampler):
    """Uses known objectives although it says that it does not want them."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        return np.roll(super()._ask(n), len(self._known), axis=1) if self._equal() else super()._ask(n)

    def _equal(self) -> bool:
        return len(set(self.space.cardinalities)) == 1


class _TakesKnownLate(Sampler):
    def set_known(self, columns: Mapping[int, KnownColumn]) -> None:
        self._known = dict(columns)


class _PeeksAtBounds(Sampler):
    """Uses constraints although it says that it does not want them."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        rows = super()._ask(n)
        return rows[::-1] if self.constrained else rows


class _DeafToBounds(Sampler):
    """Says that it wants constraints, and proposes what it would anyway."""

    wants_constraints = True


class _SeeksWhatIsOutside(Sampler):
    """Heeds bounds the wrong way round: it stays where they were violated."""

    wants_constraints = True

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        if (outside := self._violation(X, F) > 0).any():
            self.__dict__["outside"] = X[outside][:1]

    def _ask(self, n: int | None) -> NDArray[Any]:
        rows = super()._ask(n)
        at = self.__dict__.get("outside") if self.constrained else None
        return rows if at is None else np.repeat(at, len(rows), axis=0)


class _TakesBoundsLate(Sampler):
    def set_constraints(self, upper: ArrayLike, **more: Any) -> None:
        self._upper = np.asarray(upper, dtype=np.float64)


class _GivesUpUnderBounds(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        if self.constrained and self.n_asked > 20:
            raise ExhaustedError("nothing keeps them")
        return super()._ask(n)


class _GivesUpEarly(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        if self.space.size == 6 and self.n_asked >= 2:
            raise ExhaustedError("two are enough")
        return super()._ask(n)


class _Revives(Sampler):
    """Exhausted at every other ask only."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        asks = self.__dict__["asks"] = self.__dict__.get("asks", 0) + 1
        if self.space.size <= 6 and self.n_asked >= 60 and asks % 2:
            raise ExhaustedError("all")
        return super()._ask(n)


class _MovesTheGlobalGenerator(Sampler):
    def _ask(self, n: int | None) -> NDArray[Any]:
        np.random.random()  # noqa: NPY002
        return super()._ask(n)


class _SeedsPython(Sampler):
    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        random.seed(0)


class _SilencesWarnings(Sampler):
    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        warnings.simplefilter("ignore")


class _ReadsTheGlobalGenerator(Sampler):
    """Draws from the global generator, and puts it back where it was."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        state = np.random.get_state(legacy=False)  # noqa: NPY002
        drawn = int(state["state"]["key"][0]) if state["state"]["pos"] == 624 else 0
        return self.space.sample(n or 3, rng=np.random.default_rng([self.seed, self.n_told, drawn]))


class _CountsItsKind(Sampler):
    """Large batches, which only a run asks for, depend on how many of its kind were made before."""

    made = 0

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        _CountsItsKind.made += 1
        self._number = _CountsItsKind.made

    def _ask(self, n: int | None) -> NDArray[Any]:
        return self.space.sample(64, rng=np.random.default_rng(self._number)) if n == 64 else super()._ask(n)


class _HidesAnOption(Sampler):
    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0, shift: int = 0) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self._shift = shift

    def _ask(self, n: int | None) -> NDArray[Any]:
        return (super()._ask(n) + self._shift) % self.space.cardinalities


class _OrderedByHash(Sampler):
    """Takes the order of a set of texts, which is another one in each process."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        drawn = self.space.sample(n or 3, rng=self._rng)
        return self.space.encode(list(set(self.space.decode(drawn))))


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
    _NoSingles: "one architecture at a time",
    _NeedsTellFirst: "asking again before telling.*ArchitectureError",
    _LosesAsked: "a refused ask left a trace",
    _EndsUntold: "asking again before telling.*exhausted after",
    _Jealous: "as it declares.*not mine",
    _SaysJealous: "foreign points before the first ask: expected SearcherError",
    _JealousOnce: "a second tell: expected SearcherError",
    _HatesRepeats: "as it declares.*told before",
    _Curious: "known objectives that it does not want",
    _TakesKnownLate: "known objectives after the first ask",
    _PeeksAtBounds: "tight bounds that it does not want",
    _DeafToBounds: "of its later proposals keep bounds",
    _SeeksWhatIsOutside: "0% of its later proposals keep bounds",
    _TakesBoundsLate: "constraints after the first ask: expected SearcherError",
    _GivesUpUnderBounds: "architectures under tight bounds",
    _GivesUpEarly: "it gave up after",
    _Revives: "once it is exhausted: expected ExhaustedError",
    _MovesTheGlobalGenerator: "it changed NumPy's global random generator",
    _SeedsPython: "it changed Python's global random generator",
    _SilencesWarnings: "it changed the warning filters",
    _ReadsTheGlobalGenerator: "depend on a global random generator",
    _CountsItsKind: "an interrupted run resumes.*has changed since",
    _OrderedByHash: "another process gave other proposals",
}


def test_the_simplest_searcher_keeps_the_contract() -> None:
    check_searcher(lambda s, m, seed: Sampler(s, m, seed=seed), space=space("nb201"))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda c: c.__name__)
def test_the_contract_names_the_law_a_broken_searcher_breaks(broken: type[Sampler]) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)searcher 'sampler' breaks the law '.*{BROKEN[broken]}"):
        check_searcher(lambda s, m, seed: broken(s, m, seed=seed), space=space("nb201"))


def test_the_contract_notices_an_option_that_is_not_reported() -> None:
    with pytest.raises(AssertionError, match="its options gave other proposals here"):
        check_searcher(lambda s, m, seed: _HidesAnOption(s, m, seed=seed, shift=1), space=space("nb201"))
    check_searcher(
        lambda s, m, seed: _HidesAnOption(s, m, seed=seed, shift=1), space=space("nb201"), other_process=False
    )


def test_the_contract_says_so_when_a_class_cannot_be_imported_elsewhere() -> None:
    class Local(Sampler):
        pass

    with pytest.raises(AssertionError, match=r"in another process.*cannot be imported by its name"):
        check_searcher(lambda s, m, seed: Local(s, m, seed=seed), space=space("nb201"))
