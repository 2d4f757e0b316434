"""The fixed scale of a problem: ideal, nadir, reference point and the exact hypervolume of its front.

Ideal and nadir are those of the front of the non-degenerate architectures. Objectives are scaled by them, and the
reference point is 1.1 in each. A published manifest never moves; data that give another one make another problem.

Where a space is too large for an exact front, a published manifest holds the best known one instead, and says so
(:class:`HypervolumeReference`): HV* is then its hypervolume, and shares of HV* above 1 are possible.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.bounded import parse_json
from nasbench_mo.errors import FormatError, ManifestError
from nasbench_mo.pareto import front, hypervolume, ideal_and_nadir, normalize
from nasbench_mo.space import SearchSpace
from nasbench_mo.space.product import ProductSpace

if TYPE_CHECKING:
    from nasbench_mo.benchmark.search_problem import Problem, View

FORMAT_VERSION = 1
REFERENCE = 1.1
BEST_KNOWN = "best known"
#: Architectures over which values are summarised where a space cannot be written out.
FINGERPRINT_SAMPLE = 4_096
#: Largest relative difference between facts of the front at which two manifests still speak of the same data.
#: Published means are stored as float32, whose spacing at 94 % is 1.3e-6 of a 5.6 % error.
TOLERANCE = 1e-5
#: The same for fingerprints, in which roundings cancel: one architecture of 15,284 that is off by 0.03 of 20 shows.
FINGERPRINT_TOLERANCE = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A short summary of the values of all non-degenerate architectures, on the front or not.

    Parameters
    ----------
    mean
        Mean of each objective, (m,).
    weighted_mean
        Mean with weights that rise from 0 for the first architecture to 1 for the last, (m,): it changes where two
        architectures swap values.
    """

    mean: tuple[float, ...]
    weighted_mean: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontFacts:
    """Facts of one exact front: of the scored values or of the test values.

    Parameters
    ----------
    ideal, nadir
        Least and greatest value of each objective on the front, (m,), in the objectives' units.
    hypervolume
        Exact hypervolume of the scaled front to the reference point: HV*.
    front_size
        Number of distinct objective vectors on the front.
    fingerprint
        Summary of all values, so that data that differ behind the front are noticed too.
    """

    ideal: tuple[float, ...]
    nadir: tuple[float, ...]
    hypervolume: float
    front_size: int
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervolumeReference:
    """What HV* is the hypervolume of where nobody has the exact front: the best front known when it was made.

    Parameters
    ----------
    kind
        ``"best known"``.
    version
        Of the reference. A better front that is found later does not change it: it is another version, of another
        version of the problem.
    made
        How, in words.
    command
        What makes it again.
    evaluations
        Distinct architectures that were evaluated for it.
    front_kept
        Points of the front whose architectures are published beside the manifest, for distances to the front; HV*,
        ideal and nadir are of all of them.
    """

    kind: str
    version: int
    made: str
    command: str
    evaluations: int
    front_kept: int

    def __post_init__(self) -> None:
        if self.kind != BEST_KNOWN:
            raise ManifestError(
                f"a hypervolume reference is {BEST_KNOWN!r}, or absent where HV* is exact; got {self.kind!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The scale of one problem and the data it belongs to.

    Parameters
    ----------
    problem
        Identity of the problem.
    objectives
        Column names, in order.
    score, test
        Facts of the front of the scored and, where there are any, of the test values.
    observed
        Summary of what a search sees with noise seed 0.
    reference_point
        (m,) in scaled units.
    n_architectures, n_degenerate
        Size of the space, and how many were left out because their output does not depend on the input.
    data_hash
        :attr:`Problem.data_hash` of the data it was computed from.
    curves
        Summary of the scored values after fewer epochs, all epochs one after another; None without curves.
    constraints
        Bounds that an architecture has to keep to be on a front; the summaries are over all architectures.
    n_infeasible
        How many of those that are not degenerate do not keep them, by their scored values; None where not counted.
    hv_reference
        None where the front is exact. Else the front is the best known; the summaries are then over
        :func:`fingerprint_sample`, and ``n_degenerate`` counts those of that sample.

    Examples
    --------
    >>> from nasbench_mo import problem
    >>> manifest = problem("nb201s-c10-flops-v1").manifest
    >>> manifest.reference_point, manifest.n_architectures, manifest.n_degenerate
    ((1.1, 1.1), 15625, 341)
    """

    problem: str
    objectives: tuple[str, ...]
    score: FrontFacts
    test: FrontFacts | None
    observed: Fingerprint
    reference_point: tuple[float, ...]
    n_architectures: int
    n_degenerate: int
    data_hash: str
    curves: Fingerprint | None = None
    constraints: tuple[str, ...] = ()
    n_infeasible: int | None = None
    hv_reference: HypervolumeReference | None = None

    @property
    def exact(self) -> bool:
        """Whether HV* is that of the exact front."""
        return self.hv_reference is None

    def to_json(self) -> str:
        """Return the manifest file's text."""
        fields = asdict(self)
        if self.curves is None:
            del fields["curves"]
        if not self.constraints:  # a manifest without them is written as before there were any
            del fields["constraints"], fields["n_infeasible"]
        if self.hv_reference is None:
            del fields["hv_reference"]
        return json.dumps({"format": FORMAT_VERSION, **fields}, indent=1) + "\n"

    def _check(self) -> None:
        """Raise ManifestError where a field is not of its type, or of another number of objectives."""
        m = len(self.objectives)
        facts = [f for f in (self.score, self.test) if f is not None]
        summaries = [f for f in (self.observed, self.curves, *(f.fingerprint for f in facts)) if f is not None]
        vectors = [self.reference_point, *(v for f in facts for v in (f.ideal, f.nadir))]
        vectors += [v for f in summaries for v in (f.mean, f.weighted_mean)]
        counts = (self.n_architectures, self.n_degenerate, *(f.front_size for f in facts))
        texts = (self.problem, self.data_hash, *self.objectives, *self.constraints)
        whole = isinstance(self.score, FrontFacts) and all(_numbers(v, n=m) for v in vectors)
        whole = whole and all(type(n) is int for n in counts) and all(isinstance(t, str) for t in texts)
        known = self.hv_reference
        if known is not None:
            whole = whole and isinstance(known, HypervolumeReference) and type(known.front_kept) is int
        if not whole or not _numbers(tuple(f.hypervolume for f in facts), n=len(facts)):
            raise ManifestError(f"not a manifest: its fields are not those of {m} objectives")

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the manifest file's text.

        Raises
        ------
        ManifestError
            It is not a manifest of this format.
        """
        try:
            fields: dict[str, Any] = parse_json(text)
            if fields.pop("format") != FORMAT_VERSION:
                raise ManifestError(f"expected a manifest of format {FORMAT_VERSION}")
            for name in ("score", "test"):
                fields[name] = fields[name] and _front_facts(fields[name])
            fields["observed"] = Fingerprint(**_tuples(fields["observed"]))
            if "curves" in fields:
                fields["curves"] = Fingerprint(**_tuples(fields["curves"]))
            if "hv_reference" in fields:
                fields["hv_reference"] = HypervolumeReference(**fields["hv_reference"])
            made = cls(**_tuples(fields))
            made._check()
            return made
        except (AttributeError, KeyError, TypeError, FormatError) as error:
            raise ManifestError(f"not a manifest: {error}") from error


def _numbers(values: Any, *, n: int) -> bool:
    return isinstance(values, tuple) and len(values) == n and all(type(v) in (int, float) for v in values)


def has_exact_front(search_space: SearchSpace) -> bool:
    """Whether :func:`compute_manifest` can be computed over a space: it can be enumerated, or is a co-design space."""
    return search_space.enumerable or isinstance(search_space, ProductSpace)


def compute_manifest(problem: Problem) -> Manifest:
    """Compute a problem's manifest from its data, by enumerating its space.

    Networks with their accelerators are too many for that; :func:`.codesign.codesign_manifest` is as exact.

    Raises
    ------
    ManifestError
        The problem has one objective only.
    SpaceSizeError
        The space is too large to enumerate.
    MissingValueError
        A non-degenerate architecture has no value.
    ManifestError
        No architecture keeps the problem's constraints.

    Examples
    --------
    >>> from nasbench_mo import Objective, Problem, space
    >>> objectives = [Objective(name=name, unit="score", kind="modelled") for name in ("few", "many")]
    >>> zeros = lambda X: (X == 0).sum(axis=1, dtype=float)
    >>> both = lambda X: np.stack([zeros(X), 8 - zeros(X)], axis=1)
    >>> made = Problem.from_function("zeros-v1", both, search_space=space("nbmacro"), objectives=objectives)
    >>> manifest = compute_manifest(made)
    >>> manifest.score.ideal, manifest.score.nadir
    ((0.0, 0.0), (8.0, 8.0))
    """
    if isinstance(problem, str):
        raise ManifestError(f"expected a problem, got {problem!r}; open it first: nmo.problem({problem!r})")
    if problem.n_objectives < 2:
        raise ManifestError(f"problem {problem.id!r} has one objective; a hypervolume scale needs two or more")
    if not problem.space.enumerable and isinstance(problem.space, ProductSpace):
        from nasbench_mo.benchmark.codesign import codesign_manifest  # it makes manifests, so it imports this module

        return codesign_manifest(problem)
    X = problem.space.enumerate()
    degenerate = problem.space.degenerate(X)
    reference = tuple(REFERENCE for _ in problem.objectives)
    X_live = X[~degenerate]
    score = _facts(problem, X_live, view="score", reference=reference)
    n_infeasible = int((~problem.feasible(X_live)).sum()) if problem.constraints else None
    return Manifest(
        problem=problem.id,
        objectives=tuple(o.column for o in problem.objectives),
        score=score,
        test=_facts(problem, X_live, view="test", reference=reference) if problem.has_test else None,
        observed=_fingerprint(problem.observation(0).evaluate(X_live)) if problem.noisy else score.fingerprint,
        reference_point=reference,
        n_architectures=len(X),
        n_degenerate=int(degenerate.sum()),
        data_hash=problem.data_hash,
        curves=_curves(problem, X_live),
        constraints=problem.constraint_set.texts,
        n_infeasible=n_infeasible,
    )


def published_manifest(identifier: str) -> Manifest | None:
    """The manifest that this package publishes for a problem, or None."""
    resource = files("nasbench_mo.benchmark") / "manifests" / f"{identifier}.json"
    return Manifest.from_json(resource.read_text(encoding="utf-8")) if resource.is_file() else None


def published_front(identifier: str) -> NDArray[np.int64] | None:
    """Architectures of the best front known, (k, d), published beside a manifest; None where the front is exact."""
    resource = files("nasbench_mo.benchmark") / "manifests" / f"{identifier}.front"
    return read_front(resource.read_text(encoding="utf-8")) if resource.is_file() else None


def front_text(X: NDArray[Any]) -> str:
    """The file of a front's architectures: one a line, its integers between spaces."""
    return "".join(" ".join(map(str, row)) + "\n" for row in X.tolist())


def read_front(text: str) -> NDArray[np.int64]:
    """Architectures of :func:`front_text`, (k, d)."""
    return np.array([[int(v) for v in line.split()] for line in text.splitlines()], dtype=np.int64)


def fingerprint_sample(search_space: SearchSpace) -> NDArray[Any]:
    """The architectures over which the values of a space that cannot be written out are summarised, (n, d)."""
    return search_space.sample(FINGERPRINT_SAMPLE, rng=np.random.default_rng(0))


def best_known_manifest(problem: Problem, F: NDArray[np.float64], *, reference: HypervolumeReference) -> Manifest:
    """The manifest of a front that is the best known one.

    Parameters
    ----------
    problem
        One over a space that cannot be enumerated, without constraints, training noise and test values.
    F
        (k, m) values of the front.
    reference
        How it was found.

    Raises
    ------
    ManifestError
        The exact front of the space can be had, or the problem has what such a manifest cannot hold.
    """
    if has_exact_front(problem.space):
        raise ManifestError(f"problem {problem.id!r}: the exact front of space {problem.space.name!r} can be computed")
    if problem.constraints or problem.noisy or problem.has_test:
        raise ManifestError(
            f"problem {problem.id!r}: a best known front is for problems without constraints, training noise and test "
            "values"
        )
    X = fingerprint_sample(problem.space)
    degenerate = problem.space.degenerate(X)
    best = front(F)
    ideal, nadir = ideal_and_nadir(best)
    point = tuple(REFERENCE for _ in problem.objectives)
    fingerprint = _fingerprint(problem.evaluate(X[~degenerate]))
    return Manifest(
        problem=problem.id,
        objectives=tuple(o.column for o in problem.objectives),
        score=FrontFacts(
            ideal=tuple(ideal.tolist()),
            nadir=tuple(nadir.tolist()),
            hypervolume=hypervolume(normalize(best, ideal=ideal, nadir=nadir), reference=np.asarray(point)),
            front_size=len(best),
            fingerprint=fingerprint,
        ),
        test=None,
        observed=fingerprint,
        reference_point=point,
        n_architectures=problem.space.size,
        n_degenerate=int(degenerate.sum()),
        data_hash=problem.data_hash,
        hv_reference=reference,
    )


def differences(published: Manifest, local: Manifest) -> list[str]:
    """What differs between two manifests beyond :data:`TOLERANCE`, one sentence a difference; empty if nothing."""
    found = []
    for name in ("objectives", "constraints", "reference_point", "n_architectures", "n_degenerate", "n_infeasible"):
        a, b = getattr(published, name), getattr(local, name)
        if a != b:
            found.append(f"{name}: published {a}, these data {b}")
    for view in ("score", "test"):
        a, b = getattr(published, view), getattr(local, view)
        if (a is None) != (b is None):
            found.append(f"{view} values: published {'absent' if a is None else 'present'}, these data the opposite")
        elif a is not None:
            found += _fact_differences(a, b, view=view)
    found += _fingerprint_differences(published.observed, local.observed, view="observed")
    if (published.curves is None) != (local.curves is None):
        found.append(
            f"curves: published {'absent' if published.curves is None else 'present'}, these data the opposite"
        )
    elif published.curves is not None and local.curves is not None:
        found += _fingerprint_differences(published.curves, local.curves, view="curves")
    return found


def _front_facts(fields: dict[str, Any]) -> FrontFacts:
    return FrontFacts(**{**_tuples(fields), "fingerprint": Fingerprint(**_tuples(fields["fingerprint"]))})


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def _fact_differences(a: FrontFacts, b: FrontFacts, *, view: str) -> list[str]:
    found = []
    for name in ("ideal", "nadir"):
        for j, (x, y) in enumerate(zip(getattr(a, name), getattr(b, name), strict=True)):
            if abs(x - y) > TOLERANCE * max(abs(x), abs(y)):
                found.append(f"{view} {name} of objective {j}: published {x:.9g}, these data {y:.9g}")
    if abs(a.hypervolume - b.hypervolume) > TOLERANCE * a.hypervolume:
        found.append(f"{view} HV*: published {a.hypervolume:.9g}, these data {b.hypervolume:.9g}")
    if a.front_size != b.front_size:
        found.append(f"{view} front size: published {a.front_size}, these data {b.front_size}")
    return found + _fingerprint_differences(a.fingerprint, b.fingerprint, view=view)


def _fingerprint_differences(a: Fingerprint, b: Fingerprint, *, view: str) -> list[str]:
    found = []
    for name in ("mean", "weighted_mean"):
        for j, (x, y) in enumerate(zip(getattr(a, name), getattr(b, name), strict=True)):
            if abs(x - y) > FINGERPRINT_TOLERANCE * max(abs(x), abs(y)):
                found.append(
                    f"{view} {name.replace('_', ' ')} of objective {j} over all architectures: "
                    f"published {x:.12g}, these data {y:.12g}"
                )
    return found


def _facts(problem: Problem, X: Any, *, view: View, reference: tuple[float, ...]) -> FrontFacts:
    F = problem.evaluate(X, on=view)
    best = front(feasible_rows(problem, F, X=X))
    ideal, nadir = scale_of(best, everywhere=F) if problem.constraints else ideal_and_nadir(best)
    scaled = normalize(best, ideal=ideal, nadir=nadir)
    return FrontFacts(
        ideal=tuple(ideal.tolist()),
        nadir=tuple(nadir.tolist()),
        hypervolume=hypervolume(scaled, reference=np.asarray(reference)),
        front_size=len(best),
        fingerprint=_fingerprint(F),
    )


def feasible_rows(problem: Problem, F: NDArray[np.float64], *, X: NDArray[Any] | None) -> NDArray[np.float64]:
    """Rows of (n, m) values that keep the problem's constraints, (k, m).

    Raises
    ------
    ManifestError
        There is none, so the problem has no front.
    """
    if not problem.constraints:
        return F
    kept: NDArray[np.float64] = F[problem.constraint_set.violation(F, X=X) <= 0]
    if not len(kept):
        raise ManifestError(
            f"problem {problem.id!r}: no architecture keeps {' and '.join(problem.constraint_set.texts)}; loosen them"
        )
    return kept


def scale_of(
    best: NDArray[np.float64], *, everywhere: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ideal and nadir of a feasible front, (m,) each.

    Tight constraints may leave a front on which an objective has one value. It is then scaled by its range on the front
    of all values, so that a hypervolume is defined.

    Parameters
    ----------
    best
        (k, m) the feasible front.
    everywhere
        (n, m) values of all architectures, feasible or not.
    """
    ideal, nadir = ideal_and_nadir(best)
    flat = nadir <= ideal
    if flat.any():
        low, high = ideal_and_nadir(everywhere)
        nadir = np.where(flat, ideal + (high - low), nadir)
    return ideal, nadir


def _curves(problem: Problem, X: Any) -> Fingerprint | None:
    shorter = problem.fidelities[:-1]
    if not shorter or not problem.continues:  # shorter trainings of their own are no part of a problem's identity
        return None
    return _fingerprint(np.concatenate([problem.evaluate(X, epochs=epochs) for epochs in shorter]))


def _fingerprint(F: NDArray[np.float64]) -> Fingerprint:
    weights = np.linspace(0, 1, len(F))[:, None]
    return Fingerprint(mean=tuple(F.mean(axis=0).tolist()), weighted_mean=tuple((F * weights).mean(axis=0).tolist()))
