"""Hyperband: successive halving with brackets that trust short trainings more and less."""

from __future__ import annotations

from typing import final

from nasbench_mo.search.halving import HalvingSearcher, halved
from nasbench_mo.space import SearchSpace


@final
class MOHyperbandSearcher(HalvingSearcher):
    """Hyperband with several objectives.

    With the rungs 0..K, the brackets s = K, K-1, ..., 0 follow each other, and then again. Bracket s starts
    ``ceil((K + 1) / (s + 1) * eta^s)`` random architectures on the rung K - s and halves them as successive halving
    does; s = 0 is random search. Best is: nondominated front by front, the epsilon-net inside a front. Brackets take
    turns in the objective with whose best point a front starts.

    Parameters
    ----------
    scale
        All brackets start so many times as many architectures. 1 is the paper's: with one objective the best of a small
        bracket is well chosen, but a front needs several survivors.
    eta
        One of so many goes on, and rungs are about so many times as long as the one below; 3 is the paper's.
    least_epochs
        No rung is shorter (r).

    Notes
    -----
    An architecture is never drawn twice, and one whose output does not depend on its input goes on after all others.
    Without shorter trainings this is random search.

    References
    ----------
    L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar, "Hyperband: a novel bandit-based approach to
    hyperparameter optimization", JMLR 18(185), 2018, Algorithm 1 and Table 1.
    """

    name = "mo-hyperband"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        scale: int = 1,
        eta: int = 3,
        least_epochs: int = 1,
    ) -> None:
        super().__init__(space, n_objectives, seed=seed, eta=eta, least_epochs=least_epochs)
        self.scale = self._integer("scale", scale, least=1)

    def options(self) -> dict[str, float | int | str]:
        """Scale of the brackets, ratio of the rungs and the shortest."""
        return {"scale": self.scale, **super().options()}

    def sizes(self, number: int) -> tuple[int, ...]:
        """Those of the paper's bracket s = K - number, the numbers past K starting over."""
        s = self.n_rungs - 1 - number % self.n_rungs
        n = self.scale * -(-self.n_rungs * self.eta**s // (s + 1))
        return halved(n, eta=self.eta, n_rungs=s + 1)
