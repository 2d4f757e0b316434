"""Names to objects: built-ins as lazy strings, plug-ins as entry points of the same shape.

A package adds names of its own by announcing entry points, ``name = "module:attribute"``, in one of these groups; what
the attribute has to be stands behind it. ``docs/extending-plugins.md`` shows each with an example.

======================================  ==============================================================================
group                                   attribute
======================================  ==============================================================================
``nasbench_mo.spaces``                  function that returns a :class:`.SearchSpace`
``nasbench_mo.problems``                :class:`.ProblemSpec`
``nasbench_mo.searchers``               class of a :class:`.Searcher`
``nasbench_mo.sources``                 function of a path and a specification that returns :class:`.SourceTable` s
``nasbench_mo.predictors``              folder of a stored predictor, or a function that returns it
``nasbench_mo.devices``                 folder of a cost table of a device, or a function that returns it
``nasbench_mo.estimators``              function of parameters that returns an unfitted estimator
``nasbench_mo.feature_maps``            function that returns a :class:`.FeatureMap`
``nasbench_mo.kernel_priors``           function of column names that returns a kernel's prior
``nasbench_mo.workloads``               function that returns a :class:`.Workload` of a space
``nasbench_mo.networks``                function that returns a ``torch.nn.Module`` of an architecture
======================================  ==============================================================================

Nothing is looked for before a name is asked for that no built-in has, or names are listed; and nothing is imported
before it is used. A plug-in that cannot be imported is an error where it is asked for by name. In a list it is one
warning, which names it, and everything else stays.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, TypeVar, final

from nasbench_mo.errors import PluginError, UnknownNameError, did_you_mean

_log = logging.getLogger(__name__)

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announced:
    """What an entry point says: where the object is, and who says so."""

    target: str
    by: str


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
        self._plugins: dict[str, _Announced] | None = None
        self._reported: Final[set[str]] = set()

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
        PluginError
            A plug-in announces the name but cannot be imported.
        """
        if not isinstance(name, str):
            raise UnknownNameError(f"the name of a {self.kind} is text, got {name!r}")
        if name in self._builtins:
            return _load(self._builtins[name])
        plugin = self._found_plugins().get(name)
        if plugin is None:
            names = self.names()
            raise UnknownNameError(
                f"no {self.kind} is called {name!r}.{did_you_mean(name, names)} Known: {', '.join(names)}"
            )
        try:
            return _load(plugin.target)
        except Exception as error:  # a module may fail in any way while it is imported
            raise PluginError(
                f"the plug-in that announces the {self.kind} {name!r} as {plugin.target!r} cannot be imported "
                f"({_one_line(error)}); repair or uninstall {plugin.by}"
            ) from error

    def each(self, make: Callable[[str], _Made], *, without: Container[str] = ()) -> Iterator[_Made]:
        """What a function makes of every name, in order. A plug-in with which it fails is left out, with one warning.

        Parameters
        ----------
        make
            Gets a name; what it raises of a built-in is raised.
        without
            Names that are left out.
        """
        for name in self.names():
            if name in without:
                continue
            if name in self._builtins:
                yield make(name)
                continue
            try:
                made = make(name)
            except Exception as error:  # noqa: BLE001  # another's code may fail in any way
                self._report(name, error)
                continue
            yield made

    def _report(self, name: str, error: Exception) -> None:
        """Warn of a plug-in, once."""
        if name not in self._reported:
            self._reported.add(name)
            plugin = self._found_plugins()[name]
            reason = error.__cause__ if isinstance(error, PluginError) and error.__cause__ is not None else error
            _log.warning(
                "the %s %r, a plug-in of %s (%s), is left out: %s: %s",
                self.kind,
                name,
                plugin.by,
                plugin.target,
                type(reason).__name__,
                _one_line(reason),
            )

    def _found_plugins(self) -> dict[str, _Announced]:
        if self._plugins is None:
            from importlib.metadata import entry_points  # as slow to import as half of NumPy

            self._plugins = {}
            for point in entry_points(group=self.group):
                by = f"the package {point.dist.name!r}" if point.dist is not None else "its package"
                if ":" not in point.value:
                    _log.warning("plug-in %r of group %s is not 'module:attribute'; ignored", point.name, self.group)
                elif point.name in self._builtins:
                    _log.warning("the %s %r of %s is ignored: a built-in has this name", self.kind, point.name, by)
                elif point.name in self._plugins:
                    first = self._plugins[point.name].by
                    _log.warning("the %s %r of %s is ignored: %s has one too", self.kind, point.name, by, first)
                else:
                    self._plugins[point.name] = _Announced(target=f"{point.module}:{point.attr}", by=by)
        return self._plugins


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return attrgetter(attribute)(importlib.import_module(module))
