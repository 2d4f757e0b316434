"""The machine at hand."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path


def processor_name() -> str:
    """Model name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def blas_kernels() -> str:
    """Which matrix products NumPy's library chose for this processor, as in ``"openblas Haswell"``.

    Processors of one model name may have others, and the last bits of a product differ between them.
    """
    import numpy  # noqa: F401  -- loads the library
    from threadpoolctl import threadpool_info

    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    found = {f"{library['internal_api']} {library.get('architecture', '')}".strip() for library in libraries}
    return ", ".join(sorted(found)) or "unknown"
