"""What tests of several areas share."""

from __future__ import annotations

import os
from pathlib import Path

# Two test processes with as many threads as cores wait for each other most of the time. torch reads this when loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from nasbench_mo.predictor import load_predictor


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the shared data, which is not part of the repository."""
    root = Path(os.environ.get("NASBENCH_MO_SHARED", Path(__file__).parents[1] / ".." / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"{root} is missing; set NASBENCH_MO_SHARED to the folder with the shared data")
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory, in place of the user's."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("NASBENCH_MO_CACHE", str(folder))
    load_predictor.cache_clear()
    return folder
