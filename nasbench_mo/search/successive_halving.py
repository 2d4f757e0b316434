"""Successive halving: many start, the best of each rung go on together."""

from __future__ import annotations

from typing import final

from nasbench_mo.search.halving import HalvingSearcher, halved
from nasbench_mo.space import SearchSpace


@final
class SuccessiveHalvingSearcher(HalvingSearcher):
    """Synchronous successive halving with several objectives, one bracket after another.

    ``n`` random architectures are trained on the lowest rung, the best 1/eta of them on the next, and so on to the full
    training; then a new bracket starts. Best is: nondominated front by front, the epsilon-net inside a front. Brackets
    take turns in the objective with whose best point a front starts.

    Parameters
    ----------
    n
        Architectures at the start of a bracket. The default, 81, is that of Hyperband's example (R = 81, eta = 3).
    eta
        One of so many goes on, and rungs are about so many times as long as the one below.
    least_epochs
        No rung is shorter (r).

    Notes
    -----
    With fewer than eta^(rungs - 1) architectures, one is left on the upper rungs. An architecture whose output does not
    depend on its input goes on after all others. Without shorter trainings this is random search.

    References
    ----------
    K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
    """

    name = "successive-halving"

    def __init__(
        self, space: SearchSpace, n_objectives: int, *, seed: int = 0, n: int = 81, eta: int = 3, least_epochs: int = 1
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, eta=eta, least_epochs=least_epochs)
        self.n = self._integer("n", n, least=1)

    def options(self) -> dict[str, float | int | str]:
        """Size of a bracket, ratio of the rungs and the shortest."""
        return {"n": self.n, **super().options()}

    def sizes(self, number: int) -> tuple[int, ...]:
        """The same for all brackets."""
        return halved(self.n, eta=self.eta, n_rungs=self.n_rungs)
