"""The predictor benchmark: how well estimators rank and cover, against the number of architectures they learn from.

Every split trains on random architectures of different topologies and is judged on all architectures of the other
topologies, so no isomorphic twin of a judged cell was trained on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.features import feature_map
from nasbench_mo.predictor.recipes import ModelRecipe
from nasbench_mo.predictor.training import learnt
from nasbench_mo.predictor.xgb import Z90
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.specification import is_integer, mapping_of, number_of, read_specification, text_of
from nasbench_mo.table import Table

#: What is drawn to learn from.
Draw = Literal["topologies", "architectures"]

#: Called with the fits that are done and their number.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """A row of somebody else's table, to stand beside ours.

    Parameters
    ----------
    method, source
        Its name, and where its figures were read.
    target
        Label of our target beside which it stands.
    kendall_tau
        Training size to Kendall's tau.
    """

    method: str
    source: str
    target: str
    kendall_tau: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSpec:
    """The fields of a protocol's YAML file.

    Parameters
    ----------
    title, notes
        Heading of the report, and what a reader has to know to compare.
    space, table
        Search space and native table.
    targets
        Label to the column that is learnt, e.g. ``{CIFAR-10: c10_test_accuracy_200ep_mean_percent}``.
    models
        Label to recipe.
    sizes
        Architectures to learn from; a number below 1 is a share of the topologies.
    n_splits
        Splits, with the seeds 0, 1, ...
    published
        Rows of others.
    draw
        What a split learns from: ``"topologies"``, one architecture of each of so many random topologies, or
        ``"architectures"``, so many random architectures, twins among them. It is judged on other topologies in any
        case.
    """

    title: str
    notes: str
    space: str
    table: str
    targets: Mapping[str, str]
    models: Mapping[str, ModelRecipe]
    sizes: tuple[float, ...]
    n_splits: int
    published: tuple[PublishedRow, ...] = ()
    draw: Draw = "topologies"

    @classmethod
    def read(cls, path: Path) -> EvaluationSpec:
        """Read and check a YAML specification."""
        names = [f.name for f in dataclasses.fields(cls)]
        required = [n for n in names if n not in ("published", "draw")]
        fields = read_specification(path, allowed=[*names, "protocol"], required=required)
        fields.pop("protocol", None)
        for name in ("targets", "models"):
            if not isinstance(fields[name], Mapping) or not fields[name]:
                raise SpecError(f"{path.name}: {name} must map labels to values, got {fields[name]!r}")
        if fields.get("draw", "topologies") not in get_args(Draw):
            raise SpecError(f"{path.name}: draw must be one of {', '.join(get_args(Draw))}, got {fields['draw']!r}")
        sizes = fields["sizes"]
        if not isinstance(sizes, list) or not all(_is_size(size) for size in sizes) or not sizes:
            raise SpecError(f"{path.name}: sizes must list integers of at least 2, or shares below 1; got {sizes!r}")
        if not is_integer(fields["n_splits"]) or fields["n_splits"] < 1:
            raise SpecError(f"{path.name}: n_splits must be a positive integer, got {fields['n_splits']!r}")
        return cls(
            **{
                **fields,
                "targets": {
                    str(k): text_of(v, place=f"{path.name}: target {k!r}") for k, v in fields["targets"].items()
                },
                "models": {
                    str(k): ModelRecipe.from_dict(v, place=f"{path.name}: model {k!r}")
                    for k, v in fields["models"].items()
                },
                "sizes": tuple(sizes),
                "published": tuple(_published(row, place=path.name) for row in fields.get("published") or ()),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One fit and what came of it.

    Parameters
    ----------
    target, model
        Labels.
    size, split
        Architectures learnt from, and the seed of the split.
    n_judged
        Architectures it was judged on.
    kendall_tau_b, spearman
        Rank correlations.
    rmse
        In the target's unit.
    coverage_90
        Share of the judged architectures whose true value is inside the 90 % interval.
    coverage_90_topologies
        The same with every topology counted once, however many of the judged architectures are of it. That is what
        intervals can promise that were calibrated on one architecture of each topology.
    fit_s, query_s
        CPU seconds of the fit, and of predicting all judged architectures with deviations, features not included.
    """

    target: str
    model: str
    size: int
    split: int
    n_judged: int
    kendall_tau_b: float
    spearman: float
    rmse: float
    coverage_90: float
    coverage_90_topologies: float
    fit_s: float
    query_s: float


#: The figures of :class:`Judged` that are averaged over the splits.
FIGURES = ("kendall_tau_b", "spearman", "rmse", "coverage_90", "coverage_90_topologies", "fit_s", "query_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Mean and standard deviation of the figures over the splits, by name; the deviation of one split is NaN."""

    target: str
    model: str
    size: int
    n_splits: int
    mean: Mapping[str, float]
    deviation: Mapping[str, float]


def evaluate(spec: EvaluationSpec, *, progress: Progress | None = None) -> list[Judged]:
    """Fit every model on every target, size and split.

    Raises
    ------
    UnknownNameError
        The table is not there; import it first.
    SpecError
        There are too few topologies for a size.
    """
    search_space = space(spec.space)
    table = Table.open(artifacts.resolve("tables", spec.table))
    X = search_space.check(table.encodings())
    classes = search_space.equivalence_class(X)
    features = {
        label: feature_map(recipe.feature_name(search_space)).compute(X) for label, recipe in spec.models.items()
    }
    jobs = [(t, s, k) for t in spec.targets for s in spec.sizes for k in range(spec.n_splits)]
    found = []
    for i, (target, size, split) in enumerate(jobs):
        column = spec.targets[target]
        _, y = learnt(table.objectives[table.check_column(column)], table[column], name=column)
        usable = np.isfinite(y) & ~search_space.degenerate(X)
        rows, judged = split_rows(search_space, X, usable=usable, size=size, seed=split, draw=spec.draw)
        _, topology, n_twins = np.unique(classes[judged], return_inverse=True, return_counts=True)
        weights = 1.0 / n_twins[topology]
        for j, (label, recipe) in enumerate(spec.models.items()):
            fitted = _judge(recipe, features[label], y, rows=rows, judged=judged, weights=weights, space=search_space)
            found.append(
                Judged(target=target, model=label, size=len(rows), split=split, n_judged=len(judged), **fitted)
            )
            if progress is not None:
                progress(i * len(spec.models) + j + 1, len(jobs) * len(spec.models))
    return found


def split_rows(
    search_space: SearchSpace,
    X: NDArray[Any],
    *,
    usable: NDArray[np.bool_],
    size: float,
    seed: int,
    draw: Draw = "topologies",
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to learn from, drawn as :class:`EvaluationSpec` says, and all usable rows of topologies not among them.

    Raises
    ------
    SpecError
        There are not more than ``size`` topologies or architectures, or nothing is left to be judged on.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(np.flatnonzero(usable))
    classes = search_space.equivalence_class(X)
    if draw == "topologies":
        _, first = np.unique(classes[shuffled], return_index=True)
        shuffled = rng.permutation(shuffled[np.sort(first)])
    n = round(size * len(shuffled)) if size < 1 else int(size)
    if not 2 <= n < len(shuffled):
        raise SpecError(f"expected 2 to {len(shuffled) - 1} {draw} to learn from, got {n}")
    chosen = shuffled[:n]
    others = np.flatnonzero(usable & ~np.isin(classes, classes[chosen]))
    if not others.size:
        raise SpecError(f"{n} architectures to learn from leave no topology to be judged on; take fewer")
    return chosen, others


def summarise(found: Sequence[Judged]) -> list[Summary]:
    """Figures over the splits, in the order in which targets, models and sizes came first."""
    groups: dict[tuple[str, str, int], list[Judged]] = {}
    for one in found:
        groups.setdefault((one.target, one.model, one.size), []).append(one)
    summaries = []
    for (target, model, size), rows in groups.items():
        values = {name: np.array([getattr(row, name) for row in rows]) for name in FIGURES}
        summaries.append(
            Summary(
                target=target,
                model=model,
                size=size,
                n_splits=len(rows),
                mean={name: float(v.mean()) for name, v in values.items()},
                deviation={name: float(v.std(ddof=1)) if len(v) > 1 else float("nan") for name, v in values.items()},
            )
        )
    return summaries


def _judge(
    recipe: ModelRecipe,
    features: NDArray[np.float32],
    y: NDArray[np.float64],
    *,
    rows: NDArray[np.intp],
    judged: NDArray[np.intp],
    weights: NDArray[np.float64],
    space: SearchSpace,
) -> dict[str, float]:
    from scipy.stats import kendalltau, spearmanr

    began = time.process_time()
    model = recipe.build(space).fit(features[rows], y[rows])
    fitted = time.process_time()
    value, deviation = model.predict(features[judged], return_std=True)
    done = time.process_time()
    truth = y[judged]
    inside = np.abs(truth - value) <= Z90 * deviation
    return {
        "kendall_tau_b": float(kendalltau(value, truth).statistic),
        "spearman": float(spearmanr(value, truth).statistic),
        "rmse": float(np.sqrt(np.mean((value - truth) ** 2))),
        "coverage_90": float(inside.mean()),
        "coverage_90_topologies": float(np.average(inside, weights=weights)),
        "fit_s": fitted - began,
        "query_s": done - fitted,
    }


def _is_size(value: object) -> bool:
    return (is_integer(value) and isinstance(value, int) and value >= 2) or (isinstance(value, float) and 0 < value < 1)


def _published(value: object, *, place: str) -> PublishedRow:
    known = [f.name for f in dataclasses.fields(PublishedRow)]
    fields = mapping_of(value, place=f"{place}: published", allowed=known, required=known)
    if not isinstance(fields["kendall_tau"], Mapping):
        raise SpecError(f"{place}: published: kendall_tau must map training sizes to values")
    return PublishedRow(
        method=text_of(fields["method"], place=f"{place}: published: method"),
        source=text_of(fields["source"], place=f"{place}: published: source"),
        target=text_of(fields["target"], place=f"{place}: published: target"),
        kendall_tau={
            str(k): number_of(v, place=f"{place}: published: kendall_tau") for k, v in fields["kendall_tau"].items()
        },
    )
