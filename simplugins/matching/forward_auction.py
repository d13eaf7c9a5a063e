# SPDX-License-Identifier: Apache-2.0
"""The forward auction of an assignment problem, and the proof that its assignment is within the tolerance.

Source: D. P. Bertsekas, "A distributed algorithm for the assignment problem" (1979).
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled
from simplugins.matching.integer_costs import cost_error, settle_prices
from simplugins.matching.vector_scans import two_smallest

GAP_OF_INCREMENT = 0.15
"""Auctions rarely reach a gap below this share of ``rows * increment``, so a proof is not attempted then."""

_ROUNDING = 1e-12
"""Bound on the relative rounding error of the sums in a proof."""


@compiled
def run_auction(costs, cols, increment, budget, work):  # type: ignore[no-untyped-def]
    """Let unassigned rows bid for their best column until all are assigned or the budget of bids is spent.

    A bid raises the column's price to the point where the row would be indifferent to its second best column, plus the
    increment.
    """
    prices, row_of, column_of, queue = work.prices, work.row_of, work.column_of, work.queue
    rows = costs.shape[0]
    row_of[:cols] = -1
    column_of[:rows] = -1
    for i in range(rows):
        queue[i] = i
    waiting, head, tail = rows, 0, 0
    for _ in range(budget):
        if waiting == 0:
            break
        i = queue[head]
        head = head + 1 if head + 1 < rows else 0
        waiting -= 1
        j, smallest, second = two_smallest(costs, i, prices[: costs.shape[1]])
        if cols == 1:
            second = smallest
        if second == smallest and row_of[j] >= 0:
            j = _free_among_best(costs, i, smallest, cols, work, j)
        prices[j] += second - smallest + increment
        previous = row_of[j]
        row_of[j] = i
        column_of[i] = j
        if previous >= 0:
            column_of[previous] = -1
            queue[tail] = previous
            tail = tail + 1 if tail + 1 < rows else 0
            waiting += 1


@compiled
def _free_among_best(costs, i, smallest, cols, work, otherwise):  # type: ignore[no-untyped-def]
    """Return a free column among those tied for the row's best, if any, so that no other row loses its column."""
    for j in range(cols):
        if work.row_of[j] < 0 and costs[i, j] + work.prices[j] == smallest:
            return j
    return otherwise


@compiled
def prove_tolerance(costs, cols, increment, tolerance, highest, work):  # type: ignore[no-untyped-def]
    """Try to prove that an auction's assignment falls short of the optimum by at most the tolerance, a share of it.

    The value of an assignment is `highest` minus its cost. The proof changes prices: it starts with bids at increment
    zero, which can only tighten the dual bound. Returns whether it succeeded, and a bound on the shortfall in units.
    """
    rows = costs.shape[0]
    _complete_assignment(rows, cols, work)
    work.assigned[:rows] = work.column_of[:rows]
    cost = 0.0
    for i in range(rows):
        cost += costs[i, work.assigned[i]]
    if GAP_OF_INCREMENT * rows * increment > tolerance * abs(highest - cost):
        return False, np.inf
    if rows == cols:
        settle_prices(costs, cols, work)
    run_auction(costs, cols, 0, rows, work)
    least = _dual_bound(costs, cols, work)
    shortfall = cost - least + cost_error(costs)
    if shortfall > tolerance * (abs(highest - least) - cost_error(costs)) - _ROUNDING * (abs(highest) + abs(least)):
        return False, shortfall
    work.column_of[:rows] = work.assigned[:rows]
    return True, shortfall


@compiled
def _dual_bound(costs, cols, work):  # type: ignore[no-untyped-def]
    """Return the lower bound on the cost of any assignment that the prices imply."""
    prices = work.prices[: costs.shape[1]]
    least = 0.0
    for i in range(costs.shape[0]):
        least += two_smallest(costs, i, prices)[1]
    for j in range(cols):
        least -= prices[j]
    return least


@compiled
def _complete_assignment(rows, cols, work):  # type: ignore[no-untyped-def]
    """Assign the rows that an auction left unassigned to columns that it left free."""
    j = 0
    for i in range(rows):
        if work.column_of[i] < 0:
            while work.row_of[j] >= 0:
                j += 1
            work.column_of[i] = j
            work.row_of[j] = i
