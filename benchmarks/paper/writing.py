# SPDX-License-Identifier: Apache-2.0
"""The report's text: tables, and sentences that follow from the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from networks import KERNELS

from paper.evaluations import Row
from paper.resampling import CONFIDENCE, SEMANTIC, SPATIAL, Found

_SAME = 1e-9
_CLEAR = 5e-4
"""How far from 0 an interval has to stay: what is not written as 0."""

_MOST_LISTED = 4


@dataclass(frozen=True)
class Verdict:
    """Where semantic RSMs are better, and where they are not.

    Attributes
    ----------
    better, worse, level : list of Row
        By the estimates.
    clearly_better, clearly_worse : list of Row
        Those whose interval leaves out 0.
    """

    better: list[Row]
    worse: list[Row]
    level: list[Row]
    clearly_better: list[Row]
    clearly_worse: list[Row]


def judge(rows: Sequence[Row], metric: str, sign: int = 1) -> Verdict:
    """Sort rows by which kind of RSM is better; with a sign of -1 less is better."""

    def ahead(row: Row, name: str = "estimate") -> float:
        return float(sign * row[metric]["difference"][name])

    better = [row for row in rows if ahead(row) > _SAME]
    worse = [row for row in rows if ahead(row) < -_SAME]
    level = [row for row in rows if abs(ahead(row)) <= _SAME]
    clear = [row for row in rows if _clear(row[metric]["difference"])]
    return Verdict(
        better, worse, level, [row for row in clear if ahead(row) > 0], [row for row in clear if ahead(row) < 0]
    )


def _clear(difference: Found) -> bool:
    """Return whether 0 is outside of an interval."""
    return bool(difference["low"] >= _CLEAR or difference["high"] <= -_CLEAR)


def counts(rows: Sequence[Row], metric: str, sign: int = 1) -> str:
    """Say for how many layers and kernels semantic RSMs are better or worse."""
    found = judge(rows, metric, sign)
    told = [
        f"semantic RSMs are better for {len(found.better)} of {len(rows)} combinations of layer and kernel "
        f"({len(found.clearly_better)} of them clearly)"
    ]
    if found.level:
        told.append(f"level for {len(found.level)}")
    told.append(f"worse for {len(found.worse) or 'none'}{_spread(found)}")
    return ", ".join(told)


def _spread(found: Verdict) -> str:
    """Say how many of those that are worse are so clearly, and under which kernels."""
    if not found.worse:
        return ""
    kernels = [row["kernel"] for row in found.worse]
    told = ", ".join(f"{kernel} {kernels.count(kernel)}" for kernel in KERNELS if kernel in kernels)
    return f" ({told}; {len(found.clearly_worse) or 'none'} of them clearly)"


def exceptions(rows: Sequence[Row], metric: str, sign: int = 1) -> str:
    """Name where semantic RSMs are worse, the most so first; empty if they are so nowhere."""
    worse = sorted(judge(rows, metric, sign).worse, key=lambda row: sign * row[metric]["difference"]["estimate"])
    if not worse:
        return ""
    listed = [f"{_place(row)} ({_difference(row[metric]['difference'])})" for row in worse[:_MOST_LISTED]]
    more = f", and {len(worse) - _MOST_LISTED} more" if len(worse) > _MOST_LISTED else ""
    return f"They are worse at {'; '.join(listed)}{more}."


def findings(rows: Sequence[Row], metrics: Mapping[str, str], sign: int = 1) -> str:
    """Say where semantic RSMs are better and worse, by each of some metrics, given with their names."""
    return " ".join(
        part
        for metric, called in metrics.items()
        for part in (f"By {called}, {counts(rows, metric, sign)}.", exceptions(rows, metric, sign))
        if part
    )


def by_network_and_kernel(rows: Sequence[Row], metric: str, kernels: Sequence[str], sign: int = 1) -> str:
    """Say whether semantic RSMs are better on the mean over layers, for each network and each of some kernels."""
    cases = [(network, kernel) for network in _unique(rows, "network") for kernel in kernels]
    means = {case: sign * np.mean([_ahead(row, metric) for row in _of(rows, *case)]) for case in cases}
    holds = [case for case in cases if means[case] > 0]
    if len(holds) == len(cases):
        return f"On the mean over layers that holds here for all {len(cases)} combinations of network and kernel."
    against = "; ".join(f"{network}, {kernel}" for network, kernel in cases if means[network, kernel] <= 0)
    return (
        f"On the mean over layers that holds here for {len(holds)} of {len(cases)} combinations of network and kernel, "
        f"not for {against}."
    )


def largest_gain(rows: Sequence[Row], metric: str, sign: int = 1) -> str:
    """Say at which depth the gain is largest."""
    cases = [(network, kernel) for network in _unique(rows, "network") for kernel in KERNELS]
    places = [
        int(np.argmax([sign * _ahead(row, metric) for row in _of(rows, *case)])) for case in cases if _of(rows, *case)
    ]
    tally = np.bincount(places, minlength=len(_of(rows, *cases[0])))
    names = [_sides(rows, place) for place in range(len(tally))]
    told = [f"{names[place]} for {count}" for place, count in enumerate(tally.tolist()) if count]
    agrees = "as the paper finds" if tally[0] * 2 > len(places) else "not, as the paper finds, mostly in early layers"
    where = ", ".join(told)
    return f"Of {len(places)} combinations of network and kernel the gain is largest at maps of {where}: {agrees}."


def _sides(rows: Sequence[Row], place: int) -> str:
    return "/".join(str(_of(rows, network, KERNELS[0])[place]["side"]) for network in _unique(rows, "network"))


def _ahead(row: Row, metric: str) -> float:
    return float(row[metric]["difference"]["estimate"])


def _of(rows: Sequence[Row], network: str, kernel: str) -> list[Row]:
    return [row for row in rows if (row["network"], row["kernel"]) == (network, kernel)]


def _unique(rows: Sequence[Row], name: str) -> list[Any]:
    return list(dict.fromkeys(row[name] for row in rows))


def _place(row: Row) -> str:
    return f"{row['network']} block {row['block']}, {row['kernel']}"


def _difference(found: Found) -> str:
    return f"{found['estimate']:+.3f}, {found['low']:+.3f} to {found['high']:+.3f}"


def span(rows: Sequence[Row], metric: str, kind: str) -> str:
    """Say from where to where the numbers of one kind of RSM go."""
    found = [row[metric][kind]["estimate"] for row in rows]
    return f"{min(found):.3f} to {max(found):.3f}"


def table_beside(rows: Sequence[Row], metric: str) -> list[str]:
    """Return a table: a row for each layer, a column for each kernel, both kinds and their difference."""

    def cell(row: Row) -> str:
        found = row[metric]
        mark = "**" if _clear(found["difference"]) else ""
        values = f"{found[SEMANTIC]['estimate']:.3f} / {found[SPATIAL]['estimate']:.3f}"
        return f"{mark}{values}{mark} ({found['difference']['low']:+.3f} to {found['difference']['high']:+.3f})"

    return _table(rows, cell)


def table_of(rows: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """Return a table: a row for each layer, a column for each kernel, with some numbers in each cell."""
    return _table(rows, lambda row: " / ".join(f"{row[metric]:.3f}" for metric in metrics))


def _table(rows: Sequence[Row], cell: Any) -> list[str]:
    lines = ["| layer | maps | inputs | " + " | ".join(KERNELS) + " |", "|---|---:|---:|" + "---:|" * len(KERNELS)]
    for network, block in dict.fromkeys((row["network"], row["block"]) for row in rows):
        mine = [row for row in rows if (row["network"], row["block"]) == (network, block)]
        side = mine[0]["side"]
        cells = " | ".join(cell(row) for row in mine)
        lines.append(f"| {network}, block {block} | {side} × {side} | {mine[0]['inputs']} | {cells} |")
    return lines


def paragraphs(parts: Iterable[str | Sequence[str]]) -> str:
    """Join paragraphs, and tables given by their lines, with empty lines between them."""
    return "\n\n".join(part if isinstance(part, str) else "\n".join(part) for part in parts) + "\n"


def sentence(text: str) -> str:
    """Begin with a capital letter and end with a full stop."""
    return text[:1].upper() + text[1:] + "."


def percent(share: float, digits: int = 0) -> str:
    """Write a share in percent."""
    return f"{100 * share:.{digits}f} %"


KEY = (
    f"Cells: semantic / spatio-semantic, and the {percent(CONFIDENCE)} interval of their difference; bold where that "
    "leaves out 0, which is called clear below."
)


def caption(alternative: str, path: str) -> str:
    """Return a picture in Markdown."""
    return f"![{alternative}]({path})"


def converging(rows: Sequence[Row], method: str) -> str:
    """Say whether both kinds agree more from layer to layer, by network and kernel."""
    cases = [(network, kernel) for network in _unique(rows, "network") for kernel in KERNELS]
    series = np.array([[row[method] for row in _of(rows, *case)] for case in cases])
    rise = int((series[:, -1] > series[:, 0]).sum())
    least, most = int((series.argmin(1) == 0).sum()), int((series.argmax(1) == series.shape[1] - 1).sum())
    agrees = {len(cases): "as the paper finds", 0: "against what the paper finds"}.get(
        rise, "in part as the paper finds"
    )
    return (
        f"it is {series[:, 0].min():.2f} to {series[:, 0].max():.2f} in the first layer and {series[:, -1].min():.2f} "
        f"to {series[:, -1].max():.2f} in the last: higher in the last for {rise} of {len(cases)} combinations of "
        f"network and kernel, {agrees}; least of all layers in the first for {least}, most in the last for {most}."
    )
