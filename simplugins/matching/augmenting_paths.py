# SPDX-License-Identifier: Apache-2.0
"""Shortest augmenting paths of an assignment problem: Dijkstra's algorithm on reduced costs.

Source: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
problems" (Computing 38, 1987).
"""

from __future__ import annotations

from simplugins._common.compiled import compiled_inner
from simplugins.matching.integer_costs import EVEN, TAKEN, UNREACHED_BITS
from simplugins.matching.vector_scans import relax, relax_open


@compiled_inner
def augment_free_rows(costs, work):  # type: ignore[no-untyped-def]
    """Assign each unassigned row along a shortest augmenting path."""
    for i in range(len(costs)):
        if work.column_of[i] < 0:
            _augment(costs, i, work)


@compiled_inner
def _augment(costs, source, work):  # type: ignore[no-untyped-def]
    """Find the shortest path from an unassigned row to a free column, and flip it."""
    padded = costs.shape[1]
    unreached = costs.dtype.type(1 << (8 * costs.itemsize - UNREACHED_BITS))
    keys, predecessors = work.keys, work.predecessors
    for j in range(padded):
        keys[j] = unreached
    nearest, key = relax(costs, source, costs.dtype.type(0), work.prices, keys, predecessors)
    work.counts[2] += 1
    sink, _ = _search(costs, nearest, key, work)
    work.prices[sink] |= TAKEN
    j = sink
    while j >= 0:
        i = predecessors[j]
        work.row_of[j] = i
        following = work.column_of[i]
        work.column_of[i] = j
        j = following


@compiled_inner
def _search(costs, column, key, work):  # type: ignore[no-untyped-def]
    """Find the nearest free column, and raise the prices of all that are nearer; return the column and its distance.

    The search begins at the nearest column and its key. Each step closes the nearest open column, and continues from
    the row assigned to it. Keys are distances, plus one for taken columns: of several that are equally near, the search
    ends at a free one.
    """
    prices, row_of, distances, closed = work.prices, work.row_of, work.distances, work.closed
    keys, predecessors = work.keys, work.predecessors
    n_closed = 0
    distance = key & EVEN
    while key != distance:
        distances[column] = distance
        keys[column] = -1
        closed[n_closed] = column
        n_closed += 1
        i = row_of[column]
        base = costs.dtype.type(distance - costs[i, column] - (prices[column] & EVEN))
        column, key = relax_open(costs, i, base, prices, keys, predecessors)
        distance = key & EVEN
    work.counts[1] += 1
    work.counts[2] += n_closed
    for k in range(n_closed):
        j = closed[k]
        prices[j] += distance - distances[j]
    return column, distance


@compiled_inner
def give_up_priced_columns(costs, cols, work):  # type: ignore[no-untyped-def]
    """Give all free columns the lowest price, as optimality requires if columns outnumber rows, and shift it to zero.

    Imagine further rows whose costs are all zero, one per column that remains free. All of them have the same dual, the
    *level*, which is the lowest price; columns that one of them holds are *given up* and marked in `order`. Each free
    column of a higher price needs an augmenting path that starts at such a row.
    """
    level = costs.dtype.type(0)
    priced = 0
    for j in range(cols):
        free = work.row_of[j] < 0
        given_up = free and work.prices[j] == 0
        work.order[j] = given_up
        priced += free != given_up
    if priced == 0:
        return
    for j in range(cols):
        while work.row_of[j] < 0 and not work.order[j]:
            level = _give_up_one(costs, cols, work)
    for j in range(cols):
        work.prices[j] = 0 if work.order[j] else work.prices[j] - level


@compiled_inner
def _give_up_one(costs, cols, work):  # type: ignore[no-untyped-def]
    """Give up one more column, along a shortest path; return the new level."""
    padded = costs.shape[1]
    keys, predecessors = work.keys, work.predecessors
    nearest, key = 0, costs.dtype.type(1 << (8 * costs.itemsize - UNREACHED_BITS))
    for j in range(padded):
        keys[j] = -1 if j >= cols or work.order[j] else work.prices[j]
        predecessors[j] = -1
        if 0 <= keys[j] < key:
            nearest, key = j, keys[j]
    sink, level = _search(costs, nearest, key, work)
    j = sink
    while predecessors[j] >= 0:
        i = predecessors[j]
        work.row_of[j] = i
        work.prices[j] |= TAKEN
        following = work.column_of[i]
        work.column_of[i] = j
        j = following
    work.row_of[j] = -1
    work.order[j] = 1
    return costs.dtype.type(level)
