"""What a report's numbers say, and what so few networks cannot say, in sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nasbench_mo.validation.comparison import FEW, LEAST_FOR_CORRECTION

if TYPE_CHECKING:
    from nasbench_mo.validation.report import ObjectiveReport, Report

#: Networks closer than so many standard errors of one network's error are not told apart by their order.
_TELLING = 2.0


def statements(report: Report) -> tuple[str, ...]:
    """The findings of a report, the most important first; its own statements are not looked at."""
    return (
        *_failures(report),
        *_nondominated(report),
        *(text for objective in report.objectives for text in _objective(objective)),
        *_few(report),
        *_sampling(report),
        *_controls(report),
        *_constraints(report),
        *_correction(report),
        *_precision(report),
        *_measuring(report),
        *_energy(report),
    )


def in_epochs(n: int) -> str:
    """A number of epochs in words."""
    return f"{n} epoch{'' if n == 1 else 's'}"


def number(value: float) -> str:
    """A number for people."""
    return "unknown" if not math.isfinite(value) else f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def _failures(report: Report) -> list[str]:
    failed = [n for n in report.networks if n.failures]
    if not failed:
        return []
    return [
        f"{len(failed)} of {len(report.networks)} networks failed and are left out where they have no value: "
        + "; ".join(f"{n.arch}: {', '.join(n.failures)}" for n in failed)
        + ". The same command tries them again."
    ]


def _nondominated(report: Report) -> list[str]:
    if not any(report.compared_on):
        return ["No objective of the search was measured here, so its front cannot be judged; only ranks are compared."]
    kept = [
        o.objective.column for o, measured in zip(report.objectives, report.compared_on, strict=True) if not measured
    ]
    with_predicted = f", with {' and '.join(kept)} as predicted" if kept else ""
    n_measured = sum(n.dominated_by is not None for n in report.networks)
    if n_measured < 2:
        return ["With fewer than two measured networks nothing can be said of the front."]
    return [
        f"Of the {report.n_front} networks of the predicted front that were measured, {report.n_still_nondominated} "
        f"remain nondominated among the {n_measured} measured networks{with_predicted}."
    ]


def _objective(report: ObjectiveReport) -> list[str]:
    column, found = report.objective.column, report.agreement
    if found is None:
        return [f"{column}: not compared, {report.counterpart.because}."]
    if math.isnan(found.tau_b):
        which = "a single network has" if found.n == 1 else "networks with equal values have"
        return [f"{column}: {which} no order to compare; {report.counterpart.because}."]
    texts = [
        f"{column}: {report.counterpart.because}. Rank agreement tau-b {found.tau_b:.2f} over {found.n} networks "
        f"(90 % bootstrap interval {found.low:.2f} to {found.high:.2f}; p = {found.p_value:.2g} for no association)."
    ]
    if report.levels is not None:
        texts.append(
            f"{column}: predictions miss by {number(report.levels.mape_percent)} % on average (bias "
            f"{report.levels.bias_percent:+.1f} %, worst {number(report.levels.worst_percent)} %)."
        )
    if report.coverage is not None:
        corrected = report.coverage.corrected
        after = ", moved and scaled by a line through the other networks" if corrected else ""
        what = (
            f". The intervals are meant for {report.objective.dataset or 'what was predicted'} and know nothing of the "
            "change of image set and recipe, so that fewer do not make them wrong there."
            if corrected
            else "."
        )
        texts.append(
            f"{column}: {report.coverage.inside} of {report.coverage.n} measured values lie in the predictions' 90 % "
            f"intervals{after}; about {0.9 * report.coverage.n:.1f} are expected{what}"
        )
    return texts


def _few(report: Report) -> list[str]:
    n = min((o.agreement.n for o in report.objectives if o.agreement is not None), default=FEW)
    if not 2 <= n < FEW:
        return []
    return [
        f"{n} networks are few. A random order would be perfect once in {math.factorial(n):,} times, and a bootstrap "
        "of so few is narrower than the truth: take its intervals as a lower bound of the doubt."
    ]


def _sampling(report: Report) -> list[str]:
    """Whether the validation images tell the networks apart at all."""
    errors = [n.measured.get("valid_error_mean_percent") for n in report.networks]
    known = np.array([e for e in errors if e is not None])
    if len(known) < 2:
        return []
    share = float(known.mean()) / 100
    n_images = report.study.n_images["valid"]
    noise = 100 * math.sqrt(share * (1 - share) / n_images)
    spread = float(known.std(ddof=1))
    text = (
        f"Validation errors on {report.study.dataset} are known to about {number(noise)} points (one standard error on "
        f"{n_images:,} images, if these are independent), and the networks differ by {number(spread)} points "
        "(standard deviation)"
    )
    if spread < _TELLING * noise:
        return [
            f"{text}: their order on this image set is largely chance. A harder image set, or more images, would tell "
            "them apart."
        ]
    n_seeds = len(report.study.seeds)
    return [f"{text}; {'one training seed each' if n_seeds == 1 else f'means over {n_seeds} training seeds'}."]


def _controls(report: Report) -> list[str]:
    texts = []
    for o, measured in zip(report.objectives, report.compared_on, strict=True):
        if measured and math.isfinite(o.mean_measured_front) and math.isfinite(o.mean_measured_controls):
            texts.append(
                f"{o.objective.column}, measured: {number(o.mean_measured_front)} {o.objective.unit} on average for "
                f"the networks of the front, {number(o.mean_measured_controls)} for the controls off it."
            )
    return texts


def _constraints(report: Report) -> list[str]:
    texts = []
    for c in report.constraints:
        if c.violated_by is None:
            texts.append(f"Constraint {c.constraint}: cannot be judged here, {c.because}.")
        else:
            texts.append(
                f"Constraint {c.constraint}: {len(c.violated_by)} of {len(report.networks)} networks violate it by "
                "measured values."
            )
    return texts


def _correction(report: Report) -> list[str]:
    if report.corrected_front is None:
        return [f"No corrected front: {report.no_correction_because}."]
    if not any(report.compared_on):
        return []
    n = len(report.corrected_front)
    new = sum(not network.on_predicted_front for network in report.corrected_front)
    unmeasured = sum(not network.measured for network in report.corrected_front)
    few = len(report.networks) < 2 * LEAST_FOR_CORRECTION
    return [
        f"With measured values where there are any and corrected predictions elsewhere, the front of all that the run "
        f"evaluated has {n} networks: {new} of them were not on the predicted front, {unmeasured} were not measured."
        + (" The correction rests on few networks; it is a direction, not a result." if few else "")
    ]


def _precision(report: Report) -> list[str]:
    """What the precision of the measurements does to the error."""
    precision = report.study.profile.precision
    pairs = [
        (
            network.measured.get("valid_error_mean_percent"),
            network.measured.get(f"valid_error_{precision}_mean_percent"),
        )
        for network in report.networks
    ]
    known = np.array([(before, after) for before, after in pairs if before is not None and after is not None])
    if not len(known):
        return []
    before, after = known.mean(axis=0)
    return [
        f"In {precision} the validation error is {number(float(after))} % on average, {number(float(before))} % as "
        f"trained; {number(float((known[:, 1] - known[:, 0]).max()))} points more in the worst case."
    ]


def _measuring(report: Report) -> list[str]:
    """What makes the latencies less than they seem."""
    costs = report.study.profile
    if not costs.unsteady:
        return []
    return [
        f"{len(costs.unsteady)} of {len(report.networks)} networks did not come to a steady time of a run before they "
        "were measured: the device is disturbed, or too warm. Their latencies are not to be trusted."
    ]


def _energy(report: Report) -> list[str]:
    texts = []
    if report.study.profile.no_energy_because is not None:
        texts.append(f"Energy of a run is not available here: {report.study.profile.no_energy_because}.")
    reasons = sorted({done.no_joules_because for done in report.study.trained if done.no_joules_because is not None})
    return [*texts, f"Training energy is not known: {'; '.join(reasons)}."] if reasons else texts
