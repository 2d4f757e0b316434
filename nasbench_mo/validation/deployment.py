"""A trained network as it is deployed: an ONNX model, and what its precision does to the error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError, NasbenchMoError
from nasbench_mo.profiling import folded_weights, ondevice, onnx_network
from nasbench_mo.profiling.half import half
from nasbench_mo.profiling.quantised import quantised
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.training.images import Images, ImageSet, subset
from nasbench_mo.training.metrics import Scores, scores
from nasbench_mo.training.trainer import normalised

#: Training images that a quantisation is calibrated on, at most.
CALIBRATION = 100


def calibration_images(images: ImageSet, *, statistics: tuple[Any, Any]) -> NDArray[np.float32]:
    """Normalised training images (k, c, h, w), of each class its share."""
    drawn = subset(images.train, n=min(CALIBRATION, len(images.train)), seed=0)
    return normalised(drawn, statistics=statistics)


def at_precision(model: bytes, *, precision: str, images: NDArray[np.float32] | None) -> bytes:
    """A float model in another precision.

    Parameters
    ----------
    model
        ONNX model of some images at once.
    precision
        ``fp32``, ``int8`` or ``fp16``.
    images
        What ``int8`` is calibrated on; standard normal ones by default.
    """
    if precision == "int8":
        return quantised(model, images=images)
    return half(model) if precision == "fp16" else model


def trained_model(network: Any, *, arch: str, skeleton: Skeleton, batch: int = 1) -> bytes:
    """The ONNX model of a trained network of NAS-Bench-201, normalisations folded into convolutions."""
    state = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    return onnx_network(arch, skeleton=skeleton, weights=folded_weights(state), batch=batch)


def scores_at(
    network: Any, images: ImageSet, *, arch: str, skeleton: Skeleton, precision: str, statistics: tuple[Any, Any]
) -> tuple[Scores, Scores]:
    """Scores of a trained network on validation and test in some precision, computed by this processor.

    Half precision rounds weights and tensors as a device with it does; sums may be of single precision here.

    Raises
    ------
    FormatError
        onnxruntime does not run the network in the precision.
    """
    calibration = calibration_images(images, statistics=statistics)
    at_once = len(calibration)
    model = trained_model(network, arch=arch, skeleton=skeleton, batch=at_once)
    try:
        loaded = ondevice.session(
            at_precision(model, precision=precision, images=calibration), provider="cpu", n_threads=1
        )
    except NasbenchMoError:
        raise
    except Exception as error:  # onnxruntime's errors have no other base
        raise FormatError(f"onnxruntime does not run the network in {precision}: {ondevice.reason(error)}") from error
    valid, test = (
        scores(
            split.labels,
            _predicted(loaded, split, at_once=at_once, statistics=statistics),
            n_classes=images.n_classes,
        )
        for split in (images.valid, images.test)
    )
    return valid, test


def _predicted(loaded: Any, images: Images, *, at_once: int, statistics: tuple[Any, Any]) -> NDArray[np.int64]:
    """Classes (n,); the last batch is filled up, as a model's batch is fixed."""
    pixels = normalised(images, statistics=statistics)
    (given,) = loaded.get_inputs()
    found = []
    for start in range(0, len(pixels), at_once):
        part = pixels[start : start + at_once]
        filled = np.concatenate([part, np.zeros((at_once - len(part), *part.shape[1:]), np.float32)])
        (logits,) = loaded.run(None, {given.name: filled})
        found.append(logits[: len(part)].argmax(axis=1))
    return np.concatenate(found).astype(np.int64)
