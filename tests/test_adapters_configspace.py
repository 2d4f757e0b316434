"""ConfigSpace both ways: spaces, configurations, and a search by ConfigSpace's own moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    EqualsCondition,
    ForbiddenEqualsClause,
    OrdinalHyperparameter,
)
from ConfigSpace.util import get_one_exchange_neighbourhood

import nasbench_mo as nmo
from nasbench_mo.adapters.configspace import configurations_of, encodings_of, from_configspace, to_configspace
from nasbench_mo.errors import ArchitectureError, SpecError
from nasbench_mo.space import SPACES, CategoricalSpace, SearchSpace

#: Names in an order that is not the alphabet's.
MIXED = CategoricalSpace("mixed", {"width": [32, 64], "act": ["relu", "gelu", "silu"], "depth": [1, 2, 3]})


@pytest.mark.parametrize("name", SPACES.names())
def test_every_space_goes_there_and_back(name: str) -> None:
    space = nmo.space(name)
    theirs = to_configspace(space, seed=0)
    assert from_configspace(theirs) is space
    assert {key: tuple(theirs[key].choices) for key in theirs} == {v.name: v.values for v in space.variables}
    X = encodings_of(theirs.sample_configuration(20), search_space=space)
    np.testing.assert_array_equal(space.check(X), X)
    again = encodings_of(configurations_of(X, theirs, search_space=space), search_space=space)
    np.testing.assert_array_equal(again, X)


def test_every_architecture_has_a_configuration_of_its_own() -> None:
    X = MIXED.enumerate()
    found = configurations_of(X, to_configspace(MIXED), search_space=MIXED)
    assert len({tuple(sorted(dict(one).items())) for one in found}) == MIXED.size
    assert dict(found[-1]) == {"width": "64", "act": "silu", "depth": "3"}
    np.testing.assert_array_equal(encodings_of(found, search_space=MIXED), X)
    np.testing.assert_array_equal(encodings_of([dict(one) for one in found], search_space=MIXED), X)


@pytest.mark.parametrize("kind", ["object", "json", "yaml"])
def test_the_order_of_the_variables_survives(kind: str, tmp_path: Any) -> None:
    theirs = to_configspace(MIXED)
    if kind != "object":
        getattr(theirs, f"to_{kind}")(tmp_path / "space")
        theirs = getattr(ConfigurationSpace, f"from_{kind}")(tmp_path / "space")
    if kind == "json":
        to_configspace(nmo.space("nb201")).to_json(tmp_path / "cells")
        assert from_configspace(ConfigurationSpace.from_json(tmp_path / "cells")) is nmo.space("nb201")
    back = from_configspace(theirs)
    assert (back.name, back.variables) == ("mixed", MIXED.variables)
    assert back.decode([[1, 2, 0]]) == ["width=64,act=silu,depth=1"]


def test_a_foreign_space_becomes_categorical() -> None:
    theirs = ConfigurationSpace(
        space={"layers": (2, 4), "optimiser": ["sgd", "adam"], "seed": 7, "size": OrdinalHyperparameter("size", [8, 4])}
    )
    back = from_configspace(theirs, name="theirs")
    assert {v.name: v.values for v in back.variables} == {
        "layers": ("2", "3", "4"),
        "optimiser": ("sgd", "adam"),
        "seed": ("7",),
        "size": ("8", "4"),
    }
    X = back.enumerate()
    configurations = configurations_of(X, theirs, search_space=back)
    assert {type(value) for value in (configurations[0]["layers"], configurations[0]["size"])} <= {int, np.int64}
    for one in configurations:
        one.check_valid_configuration()
    np.testing.assert_array_equal(encodings_of(configurations, search_space=back), X)


def conditional() -> Any:
    theirs = ConfigurationSpace(space={"kind": ["a", "b"], "rate": ["low", "high"]}, name="conditional")
    theirs.add(EqualsCondition(theirs["rate"], theirs["kind"], "a"))
    return theirs


def forbidding() -> Any:
    theirs = ConfigurationSpace(space={"kind": ["a", "b"]}, name="forbidding")
    theirs.add(ForbiddenEqualsClause(theirs["kind"], "b"))
    return theirs


def renamed() -> Any:
    """Says that it is a registered space, with other values."""
    said = to_configspace(nmo.space("nbmacro"))["layer0"].meta
    return ConfigurationSpace(space=[CategoricalHyperparameter("layer0", ["x", "y"], meta=said)], name="nbmacro")


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (conditional(), "without conditions and forbidden clauses; got 1 and 0"),
        (forbidding(), "got 0 and 1"),
        (ConfigurationSpace(space={"rate": (0.1, 0.5)}, name="real"), "'rate' is a UniformFloatHyperparameter"),
        (ConfigurationSpace(space={"n": (0, 10**6)}, name="wide"), "'n' has 1000001 values"),
        (ConfigurationSpace(space={"a": ["x", "y"]}), "no name"),
        (ConfigurationSpace(space={"a": ["x,y", "z"]}, name="comma"), "contains ','"),
        (renamed(), "says that it is 'nbmacro'"),
    ],
)
def test_what_is_no_product_of_values_is_refused(theirs: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        from_configspace(theirs)


def test_a_configuration_of_another_space_is_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"'depth' has the values 1, 2, 3; got '4'"):
        encodings_of([{"width": "32", "act": "relu", "depth": "4"}], search_space=MIXED)
    with pytest.raises(ArchitectureError, match="a value for each of width, act, depth; got width"):
        encodings_of([{"width": "32"}], search_space=MIXED)
    with pytest.raises(SpecError, match="do not have the same variables"):
        configurations_of([[0, 0, 0]], to_configspace(nmo.space("nb201")), search_space=MIXED)


def test_a_search_by_its_own_moves_comes_near_the_front() -> None:
    """Pareto local search: ConfigSpace samples, and proposes the neighbours of what is not dominated."""
    problem = nmo.problem("nb201s-c10-flops-v1")
    space: SearchSpace = problem.space
    X = np.zeros((0, space.n_variables), dtype=space.dtype)
    seen = to_configspace(space, seed=1)
    archive = seen.sample_configuration(30)
    for step in range(5):
        X = np.unique(np.concatenate([X, encodings_of(archive, search_space=space)]), axis=0)
        front = X[nmo.nondominated(problem.evaluate(X))]
        archive = [
            near
            for one in configurations_of(front, seen, search_space=space)
            for near in get_one_exchange_neighbourhood(one, seed=step)
        ]
    assert 0.9 < problem.hypervolume_share(problem.evaluate(X)) <= 1
