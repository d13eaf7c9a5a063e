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

from simplugins._common.compiled import compiled_inner
from simplugins.matching.cost_scans import MOST_ADDED, add_costs, moments
from simplugins.matching.integer_costs import EVEN, HEADROOM_BITS
from simplugins.matching.sorting import sort_padded
from simplugins.matching.vector_scans import two_smallest

NOISE = 2.0
"""Prices start from zero unless the means of columns vary by more than this multiple of what chance would explain: the
variance of affinities within a row, divided by the number of rows. Chance differences would only hide ties."""

EXPLAINED = 100.0
"""If columns outnumber rows, prices start from zero unless means of columns explain this many times as much of the
affinities within a row as they leave unexplained: each column that has a price, but remains free, costs a search. The
column of the most unusual mean does not count, since one that is far worse than all others says nothing about these."""

SAMPLED_ROWS = 64
"""Number of rows that tell whether prices suit rows, if there are that many."""

MUCH_BETTER, SUITABLE, UNSUITABLE = 1.05, 0.1, 0.2
"""Prices start again from the columns' least costs if the sum of these exceeds the present dual bound by the first
factor, and they suit most rows. They do not suit a row if its least reduced cost exceeds the second share of the
columns' mean least cost; this may hold for at most the third share of the rows."""

MORE_EQUAL, LEAST_MORE = 0.1, 20
"""See `has_more_equal_rows`: the share of the rows, and the number, by which they must outnumber equal columns."""

SPAN_OF_TYPICAL = 4
"""See `span_of_costs`."""


@compiled_inner
def set_starting_prices(costs, cols, work):  # type: ignore[no-untyped-def]
    """Set the starting prices of a problem; they stay zero if means of columns hardly differ. Returns whether they do.

    Slopes are taken to be linear in r[i]; two rows determine them, those of the smallest and the largest mean. Fills
    `row_sums` and `column_sums`.
    """
    rows = costs.shape[0]
    _add_up(costs, work)
    row_means, deviations = work.means[0], work.means[1]
    lowest, highest, variance, most = _fill_means(costs, cols, work)
    least = row_means[lowest]
    range_of_rows = row_means[highest] - least
    if variance == 0:
        return True
    product, squares_of_lowest = moments(costs, lowest, cols, -least, deviations)
    product_of_highest, squares_of_highest = moments(costs, highest, cols, -row_means[highest], deviations)
    low, high = -product / variance, -product_of_highest / variance
    residual = (squares_of_lowest + squares_of_highest - (low * low + high * high) * variance) / 2
    if variance < NOISE * residual / rows:
        return True
    if rows < cols and (low < 0 or high < 0 or variance - most * cols / (cols - 1) < EXPLAINED * residual):
        return True
    growth = (high - low) / range_of_rows if range_of_rows > 0 else 0.0
    sort_padded(work.row_sums, work.queue, work.closed, rows)
    sort_padded(work.column_sums, work.order, work.closed, cols)
    _integrate_prices(costs, cols, low - growth * least, growth, work)
    return False


@compiled_inner
def _add_up(costs, work):  # type: ignore[no-untyped-def]
    """Write the sums of all rows and columns."""
    rows, padded = costs.shape
    width = MOST_ADDED * (64 // costs.itemsize)
    sums = work.keys
    for j in range(padded):
        sums[j] = 0
        work.column_sums[j] = 0.0
    for i in range(rows):
        total = 0.0
        for start in range(0, padded, width):
            total += add_costs(costs, i, start, min(padded - start, width), sums)
        work.row_sums[i] = total
        if i % MOST_ADDED == MOST_ADDED - 1 or i == rows - 1:
            for j in range(padded):
                work.column_sums[j] += sums[j]
                sums[j] = 0


@compiled_inner
def has_more_equal_rows(costs, work):  # type: ignore[no-untyped-def]
    """Whether many more rows than columns equal others, judged by their sums.

    Equal rows bid against each other for the same columns, again and again, whereas equal columns leave a choice: with
    half of the rows equal, but no columns, a problem needs three times as many scans as the other way round. Where
    affinities have few different values, sums of different rows coincide; such rows compete in the same way. Rows whose
    costs are all equal do not count: they take any column.

    Reads the order of the sums as left by `set_starting_prices`; it must precede `start_auction`, which resets `queue`.
    """
    size, surplus = len(costs), 0
    for k in range(1, size):
        i, total = work.queue[k], work.row_sums[work.queue[k]]
        surplus += (
            total == work.row_sums[work.queue[k - 1]] and abs(total - np.float64(costs[i, 0]) * size) > total / 2**40
        )
        surplus -= work.column_sums[work.order[k]] == work.column_sums[work.order[k - 1]]
    return surplus > max(MORE_EQUAL * size, LEAST_MORE)


@compiled_inner
def _fill_means(costs, cols, work):  # type: ignore[no-untyped-def]
    """Write the rows' mean affinities, and the deviations of the columns' from their mean, up to a constant.

    Returns the rows of the smallest and of the largest mean, and the sum of the squares of the deviations and the
    largest one.
    """
    rows = costs.shape[0]
    row_means, deviations = work.means[0], work.means[1]
    mean, lowest, highest, variance, most = 0.0, 0, 0, 0.0, 0.0
    for i in range(rows):
        row_mean = work.row_sums[i] / -cols
        row_means[i] = row_mean
        mean += row_mean
        lowest = i if row_mean < row_means[lowest] else lowest
        highest = i if row_mean > row_means[highest] else highest
    mean /= rows
    for j in range(cols):
        deviations[j] = work.column_sums[j] / -rows - mean
    for j in range(cols, costs.shape[1]):
        deviations[j] = 0.0
    for j in range(cols):
        square = deviations[j] ** 2
        variance += square
        most = square if square > most else most
    return lowest, highest, variance, most


@compiled_inner
def _integrate_prices(costs, cols, slope_at_zero, growth, work):  # type: ignore[no-untyped-def]
    """Add up price differences between columns of consecutive means, and write prices of at least zero."""
    rows = costs.shape[0]
    row_means, deviations, prices = work.means[0], work.means[1], work.means[2]
    free = cols - rows
    price = lowest = before = deviation_before = 0.0
    for rank in range(cols):
        deviation = deviations[work.order[rank]]
        if rank >= free:
            place = rank - free
            row_mean = row_means[work.queue[place if growth >= 0 else rows - 1 - place]]
            if rank > 0:
                slope = slope_at_zero + growth * 0.5 * ((before if place > 0 else row_mean) + row_mean)
                if slope < 0 < free:  # by rounding
                    slope = 0.0
                price += slope * (deviation - deviation_before)
            before = row_mean
        deviation_before = deviation
        prices[rank] = price
        lowest = price if price < lowest else lowest
    most = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS + 1)
    for rank in range(cols):
        price = prices[rank] - lowest
        work.prices[work.order[rank]] = np.int64(price if price < most else most) & EVEN


@compiled_inner
def prefer_minima(costs, cols, work):  # type: ignore[no-untyped-def]
    """Set the prices at which all columns have the same least cost, if they nearly suit all rows, and much better.

    A sample of rows tells the former, and the dual bound of the present prices the latter. Returns whether prices
    changed. The sides must be equal.
    """
    rows, padded, prices = costs.shape[0], costs.shape[1], work.keys
    for j in range(padded):
        prices[j] = costs[0, j]
    for i in range(1, rows, 3):
        k, m = min(i + 1, rows - 1), min(i + 2, rows - 1)
        for j in range(padded):
            prices[j] = min(prices[j], costs[i, j], costs[k, j], costs[m, j])
    bound, unsuitable, present, highest = 0.0, 0, 0.0, prices[0]
    for j in range(cols):
        highest = prices[j] if prices[j] > highest else highest
        bound += prices[j]
        present -= work.prices[j] & EVEN
    for j in range(cols):
        prices[j] = highest - prices[j]
    for j in range(cols, padded):
        prices[j] = work.prices[j]
    step = max(4, rows // SAMPLED_ROWS)
    sampled = (rows + step - 1) // step
    for i in range(0, rows, step):
        unsuitable += (two_smallest(costs, i, prices)[1] - highest) * rows > SUITABLE * bound
    work.counts[2] += rows + sampled
    if bound == 0 or unsuitable > UNSUITABLE * sampled:
        return False
    for i in range(rows):
        present += two_smallest(costs, i, work.prices)[1] & EVEN
    work.counts[2] += rows
    if bound < MUCH_BETTER * present:
        return False
    for j in range(cols):
        work.prices[j] = prices[j]
    return True


@compiled_inner
def span_of_costs(costs, work):  # type: ignore[no-untyped-def]
    """Return the range of costs, or a multiple of the mean lead of a column's best affinity over its mean, if less.

    Reads `column_sums` as left by `set_starting_prices`.
    """
    size, cheapest = costs.shape[0], work.keys
    for j in range(size):
        cheapest[j] = costs[0, j]
    for i in range(1, size):
        for j in range(size):
            cheapest[j] = costs[i, j] if costs[i, j] < cheapest[j] else cheapest[j]
    typical = 0.0
    for j in range(size):
        typical += work.column_sums[j] / size - cheapest[j]
    whole = 2.0 ** (8 * costs.itemsize - HEADROOM_BITS)
    span = SPAN_OF_TYPICAL * typical / size
    return min(whole, span) if span > 0 else 0.0  # rounded sums can make this slightly negative
