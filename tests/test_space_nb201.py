"""NAS-Bench-201's cells against slow obvious versions, published code and the published data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor import feature_map
from nasbench_mo.space.nb201 import AVG_POOL, CONV1X1, CONV3X3, EDGES, NB201, NONE, OPERATIONS, SKIP, Skeleton

SPACE = NB201()
X = SPACE.enumerate()
DATASETS = {"c10": "cifar10", "c100": "cifar100", "in16": "imagenet16-120"}

Cell = tuple[int, ...]
CELLS: list[Cell] = [tuple(row) for row in X.tolist()]


# ---------------------------------------------------------------------- slow obvious versions


def live_paths(cell: Sequence[int], *, node: int = 0) -> list[list[int]]:
    """Every path of edges from a node to the output that meets no ``none``, by recursion."""
    if node == 3:
        return [[]]
    return [
        [edge, *rest]
        for edge, (source, target) in enumerate(EDGES)
        if source == node and cell[edge] != NONE
        for rest in live_paths(cell, node=target)
    ]


def live_cell(cell: Sequence[int]) -> Cell:
    on_path = {edge for path in live_paths(cell) for edge in path}
    return tuple(op if edge in on_path else NONE for edge, op in enumerate(cell))


def layers(cell: Sequence[int], *, n_classes: int, image_size: int) -> list[tuple[str, int, int]]:
    """Every layer with weights or multiply-accumulates: (kind, parameters, multiply-accumulates).

    The network of Dong & Yang, "NAS-Bench-201", section 2.1: a 3x3 stem with normalisation, five cells, a residual
    block of stride 2, five cells, another one, five cells; normalisation, pooling, a linear classifier with bias.
    """

    def conv(kernel: int, c_in: int, c_out: int, *, size: int, normalised: bool = True) -> tuple[str, int, int]:
        weights = kernel * kernel * c_in * c_out
        return "conv", weights + (2 * c_out if normalised else 0), weights * size * size

    found = [conv(3, 3, 16, size=image_size)]
    width, size = 16, image_size
    for stage in range(3):
        if stage:
            size //= 2
            found.append(conv(3, width, 2 * width, size=size))
            found.append(conv(3, 2 * width, 2 * width, size=size))
            found.append(conv(1, width, 2 * width, size=size, normalised=False))
            width *= 2
        for _ in range(5):
            for op in cell:
                if op == CONV1X1:
                    found.append(conv(1, width, width, size=size))
                elif op == CONV3X3:
                    found.append(conv(3, width, width, size=size))
    found.append(("normalisation", 2 * width, 0))
    found.append(("linear", width * n_classes + n_classes, width * n_classes + n_classes))
    return found


_PRIME = 2_147_483_629  # below 2**31, so that a product of two residues fits int64


def cell_values(*, seed: int) -> NDArray[np.int64]:
    """What every cell computes when its operations are random polynomials without constant term, modulo a prime.

    Sums and skips are what they are, ``none`` gives 0, and an operation on 0 gives 0; two cells give the same number
    for random polynomials only where they are the same function whatever the operations are.
    """
    rng = np.random.default_rng(seed)
    image = int(rng.integers(1, _PRIME))
    coefficients = {op: rng.integers(1, _PRIME, size=3).tolist() for op in (CONV1X1, CONV3X3, AVG_POOL)}
    nodes = np.zeros((4, len(X)), dtype=np.int64)
    nodes[0] = image
    for edge, (source, target) in enumerate(EDGES):
        out = np.zeros(len(X), dtype=np.int64)
        out[X[:, edge] == SKIP] = nodes[source][X[:, edge] == SKIP]
        for op, (a, b, c) in coefficients.items():
            x = nodes[source]
            value = (((c * x + b) % _PRIME * x + a) % _PRIME * x) % _PRIME
            out[X[:, edge] == op] = value[X[:, edge] == op]
        nodes[target] = (nodes[target] + out) % _PRIME
    return nodes[3]


def partition(keys: Iterable[Hashable]) -> set[frozenset[int]]:
    """The classes that keys make, as sets of row numbers."""
    members: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        members[key].append(row)
    return {frozenset(rows) for rows in members.values()}


def classes(equivalence: Any) -> set[frozenset[int]]:
    return partition(SPACE.codes(SPACE.canonical(X, equivalence=equivalence)).tolist())


# ---------------------------------------------------------------------- live operations


def test_live_equals_path_enumeration() -> None:
    assert SPACE.live(X).tolist() == [list(live_cell(cell)) for cell in CELLS]


def test_degenerate_cells_are_those_without_a_live_path() -> None:
    assert SPACE.degenerate(X).tolist() == [not live_paths(cell) for cell in CELLS]
    assert int(SPACE.degenerate(X).sum()) == 341


def test_a_cell_is_degenerate_exactly_where_nothing_is_live() -> None:
    np.testing.assert_array_equal(SPACE.degenerate(X), (SPACE.live(X) == NONE).all(axis=1))


def test_live_is_idempotent_and_keeps_the_function() -> None:
    live = SPACE.live(X)
    np.testing.assert_array_equal(SPACE.live(live), live)
    np.testing.assert_array_equal(SPACE.equivalence_class(live), SPACE.equivalence_class(X))


@pytest.mark.parametrize("convention", ["all", "live"])
def test_operation_counts_equal_counting_one_by_one(convention: Any) -> None:
    counted = [Counter(cell if convention == "all" else live_cell(cell)) for cell in CELLS]
    expected = [[count[op] for op in range(5)] for count in counted]
    np.testing.assert_array_equal(SPACE.operation_counts(X, convention=convention), expected)


# ---------------------------------------------------------------------- equivalence


@cache
def sizes() -> dict[str, int]:
    return {name: len(classes(name)) for name in ("published", "function")}


def test_there_are_6466_published_classes_and_4930_functions() -> None:
    # 6,466: Dong & Yang, "NAS-Bench-201", section 2.1
    assert sizes() == {"published": 6466, "function": 4930}


def test_function_classes_equal_those_of_random_polynomials() -> None:
    values = zip(cell_values(seed=0).tolist(), cell_values(seed=1).tolist(), strict=True)
    assert classes("function") == partition(values)


def test_published_classes_equal_those_of_the_published_code() -> None:
    genotypes = pytest.importorskip("nats_bench.genotype_utils", reason="nats-bench is not installed")
    unique = [genotypes.topology_str2structure(s).to_unique_str(consider_zero=True) for s in SPACE.decode(X)]
    assert classes("published") == partition(unique)


def test_a_function_class_is_a_union_of_published_classes() -> None:
    function = SPACE.equivalence_class(X)
    np.testing.assert_array_equal(SPACE.equivalence_class(SPACE.canonical(X)), function)
    for rows in classes("published"):
        assert len(set(function[list(rows)].tolist())) == 1


def test_cells_of_equal_live_operations_are_never_of_different_functions() -> None:
    function = SPACE.equivalence_class(X)
    seen: dict[Cell, int] = {}
    for row, key in zip(SPACE.live(X).tolist(), function.tolist(), strict=True):
        assert seen.setdefault(tuple(row), key) == key


@pytest.mark.parametrize("equivalence", ["published", "function"])
def test_the_representative_is_the_first_of_the_members_with_the_fewest_operations(equivalence: Any) -> None:
    representatives = SPACE.codes(SPACE.canonical(X, equivalence=equivalence))
    for rows in classes(equivalence):
        best = min(rows, key=lambda row: (sum(op != NONE for op in CELLS[row]), CELLS[row]))
        assert set(representatives[list(rows)].tolist()) == {best}


@pytest.mark.parametrize("equivalence", ["published", "function"])
def test_canonical_is_idempotent(equivalence: Any) -> None:
    once = SPACE.canonical(X, equivalence=equivalence)
    np.testing.assert_array_equal(SPACE.canonical(once, equivalence=equivalence), once)


def test_a_representative_of_a_function_has_no_dead_operation() -> None:
    representatives = SPACE.canonical(X, equivalence="function")
    np.testing.assert_array_equal(SPACE.live(representatives), representatives)


def test_degenerate_cells_are_one_function() -> None:
    degenerate = SPACE.degenerate(X)
    assert len(set(SPACE.equivalence_class(X)[degenerate].tolist())) == 1
    assert not set(SPACE.equivalence_class(X)[~degenerate].tolist()) & set(SPACE.equivalence_class(X[:1]).tolist())


def test_known_twins() -> None:
    through_node_1 = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    through_node_2 = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
    direct = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    twins = SPACE.encode([through_node_1, through_node_2, direct])
    assert SPACE.decode(SPACE.canonical(twins, equivalence="function")) == [direct] * 3


# ---------------------------------------------------------------------- size


@pytest.mark.parametrize("key", DATASETS)
def test_params_and_flops_equal_the_sum_over_layers(key: str) -> None:
    skeleton = Skeleton.for_dataset(DATASETS[key])
    rows = np.random.default_rng(0).choice(len(X), size=300, replace=False)
    n_parameters = SPACE.n_parameters(X[rows], skeleton=skeleton)
    n_flops = SPACE.n_flops(X[rows], skeleton=skeleton)
    for row, params, flops in zip(rows.tolist(), n_parameters.tolist(), n_flops.tolist(), strict=True):
        found = layers(CELLS[row], n_classes=skeleton.n_classes, image_size=skeleton.image_size)
        assert params == sum(weights for _, weights, _ in found)
        assert flops == sum(products for _, _, products in found)


def test_live_params_and_flops_are_those_of_the_live_cell() -> None:
    for count in (SPACE.n_parameters, SPACE.n_flops):
        np.testing.assert_array_equal(count(X, convention="live"), count(SPACE.live(X)))


def test_golden_sizes_of_known_cells() -> None:
    # millions, as NATS-Bench records them for CIFAR-10: the largest network and the all-zero cell; its 220.11969 and
    # 7.78305 multiply-accumulates count the ten biases of the classifier besides, which are additions
    largest = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    smallest = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    cells = SPACE.encode([largest, smallest])
    assert (SPACE.n_parameters(cells) / 1e6).tolist() == [1.531546, 0.073306]
    assert (SPACE.n_flops(cells) / 1e6).tolist() == [220.11969, 7.78305]


def test_a_smaller_skeleton_is_counted_like_the_published_one() -> None:
    skeleton = Skeleton(n_cells=1, channels=4, n_stages=1, image_size=8, image_channels=1, n_classes=2)
    cell = [[CONV3X3, NONE, NONE, CONV1X1, NONE, SKIP]]
    # stem 9*4+8, 3x3 9*16+8, 1x1 16+8, normalisation 8, classifier 8+2
    assert SPACE.n_parameters(cell, skeleton=skeleton).tolist() == [44 + 152 + 24 + 8 + 10]
    assert SPACE.n_flops(cell, skeleton=skeleton).tolist() == [64 * (36 + 144 + 16) + 8 + 2]


def test_wrong_words_are_refused() -> None:
    with pytest.raises(SpecError, match="convention must be 'live' or 'all'; got 'dead'"):
        SPACE.operation_counts(X[:1], convention="dead")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="equivalence must be 'published' or 'function'; got 'same'"):
        SPACE.canonical(X[:1], equivalence="same")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="cifar10, cifar100, imagenet16-120, gtsrb16; got 'svhn'"):
        Skeleton.for_dataset("svhn")


def test_isomorphic_cells_have_equal_features() -> None:
    features = feature_map("nb201-graph-v1").compute(X)
    representatives = feature_map("nb201-graph-v1").compute(SPACE.canonical(X, equivalence="function"))
    np.testing.assert_array_equal(features, representatives)


# ---------------------------------------------------------------------- the published data


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, NDArray[Any]]:
    path = shared / "nasbench201" / "nasbench201.npz"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    with np.load(path, allow_pickle=False) as arrays:
        names = ["arch_str", "ops", "op_names", "unique_group", "c10_test_200_mean", "params_m_c10_recorded"]
        names += [f"{quantity}_m_{key}" for quantity in ("params", "flops") for key in DATASETS]
        return {name: arrays[name] for name in names}


@pytest.fixture(scope="module")
def encodings(published: dict[str, NDArray[Any]]) -> NDArray[Any]:
    return SPACE.encode([s.decode() for s in published["arch_str"]])


def test_strings_and_integers_of_the_published_data(
    published: dict[str, NDArray[Any]], encodings: NDArray[Any]
) -> None:
    assert [s.decode() for s in published["op_names"]] == list(OPERATIONS)
    np.testing.assert_array_equal(encodings, published["ops"])
    assert len(set(SPACE.codes(encodings).tolist())) == SPACE.size


def test_published_classes_equal_the_published_unique_strings(
    published: dict[str, NDArray[Any]], encodings: NDArray[Any]
) -> None:
    ours = partition(SPACE.codes(SPACE.canonical(encodings)).tolist())
    assert len(ours) == 6466
    assert ours == partition(published["unique_group"].tolist())


def test_degenerate_cells_guess(published: dict[str, NDArray[Any]], encodings: NDArray[Any]) -> None:
    accuracy = published["c10_test_200_mean"][SPACE.degenerate(encodings)]
    assert len(accuracy) == 341
    assert (accuracy == 10.0).all()


@pytest.mark.parametrize("key", DATASETS)
def test_params_and_flops_equal_the_published_ones(
    published: dict[str, NDArray[Any]], encodings: NDArray[Any], key: str
) -> None:
    skeleton = Skeleton.for_dataset(DATASETS[key])
    params = SPACE.n_parameters(encodings, skeleton=skeleton) / 1e6
    np.testing.assert_array_equal(params.astype(np.float32), published[f"params_m_{key}"])
    flops = SPACE.n_flops(encodings, skeleton=skeleton) / 1e6
    np.testing.assert_array_equal(flops.astype(np.float32), published[f"flops_m_{key}"])


def test_recorded_params_differ_by_one_convolution_of_an_isomorphic_cell(
    published: dict[str, NDArray[Any]], encodings: NDArray[Any]
) -> None:
    # NATS-Bench copied 150 runs between isomorphic cells, so their recorded size is a twin's
    computed = SPACE.n_parameters(encodings)
    recorded = np.round(published["params_m_c10_recorded"].astype(np.float64) * 1e6).astype(np.int64)
    off = np.flatnonzero(recorded != computed)
    assert len(off) == 150
    conv1x1 = sum(5 * (width * width + 2 * width) for width in (16, 32, 64))
    conv3x3 = sum(5 * (9 * width * width + 2 * width) for width in (16, 32, 64))
    assert (conv1x1, conv3x3) == (28_000, 243_040)
    assert set(np.abs(recorded - computed)[off].tolist()) == {conv1x1, conv3x3}
    group = published["unique_group"]
    assert all(recorded[row] in computed[group == group[row]] for row in off)
