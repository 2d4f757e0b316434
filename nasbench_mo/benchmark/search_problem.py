"""A problem: a search space, minimised objectives, and the values that go with them.

A search sees :meth:`Problem.observation`: one training seed's validation error for each architecture, drawn by a
``noise_seed`` that has nothing to do with the searcher's own randomness. Architectures are judged by
:meth:`Problem.evaluate`, the mean over training seeds, and reported on the test split afterwards.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.benchmark.constraint import Constraint, ConstraintSet
from nasbench_mo.benchmark.side_costs import side_costs
from nasbench_mo.benchmark.values import HIDDEN_SPLITS, FunctionValues, Values, as_real
from nasbench_mo.encoding import check_encodings, mixed_radix
from nasbench_mo.errors import ManifestError, MissingValueError, ObjectiveError, SpecError
from nasbench_mo.hardware import check_joinable
from nasbench_mo.objective import Objective
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.product import ProductSpace

if TYPE_CHECKING:
    from nasbench_mo.benchmark.manifest import FrontFacts, Manifest

_log = logging.getLogger(__name__)

View = Literal["score", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One objective of a problem and where its values come from.

    Parameters
    ----------
    objective, values
        What it is, and its values.
    cheap
        Whether a search may take the values for known; None for what the values say of themselves.
    """

    objective: Objective
    values: Values
    cheap: bool | None = None

    @property
    def known(self) -> bool:
        """Whether a search may take the values for known."""
        return self.values.cheap() if self.cheap is None else self.cheap


@final
class Evaluator:
    """Values of some architectures under one view of a problem: scored, tested, or observed with noise.

    Enumerable spaces are evaluated once as a whole; a query is then one mixed-radix code and one gather. Values of a
    user's function are computed when they are asked for, each time.
    """

    def __init__(
        self,
        search_space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        compute: Callable[[NDArray[Any]], NDArray[np.float64]],
        tabulated: bool = True,
    ) -> None:
        self.space = search_space
        self._tabulated = tabulated and search_space.enumerable
        self.objectives = tuple(objectives)
        self._compute = compute
        self._cardinalities: tuple[int, ...] = tuple(search_space.cardinalities.tolist())
        self._owner = f"space {search_space.name!r}"

    def evaluate(self, archs: Sequence[str] | ArrayLike) -> NDArray[np.float64]:
        """Minimised objective values, (n, m).

        Parameters
        ----------
        archs
            n published strings or (n, d) encodings.

        Raises
        ------
        ArchitectureError
            An architecture is not in the space.
        MissingValueError
            The data have no value for an architecture; it and the objective are named.
        """
        if isinstance(archs, np.ndarray) and archs.dtype.kind in "iu":
            X = check_encodings(archs, cardinalities=self._cardinalities, owner=self._owner)
        else:
            X = self.space.as_encodings(archs)
        if not self._tabulated:
            return self._checked(self._compute(X), X)
        F: NDArray[np.float64] = self._all.take(mixed_radix(X, cardinalities=self._cardinalities), axis=0)
        return F if self._complete else self._checked(F, X)

    def evaluate_one(self, arch: str | Sequence[int]) -> NDArray[np.float64]:
        """Minimised objective values of one architecture, (m,), read-only: without the cost of an array of one."""
        if isinstance(arch, np.ndarray) or not self._tabulated or not self._complete:
            found: NDArray[np.float64] = self.evaluate([arch] if isinstance(arch, str) else np.asarray([arch]))[0]
            found.flags.writeable = False
            return found
        row: NDArray[np.float64] = self._all[self.space.code(arch)]
        return row

    def attempt(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Values of (n, d) encodings, (n, m), with NaN where there is none: nothing is refused."""
        if not self._tabulated:
            return self._compute(X)
        return self._all.take(mixed_radix(X, cardinalities=self._cardinalities), axis=0)

    @cached_property
    def _all(self) -> NDArray[np.float64]:
        """Values of every architecture in lexicographic order, (size, m)."""
        F = np.ascontiguousarray(self._compute(self.space.enumerate()))
        F.flags.writeable = False
        return F

    @cached_property
    def _complete(self) -> bool:
        return not bool(np.isnan(self._all).any())

    def _checked(self, F: NDArray[np.float64], X: NDArray[Any]) -> NDArray[np.float64]:
        missing = np.argwhere(np.isnan(F))
        if missing.size:
            i, j = missing[0]
            arch = self.space.decode(X[i][None, :])[0]
            raise MissingValueError(
                f"no {self.objectives[j].column} for {arch!r} ({len(missing)} values missing in this query)"
            )
        return F


@final
class Problem:
    """A multi-objective search problem. Published ones come from :func:`nasbench_mo.problem`.

    Parameters
    ----------
    id
        Identity with version. A problem over data that differ from the published ones carries
        ``+local.<hash>`` behind it.
    search_space
        Where architectures come from.
    terms
        The objectives in column order.
    manifest
        Ideal, nadir, reference point and exact hypervolume of the front; None where unknown, and then
        hypervolume is refused.
    simulated_seconds, simulated_joules
        Training seconds and training energy of each architecture, if the data have them; after fewer epochs as well,
        where they were measured.
    constraints
        Bounds that an architecture has to keep; see :meth:`constrained`.

    Raises
    ------
    ObjectiveError
        An objective is maximised, labels values of another unit, or reads a test split: a search may not see it. Or
        one cost counts live operations alone, and another one dead ones too.
    SpecError
        There is no objective, or two have the same column, or no architecture keeps the constraints.
    """

    def __init__(
        self,
        id: str,
        *,
        search_space: SearchSpace,
        terms: Sequence[Term],
        manifest: Manifest | None = None,
        simulated_seconds: Values | None = None,
        simulated_joules: Values | None = None,
        description: str = "",
        constraints: Sequence[Constraint | str] = (),
    ) -> None:
        self.id = id
        self.space = search_space
        self.terms = tuple(terms)
        self.description = description
        self._manifest = manifest
        self._training_costs = {"seconds": simulated_seconds, "joules": simulated_joules}
        self._cost_sources: dict[tuple[str, int | None], tuple[Values, int | None, float]] = {}
        self._cost_columns: dict[tuple[str, int | None], NDArray[np.float64]] = {}
        self._evaluators: dict[object, Evaluator] = {}
        self._function: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None
        if not self.terms:
            raise SpecError(f"problem {id!r} has no objectives")
        columns = [o.column for o in self.objectives]
        if len(set(columns)) != len(columns):
            raise SpecError(f"problem {id!r}: objectives need different names; got {', '.join(columns)}")
        if self.noisy and not search_space.enumerable:
            raise SpecError(
                f"problem {id!r}: single training seeds are drawn for spaces that can be enumerated; "
                f"{search_space.name!r} cannot. Leave the seed columns out to search on the mean"
            )
        for term in self.terms:
            _refuse_hidden(term, problem=id)
            _refuse_other_unit(term, problem=id)
        check_joinable(*self.objectives)
        for quantity, values in self._training_costs.items():
            if values is not None and values.origin.unit not in _TRAINING_UNITS[quantity]:
                raise ObjectiveError(
                    f"problem {id!r}: training {quantity} are read from a column in "
                    f"{' or '.join(_TRAINING_UNITS[quantity])}; {values.origin.column} is in {values.origin.unit}"
                )
        self.unconstrained_manifest: Manifest | None = None
        self.constraint_set = self._constraint_set(constraints)
        self._refuse_unsatisfiable()

    @classmethod
    def from_function(
        cls,
        id: str,
        function: Callable[[NDArray[Any]], NDArray[np.float64]],
        *,
        search_space: SearchSpace,
        objectives: Sequence[Objective],
    ) -> Self:
        """Make a problem of a function from (n, d) int64 encodings to (n, m) minimised values.

        A function has no hash: two functions under one id and the same objectives look the same, so give a changed
        function another id.

        The function is called with the architectures that are asked for, once for all objectives. Asking for the
        manifest, and so for a hypervolume, calls it once with the whole space, if that can be enumerated.
        """

        def column(j: int) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
            return lambda X: _called(function, X, columns=columns)[:, j]

        columns = [o.column for o in objectives]
        terms = [
            Term(objective=o, values=FunctionValues(objective=o, function=column(j))) for j, o in enumerate(objectives)
        ]
        made = cls(id, search_space=search_space, terms=terms)
        made._function = function
        return made

    def __repr__(self) -> str:
        columns = ", ".join(o.column for o in self.objectives)
        bounds = f", subject to {' and '.join(self.constraint_set.texts)}" if self.constraint_set else ""
        return f"Problem({self.id!r}, space {self.space.name!r}, minimise {columns}{bounds})"

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The minimised objectives, in column order."""
        return tuple(t.objective for t in self.terms)

    @property
    def observed_objectives(self) -> tuple[Objective, ...]:
        """What a search sees: the objectives, those with training noise as one drawn seed instead of the mean."""
        return tuple(
            dataclasses.replace(t.objective, kind="measured", seed="drawn", note=None)
            if t.values.noisy()
            else t.objective
            for t in self.terms
        )

    @property
    def n_objectives(self) -> int:
        """Number of objectives m."""
        return len(self.terms)

    @property
    def has_test(self) -> bool:
        """Whether there are values of a test split. A problem of a function has none of its own."""
        return self._function is None and all(t.values.has_test() for t in self.terms)

    @property
    def noisy(self) -> bool:
        """Whether a search sees single training seeds."""
        return any(t.values.noisy() for t in self.terms)

    def known_objectives(self) -> dict[int, Callable[[NDArray[Any]], NDArray[np.float64]]]:
        """Objectives that cost nothing to know, by index: functions from (n, d) encodings to (n,) minimised values.

        They are what :meth:`.Searcher.set_known` takes. A noisy objective is never among them: what is known is what
        will be observed.
        """
        return {
            j: partial(_known_column, term, self.space)
            for j, term in enumerate(self.terms)
            if term.known and not term.values.noisy()
        }

    @cached_property
    def fidelities(self) -> tuple[int, ...]:
        """Epochs at which values are known, ascending, the last being the full training; empty without curves."""
        with_curves = [set(f) for f in (t.values.fidelities() for t in self.terms) if f]
        return tuple(sorted(set.intersection(*with_curves))) if with_curves else ()

    @cached_property
    def continues(self) -> bool:
        """Whether a longer training goes on where a shorter one ended, so that only the difference is paid."""
        return all(t.values.continues() for t in self.terms)

    def trained_epochs(self, epochs: int) -> int:
        """Epochs of training that the values after so many epochs take: more where they are a mean of several runs."""
        return max(t.values.trained_epochs(epochs) for t in self.terms)

    @cached_property
    def fidelities_hash(self) -> str:
        """SHA-256 of the values after fewer epochs that :attr:`data_hash` does not cover; empty where there are none.

        A curve is part of the data that decide the values. Shorter trainings of their own are not: a problem that
        gets some stays the same problem.
        """
        found = [(t.objective.column, t.values.fidelity_hash()) for t in self.terms]
        text = "".join(f"{column} {digest}\n" for column, digest in found if digest)
        return hashlib.sha256(text.encode()).hexdigest() if text else ""

    def evaluate(
        self, archs: Sequence[str] | ArrayLike, *, on: View = "score", epochs: int | None = None
    ) -> NDArray[np.float64]:
        """Minimised objective values, (n, m): what architectures are judged by.

        Parameters
        ----------
        archs
            n published strings or (n, d) encodings.
        on
            ``"score"``: mean over training seeds; ``"test"``: the test split.
        epochs
            One of :attr:`fidelities`, for the values after a shorter training; the full one by default.
        """
        return self.evaluator(on, epochs=epochs).evaluate(archs)

    def evaluate_one(self, arch: str | Sequence[int]) -> NDArray[np.float64]:
        """Scored values of one architecture, (m,), given as string or as d integers."""
        return self.evaluator("score").evaluate_one(arch)

    def evaluator(self, view: View, *, epochs: int | None = None) -> Evaluator:
        """Evaluator of the scored or the test values, on request after fewer epochs.

        Raises
        ------
        ObjectiveError
            There are no test values, or none after so many epochs.
        """
        if view not in ("score", "test"):
            raise ObjectiveError(f"a problem is evaluated on 'score' or 'test'; got {view!r}")
        if view == "test" and not self.has_test:
            lacking = ", ".join(t.objective.column for t in self.terms if not t.values.has_test())
            raise ObjectiveError(f"problem {self.id!r} has no test values{lacking and f' of {lacking}'}")
        short = self._shortened(epochs)
        if view == "test" and short is not None:
            raise ObjectiveError(
                f"problem {self.id!r} has test values after the full training alone, not after {epochs} epochs"
            )

        def scored(X: NDArray[Any]) -> NDArray[np.float64]:
            return self._scored(X, values=self._values(short))

        return self._evaluator((view, short), compute=scored if view == "score" else self._tested, epochs=short)

    def observation(self, noise_seed: int, *, epochs: int | None = None) -> Evaluator:
        """What a search sees: of every architecture the values of one training run, on request after fewer epochs.

        The run is drawn among those the data have, uniformly and independently for each architecture, by
        ``noise_seed`` alone: fewer epochs show the same run. Without single runs in the data this is the scored
        evaluator.

        Raises
        ------
        ObjectiveError
            There are no values after so many epochs.
        """
        if noise_seed < 0:
            raise SpecError(f"problem {self.id!r}: the noise seed must not be negative, got {noise_seed}")
        if not self.noisy:
            return self.evaluator("score", epochs=epochs)
        short = self._shortened(epochs)

        def compute(X: NDArray[Any]) -> NDArray[np.float64]:
            return self._observed(X, noise_seed=noise_seed, values=self._values(short))

        return self._evaluator(("noise", noise_seed, short), compute=compute, epochs=short)

    def _evaluator(
        self, key: object, *, compute: Callable[[NDArray[Any]], NDArray[np.float64]], epochs: int | None
    ) -> Evaluator:
        if key not in self._evaluators:
            tabulated = all(t.values.tabulated() for t in self.terms)
            objectives = [
                o if epochs is None or not t.values.fidelities() else dataclasses.replace(o, epochs=epochs)
                for t, o in zip(self.terms, self.objectives, strict=True)
            ]
            self._evaluators[key] = Evaluator(self.space, objectives, compute=compute, tabulated=tabulated)
        return self._evaluators[key]

    def _shortened(self, epochs: int | None) -> int | None:
        """Epochs of a shorter training, checked; None for the full one."""
        if epochs is None:
            return None
        known = self.fidelities
        if epochs not in known:
            raise ObjectiveError(
                f"problem {self.id!r} has values after {', '.join(map(str, known))} epochs; got {epochs}"
                if known
                else f"problem {self.id!r} has no values of shorter trainings; leave epochs out"
            )
        return None if epochs == known[-1] else int(epochs)

    def _values(self, epochs: int | None) -> list[Values]:
        return [t.values if epochs is None else t.values.at(epochs) for t in self.terms]

    @property
    def knows_seconds(self) -> bool:
        """Whether there are training seconds: then a search can be given a budget of them."""
        return self._training_costs["seconds"] is not None

    @property
    def knows_joules(self) -> bool:
        """Whether there is training energy: then a search can be given a budget of it."""
        return self._training_costs["joules"] is not None

    def simulated_seconds(self, X: NDArray[Any], *, epochs: int | None = None) -> NDArray[np.float64]:
        """Published training seconds of each architecture, (n,); NaN where unknown.

        A shorter training is as long as was measured; where it was not, it takes its share: every epoch is as long. A
        value that is the mean of several trainings takes them all.
        """
        return self._training_cost("seconds", X, epochs=epochs)

    def simulated_joules(self, X: NDArray[Any], *, epochs: int | None = None) -> NDArray[np.float64]:
        """Published training energy of each architecture in joules, (n,); NaN where unknown.

        What :meth:`simulated_seconds` says of shorter trainings holds here, too.
        """
        return self._training_cost("joules", X, epochs=epochs)

    def _training_cost(self, quantity: str, X: NDArray[Any], *, epochs: int | None) -> NDArray[np.float64]:
        if self._training_costs[quantity] is None:
            return np.full(len(X), np.nan)
        short = self._shortened(epochs)
        if (quantity, short) not in self._cost_sources:
            self._cost_sources[quantity, short] = self._cost_source(quantity, short)
        source, measured, share = self._cost_sources[quantity, short]
        if not self.space.enumerable:
            return source.score(X) * share
        key = (quantity, measured)
        if key not in self._cost_columns:  # of every architecture in lexicographic order, (size,)
            self._cost_columns[key] = source.score(self.space.enumerate())
        costs: NDArray[np.float64] = self._cost_columns[key][self.space.codes(X)] * share
        return costs

    def _cost_source(self, quantity: str, short: int | None) -> tuple[Values, int | None, float]:
        """Where a training cost is read, after how many epochs, and how often it is paid, in seconds or joules."""
        values = self._training_costs[quantity]
        assert values is not None  # the caller looked
        factor = _TRAINING_UNITS[quantity][values.origin.unit]
        if short is None:
            return values, None, factor
        trained = self.trained_epochs(short)
        if short in values.fidelities()[:-1]:
            return values.at(short), short, factor * (trained / short)
        return values, None, factor * (trained / self.fidelities[-1])

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over everything that decides the values: tables, models, definitions, in objective order."""
        digest = hashlib.sha256()
        for term in self.terms:
            digest.update(f"{term.objective.column} {term.values.data_hash()}\n".encode())
        for line in self.constraint_set.data_lines():
            digest.update(line.encode())
        return digest.hexdigest()

    # ------------------------------------------------------------------ constraints

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Bounds that an architecture has to keep, in a fixed order; empty where there are none."""
        return self.constraint_set.constraints

    def constrained(self, *constraints: Constraint | str) -> Problem:
        """The same objectives and data under further constraints. The problem itself stays as it is.

        Front, ideal, nadir, reference point and HV* are then those of the architectures that keep all bounds: the
        manifest is computed when it is first asked for, where the space can be enumerated.

        Parameters
        ----------
        *constraints
            Such as ``"latency_ms <= 5"``. The column is an objective, or one that costs nothing to know: counted
            parameters and multiply-accumulates and modelled latencies of NAS-Bench-201. Of several bounds of one column
            the tightest holds.

        Raises
        ------
        SpecError
            A text is no constraint, constraints contradict each other, or no architecture keeps them.
        ObjectiveError
            A column is unknown, ambiguous, or of another unit.
        """
        made = copy.copy(self)
        made.constraint_set = made._constraint_set([*self.constraints, *constraints])
        if made.constraint_set.texts == self.constraint_set.texts:
            return self
        made.unconstrained_manifest = self.unconstrained_manifest if self.constraint_set else self._manifest
        made._manifest = None
        made.__dict__.pop("data_hash", None)  # the columns beside the objectives belong to it
        made._refuse_unsatisfiable()
        return made

    def violation(
        self, of: Sequence[str] | ArrayLike, *, F: ArrayLike | None = None, on: View = "score"
    ) -> NDArray[np.float64]:
        """How far architectures violate the constraints, (n,): the sum of scaled excesses, 0 where they keep all.

        Parameters
        ----------
        of
            n published strings or (n, d) integer encodings; or (n, m) objective values, as floats, where every
            constraint bounds an objective.
        F
            (n, m) values to judge architectures by, such as those that were observed, in place of their own.
        on
            Which values of theirs: ``"score"`` or ``"test"``.

        Raises
        ------
        ObjectiveError
            Objective values are given where a column beside them is bounded.
        """
        array = np.asarray(of)
        if array.dtype.kind == "f":
            if self.constraint_set.beside:
                raise ObjectiveError(
                    f"problem {self.id!r} bounds {', '.join(self.constraint_set.beside)}, which is no objective; give "
                    "architectures, and their values as F"
                )
            return self.constraint_set.violation(array.astype(np.float64))
        X = self.space.as_encodings(of)
        values = self.evaluate(X, on=on) if F is None else np.asarray(F, dtype=np.float64)
        return self.constraint_set.violation(values, X=X)

    def feasible(
        self, of: Sequence[str] | ArrayLike, *, F: ArrayLike | None = None, on: View = "score"
    ) -> NDArray[np.bool_]:
        """Which architectures keep all constraints, (n,). See :meth:`violation`."""
        if not self.constraint_set:
            return np.ones(len(of if isinstance(of, Sequence) else np.asarray(of)), dtype=bool)
        return self.violation(of, F=F, on=on) <= 0

    def _constraint_set(self, given: Sequence[Constraint | str]) -> ConstraintSet:
        beside = side_costs(self.space, self.objectives) if given else {}
        return ConstraintSet.of(given, objectives=self.objectives, beside=beside, problem=self.id)

    def _refuse_unsatisfiable(self) -> None:
        """Refuse constraints that no architecture keeps, where that is seen without training or measuring any."""
        values = {t.objective.column: t.values for t in self.terms} | dict(self.constraint_set.beside)
        bounded = {c.column: values[c.column] for c in self.constraints}
        if not bounded or not self.space.enumerable or not all(v.tabulated() for v in bounded.values()):
            return
        X = self.space.enumerate()
        X = X[~self.space.degenerate(X)]
        kept = np.ones(len(X), dtype=bool)
        ranges = []
        for column, one in bounded.items():
            found = one.score(X)
            kept &= self.constraint_set.satisfied(column, found)
            ranges.append(f"{column} lies in {np.nanmin(found):.6g}..{np.nanmax(found):.6g}")
        if not kept.any():
            raise SpecError(
                f"problem {self.id!r}: no architecture keeps {' and '.join(self.constraint_set.texts)}; "
                f"{', '.join(ranges)}"
            )

    # ------------------------------------------------------------------ hypervolume

    @property
    def manifest(self) -> Manifest:
        """The problem's fixed scale.

        Raises
        ------
        ManifestError
            There is none: the space cannot be enumerated and nothing was published.
        """
        if self._manifest is None and self._makes_manifest:
            from nasbench_mo.benchmark.manifest import compute_manifest

            self._manifest = compute_manifest(self)
        if self._manifest is None:
            raise ManifestError(
                f"problem {self.id!r} has no manifest, so hypervolume has no reference; "
                "spaces that can be enumerated get one from benchmark.compute_manifest(problem)"
            )
        return self._manifest

    @property
    def has_manifest(self) -> bool:
        """Whether :attr:`manifest` can be had, so that there is a hypervolume."""
        return self._manifest is not None or self._makes_manifest

    @property
    def _makes_manifest(self) -> bool:
        """Whether the manifest is computed when it is asked for, and can be."""
        if self._function is None and not self.constraint_set:
            return False
        by_parts = isinstance(self.space, ProductSpace) and self._function is None and self.constraint_set.keeps_fronts
        return self.space.enumerable or by_parts

    def normalize(self, F: NDArray[np.float64], *, on: View = "score") -> NDArray[np.float64]:
        """Scale (n, m) values by the manifest: the front's ideal is 0 and its nadir 1 in each objective."""
        from nasbench_mo.pareto import normalize

        facts = self._facts(on)
        return normalize(F, ideal=np.asarray(facts.ideal), nadir=np.asarray(facts.nadir))

    def hypervolume(self, F: NDArray[np.float64], *, on: View = "score") -> float:
        """Exact hypervolume of (n, m) values, scaled, to the manifest's reference point.

        Values that violate a constraint do not count. Of columns beside the objectives the values say nothing: leave
        out the architectures that are not :meth:`feasible`, as a run does.
        """
        from nasbench_mo.pareto import hypervolume

        kept = np.asarray(F, dtype=np.float64)
        kept = kept[self.constraint_set.violation(kept) <= 0] if self.constraint_set else kept
        return hypervolume(self.normalize(kept, on=on), reference=np.asarray(self.manifest.reference_point))

    def hypervolume_share(self, F: NDArray[np.float64], *, on: View = "score") -> float:
        """Hypervolume of (n, m) values as a share of the exact front's."""
        return self.hypervolume(F, on=on) / self._facts(on).hypervolume

    def true_front(self, *, on: View = "score") -> NDArray[np.float64]:
        """Values of the exact front of the feasible, non-degenerate architectures, (k, m), sorted."""
        from nasbench_mo.pareto import front

        if not self.space.enumerable and isinstance(self.space, ProductSpace) and on == "score":
            from nasbench_mo.benchmark.codesign import codesign_front  # it reads problems, so it imports this module

            return codesign_front(self)
        X = self.space.enumerate()
        X = X[~self.space.degenerate(X)]
        F = self.evaluate(X, on=on)
        return front(F[self.feasible(X, F=F)])

    def reference_front(self) -> NDArray[np.float64]:
        """Values of the front that HV* belongs to, (k, m), sorted: the exact one, or the best known.

        Of a best known one these are the points whose architectures are published, spread over all of it.

        Raises
        ------
        ManifestError
            There is neither.
        """
        from nasbench_mo.benchmark.manifest import has_exact_front, published_front  # it reads problems
        from nasbench_mo.pareto import front

        if self._manifest is None or self._manifest.exact:
            if not has_exact_front(self.space):
                raise ManifestError(f"problem {self.id!r} has no front: its space cannot be enumerated")
            return self.true_front()
        X = published_front(self.id)
        if X is None:
            raise ManifestError(f"problem {self.id!r}: the architectures of its best known front are not published")
        return front(self.evaluate(X))

    def _facts(self, on: View) -> FrontFacts:
        facts = self.manifest.score if on == "score" else self.manifest.test
        if facts is None:
            raise ObjectiveError(f"problem {self.id!r} has no test values")
        return facts

    # ------------------------------------------------------------------ columns

    def _scored(self, X: NDArray[Any], *, values: Sequence[Values]) -> NDArray[np.float64]:
        if self._function is not None:
            return _called(self._function, X, columns=[o.column for o in self.objectives])
        return np.stack([v.score(X) for v in values], axis=1)

    def _tested(self, X: NDArray[Any]) -> NDArray[np.float64]:
        columns = []
        for term in self.terms:
            values = term.values.test(X)
            if values is None:
                raise ObjectiveError(f"problem {self.id!r}: {term.objective.column} has no test values")
            columns.append(values)
        return np.stack(columns, axis=1)

    def _observed(self, X: NDArray[Any], *, noise_seed: int, values: Sequence[Values]) -> NDArray[np.float64]:
        """One training run per architecture; all objectives with runs take the same draw."""
        draw = np.random.default_rng([noise_seed, _NOISE_STREAM]).random(self.space.size)[self.space.codes(X)]
        columns = []
        for one in values:
            runs = one.seeds(X)
            columns.append(one.score(X) if runs is None else _drawn(runs, draw=draw))
        return np.stack(columns, axis=1)


#: Units in which training costs may be given, and how many seconds or joules one of them is.
_TRAINING_UNITS: Mapping[str, Mapping[str, float]] = {
    "seconds": {"s": 1.0},
    "joules": {"j": 1.0, "kwh": 3.6e6, "mj": 1e-3, "uj": 1e-6},
}

#: Keeps the noise stream apart from a searcher that happens to use the same seed.
_NOISE_STREAM = 0x6E6F6973


def _drawn(runs: NDArray[np.float64], *, draw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row of (n, s) runs the one that a number in [0, 1) points at, NaN runs left out, (n,)."""
    exists = np.isfinite(runs)
    n_runs = exists.sum(axis=1)
    wanted = np.minimum((draw * n_runs).astype(int), np.maximum(n_runs - 1, 0))
    position = np.cumsum(exists, axis=1) - 1
    hit = exists & (position == wanted[:, None])
    values: NDArray[np.float64] = np.where(hit, runs, 0.0).sum(axis=1)
    return np.where(n_runs > 0, values, np.nan)


def _known_column(term: Term, search_space: SearchSpace, X: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(term.values.score(search_space.check(X)), dtype=np.float64)


def _called(
    function: Callable[[NDArray[Any]], NDArray[np.float64]], X: NDArray[Any], *, columns: Sequence[str]
) -> NDArray[np.float64]:
    """What a user's function says, checked. It gets a copy: no integer narrower than it expects, none to modify."""
    F = as_real(function(np.array(X, dtype=np.int64)), of=", ".join(columns))
    if F.shape != (len(X), len(columns)):
        raise ObjectiveError(
            f"the function of {', '.join(columns)} must return shape {(len(X), len(columns))}, got {F.shape}"
        )
    return F


def _refuse_other_unit(term: Term, *, problem: str) -> None:
    if term.values.origin.unit != term.objective.unit:
        raise ObjectiveError(
            f"problem {problem!r}: {term.objective.column} is in {term.objective.unit}, but its values "
            f"({term.values.origin.column}) are in {term.values.origin.unit}"
        )


def _refuse_hidden(term: Term, *, problem: str) -> None:
    if term.objective.direction != "min":
        raise ObjectiveError(f"problem {problem!r}: {term.objective.column} must be minimised")
    for objective in (term.objective, *term.values.seen()):
        if objective.split in HIDDEN_SPLITS:
            raise ObjectiveError(
                f"problem {problem!r}: {objective.column} is of split {objective.split!r}; a search may not see test "
                "values. Search on a validation column and report on the test column afterwards"
            )
