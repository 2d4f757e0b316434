"""Names to objects: built-ins as lazy strings, plug-ins as entry points of the same shape."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, final

from nasbench_mo.errors import MissingDependencyError, UnknownNameError, did_you_mean

_log = logging.getLogger(__name__)


@final
class Registry:
    """A table of names, resolved when they are asked for.

    Parameters
    ----------
    kind
        What the names stand for, in the singular, as it appears in errors: ``"search space"``.
    builtins
        Name to ``"package.module:attribute"``. Nothing is imported before :meth:`get`.
    group
        Entry-point group in which plug-ins announce themselves. A built-in wins over a plug-in of its name.
    """

    def __init__(self, kind: str, *, builtins: Mapping[str, str], group: str) -> None:
        self.kind: Final = kind
        self.group: Final = group
        self._builtins: Final = dict(builtins)
        self._plugins: dict[str, str] | None = None

    def names(self) -> list[str]:
        """All names, built-ins first, then plug-ins, each in order of announcement."""
        return [*self._builtins, *(n for n in self._found_plugins() if n not in self._builtins)]

    def __contains__(self, name: object) -> bool:
        return name in self._builtins or name in self._found_plugins()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> Any:
        """Import and return the object registered under a name.

        Raises
        ------
        UnknownNameError
            Nothing has this name; the message lists the closest ones.
        MissingDependencyError
            A plug-in announces the name but cannot be imported.
        """
        if not isinstance(name, str):
            raise UnknownNameError(f"the name of a {self.kind} is text, got {name!r}")
        if name in self._builtins:
            return _load(self._builtins[name])
        target = self._found_plugins().get(name)
        if target is None:
            names = self.names()
            raise UnknownNameError(
                f"no {self.kind} is called {name!r}.{did_you_mean(name, names)} Known: {', '.join(names)}"
            )
        try:
            return _load(target)
        except (ImportError, AttributeError) as error:
            raise MissingDependencyError(
                f"the plug-in that announces the {self.kind} {name!r} as {target!r} cannot be imported ({error}); "
                "repair or uninstall it"
            ) from error

    def _found_plugins(self) -> dict[str, str]:
        if self._plugins is None:
            from importlib.metadata import entry_points  # as slow to import as half of NumPy

            self._plugins = {}
            for point in entry_points(group=self.group):
                if ":" not in point.value:
                    _log.warning("plug-in %r of group %s is not 'module:attribute'; ignored", point.name, self.group)
                    continue
                self._plugins[point.name] = f"{point.module}:{point.attr}"
        return self._plugins


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return attrgetter(attribute)(importlib.import_module(module))
