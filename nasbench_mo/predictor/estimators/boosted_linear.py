"""A ridge regression, and boosted trees on what it leaves over.

A cost is mostly a sum over operations or blocks, which trees approximate badly and a linear model exactly; what does
not add up (caches, fusion, interaction) is small and irregular, which trees are for. Where the sum is exact, as in a
published look-up table, it is found out and kept exact, ties included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from nasbench_mo.errors import SpecError
from nasbench_mo.predictor.estimators.base import DeviationRegressor, Floats, check_positive_int
from nasbench_mo.predictor.estimators.linear import LinearRegressor
from nasbench_mo.predictor.estimators.stored_linear import StoredLinear, tree_values
from nasbench_mo.predictor.estimators.targets import TargetTransform, resolved_target

#: Largest misfit of a sum that is taken to be exact, in standard deviations of the targets: float32 data pass.
EXACT_MISFIT = 1e-5
#: Predictions of an exact sum closer than so many times its misfit are one value.
_TIE_FACTOR = 64.0
_N_FOLDS = 5

#: Of the trees; ``n_rounds`` is their number. Small trees, because the linear model has done the coarse work.
DEFAULT_TREES: Mapping[str, float | int | str] = {
    "learning_rate": 0.05,
    "max_depth": 4,
    "min_child_weight": 4,
    "subsample": 0.7,
    "colsample_bynode": 0.25,
    "reg_lambda": 4.0,
    "tree_method": "hist",
    "n_rounds": 300,
}


@final
class BoostedLinearRegressor(DeviationRegressor):
    """Linear model of a transformed target plus XGBoost on its leave-one-out residuals.

    Parameters
    ----------
    target
        ``"auto"``, ``"identity"``, ``"log"``, ``"log-excess"`` or ``"rank-gauss"``: see
        :func:`.targets.resolved_target`.
    linear_columns, tree_columns
        Columns that the linear model and the trees see; None for all.
    trees
        Overrides of :data:`DEFAULT_TREES`; ``n_rounds: 0`` for the linear model alone.
    robust
        Fit the linear model with Huber's weights, for measurements with stray values.
    random_state
        Seed of XGBoost's sampling and of the folds.

    Attributes
    ----------
    coef_, intercept_
        Of the linear model, in the order of ``linear_columns``, (k,) and scalar.
    exact_
        Whether the target is an exact sum; there are no trees then.
    step_
        Multiple to which predictions of an exact sum are rounded, in the transformed target; 0 otherwise.
    booster_
        The trees, or None.
    tree_share_
        Weight of the trees, 0 to 1: the share of the residuals that cross-validated trees explain (stacking, Wolpert
        1992). None of it where only noise is left.
    least_
        Least transformed training target; predictions do not go below.
    deviation_
        Standard deviation of an observation of the transformed target, the same for every row.
    """

    def __init__(
        self,
        *,
        target: str = "auto",
        linear_columns: Sequence[int] | None = None,
        tree_columns: Sequence[int] | None = None,
        trees: Mapping[str, float | int | str] | None = None,
        robust: bool = False,
        random_state: int = 0,
    ) -> None:
        self.target = target
        self.linear_columns = linear_columns
        self.tree_columns = tree_columns
        self.trees = trees
        self.robust = robust
        self.random_state = random_state

    def _fit(self, X: Floats, y: Floats) -> None:
        seed = check_positive_int(self.random_state, name="random_state", least=0)
        settings = {**DEFAULT_TREES, **(self.trees or {})}
        n_rounds = check_positive_int(settings.pop("n_rounds"), name="trees: n_rounds", least=0)
        self.target_: TargetTransform = resolved_target(self.target, y)
        z = self.target_.forward(y)
        self._linear = column_indices(self.linear_columns, n_columns=X.shape[1], name="linear_columns")
        self._trees = column_indices(self.tree_columns, n_columns=X.shape[1], name="tree_columns")
        self.least_ = float(z.min())
        self.booster_: Any = None
        self.tree_share_ = 0.0
        self.exact_ = self._fit_exact(X[:, self._linear], z)
        if self.exact_:
            return
        linear = LinearRegressor(robust=bool(self.robust)).fit(X[:, self._linear], z)
        self.coef_, self.intercept_, self.step_ = linear.coef_, linear.intercept_, 0.0
        left = linear.loo_residuals_
        if n_rounds:
            left = self._fit_trees(X[:, self._trees], left, settings=settings, n_rounds=n_rounds, seed=seed)
        self.deviation_ = float(max(np.sqrt(np.mean(left**2)), 1e-300))

    def _fit_exact(self, X: Floats, z: Floats) -> bool:
        """Solve without a penalty; True where nothing is left over."""
        if len(X) <= X.shape[1] + 1:
            return False
        design = np.concatenate([np.ones((len(X), 1)), X], axis=1)
        solution = np.linalg.lstsq(design, z, rcond=None)[0]
        misfit = float(np.abs(design @ solution - z).max())
        if misfit > EXACT_MISFIT * float(z.std()):
            return False
        self.coef_, self.intercept_ = solution[1:], float(solution[0])
        finest = max(_TIE_FACTOR * misfit, 1e-12 * float(np.abs(z).max()))
        self.step_ = float(10.0 ** np.ceil(np.log10(finest)))
        self.deviation_ = self.step_
        return True

    def _fit_trees(self, X: Floats, left: Floats, *, settings: Mapping[str, Any], n_rounds: int, seed: int) -> Floats:
        """Fit trees to the residuals; what is left of those when trees that had not seen them are subtracted, (n,)."""
        n_folds = min(_N_FOLDS, len(left))
        fold = np.random.default_rng(seed).permutation(len(left)) % n_folds
        unseen = np.zeros_like(left)
        for k in range(n_folds):
            rows = fold != k
            booster = _boosted(X[rows], left[rows], settings=settings, n_rounds=n_rounds, seed=seed)
            unseen[~rows] = tree_values(booster, X[~rows])
        power = float(unseen @ unseen)
        share = float(np.clip(unseen @ left / power, 0.0, 1.0)) if power > 0 else 0.0
        # a few per cent of noise are explained by chance: the gain must exceed its standard error
        gain = left**2 - (left - share * unseen) ** 2
        if share == 0.0 or gain.mean() <= gain.std() / np.sqrt(len(gain)):
            return left
        self.tree_share_ = share
        self.booster_ = _boosted(X, left, settings=settings, n_rounds=n_rounds, seed=seed)
        return left - share * unseen

    def stored(self) -> StoredLinear:
        """The fitted model without the library that fitted it.

        Raises
        ------
        NotFittedError
            ``fit`` has not been called.
        """
        check_is_fitted(self)
        return StoredLinear(
            n_columns=self.n_features_in_,
            linear_columns=self._linear,
            tree_columns=self._trees,
            coefficients=self.coef_,
            intercept=self.intercept_,
            booster=self.booster_,
            tree_share=self.tree_share_,
            step=self.step_,
            least=self.least_,
            deviation=self.deviation_,
            target=self.target_,
        )

    def _predict(self, X: Floats, *, with_std: bool) -> tuple[Floats, Floats | None]:
        model = self.stored()
        return model.predict(X, return_std=True) if with_std else (model.predict(X), None)


def column_indices(columns: Sequence[int] | None, *, n_columns: int, name: str) -> NDArray[np.intp]:
    """Checked indices of columns, all of them for None.

    Raises
    ------
    SpecError
        They are no list of indices below ``n_columns``.
    """
    indices = np.arange(n_columns) if columns is None else np.asarray(list(columns))
    if indices.ndim != 1 or not indices.size or indices.dtype.kind not in "iu":
        raise SpecError(f"{name} must list column indices; got {columns!r}")
    if indices.min() < 0 or indices.max() >= n_columns:
        raise SpecError(f"{name} has column {int(indices.max())}; there are {n_columns}, from 0")
    return indices.astype(np.intp)


def _boosted(X: Floats, z: Floats, *, settings: Mapping[str, Any], n_rounds: int, seed: int) -> Any:
    import xgboost

    return xgboost.train(
        {**settings, "objective": "reg:squarederror", "seed": seed, "nthread": 1, "base_score": 0.0},
        xgboost.DMatrix(X.astype(np.float32), label=z),
        num_boost_round=n_rounds,
    )
