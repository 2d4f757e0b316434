"""A search space: small perceptrons."""

from nasbench_mo.space import CategoricalSpace


def mlp() -> CategoricalSpace:
    """Layers, their width, what follows each."""
    choices = {"depth": range(1, 9), "width": [16, 32, 64, 128, 256, 512], "act": ["relu", "gelu", "silu"]}
    return CategoricalSpace("example-mlp", {**choices, "norm": ["none", "batch", "layer"], "skip": ["no", "yes"]})
