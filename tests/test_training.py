"""Real training: counted sizes, a trainer that repeats itself, metrics against loops, splits that do not leak."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasbench_mo.errors import ArchitectureError, ArtifactError, FormatError, SpecError
from nasbench_mo.space.nb201 import NB201, Skeleton
from nasbench_mo.training import (
    EnergyMeter,
    FusedTrainer,
    Images,
    ImageSet,
    Recipe,
    Trainer,
    build_network,
    read_gtsrb,
    scores,
    subset,
    train,
)
from nasbench_mo.training.gtsrb import OFFICIAL, TEST_LABELS, scaled, tracks_for_validation
from nasbench_mo.training.trainer import _predict

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

NB = NB201()
SMALL = Skeleton(n_cells=1, channels=4, image_size=8, n_classes=5)
CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
DEAD = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"


def n_parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    return NB.sample(60, rng=np.random.default_rng(0))


@pytest.mark.parametrize(("pruned", "convention"), [(True, "live"), (False, "all")])
def test_networks_have_the_counted_parameters(cells, pruned, convention):
    for skeleton in (SMALL, Skeleton(n_cells=2, channels=6, n_stages=2, n_classes=7)):
        counted = NB.n_parameters(cells, skeleton=skeleton, convention=convention)
        built = [n_parameters(build_network(cell, skeleton=skeleton, pruned=pruned)) for cell in cells.tolist()]
        assert built == counted.tolist()


def test_published_networks_have_the_published_parameters(shared, cells):
    with np.load(shared / "nasbench201" / "nasbench201.npz", allow_pickle=False) as arrays:
        published = dict(zip(arrays["arch_str"].astype(str).tolist(), arrays["params_m_c10"].tolist(), strict=True))
    for cell in NB.decode(cells[:20]):
        assert n_parameters(build_network(cell, pruned=False)) / 1e6 == pytest.approx(published[cell], abs=1e-6)


def test_pruned_and_published_networks_compute_the_same(cells):
    torch.manual_seed(0)
    images = torch.randn(3, 3, 8, 8)
    for cell in [*cells[:30].tolist(), NB.encode_one(CELL), NB.encode_one(DEAD)]:
        whole = build_network(cell, skeleton=SMALL, pruned=False).eval()
        pruned = build_network(cell, skeleton=SMALL, pruned=True).eval()
        names = set(pruned.state_dict())
        pruned.load_state_dict({k: v for k, v in whole.state_dict().items() if k in names})
        with torch.inference_mode():
            assert torch.equal(pruned(images), whole(images))


def test_every_parameter_of_a_pruned_network_gets_a_gradient():
    network = build_network(CELL, skeleton=SMALL)
    network(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_degenerate_cell_puts_out_zeros():
    network = build_network(DEAD, skeleton=SMALL).eval()
    with torch.inference_mode():
        logits = network(torch.randn(6, 3, 8, 8))
    assert torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-6)


def test_an_unknown_cell_is_refused():
    with pytest.raises(ArchitectureError):
        build_network("|nor_conv_5x5~0|")
    with pytest.raises(ArchitectureError):
        build_network([0, 0, 9, 0, 0, 0])


# ---------------------------------------------------------------------- trainer


@pytest.fixture(scope="module")
def toy() -> ImageSet:
    """Five classes told apart by their colour."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Images:
        labels = rng.integers(0, 5, n)
        colour = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [180, 180, 20], [20, 160, 160]])[labels]
        pixels = np.clip(colour[:, None, None, :] + rng.normal(0, 30, (n, 8, 8, 3)), 0, 255)
        return Images(pixels=pixels.astype(np.uint8), labels=labels)

    return ImageSet(name="toy", n_classes=5, train=split(300), valid=split(100), test=split(100))


RECIPE = Recipe(channels=4, epochs=3, batch_size=50)


def test_training_learns_and_keeps_its_curve(toy):
    result = train(CELL, toy, recipe=RECIPE, seed=0)
    assert result.valid_error_percent.shape == result.valid_loss.shape == result.train_loss.shape == (3,)
    assert result.train_loss[-1] < result.train_loss[0]
    assert result.test.error_percent < 40  # chance is 80
    assert result.valid.error_percent == pytest.approx(result.valid_error_percent[-1])
    assert result.n_parameters == NB.n_parameters(NB.encode(CELL), skeleton=RECIPE.skeleton(toy), convention="live")[0]
    assert result.train_seconds > 0


def test_a_seed_repeats_itself_to_the_bit_and_another_does_not(toy):
    first, again, other = (train(CELL, toy, recipe=RECIPE, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.train_loss, again.train_loss)
    np.testing.assert_array_equal(first.valid_loss, again.valid_loss)
    assert first.test == again.test
    assert (first.train_loss != other.train_loss).all()


def test_training_leaves_the_global_generators_alone(toy):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  # the point is that nobody touches it
    expected = torch.rand(3), np.random.random(3)  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    train(CELL, toy, recipe=dataclasses.replace(RECIPE, epochs=1), seed=0)
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.random(3), expected[1])  # noqa: NPY002


def test_test_images_do_not_influence_training(toy):
    shuffled = dataclasses.replace(toy, test=subset(toy.test, n=50, seed=1))
    a, b = (train(CELL, images, recipe=RECIPE, seed=0) for images in (toy, shuffled))
    np.testing.assert_array_equal(a.valid_loss, b.valid_loss)


def test_an_image_is_judged_alike_alone_and_in_a_batch(toy):
    """Evaluation uses the running statistics of the normalisations and leaves them alone."""
    torch.manual_seed(0)
    network = build_network(CELL, skeleton=SMALL)
    network(torch.randn(64, 3, 8, 8))  # statistics that are not those of the images below
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pixels, labels = 3 * torch.randn(20, 3, 8, 8) + 1, torch.arange(20) % 5
    predicted, loss = _predict(network, (pixels, labels))
    alone = [_predict(network, (pixels[i : i + 1], labels[i : i + 1])) for i in range(20)]
    assert [int(p[0]) for p, _ in alone] == predicted.tolist()
    assert loss == pytest.approx(np.mean([single for _, single in alone]), rel=1e-4)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("field", ["epochs", "batch_size", "learning_rate", "channels", "n_cells"])
def test_an_impossible_recipe_is_refused(field):
    with pytest.raises(SpecError, match=field):
        Recipe(**{field: 0})


# ---------------------------------------------------------------------- metrics


@settings(deadline=None, max_examples=50)
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.tuples(
            st.just(k), st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=40)
        )
    )
)
def test_scores_equal_loops_over_classes(drawn):
    n_classes, pairs = drawn
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    found = scores(truth, predicted, n_classes=n_classes)
    precision, recall, f1 = [], [], []
    for label in sorted(set(truth.tolist())):
        hits = sum(t == p == label for t, p in pairs)
        claimed, real = sum(p == label for _, p in pairs), sum(t == label for t, _ in pairs)
        precision.append(hits / claimed if claimed else 0.0)
        recall.append(hits / real)
        f1.append(2 * hits / (claimed + real))
    assert found.error_percent == pytest.approx(100 * np.mean(truth != predicted))
    assert found.precision_percent == pytest.approx(100 * np.mean(precision))
    assert found.recall_percent == pytest.approx(100 * np.mean(recall))
    assert found.f1_percent == pytest.approx(100 * np.mean(f1))


def test_scores_of_nothing_are_refused():
    with pytest.raises(SpecError):
        scores(np.array([], dtype=int), np.array([], dtype=int), n_classes=3)


# ---------------------------------------------------------------------- images


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=6), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_track_is_never_split(tracks_of_class, share, seed):
    labels = np.repeat(np.arange(len(tracks_of_class)), [3 * n for n in tracks_of_class])
    tracks = np.concatenate([np.repeat(np.arange(n), 3) for n in tracks_of_class])
    held = tracks_for_validation(labels, tracks, valid_share=share, split_seed=seed)
    for label in np.unique(labels):
        sides = {(t, h) for t, h in zip(tracks[labels == label].tolist(), held[labels == label].tolist(), strict=True)}
        assert len(sides) == len({t for t, _ in sides})
        assert {h for _, h in sides} == {True, False}


def test_a_subset_keeps_the_shares_of_the_classes(toy):
    chosen = subset(toy.train, n=100, seed=0)
    assert len(chosen) == 100
    expected = np.bincount(toy.train.labels, minlength=5) / 3
    assert np.abs(np.bincount(chosen.labels, minlength=5) - expected).max() <= 1
    with pytest.raises(SpecError):
        subset(toy.train, n=301, seed=0)


def test_traffic_signs_are_split_by_track_and_fingerprinted(shared):
    folder = shared / "gtsrb32"
    images = read_gtsrb(folder, image_size=8, valid_share=0.25, split_seed=0)
    assert (len(images.train) + len(images.valid), len(images.test)) == (7841, 12630)
    assert images.train.pixels.shape[1:] == (8, 8, 3)
    assert set(images.valid.labels.tolist()) == set(range(43))
    assert images.fingerprint != read_gtsrb(folder, image_size=8, valid_share=0.25, split_seed=1).fingerprint


def test_another_image_set_is_refused(tmp_path):
    (tmp_path / "gtsrb32_labels.npz").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="SHA-256"):
        read_gtsrb(tmp_path, image_size=16, valid_share=0.25, split_seed=0)
    with pytest.raises(FileNotFoundError):
        read_gtsrb(tmp_path / "absent", image_size=16, valid_share=0.25, split_seed=0)


@pytest.fixture
def archives(tmp_path) -> Path:
    """The official archives in small: two tracks a class of ten frames, a test image a class; some of other sizes."""
    pillow = pytest.importorskip("PIL.Image", reason="Pillow comes with the extra 'train'")
    rng = np.random.default_rng(0)
    training, testing = (tmp_path / "GTSRB" / part for part in OFFICIAL)
    testing.mkdir(parents=True)

    def save(path: Path, *, side: int) -> None:
        pillow.fromarray(rng.integers(0, 256, (side, side + 3 * (side > 32), 3), dtype=np.uint8)).save(path)

    answers = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for label in range(43):
        (training / f"{label:05d}").mkdir(parents=True)
        for track in range(2):
            for frame in range(10):
                save(training / f"{label:05d}" / f"{track:05d}_{frame:05d}.ppm", side=32)
        save(testing / f"{label:05d}.ppm", side=32 + label)
        answers.append(f"{label:05d}.ppm;32;32;1;1;30;30;{42 - label}")
    (testing / TEST_LABELS).write_text("\n".join(answers) + "\n")
    return tmp_path


def test_traffic_signs_are_read_from_the_official_archives(archives):
    from PIL import Image

    images = read_gtsrb(archives, image_size=32, valid_share=0.5, split_seed=0)
    assert (len(images.train), len(images.valid), len(images.test)) == (86, 86, 43)  # frames 4 and 9 of each track
    assert images.train.labels.tolist() == images.valid.labels.tolist() == np.repeat(np.arange(43), 2).tolist()
    assert images.test.labels.tolist() == list(range(42, -1, -1))
    training, testing = (archives / "GTSRB" / part for part in OFFICIAL)
    frames = [training / "00000" / f"{track:05d}_{frame:05d}.ppm" for track in (0, 1) for frame in (4, 9)]
    found = {pixels.tobytes() for split in (images.train, images.valid) for pixels in split.pixels[:2]}
    assert found == {np.asarray(Image.open(path)).tobytes() for path in frames}
    larger = np.asarray(Image.open(testing / "00020.ppm"))
    assert larger.shape == (52, 55, 3)
    np.testing.assert_array_equal(images.test.pixels[20], scaled(larger, size=32))


def test_the_archives_give_the_pixels_of_the_sheets(shared, tmp_path):
    """Sheets unpacked into the official layout are the same image set, to the bit."""
    from PIL import Image

    folder = shared / "gtsrb32"
    arrays = np.load(folder / "gtsrb32_labels.npz")
    labels, tracks, frames = (arrays[f"{name}_train"].astype(np.int64) for name in ("y", "track", "frame"))
    sheet = read_gtsrb(folder, image_size=32, valid_share=0.15, split_seed=0)
    training, testing = (tmp_path / part for part in OFFICIAL)
    held = tracks_for_validation(labels, tracks, valid_share=0.15, split_seed=0)
    pixels = np.empty((len(held), 32, 32, 3), dtype=np.uint8)
    pixels[held], pixels[~held] = sheet.valid.pixels, sheet.train.pixels
    for label, track, frame, picture in zip(labels, tracks, frames, pixels, strict=True):
        path = training / f"{label:05d}" / f"{track:05d}_{frame:05d}.ppm"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    testing.mkdir(parents=True)
    rows = ["Filename;ClassId"]
    for i, (picture, label) in enumerate(zip(sheet.test.pixels, sheet.test.labels, strict=True)):
        Image.fromarray(picture).save(testing / f"{i:05d}.ppm")
        rows.append(f"{i:05d}.ppm;{label}")
    (tmp_path / TEST_LABELS).write_text("\n".join(rows) + "\n")
    again = read_gtsrb(tmp_path, image_size=16, valid_share=0.15, split_seed=0)
    assert again.fingerprint == read_gtsrb(folder, image_size=16, valid_share=0.15, split_seed=0).fingerprint


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda home: (home / OFFICIAL[1] / TEST_LABELS).unlink(), FileNotFoundError, "GTSRB_Final_Test_GT.zip"),
        (lambda home: (home / OFFICIAL[1] / "00003.ppm").unlink(), FormatError, "42 images, and 43 labels"),
        (lambda home: (home / OFFICIAL[0] / "00007").rename(home / "away"), FileNotFoundError, "00007 is missing"),
        (lambda home: (home / OFFICIAL[1] / "00003.ppm").write_bytes(b"P6 9"), FormatError, "cannot be read"),
        (
            lambda home: (home / OFFICIAL[1] / "00003.ppm").write_bytes(b"P6 99999 99999 255\n"),
            FormatError,
            "cannot be",
        ),
        (lambda home: (home / OFFICIAL[1] / "00003.ppm").write_bytes(b"P6 9 1001 255\n"), FormatError, "at most 1000"),
        (lambda home: (home / OFFICIAL[1] / TEST_LABELS).write_text("a;b\n1;2\n"), FormatError, "columns Filename"),
        (lambda home: (home / OFFICIAL[1] / TEST_LABELS).write_bytes(b"\xff\xfe"), FormatError, TEST_LABELS),
    ],
)
def test_damaged_archives_are_refused(archives, damage, error, says):
    damage(archives / "GTSRB")
    with pytest.raises(error, match=says):
        read_gtsrb(archives, image_size=16, valid_share=0.5, split_seed=0)


def test_pictures_are_scaled_as_by_hand():
    flat = np.full((47, 90, 3), 77, dtype=np.uint8)
    np.testing.assert_allclose(scaled(flat, size=32), 77, atol=1)
    ramp = np.tile((4 * np.arange(48, dtype=np.uint8))[None, :, None], (48, 1, 3))
    centres = 4 * ((np.arange(32) + 0.5) * 48 / 32 - 0.5)
    np.testing.assert_allclose(scaled(ramp, size=32)[5, :, 0], centres, atol=1)
    doubled = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    means = doubled.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(scaled(doubled, size=32), means, atol=0.5)


def test_pictures_are_scaled_as_opencv_does():
    """To the bit: the hash is that of ``cv2.resize(picture, (32, 32))`` for the same pictures, OpenCV 5.0.0."""
    rng = np.random.default_rng(0)
    digest = hashlib.sha256()
    for h, w in ((15, 15), (25, 26), (31, 140), (47, 90), (64, 64), (64, 65), (222, 243), (32, 33)):
        digest.update(scaled(rng.integers(0, 256, (h, w, 3), dtype=np.uint8), size=32).tobytes())
    assert digest.hexdigest() == "4c9091ff7b52e257b664afad36294e76eca13dee6abb15377e4e8c0385b9d22a"


@pytest.mark.parametrize(("image_size", "share"), [(10, 0.25), (0, 0.25), (16, 0.0), (16, 1.0)])
def test_impossible_image_settings_are_refused(tmp_path, image_size, share):
    with pytest.raises(SpecError):
        read_gtsrb(tmp_path, image_size=image_size, valid_share=share, split_seed=0)


# ---------------------------------------------------------------------- energy


def fake_counter(root: Path, *, microjoules: int) -> None:
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "energy_uj").write_text(str(microjoules))
    (zone / "max_energy_range_uj").write_text("1000000")
    part = root / "intel-rapl:0:0"
    part.mkdir(exist_ok=True)
    (part / "energy_uj").write_text("999")


def test_energy_is_the_difference_of_the_counter_and_survives_its_wrap(tmp_path):
    fake_counter(tmp_path, microjoules=900_000)
    meter = EnergyMeter(tmp_path)
    meter.start()
    fake_counter(tmp_path, microjoules=950_000)
    assert meter.stop().joules == pytest.approx(0.05)
    fake_counter(tmp_path, microjoules=100_000)
    assert meter.stop().joules == pytest.approx(0.2)


def test_energy_without_a_counter_is_not_available_and_not_zero(tmp_path):
    meter = EnergyMeter(tmp_path / "absent")
    meter.start()
    energy = meter.stop()
    assert energy.joules is None
    assert "no RAPL counter" in (energy.why_not or "")


# ---------------------------------------------------------------------- many at once


MANY = [
    CELL,
    "|nor_conv_1x1~0|+|skip_connect~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|",
    "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    "|avg_pool_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|skip_connect~1|avg_pool_3x3~2|",
    CELL,
]


@pytest.mark.parametrize("n_cells", [1, 2])
def test_fused_networks_compute_what_each_computes(n_cells):
    from nasbench_mo.training import _torch_fused
    from nasbench_mo.training.trainer import seeded_network

    skeleton = Skeleton(n_cells=n_cells, channels=4, image_size=8, n_classes=5)
    singles = [seeded_network(cell, skeleton=skeleton, seed=i).double() for i, cell in enumerate(MANY)]
    live = [tuple(x) for x in NB.live(NB.encode(MANY)).tolist()]
    fused = _torch_fused.FusedNetworks(singles, live, skeleton).double()
    images = torch.randn(7, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        for network in (*singles, fused):
            network.train(mode)
        together = fused(images)
        for i, network in enumerate(singles):
            torch.testing.assert_close(together[:, i], network(images), rtol=1e-9, atol=1e-9)


def test_fused_training_gives_the_curves_of_single_trainings(toy, monkeypatch):
    """In double precision, where rounding has no time to grow over a few steps."""
    from nasbench_mo.training import trainer

    torch.set_default_dtype(torch.float64)
    honest = trainer.prepared

    def doubled(images, *, statistics, device):
        pixels, labels = honest(images, statistics=statistics, device=device)
        return pixels.double(), labels

    monkeypatch.setattr(trainer, "prepared", doubled)
    monkeypatch.setattr("nasbench_mo.training.fused.prepared", doubled)
    try:
        singles = [train(cell, toy, recipe=RECIPE, seed=3) for cell in MANY]
        together = FusedTrainer(toy, recipe=RECIPE).train(MANY, seed=3)
    finally:
        torch.set_default_dtype(torch.float32)
    for one, many in zip(singles, together, strict=True):
        np.testing.assert_allclose(many.train_loss, one.train_loss, rtol=1e-7)
        np.testing.assert_allclose(many.valid_loss, one.valid_loss, rtol=1e-7)
        np.testing.assert_array_equal(many.valid_error_percent, one.valid_error_percent)
        assert many.test == one.test
        assert many.n_parameters == one.n_parameters
        assert many.energy.joules is None


def test_fused_training_refuses_what_cannot_be_trained(toy):
    fused = FusedTrainer(toy, recipe=RECIPE)
    for cells in ([], [CELL, DEAD]):
        with pytest.raises(SpecError, match="input-output path"):
            fused.train(cells, seed=0)
    with pytest.raises(ArchitectureError):
        fused.train(["|nor_conv_5x5~0|"], seed=0)


def test_a_trainer_repeats_itself_whatever_it_trained_before(toy):
    kept = Trainer(toy, recipe=RECIPE)
    kept.train(MANY[1], seed=9)
    again = kept.train(CELL, seed=3)
    fresh = train(CELL, toy, recipe=RECIPE, seed=3)
    np.testing.assert_array_equal(again.train_loss, fresh.train_loss)
    assert again.test == fresh.test


@pytest.mark.parametrize("many", [False, True])
def test_seconds_of_training_do_not_count_other_work(toy, many, monkeypatch):
    """Every epoch waits, as it would for other processes; only the processor's own time counts."""
    from nasbench_mo.training import fused, trainer

    def waiting(original):
        def run(*args, **kwargs):
            time.sleep(0.5)
            return original(*args, **kwargs)

        return run

    monkeypatch.setattr(trainer, "_one_epoch", waiting(trainer._one_epoch))
    monkeypatch.setattr(FusedTrainer, "_one_epoch", waiting(FusedTrainer._one_epoch))
    began = time.perf_counter()
    if many:
        seconds = sum(r.train_seconds for r in fused.FusedTrainer(toy, recipe=RECIPE).train([CELL], seed=0))
    else:
        seconds = train(CELL, toy, recipe=RECIPE, seed=0).train_seconds
    assert seconds < time.perf_counter() - began - 3 * 0.5 + 1e-3
