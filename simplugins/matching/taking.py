# SPDX-License-Identifier: Apache-2.0
"""The kernel of greedy matching: each row in its turn takes the best column that is left."""

from __future__ import annotations

import numpy as np

from simplugins.matching.compiled import kernel
from simplugins.matching.scans import largest


@kernel
def take_batch(affinities, offsets, columns):  # type: ignore[no-untyped-def]
    """Match each slice of rows greedily.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
        Problem b has the rows ``offsets[b]:offsets[b + 1]``.
    offsets : (B + 1,) int64 array
    columns : (T,) int64 array, written
        The column that each row takes, or -1 once none is left.
    """
    for problem in range(offsets.size - 1):
        start, stop = offsets[problem], offsets[problem + 1]
        _take(affinities[start:stop], columns[start:stop])


@kernel
def _take(affinities, columns):  # type: ignore[no-untyped-def]
    rows, cols = affinities.shape
    prices = np.zeros(cols, affinities.dtype)
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
