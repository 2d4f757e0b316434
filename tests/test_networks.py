"""Torch networks of four spaces: counted and published sizes, gradients, ONNX models that compute the same, seeds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from nasbench_mo.errors import ArchitectureError, FormatError, SpecError, UnknownNameError
from nasbench_mo.hardware.workload import WORKLOADS, workload
from nasbench_mo.hardware.workload.mobile import MobileSkeleton, Place
from nasbench_mo.space import space
from nasbench_mo.space.nb201 import NB201, Skeleton
from nasbench_mo.training import build_network, export_network, network_skeleton
from nasbench_mo.training.network import NETWORKS
from nasbench_mo.training.skeletons import MOBILE_SKELETONS
from nasbench_mo.training.trainer import seeded_network

torch = pytest.importorskip("torch", reason="networks need the extra 'train'")

from nasbench_mo.training import _torch_mobile as mobile  # noqa: E402  # imports torch

#: Space, data set, and networks to build.
PUBLISHED = [("nb201", "cifar10", 50), ("nb201", "imagenet16-120", 10), ("nbmacro", "cifar10", 50)]
PUBLISHED += [("mnasnet", "imagenet", 50), ("fbnet", "cifar100", 50), ("fbnet", "imagenet", 10)]
SPACES = ("nb201", "nbmacro", "mnasnet", "fbnet")
#: Space and whether dead operations are left out; elsewhere than in cells there are none.
FORMS = [("nb201", False), *((name, True) for name in SPACES)]


def thin(name: str) -> Any:
    """A small skeleton with the space's stages; widths are even, as FBNet's groups want."""
    if name == "nb201":
        return Skeleton(n_cells=1, channels=4, image_size=8, n_classes=5)
    usual = network_skeleton(name, image_size=12, n_classes=5)
    widths = tuple(4 + 2 * (i % 3) for i in range(len(usual.channels)))
    return dataclasses.replace(usual, stem_channels=4, stem_stride=1, channels=widths, head_channels=16)


def sample(name: str, n: int, *, seed: int = 0) -> np.ndarray:
    return space(name).sample(n, rng=np.random.default_rng(seed))


def on_paper(arch: Any, **options: Any) -> Any:
    """The network without values: any size costs next to nothing."""
    idle = dict.fromkeys(("kaiming_normal_", "kaiming_uniform_", "uniform_", "ones_", "zeros_"), lambda *_, **__: None)
    with torch.device("meta"), mock.patch.multiple(torch.nn.init, **idle):
        return build_network(arch, **options).eval()


def n_parameters(network: Any) -> int:
    return sum(p.numel() for p in network.parameters())


def hooked_macs(network: Any) -> int:
    """Multiply-accumulates of every convolution and linear layer that runs on one image of the skeleton's size."""
    total = 0

    def count(module: Any, inputs: Any, output: Any) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.forward = lambda x: x  # slow on paper
    net = network.skeleton
    network(torch.empty(1, net.image_channels, net.image_size, net.image_size, device="meta"))
    return total


# ---------------------------------------------------------------------- sizes


def test_every_space_with_a_workload_has_networks_and_a_skeleton() -> None:
    assert set(NETWORKS) == set(WORKLOADS) == {"nb201", *MOBILE_SKELETONS}


@pytest.mark.parametrize(("name", "dataset", "n"), PUBLISHED)
def test_parameters_and_macs_are_those_of_the_workload(name: str, dataset: str, n: int) -> None:
    X, net = sample(name, n), workload(name, dataset=dataset)
    networks = [on_paper(x, space=name, dataset=dataset) for x in X.tolist()]
    assert [n_parameters(n) for n in networks] == net.parameters(X, convention="live").tolist()
    assert [hooked_macs(n) for n in networks] == net.macs(X, convention="live").tolist()


@pytest.mark.parametrize("name", SPACES)
def test_parameters_and_macs_are_those_of_the_workload_of_any_skeleton(name: str) -> None:
    skeleton = dataclasses.replace(thin(name), image_channels=1, image_size=20)
    X, net = sample(name, 10, seed=1), workload(name, skeleton=skeleton)
    networks = [on_paper(x, space=name, skeleton=skeleton) for x in X.tolist()]
    assert [n_parameters(n) for n in networks] == net.parameters(X).tolist()
    assert [hooked_macs(n) for n in networks] == net.macs(X).tolist()


def test_published_cells_keep_the_work_of_dead_operations() -> None:
    X, net = sample("nb201", 20), workload("nb201")
    networks = [on_paper(x, pruned=False) for x in X.tolist()]
    assert [n_parameters(n) for n in networks] == net.parameters(X, convention="all").tolist()
    assert [hooked_macs(n) for n in networks] == net.macs(X, convention="all").tolist()
    assert (net.macs(X, convention="all") > net.macs(X, convention="live")).any()


def test_cells_have_the_published_parameters(shared: Path) -> None:
    with np.load(shared / "nasbench201" / "nasbench201.npz", allow_pickle=False) as data:
        rows = np.random.default_rng(0).choice(len(data["arch_str"]), 200, replace=False)
        cells = data["arch_str"][rows].astype(str).tolist()
        millions = {d: data[f"params_m_{d}"][rows].astype(np.float64) for d in ("c10", "c100", "in16")}
    for column, dataset, n in (("c10", "cifar10", 200), ("c100", "cifar100", 20), ("in16", "imagenet16-120", 20)):
        built = [n_parameters(on_paper(cell, dataset=dataset, pruned=False)) for cell in cells[:n]]
        assert built == np.round(1e6 * millions[column][:n]).astype(int).tolist()


def test_macro_networks_have_the_published_parameters_and_flops(shared: Path) -> None:
    with np.load(shared / "nasbench-macro" / "nasbench_macro_cifar10.npz", allow_pickle=False) as data:
        rows = np.random.default_rng(0).choice(len(data["arch"]), 100, replace=False)
        archs, parameters, flops = (data[name][rows] for name in ("arch", "params", "flops"))
    networks = [on_paper(arch, space="nbmacro") for arch in archs.astype(str).tolist()]
    assert [n_parameters(n) for n in networks] == parameters.tolist()
    assert [hooked_macs(n) for n in networks] == flops.tolist()


def test_mnasnet_networks_have_the_published_parameters(shared: Path) -> None:
    with np.load(shared / "accel-nasbench" / "accel_nasbench.npz", allow_pickle=False) as data:
        rows = np.random.default_rng(0).choice(len(data["params_m"]), 50, replace=False)
        e, k, n, se = (data[f"arch_{what}"][rows].tolist() for what in ("e", "k", "l", "se"))
        published = data["params_m"][rows].astype(np.float64)
    rows_of = zip(e, k, n, se, strict=True)
    archs = ["-".join(f"e{a}k{b}l{c}se{d}" for a, b, c, d in zip(*row, strict=True)) for row in rows_of]
    built = [n_parameters(on_paper(arch, space="mnasnet")) for arch in archs]
    np.testing.assert_allclose(np.array(built) / 1e6, published, rtol=1e-7)


# ---------------------------------------------------------------------- what networks compute


@pytest.mark.parametrize(("name", "pruned"), FORMS)
def test_every_parameter_gets_a_finite_gradient(name: str, pruned: bool) -> None:
    X = sample(name, 6, seed=2)
    if name == "nb201":
        nb201 = space(name)
        assert isinstance(nb201, NB201)
        X = X[~nb201.degenerate(X)]
    images = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for x in X.tolist():
        network = build_network(x, space=name, skeleton=thin(name), pruned=pruned)
        logits = network(images)
        assert logits.shape == (4, 5)
        torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
        gradients = {key: p.grad for key, p in network.named_parameters()}
        assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
        assert gradients["stem.0.weight"].abs().max() > 0


def test_a_published_convolution_of_zeros_puts_out_its_trained_shift() -> None:
    cell = "|none~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|skip_connect~2|"
    images = torch.randn(4, 3, 8, 8)
    whole, pruned = (build_network(cell, skeleton=thin("nb201"), pruned=p).eval() for p in (False, True))
    pruned.load_state_dict({k: v for k, v in whole.state_dict().items() if k in set(pruned.state_dict())})
    with torch.inference_mode():
        assert torch.equal(whole(images), pruned(images))
        for module in whole.modules():
            if hasattr(module, "edge_1_2"):
                module.edge_1_2[2].bias.fill_(0.5)
        assert not torch.allclose(whole(images), pruned(images))


def test_channels_are_shuffled_between_groups() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert mobile.Shuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean() -> None:
    drop, ones = mobile.StochasticDepth(0.3), torch.ones(4000, 2, 3, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        y = drop(ones)
    per_image = y.flatten(1)
    assert torch.equal(per_image.amin(1), per_image.amax(1))
    assert sorted(set(per_image[:, 0].tolist())) == pytest.approx([0, 1 / 0.7])
    assert float(y.mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(ones), ones)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_adds_its_input_where_shapes_agree(stride: int) -> None:
    place = Place(in_channels=4, out_channels=4, size=6, stride=stride)
    block = mobile.InvertedResidual(place, expansion=3, kernel=5, squeezed=2).eval()
    for parameter in block.inner[-1].parameters():  # the projection puts out zeros
        torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 4, 6, 6)
    expected = x if stride == 1 else torch.zeros(2, 4, 3, 3)
    assert torch.equal(block(x), expected)


def test_excitation_scales_channels_by_what_it_pooled() -> None:
    excitation = mobile.Excitation(3, 2, activation=torch.nn.SiLU)
    x = torch.randn(2, 3, 4, 4)
    _, narrow, _, wide, _ = excitation.factors
    pooled = x.mean(dim=(2, 3))
    squeezed = torch.nn.functional.silu(pooled @ narrow.weight.flatten(1).T + narrow.bias)
    factors = torch.sigmoid(squeezed @ wide.weight.flatten(1).T + wide.bias)
    torch.testing.assert_close(excitation(x), x * factors[:, :, None, None])


def test_dropping_grows_linearly_with_depth_in_mnasnet() -> None:
    network = on_paper("-".join(["e4k3l2se0"] * 7), space="mnasnet")
    shares = [(i, 1 - block.drop.keep) for i, block in enumerate(network.blocks) if block.drop is not None]
    assert [share for _, share in shares] == pytest.approx([0.2 * i / 14 for i, _ in shares])
    assert sum(isinstance(m, torch.nn.Dropout) for m in network.modules()) == 1


# ---------------------------------------------------------------------- seeds


@pytest.mark.parametrize("name", SPACES)
def test_a_seed_gives_the_same_bits_and_leaves_the_global_generator_alone(name: str) -> None:
    arch = space(name).decode(sample(name, 1, seed=5))[0]
    before = torch.get_rng_state()
    first, again, other = (seeded_network(arch, skeleton=thin(name), seed=s, space=name) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    states = [n.state_dict() for n in (first, again, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["stem.0.weight"], states[2]["stem.0.weight"])


# ---------------------------------------------------------------------- ONNX


@pytest.mark.parametrize(("name", "pruned"), FORMS)
def test_onnx_models_compute_what_torch_computes(name: str, pruned: bool) -> None:
    pytest.importorskip("onnx", reason="ONNX models need the extra 'profile'")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX models need the extra 'profile'")
    for arch in space(name).decode(sample(name, 3, seed=7)):
        network = build_network(arch, skeleton=thin(name), space=name, pruned=pruned)
        images = torch.randn(3, 3, *[network.skeleton.image_size] * 2, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            for _ in range(3):
                network(2 * images + 1)  # running statistics that matter
        network.blocks[0].eval()
        modes = [m.training for m in network.modules()]
        session = runtime.InferenceSession(export_network(network, batch=3), providers=["CPUExecutionProvider"])
        assert [m.training for m in network.modules()] == modes
        (found,) = session.run(["logits"], {"images": images.numpy()})
        with torch.inference_mode():
            expected = network.eval()(images).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())  # some are all small


def test_an_operator_without_onnx_form_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx", reason="ONNX models need the extra 'profile'")

    class Decomposed(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.skeleton = thin("nb201")
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, x: Any) -> Any:
            return torch.linalg.qr(self.scale * x)[0]

    with pytest.raises(FormatError, match="'aten::linalg_qr'"):
        export_network(Decomposed())
    assert capsys.readouterr().out == ""
    with pytest.raises(SpecError, match="skeleton"):
        export_network(torch.nn.Linear(2, 2))


# ---------------------------------------------------------------------- refusals


def test_classes_and_images_of_ones_own() -> None:
    network = on_paper("22212220", space="nbmacro", n_classes=43)
    assert network.classifier.out_features == 43
    skeleton = network_skeleton("fbnet", dataset="imagenet", image_channels=1, image_size=64, n_classes=7)
    assert (skeleton.image_size, skeleton.image_channels, skeleton.n_classes) == (64, 1, 7)
    assert skeleton.head_channels == 1984


@pytest.mark.parametrize(
    ("error", "match", "arch", "options"),
    [
        (ArchitectureError, "nbmacro", "22212223", {"space": "nbmacro"}),
        (ArchitectureError, "mnasnet", [9] * 28, {"space": "mnasnet"}),
        (UnknownNameError, "no torch networks", [0] * 5, {"space": "nats-size"}),
        (SpecError, "MobileSkeleton", "22212220", {"space": "nbmacro", "skeleton": Skeleton()}),
        (SpecError, "stages", "22212220", {"space": "nbmacro", "skeleton": MOBILE_SKELETONS["fbnet"]["imagenet"]}),
        (SpecError, "needs a Skeleton", [3] * 6, {"skeleton": MOBILE_SKELETONS["nbmacro"]["cifar10"]}),
        (SpecError, "not both", [3] * 6, {"skeleton": Skeleton(), "n_classes": 3}),
        (SpecError, "cifar100", "22212220", {"space": "nbmacro", "dataset": "cifar100"}),
        (SpecError, "n_classes", "22212220", {"space": "nbmacro", "n_classes": 0}),
    ],
)
def test_impossible_networks_are_refused(
    error: type[Exception], match: str, arch: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=match):
        build_network(arch, **options)


def test_a_skeleton_of_an_unknown_space_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="nbmacro"):
        network_skeleton("ofa-mbv3")
    assert isinstance(network_skeleton("mnasnet"), MobileSkeleton)
