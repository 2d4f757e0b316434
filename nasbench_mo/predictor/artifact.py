"""A trained predictor on disk and in hand: model file, card and reference predictions.

Loading refuses a file whose hash is wrong, an encoding or feature version this package does not have, and a model
whose reference predictions differ from those stored when it was made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.predictor.features import FeatureMap, feature_map
from nasbench_mo.predictor.models import MODELS, StoredModel
from nasbench_mo.space import SearchSpace, space

FORMAT_VERSION = 1
REFERENCE_FILE = "reference.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFile:
    """What ``reference.json`` holds: everything needed to rebuild and to distrust the model.

    ``relative_sd`` is what calibration found, of whichever kind the model is (:attr:`.models.StoredModel.spread`): the
    relative deviation of boosted trees, the factor on a Gaussian process's own deviations. ``sha256`` is that of the
    model's file.
    """

    id: str
    space: str
    encoding_version: int
    features: str
    estimator: str
    objective: Objective
    relative_sd: float
    degenerate_value: float | None
    sha256: str
    archs: tuple[str, ...]
    values: tuple[float, ...]
    relative_tolerance: float

    def to_json(self) -> str:
        """Return the file's text."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        fields["objective"] = self.objective.to_dict()
        return json.dumps({"format": FORMAT_VERSION, **fields}, indent=1)

    @classmethod
    def from_json(cls, text: str, *, path: Path) -> Self:
        """Parse the file's text.

        Raises
        ------
        ArtifactError
            It is of another format, or a field is missing or unknown.
        """
        try:
            fields = json.loads(text)
            if fields.pop("format") != FORMAT_VERSION:
                raise ArtifactError(f"{path}: expected predictor format {FORMAT_VERSION}")
            fields["objective"] = Objective.from_dict(fields["objective"])
            fields["archs"], fields["values"] = tuple(fields["archs"]), tuple(fields["values"])
            return cls(**fields)
        except (AttributeError, KeyError, TypeError, json.JSONDecodeError, SpecError) as error:
            raise ArtifactError(f"{path} is not a predictor's reference file: {error}") from error


@final
class Predictor:
    """A trained model of one objective over one space.

    Get one with :func:`nasbench_mo.predictor`.

    Examples
    --------
    >>> import nasbench_mo as nmo
    >>> model = nmo.predictor("nb201-c10-valerr-xgb-v1")
    >>> cell = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    >>> error = model.predict([cell])
    >>> error.shape
    (1,)
    """

    def __init__(self, *, reference: ReferenceFile, model: StoredModel, folder: Path | None = None) -> None:
        self.reference = reference
        self.folder = folder
        self.space: SearchSpace = space(reference.space)
        self._features: FeatureMap = feature_map(reference.features)
        self._model = model

    def __repr__(self) -> str:
        return f"Predictor({self.id!r}: {self.objective.column}, {self.objective.kind})"

    @property
    def id(self) -> str:
        """Identity, with its version."""
        return self.reference.id

    @property
    def objective(self) -> Objective:
        """What is predicted: unit, dataset, split, epochs."""
        return self.reference.objective

    @property
    def features(self) -> FeatureMap:
        """What the model sees of an architecture."""
        return self._features

    @property
    def model(self) -> StoredModel:
        """What predicts from the features, without regard to degenerate architectures."""
        return self._model

    @property
    def data_hash(self) -> str:
        """SHA-256 of the model file."""
        return self.reference.sha256

    @overload
    def predict(
        self, archs: Sequence[str] | ArrayLike, *, return_std: Literal[False] = False
    ) -> NDArray[np.float64]: ...
    @overload
    def predict(
        self, archs: Sequence[str] | ArrayLike, *, return_std: Literal[True]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def predict(
        self, archs: Sequence[str] | ArrayLike, *, return_std: bool = False
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict the objective.

        Parameters
        ----------
        archs
            n published strings or (n, d) encodings.
        return_std
            Also return the standard deviation, as calibrated on topologies kept out of training.

        Returns
        -------
        (n,) values in the objective's unit, and on request (n,) standard deviations. An architecture without a
        path from input to output gets the chance-level value of the card, with deviation 0.
        """
        X = self.space.as_encodings(archs)
        value, deviation = self._model.predict(self._features.compute(X), return_std=True)
        if self.reference.degenerate_value is not None:
            dead = self.space.degenerate(X)
            value = np.where(dead, self.reference.degenerate_value, value)
            deviation = np.where(dead, 0.0, deviation)
        return (value, deviation) if return_std else value

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load and check a stored predictor.

        Raises
        ------
        ArtifactError
            Hash, version or reference prediction is wrong.
        """
        reference = read_reference(folder)
        if reference.estimator not in MODELS:
            raise ArtifactError(f"{folder}: unknown estimator {reference.estimator!r}; known: {', '.join(MODELS)}")
        kind = MODELS[reference.estimator]
        try:
            found = artifacts.sha256(folder / kind.file)
        except OSError as error:
            raise ArtifactError(f"{folder} has no readable model: {error}; reinstall") from error
        if found != reference.sha256:
            raise ArtifactError(f"{folder / kind.file}: expected SHA-256 {reference.sha256}, got {found}; reinstall")
        version = space(reference.space).encoding_version
        if reference.encoding_version != version:
            raise ArtifactError(
                f"{folder}: made for encoding version {reference.encoding_version} of {reference.space!r}, "
                f"this package has {version}"
            )
        made = cls(reference=reference, model=kind.load(folder, spread=reference.relative_sd), folder=folder)
        made._check_reference()
        return made

    def _check_reference(self) -> None:
        expected = np.asarray(self.reference.values, dtype=np.float64)
        if not len(expected) or len(expected) != len(self.reference.archs):
            raise ArtifactError(
                f"predictor {self.id!r}: expected one reference value for each reference architecture, got "
                f"{len(expected)} for {len(self.reference.archs)}"
            )
        found = self.predict(list(self.reference.archs))
        off = np.abs(found - expected) / np.abs(found)  # predictions are positive; NaN must not pass
        if not off.max() <= self.reference.relative_tolerance:
            i = int(off.argmax())
            raise ArtifactError(
                f"predictor {self.id!r}: reference prediction for {self.reference.archs[i]} should be "
                f"{expected[i]:.9g}, got {found[i]:.9g}; the model file and the installed libraries disagree"
            )


def read_reference(folder: Path) -> ReferenceFile:
    """What a stored predictor says of itself, without loading the model.

    Raises
    ------
    ArtifactError
        The file is missing or not of this format.
    """
    path = folder / REFERENCE_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{folder} is not a predictor: {error}") from error
    return ReferenceFile.from_json(text, path=path)
