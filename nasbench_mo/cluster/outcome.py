"""What came of one item of work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar, cast

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[Result]):
    """A result or an error.

    Parameters
    ----------
    index
        Place of the item among all items.
    value
        What the function returned.
    error
        What it raised, or why it could not be finished; None where there is a value.
    """

    index: int
    value: Result | None = None
    error: Exception | None = None

    def result(self) -> Result:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error
        return cast(Result, self.value)
