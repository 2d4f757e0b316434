"""The accelerator model: by hand, against a slow oracle, its laws; and ZigZag beside it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from nasbench_mo import artifacts
from nasbench_mo.cli import main
from nasbench_mo.errors import ArtifactError, SpecError
from nasbench_mo.hardware import ShapeCosts, asic, zigzag_builder, zigzag_grid
from nasbench_mo.hardware.asic import EYERISS_LIKE, AsicConfig
from nasbench_mo.hardware.asic_comparison import agreement
from nasbench_mo.hardware.asic_mapping import fewest_steps, loop_sizes, relevant_loops, unrollings
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.hardware.workload import workload
from nasbench_mo.hardware.zigzag_builder import Mapped
from nasbench_mo.hardware.zigzag_grid import GridSpec, Journal, build_grid, fill, shape_name
from nasbench_mo.table import Table

DATAFLOWS = ("row_stationary", "weight_stationary", "output_stationary")


def conv(channels: int, out: int, size: int, **rest: int) -> LayerShape:
    return LayerShape(operator="conv", in_channels=channels, out_channels=out, in_size=size, **rest)


def channelwise(operator: Any, channels: int, size: int, **rest: int) -> LayerShape:
    return LayerShape(operator=operator, in_channels=channels, out_channels=channels, in_size=size, **rest)


SHAPES = [
    conv(3, 16, 32, kernel=3),
    conv(16, 16, 32),
    conv(64, 64, 8, kernel=3),
    conv(32, 64, 16, kernel=3, stride=2),
    conv(24, 24, 16, kernel=5, groups=24),
    channelwise("avg_pool", 16, 32, kernel=3),
    channelwise("avg_pool", 32, 16, kernel=2, stride=2),
    channelwise("add", 16, 32),
    channelwise("global_pool", 64, 8),
    LayerShape(operator="linear", in_channels=64, out_channels=10, in_size=1),
]
sizes = st.integers(1, 40)
configurations = st.builds(
    AsicConfig,
    pe_rows=sizes,
    pe_cols=sizes,
    buffer_kb=st.integers(1, 2000),
    bits=st.sampled_from([8, 16]),
    dataflow=st.sampled_from(DATAFLOWS),
    buffer_bits_per_cycle=st.integers(1, 2000),
    dram_bits_per_cycle=st.integers(1, 500),
    clock_mhz=st.sampled_from([50.0, 200.0, 1000.0]),
)


def some_configs(n: int, *, seed: int) -> list[AsicConfig]:
    """Random accelerators: many in one call is what the model is fast at."""
    rng = np.random.default_rng(seed)
    return [
        AsicConfig(
            pe_rows=int(rng.integers(1, 41)),
            pe_cols=int(rng.integers(1, 41)),
            buffer_kb=int(rng.choice([1, 8, 32, 95, 108, 256, 1024])),
            bits=int(rng.choice([8, 16])),
            dataflow=DATAFLOWS[int(rng.integers(3))],  # type: ignore[arg-type]
            buffer_bits_per_cycle=int(rng.choice([8, 64, 100, 512])),
            dram_bits_per_cycle=int(rng.choice([4, 32, 128])),
            clock_mhz=float(rng.choice([50.0, 200.0, 1000.0])),
        )
        for _ in range(n)
    ]


CONFIGS = some_configs(150, seed=0)


# ---------------------------------------------------------------------- by hand


def test_a_layer_of_eight_products_on_one_element_by_hand() -> None:
    """Two outputs of four inputs, one PE with 2 input, 2 weight and 24 sum words, 8-bit ports.

    Channels outside, outputs inside: an input rests for two steps, 4 loads of one word. Two weights come together,
    4 loads of two words. Both sums stay. So 12 cycles of reading (4 + 8) hide 8 steps and the first 3 loads.
    """
    shape = LayerShape(operator="linear", in_channels=4, out_channels=2, in_size=1)
    config = AsicConfig(
        pe_rows=1,
        pe_cols=1,
        buffer_kb=64,
        bits=8,
        dataflow="output_stationary",
        buffer_bits_per_cycle=8,
        dram_bits_per_cycle=8,
    )
    registers = 8 * (4 + 4) + 8 * (8 + 8) + 8 * 2 * 32 + 2 * 8  # inputs, weights, sums in and out, results away
    buffer = 8 * 4 + 8 * 8 + 8 * 2
    energy = 8 * 0.3 + registers * 0.9 / 16 + buffer * 3.54 * math.sqrt(64) / 64
    assert asic.cycles([shape], [config]).tolist() == [[12.0]]
    assert asic.energy_pj([shape], [config])[0, 0] == pytest.approx(energy)


def test_an_addition_is_bound_by_the_buffer_by_hand() -> None:
    """Two inputs of 16 x 32 x 32 words through a port of 16 words: 2,048 cycles, and the last result to write."""
    found_cycles, energy = asic.costs([channelwise("add", 16, 32)], [dataclasses.replace(EYERISS_LIKE, pe_rows=16)])
    words = 16 * 32 * 32
    registers = 16 * words * (1 + 1 + 1 + 1 + 1 + 1)  # two operands and the result, each written and read once
    buffer = 16 * words * 3
    expected = words * 0.1 + registers * 0.9 / 16 + buffer * 3.54 * math.sqrt(108) / 64
    assert energy[0, 0] == pytest.approx(expected)
    assert 2048 <= found_cycles[0, 0] < 2048 + 200


def test_area_by_hand() -> None:
    n_pe, bits = 12 * 14, (12 + 224) * 16 + 24 * 32
    multiplier = math.sqrt(282 * 282 * 3495 / 282)  # the geometric mean of 8 and 32 bit: halfway on a power law
    expected = n_pe * ((multiplier + 137) * 1e-6 + 4 * 0.0034 * bits / 8192) + 108 * 0.0034
    assert asic.area_mm2([EYERISS_LIKE]).tolist() == pytest.approx([expected])


def test_what_does_not_fit_pays_for_dram() -> None:
    """An addition of 16 bit needs 96 KB; in 95 it moves everything through DRAM at 1,300 pJ a 64-bit access."""
    shape = channelwise("add", 16, 32)
    inside, outside = (dataclasses.replace(EYERISS_LIKE, buffer_kb=kb) for kb in (96, 95))
    assert inside.fits(shape) and not outside.fits(shape)
    dram_bits = 16 * 3 * 16 * 32 * 32
    extra = np.diff(asic.energy_pj([shape], [inside, outside]))[0, 0]
    access = 3.54 * math.sqrt(95) / 64  # each of these bits passes the buffer once more
    assert extra == pytest.approx(dram_bits * (1300 / 64 + access), rel=2e-3)
    assert asic.cycles([shape], [outside])[0, 0] >= dram_bits / 64


def test_windows_that_overlap_are_read_again_when_the_inputs_do_not_fit() -> None:
    """A 3x3 convolution, one column at a time: three columns of pixels are read for each column of results."""
    shape = conv(16, 16, 32, kernel=3)
    column = dataclasses.replace(EYERISS_LIKE, dataflow="weight_stationary", pe_rows=8, pe_cols=8)
    narrow = dataclasses.replace(column, buffer_kb=32, dram_bits_per_cycle=1)  # DRAM decides alone
    held = dataclasses.replace(column, buffer_kb=64, dram_bits_per_cycle=1)
    assert not held.fits(shape)
    pixels, weights = 16 * 32 * 32 * 16, 16 * 16 * 9 * 16
    once, thrice = asic.cycles([shape], [held, narrow])[0]
    assert thrice - once == pytest.approx(2 * pixels, rel=0.01)
    assert once == pytest.approx(2 * pixels + weights, rel=0.05)


# ---------------------------------------------------------------------- oracles


def test_many_configurations_at_once_equal_one_by_one() -> None:
    together = asic.costs(SHAPES, CONFIGS)
    for j in range(0, len(CONFIGS), 12):
        alone = asic.costs(SHAPES, [CONFIGS[j]])
        np.testing.assert_array_equal(alone[0][:, 0], together[0][:, j])
        np.testing.assert_array_equal(alone[1][:, 0], together[1][:, j])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [dataclasses.replace(EYERISS_LIKE, pe_rows=rows) for rows in range(1, 12)]
    whole = asic.costs(SHAPES, configs)
    monkeypatch.setattr(asic, "_CHUNK", 4)
    np.testing.assert_array_equal(asic.costs(SHAPES, configs), whole)


def touched(shape: LayerShape, operand: str, ranges: dict[str, range]) -> frozenset[tuple[int, ...]]:
    """Coordinates of the elements of an operand under some iterations, one by one."""
    if operand != "I" or shape.operator == "add":
        return frozenset(itertools.product(*(ranges[loop] for loop in relevant_loops(shape, operand))))  # type: ignore[arg-type]
    pad = max((shape.out_size - 1) * shape.stride + kernel_of(shape) - shape.in_size, 0) // 2

    def pixels(outputs: range, kernel: range) -> set[int]:
        at = {o * shape.stride + k - pad for o in outputs for k in kernel}
        return {x for x in at if 0 <= x < shape.in_size}

    channels = itertools.product(ranges["G"], ranges.get("C", range(1)))
    rows, cols = pixels(ranges["OY"], ranges["FY"]), pixels(ranges["OX"], ranges["FX"])
    return frozenset((*c, y, x) for c in channels for y in rows for x in cols)


def kernel_of(shape: LayerShape) -> int:
    return shape.in_size if shape.operator == "global_pool" else shape.kernel


def walk(shape: LayerShape, operand: str, order: list[str], capacity: int) -> tuple[int, int]:
    """How often the registers of one PE change their content, and its size, by running through the layer."""
    n: dict[str, int] = dict(loop_sizes(shape))  # type: ignore[arg-type]
    held = 0
    for depth in range(len(order) + 1):
        tiles = all_tiles(n, order, inside=order[:depth])
        if max(len(touched(shape, operand, tile)) for tile in tiles) > capacity:
            break
        held = depth
    content, changes = None, 0
    size = 0
    for tile in all_tiles(n, order, inside=order[:held]):
        now = touched(shape, operand, tile)
        size = max(size, len(now))
        changes += now != content
        content = now
    return changes, size


def all_tiles(n: dict[str, int], order: list[str], *, inside: list[str]) -> list[dict[str, range]]:
    """The iterations in order, innermost loop first in ``order``, those inside taken together."""
    outside = [loop for loop in order if loop not in inside]
    return [
        {loop: range(n[loop]) for loop in inside}
        | {loop: range(i, i + 1) for loop, i in zip(reversed(outside), index, strict=True)}
        for index in itertools.product(*(range(n[loop]) for loop in reversed(outside)))
    ]


@settings(deadline=None, max_examples=80)
@given(
    shape=st.sampled_from(
        [
            conv(2, 3, 4),
            conv(3, 2, 5, kernel=3),
            conv(2, 2, 6, kernel=3, stride=2),
            conv(2, 2, 4, kernel=2, stride=2),
            conv(4, 4, 4, groups=2),
            channelwise("avg_pool", 2, 5, kernel=3),
            channelwise("add", 3, 4),
            channelwise("global_pool", 3, 4),
        ]
    ),
    operand=st.sampled_from(["I", "W", "O"]),
    capacity=st.integers(1, 40),
    data=st.data(),
)
def test_what_registers_hold_equals_walking_through_the_layer(
    shape: LayerShape, operand: str, capacity: int, data: st.DataObject
) -> None:
    order: list[Any] = data.draw(st.permutations(list(loop_sizes(shape))))
    in_time = {loop: np.array([float(n)]) for loop, n in loop_sizes(shape).items()}
    inside, _ = asic._in_registers(shape, operand, order, in_time=in_time, capacity=np.array([float(capacity)]))  # type: ignore[arg-type]
    periods = math.prod(loop_sizes(shape).values()) / math.prod(float(v[0]) for v in inside.values())
    changes, size = walk(shape, operand, order, capacity)
    # kernel positions that fall on padding make neighbouring contents equal; the model does not look that closely
    if operand != "I" or shape.kernel <= shape.stride:
        assert periods == changes
    assert periods >= changes
    assert asic._tile(shape, operand, inside)[0] == size  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    shape=st.sampled_from(SHAPES),
    dataflow=st.sampled_from(DATAFLOWS),
    arrays=st.lists(st.tuples(sizes, sizes), min_size=1),
)
def test_the_fast_choice_of_unrollings_is_close_to_trying_all(
    shape: LayerShape, dataflow: Any, arrays: list[tuple[int, int]]
) -> None:
    rows, cols = np.array(arrays).T
    found = fewest_steps(shape, dataflow, pe_rows=rows, pe_cols=cols, top=2)
    n = loop_sizes(shape)
    factors = np.stack([found[loop] for loop in n])
    assert (factors >= 1).all()
    assert (factors <= np.array(list(n.values()))[:, None, None]).all()
    assert (factors.prod(axis=0) <= rows * cols).all()
    steps = np.prod([np.ceil(size / found[loop]) for loop, size in n.items()], axis=0)
    assert (steps[0] <= steps[1]).all()
    for j, (pe_rows, pe_cols) in enumerate(arrays):
        best = unrollings(shape, dataflow, pe_rows=pe_rows, pe_cols=pe_cols, top=1)[0]
        assert steps[0, j] <= 1.34 * best.steps
        if shape.groups == 1:
            assert steps[0, j] >= best.steps


# ---------------------------------------------------------------------- laws


def changed(**changes: Any) -> list[AsicConfig]:
    return [dataclasses.replace(config, **changes) for config in CONFIGS]


def test_costs_are_never_below_the_work() -> None:
    found_cycles, energy = asic.costs(SHAPES, CONFIGS)
    macs = np.array([shape.macs for shape in SHAPES])[:, None]
    assert (found_cycles >= np.maximum(macs / np.array([c.pe_rows * c.pe_cols for c in CONFIGS]), 1)).all()
    assert (energy > macs * np.array([asic.MAC_PJ[c.bits] for c in CONFIGS])).all()
    written = np.array([shape.outputs for shape in SHAPES])[:, None] * np.array([c.bits for c in CONFIGS])
    assert (found_cycles >= written / np.array([c.buffer_bits_per_cycle for c in CONFIGS])).all()


def test_wider_words_cost_more() -> None:
    # of the mapping with the smallest product of energy and cycles: so it is the product that must grow
    narrow, wide = (np.multiply(*asic.costs(SHAPES, changed(bits=bits))) for bits in (8, 16))
    assert (narrow < wide).all()
    narrow, wide = (asic.energy_pj(SHAPES, changed(bits=bits, buffer_bits_per_cycle=1 << 20)) for bits in (8, 16))
    assert (narrow.sum(axis=0) < wide.sum(axis=0)).all()


@pytest.mark.parametrize("port", ["buffer_bits_per_cycle", "dram_bits_per_cycle"])
def test_a_port_twice_as_wide_never_makes_the_product_of_energy_and_cycles_worse(port: str) -> None:
    doubled = [dataclasses.replace(config, **{port: 2 * getattr(config, port)}) for config in CONFIGS]
    before, after = (np.multiply(*asic.costs(SHAPES, configs)) for configs in (CONFIGS, doubled))
    assert (after <= before * (1 + 1e-12)).all()
    assert (after < before).any()


def test_an_array_twice_as_large_is_never_slower_where_arithmetic_decides() -> None:
    shapes = [shape for shape in SHAPES if shape.operator == "conv" and shape.groups == 1]
    for dataflow in DATAFLOWS:
        configs = [
            dataclasses.replace(
                EYERISS_LIKE, pe_rows=n, pe_cols=n, dataflow=dataflow, buffer_kb=1024, buffer_bits_per_cycle=1 << 16
            )
            for n in (1, 2, 4, 8, 16, 32)
        ]
        found = asic.cycles(shapes, configs)
        assert (np.diff(found, axis=1) <= 0).all()
        assert (found[:, -1] < found[:, 0] / 8).all()


@settings(deadline=None, max_examples=60)
@given(shape=st.sampled_from(SHAPES), rows=sizes, cols=sizes, more=st.integers(0, 10))
def test_more_elements_never_need_more_steps(shape: LayerShape, rows: int, cols: int, more: int) -> None:
    def steps(pe_rows: int, pe_cols: int) -> int:
        return unrollings(shape, "weight_stationary", pe_rows=pe_rows, pe_cols=pe_cols, top=1)[0].steps

    assert steps(rows + more, cols) <= steps(rows, cols)
    assert steps(rows, cols + more) <= steps(rows, cols)


def test_the_clock_changes_milliseconds_and_nothing_else() -> None:
    fast = [dataclasses.replace(config, clock_mhz=2 * config.clock_mhz) for config in CONFIGS]
    latency = asic.latency_ms(SHAPES, CONFIGS)
    np.testing.assert_allclose(asic.latency_ms(SHAPES, fast), latency / 2, rtol=1e-12)
    clocks = np.array([config.clock_mhz for config in CONFIGS])
    np.testing.assert_allclose(latency * clocks * 1e3, asic.cycles(SHAPES, CONFIGS))
    np.testing.assert_array_equal(asic.energy_pj(SHAPES, fast), asic.energy_pj(SHAPES, CONFIGS))


@pytest.mark.parametrize("part", ["pe_rows", "pe_cols", "buffer_kb"])
def test_every_part_takes_area(part: str) -> None:
    larger = [dataclasses.replace(config, **{part: getattr(config, part) + 1}) for config in CONFIGS]
    assert (asic.area_mm2(larger) > asic.area_mm2(CONFIGS)).all()


# ---------------------------------------------------------------------- comparison


def test_the_model_agrees_with_itself_and_not_with_another() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, size=(200, len(SHAPES)))
    configs = CONFIGS[:3]
    cycles, energy = asic.costs(SHAPES, configs)
    cycles[0, 1] = np.nan
    same, doubled = agreement(counts, SHAPES, configs, cycles=cycles, energy_pj=energy * 2)
    assert np.isnan([same.tau[1], same.mape[1]]).all()
    for j in (0, 2):
        assert (same.tau[j], same.mape[j]) == (pytest.approx(1), 0)
        assert (doubled.tau[j], doubled.mape[j], doubled.bias[j]) == (pytest.approx(1), 0.5, -0.5)
    reversed_ = agreement(counts, SHAPES, configs, cycles=-cycles, energy_pj=energy)[0]
    assert reversed_.tau[0] == pytest.approx(-1)
    with pytest.raises(SpecError, match=r"costs of 10 shapes on 2 accelerators .* got \(10, 3\) and \(200, 10\)"):
        agreement(counts, SHAPES, configs[:2], cycles=cycles, energy_pj=energy)


def test_the_model_agrees_with_zigzag_on_the_published_grid() -> None:
    """On accelerators that it was not fitted to, but for one constant. Both are models."""
    cycles, energy = (
        Table.open(artifacts.resolve("hw_tables", f"nb201-asicgrid-{c}-modelled-v1")) for c in ("cycles", "energy")
    )
    work = workload("nb201")
    assert cycles.archs == energy.archs
    shapes = [next(s for s in work.shapes if shape_name(s) == name) for name in cycles.archs]
    configs = [AsicConfig.from_name(c.removeprefix("latency_").removesuffix("_cycles")) for c in cycles.columns]
    assert len(configs) >= 100
    assert "energy_" + configs[0].name + "_uj" == energy.columns[0]
    X = work.space.sample(400, rng=np.random.default_rng(0))
    counts = work.counts(X)[:, [work.shapes.index(s) for s in shapes]]
    times, energies = agreement(
        counts, shapes, configs, cycles=cycles.matrix(cycles.columns), energy_pj=1e6 * energy.matrix(energy.columns)
    )
    assert times.summary()["tau_median"] > 0.98
    assert times.summary()["tau_worst"] > 0.9
    assert times.summary()["mape_worst"] < 0.15
    assert energies.summary()["tau_worst"] > 0.93
    assert energies.summary()["mape_worst"] < 0.25
    assert times.summary()["accelerators"] > 100


def test_zigzag_ranks_fbnet_as_hw_nas_bench_and_better_than_flops(shared: Path) -> None:
    """A comparison with another simulation's published column; no chip is involved."""
    with np.load(shared / "help-latency" / "help_fbnet.npz") as data:
        X, published = data["op_idx"].astype(np.int64), data["lat_eyeriss"].astype(np.float64).round(5)
    table = Table.open(artifacts.resolve("hw_tables", "fbnet-asic-cycles-modelled-v1"))
    work = workload("fbnet")
    cycles = ShapeCosts(table, workload=work).evaluate(X, column=table.columns[0])
    cost_of = dict(zip(table.archs, table[table.columns[0]].tolist(), strict=True))
    additions = np.array([cost_of[shape_name(s)] * (s.operator == "add") for s in work.shapes])
    flops = kendalltau(work.macs(X), published).statistic
    assert flops == pytest.approx(0.841, abs=2e-3)
    # The column sums tables of convolutional blocks; whether they hold the additions between is not documented.
    assert kendalltau((cycles - work.counts(X) @ additions).round(3), published).statistic >= 0.86
    assert kendalltau(cycles.round(3), published).statistic >= 0.855


# ---------------------------------------------------------------------- input


@settings(deadline=None)
@given(config=configurations)
def test_a_configuration_is_its_name(config: AsicConfig) -> None:
    assert AsicConfig.from_name(config.name, clock_mhz=config.clock_mhz) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pe_rows": 0}, "pe_rows must be a positive integer, got 0"),
        ({"pe_cols": -3}, "pe_cols must be a positive integer, got -3"),
        ({"buffer_kb": 1.5}, "buffer_kb must be a positive integer, got 1.5"),
        ({"buffer_bits_per_cycle": True}, "buffer_bits_per_cycle must be a positive integer, got True"),
        ({"dram_bits_per_cycle": "64"}, "dram_bits_per_cycle must be a positive integer, got '64'"),
        ({"bits": 32}, "bits must be one of 8, 16; got 32"),
        ({"dataflow": "no_local_reuse"}, "dataflow must be one of row_stationary, .*; got 'no_local_reuse'"),
        ({"clock_mhz": 0}, "clock_mhz must be a positive number, got 0"),
        ({"clock_mhz": math.nan}, "clock_mhz must be a positive number, got nan"),
    ],
)
def test_an_impossible_accelerator_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(EYERISS_LIKE, **changes)


@pytest.mark.parametrize("name", ["", "12x14", "12x14_108kb_16b_nlr_256_64", "12x14_108kb_16b_rs_256_64_ms"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="expected one like 12x14_108kb_16b_rs_256_64"):
        AsicConfig.from_name(name)


def test_no_shapes_and_no_accelerators_give_empty_arrays() -> None:
    assert asic.cycles([], [EYERISS_LIKE]).shape == (0, 1)
    assert asic.energy_pj(SHAPES, []).shape == (len(SHAPES), 0)


# ---------------------------------------------------------------------- ZigZag


def test_zigzag_maps_a_layer_silently_and_alike_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("zigzag")
    monkeypatch.chdir(tmp_path)
    shape = conv(16, 32, 16)
    first = zigzag_builder.evaluate(shape, EYERISS_LIKE)
    assert first is not None
    assert zigzag_builder.evaluate(shape, EYERISS_LIKE) == first
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    found_cycles, energy = asic.costs([shape], [EYERISS_LIKE])
    assert found_cycles[0, 0] == pytest.approx(first.cycles, rel=0.1)
    assert energy[0, 0] == pytest.approx(first.energy_pj, rel=0.05)


def test_zigzag_counts_every_word_of_a_ragged_mapping() -> None:
    """Two inputs of 16 x 32 x 32 words of 16 bit through a 256-bit port; rounding down gave 1,408 cycles."""
    pytest.importorskip("zigzag")
    found = zigzag_builder.evaluate(channelwise("add", 16, 32), EYERISS_LIKE)
    assert found is not None
    assert 2 * 16 * 32 * 32 * 16 / 256 <= found.cycles < 2300


def test_zigzag_uses_dram_only_where_a_layer_does_not_fit() -> None:
    pytest.importorskip("zigzag")
    shape = conv(16, 16, 16)
    energies = []
    for buffer_kb in (32, 16):
        found = zigzag_builder.evaluate(shape, dataclasses.replace(EYERISS_LIKE, buffer_kb=buffer_kb))
        assert found is not None
        energies.append(found.energy_pj)
    moved = (shape.inputs + shape.weights + shape.outputs) * 16
    assert energies[1] - energies[0] == pytest.approx(moved * 1300 / 64, rel=0.05)


def test_zigzag_says_what_it_cannot_map() -> None:
    pytest.importorskip("zigzag")
    tiny = dataclasses.replace(EYERISS_LIKE, buffer_kb=4)
    assert zigzag_builder.evaluate(conv(64, 64, 8), tiny) is None


# ---------------------------------------------------------------------- the grid


SPEC = GridSpec(
    id="toy-asicgrid-{cost}-modelled-v1",
    space="nb201",
    arrays=((2, 3), (4, 4)),
    buffer_kb=(1, 64),
    bits=(8,),
    dataflows=("weight_stationary",),
    bandwidths=((64, 16), (64, 32)),
    shapes=(conv(4, 4, 8), channelwise("add", 4, 8), conv(64, 64, 8)),
    about="A toy.",
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A model without ZigZag, and what it was asked: the large layer is infeasible in the small buffer."""
    asked: list[tuple[str, str]] = []

    def evaluate(shape: LayerShape, config: AsicConfig) -> Mapped | None:
        asked.append((config.name, shape_name(shape)))
        if shape.in_channels == 64 and config.buffer_kb == 1:
            return None
        return Mapped(cycles=float(config.pe_rows), energy_pj=1e6 * config.buffer_kb + config.dram_bits_per_cycle)

    monkeypatch.setattr(zigzag_builder, "evaluate", evaluate)
    monkeypatch.setattr(zigzag_builder, "version", lambda: "toy 1.0")
    return asked


def test_a_grid_becomes_one_table_for_each_cost(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    seen: list[tuple[int, int]] = []
    tables = build_grid(
        SPEC, out=tmp_path / "out", work=tmp_path / "work", command="made up", progress=lambda *a: seen.append(a)
    )
    configs = SPEC.configs()
    assert len(configs) == 8
    cycles, energy = (tables[cost].matrix(tables[cost].columns) for cost in ("cycles", "energy"))
    assert cycles.shape == energy.shape == (3, 8)
    assert tables["cycles"].archs == ["conv_4x4_in8_k1_s1", "add_4x4_in8_k1_s1", "conv_64x64_in8_k1_s1"]
    assert cycles[0].tolist() == [2.0] * 4 + [4.0] * 4
    small = np.array([config.buffer_kb == 1 for config in configs])
    assert np.isnan(cycles[2]).tolist() == small.tolist()
    for config, column in zip(configs, tables["energy"].columns, strict=True):
        objective = tables["energy"].objectives[column]
        assert column == f"energy_{config.name}_uj"
        assert (objective.kind, objective.precision, objective.batch) == ("modelled", "int8", 1)
        assert objective.device is not None
        assert AsicConfig.from_name(objective.device.removeprefix("asic ")) == config
    # what needs no DRAM is computed once for both DRAM bandwidths
    fitting = [config.fits(shape) for config in configs for shape in SPEC.shapes]
    assert len(calls) == len(set(calls)) == len(fitting) - sum(fitting) // 2
    assert seen[0][0] == 0 and seen[-1] == (len(calls), len(calls))
    card = artifacts.read_card(tmp_path / "out" / "toy-asicgrid-energy-modelled-v1")
    assert (card["kind"], card["infeasible_layers"]) == ("modelled", 4)
    assert card["accelerators_with_infeasible_layers"] == [c.name for c in configs if c.buffer_kb == 1]
    assert card["model"]["constants"]["DRAM_PJ"] == asic.DRAM_PJ
    with pytest.raises(SpecError, match="published artefacts are frozen"):
        build_grid(SPEC, out=tmp_path / "out", work=tmp_path / "work", command="again")


def test_a_build_that_was_killed_goes_on(
    tmp_path: Path, calls: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_grid(SPEC, out=tmp_path / "whole", work=tmp_path / "w0", command="x")
    everything = list(calls)
    calls.clear()
    model = zigzag_builder.evaluate

    def killed(shape: LayerShape, config: AsicConfig) -> Mapped | None:
        if len(calls) == 5:
            raise KeyboardInterrupt
        return model(shape, config)

    monkeypatch.setattr(zigzag_builder, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        build_grid(SPEC, out=tmp_path / "out", work=tmp_path / "work", command="x")
    assert not (tmp_path / "out").exists()
    with (tmp_path / "work" / "journal.jsonl").open("ab") as stream:
        stream.write(b'{"config": "2x3_64')  # cut off in the middle of a line
    monkeypatch.setattr(zigzag_builder, "evaluate", model)
    resumed = build_grid(SPEC, out=tmp_path / "out", work=tmp_path / "work", command="x")
    assert calls == everything
    for cost in ("cycles", "energy"):
        columns = whole[cost].columns
        assert resumed[cost].content_hash(columns) == whole[cost].content_hash(columns)


@pytest.mark.usefixtures("calls")
def test_a_journal_keeps_models_apart_and_is_used_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path, identity=zigzag_grid.identity()) as journal:
        fill(journal, SPEC.configs()[:1], shapes=SPEC.shapes)
        with pytest.raises(SpecError, match="another builder works in"):
            Journal(tmp_path, identity=zigzag_grid.identity()).__enter__()
    monkeypatch.setattr(asic, "DRAM_PJ", 2600.0)
    with pytest.raises(SpecError, match="begun with another model"):
        Journal(tmp_path, identity=zigzag_grid.identity()).__enter__()
    monkeypatch.undo()


@pytest.mark.usefixtures("calls")
def test_a_damaged_journal_is_refused_by_its_line(tmp_path: Path) -> None:
    with Journal(tmp_path, identity=zigzag_grid.identity()) as journal:
        fill(journal, SPEC.configs()[:1], shapes=SPEC.shapes)
    path = tmp_path / "journal.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], '{"config": 3}', *lines[2:], ""]), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"journal.jsonl, line 2 is damaged .*; delete the line"):
        Journal(tmp_path, identity=zigzag_grid.identity()).__enter__()


def grid_file(folder: Path, **changes: Any) -> Path:
    fields = {
        name: getattr(SPEC, name) for name in ("id", "space", "arrays", "buffer_kb", "bits", "dataflows", "about")
    }
    fields |= {"bandwidths": SPEC.bandwidths, "shapes": [dataclasses.asdict(shape) for shape in SPEC.shapes], **changes}
    path = folder / "spec.yaml"
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}), encoding="utf-8")
    return path


def test_a_grid_specification_is_read(tmp_path: Path) -> None:
    assert GridSpec.read(grid_file(tmp_path)) == SPEC


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "toy-v1"}, "must contain '{cost}'"),
        ({"bits": []}, "bits must be a list of distinct values"),
        ({"bits": 8}, "bits must be a list, got 8"),
        ({"buffer_kb": [64, 64]}, "buffer_kb must be a list of distinct values"),
        ({"bits": [4]}, "bits must be one of 8, 16; got 4"),
        ({"arrays": [[2, 3, 4]]}, "arrays: expected pairs of integers"),
        ({"shapes": [{"operator": "conv"}]}, "the field 'in_channels' is missing"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"about": None}, "the field 'about' is missing"),
    ],
)
def test_an_impossible_grid_specification_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        GridSpec.read(grid_file(tmp_path, **changes))


def test_the_command_builds_a_grid(
    tmp_path: Path, calls: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["nasbench-mo", "table", "build", str(grid_file(tmp_path)), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert calls
    assert capsys.readouterr().out.count("wrote") == 2
    card = artifacts.read_card(out / "toy-asicgrid-cycles-modelled-v1")
    assert card["command"] == f"nasbench-mo table build {tmp_path / 'spec.yaml'}"
