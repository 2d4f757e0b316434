"""Runs: a problem and a searcher joined, recorded so that the number can be made again."""

from nasbench_mo.experiment.figures import SearcherFigures, searcher_figures
from nasbench_mo.experiment.many import experiment
from nasbench_mo.experiment.replaying import Difference, Replay, replay
from nasbench_mo.experiment.running import Progress, environment, run, run_many
from nasbench_mo.experiment.trajectory import Front, Identity, Run

__all__ = [
    "Difference",
    "Front",
    "Identity",
    "Progress",
    "Replay",
    "Run",
    "SearcherFigures",
    "environment",
    "experiment",
    "replay",
    "run",
    "run_many",
    "searcher_figures",
]
