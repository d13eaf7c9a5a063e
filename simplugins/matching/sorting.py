# SPDX-License-Identifier: Apache-2.0
"""Sorting of short arrays in compiled code."""

from __future__ import annotations

from simplugins._common.compiled import compiled_inner


@compiled_inner
def sort_with_order(values, order, count):  # type: ignore[no-untyped-def]
    """Sort the first values in ascending order, and write where each of them was. Shell's method."""
    for k in range(count):
        order[k] = k
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap >= 1:
        for k in range(gap, count):
            value, origin = values[k], order[k]
            place = k
            while place >= gap and values[place - gap] > value:
                values[place] = values[place - gap]
                order[place] = order[place - gap]
                place -= gap
            values[place] = value
            order[place] = origin
        gap //= 3
