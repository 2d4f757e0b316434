"""What tests of measured device tables share: a device whose every layer has a known cost, and small specifications."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.profiling.campaign import Probe, Quantity, Setting
from nasbench_mo.profiling.chains import CONTEXTS
from nasbench_mo.space.nb201 import Skeleton

SMALL = Skeleton(n_cells=1, channels=4, n_stages=2, image_size=8, n_classes=5)
CONTEXTS_4 = [CONTEXTS[0], CONTEXTS[1], CONTEXTS[2], CONTEXTS[4]]

_CPU: dict[str, Any] = {
    "measures": "latency",
    "runtime": "onnxruntime",
    "id": "tiny-v1",
    "networks_id": "tiny-networks-v1",
    "space": "nb201",
    "skeleton": {
        "n_cells": 1, "channels": 4, "n_stages": 2, "image_size": 8, "image_channels": 3, "n_classes": 5,
    },
    "settings": [{"precision": p, "threads": 1, "networks": n} for p, n in (("fp32", 3), ("int8", 2))],
    "chains": {"short": 1, "layers": 2, "contexts": CONTEXTS_4},
    "sample_seed": 0,
    "protocol": {
        "passes": 2, "rounds": 2, "layer_rounds": 3, "runs": 1, "warm_up": 0, "quantile": 0.1, "block": 9, "seed": 0,
    },
    "about": "Made up.",
}  # fmt: skip


def fields(**changes: Any) -> dict[str, Any]:
    """A small specification; a change is merged into a mapping and replaces anything else."""
    made = copy.deepcopy(_CPU)
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(made.get(name), dict):
            made[name] |= value
        else:
            made[name] = value
    return made


def gpu_fields(**changes: Any) -> dict[str, Any]:
    settings = [{"precision": p, "batch": b, "networks": 2} for p, b in (("fp32", 1), ("fp16", 2), ("bf16", 1))]
    return fields(runtime="torch-cuda", settings=settings, **changes)


def write_spec(folder: Path, content: Mapping[str, Any]) -> Path:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
    return path


def layer_cost(shape: LayerShape) -> float:
    """Any cost that differs from shape to shape."""
    operator = ("conv", "avg_pool", "add", "global_pool", "linear").index(shape.operator)
    return 1 + operator + shape.in_channels / 8 + shape.out_channels / 16 + shape.in_size / 32 + shape.kernel


class KnownBackend:
    """A device on which a graph costs a call and its layers. A model is two sums of costs."""

    device = "abacus"
    runtime = "beads 1"
    CALL = 7.0

    def __init__(
        self, *, machine: str = "one", at_most: int | None = None, factor: Callable[[int], float] | None = None
    ):
        self.machine = machine
        self.at_most = at_most
        self.factor = factor or (lambda turn: 1.0)
        self.turns = 0

    def identity(self) -> dict[str, Any]:
        return {"machine": self.machine, "versions": {"beads": 1}}

    def probe(self, model: bytes, setting: Setting, *, quantity: Quantity) -> Probe:
        cost = [float(part) for part in model.decode().split()][-1 if setting.precision == "fp32" else 0]
        scale = {"fp32": 1.0, "int8": 0.5}[setting.precision]

        def turn() -> float:
            if self.at_most is not None and self.turns >= self.at_most:
                raise KeyboardInterrupt
            self.turns += 1
            return scale * (self.CALL + cost) * self.factor(self.turns)

        return turn


def known_model(counts: Mapping[LayerShape, float], *, merged: Mapping[LayerShape, float] | None = None) -> bytes:
    """Stands for the ONNX model of a graph: the sum of its layers' costs, and that of what single precision leaves."""
    costs = [sum(n * layer_cost(shape) for shape, n in c.items()) for c in (counts, merged or counts)]
    return " ".join(map(repr, costs)).encode()
