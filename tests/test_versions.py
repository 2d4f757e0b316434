"""What is installed is reported without importing it, and what is missing comes with its remedy."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

import nasbench_mo as nmo
from nasbench_mo import versions as module
from nasbench_mo.versions import loaded_versions, versions

REQUIREMENTS = [
    "numpy>=1.26",
    "xgboost-cpu>=2.1; platform_system != 'Nowhere'",
    "xgboost>=2.1; platform_system == 'Nowhere'",
    'torch>=2.6; extra == "fit"',
    'torch>=2.6; extra == "train"',
    "numpy>=1.26; extra == 'train'",
    'no-such-thing<3,>=1; extra == "train"',
    'pytest>=8; extra == "test"',
]


@pytest.fixture
def required(monkeypatch):
    monkeypatch.setattr(module, "requires", lambda name: REQUIREMENTS)


def test_core_comes_first_and_an_extra_names_itself(required):
    found = {d.name: d for d in versions().dependencies}
    assert list(found) == ["numpy", "xgboost-cpu", "torch", "no-such-thing"]
    assert (found["numpy"].version, found["numpy"].extras) == (np.__version__, ())
    assert found["torch"].extras == ("fit", "train")
    assert found["xgboost-cpu"].module == "xgboost"


def test_what_is_missing_comes_with_its_remedy(required):
    missing = {d.name: d for d in versions().dependencies}["no-such-thing"]
    assert (missing.version, missing.importable) == (None, False)
    assert "no-such-thing       not installed (pip install 'nasbench-mo[train]')" in versions().to_text()


def test_a_broken_installation_is_seen(required, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    broken = {d.name: d for d in versions().dependencies}["numpy"]
    assert "there is no module 'numpy'" in broken.state()


def test_sources_without_metadata_still_report(monkeypatch):
    def nothing(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "requires", nothing)
    assert versions().dependencies == ()
    assert "python" in versions().to_text()


def test_the_report_is_of_this_machine_and_cache(cache, capsys):
    report = versions()
    assert report.version == version("nasbench-mo") == nmo.__version__
    assert (report.cache, report.cache_exists) == (str(cache), True)
    assert report.n_cpus >= 1
    assert report.processor
    assert json.loads(json.dumps(report.to_dict()))["dependencies"][0]["name"] == report.dependencies[0].name
    nmo.show_versions()
    printed = capsys.readouterr().out
    assert printed == report.to_text() + "\n"
    assert {"core", "processor", "cache"} <= {line.split(" ")[0] for line in printed.splitlines()}


def test_every_installed_dependency_of_this_package_has_its_module(monkeypatch):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [f"{r}; extra == '{name}'" for name, group in project["optional-dependencies"].items() for r in group]
    monkeypatch.setattr(module, "requires", lambda name: project["dependencies"] + extras)
    assert len(versions().dependencies) > 30
    for one in versions().dependencies:
        assert one.importable == (one.version is not None), one


def test_nothing_heavy_is_imported_to_say_its_version():
    script = (
        "import sys, nasbench_mo as nmo; nmo.show_versions();"
        "print([m for m in ('torch', 'sklearn', 'pandas', 'pymoo', 'xgboost', 'botorch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_versions_of_libraries_that_were_not_loaded_are_left_out():
    assert loaded_versions(("numpy", "no-such-thing"), if_loaded=("pytest", "zeus-ml")) == {
        "numpy": np.__version__,
        "pytest": pytest.__version__,
    }
