"""Workloads against ONNX graphs, torch networks, published counts, and sums written out by hand."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo.errors import ArchitectureError, NasbenchMoError, SpecError, UnknownNameError
from nasbench_mo.hardware.shapes import LayerShape
from nasbench_mo.hardware.workload import WORKLOADS, Workload, compose, workload
from nasbench_mo.hardware.workload.fbnet import SKELETONS as FBNET_SKELETONS
from nasbench_mo.hardware.workload.mobile import MobileSkeleton
from nasbench_mo.hardware.workload.nbmacro import SKELETONS as NBMACRO_SKELETONS
from nasbench_mo.profiling.onnx_graph import onnx_network
from nasbench_mo.registry import Registry
from nasbench_mo.space import CategoricalSpace, space
from nasbench_mo.space.nb201 import EDGES, NB201, NONE, OPERATIONS, Counting, Skeleton
from nasbench_mo.training import build_network

STANDARD = Skeleton()
SMALL = Skeleton(n_cells=1, channels=8, image_size=16, n_classes=43)
OTHERS = (SMALL, Skeleton(n_cells=2, channels=5, n_stages=2, image_size=6, image_channels=1, n_classes=3))
CONVENTIONS: tuple[Counting, ...] = ("live", "all")

nb201 = space("nb201")
assert isinstance(nb201, NB201)
CELLS = nb201.enumerate()
LIVE_CELLS = CELLS[~nb201.degenerate(CELLS)]


def some(X: np.ndarray[Any, Any], n: int, *, seed: int = 0) -> np.ndarray[Any, Any]:
    return X[np.random.default_rng(seed).choice(len(X), size=n, replace=False)]


def as_counter(net: Workload, row: Sequence[float]) -> Counter[LayerShape]:
    """A row of counts without its zeros."""
    return Counter({shape: int(count) for shape, count in zip(net.shapes, row, strict=True) if count})


# ---------------------------------------------------------------------- NAS-Bench-201: which shapes


def test_the_standard_skeleton_has_21_shapes() -> None:
    expected = {LayerShape(operator="conv", in_channels=3, out_channels=16, in_size=32, kernel=3)}
    for c, r in ((16, 32), (32, 16), (64, 8)):
        same: dict[str, Any] = {"in_channels": c, "out_channels": c, "in_size": r}
        expected |= {LayerShape(operator="conv", kernel=k, **same) for k in (1, 3)}
        expected |= {LayerShape(operator="avg_pool", kernel=3, **same), LayerShape(operator="add", **same)}
        if c < 64:
            expected |= {
                LayerShape(operator="conv", in_channels=c, out_channels=2 * c, in_size=r, kernel=3, stride=2),
                LayerShape(operator="avg_pool", kernel=2, stride=2, **same),
                LayerShape(operator="conv", in_channels=c, out_channels=2 * c, in_size=r // 2),
            }
    expected |= {
        LayerShape(operator="global_pool", in_channels=64, out_channels=64, in_size=8),
        LayerShape(operator="linear", in_channels=64, out_channels=10, in_size=1),
    }
    net = workload("nb201")
    assert len(net.shapes) == 21
    assert set(net.shapes) == expected


@given(n_stages=st.integers(1, 4), n_cells=st.integers(1, 3), channels=st.integers(4, 9))
@settings(max_examples=20, deadline=None)
def test_every_skeleton_has_seven_shapes_a_stage(n_stages: int, n_cells: int, channels: int) -> None:
    skeleton = Skeleton(n_stages=n_stages, n_cells=n_cells, channels=channels, image_size=16)
    shapes = workload("nb201", skeleton=skeleton).shapes
    assert len(shapes) == len(set(shapes)) == 7 * n_stages  # stem, pooling and classifier for the absent reduction


def test_a_stem_of_the_cells_own_shape_is_not_counted_twice() -> None:
    net = workload("nb201", skeleton=Skeleton(channels=3, n_cells=1))
    assert len(net.shapes) == 20
    [counts] = net.counts(nb201.encode("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"))
    assert counts[0] == 1 + 2


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "nb201-n5c16-cifar10"),
        ({"dataset": "cifar100"}, "nb201-n5c16-cifar100"),
        ({"dataset": "imagenet16-120"}, "nb201-n5c16-imagenet16-120"),
        ({"skeleton": STANDARD}, "nb201-n5c16-cifar10"),
        ({"skeleton": SMALL}, "nb201-n1c8-16px43c"),
        ({"skeleton": OTHERS[1]}, "nb201-n2c5-s2-6px3c-1ch"),
    ],
)
def test_the_name_of_a_cell_workload_tells_its_skeleton(options: dict[str, Any], name: str) -> None:
    net = workload("nb201", **options)
    assert net.name == name
    assert repr(net) == f"CellWorkload({name!r}, {len(net.shapes)} layer shapes)"
    assert net.space is nb201


# ---------------------------------------------------------------------- NAS-Bench-201: counts


def graph_of(cell: Sequence[int], skeleton: Skeleton) -> tuple[list[Any], dict[str, tuple[int, int]]]:
    """Nodes of the exported graph, and channels and size of every tensor in it but the weights."""
    onnx = pytest.importorskip("onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(onnx_network(cell, skeleton=skeleton)))
    graph = model.graph
    tensors = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
        tensors[info.name] = (dims[1], dims[2] if len(dims) == 4 else 1)
    return list(graph.node), tensors


def graph_counts(nodes: list[Any], tensors: dict[str, tuple[int, int]]) -> Counter[LayerShape]:
    kinds: Any = {
        "Conv": "conv",
        "AveragePool": "avg_pool",
        "Add": "add",
        "GlobalAveragePool": "global_pool",
        "Gemm": "linear",
    }
    counts: Counter[LayerShape] = Counter()
    for node in nodes:
        operands = [name for name in node.input if name in tensors]
        if node.op_type not in kinds or (node.op_type == "Add" and len(operands) < 2):
            continue  # activation, or the normalisation that stands alone
        attributes = {a.name: list(a.ints) for a in node.attribute}
        (channels, size), (out_channels, _) = tensors[operands[0]], tensors[node.output[0]]
        counts[
            LayerShape(
                operator=kinds[node.op_type],
                in_channels=channels,
                out_channels=out_channels,
                in_size=size,
                kernel=attributes.get("kernel_shape", [1])[0],
                stride=attributes.get("strides", [1])[0],
            )
        ] += 1
    return counts


@pytest.mark.parametrize("skeleton", [STANDARD, *OTHERS])
def test_live_counts_are_the_nodes_of_the_exported_graph(skeleton: Skeleton) -> None:
    net = workload("nb201", skeleton=skeleton)
    X = np.vstack([some(LIVE_CELLS, 20), some(CELLS[nb201.degenerate(CELLS)], 2)])
    for cell, counts in zip(X.tolist(), net.counts(X), strict=True):
        assert as_counter(net, counts) == graph_counts(*graph_of(cell, skeleton))


def cell_by_hand(cell: Sequence[int]) -> Counter[str]:
    """Operations and additions of a cell, dead ones too, with loops."""
    found: Counter[str] = Counter()
    inputs: Counter[int] = Counter()
    for (_, target), op in zip(EDGES, cell, strict=True):
        if op != NONE:
            inputs[target] += 1
            found[OPERATIONS[op]] += 1
    found["add"] = sum(n - 1 for n in inputs.values())
    return found


@pytest.mark.parametrize("skeleton", [STANDARD, *OTHERS])
def test_all_counts_are_those_of_every_operation(skeleton: Skeleton) -> None:
    net = workload("nb201", skeleton=skeleton)
    X = some(CELLS, 300)
    counts = net.counts(X, convention="all")
    for stage in range(skeleton.n_stages):
        c, r = skeleton.channels << stage, skeleton.image_size >> stage
        same: dict[str, Any] = {"in_channels": c, "out_channels": c, "in_size": r}
        for name, shape, fixed in (
            ("nor_conv_3x3", LayerShape(operator="conv", kernel=3, **same), stage > 0),
            ("nor_conv_1x1", LayerShape(operator="conv", **same), 0),
            ("avg_pool_3x3", LayerShape(operator="avg_pool", kernel=3, **same), 0),
            ("add", LayerShape(operator="add", **same), stage > 0),
        ):
            expected = [skeleton.n_cells * cell_by_hand(cell)[name] + fixed for cell in X.tolist()]
            assert counts[:, net.shapes.index(shape)].tolist() == expected, name


def test_all_counts_a_dead_operation_and_a_dead_addition() -> None:
    net = workload("nb201", skeleton=SMALL)
    cell = nb201.encode("|nor_conv_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|skip_connect~0|none~1|none~2|")
    [dead] = net.counts(cell, convention="all") - net.counts(cell)
    assert sorted(Counter(s.operator for s in as_counter(net, dead)).items()) == [
        ("add", 3),
        ("avg_pool", 3),
        ("conv", 3),
    ]
    np.testing.assert_array_equal(net.counts(nb201.live(cell), convention="all"), net.counts(cell))


@pytest.mark.parametrize("skeleton", [STANDARD, SMALL])
def test_conventions_agree_where_nothing_is_dead_and_live_is_never_more(skeleton: Skeleton) -> None:
    net = workload("nb201", skeleton=skeleton)
    live, every = net.counts(CELLS), net.counts(CELLS, convention="all")
    assert (live <= every).all()
    differs = [
        {**cell_by_hand(cell), "skip_connect": 0} != {**cell_by_hand(pruned), "skip_connect": 0}
        for cell, pruned in zip(CELLS.tolist(), nb201.live(CELLS).tolist(), strict=True)
    ]
    np.testing.assert_array_equal((live != every).any(axis=1), differs)


# ---------------------------------------------------------------------- NAS-Bench-201: parameters and operations


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("skeleton", [STANDARD, *OTHERS, Skeleton.for_dataset("imagenet16-120")])
def test_parameters_and_macs_are_those_of_the_space(skeleton: Skeleton, convention: Counting) -> None:
    """The space's FLOPs, the published ones, count the classifier's bias too."""
    net = workload("nb201", skeleton=skeleton)
    options: dict[str, Any] = {"skeleton": skeleton, "convention": convention}
    np.testing.assert_array_equal(net.parameters(CELLS, convention=convention), nb201.n_parameters(CELLS, **options))
    np.testing.assert_array_equal(
        net.macs(CELLS, convention=convention) + skeleton.n_classes, nb201.n_flops(CELLS, **options)
    )


def test_parameters_and_flops_are_the_published_ones(shared: Path) -> None:
    """Published: dead operations counted, in millions."""
    data = np.load(shared / "nasbench201" / "nasbench201.npz")
    for dataset, short in (("cifar10", "c10"), ("cifar100", "c100"), ("imagenet16-120", "in16")):
        net = workload("nb201", dataset=dataset)
        classes = net.shapes[-1].out_channels
        np.testing.assert_allclose(
            net.parameters(data["ops"], convention="all") / 1e6, data[f"params_m_{short}"], rtol=1e-7
        )
        np.testing.assert_allclose(
            (net.macs(data["ops"], convention="all") + classes) / 1e6, data[f"flops_m_{short}"], rtol=1e-7
        )


@pytest.mark.parametrize("skeleton", [SMALL, STANDARD])
def test_networks_of_torch_have_these_weights_and_operations(skeleton: Skeleton) -> None:
    pytest.importorskip("torch")
    net = workload("nb201", skeleton=skeleton)
    X = some(LIVE_CELLS, 6)
    for cell in X:
        row = cell[None]
        pruned, whole = (build_network(cell.tolist(), skeleton=skeleton, pruned=p) for p in (True, False))
        assert net.parameters(row).tolist() == [n_parameters(pruned)]
        assert net.parameters(row, convention="all").tolist() == [n_parameters(whole)]
        seen = layers_run(pruned, size=skeleton.image_size, channels=skeleton.image_channels)
        [counts] = net.counts(row)
        # the hooks see modules, and additions are none
        assert seen == Counter({s: n for s, n in as_counter(net, counts).items() if s.operator != "add"})
        assert net.macs(row).tolist() == [sum(shape.macs * n for shape, n in seen.items())]


# ---------------------------------------------------------------------- torch: what runs in a network


def n_parameters(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())


def layers_run(module: Any, *, size: int, channels: int = 3) -> Counter[LayerShape]:
    """Layer shapes that the modules of a network see, by hooks."""
    import torch
    from torch import nn

    seen: Counter[LayerShape] = Counter()

    def note(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x = inputs[0]
        shape: dict[str, Any] = {"in_channels": x.shape[1], "out_channels": output.shape[1], "in_size": 1}
        if x.ndim == 4:
            shape["in_size"] = x.shape[-1]
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # of squeeze-and-excitation, on one pixel
            assert x.shape[-1] == 1
            kind, extra = "linear", {}
        elif isinstance(layer, nn.Conv2d):
            kind, extra = "conv", {"kernel": layer.kernel_size[0], "stride": layer.stride[0], "groups": layer.groups}
        elif isinstance(layer, nn.AvgPool2d):
            kind, extra = "avg_pool", {"kernel": layer.kernel_size, "stride": layer.stride}
        else:
            kinds = {nn.Linear: "linear", nn.AdaptiveAvgPool2d: "global_pool", Sum: "add"}
            kind, extra = kinds[type(layer)], {}
        seen[LayerShape(operator=kind, **shape, **extra)] += 1  # type: ignore[arg-type]

    counted = (nn.Conv2d, nn.Linear, nn.AvgPool2d, nn.AdaptiveAvgPool2d, Sum)
    hooks = [m.register_forward_hook(note) for m in module.modules() if isinstance(m, counted)]
    with torch.no_grad():
        module.eval()(torch.zeros(1, channels, size, size, device=next(module.parameters()).device))
    for hook in hooks:
        hook.remove()
    return seen


class Sum:
    """Stands for the torch module below where torch is missing."""


try:
    import torch
    from torch import nn

    class Sum(nn.Module):  # type: ignore[no-redef]
        """An addition that hooks can see."""

        def forward(self, x: Any, y: Any) -> Any:
            return x + y

    class Excitation(nn.Module):
        """Hu et al., CVPR 2018: pool, narrow, widen, multiply."""

        def __init__(self, channels: int, squeezed: int) -> None:
            super().__init__()
            self.factors = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(channels, squeezed, 1),
                nn.ReLU(),
                nn.Conv2d(squeezed, channels, 1),
                nn.Hardsigmoid(),
            )

        def forward(self, x: Any) -> Any:
            return x * self.factors(x)

    class Residual(nn.Module):
        """Runs a block and adds its input where the shapes agree."""

        def __init__(self, block: Any, *, adds: bool) -> None:
            super().__init__()
            self.block, self.sum = block, Sum() if adds else None

        def forward(self, x: Any) -> Any:
            return self.block(x) if self.sum is None else self.sum(self.block(x), x)

    def conv_bn(narrow: int, wide: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[Any]:
        conv = nn.Conv2d(narrow, wide, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(wide), nn.ReLU()]

    def inverted(
        narrow: int,
        wide: int,
        *,
        stride: int,
        t: int,
        k: int,
        groups: int = 1,
        squeezed: int = 0,
        plain: bool = False,
    ) -> Any:
        """MobileNetV2's block (CVPR 2018, table 1); plain: no first convolution where nothing is expanded."""
        middle = narrow * t
        layers = [] if plain and t == 1 else conv_bn(narrow, middle, groups=groups)
        layers += conv_bn(middle, middle, kernel=k, stride=stride, groups=middle)
        layers += [Excitation(middle, squeezed)] if squeezed else []
        layers += conv_bn(middle, wide, groups=groups)[:2]
        return Residual(nn.Sequential(*layers), adds=stride == 1 and narrow == wide)

    def mobile(blocks: list[Any], *, stem: tuple[int, int], head: tuple[int, int, int]) -> Any:
        last, wide, classes = head
        ends = [*conv_bn(last, wide), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, classes)]
        return nn.Sequential(*conv_bn(3, stem[0], kernel=3, stride=stem[1]), *blocks, *ends)

    def nbmacro_module(arch: str) -> Any:
        """Su et al., CVPR 2021, section 4: stages of 2, 3 and 3 blocks; the first of each halves and doubles."""
        blocks, narrow = [], 32
        for layer, code in enumerate(arch):
            first = layer in (0, 2, 5)
            wide, stride = (2 * narrow, 2) if first else (narrow, 1)
            if code == "0":
                blocks += conv_bn(narrow, wide, stride=2)[:2] if first else []
            else:
                t, k = {"1": (3, 3), "2": (6, 5)}[code]
                blocks.append(inverted(narrow, wide, stride=stride, t=t, k=k))
            narrow = wide
        return mobile(blocks, stem=(32, 1), head=(256, 1280, 10))

    def fbnet_module(arch: str, *, dataset: str) -> Any:
        """Wu et al., CVPR 2019, table 1; HW-NAS-Bench keeps more pixels for CIFAR."""
        cifar = dataset == "cifar100"
        strides = (1, 1, 2, 2, 1, 2, 1) if cifar else (1, 2, 2, 2, 1, 2, 1)
        table = zip((16, 24, 32, 64, 112, 184, 352), (1, 4, 4, 4, 4, 4, 1), strides, strict=True)
        layers = [(c, s if i == 0 else 1) for c, n, s in table for i in range(n)]
        blocks, narrow = [], 16
        for (wide, stride), name in zip(layers, arch.split("|"), strict=True):
            if name == "skip":
                blocks += [] if (wide, stride) == (narrow, 1) else conv_bn(narrow, wide, stride=stride)
            else:
                k, t = int(name[1]), int(name[4])
                blocks.append(inverted(narrow, wide, stride=stride, t=t, k=k, groups=2 if name.endswith("g2") else 1))
            narrow = wide
        return mobile(blocks, stem=(16, 1 if cifar else 2), head=(352, 1504 if cifar else 1984, 100 if cifar else 1000))

    def mnasnet_module(arch: str) -> Any:
        """EfficientNet-B0's widths and strides (Tan & Le, ICML 2019, table 1) round MnasNet's choices."""
        blocks, narrow = [], 32
        table = zip((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 2, 1, 2, 1), arch.split("-"), strict=True)
        for wide, stride, block in table:
            t, k, n = int(block[1]), int(block[3]), int(block[5])
            for layer in range(n):
                squeezed = narrow // 4 if block.endswith("se1") else 0
                blocks.append(
                    inverted(narrow, wide, stride=stride if layer == 0 else 1, t=t, k=k, squeezed=squeezed, plain=True)
                )
                narrow = wide
        return mobile(blocks, stem=(32, 2), head=(320, 1280, 1000))

except ImportError:
    pass


MOBILE: list[tuple[str, str, Callable[[str], Any]]] = [
    ("nbmacro", "cifar10", lambda arch: nbmacro_module(arch)),
    ("fbnet", "cifar100", lambda arch: fbnet_module(arch, dataset="cifar100")),
    ("fbnet", "imagenet", lambda arch: fbnet_module(arch, dataset="imagenet")),
    ("mnasnet", "imagenet", lambda arch: mnasnet_module(arch)),
]


@pytest.mark.parametrize(("name", "dataset", "build"), MOBILE, ids=[f"{m[0]}-{m[1]}" for m in MOBILE])
def test_mobile_networks_of_torch_have_these_layers(name: str, dataset: str, build: Callable[[str], Any]) -> None:
    pytest.importorskip("torch")
    net = workload(name, dataset=dataset)
    X = net.space.sample(4, rng=np.random.default_rng(1))
    counts = net.counts(X)
    for row, arch in enumerate(net.space.decode(X)):
        with torch.device("meta"):
            module = build(arch)
        seen = layers_run(module, size=net.shapes[0].in_size)
        assert seen == as_counter(net, counts[row]), arch
        assert net.parameters(X[row : row + 1]).tolist() == [n_parameters(module)]
        assert net.macs(X[row : row + 1]).tolist() == [sum(shape.macs * n for shape, n in seen.items())]


# ---------------------------------------------------------------------- other spaces: published counts


@pytest.mark.parametrize(
    ("name", "options", "identity", "n_shapes"),
    [
        ("nbmacro", {}, "nbmacro-cifar10", 39),
        ("mnasnet", {}, "mnasnet-imagenet", 221),
        ("fbnet", {}, "fbnet-cifar100", 126),
        ("fbnet", {"dataset": "imagenet"}, "fbnet-imagenet", 133),
        ("fbnet", {"skeleton": FBNET_SKELETONS["imagenet"]}, "fbnet-imagenet", 133),
    ],
)
def test_identity_and_number_of_shapes(name: str, options: dict[str, Any], identity: str, n_shapes: int) -> None:
    net = workload(name, **options)
    assert (net.name, len(net.shapes), len(set(net.shapes))) == (identity, n_shapes, n_shapes)
    X = net.space.sample(2_000, rng=np.random.default_rng(0))
    assert net.counts(X).any(axis=0).all(), "every shape occurs somewhere"


def test_another_skeleton_has_another_name() -> None:
    changed = dataclasses.replace(NBMACRO_SKELETONS["cifar10"], n_classes=100)
    other = dataclasses.replace(changed, head_channels=640)
    names = [workload("nbmacro", skeleton=s).name for s in (changed, other)]
    assert len({*names, "nbmacro-cifar10"}) == 3
    assert all(name.startswith("nbmacro-32px100c-") for name in names)
    assert workload("nbmacro", skeleton=dataclasses.replace(changed)).name == names[0]


def test_nbmacro_has_the_published_parameters_and_flops(shared: Path) -> None:
    data = np.load(shared / "nasbench-macro" / "nasbench_macro_cifar10.npz")
    net = workload("nbmacro")
    assert len(data["blocks"]) == 6_561
    np.testing.assert_array_equal(net.parameters(data["blocks"]), data["params"])
    np.testing.assert_array_equal(net.macs(data["blocks"]), data["flops"])


def accel_nasbench(shared: Path) -> tuple[Any, np.ndarray[Any, Any]]:
    """The published arrays, and their architectures as encodings."""
    data = np.load(shared / "accel-nasbench" / "accel_nasbench.npz")
    searched = space("mnasnet")
    values = np.stack([data[f"arch_{what}"] for what in ("e", "k", "l", "se")], axis=2).reshape(-1, 28)
    columns = [
        np.searchsorted(np.array(variable.values, dtype=int), values[:, j])
        for j, variable in enumerate(searched.variables)
    ]
    return data, searched.check(np.stack(columns, axis=1))


def test_mnasnet_has_the_published_parameters(shared: Path) -> None:
    data, X = accel_nasbench(shared)
    net = workload("mnasnet")
    assert len(X) == 5_138
    np.testing.assert_array_equal((net.parameters(X) / 1e6).astype(np.float32), data["params_m"])


def test_mnasnet_has_the_published_macs_by_the_publishers_rule(shared: Path) -> None:
    """They count four for each element of a batch normalisation and (pixels + 1) for each channel pooled."""
    data, X = accel_nasbench(shared)
    net = workload("mnasnet")
    besides = [
        4 * s.outputs if s.operator == "conv" else s.out_channels * (s.in_size**2 + 1) if "pool" in s.operator else 0
        for s in net.shapes
    ]
    total = net.macs(X) + net.counts(X) @ np.array(besides)
    np.testing.assert_array_equal((total / 1e6).astype(np.float32), data["macs_m"])
    assert np.median(net.macs(X) / 1e6 / data["macs_m"]) == pytest.approx(0.91, abs=0.01)


def test_fbnet_a_has_about_its_published_flops() -> None:
    """249 M: Wu et al., CVPR 2019, section 4.2. Blocks: facebookresearch's ``fbnet_modeldef.py``, s2 being e1_g2."""
    stages = (
        "skip",
        "k3_e3|k3_e1|skip|skip",
        "k5_e6|k3_e3|k5_e1|k3_e3",
        "k5_e6|k5_e3|k5_e1_g2|k5_e6",
        "k3_e6|k5_e1_g2|k5_e1|k3_e1_g2",
        "k5_e6|k5_e6|k5_e3|k5_e6",
        "k5_e6",
    )
    net = workload("fbnet", dataset="imagenet")
    assert net.macs(net.space.encode("|".join(stages))) / 1e6 == pytest.approx([249], rel=0.01)


# ---------------------------------------------------------------------- memory


def graph_peak(nodes: list[Any], tensors: dict[str, tuple[int, int]]) -> int:
    """Working set of the exported graph: what is read now or later, and what is written now.

    Activation and the normalisation that stands alone only rename their tensor.
    """
    alias: dict[str, str] = {}
    steps: list[tuple[set[str], str]] = []
    for node in nodes:
        operands = [alias.get(name, name) for name in node.input if name in tensors]
        if node.op_type in ("Relu", "Flatten", "Mul") or (node.op_type == "Add" and len(operands) == 1):
            alias[node.output[0]] = operands[0]
        else:
            steps.append((set(operands), node.output[0]))
    elements = {name: channels * size**2 for name, (channels, size) in tensors.items()}
    peak = 0
    for now, (_, output) in enumerate(steps):
        there = {"images", *(written for _, written in steps[: now + 1])}
        needed = {output}.union(*(operands for operands, _ in steps[now:]))
        peak = max(peak, sum(elements[name] for name in there & needed))
    return peak


@pytest.mark.parametrize("skeleton", [SMALL, OTHERS[1], Skeleton(n_cells=2, channels=2, image_size=8, n_classes=900)])
def test_peak_is_the_working_set_of_the_exported_graph(skeleton: Skeleton) -> None:
    net = workload("nb201", skeleton=skeleton)
    X = some(LIVE_CELLS, 60, seed=3)
    expected = [graph_peak(*graph_of(cell, skeleton)) for cell in X.tolist()]
    assert net.activation_peak(X).tolist() == expected


def test_peak_of_cells_by_hand() -> None:
    """In tensors of the first stage; a reduction alone takes 1 + 1/2 + 1/2 of them, and the stem 1 and the image."""
    net = workload("nb201")
    tensor = 16 * 32 * 32
    cells = {
        # a chain holds what it reads and what it writes
        "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|": 2,
        # a residual holds the input as well
        "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|": 3,
        # nodes 0 and 1, two terms of node 2, and their sum
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|": 5,
        # another name is no tensor; the reductions decide
        "|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|": 2,
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|": 2,
    }
    assert (net.activation_peak(nb201.encode(list(cells))) / tensor).tolist() == list(cells.values())


def test_a_dead_operation_holds_memory_when_all_is_counted() -> None:
    net = workload("nb201")
    tensor = 16 * 32 * 32
    # node 2 reads zeros in place of node 1, nobody reads node 2: input, zeros and the dead result
    cell = nb201.encode("|none~0|+|none~0|nor_conv_3x3~1|+|nor_conv_3x3~0|none~1|none~2|")
    assert (net.activation_peak(cell) / tensor).tolist() == [2]
    assert (net.activation_peak(cell, convention="all") / tensor).tolist() == [3]
    # node 1 is the output and waits while a dead operation reads the input
    cell = nb201.encode("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|none~2|")
    assert (net.activation_peak(cell, convention="all") / tensor).tolist() == [3]
    assert (net.activation_peak(CELLS) <= net.activation_peak(CELLS, convention="all")).all()


def test_peak_of_mobile_networks_by_hand() -> None:
    macro, mnasnet = workload("nbmacro"), workload("mnasnet")
    big = 32 * 32 * 32
    identities, blocks, after = macro.space.encode(["00000000", "20000000", "01000000"])
    assert macro.activation_peak([identities]).tolist() == [big + 64 * 16**2]
    assert macro.activation_peak([blocks]).tolist() == [6 * big + 6 * 32 * 16**2]  # around the depthwise convolution
    assert macro.activation_peak([after]).tolist() == [(1 + 3 + 3) * 64 * 16**2]  # and the residual waits
    plain, excited = mnasnet.space.encode(
        ["-".join(["e1k3l1se0"] * 3 + ["e6k3l2" + se] + ["e1k3l1se0"] * 3) for se in ("se0", "se1")]
    )
    stem = 3 * 224**2 + 32 * 112**2
    first = 2 * 32 * 112**2  # the depthwise convolution of block 0
    assert mnasnet.activation_peak([plain, excited]).tolist() == [max(stem, first)] * 2


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("name", ["nb201", "nbmacro", "mnasnet", "fbnet"])
def test_peak_is_at_least_what_any_layer_reads_and_writes(name: str, convention: Counting) -> None:
    net = workload(name)
    X = net.space.sample(300, rng=np.random.default_rng(5))
    # an addition may read one tensor twice
    touched = np.array([(s.inputs // 2 if s.operator == "add" else s.inputs) + s.outputs for s in net.shapes])
    least = np.where(net.counts(X, convention=convention) > 0, touched, 0).max(axis=1)
    assert (net.activation_peak(X, convention=convention) >= least).all()


# ---------------------------------------------------------------------- published tables are sums over counts


def exact_sum(M: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[int, bool]:
    """Rank of M, and whether y, given as float32, is M @ costs for costs fitted to the first half of the rows."""
    half = len(y) // 2
    costs, _, rank, _ = np.linalg.lstsq(M[:half], y[:half].astype(np.float64), rcond=None)
    assert rank == np.linalg.matrix_rank(M), "the first half determines every cost"
    return int(rank), bool((np.abs(M @ costs - y) <= np.spacing(np.float32(y.max()))).all())


def test_hw_nas_bench_reads_fbnet_from_a_table_of_108_blocks(shared: Path) -> None:
    """Layers of a stage behind its first share a row, so 12 places times 9 blocks tell every published value.

    As each network has one block a place, 12 * 8 + 1 of these numbers are independent.
    """
    data = np.load(shared / "help-latency" / "help_fbnet.npz")
    X = space("fbnet").check(data["op_idx"])
    place = [0, *(2 * stage + (1 if layer == 0 else 2) for stage in range(5) for layer in range(4)), 11]
    occurs = np.zeros((len(X), 12 * 9))
    for layer, at in enumerate(place):
        occurs[np.arange(len(X)), 9 * at + X[:, layer]] += 1
    for device in ("eyeriss", "fpga", "raspi4", "pixel3"):
        assert exact_sum(occurs, data[f"lat_{device}"]) == (97, True), device
    for device in ("titanx_1", "samsung_s7", "silver_4114"):  # measured whole
        assert exact_sum(occurs, data[f"lat_{device}"]) == (97, False), device


def test_hw_nas_benchs_eyeriss_is_a_sum_over_the_layer_shapes_of_fbnet(shared: Path) -> None:
    """The simulator adds layers; on the other devices a block is not the sum of its layers."""
    data = np.load(shared / "help-latency" / "help_fbnet.npz")
    counts = workload("fbnet").counts(data["op_idx"])
    assert exact_sum(counts, data["lat_eyeriss"]) == (76, True)
    for device in ("fpga", "raspi4", "pixel3"):
        assert exact_sum(counts, data[f"lat_{device}"]) == (76, False), device


@pytest.mark.parametrize("device", ["eyeriss", "fpga"])
def test_hw_nas_bench_counts_all_operations_of_nas_bench_201(shared: Path, device: str) -> None:
    y = np.load(shared / "help-latency" / "help_nasbench201.npz")[f"lat_{device}"]
    X = np.load(shared / "nasbench201" / "nasbench201.npz")["ops"]  # HELP has the benchmark's order
    net = workload("nb201")
    assert exact_sum(net.counts(X, convention="all"), y) == (5, True)
    assert exact_sum(net.counts(X), y) == (5, False)


# ---------------------------------------------------------------------- what every workload promises


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_workload_keeps_its_contract(name: str) -> None:
    net = workload(name)
    assert workload(space(name)).shapes == net.shapes == workload(name).shapes
    X = net.space.sample(50, rng=np.random.default_rng(2))
    before = X.copy()
    for convention in CONVENTIONS:
        counts = net.counts(X, convention=convention)
        assert counts.shape == (50, len(net.shapes))
        assert counts.dtype == np.float64
        assert (counts >= 0).all()
        assert (counts == np.round(counts)).all()
        macs = [sum(c * s.macs for c, s in zip(row, net.shapes, strict=True)) for row in counts.tolist()]
        assert net.macs(X, convention=convention).tolist() == macs
        for what in (net.macs, net.parameters, net.activation_peak):
            values = what(X, convention=convention)
            assert values.shape == (50,)
            assert values.dtype == np.int64
            assert (values > 0).all()
            np.testing.assert_array_equal(what(X[:1], convention=convention), values[:1])
            assert what(X[:0], convention=convention).shape == (0,)
        if name != "nb201":
            np.testing.assert_array_equal(counts, net.counts(X))
    np.testing.assert_array_equal(X, before)
    assert net.counts(X[:0]).shape == (0, len(net.shapes))


def test_a_plug_in_announces_a_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    target = f"{__name__}:{made_up_workload.__name__}"
    point = importlib.metadata.EntryPoint("toy", target, WORKLOADS.group)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == WORKLOADS.group else [])
    fresh = Registry("workload", builtins=WORKLOADS._builtins, group=WORKLOADS.group)
    monkeypatch.setattr("nasbench_mo.hardware.workload.WORKLOADS", fresh)
    toy = CategoricalSpace("toy", {"width": ["8", "16"]})
    assert workload(toy, dataset="d").name == "nbmacro-cifar10"
    with pytest.raises(SpecError, match="plug-in 'toy' must make a Workload, got int"):
        workload(toy)


def made_up_workload(search_space: Any, *, dataset: str | None, skeleton: object | None) -> Any:
    return workload("nbmacro") if dataset else 3


# ---------------------------------------------------------------------- counts times costs


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 12), st.integers(0, 4), st.integers(-9, 9))
@settings(max_examples=60, deadline=None)
def test_composition_is_the_product_to_twelve_digits(seed: int, n: int, s: int, h: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    counts, costs = rng.integers(0, 9, size=(n, s)), rng.random((s, h)) * 10.0**exponent
    found, expected = compose(counts, costs), counts @ costs
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= 1e-11 * np.abs(expected).max(axis=0, initial=0.0)).all()


def test_equal_sums_are_equal() -> None:
    """0.1 + 0.2 is 0.3 and three thirds are one, whatever the scale of the device's costs."""
    counts = [[1, 1, 0], [0, 0, 1], [3, 0, 0], [0, 1.5, 0]]
    assert len({float(np.asarray(row) @ np.array([0.1, 0.2, 0.3])) for row in counts}) > 1
    for scale in (1e-9, 1.0, 1e9):
        [column] = compose(counts, scale * np.array([[0.1], [0.2], [0.3]])).T
        assert len(set(column.tolist())) == 1


def test_ties_of_the_whole_space_stay_ties() -> None:
    """Costs in thirds: the number of distinct latencies is that of distinct sums in exact arithmetic."""
    net = workload("nb201")
    counts = net.counts(CELLS)
    integers = np.random.default_rng(0).integers(1, 1000, size=len(net.shapes))
    exact = counts.astype(np.int64) @ integers
    assert len(np.unique(compose(counts, integers / 3e5))) == len(np.unique(exact))


def test_a_shape_that_a_device_cannot_run_spoils_only_the_networks_that_have_it() -> None:
    counts = np.array([[1.0, 0.0], [1.0, 2.0]])
    costs = np.array([[1.0, 1.0, 1.0], [np.nan, np.inf, 4.0]])
    np.testing.assert_array_equal(compose(counts, costs), [[1.0, 1.0, 1.0], [np.nan, np.inf, 9.0]])
    np.testing.assert_array_equal(compose(counts, costs[:, 0]), [1.0, np.nan])


@pytest.mark.parametrize(
    ("counts", "costs"), [([[1, 2]], [1.0]), ([1, 2], [1.0, 2.0]), ([[1, 2]], 3.0), ([[1]], [[[1.0]]])]
)
def test_counts_and_costs_of_other_shapes_are_refused(counts: Any, costs: Any) -> None:
    with pytest.raises(SpecError, match=r"expected counts \(n, s\) and costs \(s,\) or \(s, h\)"):
        compose(counts, costs)


# ---------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ("nats-size", {}, UnknownNameError, "space 'nats-size' has no known skeleton.* nb201, nbmacro, mnasnet, fbnet"),
        ("nb202", {}, UnknownNameError, "no search space is called 'nb202'.* Did you mean 'nb201'"),
        ("nb201", {"dataset": "cifar1"}, SpecError, "cifar10, cifar100, imagenet16-120, gtsrb16; got 'cifar1'"),
        ("nbmacro", {"dataset": "cifar100"}, SpecError, "has skeletons for cifar10; got data set 'cifar100'"),
        ("fbnet", {"dataset": ""}, SpecError, "has skeletons for cifar100, imagenet; got data set ''"),
        ("nb201", {"dataset": "cifar10", "skeleton": SMALL}, SpecError, "give 'cifar10' or the skeleton, not both"),
        ("nb201", {"skeleton": NBMACRO_SKELETONS["cifar10"]}, SpecError, "needs a .*Skeleton, got MobileSkeleton"),
        ("mnasnet", {"skeleton": SMALL}, SpecError, "needs a MobileSkeleton, got Skeleton"),
        ("fbnet", {"skeleton": NBMACRO_SKELETONS["cifar10"]}, SpecError, "has 7 stages; the skeleton has 3"),
        ("nb201", {"skeleton": Skeleton(n_cells=0)}, SpecError, "n_cells must be a positive integer, got 0"),
        ("nb201", {"skeleton": Skeleton(image_size=0)}, SpecError, "image_size must be a positive integer, got 0"),
        ("nb201", {"skeleton": Skeleton(n_classes=-1)}, SpecError, "n_classes must be a positive integer, got -1"),
        ("nb201", {"skeleton": Skeleton(n_stages=True)}, SpecError, "n_stages must be a positive integer, got True"),
        ("nb201", {"skeleton": Skeleton(image_size=30)}, SpecError, "must be a multiple of 4; got 30"),
    ],
)
def test_an_impossible_workload_is_refused(
    arguments: str, options: dict[str, Any], error: type[NasbenchMoError], message: str
) -> None:
    with pytest.raises(error, match=message):
        workload(arguments, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_classes": 0}, "n_classes must be a positive integer, got 0"),
        ({"head_channels": 1.5}, r"head_channels must be a positive integer, got 1\.5"),
        ({"channels": (64, 0, 256)}, "channels must be a positive integer, got 0"),
        ({"strides": (2, 2)}, "3 stages have channels but 2 have strides"),
    ],
)
def test_an_impossible_mobile_skeleton_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(NBMACRO_SKELETONS["cifar10"], **changes)
    assert MobileSkeleton(**dataclasses.asdict(NBMACRO_SKELETONS["cifar10"])) == NBMACRO_SKELETONS["cifar10"]


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_foreign_space_of_a_known_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="cannot count CategoricalSpace"):
        workload(CategoricalSpace(name, {"width": ["8", "16"]}))


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_wrong_convention_or_encoding_is_refused(name: str) -> None:
    net = workload(name)
    X = net.space.sample(1, rng=np.random.default_rng(0))
    for what in (net.counts, net.macs, net.parameters, net.activation_peak):
        with pytest.raises(SpecError, match="convention must be 'live' or 'all'; got 'dead'"):
            what(X, convention="dead")  # type: ignore[arg-type]
        with pytest.raises(ArchitectureError, match=f"space '{name}'"):
            what(X[:, :-1])
