"""NAS-Bench-201 ``.pth`` files made with the package's own classes, compared with what its own API says."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources_helpers import CELLS, Exploit, architecture, value, values

from nasbench_mo.errors import FormatError, MissingDependencyError, SpecError
from nasbench_mo.sources.nas_bench_201 import read

torch = pytest.importorskip("torch", reason="torch is not installed")
nas_201_api = pytest.importorskip("nas_201_api", reason="the package nas-bench-201 is not installed")

RECIPES = {"less": 12, "full": 200}


def seeds(index: int, recipe: str) -> dict[str, list[int]]:
    long = [777, 888, 999] if index % 2 else [777]
    return dict.fromkeys(
        ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"), long if recipe == "full" else [777]
    )


def content(*, numpy_values: bool = False) -> dict[str, Any]:
    """What the published file holds, for four cells."""
    rng = np.random.default_rng(3)
    infos = {}
    for index, arch in enumerate(CELLS):
        infos[index] = {
            recipe: architecture(
                nas_201_api, index=index, arch=arch, epochs=epochs, seeds=seeds(index, recipe), rng=rng
            ).state_dict()
            for recipe, epochs in RECIPES.items()
        }
    if numpy_values:
        run = infos[0]["full"]["all_results"]["cifar100", 777]
        run["eval_acc1es"] = {key: np.float64(v) for key, v in run["eval_acc1es"].items()}
    return {"meta_archs": list(CELLS), "arch2infos": infos, "evaluated_indexes": set(range(len(CELLS)))}


@pytest.fixture(params=["zip", "legacy", "numpy"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    held = content(numpy_values=request.param == "numpy")
    torch.save(held, path, _use_new_zipfile_serialization=request.param != "legacy")
    return path


def test_the_table_equals_the_packages_answers(published: Path) -> None:
    (table,) = read(published)
    assert table.id == "nb201-accuracy-measured-v1"
    api = nas_201_api.NASBench201API(content(), verbose=False)
    keys = {
        "c10_valid": ("cifar10-valid", "valid-accuracy"),
        "c10half_test": ("cifar10-valid", "test-accuracy"),
        "c10_test": ("cifar10", "test-accuracy"),
        "c10_train": ("cifar10", "train-accuracy"),
        "c100_validtest": ("cifar100", "valtest-accuracy"),
        "in16_test": ("ImageNet16-120", "test-accuracy"),
    }
    for index, arch in enumerate(CELLS):
        for recipe, epochs in RECIPES.items():
            for prefix, (dataset, key) in keys.items():
                for seed in seeds(index, recipe)[dataset]:
                    info = api.get_more_info(index, dataset, hp=str(epochs), is_random=seed)
                    assert value(table, f"{prefix}_accuracy_{epochs}ep_s{seed}_percent", arch) == info[key]
                info = api.get_more_info(index, dataset, hp=str(epochs), is_random=False)
                mean = value(table, f"{prefix}_accuracy_{epochs}ep_mean_percent", arch)
                assert mean == pytest.approx(info[key], rel=1e-12)
            info = api.get_more_info(index, "cifar10-valid", hp=str(epochs), is_random=False)
            time = value(table, f"c10_train_time_{epochs}ep_s", arch)
            assert time == pytest.approx(info["train-all-time"], rel=1e-12)


def test_missing_times_of_version_1_0_are_missing(tmp_path: Path) -> None:
    held = content()
    for info in held["arch2infos"].values():
        for state in info.values():
            for run in state["all_results"].values():
                run["train_times"] = None
                run["eval_times"] = {}
    torch.save(held, tmp_path / "NAS-Bench-201-v1_0-e61699.pth")
    (table,) = read(tmp_path / "NAS-Bench-201-v1_0-e61699.pth")
    assert not [c for c in values(table) if "train_time" in c]
    assert "c10_valid_accuracy_200ep_s777_percent" in values(table)


def test_only_evaluated_architectures_are_there(tmp_path: Path) -> None:
    held = content()
    del held["arch2infos"][1]
    torch.save(held, tmp_path / "some.pth")
    (table,) = read(tmp_path / "some.pth")
    assert table.space is not None
    assert table.space.decode(table.encodings) == [CELLS[0], CELLS[2], CELLS[3]]


@pytest.mark.parametrize("zipped", [True, False])
def test_an_exploit_is_refused_by_name(tmp_path: Path, zipped: bool) -> None:
    held = content()
    marker = tmp_path / "marker"
    held["extra"] = Exploit(marker)
    torch.save(held, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(FormatError, match=r"evil\.pth asks for '\w+\.system'.*nothing was executed"):
        read(tmp_path / "evil.pth")
    assert not marker.exists()


def test_other_classes_and_object_arrays_are_refused(tmp_path: Path) -> None:
    for name, extra in (("class", Path("x")), ("builtin", getattr), ("objects", np.array([None], dtype=object))):
        torch.save({**content(), "extra": extra}, tmp_path / f"{name}.pth")
        with pytest.raises(FormatError, match="nothing was executed"):
            read(tmp_path / f"{name}.pth")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(content(), whole)
    data = whole.read_bytes()
    for name, damaged in (("cut", data[: len(data) // 2]), ("text", b"not torch at all"), ("none", b"")):
        path = tmp_path / f"{name}.pth"
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=rf"{name}\.pth: expected a complete file of torch\.save"):
            read(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c.pop("meta_archs"), "expected the key 'meta_archs', got arch2infos"),
        (lambda c: c.pop("arch2infos"), "expected the key 'arch2infos'"),
        (lambda c: c.update(arch2infos={}), "found none"),
        (lambda c: c["arch2infos"].update({9: c["arch2infos"][0]}), r"expected an index 0\.\.3"),
        (lambda c: c["arch2infos"].update({"x": c["arch2infos"].pop(0)}), "key of arch2infos: expected a number"),
        (lambda c: c["arch2infos"][1].pop("full"), "architecture 1: expected the key 'full', got less"),
        (lambda c: c["arch2infos"][1].update(full="some/path.pth"), "expected the state of an ArchResults, got str"),
        (lambda c: c["arch2infos"][1].update(full={}), "expected architecture 1, the record says -1"),
        (lambda c: c["meta_archs"].append(c["meta_archs"][0]), "listed twice"),
    ],
)
def test_malformed_content_is_named(tmp_path: Path, damage: Any, message: str) -> None:
    held = content()
    damage(held)
    torch.save(held, tmp_path / "broken.pth")
    with pytest.raises(FormatError, match=message) as refused:
        read(tmp_path / "broken.pth")
    assert "broken.pth" in str(refused.value)


def test_wrong_paths_and_specifications_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.pth")
    with pytest.raises(FormatError, match="got a folder"):
        read(tmp_path)
    with pytest.raises(SpecError, match="takes no specification"):
        read(tmp_path, tmp_path)


def test_an_unsafe_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(content(), tmp_path / "whole.pth")
    monkeypatch.setattr(importlib.import_module("torch"), "__version__", "2.5.1+cpu")
    with pytest.raises(MissingDependencyError, match=r"torch>=2\.6"):
        read(tmp_path / "whole.pth")
