"""Gradient-boosted trees with a log target and a calibrated residual spread.

Chen & Guestrin, "XGBoost", KDD 2016. The target of an error, a latency or an energy spans decades and is positive;
its logarithm is monotone, so ranks are untouched, and a constant spread there is a relative spread of the value.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.bounded import read_bytes
from nasbench_mo.errors import ArtifactError, FormatError, SpecError, did_you_mean
from nasbench_mo.predictor.booster_file import load_booster

MODEL_FILE = "model.ubj"
#: Of a model file; the largest published one has 2 MB.
_MAX_BYTES = 1 << 28
#: Two-sided standard normal quantile of a 90 % interval.
Z90 = 1.6448536269514722

DEFAULT_PARAMETERS: Mapping[str, float | int | str] = {
    "learning_rate": 0.06,
    "max_depth": 8,
    "min_child_weight": 4,
    "subsample": 0.8,
    "colsample_bynode": 0.4,
    "reg_lambda": 2.0,
    "tree_method": "hist",
    "n_rounds": 300,
}


@final
class XGBoostPredictor:
    """XGBoost on log(y).

    Parameters
    ----------
    parameters
        Overrides of :data:`DEFAULT_PARAMETERS`; ``n_rounds`` is the number of trees.
    seed
        Seed of XGBoost's row and column sampling.
    """

    def __init__(self, *, parameters: Mapping[str, float | int | str] | None = None, seed: int = 0) -> None:
        self.parameters = {**DEFAULT_PARAMETERS, **(parameters or {})}
        self.seed = seed
        self.relative_sd = float("nan")
        self._booster: Any = None

    def fit(self, features: NDArray[np.float32], y: NDArray[np.float64]) -> Self:
        """Fit on (n, k) features and (n,) positive targets.

        Raises
        ------
        SpecError
            A target is not positive and finite, or XGBoost has no parameter of a name.
        """
        import xgboost

        _check_positive(y)
        parameters = {k: v for k, v in self.parameters.items() if k != "n_rounds"}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._booster = xgboost.train(
                {**parameters, "objective": "reg:squarederror", "seed": self.seed, "nthread": 1, "base_score": 0.0},
                xgboost.DMatrix(features, label=np.log(y)),
                num_boost_round=int(self.parameters["n_rounds"]),
            )
        for warning in caught:
            self._refuse_unused(str(warning.message))
            warnings.warn(warning.message, stacklevel=2)
        return self

    def _refuse_unused(self, message: str) -> None:
        """XGBoost only warns of a parameter that it does not have, and trains without it."""
        unused = [name for name in self.parameters if f'"{name}"' in message] if "are not used" in message else []
        if unused:
            raise SpecError(
                f"parameters of estimator 'xgb': XGBoost has no {', '.join(map(repr, unused))}."
                f"{did_you_mean(unused[0], DEFAULT_PARAMETERS)} It is given {', '.join(DEFAULT_PARAMETERS)} by default"
            )

    def calibrate(self, features: NDArray[np.float32], y: NDArray[np.float64]) -> Self:
        """Set the spread from rows that were not fitted, by split conformal prediction.

        The 90 % interval ``prediction * (1 +- 1.645 relative_sd)`` is widened until it holds the finite-sample 90 %
        quantile of the calibration residuals (Lei et al., JASA 2018), so its coverage does not lean on normality.
        """
        _check_positive(y)
        residuals = np.sort(np.abs(y / np.exp(self._log_mean(features)) - 1.0))
        rank = min(len(residuals), int(np.ceil(0.9 * (len(residuals) + 1))))
        self.relative_sd = float(residuals[rank - 1] / Z90)
        return self

    def predict(
        self, features: NDArray[np.float32], *, return_std: bool = False
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Median of the target, (n,), and on request its standard deviation, (n,), in the target's unit.

        The deviation is the calibrated relative spread times the prediction: the same share for every row.
        """
        value = np.exp(self._log_mean(features))
        return (value, value * self.relative_sd) if return_std else value

    def save(self, folder: Path) -> None:
        """Write ``model.ubj`` into an existing folder."""
        self._booster.save_model(folder / MODEL_FILE)

    def to_dict(self) -> dict[str, Any]:
        """XGBoost's own description of the model, trees and all, as its JSON format has it."""
        return booster_fields(self._booster)

    @classmethod
    def load(cls, folder: Path, *, relative_sd: float) -> Self:
        """Read ``model.ubj``.

        Raises
        ------
        ArtifactError
            The file is damaged.
        """
        path = folder / MODEL_FILE
        made = cls()
        try:
            made._booster = load_booster(read_bytes(path, at_most=_MAX_BYTES))
        except FormatError as error:
            raise ArtifactError(f"{path} is damaged: {error}; reinstall") from error
        made.relative_sd = relative_sd
        return made

    def _log_mean(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self._booster.inplace_predict(features), dtype=np.float64)


def booster_fields(booster: Any) -> dict[str, Any]:
    """XGBoost's own description of a booster, trees and all, as its JSON format has it."""
    made: dict[str, Any] = json.loads(bytes(booster.save_raw("json")))
    return made


def _check_positive(y: NDArray[np.float64]) -> None:
    bad = np.flatnonzero(~(np.isfinite(y) & (y > 0)))
    if bad.size:
        raise SpecError(f"the log target needs positive finite values; row {bad[0]} is {y[bad[0]]}")
