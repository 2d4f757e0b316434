"""Validations that are broken off: what a kill, a damaged checkpoint, a full disk and a bad network cost."""

from __future__ import annotations

import dataclasses
import errno
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from validation_helpers import chosen_of, fake_run, no_profile, same_training, write_images

from nasbench_mo import artifacts
from nasbench_mo.training.datasets import find_dataset
from nasbench_mo.training.trainer import Recipe
from nasbench_mo.validation import Study, study, validate

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

EPOCHS = 4
RECIPE = Recipe(channels=4, epochs=EPOCHS, batch_size=30)
VALUES = [[0.0, 1.0], [1.0, 0.0], [0.4, 0.4]]


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "profile", no_profile)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("resume") / "toy.npz")


def validated(out: Path, images: Path, *, n: int = 2, recipe: Recipe = RECIPE) -> Study:
    run = fake_run(VALUES)
    return validate(run, chosen_of(run, n=n), dataset=find_dataset(str(images)), out=out, recipe=recipe)


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """What came without a break."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "profile", no_profile)
        return validated(tmp_path_factory.mktemp("whole") / "out", images)


def count_epochs(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each epoch that is trained from now on."""
    from nasbench_mo.training import trainer

    honest, seen = trainer._one_epoch, []

    def counting(*args: Any, **kwargs: Any) -> float:
        seen.append(None)
        return honest(*args, **kwargs)

    monkeypatch.setattr(trainer, "_one_epoch", counting)
    return seen


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_validation_resume import validated
from nasbench_mo.training import checkpoint

honest, written = checkpoint.write_checkpoint, []

def killing(*args, **kwargs):
    honest(*args, **kwargs)
    written.append(None)
    if len(written) == {after}:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.write_checkpoint = killing
validated(Path({out!r}), Path({images!r}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
def test_a_kill_costs_at_most_an_epoch_and_no_bit(
    images: Path, whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the second training."""
    after = EPOCHS + 2
    out = tmp_path / "out"
    script = KILLED.format(tests=str(Path(__file__).parent), after=after, out=str(out), images=str(images))
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    trained = count_epochs(monkeypatch)
    continued = validated(out, images)
    assert len(trained) == 2 * EPOCHS - after
    assert all(same_training(a, b) for a, b in zip(continued.trained, whole.trained, strict=True))
    assert not list((out / "work" / study.CHECKPOINTS).iterdir())  # nothing that is finished needs one


def broken_off(out: Path, images: Path) -> Path:
    """A validation that was interrupted after the first checkpoint but one; returns the checkpoint."""
    from nasbench_mo.training import checkpoint

    honest, written = checkpoint.write_checkpoint, []

    def interrupting(*args: Any, **kwargs: Any) -> None:
        honest(*args, **kwargs)
        written.append(None)
        if len(written) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "write_checkpoint", interrupting)
        validated(out, images)
    (left,) = (out / "work" / study.CHECKPOINTS).iterdir()
    return left


@pytest.mark.parametrize("how", ["flipped", "cut", "other"])
def test_a_damaged_checkpoint_is_set_aside_and_the_training_starts_over(
    how: str,
    images: Path,
    whole: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = broken_off(tmp_path / "out", images)
    content = bytearray(left.read_bytes())
    content[len(content) // 2] ^= 1
    left.write_bytes({"flipped": bytes(content), "cut": bytes(content[:-50]), "other": b"something else"}[how])
    trained = count_epochs(monkeypatch)
    with caplog.at_level(logging.WARNING):
        again = validated(tmp_path / "out", images)
    (warning,) = caplog.messages
    assert left.name in warning
    assert "starts over" in warning
    assert left.with_suffix(".damaged").exists()
    assert len(trained) == 2 * EPOCHS
    assert all(same_training(a, b) for a, b in zip(again.trained, whole.trained, strict=True))


def fill_disk(monkeypatch: pytest.MonkeyPatch, module: Any, *, names: str, times: int) -> list[str]:
    """So many writes of files with some ending fail for want of space."""
    failed: list[str] = []

    def writing(path: Path, data: bytes) -> None:
        if path.name.endswith(names) and len(failed) < times:
            failed.append(path.name)
            raise OSError(errno.ENOSPC, "No space left on device")
        artifacts.write_atomic(path, data)

    monkeypatch.setattr(module, "write_atomic", writing)
    return failed


def test_checkpoints_that_find_no_room_do_not_end_a_training(
    images: Path, whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from nasbench_mo.training import checkpoint

    failed = fill_disk(monkeypatch, checkpoint, names=".ckpt", times=99)
    found = validated(tmp_path / "out", images)
    assert len(failed) == len(caplog.messages) == 2 * EPOCHS
    assert all("No space left" in text for text in caplog.messages)
    assert all(same_training(a, b) for a, b in zip(found.trained, whole.trained, strict=True))


def test_results_that_find_no_room_are_written_in_the_end(
    images: Path, whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fill_disk(monkeypatch, study, names="-seed0.json", times=1)
    found = validated(tmp_path / "out", images)
    assert len(failed) == 1
    assert (tmp_path / "out" / "work" / failed[0]).exists()
    assert all(same_training(a, b) for a, b in zip(found.trained, whole.trained, strict=True))


def test_a_disk_that_stays_full_costs_no_epoch(
    images: Path, whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fill_disk(patch, study, names="-seed0.json", times=99)
        with pytest.raises(OSError, match=r"No space left on device; .* go on from their checkpoints") as caught:
            validated(tmp_path / "out", images)
    assert str(caught.value.filename).endswith("-seed0.json")
    trained = count_epochs(monkeypatch)
    found = validated(tmp_path / "out", images)
    assert trained == []
    assert all(same_training(a, b) for a, b in zip(found.trained, whole.trained, strict=True))


def test_a_training_that_diverges_fails_alone(
    images: Path, whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nasbench_mo.training import trainer

    bad = whole.trained[0].arch
    honest = trainer.seeded_network

    def poisoned(arch: str, **kwargs: Any) -> Any:
        network = honest(arch, **kwargs)
        if arch == bad:
            with torch.no_grad():
                next(network.parameters()).fill_(float("inf"))
        return network

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "seeded_network", poisoned)
        trained = count_epochs(patch)
        found = validated(tmp_path / "out", images)
    assert "DivergedError" in str(found.trained[0].failure)
    assert "after epoch 1" in str(found.trained[0].failure)
    assert len(trained) == 1 + EPOCHS  # no epoch is spent on it after that
    assert same_training(found.trained[1], whole.trained[1])
    again = validated(tmp_path / "out", images)
    assert same_training(again.trained[0], whole.trained[0])


def test_a_recipe_of_before_is_the_same_study() -> None:
    """Fields that came later are no part of an identity where they change nothing."""
    assert set(Recipe().identity) == {
        *("n_cells", "channels", "epochs", "batch_size", "learning_rate", "momentum", "weight_decay")
    }
    assert dataclasses.replace(Recipe(), schedule="cosine", n_train=5).identity.keys() - Recipe().identity.keys() == {
        *("schedule", "n_train")
    }
