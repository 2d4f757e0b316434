"""Checks of options that several searchers have; integers are checked by :class:`.base.Searcher` itself."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nasbench_mo.errors import SearcherError, did_you_mean


def number(
    searcher: str, option: str, value: object, *, least: float = -math.inf, most: float = math.inf, open_: bool = False
) -> float:
    """Value of an option as a plain float.

    Parameters
    ----------
    searcher, option
        Names, for the error.
    least, most
        Bounds of the value, both allowed.
    open_
        Whether the lower bound itself is refused.

    Raises
    ------
    SearcherError
        It is not a number or lies outside the bounds.
    """
    try:
        real = math.nan if isinstance(value, (bool, str)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        real = math.nan
    if not math.isfinite(real) or not least <= real <= most or (open_ and real == least):
        bounds = f"in {least:g}..{most:g}" if math.isfinite(most) else f"of at least {least:g}"
        above = f" and above {least:g}" if open_ else ""
        raise SearcherError(f"searcher {searcher!r}: {option} must be a number {bounds}{above}, got {value!r}")
    return real


def choice(searcher: str, option: str, value: object, *, known: Iterable[str]) -> str:
    """Value of an option that is one of a few words.

    Raises
    ------
    SearcherError
        It is another word.
    """
    words = list(known)
    if value not in words:
        raise SearcherError(
            f"searcher {searcher!r}: {option} is one of {', '.join(words)}; got {value!r}."
            f"{did_you_mean(str(value), words)}"
        )
    return str(value)
