"""What a recipe says is what the trainer does: schedules, crops, mirroring, subsets, mixed precision; and its names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench_mo.errors import DivergedError, SpecError
from nasbench_mo.training import FusedTrainer, Images, ImageSet, Recipe, Trainer, TrainingResult, trainer
from nasbench_mo.training.recipes import RECIPES, find_recipe
from nasbench_mo.training.trainer import CROP_PADDING, Augmenter, black_pixel, drawn_crops, sgd

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
RECIPE = Recipe(channels=4, epochs=3, batch_size=40)
PUBLISHED = dataclasses.replace(RECIPE, schedule="cosine", augmentation="crop-flip")


def images(n: int = 120) -> ImageSet:
    rng = np.random.default_rng(0)

    def split(n: int) -> Images:
        labels = np.arange(n) % 3
        colour = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]])[labels]
        pixels = np.clip(colour[:, None, None, :] + rng.normal(0, 60, (n, 8, 8, 3)), 0, 255)
        return Images(pixels=pixels.astype(np.uint8), labels=labels)

    return ImageSet(name="toy", n_classes=3, train=split(n), valid=split(30), test=split(30))


def same_bits(one: TrainingResult, other: TrainingResult) -> bool:
    curves = ("train_loss", "valid_loss", "valid_error_percent")
    return all(np.array_equal(getattr(one, c), getattr(other, c)) for c in curves) and one.test == other.test


# ---------------------------------------------------------------------- names


def test_the_published_recipe_is_that_of_the_paper() -> None:
    """Dong & Yang, ICLR 2020, table 1 and section 2.1."""
    found = find_recipe("nb201")
    assert (found.epochs, found.batch_size, found.learning_rate) == (200, 256, 0.1)
    assert (found.momentum, found.weight_decay) == (0.9, 5e-4)
    assert (found.schedule, found.augmentation) == ("cosine", "crop-flip")
    assert (found.n_cells, found.channels) == (5, 16)
    assert find_recipe("short") == Recipe() == RECIPES["short"]


def test_a_named_recipe_is_shortened() -> None:
    text = "nb201, epochs=12,channels=8,n_cells=1,n_train=5000,mixed_precision=true,learning_rate=5e-2"
    expected = dataclasses.replace(
        RECIPES["nb201"], epochs=12, channels=8, n_cells=1, n_train=5000, mixed_precision=True, learning_rate=0.05
    )
    assert find_recipe(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nb101", "Did you mean 'nb201'"),
        ("nb201,epoch=3", "Did you mean 'epochs'"),
        ("nb201,epochs", "FIELD=VALUE"),
        ("nb201,epochs=three", "epochs is int; got 'three'"),
        ("nb201,mixed_precision=maybe", "mixed_precision is bool"),
        ("nb201,epochs=0", "epochs must be positive"),
        ("nb201,n_train=0", "n_train must be positive"),
        ("nb201,schedule=step", "schedule is one of one-cycle, cosine"),
        ("nb201,augmentation=mixup", "augmentation is one of none, crop-flip"),
    ],
)
def test_a_wrong_recipe_is_refused(text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        find_recipe(text)


# ---------------------------------------------------------------------- schedule, augmentation


def test_the_cosine_goes_from_the_learning_rate_to_0() -> None:
    optimiser, schedule = sgd([torch.nn.Parameter(torch.zeros(1))], recipe=PUBLISHED, n_images=120)
    rates = []
    for _ in range(9):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx(0.05 * (1 + np.cos(np.pi * np.arange(9) / 9)))
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_crops_and_mirroring_are_those_of_loops_over_images() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.normal(size=(7, 8, 8, 3)).astype(np.float32)
    black = np.array([-1.0, -2.0, -3.0], np.float32)
    corners, mirrored = drawn_crops(seed=5, epoch=1, n_images=7)
    assert corners.min() >= 0
    assert corners.max() <= 2 * CROP_PADDING
    assert 0 < mirrored[[4, 0, 6, 2, 5, 1]].sum() < 6
    augment = Augmenter(corners, mirrored, black=black, device="cpu")
    batch = torch.tensor([4, 0, 6, 2, 5, 1])
    found = augment(torch.from_numpy(pixels).permute(0, 3, 1, 2), batch)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for image, i in zip(found.permute(0, 2, 3, 1).numpy(), batch.tolist(), strict=True):
        padded = np.tile(black, (16, 16, 1))
        padded[4:12, 4:12] = pixels[i]
        top, left = corners[i]
        crop = padded[top : top + 8, left : left + 8]
        np.testing.assert_array_equal(image, crop[:, ::-1] if mirrored[i] else crop)


def test_augmented_training_repeats_itself_and_is_another(tmp_path: Path) -> None:
    first, again, plain = (
        Trainer(images(), recipe=r).train(CELL, seed=3)
        for r in (PUBLISHED, PUBLISHED, dataclasses.replace(PUBLISHED, augmentation="none"))
    )
    assert same_bits(first, again)
    assert (first.train_loss != plain.train_loss).all()


def test_every_epoch_crops_anew_and_a_seed_always_alike() -> None:
    made = Trainer(images(), recipe=PUBLISHED)
    batch = torch.arange(20)

    def changed(*, seed: int, epoch: int) -> bytes:
        crops = drawn_crops(seed=seed, epoch=epoch, n_images=len(made.images.train))
        augment = Augmenter(*crops, black=black_pixel(made.statistics), device="cpu")
        return bytes(augment(made._train[0], batch).numpy().tobytes())

    assert len({changed(seed=s, epoch=e) for s in (0, 1) for e in (1, 2)}) == 4
    assert changed(seed=0, epoch=2) == changed(seed=0, epoch=2)


class StoppedError(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("mixed", [False, True])
def test_a_training_by_the_published_recipe_goes_on_to_the_same_bits(
    mixed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(PUBLISHED, mixed_precision=mixed)
    whole = Trainer(images(), recipe=recipe).train(CELL, seed=3)
    honest, seen = trainer._predict, []

    def stopping(*args: Any, **kwargs: Any) -> Any:
        seen.append(None)
        if len(seen) == 2:
            raise StoppedError
        return honest(*args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(trainer, "_predict", stopping)
        Trainer(images(), recipe=recipe).train(CELL, seed=3, checkpoint=tmp_path / "a.ckpt")
    assert same_bits(Trainer(images(), recipe=recipe).train(CELL, seed=3, checkpoint=tmp_path / "a.ckpt"), whole)


# ---------------------------------------------------------------------- subset, mixed precision


def test_a_subset_is_trained_on_and_the_rest_is_not_seen() -> None:
    recipe = dataclasses.replace(RECIPE, n_train=60)
    whole = images()
    drawn = recipe.images(whole)
    assert [len(drawn.train), len(drawn.valid), len(drawn.test)] == [60, 30, 30]
    assert np.bincount(drawn.train.labels).tolist() == [20, 20, 20]
    reduced = Trainer(whole, recipe=recipe).train(CELL, seed=0)
    assert same_bits(reduced, Trainer(drawn, recipe=dataclasses.replace(recipe, n_train=None)).train(CELL, seed=0))
    assert RECIPE.images(whole) is whole
    with pytest.raises(SpecError):
        dataclasses.replace(RECIPE, n_train=121).images(whole)


def test_mixed_precision_computes_in_half_and_keeps_weights_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[Any] = set()
    honest = torch.nn.functional.conv2d

    def looking(*args: Any, **kwargs: Any) -> Any:
        found = honest(*args, **kwargs)
        seen.add((torch.is_grad_enabled(), found.dtype))
        return found

    kept: list[Any] = []
    monkeypatch.setattr(torch.nn.functional, "conv2d", looking)
    mixed = Trainer(images(), recipe=dataclasses.replace(RECIPE, mixed_precision=True)).train(
        CELL, seed=0, keep=lambda network: kept.extend(p.dtype for p in network.parameters())
    )
    assert (True, torch.bfloat16) in seen
    assert (False, torch.float32) in seen  # it is judged in single precision
    assert set(kept) == {torch.float32}
    whole = Trainer(images(), recipe=RECIPE).train(CELL, seed=0)
    assert mixed.train_loss == pytest.approx(whole.train_loss, rel=0.2)
    assert (mixed.train_loss != whole.train_loss).all()


def test_a_scaled_loss_trains_alike_and_goes_on_with_its_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does in float16: the scale is a power of two, so that gradients are the same but for their range."""
    plain = Trainer(images(), recipe=RECIPE).train(CELL, seed=0)
    scales: list[float] = []

    def scaling(recipe: Recipe, *, device: str) -> Any:
        made = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=4)
        honest = made.update
        monkeypatch.setattr(made, "update", lambda: scales.append(made.get_scale()) or honest())
        return made

    monkeypatch.setattr(trainer, "loss_scaler", scaling)
    path = tmp_path / "a.ckpt"
    assert same_bits(Trainer(images(), recipe=RECIPE).train(CELL, seed=0, checkpoint=path), plain)
    assert scales == [2.0**10] * 4 + [2.0**11] * 4 + [2.0**12]  # nine steps
    honest, seen = trainer._predict, []

    def stopping(*args: Any, **kwargs: Any) -> Any:
        seen.append(None)
        if len(seen) == 3:
            raise StoppedError
        return honest(*args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(trainer, "_predict", stopping)
        Trainer(images(), recipe=RECIPE).train(CELL, seed=0, checkpoint=tmp_path / "b.ckpt")
    scales.clear()
    assert same_bits(Trainer(images(), recipe=RECIPE).train(CELL, seed=0, checkpoint=tmp_path / "b.ckpt"), plain)
    assert scales == [2.0**11] * 2 + [2.0**12]  # and not from the beginning


def test_images_and_weights_are_channels_last() -> None:
    made = Trainer(images(), recipe=RECIPE)
    assert made._train[0].is_contiguous(memory_format=torch.channels_last)
    found: list[bool] = []

    def look(network: Any) -> None:
        kernels = [p for p in network.parameters() if p.ndim == 4]
        found.extend(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)

    made.train(CELL, seed=0, keep=look)
    assert len(found) > 3
    assert all(found)


def test_the_loss_is_scaled_on_a_gpu_alone() -> None:
    mixed = dataclasses.replace(RECIPE, mixed_precision=True)
    assert not trainer.loss_scaler(mixed, device="cpu").is_enabled()
    assert not trainer.loss_scaler(RECIPE, device="cuda").is_enabled()
    if torch.cuda.is_available():
        assert trainer.loss_scaler(mixed, device="cuda").is_enabled()


def test_many_networks_at_once_refuse_what_they_would_not_do() -> None:
    for recipe in (PUBLISHED, dataclasses.replace(RECIPE, mixed_precision=True)):
        with pytest.raises(SpecError, match="unchanged images in single precision"):
            FusedTrainer(images(), recipe=recipe)
    drawn = dataclasses.replace(RECIPE, n_train=60, epochs=1)
    (together,) = FusedTrainer(images(), recipe=drawn).train([CELL], seed=0)
    assert together.train_loss == pytest.approx(
        Trainer(images(), recipe=drawn).train(CELL, seed=0).train_loss, rel=1e-3
    )


def test_a_training_that_diverges_goes_on_unless_asked_to_stop() -> None:
    wild = dataclasses.replace(RECIPE, learning_rate=1e30)
    assert np.isnan(Trainer(images(), recipe=wild).train(CELL, seed=0).train_loss).any()
    with pytest.raises(DivergedError, match="after epoch 1 of 3"):
        Trainer(images(), recipe=wild).train(CELL, seed=0, stop_when_diverged=True)
