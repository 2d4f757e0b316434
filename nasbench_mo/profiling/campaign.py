"""Measuring many graphs under several settings: in random order, in passes, and so that a kill loses nothing.

Graphs take turns with each other inside a block, in a new order every round; a pass goes through all blocks with graphs
loaded afresh, so two passes are two measurements that share nothing but the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.profiling.chains import ProfiledGraph
from nasbench_mo.profiling.turns import Turn, TurnJournal

#: What a turn measures: microseconds and microjoules of one run, mebibytes of a process.
Quantity = Literal["latency", "energy", "memory"]
UNITS: Mapping[Quantity, str] = {"latency": "us", "energy": "uj", "memory": "mib"}

#: Called with the turns that are done and their number.
Progress = Callable[[int, int], None]
#: Takes one turn and returns the value, in the quantity's unit.
Probe = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a graph runs.

    Parameters
    ----------
    precision
        ``fp32``, ``int8``, ``fp16``, ``bf16``, as the backend has them.
    n_threads
        Threads inside an operator; None where the device has none to choose.
    batch
        Images at once.
    """

    precision: str
    n_threads: int | None = None
    batch: int = 1

    @property
    def name(self) -> str:
        """Part of a column's name: ``fp32_t1`` is one thread, ``fp16_b32`` a batch of 32."""
        threads = "" if self.n_threads is None else f"_t{self.n_threads}"
        batch = f"_b{self.batch}" if self.n_threads is None or self.batch != 1 else ""
        return f"{self.precision}{threads}{batch}"


class Backend(Protocol):
    """A device with a runtime, on which graphs are measured."""

    @property
    def device(self) -> str:
        """Name of the device."""

    @property
    def runtime(self) -> str:
        """Name and version of the runtime."""

    def identity(self) -> Mapping[str, Any]:
        """Machine and versions: measurements of two identities must not be mixed. Of types that JSON has."""

    def probe(self, model: bytes, setting: Setting, *, quantity: Quantity) -> Probe:
        """Load a float ONNX model, made for the setting's batch, for turns of one quantity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One graph under one setting, what is measured of it, and its turns in a pass."""

    graph: ProfiledGraph
    setting: Setting
    quantity: Quantity
    rounds: int

    @property
    def key(self) -> str:
        """Name of the task in a journal."""
        return f"{self.quantity} {self.setting.name} {self.graph.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What is measured and how often.

    Parameters
    ----------
    tasks
        In any order; those of one graph share a block.
    passes
        Times that everything is measured.
    block
        Graphs that take turns with each other; a block is finished before the next is loaded, which bounds memory.
    seed
        Of the order.
    """

    tasks: tuple[Task, ...]
    passes: int
    block: int
    seed: int

    def __post_init__(self) -> None:
        rounds = min((task.rounds for task in self.tasks), default=1)
        if self.passes < 1 or self.block < 1 or rounds < 1:
            raise SpecError(
                f"expected at least 1 pass, 1 round and blocks of at least 1 graph; got {self.passes}, {rounds}, "
                f"{self.block}"
            )
        if len({task.key for task in self.tasks}) != len(self.tasks):
            raise SpecError("a campaign measures each graph once under a setting; a task appears twice")

    @property
    def n_turns(self) -> int:
        """All turns of all passes."""
        return self.passes * sum(task.rounds for task in self.tasks)


def run_campaign(
    campaign: Campaign, backend: Backend, *, journal: TurnJournal, progress: Progress | None = None
) -> None:
    """Take every turn that the journal does not have. The order depends on the seed alone, not on interruptions."""
    done = sum(turn in journal for turn in _turns(campaign))
    for number in range(campaign.passes):
        for b, members in enumerate(_blocks(campaign, number)):
            missing = [task for task in members if any(turn not in journal for turn in _turns_of(task, number))]
            if not missing:
                continue
            journal.begin()
            probes = _probes(missing, backend)
            for r in range(max(task.rounds for task in missing)):
                order = np.random.default_rng((campaign.seed, number, b, r)).permutation(len(missing))
                for task in (missing[i] for i in order):
                    turn = Turn(key=task.key, number=number, round=r)
                    if r < task.rounds and turn not in journal:
                        journal.add(turn, probes[task.key]())
                        done += 1
                journal.sync()
                if progress is not None:
                    progress(done, campaign.n_turns)


def measured(campaign: Campaign, journal: TurnJournal) -> dict[str, NDArray[np.float64]]:
    """Turns of every task by its key, (passes, rounds).

    Raises
    ------
    SpecError
        Turns are missing: the campaign was interrupted.
    """
    missing = [turn for turn in _turns(campaign) if turn not in journal]
    if missing:
        raise SpecError(
            f"{journal.folder} lacks {len(missing)} of {campaign.n_turns} turns, {missing[0].key!r} first; the same "
            "command goes on where it stopped"
        )
    return {
        task.key: np.array([journal[turn] for turn in _all_turns_of(task, campaign)]).reshape(campaign.passes, -1)
        for task in campaign.tasks
    }


def _probes(tasks: Sequence[Task], backend: Backend) -> dict[str, Probe]:
    """A loaded graph for each task; the model of a graph is made once for a batch."""
    probes: dict[str, Probe] = {}
    models: dict[tuple[str, int], bytes] = {}
    for task in tasks:
        made_for = (task.graph.name, task.setting.batch)
        if made_for not in models:
            models[made_for] = task.graph.model(task.setting.batch)
        probes[task.key] = backend.probe(models[made_for], task.setting, quantity=task.quantity)
    return probes


def _blocks(campaign: Campaign, number: int) -> Iterator[list[Task]]:
    """Tasks of some random graphs at a time: a fair sample, not a neighbourhood."""
    of_graph: dict[str, list[Task]] = {}
    for task in campaign.tasks:
        of_graph.setdefault(task.graph.name, []).append(task)
    names = list(of_graph)
    order = np.random.default_rng((campaign.seed, number)).permutation(len(names))
    for start in range(0, len(names), campaign.block):
        yield [task for i in order[start : start + campaign.block] for task in of_graph[names[i]]]


def _turns(campaign: Campaign) -> Iterator[Turn]:
    for task in campaign.tasks:
        yield from _all_turns_of(task, campaign)


def _all_turns_of(task: Task, campaign: Campaign) -> Iterator[Turn]:
    for number in range(campaign.passes):
        yield from _turns_of(task, number)


def _turns_of(task: Task, number: int) -> Iterator[Turn]:
    for r in range(task.rounds):
        yield Turn(key=task.key, number=number, round=r)
