"""A stranger's program over the whole public API, for a strict type checker; it is checked and also run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import nasbench_mo as nmo

Floats = NDArray[np.float64]
ID = "nb201s-c10-flops-v1"


def spaces() -> list[str]:
    """Built-in and own spaces."""
    assert_type(nmo.space("nb201"), nmo.SearchSpace)
    own = nmo.CategoricalSpace("mlp", {"depth": [1, 2, 3], "activation": ["relu", "gelu"]})
    X = own.sample(3, rng=np.random.default_rng(0))
    assert_type(X, NDArray[Any])
    archs = own.decode(X)
    assert_type(archs, list[str])
    assert_type(own.size, int)
    return archs


def problems() -> tuple[nmo.Problem, nmo.Problem]:
    """A published problem, and one of a function."""
    published = nmo.problem(ID)
    assert_type(published, nmo.Problem)
    own = nmo.Problem.from_function(
        "squares-v1",
        lambda X: np.stack([X[:, 0], (5 - X[:, 0]) ** 2], axis=1).astype(np.float64),
        search_space=nmo.CategoricalSpace("line", {"x": list(range(6))}),
        objectives=[nmo.Objective(name=name, unit="score", kind="modelled") for name in ("left", "right")],
    )
    assert_type(own.objectives, tuple[nmo.Objective, ...])
    return published, own


def searches(problem: nmo.Problem) -> nmo.Run:
    """A loop of one's own, one run, and many."""
    searcher = nmo.searcher("random", problem.space, problem.n_objectives, seed=0)
    assert_type(searcher, nmo.Searcher)
    X = searcher.ask(2)
    F = problem.evaluate(X)
    assert_type(F, Floats)
    searcher.tell(X, F)
    run = nmo.run(problem, "random", budget=5, seed=1)
    assert_type(run, nmo.Run)
    assert_type(run.front(), nmo.Front)
    assert_type(run.front().archs, tuple[str, ...])
    assert_type(run.hypervolume_share(), float)
    assert_type(nmo.run_many(ID, "random", seeds=[0], budget=5), list[nmo.Run])
    assert_type(nmo.compute_manifest(problem), nmo.Manifest)
    return run


def indicators(F: Floats) -> Floats:
    """Fronts and their indicators."""
    front = F[nmo.nondominated(F)]
    assert_type(nmo.hypervolume(front, reference=F.max(axis=0) + 1), float)
    assert_type(nmo.igd_plus(front, reference_front=front), float)
    assert_type(nmo.additive_epsilon(front, reference_front=front), float)
    return front


def numbers(archs: list[str]) -> Floats:
    """Tables and predictors."""
    table = nmo.table("nb201-fpga-latency-modelled-v1")
    assert_type(table, nmo.Table)
    predictor = nmo.predictor("nb201-fpga-latency-linear-v1")
    assert_type(predictor, nmo.Predictor)
    values = predictor.predict(archs)
    assert_type(values, Floats)
    return values


def devices(measure: Callable[[list[str]], Floats], files: Path | None = None) -> Floats:
    """A new device from a few measurements; published files made into tables."""
    if files is not None:
        nmo.import_source("nats-bench", files)
    chosen = nmo.which_to_measure(5)
    assert_type(chosen, list[str])
    device = nmo.adapt(dict(zip(chosen, measure(chosen).tolist(), strict=True)))
    predicted = device.predict(chosen)
    assert_type(predicted, Floats)
    return predicted


def errors() -> None:
    """Every error is one of ours."""
    try:
        nmo.problem("no-such-problem")
    except nmo.NasbenchMoError as error:
        print(str(error).partition(".")[0])


def main() -> None:
    """Use everything once."""
    version: str = nmo.__version__
    nmo.show_versions()
    _, own = problems()
    run = searches(own)
    run.save(Path("run.parquet"))
    again = nmo.Run.load(Path("run.parquet"), problem=own)
    numbers(nmo.problem(ID).space.decode(nmo.space("nb201").sample(2, rng=np.random.default_rng(0))))
    print(version, len(again), len(indicators(run.F)), len(spaces()))
    devices(numbers)
    errors()


if __name__ == "__main__":
    main()
