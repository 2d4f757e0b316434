"""Every search space keeps the public contract, and the contract catches spaces that do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import ArchitectureError, SpaceSizeError, SpecError
from nasbench_mo.space import SPACES, CategoricalSpace, SearchSpace, Variable, space
from nasbench_mo.testing import check_space

SIZES = {
    "nb201": 5**6,
    "nbmacro": 3**8,
    "mnasnet": 36**6 * 48,
    "fbnet": 9**22,
    "nats-size": 8**5,
    "ofa-mbv3": 3**45 * 25,
    "nb101-5v": 2**10 * 6**5,
}


class Toy(SearchSpace):
    """A space of a plug-in's kind: 4 x 3 x 2 architectures such as ``"a3-b0-c1"``."""

    name = "toy"

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(
            Variable(name=letter, values=tuple(str(v) for v in range(n)))
            for letter, n in zip("abc", (4, 3, 2), strict=True)
        )

    def _fragments(self, index: int) -> tuple[str, ...]:
        variable = self.variables[index]
        return tuple(f"{'-' if index else ''}{variable.name}{value}" for value in variable.values)


@pytest.mark.parametrize("name", SPACES.names())
def test_a_registered_space_keeps_the_contract(name: str) -> None:
    check_space(space(name))


@pytest.mark.parametrize("name", SIZES)
def test_a_published_space_has_the_published_size(name: str) -> None:
    assert space(name).size == SIZES[name]


def test_a_space_of_the_users_keeps_the_contract() -> None:
    check_space(Toy())
    check_space(CategoricalSpace("mlp", {"depth": [1, 2, 10], "width": [32, 64], "act": ["relu", "gelu"]}))


words = st.text(st.characters(exclude_characters=",=\0\n", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4)
choices = st.dictionaries(
    words, st.lists(words, min_size=1, max_size=5, unique=True) | st.integers(1, 40).map(range), min_size=1, max_size=7
)


@settings(deadline=None, max_examples=40)
@given(choices=choices, seed=st.integers(0, 99))
def test_any_categorical_space_keeps_the_contract(choices: Mapping[str, Any], seed: int) -> None:
    check_space(CategoricalSpace("random", choices), seed=seed)


def test_a_variable_with_more_values_than_a_byte_keeps_the_contract() -> None:
    wide = CategoricalSpace("wide", {"a": range(300), "b": range(2), "c": range(200)})
    check_space(wide)
    assert wide.dtype == np.int16


def test_a_space_just_below_63_bits_has_codes_and_one_above_has_none() -> None:
    below = CategoricalSpace("below", {f"v{i}": range(2) for i in range(62)})
    above = CategoricalSpace("above", {f"v{i}": range(2) for i in range(63)})
    check_space(below)
    check_space(above)
    assert below.codes([[1] * 62]).tolist() == [2**62 - 1]
    with pytest.raises(SpaceSizeError, match="63 bits"):
        above.codes([[1] * 63])


# ---------------------------------------------------------------------- the contract catches broken spaces


class _ShiftedCodes(Toy):
    def codes(self, X: ArrayLike) -> NDArray[np.intp]:
        return np.minimum(super().codes(X) + 1, self.size - 1)


class _SwappedString(Toy):
    def decode(self, X: ArrayLike) -> list[str]:
        return [s.replace("a1", "a2") for s in super().decode(X)]


class _SampleTooNarrow(Toy):
    def sample(self, n: int, *, rng: np.random.Generator) -> NDArray[Any]:
        return rng.integers(0, self.cardinalities - 1, size=(n, 3)).astype(self.dtype)


class _SampleTooWide(Toy):
    def sample(self, n: int, *, rng: np.random.Generator) -> NDArray[Any]:
        return rng.integers(0, self.cardinalities + 1, size=(n, 3)).astype(self.dtype)


class _SampleUnseeded(Toy):
    def sample(self, n: int, *, rng: np.random.Generator) -> NDArray[Any]:
        return super().sample(n, rng=np.random.default_rng())


class _MutateTwo(Toy):
    def mutate(self, X: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
        return super().mutate(super().mutate(X, rng=rng), rng=rng)


class _MutateFirstOnly(Toy):
    def mutate(self, X: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
        child = self.check(X).copy()
        child[:, 0] = (child[:, 0] + rng.integers(1, 4, size=len(child))) % 4
        return child.astype(self.dtype)


class _MutateInPlace(Toy):
    def mutate(self, X: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
        child = super().mutate(X, rng=rng)
        if isinstance(X, np.ndarray):
            X[:] = child
        return child


class _CrossoverInvents(Toy):
    def crossover(self, A: ArrayLike, B: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
        return super().mutate(super().crossover(A, B, rng=rng), rng=rng)


class _CrossoverOneParent(Toy):
    def crossover(self, A: ArrayLike, B: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
        super().crossover(A, B, rng=rng)
        return self.check(A).copy()


class _NeighborsForgotten(Toy):
    def neighbors(self, x: ArrayLike) -> NDArray[Any]:
        return super().neighbors(x)[:-1]


class _EnumerateReversed(Toy):
    def enumerate(self) -> NDArray[Any]:
        return super().enumerate()[::-1]


class _EnumerateTwice(Toy):
    def enumerate(self) -> NDArray[Any]:
        X = super().enumerate()
        return np.vstack([X[:1], X[:-1]])


class _CanonicalMoves(Toy):
    def canonical(self, X: ArrayLike) -> NDArray[Any]:
        moved = self.check(X).copy()
        moved[:, 0] = (moved[:, 0] + 1) % 4
        return moved


class _CanonicalLeavesClass(Toy):
    def canonical(self, X: ArrayLike) -> NDArray[Any]:
        merged = self.check(X).copy()
        merged[:, 2] = 0
        return merged

    def equivalence_class(self, X: ArrayLike) -> NDArray[Any]:
        return self.codes(X)


class _DegenerateOfTheBatch(Toy):
    def degenerate(self, X: ArrayLike) -> NDArray[np.bool_]:
        codes = self.codes(X)
        return codes == codes.max()


class _DegenerateInteger(Toy):
    def degenerate(self, X: ArrayLike) -> NDArray[np.bool_]:
        return super().degenerate(X).astype(int)


class _AcceptsFloats(Toy):
    def check(self, X: ArrayLike) -> NDArray[Any]:
        return super().check(np.asarray(X, dtype=object).astype(np.int64))


BROKEN = {
    _ShiftedCodes: "undoes decode",
    _SwappedString: "undoes decode",
    _SampleTooNarrow: "samples",
    _SampleTooWide: "samples",
    _SampleUnseeded: "samples.*same seed",
    _MutateTwo: "mutate.*other than 1",
    _MutateFirstOnly: "mutate.*never changed",
    _MutateInPlace: "mutate|arguments",
    _CrossoverInvents: "crossover",
    _CrossoverOneParent: "crossover.*second parent",
    _NeighborsForgotten: "neighbors",
    _EnumerateReversed: "enumerate.*increasing",
    _EnumerateTwice: "enumerate.*increasing",
    _CanonicalMoves: "canonical",
    _CanonicalLeavesClass: "canonical.*equivalence_class",
    _DegenerateOfTheBatch: "vectorised|degenerate",
    _DegenerateInteger: "degenerate.*bool",
    _AcceptsFloats: "refused|returns the integers",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda c: c.__name__)
def test_the_contract_names_the_law_a_broken_space_breaks(broken: type[SearchSpace]) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)space 'toy' breaks the law '.*({BROKEN[broken]})"):
        check_space(broken())


# ---------------------------------------------------------------------- single facts


def test_one_narrow_numpy_row_has_the_code_of_the_vectorised_answer() -> None:
    nb201 = space("nb201")
    row = nb201.from_codes([15000])[0]
    assert row.dtype == np.int8
    assert nb201.code(row) == 15000
    assert nb201.code(tuple(row)) == 15000
    wide = CategoricalSpace("wide", {"a": range(100), "b": range(100), "c": range(100)})
    assert wide.code(wide.from_codes([987_654])[0]) == 987_654


def test_a_string_that_is_no_architecture_is_named_with_an_example() -> None:
    with pytest.raises(
        ArchitectureError, match=r"'\|conv~0\|' is not an architecture of 'nb201'; one looks like '\|avg"
    ):
        space("nb201").encode(["|conv~0|"])


def test_a_value_out_of_range_is_named_with_row_and_variable() -> None:
    with pytest.raises(ArchitectureError, match=r"row 1, variable 2: expected 0\.\.4, got 5"):
        space("nb201").decode([[0] * 6, [0, 0, 5, 0, 0, 0]])


def test_a_large_space_is_not_enumerated() -> None:
    with pytest.raises(SpaceSizeError, match=r"9\.85e\+20 architectures.*use sample"):
        space("fbnet").enumerate()


def test_a_variable_beyond_int16_is_refused_before_it_wraps() -> None:
    class Huge(Toy):
        @property
        def variables(self) -> tuple[Variable, ...]:
            return (Variable(name="a", values=tuple(str(v) for v in range(40_000))),)

    with pytest.raises(SpaceSizeError, match="40000 values"):
        Huge().check([[0]])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({}, "at least one variable"),
        ({"a": []}, "'a' has no values"),
        ({"a": [1, "1"]}, "repeats a value"),
        ({1: [0], "1": [0]}, "two variables have one name"),
        ({"a": "relu"}, "needs a list of values, got the text 'relu'"),
        ({"a=b": [1]}, "',' or '='"),
        ({"a": ["1,2"]}, "',' or '='"),
        ({"a": [""]}, "is empty"),
        ({"a": range(32_768)}, "more than 32767"),
    ],
)
def test_an_impossible_categorical_space_is_refused(choices: Mapping[Any, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        CategoricalSpace("wrong", choices)


PUBLISHED_STRINGS = {
    "nbmacro": ([2, 2, 2, 1, 2, 2, 2, 0], "22212220"),
    "nats-size": ([0, 1, 2, 3, 7], "8:16:24:32:64"),
    "mnasnet": (
        [0, 0, 0, 1] * 5 + [1, 1, 3, 0] + [2, 0, 2, 1],
        "-".join(["e1k3l1se1"] * 5 + ["e4k5l4se0", "e6k3l3se1"]),
    ),
    "fbnet": ([0, 8] + [5] * 20, "|".join(["k3_e1", "skip"] + ["k5_e1_g2"] * 20)),
    "nb201": (
        [4, 2, 1, 2, 1, 1],
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED_STRINGS)
def test_the_published_string_of_an_architecture(name: str) -> None:
    X, string = PUBLISHED_STRINGS[name]
    assert space(name).decode([X]) == [string]
    assert space(name).encode(string).tolist() == [X]


def test_space_returns_the_same_object_each_time() -> None:
    assert space("nb201") is space("nb201")


def test_crossover_takes_either_parent_with_equal_chance() -> None:
    searched = space("nb201")
    first = np.zeros((20_000, 6), dtype=np.int8)
    child = searched.crossover(first, first + 1, rng=np.random.default_rng(0))
    assert np.abs(child.mean(axis=0) - 0.5).max() < 0.02  # five standard deviations
