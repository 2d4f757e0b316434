"""Results of boards nobody ran, for the tests of what is drawn and written from them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.leaderboard.results import (
    BoardProblem,
    BoardResults,
    Comparison,
    Entry,
    Estimate,
    ProblemResult,
    Standing,
)

Floats = NDArray[np.float64]
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NAMES = (
    "mo_bananas",
    "nsga2",
    "local_search",
    "regularized_evolution",
    "tpe",
    "random",
    *("parego", "sms_emoa", "moead", "nsga3", "rvea", "age_moea2", "qlognehvi", "ehvi", "smac_forest", "lemonade"),
    *("reinforce", "q_learning", "quasi_random", "a_searcher_with_a_really_long_name_v2"),
)
TARGETS = (0.9, 0.95, 0.99, 0.999)
N_RUNS = 15


def cell(rng: np.random.Generator) -> str:
    op = [OPS[k] for k in rng.integers(len(OPS), size=6)]
    return f"|{op[0]}~0|+|{op[1]}~0|{op[2]}~1|+|{op[3]}~0|{op[4]}~1|{op[5]}~2|"


def nondominated(F: Floats) -> Floats:
    kept = np.array([not np.any((F <= f).all(1) & (F < f).any(1)) for f in F], dtype=bool)
    return F[kept]


def true_front(m: int) -> Floats:
    """Points of a convex front, error in percent against costs; all minimised."""
    rng = np.random.default_rng(m)
    u = np.sort(rng.random(40)) if m == 2 else np.abs(rng.normal(size=(60, m)))
    if m == 2:
        return nondominated(np.column_stack([6 + 30 * (1 - u) ** 2.2, 0.4 + 9 * u**2.2]))
    u = u / np.linalg.norm(u, axis=1, keepdims=True)
    return nondominated((1 - u) * np.array([40.0, 9.0, 3.0][:m]) + np.array([6.0, 0.4, 0.1][:m]))


def estimate(runs: Floats) -> Estimate:
    rng = np.random.default_rng(0)
    with np.errstate(invalid="ignore"):
        medians = np.quantile(runs[rng.integers(len(runs), size=(200, len(runs)))], 0.5, axis=1, method="inverted_cdf")
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    return Estimate(value=float(np.quantile(runs, 0.5, method="inverted_cdf")), low=float(low), high=float(high))


def problem_result(speed: float, *, m: int, budget: int, rng: np.random.Generator) -> ProblemResult:
    """A searcher that closes the gap to HV* as a power of evaluations; a slow one never reaches the later targets."""
    e = np.unique(np.geomspace(1, budget, 120).round().astype(np.int64))
    jumps = np.maximum.accumulate(rng.gamma(2.0, 0.5, size=(N_RUNS, len(e))) * 0.5 + np.log(e) * speed, axis=1)
    gap = 0.6 * np.exp(-jumps)
    shares = 1 - np.where(gap < 2e-4, 0.0, gap)
    steps = [np.where((shares >= t).any(1), e[(shares >= t).argmax(1)].astype(float), np.inf) for t in TARGETS]
    front = true_front(m)
    found = nondominated(front[rng.random(len(front)) < 0.6] * (1 + rng.gamma(1.0, 0.12 / speed / 10, size=(1, m))))
    surfaces = {q: found * (1 + 0.04 * k) for k, q in enumerate((0.25, 0.5, 0.75))} if m == 2 else {}
    return ProblemResult(
        n_runs=N_RUNS,
        evaluations=e,
        hypervolume_share=np.quantile(shares, [0.25, 0.5, 0.75], axis=0).T,
        final=shares[:, -1],
        to_target={t: estimate(s) for t, s in zip(TARGETS, steps, strict=True)},
        indicators={"igd_plus": estimate(gap[:, -1] * 0.3), "epsilon": estimate(gap[:, -1] * 2)},
        overhead_ms=None if speed < 0.3 else float(speed**3 * 20),
        front=found,
        front_archs=tuple(cell(rng) for _ in found),
        attainment=surfaces,
    )


def board(n_searchers: int = 6, *, seed: int = 0, budget: int = 500, n_problems: int = 3) -> BoardResults:
    """Results of so many searchers on problems of two and three objectives, the third without its exact front."""
    rng = np.random.default_rng(seed)
    names = NAMES[:n_searchers]
    speeds = dict(zip(names, np.linspace(1.05, 0.22, n_searchers), strict=True))
    labels = ("error on CIFAR-10 [percent], measured", "latency on an FPGA [ms], modelled", "energy [mJ], predicted")
    problems = []
    for k in range(n_problems):
        m = 3 if k % 3 == 1 else 2
        results = {
            name: problem_result(speed * (1 + 0.12 * rng.normal()), m=m, budget=budget, rng=rng)
            for name, speed in speeds.items()
        }
        order = sorted(names, key=lambda name: -float(np.median(results[name].final)))
        problems.append(
            BoardProblem(
                id=f"nb201-c10-made-up-{k}-v1",
                about="Error against cost on a space of 15 625 cells." if k else "Error against latency.",
                objectives=labels[:m],
                reference_hypervolume=123.456 + k,
                exact=k % 3 != 2,
                true_front=true_front(m) if k % 3 != 2 else np.empty((0, m)),
                results=results,
                ranks={name: 0.85 * (order.index(name) + 1) + 0.15 * (n_searchers + 1) / 2 for name in names},
            )
        )
    return summarised(names, problems=tuple(problems), budget=budget)


def summarised(names: tuple[str, ...], *, problems: tuple[BoardProblem, ...], budget: int) -> BoardResults:
    n = len(names)
    e = np.geomspace(1, budget, 60)
    ecdf, standings = {}, []
    for name in names:
        speed = float(np.mean([np.median(p.results[name].final) for p in problems]))
        curve = np.clip((np.log(e) / np.log(budget)) ** (0.4 + 30 * (1 - speed)) * speed**4, 0, 1)
        ecdf[name] = np.column_stack([e, np.round(curve * 180) / 180])
        standings.append(
            Standing(
                searcher=name,
                rank=float(np.mean([p.ranks[name] for p in problems])),
                wins=sum(min(p.ranks, key=lambda k, p=p: p.ranks[k]) == name for p in problems),
                ecdf_area=float(ecdf[name][:, 1].mean()),
                reached={t: float(np.mean([np.mean(p.results[name].final >= t) for p in problems])) for t in TARGETS},
            )
        )
    standings.sort(key=lambda s: s.rank)
    order = [s.searcher for s in standings]
    critical = 2.1 * n**0.5 / 2.4 if n > 2 else None
    ranks = [s.rank for s in standings]
    cliques = {
        tuple(order[j] for j in range(n) if lo <= ranks[j] <= lo + (critical or 0))
        for lo in ranks
        if critical is not None
    }
    maximal = [c for c in cliques if len(c) > 1 and not any(set(c) < set(other) for other in cliques)]
    pairs = {}
    for i, a in enumerate(order):
        for b in order[i + 1 :]:
            d = ranks[order.index(b)] - ranks[i]
            pairs[a, b] = (float(np.exp(-d)), float(1 - 0.5 * np.exp(-d / 2)))
    return BoardResults(
        id="made-up-v1",
        title="A board nobody ran",
        about="Searchers on NAS-Bench-201, error against cost on modelled and measured hardware.",
        rules="Every run spends the whole budget.\nSeeds are 0 to 14. Options are fixed for all problems.",
        budget=budget,
        targets=TARGETS,
        problems=problems,
        entries=tuple(
            Entry(
                searcher=name,
                source="J. Doe, K. Roe, “A searcher of that name”, Proc. of a Conference, 2023, doi:10.1000/xyz",
                software=f"nasbench-mo 0.1.0, {name} 1.{i}",
                submitted=f"2025-0{i % 9 + 1}-15",
                options={"population": 20 + i, "mutation": 0.1, "scalarisation": "chebyshev"} if i % 2 == 0 else {},
                verified=i % 3 != 2,
            )
            for i, name in enumerate(sorted(names))
        ),
        standings=tuple(standings),
        ecdf=ecdf,
        comparison=Comparison(
            friedman_p=0.003 if n > 2 else None,
            critical_difference=critical,
            pairs=pairs,
            cliques=tuple(sorted(maximal, key=lambda c: order.index(c[0]))),
        ),
    )


def renamed(results: BoardResults, old: str, new: str) -> BoardResults:
    """The same results with one searcher under another name, and the new name in every text of its submission."""

    def name(text: str) -> str:
        return new if text == old else text

    entries = [
        dataclasses.replace(e, searcher=new, source=new, software=new, submitted=new, options={new: new})
        if e.searcher == old
        else e
        for e in results.entries
    ]
    problems = [
        dataclasses.replace(
            p,
            results={
                name(k): dataclasses.replace(r, front_archs=(new,) * len(r.front)) if k == old else r
                for k, r in p.results.items()
            },
            ranks={name(k): v for k, v in p.ranks.items()},
        )
        for p in results.problems
    ]
    c = results.comparison
    return dataclasses.replace(
        results,
        entries=tuple(entries),
        problems=tuple(problems),
        standings=tuple(dataclasses.replace(s, searcher=name(s.searcher)) for s in results.standings),
        ecdf={name(k): v for k, v in results.ecdf.items()},
        comparison=dataclasses.replace(
            c,
            pairs={(name(a), name(b)): v for (a, b), v in c.pairs.items()},
            cliques=tuple(tuple(name(k) for k in clique) for clique in c.cliques),
        ),
    )
