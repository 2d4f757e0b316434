"""Torch networks as ONNX models.

:mod:`nasbench_mo.profiling.onnx_graph` writes NAS-Bench-201's graphs node by node, without torch and with every
normalisation folded in. This traces a torch network of any space, with the weights that it has.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from typing import Any

from nasbench_mo.errors import FormatError, SpecError, require

#: Version of the ONNX operator set that the models use.
OPSET = 17
#: Names of what goes in and what comes out.
IMAGES, LOGITS = "images", "logits"


def export_network(network: Any, *, batch: int = 1, image_size: int | None = None) -> bytes:
    """Return a network as it classifies (not as it trains) as a serialised ONNX model.

    Parameters
    ----------
    network
        Of :func:`~nasbench_mo.training.build_network`, or another module with its ``skeleton``. It is left as it is.
    batch
        Images at once, fixed in the model.
    image_size
        Pixels of a side; the skeleton's by default.

    Returns
    -------
    model
        From ``images`` (batch, c, h, w) to ``logits`` (batch, classes).

    Raises
    ------
    FormatError
        ONNX has no form for one of the network's operators; the message names it.
    SpecError
        The network has no skeleton, or a size is not positive.
    MissingDependencyError
        torch or onnx is not installed.
    """
    torch = require("torch", extra="train")
    require("onnx", extra="profile")
    skeleton = getattr(network, "skeleton", None)
    if skeleton is None:
        raise SpecError(f"expected a network with a skeleton, as build_network makes; got {type(network).__name__}")
    size = skeleton.image_size if image_size is None else image_size
    if batch < 1 or size < 1:
        raise SpecError(f"expected at least one image of at least one pixel; got batch {batch}, image_size {size}")
    first = next(iter(network.parameters()))
    images = torch.zeros(batch, skeleton.image_channels, size, size, dtype=first.dtype, device=first.device)
    stream = io.BytesIO()
    modes = {name: module.training for name, module in network.named_modules()}  # the exporter leaves one for all
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # it prints the graph that failed
            # The exporter that follows this one needs onnxscript.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                network,
                (images,),
                stream,
                dynamo=False,
                opset_version=OPSET,
                input_names=[IMAGES],
                output_names=[LOGITS],
            )
    except torch.onnx.OnnxExporterError as error:
        raise FormatError(f"the network has no ONNX form: {_named(error)}; replace what uses it") from error
    finally:
        for name, module in network.named_modules():
            module.training = modes[name]
    return stream.getvalue()


def _named(error: Exception) -> str:
    """Which operator the exporter stopped at, or its words where it does not say."""
    found = re.search(r"operator '([^']+)'", str(error))
    return f"opset {OPSET} lacks operator {found[1]!r}" if found else " ".join(str(error).split())
