"""Feature maps against counting by hand on the live cell."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nasbench_mo.errors import ArchitectureError, ArtifactError, UnknownNameError
from nasbench_mo.predictor import FeatureMap, default_feature_map, feature_map, one_hot
from nasbench_mo.predictor.features import FEATURE_MAPS, counts, feature_map_names, ordinal
from nasbench_mo.predictor.features.generic import groups, quadratic
from nasbench_mo.space import CategoricalSpace, space
from nasbench_mo.space.nb201 import EDGES, NB201, OPERATIONS

SPACE = NB201()
GRAPH = feature_map("nb201-graph-v1")
GRAPH2 = feature_map("nb201-graph-v2")
PATHS = feature_map("nb201-path-v1")
COUNTS = feature_map("nb201-counts-v1")
CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")
cells = st.tuples(*[st.integers(0, 4)] * 6)


def paths_from(cell: tuple[int, ...], node: int) -> list[list[int]]:
    """Edges of every path from a node to the output that meets no ``none``."""
    if node == 3:
        return [[]]
    return [
        [edge, *rest]
        for edge, (source, target) in enumerate(EDGES)
        if source == node and cell[edge] != 0
        for rest in paths_from(cell, target)
    ]


def feature_by_name(name: str, cell: tuple[int, ...]) -> float:
    """One feature of a live cell, read off its name."""
    names = [OPERATIONS[op] for op in cell]
    paths = [[names[edge] for edge in path] for path in paths_from(cell, 0)]
    if name == "n_paths":
        return len(paths)
    if name == "params_millions":
        return float(SPACE.n_parameters([cell])[0]) / 1e6
    if name == "flops_millions":
        return float(SPACE.n_flops([cell])[0]) / 1e6
    if name.startswith("count_"):
        return names.count(name.removeprefix("count_"))
    if name.startswith("edge_"):
        edge, _, operation = name.removeprefix("edge_").partition("=")
        a, b = edge.split("_")
        return float(names[EDGES.index((int(a), int(b)))] == operation)
    if name.startswith("degree_node"):
        node, _, operation = name.removeprefix("degree_node").partition("_")
        return sum(int(node) in edge and found == operation for edge, found in zip(EDGES, names, strict=True))
    kind, subset = name.removeprefix("path_")[:3], name.removeprefix("path_")[4:].split("+")
    lengths = [sum(operation in subset for operation in path) for path in paths]
    return {"min": min, "max": max}[kind](lengths, default=-1)


@settings(deadline=None, max_examples=60)
@given(cell=cells)
def test_every_graph_feature_is_what_its_name_says_of_the_canonical_live_cell(cell: tuple[int, ...]) -> None:
    live = SPACE.live(SPACE.canonical([cell], equivalence="function"))[0]
    expected = [feature_by_name(name, tuple(live.tolist())) for name in GRAPH.columns]
    np.testing.assert_array_equal(GRAPH.compute(np.array([cell]))[0], np.array(expected, dtype=np.float32))


@settings(deadline=None, max_examples=60)
@given(cell=cells)
def test_a_cell_and_its_live_cell_have_equal_features(cell: tuple[int, ...]) -> None:
    pair = np.vstack([[cell], SPACE.live([cell])])
    first, second = GRAPH.compute(pair)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("found", [GRAPH, GRAPH2], ids=lambda found: str(found.name))
def test_features_tell_all_functions_apart(found: FeatureMap) -> None:
    X = SPACE.enumerate()
    distinct = np.unique(found.compute(X), axis=0)
    assert len(distinct) == len(np.unique(SPACE.equivalence_class(X))) == 4930


def v2_feature_by_name(name: str, cell: tuple[int, ...]) -> float:
    """One feature that v2 adds, of a live cell, read off its name."""
    names = [OPERATIONS[op] for op in cell]
    paths = [[names[edge] for edge in path] for path in paths_from(cell, 0)]
    bare = [[op for op in path if op != "skip_connect"] for path in paths]
    convolutions = [sum(op in CONVOLUTIONS for op in path) for path in paths]
    narrow, wide = (names.count(op) for op in CONVOLUTIONS)
    exact = {
        "paths_without_avg_pool_3x3": sum("avg_pool_3x3" not in path for path in paths),
        "paths_with_1_spatial": sum(sum("3x3" in op for op in path) == 1 for path in paths),
        "paths_identity": bare.count([]),
        "path_mean_convolutions": sum(convolutions) / max(len(paths), 1),
        "path_mean_nor_conv_3x3": sum(path.count("nor_conv_3x3") for path in paths) / max(len(paths), 1),
        "input_coefficient": sum(
            0.5 ** path.count("avg_pool_3x3") for path, n in zip(paths, convolutions, strict=True) if not n
        ),
        "log_params_millions": np.log(SPACE.n_parameters([cell])[0] / 1e6),
        "log_flops_millions": np.log(SPACE.n_flops([cell])[0] / 1e6),
        "log_weights_in_3x3": np.log(0.05 + wide + narrow / 9),
        "log_convolutions_1x1_as_half": np.log(0.3 + wide + narrow / 2),
        "log_convolutions": np.log(0.5 + wide + narrow),
        "sqrt_count_nor_conv_3x3": np.sqrt(wide),
        "any_nor_conv_3x3": wide > 0,
    }
    if name in exact:
        return float(exact[name])
    if match := re.fullmatch(r"paths_with_(\d)_convolutions", name):
        return convolutions.count(int(match[1]))
    if match := re.fullmatch(r"(out|in)_node(\d)_(.+)", name):
        touching = [op for edge, op in zip(EDGES, names, strict=True) if edge[match[1] == "in"] == int(match[2])]
        return sum("conv_" in op if match[3] == "convolution" else op == match[3] for op in touching)
    if name.startswith("path_sum_"):
        return sum(op in name.removeprefix("path_sum_").split("+") for path in paths for op in path)
    if name.startswith("paths_with_"):
        return sum(any(op in name.removeprefix("paths_with_").split("+") for op in path) for path in paths)
    if name.startswith("paths_class_"):
        words = ["".join("c" if op in CONVOLUTIONS else "p" for op in path) for path in bare]
        return words.count(name.removeprefix("paths_class_"))
    if match := re.fullmatch(r"paths_(start|end)_(.+)", name):
        return sum(bool(path) and path[0 if match[1] == "start" else -1] == match[2] for path in bare)
    return bare.count(name.removeprefix("paths_").split(">"))


@settings(deadline=None, max_examples=60)
@given(cell=cells)
def test_every_feature_that_v2_adds_is_what_its_name_says(cell: tuple[int, ...]) -> None:
    live = tuple(SPACE.live(SPACE.canonical([cell], equivalence="function"))[0].tolist())
    added = GRAPH2.columns[len(GRAPH.columns) :]
    found = GRAPH2.compute(np.array([cell]))[0]
    np.testing.assert_array_equal(found[: len(GRAPH.columns)], GRAPH.compute(np.array([cell]))[0])
    expected = np.array([v2_feature_by_name(name, live) for name in added])
    np.testing.assert_allclose(found[len(GRAPH.columns) :], expected, rtol=1e-6, atol=1e-7)


@settings(deadline=None, max_examples=60)
@given(cell=cells)
def test_the_path_encoding_counts_every_path_once(cell: tuple[int, ...]) -> None:
    live = tuple(SPACE.live(SPACE.canonical([cell], equivalence="function"))[0].tolist())
    words = [">".join(OPERATIONS[live[edge]] for edge in path) for path in paths_from(live, 0)]
    expected = [words.count(name.removeprefix("paths_")) for name in PATHS.columns]
    found = PATHS.compute(np.array([cell]))[0]
    np.testing.assert_array_equal(found, expected)
    assert found.sum() == len(words)


@settings(deadline=None, max_examples=60)
@given(cell=cells)
@example(cell=(0, 0, 0, 0, 3, 0))  # reaches the output, in a cell without input
@example(cell=(3, 0, 0, 1, 0, 4))  # one operation that feeds nothing, one that is fed by nothing
def test_counts_are_those_of_the_cell_as_given_under_three_conventions(cell: tuple[int, ...]) -> None:
    names = [OPERATIONS[op] for op in cell]
    paths = paths_from(cell, 0)
    live = {edge for path in paths for edge in path}
    # an operation is used where a way leads on to the output, whatever feeds it; a cell without path computes nothing
    used = {e for e, (_, target) in enumerate(EDGES) if cell[e] and paths and paths_from(cell, target)}
    expected = []
    for kept in (live, used, set(range(6))):
        seen = [op if edge in kept else "none" for edge, op in enumerate(names)]
        expected += [seen.count(op) for op in OPERATIONS]
    fan_in = [sum(EDGES[edge][1] == node for edge in live) for node in range(4)]
    expected.append(sum(max(n - 1, 0) for n in fan_in))
    np.testing.assert_array_equal(COUNTS.compute(np.array([cell]))[0], expected)


@pytest.mark.parametrize(
    "name",
    (
        "nb201-graph-v1", "nb201-graph-v2", "nb201-path-v1", "nb201-counts-v1", "nb201-onehot-v1", "nb201-ordinal-v1",
        "fbnet-onehot-v1", "fbnet-counts-v1", "mnasnet-ordinal-v1", "mnasnet-counts-v1", "nbmacro-counts-v1",
        "nb201-counts-v1+nb201-graph-v2",
    ),
)  # fmt: skip
def test_names_and_columns_agree(name: str) -> None:
    found = feature_map(name)
    assert found.name == name
    assert len(set(found.columns)) == len(found.columns)
    searched = space(name.split("-")[0])
    X = searched.sample(9, rng=np.random.default_rng(0))
    before = X.copy()
    features = found.compute(X)
    assert features.shape == (9, len(found.columns))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(X, before)
    assert found.compute(X[:0]).shape == (0, len(found.columns))
    for i in range(9):
        np.testing.assert_array_equal(found.compute(X[i : i + 1])[0], features[i])


def test_one_hot_marks_one_value_of_each_variable() -> None:
    searched = CategoricalSpace("s", {"a": ["x", "y"], "b": [1, 2, 3]})
    found = one_hot(searched)
    assert found.name == "s-onehot-v1"
    assert found.columns == ("a=x", "a=y", "b=1", "b=2", "b=3")
    np.testing.assert_array_equal(found.compute(np.array([[1, 0], [0, 2]])), [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]])


def test_ordinal_columns_are_numbers_where_all_values_are_and_positions_elsewhere() -> None:
    searched = CategoricalSpace("s", {"width": [64, 8, 0.5], "act": ["relu", "3"]})
    found = ordinal(searched)
    assert found.name == "s-ordinal-v1"
    assert found.columns == ("width", "act")
    np.testing.assert_array_equal(found.compute(np.array([[0, 0], [2, 1]])), [[64, 0], [0.5, 1]])


def test_generic_counts_gather_variables_of_one_kind() -> None:
    searched = CategoricalSpace("s", {"layer0": ["conv", "skip"], "layer1": ["skip", "pool"], "w1": [2, 4], "w2": [8]})
    found = counts(searched)
    assert found.columns == (
        "count_layer=conv", "count_layer=skip", "count_layer=pool", "count_w=2", "count_w=4", "count_w=8", "sum_w",
    )  # fmt: skip
    np.testing.assert_array_equal(found.compute(np.array([[1, 0, 1, 0], [0, 1, 0, 0]])), [
        [0, 2, 0, 0, 1, 1, 12], [1, 0, 1, 1, 0, 1, 10],
    ])  # fmt: skip


def test_generic_counts_take_the_costs_that_a_space_offers() -> None:
    X = SPACE.sample(5, rng=np.random.default_rng(0))
    found = counts(SPACE)
    assert found.columns[-2:] == ("params_millions", "flops_millions")
    np.testing.assert_allclose(found.compute(X)[:, -1], SPACE.n_flops(X) / 1e6, rtol=1e-6)
    np.testing.assert_array_equal(found.compute(X)[:, :5], SPACE.operation_counts(X, convention="all"))


def test_groups_mark_one_combination_of_each_group() -> None:
    blocks = CategoricalSpace(
        "blocks", {"b0_k": ["3", "5"], "b0_e": ["1", "4", "6"], "b1_k": ["3", "5"], "width": ["8", "16"]}
    )
    made = groups(blocks)
    assert len(made.columns) == 2 * 3 + 2 + 2
    X = blocks.enumerate()
    marked = made.compute(X)
    for row, text in zip(marked, X.tolist(), strict=True):
        k0, e0, k1, width = (v.values[code] for v, code in zip(blocks.variables, text, strict=True))
        wanted = {f"b0:k{k0},e{e0}", f"b1:k{k1}", f"width:width{width}"}
        assert {c for c, v in zip(made.columns, row, strict=True) if v} == wanted
    large = CategoricalSpace("large", {f"b_{i}": [str(v) for v in range(8)] for i in range(4)})
    with pytest.raises(ArtifactError, match="'b' have 4096 combinations, more than 1024"):
        groups(large)


def test_quadratic_features_are_products_of_scaled_values() -> None:
    sizes = CategoricalSpace("sizes", {"k": ["3", "5", "9"], "op": ["conv", "pool"]})
    made = quadratic(sizes)
    assert made.columns == ("k*k", "k*op", "op*op")
    np.testing.assert_allclose(
        made.compute([[1, 1], [2, 0]]),
        [[(-1 / 3) ** 2, -1 / 3, 1.0], [1.0, -1.0, 1.0]],
        rtol=1e-6,
    )


def test_every_registered_map_is_found_by_its_name_and_listed_for_its_space() -> None:
    for name in FEATURE_MAPS:
        assert feature_map(name).name == name
        assert name in feature_map_names(SPACE)
    listed = feature_map_names(space("fbnet"))
    assert listed == [f"fbnet-{kind}-v1" for kind in ("onehot", "ordinal", "counts", "groups", "quadratic")]
    assert len(set(feature_map_names(SPACE))) == len(feature_map_names(SPACE)) == 8


def test_the_default_of_nb201_is_its_graph_and_of_others_one_hot() -> None:
    assert default_feature_map(space("nb201")).name == "nb201-graph-v2"
    assert default_feature_map(space("nbmacro")).name == "nbmacro-onehot-v1"


def test_joined_maps_are_side_by_side_and_must_not_share_a_column() -> None:
    X = SPACE.sample(4, rng=np.random.default_rng(0))
    both = feature_map("nb201-counts-v1+nb201-path-v1")
    np.testing.assert_array_equal(both.compute(X), np.hstack([COUNTS.compute(X), PATHS.compute(X)]))
    assert both.columns == COUNTS.columns + PATHS.columns
    with pytest.raises(ArtifactError, match="share the column 'edge_0_1=skip_connect'"):
        feature_map("nb201-onehot-v1+nb201-graph-v1")


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"unknown feature map 'nb201-graph-v9'\. Did you mean 'nb201-graph-v"):
        feature_map("nb201-graph-v9")
    with pytest.raises(UnknownNameError, match="no search space is called 'nb202'"):
        feature_map("nb202-onehot-v1")


def test_what_is_no_encoding_has_no_features() -> None:
    for name in feature_map_names(SPACE):
        with pytest.raises(ArchitectureError):
            feature_map(name).compute(np.array([[0, 0, 0, 0, 0, 5]]))
