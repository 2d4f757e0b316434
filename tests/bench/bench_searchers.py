"""How soon searchers find the front: median evaluations to shares of HV*, and the share after some evaluations.

    python tests/bench/bench_searchers.py --problems nb201-c10-2080ti_1-v1,nb201-c10-fpga-v1 \
        --searchers default,nsga2,local-search --seeds 11 --budget 300

One row a problem and searcher. Without ``--noise`` the searcher sees the values it is judged by; with it, one training
seed, as published. ``--strict`` judges by the box of error 20 % and the cost's 90th percentile over the space
instead, and tells it to searchers that have an option ``reference``. CPU is the searcher's own, evaluation left out.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nasbench_mo as nmo
from nasbench_mo.errors import ExhaustedError
from nasbench_mo.pareto import hypervolume, hypervolume_curve, ideal_and_nadir
from nasbench_mo.search import Searcher

TARGETS = (0.90, 0.95, 0.99, 0.999)
BUDGETS = (50, 100, 200, 300)
#: Error of the strict box, in percent; its other side is this quantile of the cost over the space.
STRICT_ERROR, STRICT_QUANTILE = 20.0, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a set of architectures is judged by: reference point and exact hypervolume, in scaled units."""

    ideal: NDArray[np.float64]
    span: NDArray[np.float64]
    reference: NDArray[np.float64]
    best: float
    corner: str = ""

    def shares(self, F: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the exact hypervolume after each of (n, m) values in order, (n,)."""
        return hypervolume_curve((F - self.ideal) / self.span, reference=self.reference) / self.best


def published_scale(problem: nmo.Problem) -> Scale:
    """The scale of the problem's manifest."""
    facts = problem.manifest.score
    ideal, nadir = np.asarray(facts.ideal), np.asarray(facts.nadir)
    reference = np.asarray(problem.manifest.reference_point)
    return Scale(ideal=ideal, span=nadir - ideal, reference=reference, best=facts.hypervolume)


def strict_scale(problem: nmo.Problem) -> Scale:
    """Error below 20 %, the other objectives below their 90th percentile over the architectures that work."""
    X = problem.space.enumerate()
    F = problem.evaluate(X[~problem.space.degenerate(X)])
    corner = np.quantile(F, STRICT_QUANTILE, axis=0)
    corner[0] = STRICT_ERROR
    inside = F[(F < corner).all(axis=1)]
    ideal, _ = ideal_and_nadir(nmo_front(inside))
    span = corner - ideal
    best = hypervolume((inside - ideal) / span, reference=np.ones(len(corner)))
    text = ",".join(f"{c:.6g}" for c in corner)
    return Scale(ideal=ideal, span=span, reference=np.ones(len(corner)), best=best, corner=text)


def nmo_front(F: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nondominated rows."""
    from nasbench_mo.pareto import front

    return front(F)


def made(name: str, problem: nmo.Problem, *, seed: int, scale: Scale, known: bool) -> Searcher:
    """A fresh searcher, told what costs nothing and, where it has a use for it, the box."""
    options: dict[str, Any] = {"reference": scale.corner} if scale.corner and name == "default" else {}
    searcher = nmo.searcher(name, problem.space, problem.n_objectives, seed=seed, **options)
    if known:
        searcher.set_known(problem.known_objectives())
    return searcher


def trajectory(
    problem: nmo.Problem, searcher: Searcher, *, budget: int, noise: bool
) -> tuple[NDArray[Any], NDArray[np.float64], float]:
    """Distinct architectures in order, what was observed of them, and CPU seconds of the searcher."""
    view = problem.observation(searcher.seed) if noise else problem.evaluator("score")
    seen: dict[bytes, int] = {}
    rows: list[NDArray[Any]] = []
    spent, idle = 0.0, 0
    while len(rows) < budget and idle < 200:
        began = time.process_time()
        try:
            X = searcher.ask(min(64, budget - len(rows)))
        except ExhaustedError:
            break
        spent += time.process_time() - began
        before = len(rows)
        for x in X:
            if seen.setdefault(x.tobytes(), len(rows)) == len(rows):
                rows.append(x)
        F = view.evaluate(X)
        began = time.process_time()
        searcher.tell(X, F)
        spent += time.process_time() - began
        idle = 0 if len(rows) > before else idle + 1
    found = np.stack(rows[:budget])
    return found, view.evaluate(found), spent / len(found)


def scored(
    problem: nmo.Problem, X: NDArray[Any], observed: NDArray[np.float64], *, scale: Scale, noise: bool
) -> NDArray[np.float64]:
    """Share of HV* after each evaluation, (n,): of all seen; with noise of the observed front, at some n."""
    F = problem.evaluate(X)
    alive = ~problem.space.degenerate(X)
    if not noise:
        return scale.shares(np.where(alive[:, None], F, 1e30))
    from nasbench_mo.pareto import nondominated

    curve = np.zeros(len(X))
    for n in range(1, len(X) + 1):
        if n in BUDGETS or n == len(X):
            usable = np.flatnonzero(alive[:n])
            chosen = usable[nondominated(observed[usable])]
            curve[n - 1] = scale.shares(F[chosen])[-1]
    return curve


def row(problem: nmo.Problem, name: str, arguments: argparse.Namespace) -> str:
    """One line of the table."""
    scale = strict_scale(problem) if arguments.strict else published_scale(problem)
    curves, cpu = [], []
    for seed in range(arguments.seeds):
        searcher = made(name, problem, seed=seed, scale=scale, known=not arguments.no_known)
        X, observed, spent = trajectory(problem, searcher, budget=arguments.budget, noise=arguments.noise)
        curve = scored(problem, X, observed, scale=scale, noise=arguments.noise)
        curves.append(np.pad(curve, (0, arguments.budget - len(curve)), mode="edge"))
        cpu.append(spent)
    shares = np.array(curves)
    reached = [
        np.median([np.flatnonzero(c >= t)[0] + 1 if (c >= t).any() else np.inf for c in shares]) for t in TARGETS
    ]
    budgets = [b for b in BUDGETS if b <= arguments.budget]
    cells = [problem.id, name]
    cells += ["never" if np.isinf(r) else f"{r:.0f}" for r in reached]
    cells += [f"{np.median(shares[:, b - 1]):.4f}" for b in budgets]
    cells += [f"{1e3 * np.median(cpu):.1f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--problems", default="nb201s-c10-eyeriss-fpga-v1")
    parser.add_argument("--searchers", default="default,nsga2,local-search,random")
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--noise", action="store_true", help="observe one training seed")
    parser.add_argument("--no-known", action="store_true", help="offer no known objectives")
    parser.add_argument("--strict", action="store_true", help="judge by the strict box")
    arguments = parser.parse_args()
    budgets = [b for b in BUDGETS if b <= arguments.budget]
    head = ["problem", "searcher", *(f"to {100 * t:g} %" for t in TARGETS), *(f"HV {b}" for b in budgets), "CPU ms"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    sys.stdout.write("\n".join(lines) + "\n")
    for identifier in arguments.problems.split(","):
        problem = nmo.problem(identifier)
        for name in arguments.searchers.split(","):
            sys.stdout.write(row(problem, name, arguments) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
