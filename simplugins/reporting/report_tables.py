# SPDX-License-Identifier: Apache-2.0
"""Tables of a report: layers by layers as coloured maps, and numbers with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simplugins.comparisons.layer_comparison import Comparison
from simplugins.reporting.html_elements import color_of, element, table, text


def number(value: float | None, digits: int = 2) -> str:
    """Format a number, "–" if there is none.

    Examples
    --------
    >>> number(0.1234), number(-0.001), number(None), number(float("nan"))
    ('0.12', '0.00', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-0." + "0" * digits, "0." + "0" * digits)


def interval(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """Format a number and its interval.

    Examples
    --------
    >>> interval(0.5, 0.4, 0.6), interval(0.5, None, None)
    ('0.50 [0.40, 0.60]', '0.50')
    """
    if number(low) == "–" or number(high) == "–":
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def p_value(value: float | None, least: float) -> str:
    """Format a p-value, of which `least` is the least possible one.

    Examples
    --------
    >>> p_value(0.005, 0.005), p_value(0.25, 0.005)
    ('≤ 0.005', '0.25')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"≤ {value:.2g}" if value <= least * 1.0001 else f"{value:.2g}"


def color_limits(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """Return the range of colours that tables share: 0 to 1 where values lie there, else their own."""
    values = np.concatenate([comparison.values.ravel() for comparison in comparisons])
    values = values[np.isfinite(values)]
    if not values.size or (values.min() > -0.5 and values.max() <= 1.0 + 1e-9):
        return 0.0, 1.0
    return float(values.min()), float(values.max())


def map_of_layers(comparison: Comparison, caption: str, limits: tuple[float, float]) -> str:
    """Return a table of layers by layers, each cell with its value, its interval and the colour of the value.

    Cells that are not significant are grey and say so; those of a layer with itself have no colour.
    """
    rows = [
        [name, *(_cell(comparison, i, j, limits) for j in range(len(comparison.columns)))]
        for i, name in enumerate(comparison.rows)
    ]
    return table(caption, ["", *comparison.columns], rows, are_html=True, style="map")


def _cell(comparison: Comparison, i: int, j: int, limits: tuple[float, float]) -> str:
    value = float(comparison.values[i, j])
    if comparison.symmetric and i == j:
        return element("td", text(number(value)), **{"class": "self"})
    if not math.isfinite(value):
        return element("td", "–")
    ends = ""
    if comparison.intervals is not None:
        low, high = (number(float(each[i, j])) for each in (comparison.intervals.low, comparison.intervals.high))
        ends = "" if "–" in (low, high) else element("small", text(f"{low} to {high}"))
    if comparison.calibration is not None and not comparison.calibration.significant[i, j]:
        return element("td", text(number(value)) + element("small", "not significant"), **{"class": "chance"})
    background, ink = color_of(value, limits)
    return element("td", text(number(value)) + ends, style=f"background:{background};color:{ink}")


def scale(limits: tuple[float, float], label: str) -> str:
    """Return the scale of colours."""
    low, high = (f"{limit:.3g}" for limit in limits)
    ends = element("span", text(low)) + element("i", "", aria_hidden="true") + element("span", text(high))
    return element("div", ends + element("span", text(label)), **{"class": "scale"})


def table_of_rows(caption: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of texts by column as a table."""
    return table(caption, list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])


def significance(comparison: Comparison) -> str:
    """Return how many pairs of layers are more similar than by chance, as a sentence; "" without a calibration.

    If rows and columns are the same layers, pairs of different layers are counted, each once.
    """
    calibration = comparison.calibration
    if calibration is None:
        return ""
    pairs = np.ones(comparison.values.shape, bool)
    if comparison.symmetric:
        pairs = np.triu(pairs, 1)
    groups = "" if calibration.groups is None else f" of {calibration.groups} groups of inputs"
    significant = int(calibration.significant[pairs].sum())
    return (
        f"{significant} of {int(pairs.sum())} pairs of layers are more similar than by chance (p ≤ "
        f"{calibration.alpha:g}, by the maximum of {calibration.permutations} permuted tables{groups})."
    )
