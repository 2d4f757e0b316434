"""One Pareto front as one self-contained, interactive HTML file.

The page loads nothing from the network: style, script and data are in the file, and its content security
policy names the style and the script by their hash, so that nothing else in the file can run. Data travel as
one JSON block; the script puts them on the page as text, never as markup.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from nasbench_mo.errors import FormatError, FrontError, ObjectiveError, did_you_mean
from nasbench_mo.leaderboard.embedding import fill_template
from nasbench_mo.objective import Kind

__all__ = ["KINDS", "Axis", "FrontPage", "render_page", "write_page"]

KINDS: tuple[str, ...] = get_args(Kind)
"""Where the values of an objective come from; the page explains each in words."""

_MAX_AXES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One objective as a reader of the page sees it. Smaller is better.

    Parameters
    ----------
    label
        Name in words with what identifies it, e.g. ``"error on CIFAR-10, validation, 200 epochs"``.
    column
        Column name in the downloaded CSV, e.g. ``"error_percent"``.
    unit
        Unit of the values, e.g. ``"percent"``.
    kind
        One of :data:`KINDS`.

    Raises
    ------
    ObjectiveError
        The kind is not one of the four.
    """

    label: str
    column: str
    unit: str
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ObjectiveError(
                f"the kind of objective {self.column!r} must be one of {', '.join(KINDS)}; got {self.kind!r}."
                + did_you_mean(self.kind, KINDS)
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrontPage:
    """Everything the page shows. It is not a run: nothing is computed from it but the drawing.

    Parameters
    ----------
    title, subtitle
        Heading of the page and the sentence under it.
    axes
        The m objectives in the order of the columns of `F`, 2 to 5 of them, all minimised.
    architectures
        n evaluated architectures in order of evaluation, in their published string form.
    F
        (n, m) objective values as observed, in the units of `axes`.
    on_front
        (n,) bool, True where the architecture is on the found front.
    true_front
        (k, m) objective values of the exact front, or None where the space cannot be enumerated.
    hypervolume_share
        (n,) hypervolume over the best possible one after each evaluation, 1 is perfect; None when unknown.
    facts
        Rows of provenance, ``(name, value)``.

    Raises
    ------
    FrontError
        A shape does not fit the others, or a value is NaN or infinite.
    """

    title: str
    subtitle: str
    axes: tuple[Axis, ...]
    architectures: tuple[str, ...]
    F: npt.NDArray[np.float64]
    on_front: npt.NDArray[np.bool_]
    true_front: npt.NDArray[np.float64] | None
    hypervolume_share: npt.NDArray[np.float64] | None
    facts: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        n, m = len(self.architectures), len(self.axes)
        if not 2 <= m <= _MAX_AXES:
            raise FrontError(f"a page of a front needs 2 to {_MAX_AXES} objectives; got {m}")
        _check_array(self.F, name="F", shape=(n, m))
        _check_array(self.on_front, name="on_front", shape=(n,))
        if np.asarray(self.on_front).dtype != np.bool_:
            raise FrontError(f"on_front must be boolean; got dtype {np.asarray(self.on_front).dtype}")
        if self.true_front is not None:
            _check_array(self.true_front, name="true_front", shape=(len(self.true_front), m))
        if self.hypervolume_share is not None:
            _check_array(self.hypervolume_share, name="hypervolume_share", shape=(n,))


def render_page(page: FrontPage) -> str:
    """Return the page as HTML text.

    Parameters
    ----------
    page
        What to show.

    Returns
    -------
    str
        A complete document. Numbers are written in full: reading the JSON back gives the same float64 values.

    Notes
    -----
    O(n m) text; the script of the page is O(n f m) for a front of f architectures.
    """
    template = resources.files("nasbench_mo.cli").joinpath("front.html").read_text(encoding="utf-8")
    return fill_template(template, title=page.title, payload=_payload(page))


def write_page(page: FrontPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    The text goes to a temporary file in the same folder, which then takes the place of `path`; missing folders
    are made.

    Parameters
    ----------
    page
        What to show.
    path
        File to write, usually ending in ``.html``.

    Raises
    ------
    FormatError
        `path` is a folder.
    OSError
        The folder cannot be written.
    """
    if path.is_dir():
        raise FormatError(f"expected the name of an HTML file to write; got the folder {path}")
    text = render_page(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _check_array(array: npt.NDArray[Any], *, name: str, shape: tuple[int, ...]) -> None:
    values = np.asarray(array)
    if values.shape != shape:
        raise FrontError(f"{name} must have shape {shape}; got {values.shape}")
    if not np.isfinite(values).all():
        raise FrontError(f"{name} must be finite; {int((~np.isfinite(values)).sum())} values are NaN or infinite")


def _payload(page: FrontPage) -> dict[str, Any]:
    """The JSON that the script of the page reads."""
    share = page.hypervolume_share
    return {
        "title": page.title,
        "subtitle": page.subtitle,
        "axes": [{"label": a.label, "column": a.column, "unit": a.unit, "kind": a.kind} for a in page.axes],
        "architectures": list(page.architectures),
        "F": np.asarray(page.F, dtype=np.float64).tolist(),
        "on_front": np.flatnonzero(page.on_front).tolist(),
        "true_front": None if page.true_front is None else np.asarray(page.true_front, dtype=float).tolist(),
        "hypervolume_share": None if share is None else np.asarray(share, dtype=float).tolist(),
        "facts": [list(row) for row in page.facts],
    }
