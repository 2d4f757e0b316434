"""What a measured device table is made of: networks, graphs, settings, protocol. All of it is the table's identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.workload import workload
from nasbench_mo.profiling.campaign import Setting
from nasbench_mo.profiling.latency import LatencyProtocol
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.specification import (
    folder_name_of,
    is_integer,
    mapping_of,
    peek_specification,
    read_specification,
    text_of,
    word_of,
)

Runtime = Literal["onnxruntime", "torch-cuda"]
#: Precisions that a runtime has.
PRECISIONS: Mapping[Runtime, tuple[str, ...]] = {
    "onnxruntime": ("fp32", "int8"),
    "torch-cuda": ("fp32", "fp16", "bf16"),
}
#: All cores that the process may use, as a number of threads.
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """A setting, and on how many of the sampled networks it is measured.

    Parameters
    ----------
    precision, batch
        As of :class:`~nasbench_mo.profiling.campaign.Setting`.
    threads
        Of onnxruntime: a number, or ``"all"`` for every core; None for a GPU.
    networks
        The first so many networks of the sample; the layers are always measured.
    """

    precision: str
    networks: int
    threads: int | str | None
    batch: int

    def setting(self, *, n_cores: int) -> Setting:
        """The setting on a machine with so many cores."""
        threads = n_cores if self.threads == ALL else self.threads
        return Setting(precision=self.precision, n_threads=None if threads is None else int(threads), batch=self.batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSpec:
    """How long the chains are and of what cells; see :func:`~nasbench_mo.profiling.chains.chain_plan`."""

    short: int
    layers: int
    contexts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSpec:
    """How often, and which statistic.

    Parameters
    ----------
    passes, block, seed
        As of :class:`~nasbench_mo.profiling.campaign.Campaign`. The noise floor compares the first two passes.
    rounds, runs, warm_up, quantile
        As of :class:`~nasbench_mo.profiling.latency.LatencyProtocol`; ``rounds`` are those of a network in one pass.
    layer_rounds
        Turns in one pass of a graph for layers: more, for what is wanted is a small difference of two of them.
    """

    passes: int
    layer_rounds: int
    rounds: int
    runs: int
    warm_up: int
    quantile: float
    block: int
    seed: int

    @property
    def latency(self) -> LatencyProtocol:
        """How a turn is taken."""
        return LatencyProtocol(
            rounds=self.rounds, runs=self.runs, warm_up=self.warm_up, quantile=self.quantile, block=self.block
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySpec:
    """Memory of the first so many networks, each in a process of its own."""

    networks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySpec:
    """Energy of a GPU.

    Parameters
    ----------
    networks
        The first so many networks of the sample; the layers are always measured.
    window_s
        Seconds of repetitions that are averaged: many updates of the counter, which come every 0.02 to 0.1 s.
    idle_s
        Seconds over which the idle power is measured before each window.
    """

    networks: int
    window_s: float
    idle_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTableSpec:
    """The fields of a ``spec.yaml`` that has ``measures: latency``.

    Parameters
    ----------
    id, networks_id
        Identities of the table of layers and of the table of networks, with versions.
    space, skeleton
        The networks; the space is ``nb201``.
    runtime
        ``onnxruntime`` on this machine's processor, or ``torch-cuda`` on a GPU.
    settings
        Precision, threads or batch, and networks.
    chains
        The graphs for the layers.
    sample_seed
        Draws the networks.
    protocol
        How often.
    memory, energy
        Of the CPU and of the GPU; None where not measured.
    about
        One paragraph for the cards.
    """

    id: str
    networks_id: str
    space: str
    skeleton: Skeleton
    runtime: Runtime
    settings: tuple[SettingSpec, ...]
    chains: ChainSpec
    sample_seed: int
    protocol: ProtocolSpec
    memory: MemorySpec | None
    energy: EnergySpec | None
    about: str

    def __post_init__(self) -> None:
        if self.space != "nb201":
            raise SpecError(f"{self.id}: there are graphs for the networks of the space nb201; got {self.space!r}")
        if self.id == self.networks_id:
            raise SpecError(f"{self.id}: the table of networks needs an id of its own")
        if self.protocol.passes < 2:
            raise SpecError(f"{self.id}: the noise floor needs at least 2 passes, got {self.protocol.passes}")
        if len(set(self.settings)) != len(self.settings) or not self.settings:
            raise SpecError(f"{self.id}: settings must be a list of distinct settings")
        if self.n_networks < 2:
            raise SpecError(f"{self.id}: the comparison with whole networks needs at least 2, got {self.n_networks}")
        if self.memory is not None and self.runtime != "onnxruntime":
            raise SpecError(f"{self.id}: memory is measured with onnxruntime; leave it out for {self.runtime}")
        if self.energy is not None and self.runtime != "torch-cuda":
            raise SpecError(
                f"{self.id}: energy is read from a GPU's counter; leave it out for {self.runtime}, whose energy is "
                "not available"
            )
        workload(self.space, skeleton=self.skeleton)  # refuses an impossible skeleton

    @property
    def n_networks(self) -> int:
        """Networks of the sample."""
        return max(setting.networks for setting in self.settings)

    @property
    def merged_precisions(self) -> tuple[str, ...]:
        """Precisions in which the runtime computes equal poolings of one tensor once.

        onnxruntime eliminates common subexpressions. Quantised poolings have scales of their own, and are not equal.
        """
        return ("fp32",) if self.runtime == "onnxruntime" else ()

    @classmethod
    def read(cls, path: Path) -> DeviceTableSpec:
        """Read and check a YAML specification."""
        optional = ("memory", "energy")
        names = [f.name for f in dataclasses.fields(cls)]
        required = [name for name in names if name not in optional]
        fields = read_specification(path, allowed=[*names, "measures"], required=[*required, "measures"])
        if fields.pop("measures") != "latency":
            raise SpecError(f"{path}: expected 'measures: latency'")
        place = path.name
        runtime: Runtime = word_of(fields["runtime"], place=f"{place}: runtime", allowed=get_args(Runtime))
        seed = fields["sample_seed"]
        if not is_integer(seed) or seed < 0:
            raise SpecError(f"{place}: sample_seed must be an integer of at least 0, got {seed!r}")
        made: dict[str, Any] = {
            **{name: text_of(fields[name], place=f"{place}: {name}") for name in ("space", "about")},
            **{name: folder_name_of(fields[name], place=f"{place}: {name}") for name in ("id", "networks_id")},
        }
        return cls(
            **made,
            runtime=runtime,
            skeleton=Skeleton(**_typed(Skeleton, fields["skeleton"], place=f"{place}: skeleton")),
            settings=tuple(_settings(fields["settings"], runtime=runtime, place=f"{place}: settings")),
            chains=_chains(fields["chains"], place=f"{place}: chains"),
            sample_seed=seed,
            protocol=ProtocolSpec(**_typed(ProtocolSpec, fields["protocol"], place=f"{place}: protocol")),
            memory=_part(MemorySpec, fields.get("memory"), place=f"{place}: memory"),
            energy=_part(EnergySpec, fields.get("energy"), place=f"{place}: energy"),
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What may not change while the table is measured."""
        fields = dataclasses.asdict(self)
        del fields["about"], fields["networks_id"]
        return fields


def is_device_table(path: Path) -> bool:
    """Whether a specification file is one of a measured device table."""
    return peek_specification(path).get("measures") == "latency"


def _settings(value: object, *, runtime: Runtime, place: str) -> list[SettingSpec]:
    if not isinstance(value, list) or not value:
        raise SpecError(f"{place}: expected a list of settings, got {value!r}")
    on_cpu = runtime == "onnxruntime"
    required = ["precision", "networks", "threads" if on_cpu else "batch"]
    found = []
    for item in value:
        fields = mapping_of(item, place=place, allowed=[*required, "batch"] if on_cpu else required, required=required)
        precision = word_of(fields["precision"], place=f"{place}: precision", allowed=PRECISIONS[runtime])
        threads = fields.get("threads")
        if threads != ALL and threads is not None:
            _positive(threads, place=f"{place}: threads (a number or {ALL!r})")
        setting = SettingSpec(
            precision=precision,
            networks=_positive(fields["networks"], place=f"{place}: networks"),
            threads=threads,
            batch=_positive(fields.get("batch", 1), place=f"{place}: batch"),
        )
        found.append(setting)
    return found


def _chains(value: object, *, place: str) -> ChainSpec:
    names = [f.name for f in dataclasses.fields(ChainSpec)]
    fields = mapping_of(value, place=place, allowed=names, required=names)
    contexts = fields["contexts"]
    if not isinstance(contexts, list) or not all(isinstance(cell, str) for cell in contexts):
        raise SpecError(f"{place}: contexts must be a list of cells in their published form, got {contexts!r}")
    numbers = {name: _positive(fields[name], place=f"{place}: {name}") for name in ("short", "layers")}
    return ChainSpec(**numbers, contexts=tuple(contexts))


def _part(cls: Any, value: object, *, place: str) -> Any:
    return None if value is None else cls(**_typed(cls, value, place=place))


def _typed(cls: Any, value: object, *, place: str) -> dict[str, Any]:
    """The fields of a dataclass of numbers out of a mapping."""
    fields: Sequence[Any] = dataclasses.fields(cls)
    names = [f.name for f in fields]
    known = mapping_of(value, place=place, allowed=names, required=names)
    for field in fields:
        given = known[field.name]
        if field.type == "int" and (not is_integer(given) or given < 0):
            raise SpecError(f"{place}: {field.name} must be an integer of at least 0, got {given!r}")
        if field.type == "float" and (isinstance(given, bool) or not isinstance(given, int | float) or given < 0):
            raise SpecError(f"{place}: {field.name} must be a number of at least 0, got {given!r}")
    return known


def _positive(value: object, *, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SpecError(f"{place} must be an integer of at least 1, got {value!r}")
    return value
