"""What many points add to a front, against the hypervolume and against the acquisition that it stands in for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_mo.pareto import hypervolume
from nasbench_mo.search.acquisition import expected_improvement
from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.point_gains import point_gains


def _front_and_points(m: int, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Points on, level with, and beyond the front's; and some that the reference does not bound."""
    rng = np.random.default_rng(100 * m + k)
    front, points = rng.random((k, m)), rng.random((60, m)) * 1.3
    points[: k // 2, 0] = front[: k // 2, 0]
    points[k // 4 : k // 2, 1] = front[k // 4 : k // 2, 1]
    points[-3:] = -0.1 * np.arange(1, 4)[:, None]
    if k:
        points[0] = front[0]
    return np.vstack([front, front[:2], np.full((1, m), 2.0)]), points


@pytest.mark.parametrize("k", [0, 1, 12, 60])
def test_with_three_objectives_the_gains_are_exact(k: int) -> None:
    front, points = _front_and_points(3, k)
    reference = np.full(3, 1.1)
    before = hypervolume(front, reference=reference)
    expected = [hypervolume(np.vstack([front, point]), reference=reference) - before for point in points]
    found = point_gains(points, front=front, reference=reference, lowest=np.zeros(3))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found > 0).any()


@pytest.mark.parametrize("m", [3, 4, 5])
@pytest.mark.parametrize("k", [0, 12, 60])
def test_the_gains_are_the_improvements_of_certain_candidates(m: int, k: int) -> None:
    front, points = _front_and_points(m, k)
    reference = np.full(m, 1.1)
    lowest = np.minimum(front[:k].min(axis=0), points.min(axis=0)) if k else points.min(axis=0)
    expected = expected_improvement(
        [Marginals.certain(column) for column in points.T], front=front, reference=reference
    )
    found = point_gains(points, front=front, reference=reference, lowest=lowest)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found > 0).any()


@pytest.mark.parametrize("m", [4, 5])
def test_gains_do_not_depend_on_what_else_is_looked_at(m: int) -> None:
    front, points = _front_and_points(m, 20)
    settings: dict[str, Any] = {"front": front, "reference": np.full(m, 1.1), "lowest": np.zeros(m)}
    together = point_gains(points, **settings)
    apart = np.concatenate([point_gains(points[:7], **settings), point_gains(points[7:], **settings)])
    np.testing.assert_allclose(together, apart, atol=1e-15)
