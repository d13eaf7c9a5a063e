# SPDX-License-Identifier: Apache-2.0
"""The compiled solver of partial assignment problems: the best k pairs, or the pairs that pay more than a threshold.

Let c be the integer costs of pairs (see `integer_costs`), v the prices of the columns, and m[i] the least
c[i, j] + v[j] of row i. By duality, k pairs are optimal if no price is negative, unassigned columns have price 0, every
assigned row has a column that attains m[i], and a *level* separates the rows: m[i] is at most the level if row i is
assigned, and at least the level if not. The level is the price of one more pair. For a threshold it is given, and k
follows from it.

A problem passes through three stages, which share the prices:

1. *auctions* with a bid increment bring prices close to the optimum (see `pair_auction`);
2. an auction with increment zero, and shortest augmenting paths where it is stuck, assign k rows. In each round, with n
   rows missing, the rows below the (n + 1)-th least m[i] of the unassigned ones get a column, or reach that level. So
   there are never more than k, and the level separates the rows after each round. The last few are assigned one by one,
   from the least m[i] upwards;
3. columns that stage 1 priced, but that no row wanted, are given up one by one, again along shortest paths, until all
   unassigned columns have price 0 (see `partial_paths`).

Stages 1 and 2 have a budget of bids. Stage 2 needs at most k paths, and stage 3 one per column, with at most one scan
of each row per path: time is O(S^3) in the worst case.

Source of the alternation of forward auctions and price reductions: D. P. Bertsekas and D. A. Castañon, "A
forward/reverse auction algorithm for asymmetric assignment problems" (Computational Optimization and Applications 1,
1992).
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled
from simplugins.matching.integer_costs import (
    HEADROOM_BITS,
    UNREACHED_BITS,
    cost_error,
    extremes,
    make_costs,
    reset_prices,
)
from simplugins.matching.pair_auction import bid_below, bid_for_pairs, lower_free_prices, lower_prices, start_auction
from simplugins.matching.partial_paths import extend, give_up
from simplugins.matching.starting_prices import set_starting_prices, span_of_costs
from simplugins.matching.vector_scans import CLOSED_PRICE_BITS, LANES

AUCTIONS = np.array([(12.0, 7)])
AUCTIONS_OF_MANY = np.array([(5.0, 4), (20, 4)])
"""The auctions of stage 1, each as (steps, maximum number of bids per row); the increment is the span of costs divided
by ``steps * sqrt(rows)``. The second are for at least `MANY_ROWS` rows. Fastest on activations with 49 to 784
positions, like all of these parameters."""

MANY_ROWS = 100

START_ROWS = 100
"""Minimum number of rows at which starting prices pay off; they also require equal sides."""

ROUNDS, ROWS_PER_ROUND = 5, 100
"""Maximum number of rounds of an auction: this many, and one more for each of these rows."""

MOST, MAX_HALVINGS = 0.75, 20
"""Each round is to assign this share of the rows that are missing; its bound is found by halving an interval."""

FEW = 0.02
"""The share of the rows that are assigned one by one."""

SHIFT, SHIFT_OF_MANY = 1.0, 8.0
"""Before stage 2, all prices are lowered by this multiple of the last increment: bids restore those that are wanted,
which takes less time than giving up the others one by one."""

EXACT_BUDGET = 2
"""Maximum number of bids per row at increment zero."""


@compiled
def assign_pairs(  # type: ignore[no-untyped-def]
    affinities, problems, counts, threshold, work, levels, columns, prices, shortfall
):
    """Solve partial assignment problems, each of them a submatrix of the affinities.

    Parameters
    ----------
    affinities, problems, work, columns, prices
        As for `linear_assignment.assign_batch`; unassigned rows have column -1, and no price is negative.
    counts : (B,) int64 array
        The number of pairs of each problem, at most that of its smaller side.
    threshold : float
        Only pairs with a larger affinity are assigned, and of these as many as pay; -inf for exactly `counts` pairs.
    levels : (3, P) integer array
        Scratch, of the type of costs; P is the number of columns of the largest problem, padded to `LANES`.
    shortfall : (B,) float64 array, written
        As for `linear_assignment.assign_batch`.
    """
    for problem in range(len(problems)):
        start, stop, first, end = problems[problem]
        block = affinities[start:stop]
        transposed = stop - start > end - first
        rows = min(stop - start, end - first)
        cols = max(stop - start, end - first)
        padded = (cols + LANES - 1) // LANES * LANES
        costs = work.costs[: rows * padded].reshape(rows, padded)
        top, bottom = extremes(block, first, end, work)
        unit = make_costs(block, first, end, transposed, top, bottom, costs)
        reset_prices(costs, cols, work)
        level = _limit(costs, top, unit, threshold)
        searched = 0 < unit < np.inf
        span = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS)
        count = counts[problem]
        if searched and level > 0 and rows == cols and rows >= START_ROWS:
            set_starting_prices(costs, cols, work)
            span = span_of_costs(costs, work)
            _keep_highest(cols, count if threshold == -np.inf else min(count, _rows_below(costs, cols, level)), work)
        open_levels = levels[:, : (rows + LANES - 1) // LANES * LANES]
        _assign(costs, cols, count, level, threshold > -np.inf, span if searched else 0.0, work, open_levels)
        step = unit if searched else 0.0
        _write(transposed, rows, cols, first, step, work, columns[start:stop], prices[problem])
        paired = _keep_above(block, threshold, columns[start:stop])
        exact = paired == 0 and top <= threshold
        shortfall[problem] = 0.0 if exact else unit * cost_error(costs)


@compiled
def _limit(costs, top, unit, threshold):  # type: ignore[no-untyped-def]
    """Return the cost from which on pairs are not worth it: that of an affinity at the threshold."""
    beyond = 2.0 ** (8 * costs.itemsize - CLOSED_PRICE_BITS) - 1
    if threshold == -np.inf:
        return costs.dtype.type(beyond)
    if unit == 0 or unit == np.inf:
        return costs.dtype.type(beyond if top > threshold else 0)
    scale = 1 / unit
    return costs.dtype.type(max(0.0, min((top - threshold) * scale, beyond)))


@compiled
def _rows_below(costs, cols, level):  # type: ignore[no-untyped-def]
    """Return the number of rows with a cost below a level."""
    rows = 0
    for i in range(len(costs)):
        rows += costs[i, :cols].min() < level
    return rows


@compiled
def _keep_highest(cols, count, work):  # type: ignore[no-untyped-def]
    """Shift prices such that only the `count` highest are above zero."""
    lowest = np.sort(work.prices[:cols])[cols - max(count, 1)]
    for j in range(cols):
        work.prices[j] = max(work.prices[j] - lowest, 0)


@compiled
def _assign(costs, cols, count, limit, at_threshold, span, work, levels):  # type: ignore[no-untyped-def]
    """Assign `count` rows at minimum total cost, or with `at_threshold` those rows that pay less than the limit."""
    zero = costs.dtype.type(0)
    if span > 0:
        _set_prices(costs, cols, count, limit, span, work, levels)
    start_auction(costs, cols, work, levels)
    assigned, budget = _assign_most(costs, cols, count, limit, EXACT_BUDGET * costs.shape[0], work, levels)
    while True:
        assigned, budget, ceiling = bid_for_pairs(costs, cols, count, assigned, limit, zero, budget, work, levels)
        if ceiling < 0:
            break
        assigned += extend(costs, cols, ceiling, limit, work, levels)
    level = limit if at_threshold else _highest_cost(costs, work)
    entry = zero if at_threshold else costs.dtype.type(1 << (8 * costs.itemsize - UNREACHED_BITS))
    for j in range(cols):
        while work.row_of[j] < 0 and work.prices[j] > 0:
            level = give_up(costs, cols, level, entry, work, levels)


@compiled
def _set_prices(costs, cols, count, limit, span, work, levels):  # type: ignore[no-untyped-def]
    """Bring prices close to the optimum, by auctions of decreasing increments."""
    rows = costs.shape[0]
    many = rows >= MANY_ROWS
    auctions = AUCTIONS_OF_MANY if many else AUCTIONS
    for k in range(len(auctions)):
        increment = costs.dtype.type(span / (auctions[k, 0] * np.sqrt(rows)))
        start_auction(costs, cols, work, levels)
        assigned, budget = 0, int(auctions[k, 1]) * rows
        for _ in range(ROUNDS + rows // ROWS_PER_ROUND):
            if assigned == count or budget == 0:
                break
            bound = _bound(levels[0, :rows], count - assigned, limit)
            gained, budget = bid_below(costs, cols, bound, increment, budget, work, levels)
            assigned += gained
        if k + 1 < len(auctions):
            lower_free_prices(costs, cols, limit, work, levels)
    lower_prices(work.prices[:cols], costs.dtype.type(increment * (SHIFT_OF_MANY if many else SHIFT)))


@compiled
def _assign_most(costs, cols, count, limit, budget, work, levels):  # type: ignore[no-untyped-def]
    """Assign all but a few of `count` rows at minimum total cost; return their number, and the bids that remain."""
    rows, assigned = costs.shape[0], 0
    for _ in range(ROUNDS + rows // ROWS_PER_ROUND):
        if count - assigned < 1 + FEW * rows:
            break
        bound = _bound(levels[0, :rows], count - assigned, limit)
        gained, budget = bid_below(costs, cols, bound, costs.dtype.type(0), budget, work, levels)
        while levels[0, :rows].min() < bound:
            gained += extend(costs, cols, bound, bound, work, levels)
        if gained == 0:
            break
        assigned += gained
    return assigned, budget


@compiled
def _bound(levels, count, limit):  # type: ignore[no-untyped-def]
    """Return a level, up to the limit, below which there are at most `count` unassigned rows, but most of these."""
    if _count_below(levels, limit) <= count:
        return limit
    bound, beyond = levels.min(), limit
    for _ in range(MAX_HALVINGS):
        middle = levels.dtype.type(bound + (beyond - bound) // 2)
        below = _count_below(levels, middle)
        if below > count:
            beyond = middle
        else:
            bound = middle
            if below >= MOST * count:
                break
    return bound


@compiled
def _count_below(levels, bound):  # type: ignore[no-untyped-def]
    below = levels.dtype.type(0)
    for level in levels:
        below += level < bound
    return below


@compiled
def _highest_cost(costs, work):  # type: ignore[no-untyped-def]
    """Return the highest cost plus price of an assigned row."""
    highest = costs.dtype.type(0)
    for i in range(costs.shape[0]):
        j = work.column_of[i]
        if j >= 0:
            highest = max(highest, costs.dtype.type(costs[i, j] + work.prices[j]))
    return highest


@compiled
def _write(transposed, rows, cols, first, unit, work, columns, prices):  # type: ignore[no-untyped-def]
    """Write the column of each row, and the prices in units of affinity."""
    columns[:] = -1
    for i in range(rows):
        j = work.column_of[i]
        if j >= 0:
            if transposed:
                columns[j] = first + i
            else:
                columns[i] = first + j
    for j in range(cols):
        prices[j] = work.prices[j] * unit


@compiled
def _keep_above(block, threshold, columns):  # type: ignore[no-untyped-def]
    """Drop pairs at or below the threshold, which rounding may let through; return the number of those left."""
    pairs = 0
    for i in range(len(columns)):
        if columns[i] >= 0:
            if block[i, columns[i]] > threshold:
                pairs += 1
            else:
                columns[i] = -1
    return pairs
