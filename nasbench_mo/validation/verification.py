"""Check a measured table: train some of its rows again and compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError
from nasbench_mo.table import Table
from nasbench_mo.training.building import (
    AnyTrainer,
    check_engine,
    environment,
    nb201,
    train_cells,
    trained_codes,
    trainer_of,
)
from nasbench_mo.training.table_spec import engine_named
from nasbench_mo.validation.measured_table import spec_of

#: Called with the rows that are done and their number.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRow:
    """One row, as it is stored and as it was trained again.

    Parameters
    ----------
    arch
        The architecture of the row.
    seed
        Training seed.
    stored_valid_error_percent, stored_test_error_percent
        After the last epoch, as in the table.
    valid_error_percent, test_error_percent
        As measured now.
    equal
        Whether the whole validation curve and the test error are equal to the bit.
    """

    arch: str
    seed: int
    stored_valid_error_percent: float
    valid_error_percent: float
    stored_test_error_percent: float
    test_error_percent: float
    equal: bool

    @property
    def difference_percent(self) -> float:
        """The larger of the two differences, in points of error."""
        return max(
            abs(self.valid_error_percent - self.stored_valid_error_percent),
            abs(self.test_error_percent - self.stored_test_error_percent),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What came of verifying some rows.

    Parameters
    ----------
    table
        Id of the table.
    rows
        The rows.
    tolerance_percent
        Largest difference that the card allows on another machine, in points of error.
    trained_on, environment
        Where the table was trained, and where it was trained again.
    same_images
        Whether the images were the table's to the bit.
    """

    table: str
    rows: tuple[VerifiedRow, ...]
    tolerance_percent: float
    trained_on: tuple[str, ...]
    environment: str
    same_images: bool = True

    @property
    def equal(self) -> bool:
        """Whether every row was equal to the bit."""
        return all(row.equal for row in self.rows)

    @property
    def same_environment(self) -> bool:
        """Whether the table was trained with the versions and on the machine at hand, and nowhere else."""
        return self.trained_on == (self.environment,)

    @property
    def passed(self) -> bool:
        """Whether every row is within the tolerance."""
        return all(row.difference_percent <= self.tolerance_percent for row in self.rows)


def verify_table(
    table: Table,
    *,
    n_rows: int,
    seed: int = 0,
    images: Path | None = None,
    engine: str | None = None,
    other_images: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Train random rows of a measured table again.

    Parameters
    ----------
    table
        A table made by ``nasbench-mo table build``.
    n_rows
        Rows, each of another topology.
    seed
        Draws the rows and, of the table's training seeds, one for each.
    images
        Folder of the image files; see :meth:`TrainedTableSpec.read_images`.
    engine
        What trains, ``"torch"`` or ``"native"``; by default what trained the table. Another engine rounds otherwise:
        compare its rows with the tolerance, not with the bits.
    other_images
        Whether images that are not the table's to the bit will do, such as the same ones scaled by another program.
    progress
        Called after every row.

    Raises
    ------
    SpecError
        The table was not trained by this package, or has fewer topologies than rows are asked for; or there is no such
        engine, or it has no program for the recipe.
    ArtifactError
        The images are others.
    FileNotFoundError
        The images are missing.
    MissingDependencyError
        What trained the table is not here: torch, or a C++ compiler.
    """
    spec = spec_of(table)
    spec = dataclasses.replace(spec, engine=engine_named(engine) if engine else spec.engine)
    codes = np.unique(trained_codes(nb201()))
    codes = codes[codes >= 0]
    if not 1 <= n_rows <= len(codes):
        raise SpecError(
            f"table {table.id!r} has {len(codes):,} trained topologies; expected 1 to as many, got {n_rows}"
        )
    check_engine(spec.engine, device="cpu")
    found = spec.read_images(images, others=other_images)
    trainer = trainer_of(spec.engine, found, recipe=spec.recipe)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(codes, size=n_rows, replace=False)
    seeds = rng.choice(np.array(spec.seeds), size=n_rows)
    rows = []
    for i, (code, training_seed) in enumerate(zip(chosen.tolist(), seeds.tolist(), strict=True), start=1):
        rows.append(_verified(table, trainer, code=code, seed=training_seed, epochs=spec.recipe.epochs))
        if progress is not None:
            progress(i, n_rows)
    card = artifacts.read_card(table.path.parent)
    return Verification(
        table=table.id,
        rows=tuple(rows),
        tolerance_percent=float(card["verify_tolerance_percent"]),
        trained_on=tuple(card["trained_on"]),
        environment=environment("cpu", engine=spec.engine),
        same_images=found.fingerprint == spec.images_sha256,
    )


def _verified(table: Table, trainer: AnyTrainer, *, code: int, seed: int, epochs: int) -> VerifiedRow:
    arch = nb201().decode(nb201().from_codes(np.array([code])))[0]
    curve = [f"valid_error_ep{epoch}_s{seed}_percent" for epoch in range(1, epochs + 1)]
    stored = table.query_one(arch, [*curve, f"test_error_s{seed}_percent"])
    [result] = train_cells(trainer, [arch], seed=seed)
    found = np.append(result.valid_error_percent, result.test.error_percent)
    return VerifiedRow(
        arch=arch,
        seed=seed,
        stored_valid_error_percent=float(stored[-2]),
        valid_error_percent=float(found[-2]),
        stored_test_error_percent=float(stored[-1]),
        test_error_percent=float(found[-1]),
        equal=bool(np.array_equal(found.astype(np.float32), stored.astype(np.float32))),
    )
