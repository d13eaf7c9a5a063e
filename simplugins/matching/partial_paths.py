# SPDX-License-Identifier: Apache-2.0
"""Shortest augmenting paths of a partial assignment problem: one more pair, or one priced column fewer.

Both are Dijkstra's algorithm on reduced costs, as in `augmenting_paths`, with further sources: unassigned rows join the
search when it reaches their level. See `partial_assignment` for the conditions that they maintain.
"""

from __future__ import annotations

from simplugins._common.compiled import compiled
from simplugins.matching.integer_costs import UNREACHED_BITS
from simplugins.matching.pair_auction import lower_prices
from simplugins.matching.vector_scans import CLOSED_PRICE_BITS, relax, two_smallest


@compiled
def extend(costs, cols, ceiling, limit, work, levels):  # type: ignore[no-untyped-def]
    """Find the shortest path from an unassigned row, and flip it; return the number of additional assigned rows.

    The path ends at the nearest unassigned column; or at an assigned row that takes the place of the source, because
    its cost would rise above the `ceiling`, the least level of the other unassigned rows. If neither is nearer than the
    limit, only prices change, and the level of the source rises to the limit.
    """
    prices, row_of, column_of = work.prices, work.row_of, work.column_of
    keys, open_prices, predecessors = _paths(costs.shape[1], work)
    never = costs.dtype.type(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS))
    keys[:] = 1 << (8 * costs.itemsize - UNREACHED_BITS)
    open_prices[:] = prices[: len(keys)]
    listed = _list_unassigned(cols, work)
    n_closed, n_sources, gained = 0, 0, 1
    sink, nearest, end, leaving = 0, keys[0], ceiling, -1
    source, level, _ = two_smallest(levels, 0, levels[1])
    while True:
        if level < min(nearest, limit):
            work.queue[n_sources] = source
            n_sources += 1
            levels[0, source] = never
            sink, nearest = relax(costs, source, costs.dtype.type(0), open_prices, keys, predecessors)
            source, level, _ = two_smallest(levels, 0, levels[1])
            continue
        if leaving >= 0 and end < nearest:
            nearest, sink, gained = end, column_of[leaving], 0
            column_of[leaving] = -1
            levels[0, leaving] = ceiling
            break
        if nearest >= limit:
            nearest, sink, gained = limit, -1, 0
            break
        sink = _prefer_listed(keys, nearest, work.free_columns[:listed], row_of, sink)
        if row_of[sink] < 0:
            break
        dual = _close(costs, sink, nearest, work)
        work.closed[n_closed] = sink
        n_closed += 1
        if nearest + ceiling - dual < end:
            end, leaving = costs.dtype.type(nearest + ceiling - dual), row_of[sink]
        sink, nearest = relax(costs, row_of[sink], costs.dtype.type(nearest - dual), open_prices, keys, predecessors)
    for j in work.closed[:n_closed]:
        prices[j] += nearest - work.distances[j]
    while sink >= 0:
        i = predecessors[sink]
        row_of[sink] = i
        following = column_of[i]
        column_of[i] = sink
        sink = following
    for k in range(n_sources):
        if column_of[work.queue[k]] < 0:
            levels[0, work.queue[k]] = nearest
    return gained


@compiled
def give_up(costs, cols, level, entry, work, levels):  # type: ignore[no-untyped-def]
    """Rid one unassigned column of its price, by assigning it or by lowering prices; return the new level.

    In terms of the problem with dummy rows for unassigned columns, this assigns a dummy row, for which all columns cost
    the same; its path may pass through an assigned row that becomes unassigned, and on from there through unassigned
    rows. `entry` is the distance at which unassigned rows are reached: zero if the level is given (then any number of
    rows may be assigned), or else unreached until an assigned row gives up its column for the sake of the path.
    """
    prices, row_of, column_of = work.prices, work.row_of, work.column_of
    keys, open_prices, predecessors = _paths(costs.shape[1], work)
    never = costs.dtype.type(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS))
    keys[:] = prices[: len(keys)]
    open_prices[:] = keys
    predecessors[:] = -1
    listed = _list_priced(cols, never, work)
    n_closed, n_sources, leaving = 0, 0, -1
    sink, nearest, _ = two_smallest(keys.reshape(1, -1), 0, levels[2, : len(keys)])
    source, least, _ = two_smallest(levels, 0, levels[1])
    while True:
        if least < never and entry + least - level < nearest:
            work.assigned[n_sources] = least
            work.queue[n_sources] = source
            n_sources += 1
            levels[0, source] = never
            sink, nearest = relax(costs, source, costs.dtype.type(entry - level), open_prices, keys, predecessors)
            source, least, _ = two_smallest(levels, 0, levels[1])
            continue
        sink = _prefer_listed(keys, nearest, work.free_columns[:listed], row_of, sink)
        if row_of[sink] < 0:
            break
        dual = _close(costs, sink, nearest, work)
        work.closed[n_closed] = sink
        n_closed += 1
        if nearest + level - dual < entry:
            entry, leaving = costs.dtype.type(nearest + level - dual), row_of[sink]
        sink, nearest = relax(costs, row_of[sink], costs.dtype.type(nearest - dual), open_prices, keys, predecessors)
    left = _flip_to_free(sink, leaving, work)
    for j in work.closed[:n_closed]:
        prices[j] += nearest - work.distances[j]
    lower_prices(prices[:cols], nearest)
    level = costs.dtype.type(level - min(entry, nearest))
    for k in range(n_sources):
        if column_of[work.queue[k]] < 0:
            levels[0, work.queue[k]] = work.assigned[k]
    for i in range(costs.shape[0]):
        if levels[0, i] < never:
            levels[0, i] = max(levels[0, i] - nearest, level)
    if left >= 0:
        levels[0, left] = level
    return level


@compiled
def _paths(padded, work):  # type: ignore[no-untyped-def]
    """Return the keys, the prices and the predecessors of open columns, padded."""
    return work.keys[:padded], work.open_prices[:padded], work.predecessors[:padded]


@compiled
def _close(costs, column, distance, work):  # type: ignore[no-untyped-def]
    """Close an assigned column at its distance; return the cost plus price of its row."""
    work.distances[column] = distance
    work.keys[column] = 1 << (8 * costs.itemsize - UNREACHED_BITS)
    work.open_prices[column] = 1 << (8 * costs.itemsize - CLOSED_PRICE_BITS)
    return costs.dtype.type(costs[work.row_of[column], column] + work.prices[column])


@compiled
def _list_unassigned(cols, work):  # type: ignore[no-untyped-def]
    """List the unassigned columns in `free_columns`, and return their number."""
    listed = 0
    for j in range(cols):
        if work.row_of[j] < 0:
            work.free_columns[listed] = j
            listed += 1
    return listed


@compiled
def _list_priced(cols, never, work):  # type: ignore[no-untyped-def]
    """List the unassigned columns with a price in `free_columns`, and return their number; close those without."""
    listed = 0
    for j in range(cols):
        if work.row_of[j] < 0:
            if work.prices[j] > 0:
                work.free_columns[listed] = j
                listed += 1
            else:
                work.keys[j] = never
                work.open_prices[j] = never
    return listed


@compiled
def _prefer_listed(keys, nearest, listed, row_of, sink):  # type: ignore[no-untyped-def]
    """Return a listed column among those tied for the nearest, if any, or else the sink."""
    if row_of[sink] >= 0:
        for j in listed:
            if keys[j] == nearest:
                return j
    return sink


@compiled
def _flip_to_free(sink, leaving, work):  # type: ignore[no-untyped-def]
    """Flip the path to a sink back to the column that the dummy row takes; return the row that becomes unassigned."""
    left = -1
    while work.predecessors[sink] >= 0:
        i = work.predecessors[sink]
        work.row_of[sink] = i
        sink, work.column_of[i] = work.column_of[i], sink
        if sink < 0:
            if leaving < 0:
                return -1
            left, sink = leaving, work.column_of[leaving]
            work.column_of[leaving] = -1
        work.row_of[sink] = -1
    return left
