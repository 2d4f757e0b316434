"""Train, judge and store a predictor from a specification, one command from table to artefact."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError
from nasbench_mo.objective import Objective, minimised, to_minimised
from nasbench_mo.predictor.artifact import REFERENCE_FILE, Predictor, ReferenceFile
from nasbench_mo.predictor.features import default_feature_map, feature_map
from nasbench_mo.predictor.inputs import MeasuredInput
from nasbench_mo.predictor.models import StoredModel, model_kind
from nasbench_mo.predictor.recipes import INPUT_NOTE, KERNEL_NOTES
from nasbench_mo.predictor.xgb import Z90
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.specification import folder_name_of, is_integer, number_of, read_specification, text_of
from nasbench_mo.table import Table

_N_REFERENCE = 24
_THROUGHPUT = "images_per_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """What to train: the fields of ``spec.yaml``.

    Parameters
    ----------
    id
        Identity of the artefact, with version.
    space
        Search space.
    table, column
        Native table and the column to learn; a maximised column is learnt in its minimised form.
    name
        Name of the predicted objective, e.g. ``"valid_error"``.
    features
        Feature map; the space's default where None.
    held_out, calibration
        Shares of the topologies kept for the figures on the card and for the spread.
    seed
        Seed of the split and of XGBoost.
    degenerate_value
        Value of architectures without an input-output path; they are not trained on. None where a space has none.
    parameters
        Overrides of the estimator's defaults.
    n_fit
        Learn from so many random topologies, one architecture of each, instead of all that are left.
    inputs
        Columns of the same table that a query has to bring along, measured: a short training, a proxy.
    query_cost
        What bringing them costs, for the card; required with ``inputs``.
    """

    id: str
    space: str
    table: str
    column: str
    name: str
    estimator: str = "xgb"
    features: str | None = None
    held_out: float = 0.2
    calibration: float = 0.05
    seed: int = 0
    degenerate_value: float | None = None
    parameters: Mapping[str, Any] | None = None
    n_fit: int | None = None
    inputs: tuple[str, ...] = ()
    query_cost: str | None = None

    @classmethod
    def read(cls, path: Path) -> TrainingSpec:
        """Read and check a YAML specification."""
        required = ("id", "space", "table", "column", "name")
        fields = read_specification(path, allowed=[f.name for f in dataclasses.fields(cls)], required=required)
        if not isinstance(fields.get("inputs", []), list):
            raise SpecError(f"{path.name}: inputs must list columns of the table, got {fields['inputs']!r}")
        for name in ("space", "table", "column", "name", "features", "estimator", "query_cost"):
            if fields.get(name) is not None:
                text_of(fields[name], place=f"{path.name}: {name}")
        for name in ("held_out", "calibration", "degenerate_value"):
            if fields.get(name) is not None:
                number_of(fields[name], place=f"{path.name}: {name}")
        if not is_integer(fields.get("seed", 0)) or fields.get("seed", 0) < 0:
            raise SpecError(f"{path.name}: seed must be an integer of at least 0, got {fields['seed']!r}")
        if not isinstance(fields.get("parameters") or {}, Mapping):
            raise SpecError(f"{path.name}: parameters must map names to values, got {fields['parameters']!r}")
        made = cls(
            **{
                **fields,
                "id": folder_name_of(fields["id"], place=f"{path.name}: id"),
                "inputs": tuple(text_of(one, place=f"{path.name}: inputs") for one in fields.get("inputs", ())),
            }
        )
        if bool(made.inputs) != bool(made.query_cost):
            raise SpecError(f"{path.name}: give inputs and query_cost together: what has to be measured, and its cost")
        try:
            model_kind(made.estimator)
        except SpecError as error:
            raise SpecError(f"{path.name}: {error}") from None
        if made.n_fit is not None and (not is_integer(made.n_fit) or made.n_fit < 2):
            raise SpecError(f"{path.name}: n_fit must be an integer of at least 2, got {made.n_fit!r}")
        if not (0.2 <= made.held_out < 1 and 0 < made.calibration < 1 - made.held_out):
            raise SpecError(f"{path.name}: held_out must be at least 0.2 and leave room for calibration and training")
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutFigures:
    """How good a predictor is on topologies it has not seen."""

    n_rows: int
    kendall_tau_b: float
    rmse: float
    coverage_90: float


def train(spec: TrainingSpec, *, root: Path, command: str, spec_file: Path | None = None) -> Predictor:
    """Train a predictor and store it in ``root/<id>/``, with the specification file it was made from.

    Raises
    ------
    UnknownNameError
        The table is not there; import it first.
    SpecError
        ``root/<id>`` exists: published artefacts are frozen, raise the version instead. Or a part of the split has
        no architecture with a value.
    """
    target = root / spec.id
    if (target / "card.md").exists():
        raise SpecError(f"{target} exists and published artefacts are frozen; give the new one the next version")
    search_space = space(spec.space)
    table = Table.open(artifacts.find("hw_tables", spec.table) or artifacts.resolve("tables", spec.table))
    published = table.objectives[table.check_column(spec.column)]
    objective, y = learnt(published, table[spec.column], name=spec.name)
    X = search_space.check(table.encodings())
    usable = np.isfinite(y) & ~search_space.degenerate(X)
    for column in spec.inputs:
        usable &= np.isfinite(table[table.check_column(column)])
    fold = split_by_topology(search_space, X, spec=spec)
    features = feature_map(spec.features) if spec.features else default_feature_map(search_space)
    parts = {
        "fit": np.flatnonzero(usable & (fold == 0)),
        "calibration": one_per_topology(search_space, X, rows=np.flatnonzero(usable & (fold == 1)), seed=spec.seed),
        "held_out": one_per_topology(search_space, X, rows=np.flatnonzero(usable & (fold == 2)), seed=spec.seed),
    }
    if spec.n_fit is not None:
        parts["fit"] = _some_topologies(search_space, X, rows=parts["fit"], n=spec.n_fit, seed=spec.seed)
    for part, index in parts.items():
        if not index.size:
            raise SpecError(f"{spec.id}: no architecture with a value is left for {part!r} among {len(X)} rows")
    kind = model_kind(spec.estimator)
    fit = parts["fit"]
    inputs = [
        MeasuredInput.fitted(table[column][fit], objective=table.objectives[column], place=spec.id)
        for column in map(table.check_column, spec.inputs)
    ]
    extra = np.zeros((len(X), len(inputs)), dtype=np.float32)
    for j, one in enumerate(inputs):
        extra[usable, j] = one.column(table[one.objective.column][usable], n=int(usable.sum()))
    matrix = np.column_stack([features.compute(X), extra])
    columns = (*features.columns, *(one.feature for one in inputs))
    model = kind.fit(matrix[fit], y[fit], columns=columns, parameters=spec.parameters or {}, seed=spec.seed)
    model.calibrate(matrix[parts["calibration"]], y[parts["calibration"]])
    figures = judge(model, matrix[parts["held_out"]], y[parts["held_out"]])
    spec_text = spec_file.read_text(encoding="utf-8") if spec_file is not None else None
    with artifacts.staged_folder(target) as stage:
        model.save(stage)
        if spec_text is not None:
            (stage / "spec.yaml").write_text(spec_text, encoding="utf-8")
        kept = parts["held_out"][np.linspace(0, len(parts["held_out"]) - 1, _N_REFERENCE).astype(int)]
        reference = ReferenceFile(
            id=spec.id,
            space=spec.space,
            encoding_version=search_space.encoding_version,
            features=features.name,
            estimator=spec.estimator,
            objective=objective,
            relative_sd=model.spread,
            degenerate_value=spec.degenerate_value,
            sha256=artifacts.sha256(stage / kind.file),
            archs=tuple(search_space.decode(X[kept])),
            values=tuple(float(v) for v in model.predict(matrix[kept])),
            relative_tolerance=1e-5,
            inputs=tuple(inputs),
            input_values=tuple(tuple(float(table[c][i]) for c in spec.inputs) for i in kept) if inputs else (),
        )
        (stage / REFERENCE_FILE).write_text(reference.to_json() + "\n", encoding="utf-8")
        source = artifacts.read_card(table.path.parent)
        text = _card(
            spec, reference=reference, model=model, figures=figures, parts=parts, source=source, command=command
        )
        (stage / "card.md").write_text(text, encoding="utf-8")
    return Predictor.load(target)


def learnt(column: Objective, values: NDArray[np.float64], *, name: str) -> tuple[Objective, NDArray[np.float64]]:
    """What is learnt of a table's column: its identity, and (n,) positive values that are the better the smaller.

    An accuracy becomes an error. A throughput becomes the time of one image, which adds up over a network's layers.
    """
    fields = {**minimised(column).to_dict(), "name": name, "kind": "predicted"}
    fields.pop("note", None)
    if column.unit == _THROUGHPUT and column.direction == "max":
        objective = Objective.from_dict({**fields, "unit": "ms", "note": "1,000 / throughput: time of one image"})
        return objective, 1000.0 / values
    return Objective.from_dict(fields), to_minimised(values, column)


def split_by_topology(search_space: SearchSpace, X: NDArray[Any], *, spec: TrainingSpec) -> NDArray[np.int64]:
    """Fold of each row, (n,): 0 fit, 1 calibration, 2 held out. Rows of one equivalence class share a fold."""
    representative = search_space.equivalence_class(X)
    classes, member = np.unique(representative, return_inverse=True)
    order = np.random.default_rng(spec.seed).permutation(len(classes))
    fold_of_class = np.zeros(len(classes), dtype=np.int64)
    n_held_out = int(np.ceil(spec.held_out * len(classes)))
    n_calibration = int(np.ceil(spec.calibration * len(classes)))
    fold_of_class[order[:n_held_out]] = 2
    fold_of_class[order[n_held_out : n_held_out + n_calibration]] = 1
    return fold_of_class[member]


def one_per_topology(
    search_space: SearchSpace, X: NDArray[Any], *, rows: NDArray[np.intp], seed: int
) -> NDArray[np.intp]:
    """One row, drawn at random, of every equivalence class among some rows.

    A class with hundreds of twins would otherwise decide the figures alone: rows of a class are not exchangeable.
    """
    shuffled = np.random.default_rng(seed).permutation(rows)
    _, first = np.unique(search_space.equivalence_class(X[shuffled]), return_index=True)
    return np.sort(shuffled[first])


def _some_topologies(
    search_space: SearchSpace, X: NDArray[Any], *, rows: NDArray[np.intp], n: int, seed: int
) -> NDArray[np.intp]:
    leaders = one_per_topology(search_space, X, rows=rows, seed=seed)
    if n > len(leaders):
        raise SpecError(f"n_fit: expected at most {len(leaders)} topologies to learn from, got {n}")
    return np.sort(np.random.default_rng(seed).permutation(leaders)[:n])


def judge(model: StoredModel, features: NDArray[np.float32], y: NDArray[np.float64]) -> HeldOutFigures:
    """Rank correlation, error and interval coverage on rows the model has not seen."""
    from scipy.stats import kendalltau

    value, deviation = model.predict(features, return_std=True)
    inside = np.abs(y - value) <= Z90 * deviation
    return HeldOutFigures(
        n_rows=len(y),
        kendall_tau_b=float(kendalltau(value, y).statistic),
        rmse=float(np.sqrt(np.mean((value - y) ** 2))),
        coverage_90=float(inside.mean()),
    )


def _card(
    spec: TrainingSpec,
    *,
    reference: ReferenceFile,
    model: StoredModel,
    figures: HeldOutFigures,
    parts: Mapping[str, NDArray[np.intp]],
    source: Mapping[str, Any],
    command: str,
) -> str:
    unit = reference.objective.unit
    front = {
        "id": spec.id,
        "what": "trained predictor",
        "kind": "predicted",
        "space": spec.space,
        "objective": reference.objective.to_dict(),
        "estimator": spec.estimator,
        "features": reference.features,
        "model_sha256": reference.sha256,
        "trained_on": {
            "table": spec.table,
            "column": spec.column,
            "source": source.get("source"),
            "licence": source.get("licence"),
        },
        "rows": {name: len(index) for name, index in parts.items()},
        "split": "by function-equivalence class, so no twin of a held-out architecture was trained on; "
        "calibration and held-out rows are one per class",
        "seed": spec.seed,
        "held_out": {
            "kendall_tau_b": round(figures.kendall_tau_b, 4),
            f"rmse_{unit}": float(f"{figures.rmse:.4g}"),
            "coverage_of_90_percent_intervals": round(figures.coverage_90, 4),
        },
        "degenerate_value": spec.degenerate_value,
        **({"inputs": list(spec.inputs), "query_cost": spec.query_cost} if spec.inputs else {}),
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("nasbench-mo", "numpy")}
        | ({"xgboost": _xgboost_version()} if "xgb" in spec.estimator else {"scipy": version("scipy")})
        | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}",
        "superseded_by": None,
    }
    body = f"""
# {spec.id}

Predicts `{reference.objective.column}`: {reference.objective.describe()}.

{model.about}, fitted to {len(parts["fit"]):,} architectures, spread calibrated on
{len(parts["calibration"]):,} of other topologies. On {figures.n_rows:,} held-out topologies: Kendall tau-b
{figures.kendall_tau_b:.3f}, RMSE {figures.rmse:.3g} {unit},
{100 * figures.coverage_90:.1f} % of the true values inside the 90 % interval.

{_about_degenerate(spec, unit=unit)}{model.about_deviation}
"""
    if spec.inputs:
        body += (
            f"\nA query needs `{'`, `'.join(spec.inputs)}` of the architecture, measured. Its cost: {spec.query_cost}\n"
        )
    note = KERNEL_NOTES.get(str((spec.parameters or {}).get("kernel")))
    if note is not None:
        body += f"\n{note}{INPUT_NOTE if spec.inputs else ''}\n"
    return artifacts.render_card(front, body=body)


def _about_degenerate(spec: TrainingSpec, *, unit: str) -> str:
    if spec.degenerate_value is None:
        return ""
    return (
        f"Cells without a path from input to output are not modelled: they get {spec.degenerate_value} {unit}, chance\n"
        "level, with deviation 0. "
    )


def _xgboost_version() -> str:
    import xgboost

    return str(xgboost.__version__)
