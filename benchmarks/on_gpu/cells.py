# SPDX-License-Identifier: Apache-2.0
"""Cells and sections of the table of a run on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from on_gpu.context import Step
from on_gpu.worker import DONE

SMALL, SHARE, COUNT = "{:.1e}".format, "{:.1%}".format, "{:,}".format

Steps = Mapping[str, Mapping[str, Any]]
"""Outcomes of steps by name: "state", "seconds", and the result ("found") or the "reason" for having none."""

Rows = Mapping[str, Sequence[str]]


def grid(title: str, columns: Sequence[str], rows: Rows) -> list[str]:
    """Return the lines of a table with its title, or none if it has no rows."""
    if not rows:
        return []
    lines = [f"## {title}", "", "| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    return [*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items())]


def cell(steps: Steps, text: Callable[[Any], str], step: Step, *path: str) -> str:
    """Format one entry of a step's result, or the step's state if it has none."""
    outcome = steps.get(step.name, {"state": ""})
    return entry(text, outcome["found"], *path) if outcome["state"] == DONE else str(outcome["state"])


def entry(text: Callable[[Any], str], result: Any, *path: str) -> str:
    """Format one entry of a result, or nothing if it is missing."""
    for key in path:
        if key not in result:
            return ""
        result = result[key]
    return text(result)


def three_digits(number: float) -> str:
    """Format a number to three digits.

    Examples
    --------
    >>> three_digits(123456), three_digits(1.2345)
    ('123,000', '1.23')
    """
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def rate(seconds: float) -> str:
    """Format a rate per second."""
    return three_digits(1 / seconds)


def nanoseconds(seconds: float) -> str:
    """Format nanoseconds."""
    return three_digits(1e9 * seconds)
