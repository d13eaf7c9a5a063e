# SPDX-License-Identifier: Apache-2.0
"""Objective value, validity check and dual upper bound of an assignment."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled
from simplugins.matching.vector_scans import largest


@compiled
def assignment_values(affinities, offsets, columns, out):  # type: ignore[no-untyped-def]
    """Sum the matched affinities of each problem, in float64.

    Parameters
    ----------
    affinities : (T, K) array
    offsets : (B + 1,) int64 array
    columns : (T,) int64 array
        See `matcher.Assignments`.
    out : (B,) float64 array, written
    """
    for problem in range(offsets.size - 1):
        total = 0.0
        for i in range(offsets[problem], offsets[problem + 1]):
            if columns[i] >= 0:
                total += np.float64(affinities[i, columns[i]])
        out[problem] = total


@compiled
def assignment_magnitudes(affinities, offsets, columns, out):  # type: ignore[no-untyped-def]
    """Sum the absolute values of the matched affinities of each problem; arguments as for `assignment_values`."""
    for problem in range(offsets.size - 1):
        total = 0.0
        for i in range(offsets[problem], offsets[problem + 1]):
            if columns[i] >= 0:
                total += abs(np.float64(affinities[i, columns[i]]))
        out[problem] = total


@compiled
def first_invalid(columns, offsets, cols):  # type: ignore[no-untyped-def]
    """Return the index of the first problem with an invalid assignment (see `check_assignment`), or -1."""
    assigned_in = np.full(cols, -1)
    for problem in range(offsets.size - 1):
        matched = 0
        for i in range(offsets[problem], offsets[problem + 1]):
            j = columns[i]
            if j < -1 or j >= cols or (j >= 0 and assigned_in[j] == problem):
                return problem
            if j >= 0:
                assigned_in[j] = problem
                matched += 1
        if matched != min(offsets[problem + 1] - offsets[problem], cols):
            return problem
    return -1


@compiled
def dual_bounds(affinities, offsets, prices, values, upper, gap):  # type: ignore[no-untyped-def]
    """Bound each problem's optimum from above by a feasible solution of the dual problem.

    For prices v of the larger side (non-negative, or arbitrary if sides are equal), no assignment exceeds
    ``sum(v) + sum over the other side of max(affinity - v)``. Computed in float64 with a margin for its own rounding,
    so the bound is rigorous for the given affinities. O(rows × columns) per problem.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    offsets : (B + 1,) int64 array
    prices : (B, P) float64 array
        See `matcher.Assignments`.
    values : (B,) float64 array
        Values of the assignments.
    upper : (B,) float64 array, written
        The bounds.
    gap : (B,) float64 array, written
        Relative optimality gaps ``(upper - value) / |upper|``. 0 if bound and value agree to within the rounding
        of their sums; infinite if the bound is 0 and the value is not.
    """
    best_of_column = np.empty(affinities.shape[1])
    for problem in range(offsets.size - 1):
        block = affinities[offsets[problem] : offsets[problem + 1]]
        bound, magnitude = _bound(block, prices[problem], best_of_column)
        margin = magnitude * (block.shape[0] + block.shape[1]) * np.finfo(np.float64).eps
        upper[problem] = bound + margin
        shortfall = upper[problem] - values[problem]
        if shortfall <= 2 * margin:
            gap[problem] = 0.0
        else:
            gap[problem] = shortfall / abs(upper[problem]) if upper[problem] != 0 else np.inf


@compiled
def _bound(block, prices, best_of_column):  # type: ignore[no-untyped-def]
    """Return the dual objective at these prices, and the sum of the magnitudes of its terms."""
    rows, cols = block.shape
    total, magnitude = 0.0, 0.0
    for k in range(max(rows, cols)):
        total += prices[k]
        magnitude += abs(prices[k])
    if rows <= cols:
        for i in range(rows):
            best = largest(block, i, prices[:cols])[1]
            total += best
            magnitude += abs(best)
        return total, magnitude
    best_of_column[:] = -np.inf
    for i in range(rows):
        for j in range(cols):
            value = np.float64(block[i, j]) - prices[i]
            best_of_column[j] = value if value > best_of_column[j] else best_of_column[j]
    for j in range(cols):
        total += best_of_column[j]
        magnitude += abs(best_of_column[j])
    return total, magnitude
