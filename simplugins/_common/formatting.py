# SPDX-License-Identifier: Apache-2.0
"""Times, sizes and counts as text for people."""

from __future__ import annotations

import math


def human_time(seconds: float) -> str:
    """Format a time in a suitable unit, to two or three digits.

    Examples
    --------
    >>> [human_time(s) for s in (0.0000216, 0.126e-3, 0.0514, 1.5, 95, 600, 158_000, 1e6, 1e13)]
    ['21.6 µs', '0.126 ms', '51.4 ms', '1.5 s', '95 s', '10 minutes', '44 hours', '12 days', '320,000 years']
    """
    for limit, unit, name, digits in _TIMES:
        if seconds < limit:
            return f"{_rounded(seconds / unit, digits)} {name}"
    raise ValueError(f"expected a time in seconds, got {seconds!r}")


_HOUR, _DAY, _YEAR = 3600.0, 86400.0, 365.25 * 86400.0
_TIMES = (
    (1e-4, 1e-6, "µs", 3),
    (1.0, 1e-3, "ms", 3),
    (10.0, 1.0, "s", 2),
    (120.0, 1.0, "s", 2),
    (2 * _HOUR, 60.0, "minutes", 2),
    (2 * _DAY, _HOUR, "hours", 2),
    (2 * _YEAR, _DAY, "days", 2),
    (math.inf, _YEAR, "years", 2),
)
"""For each unit: upper limit in seconds, length in seconds, name, significant digits."""


def human_bytes(count: float) -> str:
    """Format a number of bytes with decimal prefixes.

    Examples
    --------
    >>> [human_bytes(b) for b in (8, 80_000, 455e6, 20e9, 8e12)]
    ['8 bytes', '80 kB', '455 MB', '20 GB', '8 TB']
    """
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    power = min(len(units) - 1, int(math.log10(max(1.0, count)) // 3))
    return f"{_rounded(count / 1000**power, 3)} {units[power]}"


def human_count(count: int) -> str:
    """Format a count, in exponential notation from ten million.

    Examples
    --------
    >>> [human_count(n) for n in (276, 499_500, 1_249_975_000, 9_999_999_999)]
    ['276', '499,500', '1.25e9', '1e10']
    """
    if count < 10_000_000:
        return f"{count:,}"
    mantissa, power = f"{count:.2e}".split("e")
    return f"{float(mantissa):g}e{int(power)}"


def counted(count: int, noun: str) -> str:
    """Format a count with its noun, which takes an s in the plural.

    Examples
    --------
    >>> counted(1, "pair"), counted(2000, "pair")
    ('1 pair', '2,000 pairs')
    """
    return f"{human_count(count)} {noun}" + ("" if count == 1 else "s")


def _rounded(number: float, digits: int) -> str:
    """Format a number to `digits` significant digits, never in exponential notation."""
    rounded = float(f"{number:.{digits}g}")
    return f"{rounded:,.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:g}"
