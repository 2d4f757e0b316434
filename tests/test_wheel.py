"""What is released holds what git tracks, says what it is, and works where nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nasbench_mo as nmo

ROOT = Path(__file__).parents[1]
DATA_FOLDERS = ("predictors", "hw_tables", "leaderboards")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """Folder of the source archive and of the wheel that was built from it."""
    import build.__main__  # noqa: F401  # an environment without it (--core) says so here, not in a child process

    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory) -> Path:
    """Python of an environment that has the wheel and what it needs, and nothing else."""
    venv = tmp_path_factory.mktemp("elsewhere") / "venv"
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--constraint", ROOT / "constraints.txt", wheel]
    done = subprocess.run(command, cwd=venv, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


def clean_environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NASBENCH_MO", "MYPY"))}
    return {**kept, **more}


def tracked(*folders: str) -> set[str]:
    done = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return {name for name in done.stdout.split("\0") if name}


def test_wheel_holds_exactly_the_tracked_files(wheel):
    expected = tracked("nasbench_mo")
    expected |= {f"nasbench_mo/_artifacts/{name}" for name in tracked(*DATA_FOLDERS)}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert found == expected


def test_wheel_holds_no_python_among_the_data_and_no_pickle(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert not [n for n in names if n.startswith("nasbench_mo/_artifacts/") and n.endswith(".py")]
    assert not [n for n in names if n.endswith((".pkl", ".pickle", ".pth", ".pt", ".joblib"))]


def test_the_index_would_take_both_archives(dist):
    archives = sorted(dist.iterdir())
    assert [a.name for a in archives] == [f"nasbench_mo-{VERSION}-py3-none-any.whl", f"nasbench_mo-{VERSION}.tar.gz"]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *archives], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_source_archive_holds_exactly_the_tracked_files(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        found = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    ours = {n for n in tracked() if not n.startswith(".") or n == ".gitignore"}
    assert found == ours | {"PKG-INFO"}


def test_the_wheel_says_that_it_is_typed(wheel):
    archive = zipfile.ZipFile(wheel)
    assert "nasbench_mo/py.typed" in archive.namelist()
    metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    assert "Classifier: Typing :: Typed" in archive.read(metadata).decode()


def test_wheel_works_in_an_empty_environment_elsewhere(elsewhere, tmp_path):
    environment = clean_environment(NASBENCH_MO_CACHE=str(tmp_path / "cache"))
    command = [elsewhere.with_name("nasbench-mo"), "query", "nb201s-c10-eyeriss-fpga-v1", CELL, "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    objectives = json.loads(done.stdout)[0]["objectives"]
    assert objectives["latency_fpga_ms"]["value"] == pytest.approx(1.13296 + 3 * 1.2576)
    listing = subprocess.run(
        [elsewhere, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    installed = {p["name"].lower() for p in json.loads(listing.stdout)}
    assert not {n for n in installed if n.startswith("nvidia") or n in ("torch", "xgboost")}


def test_the_public_api_is_typed_for_a_strict_checker_elsewhere(elsewhere, tmp_path):
    def checked(script: Path) -> subprocess.CompletedProcess[str]:
        mypy = [sys.executable, "-m", "mypy", "--strict", "--no-color-output", "--cache-dir", tmp_path / "mypy"]
        command = [*mypy, "--python-executable", elsewhere, script]
        return subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True)

    use = shutil.copy(ROOT / "tests" / "public_api_use.py", tmp_path / "use.py")
    assert set(nmo.__all__) <= set(re.findall(r"\bnmo\.(\w+)", use.read_text(encoding="utf-8")))
    done = checked(use)
    assert done.returncode == 0, done.stdout
    environment = clean_environment(NASBENCH_MO_CACHE=str(tmp_path / "cache"))
    done = subprocess.run([elsewhere, use], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no problem is called 'no-such-problem'" in done.stdout

    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import nasbench_mo as nmo\n\nnmo.hypervolum\nnmo.problem(3)\nbad: str = nmo.run_many('a', 'b', seeds=[1])\n"
    )
    done = checked(wrong)
    assert [int(line) for line in re.findall(r"^wrong\.py:(\d+): error", done.stdout, flags=re.MULTILINE)] == [3, 4, 5]


def test_citation_is_complete_and_of_this_version():
    # Validated with cffconvert --validate; its schema wants these, and no other version of jsonschema.
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], str(citation["version"]), citation["license"]) == (
        PROJECT["name"],
        PROJECT["version"],
        PROJECT["license"],
    )
    assert all("name" in author or "family-names" in author for author in citation["authors"])


def test_what_is_tested_lies_within_what_is_supported():
    """The versions of constraints.txt, with which the suite runs, are within the ranges of pyproject.toml."""
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    extras = [r for group in PROJECT["optional-dependencies"].values() for r in group]
    wanted = [Requirement(text) for text in [*PROJECT["dependencies"], *extras]]
    tested = [r for r in wanted if canonicalize_name(r.name) in pinned]
    assert len(tested) > 30
    for requirement in tested:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
    for requirement in map(Requirement, PROJECT["dependencies"]):
        lowest = [s for s in requirement.specifier if s.operator in (">=", "==")]
        assert lowest, f"{requirement} has no lower bound to test"
