"""Small linear algebra of searches runs on one thread, and leaves the process as it was."""

from __future__ import annotations

from typing import Any

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import nasbench_mo as nmo
from nasbench_mo.search import searcher
from nasbench_mo.threads import one_blas_thread


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_thread_inside_and_as_many_as_before_outside_even_after_an_error() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        if before != {2}:
            pytest.skip("this BLAS has no second thread")
        with pytest.raises(RuntimeError, match="inside"), one_blas_thread():
            assert blas_threads() == {1}
            raise RuntimeError("inside")
        assert blas_threads() == before


def test_the_default_searcher_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = nmo.problem("nb201s-c10-flops-v1")
    made = searcher("default", problem.space, problem.n_objectives, seed=0)
    seen: list[set[int]] = []
    by_model = made._by_model  # type: ignore[attr-defined]

    def watched(size: int) -> Any:
        seen.append(blas_threads())
        return by_model(size)

    monkeypatch.setattr(made, "_by_model", watched)
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        for _ in range(9):
            X = made.ask()
            made.tell(X, problem.evaluate(X))
        assert blas_threads() == before
    assert seen
    assert all(threads == {1} for threads in seen)
