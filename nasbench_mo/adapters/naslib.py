"""NASLib's predictor interface, both ways: our estimators in NASLib, and NASLib's predictors among ours.

NASLib is not on the package index and is never imported here: objects are told by their methods. The interface was
read from the repository ``automl/NASLib``, in these files and revisions:

- ``naslib/predictors/predictor.py`` at fefdd572 (the base class);
- ``naslib/defaults/predictor_evaluator.py`` at 5c11ffab (who calls a predictor, in which order, with what);
- ``naslib/search_spaces/nasbench201/graph.py`` at dfa2e67e and ``conversions.py`` at 28b1f2ac (graphs and their six
  operation indices);
- ``naslib/predictors/trees/base_tree_class.py`` at 56900cd8, ``gp/gp_base.py`` at 44b62703 and ``ensemble.py`` at
  5c11ffab (what predictors ask of an architecture, and the shapes that ``query`` returns).

NASLib maximises: targets and answers are accuracies in percent, and higher is better. Ours are minimised. The sign is
turned by :func:`~nasbench_mo.objective.to_minimised`, which is its own inverse.

NASLib numbers NAS-Bench-201's operations and edges otherwise than the published string does, so a tuple of six
integers is ambiguous. Here, bare integers are always *our* encodings; NASLib's come inside a graph, or through
:func:`from_op_indices`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.errors import ArchitectureError, SpecError, did_you_mean, require
from nasbench_mo.objective import Objective, to_minimised
from nasbench_mo.predictor.features import feature_map
from nasbench_mo.predictor.recipes import ModelRecipe
from nasbench_mo.space import SearchSpace
from nasbench_mo.space import space as find_space
from nasbench_mo.space.nb201 import EDGES, OPERATIONS

Floats = NDArray[np.float64]
OpIndices = tuple[int, ...]
Representation = Literal["graph", "op-indices", "one-hot", "strings", "encodings"]

#: What NASLib's predictors are fitted on unless something else is said: accuracy in percent, higher is better.
ACCURACY: Final = Objective(name="accuracy", unit="percent", kind="measured", direction="max")

#: NASLib's operations in its own numbering (``OP_NAMES_NB201`` of conversions.py).
NASLIB_OPERATIONS: Final = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
#: NASLib's edges in its own order (``EDGE_LIST`` of conversions.py, whose nodes count from 1).
NASLIB_EDGES: Final = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
_OURS_OF_THEIRS: Final = np.array([OPERATIONS.index(name) for name in NASLIB_OPERATIONS])
_THEIRS_OF_OURS: Final = np.array([NASLIB_OPERATIONS.index(name) for name in OPERATIONS])
#: NASLib's names of search spaces (``get_type()``) whose graphs are understood.
_SPACES: Final[Mapping[str, str]] = {"nasbench201": "nb201"}
_GRAPH_METHODS: Final = ("get_op_indices", "get_hash", "get_arch_str")


# ---------------------------------------------------------------------- architectures


def from_op_indices(indices: Iterable[Sequence[int]]) -> NDArray[Any]:
    """Our (n, 6) encodings of n NAS-Bench-201 cells given as NASLib's operation indices.

    Raises
    ------
    ArchitectureError
        A cell is not six integers from 0 to 4.

    Examples
    --------
    >>> from_op_indices([(0, 1, 2, 3, 4, 0)]).tolist()
    [[1, 0, 2, 3, 4, 1]]
    """
    rows = [tuple(row) for row in indices]
    for row in rows:
        if len(row) != len(NASLIB_EDGES) or any(
            isinstance(op, bool) or not isinstance(op, (int, np.integer)) or not 0 <= op < len(NASLIB_OPERATIONS)
            for op in row
        ):
            raise ArchitectureError(
                f"expected NASLib's indices of a NAS-Bench-201 cell, six integers from 0 to 4; got {row!r}"
            )
    theirs = np.array(rows, dtype=np.int64).reshape(-1, len(NASLIB_EDGES))
    order = [NASLIB_EDGES.index(edge) for edge in EDGES]
    return _OURS_OF_THEIRS[theirs[:, order]].astype(np.int8)


def to_op_indices(X: ArrayLike) -> list[OpIndices]:
    """NASLib's operation indices of n cells given as our (n, 6) encodings: the inverse of :func:`from_op_indices`."""
    ours = find_space("nb201").check(X)
    order = [EDGES.index(edge) for edge in NASLIB_EDGES]
    return [tuple(row) for row in _THEIRS_OF_OURS[ours[:, order]].tolist()]


def as_encodings(archs: Any, *, search_space: SearchSpace) -> NDArray[Any]:
    """Our (n, d) encodings of what NASLib or the user has.

    Parameters
    ----------
    archs
        n NASLib graphs, n published strings, or (n, d) encodings of ours. Bare integers are never taken for NASLib's
        operation indices.
    search_space
        The space they are of; graphs are understood for NAS-Bench-201 only.

    Raises
    ------
    ArchitectureError
        One of them is not an architecture of the space.
    """
    if isinstance(archs, (list, tuple)) and any(_is_graph(arch) for arch in archs):
        if search_space.name not in _SPACES.values():
            raise ArchitectureError(
                f"NASLib graphs are understood for {', '.join(_SPACES.values())}, not for {search_space.name!r}; "
                "give strings or encodings"
            )
        return np.concatenate([_encoding_of_graph(arch, search_space=search_space) for arch in archs])
    if _is_graph(archs):
        raise ArchitectureError("expected a list of NASLib graphs, got a single one; put it into a list")
    return search_space.as_encodings(archs)


def _is_graph(arch: object) -> bool:
    return any(callable(getattr(arch, method, None)) for method in _GRAPH_METHODS)


def _encoding_of_graph(arch: Any, *, search_space: SearchSpace) -> NDArray[Any]:
    """(1, d) of one graph."""
    for method in ("get_op_indices", "get_hash"):
        if callable(getattr(arch, method, None)):
            return from_op_indices([getattr(arch, method)()])
    if callable(getattr(arch, "get_arch_str", None)):
        return search_space.encode([arch.get_arch_str()])
    raise ArchitectureError(
        f"expected NASLib graphs only, with {' or '.join(_GRAPH_METHODS)}; one of them is a {type(arch).__name__}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInGraph:
    """What NASLib's predictors ask of a NAS-Bench-201 graph, without the graph.

    It answers ``get_op_indices``, ``get_hash``, ``get_arch_str``, ``get_type`` and ``encode`` with the one-hot
    adjacency. It is not a network: predictors that run the graph or that want another encoding need a real one, see
    ``representation`` of :func:`from_naslib`.
    """

    op_indices: OpIndices

    def get_op_indices(self) -> list[int]:
        """Six operation indices in NASLib's numbering."""
        return list(self.op_indices)

    def get_hash(self) -> OpIndices:
        """The same as a tuple."""
        return self.op_indices

    def get_arch_str(self) -> str:
        """The published string."""
        return find_space("nb201").decode(from_op_indices([self.op_indices]))[0]

    def get_type(self) -> str:
        """NASLib's name of the space."""
        return "nasbench201"

    def encode(self, encoding_type: Any = "adjacency_one_hot") -> list[int]:
        """The 30 indicators of NASLib's ``encode_adjacency_one_hot``.

        Raises
        ------
        SpecError
            Another encoding is asked for.
        """
        asked = getattr(encoding_type, "value", encoding_type)  # a string, or NASLib's EncodingType
        if asked != "adjacency_one_hot":
            raise SpecError(
                f"a stand-in for a NASLib graph has the encoding 'adjacency_one_hot'; this predictor asked for "
                f"{asked!r}. Give from_naslib a representation that makes real graphs of op indices"
            )
        return [int(op == k) for op in self.op_indices for k in range(len(NASLIB_OPERATIONS))]


# ---------------------------------------------------------------------- ours in NASLib


@final
class NaslibPredictor:
    """One of our estimators as a NASLib predictor, for ``PredictorEvaluator`` and NASLib's optimisers.

    It learns the minimised form of NASLib's targets, an error where they are accuracies, and answers in NASLib's
    direction. It is not a subclass of NASLib's ``Predictor``, whose base class holds no behaviour that is asked for.

    Parameters
    ----------
    estimator
        Name in :data:`~nasbench_mo.predictor.recipes.ESTIMATORS`, or a whole
        :class:`~nasbench_mo.predictor.recipes.ModelRecipe`.
    features
        Feature map; the space's default where None.
    parameters
        Of the estimator.
    space
        Name of the search space. NASLib graphs are understood for ``"nb201"``; strings and encodings for any.
    objective
        What NASLib's targets are; accuracy in percent unless said. Its direction decides the sign.
    choices
        Parameters of the estimator that NASLib may search, each with the values to draw from. Without them the
        evaluator does no search of hyper-parameters.
    seed
        Of those draws.

    Raises
    ------
    UnknownNameError, SpecError, ArtifactError
        There is no such estimator, space or feature map, or a recipe and its parts are both given.

    Examples
    --------
    >>> from nasbench_mo.space import space
    >>> cells = space("nb201")
    >>> X = cells.sample(40, rng=np.random.default_rng(0))
    >>> accuracy = 90.0 - (X == 0).sum(axis=1)
    >>> predictor = NaslibPredictor(estimator="gp")
    >>> _ = predictor.fit([StandInGraph(op_indices=row) for row in to_op_indices(X)], accuracy)
    >>> best, worst = predictor.query([[3, 3, 3, 3, 3, 3], [3, 0, 0, 0, 0, 3]])
    >>> bool(best > worst)
    True
    """

    def __init__(
        self,
        *,
        estimator: str | ModelRecipe = "gp",
        features: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        space: str = "nb201",
        objective: Objective = ACCURACY,
        choices: Mapping[str, Sequence[Any]] | None = None,
        seed: int = 0,
    ) -> None:
        self._space: SearchSpace = find_space(space)
        self._recipe = _recipe(estimator, features=features, parameters=parameters)
        self._features = feature_map(self._recipe.feature_name(self._space))
        self._objective = objective
        self._choices = {name: tuple(values) for name, values in (choices or {}).items()}
        if any(not values for values in self._choices.values()):
            raise SpecError(f"choices: every parameter needs a value to draw from; got {self._choices}")
        # a wrong parameter is an error now, not after an hour of NASLib's trainings
        self._unfitted({name: values[0] for name, values in self._choices.items()})
        self._rng = np.random.default_rng(seed)
        self._fitted: Any = None
        # attributes that NASLib reads and sets
        self.ss_type = next((theirs for theirs, ours in _SPACES.items() if ours == space), None)
        self.encoding_type = None
        self.hyperparams: dict[str, Any] | None = None
        self.hpo_wrapper = bool(self._choices)

    def __repr__(self) -> str:
        return f"NaslibPredictor({self._recipe.estimator!r} on {self._features.name!r} of {self._space.name!r})"

    # ------------------------------------------------------------------ learning and answering

    def fit(self, xtrain: Any, ytrain: ArrayLike, train_info: object = None, **_: object) -> float:
        """Fit anew.

        Parameters
        ----------
        xtrain
            n NASLib graphs, strings, or (n, d) encodings of ours.
        ytrain
            (n,) targets in NASLib's direction.
        train_info
            Learning curves and the like; not used.

        Returns
        -------
        Mean absolute error on the training rows, as NASLib's own predictors do.

        Raises
        ------
        ArchitectureError, SpecError
            An architecture or target is not usable.
        """
        X = as_encodings(xtrain, search_space=self._space)
        y = np.asarray(ytrain, dtype=np.float64)
        if y.shape != (len(X),):
            raise SpecError(f"expected a target for each of {len(X)} architectures, got shape {y.shape}")
        features = self._features.compute(X)
        self._fitted = self._unfitted(self.hyperparams).fit(features, to_minimised(y, self._objective))
        return float(np.abs(self._answer(self._fitted.predict(features)) - y).mean())

    def query(self, xtest: Any, info: object = None) -> Floats:
        """Predictions in NASLib's direction, (n,), of n graphs, strings, or (n, d) encodings of ours.

        Raises
        ------
        SpecError
            It has not been fitted.
        """
        return self._answer(self._model().predict(self._features_of(xtest)))

    def query_with_std(self, xtest: Any, info: object = None) -> tuple[Floats, Floats]:
        """Predictions in NASLib's direction and their standard deviations, (n,) each. NASLib itself has no such method.

        Raises
        ------
        SpecError
            It has not been fitted.
        """
        value, deviation = self._model().predict(self._features_of(xtest), return_std=True)
        return self._answer(value), np.asarray(deviation, dtype=np.float64)

    def _answer(self, minimised: Floats) -> Floats:
        """Our value in NASLib's direction; the change of sign is its own inverse."""
        return to_minimised(np.asarray(minimised, dtype=np.float64), self._objective)

    def _unfitted(self, overrides: Mapping[str, Any] | None) -> Any:
        recipe = replace(self._recipe, parameters={**self._recipe.parameters, **(overrides or {})})
        return recipe.build(self._space)

    def _features_of(self, archs: Any) -> NDArray[np.float32]:
        return self._features.compute(as_encodings(archs, search_space=self._space))

    def _model(self) -> Any:
        if self._fitted is None:
            raise SpecError(f"{self!r} has not been fitted; call fit(xtrain, ytrain) first")
        return self._fitted

    # ------------------------------------------------------------------ what NASLib's loops call besides

    def set_ss_type(self, ss_type: str) -> None:
        """Told the search space by the evaluator.

        Raises
        ------
        SpecError
            It is another one than this predictor was made for.
        """
        if _SPACES.get(ss_type, ss_type) != self._space.name:
            raise SpecError(
                f"this predictor was made for the space {self._space.name!r}, NASLib searches {ss_type!r}; "
                f"give NaslibPredictor its own name of that space. Known: {', '.join(_SPACES)}"
            )
        self.ss_type = ss_type

    def pre_process(self) -> None:
        """Nothing is done before the search."""

    def pre_compute(self, xtrain: Any, xtest: Any, unlabeled: Any = None) -> None:
        """Nothing is computed for all training sizes at once."""

    def set_pre_computations(self, unlabeled: Any = None, **zero_cost_info: Any) -> None:
        """Unlabelled architectures and zero-cost scores are not used."""

    def get_data_reqs(self) -> dict[str, Any]:
        """No learning curve, no hyper-parameters and no unlabelled architectures are needed."""
        return {
            "requires_partial_lc": False,
            "metric": None,
            "requires_hyperparameters": False,
            "hyperparams": {},
            "unlabeled": False,
            "unlabeled_factor": 0,
        }

    @property
    def default_hyperparams(self) -> dict[str, Any]:
        """The parameters given that are numbers or words; the evaluator rounds and writes each."""
        return _plain(self._recipe.parameters)

    def get_hyperparams(self) -> dict[str, Any]:
        """Parameters in force that are numbers or words."""
        return _plain({**self._recipe.parameters, **(self.hyperparams or {})})

    def set_hyperparams(self, hyperparams: Mapping[str, Any] | None) -> None:
        """Override parameters of the estimator from the next ``fit`` on; None takes the overrides back."""
        self.hyperparams = None if hyperparams is None else dict(hyperparams)

    def reset_hyperparams(self) -> None:
        """Take all overrides back."""
        self.hyperparams = None

    def get_random_hyperparams(self) -> dict[str, Any]:
        """One draw from the choices, on top of the parameters given."""
        drawn = {name: values[int(self._rng.integers(len(values)))] for name, values in self._choices.items()}
        return {**self.default_hyperparams, **drawn}

    def set_random_hyperparams(self) -> dict[str, Any]:
        """Draw and set; the first time the defaults, which NASLib's searches try before anything else."""
        drawn = self.default_hyperparams if self.hyperparams is None else self.get_random_hyperparams()
        self.set_hyperparams(drawn)
        return dict(drawn)

    def get_hpo_wrapper(self) -> bool:
        """Whether the evaluator may search hyper-parameters: where there are choices."""
        return self.hpo_wrapper


def _recipe(estimator: str | ModelRecipe, *, features: str | None, parameters: Mapping[str, Any] | None) -> ModelRecipe:
    if not isinstance(estimator, ModelRecipe):
        return ModelRecipe(estimator=estimator, features=features, parameters=dict(parameters or {}))
    if features is not None or parameters is not None:
        raise SpecError("a ModelRecipe names features and parameters itself; give one or the other, not both")
    return estimator


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if isinstance(value, (bool, int, float, str))}


# ---------------------------------------------------------------------- NASLib's among ours


def from_naslib(
    predictor: Any,
    *,
    space: str = "nb201",
    objective: Objective = ACCURACY,
    representation: Representation | Callable[[OpIndices], Any] = "graph",
) -> Any:
    """A NASLib predictor as a scikit-learn regressor of architectures.

    It is not a stored predictor and has no feature map: its rows are architectures, strings or (n, d) encodings, and
    what it makes of them is its own affair.

    Parameters
    ----------
    predictor
        Anything with NASLib's ``fit(xtrain, ytrain)`` and ``query(xtest, info)``. It is copied at every ``fit``.
    space
        Name of the search space.
    objective
        What the foreign predictor is to see as targets: accuracy in percent unless said. ``y`` and the predictions are
        its minimised form.
    representation
        What the foreign predictor is to see as architectures: ``"graph"``, stand-ins (:class:`StandInGraph`);
        ``"op-indices"``, NASLib's tuples; ``"one-hot"``, rows of 30 indicators, for NASLib's trees; ``"strings"``;
        ``"encodings"``, ours; or a function of NASLib's operation indices, e.g. one that makes real
        ``NasBench201SearchSpace`` objects. Spaces other than ``"nb201"`` have strings and encodings only.

    Returns
    -------
    An unfitted :class:`~nasbench_mo.adapters.naslib_regressor.NaslibRegressor`: ``fit(X, y)`` and
    ``predict(X, return_std=False)``, both minimised.

    Raises
    ------
    SpecError
        The predictor lacks a method, needs what we cannot give it, or the representation does not exist.
    MissingDependencyError
        scikit-learn is not installed.
    """
    require("sklearn", extra="fit")
    from nasbench_mo.adapters.naslib_regressor import NaslibRegressor

    check_foreign(predictor)
    represented(np.zeros((0, find_space(space).n_variables), dtype=np.int8), kind=representation, space_name=space)
    return NaslibRegressor(predictor=predictor, space=space, objective=objective, representation=representation)


def check_foreign(predictor: Any) -> None:
    """Refuse a predictor that cannot be served.

    Raises
    ------
    SpecError
        It has no ``fit`` or ``query``, or asks for learning curves, hyper-parameters or unlabelled architectures.
    """
    for method in ("fit", "query"):
        if not callable(getattr(predictor, method, None)):
            raise SpecError(f"a NASLib predictor has fit and query; {type(predictor).__name__} has no {method}")
    asked = predictor.get_data_reqs() if callable(getattr(predictor, "get_data_reqs", None)) else {}
    for need in ("requires_partial_lc", "requires_hyperparameters", "unlabeled"):
        if asked.get(need):
            raise SpecError(
                f"{type(predictor).__name__} asks for more than architectures and targets ({need}); "
                "only predictors that learn from those two can be wrapped"
            )


def represented(X: NDArray[Any], *, kind: Representation | Callable[[OpIndices], Any], space_name: str) -> list[Any]:
    """n architectures, (n, d) encodings of ours, as the foreign predictor wants them.

    Raises
    ------
    SpecError
        There is no such representation, or not in this space.
    """
    search_space = find_space(space_name)
    if kind == "strings":
        return search_space.decode(X)
    if kind == "encodings":
        return cast("list[Any]", search_space.check(X).tolist())
    if not callable(kind) and kind not in ("graph", "op-indices", "one-hot"):
        known = ("graph", "op-indices", "one-hot", "strings", "encodings")
        raise SpecError(
            f"unknown representation {kind!r}.{did_you_mean(str(kind), known)} "
            f"Known: {', '.join(known)}, or a function of NASLib's operation indices"
        )
    if search_space.name not in _SPACES.values():
        raise SpecError(
            f"NASLib's operation indices are known for {', '.join(_SPACES.values())}, not for {search_space.name!r}; "
            "take representation 'strings' or 'encodings'"
        )
    indices = to_op_indices(X)
    if kind == "op-indices":
        return list(indices)
    if callable(kind):
        return [kind(row) for row in indices]
    graphs = [StandInGraph(op_indices=row) for row in indices]
    return list(graphs) if kind == "graph" else [graph.encode() for graph in graphs]
