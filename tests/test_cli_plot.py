"""The front in the terminal: marks at the right cells, no line too long, no surprise in odd inputs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasbench_mo.cli.plot import draw_front, sparkline
from nasbench_mo.errors import FrontError

ANSI = re.compile(r"\x1b\[[0-9;]*m")
SQUARE = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5]])


def draw(F: npt.ArrayLike, **options: Any) -> list[str]:
    values = np.asarray(F, dtype=float)
    defaults: dict[str, Any] = {
        "on_front": np.ones(len(values), dtype=bool),
        "x_label": "cost (ms)",
        "y_label": "error (%)",
    }
    return draw_front(values, **(defaults | options)).splitlines()


def field(lines: list[str], *, edge: str = "│┤|+", corner: str = "└+") -> list[str]:
    """The cells of the drawing alone: what stands right of the vertical axis."""
    bottom = next(k for k, line in enumerate(lines[1:], start=1) if re.match(rf" *[{corner}][─┬+-]{{3}}", line))
    pattern = re.compile(rf"^[^{re.escape(edge)}]*[{re.escape(edge)}]")
    return [pattern.sub("", line, count=1) for line in lines[1:bottom]]


def test_corners_of_the_unit_square_land_in_the_corners() -> None:
    on_front = np.array([True, True, False, False])
    lines = draw(SQUARE, on_front=on_front, width=40, height=14)
    rows = field(lines)
    width = max(len(row) for row in rows)
    assert rows[0][0] == "●"
    assert rows[-1][-1] == "●"
    assert len(rows[-1]) == width
    assert rows[0][width - 1] == chr(0x2808)  # the dot at the top right of its cell
    assert sum(row.count("●") for row in rows) == 2


def test_middle_lands_in_the_middle() -> None:
    rows = field(draw(SQUARE, on_front=np.array([True, True, False, True]), width=40, height=15))
    width = max(len(row) for row in rows)
    found = [(k, row.index("●", 1)) for k, row in enumerate(rows) if "●" in row[1 : width - 1]]
    assert len(found) == 1
    row, column = found[0]
    assert abs(row - (len(rows) - 1) / 2) <= 0.5
    assert abs(column - (width - 1) / 2) <= 0.5


def test_every_cell_is_reached() -> None:
    cells = len(field(draw(SQUARE, width=40, height=14))[-1])
    across = np.arange(0, 2 * cells, 2) / (2 * cells - 1)  # the left dot of each cell
    F = np.vstack([np.column_stack([across, 1 - across]), [[1.0, 0.0]]])
    marked = {k for row in field(draw(F, width=40, height=14)) for k, c in enumerate(row) if c == "●"}
    assert marked == set(range(cells))


def test_exact_front_alone_together_and_hidden() -> None:
    F = np.array([[0.0, 1.0], [1.0, 1.0]])
    exact = np.array([[0.0, 1.0], [1.0, 0.0]])
    rows = field(draw(F, on_front=np.array([True, False]), true_front=exact, width=40, height=14))
    assert rows[0][0] == "◉"
    assert rows[-1][-1] == "○"
    assert not any("●" in row for row in rows)


def test_chosen_columns_are_drawn() -> None:
    F = np.array([[9.0, 0.0, 1.0], [7.0, 1.0, 0.0]])
    assert draw(F, columns=(1, 2)) == draw(F[:, 1:])
    assert draw(F, columns=(2, 1)) == draw(F[:, [2, 1]])
    assert draw(F, columns=(0, 1)) != draw(F[:, 1:])


def test_far_points_are_counted_not_drawn() -> None:
    F = np.vstack([np.linspace([0.0, 1.0], [1.0, 0.0], 20), [[50.0, 50.0], [60.0, 0.5]]])
    on_front = np.arange(22) < 20
    lines = draw(F, on_front=on_front)
    assert "evaluated: 22 (2 outside the frame)" in " ".join(lines)
    assert not any(0x2800 < ord(c) < 0x2900 for row in field(lines) for c in row)


def test_a_lone_far_corner_does_not_flatten_the_front() -> None:
    near = np.linspace([9.0, 1.0], [20.0, 0.1], 20)
    lines = draw(np.vstack([near, [[90.0, 0.05]]]))
    marked = {k for row in field(lines) for k, c in enumerate(row) if c == "●"}
    assert len(marked) >= 15
    assert "(1 outside the frame)" in " ".join(lines)


finite = st.floats(min_value=-1e12, max_value=1e12, allow_subnormal=True)


@given(
    F=hnp.arrays(np.float64, st.tuples(st.integers(1, 25), st.just(2)), elements=finite),
    exact=hnp.arrays(np.float64, st.tuples(st.integers(0, 8), st.just(2)), elements=finite),
    width=st.integers(24, 130),
    height=st.integers(8, 40),
    unicode=st.booleans(),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_drawing_keeps_its_size_and_colour_changes_nothing_but_colour(
    F: npt.NDArray[np.float64],
    exact: npt.NDArray[np.float64],
    width: int,
    height: int,
    unicode: bool,
    data: st.DataObject,
) -> None:
    on_front = data.draw(hnp.arrays(np.bool_, len(F)))
    options: dict[str, Any] = {
        "on_front": on_front,
        "true_front": exact,
        "width": width,
        "height": height,
        "unicode": unicode,
        "x_label": "x" * 60,
        "y_label": "error\non  CIFAR",
    }
    before = F.copy()
    lines = draw(F, **options)
    assert len(lines) == height
    assert max(len(line) for line in lines) <= width
    assert "\x1b" not in "".join(lines)
    assert unicode or "".join(lines).isascii()
    assert draw(F, **options) == lines
    assert [ANSI.sub("", line) for line in draw(F, **options, colour=True)] == lines
    np.testing.assert_array_equal(F, before)


@given(
    F=hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(-5, 5, width=16)),
)
@settings(deadline=None, max_examples=40)
def test_some_mark_shows_every_run(F: npt.NDArray[np.float64]) -> None:
    rows = field(draw(F, width=60, height=20))
    assert 1 <= sum(row.count("●") for row in rows) <= len(F)


@pytest.mark.parametrize("F", [[[3.0, 2.0]], [[3.0, 2.0]] * 4, [[0.0, 0.0]], [[1.0, 5.0], [2.0, 5.0]]])
def test_one_point_and_equal_values_are_drawn(F: list[list[float]]) -> None:
    rows = field(draw(F, height=14))
    assert sum(row.count("●") for row in rows) == len({tuple(row) for row in F})


@pytest.mark.parametrize("gap", [5e-324, 1e-310, 1e-16, 1e-9])
@pytest.mark.parametrize("base", [0.0, 1.0, 1e12])
def test_values_that_floats_can_hardly_tell_apart_are_drawn(gap: float, base: float) -> None:
    lines = draw([[base, base + gap], [base + gap, base]], width=50, height=14)
    assert len(lines) == 14
    assert max(map(len, lines)) <= 50


def test_labels_and_ticks_are_there() -> None:
    lines = draw([[0.0, 40.0], [100.0, 0.0]], width=60)
    assert lines[0] == "error (%)"
    assert any(line.endswith("cost (ms)") for line in lines)
    below = lines[next(k for k, line in enumerate(lines) if "└" in line) + 1]
    assert {"0", "100"} <= set(below.split())
    assert {"0", "40"} <= {line.split()[0] for line in lines if "┤" in line}


def test_ticks_stand_over_their_labels_and_beside_their_values() -> None:
    lines = draw([[0.0, 10.0], [10.0, 0.0]], width=60, height=20)
    axis = next(line for line in lines if "└" in line)
    below = lines[lines.index(axis) + 1]
    for label in re.finditer(r"\S+", below):
        assert "┬" in axis[label.start() : label.end()]
    assert next(line for line in lines if "●" in line).split()[0] == "10"


def test_colour_paints_marks_and_no_letters() -> None:
    F, exact = np.array([[0.0, 1.0], [0.9, 0.9]]), np.array([[1.0, 0.0]])
    text = "\n".join(
        draw(F, on_front=np.array([True, False]), true_front=exact, colour=True, unicode=False, x_label="o o * o")
    )
    painted = re.findall(r"\x1b\[[0-9;]+m(.)\x1b\[0m", text)
    assert sorted(painted) == sorted("*o." + "*o@.")  # one of each drawn, one of each in the legend
    assert "o o * o" in text


@pytest.mark.parametrize("width", [24, 72])
def test_nothing_evaluated_is_one_sentence(width: int) -> None:
    lines = draw(np.empty((0, 2)), width=width)
    assert " ".join(lines) == "Nothing has been evaluated yet, so there is no front to draw."
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("F", "options", "message"),
    [
        (np.zeros((3, 1)), {}, r"columns \(0, 1\); got shape \(3, 1\)"),
        (np.zeros((3, 2)), {"on_front": np.ones(2, dtype=bool)}, r"shape \(3,\); got \(2,\)"),
        (np.zeros((3, 2)), {"true_front": np.zeros((2, 3))}, r"shape \(k, 2\); got \(2, 3\)"),
        (np.full((3, 2), np.inf), {}, "only finite"),
        (np.zeros((3, 2)), {"width": 23}, "at least 24 columns and 8 lines.*got 23 x 20"),
        (np.zeros((3, 2)), {"height": 7}, "got 72 x 7"),
    ],
)
def test_what_cannot_be_drawn_is_said(F: npt.NDArray[np.float64], options: dict[str, Any], message: str) -> None:
    with pytest.raises(FrontError, match=message):
        draw(F, **options)


def test_sparkline_of_a_ramp_uses_every_level_once() -> None:
    assert sparkline(range(8), width=8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 1, 2, 3], width=4, unicode=False) == "_-*@"
    assert sparkline(np.arange(8.0)[::-1], width=20) == "█▇▆▅▄▃▂▁"


def test_sparkline_shows_the_last_value_of_each_part() -> None:
    assert sparkline([0, 0, 0, 7, 7, 7, 7, 0], width=2) == "█▁"
    assert sparkline([0, 0, 7, 0, 0, 0, 0, 0], width=3) == "█▁▁"
    assert sparkline([0.0] * 99 + [1.0], width=10) == "▁" * 9 + "█"


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=80), width=st.integers(1, 50))
@settings(deadline=None, max_examples=60)
def test_sparkline_fits_and_a_growing_curve_grows(values: list[float], width: int) -> None:
    text = sparkline(sorted(values), width=width)
    assert len(text) == min(len(values), width)
    assert list(text) == sorted(text)


def test_sparkline_of_constants_nothing_and_nan() -> None:
    assert sparkline([2.0, 2.0], width=5) == "▅▅"
    assert sparkline([], width=5) == ""
    with pytest.raises(FrontError, match="finite"):
        sparkline([float("nan")], width=5)
    with pytest.raises(FrontError, match="at least 1; got 0"):
        sparkline([1.0], width=0)
