# SPDX-License-Identifier: Apache-2.0
"""The compiled solver of linear assignment problems, which maximises the sum of the matched affinities.

A problem passes through up to three stages, which share one array of column prices. Prices start from an estimate (see
`starting_prices`). If sides differ, stage 2 is skipped unless a tolerance is allowed:

1. an auction with increment zero, of one or two bids per row. It assigns most rows to the column that is exactly the
   best at the final prices, and nearly all rows if the estimate was good, or if ties leave a choice. If it started
   from prices of zero, leaves many rows waiting, and the columns' least costs promise much more, it starts again from
   these. They are what columns with a fixed cost of their own need, as rows find theirs by their first bids;
2. if it leaves many rows waiting, auctions with decreasing bid increments bring prices close to the optimum, and
   another auction with increment zero follows;
3. *shortest augmenting paths* assign the few remaining rows. If columns outnumber rows, others make columns give up
   prices that no row pays.

Two properties that make a problem slow are looked for before stage 1. If many more rows than columns equal others, both
are exchanged, since equal rows bid against each other again and again. If sides differ, and most affinities lie so far
below those that will be matched that costs are too coarse for these, costs are made anew, with a floor.

Increments of stage 2 are multiples of the typical lead of a row's best column at the prices that stage 1 leaves, so
they suit any distribution of affinities. The more rows wait, the harder is the competition, and the larger is the first
increment.

Stages 1 and 2 have a budget of bids, so no input can stall them; stage 3 needs one path per unassigned row, and at most
one scan of each row per path. In all, an exact solution for S rows and columns needs at most
``S * (S + 1) / 2 + MOST_BIDS * S`` scans, for any range of affinities. For S rows and more columns, there may be
another S paths, of at most S scans each. All stages run on integers (see `integer_costs`).

With a tolerance, the solver stops as soon as it can prove that the assignment is good enough: after each auction of
stage 2, it compares the dual bound with the value of the auction's assignment.

Source for decreasing increments: D. P. Bertsekas, "The auction algorithm" (Annals of Operations Research 14, 1988).
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled_in_place, compiled_inner
from simplugins.matching.augmenting_paths import augment_free_rows, give_up_priced_columns
from simplugins.matching.forward_auction import (
    even_increment,
    prove_tolerance,
    run_auction,
    start_auction,
    typical_lead,
)
from simplugins.matching.integer_costs import (
    EVEN,
    extremes,
    likely_floor,
    make_costs,
    reset_prices,
    rounding_of_matched,
    settle_prices,
)
from simplugins.matching.starting_prices import has_more_equal_rows, prefer_minima, set_starting_prices
from simplugins.matching.vector_scans import LANES

EASY = np.array([(0.06, 6)])
EASY_LARGE = np.array([(0.3, 4), (0.03, 4)])
EASY_HUGE = np.array([(1.5, 3), (0.3, 4), (0.03, 4)])
HARD = np.array([(6.0, 3), (1.5, 3), (0.3, 4), (0.03, 4)])
HARD_HUGE = np.array([(6.0, 3), (1.5, 3), (0.3, 4), (0.06, 4), (0.01, 4)])
"""The auctions of stage 2, each as (increment as a multiple of the typical lead, maximum number of bids per row): for
fewer rows than `LARGE_ROWS`, for more, from `HUGE_ROWS` on, and for hard competition. These and all other parameters
need the fewest scans on many kinds of affinities, those of concept vectors above all (see ``benchmarks/solvers``)."""

TINY_ROWS, FEW_TINY = 32, 0.2
"""Fewer rows bid at prices of zero first, and starting prices are set only if a larger share of them waits."""

SMALL_ROWS, LARGE_ROWS, HUGE_ROWS = 100, 400, 1500
"""Below the first, or if sides differ, stage 1 has two bids per row instead of one; see `EASY` for the others."""

FEW_SMALL, FEW = 3.0, 1.5
"""Stage 2 is skipped if at most this multiple of the square root of the number of rows waits after stage 1."""

HARD_SHARE, HARD_SHARE_LARGE = 0.6, 0.5
"""Competition is hard if a larger share of the rows waits after stage 1 (of at least `LARGE_ROWS`: the second)."""

LOST_SHARE_SMALL, LOST_SHARE = 0.25, 0.45
"""Columns' least costs are tried if prices started from zero, and a larger share of the rows waits after stage 1 (of
fewer than `SMALL_ROWS`: the first)."""

NEARLY_DONE = 0.1
"""If at most this share of the rows waits after stage 1, it goes on for up to half a bid per row."""

EXACT_BUDGET = 2
"""Maximum number of bids per row at increment zero after stage 2."""

MOST_BIDS = 29
"""Bound on the scans per row in stages 1 and 2 without a tolerance: at most 3.5 bids in stage 1, 2.3 scans for the
columns' least costs and 2 bids from these, one scan for the lead, `HARD_HUGE`, and `EXACT_BUDGET`."""


@compiled_in_place
def assign_batch(affinities, problems, work, tolerance, columns, prices, shortfall):  # type: ignore[no-untyped-def]
    """Solve assignment problems, each of them a submatrix of the affinities.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each problem; no row belongs to two problems.
    work : Workspace
        Large enough for all problems, and for the affinities' dtype.
    tolerance : float or None
        The share of the optimum that a value may fall short of. None: exact solutions, which compile in less time.
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
        transposed, exchanged = stop - start > end - first, False
        rows = min(stop - start, end - first)
        cols = max(stop - start, end - first)
        padded = (cols + LANES - 1) // LANES * LANES
        costs = work.costs[: rows * padded].reshape(rows, padded)
        top, bottom = extremes(block, first, end, work)
        unit = make_costs(block, first, end, transposed, top, bottom, costs)
        reset_prices(costs, cols, work)
        if 0 < unit < np.inf:
            from_zero = True
            if rows >= TINY_ROWS or _is_contested(costs, cols, work):
                reset_prices(costs, cols, work)
                from_zero = set_starting_prices(costs, cols, work)
                if rows == cols and tolerance is None and not from_zero and has_more_equal_rows(costs, work):
                    exchanged, transposed = True, not transposed
                    make_costs(block, first, end, transposed, top, bottom, costs)
                    reset_prices(costs, cols, work)
                    from_zero = set_starting_prices(costs, cols, work)
                start_auction(costs, cols, work)
            if from_zero and rows < cols and tolerance is None:
                unit = _make_finer(block, first, end, transposed, top, bottom, unit, costs, work)
            exact, bound = assign_costs(costs, cols, from_zero, tolerance, rows * (top / unit), work)
            if exact:
                bound = rounding_of_matched(block, first, transposed, top, unit, costs, work)
            shortfall[problem] = unit * bound
        else:  # all affinities are equal, or costs cannot be computed
            for i in range(rows):
                work.column_of[i] = i
            shortfall[problem] = unit
        if exchanged:
            _exchange_prices(costs, work)
        step = unit if unit < np.inf else 0.0
        _write(transposed, rows, cols, first, step, work, columns[start:stop], prices[problem])


@compiled_inner
def _make_finer(affinities, first, end, transposed, top, bottom, unit, costs, work):  # type: ignore[no-untyped-def]
    """Make costs finer if exactness is likely to need it, and let all rows wait again; return the value of a unit."""
    cols = max(len(affinities), end - first)
    floor = likely_floor(costs, cols, top, bottom, unit) if cols >= LANES else bottom
    if floor > bottom:
        unit = make_costs(affinities, first, end, transposed, top, floor, costs)
        reset_prices(costs, cols, work)
        start_auction(costs, cols, work)
    return unit


@compiled_inner
def _is_contested(costs, cols, work):  # type: ignore[no-untyped-def]
    """Whether rows compete so much at prices of zero that starting prices pay off."""
    start_auction(costs, cols, work)
    run_auction(costs, cols, np.int64(0), costs.shape[0], work)
    return work.waiting[1] > FEW_TINY * costs.shape[0]


@compiled_inner
def assign_costs(costs, cols, from_zero, tolerance, highest, work):  # type: ignore[no-untyped-def]
    """Assign every row to a different column at minimum total cost, or at a cost proven to be within the tolerance.

    The value of an assignment is `highest` minus its cost. Fills `column_of` and `prices`. Returns whether the total
    cost is minimal, and otherwise a bound on the value's shortfall, in units.
    """
    rows = costs.shape[0]
    rounds = 2 if rows < SMALL_ROWS or rows < cols else 1
    tied = run_auction(costs, cols, np.int64(0), rounds * rows, work)
    if 0 < work.waiting[1] - tied <= NEARLY_DONE * rows:
        tied = run_auction(costs, cols, np.int64(0), rows // 2, work)
    contested = work.waiting[1] - tied
    few = (FEW_SMALL if rows < SMALL_ROWS else FEW) * np.sqrt(rows)
    if from_zero and work.waiting[1] > (LOST_SHARE_SMALL if rows < SMALL_ROWS else LOST_SHARE) * rows and rows == cols:
        contested = _start_again(costs, cols, contested, work)
    if contested > few and (rows == cols or tolerance is not None):
        if rows < cols:
            reset_prices(costs, cols, work)
            start_auction(costs, cols, work)
        proven, shortfall = _decrease_increments(costs, cols, contested, tolerance, highest, work)
        if proven:
            return False, shortfall
        if rows < cols:
            reset_prices(costs, cols, work)
        start_auction(costs, cols, work)
        run_auction(costs, cols, np.int64(0), EXACT_BUDGET * rows, work)
    augment_free_rows(costs, work)
    if rows < cols:
        give_up_priced_columns(costs, cols, work)
    return True, 0.0


@compiled_inner
def _start_again(costs, cols, contested, work):  # type: ignore[no-untyped-def]
    """Repeat stage 1 from the columns' least costs if these are much better; return the number of rows that wait."""
    if prefer_minima(costs, cols, work):
        start_auction(costs, cols, work)
        tied = run_auction(costs, cols, np.int64(0), EXACT_BUDGET * costs.shape[0], work)
        return work.waiting[1] - tied
    return contested


@compiled_inner
def _decrease_increments(costs, cols, contested, tolerance, highest, work):  # type: ignore[no-untyped-def]
    """Run auctions with decreasing increments; return whether one is proven to be within the tolerance, and by what."""
    rows = costs.shape[0]
    if contested > (HARD_SHARE if rows < LARGE_ROWS else HARD_SHARE_LARGE) * rows:
        auctions = HARD if rows < HUGE_ROWS else HARD_HUGE
    else:
        auctions = EASY if rows < LARGE_ROWS else EASY_LARGE if rows < HUGE_ROWS else EASY_HUGE
    lead = typical_lead(costs, work)
    for k in range(len(auctions)):
        if k > 0:
            if rows < cols:
                break  # free columns must have price zero
            start_auction(costs, cols, work)
        increment = even_increment(costs, auctions[k, 0] * lead)
        run_auction(costs, cols, increment, np.int64(auctions[k, 1]) * rows, work)
        if tolerance is not None:
            proven, shortfall = prove_tolerance(costs, cols, increment, tolerance, highest, work)
            if proven:
                return True, shortfall
        if rows == cols:
            settle_prices(costs, cols, work)
    return False, np.inf


@compiled_inner
def _exchange_prices(costs, work):  # type: ignore[no-untyped-def]
    """Replace the columns' dual prices by those of the rows, which are the columns of the affinities."""
    for i in range(len(costs)):
        j = work.column_of[i]
        work.keys[i] = -(costs[i, j] + (work.prices[j] & EVEN))
    for i in range(len(costs)):
        work.prices[i] = work.keys[i]


@compiled_inner
def _write(transposed, rows, cols, first, unit, work, columns, prices):  # type: ignore[no-untyped-def]
    """Write the column of each row of the affinities, and the prices in units of affinity."""
    if transposed:
        for j in range(cols):
            columns[j] = -1
        for i in range(rows):
            columns[work.column_of[i]] = first + i
    else:
        for i in range(rows):
            columns[i] = first + work.column_of[i]
    # If sides are equal, only differences of prices matter, and small prices have the smallest rounding errors.
    lowest = work.prices[0] & EVEN if rows == cols else 0
    for j in range(1, cols if rows == cols else 0):
        price = work.prices[j] & EVEN
        lowest = price if price < lowest else lowest
    for j in range(cols):
        prices[j] = ((work.prices[j] & EVEN) - lowest) * unit
