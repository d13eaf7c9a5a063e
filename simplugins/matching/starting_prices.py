# SPDX-License-Identifier: Apache-2.0
"""Starting prices of square assignment problems, estimated from the means of rows and columns.

They would be optimal if each affinity were the product of one number per row and one per column. This nearly holds if
concept vectors share a direction, as they do after a rectifier in particular.
"""

from __future__ import annotations

from simplugins._common.compiled import compiled
from simplugins.matching.integer_costs import HEADROOM_BITS, sum_step

SPAN_OF_TYPICAL = 4
"""The span of costs is their whole range, or this multiple of the typical difference between the best and the mean
affinity of a column, if that is less."""


@compiled
def set_starting_prices(costs, top, unit, work):  # type: ignore[no-untyped-def]
    """Set the starting prices of a square problem, and return the span of its costs.

    Reads `row_sums`, `column_sums` and `largest` as left by `integer_costs.make_costs`; a cost of 1 is one unit below
    `top`. Let r[i] be the mean affinity of row i, c[j] that of column j, and m that of all. If each affinity were
    r[i] c[j] / m, the optimum would match rows and columns by rank. If, moreover, r were distributed like c but k times
    as wide, the price of column j would be c[j] + k (c[j] - m)^2 / 2 m. If the means differ too much for this
    approximation, prices stay zero.
    """
    rows = costs.shape[0]
    bits = 8 * costs.itemsize - HEADROOM_BITS
    row_means = top - work.row_sums[:rows] * (sum_step(costs) / rows)
    column_means = top - work.column_sums[:rows] * (sum_step(costs) / rows)
    mean, spread = column_means.mean(), column_means.std()
    if mean >= spread > 0:
        deviations = column_means - mean
        start = deviations + row_means.std() / spread * deviations**2 / (2 * mean)
        start -= start.min()
        for j in range(rows):
            work.prices[j] = int(min(start[j], 2.0 ** (bits + 1)))
    typical = (work.largest[:rows] / unit - column_means).mean()
    # Truncated sums can make this slightly negative if all affinities are equal.
    return min(2.0**bits, max(0.0, SPAN_OF_TYPICAL * typical))
