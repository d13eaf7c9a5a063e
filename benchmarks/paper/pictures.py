# SPDX-License-Identifier: Apache-2.0
"""The figures of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from paper.design import (
    ALIKE,
    CREDITS,
    KERNEL_COLORS,
    KERNELS,
    SEMANTIC,
    SHIFT,
    SHOWN_KERNEL,
    SPATIAL,
    UNMATCHED,
)
from paper.evaluations import rank
from paper.representations import Layer, Representations
from paper.tables import OTHERS, Metric, Row
from simplugins.evaluation.label_sets import agreement
from simplugins.plotting.evaluation_figures import neighbours_figure
from simplugins.plotting.heatmaps import plot_rsm

COLORS = {SEMANTIC: "#0072B2", SPATIAL: "#D55E00"}
BEST_UNMATCHED = "best kind without matching (named in the panel)"
BEST_COLOR = "#009E73"
LINES = ("-", "--")
MARKERS = ("o", "s")
GREY = "#777777"
SMALL = 8
MOST_COLUMNS = 4
"""Entries of a legend in one line."""

QUERIES, NEIGHBOURS = 6, 5

Panel = tuple[Sequence[Row], str, float | None]
"""Rows, the key of a metric in them, and its chance level, if known."""


def draw_by_layer(panels: Mapping[str, Panel], *, smaller_is_better: bool = False) -> Figure:
    """Draw metrics by layer, with a row of panels per metric and a column per kernel.

    For the shown kernel, also of the control without matching that is best on average over layers.
    """
    figure = Figure(figsize=(9, 0.9 + 2.3 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(KERNELS), squeeze=False, sharex=True, sharey="row")
    for line, (name, (rows, metric, chance)) in zip(grid, panels.items(), strict=True):
        for axes, kernel in zip(line, KERNELS, strict=True):
            _draw_kinds(axes, [row for row in rows if row["kernel"] == kernel], metric, smaller_is_better)
            if chance is not None:
                axes.axhline(chance, color=GREY, linestyle=":", linewidth=1)
        line[0].set_ylabel(name)
    for axes, kernel in zip(grid[0], KERNELS, strict=True):
        axes.set_title(f"{kernel} kernel", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("side of the feature maps", fontsize=SMALL)
    has_chance = any(chance is not None for _, _, chance in panels.values())
    colors = {**COLORS, BEST_UNMATCHED: BEST_COLOR}
    _name_lines(figure, colors, _networks(next(iter(panels.values()))[0]), has_chance)
    return figure


def _draw_kinds(axes: Axes, rows: Sequence[Row], metric: str, smaller_is_better: bool) -> None:
    """Draw a line with error bars per network and kind, slightly offset so that they remain distinguishable."""
    colors = dict(COLORS)
    if best := _best_unmatched(rows, metric, smaller_is_better):
        colors[best] = BEST_COLOR
        place: dict[str, Any] = {"y": 0.97, "va": "top"} if smaller_is_better else {"y": 0.03, "va": "bottom"}
        place["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(x=0.97, s=best, color=BEST_COLOR, fontsize=SMALL, ha="right", transform=axes.transAxes, **place)
    networks = _networks(rows)
    for (kind, color), offset in zip(colors.items(), (-0.06, 0.06, 0.0), strict=False):
        for number, network in enumerate(networks):
            estimates = [row[metric]["values"][kind] for row in rows if row["network"] == network]
            _draw_estimates(axes, estimates, number, color, offset)
    _name_layers(axes, rows)
    _tidy(axes)


def _best_unmatched(rows: Sequence[Row], metric: str, smaller_is_better: bool) -> str | None:
    """Return the control without matching that is best on average; None if there are no controls."""
    kinds = [kind for kind in UNMATCHED if kind in rows[0][metric]["values"]]
    sign = -1 if smaller_is_better else 1

    def mean(kind: str) -> float:
        return sign * float(np.mean([row[metric]["values"][kind]["estimate"] for row in rows]))

    return max(kinds, key=mean, default=None)


def _draw_estimates(
    axes: Axes, estimates: Sequence[Mapping[str, float]], network: int, color: str, offset: float
) -> None:
    """Draw the estimates of a network's layers, with their intervals."""
    middle = np.array([each["estimate"] for each in estimates])
    ends = np.array([[each["low"], each["high"]] for each in estimates]).T
    axes.errorbar(
        np.arange(len(estimates)) + offset + 0.03 * network,
        middle,
        np.abs(ends - middle),
        color=color,
        linestyle=LINES[network],
        marker=MARKERS[network],
        markersize=4,
        linewidth=1.2,
        elinewidth=0.8,
    )


def _networks(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["network"] for row in rows))


def _name_layers(axes: Axes, rows: Sequence[Row]) -> None:
    """Label the layers by the sides of their maps, which depend on the network."""
    sides = [list(dict.fromkeys(row["side"] for row in rows if row["network"] == name)) for name in _networks(rows)]
    names = [" | ".join(map(str, each)) for each in zip(*sides, strict=True)]
    axes.set_xticks(range(len(names)), names, fontsize=SMALL)
    axes.set_xlim(-0.3, len(names) - 0.7)


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=SMALL)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name_lines(figure: Figure, colors: Mapping[str, str], networks: Sequence[str], chance: bool = False) -> None:
    """Add one legend above all panels."""
    handles = [Line2D([], [], color=color, label=name, linewidth=2) for name, color in colors.items()]
    for number, name in enumerate(networks):
        style: dict[str, Any] = {"linestyle": LINES[number], "marker": MARKERS[number], "markersize": 4}
        handles.append(Line2D([], [], color=GREY, label=name, **style))
    if chance:
        handles.append(Line2D([], [], color=GREY, linestyle=":", label="chance"))
    columns = len(handles) if len(handles) <= MOST_COLUMNS else (len(handles) + 1) // 2
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=SMALL + 1)


def draw_shifts(rows: Sequence[Row]) -> Figure:
    """Draw similarity, and the share of less similar crops of other photographs, by shift and layer."""
    network = _networks(rows)[0]
    layers = [row for row in rows if row["network"] == network and row["kernel"] == SHOWN_KERNEL]
    figure = Figure(figsize=(10, 5), layout="constrained")
    grid = figure.subplots(2, len(layers), sharex=True, sharey="row", squeeze=False)
    for (above, below), row in zip(grid.T, layers, strict=True):
        for kind in (SEMANTIC, SPATIAL):
            curve = row["curves"][kind]
            style: dict[str, Any] = {"color": COLORS[kind], "marker": "o", "markersize": 4}
            above.errorbar(curve["shifts"], curve["similarity"], curve["error"], capsize=2, **style)
            above.axhline(curve["apart"], color=COLORS[kind], linestyle=":", linewidth=1.2)
            below.plot(curve["shifts"], curve["separation"], **style)
        above.set_title(f"block {row['block']} ({row['side']} × {row['side']})", fontsize=10)
        below.set_xlabel("shift, relative to the side of a crop", fontsize=SMALL + 1)
        below.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        for axes in (above, below):
            _tidy(axes)
    grid[0][0].set_ylabel(f"{SHOWN_KERNEL} similarity")
    grid[1][0].set_ylabel("less similar crops of\nother photographs")
    grid[1][0].yaxis.set_major_formatter(PercentFormatter(1))
    handles = [Line2D([], [], color=color, marker="o", markersize=4, label=kind) for kind, color in COLORS.items()]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="crops of different photographs, and chance"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=SMALL + 1)
    return figure


def draw_rsms(represented: Representations) -> Figure:
    """Draw the RSMs of the first network's layers, of both kinds."""
    layers = layers_of_first_network(represented)
    figure = Figure(figsize=(2.7 * len(layers), 5.2), layout="constrained")
    grid = figure.subplots(2, len(layers), squeeze=False)
    for line, kind in zip(grid, (SEMANTIC, SPATIAL), strict=True):
        for axes, layer in zip(line, layers, strict=True):
            rsm = represented.rsms[layer][kind, SHOWN_KERNEL]
            title = f"block {layer.block} ({layer.side} × {layer.side}), {len(rsm)} inputs"
            plot_rsm(rsm, axes, title="").set_title(title, fontsize=9)
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        line[0].set_ylabel(kind, color=COLORS[kind], fontsize=11)
    for axes in figure.axes:
        if axes.get_ylabel() == "similarity":
            axes.set_ylabel("")
            axes.tick_params(labelsize=SMALL - 1)
    return figure


def layers_of_first_network(represented: Representations) -> list[Layer]:
    """Return the layers of the first network."""
    first = next(iter(represented.rsms)).network
    return [layer for layer in represented.rsms if layer.network == first]


def draw_neighbours(represented: Representations, layer: Layer, kind: str) -> Figure:
    """Draw scenes and their nearest neighbours; neighbours with similar objects have a green frame."""
    data = represented.inputs(layer)
    result = rank(represented.rsms[layer][kind, SHOWN_KERNEL], data, min(NEIGHBOURS, len(data) - 1))
    alike = agreement(data.labels, data.labels, len(data), len(data)).f1 >= ALIKE
    relevant = np.take_along_axis(alike, result.neighbours, axis=1)
    queries = np.arange(QUERIES) * (len(data) // QUERIES)
    figure = neighbours_figure(
        data.thumbnails(),
        result.neighbours,
        queries=queries,
        relevant=relevant,
        title=f"{kind}-{SHOWN_KERNEL}, {layer}",
    )
    figure.supxlabel(CREDITS, fontsize=5, color=GREY)
    return figure


def draw_agreement(panels: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw debiased and calibrated CKA between both kinds of RSM by layer, with a column of panels per data set."""
    values = {"debiased": "debiased CKA of\nboth kinds of RSM", "calibrated": "calibrated score\n(0: chance)"}
    figure = Figure(figsize=(9, 0.9 + 2.3 * len(values)), layout="constrained")
    grid = figure.subplots(len(values), len(panels), sharex=True, sharey=True, squeeze=False)
    for line, (key, label) in zip(grid, values.items(), strict=True):
        for axes, rows in zip(line, panels.values(), strict=True):
            _draw_kernels(axes, rows, key)
        line[0].set_ylabel(label)
    for above, below, name in zip(grid[0], grid[-1], panels, strict=True):
        above.set_title(name, fontsize=10)
        below.set_xlabel("side of the feature maps", fontsize=SMALL)
    colors = {f"{kernel} kernel": color for kernel, color in KERNEL_COLORS.items()}
    _name_lines(figure, colors, _networks(next(iter(panels.values()))))
    return figure


def _draw_kernels(axes: Axes, rows: Sequence[Row], method: str) -> None:
    """Draw a line per network and kernel."""
    for number, network in enumerate(_networks(rows)):
        style: dict[str, Any] = {"linestyle": LINES[number], "marker": MARKERS[number], "markersize": 4}
        for kernel, color in KERNEL_COLORS.items():
            values = [row[method] for row in rows if (row["network"], row["kernel"]) == (network, kernel)]
            axes.plot(range(len(values)), values, color=color, linewidth=1.2, **style)
    _name_layers(axes, rows)
    _tidy(axes)


def draw_search(result: Mapping[str, Any]) -> Figure:
    """Draw the cost of a search relative to all pairs."""
    seconds = result["seconds"]
    shares = {
        "time": seconds["search"] / seconds["all pairs"],
        "matchings solved": result["solved"] / result["pairs"],
        "affinities computed": result["formed"] / result["pairs"],
    }
    figure = Figure(figsize=(7, 1.9), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(shares), list(shares.values()), color=COLORS[SEMANTIC], height=0.6)
    axes.bar_label(bars, [f"{share:.1%}" for share in shares.values()], padding=3, fontsize=SMALL + 1)
    axes.axvline(1, color=GREY, linestyle=":", linewidth=1.2)
    axes.set_xlim(0, 1.15 * max(1.0, *shares.values()))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("relative to all pairs", fontsize=SMALL + 1)
    _tidy(axes)
    axes.grid(visible=False, axis="y")
    return figure


def draw_controls(panels: Mapping[str, Panel]) -> Figure:
    """Draw semantic minus each other kind, with a row of panels per metric; each mark is a layer."""
    figure = Figure(figsize=(11, 0.8 + 1.9 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, (rows, key, _)) in zip(grid, panels.items(), strict=True):
        metric = Metric(name, rows, key).of(SHOWN_KERNEL)
        networks = _networks(metric.rows)
        for place, kind in enumerate(OTHERS):
            for number, network in enumerate(networks):
                of_network = metric._replace(rows=[row for row in metric.rows if row["network"] == network])
                middle, low, high = (
                    np.array(of_network.differences(kind, bound)) for bound in ("estimate", "low", "high")
                )
                places = place - 0.33 + 0.36 * number + np.linspace(0, 0.27, len(middle))
                style: dict[str, Any] = {"linestyle": "", "marker": MARKERS[number], "markersize": 4}
                color = (COLORS[SEMANTIC], COLORS[SPATIAL])[number]
                axes.errorbar(places, middle, np.abs([middle - low, high - middle]), color=color, **style)
        axes.axhline(0, color=GREY, linewidth=1)
        axes.set_ylabel(name, fontsize=SMALL + 1)
        _tidy(axes)
    grid[-1].set_xticks(
        range(len(OTHERS)), [kind.replace(", ", ",\n").replace(" by", "\nby") for kind in OTHERS], fontsize=SMALL
    )
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", markersize=4, label=network)
        for color, marker, network in zip(COLORS.values(), MARKERS, networks, strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=SMALL + 1)
    grid[-1].set_xlabel("semantic minus", fontsize=SMALL + 1)
    return figure


NETWORK_COLORS = {**COLORS, SHIFT: "#009E73", "structure": "#000000"}


def draw_networks(panels: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw the similarities of two networks by layer, with a column of panels per data set."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, pairs) in zip(grid, panels.items(), strict=True):
        for place, (kind, color) in enumerate(NETWORK_COLORS.items()):
            results = [pair["results"][kind] for pair in pairs]
            middle, low, high = (np.array([each[key] for each in results]) for key in ("value", "low", "high"))
            style: dict[str, Any] = {"marker": "osD^"[place], "markersize": 4, "linewidth": 1.2, "elinewidth": 0.8}
            bars = np.abs([middle - low, high - middle])
            axes.errorbar(np.arange(len(pairs)) + 0.05 * (place - 1.5), middle, bars, color=color, label=kind, **style)
        sides = [" | ".join(str(layer["side"]) for layer in pair["layers"]) for pair in pairs]
        axes.set_xticks(range(len(sides)), sides, fontsize=SMALL)
        axes.set_xlim(-0.3, len(sides) - 0.7)
        axes.set_xlabel("side of the feature maps", fontsize=SMALL)
        axes.set_title(name, fontsize=10)
        _tidy(axes)
    grid[0].set_ylabel("debiased CKA\nof the two networks", fontsize=SMALL + 1)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False, fontsize=SMALL + 1)
    return figure
