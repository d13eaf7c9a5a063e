# SPDX-License-Identifier: Apache-2.0
"""Output of `simplugins compare`: printed tables, files and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simplugins.cli.terminal import print_table, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simplugins.comparisons.layer_comparison import Comparison
    from simplugins.comparisons.layer_intervals import LayerIntervals


def report_comparison(comparison: Comparison, tables: Sequence[Path], figure: Path | None, *, force: bool) -> None:
    """Print a comparison, and write it to files."""
    from simplugins.plotting.heatmaps import save_figure
    from simplugins.plotting.layer_heatmaps import comparison_figure

    print_comparison(comparison)
    for path in tables:
        comparison.save(path, overwrite=force)
        say(f"written: {path}")
    if figure is not None:
        save_figure(comparison_figure(comparison), figure, overwrite=force)
        say(f"written: {figure}")


def print_comparison(comparison: Comparison) -> None:
    """Print the values, the scores of a calibration, the intervals, and each yardstick."""
    calibration = comparison.calibration
    if comparison.values.size == 1:
        (cell,) = comparison.table()
        say(f"{comparison.label}: {cell['value']:.10g}")
        for name in [*cell][3:]:
            say(f"{name}: {cell[name]:.6g}")
        return
    if calibration is None or calibration.scores is None:
        _print_layers(comparison, comparison.label, comparison.values)
    else:
        _print_layers(comparison, f"{comparison.label}, calibrated", calibration.scores)
        _print_layers(comparison, f"{comparison.label}, not calibrated", comparison.values)
    if comparison.intervals is not None:
        _print_intervals(comparison, comparison.intervals)
    for name, values in comparison.yardsticks.items():
        _print_layers(comparison, name, values)
    if calibration is not None:
        say(repr(calibration))


def _print_layers(comparison: Comparison, title: str, values: NDArray[np.float64]) -> None:
    rows = zip(comparison.rows, values.tolist(), strict=True)
    print_table([title, *comparison.columns], [[name, *(f"{value:.4f}" for value in row)] for name, row in rows])


def _print_intervals(comparison: Comparison, intervals: LayerIntervals) -> None:
    rows = zip(comparison.rows, intervals.low.tolist(), intervals.high.tolist(), strict=True)
    cells = [
        [name, *(f"{low:.3f} to {high:.3f}" for low, high in zip(lows, highs, strict=True))]
        for name, lows, highs in rows
    ]
    print_table([f"{100 * intervals.confidence:g} % interval", *comparison.columns], cells)
