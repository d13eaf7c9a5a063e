# SPDX-License-Identifier: Apache-2.0
"""The picture of how cost grows: with inputs, positions and channels, as measured and as estimated."""

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
"""Size of letters, in points."""

OWN, ESTIMATE, SCIPY = "#000000", "#0072B2", "#D55E00"
"""Colours that colour-blind people can tell apart (Okabe and Ito's)."""

Points = Sequence[Mapping[str, Any]]


class Panel(NamedTuple):
    """What a panel shows: a curve, what of its points, and in how many seconds that is given."""

    curve: str
    measured: str
    estimated: str
    unit: float
    title: str
    label: str


PANELS = (
    Panel("inputs", "seconds", "estimated_seconds", 1, "the whole run", "inputs N  (S = 49, C = 320)"),
    Panel("positions", "ms_per_pair", "estimated_ms_per_pair", 1e-3, "a pair of inputs", "positions S"),
    Panel("channels", "ms_per_pair", "estimated_ms_per_pair", 1e-3, "a pair of inputs", "channels C  (S = 196)"),
)


def draw_cost(summary: Mapping[str, Any]) -> Figure:
    """Draw a summary of `cost`: a panel for each curve, what was measured as points, what was estimated as a line."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    grid = figure.subplots(1, len(PANELS), gridspec_kw={"left": 0.07, "right": 0.985, "bottom": 0.2, "top": 0.8})
    figure.subplots_adjust(wspace=0.34)
    for panel, axes in zip(PANELS, grid, strict=True):
        _draw(axes, panel, summary["curves"][panel.curve])
    told = (
        f"Exact semantic RSMs of EfficientNet-Lite0's responses to photographs; {summary['cpu']}, "
        f"{summary['threads']} threads.\n"
        "Along S the layer changes, and with it C; points between these are parts of maps."
    )
    figure.text(0.07, 0.985, told, ha="left", va="top", fontsize=SMALL, color="#555555")
    return figure


def _draw(axes: Axes, panel: Panel, points: Points) -> None:
    """Draw a curve on logarithmic axes."""
    at = [point[panel.curve] for point in points]
    axes.set_xscale("log")
    axes.set_yscale("log")
    if "scipy_ms_per_pair" in points[0]:
        scipy = [panel.unit * point["scipy_ms_per_pair"] for point in points]
        axes.plot(at, scipy, "+:", color=SCIPY, linewidth=1.2, markersize=5, label="SciPy, threads")
    axes.plot(at, [panel.unit * point[panel.estimated] for point in points], color=ESTIMATE, label="estimate")
    measured = [panel.unit * point[panel.measured] for point in points]
    axes.plot(at, measured, "o", color=OWN, markersize=4, label="measured")
    axes.set_title(panel.title, fontsize=SMALL, fontweight="bold", loc="left")
    axes.set_xlabel(panel.label, fontsize=SMALL)
    _prepare(axes, measured)
    _name_points(axes, panel.curve, points)
    axes.legend(fontsize=SMALL - 0.5, frameon=False, loc="upper left", handlelength=1.5, borderaxespad=0.2)


def _prepare(axes: Axes, measured: Sequence[float]) -> None:
    """Write times on the vertical axis: powers of ten, and those times 2 and 5 where there are few."""
    low, high = axes.get_ylim()
    low, high = low / 1.2, max(high * 1.8, 10 * min(measured))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high / low > 100 else (1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda seconds, place: human_time(seconds))
    axes.tick_params(labelsize=SMALL)
    axes.tiling(color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name_points(axes: Axes, curve: str, points: Points) -> None:
    """Name every second point on the horizontal axis, with its channels where these change along positions."""
    channels = "\nC = {channels}" if curve == "positions" else ""
    named = points[::-2]
    labels = [f"{point[curve]:,}{channels.format_map(point)}" for point in named]
    axes.set_xticks([point[curve] for point in named], labels)
    axes.xaxis.set_minor_locator(FixedLocator([point[curve] for point in points]))
    axes.xaxis.set_minor_formatter(NullFormatter())
