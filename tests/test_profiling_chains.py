"""Measured device tables: graphs against torch, differences with costs that are known, turns that survive a kill."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiling_helpers import CONTEXTS_4, SMALL, KnownBackend, fields, known_model, layer_cost, write_spec

from nasbench_mo import artifacts
from nasbench_mo.cli import main
from nasbench_mo.errors import ArtifactError, MissingValueError, ObjectiveError, SpecError
from nasbench_mo.hardware import ShapeCosts, check_joinable
from nasbench_mo.hardware.shapes import LayerShape, shape_name
from nasbench_mo.hardware.workload import workload
from nasbench_mo.objective import Objective
from nasbench_mo.profiling import device_table, onnx_network
from nasbench_mo.profiling.agreement import Agreement, tau_b
from nasbench_mo.profiling.campaign import Campaign, Setting, Task, measured, run_campaign
from nasbench_mo.profiling.chains import CONTEXTS, ChainPlan, ProfiledGraph, chain_plan, network_graph
from nasbench_mo.profiling.device_spec import DeviceTableSpec, is_device_table
from nasbench_mo.profiling.device_table import build_device_table
from nasbench_mo.profiling.differences import Difference, layer_costs
from nasbench_mo.profiling.memory import resident_mib
from nasbench_mo.profiling.quantised import quantised
from nasbench_mo.profiling.sampling import sampled_cells
from nasbench_mo.profiling.turns import Turn, TurnJournal
from nasbench_mo.space.nb201 import NB201, Skeleton
from nasbench_mo.table import Column, Table, write_table

onnx = pytest.importorskip("onnx", reason="profiling needs the extra 'profile'")
onnxruntime = pytest.importorskip("onnxruntime", reason="profiling needs the extra 'profile'")

NB = NB201()
ROOT = Path(__file__).parents[1]


def run(model: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"images": images})[0]
    return found


@pytest.fixture(scope="module")
def plan() -> ChainPlan:
    return chain_plan(SMALL, short=1, layers=3)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs whose model is their cost, for :class:`KnownBackend`."""

    def without_onnx(graph: ProfiledGraph) -> ProfiledGraph:
        return dataclasses.replace(graph, model=lambda batch: known_model(graph.counts))

    def network_without(cell: str, *, skeleton: Skeleton) -> ProfiledGraph:
        """A network on a device that merges equal poolings in single precision, as onnxruntime does."""
        layers, X = workload("nb201", skeleton=skeleton), NB201().encode([cell])
        merged = dict(zip(layers.shapes, layers.counts(X, merge_equal=True)[0].tolist(), strict=True))
        graph = network_graph(cell, skeleton=skeleton)
        return dataclasses.replace(graph, model=lambda batch: known_model(graph.counts, merged=merged))

    def plan_without(*args: Any, **options: Any) -> ChainPlan:
        made = chain_plan(*args, **options)
        return dataclasses.replace(made, graphs=tuple(without_onnx(g) for g in made.graphs))

    monkeypatch.setattr(device_table, "chain_plan", plan_without)
    monkeypatch.setattr(device_table, "network_graph", network_without)


# ---------------------------------------------------------------------- graphs


def counted(model: bytes) -> collections.Counter[str]:
    parsed = onnx.load_from_string(model)
    onnx.checker.check_model(parsed, full_check=True)
    return collections.Counter(node.op_type for node in parsed.graph.node)


def test_a_graph_has_the_layers_that_its_counts_say(plan: ChainPlan) -> None:
    kinds = {"conv": "Conv", "avg_pool": "AveragePool", "global_pool": "GlobalAveragePool", "linear": "Gemm"}
    for graph in plan.graphs:
        nodes = counted(graph.model(2))
        per_operator = collections.Counter[str]()
        for shape, count in graph.counts.items():
            per_operator[shape.operator] += int(count)
        for operator, kind in kinds.items():
            assert nodes[kind] == per_operator[operator], (graph.name, kind)
        assert nodes["Add"] == per_operator["add"] + nodes["Mul"], graph.name  # the last normalisation is Mul and Add


def test_chains_repeat_their_cell_and_differ_in_whole_cells() -> None:
    made = chain_plan(SMALL, short=2, layers=16)
    for stage, group in enumerate(made.groups[:2]):
        assert len(group) == len(CONTEXTS)
        only_conv = group[0]
        (shape,) = only_conv.counts
        assert (shape.in_channels, shape.in_size, shape.kernel) == (4 << stage, 8 >> stage, 3)
        assert only_conv.counts[shape] == 16
        for difference, cell in zip(group, CONTEXTS, strict=True):
            graphs = {g.name: g for g in made.graphs}
            n = int(difference.longer.split("x ")[0].split()[-1])
            assert counted(graphs[difference.longer].model(1))["Conv"] == 1 + n * cell.count("conv")


def test_reductions_and_ends_compute_what_torch_computes(plan: ChainPlan) -> None:
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    functional = torch.nn.functional
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    graphs = {graph.name: graph for graph in plan.graphs}

    def weights(model: bytes) -> dict[str, Any]:
        return {
            t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
            for t in onnx.load_from_string(model).graph.initializer
        }

    def conv(w: dict[str, Any], name: str, x: Any, **options: Any) -> Any:
        return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **options)

    def end(w: dict[str, Any], x: Any) -> Any:
        pooled = torch.relu(x * w["last.scale"] + w["last.shift"]).mean((2, 3))
        return functional.linear(pooled, w["classifier.weight"], w["classifier.bias"])

    for what, main_path, n_shortcuts in (("whole", 1, 1), ("without shortcut", 1, 0), ("9 shortcuts", 0, 9)):
        model = graphs[f"reduction0 {what}"].model(2)
        w = weights(model)
        x = conv(w, "stem", torch.from_numpy(images), padding=1)
        total = torch.zeros(())
        if main_path:
            inner = conv(w, "reduction.first", torch.relu(x), stride=2, padding=1)
            total = total + conv(w, "reduction.second", torch.relu(inner), padding=1)
        for i in range(n_shortcuts):
            total = total + conv(w, f"reduction{i}.shortcut", functional.avg_pool2d(x, 2))
        np.testing.assert_allclose(run(model, images), end(w, total).numpy(), atol=1e-5)

    small = images[:, :, :4, :4]
    model = graphs["end bare"].model(2)
    w = weights(model)
    x = conv(w, "stem", torch.from_numpy(small), padding=1)
    for i in range(2):
        x = conv(w, f"conv{i}", torch.relu(x))
    np.testing.assert_allclose(run(model, small), x.numpy(), atol=1e-5)


def test_contexts_that_are_no_contexts_are_refused() -> None:
    with pytest.raises(SpecError, match="distinct cells, each with a path"):
        chain_plan(SMALL, contexts=[CONTEXTS[0], CONTEXTS[0]])
    with pytest.raises(SpecError, match="distinct cells, each with a path"):
        chain_plan(SMALL, contexts=["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"])
    with pytest.raises(SpecError, match=r"do not determine the costs of .*conv_4x4_in8_k1_s1.*add a context"):
        chain_plan(SMALL, contexts=[CONTEXTS[0], CONTEXTS[2], CONTEXTS[4]])
    with pytest.raises(SpecError, match="a short chain has at least 1 cell"):
        chain_plan(SMALL, short=0)


# ---------------------------------------------------------------------- differences


@settings(deadline=None, max_examples=15)
@given(
    n_stages=st.integers(1, 3),
    n_cells=st.integers(1, 4),
    overhead=st.floats(0, 50),
    seed=st.integers(0, 1000),
    contexts=st.sampled_from([CONTEXTS, tuple(CONTEXTS_4)]),
)
def test_known_costs_are_recovered_and_the_call_falls_to_the_stem(
    n_stages: int, n_cells: int, overhead: float, seed: int, contexts: tuple[str, ...]
) -> None:
    skeleton = Skeleton(n_cells=n_cells, channels=8, n_stages=n_stages, image_size=16)
    made = chain_plan(skeleton, contexts=contexts)
    rng = np.random.default_rng(seed)
    shapes = sorted({s for g in made.graphs for s in g.counts}, key=shape_name)
    costs = dict(zip(shapes, rng.uniform(0.5, 50, len(shapes)).tolist(), strict=True))
    times = {g.name: overhead + sum(n * costs[s] for s, n in g.counts.items()) for g in made.graphs}
    found = layer_costs(made.groups, times)
    stem = made.shapes[0]
    assert set(found) == set(made.shapes)
    for shape in made.shapes:
        assert found[shape] == pytest.approx(costs[shape] + (overhead if shape == stem else 0), rel=1e-6, abs=1e-6)


def test_contradicting_contexts_are_weighed_by_their_relative_error() -> None:
    shape = LayerShape(operator="conv", in_channels=1, out_channels=1, in_size=1)
    group = [Difference(longer=name, shorter=None, counts={shape: 1}) for name in "ab"]
    # least (c/1 - 1)^2 + (c/3 - 1)^2, by hand: c (1 + 1/9) = 1 + 1/3
    assert layer_costs([group], {"a": 1.0, "b": 3.0})[shape] == pytest.approx(1.2)


def test_layers_that_do_not_differ_cancel() -> None:
    conv, add = (LayerShape(operator=o, in_channels=1, out_channels=1, in_size=1) for o in ("conv", "add"))
    made = Difference.between("long", "short", counts={"long": {conv: 5, add: 2}, "short": {conv: 2, add: 2}})
    assert made.counts == {conv: 3}


# ---------------------------------------------------------------------- int8


def executed(model: bytes, folder: Path) -> collections.Counter[str]:
    """Operators that onnxruntime runs, after its own fusions."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return collections.Counter(node.op_type for node in onnx.load(str(folder / "optimised.onnx")).graph.node)


def test_int8_graphs_run_as_those_of_the_runtimes_own_tool(tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization", reason="the oracle is onnxruntime's tool")
    images = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    skeleton = Skeleton(n_cells=1, channels=16, image_size=16)
    logging.disable(logging.WARNING)  # the tool advises to pre-process, which these graphs do not need
    try:
        for cell in [CONTEXTS[3], *NB.decode(sampled_cells(3, seed=4))]:
            model = onnx_network(cell, skeleton=skeleton)
            (tmp_path / "float.onnx").write_bytes(model)
            reader = type("Reader", (), {"get_next": iter([{"images": images}, None]).__next__})()
            quantization.quantize_static(
                str(tmp_path / "float.onnx"),
                str(tmp_path / "int8.onnx"),
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            ours, theirs = quantised(model), (tmp_path / "int8.onnx").read_bytes()
            assert executed(ours, tmp_path) == executed(theirs, tmp_path)
            reference = run(model, images)
            assert np.abs(run(ours, images) - reference).max() < 0.15 * np.abs(reference).max()
    finally:
        logging.disable(logging.NOTSET)


def test_every_layer_of_an_int8_chain_is_quantised(tmp_path: Path, plan: ChainPlan) -> None:
    for graph in plan.graphs:
        nodes = executed(quantised(graph.model(1)), tmp_path)
        assert not {"Conv", "AveragePool", "Add", "Gemm", "GlobalAveragePool"} & set(nodes), graph.name
        assert nodes["QLinearConv"] == sum(n for s, n in graph.counts.items() if s.operator == "conv"), graph.name


# ---------------------------------------------------------------------- turns


def task(name: str, *, value: float = 0.0, rounds: int = 1) -> Task:
    graph = ProfiledGraph(name=name, counts={}, model=lambda batch: repr(value).encode())
    return Task(graph=graph, setting=Setting(precision="fp32", n_threads=1), quantity="latency", rounds=rounds)


def campaign(n: int = 7, *, rounds: int = 3, **changes: Any) -> Campaign:
    options: dict[str, Any] = {"passes": 2, "block": 3, "seed": 0}
    tasks = tuple(task(f"g{i}", value=float(i), rounds=rounds) for i in range(n))
    return Campaign(tasks=tasks, **(options | changes))


def test_every_graph_takes_every_turn_in_a_new_order(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    with TurnJournal(tmp_path, identity={}) as journal:
        run_campaign(campaign(), KnownBackend(), journal=journal, progress=lambda *x: done.append(x))
        found = measured(campaign(), journal)
    assert {key: values.tolist() for key, values in found.items()} == {
        f"latency fp32_t1 g{i}": [[7.0 + i] * 3] * 2 for i in range(7)
    }
    assert done[-1] == (42, 42)
    lines = [json.loads(line) for line in (tmp_path / "turns.jsonl").read_text().splitlines()]
    orders = [
        tuple(line["key"] for line in group)
        for _, group in itertools.groupby((x for x in lines if "key" in x), key=lambda x: (x["pass"], x["round"]))
    ]
    assert len(set(orders)) > 6  # of 2 passes, 3 blocks and 3 rounds
    assert sum("at" in line for line in lines) == 6  # when each block began


def test_a_task_may_have_more_turns_than_another(tmp_path: Path) -> None:
    mixed = Campaign(tasks=(task("a", rounds=1), task("b", rounds=4)), passes=2, block=5, seed=0)
    with TurnJournal(tmp_path, identity={}) as journal:
        run_campaign(mixed, KnownBackend(), journal=journal)
        found = measured(mixed, journal)
    assert [values.shape for values in found.values()] == [(2, 1), (2, 4)]
    assert mixed.n_turns == 10


def test_an_interrupted_campaign_goes_on_and_ends_as_if_it_was_not(tmp_path: Path) -> None:
    """Turns are numbered as they are taken, so equal values mean an equal order."""
    with TurnJournal(tmp_path / "whole", identity={}) as journal:
        run_campaign(campaign(), KnownBackend(factor=float), journal=journal)
        whole = measured(campaign(), journal)
    taken = 0
    for at_most in (5, 1, 9, 100):
        backend = KnownBackend(at_most=at_most, factor=lambda turn, before=taken: float(before + turn))
        with TurnJournal(tmp_path / "parts", identity={}) as journal:
            assert len(journal) == taken  # nothing was lost
            try:
                run_campaign(campaign(), backend, journal=journal)
            except KeyboardInterrupt:
                with pytest.raises(SpecError, match=r"lacks .* of 42 turns.* goes on where it stopped"):
                    measured(campaign(), journal)
        taken += backend.turns
    with TurnJournal(tmp_path / "parts", identity={}) as journal:
        parts = measured(campaign(), journal)
    assert taken == 42
    assert {key: values.tolist() for key, values in parts.items()} == {k: v.tolist() for k, v in whole.items()}


def test_a_finished_campaign_loads_nothing(tmp_path: Path) -> None:
    for expected in (42, 0):
        backend = KnownBackend()
        with TurnJournal(tmp_path, identity={}) as journal:
            run_campaign(campaign(), backend, journal=journal)
        assert backend.turns == expected


def test_turns_of_another_machine_version_or_protocol_are_not_mixed(tmp_path: Path) -> None:
    with TurnJournal(tmp_path, identity={"versions": {"beads": 1}, "cores": 2}):
        pass
    with TurnJournal(tmp_path, identity={"cores": 2, "versions": {"beads": 1}}):
        pass
    with (
        pytest.raises(SpecError, match=r"other conditions: versions.beads was 1 and is 2\..*not one table"),
        TurnJournal(tmp_path, identity={"versions": {"beads": 2}, "cores": 2}),
    ):
        pass
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"identity.json is damaged"), TurnJournal(tmp_path, identity={}):
        pass
    (tmp_path / "identity.json").unlink()
    with pytest.raises(ArtifactError, match=r"has turns but no identity.json"), TurnJournal(tmp_path, identity={}):
        pass


def test_two_builders_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        TurnJournal(tmp_path, identity={}),
        pytest.raises(SpecError, match="another builder works in"),
        TurnJournal(tmp_path, identity={}),
    ):
        pass


def test_a_line_that_was_cut_off_is_measured_again_and_a_damaged_one_named(tmp_path: Path) -> None:
    first, second = (Turn(key=key, number=0, round=0) for key in "ab")
    with TurnJournal(tmp_path, identity={}) as journal:
        journal.add(first, 1.0)
        journal.add(second, 2.0)
    path = tmp_path / "turns.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with TurnJournal(tmp_path, identity={}) as journal:
        assert first in journal
        assert second not in journal
        journal.add(second, 3.0)
    with TurnJournal(tmp_path, identity={}) as journal:
        assert (journal[first], journal[second]) == (1.0, 3.0)
    path.write_bytes(b'{"key": "a"}\n' + path.read_bytes())
    with pytest.raises(ArtifactError, match=r"line 1 is damaged .*delete the line"), TurnJournal(tmp_path, identity={}):
        pass


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measurement_that_failed_is_not_a_value(tmp_path: Path, value: float) -> None:
    with TurnJournal(tmp_path, identity={}) as journal:
        with pytest.raises(ArtifactError, match="expected a finite number"):
            journal.add(Turn(key="a", number=0, round=0), value)
        assert len(journal) == 0


def test_impossible_campaigns_are_refused() -> None:
    for changes in ({"passes": 0}, {"block": 0}, {"rounds": 0}):
        with pytest.raises(SpecError, match="at least 1"):
            campaign(**changes)
    with pytest.raises(SpecError, match="appears twice"):
        Campaign(tasks=(task("a"), task("a")), passes=1, block=1, seed=0)


# ---------------------------------------------------------------------- networks


def test_sampled_networks_are_distinct_functions_with_a_path() -> None:
    X = sampled_cells(600, seed=0)
    assert len(np.unique(NB.equivalence_class(X))) == 600
    assert not NB.degenerate(X).any()
    np.testing.assert_array_equal(sampled_cells(50, seed=0), X[:50])
    assert (sampled_cells(50, seed=1) != X[:50]).any()
    with pytest.raises(SpecError, match=r"nb201 has [0-9]+ functions .*asked for 9000"):
        sampled_cells(9000, seed=0)


def test_repeated_averages_are_those_of_one_tensor_in_the_graph() -> None:
    skeleton = Skeleton(n_cells=1, channels=4, n_stages=1, image_size=8)
    layers = workload("nb201", skeleton=skeleton)
    pool = [shape.operator for shape in layers.shapes].index("avg_pool")
    found = collections.Counter[bool]()
    for cell in sampled_cells(150, seed=3):
        graph = onnx.load_from_string(onnx_network(cell.tolist(), skeleton=skeleton)).graph
        read = [node.input[0] for node in graph.node if node.op_type == "AveragePool"]
        saved = layers.counts([cell]) - layers.counts([cell], merge_equal=True)
        assert (saved[0, :pool] == 0).all() and (saved[0, pool + 1 :] == 0).all()
        assert saved[0, pool] == len(read) - len(set(read))
        found[saved[0, pool] > 0] += 1
    assert min(found[True], found[False]) > 5


def test_agreement_in_closed_form() -> None:
    found = Agreement.of(np.array([1.1, 1.0, 4.0]), np.array([1.0, 2.0, 4.0]))
    assert found.mape_percent == pytest.approx(20)
    assert found.worst_percent == pytest.approx(50)
    assert found.bias_percent == pytest.approx(0)
    assert found.kendall_tau_b == pytest.approx(1 / 3)
    assert tau_b(np.array([0.1 + 0.2, 0.3, 1.0]), np.array([1.0, 1.0, 2.0])) == pytest.approx(1)  # equal on paper


# ---------------------------------------------------------------------- costs of networks


def costs_table(root: Path, *, drop: int = 0, missing: int = 0, **changes: Any) -> Path:
    """Costs of SMALL's layers as an artefact; some rows left out, some without a value."""
    shapes = workload("nb201", skeleton=SMALL).shapes
    shapes = shapes[: len(shapes) - drop]
    values = np.array([layer_cost(shape) for shape in shapes])
    values[:missing] = np.nan
    options = {"name": "latency", "unit": "us", "kind": "measured", "convention": "live"} | changes
    with artifacts.staged_folder(root / "hw_tables" / "shapes-v1") as stage:
        column = Column(objective=Objective.from_dict({k: v for k, v in options.items() if v}), values=values)
        names = [shape_name(s) for s in shapes]
        write_table(stage, [column], id="shapes-v1", space="nb201", archs=names, rows="operator")
        front = {"id": "shapes-v1", "space": "nb201", "skeleton": dataclasses.asdict(SMALL)}
        (stage / "card.md").write_text(artifacts.render_card(front, body="made up"), encoding="utf-8")
    return root / "hw_tables" / "shapes-v1"


@pytest.mark.parametrize("convention", ["live", "all"])
def test_a_network_costs_the_sum_of_its_layers(cache: Path, convention: Any) -> None:
    costs_table(cache, convention=convention)
    costs = ShapeCosts.load("shapes-v1")
    assert costs.workload.name == workload("nb201", skeleton=SMALL).name
    X = NB.sample(40, rng=np.random.default_rng(0))
    net = workload("nb201", skeleton=SMALL)
    for counts, cost in zip(
        net.counts(X, convention=convention), costs.evaluate(X, column="latency_us").tolist(), strict=True
    ):
        assert cost == pytest.approx(sum(n * layer_cost(s) for s, n in zip(net.shapes, counts, strict=True)))
    assert len(costs.data_hash) == 64


def test_costs_serve_any_skeleton_of_the_same_shapes_and_no_other(cache: Path) -> None:
    deeper = dataclasses.replace(SMALL, n_cells=4)
    folder = costs_table(cache)
    X = NB.encode([CONTEXTS[0]])
    three_more = 3 * sum(layer_cost(s) for s in workload("nb201", skeleton=SMALL).shapes if s.kernel == 3)
    shallow, deep = (ShapeCosts.load(folder, skeleton=s).evaluate(X, column="latency_us")[0] for s in (SMALL, deeper))
    assert 0 < deep - shallow < three_more
    with pytest.raises(MissingValueError, match=r"no latency_us for the layer 'conv_3x16_in32_k3_s1' .* is not free"):
        ShapeCosts.load(folder, dataset="cifar10").evaluate(X, column="latency_us")


def test_a_layer_without_a_cost_is_never_free(tmp_path: Path) -> None:
    X = NB.encode([CONTEXTS[1]])
    for options, shape in (({"drop": 1}, "linear_8x5"), ({"missing": 1}, "conv_3x4_in8")):
        costs = ShapeCosts.load(costs_table(tmp_path / shape, **options))
        with pytest.raises(MissingValueError, match=rf"no latency_us for the layer '{shape}"):
            costs.evaluate(X, column="latency_us")
    costs = ShapeCosts.load(costs_table(tmp_path / "unused", drop=0))
    unused = costs.workload.shapes.index(next(s for s in costs.workload.shapes if s.operator == "avg_pool"))
    assert costs.workload.counts(X)[0, unused] == 0  # a layer that does not occur needs no cost


def test_costs_of_another_convention_are_not_joined(tmp_path: Path) -> None:
    costs = ShapeCosts.load(costs_table(tmp_path))
    X = NB.encode([CONTEXTS[1]])
    theirs = Objective(name="latency_fpga", unit="ms", kind="modelled", convention="all")
    with pytest.raises(ObjectiveError, match=r"'latency_us' counts live .* 'latency_fpga_ms' counts all"):
        costs.evaluate(X, column="latency_us", joined_with=theirs)
    ours = dataclasses.replace(theirs, convention="live")
    assert costs.evaluate(X, column="latency_us", joined_with=ours).shape == (1,)
    check_joinable(ours, Objective(name="error", unit="percent", kind="measured"))  # counts nothing
    with pytest.raises(ObjectiveError, match="must say convention live or all"):
        ShapeCosts.load(costs_table(tmp_path / "none", convention=None)).evaluate(X, column="latency_us")


def test_costs_of_other_rows_or_another_space_are_refused(tmp_path: Path) -> None:
    table = Table.open(costs_table(tmp_path))
    with pytest.raises(ArtifactError, match=r"of the space 'nb201'; got the networks of 'fbnet'"):
        ShapeCosts(table, workload=workload("fbnet"))
    X = NB.sample(2, rng=np.random.default_rng(0))
    column = Column(objective=Objective(name="a", unit="us", kind="measured"), values=np.ones(2))
    write_table(tmp_path, [column], id="a-v1", space="nb201", archs=NB.decode(X), cardinalities=[5] * 6, encodings=X)
    with pytest.raises(ArtifactError, match="holds architectures; expected layer shapes"):
        ShapeCosts(Table.open(tmp_path), workload=workload("nb201"))


# ---------------------------------------------------------------------- specification


def test_the_shipped_specification_is_large_enough() -> None:
    spec = DeviceTableSpec.read(ROOT / "hw_tables" / "nb201-cpu-ort-epyc-v1" / "spec.yaml")
    assert spec.n_networks >= 500
    assert spec.skeleton == Skeleton()
    assert {(s.precision, s.threads) for s in spec.settings} == {(p, t) for p in ("fp32", "int8") for t in (1, "all")}
    assert len(chain_plan(spec.skeleton, contexts=spec.chains.contexts).shapes) == 21


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measures": "training"}, "expected 'measures: latency'"),
        ({"runtime": "tflite"}, "runtime must be one of onnxruntime, torch-cuda"),
        ({"space": "fbnet"}, "graphs for the networks of the space nb201"),
        ({"networks_id": "tiny-v1"}, "an id of its own"),
        ({"settings": []}, "expected a list of settings"),
        ({"settings": [{"precision": "fp16", "threads": 1, "networks": 2}]}, "precision must be one of fp32, int8"),
        ({"settings": [{"precision": "fp32", "threads": 0, "networks": 2}]}, "threads .* at least 1, got 0"),
        ({"settings": [{"precision": "fp32", "networks": 2}]}, "'threads' is missing"),
        ({"settings": [{"precision": "fp32", "threads": 1, "networks": 1}]}, "needs at least 2, got 1"),
        ({"settings": [{"precision": "fp32", "threads": 1, "networks": 2}] * 2}, "distinct settings"),
        ({"protocol": {"passes": 1}}, "at least 2 passes"),
        ({"protocol": {"rounds": "many"}}, "rounds must be an integer"),
        ({"protocol": {"quantile": "low"}}, "quantile must be a number"),
        ({"protocol": {"sleep": 1}}, "unknown field 'sleep'"),
        ({"chains": {"contexts": "all"}}, "contexts must be a list of cells"),
        ({"chains": {"short": 0}}, "short must be an integer of at least 1"),
        ({"sample_seed": -1}, "sample_seed must be an integer"),
        ({"energy": {"networks": 1, "window_s": 1.0, "idle_s": 1.0}}, "whose energy is not available"),
        ({"skeleton": {"image_size": 7}}, "image_size must be a multiple of 2"),
        ({"about": ""}, "about must be text"),
    ],
)
def test_impossible_specifications_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_spec(tmp_path, fields(**changes))
    with pytest.raises(SpecError, match=message):
        DeviceTableSpec.read(path)


def test_kinds_of_specifications_are_told_apart(tmp_path: Path) -> None:
    assert is_device_table(write_spec(tmp_path, fields()))
    assert not is_device_table(ROOT / "hw_tables" / "nb201-gtsrb16-v1" / "spec.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    assert not is_device_table(tmp_path / "broken.yaml")


# ---------------------------------------------------------------------- tables


def build(tmp_path: Path, backend: KnownBackend | None = None, **changes: Any) -> dict[str, Table]:
    path = write_spec(tmp_path, fields(**changes))
    return build_device_table(
        DeviceTableSpec.read(path),
        root=tmp_path / "out",
        command="nasbench-mo table build hw_tables/tiny-v1/spec.yaml",
        spec_file=path,
        backend=backend,
    )


def test_a_device_of_known_costs_is_tabulated_exactly(tmp_path: Path, known: None) -> None:
    tables = build(tmp_path, KnownBackend(), settings=[{"precision": "fp32", "threads": 1, "networks": 40}])
    layers, networks = tables["tiny-v1"], tables["tiny-networks-v1"]
    shapes = workload("nb201", skeleton=SMALL).shapes
    expected = [layer_cost(s) + (KnownBackend.CALL if i == 0 else 0) for i, s in enumerate(shapes)]
    assert layers.archs == [shape_name(s) for s in shapes]
    for column in ("latency_fp32_t1_us", "latency_fp32_t1_pass1_us", "latency_fp32_t1_pass2_us"):
        np.testing.assert_allclose(layers[column], expected, rtol=1e-9)
    summed = ShapeCosts.load(tmp_path / "out" / "tiny-v1").evaluate(networks.encodings(), column="latency_fp32_t1_us")
    np.testing.assert_allclose(networks["latency_fp32_t1_us"], summed, rtol=1e-9)
    card = artifacts.read_card(tmp_path / "out" / "tiny-v1")
    figures = card["figures"][0]
    assert figures["table_against_networks"]["mape_percent"] == 0
    assert figures["table_against_networks"]["kendall_tau_b"] == pytest.approx(1, abs=1e-3)
    assert figures["second_pass_against_first"] == {
        "n": 40, "mape_percent": 0.0, "bias_percent": 0.0, "worst_percent": 0.0, "kendall_tau_b": 1.0,
    }  # fmt: skip
    assert 0 < figures["flops_kendall_tau_b"] < 1
    assert 0 < figures["networks_with_merged_layers"] < 40
    assert figures["table_against_networks_counting_all"]["mape_percent"] > 0


def test_a_setting_has_its_own_columns_and_its_own_number_of_networks(tmp_path: Path, known: None) -> None:
    tables = build(tmp_path, KnownBackend(), memory={"networks": 1})
    layers, networks = tables["tiny-v1"], tables["tiny-networks-v1"]
    assert [c for c in networks.columns if "memory" in c and "pass" not in c] == [
        "memory_fp32_t1_mib",
        "memory_int8_t1_mib",
    ]
    assert np.isfinite(networks["memory_fp32_t1_mib"]).sum() == 1
    assert not any("memory" in column for column in layers.columns)  # which does not add up over layers
    np.testing.assert_allclose(layers["latency_int8_t1_us"], layers["latency_fp32_t1_us"] / 2)
    assert np.isfinite(networks["latency_int8_t1_us"]).sum() == 2
    assert np.isfinite(networks["latency_fp32_t1_us"]).all()
    objective = layers.objectives["latency_int8_t1_us"]
    assert (objective.device, objective.runtime, objective.precision) == ("abacus", "beads 1", "int8")
    assert (objective.convention, objective.kind, objective.batch) == ("live", "measured", 1)
    np.testing.assert_array_equal(networks["macs_count"], workload("nb201", skeleton=SMALL).macs(networks.encodings()))


def test_cards_say_where_the_figures_come_from(tmp_path: Path, known: None) -> None:
    build(tmp_path, KnownBackend())
    for name, other in (("tiny-v1", "networks"), ("tiny-networks-v1", "layers")):
        card = artifacts.read_card(tmp_path / "out" / name)
        assert card["id"] == name
        assert card["command"] == f"nasbench-mo table build hw_tables/{name}/spec.yaml"
        assert card[other] in ("tiny-v1", "tiny-networks-v1")
        assert card["machine"] == {"machine": "one", "versions": {"beads": 1}}
        assert card["protocol"]["statistic"] == "10 % quantile"
        assert card["noise_floor"].startswith("0.00 % between two passes")
        assert card["skeleton"] == dataclasses.asdict(SMALL)
        assert card["objective"] == card["objectives"][0]
        assert card["superseded_by"] is None
        assert (tmp_path / "out" / name / "spec.yaml").read_text() == (tmp_path / "spec.yaml").read_text()
        text = (tmp_path / "out" / name / "card.md").read_text()
        assert "| latency_fp32_t1_us | 3 | 0.00 % |" in text
        assert max(len(line) for line in text.splitlines() if "|" not in line) <= 220


def test_the_noise_floor_is_the_difference_of_two_passes(tmp_path: Path, known: None) -> None:
    content = fields(
        settings=[{"precision": "fp32", "threads": 1, "networks": 5}], protocol={"rounds": 1, "layer_rounds": 1}
    )
    spec = DeviceTableSpec.read(write_spec(tmp_path, content))
    n_first = len(chain_plan(SMALL, contexts=CONTEXTS_4, short=1, layers=2).graphs) + 5
    build(tmp_path, KnownBackend(factor=lambda turn: 1.0 if turn <= n_first else 1.1), **content)
    figures = artifacts.read_card(tmp_path / "out" / spec.id)["figures"][0]
    assert figures["second_pass_against_first"]["mape_percent"] == pytest.approx(10)
    assert figures["second_pass_against_first"]["bias_percent"] == pytest.approx(10)
    assert figures["layers_second_pass_against_first_percent"] == pytest.approx(10, abs=0.2)


def test_an_interrupted_build_writes_nothing_and_goes_on(tmp_path: Path, known: None) -> None:
    first = KnownBackend(at_most=50)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, first)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["unfinished"]
    other = KnownBackend(machine="another")
    with pytest.raises(SpecError, match=r"other conditions: machine was 'one' and is 'another'"):
        build(tmp_path, other)
    with pytest.raises(SpecError, match=r"spec.protocol.runs was 1 and is 2"):
        build(tmp_path, KnownBackend(), protocol={"runs": 2})
    second = KnownBackend()
    build(tmp_path, second)
    whole = KnownBackend()
    (tmp_path / "whole").mkdir()
    build(tmp_path / "whole", whole)
    assert first.turns + second.turns == whole.turns
    assert other.turns == 0


def test_a_published_table_is_not_replaced_but_a_cut_off_writing_is_finished(tmp_path: Path, known: None) -> None:
    build(tmp_path, KnownBackend())
    with pytest.raises(SpecError, match=r"tiny-v1 exists and published artefacts are frozen"):
        build(tmp_path, KnownBackend())
    (tmp_path / "out" / "tiny-v1").rename(tmp_path / "gone")
    build(tmp_path, KnownBackend())  # of the same specification
    (tmp_path / "out" / "tiny-v1").rename(tmp_path / "gone again")
    with pytest.raises(SpecError, match=r"tiny-networks-v1 exists and published"):
        build(tmp_path, KnownBackend(), about="Another.")


# ---------------------------------------------------------------------- the real thing


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["nasbench-mo", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_command_measures_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [
        {"precision": "fp32", "threads": 1, "networks": 3},
        {"precision": "int8", "threads": "all", "networks": 2},
    ]
    path = write_spec(tmp_path, fields(settings=settings))
    command = ["table", "build", str(path), "--out", str(tmp_path / "out")]
    assert call(command, monkeypatch) == 0
    assert "tiny-v1" in capsys.readouterr().out
    layers, networks = (Table.open(tmp_path / "out" / name) for name in ("tiny-v1", "tiny-networks-v1"))
    assert len(layers) == 14
    assert np.isfinite(layers["latency_fp32_t1_us"]).all()
    assert (networks["latency_fp32_t1_us"] > 0).all()
    assert sum(name.startswith("latency_int8_t") for name in networks.columns) == 3
    assert "onnxruntime" in layers.objectives["latency_fp32_t1_us"].runtime
    costs = ShapeCosts.load(tmp_path / "out" / "tiny-v1")
    assert np.isfinite(costs.evaluate(networks.encodings(), column="latency_fp32_t1_us")).all()
    assert call(command, monkeypatch) == 2
    assert "published artefacts are frozen" in capsys.readouterr().err


def test_memory_grows_with_the_weights() -> None:
    small, large = (onnx_network(CONTEXTS[0], skeleton=Skeleton(n_cells=1, channels=c, image_size=8)) for c in (4, 128))
    n_bytes = 4 * workload("nb201", skeleton=Skeleton(n_cells=1, channels=128, image_size=8)).parameters(
        NB.encode([CONTEXTS[0]])
    )
    sizes = [resident_mib(model, n_threads=1) for model in (small, large)]
    assert sizes[1] - sizes[0] > 0.9 * n_bytes[0] / 2**20
    with pytest.raises(SpecError, match="the process that measures memory failed"):
        resident_mib(b"not a model", n_threads=1)
