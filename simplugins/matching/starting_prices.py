# SPDX-License-Identifier: Apache-2.0
"""Starting prices of assignment problems: the exact prices of a rank-one approximation of the affinities.

Let c[j] be the mean affinity of column j, and r[i] that of row i. Where concept vectors share a direction, as they do
after a rectifier in particular, the affinities of row i grow with c[j] at a rate of their own, its *slope*. If
affinities were exactly linear in c[j], rows and columns would be matched by rank: the column of the largest mean with
the row of the largest slope, and so on. From one column to the next, the optimal price then rises by the difference of
their means times the slope of the rows that they are matched with. If there are more columns than rows, those of the
smallest means remain free, at price zero.
"""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled, compiled_inner
from simplugins.matching.integer_costs import EVEN, HEADROOM_BITS, sum_step
from simplugins.matching.sorting import sort_with_order

NOISE = 2.0
"""Prices start from zero unless the means of columns vary by more than this multiple of what chance would explain: the
variance of affinities within a row, divided by the number of rows. Chance differences would only hide ties."""

EXPLAINED = 1.0
"""If columns outnumber rows, prices start from zero unless means of columns explain at least as much of the affinities
within a row as they leave unexplained: each column that has a price, but remains free, costs a search."""

SPAN_OF_TYPICAL = 4
"""See `span_of_costs`."""


@compiled
def set_starting_prices(costs, cols, work):  # type: ignore[no-untyped-def]
    """Set the starting prices of a problem; they stay zero if means of columns hardly differ.

    Reads `row_sums` and `column_sums` as left by `integer_costs.make_costs`. Slopes are taken to be linear in r[i]; two
    rows determine them, those of the smallest and the largest mean.
    """
    rows = costs.shape[0]
    row_means, column_means = work.means[0], work.means[1]
    mean, lowest, highest = _fill_means(costs, cols, work)
    least = row_means[lowest]
    range_of_rows = row_means[highest] - least
    variance = 0.0
    for j in range(cols):
        variance += (column_means[j] - mean) ** 2
    if variance == 0:
        return
    low, noise_of_lowest = _slope(costs, cols, lowest, mean, variance, work)
    high, noise_of_highest = _slope(costs, cols, highest, mean, variance, work)
    residual = (noise_of_lowest + noise_of_highest) / 2
    if variance < NOISE * residual / rows:
        return
    if rows < cols and (low < 0 or high < 0 or variance < EXPLAINED * residual):
        return
    growth = (high - low) / range_of_rows if range_of_rows > 0 else 0.0
    sort_with_order(row_means, work.order, rows)
    sort_with_order(column_means, work.order, cols)
    _integrate_prices(costs, cols, low - growth * least, growth, work)


@compiled_inner
def _fill_means(costs, cols, work):  # type: ignore[no-untyped-def]
    """Write mean affinities, up to a constant; return the mean of all, and the rows of the smallest and largest."""
    rows = costs.shape[0]
    step = sum_step(costs)
    mean, lowest, highest = 0.0, 0, 0
    for j in range(cols):
        work.means[1, j] = -work.column_sums[j] * (step / rows)
    for i in range(rows):
        work.means[0, i] = -work.row_sums[i] * (step / cols)
        mean += work.means[0, i]
        lowest = i if work.means[0, i] < work.means[0, lowest] else lowest
        highest = i if work.means[0, i] > work.means[0, highest] else highest
    return mean / rows, lowest, highest


@compiled_inner
def _slope(costs, cols, i, mean, variance, work):  # type: ignore[no-untyped-def]
    """Regress a row's affinities on the means of columns: return the slope, and the sum of squared residuals."""
    row, row_mean, column_means = costs[i], work.means[0, i], work.means[1]
    slope = 0.0
    for j in range(cols):
        slope -= row[j] * (column_means[j] - mean)
    slope /= variance
    squares = 0.0
    for j in range(cols):
        squares += (-row[j] - row_mean - slope * (column_means[j] - mean)) ** 2
    return slope, squares


@compiled_inner
def _integrate_prices(costs, cols, slope_at_zero, growth, work):  # type: ignore[no-untyped-def]
    """Add up price differences between columns of consecutive means, and write prices of at least zero."""
    rows = costs.shape[0]
    row_means, column_means, prices = work.means[0], work.means[1], work.means[2]
    free = cols - rows
    price = lowest = 0.0
    for rank in range(cols):
        if rank > 0 and rank >= free:
            place = rank - free
            before = max(place - 1, 0)
            if growth < 0:
                place, before = rows - 1 - place, rows - 1 - before
            slope = slope_at_zero + growth * 0.5 * (row_means[before] + row_means[place])
            if slope < 0 < free:  # by rounding
                slope = 0.0
            price += slope * (column_means[rank] - column_means[rank - 1])
        prices[rank] = price
        lowest = price if price < lowest else lowest
    most = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS + 1)
    for rank in range(cols):
        price = prices[rank] - lowest
        work.prices[work.order[rank]] = np.int64(price if price < most else most) & EVEN


@compiled_inner
def span_of_costs(costs, top, unit, work):  # type: ignore[no-untyped-def]
    """Return the range of costs, or a multiple of the mean lead of a column's best affinity over its mean, if less."""
    size = costs.shape[0]
    typical = 0.0
    for j in range(size):
        typical += work.largest[j] / unit - top + work.column_sums[j] * (sum_step(costs) / size)
    whole = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS)
    span = SPAN_OF_TYPICAL * typical / size
    return min(whole, span) if span > 0 else 0.0  # truncated sums can make this slightly negative
