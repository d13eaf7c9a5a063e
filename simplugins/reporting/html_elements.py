# SPDX-License-Identifier: Apache-2.0
"""HTML as text: elements, tables, and Matplotlib figures as inline SVG that takes the colours of the page."""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from simplugins._common.texts import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK = "#010203"
"""The colour of texts and lines in figures, which becomes that of the page's text."""

MOST_COLORS = 8
_CURVES = [f"#0102{number + 16:02x}" for number in range(MOST_COLORS)]
"""Colours of curves, which become those of the page's style, lighter on a dark page."""


def curve_colors(count: int) -> list[str]:
    """Return the colours of curves, evenly chosen among those of the page's style; with more curves, they recur."""
    step = (MOST_COLORS - 1) / max(1, count - 1)
    if count > MOST_COLORS:
        return [_CURVES[number % MOST_COLORS] for number in range(count)]
    return [_CURVES[round(number * step)] for number in range(count)]


def text(value: object) -> str:
    """Return a text for HTML, in which nothing is markup.

    Examples
    --------
    >>> text('1 < 2 & "3"')
    '1 &lt; 2 &amp; &quot;3&quot;'
    """
    return escape(printable(str(value)))


def element(name: str, content: str = "", /, **attributes: str | None) -> str:
    """Return an element with content that is HTML, and attributes that are texts; "_" in names stands for "-".

    Examples
    --------
    >>> element("p", text("1 < 2"), aria_label='"less"')
    '<p aria-label="&quot;less&quot;">1 &lt; 2</p>'
    """
    pairs = "".join(
        f' {key.replace("_", "-")}="{text(value)}"' for key, value in attributes.items() if value is not None
    )
    return f"<{name}{pairs}>{content}</{name}>"


def paragraph(content: str) -> str:
    """Return a paragraph of text."""
    return element("p", text(content))


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    are_html: bool = False,
    style: str | None = None,
) -> str:
    """Return a table, which scrolls sideways if it is wider than the page.

    Parameters
    ----------
    caption : str
    header : sequence of str
    rows : iterable of sequences of str
        The first cell of each is the header of the row.
    are_html : bool, default False
        Whether the cells, except the first ones, are ``<td>`` elements rather than texts.
    style : str, optional
        A class of the page's style sheet.
    """
    head = element("tr", "".join(element("th", text(name), scope="col") for name in header))
    body = []
    for first, *cells in rows:
        row = element("th", text(first), scope="row")
        body.append(element("tr", row + "".join(cell if are_html else element("td", text(cell)) for cell in cells)))
    inner = element(
        "table", element("thead", head) + element("tbody", "".join(body)), aria_label=caption, **_class(style)
    )
    scroll = element("div", inner, role="region", aria_label=caption, tabindex="0", **_class("scroll"))
    return element("figure", element("figcaption", text(caption)) + scroll)


def _class(style: str | None) -> dict[str, str | None]:
    return {"class": style}


def figure_html(figure: Figure, description: str, caption: str) -> str:
    """Return a Matplotlib figure as SVG with a caption; its black lines and texts have the colour of the page's."""
    from matplotlib import rc_context

    file = StringIO()
    salt = f"{crc32(description.encode())}"
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        figure.patch.set_alpha(0)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace(_INK, "currentColor").replace("<svg ", f'<svg role="img" aria-label="{text(description)}" ', 1)
    for number, color in enumerate(_CURVES):
        svg = svg.replace(color, f"var(--curve-{number})")
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    scroll = element("div", svg, **{"class": "scroll drawing"})
    return element("figure", scroll + element("figcaption", text(caption)))


def ink() -> Any:
    """Return Matplotlib settings under which texts and lines get the colour of the page's text."""
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    return {**dict.fromkeys(names, _INK), "font.family": ["sans-serif"], "grid.color": _INK}


def heatmap(values: NDArray[np.float64], limits: tuple[float, float], description: str) -> str:
    """Return a matrix as a picture with a pixel per value; missing values are transparent."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    low, high = limits
    scaled = np.clip((values - low) / (high - low or 1), 0, 1)
    colors = colormaps["viridis"](np.ma.masked_invalid(scaled), bytes=True)
    file = BytesIO()
    imsave(file, colors, format="png")
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img class="heatmap" alt="{text(description)}" src="{source}">'


def color_of(value: float, limits: tuple[float, float]) -> tuple[str, str]:
    """Return the colours of a cell and of the text in it."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, high = limits
    red, green, blue, _ = colormaps["viridis"](min(max((value - low) / (high - low or 1), 0.0), 1.0))
    return to_hex((red, green, blue)), "#fff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45 else "#000"
