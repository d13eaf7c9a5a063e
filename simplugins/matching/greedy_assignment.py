# SPDX-License-Identifier: Apache-2.0
"""Compiled greedy assignment; see `simplugins.matching.greedy.Greedy`."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled, compiled_inner
from simplugins.matching.sorting import sort_descending
from simplugins.matching.vector_scans import largest


@compiled
def assign_greedily(affinities, problems, columns):  # type: ignore[no-untyped-def]
    """Match problems greedily, each of them a submatrix of the affinities.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    problems : (B, 4) int64 array
        First row, end of rows, first column and end of columns of each problem.
    columns : (T,) int64 array, written
        The column assigned to each row, counted from the first of all K columns, or -1 if none was left; rows that
        belong to no problem are not written.
    """
    prices = np.empty(affinities.shape[1], affinities.dtype)
    for problem in range(len(problems)):
        start, stop, first, end = problems[problem]
        prices[:] = np.inf  # closed
        prices[first:end] = 0
        rows = stop - start
        favourites, best = np.empty(rows, np.int64), np.empty(rows, affinities.dtype)
        order, spare = np.empty(rows, np.int64), np.empty(rows, np.int64)
        block = affinities[start:stop]
        for i in range(rows):
            favourites[i], best[i] = largest(block, i, prices)
        sort_descending(best, order, spare)
        _assign_in_order(block, end - first, order, favourites, prices, columns[start:stop])


@compiled_inner
def _assign_in_order(affinities, cols, order, favourites, prices, columns):  # type: ignore[no-untyped-def]
    rows = len(affinities)
    for i in range(rows):
        columns[i] = -1
    for place in range(min(rows, cols)):
        i = order[place]
        j = favourites[i]
        if prices[j] > 0:  # already assigned
            j = largest(affinities, i, prices)[0]
        columns[i] = j
        prices[j] = np.inf
