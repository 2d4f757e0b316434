"""Load files written by ``torch.save``: tensors, numbers and containers, and nothing that runs code."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from pathlib import Path
from typing import IO, Any, Final

from nasbench_mo.errors import FormatError, MissingDependencyError, require
from nasbench_mo.sources.safe_pickle import TORCH_GLOBALS

#: CVE-2025-32434: before 2.6, ``torch.load(weights_only=True)`` could be made to run code.
_FIRST_SAFE_TORCH: Final = (2, 6)
_REFUSED: Final = re.compile(r"(?:GLOBAL|class|global) ([A-Za-z_]\w*(?:\.\w+)+)")
_TORCH_ERRORS: Final = (
    pickle.UnpicklingError,
    EOFError,
    OSError,
    RuntimeError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    AssertionError,
    struct.error,
)


def load_torch(file: Path | IO[bytes], *, name: str) -> Any:
    """Return the content of a ``.pt`` or ``.pth`` file, on the CPU, with ``weights_only=True``.

    Parameters
    ----------
    file
        Path, or an open binary stream that can seek.
    name
        What errors call it.

    Returns
    -------
    Tensors, numbers and containers; NumPy scalars come out as Python numbers.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FormatError
        The file is damaged, or asks for anything but data; it is refused by name.
    MissingDependencyError
        torch is not installed, or older than 2.6.
    """
    torch = require("torch", extra="sources")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _FIRST_SAFE_TORCH:
        raise MissingDependencyError(
            f"reading {name} safely needs torch 2.6 or newer (CVE-2025-32434), got {torch.__version__}; "
            "install it with: pip install 'torch>=2.6'"
        )
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(TORCH_GLOBALS)):
            warnings.simplefilter("ignore")  # torch warns of pickles by naming its own files
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except FormatError as error:
        raise FormatError(f"{name}: {error}; nothing was executed") from error
    except _TORCH_ERRORS as error:
        refused = _REFUSED.search(str(error))
        if refused:
            raise FormatError(
                f"{name} asks for {refused.group(1)!r}, which a data file does not need; refused; nothing was executed"
            ) from error
        raise FormatError(
            f"{name}: expected a complete file of torch.save, got something else ({type(error).__name__}); "
            "nothing was executed; download it again"
        ) from error
