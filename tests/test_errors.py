"""Every error is one of the package's and one a caller would expect without knowing the package."""

from __future__ import annotations

import inspect

import pytest

from nasbench_mo import errors
from nasbench_mo.errors import MissingDependencyError, NasbenchMoError, did_you_mean, require

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, Exception) and value.__module__ == errors.__name__
]
BUILT_IN = (ValueError, LookupError, OSError, ImportError)


def test_there_are_error_classes() -> None:
    assert len(CLASSES) > 10


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_descends_from_the_base_and_from_a_builtin(error: type[Exception]) -> None:
    assert issubclass(error, NasbenchMoError)
    assert error is NasbenchMoError or issubclass(error, BUILT_IN)
    assert error.__doc__


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_an_error_prints_its_message_as_it_was_written(error: type[Exception]) -> None:
    # a KeyError would print the repr of its message
    assert str(error("expected 'a', got 'b'")) == "expected 'a', got 'b'"


def test_an_optional_library_that_is_there_is_imported() -> None:
    import json.decoder

    assert require("json.decoder", extra="train") is json.decoder


def test_a_missing_library_is_answered_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        require("no_such_library.part", extra="sources")
    message = str(caught.value)
    assert message.startswith("this needs 'no_such_library.part', which could not be imported")
    assert message.endswith("install it with: pip install 'nasbench-mo[sources]'")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("latency_us", ["latency_ms", "energy_mj"], " Did you mean 'latency_ms'?"),
        ("nb20", ["nb201", "nb202"], " Did you mean 'nb202' or 'nb201'?"),
        ("zzz", ["latency_ms"], ""),
        ("x", [], ""),
    ],
)
def test_did_you_mean(name: str, candidates: list[str], expected: str) -> None:
    assert did_you_mean(name, candidates) == expected
