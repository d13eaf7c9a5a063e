# SPDX-License-Identifier: Apache-2.0
"""Heat maps of comparisons of layers. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.figure_texts import inches_of, label_color_bar, literal_texts, text_size, width_of, wrapped
from simplugins.plotting.heatmaps import MOST_TICKS, check_ends, set_title

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
_CELL, _WIDE_CELL, _NARROW_CELL = 0.45, 0.75, 0.2
"""Width of a cell in inches, with a value in it, with an interval too, and without either."""

_BY_CHANCE = "0.88"
"""Grey of cells that are not significant."""

Limits = tuple[float, float]
Ends = tuple[float | None, float | None]
Table = NDArray[np.float64]


def plot_comparison(
    comparison: Comparison,
    axes: Axes | None = None,
    *,
    title: str | None = None,
    cmap: str = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
) -> Axes:
    """Draw a comparison of layers as a heat map, with the names of the layers, and the values if they fit.

    Colours go from 0 to the largest possible value (1 for a CKA), so that small differences look small; below 0 only if
    values do. The label of the colour bar says so where they do not go from 0 to 1.

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
    vmin, vmax : float, optional
        Values of the first and the last colour, such as the smallest and the largest value to spread the colours over
        small differences.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If `vmin` is larger than `vmax`.
    """
    check_ends(vmin, vmax)
    if axes is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=_size(comparison), layout="constrained")
        return _draw_panels(comparison, figure, title=title, cmap=cmap, ends=(vmin, vmax))
    label, values, calibration = _shown(comparison)
    limits = _limits(comparison, [values], scores=label == "score", ends=(vmin, vmax))
    _draw_map(comparison, axes, values, _label(comparison, label), cmap=cmap, limits=limits, calibration=calibration)
    if title is None:
        _write_title(comparison, axes)
    else:
        axes.set_title(title)
    return axes


def _write_title(comparison: Comparison, axes: Axes) -> None:
    """Write the method, the measure and the number of inputs, in lines that fit the axes."""
    measure = comparison.metadata.get("measure")
    title = comparison.label + (f" of {measure} RSMs" if isinstance(measure, str) else "")
    text, style = wrapped(
        f"{title}, {comparison.metadata['inputs']} inputs", 1.1 * inches_of(axes)[0], 0.9 * text_size(axes)
    )
    axes.set_title(text, **style)


def _limits(comparison: Comparison, tables: Sequence[Table], *, scores: bool, ends: Ends) -> Limits:
    """Return the first and the last value of the colours: from 0, or less, to the largest possible value."""
    values = np.concatenate([table[np.isfinite(table)] for table in tables])
    least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    largest = 1.0 if scores else (comparison.metadata.get("range") or (None, None))[1]
    low, high = min(0.0, least), most if largest is None else max(float(largest), most)
    low, high = (default if end is None else float(end) for end, default in zip(ends, (low, high), strict=True))
    return (low, high) if low < high else (low, low + 1e-12)


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw a comparison and its yardsticks in a figure that pyplot does not manage, sized for the number of layers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_size(comparison), layout="constrained")
    _draw_panels(comparison, figure, title=None, cmap="viridis", ends=(None, None))
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


def _draw_panels(comparison: Comparison, figure: Figure, *, title: str | None, cmap: str, ends: Ends) -> Axes:
    """Draw the comparison and its yardsticks side by side, in the same colours."""
    tables = _yardsticks(comparison)
    panels = figure.subplots(1, 1 + len(tables), squeeze=False)[0]
    first: Axes = panels[0]
    scores = _shown(comparison)[0] == "score"
    together = [comparison.values, *tables.values()]
    common = _limits(comparison, together, scores=False, ends=ends)
    vmin, vmax = ends if scores else common
    plot_comparison(comparison, first, title=title, cmap=cmap, vmin=vmin, vmax=vmax)
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


def _draw_map(
    comparison: Comparison,
    axes: Axes,
    values: NDArray[np.float64],
    label: str,
    *,
    cmap: str,
    limits: Limits,
    calibration: LayerCalibration | None,
) -> None:
    low, high = limits
    image = axes.imshow(values, cmap=cmap, vmin=low, vmax=high, origin="lower", interpolation="nearest")
    by_chance = np.zeros(values.shape, bool) if calibration is None else calibration.p_values > calibration.alpha
    if by_chance.any():
        _cover(axes, by_chance)
    if limits != (0.0, 1.0):
        label = f"{label} (colours from {low:.3g} to {high:.3g})"
    extend = {(True, False): "max", (False, True): "min", (True, True): "both", (False, False): "neither"}
    beyond = bool(np.nanmax(values, initial=high) > high), bool(np.nanmin(values, initial=low) < low)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85, extend=extend[beyond])
    label_color_bar(bar, label)
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
    cell = _cell(comparison)
    width, height = 1.7 + cell * min(columns, MOST_TICKS), 1.1 + cell * min(rows, MOST_TICKS)
    width += _width_of(comparison.rows)
    height += 0.15 + _width_of(comparison.columns) if _rotated(comparison) else 0.3
    return max(width, 3.3) * (1 + len(_yardsticks(comparison))), max(height, 2.6)


def _cell(comparison: Comparison) -> float:
    """Return the width of a cell in inches."""
    if max(comparison.values.shape) > _MOST_NUMBERS:
        return _NARROW_CELL
    return _CELL if comparison.intervals is None else _WIDE_CELL


def _width_of(names: Sequence[str]) -> float:
    return width_of(_named(names), _SMALL if len(names) > _MOST_NUMBERS else 10)


def _named(names: Sequence[str]) -> Sequence[str]:
    """Return the names that are written: all, or every n-th."""
    return names[:: -(-len(names) // MOST_TICKS)]


def _rotated(comparison: Comparison) -> bool:
    """Whether the names of columns are too long to be written side by side."""
    return _width_of(comparison.columns) > 0.9 * _cell(comparison) * len(comparison.columns) / len(
        _named(comparison.columns)
    )


def _name_layers(axes: Axes, comparison: Comparison) -> None:
    for axis, names in ((axes.yaxis, comparison.rows), (axes.xaxis, comparison.columns)):
        texts, style = literal_texts(_named(names))
        axis.set_ticks(range(0, len(names), -(-len(names) // MOST_TICKS)), texts, **style)
        axis.set_tick_params(length=0, labelsize=_SMALL if len(names) > _MOST_NUMBERS else text_size(axes))
    if _rotated(comparison):
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
