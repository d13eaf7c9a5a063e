# SPDX-License-Identifier: Apache-2.0
"""Heat maps of a semantic RSM and its controls, side by side. Matplotlib is imported when they are drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from simplugins.plotting.heatmaps import plot_rsm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simplugins.comparisons.controls import Controls

_COLUMNS, _SIDE = 4, 3.2


def plot_controls(controls: Controls) -> Figure:
    """Draw the RSMs of controls as small heat maps, each with its own colour scale.

    Titles name the measure, and its similarity to the semantic RSM.

    Parameters
    ----------
    controls : Controls

    Returns
    -------
    matplotlib Figure
        A new figure of pyplot.
    """
    import matplotlib.pyplot as plt

    return _drawn(controls, plt.figure(**_layout(controls)))


def controls_figure(controls: Controls) -> Figure:
    """Draw controls in a figure that pyplot does not manage."""
    from matplotlib.figure import Figure

    return _drawn(controls, Figure(**_layout(controls)))


def _layout(controls: Controls) -> dict[str, Any]:
    columns = min(_COLUMNS, len(controls))
    return {"figsize": (1.15 * _SIDE * columns, _SIDE * math.ceil(len(controls) / columns)), "layout": "constrained"}


def _drawn(controls: Controls, figure: Figure) -> Figure:
    columns = min(_COLUMNS, len(controls))
    for number, (name, rsm) in enumerate(controls.items(), 1):
        axes = figure.add_subplot(math.ceil(len(controls) / columns), columns, number)
        plot_rsm(rsm, axes)
        axes.set_title(f"{name}\n{controls.method} {controls.similarities[name]:.2f}", fontsize="small")
        axes.tick_params(labelsize="x-small")
    return figure
