"""Every error the package raises, and the one helper that imports optional libraries.

An error says what was expected, what came and what to do. All of them descend from
:class:`NasbenchMoError` and from the built-in a caller would expect, so both ``except NasbenchMoError`` and
``except ValueError`` work.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class NasbenchMoError(Exception):
    """Base of every error whose cause lies in the input, the data or the installation."""


class ArchitectureError(NasbenchMoError, ValueError):
    """A string or an encoding is not an architecture of the search space."""


class SpaceSizeError(NasbenchMoError, ValueError):
    """The search space is too large for what was asked (enumeration, integer codes)."""


class ObjectiveError(NasbenchMoError, LookupError):
    """An objective or column is unknown, or may not be used this way."""


class MissingValueError(NasbenchMoError, LookupError):
    """The table has no value for this architecture and column."""


class UnknownNameError(NasbenchMoError, LookupError):
    """No space, problem, predictor, table, searcher or source has this name."""


class FrontError(NasbenchMoError, ValueError):
    """Objective values or a reference point are not usable: wrong shape, NaN, infinite."""


class ArtifactError(NasbenchMoError, ValueError):
    """A stored artefact is damaged: wrong hash, unknown version, failed reference prediction."""


class DownloadError(NasbenchMoError, OSError):
    """A file could not be fetched, or what came is not what was expected."""


class FormatError(NasbenchMoError, ValueError):
    """A file that was to be read does not have the documented layout."""


class SpecError(NasbenchMoError, ValueError):
    """A YAML specification is incomplete or contradicts itself."""


class DesignError(NasbenchMoError, ValueError):
    """A hardware design does not fit the device it is meant for."""


class ManifestError(NasbenchMoError, ValueError):
    """A problem has no manifest, or one that does not belong to its data."""


class SearcherError(NasbenchMoError, ValueError):
    """A searcher was asked or told something it cannot handle."""


class ExhaustedError(SearcherError):
    """A searcher has no further architecture to propose; a run ends there without harm."""


class RunError(NasbenchMoError, ValueError):
    """A run or its file is incomplete, or belongs to another problem, searcher or seed."""


class SubmissionError(NasbenchMoError, ValueError):
    """A submission to a board is incomplete, or does not say what the board's problems say."""


class BusyError(RunError):
    """Another process is writing the same run."""


class WorkerDiedError(NasbenchMoError, ChildProcessError):
    """Process after process died over one item of work."""


class DivergedError(NasbenchMoError, ValueError):
    """The loss of a training is no longer a finite number."""


class DeviceError(NasbenchMoError, ConnectionError):
    """A device does not answer, went away, or has not what is needed to measure on it."""


class MissingDependencyError(NasbenchMoError, ImportError):
    """An optional library is not installed."""


class PluginError(MissingDependencyError):
    """A plug-in of another package cannot be imported, or is not what it announces."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``" Did you mean 'x' or 'y'?"`` for the closest candidates, or ``""``."""
    close = difflib.get_close_matches(name, list(candidates), n=3, cutoff=0.5)
    if not close:
        return ""
    return " Did you mean " + " or ".join(repr(c) for c in close) + "?"


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional library, or raise the exact command that installs it.

    Parameters
    ----------
    module
        Dotted name to import, e.g. ``"torch"``.
    extra
        Name of the optional dependency group of nasbench-mo that brings it.

    Raises
    ------
    MissingDependencyError
        The library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"this needs {module!r}, which could not be imported ({error}); "
            f"install it with: pip install 'nasbench-mo[{extra}]'"
        ) from error
