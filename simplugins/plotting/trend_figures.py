# SPDX-License-Identifier: Apache-2.0
"""Curves of comparisons over training steps or layers. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins.plotting.figure_texts import literal_texts, set_literal_texts, width_of
from simplugins.plotting.heatmaps import MOST_TICKS, set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simplugins.comparisons.layer_comparison import Comparison

Columns = Sequence[str] | Literal["matching"]

_MARKERS = "osD^vP*X<>"
_MOST_NAMED = 12
"""Most curves that the legend names; of more, evenly chosen ones."""

_SHADE = 0.18
_SMALL = 8
"""Points of the names of rows, if there are many, and of those of curves."""


def plot_trend(
    comparison: Comparison,
    axes: Axes | None = None,
    *,
    columns: Columns | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    colors: Sequence[Any] | None = None,
) -> Axes:
    """Draw a comparison as curves over its rows, such as training steps or layers, with intervals as bands.

    Rows whose names are all numbers, such as steps, are drawn to scale; others are evenly spaced. Undefined values are
    gaps. By default, curves are coloured from dark to light, because columns usually have an order.

    Parameters
    ----------
    comparison : Comparison
    axes : matplotlib Axes, optional
        By default those of a new pyplot figure.
    columns : sequence of str or "matching", optional
        Columns to draw, one curve each; by default all. "matching": a single curve of the cells whose row and column
        have the same place, layer by layer, for two networks with equally many layers.
    title : str, optional
        By default the name of the method and its options.
    limits : (float, float), optional
        Range of the values; by default from 0 (or less, if values are) to 1, so that small differences look
        small; their own if some are beyond -1 or 1.
    colors : sequence of colours, optional
        One per curve; by default from viridis.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is no such column, or rows and columns are matched and differ in number.
    """
    curves = _curves(comparison, columns)
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure(figsize=_size(comparison), layout="constrained").add_subplot()
    return _draw(comparison, curves, axes, title=title, limits=limits, colors=colors)


def trend_figure(
    comparison: Comparison,
    *,
    columns: Columns | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    colors: Sequence[Any] | None = None,
) -> Figure:
    """Draw the curves of a comparison in a figure that pyplot does not manage; see `plot_trend`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_size(comparison), layout="constrained")
    _draw(comparison, _curves(comparison, columns), figure.add_subplot(), title=title, limits=limits, colors=colors)
    return figure


def _size(comparison: Comparison) -> tuple[float, float]:
    """Return the size in inches, to which long names add."""
    below = 0.0 if _places(comparison.rows)[1] else max(0.0, width_of(comparison.rows, _SMALL) - 0.5)
    return 6.4 + max(0.0, width_of(comparison.columns, _SMALL) - 1.0), 4.0 + below


_Curve = tuple[str, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""A name, values, and the ends of their intervals, NaN without intervals."""


def _curves(comparison: Comparison, columns: Columns | None) -> list[_Curve]:
    undefined = np.full_like(comparison.values, np.nan)
    intervals = comparison.intervals
    tables = [comparison.values, *((undefined,) * 2 if intervals is None else (intervals.low, intervals.high))]
    if isinstance(columns, str):
        return [_matching_curve(comparison, columns, tables)]
    if columns is not None and not isinstance(columns, Collection):
        raise TypeError(f"columns: expected names of columns in a list, or 'matching', got {columns!r}")
    names = comparison.columns if columns is None else tuple(columns)
    if not names:
        raise ValueError("columns: expected at least one, got none")
    if unknown := [name for name in names if name not in comparison.columns]:
        raise ValueError(f"columns: there is no column {unknown[0]!r}, only {', '.join(comparison.columns)}")
    numbers = range(len(names)) if columns is None else [comparison.columns.index(name) for name in names]
    return [(name, *(table[:, j] for table in tables)) for name, j in zip(names, numbers, strict=True)]  # type: ignore[misc]


def _matching_curve(comparison: Comparison, columns: str, tables: list[NDArray[np.float64]]) -> _Curve:
    rows, count = comparison.values.shape
    if columns != "matching":
        raise ValueError(f"columns: expected names of columns in a list, or 'matching', got {columns!r}")
    if rows != count:
        raise ValueError(f"columns='matching' needs as many rows as columns, got {rows} and {count}")
    values, low, high = (table.diagonal() for table in tables)
    return "row and column of the same place", values, low, high


def _draw(
    comparison: Comparison,
    curves: list[_Curve],
    axes: Axes,
    *,
    title: str | None,
    limits: tuple[float, float] | None,
    colors: Sequence[Any] | None,
) -> Axes:
    import matplotlib

    if colors is not None and len(colors) != len(curves):
        raise ValueError(f"colors: expected {len(curves)} (one per curve), got {len(colors)}")
    places, are_numbers = _places(comparison.rows)
    shades: Any = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(curves))) if colors is None else colors
    lines = []
    for number, ((_, values, low, high), color) in enumerate(zip(curves, shades, strict=True)):
        marker = _MARKERS[number % len(_MARKERS)] if len(places) <= MOST_TICKS else ""
        lines += axes.plot(places, values, color=color, marker=marker, markersize=4, linewidth=1.6)
        if not np.isnan(low).all():
            axes.fill_between(places, low, high, color=color, alpha=_SHADE, linewidth=0)
    _set_limits(axes, curves, limits)
    if not are_numbers:
        _name_rows(axes, comparison.rows)
    (label,), style = literal_texts([comparison.label])
    axes.set_ylabel(label, **style)
    axes.grid(axis="y", alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    set_title(axes, title, comparison.label)
    if len(curves) > 1:
        _name_curves(axes, lines, [name for name, *_ in curves])
    return axes


def _places(rows: Sequence[str]) -> tuple[NDArray[np.float64], bool]:
    """Return the places of rows along the axis, and whether they are the numbers that the rows are called."""
    try:
        places = np.array([float(name) for name in rows])
    except ValueError:
        return np.arange(float(len(rows))), False
    is_scale = bool(np.isfinite(places).all() and (np.diff(places) > 0).all())
    return (places, True) if is_scale else (np.arange(float(len(rows))), False)


def _set_limits(axes: Axes, curves: list[_Curve], limits: tuple[float, float] | None) -> None:
    if limits is None:
        drawn = np.concatenate([part for _, *parts in curves for part in parts])
        drawn = drawn[np.isfinite(drawn)]
        if not drawn.size or drawn.min() < -1.05 or drawn.max() > 1.05:
            return
        limits = min(0.0, float(drawn.min())) - 0.02, max(1.0, float(drawn.max())) + 0.02
    if np.shape(limits) != (2,) or not np.isfinite(np.asarray(limits, float)).all():
        raise ValueError(f"limits: expected the ends of the range, such as (0, 1), got {limits!r}")
    axes.set_ylim(*limits)


def _name_rows(axes: Axes, rows: Sequence[str]) -> None:
    every = -(-len(rows) // MOST_TICKS)
    texts, style = literal_texts(rows[::every])
    axes.set_xticks(range(0, len(rows), every), texts, **style)
    if max(map(len, texts)) * len(texts) > 60:
        axes.tick_params(axis="x", rotation=90, labelsize=_SMALL)


def _name_curves(axes: Axes, lines: list[Any], names: list[str]) -> None:
    chosen = np.unique(np.linspace(0, len(lines) - 1, min(len(lines), _MOST_NAMED)).round().astype(int))
    numbers = [str(number) for number in chosen]  # Matplotlib omits names that begin with an underscore
    handles = [lines[number] for number in chosen]
    outside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "borderaxespad": 0}
    legend = axes.legend(handles, numbers, frameon=False, fontsize=_SMALL, **outside)
    set_literal_texts(legend.get_texts(), [names[number] for number in chosen])
