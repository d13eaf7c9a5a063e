# SPDX-License-Identifier: Apache-2.0
"""The page as one HTML text: its parts from `assets`, and the data."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from simplugins.plotting.explorer.packed_sections import Sections

_SCRIPTS = ("data.js", "colours.js", "map.js", "pair.js", "panels.js", "main.js")
_IN_SCRIPTS = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
_MAPS = ("viridis", "cividis", "PuOr_r")


def page(title: str, data: Mapping[str, Any], sections: Sections) -> str:
    """Return the page.

    Parameters
    ----------
    title : str
    data : mapping
        Everything but the sections, as JSON values without NaN.
    sections : Sections
    """
    parts = {
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode("ascii"),
        "style": asset("page.css"),
        "data": script_json({**data, "title": title, "colours": _colours()}),
        "sections": "".join(
            f'<script type="text/plain" id="section{number}">{text}</script>\n'
            for number, text in enumerate(sections.texts)
        ),
        "script": "".join(asset(name) for name in _SCRIPTS),
    }
    text, template = [], asset("page.html")
    while template:
        before, mark, rest = template.partition("{{")
        text.append(before)
        if mark:
            name, _, template = rest.partition("}}")
            text.append(parts[name])
        else:
            template = ""
    return "".join(text)


def asset(name: str) -> str:
    """Return a file of the page."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def script_json(values: Any) -> str:
    r"""Return values as JSON that may stand in a script of an HTML page.

    Examples
    --------
    >>> script_json(["</script>"])
    '["\\u003c/script\\u003e"]'
    """
    return json.dumps(values, allow_nan=False, separators=(",", ":")).translate(_IN_SCRIPTS)


def _colours() -> dict[str, str]:
    """Return colour maps as 256 hexadecimal colours each."""
    from matplotlib import colormaps

    return {
        name: "".join("".join(f"{part:02x}" for part in colormaps[name](level, bytes=True)[:3]) for level in range(256))
        for name in _MAPS
    }
