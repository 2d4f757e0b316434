"""What tests of several areas share."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

# Two test processes with as many threads as cores wait for each other most of the time. torch reads this when loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from nasbench_mo.predictor import load_predictor

#: What extras bring, under the names that are imported.
OF_EXTRAS = frozenset(
    [
        "ConfigSpace",
        "PIL",
        "botorch",
        "build",
        "dask",
        "dask_jobqueue",
        "distributed",
        "gpytorch",
        "importlinter",
        "ipykernel",
        "mypy",
        "nas_201_api",
        "nats_bench",
        "onnx",
        "onnxruntime",
        "optuna",
        "packaging",
        "six",
        "sklearn",
        "syne_tune",
        "torch",
        "twine",
        "zeus",
        "zigzag",
    ]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--core``: for an environment without extras; what needs one is skipped, and nothing else."""
    parser.addoption("--core", action="store_true", help="skip what needs a library of an extra")


def _of_an_extra(error: BaseException | None) -> str | None:
    """The library of an extra whose absence is behind an error, if there is one."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] in OF_EXTRAS:
            return error.name
        error = error.__cause__ or error.__context__
    return None


def _skipping(config: pytest.Config) -> Generator[None, object, object]:
    try:
        return (yield)
    except Exception as error:
        missing = _of_an_extra(error) if config.getoption("--core") else None
        if missing is None:
            raise
        pytest.skip(f"{missing} comes with an extra")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a test whose fixture needs an extra."""
    return (yield from _skipping(item.config))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a test that needs an extra."""
    return (yield from _skipping(item.config))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a file that imports a library of an extra."""
    report = yield
    error = getattr(getattr(report, "call", None), "excinfo", None)
    missing = _of_an_extra(error.value) if error is not None and collector.config.getoption("--core") else None
    if missing is not None:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {missing} comes with an extra")
    return report


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
