"""Tiny images, runs of known values, and studies of them, for the tests of validations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import nasbench_mo as nmo
from nasbench_mo.objective import Objective
from nasbench_mo.space.nb201 import NB201
from nasbench_mo.validation import shortlist
from nasbench_mo.validation.shortlist import Chosen
from nasbench_mo.validation.shortlist_profile import Profile
from nasbench_mo.validation.study import Trained

NB = NB201()


def split(n: int, *, seed: int, size: int = 8) -> dict[str, np.ndarray]:
    """Three classes told apart by their colour."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    colour = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]])[labels]
    pixels = np.clip(colour[:, None, None, :] + rng.normal(0, 90, (n, size, size, 3)), 0, 255)
    return {"pixels": pixels.astype(np.uint8), "labels": labels}


def write_images(path: Path, *, size: int = 8, n_train: int = 60) -> Path:
    parts = {"train": split(n_train, seed=0, size=size), "valid": split(30, seed=1, size=size)}
    parts["test"] = split(31, seed=2, size=size)
    np.savez(path, **{f"{name}_{what}": values for name, part in parts.items() for what, values in part.items()})
    return path


def fake_run(F: list[list[float]], *, deviation: list[float] | None = None, monkeypatch: Any = None) -> Any:
    """A run of given values over distinct cells with a convolution each, none the twin of another."""
    X = nmo.space("nb201").enumerate()
    X = X[~NB.degenerate(X)]
    _, first = np.unique(NB.equivalence_class(X), return_index=True)
    X = X[np.sort(first)[100 : 100 + len(F)]]
    values = np.array(F)
    objectives = [
        Objective(name="error", unit="percent", kind="predicted"),
        Objective(name="cost", unit="ms", kind="modelled"),
    ]
    problem = nmo.Problem.from_function(
        "toy-v1", lambda X: np.zeros((len(X), 2)), search_space=NB, objectives=objectives
    )
    front = np.flatnonzero(nmo.nondominated(values))
    if monkeypatch is not None:
        found = np.column_stack([np.array(deviation), np.full(len(F), np.nan)])
        monkeypatch.setattr(shortlist, "deviations", lambda problem, X: found)
    return SimpleNamespace(
        identity=SimpleNamespace(problem="toy-v1", data_hash="0", objectives=tuple(objectives)),
        problem=problem,
        X=X,
        F=values,
        archs=NB.decode(X),
        degenerate=np.zeros(len(F), dtype=bool),
        infeasible=np.zeros(len(F), dtype=bool),
        full=np.ones(len(F), dtype=bool),
        front=lambda: SimpleNamespace(evaluation=front),
    )


def chosen_of(run: Any, *, n: int) -> tuple[Chosen, ...]:
    """The first networks of a run."""
    return tuple(
        Chosen(arch=run.archs[i], role="front", evaluation=i, predicted=tuple(run.F[i]), deviation=(None, None))
        for i in range(n)
    )


def no_profile(archs: Sequence[str], **_: Any) -> Profile:
    """In place of measurements."""
    return Profile(
        device="X1",
        runtime="none",
        latency_us={"p10": np.ones(len(archs)), "p50": np.ones(len(archs))},
        noise_percent=1.0,
        as_predicted_us=None,
        memory_mib=np.full(len(archs), np.nan),
        failures={},
        no_memory_because="not asked",
        no_energy_because="not asked",
    )


def same_training(one: Trained, other: Trained) -> bool:
    """Whether two trainings have the same curves and scores, to the bit."""
    names = ("arch", "seed", "failure", "valid_error_percent", "valid_loss", "train_loss", "valid", "test")
    return all(getattr(one, name) == getattr(other, name) for name in names)
