"""A measured device table from one specification: measure, subtract, compare with whole networks, write.

Two tables come of it: the costs of layers, and a sample of networks measured whole. Every turn is kept in a folder of
unfinished work; it stays there when the tables are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError
from nasbench_mo.hardware.shapes import shape_name
from nasbench_mo.hardware.workload import compose, workload
from nasbench_mo.profiling.agreement import Agreement, tau_b
from nasbench_mo.profiling.campaign import (
    UNITS,
    Backend,
    Campaign,
    Progress,
    Quantity,
    Setting,
    Task,
    measured,
    run_campaign,
)
from nasbench_mo.profiling.chains import ChainPlan, ProfiledGraph, chain_plan, network_graph
from nasbench_mo.profiling.cpu import n_cores
from nasbench_mo.profiling.device_card import layers_card, networks_card
from nasbench_mo.profiling.device_results import (
    Comparison,
    DeviceResults,
    Floats,
    Measured,
    layer_columns,
    network_columns,
)
from nasbench_mo.profiling.device_spec import DeviceTableSpec
from nasbench_mo.profiling.differences import layer_costs
from nasbench_mo.profiling.sampling import sampled_cells
from nasbench_mo.profiling.turns import TurnJournal
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.table import Table, write_table


def build_device_table(
    spec: DeviceTableSpec,
    *,
    root: Path,
    command: str,
    spec_file: Path,
    work: Path | None = None,
    backend: Backend | None = None,
    progress: Progress | None = None,
) -> dict[str, Table]:
    """Measure, and write ``root/<id>/`` and ``root/<networks_id>/``; go on where an earlier call was interrupted.

    Parameters
    ----------
    spec, spec_file
        What to measure, and the file that says so, which is stored with the tables.
    root
        Folder that gets the tables.
    command
        For the cards: the command that makes the tables again.
    work
        Folder of the turns, ``root/unfinished/<id>`` by default. It is left there when the tables are written.
    backend
        The device; by default the one that the specification names.
    progress
        Called with the turns that are done, and all.

    Returns
    -------
    Both tables by their ids.

    Raises
    ------
    SpecError
        A table exists: published artefacts are frozen; or the work folder was begun on another machine, with other
        versions or another protocol; or there is no such device here.
    MissingDependencyError
        A library of the runtime is not installed.
    """
    spec_text = spec_file.read_text(encoding="utf-8")
    targets = {identifier: root / identifier for identifier in (spec.networks_id, spec.id)}
    _refuse_published(targets[spec.id], targets[spec.networks_id], spec_text=spec_text)
    results = measure_device(
        spec,
        backend=backend or default_backend(spec),
        work=work if work is not None else root / "unfinished" / spec.id,
        progress=progress,
    )
    # both are staged before either appears: what fails, fails with nothing written; the networks appear first
    with (
        artifacts.staged_folder(targets[spec.id]) as layers,
        artifacts.staged_folder(targets[spec.networks_id]) as networks,
    ):
        for stage in (networks, layers):
            (stage / "spec.yaml").write_text(spec_text, encoding="utf-8")
        nb201 = NB201()
        write_table(
            networks,
            list(network_columns(results, spec.skeleton)),
            id=spec.networks_id,
            space=spec.space,
            archs=nb201.decode(results.cells),
            cardinalities=nb201.cardinalities.tolist(),
            encodings=results.cells,
        )
        write_table(
            layers,
            list(layer_columns(results)),
            id=spec.id,
            space=spec.space,
            archs=[shape_name(shape) for shape in results.shapes],
            rows="operator",
        )
        own = command.replace(f"{spec.id}/spec.yaml", f"{spec.networks_id}/spec.yaml")
        cards = {
            networks: networks_card(results, spec, command=own),
            layers: layers_card(results, spec, command=command),
        }
        for stage, card in cards.items():
            (stage / "card.md").write_text(card, encoding="utf-8")
    return {identifier: Table.open(target) for identifier, target in targets.items()}


def _refuse_published(layers: Path, networks: Path, *, spec_text: str) -> None:
    """Refuse to replace an artefact, except networks whose writing a kill cut off from that of the layers."""
    cut_off = (networks / "spec.yaml").is_file() and (networks / "spec.yaml").read_text(encoding="utf-8") == spec_text
    for target, replaceable in ((layers, False), (networks, cut_off)):
        if (target / "card.md").exists() and not replaceable:
            raise SpecError(
                f"{target} exists and published artefacts are frozen; to make it again, give another folder as --out"
            )


def default_backend(spec: DeviceTableSpec) -> Backend:
    """The device that a specification names.

    Raises
    ------
    SpecError
        It is not here.
    MissingDependencyError
        A library is not installed.
    """
    if spec.runtime == "onnxruntime":
        from nasbench_mo.profiling.cpu import OrtBackend

        return OrtBackend(spec.protocol.latency)
    from nasbench_mo.profiling.gpu import cuda_backend

    return cuda_backend(spec.protocol.latency, energy=spec.energy)


def measure_device(
    spec: DeviceTableSpec, *, backend: Backend, work: Path, progress: Progress | None = None
) -> DeviceResults:
    """Measure what is missing in the work folder, and compute the costs of layers; parameters as of the builder."""
    skeleton = spec.skeleton
    plan = chain_plan(skeleton, contexts=spec.chains.contexts, short=spec.chains.short, layers=spec.chains.layers)
    cells = sampled_cells(spec.n_networks, seed=spec.sample_seed)
    networks = [network_graph(arch, skeleton=skeleton) for arch in NB201().decode(cells)]
    campaign = _campaign(spec, plan=plan, networks=networks)
    identity = {"spec": spec.identity, **backend.identity()}
    with TurnJournal(work, identity=identity) as journal:
        run_campaign(campaign, backend, journal=journal, progress=progress)
        turns = measured(campaign, journal)
        beginnings = tuple(journal.beginnings)
    found = tuple(_results(spec, plan=plan, networks=networks, turns=turns))
    layers = workload(spec.space, skeleton=skeleton)
    merging = {merge: layers.counts(cells, merge_equal=merge) for merge in (False, True)}
    macs = layers.macs(cells).astype(np.float64)
    return DeviceResults(
        device=backend.device,
        runtime=backend.runtime,
        identity=backend.identity(),
        shapes=plan.shapes,
        cells=cells,
        measured=found,
        comparisons=tuple(
            _comparison(
                m,
                counts=merging[m.setting.precision in spec.merged_precisions],
                counts_of_all=merging[False],
                macs=macs,
            )
            for m in found
            if len(m.layers) and len(m.networks) > 1
        ),
        beginnings=beginnings,
    )


def _settings(spec: DeviceTableSpec) -> dict[Setting, int]:
    """Settings on this machine and their numbers of networks; on one core "all" threads is one thread."""
    settings: dict[Setting, int] = {}
    for stated in spec.settings:
        setting = stated.setting(n_cores=n_cores())
        settings[setting] = max(stated.networks, settings.get(setting, 0))
    return settings


def _quantities(spec: DeviceTableSpec) -> Iterator[tuple[Quantity, Setting, int, bool]]:
    """What is measured: quantity, setting, number of networks, and whether of layers too."""
    settings = _settings(spec)
    for setting, n in settings.items():
        yield "latency", setting, n, True
    if spec.energy is not None:
        for setting in settings:
            yield "energy", setting, min(spec.energy.networks, spec.n_networks), True
    if spec.memory is not None:
        of_precision: dict[str, Setting] = {}
        for setting in settings:
            of_precision.setdefault(setting.precision, setting)  # more threads need no other copies
        for setting in of_precision.values():
            yield "memory", setting, min(spec.memory.networks, spec.n_networks), False


def _campaign(spec: DeviceTableSpec, *, plan: ChainPlan, networks: Sequence[ProfiledGraph]) -> Campaign:
    protocol = spec.protocol
    tasks: list[Task] = []
    for quantity, setting, n, of_layers in _quantities(spec):
        parts = ((plan.graphs if of_layers else (), protocol.layer_rounds), (networks[:n], protocol.rounds))
        for graphs, rounds in parts:
            turns = rounds if quantity == "latency" else 1
            tasks += [Task(graph=graph, setting=setting, quantity=quantity, rounds=turns) for graph in graphs]
    return Campaign(
        tasks=tuple(tasks),
        passes=protocol.passes,
        block=protocol.block,
        seed=protocol.seed,
    )


def _results(
    spec: DeviceTableSpec, *, plan: ChainPlan, networks: Sequence[ProfiledGraph], turns: Mapping[str, Floats]
) -> Iterator[Measured]:
    quantile = spec.protocol.quantile
    for quantity, setting, n, of_layers in _quantities(spec):

        def of(graph: ProfiledGraph, quantity: Quantity = quantity, setting: Setting = setting) -> Floats:
            """Statistic over all passes, then that of each pass."""
            values = turns[Task(graph=graph, setting=setting, quantity=quantity, rounds=1).key]
            share = quantile if quantity == "latency" else 0.5
            return np.array([np.quantile(values, share), *np.quantile(values, share, axis=1)])

        whole = np.array([of(graph) for graph in networks[:n]]).reshape(n, -1)
        layers = np.empty((0, 1 + spec.protocol.passes))
        if of_layers:
            graph_costs = {graph.name: of(graph) for graph in plan.graphs}
            columns = [
                layer_costs(plan.groups, {name: float(costs[k]) for name, costs in graph_costs.items()})
                for k in range(1 + spec.protocol.passes)
            ]
            layers = np.array([[column[shape] for column in columns] for shape in plan.shapes])
        yield Measured(
            quantity=quantity,
            setting=setting,
            layers=layers[:, 0],
            layer_passes=layers[:, 1:],
            networks=whole[:, 0],
            network_passes=whole[:, 1:],
        )


def _comparison(found: Measured, *, counts: Floats, counts_of_all: Floats, macs: Floats) -> Comparison:
    n = len(found.networks)
    n_merged = int((counts[:n] != counts_of_all[:n]).any(axis=1).sum())
    first, second = found.layer_passes[:, 0], found.layer_passes[:, 1]
    return Comparison(
        column=f"{found.name}_{UNITS[found.quantity]}",
        table=Agreement.of(compose(counts[:n], found.layers), found.networks),
        n_merged=n_merged,
        table_counting_all=Agreement.of(compose(counts_of_all[:n], found.layers), found.networks) if n_merged else None,
        repeat=Agreement.of(found.network_passes[:, 1], found.network_passes[:, 0]),
        layer_repeat_percent=float(100 * np.median(np.abs(second - first) / np.abs(found.layers))),
        flops_tau_b=tau_b(macs[:n], found.networks),
    )
