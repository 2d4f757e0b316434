"""The wheel holds what git tracks, and works where nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA_FOLDERS = ("predictors", "hw_tables", "leaderboards")
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


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


def test_wheel_works_in_an_empty_environment_elsewhere(wheel, tmp_path):
    home = tmp_path / "elsewhere"
    home.mkdir()
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--constraint", ROOT / "constraints.txt", wheel], cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NASBENCH_MO"))}
    environment["NASBENCH_MO_CACHE"] = str(tmp_path / "cache")
    command = [python.with_name("nasbench-mo"), "query", "nb201s-c10-eyeriss-fpga-v1", CELL, "--json"]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    objectives = json.loads(done.stdout)[0]["objectives"]
    assert objectives["latency_fpga_ms"]["value"] == pytest.approx(1.13296 + 3 * 1.2576)
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    installed = {p["name"].lower() for p in json.loads(listing.stdout)}
    assert not {n for n in installed if n.startswith("nvidia") or n in ("torch", "xgboost")}
