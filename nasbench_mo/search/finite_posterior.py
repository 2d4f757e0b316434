"""A BoTorch model seen on finitely many points: its posterior there is computed once, and acquisitions look it up.

BoTorch computes the joint posterior of the evaluated points and a candidate afresh for every candidate, which takes
most of the time of a search over a finite space.
"""

from __future__ import annotations

from typing import Any

import torch
from botorch.exceptions.errors import UnsupportedError
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from linear_operator import to_linear_operator

#: Points whose covariances are computed at a time.
_CHUNK = 512


class FinitePosterior(Model):  # type: ignore[misc, unused-ignore]
    """The posterior of a model on known points and choices; its input is the number of a point.

    Sets of points that a posterior is asked for hold any number of known and of held points (:meth:`hold`), and one
    other choice: that is what an acquisition asks for that chooses one point after the other.

    Parameters
    ----------
    model
        A ``ModelListGP`` of one objective each.
    known, choices
        (n, k) and (c, k) inputs of the model.

    Attributes
    ----------
    known, choices
        (n, 1) and (c, 1) numbers of the points, the inputs of this model.
    """

    def __init__(self, model: Any, *, known: Any, choices: Any) -> None:
        super().__init__()
        self._parts = model.models
        self._points = torch.cat([known, choices])
        n_points = len(self._points)
        self.known = torch.arange(len(known), dtype=known.dtype)[:, None]
        self.choices = torch.arange(len(known), n_points, dtype=known.dtype)[:, None]
        #: Of each point its row of covariances with all points, -1 where there is none.
        self._row = torch.full((n_points,), -1)
        self._rows = known.new_empty((self.num_outputs, 0, n_points))
        self._mean = known.new_empty((self.num_outputs, n_points))
        self._variance = known.new_empty((self.num_outputs, n_points))
        self.hold(self.known)

    @property
    def num_outputs(self) -> int:
        """Objectives."""
        return len(self._parts)

    @property
    def batch_shape(self) -> Any:
        """Models side by side: none."""
        return torch.Size()

    def hold(self, X: Any) -> None:
        """Compute the covariances of (j, 1) points with all others."""
        which = X[:, 0].long()
        which = which[self._row[which] < 0]
        rows = self._rows.new_empty((self.num_outputs, len(which), len(self._points)))
        with torch.no_grad():
            for start in range(0, len(self._points), _CHUNK):
                here = slice(start, start + _CHUNK)
                for j, part in enumerate(self._parts):
                    joint = part.posterior(torch.cat([self._points[which], self._points[here]])).distribution
                    covariance = joint.covariance_matrix
                    rows[j, :, here] = covariance[: len(which), len(which) :]
                    self._mean[j, here] = joint.mean[len(which) :]
                    self._variance[j, here] = covariance.diagonal()[len(which) :]
        self._row[which] = self._rows.shape[1] + torch.arange(len(which))
        self._rows = torch.cat([self._rows, rows], dim=1)

    def posterior(
        self,
        X: Any,
        output_indices: list[int] | None = None,
        observation_noise: Any = False,
        posterior_transform: Any = None,
    ) -> Any:
        """Joint posterior of (..., q, 1) points, without noise."""
        if output_indices is not None or observation_noise is not False:
            raise UnsupportedError("the posterior of all objectives without noise is all there is")
        which = X[..., 0].long()
        row = self._row[which]
        free = row < 0
        if bool((free.sum(dim=-1) > 1).any()):
            raise UnsupportedError("one point at most that is neither known nor held")
        # the row of a free point is read off the column that the others have of it; its own place is its variance
        found = self._rows[:, row[..., :, None], which[..., None, :]]
        found = torch.where(free[..., :, None], found.transpose(-1, -2), found)
        covariance = torch.where(torch.diag_embed(free), self._variance[:, which, None], found)
        # as an operator it is factorised when it is needed, and with a jitter where it must be
        normals = [
            MultivariateNormal(self._mean[j, which], to_linear_operator(covariance[j])) for j in range(self.num_outputs)
        ]
        several = len(normals) > 1
        made = GPyTorchPosterior(MultitaskMultivariateNormal.from_independent_mvns(normals) if several else normals[0])
        return made if posterior_transform is None else posterior_transform(made)
