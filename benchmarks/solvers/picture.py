# SPDX-License-Identifier: Apache-2.0
"""The picture of the whole table: the ratio to the faster peer by family and size, in both orientations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from solvers.competing import OURS
from solvers.families import FAMILIES
from solvers.table import least_ratio, shape_of

COLORS = "PuOr"
"""Diverging from brown (slower) to purple (faster), which colour-blind readers can tell apart."""

EXTREME = 32.0
"""Ratios beyond this have the same colour."""


def draw(summary: Mapping[str, Any]) -> Figure:
    """Draw a cell as two halves, left for the problems as they are and right with rows and columns exchanged."""
    cells = summary["cells"]
    shapes = list(dict.fromkeys(map(shape_of, cells)))
    keys = [key for key in FAMILIES if any(cell["family"] == key for cell in cells)]
    places = {(cell["family"], shape_of(cell)): cell for cell in cells}
    ratios = np.full((len(keys), 2 * len(shapes)), np.nan)
    figure = Figure(figsize=(3.4 + 0.52 * max(8, len(shapes)), 1.9 + 0.235 * len(keys)), layout="constrained")
    axes = figure.subplots()
    for i, key in enumerate(keys):
        for j, shape in enumerate(shapes):
            cell = places.get((key, shape))
            if cell is not None:
                ratios[i, 2 * j : 2 * j + 2] = [np.nan if (r := way["faster"]) is None else r for way in cell["ways"]]
                _label(axes, i, j, cell)
            else:
                axes.add_patch(Rectangle((2 * j - 0.5, i - 0.5), 2, 1, color="#eeeeee", zorder=2))
    norm = TwoSlopeNorm(0, -np.log2(EXTREME), np.log2(EXTREME))
    image = axes.imshow(np.log2(ratios), cmap=COLORS, norm=norm, aspect="auto", interpolation="nearest")
    _lines(axes, keys, len(shapes))
    axes.set_xticks(2 * np.arange(len(shapes)) + 0.5, [shape.name.replace(", ", "\n") for shape in shapes], fontsize=7)
    axes.set_yticks(range(len(keys)), [FAMILIES[key].title for key in keys], fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.6, aspect=50, pad=0.01)
    ticks = [1 / 32, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 32]
    bar.set_ticks(np.log2(ticks).tolist(), labels=["1/32", "1/8", "1/4", "1/2", "1", "2", "4", "8", "32"])
    bar.set_label("time of the faster one of SciPy and lapx, relative to ours (above 1: ours is faster)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    axes.set_title(
        "left half: as is, right half: rows and columns exchanged; the number is the lower one of both\n"
        "grey: not measured; > and <: one side would have taken too long",
        fontsize=7.5,
        color="#555555",
    )
    return figure


def _label(axes: Axes, i: int, j: int, cell: Mapping[str, Any]) -> None:
    ratio = least_ratio(cell)
    if ratio is None:
        text = "<" if OURS in cell["skipped"] else ">"
        axes.add_patch(Rectangle((2 * j - 0.5, i - 0.5), 2, 1, color="#cccccc", zorder=2))
    else:
        text = f"{ratio:.2f}" if ratio < 1 else f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"
    outline = withStroke(linewidth=1.6, foreground="white", alpha=0.85)  # halves may be light and dark
    axes.text(2 * j + 0.5, i, text, ha="center", va="center", fontsize=6.5, zorder=3, path_effects=[outline])


def _lines(axes: Axes, keys: list[str], columns: int) -> None:
    """Separate columns, and groups of families."""
    for j in range(columns + 1):
        axes.axvline(2 * j - 0.5, color="white", linewidth=2)
    groups: NDArray[Any] = np.array([FAMILIES[key].group for key in keys])
    for i in np.flatnonzero(groups[1:] != groups[:-1]):
        axes.axhline(i + 0.5, color="black", linewidth=0.8)
