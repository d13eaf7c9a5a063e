# SPDX-License-Identifier: Apache-2.0
"""Output of `simplugins compare`: printed tables, files and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simplugins.cli.command_options import check_output
from simplugins.cli.terminal import print_table, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simplugins.comparisons.layer_comparison import Comparison
    from simplugins.comparisons.layer_intervals import LayerIntervals


def check_outputs(paths: Sequence[Path], *, force: bool) -> None:
    """Check that tables and figures can be written, before the work that they will hold.

    Raises
    ------
    ValueError
        If a name has an unknown ending.
    OSError
        As `check_output`.
    """
    from simplugins.comparisons.comparison_files import TABLES
    from simplugins.plotting.heatmaps import check_format

    for path in paths:
        check_output(path, force=force)
        if path.suffix not in TABLES:
            check_format(path)


def report_comparison(comparison: Comparison, paths: Sequence[Path], *, force: bool) -> None:
    """Print a comparison, and write it to files."""
    print_comparison(comparison)
    write_comparison(comparison, paths, force=force)


def write_comparison(comparison: Comparison, paths: Sequence[Path], *, force: bool) -> None:
    """Write a comparison to tables and figures, by the endings of their names."""
    from simplugins.comparisons.comparison_files import TABLES
    from simplugins.plotting.heatmaps import save_figure
    from simplugins.plotting.layer_heatmaps import comparison_figure

    for path in paths:
        if path.suffix in TABLES:
            comparison.save(path, overwrite=force)
        else:
            save_figure(comparison_figure(comparison), path, overwrite=force)
        say(f"written: {path}")


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
