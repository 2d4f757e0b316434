"""The identity of a quantity, and the one place where a sign is flipped."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo.errors import SpecError
from nasbench_mo.objective import UNITS, Convention, Direction, Kind, Objective, Split, minimised, to_minimised

ACCURACY = Objective(
    name="c10_valid_accuracy",
    unit="percent",
    kind="measured",
    direction="max",
    dataset="cifar10",
    split="valid",
    epochs=200,
    seed="mean",
)

objectives = st.builds(
    Objective,
    name=st.from_regex(r"[a-z0-9][a-z0-9_]{0,12}", fullmatch=True),
    unit=st.sampled_from(sorted(UNITS)),
    kind=st.sampled_from(get_args(Kind)),
    direction=st.sampled_from(get_args(Direction)),
    dataset=st.none() | st.text(max_size=5),
    split=st.none() | st.sampled_from(get_args(Split)),
    epochs=st.none() | st.integers(1, 400),
    seed=st.none() | st.integers(0, 999) | st.just("mean"),
    device=st.none() | st.text(max_size=5),
    batch=st.none() | st.integers(1, 256),
    convention=st.none() | st.sampled_from(get_args(Convention)),
)


@settings(deadline=None, max_examples=60)
@given(objective=objectives)
def test_an_objective_survives_json(objective: Objective) -> None:
    assert Objective.from_dict(json.loads(json.dumps(objective.to_dict()))) == objective


@settings(deadline=None, max_examples=60)
@given(objective=objectives, values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_minimising_turns_the_best_value_into_the_least(objective: Objective, values: list[float]) -> None:
    given_values = np.array(values)
    found = to_minimised(given_values, objective)
    best = max(values) if objective.direction == "max" else min(values)
    assert found[values.index(best)] == found.min()
    assert given_values.tolist() == values
    assert minimised(objective).direction == "min"
    assert minimised(minimised(objective)) == minimised(objective)


def test_the_column_name_ends_in_the_unit() -> None:
    assert ACCURACY.column == "c10_valid_accuracy_percent"


@pytest.mark.parametrize(
    ("name", "unit", "values", "minimal_name", "minimal_values"),
    [
        ("valid_accuracy", "percent", [91.6, 10.0], "valid_error", [8.4, 90.0]),
        ("accuracy_top1", "fraction", [0.75, 0.0], "error_top1", [0.25, 1.0]),
        ("zen", "score", [184.0, -1.0], "neg_zen", [-184.0, 1.0]),
        ("throughput", "images_per_s", [300.0, 2.0], "neg_throughput", [-300.0, -2.0]),
        # an accuracy in a unit without a whole has no complement
        ("accuracy", "score", [3.0, 4.0], "neg_accuracy", [-3.0, -4.0]),
    ],
)
def test_a_maximised_quantity_becomes_an_error_or_its_negative(
    name: str, unit: str, values: list[float], minimal_name: str, minimal_values: list[float]
) -> None:
    objective = Objective(name=name, unit=unit, kind="measured", direction="max")
    assert minimised(objective) == dataclasses.replace(objective, name=minimal_name, direction="min")
    np.testing.assert_allclose(to_minimised(np.array(values), objective), minimal_values)


def test_a_minimised_quantity_stays_itself() -> None:
    latency = Objective(name="latency", unit="ms", kind="measured")
    assert minimised(latency) is latency
    np.testing.assert_array_equal(to_minimised(np.array([3.0, np.nan]), latency), [3.0, np.nan])


def test_a_missing_value_stays_missing() -> None:
    assert np.isnan(to_minimised(np.array([np.nan]), ACCURACY)).all()


def test_describe_names_unit_direction_dataset_split_epochs_and_seed() -> None:
    words = ACCURACY.describe()
    for word in (
        "percent",
        "measured",
        "larger is better",
        "dataset cifar10",
        "split valid",
        "200 epochs",
        "mean over",
    ):
        assert word in words
    cost = Objective(name="e", unit="mj", kind="modelled", device="eyeriss", batch=1, convention="all", seed=7)
    for word in ("millijoules", "smaller is better", "device eyeriss", "batch 1", "convention all", "seed 7"):
        assert word in cost.describe()


def test_an_objective_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ACCURACY.unit = "ms"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Latency"}, "lower-case"),
        ({"name": "latency ms"}, "lower-case"),
        ({"name": ""}, "lower-case"),
        ({"name": 5}, "lower-case"),
        ({"unit": "milliseconds"}, "'unit' must be one of percent, .*got 'milliseconds'"),
        ({"unit": "sec"}, "'unit' must be one of"),
        ({"kind": "measurd"}, "Did you mean 'measured'"),
        ({"direction": "maximise"}, "'direction' must be one of min, max"),
        ({"split": "validation"}, "Did you mean 'valid'"),
        ({"convention": "dead"}, "'convention' must be one of live, all"),
        ({"epochs": 0}, "epochs must be a positive integer"),
        ({"epochs": 12.0}, "epochs must be a positive integer"),
        ({"batch": True}, "batch must be a positive integer"),
        ({"seed": "average"}, "seed must be an integer, 'mean' or 'drawn'"),
        ({"seed": 1.5}, "seed must be an integer, 'mean' or 'drawn'"),
        ({"seed": True}, "seed must be an integer, 'mean' or 'drawn'"),
    ],
)
def test_a_field_outside_its_vocabulary_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Objective.from_dict({"name": "latency", "unit": "ms", "kind": "measured"} | fields)


def test_an_unknown_field_suggests_its_neighbour() -> None:
    with pytest.raises(SpecError, match=r"got 'datset'\. Did you mean 'dataset'"):
        Objective.from_dict({"name": "a", "unit": "ms", "kind": "measured", "datset": "cifar10"})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(SpecError, match="needs unit, kind; got only name"):
        Objective.from_dict({"name": "a"})
    with pytest.raises(SpecError, match="needs name, unit, kind; got only nothing"):
        Objective.from_dict({})
