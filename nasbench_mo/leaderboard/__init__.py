"""Boards: searchers compared on fixed problems, from submissions whose every evaluation is checked."""

from nasbench_mo.leaderboard.board import Board, load_board
from nasbench_mo.leaderboard.checking import CheckedSubmission, check
from nasbench_mo.leaderboard.ranking import rank, score, standings_csv
from nasbench_mo.leaderboard.recording import Recorder
from nasbench_mo.leaderboard.results import BoardResults
from nasbench_mo.leaderboard.submission import Particulars, Submission, Trace, from_runs, from_traces

__all__ = [
    "Board",
    "BoardResults",
    "CheckedSubmission",
    "Particulars",
    "Recorder",
    "Submission",
    "Trace",
    "check",
    "from_runs",
    "from_traces",
    "load_board",
    "rank",
    "score",
    "standings_csv",
]
