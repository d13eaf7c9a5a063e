# SPDX-License-Identifier: Apache-2.0
"""The compiled solver of linear assignment problems, which maximises the sum of the matched affinities.

A problem passes through three stages, which share one array of column prices. If its sides are equal, prices start from
an estimate (see `starting_prices`). If they differ, prices start from zero, and stage 1 is skipped unless a tolerance
is allowed:

1. *auctions* with decreasing bid increments (a single auction below `LARGE_ROWS`) quickly bring prices close to the
   optimum;
2. an auction with increment zero assigns most rows to a column that is exactly the best at these prices;
3. *shortest augmenting paths* assign the few remaining rows.

Stages 1 and 2 have a budget of bids, so no input can stall them; stage 3 needs one path per unassigned row, and at most
one scan of each row per path. All stages run on integers (see `integer_costs`).

With a tolerance, the solver stops as soon as it can prove that the assignment is good enough: after each auction of
stage 1, it compares the dual bound with the value of the auction's assignment.

Source for decreasing increments: D. P. Bertsekas, "The auction algorithm" (Annals of Operations Research 14, 1988).
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled
from simplugins.matching.augmenting_paths import augment_free_rows
from simplugins.matching.forward_auction import prove_tolerance, run_auction
from simplugins.matching.integer_costs import (
    HEADROOM_BITS,
    cost_error,
    make_costs,
    reset_prices,
    settle_prices,
    uses_starting_prices,
)
from simplugins.matching.starting_prices import set_starting_prices
from simplugins.matching.vector_scans import LANES

SMALL = np.array([(12.0, 7)])
LARGE = np.array([(1.5, 2), (5, 4), (20, 4), (60, 4)])
RECTANGULAR = np.array([(6.0, 7)])
"""The auctions of stage 1, each as (steps, maximum number of bids per row): for fewer rows than `LARGE_ROWS` (`SMALL`),
for more (`LARGE`), and for unequal sides (`RECTANGULAR`). The increment is the span of costs (see `starting_prices`)
divided by ``steps * sqrt(rows)``, since larger problems need finer increments. The sequence ends with the first auction
of at least `ENOUGH_STEPS` times ``sqrt(rows)`` steps. These parameters were fastest on activations with 49 to 3,136
positions. If sides differ, columns that remain free must have price zero, so there is a single auction, and only if a
tolerance is allowed.
"""

LARGE_ROWS = 400
ENOUGH_STEPS = 0.7

EXACT_BUDGET = 2
"""Maximum number of bids per row at increment zero."""


@compiled
def assign_batch(affinities, problems, work, tolerance, columns, prices, shortfall):  # type: ignore[no-untyped-def]
    """Solve assignment problems, each of them a submatrix of the affinities.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each problem; no row belongs to two problems.
    work : Workspace
        Large enough for all problems, and for the affinities' dtype.
    tolerance : float
        The share of the optimum that a value may fall short of; 0 for exact solutions.
    columns : (T,) int64 array, written
        The column assigned to each row, counted from the first of all columns, or -1 for rows that remain unassigned
        because rows outnumber columns; rows that belong to no problem are not written.
    prices : (B, P) float64 array, written
        Dual prices of the columns, or of the rows in problems whose rows outnumber the columns, in units of affinity;
        `simplugins.matching.objective.dual_bounds` turns them into bounds.
    shortfall : (B,) float64 array, written
        Bound on the shortfall of each value from the optimum; infinite if the range of affinities exceeds float64, in
        which case no costs can be computed.
    """
    for problem in range(len(problems)):
        start, stop, first, end = problems[problem]
        block = affinities[start:stop]
        transposed = stop - start > end - first
        rows = min(stop - start, end - first)
        cols = max(stop - start, end - first)
        padded = (cols + LANES - 1) // LANES * LANES
        costs = work.costs[: rows * padded].reshape(rows, padded)
        top, unit = make_costs(block, first, end, transposed, costs, work)
        searched = 0 < unit < np.inf  # otherwise all affinities are equal, or costs cannot be computed
        top_units = top / unit if searched else 0.0
        span = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS)
        reset_prices(costs, cols, work)
        if searched and uses_starting_prices(rows, cols):
            span = set_starting_prices(costs, top_units, unit, work)
        shortfall[problem] = unit * _assign(costs, cols, tolerance if searched else 0.0, rows * top_units, span, work)
        _write(transposed, rows, cols, first, unit if searched else 0.0, work, columns[start:stop], prices[problem])


@compiled
def _assign(costs, cols, tolerance, highest, span, work):  # type: ignore[no-untyped-def]
    """Assign every row to a different column at minimum total cost, or at a cost proven to be within the tolerance.

    The value of an assignment is `highest` minus its cost; bid increments are shares of the `span` of costs. Fills
    `column_of` and `prices`, and returns a bound on the value's shortfall, in units.
    """
    rows = costs.shape[0]
    if rows == cols or tolerance > 0:
        auctions = RECTANGULAR if rows < cols else SMALL if rows < LARGE_ROWS else LARGE
        for k in range(len(auctions)):
            steps, budget = auctions[k, 0], int(auctions[k, 1]) * rows
            increment = int(span / (steps * np.sqrt(rows)))
            run_auction(costs, cols, increment, budget, work)
            if tolerance > 0:
                proven, shortfall = prove_tolerance(costs, cols, increment, tolerance, highest, work)
                if proven:
                    return shortfall
            if rows == cols:
                settle_prices(costs, cols, work)
            if steps >= ENOUGH_STEPS * np.sqrt(rows):
                break
    if rows < cols:
        reset_prices(costs, cols, work)
    run_auction(costs, cols, 0, EXACT_BUDGET * rows, work)
    augment_free_rows(costs, cols, work)
    return cost_error(costs)


@compiled
def _write(transposed, rows, cols, first, unit, work, columns, prices):  # type: ignore[no-untyped-def]
    """Write the column of each row of the affinities, and the prices in units of affinity."""
    if transposed:
        columns[:] = -1
        for i in range(rows):
            columns[work.column_of[i]] = first + i
    else:
        columns[:] = first + work.column_of[:rows]
    # If sides are equal, only differences of prices matter, and small prices have the smallest rounding errors.
    lowest = work.prices[:cols].min() if rows == cols else 0
    for j in range(cols):
        prices[j] = (work.prices[j] - lowest) * unit
