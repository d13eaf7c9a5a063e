# SPDX-License-Identifier: Apache-2.0
"""The forward auction of an assignment problem, and the proof that its assignment is within the tolerance.

Source: D. P. Bertsekas, "A distributed algorithm for the assignment problem" (1979).
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled_inner
from simplugins.matching.integer_costs import EVEN, HEADROOM_BITS, TAKEN, cost_error, settle_prices
from simplugins.matching.sorting import sort_descending
from simplugins.matching.vector_scans import mean_lead, two_smallest

GAP_OF_INCREMENT = 0.15
"""Auctions rarely reach a gap below this share of ``rows * increment``, so a proof is not attempted then."""

SAMPLED_ROWS = 64

PATIENCE = 8
"""The next bid's row is scanned before a bid changes a price, because the processor then works on both at once; but not
in this many bids after a scan in vain, whose best column had received a bid in between."""

_ROUNDING = 1e-12
"""Bound on the relative rounding error of the sums in a proof."""


@compiled_inner
def start_auction(costs, cols, work):  # type: ignore[no-untyped-def]
    """Unassign all rows and columns, and let all rows wait for their bids, in order."""
    for j in range(cols):
        work.prices[j] &= EVEN
        work.row_of[j] = -1
    for i in range(costs.shape[0]):
        work.column_of[i] = -1
        work.queue[i] = i
    work.waiting[0] = 0
    work.waiting[1] = costs.shape[0]


@compiled_inner
def run_auction(costs, cols, increment, budget, work):  # type: ignore[no-untyped-def]
    """Let waiting rows bid for their best column until none waits, or the budget of bids is spent.

    A bid raises the column's price to the point where the row would be indifferent to its second best column, plus the
    increment. A row is tied if its bid would raise no price and take another row's column: bids could then go round in
    circles, so it stays unassigned. Tied rows wait behind all others in the end.

    Returns
    -------
    int
        Number of tied rows.
    """
    prices, row_of, column_of, queue, tied_rows = work.prices, work.row_of, work.column_of, work.queue, work.closed
    rows = costs.shape[0]
    head, waiting = work.waiting[0], work.waiting[1]
    tail = head + waiting if head + waiting < rows else head + waiting - rows
    tied = scans = bids = 0
    ahead, patience = False, 0
    following, following_smallest, following_second = np.int64(0), prices[0], prices[0]
    while waiting > 0 and scans < budget:
        i = queue[head]
        head = head + 1 if head + 1 < rows else 0
        waiting -= 1
        bids += 1
        j, smallest, second = following, following_smallest, following_second
        if not ahead or costs[i, j] + prices[j] != smallest:
            patience = PATIENCE if ahead else patience - 1
            j, smallest, second = two_smallest(costs, i, prices)
            scans += 1
        ahead = patience <= 0 and waiting > 0 and scans < budget
        if ahead:
            following, following_smallest, following_second = two_smallest(costs, queue[head], prices)
            scans += 1
        lead = (second & EVEN) - (smallest & EVEN) + increment if cols > 1 else 0
        taken = smallest & TAKEN
        if taken and lead == 0:
            tied_rows[tied] = i
            tied += 1
            continue
        prices[j] = (prices[j] + lead) | TAKEN
        previous = row_of[j]
        row_of[j] = i
        column_of[i] = j
        if taken:
            column_of[previous] = -1
            queue[tail] = previous
            tail = tail + 1 if tail + 1 < rows else 0
            waiting += 1
    for k in range(tied):
        queue[tail] = tied_rows[k]
        tail = tail + 1 if tail + 1 < rows else 0
    work.waiting[0] = head
    work.waiting[1] = waiting + tied
    work.counts[0] += bids
    work.counts[2] += scans
    return tied


@compiled_inner
def typical_lead(costs, work):  # type: ignore[no-untyped-def]
    """Return the median, over a sample of rows, of how much the best column leads; see `scalar_scans.mean_lead`."""
    rows = costs.shape[0]
    step = max(1, rows // SAMPLED_ROWS)
    count = 0
    for i in range(0, rows, step):
        work.means[0, count] = mean_lead(costs, i, work.prices)
        count += 1
    work.counts[2] += count
    sort_descending(work.means[0, :count], work.order, work.closed)
    return work.means[0, work.order[count // 2]]


@compiled_inner
def even_increment(costs, size):  # type: ignore[no-untyped-def]
    """Return an increment as an even integer, at most the range of costs."""
    most = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS)
    return np.int64(size if size < most else most) & EVEN


@compiled_inner
def prove_tolerance(costs, cols, increment, tolerance, highest, work):  # type: ignore[no-untyped-def]
    """Try to prove that an auction's assignment falls short of the optimum by at most the tolerance, a share of it.

    The value of an assignment is `highest` minus its cost. The proof changes prices and unassigns rows: it starts with
    bids at increment zero, which can only tighten the dual bound. Returns whether it succeeded, and a bound on the
    shortfall in units.
    """
    rows = costs.shape[0]
    _complete_assignment(rows, work)
    cost = 0.0
    for i in range(rows):
        work.assigned[i] = work.column_of[i]
        cost += costs[i, work.assigned[i]]
    if GAP_OF_INCREMENT * rows * increment > tolerance * abs(highest - cost):
        return False, np.inf
    if rows == cols:
        settle_prices(costs, cols, work)
    start_auction(costs, cols, work)
    run_auction(costs, cols, np.int64(0), rows, work)
    least = _dual_bound(costs, cols, work)
    shortfall = cost - least + cost_error(costs)
    if shortfall > tolerance * (abs(highest - least) - cost_error(costs)) - _ROUNDING * (abs(highest) + abs(least)):
        return False, shortfall
    for i in range(rows):
        work.column_of[i] = work.assigned[i]
    return True, shortfall


@compiled_inner
def _dual_bound(costs, cols, work):  # type: ignore[no-untyped-def]
    """Return the lower bound on the cost of any assignment that the prices imply."""
    least = 0.0
    for i in range(costs.shape[0]):
        least += two_smallest(costs, i, work.prices)[1] & EVEN
    for j in range(cols):
        least -= work.prices[j] & EVEN
    work.counts[2] += costs.shape[0]
    return least


@compiled_inner
def _complete_assignment(rows, work):  # type: ignore[no-untyped-def]
    """Assign the rows that an auction left unassigned to columns that it left free."""
    j = 0
    for i in range(rows):
        if work.column_of[i] < 0:
            while work.row_of[j] >= 0:
                j += 1
            work.column_of[i] = j
            work.row_of[j] = i
