"""The default searcher: Gaussian processes of the objectives, and the expected gain of hypervolume.

Sources: expected hypervolume improvement, Emmerich, Deutz, Klinkenberg, "Hypervolume-based expected improvement:
monotonicity properties and exact computation", CEC 2011; batches by believing in what is still awaited, Ginsbourger,
Le Riche, Carraro, "Kriging is well-suited to parallelize optimization", 2010. The parts name theirs:
:mod:`.relevance` (kernel), :mod:`.objective_model` (transform), :mod:`.acquisition`, :mod:`.initial_design`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ExhaustedError, SearcherError
from nasbench_mo.pareto import nondominated
from nasbench_mo.search.acquisition import dominated, expected_improvement
from nasbench_mo.search.base import Searcher
from nasbench_mo.search.candidate_features import CandidateFeatures
from nasbench_mo.search.candidates import WHOLE_LIMIT, Candidates, Nursery, WholeSpace
from nasbench_mo.search.copies import Copies
from nasbench_mo.search.initial_design import stratified
from nasbench_mo.search.marginals import Marginals
from nasbench_mo.search.objective_model import ObjectiveModel
from nasbench_mo.search.truncated import truncated
from nasbench_mo.search.unseen import Unseen
from nasbench_mo.space import SearchSpace
from nasbench_mo.threads import one_blas_thread

Floats = NDArray[np.float64]

#: Every third proposal holds the models' deviations for twice as great: a model that learns from evaluations of its own
#: choosing may be sure of what is wrong, and then it never finds out.
_DOUBT = (1.0, 1.0, 2.0)
#: How far beyond the front's nadir hypervolume counts, as a share of the front's range.
_MARGIN = 0.1
#: An expected point moves the reference only where it is better than the front by this share of the front's range.
_TOLERANCE = 0.02
#: A candidate is left out of the acquisition where it is dominated even this many deviations better than expected.
_OPTIMISM = 2.5
#: While nothing that was told keeps the constraints, candidates are bred from so many that violate them least.
_LEAST_VIOLATING = 20
#: Of the others, so many are left in: those that gain most where they are so much better than expected.
_CONTENDERS = 500
#: Where candidates are bred: from how many random ones a search starts, how many generations, of how many survivors.
_FIRST_SAMPLE = 2000
_GENERATIONS = 3
_SURVIVORS = 60


@final
class DefaultSearcher(Searcher):
    """Model-assisted search: what is learnt of every objective decides what is evaluated next.

    1. *Start*: ``initial`` architectures, stratified by a known objective, else by the main direction of the features.
    2. *Model*: each objective that is not known has a Gaussian process on the features of the predictor floor (for
       NAS-Bench-201 operation counts and ``nb201-graph-v2``, else indicators, numbers and counts; a product of spaces
       has those of its parts). Its kernel is Matern 5/2, plus a linear part over counts and indicators; each column's
       relevance is learnt from the search's own evaluations, and a second process that holds the columns of a group
       for equally relevant is averaged in. The transform of the target is chosen by the data. No prior that was fitted
       to a benchmark is used: the NAS-Bench-201 kernel prior of the predictor floor was tuned on the very table that a
       search of NAS-Bench-201 is judged by.
    3. *Candidates*: all architectures where there are at most 50,000; else a population bred from the front by
       mutation and crossover, three generations under the acquisition. Degenerate ones come last of all.
    4. *Acquisition*: expected hypervolume improvement over the observed front, exact for up to three objectives, and
       by slabs beyond. A known objective enters as certain. The belief in an observation includes its noise: of
       architectures that compute the same function, the luckiest is on the front; unless their values show that the
       same training stands for all of them (:mod:`.copies`), when the others come last.
       Every third proposal doubles the models' deviations.
    5. *Batch*: an architecture that is awaited counts as if its expected values had been observed.

    The reference point is the nadir, plus a tenth of the range, of the front that is believed in: observed points
    and expected ones. ``reference`` replaces it, which restricts the search to a box: a preference.

    *Constraints*: the front is that of what keeps them, and the improvement is that of values that keep them, which is
    exact (:mod:`.truncated`); what is known not to is proposed last of all. While nothing has kept them yet, the
    architecture most likely to is proposed (Gelbart, Snoek, Adams, "Bayesian optimization with unknown constraints",
    UAI 2014). Bounds are not a ``reference``: an architecture exactly on its bound is feasible, and counts.

    Parameters
    ----------
    initial
        Architectures evaluated before the model is asked.
    batch
        Architectures proposed at once, unless fewer are asked for. One is the most thrifty; more where evaluations
        run side by side.
    reference
        Largest values that are of interest, one an objective in its unit, with commas: ``"20,14.5"``; ``"-"`` for one
        that is left to the searcher.

    Notes
    -----
    It never repeats itself, and ends when the whole space was proposed. Architectures told without having been proposed
    are learnt from; one that is told twice counts with the mean of its values. An evaluation costs O(n p) for n
    evaluations and p candidates, and O(n^3) whenever the kernel is fitted anew, after every 15 % more evaluations.

    Its constants were chosen on the embedded ``nb201s-c10-{eyeriss,fpga,eyeriss-fpga}-v1`` and on the latencies of
    titanx_1, silver_4114, pixel2 and eyeriss (``nb201-c10-...-v1``). Figures on these say less than figures on other
    problems, and so do those on ``nb201-c10-fpga-v1``, whose latency is that of the embedded one.
    """

    name = "default"
    wants_known: ClassVar[bool] = True
    wants_constraints: ClassVar[bool] = True
    preference_option: ClassVar[str | None] = "reference"

    def __init__(
        self,
        space: SearchSpace,
        n_objectives: int,
        *,
        seed: int = 0,
        initial: int = 6,
        batch: int = 1,
        reference: str = "",
    ) -> None:
        super().__init__(space, n_objectives, seed=seed)
        self.initial = self._integer("initial", initial, least=1)
        self.batch = self._integer("batch", batch, least=1)
        self.reference = reference
        self._corner = self._parsed(reference)
        self._rng = np.random.default_rng(self.seed)
        self._unseen = Unseen(space, rng=self._rng)
        self._queue = space.from_codes([])
        self._awaited: dict[bytes, NDArray[Any]] = {}
        self._archive = _Archive(space, n_objectives)
        self._features: CandidateFeatures | None = None

    def options(self) -> dict[str, float | int | str]:
        """Size of the start and of a batch, and the reference point, if one was given."""
        return {"initial": self.initial, "batch": self.batch, "reference": self.reference}

    def _parsed(self, reference: object) -> Floats:
        """The reference point, (m,), NaN where it is the searcher's to choose."""
        if reference == "":
            return np.full(self.n_objectives, np.nan)
        parts = reference.split(",") if isinstance(reference, str) else []
        try:
            corner = np.array([np.nan if part.strip() == "-" else float(part) for part in parts])
        except ValueError:
            corner = np.empty(0)
        if len(corner) != self.n_objectives or np.isinf(corner).any():
            raise SearcherError(
                f"searcher {self.name!r}: reference must be {self.n_objectives} numbers with commas between, '-' for "
                f"one that is left open; got {reference!r}"
            )
        return corner

    def _ask(self, n: int | None) -> NDArray[Any]:
        size = self.batch if n is None else min(n, self.batch)
        if self._features is None:
            with one_blas_thread():
                self._begin()
        if not self._unseen.n_left:
            raise ExhaustedError(f"searcher {self.name!r}: all {self.space.size} architectures have been proposed")
        self._queue = self._unseen.left(self._queue)
        if len(self._queue):
            proposed, self._queue = self._queue[:size], self._queue[size:]
        elif len(self._archive):
            with one_blas_thread():
                proposed = self._by_model(size)
        else:  # nothing was told yet, or degenerate architectures only
            proposed = self._any(size)
        self._unseen.take(proposed)
        self._awaited.update((row.tobytes(), row) for row in proposed)
        return proposed

    def _tell(self, X: NDArray[Any], F: NDArray[np.float64]) -> None:
        self._unseen.take(X)
        for row in X:
            self._awaited.pop(row.tobytes(), None)
        alive = ~self.space.degenerate(X)
        if self._archive.add(X[alive], F[alive]) and self._features is not None:
            for model in self._models.values():
                model.forget_posterior()

    # ------------------------------------------------------------------ start

    def _begin(self) -> None:
        """What depends on the known objectives, which come after construction: features, candidates, the start."""
        self._features = features = CandidateFeatures(self.space)
        self._copies = Copies(self.space, known=list(self._known))
        self._archive.features = features
        self._models = {j: ObjectiveModel(features.groups) for j in range(self.n_objectives) if j not in self._known}
        self._whole: WholeSpace | None = None
        if self.space.size <= WHOLE_LIMIT:
            self._whole = WholeSpace(self.space, features=features, known=self._known_beforehand)
            self._open = np.ones(len(self._whole.candidates), dtype=bool)
            first = self._whole.candidates
            self._archive.features = self._whole.features
        else:
            self._nursery = Nursery(
                self.space, features=features, known=self._known_beforehand, unseen=self._unseen, rng=self._rng
            )
            X = self.space.sample(_FIRST_SAMPLE, rng=self._rng)
            first = self._nursery.candidates(X[~self.space.degenerate(X)])
        allowed = self._allowed(first)
        first = first.take(np.flatnonzero(allowed)) if allowed.any() and not allowed.all() else first
        if self._archive.n_told >= self.initial:
            return
        along = first.known[:, 0] if self._known else None
        rows = stratified(first.Z, self.initial, X=first.X, rng=self._rng, along=along)
        places = np.flatnonzero(allowed) if len(first) < len(allowed) else np.arange(len(allowed))
        drawn = [self._pick(self._whole.members(places[row])) if self._whole else first.X[row] for row in rows]
        self._queue = np.stack(drawn) if drawn else self._queue

    def _pick(self, X: NDArray[Any]) -> NDArray[Any]:
        chosen: NDArray[Any] = X[self._rng.integers(len(X))]
        return chosen

    def _any(self, size: int) -> NDArray[Any]:
        """Random architectures that are left, degenerate ones only where there are no others."""
        drawn = self._unseen.left(self.space.sample(20 * size, rng=self._rng))
        alive = drawn[~self.space.degenerate(drawn)]
        if not len(alive) and self.space.enumerable:
            left = self._unseen.left(self.space.enumerate())
            alive = left[~self.space.degenerate(left)]
            alive = alive if len(alive) else left
            alive = alive[self._rng.permutation(len(alive))]
        return alive[:size] if len(alive) else self._unseen.draw(size)

    # ------------------------------------------------------------------ model

    def _by_model(self, size: int) -> NDArray[Any]:
        """The architectures that promise most, one after the other."""
        candidates = self._whole.candidates if self._whole is not None else self._bred()
        if not len(candidates) or (self._whole is not None and not self._open.any()):
            return self._any(size)
        self._condition(candidates)
        front = self._imagine_awaited(self._feasible_front())
        proposed: list[NDArray[Any]] = []
        while len(proposed) < size:
            open_ = self._open if self._whole is not None else np.ones(len(candidates), dtype=bool)
            scores = self._scores(candidates, front=front, open_=open_, proposed=len(proposed))
            row, chosen = self._best(scores, candidates, proposed=proposed)
            if chosen is None:
                break
            proposed.append(chosen)
            if len(proposed) < size:
                front = self._joined(front, self._imagined(candidates, row))
        return np.stack(proposed) if proposed else self._any(size)

    def _best(
        self, scores: Floats, candidates: Candidates, *, proposed: list[NDArray[Any]]
    ) -> tuple[int, NDArray[Any] | None]:
        """Row of the greatest score that has an architecture left, and that architecture; None where all are gone."""
        taken = {x.tobytes() for x in proposed}
        while scores.max() > -np.inf:
            row = int(scores.argmax())
            members = self._whole.members(row) if self._whole is not None else candidates.X[row : row + 1]
            left = [x for x in self._unseen.left(members) if x.tobytes() not in taken]
            if left:
                return row, self._pick(np.stack(left))
            scores[row] = -np.inf
            if self._whole is not None and not taken:
                self._open[row] = False
        return -1, None

    def _condition(self, candidates: Candidates) -> None:
        """Bring the models up to all that was told, and in view of the candidates."""
        self._copies.update(self._archive.X, self._archive.F)
        for j, model in self._models.items():
            model.update(self._archive.inputs(), self._archive.F[:, j], pool=candidates.Z)
            model.forget_imagined(len(self._archive))

    def _beliefs(self, candidates: Candidates) -> list[Marginals]:
        beliefs = {j: model.beliefs() for j, model in self._models.items()}
        beliefs |= {j: Marginals.certain(candidates.known[:, i]) for i, j in enumerate(self._known)}
        return [beliefs[j] for j in range(self.n_objectives)]

    def _scores(self, candidates: Candidates, *, front: Floats, open_: NDArray[np.bool_], proposed: int = 0) -> Floats:
        """Expected gain of hypervolume by each candidate, (p,); less than 0 where there can be none."""
        doubt = _DOUBT[(len(self._archive) + len(self._awaited) + proposed) % len(_DOUBT)]
        beliefs = [belief.widened(doubt) for belief in self._beliefs(candidates)]
        bounded = truncated(beliefs, lower=self._lower, upper=self._upper)
        allowed = self._allowed(candidates)
        scores = np.where(open_, -1.0 - self._rng.random(len(open_)), -np.inf)
        scores[~allowed] -= 2.0
        if self._copies.idle:
            copies = self._copies.of_evaluated(candidates)
            scores[copies] -= 4.0
            allowed &= ~copies
        if not len(front):
            likely = np.prod([belief.inside() for belief in bounded], axis=0)
            return np.where(open_ & allowed & (likely > 0), likely, scores)
        expected = np.stack([belief.at(0.0) for belief in beliefs], axis=1)
        hopeful = np.stack([belief.at(-_OPTIMISM) for belief in beliefs], axis=1)
        reference = self._reference(front, expected=expected[open_ & allowed & self._within(expected)])
        promising = open_ & allowed & (hopeful < reference).all(axis=1)
        if self.constrained:
            promising &= np.all([belief.hopeful(_OPTIMISM) for belief in bounded], axis=0)
        rows = np.flatnonzero(promising)
        rows = rows[~dominated(hopeful[rows], by=front)]
        if len(rows) > _CONTENDERS:
            hopes = [Marginals.certain(hopeful[rows, j]) for j in range(self.n_objectives)]
            best = expected_improvement(hopes, front=front, reference=reference)
            rows = np.sort(rows[np.argsort(-best, kind="stable")[:_CONTENDERS]])
        if len(rows):
            taken = [belief.take(rows) for belief in beliefs]
            kept = truncated(taken, lower=self._lower, upper=self._upper) if self.constrained else taken
            gains = expected_improvement(kept, front=front, reference=reference)
            scores[rows] = np.where(gains > 0, gains, scores[rows])
        return scores

    # ------------------------------------------------------------------ constraints

    def _known_beforehand(self, X: NDArray[Any]) -> Floats:
        """Values of the known objectives and, where there is one, the known violation behind them: (n, k) or more."""
        values = self._known_values(X)
        if self._known_violation is None:
            return values
        return np.column_stack([values, self._violation_beforehand(X)])

    def _allowed(self, candidates: Candidates) -> NDArray[np.bool_]:
        """Which candidates keep all that can be known beforehand, (p,)."""
        allowed = np.ones(len(candidates), dtype=bool)
        for i, j in enumerate(self._known):
            allowed &= (candidates.known[:, i] >= self._lower[j]) & (candidates.known[:, i] <= self._upper[j])
        if self._known_violation is not None:
            allowed &= candidates.known[:, -1] <= 0
        return allowed

    def _within(self, F: Floats) -> NDArray[np.bool_]:
        """Which of (n, m) values lie within the bounds, (n,)."""
        return np.asarray(((self._lower <= F) & (self._upper >= F)).all(axis=1))

    def _joined(self, front: Floats, values: Floats) -> Floats:
        """The front and one more point, which counts where it lies within the bounds."""
        joined = np.concatenate([front, values[None]])
        return joined[self._within(joined)] if self.constrained else joined

    def _feasible_front(self) -> Floats:
        """Distinct nondominated values of what keeps the constraints, (k, m); none where nothing does."""
        if not self.constrained:
            return self._archive.front()
        kept = self._archive.F[self._violation(self._archive.X, self._archive.F) <= 0]
        return kept[nondominated(kept, keep_duplicates=False)] if len(kept) else kept

    def _parents(self) -> NDArray[np.intp]:
        """Rows of the archive to breed from: its front, or what violates the constraints least."""
        if not self.constrained:
            return np.flatnonzero(nondominated(self._archive.F))
        violation = self._violation(self._archive.X, self._archive.F)
        kept = np.flatnonzero(violation <= 0)
        if not len(kept):
            return np.argsort(violation, kind="stable")[:_LEAST_VIOLATING]
        return kept[nondominated(self._archive.F[kept])]

    # ------------------------------------------------------------------ hypervolume

    def _reference(self, front: Floats, *, expected: Floats) -> Floats:
        """Corner of the hypervolume, (m,): beyond the nadir of what was observed and what is expected together."""
        tolerance = _TOLERANCE * np.ptp(front, axis=0)
        beyond = expected[~dominated(expected + tolerance, by=front)]
        believed = np.concatenate([front, np.minimum(beyond, self._archive.F.max(axis=0))])
        best = believed[nondominated(believed, keep_duplicates=False)]
        low, high = best.min(axis=0), best.max(axis=0)
        own = high + _MARGIN * np.maximum(high - low, 1e-9 * np.maximum(np.abs(high), 1e-300))
        return np.where(np.isnan(self._corner), own, self._corner)

    def _imagined(self, candidates: Candidates, row: int) -> Floats:
        """Expected values of a candidate, (m,), which from now on count as observed."""
        values = np.empty(self.n_objectives)
        values[list(self._known)] = candidates.known[row, : len(self._known)]
        for j, model in self._models.items():
            values[j] = model.imagine(candidates.Z[row])
        return values

    def _imagine_awaited(self, front: Floats) -> Floats:
        """The front with what is still awaited, at its expected values."""
        assert self._archive.features is not None
        for x in self._awaited.values():
            X = x[None]
            if not self.space.degenerate(X)[0]:
                one = Candidates(X=X, Z=self._archive.features(X), known=self._known_beforehand(X))
                front = self._joined(front, self._imagined(one, 0))
        return front

    # ------------------------------------------------------------------ large spaces

    def _bred(self) -> Candidates:
        """The last of some generations of candidates, bred from the front under the acquisition."""
        best = self._parents()
        parents, front = self._archive.X[best], self._archive.F[best]
        front = self._feasible_front() if self.constrained else front
        made = self._nursery.breed(parents, without=parents[:0])
        for _ in range(_GENERATIONS - 1):
            if not len(made):
                break
            self._condition(made)
            scores = self._scores(made, front=front, open_=np.ones(len(made), dtype=bool))
            made = made.take(np.argsort(-scores, kind="stable")[:_SURVIVORS])
            made = made.joined(self._nursery.breed(made.X, without=made.X))
        return made


class _Archive:
    """What was told of architectures that are not degenerate, each once."""

    def __init__(self, space: SearchSpace, n_objectives: int) -> None:
        self.X = space.from_codes([])
        self.F = np.empty((0, n_objectives))
        self.features: Callable[[NDArray[Any]], Floats] | None = None
        self._times = np.empty(0)
        self._row_of: dict[bytes, int] = {}
        self._Z: Floats | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def n_told(self) -> int:
        """Architectures told, each once."""
        return len(self.X)

    def inputs(self) -> Floats:
        """Standardised features, (n, k)."""
        assert self.features is not None
        if self._Z is None:
            self._Z = self.features(self.X)
        elif len(self._Z) < len(self.X):
            self._Z = np.concatenate([self._Z, self.features(self.X[len(self._Z) :])])
        return self._Z

    def add(self, X: NDArray[Any], F: Floats) -> bool:
        """Take values, and say whether those of an architecture that was told before have changed."""
        changed = False
        for x, f in zip(X, F, strict=True):
            row = self._row_of.setdefault(x.tobytes(), len(self._row_of))
            if row == len(self.X):
                self.X = np.concatenate([self.X, x[None]])
                self.F = np.concatenate([self.F, f[None]])
                self._times = np.append(self._times, 1.0)
            else:
                self._times[row] += 1.0
                step = (f - self.F[row]) / self._times[row]
                changed |= bool(step.any())
                self.F[row] += step
        return changed

    def front(self) -> Floats:
        """Distinct nondominated values, (k, m)."""
        return self.F[nondominated(self.F, keep_duplicates=False)]
