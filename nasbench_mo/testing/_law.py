"""How a contract suite says which law is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import NasbenchMoError


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One promise of an interface, and who makes it.

    Parameters
    ----------
    subject
        Who is checked, e.g. ``"space 'nb201'"``.
    text
        What it promises, as a statement.
    """

    subject: str
    text: str

    def holds(self, condition: object, detail: str) -> None:
        """Raise :class:`AssertionError` with the law and the detail unless the condition is true."""
        if not bool(condition):
            raise AssertionError(f"{self.subject} breaks the law {self.text!r}: {detail}")

    def equal(self, found: object, expected: object, *, what: str) -> None:
        """Demand equal arrays, or equal lists."""
        same = np.array_equal(np.asarray(found), np.asarray(expected))
        self.holds(same, f"{what}: expected {_short(expected)}, got {_short(found)}")

    def refuses(self, call: Callable[[], object], error: type[Exception], *, what: str) -> None:
        """Demand that a call raises an error of a class; any other error passes through."""
        try:
            call()
        except error:
            return
        except NasbenchMoError as other:
            self.holds(False, f"{what}: expected {error.__name__}, got {type(other).__name__}: {other}")
        self.holds(False, f"{what}: expected {error.__name__}, but it was accepted")


@contextmanager
def law(subject: str, text: str) -> Iterator[Law]:
    """Yield a law; an error of the package inside the block breaks it."""
    made = Law(subject=subject, text=text)
    try:
        yield made
    except NasbenchMoError as error:
        raise AssertionError(f"{subject} breaks the law {text!r}: it raised {type(error).__name__}: {error}") from error


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Copy of an array that refuses to be written."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _short(value: object) -> str:
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 200 else f"{text[:200]}..."
