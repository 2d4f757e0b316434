"""Searchers that may train for fewer epochs: a second door, through which architectures come with epochs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container, Iterator, Sequence
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SearcherError
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.epsilon_net import epsilon_net, fronts
from nasbench_mo.search.scalarise import Scale
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace

Floats = NDArray[np.float64]


class MultiFidelitySearcher(Searcher):
    """A searcher that says of each architecture for how many epochs it is to be trained. Abstract.

    Shorter trainings are offered by :meth:`.Searcher.set_fidelities`; those that it uses are its :attr:`rungs`. Its
    door is then :meth:`ask_at` and :meth:`tell_at`. The ordinary :meth:`ask` and :meth:`tell` speak of the full
    training alone: where none but that can be had, it is an ordinary searcher.

    Parameters
    ----------
    eta
        Each rung is about so many times as long as the one below, and one of so many goes on to it.
    least_epochs
        No rung is shorter than this (r of the papers).
    """

    wants_fidelities: ClassVar[bool] = True

    def __init__(
        self, space: SearchSpace, n_objectives: int, *, seed: int = 0, eta: int = 3, least_epochs: int = 1
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.eta = self._integer("eta", eta, least=2)
        self.least_epochs = self._integer("least_epochs", least_epochs, least=1)
        #: Epochs of each rung, ascending, the last being the full training; empty where nothing was offered.
        self.rungs: tuple[int, ...] = ()
        self._rng = np.random.default_rng(self.seed)
        self._unseen = Unseen(space, rng=self._rng)

    @property
    def n_rungs(self) -> int:
        """Number of rungs; the full training is one, offered or not."""
        return max(1, len(self.rungs))

    def options(self) -> dict[str, float | int | str]:
        """Ratio of the rungs and the shortest."""
        return {"eta": self.eta, "least_epochs": self.least_epochs}

    def set_fidelities(self, epochs: Sequence[int]) -> None:
        """Offer trainings of fewer epochs; see :meth:`.Searcher.set_fidelities`."""
        super().set_fidelities(epochs)
        self.rungs = thinned(self.fidelities, eta=self.eta, least=self.least_epochs)

    def ask(self, n: int | None = None) -> NDArray[Any]:
        """Propose architectures for the full training, where it is the only one; see :meth:`.Searcher.ask`.

        Raises
        ------
        SearcherError
            Shorter trainings were offered: :meth:`ask_at` says which of them is meant.
        """
        if self.n_rungs > 1:
            raise SearcherError(f"searcher {self.name!r} was offered shorter trainings: ask it by ask_at()")
        return super().ask(n)

    def ask_at(self, n: int | None = None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Propose architectures, and for how many epochs each is to be trained.

        Parameters
        ----------
        n
            At most so many; None for the searcher's natural batch.

        Returns
        -------
        (k, d) encodings with 1 <= k <= n, and (k,) epochs, each one of :attr:`rungs`.

        Raises
        ------
        ExhaustedError
            Nothing is left to propose.
        SearcherError
            ``n`` is below 1, no fidelities were offered, or values have to be told first.
        """
        self._check_offered()
        self._check_size(n)
        X, rungs = self._propose(n)
        return self._proposed(X, n), np.asarray(self.rungs, dtype=np.intp)[rungs]

    def tell_at(self, X: ArrayLike, F: ArrayLike, epochs: ArrayLike) -> None:
        """Report values after some epochs.

        Parameters
        ----------
        X
            (k, d) encodings, proposed or not, in any order.
        F
            (k, m) minimised, finite values.
        epochs
            (k,) after how many epochs each was evaluated; all are of :attr:`rungs`.

        Raises
        ------
        SearcherError
            The shapes do not fit, a value is not finite, or it does not train for so many epochs.
        """
        self._check_offered()
        encodings, values = self._checked(X, F)
        told = np.asarray(epochs)
        if told.shape != (len(encodings),) or not np.isin(told, self.rungs).all():
            raise SearcherError(
                f"searcher {self.name!r}: expected {len(encodings)} numbers of epochs, each of "
                f"{', '.join(map(str, self.rungs))}; got {told.tolist()}"
            )
        self._take(encodings, values, np.searchsorted(self.rungs, told))
        self.n_told += len(encodings)

    @abstractmethod
    def _propose(self, n: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Rows and the index of each one's rung: at least one, at most n."""

    @abstractmethod
    def _take(self, X: NDArray[Any], F: Floats, rungs: NDArray[np.intp]) -> None:
        """Values of rows on rungs, foreign ones too."""

    def _ask(self, n: int | None) -> NDArray[Any]:
        return self._propose(n)[0]

    def _tell(self, X: NDArray[Any], F: Floats) -> None:
        self._take(X, F, np.full(len(X), self.n_rungs - 1))

    def _check_offered(self) -> None:
        if not self.rungs:
            raise SearcherError(
                f"searcher {self.name!r} knows no epochs yet; offer them by set_fidelities(), or use ask() and tell()"
            )


@final
class Rung:
    """What is known after one number of epochs: architectures in the order in which they were told, and values."""

    def __init__(self, space: SearchSpace, *, n_objectives: int) -> None:
        self._space = space
        self.X = space.from_codes([])
        self.F: Floats = np.empty((0, n_objectives))
        self._row_of: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.X)

    def __contains__(self, key: bytes) -> bool:
        return key in self._row_of

    def tell(self, x: NDArray[Any], values: Floats) -> None:
        """Add an architecture (d,), or replace its values (m,): the last ones hold."""
        key = x.tobytes()
        if key in self._row_of:
            self.F[self._row_of[key]] = values
            return
        self._row_of[key] = len(self.X)
        self.X = np.concatenate([self.X, x[None]])
        self.F = np.concatenate([self.F, values[None]])

    def first_but(self, gone: Container[bytes], *, most: int) -> NDArray[Any] | None:
        """The first (d,) of the ``most`` best architectures, see :func:`best_rows`, whose key is not among ``gone``."""
        if not most or not len(self.X):
            return None
        n = 0
        Z = Scale.of(self.F).scaled(self.F)
        for front in _live_and_dead_fronts(self.X, self.F, space=self._space):
            open_rows = [i for i in front if self.X[i].tobytes() not in gone]
            if open_rows:  # a front of which all are gone needs no order
                for i in epsilon_net(front, Z=Z, most=most - n):
                    if i in open_rows:
                        x: NDArray[Any] = self.X[i]
                        return x
            n += len(front)
            if n >= most:
                break
        return None


def best_rows(X: NDArray[Any], F: Floats, *, space: SearchSpace, most: int, start: int = 0) -> NDArray[np.intp]:
    """Indices of the first rows, at most so many: nondominated fronts one by one, the epsilon-net inside a front.

    Architectures whose output does not depend on their input come last, however little they cost: no longer training
    helps them.

    Parameters
    ----------
    X, F
        (n, d) encodings and (n, m) minimised values.
    most
        At most so many.
    start
        Objective with whose best point a front starts.
    """
    chosen: list[int] = []
    Z = Scale.of(F).scaled(F)
    for front in _live_and_dead_fronts(X, F, space=space):
        if len(chosen) >= most:
            break
        chosen += epsilon_net(front, Z=Z, most=most - len(chosen), start=start)
    return np.array(chosen, dtype=np.intp)


def _live_and_dead_fronts(X: NDArray[Any], F: Floats, *, space: SearchSpace) -> Iterator[NDArray[np.intp]]:
    degenerate = space.degenerate(X)
    for rows in (np.flatnonzero(~degenerate), np.flatnonzero(degenerate)):
        for front in fronts(F[rows]):
            yield rows[front]


def thinned(epochs: Sequence[int], *, eta: int, least: int = 1) -> tuple[int, ...]:
    """Rungs out of offered epochs: from the full training down, the longest that is at most one ``eta``-th of the last.

    Parameters
    ----------
    epochs
        Ascending; the last one is always a rung.
    eta
        Least ratio of two rungs.
    least
        Shorter ones are left out.

    Examples
    --------
    >>> thinned(range(1, 82), eta=3)
    (1, 3, 9, 27, 81)
    >>> thinned([12, 200], eta=3)
    (12, 200)
    """
    rungs = [epochs[-1]]
    for e in reversed(epochs[:-1]):
        if e >= least and e * eta <= rungs[-1]:
            rungs.append(e)
    return tuple(reversed(rungs))
