"""Where a training stands after an epoch, in one file that is whole or not there.

The file is a line that says what it is, the SHA-256 of the rest, and the rest as torch stores it. torch does not check
what it reads, so a damaged weight would go unnoticed. Nothing in the file is executed when it is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.errors import ArtifactError, RunError, require

_HEADER: Final = b"nasbench-mo checkpoint 1\n"
_DIGEST_SIZE: Final = 65  # 64 digits and a line end


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A training after some of its epochs.

    Parameters
    ----------
    identity
        What is trained: a checkpoint continues that and nothing else.
    epochs
        Epochs that are finished.
    seconds
        Seconds of their training steps.
    curve
        Name to one value for each finished epoch.
    state
        Name to what torch stores: weights, optimiser, schedule, generators.
    """

    identity: Mapping[str, str]
    epochs: int
    seconds: float
    curve: Mapping[str, list[float]]
    state: Mapping[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint over the one before; a kill leaves the old one or the new one."""
    torch = require("torch", extra="train")
    names = [field.name for field in dataclasses.fields(checkpoint)]
    stream = io.BytesIO()
    torch.save({name: _plain(getattr(checkpoint, name)) for name in names}, stream)
    payload = stream.getvalue()
    write_atomic(path, _HEADER + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def read_checkpoint(path: Path, *, identity: Mapping[str, str]) -> Checkpoint | None:
    """Read a checkpoint of a training, its tensors on the CPU; None where there is none yet.

    Parameters
    ----------
    path
        The file.
    identity
        The training that is to be continued.

    Raises
    ------
    ArtifactError
        The file is damaged, or no checkpoint.
    RunError
        It belongs to another training.
    """
    torch = require("torch", extra="train")
    if path.is_dir():
        raise ArtifactError(f"expected the checkpoint {path} to be a file, it is a folder; name a file")
    if not path.exists():
        return None
    advice = f"delete {path} to train from the start"
    data = path.read_bytes()
    if not data.startswith(_HEADER):
        raise ArtifactError(f"{path} is no checkpoint of a training, or of another version; name another, or {advice}")
    digest, payload = data[len(_HEADER) :][:_DIGEST_SIZE], data[len(_HEADER) + _DIGEST_SIZE :]
    if digest != hashlib.sha256(payload).hexdigest().encode() + b"\n":
        raise ArtifactError(f"the checkpoint {path} is damaged: its SHA-256 is not the one it states; {advice}")
    try:
        found = Checkpoint(**torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises what it likes
        raise ArtifactError(f"the checkpoint {path} cannot be read ({type(error).__name__}); {advice}") from error
    different = [
        f"{name} {found.identity.get(name)!r}, not {value!r}"
        for name, value in identity.items()
        if found.identity.get(name) != value
    ]
    if different:
        raise RunError(
            f"the checkpoint {path} is of another training: {'; '.join(different)}; name another, or {advice}"
        )
    return found


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
