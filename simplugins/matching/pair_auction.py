# SPDX-License-Identifier: Apache-2.0
"""Auctions of a partial assignment problem, in which rows bid for columns until enough of them have one.

Rows bid in any order as long as their level, the least cost plus price, is below a bound that too few rows are below to
exceed the number of pairs (`bid_below`); the last ones bid in the order of their levels (`bid_for_pairs`).
"""

from __future__ import annotations

from simplugins._common.compiled import compiled_inner
from simplugins.matching.vector_scans import CLOSED_PRICE_BITS, two_smallest


@compiled_inner
def start_auction(costs, cols, work, levels):  # type: ignore[no-untyped-def]
    """Unassign all rows and columns, and set the levels of the rows: the least cost plus price of each.

    The first row of `levels` has lower bounds for unassigned rows, and a closed price for others; the second is zero.
    """
    rows = costs.shape[0]
    work.row_of[:cols] = -1
    work.column_of[:rows] = -1
    levels[0, rows:] = 1 << (8 * costs.itemsize - CLOSED_PRICE_BITS)
    levels[1] = 0
    for i in range(rows):
        levels[0, i] = two_smallest(costs, i, work.prices[: costs.shape[1]])[1]


@compiled_inner
def bid_below(costs, cols, bound, increment, budget, work, levels):  # type: ignore[no-untyped-def]
    """Let the unassigned rows with a level below the bound bid in turn, until they reach the bound or have a column.

    A bid raises the column's price to the point where the row would be indifferent to its second best column, or to the
    bound, plus the increment. Rows whose bid would not raise the price of an assigned column, or for whose bid there is
    no budget left, remain unassigned, with levels below the bound.

    Returns
    -------
    gained : int
        The number of additional assigned rows.
    budget : int
        The number of bids for assigned columns that remain.
    """
    closed = costs.dtype.type(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS))
    prices, row_of, column_of, queue = work.prices, work.row_of, work.column_of, work.queue
    open_prices, rows = prices[: costs.shape[1]], costs.shape[0]
    waiting, gained = 0, 0
    for i in range(rows):
        if levels[0, i] < bound:
            queue[waiting] = i
            waiting += 1
            levels[0, i] = closed
    head, tail = 0, waiting if waiting < rows else 0
    while waiting > 0:
        i = queue[head]
        head = head + 1 if head + 1 < rows else 0
        waiting -= 1
        j, smallest, second = two_smallest(costs, i, open_prices)
        if second == smallest and row_of[j] >= 0:
            j = _free_among_best(costs, i, smallest, cols, work, j)
        previous = row_of[j]
        target = min(second, bound) + increment
        if smallest >= bound or (previous >= 0 and (target == smallest or budget == 0)):
            levels[0, i] = smallest
            continue
        if previous >= 0:
            budget -= 1
            column_of[previous] = -1
            queue[tail] = previous
            tail = tail + 1 if tail + 1 < rows else 0
            waiting += 1
        else:
            gained += 1
        if previous >= 0 or second < bound:
            prices[j] += target - smallest
        row_of[j] = i
        column_of[i] = j
    return gained, budget


@compiled_inner
def bid_for_pairs(costs, cols, count, assigned, limit, increment, budget, work, levels):  # type: ignore[no-untyped-def]
    """Let the unassigned row of the least level bid, until `count` rows are assigned or no level is below the limit.

    A bid raises the column's price to the point where the row would be indifferent to its second best column, or to
    leaving its place to the next unassigned row, plus the increment.

    Returns
    -------
    assigned : int
        The number of assigned rows.
    budget : int
        The number of bids for assigned columns that remain.
    ceiling : integer
        If bids cannot continue (because a bid would not raise a price, or the budget is spent), the least level of the
        other unassigned rows, at most the limit; otherwise -1.
    """
    closed = costs.dtype.type(1 << (8 * costs.itemsize - CLOSED_PRICE_BITS))
    prices, row_of, column_of = work.prices, work.row_of, work.column_of
    open_prices, zeros = prices[: costs.shape[1]], levels[1]
    while assigned < count:
        i, level, ceiling = two_smallest(levels, 0, zeros)
        if level >= limit:
            break
        levels[0, i] = closed
        ceiling = min(ceiling, limit)
        while True:
            j, smallest, second = two_smallest(costs, i, open_prices)
            if smallest > ceiling or smallest >= limit:
                levels[0, i] = smallest
                break
            if second == smallest and row_of[j] >= 0:
                j = _free_among_best(costs, i, smallest, cols, work, j)
            target = min(second, ceiling) + increment
            previous = row_of[j]
            if previous >= 0 and (target == smallest or budget == 0):
                levels[0, i] = smallest
                return assigned, budget, ceiling
            if target < limit or previous >= 0:
                prices[j] += target - smallest
            row_of[j] = i
            column_of[i] = j
            if previous < 0:
                assigned += 1
                break
            budget -= 1
            column_of[previous] = -1
            i = previous
    return assigned, budget, costs.dtype.type(-1)


@compiled_inner
def _free_among_best(costs, i, smallest, cols, work, otherwise):  # type: ignore[no-untyped-def]
    """Return an unassigned column among those tied for the row's best, if any."""
    for j in range(cols):
        if work.row_of[j] < 0 and costs[i, j] + work.prices[j] == smallest:
            return j
    return otherwise


@compiled_inner
def lower_free_prices(costs, cols, limit, work, levels):  # type: ignore[no-untyped-def]
    """Lower the prices of unassigned columns to the point where some row is indifferent to its own column."""
    prices, column_of = work.prices, work.column_of
    wanted = work.keys[:cols]
    wanted[:] = 0
    outside = limit
    for i in range(levels.shape[1]):
        outside = min(outside, levels[0, i])
    for i in range(costs.shape[0]):
        j = column_of[i]
        dual = min(costs.dtype.type(costs[i, j] + prices[j]), outside) if j >= 0 else outside
        row = costs[i]
        for k in range(cols):
            wanted[k] = max(wanted[k], dual - row[k])
    for j in range(cols):
        if work.row_of[j] < 0:
            prices[j] = min(prices[j], wanted[j])


@compiled_inner
def lower_prices(prices, by):  # type: ignore[no-untyped-def]
    """Lower prices to zero at the least."""
    for j in range(len(prices)):
        prices[j] = max(prices[j] - by, 0)
