"""Make the folders in ``nmo_example/artefacts`` again, where the package is installed: ``make_artefacts.py FOLDER``.

The numbers are made up: a formula of depth and width with noise, so nothing here is anybody's data.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from nasbench_mo import artifacts
from nasbench_mo.objective import Objective
from nasbench_mo.predictor.training import TrainingSpec, train
from nasbench_mo.sources import import_source
from nasbench_mo.space import space
from nasbench_mo.table import Column, write_table

SPEC = Path(__file__).with_name("spec.yaml")
LATENCY = Objective(name="latency_cpu", unit="ms", kind="measured", device="cpu of the example", batch=1)


def make_predictor(root: Path) -> None:
    """Write made-up accuracies, import them as any user would, train on them."""
    mlp = space("example-mlp")
    X = mlp.enumerate()
    accuracy = 60 + 3 * X[:, 0] + 2 * X[:, 1] + 4 * X[:, 4] + np.random.default_rng(0).normal(0, 0.5, len(X))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "accuracies.txt"
        lines = (f"{arch} {value:.3f}\n" for arch, value in zip(mlp.decode(X), accuracy, strict=True))
        path.write_text("".join(lines), encoding="utf-8")
        import_source("example-csv", path)
    train(TrainingSpec.read(SPEC), root=root, command="make_artefacts.py", spec_file=SPEC)


def make_device(root: Path) -> None:
    """Write a table of one made-up latency an architecture."""
    mlp = space("example-mlp")
    X = mlp.enumerate()
    folder = root / "example-cpu-latency-v1"
    folder.mkdir(parents=True, exist_ok=True)
    write_table(
        folder,
        (Column(objective=LATENCY, values=0.1 * (1 + X[:, 0]) * 2.0 ** X[:, 1] + 0.05 * X[:, 3]),),
        id=folder.name,
        space=mlp.name,
        archs=mlp.decode(X),
        cardinalities=mlp.cardinalities.tolist(),
        encodings=X,
    )
    front = {
        "id": folder.name,
        "what": "made-up latencies",
        "kind": LATENCY.kind,
        "space": mlp.name,
        "objectives": [LATENCY.to_dict()],
        "source": "nmo-example",
        "licence": "Apache-2.0",
        "noise_floor": "none: made up",
    }
    (folder / "card.md").write_text(artifacts.render_card(front, body="Made up by a formula."), encoding="utf-8")


if __name__ == "__main__":
    make_predictor(Path(sys.argv[1]))
    make_device(Path(sys.argv[1]))
