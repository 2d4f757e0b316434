"""A predictor and a device: where their folders are. ``make_artefacts.py`` makes what is in them."""

from pathlib import Path

_HERE = Path(__file__).parent / "artefacts"


def predictor() -> Path:
    """Folder of the predictor."""
    return _HERE / "example-mlp-error-v1"


def device() -> Path:
    """Folder of the device's cost table."""
    return _HERE / "example-cpu-latency-v1"
