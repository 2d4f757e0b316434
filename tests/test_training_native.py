"""The native trainer against torch: what it begins with, its gradients, its steps; the same bits everywhere."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from nasbench_mo.artifacts import cache_dir
from nasbench_mo.errors import DivergedError, MissingDependencyError, RunError, SpecError
from nasbench_mo.space.nb201 import NB201, Skeleton
from nasbench_mo.training import compiled, native, train_topologies
from nasbench_mo.training.building import finished_trainings
from nasbench_mo.training.images import Images, ImageSet
from nasbench_mo.training.native import NativeTrainer, initial_weights, learning_rates
from nasbench_mo.training.store import TrainingStore
from nasbench_mo.training.table_spec import ArrayImages, TrainedTableSpec, find_specification
from nasbench_mo.training.trainer import Augmentation, Recipe, Trainer, seeded_network, sgd

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")
needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="this machine has no C++ compiler"
)
pytestmark = pytest.mark.usefixtures("cache")

NB = NB201()
RECIPE = Recipe(epochs=2, batch_size=16, channels=8)
ALL_OPERATIONS = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|"
NO_PATH = "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"


def live_cells(n: int, *, seed: int = 0) -> list[str]:
    X = NB.enumerate()
    X = X[~NB.degenerate(X)]
    return NB.decode(X[np.random.default_rng(seed).choice(len(X), n, replace=False)])


def split(n: int, *, seed: int, size: int = 16, n_classes: int = 5) -> Images:
    """Classes told apart by their colour, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    colours = np.random.default_rng(9).uniform(60, 190, (n_classes, 3))
    pixels = np.clip(colours[labels][:, None, None, :] + rng.normal(0, 50, (n, size, size, 3)), 0, 255)
    return Images(pixels=pixels.astype(np.uint8), labels=labels)


def image_set(*, size: int = 16, n_train: int = 70) -> ImageSet:
    parts = {
        name: split(n, seed=i, size=size)
        for i, (name, n) in enumerate((("train", n_train), ("valid", 33), ("test", 21)))
    }
    return ImageSet(name="colours", n_classes=5, **parts)


def live(cell: str) -> tuple[int, ...]:
    return tuple(NB.live(NB.encode([cell]))[0].tolist())


@pytest.mark.parametrize(("n_cells", "channels"), [(1, 8), (2, 16)])
def test_initial_weights_are_torch_s_to_the_bit(n_cells: int, channels: int) -> None:
    skeleton = Skeleton(n_cells=n_cells, channels=channels, image_size=16, n_classes=43)
    for cell in [ALL_OPERATIONS, *live_cells(5)]:
        module = seeded_network(cell, skeleton=skeleton, seed=11)
        convolutions = [p.detach().numpy().ravel() for p in module.parameters() if p.ndim == 4]
        classifier = [p.detach().numpy().ravel() for p in module.classifier.parameters()]
        np.testing.assert_array_equal(
            initial_weights(live(cell), skeleton=skeleton, seed=11), np.concatenate(convolutions + classifier)
        )


@pytest.mark.parametrize(
    "changes",
    [{}, {"epochs": 1, "batch_size": 100}, {"epochs": 7, "learning_rate": 0.3}, {"schedule": "cosine"}],
    ids=["short", "one step", "long", "cosine"],
)
def test_learning_rates_and_momenta_are_torch_s(changes: dict[str, Any]) -> None:
    recipe = dataclasses.replace(RECIPE, **changes)
    optimiser, schedule = sgd([torch.nn.Parameter(torch.zeros(1))], recipe=recipe, n_images=100)
    rates, momenta = learning_rates(recipe, n_images=100)
    for rate, momentum in zip(rates, momenta, strict=True):
        group = optimiser.param_groups[0]
        assert (rate, momentum) == pytest.approx((group["lr"], group["momentum"]), rel=1e-6)
        optimiser.step()
        schedule.step()


def torch_gradients(trainer: Trainer, cell: str, *, n_images: int, dtype: Any) -> tuple[float, np.ndarray]:
    module = seeded_network(cell, skeleton=trainer.skeleton, seed=3).to(dtype)
    pixels, labels = (part[:n_images] for part in trainer._train)
    loss = torch.nn.functional.cross_entropy(module(pixels.to(dtype)), labels)
    loss.backward()
    chosen = [p for p in module.parameters() if p.ndim == 4] + list(module.classifier.parameters())
    return loss.item(), np.concatenate([p.grad.numpy().ravel() for p in chosen])


@needs_compiler
@pytest.mark.parametrize(("n_cells", "channels", "size"), [(1, 8, 16), (2, 8, 16), (1, 16, 16), (1, 8, 32)])
def test_gradients_are_those_of_torch_in_double_precision(n_cells: int, channels: int, size: int) -> None:
    images = image_set(size=size)
    recipe = dataclasses.replace(RECIPE, n_cells=n_cells, channels=channels)
    trainer, other = NativeTrainer(images, recipe=recipe), Trainer(images, recipe=recipe)
    for cell in [ALL_OPERATIONS, *live_cells(6, seed=channels + size)]:
        loss, exact = torch_gradients(other, cell, n_images=16, dtype=torch.float64)
        _, single = torch_gradients(other, cell, n_images=16, dtype=torch.float32)
        found_loss, found = trainer.gradients(cell, seed=3, n_images=16)
        assert found_loss == pytest.approx(loss, rel=1e-5)
        # a value that rounding moves across zero is rectified or not: a jump that torch in single precision has too
        allowed = max(1e-5 * np.linalg.norm(exact), 1.5 * np.linalg.norm(single - exact))
        assert np.linalg.norm(found - exact) <= allowed


@needs_compiler
@pytest.mark.parametrize("augmentation", ["none", "crop-flip"])
@pytest.mark.parametrize("cell", [ALL_OPERATIONS, *live_cells(2, seed=5)])
def test_a_training_is_torch_s_up_to_rounding(cell: str, augmentation: Any) -> None:
    images = image_set()  # the last batch is a smaller one
    recipe = dataclasses.replace(RECIPE, learning_rate=0.02, augmentation=augmentation)
    found = NativeTrainer(images, recipe=recipe).train(cell, seed=4)
    wanted = Trainer(images, recipe=recipe).train(cell, seed=4)
    np.testing.assert_allclose(found.train_loss, wanted.train_loss, rtol=2e-3)
    np.testing.assert_allclose(found.valid_loss, wanted.valid_loss, rtol=2e-2)
    assert found.n_parameters == wanted.n_parameters
    assert found.valid_error_percent.shape == (recipe.epochs,)
    assert found.train_seconds > 0


@needs_compiler
def test_crops_change_what_is_learned_from() -> None:
    recipes = [dataclasses.replace(RECIPE, augmentation=name) for name in get_args(Augmentation)]
    plain, cropped = (NativeTrainer(image_set(), recipe=r).train(ALL_OPERATIONS, seed=0) for r in recipes)
    assert abs(plain.train_loss[0] - cropped.train_loss[0]) > 1e-3


@needs_compiler
def test_the_kept_torch_network_predicts_what_was_scored() -> None:
    images = image_set()
    kept: list[Any] = []
    trainer = NativeTrainer(images, recipe=dataclasses.replace(RECIPE, n_cells=2))
    for cell in [ALL_OPERATIONS, *live_cells(3, seed=2)]:
        result = trainer.train(cell, seed=0, keep=kept.append)
        pixels, labels = Trainer(images, recipe=trainer.recipe)._test
        with torch.no_grad():
            classes = kept[-1].eval()(pixels).argmax(dim=1)
        assert float(100 * (classes != labels).float().mean()) == pytest.approx(result.test.error_percent)


@needs_compiler
@pytest.mark.parametrize("augmentation", ["none", "crop-flip"])
def test_a_training_goes_on_from_its_checkpoint_to_the_same_bits(
    augmentation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=4, augmentation=augmentation)
    trainer = NativeTrainer(image_set(), recipe=recipe)
    whole = trainer.train(ALL_OPERATIONS, seed=3)
    predict = native._NativeNetwork.predict
    calls: list[int] = []

    def killed(network: Any, *data: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(network, *data)

    file = tmp_path / "checkpoint"
    with monkeypatch.context() as patched:
        patched.setattr(native._NativeNetwork, "predict", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(ALL_OPERATIONS, seed=3, checkpoint=file)
    before = torch.get_rng_state()
    rest = trainer.train(ALL_OPERATIONS, seed=3, checkpoint=file)
    np.testing.assert_array_equal(rest.train_loss, whole.train_loss)
    np.testing.assert_array_equal(rest.valid_loss, whole.valid_loss)
    assert rest.test == whole.test
    assert rest.energy.joules is None
    assert torch.equal(torch.get_rng_state(), before)
    again = trainer.train(ALL_OPERATIONS, seed=3, checkpoint=file)  # of the last epoch: nothing is left to do
    assert (again.valid, again.test) == (whole.valid, whole.test)
    with pytest.raises(RunError, match="of another training: seed '3', not '4'"):
        trainer.train(ALL_OPERATIONS, seed=4, checkpoint=file)


@needs_compiler
def test_a_loss_that_is_no_number_ends_a_training_where_asked() -> None:
    trainer = NativeTrainer(image_set(), recipe=dataclasses.replace(RECIPE, learning_rate=1e30))
    with pytest.raises(DivergedError, match="take a smaller learning rate"):
        trainer.train(ALL_OPERATIONS, seed=0, stop_when_diverged=True)


@needs_compiler
def test_a_network_learns_and_its_scores_are_those_of_its_predictions() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=8)
    result = NativeTrainer(image_set(n_train=200), recipe=recipe).train(ALL_OPERATIONS, seed=0)
    assert result.train_loss[-1] < 0.5 * result.train_loss[0]
    assert result.valid.error_percent == result.valid_error_percent[-1] < 50
    assert result.test.error_percent < 50


@needs_compiler
def test_a_seed_gives_the_same_bits_and_another_seed_others() -> None:
    trainer = NativeTrainer(image_set(), recipe=RECIPE)
    first, again, other = (trainer.train(ALL_OPERATIONS, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train_loss, again.train_loss)
    np.testing.assert_array_equal(first.valid_loss, again.valid_loss)
    assert not np.array_equal(first.train_loss, other.train_loss)


@needs_compiler
def test_the_bits_depend_on_neither_vector_registers_nor_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    trainers = [NativeTrainer(image_set(), recipe=RECIPE)]
    if compiled.processor_level() == "x86-64-v4":
        with monkeypatch.context() as patched:
            patched.setattr(native, "library", lambda: compiled.library("x86-64-v3"))
            trainers.append(NativeTrainer(image_set(), recipe=RECIPE))
    if shutil.which("clang++"):
        monkeypatch.setenv("CXX", "clang++")
        trainers.append(NativeTrainer(image_set(), recipe=RECIPE))
    if len(trainers) == 1:
        pytest.skip("this machine has neither AVX-512 nor Clang")
    for cell in [ALL_OPERATIONS, *live_cells(3, seed=8)]:
        first, *others = (trainer.train(cell, seed=6) for trainer in trainers)
        for other in others:
            np.testing.assert_array_equal(first.train_loss, other.train_loss)
            np.testing.assert_array_equal(first.valid_loss, other.valid_loss)


@needs_compiler
@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({"mixed_precision": True}, 16, "single precision"),
        ({"channels": 12}, 16, "channels, got 12"),
        ({}, 24, "multiple of 16 pixels"),
    ],
)
def test_refuses_what_it_has_no_program_for(changes: dict[str, Any], size: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        NativeTrainer(image_set(size=size), recipe=dataclasses.replace(RECIPE, **changes))


@needs_compiler
def test_refuses_a_cell_without_a_path_and_a_seed_that_is_none() -> None:
    trainer = NativeTrainer(image_set(), recipe=RECIPE)
    with pytest.raises(SpecError, match="nothing to train"):
        trainer.train(NO_PATH, seed=0)
    with pytest.raises(SpecError, match="expected a seed from 0"):
        trainer.train(ALL_OPERATIONS, seed=2**32)


@pytest.fixture
def spec() -> TrainedTableSpec:
    found = TrainedTableSpec.read(find_specification("nb201-gtsrb16"))
    images = image_set()
    return dataclasses.replace(
        found, images=ArrayImages(name="arrays", dataset=images.name), images_sha256=images.fingerprint, recipe=RECIPE
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = image_set()
    arrays = {}
    for name in ("train", "valid", "test"):
        part = getattr(images, name)
        arrays |= {f"{name}_pixels": part.pixels, f"{name}_labels": part.labels}
    np.savez(tmp_path / "images.npz", **arrays)
    return tmp_path


@needs_compiler
def test_a_table_is_trained_by_the_engine_of_its_specification(spec: TrainedTableSpec, folder: Path) -> None:
    assert spec.engine == "native"
    kept = cache_dir() / "native"  # of this test: without the program, each process would compile it
    kept.mkdir(exist_ok=True)
    if (program := Path(compiled.library()._name)).parent != kept:
        shutil.copy(program, kept)
    train_topologies(spec, work=folder / "one", images=folder, at_most=9)
    train_topologies(spec, work=folder / "two", images=folder, at_most=9, n_processes=2)
    one, two = (finished_trainings(spec, work=folder / name) for name in ("one", "two"))
    assert len(one) == len(two) == 9
    trainer = NativeTrainer(image_set(), recipe=RECIPE)
    for first, second in zip(one, two, strict=True):
        assert first.environment == second.environment == compiled.native_environment()
        direct = trainer.train(NB.decode(NB.from_codes(np.array([first.code])))[0], seed=first.seed)
        for result in (first.result, second.result):
            np.testing.assert_array_equal(result.train_loss, direct.train_loss.astype(np.float32))
            np.testing.assert_array_equal(result.valid_error_percent, direct.valid_error_percent.astype(np.float32))
            assert result.test.f1_percent == np.float32(direct.test.f1_percent)


def test_trainings_of_two_engines_are_not_mixed(spec: TrainedTableSpec, folder: Path) -> None:
    with TrainingStore(folder / "work", identity=dataclasses.replace(spec, engine="torch").identity):
        pass
    with pytest.raises(SpecError, match="begun with another recipe: engine was None and is 'native'"):
        train_topologies(spec, work=folder / "work", images=folder)


def test_the_native_engine_is_refused_another_device(spec: TrainedTableSpec, folder: Path) -> None:
    with pytest.raises(SpecError, match=r"native engine trains on the device 'cpu'; got 'cuda'"):
        train_topologies(spec, work=folder / "work", images=folder, device="cuda")
    assert not (folder / "work").exists()


def test_says_what_to_do_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingDependencyError, match=r"no-such-compiler is not here.*engine: torch"):
        NativeTrainer(image_set(), recipe=RECIPE)


def test_passes_on_what_a_compiler_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "old-compiler"
    old.write_text("#!/bin/sh\necho 'error: unrecognized option -std=c++20' >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("CXX", str(old))
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingDependencyError, match=r"cannot compile .*unrecognized option.*GCC 12"):
        NativeTrainer(image_set(), recipe=RECIPE)
    assert not list((tmp_path / "cache" / "native").iterdir())
