# SPDX-License-Identifier: Apache-2.0
"""The exact median of more numbers than fit in memory, in several passes over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

_BITS = 16
_CAPACITY = 2**21
"""Numbers that are held in memory at once, at most."""


def lower_median(numbers: Callable[[], Iterable[NDArray[np.float64]]], *, capacity: int = _CAPACITY) -> float:
    """Return the median of all positive numbers; the lower of two middle ones.

    Parameters
    ----------
    numbers : callable
        Returns an iterable of arrays of any shape, with all numbers, each at least 0. It is called up to 5 times.
    capacity : int
        Numbers to hold in memory at once, at most.

    Returns
    -------
    float
        0 if no number is positive.

    Notes
    -----
    Read as integers, the bits of positive floating-point numbers have the same order. So each pass counts the next 16
    bits of the numbers that share the median's leading bits, until few enough remain to be sorted.

    Examples
    --------
    >>> lower_median(lambda: [np.array([[4.0, 0.0]]), np.array([9.0, 1.0])])
    4.0
    """
    prefix, rank, remaining = 0, -1, capacity + 1
    for shift in range(64 - _BITS, -1, -_BITS):
        if remaining <= capacity:
            break
        counts = np.zeros(2**_BITS, np.int64)
        for bits in _with_prefix(numbers(), prefix, shift + _BITS):
            digits = (bits >> np.uint64(shift)) & np.uint64(2**_BITS - 1)
            counts += np.bincount(digits.astype(np.int64), minlength=2**_BITS)
        if rank < 0:
            if not counts.any():
                return 0.0
            rank = (int(counts.sum()) - 1) // 2
        digit = int(np.searchsorted(np.cumsum(counts), rank, side="right"))
        rank -= int(counts[:digit].sum())
        remaining = int(counts[digit])
        prefix, known_from = prefix << _BITS | digit, shift
    else:
        return float(np.array(prefix, np.uint64).view(np.float64))
    candidates = np.concatenate(list(_with_prefix(numbers(), prefix, known_from)))
    return float(np.partition(candidates, rank)[rank].view(np.float64))


def _with_prefix(numbers: Iterable[NDArray[np.float64]], prefix: int, shift: int) -> Iterable[NDArray[np.uint64]]:
    """Yield the bits of the positive numbers whose bits from `shift` upwards are the prefix."""
    for part in numbers:
        bits = np.ascontiguousarray(part).reshape(-1).view(np.uint64)
        bits = bits[bits > 0]
        yield bits if shift == 64 else bits[bits >> np.uint64(shift) == np.uint64(prefix)]
