"""Figures of searchers: by hand on made-up runs, and against slow oracles on real ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from benchmark_helpers import ERROR, LATENCY, slow_hypervolume, store_synthetic_nb201, toy_problem, toy_space

import nasbench_mo as nmo
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import ObjectiveError, RunError
from nasbench_mo.experiment import Identity, Run, run, searcher_figures
from nasbench_mo.experiment.figures import Quantile, censored_spread, exhaustive_share, to_frame
from nasbench_mo.experiment.figures_page import figures_markdown
from nasbench_mo.experiment.scale import Scale, published_scale, strict_scale

pytestmark = pytest.mark.usefixtures("cache")

INF = math.inf

#: One objective, 0..100, of which a run's share of HV* is 1 - value / 100.
LINE = Scale(ideal=np.zeros(2), span=np.ones(2), reference=np.array([100.0, 1.0]), best=100.0)


def line_problem() -> Problem:
    toy = toy_space(101, 5)
    return Problem.from_function(
        "line-v1",
        lambda X: np.stack([X[:, 0], np.zeros(len(X))], axis=1).astype(float),
        search_space=toy,
        objectives=[ERROR, LATENCY],
    )


def made_run(
    values: list[float], *, folder: Path, seed: int, budget: int = 8, searcher: str = "made", cpu_s: float = 0.0
) -> None:
    """A run that observed these values of the first objective, NaN for a failure."""
    problem = line_problem()
    first = [100 if math.isnan(v) else int(v) for v in values]
    X = problem.space.check(np.array([[v, i % 5] for i, v in enumerate(first)]))
    F = problem.evaluate(X)
    F[np.isnan(values)] = np.nan
    identity = Identity(
        problem=problem.id,
        data_hash=problem.data_hash,
        space=problem.space.name,
        objectives=problem.observed_objectives,
        searcher=searcher,
        searcher_options={"size": 3},
        seed=seed,
        noise_seed=seed,
        budget_evaluations=budget,
    )
    Run(
        identity=identity,
        X=X,
        F=F,
        archs=problem.space.decode(X),
        degenerate=np.zeros(len(X), dtype=bool),
        wall_s=np.zeros(len(X)),
        simulated_s=np.zeros(len(X)),
        environment={"machine": {"cpu": "abacus"}, "searcher_cpu_s": cpu_s},
        source=problem,
    ).save(folder / problem.id / searcher / f"{seed}.parquet")


def test_figures_of_made_up_runs_are_those_by_hand(tmp_path: Path) -> None:
    # Share 0.9 is a value of 10 or less, 0.95 of 5, 0.99 of 1, 0.999 of 0.
    made_run([50, 20, 8, 30, 4, 60, 1, 70], folder=tmp_path, seed=0, cpu_s=0.008)  # reaches .9 at 3, .95 at 5, .99 at 7
    made_run([9, 40, 3, 80, 90, 91, 92, 93], folder=tmp_path, seed=1, cpu_s=0.016)  # 1, 3, never
    made_run([60, 50, 40, 30, 20, 10, 11, 12], folder=tmp_path, seed=2, cpu_s=0.032)  # 6, never, never
    (row,) = searcher_figures(tmp_path, problems=[line_problem()], scale=lambda _: LINE)
    assert (row.problem, row.searcher, row.settings, row.seeds) == ("line-v1", "made", {"size": 3}, (0, 1, 2))
    assert [r.n_reached for r in row.reaches] == [3, 2, 1, 0]
    ninety, ninety_five, ninety_nine, whole = (r.evaluations for r in row.reaches)
    assert (ninety.low, ninety.median, ninety.high) == (Quantile(value=2), Quantile(value=3), Quantile(value=4.5))
    # 3, 5, never: the upper quartile is half way between 5 and at least 9
    assert (ninety_five.low, ninety_five.median) == (Quantile(value=4), Quantile(value=5))
    assert ninety_five.high == Quantile(value=7, bound=">=")
    assert ninety_nine.median == ninety_nine.high == whole.low == Quantile(value=8, bound=">")
    assert ninety_nine.low == Quantile(value=8, bound=">=")  # 7 and at least 9
    assert row.searcher_cpu_ms == 2.0
    assert row.n_failed == 0
    assert row.checkpoints == ()  # the first is after 50 evaluations


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([10, 20, 30, 40], Quantile(value=25)),
        ([7], Quantile(value=7)),
        ([INF], Quantile(value=300, bound=">")),
        ([10, 20, INF], Quantile(value=20)),
        ([10, INF, INF], Quantile(value=300, bound=">")),
        ([10, 20, INF, INF], Quantile(value=(20 + 301) / 2, bound=">=")),  # exactly half reached it
        ([10, INF, INF, INF], Quantile(value=300, bound=">")),
        ([INF, 30, 10, 20], Quantile(value=25)),
    ],
)
def test_medians_with_runs_that_never_got_there(values: list[float], median: Quantile) -> None:
    assert censored_spread(np.array(values, dtype=float), budget=300).median == median


def test_a_bound_holds_whatever_the_censored_runs_would_have_needed() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        n, budget = int(rng.integers(1, 12)), 100
        true = rng.integers(1, 200, n).astype(float)
        seen = np.where(true <= budget, true, INF)
        spread = censored_spread(seen, budget=budget)
        exact = np.quantile(true, [0.25, 0.5, 0.75])
        for found, value in zip((spread.low, spread.median, spread.high), exact, strict=True):
            if found.bound == "":
                assert found.value == pytest.approx(value)
            elif found.bound == ">":
                assert value > found.value
            else:
                assert value >= found.value - 1e-9


def test_shares_after_some_evaluations_and_of_a_run_that_ended_early(tmp_path: Path) -> None:
    long = [100 - i for i in range(60)]
    made_run(long, folder=tmp_path, seed=0, budget=120)
    made_run([30, 20], folder=tmp_path, seed=1, budget=120)
    (row,) = searcher_figures(tmp_path, problems=[line_problem()], scale=lambda _: LINE)
    assert [c.evaluations for c in row.checkpoints] == [50, 100]
    after_50, after_100 = (c.share for c in row.checkpoints)
    assert after_50.median.value == pytest.approx((0.49 + 0.80) / 2)
    assert after_100.median.value == pytest.approx((0.59 + 0.80) / 2)
    assert after_50.low.value == pytest.approx(0.49 + 0.31 / 4)


def test_failures_are_evaluations_without_a_share(tmp_path: Path) -> None:
    made_run([math.nan, 50, math.nan, 10], folder=tmp_path, seed=0)
    (row,) = searcher_figures(tmp_path, problems=[line_problem()], scale=lambda _: LINE)
    assert row.reaches[0].evaluations.median == Quantile(value=4)
    assert row.n_failed == 2
    assert "| failed |" in figures_markdown([row], command="c", judged_by="a line")


def test_the_frame_and_the_page_say_the_same(tmp_path: Path) -> None:
    made_run([50, 20, 8, 30, 4, 60, 1, 70], folder=tmp_path, seed=0, cpu_s=0.008)
    made_run([9, 40, 3, 80, 90, 91, 92, 93], folder=tmp_path, seed=1, cpu_s=0.016)
    rows = searcher_figures(tmp_path, problems=[line_problem()], scale=lambda _: LINE)
    frame = to_frame(rows)
    assert frame.loc[0, "evaluations_to_90_percent_median"] == 2
    assert frame.loc[0, "evaluations_to_95_percent_runs"] == 2
    assert frame.loc[0, "evaluations_to_99_percent_median"] == INF
    assert frame.loc[0, "evaluations_to_99.9_percent_runs"] == 0
    page = figures_markdown(rows, command="nasbench-mo experiment figures DIR", judged_by="a line")
    line = page.strip().splitlines()[-1]
    assert line == (
        "| made | size=3 | 2 (seeds 0-1) | 8 | 2 [1.5, 2.5] | 4 [3.5, 4.5] | ≥ 8 [≥ 7.5, ≥ 8.5] | "
        "> 8 [> 8, > 8] | 1.5 |"
    )
    assert "abacus" in page
    assert "`nasbench-mo experiment figures DIR`" in page


# ---------------------------------------------------------------------- real runs


def test_figures_of_noisy_runs_equal_those_of_every_prefix(tmp_path: Path) -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    runs = [
        run(problem, "nsga2", budget=60, seed=s, out=tmp_path / problem.id / "nsga2" / f"{s}.parquet") for s in range(3)
    ]
    (row,) = searcher_figures(tmp_path)
    assert row.noisy
    slow = np.empty((3, 60))
    for i, one in enumerate(runs):
        for n in range(1, 61):
            part = Run(**{**_parts(one, n), "source": problem})
            slow[i, n - 1] = part.hypervolume_share()
    assert row.checkpoints[0].share.median.value == pytest.approx(np.median(slow[:, 49]))
    firsts = sorted(np.flatnonzero(c >= 0.9)[0] + 1 if (c >= 0.9).any() else INF for c in slow)
    assert row.reaches[0].evaluations.median.known == firsts[1]
    assert row.exhaustive is not None
    assert 0 < row.exhaustive.median.value < 1
    median = f"{row.exhaustive.median.value:.4f} ["
    page = figures_markdown([row], command="a command", judged_by="a box")
    assert f"Evaluating every architecture under the same noise reaches {median}" in page


def test_exhaustive_search_is_a_search_that_evaluates_everything() -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    whole = run(problem, "random", budget=problem.space.size, seed=1, noise_seed=7)
    share = exhaustive_share(problem, noise_seed=7, scale=published_scale(problem))
    assert share == pytest.approx(whole.hypervolume_share(), rel=1e-12)
    assert share != exhaustive_share(problem, noise_seed=8, scale=published_scale(problem))


def _parts(one: Run, n: int) -> dict[str, object]:
    rows = ("X", "F", "archs", "degenerate", "wall_s", "simulated_s")
    return {name: getattr(one, name)[:n] for name in rows} | {
        "identity": one.identity,
        "environment": one.environment,
    }


def test_without_noise_a_search_sees_what_it_is_judged_by_and_the_run_says_so(tmp_path: Path) -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    out = tmp_path / problem.id / "random" / "0.parquet"
    finished = run(problem, "random", budget=50, noise=False, out=out)
    np.testing.assert_array_equal(finished.F, problem.evaluate(finished.X))
    assert finished.identity != run(problem, "random", budget=50).identity
    assert (np.diff(finished.hypervolume_curve()) >= 0).all()
    (row,) = searcher_figures(tmp_path)
    assert not row.noisy
    assert row.exhaustive is None


def test_the_strict_box_is_the_corner_and_its_best_is_the_exact_volume() -> None:
    toy = toy_space(5, 5)
    problem = Problem.from_function(
        "box-v1",
        lambda X: np.stack([40.0 - 8 * X[:, 0] - X[:, 1], 1.0 + X[:, 0] + 2 * X[:, 1]], axis=1),
        search_space=toy,
        objectives=[ERROR, LATENCY],
    )
    F = problem.evaluate(toy.enumerate())
    scale = strict_scale(problem)
    corner = [20.0, float(np.quantile(F[:, 1], 0.9))]
    assert scale.corner == f"20,{corner[1]:.6g}"
    inside = F[(F < corner).all(axis=1)]
    unit = float(np.prod(scale.span))
    assert scale.best * unit == pytest.approx(slow_hypervolume(inside, reference=corner))
    np.testing.assert_allclose(scale.scaled(np.array([corner])), [[1.0, 1.0]])


def test_a_strict_box_needs_an_error_and_something_in_it() -> None:
    toy = toy_space(3, 3)
    for objectives, words in (
        ((LATENCY, ERROR), "needs an error in percent first"),
        ((ERROR, LATENCY), "less than 20"),
    ):
        problem = Problem.from_function(
            "box-v1", lambda X: 50.0 + X.astype(float), search_space=toy, objectives=list(objectives)
        )
        with pytest.raises(ObjectiveError, match=words):
            strict_scale(problem)


def test_the_published_scale_is_the_share_a_run_reports() -> None:
    problem = toy_problem(6, 6, 6)
    finished = run(problem, "random", budget=80)
    scale = published_scale(problem)
    curve = finished.observed_curve(scale.scaled, reference=scale.reference) / scale.best
    np.testing.assert_allclose(curve, finished.hypervolume_curve(), rtol=1e-12)


# ---------------------------------------------------------------------- wrong input


def test_runs_that_differ_in_more_than_their_seeds_have_no_common_figures(tmp_path: Path) -> None:
    made_run([5, 4], folder=tmp_path, seed=0, budget=8)
    made_run([5, 4], folder=tmp_path, seed=1, budget=9)
    with pytest.raises(RunError, match=r"differs from 0\.parquet beside it in its budget_evaluations: 9 and 8"):
        searcher_figures(tmp_path, problems=[line_problem()])


def test_a_run_that_was_copied_counts_once(tmp_path: Path) -> None:
    made_run([5, 4], folder=tmp_path, seed=0)
    folder = tmp_path / "line-v1" / "made"
    (folder / "1.parquet").write_bytes((folder / "0.parquet").read_bytes())
    with pytest.raises(RunError, match="two runs of the same seed"):
        searcher_figures(tmp_path, problems=[line_problem()])


def test_an_empty_folder_has_no_figures(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run of an experiment"):
        searcher_figures(tmp_path)


def test_shorter_trainings_are_counted_as_their_share_of_an_evaluation(tmp_path: Path) -> None:
    problem = line_problem()
    X = problem.space.check(np.array([[50, 0], [8, 0], [8, 1], [4, 0]]))
    identity = Identity(
        problem=problem.id,
        data_hash=problem.data_hash,
        space=problem.space.name,
        objectives=problem.observed_objectives,
        searcher="made",
        searcher_options={},
        seed=0,
        noise_seed=0,
        budget_evaluations=60,
        fidelities=(1, 4),
    )
    Run(
        identity=identity,
        X=X,
        F=problem.evaluate(X),
        archs=problem.space.decode(X),
        degenerate=np.zeros(4, dtype=bool),
        wall_s=np.zeros(4),
        simulated_s=np.zeros(4),
        environment={"machine": {"cpu": "abacus"}, "searcher_cpu_s": 1.0},
        source=problem,
        epochs=np.array([4, 1, 4, 4]),
        cost_evaluations=np.array([1.0, 1.25, 2.25, 50.5]),
    ).save(tmp_path / problem.id / "made" / "0.parquet")
    (row,) = searcher_figures(tmp_path, problems=[problem], scale=lambda _: LINE)
    assert row.reaches[0].evaluations.median == Quantile(value=2.25)  # the short one at 1.25 does not count
    assert row.reaches[1].evaluations.median == Quantile(value=50.5)
    assert row.checkpoints[0].share.median.value == pytest.approx(0.92)
    assert row.searcher_cpu_ms == pytest.approx(1e3 / 50.5)


def test_runs_with_a_budget_of_seconds_have_no_figures_by_evaluations(tmp_path: Path) -> None:
    store_synthetic_nb201()
    problem = nmo.problem("nb201-c10-fpga-v1")
    run(problem, "random", budget_seconds=5e4, out=tmp_path / problem.id / "random" / "0.parquet")
    with pytest.raises(RunError, match="budget of 50000 simulated seconds"):
        searcher_figures(tmp_path)
