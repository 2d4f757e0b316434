"""How well the closed form agrees with another model of the same accelerators. Not with hardware: both are models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import SpecError
from nasbench_mo.hardware import asic
from nasbench_mo.hardware.asic import AsicConfig
from nasbench_mo.hardware.shapes import LayerShape

#: Digits that are kept before ranking, so that equal networks tie in both models.
_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement on one cost of the networks, for each accelerator.

    Parameters
    ----------
    n_networks
        Networks that were compared.
    tau
        Kendall's tau-b between the two costs of the networks, (h,).
    mape
        Mean absolute difference over the reference, as a fraction, (h,).
    bias
        Mean signed difference over the reference, as a fraction, (h,).
    """

    n_networks: int
    tau: NDArray[np.float64]
    mape: NDArray[np.float64]
    bias: NDArray[np.float64]

    def summary(self) -> dict[str, float | int]:
        """Median and worst over the accelerators that have every layer."""
        whole = ~np.isnan(self.mape)
        tau, mape = self.tau[whole], self.mape[whole]
        return {
            "networks": self.n_networks,
            "accelerators": int(whole.sum()),
            "tau_median": round(float(np.median(tau)), 4),
            "tau_worst": round(float(tau.min()), 4),
            "mape_median": round(float(np.median(mape)), 4),
            "mape_worst": round(float(mape.max()), 4),
        }


def agreement(
    counts: ArrayLike,
    shapes: Sequence[LayerShape],
    configs: Sequence[AsicConfig],
    *,
    cycles: ArrayLike,
    energy_pj: ArrayLike,
) -> tuple[Agreement, Agreement]:
    """Agreement of the closed form with a reference on cycles, and on energy.

    Parameters
    ----------
    counts
        (n, s): how often each shape occurs in each of n networks.
    cycles, energy_pj
        (s, h) of the reference. An accelerator on which a layer is missing (NaN) gets NaN.

    Raises
    ------
    SpecError
        The sizes do not match.
    """
    occurrences = np.asarray(counts, dtype=np.float64)
    results = []
    for ours, theirs in zip(asic.costs(shapes, configs), (cycles, energy_pj), strict=True):
        reference = np.asarray(theirs, dtype=np.float64)
        if reference.shape != ours.shape or occurrences.ndim != 2 or occurrences.shape[1] != len(shapes):
            raise SpecError(
                f"expected costs of {ours.shape[0]} shapes on {ours.shape[1]} accelerators and counts over as many "
                f"shapes; got {reference.shape} and {occurrences.shape}"
            )
        results.append(_agreement(occurrences @ ours, occurrences @ reference))
    return results[0], results[1]


def _agreement(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Agreement:
    from scipy.stats import kendalltau

    relative = ours / theirs - 1
    taus = [
        np.nan if np.isnan(b).any() else float(kendalltau(_rounded(a), _rounded(b)).statistic)
        for a, b in zip(ours.T, theirs.T, strict=True)
    ]
    return Agreement(
        n_networks=len(ours), tau=np.array(taus), mape=np.abs(relative).mean(axis=0), bias=relative.mean(axis=0)
    )


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    digits = _DIGITS - int(np.ceil(np.log10(np.abs(values).max())))
    return np.round(values, digits)
