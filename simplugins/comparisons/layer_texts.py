# SPDX-License-Identifier: Apache-2.0
"""A comparison of layers as text, for terminals and logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from simplugins.comparisons.layer_comparison import Comparison

MOST_ROWS = 40
MOST_COLUMNS = 8
_MARK = "*"


def layer_text(comparison: Comparison) -> str:
    """Return the summary of a comparison and the values of its table, or as many as fit on a screen.

    Parameters
    ----------
    comparison : Comparison
        With intervals, cells have the ends of their interval; with a calibration, a second table has the scores, or
        the p-values if the method has no scores, and `*` marks what is significant.
    """
    rows, columns = comparison.rows[:MOST_ROWS], comparison.columns[:MOST_COLUMNS]
    shown = len(rows), len(columns)
    tables = {comparison.label: _values(comparison)}
    if (calibration := comparison.calibration) is not None:
        scores = calibration.scores
        name, numbers = ("p", calibration.p_values) if scores is None else ("score", scores)
        marks = np.where(calibration.significant, _MARK, " ")
        tables[name] = [
            [f"{x:.3f}{mark}" for x, mark in zip(*line, strict=True)] for line in zip(numbers, marks, strict=True)
        ]
    tables |= {name: [[f"{x:.3f}" for x in row] for row in table] for name, table in comparison.yardsticks.items()}
    lines = [repr(comparison)]
    for name, cells in tables.items():
        body = [[row, *line[: shown[1]]] for row, line in zip(rows, cells[: shown[0]], strict=True)]
        lines += ["", *_aligned([[name, *columns], *body])]
    if shown != comparison.values.shape:
        lines += ["", f"the first {shown[0]} x {shown[1]} layers; table() has all values, and plot() draws them"]
    return "\n".join(lines)


def _values(comparison: Comparison) -> list[list[str]]:
    values = [[f"{x:.3f}" for x in row] for row in comparison.values]
    if (intervals := comparison.intervals) is None:
        return values
    ends = zip(intervals.low, intervals.high, strict=True)
    return [
        [f"{text} {_interval(a, b)}" for text, a, b in zip(line, low, high, strict=True)]
        for line, (low, high) in zip(values, ends, strict=True)
    ]


def _interval(low: float, high: float) -> str:
    return "[no interval]" if np.isnan([low, high]).any() else f"[{low:.3f}, {high:.3f}]"


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
