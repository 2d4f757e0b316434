"""A tape: a piece of network as it runs, layer after layer, with the tensors that are alive meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from nasbench_mo.hardware.shapes import LayerShape

#: The tensor that enters a tape.
INPUT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What a workload needs of a piece of network that reads one tensor and leaves one.

    Parameters
    ----------
    counts
        How often each layer shape occurs.
    peak
        Most elements alive at once, the piece's input and output included.
    """

    counts: Mapping[LayerShape, int]
    peak: int


@final
class Tape:
    """Records layers in the order in which they run. A tensor is the number that :meth:`run` returned.

    Parameters
    ----------
    elements
        Elements of the tensor that enters, :data:`INPUT`.
    """

    def __init__(self, elements: int) -> None:
        self._elements = [elements]
        self._steps: list[tuple[LayerShape | None, tuple[int, ...]]] = []  # step i writes tensor i + 1

    def run(self, shape: LayerShape, *inputs: int) -> int:
        """Run a layer on tensors; what it reads besides its operands (a factor per channel) comes last."""
        operands = inputs[: 2 if shape.operator == "add" else 1]
        assert sum(self._elements[t] for t in operands) == shape.inputs, f"{shape} does not fit its input"
        return self._write(shape, inputs, elements=shape.outputs)

    def zeros(self, elements: int) -> int:
        """A tensor of zeros that no layer computes."""
        return self._write(None, (), elements=elements)

    def piece(self, output: int) -> Piece:
        """The tape as a piece of network that leaves ``output``."""
        counts = Counter(shape for shape, _ in self._steps if shape is not None)
        return Piece(counts=counts, peak=self._peak(output))

    def _write(self, shape: LayerShape | None, inputs: tuple[int, ...], *, elements: int) -> int:
        self._steps.append((shape, inputs))
        self._elements.append(elements)
        return len(self._steps)

    def _peak(self, output: int) -> int:
        end = len(self._steps)
        last_use = list(range(-1, end))  # a tensor that nothing reads lives while it is written
        for step, (_, inputs) in enumerate(self._steps):
            for tensor in inputs:
                last_use[tensor] = step
        last_use[output] = end
        alive = [
            sum(self._elements[tensor] for tensor in range(step + 2) if last_use[tensor] >= step) for step in range(end)
        ]
        return max([self._elements[INPUT], self._elements[output], *alive])
