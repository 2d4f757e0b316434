"""A fitted Gaussian process as arrays: prediction in NumPy, and a file that holds no code.

Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1. Only the mean and the marginal
variance of each point are computed: the joint covariance of all cells of a space would be 15,625 x 15,625.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasbench_mo.bounded import load_arrays, save_arrays
from nasbench_mo.errors import ArtifactError, SpecError
from nasbench_mo.predictor.estimators.gp_kernel import Cross, Floats, KernelTerm, covariance, variance
from nasbench_mo.predictor.estimators.targets import TargetTransform

FORMAT_VERSION = 1
#: Points whose covariances with the training rows are held at a time: 1,000 training rows take 16 MB.
_CHUNK = 2048
#: Added to the diagonal, relative to its mean, until the factorisation succeeds.
_JITTERS = (0.0, 1e-10, 1e-8, 1e-6)
#: Rows of the training covariance that are computed at a time.
_BLOCK = 200
#: Triangular matrices up to this size are inverted as any other.
_SMALL = 64
#: Arrays of a file: the covariance of 6,000 training rows is as large.
_MAX_BYTES = 1 << 28
_ARRAYS = ("inputs", "scores", "scales", "offsets")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """Mean and variance of a Gaussian process with zero mean, given observations with noise.

    Get one with :meth:`of`: n³/3 operations once, then n a point for the mean and n² for its variance.
    """

    cross: Cross
    terms: tuple[KernelTerm, ...]
    coefficients: Floats
    inverse_factor: Floats
    noise: float

    @classmethod
    def of(cls, terms: Sequence[KernelTerm], *, inputs: NDArray[Any], scores: Floats, noise: float) -> Self:
        """Condition on (n, k) inputs and (n,) centred scores, of noise variance ``noise``."""
        K = _lower_covariance(terms, inputs)
        K[np.diag_indices_from(K)] += noise
        factor = _factor(K)
        # the inverse turns every later variance into one matrix product, several times faster than a triangular solve
        inverse = inverse_lower(factor)
        coefficients = inverse.T @ (inverse @ scores)
        return cls(
            cross=Cross(terms, inputs),
            terms=tuple(terms),
            coefficients=coefficients,
            inverse_factor=inverse,
            noise=noise,
        )

    def mean(self, X: NDArray[Any]) -> Floats:
        """Posterior mean, (m,), of (m, k) inputs."""
        return self._chunked(X, with_std=False)[0]

    def mean_and_std(self, X: NDArray[Any]) -> tuple[Floats, Floats]:
        """Posterior mean and standard deviation of an observation, (m,) each, of (m, k) inputs."""
        return self._chunked(X, with_std=True)

    def leave_one_out(self, scores: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each of the (n,) observations given all others, (n,) each.

        Rasmussen & Williams, equations 5.10 to 5.12: the diagonal of the inverse covariance says it.
        """
        precision = np.einsum("ij,ij->j", self.inverse_factor, self.inverse_factor)
        return scores - self.coefficients / precision, np.sqrt(1.0 / precision)

    def _chunked(self, X: NDArray[Any], *, with_std: bool) -> tuple[Floats, Floats]:
        distinct, member = _distinct_rows(X)
        mean = np.empty(len(distinct))
        left = np.full(len(distinct), np.nan)
        if with_std:
            left = variance(self.terms, distinct)
        for start in range(0, len(distinct), _CHUNK):
            part = slice(start, start + _CHUNK)
            K = self.cross(distinct[part])
            mean[part] = K @ self.coefficients
            if with_std:
                explained = K @ self.inverse_factor.T
                left[part] -= np.einsum("ij,ij->i", explained, explained)
        return mean[member], np.sqrt(np.maximum(left, 0.0) + self.noise)[member]


@final
class StoredGP:
    """A fitted Gaussian process of a transformed target, without the library that fitted it.

    It is not an estimator: it cannot be fitted. :meth:`.gp.GPRegressor.stored` makes one.

    Parameters
    ----------
    terms
        The kernel, fitted, of the standardised scores.
    inputs
        (n, k) training features.
    scores
        (n,) training targets, transformed and standardised.
    noise
        Variance of the observation noise of the scores.
    target
        Transform of the target, fitted.
    centre, spread
        Mean and standard deviation that the transformed target was standardised with.
    """

    def __init__(
        self,
        *,
        terms: Sequence[KernelTerm],
        inputs: NDArray[Any],
        scores: Floats,
        noise: float,
        target: TargetTransform,
        centre: float,
        spread: float,
    ) -> None:
        self.terms = tuple(terms)
        self.inputs = np.array(inputs, dtype=np.float64)
        self.scores = np.array(scores, dtype=np.float64)
        self.noise = float(noise)
        self.target = target
        self.centre = float(centre)
        self.spread = float(spread)
        self._check()
        self._posterior = Posterior.of(self.terms, inputs=self.inputs, scores=self.scores, noise=self.noise)

    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[False] = False) -> Floats: ...
    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[True]) -> tuple[Floats, Floats]: ...
    def predict(self, X: ArrayLike, *, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Predict (m, k) features.

        Returns
        -------
        (m,) values in the target's unit, and on request (m,) standard deviations of an observation in that unit.

        Raises
        ------
        SpecError
            The features have another number of columns, or one of them is not finite.
        """
        features = np.asarray(X, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != self.inputs.shape[1]:
            raise SpecError(f"expected features of shape (m, {self.inputs.shape[1]}), got {features.shape}")
        if not np.isfinite(features).all():
            raise SpecError("expected finite features; got NaN or infinity")
        if not return_std:
            return self.target.backward(self.centre + self.spread * self._posterior.mean(features))
        mean, std = self._posterior.mean_and_std(features)
        return self.target.inverse(self.centre + self.spread * mean, self.spread * std)

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Each training row predicted from all others: (n,) values and (n,) deviations, in the target's unit.

        Kernel, noise and target transform stay those of all rows.
        """
        mean, std = self._posterior.leave_one_out(self.scores)
        return self.target.inverse(self.centre + self.spread * mean, self.spread * std)

    def state(self) -> dict[str, Any]:
        """What :meth:`load` needs besides the arrays, of types that JSON has."""
        return {
            "format": FORMAT_VERSION,
            "kinds": [term.kind for term in self.terms],
            "weights": [term.weight for term in self.terms],
            "noise": self.noise,
            "target": self.target.state(),
            "centre": self.centre,
            "spread": self.spread,
        }

    def save(self, path: Path) -> dict[str, Any]:
        """Write the arrays into a compressed ``.npz`` and return :meth:`state`, to be kept beside it.

        The factorisation is not stored: it follows from the rest, and would be most of the file.
        """
        arrays = {
            "inputs": self.inputs,
            "scores": self.scores,
            "scales": np.stack([term.scales for term in self.terms]),
            "offsets": np.stack([np.asarray(term.offset) for term in self.terms]),
        }
        save_arrays(path, arrays)
        return self.state()

    @classmethod
    def load(cls, path: Path, *, state: Mapping[str, Any]) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtifactError
            The file is missing or damaged, or does not belong to the state.
        """
        try:
            held = load_arrays(path, _ARRAYS, kinds="f", at_most=_MAX_BYTES)
            arrays = {name: np.asarray(values, dtype=np.float64) for name, values in held.items()}
            if state["format"] != FORMAT_VERSION:
                raise ArtifactError(f"{path}: expected format {FORMAT_VERSION} of a stored GP, got {state['format']!r}")
            kinds, weights = list(state["kinds"]), list(state["weights"])
            rows = zip(kinds, weights, arrays["scales"], arrays["offsets"], strict=True)
            terms = [KernelTerm(kind=k, weight=float(w), scales=s, offset=o) for k, w, s, o in rows]
            target = TargetTransform.from_state(state["target"])
            return cls(
                terms=terms,
                inputs=arrays["inputs"],
                scores=arrays["scores"],
                noise=float(state["noise"]),
                target=target,
                centre=float(state["centre"]),
                spread=float(state["spread"]),
            )
        except ArtifactError:
            raise
        except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArtifactError(f"{path} is not a stored Gaussian process: {error}; reinstall") from error

    def _check(self) -> None:
        n, k = self.inputs.shape if self.inputs.ndim == 2 else (0, 0)
        if not n or self.scores.shape != (n,):
            raise SpecError(f"expected (n, k) inputs and (n,) scores, got {self.inputs.shape} and {self.scores.shape}")
        if not self.terms or any(len(term.scales) != k for term in self.terms):
            lengths = [len(term.scales) for term in self.terms]
            raise SpecError(f"expected kernel terms with one scale for each of {k} columns, got {lengths}")
        if not (np.isfinite(self.inputs).all() and np.isfinite(self.scores).all()):
            raise SpecError("expected finite inputs and scores; got NaN or infinity")
        if not (self.noise > 0 and self.spread > 0 and np.isfinite([self.noise, self.spread, self.centre]).all()):
            raise SpecError(f"expected positive noise and spread, got {self.noise} and {self.spread}")


def _lower_covariance(terms: Sequence[KernelTerm], inputs: NDArray[Any]) -> Floats:
    """Covariances of (n, k) inputs with each other, (n, n), with zeros where the factorisation does not look."""
    K = np.zeros((len(inputs), len(inputs)))
    for start in range(0, len(inputs), _BLOCK):
        stop = start + _BLOCK
        K[start:stop, :stop] = covariance(terms, inputs[start:stop], inputs[:stop])
    return K


def _factor(K: Floats) -> Floats:
    """Lower Cholesky factor from the lower triangle of K.

    A little is added to the diagonal where rounding has made K indefinite.
    """
    scale = float(np.diag(K).mean())
    for jitter in _JITTERS:
        try:
            factor = np.linalg.cholesky(K + jitter * scale * np.eye(len(K)) if jitter else K)
        except np.linalg.LinAlgError:
            continue
        return np.asarray(factor, dtype=np.float64)
    raise SpecError(
        "the covariance of the training rows is not positive definite; raise the noise of the kernel's prior"
    )


def inverse_lower(factor: Floats) -> Floats:
    """Inverse of a lower triangular matrix, (n, n): halves inverted, and joined by two matrix products.

    It is as fast as LAPACK's triangular solve, and importing SciPy for that takes longer than a process of 1,000 rows.
    """
    n = len(factor)
    if n <= _SMALL:
        return np.tril(np.linalg.inv(factor))
    half = n // 2
    made = np.zeros_like(factor)
    made[:half, :half] = first = inverse_lower(factor[:half, :half])
    made[half:, half:] = last = inverse_lower(factor[half:, half:])
    made[half:, :half] = -(last @ (factor[half:, :half] @ first))
    return made


def _distinct_rows(X: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The distinct rows of (m, k) features and, (m,), which of them each row is.

    Three in four cells of NAS-Bench-201 are twins of another, with equal features. A fixed random projection finds the
    twins in linear time; where it has taken two different rows for one, every row counts as distinct.
    """
    everything = np.arange(len(X))
    if len(X) < _CHUNK:
        return X, everything
    code = X @ np.random.default_rng(0).standard_normal(X.shape[1])
    _, first, member = np.unique(code, return_index=True, return_inverse=True)
    if len(first) > 0.9 * len(X) or not np.array_equal(X[first][member], X):
        return X, everything
    return X[first], member
