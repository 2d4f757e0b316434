"""A search space of the user's own: a product of named categorical variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from nasbench_mo.errors import SpecError
from nasbench_mo.space.base import SearchSpace, Variable, concatenated

#: Characters that the string form uses between names and values.
_RESERVED = frozenset(",=")


@final
class CategoricalSpace(SearchSpace):
    """Every combination of the values of some variables.

    Its string form is ``name=value,name=value`` in the order given.

    Parameters
    ----------
    name
        What tables and runs call the space.
    choices
        Variable name to its values; values are compared and written as ``str(value)``.

    Raises
    ------
    SpecError
        No variable, an empty or repeated name or value, or a ``,`` or ``=`` in one.

    Examples
    --------
    >>> space = CategoricalSpace("mlp", {"depth": [1, 2, 3], "width": [32, 64], "act": ["relu", "gelu"]})
    >>> space.decode([[0, 1, 1]])
    ['depth=1,width=64,act=gelu']
    >>> space.size
    12
    """

    def __init__(self, name: str, choices: Mapping[str, Sequence[object]]) -> None:
        if not isinstance(choices, Mapping):
            raise SpecError(f"space {name!r}: expected a mapping of variables to values, got {type(choices).__name__}")
        if not isinstance(name, str) or not name.strip():
            raise SpecError(f"a space needs a name, got {name!r}")
        if not choices:
            raise SpecError(f"space {name!r}: expected at least one variable, got none")
        for key, values in choices.items():
            if not isinstance(values, Sequence) and not hasattr(values, "__array__"):
                raise SpecError(
                    f"space {name!r}: variable {str(key)!r} needs a list of values in a fixed order, "
                    f"got {type(values).__name__}"
                )
            if isinstance(values, str):
                raise SpecError(
                    f"space {name!r}: variable {str(key)!r} needs a list of values, got the text {values!r}"
                )
        self.name = name
        self._variables = tuple(
            Variable(name=str(key), values=tuple(str(v) for v in values)) for key, values in choices.items()
        )
        if len({v.name for v in self._variables}) != len(self._variables):
            raise SpecError(f"space {name!r}: two variables have one name: {[v.name for v in self._variables]}")
        for variable in self._variables:
            self._check_variable(variable)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables, in the order given."""
        return self._variables

    def _fragments(self, index: int) -> tuple[str, ...]:
        variable = self._variables[index]
        return concatenated(f"{',' if index else ''}{variable.name}=", variable.values, "")

    def _check_variable(self, variable: Variable) -> None:
        if not variable.values:
            raise SpecError(f"space {self.name!r}: variable {variable.name!r} has no values")
        if len(set(variable.values)) != len(variable.values):
            raise SpecError(f"space {self.name!r}: variable {variable.name!r} repeats a value: {variable.values}")
        if len(variable.values) > 32767:
            raise SpecError(f"space {self.name!r}: variable {variable.name!r} has more than 32767 values")
        for word in (variable.name, *variable.values):
            if not word or _RESERVED & set(word):
                raise SpecError(f"space {self.name!r}: {word!r} is empty or contains ',' or '='")
