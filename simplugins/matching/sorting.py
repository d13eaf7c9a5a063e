# SPDX-License-Identifier: Apache-2.0
"""Sorting in compiled code."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled_inner
from simplugins.matching.cost_scans import count_above
from simplugins.matching.vector_scans import LANES

COUNTED = 400
"""Up to this many values are sorted by counting those above each of them, with few steps that depend on others."""

RUN = 16
"""Length of the runs that are sorted by insertion."""


@compiled_inner
def sort_padded(values, order, spare, count):  # type: ignore[no-untyped-def]
    """Write the indices of the first values as `sort_descending` does; overwrites those behind them, up to `LANES`."""
    if count > COUNTED:
        sort_descending(values[:count], order, spare)
        return
    padded = (count + LANES - 1) // LANES * LANES
    for k in range(count, padded):
        values[k] = -np.inf
    for k in range(count):
        order[k] = -1
    for k in range(count):
        place = count_above(values, padded, values[k])
        while order[place] >= 0:  # equal values
            place += 1
        order[place] = k


@compiled_inner
def sort_descending(values, order, spare):  # type: ignore[no-untyped-def]
    """Write the indices of values in descending order, those of equal values in ascending order.

    Merges runs of doubling length, the first of which are sorted by insertion. `numpy.argsort` takes as long to compile
    as the rest of the matching.
    """
    size = values.size
    for start in range(0, size, RUN):
        for i in range(start, min(start + RUN, size)):
            place = i
            while place > start and values[order[place - 1]] < values[i]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = i
    width = RUN
    while width < size:
        for start in range(0, size, 2 * width):
            left, middle, stop = start, min(start + width, size), min(start + 2 * width, size)
            right = middle
            for place in range(start, stop):
                if left < middle and (right == stop or values[order[left]] >= values[order[right]]):
                    spare[place] = order[left]
                    left += 1
                else:
                    spare[place] = order[right]
                    right += 1
        for place in range(size):
            order[place] = spare[place]
        width *= 2
