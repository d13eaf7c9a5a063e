# SPDX-License-Identifier: Apache-2.0
"""The tokens of two texts, with lines between matched ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.figure_texts import literal_texts, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simplugins.compute.matchings import Matching

_LINE = 0.19
"""Inches per token."""

_POINTS = 8
_TALLEST = 40.0
_UNMATCHED = "0.55"
_WIDEST = 2.5
"""Points of the widest line."""


def tokens_size(texts: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return the size of a figure of two texts, in inches."""
    side = max(1.5, *(width_of(tokens, _POINTS) for tokens in texts))
    return 1.2 + 2 * side, min(_LINE * max(map(len, texts)) + 0.9, _TALLEST)


def draw_tokens(matching: Matching, texts: Sequence[Sequence[str]], axes: Axes, *, names: Sequence[str]) -> None:
    """Write the tokens of both texts as two columns, and connect matched ones."""
    from matplotlib import colormaps

    most = max(map(len, texts))
    contributions = matching.contributions
    scale = float(np.abs(contributions).max(initial=0)) or 1.0
    for row in np.argsort(np.abs(contributions), kind="stable"):
        if (column := int(matching.columns[row])) >= 0:
            share = abs(contributions[row]) / scale
            axes.plot(
                [0, 1],
                [row, column],
                color=colormaps["cividis_r"](0.15 + 0.85 * share),
                linewidth=0.4 + (_WIDEST - 0.4) * share,
                linestyle="-" if contributions[row] >= 0 else (0, (2, 1.5)),
                solid_capstyle="butt",
            )
    _write(axes, texts[0], matching.columns >= 0, 0)
    _write(axes, texts[1], matching.rows >= 0, 1)
    titles, style = literal_texts(names)
    for side, title in enumerate(titles):
        alignment = "right" if side == 0 else "left"
        axes.text(side, -1.1, title, ha=alignment, va="bottom", fontsize=9, fontweight="bold", **style)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(most - 0.5, -1.1)
    axes.set_axis_off()


def _write(axes: Axes, tokens: Sequence[str], matched: NDArray[np.bool_], side: int) -> None:
    """Write the tokens of one text; grey and in brackets if they have no partner."""
    texts, style = literal_texts(tokens)
    for place, (text, has_partner) in enumerate(zip(texts, matched, strict=True)):
        axes.annotate(
            text if has_partner else f"({text})",
            (side, place),
            (-3 if side == 0 else 3, 0),
            textcoords="offset points",
            ha="right" if side == 0 else "left",
            va="center",
            fontsize=_POINTS,
            color="black" if has_partner else _UNMATCHED,
            **style,
        )
