"""Ask and tell: the only door between a searcher and a problem."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SearcherError
from nasbench_mo.pareto.violation import bound_violation
from nasbench_mo.space import SearchSpace

#: Values of one objective that cost nothing: (n, d) encodings to (n,) minimised, finite values.
KnownColumn = Callable[[NDArray[Any]], NDArray[np.float64]]


class Searcher(ABC):
    """A multi-objective optimiser over a search space. Abstract; each algorithm is one final class.

    It proposes architectures and is told their minimised objective values; it never sees a problem. The same seed
    and the same answers give the same proposals, in every process.

    What is not the same for every searcher is declared on its class: whether it takes architectures that it has not
    proposed (:attr:`accepts_foreign`), whether it has a use for objectives that cost nothing (:attr:`wants_known`) and
    for shorter trainings (:attr:`wants_fidelities`), whether it keeps bounds of the objectives
    (:attr:`wants_constraints`), and by which option, if any, it is told what is preferred (:attr:`preference_option`).
    Asking again before telling either yields more proposals or is refused with a :class:`SearcherError`; nothing is
    lost by trying. One that has proposed everything raises
    :class:`ExhaustedError`, again and again; one that cannot tell may repeat itself instead.

    Parameters
    ----------
    space
        Where architectures come from.
    n_objectives
        Number of objectives m.
    seed
        Seed of all its randomness.

    Examples
    --------
    >>> import nasbench_mo as nmo
    >>> problem = nmo.problem("nb201s-c10-flops-v1")
    >>> searcher = nmo.searcher("nsga2", problem.space, problem.n_objectives, seed=0)
    >>> for _ in range(3):
    ...     X = searcher.ask()
    ...     searcher.tell(X, problem.evaluate(X))
    >>> searcher.n_asked == searcher.n_told >= 3
    True
    """

    #: Registered name.
    name: str
    #: Whether :meth:`tell` takes architectures that were not proposed, or were told before. Otherwise it refuses
    #: them with a :class:`SearcherError` and stays as it was.
    accepts_foreign: ClassVar[bool] = True
    #: Whether objectives that cost nothing to know (:meth:`set_known`) change what is proposed.
    wants_known: ClassVar[bool] = False
    #: Whether shorter trainings (:meth:`set_fidelities`) change what is proposed. Then it is a
    #: :class:`.MultiFidelitySearcher`, which is asked for architectures and epochs.
    wants_fidelities: ClassVar[bool] = False
    #: Whether constraints (:meth:`set_constraints`) change what is proposed. One that does not want them has to be told
    #: values in which they show.
    wants_constraints: ClassVar[bool] = False
    #: Name of the option that takes a preferred point, ``"8,5"``: one number an objective, with commas; None where
    #: there is none.
    preference_option: ClassVar[str | None] = None

    def __init__(self, space: SearchSpace, n_objectives: int, *, seed: int = 0) -> None:
        self.space = space
        self.n_objectives = self._integer("n_objectives", n_objectives, least=1)
        self.seed = self._integer("seed", seed, least=0)
        self.n_asked = 0
        self.n_told = 0
        self._known: dict[int, KnownColumn] = {}
        self.fidelities: tuple[int, ...] = ()
        self._lower = np.full(self.n_objectives, -np.inf)
        self._upper = np.full(self.n_objectives, np.inf)
        self._known_violation: KnownColumn | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(space={self.space.name!r}, n_objectives={self.n_objectives}, seed={self.seed})"

    def _integer(self, option: str, value: object, *, least: int) -> int:
        """Value of an option as a plain int, NumPy's integers included, or a :class:`SearcherError`."""
        whole = int(value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None
        if whole is None or whole < least:
            raise SearcherError(
                f"searcher {self.name!r}: {option} must be an integer of at least {least}, got {value!r}"
            )
        return whole

    def _real(self, option: str, value: object, *, least: float, most: float) -> float:
        """Value of an option as a plain float within its bounds, or a :class:`SearcherError`."""
        is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        real = float(value) if is_number else np.nan  # type: ignore[arg-type]
        if not least <= real <= most:
            raise SearcherError(f"searcher {self.name!r}: {option} must lie in {least:g}..{most:g}, got {value!r}")
        return real

    @property
    def known_objectives(self) -> tuple[int, ...]:
        """Indices of the objectives that :meth:`set_known` offered, ascending."""
        return tuple(self._known)

    def options(self) -> dict[str, float | int | str]:
        """Settings that identify the searcher besides its name and seed."""
        return {}

    def set_known(self, columns: Mapping[int, KnownColumn]) -> None:
        """Offer objectives whose values are known without an evaluation, such as counts of parameters.

        Whoever runs the search calls this before the first :meth:`ask`, and may leave it out. :meth:`tell` still
        receives every objective. A searcher whose :attr:`wants_known` is False proposes the same with and without.

        Parameters
        ----------
        columns
            Index of an objective, 0..m-1, to the function that gives its (n,) minimised, finite values for (n, d)
            encodings. They have to be what :meth:`tell` will say of the same architectures (of those whose evaluation
            did not fail), and always the same:
            they are part of the problem, so a run that is resumed offers them again.

        Raises
        ------
        SearcherError
            Something was asked or told already, an index is no objective, or a column is not a function.
        """
        if self.n_asked or self.n_told:
            raise SearcherError(f"searcher {self.name!r}: offer known objectives before the first ask")
        for j, column in columns.items():
            if isinstance(j, bool) or not isinstance(j, (int, np.integer)) or not 0 <= j < self.n_objectives:
                raise SearcherError(
                    f"searcher {self.name!r}: a known objective is one of 0..{self.n_objectives - 1}, got {j!r}"
                )
            if not callable(column):
                raise SearcherError(
                    f"searcher {self.name!r}: known objective {j} must be a function of encodings, got {column!r}"
                )
        self._known = {int(j): columns[j] for j in sorted(columns)}

    def set_fidelities(self, epochs: Sequence[int]) -> None:
        """Offer trainings of fewer epochs than the full one.

        Whoever runs the search calls this before the first :meth:`ask`, and may leave it out. A searcher whose
        :attr:`wants_fidelities` is False proposes the same with and without.

        Parameters
        ----------
        epochs
            After how many epochs an architecture can be evaluated, ascending; the last is the full training.

        Raises
        ------
        SearcherError
            Something was asked or told already, or the epochs are not positive integers in ascending order.
        """
        if self.n_asked or self.n_told:
            raise SearcherError(f"searcher {self.name!r}: offer fidelities before the first ask")
        offered = tuple(self._integer("each number of epochs", e, least=1) for e in epochs)
        if not offered or any(a >= b for a, b in itertools.pairwise(offered)):
            raise SearcherError(
                f"searcher {self.name!r}: expected one or more numbers of epochs in ascending order, got {list(epochs)}"
            )
        self.fidelities = offered

    def _known_values(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Values of the known objectives, in the order of their indices: (n, k), k is 0 where none is known."""
        values = np.empty((len(X), len(self._known)))
        for i, (j, column) in enumerate(self._known.items()):
            found = np.asarray(column(X), dtype=np.float64)
            if found.shape != (len(X),) or not np.isfinite(found).all():
                raise SearcherError(
                    f"searcher {self.name!r}: known objective {j} must give {len(X)} finite values, one an "
                    f"architecture; got shape {found.shape}"
                )
            values[:, i] = found
        return values

    @property
    def constrained(self) -> bool:
        """Whether :meth:`set_constraints` set any bound."""
        bounded = np.isfinite(self._lower).any() or np.isfinite(self._upper).any()
        return bool(bounded) or self._known_violation is not None

    def set_constraints(
        self, upper: ArrayLike, *, lower: ArrayLike | None = None, known: KnownColumn | None = None
    ) -> None:
        """Bound the objectives: architectures outside are of no use, and the less so the farther outside they are.

        Whoever runs the search calls this before the first :meth:`ask`, and may leave it out. :meth:`tell` still
        receives the true values. A searcher whose :attr:`wants_constraints` is False proposes the same with and
        without.

        Parameters
        ----------
        upper, lower
            (m,) largest and least allowed values, in the objectives' units; infinite where there is no bound.
        known
            Violation of constraints that need no evaluation, such as a limit of parameters: a function from (n, d)
            encodings to (n,) values of at least 0, 0 where they are kept.

        Raises
        ------
        SearcherError
            Something was asked or told already, or the bounds are not m numbers that leave something between them.
        """
        if self.n_asked or self.n_told:
            raise SearcherError(f"searcher {self.name!r}: set constraints before the first ask")
        high = self._bound("upper", upper, none=np.inf)
        low = self._bound("lower", np.full(self.n_objectives, -np.inf) if lower is None else lower, none=-np.inf)
        if (low > high).any():
            raise SearcherError(f"searcher {self.name!r}: nothing lies between the bounds {low} and {high}")
        if known is not None and not callable(known):
            raise SearcherError(f"searcher {self.name!r}: known must be a function of encodings, got {known!r}")
        self._lower, self._upper, self._known_violation = low, high, known

    def _bound(self, name: str, values: ArrayLike, *, none: float) -> NDArray[np.float64]:
        """Bounds of the objectives, (m,), checked; ``none`` is the infinity that stands for no bound."""
        try:
            bound = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            bound = np.empty(0)
        if bound.shape != (self.n_objectives,) or not (np.isfinite(bound) | (bound == none)).all():
            raise SearcherError(
                f"searcher {self.name!r}: {name} must be {self.n_objectives} numbers, {none} for no bound; "
                f"got {values!r}"
            )
        return bound

    def _violation(self, X: NDArray[Any], F: NDArray[np.float64]) -> NDArray[np.float64]:
        """Constraint violation of architectures with these values, (n,); 0 where all constraints are kept."""
        return bound_violation(F, lower=self._lower, upper=self._upper) + self._violation_beforehand(X)

    def _violation_beforehand(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The part of the violation that is known without an evaluation, (n,)."""
        if self._known_violation is None:
            return np.zeros(len(X))
        found = np.asarray(self._known_violation(X), dtype=np.float64)
        if found.shape != (len(X),) or not (found >= 0).all():
            raise SearcherError(
                f"searcher {self.name!r}: the known violation must be {len(X)} values of at least 0, one an "
                f"architecture; got shape {found.shape}"
            )
        return found

    def ask(self, n: int | None = None) -> NDArray[Any]:
        """Propose architectures, (k, d) with 1 <= k <= n.

        Parameters
        ----------
        n
            At most so many; None for the searcher's natural batch. Fewer come where a generation ends.

        Raises
        ------
        ExhaustedError
            Nothing is left to propose.
        SearcherError
            ``n`` is below 1, the last proposals have to be told first, or the algorithm broke this contract.
        """
        self._check_size(n)
        return self._proposed(self._ask(n), n)

    def _check_size(self, n: int | None) -> None:
        if n is not None and n < 1:
            raise SearcherError(f"searcher {self.name!r}: ask for at least one architecture, got {n}")

    def _proposed(self, X: NDArray[Any], n: int | None) -> NDArray[Any]:
        """What the algorithm proposed where n were asked for, checked and counted."""
        X = self.space.check(X)
        if not len(X) or (n is not None and len(X) > n):
            wanted = "at least 1" if n is None else f"1..{n}"
            raise SearcherError(f"searcher {self.name!r} proposed {len(X)} architectures where {wanted} were asked for")
        self.n_asked += len(X)
        return X

    def tell(self, X: ArrayLike, F: ArrayLike) -> None:
        """Report the values of proposed architectures.

        Parameters
        ----------
        X
            (k, d) encodings: rows of what was asked, in that order, or any where :attr:`accepts_foreign`.
        F
            (k, m) minimised, finite values.

        Raises
        ------
        SearcherError
            The shapes do not fit, a value is not finite, or it takes only what it proposed and this is not that.
        """
        encodings, values = self._checked(X, F)
        self._tell(encodings, values)
        self.n_told += len(encodings)

    def _checked(self, X: ArrayLike, F: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The searcher's own copies of what it is told, or a :class:`SearcherError`."""
        encodings = np.array(self.space.check(X))  # copies: the caller may reuse its arrays
        values = np.array(F, dtype=np.float64)
        expected = (len(encodings), self.n_objectives)
        if values.shape != expected:
            raise SearcherError(f"searcher {self.name!r}: expected values of shape {expected}, got {values.shape}")
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            raise SearcherError(
                f"searcher {self.name!r}: values must be finite; row {bad[0][0]}, objective {bad[0][1]} is "
                f"{values[tuple(bad[0])]}"
            )
        return encodings, values

    @abstractmethod
    def _ask(self, n: int | None) -> NDArray[Any]: ...

    @abstractmethod
    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None: ...
