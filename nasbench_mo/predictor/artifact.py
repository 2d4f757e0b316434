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
from nasbench_mo.bounded import parse_json, read_text
from nasbench_mo.errors import ArtifactError, FormatError, SpecError
from nasbench_mo.objective import Objective
from nasbench_mo.predictor.features import FeatureMap, feature_map
from nasbench_mo.predictor.inputs import InputValues, MeasuredInput, input_features, parsed_inputs
from nasbench_mo.predictor.models import MODELS, StoredModel
from nasbench_mo.space import SearchSpace, space

FORMAT_VERSION = 1
REFERENCE_FILE = "reference.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFile:
    """What ``reference.json`` holds: everything needed to rebuild and to distrust the model.

    ``relative_sd`` is what calibration found, of whichever kind the model is (:attr:`.models.StoredModel.spread`): the
    relative deviation of boosted trees, the factor on a Gaussian process's own deviations. ``sha256`` is that of the
    model's file. ``inputs`` are the measured inputs, and ``input_values`` theirs for the reference architectures, one
    row an architecture.
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
    inputs: tuple[MeasuredInput, ...] = ()
    input_values: tuple[tuple[float, ...], ...] = ()

    def to_json(self) -> str:
        """Return the file's text."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        fields["objective"] = self.objective.to_dict()
        fields["inputs"] = [one.to_dict() for one in self.inputs]
        if not self.inputs:  # as files were written before there were inputs
            del fields["inputs"], fields["input_values"]
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
            fields = parse_json(text)
            if fields.pop("format") != FORMAT_VERSION:
                raise ArtifactError(f"{path}: expected predictor format {FORMAT_VERSION}")
            fields["objective"] = Objective.from_dict(fields["objective"])
            fields["archs"], fields["values"] = tuple(fields["archs"]), tuple(fields["values"])
            fields["inputs"] = parsed_inputs(fields.get("inputs", ()), place=str(path))
            fields["input_values"] = tuple(tuple(row) for row in fields.get("input_values", ()))
            made = cls(**fields)
        except (AttributeError, KeyError, TypeError, FormatError, SpecError) as error:
            raise ArtifactError(f"{path} is not a predictor's reference file: {error}") from error
        made._check_types(path)
        return made

    def _check_types(self, path: Path) -> None:
        kinds: dict[str, type | tuple[type, ...]] = {
            **dict.fromkeys(("id", "space", "features", "estimator", "sha256"), str),
            **dict.fromkeys(("relative_sd", "relative_tolerance"), (int, float)),
            "encoding_version": int,
            "degenerate_value": (int, float, type(None)),
        }
        numbers = [*self.values, *(value for row in self.input_values for value in row)]
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise ArtifactError(f"{path}: {name} is {getattr(self, name)!r}"[:300])
        if not all(isinstance(arch, str) for arch in self.archs) or not all(type(v) in (int, float) for v in numbers):
            raise ArtifactError(f"{path}: expected texts as archs and numbers as values")


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
    def columns(self) -> tuple[str, ...]:
        """Names of the k columns that the model sees: of :attr:`features`, then of the measured inputs."""
        return (*self._features.columns, *(one.feature for one in self.reference.inputs))

    @property
    def model(self) -> StoredModel:
        """What predicts from the features, without regard to degenerate architectures."""
        return self._model

    @property
    def data_hash(self) -> str:
        """SHA-256 of the model file."""
        return self.reference.sha256

    @property
    def inputs(self) -> tuple[Objective, ...]:
        """What has to be measured for a query: :meth:`predict` wants these columns. Mostly nothing."""
        return tuple(one.objective for one in self.reference.inputs)

    @overload
    def predict(
        self, archs: Sequence[str] | ArrayLike, *, return_std: Literal[False] = False, inputs: InputValues | None = None
    ) -> NDArray[np.float64]: ...
    @overload
    def predict(
        self, archs: Sequence[str] | ArrayLike, *, return_std: Literal[True], inputs: InputValues | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def predict(
        self, archs: Sequence[str] | ArrayLike, *, return_std: bool = False, inputs: InputValues | None = None
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict the objective.

        Parameters
        ----------
        archs
            n published strings or (n, d) encodings.
        return_std
            Also return the standard deviation, as calibrated on topologies kept out of training.
        inputs
            For a predictor with :attr:`inputs`: (n,) measured values by column name, or a table that has them.

        Returns
        -------
        (n,) values in the objective's unit, and on request (n,) standard deviations. An architecture without a
        path from input to output gets the chance-level value of the card, with deviation 0.

        Raises
        ------
        ArchitectureError
            An architecture is not in the space.
        SpecError
            The inputs are not those that the predictor needs.
        """
        X = self.space.as_encodings(archs)
        value, deviation = self._model.predict(self.matrix(X, inputs=inputs), return_std=True)
        if self.reference.degenerate_value is not None:
            dead = self.space.degenerate(X)
            value = np.where(dead, self.reference.degenerate_value, value)
            deviation = np.where(dead, 0.0, deviation)
        return (value, deviation) if return_std else value

    def matrix(self, X: NDArray[Any], *, inputs: InputValues | None = None) -> NDArray[np.float32]:
        """What the model sees of (n, d) encodings: (n, k), in the order of :attr:`columns`.

        Raises
        ------
        SpecError
            The inputs are not those that the predictor needs.
        """
        features = self._features.compute(X)
        if not self.reference.inputs and inputs is None:
            return features
        extra = input_features(self.reference.inputs, inputs, archs=self.space.decode(X), predictor=self.id)
        return np.concatenate([features, extra], axis=1)

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
        if len(self.reference.input_values) not in (0, len(expected)):
            raise ArtifactError(f"predictor {self.id!r}: expected inputs of each reference architecture")
        columns = zip(*self.reference.input_values, strict=True)
        inputs = {one.objective.column: v for one, v in zip(self.reference.inputs, columns, strict=False)}
        found = self.predict(list(self.reference.archs), inputs=inputs or None)
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
        text = read_text(path)
    except (OSError, FormatError) as error:
        raise ArtifactError(f"{folder} is not a predictor: {error}") from error
    return ReferenceFile.from_json(text, path=path)
