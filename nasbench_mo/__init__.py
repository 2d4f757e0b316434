"""Multi-objective neural architecture search: benchmarks, predictors, hardware costs, searchers.

    import nasbench_mo as nmo

    problem = nmo.problem("nb201-gtsrb16-cpu-v1")
    run = nmo.run(problem, "nsga2", budget=300)
    print(run.hypervolume_share(), run.front())

Every public name is loaded when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasbench_mo.benchmark import Manifest, Problem, compute_manifest, problem
    from nasbench_mo.errors import NasbenchMoError
    from nasbench_mo.experiment import Front, Run, run, run_many
    from nasbench_mo.objective import Objective
    from nasbench_mo.pareto import additive_epsilon, hypervolume, igd_plus, nondominated
    from nasbench_mo.predictor import Predictor
    from nasbench_mo.predictor import load_predictor as predictor
    from nasbench_mo.predictor.transfer import adapt, which_to_measure
    from nasbench_mo.search import Searcher, searcher
    from nasbench_mo.sources import import_source
    from nasbench_mo.sources import load_table as table
    from nasbench_mo.space import CategoricalSpace, SearchSpace, space
    from nasbench_mo.table import Table
    from nasbench_mo.versions import show_versions

    __version__: str

_HOME = {
    "CategoricalSpace": "space:CategoricalSpace",
    "Front": "experiment:Front",
    "Manifest": "benchmark:Manifest",
    "NasbenchMoError": "errors:NasbenchMoError",
    "Objective": "objective:Objective",
    "Predictor": "predictor:Predictor",
    "Problem": "benchmark:Problem",
    "Run": "experiment:Run",
    "SearchSpace": "space:SearchSpace",
    "Searcher": "search:Searcher",
    "Table": "table:Table",
    "adapt": "predictor.transfer:adapt",
    "additive_epsilon": "pareto:additive_epsilon",
    "compute_manifest": "benchmark:compute_manifest",
    "hypervolume": "pareto:hypervolume",
    "igd_plus": "pareto:igd_plus",
    "import_source": "sources:import_source",
    "nondominated": "pareto:nondominated",
    "predictor": "predictor:load_predictor",
    "problem": "benchmark:problem",
    "run": "experiment:run",
    "run_many": "experiment:run_many",
    "searcher": "search:searcher",
    "show_versions": "versions:show_versions",
    "space": "space:space",
    "table": "sources:load_table",
    "which_to_measure": "predictor.transfer:which_to_measure",
}

__all__ = [
    "CategoricalSpace",
    "Front",
    "Manifest",
    "NasbenchMoError",
    "Objective",
    "Predictor",
    "Problem",
    "Run",
    "SearchSpace",
    "Searcher",
    "Table",
    "adapt",
    "additive_epsilon",
    "compute_manifest",
    "hypervolume",
    "igd_plus",
    "import_source",
    "nondominated",
    "predictor",
    "problem",
    "run",
    "run_many",
    "searcher",
    "show_versions",
    "space",
    "table",
    "which_to_measure",
]


#: Public functions whose name is also a module's: ``nmo.table("...")`` calls, ``nasbench_mo.table.Table`` reads.
_CALLABLE_MODULES = frozenset({"predictor", "space", "table"})


def _public(name: str) -> Any:
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(f"nasbench_mo.{module}"), attribute)


class _CallableModule(ModuleType):
    """A module that, called, is the public function of its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _public(self.__name__.rpartition(".")[2])(*args, **kwargs)


class _Package(ModuleType):
    """This package: importing one of its modules must not hide the public function of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _CALLABLE_MODULES and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


if not TYPE_CHECKING:  # a type checker is to find a misspelt name, which this would make Any

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("nasbench-mo")
        if name in _CALLABLE_MODULES:
            return import_module(f"nasbench_mo.{name}")
        if name not in _HOME:
            raise AttributeError(f"module 'nasbench_mo' has no attribute {name!r}")
        value = _public(name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
