# SPDX-License-Identifier: Apache-2.0
"""Windows of positions of similar norm."""

from __future__ import annotations

from collections.abc import Iterator


def norm_windows(rows: int, cols: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Cut two sets of positions, in ascending order of norm, into consecutive windows of `size` positions.

    If the sets differ in size, the smaller one is treated as if it were padded with zero vectors at the start. So the
    largest norms of both sets share a window, and every position of the smaller set is matched. The last window may be
    shorter, and so may the first windows of the smaller set; empty windows are omitted.

    Parameters
    ----------
    rows, cols : int
        Numbers of positions.
    size : int
        At least 1.

    Yields
    ------
    (slice, slice)
        Positions of the first set, and of the second. Windows do not overlap.

    Examples
    --------
    >>> list(norm_windows(5, 5, 3))
    [(slice(0, 3, None), slice(0, 3, None)), (slice(3, 5, None), slice(3, 5, None))]
    >>> list(norm_windows(2, 5, 3))
    [(slice(0, 2, None), slice(3, 5, None))]
    """
    total = max(rows, cols)
    for start in range(0, total, size):
        stop = min(start + size, total)
        first, second = (slice(max(0, start - total + n), max(0, stop - total + n)) for n in (rows, cols))
        if first.stop > first.start and second.stop > second.start:
            yield first, second
