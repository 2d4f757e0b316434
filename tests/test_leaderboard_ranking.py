"""Ranking: an entry's numbers are its own, the order of entries is nothing, and pandas finds the same."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from benchmark_helpers import slow_hypervolume
from board_helpers import BUDGET, SEEDS, submission, toy_board

from nasbench_mo.errors import SubmissionError
from nasbench_mo.leaderboard import Board, BoardResults, Submission, check, rank, score, standings_csv


@pytest.fixture(scope="module")
def board() -> Board:
    return toy_board()


@pytest.fixture(scope="module")
def entries(board: Board) -> list[Submission]:
    return [submission(board, name, luck=luck) for name, luck in (("poor", 0), ("fair", 2), ("good", 30), ("dull", 0))]


@pytest.fixture(scope="module")
def results(board: Board, entries: list[Submission]) -> BoardResults:
    return rank(board, entries)


def plain(value: Any) -> Any:
    """Results as nested lists, so that they compare."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def frame(submission: Submission) -> pd.DataFrame:
    rows = submission.rows
    columns = {"problem": np.array(rows.problems)[rows.problem], "seed": rows.seed, "code": rows.archs}
    table = pd.DataFrame({"searcher": submission.name, **columns, "evaluation": rows.evaluation})
    return table.join(pd.DataFrame(rows.values, columns=["f0", "f1", "f2"]))


def test_pandas_finds_the_same(board: Board, entries: list[Submission], results: BoardResults) -> None:
    """From the rows of the submissions to the standings by another route."""
    table = pd.concat([frame(e) for e in entries], ignore_index=True)
    shares = []
    for (searcher, identifier, seed), run in table.groupby(["searcher", "problem", "seed"]):
        problem = board.problem(str(identifier))
        observed = run[["f0", "f1", "f2"]].to_numpy()[:, : problem.n_objectives]
        scored = problem.normalize(problem.evaluate(problem.space.from_codes(run["code"].to_numpy())))
        best = problem.manifest.score.hypervolume
        for k in (1, 5, BUDGET):
            seen = observed[:k]
            on_front = [not ((seen <= f).all(axis=1) & (seen < f).any(axis=1)).any() for f in seen]
            volume = slow_hypervolume(scaled := scored[:k][on_front], reference=[1.1] * problem.n_objectives)
            assert len(scaled)
            shares.append((searcher, identifier, seed, k, volume / best))
    found = pd.DataFrame(shares, columns=["searcher", "problem", "seed", "k", "share"])
    final = found[found["k"] == BUDGET]

    for problem in results.problems:
        mine = final[final["problem"] == problem.id].pivot_table(index="seed", columns="searcher", values="share")
        ranks = mine.round(10).rank(axis=1, ascending=False).mean()
        assert dict(problem.ranks) == pytest.approx(ranks.to_dict())
        for name, result in problem.results.items():
            np.testing.assert_allclose(result.final, mine[name].to_numpy(), rtol=1e-12)
            for k in (1, 5, BUDGET):
                at = found[(found["problem"] == problem.id) & (found["searcher"] == name) & (found["k"] == k)]["share"]
                row = result.evaluations.tolist().index(k)
                np.testing.assert_allclose(result.hypervolume_share[row], at.quantile([0.25, 0.5, 0.75]), rtol=1e-12)

    final = final.assign(
        rank=final["share"].round(10).groupby([final["problem"], final["seed"]]).rank(ascending=False),
    )
    mean = final.groupby(["searcher", "problem"])["rank"].mean().groupby("searcher").mean()
    assert {s.searcher: s.rank for s in results.standings} == pytest.approx(mean.to_dict())
    assert [s.searcher for s in results.standings] == list(mean.sort_values().index)
    medians = final.pivot_table(index="problem", columns="searcher", values="share", aggfunc="median").round(10)
    wins = medians.eq(medians.max(axis=1), axis=0).sum()
    assert {s.searcher: s.wins for s in results.standings} == wins.to_dict()

    pivot = final.pivot_table(index=["problem", "seed"], columns="searcher", values="share")
    pairs = list(itertools.combinations(sorted(pivot.columns), 2))
    assert set(results.comparison.pairs) == set(pairs)
    for a, b in pairs:
        each = [
            scipy.stats.mannwhitneyu(run[a], run[b]).statistic / SEEDS**2
            for _, run in pivot.round(10).groupby("problem")
        ]
        assert results.comparison.pairs[a, b][1] == pytest.approx(np.mean(each))


def test_an_entrys_own_numbers_do_not_change_when_another_comes(
    board: Board, entries: list[Submission], results: BoardResults
) -> None:
    for few in (entries[:1], entries[1:3]):
        before = rank(board, few)
        for problem, later in zip(before.problems, results.problems, strict=True):
            for name, result in problem.results.items():
                assert plain(result) == plain(later.results[name])
        afterwards = {s.searcher: s for s in results.standings}
        for standing in before.standings:
            now = afterwards[standing.searcher]
            assert (standing.ecdf_area, standing.reached) == (now.ecdf_area, now.reached)
            assert plain(before.ecdf[standing.searcher]) == plain(results.ecdf[standing.searcher])
        by_name = {e.searcher: e for e in results.entries}
        assert all(by_name[e.searcher] == e for e in before.entries)


def test_an_entry_alone_is_scored_the_same(board: Board, entries: list[Submission], results: BoardResults) -> None:
    alone = score(check(entries[1], board), board)
    for problem in results.problems:
        assert plain(alone[problem.id]) == plain(problem.results["fair"])


def test_the_order_of_submissions_is_nothing(board: Board, entries: list[Submission], results: BoardResults) -> None:
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        again = rank(board, [entries[i] for i in order])
        assert plain(again) == plain(results)
        assert standings_csv(again) == standings_csv(results)


def test_the_better_one_stands_first_and_twins_tie(board: Board, results: BoardResults) -> None:
    assert results.standings[0].searcher == "good"
    rows = {s.searcher: s for s in results.standings}
    assert rows["poor"].rank == rows["dull"].rank
    p, effect = results.comparison.pairs["dull", "poor"]
    assert (p, effect) == (1.0, 0.5)
    assert results.comparison.pairs["good", "poor"][1] > 0.5
    assert results.comparison.friedman_p is not None
    assert results.comparison.critical_difference == pytest.approx(2.569 * np.sqrt(20 / 18), rel=1e-3)


def test_censored_targets_are_infinite_and_counted(results: BoardResults) -> None:
    for problem in results.problems:
        for name, result in problem.results.items():
            assert result.n_runs == SEEDS
            for target, estimate in result.to_target.items():
                reached = (result.final >= target - 1e-9).sum()
                if reached > SEEDS / 2:
                    assert estimate.value <= BUDGET, name
            assert estimate.low <= estimate.value <= estimate.high
    total = {s.searcher: s.reached for s in results.standings}
    for name, reached in total.items():
        shares = [reached[t] for t in results.targets]
        assert shares == sorted(shares, reverse=True)
        assert results.ecdf[name][-1, 1] == pytest.approx(np.mean(shares))


def test_indicators_are_there_where_the_problem_has_them(results: BoardResults) -> None:
    by_id = {p.id: set(p.results["good"].indicators) for p in results.problems}
    assert by_id["toy-v1"] == {"igd_plus", "epsilon"}
    assert by_id["noisy-v1"] == {"igd_plus", "epsilon", "test_hypervolume_share"}


def test_fronts_and_attainment_are_drawable(board: Board, results: BoardResults) -> None:
    for problem in results.problems:
        for result in problem.results.values():
            assert len(result.front) == len(result.front_archs)
            np.testing.assert_array_equal(board.problem(problem.id).evaluate(list(result.front_archs)), result.front)
            two = len(problem.objectives) == 2
            assert sorted(result.attainment) == ([0.25, 0.5, 0.75] if two else [])
            if two:  # what more runs reach is nowhere better
                low, high = result.attainment[0.25], result.attainment[0.75]
                assert all((low <= point).all(axis=1).any() for point in high)
            assert result.overhead_ms is not None and result.overhead_ms > 0


def test_standings_are_a_table(results: BoardResults) -> None:
    lines = standings_csv(results).splitlines()
    assert lines[0].startswith("searcher,mean_rank,wins,ecdf_area,reached_0.9,")
    assert [line.split(",")[0] for line in lines[1:]] == [s.searcher for s in results.standings]
    assert {len(line.split(",")) for line in lines} == {4 + 5 + 3}


def test_two_searchers_are_compared_without_friedman(board: Board, entries: list[Submission]) -> None:
    found = rank(board, [entries[0], entries[3]]).comparison
    assert (found.friedman_p, found.critical_difference) == (None, None)
    assert found.cliques == (("dull", "poor"),)


def test_a_board_without_entries_or_with_two_of_a_name_is_not_ranked(board: Board, entries: list[Submission]) -> None:
    with pytest.raises(SubmissionError, match="no submission to rank"):
        rank(board, [])
    with pytest.raises(SubmissionError, match="two submissions are called 'poor'"):
        rank(board, [entries[0], entries[0]])


def test_a_submission_that_is_wrong_is_not_ranked(board: Board, entries: list[Submission]) -> None:
    rows = entries[0].rows
    values = rows.values.copy()
    values[7, 0] *= 0.9
    bad = dataclasses.replace(entries[0], rows=dataclasses.replace(rows, values=values))
    with pytest.raises(SubmissionError, match="row 7, column 'f0'"):
        rank(board, [entries[1], bad])
