# SPDX-License-Identifier: Apache-2.0
"""The scans of `simplugins.matching.vector_scans` as plain Numba loops, with equal results.

They are the reference implementation: tests compare the vector code with them. To avoid LLVM's vector types, import
this module in place of `vector_scans`.
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled

LANES = 16
"""Rows of costs are padded to a multiple of this number of columns (64 bytes of int32)."""

CLOSED_PRICE_BITS = 2
"""A closed column has the price 2**(width - CLOSED_PRICE_BITS), for integers of `width` bits."""


@compiled
def two_smallest(costs, row, prices):  # type: ignore[no-untyped-def]
    """Find the smallest and the second smallest of ``costs[row] + prices``.

    Returns ``(column, smallest, second)``; ``second`` equals ``smallest`` if two columns tie for it. Ties go to the
    lowest position within a block of 64 bytes, then to the first block.
    """
    number, lanes = costs.dtype.type, 64 // costs.itemsize
    smallest = second = number(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS))
    column = 0
    for j in range(costs.shape[1]):
        value = number(costs[row, j] + prices[j])
        if value < smallest:
            column, smallest, second = j, value, smallest
        elif value < second:
            second = value
        if value == smallest and j % lanes < column % lanes:
            column = j
    return column, smallest, second


@compiled
def mean_lead(costs, row, prices):  # type: ignore[no-untyped-def]
    """Return by how much the smallest of ``costs[row] + prices`` leads: a measure of what bids of this row are about.

    The row is read in lanes: the columns at equal places within blocks of 64 bytes. The lead is the mean, over all
    lanes, of the difference between a lane's smallest value and the row's; lanes with closed columns alone count as 0.
    """
    number, lanes = costs.dtype.type, 64 // costs.itemsize
    closed = number(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS))
    smallest = np.full(lanes, closed)
    for j in range(costs.shape[1]):
        smallest[j % lanes] = min(smallest[j % lanes], number(costs[row, j] + prices[j]))
    total = 0
    for lane in range(lanes):
        if smallest[lane] < closed:
            total += (smallest[lane] - smallest.min()) // lanes
    return number(total)


@compiled
def relax(costs, row, base, prices, keys, predecessors):  # type: ignore[no-untyped-def]
    """Lower `keys` to ``base + prices + costs[row]`` where that is less, and find the smallest key.

    `row` becomes the predecessor of columns whose key decreases. Returns ``(column, smallest key)``, with ties as in
    `two_smallest`.
    """
    number, lanes = costs.dtype.type, 64 // costs.itemsize
    smallest, column = number(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS)), 0
    for j in range(costs.shape[1]):
        reached = number(base + prices[j] + costs[row, j])
        if reached < keys[j]:
            keys[j], predecessors[j] = reached, row
        if keys[j] < smallest or (keys[j] == smallest and j % lanes < column % lanes):
            column, smallest = j, keys[j]
    return column, smallest


@compiled
def relax_open(costs, row, base, prices, keys, predecessors):  # type: ignore[no-untyped-def]
    """Lower keys as `relax` does, but leave out closed columns, whose keys are -1; all others are not negative."""
    number, lanes = costs.dtype.type, 64 // costs.itemsize
    smallest, column = number(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS)), 0
    for j in range(costs.shape[1]):
        reached = number(base + prices[j] + costs[row, j])
        if reached < keys[j]:
            keys[j], predecessors[j] = reached, row
        tied = keys[j] == smallest and j % lanes < column % lanes
        if keys[j] >= 0 and (keys[j] < smallest or tied):
            column, smallest = j, keys[j]
    return column, smallest


@compiled
def largest(affinities, row, prices):  # type: ignore[no-untyped-def]
    """Find the largest of ``affinities[row] - prices``, and the first column that attains it.

    Both are float arrays with any number of columns; the difference is computed in the wider of their types. An
    infinite price closes a column.

    Returns ``(column, largest)``.
    """
    column, best = 0, affinities[row, 0] - prices[0]
    for j in range(1, affinities.shape[1]):
        value = affinities[row, j] - prices[j]
        if value > best:
            column, best = j, value
    return column, best


@compiled
def raise_maxima(affinities, row, scale, prices, price, maxima):  # type: ignore[no-untyped-def]
    """Find the largest of ``scale * affinities[row] - prices``; raise `maxima` to ``scale * affinities[row] - price``.

    All are of one float type; the affinities have any number of columns.
    """
    best = scale * affinities[row, 0] - prices[0]
    for j in range(affinities.shape[1]):
        scaled = scale * affinities[row, j]
        best = max(best, scaled - prices[j])
        maxima[j] = max(maxima[j], scaled - price)
    return best
