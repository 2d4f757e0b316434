"""How well few-shot transfer orders the architectures of devices it has not seen.

The split of the devices into known and unseen ones, and the number of measurements, are those of the caller; HELP
(Lee et al., NeurIPS 2021) uses 10 measurements and, for NAS-Bench-201, :data:`HELP_TRAIN_DEVICES` and
:data:`HELP_TEST_DEVICES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import SpecError, did_you_mean
from nasbench_mo.predictor.transfer import MIN_MEASUREMENTS, TransferPrior
from nasbench_mo.space import SearchSpace, space
from nasbench_mo.specification import read_specification
from nasbench_mo.table import Table

Strategy = Literal["random", "informative"]

#: Meta-train and meta-test devices of HELP on NAS-Bench-201: the defaults of ``parser.py`` in its repository.
HELP_TRAIN_DEVICES: Final = (
    "1080ti_1",
    "1080ti_32",
    "1080ti_256",
    "silver_4114",
    "silver_4210r",
    "samsung_a50",
    "pixel3",
    "essential_ph_1",
    "samsung_s7",
)
HELP_TEST_DEVICES: Final = ("titan_rtx_256", "gold_6226", "fpga", "pixel2", "raspi4", "eyeriss")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSpec:
    """The fields of a protocol's YAML file that says ``protocol: transfer``.

    Parameters
    ----------
    title, notes
        Heading of the report, and what a reader has to know to compare.
    table
        Native table with one column a device.
    train_devices, test_devices
        Known and unseen devices.
    n_samples, strategies, draws
        Every combination of a number of measured architectures and a strategy is judged.
    published
        Method to its Spearman by device, with ``samples`` and ``mean``.
    """

    title: str
    notes: str
    table: str
    train_devices: tuple[str, ...]
    test_devices: tuple[str, ...]
    n_samples: tuple[int, ...]
    strategies: tuple[Strategy, ...]
    draws: int
    published: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, path: Path) -> TransferSpec:
        """Read and check a YAML specification."""
        names = [f.name for f in dataclasses.fields(cls)]
        fields = read_specification(path, allowed=[*names, "protocol"], required=names)
        fields.pop("protocol", None)
        for name in ("train_devices", "test_devices", "n_samples", "strategies"):
            if not isinstance(fields[name], list) or not fields[name]:
                raise SpecError(f"{path.name}: {name} must be a list, got {fields[name]!r}")
            fields[name] = tuple(fields[name])
        if not isinstance(fields["published"], Mapping):
            raise SpecError(f"{path.name}: published must map methods to figures, got {fields['published']!r}")
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """Figures of one unseen device, over the draws.

    Parameters
    ----------
    device
        Column of the unseen device.
    n_samples, draws, strategy
        How many architectures were measured, how often, and how they were chosen.
    n_judged
        Architectures the ordering was judged on, in each draw: those with a value and a path from input to output
        that were not measured.
    spearman, kendall_tau_b
        Mean over the draws.
    spearman_sd, kendall_tau_b_sd
        Standard deviation over the draws; NaN for a single one.
    """

    device: str
    n_samples: int
    draws: int
    strategy: Strategy
    n_judged: int
    spearman: float
    spearman_sd: float
    kendall_tau_b: float
    kendall_tau_b_sd: float


def evaluate_transfer_spec(spec: TransferSpec) -> list[TransferRow]:
    """Judge every number of samples and strategy of a protocol; see :func:`evaluate_transfer`."""
    table = Table.open(artifacts.resolve("tables", spec.table))
    return [
        row
        for strategy in spec.strategies
        for n_samples in spec.n_samples
        for row in evaluate_transfer(
            table,
            train_devices=spec.train_devices,
            test_devices=spec.test_devices,
            n_samples=n_samples,
            draws=spec.draws,
            strategy=strategy,
        )
    ]


def evaluate_transfer(
    table: Table,
    *,
    train_devices: Sequence[str],
    test_devices: Sequence[str],
    n_samples: int = 10,
    draws: int = 10,
    strategy: Strategy = "random",
) -> list[TransferRow]:
    """Adapt to each unseen device from a few of its values, and judge the ordering of all others.

    It is *not* HELP's own judgement, which leaves out the fastest and slowest tenth of 1,000 architectures; without
    them a correlation is lower.

    Parameters
    ----------
    table
        One column a device, of a registered search space.
    train_devices
        Columns of the known devices, by name or by the device in it: ``"pixel2"`` for ``latency_pixel2_ms``. A test
        device among them is left out while it is judged.
    test_devices
        Columns of the unseen devices.
    n_samples
        Architectures measured on the unseen device.
    draws
        Repetitions with the seeds 0, 1, ... The informative choice does not depend on chance: it has one draw.
    strategy
        ``"random"``: uniformly among the architectures; ``"informative"``: as ``which_to_measure`` says.

    Returns
    -------
    One row a test device, in their order.

    Raises
    ------
    SpecError
        A number or the strategy is not usable.
    ObjectiveError
        The table has no such device.

    Notes
    -----
    Architectures without a path from input to output are neither measured nor judged.
    """
    _check(n_samples=n_samples, draws=draws, strategy=strategy)
    searched = space(table.header.space)
    known = [_column(table, device) for device in train_devices]
    rows = []
    priors: dict[tuple[str, ...], TransferPrior] = {}
    for column in [_column(table, device) for device in test_devices]:
        sources = tuple(c for c in known if c != column)
        if not sources:
            raise SpecError(f"no device is left to learn from when {column!r} is unseen; name more train_devices")
        if sources not in priors:
            priors[sources] = TransferPrior((table, sources), space=searched)
        rows.append(_judge(priors[sources], table, column=column, n_samples=n_samples, draws=draws, strategy=strategy))
    return rows


def _judge(
    prior: TransferPrior, table: Table, *, column: str, n_samples: int, draws: int, strategy: Strategy
) -> TransferRow:
    from scipy.stats import kendalltau, spearmanr

    X, truth = _judged(prior.space, table, column=column)
    if len(X) < n_samples + 2:
        raise SpecError(f"{column!r} has {len(X)} values; expected at least {n_samples + 2} to measure and to judge")
    seeds = range(draws if strategy == "random" else 1)
    figures = np.empty((len(seeds), 2))
    for seed in seeds:
        if strategy == "random":
            chosen = np.random.default_rng(seed).choice(len(X), n_samples, replace=False)
        else:
            chosen = _rows_of(prior.which_to_measure(n_samples), X, space=prior.space, column=column)
        predictor = prior.adapt(dict(zip(prior.space.decode(X[chosen]), truth[chosen].tolist(), strict=True)))
        rest = np.delete(np.arange(len(X)), chosen)
        value = predictor.predict(X[rest])
        figures[seed] = spearmanr(value, truth[rest]).statistic, kendalltau(value, truth[rest]).statistic
    spread = figures.std(axis=0, ddof=1) if len(seeds) > 1 else np.full(2, np.nan)
    return TransferRow(
        device=column,
        n_samples=n_samples,
        draws=len(seeds),
        strategy=strategy,
        n_judged=len(X) - n_samples,
        spearman=float(figures[:, 0].mean()),
        spearman_sd=float(spread[0]),
        kendall_tau_b=float(figures[:, 1].mean()),
        kendall_tau_b_sd=float(spread[1]),
    )


def _judged(searched: SearchSpace, table: Table, *, column: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Encodings and values of the architectures that count, (n, d) and (n,)."""
    X = searched.check(table.encodings())
    values = table[column]
    kept = np.flatnonzero(np.isfinite(values) & ~searched.degenerate(X))
    return X[kept], values[kept]


def _rows_of(archs: Sequence[str], X: NDArray[Any], *, space: SearchSpace, column: str) -> NDArray[np.intp]:
    row_of = {arch: row for row, arch in enumerate(space.decode(X))}
    absent = [arch for arch in archs if arch not in row_of]
    if absent:
        raise SpecError(f"{column!r} has no value for {absent[0]!r}, which is to be measured; use strategy='random'")
    return np.array([row_of[arch] for arch in archs], dtype=np.intp)


def _column(table: Table, device: str) -> str:
    """Column of a device, given by column name or as the part of it that names the device."""
    if device in table.objectives:
        return device
    named = [c for c in table.columns if c == f"latency_{device}_{table.objectives[c].unit}"]
    return named[0] if len(named) == 1 else table.check_column(device)


def _check(*, n_samples: int, draws: int, strategy: str) -> None:
    for name, value, least in (("n_samples", n_samples, MIN_MEASUREMENTS), ("draws", draws, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise SpecError(f"{name}: expected an integer of at least {least}, got {value!r}")
    if strategy not in ("random", "informative"):
        suggestion = did_you_mean(str(strategy), ("random", "informative"))
        raise SpecError(f"strategy must be 'random' or 'informative'; got {strategy!r}.{suggestion}")
