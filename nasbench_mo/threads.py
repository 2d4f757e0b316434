"""One thread for small linear algebra.

A search makes many products of small matrices. There BLAS threads cost more than they give: they wait for each other in
busy loops, which takes several times the processor time where other work runs beside them, and starves that too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread while the context lasts, for the whole process; then as before.

    The libraries are looked for again only where modules were imported since, as that takes milliseconds.

    Examples
    --------
    >>> with one_blas_thread():
    ...     pass
    """
    with _controller(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _controller(_n_modules: int) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
