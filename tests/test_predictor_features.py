"""Feature maps against counting by hand on the live cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo.errors import ArchitectureError, ArtifactError, UnknownNameError
from nasbench_mo.predictor import default_feature_map, feature_map, one_hot
from nasbench_mo.space import CategoricalSpace, space
from nasbench_mo.space.nb201 import EDGES, NB201, OPERATIONS

SPACE = NB201()
GRAPH = feature_map("nb201-graph-v1")
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


def test_features_tell_most_functions_apart() -> None:
    X = SPACE.enumerate()
    distinct = np.unique(GRAPH.compute(X), axis=0)
    assert len(distinct) == len(np.unique(SPACE.equivalence_class(X))) == 4930


@pytest.mark.parametrize("name", ["nb201-graph-v1", "nb201-onehot-v1", "fbnet-onehot-v1"])
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


def test_the_default_of_nb201_is_its_graph_and_of_others_one_hot() -> None:
    assert default_feature_map(space("nb201")).name == "nb201-graph-v1"
    assert default_feature_map(space("nbmacro")).name == "nbmacro-onehot-v1"


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"unknown feature map 'nb201-graph-v2'\. Did you mean 'nb201-graph-v1'"):
        feature_map("nb201-graph-v2")
    with pytest.raises(UnknownNameError, match="no search space is called 'nb202'"):
        feature_map("nb202-onehot-v1")


def test_what_is_no_encoding_has_no_features() -> None:
    for name in ("nb201-graph-v1", "nb201-onehot-v1"):
        with pytest.raises(ArchitectureError):
            feature_map(name).compute(np.array([[0, 0, 0, 0, 0, 5]]))
