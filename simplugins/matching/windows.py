# SPDX-License-Identifier: Apache-2.0
"""Cutting two ordered sets of positions into windows that are matched one with the other."""

from __future__ import annotations

from collections.abc import Iterator


def windows(rows: int, cols: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Cut two sets, in ascending order of norm, into consecutive windows of `size` positions.

    Where the sets differ in size, the smaller is counted as if it began with zero vectors, which are the smallest there
    are: so the largest norms of both fall in one window, and every position of the smaller set gets a partner.
    The last window may be shorter, as may the first ones of the smaller set; windows without any are left out.

    Parameters
    ----------
    rows, cols : int
        Numbers of positions.
    size : int
        At least 1.

    Yields
    ------
    (slice, slice)
        Positions of the first set, and of the second; none is in two windows.

    Examples
    --------
    >>> list(windows(5, 5, 3))
    [(slice(0, 3, None), slice(0, 3, None)), (slice(3, 5, None), slice(3, 5, None))]
    >>> list(windows(2, 5, 3))
    [(slice(0, 2, None), slice(3, 5, None))]
    """
    total = max(rows, cols)
    for start in range(0, total, size):
        stop = min(start + size, total)
        own, other = (slice(max(0, start - total + n), max(0, stop - total + n)) for n in (rows, cols))
        if own.stop > own.start and other.stop > other.start:
            yield own, other
