# SPDX-License-Identifier: Apache-2.0
"""Dual upper bounds of partial assignments."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled
from simplugins.matching.objective import certify_value, net_values


@compiled
def bound_partially(affinities, offsets, prices, multipliers, counts, values, upper, gap):  # type: ignore[no-untyped-def]
    """Bound the value of partial assignments from above by a feasible solution of the dual problem.

    For prices v >= 0 of the larger side, let m be the largest affinity - v of each position of the smaller side. No
    assignment of k pairs exceeds ``sum(v)`` plus the sum of the k largest m. With a multiplier t, the bound is
    ``sum(v) + sum(max(m - t, 0)) + k t``: then no assignment of any number of pairs has a larger sum of
    ``affinity - t`` than the bound allows for. O(rows × columns) per problem.

    Parameters
    ----------
    affinities, offsets, prices, values, upper, gap
        As for `objective.dual_bounds`.
    multipliers : (B,) float64 array
        NaN for none.
    counts : (B,) int64 array
        The number of pairs of each problem.
    """
    best = np.empty(affinities.shape[1])
    for problem in range(offsets.size - 1):
        block = affinities[offsets[problem] : offsets[problem + 1]]
        size, count, multiplier = net_values(block, prices[problem], best), counts[problem], multipliers[problem]
        ranked = np.sort(best[:size])[::-1]
        if np.isnan(multiplier):
            if count == 0:
                upper[problem], gap[problem] = 0.0, 0.0
                continue
            multiplier = ranked[count - 1]
        bound, magnitude = count * multiplier, abs(count * multiplier)
        for k in range(max(block.shape)):
            bound += prices[problem, k]
            magnitude += prices[problem, k]
        for k in range(size):
            excess = max(ranked[k] - multiplier, 0.0)
            bound += excess
            magnitude += excess + (abs(multiplier) if excess > 0 else 0.0)
        upper[problem], gap[problem] = certify_value(bound, magnitude, block.shape, values[problem])
