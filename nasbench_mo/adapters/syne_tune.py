"""Our problems as blackboxes of Syne Tune, for simulated experiments.

Syne Tune is not imported before :attr:`SyneTuneBlackbox.configuration_space` is asked for, and is no extra of this
package: it needs the ``xgboost`` that brings CUDA libraries. Objects are told by their methods. The interface was read
from Syne Tune 0.16.0, ``blackbox_repository/blackbox.py`` (the base class), ``simulated_tabular_backend.py`` and
``utils.py`` (who calls a blackbox, and with what), and runs there under ``UserBlackboxBackend``.

Schedulers minimise unless they are told otherwise, so no sign is turned; objectives keep their order and units.

>>> import nasbench_mo as nmo
>>> problem = nmo.problem("nb201s-c10-flops-v1")
>>> blackbox = SyneTuneBlackbox(problem, seconds_per_evaluation=600)
>>> cell = dict(zip(blackbox.choices, ["nor_conv_3x3"] * 6, strict=True))
>>> blackbox(cell, 1)["flops_millions"] == problem.evaluate([[3] * 6])[0, 1]
np.True_
>>> blackbox.objectives_names
['error_percent', 'flops_millions', 'elapsed_time']
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.adapters._values import from_named_values
from nasbench_mo.benchmark import Problem
from nasbench_mo.errors import MissingDependencyError, ObjectiveError, SpecError

#: Name of the column of seconds since the training began: ``elapsed_time_attr`` of Syne Tune's back end.
ELAPSED_TIME: Final = "elapsed_time"


@final
class SyneTuneBlackbox:
    """What Syne Tune's ``UserBlackboxBackend`` asks of a blackbox, answered by one of our problems.

    It is not a subclass of Syne Tune's ``Blackbox``, whose base class holds no behaviour that is asked for, and not a
    ``BlackboxTabular``: every configuration has values, so there is no list of them and no surrogate between them.

    The fidelity is ``"epochs"`` where the problem has values after shorter trainings. Otherwise it is
    ``"evaluation"``, which is always 1.

    Parameters
    ----------
    problem
        Ours. Constraints are not told: Syne Tune's schedulers take none.
    noise_seed
        Draws the training runs that a scheduler sees where the back end gives no seed of its own, as in
        :meth:`.Problem.observation`.
    seconds_per_evaluation
        How long the full training takes, in simulated seconds, for problems that do not know; a shorter one takes its
        share.

    Raises
    ------
    SpecError
        The problem knows how long trainings take and another time is given, or neither says so.

    Notes
    -----
    Where shorter trainings are runs of their own rather than the beginning of the full one
    (:attr:`.Problem.continues`), give the back end ``support_checkpointing=False``.
    """

    def __init__(self, problem: Problem, *, noise_seed: int = 0, seconds_per_evaluation: float | None = None) -> None:
        if problem.knows_seconds == (seconds_per_evaluation is not None):
            raise SpecError(
                f"problem {problem.id!r} has training times; leave seconds_per_evaluation out"
                if problem.knows_seconds
                else f"problem {problem.id!r} has no training times, and Syne Tune's clock needs some; give "
                "seconds_per_evaluation"
            )
        if seconds_per_evaluation is not None and not 0 < seconds_per_evaluation < math.inf:
            raise SpecError(f"seconds_per_evaluation must be a positive number, got {seconds_per_evaluation!r}")
        self.problem = problem
        self._noise_seed = noise_seed
        self._seconds = seconds_per_evaluation

    def __repr__(self) -> str:
        return f"SyneTuneBlackbox({self.problem.id!r})"

    # ------------------------------------------------------------------ spaces

    @property
    def choices(self) -> dict[str, list[str]]:
        """Name of every hyperparameter to its values: the configuration space without Syne Tune."""
        return {variable.name: list(variable.values) for variable in self.problem.space.variables}

    @cached_property
    def configuration_space(self) -> dict[str, Any]:
        """Syne Tune's configuration space: a categorical domain for every variable.

        Raises
        ------
        MissingDependencyError
            Syne Tune is not installed.
        """
        choice = _config_space().choice
        return {name: choice(values) for name, values in self.choices.items()}

    @cached_property
    def fidelity_space(self) -> dict[str, Any]:
        """Syne Tune's domain of the one fidelity.

        Raises
        ------
        MissingDependencyError
            Syne Tune is not installed.
        """
        first, last = self.fidelity_values[[0, -1]].tolist()
        return {self.fidelity_name(): _config_space().randint(first, last)}

    @property
    def fidelity_values(self) -> NDArray[np.int64]:
        """Epochs after which there are values, ascending; 1 alone where there are none of shorter trainings."""
        return np.array(self.problem.fidelities or (1,), dtype=np.int64)

    def fidelity_name(self) -> str:
        """``"epochs"``, or ``"evaluation"``."""
        return "epochs" if self.problem.fidelities else "evaluation"

    def configuration_space_with_max_resource_attr(self, max_resource_attr: str) -> dict[str, Any]:
        """The configuration space and beside it, under a name of the caller's, the largest fidelity.

        Raises
        ------
        SpecError
            The name is a hyperparameter's.
        """
        if max_resource_attr in self.choices:
            raise SpecError(f"{max_resource_attr!r} is a hyperparameter of {self!r}; choose another name")
        return {**self.configuration_space, max_resource_attr: int(self.fidelity_values[-1])}

    # ------------------------------------------------------------------ values

    @property
    def objectives_names(self) -> list[str]:
        """Columns of the objectives, in order, and :data:`ELAPSED_TIME`."""
        return [*(objective.column for objective in self.problem.objectives), ELAPSED_TIME]

    def __call__(
        self, configuration: Mapping[str, Any], fidelity: Mapping[str, int] | int | None = None, seed: int | None = None
    ) -> dict[str, float] | NDArray[np.float64]:
        """See :meth:`objective_function`."""
        return self.objective_function(configuration, fidelity, seed)

    def objective_function(
        self, configuration: Mapping[str, Any], fidelity: Mapping[str, int] | int | None = None, seed: int | None = None
    ) -> dict[str, float] | NDArray[np.float64]:
        """Minimised values of one architecture, and the seconds since its training began.

        Parameters
        ----------
        configuration
            Name of every variable to one of its values.
        fidelity
            One of :attr:`fidelity_values`, or a mapping from :meth:`fidelity_name` to it; None for all.
        seed
            Noise seed; the blackbox's own by default.

        Returns
        -------
        By name of :attr:`objectives_names`; without a fidelity (f, m + 1), one row a fidelity.

        Raises
        ------
        ArchitectureError
            The configuration is not an architecture.
        ObjectiveError
            There are no values at this fidelity.
        """
        X = from_named_values([configuration], search_space=self.problem.space)
        noise_seed = self._noise_seed if seed is None else int(seed)
        if fidelity is None:
            return np.stack([self._row(X, at=int(at), noise_seed=noise_seed) for at in self.fidelity_values])
        at = fidelity.get(self.fidelity_name()) if isinstance(fidelity, Mapping) else fidelity
        if at is None or at not in self.fidelity_values:
            raise ObjectiveError(
                f"{self!r} has values after {self.fidelity_name()} {', '.join(map(str, self.fidelity_values))}; "
                f"got {fidelity!r}"
            )
        row = self._row(X, at=int(at), noise_seed=noise_seed)
        return dict(zip(self.objectives_names, row, strict=True))

    def _row(self, X: NDArray[Any], *, at: int, noise_seed: int) -> NDArray[np.float64]:
        """Objectives and elapsed seconds of one architecture, (m + 1,)."""
        epochs = at if self.problem.fidelities else None
        F = self.problem.observation(noise_seed, epochs=epochs).evaluate(X)[0]
        if self._seconds is None:
            seconds = float(self.problem.simulated_seconds(X, epochs=epochs)[0])
        else:
            seconds = self._seconds * at / int(self.fidelity_values[-1])
        return np.append(F, seconds)


def _config_space() -> Any:
    try:
        return import_module("syne_tune.config_space")
    except ImportError as error:
        raise MissingDependencyError(
            f"this needs Syne Tune, which could not be imported ({error}); install it with: pip install syne-tune"
        ) from error


__all__ = ["ELAPSED_TIME", "SyneTuneBlackbox"]
