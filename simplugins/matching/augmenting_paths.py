# SPDX-License-Identifier: Apache-2.0
"""Shortest augmenting paths of an assignment problem: Dijkstra's algorithm on reduced costs.

Source: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
problems" (Computing 38, 1987).
"""

from __future__ import annotations

from simplugins._common.compiled import compiled
from simplugins.matching.integer_costs import UNREACHED_BITS
from simplugins.matching.vector_scans import CLOSED_PRICE_BITS, relax, two_smallest


@compiled
def augment_free_rows(costs, cols, work):  # type: ignore[no-untyped-def]
    """Assign each unassigned row along a shortest augmenting path."""
    rows, padded = costs.shape
    prices = work.prices[:padded]
    n_free = 0
    for j in range(cols):
        if work.row_of[j] < 0:
            work.free_columns[n_free] = j
            n_free += 1
    if n_free == cols - rows:
        return
    for i in range(rows):
        if work.column_of[i] < 0:
            work.row_duals[i] = two_smallest(costs, i, prices)[1]
        else:
            work.row_duals[i] = costs[i, work.column_of[i]] + prices[work.column_of[i]]
    for i in range(rows):
        if work.column_of[i] < 0:
            n_free = _augment(costs, i, n_free, work)


@compiled
def _augment(costs, source, n_free, work):  # type: ignore[no-untyped-def]
    """Find the shortest path from an unassigned row to a free column, and flip it.

    Each step closes the nearest open column and continues from the row assigned to it; ties go to free columns. Returns
    the number of columns that remain free.
    """
    padded = costs.shape[1]
    width = 8 * costs.itemsize
    prices, row_duals, row_of = work.prices, work.row_duals, work.row_of
    keys, open_prices, predecessors = work.keys[:padded], work.open_prices[:padded], work.predecessors[:padded]
    distances, closed, free_columns = work.distances, work.closed, work.free_columns
    unreached = 1 << (width - UNREACHED_BITS)
    never = 1 << (width - CLOSED_PRICE_BITS)
    keys[:] = unreached
    open_prices[:] = prices[:padded]
    n_closed = 0
    i = source
    nearest = costs.dtype.type(0)
    while True:
        base = costs.dtype.type(nearest - row_duals[i])
        sink, nearest = relax(costs, i, base, open_prices, keys, predecessors)
        if row_of[sink] >= 0:
            for k in range(n_free):
                if keys[free_columns[k]] == nearest:
                    sink = free_columns[k]
                    break
        if row_of[sink] < 0:
            break
        distances[sink] = nearest
        keys[sink] = unreached
        open_prices[sink] = never
        closed[n_closed] = sink
        n_closed += 1
        i = row_of[sink]
    row_duals[source] += nearest
    for k in range(n_closed):
        j = closed[k]
        prices[j] += nearest - distances[j]
        row_duals[row_of[j]] += nearest - distances[j]
    _flip(source, sink, work)
    for k in range(n_free):
        if free_columns[k] == sink:
            free_columns[k] = free_columns[n_free - 1]
            break
    return n_free - 1


@compiled
def _flip(source, sink, work):  # type: ignore[no-untyped-def]
    """Assign each column of the path from `source` to `sink` to the row that precedes it."""
    j = sink
    while True:
        i = work.predecessors[j]
        work.row_of[j] = i
        following = work.column_of[i]
        work.column_of[i] = j
        if i == source:
            break
        j = following
