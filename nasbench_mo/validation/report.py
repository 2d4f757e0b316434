"""How wrong the predictions of a run were: what a study measured, beside what the search was told."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.pareto import nondominated
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.validation.comparison import Correction, Coverage, LevelAgreement, RankAgreement, ranks
from nasbench_mo.validation.measured_rows import measured_columns
from nasbench_mo.validation.shortlist import Role, SearchedRun
from nasbench_mo.validation.statements import in_epochs, statements
from nasbench_mo.validation.study import Study, Trained

#: Units of a measured column to factors of an objective's unit.
_FACTORS: Mapping[tuple[str, str], float] = {
    ("us", "us"): 1.0,
    ("us", "ms"): 1e-3,
    ("us", "s"): 1e-6,
    ("percent", "percent"): 1.0,
    ("percent", "fraction"): 0.01,
    ("count", "count"): 1.0,
    ("count", "millions"): 1e-6,
    ("mib", "mib"): 1.0,
}
_ERROR = "valid_error_mean_percent"
_TAU_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterpart:
    """The measured column that an objective of the search is compared with.

    Parameters
    ----------
    column
        Its name; None where nothing measured corresponds.
    factor
        From its unit to the objective's.
    levels_comparable
        Whether both are the same quantity, so that their difference is an error. Otherwise only ranks are compared.
    replaces
        Whether the measured values stand for the objective when networks are compared with each other; the latency on
        another device does not.
    because
        Why, in words.
    """

    column: str | None
    factor: float
    levels_comparable: bool
    replaces: bool
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveReport:
    """One objective of the search against what was measured. Measured values are in the objective's unit.

    Parameters
    ----------
    objective, counterpart
        What is compared.
    networks
        Networks (positions in the shortlist) that have both values.
    predicted, measured
        (k,) their values.
    predicted_rank, measured_rank
        (k,) from 1, the best.
    agreement
        Of the ranks; None where nothing is compared.
    levels, correction, coverage
        None where they make no sense or there are too few networks.
    mean_measured_front, mean_measured_controls
        Means over the networks of each role; NaN where there is none.
    """

    objective: Objective
    counterpart: Counterpart
    networks: tuple[int, ...]
    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    predicted_rank: tuple[int, ...]
    measured_rank: tuple[int, ...]
    agreement: RankAgreement | None
    levels: LevelAgreement | None
    correction: Correction | None
    coverage: Coverage | None
    mean_measured_front: float
    mean_measured_controls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReport:
    """One network of the shortlist.

    Parameters
    ----------
    arch, role, evaluation, contribution
        As in :class:`.Chosen`.
    predicted, deviation
        (m,) what the search saw, and the predictions' standard deviations.
    measured
        Column of ``measured.parquet`` to value; None where the network failed.
    dominated_by
        Positions of the networks that dominate it by the measured values; None where it has none.
    trained
        Its trainings, curves included.
    failures
        What went wrong.
    """

    arch: str
    role: Role
    evaluation: int
    contribution: float
    predicted: tuple[float, ...]
    deviation: tuple[float | None, ...]
    measured: Mapping[str, float | None]
    dominated_by: tuple[int, ...] | None
    trained: tuple[Trained, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintReport:
    """One constraint of the problem, judged by measured values.

    Parameters
    ----------
    constraint
        Its text.
    violated_by
        Positions of the networks that violate it; None where it cannot be judged.
    because
        Why not.
    """

    constraint: str
    violated_by: tuple[int, ...] | None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedNetwork:
    """A network of the front after the predictions were corrected.

    Parameters
    ----------
    arch, evaluation
        Which.
    values
        (m,) measured where it was measured, corrected predictions otherwise.
    measured, on_predicted_front
        Whether it was measured, and whether the run's own front has it.
    """

    arch: str
    evaluation: int
    values: tuple[float, ...]
    measured: bool
    on_predicted_front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a study says of a run's predictions.

    Parameters
    ----------
    study
        What was trained and measured.
    objectives, networks
        In the order of the run's objectives and of the shortlist.
    compared_on
        (m,) for each objective whether networks were compared by measured values; predicted ones otherwise.
    constraints
        Of the problem.
    corrected_front
        The front of all that the run evaluated, predictions corrected; None where they cannot be.
    no_correction_because
        Why not.
    statements
        What follows, in sentences.
    """

    study: Study
    objectives: tuple[ObjectiveReport, ...]
    networks: tuple[NetworkReport, ...]
    compared_on: tuple[bool, ...]
    constraints: tuple[ConstraintReport, ...]
    corrected_front: tuple[CorrectedNetwork, ...] | None
    no_correction_because: str | None
    statements: tuple[str, ...] = ()

    @property
    def n_front(self) -> int:
        """Networks of the predicted front with measured values."""
        return sum(n.role == "front" and n.dominated_by is not None for n in self.networks)

    @property
    def n_still_nondominated(self) -> int:
        """Those of them that none of the measured networks dominates."""
        return sum(n.role == "front" and n.dominated_by == () for n in self.networks)

    def to_json(self) -> str:
        """The report as JSON; what is missing or undefined is null."""
        return json.dumps(_plain(dataclasses.asdict(self)), indent=1, allow_nan=False) + "\n"


def make_report(study: Study, run: SearchedRun) -> Report:
    """Compare what a study measured with what its run was told.

    Parameters
    ----------
    study
        Of :func:`.validate`.
    run
        The run whose shortlist it is.
    """
    columns = {c.objective.column: np.asarray(c.values, dtype=np.float64) for c in measured_columns(study)}
    counterparts = [counterpart(o, study=study, columns=columns) for o in study.objectives]
    objectives = tuple(
        _objective_report(study, j, found=found, columns=columns) for j, found in enumerate(counterparts)
    )
    F = _measured_objectives(study, counterparts, columns=columns)
    dominators = _dominators(F)
    networks = tuple(
        NetworkReport(
            arch=network.arch,
            role=network.role,
            evaluation=network.evaluation,
            contribution=network.contribution,
            predicted=network.predicted,
            deviation=network.deviation,
            measured={name: None if np.isnan(v[i]) else float(v[i]) for name, v in columns.items()},
            dominated_by=dominators[i],
            trained=tuple(done for done in study.trained if done.arch == network.arch),
            failures=_failures(study, network.arch),
        )
        for i, network in enumerate(study.networks)
    )
    corrected, why = _corrected_front(study, run, objectives=objectives, F=F)
    report = Report(
        study=study,
        objectives=objectives,
        networks=networks,
        compared_on=tuple(c.replaces for c in counterparts),
        constraints=_constraints(run, objectives),
        corrected_front=corrected,
        no_correction_because=why,
    )
    return dataclasses.replace(report, statements=statements(report))


def counterpart(objective: Objective, *, study: Study, columns: Mapping[str, Any]) -> Counterpart:
    """The measured column that an objective of the search is compared with, and in which way."""
    name, unit = objective.name, objective.unit
    if "error" in name and (unit, objective.direction) in (("percent", "min"), ("fraction", "min")):
        return _error_counterpart(objective, study=study, columns=columns)
    if name.startswith("latency"):
        return _latency_counterpart(objective, study=study, columns=columns)
    for quantity, column in (("params", "params_count"), ("flops", "macs_count"), ("macs", "macs_count")):
        if name.startswith(quantity):
            return _made(
                objective,
                column,
                columns=columns,
                because="counted in the network that was trained, dead operations left out; ranks are compared",
            )
    if name.startswith("memory"):
        return _made(objective, "memory_mib", columns=columns, because="memory in the runtime here; ranks are compared")
    return _nothing(f"nothing that was measured here corresponds to {objective.column}")


def _error_counterpart(objective: Objective, *, study: Study, columns: Mapping[str, Any]) -> Counterpart:
    epochs = study.recipe.epochs
    same_net = _same_networks(objective, study)
    same = (objective.dataset, objective.epochs, objective.split) == (study.dataset, epochs, "valid") and same_net
    before = f"{objective.dataset or 'another data set'}" + (
        f" after {in_epochs(objective.epochs)}" if objective.epochs else ""
    )
    because = (
        f"both are errors on {study.dataset} after {in_epochs(epochs)}, if the recipe was the same"
        if same
        else f"{_verb(objective)} for {before}, measured on {study.dataset} after {in_epochs(epochs)}"
        f"{'' if same_net else ' in another skeleton'}: the levels are not comparable, the ranks are"
    )
    return _made(objective, _ERROR, columns=columns, because=because, levels=same, replaces=True)


def _latency_counterpart(objective: Objective, *, study: Study, columns: Mapping[str, Any]) -> Counterpart:
    here, verb = study.profile.device, _verb(objective)
    as_predicted = "latency_as_predicted_us" in columns
    same_net = as_predicted or _same_networks(objective, study)
    column = "latency_as_predicted_us" if as_predicted else "latency_p10_us" if same_net else "latency_p50_us"
    if objective.device != here:
        because = f"{verb} for {objective.device or 'an unnamed device'}, measured on {here}: ranks are compared"
        return _made(objective, column, columns=columns, because=because)
    same_kind = objective.batch in (None, 1) and objective.precision in (None, study.profile.precision)
    if same_kind and same_net:
        runtime = objective.runtime
        other = f"; {verb} for {runtime}, measured with {study.profile.runtime}" if runtime else ""
        because = f"both are latencies on {here}, of the same networks{other}"
    elif same_kind:
        because = f"measured on {here} in the skeleton that was trained, not in the predicted one: ranks are compared"
    else:
        because = f"measured on {here} with batch 1 in {study.profile.precision}, {verb} otherwise: ranks are compared"
    return _made(objective, column, columns=columns, because=because, levels=same_kind and same_net, replaces=same_kind)


def _same_networks(objective: Objective, study: Study) -> bool:
    """Whether the skeleton that the objective was predicted in is the one that was trained."""
    try:
        return Skeleton.for_dataset(objective.dataset or "") == study.skeleton
    except SpecError:
        return objective.dataset == study.dataset  # the user's own images, in the study's own skeleton


def _made(
    objective: Objective,
    column: str,
    *,
    columns: Mapping[str, Any],
    because: str,
    levels: bool = False,
    replaces: bool = False,
) -> Counterpart:
    factor = _FACTORS.get((column.rpartition("_")[2], objective.unit))
    if column not in columns or factor is None:
        return _nothing(f"{column} was not measured" if column not in columns else f"{column} is in another unit")
    return Counterpart(column=column, factor=factor, levels_comparable=levels, replaces=replaces, because=because)


def _nothing(because: str) -> Counterpart:
    return Counterpart(column=None, factor=1.0, levels_comparable=False, replaces=False, because=because)


def _objective_report(
    study: Study, j: int, *, found: Counterpart, columns: Mapping[str, NDArray[np.float64]]
) -> ObjectiveReport:
    predicted = np.array([network.predicted[j] for network in study.networks])
    deviation = np.array([np.nan if d.deviation[j] is None else d.deviation[j] for d in study.networks], dtype=float)
    measured = np.full(len(predicted), np.nan) if found.column is None else found.factor * columns[found.column]
    known = np.flatnonzero(np.isfinite(measured))
    is_front = np.array([network.role == "front" for network in study.networks])
    p, y = predicted[known], measured[known]
    correction = Correction.of(p, y) if known.size else None
    return ObjectiveReport(
        objective=study.objectives[j],
        counterpart=found,
        networks=tuple(known.tolist()),
        predicted=tuple(p.tolist()),
        measured=tuple(y.tolist()),
        predicted_rank=tuple(ranks(p)),
        measured_rank=tuple(ranks(y)),
        agreement=RankAgreement.of(p, y, rng=np.random.default_rng(_TAU_SEED)) if known.size else None,
        levels=LevelAgreement.of(p, y) if found.levels_comparable and known.size else None,
        correction=correction,
        coverage=_coverage(p, y, deviation=deviation[known], found=found, correction=correction),
        mean_measured_front=_mean(measured[is_front]),
        mean_measured_controls=_mean(measured[~is_front]),
    )


def _coverage(
    predicted: NDArray[np.float64],
    measured: NDArray[np.float64],
    *,
    deviation: NDArray[np.float64],
    found: Counterpart,
    correction: Correction | None,
) -> Coverage | None:
    if not len(predicted) or not np.isfinite(deviation).all():
        return None
    if found.levels_comparable:
        return Coverage.of(predicted, measured, deviation=deviation, corrected=False)
    if correction is None:
        return None
    scale = abs(correction.slope)
    return Coverage.of(np.array(correction.left_out), measured, deviation=scale * deviation, corrected=True)


def _measured_objectives(
    study: Study, counterparts: Sequence[Counterpart], *, columns: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(n, m) what the networks are compared by: measured values where they stand for the objective, else predicted."""
    F = np.array([network.predicted for network in study.networks], dtype=np.float64)
    for j, found in enumerate(counterparts):
        if found.replaces and found.column is not None:
            F[:, j] = found.factor * columns[found.column]
    return F


def _dominators(F: NDArray[np.float64]) -> list[tuple[int, ...] | None]:
    """Of each row of (n, m) values the rows that dominate it; None where a value is missing."""
    known = np.asarray(np.isfinite(F).all(axis=1))
    found: list[tuple[int, ...] | None] = []
    for i in range(len(F)):
        better = (F <= F[i]).all(axis=1) & (F < F[i]).any(axis=1) & known
        found.append(tuple(np.flatnonzero(better).tolist()) if known[i] else None)
    return found


def _corrected_front(
    study: Study, run: SearchedRun, *, objectives: Sequence[ObjectiveReport], F: NDArray[np.float64]
) -> tuple[tuple[CorrectedNetwork, ...] | None, str | None]:
    """The front of everything that the run evaluated: measured where measured, else corrected predictions."""
    usable = np.flatnonzero(~run.degenerate & ~run.infeasible & run.full)
    values = np.array(run.F, dtype=np.float64)
    for j, objective in enumerate(objectives):
        if not objective.counterpart.replaces:
            continue
        correction = objective.correction
        if correction is not None and correction.useful:
            values[:, j] = correction(values[:, j])
        elif not objective.counterpart.levels_comparable:
            return None, _no_correction(objective)
    rows = np.array([network.evaluation for network in study.networks])
    known = np.isfinite(F).all(axis=1)
    values[rows[known]] = F[known]
    is_measured = np.zeros(len(values), dtype=bool)
    is_measured[rows[known]] = True
    before = set(np.asarray(run.front().evaluation).tolist())
    index = usable[nondominated(values[usable], keep_duplicates=True)]
    index = index[np.lexsort(values[index].T[::-1])]
    return (
        tuple(
            CorrectedNetwork(
                arch=run.archs[i],
                evaluation=i,
                values=tuple(values[i].tolist()),
                measured=bool(is_measured[i]),
                on_predicted_front=i in before,
            )
            for i in index.tolist()
        ),
        None,
    )


def _no_correction(objective: ObjectiveReport) -> str:
    column, correction = objective.objective.column, objective.correction
    if correction is None:
        return f"too few networks have different predictions of {column} and a measured value to fit a line"
    if correction.slope <= 0:
        return f"measured {column} does not grow with the predicted one (slope {correction.slope:.3g})"
    return (
        f"a line from predicted to measured {column}, fitted to the other networks, misses a network by "
        f"{correction.left_out_error:.3g} {objective.objective.unit} on average, their plain mean by "
        f"{correction.mean_error:.3g}"
    )


def _constraints(run: SearchedRun, objectives: Sequence[ObjectiveReport]) -> tuple[ConstraintReport, ...]:
    """The problem's constraints by measured values, where their levels mean the same."""
    found = []
    for constraint in run.problem.constraints:
        column = constraint.column
        of = next((o for o in objectives if o.objective.column == column), None)
        if of is None or not of.counterpart.levels_comparable:
            because = f"{column} is no objective of the search" if of is None else f"{column}: {of.counterpart.because}"
            found.append(ConstraintReport(constraint=str(constraint), violated_by=None, because=because))
            continue
        sign = -1.0 if constraint.relation == ">=" else 1.0
        violated = [i for i, y in zip(of.networks, of.measured, strict=True) if sign * y > sign * constraint.bound]
        found.append(
            ConstraintReport(constraint=str(constraint), violated_by=tuple(violated), because="by measured values")
        )
    return tuple(found)


def _failures(study: Study, arch: str) -> tuple[str, ...]:
    failed = [
        f"training with seed {done.seed}: {done.failure}"
        for done in study.trained
        if done.arch == arch and done.failure is not None
    ]
    costs = study.profile.failures.get(arch)
    return (*failed, *([] if costs is None else [f"latency: {costs}"]))


def _verb(objective: Objective) -> str:
    """How the problem came by its values: a measured table knows them, it does not predict."""
    return "tabulated" if objective.kind in ("measured", "derived") else objective.kind


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _plain(value: Any) -> Any:
    """Types that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
