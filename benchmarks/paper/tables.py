# SPDX-License-Identifier: Apache-2.0
"""Markdown tables of the report: numbers by layer, and by kernel or kind of RSM, and summaries of differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from paper.design import CASES, CONFIDENCE, DIFFERENCES, KERNELS, SEMANTIC, SHOWN_KERNEL, SPATIAL

Row = dict[str, Any]
"""The results of one layer and kernel."""

_EQUAL = 1e-9
_ROUNDED_TO_ZERO = 5e-4
"""Bounds of intervals below this are printed as 0, so they count as 0."""

KEY = (
    f"Cells: semantic / spatio-semantic, and the {100 * CONFIDENCE:.0f} % confidence interval of their difference; "
    "bold if it excludes 0."
)

OTHERS = list(DIFFERENCES)
"""All kinds that semantic RSMs are compared with."""


class Metric(NamedTuple):
    """A metric of RSMs: its label, its rows, its key in each row, and whether larger is better."""

    label: str
    rows: Sequence[Row]
    key: str
    larger_is_better: bool = True

    def differences(self, kind: str, name: str = "estimate") -> list[float]:
        """Return semantic minus another kind for each row that has it, as the estimate or a bound of its interval."""
        return [each[kind][name] for row in self.rows if kind in (each := row[self.key]["differences"])]

    def of(self, kernel: str) -> Metric:
        """Return the metric for one kernel, at the layers that have it."""
        return self._replace(rows=[row for row in self.rows if row["kernel"] == kernel and self.key in row])


def layer_table(rows: Sequence[Row], key: str) -> list[str]:
    """Return a table with a row per layer and a column per kernel: semantic, spatio-semantic and their difference."""

    def cell(row: Row) -> str:
        difference = row[key]["differences"][SPATIAL]
        mark = "**" if _excludes_zero(difference["low"], difference["high"]) else ""
        values = " / ".join(f"{row[key]['values'][kind]['estimate']:.3f}" for kind in (SEMANTIC, SPATIAL))
        return f"{mark}{values}{mark} ({difference['low']:+.3f} to {difference['high']:+.3f})"

    return _table(rows, KERNELS, lambda layer: map(cell, layer))


def control_tables(rows: Sequence[Row], key: str) -> tuple[list[str], list[str]]:
    """Return a table of all kinds of RSM by layer, for one kernel, and one of semantic minus each other kind."""
    shown = Metric("", rows, key).of(SHOWN_KERNEL).rows

    def values(layer: Sequence[Row]) -> Iterable[str]:
        estimates = layer[0][key]["values"]
        return (f"{estimates[kind]['estimate']:.3f}" for kind in CASES)

    def differences(layer: Sequence[Row]) -> Iterable[str]:
        return (_difference(layer[0][key]["differences"][kind]) for kind in OTHERS)

    return _table(shown, list(CASES), values), _table(shown, OTHERS, differences)


def _difference(difference: Mapping[str, float]) -> str:
    mark = "**" if _excludes_zero(difference["low"], difference["high"]) else ""
    return f"{mark}{difference['estimate']:+.3f}{mark} ({difference['low']:+.3f} to {difference['high']:+.3f})"


def number_table(rows: Sequence[Row], cell: Callable[[Row], str]) -> list[str]:
    """Return a table with a row per layer and a column per kernel."""
    return _table(rows, KERNELS, lambda layer: map(cell, layer))


def cost_table(rows: Sequence[Row]) -> list[str]:
    """Return a table of microseconds per pair, with a row per layer and a column per kind of RSM."""
    return _table(rows, list(CASES), lambda layer: map(number, (layer[0]["microseconds"][kind] for kind in CASES)))


def number(value: float) -> str:
    """Format a positive number with two digits, or all digits before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def control_summary(metrics: Sequence[Metric]) -> list[str]:
    """Return a table with a row per metric and a column per kind: the mean difference, and where semantic is better."""
    lines = ["| semantic minus | " + " | ".join(OTHERS) + " |", "|---|" + "---:|" * len(OTHERS)]
    for metric in metrics:
        shown = metric.of(SHOWN_KERNEL)
        cells = []
        for kind in OTHERS:
            better, _, worse, *clear = _counts(shown, kind)
            mean = np.mean(shown.differences(kind))
            cells.append(f"{mean:+.3f}; {better} ({clear[0]}) : {worse} ({clear[1]})")
        lines.append(f"| {metric.label} | {' | '.join(cells)} |")
    return lines


def summary_table(metrics: Sequence[Metric]) -> list[str]:
    """Return a table with a row per metric: where semantic RSMs are better or worse, and the mean differences."""
    networks = list(dict.fromkeys(row["network"] for row in metrics[0].rows))
    cases = [(network, kernel) for network in networks for kernel in KERNELS]
    titles = " | ".join(f"{network.rpartition('-')[2]}, {kernel}" for network, kernel in cases)
    return [
        f"| | better | equal | worse | {titles} |",
        "|---|---:|---:|---:|" + "---:|" * len(cases),
        *(f"| {metric.label} | {_counted(metric)} | {_mean_differences(metric, cases)} |" for metric in metrics),
    ]


def _counted(metric: Metric) -> str:
    better, equal, worse, clearly_better, clearly_worse = _counts(metric, SPATIAL)
    return f"{better} ({clearly_better}) | {equal} | {worse} ({clearly_worse})"


def _counts(metric: Metric, kind: str) -> list[int]:
    """Count where semantic RSMs are better, equal, worse; and better and worse with an interval that excludes 0."""
    sign = 1 if metric.larger_is_better else -1
    ahead = sign * np.array(metric.differences(kind))
    bounds = zip(*(metric.differences(kind, name) for name in ("low", "high")), strict=True)
    clear = np.array([_excludes_zero(*each) for each in bounds])
    better, worse = ahead > _EQUAL, ahead < -_EQUAL
    return [int(np.count_nonzero(each)) for each in (better, ~better & ~worse, worse, better & clear, worse & clear)]


def clearly(metric: Metric, kind: str) -> tuple[int, int]:
    """Return at how many layers semantic RSMs are better and worse, with an interval that excludes 0."""
    *_, better, worse = _counts(metric, kind)
    return better, worse


def _mean_differences(metric: Metric, cases: Iterable[tuple[str, str]]) -> str:
    """Return the mean over layers of semantic minus spatio-semantic, for each network and kernel."""
    by_case: dict[tuple[str, str], list[float]] = {}
    for row, difference in zip(metric.rows, metric.differences(SPATIAL), strict=True):
        by_case.setdefault((row["network"], row["kernel"]), []).append(difference)
    return " | ".join(f"{np.mean(by_case[case]):+.3f}" for case in cases)


def _excludes_zero(low: float, high: float) -> bool:
    return low >= _ROUNDED_TO_ZERO or high <= -_ROUNDED_TO_ZERO


def _table(rows: Sequence[Row], columns: Sequence[str], cells: Callable[[Sequence[Row]], Iterable[str]]) -> list[str]:
    """Return a table with a row per layer; `cells` is called with all rows of a layer."""
    lines = ["| layer | maps | inputs | " + " | ".join(columns) + " |", "|---|---:|---:|" + "---:|" * len(columns)]
    for network, block in dict.fromkeys((row["network"], row["block"]) for row in rows):
        layer = [row for row in rows if (row["network"], row["block"]) == (network, block)]
        side = layer[0]["side"]
        name = f"{network}, block {block} | {side} × {side} | {layer[0]['inputs']}"
        lines.append(f"| {name} | {' | '.join(cells(layer))} |")
    return lines


def join(parts: Iterable[str | Sequence[str]]) -> str:
    """Join paragraphs, and tables given by their lines, with empty lines between them."""
    return "\n\n".join(part if isinstance(part, str) else "\n".join(part) for part in parts) + "\n"
