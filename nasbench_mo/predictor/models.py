"""Kinds of stored models: how each is fitted, calibrated, written and read. A new kind is one class and one line."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, final, overload

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.bounded import MAX_JSON_BYTES, load_arrays, parse_json, save_arrays
from nasbench_mo.errors import ArtifactError, FormatError, SpecError, did_you_mean, require
from nasbench_mo.predictor.estimators.stored_linear import StoredLinear
from nasbench_mo.predictor.recipes import resolved
from nasbench_mo.predictor.xgb import MODEL_FILE as XGB_FILE
from nasbench_mo.predictor.xgb import Z90, XGBoostPredictor

Floats = NDArray[np.float64]


class StoredModel(ABC):
    """A fitted model of an artefact. Abstract: each kind is one final class.

    It predicts (n, k) features of the artefact's feature map, in the unit of the target, and says how sure it is.
    """

    #: Name in specifications and reference files.
    kind: ClassVar[str]
    #: File of the model in the artefact's folder.
    file: ClassVar[str]

    @overload
    def predict(self, features: NDArray[np.float32], *, return_std: Literal[False] = False) -> Floats: ...
    @overload
    def predict(self, features: NDArray[np.float32], *, return_std: Literal[True]) -> tuple[Floats, Floats]: ...
    def predict(self, features: NDArray[np.float32], *, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Values, (n,), and on request standard deviations, (n,)."""
        value, deviation = self._predict(features)
        return (value, deviation) if return_std else value

    @abstractmethod
    def _predict(self, features: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Values and calibrated deviations, (n,) each."""

    @classmethod
    @abstractmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        y: Floats,
        *,
        columns: Sequence[str],
        parameters: Mapping[str, Any],
        seed: int,
    ) -> Self:
        """Fit on (n, k) features with these column names and (n,) targets."""

    @abstractmethod
    def calibrate(self, features: NDArray[np.float32], y: Floats) -> None:
        """Set the spread from rows that were not fitted, so that 90 % intervals hold 90 % of them."""

    @property
    @abstractmethod
    def spread(self) -> float:
        """What :meth:`calibrate` found; a number that is stored with the model."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model's file into an existing folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, *, spread: float) -> Self:
        """Read it back.

        Raises
        ------
        ArtifactError
            The file is damaged.
        """

    @property
    @abstractmethod
    def about(self) -> str:
        """What the model is, for the card; a sentence without its full stop."""

    @property
    @abstractmethod
    def about_deviation(self) -> str:
        """What its deviation is, for the card."""


@final
class StoredXGBoost(StoredModel):
    """Gradient-boosted trees on the logarithm, with one relative spread."""

    kind = "xgb"
    file = XGB_FILE

    def __init__(self, model: XGBoostPredictor) -> None:
        self._model = model

    @property
    def model(self) -> XGBoostPredictor:
        """The trees."""
        return self._model

    def _predict(self, features: NDArray[np.float32]) -> tuple[Floats, Floats]:
        value, deviation = self._model.predict(features, return_std=True)
        return np.asarray(value), np.asarray(deviation)

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        y: Floats,
        *,
        columns: Sequence[str],
        parameters: Mapping[str, Any],
        seed: int,
    ) -> Self:
        """Fit XGBoost; ``parameters`` override its defaults."""
        return cls(XGBoostPredictor(parameters=parameters, seed=seed).fit(features, y))

    def calibrate(self, features: NDArray[np.float32], y: Floats) -> None:
        """Set the relative spread; see :meth:`XGBoostPredictor.calibrate`."""
        self._model.calibrate(features, y)

    @property
    def spread(self) -> float:
        """Relative standard deviation."""
        return self._model.relative_sd

    def save(self, folder: Path) -> None:
        """Write ``model.ubj``."""
        self._model.save(folder)

    @classmethod
    def load(cls, folder: Path, *, spread: float) -> Self:
        """Read ``model.ubj``."""
        return cls(XGBoostPredictor.load(folder, relative_sd=spread))

    @property
    def about(self) -> str:
        """Of the card."""
        return "Gradient-boosted trees on the logarithm of the target"

    @property
    def about_deviation(self) -> str:
        """Of the card."""
        return (
            "The reported standard deviation is one relative spread for all cells; it is calibrated on average, not "
            "cell by cell."
        )


@final
class StoredGaussianProcess(StoredModel):
    """An exact Gaussian process, served by NumPy alone."""

    kind = "gp"
    file = "model.npz"
    _STATE = "model.json"

    def __init__(self, process: Any, *, spread: float = 1.0) -> None:
        self._process = process
        self._spread = spread

    @property
    def process(self) -> Any:
        """The :class:`~nasbench_mo.predictor.estimators.stored_gp.StoredGP`."""
        return self._process

    def _predict(self, features: NDArray[np.float32]) -> tuple[Floats, Floats]:
        value, deviation = self._process.predict(features, return_std=True)
        return value, deviation * self._spread

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        y: Floats,
        *,
        columns: Sequence[str],
        parameters: Mapping[str, Any],
        seed: int,
    ) -> Self:
        """Fit a :class:`~nasbench_mo.predictor.estimators.GPRegressor` with these parameters."""
        require("sklearn", extra="fit")
        from nasbench_mo.predictor.estimators.gp import GPRegressor

        try:
            regressor = GPRegressor(**{"random_state": seed, **resolved(parameters, columns=columns)})
        except TypeError as error:
            raise SpecError(f"parameters of estimator 'gp': {error}") from error
        return cls(regressor.fit(features, y).gp_)

    def calibrate(self, features: NDArray[np.float32], y: Floats) -> None:
        """Widen or narrow all deviations by one factor; see :func:`conformal_factor`."""
        value, deviation = self._process.predict(features, return_std=True)
        self._spread = conformal_factor(y, value=value, deviation=deviation)

    @property
    def spread(self) -> float:
        """Factor on the process's own deviations."""
        return self._spread

    def save(self, folder: Path) -> None:
        """Write ``model.npz``, with the kernel and the transform of the target as JSON inside."""
        state = self._process.save(folder / self.file)
        with np.load(folder / self.file, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
        held["state"] = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
        save_arrays(folder / self.file, held)

    @classmethod
    def load(cls, folder: Path, *, spread: float) -> Self:
        """Read ``model.npz``."""
        from nasbench_mo.predictor.estimators.stored_gp import StoredGP

        path = folder / cls.file
        try:
            state = parse_json(load_arrays(path, ("state",), at_most=MAX_JSON_BYTES)["state"].tobytes())
        except (FormatError, OSError) as error:
            raise ArtifactError(f"{path} is damaged: {error}; reinstall") from error
        return cls(StoredGP.load(path, state=state), spread=spread)

    @property
    def about(self) -> str:
        """Of the card."""
        return f"An exact Gaussian process on {self._process.inputs.shape[1]} features"

    @property
    def about_deviation(self) -> str:
        """Of the card."""
        return (
            f"The standard deviation is the process's own, of an observation, cell by cell, times {self._spread:.3g}: "
            "that factor makes the 90 % intervals hold 90 % of the calibration topologies."
        )


@final
class StoredBoostedLinear(StoredModel):
    """A linear model, with boosted trees on what it leaves over where they help."""

    kind = "linear-xgb"
    file = "model.npz"

    def __init__(self, model: StoredLinear, *, spread: float = 1.0) -> None:
        self._model = model
        self._spread = spread

    @property
    def linear(self) -> StoredLinear:
        """The linear model and its trees."""
        return self._model

    def _predict(self, features: NDArray[np.float32]) -> tuple[Floats, Floats]:
        value, deviation = self._model.predict(features, return_std=True)
        return value, deviation * self._spread

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        y: Floats,
        *,
        columns: Sequence[str],
        parameters: Mapping[str, Any],
        seed: int,
    ) -> Self:
        """Fit a :class:`~nasbench_mo.predictor.estimators.BoostedLinearRegressor` with these parameters."""
        require("sklearn", extra="fit")
        from nasbench_mo.predictor.estimators.boosted_linear import BoostedLinearRegressor

        try:
            regressor = BoostedLinearRegressor(**{"random_state": seed, **resolved(parameters, columns=columns)})
        except TypeError as error:
            raise SpecError(f"parameters of estimator 'linear-xgb': {error}") from error
        return cls(regressor.fit(features, y).stored())

    def calibrate(self, features: NDArray[np.float32], y: Floats) -> None:
        """Widen or narrow all deviations by one factor; see :func:`conformal_factor`."""
        value, deviation = self._model.predict(features, return_std=True)
        factor = conformal_factor(y, value=value, deviation=deviation)
        self._spread = max(1.0, factor) if self._model.step else factor  # rounding is not to be calibrated away

    @property
    def spread(self) -> float:
        """Factor on the model's own deviations."""
        return self._spread

    def save(self, folder: Path) -> None:
        """Write ``model.npz``."""
        self._model.save(folder / self.file)

    @classmethod
    def load(cls, folder: Path, *, spread: float) -> Self:
        """Read ``model.npz``."""
        return cls(StoredLinear.load(folder / cls.file), spread=spread)

    @property
    def about(self) -> str:
        """Of the card."""
        sentence = f"A linear model of {len(self._model.linear_columns)} features"
        if self._model.target.kind != "identity":
            sentence += f" (target {self._model.target.kind})"
        if self._model.step:
            sentence += ", exact because its source is itself such a sum (which proves nothing of real hardware)"
        elif self._model.booster is not None:
            trees = self._model.booster.num_boosted_rounds()
            sentence += f" plus {self._model.tree_share:.2f} times {trees} boosted trees on its residuals"
        return sentence

    @property
    def about_deviation(self) -> str:
        """Of the card."""
        return (
            "The standard deviation is one number in the transformed target, calibrated on average\n"
            "over the calibration architectures, not one by one."
        )


def conformal_factor(y: Floats, *, value: Floats, deviation: Floats) -> float:
    """Factor on (n,) deviations that makes 90 % intervals about (n,) predicted values hold 90 % of the (n,) true ones.

    Split conformal prediction of normalised residuals (Lei et al., JASA 2018), with its finite-sample quantile.
    """
    scores = np.sort(np.abs(y - value) / np.maximum(deviation, 1e-12))
    rank = min(len(scores), int(np.ceil(0.9 * (len(scores) + 1))))
    return float(scores[rank - 1] / Z90)


#: Every kind by its name in specifications and reference files.
MODELS: Mapping[str, type[StoredModel]] = {
    made.kind: made for made in (StoredXGBoost, StoredGaussianProcess, StoredBoostedLinear)
}


def model_kind(name: str) -> type[StoredModel]:
    """The kind of a name.

    Raises
    ------
    SpecError
        There is no such kind.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise SpecError(f"unknown estimator {name!r}; known: {', '.join(MODELS)}.{did_you_mean(str(name), MODELS)}")
    return MODELS[name]
