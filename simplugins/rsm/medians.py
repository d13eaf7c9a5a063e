# SPDX-License-Identifier: Apache-2.0
"""The median of more numbers than memory has room for: exact, by going through them several times."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

_BITS = 16
_ROOM = 2**21
"""How many numbers are gathered at most."""


def lower_median(numbers: Callable[[], Iterable[NDArray[np.float64]]], *, room: int = _ROOM) -> float:
    """Return the median of those numbers that are above 0; the lower of two middle ones.

    Parameters
    ----------
    numbers : callable
        Gives all numbers, at least 0, in arrays of any shape; it is called up to 5 times.
    room : int
        How many numbers may be held at once.

    Returns
    -------
    float
        0 if no number is above 0.

    Notes
    -----
    As integers, the bits of such numbers are in the same order; so each time through, the next 16 bits of the median
    are found by counting.

    Examples
    --------
    >>> lower_median(lambda: [np.array([[4.0, 0.0]]), np.array([9.0, 1.0])])
    4.0
    """
    found, rank, count = 0, -1, room + 1
    for shift in range(64 - _BITS, -1, -_BITS):
        if count <= room:
            break
        counts = np.zeros(2**_BITS, np.int64)
        for bits in _with_prefix(numbers(), found, shift + _BITS):
            counts += np.bincount((bits >> np.uint64(shift)) & np.uint64(2**_BITS - 1), minlength=2**_BITS)
        if rank < 0:
            if not counts.any():
                return 0.0
            rank = (int(counts.sum()) - 1) // 2
        digit = int(np.searchsorted(np.cumsum(counts), rank, side="right"))
        rank -= int(counts[:digit].sum())
        count = int(counts[digit])
        found, low = found << _BITS | digit, shift
    else:
        return float(np.array(found, np.uint64).view(np.float64))
    gathered = np.concatenate(list(_with_prefix(numbers(), found, low)))
    return float(np.partition(gathered, rank)[rank].view(np.float64))


def _with_prefix(numbers: Iterable[NDArray[np.float64]], prefix: int, shift: int) -> Iterable[NDArray[np.uint64]]:
    """Yield the bits of those numbers above 0 whose bits from `shift` on are the prefix."""
    for some in numbers:
        bits = np.ascontiguousarray(some).reshape(-1).view(np.uint64)
        bits = bits[bits > 0]
        yield bits if shift == 64 else bits[bits >> np.uint64(shift) == np.uint64(prefix)]
