# SPDX-License-Identifier: Apache-2.0
"""Compiled greedy assignment; see `simplugins.matching.greedy.Greedy`."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled, compiled_inner
from simplugins.matching.vector_scans import largest

RUN = 16
"""Length of the runs that are sorted by insertion."""


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
        _assign_rows(affinities[start:stop], end - first, prices, columns[start:stop])


@compiled_inner
def _assign_rows(affinities, cols, prices, columns):  # type: ignore[no-untyped-def]
    rows = len(affinities)
    favourites, best = np.empty(rows, np.int64), np.empty(rows, affinities.dtype)
    for i in range(rows):
        favourites[i], best[i] = largest(affinities, i, prices)
    columns[:] = -1
    order = np.empty(rows, np.int64)
    _sort_descending(best, order, np.empty(rows, np.int64))
    for place in range(min(rows, cols)):
        i = order[place]
        j = favourites[i]
        if prices[j] > 0:  # already assigned
            j = largest(affinities, i, prices)[0]
        columns[i] = j
        prices[j] = np.inf


@compiled_inner
def _sort_descending(values, order, spare):  # type: ignore[no-untyped-def]
    """Write the indices of values in descending order, those of equal values in ascending order.

    Merges runs of doubling length, the first of which are sorted by insertion. `numpy.argsort` takes as long to compile
    as the rest of the matching.
    """
    size = values.size
    for start in range(0, size, RUN):
        for i in range(start, min(start + RUN, size)):
            place = i
            while place > start and values[order[place - 1]] < values[i]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = i
    width = RUN
    while width < size:
        for start in range(0, size, 2 * width):
            left, middle, stop = start, min(start + width, size), min(start + 2 * width, size)
            right = middle
            for place in range(start, stop):
                if left < middle and (right == stop or values[order[left]] >= values[order[right]]):
                    spare[place] = order[left]
                    left += 1
                else:
                    spare[place] = order[right]
                    right += 1
        for place in range(size):
            order[place] = spare[place]
        width *= 2
