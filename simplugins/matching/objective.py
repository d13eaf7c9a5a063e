# SPDX-License-Identifier: Apache-2.0
"""Objective value, validity check and dual upper bound of an assignment."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled, compiled_inner
from simplugins.matching.vector_scans import largest

EPSILON = float(np.finfo(np.float64).eps)


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
def find_unproven(affinities, problems, columns, shortfall, tolerance, exact, out):  # type: ignore[no-untyped-def]
    """Find the problems whose values may fall short of the optimum by more than a share of them.

    Parameters
    ----------
    affinities : (T, K) array
    problems : (B, 4) int64 array
        See `linear_assignment.assign_batch`.
    columns : (T,) int64 array
        Counted from the first of all columns.
    shortfall : (B,) float64 array
        Bounds on the shortfall of the values; infinite if there are none.
    tolerance : float
        The acceptable share of the optimum; 0 for exact values.
    exact : float
        The acceptable share of the sum of the absolute values of the matched affinities, for exact values.
    out : (B,) bool array, written

    Returns
    -------
    int
        Number of problems found.
    """
    found = 0
    for problem in range(len(problems)):
        total, magnitude = 0.0, 0.0
        for i in range(problems[problem, 0], problems[problem, 1]):
            if columns[i] >= 0:
                value = np.float64(affinities[i, columns[i]])
                total += value
                magnitude += abs(value)
        bound = shortfall[problem]
        allowed = tolerance * abs(total + bound) if tolerance > 0 else exact * magnitude
        out[problem] = np.isinf(bound) or not bound <= allowed
        found += out[problem]
    return found


@compiled_inner
def prove(affinity, columns, prices, tolerance, exact, best):  # type: ignore[no-untyped-def]
    """Bound how much a problem's value falls short of the optimum, by its dual prices; see `dual_bounds`.

    The bound includes a margin for its own rounding.

    Parameters
    ----------
    affinity : (R, K) array, C-contiguous
    columns : (R,) int64 array
    prices : (max(R, K) or more,) float64 array
    tolerance, exact : float
        As for `find_unproven`.
    best : (min(R, K) or more,) float64 array
        Scratch.

    Returns
    -------
    shortfall : float
    allowed : float
        The acceptable shortfall.
    """
    count = net_values(affinity, prices, best)
    total, lost, size, magnitude = 0.0, 0.0, 0.0, 0.0
    for k in range(max(affinity.shape)):
        total, lost = _add(total, lost, prices[k])
        size += abs(prices[k])
    for k in range(count):
        total, lost = _add(total, lost, best[k])
        size += abs(best[k])
    bound = total + lost
    for i in range(len(columns)):
        if columns[i] >= 0:
            value = np.float64(affinity[i, columns[i]])
            total, lost = _add(total, lost, -value)
            magnitude += abs(value)
    rounding = 4 * np.finfo(np.float64).eps * (size + magnitude)
    return total + lost + rounding, tolerance * abs(bound) if tolerance > 0 else exact * magnitude


@compiled_inner
def _add(total, lost, term):  # type: ignore[no-untyped-def]
    """Add a term to a sum, and what rounding takes from it to another (Neumaier's summation)."""
    following = total + term
    if abs(total) >= abs(term):
        return following, lost + ((total - following) + term)
    return following, lost + ((term - following) + total)


@compiled
def first_invalid(columns, offsets, cols, partial):  # type: ignore[no-untyped-def]
    """Return the index of the first problem with an invalid assignment (see `check_assignment`), or -1."""
    assigned_in = np.empty(cols, np.int64)
    assigned_in[:] = -1
    for problem in range(offsets.size - 1):
        matched = 0
        for i in range(offsets[problem], offsets[problem + 1]):
            j = columns[i]
            if j < -1 or j >= cols or (j >= 0 and assigned_in[j] == problem):
                return problem
            if j >= 0:
                assigned_in[j] = problem
                matched += 1
        if matched != min(offsets[problem + 1] - offsets[problem], cols) and not partial:
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
    best = np.empty(affinities.shape[1])
    for problem in range(offsets.size - 1):
        block = affinities[offsets[problem] : offsets[problem + 1]]
        count = net_values(block, prices[problem], best)
        bound, magnitude = 0.0, 0.0
        for k in range(max(block.shape)):
            bound += prices[problem, k]
            magnitude += abs(prices[problem, k])
        for k in range(count):
            bound += best[k]
            magnitude += abs(best[k])
        upper[problem], gap[problem] = certify_value(bound, magnitude, block.shape, values[problem])


@compiled_inner
def net_values(block, prices, best):  # type: ignore[no-untyped-def]
    """Write the largest affinity minus price of each position of the smaller side; return the number of positions."""
    rows, cols = block.shape
    if rows <= cols:
        for i in range(rows):
            best[i] = largest(block, i, prices[:cols])[1]
        return rows
    best[:cols] = -np.inf
    for i in range(rows):
        for j in range(cols):
            value = np.float64(block[i, j]) - prices[i]
            best[j] = value if value > best[j] else best[j]
    return cols


@compiled_inner
def certify_value(bound, magnitude, shape, value):  # type: ignore[no-untyped-def]
    """Return the upper bound and the gap of a value, with a margin for rounding in the sum of the bound."""
    margin = magnitude * (shape[0] + shape[1]) * EPSILON
    upper = bound + margin
    shortfall = upper - value
    if shortfall <= 2 * margin:
        return upper, 0.0
    return upper, shortfall / abs(upper) if upper != 0 else np.inf
