"""Data in a self-contained HTML page: one JSON block, and a policy under which nothing else in the file can run.

The page loads nothing from the network: style, script and data are in the file, and its content security policy names
the style and the script by their hash. Strings travel in the JSON block only (and, escaped, in the title); the script
of the page puts them there as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["fill_template", "json_for_html"]

_MARKER = re.compile(r"\{\{(title|data|script-hash|style-hash)\}\}")


def fill_template(template: str, *, title: str, payload: Mapping[str, Any]) -> str:
    """Return the page: the template with its title, its data and the hashes of its own style and script.

    Parameters
    ----------
    template
        HTML with one ``<style>``, one ``<script>`` without attributes and the markers ``{{title}}``, ``{{data}}``,
        ``{{script-hash}}`` and ``{{style-hash}}``.
    title
        Any text.
    payload
        What the script reads; finite numbers, text, lists and mappings.

    Returns
    -------
    str
        A complete document.

    Raises
    ------
    ValueError
        A number of the payload is NaN or infinite.
    """
    values = {
        "title": html.escape(title),
        "data": json_for_html(payload),
        "script-hash": _source_hash(template, opening="<script>", closing="</script>"),
        "style-hash": _source_hash(template, opening="<style>", closing="</style>"),
    }
    # One pass over the template: a marker inside the title or the data is never looked at.
    return _MARKER.sub(lambda match: values[match[1]], template)


def json_for_html(payload: Mapping[str, Any]) -> str:
    """JSON in which no character can end or open an HTML element."""
    text = json.dumps(payload, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _source_hash(template: str, *, opening: str, closing: str) -> str:
    """The hash of an inline style or script, as a content security policy spells it."""
    source = template.split(opening, 1)[1].split(closing, 1)[0]
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
