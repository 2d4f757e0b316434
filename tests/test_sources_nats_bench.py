"""NATS-Bench archives made with the package's own classes, compared with what the package's own API says."""

from __future__ import annotations

import bz2
import math
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources_helpers import CELLS, Exploit, architecture, objective, shared, value, values, write_pbz2

from nasbench_mo.errors import ArchitectureError, FormatError, SpecError
from nasbench_mo.sources import store
from nasbench_mo.sources.nats_bench import read

nats_bench = pytest.importorskip("nats_bench", reason="the package nats-bench is not installed")

WIDTHS = ["8:8:8:8:8", "8:16:24:32:64", "64:64:64:64:64"]
ALL_DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")


def seeds_of(index: int) -> dict[str, dict[str, list[int]]]:
    """Seeds of the topology archive: one short run, two or three long ones; the last cell was not run on CIFAR-10."""
    long = [777, 888, 999] if index % 2 else [777, 888]
    plan = {"12": {dataset: [111] for dataset in ALL_DATASETS}, "200": dict.fromkeys(ALL_DATASETS, long)}
    plan["12"]["cifar10-valid"] = [111, 777]
    if index == len(CELLS) - 1:
        del plan["200"]["cifar10"]
    return plan


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nats") / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    rng = np.random.default_rng(0)
    write_pbz2(folder / "meta.pickle.pbz2", {"meta_archs": CELLS, "evaluated_indexes": {0, 1, 2, 3}})
    for index, arch in enumerate(CELLS):
        record = {
            recipe: architecture(
                nats_bench, index=index, arch=arch, epochs=int(recipe), seeds=seeds, rng=rng
            ).state_dict()
            for recipe, seeds in seeds_of(index).items()
        }
        write_pbz2(folder / f"{index:06d}.pickle.pbz2", record)
    return folder


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nats") / "NATS-sss-v1_0-50262-simple"
    folder.mkdir()
    rng = np.random.default_rng(1)
    write_pbz2(folder / "meta.pickle.pbz2", {"meta_archs": WIDTHS})
    for index, arch in enumerate(WIDTHS):
        record = {
            recipe: architecture(
                nats_bench,
                index=index,
                arch=arch,
                epochs=int(recipe),
                seeds={dataset: [777] for dataset in ALL_DATASETS},
                rng=rng,
            ).state_dict()
            for recipe in ("01", "12", "90")
        }
        write_pbz2(folder / f"{index}.pickle.pbz2", record)  # the package accepts names without leading zeros
    return folder


def edited(folder: Path, target: Path, *, index: int = 0) -> dict[str, Any]:
    """Copy an archive; return the record of one architecture, to be changed and written again."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    record: dict[str, Any] = pickle.loads(bz2.decompress((target / f"{index:06d}.pickle.pbz2").read_bytes()))
    return record


QUERIES = [
    ("c10_valid", "cifar10-valid", "valid-accuracy"),
    ("c10half_test", "cifar10-valid", "test-accuracy"),
    ("c10half_train", "cifar10-valid", "train-accuracy"),
    ("c10_test", "cifar10", "test-accuracy"),
    ("c10_train", "cifar10", "train-accuracy"),
    ("c100_valid", "cifar100", "valid-accuracy"),
    ("c100_test", "cifar100", "test-accuracy"),
    ("c100_validtest", "cifar100", "valtest-accuracy"),
    ("in16_valid", "ImageNet16-120", "valid-accuracy"),
    ("in16_test", "ImageNet16-120", "test-accuracy"),
    ("in16_train", "ImageNet16-120", "train-accuracy"),
]


@pytest.mark.parametrize(("prefix", "dataset", "key"), QUERIES)
def test_topology_equals_the_package_query_by_query(topology: Path, prefix: str, dataset: str, key: str) -> None:
    (table,) = read(topology)
    assert table.id == "nb201-accuracy-measured-v1"
    api = nats_bench.create(str(topology), "tss", fast_mode=True, verbose=False)
    for index, arch in enumerate(CELLS):
        for recipe, plan in seeds_of(index).items():
            if dataset not in plan:
                assert math.isnan(value(table, f"{prefix}_accuracy_{recipe}ep_mean_percent", arch))
                continue
            for seed in plan[dataset]:
                expected = api.get_more_info(index, dataset, hp=recipe, is_random=seed)[key]
                assert value(table, f"{prefix}_accuracy_{recipe}ep_s{seed}_percent", arch) == expected
            mean = api.get_more_info(index, dataset, hp=recipe, is_random=False)[key]
            assert value(table, f"{prefix}_accuracy_{recipe}ep_mean_percent", arch) == pytest.approx(mean, rel=1e-12)


def test_training_times_equal_the_packages(topology: Path) -> None:
    (table,) = read(topology)
    api = nats_bench.create(str(topology), "tss", fast_mode=True, verbose=False)
    for prefix, dataset in (("c10", "cifar10-valid"), ("c100", "cifar100"), ("in16", "ImageNet16-120")):
        for index, arch in enumerate(CELLS):
            for recipe in ("12", "200"):
                expected = api.get_more_info(index, dataset, hp=recipe, is_random=False)["train-all-time"]
                got = value(table, f"{prefix}_train_time_{recipe}ep_s", arch)
                assert got == pytest.approx(expected, rel=1e-12)


def test_columns_say_what_they_are(topology: Path) -> None:
    (table,) = read(topology)
    seen = objective(table, "c100_validtest_accuracy_200ep_s999_percent")
    assert (seen.dataset, seen.split, seen.epochs, seen.seed) == ("cifar100", "validtest", 200, 999)
    assert (seen.kind, seen.direction, seen.unit) == ("measured", "max", "percent")
    mean = objective(table, "in16_test_accuracy_12ep_mean_percent")
    assert (mean.dataset, mean.seed, mean.kind) == ("imagenet16-120", "mean", "derived")
    assert "half" in objective(table, "c10_valid_accuracy_200ep_s777_percent").note
    assert "all CIFAR-10" in objective(table, "c10_test_accuracy_200ep_s777_percent").note
    time = objective(table, "c10_train_time_200ep_s")
    assert (time.direction, time.kind, time.seed) == ("min", "measured", None)
    assert not [c for c in values(table) if "s999" in c and "12ep" in c]  # nobody ran them


def test_missing_seeds_are_missing(topology: Path) -> None:
    column = values(read(topology)[0])["c100_test_accuracy_200ep_s999_percent"]
    assert np.isnan(column).tolist() == [True, False, True, False]


def test_an_evaluation_without_a_last_epoch_is_missing(topology: Path, tmp_path: Path) -> None:
    record = edited(topology, tmp_path / "partial")
    del first_run(record)["eval_acc1es"]["x-test@199"]
    write_pbz2(tmp_path / "partial" / "000000.pickle.pbz2", record)
    (table,) = read(tmp_path / "partial")
    assert math.isnan(value(table, "c100_test_accuracy_200ep_s777_percent", CELLS[0]))
    other = value(table, "c100_test_accuracy_200ep_s888_percent", CELLS[0])
    assert value(table, "c100_test_accuracy_200ep_mean_percent", CELLS[0]) == other
    api = nats_bench.create(str(tmp_path / "partial"), "tss", fast_mode=True, verbose=False)
    assert "test-accuracy" not in api.get_more_info(0, "cifar100", hp="200", is_random=777)


def test_size_equals_the_package(size: Path) -> None:
    (table,) = read(size)
    assert table.id == "natssize-accuracy-measured-v1"
    api = nats_bench.create(str(size), "sss", fast_mode=True, verbose=False)
    for index, arch in enumerate(WIDTHS):
        for recipe, epochs in (("01", 1), ("12", 12), ("90", 90)):
            info = api.get_more_info(index, "cifar100", hp=recipe, is_random=777)
            assert value(table, f"c100_valid_accuracy_{epochs}ep_s777_percent", arch) == info["valid-accuracy"]
            assert value(table, f"c100_train_time_{epochs}ep_s", arch) == pytest.approx(info["train-all-time"])
    assert {c.objective.epochs for c in table.columns} == {1, 12, 90}


def test_architectures_without_a_record_are_left_out(topology: Path, tmp_path: Path) -> None:
    edited(topology, tmp_path / "part")
    (tmp_path / "part" / "000001.pickle.pbz2").unlink()
    (table,) = read(tmp_path / "part")
    assert table.space is not None
    assert table.space.decode(table.encodings) == [CELLS[0], CELLS[2], CELLS[3]]
    opened = store(table, files={}, command="a test", root=tmp_path / "tables")
    assert not opened.header.dense
    assert len(opened) == 3
    whole = read(topology)[0]
    column = "c100_test_accuracy_200ep_s777_percent"
    assert opened.query([CELLS[3]], [column])[0, 0] == value(whole, column, CELLS[3])


def test_the_archive_is_not_held_in_memory(size: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    record = pickle.loads(bz2.decompress((size / "0.pickle.pbz2").read_bytes()))
    archs = [f"{a}:{b}:8:8:8" for a in range(8, 65, 8) for b in (8, 16, 24)]
    write_pbz2(folder / "meta.pickle.pbz2", {"meta_archs": archs})
    for index in range(len(archs)):
        for state in record.values():
            state["arch_index"] = index
        write_pbz2(folder / f"{index:06d}.pickle.pbz2", record)
    read(folder)  # imports and caches
    tracemalloc.start()
    pickle.loads(bz2.decompress((folder / "000000.pickle.pbz2").read_bytes()))
    one = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    read(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * one < len(archs) * one


def test_an_exploit_in_a_record_is_refused(topology: Path, tmp_path: Path) -> None:
    record = edited(topology, tmp_path / "evil")
    marker = tmp_path / "marker"
    record["200"]["clear_net_done"] = Exploit(marker)
    write_pbz2(tmp_path / "evil" / "000000.pickle.pbz2", record)
    with pytest.raises(FormatError, match=r"000000\.pickle\.pbz2 asks for '\w+\.system'"):
        read(tmp_path / "evil")
    write_pbz2(tmp_path / "evil" / "meta.pickle.pbz2", {"meta_archs": Exploit(marker)})
    with pytest.raises(FormatError, match=r"meta\.pickle\.pbz2 asks for '\w+\.system'"):
        read(tmp_path / "evil")
    assert not marker.exists()


def test_a_record_cannot_make_the_package_open_another_file(topology: Path, tmp_path: Path) -> None:
    record = edited(topology, tmp_path / "evil")
    marker = tmp_path / "marker"
    write_pbz2(tmp_path / "payload.pbz2", Exploit(marker))
    record["200"] = str(tmp_path / "payload.pbz2")  # the package's create_from_state_dict would unpickle that path
    write_pbz2(tmp_path / "evil" / "000000.pickle.pbz2", record)
    with pytest.raises(FormatError, match="expected the state of an ArchResults, got str"):
        read(tmp_path / "evil")
    assert not marker.exists()


def first_run(record: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = record["200"]["all_results"]["cifar100", 777]
    return state


def set_accuracy(record: dict[str, Any], accuracy: object) -> None:
    first_run(record)["eval_acc1es"]["x-test@199"] = accuracy


BREAKS = [
    (lambda r: r["200"].pop("all_results"), "cannot interpret this record"),
    (lambda r: r["200"].update(all_results=[1]), "cannot interpret this record: ValueError"),
    (lambda r: r["200"]["all_results"].pop(("cifar100", 888)), "cannot interpret this record: KeyError"),
    (lambda r: r["200"].update(dataset_seed=5), "cannot interpret this record"),
    (lambda r: r["200"].update(get_dataset_names="not a method"), "cannot interpret this record: TypeError"),
    (lambda r: r["200"].update(arch_index=2), "expected architecture 0, the record says 2"),
    (lambda r: first_run(r).update(epochs=12), "expected a run of 200 epochs, got 12"),
    (lambda r: first_run(r).update(train_acc1es={}), "cannot interpret this record"),
    (lambda r: set_accuracy(r, "high"), "expected a number, got str 'high'"),
    (lambda r: set_accuracy(r, 101.0), "expected an accuracy of 0..100 percent, got 101.0"),
    (lambda r: set_accuracy(r, math.inf), "expected a finite number"),
    (lambda r: first_run(r)["train_times"].update({0: -1e9}), "expected a training time of at least 0 s"),
    (lambda r: r.update({"300": r["200"]}), "expected the training recipes 12, 200, got '300'"),
]


@pytest.mark.parametrize(("damage", "message"), BREAKS)
def test_malformed_records_are_named(topology: Path, tmp_path: Path, damage: Any, message: str) -> None:
    record = edited(topology, tmp_path / "broken")
    damage(record)
    write_pbz2(tmp_path / "broken" / "000000.pickle.pbz2", record)
    with pytest.raises(FormatError, match=message) as refused:
        read(tmp_path / "broken")
    assert "000000.pickle.pbz2" in str(refused.value)


def test_malformed_archives_are_named(topology: Path, tmp_path: Path) -> None:
    record = edited(topology, tmp_path / "a")
    meta = tmp_path / "a" / "meta.pickle.pbz2"
    write_pbz2(tmp_path / "a" / "000000.pickle.pbz2", [record])
    with pytest.raises(FormatError, match="expected a mapping, got list"):
        read(tmp_path / "a")
    (tmp_path / "a" / "000000.pickle.pbz2").write_bytes(b"BZh9 cut")
    with pytest.raises(FormatError, match=r"000000.*expected a complete bzip2 file"):
        read(tmp_path / "a")
    write_pbz2(tmp_path / "a" / "000004.pickle.pbz2", record)
    with pytest.raises(FormatError, match=r"one record for each architecture 0\.\.3; this one is outside"):
        read(tmp_path / "a")
    (tmp_path / "a" / "000004.pickle.pbz2").rename(tmp_path / "a" / "1.pickle.pbz2")
    with pytest.raises(FormatError, match="this one is a second one"):
        read(tmp_path / "a")
    for content, message in (
        ({"archs": CELLS}, "expected the key 'meta_archs', got archs"),
        ({"meta_archs": []}, "got an empty one"),
        ({"meta_archs": CELLS[0]}, "expected a list, got str"),
        ({"meta_archs": [*CELLS, 7]}, "expected a list of architecture strings"),
        ({"meta_archs": [*CELLS, CELLS[0]]}, "some are listed twice"),
    ):
        write_pbz2(meta, content)
        with pytest.raises(FormatError, match=message):
            read(tmp_path / "a")
    write_pbz2(meta, {"meta_archs": ["|conv~0|"]})
    with pytest.raises(ArchitectureError, match="conv"):
        read(tmp_path / "a")
    meta.unlink()
    with pytest.raises(FormatError, match=r"expected a NATS-Bench archive with meta\.pickle\.pbz2"):
        read(tmp_path / "a")


def test_wrong_paths_and_specifications_are_refused(topology: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")
    with pytest.raises(FormatError, match="'-simple'"):
        read(topology / "meta.pickle.pbz2")
    with pytest.raises(SpecError, match="takes no specification"):
        read(topology, topology / "meta.pickle.pbz2")
    (tmp_path / "empty").mkdir()
    write_pbz2(tmp_path / "empty" / "meta.pickle.pbz2", {"meta_archs": CELLS})
    with pytest.raises(FormatError, match="found none"):
        read(tmp_path / "empty")


def test_published_accuracies_come_back(tmp_path: Path) -> None:
    """Real accuracies of three cells, put into the published layout and read again."""
    arrays = np.load(shared("nasbench201", "nasbench201.npz"), allow_pickle=False)
    archs = arrays["arch_str"].astype(str).tolist()
    write_pbz2(tmp_path / "meta.pickle.pbz2", {"meta_archs": archs})
    rng = np.random.default_rng(2)
    indices = (0, 6111, 15624)
    for index in indices:
        runs = {"cifar10-valid": [777, 888], "cifar100": [777, 888]}
        results = architecture(nats_bench, index=index, arch=archs[index], epochs=200, seeds=runs, rng=rng)
        for which, seed in enumerate((777, 888)):
            recorded = results.query("cifar10-valid", seed)
            recorded.eval_acc1es["x-valid@199"] = float(arrays["c10_valid_200"][index, which])
            recorded.reset_pseudo_train_times(float(arrays["c10half_train_time_200_s"][index]) / 200)
            results.query("cifar100", seed).eval_acc1es["ori-test@199"] = float(
                arrays["c100_validtest_200"][index, which]
            )
        write_pbz2(tmp_path / f"{index:06d}.pickle.pbz2", {"200": results.state_dict()})
    (table,) = read(tmp_path)
    for index in indices:
        for which, seed in enumerate((777, 888)):
            got = value(table, f"c10_valid_accuracy_200ep_s{seed}_percent", archs[index])
            assert got == float(arrays["c10_valid_200"][index, which])
            got = value(table, f"c100_validtest_accuracy_200ep_s{seed}_percent", archs[index])
            assert got == float(arrays["c100_validtest_200"][index, which])
        seconds = float(arrays["c10half_train_time_200_s"][index])
        assert value(table, "c10_train_time_200ep_s", archs[index]) == pytest.approx(seconds, rel=1e-9)
