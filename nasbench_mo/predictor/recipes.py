"""Estimators by name, as specifications write them: kind, features, parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.features import default_feature_map, feature_map
from nasbench_mo.registry import Registry
from nasbench_mo.space import SearchSpace
from nasbench_mo.specification import mapping_of

#: Name to a function of the feature map's name and the parameters that makes an unfitted estimator.
ESTIMATORS = Registry(
    "estimator",
    builtins={
        "xgb": "nasbench_mo.predictor.estimators.xgb_estimator:XGBoostRegressor",
        "gp": "nasbench_mo.predictor.estimators.gp:GPRegressor",
        "deep-gp": "nasbench_mo.predictor.estimators.deep_gp:DeepGPRegressor",
        "forest": "nasbench_mo.predictor.estimators.forest:ForestRegressor",
        "linear": "nasbench_mo.predictor.estimators.linear:LinearRegressor",
        "linear-residual": "nasbench_mo.predictor.estimators.linear:LinearPlusResidual",
        "linear-xgb": "nasbench_mo.predictor.estimators.boosted_linear:BoostedLinearRegressor",
    },
    group="nasbench_mo.estimators",
)


#: Kernels of parameter ``kernel`` that depend on the feature columns: functions of their names.
KERNELS = Registry(
    "kernel prior",
    builtins={"nb201-accuracy": "nasbench_mo.predictor.estimators.nb201_prior:nb201_accuracy_prior"},
    group="nasbench_mo.kernel_priors",
)


#: What a card has to say of a kernel prior.
KERNEL_NOTES: Mapping[str, str] = {
    "nb201-accuracy": "The kernel holds a prior on which features matter. It was tuned on CIFAR-100 test accuracies, "
    "and for three numbers on CIFAR-10's, of all topologies, those held out here included: the figures above flatter "
    "it somewhat, least on ImageNet16-120, which was not used.",
}


#: The same of the part of the prior that measured inputs have.
INPUT_NOTE = (
    " How much the input matters was chosen on CIFAR-10 and ImageNet16-120, on three training sets of each size."
)


def resolved(parameters: Mapping[str, Any], *, columns: Sequence[str]) -> dict[str, Any]:
    """Parameters of an estimator for features with these columns, with names replaced by what they mean.

    The name of a kernel prior becomes the prior. ``linear_features`` and ``tree_features``, names of feature maps,
    become ``linear_columns`` and ``tree_columns``, the indices of their columns. A list ``groups`` of beginnings of
    column names becomes the groups of columns, and the name of an estimator as ``residual`` the estimator.

    Raises
    ------
    SpecError
        A feature map named by a parameter is not part of the features.
    """
    found = dict(parameters)
    kernel = found.get("kernel")
    if isinstance(kernel, str) and kernel in KERNELS:
        found["kernel"] = KERNELS.get(kernel)(columns)
    if isinstance(found.get("groups"), list):
        column_groups = import_module("nasbench_mo.predictor.estimators.linear").column_groups  # it needs scikit-learn
        found["groups"] = column_groups(columns, [str(prefix) for prefix in found["groups"]])
    if isinstance(found.get("residual"), str):
        found["residual"] = ESTIMATORS.get(found["residual"])()
    place = {name: j for j, name in enumerate(columns)}
    for part in ("linear", "tree"):
        named = found.pop(f"{part}_features", None)
        if named is None:
            continue
        wanted = feature_map(str(named)).columns
        missing = [column for column in wanted if column not in place]
        if missing:
            raise SpecError(
                f"parameter {part}_features: {named!r} has the column {missing[0]!r}, which the model's features do "
                "not have; name a part of 'features'"
            )
        found[f"{part}_columns"] = tuple(place[column] for column in wanted)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """What a specification says of a model.

    Parameters
    ----------
    estimator
        Name in :data:`ESTIMATORS`.
    features
        Name of the feature map; the space's default where None.
    parameters
        Of the estimator.
    """

    estimator: str
    features: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: object, *, place: str) -> ModelRecipe:
        """Parse a mapping."""
        fields = mapping_of(
            value, place=place, allowed=("estimator", "features", "parameters"), required=("estimator",)
        )
        parameters = fields.get("parameters") or {}
        if not isinstance(parameters, Mapping):
            raise SpecError(f"{place}: parameters must be a mapping, got {parameters!r}")
        ESTIMATORS.get(str(fields["estimator"]))  # an unknown name is an error of the specification
        return cls(estimator=fields["estimator"], features=fields.get("features"), parameters=parameters)

    def feature_name(self, search_space: SearchSpace) -> str:
        """Name of the feature map."""
        return self.features or default_feature_map(search_space).name

    def build(self, search_space: SearchSpace) -> Any:
        """An unfitted estimator.

        Raises
        ------
        SpecError
            The estimator does not have one of the parameters.
        """
        make = ESTIMATORS.get(self.estimator)
        try:
            return make(**resolved(self.parameters, columns=feature_map(self.feature_name(search_space)).columns))
        except TypeError as error:
            raise SpecError(f"estimator {self.estimator!r}: {error}") from error
