# SPDX-License-Identifier: Apache-2.0
"""Refinement of assignments whose value is not proven to be optimal: solves anew what their dual prices leave open.

At some prices, let the *net value* of a pair be its affinity less the price of its column, and its *reduced cost* what
its row could gain by the column of the largest net value. By duality, the reduced costs of the matched pairs, and the
prices of columns that remain free, add up to a bound on the shortfall of an assignment. No pair of a better assignment
has a reduced cost above that bound, nor does it leave a column free whose price is. What exceeds twice the bound can be
replaced by it without changing the optimum. On costs of this range, the problem is solved again, from the pairs that
have no reduced cost, until the bound is small enough: each time it shrinks by a factor of about 2**24 divided by the
number of rows (2**50 in float64). In all, that is at most `2 * MAX_NARROWINGS` times the scans of one solution.

A price has two parts, a number and what its rounding leaves, and the differences between net values are computed
without rounding errors. So prices may be much larger than the affinities that are matched.
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled_in_place, compiled_inner
from simplugins.matching.integer_costs import EVEN, HEADROOM_BITS, TAKEN, reset_prices
from simplugins.matching.linear_assignment import assign_costs
from simplugins.matching.objective import EPSILON, prove
from simplugins.matching.vector_scans import LANES, largest

MAX_NARROWINGS = 16
"""Maximum number of times that a problem is solved anew, from its prices and from prices of zero."""


@compiled_in_place
def refine_batch(  # type: ignore[no-untyped-def]
    affinities, problems, unproven, tolerance, exact, work, spare, levels, columns, prices
):
    """Refine assignments until their shortfall is proven to be acceptable, or as far as the precision of prices allows.

    Parameters
    ----------
    affinities, problems, work, tolerance, columns, prices
        As for `linear_assignment.assign_batch`, which must have filled columns and prices.
    unproven : (B,) bool array
        Problems to refine. Written: those whose value remains unproven.
    exact : float
        As for `objective.find_unproven`.
    spare : array
        Scratch, of the type of affinities, for the largest problem that has more rows than columns, or not all columns.
    levels : (5, P) float64 array
        Scratch; P is at least the number of columns of the largest problem.

    Returns
    -------
    int
        Number of problems that remain unproven.
    """
    remaining = 0
    for problem in range(len(problems)):
        if not unproven[problem]:
            continue
        start, stop, first, end = problems[problem]
        block, matched = affinities[start:stop], columns[start:stop]
        rows, cols = min(stop - start, end - first), max(stop - start, end - first)
        whole, transposed = end - first == affinities.shape[1], stop - start > end - first
        if whole:
            shortfall, allowed = prove(block, matched, prices[problem], tolerance, exact, levels[0])
            if shortfall <= allowed < np.inf:
                unproven[problem] = False
                continue
        if transposed or not whole:
            block = spare[: rows * cols].reshape(rows, cols)
            _copy(affinities, problems[problem], transposed, block)
        _read(transposed, first, matched, work)
        unproven[problem] = not _refine(block, tolerance, exact, work, levels, prices[problem])
        remaining += unproven[problem]
        _write(transposed, first, rows, work, matched)
    return remaining


@compiled_inner
def _copy(affinities, problem, transposed, block):  # type: ignore[no-untyped-def]
    start, stop, first, end = problem
    for i in range(start, stop):
        for j in range(first, end):
            if transposed:
                block[j - first, i - start] = affinities[i, j]
            else:
                block[i - start, j - first] = affinities[i, j]


@compiled_inner
def _read(transposed, first, columns, work):  # type: ignore[no-untyped-def]
    for i in range(len(columns)):
        if transposed and columns[i] >= 0:
            work.column_of[columns[i] - first] = i
        elif not transposed:
            work.column_of[i] = columns[i] - first


@compiled_inner
def _write(transposed, first, rows, work, columns):  # type: ignore[no-untyped-def]
    for i in range(len(columns)):
        columns[i] = -1
    for i in range(rows):
        if transposed:
            columns[work.column_of[i]] = first + i
        else:
            columns[i] = first + work.column_of[i]


@compiled_inner
def _refine(block, tolerance, exact, work, levels, prices):  # type: ignore[no-untyped-def]
    """Refine one problem, and return whether its value is proven."""
    rows, cols = block.shape
    best, lows, best_prices = levels[2], levels[3], levels[4]
    for j in range(cols):
        lows[j] = 0.0
    grain = _grain(block) if _magnitude(block, work) == 0 else 0.0
    shortfall = _narrow_down(block, tolerance, exact, grain, work, levels, prices)
    if _is_acceptable(block, shortfall, tolerance, exact, grain, work):
        return True
    for i in range(rows):
        best[i] = work.column_of[i]
    for j in range(cols):
        best_prices[j] = prices[j]
        prices[j] = lows[j] = 0.0
    other = _narrow_down(block, tolerance, exact, grain, work, levels, prices)
    if not other < shortfall:
        for i in range(rows):
            work.column_of[i] = np.int64(best[i])
        for j in range(cols):
            prices[j] = best_prices[j]
        other = shortfall
    return _is_acceptable(block, other, tolerance, exact, grain, work)


@compiled_inner
def _grain(block):  # type: ignore[no-untyped-def]
    """Return less than half of any difference between two values: affinities are multiples of a larger number."""
    least = np.inf
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            size = abs(np.float64(block[i, j]))
            least = size if 0 < size < least else least
    return least * (2.0**-25 if block.itemsize == 4 else 2.0**-54)


@compiled_inner
def _magnitude(block, work):  # type: ignore[no-untyped-def]
    magnitude = 0.0
    for i in range(block.shape[0]):
        magnitude += abs(np.float64(block[i, work.column_of[i]]))
    return magnitude


@compiled_inner
def _is_acceptable(block, shortfall, tolerance, exact, grain, work):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(block.shape[0]):
        total += np.float64(block[i, work.column_of[i]])
    allowed = tolerance * abs(total + shortfall) if tolerance > 0 else exact * _magnitude(block, work)
    return shortfall <= max(allowed, grain) < np.inf


@compiled_inner
def _free_prices(rows, cols, work, prices):  # type: ignore[no-untyped-def]
    """Return the sum of the prices of columns that remain free. Fills `row_of`."""
    for j in range(cols):
        work.row_of[j] = -1
    for i in range(rows):
        work.row_of[work.column_of[i]] = i
    total = 0.0
    for j in range(cols if rows < cols else 0):
        if work.row_of[j] < 0:
            total += prices[j]
    return total


@compiled_inner
def _narrow_down(block, tolerance, exact, grain, work, levels, prices):  # type: ignore[no-untyped-def]
    """Solve a problem anew until its shortfall is acceptable, or ceases to decrease; return a bound on it."""
    rows, cols = block.shape
    padded = (cols + LANES - 1) // LANES * LANES
    costs = work.costs[: rows * padded].reshape(rows, padded)
    shortfall = _measure(block, exact, costs, work, levels, prices)
    for _ in range(MAX_NARROWINGS):
        if _is_acceptable(block, shortfall, tolerance, exact, grain, work):
            break
        limit = 2 * shortfall
        scale = _scale(costs, limit if rows == cols else 2 * limit)
        if not 0 < scale < np.inf:
            break
        _narrow(block, limit, scale, costs, work, levels, prices)
        assign_costs(costs, cols, False, None, 0.0, work)
        _change_prices(rows, cols, limit, 0.5 / scale, work, levels[3], prices)
        before, shortfall = shortfall, _measure(block, exact, costs, work, levels, prices)
        if not shortfall < before / 2:
            break
    return shortfall


@compiled_inner
def _scale(costs, span):  # type: ignore[no-untyped-def]
    return 2.0 ** (8 * costs.itemsize - HEADROOM_BITS - 1) / span if 0 < span < np.inf else np.inf


@compiled_inner
def _net(affinity, price, low, level):  # type: ignore[no-untyped-def]
    """Return ``affinity - price - low - level``, and a bound on its rounding error (of Knuth's two-sum)."""
    value = affinity - price
    subtracted = affinity - value
    rest = (affinity - (value + subtracted)) + (subtracted - price)
    high, remainder = value - level, rest - low
    is_exact = high == 0 and (rest == 0 or low == 0)
    return high + remainder, 0.0 if is_exact else 2 * EPSILON * (abs(high) + abs(remainder))


@compiled_inner
def _excess(block, i, value, prices, lows):  # type: ignore[no-untyped-def]
    """Return at most by what the largest net value of a row exceeds its rounded value."""
    excess = -np.inf
    for j in range(block.shape[1]):
        net, error = _net(np.float64(block[i, j]), prices[j], lows[j], value)
        excess = net + error if net + error > excess else excess
    return excess


@compiled_inner
def _measure(block, exact, costs, work, levels, prices):  # type: ignore[no-untyped-def]
    """Bound the shortfall of an assignment by prices in two parts.

    Fills the first two rows of `levels`: about the largest net value of each row, and at least what exceeds it.
    """
    rows, cols = block.shape
    values, excesses, lows = levels[0], levels[1], levels[3]
    lost = _free_prices(rows, cols, work, prices)
    least = exact * _magnitude(block, work) * 2.0 ** (HEADROOM_BITS - 8 * costs.itemsize)
    rounding = 0.0
    for j in range(cols):
        rounding = max(rounding, abs(lows[j]))
    for i in range(rows):
        value = largest(block, i, prices[:cols])[1]
        excess = EPSILON * abs(value) + rounding
        if not excess < least:
            excess = _excess(block, i, value, prices, lows)
        j = work.column_of[i]
        matched, error = _net(np.float64(block[i, j]), prices[j], lows[j], value)
        values[i], excesses[i] = value, excess
        lost += excess - matched + error
    return lost + EPSILON * (rows + cols) * lost


@compiled_inner
def _narrow(block, limit, scale, costs, work, levels, prices):  # type: ignore[no-untyped-def]
    """Write reduced costs and prices up to a limit as integers, and keep the pairs that have none."""
    rows, cols = block.shape
    number = costs.dtype.type
    values, excesses, lows = levels[0], levels[1], levels[3]
    reset_prices(costs, cols, work)
    paid = number(0)
    for j in range(cols if rows < cols else 0):
        work.prices[j] = number(min(prices[j], limit) * scale) * 2
        paid = work.prices[j] if work.prices[j] > paid else paid
    waiting = 0
    for i in range(rows):
        value, excess = values[i], excesses[i]
        for j in range(cols):
            reduced = excess - _net(np.float64(block[i, j]), prices[j], lows[j], value)[0]
            reduced = reduced if reduced < limit else limit
            costs[i, j] = number(reduced * scale) * 2 + (paid - work.prices[j])
        for j in range(cols, costs.shape[1]):
            costs[i, j] = 0
        j = work.column_of[i]
        if costs[i, j] + work.prices[j] > paid:
            work.row_of[j] = work.column_of[i] = -1
            work.queue[waiting] = i
            waiting += 1
    for j in range(cols):
        work.prices[j] |= TAKEN if work.row_of[j] >= 0 else 0
    work.waiting[0] = 0
    work.waiting[1] = waiting


@compiled_inner
def _change_prices(rows, cols, limit, unit, work, lows, prices):  # type: ignore[no-untyped-def]
    """Add the changes of prices, in units; if sides differ, to what exceeds the limit."""
    for j in range(cols):
        change = (work.prices[j] & EVEN) * unit
        if rows < cols and prices[j] <= limit:
            prices[j], lows[j] = change, 0.0
            continue
        change -= limit if rows < cols else 0.0
        total = prices[j] + change
        added = total - prices[j]
        rest = (prices[j] - (total - added)) + (change - added) + lows[j]
        prices[j] = total + rest
        lows[j] = rest - (prices[j] - total)
