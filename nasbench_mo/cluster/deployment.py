"""A YAML file that says how to start a Dask cluster: on a batch system through dask-jobqueue, or on this machine.

    scheduler: slurm        # slurm, oar, pbs or local
    jobs: 8                 # jobs to submit, or local processes
    options:                # of dask_jobqueue.SLURMCluster, OARCluster, PBSCluster, or distributed.LocalCluster
      memory: 4GB
      queue: batch
      walltime: "04:00:00"

A job gets one process with one thread and one core unless ``options`` say otherwise, as a searcher's CPU time is that
of its process. Workers import nasbench-mo, so it has to be installed where the jobs run.

What was tested: ``local`` on a real cluster; ``slurm`` through dask-jobqueue with a command in place of ``sbatch`` that
runs the job's script on this machine. OAR and PBS were tested against a stand-in that records what it is told; there
was no real batch system to try any of them on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nasbench_mo.errors import SpecError, require
from nasbench_mo.specification import is_integer, read_specification, word_of

#: Class of dask-jobqueue for each batch system.
_CLASSES = {"slurm": "SLURMCluster", "oar": "OARCluster", "pbs": "PBSCluster"}
_LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a cluster file says.

    Parameters
    ----------
    path
        The file, for errors.
    scheduler
        ``"slurm"``, ``"oar"``, ``"pbs"`` or ``"local"``.
    jobs
        Jobs to submit, or local processes.
    options
        Passed on to the cluster's class.
    """

    path: Path
    scheduler: str
    jobs: int
    options: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a cluster file.

        Raises
        ------
        SpecError
            A field is missing, unknown or wrong.
        FileNotFoundError
            There is no such file.
        """
        fields = read_specification(path, allowed=("scheduler", "jobs", "options"), required=("scheduler", "jobs"))
        jobs, options = fields["jobs"], fields.get("options") or {}
        if not is_integer(jobs) or jobs < 1:
            raise SpecError(f"{path.name}: jobs must be an integer of at least 1, got {jobs!r}")
        if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
            raise SpecError(f"{path.name}: options must map names to values, got {options!r}")
        scheduler = word_of(fields["scheduler"], place=f"{path.name}: scheduler", allowed=(*_CLASSES, _LOCAL))
        return cls(path=path, scheduler=scheduler, jobs=jobs, options=dict(options))

    def started(self) -> Any:
        """The Dask cluster object, with its jobs submitted; whoever asked for it closes it.

        Raises
        ------
        SpecError
            The cluster does not start with the options.
        MissingDependencyError
            Dask, or dask-jobqueue for a batch system, is not installed.
        """
        try:
            if self.scheduler == _LOCAL:
                made_by = require("distributed", extra="cluster").LocalCluster
                fixed = {"n_workers": self.jobs, "threads_per_worker": 1, "dashboard_address": ":0"}
                return made_by(**{**fixed, **self.options})
            made_by = getattr(require("dask_jobqueue", extra="cluster"), _CLASSES[self.scheduler])
            cluster = made_by(**{"cores": 1, "processes": 1, **self.options})
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SpecError(f"{self.path.name}: {self.scheduler} does not start with the options: {reason}") from error
        cluster.scale(jobs=self.jobs)
        return cluster
