"""Where a training stands after an epoch, in one file that is whole or not there.

The file is a line that says what it is, the SHA-256 of the rest, and the rest as torch stores it. torch does not check
what it reads, so a damaged weight would go unnoticed. Nothing in the file is executed when it is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nasbench_mo.artifacts import write_atomic
from nasbench_mo.errors import ArtifactError, RunError, require

_HEADER: Final = b"nasbench-mo checkpoint 1\n"
_DIGEST_SIZE: Final = 65  # 64 digits and a line end

_log = logging.getLogger(__name__)


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


class CheckpointFile:
    """The checkpoint of one training: what it writes after an epoch and starts from.

    Parameters
    ----------
    path
        The file; without one, nothing is written or read.
    identity
        What is trained.
    parts
        Name to what has a ``state_dict``: network, optimiser, schedule.
    device
        torch device of the network.
    """

    def __init__(
        self, path: Path | None, *, identity: Mapping[str, str], parts: Mapping[str, Any], device: str
    ) -> None:
        self.path = path
        self.identity = identity
        self.parts = parts
        self.device = device

    def save(self, *, epochs: int, seconds: float, curve: Mapping[str, list[float]]) -> None:
        """Write where the parts and the global generators stand.

        Where that fails (a full disk), it is warned of: the checkpoint before stays, and the training is worth more.
        """
        if self.path is None:
            return
        torch = require("torch", extra="train")
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state["generators"] = [
            torch.get_rng_state(),
            *(torch.cuda.get_rng_state(device) for device in accelerators(self.device)),
        ]
        checkpoint = Checkpoint(identity=self.identity, epochs=epochs, seconds=seconds, curve=curve, state=state)
        try:
            write_checkpoint(self.path, checkpoint)
        except OSError as error:
            _log.warning(
                "the checkpoint %s after epoch %d could not be written (%s); the training goes on without it",
                self.path,
                epochs,
                error.strerror or error,
            )

    def restore(self) -> Checkpoint | None:
        """Bring the parts and the global generators to where the file was written; None where there is none.

        Raises
        ------
        ArtifactError, RunError
            As in :func:`read_checkpoint`.
        """
        if self.path is None or (done := read_checkpoint(self.path, identity=self.identity)) is None:
            return None
        torch = require("torch", extra="train")
        try:
            for name, part in self.parts.items():
                part.load_state_dict(done.state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            what = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"the checkpoint {self.path} does not fit this version's networks ({what}); "
                f"delete {self.path} to train from the start"
            ) from error
        on_cpu, *others = done.state["generators"]
        torch.set_rng_state(on_cpu)
        for device, generator in zip(accelerators(self.device), others, strict=False):  # it may go on elsewhere
            torch.cuda.set_rng_state(generator, device)
        return done


def accelerators(device: str) -> list[Any]:
    """The CUDA device, where it is one: it has a generator of its own."""
    torch = require("torch", extra="train")
    return [torch.device(device)] if torch.device(device).type == "cuda" else []


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
