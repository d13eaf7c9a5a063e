# SPDX-License-Identifier: Apache-2.0
"""The best partial assignments of every number of pairs, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins._common.compiled import compiled
from simplugins.matching.integer_costs import extremes, make_costs, make_workspace, reset_prices
from simplugins.matching.pair_auction import bid_for_pairs, start_auction
from simplugins.matching.partial_paths import extend
from simplugins.matching.vector_scans import CLOSED_PRICE_BITS, LANES


def assign_every_count(affinity: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the best assignments of 1, 2, … pairs, up to as many as the smaller side has positions.

    Successive shortest augmenting paths: each optimum follows from the one with a pair fewer. O(S^3) in total.

    Parameters
    ----------
    affinity : (R, K) float64 array, C-contiguous, with R <= K

    Returns
    -------
    (R, R) int64 array
        In row k - 1, the column assigned to each row in a best assignment of k pairs, or -1.
    """
    rows, cols = affinity.shape
    work = make_workspace(rows, cols, affinity.dtype)
    levels = np.zeros((2, -(-cols // LANES) * LANES), work.costs.dtype)
    columns = np.empty((rows, rows), np.int64)
    _assign_every_count(affinity, work, levels, columns)
    return columns


@compiled
def _assign_every_count(affinity, work, levels, columns):  # type: ignore[no-untyped-def]
    rows, cols = affinity.shape
    costs = work.costs[: rows * ((cols + LANES - 1) // LANES * LANES)].reshape(rows, -1)
    top, bottom = extremes(affinity, 0, cols, work)
    make_costs(affinity, 0, cols, False, top, bottom, costs)
    reset_prices(costs, cols, work)
    open_levels = levels[:, : (rows + LANES - 1) // LANES * LANES]
    limit = costs.dtype.type((1 << (8 * costs.itemsize - CLOSED_PRICE_BITS)) - 1)
    start_auction(costs, cols, work, open_levels)
    assigned, budget = 0, rows
    for count in range(1, rows + 1):
        while assigned < count:
            assigned, budget, ceiling = bid_for_pairs(
                costs, cols, count, assigned, limit, costs.dtype.type(0), budget, work, open_levels
            )
            if ceiling >= 0:
                assigned += extend(costs, cols, ceiling, limit, work, open_levels)
        for i in range(rows):
            columns[count - 1, i] = work.column_of[i]
