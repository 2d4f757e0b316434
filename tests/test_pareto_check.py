"""What every public function of the Pareto package accepts, refuses and leaves alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nasbench_mo.pareto as pareto
from nasbench_mo.errors import FrontError, NasbenchMoError

Call = Callable[[Any], Any]

#: Every public function as a function of F, which has two objectives.
CALLS: dict[str, Call] = {
    "nondominated": lambda F: pareto.nondominated(F),
    "front": lambda F: pareto.front(F),
    "hypervolume": lambda F: pareto.hypervolume(F, reference=[9, 9]),
    "hypervolume_contributions": lambda F: pareto.hypervolume_contributions(F, reference=[9, 9]),
    "hypervolume_curve": lambda F: pareto.hypervolume_curve(F, reference=[9, 9]),
    "igd_plus": lambda F: pareto.igd_plus(F, reference_front=[[1, 1]]),
    "additive_epsilon": lambda F: pareto.additive_epsilon(F, reference_front=[[1, 1]]),
    "normalize": lambda F: pareto.normalize(F, ideal=[0, 0], nadir=[9, 9]),
    "ideal_and_nadir": lambda F: pareto.ideal_and_nadir(F),
    "attainment_surface": lambda F: pareto.attainment_surface([F], quantile=0.5),
}

#: The functions that take a second array, as functions of that array; F has shape (1, 2).
SECOND_CALLS: dict[str, tuple[str, Call]] = {
    "hypervolume": ("reference", lambda r: pareto.hypervolume([[1, 1]], reference=r)),
    "contributions": ("reference", lambda r: pareto.hypervolume_contributions([[1, 1]], reference=r)),
    "curve": ("reference", lambda r: pareto.hypervolume_curve([[1, 1]], reference=r)),
    "normalize-ideal": ("ideal", lambda r: pareto.normalize([[1, 1]], ideal=r, nadir=[9, 9])),
    "normalize-nadir": ("nadir", lambda r: pareto.normalize([[1, 1]], ideal=[0, 0], nadir=r)),
}

every_function = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
every_second = pytest.mark.parametrize(("name", "call"), SECOND_CALLS.values(), ids=SECOND_CALLS.keys())

SAMPLE = np.array([[1.0, 4.0], [3.0, 2.0], [2.0, 3.0], [3.0, 8.0], [1.0, 4.0], [7.0, 7.0]])


def same(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(np.atleast_1d(first), np.atleast_1d(second), strict=True))


def test_every_public_function_is_listed_here() -> None:
    assert set(CALLS) == set(pareto.__all__)


@every_function
def test_the_input_is_not_modified_and_may_be_read_only(call: Call) -> None:
    F = SAMPLE.copy()
    F.flags.writeable = False
    call(F)
    assert np.array_equal(F, SAMPLE)
    writeable = SAMPLE.copy()
    call(writeable)
    assert np.array_equal(writeable, SAMPLE)


def test_second_arrays_are_not_modified_and_may_be_read_only() -> None:
    corner = np.array([9.0, 9.0])
    targets = SAMPLE.copy()
    corner.flags.writeable = targets.flags.writeable = False
    pareto.hypervolume(SAMPLE, reference=corner)
    pareto.hypervolume_contributions(SAMPLE, reference=corner)
    pareto.hypervolume_curve(SAMPLE, reference=corner)
    pareto.normalize(SAMPLE, ideal=np.zeros(2), nadir=corner)
    pareto.igd_plus(SAMPLE, reference_front=targets)
    pareto.additive_epsilon(SAMPLE, reference_front=targets)
    assert np.array_equal(targets, SAMPLE)
    assert corner.tolist() == [9.0, 9.0]


@every_function
@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda F: F.astype(np.int64), id="int64"),
        pytest.param(lambda F: F.astype(np.uint8), id="uint8"),
        pytest.param(lambda F: F.astype(np.float32), id="float32"),
        pytest.param(lambda F: F.astype(np.float16), id="float16"),
        pytest.param(lambda F: F.astype(np.longdouble), id="longdouble"),
        pytest.param(lambda F: F.astype(">f8"), id="big-endian"),
        pytest.param(lambda F: F.astype(int).tolist(), id="list"),
        pytest.param(lambda F: np.asfortranarray(F), id="fortran"),
        pytest.param(lambda F: np.repeat(F, 2, axis=1)[:, ::2], id="strided"),
        pytest.param(lambda F: np.ma.masked_array(F), id="unmasked"),
    ],
)
def test_numbers_of_any_layout_give_the_same_result(call: Call, convert: Call) -> None:
    assert same(call(convert(SAMPLE)), call(SAMPLE))


@every_function
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_an_error_that_names_its_place(call: Call, value: float) -> None:
    F = SAMPLE.copy()
    F[2, 1] = F[3, 0] = value
    with pytest.raises(FrontError, match=rf"must be finite; got {value} at row 2, column 1: leave"):
        call(F)


def test_the_first_nan_is_named_before_an_infinity() -> None:
    with pytest.raises(FrontError, match="got nan at row 1, column 0"):
        pareto.nondominated([[1.0, np.inf], [np.nan, np.nan]])


@every_function
@pytest.mark.parametrize("shape", [(), (2,), (0,), (2, 2, 2)])
def test_another_number_of_dimensions_is_an_error(call: Call, shape: tuple[int, ...]) -> None:
    with pytest.raises(FrontError) as caught:
        call(np.ones(shape))
    assert "must be two-dimensional with shape (n, m)" in str(caught.value)
    assert f"got shape {shape}" in str(caught.value)


def test_a_single_point_gets_a_hint() -> None:
    with pytest.raises(FrontError, match=r"pass F\[np.newaxis, :\]"):
        pareto.nondominated([1.0, 2.0])


@every_function
def test_no_objectives_are_an_error(call: Call) -> None:
    with pytest.raises(FrontError, match=r"at least one objective column; got shape \(3, 0\)"):
        call(np.ones((3, 0)))


@every_function
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([["a", "b"]], "got dtype <U1"),
        ([[1, None]], "got dtype object"),
        ([[1j, 2]], "got dtype complex128"),
        ([[True, False]], "got dtype bool"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), "got dtype datetime64"),
        ({"a": 1}, "got dtype object"),
    ],
)
def test_what_is_not_a_real_number_is_an_error(call: Call, value: object, told: str) -> None:
    with pytest.raises(FrontError) as caught:
        call(value)
    assert "must hold integers or floats" in str(caught.value)
    assert told in str(caught.value)


@every_function
def test_rows_of_different_length_are_an_error(call: Call) -> None:
    with pytest.raises(FrontError, match="must be a rectangular array of numbers"):
        call([[1, 2], [3]])


@every_function
def test_masked_values_are_an_error(call: Call) -> None:
    with pytest.raises(FrontError, match="must have no masked entries"):
        call(np.ma.masked_greater(SAMPLE, 6))


@pytest.mark.skipif(bool(np.finfo(np.longdouble).max <= np.finfo(np.float64).max), reason="long double is float64 here")
def test_a_long_double_beyond_float64_is_an_error() -> None:
    with pytest.raises(FrontError, match="got inf at row 0, column 0"):
        pareto.nondominated(np.array([[np.finfo(np.longdouble).max, 0]], dtype=np.longdouble))


@every_second
@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2), (2, 1)])
def test_a_point_of_another_shape_is_an_error(name: str, call: Call, shape: tuple[int, ...]) -> None:
    with pytest.raises(FrontError) as caught:
        call(np.ones(shape))
    assert f"{name} must have shape (2,), one value an objective; got shape {shape}" in str(caught.value)


@every_second
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_point_that_is_not_finite_is_an_error(name: str, call: Call, value: float) -> None:
    with pytest.raises(FrontError, match=rf"{name} must be finite; got {value} for objective 1"):
        call([5.0, value])


@every_second
def test_a_point_that_is_not_numeric_is_an_error(name: str, call: Call) -> None:
    with pytest.raises(FrontError, match=f"{name} must hold integers or floats; got dtype <U1"):
        call(["a", "b"])


@pytest.mark.parametrize("indicator", [pareto.igd_plus, pareto.additive_epsilon])
def test_a_reference_front_of_other_objectives_is_an_error(indicator: Callable[..., float]) -> None:
    with pytest.raises(FrontError, match=r"reference_front must have shape \(n, 2\); got shape \(1, 3\)"):
        indicator([[1, 2]], reference_front=[[1, 2, 3]])
    with pytest.raises(FrontError, match="reference_front must be finite; got nan at row 0, column 0"):
        indicator([[1, 2]], reference_front=[[np.nan, 2]])


@pytest.mark.parametrize("name", ["hypervolume", "hypervolume_contributions", "hypervolume_curve"])
def test_an_empty_set_is_checked_too(name: str) -> None:
    with pytest.raises(FrontError, match=r"reference must have shape \(2,\)"):
        getattr(pareto, name)(np.empty((0, 2)), reference=[1, 2, 3])


def test_the_error_is_ours_and_a_value_error() -> None:
    assert issubclass(FrontError, NasbenchMoError)
    assert issubclass(FrontError, ValueError)


def test_importing_the_package_does_not_import_moocore() -> None:
    code = "import sys, nasbench_mo.pareto; sys.exit('moocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
