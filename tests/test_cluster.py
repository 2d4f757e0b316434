"""Work is done in order, in as many processes as asked for, with the same results."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nasbench_mo.cluster import run_ordered
from nasbench_mo.errors import ArchitectureError, SpecError


def square(value: int) -> int:
    return value * value


def process_id(_: int) -> int:
    return os.getpid()


def refuse_three(value: int) -> int:
    if value == 3:
        raise ArchitectureError("three is no architecture")
    return value


def test_results_come_in_order_whatever_the_number_of_processes() -> None:
    items = list(range(8))
    expected = [square(i) for i in items]
    assert list(run_ordered(square, items)) == expected
    assert list(run_ordered(square, items, n_processes=2)) == expected


def test_one_process_is_this_one_and_two_are_others() -> None:
    assert set(run_ordered(process_id, [0, 1])) == {os.getpid()}
    assert os.getpid() not in set(run_ordered(process_id, [0, 1], n_processes=2))


def test_one_item_needs_no_other_process() -> None:
    assert list(run_ordered(process_id, [0], n_processes=4)) == [os.getpid()]
    assert list(run_ordered(process_id, [], n_processes=4)) == []


def test_one_process_works_item_by_item() -> None:
    done: list[int] = []
    results: Iterator[None] = run_ordered(done.append, [1, 2, 3])
    assert done == []
    next(results)
    assert done == [1]


@pytest.mark.parametrize("n_processes", [1, 2])
def test_an_error_of_the_work_is_the_callers(n_processes: int) -> None:
    with pytest.raises(ArchitectureError, match="three is no architecture"):
        list(run_ordered(refuse_three, range(5), n_processes=n_processes))


@pytest.mark.parametrize("n_processes", [0, -1])
def test_no_process_is_refused_at_once(n_processes: int) -> None:
    with pytest.raises(SpecError, match="at least one process, got"):
        run_ordered(square, [1], n_processes=n_processes)
