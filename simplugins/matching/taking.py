# SPDX-License-Identifier: Apache-2.0
"""The kernel of greedy matching: each row in its turn takes the best column that is left."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import kernel
from simplugins.matching.scans import largest


@kernel
def take_batch(affinities, problems, columns):  # type: ignore[no-untyped-def]
    """Match problems greedily, each a block of a matrix of affinities.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each.
    columns : (T,) int64 array, written
        The column that each row takes, of all columns, or -1 once none is left; rows of no problem are left as they
        are.
    """
    prices = np.empty(affinities.shape[1], affinities.dtype)
    for problem in range(len(problems)):
        start, stop, first, end = problems[problem]
        prices[:] = np.inf  # closed
        prices[first:end] = 0
        _take(affinities[start:stop], end - first, prices, columns[start:stop])


@kernel
def _take(affinities, cols, prices, columns):  # type: ignore[no-untyped-def]
    rows = len(affinities)
    favourites, best = np.empty(rows, np.int64), np.empty(rows, affinities.dtype)
    for i in range(rows):
        favourites[i], best[i] = largest(affinities, i, prices)
    columns[:] = -1
    for i in np.argsort(-best, kind="mergesort")[:cols]:
        j = favourites[i]
        if prices[j] > 0:  # taken
            j = largest(affinities, i, prices)[0]
        columns[i] = j
        prices[j] = np.inf
