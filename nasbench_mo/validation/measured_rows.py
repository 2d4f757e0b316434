"""The measured values of a study as a native table, and back to a searcher: ``measured.parquet``.

The loop is closed in two ways. :func:`tell_measured` tells a searcher what was measured, so that it goes on from there.
:func:`append_measured` gathers the rows of one validation after the other in a table of one's own, of which a problem
can be made, or on which a predictor can be trained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import ObjectiveError, SpecError
from nasbench_mo.objective import Objective, to_minimised
from nasbench_mo.table import FILE_NAME, Column, Table, write_table
from nasbench_mo.training.building import nb201
from nasbench_mo.validation.shortlist_profile import AS_PREDICTED
from nasbench_mo.validation.study import Study, Trained

if TYPE_CHECKING:
    from nasbench_mo.search import Searcher

MEASURED = "measured.parquet"
#: Scores, and the direction in which each is better.
_SCORES: dict[str, Literal["min", "max"]] = {"error": "min", "precision": "max", "recall": "max", "f1": "max"}


def measured_columns(study: Study) -> list[Column]:
    """Everything that was measured or counted, one value a network of the shortlist; NaN where one failed.

    Means are over the seeds. A network that failed with one seed has no mean: it would be one of other seeds.
    """
    columns = [
        *_score_columns(study),
        *_deployed_columns(study),
        *_training_columns(study),
        *_latency_columns(study),
        *_size_columns(study),
    ]
    return [c for c in columns if not np.isnan(np.asarray(c.values, dtype=np.float64)).all()]


def write_measured(study: Study, path: Path) -> Table | None:
    """Write the table of a study to a Parquet file, whole or not at all; None where nothing was measured."""
    columns = measured_columns(study)
    if not columns:
        return None
    archs = [network.arch for network in study.networks]
    name = f"validation-{study.run_hash[:12]}-{study.dataset}"
    _replace_table(path, columns, id=name, archs=archs, encodings=nb201().encode(archs))
    return Table.open(path)


def measured_values(table: Table, columns: Sequence[str | Objective]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Encodings (n, d) and minimised values (n, m) of the networks that have all of some columns.

    Parameters
    ----------
    table
        Of :func:`write_measured`.
    columns
        m columns in the order of a searcher's objectives.

    Raises
    ------
    ObjectiveError
        The table has no such column, or no network with all of them.
    """
    names = [table.check_column(column) for column in columns]
    F = np.stack([to_minimised(table[name], table.objectives[name]) for name in names], axis=1)
    known = np.isfinite(F).all(axis=1)
    if not known.any():
        raise ObjectiveError(f"table {table.id!r} has no network with all of {', '.join(names)}")
    return table.encodings()[known], F[known]


def tell_measured(searcher: Searcher, table: Table, columns: Sequence[str | Objective]) -> int:
    """Tell a searcher what was measured, and return how many networks that were.

    The columns stand for the searcher's objectives, in their order and in their units: a searcher that was told
    predictions of CIFAR-10 must not be told errors on digits.

    Raises
    ------
    ObjectiveError
        There are no such columns, or not as many as the searcher has objectives.
    SearcherError
        The searcher takes only what it has proposed.
    """
    if len(columns) != searcher.n_objectives:
        raise ObjectiveError(
            f"searcher {searcher.name!r} has {searcher.n_objectives} objectives; got {len(columns)} columns"
        )
    X, F = measured_values(table, columns)
    searcher.tell(X, F)
    return len(X)


def append_measured(measured: Table, path: Path) -> Table:
    """Add the rows of a validation to a native table of one's own, whole or not at all.

    A row that is there already gets the new values and keeps those that were not measured again.

    Parameters
    ----------
    measured
        Of :func:`write_measured`.
    path
        Parquet file of the table; made where it does not exist.

    Raises
    ------
    ObjectiveError
        A column of the same name is another quantity there: of another device, data set or recipe.
    SpecError
        The table is of another space, or a published one, which is never edited.

    Examples
    --------
    After two validations of a run on one device::

        for folder in ("first", "second"):
            table = append_measured(nmo.table(f"{folder}/measured.parquet"), Path("mine.parquet"))
        tell_measured(searcher, table, ["valid_error_mean_percent", "latency_p50_us"])
    """
    before = own_table(path)
    tables = [measured] if before is None else [before, measured]
    if before is not None:
        _check_same_columns(before, measured)
    archs = list(dict.fromkeys(arch for table in tables for arch in table.archs))
    place = {arch: i for i, arch in enumerate(archs)}
    encodings = np.empty((len(archs), len(measured.header.cardinalities)), dtype=np.int16)
    values: dict[str, NDArray[np.float64]] = {}
    objectives: dict[str, Objective] = {}
    for table in tables:
        rows = np.array([place[arch] for arch in table.archs])
        encodings[rows] = table.encodings()
        for name in table.columns:
            new = table[name]
            known = np.isfinite(new)
            values.setdefault(name, np.full(len(archs), np.nan))[rows[known]] = new[known]
            objectives[name] = table.objectives[name]
    _replace_table(
        path,
        [Column(objective=objectives[name], values=column) for name, column in values.items()],
        id=path.stem if before is None else before.id,
        archs=archs,
        encodings=encodings,
    )
    return Table.open(path)


def own_table(path: Path) -> Table | None:
    """The table of architectures of NAS-Bench-201 to which rows may be added; None where there is none yet.

    Raises
    ------
    SpecError
        It is of another space, or a published one, which is never edited.
    FormatError
        The file is no table.
    """
    if path.suffix != ".parquet":
        raise SpecError(f"expected the name of a Parquet file, such as mine.parquet; got {path}")
    if not path.is_file():
        return None
    if (path.parent / "card.md").is_file():
        raise SpecError(f"{path} is a published table, which is never edited; give the name of a file of your own")
    found = Table.open(path)
    if (found.header.space, found.header.rows) != ("nb201", "architecture"):
        raise SpecError(
            f"{path} is a table of {found.header.rows}s of {found.header.space!r}; expected architectures of 'nb201': "
            "give the name of another file"
        )
    return found


def _check_same_columns(before: Table, measured: Table) -> None:
    """Refuse two quantities under one name."""
    for name in measured.columns:
        if name in before.objectives and before.objectives[name] != measured.objectives[name]:
            raise ObjectiveError(
                f"{name} is {before.objectives[name].describe()} in {before.path}, and was measured now as "
                f"{measured.objectives[name].describe()}; they are not one column: give the name of another file"
            )


def _replace_table(
    path: Path, columns: Sequence[Column], *, id: str, archs: Sequence[str], encodings: NDArray[Any]
) -> None:
    """Write a table of NAS-Bench-201 to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".measured") as folder:
        write_table(
            Path(folder),
            columns,
            id=id,
            space="nb201",
            archs=archs,
            cardinalities=nb201().cardinalities.tolist(),
            encodings=encodings,
        )
        (Path(folder) / FILE_NAME).replace(path)


def by_network(
    study: Study, value: Callable[[Trained], float | None], *, seed: int | None = None
) -> NDArray[np.float64]:
    """A quantity of each network, (n,): of one seed, or the mean over all; NaN where one is missing."""
    found = np.full((len(study.networks), len(study.seeds)), np.nan)
    place = {network.arch: i for i, network in enumerate(study.networks)}
    for done in study.trained:
        number = None if done.failure is not None else value(done)
        if number is not None:
            found[place[done.arch], study.seeds.index(done.seed)] = number
    return found.mean(axis=1) if seed is None else found[:, study.seeds.index(seed)]


def _score_columns(study: Study) -> list[Column]:
    columns = []
    for split in ("valid", "test"):
        for name, direction in _SCORES.items():
            for seed in [None, *study.seeds]:

                def score(done: Trained, split: str = split, name: str = name) -> float:
                    return float(getattr(getattr(done, split), f"{name}_percent"))

                objective = Objective(
                    name=f"{split}_{name}_{'mean' if seed is None else f's{seed}'}",
                    unit="percent",
                    kind="derived" if seed is None else "measured",
                    direction=direction,
                    dataset=study.dataset,
                    split="valid" if split == "valid" else "test",
                    epochs=study.recipe.epochs,
                    seed="mean" if seed is None else seed,
                )
                columns.append(Column(objective=objective, values=by_network(study, score, seed=seed)))
    return columns


def _deployed_columns(study: Study) -> list[Column]:
    """Errors in the precision of the measurements, where that is another than the one trained in."""
    columns = []
    for split in ("valid", "test"):
        for seed in [None, *study.seeds]:

            def error(done: Trained, split: str = split) -> float | None:
                found = getattr(done, f"deployed_{split}")
                return None if found is None else float(found.error_percent)

            objective = Objective(
                name=f"{split}_error_{study.profile.precision}_{'mean' if seed is None else f's{seed}'}",
                unit="percent",
                kind="derived" if seed is None else "measured",
                dataset=study.dataset,
                split="valid" if split == "valid" else "test",
                epochs=study.recipe.epochs,
                seed="mean" if seed is None else seed,
                precision=study.profile.precision,
            )
            columns.append(Column(objective=objective, values=by_network(study, error, seed=seed)))
    return columns


def _training_columns(study: Study) -> list[Column]:
    seconds = Objective(
        name="train_time_mean",
        unit="s",
        kind="measured",
        dataset=study.dataset,
        epochs=study.recipe.epochs,
        seed="mean",
        note="processor time" if study.device == "cpu" else f"wall time on {study.device}",
    )
    joules = Objective(
        name="train_energy_mean",
        unit="j",
        kind="measured",
        dataset=study.dataset,
        epochs=study.recipe.epochs,
        seed="mean",
        note="of the processor packages, everything that ran on them included",
    )
    return [
        Column(objective=seconds, values=by_network(study, lambda done: done.train_seconds)),
        Column(objective=joules, values=by_network(study, lambda done: done.joules)),
    ]


def _latency_columns(study: Study) -> list[Column]:
    costs = study.profile
    identity: dict[str, Any] = {
        "unit": "us",
        "kind": "measured",
        "device": costs.device,
        "batch": 1,
        "precision": costs.precision,
        "runtime": costs.runtime,
        "convention": "live",
    }
    columns = [
        Column(
            objective=Objective(
                name=f"latency_{name}", dataset=study.dataset, note="quantile of single runs in turns", **identity
            ),
            values=values,
        )
        for name, values in costs.latency_us.items()
    ]
    if costs.as_predicted_us is not None and study.as_predicted is not None:
        shape = study.as_predicted
        note = (
            f"{shape.n_cells} cells a stage, {shape.channels} channels, {shape.image_size} pixels, "
            f"{shape.n_classes} classes; {AS_PREDICTED.quantile:.0%} quantile of turns"
        )
        columns.append(
            Column(
                objective=Objective(name="latency_as_predicted", note=note, **identity), values=costs.as_predicted_us
            )
        )
    memory = Objective(
        name="memory",
        unit="mib",
        kind="measured",
        device=costs.device,
        batch=1,
        precision=costs.precision,
        runtime=costs.runtime,
    )
    columns.append(Column(objective=memory, values=costs.memory_mib))
    if costs.energy_uj is not None:
        energy = Objective(
            name="energy", dataset=study.dataset, note="of one run, above the idle device", **{**identity, "unit": "uj"}
        )
        columns.append(Column(objective=energy, values=costs.energy_uj))
    return columns


def _size_columns(study: Study) -> list[Column]:
    X = nb201().encode([network.arch for network in study.networks])
    counted = {
        "params": nb201().n_parameters(X, skeleton=study.skeleton, convention="live"),
        "macs": nb201().n_flops(X, skeleton=study.skeleton, convention="live"),
    }
    return [
        Column(
            objective=Objective(name=name, unit="count", kind="derived", dataset=study.dataset, convention="live"),
            values=values,
        )
        for name, values in counted.items()
    ]
