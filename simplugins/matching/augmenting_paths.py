# SPDX-License-Identifier: Apache-2.0
"""Shortest augmenting paths of an assignment problem: Dijkstra's algorithm on reduced costs.

Source: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
problems" (Computing 38, 1987).
"""

from __future__ import annotations

from simplugins._common.compiled import compiled_inner
from simplugins.matching.integer_costs import EVEN, TAKEN, UNREACHED_BITS
from simplugins.matching.vector_scans import CLOSED_PRICE_BITS, relax


@compiled_inner
def augment_free_rows(costs, work):  # type: ignore[no-untyped-def]
    """Assign each unassigned row along a shortest augmenting path."""
    for i in range(len(costs)):
        if work.column_of[i] < 0:
            _augment(costs, i, work)


@compiled_inner
def _augment(costs, source, work):  # type: ignore[no-untyped-def]
    """Find the shortest path from an unassigned row to a free column, and flip it.

    Each step closes the nearest open column and continues from the row assigned to it. Columns are nearer by one if
    they are free, so of several that are equally near, the path ends at a free one.
    """
    padded = costs.shape[1]
    width = 8 * costs.itemsize
    unreached = costs.dtype.type(1 << (width - UNREACHED_BITS))
    never = costs.dtype.type(1 << (width - CLOSED_PRICE_BITS))
    prices, row_of, distances, closed = work.prices, work.row_of, work.distances, work.closed
    keys, open_prices, predecessors = work.keys[:padded], work.open_prices[:padded], work.predecessors[:padded]
    for j in range(padded):
        keys[j] = unreached
        open_prices[j] = prices[j]
    n_closed = 0
    i = source
    base = costs.dtype.type(0)
    while True:
        sink, key = relax(costs, i, base, open_prices, keys, predecessors)
        nearest = key & EVEN
        if key == nearest:
            break
        distances[sink] = nearest
        keys[sink] = unreached
        open_prices[sink] = never
        closed[n_closed] = sink
        n_closed += 1
        i = row_of[sink]
        base = costs.dtype.type(nearest - costs[i, sink] - (prices[sink] & EVEN))
    work.counts[1] += 1
    work.counts[2] += n_closed + 1
    for k in range(n_closed):
        j = closed[k]
        prices[j] += nearest - distances[j]
    prices[sink] |= TAKEN
    _flip(source, sink, work)


@compiled_inner
def give_up_priced_columns(costs, cols, work):  # type: ignore[no-untyped-def]
    """Give all free columns the lowest price, as optimality requires if columns outnumber rows, and shift it to zero.

    Think of further rows whose costs are all zero, one per column that remains free. All of them have the same dual,
    the *level*, which is the lowest price; columns that one of them holds are *given up*. Each free column of a higher
    price needs an augmenting path that starts at such a row.
    """
    level = costs.dtype.type(0)
    for j in range(cols):
        work.order[j] = work.row_of[j] < 0 and work.prices[j] == 0
    for j in range(cols):
        while work.row_of[j] < 0 and not work.order[j]:
            level = _give_up_one(costs, cols, work)
    for j in range(cols):
        work.prices[j] = 0 if work.order[j] else work.prices[j] - level


@compiled_inner
def _give_up_one(costs, cols, work):  # type: ignore[no-untyped-def]
    """Give up one more column, along a shortest path; return the new level."""
    padded = costs.shape[1]
    width = 8 * costs.itemsize
    unreached = costs.dtype.type(1 << (width - UNREACHED_BITS))
    never = costs.dtype.type(1 << (width - CLOSED_PRICE_BITS))
    prices, row_of, distances, closed = work.prices, work.row_of, work.distances, work.closed
    keys, open_prices, predecessors = work.keys[:padded], work.open_prices[:padded], work.predecessors[:padded]
    sink, key = 0, unreached
    for j in range(padded):
        out = j >= cols or work.order[j]
        open_prices[j] = never if out else prices[j]
        keys[j] = unreached if out else prices[j]
        predecessors[j] = -1
        if keys[j] < key:
            sink, key = j, keys[j]
    n_closed = 0
    nearest = key & EVEN
    while key != nearest:
        distances[sink] = nearest
        keys[sink] = unreached
        open_prices[sink] = never
        closed[n_closed] = sink
        n_closed += 1
        i = row_of[sink]
        base = costs.dtype.type(nearest - costs[i, sink] - (prices[sink] & EVEN))
        sink, key = relax(costs, i, base, open_prices, keys, predecessors)
        nearest = key & EVEN
    work.counts[1] += 1
    work.counts[2] += n_closed
    for k in range(n_closed):
        j = closed[k]
        prices[j] += nearest - distances[j]
    j = sink
    while predecessors[j] >= 0:
        i = predecessors[j]
        work.row_of[j] = i
        prices[j] |= TAKEN
        following = work.column_of[i]
        work.column_of[i] = j
        j = following
    work.row_of[j] = -1
    work.order[j] = 1
    return costs.dtype.type(nearest)


@compiled_inner
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
