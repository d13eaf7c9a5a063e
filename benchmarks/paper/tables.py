# SPDX-License-Identifier: Apache-2.0
"""Markdown tables of the report: numbers by layer and kernel, and summaries of differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from paper.design import CONFIDENCE, KERNELS, SEMANTIC, SPATIAL

Row = dict[str, Any]
"""The results of one layer and kernel."""

_EQUAL = 1e-9
_ROUNDED_TO_ZERO = 5e-4
"""Bounds of intervals below this are printed as 0, so they count as 0."""

KEY = (
    f"Cells: semantic / spatio-semantic, and the {100 * CONFIDENCE:.0f} % confidence interval of their difference; "
    "bold if it excludes 0."
)


class Metric(NamedTuple):
    """A metric of both kinds of RSM: its label, its rows, its key in each row, and whether larger is better."""

    label: str
    rows: Sequence[Row]
    key: str
    larger_is_better: bool = True

    def differences(self, name: str = "estimate") -> list[float]:
        """Return semantic minus spatio-semantic for each row, as the estimate or a bound of its interval."""
        return [row[self.key]["difference"][name] for row in self.rows]


def layer_table(rows: Sequence[Row], key: str) -> list[str]:
    """Return a table with a row per layer and a column per kernel, of both kinds and their difference."""

    def cell(row: Row) -> str:
        difference = row[key]["difference"]
        mark = "**" if _excludes_zero(difference["low"], difference["high"]) else ""
        values = f"{row[key][SEMANTIC]['estimate']:.3f} / {row[key][SPATIAL]['estimate']:.3f}"
        return f"{mark}{values}{mark} ({difference['low']:+.3f} to {difference['high']:+.3f})"

    return _table(rows, cell)


def number_table(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """Return a table with a row per layer and a column per kernel, with the given numbers in each cell."""
    return _table(rows, lambda row: " / ".join(f"{row[key]:.3f}" for key in keys))


def summary_table(metrics: Sequence[Metric]) -> list[str]:
    """Return a table with a row per metric: where semantic RSMs are better or worse, and the mean differences."""
    networks = list(dict.fromkeys(row["network"] for row in metrics[0].rows))
    cases = [(network, kernel) for network in networks for kernel in KERNELS]
    titles = " | ".join(f"{network.rpartition('-')[2]}, {kernel}" for network, kernel in cases)
    return [
        f"| | better | equal | worse | {titles} |",
        "|---|---:|---:|---:|" + "---:|" * len(cases),
        *(f"| {metric.label} | {_counts(metric)} | {_mean_differences(metric, cases)} |" for metric in metrics),
    ]


def _counts(metric: Metric) -> str:
    """Count where semantic RSMs are better, equal and worse; in brackets, where the interval excludes 0."""
    sign = 1 if metric.larger_is_better else -1
    ahead = sign * np.array(metric.differences())
    clear = np.array(
        [_excludes_zero(*bounds) for bounds in zip(*map(metric.differences, ("low", "high")), strict=True)]
    )
    better, worse = ahead > _EQUAL, ahead < -_EQUAL
    equal = np.count_nonzero(~better & ~worse)
    return f"{better.sum()} ({(better & clear).sum()}) | {equal} | {worse.sum()} ({(worse & clear).sum()})"


def _mean_differences(metric: Metric, cases: Iterable[tuple[str, str]]) -> str:
    """Return the mean over layers of the difference, for each network and kernel."""
    differences = metric.differences()
    by_case: dict[tuple[str, str], list[float]] = {}
    for row, difference in zip(metric.rows, differences, strict=True):
        by_case.setdefault((row["network"], row["kernel"]), []).append(difference)
    return " | ".join(f"{np.mean(by_case[case]):+.3f}" for case in cases)


def _excludes_zero(low: float, high: float) -> bool:
    return low >= _ROUNDED_TO_ZERO or high <= -_ROUNDED_TO_ZERO


def _table(rows: Sequence[Row], cell: Callable[[Row], str]) -> list[str]:
    lines = ["| layer | maps | inputs | " + " | ".join(KERNELS) + " |", "|---|---:|---:|" + "---:|" * len(KERNELS)]
    for network, block in dict.fromkeys((row["network"], row["block"]) for row in rows):
        layer = [row for row in rows if (row["network"], row["block"]) == (network, block)]
        side = layer[0]["side"]
        cells = " | ".join(cell(row) for row in layer)
        lines.append(f"| {network}, block {block} | {side} × {side} | {layer[0]['inputs']} | {cells} |")
    return lines


def join(parts: Iterable[str | Sequence[str]]) -> str:
    """Join paragraphs, and tables given by their lines, with empty lines between them."""
    return "\n\n".join(part if isinstance(part, str) else "\n".join(part) for part in parts) + "\n"
