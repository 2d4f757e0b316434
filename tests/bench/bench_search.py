"""What recording a run costs: NSGA-II through ``run`` beside pymoo's own loop, with the same operators and answers."""

from __future__ import annotations

from typing import Any

import pytest

import nasbench_mo as nmo
from nasbench_mo.search.pymoo_base import space_operators

PROBLEM = "nb201s-c10-eyeriss-fpga-v1"
POPULATION = 20
BUDGET = 500


@pytest.fixture(scope="module")
def problem() -> nmo.Problem:
    opened = nmo.problem(PROBLEM)
    opened.evaluate(opened.space.enumerate())
    return opened


@pytest.fixture(scope="module")
def n_proposals(problem: nmo.Problem) -> int:
    """How many architectures NSGA-II proposes until the budget of distinct ones is spent."""
    finished = nmo.run(problem, "nsga2", budget=BUDGET)
    return len(finished) + int(finished.environment["n_duplicate_proposals"])


@pytest.mark.benchmark(group="5 NSGA-II, 500 distinct architectures")
class TestNSGA2:
    def test_floor_pymoo_minimize(self, benchmark: Any, problem: nmo.Problem, n_proposals: int) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.duplicate import DefaultDuplicateElimination
        from pymoo.core.problem import Problem
        from pymoo.optimize import minimize

        class Same(Problem):  # type: ignore[misc, unused-ignore]
            def __init__(self) -> None:
                upper = problem.space.cardinalities - 1
                super().__init__(n_var=problem.space.n_variables, n_obj=problem.n_objectives, xl=0, xu=upper, vtype=int)

            def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
                out["F"] = problem.evaluate(X)

        def search() -> int:
            algorithm = NSGA2(
                pop_size=POPULATION,
                eliminate_duplicates=DefaultDuplicateElimination(),
                **space_operators(problem.space),
            )
            return int(minimize(Same(), algorithm, ("n_eval", n_proposals), seed=0).algorithm.evaluator.n_eval)

        benchmark.extra_info.update(role="floor", architectures=BUDGET)
        assert benchmark.pedantic(search, rounds=15, iterations=1, warmup_rounds=2) >= n_proposals

    def test_run(self, benchmark: Any, problem: nmo.Problem) -> None:
        benchmark.extra_info.update(role="ours", architectures=BUDGET, target_ratio=1.5)
        finished = benchmark.pedantic(
            lambda: nmo.run(problem, "nsga2", budget=BUDGET), rounds=15, iterations=1, warmup_rounds=2
        )
        assert len(finished) == BUDGET

    def test_run_with_a_file(self, benchmark: Any, problem: nmo.Problem, tmp_path: Any) -> None:
        benchmark.extra_info.update(role="ours", architectures=BUDGET)
        out = tmp_path / "run.parquet"
        finished = benchmark.pedantic(
            lambda: nmo.run(problem, "nsga2", budget=BUDGET, out=out, overwrite=True),
            rounds=15,
            iterations=1,
            warmup_rounds=2,
        )
        assert len(finished) == BUDGET
