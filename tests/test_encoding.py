"""Rows of small integers against counting in mixed radix by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasbench_mo.encoding import byte_keys, check_encodings, from_mixed_radix, mixed_radix
from nasbench_mo.errors import ArchitectureError

DTYPES = [np.int8, np.uint8, np.int16, np.int64, np.uint64]


@st.composite
def spaces_and_rows(draw: st.DrawFn) -> tuple[list[int], NDArray[Any]]:
    cardinalities = draw(st.lists(st.integers(1, 100), min_size=1, max_size=8))
    rows = draw(st.lists(st.tuples(*(st.integers(0, c - 1) for c in cardinalities)), max_size=12))
    dtype = draw(st.sampled_from(DTYPES))
    return cardinalities, np.array(rows, dtype=dtype).reshape(-1, len(cardinalities))


@settings(deadline=None, max_examples=60)
@given(case=spaces_and_rows())
def test_mixed_radix_equals_horner_on_unbounded_integers(case: tuple[list[int], NDArray[Any]]) -> None:
    cardinalities, X = case
    expected = []
    for row in X.tolist():
        code = 0
        for value, cardinality in zip(row, cardinalities, strict=True):
            code = code * cardinality + value
        expected.append(code)
    codes = mixed_radix(X, cardinalities=cardinalities)
    assert codes.tolist() == expected
    assert codes.dtype == np.intp
    np.testing.assert_array_equal(from_mixed_radix(codes, cardinalities=cardinalities), X)


@pytest.mark.parametrize(
    "last", [[32767, 1], [32768, 1], [7, 4681], [2, 16384], [2, 1 << 30], [3, 1 << 30], [1 << 31, 1 << 31]]
)
def test_the_last_code_does_not_overflow_where_the_integer_type_changes(last: list[int]) -> None:
    X = np.array([[c - 1 for c in last]], dtype=np.int64)
    assert mixed_radix(X, cardinalities=last).tolist() == [last[0] * last[1] - 1]


def test_the_last_code_of_a_space_of_63_bits() -> None:
    cardinalities = [2] * 63
    codes = mixed_radix(np.ones((1, 63), dtype=np.int8), cardinalities=cardinalities)
    assert codes.tolist() == [2**63 - 1]
    assert from_mixed_radix(codes, cardinalities=cardinalities).tolist() == [[1] * 63]


def test_codes_count_in_lexicographic_order() -> None:
    cardinalities = [3, 1, 4, 2]
    X = np.array(list(itertools.product(*(range(c) for c in cardinalities))))
    assert mixed_radix(X, cardinalities=cardinalities).tolist() == list(range(24))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 5).flatmap(
        lambda d: st.lists(
            st.tuples(*[st.sampled_from([0, 1, 255, 256, 257, 32767, 65535])] * d), min_size=1, max_size=9
        )
    )
)
def test_byte_keys_sort_and_compare_like_rows(rows: list[tuple[int, ...]]) -> None:
    keys = byte_keys(np.array(rows))
    assert keys.shape == (len(rows),)
    for (a, x), (b, y) in itertools.product(zip(rows, keys, strict=True), repeat=2):
        assert (a == b) == (x == y)
        assert (a < b) == (x < y)
    order = np.argsort(keys, kind="stable")
    assert [rows[i] for i in order] == sorted(rows)
    assert len(np.unique(keys)) == len(set(rows))


def test_byte_keys_of_a_transposed_view() -> None:
    X = np.arange(12, dtype=np.int8).reshape(3, 4)
    assert byte_keys(X.T).tolist() == byte_keys(X.T.copy()).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_check_returns_what_is_valid_without_a_copy(dtype: Any) -> None:
    X = np.array([[0, 2], [1, 0]], dtype=dtype)
    assert check_encodings(X, cardinalities=(2, 3), owner="space 's'") is X


def test_no_rows_are_valid() -> None:
    assert check_encodings(np.empty((0, 2), dtype=int), cardinalities=(2, 3), owner="space 's'").shape == (0, 2)


@pytest.mark.parametrize(
    ("archs", "message"),
    [
        ([[0, 0], [0, 3]], r"space 's': row 1, variable 1: expected 0\.\.2, got 3"),
        ([[2, 0]], r"row 0, variable 0: expected 0\.\.1, got 2"),
        ([[0, -1]], r"row 0, variable 1: expected 0\.\.2, got -1"),
        (np.array([[0, 2**64 - 1]], dtype=np.uint64), r"row 0, variable 1: .* got 18446744073709551615"),
        ([[0, 2**70]], "expected integer encodings, got dtype object"),
        ([[0.0, 1.0]], "expected integer encodings, got dtype float64"),
        ([[True, False]], "expected integer encodings, got dtype bool"),
        ([["0", "1"]], "expected integer encodings, got dtype"),
        ([0, 1], r"expected encodings of shape \(n, 2\), got shape \(2,\)"),
        ([[0, 1, 0]], r"expected encodings of shape \(n, 2\), got shape \(1, 3\)"),
        (3, r"got shape \(\)"),
        (None, r"got shape \(\)"),
        ([], r"got shape \(0,\)"),
        ([[0, 1], [0]], r"expected encodings of shape \(n, 2\): .*inhomogeneous"),
    ],
)
def test_what_is_no_encoding_is_refused_with_the_first_offender(archs: Any, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        check_encodings(archs, cardinalities=(2, 3), owner="space 's'")
