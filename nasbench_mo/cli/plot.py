"""A Pareto front drawn with characters, for the terminal.

Evaluated points are braille dots, eight to a character; front points are whole characters, so that they stand
out without colour. The text is a pure function of its arguments.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nasbench_mo.errors import FrontError

__all__ = ["draw_front", "sparkline"]

MIN_WIDTH = 24
MIN_HEIGHT = 8

# Bit of each dot in a braille character (Unicode 15, block U+2800), by row from the top and column.
_BRAILLE_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE_BLANK = 0x2800

_LEGEND_GAP = "   "
_FAINT, _FOUND, _EXACT, _RESET = "\x1b[2m", "\x1b[1;33m", "\x1b[36m", "\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Glyphs:
    """The characters of one drawing."""

    seen: str
    found: str
    exact: str
    both: str
    vertical: str
    tick_left: str
    corner: str
    horizontal: str
    tick_below: str
    cut: str
    levels: str


_UNICODE = _Glyphs(
    seen="⠂",
    found="●",
    exact="○",
    both="◉",
    vertical="│",
    tick_left="┤",
    corner="└",
    horizontal="─",
    tick_below="┬",
    cut="…",
    levels="▁▂▃▄▅▆▇█",
)
_ASCII = _Glyphs(
    seen=".",
    found="*",
    exact="o",
    both="@",
    vertical="|",
    tick_left="+",
    corner="+",
    horizontal="-",
    tick_below="+",
    cut="~",
    levels="_.-=+*#@",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """One axis: values from `low` to `high` over `cells` characters."""

    low: float
    high: float
    cells: int

    def cell(self, value: float, *, dots: int = 1) -> int:
        """Index of the dot that holds `value`, `dots` dots to a character, 0 at the low end."""
        return round((value - self.low) / (self.high - self.low) * (self.cells * dots - 1))

    def holds(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which of the values lie on the axis."""
        return (values >= self.low) & (values <= self.high)


def draw_front(
    F: npt.NDArray[np.float64],
    *,
    on_front: npt.NDArray[np.bool_],
    true_front: npt.NDArray[np.float64] | None = None,
    x_label: str,
    y_label: str,
    columns: tuple[int, int] = (0, 1),
    width: int = 72,
    height: int = 20,
    colour: bool = False,
    unicode: bool = True,
) -> str:
    """Draw two objectives of a set of evaluations, its front and the exact front.

    The frame is fitted to the fronts, not to everything: a few very bad architectures would press the front
    into a corner. The last line says how many evaluations lie outside it.

    Parameters
    ----------
    F
        (n, m) objective values, minimised, finite.
    on_front
        (n,) bool, True where the point is on the found front.
    true_front
        (k, m) objective values of the exact front, or None where it is unknown.
    x_label, y_label
        Names of the two objectives with their units.
    columns
        Which two of the m columns to draw, horizontal then vertical.
    width
        Most characters in a line, at least 24.
    height
        Number of lines in all, at least 8.
    colour
        Write ANSI colour codes, which are not counted in `width`.
    unicode
        False draws with ASCII only.

    Returns
    -------
    str
        `height` lines without a final newline; one sentence where `F` has no rows.

    Raises
    ------
    FrontError
        Shapes do not fit together, a value is NaN or infinite, or the drawing is smaller than the least size.

    Notes
    -----
    O(n + k + width * height).

    Examples
    --------
    >>> import numpy as np
    >>> F = np.array([[1.0, 3.0], [3.0, 1.0]])
    >>> text = draw_front(F, on_front=np.array([True, True]), x_label="a", y_label="b", width=24, height=8)
    >>> len(text.splitlines())
    8
    """
    points, exact = _two_columns(F, on_front=on_front, true_front=true_front, columns=columns)
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        raise FrontError(
            f"a front needs at least {MIN_WIDTH} columns and {MIN_HEIGHT} lines to be drawn; got {width} x {height}"
        )
    if not len(points):
        sentence = "Nothing has been evaluated yet, so there is no front to draw."
        return "\n".join(textwrap.wrap(sentence, width))
    glyphs = _UNICODE if unicode else _ASCII
    found = np.asarray(on_front, dtype=bool)
    target = np.vstack([points[found], exact]) if found.any() or len(exact) else points
    (x_low, x_high), (y_low, y_high) = (
        _frame(points[:, axis], target=target[:, axis], exact=exact[:, axis]) for axis in (0, 1)
    )
    inside = _Span(low=x_low, high=x_high, cells=1).holds(points[:, 0])
    inside &= _Span(low=y_low, high=y_high, cells=1).holds(points[:, 1])
    legend = _legend(found, n_exact=len(exact), n_outside=int((~inside).sum()), width=width, glyphs=glyphs)
    legend = legend[: height - 7]  # on a tiny terminal the drawing keeps three rows before the legend its last
    rows = height - 4 - len(legend)
    y_ticks = _ticks(_Span(low=y_low, high=y_high, cells=rows), count=max(1, rows // 4))
    margin = max((len(text) for _, text in y_ticks), default=0) + 2
    x = _Span(low=x_low, high=x_high, cells=width - margin)
    y = _Span(low=y_low, high=y_high, cells=rows)
    canvas = _canvas(x=x, y=y, unicode=unicode, glyphs=glyphs, seen=points[inside & ~found])
    _put_fronts(canvas, x=x, y=y, found=points[found], exact=exact, glyphs=glyphs)

    lines = [_clip(y_label, width=width, glyphs=glyphs)]
    labels = {y.cell(value): text for value, text in y_ticks}
    for row in range(rows):
        text = labels.get(rows - 1 - row)
        edge = glyphs.vertical if text is None else glyphs.tick_left
        marks = "".join(canvas[row]).rstrip()
        lines.append(f"{text or '':>{margin - 2}} {edge}" + (_paint(marks, glyphs=glyphs) if colour else marks))
    lines += _x_axis(x, margin=margin, width=width, glyphs=glyphs)
    lines.append(_clip(x_label, width=width, glyphs=glyphs).rjust(width))
    lines += [_paint_legend(line, glyphs=glyphs) if colour else line for line in legend]
    return "\n".join(lines)


def sparkline(values: Sequence[float] | npt.NDArray[np.float64], *, width: int, unicode: bool = True) -> str:
    """Draw a curve in one line of at most `width` block characters.

    Where there are more values than characters, a character shows the last value of its part: what a search had
    reached by then. The lowest block is the smallest value shown, the highest the largest.

    Parameters
    ----------
    values
        (n,) finite numbers.
    width
        Most characters, at least 1.
    unicode
        False draws with ASCII only.

    Raises
    ------
    FrontError
        The width is below 1, or a value is NaN or infinite.

    Examples
    --------
    >>> sparkline([0, 1, 2, 3], width=4, unicode=False)
    '_-*@'
    """
    curve = np.asarray(values, dtype=np.float64).ravel()
    if width < 1:
        raise FrontError(f"a sparkline needs a width of at least 1; got {width}")
    if not np.isfinite(curve).all():
        raise FrontError("a sparkline needs finite values; got NaN or an infinity")
    if not curve.size:
        return ""
    if curve.size > width:
        ends = np.ceil(np.arange(1, width + 1) * curve.size / width).astype(int) - 1
        curve = curve[ends]
    levels = (_UNICODE if unicode else _ASCII).levels
    low, high = float(curve.min()), float(curve.max())
    if high == low:
        return levels[len(levels) // 2] * curve.size
    share = (curve / 2 - low / 2) / (high / 2 - low / 2)  # halved, so that the range cannot overflow
    return "".join(levels[int(k)] for k in np.rint(share * (len(levels) - 1)))


def _two_columns(
    F: npt.NDArray[np.float64],
    *,
    on_front: npt.NDArray[np.bool_],
    true_front: npt.NDArray[np.float64] | None,
    columns: tuple[int, int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The chosen columns of both sets, (n, 2) and (k, 2), checked."""
    values = np.asarray(F, dtype=np.float64)
    if values.ndim != 2 or not all(0 <= column < values.shape[1] for column in columns):
        raise FrontError(f"expected F of shape (n, m) with columns {columns}; got shape {values.shape}")
    if np.shape(on_front) != (len(values),):
        raise FrontError(f"on_front must have shape ({len(values)},); got {np.shape(on_front)}")
    exact = np.empty((0, values.shape[1])) if true_front is None else np.asarray(true_front, dtype=np.float64)
    if exact.ndim != 2 or exact.shape[1] != values.shape[1]:
        raise FrontError(f"true_front must have shape (k, {values.shape[1]}); got {exact.shape}")
    if not (np.isfinite(values).all() and np.isfinite(exact).all()):
        raise FrontError("only finite objective values can be drawn; got NaN or an infinity")
    return values[:, list(columns)], exact[:, list(columns)]


def _frame(
    seen: npt.NDArray[np.float64], *, target: npt.NDArray[np.float64], exact: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Ends of one axis: the fronts without a lone far end, and some room for what they dominate."""
    ordered = np.sort(target)
    low, high = float(ordered[0]), float(ordered[-1])
    last = len(ordered) - 1
    for k in range(last - 1, max(2, math.floor(last * 0.92) - 1), -1):
        # One lone corner, e.g. a network that learns nothing but is fast, would flatten all the others.
        if ordered[k] > low and high - low > 3 * (ordered[k] - low):
            high = float(ordered[k])
            break
    everything = max(float(seen.max()), float(exact.max(initial=-math.inf)))
    if _apart(low, high):
        return low, min(everything, high + 0.45 * (high - low))
    if _apart(low, everything):
        return low, everything
    pad = abs(low) * 0.1 or 1.0
    return low - pad, low + pad


def _apart(low: float, high: float) -> bool:
    """Return whether an axis from `low` to `high` has room for distinct ticks in float64."""
    return high - low > max(1e-9 * max(abs(low), abs(high)), 1e-290)


def _canvas(*, x: _Span, y: _Span, unicode: bool, glyphs: _Glyphs, seen: npt.NDArray[np.float64]) -> list[list[str]]:
    """Rows from the top, one character a cell, with the evaluated points as dots."""
    bits = np.zeros((y.cells, x.cells), dtype=np.int64)
    for a, b in seen:
        across, up = x.cell(a, dots=2), y.cell(b, dots=4)
        bits[y.cells - 1 - up // 4, across // 2] |= _BRAILLE_BITS[3 - up % 4][across % 2]
    if unicode:
        return [[chr(_BRAILLE_BLANK + cell) if cell else " " for cell in row] for row in bits.tolist()]
    return [[glyphs.seen if cell else " " for cell in row] for row in bits.tolist()]


def _put_fronts(
    canvas: list[list[str]],
    *,
    x: _Span,
    y: _Span,
    found: npt.NDArray[np.float64],
    exact: npt.NDArray[np.float64],
    glyphs: _Glyphs,
) -> None:
    """Mark the cells that hold points of the exact front, the found front or both."""
    cells = []
    for front in (exact, found):
        kept = front[x.holds(front[:, 0]) & y.holds(front[:, 1])]
        # The same rounding as the dots of the canvas, so that a mark covers the dot it stands for.
        cells.append({(y.cells - 1 - y.cell(b, dots=4) // 4, x.cell(a, dots=2) // 2) for a, b in kept})
    of_exact, of_found = cells
    for row, column in of_exact | of_found:
        both = (row, column) in of_exact and (row, column) in of_found
        alone = glyphs.found if (row, column) in of_found else glyphs.exact
        canvas[row][column] = glyphs.both if both else alone


def _ticks(span: _Span, *, count: int) -> list[tuple[float, str]]:
    """Round values on the axis, about `count` of them, with their texts."""
    rough = (span.high - span.low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= rough * 0.999)
    first, last = math.ceil(span.low / step - 1e-9), math.floor(span.high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    largest = max(abs(span.low), abs(span.high))
    significant = max(1, math.floor(math.log10(largest / step) + 1e-9) + 1)
    values = [min(max(k * step, span.low), span.high) for k in range(first, last + 1)]
    if largest >= 1e6 or largest < 1e-3:
        return [(value, f"{value:.{significant}g}") for value in values]
    return [(value, f"{value + 0.0:.{digits}f}") for value in values]


def _x_axis(x: _Span, *, margin: int, width: int, glyphs: _Glyphs) -> list[str]:
    """The line under the drawing and the tick labels below it."""
    line = [glyphs.horizontal] * x.cells
    labels = [" "] * width
    free = 0
    for value, text in _ticks(x, count=max(1, x.cells // 12)):
        cell = x.cell(value)
        start = min(max(margin + cell - len(text) // 2, 0), width - len(text))
        if start < free:
            continue
        line[cell] = glyphs.tick_below
        labels[start : start + len(text)] = text
        free = start + len(text) + 1
    return [" " * (margin - 1) + glyphs.corner + "".join(line), "".join(labels).rstrip()]


def _legend(found: npt.NDArray[np.bool_], *, n_exact: int, n_outside: int, width: int, glyphs: _Glyphs) -> list[str]:
    """What the marks mean, wrapped between its parts."""
    outside = f" ({n_outside} outside the frame)" if n_outside else ""
    parts = [f"{glyphs.found} found front: {int(found.sum())}"]
    if n_exact:
        parts += [f"{glyphs.exact} exact front: {n_exact}", f"{glyphs.both} both in one cell"]
    parts.append(f"{glyphs.seen} evaluated: {len(found)}{outside}")
    lines: list[str] = []
    for part in (piece for text in parts for piece in textwrap.wrap(text, width)):
        if lines and len(lines[-1]) + len(_LEGEND_GAP) + len(part) <= width:
            lines[-1] += _LEGEND_GAP + part
        else:
            lines.append(part)
    return lines


def _clip(label: str, *, width: int, glyphs: _Glyphs) -> str:
    """A label on one line, cut to the width."""
    text = " ".join(label.split())
    return text if len(text) <= width else text[: width - 1] + glyphs.cut


def _paint(line: str, *, glyphs: _Glyphs) -> str:
    """Colour the marks of one row of the drawing."""
    codes = {glyphs.found: _FOUND, glyphs.both: _FOUND, glyphs.exact: _EXACT, glyphs.seen: _FAINT}
    painted = []
    for character in line:
        code = codes.get(character)
        if code is None and _BRAILLE_BLANK < ord(character) <= _BRAILLE_BLANK + 0xFF:
            code = _FAINT
        painted.append(character if code is None else f"{code}{character}{_RESET}")
    return "".join(painted)


def _paint_legend(line: str, *, glyphs: _Glyphs) -> str:
    """Colour the mark at the head of each part; the letters of its text may be marks too."""
    parts = line.split(_LEGEND_GAP)
    return _LEGEND_GAP.join(_paint(part[:1], glyphs=glyphs) + part[1:] for part in parts)
