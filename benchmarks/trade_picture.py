# SPDX-License-Identifier: Apache-2.0
"""The figure of the trade-off of approximate matchings: similarity reached and time, by number of positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from test_trade import AUCTIONS, BATCHES, GREEDY, IDENTITY, OPTIMAL, PEERS, TOP_GREEDY

WIDTH, HEIGHT = 8, 4.6
"""In inches."""

SMALL, SMALLER = 8, 7.5
"""Font sizes in points."""

LOW, HIGH = (0, 0.62), (0.735, 1.015)
"""The two visible ranges of the similarity axis."""

LEADER: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)}
"""Style of the thin line from the end of a line to its label."""


class Style(NamedTuple):
    """Style of a matching's line."""

    color: str
    marker: str = "o"
    line: str = "-"


BLUES = "#9ECAE1", "#6BAED6", "#4292C6", "#2171B5", "#08306B"
STYLES = {
    OPTIMAL: Style("#000000"),
    **{name: Style("#009E73", "s", line) for name, line in zip(AUCTIONS, ("-", "--"), strict=True)},
    **{name: Style(blue, "^") for name, blue in zip(BATCHES, BLUES, strict=True)},
    TOP_GREEDY: Style("#CC79A7", "D"),
    GREEDY: Style("#D55E00", "v"),
    IDENTITY: Style("#7F7F7F", "x"),
    **{name: Style("#000000", "+", line) for name, line in zip(PEERS, (":", "-."), strict=True)},
}
"""Colours of Okabe and Ito, which colour-blind readers can distinguish; wider windows are darker."""


def draw_trade(summary: Mapping[str, Any]) -> Figure:
    """Draw a summary of `trade`: similarity reached on the left, time per pair on the right."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    grid = figure.add_gridspec(2, 2, height_ratios=[4, 1], left=0.06, right=0.81, bottom=0.13, top=0.84, wspace=0.86)
    high, low = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    times = figure.add_subplot(grid[:, 1])
    sizes = summary["sizes"]
    for axes in (high, low, times):
        _prepare(axes, sizes)
    _draw_reached(high, low, sizes)
    _draw_times(times, sizes)
    caption = (
        f"EfficientNet-Lite0's responses to photographs; {summary['cpu']}, {summary['threads']} threads. "
        "Note that the layer changes with the number of positions.\n"
        "batch-optimal, 128: windows of 128 positions. Sets of at most that size are matched optimally and not shown."
    )
    figure.suptitle(caption, x=0.06, ha="left", fontsize=SMALL, color="#555555")
    return figure


def _prepare(axes: Axes, sizes: Sequence[Mapping[str, Any]]) -> None:
    """Set up a logarithmic axis of positions, labelled with their layers."""
    ticks = {size["positions"]: f"{size['positions']}\n{size['layer'].replace('block', 'block ')}" for size in sizes}
    axes.set_xscale("log")
    axes.set_xlim(min(ticks) / 1.3, max(ticks) * 1.3)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.tick_params(labelsize=SMALL)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_reached(high: Axes, low: Axes, sizes: Sequence[Mapping[str, Any]]) -> None:
    """Draw similarity on a broken axis, because the identity reaches far less than the matchings."""
    high.set_ylim(HIGH)
    low.set_ylim(LOW)
    names = [name for name in STYLES if name not in PEERS]
    _draw_lines(high, sizes, "reached", [name for name in names if name != IDENTITY])
    _draw_lines(low, sizes, "reached", [IDENTITY])
    high.set_title("similarity reached, as a share of the optimum", fontsize=SMALL, fontweight="bold", loc="left")
    high.spines["bottom"].set_visible(False)
    high.tick_params(axis="x", length=0, labelbottom=False)
    low.set_xlabel("positions, and their layer", fontsize=SMALL)
    low.set_yticks([0, 0.25, 0.5])
    for axes, end in ((high, 0), (low, 1)):
        axes.yaxis.set_major_formatter(lambda share, place: f"{share:.0%}")
        slanted: Any = {"marker": [(-1, -0.6), (1, 0.6)], "markersize": 8, "color": "black", "clip_on": False}
        axes.plot(0, end, transform=axes.transAxes, linestyle="none", **slanted)


def _draw_times(axes: Axes, sizes: Sequence[Mapping[str, Any]]) -> None:
    """Draw times on logarithmic axes."""
    axes.set_yscale("log")
    _draw_lines(axes, sizes, "ms_per_pair", list(STYLES))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda ms, place: f"{ms:g} ms" if ms < 1000 else f"{ms / 1000:g} s")
    axes.set_title("time per pair of inputs", fontsize=SMALL, fontweight="bold", loc="left")
    axes.set_xlabel("positions, and their layer", fontsize=SMALL)


def _draw_lines(axes: Axes, sizes: Sequence[Mapping[str, Any]], key: str, names: Sequence[str]) -> None:
    """Draw a line per matching, labelled at its end."""
    ends = {}
    for name in names:
        color, marker, line = STYLES[name]
        points = [(size["positions"], size["matchings"][name][key]) for size in sizes if name in size["matchings"]]
        axes.plot(*zip(*points, strict=True), color=color, marker=marker, linestyle=line, markersize=4, linewidth=1.3)
        ends[name] = points[-1]
    _name_ends(axes, ends)


def _name_ends(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Write labels next to the right ends of lines without overlap, connected to them by thin lines."""
    axes.set_ylim(axes.get_ylim())  # fixed, because label heights depend on them
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = {name: float(to_axes.transform(end)[1]) for name, end in ends.items()}
    names = sorted(heights, key=heights.__getitem__)
    distance = 1.3 * SMALLER / (72 * HEIGHT * axes.get_position().height)
    for name, height in zip(names, spread([heights[name] for name in names], distance), strict=True):
        axes.annotate(
            name,
            ends[name],
            (1.1, height),
            textcoords="axes fraction",
            va="center",
            fontsize=SMALLER,
            arrowprops={**LEADER, "color": STYLES[name].color},
            annotation_clip=False,
        )


def spread(heights: Sequence[float], distance: float) -> list[float]:
    """Move ascending heights as little as possible so that they are at least `distance` apart.

    Examples
    --------
    >>> spread([0, 4, 4, 9], distance=1)
    [0.0, 3.5, 4.5, 9.0]
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _lowest(groups[-1], distance) < _lowest(groups[-2], distance) + distance * len(
            groups[-2]
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_lowest(group, distance) + distance * place for group in groups for place in range(len(group))]


def _lowest(group: Sequence[float], distance: float) -> float:
    """Return the lowest height of a group of labels that is centred on its mean height."""
    return float(np.mean(group)) - distance * (len(group) - 1) / 2
