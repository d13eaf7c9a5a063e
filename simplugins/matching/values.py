# SPDX-License-Identifier: Apache-2.0
"""What an assignment is worth, and a bound on what any assignment could be worth."""

from __future__ import annotations

import numpy as np

from simplugins.matching.compiled import kernel


@kernel
def aligned_values(affinities, offsets, columns, out):  # type: ignore[no-untyped-def]
    """Add up the matched affinities of each problem, in float64.

    Parameters
    ----------
    affinities : (T, K) array
    offsets : (B + 1,) int64 array
    columns : (T,) int64 array
        As in `contract.Assignments`.
    out : (B,) float64 array, written
    """
    for problem in range(offsets.size - 1):
        total = 0.0
        for i in range(offsets[problem], offsets[problem + 1]):
            if columns[i] >= 0:
                total += np.float64(affinities[i, columns[i]])
        out[problem] = total


@kernel
def aligned_magnitudes(affinities, offsets, columns, out):  # type: ignore[no-untyped-def]
    """Add up the absolute values of the matched affinities of each problem; arguments as `aligned_values`."""
    for problem in range(offsets.size - 1):
        total = 0.0
        for i in range(offsets[problem], offsets[problem + 1]):
            if columns[i] >= 0:
                total += abs(np.float64(affinities[i, columns[i]]))
        out[problem] = total


@kernel
def upper_bounds(affinities, offsets, prices, out):  # type: ignore[no-untyped-def]
    """Bound each problem's optimum from above by a feasible solution of the dual problem.

    For prices v of the larger side (at least 0 there; any on equal sides), every assignment is worth at most
    ``sum(v) + sum over the other side of max(affinity - v)``. Float64, with a margin for its own rounding, so the
    bound holds rigorously for the affinities as given. O(rows × columns) a problem.

    Parameters
    ----------
    affinities : (T, K) array
    offsets : (B + 1,) int64 array
    prices : (B, P) float64 array
        As in `contract.Assignments`.
    out : (B,) float64 array, written
    """
    cols = affinities.shape[1]
    best_of_column = np.empty(cols)
    for problem in range(offsets.size - 1):
        block = affinities[offsets[problem] : offsets[problem + 1]]
        rows = block.shape[0]
        price = prices[problem]
        total, magnitude = 0.0, 0.0
        if rows <= cols:
            for j in range(cols):
                total += price[j]
                magnitude += abs(price[j])
            for i in range(rows):
                best = -np.inf
                for j in range(cols):
                    best = max(best, np.float64(block[i, j]) - price[j])
                total += best
                magnitude += abs(best)
        else:
            best_of_column[:] = -np.inf
            for i in range(rows):
                total += price[i]
                magnitude += abs(price[i])
                for j in range(cols):
                    best_of_column[j] = max(best_of_column[j], np.float64(block[i, j]) - price[i])
            for j in range(cols):
                total += best_of_column[j]
                magnitude += abs(best_of_column[j])
        out[problem] = total + magnitude * (rows + cols) * np.finfo(np.float64).eps
