"""What is installed here: versions, machine and folders, for a bug report and for the record of a run.

Versions are read from the metadata of the installed distributions. Nothing is imported for that, torch least of all.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nasbench_mo.artifacts import cache_dir
from nasbench_mo.hardware import processor_name

PACKAGE = "nasbench-mo"

#: Extras for working on the package itself; a user's report does without them.
_DEVELOPMENT = ("test", "lint")

#: Modules that are not called as their distribution.
_MODULES = {
    "configspace": "ConfigSpace",
    "jupyter-client": "jupyter_client",
    "nas-bench-201": "nas_201_api",
    "nats-bench": "nats_bench",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "xgboost-cpu": "xgboost",
    "zeus-ml": "zeus",
    "zigzag-dse": "zigzag",
}

#: Variables that move files or say how many threads compute.
_VARIABLES = ("NASBENCH_MO_CACHE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A distribution that the package needs, or one of its extras does.

    Parameters
    ----------
    name, module
        As it is installed, and as it is imported.
    extras
        The extras that bring it; none where the core does.
    version
        What is installed, None if nothing is.
    importable
        Whether its module is found; it is not tried.
    """

    name: str
    module: str
    extras: tuple[str, ...]
    version: str | None
    importable: bool

    def state(self) -> str:
        """Version, or what is wrong, and what to do about it."""
        if self.version is None and not self.importable:
            wanted = f"{PACKAGE}[{self.extras[0]}]" if self.extras else PACKAGE
            return f"not installed (pip install '{wanted}')"
        if not self.importable:
            return f"{self.version}, but there is no module {self.module!r}; install it again"
        return self.version or "of unknown version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What :func:`versions` found.

    Parameters
    ----------
    version, location
        Of this package.
    python, implementation, platform, processor
        What it runs on.
    n_cpus
        Processors that this process may use.
    cache
        Folder of imported and fetched files, and whether it exists.
    variables
        Environment variables that matter and are set.
    dependencies
        The core's in order of the metadata, then those of extras.
    """

    version: str
    location: str
    python: str
    implementation: str
    platform: str
    processor: str
    n_cpus: int
    cache: str
    cache_exists: bool
    variables: Mapping[str, str]
    dependencies: tuple[Dependency, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {**dataclasses.asdict(self), "dependencies": [dataclasses.asdict(d) for d in self.dependencies]}

    def to_text(self) -> str:
        """Lines of a report, dependencies under the extras that bring them."""
        facts = {
            PACKAGE: f"{self.version} in {self.location}",
            "python": f"{self.python} ({self.implementation})",
            "platform": self.platform,
            "processor": f"{self.processor}, {self.n_cpus} available",
            "cache": self.cache + ("" if self.cache_exists else " (nothing there yet)"),
            **self.variables,
        }
        lines = [f"{name:<22}{value}" for name, value in facts.items()]
        groups: dict[str, list[Dependency]] = {}
        for one in self.dependencies:
            groups.setdefault(f"extra {', '.join(one.extras)}" if one.extras else "core", []).append(one)
        for title, members in groups.items():
            lines += ["", title, *(f"  {one.name:<20}{one.state()}" for one in members)]
        return "\n".join(lines)


def versions() -> Versions:
    """Versions of the package, of Python and of every dependency, the machine and the cache folder."""
    return Versions(
        version=_installed(PACKAGE) or "not installed",
        location=str(Path(__file__).parent),
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=platform.platform(),
        processor=processor_name(),
        n_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cache=str(cache_dir()),
        cache_exists=cache_dir().is_dir(),
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        dependencies=tuple(_dependency(name, extras) for name, extras in _required().items()),
    )


def show_versions() -> None:
    """Print what a bug report needs: versions of everything, the machine and the cache folder.

    Examples
    --------
    >>> show_versions()  # doctest: +ELLIPSIS
    nasbench-mo           ...
    python                ...
    """
    sys.stdout.write(versions().to_text() + "\n")


def loaded_versions(always: tuple[str, ...], *, if_loaded: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of some distributions, and of others where their module was imported by now."""
    names = (*always, *(name for name in if_loaded if _module(name) in sys.modules))
    return {name: found for name in names if (found := _installed(name)) is not None}


@cache
def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _module(name: str) -> str:
    return _MODULES.get(name, name.replace("-", "_"))


def _dependency(name: str, extras: tuple[str, ...]) -> Dependency:
    module = _module(name)
    return Dependency(
        name=name, module=module, extras=extras, version=_installed(name), importable=find_spec(module) is not None
    )


def _required() -> dict[str, tuple[str, ...]]:
    """Name of each dependency to the extras that bring it, as the installed metadata say; none for the core's."""
    try:
        lines = requires(PACKAGE) or []
    except PackageNotFoundError:  # the sources stand somewhere on the path
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        wanted, _, marker = line.partition(";")
        if not _of_this_system(marker):
            continue
        name = re.split(r"[^A-Za-z0-9._-]", wanted.strip())[0].lower()
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        if extra is None:
            found[name] = []
        elif extra[1] not in _DEVELOPMENT and (name not in found or found[name]):
            found.setdefault(name, []).append(extra[1])
    return {name: tuple(extras) for name, extras in found.items()}


def _of_this_system(marker: str) -> bool:
    """Whether a requirement is for this operating system, the one marker but for extras that we use."""
    system = re.search(r"platform_system\s*([!=]=)\s*['\"]([^'\"]+)['\"]", marker)
    return system is None or (system[1] == "==") == (platform.system() == system[2])
