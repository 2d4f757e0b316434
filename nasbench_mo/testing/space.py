"""The contract of a search space, law by law."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ArchitectureError, SpaceSizeError
from nasbench_mo.space import SearchSpace
from nasbench_mo.testing._law import Law, law, read_only

#: Spaces above this size are not written out by the suite.
_ENUMERATION_LIMIT = 100_000
_N_ROWS = 120
_N_DRAWS = 3000


def check_space(space: SearchSpace, *, seed: int = 0) -> None:
    """Check every law that a search space promises.

    It does *not* judge whether the space is the published one: only that it is consistent.

    Parameters
    ----------
    space
        The search space.
    seed
        Seed of the architectures that are tried.

    Raises
    ------
    AssertionError
        A law is broken; the message says which and by what.

    Notes
    -----
    Tries 120 architectures, and all of them where there are at most 100,000: under a second for the spaces of
    this package.

    Examples
    --------
    >>> from nasbench_mo import CategoricalSpace
    >>> check_space(CategoricalSpace("mlp", {"depth": [1, 2, 3], "act": ["relu", "gelu"]}))
    """
    subject = f"space {space.name!r}"
    with law(subject, "it describes itself consistently") as promise:
        _describes_itself(space, promise)
    with law(subject, "samples are valid, uniform in range and repeated by their seed") as promise:
        _samples(space, promise, seed=seed)
    X = space.sample(_N_ROWS, rng=np.random.default_rng(seed))
    with law(subject, "check returns the integers it is given") as promise:
        _checks(space, promise, X=X)
    with law(subject, "encode undoes decode, and decode undoes encode") as promise:
        _strings(space, promise, X=X)
    with law(subject, "codes are lexicographic indices and from_codes is their inverse") as promise:
        _codes(space, promise, X=X)
    with law(subject, "enumerate gives every architecture once, in lexicographic order") as promise:
        _enumerates(space, promise)
    with law(subject, "neighbors are exactly the architectures that differ in one variable") as promise:
        _neighbors(space, promise, X=X)
    with law(subject, "mutate gives a neighbour, and any variable may change") as promise:
        _mutates(space, promise, X=X, seed=seed)
    with law(subject, "crossover takes each variable from one of the two parents") as promise:
        _crosses(space, promise, X=X, seed=seed)
    with law(subject, "degenerate says yes or no for each architecture") as promise:
        flags = space.degenerate(X)
        promise.holds(flags.shape == (len(X),), f"expected shape ({len(X)},), got {flags.shape}")
        promise.holds(flags.dtype == np.bool_, f"expected bool, got {flags.dtype}")
    with law(subject, "canonical is idempotent and stays in the equivalence class") as promise:
        _canonical(space, promise, X=X)
    with law(subject, "a vectorised answer equals the answers one by one") as promise:
        _vectorised(space, promise, X=X)
    with law(subject, "arguments are never modified, and may be read-only") as promise:
        _leaves_arguments_alone(space, promise, X=X, seed=seed)
    with law(subject, "what is no architecture is refused with ArchitectureError") as promise:
        _refuses(space, promise, X=X)


def _describes_itself(space: SearchSpace, promise: Law) -> None:
    promise.holds(isinstance(space.name, str) and space.name, f"expected a name, got {space.name!r}")
    version = space.encoding_version
    promise.holds(isinstance(version, int) and version >= 1, f"expected an encoding_version from 1, got {version!r}")
    promise.holds(space.n_variables == len(space.variables) >= 1, "n_variables is not the number of variables")
    names = [v.name for v in space.variables]
    promise.holds(len(set(names)) == len(names), f"two variables have one name: {names}")
    for variable in space.variables:
        promise.holds(variable.values, f"variable {variable.name!r} has no values")
        promise.holds(len(set(variable.values)) == len(variable.values), f"variable {variable.name!r} repeats a value")
    promise.equal(space.cardinalities, [len(v.values) for v in space.variables], what="cardinalities")
    promise.holds(not space.cardinalities.flags.writeable, "cardinalities can be overwritten")
    expected = prod(len(v.values) for v in space.variables)
    promise.holds(space.size == expected, f"size: expected {expected}, got {space.size}")


def _samples(space: SearchSpace, promise: Law, *, seed: int) -> None:
    X = space.sample(_N_DRAWS, rng=np.random.default_rng(seed))
    promise.holds(X.shape == (_N_DRAWS, space.n_variables), f"expected {_N_DRAWS} rows, got shape {X.shape}")
    promise.holds(X.dtype == space.dtype, f"expected dtype {space.dtype}, got {X.dtype}")
    promise.holds((X >= 0).all() and (X < space.cardinalities).all(), "a value is out of range")
    for j, cardinality in enumerate(space.cardinalities.tolist()):
        counts = np.bincount(X[:, j], minlength=cardinality)
        mean = _N_DRAWS / cardinality
        # ten standard deviations of a binomial count; rarely drawn values may stay away
        far = np.abs(counts - mean) > 10 * np.sqrt(mean) + 10
        promise.holds(not far.any(), f"variable {j} takes its values {counts.tolist()} times in {_N_DRAWS} draws")
    promise.equal(space.sample(_N_DRAWS, rng=np.random.default_rng(seed)), X, what="the same seed again")
    if space.size >= 1 << 10:
        again = space.sample(_N_DRAWS, rng=np.random.default_rng(seed + 1))
        promise.holds(not np.array_equal(again, X), "another seed gives the same architectures")
    promise.holds(space.sample(0, rng=np.random.default_rng(seed)).shape == (0, space.n_variables), "sample(0)")


def _checks(space: SearchSpace, promise: Law, *, X: NDArray[Any]) -> None:
    for given in (X, X.tolist(), X.astype(np.int64), X.astype(np.uint16), np.asfortranarray(X)):
        checked = space.check(given)
        promise.equal(checked, X, what="check")
        promise.holds(checked.dtype == space.dtype, f"expected dtype {space.dtype}, got {checked.dtype}")
    promise.holds(space.check(X[:0]).shape == (0, space.n_variables), "no rows")


def _strings(space: SearchSpace, promise: Law, *, X: NDArray[Any]) -> None:
    strings = space.decode(X)
    promise.holds(len(strings) == len(X), f"decode gave {len(strings)} strings for {len(X)} rows")
    promise.holds(all(isinstance(s, str) for s in strings), "decode gave something that is no string")
    encoded = space.encode(strings)
    promise.holds(encoded.dtype == space.dtype, f"encode: expected dtype {space.dtype}, got {encoded.dtype}")
    promise.equal(encoded, X, what="encode(decode(X))")
    promise.equal(space.decode(encoded), strings, what="decode(encode(strings))")
    promise.equal(space.encode(s for s in strings), X, what="encode of a generator")
    promise.equal(space.encode(strings[0]), X[:1], what="encode of one string")
    promise.holds(space.encode_one(strings[0]) == tuple(X[0].tolist()), "encode_one differs from encode")
    promise.holds(space.encode([]).shape == (0, space.n_variables), "encode of no string")
    promise.holds(space.decode(X[:0]) == [], "decode of no row")
    three = strings[:3]
    for archs in (three, tuple(three), np.array(three), np.array(three, dtype=object), X[:3], X[:3].tolist()):
        promise.equal(space.as_encodings(archs), X[:3], what=f"as_encodings of a {type(archs).__name__}")
    promise.holds(space.as_encodings([]).shape == (0, space.n_variables), "as_encodings of no architecture")


def _codes(space: SearchSpace, promise: Law, *, X: NDArray[Any]) -> None:
    if space.size >= 1 << 63:
        promise.refuses(lambda: space.codes(X), SpaceSizeError, what="codes of a space beyond 63 bits")
        promise.refuses(lambda: space.code(X[0]), SpaceSizeError, what="code of a space beyond 63 bits")
    else:
        codes = space.codes(X)
        promise.holds(codes.shape == (len(X),) and codes.dtype.kind == "i", f"codes are {codes.dtype} {codes.shape}")
        promise.equal(codes, [_lexicographic_index(space, row) for row in X.tolist()], what="codes")
        promise.equal(space.from_codes(codes), X, what="from_codes(codes(X))")
        ends = [0, space.size - 1]
        promise.equal(space.codes(space.from_codes(ends)), ends, what="codes of the first and last architecture")
        promise.holds(space.from_codes([]).shape == (0, space.n_variables), "from_codes of nothing")
        for outside in ([-1], [space.size], [0.5], [[0]]):
            promise.refuses(partial(space.from_codes, outside), ArchitectureError, what=f"from_codes({outside})")
        for row, string in zip(X[:10], space.decode(X[:10]), strict=True):
            expected = _lexicographic_index(space, row.tolist())
            for arch in (string, tuple(row.tolist()), row.tolist(), row):
                found = space.code(arch)
                promise.holds(found == expected, f"code({arch!r}): expected {expected}, got {found}")


def _lexicographic_index(space: SearchSpace, row: list[int]) -> int:
    """Oracle: how many architectures come before this one."""
    remaining = [prod(space.cardinalities[j + 1 :].tolist()) for j in range(space.n_variables)]
    return sum(value * after for value, after in zip(row, remaining, strict=True))


def _enumerates(space: SearchSpace, promise: Law) -> None:
    if not space.enumerable:
        promise.refuses(space.enumerate, SpaceSizeError, what="enumerate")
        return
    if space.size > _ENUMERATION_LIMIT:
        return
    X = space.enumerate()
    promise.holds(X.shape == (space.size, space.n_variables), f"expected {space.size} rows, got shape {X.shape}")
    promise.holds(X.dtype == space.dtype, f"expected dtype {space.dtype}, got {X.dtype}")
    promise.holds((X >= 0).all() and (X < space.cardinalities).all(), "a value is out of range")
    rows = X.tolist()
    promise.holds(all(a < b for a, b in itertools.pairwise(rows)), "rows are not strictly increasing")
    strings = space.decode(X)
    promise.holds(len(set(strings)) == space.size, f"{space.size} architectures share {len(set(strings))} strings")
    promise.equal(space.encode(strings), X, what="encode of every string")


def _neighbors(space: SearchSpace, promise: Law, *, X: NDArray[Any]) -> None:
    for row in X[:5]:
        found = space.neighbors(row)
        n_expected = int((space.cardinalities - 1).sum())
        promise.holds(found.shape == (n_expected, space.n_variables), f"expected {n_expected} rows, got {found.shape}")
        promise.holds(found.dtype == space.dtype, f"expected dtype {space.dtype}, got {found.dtype}")
        origin = tuple(row.tolist())
        expected = {
            (*origin[:j], value, *origin[j + 1 :])
            for j, cardinality in enumerate(space.cardinalities.tolist())
            for value in range(cardinality)
            if value != origin[j]
        }
        promise.holds({tuple(r) for r in found.tolist()} == expected, f"of {origin}: not the one-variable changes")


def _mutates(space: SearchSpace, promise: Law, *, X: NDArray[Any], seed: int) -> None:
    parents = np.repeat(X, 1 + 40 * space.n_variables // len(X), axis=0)
    children = space.mutate(parents, rng=np.random.default_rng(seed))
    promise.holds(children.shape == parents.shape, f"expected shape {parents.shape}, got {children.shape}")
    promise.holds(children.dtype == space.dtype, f"expected dtype {space.dtype}, got {children.dtype}")
    promise.holds((children >= 0).all() and (children < space.cardinalities).all(), "a value is out of range")
    changed = children != parents
    expected = 1 if space.size > 1 else 0
    promise.holds((changed.sum(axis=1) == expected).all(), f"a row changed in other than {expected} variables")
    never = np.flatnonzero(~changed.any(axis=0) & (space.cardinalities > 1))
    promise.holds(not never.size, f"variables {never.tolist()} never changed in {len(parents)} mutations")
    promise.equal(space.mutate(parents, rng=np.random.default_rng(seed)), children, what="the same seed again")
    promise.holds(space.mutate(X[:0], rng=np.random.default_rng(seed)).shape == X[:0].shape, "no rows")


def _crosses(space: SearchSpace, promise: Law, *, X: NDArray[Any], seed: int) -> None:
    A, B = X, X[::-1]
    children = space.crossover(A, B, rng=np.random.default_rng(seed))
    promise.holds(children.shape == A.shape, f"expected shape {A.shape}, got {children.shape}")
    promise.holds(children.dtype == space.dtype, f"expected dtype {space.dtype}, got {children.dtype}")
    promise.holds(((children == A) | (children == B)).all(), "a variable comes from neither parent")
    differ = A != B
    if differ.sum() >= 60:
        promise.holds((children == A)[differ].any(), "nothing comes from the first parent")
        promise.holds((children == B)[differ].any(), "nothing comes from the second parent")
    promise.equal(space.crossover(A, B, rng=np.random.default_rng(seed)), children, what="the same seed again")
    promise.equal(space.crossover(A, A, rng=np.random.default_rng(seed)), A, what="a parent crossed with itself")
    promise.refuses(
        lambda: space.crossover(A[:3], B[:2], rng=np.random.default_rng(seed)),
        ArchitectureError,
        what="parents that are not paired",
    )


def _canonical(space: SearchSpace, promise: Law, *, X: NDArray[Any]) -> None:
    representatives = space.canonical(X)
    promise.holds(representatives.shape == X.shape, f"expected shape {X.shape}, got {representatives.shape}")
    promise.equal(space.check(representatives), representatives, what="canonical leaves the space")
    promise.equal(space.canonical(representatives), representatives, what="canonical of a representative")
    keys = space.equivalence_class(X)
    promise.holds(keys.shape == (len(X),), f"equivalence_class: expected shape ({len(X)},), got {keys.shape}")
    promise.equal(space.equivalence_class(representatives), keys, what="equivalence_class of the representatives")
    promise.equal(space.degenerate(representatives), space.degenerate(X), what="degenerate of the representatives")


def _vectorised(space: SearchSpace, promise: Law, *, X: NDArray[Any]) -> None:
    functions: dict[str, Callable[[NDArray[Any]], Any]] = {
        "decode": space.decode,
        "degenerate": space.degenerate,
        "canonical": space.canonical,
        "equivalence_class": space.equivalence_class,
    }
    if space.size < 1 << 63:
        functions["codes"] = space.codes
    for name, function in functions.items():
        whole = function(X)
        for i in range(0, len(X), 7):
            promise.equal(function(X[i : i + 1])[0], whole[i], what=f"{name} of row {i}")
    strings = space.decode(X)
    for i in range(0, len(X), 7):
        promise.equal(space.encode(strings[i : i + 1])[0], X[i], what=f"encode of row {i}")


def _leaves_arguments_alone(space: SearchSpace, promise: Law, *, X: NDArray[Any], seed: int) -> None:
    def rng() -> np.random.Generator:
        return np.random.default_rng(seed)

    calls: dict[str, Callable[[NDArray[Any]], Any]] = {
        "check": lambda A: space.check(A),
        "decode": lambda A: space.decode(A),
        "neighbors": lambda A: space.neighbors(A[0]),
        "mutate": lambda A: space.mutate(A, rng=rng()),
        "crossover": lambda A: space.crossover(A, A[::-1], rng=rng()),
        "degenerate": lambda A: space.degenerate(A),
        "canonical": lambda A: space.canonical(A),
        "equivalence_class": lambda A: space.equivalence_class(A),
    }
    for name, call in calls.items():
        given = X.copy()
        found = call(given)
        promise.holds(np.array_equal(given, X), f"{name} wrote into its argument")
        try:
            again = call(read_only(X))
        except ValueError as error:
            raise AssertionError(f"{promise.subject}: {name} refuses a read-only argument: {error}") from error
        promise.equal(again, found, what=f"{name} of a read-only argument")
        if name in ("neighbors", "mutate", "crossover", "canonical"):
            promise.holds(not np.shares_memory(found, given), f"{name} returned a view of its argument")


def _refuses(space: SearchSpace, promise: Law, *, X: NDArray[Any]) -> None:
    d = space.n_variables
    first = X[:1].astype(np.int64)
    too_high = first + np.eye(1, d, d - 1, dtype=np.int64) * space.cardinalities
    bad: dict[str, Any] = {
        "one row without its axis": X[0],
        "a missing variable": first[:, 1:],
        "a variable too many": np.hstack([first, first[:, :1]]),
        "a value too high": too_high,
        "a negative value": first - np.eye(1, d, 0, dtype=np.int64) * space.cardinalities,
        "floats": first.astype(np.float64),
        "truth values": first.astype(bool),
        "rows of unequal length": [first[0].tolist(), [0] * (d + 1)],
        "nothing": None,
    }
    for what, value in bad.items():
        promise.refuses(partial(space.decode, value), ArchitectureError, what=f"decode of {what}")
        promise.refuses(partial(space.check, value), ArchitectureError, what=f"check of {what}")
    row = first[0].tolist()
    outsiders: list[Any] = [(*row[:-1], int(space.cardinalities[-1])), (-1, *row[1:]), (*row, 0), (0.5,) * d]
    for outside in outsiders:
        promise.refuses(partial(space.code, outside), ArchitectureError, what=f"code({outside})")
    string = space.decode(X[:1])[0]
    for text in (string + "\0", "\0" + string, string + "\n"):
        promise.refuses(partial(space.encode, [text]), ArchitectureError, what=f"encode of {text!r}")
        promise.refuses(partial(space.code, text), ArchitectureError, what=f"code of {text!r}")
    promise.refuses(partial(space.encode, [0]), ArchitectureError, what="encode of a number")  # type: ignore[list-item]
    promise.refuses(lambda: space.neighbors(X[:2]), ArchitectureError, what="neighbors of two architectures")
    promise.refuses(lambda: space.neighbors(0), ArchitectureError, what="neighbors of a number")
