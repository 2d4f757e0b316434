"""The native trainer's program: compiled by the machine's C++ compiler on first use, and kept in the cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from nasbench_mo.artifacts import cache_dir
from nasbench_mo.errors import MissingDependencyError
from nasbench_mo.hardware import processor_name

#: Of the bits: another number where the same seed gives other ones.
VERSION = 1
#: Contraction gives GCC and Clang the same fused multiply-adds, and so the same bits.
_FLAGS = ("-std=c++20", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-shared")
#: What the vector instructions of a level need, by the names of /proc/cpuinfo; the best level first.
LEVELS = {
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma"},
    "x86-64-v3": {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"},
}
_COMPILERS = ("c++", "g++", "clang++")
_INSTEAD = "or train with torch (engine: torch)"


def library(level: str | None = None) -> Any:
    """The compiled program.

    Parameters
    ----------
    level
        Vector instructions, one of :data:`LEVELS`; by default the best of this processor. All give the same bits.

    Raises
    ------
    MissingDependencyError
        There is no C++ compiler, or it refuses the program.
    """
    return _loaded(compiler(), level or processor_level())


@lru_cache(maxsize=8)
def _loaded(name: str, level: str | None) -> Any:
    flags = (*_FLAGS, f"-march={level}") if level else _FLAGS
    source = (files("nasbench_mo.training") / "native.cpp").read_bytes()
    words = " ".join((name, *flags, platform.machine())).encode()
    path = cache_dir() / "native" / f"nb201-{hashlib.sha256(source + words).hexdigest()[:16]}.so"
    if not path.is_file():
        _compile(name, source, flags=flags, path=path)
    loaded = ctypes.CDLL(str(path))
    loaded.nb201_new.restype = ctypes.c_void_p
    loaded.nb201_state.restype = ctypes.c_int64
    loaded.nb201_epoch.restype = loaded.nb201_predict.restype = ctypes.c_double
    loaded.nb201_gradients.restype = ctypes.c_float
    return loaded


def _compile(name: str, source: bytes, *, flags: tuple[str, ...], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made, program = Path(folder) / path.name, Path(folder) / "native.cpp"
        program.write_bytes(source)
        command = [name, *flags, str(program), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.splitlines()
            reason = next((line for line in lines if "error" in line), lines[0] if lines else "no reason given")
            raise MissingDependencyError(
                f"{name} cannot compile the native trainer ({reason.strip()[:200]}); it needs GCC 12, Clang 14 or "
                f"newer: set CXX to one, {_INSTEAD}"
            )
        made.replace(path)  # another process may have been as fast: with the same bytes


def compiler() -> str:
    """The C++ compiler: ``$CXX``, or the first that is found.

    Raises
    ------
    MissingDependencyError
        There is none.
    """
    wanted = os.environ.get("CXX")
    names = (wanted,) if wanted else _COMPILERS
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise MissingDependencyError(
            f"the native trainer needs a C++ compiler, and {' and '.join(names)} is not here; install one (Debian: apt "
            f"install g++), set CXX to yours, {_INSTEAD}"
        )
    return found


def processor_level() -> str | None:
    """The best x86-64 level of this processor, as compilers name it; None for other processors."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "x86-64-v3"  # of every processor that has come with something else than Linux in ten years
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    return next((level for level, needed in LEVELS.items() if needed <= flags), "x86-64")


@lru_cache(maxsize=1)
def native_environment() -> str:
    """Versions and machine that a native training depends on, as one line."""
    words = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    return (
        f"native {VERSION} {processor_level() or platform.machine()}, {words.splitlines()[0]}, numpy "
        f"{version('numpy')}, python {platform.python_version()}, {processor_name()}"
    )
