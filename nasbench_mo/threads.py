"""One thread for small linear algebra.

A search makes many products of small matrices. There BLAS threads cost more than they give: they wait for each other in
busy loops, which takes several times the processor time where other work runs beside them, and starves that too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread while the context lasts, for the whole process; then as before.

    To look for the libraries that are loaded takes a millisecond.

    Examples
    --------
    >>> with one_blas_thread():
    ...     pass
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
