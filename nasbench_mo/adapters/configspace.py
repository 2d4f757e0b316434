"""Search spaces as ConfigSpace's configuration spaces, both ways.

Nothing here is minimised or maximised: a configuration is an architecture, one categorical hyperparameter a variable.

>>> from nasbench_mo.space import space
>>> cells = space("nb201")
>>> configuration_space = to_configspace(cells, seed=0)
>>> configuration_space["edge_0_1"].choices
('none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3')
>>> X = encodings_of(configuration_space.sample_configuration(5), search_space=cells)
>>> configurations = configurations_of(X, configuration_space, search_space=cells)
>>> configurations[0].check_valid_configuration()
>>> (encodings_of(configurations, search_space=cells) == X).all()
np.True_
>>> from_configspace(configuration_space) is cells
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import ArrayLike, NDArray

from nasbench_mo.adapters._values import from_named_values, to_named_values
from nasbench_mo.errors import SpecError, require
from nasbench_mo.space import SPACES, CategoricalSpace, SearchSpace, space

#: Key of what an exported variable says of itself, in the hyperparameter's ``meta``, which ConfigSpace's files keep.
_META = "nasbench-mo"
#: The most values that a variable can have.
_MOST_VALUES = 32767


def to_configspace(search_space: SearchSpace, *, seed: int | None = None) -> Any:
    """A ``ConfigSpace.ConfigurationSpace`` of a search space: one categorical hyperparameter a variable, no conditions.

    ConfigSpace orders hyperparameters in its own way, so its vectors are not our encodings: :func:`encodings_of` and
    :func:`configurations_of` go by names.

    Parameters
    ----------
    search_space
        Its name, the order of its variables and the version of its encoding are kept in the hyperparameters' ``meta``,
        so they survive ``to_json`` and ``to_yaml``.
    seed
        Of ConfigSpace's own sampling; None leaves it to ConfigSpace.

    Raises
    ------
    MissingDependencyError
        ConfigSpace is not installed.
    """
    library = require("ConfigSpace", extra="adapters")
    made = library.ConfigurationSpace(name=search_space.name, seed=seed)
    made.add(
        [
            library.CategoricalHyperparameter(
                variable.name,
                variable.values,
                meta={
                    _META: {
                        "space": search_space.name,
                        "encoding_version": search_space.encoding_version,
                        "position": position,
                    }
                },
            )
            for position, variable in enumerate(search_space.variables)
        ]
    )
    return made


def from_configspace(configuration_space: Any, *, name: str | None = None) -> SearchSpace:
    """The search space of a configuration space whose hyperparameters have finitely many values.

    Categorical, ordinal, constant and integer hyperparameters become categorical variables: order among values and
    weights of sampling are not taken over.

    Parameters
    ----------
    configuration_space
        ConfigSpace's, e.g. from ``ConfigurationSpace.from_yaml``.
    name
        Of the search space; the configuration space's own name by default.

    Returns
    -------
    A :class:`CategoricalSpace`; or the registered space itself, where :func:`to_configspace` made the configuration
    space of it, this version of nasbench-mo has it with the same encoding, and no other name is asked for.

    Raises
    ------
    SpecError
        There are conditions or forbidden clauses, a hyperparameter has real values, or there is no name.
    MissingDependencyError
        ConfigSpace is not installed.
    """
    if configuration_space.conditions or configuration_space.forbidden_clauses:
        raise SpecError(
            "expected a configuration space without conditions and forbidden clauses; got "
            f"{len(configuration_space.conditions)} and {len(configuration_space.forbidden_clauses)}. A search space "
            "is a product: give a hyperparameter that may be inactive a value of its own that says so"
        )
    said = {key: _said(configuration_space[key]) for key in configuration_space}
    names = sorted(said, key=lambda key: int(said[key].get("position", 0)))  # stable, so theirs where none is said
    choices = {key: _choices(configuration_space[key]) for key in names}
    registered = _registered(said.values())
    if registered is not None and name in (None, registered.name):
        if {variable.name: [*variable.values] for variable in registered.variables} == choices:
            return registered
        raise SpecError(
            f"the configuration space says that it is {registered.name!r}, but its values are others; give it a name"
        )
    name = name or configuration_space.name
    if not name:
        raise SpecError("the configuration space has no name; give one: name=...")
    return CategoricalSpace(name, choices)


def _said(hyperparameter: Any) -> Mapping[str, Any]:
    """What :func:`to_configspace` left in ``meta``; empty where it did not make the hyperparameter."""
    said = (hyperparameter.meta or {}).get(_META)
    return said if isinstance(said, Mapping) else {}


def _registered(said: Iterable[Mapping[str, Any]]) -> SearchSpace | None:
    """The registered space that all hyperparameters say they are of, if it has the same encoding."""
    of = {(one.get("space"), one.get("encoding_version")) for one in said}
    if len(of) != 1:
        return None
    (name, encoding_version) = of.pop()
    if name not in SPACES:
        return None
    found = space(name)
    return found if found.encoding_version == encoding_version else None


def _choices(hyperparameter: Any) -> list[Any]:
    """Values of one hyperparameter, in order."""
    library = require("ConfigSpace", extra="adapters")
    if isinstance(hyperparameter, library.CategoricalHyperparameter):
        return list(hyperparameter.choices)
    if isinstance(hyperparameter, library.OrdinalHyperparameter):
        return list(hyperparameter.sequence)
    if isinstance(hyperparameter, library.Constant):
        return [hyperparameter.value]
    if isinstance(hyperparameter, library.hyperparameters.IntegerHyperparameter):
        if hyperparameter.upper - hyperparameter.lower < _MOST_VALUES:
            return list(range(hyperparameter.lower, hyperparameter.upper + 1))
        raise SpecError(
            f"hyperparameter {hyperparameter.name!r} has {hyperparameter.upper - hyperparameter.lower + 1} values; a "
            f"variable has at most {_MOST_VALUES}"
        )
    raise SpecError(
        f"hyperparameter {hyperparameter.name!r} is a {type(hyperparameter).__name__}; a search space takes "
        "categorical, ordinal, constant and integer ones. Give it a list of values"
    )


def encodings_of(configurations: Iterable[Mapping[str, Any]], *, search_space: SearchSpace) -> NDArray[Any]:
    """(n, d) encodings of n configurations, or of n plain mappings from names to values.

    Raises
    ------
    ArchitectureError
        One of them is not an architecture of the space.
    """
    return from_named_values([dict(one) for one in configurations], search_space=search_space)


def configurations_of(X: ArrayLike, configuration_space: Any, *, search_space: SearchSpace) -> list[Any]:
    """``ConfigSpace.Configuration`` of each of (n, d) encodings: the inverse of :func:`encodings_of`.

    Parameters
    ----------
    X
        Encodings of the search space.
    configuration_space, search_space
        Two that belong to each other. Values keep the type that they have in the configuration space.

    Raises
    ------
    ArchitectureError
        An encoding is not of the space.
    SpecError
        The two do not belong to each other.
    """
    library = require("ConfigSpace", extra="adapters")
    typed = {key: {str(value): value for value in _choices(configuration_space[key])} for key in configuration_space}
    if {one.name: set(one.values) for one in search_space.variables} != {key: set(typed[key]) for key in typed}:
        raise SpecError(f"the configuration space and {search_space!r} do not have the same variables and values")
    return [
        library.Configuration(configuration_space, values={name: typed[name][value] for name, value in row.items()})
        for row in to_named_values(X, search_space=search_space)
    ]


__all__ = ["configurations_of", "encodings_of", "from_configspace", "to_configspace"]
