# SPDX-License-Identifier: Apache-2.0
"""The picture: how well each measure separates each relation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from measures.design import BIASED, LAYER, pairings
from measures.tables import TITLES, between_networks, key

_LIGHT = 0.3
"""Cells whose distance from chance exceeds this are dark, and have white numbers."""


def draw_separations(summary: Mapping[str, Any]) -> Figure:
    """Draw a heat map of separations, with measures and comparisons in rows."""
    rows = [row for row in pairings() if row[1] != BIASED]
    columns = between_networks()
    table = np.array([[summary["estimates"][column][key(row)]["estimate"] for column, _ in columns] for row in rows])
    figure = Figure(figsize=(11, 1.6 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(table, cmap="PuOr", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        color = "white" if abs(value - 0.5) > _LIGHT else "black"
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_yticks(range(len(rows)), [key(row) for row in rows], fontsize=8)
    axes.set_xticks(range(len(columns)), [_label(*column) for column in columns], fontsize=8)
    axes.xaxis.tick_top()
    for i in range(1, len(rows)):
        if rows[i][0] != rows[i - 1][0]:
            axes.axhline(i - 0.5, color="black", linewidth=0.8)
    label = "probability that a similar pair has the larger value (0.5: chance); layers: accuracy (chance 0.25)"
    figure.colorbar(image, ax=axes, location="bottom", shrink=0.6, aspect=50, label=label)
    return figure


def _label(column: str, title: str) -> str:
    if column == LAYER:
        return "layers:\ncorre-\nsponding"
    relation = TITLES[column.partition(":")[0]].partition(":")[0].lower()
    return "\n".join(f"{relation}: {title}".split())
