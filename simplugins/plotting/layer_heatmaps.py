# SPDX-License-Identifier: Apache-2.0
"""Heat maps of comparisons of layers. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.figure_texts import literal_texts
from simplugins.plotting.heatmaps import MOST_TICKS, set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simplugins.comparisons.layer_calibration import LayerCalibration
    from simplugins.comparisons.layer_comparison import Comparison
    from simplugins.comparisons.layer_intervals import LayerIntervals

_MOST_NUMBERS = 16
"""With more layers, names are small and values are not written into the cells."""

_SMALL = 7
_TINY = 6
_CELL, _WIDE_CELL = 0.45, 0.75
"""Width of a cell in inches, without and with an interval in it."""

_BY_CHANCE = "0.88"
"""Grey of cells that are not significant."""

Limits = tuple[float, float]


def plot_comparison(
    comparison: Comparison,
    axes: Axes | None = None,
    *,
    title: str | None = None,
    cmap: str = "viridis",
    limits: Limits | None = None,
) -> Axes:
    """Draw a comparison of layers as a heat map, with the names of the layers, and the values if they fit.

    The first layers are at the bottom left, so that depth grows along both axes. Undefined values are white. With a
    calibration, the map shows the scores (or the values, if the method has no scores), and cells that are not
    significant are grey. Intervals are written below the values. Without `axes`, the values (if the map shows scores)
    and the yardsticks of the comparison are drawn next to it.

    Parameters
    ----------
    comparison : Comparison
    axes : matplotlib Axes, optional
        By default those of a new pyplot figure.
    title : str, optional
        By default the name of the method and its options.
    cmap : str, default "viridis"
        A Matplotlib colour map.
    limits : (float, float), optional
        Range of the colours, for figures that will be compared; by default that of the values.

    Returns
    -------
    matplotlib Axes
    """
    if axes is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=_size(comparison), layout="constrained")
        return _draw_panels(comparison, figure, title=title, cmap=cmap, limits=limits)
    label, values, calibration = _shown(comparison)
    if limits is None and label == "score":
        limits = 0.0, float(np.nanmax(values, initial=0.01))
    _draw_map(comparison, axes, values, _label(comparison, label), cmap=cmap, limits=limits, calibration=calibration)
    set_title(axes, title, comparison.label)
    return axes


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw a comparison and its yardsticks in a figure that pyplot does not manage, sized for the number of layers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_size(comparison), layout="constrained")
    _draw_panels(comparison, figure, title=None, cmap="viridis", limits=None)
    return figure


def _shown(comparison: Comparison) -> tuple[str, NDArray[np.float64], LayerCalibration | None]:
    calibration = comparison.calibration
    if calibration is None or calibration.scores is None:
        return "value", comparison.values, calibration
    return "score", calibration.scores, calibration


def _label(comparison: Comparison, shown: str) -> str:
    label = comparison.label if shown == "value" else f"{comparison.label}, calibrated"
    if comparison.calibration is None:
        return label
    return f"{label} (grey: p > {comparison.calibration.alpha:g})"


def _draw_panels(
    comparison: Comparison, figure: Figure, *, title: str | None, cmap: str, limits: Limits | None
) -> Axes:
    """Draw the comparison and its yardsticks side by side, in the same colours."""
    tables = _yardsticks(comparison)
    panels = figure.subplots(1, 1 + len(tables), squeeze=False)[0]
    first: Axes = panels[0]
    if tables and comparison.calibration is None:
        limits = limits or _common_limits([comparison.values, *tables.values()])
    plot_comparison(comparison, first, title=title, cmap=cmap, limits=limits)
    common = limits or _common_limits(list(tables.values()))
    for axes, (name, values) in zip(panels[1:], tables.items(), strict=True):
        _draw_map(comparison, axes, values, comparison.label, cmap=cmap, limits=common, calibration=None)
        set_title(axes, None, name)
    return first


def _yardsticks(comparison: Comparison) -> dict[str, NDArray[np.float64]]:
    """Return the tables that are drawn next to the first; the values are among them if that shows scores."""
    if not comparison.yardsticks and comparison.intervals is None:
        return {}
    values = {"not calibrated": comparison.values} if _shown(comparison)[0] == "score" else {}
    return {**values, **comparison.yardsticks}


def _common_limits(tables: list[NDArray[np.float64]]) -> Limits | None:
    values = np.concatenate([table[np.isfinite(table)] for table in tables]) if tables else np.empty(0)
    return (float(values.min()), float(values.max())) if values.size else None


def _draw_map(
    comparison: Comparison,
    axes: Axes,
    values: NDArray[np.float64],
    label: str,
    *,
    cmap: str,
    limits: Limits | None,
    calibration: LayerCalibration | None,
) -> None:
    low, high = (None, None) if limits is None else limits
    image = axes.imshow(values, cmap=cmap, vmin=low, vmax=high, origin="lower", interpolation="nearest")
    by_chance = np.zeros(values.shape, bool) if calibration is None else calibration.p_values > calibration.alpha
    if by_chance.any():
        _cover(axes, by_chance)
    (text,), style = literal_texts([label])
    axes.figure.colorbar(image, ax=axes, shrink=0.85).set_label(text, **style)
    _name_layers(axes, comparison)
    if max(values.shape) <= _MOST_NUMBERS:
        intervals = comparison.intervals if values is comparison.values else None
        _write_numbers(axes, values, image, by_chance, intervals)


def _cover(axes: Axes, cells: NDArray[np.bool_]) -> None:
    """Paint cells grey."""
    from matplotlib.colors import ListedColormap

    cover = np.ma.masked_where(~cells, np.ones(cells.shape))
    axes.imshow(cover, cmap=ListedColormap([_BY_CHANCE]), origin="lower", interpolation="nearest")


def _size(comparison: Comparison) -> tuple[float, float]:
    rows, columns = comparison.values.shape
    cell = _WIDE_CELL if comparison.intervals is not None and columns <= _MOST_NUMBERS else _CELL
    width, height = 2.5 + cell * min(columns, MOST_TICKS), 1.8 + cell * min(rows, MOST_TICKS)
    return width * (1 + len(_yardsticks(comparison))), height


def _name_layers(axes: Axes, comparison: Comparison) -> None:
    for axis, names in ((axes.yaxis, comparison.rows), (axes.xaxis, comparison.columns)):
        every = -(-len(names) // MOST_TICKS)
        texts, style = literal_texts(names[::every])
        axis.set_ticks(range(0, len(names), every), texts, **style)
        axis.set_tick_params(length=0, labelsize=_SMALL if len(names) > _MOST_NUMBERS else None)
    if max(map(len, comparison.columns)) * len(comparison.columns) > 40:
        axes.tick_params(axis="x", rotation=90)


def _write_numbers(
    axes: Axes,
    values: NDArray[np.float64],
    image: Any,
    by_chance: NDArray[np.bool_],
    intervals: LayerIntervals | None,
) -> None:
    """Write each value and its interval into its cell, in white on dark colours, else in black."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 and not by_chance[i, j]
            style: dict[str, Any] = {"ha": "center", "color": "white" if dark else "black"}
            if intervals is None or np.isnan(intervals.low[i, j]):
                axes.text(j, i, f"{value:.2f}", va="center", fontsize=_SMALL, **style)
                continue
            axes.text(j, i, f"{value:.2f}", va="bottom", fontsize=_SMALL, **style)
            ends = f"{intervals.low[i, j]:.2f} to {intervals.high[i, j]:.2f}"
            axes.text(j, i - 0.08, ends, va="top", fontsize=_TINY, **style)
