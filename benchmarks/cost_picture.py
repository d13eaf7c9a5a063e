# SPDX-License-Identifier: Apache-2.0
"""The figure of the cost of an RSM by inputs, positions and channels, as measured and as estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from simplugins._common.formatting import human_time

WIDTH, HEIGHT = 8, 3.6
"""In inches."""

SMALL = 8
"""Font size in points."""

OWN, ESTIMATE, SCIPY = "#000000", "#0072B2", "#D55E00"
"""Colours of Okabe and Ito, which colour-blind readers can distinguish."""

Points = Sequence[Mapping[str, Any]]


class Panel(NamedTuple):
    """A panel: a curve, the keys of measured and estimated values in its points, and their unit in seconds."""

    curve: str
    measured: str
    estimated: str
    unit: float
    title: str
    label: str


PANELS = (
    Panel("inputs", "seconds", "estimated_seconds", 1, "the whole run", "inputs N  (S = 49, C = 320)"),
    Panel("positions", "ms_per_pair", "estimated_ms_per_pair", 1e-3, "per pair of inputs", "positions S"),
    Panel("channels", "ms_per_pair", "estimated_ms_per_pair", 1e-3, "per pair of inputs", "channels C  (S = 196)"),
)


def draw_cost(summary: Mapping[str, Any]) -> Figure:
    """Draw a summary of `cost`: a panel per curve, with points for measurements and a line for estimates."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    grid = figure.subplots(1, len(PANELS), gridspec_kw={"left": 0.07, "right": 0.985, "bottom": 0.2, "top": 0.8})
    figure.subplots_adjust(wspace=0.34)
    for panel, axes in zip(PANELS, grid, strict=True):
        _draw(axes, panel, summary["curves"][panel.curve])
    caption = (
        f"Exact semantic RSMs of EfficientNet-Lite0's responses to photographs; {summary['cpu']}, "
        f"{summary['threads']} threads.\n"
        "Different S are different layers with different C; the points between them are parts of maps."
    )
    figure.text(0.07, 0.985, caption, ha="left", va="top", fontsize=SMALL, color="#555555")
    return figure


def _draw(axes: Axes, panel: Panel, points: Points) -> None:
    """Draw a curve on logarithmic axes."""
    x = [point[panel.curve] for point in points]
    axes.set_xscale("log")
    axes.set_yscale("log")
    if "scipy_ms_per_pair" in points[0]:
        scipy = [panel.unit * point["scipy_ms_per_pair"] for point in points]
        axes.plot(x, scipy, "+:", color=SCIPY, linewidth=1.2, markersize=5, label="SciPy, threads")
    axes.plot(x, [panel.unit * point[panel.estimated] for point in points], color=ESTIMATE, label="estimate")
    measured = [panel.unit * point[panel.measured] for point in points]
    axes.plot(x, measured, "o", color=OWN, markersize=4, label="measured")
    axes.set_title(panel.title, fontsize=SMALL, fontweight="bold", loc="left")
    axes.set_xlabel(panel.label, fontsize=SMALL)
    _prepare(axes, measured)
    _name_points(axes, panel.curve, points)
    axes.legend(fontsize=SMALL - 0.5, frameon=False, loc="upper left", handlelength=1.5, borderaxespad=0.2)


def _prepare(axes: Axes, measured: Sequence[float]) -> None:
    """Format the vertical axis as times, with ticks at powers of ten, and at 2 and 5 times these if there are few."""
    low, high = axes.get_ylim()
    low, high = low / 1.2, max(high * 1.8, 10 * min(measured))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high / low > 100 else (1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda seconds, place: human_time(seconds))
    axes.tick_params(labelsize=SMALL)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name_points(axes: Axes, curve: str, points: Points) -> None:
    """Label every second point on the horizontal axis, with the channels if they change along the curve."""
    channels = "\nC = {channels}" if curve == "positions" else ""
    named = points[::-2]
    labels = [f"{point[curve]:,}{channels.format_map(point)}" for point in named]
    axes.set_xticks([point[curve] for point in named], labels)
    axes.xaxis.set_minor_locator(FixedLocator([point[curve] for point in points]))
    axes.xaxis.set_minor_formatter(NullFormatter())
